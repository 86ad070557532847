/* cli/opt.h — the one option table: the parser, --help, the man pages and the shell completions all come from
 * it. */
#ifndef WW_CLI_OPT_H
#define WW_CLI_OPT_H

#include <stdio.h>

#include "base/base.h"

/* Repeated values, in the order given. Points into argv, the environment, or `ww_cli_args.owned`. */
struct ww_cli_list {
    const char **items;
    size_t count;
};

/* Every option of every command has a place here; a command reads those that it lists. */
struct ww_cli_args {
    const char *ns;
    struct ww_cli_list peers, discover, listen, meta;
    const char *data, *from, *to, *allow, *order;
    uint64_t ttl_ns, timeout_ns, limit, pings;
    bool json, debug, watch, reverse, count, help, version;
    const char **rest; /* what is no option */
    size_t rest_count;
    void *owned; /* list of allocations, for ww_cli_args_fini */
};

enum ww_cli_opt_id {
    WW_OPT_NS = 1u << 0,
    WW_OPT_PEER = 1u << 1,
    WW_OPT_DISCOVER = 1u << 2,
    WW_OPT_JSON = 1u << 3,
    WW_OPT_DEBUG = 1u << 4,
    WW_OPT_LISTEN = 1u << 5,
    WW_OPT_META = 1u << 6,
    WW_OPT_TTL = 1u << 7,
    WW_OPT_DATA = 1u << 8,
    WW_OPT_ALLOW = 1u << 9,
    WW_OPT_LIMIT = 1u << 10,
    WW_OPT_REVERSE = 1u << 11,
    WW_OPT_FROM = 1u << 12,
    WW_OPT_TO = 1u << 13,
    WW_OPT_WATCH = 1u << 14,
    WW_OPT_TIMEOUT = 1u << 15,
    WW_OPT_COUNT = 1u << 16,
    WW_OPT_ORDER = 1u << 17,
    WW_OPT_PINGS = 1u << 18,
    WW_OPT_HELP = 1u << 30,
    WW_OPT_VERSION = 1u << 29,
};

enum ww_cli_opt_type { WW_CLI_FLAG, WW_CLI_TEXT, WW_CLI_LIST, WW_CLI_DURATION, WW_CLI_NUMBER };

struct ww_cli_opt {
    uint32_t id;
    const char *name;
    char letter; /* 0: none */
    enum ww_cli_opt_type type;
    size_t offset; /* of the value in struct ww_cli_args */
    const char *metavar, *env, *fallback, *help;
};

struct ww_cli_command {
    const char *name, *arguments, *summary;
    uint32_t options;
    const char *about;    /* paragraphs for --help and the man page, '\n' between lines */
    const char *examples; /* "command\texplanation\n"... */
    /* Exit code: 0 done, 1 failed, 2 wrong usage. */
    int (*run)(const struct ww_cli_args *args);
};

extern const struct ww_cli_opt ww_cli_opts[];
extern const size_t ww_cli_opts_count;

/* Splits `argv` (without the program's name) into `ret`; options may stand before and after the command's
 * name, which is found in `rest[0]`; "--" ends the options. Unset options come from the environment, then
 * from the table. WW_EINVAL with a sentence in `diag`. `ret` needs ww_cli_args_fini in both cases. */
WW_MUST_USE ww_err ww_cli_parse(
    int argc, char *const argv[], struct ww_cli_args *ret, uint32_t *ret_given, struct ww_diag *diag);
void ww_cli_args_fini(struct ww_cli_args *args);

/* The name closest to `word` among `count` names, or NULL when none is near. */
const char *ww_cli_nearest(const char *word, const char *const *names, size_t count);

void ww_cli_print_help(FILE *out, const struct ww_cli_command *command);
void ww_cli_print_overview(FILE *out, const struct ww_cli_command *commands, size_t count);
void ww_cli_print_man(
    FILE *out, const struct ww_cli_command *command, const struct ww_cli_command *all, size_t count);
void ww_cli_print_bash(FILE *out, const struct ww_cli_command *commands, size_t count);
void ww_cli_print_zsh(FILE *out, const struct ww_cli_command *commands, size_t count);

#endif
