/* Membranes. A wrapper is an object of this vat whose handler shows the call to the policy, puts wrappers in
 * the place of the capabilities among its parameters, and sends the very same record on to what it wraps: no
 * message is copied. A crossing, noted on the call, does the same to the results when they come.
 *
 * A promise is wrapped in a promise that takes calls by way of such an object. When the wrapped one resolves,
 * the outer one follows from the run queue: calls that were sent before are past the object by then, and
 * where it comes home, which is shorter, past the other object that takes them there. Calls sent after wait
 * in the outer one until it does, and cannot overtake them. */
#include "rpc/internal.h"

struct ww_membrane {
    uint32_t refs; /* of users, wrappers and crossings */
    struct ww_rpc_vat *vat;
    struct ww_membrane_policy *policy;
    struct ww_rpc_exc *revoked;
    struct ww_list wrappers, crossings;
    struct ww_rpc_idmap faces[2]; /* wrapped node to wrapper, by way */
};

struct wrapper {
    struct ww_rpc_server server;
    struct ww_list node;
    struct ww_membrane *membrane;
    struct ww_cap *self;  /* the object's node, not counted */
    struct ww_cap *outer; /* the promise around it, while it is unresolved, not counted */
    struct ww_cap *inner; /* counted; NULL: revoked */
    struct ww_cap *key;   /* what it is found by, while it is; `inner` keeps it */
    struct ww_rpc_waiter waiter;
    struct ww_rpc_task task;
    uint32_t turns, home; /* of the run queue, since `outer` could follow; with a clear way home */
    uint8_t way;
};

struct ww_rpc_crossing {
    struct ww_rpc_crossing *next; /* of the call, the latest first */
    struct ww_list node;
    struct ww_membrane *membrane;
    struct ww_rpc_call *call;
    uint8_t way; /* of the results */
};

static void wrapper_dispatch(struct ww_rpc_server *server, struct ww_rpc_call *call);
static void wrapper_drop(struct ww_rpc_server *server);
static const struct ww_rpc_server_ops wrapper_ops = {.dispatch = wrapper_dispatch, .drop = wrapper_drop};

ww_err ww_membrane_new(
    struct ww_rpc_vat *vat, struct ww_membrane_policy *policy, struct ww_membrane **ret_membrane)
{
    struct ww_membrane *m = WW_NEW(struct ww_membrane);
    if (!m)
        return WW_ENOMEM;
    m->refs = 1;
    m->vat = ww_rpc_vat_ref(vat);
    m->policy = policy;
    ww_list_init(&m->wrappers);
    ww_list_init(&m->crossings);
    ww_rpc_idmap_init(&m->faces[0], vat->hash_seed);
    ww_rpc_idmap_init(&m->faces[1], vat->hash_seed);
    *ret_membrane = m;
    return 0;
}

struct ww_membrane *ww_membrane_ref(struct ww_membrane *membrane)
{
    membrane->refs++;
    return membrane;
}

void ww_membrane_unref(struct ww_membrane *m)
{
    if (!m || --m->refs > 0)
        return;
    struct ww_rpc_vat *vat = m->vat;
    struct ww_membrane_policy *policy = m->policy;
    ww_rpc_idmap_fini(&m->faces[0]);
    ww_rpc_idmap_fini(&m->faces[1]);
    ww_rpc_exc_unref(m->revoked);
    ww_free(m);
    if (policy->ops->drop)
        policy->ops->drop(policy);
    ww_rpc_vat_unref(vat);
}

/* ---- wrappers */

static uint64_t key_of(const struct ww_cap *cap)
{
    return (uint64_t)(uintptr_t)cap;
}

static void face_forget(struct wrapper *w)
{
    if (w->key)
        ww_rpc_idmap_remove(&w->membrane->faces[w->way], key_of(w->key));
    w->key = NULL;
}

static void wrapper_drop(struct ww_rpc_server *server)
{
    struct wrapper *w = WW_CONTAINER_OF(server, struct wrapper, server);
    face_forget(w);
    ww_list_remove(&w->node);
    ww_list_remove(&w->waiter.node);
    ww_list_remove(&w->task.node);
    ww_cap_unref(w->inner);
    ww_membrane_unref(w->membrane);
    ww_free(w);
}

static struct wrapper *wrapper_of(struct ww_cap *cap)
{
    if (cap->kind == CAP_PROMISE && !cap->promise.to)
        cap = cap->promise.via;
    if (!cap || cap->kind != CAP_SERVER || cap->local.server->ops != &wrapper_ops)
        return NULL;
    return WW_CONTAINER_OF(cap->local.server, struct wrapper, server);
}

void ww_rpc_membrane_outer_gone(struct ww_cap *outer)
{
    struct wrapper *w = wrapper_of(outer);
    if (w && w->outer == outer)
        w->outer = NULL;
}

/* Calls that passed the wrapper before may still be on their way to where the outer promise leads now. Those
 * which wait in another promise that moves go on when it has; two may wait for each other. */
static bool calls_behind(struct wrapper *w)
{
    struct ww_cap *inner = ww_rpc_cap_inner(w->inner);
    struct wrapper *back = inner ? wrapper_of(inner) : NULL;
    if (!back || back->membrane != w->membrane || back->way == w->way)
        return false;
    if (inner->flags & CAP_KICKED && w->turns < w->membrane->vat->limits.resolve_hops)
        w->home = 0;
    else
        w->home++;
    w->turns++;
    return w->home < 2;
}

static void outer_follow(struct ww_rpc_task *task)
{
    struct wrapper *w = WW_CONTAINER_OF(task, struct wrapper, task);
    struct ww_cap *outer = w->outer, *self = w->self, *to = NULL;
    if (!w->membrane->vat->freed && !w->membrane->revoked && calls_behind(w)) {
        ww_rpc_task_push(w->membrane->vat, task);
        return;
    }
    outer->flags &= (uint8_t)~CAP_KICKED;
    if (!w->membrane->vat->freed) {
        struct ww_rpc_exc *exc = w->membrane->revoked;
        ww_rpc_enter(outer->vat);
        struct ww_rpc_vat *vat = outer->vat;
        face_forget(w);
        w->outer = NULL;
        ww_err err = exc ? 0 : ww_membrane_pass(w->membrane, w->way, w->inner, &to);
        if (err < 0)
            exc = ww_rpc_exc_new(vat, err, WW_BYTES_LIT("the capability may not pass"));
        if (exc)
            ww_rpc_promise_reject(outer, exc);
        else
            ww_rpc_promise_resolve(outer, to);
        if (err < 0)
            ww_rpc_exc_unref(exc);
        ww_cap_unref(to);
        ww_rpc_leave(vat);
    }
    ww_cap_unref(outer);
    ww_cap_unref(self);
}

static void outer_follow_later(struct wrapper *w)
{
    if (!ww_list_empty(&w->task.node) || w->outer->refs == 0) /* on its way already, or nobody has it */
        return;
    (void)ww_cap_ref(w->self);
    ww_cap_ref(w->outer)->flags |= CAP_KICKED;
    ww_rpc_task_push(w->membrane->vat, &w->task);
}

static void inner_resolved(struct ww_rpc_waiter *waiter, struct ww_cap *promise)
{
    WW_UNUSED(promise);
    struct wrapper *w = WW_CONTAINER_OF(waiter, struct wrapper, waiter);
    if (w->outer)
        outer_follow_later(w);
}

static ww_err wrapper_new(
    struct ww_membrane *m, enum ww_membrane_way way, struct ww_cap *inner, struct ww_cap **ret_cap)
{
    struct wrapper *w = WW_NEW(struct wrapper);
    if (!w)
        return WW_ENOMEM;
    w->server.ops = &wrapper_ops;
    w->way = (uint8_t)way;
    w->task.run = outer_follow;
    w->waiter.resolved = inner_resolved;
    ww_list_init(&w->node);
    ww_list_init(&w->waiter.node);
    ww_list_init(&w->task.node);
    ww_err err = ww_cap_new_server(m->vat, &w->server, &w->self);
    if (err < 0) {
        ww_free(w);
        return err;
    }
    w->membrane = ww_membrane_ref(m);
    w->inner = ww_cap_ref(inner);
    ww_list_push_back(&m->wrappers, &w->node);
    struct ww_cap *cap = w->self;
    if (inner->kind == CAP_PROMISE) {
        cap = ww_rpc_promise_new(m->vat, w->self);
        ww_cap_unref(w->self);
        if (!cap)
            return WW_ENOMEM;
        w->outer = cap;
        ww_rpc_promise_watch(inner, &w->waiter);
    }
    if (ww_rpc_idmap_put(&m->faces[way], key_of(inner), w) == 0) /* else the next one will be another */
        w->key = inner;
    *ret_cap = cap;
    return 0;
}

/* The wrapper that exists, if it is not about to go. */
static struct ww_cap *face_find(struct ww_membrane *m, enum ww_membrane_way way, struct ww_cap *inner)
{
    struct wrapper *w = ww_rpc_idmap_get(&m->faces[way], key_of(inner));
    if (!w)
        return NULL;
    struct ww_cap *face = inner->kind == CAP_PROMISE ? w->outer : w->self;
    if (face && face->refs > 0)
        return ww_cap_ref(face);
    face_forget(w);
    return NULL;
}

static ww_err broken_new(struct ww_membrane *m, struct ww_cap **ret_cap)
{
    *ret_cap = ww_rpc_broken_new(m->vat, ww_rpc_exc_ref(m->revoked));
    return *ret_cap ? 0 : WW_ENOMEM;
}

static ww_err pass(
    struct ww_membrane *m, enum ww_membrane_way way, struct ww_cap *cap, struct ww_cap **ret_cap)
{
    struct ww_cap *inner = ww_rpc_cap_inner(cap);
    if (!inner || inner->kind == CAP_BROKEN) {
        *ret_cap = ww_cap_ref(inner);
        return 0;
    }
    if (m->revoked)
        return broken_new(m, ret_cap);
    struct wrapper *w = wrapper_of(inner);
    if (w && w->membrane == m) {
        *ret_cap = ww_cap_ref(w->way == way ? inner : w->inner);
        return 0;
    }
    struct ww_cap *other = NULL;
    if (m->policy->ops->cap)
        WW_TRY(m->policy->ops->cap(m->policy, way, inner, &other));
    *ret_cap = other ? other : face_find(m, way, inner);
    return *ret_cap ? 0 : wrapper_new(m, way, inner, ret_cap);
}

ww_err ww_membrane_pass(
    struct ww_membrane *membrane, enum ww_membrane_way way, struct ww_cap *cap, struct ww_cap **ret_cap)
{
    struct ww_rpc_vat *vat = membrane->vat;
    *ret_cap = NULL;
    ww_rpc_enter(vat);
    ww_err err = pass(membrane, way, cap, ret_cap);
    ww_rpc_leave(vat);
    return err;
}

/* ---- calls */

static ww_err caps_pass(struct ww_membrane *m, enum ww_membrane_way way, const struct ww_pr *root)
{
    struct ww_msg *msg = root->seg->msg;
    for (uint32_t i = 0; msg && i < msg->cap_count; i++) {
        struct ww_cap *to, *cap = msg->caps[i];
        if (!cap)
            continue;
        WW_TRY(ww_membrane_pass(m, way, cap, &to));
        msg->caps[i] = to;
        ww_cap_unref(cap);
    }
    return 0;
}

static ww_err cross(struct ww_rpc_call *call, struct wrapper *w)
{
    struct ww_rpc_crossing *x = WW_NEW(struct ww_rpc_crossing);
    if (!x)
        return WW_ENOMEM;
    struct ww_pr params = ww_rpc_params_reader(call);
    ww_err err = caps_pass(w->membrane, (enum ww_membrane_way) !w->way, &params);
    if (err < 0) {
        ww_free(x);
        return err;
    }
    x->membrane = ww_membrane_ref(w->membrane);
    x->call = call;
    x->way = w->way;
    x->next = call->crossing;
    call->crossing = x;
    ww_list_push_back(&w->membrane->crossings, &x->node);
    return 0;
}

static void wrapper_dispatch(struct ww_rpc_server *server, struct ww_rpc_call *call)
{
    struct wrapper *w = WW_CONTAINER_OF(server, struct wrapper, server);
    struct ww_membrane *m = w->membrane;
    if (m->revoked) {
        ww_rpc_call_fail_now(call, ww_rpc_exc_ref(m->revoked));
        return;
    }
    struct ww_cap *to = NULL;
    const char *reason = NULL;
    ww_err err = 0;
    if (m->policy->ops->call)
        err = m->policy->ops->call(m->policy, (enum ww_membrane_way) !w->way, call, w->inner, &to, &reason);
    if (err == 0 && !to && !m->revoked && !call->severed) {
        to = ww_cap_ref(w->inner);
        err = cross(call, w);
    }
    if (call->severed) { /* the policy revoked another membrane, which the call crossed before */
        ww_rpc_crossings_drop(call);
        ww_cap_unref(to);
        ww_rpc_call_let_go(call, NULL);
        return;
    }
    if (m->revoked && err == 0) {
        ww_cap_unref(to);
        ww_rpc_call_fail_now(call, ww_rpc_exc_ref(m->revoked));
        return;
    }
    ww_rpc_enter(m->vat);
    struct ww_rpc_vat *vat = m->vat;
    if (err < 0) {
        ww_rpc_call_fail_now(
            call, ww_rpc_exc_new(vat, err, ww_bytes_str(reason ? reason : ww_err_text(err))));
    } else {
        call->state = CALL_NEW;
        ww_rpc_route(call, to);
    }
    ww_cap_unref(to);
    ww_rpc_leave(vat);
}

static void crossing_free(struct ww_rpc_crossing *x)
{
    ww_list_remove(&x->node);
    ww_membrane_unref(x->membrane);
    ww_free(x);
}

void ww_rpc_crossings_drop(struct ww_rpc_call *call)
{
    struct ww_rpc_crossing *x;
    while ((x = call->crossing)) {
        call->crossing = x->next;
        crossing_free(x);
    }
}

void ww_rpc_crossings_done(struct ww_rpc_call *call)
{
    struct ww_rpc_crossing *x;
    while ((x = call->crossing)) {
        ww_err err = 0;
        struct ww_rpc_exc *exc = x->membrane->revoked;
        if (!exc && !call->exc) {
            struct ww_pr results = ww_rpc_results_reader(call);
            err = caps_pass(x->membrane, (enum ww_membrane_way)x->way, &results);
        }
        if (exc || err < 0) {
            struct ww_rpc_exc *why = exc
                ? ww_rpc_exc_ref(exc)
                : ww_rpc_exc_new(call->vat, err, WW_BYTES_LIT("the results may not pass"));
            ww_rpc_exc_unref(call->exc);
            call->exc = why;
            ww_rpc_results_drop(call);
            ww_rpc_call_unref(call->outcome); /* what the other call has is not for who asked this one */
            call->outcome = NULL;
        }
        call->crossing = x->next;
        crossing_free(x);
    }
}

ww_err ww_rpc_crossings_pass(struct ww_rpc_call *call, struct ww_cap *cap, struct ww_cap **ret_cap)
{
    struct ww_cap *at = ww_cap_ref(cap);
    for (struct ww_rpc_crossing *x = call->crossing; x; x = x->next) {
        struct ww_cap *to;
        ww_err err = ww_membrane_pass(x->membrane, (enum ww_membrane_way)x->way, at, &to);
        ww_cap_unref(at);
        if (err < 0)
            return err;
        at = to;
    }
    *ret_cap = at;
    return 0;
}

/* ---- revocation */

static void wrapper_revoke(struct wrapper *w)
{
    struct ww_cap *inner = w->inner;
    face_forget(w);
    ww_list_remove(&w->waiter.node);
    w->inner = NULL;
    if (w->outer)
        outer_follow_later(w);
    ww_cap_unref(inner);
}

void ww_membrane_revoke(struct ww_membrane *m, ww_err err, const char *reason)
{
    if (m->revoked)
        return;
    struct ww_rpc_vat *vat = m->vat;
    ww_rpc_enter(vat);
    (void)ww_membrane_ref(m);
    m->revoked = ww_rpc_exc_new(vat, err, ww_bytes_str(reason ? reason : ww_err_text(err)));
    struct ww_list crossings;
    ww_list_init(&crossings);
    ww_list_splice_back(&crossings, &m->crossings);
    struct ww_list *node;
    while ((node = ww_list_pop_front(&crossings))) {
        ww_list_push_back(&m->crossings, node);
        ww_rpc_call_sever(WW_LIST_ENTRY(node, struct ww_rpc_crossing, node)->call, m->revoked);
    }
    for (node = m->wrappers.next; node != &m->wrappers; node = node->next)
        wrapper_revoke(WW_LIST_ENTRY(node, struct wrapper, node));
    ww_membrane_unref(m);
    ww_rpc_leave(vat);
}
