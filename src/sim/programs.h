/* sim/programs.h — what ww-sim can put on its nodes. */
#ifndef WW_SIM_PROGRAMS_H
#define WW_SIM_PROGRAMS_H

#include "sim/scenario.h"

struct ww_sim_program_entry {
    const char *name;
    /* Sets the program up, runs the scenario (adjusting `conf` where the program needs it), takes it down. */
    ww_err (*run)(struct ww_scenario_conf *conf, struct ww_scenario_result *ret_result);
};

/* The first is the default; ends with an entry without name. */
extern const struct ww_sim_program_entry ww_sim_programs[];

#endif
