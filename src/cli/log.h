/* cli/log.h — what `ww start` says: events as lines for people, or as JSON objects. */
#ifndef WW_CLI_LOG_H
#define WW_CLI_LOG_H

#include <stdio.h>

#include "env/env.h"

struct ww_cli_log {
    struct ww_trace trace; /* hand `&log->trace` to the environment */
    struct ww_env *env;    /* for the time */
    FILE *out;
    bool json, debug, colour;
};

/* Colour only on a terminal, and not with NO_COLOR. `debug`: every event, not only those that people care
 * about. */
void ww_cli_log_init(struct ww_cli_log *log, struct ww_env *env, FILE *out, bool json, bool debug);

#endif
