/* A recorded session, damaged: cut at every byte, with every bit flipped; and what is no session at all. */
#include "pair.h"

#define SESSION_MAX (1u << 16)

/* What the client of a rich conversation said, and how long its messages are. */
static uint8_t session[SESSION_MAX];
static size_t session_len;
static int live;

static struct ww_cap *make_object(struct ww_rpc_vat *vat)
{
    return object_new(vat, &live, NULL);
}

static void run(struct side *s)
{
    while (ww_rpc_vat_run(s->vat, 1, 0))
        ;
}

/* Moves what `from` has to say to `to`, message by message; the client's side is noted. */
static bool move(struct side *from, struct side *to, bool note)
{
    struct ww_bytes view;
    bool any = false;
    run(from);
    while (ww_rpc_conn_pull(from->conn, &view, 1)) {
        if (note) {
            assert_true(session_len + view.len <= sizeof session);
            memcpy(session + session_len, view.ptr, view.len);
            session_len += view.len;
        }
        assert_ok(ww_rpc_conn_feed(to->conn, view));
        ww_rpc_conn_pulled(from->conn, view.len);
        run(to);
        any = true;
    }
    return any;
}

static void settle(struct pair *p)
{
    while (move(&p->a, &p->b, true) || move(&p->b, &p->a, false))
        ;
}

/* Calls, pipelines, capabilities both ways, a promise that comes home, exceptions, cancellation, a stream. */
static int record(void **state)
{
    WW_UNUSED(state);
    static struct pair p;
    struct ww_cap *boot, *mine, *promise, *made;
    struct ww_rpc_request *q[12];
    size_t n = 0;
    pair_init(&p, make_object, false);
    assert_ok(ww_rpc_conn_bootstrap(p.a.conn, &boot));
    mine = object_new(p.a.vat, &live, NULL);
    q[n++] = call_send(boot, M_ECHO, 1, NULL, NULL);
    q[n++] = call_send(boot, M_FAIL, 1, NULL, NULL);
    q[n] = call_send(boot, M_NEW, 0, NULL, NULL);
    made = pipeline(q[n++], 0);
    q[n++] = call_send(made, M_ECHO, 2, NULL, NULL);
    settle(&p);
    q[n++] = call_send(boot, M_KEEP, 0, mine, NULL);
    q[n++] = call_send(boot, M_CALL, 7, NULL, NULL);
    settle(&p);
    q[n] = call_send(boot, M_ECHO_CAP, 0, mine, NULL);
    promise = pipeline(q[n++], 0);
    q[n++] = call_send(promise, M_ECHO, 3, NULL, NULL);
    settle(&p);
    ww_cap_unref(promise);
    struct ww_cap_resolver *resolver;
    assert_ok(ww_cap_new_promise(p.a.vat, &promise, &resolver));
    q[n++] = call_send(made, M_KEEP, 0, promise, NULL);
    q[n++] = call_send(made, M_CALL, 4, NULL, NULL);
    settle(&p);
    ww_cap_resolver_resolve(resolver, boot);
    settle(&p);
    q[n++] = call_send(boot, M_STREAM, 1, NULL, NULL);
    ww_rpc_request_free(call_send(boot, M_ECHO, 9, NULL, NULL));
    q[n++] = call_send(boot, M_KEEP, 0, NULL, NULL);
    settle(&p);
    while (n > 0)
        ww_rpc_request_free(q[--n]);
    ww_cap_unref(promise);
    ww_cap_unref(made);
    ww_cap_unref(mine);
    ww_cap_unref(boot);
    settle(&p);
    pair_fini(&p);
    assert_int_equal(live, 0);
    assert_true(session_len > 1500);
    return 0;
}

static struct ww_rpc_conn_host quiet = {.ops = &(const struct ww_rpc_conn_ops){0}};

/* A server alone; what it says goes nowhere. */
struct lonely {
    struct side s;
    ww_err fed;
};

static void lonely_init(struct lonely *l)
{
    l->s = (struct side){.closed = 0};
    assert_ok(ww_rpc_vat_new(NULL, &l->s.vat));
    ww_budget_init(&l->s.budget, NULL);
    struct ww_cap *boot = make_object(l->s.vat);
    assert_ok(ww_rpc_conn_new(l->s.vat,
        &(struct ww_rpc_conn_config){.host = &quiet, .bootstrap = boot, .budget = &l->s.budget}, &l->s.conn));
    ww_cap_unref(boot);
    l->fed = 0;
}

static void discard_output(struct lonely *l)
{
    struct ww_bytes view;
    while (ww_rpc_conn_pull(l->s.conn, &view, 1))
        ww_rpc_conn_pulled(l->s.conn, view.len);
}

/* As it was recorded: message by message, as long as the lengths make sense. */
static void lonely_feed(struct lonely *l, const uint8_t *bytes, size_t len)
{
    for (size_t at = 0; at < len && l->fed >= 0;) {
        uint64_t n;
        if (ww_frame_check(ww_bytes(bytes + at, len - at), NULL, &n) < 0 || n == 0 || n > len - at)
            n = len - at;
        l->fed = ww_rpc_conn_feed(l->s.conn, ww_bytes(bytes + at, n));
        if (l->fed == WW_EAGAIN)
            l->fed = 0; /* the rest of a message is still to come */
        run(&l->s);
        discard_output(l);
        at += n;
    }
    side_check(&l->s);
}

static void lonely_fini(struct lonely *l)
{
    ww_rpc_conn_free(l->s.conn);
    run(&l->s);
    objects_let_go();
    run(&l->s);
    for (int i = 0; i < WW_RES_COUNT; i++)
        assert_int_equal(l->s.budget.used[i], 0);
    assert_int_equal(live, 0);
    assert_int_equal(l->s.vat->refs, 2);
    ww_rpc_vat_free(l->s.vat);
}

/* A prefix of what is right is right: the connection stands until its end is told, and then all is given
 * back. */
static void cut_at_every_byte(void **state)
{
    WW_UNUSED(state);
    struct lonely l;
    for (size_t n = 0; n <= session_len; n++) {
        lonely_init(&l);
        lonely_feed(&l, session, n);
        if (!ww_rpc_conn_is_open(l.s.conn))
            fail_msg("closed after %zu of %zu bytes: %s", n, session_len, ww_err_text(l.fed));
        ww_rpc_conn_lost(l.s.conn, WW_ECLOSED);
        run(&l.s);
        struct ww_rpc_conn_stats stats;
        ww_rpc_conn_stats(l.s.conn, &stats);
        assert_int_equal(
            stats.questions + stats.answers + stats.exports + stats.imports + stats.embargoes, 0);
        lonely_fini(&l);
    }
}

/* Whatever a flipped bit means, the connection goes on with sound tables, or it is aborted for a reason that
 * is the peer's fault; nothing leaks either way. */
static void every_bit_flipped(void **state)
{
    WW_UNUSED(state);
    static uint8_t damaged[SESSION_MAX];
    struct lonely l;
    size_t aborted = 0, went_on = 0;
    memcpy(damaged, session, session_len);
    for (size_t bit = 0; bit < session_len * 8; bit++) {
        damaged[bit / 8] ^= (uint8_t)(1u << bit % 8);
        lonely_init(&l);
        lonely_feed(&l, damaged, session_len);
        if (ww_rpc_conn_is_open(l.s.conn)) {
            went_on++;
        } else {
            aborted++;
            ww_err err = l.s.conn->close_err;
            if (err == WW_ENOMEM || err == WW_ESTATE || err == WW_EINVAL)
                fail_msg("bit %zu: %s", bit, ww_err_text(err));
        }
        lonely_fini(&l);
        damaged[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(aborted > 1000 && went_on > 1000);
}

static void head(uint8_t *at, uint32_t first, uint32_t second)
{
    ww_le32_store(at, first);
    ww_le32_store(at + 4, second);
}

/* Lengths that no message may have are refused when they are read, before memory is taken for them. */
static void lengths(void **state)
{
    WW_UNUSED(state);
    static const struct {
        uint32_t segments_less_one, words;
        bool refused;
    } heads[] = {
        {0, 1, false},
        {0, 8u << 20, false}, /* the limit: 64 MiB */
        {0, (8u << 20) + 1, true},
        {0, 1u << 29, true},
        {0, UINT32_MAX, true},
        {511, 1, false}, /* the limit: 512 segments */
        {512, 1, true},
        {1u << 31, 1, true},
        {UINT32_MAX - 1, 1, true},
        {UINT32_MAX, 1, true},
    };
    for (size_t i = 0; i < WW_COUNT_OF(heads); i++) {
        struct lonely l;
        uint8_t bytes[8];
        lonely_init(&l);
        uint64_t before = l.s.budget.used[WW_RES_BYTES];
        head(bytes, heads[i].segments_less_one, heads[i].words);
        ww_err err = ww_rpc_conn_feed(l.s.conn, ww_bytes(bytes, sizeof bytes));
        assert_int_equal(err < 0 && err != WW_EAGAIN, heads[i].refused);
        assert_int_equal(ww_rpc_conn_is_open(l.s.conn), !heads[i].refused);
        if (heads[i].refused)
            assert_true(l.s.budget.used[WW_RES_BYTES] <= before + 4096);
        lonely_fini(&l);
    }
}

/* Segment sizes whose sum does not fit 32 bits. */
static void sum_of_lengths(void **state)
{
    WW_UNUSED(state);
    struct lonely l;
    uint8_t bytes[24];
    lonely_init(&l);
    head(bytes, 3, UINT32_MAX);
    head(bytes + 8, UINT32_MAX, 1);
    head(bytes + 16, 2, 0);
    ww_err err = ww_rpc_conn_feed(l.s.conn, ww_bytes(bytes, sizeof bytes));
    assert_true(err < 0 && err != WW_EAGAIN);
    assert_false(ww_rpc_conn_is_open(l.s.conn));
    lonely_fini(&l);
}

/* Well framed, but no message in it: no words at all, or a root that is null, a list or a capability. */
static void no_message(void **state)
{
    WW_UNUSED(state);
    static const uint64_t roots[] = {1 | UINT64_C(2) << 32 /* an empty list */, 3, 3 | UINT64_C(7) << 2,
        2 | UINT64_C(9) << 32 /* far */, UINT64_MAX};
    for (size_t i = 0; i < WW_COUNT_OF(roots) + 1; i++) {
        struct lonely l;
        uint8_t bytes[16] = {0};
        lonely_init(&l);
        head(bytes, 0, i < WW_COUNT_OF(roots));
        if (i < WW_COUNT_OF(roots))
            ww_le64_store(bytes + 8, roots[i]);
        ww_err err = ww_rpc_conn_feed(l.s.conn, ww_bytes(bytes, i < WW_COUNT_OF(roots) ? 16 : 8));
        assert_true(err < 0 && err != WW_EAGAIN);
        assert_false(ww_rpc_conn_is_open(l.s.conn));
        lonely_fini(&l);
    }
}

/* Noise, in the form of messages and without any form. */
static void noise(void **state)
{
    WW_UNUSED(state);
    uint64_t seed = 88172645463325252u;
    for (int round = 0; round < 4000; round++) {
        struct lonely l;
        uint64_t words[40];
        for (size_t i = 0; i < WW_COUNT_OF(words); i++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            words[i] = seed;
        }
        if (round % 2) {
            head((uint8_t *)words, 0, WW_COUNT_OF(words) - 1);
            words[1] = UINT64_C(1) << 48 | UINT64_C(1) << 32; /* a Message with some tag and body */
            words[2] %= 16;
        }
        lonely_init(&l);
        lonely_feed(&l, (const uint8_t *)words, sizeof words);
        lonely_fini(&l);
    }
}

int main(void)
{
    objects_obey_cancel = true;
    const struct CMUnitTest tests[] = {cmocka_unit_test(cut_at_every_byte),
        cmocka_unit_test(every_bit_flipped), cmocka_unit_test(lengths), cmocka_unit_test(sum_of_lengths),
        cmocka_unit_test(no_message), cmocka_unit_test(noise)};
    return cmocka_run_group_tests(tests, record, NULL);
}
