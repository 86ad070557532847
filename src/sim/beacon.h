/* sim/beacon.h — the smallest program that a scenario can judge: membership by multicast beacons.
 *
 * Each app shouts its index and a counter once an interval and remembers when it last heard whom. An entry
 * that was not renewed for the time to live is dropped by a timer. Used to test the scenario driver, and the
 * world under it, without a node; and as the example of how to write a program for them.
 */
#ifndef WW_SIM_BEACON_H
#define WW_SIM_BEACON_H

#include "sim/scenario.h"

struct ww_beacon_program {
    struct ww_scenario_program program;
    uint64_t interval_ns, ttl_ns;
    bool never_expires; /* a fault of the program itself, that `safe` must find */
    bool deaf;          /* ... that `converged` must find */
};

void ww_beacon_program_init(struct ww_beacon_program *ret_program);

#endif
