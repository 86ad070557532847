/* Connections: a descriptor, one uv_poll_t, no buffers.
 *
 * The poll is level-triggered, and each change of what it watches costs two epoll_ctl calls in libuv. So it
 * watches "readable" all the time, and "writable" from the write that found the kernel's buffer full until a
 * write that went through whole: a bulk sender, whose every turn ends at a full buffer, changes nothing at
 * all. */
#include <netinet/tcp.h>
#include <sys/uio.h>
#include <unistd.h>

#include "os/internal.h"

struct ww_tcp {
    uv_poll_t poll;
    struct ww_os *os;
    struct ww_tcp_user *user;
    struct ww_task fail_task; /* reports `fail_err`, outside the tcp_write that met it */
    ww_err fail_err;
    int fd;
    int watching; /* uv events in force */
    bool connecting, reading, blocked /* a write took less than all */, eof, dead, closing;
};

static void freed(uv_handle_t *handle)
{
    ww_free(WW_CONTAINER_OF(handle, struct ww_tcp, poll));
}

static void dispose(struct ww_tcp *tcp)
{
    tcp->closing = true;
    ww_list_remove(&tcp->fail_task.link);
    uv_close((uv_handle_t *)&tcp->poll, freed); /* stops watching at once, so the descriptor may go */
    close(tcp->fd);
}

static void polled(uv_poll_t *poll, int status, int events);

static void watch(struct ww_tcp *tcp)
{
    int want = 0;
    if (!tcp->dead) {
        want |= tcp->reading && !tcp->eof && !tcp->connecting ? UV_READABLE : 0;
        want |= tcp->blocked || tcp->connecting ? UV_WRITABLE : 0;
    }
    if (want == tcp->watching)
        return;
    tcp->watching = want;
    if (want)
        uv_poll_start(&tcp->poll, want, polled);
    else
        uv_poll_stop(&tcp->poll);
}

/* The last event of this connection. */
static void fail(struct ww_tcp *tcp, ww_err err)
{
    tcp->dead = true;
    watch(tcp);
    tcp->user->events->closed(tcp->user, err);
}

/* Returns false when reading ended: closed, paused, failed or drained. */
static bool read_once(struct ww_tcp *tcp, size_t *budget)
{
    uint8_t *ptr = tcp->os->read_buf;
    size_t len = sizeof tcp->os->read_buf;
    if (tcp->user->events->buffer)
        tcp->user->events->buffer(tcp->user, &ptr, &len);
    if (tcp->closing || !tcp->reading)
        return false;
    ssize_t n;
    do {
        n = read(tcp->fd, ptr, len);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        *budget -= (size_t)n < *budget ? (size_t)n : *budget;
        tcp->user->events->data(tcp->user, ptr, (size_t)n);
        return !tcp->closing && tcp->reading && (size_t)n == len && *budget > 0;
    }
    if (n == 0) {
        tcp->eof = true;
        watch(tcp);
        tcp->user->events->closed(tcp->user, WW_ECLOSED);
    } else if (errno != EAGAIN) {
        fail(tcp, ww_errno_err(errno));
    }
    return false;
}

static void read_some(struct ww_tcp *tcp)
{
    size_t budget = TURN_BYTES;
    while (read_once(tcp, &budget))
        ;
}

static int socket_error(int fd)
{
    int err = 0;
    socklen_t len = sizeof err;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) == 0 ? err : errno;
}

static void finish_connect(struct ww_tcp *tcp)
{
    int errnum = socket_error(tcp->fd);
    struct ww_tcp_user *user = tcp->user;
    tcp->connecting = false;
    if (errnum) {
        user->tcp = NULL;
        dispose(tcp);
        user->events->connected(user, ww_errno_err(errnum));
        return;
    }
    watch(tcp);
    user->events->connected(user, WW_OK);
}

static void polled(uv_poll_t *poll, int status, int events)
{
    struct ww_tcp *tcp = WW_CONTAINER_OF(poll, struct ww_tcp, poll);
    (void)ww_os_enter(poll->loop);
    if (status < 0) {
        /* libuv stopped watching because of a pending socket error: reading or writing will name it. */
        events = tcp->watching;
        tcp->watching = 0;
    }
    if (tcp->connecting) {
        finish_connect(tcp);
        return;
    }
    if ((events & UV_READABLE) && tcp->reading && !tcp->eof)
        read_some(tcp);
    if (!tcp->closing && !tcp->dead && (events & UV_WRITABLE) && tcp->blocked) {
        tcp->blocked = false;
        tcp->user->events->writable(tcp->user);
    }
    if (tcp->closing || tcp->dead)
        return;
    int errnum = status < 0 ? socket_error(tcp->fd) : 0;
    if (errnum)
        fail(tcp, ww_errno_err(errnum));
    else
        watch(tcp);
}

static void failed_later(struct ww_task *task)
{
    struct ww_tcp *tcp = WW_CONTAINER_OF(task, struct ww_tcp, fail_task);
    /* What the peer sent before it went away is still there. */
    if (tcp->reading && !tcp->eof && !tcp->dead)
        read_some(tcp);
    if (!tcp->closing && !tcp->dead)
        fail(tcp, tcp->fail_err);
}

ww_err ww_os_tcp_new_take(struct ww_os *os, int fd, struct ww_tcp **ret_tcp)
{
    struct ww_tcp *tcp = WW_NEW(struct ww_tcp);
    int err = tcp ? uv_poll_init(&os->loop, &tcp->poll, fd) : UV_ENOMEM;
    if (err) {
        ww_free(tcp);
        close(fd);
        return ww_errno_err(-err);
    }
    tcp->os = os;
    tcp->fd = fd;
    ww_task_init(&tcp->fail_task, failed_later);
    ww_os_flag(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    ww_os_flag(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    *ret_tcp = tcp;
    return WW_OK;
}

void ww_os_tcp_adopt(struct ww_tcp *tcp, struct ww_tcp_user *user)
{
    if (!user) {
        dispose(tcp);
        return;
    }
    tcp->user = user;
    user->tcp = tcp;
    tcp->reading = true;
    watch(tcp);
}

ww_err ww_os_tcp_connect(struct ww_env *env, const struct ww_netaddr *addr, struct ww_tcp_user *user)
{
    struct sockaddr_storage ss;
    socklen_t len;
    int fd;
    struct ww_tcp *tcp;
    WW_TRY(ww_os_sockaddr_from(addr, &ss, &len));
    WW_TRY(ww_os_socket(addr->family, SOCK_STREAM, &fd));
    WW_TRY(ww_os_tcp_new_take(ww_os_of(env), fd, &tcp));
    int rc;
    do {
        rc = connect(fd, (struct sockaddr *)&ss, len);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0 && errno != EINPROGRESS) {
        ww_err err = ww_errno_err(errno);
        dispose(tcp);
        return err;
    }
    tcp->connecting = true;
    ww_os_tcp_adopt(tcp, user);
    return WW_OK;
}

/* One sendmsg. Returns the bytes taken, 0 when the kernel is full, or a negative ww_err. */
static ssize_t send_batch(int fd, const struct ww_iovec *iov, size_t count, size_t *ret_wanted)
{
    struct iovec vec[IOV_BATCH];
    size_t wanted = 0;
    for (size_t i = 0; i < count; i++) {
        vec[i] = (struct iovec){(void *)(uintptr_t)iov[i].ptr, iov[i].len};
        wanted += iov[i].len;
    }
    const struct msghdr msg = {.msg_iov = vec, .msg_iovlen = count};
    ssize_t n;
    do {
        n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    *ret_wanted = wanted;
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == ENOBUFS ? 0 : ww_errno_err(errno);
}

ww_err ww_os_tcp_write(
    struct ww_env *env, struct ww_tcp *tcp, const struct ww_iovec *iov, size_t count, size_t *ret_taken)
{
    size_t taken = 0;
    if (tcp->dead || tcp->fail_err)
        return tcp->fail_err ? tcp->fail_err : WW_ECLOSED;
    if (tcp->connecting)
        return WW_ESTATE;
    for (size_t at = 0; at < count && !tcp->blocked; at += IOV_BATCH) {
        size_t wanted;
        ssize_t n = send_batch(tcp->fd, iov + at, count - at < IOV_BATCH ? count - at : IOV_BATCH, &wanted);
        if (n < 0) {
            tcp->fail_err = (ww_err)n;
            env->ops->post(env, &tcp->fail_task);
            return tcp->fail_err;
        }
        taken += (size_t)n;
        tcp->blocked = (size_t)n < wanted;
    }
    /* Within polled(), which watches when the callbacks are through, this changes nothing yet. */
    if (tcp->blocked)
        watch(tcp);
    *ret_taken = taken;
    return WW_OK;
}

void ww_os_tcp_shutdown(struct ww_env *env, struct ww_tcp *tcp)
{
    WW_UNUSED(env);
    if (!tcp->dead && !tcp->connecting)
        shutdown(tcp->fd, SHUT_WR); /* an error here is one that reading meets as well */
}

void ww_os_tcp_read(struct ww_env *env, struct ww_tcp *tcp, bool on)
{
    WW_UNUSED(env);
    tcp->reading = on;
    watch(tcp);
}

void ww_os_tcp_close(struct ww_env *env, struct ww_tcp *tcp)
{
    WW_UNUSED(env);
    WW_ASSERT(!tcp->closing);
    tcp->user->tcp = NULL;
    dispose(tcp);
}

void ww_os_tcp_addrs(
    struct ww_env *env, struct ww_tcp *tcp, struct ww_netaddr *ret_local, struct ww_netaddr *ret_remote)
{
    WW_UNUSED(env);
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    if (ww_os_bound_addr(tcp->fd, ret_local) != WW_OK)
        *ret_local = (struct ww_netaddr){0};
    if (getpeername(tcp->fd, (struct sockaddr *)&ss, &len) == 0)
        ww_os_sockaddr_to(&ss, ret_remote);
    else
        *ret_remote = (struct ww_netaddr){0};
}
