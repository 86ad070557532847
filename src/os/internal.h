/* os/internal.h — what the files of src/os share. Nobody else includes it. */
#ifndef WW_OS_INTERNAL_H
#define WW_OS_INTERNAL_H

#include <errno.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <uv.h>

#include "os/os.h"

enum {
    READ_BYTES = 128 << 10, /* the loop's shared read buffer */
    TURN_BYTES =
        512 << 10, /* one connection reads at most about this much before the others have their turn */
    TURN_ACCEPTS = 64,
    TURN_TASKS = 4096,
    BACKLOG = 1024,
    IOV_BATCH = 64,
};

struct ww_os {
    struct ww_env env;
    uv_loop_t loop;
    uv_prepare_t prepare; /* before polling: tasks, then the timer that wakes us */
    uv_check_t check;     /* after polling: tasks that the events left */
    uv_idle_t idle;       /* runs while tasks wait, so that polling does not block */
    uv_timer_t timer;     /* for the earliest of `timers` */
    uv_timer_t bound;     /* of ww_os_step */
    uv_async_t interrupt; /* another thread, or a signal handler */
    uv_signal_t signal[3];
    bool signals_on;
    struct ww_os_signals *signals;
    struct ww_heap timers;
    uint64_t timer_ms; /* what `timer` is set to; WW_NEVER: not running */
    struct ww_list tasks;
    uint64_t now_ns;
    bool now_valid;  /* now_ns was read in this callback */
    int reserve_fd;  /* given up for a moment to refuse connections when descriptors run out */
    size_t resolves; /* requests that libuv still holds */
    uint8_t read_buf[READ_BYTES];
};

/* Every callback from libuv starts with this: `now` is read afresh, at most once. */
static inline struct ww_os *ww_os_enter(uv_loop_t *loop)
{
    struct ww_os *os = WW_CONTAINER_OF(loop, struct ww_os, loop);
    os->now_valid = false;
    return os;
}

static inline struct ww_os *ww_os_of(struct ww_env *env)
{
    return WW_CONTAINER_OF(env, struct ww_os, env);
}

/* net.c */
WW_MUST_USE ww_err ww_os_sockaddr_from(
    const struct ww_netaddr *addr, struct sockaddr_storage *ret_ss, socklen_t *ret_len);
void ww_os_sockaddr_to(const struct sockaddr_storage *ss, struct ww_netaddr *ret_addr);
WW_MUST_USE ww_err ww_os_bound_addr(int fd, struct ww_netaddr *ret_addr);
WW_MUST_USE ww_err ww_os_socket(int family, int type, int *ret_fd);
void ww_os_flag(
    int fd, int level, int name, int value); /* an option whose failure changes nothing that matters */
ww_err ww_os_interfaces(struct ww_env *env, struct ww_netif **ret_ifs, size_t *ret_count);
void ww_os_hostname(struct ww_env *env, char *out, size_t out_size);
ww_err ww_os_resolve(struct ww_env *env, const char *name, uint8_t family, struct ww_resolve *op);
void ww_os_resolve_cancel(struct ww_env *env, struct ww_resolve *op);

/* tcp.c */
ww_err ww_os_tcp_connect(struct ww_env *env, const struct ww_netaddr *addr, struct ww_tcp_user *user);
ww_err ww_os_tcp_write(
    struct ww_env *env, struct ww_tcp *tcp, const struct ww_iovec *iov, size_t count, size_t *ret_taken);
void ww_os_tcp_shutdown(struct ww_env *env, struct ww_tcp *tcp);
void ww_os_tcp_read(struct ww_env *env, struct ww_tcp *tcp, bool on);
void ww_os_tcp_close(struct ww_env *env, struct ww_tcp *tcp);
void ww_os_tcp_addrs(
    struct ww_env *env, struct ww_tcp *tcp, struct ww_netaddr *ret_local, struct ww_netaddr *ret_remote);
/* For listener.c: a connection over an accepted descriptor, which it takes even when it fails; not yet
 * reading. */
WW_MUST_USE ww_err ww_os_tcp_new_take(struct ww_os *os, int fd, struct ww_tcp **ret_tcp);
void ww_os_tcp_adopt(struct ww_tcp *tcp, struct ww_tcp_user *user);

/* listener.c */
ww_err ww_os_tcp_listen(struct ww_env *env, const struct ww_netaddr *addr, struct ww_listener_user *user,
    struct ww_netaddr *ret_bound);
void ww_os_listener_close(struct ww_env *env, struct ww_listener *listener);

/* udp.c */
ww_err ww_os_udp_open(struct ww_env *env, const struct ww_udp_conf *conf, struct ww_udp_user *user,
    struct ww_netaddr *ret_bound);
ww_err ww_os_udp_join(
    struct ww_env *env, struct ww_udp *udp, const struct ww_netaddr *group, const struct ww_netif *on);
ww_err ww_os_udp_send(struct ww_env *env, struct ww_udp *udp, const struct ww_netaddr *to,
    const struct ww_netif *via, struct ww_bytes data);
void ww_os_udp_close(struct ww_env *env, struct ww_udp *udp);

/* file.c */
ww_err ww_os_file_read(struct ww_env *env, const char *path, struct ww_buf *out);
ww_err ww_os_file_write(struct ww_env *env, const char *path, struct ww_bytes data, unsigned mode);
ww_err ww_os_dir_make(struct ww_env *env, const char *path, unsigned mode);

#endif
