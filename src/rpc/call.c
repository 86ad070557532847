/* The life of a call, whichever side began it. */
#include "rpc/internal.h"

struct ww_rpc_call *ww_rpc_call_alloc(struct ww_rpc_vat *vat)
{
    struct ww_list *node = ww_list_pop_front(&vat->free_calls);
    struct ww_rpc_call *call;
    if (node) {
        call = WW_LIST_ENTRY(node, struct ww_rpc_call, task.node);
        memset(call, 0, offsetof(struct ww_rpc_call, params));
        vat->free_call_count--;
    } else {
        /* As large as the request that wraps it, because either name may be given to the application. */
        call = ww_calloc(1, sizeof(struct ww_rpc_request));
        if (!call)
            return NULL;
        ww_msg_init(&call->params, &ww_rpc_cap_ops);
        ww_msg_init(&call->results, &ww_rpc_cap_ops);
    }
    ww_list_init(&call->task.node);
    ww_list_init(&call->cancel_task.node);
    ww_list_init(&call->idle_node);
    ww_list_init(&call->q.dependents);
    ww_list_init(&call->q.dependent);
    call->vat = ww_rpc_vat_ref(vat);
    call->refs = 1;
    call->interest = true;
    return call;
}

void ww_rpc_call_unref(struct ww_rpc_call *call)
{
    if (!call)
        return;
    WW_ASSERT(call->refs > 0);
    if (--call->refs > 0)
        return;
    struct ww_rpc_vat *vat = call->vat;
    ww_rpc_enter(vat);
    ww_list_remove(&call->cancel_task.node);
    ww_list_push_back(&vat->doomed_calls, &call->task.node);
    ww_rpc_leave(vat);
}

void ww_rpc_call_destroy(struct ww_rpc_call *call)
{
    WW_ASSERT(call->refs == 0 && !call->q.conn && !call->a.conn);
    struct ww_rpc_vat *vat = call->vat;
    ww_list_remove(&call->q.dependent);
    ww_rpc_pipes_free(call);
    ww_rpc_msg_recycle(call->vat, &call->params);
    ww_rpc_msg_recycle(call->vat, &call->results);
    ww_rpc_exc_unref(call->exc);
    ww_rpc_call_unref(call->outcome);
    ww_rpc_call_unref(call->parent);
    ww_cap_unref(call->target);
    ww_rpc_ids_free(&call->q.exports);
    ww_rpc_ids_free(&call->a.exports);
    if (vat->free_call_count < WW_RPC_POOL_CALLS && !vat->freed) {
        ww_list_push_front(&vat->free_calls, &call->task.node);
        vat->free_call_count++;
    } else {
        ww_msg_fini(&call->params);
        ww_msg_fini(&call->results);
        ww_free(call);
    }
    ww_rpc_vat_unref(vat);
}

/* The header of a Call, up to where its parameters go. */
struct ww_sb ww_rpc_call_header(struct ww_msg *m, uint64_t iface, uint16_t method, struct ww_pb *ret_params)
{
    struct ww_sb msg = ww_pb_init_struct(ww_msg_root_builder(m), 1, 1);
    ww_sb_set_u16(msg, 0, WW_RPC_CALL);
    struct ww_sb call = ww_pb_init_struct(ww_sb_ptr(msg, 0), 3, 3);
    ww_sb_set_u64(call, 1, iface);
    ww_sb_set_u16(call, 2, method);
    *ret_params = ww_sb_ptr(ww_pb_init_struct(ww_sb_ptr(call, 1), 0, 2), 0);
    return call;
}

/* The call is built in the form in which it would go over the wire, because where it ends may be known only
 * later. */
ww_err ww_rpc_params_begin(struct ww_rpc_call *call, uint32_t words)
{
    enum { HEADER_WORDS = 13, TAIL_WORDS = 6 };
    struct ww_msg *m = &call->params;
    if (words < UINT32_MAX - HEADER_WORDS - TAIL_WORDS)
        ww_msg_hint(m, words ? words + HEADER_WORDS + TAIL_WORDS : ww_rpc_msg_words(m));
    ww_rpc_msg_reserve(call->vat, m, (uint64_t)m->hint * 8 + 8);
    call->call_b = ww_rpc_call_header(m, call->iface, call->method, &call->params_b);
    call->params_built = true;
    return ww_msg_err(m);
}

void ww_rpc_results_begin(struct ww_rpc_call *call, uint32_t words)
{
    enum { HEADER_WORDS = 8, TAIL_WORDS = 4 };
    if (call->results_built)
        return;
    struct ww_msg *m = &call->results;
    if (words < UINT32_MAX - HEADER_WORDS - TAIL_WORDS)
        ww_msg_hint(m, words ? words + HEADER_WORDS + TAIL_WORDS : ww_rpc_msg_words(m));
    ww_rpc_msg_reserve(call->vat, m, (uint64_t)m->hint * 8 + 8);
    struct ww_sb msg = ww_pb_init_struct(ww_msg_root_builder(m), 1, 1);
    ww_sb_set_u16(msg, 0, WW_RPC_RETURN);
    call->return_b = ww_pb_init_struct(ww_sb_ptr(msg, 0), 2, 1);
    struct ww_sb payload = ww_pb_init_struct(ww_sb_ptr(call->return_b, 0), 0, 2);
    call->results_b = ww_sb_ptr(payload, 0);
    call->results_built = true;
}

static struct ww_pr null_reader(struct ww_msg *m)
{
    return (struct ww_pr){.seg = &m->seg0, .at = ww_capnp_null_, .depth = 1};
}

struct ww_pr ww_rpc_params_reader(struct ww_rpc_call *call)
{
    if (call->params_built)
        return ww_pb_reader(call->params_b);
    return call->params_r.at ? call->params_r : null_reader(&call->params);
}

struct ww_rpc_call *ww_rpc_call_outcome(struct ww_rpc_call *call)
{
    while (call->outcome)
        call = call->outcome;
    return call;
}

struct ww_pr ww_rpc_results_reader(struct ww_rpc_call *call)
{
    call = ww_rpc_call_outcome(call);
    if (call->exc || !call->has_results)
        return null_reader(&call->results);
    if (call->results_built)
        return ww_pb_reader(call->results_b);
    return call->results_r.at ? call->results_r : null_reader(&call->results);
}

void ww_rpc_call_drop_params(struct ww_rpc_call *call)
{
    if (!call->params_built && call->params_err == 0)
        call->params_err = ww_msg_err(&call->params);
    call->params_built = false;
    call->params_r = (struct ww_pr){0};
    call->params_b = (struct ww_pb){0};
    ww_rpc_msg_recycle(call->vat, &call->params);
    ww_rpc_answer_uncharge(call);
}

/* An exception takes the place of results that were begun, or nobody can ask for them again. What is on its
 * way to the peer stays in place until it is written: of that, only the references go. */
void ww_rpc_results_drop(struct ww_rpc_call *call)
{
    if (call->results_lent)
        (void)ww_msg_cap_slots(&call->results, 0);
    else if (call->results_built)
        ww_rpc_msg_recycle(call->vat, &call->results);
    call->results_built = call->has_results = false;
}

static void fail_task(struct ww_rpc_task *task)
{
    struct ww_rpc_call *call = WW_CONTAINER_OF(task, struct ww_rpc_call, task);
    ww_rpc_call_complete(call);
}

void ww_rpc_call_fail_later(struct ww_rpc_call *call, struct ww_rpc_exc *exc)
{
    if (call->sink ==
        SINK_DISEMBARGO) { /* the way that it was to flush is gone: nothing can overtake on it */
        ww_rpc_exc_unref(exc);
        ww_rpc_disembargo_free(call);
        return;
    }
    ww_rpc_exc_unref(call->exc);
    call->exc = exc;
    call->state = CALL_READY;
    call->task.run = fail_task;
    ww_rpc_task_push(call->vat, &call->task);
}

static void fail_overloaded(struct ww_rpc_call *call, const char *text)
{
    ww_rpc_call_fail_later(call, ww_rpc_exc_new(call->vat, WW_EOVERLOADED, ww_bytes_str(text)));
}

/* Is the outcome of `call` itself in its way, when it waits in `p`? Only if something is pipelined on it, or
 * it is another's outcome; and how far a peer can make us look is limited. */
static bool waits_for_itself(const struct ww_cap *p, const struct ww_rpc_call *call)
{
    unsigned hops = call->pipes || call->parent ? WW_RPC_ROOT_HOPS : 0;
    while (p->flags & CAP_MEMO && hops > 0) {
        const struct ww_rpc_call *owner = p->promise.owner;
        while (owner != call && owner->state == CALL_FORWARDED && owner->child && hops > 0) {
            hops--;
            owner = owner->child;
        }
        if (owner == call)
            return true;
        if (owner->state != CALL_QUEUED || hops == 0)
            break;
        p = owner->queued_in;
        hops--;
    }
    return false;
}

void ww_rpc_call_unqueue(struct ww_rpc_call *call)
{
    call->queued_in->promise.queued--;
}

static void promise_enqueue(struct ww_cap *p, struct ww_rpc_call *call)
{
    if (p->promise.queued >= p->vat->limits.queued_calls) {
        fail_overloaded(call, "too many calls wait for one promise");
        return;
    }
    if (waits_for_itself(p, call)) {
        ww_rpc_call_fail_later(
            call, ww_rpc_exc_new(call->vat, WW_EFAILED, WW_BYTES_LIT("the call waits for its own result")));
        return;
    }
    call->state = CALL_QUEUED;
    p->promise.queued++;
    call->queued_in = p;
    ww_list_push_back(&p->promise.queue, &call->task.node);
    /* What the call waits in holds the call, not the other way round. */
    ww_cap_unref(call->target);
    call->target = NULL;
}

static void local_enqueue(struct ww_cap *cap, struct ww_rpc_call *call)
{
    struct ww_cap *old = call->target;
    call->target = ww_cap_ref(cap);
    ww_cap_unref(old);
    if (call->params_built && ww_msg_err(&call->params) < 0) {
        ww_rpc_call_fail_later(call,
            ww_rpc_exc_new(
                call->vat, ww_msg_err(&call->params), WW_BYTES_LIT("parameters could not be built")));
        return;
    }
    call->state = CALL_READY;
    call->task.run = ww_rpc_local_deliver;
    ww_rpc_task_push(call->vat, &call->task);
}

void ww_rpc_route(struct ww_rpc_call *call, struct ww_cap *cap)
{
    if (call->sink == SINK_DISEMBARGO) {
        ww_rpc_disembargo_arrived(call, cap);
        return;
    }
    while (cap->kind == CAP_PROMISE) {
        struct ww_cap *next = cap->promise.to ? cap->promise.to : cap->promise.via;
        if (!next || (cap->flags & CAP_KICKED)) {
            promise_enqueue(cap, call);
            return;
        }
        if (!cap->promise.to)
            cap->flags |= CAP_CALLS_SENT;
        cap = next;
    }
    switch ((enum ww_cap_kind)cap->kind) {
    case CAP_SERVER:
        local_enqueue(cap, call);
        return;
    case CAP_IMPORT:
    case CAP_PIPE:
        ww_rpc_question_send(call, cap);
        return;
    case CAP_BROKEN:
        ww_rpc_call_fail_later(call, ww_rpc_exc_ref(cap->exc));
        return;
    case CAP_PROMISE:
        break;
    }
}

static void app_done(struct ww_rpc_task *task)
{
    struct ww_rpc_call *call = WW_CONTAINER_OF(task, struct ww_rpc_call, task);
    if (call->handle && call->wait && !call->vat->freed) {
        struct ww_rpc_wait *wait = call->wait;
        call->wait = NULL;
        wait->done(wait, (struct ww_rpc_request *)call);
    }
    ww_rpc_call_unref(call);
}

/* What a call's parent, which completes next, gets of it. Takes the parent off; a reference comes with it. */
static struct ww_rpc_call *parent_take(struct ww_rpc_call *child)
{
    struct ww_rpc_call *parent = child->parent;
    if (!parent)
        return NULL;
    child->parent = NULL;
    parent->child = NULL;
    parent->outcome = ww_rpc_call_ref(ww_rpc_call_outcome(child));
    if (child->exc && !parent->exc)
        parent->exc = ww_rpc_exc_ref(child->exc);
    return parent;
}

static struct ww_rpc_call *tell(struct ww_rpc_call *call)
{
    if (call->sink == SINK_ANSWER)
        ww_rpc_answer_return(call); /* before the promises: they follow what it described */
    ww_rpc_pipes_done(call);
    if (call->no_pipe && call->a.returned && !call->parent && !call->severed)
        ww_rpc_answer_forget(call);
    ww_rpc_question_settled(call);
    struct ww_rpc_call *parent = parent_take(call);
    if (call->sink == SINK_STREAM)
        ww_rpc_stream_acked(call);
    if (call->sink == SINK_APP && call->handle && call->wait) {
        call->task.run = app_done;
        ww_rpc_task_push(call->vat, &call->task);
    } else {
        ww_rpc_call_unref(call);
    }
    return parent;
}

static struct ww_rpc_call *complete(struct ww_rpc_call *call)
{
    WW_ASSERT(call->state != CALL_DONE);
    call->state = CALL_DONE;
    call->on_cancel = NULL;
    ww_list_remove(&call->cancel_task.node);
    ww_rpc_call_drop_params(call);
    if (call->crossing) {
        ww_rpc_pipes_under_done(call);
        ww_rpc_crossings_done(call);
    }
    if (call->target && call->target->kind == CAP_SERVER)
        ww_rpc_local_completed(call->target, call, call->exc);
    ww_cap_unref(call->target);
    call->target = NULL;
    return tell(call);
}

/* One after the other: a peer can make the chain long. */
static void parents_complete(struct ww_rpc_call *parent)
{
    while (parent) {
        struct ww_rpc_call *next = complete(parent);
        ww_rpc_call_unref(parent);
        parent = next;
    }
}

void ww_rpc_call_tell(struct ww_rpc_call *call)
{
    parents_complete(tell(call));
}

void ww_rpc_call_complete(struct ww_rpc_call *call)
{
    if (call->severed) {
        ww_rpc_call_let_go(call, NULL);
        return;
    }
    struct ww_rpc_vat *vat = call->vat;
    ww_rpc_enter(vat);
    parents_complete(complete(call));
    ww_rpc_leave(vat);
}

void ww_rpc_call_fail_now(struct ww_rpc_call *call, struct ww_rpc_exc *exc)
{
    if (call->severed) {
        ww_rpc_call_let_go(call, exc);
        return;
    }
    ww_rpc_exc_unref(call->exc);
    call->exc = exc;
    ww_rpc_results_drop(call);
    ww_rpc_call_complete(call);
}
