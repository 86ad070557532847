/* What a stranger can do to a node by way of RPC: it must not fall, spin, leak, or refuse others. */
#include "test/unit/node/rig.h"

#include "node/node_int.h"

#include "service/terminal.h"
#include "service/view.h"

/* ---- an object that does as it likes ---- */

enum manner { RETURNS, HOLDS, FAILS, MANNERS };

struct object {
    struct ww_rpc_server server;
    enum manner manner;
    struct ww_rpc_call *held[4096];
    size_t held_count, calls;
};

static void object_let_go(struct object *o)
{
    while (o->held_count)
        ww_rpc_call_return(o->held[--o->held_count]);
}

static void object_dispatch(struct ww_rpc_server *server, struct ww_rpc_call *call)
{
    struct object *o = WW_CONTAINER_OF(server, struct object, server);
    o->calls++;
    if (o->manner == HOLDS && o->held_count < WW_COUNT_OF(o->held)) {
        o->held[o->held_count++] = call;
        return;
    }
    if (o->manner == FAILS)
        ww_rpc_call_fail(call, WW_EFAILED, "no");
    else
        ww_rpc_call_return(call);
}

static const struct ww_rpc_server_ops object_ops = {object_dispatch, NULL};

static struct ww_cap *object_cap(struct rig *r, struct object *o, enum manner manner)
{
    struct ww_cap *cap;
    *o = (struct object){.server = {&object_ops}, .manner = manner};
    assert_ok(ww_cap_new_server(r->vat.rpc, &o->server, &cap));
    return cap;
}

/* ---- more than the node wants to hold ---- */

static void send_zeros(struct ww_cap *target, size_t bytes)
{
    struct ww_rpc_request *request;
    assert_ok(ww_rpc_request_new(target, 1, 1, 0, &request));
    assert_non_null(ww_pb_init_data(ww_rpc_request_params(request), bytes));
    ww_rpc_request_send_take(request);
}

static uint64_t node_holds(struct rig *r)
{
    struct ww_swarm_stats stats;
    ww_swarm_stats(ww_node_swarm(r->node), &stats);
    return stats.bytes_held;
}

static void expect_lookup(struct rig *r, struct ww_cap *view)
{
    struct ww_rpc_request *request;
    struct ww_View_lookup_params_b params = {0};
    assert_ok(ww_View_lookup_request(view, &request, &params));
    ww_rpc_request_send(request, NULL);
    rig_run(r, WW_NS_PER_S);
    if (ww_rpc_request_status(request) < 0)
        fail_msg("%d %s", ww_rpc_request_status(request), ww_rpc_request_reason(request));
    ww_rpc_request_free(request);
}

/* Calls wait on the result of a watch, which never comes. A few KiB, packed, are 72 MiB to hold. */
static void waiting_calls_stop_the_reading_for_a_while(void **state)
{
    struct rig r;
    struct line bad, good;
    struct object watcher;
    struct ww_rpc_request *watch;
    struct ww_View_watch_params_b params = {0};
    struct ww_cap *result;
    const uint16_t path[] = {0};
    WW_UNUSED(state);
    rig_init(&r, 3);
    line_open(&r, &bad, true);
    struct ww_cap *view = line_view(&bad), *cap = object_cap(&r, &watcher, RETURNS);
    /* not by ww_View_watch_request, which says that nothing will be pipelined */
    assert_ok(ww_rpc_request_new(view, ww_View_ID, ww_View_watch_METHOD, 0, &watch));
    params = ww_View_watch_params_b_init(ww_rpc_request_params(watch));
    ww_View_watch_params_set_watcher(params, cap);
    ww_cap_unref(cap);
    ww_rpc_request_send(watch, NULL);
    rig_run(&r, WW_NS_PER_S);
    assert_true(watcher.calls > 0);
    assert_ok(ww_rpc_request_pipeline(watch, path, 1, &result));
    for (int i = 0; i < 9; i++) {
        send_zeros(result, 8u << 20);
        rig_run(&r, 100 * WW_NS_PER_MS);
    }
    assert_true(node_holds(&r) > 64u << 20);
    send_zeros(result, 8); /* not read any more */
    uint64_t before = ww_sim_events(r.sim);
    rig_run(&r, WW_NS_PER_S);
    assert_true(ww_sim_events(r.sim) - before < 5000);
    assert_false(bad.closed);
    /* others are served, also of the same stranger */
    line_open(&r, &good, true);
    struct ww_cap *other = line_view(&good);
    expect_lookup(&r, other);
    ww_cap_unref(other);
    line_close(&good);
    /* the watcher fails, the watch ends, and with it all that waited: the line is read again */
    watcher.manner = FAILS;
    for (uint32_t i = 0; i < 2; i++) {
        rig_record(&r, i, "h", NULL);
        rig_run(&r, WW_NS_PER_S);
    }
    assert_int_equal(ww_rpc_request_status(watch), WW_EFAILED);
    assert_true(node_holds(&r) < 32u << 20);
    expect_lookup(&r, view);
    ww_cap_unref(result);
    ww_rpc_request_free(watch);
    ww_cap_unref(view);
    line_close(&bad);
    rig_run(&r, 60 * WW_NS_PER_S);
    assert_true(node_holds(&r) < 4u << 20);
    rig_fini(&r);
}

/* ---- bytes that are no RPC, and streams that go at once ---- */

struct pest {
    struct ww_stream_user user;
    struct ww_swarm_open op;
    bool open, ended;
};

static size_t pest_data(struct ww_stream_user *user, struct ww_bytes data)
{
    WW_UNUSED(user);
    return data.len;
}

static void pest_closed(struct ww_stream_user *user, ww_err err)
{
    WW_UNUSED(err);
    WW_CONTAINER_OF(user, struct pest, user)->ended = true;
}

static const struct ww_stream_events pest_events = {.data = pest_data, .closed = pest_closed};

static void pest_opened(struct ww_swarm_open *op, ww_err err)
{
    WW_CONTAINER_OF(op, struct pest, op)->open = err == 0;
}

static void pest_open(struct rig *r, struct pest *p, const char *protocol)
{
    const char *const names[] = {protocol};
    *p = (struct pest){.user = {.events = &pest_events}, .op = {.done = pest_opened}};
    assert_ok(ww_swarm_open(r->swarm, &p->op, &r->id, names, 1, &p->user, 0));
    rig_run(r, 5 * WW_NS_PER_MS);
}

static void pest_end(struct pest *p)
{
    ww_swarm_open_cancel(&p->op);
    if (p->user.stream)
        ww_stream_reset(p->user.stream);
}

static void expect_service_on(struct rig *r)
{
    struct line l;
    line_open(r, &l, true);
    struct ww_cap *view = line_view(&l);
    expect_lookup(r, view);
    ww_cap_unref(view);
    line_close(&l);
}

static void nonsense_on_streams(void **state)
{
    static const char *const protocols[] = {"ww/0.1.0/ww/packed", "ww/0.1.0/ww"};
    static const char *const firsts[] = {
        "ffffffffffffffff",                                 /* 2^32 segments */
        "00000000ffffffff",                                 /* one of 32 GiB */
        "0000000000008000",                                 /* one of 64 MiB, of which nothing comes */
        "00000000",                                         /* half a header, and silence */
        "0000000000000000",                                 /* no root */
        "00000000010000000000000000000000",                 /* a null root, again and again */
        "0000000001000000fcffffff00000000",                 /* a struct that points at itself */
        "ff0000000000000000ff00ff00ff00ff00ff00ff00ff00ff", /* packed zeros without end */
    };
    struct rig r;
    WW_UNUSED(state);
    rig_init(&r, 6);
    for (size_t i = 0; i < WW_COUNT_OF(firsts) * 2; i++) {
        struct pest p;
        struct ww_bytes first = hex(firsts[i / 2]);
        pest_open(&r, &p, protocols[i % 2]);
        for (int n = 0; n < 2000 && p.user.stream; n++) {
            ww_ignore(ww_stream_write(p.user.stream, first));
            if (i / 2 == 2 || i / 2 == 3)
                break;
        }
        rig_run(&r, WW_NS_PER_S);
        assert_true(node_holds(&r) < 72u << 20);
        expect_service_on(&r);
        pest_end(&p);
        rig_run(&r, 100 * WW_NS_PER_MS);
    }
    rig_run(&r, 60 * WW_NS_PER_S);
    assert_true(node_holds(&r) < 2u << 20);
    rig_fini(&r);
}

static void a_thousand_streams(void **state)
{
    static struct pest pests[1000];
    struct rig r;
    size_t open = 0;
    WW_UNUSED(state);
    rig_init(&r, 7);
    for (size_t i = 0; i < WW_COUNT_OF(pests); i++) {
        pest_open(&r, &pests[i], "ww/0.1.0/ww/packed");
        if (i % 2)
            pest_end(&pests[i]);
        else if (pests[i].user.stream && i % 4)
            ww_stream_close_write(pests[i].user.stream);
    }
    rig_run(&r, 30 * WW_NS_PER_S);
    for (size_t i = 0; i < WW_COUNT_OF(pests); i++)
        open += pests[i].user.stream != NULL;
    assert_in_range(open, 1, 16); /* of one peer */
    assert_int_equal(r.node->session_count, open);
    for (size_t i = 0; i < WW_COUNT_OF(pests); i++)
        pest_end(&pests[i]);
    rig_run(&r, WW_NS_PER_S);
    assert_int_equal(r.node->session_count, 0);
    expect_service_on(&r);
    rig_fini(&r);
}

/* ---- readers that do not read ---- */

/* Each holds a snapshot, and the table changes: an old one must go. A standing query whose reader has caught
 * up holds none and may be as slow as it likes. */
static void readers_get_a_minute(void **state)
{
    struct rig r;
    struct line l;
    struct object slow, quick;
    struct ww_rpc_request *requests[4];
    struct ww_View_iter_params_b iter = {0};
    struct ww_View_query_params_b query = {0};
    struct ww_View_watch_params_b watch = {0};
    WW_UNUSED(state);
    rig_init(&r, 4);
    for (uint32_t i = 0; i < 2000; i++)
        rig_record(&r, i, "a host with a name that is as long as they come", "key=value");
    line_open(&r, &l, true);
    struct ww_cap *view = line_view(&l), *cap = object_cap(&r, &slow, HOLDS);
    assert_ok(ww_View_iter_request(view, &requests[0], &iter));
    ww_View_iter_params_set_handler(iter, cap);
    assert_ok(ww_View_query_request(view, &requests[1], &query));
    ww_View_query_params_set_sink(query, cap);
    assert_ok(ww_View_watch_request(view, &requests[2], &watch));
    ww_View_watch_params_set_watcher(watch, cap);
    ww_cap_unref(cap);
    cap = object_cap(&r, &quick, RETURNS);
    assert_ok(ww_View_watch_request(view, &requests[3], &watch));
    ww_View_watch_params_set_watcher(watch, cap);
    ww_cap_unref(cap);
    for (size_t i = 0; i < 4; i++)
        ww_rpc_request_send(requests[i], NULL);
    rig_run(&r, WW_VIEW_SNAPSHOT_NS / 2);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(ww_rpc_request_status(requests[i]), WW_EAGAIN);
    assert_true(quick.calls > 0);
    quick.manner = HOLDS;
    for (uint32_t i = 0; i < 20000; i++) /* more than a watcher is kept: it begins anew */
        rig_record(&r, i, "another", NULL);
    rig_run(&r, WW_VIEW_SNAPSHOT_NS / 2 + WW_NS_PER_S);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(ww_rpc_request_status(requests[i]), WW_EOVERLOADED);
    assert_int_equal(ww_rpc_request_status(requests[3]), WW_EAGAIN);
    /* with the snapshots their memory has gone: now the table takes what one of its size takes */
    assert_true(ww_routing_bytes(ww_node_routing(r.node)) < (16u << 20));
    object_let_go(&slow);
    object_let_go(&quick);
    for (size_t i = 0; i < 4; i++)
        ww_rpc_request_free(requests[i]);
    ww_cap_unref(view);
    line_close(&l);
    rig_run(&r, WW_NS_PER_S);
    rig_fini(&r);
}

/* Every heartbeat that says something new passes all filters. */
static void large_standing_queries_are_few(void **state)
{
    struct rig r;
    struct line l;
    struct object watcher;
    struct ww_rpc_request *requests[4];
    struct ww_View_watch_params_b params = {0};
    WW_UNUSED(state);
    rig_init(&r, 8);
    line_open(&r, &l, true);
    struct ww_cap *view = line_view(&l), *cap = object_cap(&r, &watcher, RETURNS);
    for (size_t i = 0; i < 4; i++) {
        assert_ok(ww_View_watch_request(view, &requests[i], &params));
        ww_View_watch_params_set_watcher(params, cap);
        struct ww_View_Filter_b filter = ww_View_Query_init_filter(ww_View_watch_params_init_query(params));
        struct ww_View_Filter_lb list = ww_View_Filter_init_or(filter, 80);
        for (uint32_t n = 0; n < 80; n++) {
            struct ww_View_Filter_compare_b cmp = ww_View_Filter_get_compare(ww_View_Filter_lb_at(list, n));
            ww_View_Filter_compare_set_field(cmp, ww_View_Field_meta);
            ww_View_Filter_compare_set_key(cmp, ww_text("k"));
            ww_View_Filter_compare_set_value(cmp, ww_text("v"));
        }
        ww_rpc_request_send(requests[i], NULL);
    }
    rig_run(&r, WW_NS_PER_S);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(ww_rpc_request_status(requests[i]), i < 3 ? WW_EAGAIN : WW_EOVERLOADED);
        ww_rpc_request_free(requests[i]);
    }
    ww_cap_unref(cap);
    ww_cap_unref(view);
    line_close(&l);
    rig_run(&r, WW_NS_PER_S);
    rig_fini(&r);
}

/* Identities cost nothing: what limits the table is memory, and those who were there first stay. */
static void a_flood_of_identities(void **state)
{
    struct rig r;
    char meta[WW_ROUTING_META_BYTES_MAX];
    struct ww_record record;
    WW_UNUSED(state);
    rig_init(&r, 5);
    r.node->table_budget.max[WW_RES_BYTES] = 1u << 20;
    rig_record(&r, 0, "first", NULL);
    memset(meta, 'm', sizeof meta - 1);
    meta[sizeof meta - 1] = '\0';
    for (uint32_t i = 1; i < 10000; i++) {
        snprintf(meta, 10, "%08x", i); /* none is shared */
        meta[8] = '=';
        rig_record(&r, i, "h", meta);
    }
    assert_in_range(ww_routing_count(ww_node_routing(r.node)), 100, 300);
    assert_true(ww_routing_bytes(ww_node_routing(r.node)) < (2u << 20));
    uint8_t first[34] = {0x12, 0x20};
    assert_ok(ww_routing_get(ww_node_routing(r.node), ww_bytes(first, sizeof first), &record));
    rig_record(&r, 0, "first", NULL); /* and is renewed */
    rig_fini(&r);
}

/* ---- a riot: whatever comes to mind, in any order ---- */

enum { LINES = 6, CAPS = 24, REQUESTS = 48, OBJECTS = 12 };

struct riot {
    struct rig r;
    struct line lines[LINES];
    bool open[LINES];
    struct object objects[OBJECTS];
    struct ww_cap *object_caps[OBJECTS];
    struct ww_cap *caps[CAPS]; /* whatever was met: the node's, ours, promises, null */
    struct ww_cap *promises[4];
    struct ww_cap_resolver *resolvers[4];
    struct ww_rpc_request *requests[REQUESTS];
    unsigned answers;
};

static size_t below(struct riot *t, size_t n)
{
    return (size_t)ww_prng_below(&t->r.prng, n);
}

static struct ww_cap *any_cap(struct riot *t)
{
    switch (below(t, 4)) {
    case 0:
        return t->object_caps[below(t, OBJECTS)];
    case 1:
        return t->promises[below(t, WW_COUNT_OF(t->promises))];
    default:
        return t->caps[below(t, CAPS)];
    }
}

static void keep_cap(struct riot *t, struct ww_cap *cap_take)
{
    struct ww_cap **place = &t->caps[below(t, CAPS)];
    ww_cap_unref(*place);
    *place = cap_take;
}

static void keep_request(struct riot *t, struct ww_rpc_request *request_take)
{
    struct ww_rpc_request **place = &t->requests[below(t, REQUESTS)];
    ww_rpc_request_free(*place);
    *place = request_take;
}

/* Odd numbers, texts, capabilities and lists wherever a field may be. */
static void put_anything(struct riot *t, struct ww_pb at, unsigned depth)
{
    static const char texts[] = "foo\0bar\xff\x00host=k";
    static const uint64_t numbers[] = {
        0, 1, UINT64_MAX, INT64_MAX, UINT32_MAX, UINT64_C(0x7ff8000000000000), 0xffff, 4, 5, 6, 2};
    switch (below(t, depth < 20 ? 7 : 3)) {
    case 0:
        ww_pb_set_text(at, ww_bytes(texts + below(t, 8), below(t, 8)));
        break;
    case 1:
        ww_pb_set_cap(at, any_cap(t));
        break;
    case 2:
        break;
    case 3: {
        struct ww_lb list = ww_pb_init_structs(at, 2, 3, (uint32_t)below(t, 5));
        for (uint32_t i = 0; i < list.count; i++) {
            ww_sb_set_u16(ww_lb_struct(list, i), 0, (uint16_t)below(t, 6));
            put_anything(t, ww_sb_ptr(ww_lb_struct(list, i), (uint32_t)below(t, 3)), depth + 1);
        }
        break;
    }
    default: {
        struct ww_sb s = ww_pb_init_struct(at, 4, 4);
        for (uint32_t i = 0; i < 8; i++)
            ww_sb_set_u16(s, (uint32_t)below(t, 16), (uint16_t)numbers[below(t, WW_COUNT_OF(numbers))]);
        ww_sb_set_u64(s, (uint32_t)below(t, 4), numbers[below(t, WW_COUNT_OF(numbers))]);
        for (uint32_t i = 0; i < 4; i++)
            put_anything(t, ww_sb_ptr(s, i), depth + 3);
    }
    }
}

static void riot_answered(struct ww_rpc_wait *wait, struct ww_rpc_request *request)
{
    WW_UNUSED(wait);
    WW_UNUSED(request);
}

static void call_anything(struct riot *t)
{
    static struct ww_rpc_wait wait = {riot_answered};
    static const uint64_t interfaces[] = {ww_View_ID, ww_View_ID, ww_View_ID, ww_Terminal_ID, ww_Signer_ID};
    struct ww_cap *target = any_cap(t);
    struct ww_rpc_request *request;
    if (!target)
        return;
    assert_ok(ww_rpc_request_new(target, interfaces[below(t, 5)], (uint16_t)below(t, 6), 0, &request));
    struct ww_sb params = ww_pb_init_struct(ww_rpc_request_params(request), 1, 4);
    for (uint32_t i = 0; i < 4; i++) {
        if (below(t, 3) == 0)
            put_anything(t, ww_sb_ptr(params, i), 0);
        else if (i < 2)
            ww_pb_set_cap(ww_sb_ptr(params, i), any_cap(t));
    }
    ww_rpc_request_send(request, below(t, 2) ? &wait : NULL);
    const uint16_t path[] = {(uint16_t)below(t, 2), (uint16_t)below(t, 2)};
    struct ww_cap *cap;
    if (below(t, 3) == 0 && ww_rpc_request_pipeline(request, path, 1 + below(t, 2), &cap) == 0)
        keep_cap(t, cap);
    keep_request(t, request);
}

/* A well-formed query, iteration or watch that is of use. */
static void ask_view(struct riot *t, struct ww_cap *view)
{
    struct ww_rpc_request *request;
    struct ww_cap *reader = any_cap(t);
    if (below(t, 3) == 0) {
        struct ww_View_iter_params_b p = {0};
        assert_ok(ww_View_iter_request(view, &request, &p));
        ww_View_iter_params_set_handler(p, reader);
    } else if (below(t, 2)) {
        struct ww_View_query_params_b p = {0};
        assert_ok(ww_View_query_request(view, &request, &p));
        ww_View_query_params_set_sink(p, reader);
        struct ww_View_Query_b q = ww_View_query_params_init_query(p);
        ww_View_Query_set_ordered(q, below(t, 2));
        ww_View_Query_set_order(q, (enum ww_View_Field)below(t, 5));
    } else {
        struct ww_View_watch_params_b p = {0};
        assert_ok(ww_View_watch_request(view, &request, &p));
        ww_View_watch_params_set_watcher(p, reader);
    }
    ww_rpc_request_send(request, NULL);
    keep_request(t, request);
}

static void riot_login(struct riot *t, struct line *l)
{
    struct ww_cap *terminal, *account = NULL, *view;
    struct ww_rpc_request *login;
    struct ww_Terminal_login_params_b params = {0};
    if (ww_rpc_conn_bootstrap(l->link.conn, &terminal) < 0)
        return;
    assert_ok(ww_Terminal_login_request(terminal, &login, &params));
    if (below(t, 3))
        assert_ok(ww_signer_new(t->r.vat.rpc, &t->r.key, &t->r.id, &account));
    else
        account = ww_cap_ref(below(t, 2) ? terminal : any_cap(t));
    ww_Terminal_login_params_set_account(params, account);
    ww_cap_unref(account);
    ww_rpc_request_send(login, NULL);
    assert_ok(ww_Terminal_login_pipeline_session_view(login, &view));
    ask_view(t, view);
    keep_cap(t, view);
    keep_cap(t, terminal);
    keep_request(t, login);
}

static void renew_object(struct riot *t)
{
    struct object *o = &t->objects[below(t, OBJECTS)];
    object_let_go(o);
    o->manner = (enum manner)below(t, MANNERS);
}

/* To an object of ours, or to the node's own terminal; not to results that may wait for this very promise,
 * which would be a deadlock of the stranger's own. */
static void settle_promise(struct riot *t)
{
    size_t p = below(t, WW_COUNT_OF(t->promises));
    size_t i = below(t, LINES);
    struct ww_cap *to = NULL;
    if (!t->open[i] || !t->lines[i].up || ww_rpc_conn_bootstrap(t->lines[i].link.conn, &to) < 0)
        to = ww_cap_ref(t->object_caps[below(t, OBJECTS)]);
    if (below(t, 4) == 0)
        ww_cap_resolver_reject(t->resolvers[p], WW_EFAILED, "changed my mind");
    else
        ww_cap_resolver_resolve(t->resolvers[p], to);
    ww_cap_unref(to);
    keep_cap(t, t->promises[p]);
    assert_ok(ww_cap_new_promise(t->r.vat.rpc, &t->promises[p], &t->resolvers[p]));
}

static void churn(struct riot *t)
{
    char host[32];
    for (int i = 0; i < 20; i++) {
        snprintf(host, sizeof host, "h%u", (unsigned)below(t, 1000));
        rig_record(&t->r, (uint32_t)below(t, 300), host, below(t, 2) ? "k=v" : NULL);
    }
}

static void riot_step(struct riot *t)
{
    size_t i = below(t, LINES);
    struct line *l = &t->lines[i];
    switch (below(t, 12)) {
    case 0:
        if (t->open[i])
            line_close(l);
        else
            line_start(&t->r, l, below(t, 2));
        t->open[i] = !t->open[i];
        break;
    case 1:
        if (t->open[i] && l->link.user.stream && below(t, 3) == 0) {
            ww_stream_reset(l->link.user.stream);
            line_close(l);
            t->open[i] = false;
        } else if (t->open[i] && l->link.user.stream && below(t, 3) == 0) {
            ww_stream_close_write(l->link.user.stream);
        } else if (below(t, 8) == 0) {
            ww_swarm_disconnect(t->r.swarm, &t->r.id); /* the next line dials again */
        }
        break;
    case 2:
    case 3:
        if (t->open[i] && l->up && !l->closed)
            riot_login(t, l);
        break;
    case 4:
        renew_object(t);
        break;
    case 5:
        settle_promise(t);
        break;
    case 6:
        keep_request(t, NULL);
        break;
    case 7:
        keep_cap(t, NULL);
        break;
    case 8:
        churn(t);
        break;
    case 9: {
        struct ww_cap *cap = any_cap(t);
        if (cap)
            ask_view(t, cap);
        break;
    }
    default:
        call_anything(t);
    }
    rig_run(&t->r, below(t, 4) ? below(t, 2 * WW_NS_PER_MS) : below(t, 200 * WW_NS_PER_MS));
}

static void riot_end(struct riot *t)
{
    for (size_t i = 0; i < REQUESTS; i++)
        ww_rpc_request_free(t->requests[i]);
    for (size_t i = 0; i < CAPS; i++)
        ww_cap_unref(t->caps[i]);
    for (size_t i = 0; i < WW_COUNT_OF(t->promises); i++) {
        ww_cap_unref(t->promises[i]);
        ww_cap_resolver_free(t->resolvers[i]);
    }
    for (size_t i = 0; i < OBJECTS; i++) {
        t->objects[i].manner = RETURNS;
        object_let_go(&t->objects[i]);
        ww_cap_unref(t->object_caps[i]);
    }
    for (size_t i = 0; i < LINES; i++) {
        if (t->open[i])
            line_close(&t->lines[i]);
    }
}

static void riot(uint64_t seed)
{
    static struct riot t;
    memset(&t, 0, sizeof t);
    rig_init(&t.r, seed);
    for (size_t i = 0; i < OBJECTS; i++)
        t.object_caps[i] = object_cap(&t.r, &t.objects[i], (enum manner)(i % MANNERS));
    for (size_t i = 0; i < WW_COUNT_OF(t.promises); i++)
        assert_ok(ww_cap_new_promise(t.r.vat.rpc, &t.promises[i], &t.resolvers[i]));
    for (int i = 0; i < 400; i++)
        riot_step(&t);
    expect_service_on(&t.r); /* a stranger who behaves is served at once */
    if (seed % 3 == 0) {     /* the node goes in the middle of it */
        rig_free_node(&t.r);
        rig_run(&t.r, below(&t, WW_NS_PER_S));
    }
    riot_end(&t);
    rig_run(&t.r, seed % 2 * WW_NS_PER_S);
    rig_fini(&t.r);
    memset(&t, 0, sizeof t); /* or its pointers hide what leaked */
}

static void riots(void **state)
{
    const char *text = getenv("WW_RIOT_SEED");
    WW_UNUSED(state);
    uint64_t first = text ? strtoull(text, NULL, 10) : 1;
    for (uint64_t seed = first; seed < first + (text ? 1 : 12); seed++) {
        print_message("# riot %llu\n", (unsigned long long)seed);
        riot(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waiting_calls_stop_the_reading_for_a_while),
        cmocka_unit_test(nonsense_on_streams),
        cmocka_unit_test(a_thousand_streams),
        cmocka_unit_test(readers_get_a_minute),
        cmocka_unit_test(large_standing_queries_are_few),
        cmocka_unit_test(a_flood_of_identities),
        cmocka_unit_test(riots),
    };
    return cmocka_run_group_tests_name("node/hostile", tests, NULL, NULL);
}
