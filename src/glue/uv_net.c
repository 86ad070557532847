/* glue/uv_net.c — RPC on a libuv loop: listeners, streams of others, and connections that we make. */
#include <unistd.h>

#include "glue/uv_link.h"

struct ww_rpc_uv_listener {
    struct ww_rpc_uv *owner;
    struct ww_rpc_conn_config config; /* with a reference to its bootstrap capability */
    struct ww_rpc_uv_accept *accept;
    struct ww_glue_addr addr;
    char text[WW_GLUE_ADDR_TEXT];
    union ww_uv_handle handle;
    bool waiting; /* somebody connected, and there was no memory for it */
    struct ww_list all;
};

/* Makes the link's own stream. */
static int own_init(struct ww_uv_link *l, bool is_pipe)
{
    uv_loop_t *loop = l->owner->loop;
    int status = is_pipe ? uv_pipe_init(loop, &l->own.pipe, 0) : uv_tcp_init(loop, &l->own.tcp);
    if (status < 0)
        return status;
    l->own.handle.data = l;
    l->stream = &l->own.stream;
    return 0;
}

static ww_err own_start(struct ww_uv_link *l, bool is_pipe)
{
    if (!is_pipe)
        uv_tcp_nodelay(&l->own.tcp, 1);
    return ww_uv_link_start(l, &l->own.stream);
}

/* ---- listening */

static ww_err accept_into(struct ww_rpc_uv_listener *listener, struct ww_uv_link *l)
{
    struct ww_rpc_conn_config config = listener->config;
    int status = own_init(l, listener->addr.is_unix);
    if (status == 0)
        status = uv_accept(&listener->handle.stream, l->stream);
    if (status < 0)
        return ww_errno_err(-status);
    struct ww_cap *bootstrap = ww_cap_ref(config.bootstrap); /* `accepted` may close the listener */
    ww_err err = listener->accept ? listener->accept->accepted(listener->accept, l->stream, &config) : 0;
    if (err == 0)
        err = ww_uv_link_open(l, &config);
    ww_cap_unref(bootstrap);
    return err < 0 ? err : own_start(l, listener->addr.is_unix);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct ww_rpc_uv_listener *listener = server->data;
    struct ww_uv_link *l;
    if (status < 0)
        return;
    if (ww_uv_link_new(listener->owner, &l) < 0) {
        listener->waiting = true; /* libuv asks for no more until this one is accepted */
        ww_uv_tick_arm(listener->owner);
        return;
    }
    if (accept_into(listener, l) < 0)
        ww_uv_link_release(l); /* the peer sees it close */
}

void ww_uv_listener_retry(struct ww_rpc_uv_listener *listener)
{
    if (!listener->waiting)
        return;
    listener->waiting = false;
    on_connection(&listener->handle.stream, 0);
}

struct ww_rpc_uv_listener *ww_uv_listener_of(struct ww_list *node)
{
    return WW_LIST_ENTRY(node, struct ww_rpc_uv_listener, all);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct ww_rpc_uv_listener *listener = handle->data;
    struct ww_rpc_uv *uv = listener->owner;
    ww_free(listener);
    ww_uv_handle_gone(uv);
}

void ww_rpc_uv_listener_close(struct ww_rpc_uv_listener *listener)
{
    ww_glue_unlisten(&listener->addr);
    ww_cap_unref(listener->config.bootstrap);
    ww_list_remove(&listener->all);
    uv_close(&listener->handle.handle, on_listener_closed);
}

/* Hands the socket to libuv, which owns it from then on. */
static int listener_open(struct ww_rpc_uv_listener *l, int fd)
{
    int status;
    if (l->addr.is_unix)
        status = uv_pipe_open(&l->handle.pipe, fd);
    else
        status = uv_tcp_open(&l->handle.tcp, fd);
    if (status < 0) {
        close(fd);
        return status;
    }
    return uv_listen(&l->handle.stream, WW_GLUE_BACKLOG, on_connection);
}

ww_err ww_rpc_uv_listen(struct ww_rpc_uv *uv, const char *address, const struct ww_rpc_conn_config *config,
    struct ww_rpc_uv_accept *accept, struct ww_rpc_uv_listener **ret_listener, struct ww_diag *reterr_diag)
{
    struct ww_rpc_uv_listener *l = WW_NEW(struct ww_rpc_uv_listener);
    int fd, status;
    if (!l)
        return ww_diag_set(reterr_diag, WW_ENOMEM, "out of memory");
    ww_err err = ww_glue_addr_parse(address, &l->addr, reterr_diag);
    if (err == 0)
        err = ww_glue_listen(&l->addr, &fd, l->text, reterr_diag);
    if (err < 0) {
        ww_free(l);
        return err;
    }
    l->owner = uv;
    l->accept = accept;
    if (config)
        l->config = *config;
    ww_cap_ref(l->config.bootstrap);
    if (l->addr.is_unix)
        uv_pipe_init(uv->loop, &l->handle.pipe, 0); /* these two cannot fail */
    else
        uv_tcp_init(uv->loop, &l->handle.tcp);
    l->handle.handle.data = l;
    uv->handles_alive++;
    ww_list_push_back(&uv->listeners, &l->all);
    status = listener_open(l, fd);
    if (status < 0) {
        ww_rpc_uv_listener_close(l);
        return ww_diag_set(reterr_diag, ww_errno_err(-status), "%s: %s", address, uv_strerror(status));
    }
    if (ret_listener)
        *ret_listener = l;
    return 0;
}

const char *ww_rpc_uv_listener_address(const struct ww_rpc_uv_listener *listener)
{
    return listener->text;
}

/* ---- streams of others */

ww_err ww_rpc_uv_attach(struct ww_rpc_uv *uv, uv_stream_t *stream, void (*released)(uv_stream_t *stream),
    const struct ww_rpc_conn_config *config, struct ww_rpc_conn **ret_conn)
{
    struct ww_uv_link *l;
    WW_TRY(ww_uv_link_new(uv, &l));
    l->released = released;
    ww_err err = ww_uv_link_open(l, config);
    if (err == 0)
        err = ww_uv_link_start(l, stream);
    if (err < 0) {
        ww_uv_link_release(l);
        return err;
    }
    *ret_conn = l->conn;
    return 0;
}

/* ---- connecting. One address after the other; a handle serves one attempt. */

static void try_next(struct ww_uv_link *l, int last_status);

static void connected(struct ww_uv_link *l, bool is_pipe)
{
    if (own_start(l, is_pipe) < 0)
        ww_uv_link_break(l, UV_EIO);
}

static void on_pipe_connected(uv_connect_t *req, int status)
{
    struct ww_uv_link *l = WW_CONTAINER_OF(req, struct ww_uv_link, req.connect);
    l->connecting = false;
    if (l->closing)
        return;
    if (status < 0)
        ww_uv_link_break(l, status);
    else
        connected(l, true);
}

static void on_attempt_closed(uv_handle_t *handle)
{
    struct ww_uv_link *l = handle->data;
    int status = l->last_status;
    l->closing = false;
    l->stream = NULL;
    if (l->closed)
        ww_uv_link_release(l);
    else
        try_next(l, status);
}

static void attempt_failed(struct ww_uv_link *l, int status)
{
    l->last_status = status;
    l->closing = true;
    uv_close(&l->own.handle, on_attempt_closed);
}

static void on_tcp_connected(uv_connect_t *req, int status)
{
    struct ww_uv_link *l = WW_CONTAINER_OF(req, struct ww_uv_link, req.connect);
    l->connecting = false;
    if (l->closing)
        return;
    if (status < 0)
        attempt_failed(l, status);
    else
        connected(l, false);
}

static void try_next(struct ww_uv_link *l, int last_status)
{
    struct addrinfo *at = l->next;
    if (!at) {
        ww_uv_link_break(l, last_status);
        return;
    }
    l->next = at->ai_next;
    int status = own_init(l, false);
    if (status < 0) {
        ww_uv_link_break(l, status);
        return;
    }
    status = uv_tcp_connect(&l->req.connect, &l->own.tcp, at->ai_addr, on_tcp_connected);
    l->connecting = status == 0;
    if (status < 0)
        attempt_failed(l, status);
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
    struct ww_uv_link *l = WW_CONTAINER_OF(req, struct ww_uv_link, req.lookup);
    l->resolving = false;
    l->addresses = l->next = list;
    if (l->closed) {
        ww_uv_link_release(l);
    } else if (status < 0) {
        l->broken = true;
        ww_rpc_conn_lost(l->conn, status == UV_EAI_MEMORY ? WW_ENOMEM : WW_ENOTFOUND);
    } else {
        try_next(l, UV_EADDRNOTAVAIL);
    }
}

static int begin(struct ww_uv_link *l, const struct ww_glue_addr *addr)
{
    int status;
    if (addr->is_unix) {
        status = own_init(l, true);
        if (status == 0) {
            uv_pipe_connect(&l->req.connect, &l->own.pipe, addr->un.sun_path, on_pipe_connected);
            l->connecting = true; /* also a failure comes to the callback */
        }
        return status;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    status = uv_getaddrinfo(l->owner->loop, &l->req.lookup, on_resolved,
        addr->host[0] ? addr->host : "localhost", addr->port, &hints);
    l->resolving = status == 0;
    return status;
}

ww_err ww_rpc_uv_connect(struct ww_rpc_uv *uv, const char *address, const struct ww_rpc_conn_config *config,
    struct ww_rpc_conn **ret_conn, struct ww_diag *reterr_diag)
{
    struct ww_glue_addr addr;
    struct ww_uv_link *l;
    WW_TRY(ww_glue_addr_parse(address, &addr, reterr_diag));
    ww_err err = ww_uv_link_new(uv, &l);
    if (err < 0)
        return ww_diag_set(reterr_diag, err, "%s: %s", address, ww_err_text(err));
    err = ww_uv_link_open(l, config);
    if (err == 0) {
        int status = begin(l, &addr);
        err = status < 0 ? ww_errno_err(-status) : 0;
    }
    if (err < 0) {
        ww_uv_link_release(l);
        return ww_diag_set(reterr_diag, err, "%s: %s", address, ww_err_text(err));
    }
    *ret_conn = l->conn;
    return 0;
}
