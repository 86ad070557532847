#include "cli/opt.h"

#include <stdlib.h>
#include <strings.h>

#include "base/duration.h"

#define AT(field) offsetof(struct ww_cli_args, field)

const struct ww_cli_opt ww_cli_opts[] = {
    {WW_OPT_NS, "ns", 0, WW_CLI_TEXT, AT(ns), "NAME", "WW_NS", "ww",
        "cluster namespace: nodes of different namespaces never meet"},
    {WW_OPT_PEER, "peer", 'p', WW_CLI_LIST, AT(peers), "ADDR", "WW_PEERS", NULL,
        "join by this address, /ip4/.../tcp/.../p2p/ID; repeatable; turns discovery off"},
    {WW_OPT_DISCOVER, "discover", 'd', WW_CLI_LIST, AT(discover), "ADDR", "WW_DISCOVER", NULL,
        "where to look for nodes: /ip4/GROUP/udp/PORT/multicast/IF, /ip4/NET/udp/PORT/cidr/BITS or "
        "/ip4/HOST/udp/PORT; "
        "without it multicast on every interface"},
    {WW_OPT_LISTEN, "listen", 'l', WW_CLI_LIST, AT(listen), "ADDR", "WW_LISTEN", NULL,
        "listen here, such as /ip4/0.0.0.0/tcp/4001; repeatable; without it a free TCP port on every "
        "interface"},
    {WW_OPT_META, "meta", 0, WW_CLI_LIST, AT(meta), "KEY=VALUE", "WW_META", NULL,
        "metadata that others can query; repeatable"},
    {WW_OPT_TTL, "ttl", 0, WW_CLI_DURATION, AT(ttl_ns), "TIME", "WW_TTL", "10s",
        "how long others remember this node after its last heartbeat"},
    {WW_OPT_DATA, "data", 0, WW_CLI_TEXT, AT(data), "DIR", "WW_DATA", NULL,
        "keep the identity key and state here; without it a fresh identity each run"},
    {WW_OPT_ALLOW, "allow", 0, WW_CLI_TEXT, AT(allow), "FILE", "WW_ALLOW", NULL,
        "only the peer ids in this file (one a line, # comments) may log in; without it everybody"},
    {WW_OPT_LIMIT, "limit", 'n', WW_CLI_NUMBER, AT(limit), "N", NULL, NULL, "stop after N records"},
    {WW_OPT_ORDER, "order", 0, WW_CLI_TEXT, AT(order), "KEY", NULL, NULL,
        "order by id, server or host; without it by the index that the query uses"},
    {WW_OPT_REVERSE, "reverse", 'r', WW_CLI_FLAG, AT(reverse), NULL, NULL, NULL, "descending order"},
    {WW_OPT_FROM, "from", 0, WW_CLI_TEXT, AT(from), "KEY=VALUE", NULL, NULL, "start at this key (included)"},
    {WW_OPT_TO, "to", 0, WW_CLI_TEXT, AT(to), "KEY=VALUE", NULL, NULL, "end at this key (included)"},
    {WW_OPT_COUNT, "count", 'c', WW_CLI_FLAG, AT(count), NULL, NULL, NULL,
        "print only how many records match"},
    {WW_OPT_WATCH, "watch", 'w', WW_CLI_FLAG, AT(watch), NULL, NULL, NULL,
        "a standing query: print joins, changes and leaves as they happen, until interrupted"},
    {WW_OPT_PINGS, "pings", 0, WW_CLI_NUMBER, AT(pings), "N", NULL, "3", "how many pings to send"},
    {WW_OPT_TIMEOUT, "timeout", 't', WW_CLI_DURATION, AT(timeout_ns), "TIME", "WW_CLIENT_TIMEOUT", "15s",
        "give up after this long without an answer"},
    {WW_OPT_JSON, "json", 0, WW_CLI_FLAG, AT(json), NULL, "WW_JSON", NULL,
        "JSON output: one object a line (for start: the log)"},
    {WW_OPT_DEBUG, "debug", 0, WW_CLI_FLAG, AT(debug), NULL, "WW_DEBUG", NULL, "log every event"},
    {WW_OPT_HELP, "help", 'h', WW_CLI_FLAG, AT(help), NULL, NULL, NULL, "show this help"},
    {WW_OPT_VERSION, "version", 'v', WW_CLI_FLAG, AT(version), NULL, NULL, NULL, "print the version"},
};
const size_t ww_cli_opts_count = WW_COUNT_OF(ww_cli_opts);

/* What parsing allocated, in one chain. */
struct owned {
    struct owned *next;
    max_align_t data[];
};

static void *own(struct ww_cli_args *args, size_t size)
{
    struct owned *o = ww_calloc(1, sizeof *o + size);
    if (!o)
        return NULL;
    o->next = args->owned;
    args->owned = o;
    return o->data;
}

void ww_cli_args_fini(struct ww_cli_args *args)
{
    for (struct owned *o = args->owned, *next; o; o = next) {
        next = o->next;
        ww_free(o);
    }
    args->owned = NULL;
}

static void *place(struct ww_cli_args *args, const struct ww_cli_opt *o)
{
    return (char *)args + o->offset;
}

static ww_err list_add(struct ww_cli_args *args, struct ww_cli_list *list, const char *value)
{
    const char **items = own(args, (list->count + 1) * sizeof(*items));
    if (!items)
        return WW_ENOMEM;
    if (list->count)
        memcpy(items, list->items, list->count * sizeof(*items));
    items[list->count] = value;
    list->items = items;
    list->count++;
    return 0;
}

/* A list in the environment is separated by commas. */
static ww_err list_split(struct ww_cli_args *args, struct ww_cli_list *list, const char *value)
{
    size_t len = strlen(value) + 1;
    char *copy = own(args, len);
    if (!copy)
        return WW_ENOMEM;
    memcpy(copy, value, len);
    while (copy) {
        char *comma = strchr(copy, ',');
        if (comma)
            *comma++ = '\0';
        if (*copy)
            WW_TRY(list_add(args, list, copy));
        copy = comma;
    }
    return 0;
}

static ww_err flag_value(const char *value, bool *ret)
{
    static const char *const yes[] = {"1", "true", "t", "yes", "on"},
                             *const no[] = {"0", "false", "f", "no", "off", ""};
    for (size_t i = 0; i < WW_COUNT_OF(yes); i++) {
        if (strcasecmp(value, yes[i]) == 0) {
            *ret = true;
            return 0;
        }
    }
    for (size_t i = 0; i < WW_COUNT_OF(no); i++) {
        if (strcasecmp(value, no[i]) == 0) {
            *ret = false;
            return 0;
        }
    }
    return WW_EINVAL;
}

static ww_err set_number(const char *value, uint64_t *ret)
{
    char *end;
    if (*value < '0' || *value > '9')
        return WW_EINVAL;
    unsigned long long v = strtoull(value, &end, 10);
    if (*end || v > INT64_MAX)
        return WW_EINVAL;
    *ret = v;
    return 0;
}

/* `where` names the option as the user wrote it, for the message. */
static ww_err set_value(struct ww_cli_args *args, const struct ww_cli_opt *o, const char *value,
    const char *where, bool from_env, struct ww_diag *diag)
{
    void *at = place(args, o);
    switch (o->type) {
    case WW_CLI_FLAG:
        if (flag_value(value, at) < 0)
            return ww_diag_set(diag, WW_EINVAL, "%s: '%s' is neither true nor false", where, value);
        return 0;
    case WW_CLI_TEXT:
        *(const char **)at = value;
        return 0;
    case WW_CLI_LIST:
        if ((from_env ? list_split(args, at, value) : list_add(args, at, value)) < 0)
            return ww_diag_set(diag, WW_ENOMEM, "out of memory");
        return 0;
    case WW_CLI_DURATION:
        if (ww_duration_parse(value, at) < 0)
            return ww_diag_set(diag, WW_EINVAL,
                "%s: '%s' is no duration; write a number and a unit, such as 3s or 500ms", where, value);
        return 0;
    case WW_CLI_NUMBER:
        if (set_number(value, at) < 0)
            return ww_diag_set(diag, WW_EINVAL, "%s: '%s' is no whole number", where, value);
        return 0;
    }
    return 0;
}

static const struct ww_cli_opt *find_long(const char *name, size_t len)
{
    for (size_t i = 0; i < ww_cli_opts_count; i++) {
        if (strlen(ww_cli_opts[i].name) == len && memcmp(ww_cli_opts[i].name, name, len) == 0)
            return &ww_cli_opts[i];
    }
    return NULL;
}

static const struct ww_cli_opt *find_letter(char letter)
{
    for (size_t i = 0; i < ww_cli_opts_count; i++) {
        if (ww_cli_opts[i].letter == letter)
            return &ww_cli_opts[i];
    }
    return NULL;
}

/* Levenshtein distance of two short words; long ones count as far apart. */
static size_t distance(const char *a, const char *b)
{
    size_t row[32], m = strlen(a), n = strlen(b);
    if (m >= WW_COUNT_OF(row) || n >= WW_COUNT_OF(row))
        return SIZE_MAX;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; i <= m; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t up = row[j], best = diagonal + (a[i - 1] != b[j - 1]);
            best = up + 1 < best ? up + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = up;
        }
    }
    return row[n];
}

const char *ww_cli_nearest(const char *word, const char *const *names, size_t count)
{
    const char *best = NULL;
    size_t best_distance = 3; /* two slips of the finger */
    for (size_t i = 0; i < count; i++) {
        size_t d = distance(word, names[i]);
        if (d < best_distance) {
            best_distance = d;
            best = names[i];
        }
    }
    return best;
}

static ww_err unknown_option(const char *arg, struct ww_diag *diag)
{
    const char *names[WW_COUNT_OF(ww_cli_opts)];
    for (size_t i = 0; i < ww_cli_opts_count; i++)
        names[i] = ww_cli_opts[i].name;
    const char *near = arg[1] == '-' ? ww_cli_nearest(arg + 2, names, ww_cli_opts_count) : NULL;
    if (near)
        return ww_diag_set(diag, WW_EINVAL, "unknown option %s; did you mean --%s?", arg, near);
    return ww_diag_set(diag, WW_EINVAL, "unknown option %s", arg);
}

/* Takes the option at argv[*i], and its value, which may be the next argument. */
static ww_err take_option(
    int argc, char *const argv[], int *i, struct ww_cli_args *args, uint32_t *given, struct ww_diag *diag)
{
    const char *arg = argv[*i], *value = NULL;
    const struct ww_cli_opt *o;
    if (arg[1] == '-') {
        const char *equals = strchr(arg, '=');
        o = find_long(arg + 2, equals ? (size_t)(equals - arg - 2) : strlen(arg + 2));
        value = equals ? equals + 1 : NULL;
    } else {
        o = find_letter(arg[1]);
        value = arg[2] ? arg + 2 : NULL;
        if (o && o->type == WW_CLI_FLAG && value)
            return ww_diag_set(
                diag, WW_EINVAL, "%s: -%c takes no value; write single letters apart", arg, o->letter);
    }
    if (!o)
        return unknown_option(arg, diag);
    if (o->type == WW_CLI_FLAG && !value) {
        *(bool *)place(args, o) = true;
    } else {
        if (!value) {
            if (*i + 1 >= argc)
                return ww_diag_set(diag, WW_EINVAL, "%s needs a value (%s)", arg, o->metavar);
            value = argv[++*i];
        }
        char where[48];
        snprintf(where, sizeof where, "--%s", o->name);
        WW_TRY(set_value(args, o, value, where, false, diag));
    }
    *given |= o->id;
    return 0;
}

static ww_err fill_unset(struct ww_cli_args *args, uint32_t given, struct ww_diag *diag)
{
    for (size_t i = 0; i < ww_cli_opts_count; i++) {
        const struct ww_cli_opt *o = &ww_cli_opts[i];
        const char *env = o->env ? getenv(o->env) : NULL;
        if (given & o->id)
            continue;
        if (env && *env)
            WW_TRY(set_value(args, o, env, o->env, true, diag));
        else if (o->fallback)
            WW_TRY(set_value(args, o, o->fallback, o->name, false, diag));
    }
    return 0;
}

ww_err ww_cli_parse(
    int argc, char *const argv[], struct ww_cli_args *ret, uint32_t *ret_given, struct ww_diag *diag)
{
    uint32_t given = 0;
    *ret = (struct ww_cli_args){0};
    ret->rest = own(ret, ((size_t)argc + 1) * sizeof(char *));
    if (!ret->rest)
        return ww_diag_set(diag, WW_ENOMEM, "out of memory");
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            while (++i < argc)
                ret->rest[ret->rest_count++] = argv[i];
        } else if (argv[i][0] == '-' && argv[i][1]) {
            WW_TRY(take_option(argc, argv, &i, ret, &given, diag));
        } else {
            ret->rest[ret->rest_count++] = argv[i];
        }
    }
    WW_TRY(fill_unset(ret, given, diag));
    *ret_given = given;
    return 0;
}
