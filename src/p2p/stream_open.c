/* Opening a stream for a caller: dial if needed, propose, report. `op->swarm` is set while the operation is
 * active, and the operation is then in sw->opens. */
#include "p2p/swarm_internal.h"

static void open_settled(struct ww_task *task);
static void open_timed_out(struct ww_timer *timer);
static void open_dialed(struct ww_swarm_dial *dial, ww_err err);

/* Out of the books; the caller may submit it anew. */
static void open_idle(struct ww_swarm_open *op)
{
    struct ww_swarm *sw = op->swarm;
    sw->env->ops->timer_cancel(sw->env, &op->timer);
    ww_list_remove(&op->task.link);
    ww_list_remove(&op->link);
    ww_free(op->protocols);
    op->protocols = NULL;
    op->swarm = NULL;
}

static void open_settle(struct ww_swarm_open *op, ww_err result)
{
    op->result = result;
    op->swarm->env->ops->post(op->swarm->env, &op->task);
}

static void open_settled(struct ww_task *task)
{
    struct ww_swarm_open *op = WW_CONTAINER_OF(task, struct ww_swarm_open, task);
    struct ww_stream *s = op->pending;
    open_idle(op);
    op->pending = NULL;
    if (s) {
        s->op = NULL;
        op->stream = s;
        op->protocol = s->protocol;
    }
    op->done(op, op->result);
    if (s && s->state != STREAM_DEAD) {
        s->held = false;
        if (!s->paused)
            ww_stream_resume(s);
    }
}

void open_stream_agreed(struct ww_swarm_open *op)
{
    struct ww_stream *s = op->pending;
    s->user = op->user;
    s->user->stream = s;
    open_settle(op, WW_OK);
}

void open_stream_failed(struct ww_swarm_open *op, ww_err err)
{
    char id[WW_PEER_ID_TEXT_MAX];
    op->pending = NULL;
    if (err == WW_ENOPROTO)
        ww_diag_set(&op->diag, err, "%s speaks none of the protocols asked for (%s ...)",
            ww_peer_id_format(&op->peer, id), op->protocols);
    else
        ww_diag_set(
            &op->diag, err, "no stream to %s: %s", ww_peer_id_format(&op->peer, id), ww_err_text(err));
    open_settle(op, err);
}

/* The names, as views into op->protocols. */
static size_t open_names(const struct ww_swarm_open *op, struct ww_bytes names[WW_MSS_PROPOSALS_MAX])
{
    const char *at = op->protocols;
    for (size_t i = 0; i < op->protocol_count; i++) {
        names[i] = ww_bytes_str(at);
        at += names[i].len + 1;
    }
    return op->protocol_count;
}

static ww_err open_on(struct ww_swarm_open *op, struct ww_conn *c)
{
    struct ww_bytes names[WW_MSS_PROPOSALS_MAX];
    size_t count = open_names(op, names), first = 0;
    bool lazy = !op->strict && count == 1;
    for (size_t i = 0; !op->strict && !lazy && i < count; i++) {
        if (ww_peerstore_speaks(op->swarm->peerstore, &op->peer, names[i])) {
            lazy = true;
            first = i;
        }
    }
    struct ww_stream *s;
    WW_TRY(stream_propose(c, names + first, lazy ? 1 : count, lazy, &s));
    s->op = op;
    s->held = true;
    op->pending = s;
    if (lazy)
        open_stream_agreed(op);
    return WW_OK;
}

static void open_dialed(struct ww_swarm_dial *dial, ww_err err)
{
    struct ww_swarm_open *op = WW_CONTAINER_OF(dial, struct ww_swarm_open, dial);
    op->dialing = false;
    if (err < 0) {
        op->diag = dial->diag;
        open_settle(op, err);
        return;
    }
    struct ww_conn *c = conn_of_peer(op->swarm, &op->peer);
    err = c ? open_on(op, c) : WW_ECLOSED;
    if (err < 0)
        open_stream_failed(op, err);
}

static void open_abandon(struct ww_swarm_open *op)
{
    struct ww_stream *s = op->pending;
    if (op->dialing)
        ww_swarm_dial_cancel(&op->dial);
    op->dialing = false;
    op->pending = NULL;
    if (s) {
        s->op = NULL;
        stream_kill(s);
    }
}

static void open_timed_out(struct ww_timer *timer)
{
    struct ww_swarm_open *op = WW_CONTAINER_OF(timer, struct ww_swarm_open, timer);
    open_abandon(op);
    open_stream_failed(op, WW_ETIMEOUT);
}

/* Copies the names, one after the other, each with its NUL. */
static ww_err open_copy_names(struct ww_swarm_open *op, const char *const *protocols, size_t count)
{
    size_t len = 0;
    if (count == 0 || count > WW_MSS_PROPOSALS_MAX)
        return WW_EINVAL;
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(protocols[i]);
        if (n == 0 || n >= WW_MSS_TOKEN_MAX || strchr(protocols[i], '\n'))
            return WW_EINVAL;
        len += n + 1;
    }
    char *at = op->protocols = ww_alloc(len);
    if (!at)
        return WW_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(protocols[i]) + 1;
        memcpy(at, protocols[i], n);
        at += n;
    }
    op->protocol_count = count;
    op->protocols_len = len;
    return WW_OK;
}

static ww_err open_submit(struct ww_swarm *sw, struct ww_swarm_open *op, const struct ww_peer_id *peer,
    const char *const *protocols, size_t count, struct ww_stream_user *user, uint64_t timeout_ns)
{
    if (sw->freeing)
        return WW_ECLOSED;
    WW_TRY(open_copy_names(op, protocols, count));
    op->swarm = sw;
    op->user = user;
    op->peer = *peer;
    op->stream = op->pending = NULL;
    op->dialing = false;
    op->diag.code = WW_OK;
    op->diag.text[0] = 0;
    op->timer = (struct ww_timer){.fired = open_timed_out};
    ww_task_init(&op->task, open_settled);
    ww_list_push_back(&sw->opens, &op->link);
    struct ww_conn *c = conn_of_peer(sw, peer);
    ww_err err;
    if (c) {
        err = open_on(op, c);
        if (timeout_ns == 0)
            timeout_ns = sw->limits.negotiate_timeout_ns;
    } else {
        op->dial = (struct ww_swarm_dial){.done = open_dialed};
        err = ww_swarm_dial(sw, &op->dial, peer, NULL, 0, timeout_ns);
        op->dialing = err == WW_OK;
        op->diag = op->dial.diag;
        if (timeout_ns == 0)
            timeout_ns = sw->limits.dial_timeout_ns + sw->limits.negotiate_timeout_ns;
    }
    if (err < 0)
        open_idle(op);
    else
        sw->env->ops->timer_set(sw->env, &op->timer, swarm_now(sw) + timeout_ns);
    return err;
}

ww_err ww_swarm_open(struct ww_swarm *sw, struct ww_swarm_open *op, const struct ww_peer_id *peer,
    const char *const *protocols, size_t protocol_count, struct ww_stream_user *user, uint64_t timeout_ns)
{
    op->strict = false;
    return open_submit(sw, op, peer, protocols, protocol_count, user, timeout_ns);
}

ww_err ww_swarm_open_strict(struct ww_swarm *sw, struct ww_swarm_open *op, const struct ww_peer_id *peer,
    const char *const *protocols, size_t protocol_count, struct ww_stream_user *user, uint64_t timeout_ns)
{
    op->strict = true;
    return open_submit(sw, op, peer, protocols, protocol_count, user, timeout_ns);
}

void ww_swarm_open_cancel(struct ww_swarm_open *op)
{
    if (!op->swarm)
        return;
    open_abandon(op);
    open_idle(op);
}

void open_free_all(struct ww_swarm *sw)
{
    while (!ww_list_empty(&sw->opens)) {
        struct ww_swarm_open *op = WW_LIST_ENTRY(sw->opens.next, struct ww_swarm_open, link);
        ww_swarm_open_cancel(op);
        op->done(op, WW_ECANCELED);
    }
}
