/* Remote queries: a table of N records in one vat, a client in another, packed RPC between them in memory.
 * CPU time of both sides together. Prints JSON lines {name, unit, ours}. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cluster/query.h"
#include "service/view.h"
#include "service/view_client.h"
#include "ww/rpc.h"

/* An environment with nothing but a task queue, a clock and fixed randomness. */
struct bench_env {
    struct ww_env env;
    struct ww_list tasks;
};

static uint64_t cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * WW_NS_PER_S + (uint64_t)ts.tv_nsec;
}

static uint64_t now_ns(struct ww_env *env)
{
    WW_UNUSED(env);
    return cpu_ns();
}

static void fixed_random(struct ww_env *env, void *out, size_t len)
{
    WW_UNUSED(env);
    memset(out, 7, len);
}

static void post(struct ww_env *env, struct ww_task *task)
{
    struct bench_env *b = WW_CONTAINER_OF(env, struct bench_env, env);
    if (ww_list_empty(&task->link))
        ww_list_push_back(&b->tasks, &task->link);
}

/* Runs end long before their time is over. */
static void timer_set(struct ww_env *env, struct ww_timer *timer, uint64_t deadline_ns)
{
    WW_UNUSED(env);
    WW_UNUSED(deadline_ns);
    timer->armed = true;
}

static void timer_cancel(struct ww_env *env, struct ww_timer *timer)
{
    WW_UNUSED(env);
    timer->armed = false;
}

static const struct ww_env_ops env_ops = {
    .now_ns = now_ns,
    .random = fixed_random,
    .timer_set = timer_set,
    .timer_cancel = timer_cancel,
    .post = post,
};

struct side {
    struct ww_rpc_vat *vat;
    struct ww_rpc_conn *conn;
};

/* Moves what one side has to say to the other; true when there was something. */
static bool move_bytes(struct side *from, struct side *to, uint64_t *bytes)
{
    struct ww_bytes views[16];
    size_t total = 0, count = ww_rpc_conn_pull(from->conn, views, WW_COUNT_OF(views));
    for (size_t i = 0; i < count; i++) {
        if (ww_rpc_conn_feed(to->conn, views[i]) < 0)
            abort();
        total += views[i].len;
    }
    ww_rpc_conn_pulled(from->conn, total);
    *bytes += total;
    return count > 0;
}

struct bench {
    struct bench_env env;
    struct side server, client;
    struct ww_view_ask ask;
    uint64_t rows, bytes;
    bool done;
};

static void on_row(struct ww_view_ask *ask, const struct ww_view_row *row)
{
    WW_UNUSED(row);
    WW_CONTAINER_OF(ask, struct bench, ask)->rows++;
}

static void on_done(struct ww_view_ask *ask, ww_err err, const char *reason)
{
    if (err < 0) {
        fprintf(stderr, "bench_query: %s\n", reason);
        exit(1);
    }
    WW_CONTAINER_OF(ask, struct bench, ask)->done = true;
}

static const struct ww_view_ask_ops ask_ops = {.row = on_row, .done = on_done};

static void turn(struct bench *b)
{
    for (struct ww_list *node; (node = ww_list_pop_front(&b->env.tasks));) {
        struct ww_task *task = WW_LIST_ENTRY(node, struct ww_task, link);
        task->run(task);
        break;
    }
    (void)ww_rpc_vat_run(b->server.vat, cpu_ns(), 0);
    while (move_bytes(&b->server, &b->client, &b->bytes)) {
    }
    (void)ww_rpc_vat_run(b->client.vat, cpu_ns(), 0);
    while (move_bytes(&b->client, &b->server, &b->bytes)) {
    }
}

static void fill(struct ww_routing *table, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint8_t peer[38] = {0x00, 0x24, 0x08, 0x01, 0x12, 0x20};
        char host[32], zone[16], role[16], shard[16];
        uint64_t x = (uint64_t)i * UINT64_C(0x9e3779b97f4a7c15) + 1;
        for (int k = 6; k < 38; k += 8) {
            x ^= x >> 29;
            x *= UINT64_C(0xbf58476d1ce4e5b9);
            memcpy(peer + k, &x, 8);
        }
        snprintf(host, sizeof host, "host-%07u.example.test", i);
        snprintf(zone, sizeof zone, "zone=eu-%u", i % 4);
        snprintf(role, sizeof role, "role=r%u", i % 10);
        snprintf(shard, sizeof shard, "shard=%02u", i % 100);
        const struct ww_bytes meta[] = {ww_bytes_str(zone), ww_bytes_str(role), ww_bytes_str(shard)};
        struct ww_record_in in = {.peer = ww_bytes(peer, sizeof peer),
            .server = x | 1,
            .seq = 1,
            .ttl_ms = 3600000,
            .host = ww_bytes_str(host),
            .meta = meta,
            .meta_count = 3};
        if (ww_routing_upsert(table, 1, &in) < 0)
            abort();
    }
}

static void measure(struct bench *b, struct ww_cap *view, const char *name, const char *where)
{
    struct ww_query *query = ww_query_new();
    struct ww_diag diag;
    if (!query || (*where && ww_query_parse(query, ww_bytes_str(where), NULL, &diag) < 0))
        abort();
    b->ask.ops = &ask_ops;
    b->rows = b->bytes = 0;
    b->done = false;
    uint64_t begin = cpu_ns();
    if (ww_view_ask_query(&b->ask, &b->env.env, b->client.vat, view, query) < 0)
        abort();
    while (!b->done)
        turn(b);
    double s = (double)(cpu_ns() - begin) / 1e9;
    printf(
        "{\"name\":\"%s\",\"unit\":\"records/s\",\"ours\":%.0f,\"records\":%llu,\"bytes_per_record\":%.1f}\n",
        name, (double)b->rows / s, (unsigned long long)b->rows,
        b->rows ? (double)b->bytes / (double)b->rows : 0);
    fflush(stdout);
    ww_query_free(query);
}

static void connect_sides(struct bench *b, struct ww_cap *view)
{
    struct ww_rpc_conn_config conf = {.packed = true};
    if (ww_rpc_conn_new(b->client.vat, &conf, &b->client.conn) < 0)
        abort();
    conf.bootstrap = view; /* the view itself: logins are measured elsewhere */
    if (ww_rpc_conn_new(b->server.vat, &conf, &b->server.conn) < 0)
        abort();
}

int main(int argc, char **argv)
{
    unsigned n = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000000;
    static struct bench b;
    struct ww_routing_conf conf = {.seed = {1, 2}, .max_records = 1u << 21};
    struct ww_routing *table;
    struct ww_cap *view, *remote;
    b.env.env.ops = &env_ops;
    ww_list_init(&b.env.tasks);
    if (ww_routing_new(&conf, &table) < 0 || ww_rpc_vat_new(NULL, &b.server.vat) < 0 ||
        ww_rpc_vat_new(NULL, &b.client.vat) < 0 || ww_view_new(&b.env.env, b.server.vat, table, &view) < 0)
        abort();
    fill(table, n);
    connect_sides(&b, view);
    if (ww_rpc_conn_bootstrap(b.client.conn, &remote) < 0)
        abort();
    measure(&b, remote, "remote query, 1 % of 1 M records", "shard==07");
    measure(&b, remote, "remote query, all of 1 M records", "");
    ww_cap_unref(remote);
    ww_cap_unref(view);
    ww_rpc_conn_free(b.client.conn);
    ww_rpc_conn_free(b.server.conn);
    ww_rpc_vat_free(b.client.vat);
    ww_rpc_vat_free(b.server.vat);
    ww_routing_free(table);
    return 0;
}
