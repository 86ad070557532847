/* ww-peer/tool.h — a plain libp2p peer on the command line: listens, or dials somebody and runs one test. For
 * interop runs, measurements and for looking at a network by hand. Exit: 0 all of it happened, 1 it failed, 2
 * wrong usage, 3 it cannot do what was asked. */
#ifndef WW_CLI_WW_PEER_TOOL_H
#define WW_CLI_WW_PEER_TOOL_H

#include "crypto/keys.h"
#include "os/os.h"
#include "p2p/perf.h"
#include "p2p/ping.h"
#include "p2p/swarm.h"

enum tool_exit { TOOL_DONE = 0, TOOL_FAILED = 1, TOOL_USAGE = 2, TOOL_CANNOT = 3 };

struct tool_options {
    const char *command; /* listen, dial */
    const char *test;    /* ping, identify, perf, gossip */
    const char *target;  /* of dial */
    const char *addrs[16];
    size_t addr_count;
    const char *agent, *security, *muxer, *topic, *gossip_protocol;
    uint64_t timeout_ns;
    uint64_t pings, bytes_up, bytes_down, publish, expect, size, rate, settle_ns, linger_ns, seed;
    bool seeded, debug, help;
};

/* False: an error was printed to stderr. */
bool tool_options_parse(int argc, char *const argv[], struct tool_options *ret_options);
void tool_help(void);

struct tool {
    struct tool_options o;
    struct ww_os *os;
    struct ww_env *env;
    struct ww_keypair key;
    struct ww_swarm *swarm;
    struct ww_os_signals signals;
    struct ww_trace trace;
    struct ww_timer timeout;
    enum tool_exit result;
    void (*cleanup)(struct tool *t); /* of the test; before the swarm goes */

    struct ww_swarm_dial dial;
    struct ww_swarm_sub sub;
    struct ww_ping ping;
    uint64_t pings_left;
    struct ww_perf perf;
    struct tool_gossip *gossip;
};

void tool_stop(struct tool *t, enum tool_exit result);
/* Prints "ww-peer: ..." to stderr and stops with TOOL_FAILED. */
void tool_fail(struct tool *t, const char *fmt, ...) WW_PRINTF(2, 3);

/* Both start work on the loop; false: it failed (and was said). */
bool tool_listen(struct tool *t);
bool tool_dial(struct tool *t);
/* Serves gossipsub, joining --topic when there is one. */
bool tool_gossip_serve(struct tool *t);
/* Runs the gossip test once connected. */
void tool_gossip_run(struct tool *t);
/* Prints how far the test got. */
void tool_gossip_timed_out(const struct tool *t);

#endif
