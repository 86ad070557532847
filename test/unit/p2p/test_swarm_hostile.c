/* Swarms among peers that mean harm or die: garbage at each stage, floods of half-open handshakes, limits,
 * crashes, memory that runs out, and being freed in the middle of everything. */
#include "swarm_world.h"
#include "test/lib/alloc_fail.h"

/* A bare socket that says what it is told to. */
struct raw {
    struct ww_tcp_user user;
    struct ww_env *env;
    struct ww_bytes say;
    bool half_close, connected, closed, dead;
    struct ww_buf heard;
};

static void raw_speak(struct raw *r)
{
    struct ww_iovec iov = {r->say.ptr, r->say.len};
    size_t taken = 0;
    if (r->say.len)
        assert_ok(r->env->ops->tcp_write(r->env, r->user.tcp, &iov, 1, &taken));
    r->say = ww_bytes_skip(r->say, taken);
    if (r->say.len == 0 && r->half_close)
        r->env->ops->tcp_shutdown(r->env, r->user.tcp);
}

static void raw_connected(struct ww_tcp_user *user, ww_err err)
{
    struct raw *r = WW_CONTAINER_OF(user, struct raw, user);
    r->connected = err == WW_OK;
    r->dead = err < 0;
    if (r->connected)
        raw_speak(r);
}

static void raw_data(struct ww_tcp_user *user, uint8_t *ptr, size_t len)
{
    struct raw *r = WW_CONTAINER_OF(user, struct raw, user);
    assert_ok(ww_buf_append(&r->heard, ww_bytes(ptr, len)));
}

static void raw_writable(struct ww_tcp_user *user)
{
    raw_speak(WW_CONTAINER_OF(user, struct raw, user));
}

static void raw_closed(struct ww_tcp_user *user, ww_err err)
{
    WW_CONTAINER_OF(user, struct raw, user)->closed = true;
}

static const struct ww_tcp_events raw_events = {
    .connected = raw_connected,
    .data = raw_data,
    .writable = raw_writable,
    .closed = raw_closed,
};

static void raw_start(
    struct raw *r, struct ww_sim_node *from, struct host *to, struct ww_bytes say, bool half_close)
{
    struct ww_netaddr addr = ww_sim_node_addr(to->node);
    addr.port = PORT;
    memset(r, 0, sizeof *r);
    r->user.events = &raw_events;
    r->env = ww_sim_node_env(from);
    r->say = say;
    r->half_close = half_close;
    ww_buf_init(&r->heard, 1 << 20);
    assert_ok(r->env->ops->tcp_connect(r->env, &addr, &r->user));
}

static void raw_stop(struct raw *r)
{
    if (r->user.tcp && !r->dead)
        r->env->ops->tcp_close(r->env, r->user.tcp);
    ww_buf_fini(&r->heard);
}

/* Trace events, counted by kind. */
struct counting {
    struct ww_trace trace;
    unsigned count[WW_TR_COUNT];
};

static void count_event(
    struct ww_trace *t, enum ww_trace_event event, const struct ww_trace_val *vals, size_t count)
{
    WW_CONTAINER_OF(t, struct counting, trace)->count[event]++;
}

#define SAY(lit)                                                                                             \
    {                                                                                                        \
        (const uint8_t *)(lit), sizeof(lit) - 1                                                              \
    }
#define MSS_HEADER "\x13/multistream/1.0.0\n"

static void garbage_is_closed_on(void **state)
{
    static const struct {
        struct ww_bytes say;
        bool half_close;
        unsigned within_ms; /* 0: at once */
    } cases[] = {
        {SAY("GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\nmore than "
             "enough bytes"),
            false, 0},
        {SAY("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS client hello"), false, 0},
        {SAY(MSS_HEADER "\x07/noise\n\xff\xff"), false, 0}, /* longer than a first message may be */
        {SAY(MSS_HEADER "\x07/noise\n\x00\x20"
                        "ABC"),
            false, 11000}, /* the rest never comes */
        {SAY(MSS_HEADER "\x07/noise\n\x00\x20"
                        "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345\x00\x08"
                        "badbadxx"),
            false, 0},
        {SAY(MSS_HEADER "\x07/noise\n\x00\x00"), false, 0},
        {SAY(MSS_HEADER "\x06/nope\n"), true, 0},
        {SAY("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), false, 0},
        {{NULL, 0}, false, 11000},
        {{NULL, 0}, true, 0},
    };
    struct world w;
    struct host a, b;
    struct counting counting = {.trace.emit = count_event};
    world_init(&w, 30, NULL);
    host_new(&a, &w, 1, NULL);
    host_new(&b, &w, 2, NULL);
    b.env->trace = &counting.trace;
    struct ww_sim_node *villain = node_new(&w);
    for (size_t i = 0; i < WW_COUNT_OF(cases); i++) {
        struct raw r;
        struct ww_swarm_stats stats;
        unsigned before = counting.count[WW_TR_SWARM_UPGRADE_FAIL];
        raw_start(&r, villain, &b, cases[i].say, cases[i].half_close);
        run_ms(&w, 100);
        ww_swarm_stats(b.sw, &stats);
        assert_int_equal(r.closed, cases[i].within_ms == 0);
        assert_int_equal(stats.handshakes, cases[i].within_ms ? 1 : 0);
        run_ms(&w, cases[i].within_ms);
        ww_swarm_stats(b.sw, &stats);
        assert_true(r.closed);
        assert_int_equal(stats.handshakes, 0);
        assert_int_equal(counting.count[WW_TR_SWARM_UPGRADE_FAIL], before + 1);
        raw_stop(&r);
    }
    assert_ok(dial_wait(&w, &a, &b));
    b.env->trace = NULL;
    host_stop(&a);
    host_stop(&b);
    ww_sim_free(w.sim);
}

/* A dialer that meets garbage, silence or an end instead of a peer. */
struct fake_server {
    struct ww_listener_user listener;
    struct ww_env *env;
    struct raw conns[4];
    size_t count;
    struct ww_bytes say;
};

static void fake_data(struct ww_tcp_user *user, uint8_t *ptr, size_t len)
{
    struct raw *r = WW_CONTAINER_OF(user, struct raw, user);
    if (ww_buf_len(&r->heard) == 0)
        raw_speak(r);
    assert_ok(ww_buf_append(&r->heard, ww_bytes(ptr, len)));
}

static const struct ww_tcp_events fake_events = {
    .data = fake_data,
    .writable = raw_writable,
    .closed = raw_closed,
};

static struct ww_tcp_user *fake_accepted(struct ww_listener_user *user, const struct ww_netaddr *remote)
{
    struct fake_server *f = WW_CONTAINER_OF(user, struct fake_server, listener);
    assert_true(f->count < WW_COUNT_OF(f->conns));
    struct raw *r = &f->conns[f->count++];
    memset(r, 0, sizeof *r);
    r->user.events = &fake_events;
    r->env = f->env;
    r->say = f->say;
    ww_buf_init(&r->heard, 1 << 20);
    return &r->user;
}

static void dialing_into_garbage(void **state)
{
    static const struct ww_bytes says[] = {
        SAY("HTTP/1.1 400 Bad Request\r\n\r\n and so on and so on and so on and so on and so on and so on"),
        SAY(MSS_HEADER "\x03na\n"),
        SAY(MSS_HEADER "\x07/noise\n\x00\x10"
                       "0123456789abcdef"),
        {NULL, 0},
    };
    static const ww_err want[] = {WW_EPROTO, WW_ENOPROTO, 0, WW_ETIMEOUT};
    for (size_t i = 0; i < WW_COUNT_OF(says); i++) {
        struct world w;
        struct host a, b;
        struct dialing d;
        struct fake_server f = {.listener.accepted = fake_accepted, .say = says[i]};
        struct ww_netaddr any = {.family = 4, .port = PORT}, bound;
        world_init(&w, 31 + i, NULL);
        host_new(&a, &w, 1, NULL);
        host_start(&b, node_new(&w), 2, 0, NULL);
        f.env = b.env;
        assert_ok(f.env->ops->tcp_listen(f.env, &any, &f.listener, &bound));
        assert_ok(dial_start(&d, &a, ww_swarm_id(b.sw), addr_of(&b)));
        run_ms(&w, 12000);
        assert_int_equal(d.done, 1);
        assert_true(d.err < 0);
        if (want[i])
            assert_int_equal(d.err, want[i]);
        assert_int_equal(a.ups, 0);
        assert_true(f.count >= 1);
        for (size_t k = 0; k < f.count; k++) {
            assert_true(f.conns[k].closed);
            raw_stop(&f.conns[k]);
        }
        f.env->ops->listener_close(f.env, f.listener.listener);
        host_stop(&a);
        host_stop(&b);
        ww_sim_free(w.sim);
    }
}

/* Half-open handshakes by the hundred, from one address and from many: an honest dialer gets through at once,
 * and the swarm never holds more than its limits. */
static void half_open_flood(void **state)
{
    enum { FLOOD = 300 };
    static struct raw raws[FLOOD];
    for (unsigned sources = 1; sources <= 100; sources += 99) {
        struct world w;
        struct host a, b;
        struct ww_sim_node *villains[100];
        struct ww_swarm_stats stats;
        world_init(&w, 40 + sources, NULL);
        host_new(&a, &w, 1, NULL);
        host_new(&b, &w, 2, NULL);
        for (unsigned i = 0; i < sources; i++)
            villains[i] = node_new(&w);
        for (unsigned i = 0; i < FLOOD; i++) {
            raw_start(&raws[i], villains[i % sources], &b, WW_BYTES_LIT(MSS_HEADER), false);
            run_ms(&w, i % 3);
            ww_swarm_stats(b.sw, &stats);
            assert_true(stats.handshakes <= (sources == 1 ? 8 : 128));
        }
        run_ms(&w, 10);
        ww_swarm_stats(b.sw, &stats);
        assert_int_equal(stats.handshakes, sources == 1 ? 8 : 128);
        uint64_t before_ns = ww_sim_now(w.sim);
        assert_ok(dial_wait(&w, &a, &b));
        assert_true(ww_sim_now(w.sim) - before_ns < 50 * WW_NS_PER_MS);
        run_ms(&w, 11000);
        ww_swarm_stats(b.sw, &stats);
        assert_int_equal(stats.handshakes, 0);
        for (unsigned i = 0; i < FLOOD; i++)
            raw_stop(&raws[i]);
        host_stop(&a);
        host_stop(&b);
        ww_sim_free(w.sim);
    }
}

/* ---- limits ---- */

static void too_many_connections(void **state)
{
    struct world w;
    struct host b, others[5];
    struct ww_swarm_conf conf = {.limits = {.conns_in = 3}};
    world_init(&w, 50, NULL);
    host_new(&b, &w, 2, &conf);
    for (uint8_t i = 0; i < 5; i++)
        host_new(&others[i], &w, 10 + i, NULL);
    for (uint8_t i = 0; i < 5; i++) {
        ww_err err = dial_wait(&w, &others[i], &b);
        assert_int_equal(err == WW_OK, i < 3);
    }
    assert_int_equal(ww_swarm_conn_count(b.sw), 3);
    struct ww_swarm_stats stats;
    ww_swarm_stats(b.sw, &stats);
    assert_int_equal(stats.refused, 2);
    host_stop(&others[0]);
    run_ms(&w, 100);
    assert_ok(dial_wait(&w, &others[4], &b));
    for (uint8_t i = 1; i < 5; i++)
        host_stop(&others[i]);
    host_stop(&b);
    ww_sim_free(w.sim);
}

static void too_many_from_one_address(void **state)
{
    struct world w;
    struct host b, others[9];
    world_init(&w, 51, NULL);
    host_new(&b, &w, 2, NULL);
    struct ww_sim_node *crowded = node_new(&w);
    for (uint8_t i = 0; i < 9; i++) {
        host_start(&others[i], crowded, 10 + i, 0, NULL);
        assert_int_equal(dial_wait(&w, &others[i], &b) == WW_OK, i < 8);
    }
    for (uint8_t i = 0; i < 9; i++)
        host_stop(&others[i]);
    host_stop(&b);
    ww_sim_free(w.sim);
}

/* One identity from many places: the swarm keeps eight connections of it and refuses the ninth. */
static void too_many_of_one_peer(void **state)
{
    struct world w;
    struct host b, same[9];
    world_init(&w, 52, NULL);
    host_new(&b, &w, 2, NULL);
    for (uint8_t i = 0; i < 9; i++) {
        host_new(&same[i], &w, 1, NULL);
        struct dialing d;
        assert_ok(dial_start(&d, &same[i], ww_swarm_id(b.sw), addr_of(&b)));
        run_ms(&w, 200);
    }
    assert_int_equal(ww_swarm_conn_count(b.sw), 8);
    assert_int_equal(b.ups, 1);
    for (uint8_t i = 0; i < 9; i++)
        host_stop(&same[i]);
    run_ms(&w, 100);
    assert_int_equal(b.downs, 1);
    assert_int_equal(ww_swarm_conn_count(b.sw), 0);
    host_stop(&b);
    ww_sim_free(w.sim);
}

static void too_many_streams(void **state)
{
    enum { STREAMS = 40 };
    struct world w;
    struct host a, b;
    struct ww_swarm_conf conf = {.limits = {.streams_in_per_conn = 16}};
    static struct talker t[STREAMS];
    static struct opening o[STREAMS];
    world_init(&w, 53, NULL);
    host_new(&a, &w, 1, NULL);
    host_new(&b, &w, 2, &conf);
    assert_ok(dial_wait(&w, &a, &b));
    run_ms(&w, 50);
    for (size_t i = 0; i < STREAMS; i++) {
        talker_init(&t[i]);
        assert_ok(open_start(&o[i], &a, ww_swarm_id(b.sw), &t[i], false, "/ipfs/ping/1.0.0", NULL));
    }
    run_ms(&w, 100);
    unsigned alive = 0;
    for (size_t i = 0; i < STREAMS; i++) {
        assert_int_equal(o[i].done, 1);
        alive += t[i].user.stream != NULL;
        assert_true(t[i].user.stream || t[i].err == WW_ERESET || o[i].err == WW_ERESET);
    }
    assert_int_equal(alive, 4); /* the ping service itself takes four of a connection */
    assert_true(ww_swarm_connected(a.sw, ww_swarm_id(b.sw)));
    for (size_t i = 0; i < STREAMS; i++) {
        if (t[i].user.stream)
            ww_stream_reset(t[i].user.stream);
        talker_fini(&t[i]);
    }
    host_stop(&a);
    host_stop(&b);
    ww_sim_free(w.sim);
}

/* A stream on which nothing is ever proposed ends after the negotiation timeout; the opener is told. */
static void stalled_negotiation(void **state)
{
    struct world w;
    struct host a, b;
    struct talker t;
    struct opening o;
    world_init(&w, 54, NULL);
    host_new(&a, &w, 1, NULL);
    host_new(&b, &w, 2, NULL);
    assert_ok(dial_wait(&w, &a, &b));
    run_ms(&w, 50);
    ww_sim_cut(b.node, a.node, true);
    talker_init(&t);
    assert_ok(open_start(&o, &a, ww_swarm_id(b.sw), &t, true, "/ipfs/ping/1.0.0", NULL));
    run_ms(&w, 10500);
    assert_int_equal(o.done, 1);
    assert_int_equal(o.err, WW_ETIMEOUT);
    assert_null(t.user.stream);
    talker_fini(&t);
    host_stop(&a);
    host_stop(&b);
    ww_sim_free(w.sim);
}

static bool no_secured(struct ww_swarm_gater *g, const struct ww_peer_id *peer, bool outbound)
{
    return outbound;
}

static bool no_accept(struct ww_swarm_gater *g, const struct ww_netaddr *remote)
{
    return false;
}

static void gater_has_a_say(void **state)
{
    struct ww_swarm_gater gaters[] = {{.secured = no_secured}, {.accept = no_accept}};
    for (size_t i = 0; i < WW_COUNT_OF(gaters); i++) {
        struct world w;
        struct host a, b;
        struct ww_swarm_conf conf = {.gater = &gaters[i]};
        world_init(&w, 55, NULL);
        host_new(&a, &w, 1, NULL);
        host_new(&b, &w, 2, &conf);
        ww_err err = dial_wait(&w, &a, &b);
        run_ms(&w, 50);
        assert_true(err < 0 || !ww_swarm_connected(a.sw, ww_swarm_id(b.sw)));
        assert_int_equal(b.ups, 0);
        assert_ok(dial_wait(&w, &b, &a));
        host_stop(&a);
        host_stop(&b);
        ww_sim_free(w.sim);
    }
}

/* ---- ends ---- */

static void crash_and_silence(void **state)
{
    for (unsigned silent = 0; silent < 2; silent++) {
        struct world w;
        struct host a, b;
        struct serving s;
        struct talker t;
        world_init(&w, 60 + silent, NULL);
        host_new(&a, &w, 1, NULL);
        host_new(&b, &w, 2, NULL);
        serving_start(&s, &b, "/sink", false);
        assert_ok(dial_wait(&w, &a, &b));
        talker_init(&t);
        assert_ok(open_wait(&w, &a, &b, &t, true, "/sink", NULL));
        if (silent)
            ww_sim_node_power_off(b.node);
        else
            ww_sim_node_crash(b.node);
        run_ms(&w, silent ? 40000 : 1000);
        assert_int_equal(t.closes, 1);
        assert_int_equal(t.err, WW_ECLOSED);
        assert_int_equal(a.downs, 1);
        host_stop(&a);
        host_stop(&b);
        talker_fini(&t);
        serving_fini(&s);
        ww_sim_free(w.sim);
    }
}

/* Freed at every instant of a dial, an open and a transfer: everybody is told exactly once, and nothing is
 * touched after. */
static void freed_at_any_moment(void **state)
{
    for (unsigned step = 0; step < 400; step += 1 + step / 40) {
        struct world w;
        struct host a, b;
        struct serving s;
        struct talker t;
        struct opening o;
        struct dialing d;
        world_init(&w, 61, NULL);
        host_new(&a, &w, 1, NULL);
        host_new(&b, &w, 2, NULL);
        serving_start(&s, &b, "/echo", true);
        talker_init(&t);
        assert_ok(ww_peerstore_add_addr(ww_swarm_peerstore(a.sw), ww_swarm_id(b.sw), addr_of(&b),
            ww_env_now(a.env), WW_PEERSTORE_TTL_ADDR_NS));
        assert_ok(dial_start(&d, &a, ww_swarm_id(b.sw), ww_bytes(NULL, 0)));
        assert_ok(open_start(&o, &a, ww_swarm_id(b.sw), &t, step & 1, "/echo", NULL));
        bool wrote = false;
        for (unsigned i = 0; i < step && ww_sim_step(w.sim); i++) {
            if (t.user.stream && o.done && !wrote) {
                assert_ok(ww_stream_write(t.user.stream, WW_BYTES_LIT("x")));
                wrote = true;
            }
        }
        struct host *first = step & 2 ? &a : &b, *second = step & 2 ? &b : &a;
        host_stop(first);
        run_ms(&w, 30000);
        host_stop(second);
        assert_int_equal(d.done, 1);
        assert_int_equal(o.done, 1);
        assert_null(t.user.stream);
        assert_int_equal(t.closes, o.err == WW_OK);
        talker_fini(&t);
        serving_fini(&s);
        ww_sim_free(w.sim);
    }
}

static void unsubscribe_self(struct ww_swarm_sub *sub, const struct ww_peer_id *peer)
{
    struct host *h = WW_CONTAINER_OF(sub, struct host, sub);
    h->ups++;
    ww_swarm_unsubscribe(h->sw, sub);
    ww_swarm_disconnect(h->sw, peer);
}

static void callbacks_may_do_anything(void **state)
{
    struct world w;
    struct host a, b;
    world_init(&w, 62, NULL);
    host_new(&a, &w, 1, NULL);
    host_new(&b, &w, 2, NULL);
    a.sub.peer_up = unsubscribe_self;
    assert_ok(dial_wait(&w, &a, &b));
    run_ms(&w, 100);
    assert_int_equal(a.ups, 1);
    assert_int_equal(a.downs, 0);
    assert_int_equal(ww_swarm_conn_count(a.sw), 0);
    ww_swarm_subscribe(a.sw, &a.sub);
    host_stop(&a);
    host_stop(&b);
    ww_sim_free(w.sim);
}

/* ---- memory ---- */

/* Two swarms meet, talk and part, while some allocation fails. Whatever happens, all ends in order. */
static ww_err short_life(void *ctx)
{
    struct ww_sim *sim = NULL;
    struct ww_sim_node *na, *nb;
    struct ww_sim_conf sim_conf;
    struct ww_keypair ka, kb;
    struct ww_swarm *a = NULL, *b = NULL;
    uint8_t seed[32] = {1};
    struct dialing d = {.op.done = dialing_done};
    struct ww_buf addr;
    ww_keypair_from_seed(&ka, seed);
    seed[0] = 2;
    ww_keypair_from_seed(&kb, seed);
    ww_buf_init(&addr, 256);
    ww_sim_conf_default(&sim_conf, 1);
    ww_err err = ww_sim_new(&sim_conf, &sim);
    if (err == WW_OK)
        err = ww_sim_node_add(sim, "a", 0, &na);
    if (err == WW_OK)
        err = ww_sim_node_add(sim, "b", 0, &nb);
    if (err == WW_OK)
        err = ww_swarm_new(&(struct ww_swarm_conf){.env = ww_sim_node_env(na), .key = &ka}, &a);
    if (err == WW_OK)
        err = ww_swarm_new(&(struct ww_swarm_conf){.env = ww_sim_node_env(nb), .key = &kb}, &b);
    if (err == WW_OK)
        err = ww_multiaddr_parse(ww_bytes_str("/ip4/0.0.0.0/tcp/4001"), &addr);
    if (err == WW_OK)
        err = ww_swarm_listen(b, ww_buf_view(&addr), NULL);
    ww_buf_clear(&addr);
    if (err == WW_OK) {
        struct ww_netaddr net = ww_sim_node_addr(nb);
        net.port = PORT;
        err = ww_multiaddr_put_netaddr(&addr, &net, WW_MA_TCP);
    }
    struct ww_bytes view = ww_buf_view(&addr);
    if (err == WW_OK)
        err = ww_swarm_dial(a, &d.op, ww_swarm_id(b), &view, 1, 0);
    if (err == WW_OK) {
        ww_sim_run_for(sim, 30 * WW_NS_PER_S);
        assert_int_equal(d.done, 1);
        err = d.err;
    }
    ww_swarm_free(a);
    ww_swarm_free(b);
    ww_sim_free(sim);
    ww_buf_fini(&addr);
    ww_keypair_fini(&ka);
    ww_keypair_fini(&kb);
    return err;
}

static void memory_runs_out(void **state)
{
    assert_true(alloc_fail_run(short_life, NULL) > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(garbage_is_closed_on),
        cmocka_unit_test(dialing_into_garbage),
        cmocka_unit_test(half_open_flood),
        cmocka_unit_test(too_many_connections),
        cmocka_unit_test(too_many_from_one_address),
        cmocka_unit_test(too_many_of_one_peer),
        cmocka_unit_test(too_many_streams),
        cmocka_unit_test(stalled_negotiation),
        cmocka_unit_test(gater_has_a_say),
        cmocka_unit_test(crash_and_silence),
        cmocka_unit_test(freed_at_any_moment),
        cmocka_unit_test(callbacks_may_do_anything),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
