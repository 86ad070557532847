/* sim/node_program.h — whole Wetware nodes under faults: the same object code as `ww start`.
 *
 * Each host keeps its key over its lives and tells its life in its metadata. Some seeds find each other by
 * multicast, some by static addresses; times to live, ports and the sorts of faults differ by seed as well.
 * Beside the nodes run up to two readers (node_reader.h), which log in at a node, ask and watch.
 *
 * Safe, at any time:
 *   1. Nothing is in a table past its deadline, and nothing of a life that is over past its time to live plus
 *      what the network may have delayed; a farewell that nothing disturbed takes effect at once.
 *   2. The ordered indexes are what a sort gives (node_check.h).
 *   3. Every record is of a life that was, with its host and metadata.
 *   4. In calm weather nobody drops a peer that lives and is connected.
 *   5. Snapshots stay what they were.
 *   6. What readers are told was said by a node that ran, and standing queries are complete.
 * Converged: every node lists exactly the lives that run.
 */
#ifndef WW_SIM_NODE_PROGRAM_H
#define WW_SIM_NODE_PROGRAM_H

#include "node/node.h"
#include "sim/node_life.h"
#include "sim/scenario.h"

struct ww_node_program {
    struct ww_scenario_program program;
    struct ww_node_lives lives;
    uint32_t ttl_ms;
    bool fixed_port;
    ww_err fault; /* found outside the checks */
    struct ww_diag fault_diag;
};

/* Chooses what differs by seed, and adds up to two hosts for readers to `conf`. */
void ww_node_program_init(struct ww_node_program *ret_program, struct ww_scenario_conf *conf);
void ww_node_program_fini(struct ww_node_program *program);
/* NULL while it is down or has left. */
struct ww_node *ww_node_program_node(struct ww_scenario *scenario, size_t index);

#endif
