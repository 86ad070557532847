/* Nodes of the capability graph: making them, counting them, and promises. */
#include "rpc/internal.h"

static void cap_ref_op(struct ww_cap *cap)
{
    (void)ww_cap_ref(cap);
}

const struct ww_cap_ops ww_rpc_cap_ops = {.ref = cap_ref_op, .unref = ww_cap_unref};

struct ww_cap *ww_rpc_cap_alloc(struct ww_rpc_vat *vat, enum ww_cap_kind kind)
{
    struct ww_list *node = ww_list_pop_front(&vat->free_caps);
    struct ww_cap *cap;
    if (node) {
        cap = WW_LIST_ENTRY(node, struct ww_cap, node);
        memset(cap, 0, sizeof *cap);
        vat->free_cap_count--;
    } else {
        cap = WW_NEW(struct ww_cap);
        if (!cap)
            return NULL;
    }
    ww_list_init(&cap->node);
    cap->refs = 1;
    cap->kind = (uint8_t)kind;
    cap->vat = ww_rpc_vat_ref(vat);
    return cap;
}

static void cap_recycle(struct ww_cap *cap)
{
    struct ww_rpc_vat *vat = cap->vat;
    WW_ASSERT(cap->exported == 0);
    if (vat->free_cap_count < WW_RPC_POOL_CAPS && !vat->freed) {
        ww_list_push_front(&vat->free_caps, &cap->node);
        vat->free_cap_count++;
    } else {
        ww_free(cap);
    }
    ww_rpc_vat_unref(vat);
}

struct ww_cap *ww_cap_ref(struct ww_cap *cap)
{
    if (cap) {
        WW_ASSERT(cap->refs < UINT32_MAX);
        cap->refs++;
    }
    return cap;
}

void ww_cap_unref(struct ww_cap *cap)
{
    if (!cap)
        return;
    WW_ASSERT(cap->refs > 0);
    struct ww_rpc_vat *vat = cap->vat;
    ww_rpc_enter(vat);
    if (--cap->refs == 0) {
        ww_list_remove(&cap->node); /* a doomed node may have been used once more */
        ww_list_push_back(&vat->doomed, &cap->node);
    } else if (cap->refs == 1 && (cap->flags & CAP_MEMO)) {
        ww_rpc_call_abandoned(cap->promise.owner);
    } else if (cap->refs == 1 && cap->kind == CAP_PIPE) { /* its promise alone has it still */
        ww_rpc_call_abandoned(cap->pipe.call);
    }
    ww_rpc_leave(vat);
}

/* Calls that wait on a promise which nobody can resolve any more. */
static void queue_fail(struct ww_cap *p, struct ww_rpc_exc *exc)
{
    struct ww_list *node;
    while ((node = ww_list_pop_front(&p->promise.queue))) {
        struct ww_rpc_call *call = WW_LIST_ENTRY(node, struct ww_rpc_call, task.node);
        ww_rpc_call_unqueue(call);
        ww_rpc_call_fail_later(call, ww_rpc_exc_ref(exc));
    }
}

static void promise_destroy(struct ww_cap *p)
{
    queue_fail(p, p->vat->exc_dropped);
    while (!ww_list_empty(&p->promise.watches))
        ww_list_remove(p->promise.watches.next);
    if (p->promise.via && p->promise.via->kind == CAP_IMPORT && p->promise.via->import.wrapper == p)
        p->promise.via->import.wrapper = NULL;
    if (p->promise.via && p->promise.via->kind == CAP_SERVER)
        ww_rpc_membrane_outer_gone(p);
    ww_cap_unref(p->promise.via);
    ww_cap_unref(p->promise.to);
}

void ww_rpc_cap_destroy(struct ww_cap *cap)
{
    WW_ASSERT(cap->refs == 0);
    switch ((enum ww_cap_kind)cap->kind) {
    case CAP_SERVER:
        if (!(cap->flags & CAP_DROPPING)) {
            ww_rpc_local_drop(cap);
            return;
        }
        ww_rpc_exc_unref(cap->local.broken);
        break;
    case CAP_IMPORT:
        ww_rpc_import_destroy(cap);
        break;
    case CAP_PIPE: {
        struct ww_rpc_call *call = cap->pipe.call;
        cap->pipe.pipe->raw = NULL;
        call->q.wires--;
        ww_rpc_question_check(call);
        ww_rpc_call_unref(call);
        break;
    }
    case CAP_PROMISE:
        promise_destroy(cap);
        break;
    case CAP_BROKEN:
        ww_rpc_exc_unref(cap->exc);
        break;
    }
    cap_recycle(cap);
}

ww_err ww_cap_new_server(struct ww_rpc_vat *vat, struct ww_rpc_server *server, struct ww_cap **ret_cap)
{
    struct ww_cap *cap = ww_rpc_cap_alloc(vat, CAP_SERVER);
    if (!cap)
        return WW_ENOMEM;
    cap->local.server = server;
    ww_list_init(&cap->local.queue);
    ww_list_init(&cap->local.task.node);
    *ret_cap = cap;
    return 0;
}

struct ww_cap *ww_rpc_broken_new(struct ww_rpc_vat *vat, struct ww_rpc_exc *exc)
{
    struct ww_cap *cap = ww_rpc_cap_alloc(vat, CAP_BROKEN);
    if (!cap) {
        ww_rpc_exc_unref(exc);
        return NULL;
    }
    cap->exc = exc;
    return cap;
}

ww_err ww_cap_new_broken(struct ww_rpc_vat *vat, ww_err err, const char *reason, struct ww_cap **ret_cap)
{
    struct ww_rpc_exc *exc = ww_rpc_exc_new(vat, err, ww_bytes_str(reason ? reason : ww_err_text(err)));
    struct ww_cap *cap = ww_rpc_broken_new(vat, exc);
    if (!cap)
        return WW_ENOMEM;
    *ret_cap = cap;
    return 0;
}

struct ww_cap *ww_rpc_promise_new(struct ww_rpc_vat *vat, struct ww_cap *via)
{
    struct ww_cap *p = ww_rpc_cap_alloc(vat, CAP_PROMISE);
    if (!p)
        return NULL;
    ww_list_init(&p->promise.queue);
    ww_list_init(&p->promise.watches);
    p->promise.via = ww_cap_ref(via);
    return p;
}

/* The node itself: a reference that is counted like any other, under a name of its own. */
struct ww_cap_resolver {
    struct ww_cap promise;
};

ww_err ww_cap_new_promise(
    struct ww_rpc_vat *vat, struct ww_cap **ret_cap, struct ww_cap_resolver **ret_resolver)
{
    struct ww_cap *p = ww_rpc_promise_new(vat, NULL);
    if (!p)
        return WW_ENOMEM;
    *ret_cap = p;
    *ret_resolver = (struct ww_cap_resolver *)ww_cap_ref(p);
    return 0;
}

struct ww_cap *ww_rpc_cap_inner(struct ww_cap *cap)
{
    while (cap && cap->kind == CAP_PROMISE && cap->promise.to)
        cap = cap->promise.to;
    return cap;
}

struct ww_rpc_conn *ww_rpc_cap_conn(const struct ww_cap *cap)
{
    if (cap->kind == CAP_PROMISE && !cap->promise.to)
        cap = cap->promise.via;
    if (!cap)
        return NULL;
    if (cap->kind == CAP_IMPORT)
        return cap->import.conn;
    return cap->kind == CAP_PIPE ? cap->pipe.call->q.conn : NULL;
}

struct ww_rpc_server *ww_cap_server(struct ww_cap *cap, const struct ww_rpc_server_ops *ops)
{
    cap = ww_rpc_cap_inner(cap);
    return cap && cap->kind == CAP_SERVER && cap->local.server->ops == ops ? cap->local.server : NULL;
}

/* Calls on what was described to the peer go the long way for good. What else is known of that way, a step
 * on: the promise that waits for its outcome, or what it turned out to be. */
static struct ww_cap *known_step(const struct ww_cap *cap)
{
    if (cap->kind == CAP_PIPE)
        return cap->pipe.pipe->promise;
    if (cap->kind == CAP_IMPORT)
        return cap->import.wrapper ? cap->import.wrapper : cap->import.to;
    return NULL;
}

struct ww_cap *ww_rpc_cap_known(const struct ww_cap *cap)
{
    struct ww_cap *at = ww_rpc_cap_inner((struct ww_cap *)cap), *next = at;
    uint32_t hops = at ? at->vat->limits.resolve_hops : 0; /* a peer can make them lead in a ring */
    for (; hops > 0 && next; hops--) {
        at = next;
        next = ww_rpc_cap_inner(known_step(at));
    }
    return at;
}

bool ww_rpc_cap_is_open(const struct ww_cap *cap)
{
    return cap->kind == CAP_PROMISE ||
        (cap->kind == CAP_IMPORT && cap->import.promise && !(cap->flags & CAP_SETTLED_));
}

enum ww_cap_state ww_cap_state(const struct ww_cap *cap)
{
    cap = ww_rpc_cap_known(cap);
    if (!cap)
        return WW_CAP_NULL;
    if (cap->kind == CAP_BROKEN)
        return cap->flags & CAP_NULL_ ? WW_CAP_NULL : WW_CAP_BROKEN;
    return ww_rpc_cap_is_open(cap) ? WW_CAP_PROMISE : WW_CAP_SETTLED;
}

bool ww_cap_same(const struct ww_cap *a, const struct ww_cap *b)
{
    a = ww_rpc_cap_known(a);
    b = ww_rpc_cap_known(b);
    bool a_null = !a || (a->kind == CAP_BROKEN && (a->flags & CAP_NULL_));
    bool b_null = !b || (b->kind == CAP_BROKEN && (b->flags & CAP_NULL_));
    return a == b || (a_null && b_null);
}

void ww_rpc_promise_kick(struct ww_cap *p)
{
    if (p->flags & CAP_KICKED || ww_list_empty(&p->promise.queue))
        return;
    p->flags |= CAP_KICKED;
    p->refs++; /* until it was flushed */
    ww_list_push_back(&p->vat->kicked, &p->node);
}

/* Calls routed to `p` meanwhile queue up behind, because CAP_KICKED is still set. */
void ww_rpc_promise_flush(struct ww_cap *p)
{
    struct ww_cap *dest = p->promise.to ? p->promise.to : p->promise.via;
    WW_ASSERT(dest);
    struct ww_list *node;
    while ((node = ww_list_pop_front(&p->promise.queue))) {
        struct ww_rpc_call *call = WW_LIST_ENTRY(node, struct ww_rpc_call, task.node);
        ww_rpc_call_unqueue(call);
        if (dest == p->promise.via)
            p->flags |= CAP_CALLS_SENT;
        ww_rpc_route(call, dest);
    }
    p->flags &= (uint8_t)~CAP_KICKED;
    ww_cap_unref(p);
}

void ww_rpc_promise_watch(struct ww_cap *p, struct ww_rpc_waiter *waiter)
{
    WW_ASSERT(p->kind == CAP_PROMISE && !p->promise.to);
    ww_list_push_back(&p->promise.watches, &waiter->node);
}

/* In this order: calls on their way, what others see, who wants to know. */
void ww_rpc_promise_settle(struct ww_cap *p, struct ww_cap *to)
{
    WW_ASSERT(p->kind == CAP_PROMISE && !p->promise.to);
    p->refs++;
    struct ww_cap *via = p->promise.via;
    p->promise.to = ww_cap_ref(to);
    p->promise.via = NULL;
    if (via && via->kind == CAP_IMPORT && via->import.wrapper == p)
        via->import.wrapper = NULL;
    ww_rpc_promise_kick(p);
    struct ww_list waiters;
    ww_list_init(&waiters);
    ww_list_splice_back(&waiters, &p->promise.watches);
    struct ww_list *node;
    while ((node = ww_list_pop_front(&waiters))) {
        struct ww_rpc_waiter *waiter = WW_LIST_ENTRY(node, struct ww_rpc_waiter, node);
        waiter->resolved(waiter, p);
    }
    ww_cap_unref(via);
    ww_cap_unref(p);
}

void ww_rpc_promise_reject(struct ww_cap *p, struct ww_rpc_exc *exc)
{
    struct ww_cap *broken = ww_rpc_broken_new(p->vat, ww_rpc_exc_ref(exc));
    /* Without memory for a node of its own it leads to the vat's null: broken all the same. */
    ww_rpc_promise_settle(p, broken ? broken : p->vat->null_cap);
    ww_cap_unref(broken);
}

/* Does a call on `to` take the same way through the peer as one on `p`? Then it cannot overtake. */
static bool same_way(struct ww_rpc_conn *conn, struct ww_cap *to, struct ww_cap *inner)
{
    for (struct ww_cap *at = to; at != inner; at = at->promise.to) {
        if (at->flags & CAP_LOOPED)
            return false;
    }
    return ww_rpc_cap_conn(inner) == conn;
}

bool ww_rpc_promise_loops(struct ww_cap *p, struct ww_cap *to)
{
    struct ww_cap *inner = ww_rpc_cap_inner(to);
    struct ww_rpc_conn *conn = ww_rpc_cap_conn(p);
    return inner && inner != p && inner->kind != CAP_BROKEN && conn && (p->flags & CAP_CALLS_SENT) &&
        !same_way(conn, to, inner);
}

void ww_rpc_promise_resolve(struct ww_cap *p, struct ww_cap *to)
{
    struct ww_cap *inner = ww_rpc_cap_inner(to);
    if (!inner)
        inner = to = p->vat->null_cap;
    if (inner == p || (inner == p->promise.via && inner)) {
        struct ww_rpc_exc *exc =
            ww_rpc_exc_new(p->vat, WW_EFAILED, WW_BYTES_LIT("promise resolved to itself"));
        ww_rpc_promise_reject(p, exc);
        ww_rpc_exc_unref(exc);
        return;
    }
    if (inner->kind == CAP_PROMISE) {
        if (p->promise.hops >= p->vat->limits.resolve_hops) {
            struct ww_rpc_exc *exc =
                ww_rpc_exc_new(p->vat, WW_EFAILED, WW_BYTES_LIT("too many promises lead to one another"));
            ww_rpc_promise_reject(p, exc);
            ww_rpc_exc_unref(exc);
            return;
        }
        if (inner->promise.hops <= p->promise.hops)
            inner->promise.hops = p->promise.hops + 1;
    }
    struct ww_rpc_conn *conn = ww_rpc_cap_conn(p);
    if (!conn || !(p->flags & CAP_CALLS_SENT) || inner->kind == CAP_BROKEN) {
        ww_rpc_promise_settle(p, to);
        return;
    }
    if (same_way(conn, to, inner)) {
        if (inner->kind == CAP_PROMISE)
            inner->flags |=
                CAP_CALLS_SENT; /* should it come home later, it has to wait for these calls too */
        ww_rpc_promise_settle(p, to);
        return;
    }
    struct ww_cap *embargo = ww_rpc_embargo_begin(conn, p, to);
    if (!embargo) { /* that was the connection's end, which settles only what is still to come */
        if (!p->promise.to)
            ww_rpc_promise_reject(p, conn->close_exc);
        return;
    }
    if (!p->promise.to) /* else the Disembargo could not be sent, and that was the end, too */
        ww_rpc_promise_settle(p, embargo);
    ww_cap_unref(embargo);
}

void ww_cap_resolver_resolve(struct ww_cap_resolver *resolver, struct ww_cap *to)
{
    struct ww_cap *p = &resolver->promise;
    struct ww_rpc_vat *vat = p->vat;
    ww_rpc_enter(vat);
    if (vat->freed) /* nothing moves any more, and there is no null */
        ww_rpc_promise_reject(p, vat->exc_dropped);
    else
        ww_rpc_promise_resolve(p, to);
    ww_cap_unref(p);
    ww_rpc_leave(vat);
}

void ww_cap_resolver_reject(struct ww_cap_resolver *resolver, ww_err err, const char *reason)
{
    struct ww_cap *p = &resolver->promise;
    struct ww_rpc_vat *vat = p->vat;
    ww_rpc_enter(vat);
    struct ww_rpc_exc *exc = ww_rpc_exc_new(vat, err, ww_bytes_str(reason ? reason : ww_err_text(err)));
    ww_rpc_promise_reject(p, exc);
    ww_rpc_exc_unref(exc);
    ww_cap_unref(p);
    ww_rpc_leave(vat);
}

void ww_cap_resolver_free(struct ww_cap_resolver *resolver)
{
    if (!resolver)
        return;
    struct ww_cap *p = &resolver->promise;
    struct ww_rpc_vat *vat = p->vat;
    ww_rpc_enter(vat);
    ww_rpc_promise_reject(p, vat->exc_dropped);
    ww_cap_unref(p);
    ww_rpc_leave(vat);
}
