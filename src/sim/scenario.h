/* sim/scenario.h — programs on simulated nodes under a workload of faults drawn from the seed.
 *
 * A scenario has two parts, after TigerBeetle's VOPR. In the first, faults come and go (loss, delay,
 * partitions, one-way cuts, crashes, power cuts, pauses, resets) and *safety* is checked after every
 * interval. In the second, everything is healed and started, and *liveness* is demanded: within `settle_ns`
 * the program's own idea of "converged" must hold. Either failure ends the scenario with a text for people;
 * the seed reproduces it.
 *
 * What runs on a node is the caller's: it embeds a `struct ww_scenario_app` in its program. The scenario
 * knows nothing of nodes, clusters or protocols.
 */
#ifndef WW_SIM_SCENARIO_H
#define WW_SIM_SCENARIO_H

#include "sim/sim.h"

struct ww_scenario;

/* A program on one life of a node: embedded in the caller's object. */
struct ww_scenario_app {
    struct ww_sim_node *node; /* set by the scenario */
};

struct ww_scenario_program {
    /* Starts on a node that has just come up, through ww_sim_node_env(node). */
    ww_err (*start)(
        struct ww_scenario_program *program, struct ww_sim_node *node, struct ww_scenario_app **ret_app);
    /* Takes it down and frees it. After a crash the environment is dead already: closing is harmless, and no
     * call comes back. */
    void (*stop)(struct ww_scenario_program *program, struct ww_scenario_app *app);
    /* WW_OK, or an error and, in `diag`, what is wrong and where. At any time, faults or not. */
    ww_err (*safe)(struct ww_scenario_program *program, struct ww_scenario *scenario, struct ww_diag *diag);
    /* As `safe`, but about the goal: WW_OK once every running app has reached it. */
    ww_err (*converged)(
        struct ww_scenario_program *program, struct ww_scenario *scenario, struct ww_diag *diag);
    /* Begins to go in good order; `stop` comes WW_SCENARIO_LEAVE_NS later. NULL: the program cannot. */
    void (*leave)(struct ww_scenario_program *program, struct ww_scenario_app *app);
};

#define WW_SCENARIO_LEAVE_NS (600 * WW_NS_PER_MS)

enum ww_scenario_fault {
    WW_FAULT_LOSS,
    WW_FAULT_DELAY,
    WW_FAULT_PARTITION,
    WW_FAULT_ONE_WAY,
    WW_FAULT_CRASH,
    WW_FAULT_POWER,
    WW_FAULT_PAUSE,
    WW_FAULT_RESET,
    WW_FAULT_LEAVE, /* of programs that can */
    WW_FAULT_COUNT,
};

struct ww_scenario_conf {
    struct ww_sim_conf sim;
    size_t nodes;
    uint64_t faults_ns;         /* how long the first part lasts */
    uint64_t settle_ns;         /* how long convergence may take in the second, and at the beginning */
    uint64_t check_interval_ns; /* between checks of safety */
    uint64_t fault_gap_ns;      /* mean time between faults */
    uint32_t faults;            /* set of 1 << enum ww_scenario_fault */
};

/* Five nodes, one minute of every fault, one minute to settle. */
void ww_scenario_conf_default(struct ww_scenario_conf *ret_conf, uint64_t seed);

struct ww_scenario_result {
    ww_err err;            /* WW_OK: safe throughout, and converged in the end */
    struct ww_diag diag;   /* why not */
    uint64_t failed_at_ns; /* world time */
    uint64_t hash, events, faults;
    uint64_t first_converged_ns, healed_converged_ns; /* durations from the start, and from the healing */
    struct ww_sim_stats stats;
};

/* Runs it all; nothing remains. The result's `err` is also returned. */
ww_err ww_scenario_run(const struct ww_scenario_conf *conf, struct ww_scenario_program *program,
    struct ww_scenario_result *ret_result);

/* For the program's checks. */
struct ww_sim *ww_scenario_sim(struct ww_scenario *scenario);
size_t ww_scenario_node_count(const struct ww_scenario *scenario);
struct ww_sim_node *ww_scenario_node(struct ww_scenario *scenario, size_t index);
/* For how long the network and all running nodes have been in order: 0 while there is loss, delay, a cut, or
 * a paused node. Nodes that crash, leave and start do not count. */
uint64_t ww_scenario_calm_ns(const struct ww_scenario *scenario);
/* NULL while the node is down. */
struct ww_scenario_app *ww_scenario_app(struct ww_scenario *scenario, size_t index);

#endif
