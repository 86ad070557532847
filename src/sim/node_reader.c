#include "sim/node_reader.h"

#include "node/client.h"
#include "service/view_client.h"

#define LOGIN_NS (10 * WW_NS_PER_S)
#define AGAIN_NS (WW_NS_PER_S / 2)
#define ASK_NS (700 * WW_NS_PER_MS)
#define PATIENCE_NS (5 * WW_NS_PER_S) /* then a query is given up */
#define LATELY_NS (10 * WW_NS_PER_S)

enum { ROWS_MAX = 64, WATCH_KIND = 4 };

/* A peer as the node told of it. */
struct told {
    struct ww_peer_id peer;
    uint64_t server;
};

struct set {
    struct told rows[ROWS_MAX];
    size_t count;
};

struct ww_node_reader {
    struct ww_sim_node *machine;
    struct ww_env *env;
    const struct ww_node_lives *lives;
    struct ww_keypair key;
    struct ww_prng prng;
    struct ww_client *client; /* NULL: `tick` makes a new one */
    struct ww_client_user user;
    struct ww_cap *view;
    uint64_t server;
    struct ww_timer tick;
    struct ww_query *watch_query, *query;
    struct ww_view_ask watch, ask;
    bool watching, asking, ready;
    unsigned kind;                               /* of the query in progress */
    uint64_t asked_ns, answered_ns, complete_ns; /* the last two: when it was last so */
    struct set picture, rows;
    ww_err err;
    struct ww_diag diag;
};

/* ---- what may be asked ---- */

static const struct kind {
    const char *filter;
    bool ordered, descending;
    enum ww_index order;
    uint64_t limit;
} kinds[] = {
    {"", false, false, WW_INDEX_ID, 0},
    {"zone=a", false, false, WW_INDEX_ID, 0},
    {"app=ww", true, false, WW_INDEX_HOST, 2},
    {"", true, true, WW_INDEX_SERVER, 0},
    {"NOT zone=a", true, false, WW_INDEX_ID, 3},
};

/* The filters above, said without the query language. */
static bool kind_matches(unsigned kind, const struct ww_node_life *life)
{
    bool zone_a = life->index % 3 == 0;
    return kind == 1 ? zone_a : kind == 4 ? !zone_a : true;
}

static ww_err query_make(unsigned kind, struct ww_query **ret_query)
{
    struct ww_query *q = ww_query_new();
    if (!q)
        return WW_ENOMEM;
    ww_err err =
        kinds[kind].filter[0] ? ww_query_parse(q, ww_bytes_str(kinds[kind].filter), NULL, NULL) : WW_OK;
    if (err) {
        ww_query_free(q);
        return err;
    }
    q->ordered = kinds[kind].ordered;
    q->descending = kinds[kind].descending;
    q->order = kinds[kind].order;
    q->limit = kinds[kind].limit;
    *ret_query = q;
    return WW_OK;
}

/* ---- what was told ---- */

static struct told *set_find(const struct set *s, struct ww_bytes peer)
{
    for (size_t i = 0; i < s->count; i++) {
        if (ww_bytes_eq(ww_peer_id_view(&s->rows[i].peer), peer))
            return (struct told *)&s->rows[i];
    }
    return NULL;
}

static void wrong(struct ww_node_reader *r, const char *what, struct ww_bytes host)
{
    if (!r->err)
        r->err = ww_diag_set(&r->diag, WW_EFAILED, "%s was told of '%.*s': %s", ww_sim_node_name(r->machine),
            (int)host.len, (const char *)host.ptr, what);
}

/* NULL: not to be taken. */
static struct told *take(
    struct ww_node_reader *r, struct set *s, unsigned kind, const struct ww_view_row *row)
{
    const struct ww_node_life *life = ww_node_life_of(r->lives, row->server);
    struct told *t = set_find(s, row->peer);
    if (!life || !ww_node_life_is(life, row->peer, row->host, row->meta, row->meta_count))
        wrong(r, "there was never such a node", row->host);
    else if (!kind_matches(kind, life))
        wrong(r, "it does not match the query", row->host);
    else if (!t && s->count == ROWS_MAX)
        wrong(r, "more nodes than there are", row->host);
    else {
        t = t ? t : &s->rows[s->count++];
        *t = (struct told){.peer = life->peer, .server = life->server};
        return t;
    }
    return NULL;
}

/* ---- queries ---- */

static void ask_stop(struct ww_node_reader *r)
{
    ww_view_ask_stop(&r->ask);
    r->asking = false;
    ww_query_free(r->query);
    r->query = NULL;
}

static void ask_row(struct ww_view_ask *ask, const struct ww_view_row *row)
{
    struct ww_node_reader *r = WW_CONTAINER_OF(ask, struct ww_node_reader, ask);
    const struct kind *kind = &kinds[r->kind];
    if (set_find(&r->rows, row->peer))
        wrong(r, "twice in one answer", row->host);
    const struct told *now = take(r, &r->rows, r->kind, row);
    /* Stopping is allowed anywhere. */
    if (ww_prng_below(&r->prng, 64) == 0) {
        ask_stop(r);
        return;
    }
    if (!now || r->rows.count < 2 || !kind->ordered)
        return;
    const struct ww_node_life *a = ww_node_life_of(r->lives, r->rows.rows[r->rows.count - 2].server),
                              *b = ww_node_life_of(r->lives, now->server);
    char x[32], y[32];
    ww_node_life_host(a, x);
    ww_node_life_host(b, y);
    if ((kind->order == WW_INDEX_SERVER && a->server < b->server) ||
        (kind->order == WW_INDEX_HOST && strcmp(x, y) > 0))
        wrong(r, "out of order", row->host);
}

static void ask_done(struct ww_view_ask *ask, ww_err err, const char *reason)
{
    struct ww_node_reader *r = WW_CONTAINER_OF(ask, struct ww_node_reader, ask);
    uint64_t limit = kinds[r->kind].limit;
    WW_UNUSED(reason);
    if (!err) {
        r->answered_ns = ww_env_now(r->env);
        if (ask->count != r->rows.count || (limit && ask->count > limit))
            wrong(r, "an answer with another number of rows", WW_BYTES_LIT(""));
    }
    ask_stop(r);
}

static const struct ww_view_ask_ops ask_ops = {.row = ask_row, .done = ask_done};

static void ask_next(struct ww_node_reader *r)
{
    uint64_t now = ww_env_now(r->env);
    /* One in eight is given up while it is under way. */
    if (r->asking && now - r->asked_ns < PATIENCE_NS && ww_prng_below(&r->prng, 8) != 0)
        return;
    if (r->asking)
        ask_stop(r);
    r->kind = (unsigned)ww_prng_below(&r->prng, WW_COUNT_OF(kinds));
    if (query_make(r->kind, &r->query) < 0)
        return;
    r->rows.count = 0;
    r->asked_ns = now;
    r->ask = (struct ww_view_ask){.ops = &ask_ops};
    r->asking = ww_view_ask_query(&r->ask, r->env, ww_client_vat(r->client), r->view, r->query) == WW_OK;
    if (!r->asking)
        ask_stop(r);
}

/* ---- the standing query ---- */

static void watch_row(struct ww_view_ask *ask, const struct ww_view_row *row)
{
    struct ww_node_reader *r = WW_CONTAINER_OF(ask, struct ww_node_reader, watch);
    (void)take(r, &r->picture, WATCH_KIND, row);
}

static void watch_reset(struct ww_view_ask *ask)
{
    struct ww_node_reader *r = WW_CONTAINER_OF(ask, struct ww_node_reader, watch);
    r->picture.count = 0;
    r->ready = false;
}

static void watch_left(struct ww_view_ask *ask, struct ww_bytes peer)
{
    struct ww_node_reader *r = WW_CONTAINER_OF(ask, struct ww_node_reader, watch);
    struct told *t = set_find(&r->picture, peer);
    if (t)
        *t = r->picture.rows[--r->picture.count];
}

static void watch_ready(struct ww_view_ask *ask)
{
    WW_CONTAINER_OF(ask, struct ww_node_reader, watch)->ready = true;
}

static void watch_stop(struct ww_node_reader *r)
{
    ww_view_ask_stop(&r->watch);
    r->watching = r->ready = false;
    r->picture.count = 0;
    ww_query_free(r->watch_query);
    r->watch_query = NULL;
}

static void watch_done(struct ww_view_ask *ask, ww_err err, const char *reason)
{
    WW_UNUSED(err);
    WW_UNUSED(reason);
    watch_stop(WW_CONTAINER_OF(ask, struct ww_node_reader, watch)); /* `tick` begins anew */
}

static const struct ww_view_ask_ops watch_ops = {
    .row = watch_row, .reset = watch_reset, .left = watch_left, .ready = watch_ready, .done = watch_done};

static void watch_next(struct ww_node_reader *r)
{
    /* A reader may let go of a standing query that is in order and take up another. */
    if (r->watching && ww_prng_below(&r->prng, 64) == 0)
        watch_stop(r);
    if (r->watching || query_make(WATCH_KIND, &r->watch_query) < 0)
        return;
    r->watch = (struct ww_view_ask){.ops = &watch_ops};
    r->watching =
        ww_view_ask_watch(&r->watch, r->env, ww_client_vat(r->client), r->view, r->watch_query) == WW_OK;
    if (!r->watching)
        watch_stop(r);
}

/* ---- its life ---- */

static void client_drop(struct ww_node_reader *r)
{
    ask_stop(r);
    watch_stop(r);
    ww_cap_unref(r->view);
    r->view = NULL;
    r->server = 0;
    ww_client_free(r->client);
    r->client = NULL;
}

static void client_ready(struct ww_client_user *user, const struct ww_client_session *session)
{
    struct ww_node_reader *r = WW_CONTAINER_OF(user, struct ww_node_reader, user);
    if (!ww_node_life_of(r->lives, session->server) || !session->view)
        wrong(r, "a session of nobody", WW_BYTES_LIT(""));
    r->view = ww_cap_ref(session->view);
    r->server = session->server;
    ww_sim_note(
        ww_sim_node_world(r->machine), r->machine, "logged in at %016llx", (unsigned long long)r->server);
}

static void client_failed(struct ww_client_user *user, ww_err err, const char *text)
{
    struct ww_node_reader *r = WW_CONTAINER_OF(user, struct ww_node_reader, user);
    ww_sim_note(ww_sim_node_world(r->machine), r->machine, "%s: %s: %s", r->server ? "lost" : "not in",
        ww_err_name(err), text);
    client_drop(r);
}

static ww_err client_new(struct ww_node_reader *r)
{
    struct ww_node_life_peers peers;
    struct ww_client_conf conf = {
        .env = r->env, .key = &r->key, .ns = WW_NODE_LIFE_NS, .timeout_ns = LOGIN_NS, .user = &r->user};
    ww_node_life_peers(r->lives, r->lives->nodes, &peers);
    conf.peers = peers.views;
    conf.peer_count = peers.count;
    return ww_client_new(&conf, &r->client, &r->diag);
}

static void tick(struct ww_timer *timer)
{
    struct ww_node_reader *r = WW_CONTAINER_OF(timer, struct ww_node_reader, tick);
    ww_err err = r->client ? WW_OK : client_new(r);
    if (err && !r->err)
        r->err = err;
    if (r->ready)
        r->complete_ns = ww_env_now(r->env);
    if (r->view) {
        watch_next(r);
        ask_next(r);
    }
    r->env->ops->timer_set(r->env, timer, ww_env_now(r->env) + (r->view ? ASK_NS : AGAIN_NS));
}

ww_err ww_node_reader_new(
    struct ww_sim_node *machine, const struct ww_node_lives *lives, struct ww_node_reader **ret_reader)
{
    struct ww_node_reader *r = WW_NEW(struct ww_node_reader);
    uint64_t seed;
    if (!r)
        return WW_ENOMEM;
    r->machine = machine;
    r->env = ww_sim_node_env(machine);
    r->lives = lives;
    r->user = (struct ww_client_user){.ready = client_ready, .failed = client_failed};
    r->tick.fired = tick;
    r->env->ops->random(r->env, &seed, sizeof seed);
    ww_prng_init(&r->prng, seed);
    ww_node_life_key(ww_sim_node_index(machine), &r->key);
    r->env->ops->timer_set(r->env, &r->tick, 0);
    *ret_reader = r;
    return WW_OK;
}

void ww_node_reader_free(struct ww_node_reader *r)
{
    if (!r)
        return;
    r->env->ops->timer_cancel(r->env, &r->tick);
    client_drop(r);
    ww_keypair_fini(&r->key);
    ww_free(r);
}

/* ---- judging ---- */

ww_err ww_node_reader_safe(const struct ww_node_reader *r, struct ww_diag *diag)
{
    return r->err ? ww_diag_set(diag, r->err, "%s", r->diag.text) : WW_OK;
}

uint64_t ww_node_reader_server(const struct ww_node_reader *r)
{
    return r->ready ? r->server : 0;
}

ww_err ww_node_reader_compare(const struct ww_node_reader *r, struct ww_routing *table, struct ww_diag *diag)
{
    const char *name = ww_sim_node_name(r->machine);
    size_t expected = 0;
    for (size_t i = 0; i < r->lives->count; i++) {
        const struct ww_node_life *life = &r->lives->all[i];
        struct ww_record record;
        if (!kind_matches(WATCH_KIND, life) ||
            ww_routing_get(table, ww_peer_id_view(&life->peer), &record) < 0 || record.server != life->server)
            continue;
        expected++;
        const struct told *t = set_find(&r->picture, ww_peer_id_view(&life->peer));
        if (!t || t->server != life->server)
            return ww_diag_set(diag, WW_ENOTFOUND, "%s was not told of %s n%u", name,
                t ? "the new life of" : "", life->index + 1);
    }
    if (expected != r->picture.count)
        return ww_diag_set(diag, WW_EEXIST, "%s has %zu nodes in its picture, its node %zu", name,
            r->picture.count, expected);
    return WW_OK;
}

ww_err ww_node_reader_converged(const struct ww_node_reader *r, struct ww_diag *diag)
{
    const char *name = ww_sim_node_name(r->machine);
    if (!r->view)
        return ww_diag_set(diag, WW_ENOTFOUND, "%s is not logged in", name);
    if (!r->answered_ns || ww_env_now(r->env) - r->answered_ns > LATELY_NS)
        return ww_diag_set(diag, WW_ETIMEOUT, "%s has had no answer lately", name);
    if (!r->complete_ns || ww_env_now(r->env) - r->complete_ns > LATELY_NS)
        return ww_diag_set(diag, WW_ETIMEOUT, "%s has had no complete picture lately", name);
    return WW_OK;
}
