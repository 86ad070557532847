/* Frames, life of a stream, limits, refusals: one core against bytes written by hand. */
#include "p2p/yamux.h"
#include "test/lib/alloc_fail.h"
#include "test/lib/test.h"

#include <stdio.h>

#define STREAMS 8

struct fixture {
    struct ww_yamux y;
    struct ww_yamux_stream s[STREAMS];
    size_t opened;
    char log[4096]; /* what happened, in words */
    struct ww_bytes sent;
    uint8_t out[1 << 17];
};

static const uint64_t seed[2] = {1, 2};

static void conf_quiet(struct ww_yamux_conf *conf, bool client)
{
    ww_yamux_conf_init(conf, client, seed);
    conf->keepalive_ns = 0;
}

static struct fixture *setup_conf(const struct ww_yamux_conf *conf)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    ww_yamux_init(&f->y, conf, 0);
    return f;
}

static struct fixture *setup(bool client)
{
    struct ww_yamux_conf conf;
    conf_quiet(&conf, client);
    return setup_conf(&conf);
}

static void teardown(struct fixture *f)
{
    assert_int_equal(ww_yamux_check(&f->y), 0);
    for (size_t i = 0; i < STREAMS; i++)
        ww_yamux_stream_fini(&f->s[i]);
    ww_yamux_fini(&f->y);
    free(f);
}

static void note(struct fixture *f, const struct ww_yamux_event *ev)
{
    static const char *const names[] = {"open", "data", "fin", "reset", "closed", "writable", "goaway"};
    size_t at = strlen(f->log);
    int n = ev->type == WW_YAMUX_DATA
        ? snprintf(f->log + at, sizeof f->log - at, "data%u=%.*s ", ev->id, (int)ev->data.len, ev->data.ptr)
        : snprintf(f->log + at, sizeof f->log - at, "%s%u/%x ", names[ev->type], ev->id, ev->code);
    assert_true(n > 0 && (size_t)n < sizeof f->log - at);
}

/* Feeds and takes all events; accepts streams. Returns what next() ended with; f->log tells the rest. */
static ww_err run(struct fixture *f, uint64_t now, struct ww_bytes in)
{
    struct ww_yamux_event ev;
    f->log[0] = 0;
    ww_err r = ww_yamux_feed(&f->y, now, in);
    while (r >= 0 && (r = ww_yamux_next(&f->y, &ev)) > 0) {
        note(f, &ev);
        if (ev.type == WW_YAMUX_OPENED) {
            assert_true(f->opened < STREAMS);
            assert_ok(ww_yamux_accept(&f->y, &f->s[f->opened++]));
        }
        assert_int_equal(ww_yamux_check(&f->y), 0);
    }
    return r;
}

static const char *pulled(struct fixture *f, uint64_t now)
{
    static char text[4096];
    size_t n = ww_yamux_pull(&f->y, now, f->out, sizeof f->out);
    assert_true(2 * n < sizeof text);
    ww_hex_encode(ww_bytes(f->out, n), text);
    assert_int_equal(ww_yamux_check(&f->y), 0);
    return text;
}

static void test_open_lazily(void **state)
{
    struct fixture *f = setup(true);
    size_t taken;
    assert_ok(ww_yamux_open(&f->y, &f->s[0]));
    assert_false(ww_yamux_wants_send(&f->y));
    assert_string_equal(pulled(f, 0), "");
    assert_ok(ww_yamux_open(&f->y, &f->s[1]));
    assert_ok(ww_yamux_stream_write(&f->s[1], ww_bytes_str("hello"), &taken));
    assert_int_equal(taken, 5);
    /* The second one speaks first, so it gets the first id. */
    assert_string_equal(pulled(f, 0), "00000001000000010000000568656c6c6f");
    ww_yamux_stream_announce(&f->s[0]);
    assert_string_equal(pulled(f, 0), "000100010000000300000000");
    assert_ok(run(f, 0, hex("000100020000000100000000000100020000000300000000")));
    assert_string_equal(f->log, "");
    assert_int_equal(f->y.unacked, 0);
    assert_ok(ww_yamux_stream_write(&f->s[0], ww_bytes_str("x"), &taken));
    assert_ok(ww_yamux_stream_shutdown(&f->s[0]));
    assert_ok(ww_yamux_stream_shutdown(&f->s[0]));
    assert_int_equal(ww_yamux_stream_write(&f->s[0], ww_bytes_str("x"), &taken), WW_ESTATE);
    assert_ok(ww_yamux_stream_shutdown(&f->s[1]));
    assert_string_equal(pulled(f, 0), "00000004000000030000000178000000040000000100000000");
    assert_ok(run(f, 0, hex("00000004000000030000000179")));
    assert_string_equal(f->log, "data3=y fin3/0 closed3/0 ");
    teardown(f);
}

static void test_accept_and_answer(void **state)
{
    struct fixture *f = setup(false);
    size_t taken;
    assert_ok(run(f, 0, hex("0000000100000001000000026869")));
    assert_string_equal(f->log, "open1/0 data1=hi ");
    assert_string_equal(pulled(f, 0), "000100020000000100000000");
    /* With an answer at hand the ACK rides on it. */
    assert_ok(run(f, 0, hex("000100010000000300000000")));
    assert_ok(ww_yamux_stream_write(&f->s[1], ww_bytes_str("yo"), &taken));
    assert_string_equal(pulled(f, 0), "000000020000000300000002796f");
    /* Go ends a stream with a window update, others with an empty data frame. */
    assert_ok(run(f, 0, hex("000100040000000100000000000000040000000300000000")));
    assert_string_equal(f->log, "fin1/0 fin3/0 ");
    assert_ok(ww_yamux_stream_shutdown(&f->s[0]));
    assert_string_equal(pulled(f, 0), "000000040000000100000000");
    assert_ok(run(f, 0, ww_bytes(NULL, 0)));
    assert_string_equal(f->log, "closed1/0 ");
    assert_true(ww_yamux_stream_closed(&f->s[0]));
    /* Late frames of a stream that is over are dropped, bodies included. */
    assert_ok(
        run(f, 0, hex("00000000000000010000000378787800010000000000010000ffff000200010000000000000009")));
    assert_string_equal(f->log, "");
    assert_string_equal(pulled(f, 0), "000200020000000000000009");
    teardown(f);
}

static void test_reset(void **state)
{
    struct fixture *f = setup(false);
    size_t taken;
    assert_ok(run(f, 0, hex("000100010000000100000000000100010000000300000000000100010000000500000000")));
    assert_ok(ww_yamux_stream_write(&f->s[0], ww_bytes_str("dropped"), &taken));
    ww_yamux_stream_reset(&f->s[0], 0x1002);
    ww_yamux_stream_fini(&f->s[1]);
    assert_ok(ww_yamux_stream_write(&f->s[2], ww_bytes_str("dropped too"), &taken));
    assert_int_equal(ww_yamux_stream_write(&f->s[0], ww_bytes_str("x"), &taken), WW_ERESET);
    assert_int_equal(ww_yamux_stream_write(&f->s[1], ww_bytes_str("x"), &taken), WW_ECLOSED);
    assert_ok(run(f, 0, hex("000100080000000500001003")));
    assert_string_equal(f->log, "reset5/1003 ");
    assert_string_equal(pulled(f, 0), "000100080000000100001002000100080000000300000000");
    assert_int_equal(f->y.send_bytes, 0);
    assert_int_equal(f->y.streams_in, 0);
    /* A stream that was never announced ends without a frame. */
    struct fixture *c = setup(true);
    assert_ok(ww_yamux_open(&c->y, &c->s[0]));
    assert_ok(ww_yamux_stream_write(&c->s[0], ww_bytes_str("x"), &taken));
    ww_yamux_stream_reset(&c->s[0], 7);
    assert_string_equal(pulled(c, 0), "");
    teardown(c);
    teardown(f);
}

static void test_reset_with_body(void **state)
{
    struct fixture *f = setup(false);
    /* Open, then Data|RST with a body: the body belongs to nobody. SYN|RST opens nothing. */
    assert_ok(run(f, 0,
        hex("000100010000000100000000"
            "000000080000000100000002"
            "7878"
            "000000090000000300000001"
            "79"
            "000000010000000500000001"
            "7a")));
    assert_string_equal(f->log, "open1/0 reset1/0 open5/0 data5=z ");
    /* Reset by us in the middle of a body: the rest is dropped. */
    assert_ok(run(f, 0, hex("0000000000000005000000046161")));
    assert_string_equal(f->log, "data5=aa ");
    ww_yamux_stream_fini(&f->s[1]);
    assert_ok(run(f, 0, hex("6262000200010000000000000001")));
    assert_string_equal(f->log, "");
    assert_int_equal(f->y.pongs, 1);
    teardown(f);
}

static void test_data_after_fin(void **state)
{
    struct fixture *f = setup(false);
    assert_ok(run(f, 0,
        hex("000000050000000100000000"
            "000000000000000100000001"
            "78"
            "000100010000000300000000")));
    assert_string_equal(f->log, "open1/0 fin1/0 reset1/1003 open3/0 ");
    assert_string_equal(pulled(f, 0), "000100080000000100001003000100020000000300000000");
    teardown(f);
}

static void test_violations(void **state)
{
    static const struct {
        const char *bytes;
        bool client;
        ww_err err;
    } cases[] = {
        {"010000010000000100000000", false, WW_EPROTO},                         /* version */
        {"000400000000000000000000", false, WW_EPROTO},                         /* type */
        {"000000000000000000000001", false, WW_EPROTO},                         /* data on id 0 */
        {"000100000000000000000001", false, WW_EPROTO},                         /* window on id 0 */
        {"000100010000000200000000", false, WW_EPROTO},                         /* parity */
        {"000100010000000100000000", true, WW_EPROTO},                          /* parity */
        {"000100010000000100000000000100010000000100000000", false, WW_EPROTO}, /* opened twice */
        {"000000010000000100040001", false, WW_EPROTO}, /* first body over the window */
        {"000100010000000100000000000000000000000100040001", false, WW_EPROTO}, /* body over the window */
        {"0001000100000001fffbffff000100000000000100000001", false, WW_EPROTO}, /* window overflow */
    };
    for (size_t i = 0; i < WW_COUNT_OF(cases); i++) {
        struct fixture *f = setup(cases[i].client);
        size_t taken;
        assert_int_equal(run(f, 0, hex(cases[i].bytes)), cases[i].err);
        struct ww_yamux_event ev;
        assert_int_equal(ww_yamux_next(&f->y, &ev), cases[i].err);
        assert_int_equal(ww_yamux_feed(&f->y, 0, ww_bytes(NULL, 0)), cases[i].err);
        assert_int_equal(ww_yamux_tick(&f->y, 0), cases[i].err);
        assert_true(ww_yamux_wants_send(&f->y));
        assert_string_equal(pulled(f, 0), "000300000000000000000001");
        assert_false(ww_yamux_wants_send(&f->y));
        assert_string_equal(pulled(f, 0), "");
        assert_int_equal(ww_yamux_open(&f->y, &f->s[7]), WW_ECLOSED);
        if (f->opened)
            assert_int_equal(ww_yamux_stream_write(&f->s[0], ww_bytes_str("x"), &taken), WW_ECLOSED);
        teardown(f);
    }
}

/* The largest values that are still allowed. */
static void test_edges(void **state)
{
    struct fixture *f = setup(false);
    assert_ok(run(f, 0, hex("0001000100000001fffbffff")));
    assert_int_equal(f->s[0].send_window, UINT32_MAX);
    static uint8_t body[WW_YAMUX_WINDOW_INITIAL];
    assert_ok(run(f, 0, hex("000000010000000300040000")));
    assert_ok(ww_yamux_feed(&f->y, 0, ww_bytes(body, sizeof body)));
    struct ww_yamux_event ev;
    assert_int_equal(ww_yamux_next(&f->y, &ev), 1);
    assert_int_equal(ev.type, WW_YAMUX_DATA);
    assert_ptr_equal(ev.data.ptr, body); /* a view, not a copy */
    assert_int_equal(ev.data.len, sizeof body);
    assert_ok(ww_yamux_next(&f->y, &ev));
    assert_int_equal(f->s[1].recv_window, 0);
    pulled(f, 0);
    ww_yamux_stream_consumed(&f->s[1], sizeof body / 2 - 1);
    assert_string_equal(pulled(f, 0), "");
    ww_yamux_stream_consumed(&f->s[1], 1);
    assert_string_equal(pulled(f, 0), "000100000000000300020000");
    assert_int_equal(f->s[1].recv_window, sizeof body / 2);
    teardown(f);
}

static void test_feed_before_end(void **state)
{
    struct fixture *f = setup(false);
    assert_ok(ww_yamux_feed(&f->y, 0, hex("000100010000000100000000000100010000000300000000")));
    assert_int_equal(ww_yamux_feed(&f->y, 0, hex("00")), WW_ESTATE);
    struct ww_yamux_event ev;
    assert_int_equal(ww_yamux_next(&f->y, &ev), 1);
    assert_int_equal(ev.type, WW_YAMUX_OPENED);
    /* Neither accepted nor refused: refused. */
    assert_int_equal(ww_yamux_next(&f->y, &ev), 1);
    assert_int_equal(ev.id, 3);
    ww_yamux_refuse(&f->y, 5);
    assert_int_equal(ww_yamux_accept(&f->y, &f->s[0]), WW_ESTATE);
    assert_ok(ww_yamux_next(&f->y, &ev));
    assert_string_equal(pulled(f, 0), "000100080000000100001001000100080000000300000005");
    teardown(f);
}

static void test_stream_limits(void **state)
{
    struct ww_yamux_conf conf;
    conf_quiet(&conf, false);
    conf.streams_in_max = 2;
    conf.streams_out_max = 3;
    conf.unacked_max = 1;
    struct fixture *f = setup_conf(&conf);
    size_t taken;
    assert_ok(run(f, 0,
        hex("000100010000000100000000"
            "000100010000000300000000"
            "000000010000000500000001"
            "61")));
    assert_string_equal(f->log, "open1/0 open3/0 ");
    assert_string_equal(
        pulled(f, 0), "000100080000000500001001000100020000000100000000000100020000000300000000");
    for (size_t i = 2; i < 5; i++) {
        assert_ok(ww_yamux_open(&f->y, &f->s[i]));
        assert_ok(ww_yamux_stream_write(&f->s[i], ww_bytes_str("x"), &taken));
    }
    assert_int_equal(ww_yamux_open(&f->y, &f->s[5]), WW_ELIMIT);
    assert_string_equal(pulled(f, 0), "00000001000000020000000178");
    assert_string_equal(pulled(f, 0), "");
    assert_ok(run(f, 0, hex("000100020000000200000000")));
    assert_string_equal(pulled(f, 0), "00000001000000040000000178");
    /* A reset, too, frees the place of an unacknowledged SYN. */
    assert_ok(run(f, 0, hex("000100080000000400000000")));
    assert_string_equal(pulled(f, 0), "00000001000000060000000178");
    ww_yamux_stream_fini(&f->s[4]);
    assert_ok(ww_yamux_open(&f->y, &f->s[5]));
    assert_ok(ww_yamux_stream_shutdown(&f->s[5]));
    assert_string_equal(pulled(f, 0), "000100080000000600000000000000050000000800000000");
    teardown(f);
}

static void test_budget(void **state)
{
    struct ww_budget b;
    ww_budget_init(&b, NULL);
    b.max[WW_RES_BYTES] = 2 * WW_YAMUX_WINDOW_INITIAL;
    struct ww_yamux_conf conf;
    conf_quiet(&conf, true);
    conf.budget = &b;
    struct fixture *f = setup_conf(&conf);
    assert_ok(ww_yamux_open(&f->y, &f->s[0]));
    assert_ok(ww_yamux_open(&f->y, &f->s[1]));
    assert_int_equal(ww_yamux_open(&f->y, &f->s[2]), WW_EBUDGET);
    assert_int_equal(b.used[WW_RES_STREAMS], 2);
    struct ww_yamux_event ev;
    assert_ok(ww_yamux_feed(&f->y, 0, hex("000100010000000200000000")));
    assert_int_equal(ww_yamux_next(&f->y, &ev), 1);
    assert_int_equal(ww_yamux_accept(&f->y, &f->s[2]), WW_EBUDGET);
    assert_ok(ww_yamux_next(&f->y, &ev));
    assert_string_equal(pulled(f, 0), "000100080000000200001001");
    /* Charges end with fini, or, after the connection's fini, with that. */
    ww_yamux_stream_fini(&f->s[0]);
    assert_int_equal(b.used[WW_RES_BYTES], WW_YAMUX_WINDOW_INITIAL);
    ww_yamux_fini(&f->y);
    assert_int_equal(b.used[WW_RES_BYTES], 0);
    assert_int_equal(b.used[WW_RES_STREAMS], 0);
    size_t taken;
    assert_int_equal(ww_yamux_stream_write(&f->s[1], ww_bytes_str("x"), &taken), WW_ECLOSED);
    ww_yamux_stream_reset(&f->s[1], 0);
    ww_yamux_stream_consumed(&f->s[1], 0);
    ww_yamux_stream_announce(&f->s[1]);
    assert_true(ww_yamux_stream_closed(&f->s[1]));
    ww_yamux_init(&f->y, &conf, 0);
    teardown(f);
}

static void test_ping(void **state)
{
    struct ww_yamux_conf conf;
    ww_yamux_conf_init(&conf, true, seed);
    struct fixture *f = setup_conf(&conf);
    const uint64_t ms = WW_NS_PER_MS;
    assert_string_equal(pulled(f, 0), "000200010000000000000001");
    assert_int_equal(ww_yamux_deadline(&f->y), conf.timeout_ns);
    /* Another value and a second answer are not ours: ignored. */
    assert_ok(run(f, 5 * ms, hex("000200020000000000000007")));
    assert_int_equal(ww_yamux_rtt_ns(&f->y), 0);
    assert_ok(run(f, 10 * ms, hex("000200020000000000000001000200020000000000000001")));
    assert_int_equal(ww_yamux_rtt_ns(&f->y), 10 * ms);
    assert_int_equal(ww_yamux_deadline(&f->y), 30 * WW_NS_PER_S);
    assert_ok(ww_yamux_tick(&f->y, 30 * WW_NS_PER_S - 1));
    assert_string_equal(pulled(f, 30 * WW_NS_PER_S - 1), "");
    assert_ok(ww_yamux_tick(&f->y, 30 * WW_NS_PER_S));
    assert_string_equal(pulled(f, 30 * WW_NS_PER_S), "000200010000000000000002");
    /* Never a second one before the answer; whatever arrives shows that the peer lives. */
    assert_ok(run(f, 45 * WW_NS_PER_S, hex("000200010000000000000003")));
    assert_string_equal(pulled(f, 60 * WW_NS_PER_S), "000200020000000000000003");
    assert_ok(ww_yamux_tick(&f->y, 65 * WW_NS_PER_S - 1));
    assert_int_equal(ww_yamux_tick(&f->y, 65 * WW_NS_PER_S), WW_ETIMEOUT);
    assert_int_equal(ww_yamux_deadline(&f->y), WW_NEVER);
    assert_string_equal(pulled(f, 0), "000300000000000000000002");
    teardown(f);
}

/* A peer whose side takes no bytes: the ping never leaves, and its time runs all the same. */
static void test_ping_stuck(void **state)
{
    struct ww_yamux_conf conf;
    ww_yamux_conf_init(&conf, true, seed);
    struct fixture *f = setup_conf(&conf);
    assert_ok(ww_yamux_tick(&f->y, conf.timeout_ns - 1));
    assert_int_equal(ww_yamux_tick(&f->y, conf.timeout_ns), WW_ETIMEOUT);
    teardown(f);
}

static void test_floods(void **state)
{
    struct fixture *f = setup(false);
    for (unsigned i = 0; i < 64; i++)
        assert_ok(run(f, 0, hex("000200010000000000000001")));
    assert_int_equal(run(f, 0, hex("000200010000000000000001")), WW_ELIMIT);
    teardown(f);
    /* Answered pings are no flood. */
    f = setup(false);
    for (unsigned i = 0; i < 1000; i++) {
        assert_ok(run(f, 0, hex("000200010000000000000001")));
        assert_string_equal(pulled(f, 0), "000200020000000000000001");
    }
    teardown(f);
    /* Streams that we refuse, to a peer that does not read the refusals. */
    struct ww_yamux_conf conf;
    conf_quiet(&conf, false);
    conf.streams_in_max = 0;
    f = setup_conf(&conf);
    unsigned i = 0;
    ww_err r = 0;
    for (; i < 2000 && r == 0; i++) {
        uint8_t frame[12] = {0, 1, 0, 1};
        ww_be32_store(frame + 4, 2 * i + 1);
        r = run(f, 0, ww_bytes(frame, sizeof frame));
    }
    assert_int_equal(r, WW_ELIMIT);
    assert_int_equal(i, 1025);
    teardown(f);
}

static void test_goaway(void **state)
{
    struct fixture *f = setup(false);
    size_t taken;
    assert_ok(run(f, 0, hex("000100010000000100000000000300000000000000000002")));
    assert_string_equal(f->log, "open1/0 goaway0/2 ");
    assert_int_equal(ww_yamux_open(&f->y, &f->s[1]), WW_ECLOSED);
    assert_ok(ww_yamux_stream_write(&f->s[0], ww_bytes_str("x"), &taken));
    ww_yamux_goaway(&f->y, WW_YAMUX_GOAWAY_NORMAL);
    ww_yamux_goaway(&f->y, WW_YAMUX_GOAWAY_NORMAL);
    assert_string_equal(pulled(f, 0), "00030000000000000000000000000002000000010000000178");
    assert_ok(run(f, 0, hex("000100010000000300000000")));
    assert_string_equal(f->log, "");
    assert_string_equal(pulled(f, 0), "000100080000000300001001");
    teardown(f);
}

static void test_send_window(void **state)
{
    struct fixture *f = setup(true);
    static uint8_t big[WW_YAMUX_WINDOW_INITIAL];
    size_t taken, sent = 0, n;
    assert_ok(ww_yamux_open(&f->y, &f->s[0]));
    assert_ok(ww_yamux_stream_write(&f->s[0], ww_bytes(big, sizeof big), &taken));
    assert_int_equal(taken, sizeof big);
    assert_ok(ww_yamux_stream_write(&f->s[0], ww_bytes(big, 10), &taken));
    assert_int_equal(taken, 0);
    while ((n = ww_yamux_pull(&f->y, 0, f->out, 65519)))
        sent += n;
    assert_int_equal(sent, sizeof big + 5 * WW_YAMUX_HEADER_BYTES); /* four full frames, and the rest */
    assert_ok(run(f, 0, ww_bytes(NULL, 0)));
    assert_string_equal(f->log, "writable1/0 ");
    assert_ok(ww_yamux_stream_write(&f->s[0], ww_bytes_str("abc"), &taken));
    assert_ok(ww_yamux_stream_shutdown(&f->s[0]));
    assert_false(ww_yamux_wants_send(&f->y));
    assert_ok(run(f, 0, hex("000100020000000100000002")));
    assert_string_equal(pulled(f, 0), "0000000000000001000000026162");
    assert_ok(run(f, 0, hex("000100000000000100000001")));
    assert_string_equal(pulled(f, 0), "00000004000000010000000163");
    teardown(f);
}

/* Nothing is copied on the way from a slab to the encrypting layer, and the views outlive a reset. */
static void test_gather_views(void **state)
{
    struct fixture *f = setup(true);
    struct ww_slab *slab = ww_slab_new(100000);
    memset(slab->data, 'a', slab->len);
    assert_ok(ww_yamux_open(&f->y, &f->s[0]));
    assert_ok(ww_yamux_open(&f->y, &f->s[1]));
    assert_ok(ww_yamux_stream_write_slab(&f->s[0], slab, 1000, 2000));
    assert_ok(ww_yamux_stream_write_slab(&f->s[1], slab, 0, 100000));
    assert_ok(ww_yamux_stream_write_slab(&f->s[1], slab, 7, 10)); /* short: copied */
    assert_ok(ww_yamux_stream_write_slab(&f->s[1], slab, 7, 0));
    assert_int_equal(slab->refs, 3);
    struct ww_bytes iov[8];
    size_t count;
    assert_int_equal(ww_yamux_gather(&f->y, 0, 65519, iov, 8, &count), 65519);
    assert_int_equal(count, 4);
    assert_ptr_equal(iov[1].ptr, slab->data + 1000);
    assert_ptr_equal(iov[3].ptr, slab->data);
    assert_int_equal(iov[3].len, 65519 - 2000 - 24);
    ww_yamux_stream_reset(&f->s[0], 0);
    ww_yamux_stream_reset(&f->s[1], 0);
    assert_int_equal(slab->refs, 3);
    ww_yamux_gather_done(&f->y);
    assert_int_equal(slab->refs, 1);
    ww_slab_unref(slab);
    teardown(f);
}

/* A short slab is copied, and without memory nothing of it is: not even what would fit into the last chunk.
 */
static void test_short_slab_no_memory(void **state)
{
    struct fixture *f = setup(true);
    struct ww_slab *slab = ww_slab_new(500);
    memset(slab->data, 'a', slab->len);
    size_t taken;
    assert_ok(ww_yamux_open(&f->y, &f->s[0]));
    assert_ok(ww_yamux_stream_write(&f->s[0], ww_bytes(slab->data, 500), &taken));
    alloc_track_begin();
    alloc_track_fail(1, true);
    assert_int_equal(ww_yamux_stream_write_slab(&f->s[0], slab, 0, 100), WW_ENOMEM);
    assert_int_equal(f->y.send_bytes, 500);
    alloc_track_fail(0, false);
    alloc_track_end();
    assert_ok(ww_yamux_stream_write_slab(&f->s[0], slab, 0, 100));
    assert_int_equal(f->y.send_bytes, 600);
    ww_slab_unref(slab);
    teardown(f);
}

/* Bulk on two streams takes turns; what is small and urgent comes first. */
static void test_fairness(void **state)
{
    struct fixture *f = setup(true);
    static uint8_t big[150000];
    size_t taken, n, at[2] = {0}, longest = 0;
    for (size_t i = 0; i < 2; i++) {
        assert_ok(ww_yamux_open(&f->y, &f->s[i]));
        assert_ok(ww_yamux_stream_write(&f->s[i], ww_bytes(big, sizeof big), &taken));
    }
    assert_ok(run(f, 0, hex("000200010000000000000001")));
    for (unsigned turn = 0; (n = ww_yamux_pull(&f->y, 0, f->out, 65519)); turn++) {
        if (turn == 0)
            assert_int_equal(f->out[1], 2);
        for (size_t i = turn == 0 ? 12 : 0; i < n; i += 12 + ww_be32_load(f->out + i + 8))
            at[ww_be32_load(f->out + i + 4) == 3] += ww_be32_load(f->out + i + 8);
        size_t gap = at[0] > at[1] ? at[0] - at[1] : at[1] - at[0];
        longest = gap > longest ? gap : longest;
    }
    assert_int_equal(at[0], sizeof big);
    assert_int_equal(at[1], sizeof big);
    assert_true(longest <= 65519);
    teardown(f);
}

static void test_connection_bound(void **state)
{
    struct ww_yamux_conf conf;
    conf_quiet(&conf, true);
    conf.conn_send_max = 1000;
    conf.stream_reserve = 0;
    struct fixture *f = setup_conf(&conf);
    uint8_t bytes[1000] = {0};
    size_t taken;
    assert_ok(ww_yamux_open(&f->y, &f->s[0]));
    assert_ok(ww_yamux_open(&f->y, &f->s[1]));
    assert_ok(ww_yamux_stream_write(&f->s[0], ww_bytes(bytes, 900), &taken));
    assert_ok(ww_yamux_stream_write(&f->s[1], ww_bytes(bytes, 900), &taken));
    assert_int_equal(taken, 100);
    assert_int_equal(ww_yamux_stream_room(&f->s[1]), 0);
    struct ww_slab *slab = ww_slab_new(500);
    assert_int_equal(ww_yamux_stream_write_slab(&f->s[1], slab, 0, 500), WW_EAGAIN);
    /* Room that comes from another stream's end counts too. */
    ww_yamux_stream_reset(&f->s[0], 0);
    assert_ok(run(f, 0, ww_bytes(NULL, 0)));
    assert_string_equal(f->log, "writable0/0 ");
    assert_ok(ww_yamux_stream_write_slab(&f->s[1], slab, 0, 500));
    ww_slab_unref(slab);
    teardown(f);
}

/* Streams that nobody reads fill the connection; another one goes on, in small steps. */
static void test_reserve(void **state)
{
    struct ww_yamux_conf conf;
    conf_quiet(&conf, true);
    conf.conn_send_max = 300 << 10;
    struct fixture *f = setup_conf(&conf);
    static uint8_t bytes[WW_YAMUX_WINDOW_INITIAL];
    size_t taken;
    for (size_t i = 0; i < 3; i++)
        assert_ok(ww_yamux_open(&f->y, &f->s[i]));
    for (size_t i = 0; i < 2; i++) {
        assert_ok(ww_yamux_stream_write(&f->s[i], ww_bytes(bytes, sizeof bytes), &taken)); /* the window */
        while (ww_yamux_pull(&f->y, 0, f->out, sizeof f->out) > 0)
            continue;
        assert_int_equal(f->s[i].send_bytes, 0);
    }
    for (size_t i = 0; i < 2; i++)
        assert_ok(
            ww_yamux_stream_write(&f->s[i], ww_bytes(bytes, sizeof bytes), &taken)); /* this one waits */
    assert_true(f->y.send_bytes >= conf.conn_send_max);
    assert_int_equal(ww_yamux_stream_room(&f->s[1]), 0);
    for (unsigned turn = 0; turn < 10; turn++) {
        assert_int_equal(ww_yamux_stream_room(&f->s[2]), conf.stream_reserve);
        assert_ok(ww_yamux_stream_write(&f->s[2], ww_bytes(bytes, sizeof bytes), &taken));
        assert_int_equal(taken, conf.stream_reserve);
        assert_int_equal(ww_yamux_stream_room(&f->s[2]), 0);
        assert_true(ww_yamux_pull(&f->y, 0, f->out, sizeof f->out) >= conf.stream_reserve);
        assert_ok(run(f, 0, ww_bytes(NULL, 0)));
        assert_non_null(strstr(f->log, "writable"));
        f->log[0] = 0;
    }
    teardown(f);
}

static void test_window_grows(void **state)
{
    struct ww_budget b;
    ww_budget_init(&b, NULL);
    struct ww_yamux_conf conf;
    ww_yamux_conf_init(&conf, false, seed);
    conf.budget = &b;
    b.max[WW_RES_BYTES] = 8 * WW_YAMUX_WINDOW_INITIAL;
    struct fixture *f = setup_conf(&conf);
    static uint8_t body[4 * WW_YAMUX_WINDOW_INITIAL];
    uint64_t now = 0;
    pulled(f, now);
    assert_ok(run(f, now += 10 * WW_NS_PER_MS,
        hex("000200020000000000000001"
            "000100010000000100000000")));
    static const uint32_t expect[] = {2, 4, 8, 8, 8}; /* until the budget refuses */
    for (size_t i = 0; i < WW_COUNT_OF(expect); i++) {
        uint8_t head[12] = {0, 0, 0, 0, 0, 0, 0, 1};
        uint32_t len = f->s[0].recv_size / 2;
        ww_be32_store(head + 8, len);
        assert_ok(run(f, now, ww_bytes(head, 12)));
        struct ww_yamux_event ev;
        now += 5 * WW_NS_PER_MS;
        assert_ok(ww_yamux_feed(&f->y, now, ww_bytes(body, len)));
        assert_int_equal(ww_yamux_next(&f->y, &ev), 1);
        assert_ok(ww_yamux_next(&f->y, &ev));
        ww_yamux_stream_consumed(&f->s[0], len);
        assert_true(ww_yamux_pull(&f->y, now, f->out, sizeof f->out) >= 12);
        assert_int_equal(f->s[0].recv_size, expect[i] * WW_YAMUX_WINDOW_INITIAL);
        assert_int_equal(f->s[0].recv_window, f->s[0].recv_size);
        assert_int_equal(b.used[WW_RES_BYTES], f->s[0].recv_size);
    }
    teardown(f);
}

static void test_window_stays(void **state)
{
    struct ww_yamux_conf conf;
    ww_yamux_conf_init(&conf, false, seed);
    struct fixture *f = setup_conf(&conf);
    static uint8_t body[WW_YAMUX_WINDOW_INITIAL / 2];
    pulled(f, 0);
    assert_ok(run(f, 10 * WW_NS_PER_MS,
        hex("000200020000000000000001"
            "000000010000000100020000")));
    struct ww_yamux_event ev;
    assert_ok(ww_yamux_feed(&f->y, 11 * WW_NS_PER_MS, ww_bytes(body, sizeof body)));
    assert_int_equal(ww_yamux_next(&f->y, &ev), 1);
    assert_ok(ww_yamux_next(&f->y, &ev));
    ww_yamux_stream_consumed(
        &f->s[0], sizeof body); /* but only 40 ms after the last update: four round trips */
    assert_string_equal(pulled(f, 50 * WW_NS_PER_MS), "000100020000000100020000");
    assert_int_equal(f->s[0].recv_size, WW_YAMUX_WINDOW_INITIAL);
    teardown(f);
}

/* A recorded connection of a Go node, both directions, as the other side would have seen it. */
static void replay(const char *path, bool client, const char *expect)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    static char text[40000];
    size_t n = fread(text, 1, sizeof text, file);
    fclose(file);
    while (n && (text[n - 1] == '\n' || text[n - 1] == ' '))
        n--;
    static uint8_t bytes[20000];
    assert_ok(ww_hex_decode(ww_bytes(text, n), bytes, n / 2));
    struct fixture *f = setup(client);
    struct ww_yamux_event ev;
    unsigned counts[7] = {0}, total = 0;
    for (size_t i = 0; i < STREAMS; i++) {
        assert_ok(ww_yamux_open(&f->y, &f->s[i]));
        f->opened++;
        ww_yamux_stream_announce(&f->s[i]);
    }
    pulled(f, 0);
    static struct ww_yamux_stream theirs[64];
    for (size_t at = 0; at < n / 2; at += 7) { /* in odd pieces */
        size_t len = n / 2 - at < 7 ? n / 2 - at : 7;
        assert_ok(ww_yamux_feed(&f->y, 0, ww_bytes(bytes + at, len)));
        ww_err r;
        while ((r = ww_yamux_next(&f->y, &ev)) > 0) {
            if (ev.type == WW_YAMUX_OPENED)
                assert_ok(ww_yamux_accept(&f->y, &theirs[counts[WW_YAMUX_OPENED]]));
            counts[ev.type] += ev.type != WW_YAMUX_DATA;
            total += (unsigned)ev.data.len;
        }
        assert_ok(r);
        assert_int_equal(ww_yamux_check(&f->y), 0);
    }
    char got[128];
    snprintf(got, sizeof got, "open %u fin %u reset %u goaway %u bytes %u", counts[WW_YAMUX_OPENED],
        counts[WW_YAMUX_FIN], counts[WW_YAMUX_RESET], counts[WW_YAMUX_GOAWAY], total);
    assert_string_equal(got, expect);
    for (size_t i = 0; i < WW_COUNT_OF(theirs); i++)
        ww_yamux_stream_fini(&theirs[i]);
    teardown(f);
}

static void test_recorded(void **state)
{
    replay("test/vectors/go-node/yamux-plain-c2s.hex", false, "open 2 fin 2 reset 0 goaway 0 bytes 325");
    replay("test/vectors/go-node/yamux-plain-s2c.hex", true, "open 2 fin 2 reset 0 goaway 0 bytes 3576");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_lazily),
        cmocka_unit_test(test_accept_and_answer),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_reset_with_body),
        cmocka_unit_test(test_data_after_fin),
        cmocka_unit_test(test_violations),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_feed_before_end),
        cmocka_unit_test(test_stream_limits),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_ping),
        cmocka_unit_test(test_ping_stuck),
        cmocka_unit_test(test_floods),
        cmocka_unit_test(test_goaway),
        cmocka_unit_test(test_send_window),
        cmocka_unit_test(test_gather_views),
        cmocka_unit_test(test_short_slab_no_memory),
        cmocka_unit_test(test_fairness),
        cmocka_unit_test(test_connection_bound),
        cmocka_unit_test(test_reserve),
        cmocka_unit_test(test_window_grows),
        cmocka_unit_test(test_window_stays),
        cmocka_unit_test(test_recorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
