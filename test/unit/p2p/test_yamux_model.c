/* Properties: any cut of the input gives the events that a plain model predicts; two cores that talk to each
 * other at random deliver every byte, keep their invariants, and agree on every window. */
#include "base/prng.h"
#include "p2p/yamux.h"
#include "test/lib/alloc_fail.h"
#include "test/lib/test.h"

static const uint64_t seed[2] = {1, 2};

/* ---- the model: reads a whole byte string at once, serves 8 streams, never sends ---- */

#define MODEL_STREAMS 8u
#define MODEL_IDS 96u

/* A transcript: events as numbers; neighbouring DATA of one stream counts as one, with a hash of its bytes.
 */
struct transcript {
    uint64_t items[4096][3]; /* type, id or code, hash */
    size_t count;
    ww_err end;
};

static void say(struct transcript *t, unsigned type, uint32_t id, uint64_t value)
{
    assert_true(t->count < WW_COUNT_OF(t->items));
    t->items[t->count][0] = type;
    t->items[t->count][1] = id;
    t->items[t->count++][2] = value;
}

static void say_data(struct transcript *t, uint32_t id, struct ww_bytes data)
{
    uint64_t *last = t->count ? t->items[t->count - 1] : NULL;
    if (!last || last[0] != WW_YAMUX_DATA || last[1] != id) {
        say(t, WW_YAMUX_DATA, id, 0);
        last = t->items[t->count - 1];
    }
    for (size_t i = 0; i < data.len; i++)
        last[2] = last[2] * 1099511628211u + data.ptr[i] + 1;
}

struct model {
    struct {
        bool open, fin;
        uint64_t received, window;
    } s[MODEL_IDS];
    unsigned open, pings;
};

static void model_end(struct model *m, uint32_t id)
{
    m->s[id].open = false;
    m->open--;
}

/* One frame for a stream; false: a violation. */
static bool model_frame(struct model *m, struct transcript *t, uint8_t type, unsigned flags, uint32_t id,
    struct ww_bytes body, uint32_t length)
{
    bool syn = flags & 1, fin = flags & 4, rst = flags & 8;
    if (syn) {
        if (id % 2 == 0 || m->s[id].open || (type == 0 && length > 262144))
            return false;
        if (rst || m->open == MODEL_STREAMS)
            return true;
        m->s[id].open = true;
        m->s[id].fin = false;
        m->s[id].received = 0;
        m->s[id].window = 262144;
        m->open++;
        say(t, WW_YAMUX_OPENED, id, 0);
    }
    if (!m->s[id].open)
        return true;
    if (rst) {
        model_end(m, id);
        say(t, WW_YAMUX_RESET, id, type == 1 ? length : 0);
        return true;
    }
    if (type == 1) {
        m->s[id].window += length;
        if (m->s[id].window > UINT32_MAX)
            return false;
    } else {
        m->s[id].received += length;
        if (m->s[id].received > 262144)
            return false;
        if (length && m->s[id].fin) {
            model_end(m, id);
            say(t, WW_YAMUX_RESET, id, 0x1003);
            return true;
        }
        if (length)
            say_data(t, id, body);
    }
    if (fin && !m->s[id].fin) {
        m->s[id].fin = true;
        say(t, WW_YAMUX_FIN, id, 0);
    }
    return true;
}

static void model_run(struct ww_bytes in, struct transcript *t)
{
    struct model m = {0};
    *t = (struct transcript){0};
    while (in.len >= 12) {
        uint8_t type = in.ptr[1];
        unsigned flags = ww_be16_load(in.ptr + 2);
        uint32_t id = ww_be32_load(in.ptr + 4), length = ww_be32_load(in.ptr + 8);
        bool ok = in.ptr[0] == 0 && type <= 3;
        in = ww_bytes_skip(in, 12);
        size_t body = ok && type == 0 ? length : 0;
        body = body < in.len ? body : in.len; /* the last frame may be cut off */
        if (ok && type == 2 && (flags & 1))
            ok = ++m.pings <= 64;
        else if (ok && type == 3)
            say(t, WW_YAMUX_GOAWAY, 0, length);
        else if (ok && type < 2) {
            bool whole = type == 1 || body == length;
            ok = id != 0 &&
                model_frame(&m, t, type, whole ? flags : flags & ~4u, id, ww_bytes(in.ptr, body), length);
        }
        if (!ok) {
            t->end = -1;
            return;
        }
        in = ww_bytes_skip(in, body);
    }
}

static void core_run(struct ww_bytes in, struct ww_prng *cut, struct transcript *t)
{
    static struct ww_yamux_stream streams[512];
    struct ww_yamux_conf conf;
    ww_yamux_conf_init(&conf, false, seed);
    conf.keepalive_ns = 0;
    conf.streams_in_max = MODEL_STREAMS;
    struct ww_yamux y;
    ww_yamux_init(&y, &conf, 0);
    *t = (struct transcript){0};
    size_t at = 0, opened = 0;
    ww_err r = 0;
    while (at < in.len && r == 0) {
        size_t n = cut ? ww_prng_below(cut, 40) : in.len;
        n = n < in.len - at ? n : in.len - at;
        r = ww_yamux_feed(&y, 0, ww_bytes(in.ptr + at, n));
        at += n;
        struct ww_yamux_event ev;
        while (r == 0 && (r = ww_yamux_next(&y, &ev)) > 0) {
            if (ev.type == WW_YAMUX_DATA)
                say_data(t, ev.id, ev.data);
            else
                say(t, ev.type, ev.id, ev.code);
            if (ev.type == WW_YAMUX_OPENED)
                assert_ok(ww_yamux_accept(&y, &streams[opened++]));
            if (ev.type == WW_YAMUX_DATA)
                ww_yamux_stream_consumed(
                    ev.stream, ev.data.len); /* no window goes out: nothing is gathered */
            assert_int_equal(ww_yamux_check(&y), 0);
            r = 0;
        }
    }
    t->end = r < 0 ? -1 : 0;
    for (size_t i = 0; i < opened; i++)
        ww_yamux_stream_fini(&streams[i]);
    ww_yamux_fini(&y);
}

/* Mostly sensible frames. */
static struct ww_bytes random_frames(struct ww_prng *p)
{
    static uint8_t bytes[1 << 20];
    size_t n = 0;
    for (uint64_t frames = ww_prng_below(p, 120); frames; frames--) {
        static const uint16_t flag_choice[] = {0, 0, 0, 0, 0, 0, 1, 1, 2, 4, 5, 8, 9, 0x10};
        bool wild = ww_prng_below(p, 150) == 0;
        uint8_t type = ww_prng_below(p, 10) < 8 ? ww_prng_below(p, 2) : 2 + ww_prng_below(p, wild ? 3 : 2);
        uint32_t id = (uint32_t)(wild ? ww_prng_below(p, MODEL_IDS)
                                      : 1 + 2 * ww_prng_below(p, ww_prng_below(p, 4) ? 10 : MODEL_IDS / 2));
        uint32_t length = (uint32_t)ww_prng_below(p, wild ? 262146 : ww_prng_below(p, 20) ? 30 : 5000);
        bytes[n] = wild && ww_prng_below(p, 8) == 0;
        bytes[n + 1] = type;
        ww_be16_store(bytes + n + 2, flag_choice[ww_prng_below(p, WW_COUNT_OF(flag_choice))]);
        ww_be32_store(bytes + n + 4, id);
        ww_be32_store(bytes + n + 8, type == 1 && wild ? UINT32_MAX - 262144 + length % 2 : length);
        n += 12;
        if (type == 0 && n + length + 1000 > sizeof bytes)
            break;
        if (type == 0) {
            ww_prng_fill(p, bytes + n, length);
            n += length;
        }
        if (n + 300000 > sizeof bytes)
            break;
    }
    return ww_bytes(bytes, n - (n ? ww_prng_below(p, 12) : 0));
}

static void assert_same(const struct transcript *a, const struct transcript *b)
{
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->items, b->items, a->count * sizeof a->items[0]);
    assert_int_equal(a->end, b->end);
}

static void test_any_cut(void **state)
{
    static struct transcript expect, got;
    unsigned errors = 0, events = 0;
    for (unsigned i = 0; i < 400; i++) {
        struct ww_prng p;
        ww_prng_init(&p, i);
        struct ww_bytes in = random_frames(&p);
        model_run(in, &expect);
        core_run(in, NULL, &got);
        assert_same(&expect, &got);
        for (unsigned cuts = 0; cuts < 3; cuts++) {
            core_run(in, &p, &got);
            assert_same(&expect, &got);
        }
        errors += expect.end < 0;
        events += (unsigned)expect.count;
    }
    assert_true(errors > 40 && errors < 360 && events > 3000); /* the inputs are worth something */
}

/* ---- two cores that talk ---- */

#define SLOTS 24u

struct app_stream {
    struct ww_yamux_stream y;
    bool used, over, reset, fin_received;
    uint8_t tag; /* of what we write; byte i is tag + 31 i */
    uint8_t peer_tag;
    uint64_t written, received, held;
};

struct side {
    struct ww_yamux y;
    struct app_stream s[SLOTS];
    struct ww_buf wire; /* towards the peer */
    struct ww_budget budget;
    unsigned ended; /* streams that both ends closed in order */
};

struct pair {
    struct side side[2];
    struct ww_prng p;
    uint64_t now;
    bool quiet; /* the applications start nothing */
    struct {
        uint64_t written[2]; /* by the client, by the server; known once that side has shut down */
        bool closed[2];
    } ledger[4096];
};

static struct app_stream *slot(struct side *a, struct ww_prng *p)
{
    return &a->s[ww_prng_below(p, SLOTS)];
}

/* For a slot whose `y` the core already holds pointers into. */
static void app_init(struct pair *t, struct app_stream *s)
{
    s->used = true;
    s->over = s->reset = s->fin_received = false;
    s->tag = (uint8_t)ww_prng_u64(&t->p);
    s->written = s->received = s->held = 0;
}

static struct app_stream *free_slot(struct side *a)
{
    for (size_t i = 0; i < SLOTS; i++) {
        if (!a->s[i].used)
            return &a->s[i];
    }
    return NULL;
}

static void on_data(struct app_stream *s, struct ww_bytes data)
{
    if (s->received == 0)
        s->peer_tag = data.ptr[0];
    for (size_t i = 0; i < data.len; i++) {
        if (data.ptr[i] != (uint8_t)(s->peer_tag + 31 * (s->received + i)))
            fail_msg("byte %llu is wrong", (unsigned long long)(s->received + i));
    }
    s->received += data.len;
    s->held += data.len;
}

static void on_closed(struct pair *t, unsigned who, struct app_stream *s)
{
    uint32_t id = s->y.id;
    assert_true(id < WW_COUNT_OF(t->ledger));
    s->over = true;
    t->ledger[id].closed[who] = true;
    t->ledger[id].written[who] = s->written;
    /* Our end is the later one when the other is known: then what we received is what it wrote. */
    if (t->ledger[id].closed[!who]) {
        assert_int_equal(t->ledger[id].written[!who], s->received);
        t->side[who].ended++;
    }
}

static ww_err events(struct pair *t, unsigned who)
{
    struct side *a = &t->side[who];
    struct ww_yamux_event ev;
    ww_err r;
    while ((r = ww_yamux_next(&a->y, &ev)) > 0) {
        struct app_stream *s = ev.stream ? WW_CONTAINER_OF(ev.stream, struct app_stream, y) : NULL;
        if (ev.type == WW_YAMUX_OPENED) {
            s = free_slot(a);
            if (s && ww_prng_below(&t->p, 10)) {
                ww_err err = ww_yamux_accept(&a->y, &s->y);
                if (err == 0)
                    app_init(t, s);
            }
        } else if (ev.type == WW_YAMUX_DATA) {
            on_data(s, ev.data);
        } else if (ev.type == WW_YAMUX_FIN) {
            assert_false(s->fin_received);
            s->fin_received = true;
        } else if (ev.type == WW_YAMUX_RESET) {
            s->over = s->reset = true;
        } else if (ev.type == WW_YAMUX_CLOSED) {
            assert_true(s->fin_received);
            on_closed(t, who, s);
        }
    }
    return r;
}

static ww_err write_some(struct pair *t, struct app_stream *s, size_t n, bool slab)
{
    struct ww_slab *bytes = ww_slab_new(n);
    if (!bytes)
        return WW_ENOMEM;
    for (size_t i = 0; i < n; i++)
        bytes->data[i] = (uint8_t)(s->tag + 31 * (s->written + i));
    size_t taken = 0, room = ww_yamux_stream_room(&s->y);
    ww_err err;
    if (slab) {
        err = ww_yamux_stream_write_slab(&s->y, bytes, 0, n);
        taken = err == 0 ? n : 0;
    } else {
        err = ww_yamux_stream_write(&s->y, ww_slab_view(bytes), &taken);
        if (err == 0 && taken != (room < n ? room : n))
            err = WW_ENOMEM; /* no other reason for less */
    }
    s->written += taken;
    ww_slab_unref(bytes);
    return err == WW_ESTATE || err == WW_ERESET || err == WW_EAGAIN ? 0 : err;
}

static void release(struct side *a, struct app_stream *s)
{
    ww_yamux_stream_fini(&s->y);
    s->used = false;
}

static ww_err app_op(struct pair *t, unsigned who)
{
    struct side *a = &t->side[who];
    struct app_stream *s = slot(a, &t->p);
    if (!s->used) {
        if (ww_prng_below(&t->p, 3))
            return 0;
        ww_err err = ww_yamux_open(&a->y, &s->y);
        if (err == 0)
            app_init(t, s);
        return err == WW_ELIMIT || err == WW_EBUDGET ? 0 : err;
    }
    switch (ww_prng_below(&t->p, 40)) {
    case 0:
        if (ww_prng_below(&t->p, 8) == 0) {
            ww_yamux_stream_reset(&s->y, 7);
            s->over = s->reset = true;
        }
        return 0;
    case 1:
        if (s->over || ww_prng_below(&t->p, 30) == 0)
            release(a, s);
        return 0;
    case 2: {
        ww_err err = ww_yamux_stream_shutdown(&s->y);
        return err == WW_ERESET ? 0 : err;
    }
    case 3:
        ww_yamux_stream_announce(&s->y);
        return 0;
    case 4 ... 19: {
        uint64_t n = ww_prng_below(&t->p, 3) ? s->held : ww_prng_below(&t->p, s->held + 1);
        ww_yamux_stream_consumed(&s->y, n);
        s->held -= n;
        return 0;
    }
    default:
        return write_some(
            t, s, 1 + ww_prng_below(&t->p, ww_prng_below(&t->p, 4) ? 300 : 60000), ww_prng_below(&t->p, 2));
    }
}

static ww_err send_some(struct pair *t, unsigned who)
{
    struct side *a = &t->side[who];
    struct ww_bytes iov[32];
    size_t count, max = 1024 + ww_prng_below(&t->p, 64496), sum = 0;
    if (ww_buf_len(&a->wire) > 200000)
        return 0;
    size_t n = ww_yamux_gather(&a->y, t->now, max, iov, 4 + ww_prng_below(&t->p, 29), &count);
    assert_true(n <= max && count <= 32);
    if (!t->quiet && ww_prng_below(&t->p, 8) == 0)
        WW_TRY(app_op(t, who)); /* the views hold, whatever happens to the streams */
    for (size_t i = 0; i < count; i++) {
        WW_TRY(ww_buf_append(&a->wire, iov[i]));
        sum += iov[i].len;
    }
    assert_int_equal(sum, n);
    return 0;
}

static ww_err receive_some(struct pair *t, unsigned who)
{
    struct ww_buf *from = &t->side[!who].wire;
    size_t n = ww_prng_below(&t->p, ww_prng_below(&t->p, 3) ? 40000 : 20);
    n = n < ww_buf_len(from) ? n : ww_buf_len(from);
    t->now += ww_prng_below(&t->p, WW_NS_PER_MS);
    ww_err err = ww_yamux_feed(&t->side[who].y, t->now, ww_bytes(n ? ww_buf_data(from) : NULL, n));
    if (err == 0)
        err = events(t, who);
    ww_buf_consume(from, n);
    return err;
}

static ww_err check(struct pair *t)
{
    for (unsigned who = 0; who < 2; who++) {
        int broken = ww_yamux_check(&t->side[who].y);
        if (broken)
            fail_msg("invariant %d", broken);
    }
    return 0;
}

/* Until nothing moves; consumes everything. */
static ww_err settle(struct pair *t)
{
    t->quiet = true;
    for (bool moved = true; moved;) {
        moved = false;
        for (unsigned who = 0; who < 2; who++) {
            struct side *a = &t->side[who];
            for (size_t i = 0; i < SLOTS; i++) {
                ww_yamux_stream_consumed(&a->s[i].y, a->s[i].used ? a->s[i].held : 0);
                a->s[i].held = 0;
            }
            moved |= ww_buf_len(&a->wire) || ww_yamux_wants_send(&a->y);
            WW_TRY(send_some(t, who));
            WW_TRY(receive_some(t, !who));
            WW_TRY(check(t));
        }
    }
    t->quiet = false;
    return 0;
}

/* With nothing under way, both ends have the same idea of each window. */
static void assert_windows_agree(struct pair *t)
{
    for (size_t i = 0; i < SLOTS; i++) {
        struct app_stream *a = &t->side[0].s[i], *b = NULL;
        for (size_t k = 0; a->used && !a->over && a->y.id && k < SLOTS; k++) {
            if (t->side[1].s[k].used && t->side[1].s[k].y.id == a->y.id)
                b = &t->side[1].s[k];
        }
        if (!b || b->over)
            continue;
        assert_int_equal(a->y.send_window, b->y.recv_window);
        assert_int_equal(b->y.send_window, a->y.recv_window);
    }
}

static ww_err end_all(struct pair *t)
{
    for (unsigned who = 0; who < 2; who++) {
        for (size_t i = 0; i < SLOTS; i++) {
            struct app_stream *s = &t->side[who].s[i];
            if (s->used && !s->over)
                WW_TRY(ww_yamux_stream_shutdown(&s->y));
        }
    }
    return settle(t);
}

static ww_err pair_run(struct pair *t, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        unsigned who = ww_prng_below(&t->p, 2);
        for (uint64_t ops = ww_prng_below(&t->p, 6); ops; ops--)
            WW_TRY(app_op(t, who));
        WW_TRY(send_some(t, who));
        WW_TRY(receive_some(t, !who));
        WW_TRY(ww_yamux_tick(&t->side[who].y, t->now));
        WW_TRY(check(t));
        if (i % 500 == 499) {
            WW_TRY(settle(t));
            assert_windows_agree(t);
        }
    }
    WW_TRY(end_all(t));
    return end_all(t); /* streams that were still on their way at first */
}

static void pair_start(struct pair *t, uint64_t with, bool tight)
{
    *t = (struct pair){0};
    ww_prng_init(&t->p, with);
    for (unsigned who = 0; who < 2; who++) {
        struct ww_yamux_conf conf;
        ww_yamux_conf_init(&conf, who == 0, seed);
        ww_budget_init(&t->side[who].budget, NULL);
        t->side[who].budget.max[WW_RES_BYTES] = 8u << 20;
        conf.budget = &t->side[who].budget;
        conf.unacked_max = 3;
        if (tight) {
            conf.frame_body_max = 1 + (uint32_t)ww_prng_below(&t->p, 2000);
            conf.stream_send_max = 3000;
            conf.conn_send_max = 9000;
            conf.stream_reserve = 2048 * ww_prng_below(&t->p, 3);
            conf.streams_out_max = 7;
            conf.streams_in_max = 5;
        }
        ww_yamux_init(&t->side[who].y, &conf, 0);
        ww_buf_init(&t->side[who].wire, 1u << 20);
    }
}

static void pair_end(struct pair *t)
{
    for (unsigned who = 0; who < 2; who++) {
        struct side *a = &t->side[who];
        if (who) /* one side in this order, the other in that */
            ww_yamux_fini(&a->y);
        for (size_t i = 0; i < SLOTS; i++)
            ww_yamux_stream_fini(&a->s[i].y);
        if (!who)
            ww_yamux_fini(&a->y);
        ww_buf_fini(&a->wire);
        assert_int_equal(a->budget.used[WW_RES_BYTES], 0);
        assert_int_equal(a->budget.used[WW_RES_STREAMS], 0);
    }
}

static void test_two_cores(void **state)
{
    static struct pair t;
    unsigned ended = 0;
    for (uint64_t i = 0; i < 60; i++) {
        pair_start(&t, i, i % 2);
        assert_ok(pair_run(&t, 1500));
        /* Every stream that nobody reset came to its end on both sides. */
        for (unsigned who = 0; who < 2; who++) {
            for (size_t k = 0; k < SLOTS; k++) {
                struct app_stream *s = &t.side[who].s[k];
                assert_true(!s->used || s->over);
            }
            assert_int_equal(t.side[who].y.streams_in + t.side[who].y.streams_out, 0);
            assert_int_equal(t.side[who].y.send_bytes, 0);
            ended += t.side[who].ended;
        }
        pair_end(&t);
    }
    assert_true(ended > 500);
}

static ww_err talk(void *ctx)
{
    static struct pair t;
    pair_start(&t, 3, true);
    ww_err err = pair_run(&t, 60);
    pair_end(&t);
    return err;
}

static void test_no_memory(void **state)
{
    assert_true(alloc_fail_run(talk, NULL) > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_cut),
        cmocka_unit_test(test_two_cores),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
