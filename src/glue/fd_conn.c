#include "glue/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    VIEWS_MAX = 64, /* pieces of one write */
    READS_PER_TURN = 8,
};
#define LINGER_NS (1 * WW_NS_PER_S) /* for the Abort to be written, when the peer does not read */

static void link_output(struct ww_rpc_conn_host *host)
{
    struct ww_fd_link *l = WW_CONTAINER_OF(host, struct ww_fd_link, host);
    ww_list_remove(&l->dirty);
    ww_list_push_back(&l->owner->dirty, &l->dirty);
}

static void link_closed(struct ww_rpc_conn_host *host, ww_err err, const char *reason)
{
    struct ww_fd_link *l = WW_CONTAINER_OF(host, struct ww_fd_link, host);
    l->closed = true;
    l->linger_ns = ww_glue_now() + LINGER_NS;
    ww_list_remove(&l->all);
    ww_list_push_back(&l->owner->closing, &l->all);
    if (l->user && l->user->ops->closed)
        l->user->ops->closed(l->user, err, reason);
}

static const struct ww_rpc_conn_ops link_ops = {link_output, link_closed};

static void close_own(int fd)
{
    if (fd > STDERR_FILENO)
        close(fd);
}

void ww_fd_link_free(struct ww_fd_link *l)
{
    ww_rpc_conn_free(l->conn);
    close_own(l->in);
    if (l->out != l->in)
        close_own(l->out);
    ww_list_remove(&l->all);
    ww_list_remove(&l->dirty);
    l->owner->link_count--;
    ww_free(l);
}

static bool is_socket(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* True when nothing is between the two ends that could be measured. A stream's window should fit: each time
 * the socket is full costs two changes of process. The system doubles what is asked for, and may cut it. */
static bool pipe_prepare(int fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    int bytes = WW_RPC_WINDOW_PIPE / 2, now = 0;
    if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
        return true;
    if (ss.ss_family != AF_UNIX)
        return false;
    len = sizeof now;
    if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &now, &len) == 0 && now < 2 * bytes)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    return true;
}

static ww_err link_new(struct ww_rpc_fd *fd, int in, int out, const struct ww_rpc_conn_config *config,
    struct ww_rpc_conn **ret_conn)
{
    struct ww_fd_link *l = WW_NEW(struct ww_fd_link);
    if (!l)
        return WW_ENOMEM;
    struct ww_rpc_conn_config own = config ? *config : (struct ww_rpc_conn_config){0};
    *l = (struct ww_fd_link){.host = {&link_ops}, .user = own.host, .owner = fd, .in = in, .out = out};
    own.host = &l->host;
    if (pipe_prepare(out) && own.stream_window_bytes == 0)
        own.stream_window_bytes = WW_RPC_WINDOW_PIPE;
    ww_err err = ww_rpc_conn_new(fd->vat, &own, &l->conn);
    if (err < 0) {
        ww_free(l);
        return err;
    }
    l->in_socket = is_socket(in);
    l->out_socket = in == out ? l->in_socket : is_socket(out);
    l->out_nonblock = fcntl(out, F_GETFL) & O_NONBLOCK;
    ww_list_init(&l->dirty);
    ww_list_push_back(&fd->links, &l->all);
    fd->link_count++;
    *ret_conn = l->conn;
    return 0;
}

ww_err ww_rpc_fd_attach_take(struct ww_rpc_fd *fd, int in, int out, const struct ww_rpc_conn_config *config,
    struct ww_rpc_conn **ret_conn)
{
    ww_err err = in < 0 || out < 0 ? WW_EINVAL : link_new(fd, in, out, config, ret_conn);
    if (err < 0) {
        close_own(in);
        if (out != in)
            close_own(out);
    }
    return err;
}

ww_err ww_rpc_fd_connect(struct ww_rpc_fd *fd, const char *address, const struct ww_rpc_conn_config *config,
    int timeout_ms, struct ww_rpc_conn **ret_conn, struct ww_diag *reterr_diag)
{
    struct ww_glue_addr addr;
    int sock;
    WW_TRY(ww_glue_addr_parse(address, &addr, reterr_diag));
    WW_TRY(ww_glue_connect(&addr, ww_glue_deadline(timeout_ms), &sock, reterr_diag));
    ww_err err = ww_rpc_fd_attach_take(fd, sock, sock, config, ret_conn);
    return err < 0 ? ww_diag_set(reterr_diag, err, "%s: %s", address, ww_err_text(err)) : 0;
}

ww_err ww_rpc_fd_dial(struct ww_rpc_fd *fd, const char *address, int timeout_ms, struct ww_cap **ret_cap,
    struct ww_diag *reterr_diag)
{
    struct ww_rpc_conn *conn;
    WW_TRY(ww_rpc_fd_connect(fd, address, NULL, timeout_ms, &conn, reterr_diag));
    ww_err err = ww_rpc_conn_bootstrap(conn, ret_cap);
    return err < 0 ? ww_diag_set(reterr_diag, err, "%s: %s", address, ww_err_text(err)) : 0;
}

/* ---- bytes */

/* write() to a pipe that nobody reads raises SIGPIPE. It is held back, and taken away if it is ours. */
static ssize_t write_quietly(int fd, const struct iovec *iov, int count)
{
    sigset_t pipe_only, before, pending;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    ssize_t n = writev(fd, iov, count);
    int errnum = errno;
    if (n < 0 && errnum == EPIPE && !sigismember(&pending, SIGPIPE)) {
        while (sigtimedwait(&pipe_only, NULL, &(struct timespec){0}) < 0 && errno == EINTR) {
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = errnum;
    return n;
}

static ssize_t link_writev(struct ww_fd_link *l, struct iovec *iov, int count)
{
    if (l->out_socket && count == 1) /* most are one message, and the kernel has less to look at */
        return send(l->out, iov->iov_base, iov->iov_len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (l->out_socket)
        return sendmsg(l->out, &(struct msghdr){.msg_iov = iov, .msg_iovlen = (size_t)count},
            MSG_NOSIGNAL | MSG_DONTWAIT);
    if (!l->out_nonblock) {
        struct pollfd p = {.fd = l->out, .events = POLLOUT};
        int ready = poll(&p, 1, 0);
        if (ready <= 0) {
            errno = ready == 0 ? EAGAIN : errno;
            return -1;
        }
        if (iov[0].iov_len > PIPE_BUF)
            iov[0].iov_len = PIPE_BUF;
        count = 1;
    }
    return write_quietly(l->out, iov, count);
}

/* The transport has failed: the connection learns it as if reading had. */
static void link_break(struct ww_fd_link *l, ww_err err)
{
    l->broken = true;
    ww_rpc_conn_lost(l->conn, err);
}

void ww_fd_link_flush(struct ww_fd_link *l)
{
    struct ww_bytes views[VIEWS_MAX];
    struct iovec iov[VIEWS_MAX];
    size_t count;
    l->blocked = false;
    while (!l->broken && (count = ww_rpc_conn_pull(l->conn, views, VIEWS_MAX)) > 0) {
        for (size_t i = 0; i < count; i++)
            iov[i] = (struct iovec){(void *)(uintptr_t)views[i].ptr, views[i].len};
        ssize_t n = link_writev(l, iov, (int)count);
        if (n > 0) {
            ww_rpc_conn_pulled(l->conn, (size_t)n);
        } else if (errno == EAGAIN) {
            l->blocked = true;
            return;
        } else if (errno != EINTR) {
            link_break(l, ww_errno_err(errno));
        }
    }
}

static ssize_t link_read_some(struct ww_fd_link *l)
{
    ssize_t n;
    do
        n = l->in_socket ? recv(l->in, l->owner->buffer, FD_READ_BYTES, MSG_DONTWAIT)
                         : read(l->in, l->owner->buffer, FD_READ_BYTES);
    while (n < 0 && errno == EINTR);
    return n;
}

void ww_fd_link_read(struct ww_fd_link *l)
{
    for (int i = 0; i < READS_PER_TURN && ww_rpc_conn_want_read(l->conn); i++) {
        ssize_t n = link_read_some(l);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            if (n == 0)
                ww_fd_link_flush(l); /* it may only have closed its half */
            ww_rpc_conn_lost(l->conn, n == 0 ? WW_ECLOSED : ww_errno_err(errno));
            return;
        }
        if (ww_rpc_conn_feed(l->conn, ww_bytes(l->owner->buffer, (size_t)n)) < 0)
            return; /* `closed` comes from the vat */
        if (n < FD_READ_BYTES || !l->in_socket)
            return;
    }
}
