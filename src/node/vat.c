#include "node/vat.h"

/* Events delivered in one loop turn before others get theirs. */
#define EVENTS_PER_TURN 1024u
/* Pieces handed to the stream in one write. */
#define VIEWS_MAX 64

static void vat_wake(struct ww_rpc_vat_host *host)
{
    struct ww_vat *vat = WW_CONTAINER_OF(host, struct ww_vat, host);
    vat->env->ops->post(vat->env, &vat->task);
}

/* The swarm's connection goes, and its budget with it; the RPC connection may hold things for another turn.
 */
static void link_uncharge(struct ww_link *link)
{
    for (size_t r = 0; r < WW_RES_COUNT; r++)
        ww_budget_release(link->budget.parent, (enum ww_resource)r, link->budget.used[r]);
    link->budget.parent = NULL;
}

static void link_ended(struct ww_link *link)
{
    link_uncharge(link);
    if (link->user.stream)
        ww_stream_release(link->user.stream);
}

/* Gives the stream what it takes. */
static void link_flush(struct ww_link *link)
{
    while (link->user.stream && !link->blocked) {
        struct ww_bytes views[VIEWS_MAX];
        struct ww_iovec iov[VIEWS_MAX];
        size_t total = 0, count = ww_rpc_conn_pull(link->conn, views, VIEWS_MAX);
        if (count == 0)
            break;
        for (size_t i = 0; i < count; i++) {
            iov[i] = (struct ww_iovec){views[i].ptr, views[i].len};
            total += views[i].len;
        }
        ww_err err = ww_stream_writev(link->user.stream, iov, count);
        if (err == WW_EAGAIN) {
            link->blocked = true;
        } else if (err < 0) {
            ww_rpc_conn_lost(link->conn, err);
            link_ended(link);
        } else {
            ww_rpc_conn_pulled(link->conn, total);
        }
    }
    if (link->closing && link->user.stream && ww_rpc_conn_pending(link->conn) == 0)
        link_ended(link);
}

static void vat_run(struct ww_task *task)
{
    struct ww_vat *vat = WW_CONTAINER_OF(task, struct ww_vat, task);
    vat->running = true;
    bool more = ww_rpc_vat_run(vat->rpc, ww_env_now(vat->env), EVENTS_PER_TURN);
    vat->running = false;
    if (vat->idle) {
        vat->idle(vat);
        return;
    }
    for (struct ww_list *node; (node = ww_list_pop_front(&vat->dirty));)
        link_flush(WW_LIST_ENTRY(node, struct ww_link, dirty));
    WW_LIST_FOR_SAFE(it, &vat->paused)
    {
        struct ww_link *link = WW_LIST_ENTRY(it, struct ww_link, paused);
        if (!ww_rpc_conn_want_read(link->conn))
            continue;
        ww_list_remove(&link->paused);
        if (link->user.stream)
            ww_stream_resume(link->user.stream);
    }
    if (more)
        vat->env->ops->post(vat->env, &vat->task);
}

ww_err ww_vat_init(struct ww_vat *vat, struct ww_env *env)
{
    *vat = (struct ww_vat){.env = env, .host = {vat_wake}};
    ww_task_init(&vat->task, vat_run);
    ww_list_init(&vat->dirty);
    ww_list_init(&vat->paused);
    struct ww_rpc_vat_config conf = {.host = &vat->host};
    env->ops->random(env, conf.hash_seed, sizeof conf.hash_seed);
    return ww_rpc_vat_new(&conf, &vat->rpc);
}

void ww_vat_fini(struct ww_vat *vat)
{
    if (!vat->rpc)
        return;
    /* What the links' end has set off: failed calls, objects without a reference. */
    while (ww_rpc_vat_run(vat->rpc, ww_env_now(vat->env), 0)) {
    }
    ww_list_remove(&vat->task.link);
    ww_rpc_vat_free(vat->rpc);
    vat->rpc = NULL;
}

/* ---- the stream's side ---- */

static struct ww_link *of_user(struct ww_stream_user *user)
{
    return WW_CONTAINER_OF(user, struct ww_link, user);
}

static size_t on_data(struct ww_stream_user *user, struct ww_bytes data)
{
    struct ww_link *link = of_user(user);
    if (!link->conn || link->closing)
        return data.len;
    if (!ww_rpc_conn_want_read(link->conn)) {
        /* What is held goes down in a turn of the vat, which then offers these bytes again. */
        ww_list_remove(&link->paused);
        ww_list_push_back(&link->vat->paused, &link->paused);
        return 0;
    }
    if (ww_rpc_conn_feed(link->conn, data) < 0)
        link->closing = true; /* `closed` comes from the vat, with the reason */
    return data.len;
}

static void on_writable(struct ww_stream_user *user)
{
    struct ww_link *link = of_user(user);
    link->blocked = false;
    link_flush(link);
    if (!ww_list_empty(&link->paused))
        vat_wake(&link->vat->host); /* what was held for the peer has gone without a turn of the vat */
}

static void on_eof(struct ww_stream_user *user)
{
    struct ww_link *link = of_user(user);
    if (link->conn)
        ww_rpc_conn_lost(link->conn, WW_ECLOSED);
    link_ended(link);
}

static void on_closed(struct ww_stream_user *user, ww_err err)
{
    struct ww_link *link = of_user(user);
    link_uncharge(link);
    if (link->conn)
        ww_rpc_conn_lost(link->conn, err < 0 ? err : WW_ECLOSED);
}

static const struct ww_stream_events stream_events = {on_data, on_writable, on_eof, on_closed};

/* ---- the connection's side ---- */

static void conn_output(struct ww_rpc_conn_host *host)
{
    struct ww_link *link = WW_CONTAINER_OF(host, struct ww_link, host);
    ww_list_remove(&link->dirty);
    ww_list_push_back(&link->vat->dirty, &link->dirty);
    vat_wake(&link->vat->host);
}

static void conn_closed(struct ww_rpc_conn_host *host, ww_err err, const char *reason)
{
    struct ww_link *link = WW_CONTAINER_OF(host, struct ww_link, host);
    link->closing = true;
    link_flush(link);
    if (link->closed)
        link->closed(link, err, reason);
}

static const struct ww_rpc_conn_ops conn_ops = {conn_output, conn_closed};

void ww_link_prepare(struct ww_link *link)
{
    *link = (struct ww_link){.user = {.events = &stream_events}, .host = {&conn_ops}};
    ww_list_init(&link->dirty);
    ww_list_init(&link->paused);
}

ww_err ww_link_init(struct ww_link *link, struct ww_vat *vat, struct ww_stream *stream,
    struct ww_cap *bootstrap, bool packed,
    void (*closed)(struct ww_link *link, ww_err err, const char *reason))
{
    if (link->user.events != &stream_events || link->user.stream != stream) {
        ww_link_prepare(link);
        ww_stream_bind(stream, &link->user);
    }
    link->vat = vat;
    link->closed = closed;
    ww_budget_init(&link->budget, ww_stream_budget(stream));
    struct ww_rpc_conn_config conf = {
        .host = &link->host, .bootstrap = bootstrap, .budget = &link->budget, .packed = packed};
    ww_err err = ww_rpc_conn_new(vat->rpc, &conf, &link->conn);
    if (err < 0)
        ww_stream_reset(stream);
    return err;
}

void ww_link_fini(struct ww_link *link)
{
    if (!link->conn)
        return;
    link->closed = NULL;
    if (ww_rpc_conn_is_open(link->conn))
        ww_rpc_conn_close(link->conn, NULL);
    link->closing = true;
    link_flush(link);
    link_ended(link);
    ww_list_remove(&link->dirty);
    ww_list_remove(&link->paused);
    ww_rpc_conn_free(link->conn);
    link->conn = NULL;
}
