/* TCP as programs see it: listeners, ends of connections, and their callbacks, one an event. */
#include "sim/stream.h"

struct ww_listener {
    struct ww_list link; /* in host->listeners */
    struct ww_sim_host *host;
    struct ww_listener_user *user;
    struct ww_netaddr bound;
    struct ww_list queue; /* ends that wait to be accepted */
    size_t queue_len;
    struct ww_sim_call wake;
};

struct ww_tcp {
    struct ww_list link; /* in host->tcps, or in a listener's queue */
    struct ww_sim_host *host;
    struct ww_sim_conn *conn; /* NULL: this life is over */
    unsigned side;
    struct ww_tcp_user *user; /* NULL in the queue of a listener */
    struct ww_netaddr local, remote;
    struct ww_sim_call wake;
    bool connecting, connect_done;
    bool reading, eof_told;
    bool blocked, has_room; /* a write took less than all; since then room came */
    bool dead;              /* `err` was told */
    ww_err err;
};

static bool has_data(const struct ww_tcp *end)
{
    return end->reading && ww_sim_flow_readable(&end->conn->flow[1 - end->side]) > 0;
}

static bool has_eof(const struct ww_tcp *end)
{
    const struct ww_sim_flow *in = &end->conn->flow[1 - end->side];
    return end->reading && in->fin_arrived && in->read == in->arrived && !end->eof_told;
}

static bool has_room(const struct ww_tcp *end)
{
    return end->blocked && end->has_room && !end->err;
}

static void wake(struct ww_tcp *end)
{
    if (!end->conn || !end->user || end->dead || end->wake.armed || !ww_sim_host_awake(end->host))
        return;
    bool pending =
        end->connecting ? end->connect_done : has_data(end) || has_eof(end) || has_room(end) || end->err;
    if (pending)
        ww_sim_at(ww_sim_of(end->host), &end->wake, 0);
}

static void end_free(struct ww_tcp *end)
{
    ww_sim_call_cancel(ww_sim_of(end->host), &end->wake);
    ww_list_remove(&end->link);
    ww_free(end);
}

static void deliver_connected(struct ww_tcp *end)
{
    struct ww_tcp_user *user = end->user;
    ww_err err = end->err;
    end->connecting = end->connect_done = false;
    if (err) {
        user->tcp = NULL;
        ww_sim_conn_abort(end->conn, end->side, false);
        end_free(end);
    } else {
        wake(end);
    }
    user->events->connected(user, err);
}

static void deliver_data(struct ww_tcp *end)
{
    struct ww_sim *sim = ww_sim_of(end->host);
    struct ww_sim_flow *in = &end->conn->flow[1 - end->side];
    uint8_t *ptr = sim->scratch;
    size_t len = sizeof sim->scratch;
    if (end->user->events->buffer)
        end->user->events->buffer(end->user, &ptr, &len);
    WW_ASSERT(len > 0);
    size_t have = ww_sim_flow_readable(in);
    len = len < have ? len : have;
    memcpy(ptr, ww_buf_data(&in->bytes), len);
    ww_sim_flow_read(in, len);
    wake(end);
    end->user->events->data(end->user, ptr, len);
}

/* At most one callback; others that are due have an event of their own, so that the world goes on in between.
 */
static void deliver(struct ww_sim_call *call)
{
    struct ww_tcp *end = WW_CONTAINER_OF(call, struct ww_tcp, wake);
    if (!ww_sim_host_awake(end->host) || end->dead)
        return;
    if (end->connecting) {
        if (end->connect_done)
            deliver_connected(end);
    } else if (has_data(end)) {
        deliver_data(end);
    } else if (has_eof(end)) {
        end->eof_told = true;
        wake(end);
        end->user->events->closed(end->user, WW_ECLOSED);
    } else if (end->err) {
        end->dead = true;
        end->user->events->closed(end->user, end->err);
    } else if (has_room(end)) {
        end->blocked = end->has_room = false;
        wake(end);
        end->user->events->writable(end->user);
    }
}

void ww_sim_tcp_poke(struct ww_tcp *end)
{
    wake(end);
}

void ww_sim_tcp_room(struct ww_tcp *end)
{
    end->has_room = end->blocked;
    wake(end);
}

void ww_sim_tcp_failed(struct ww_tcp *end, ww_err err)
{
    if (end->err)
        return;
    end->err = err;
    end->connect_done |= end->connecting;
    wake(end);
}

void ww_sim_tcp_connected(struct ww_tcp *end, ww_err err)
{
    end->connect_done = true;
    if (!end->err)
        end->err = err;
    wake(end);
}

static struct ww_tcp *end_new(struct ww_sim_host *host, unsigned side, const struct ww_netaddr addr[2])
{
    struct ww_tcp *end = WW_NEW(struct ww_tcp);
    if (!end)
        return NULL;
    end->host = host;
    end->side = side;
    end->local = addr[side];
    end->remote = addr[1 - side];
    end->reading = true;
    end->wake.fire = deliver;
    ww_list_init(&end->link);
    return end;
}

/* ---- listening ---- */

static struct ww_listener *listener_for(struct ww_sim_host *host, const struct ww_netaddr *to)
{
    struct ww_listener *found = NULL;
    WW_LIST_FOR(it, &host->listeners)
    {
        struct ww_listener *l = WW_LIST_ENTRY(it, struct ww_listener, link);
        if (ww_sim_bound_hears(&l->bound, to))
            found = l;
    }
    return found;
}

static void listener_wake(struct ww_listener *l)
{
    if (!ww_list_empty(&l->queue) && !l->wake.armed && ww_sim_host_awake(l->host))
        ww_sim_at(ww_sim_of(l->host), &l->wake, 0);
}

ww_err ww_sim_tcp_incoming(struct ww_sim_conn *conn)
{
    struct ww_sim_host *host = conn->node[1]->host;
    struct ww_listener *l = listener_for(host, &conn->addr[1]);
    if (!l)
        return WW_EREFUSED;
    if (l->queue_len == BACKLOG_MAX)
        return WW_EAGAIN;
    struct ww_tcp *end = end_new(host, 1, conn->addr);
    if (!end)
        return WW_EAGAIN;
    conn->host[1] = host;
    conn->end[1] = end;
    end->conn = conn;
    ww_list_push_back(&l->queue, &end->link);
    l->queue_len++;
    listener_wake(l);
    return WW_OK;
}

static void accept_one(struct ww_sim_call *call)
{
    struct ww_listener *l = WW_CONTAINER_OF(call, struct ww_listener, wake);
    struct ww_sim_host *host = l->host;
    struct ww_list *link = ww_sim_host_awake(host) ? ww_list_pop_front(&l->queue) : NULL;
    if (!link)
        return;
    struct ww_tcp *end = WW_LIST_ENTRY(link, struct ww_tcp, link);
    l->queue_len--;
    listener_wake(l);
    struct ww_netaddr remote = end->remote;
    struct ww_tcp_user *user = l->user->accepted(l->user, &remote);
    if (!user) {
        ww_sim_conn_close(end->conn, end->side);
        end_free(end);
        return;
    }
    ww_list_push_back(&host->tcps, &end->link);
    end->user = user;
    user->tcp = end;
    wake(end);
}

static bool port_taken(const struct ww_sim_host *host, const struct ww_netaddr *addr)
{
    WW_LIST_FOR(it, &host->listeners)
    {
        if (ww_sim_bound_clash(&WW_LIST_ENTRY(it, struct ww_listener, link)->bound, addr))
            return true;
    }
    return false;
}

static uint16_t next_port(struct ww_sim_host *host)
{
    uint16_t port = host->next_port++;
    if (host->next_port == 0)
        host->next_port = EPHEMERAL_FIRST;
    return port;
}

ww_err ww_sim_tcp_listen(struct ww_env *env, const struct ww_netaddr *addr, struct ww_listener_user *user,
    struct ww_netaddr *ret_bound)
{
    struct ww_sim_host *host = ww_sim_host_of(env);
    enum ww_sim_addr_kind kind = ww_sim_addr_kind(host->node, addr);
    if (kind == WW_SIM_ADDR_NONE)
        return WW_EINVAL;
    if (kind == WW_SIM_ADDR_OTHER || kind == WW_SIM_ADDR_MULTICAST)
        return WW_EADDRNOTAVAIL;
    if (host->dead)
        return WW_ECLOSED;
    struct ww_netaddr bound = *addr;
    while (bound.port == 0 || (addr->port == 0 && port_taken(host, &bound)))
        bound.port = next_port(host);
    if (port_taken(host, &bound))
        return WW_EADDRINUSE;
    struct ww_listener *l = WW_NEW(struct ww_listener);
    if (!l)
        return WW_ENOMEM;
    l->host = host;
    l->user = user;
    l->bound = bound;
    l->wake.fire = accept_one;
    ww_list_init(&l->queue);
    ww_list_push_back(&host->listeners, &l->link);
    user->listener = l;
    if (ret_bound)
        *ret_bound = bound;
    return WW_OK;
}

/* Those in the queue never had an owner. */
static void queue_drop(struct ww_listener *l, bool reset)
{
    WW_LIST_FOR_SAFE(it, &l->queue)
    {
        struct ww_tcp *end = WW_LIST_ENTRY(it, struct ww_tcp, link);
        ww_sim_conn_abort(end->conn, end->side, reset);
        end_free(end);
    }
    l->queue_len = 0;
    ww_sim_call_cancel(ww_sim_of(l->host), &l->wake);
}

void ww_sim_listener_close(struct ww_env *env, struct ww_listener *l)
{
    WW_UNUSED(env);
    l->user->listener = NULL;
    queue_drop(l, true);
    ww_list_remove(&l->link);
    ww_free(l);
}

/* ---- connections ---- */

ww_err ww_sim_tcp_connect(struct ww_env *env, const struct ww_netaddr *addr, struct ww_tcp_user *user)
{
    struct ww_sim_host *host = ww_sim_host_of(env);
    enum ww_sim_addr_kind kind = ww_sim_addr_kind(host->node, addr);
    if (kind == WW_SIM_ADDR_NONE || addr->port == 0)
        return WW_EINVAL;
    if (kind == WW_SIM_ADDR_MULTICAST)
        return WW_EUNREACH;
    if (host->dead)
        return WW_ECLOSED;
    struct ww_netaddr pair[2] = {{0}, *addr};
    bool loopback = kind == WW_SIM_ADDR_LOOPBACK || kind == WW_SIM_ADDR_ANY;
    if (kind == WW_SIM_ADDR_ANY) { /* as on Linux: this host */
        pair[1] = ww_sim_addr_of(host->node, addr->family, true);
        pair[1].port = addr->port;
    }
    pair[0] = ww_sim_addr_of(host->node, addr->family, loopback);
    pair[0].port = next_port(host);
    struct ww_tcp *end = end_new(host, 0, pair);
    if (!end)
        return WW_ENOMEM;
    struct ww_sim_node *to = ww_sim_node_by_addr(ww_sim_of(host), host->node, &pair[1]);
    ww_err err = ww_sim_conn_new(host, pair, to, end, &end->conn);
    if (err) {
        end_free(end);
        return err;
    }
    end->connecting = true;
    end->user = user;
    user->tcp = end;
    ww_list_push_back(&host->tcps, &end->link);
    return WW_OK;
}

static ww_err append(
    struct ww_sim_flow *out, const struct ww_iovec *iov, size_t count, size_t limit, size_t *taken)
{
    for (size_t i = 0; i < count && limit > 0; i++) {
        size_t n = iov[i].len < limit ? iov[i].len : limit;
        WW_TRY(ww_buf_append(&out->bytes, ww_bytes(iov[i].ptr, n)));
        out->written += n;
        *taken += n;
        limit -= n;
    }
    return WW_OK;
}

ww_err ww_sim_tcp_write(
    struct ww_env *env, struct ww_tcp *end, const struct ww_iovec *iov, size_t count, size_t *ret_taken)
{
    WW_UNUSED(env);
    if (!end->conn || end->err)
        return end->err ? end->err : WW_ECLOSED;
    if (end->connecting)
        return WW_ESTATE;
    struct ww_sim_flow *out = &end->conn->flow[end->side];
    if (out->fin_queued)
        return WW_ECLOSED;
    struct ww_sim *sim = ww_sim_of(end->host);
    size_t want = 0, taken = 0, room = ww_sim_flow_room(out), limit = room;
    for (size_t i = 0; i < count; i++)
        want += iov[i].len;
    /* Now and then the kernel takes less than it could. */
    if (want > 1 && ww_prng_below(&sim->cuts, 16) == 0)
        limit = (size_t)ww_prng_below(&sim->cuts, want < room ? want : room + 1);
    ww_err err = end->blocked ? WW_OK : append(out, iov, count, limit, &taken);
    if (err) {
        ww_sim_tcp_failed(end, err);
        return err;
    }
    if (taken < want) {
        end->has_room |= !end->blocked && limit < room;
        end->blocked = true;
    }
    ww_sim_flow_pump(out);
    wake(end);
    *ret_taken = taken;
    return WW_OK;
}

void ww_sim_tcp_shutdown(struct ww_env *env, struct ww_tcp *end)
{
    WW_UNUSED(env);
    if (!end->conn || end->connecting || end->err)
        return;
    end->conn->flow[end->side].fin_queued = true;
    ww_sim_flow_pump(&end->conn->flow[end->side]);
}

void ww_sim_tcp_read(struct ww_env *env, struct ww_tcp *end, bool on)
{
    WW_UNUSED(env);
    end->reading = on;
    wake(end);
}

void ww_sim_tcp_close(struct ww_env *env, struct ww_tcp *end)
{
    WW_UNUSED(env);
    end->user->tcp = NULL;
    if (end->conn)
        ww_sim_conn_close(end->conn, end->side);
    end_free(end);
}

void ww_sim_tcp_addrs(
    struct ww_env *env, struct ww_tcp *end, struct ww_netaddr *ret_local, struct ww_netaddr *ret_remote)
{
    WW_UNUSED(env);
    *ret_local = end->local;
    *ret_remote = end->remote;
}

/* ---- the end of a life ---- */

void ww_sim_tcp_die(struct ww_sim_host *host, bool resets)
{
    WW_LIST_FOR(it, &host->listeners)
    queue_drop(WW_LIST_ENTRY(it, struct ww_listener, link), resets);
    WW_LIST_FOR(it, &host->tcps)
    {
        struct ww_tcp *end = WW_LIST_ENTRY(it, struct ww_tcp, link);
        ww_sim_call_cancel(ww_sim_of(host), &end->wake);
        if (end->conn)
            ww_sim_conn_abort(end->conn, end->side, resets);
        end->conn = NULL; /* what is left is the handle, until its owner closes it */
    }
    /* Without power, even connections that the program had closed are cut short. */
    WW_LIST_FOR_SAFE(it, &ww_sim_of(host)->conns)
    {
        struct ww_sim_conn *conn = WW_LIST_ENTRY(it, struct ww_sim_conn, link);
        for (unsigned i = 0; i < 2 && !resets; i++) {
            if (conn->host[i] == host)
                ww_sim_flow_stop(&conn->flow[i]);
        }
    }
}

void ww_sim_tcp_wake(struct ww_sim_host *host)
{
    WW_LIST_FOR(it, &host->listeners)
    listener_wake(WW_LIST_ENTRY(it, struct ww_listener, link));
    WW_LIST_FOR(it, &host->tcps)
    wake(WW_LIST_ENTRY(it, struct ww_tcp, link));
}

void ww_sim_tcp_free_host(struct ww_sim_host *host)
{
    struct ww_sim *sim = ww_sim_of(host);
    WW_LIST_FOR_SAFE(it, &host->listeners)
    {
        struct ww_listener *l = WW_LIST_ENTRY(it, struct ww_listener, link);
        WW_LIST_FOR_SAFE(queued, &l->queue)
        end_free(WW_LIST_ENTRY(queued, struct ww_tcp, link));
        ww_sim_call_cancel(sim, &l->wake);
        ww_list_remove(&l->link);
        ww_free(l);
    }
    WW_LIST_FOR_SAFE(it, &host->tcps)
    end_free(WW_LIST_ENTRY(it, struct ww_tcp, link));
}
