/* Swarms that mean well: dialing, identify, streams, ping, perf, over a network that cuts and delays as it
 * likes. */
#include "swarm_world.h"

static void plain_dial(void **state)
{
    struct world w;
    struct host a, b;
    world_init(&w, 1, NULL);
    host_new(&a, &w, 1, NULL);
    host_new(&b, &w, 2, NULL);
    assert_ok(dial_wait(&w, &a, &b));
    run_ms(&w, 50);
    assert_true(ww_swarm_connected(a.sw, ww_swarm_id(b.sw)));
    assert_true(ww_swarm_connected(b.sw, ww_swarm_id(a.sw)));
    assert_int_equal(a.ups, 1);
    assert_int_equal(b.ups, 1);
    assert_true(ww_peer_id_eq(&b.last_up, ww_swarm_id(a.sw)));
    assert_int_equal(a.identified, 1);
    assert_int_equal(b.identified, 1);
    assert_string_equal(a.agent, "test-agent");
    assert_true(
        ww_peerstore_speaks(ww_swarm_peerstore(a.sw), ww_swarm_id(b.sw), WW_BYTES_LIT("/ipfs/ping/1.0.0")));
    assert_true(ww_peerstore_record(ww_swarm_peerstore(a.sw), ww_swarm_id(b.sw)).len > 0);
    const struct ww_conn_info *info = ww_swarm_peer_conn(a.sw, ww_swarm_id(b.sw));
    assert_true(info->outbound);
    assert_int_equal(info->remote.port, PORT);
    ww_swarm_disconnect(a.sw, ww_swarm_id(b.sw));
    run_ms(&w, 50);
    assert_int_equal(a.downs, 1);
    assert_int_equal(b.downs, 1);
    assert_int_equal(ww_swarm_conn_count(b.sw), 0);
    host_stop(&a);
    host_stop(&b);
    ww_sim_free(w.sim);
}

/* Three round trips to a usable connection: TCP, then Noise pipelined with its negotiation, the muxer inside.
 */
static void dial_takes_two_round_trips(void **state)
{
    struct world w;
    struct host a, b;
    struct dialing d;
    struct ww_sim_conf conf;
    ww_sim_conf_default(&conf, 3);
    conf.link = (struct ww_sim_link){.delay_min_ns = 50 * WW_NS_PER_MS};
    assert_ok(ww_sim_new(&conf, &w.sim));
    host_new(&a, &w, 1, NULL);
    host_new(&b, &w, 2, NULL);
    assert_ok(dial_start(&d, &a, ww_swarm_id(b.sw), addr_of(&b)));
    uint64_t start_ns = ww_sim_now(w.sim);
    while (!d.done)
        assert_true(ww_sim_step(w.sim));
    assert_true(ww_sim_now(w.sim) - start_ns < 210 * WW_NS_PER_MS);
    host_stop(&a);
    host_stop(&b);
    ww_sim_free(w.sim);
}

static void muxer_after_security(void **state)
{
    struct ww_swarm_conf late = {.no_early_muxer = true};
    for (unsigned i = 1; i < 4; i++) {
        struct world w;
        struct host a, b;
        world_init(&w, i, NULL);
        host_new(&a, &w, 1, i & 1 ? &late : NULL);
        host_new(&b, &w, 2, i & 2 ? &late : NULL);
        assert_ok(dial_wait(&w, &a, &b));
        run_ms(&w, 50);
        assert_int_equal(a.identified + b.identified, 2);
        host_stop(&a);
        host_stop(&b);
        ww_sim_free(w.sim);
    }
}

static void dials_share_a_connection(void **state)
{
    struct world w;
    struct host a, b;
    struct dialing d[4];
    world_init(&w, 2, NULL);
    host_new(&a, &w, 1, NULL);
    host_new(&b, &w, 2, NULL);
    for (size_t i = 0; i < 3; i++)
        assert_ok(dial_start(&d[i], &a, ww_swarm_id(b.sw), addr_of(&b)));
    run_ms(&w, 100);
    assert_ok(dial_start(&d[3], &a, ww_swarm_id(b.sw), ww_bytes(NULL, 0)));
    run_ms(&w, 10);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(d[i].done, 1);
        assert_ok(d[i].err);
    }
    assert_int_equal(ww_swarm_conn_count(a.sw), 1);
    assert_int_equal(ww_swarm_conn_count(b.sw), 1);
    host_stop(&a);
    host_stop(&b);
    ww_sim_free(w.sim);
}

/* Both dial at the same moment, at many relative instants: each must end up connected, and stay so. */
static void dials_cross(void **state)
{
    for (uint64_t seed = 1; seed < 40; seed++) {
        struct world w;
        struct host a, b;
        struct dialing d, e;
        world_init(&w, seed, NULL);
        host_new(&a, &w, 1, NULL);
        host_new(&b, &w, 2, NULL);
        assert_ok(dial_start(&d, &a, ww_swarm_id(b.sw), addr_of(&b)));
        ww_sim_run_for(w.sim, seed * 50 * WW_NS_PER_US);
        assert_ok(dial_start(&e, &b, ww_swarm_id(a.sw), addr_of(&a)));
        run_ms(&w, 2000);
        assert_true(d.done == 1 && e.done == 1);
        assert_ok(d.err);
        assert_ok(e.err);
        assert_true(ww_swarm_connected(a.sw, ww_swarm_id(b.sw)));
        assert_true(ww_swarm_connected(b.sw, ww_swarm_id(a.sw)));
        assert_int_equal(a.downs + b.downs, 0);
        host_stop(&a);
        host_stop(&b);
        ww_sim_free(w.sim);
    }
}

static void dial_by_name_and_unnamed(void **state)
{
    struct world w;
    struct host a, b;
    struct dialing d;
    struct ww_sim_node *node;
    char text[64];
    world_init(&w, 5, NULL);
    host_new(&a, &w, 1, NULL);
    assert_ok(ww_sim_node_add(w.sim, "server", 0, &node));
    host_start(&b, node, 2, PORT, NULL);
    snprintf(text, sizeof text, "/dns4/server/tcp/%u", PORT);
    assert_ok(dial_start(&d, &a, NULL, addr_text(text)));
    run_ms(&w, 1000);
    assert_int_equal(d.done, 1);
    assert_ok(d.err);
    assert_true(ww_peer_id_eq(&d.op.peer, ww_swarm_id(b.sw)));
    assert_ok(dial_start(&d, &b, NULL, addr_text("/dns4/nowhere/tcp/1")));
    run_ms(&w, 20000);
    assert_int_equal(d.done, 1);
    assert_true(d.err < 0);
    assert_non_null(strstr(d.op.diag.text, "/dns4/nowhere/tcp/1"));
    host_stop(&a);
    host_stop(&b);
    ww_sim_free(w.sim);
}

static void dial_failures_say_why(void **state)
{
    struct world w;
    struct host a, b;
    struct dialing d;
    struct ww_peer_id other = {0};
    world_init(&w, 6, NULL);
    host_new(&a, &w, 1, NULL);
    host_new(&b, &w, 2, NULL);
    /* ourselves */
    assert_int_equal(dial_start(&d, &a, ww_swarm_id(a.sw), addr_of(&b)), WW_EINVAL);
    /* nothing to try */
    other = *ww_swarm_id(b.sw);
    other.bytes[20] ^= 1;
    assert_int_equal(dial_start(&d, &a, &other, ww_bytes(NULL, 0)), WW_EUNREACH);
    assert_non_null(strstr(d.op.diag.text, "no address known"));
    assert_int_equal(dial_start(&d, &a, &other, addr_text("/ip4/1.2.3.4/udp/1/quic-v1")), WW_EUNREACH);
    assert_non_null(strstr(d.op.diag.text, "no transport for it"));
    /* somebody else answers */
    assert_ok(dial_start(&d, &a, &other, addr_of(&b)));
    run_ms(&w, 1000);
    assert_int_equal(d.done, 1);
    assert_int_equal(d.err, WW_EPEERID);
    assert_non_null(strstr(d.op.diag.text, "/tcp/4001: peer id does not match"));
    /* nobody answers */
    char text[64];
    struct ww_netaddr net = ww_sim_node_addr(b.node);
    snprintf(text, sizeof text, "/ip4/%u.%u.%u.%u/tcp/9", net.ip[0], net.ip[1], net.ip[2], net.ip[3]);
    assert_ok(dial_start(&d, &a, &other, addr_text(text)));
    run_ms(&w, 1000);
    assert_int_equal(d.err, WW_EREFUSED);
    assert_non_null(strstr(d.op.diag.text, "connection refused"));
    assert_int_equal(a.ups, 0);
    host_stop(&a);
    host_stop(&b);
    ww_sim_free(w.sim);
}

/* After a failure an address from the peerstore rests for 5 s + n² s; given by the caller it is tried at
 * once. */
static void failed_addresses_rest(void **state)
{
    struct world w;
    struct host a, b;
    struct dialing d;
    world_init(&w, 7, NULL);
    host_new(&a, &w, 1, NULL);
    host_start(&b, node_new(&w), 2, 0, NULL);
    const struct ww_peer_id *id = ww_swarm_id(b.sw);
    assert_ok(ww_peerstore_add_addr(
        ww_swarm_peerstore(a.sw), id, addr_of(&b), ww_env_now(a.env), WW_PEERSTORE_TTL_ADDR_NS));
    assert_ok(dial_start(&d, &a, id, ww_bytes(NULL, 0)));
    run_ms(&w, 1000);
    assert_int_equal(d.err, WW_EREFUSED);
    assert_int_equal(dial_start(&d, &a, id, ww_bytes(NULL, 0)), WW_EUNREACH);
    assert_non_null(strstr(d.op.diag.text, "waiting before the next try"));
    assert_ok(dial_start(&d, &a, id, addr_of(&b)));
    run_ms(&w, 1000);
    assert_int_equal(d.err, WW_EREFUSED);
    run_ms(&w, 7000); /* second failure: 9 s from it */
    assert_int_equal(dial_start(&d, &a, id, ww_bytes(NULL, 0)), WW_EUNREACH);
    run_ms(&w, 2000);
    assert_ok(dial_start(&d, &a, id, ww_bytes(NULL, 0)));
    run_ms(&w, 1000);
    assert_int_equal(d.err, WW_EREFUSED);
    host_stop(&a);
    host_stop(&b);
    ww_sim_free(w.sim);
}

static void dial_times_out_and_cancels(void **state)
{
    struct world w;
    struct host a, b;
    struct dialing d, e;
    world_init(&w, 8, NULL);
    host_new(&a, &w, 1, NULL);
    host_new(&b, &w, 2, NULL);
    ww_sim_cut(a.node, b.node, true);
    assert_ok(dial_start(&d, &a, ww_swarm_id(b.sw), addr_of(&b)));
    assert_ok(dial_start(&e, &a, ww_swarm_id(b.sw), addr_of(&b)));
    run_ms(&w, 100);
    ww_swarm_dial_cancel(&e.op);
    run_ms(&w, 20000);
    assert_int_equal(d.done, 1);
    assert_int_equal(d.err, WW_ETIMEOUT);
    assert_int_equal(e.done, 0);
    ww_sim_heal(w.sim);
    assert_ok(dial_wait(&w, &a, &b));
    host_stop(&a);
    host_stop(&b);
    ww_sim_free(w.sim);
}

/* ---- streams ---- */

static void echo_in_every_mode(void **state)
{
    struct world w;
    struct host a, b;
    struct serving s;
    struct talker t[3];
    world_init(&w, 10, NULL);
    host_new(&a, &w, 1, NULL);
    host_new(&b, &w, 2, NULL);
    serving_start(&s, &b, "ww/0.1.0/ns/echo", true);
    assert_ok(dial_wait(&w, &a, &b));
    for (size_t i = 0; i < 3; i++) {
        talker_init(&t[i]);
        if (i == 0)
            assert_ok(open_wait(&w, &a, &b, &t[i], false, "ww/0.1.0/ns/echo", NULL));
        else
            assert_ok(open_wait(&w, &a, &b, &t[i], i == 2, "/not/spoken", "ww/0.1.0/ns/echo"));
        assert_non_null(t[i].user.stream);
        assert_bytes(ww_stream_protocol(t[i].user.stream), "ww/0.1.0/ns/echo", 16);
        assert_ok(ww_stream_write(t[i].user.stream, WW_BYTES_LIT("hello ")));
        assert_ok(ww_stream_write(t[i].user.stream, WW_BYTES_LIT("world")));
        ww_stream_close_write(t[i].user.stream);
        assert_int_equal(ww_stream_write(t[i].user.stream, WW_BYTES_LIT("x")), WW_ESTATE);
        run_ms(&w, 50);
        assert_bytes(ww_buf_view(&t[i].got), "hello world", 11);
        assert_int_equal(t[i].eofs, 1);
        assert_int_equal(t[i].closes, 1);
        assert_ok(t[i].err);
        assert_int_equal(s.talkers[i].closes, 1);
        assert_ok(s.talkers[i].err);
        talker_fini(&t[i]);
    }
    assert_string_equal(s.token, "ww/0.1.0/ns/echo");
    struct ww_swarm_stats stats;
    ww_swarm_stats(b.sw, &stats);
    assert_int_equal(stats.streams, 0);
    host_stop(&a);
    host_stop(&b);
    serving_fini(&s);
    ww_sim_free(w.sim);
}

/* The first bytes travel with the proposal: data there and back within one round trip of an open connection.
 */
static void lazy_open_costs_one_round_trip(void **state)
{
    struct world w;
    struct host a, b;
    struct serving s;
    struct talker t;
    struct opening o;
    struct ww_sim_conf conf;
    ww_sim_conf_default(&conf, 11);
    conf.link = (struct ww_sim_link){.delay_min_ns = 50 * WW_NS_PER_MS};
    assert_ok(ww_sim_new(&conf, &w.sim));
    host_new(&a, &w, 1, NULL);
    host_new(&b, &w, 2, NULL);
    serving_start(&s, &b, "/echo", true);
    assert_ok(dial_wait(&w, &a, &b));
    run_ms(&w, 1000);
    talker_init(&t);
    assert_ok(open_start(&o, &a, ww_swarm_id(b.sw), &t, false, "/echo", NULL));
    run_ms(&w, 1);
    assert_int_equal(o.done, 1);
    assert_ok(ww_stream_write(t.user.stream, WW_BYTES_LIT("x")));
    run_ms(&w, 105);
    assert_int_equal(ww_buf_len(&t.got), 1);
    host_stop(&a);
    host_stop(&b);
    assert_int_equal(t.closes, 1);
    talker_fini(&t);
    serving_fini(&s);
    ww_sim_free(w.sim);
}

static void slow_link(struct ww_sim_conf *conf)
{
    conf->link.delay_min_ns = 10 * WW_NS_PER_MS;
}

static void unspoken_protocols(void **state)
{
    struct world w;
    struct host a, b;
    struct talker t;
    world_init(&w, 12, slow_link);
    host_new(&a, &w, 1, NULL);
    host_new(&b, &w, 2, NULL);
    assert_ok(dial_wait(&w, &a, &b));
    talker_init(&t);
    assert_int_equal(open_wait(&w, &a, &b, &t, true, "/none", "/neither"), WW_ENOPROTO);
    assert_null(t.user.stream);
    assert_int_equal(t.closes, 0);
    assert_ok(open_wait(&w, &a, &b, &t, false, "/none", NULL));
    assert_ok(ww_stream_write(t.user.stream, WW_BYTES_LIT("into the void")));
    run_ms(&w, 50);
    assert_int_equal(t.closes, 1);
    assert_int_equal(t.err, WW_ENOPROTO);
    assert_int_equal(ww_buf_len(&t.got), 0);
    assert_true(ww_swarm_connected(a.sw, ww_swarm_id(b.sw)));
    talker_fini(&t);
    host_stop(&a);
    host_stop(&b);
    ww_sim_free(w.sim);
}

static bool match_any_ww(struct ww_stream_handler *h, struct ww_bytes protocol)
{
    return ww_bytes_has_prefix(protocol, WW_BYTES_LIT("ww/"));
}

static void matcher_and_exact(void **state)
{
    struct world w;
    struct host a, b;
    struct serving wide, exact;
    struct talker t;
    world_init(&w, 13, NULL);
    host_new(&a, &w, 1, NULL);
    host_new(&b, &w, 2, NULL);
    memset(&wide, 0, sizeof wide);
    wide.handler.match = match_any_ww;
    wide.handler.opened = serving_opened;
    assert_ok(ww_swarm_handle(b.sw, &wide.handler));
    serving_start(&exact, &b, "ww/1", false);
    struct serving twice = {.handler = {.protocol = "ww/1", .opened = serving_opened}};
    assert_int_equal(ww_swarm_handle(b.sw, &twice.handler), WW_EEXIST);
    assert_ok(dial_wait(&w, &a, &b));
    talker_init(&t);
    assert_ok(open_wait(&w, &a, &b, &t, true, "ww/2", NULL));
    assert_string_equal(wide.token, "ww/2");
    ww_stream_reset(t.user.stream);
    assert_ok(open_wait(&w, &a, &b, &t, true, "ww/1", NULL));
    assert_string_equal(exact.token, "ww/1");
    assert_int_equal(wide.count, 1);
    ww_stream_reset(t.user.stream);
    run_ms(&w, 20);
    assert_int_equal(exact.talkers[0].err, WW_ERESET);
    ww_swarm_unhandle(b.sw, &exact.handler);
    assert_ok(open_wait(&w, &a, &b, &t, true, "ww/1", NULL));
    assert_int_equal(wide.count, 2);
    host_stop(&a);
    host_stop(&b);
    talker_fini(&t);
    serving_fini(&wide);
    serving_fini(&exact);
    ww_sim_free(w.sim);
}

static void open_dials_when_needed(void **state)
{
    struct world w;
    struct host a, b;
    struct serving s;
    struct talker t;
    world_init(&w, 14, NULL);
    host_new(&a, &w, 1, NULL);
    host_new(&b, &w, 2, NULL);
    serving_start(&s, &b, "/echo", true);
    talker_init(&t);
    assert_int_equal(open_wait(&w, &a, &b, &t, false, "/echo", NULL), WW_EUNREACH);
    assert_ok(ww_peerstore_add_addr(ww_swarm_peerstore(a.sw), ww_swarm_id(b.sw), addr_of(&b),
        ww_env_now(a.env), WW_PEERSTORE_TTL_TEMP_NS));
    assert_ok(open_wait(&w, &a, &b, &t, false, "/echo", NULL));
    assert_ok(ww_stream_write(t.user.stream, WW_BYTES_LIT("x")));
    run_ms(&w, 50);
    assert_int_equal(ww_buf_len(&t.got), 1);
    host_stop(&a);
    host_stop(&b);
    talker_fini(&t);
    serving_fini(&s);
    ww_sim_free(w.sim);
}

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 7 + (i >> 8) * 13);
}

/* A reader that stops lets the writer queue up to its mark and the windows, then refuses; nothing is lost or
 * reordered. */
static void back_pressure(void **state)
{
    enum { TOTAL = 3 << 20, PIECE = 10000 };
    struct world w;
    struct host a, b;
    struct serving s;
    struct talker t;
    world_init(&w, 15, NULL);
    host_new(&a, &w, 1, NULL);
    host_new(&b, &w, 2, NULL);
    serving_start(&s, &b, "/sink", false);
    assert_ok(dial_wait(&w, &a, &b));
    talker_init(&t);
    assert_ok(open_wait(&w, &a, &b, &t, true, "/sink", NULL));
    run_ms(&w, 10);
    struct talker *reader = &s.talkers[0];
    ww_stream_pause(reader->user.stream);
    size_t sent = 0, refused = 0;
    uint8_t *piece = ww_alloc(PIECE);
    while (sent < TOTAL) {
        size_t n = TOTAL - sent < PIECE ? TOTAL - sent : PIECE;
        for (size_t i = 0; i < n; i++)
            piece[i] = pattern(sent + i);
        ww_err err = ww_stream_write(t.user.stream, ww_bytes(piece, n));
        if (err == WW_OK) {
            sent += n;
            continue;
        }
        assert_int_equal(err, WW_EAGAIN);
        unsigned before = t.writables;
        run_ms(&w, 500);
        if (refused++ == 2) {
            assert_int_equal(t.writables, before); /* the window is shut: still no room */
            assert_int_equal(ww_buf_len(&reader->got), 0);
            reader->take_max = 1000;
        }
        if (reader->take_max)
            ww_stream_resume(reader->user.stream);
        if (refused > 6)
            reader->take_max = 0;
        assert_true(refused < 1000);
    }
    assert_true(refused >= 3);
    ww_stream_close_write(t.user.stream);
    for (unsigned i = 0; i < 100 && !reader->eofs; i++) {
        ww_stream_resume(reader->user.stream);
        run_ms(&w, 100);
    }
    assert_int_equal(reader->eofs, 1);
    assert_true(t.writables > 0);
    assert_int_equal(ww_buf_len(&reader->got), TOTAL);
    for (size_t i = 0; i < TOTAL; i++)
        assert_int_equal(ww_buf_data(&reader->got)[i], pattern(i));
    ww_free(piece);
    host_stop(&a);
    host_stop(&b);
    talker_fini(&t);
    serving_fini(&s);
    ww_sim_free(w.sim);
}

/* A message larger than every mark goes whole; a released stream still sends what was written. */
static void large_message_and_release(void **state)
{
    enum { LARGE = 5 << 20 };
    struct world w;
    struct host a, b;
    struct serving s;
    struct talker t;
    world_init(&w, 16, NULL);
    host_new(&a, &w, 1, NULL);
    host_new(&b, &w, 2, NULL);
    serving_start(&s, &b, "/sink", false);
    assert_ok(dial_wait(&w, &a, &b));
    talker_init(&t);
    assert_ok(open_wait(&w, &a, &b, &t, false, "/sink", NULL));
    uint8_t *large = ww_calloc(1, LARGE);
    assert_ok(ww_stream_write(t.user.stream, ww_bytes(large, LARGE)));
    assert_int_equal(ww_stream_write(t.user.stream, WW_BYTES_LIT("more")), WW_EAGAIN);
    ww_stream_release(t.user.stream);
    assert_null(t.user.stream);
    run_ms(&w, 5000);
    assert_int_equal(ww_buf_len(&s.talkers[0].got), LARGE);
    assert_int_equal(s.talkers[0].eofs, 1);
    assert_int_equal(t.closes, 0);
    ww_free(large);
    ww_swarm_disconnect(a.sw, ww_swarm_id(b.sw));
    run_ms(&w, 100);
    assert_int_equal(s.talkers[0].err, WW_ECLOSED);
    host_stop(&a);
    host_stop(&b);
    talker_fini(&t);
    serving_fini(&s);
    ww_sim_free(w.sim);
}

/* ---- services ---- */

struct pinging {
    struct ww_ping ping;
    unsigned done;
    ww_err err;
};

static void ping_done(struct ww_ping *ping, ww_err err)
{
    struct pinging *p = WW_CONTAINER_OF(ping, struct pinging, ping);
    p->done++;
    p->err = err;
}

static void pings(void **state)
{
    struct world w;
    struct host a, b;
    struct pinging p = {.ping = {.done = ping_done}};
    world_init(&w, 20, NULL);
    host_new(&a, &w, 1, NULL);
    host_new(&b, &w, 2, NULL);
    assert_ok(dial_wait(&w, &a, &b));
    for (unsigned i = 1; i <= 5; i++) {
        assert_ok(ww_ping_send(&p.ping, a.sw, ww_swarm_id(b.sw), 10 * WW_NS_PER_S));
        assert_int_equal(ww_ping_send(&p.ping, a.sw, ww_swarm_id(b.sw), 10 * WW_NS_PER_S), WW_ESTATE);
        run_ms(&w, 100);
        assert_int_equal(p.done, i);
        assert_ok(p.err);
        assert_true(p.ping.rtt_ns >= 200 * WW_NS_PER_US && p.ping.rtt_ns < 10 * WW_NS_PER_MS);
    }
    ww_sim_cut(b.node, a.node, true);
    assert_ok(ww_ping_send(&p.ping, a.sw, ww_swarm_id(b.sw), WW_NS_PER_S));
    run_ms(&w, 1500);
    assert_int_equal(p.done, 6);
    assert_int_equal(p.err, WW_ETIMEOUT);
    ww_ping_close(&p.ping);
    host_stop(&a);
    host_stop(&b);
    ww_sim_free(w.sim);
}

struct perfing {
    struct ww_perf perf;
    unsigned done;
    ww_err err;
};

static void perf_done(struct ww_perf *perf, ww_err err)
{
    struct perfing *p = WW_CONTAINER_OF(perf, struct perfing, perf);
    p->done++;
    p->err = err;
}

static void tiny_segments(struct ww_sim_conf *conf)
{
    conf->segment_max_bytes = 1 + conf->seed % 97;
    conf->send_buffer_bytes = 512 + conf->seed % 1000;
    conf->receive_buffer_bytes = 512 + conf->seed % 777;
    conf->link.loss_ppm = 20000;
}

static uint64_t perf_once(uint64_t seed, void (*tune)(struct ww_sim_conf *), uint64_t up, uint64_t down)
{
    struct world w;
    struct host a, b;
    struct perfing p = {.perf = {.done = perf_done}};
    world_init(&w, seed, tune);
    host_new(&a, &w, 1, NULL);
    host_new(&b, &w, 2, NULL);
    assert_ok(dial_wait(&w, &a, &b));
    assert_ok(ww_perf_run(&p.perf, a.sw, ww_swarm_id(b.sw), up, down));
    for (unsigned i = 0; i < 600 && !p.done; i++)
        run_ms(&w, 1000);
    assert_int_equal(p.done, 1);
    assert_ok(p.err);
    assert_int_equal(p.perf.bytes_up, up);
    assert_int_equal(p.perf.bytes_down, down);
    uint64_t hash = ww_sim_hash(w.sim);
    host_stop(&a);
    host_stop(&b);
    ww_sim_free(w.sim);
    return hash;
}

static void perf_with_any_cuts(void **state)
{
    perf_once(1, NULL, 20 << 20, 20 << 20);
    perf_once(2, NULL, 0, 0);
    perf_once(3, NULL, 1, 1);
    for (uint64_t seed = 4; seed < 12; seed++)
        perf_once(seed, tiny_segments, 20000, 15000);
}

/* More than the connection may queue: what opens the last streams still gets through, and so does a ping. */
static void busy_connection_opens_streams(void **state)
{
    enum { COUNT = 60, EACH = 300 << 10 };
    struct world w;
    struct host a, b;
    static struct perfing p[COUNT];
    struct pinging ping = {.ping = {.done = ping_done}};
    world_init(&w, 31, NULL);
    host_new(&a, &w, 1, NULL);
    host_new(&b, &w, 2, NULL);
    assert_ok(dial_wait(&w, &a, &b));
    for (unsigned i = 0; i < COUNT; i++) {
        p[i] = (struct perfing){.perf = {.done = perf_done}};
        assert_ok(ww_perf_run(&p[i].perf, a.sw, ww_swarm_id(b.sw), EACH, EACH));
    }
    assert_ok(ww_ping_send(&ping.ping, a.sw, ww_swarm_id(b.sw), 60 * WW_NS_PER_S));
    run_ms(&w, 120000);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(p[i].done, 1);
        assert_ok(p[i].err);
        assert_int_equal(p[i].perf.bytes_down, EACH);
    }
    assert_int_equal(ping.done, 1);
    assert_ok(ping.err);
    ww_ping_close(&ping.ping);
    host_stop(&a);
    host_stop(&b);
    ww_sim_free(w.sim);
}

static void same_seed_same_run(void **state)
{
    assert_int_equal(perf_once(9, NULL, 300000, 200000), perf_once(9, NULL, 300000, 200000));
    assert_int_not_equal(perf_once(9, NULL, 300000, 200000), perf_once(10, NULL, 300000, 200000));
}

static void protocols_are_pushed(void **state)
{
    struct world w;
    struct host a, b;
    struct serving s;
    world_init(&w, 21, NULL);
    host_new(&a, &w, 1, NULL);
    host_new(&b, &w, 2, NULL);
    assert_ok(dial_wait(&w, &a, &b));
    run_ms(&w, 50);
    struct ww_peerstore *ps = ww_swarm_peerstore(a.sw);
    assert_false(ww_peerstore_speaks(ps, ww_swarm_id(b.sw), WW_BYTES_LIT("/new")));
    serving_start(&s, &b, "/new", false);
    run_ms(&w, 50);
    assert_true(ww_peerstore_speaks(ps, ww_swarm_id(b.sw), WW_BYTES_LIT("/new")));
    assert_int_equal(a.identified, 2);
    ww_swarm_unhandle(b.sw, &s.handler);
    assert_ok(ww_swarm_announce(b.sw, addr_text("/dns4/b.example/tcp/443")));
    run_ms(&w, 50);
    assert_false(ww_peerstore_speaks(ps, ww_swarm_id(b.sw), WW_BYTES_LIT("/new")));
    assert_int_equal(a.identified, 3); /* two changes in one turn, one push */
    bool found = false;
    struct ww_bytes addr;
    for (size_t i = 0; (addr = ww_peerstore_addr(ps, ww_swarm_id(b.sw), ww_env_now(a.env), i)).len; i++)
        found |= ww_bytes_eq(addr, addr_text("/dns4/b.example/tcp/443"));
    assert_true(found);
    assert_true(b.addrs_changed >= 1);
    host_stop(&a);
    host_stop(&b);
    ww_sim_free(w.sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_dial),
        cmocka_unit_test(dial_takes_two_round_trips),
        cmocka_unit_test(muxer_after_security),
        cmocka_unit_test(dials_share_a_connection),
        cmocka_unit_test(dials_cross),
        cmocka_unit_test(dial_by_name_and_unnamed),
        cmocka_unit_test(dial_failures_say_why),
        cmocka_unit_test(failed_addresses_rest),
        cmocka_unit_test(dial_times_out_and_cancels),
        cmocka_unit_test(echo_in_every_mode),
        cmocka_unit_test(lazy_open_costs_one_round_trip),
        cmocka_unit_test(unspoken_protocols),
        cmocka_unit_test(matcher_and_exact),
        cmocka_unit_test(open_dials_when_needed),
        cmocka_unit_test(back_pressure),
        cmocka_unit_test(large_message_and_release),
        cmocka_unit_test(pings),
        cmocka_unit_test(perf_with_any_cuts),
        cmocka_unit_test(busy_connection_opens_streams),
        cmocka_unit_test(same_seed_same_run),
        cmocka_unit_test(protocols_are_pushed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
