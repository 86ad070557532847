/* sim/gossip_program.h — hosts with a swarm and publish-subscribe: dialing, Noise, Yamux, identify and gossip
 * under faults.
 *
 * Each host publishes a numbered message a second and dials others at random. Safe: nobody gets a message
 * twice or in another's name, and connections and memory stay within bounds. Converged: everybody has heard
 * everybody lately.
 */
#ifndef WW_SIM_GOSSIP_PROGRAM_H
#define WW_SIM_GOSSIP_PROGRAM_H

#include "sim/scenario.h"

struct ww_gossip_program {
    struct ww_scenario_program program;
    size_t nodes;
};

void ww_gossip_program_init(struct ww_gossip_program *ret_program, size_t nodes);

#endif
