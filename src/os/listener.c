/* Accepting. When descriptors run out, the connection at the head of the queue would keep the listener
 * readable for ever; so one descriptor is held in reserve, and given up for a moment to accept and refuse. */
#include <fcntl.h>
#include <unistd.h>

#include "os/internal.h"

/* After a failure that waiting may cure (no memory, no descriptors in the whole system). */
#define PAUSE_NS (100 * WW_NS_PER_MS)

struct ww_listener {
    uv_poll_t poll;
    struct ww_os *os;
    struct ww_listener_user *user;
    struct ww_timer resume;
    int fd;
    bool closing;
};

static void freed(uv_handle_t *handle)
{
    ww_free(WW_CONTAINER_OF(handle, struct ww_listener, poll));
}

static void polled(uv_poll_t *poll, int status, int events);

static void resume(struct ww_timer *timer)
{
    struct ww_listener *l = WW_CONTAINER_OF(timer, struct ww_listener, resume);
    uv_poll_start(&l->poll, UV_READABLE, polled);
}

static void pause_accepting(struct ww_listener *l)
{
    struct ww_env *env = &l->os->env;
    uv_poll_stop(&l->poll);
    env->ops->timer_set(env, &l->resume, ww_env_now(env) + PAUSE_NS);
}

/* Refuses one connection. False when even that is not possible. */
static bool refuse_with_reserve(struct ww_listener *l)
{
    struct ww_os *os = l->os;
    if (os->reserve_fd < 0)
        return false;
    close(os->reserve_fd);
    int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        close(fd);
    os->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd >= 0;
}

/* False: no more for now. */
static bool accept_failed(struct ww_listener *l, int errnum)
{
    switch (errnum) {
    case EAGAIN:
        return false;
    case EMFILE:
    case ENFILE:
        if (refuse_with_reserve(l))
            return true;
        pause_accepting(l);
        return false;
    case ENOMEM:
    case ENOBUFS:
        pause_accepting(l);
        return false;
    default:
        return true; /* this one connection is gone: ECONNABORTED, and what the network said about it */
    }
}

static bool accept_one(struct ww_listener *l)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    int fd = accept4(l->fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return accept_failed(l, errno);
    struct ww_tcp *tcp;
    if (ww_os_tcp_new_take(l->os, fd, &tcp) != WW_OK)
        return true;
    struct ww_netaddr remote;
    ww_os_sockaddr_to(&ss, &remote);
    ww_os_tcp_adopt(tcp, l->user->accepted(l->user, &remote));
    return true;
}

static void polled(uv_poll_t *poll, int status, int events)
{
    struct ww_listener *l = WW_CONTAINER_OF(poll, struct ww_listener, poll);
    WW_UNUSED(events);
    (void)ww_os_enter(poll->loop);
    for (size_t i = 0; i < TURN_ACCEPTS && !l->closing; i++) {
        if (!accept_one(l))
            break;
    }
    if (status < 0 && !l->closing && !l->resume.armed)
        pause_accepting(l); /* libuv stopped watching over a socket error */
}

static ww_err bind_and_listen(int fd, const struct ww_netaddr *addr, struct ww_netaddr *ret_bound)
{
    struct sockaddr_storage ss;
    socklen_t len;
    WW_TRY(ww_os_sockaddr_from(addr, &ss, &len));
    ww_os_flag(fd, SOL_SOCKET, SO_REUSEADDR, 1); /* over connections of an earlier run in TIME_WAIT */
    if (bind(fd, (struct sockaddr *)&ss, len) != 0 || listen(fd, BACKLOG) != 0)
        return ww_errno_err(errno);
    return ww_os_bound_addr(fd, ret_bound);
}

ww_err ww_os_tcp_listen(struct ww_env *env, const struct ww_netaddr *addr, struct ww_listener_user *user,
    struct ww_netaddr *ret_bound)
{
    struct ww_os *os = ww_os_of(env);
    struct ww_netaddr bound;
    int fd;
    if (addr->family != 4 && addr->family != 6)
        return WW_EINVAL;
    WW_TRY(ww_os_socket(addr->family, SOCK_STREAM, &fd));
    ww_err err = bind_and_listen(fd, addr, &bound);
    struct ww_listener *l = err ? NULL : WW_NEW(struct ww_listener);
    if (!err && !l)
        err = WW_ENOMEM;
    if (!err)
        err = ww_errno_err(-uv_poll_init(&os->loop, &l->poll, fd));
    if (err) {
        ww_free(l);
        close(fd);
        return err;
    }
    l->os = os;
    l->fd = fd;
    l->user = user;
    l->resume.fired = resume;
    uv_poll_start(&l->poll, UV_READABLE, polled);
    user->listener = l;
    if (ret_bound)
        *ret_bound = bound;
    return WW_OK;
}

void ww_os_listener_close(struct ww_env *env, struct ww_listener *l)
{
    WW_ASSERT(!l->closing);
    l->closing = true;
    l->user->listener = NULL;
    env->ops->timer_cancel(env, &l->resume);
    uv_close((uv_handle_t *)&l->poll, freed);
    close(l->fd);
}
