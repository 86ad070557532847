/* glue/uv_link.c — one connection of ww/rpc_uv.h: its stream, the bytes both ways, its end. */
#include "glue/uv_link.h"

enum { VIEWS_MAX = 64 }; /* pieces of one write */

/* ---- the end of links */

static void link_free(struct ww_uv_link *l)
{
    struct ww_rpc_uv *uv = l->owner;
    ww_rpc_conn_free(l->conn);
    if (l->addresses)
        uv_freeaddrinfo(l->addresses);
    ww_list_remove(&l->all);
    ww_list_remove(&l->dirty);
    ww_list_remove(&l->paused);
    ww_free(l);
    ww_uv_link_gone(uv);
}

static void on_stream_closed(uv_handle_t *handle)
{
    struct ww_uv_link *l = handle->data;
    uv_stream_t *stream = l->stream;
    void (*released)(uv_stream_t *) = l->released;
    bool own = stream == &l->own.stream;
    l->closing = false;
    l->stream = NULL;
    ww_uv_link_release(l);
    if (!own && released)
        released(stream);
}

void ww_uv_link_release(struct ww_uv_link *l)
{
    l->closed = true;
    ww_list_remove(&l->dirty);
    if (l->closing)
        return;
    if (l->resolving) {
        uv_cancel((uv_req_t *)&l->req.lookup); /* its callback comes in any case */
        return;
    }
    if (!l->stream) {
        link_free(l);
        return;
    }
    l->closing = true;
    uv_close((uv_handle_t *)l->stream, on_stream_closed);
}

void ww_uv_link_break(struct ww_uv_link *l, int uv_status)
{
    l->broken = true;
    ww_rpc_conn_lost(l->conn, uv_status == UV_EOF ? WW_ECLOSED : ww_errno_err(-uv_status));
    if (l->closed)
        ww_uv_link_release(l);
}

/* ---- writing */

static size_t bufs_pull(struct ww_uv_link *l, uv_buf_t *bufs, unsigned *ret_count)
{
    struct ww_bytes views[VIEWS_MAX];
    size_t total = 0, count = ww_rpc_conn_pull(l->conn, views, VIEWS_MAX);
    for (size_t i = 0; i < count; i++) {
        bufs[i] = uv_buf_init((char *)(uintptr_t)views[i].ptr, (unsigned)views[i].len);
        total += views[i].len;
    }
    *ret_count = (unsigned)count;
    return total;
}

static void link_flush(struct ww_uv_link *l);

static void on_written(uv_write_t *req, int status)
{
    struct ww_uv_link *l = WW_CONTAINER_OF(req, struct ww_uv_link, req.write);
    size_t written = l->writing;
    l->writing = 0;
    if (l->closing)
        return;
    if (status < 0) {
        ww_uv_link_break(l, status);
        return;
    }
    ww_rpc_conn_pulled(l->conn, written);
    link_flush(l);
}

/* What the kernel did not take at once. */
static void link_write_rest(struct ww_uv_link *l)
{
    uv_buf_t bufs[VIEWS_MAX];
    unsigned count;
    l->writing = bufs_pull(l, bufs, &count);
    int status = uv_write(&l->req.write, l->stream, bufs, count, on_written);
    if (status < 0) {
        l->writing = 0;
        ww_uv_link_break(l, status);
    }
}

static void link_flush(struct ww_uv_link *l)
{
    uv_buf_t bufs[VIEWS_MAX];
    unsigned count;
    size_t total;
    if (!l->stream || l->connecting || l->closing || l->writing)
        return;
    while (!l->broken && (total = bufs_pull(l, bufs, &count)) > 0) {
        int n = uv_try_write(l->stream, bufs, count);
        if (n < 0 && n != UV_EAGAIN) {
            ww_uv_link_break(l, n);
            return;
        }
        if (n > 0)
            ww_rpc_conn_pulled(l->conn, (size_t)n);
        if (n < 0 || (size_t)n < total) {
            link_write_rest(l);
            return;
        }
    }
    if (l->closed)
        ww_uv_link_release(l);
}

/* ---- reading */

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *ret_buf)
{
    struct ww_uv_link *l = handle->data;
    WW_UNUSED(hint);
    *ret_buf = uv_buf_init(l->owner->buffer, sizeof l->owner->buffer);
}

static void link_read_stop(struct ww_uv_link *l)
{
    if (l->reading)
        uv_read_stop(l->stream);
    l->reading = false;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct ww_uv_link *l = stream->data;
    if (n == 0 || l->closed)
        return;
    if (n < 0) {
        link_read_stop(l);
        if (n == UV_EOF)
            link_flush(l); /* it may only have closed its half */
        ww_uv_link_break(l, (int)n);
        return;
    }
    if (ww_rpc_conn_feed(l->conn, ww_bytes(buf->base, (size_t)n)) < 0) {
        link_read_stop(l); /* `closed` comes from the vat */
    } else if (!ww_rpc_conn_want_read(l->conn)) {
        link_read_stop(l);
        ww_list_push_back(&l->owner->paused, &l->paused);
    }
}

void ww_uv_link_resume(struct ww_uv_link *l)
{
    if (l->closed || !ww_rpc_conn_want_read(l->conn))
        return;
    ww_list_remove(&l->paused);
    int status = uv_read_start(l->stream, on_alloc, on_read);
    l->reading = status == 0;
    if (status < 0)
        ww_uv_link_break(l, status);
}

ww_err ww_uv_link_start(struct ww_uv_link *l, uv_stream_t *stream)
{
    int status = uv_read_start(stream, on_alloc, on_read);
    if (status < 0)
        return ww_errno_err(-status);
    stream->data = l;
    l->stream = stream;
    if (uv_handle_get_type((uv_handle_t *)stream) == UV_NAMED_PIPE) {
        int now = 0, bytes = WW_RPC_WINDOW_PIPE / 2; /* the system doubles it: room for a stream's window */
        if (uv_send_buffer_size((uv_handle_t *)stream, &now) == 0 && now < 2 * bytes)
            ww_ignore(uv_send_buffer_size((uv_handle_t *)stream, &bytes));
        if (l->window_open)
            ww_rpc_conn_set_stream_window(l->conn, WW_RPC_WINDOW_PIPE);
    }
    l->reading = true;
    link_flush(l);
    return 0;
}

/* ---- links */

static void link_output(struct ww_rpc_conn_host *host)
{
    struct ww_uv_link *l = WW_CONTAINER_OF(host, struct ww_uv_link, host);
    ww_list_remove(&l->dirty);
    ww_list_push_back(&l->owner->dirty, &l->dirty);
}

static void link_closed(struct ww_rpc_conn_host *host, ww_err err, const char *reason)
{
    struct ww_uv_link *l = WW_CONTAINER_OF(host, struct ww_uv_link, host);
    l->closed = true;
    if (l->stream && !l->closing)
        link_read_stop(l);
    link_output(host); /* the flush that follows the turn writes the Abort and lets go */
    if (l->user && l->user->ops->closed)
        l->user->ops->closed(l->user, err, reason);
}

static const struct ww_rpc_conn_ops link_ops = {link_output, link_closed};

ww_err ww_uv_link_new(struct ww_rpc_uv *uv, struct ww_uv_link **ret_link)
{
    struct ww_uv_link *l = WW_NEW(struct ww_uv_link);
    if (!l)
        return WW_ENOMEM;
    l->host.ops = &link_ops;
    l->owner = uv;
    ww_list_init(&l->dirty);
    ww_list_init(&l->paused);
    ww_list_push_back(&uv->links, &l->all);
    uv->links_alive++;
    *ret_link = l;
    return 0;
}

ww_err ww_uv_link_open(struct ww_uv_link *l, const struct ww_rpc_conn_config *config)
{
    struct ww_rpc_conn_config own = config ? *config : (struct ww_rpc_conn_config){0};
    l->user = own.host;
    own.host = &l->host;
    l->window_open = own.stream_window_bytes == 0;
    return ww_rpc_conn_new(l->owner->vat, &own, &l->conn);
}

void ww_uv_link_settle(struct ww_uv_link *l)
{
    link_flush(l);
    if (!l->closed || l->closing)
        return;
    if (l->broken || l->resolving || l->connecting || !l->stream)
        ww_uv_link_release(l);
    else
        ww_uv_tick_arm(l->owner);
}
