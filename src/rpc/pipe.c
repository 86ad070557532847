/* Promise pipelining: one promise for each result path of a call, so that all calls on one path share one
 * queue. */
#include "rpc/internal.h"

static struct ww_rpc_pipe *pipe_find(struct ww_rpc_call *call, const uint16_t *path, size_t len, bool under)
{
    for (struct ww_rpc_pipe *at = call->pipes; at; at = at->next) {
        if (!at->stale && at->under == under && at->len == len &&
            (len == 0 || memcmp(at->path, path, len * sizeof *path) == 0))
            return at;
    }
    return NULL;
}

static struct ww_cap *wire_new(struct ww_rpc_call *call, struct ww_rpc_pipe *pipe)
{
    struct ww_cap *raw = ww_rpc_cap_alloc(call->vat, CAP_PIPE);
    if (!raw)
        return NULL;
    raw->pipe.call = ww_rpc_call_ref(call);
    raw->pipe.pipe = pipe;
    pipe->raw = raw;
    call->q.wires++;
    return raw;
}

/* The capability at the path of an outcome: borrowed, or NULL for null; WW_EINVAL when there is something
 * else. */
static ww_err outcome_at(struct ww_rpc_call *call, const uint16_t *path, size_t len, struct ww_cap **ret_cap)
{
    struct ww_pr at = ww_rpc_results_reader(call);
    for (size_t i = 0; i < len; i++)
        at = ww_sr_ptr(ww_pr_struct(at), path[i]);
    switch (ww_pr_kind(at)) {
    case WW_PTR_NULL:
        *ret_cap = NULL;
        return 0;
    case WW_PTR_CAP:
        *ret_cap = ww_pr_cap(at);
        return 0;
    default:
        return WW_EINVAL;
    }
}

/* A new reference; NULL only without memory. */
static struct ww_cap *outcome_cap(struct ww_rpc_call *call, const uint16_t *path, size_t len)
{
    struct ww_rpc_vat *vat = call->vat;
    if (call->exc)
        return ww_rpc_broken_new(vat, ww_rpc_exc_ref(call->exc));
    struct ww_cap *cap;
    if (outcome_at(call, path, len, &cap) < 0)
        return ww_rpc_broken_new(
            vat, ww_rpc_exc_new(vat, WW_EFAILED, WW_BYTES_LIT("the result is no capability")));
    return ww_cap_ref(cap ? cap : vat->null_cap);
}

static void pipe_free(struct ww_rpc_pipe *pipe)
{
    pipe->promise->flags &= (uint8_t)~CAP_MEMO;
    pipe->promise->promise.owner = NULL;
    ww_cap_unref(pipe->promise);
    ww_free(pipe);
}

static ww_err pipe_add(
    struct ww_rpc_call *call, const uint16_t *path, size_t len, struct ww_rpc_pipe **ret_pipe)
{
    if (call->pipe_count >= WW_RPC_PIPES_MAX || len > UINT16_MAX)
        return WW_ELIMIT;
    size_t bytes = sizeof(struct ww_rpc_pipe) + len * sizeof *path;
    if (call->a.conn)
        WW_TRY(ww_rpc_answer_keep(call, bytes + sizeof(struct ww_cap)));
    struct ww_rpc_pipe *pipe = ww_alloc(bytes);
    if (!pipe)
        return WW_ENOMEM;
    pipe->promise = ww_rpc_promise_new(call->vat, NULL);
    if (!pipe->promise) {
        ww_free(pipe);
        return WW_ENOMEM;
    }
    pipe->promise->flags |= CAP_MEMO;
    pipe->promise->promise.owner = call;
    pipe->stale = pipe->under = false;
    pipe->raw = NULL;
    pipe->len = (uint16_t)len;
    if (len)
        memcpy(pipe->path, path, len * sizeof *path);
    pipe->next = call->pipes;
    call->pipes = pipe;
    call->pipe_count++;
    *ret_pipe = pipe;
    return 0;
}

/* Without memory for its way, a promise waits for the outcome; unless we shall not see that. */
static void pipe_fails(struct ww_rpc_call *call, struct ww_cap *promise)
{
    if (call->tail || call->q.high)
        ww_rpc_promise_reject(promise, call->vat->exc_memory);
}

/* Takes `cap` to the callers of `call`. */
static ww_err pipe_cross(struct ww_rpc_call *call, struct ww_cap *cap, struct ww_cap **ret_cap)
{
    ww_err err = ww_rpc_crossings_pass(call, cap, ret_cap);
    ww_cap_unref(cap);
    if (err == 0 || err == WW_ENOMEM)
        return err;
    *ret_cap = ww_rpc_broken_new(
        call->vat, ww_rpc_exc_new(call->vat, err, WW_BYTES_LIT("the results may not pass")));
    return *ret_cap ? 0 : WW_ENOMEM;
}

static ww_err call_pipe(
    struct ww_rpc_call *call, const uint16_t *path, size_t len, unsigned hops, struct ww_cap **ret_cap);

static ww_err pipe_of(struct ww_rpc_call *call, struct ww_rpc_call *other, const uint16_t *path, size_t len,
    unsigned hops, struct ww_cap **ret_cap)
{
    struct ww_cap *to;
    WW_TRY(call_pipe(other, path, len, hops, &to));
    return pipe_cross(call, to, ret_cap);
}

ww_err ww_rpc_pipe_of(struct ww_rpc_call *call, struct ww_rpc_call *other, const uint16_t *path, size_t len,
    struct ww_cap **ret_cap)
{
    return pipe_of(call, other, path, len, 0, ret_cap);
}

/* A result of a question that crossed membranes: beneath them, a promise that is wired to the peer; to the
 * caller, what that is across, which those who ask again find as long as somebody has it. */
static ww_err pipe_across(struct ww_rpc_call *call, const uint16_t *path, size_t len, struct ww_cap **ret_cap)
{
    struct ww_rpc_pipe *pipe = pipe_find(call, path, len, true);
    if (!pipe) {
        WW_TRY(pipe_add(call, path, len, &pipe));
        pipe->under = true;
        pipe->promise->promise.via = wire_new(call, pipe);
        if (!pipe->promise->promise.via) {
            pipe_fails(call, pipe->promise);
            return WW_ENOMEM;
        }
    }
    return pipe_cross(call, ww_cap_ref(pipe->promise), ret_cap);
}

/* Not an order of its own: the promise of the other's result stands for the call's. It has one all the same,
 * because its users keep the call from being cancelled. */
static ww_err pipe_follow(struct ww_rpc_call *call, struct ww_rpc_call *other, const uint16_t *path,
    size_t len, unsigned hops, struct ww_cap **ret_cap)
{
    struct ww_cap *to;
    struct ww_rpc_pipe *pipe;
    if (hops >= WW_RPC_FOLLOW_HOPS)
        return WW_ELIMIT;
    WW_TRY(pipe_of(call, other, path, len, hops + 1, &to));
    ww_err err = pipe_add(call, path, len, &pipe);
    if (err == 0) {
        ww_rpc_promise_settle(pipe->promise, to);
        *ret_cap = ww_cap_ref(pipe->promise);
    }
    ww_cap_unref(to);
    return err;
}

static ww_err call_pipe(
    struct ww_rpc_call *call, const uint16_t *path, size_t len, unsigned hops, struct ww_cap **ret_cap)
{
    struct ww_rpc_pipe *pipe = pipe_find(call, path, len, false);
    struct ww_rpc_call *other = call->tail_of ? call->tail_of
        : call->state == CALL_FORWARDED       ? call->child
                                              : NULL;
    if (!pipe && other && other != call)
        return pipe_follow(call, other, path, len, hops, ret_cap);
    if (!pipe && call->crossing && call->state == CALL_SENT && !call->no_pipe)
        return pipe_across(call, path, len, ret_cap);
    bool wired = (call->state == CALL_SENT && !call->crossing) || (call->tail && call->q.conn && !call->exc);
    if (!pipe && call->state == CALL_DONE && !wired) {
        struct ww_cap *cap = outcome_cap(call, path, len);
        if (!cap)
            return WW_ENOMEM;
        *ret_cap = cap;
        return 0;
    }
    if (!pipe) {
        WW_TRY(pipe_add(call, path, len, &pipe));
        if (wired && !call->no_pipe) {
            pipe->promise->promise.via = wire_new(call, pipe);
            if (!pipe->promise->promise.via) {
                pipe_fails(call, pipe->promise);
                return WW_ENOMEM;
            }
        }
    }
    *ret_cap = ww_cap_ref(pipe->promise);
    return 0;
}

ww_err ww_rpc_call_pipe(struct ww_rpc_call *call, const uint16_t *path, size_t len, struct ww_cap **ret_cap)
{
    return call_pipe(call, path, len, 0, ret_cap);
}

/* Results may hold wires of the very call, or of others in a ring: the peer can make such, and here they end.
 */
void ww_rpc_wires_break(struct ww_rpc_call *call, struct ww_rpc_exc *exc)
{
    for (struct ww_rpc_pipe *at = call->pipes; at; at = at->next) {
        struct ww_cap *raw = at->raw;
        if (!raw)
            continue;
        at->raw = NULL;
        raw->kind = CAP_BROKEN;
        raw->exc = ww_rpc_exc_ref(exc);
        call->q.wires--;
        ww_rpc_call_unref(call);
    }
}

/* The promises made before it was known where the call goes lead across from now on; the call forgets them,
 * so that they do not count as users of what they lead to. */
static void pipes_across(struct ww_rpc_call *call)
{
    struct ww_rpc_pipe *at, *rest = call->pipes;
    call->pipes = NULL;
    while ((at = rest)) {
        rest = at->next;
        struct ww_cap *p = at->promise, *to;
        if (p->promise.to || pipe_across(call, at->path, at->len, &to) < 0) {
            at->next = call->pipes;
            call->pipes = at;
            if (!p->promise.to)
                pipe_fails(call, p);
            continue;
        }
        (void)ww_cap_ref(p);
        pipe_free(at);
        call->pipe_count--;
        ww_rpc_promise_settle(p, to);
        ww_cap_unref(to);
        ww_cap_unref(p);
    }
}

void ww_rpc_pipes_sent(struct ww_rpc_call *call)
{
    if (call->no_pipe)
        return; /* as the peer was told */
    if (call->crossing) {
        pipes_across(call);
        return;
    }
    for (struct ww_rpc_pipe *at = call->pipes; at; at = at->next) {
        if (at->promise->promise.to || at->promise->promise.via)
            continue;
        at->promise->promise.via = wire_new(call, at);
        if (at->promise->promise.via)
            ww_rpc_promise_kick(at->promise);
        else
            pipe_fails(call, at->promise);
    }
}

/* The pipe at a capability pointer of the results: an index into their table, or UINT32_MAX. */
static uint32_t result_index(struct ww_pr at, const struct ww_rpc_pipe *pipe)
{
    for (size_t i = 0; i < pipe->len; i++)
        at = ww_sr_ptr(ww_pr_struct(at), pipe->path[i]);
    return ww_pr_kind(at) == WW_PTR_CAP ? ww_load32_(at.at + 4) : UINT32_MAX;
}

void ww_rpc_pipes_embargo(struct ww_rpc_call *call)
{
    for (struct ww_rpc_pipe *at = call->pipes; at; at = at->next) {
        struct ww_cap *cap;
        if (!at->promise->promise.to && outcome_at(call, at->path, at->len, &cap) == 0 && cap &&
            ww_rpc_promise_loops(at->promise, cap))
            ww_rpc_promise_resolve(at->promise, cap);
    }
}

static void substitute(struct ww_msg *m, struct ww_pr results, const struct ww_rpc_pipe *pipe)
{
    struct ww_cap *inner = ww_rpc_cap_inner(pipe->promise);
    if (inner == pipe->promise || !inner || inner->kind != CAP_PROMISE || inner->promise.via)
        return;
    uint32_t index = result_index(results, pipe);
    if (index >= m->cap_count || !m->caps[index] || ww_rpc_cap_inner(m->caps[index]) == inner)
        return;
    ww_cap_unref(m->caps[index]);
    m->caps[index] = ww_cap_ref(inner);
}

void ww_rpc_pipes_substitute(struct ww_rpc_call *call)
{
    struct ww_msg *m = &call->results;
    for (struct ww_rpc_pipe *at = m->cap_count ? call->pipes : NULL; at; at = at->next) {
        if (!at->under)
            substitute(m, ww_pb_reader(call->results_b), at);
    }
}

/* What was pipelined on, and has to wait, is for a peer the promise that waits: on the other side of the
 * membranes, too. */
void ww_rpc_pipes_under_done(struct ww_rpc_call *call)
{
    for (struct ww_rpc_pipe *at = call->pipes; at; at = at->next) {
        if (!at->under || at->promise->promise.to)
            continue;
        struct ww_cap *cap = outcome_cap(call, at->path, at->len);
        ww_rpc_promise_resolve(at->promise, cap ? cap : call->vat->null_cap);
        ww_cap_unref(cap);
        at->stale = true;
    }
    struct ww_pr results = ww_rpc_results_reader(call);
    struct ww_msg *m = results.seg->msg;
    if (call->exc || !m || (call->sink != SINK_ANSWER && !call->parent))
        return;
    struct ww_rpc_call *from = ww_rpc_call_outcome(call);
    for (struct ww_rpc_pipe *at = from->pipes; at; at = at->next) {
        if (at->under == (from == call))
            substitute(m, results, at);
    }
}

/* What an answer's Return described is what its results are from then on, also where they were known before.
 */
static void pipes_forget_early(struct ww_rpc_call *call)
{
    for (struct ww_rpc_pipe *at = call->pipes; at; at = at->next)
        at->stale |= at->promise->promise.to != NULL;
}

void ww_rpc_pipes_done(struct ww_rpc_call *call)
{
    if (!call->exc && ww_rpc_call_outcome(call)->tail)
        return; /* the peer has them: calls go on over the wire */
    if (call->sink == SINK_ANSWER && call->a.conn)
        pipes_forget_early(call);
    for (struct ww_rpc_pipe *at = call->pipes; at; at = at->next) {
        if (at->promise->promise.to)
            continue;
        struct ww_cap *cap = outcome_cap(call, at->path, at->len);
        ww_rpc_promise_resolve(at->promise, cap ? cap : call->vat->null_cap);
        ww_cap_unref(cap);
    }
}

bool ww_rpc_pipes_live(const struct ww_rpc_call *call)
{
    for (const struct ww_rpc_pipe *at = call->pipes; at; at = at->next) {
        const struct ww_cap *p = at->promise;
        if (p->refs > 1 || !ww_list_empty(&p->promise.queue) || (p->promise.via && p->promise.via->refs > 1))
            return true;
    }
    return false;
}

void ww_rpc_pipes_free(struct ww_rpc_call *call)
{
    while (call->pipes) {
        struct ww_rpc_pipe *pipe = call->pipes;
        call->pipes = pipe->next;
        pipe_free(pipe);
    }
    call->pipe_count = 0;
}
