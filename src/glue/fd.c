/* glue/fd.c — RPC on file descriptors and poll().
 *
 * One turn: deliver, write, poll, read. What arrives together is delivered together, and what that causes to
 * be sent leaves in one writev. Writing goes on when poll says so; it never blocks, whatever mode a
 * descriptor is in: sockets are asked with MSG_DONTWAIT, and a pipe that polls writable takes PIPE_BUF bytes.
 */
#include "glue/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum {
    EVENTS_PER_TURN = 1024, /* before others get their turn */
    ACCEPTS_PER_TURN = 64,
};
#define BACKOFF_MIN_NS (10 * WW_NS_PER_MS)
#define BACKOFF_MAX_NS (1 * WW_NS_PER_S)

/* ---- listeners */

ww_err ww_rpc_fd_listen(struct ww_rpc_fd *fd, const char *address, const struct ww_rpc_conn_config *config,
    struct ww_rpc_fd_accept *accept, struct ww_rpc_fd_listener **ret_listener, struct ww_diag *reterr_diag)
{
    struct ww_rpc_fd_listener *l = WW_NEW(struct ww_rpc_fd_listener);
    if (!l)
        return ww_diag_set(reterr_diag, WW_ENOMEM, "out of memory");
    ww_err err = ww_glue_addr_parse(address, &l->addr, reterr_diag);
    if (err == 0)
        err = ww_glue_listen(&l->addr, &l->socket, l->text, reterr_diag);
    if (err < 0) {
        ww_free(l);
        return err;
    }
    l->owner = fd;
    l->accept = accept;
    l->backoff_ns = BACKOFF_MIN_NS;
    if (config)
        l->config = *config;
    ww_cap_ref(l->config.bootstrap);
    ww_list_push_back(&fd->listeners, &l->all);
    fd->listener_count++;
    if (ret_listener)
        *ret_listener = l;
    return 0;
}

const char *ww_rpc_fd_listener_address(const struct ww_rpc_fd_listener *listener)
{
    return listener->text;
}

void ww_rpc_fd_listener_close(struct ww_rpc_fd_listener *l)
{
    struct ww_rpc_fd *fd = l->owner;
    ww_glue_unlisten(&l->addr);
    close(l->socket);
    l->socket = -1;
    ww_cap_unref(l->config.bootstrap);
    ww_list_remove(&l->all);
    fd->listener_count--;
    if (fd->running) /* perhaps from within its own `accepted` */
        ww_list_push_back(&fd->ended, &l->all);
    else
        ww_free(l);
}

static void ended_free(struct ww_rpc_fd *fd)
{
    struct ww_list *node;
    while ((node = ww_list_pop_front(&fd->ended)))
        ww_free(WW_LIST_ENTRY(node, struct ww_rpc_fd_listener, all));
}

static void accept_one(struct ww_rpc_fd_listener *l, int sock)
{
    struct ww_rpc_conn_config config = l->config;
    struct ww_cap *bootstrap = ww_cap_ref(config.bootstrap); /* `accepted` may close the listener */
    struct ww_rpc_conn *conn;
    ww_glue_nodelay(sock);
    if (l->accept && l->accept->accepted(l->accept, sock, &config) < 0)
        close(sock);
    else
        ww_ignore(ww_rpc_fd_attach_take(
            l->owner, sock, sock, &config, &conn)); /* no memory: the peer sees it close */
    ww_cap_unref(bootstrap);
}

static void listener_accept(struct ww_rpc_fd_listener *l)
{
    for (int i = 0; i < ACCEPTS_PER_TURN && l->socket >= 0; i++) {
        int sock = accept4(l->socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (sock >= 0) {
            l->backoff_ns = BACKOFF_MIN_NS;
            accept_one(l, sock);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            l->retry_ns = ww_glue_now() + l->backoff_ns;
            l->backoff_ns = l->backoff_ns * 2 < BACKOFF_MAX_NS ? l->backoff_ns * 2 : BACKOFF_MAX_NS;
            return;
        } else if (errno == EAGAIN) {
            return;
        }
    }
}

/* ---- the loop */

static void vat_wake(struct ww_rpc_vat_host *host)
{
    WW_CONTAINER_OF(host, struct ww_rpc_fd, host)->woken = true;
}

ww_err ww_rpc_fd_new(const struct ww_rpc_limits *limits, struct ww_rpc_fd **ret_fd)
{
    struct ww_rpc_fd *fd = WW_NEW(struct ww_rpc_fd);
    if (!fd)
        return WW_ENOMEM;
    fd->host.wake = vat_wake;
    ww_list_init(&fd->links);
    ww_list_init(&fd->dirty);
    ww_list_init(&fd->listeners);
    ww_list_init(&fd->closing);
    ww_list_init(&fd->ended);
    ww_err err = pipe2(fd->stop, O_CLOEXEC | O_NONBLOCK) < 0 ? ww_errno_err(errno) : 0;
    if (err < 0) {
        ww_free(fd);
        return err;
    }
    err = ww_glue_vat_new(limits, &fd->host, &fd->vat);
    if (err < 0) {
        close(fd->stop[0]);
        close(fd->stop[1]);
        ww_free(fd);
        return err;
    }
    *ret_fd = fd;
    return 0;
}

/* Delivers, and writes what that caused. */
static void deliver(struct ww_rpc_fd *fd)
{
    fd->woken = false;
    fd->running = true;
    bool more = ww_rpc_vat_run(fd->vat, ww_glue_now(), EVENTS_PER_TURN);
    fd->running = false;
    fd->woken |= more;
    struct ww_list *node;
    while ((node = ww_list_pop_front(&fd->dirty)))
        ww_fd_link_flush(WW_LIST_ENTRY(node, struct ww_fd_link, dirty));
}

/* Closed connections go when all is written, or can no longer be. */
static void reap(struct ww_rpc_fd *fd, uint64_t now_ns)
{
    ended_free(fd);
    WW_LIST_FOR_SAFE(it, &fd->closing)
    {
        struct ww_fd_link *l = WW_LIST_ENTRY(it, struct ww_fd_link, all);
        if (l->broken || now_ns >= l->linger_ns || ww_rpc_conn_pending(l->conn) == 0)
            ww_fd_link_free(l);
    }
}

void ww_rpc_fd_free(struct ww_rpc_fd *fd)
{
    if (!fd)
        return;
    WW_ASSERT(!fd->running);
    deliver(fd);
    while (!ww_list_empty(&fd->listeners))
        ww_rpc_fd_listener_close(WW_LIST_ENTRY(fd->listeners.next, struct ww_rpc_fd_listener, all));
    ww_list_splice_back(&fd->closing, &fd->links);
    while (!ww_list_empty(&fd->closing))
        ww_fd_link_free(WW_LIST_ENTRY(fd->closing.next, struct ww_fd_link, all));
    while (ww_rpc_vat_run(fd->vat, ww_glue_now(), 0)) {
    }
    ww_rpc_vat_free(fd->vat);
    ended_free(fd);
    close(fd->stop[0]);
    close(fd->stop[1]);
    ww_free(fd->polls);
    ww_free(fd->whose);
    ww_free(fd);
}

struct ww_rpc_vat *ww_rpc_fd_vat(const struct ww_rpc_fd *fd)
{
    return fd->vat;
}

size_t ww_rpc_fd_count(const struct ww_rpc_fd *fd)
{
    return fd->link_count;
}

void ww_rpc_fd_stop(struct ww_rpc_fd *fd)
{
    int errnum = errno; /* it may run in a signal handler */
    ssize_t n = write(fd->stop[1], "", 1);
    WW_UNUSED(n); /* full: it will stop */
    errno = errnum;
}

static ww_err polls_reserve(struct ww_rpc_fd *fd, size_t count)
{
    if (count <= fd->poll_capacity)
        return 0;
    size_t capacity = count + count / 2;
    struct pollfd *polls = ww_realloc(fd->polls, capacity * sizeof *polls);
    if (!polls)
        return WW_ENOMEM;
    fd->polls = polls;
    void **whose = ww_realloc(fd->whose, capacity * sizeof *whose);
    if (!whose)
        return WW_ENOMEM;
    fd->whose = whose;
    fd->poll_capacity = capacity;
    return 0;
}

/* poll() reports hang-ups that nobody asked for: a descriptor without a wish is left out. */
static void want(struct ww_rpc_fd *fd, size_t *io_count, int number, short events, void *who)
{
    if (!events)
        return;
    fd->polls[*io_count] = (struct pollfd){.fd = number, .events = events};
    fd->whose[(*io_count)++] = who;
}

static void want_link(struct ww_rpc_fd *fd, size_t *io_count, struct ww_fd_link *l)
{
    short in = ww_rpc_conn_want_read(l->conn) ? POLLIN : 0, out = l->blocked ? POLLOUT : 0;
    if (l->in == l->out) {
        want(fd, io_count, l->in, (short)(in | out), l);
        return;
    }
    want(fd, io_count, l->in, in, l);
    want(fd, io_count, l->out, out, l);
}

/* Listeners first, then links; returns how many. *io_until: when something is due without a descriptor. */
static size_t polls_fill(struct ww_rpc_fd *fd, size_t *ret_listeners, uint64_t now_ns, uint64_t *io_until)
{
    size_t count = 0;
    want(fd, &count, fd->stop[0], POLLIN, NULL);
    WW_LIST_FOR(it, &fd->listeners)
    {
        struct ww_rpc_fd_listener *l = WW_LIST_ENTRY(it, struct ww_rpc_fd_listener, all);
        if (now_ns >= l->retry_ns)
            want(fd, &count, l->socket, POLLIN, l);
        else if (l->retry_ns < *io_until)
            *io_until = l->retry_ns;
    }
    *ret_listeners = count;
    WW_LIST_FOR(it, &fd->links)
    {
        want_link(fd, &count, WW_LIST_ENTRY(it, struct ww_fd_link, all));
    }
    WW_LIST_FOR(it, &fd->closing)
    {
        struct ww_fd_link *l = WW_LIST_ENTRY(it, struct ww_fd_link, all);
        want_link(fd, &count, l);
        if (l->linger_ns < *io_until)
            *io_until = l->linger_ns;
    }
    return count;
}

static bool stop_taken(struct ww_rpc_fd *fd)
{
    char drop[16];
    bool stopped = false;
    while (read(fd->stop[0], drop, sizeof drop) > 0)
        stopped = true;
    return stopped;
}

/* Reads and writes what poll found; true when we are to stop. */
static bool serve(struct ww_rpc_fd *fd, size_t listeners, size_t count)
{
    bool stopped = fd->polls[0].revents && stop_taken(fd);
    for (size_t i = listeners; i < count; i++) {
        struct ww_fd_link *l = fd->whose[i];
        struct pollfd *p = &fd->polls[i];
        if (p->revents && (p->events & POLLOUT))
            ww_fd_link_flush(l);
        if (p->revents && (p->events & POLLIN))
            ww_fd_link_read(l);
    }
    fd->running = true;
    for (size_t i = 1; i < listeners; i++) {
        if (fd->polls[i].revents)
            listener_accept(fd->whose[i]);
    }
    fd->running = false;
    return stopped;
}

ww_err ww_rpc_fd_turn(struct ww_rpc_fd *fd, int timeout_ms)
{
    uint64_t until = WW_NEVER;
    size_t listeners;
    if (fd->running)
        return WW_ESTATE;
    bool worked = fd->woken;
    if (worked)
        deliver(fd);
    uint64_t now_ns = ww_list_empty(&fd->closing) && ww_list_empty(&fd->listeners) ? 0 : ww_glue_now();
    reap(fd, now_ns);
    if (worked && !fd->woken)
        return 0; /* the caller may have what it waits for */
    WW_TRY(polls_reserve(fd, 1 + fd->listener_count + 2 * fd->link_count));
    size_t count = polls_fill(fd, &listeners, now_ns, &until);
    int wait_ms = fd->woken ? 0 : timeout_ms, due_ms = ww_glue_poll_ms(until);
    if (due_ms >= 0 && (wait_ms < 0 || due_ms < wait_ms))
        wait_ms = due_ms;
    int ready = poll(fd->polls, count, wait_ms);
    if (ready < 0 && errno != EINTR)
        return ww_errno_err(errno);
    if (ready > 0 && serve(fd, listeners, count))
        return WW_ECANCELED;
    if (fd->woken)
        deliver(fd);
    return worked || ready != 0 || wait_ms != timeout_ms ? 0 : WW_ETIMEOUT;
}

ww_err ww_rpc_fd_run(struct ww_rpc_fd *fd)
{
    ww_err err;
    do
        err = ww_rpc_fd_turn(fd, -1);
    while (err == 0);
    return err == WW_ECANCELED ? 0 : err;
}

ww_err ww_rpc_fd_wait(struct ww_rpc_fd *fd, struct ww_rpc_request *request, int timeout_ms)
{
    uint64_t deadline = ww_glue_deadline(timeout_ms);
    ww_err status;
    while ((status = ww_rpc_request_status(request)) == WW_EAGAIN) {
        int left_ms = ww_glue_poll_ms(deadline);
        ww_err err = ww_rpc_fd_turn(fd, left_ms);
        if (err < 0 && err != WW_ETIMEOUT)
            return err;
        if (left_ms == 0 && ww_rpc_request_status(request) == WW_EAGAIN)
            return WW_ETIMEOUT;
    }
    return status;
}

ww_err ww_rpc_fd_call(struct ww_rpc_fd *fd, struct ww_rpc_request *request, int timeout_ms)
{
    if (!request)
        return WW_EINVAL;
    ww_rpc_request_send(request, NULL);
    return ww_rpc_fd_wait(fd, request, timeout_ms);
}
