#include "sim/programs.h"

#include "sim/beacon.h"
#include "sim/gossip_program.h"
#include "sim/node_program.h"

static ww_err run_node(struct ww_scenario_conf *conf, struct ww_scenario_result *ret_result)
{
    struct ww_node_program node;
    ww_node_program_init(&node, conf);
    ww_err err = ww_scenario_run(conf, &node.program, ret_result);
    ww_node_program_fini(&node);
    return err;
}

static ww_err run_gossip(struct ww_scenario_conf *conf, struct ww_scenario_result *ret_result)
{
    struct ww_gossip_program gossip;
    ww_gossip_program_init(&gossip, conf->nodes);
    return ww_scenario_run(conf, &gossip.program, ret_result);
}

static ww_err run_beacon(struct ww_scenario_conf *conf, struct ww_scenario_result *ret_result)
{
    struct ww_beacon_program beacon;
    ww_beacon_program_init(&beacon);
    return ww_scenario_run(conf, &beacon.program, ret_result);
}

const struct ww_sim_program_entry ww_sim_programs[] = {
    {"node", run_node},
    {"gossip", run_gossip},
    {"beacon", run_beacon},
    {NULL, NULL},
};
