#include "cli/commands.h"

#define NET_OPTS (WW_OPT_NS | WW_OPT_PEER | WW_OPT_DISCOVER | WW_OPT_DEBUG)

const struct ww_cli_command ww_cli_commands[] = {
    {"start", "", "run a node: join the cluster, or begin one",
        NET_OPTS | WW_OPT_LISTEN | WW_OPT_META | WW_OPT_TTL | WW_OPT_DATA | WW_OPT_ALLOW | WW_OPT_JSON,
        "Runs a node until it is interrupted. Without any option it finds the other nodes of the namespace "
        "on this\n"
        "machine and on the local network, joins them, and serves the cluster's routing table to whoever "
        "logs in.\n"
        "With nobody there it begins a cluster.\n\n"
        "It prints its peer id and addresses, and peers as they come and go. SIGINT and SIGTERM make it "
        "leave:\n"
        "the others drop it at once.",
        "ww start\tjoin or begin a cluster\n"
        "ww start --meta zone=eu-1 --meta role=db\tcarry metadata that others can query\n"
        "ww start -l /ip4/0.0.0.0/tcp/4001 --data /var/lib/ww\ta fixed port and a lasting identity\n"
        "ww start -p /ip4/10.0.0.7/tcp/4001/p2p/12D3KooW...\tjoin by address, without discovery\n",
        ww_cmd_start},
    {"ls", "[WHERE EXPR...]", "query the cluster's routing table",
        NET_OPTS | WW_OPT_DATA | WW_OPT_LIMIT | WW_OPT_ORDER | WW_OPT_REVERSE | WW_OPT_FROM | WW_OPT_TO |
            WW_OPT_COUNT | WW_OPT_WATCH | WW_OPT_TIMEOUT | WW_OPT_JSON,
        "Finds a node, logs in, runs the query there, and prints the matches as they stream in: a table on "
        "a\n"
        "terminal, one /SERVER-ID a line into a pipe, one JSON object a line with --json.\n\n"
        "EXPR compares a key with a value: host=web (begins with), host==web1 (is), host!=web (does not "
        "begin with),\n"
        "host!==web1 (is not). Keys: id or peer (peer id), server (instance id), host, and any metadata "
        "key.\n"
        "Join with AND, OR, NOT and parentheses; values with blanks or signs go into double quotes.\n"
        "One argument or several: quote what the shell would take.",
        "ww ls\teveryone\n"
        "ww ls WHERE host=web AND zone=eu\thosts that begin with web, in zones that begin with eu\n"
        "ww ls 'WHERE (role==db OR role==cache) AND NOT zone=us'\tgrouping needs quotes in most shells\n"
        "ww ls --from host=a --to host=m --limit 10\ta range, in order\n"
        "ww ls --watch WHERE role=db\tkeep printing joins, changes and leaves\n"
        "ww ls --json | jq -r .host\tfor scripts\n",
        ww_cmd_ls},
    {"id", "", "print the identity that a data directory holds", WW_OPT_DATA | WW_OPT_JSON,
        "Prints the peer id of the key in --data DIR. A directory without a key gets one.",
        "ww id --data /var/lib/ww\tthe peer id that ww start --data will have\n", ww_cmd_id},
    {"peer", "ADDR", "dial a peer: identify, ping, list its protocols",
        WW_OPT_TIMEOUT | WW_OPT_PINGS | WW_OPT_DATA | WW_OPT_JSON | WW_OPT_DEBUG,
        "Dials any libp2p peer by multiaddr, with or without /p2p/ID, and prints who it is, how far away, "
        "and which\n"
        "protocols it speaks.",
        "ww peer /ip4/127.0.0.1/tcp/4001\twho listens there?\n"
        "ww peer --json /dns4/example.org/tcp/4001/p2p/12D3KooW...\tfor scripts\n",
        ww_cmd_peer},
    {"version", "", "print the version", WW_OPT_JSON, "Prints the version.", NULL, ww_cmd_version},
    {"help", "[COMMAND]", "explain a command", 0,
        "Explains a command. The man pages and completions are made with: ww help man [COMMAND], ww help "
        "bash,\n"
        "ww help zsh.",
        "ww help ls\tall about ls\n", ww_cmd_help},
};
const size_t ww_cli_commands_count = WW_COUNT_OF(ww_cli_commands);

const struct ww_cli_command *ww_cli_command_find(const char *name)
{
    for (size_t i = 0; i < ww_cli_commands_count; i++) {
        if (strcmp(ww_cli_commands[i].name, name) == 0)
            return &ww_cli_commands[i];
    }
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *names[WW_COUNT_OF(ww_cli_commands)];
    for (size_t i = 0; i < ww_cli_commands_count; i++)
        names[i] = ww_cli_commands[i].name;
    const char *near = ww_cli_nearest(name, names, ww_cli_commands_count);
    fprintf(stderr, "ww: unknown command '%s'", name);
    if (near)
        fprintf(stderr, "; did you mean '%s'?", near);
    fprintf(stderr, "\nSee 'ww help'.\n");
    return 2;
}

/* An option that the command does not have is refused rather than ignored. */
static int check_given(const struct ww_cli_command *command, uint32_t given)
{
    uint32_t extra = given & ~(command->options | WW_OPT_HELP | WW_OPT_VERSION);
    for (size_t i = 0; extra && i < ww_cli_opts_count; i++) {
        if (ww_cli_opts[i].id & extra) {
            fprintf(stderr, "ww %s: --%s does not belong to this command. See 'ww help %s'.\n", command->name,
                ww_cli_opts[i].name, command->name);
            return 2;
        }
    }
    return 0;
}

int ww_cli_dispatch(struct ww_cli_args *args, uint32_t given)
{
    const struct ww_cli_command *command = ww_cli_command_find(args->rest[0]);
    if (!command)
        return unknown_command(args->rest[0]);
    if (args->help) {
        ww_cli_print_help(stdout, command);
        return 0;
    }
    int code = check_given(command, given);
    if (code != 0)
        return code;
    args->rest++;
    args->rest_count--;
    return command->run(args);
}

int ww_cmd_version(const struct ww_cli_args *args)
{
    if (args->json)
        printf("{\"version\":\"%s\"}\n", WW_VERSION);
    else
        printf("wetware version %s\n", WW_VERSION);
    return 0;
}

int ww_cmd_help(const struct ww_cli_args *args)
{
    const char *topic = args->rest_count ? args->rest[0] : NULL;
    if (!topic) {
        ww_cli_print_overview(stdout, ww_cli_commands, ww_cli_commands_count);
        return 0;
    }
    if (strcmp(topic, "bash") == 0) {
        ww_cli_print_bash(stdout, ww_cli_commands, ww_cli_commands_count);
        return 0;
    }
    if (strcmp(topic, "zsh") == 0) {
        ww_cli_print_zsh(stdout, ww_cli_commands, ww_cli_commands_count);
        return 0;
    }
    bool man = strcmp(topic, "man") == 0;
    const char *name = man ? (args->rest_count > 1 ? args->rest[1] : NULL) : topic;
    const struct ww_cli_command *command = name ? ww_cli_command_find(name) : NULL;
    if (name && !command)
        return unknown_command(name);
    if (man)
        ww_cli_print_man(stdout, command, ww_cli_commands, ww_cli_commands_count);
    else
        ww_cli_print_help(stdout, command);
    return 0;
}
