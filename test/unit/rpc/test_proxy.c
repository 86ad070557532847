/* A vat in the middle: what it gets from one peer it gives to another, without knowing what it is. */
#include "pair.h"
#include "test/lib/alloc_fail.h"

/* left and right are ends of the middle's two connections. */
static struct net {
    struct side left, right;
    struct side in, out; /* the middle's halves; one vat */
    struct object *object;
    struct ww_cap *cap; /* what left got from the middle: right's object */
    int live;
} n;

static void side_open(struct side *s, struct ww_rpc_vat *vat, struct ww_cap *boot)
{
    static const struct ww_rpc_conn_ops none = {0};
    *s = (struct side){.host.ops = &none, .vat = vat};
    ww_budget_init(&s->budget, NULL);
    assert_ok(ww_rpc_conn_new(vat,
        &(struct ww_rpc_conn_config){.host = &s->host, .bootstrap = boot, .budget = &s->budget}, &s->conn));
}

static void settle(void)
{
    bool moved = true;
    while (moved) {
        moved = (int)ww_rpc_vat_run(n.left.vat, 1, 0) | (int)ww_rpc_vat_run(n.right.vat, 1, 0) |
            (int)ww_rpc_vat_run(n.in.vat, 1, 0);
        moved |= (int)pair_move(NULL, &n.left, &n.in, 0) | (int)pair_move(NULL, &n.in, &n.left, 0);
        moved |= (int)pair_move(NULL, &n.out, &n.right, 0) | (int)pair_move(NULL, &n.right, &n.out, 0);
        side_check(&n.left);
        side_check(&n.right);
        side_check(&n.in);
        side_check(&n.out);
    }
}

static int setup(void **state)
{
    WW_UNUSED(state);
    memset(&n, 0, sizeof n);
    struct ww_rpc_vat *left, *middle, *right;
    assert_ok(ww_rpc_vat_new(NULL, &left));
    assert_ok(ww_rpc_vat_new(NULL, &middle));
    assert_ok(ww_rpc_vat_new(NULL, &right));
    struct ww_cap *object = object_new(right, &n.live, &n.object), *through;
    side_open(&n.right, right, object);
    ww_cap_unref(object);
    side_open(&n.out, middle, NULL);
    assert_ok(ww_rpc_conn_bootstrap(n.out.conn, &through));
    side_open(&n.in, middle, through); /* still a promise */
    ww_cap_unref(through);
    side_open(&n.left, left, NULL);
    assert_ok(ww_rpc_conn_bootstrap(n.left.conn, &n.cap));
    objects_obey_cancel = true;
    objects_canceled = 0;
    return 0;
}

static void vat_done(struct ww_rpc_vat *vat)
{
    while (ww_rpc_vat_run(vat, 1, 0))
        ;
    assert_int_equal(vat->refs, 2);
    ww_rpc_vat_free(vat);
}

static int teardown(void **state)
{
    WW_UNUSED(state);
    ww_cap_unref(n.cap);
    settle();
    if (ww_rpc_conn_is_open(n.left.conn))
        side_idle(&n.left);
    struct side *sides[] = {&n.left, &n.in, &n.out, &n.right};
    for (size_t i = 0; i < WW_COUNT_OF(sides); i++)
        ww_rpc_conn_free(sides[i]->conn);
    vat_done(n.left.vat);
    vat_done(n.in.vat);
    vat_done(n.right.vat);
    for (size_t i = 0; i < WW_COUNT_OF(sides); i++) {
        for (int res = 0; res < WW_RES_COUNT; res++)
            assert_int_equal(sides[i]->budget.used[res], 0);
    }
    assert_int_equal(n.live, 0);
    return 0;
}

static uint64_t ask(struct ww_cap *to, uint16_t method, uint64_t value, struct ww_cap *cap, ww_err expect)
{
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *r = call_send(to, method, value, cap, &o);
    settle();
    assert_int_equal(o.count, 1);
    assert_int_equal(o.status, expect);
    ww_rpc_request_free(r);
    settle();
    return o.value;
}

static void calls_go_through(void **state)
{
    WW_UNUSED(state);
    assert_int_equal(ask(n.cap, M_ECHO, 5, NULL, 0), 5);
    ask(n.cap, M_FAIL, (uint64_t)(uint32_t)WW_EBUDGET, NULL, WW_EOVERLOADED);
    ask(n.cap, 99, 0, NULL, WW_EUNIMPLEMENTED);
}

static void capabilities_go_through(void **state)
{
    WW_UNUSED(state);
    struct object *mine;
    struct ww_cap *my = object_new(n.left.vat, &n.live, &mine);
    ask(n.cap, M_KEEP, 0, my, 0);
    assert_int_equal(ask(n.cap, M_CALL, 12, NULL, 0), 12); /* left, middle, right, and back again */
    assert_int_equal(mine->seen_count, 1);
    ww_cap_unref(my);
    assert_int_equal(n.live, 2);
    ask(n.cap, M_KEEP, 0, NULL, 0);
    assert_int_equal(n.live, 1);
}

static void pipelines_go_through(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *at = ww_cap_ref(n.cap);
    for (int i = 0; i < 5; i++) {
        struct ww_rpc_request *r = call_send(at, M_NEW, 0, NULL, NULL);
        struct ww_cap *next = pipeline(r, 0);
        ww_rpc_request_free(r);
        ww_cap_unref(at);
        at = next;
    }
    assert_int_equal(ask(at, M_ECHO, 3, NULL, 0), 3);
    ww_cap_unref(at);
    settle();
    assert_int_equal(n.live, 1);
}

enum { SEEDS = 200 };

/* When not NULL: `promise` is resolved to `to` after some calls. */
static struct {
    struct ww_cap *promise, *to;
    struct ww_cap_resolver *resolver;
} meanwhile;

/* Calls at every stage of the Return, the Disembargo and the echo, in one of many mixtures of steps; all must
 * arrive in order. */
static void calls_all_the_way(struct ww_rpc_request *giver, struct object *arrives, uint32_t seed)
{
    struct ww_rpc_request *c[40];
    struct ww_cap *promise = pipeline(giver, 0);
    unsigned sent = 0;
    arrives->seen_count = 0;
    c[sent] = call_send(promise, M_ECHO, sent, NULL, NULL), sent++;
    for (uint32_t dice = seed * 2654435761u + 1; sent < WW_COUNT_OF(c);) {
        dice = dice * 1664525u + 1013904223u;
        switch (dice >> 28 & 7) {
        case 0:
            pair_move(NULL, &n.left, &n.in, 0);
            break;
        case 1:
            pair_move(NULL, &n.out, &n.right, 0);
            break;
        case 2:
            pair_move(NULL, &n.right, &n.out, 0);
            break;
        case 3:
            pair_move(NULL, &n.in, &n.left, 0);
            break;
        case 4:
            ww_rpc_vat_run(n.left.vat, 1, 0);
            break;
        case 5:
            ww_rpc_vat_run(n.in.vat, 1, 0);
            break;
        case 6:
            ww_rpc_vat_run(n.right.vat, 1, 0);
            break;
        default:
            c[sent] = call_send(promise, M_ECHO, sent, NULL, NULL), sent++;
            if (sent == 4 + seed % 20 && meanwhile.promise)
                ww_cap_resolver_resolve(meanwhile.resolver, meanwhile.to);
        }
    }
    settle();
    assert_int_equal(arrives->seen_count, sent);
    for (unsigned i = 0; i < sent; i++) {
        assert_int_equal(arrives->seen[i], i);
        ww_rpc_request_free(c[i]);
    }
    assert_int_equal(ww_cap_state(promise), WW_CAP_SETTLED);
    ww_cap_unref(promise);
}

static void home_through_two_hops(void **state)
{
    WW_UNUSED(state);
    struct object *mine;
    struct ww_cap *my = object_new(n.left.vat, &n.live, &mine);
    for (uint32_t seed = 0; seed < SEEDS; seed++) {
        struct ww_rpc_request *r = call_send(n.cap, M_ECHO_CAP, 0, my, NULL);
        calls_all_the_way(r, mine, seed);
        struct ww_cap *back = ww_pr_cap(ww_sr_ptr(ww_pr_struct(ww_rpc_request_results(r)), 0));
        assert_ptr_equal(ww_cap_server(back, &object_ops), &mine->server);
        ww_rpc_request_free(r);
    }
    ww_cap_unref(my);
}

/* Makes right's object keep one of the middle's. */
static struct ww_cap *middle_gives(struct object **ret_object)
{
    struct ww_cap *cap = object_new(n.in.vat, &n.live, ret_object), *far;
    assert_ok(ww_rpc_conn_bootstrap(n.out.conn, &far));
    struct ww_rpc_request *r = call_send(far, M_KEEP, 0, cap, NULL);
    settle();
    ww_rpc_request_free(r);
    ww_cap_unref(far);
    settle();
    return cap;
}

/* Calls that went to the far end and come back to the middle are not overtaken by those of left's that know
 * where it leads: in a proxied call, and in one that a handler in the middle forwards. */
static void back_to_the_middle(void **state)
{
    WW_UNUSED(state);
    struct object *mine;
    ww_cap_unref(middle_gives(&mine));
    for (uint32_t seed = 0; seed < SEEDS; seed++) {
        struct ww_rpc_request *r = call_send(n.cap, M_GIVE, 0, NULL, NULL);
        calls_all_the_way(r, mine, seed);
        ww_rpc_request_free(r);
    }
    settle();
    ask(n.cap, M_KEEP, 0, NULL, 0);
}

/* The far end gives a promise, and resolves it later to an object of `whose`. */
static void promised_back(struct ww_rpc_vat *whose, struct ww_rpc_conn *by)
{
    struct object *mine;
    struct ww_cap *my = object_new(whose, &n.live, &mine), *far;
    assert_ok(ww_rpc_conn_bootstrap(by, &far));
    struct ww_rpc_request *r = call_send(far, M_KEEP, 0, my, NULL);
    settle();
    ww_rpc_request_free(r);
    meanwhile.to = n.object->kept;
    for (uint32_t seed = 0; seed < SEEDS; seed++) {
        assert_ok(ww_cap_new_promise(n.right.vat, &meanwhile.promise, &meanwhile.resolver));
        n.object->kept = meanwhile.promise;
        r = call_send(n.cap, M_GIVE, 0, NULL, NULL);
        calls_all_the_way(r, mine, seed);
        ww_rpc_request_free(r);
        settle();
        ww_cap_unref(meanwhile.promise);
    }
    n.object->kept = NULL;
    ww_cap_unref(meanwhile.to);
    memset(&meanwhile, 0, sizeof meanwhile);
    ww_cap_unref(far);
    ww_cap_unref(my);
    settle();
}

static void promised_back_to_the_middle(void **state)
{
    WW_UNUSED(state);
    promised_back(n.in.vat, n.out.conn);
}

static void promised_back_home(void **state)
{
    WW_UNUSED(state);
    promised_back(n.left.vat, n.left.conn);
}

struct forwarder {
    struct ww_rpc_server server;
    struct ww_cap *to;
};

static void forwarder_dispatch(struct ww_rpc_server *self, struct ww_rpc_call *call)
{
    struct forwarder *f = WW_CONTAINER_OF(self, struct forwarder, server);
    struct ww_rpc_request *next;
    assert_ok(ww_rpc_request_new(f->to, TEST_IFACE, ww_rpc_call_method(call), 0, &next));
    ww_pb_set(ww_rpc_request_params(next), ww_rpc_call_params(call));
    ww_rpc_call_forward_take(call, next);
}

static void forwarder_drop(struct ww_rpc_server *self)
{
    struct forwarder *f = WW_CONTAINER_OF(self, struct forwarder, server);
    ww_cap_unref(f->to);
    f->to = NULL;
}

static const struct ww_rpc_server_ops forwarder_ops = {
    .dispatch = forwarder_dispatch, .drop = forwarder_drop};

/* What left holds is now an object in the middle that forwards each call to right by hand. */
static void put_forwarder(struct forwarder *f)
{
    struct ww_cap *cap, *boot;
    *f = (struct forwarder){.server.ops = &forwarder_ops};
    assert_ok(ww_rpc_conn_bootstrap(n.out.conn, &f->to));
    assert_ok(ww_cap_new_server(n.in.vat, &f->server, &cap));
    boot = n.in.conn->bootstrap;
    n.in.conn->bootstrap = cap;
    ww_cap_unref(boot);
    ww_cap_unref(n.cap);
    assert_ok(ww_rpc_conn_bootstrap(n.left.conn, &n.cap));
}

static void forwarded_back_to_the_middle(void **state)
{
    WW_UNUSED(state);
    struct object *mine;
    static struct forwarder f;
    ww_cap_unref(middle_gives(&mine));
    put_forwarder(&f);
    for (uint32_t seed = 0; seed < SEEDS; seed++) {
        struct ww_rpc_request *r = call_send(n.cap, M_GIVE, 0, NULL, NULL);
        calls_all_the_way(r, mine, seed);
        ww_rpc_request_free(r);
    }
    settle();
    ask(n.cap, M_KEEP, 0, NULL, 0);
    ww_rpc_conn_lost(n.in.conn, WW_ECLOSED);
    ww_rpc_conn_lost(n.left.conn, WW_ECLOSED);
    settle(); /* drops the forwarder */
}

/* Forwarded: calls pipelined on it reach the far end before it answers; a cancel, too. */
static void forwarded_pipeline_and_cancel(void **state)
{
    WW_UNUSED(state);
    static struct forwarder f;
    put_forwarder(&f);
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *r = call_send(n.cap, M_LATER, 0, NULL, NULL), *c;
    struct ww_cap *p = pipeline(r, 0);
    c = call_send(p, M_ECHO, 4, NULL, &o);
    settle();
    struct ww_rpc_conn_stats st;
    ww_rpc_conn_stats(n.right.conn, &st);
    assert_int_equal(st.answers, 2);
    n.object->kept = object_new(n.right.vat, &n.live, NULL);
    object_go(n.object);
    settle();
    assert_int_equal(o.value, 4);
    ww_rpc_request_free(r);
    ww_rpc_request_free(c);
    ww_cap_unref(p);
    ww_cap_unref(n.object->kept);
    n.object->kept = NULL;
    r = call_send(n.cap, M_LATER, 0, NULL, NULL);
    p = pipeline(r, 0);
    settle();
    ww_rpc_request_free(r); /* the promise still wants it */
    settle();
    assert_int_equal(objects_canceled, 0);
    ww_cap_unref(p);
    settle();
    assert_int_equal(objects_canceled, 1);
    ww_rpc_conn_lost(n.in.conn, WW_ECLOSED);
    ww_rpc_conn_lost(n.left.conn, WW_ECLOSED);
    settle(); /* drops the forwarder */
}

/* All that an exception says goes through; the words that C++ puts before its text are there once. */
static void exceptions_go_through(void **state)
{
    WW_UNUSED(state);
    struct object *mine;
    struct ww_cap *my = object_new(n.left.vat, &n.live, &mine);
    ask(n.cap, M_KEEP, 0, my, 0);
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *r = call_send(n.cap, M_LATER, 0, NULL, &o);
    settle();
    struct ww_rpc_call *call = n.object->later;
    n.object->later = NULL;
    const struct ww_rpc_detail details[] = {{UINT64_C(0x1234567890), WW_BYTES_LIT("first")}, {7, {NULL, 0}}};
    ww_rpc_call_fail_with(call,
        &(struct ww_rpc_exception){.err = WW_EOVERLOADED,
            .reason = "remote exception: remote exception: remote exception: too much",
            .trace = "far.c:12\nfarther.c:9",
            .details = details,
            .detail_count = 2});
    settle();
    struct ww_rpc_exception e;
    assert_int_equal(o.status, WW_EOVERLOADED);
    assert_true(ww_rpc_request_exception(r, &e));
    assert_int_equal(e.err, WW_EOVERLOADED);
    assert_string_equal(e.reason, "remote exception: too much");
    assert_string_equal(e.trace, "far.c:12\nfarther.c:9");
    assert_int_equal(e.detail_count, 2);
    assert_int_equal(e.details[0].id, UINT64_C(0x1234567890));
    assert_bytes(e.details[0].data, "first", 5);
    assert_int_equal(e.details[1].id, 7);
    assert_int_equal(e.details[1].data.len, 0);
    ww_rpc_request_free(r);
    r = call_send(n.cap, M_ECHO, 1, NULL, NULL);
    settle();
    assert_false(ww_rpc_request_exception(r, &e));
    ww_rpc_request_free(r);
    ask(n.cap, M_KEEP, 0, NULL, 0);
    ww_cap_unref(my);
}

/* What is more than an exception may hold is cut off, not refused. */
static void exceptions_are_cut(void **state)
{
    WW_UNUSED(state);
    static char text[20000];
    static uint8_t bulk[5000];
    memset(text, 'x', sizeof text - 1);
    struct ww_rpc_request *r = call_send(n.cap, M_LATER, 0, NULL, NULL);
    settle();
    struct ww_rpc_call *call = n.object->later;
    n.object->later = NULL;
    struct ww_rpc_detail details[40];
    for (size_t i = 0; i < WW_COUNT_OF(details); i++)
        details[i] = (struct ww_rpc_detail){i, ww_bytes(bulk, i == 2 ? sizeof bulk : i == 1 ? 4000 : 0)};
    ww_rpc_call_fail_with(call,
        &(struct ww_rpc_exception){
            .err = WW_EPROTO, .reason = text, .trace = text, .details = details, .detail_count = 40});
    settle();
    struct ww_rpc_exception e;
    assert_true(ww_rpc_request_exception(r, &e));
    assert_int_equal(e.err, WW_EFAILED);
    assert_int_equal(strlen(e.reason), 1024);
    assert_int_equal(strlen(e.trace), 8192);
    assert_int_equal(e.detail_count, 2); /* with the third they would be too large */
    ww_rpc_request_free(r);
}

/* A promise of left's and one of right's, each resolved to the other by way of the middle. */
static void cycle_through_the_middle(void **state)
{
    WW_UNUSED(state);
    for (int order = 0; order < 2; order++) {
        struct ww_cap *ours, *theirs;
        struct ww_cap_resolver *ours_resolver;
        assert_ok(ww_cap_new_promise(n.left.vat, &ours, &ours_resolver));
        struct ww_cap_resolver *theirs_resolver;
        assert_ok(ww_cap_new_promise(n.right.vat, &theirs, &theirs_resolver));
        ask(n.cap, M_KEEP, 0, ours, 0); /* right's object keeps left's promise */
        struct ww_cap *from_left = n.object->kept;
        n.object->kept = ww_cap_ref(theirs);
        struct ww_rpc_request *r = call_send(n.cap, M_GIVE, 0, NULL, NULL); /* and left gets right's */
        settle();
        struct ww_cap *from_right =
            ww_cap_ref(ww_pr_cap(ww_sr_ptr(ww_pr_struct(ww_rpc_request_results(r)), 0)));
        ww_rpc_request_free(r);
        if (order == 0)
            ww_cap_resolver_resolve(ours_resolver, from_right);
        ww_cap_resolver_resolve(theirs_resolver, from_left);
        if (order == 1)
            ww_cap_resolver_resolve(ours_resolver, from_right);
        settle(); /* comes to an end */
        struct outcome o;
        outcome_init(&o, NULL);
        r = call_send(from_right, M_ECHO, 1, NULL, &o);
        settle();
        assert_int_equal(o.status, WW_EFAILED); /* and nothing runs around for ever */
        ww_rpc_request_free(r);
        ww_cap_unref(n.object->kept);
        n.object->kept = NULL;
        ww_cap_unref(from_left);
        ww_cap_unref(from_right);
        ww_cap_unref(ours);
        ww_cap_unref(theirs);
        settle();
    }
}

static void cancellation_goes_through(void **state)
{
    WW_UNUSED(state);
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *r = call_send(n.cap, M_LATER, 0, NULL, &o);
    settle();
    assert_int_equal(objects_canceled, 0);
    ww_rpc_request_free(r);
    settle();
    assert_int_equal(objects_canceled, 1);
    assert_int_equal(o.count, 0);
}

static void far_end_disconnects(void **state)
{
    WW_UNUSED(state);
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *r = call_send(n.cap, M_LATER, 0, NULL, &o);
    settle();
    ww_rpc_conn_lost(n.out.conn, WW_ERESET);
    ww_rpc_conn_lost(n.right.conn, WW_ERESET);
    settle();
    assert_int_equal(o.status, WW_EDISCONNECTED);
    ww_rpc_request_free(r);
    ask(n.cap, M_ECHO, 0, NULL, WW_EDISCONNECTED);
    assert_int_equal(objects_canceled, 1);
}

static void near_end_disconnects(void **state)
{
    WW_UNUSED(state);
    struct ww_rpc_request *r = call_send(n.cap, M_LATER, 0, NULL, NULL);
    settle();
    ww_rpc_conn_lost(n.left.conn, WW_ERESET);
    ww_rpc_conn_lost(n.in.conn, WW_ERESET);
    settle();
    assert_int_equal(objects_canceled, 1); /* nobody is left who wants it */
    ww_rpc_request_free(r);
}

static void promise_of_the_far_end(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *promise;
    struct ww_cap_resolver *resolver;
    assert_ok(ww_cap_new_promise(n.right.vat, &promise, &resolver));
    n.object->kept = ww_cap_ref(promise);
    struct ww_rpc_request *r = call_send(n.cap, M_GIVE, 0, NULL, NULL), *c;
    struct ww_cap *given = pipeline(r, 0);
    struct outcome o;
    outcome_init(&o, NULL);
    c = call_send(given, M_ECHO, 8, NULL, &o);
    settle();
    assert_int_equal(o.count, 0);
    assert_int_equal(ww_cap_state(given), WW_CAP_PROMISE);
    struct ww_cap *made = object_new(n.right.vat, &n.live, NULL);
    ww_cap_resolver_resolve(resolver, made);
    settle();
    assert_int_equal(o.value, 8);
    assert_int_equal(ww_cap_state(given), WW_CAP_SETTLED);
    ww_rpc_request_free(r);
    ww_rpc_request_free(c);
    ww_cap_unref(given);
    ww_cap_unref(made);
    ww_cap_unref(promise);
    ww_cap_unref(n.object->kept);
    n.object->kept = NULL;
}

/* ---- the same kinds of things together, while a link fails or memory does */

enum { STORY = 7 };

static void story_send(struct ww_rpc_request **at, struct outcome *o, struct ww_cap *to, uint16_t method,
    uint64_t value, struct ww_cap *cap)
{
    outcome_init(o, NULL);
    if (ww_rpc_request_new(to, TEST_IFACE, method, 3, at) < 0) {
        *at = NULL;
        return;
    }
    struct ww_sb params = ww_pb_init_struct(ww_rpc_request_params(*at), 1, 1);
    ww_sb_set_u64(params, 0, value);
    ww_pb_set_cap(ww_sb_ptr(params, 0), cap);
    ww_rpc_request_send(*at, &o->wait);
}

static struct ww_cap *story_pipeline(struct ww_rpc_request *request)
{
    static const uint16_t path[1] = {0};
    struct ww_cap *cap = NULL;
    if (request && ww_rpc_request_pipeline(request, path, 1, &cap) < 0)
        return NULL;
    return cap;
}

/* Moves everything on; the `cut`th piece of bytes that would move breaks a link. How many moved. */
static unsigned story_settle(unsigned moved, unsigned cut, bool near)
{
    struct side *way[][2] = {{&n.left, &n.in}, {&n.in, &n.left}, {&n.out, &n.right}, {&n.right, &n.out}};
    bool more = true;
    while (more) {
        more = (int)ww_rpc_vat_run(n.left.vat, 1, 0) | (int)ww_rpc_vat_run(n.right.vat, 1, 0) |
            (int)ww_rpc_vat_run(n.in.vat, 1, 0);
        for (size_t i = 0; i < WW_COUNT_OF(way); i++) {
            bool one = pair_move(NULL, way[i][0], way[i][1], 0);
            more |= one;
            moved += one;
            if (one && moved == cut) {
                ww_rpc_conn_lost((near ? &n.left : &n.out)->conn, WW_ERESET);
                ww_rpc_conn_lost((near ? &n.in : &n.right)->conn, WW_ERESET);
            }
        }
    }
    return moved;
}

static unsigned story(unsigned cut, bool near)
{
    struct ww_rpc_request *q[STORY] = {0};
    struct outcome o[STORY];
    struct ww_cap *mine = object_try(n.left.vat, &n.live, NULL), *p[4] = {0};
    story_send(&q[0], &o[0], n.cap, M_NEW, 0, NULL);
    p[0] = story_pipeline(q[0]);
    story_send(&q[1], &o[1], p[0], M_ECHO, 1, NULL);
    story_send(&q[2], &o[2], n.cap, M_ECHO_CAP, 2, mine);
    p[1] = story_pipeline(q[2]);
    story_send(&q[3], &o[3], p[1], M_ECHO, 3, NULL);
    unsigned moved = story_settle(0, cut, near);
    story_send(&q[4], &o[4], p[1], M_ECHO, 4, NULL);
    story_send(&q[5], &o[5], p[0], M_KEEP, 5, mine);
    story_send(&q[6], &o[6], p[0], M_CALL, 6, NULL);
    p[2] = story_pipeline(q[6]);
    moved = story_settle(moved, cut, near);
    for (int i = 0; i < STORY; i++) {
        if (q[i])
            assert_int_equal(o[i].count, 1);
        ww_rpc_request_free(q[i]);
    }
    struct ww_rpc_request *last = NULL; /* let the object there forget ours */
    if (p[0] && ww_rpc_request_new(p[0], TEST_IFACE, M_KEEP, 0, &last) == 0)
        ww_rpc_request_send_take(last);
    for (size_t i = 0; i < WW_COUNT_OF(p); i++)
        ww_cap_unref(p[i]);
    ww_cap_unref(mine);
    return story_settle(moved, cut, near);
}

static void story_cut_anywhere(void **state)
{
    WW_UNUSED(state);
    unsigned all = story(0, false);
    assert_true(all > 15);
    for (int tail = 0; tail < 2; tail++) {
        for (unsigned i = 0; i < 2 * all; i++) {
            teardown(NULL);
            setup(NULL);
            n.left.conn->tail_calls = n.in.conn->tail_calls = tail;
            n.out.conn->tail_calls = n.right.conn->tail_calls = tail;
            story(1 + i / 2, i % 2);
        }
    }
}

static void story_starved(void **state)
{
    WW_UNUSED(state);
    bool failed = true;
    unsigned failures = 0;
    for (size_t i = 1; failed; i++) {
        teardown(NULL);
        setup(NULL);
        alloc_track_fail(i, false);
        story(0, false);
        failed = alloc_track_failed();
        failures += failed;
        alloc_track_fail(0, false);
    }
    assert_true(failures > 50);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {T(calls_go_through), T(capabilities_go_through),
        T(pipelines_go_through), T(home_through_two_hops), T(promised_back_to_the_middle),
        T(promised_back_home), T(back_to_the_middle), T(forwarded_back_to_the_middle),
        T(forwarded_pipeline_and_cancel), T(exceptions_go_through), T(exceptions_are_cut),
        T(cycle_through_the_middle), T(cancellation_goes_through), T(far_end_disconnects),
        T(near_end_disconnects), T(promise_of_the_far_end), T(story_cut_anywhere), T(story_starved)};
    alloc_track_begin(); /* before anything is allocated */
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    alloc_track_end();
    return failed;
}
