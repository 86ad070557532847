/* Datagrams: each finds its own way, or does not. */
#include "sim/internal.h"

#include "base/slab.h"

enum { GROUPS_MAX = 32 };

struct group {
    struct ww_netaddr addr;
    uint32_t interface;
};

struct ww_udp {
    struct ww_list link; /* in host->udps, while open */
    struct ww_sim_host *host;
    struct ww_udp_user *user;
    struct ww_udp_conf conf;
    struct ww_netaddr bound;
    struct group groups[GROUPS_MAX];
    size_t group_count;
    struct ww_list queue; /* datagrams that have arrived */
    size_t queue_len;
    struct ww_sim_call wake;
};

struct datagram {
    struct ww_list link; /* in sim->datagrams, then in a socket's queue */
    struct ww_sim_call call;
    struct ww_sim_node *from_node, *to_node;
    struct ww_netaddr from, to;
    uint32_t interface; /* arrives on */
    struct ww_slab *data;
};

static void datagram_free(struct datagram *d)
{
    ww_list_remove(&d->link);
    ww_slab_unref(d->data);
    ww_free(d);
}

static void udp_wake(struct ww_udp *udp)
{
    if (!ww_list_empty(&udp->queue) && !udp->wake.armed && ww_sim_host_awake(udp->host))
        ww_sim_at(ww_sim_of(udp->host), &udp->wake, 0);
}

static void deliver(struct ww_sim_call *call)
{
    struct ww_udp *udp = WW_CONTAINER_OF(call, struct ww_udp, wake);
    if (!ww_sim_host_awake(udp->host) || ww_list_empty(&udp->queue))
        return;
    struct datagram *d = WW_LIST_ENTRY(ww_list_pop_front(&udp->queue), struct datagram, link);
    udp->queue_len--;
    udp_wake(udp);
    ww_sim_of(udp->host)->stats.datagrams_delivered++;
    udp->user->datagram(udp->user, &d->from, &d->to, ww_slab_view(d->data));
    datagram_free(d);
}

static bool joined(const struct ww_udp *udp, const struct ww_netaddr *group, uint32_t interface)
{
    for (size_t i = 0; i < udp->group_count; i++) {
        if (udp->groups[i].interface == interface && ww_sim_ip_eq(&udp->groups[i].addr, group))
            return true;
    }
    return false;
}

static bool accepts(const struct ww_udp *udp, const struct datagram *d, bool multicast)
{
    return ww_sim_bound_hears(&udp->bound, &d->to) && d->data->len <= udp->conf.datagram_max &&
        (!multicast || joined(udp, &d->to, d->interface));
}

/* Of several that share a port, one socket gets a unicast datagram (which, Linux decides by the sender's
 * address), and each gets a multicast one: `d` itself goes to the last, copies to the others. */
static void hand_over(struct ww_sim_host *host, struct datagram *d)
{
    bool multicast = ww_sim_addr_kind(host->node, &d->to) == WW_SIM_ADDR_MULTICAST;
    struct ww_udp *last = NULL;
    WW_LIST_FOR(it, &host->udps)
    {
        struct ww_udp *udp = WW_LIST_ENTRY(it, struct ww_udp, link);
        if (!accepts(udp, d, multicast) || udp->queue_len == UDP_QUEUE_MAX)
            continue;
        struct datagram *copy = multicast && last ? ww_alloc(sizeof *copy) : NULL;
        if (copy) {
            *copy = *d;
            ww_slab_ref(copy->data);
            copy->call.armed = false;
            ww_list_push_back(&last->queue, &copy->link);
            last->queue_len++;
            udp_wake(last);
        }
        last = udp;
    }
    if (!last) {
        datagram_free(d);
        return;
    }
    ww_list_remove(&d->link);
    ww_list_push_back(&last->queue, &d->link);
    last->queue_len++;
    udp_wake(last);
}

static void arrive(struct ww_sim_call *call)
{
    struct datagram *d = WW_CONTAINER_OF(call, struct datagram, call);
    if (!d->to_node->running || !ww_sim_reachable(d->from_node, d->to_node)) {
        d->to_node->sim->stats.datagrams_lost++;
        datagram_free(d);
        return;
    }
    hand_over(d->to_node->host, d);
}

static void send_one(
    struct ww_udp *udp, struct ww_sim_node *target, const struct datagram *model, uint64_t extra_ns)
{
    struct ww_sim *sim = ww_sim_of(udp->host);
    struct datagram *d = ww_alloc(sizeof *d);
    if (!d)
        return; /* lost, like any other */
    *d = *model;
    ww_slab_ref(d->data);
    d->call = (struct ww_sim_call){.fire = arrive};
    d->to_node = target;
    ww_list_push_back(&sim->datagrams, &d->link);
    ww_sim_at(sim, &d->call, ww_sim_transit(d->from_node, target, d->data->len + 46) + extra_ns);
}

static void send_to_node(struct ww_udp *udp, struct ww_sim_node *target, const struct datagram *model)
{
    struct ww_sim *sim = ww_sim_of(udp->host);
    const struct ww_sim_link *link = &sim->conf.link;
    bool remote = target != udp->host->node;
    sim->stats.datagrams_sent++;
    if (remote && ww_sim_chance(&sim->losses, link->loss_ppm)) {
        sim->stats.datagrams_lost++;
        return;
    }
    send_one(udp, target, model, 0);
    if (remote && ww_sim_chance(&sim->losses, link->dup_ppm)) {
        sim->stats.datagrams_doubled++;
        send_one(udp, target, model, ww_prng_below(&sim->losses, 5 * WW_NS_PER_MS));
    }
}

static void send_multicast(struct ww_udp *udp, struct datagram *d)
{
    struct ww_sim *sim = ww_sim_of(udp->host);
    struct ww_sim_node *self = udp->host->node;
    for (size_t i = 0; i < sim->node_count; i++) {
        struct ww_sim_node *target = sim->nodes[i];
        /* As on Linux, what goes out by `lo` comes in by it, whatever the loop option says. */
        if (target == self
                ? d->interface == IF_LO || udp->conf.multicast_loop
                : d->interface == IF_ETH && udp->conf.multicast_ttl > 0 && target->segment == self->segment)
            send_to_node(udp, target, d);
    }
}

ww_err ww_sim_udp_send(struct ww_env *env, struct ww_udp *udp, const struct ww_netaddr *to,
    const struct ww_netif *via, struct ww_bytes data)
{
    struct ww_sim_host *host = ww_sim_host_of(env);
    enum ww_sim_addr_kind kind = ww_sim_addr_kind(host->node, to);
    if (host->dead)
        return WW_ECLOSED;
    if (to->family != udp->bound.family || to->port == 0 || kind == WW_SIM_ADDR_NONE ||
        kind == WW_SIM_ADDR_ANY)
        return WW_EINVAL;
    if (data.len > 65507)
        return WW_ELIMIT;
    struct ww_slab *slab = ww_slab_copy(data);
    if (!slab)
        return WW_ENOMEM;
    bool lo = kind == WW_SIM_ADDR_LOOPBACK || (kind == WW_SIM_ADDR_MULTICAST && via && via->index == IF_LO);
    struct datagram d = {.from_node = host->node, .to = *to, .interface = lo ? IF_LO : IF_ETH, .data = slab};
    d.from = ww_sim_addr_kind(host->node, &udp->bound) == WW_SIM_ADDR_OWN
        ? udp->bound
        : ww_sim_addr_of(host->node, to->family, lo);
    d.from.port = udp->bound.port;
    if (kind == WW_SIM_ADDR_MULTICAST) {
        send_multicast(udp, &d);
    } else {
        struct ww_sim_node *target = ww_sim_node_by_addr(host->node->sim, host->node, to);
        if (target)
            send_to_node(udp, target, &d);
    }
    ww_slab_unref(slab);
    return WW_OK;
}

static bool port_taken(const struct ww_sim_host *host, const struct ww_netaddr *addr, bool share)
{
    WW_LIST_FOR(it, &host->udps)
    {
        const struct ww_udp *udp = WW_LIST_ENTRY(it, struct ww_udp, link);
        if (ww_sim_bound_clash(&udp->bound, addr) && !(share && udp->conf.share))
            return true;
    }
    return false;
}

ww_err ww_sim_udp_open(struct ww_env *env, const struct ww_udp_conf *conf, struct ww_udp_user *user,
    struct ww_netaddr *ret_bound)
{
    struct ww_sim_host *host = ww_sim_host_of(env);
    struct ww_netaddr bound = conf->bind;
    switch (ww_sim_addr_kind(host->node, &conf->bind)) {
    case WW_SIM_ADDR_NONE:
        return WW_EINVAL;
    case WW_SIM_ADDR_OTHER:
        return WW_EADDRNOTAVAIL;
    default:
        break;
    }
    if (host->dead || conf->datagram_max == 0)
        return host->dead ? WW_ECLOSED : WW_EINVAL;
    while (bound.port == 0 || (conf->bind.port == 0 && port_taken(host, &bound, false))) {
        bound.port = host->next_port++;
        if (host->next_port == 0)
            host->next_port = EPHEMERAL_FIRST;
    }
    if (port_taken(host, &bound, conf->share))
        return WW_EADDRINUSE;
    struct ww_udp *udp = WW_NEW(struct ww_udp);
    if (!udp)
        return WW_ENOMEM;
    udp->host = host;
    udp->user = user;
    udp->conf = *conf;
    udp->bound = bound;
    udp->wake.fire = deliver;
    ww_list_init(&udp->queue);
    ww_list_push_back(&host->udps, &udp->link);
    user->udp = udp;
    if (ret_bound)
        *ret_bound = bound;
    return WW_OK;
}

ww_err ww_sim_udp_join(
    struct ww_env *env, struct ww_udp *udp, const struct ww_netaddr *group, const struct ww_netif *on)
{
    const struct ww_sim_node *node = ww_sim_host_of(env)->node;
    uint32_t interface = on ? on->index : IF_ETH;
    if (group->family != udp->bound.family || ww_sim_addr_kind(node, group) != WW_SIM_ADDR_MULTICAST)
        return WW_EINVAL;
    if (interface != IF_LO && interface != IF_ETH)
        return WW_ENOTFOUND;
    if (joined(udp, group, interface))
        return WW_OK;
    if (udp->group_count == GROUPS_MAX)
        return WW_ELIMIT;
    udp->groups[udp->group_count++] = (struct group){*group, interface};
    return WW_OK;
}

static void queue_drop(struct ww_udp *udp)
{
    WW_LIST_FOR_SAFE(it, &udp->queue)
    datagram_free(WW_LIST_ENTRY(it, struct datagram, link));
    udp->queue_len = 0;
    ww_sim_call_cancel(ww_sim_of(udp->host), &udp->wake);
}

void ww_sim_udp_close(struct ww_env *env, struct ww_udp *udp)
{
    WW_UNUSED(env);
    udp->user->udp = NULL;
    queue_drop(udp);
    ww_list_remove(&udp->link);
    ww_free(udp);
}

void ww_sim_udp_die(struct ww_sim_host *host)
{
    WW_LIST_FOR(it, &host->udps)
    queue_drop(WW_LIST_ENTRY(it, struct ww_udp, link));
}

void ww_sim_udp_wake(struct ww_sim_host *host)
{
    WW_LIST_FOR(it, &host->udps)
    udp_wake(WW_LIST_ENTRY(it, struct ww_udp, link));
}

void ww_sim_udp_free_host(struct ww_sim_host *host)
{
    WW_LIST_FOR_SAFE(it, &host->udps)
    {
        struct ww_udp *udp = WW_LIST_ENTRY(it, struct ww_udp, link);
        queue_drop(udp);
        ww_free(udp);
    }
}

void ww_sim_udp_free_world(struct ww_sim *sim)
{
    WW_LIST_FOR_SAFE(it, &sim->datagrams)
    {
        struct datagram *d = WW_LIST_ENTRY(it, struct datagram, link);
        ww_sim_call_cancel(sim, &d->call);
        datagram_free(d);
    }
}
