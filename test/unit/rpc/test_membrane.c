/* Membranes: what crosses is seen, wrapped once, unwrapped on its way home, and gone when revoked. */
#include "test/lib/alloc_fail.h"
#include "pair.h"

struct border {
    struct ww_membrane_policy policy;
    struct ww_membrane *m;
    unsigned calls[2], caps[2], dropped;
    uint16_t deny; /* method that may not cross; 0: all may */
    bool deny_caps, revoke_in_call;
    struct ww_cap *redirect; /* where M_ECHO goes instead */
};

static ww_err border_call(struct ww_membrane_policy *policy, enum ww_membrane_way way,
    struct ww_rpc_call *call, struct ww_cap *to, struct ww_cap **ret_to, const char **ret_reason)
{
    struct border *b = WW_CONTAINER_OF(policy, struct border, policy);
    WW_UNUSED(to);
    b->calls[way]++;
    assert_int_equal(ww_rpc_call_interface(call), TEST_IFACE);
    if (b->deny && ww_rpc_call_method(call) == b->deny) {
        *ret_reason = "not across this border";
        return WW_EUNIMPLEMENTED;
    }
    if (b->revoke_in_call)
        ww_membrane_revoke(b->m, WW_EFAILED, "closed for good");
    if (b->redirect && ww_rpc_call_method(call) == M_ECHO)
        *ret_to = ww_cap_ref(b->redirect);
    return 0;
}

static ww_err border_cap(
    struct ww_membrane_policy *policy, enum ww_membrane_way way, struct ww_cap *cap, struct ww_cap **ret_cap)
{
    struct border *b = WW_CONTAINER_OF(policy, struct border, policy);
    WW_UNUSED(cap);
    WW_UNUSED(ret_cap);
    b->caps[way]++;
    return b->deny_caps ? WW_EFAILED : 0;
}

static void border_drop(struct ww_membrane_policy *policy)
{
    WW_CONTAINER_OF(policy, struct border, policy)->dropped++;
}

static const struct ww_membrane_policy_ops border_ops = {border_call, border_cap, border_drop};

/* `inside` lives in vat A behind a membrane; the test is outside, in A or across a connection in B. */
static struct pair p;
static struct border border;
static struct object *inside, *far;
static struct ww_cap *inside_cap, *face;
static int live;

static struct ww_cap *make_far(struct ww_rpc_vat *vat)
{
    return object_new(vat, &live, &far);
}

static int up(void **state)
{
    WW_UNUSED(state);
    live = 0;
    pair_init(&p, make_far, false);
    border = (struct border){.policy.ops = &border_ops};
    assert_ok(ww_membrane_new(p.a.vat, &border.policy, &border.m));
    inside_cap = object_new(p.a.vat, &live, &inside);
    inside->vat = p.a.vat;
    assert_ok(ww_membrane_pass(border.m, WW_MEMBRANE_OUT, inside_cap, &face));
    return 0;
}

static int down(void **state)
{
    WW_UNUSED(state);
    ww_cap_unref(face);
    ww_cap_unref(inside_cap);
    ww_membrane_unref(border.m);
    pair_settle(&p);
    pair_fini(&p);
    assert_int_equal(border.dropped, 1);
    assert_int_equal(live, 0);
    return 0;
}

static struct ww_rpc_request *ask(
    struct ww_cap *to, uint16_t method, uint64_t value, struct ww_cap *cap, struct outcome *o)
{
    outcome_init(o, NULL);
    struct ww_rpc_request *q = call_send(to, method, value, cap, o);
    pair_settle(&p);
    return q;
}

static struct ww_cap *result_cap(struct ww_rpc_request *q)
{
    return ww_pr_cap(ww_sr_ptr(ww_pr_struct(ww_rpc_request_results(q)), 0));
}

static void calls_cross(void **state)
{
    WW_UNUSED(state);
    struct outcome o;
    ww_rpc_request_free(ask(face, M_ECHO, 42, NULL, &o));
    assert_int_equal(o.status, 0);
    assert_int_equal(o.value, 42);
    assert_int_equal(border.calls[WW_MEMBRANE_IN], 1);
    assert_int_equal(border.caps[WW_MEMBRANE_OUT], 1); /* the face */
    assert_false(ww_cap_same(face, inside_cap));
    assert_null(ww_cap_server(face, &object_ops));
    ww_rpc_request_free(ask(face, M_FAIL, (uint32_t)WW_EOVERLOADED, NULL, &o));
    assert_int_equal(o.status, WW_EOVERLOADED);
    assert_string_equal(o.reason, "asked to fail");
}

static void order(void **state)
{
    WW_UNUSED(state);
    struct outcome o[20];
    struct ww_rpc_request *q[20];
    for (unsigned i = 0; i < 20; i++) {
        outcome_init(&o[i], NULL);
        q[i] = call_send(face, M_ECHO, i + 1, NULL, &o[i]);
    }
    pair_settle(&p);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(inside->seen[i], i + 1);
        assert_int_equal(o[i].value, i + 1);
        ww_rpc_request_free(q[i]);
    }
}

static void policy_says_no(void **state)
{
    WW_UNUSED(state);
    struct outcome o;
    border.deny = M_COUNT;
    ww_rpc_request_free(ask(face, M_COUNT, 0, NULL, &o));
    assert_int_equal(o.status, WW_EUNIMPLEMENTED);
    assert_string_equal(o.reason, "not across this border");
    border.deny_caps = true;
    struct object *mine;
    struct ww_cap *mine_cap = object_new(p.a.vat, &live, &mine);
    ww_rpc_request_free(ask(face, M_KEEP, 0, mine_cap, &o));
    assert_int_equal(o.status, WW_EFAILED);
    assert_null(inside->kept);
    ww_rpc_request_free(ask(face, M_NEW, 0, NULL, &o)); /* and no result leaves */
    assert_int_equal(o.status, WW_EFAILED);
    ww_cap_unref(mine_cap);
    pair_settle(&p);
    assert_int_equal(live, 2);
}

static void policy_redirects(void **state)
{
    WW_UNUSED(state);
    struct outcome o;
    struct object *other;
    border.redirect = object_new(p.a.vat, &live, &other);
    ww_rpc_request_free(ask(face, M_ECHO, 7, NULL, &o));
    assert_int_equal(o.value, 7);
    assert_int_equal(other->seen_count, 1);
    assert_int_equal(inside->seen_count, 0);
    ww_cap_unref(border.redirect);
}

/* A capability of mine goes in as a wrapper, is called from inside through the membrane, and comes out as
 * itself. */
static void home_again(void **state)
{
    WW_UNUSED(state);
    struct outcome o;
    struct object *mine;
    struct ww_cap *mine_cap = object_new(p.a.vat, &live, &mine);
    ww_rpc_request_free(ask(face, M_KEEP, 0, mine_cap, &o));
    assert_non_null(inside->kept);
    assert_false(ww_cap_same(inside->kept, mine_cap));
    assert_int_equal(border.caps[WW_MEMBRANE_IN], 1);
    ww_rpc_request_free(ask(face, M_CALL, 5, NULL, &o));
    assert_int_equal(o.value, 5);
    assert_int_equal(mine->seen[0], 5);
    assert_int_equal(border.calls[WW_MEMBRANE_OUT], 1);
    struct ww_rpc_request *q = ask(face, M_GIVE, 0, NULL, &o);
    assert_true(ww_cap_same(result_cap(q), mine_cap));
    ww_rpc_request_free(q);
    q = ask(face, M_ECHO_CAP, 0, face, &o); /* inside sees its own object, outside its face */
    assert_true(ww_cap_same(result_cap(q), face));
    ww_rpc_request_free(q);
    ww_cap_unref(mine_cap);
}

static void wrapped_once(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *again;
    assert_ok(ww_membrane_pass(border.m, WW_MEMBRANE_OUT, inside_cap, &again));
    assert_true(ww_cap_same(again, face));
    ww_cap_unref(again);
    assert_ok(ww_membrane_pass(border.m, WW_MEMBRANE_IN, face, &again));
    assert_true(ww_cap_same(again, inside_cap));
    ww_cap_unref(again);
    assert_ok(ww_membrane_pass(border.m, WW_MEMBRANE_OUT, NULL, &again));
    assert_null(again);
    struct border second = {.policy.ops = &border_ops};
    assert_ok(ww_membrane_new(p.a.vat, &second.policy, &second.m));
    assert_ok(ww_membrane_pass(second.m, WW_MEMBRANE_OUT, face, &again));
    assert_false(ww_cap_same(again, face));
    struct outcome o;
    ww_rpc_request_free(ask(again, M_ECHO, 3, NULL, &o)); /* through two */
    assert_int_equal(o.value, 3);
    assert_int_equal(second.calls[WW_MEMBRANE_IN], 1);
    assert_int_equal(border.calls[WW_MEMBRANE_IN], 1);
    ww_rpc_request_free(ask(again, M_NEW, 3, NULL, &o)); /* each wraps the result */
    assert_int_equal(second.caps[WW_MEMBRANE_OUT], 2);
    assert_int_equal(border.caps[WW_MEMBRANE_OUT], 3); /* the face twice */
    ww_cap_unref(again);
    ww_membrane_unref(second.m);
    pair_settle(&p);
    assert_int_equal(second.dropped, 1);
}

static void pipelined(void **state)
{
    WW_UNUSED(state);
    struct outcome o, o2;
    outcome_init(&o, NULL);
    struct ww_rpc_request *q = call_send(face, M_NEW, 0, NULL, &o);
    struct ww_cap *made = pipeline(q, 0);
    outcome_init(&o2, NULL);
    struct ww_rpc_request *q2 = call_send(made, M_ECHO, 9, NULL, &o2);
    pair_settle(&p);
    assert_int_equal(o2.value, 9);
    assert_int_equal(border.calls[WW_MEMBRANE_IN], 2);
    assert_true(ww_cap_same(made, result_cap(q)));
    ww_rpc_request_free(q);
    ww_rpc_request_free(q2);
    ww_cap_unref(made);
}

static void tail_call_inside(void **state)
{
    WW_UNUSED(state);
    struct outcome o, o2;
    struct object *second;
    struct ww_cap *second_cap = object_new(p.a.vat, &live, &second);
    inside->kept = ww_cap_ref(second_cap);
    outcome_init(&o, NULL);
    struct ww_rpc_request *q = call_send(face, M_CALL, 4, NULL, &o); /* forwarded to `second` */
    pair_settle(&p);
    assert_int_equal(o.value, 4);
    assert_int_equal(border.calls[WW_MEMBRANE_OUT], 0);
    ww_rpc_request_free(q);
    outcome_init(&o, NULL);
    outcome_init(&o2, NULL);
    q = call_send(face, M_GIVE, 0, NULL, &o);
    struct ww_cap *cap = pipeline(q, 0);
    struct ww_rpc_request *q2 = call_send(cap, M_ECHO, 6, NULL, &o2);
    pair_settle(&p);
    assert_int_equal(o2.value, 6);
    assert_false(ww_cap_same(cap, second_cap));
    assert_int_equal(border.calls[WW_MEMBRANE_IN], 3);
    ww_rpc_request_free(q);
    ww_rpc_request_free(q2);
    ww_cap_unref(cap);
    ww_cap_unref(second_cap);
}

/* Passes calls on, or answers with a capability. */
struct giver {
    struct ww_rpc_server server;
    struct ww_cap *next, *gift;
};

static void giver_dispatch(struct ww_rpc_server *server, struct ww_rpc_call *call)
{
    struct giver *g = WW_CONTAINER_OF(server, struct giver, server);
    if (g->next) {
        struct ww_rpc_request *q;
        assert_ok(ww_rpc_request_new(g->next, TEST_IFACE, M_ECHO, 0, &q));
        ww_rpc_call_forward_take(call, q);
        return;
    }
    struct ww_sb results = ww_pb_init_struct(ww_rpc_call_results(call, 3), 1, 1);
    ww_sb_set_u64(results, 0, 77);
    ww_pb_set_cap(ww_sb_ptr(results, 0), g->gift);
    ww_rpc_call_return(call);
}

static const struct ww_rpc_server_ops giver_ops = {.dispatch = giver_dispatch};

/* Results that the policy does not let out are not to be had by way of the call that was forwarded for them,
 * nor by way of one that was forwarded to that. */
static void forwarded_and_refused(void **state)
{
    WW_UNUSED(state);
    struct giver end = {.server.ops = &giver_ops, .gift = inside_cap}, relay = {.server.ops = &giver_ops};
    struct giver outer = {.server.ops = &giver_ops};
    struct ww_cap *relay_cap, *outer_cap, *relay_face;
    assert_ok(ww_cap_new_server(p.a.vat, &end.server, &relay.next));
    assert_ok(ww_cap_new_server(p.a.vat, &relay.server, &relay_cap));
    assert_ok(ww_cap_new_server(p.a.vat, &outer.server, &outer_cap));
    assert_ok(ww_membrane_pass(border.m, WW_MEMBRANE_OUT, relay_cap, &relay_face));
    outer.next = relay_face;
    border.deny_caps = true;
    struct ww_cap *asked[] = {relay_face, outer_cap};
    for (size_t i = 0; i < WW_COUNT_OF(asked); i++) {
        struct outcome o;
        struct ww_rpc_request *q = ask(asked[i], M_ECHO, 0, NULL, &o);
        assert_int_equal(o.status, WW_EFAILED);
        assert_int_equal(ww_pr_kind(ww_rpc_request_results(q)), WW_PTR_NULL);
        ww_rpc_request_free(q);
    }
    ww_cap_unref(relay.next);
    ww_cap_unref(relay_cap);
    ww_cap_unref(relay_face);
    ww_cap_unref(outer_cap);
    pair_settle(&p); /* they are dropped */
}

static void promise_crosses(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *promise, *out, *again;
    struct outcome o, o2;
    struct ww_cap_resolver *resolver;
    assert_ok(ww_cap_new_promise(p.a.vat, &promise, &resolver));
    assert_ok(ww_membrane_pass(border.m, WW_MEMBRANE_OUT, promise, &out));
    assert_ok(ww_membrane_pass(border.m, WW_MEMBRANE_OUT, promise, &again));
    assert_true(ww_cap_same(out, again));
    ww_cap_unref(again);
    assert_int_equal(ww_cap_state(out), WW_CAP_PROMISE);
    outcome_init(&o, NULL);
    struct ww_rpc_request *q = call_send(out, M_ECHO, 1, NULL, &o);
    pair_settle(&p);
    assert_int_equal(border.calls[WW_MEMBRANE_IN], 1); /* it is past the border and waits inside */
    ww_cap_resolver_resolve(resolver, inside_cap);
    outcome_init(&o2, NULL);
    struct ww_rpc_request *q2 = call_send(out, M_ECHO, 2, NULL, &o2);
    pair_settle(&p);
    assert_int_equal(inside->seen[0], 1);
    assert_int_equal(inside->seen[1], 2);
    assert_true(ww_cap_same(out, face));
    ww_rpc_request_free(q);
    ww_rpc_request_free(q2);
    ww_cap_unref(out);
    ww_cap_unref(promise);
}

/* A promise inside that turns out to be something from outside: outside it is that very thing, in order. */
static void promise_comes_home(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *promise, *out, *in;
    struct object *mine;
    struct ww_cap *mine_cap = object_new(p.a.vat, &live, &mine);
    struct outcome o[6];
    struct ww_rpc_request *q[6];
    struct ww_cap_resolver *resolver;
    assert_ok(ww_cap_new_promise(p.a.vat, &promise, &resolver));
    assert_ok(ww_membrane_pass(border.m, WW_MEMBRANE_OUT, promise, &out));
    assert_ok(ww_membrane_pass(border.m, WW_MEMBRANE_IN, mine_cap, &in));
    for (unsigned i = 0; i < 6; i++) {
        if (i == 3)
            ww_cap_resolver_resolve(resolver, in);
        if (i == 4)
            pair_settle(&p);
        outcome_init(&o[i], NULL);
        q[i] = call_send(out, M_ECHO, i + 1, NULL, &o[i]);
    }
    pair_settle(&p);
    assert_int_equal(mine->seen_count, 6);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(mine->seen[i], i + 1);
        ww_rpc_request_free(q[i]);
    }
    assert_true(ww_cap_same(out, mine_cap));
    ww_cap_unref(out);
    ww_cap_unref(in);
    ww_cap_unref(promise);
    ww_cap_unref(mine_cap);
}

static void dropped_promise(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *promise, *out;
    struct ww_cap_resolver *resolver;
    assert_ok(ww_cap_new_promise(p.a.vat, &promise, &resolver));
    assert_ok(ww_membrane_pass(border.m, WW_MEMBRANE_OUT, promise, &out));
    ww_cap_unref(out); /* first the outer one */
    pair_settle(&p);
    ww_cap_resolver_resolve(resolver, inside_cap);
    ww_cap_unref(promise);
    pair_settle(&p);
}

/* ---- across a connection: B's object is what is inside */

static void remote(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *boot, *wrapped;
    struct outcome o, o2;
    assert_ok(ww_rpc_conn_bootstrap(p.a.conn, &boot));
    assert_ok(ww_membrane_pass(border.m, WW_MEMBRANE_OUT, boot, &wrapped)); /* still a promise */
    outcome_init(&o, NULL);
    far->vat = p.b.vat;
    struct ww_rpc_request *q = call_send(wrapped, M_NEW, 0, NULL, &o);
    struct ww_cap *made = pipeline(q, 0);
    outcome_init(&o2, NULL);
    struct ww_rpc_request *q2 = call_send(made, M_ECHO, 8, NULL, &o2);
    pair_settle(&p);
    assert_int_equal(o2.value, 8);
    assert_int_equal(border.calls[WW_MEMBRANE_IN], 2);
    ww_rpc_request_free(q);
    ww_rpc_request_free(q2);
    ww_cap_unref(made);
    q = ask(wrapped, M_ECHO_CAP, 0, inside_cap, &o); /* goes in wrapped, over the wire, and home */
    assert_true(ww_cap_same(result_cap(q), inside_cap));
    ww_rpc_request_free(q);
    ww_cap_unref(wrapped);
    ww_cap_unref(boot);
    pair_settle(&p);
    side_idle(&p.a);
    side_idle(&p.b);
}

/* Both steps go out in one turn, and what is called is the wrapper that the results turn out to have. */
static void remote_in_one_trip(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *boot, *wrapped;
    struct outcome o[3];
    assert_ok(ww_rpc_conn_bootstrap(p.a.conn, &boot));
    pair_settle(&p);
    assert_ok(ww_membrane_pass(border.m, WW_MEMBRANE_OUT, boot, &wrapped));
    far->vat = p.b.vat;
    ww_rpc_request_free(ask(boot, M_KEEP, 0, boot, &o[0]));
    for (int i = 0; i < 3; i++)
        outcome_init(&o[i], NULL);
    struct ww_rpc_request *q[3];
    q[0] = call_send(wrapped, M_GIVE, 0, NULL, &o[0]);
    struct ww_cap *given = pipeline(q[0], 0), *again, *deep;
    q[1] = call_send(given, M_NEW, 0, NULL, &o[1]);
    deep = pipeline(q[1], 0);
    q[2] = call_send(deep, M_ECHO, 8, NULL, &o[2]);
    ww_rpc_vat_run(p.a.vat, 1, 0);
    assert_int_equal(border.calls[WW_MEMBRANE_IN], 3); /* each was seen */
    again = pipeline(q[0], 0);
    assert_true(ww_cap_same(given, again));
    while (pair_move(&p, &p.a, &p.b, 0))
        ;
    ww_rpc_vat_run(p.b.vat, 1, 0);
    while (pair_move(&p, &p.b, &p.a, 0))
        ;
    ww_rpc_vat_run(p.a.vat, 1, 0);
    assert_int_equal(o[2].value, 8);
    assert_true(ww_cap_same(given, result_cap(q[0])));
    assert_true(ww_cap_same(again, wrapped)); /* it is what it was reached through */
    assert_true(ww_cap_same(deep, result_cap(q[1])));
    assert_null(ww_cap_server(deep, &object_ops));
    for (int i = 0; i < 3; i++)
        ww_rpc_request_free(q[i]);
    pair_settle(&p);
    ww_cap_unref(given);
    ww_cap_unref(again);
    ww_cap_unref(deep);
    ww_cap_unref(wrapped);
    ww_cap_unref(boot);
    pair_settle(&p);
    ww_cap_unref(far->kept);
    far->kept = NULL;
    side_idle(&p.a);
    side_idle(&p.b);
}

/* A result that leads home, from outside the membrane to outside: calls on the promise go there and back, and
 * later ones wait for them. */
static void remote_leads_home(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *boot, *wrapped, *mine_cap;
    struct object *mine;
    for (unsigned early = 0; early < 4; early++) {
        assert_ok(ww_rpc_conn_bootstrap(p.a.conn, &boot));
        pair_settle(&p);
        assert_ok(ww_membrane_pass(border.m, WW_MEMBRANE_OUT, boot, &wrapped));
        mine_cap = object_new(p.a.vat, &live, &mine);
        struct ww_rpc_request *q = call_send(wrapped, M_ECHO_CAP, 0, mine_cap, NULL), *c[16];
        if (early & 1) /* the promise is made when the call is on its way */
            ww_rpc_vat_run(p.a.vat, 1, 0);
        struct ww_cap *home = pipeline(q, 0);
        unsigned n = 0;
        if (early & 2)
            c[n] = call_send(home, M_ECHO, n, NULL, NULL), n++;
        for (unsigned turn = 0; turn < 6; turn++) {
            c[n] = call_send(home, M_ECHO, n, NULL, NULL), n++;
            ww_rpc_vat_run(p.a.vat, 1, 1 + turn % 2);
            pair_move(&p, &p.a, &p.b, 0);
            ww_rpc_vat_run(p.b.vat, 1, 0);
            pair_move(&p, &p.b, &p.a, 0);
            c[n] = call_send(home, M_ECHO, n, NULL, NULL), n++;
            ww_rpc_vat_run(p.a.vat, 1, 0);
        }
        pair_settle(&p);
        assert_int_equal(mine->seen_count, n);
        for (unsigned i = 0; i < n; i++) {
            assert_int_equal(mine->seen[i], i);
            ww_rpc_request_free(c[i]);
        }
        assert_ptr_equal(ww_cap_server(home, &object_ops), &mine->server);
        ww_rpc_request_free(q);
        ww_cap_unref(home);
        ww_cap_unref(mine_cap);
        ww_cap_unref(wrapped);
        ww_cap_unref(boot);
        pair_settle(&p);
        side_idle(&p.a);
        side_idle(&p.b);
    }
}

/* The handler inside leaves the call to somebody else: what is pipelined on it crosses all the same. */
static void forwarded_and_pipelined(void **state)
{
    WW_UNUSED(state);
    for (unsigned late = 0; late < 2; late++) {
        struct ww_cap *secret;
        struct object *hidden;
        struct outcome o, o2;
        unsigned crossed = border.calls[WW_MEMBRANE_IN];
        secret = object_new(p.a.vat, &live, &hidden);
        outcome_init(&o, NULL);
        outcome_init(&o2, NULL);
        struct ww_rpc_request *q = call_send(face, M_LATER, 0, NULL, &o), *q2, *child;
        struct ww_cap *cap = late ? NULL : pipeline(q, 0);
        pair_settle(&p);
        outcome_init(&o, NULL);
        q2 = cap ? call_send(cap, M_ECHO, 5, NULL, &o2) : NULL;
        struct ww_rpc_call *held = inside->later;
        inside->later = NULL;
        hidden->kept = ww_cap_ref(secret);
        assert_ok(ww_rpc_request_new(secret, TEST_IFACE, M_LATER, 0, &child));
        (void)ww_pb_init_struct(ww_rpc_request_params(child), 1, 1);
        ww_rpc_call_forward_take(held, child);
        if (!cap) {
            cap = pipeline(q, 0);
            q2 = call_send(cap, M_ECHO, 5, NULL, &o2);
        }
        pair_settle(&p);
        assert_ptr_not_equal(ww_cap_server(cap, &object_ops), &hidden->server);
        object_go(hidden);
        pair_settle(&p);
        assert_int_equal(o2.value, 5);
        assert_int_equal(border.calls[WW_MEMBRANE_IN], crossed + 2);
        assert_true(ww_cap_same(cap, result_cap(q)));
        assert_null(ww_cap_server(cap, &object_ops));
        ww_cap_unref(hidden->kept);
        hidden->kept = NULL;
        ww_rpc_request_free(q);
        ww_rpc_request_free(q2);
        ww_cap_unref(cap);
        ww_cap_unref(secret);
        pair_settle(&p);
    }
}

static void streams_cross(void **state)
{
    WW_UNUSED(state);
    static const struct ww_rpc_stream_ops ops = {NULL, NULL};
    struct ww_rpc_stream s;
    assert_ok(ww_rpc_stream_init(&s, p.a.vat, &ops, 0));
    for (uint64_t i = 1; i <= 50; i++) {
        struct ww_rpc_request *q;
        assert_ok(ww_rpc_request_new(face, TEST_IFACE, M_STREAM, 3, &q));
        ww_sb_set_u64(ww_pb_init_struct(ww_rpc_request_params(q), 1, 1), 0, i);
        assert_int_equal(ww_rpc_stream_send_take(&s, q), WW_RPC_STREAM_OK);
    }
    pair_settle(&p);
    assert_int_equal(s.in_flight, 0);
    assert_int_equal(inside->seen_count, 50);
    assert_int_equal(border.calls[WW_MEMBRANE_IN], 50);
    ww_rpc_stream_fini(&s);
}

/* ---- revocation */

static void revoked(void **state)
{
    WW_UNUSED(state);
    struct outcome o, running;
    outcome_init(&running, NULL);
    struct ww_rpc_request *q = call_send(face, M_LATER, 0, NULL, &running);
    pair_settle(&p);
    struct ww_cap *again;
    ww_membrane_revoke(border.m, WW_EDISCONNECTED, "gone");
    ww_membrane_revoke(border.m, WW_EFAILED, "again");
    pair_settle(&p);
    assert_int_equal(inside->canceled, 1);
    assert_int_equal(running.status, WW_EDISCONNECTED); /* whatever the handler does */
    object_go(inside);
    pair_settle(&p);
    assert_int_equal(running.count, 1);
    ww_rpc_request_free(ask(face, M_ECHO, 1, NULL, &o));
    assert_int_equal(o.status, WW_EDISCONNECTED);
    assert_string_equal(o.reason, "gone");
    assert_int_equal(running.status, WW_EDISCONNECTED);
    assert_string_equal(running.reason, "gone");
    assert_int_equal(inside->seen_count, 0);
    ww_rpc_request_free(q);
    assert_ok(ww_membrane_pass(border.m, WW_MEMBRANE_OUT, inside_cap, &again));
    assert_int_equal(ww_cap_state(again), WW_CAP_BROKEN);
    ww_cap_unref(again);
}

static void complete(struct ww_rpc_call *call, unsigned how, struct ww_sb results)
{
    struct ww_rpc_request *other;
    uint16_t path = 0;
    switch (how) {
    case 0:
        ww_sb_set_u64(results, 0, 1);
        ww_pb_set_cap(ww_sb_ptr(results, 0), inside_cap);
        ww_rpc_call_return(call);
        break;
    case 1:
        ww_rpc_call_fail(call, WW_EFAILED, "too late");
        break;
    case 2:
        assert_ok(ww_rpc_request_new(inside_cap, TEST_IFACE, M_ECHO, 0, &other));
        (void)ww_pb_init_struct(ww_rpc_request_params(other), 1, 1);
        ww_rpc_call_forward_take(call, other);
        break;
    default:
        assert_ok(ww_rpc_call_set_pipeline(call, &path, 1, inside_cap));
        ww_rpc_call_release_params(call);
        ww_rpc_call_return(call);
    }
}

/* The caller, here or a peer, hears at once; the handler goes on with what it has, and completes in every way
 * there is, before or after everybody else let go. */
static void revoked_while_running(void **state)
{
    WW_UNUSED(state);
    for (unsigned i = 0; i < 16; i++) {
        struct border b = {.policy.ops = &border_ops};
        struct ww_cap *out, *boot = NULL, *caller;
        struct outcome o, o2;
        assert_ok(ww_membrane_new(p.a.vat, &b.policy, &b.m));
        assert_ok(ww_membrane_pass(b.m, WW_MEMBRANE_OUT, inside_cap, &out));
        if (i & 4) {
            assert_ok(ww_rpc_conn_bootstrap(p.a.conn, &boot));
            ww_rpc_request_free(ask(boot, M_KEEP, 0, out, &o));
        }
        caller = ww_cap_ref(i & 4 ? far->kept : out);
        outcome_init(&o, NULL);
        outcome_init(&o2, NULL);
        struct ww_rpc_request *q = call_send(caller, M_LATER, 7, NULL, &o);
        struct ww_cap *cap = pipeline(q, 0);
        struct ww_rpc_request *q2 = call_send(cap, M_ECHO, 1, NULL, &o2);
        pair_settle(&p);
        assert_int_equal(o.count, 0);
        struct ww_rpc_call *call = inside->later;
        struct ww_sb results = ww_pb_init_struct(ww_rpc_call_results(call, 3), 1, 1);
        ww_membrane_revoke(b.m, WW_EOVERLOADED, "closed");
        pair_settle(&p);
        assert_int_equal(o.status, WW_EOVERLOADED);
        assert_string_equal(o.reason, "closed");
        assert_int_equal(o2.status, WW_EOVERLOADED);
        assert_int_equal(inside->canceled, i + 1);
        assert_true(ww_rpc_call_is_canceled(call));
        assert_int_equal(ww_sr_u64(ww_pr_struct(ww_rpc_call_params(call)), 0), 7);
        if (i & 8)
            complete(call, i % 4, results);
        ww_rpc_request_free(q);
        ww_rpc_request_free(q2);
        ww_cap_unref(cap);
        ww_cap_unref(caller);
        ww_cap_unref(out);
        ww_membrane_unref(b.m);
        pair_settle(&p);
        assert_int_equal(b.dropped, i & 4 ? 0 : 1); /* the peer keeps a wrapper that leads nowhere */
        if (boot)
            ww_rpc_request_free(ask(boot, M_KEEP, 0, NULL, &o));
        ww_cap_unref(boot);
        pair_settle(&p);
        assert_int_equal(b.dropped, 1);
        if (!(i & 8))
            complete(call, i % 4, results);
        pair_settle(&p);
        assert_int_equal(inside->seen_count, 0);
        assert_int_equal(o.count, 1);
        side_idle(&p.a);
        side_idle(&p.b);
    }
}

/* A streaming call that was cut off breaks the stream of those outside, not the object. */
static void revoked_in_a_stream(void **state)
{
    WW_UNUSED(state);
    struct outcome o, o2;
    inside->hold = true;
    outcome_init(&o, NULL);
    struct ww_rpc_request *q = call_send(face, M_STREAM, 1, NULL, &o), *q2;
    q2 = call_send(inside_cap, M_ECHO, 2, NULL, NULL);
    pair_settle(&p);
    ww_membrane_revoke(border.m, WW_EFAILED, "closed");
    pair_settle(&p);
    assert_int_equal(o.status, WW_EFAILED);
    object_go(inside);
    ww_rpc_request_free(q2);
    q2 = ask(inside_cap, M_ECHO, 3, NULL, &o2);
    assert_int_equal(o2.status, 0);
    assert_int_equal(o2.value, 3);
    ww_rpc_request_free(q);
    ww_rpc_request_free(q2);
}

/* A call that its handler left to another one. */
static void revoked_while_forwarded(void **state)
{
    WW_UNUSED(state);
    struct outcome o;
    struct object *other;
    struct ww_cap *other_cap = object_new(p.a.vat, &live, &other);
    struct ww_rpc_request *q = ask(face, M_LATER, 0, NULL, &o), *child;
    struct ww_rpc_call *held = inside->later;
    assert_ok(ww_rpc_request_new(other_cap, TEST_IFACE, M_LATER, 0, &child));
    (void)ww_pb_init_struct(ww_rpc_request_params(child), 1, 1);
    ww_rpc_call_forward_take(held, child);
    pair_settle(&p);
    ww_membrane_revoke(border.m, WW_EFAILED, "closed");
    pair_settle(&p);
    assert_int_equal(o.status, WW_EFAILED);
    assert_string_equal(o.reason, "closed");
    assert_int_equal(other->canceled, 1);
    object_go(other);
    pair_settle(&p);
    assert_int_equal(o.count, 1);
    ww_rpc_request_free(q);
    ww_cap_unref(other_cap);
}

static void revoked_releases(void **state)
{
    WW_UNUSED(state);
    struct outcome o;
    struct object *mine;
    struct ww_cap *mine_cap = object_new(p.a.vat, &live, &mine), *promise, *out;
    ww_rpc_request_free(ask(face, M_KEEP, 0, mine_cap, &o));
    ww_cap_unref(mine_cap);
    struct ww_cap_resolver *resolver;
    assert_ok(ww_cap_new_promise(p.a.vat, &promise, &resolver));
    assert_ok(ww_membrane_pass(border.m, WW_MEMBRANE_OUT, promise, &out));
    pair_settle(&p);
    assert_int_equal(live, 3);
    ww_membrane_revoke(border.m, WW_EFAILED, "revoked");
    pair_settle(&p);
    assert_int_equal(live, 2); /* what was kept inside was only a wrapper */
    assert_int_equal(ww_cap_state(out), WW_CAP_BROKEN);
    ww_cap_unref(out);
    ww_cap_unref(promise);
    ww_cap_resolver_free(resolver);
}

/* A call that waits for a peer fails at once, also when something was pipelined on it. */
static void revoked_remote(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *boot, *wrapped;
    struct outcome o, o2;
    assert_ok(ww_rpc_conn_bootstrap(p.a.conn, &boot));
    pair_settle(&p);
    assert_ok(ww_membrane_pass(border.m, WW_MEMBRANE_OUT, boot, &wrapped));
    outcome_init(&o, NULL);
    outcome_init(&o2, NULL);
    struct ww_rpc_request *q = call_send(wrapped, M_LATER, 0, NULL, &o);
    struct ww_cap *cap = pipeline(q, 0);
    struct ww_rpc_request *q2 = call_send(cap, M_ECHO, 1, NULL, &o2);
    pair_settle(&p);
    assert_int_equal(o.status, WW_EAGAIN);
    ww_membrane_revoke(border.m, WW_EOVERLOADED, "revoked");
    pair_settle(&p);
    assert_int_equal(o.status, WW_EOVERLOADED);
    assert_int_equal(o2.status, WW_EOVERLOADED);
    assert_int_equal(far->canceled, 1);
    object_go(far);
    ww_rpc_request_free(q);
    ww_rpc_request_free(q2);
    ww_cap_unref(cap);
    ww_cap_unref(wrapped);
    ww_cap_unref(boot);
    pair_settle(&p);
    side_idle(&p.a);
    side_idle(&p.b);
}

static void revoked_by_its_policy(void **state)
{
    WW_UNUSED(state);
    struct outcome o;
    border.revoke_in_call = true;
    ww_rpc_request_free(ask(face, M_ECHO, 1, NULL, &o));
    assert_int_equal(o.status, WW_EFAILED);
    assert_string_equal(o.reason, "closed for good");
    assert_int_equal(inside->seen_count, 0);
}

/* The way home is shorter than the one across: what was sent while the promise moved must not be overtaken.
 */
static void order_on_the_way_home(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *promise, *out;
    struct ww_cap_resolver *resolver;
    struct outcome o[3];
    assert_ok(ww_cap_new_promise(p.a.vat, &promise, &resolver));
    assert_ok(ww_membrane_pass(border.m, WW_MEMBRANE_IN, promise, &out));
    for (int i = 0; i < 3; i++)
        outcome_init(&o[i], NULL);
    ww_rpc_request_free(call_send(out, M_ECHO, 9, NULL, NULL)); /* cancelled: leaves nothing behind */
    struct ww_rpc_request *a = call_send(out, M_ECHO, 1, NULL, &o[0]);
    ww_cap_resolver_resolve(resolver, face);
    struct ww_rpc_request *b = call_send(out, M_ECHO, 2, NULL, &o[1]);
    while (ww_cap_state(out) == WW_CAP_PROMISE)
        assert_true(ww_rpc_vat_run(p.a.vat, 1, 1));
    assert_true(ww_cap_same(out, inside_cap));
    struct ww_rpc_request *c = call_send(out, M_ECHO, 3, NULL, &o[2]);
    ww_cap_unref(out); /* the calls go on without it */
    ww_cap_unref(promise);
    pair_settle(&p);
    assert_int_equal(inside->seen_count, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(inside->seen[i], i + 1);
        assert_int_equal(o[i].status, 0);
    }
    ww_rpc_request_free(a);
    ww_rpc_request_free(b);
    ww_rpc_request_free(c);
}

/* The same, and nobody but a call has the promise while it moves. */
static void moves_for_a_call_alone(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *promise, *out;
    struct ww_cap_resolver *resolver;
    struct outcome o;
    outcome_init(&o, NULL);
    assert_ok(ww_cap_new_promise(p.a.vat, &promise, &resolver));
    assert_ok(ww_membrane_pass(border.m, WW_MEMBRANE_IN, promise, &out));
    ww_cap_resolver_resolve(resolver, face);
    struct ww_rpc_request *q = call_send(out, M_ECHO, 1, NULL, &o);
    ww_cap_unref(out);
    ww_cap_unref(promise);
    pair_settle(&p);
    assert_int_equal(o.status, 0);
    assert_int_equal(inside->seen_count, 1);
    ww_rpc_request_free(q);
}

/* A promise passed, and what it became may not: whoever calls it is told so. */
static void promise_is_refused_later(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *promise, *out;
    struct ww_cap_resolver *resolver;
    struct outcome o;
    outcome_init(&o, NULL);
    assert_ok(ww_cap_new_promise(p.a.vat, &promise, &resolver));
    assert_ok(ww_membrane_pass(border.m, WW_MEMBRANE_OUT, promise, &out));
    border.deny_caps = true;
    ww_cap_resolver_resolve(resolver, inside_cap);
    pair_settle(&p);
    assert_int_equal(ww_cap_state(out), WW_CAP_BROKEN);
    struct ww_rpc_request *q = call_send(out, M_ECHO, 1, NULL, &o);
    pair_settle(&p);
    assert_int_equal(o.status, WW_EFAILED);
    assert_string_equal(o.reason, "the capability may not pass");
    ww_rpc_request_free(q);
    ww_cap_unref(out);
    ww_cap_unref(promise);
}

/* ---- memory */

static void idle_done(struct ww_rpc_wait *wait, struct ww_rpc_request *request)
{
    WW_UNUSED(wait);
    WW_UNUSED(request);
}

static ww_err without_memory(void *ctx)
{
    struct border b = {.policy.ops = &border_ops};
    struct ww_rpc_vat *vat;
    struct ww_cap *cap = NULL, *out = NULL;
    int alive = 0;
    WW_UNUSED(ctx);
    WW_TRY(ww_rpc_vat_new(NULL, &vat));
    ww_err err = ww_membrane_new(vat, &b.policy, &b.m);
    if (err == 0) {
        cap = object_try(vat, &alive, NULL);
        err = cap ? ww_membrane_pass(b.m, WW_MEMBRANE_OUT, cap, &out) : WW_ENOMEM;
    }
    struct ww_rpc_request *q = NULL;
    struct ww_rpc_wait wait = {.done = idle_done};
    if (err == 0)
        err = ww_rpc_request_new(out, TEST_IFACE, M_ECHO_CAP, 3, &q);
    if (err == 0) {
        ww_pb_set_cap(ww_sb_ptr(ww_pb_init_struct(ww_rpc_request_params(q), 1, 1), 0), out);
        ww_rpc_request_send(q, &wait);
        while (ww_rpc_vat_run(vat, 1, 0))
            ;
        err = ww_rpc_request_status(q);
        ww_rpc_request_free(q);
    }
    ww_cap_unref(out);
    ww_cap_unref(cap);
    ww_membrane_unref(b.m);
    while (ww_rpc_vat_run(vat, 1, 0))
        ;
    ww_rpc_vat_free(vat);
    return alive ? WW_ESTATE : err == WW_EFAILED ? WW_ENOMEM : err;
}

static void out_of_memory(void **state)
{
    WW_UNUSED(state);
    assert_true(alloc_fail_run(without_memory, NULL) > 5);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, up, down)
    const struct CMUnitTest tests[] = {T(calls_cross), T(order), T(policy_says_no), T(policy_redirects),
        T(home_again), T(wrapped_once), T(pipelined), T(tail_call_inside), T(forwarded_and_refused),
        T(promise_crosses), T(promise_comes_home), T(dropped_promise), T(remote), T(remote_in_one_trip),
        T(remote_leads_home), T(forwarded_and_pipelined), T(streams_cross), T(revoked),
        T(revoked_while_running), T(revoked_in_a_stream), T(revoked_while_forwarded), T(revoked_releases),
        T(revoked_remote), T(revoked_by_its_policy), T(order_on_the_way_home), T(moves_for_a_call_alone),
        T(promise_is_refused_later), cmocka_unit_test(out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
