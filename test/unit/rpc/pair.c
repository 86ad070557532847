#include "pair.h"

static void host_closed(struct ww_rpc_conn_host *host, ww_err err, const char *reason)
{
    struct side *s = WW_CONTAINER_OF(host, struct side, host);
    s->closed = err;
    s->closed_events++;
    snprintf(s->reason, sizeof s->reason, "%s", reason);
}

static const struct ww_rpc_conn_ops host_ops = {.closed = host_closed};

static void side_init(struct side *s, struct ww_cap *(*make)(struct ww_rpc_vat *vat), bool packed)
{
    *s = (struct side){.host.ops = &host_ops};
    assert_ok(ww_rpc_vat_new(NULL, &s->vat));
    ww_budget_init(&s->budget, NULL);
    struct ww_cap *boot = make ? make(s->vat) : NULL;
    assert_ok(ww_rpc_conn_new(s->vat,
        &(struct ww_rpc_conn_config){
            .host = &s->host, .bootstrap = boot, .budget = &s->budget, .packed = packed},
        &s->conn));
    ww_cap_unref(boot);
}

void pair_init(struct pair *p, struct ww_cap *(*make)(struct ww_rpc_vat *vat), bool packed)
{
    side_init(&p->a, NULL, packed);
    side_init(&p->b, make, packed);
    p->now_ns = 1;
}

static void side_fini(struct side *s)
{
    ww_rpc_conn_free(s->conn);
    while (ww_rpc_vat_run(s->vat, 1, 0))
        ;
    for (int r = 0; r < WW_RES_COUNT; r++)
        assert_int_equal(s->budget.used[r], 0);
    assert_int_equal(s->vat->refs, 2); /* the owner's and its null capability's: nothing leaked */
    ww_rpc_vat_free(s->vat);
}

void pair_fini(struct pair *p)
{
    side_fini(&p->a);
    side_fini(&p->b);
}

void side_check(const struct side *s)
{
    struct ww_diag diag = {0};
    if (ww_rpc_conn_check(s->conn, &diag) < 0)
        fail_msg("%s", diag.text);
}

void side_idle(const struct side *s)
{
    struct ww_rpc_conn_stats st;
    ww_rpc_conn_stats(s->conn, &st);
    assert_int_equal(st.questions, 0);
    assert_int_equal(st.answers, 0);
    assert_int_equal(st.exports, 0);
    assert_int_equal(st.imports, 0);
    assert_int_equal(st.embargoes, 0);
    assert_int_equal(st.inbound_bytes, 0);
}

bool pair_move(struct pair *p, struct side *from, struct side *to, size_t step)
{
    struct ww_bytes view;
    WW_UNUSED(p);
    if (ww_rpc_conn_pull(from->conn, &view, 1) == 0)
        return false;
    size_t n = step && step < view.len ? step : view.len;
    ww_err err = ww_rpc_conn_feed(to->conn, ww_bytes(view.ptr, n));
    WW_UNUSED(err); /* the closed event tells */
    ww_rpc_conn_pulled(from->conn, n);
    return true;
}

void pair_settle(struct pair *p)
{
    bool moved = true;
    while (moved) {
        moved = ww_rpc_vat_run(p->a.vat, ++p->now_ns, 0);
        moved |= ww_rpc_vat_run(p->b.vat, p->now_ns, 0);
        moved |= pair_move(p, &p->a, &p->b, 0);
        moved |= pair_move(p, &p->b, &p->a, 0);
        side_check(&p->a);
        side_check(&p->b);
    }
}

/* ---- the object */

bool objects_obey_cancel;
unsigned objects_canceled;

static struct ww_sr params_of(struct ww_rpc_call *call)
{
    return ww_pr_struct(ww_rpc_call_params(call));
}

static void return_number(struct ww_rpc_call *call, uint64_t value)
{
    ww_sb_set_u64(ww_pb_init_struct(ww_rpc_call_results(call, 3), 1, 1), 0, value);
    ww_rpc_call_return(call);
}

static void return_cap(struct ww_rpc_call *call, struct ww_cap *cap)
{
    struct ww_sb results = ww_pb_init_struct(ww_rpc_call_results(call, 3), 1, 1);
    ww_pb_set_cap(ww_sb_ptr(results, 0), cap);
    ww_rpc_call_return(call);
}

static void object_canceled(struct ww_rpc_cancel *cancel, struct ww_rpc_call *call)
{
    struct object *o = WW_CONTAINER_OF(cancel, struct object, cancel);
    assert_true(ww_rpc_call_is_canceled(call));
    o->canceled++;
    objects_canceled++;
    if (objects_obey_cancel) {
        o->later = NULL;
        ww_rpc_call_fail(call, WW_ECANCELED, "canceled");
    }
}

static void keep(struct object *o, struct ww_cap *cap)
{
    ww_cap_unref(o->kept);
    o->kept = ww_cap_ref(cap);
}

static void call_kept(struct object *o, struct ww_rpc_call *call)
{
    struct ww_rpc_request *r;
    if (ww_rpc_request_new(o->kept, TEST_IFACE, M_ECHO, 3, &r) < 0) {
        ww_rpc_call_fail(call, WW_EFAILED, "nothing kept");
        return;
    }
    ww_pb_set(ww_rpc_request_params(r), ww_rpc_call_params(call));
    ww_rpc_call_forward_take(call, r);
}

static void stream_call(struct object *o, struct ww_rpc_call *call, uint64_t value)
{
    ww_rpc_call_set_streaming(call);
    o->seen[o->seen_count++ % WW_COUNT_OF(o->seen)] = value;
    if (o->fail_at && value == o->fail_at)
        ww_rpc_call_fail(call, WW_EFAILED, "stream failed at %d", (int)value);
    else if (o->hold)
        o->later = call;
    else
        ww_rpc_call_return(call);
}

static void object_dispatch(struct ww_rpc_server *self, struct ww_rpc_call *call)
{
    struct object *o = WW_CONTAINER_OF(self, struct object, server);
    struct ww_sr params = params_of(call);
    uint64_t value = ww_sr_u64(params, 0);
    struct ww_cap *cap = ww_pr_cap(ww_sr_ptr(params, 0));
    if (ww_rpc_call_interface(call) != TEST_IFACE) {
        ww_rpc_call_fail(call, WW_EUNIMPLEMENTED, "unknown interface");
        return;
    }
    switch (ww_rpc_call_method(call)) {
    case M_ECHO:
        o->seen[o->seen_count++ % WW_COUNT_OF(o->seen)] = value;
        return_number(call, value);
        break;
    case M_FAIL:
        ww_rpc_call_fail(call, (ww_err)(int32_t)value, "asked to fail");
        break;
    case M_KEEP:
        keep(o, cap);
        return_number(call, value);
        break;
    case M_GIVE:
        return_cap(call, o->kept);
        break;
    case M_CALL:
        call_kept(o, call);
        break;
    case M_LATER:
        o->later = call;
        ww_rpc_call_on_cancel(call, &o->cancel);
        break;
    case M_STREAM:
        stream_call(o, call, value);
        break;
    case M_COUNT:
        return_number(call, o->seen_count);
        break;
    case M_NEW: {
        struct ww_cap *made = object_try(o->vat, o->live, NULL);
        if (made)
            return_cap(call, made);
        else
            ww_rpc_call_fail(call, WW_ENOMEM, "no memory");
        ww_cap_unref(made);
        break;
    }
    case M_ECHO_CAP:
        return_cap(call, cap);
        break;
    default:
        ww_rpc_call_fail(call, WW_EUNIMPLEMENTED, "unknown method");
    }
}

static struct ww_list objects = {&objects, &objects};

static void object_drop(struct ww_rpc_server *self)
{
    struct object *o = WW_CONTAINER_OF(self, struct object, server);
    ww_list_remove(&o->node);
    ww_cap_unref(o->kept);
    if (o->live)
        --*o->live;
    ww_free(o);
}

void objects_let_go(void)
{
    WW_LIST_FOR(at, &objects)
    {
        struct object *o = WW_LIST_ENTRY(at, struct object, node);
        struct ww_cap *kept = o->kept;
        o->kept = NULL;
        ww_cap_unref(kept); /* objects go later, from their vat's queue */
    }
}

const struct ww_rpc_server_ops object_ops = {.dispatch = object_dispatch, .drop = object_drop};

struct ww_cap *object_try(struct ww_rpc_vat *vat, int *live, struct object **ret_object)
{
    struct object *o = WW_NEW(struct object);
    if (!o)
        return NULL;
    o->server.ops = &object_ops;
    o->cancel.canceled = object_canceled;
    o->vat = vat;
    o->live = live;
    struct ww_cap *cap;
    if (ww_cap_new_server(vat, &o->server, &cap) < 0) {
        ww_free(o);
        return NULL;
    }
    ww_list_push_back(&objects, &o->node);
    if (live)
        ++*live;
    if (ret_object)
        *ret_object = o;
    return cap;
}

struct ww_cap *object_new(struct ww_rpc_vat *vat, int *live, struct object **ret_object)
{
    struct ww_cap *cap = object_try(vat, live, ret_object);
    assert_non_null(cap);
    return cap;
}

void object_go(struct object *o)
{
    struct ww_rpc_call *call = o->later;
    assert_non_null(call);
    o->later = NULL;
    if (o->kept)
        return_cap(call, o->kept);
    else
        return_number(call, 1);
}

/* ---- calling */

static void outcome_done(struct ww_rpc_wait *wait, struct ww_rpc_request *request)
{
    struct outcome *o = WW_CONTAINER_OF(wait, struct outcome, wait);
    o->count++;
    o->status = ww_rpc_request_status(request);
    snprintf(o->reason, sizeof o->reason, "%s", ww_rpc_request_reason(request));
    o->value = ww_sr_u64(ww_pr_struct(ww_rpc_request_results(request)), 0);
    if (o->order)
        o->at = ++*o->order;
}

void outcome_init(struct outcome *o, unsigned *order)
{
    *o = (struct outcome){.wait.done = outcome_done, .status = WW_EAGAIN, .order = order};
}

struct ww_rpc_request *call_send(
    struct ww_cap *target, uint16_t method, uint64_t value, struct ww_cap *cap, struct outcome *o)
{
    struct ww_rpc_request *r;
    assert_ok(ww_rpc_request_new(target, TEST_IFACE, method, 3, &r));
    struct ww_sb params = ww_pb_init_struct(ww_rpc_request_params(r), 1, 1);
    ww_sb_set_u64(params, 0, value);
    ww_pb_set_cap(ww_sb_ptr(params, 0), cap);
    ww_rpc_request_send(r, o ? &o->wait : NULL);
    return r;
}

struct ww_cap *pipeline(struct ww_rpc_request *request, int index)
{
    struct ww_cap *cap;
    uint16_t path = (uint16_t)index;
    assert_ok(ww_rpc_request_pipeline(request, &path, 1, &cap));
    return cap;
}
