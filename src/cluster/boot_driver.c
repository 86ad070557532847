#include "cluster/boot_driver.h"

#include "p2p/multiaddr.h"

#define SOCKETS_MAX 12
#define JOINS_MAX 64
#define ROTATE_NS (WW_NS_PER_S / 2)
#define RESCAN_NS (10 * WW_NS_PER_S) /* six times that while not searching */

/* A bound socket: one for each port that groups or questioners use, and one for our own questions. */
struct boot_socket {
    struct ww_udp_user user;
    struct ww_boot *boot;
    struct ww_netaddr bind; /* port 0: our own questions */
    uint64_t opened_ns;
};

/* A group that is joined on an interface. */
struct boot_join {
    struct boot_socket *socket;
    struct ww_netaddr group;
    struct ww_netif on;
    bool current; /* the interface was there at the last look */
};

struct ww_boot {
    struct ww_env *env;
    struct ww_boot_core *core;
    struct ww_boot_user *user;
    struct ww_boot_target targets[WW_BOOT_TARGETS_MAX];
    size_t target_count;
    bool answer, searching, multicast;
    struct boot_socket sockets[SOCKETS_MAX];
    size_t socket_count;
    struct boot_join joins[JOINS_MAX];
    size_t join_count;
    struct ww_timer timer;
    uint64_t rescan_ns;
    bool *freed; /* set when the boot goes away inside a callback */
};

/* ---- doing what the core says ---- */

static bool same_host(const struct ww_netaddr *a, const struct ww_netaddr *b)
{
    return a->family == b->family && memcmp(a->ip, b->ip, a->family == 4 ? 4 : 16) == 0;
}

static bool same_addr(const struct ww_netaddr *a, const struct ww_netaddr *b)
{
    return a->port == b->port && same_host(a, b);
}

/* Nothing here is worth an error: datagrams get lost anyway, and the search repeats them. */
static void send_one(struct ww_boot *b, struct boot_socket *s, const struct ww_netaddr *to,
    const struct ww_netif *via, struct ww_bytes data)
{
    if (b->env->ops->udp_send(b->env, s->user.udp, to, via, data) < 0)
        WW_TRACE(b->env->trace, BOOT_DROPPED, ww_tv_str(via ? via->name : ""), ww_tv_err(WW_EUNREACH));
}

static bool join_is_of(const struct boot_join *j, const struct ww_boot_target *t)
{
    if (!same_addr(&j->group, &t->addr))
        return false;
    bool any_loopback =
        strncmp(t->ifname, "lo", 2) == 0 && j->on.loopback; /* lo, or lo0 as other systems say */
    return t->ifname[0] == 0 || strcmp(t->ifname, j->on.name) == 0 || any_loopback;
}

static void send_group(struct ww_boot *b, const struct ww_boot_out *out)
{
    for (size_t i = 0; i < b->join_count; i++) {
        struct boot_join *j = &b->joins[i];
        bool wanted =
            out->target < 0 ? same_addr(&j->group, &out->to) : join_is_of(j, &b->targets[out->target]);
        if (wanted && j->current)
            send_one(b, j->socket, &j->group, &j->on, out->data);
    }
}

static ww_err socket_bind(struct ww_boot *b, struct boot_socket *s);

/* Nodes of one machine share a port, and the system hands a question to one of them by its source: maybe to
 * ourselves, and then always to ourselves. So questions leave from a new port now and then; the one before
 * still hears answers. */
static struct boot_socket *question_socket(struct ww_boot *b, uint8_t family)
{
    struct boot_socket *now = NULL, *before = NULL;
    for (size_t i = 0; i < b->socket_count; i++) {
        struct boot_socket *s = &b->sockets[i];
        if (s->bind.family != family || s->bind.port != 0)
            continue;
        bool newer = !now || s->opened_ns > now->opened_ns;
        before = newer ? now : s;
        now = newer ? s : now;
    }
    if (!now || (now->user.udp && ww_env_now(b->env) - now->opened_ns < ROTATE_NS))
        return now;
    if (!before && b->socket_count < SOCKETS_MAX) {
        before = &b->sockets[b->socket_count++];
        *before = (struct boot_socket){.user.datagram = now->user.datagram, .boot = b, .bind = now->bind};
    }
    if (!before)
        return now->user.udp ? now : NULL;
    if (before->user.udp)
        b->env->ops->udp_close(b->env, before->user.udp);
    before->user.udp = NULL;
    if (socket_bind(b, before) == 0)
        return before;
    return now->user.udp ? now : NULL;
}

/* Answers leave from the port that was asked; questions from our own. */
static void send_host(struct ww_boot *b, const struct ww_boot_out *out, struct boot_socket *from)
{
    if (!from)
        from = question_socket(b, out->to.family);
    if (from)
        send_one(b, from, &out->to, NULL, out->data);
}

static void boot_rest(struct ww_boot *b)
{
    uint64_t at = ww_boot_core_deadline(b->core);
    at = b->rescan_ns < at ? b->rescan_ns : at;
    if (at == WW_NEVER)
        b->env->ops->timer_cancel(b->env, &b->timer);
    else
        b->env->ops->timer_set(b->env, &b->timer, at);
}

/* Until there is nothing to do. The user may free the boot in its callback. */
static void boot_drain(struct ww_boot *b, struct boot_socket *asked)
{
    bool freed = false;
    b->freed = &freed;
    for (;;) {
        struct ww_boot_out out;
        ww_boot_core_next(b->core, ww_env_now(b->env), &out);
        if (out.kind == WW_BOOT_OUT_NONE)
            break;
        if (out.kind == WW_BOOT_OUT_FOUND) {
            b->user->peer_found(b->user, &out.peer, out.addrs, out.addr_count);
            if (freed)
                return;
        } else if (out.group) {
            send_group(b, &out);
        } else {
            send_host(b, &out, out.target < 0 ? asked : NULL);
        }
    }
    b->freed = NULL;
    boot_rest(b);
}

static void boot_datagram(struct ww_udp_user *user, const struct ww_netaddr *from,
    const struct ww_netaddr *local, struct ww_bytes data)
{
    struct boot_socket *s = WW_CONTAINER_OF(user, struct boot_socket, user);
    struct ww_boot *b = s->boot;
    struct ww_netaddr group = {0};
    /* Where the system does not say how it was addressed, a survey was sent to the group: it never goes
     * elsewhere. */
    for (size_t i = 0; i < b->join_count && group.family == 0; i++) {
        const struct boot_join *j = &b->joins[i];
        if (j->socket == s && (!local || local->family == 0 || same_host(local, &j->group)))
            group = j->group;
    }
    ww_boot_core_receive(b->core, ww_env_now(b->env), from, group.family ? &group : NULL, data);
    boot_drain(b, s);
}

/* ---- sockets and groups ---- */

static ww_err socket_bind(struct ww_boot *b, struct boot_socket *s)
{
    struct ww_netaddr bound;
    struct ww_udp_conf conf = {.bind = s->bind,
        .share = s->bind.port != 0,
        .multicast_loop = true,
        .multicast_ttl = 1,
        .datagram_max = WW_BOOT_DATAGRAM_MAX};
    s->opened_ns = ww_env_now(b->env);
    return b->env->ops->udp_open(b->env, &conf, &s->user, &bound);
}

static ww_err socket_open(struct ww_boot *b, uint8_t family, uint16_t port, struct boot_socket **ret_socket)
{
    for (size_t i = 0; i < b->socket_count; i++) {
        if (b->sockets[i].bind.family == family && b->sockets[i].bind.port == port) {
            *ret_socket = &b->sockets[i];
            return 0;
        }
    }
    if (b->socket_count == SOCKETS_MAX)
        return WW_ELIMIT;
    struct boot_socket *s = &b->sockets[b->socket_count];
    *s = (struct boot_socket){
        .user.datagram = boot_datagram, .boot = b, .bind = {.family = family, .port = port}};
    WW_TRY(socket_bind(b, s));
    b->socket_count++;
    *ret_socket = s;
    return 0;
}

static struct boot_join *join_find(struct ww_boot *b, const struct ww_netaddr *group, uint32_t index)
{
    for (size_t i = 0; i < b->join_count; i++) {
        if (same_addr(&b->joins[i].group, group) && b->joins[i].on.index == index)
            return &b->joins[i];
    }
    return NULL;
}

/* Joins the target's group on the interface if it is one to use and not joined yet. */
static void join_on(
    struct ww_boot *b, const struct ww_boot_target *t, struct boot_socket *s, const struct ww_netif *on)
{
    struct boot_join wanted = {.socket = s, .group = t->addr, .on = *on, .current = true};
    bool usable = on->up && (on->multicast || on->loopback) && on->addr.family == t->addr.family;
    if (!usable || !join_is_of(&wanted, t))
        return;
    struct boot_join *known = join_find(b, &t->addr, on->index);
    if (known) {
        known->current = true;
        return;
    }
    if (b->join_count == JOINS_MAX)
        return;
    ww_err err = b->env->ops->udp_join(b->env, s->user.udp, &t->addr, on);
    if (err < 0)
        WW_TRACE(b->env->trace, BOOT_DROPPED, ww_tv_str(on->name), ww_tv_err(err));
    else
        b->joins[b->join_count++] = wanted;
}

/* Interfaces come and go. */
static void joins_refresh(struct ww_boot *b)
{
    struct ww_netif *ifs = NULL;
    size_t count = 0;
    b->rescan_ns = b->multicast ? ww_env_now(b->env) + (b->searching ? 1 : 6) * RESCAN_NS : WW_NEVER;
    if (b->env->ops->interfaces(b->env, &ifs, &count) < 0)
        return;
    for (size_t i = 0; i < b->join_count; i++)
        b->joins[i].current = false;
    for (size_t i = 0; i < b->target_count; i++) {
        struct boot_socket *s;
        const struct ww_boot_target *t = &b->targets[i];
        if (t->way != WW_BOOT_MULTICAST || socket_open(b, t->addr.family, t->addr.port, &s) < 0)
            continue;
        for (size_t k = 0; k < count; k++)
            join_on(b, t, s, &ifs[k]);
    }
    ww_free(ifs);
}

/* A way to ask and, for a node, one to be asked. */
static ww_err target_open(struct ww_boot *b, const struct ww_boot_target *t, struct ww_diag *diag)
{
    struct boot_socket *s;
    ww_err err = 0;
    if (t->way == WW_BOOT_PEER)
        return 0;
    if (t->way == WW_BOOT_MULTICAST)
        err = socket_open(b, t->addr.family, t->addr.port, &s);
    else
        err = socket_open(b, t->addr.family, 0, &s);
    if (err == 0 && t->way != WW_BOOT_MULTICAST && b->answer && t->addr.port != 0)
        err = socket_open(b, t->addr.family, t->addr.port, &s);
    return err < 0 ? ww_diag_set(diag, err, "discovery on UDP port %u: %s", t->addr.port, ww_err_text(err))
                   : 0;
}

static void boot_timer(struct ww_timer *timer)
{
    struct ww_boot *b = WW_CONTAINER_OF(timer, struct ww_boot, timer);
    if (ww_env_now(b->env) >= b->rescan_ns)
        joins_refresh(b);
    boot_drain(b, NULL);
}

/* ---- life ---- */

static ww_err target_add(struct ww_boot *b, struct ww_bytes maddr, bool must_be_peer, struct ww_diag *diag)
{
    char text[256];
    struct ww_diag why = {0};
    if (b->target_count == WW_BOOT_TARGETS_MAX)
        return ww_diag_set(diag, WW_ELIMIT, "too many discovery addresses");
    ww_err err = ww_boot_target_parse(maddr, &b->targets[b->target_count], &why);
    struct ww_peer_id peer;
    if (must_be_peer && ww_multiaddr_peer(maddr, &peer, NULL) < 0)
        err = ww_diag_set(&why, WW_EINVAL, "/p2p/ID is missing at the end");
    if (err < 0)
        return ww_diag_set(diag, err, "%s: %s", ww_multiaddr_text(maddr, text, sizeof text), why.text);
    b->target_count++;
    return 0;
}

static ww_err targets_read(struct ww_boot *b, const struct ww_boot_conf *conf, struct ww_diag *diag)
{
    for (size_t i = 0; i < conf->discover_count; i++)
        WW_TRY(target_add(b, conf->discover[i], false, diag));
    for (size_t i = 0; i < conf->peer_count; i++)
        WW_TRY(target_add(b, conf->peers[i], true, diag));
    if (b->target_count == 0)
        ww_boot_target_default(&b->targets[b->target_count++]);
    return 0;
}

static ww_err boot_open(struct ww_boot *b, const struct ww_boot_conf *conf, struct ww_diag *diag)
{
    struct ww_boot_core_conf core = {
        .signer = conf->signer, .ns = conf->ns, .targets = b->targets, .trace = b->env->trace};
    bool others = false;
    ww_err first = 0;
    core.target_count = b->target_count;
    b->env->ops->random(b->env, &core.seed, sizeof core.seed);
    WW_TRY(ww_boot_core_new(&core, &b->core));
    for (size_t i = 0; i < b->target_count; i++) {
        ww_err err = target_open(b, &b->targets[i], first == 0 ? diag : NULL);
        first = first == 0 ? err : first;
        others = others || (err == 0 && b->targets[i].way != WW_BOOT_MULTICAST);
        b->multicast = b->multicast || b->targets[i].way == WW_BOOT_MULTICAST;
    }
    joins_refresh(b);
    if (b->join_count > 0 || others)
        return 0;
    return first < 0
        ? first
        : ww_diag_set(diag, WW_EADDRNOTAVAIL, "discovery: no interface can be used for multicast");
}

ww_err ww_boot_new(
    struct ww_env *env, const struct ww_boot_conf *conf, struct ww_boot **ret_boot, struct ww_diag *diag)
{
    struct ww_boot *b = WW_NEW(struct ww_boot);
    if (!b)
        return WW_ENOMEM;
    b->env = env;
    b->user = conf->user;
    b->answer = conf->answer;
    b->timer.fired = boot_timer;
    ww_err err = targets_read(b, conf, diag);
    if (err == 0)
        err = boot_open(b, conf, diag);
    if (err < 0) {
        ww_boot_free(b);
        return err;
    }
    *ret_boot = b;
    return 0;
}

void ww_boot_free(struct ww_boot *b)
{
    if (!b)
        return;
    if (b->freed)
        *b->freed = true;
    b->env->ops->timer_cancel(b->env, &b->timer);
    for (size_t i = 0; i < b->socket_count; i++) {
        if (b->sockets[i].user.udp)
            b->env->ops->udp_close(b->env, b->sockets[i].user.udp);
    }
    ww_boot_core_free(b->core);
    ww_free(b);
}

ww_err ww_boot_set_addrs(struct ww_boot *b, const struct ww_bytes *addrs, size_t count)
{
    return b->answer ? ww_boot_core_set_addrs(b->core, addrs, count) : 0;
}

void ww_boot_search(struct ww_boot *b, bool on)
{
    uint64_t now_ns = ww_env_now(b->env);
    if (on && !b->searching && b->multicast)
        b->rescan_ns = now_ns;
    b->searching = on;
    ww_boot_core_search(b->core, now_ns, on);
    if (!b->freed) /* else the drain under way sets the timer */
        boot_rest(b);
}
