/* cli/commands.h — the subcommands of ww. */
#ifndef WW_CLI_COMMANDS_H
#define WW_CLI_COMMANDS_H

#include "cli/opt.h"

extern const struct ww_cli_command ww_cli_commands[];
extern const size_t ww_cli_commands_count;

/* NULL when there is none of that name. */
const struct ww_cli_command *ww_cli_command_find(const char *name);
/* Runs the command that rest[0] names, with the rest shifted by one. Exit code. */
int ww_cli_dispatch(struct ww_cli_args *args, uint32_t given);

int ww_cmd_start(const struct ww_cli_args *args);
int ww_cmd_ls(const struct ww_cli_args *args);
int ww_cmd_id(const struct ww_cli_args *args);
int ww_cmd_peer(const struct ww_cli_args *args);
int ww_cmd_version(const struct ww_cli_args *args);
int ww_cmd_help(const struct ww_cli_args *args);

#endif
