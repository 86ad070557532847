#include "sim/node_program.h"

#include "sim/node_check.h"
#include "sim/node_reader.h"

/* A timer that is due behind a few others, each a millisecond late; a machine that has just woken has dozens.
 */
#define LATE_NS (20 * WW_NS_PER_MS)
#define AWAKE_NS (200 * WW_NS_PER_MS)
/* Gossip brings what a peer missed within this: its router tells of it at the next heartbeat, three times. */
#define IN_FLIGHT_NS (3 * WW_NS_PER_S)
/* After a disturbance TCP waits this long until it tries again, at most: spells last ten seconds. */
#define BACKOFF_NS (12 * WW_NS_PER_S)
#define FAREWELL_NS WW_NS_PER_S
/* What changed in a table has reached those who watch it. */
#define QUIET_NS WW_NS_PER_S
#define HELD_MAX (64u << 20)

enum { SNAPSHOTS = 2, FULL_CHECK_EVERY = 8, READERS_MAX = 2, READERS_UP_TO = 60 };

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
    struct ww_node *node;          /* NULL: has left, or a reader's host */
    struct ww_node_reader *reader; /* ... */
    struct ww_node_leave leave;
    size_t life;              /* in program->lives */
    struct opinion *opinions; /* by life */
    size_t opinion_count;
    struct kept kept[SNAPSHOTS];
    struct ww_prng prng;
    uint64_t checks, listed_sum, changed_ns;
};

/* ---- a life ---- */

static struct ww_node_life *own_life(const struct host *h)
{
    return &h->program->lives.all[h->life];
}

static uint64_t world_now(const struct host *h)
{
    return ww_sim_now(ww_sim_node_world(h->machine));
}

static ww_err node_open(struct host *h, struct ww_diag *diag)
{
    struct ww_node_program *p = h->program;
    static const char *const listen[] = {"/ip4/0.0.0.0/tcp/2020"};
    char meta[WW_NODE_LIFE_META][WW_NODE_LIFE_META_MAX];
    const char *metas[WW_NODE_LIFE_META];
    struct ww_node_life_peers peers;
    uint32_t index = ww_sim_node_index(h->machine);
    ww_node_life_key(index, &h->key);
    WW_TRY(ww_node_life_add(&p->lives, index, world_now(h), &h->life));
    ww_sim_prng(ww_sim_node_world(h->machine), "node-program", h->life, &h->prng);
    ww_node_life_meta(own_life(h), meta);
    for (size_t i = 0; i < WW_NODE_LIFE_META; i++)
        metas[i] = meta[i];
    ww_node_life_peers(&p->lives, index, &peers);
    struct ww_node_conf conf = {.env = ww_sim_node_env(h->machine),
        .key = &h->key,
        .ns = WW_NODE_LIFE_NS,
        .meta = metas,
        .meta_count = WW_NODE_LIFE_META,
        .ttl_ms = p->ttl_ms,
        .listen = listen,
        .listen_count = p->lives.static_peers || p->fixed_port,
        .peers = peers.views,
        .peer_count = peers.count};
    WW_TRY(ww_node_new(&conf, &h->node, diag));
    own_life(h)->peer = *ww_node_id(h->node);
    own_life(h)->server = ww_node_server(h->node);
    return WW_OK;
}

static void host_free(struct host *h)
{
    ww_node_reader_free(h->reader);
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
    ww_err err = ww_sim_node_index(node) < h->program->lives.nodes
        ? node_open(h, &diag)
        : ww_node_reader_new(node, &h->program->lives, &h->reader);
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
    ww_node_reader_free(h->reader);
    h->reader = NULL;
    if (!h->node)
        return;
    own_life(h)->leaving_ns = world_now(h);
    h->leave.done = left;
    ww_node_leave(h->node, &h->leave);
}

static void life_over(struct host *h)
{
    struct ww_node_program *p = h->program;
    struct ww_node_life *life = own_life(h);
    if (life->leaving_ns && h->node && ww_sim_node_running(h->machine) && !p->fault)
        p->fault = ww_diag_set(
            &p->fault_diag, WW_ETIMEOUT, "%s takes too long to leave", ww_sim_node_name(h->machine));
    life->over_ns = world_now(h);
}

static void stop(struct ww_scenario_program *program, struct ww_scenario_app *app)
{
    struct host *h = WW_CONTAINER_OF(app, struct host, app);
    WW_UNUSED(program);
    if (ww_sim_node_index(h->machine) < h->program->lives.nodes)
        life_over(h);
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

static bool record_is_of(const struct ww_record *r, const struct ww_node_life *life)
{
    struct ww_bytes meta[WW_ROUTING_META_MAX];
    for (uint32_t i = 0; i < r->meta_count; i++)
        meta[i] = ww_record_meta(r, i);
    return ww_node_life_is(life, r->peer, r->host, meta, r->meta_count);
}

/* What a heartbeat is good for, the table's grace included. */
static uint64_t record_life_ns(const struct ww_node_program *p)
{
    return (p->ttl_ms + p->ttl_ms / WW_ROUTING_GRACE_PART) * WW_NS_PER_MS;
}

/* A life that is over: its last heartbeat may have been under way, and longer when something held it up. */
static ww_err check_over(const struct moment *m, const struct host *h, const struct ww_node_life *life)
{
    const char *name = ww_sim_node_name(h->machine);
    uint64_t end = life->over_ns, quiet = m->now_ns - m->calm_ns;
    size_t at = (size_t)(life - m->program->lives.all);
    uint64_t met_ns = at < h->opinion_count ? h->opinions[at].connected_ns : 0;
    if (life->leaving_ns && m->now_ns - life->leaving_ns > FAREWELL_NS &&
        quiet + BACKOFF_NS < life->leaving_ns && met_ns && met_ns + IN_FLIGHT_NS < life->leaving_ns)
        return ww_diag_set(m->diag, WW_ESTALE, "%s still lists n%u, %llu ms after it said farewell", name,
            life->index + 1, ms(m->now_ns - life->leaving_ns));
    if (!end)
        return WW_OK;
    if (quiet + BACKOFF_NS > end)
        end = quiet + BACKOFF_NS;
    if (m->now_ns > end + record_life_ns(m->program) + IN_FLIGHT_NS)
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
        const struct ww_node_life *life = ww_node_life_of(&m->program->lives, r.server);
        sum += r.server;
        if (!life || !record_is_of(&r, life))
            err = ww_diag_set(m->diag, WW_EPEERID, "%s lists what never was: %.*s",
                ww_sim_node_name(h->machine), (int)r.host.len, (const char *)r.host.ptr);
        else
            err = check_over(m, h, life);
    }
    ww_scan_fini(&it);
    ww_snapshot_unref(snap);
    if (!err && (sum != h->listed_sum || h->checks % FULL_CHECK_EVERY == 0))
        err = ww_node_check_indexes(ww_node_routing(h->node), m->diag);
    if (sum != h->listed_sum)
        h->changed_ns = m->now_ns;
    h->listed_sum = sum;
    return err;
}

/* Nobody who lives, is connected and was listed disappears while nothing disturbs. */
static ww_err check_opinions(const struct moment *m, struct host *h)
{
    struct ww_node_program *p = m->program;
    uint64_t calm_min = record_life_ns(p) + IN_FLIGHT_NS;
    if (h->opinion_count < p->lives.count) {
        struct opinion *more = ww_realloc(h->opinions, p->lives.count * sizeof *more);
        if (!more)
            return WW_ENOMEM;
        h->opinions = more;
        memset(more + h->opinion_count, 0, (p->lives.count - h->opinion_count) * sizeof *more);
        h->opinion_count = p->lives.count;
    }
    for (size_t i = 0; i < p->lives.count; i++) {
        const struct ww_node_life *life = &p->lives.all[i];
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
    if (stats.conns_in + stats.conns_out > 8 * m->program->lives.nodes || stats.bytes_held > HELD_MAX)
        return ww_diag_set(m->diag, WW_ELIMIT, "%s holds %llu connections and %llu bytes", name,
            (unsigned long long)(stats.conns_in + stats.conns_out), (unsigned long long)stats.bytes_held);
    if (awake_ns > AWAKE_NS) {
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

/* The host of the node that a reader is logged in at; NULL: there is none, or it is gone. */
static struct host *served_by(const struct moment *m, const struct ww_node_reader *reader)
{
    uint64_t server = ww_node_reader_server(reader);
    const struct ww_node_life *life = server ? ww_node_life_of(&m->program->lives, server) : NULL;
    struct ww_scenario_app *app = life ? ww_scenario_app(m->scenario, life->index) : NULL;
    struct host *h = app ? WW_CONTAINER_OF(app, struct host, app) : NULL;
    return h && h->node && ww_node_server(h->node) == server ? h : NULL;
}

/* What a reader was told, and, when nothing has moved for a while, that it was told all. */
static ww_err check_reader(const struct moment *m, const struct host *h)
{
    WW_TRY(ww_node_reader_safe(h->reader, m->diag));
    const struct host *at = served_by(m, h->reader);
    if (!at || m->calm_ns < BACKOFF_NS || m->now_ns - at->changed_ns < QUIET_NS)
        return WW_OK;
    return ww_node_reader_compare(h->reader, ww_node_routing(at->node), m->diag);
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
        if (h && h->reader)
            WW_TRY(check_reader(&m, h));
    }
    return WW_OK;
}

/* ---- the goal ---- */

static ww_err node_converged(
    const struct ww_node_program *p, struct ww_node *node, const char *name, struct ww_diag *diag)
{
    struct ww_routing *table = ww_node_routing(node);
    struct ww_swarm *swarm = ww_node_swarm(node);
    size_t alive = 0;
    for (size_t k = 0; k < p->lives.count; k++) {
        const struct ww_node_life *life = &p->lives.all[k];
        struct ww_record r;
        if (life->over_ns)
            continue;
        alive++;
        ww_err err = ww_routing_get(table, ww_peer_id_view(&life->peer), &r);
        if (err || r.server != life->server)
            return ww_diag_set(diag, WW_ENOTFOUND, "%s %s n%u (%zu connections, %sconnected to it)", name,
                err ? "does not list" : "lists an earlier life of", life->index + 1,
                ww_swarm_conn_count(swarm), ww_swarm_connected(swarm, &life->peer) ? "" : "not ");
    }
    if (ww_routing_count(table) != alive)
        return ww_diag_set(
            diag, WW_EEXIST, "%s lists %zu nodes, but %zu run", name, ww_routing_count(table), alive);
    return WW_OK;
}

static ww_err converged(
    struct ww_scenario_program *program, struct ww_scenario *scenario, struct ww_diag *diag)
{
    const struct ww_node_program *p = WW_CONTAINER_OF(program, struct ww_node_program, program);
    for (size_t i = 0; i < ww_scenario_node_count(scenario); i++) {
        struct ww_scenario_app *app = ww_scenario_app(scenario, i);
        struct host *h = app ? WW_CONTAINER_OF(app, struct host, app) : NULL;
        if (h && h->node)
            WW_TRY(node_converged(p, h->node, ww_sim_node_name(h->machine), diag));
        if (h && h->reader)
            WW_TRY(ww_node_reader_converged(h->reader, diag));
    }
    return WW_OK;
}

void ww_node_program_init(struct ww_node_program *ret_program, struct ww_scenario_conf *conf)
{
    struct ww_prng prng, root;
    ww_prng_init(&root, conf->sim.seed);
    ww_prng_split(&root, "node-program", 0, &prng);
    *ret_program = (struct ww_node_program){.program = {start, stop, safe, converged, leave},
        .ttl_ms = (uint32_t)(2000 + 1000 * ww_prng_below(&prng, 4)),
        .fixed_port = ww_prng_below(&prng, 2) == 0,
        .lives = {.nodes = conf->nodes, .static_peers = ww_prng_below(&prng, 4) == 0}};
    /* Of three seeds one has every fault, one only deaths, and one only trouble with the network. */
    static const uint32_t deaths = 1 << WW_FAULT_CRASH | 1 << WW_FAULT_POWER | 1 << WW_FAULT_LEAVE;
    const uint32_t sorts[] = {UINT32_MAX, deaths, ~deaths};
    conf->faults &= sorts[ww_prng_below(&prng, 3)];
    conf->fault_gap_ns >>= ww_prng_below(&prng, 4);
    if (conf->nodes < READERS_UP_TO)
        conf->nodes += ww_prng_below(&prng, READERS_MAX + 1);
    if (conf->sim.nodes_max < conf->nodes)
        conf->sim.nodes_max = conf->nodes;
}

void ww_node_program_fini(struct ww_node_program *program)
{
    ww_free(program->lives.all);
    program->lives = (struct ww_node_lives){0};
}
