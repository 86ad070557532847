/* ww/node.h as a program uses it: whole nodes and clients on loopback sockets, in one thread and one loop.
 * A watchdog in the helper `until` fails a test that would wait for ever. */
#include <unistd.h>
#include <poll.h>
#include <pthread.h>
#include <time.h>

#include "embed/node.h"
#include "test/lib/alloc_fail.h"
#include "test/lib/test.h"
#include "ww/node.h"

#define WAIT_S 15

/* ---- what everything that happens is written to ---- */

struct node {
    struct ww_embed_node_user user; /* first */
    struct ww_embed_node *node;
    struct node *other; /* whose peer id is waited for; NULL: anybody's */
    size_t address_count;
    int joined, changed, left, resets;
    bool expired, gone, free_when_joined;
    char meta[64], host[64];
    uint64_t server;
};

/* Nobody else's: another run of these tests on this machine must not be met. */
static const char *own_namespace(void)
{
    static char ns[64];
    if (!ns[0]) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        snprintf(ns, sizeof ns, "embed-%d-%llx", (int)getpid(),
            (unsigned long long)now.tv_sec * 1000000000u + (unsigned long long)now.tv_nsec);
    }
    return ns;
}

static void on_addresses(struct ww_embed_node_user *user, const char *const *addrs, size_t count)
{
    struct node *n = (struct node *)user;
    n->address_count = count;
    assert_null(addrs[count]);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(addrs[i], ww_embed_node_address(n->node, i));
}

static void put(char *out, size_t size, struct ww_bytes text)
{
    snprintf(out, size, "%.*s", (int)text.len, (const char *)text.ptr);
}

static void on_joined(struct ww_embed_node_user *user, const struct ww_embed_record *record)
{
    struct node *n = (struct node *)user;
    assert_string_not_equal(record->peer, ww_embed_node_peer(n->node));
    if (n->other)
        assert_string_equal(record->peer, ww_embed_node_peer(n->other->node));
    n->joined++;
    n->server = record->server;
    put(n->host, sizeof n->host, record->host);
    put(n->meta, sizeof n->meta, record->meta_count ? record->meta[0] : (struct ww_bytes){0});
    assert_int_equal(record->ttl_ms, 1000);
    assert_true(record->seq > 0);
    if (n->free_when_joined) {
        ww_embed_node_free(n->node);
        n->node = NULL;
    }
}

static void on_changed(struct ww_embed_node_user *user, const struct ww_embed_record *record)
{
    struct node *n = (struct node *)user;
    n->changed++;
    n->server = record->server;
}

static void on_left(struct ww_embed_node_user *user, const struct ww_embed_record *record, bool expired)
{
    struct node *n = (struct node *)user;
    n->left++;
    n->expired = expired;
    assert_int_equal(record->server, n->server);
    put(n->meta, sizeof n->meta, record->meta_count ? record->meta[0] : (struct ww_bytes){0});
}

static void on_reset(struct ww_embed_node_user *user)
{
    ((struct node *)user)->resets++;
}

static void on_gone(struct ww_embed_node_user *user)
{
    ((struct node *)user)->gone = true;
}

static const struct ww_embed_node_ops node_ops = {
    .size = sizeof node_ops,
    .addresses = on_addresses,
    .joined = on_joined,
    .changed = on_changed,
    .left = on_left,
    .reset = on_reset,
    .gone = on_gone,
};

struct query {
    struct ww_embed_query_user user; /* first */
    struct ww_embed_query *query;
    int records, left, ready, resets, done;
    bool free_at_record;
    ww_err err;
    uint64_t count;
    char peer[80], text[128];
};

static void on_record(struct ww_embed_query_user *user, const struct ww_embed_record *record)
{
    struct query *q = (struct query *)user;
    q->records++;
    snprintf(q->peer, sizeof q->peer, "%s", record->peer);
    if (q->free_at_record) {
        ww_embed_query_free(q->query);
        q->query = NULL;
    }
}

static void on_query_left(struct ww_embed_query_user *user, const char *peer)
{
    struct query *q = (struct query *)user;
    q->left++;
    snprintf(q->peer, sizeof q->peer, "%s", peer);
}

static void on_query_ready(struct ww_embed_query_user *user)
{
    ((struct query *)user)->ready++;
}

static void on_query_reset(struct ww_embed_query_user *user)
{
    ((struct query *)user)->resets++;
}

static void on_done(struct ww_embed_query_user *user, ww_err err, uint64_t count, const char *text)
{
    struct query *q = (struct query *)user;
    q->done++;
    q->err = err;
    q->count = count;
    snprintf(q->text, sizeof q->text, "%s", text);
}

static const struct ww_embed_query_ops query_ops = {
    .size = sizeof query_ops,
    .record = on_record,
    .left = on_query_left,
    .ready = on_query_ready,
    .reset = on_query_reset,
    .done = on_done,
};

struct client {
    struct ww_embed_client_user user; /* first */
    struct ww_embed_client *client;
    bool ready, failed, free_when_ready;
    ww_err err;
    uint64_t server;
    char peer[80], text[512];
};

static void on_ready(struct ww_embed_client_user *user, const char *peer, uint64_t server)
{
    struct client *c = (struct client *)user;
    c->ready = true;
    c->server = server;
    snprintf(c->peer, sizeof c->peer, "%s", peer);
    if (c->free_when_ready) {
        ww_embed_client_free(c->client);
        c->client = NULL;
    }
}

static void on_failed(struct ww_embed_client_user *user, ww_err err, const char *text)
{
    struct client *c = (struct client *)user;
    c->failed = true;
    c->err = err;
    snprintf(c->text, sizeof c->text, "%s", text);
}

static const struct ww_embed_client_ops client_ops = {
    .size = sizeof client_ops,
    .ready = on_ready,
    .failed = on_failed,
};

/* ---- helpers ---- */

static double seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

#define until(runtime, cond)                                                                                 \
    do {                                                                                                     \
        double until_end = seconds() + WAIT_S;                                                               \
        while (!(cond)) {                                                                                    \
            assert_true(seconds() < until_end);                                                              \
            assert_true(ww_runtime_step(runtime, 100) >= 0);                                                 \
        }                                                                                                    \
    } while (0)

/* A port that nobody answers at: a node that only waits. */
static const char *const nowhere[] = {"/ip4/127.0.0.1/udp/9"};
static const char *const loopback[] = {"/ip4/127.0.0.1/tcp/0"};

static void node_start(struct ww_runtime *runtime, struct node *n, const char *role, const struct node *to)
{
    char peer[256];
    const char *const meta[] = {role}, *const peers[] = {peer};
    struct ww_embed_node_options options = {
        .size = sizeof options,
        .ns = own_namespace(),
        .listen = loopback,
        .listen_count = 1,
        .discover = nowhere,
        .discover_count = 1,
        .meta = meta,
        .meta_count = 1,
        .host = "box",
        .ttl_ms = 1000,
    };
    struct ww_diag diag = {0};
    if (to) {
        snprintf(peer, sizeof peer, "%s", ww_embed_node_address(to->node, 0));
        options.peers = peers;
        options.peer_count = 1;
        options.discover = NULL;
        options.discover_count = 0;
    }
    n->user.ops = &node_ops;
    if (ww_embed_node_new(runtime, &options, &n->user, &n->node, &diag) < 0)
        fail_msg("%s", diag.text);
}

static void client_start(
    struct ww_runtime *runtime, struct client *c, const struct node *to, uint32_t timeout_ms)
{
    char peer[256];
    const char *const peers[] = {peer};
    struct ww_embed_client_options options = {
        .size = sizeof options,
        .ns = own_namespace(),
        .peers = peers,
        .peer_count = 1,
        .timeout_ms = timeout_ms,
    };
    snprintf(peer, sizeof peer, "%s", ww_embed_node_address(to->node, 0));
    c->user.ops = &client_ops;
    assert_ok(ww_embed_client_new(runtime, &options, &c->user, &c->client, NULL));
}

static struct ww_embed_query_options where(const char *text)
{
    return (struct ww_embed_query_options){.size = sizeof(struct ww_embed_query_options), .where = text};
}

/* ---- tests ---- */

struct gathered {
    struct ww_embed_select select; /* first */
    char peers[4][80];
    size_t count, enough;
};

static bool gather(struct ww_embed_select *select, const struct ww_embed_record *record)
{
    struct gathered *g = (struct gathered *)select;
    assert_true(g->count < 4);
    snprintf(g->peers[g->count++], sizeof g->peers[0], "%s", record->peer);
    return g->count < g->enough;
}

static void select_own_table(struct node *a, struct node *b)
{
    struct ww_embed_query_options options = where("role == db");
    struct gathered g = {.select = {gather}, .enough = 4};
    uint64_t count = 77;
    assert_ok(ww_embed_node_select(a->node, &options, &g.select, &count, NULL));
    assert_int_equal(count, 1);
    assert_string_equal(g.peers[0], ww_embed_node_peer(b->node));

    options = where(NULL);
    options.order = WW_EMBED_ORDER_ID;
    g.count = 0;
    assert_ok(ww_embed_node_select(a->node, &options, &g.select, &count, NULL));
    assert_int_equal(count, 2);
    assert_true(strcmp(g.peers[0], g.peers[1]) < 0);
    options.descending = true;
    g.count = 0;
    assert_ok(ww_embed_node_select(a->node, &options, &g.select, &count, NULL));
    assert_true(strcmp(g.peers[0], g.peers[1]) > 0);
    g.count = 0;
    g.enough = 1; /* says stop at the first */
    assert_ok(ww_embed_node_select(a->node, &options, &g.select, &count, NULL));
    assert_int_equal(count, 1);
    options = where(NULL);
    options.count_only = true;
    assert_ok(ww_embed_node_select(a->node, &options, NULL, &count, NULL));
    assert_int_equal(count, 2);
}

static void ask_own_table(struct ww_runtime *runtime, struct node *a, struct node *b)
{
    struct ww_embed_query_options options = where("role = d AND host == box");
    struct query q = {.user = {&query_ops}};
    assert_ok(ww_embed_node_query(a->node, &options, &q.user, &q.query, NULL));
    assert_int_equal(q.records + q.done, 0); /* never inside the call */
    until(runtime, q.done);
    assert_int_equal(q.err, 0);
    assert_int_equal(q.records, 1);
    assert_int_equal(q.count, 1);
    assert_string_equal(q.peer, ww_embed_node_peer(b->node));
    ww_embed_query_free(q.query);
}

static void ask_remote(struct ww_runtime *runtime, struct client *c, struct node *a)
{
    struct ww_embed_query_options options = where("role == web");
    struct query q = {.user = {&query_ops}}, all = {.user = {&query_ops}}, one = {.user = {&query_ops}};
    assert_ok(ww_embed_client_query(c->client, &options, &q.user, &q.query, NULL));
    options = where("");
    options.count_only = true;
    assert_ok(ww_embed_client_query(c->client, &options, &all.user, &all.query, NULL));
    options = where("");
    options.limit = 1;
    assert_ok(ww_embed_client_query(c->client, &options, &one.user, &one.query, NULL));
    until(runtime, q.done && all.done && one.done);
    assert_int_equal(q.records, 1);
    assert_string_equal(q.peer, ww_embed_node_peer(a->node));
    assert_int_equal(all.records, 0);
    assert_int_equal(all.count, 2);
    assert_int_equal(one.records, 1);
    ww_embed_query_free(q.query);
    ww_embed_query_free(all.query);
    ww_embed_query_free(one.query);
}

/* Everything together: two nodes find each other by address, are asked, and one leaves. */
static void test_nodes_meet_answer_and_leave(void **state)
{
    struct ww_runtime *runtime;
    struct node a = {.other = NULL}, b = {.other = &a};
    struct client c = {.ready = false};
    struct query watch = {.user = {&query_ops}}, own = {.user = {&query_ops}};
    struct ww_embed_query_options standing = where("role == db");
    standing.standing = true;
    WW_UNUSED(state);
    assert_ok(ww_runtime_new(&runtime));
    node_start(runtime, &a, "role=web", NULL);
    a.other = &b;
    node_start(runtime, &b, "role=db", &a);
    assert_int_equal(a.address_count, 0); /* never inside the call */
    until(runtime, a.joined && b.joined && ww_embed_node_count(a.node) == 2);
    assert_int_equal(a.address_count, 1);
    assert_string_equal(a.meta, "role=db");
    assert_string_equal(a.host, "box");
    assert_int_equal(a.server, ww_embed_node_server(b.node));
    assert_string_equal(b.meta, "role=web");

    select_own_table(&a, &b);
    ask_own_table(runtime, &a, &b);
    client_start(runtime, &c, &a, 0);
    assert_int_equal(ww_embed_client_query(c.client, &standing, &watch.user, &watch.query, NULL), WW_ESTATE);
    until(runtime, c.ready);
    assert_string_equal(c.peer, ww_embed_node_peer(a.node));
    assert_int_equal(c.server, ww_embed_node_server(a.node));
    ask_remote(runtime, &c, &a);

    assert_ok(ww_embed_client_query(c.client, &standing, &watch.user, &watch.query, NULL));
    assert_ok(ww_embed_node_query(a.node, &standing, &own.user, &own.query, NULL));
    until(runtime, watch.ready && own.ready);
    assert_int_equal(watch.records, 1);
    assert_int_equal(own.records, 1);
    char leaver[80];
    snprintf(leaver, sizeof leaver, "%s", ww_embed_node_peer(b.node));
    ww_embed_node_leave(b.node);
    ww_embed_node_leave(b.node);
    assert_false(b.gone);
    until(runtime, b.gone);
    ww_embed_node_free(b.node);
    until(runtime, a.left && watch.left && own.left);
    assert_false(a.expired);
    assert_string_equal(a.meta, "role=db"); /* the record goes with the news */
    assert_string_equal(watch.peer, leaver);
    assert_int_equal(a.joined, 1);
    assert_int_equal(a.left, 1);
    assert_int_equal(a.changed + a.resets, 0);

    ww_embed_query_free(watch.query);
    ww_embed_node_free(a.node); /* takes the local query's voice, and the client's session */
    until(runtime, c.failed);
    assert_int_equal(own.done, 0);
    ww_embed_query_free(own.query);
    ww_embed_client_free(c.client);
    ww_runtime_free(runtime);
}

/* A node that is gone without a farewell is told as expired; one under the same key is a change. */
static void test_silence_is_told_as_expiry(void **state)
{
    struct ww_runtime *runtime;
    struct node a = {.other = NULL}, b = {.other = &a};
    WW_UNUSED(state);
    assert_ok(ww_runtime_new(&runtime));
    node_start(runtime, &a, "role=web", NULL);
    node_start(runtime, &b, "role=db", &a);
    until(runtime, a.joined && b.joined);
    ww_embed_node_free(b.node);
    until(runtime, a.left);
    assert_true(a.expired);
    ww_embed_node_free(a.node);
    ww_runtime_free(runtime);
}

/* Freed where the callback came from: in the middle of lower layers' work. */
static void test_free_inside_callbacks(void **state)
{
    struct ww_runtime *runtime;
    struct node a = {.other = NULL}, b = {.free_when_joined = true};
    struct client c = {.free_when_ready = true}, d = {.ready = false};
    struct query q = {.user = {&query_ops}, .free_at_record = true}, last = {.user = {&query_ops}};
    struct ww_embed_query_options all = where(NULL);
    WW_UNUSED(state);
    assert_ok(ww_runtime_new(&runtime));
    node_start(runtime, &a, "role=web", NULL);
    node_start(runtime, &b, "role=db", &a);
    until(runtime, b.joined && !b.node);
    client_start(runtime, &c, &a, 0);
    until(runtime, c.ready && !c.client);
    client_start(runtime, &d, &a, 0);
    until(runtime, d.ready);
    assert_ok(ww_embed_client_query(d.client, &all, &q.user, &q.query, NULL));
    assert_ok(ww_embed_client_query(d.client, &all, &last.user, &last.query, NULL));
    until(runtime, last.done);
    assert_int_equal(q.records, 1);
    assert_int_equal(q.done, 0);
    ww_embed_query_free(last.query);
    ww_embed_client_free(d.client);
    ww_embed_node_free(a.node);
    ww_runtime_free(runtime);
}

/* Our descriptors in a poll() of somebody else's, with nothing but the timeouts that we name. The client has
 * a runtime of its own, in which no heartbeat would cover up for a socket that the kernel was not told of. */
static void test_guest_in_another_loop(void **state)
{
    struct ww_runtime *runtimes[2];
    struct node a = {.other = NULL}, b = {.other = &a};
    struct client c = {.ready = false};
    double end = seconds() + WAIT_S, began = 0, quiet = 0;
    unsigned turns = 0;
    WW_UNUSED(state);
    for (size_t i = 0; i < 2; i++)
        assert_ok(ww_runtime_new(&runtimes[i]));
    node_start(runtimes[0], &a, "role=web", NULL);
    node_start(runtimes[0], &b, "role=db", &a);
    while (quiet == 0 || seconds() < quiet) {
        struct pollfd fds[2];
        int timeout = 1000;
        assert_true(seconds() < end);
        if (a.joined && b.joined && began == 0) {
            began = seconds();
            client_start(runtimes[1], &c, &a, 0);
        }
        if (c.ready && quiet == 0) {
            assert_true(seconds() - began < 2);
            quiet = seconds() + 0.5;
            turns = 0;
        }
        for (size_t i = 0; i < 2; i++) {
            int wish = ww_runtime_timeout_ms(runtimes[i]);
            timeout = wish >= 0 && wish < timeout ? wish : timeout;
            fds[i] = (struct pollfd){.fd = ww_runtime_fd(runtimes[i]), .events = POLLIN};
        }
        poll(fds, 2, timeout);
        for (size_t i = 0; i < 2; i++)
            assert_true(ww_runtime_step(runtimes[i], 0) >= 0);
        turns++;
    }
    /* Nobody spins: two nodes at a TTL of a second have little to do in half a second. */
    assert_true(turns < 300);
    ww_embed_client_free(c.client);
    ww_embed_node_free(b.node);
    ww_embed_node_free(a.node);
    for (size_t i = 0; i < 2; i++)
        ww_runtime_free(runtimes[i]);
}

static void *stop_soon(void *runtime)
{
    struct timespec ts = {.tv_nsec = 50 * 1000 * 1000};
    nanosleep(&ts, NULL);
    ww_runtime_stop(runtime);
    return NULL;
}

static void test_stop_from_another_thread(void **state)
{
    struct ww_runtime *runtime;
    struct node a = {.other = NULL};
    pthread_t thread;
    WW_UNUSED(state);
    assert_ok(ww_runtime_new(&runtime));
    /* Nothing to do: neither a run nor an unbounded step waits; a bounded step does, and can be stopped. */
    assert_ok(ww_runtime_run(runtime));
    assert_int_equal(ww_runtime_step(runtime, -1), 0);
    double begin = seconds();
    assert_int_equal(ww_runtime_step(runtime, 30), 0);
    assert_true(seconds() - begin >= 0.02);
    assert_int_equal(pthread_create(&thread, NULL, stop_soon, runtime), 0);
    begin = seconds();
    assert_int_equal(ww_runtime_step(runtime, WAIT_S * 1000), 0);
    assert_true(seconds() - begin < WAIT_S / 2);
    pthread_join(thread, NULL);

    node_start(runtime, &a, "role=web", NULL);
    assert_int_equal(pthread_create(&thread, NULL, stop_soon, runtime), 0);
    assert_ok(ww_runtime_run(runtime));
    pthread_join(thread, NULL);
    ww_runtime_stop(runtime); /* before the run: it is not lost */
    assert_ok(ww_runtime_run(runtime));
    ww_embed_node_free(a.node);
    ww_runtime_free(runtime);
}

static void refuse_node(
    struct ww_runtime *runtime, struct ww_embed_node_options options, ww_err err, const char *names)
{
    struct ww_embed_node *node = NULL;
    struct ww_diag diag = {0};
    if (!options.discover) {
        options.discover = nowhere;
        options.discover_count = 1;
    }
    assert_int_equal(ww_embed_node_new(runtime, &options, NULL, &node, &diag), err);
    assert_null(node);
    assert_non_null(strstr(diag.text, names));
    assert_null(strstr(diag.text, "--"));
}

static void test_options_are_checked(void **state)
{
    struct ww_runtime *runtime;
    struct ww_embed_node_options good = {.size = sizeof good}, o;
    const char *const bad[] = {"bad"}, *const udp[] = {"/ip4/127.0.0.1/udp/1"};
    WW_UNUSED(state);
    assert_ok(ww_runtime_new(&runtime));
    o = good;
    o.size = 0;
    refuse_node(runtime, o, WW_EINVAL, "size");
    o = good;
    o.ns = "a/b";
    refuse_node(runtime, o, WW_EINVAL, "namespace");
    o = good;
    o.listen = bad;
    o.listen_count = 1;
    refuse_node(runtime, o, WW_EINVAL, "listen: 'bad'");
    o.listen = udp;
    refuse_node(runtime, o, WW_EUNSUPPORTED, "/udp/1");
    o = good;
    o.peers = bad;
    o.peer_count = 1;
    refuse_node(runtime, o, WW_EINVAL, "peer: 'bad'");
    o = good;
    o.discover = bad;
    o.discover_count = 1;
    refuse_node(runtime, o, WW_EINVAL, "discover: 'bad'");
    o = good;
    o.meta = bad;
    o.meta_count = 1;
    refuse_node(runtime, o, WW_EINVAL, "meta: 'bad'");
    o = good;
    o.allow = bad;
    o.allow_count = 1;
    refuse_node(runtime, o, WW_EINVAL, "allow: 'bad'");
    o = good;
    o.ttl_ms = 1;
    refuse_node(runtime, o, WW_EINVAL, "ttl");
    o = good;
    o.data_dir = "/dev/null/x";
    refuse_node(runtime, o, WW_EIO, "/dev/null/x");
    ww_runtime_free(runtime);
}

/* A program built against a header with more, or with fewer, members. */
static void test_structs_of_other_versions(void **state)
{
    struct {
        struct ww_embed_node_options known;
        uint64_t added;
    } newer = {.known = {.size = sizeof newer,
                   .listen = loopback,
                   .listen_count = 1,
                   .discover = nowhere,
                   .discover_count = 1}};
    struct ww_embed_node_options older = newer.known;
    struct ww_runtime *runtime;
    struct ww_embed_node *node;
    struct ww_diag diag;
    WW_UNUSED(state);
    assert_ok(ww_runtime_new(&runtime));
    assert_ok(ww_embed_node_new(runtime, &newer.known, NULL, &node, NULL));
    ww_embed_node_free(node);
    newer.added = 1;
    assert_int_equal(ww_embed_node_new(runtime, &newer.known, NULL, &node, &diag), WW_EUNSUPPORTED);
    older.size = offsetof(struct ww_embed_node_options, ttl_ms);
    older.ttl_ms = 1; /* would be refused, if it were looked at */
    assert_ok(ww_embed_node_new(runtime, &older, NULL, &node, NULL));
    ww_embed_node_free(node);
    ww_runtime_free(runtime);
}

static void refuse_query(struct ww_embed_node *node, struct ww_embed_query_options options, const char *says)
{
    struct query q = {.user = {&query_ops}};
    struct ww_diag diag = {0};
    assert_int_equal(ww_embed_node_query(node, &options, &q.user, &q.query, &diag), WW_EINVAL);
    assert_null(q.query);
    assert_non_null(strstr(diag.text, says));
}

static void test_queries_are_checked(void **state)
{
    struct ww_embed_query_options o;
    struct ww_runtime *runtime;
    struct node a = {.other = NULL};
    struct ww_diag diag;
    WW_UNUSED(state);
    assert_ok(ww_runtime_new(&runtime));
    node_start(runtime, &a, "role=web", NULL);
    refuse_query(a.node, where("role = db AND"), "where: at byte 13: ");
    o = where(NULL);
    o.standing = true;
    o.limit = 3;
    refuse_query(a.node, o, "standing");
    o.limit = 0;
    assert_int_equal(ww_embed_node_select(a.node, &o, NULL, NULL, &diag), WW_EINVAL);
    o = where(NULL);
    o.order = (enum ww_embed_order)9;
    refuse_query(a.node, o, "order");
    ww_embed_node_free(a.node);
    ww_runtime_free(runtime);
}

/* Who is not on the list is kept out, and is told so. */
static void test_allow_list(void **state)
{
    struct ww_runtime *runtime;
    const char *const nobody[] = {"12D3KooWLnZUpcaBwbz9uD1XsyyHnbXUrJRmxnsMiRnuCmvPix67"};
    struct ww_embed_node_options options = {
        .size = sizeof options,
        .ns = own_namespace(),
        .listen = loopback,
        .listen_count = 1,
        .discover = nowhere,
        .discover_count = 1,
        .allow = nobody,
        .allow_count = 1,
    };
    struct node a = {.user = {&node_ops}};
    struct client c = {.ready = false};
    WW_UNUSED(state);
    assert_ok(ww_runtime_new(&runtime));
    assert_ok(ww_embed_node_new(runtime, &options, &a.user, &a.node, NULL));
    client_start(runtime, &c, &a, 5000);
    until(runtime, c.failed || c.ready);
    assert_false(c.ready);
    assert_int_equal(c.err, WW_EREFUSED);
    assert_non_null(strstr(c.text, ww_embed_node_peer(a.node)));
    ww_embed_client_free(c.client);
    ww_embed_node_free(a.node);
    ww_runtime_free(runtime);
}

struct log {
    struct ww_runtime_log log; /* first */
    int lines;
    char last[512];
};

static void on_line(struct ww_runtime_log *log, const char *text)
{
    struct log *l = (struct log *)log;
    l->lines++;
    snprintf(l->last, sizeof l->last, "%s", text);
}

static void test_log(void **state)
{
    struct ww_runtime *runtime;
    struct log l = {.log = {.line = on_line}};
    struct node a = {.other = NULL};
    WW_UNUSED(state);
    assert_ok(ww_runtime_new(&runtime));
    ww_runtime_log_set(runtime, &l.log);
    node_start(runtime, &a, "role=web", NULL);
    assert_int_equal(strncmp(l.last, "swarm.listen addr=/ip4/127.0.0.1/tcp/", 37), 0);
    ww_embed_node_free(a.node);
    l.log.json = true;
    node_start(runtime, &a, "role=web", NULL);
    assert_int_equal(strncmp(l.last, "{\"event\":\"swarm.listen\",\"addr\":", 31), 0);
    assert_int_equal(l.last[strlen(l.last) - 1], '}');
    ww_runtime_log_set(runtime, NULL);
    int lines = l.lines;
    ww_embed_node_free(a.node);
    assert_int_equal(l.lines, lines);
    ww_runtime_free(runtime);
}

/* ---- when memory runs out ---- */

/* What a program would hold; a peer's number is its server id. */
struct crowd {
    struct ww_embed_node_user user; /* first */
    bool present[64];
    int resets;
};

static uint8_t number_of(const struct ww_embed_record *record)
{
    return (uint8_t)(record->server % 64);
}

static void crowd_joined(struct ww_embed_node_user *user, const struct ww_embed_record *record)
{
    struct crowd *c = (struct crowd *)user;
    assert_false(c->present[number_of(record)]);
    c->present[number_of(record)] = true;
}

static void crowd_left(struct ww_embed_node_user *user, const struct ww_embed_record *record, bool expired)
{
    struct crowd *c = (struct crowd *)user;
    WW_UNUSED(expired);
    assert_true(c->present[number_of(record)]);
    c->present[number_of(record)] = false;
}

static void crowd_reset(struct ww_embed_node_user *user)
{
    struct crowd *c = (struct crowd *)user;
    memset(c->present, 0, sizeof c->present);
    c->resets++;
}

static const struct ww_embed_node_ops crowd_ops = {
    .size = sizeof crowd_ops,
    .joined = crowd_joined,
    .left = crowd_left,
    .reset = crowd_reset,
};

/* One peer comes or goes; true when the table took it. */
static bool crowd_change(struct ww_embed_node *node, uint8_t number, bool join, uint64_t seq)
{
    uint8_t peer[34] = {0x12, 32, number};
    struct ww_routing *table = ww_node_routing(node->node);
    uint64_t now = ww_env_now(node->object.runtime->env);
    struct ww_record_in in = {.peer = ww_bytes(peer, sizeof peer),
        .server = number,
        .seq = seq,
        .ttl_ms = 60000,
        .host = WW_BYTES_LIT("a host with a name")};
    if (join)
        return ww_routing_upsert(table, now, &in) > 0;
    return ww_routing_leave(table, now, in.peer, in.server, seq) == 0;
}

/* Whichever allocation fails while peers come and go, the program ends up knowing what the table holds. */
static void test_lost_events_are_made_up_for(void **state)
{
    struct ww_embed_node_options options = {.size = sizeof options,
        .listen = loopback,
        .listen_count = 1,
        .discover = nowhere,
        .discover_count = 1};
    struct crowd crowd = {.user = {&crowd_ops}};
    struct ww_runtime *runtime;
    struct ww_embed_node *node;
    bool there[64] = {false};
    WW_UNUSED(state);
    alloc_track_begin();
    assert_ok(ww_runtime_new(&runtime));
    assert_ok(ww_embed_node_new(runtime, &options, &crowd.user, &node, NULL));
    for (unsigned round = 0; round < 400; round++) {
        uint8_t number = (uint8_t)(round * 7 % 64);
        alloc_track_fail(1 + round % 9, false);
        if (crowd_change(node, number, !there[number], round + 1))
            there[number] = !there[number];
        alloc_track_fail(0, false);
        if (round % 3 == 0) {
            assert_int_equal(ww_runtime_step(runtime, 0), 1);
            assert_memory_equal(there, crowd.present, sizeof there);
        }
    }
    assert_true(crowd.resets > 5 && crowd.resets < 200);
    ww_embed_node_free(node);
    ww_runtime_free(runtime);
    alloc_track_end();
}

static ww_err node_and_client(void *ctx)
{
    struct ww_runtime *runtime = NULL;
    struct ww_embed_node *node = NULL;
    struct ww_embed_client *client = NULL;
    struct ww_embed_query *query = NULL;
    const char *const allow[] = {"12D3KooWLnZUpcaBwbz9uD1XsyyHnbXUrJRmxnsMiRnuCmvPix67"};
    const char *const meta[] = {"role=web"};
    struct ww_embed_query_options all = where("role = w");
    struct query q = {.user = {&query_ops}};
    struct ww_embed_node_options options = {.size = sizeof options,
        .listen = loopback,
        .listen_count = 1,
        .discover = nowhere,
        .discover_count = 1,
        .meta = meta,
        .meta_count = 1,
        .allow = allow,
        .allow_count = 1};
    struct ww_embed_client_options client_options = {
        .size = sizeof client_options, .discover = nowhere, .discover_count = 1};
    WW_UNUSED(ctx);
    ww_err err = ww_runtime_new(&runtime);
    if (err == 0)
        err = ww_embed_node_new(runtime, &options, NULL, &node, NULL);
    if (err == 0)
        err = ww_embed_client_new(runtime, &client_options, NULL, &client, NULL);
    if (err == 0)
        err = ww_embed_node_query(node, &all, &q.user, &q.query, NULL);
    query = q.query;
    if (err == 0)
        err = ww_embed_node_select(node, &all, NULL, NULL, NULL);
    for (int i = 0; i < 4 && err == 0; i++)
        assert_true(ww_runtime_step(runtime, 0) >= 0);
    ww_embed_query_free(query);
    ww_embed_client_free(client);
    ww_embed_node_free(node);
    ww_runtime_free(runtime);
    return err;
}

static void test_every_allocation_may_fail(void **state)
{
    WW_UNUSED(state);
    assert_true(alloc_fail_run(node_and_client, NULL) > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nodes_meet_answer_and_leave),
        cmocka_unit_test(test_silence_is_told_as_expiry),
        cmocka_unit_test(test_free_inside_callbacks),
        cmocka_unit_test(test_guest_in_another_loop),
        cmocka_unit_test(test_stop_from_another_thread),
        cmocka_unit_test(test_options_are_checked),
        cmocka_unit_test(test_structs_of_other_versions),
        cmocka_unit_test(test_queries_are_checked),
        cmocka_unit_test(test_allow_list),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_lost_events_are_made_up_for),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
