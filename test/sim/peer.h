/* test/sim/peer.h — a small program for simulated nodes: listens, dials, sends a known pattern, echoes,
 * multicasts. */
#ifndef WW_TEST_SIM_PEER_H
#define WW_TEST_SIM_PEER_H

#include "sim/sim.h"
#include "test/lib/test.h"

enum { PEER_PORT = 2020, PEER_GROUP_PORT = 8822, PEER_CONNS = 16 };

struct peer;

struct peer_conn {
    struct ww_tcp_user user;
    struct ww_task start;
    struct peer *peer;
    bool echo, dialed, connected;
    uint64_t left, sent, received;
    size_t partial, chunks;
    size_t ends, errors; /* closed(WW_ECLOSED), closed(another) */
    ww_err connect_err, err;
    struct ww_buf pending;
};

struct peer {
    struct ww_sim_node *node;
    struct ww_env *env;
    const struct ww_env_ops *ops;
    struct ww_listener_user listener;
    struct ww_udp_user udp;
    struct peer_conn conns[PEER_CONNS];
    size_t conn_count, datagrams, echo_limit;
    bool refuse;
    uint8_t small[512]; /* own read buffer of dialed connections */
};

static inline uint8_t peer_pattern(uint64_t at)
{
    return (uint8_t)(at * 31 + (at >> 8) * 7 + (at >> 16));
}

static inline void peer_send(struct peer_conn *c)
{
    uint8_t chunk[3000];
    while (c->left > 0) {
        size_t n = c->left < sizeof chunk ? (size_t)c->left : sizeof chunk, taken = 0;
        for (size_t i = 0; i < n; i++)
            chunk[i] = peer_pattern(c->sent + i);
        const struct ww_iovec iov[3] = {{chunk, n / 2}, {NULL, 0}, {chunk + n / 2, n - n / 2}};
        if (c->peer->ops->tcp_write(c->peer->env, c->user.tcp, iov, 3, &taken) != WW_OK)
            return;
        c->sent += taken;
        c->left -= taken;
        if (taken < n) {
            c->partial++;
            return;
        }
    }
    c->peer->ops->tcp_shutdown(c->peer->env, c->user.tcp);
}

static inline void peer_echo(struct peer_conn *c)
{
    struct ww_bytes view = ww_buf_view(&c->pending);
    size_t taken = 0;
    const struct ww_iovec iov = {view.ptr, view.len};
    if (view.len > 0 && c->peer->ops->tcp_write(c->peer->env, c->user.tcp, &iov, 1, &taken) == WW_OK)
        ww_buf_consume(&c->pending, taken);
    c->partial += taken < view.len;
    c->peer->ops->tcp_read(c->peer->env, c->user.tcp, ww_buf_len(&c->pending) == 0);
}

static inline void peer_close(struct peer_conn *c)
{
    if (c->user.tcp)
        c->peer->ops->tcp_close(c->peer->env, c->user.tcp);
    ww_buf_fini(&c->pending);
}

static inline void peer_connected(struct ww_tcp_user *user, ww_err err)
{
    struct peer_conn *c = WW_CONTAINER_OF(user, struct peer_conn, user);
    c->connect_err = err;
    c->connected = !err;
    if (!err)
        peer_send(c);
    else
        assert_null(user->tcp);
}

static inline void peer_buffer(struct ww_tcp_user *user, uint8_t **ret_ptr, size_t *ret_len)
{
    struct peer_conn *c = WW_CONTAINER_OF(user, struct peer_conn, user);
    if (c->dialed) {
        *ret_ptr = c->peer->small;
        *ret_len = sizeof c->peer->small;
    }
}

static inline void peer_data(struct ww_tcp_user *user, uint8_t *ptr, size_t len)
{
    struct peer_conn *c = WW_CONTAINER_OF(user, struct peer_conn, user);
    assert_true(len > 0);
    c->chunks++;
    for (size_t i = 0; i < len; i++)
        assert_int_equal(ptr[i], peer_pattern(c->received + i));
    c->received += len;
    if (c->echo) {
        if (ww_buf_append(&c->pending, ww_bytes(ptr, len)) == WW_OK)
            peer_echo(c);
        else
            peer_close(c);
    }
}

static inline void peer_writable(struct ww_tcp_user *user)
{
    struct peer_conn *c = WW_CONTAINER_OF(user, struct peer_conn, user);
    if (c->echo)
        peer_echo(c);
    else
        peer_send(c);
    if (c->echo && c->ends && ww_buf_len(&c->pending) == 0)
        c->peer->ops->tcp_shutdown(c->peer->env, user->tcp);
}

static inline void peer_closed(struct ww_tcp_user *user, ww_err err)
{
    struct peer_conn *c = WW_CONTAINER_OF(user, struct peer_conn, user);
    assert_int_equal(c->errors, 0);
    if (err == WW_ECLOSED) {
        assert_int_equal(c->ends++, 0);
        if (c->echo && ww_buf_len(&c->pending) == 0)
            c->peer->ops->tcp_shutdown(c->peer->env, user->tcp);
    } else {
        c->errors++;
        c->err = err;
    }
}

static const struct ww_tcp_events peer_events = {
    peer_connected, peer_buffer, peer_data, peer_writable, peer_closed};

static inline struct peer_conn *peer_conn_new(struct peer *p)
{
    assert_true(p->conn_count < PEER_CONNS);
    struct peer_conn *c = &p->conns[p->conn_count++];
    *c = (struct peer_conn){.user.events = &peer_events, .peer = p};
    ww_buf_init(&c->pending, 1 << 20);
    return c;
}

static inline struct ww_tcp_user *peer_accepted(
    struct ww_listener_user *user, const struct ww_netaddr *remote)
{
    struct peer *p = WW_CONTAINER_OF(user, struct peer, listener);
    assert_int_equal(remote->family, 4);
    if (p->refuse)
        return NULL;
    struct peer_conn *c = peer_conn_new(p);
    c->echo = true;
    return &c->user;
}

static inline void peer_datagram(struct ww_udp_user *user, const struct ww_netaddr *from,
    const struct ww_netaddr *local, struct ww_bytes data)
{
    struct peer *p = WW_CONTAINER_OF(user, struct peer, udp);
    WW_UNUSED(from);
    WW_UNUSED(local);
    assert_true(data.len > 0);
    p->datagrams++;
}

static const struct ww_netaddr peer_group = {.family = 4, .ip = {228, 8, 8, 8}, .port = PEER_GROUP_PORT};

/* A program on a node that runs: a listener and a multicast socket. */
static inline ww_err peer_start(struct peer *p, struct ww_sim_node *node)
{
    *p = (struct peer){.node = node, .env = ww_sim_node_env(node)};
    p->ops = p->env->ops;
    p->listener.accepted = peer_accepted;
    p->udp.datagram = peer_datagram;
    const struct ww_netaddr any = {.family = 4, .port = PEER_PORT};
    const struct ww_udp_conf conf = {.bind = {.family = 4, .port = PEER_GROUP_PORT},
        .share = true,
        .multicast_loop = true,
        .multicast_ttl = 1,
        .datagram_max = 2048};
    WW_TRY(p->ops->tcp_listen(p->env, &any, &p->listener, NULL));
    WW_TRY(p->ops->udp_open(p->env, &conf, &p->udp, NULL));
    return p->ops->udp_join(p->env, p->udp.udp, &peer_group, NULL);
}

static inline void peer_stop(struct peer *p)
{
    for (size_t i = 0; i < p->conn_count; i++)
        peer_close(&p->conns[i]);
    p->conn_count = 0;
    if (p->listener.listener)
        p->ops->listener_close(p->env, p->listener.listener);
    if (p->udp.udp)
        p->ops->udp_close(p->env, p->udp.udp);
}

/* NULL when connecting fails at once. */
static inline struct peer_conn *peer_dial(struct peer *p, struct ww_netaddr addr, uint64_t bytes)
{
    struct peer_conn *c = peer_conn_new(p);
    c->dialed = true;
    c->left = bytes;
    if (addr.port == 0)
        addr.port = PEER_PORT;
    return p->ops->tcp_connect(p->env, &addr, &c->user) == WW_OK ? c : NULL;
}

static inline ww_err peer_shout(struct peer *p, size_t len)
{
    static const uint8_t zeros[2048];
    return p->ops->udp_send(p->env, p->udp.udp, &peer_group, NULL, ww_bytes(zeros, len));
}

#endif
