/* sim/internal.h — what the files of src/sim share. Nobody else includes it. */
#ifndef WW_SIM_INTERNAL_H
#define WW_SIM_INTERNAL_H

#include "sim/sim.h"

enum {
    SCRATCH_BYTES = 64 << 10, /* the loop's buffer, as seen by code under test */
    UDP_QUEUE_MAX = 256,      /* datagrams that wait in a socket */
    BACKLOG_MAX = 1024,
    EPHEMERAL_FIRST = 49152,
    TASKS_MAX = 4096, /* run in one event */
    IF_LO = 1,
    IF_ETH = 2,
};

struct ww_sim {
    struct ww_sim_conf conf;
    struct ww_prng root, delays, losses, cuts; /* `cuts`: where byte streams are cut */
    struct ww_heap events;
    uint64_t now_ns, event_count, hash;
    uint64_t same_instant; /* events since the clock last moved */
    struct ww_sim_node **nodes;
    size_t node_count;
    struct ww_list datagrams; /* under way */
    struct ww_list conns;
    struct ww_buf line; /* of the transcript */
    struct ww_sim_stats stats;
    uint8_t scratch[SCRATCH_BYTES];
};

/* One life of a node. */
struct ww_sim_host {
    struct ww_env env;
    struct ww_trace trace;
    struct ww_sim_node *node;
    struct ww_list link; /* in node->lives */
    bool dead;
    uint64_t clock_offset_ns; /* monotonic = world + offset */
    struct ww_prng prng, lateness;
    struct ww_heap timers;
    struct ww_sim_call timer_event, task_event;
    uint64_t timer_due_ns; /* world time that timer_event was armed for, before lateness */
    struct ww_list tasks;
    struct ww_list tcps, listeners, udps, resolves;
    uint16_t next_port;
};

struct ww_sim_node {
    struct ww_sim *sim;
    uint32_t index, segment, lives_count;
    char name[32];
    int64_t skew_ns;
    bool running, powered, paused;
    struct ww_sim_host *host; /* the present or last life */
    struct ww_list lives;
    uint64_t egress_free_ns, awake_since_ns;
    uint8_t *cut_to; /* by node index */
    struct ww_list files;
    ww_err disk_err;
};

static inline struct ww_sim_host *ww_sim_host_of(struct ww_env *env)
{
    return WW_CONTAINER_OF(env, struct ww_sim_host, env);
}

static inline struct ww_sim *ww_sim_of(const struct ww_sim_host *host)
{
    return host->node->sim;
}

/* Whether callbacks of this life may run now. Otherwise ww_sim_host_wake will come. */
static inline bool ww_sim_host_awake(const struct ww_sim_host *host)
{
    return !host->dead && !host->node->paused;
}

/* world.c */
bool ww_sim_chance(struct ww_prng *prng, uint32_t ppm);
bool ww_sim_reachable(const struct ww_sim_node *from, const struct ww_sim_node *to);
/* When `bytes` that leave now arrive; accounts for the sender's egress. Never before now. */
uint64_t ww_sim_transit(struct ww_sim_node *from, struct ww_sim_node *to, size_t bytes);
struct ww_sim_node *ww_sim_node_by_addr(
    struct ww_sim *sim, struct ww_sim_node *asking, const struct ww_netaddr *addr);

/* net.c: addresses */
enum ww_sim_addr_kind {
    WW_SIM_ADDR_NONE,
    WW_SIM_ADDR_ANY,
    WW_SIM_ADDR_LOOPBACK,
    WW_SIM_ADDR_OWN,
    WW_SIM_ADDR_MULTICAST,
    WW_SIM_ADDR_OTHER
};
enum ww_sim_addr_kind ww_sim_addr_kind(const struct ww_sim_node *node, const struct ww_netaddr *addr);
struct ww_netaddr ww_sim_addr_of(const struct ww_sim_node *node, uint8_t family, bool loopback);
bool ww_sim_ip_eq(const struct ww_netaddr *a, const struct ww_netaddr *b);
/* Whether a socket bound to `bound` hears what is sent to `to` (ports and addresses). */
bool ww_sim_bound_hears(const struct ww_netaddr *bound, const struct ww_netaddr *to);
bool ww_sim_bound_clash(const struct ww_netaddr *a, const struct ww_netaddr *b);
ww_err ww_sim_interfaces(struct ww_env *env, struct ww_netif **ret_ifs, size_t *ret_count);
void ww_sim_hostname(struct ww_env *env, char *out, size_t out_size);
ww_err ww_sim_resolve(struct ww_env *env, const char *name, uint8_t family, struct ww_resolve *op);
void ww_sim_resolve_cancel(struct ww_env *env, struct ww_resolve *op);
void ww_sim_resolves_drop(struct ww_sim_host *host);

/* host.c: one life of a node */
WW_MUST_USE ww_err ww_sim_host_new(struct ww_sim_node *node, struct ww_sim_host **ret_host);
void ww_sim_host_die(struct ww_sim_host *host, bool resets); /* no callback after this */
void ww_sim_host_wake(struct ww_sim_host *host);             /* after a pause */
void ww_sim_host_free(struct ww_sim_host *host);
void ww_sim_trace_line(struct ww_sim *sim, const struct ww_sim_node *node, struct ww_bytes text);

/* tcp.c */
ww_err ww_sim_tcp_listen(struct ww_env *env, const struct ww_netaddr *addr, struct ww_listener_user *user,
    struct ww_netaddr *ret_bound);
void ww_sim_listener_close(struct ww_env *env, struct ww_listener *listener);
ww_err ww_sim_tcp_connect(struct ww_env *env, const struct ww_netaddr *addr, struct ww_tcp_user *user);
ww_err ww_sim_tcp_write(
    struct ww_env *env, struct ww_tcp *tcp, const struct ww_iovec *iov, size_t count, size_t *ret_taken);
void ww_sim_tcp_shutdown(struct ww_env *env, struct ww_tcp *tcp);
void ww_sim_tcp_read(struct ww_env *env, struct ww_tcp *tcp, bool on);
void ww_sim_tcp_close(struct ww_env *env, struct ww_tcp *tcp);
void ww_sim_tcp_addrs(
    struct ww_env *env, struct ww_tcp *tcp, struct ww_netaddr *ret_local, struct ww_netaddr *ret_remote);
void ww_sim_tcp_die(struct ww_sim_host *host, bool resets);
void ww_sim_tcp_wake(struct ww_sim_host *host);
void ww_sim_tcp_free_host(struct ww_sim_host *host);
void ww_sim_tcp_free_world(struct ww_sim *sim);

/* udp.c */
ww_err ww_sim_udp_open(struct ww_env *env, const struct ww_udp_conf *conf, struct ww_udp_user *user,
    struct ww_netaddr *ret_bound);
ww_err ww_sim_udp_join(
    struct ww_env *env, struct ww_udp *udp, const struct ww_netaddr *group, const struct ww_netif *on);
ww_err ww_sim_udp_send(struct ww_env *env, struct ww_udp *udp, const struct ww_netaddr *to,
    const struct ww_netif *via, struct ww_bytes data);
void ww_sim_udp_close(struct ww_env *env, struct ww_udp *udp);
void ww_sim_udp_die(struct ww_sim_host *host);
void ww_sim_udp_wake(struct ww_sim_host *host);
void ww_sim_udp_free_host(struct ww_sim_host *host);
void ww_sim_udp_free_world(struct ww_sim *sim);

/* disk.c */
ww_err ww_sim_file_read(struct ww_env *env, const char *path, struct ww_buf *out);
ww_err ww_sim_file_write(struct ww_env *env, const char *path, struct ww_bytes data, unsigned mode);
ww_err ww_sim_dir_make(struct ww_env *env, const char *path, unsigned mode);
void ww_sim_disk_free(struct ww_sim_node *node);

#endif
