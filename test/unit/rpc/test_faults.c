/* One busy scenario in several variants, cut off at every message, torn into single bytes, starved of every
 * allocation: nothing may leak, every outcome comes once, and the order of calls holds as far as they came.
 */
#include "pair.h"
#include "test/lib/alloc_fail.h"

static int live;

/* The far side's object: it comes to keep itself, which only the test can undo when the messages end early.
 */
static struct object *far_object;
static struct ww_cap *far_cap;

static struct ww_cap *make_object(struct ww_rpc_vat *vat)
{
    far_cap = object_new(vat, &live, &far_object);
    return ww_cap_ref(far_cap);
}

static void far_let_go(void)
{
    ww_cap_unref(far_object->kept);
    far_object->kept = NULL;
    ww_cap_unref(far_cap);
}

enum { STEPS = 20, CANCELED = 12, FAILS = 9, FOR_PIPELINE = 16, PROMISED_PIPELINE = 18 };

/* What is different from one run of the scenario to the next. */
enum {
    PLAIN = 0,
    TAIL = 1, /* results stay with the peer that asked */
    HOLD = 2, /* calls are held back */
    BIG = 4,  /* messages are queued by reference and received in place */
    PACKED = 8,
    HINTS = 16, /* nothing is pipelined where that is so */
    VARIANTS = 32,
};

struct scene {
    struct pair p;
    unsigned variant;
    struct ww_cap *late, *later;
    struct ww_cap *boot, *made, *mine, *home, *promise;
    struct ww_cap_resolver *resolver;
    struct object *object;
    struct ww_rpc_request *request[STEPS];
    struct outcome outcome[STEPS];
    bool sent[STEPS];
};

/* Like call_send, but memory may be out. */
static void try_send(
    struct scene *s, int at, struct ww_cap *target, uint16_t method, uint64_t value, struct ww_cap *cap)
{
    struct ww_rpc_request *r;
    outcome_init(&s->outcome[at], NULL);
    if (ww_rpc_request_new(target, TEST_IFACE, method, 3, &r) < 0)
        return;
    struct ww_sb params = ww_pb_init_struct(ww_rpc_request_params(r), 1, 2);
    ww_sb_set_u64(params, 0, value);
    ww_pb_set_cap(ww_sb_ptr(params, 0), cap);
    if (s->variant & BIG) {
        uint8_t *data = ww_pb_init_data(ww_sb_ptr(params, 1), WW_RPC_BIG_BYTES);
        if (data)
            memset(data, at, WW_RPC_BIG_BYTES);
    }
    if (s->variant & HINTS && method != M_NEW && method != M_ECHO_CAP)
        ww_rpc_request_no_pipeline(r);
    if (at == FOR_PIPELINE || at == PROMISED_PIPELINE)
        ww_rpc_request_send_for_pipeline(r);
    else
        ww_rpc_request_send(r, &s->outcome[at].wait);
    s->request[at] = r;
    s->sent[at] = true;
}

static void try_pipeline(struct ww_rpc_request *request, struct ww_cap **ret_cap)
{
    static const uint16_t path[1] = {0};
    if (request && ww_rpc_request_pipeline(request, path, 1, ret_cap) < 0)
        *ret_cap = NULL;
}

static void try_object(struct scene *s)
{
    s->mine = object_try(s->p.a.vat, &live, &s->object);
}

/* Everything that level 1 can do, in two parts with messages in between. */
static void act_one(struct scene *s)
{
    if (ww_rpc_conn_bootstrap(s->p.a.conn, &s->boot) < 0) {
        s->boot = NULL;
        return;
    }
    try_object(s);
    if (ww_cap_new_promise(s->p.a.vat, &s->promise, &s->resolver) < 0)
        s->promise = NULL;
    try_send(s, 0, s->boot, M_NEW, 0, NULL);
    try_pipeline(s->request[0], &s->made);
    try_send(s, 1, s->made, M_ECHO, 1, NULL);
    try_send(s, 2, s->made, M_KEEP, 2, s->mine);
    try_send(s, 3, s->boot, M_ECHO_CAP, 3, s->mine);
    try_pipeline(s->request[3], &s->home);
    for (int i = 4; i < 7; i++)
        try_send(s, i, s->home, M_ECHO, (uint64_t)i, NULL);
    try_send(s, 7, s->boot, M_KEEP, 7, s->promise);
    try_send(s, 8, s->boot, M_CALL, 8, NULL);
    try_send(s, 9, s->boot, M_FAIL, (uint64_t)(uint32_t)WW_EFAILED, NULL);
    try_send(s, 14, s->promise, M_ECHO, 14, s->promise); /* carries what it waits for */
    try_send(s, FOR_PIPELINE, s->boot, M_NEW, 0, NULL);
    try_pipeline(s->request[FOR_PIPELINE], &s->late);
    try_send(s, 17, s->late, M_ECHO, 17, NULL);
    try_send(s, PROMISED_PIPELINE, s->promise, M_NEW, 0, NULL); /* pipelined on before it is sent */
    try_pipeline(s->request[PROMISED_PIPELINE], &s->later);
    try_send(s, 19, s->later, M_ECHO, 19, NULL);
}

static void act_two(struct scene *s)
{
    if (!s->boot)
        return;
    try_send(s, 10, s->home, M_ECHO, 10, NULL);
    try_send(s, 11, s->made, M_CALL, 11, NULL);
    if (s->promise) {
        ww_cap_resolver_resolve(s->resolver, s->boot);
        s->resolver = NULL;
    }
    try_send(s, 12, s->boot, M_LATER, 12, NULL);
    try_send(s, 13, s->boot, M_GIVE, 13, NULL);
    try_send(s, 15, s->boot, M_CALL, 15, s->made);
    ww_rpc_request_free(s->request[12]);
    s->request[12] = NULL;
}

static void act_three(struct scene *s)
{
    for (int i = 0; i < STEPS; i++) {
        ww_rpc_request_free(s->request[i]);
        s->request[i] = NULL;
    }
    if (s->boot) {
        struct ww_rpc_request *r;
        if (ww_rpc_request_new(s->boot, TEST_IFACE, M_KEEP, 3, &r) == 0) {
            ww_pb_init_struct(ww_rpc_request_params(r), 1, 1);
            ww_rpc_request_send_take(r);
        }
    }
    ww_cap_unref(s->boot);
    ww_cap_unref(s->made);
    ww_cap_unref(s->mine);
    ww_cap_unref(s->home);
    ww_cap_unref(s->promise);
    ww_cap_resolver_free(s->resolver);
    ww_cap_unref(s->late);
    ww_cap_unref(s->later);
}

/* Moves one message, of the side that has one. False: nothing moves any more. */
static bool move_one(struct side *from, struct side *to)
{
    static uint8_t bytes[256 << 10];
    struct ww_bytes views[64];
    size_t count = ww_rpc_conn_pull(from->conn, views, WW_COUNT_OF(views)), len = 0;
    if (count == 0)
        return false;
    if (from->conn->packed) { /* where one ends only the receiver can tell */
        ww_err err = ww_rpc_conn_feed(to->conn, views[0]);
        WW_UNUSED(err);
        ww_rpc_conn_pulled(from->conn, views[0].len);
        return true;
    }
    for (size_t i = 0; i < count && len + views[i].len <= sizeof bytes; i++) {
        memcpy(bytes + len, views[i].ptr, views[i].len);
        len += views[i].len;
    }
    uint64_t n;
    assert_ok(ww_frame_check(ww_bytes(bytes, len), NULL, &n));
    for (size_t at = 0; at < n;) { /* through the receiver's own place, where it has one */
        uint8_t *to_at;
        size_t room;
        if (ww_rpc_conn_rbuf(to->conn, &to_at, &room) < 0)
            break;
        size_t part = room < n - at ? room : (size_t)n - at;
        part = part > 1000 ? part - part / 3 : part;
        memcpy(to_at, bytes + at, part);
        at += part;
        ww_err err = ww_rpc_conn_fed(to->conn, part);
        WW_UNUSED(err);
    }
    ww_rpc_conn_pulled(from->conn, (size_t)n);
    return true;
}

static bool turn(struct scene *s)
{
    bool more = (int)ww_rpc_vat_run(s->p.a.vat, 1, 0) | (int)ww_rpc_vat_run(s->p.b.vat, 1, 0);
    more |= move_one(&s->p.a, &s->p.b) || move_one(&s->p.b, &s->p.a);
    if (ww_rpc_conn_is_open(s->p.a.conn))
        side_check(&s->p.a);
    if (ww_rpc_conn_is_open(s->p.b.conn))
        side_check(&s->p.b);
    return more;
}

static void scene_init(struct scene *s, unsigned variant)
{
    *s = (struct scene){.variant = variant};
    pair_init(&s->p, make_object, (variant & PACKED) != 0);
    s->p.a.conn->tail_calls = s->p.b.conn->tail_calls = (variant & TAIL) != 0;
    if (variant & HOLD)
        s->p.a.vat->limits.inbound_bytes = s->p.b.vat->limits.inbound_bytes =
            variant & BIG ? 9 * WW_RPC_BIG_BYTES : 1000; /* twice that is never reached */
}

static unsigned play(struct scene *s, unsigned cut)
{
    unsigned turns = 0;
    bool over = false;
    objects_obey_cancel = true;
    act_one(s);
    for (int act = 2; !over; act++) {
        for (unsigned in_act = 0; turn(s) && !(act == 2 && in_act == 5); in_act++) {
            if (++turns == cut) {
                ww_rpc_conn_lost(s->p.a.conn, WW_ERESET);
                ww_rpc_conn_lost(s->p.b.conn, WW_ERESET);
            }
        }
        if (act == 2)
            act_two(s);
        else if (act == 3)
            act_three(s);
        else
            over = true;
    }
    return turns;
}

static void check_outcomes(struct scene *s, bool complete)
{
    for (int i = 0; i < STEPS; i++) {
        bool silent = i == CANCELED || i == FOR_PIPELINE || i == PROMISED_PIPELINE;
        if (s->sent[i])
            assert_int_equal(s->outcome[i].count, !silent);
        if (complete && !silent)
            assert_int_equal(s->outcome[i].status, i == FAILS ? WW_EFAILED : 0);
    }
}

static void cut_variant(unsigned variant)
{
    struct scene s;
    live = 0;
    scene_init(&s, variant);
    unsigned all = play(&s, 0);
    check_outcomes(&s, true);
    side_idle(&s.p.a);
    side_idle(&s.p.b);
    far_let_go();
    pair_fini(&s.p);
    assert_int_equal(live, 0);
    assert_true(all > (variant & PACKED ? 8 : 30)); /* packed, several go at once */
    for (unsigned cut = 1; cut <= all; cut++) {
        scene_init(&s, variant);
        play(&s, cut);
        check_outcomes(&s, false);
        assert_int_equal(s.p.a.closed, WW_ERESET);
        assert_int_equal(s.p.a.closed_events, 1);
        far_let_go();
        pair_fini(&s.p);
        assert_int_equal(live, 0);
    }
}

static void cut_at_every_message(void **state)
{
    WW_UNUSED(state);
    for (unsigned variant = 0; variant < VARIANTS; variant++)
        cut_variant(variant);
}

static void torn(unsigned variant, size_t most)
{
    struct scene s;
    live = 0;
    scene_init(&s, variant);
    objects_obey_cancel = true;
    for (int act = 1; act <= 4; act++) {
        if (act == 1)
            act_one(&s);
        if (act == 2)
            act_two(&s);
        if (act == 3)
            act_three(&s);
        bool moved = true;
        for (size_t n = 1; moved; n = n % most + 1) {
            moved = (int)ww_rpc_vat_run(s.p.a.vat, 1, 0) | (int)ww_rpc_vat_run(s.p.b.vat, 1, 0);
            moved |= (int)pair_move(&s.p, &s.p.a, &s.p.b, n) | (int)pair_move(&s.p, &s.p.b, &s.p.a, n);
        }
    }
    check_outcomes(&s, true);
    side_idle(&s.p.a);
    side_idle(&s.p.b);
    far_let_go();
    pair_fini(&s.p);
    assert_int_equal(live, 0);
}

static void torn_into_pieces(void **state)
{
    WW_UNUSED(state);
    for (unsigned variant = 0; variant < VARIANTS; variant++) {
        torn(variant, variant & BIG ? 4099 : 7);
        if (!(variant & BIG))
            torn(variant, 1);
    }
}

static void starve_variant(unsigned variant)
{
    unsigned failures = 0;
    bool failed = true;
    for (size_t n = 1; failed; n++) {
        struct scene s;
        live = 0;
        alloc_track_begin();
        scene_init(&s, variant);
        alloc_track_fail(n, false);
        play(&s, 0);
        failed = alloc_track_failed();
        alloc_track_fail(0, false);
        failures += failed;
        check_outcomes(&s, false);
        far_let_go();
        pair_fini(&s.p);
        assert_int_equal(live, 0);
        alloc_track_end();
    }
    assert_true(failures > 50);
}

static void starved(void **state)
{
    WW_UNUSED(state);
    for (unsigned variant = 0; variant < VARIANTS; variant++)
        starve_variant(variant);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_at_every_message),
        cmocka_unit_test(torn_into_pieces),
        cmocka_unit_test(starved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
