/* cli/rows.h — records on the screen: a table on a terminal, /SERVER a line into a pipe, JSON objects on
 * request; and the picture that a watch keeps, so that it prints differences only. */
#ifndef WW_CLI_ROWS_H
#define WW_CLI_ROWS_H

#include <stdio.h>

#include "base/list.h"
#include "base/map.h"
#include "service/view_client.h"

struct ww_cli_rows {
    FILE *out;
    bool json, terminal, colour;
    size_t printed;
};

void ww_cli_rows_init(struct ww_cli_rows *rows, FILE *out, bool json);
void ww_cli_rows_print(struct ww_cli_rows *rows, const struct ww_view_row *row);
/* Says on a terminal when there was nothing. */
void ww_cli_rows_end(struct ww_cli_rows *rows);

struct ww_cli_watch {
    struct ww_cli_rows *rows;
    struct ww_env *env;
    struct ww_map known; /* by peer id */
    uint32_t round;      /* of the reset that the node is answering */
    bool settled;
};

void ww_cli_watch_init(struct ww_cli_watch *watch, struct ww_cli_rows *rows, struct ww_env *env);
void ww_cli_watch_fini(struct ww_cli_watch *watch);
/* Joined or changed: prints which, unless nothing did. */
void ww_cli_watch_row(struct ww_cli_watch *watch, const struct ww_view_row *row);
void ww_cli_watch_left(struct ww_cli_watch *watch, struct ww_bytes peer);
void ww_cli_watch_reset(struct ww_cli_watch *watch);
/* Who was not named since the reset has left. */
void ww_cli_watch_ready(struct ww_cli_watch *watch);

#endif
