/* A Wetware node inside a program: says who comes and goes, and answers one question about them.
 *
 *     embed NS LISTEN [WHERE_TO_LOOK [QUERY]]
 *     embed demo /ip4/127.0.0.1/tcp/0
 *     embed demo /ip4/127.0.0.1/tcp/0 /ip4/127.0.0.1/tcp/40001/p2p/12D3KooW... "role == example"
 *
 * WHERE_TO_LOOK is the address of a node (it ends in /p2p/ID), or an address to search at; "-" searches on
 * all interfaces. The question is asked when the first other node has come. An interrupt says farewell and
 * ends.
 *
 *     cc -std=c11 embed.c $(pkg-config --cflags --libs ww) -o embed
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <ww/node.h>

struct program {
    struct ww_embed_node_user node_events; /* first: the callbacks cast back */
    struct ww_runtime *runtime;
    struct ww_embed_node *node;
    const char *question; /* NULL: none, or asked */
    int gone;
};

static struct ww_runtime *runtime; /* for the signal handler, which may call ww_runtime_stop */

static void interrupted(int number)
{
    (void)number;
    ww_runtime_stop(runtime);
}

static void print_record(const char *what, const struct ww_embed_record *record)
{
    printf("%s %s %.*s", what, record->peer, (int)record->host.len, (const char *)record->host.ptr);
    for (size_t i = 0; i < record->meta_count; i++)
        printf(" %.*s", (int)record->meta[i].len, (const char *)record->meta[i].ptr);
    printf("\n");
    fflush(stdout);
}

/* ---- the question ---- */

static bool answer(struct ww_embed_select *select, const struct ww_embed_record *record)
{
    (void)select;
    print_record("answer", record);
    return true; /* the next one, please */
}

static void ask(struct program *p)
{
    struct ww_embed_query_options options = {
        .size = sizeof options, .where = p->question, .order = WW_EMBED_ORDER_ID};
    struct ww_embed_select select = {.record = answer};
    struct ww_diag diag;
    uint64_t count;
    if (ww_embed_node_select(p->node, &options, &select, &count, &diag) < 0)
        printf("error %s\n", diag.text);
    else
        printf("answers %llu\n", (unsigned long long)count);
    fflush(stdout);
    p->question = NULL;
}

/* ---- what the node tells ---- */

static void on_addresses(struct ww_embed_node_user *user, const char *const *addrs, size_t count)
{
    (void)user;
    for (size_t i = 0; i < count; i++)
        printf("address %s\n", addrs[i]);
    fflush(stdout);
}

static void on_joined(struct ww_embed_node_user *user, const struct ww_embed_record *record)
{
    struct program *p = (struct program *)user;
    print_record("joined", record);
    if (p->question)
        ask(p);
}

static void on_changed(struct ww_embed_node_user *user, const struct ww_embed_record *record)
{
    (void)user;
    print_record("changed", record);
}

static void on_left(struct ww_embed_node_user *user, const struct ww_embed_record *record, bool expired)
{
    (void)user;
    print_record(expired ? "expired" : "left", record);
}

static void on_gone(struct ww_embed_node_user *user)
{
    struct program *p = (struct program *)user;
    p->gone = 1;
    ww_runtime_stop(p->runtime);
}

static const struct ww_embed_node_ops node_ops = {
    .size = sizeof node_ops,
    .addresses = on_addresses,
    .joined = on_joined,
    .changed = on_changed,
    .left = on_left,
    .gone = on_gone,
};

/* ---- */

static ww_err start(struct program *p, char **argv, struct ww_diag *diag)
{
    const char *meta[] = {"role=example"};
    const char *listen[] = {argv[2]}, *look[] = {argv[3]};
    struct ww_embed_node_options options = {
        .size = sizeof options,
        .ns = argv[1],
        .listen = listen,
        .listen_count = 1,
        .meta = meta,
        .meta_count = 1,
        .ttl_ms = 2000,
    };
    if (argv[3] && strstr(argv[3], "/p2p/")) {
        options.peers = look;
        options.peer_count = 1;
    } else if (argv[3] && strcmp(argv[3], "-") != 0) {
        options.discover = look;
        options.discover_count = 1;
    }
    return ww_embed_node_new(p->runtime, &options, &p->node_events, &p->node, diag);
}

int main(int argc, char **argv)
{
    struct program p = {.node_events = {.ops = &node_ops}};
    struct ww_diag diag = {0};
    if (argc < 3) {
        fprintf(stderr, "usage: embed NS LISTEN [WHERE_TO_LOOK [QUERY]]\n");
        return 2;
    }
    if (argc > 4)
        p.question = argv[4];
    ww_err err = ww_runtime_new(&p.runtime);
    if (err < 0) {
        fprintf(stderr, "embed: %s\n", ww_err_text(err));
        return 1;
    }
    runtime = p.runtime;
    signal(SIGINT, interrupted);
    signal(SIGTERM, interrupted);
    err = start(&p, argv, &diag);
    if (err < 0) {
        fprintf(stderr, "embed: %s\n", diag.text);
        ww_runtime_free(p.runtime);
        return 1;
    }
    printf("peer %s\n", ww_embed_node_peer(p.node));
    err = ww_runtime_run(p.runtime); /* until interrupted */
    ww_embed_node_leave(p.node);
    while (err == 0 && !p.gone)
        err = ww_runtime_run(p.runtime);
    ww_embed_node_free(p.node);
    ww_runtime_free(p.runtime);
    return err < 0 ? 1 : 0;
}
