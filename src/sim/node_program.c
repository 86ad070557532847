#include "sim/node_program.h"

#include <stdio.h>

#include "sim/node_check.h"

#define LATE_NS (5 * WW_NS_PER_MS) /* timers, the table's wheel, one turn of the loop */
/* Gossip brings what a peer missed within this: three heartbeats of the router, and a round trip. */
#define IN_FLIGHT_NS (4 * WW_NS_PER_S)
/* After a disturbance TCP waits this long until it tries again, at most: spells last ten seconds. */
#define BACKOFF_NS (20 * WW_NS_PER_S)
#define FAREWELL_NS WW_NS_PER_S
#define HELD_MAX (64u << 20)

enum { PORT = 2020, SNAPSHOTS = 2, STATIC_MAX = 3, META_COUNT = 3, META_MAX = 32, FULL_CHECK_EVERY = 8 };

struct ww_node_life {
    struct ww_peer_id peer;
    uint64_t server;
    uint32_t index, number;
    uint64_t began_ns, leaving_ns, over_ns; /* of the world; 0: not yet */
};

/* What a host's node said of another's life at the last check. */
struct opinion {
    uint64_t connected_ns; /* since; 0: is not */
    bool listed;
};

struct kept {
    struct ww_snapshot *snap;
    uint64_t digest;
};

struct host {
    struct ww_scenario_app app;
    struct ww_node_program *program;
    struct ww_sim_node *machine;
    struct ww_keypair key;
    struct ww_node *node; /* NULL: has left */
    struct ww_node_leave leave;
    size_t life;              /* in program->lives */
    struct opinion *opinions; /* by life */
    size_t opinion_count;
    struct kept kept[SNAPSHOTS];
    struct ww_prng prng;
    uint64_t checks, listed_sum;
};

/* ---- identities ---- */

static void key_of(size_t index, struct ww_keypair *ret_key)
{
    uint8_t seed[WW_ED25519_SEED_BYTES] = {'n', 'o', 'd', 'e'};
    ww_le32_store(seed + 4, (uint32_t)index);
    ww_keypair_from_seed(ret_key, seed);
}

static void static_text(size_t index, char *out, size_t out_size)
{
    struct ww_keypair key;
    struct ww_peer_id id;
    char text[WW_PEER_ID_TEXT_MAX];
    key_of(index, &key);
    ww_peer_id_from_key(&key.pub, &id);
    ww_keypair_fini(&key);
    snprintf(out, out_size, "/ip4/10.0.%zu.%zu/tcp/%d/p2p/%s", (index + 1) >> 8, (index + 1) & 255, PORT,
        ww_peer_id_format(&id, text));
}

/* One key that all share, one of few values, one that changes with the life. */
static void meta_of(uint32_t index, uint32_t number, char out[META_COUNT][META_MAX])
{
    snprintf(out[0], META_MAX, "zone=%c", 'a' + (char)(index % 3));
    snprintf(out[1], META_MAX, "life=%u", number);
    snprintf(out[2], META_MAX, "app=ww");
}

static struct ww_node_life *life_of(const struct ww_node_program *p, uint64_t server)
{
    for (size_t i = p->life_count; i-- > 0;) {
        if (p->lives[i].server == server)
            return &p->lives[i];
    }
    return NULL;
}

static ww_err life_add(struct host *h)
{
    struct ww_node_program *p = h->program;
    struct ww_node_life *lives = ww_realloc(p->lives, (p->life_count + 1) * sizeof *lives);
    if (!lives)
        return WW_ENOMEM;
    p->lives = lives;
    h->life = p->life_count++;
    p->lives[h->life] = (struct ww_node_life){
        .index = ww_sim_node_index(h->machine), .began_ns = ww_sim_now(ww_sim_node_world(h->machine))};
    for (size_t i = 0; i < h->life; i++)
        p->lives[h->life].number += p->lives[i].index == p->lives[h->life].index;
    return WW_OK;
}

/* ---- a life ---- */

static ww_err node_open(struct host *h, struct ww_diag *diag)
{
    const struct ww_node_program *p = h->program;
    char meta[META_COUNT][META_MAX], fixed[STATIC_MAX][160];
    const char *const listen[] = {"/ip4/0.0.0.0/tcp/2020"};
    const char *metas[META_COUNT], *peers[STATIC_MAX];
    struct ww_node_life *life = &h->program->lives[h->life];
    struct ww_node_conf conf = {.env = ww_sim_node_env(h->machine),
        .key = &h->key,
        .ns = "sim",
        .meta = metas,
        .meta_count = META_COUNT,
        .ttl_ms = p->ttl_ms,
        .listen = listen,
        .listen_count = p->static_peers || p->fixed_port,
        .peers = peers};
    meta_of(life->index, life->number, meta);
    for (size_t i = 0; i < META_COUNT; i++)
        metas[i] = meta[i];
    for (size_t i = 0; p->static_peers && i < p->nodes && i < STATIC_MAX; i++) {
        if (i == life->index)
            continue;
        static_text(i, fixed[conf.peer_count], sizeof fixed[0]);
        peers[conf.peer_count] = fixed[conf.peer_count];
        conf.peer_count++;
    }
    WW_TRY(ww_node_new(&conf, &h->node, diag));
    life->peer = *ww_node_id(h->node);
    life->server = ww_node_server(h->node);
    return WW_OK;
}

static void host_free(struct host *h)
{
    ww_node_free(h->node);
    for (size_t i = 0; i < SNAPSHOTS; i++)
        ww_snapshot_unref(h->kept[i].snap); /* later than their table, as a slow reader's would be */
    ww_keypair_fini(&h->key);
    ww_free(h->opinions);
    ww_free(h);
}

static ww_err start(
    struct ww_scenario_program *program, struct ww_sim_node *node, struct ww_scenario_app **ret_app)
{
    struct host *h = WW_NEW(struct host);
    struct ww_diag diag = {0};
    if (!h)
        return WW_ENOMEM;
    h->program = WW_CONTAINER_OF(program, struct ww_node_program, program);
    h->machine = node;
    key_of(ww_sim_node_index(node), &h->key);
    ww_err err = life_add(h);
    if (!err) {
        ww_sim_prng(ww_sim_node_world(node), "node-program", h->life, &h->prng);
        err = node_open(h, &diag);
    }
    if (err) {
        ww_sim_note(ww_sim_node_world(node), node, "does not start: %s", diag.text);
        host_free(h);
        return err;
    }
    *ret_app = &h->app;
    return WW_OK;
}

static void left(struct ww_node_leave *leave)
{
    struct host *h = WW_CONTAINER_OF(leave, struct host, leave);
    ww_node_free(h->node);
    h->node = NULL;
}

static void leave(struct ww_scenario_program *program, struct ww_scenario_app *app)
{
    struct host *h = WW_CONTAINER_OF(app, struct host, app);
    WW_UNUSED(program);
    h->program->lives[h->life].leaving_ns = ww_sim_now(ww_sim_node_world(h->machine));
    h->leave.done = left;
    ww_node_leave(h->node, &h->leave);
}

static void stop(struct ww_scenario_program *program, struct ww_scenario_app *app)
{
    struct host *h = WW_CONTAINER_OF(app, struct host, app);
    struct ww_node_program *p = h->program;
    struct ww_node_life *life = &p->lives[h->life];
    WW_UNUSED(program);
    if (life->leaving_ns && h->node && ww_sim_node_running(h->machine) && !p->fault)
        p->fault = ww_diag_set(
            &p->fault_diag, WW_ETIMEOUT, "%s takes too long to leave", ww_sim_node_name(h->machine));
    life->over_ns = ww_sim_now(ww_sim_node_world(h->machine));
    host_free(h);
}

struct ww_node *ww_node_program_node(struct ww_scenario *scenario, size_t index)
{
    struct ww_scenario_app *app = ww_scenario_app(scenario, index);
    return app ? WW_CONTAINER_OF(app, struct host, app)->node : NULL;
}

/* ---- safety ---- */

/* What a check needs to know of the world. */
struct moment {
    struct ww_node_program *program;
    struct ww_scenario *scenario;
    uint64_t now_ns, calm_ns; /* of the world */
    struct ww_diag *diag;
};

static unsigned long long ms(uint64_t ns)
{
    return (unsigned long long)(ns / WW_NS_PER_MS);
}

static bool record_is_of(const struct ww_record *r, const struct ww_node_life *life, const char *host)
{
    char meta[META_COUNT][META_MAX];
    meta_of(life->index, life->number, meta);
    if (!ww_bytes_eq(r->peer, ww_peer_id_view(&life->peer)) || !ww_bytes_eq(r->host, ww_bytes_str(host)))
        return false;
    for (uint32_t i = 0; i < META_COUNT; i++) {
        bool found = false;
        for (uint32_t k = 0; k < r->meta_count; k++)
            found = found || ww_bytes_eq(ww_record_meta(r, k), ww_bytes_str(meta[i]));
        if (!found)
            return false;
    }
    return r->meta_count == META_COUNT;
}

/* A life that is over: its last heartbeat may have been under way, and longer when something held it up. */
static ww_err check_over(const struct moment *m, const struct host *h, const struct ww_node_life *life)
{
    const char *name = ww_sim_node_name(h->machine);
    const struct ww_node_life *own = &m->program->lives[h->life];
    uint64_t end = life->over_ns, quiet = m->now_ns - m->calm_ns;
    if (life->leaving_ns && m->now_ns - life->leaving_ns > FAREWELL_NS &&
        quiet + BACKOFF_NS < life->leaving_ns && own->began_ns + BACKOFF_NS < life->leaving_ns &&
        life->began_ns + BACKOFF_NS < life->leaving_ns)
        return ww_diag_set(m->diag, WW_ESTALE, "%s still lists n%u, %llu ms after it said farewell", name,
            life->index + 1, ms(m->now_ns - life->leaving_ns));
    if (!end)
        return WW_OK;
    if (quiet + BACKOFF_NS > end)
        end = quiet + BACKOFF_NS;
    if (m->now_ns > end + m->program->ttl_ms * WW_NS_PER_MS + IN_FLIGHT_NS)
        return ww_diag_set(m->diag, WW_ESTALE, "%s still lists life %u of n%u, which ended %llu ms ago", name,
            life->number, life->index + 1, ms(m->now_ns - life->over_ns));
    return WW_OK;
}

static ww_err check_records(const struct moment *m, struct host *h)
{
    struct ww_snapshot *snap = ww_routing_snapshot(ww_node_routing(h->node));
    struct ww_scan all = ww_scan_all(WW_INDEX_ID);
    struct ww_scan_iter it;
    struct ww_record r;
    ww_err err = WW_OK;
    uint64_t sum = 0;
    if (!snap)
        return WW_ENOMEM;
    ww_scan_init(&it, snap, &all);
    while (!err && ww_scan_next(&it, &r)) {
        const struct ww_node_life *life = life_of(m->program, r.server);
        sum += r.server;
        if (!life || !record_is_of(&r, life, ww_sim_node_name(ww_scenario_node(m->scenario, life->index))))
            err = ww_diag_set(m->diag, WW_EPEERID, "%s lists what never was: %.*s",
                ww_sim_node_name(h->machine), (int)r.host.len, (const char *)r.host.ptr);
        else
            err = check_over(m, h, life);
    }
    ww_scan_fini(&it);
    ww_snapshot_unref(snap);
    if (!err && (sum != h->listed_sum || h->checks % FULL_CHECK_EVERY == 0))
        err = ww_node_check_indexes(ww_node_routing(h->node), m->diag);
    h->listed_sum = sum;
    return err;
}

/* Nobody who lives, is connected and was listed disappears while nothing disturbs. */
static ww_err check_opinions(const struct moment *m, struct host *h)
{
    struct ww_node_program *p = m->program;
    uint64_t calm_min = p->ttl_ms * WW_NS_PER_MS + IN_FLIGHT_NS;
    if (h->opinion_count < p->life_count) {
        struct opinion *more = ww_realloc(h->opinions, p->life_count * sizeof *more);
        if (!more)
            return WW_ENOMEM;
        h->opinions = more;
        memset(more + h->opinion_count, 0, (p->life_count - h->opinion_count) * sizeof *more);
        h->opinion_count = p->life_count;
    }
    for (size_t i = 0; i < p->life_count; i++) {
        const struct ww_node_life *life = &p->lives[i];
        struct opinion *o = &h->opinions[i];
        struct ww_record r;
        if (life->over_ns || life->leaving_ns)
            continue;
        bool listed = ww_routing_get(ww_node_routing(h->node), ww_peer_id_view(&life->peer), &r) == WW_OK &&
            r.server == life->server;
        if (i == h->life || ww_swarm_connected(ww_node_swarm(h->node), &life->peer))
            o->connected_ns = o->connected_ns ? o->connected_ns : m->now_ns;
        else
            o->connected_ns = 0;
        if (o->listed && !listed && o->connected_ns && m->now_ns - o->connected_ns > calm_min &&
            m->calm_ns > calm_min)
            return ww_diag_set(m->diag, WW_ENOTFOUND, "%s dropped n%u, which lives and is connected",
                ww_sim_node_name(h->machine), life->index + 1);
        o->listed = listed;
    }
    return WW_OK;
}

static ww_err check_snapshots(const struct moment *m, struct host *h)
{
    for (size_t i = 0; i < SNAPSHOTS; i++) {
        struct kept *k = &h->kept[i];
        if (k->snap && ww_node_snapshot_digest(k->snap) != k->digest)
            return ww_diag_set(m->diag, WW_EFAILED, "%s: a snapshot changed", ww_sim_node_name(h->machine));
        if (k->snap && ww_prng_below(&h->prng, 32) != 0)
            continue;
        ww_snapshot_unref(k->snap);
        k->snap = ww_routing_snapshot(ww_node_routing(h->node));
        if (!k->snap)
            return WW_ENOMEM;
        k->digest = ww_node_snapshot_digest(k->snap);
    }
    return WW_OK;
}

static ww_err check_host(const struct moment *m, struct host *h)
{
    const char *name = ww_sim_node_name(h->machine);
    uint64_t awake_ns = ww_sim_node_awake_ns(h->machine);
    struct ww_swarm_stats stats;
    h->checks++;
    ww_swarm_stats(ww_node_swarm(h->node), &stats);
    if (stats.conns_in + stats.conns_out > 8 * m->program->nodes || stats.bytes_held > HELD_MAX)
        return ww_diag_set(m->diag, WW_ELIMIT, "%s holds %llu connections and %llu bytes", name,
            (unsigned long long)(stats.conns_in + stats.conns_out), (unsigned long long)stats.bytes_held);
    if (awake_ns > LATE_NS) {
        struct ww_diag why = {0};
        ww_err err = ww_node_check_deadlines(
            ww_node_routing(h->node), ww_env_now(ww_sim_node_env(h->machine)), LATE_NS, &why);
        if (err)
            return ww_diag_set(m->diag, err, "%s: %s", name, why.text);
    }
    WW_TRY(check_records(m, h));
    WW_TRY(check_opinions(m, h));
    return check_snapshots(m, h);
}

static ww_err safe(struct ww_scenario_program *program, struct ww_scenario *scenario, struct ww_diag *diag)
{
    struct moment m = {.program = WW_CONTAINER_OF(program, struct ww_node_program, program),
        .scenario = scenario,
        .now_ns = ww_sim_now(ww_scenario_sim(scenario)),
        .calm_ns = ww_scenario_calm_ns(scenario),
        .diag = diag};
    if (m.program->fault)
        return ww_diag_set(diag, m.program->fault, "%s", m.program->fault_diag.text);
    for (size_t i = 0; i < ww_scenario_node_count(scenario); i++) {
        struct ww_scenario_app *app = ww_scenario_app(scenario, i);
        struct host *h = app ? WW_CONTAINER_OF(app, struct host, app) : NULL;
        if (h && h->node)
            WW_TRY(check_host(&m, h));
    }
    return WW_OK;
}

/* ---- the goal ---- */

static ww_err converged(
    struct ww_scenario_program *program, struct ww_scenario *scenario, struct ww_diag *diag)
{
    const struct ww_node_program *p = WW_CONTAINER_OF(program, struct ww_node_program, program);
    for (size_t i = 0; i < ww_scenario_node_count(scenario); i++) {
        struct ww_node *node = ww_node_program_node(scenario, i);
        const char *name = ww_sim_node_name(ww_scenario_node(scenario, i));
        size_t alive = 0;
        if (!node)
            continue;
        for (size_t k = 0; k < p->life_count; k++) {
            const struct ww_node_life *life = &p->lives[k];
            struct ww_record r;
            if (life->over_ns)
                continue;
            alive++;
            ww_err err = ww_routing_get(ww_node_routing(node), ww_peer_id_view(&life->peer), &r);
            if (err || r.server != life->server)
                return ww_diag_set(diag, WW_ENOTFOUND, "%s %s n%u (%zu connections, %sconnected to it)", name,
                    err ? "does not list" : "lists an earlier life of", life->index + 1,
                    ww_swarm_conn_count(ww_node_swarm(node)),
                    ww_swarm_connected(ww_node_swarm(node), &life->peer) ? "" : "not ");
        }
        if (ww_routing_count(ww_node_routing(node)) != alive)
            return ww_diag_set(diag, WW_EEXIST, "%s lists %zu nodes, but %zu run", name,
                ww_routing_count(ww_node_routing(node)), alive);
    }
    return WW_OK;
}

void ww_node_program_init(struct ww_node_program *ret_program, size_t nodes, uint64_t seed)
{
    struct ww_prng prng, root;
    ww_prng_init(&root, seed);
    ww_prng_split(&root, "node-program", 0, &prng);
    *ret_program = (struct ww_node_program){.program = {start, stop, safe, converged, leave},
        .nodes = nodes,
        .ttl_ms = (uint32_t)(2000 + 1000 * ww_prng_below(&prng, 4)),
        .static_peers = ww_prng_below(&prng, 4) == 0,
        .fixed_port = ww_prng_below(&prng, 2) == 0};
}

void ww_node_program_fini(struct ww_node_program *program)
{
    ww_free(program->lives);
    program->lives = NULL;
}
