/* env/env.h — the seam between the node and the world: clock, timers, randomness, network, small files.
 *
 * `os` implements it on libuv, `sim` in virtual time; the code above is the same object code on both.
 * Everything happens on one loop thread. No callback of this interface ever runs inside the call that asked
 * for it. A callback may close or free its own object; the provider touches nothing of it afterwards. Views
 * handed to a callback are valid until it returns.
 */
#ifndef WW_ENV_ENV_H
#define WW_ENV_ENV_H

#include "base/buf.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/trace.h"

struct ww_env;

/* ---- time ---- */

struct ww_timer {
    struct ww_heap_node node; /* the provider's, while armed */
    bool armed;
    void (*fired)(struct ww_timer *timer); /* disarmed before the call; may arm again */
};

/* Work for later in this loop turn, first in first out. For "not inside the submitting call". */
struct ww_task {
    struct ww_list link; /* initialize with ww_task_init */
    void (*run)(struct ww_task *task);
};

static inline void ww_task_init(struct ww_task *t, void (*run)(struct ww_task *))
{
    ww_list_init(&t->link);
    t->run = run;
}

/* ---- addresses ---- */

struct ww_netaddr {
    uint8_t family; /* 4 or 6; 0: none */
    uint8_t ip[16]; /* network order; the first 4 bytes for family 4 */
    uint16_t port;  /* host order */
    uint32_t scope; /* IPv6 zone (interface index), else 0 */
};

struct ww_netif {
    char name[16];
    uint32_t index;
    struct ww_netaddr addr; /* port 0 */
    uint8_t prefix_bits;
    bool up, loopback, multicast;
};

/* ---- TCP ---- */

struct ww_iovec {
    const uint8_t *ptr;
    size_t len;
};

struct ww_tcp;      /* the provider's */
struct ww_tcp_user; /* embedded in the owner */

struct ww_tcp_events {
    /* Outbound connections only, once. After an error there is no further event, and the handle is gone. */
    void (*connected)(struct ww_tcp_user *user, ww_err err);
    /* Where to read next; optional (NULL: the loop's shared buffer). At least 1 byte. May not close. */
    void (*buffer)(struct ww_tcp_user *user, uint8_t **ret_ptr, size_t *ret_len);
    /* Bytes arrived, in the buffer from `buffer` or in the loop's. The callee may write into them (decrypt in
     * place). They are gone after the call unless the buffer was the user's own. */
    void (*data)(struct ww_tcp_user *user, uint8_t *ptr, size_t len);
    /* A tcp_write took less than everything, and now there is room again. */
    void (*writable)(struct ww_tcp_user *user);
    /* WW_ECLOSED: the peer ended its side (half-close: writing may go on). Any other error: the connection is
     * dead. At most once of each; after an error nothing follows but the owner's tcp_close. */
    void (*closed)(struct ww_tcp_user *user, ww_err err);
};

struct ww_tcp_user {
    const struct ww_tcp_events *events;
    struct ww_tcp *tcp; /* set by the provider: by tcp_connect at once, or at accept */
};

struct ww_listener;
struct ww_listener_user {
    /* Return the user that shall own the new connection (with `events` set), or NULL to refuse: the provider
     * closes it. Reading starts after the callback, and only then `user->tcp` is set: to write first, post a
     * task. */
    struct ww_tcp_user *(*accepted)(struct ww_listener_user *user, const struct ww_netaddr *remote);
    struct ww_listener *listener; /* set by tcp_listen */
};

/* ---- UDP ---- */

struct ww_udp;
struct ww_udp_user {
    /* `local` is the destination address of the datagram where the provider knows it (else family 0). */
    void (*datagram)(struct ww_udp_user *user, const struct ww_netaddr *from, const struct ww_netaddr *local,
        struct ww_bytes data);
    struct ww_udp *udp; /* set by udp_open */
};

struct ww_udp_conf {
    struct ww_netaddr bind;
    bool share; /* other processes on this host may bind the same port (SO_REUSEADDR + SO_REUSEPORT) */
    bool multicast_loop; /* own multicast is seen on this host */
    uint8_t multicast_ttl;
    size_t datagram_max; /* longer datagrams are dropped whole */
};

/* ---- names ---- */

struct ww_resolve {
    void (*done)(struct ww_resolve *op, ww_err err); /* exactly once */
    struct ww_netaddr addrs[8];                      /* port 0 */
    size_t count;
    void *provider; /* NULL when idle */
};

struct ww_env_ops {
    uint64_t (*now_ns)(struct ww_env *env); /* monotonic, frozen within one callback where the provider can */
    uint64_t (*wall_ns)(struct ww_env *env);                   /* since 1970 UTC */
    void (*random)(struct ww_env *env, void *out, size_t len); /* cryptographic (under `sim`: seeded) */

    /* Arms or re-arms. A deadline in the past fires on the next turn. */
    void (*timer_set)(struct ww_env *env, struct ww_timer *timer, uint64_t deadline_ns);
    void (*timer_cancel)(struct ww_env *env, struct ww_timer *timer); /* harmless when not armed */
    void (*post)(struct ww_env *env, struct ww_task *task);           /* harmless when already posted */

    /* Port 0 binds a free one: `ret_bound` tells. WW_EADDRINUSE, WW_EADDRNOTAVAIL, WW_EDENIED. */
    ww_err (*tcp_listen)(struct ww_env *env, const struct ww_netaddr *addr, struct ww_listener_user *user,
        struct ww_netaddr *ret_bound);
    void (*listener_close)(struct ww_env *env, struct ww_listener *listener);
    /* On success `connected` comes later, unless tcp_close comes first. */
    ww_err (*tcp_connect)(struct ww_env *env, const struct ww_netaddr *addr, struct ww_tcp_user *user);
    /* Hands over as much as the system takes now, without queueing: returns WW_OK and the count (maybe 0);
     * when it is less than all, `writable` follows. An error means that the connection is dead (`closed`
     * follows as well). */
    ww_err (*tcp_write)(
        struct ww_env *env, struct ww_tcp *tcp, const struct ww_iovec *iov, size_t count, size_t *ret_taken);
    void (*tcp_shutdown)(
        struct ww_env *env, struct ww_tcp *tcp); /* no more writes; the peer reads end of file */
    void (*tcp_read)(struct ww_env *env, struct ww_tcp *tcp, bool on); /* back-pressure; on at first */
    void (*tcp_close)(struct ww_env *env, struct ww_tcp *tcp);         /* no event follows */
    void (*tcp_addrs)(
        struct ww_env *env, struct ww_tcp *tcp, struct ww_netaddr *ret_local, struct ww_netaddr *ret_remote);

    ww_err (*udp_open)(struct ww_env *env, const struct ww_udp_conf *conf, struct ww_udp_user *user,
        struct ww_netaddr *ret_bound);
    ww_err (*udp_join)(
        struct ww_env *env, struct ww_udp *udp, const struct ww_netaddr *group, const struct ww_netif *on);
    /* `via` names the interface for multicast (NULL: the system's choice). Sent at once or dropped; never
     * queued. */
    ww_err (*udp_send)(struct ww_env *env, struct ww_udp *udp, const struct ww_netaddr *to,
        const struct ww_netif *via, struct ww_bytes data);
    void (*udp_close)(struct ww_env *env, struct ww_udp *udp);

    /* An entry an address. `*ret_ifs` is ww_free'd by the caller. */
    ww_err (*interfaces)(struct ww_env *env, struct ww_netif **ret_ifs, size_t *ret_count);
    void (*hostname)(struct ww_env *env, char *out, size_t out_size); /* NUL-terminated, "" when unknown */
    /* family: 4, 6, or 0 for both. */
    ww_err (*resolve)(struct ww_env *env, const char *name, uint8_t family, struct ww_resolve *op);
    void (*resolve_cancel)(struct ww_env *env, struct ww_resolve *op); /* `done` does not come */

    /* Small files only: keys, allow-lists, state. They block; never on the path of a message. */
    ww_err (*file_read)(
        struct ww_env *env, const char *path, struct ww_buf *out); /* WW_ENOTFOUND, WW_EDENIED, WW_ELIMIT */
    /* Written beside, synced and renamed: after a crash the old or the new content, never a mixture. */
    ww_err (*file_write)(struct ww_env *env, const char *path, struct ww_bytes data, unsigned mode);
    ww_err (*dir_make)(
        struct ww_env *env, const char *path, unsigned mode); /* with parents; existing is fine */
};

struct ww_env {
    const struct ww_env_ops *ops;
    struct ww_trace *trace; /* NULL: nobody listens */
};

static inline uint64_t ww_env_now(struct ww_env *env)
{
    return env->ops->now_ns(env);
}

#endif
