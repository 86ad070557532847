#include <stdio.h>
#include <stdlib.h>

#include "tool.h"

enum option_type { TEXT, NUMBER, MILLIS, SECONDS, ADDR, FLAG };

struct option {
    const char *name;
    enum option_type type;
    size_t offset;
};

#define AT(field) offsetof(struct tool_options, field)

static const struct option options[] = {
    {"--addr", ADDR, 0},
    {"--timeout", SECONDS, AT(timeout_ns)},
    {"--seed", NUMBER, AT(seed)},
    {"--security", TEXT, AT(security)},
    {"--muxer", TEXT, AT(muxer)},
    {"--agent", TEXT, AT(agent)},
    {"--pings", NUMBER, AT(pings)},
    {"--bytes-up", NUMBER, AT(bytes_up)},
    {"--bytes-down", NUMBER, AT(bytes_down)},
    {"--topic", TEXT, AT(topic)},
    {"--publish", NUMBER, AT(publish)},
    {"--expect", NUMBER, AT(expect)},
    {"--size", NUMBER, AT(size)},
    {"--rate", NUMBER, AT(rate)},
    {"--settle-ms", MILLIS, AT(settle_ns)},
    {"--linger-ms", MILLIS, AT(linger_ns)},
    {"--gossip-protocol", TEXT, AT(gossip_protocol)},
    {"--debug", FLAG, AT(debug)},
    {"--help", FLAG, AT(help)},
    {"-h", FLAG, AT(help)},
};

static const char help_text[] =
    "usage: ww-peer listen [gossip] [--addr MULTIADDR]... [options]\n"
    "       ww-peer dial MULTIADDR/p2p/ID ping|identify|perf|gossip [options]\n"
    "\n"
    "A plain libp2p peer (TCP, Noise, Yamux). `listen` prints a line LISTEN MULTIADDR/p2p/ID for each "
    "address, serves\n"
    "ping, identify, perf and gossipsub, and runs until it is killed. `dial` connects, runs one test and "
    "prints its\n"
    "result.\n"
    "\n"
    "  --addr MULTIADDR       listen here; may be repeated (default /ip4/127.0.0.1/tcp/0)\n"
    "  --timeout S            give up after S seconds (dial; default 30)\n"
    "  --seed N               identity from a seed: N as 32-bit little-endian in 32 bytes (default: random)\n"
    "  --security noise|tls|both   (default noise)\n"
    "  --muxer yamux\n"
    "  --agent TEXT           agent version told by identify\n"
    "  --debug                trace events on stderr\n"
    " ping:\n"
    "  --pings N              (default 3); a line `PING 1 0.123 ms` each\n"
    " perf:\n"
    "  --bytes-up N, --bytes-down N   (default 0)\n"
    " gossip:\n"
    "  --topic T              (default \"test\"; `listen` relays a list T,T, or without it whatever its peers are in)\n"
    "  --publish N            messages to publish\n"
    "  --expect M             messages of others to wait for\n"
    "  --size B               bytes a message (default 64)\n"
    "  --rate R               messages a second (default 500)\n"
    "  --settle-ms MS         wait for the mesh before publishing (default 1500)\n"
    "  --linger-ms MS         stay after the end, so that others get what they wait for (default 1000)\n"
    "  --gossip-protocol ID   instead of /meshsub/1.1.0\n"
    "\n"
    "exit: 0 all of it happened, 1 it failed, 2 wrong usage, 3 it cannot do what was asked\n"
    "\n"
    "examples:\n"
    "  ww-peer listen --addr /ip4/0.0.0.0/tcp/4001 --seed 1\n"
    "  ww-peer dial /ip4/127.0.0.1/tcp/4001/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X ping\n"
    "  ww-peer dial ADDR perf --bytes-up 1073741824 --bytes-down 1073741824\n"
    "  ww-peer dial ADDR gossip --topic t --publish 100 --expect 100\n";

void tool_help(void)
{
    fputs(help_text, stdout);
}

static bool usage(const char *problem, const char *what)
{
    fprintf(stderr, "ww-peer: %s %s (see ww-peer --help)\n", problem, what);
    return false;
}

static bool parse_number(const char *text, uint64_t max, uint64_t *ret_value)
{
    uint64_t v = 0;
    for (const char *at = text; *at; at++) {
        if (*at < '0' || *at > '9' || v > (max - (uint64_t)(*at - '0')) / 10)
            return false;
        v = v * 10 + (uint64_t)(*at - '0');
    }
    *ret_value = v;
    return text[0] != 0;
}

static bool parse_seconds(const char *text, uint64_t *ret_ns)
{
    char *end;
    double v = strtod(text, &end);
    if (*end || end == text || !(v > 0 && v < 1e6))
        return false;
    *ret_ns = (uint64_t)(v * 1e9);
    return true;
}

static bool set_option(struct tool_options *o, const struct option *opt, const char *value)
{
    void *at = (char *)o + opt->offset;
    uint64_t number;
    switch (opt->type) {
    case TEXT:
        *(const char **)at = value;
        return true;
    case SECONDS:
        return parse_seconds(value, at) || usage("bad number of seconds", value);
    case NUMBER:
        if (!parse_number(value, UINT64_MAX / 2, at))
            return usage("bad number", value);
        o->seeded |= opt->offset == AT(seed);
        return !o->seeded || o->seed <= UINT32_MAX || usage("seed is more than 32 bits:", value);
    case MILLIS:
        if (!parse_number(value, 1000000000, &number))
            return usage("bad number of milliseconds", value);
        *(uint64_t *)at = number * WW_NS_PER_MS;
        return true;
    case ADDR:
        if (o->addr_count == WW_COUNT_OF(o->addrs))
            return usage("too many", "--addr");
        o->addrs[o->addr_count++] = value;
        return true;
    case FLAG:
        *(bool *)at = true;
        return true;
    }
    return false;
}

static const struct option *find_option(const char *name)
{
    for (size_t i = 0; i < WW_COUNT_OF(options); i++) {
        if (strcmp(options[i].name, name) == 0)
            return &options[i];
    }
    return NULL;
}

static bool known_test(const char *test)
{
    static const char *const tests[] = {"ping", "identify", "perf", "gossip"};
    for (size_t i = 0; i < WW_COUNT_OF(tests); i++) {
        if (strcmp(tests[i], test) == 0)
            return true;
    }
    return false;
}

static bool check_words(struct tool_options *o, const char *const *words, size_t count)
{
    if (o->help)
        return true;
    if (count == 0)
        return usage("say", "listen or dial");
    o->command = words[0];
    if (strcmp(o->command, "listen") == 0) {
        o->test = count > 1 ? words[1] : NULL;
        return count <= 2 && (!o->test || strcmp(o->test, "gossip") == 0 || usage("unexpected", o->test));
    }
    if (strcmp(o->command, "dial") != 0)
        return usage("unknown command", o->command);
    if (count != 3)
        return usage("dial wants", "an address and a test");
    o->target = words[1];
    o->test = words[2];
    return known_test(o->test) || usage("unknown test", o->test);
}

bool tool_options_parse(int argc, char *const argv[], struct tool_options *ret_options)
{
    const char *words[3];
    size_t count = 0;
    struct tool_options o = {.timeout_ns = 30 * WW_NS_PER_S,
        .pings = 3,
        .size = 64,
        .rate = 500,
        .settle_ns = 1500 * WW_NS_PER_MS,
        .linger_ns = 1000 * WW_NS_PER_MS,
        .security = "noise",
        .muxer = "yamux"};
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-') {
            if (count == WW_COUNT_OF(words))
                return usage("unexpected", argv[i]);
            words[count++] = argv[i];
            continue;
        }
        const struct option *opt = find_option(argv[i]);
        if (!opt)
            return usage("unknown option", argv[i]);
        if (opt->type != FLAG && ++i == argc)
            return usage("missing value of", opt->name);
        if (!set_option(&o, opt, argv[i]))
            return false;
    }
    *ret_options = o;
    return check_words(ret_options, words, count);
}
