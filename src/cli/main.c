/* ww — the command line. One file a subcommand; cli/commands.h lists them. */
#include "cli/commands.h"

int main(int argc, char *argv[])
{
    struct ww_cli_args args;
    struct ww_diag diag;
    uint32_t given;
    int code = 2;
    if (ww_cli_parse(argc - 1, argv + 1, &args, &given, &diag) < 0) {
        fprintf(stderr, "ww: %s\n", diag.text);
    } else if (args.version) {
        code = ww_cmd_version(&args);
    } else if (args.rest_count == 0) {
        ww_cli_print_overview(args.help ? stdout : stderr, ww_cli_commands, ww_cli_commands_count);
        code = args.help ? 0 : 2;
    } else {
        code = ww_cli_dispatch(&args, given);
    }
    ww_cli_args_fini(&args);
    return code;
}
