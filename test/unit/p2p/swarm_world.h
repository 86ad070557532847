/* Swarms in a simulated world, for the tests of the swarm. */
#ifndef WW_TEST_UNIT_P2P_SWARM_WORLD_H
#define WW_TEST_UNIT_P2P_SWARM_WORLD_H

#include "p2p/multiaddr.h"
#include "p2p/perf.h"
#include "p2p/ping.h"
#include "p2p/swarm.h"
#include "sim/sim.h"
#include "test/lib/test.h"

#define PORT 4001

/* One swarm, with counters of everything that it tells. */
struct host {
    struct ww_sim_node *node;
    struct ww_env *env;
    struct ww_keypair key;
    struct ww_swarm *sw;
    struct ww_swarm_sub sub;
    unsigned ups, downs, identified, addrs_changed;
    char agent[64];
    struct ww_peer_id last_up;
};

struct world {
    struct ww_sim *sim;
};

/* An operation whose outcome is waited for. */
struct dialing {
    struct ww_swarm_dial op;
    unsigned done;
    ww_err err;
};

struct opening {
    struct ww_swarm_open op;
    unsigned done;
    ww_err err;
};

/* A stream user that keeps what it hears. */
struct talker {
    struct ww_stream_user user;
    struct ww_buf got;
    size_t take_max; /* bytes taken a call; 0: all */
    unsigned eofs, closes, writables;
    ww_err err;
    bool echo;
};

struct serving {
    struct ww_stream_handler handler;
    struct talker talkers[8];
    size_t count;
    bool echo;
    char token[64];
};

static inline void world_init(struct world *w, uint64_t seed, void (*tune)(struct ww_sim_conf *conf))
{
    struct ww_sim_conf conf;
    ww_sim_conf_default(&conf, seed);
    if (tune)
        tune(&conf);
    assert_ok(ww_sim_new(&conf, &w->sim));
}

static inline void on_up(struct ww_swarm_sub *sub, const struct ww_peer_id *peer)
{
    struct host *h = WW_CONTAINER_OF(sub, struct host, sub);
    h->ups++;
    h->last_up = *peer;
}

static inline void on_down(struct ww_swarm_sub *sub, const struct ww_peer_id *peer)
{
    WW_CONTAINER_OF(sub, struct host, sub)->downs++;
}

static inline void on_identified(struct ww_swarm_sub *sub, const struct ww_swarm_identity *identity)
{
    struct host *h = WW_CONTAINER_OF(sub, struct host, sub);
    h->identified++;
    snprintf(h->agent, sizeof h->agent, "%.*s", (int)identity->agent.len, (const char *)identity->agent.ptr);
}

static inline void on_addrs(struct ww_swarm_sub *sub)
{
    WW_CONTAINER_OF(sub, struct host, sub)->addrs_changed++;
}

/* A swarm on `node`, with the key of `seed`; listens on `port` of all interfaces unless it is 0. */
static inline void host_start(
    struct host *h, struct ww_sim_node *node, uint8_t seed, uint16_t port, const struct ww_swarm_conf *more)
{
    uint8_t bytes[WW_ED25519_SEED_BYTES] = {seed};
    struct ww_swarm_conf conf = more ? *more : (struct ww_swarm_conf){0};
    memset(h, 0, sizeof *h);
    h->node = node;
    h->env = ww_sim_node_env(node);
    ww_keypair_from_seed(&h->key, bytes);
    conf.env = h->env;
    conf.key = &h->key;
    conf.agent = conf.agent ? conf.agent : "test-agent";
    conf.serve_perf = true;
    assert_ok(ww_swarm_new(&conf, &h->sw));
    h->sub.peer_up = on_up;
    h->sub.peer_down = on_down;
    h->sub.identified = on_identified;
    h->sub.addrs_changed = on_addrs;
    ww_swarm_subscribe(h->sw, &h->sub);
    if (port) {
        char text[64];
        struct ww_buf addr;
        struct ww_diag diag;
        ww_buf_init(&addr, 64);
        snprintf(text, sizeof text, "/ip4/0.0.0.0/tcp/%u", port);
        assert_ok(ww_multiaddr_parse(ww_bytes_str(text), &addr));
        assert_ok(ww_swarm_listen(h->sw, ww_buf_view(&addr), &diag));
        ww_buf_fini(&addr);
    }
}

static inline struct ww_sim_node *node_new(struct world *w)
{
    struct ww_sim_node *node;
    assert_ok(ww_sim_node_add(w->sim, "", 0, &node));
    return node;
}

static inline void host_new(struct host *h, struct world *w, uint8_t seed, const struct ww_swarm_conf *more)
{
    host_start(h, node_new(w), seed, PORT, more);
}

static inline void host_stop(struct host *h)
{
    ww_swarm_free(h->sw);
    ww_keypair_fini(&h->key);
    h->sw = NULL;
}

/* The address of `h` as others dial it, without /p2p. */
static inline struct ww_bytes addr_of(const struct host *h)
{
    static struct ww_buf ring[8];
    static unsigned at;
    struct ww_buf *out = &ring[at++ % 8];
    struct ww_netaddr net = ww_sim_node_addr(h->node);
    net.port = PORT;
    ww_buf_fini(out);
    ww_buf_init(out, 256);
    assert_ok(ww_multiaddr_put_netaddr(out, &net, WW_MA_TCP));
    return ww_buf_view(out);
}

static inline struct ww_bytes addr_text(const char *text)
{
    static struct ww_buf ring[8];
    static unsigned at;
    struct ww_buf *out = &ring[at++ % 8];
    ww_buf_fini(out);
    ww_buf_init(out, 1024);
    assert_ok(ww_multiaddr_parse(ww_bytes_str(text), out));
    return ww_buf_view(out);
}

static inline void run_ms(struct world *w, uint64_t ms)
{
    ww_sim_run_for(w->sim, ms * WW_NS_PER_MS);
}

/* ---- operations ---- */

static inline void dialing_done(struct ww_swarm_dial *op, ww_err err)
{
    struct dialing *d = WW_CONTAINER_OF(op, struct dialing, op);
    d->done++;
    d->err = err;
}

static inline ww_err dial_start(
    struct dialing *d, struct host *from, const struct ww_peer_id *peer, struct ww_bytes addr)
{
    memset(d, 0, sizeof *d);
    d->op.done = dialing_done;
    return ww_swarm_dial(from->sw, &d->op, peer, &addr, addr.len ? 1 : 0, 0);
}

static inline ww_err dial_wait(struct world *w, struct host *from, struct host *to)
{
    struct dialing d;
    ww_err err = dial_start(&d, from, ww_swarm_id(to->sw), addr_of(to));
    if (err < 0)
        return err;
    assert_int_equal(d.done, 0); /* never inside the submitting call */
    for (unsigned i = 0; i < 30000 && !d.done; i++)
        run_ms(w, 1);
    assert_int_equal(d.done, 1);
    return d.err;
}

/* ---- streams ---- */

static inline size_t talker_data(struct ww_stream_user *user, struct ww_bytes data)
{
    struct talker *t = WW_CONTAINER_OF(user, struct talker, user);
    size_t n = t->take_max && t->take_max < data.len ? t->take_max : data.len;
    assert_int_equal(t->eofs, 0);
    assert_int_equal(t->closes, 0);
    assert_ok(ww_buf_append(&t->got, ww_bytes(data.ptr, n)));
    if (t->echo)
        assert_ok(ww_stream_write(user->stream, ww_bytes(data.ptr, n)));
    return n;
}

static inline void talker_writable(struct ww_stream_user *user)
{
    WW_CONTAINER_OF(user, struct talker, user)->writables++;
}

static inline void talker_eof(struct ww_stream_user *user)
{
    struct talker *t = WW_CONTAINER_OF(user, struct talker, user);
    t->eofs++;
    if (t->echo)
        ww_stream_close_write(user->stream);
}

static inline void talker_closed(struct ww_stream_user *user, ww_err err)
{
    struct talker *t = WW_CONTAINER_OF(user, struct talker, user);
    assert_null(user->stream);
    t->closes++;
    t->err = err;
}

static const struct ww_stream_events talker_events = {
    .data = talker_data,
    .writable = talker_writable,
    .eof = talker_eof,
    .closed = talker_closed,
};

static inline void talker_init(struct talker *t)
{
    memset(t, 0, sizeof *t);
    t->user.events = &talker_events;
    ww_buf_init(&t->got, 64 << 20);
}

static inline void talker_fini(struct talker *t)
{
    ww_buf_fini(&t->got);
}

static inline struct ww_stream_user *serving_opened(
    struct ww_stream_handler *h, struct ww_stream *stream, struct ww_bytes protocol)
{
    struct serving *s = WW_CONTAINER_OF(h, struct serving, handler);
    if (s->count == WW_COUNT_OF(s->talkers))
        return NULL;
    struct talker *t = &s->talkers[s->count++];
    talker_init(t);
    t->echo = s->echo;
    snprintf(s->token, sizeof s->token, "%.*s", (int)protocol.len, (const char *)protocol.ptr);
    return &t->user;
}

static inline void serving_start(struct serving *s, struct host *h, const char *protocol, bool echo)
{
    memset(s, 0, sizeof *s);
    s->handler.protocol = protocol;
    s->handler.opened = serving_opened;
    s->echo = echo;
    assert_ok(ww_swarm_handle(h->sw, &s->handler));
}

static inline void serving_fini(struct serving *s)
{
    for (size_t i = 0; i < s->count; i++)
        talker_fini(&s->talkers[i]);
}

static inline void opening_done(struct ww_swarm_open *op, ww_err err)
{
    struct opening *o = WW_CONTAINER_OF(op, struct opening, op);
    o->done++;
    o->err = err;
}

static inline ww_err open_start(struct opening *o, struct host *from, const struct ww_peer_id *to,
    struct talker *t, bool strict, const char *first, const char *second)
{
    const char *names[] = {first, second};
    memset(o, 0, sizeof *o);
    o->op.done = opening_done;
    return (strict ? ww_swarm_open_strict : ww_swarm_open)(
        from->sw, &o->op, to, names, second ? 2 : 1, &t->user, 0);
}

static inline ww_err open_wait(struct world *w, struct host *from, struct host *to, struct talker *t,
    bool strict, const char *first, const char *second)
{
    struct opening o;
    ww_err err = open_start(&o, from, ww_swarm_id(to->sw), t, strict, first, second);
    if (err < 0)
        return err;
    assert_int_equal(o.done, 0);
    for (unsigned i = 0; i < 20000 && !o.done; i++)
        run_ms(w, 1);
    assert_int_equal(o.done, 1);
    return o.err;
}

#endif
