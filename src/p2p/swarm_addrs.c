/* Listening, and the addresses that we tell others: bound ones, wildcards expanded to the interfaces', then
 * announced ones. */
#include "p2p/peer_record.h"
#include "p2p/swarm_internal.h"

enum {
    LISTENERS_MAX = 32,
    ANNOUNCED_MAX = 32,
    ADDRS_MAX = 64, /* told; the rest of a machine's interfaces are left out */
};

static bool is_any(const struct ww_netaddr *a)
{
    static const uint8_t any[16] = {0};
    return memcmp(a->ip, any, a->family == 4 ? 4 : 16) == 0;
}

static bool same_host(const struct ww_netaddr *a, const struct ww_netaddr *b)
{
    return a->family == b->family && memcmp(a->ip, b->ip, a->family == 4 ? 4 : 16) == 0;
}

/* ---- listening ---- */

static ww_err listen_addr(struct ww_bytes addr, struct ww_netaddr *ret_net)
{
    uint64_t code = 0;
    struct ww_bytes rest;
    WW_TRY(ww_multiaddr_check(addr));
    WW_TRY(ww_multiaddr_netaddr(addr, ret_net, &code, &rest));
    return code == WW_MA_TCP && rest.len == 0 ? WW_OK : WW_EUNSUPPORTED;
}

ww_err ww_swarm_listen(struct ww_swarm *sw, struct ww_bytes addr, struct ww_diag *diag)
{
    struct ww_netaddr net;
    char text[160];
    size_t count = 0;
    WW_LIST_FOR(it, &sw->listeners)
    count++;
    ww_multiaddr_text(addr, text, sizeof text);
    if (count >= LISTENERS_MAX)
        return ww_diag_set(diag, WW_ELIMIT, "listen on %s: too many listeners", text);
    ww_err err = listen_addr(addr, &net);
    if (err < 0)
        return ww_diag_set(diag, err, "listen on %s: only /ip4 or /ip6 with /tcp", text);
    struct swarm_listener *l = WW_NEW(struct swarm_listener);
    if (!l)
        return WW_ENOMEM;
    l->sw = sw;
    l->user.accepted = conn_accepted;
    err = sw->env->ops->tcp_listen(sw->env, &net, &l->user, &l->bound);
    if (err < 0) {
        ww_free(l);
        return ww_diag_set(diag, err, "listen on %s: %s", text, ww_err_text(err));
    }
    ww_list_push_back(&sw->listeners, &l->link);
    WW_TRACE(sw->env->trace, SWARM_LISTEN, ww_tv_str(swarm_netaddr_text(&l->bound, text, sizeof text)));
    ww_swarm_refresh_addrs(sw);
    return WW_OK;
}

ww_err ww_swarm_announce(struct ww_swarm *sw, struct ww_bytes addr)
{
    WW_TRY(ww_multiaddr_check(addr));
    if (addr.len > WW_PEERSTORE_ADDR_BYTES_MAX || sw->announced_count == ANNOUNCED_MAX)
        return WW_ELIMIT;
    struct swarm_addr *more = ww_realloc(sw->announced, (sw->announced_count + 1) * sizeof *more);
    if (!more)
        return WW_ENOMEM;
    sw->announced = more;
    struct swarm_addr *a = &more[sw->announced_count++];
    a->len = addr.len;
    memcpy(a->bytes, addr.ptr, addr.len);
    ww_swarm_refresh_addrs(sw);
    return WW_OK;
}

bool swarm_addr_is_own(const struct ww_swarm *sw, const struct ww_netaddr *a)
{
    WW_LIST_FOR(it, &sw->listeners)
    {
        const struct swarm_listener *l = WW_LIST_ENTRY(it, struct swarm_listener, link);
        if (l->bound.port != a->port)
            continue;
        if (same_host(&l->bound, a) ||
            (is_any(&l->bound) && l->bound.family == a->family && swarm_netaddr_is_loopback(a)))
            return true;
    }
    return false;
}

/* ---- what we tell ---- */

struct addr_set {
    struct swarm_addr *items; /* ADDRS_MAX */
    size_t count;
};

static void set_add(struct addr_set *set, struct ww_bytes addr)
{
    if (set->count == ADDRS_MAX || addr.len == 0 || addr.len > WW_PEERSTORE_ADDR_BYTES_MAX)
        return;
    for (size_t i = 0; i < set->count; i++) {
        if (ww_bytes_eq(ww_bytes(set->items[i].bytes, set->items[i].len), addr))
            return;
    }
    struct swarm_addr *a = &set->items[set->count++];
    memset(a, 0, sizeof *a);
    a->len = addr.len;
    memcpy(a->bytes, addr.ptr, addr.len);
}

static void set_add_net(struct addr_set *set, const struct ww_netaddr *net)
{
    struct ww_buf buf;
    struct ww_netaddr plain = *net;
    plain.scope = 0; /* an interface index means nothing elsewhere */
    ww_buf_init(&buf, 64);
    if (ww_multiaddr_put_netaddr(&buf, &plain, WW_MA_TCP) == WW_OK)
        set_add(set, ww_buf_view(&buf));
    ww_buf_fini(&buf);
}

/* Link-local IPv6 addresses need a zone, so that nobody else can use them. */
static bool is_link_local6(const struct ww_netaddr *a)
{
    return a->family == 6 && a->ip[0] == 0xfe && (a->ip[1] & 0xc0) == 0x80;
}

static void set_add_interfaces(struct addr_set *set, const struct ww_netaddr *bound,
    const struct ww_netif *ifs, size_t count, bool loopback)
{
    for (size_t i = 0; i < count; i++) {
        if (!ifs[i].up || ifs[i].loopback != loopback || ifs[i].addr.family != bound->family ||
            is_link_local6(&ifs[i].addr))
            continue;
        struct ww_netaddr a = ifs[i].addr;
        a.port = bound->port;
        set_add_net(set, &a);
    }
}

static void set_add_bound(
    struct ww_swarm *sw, struct addr_set *set, const struct ww_netif *ifs, size_t count, bool loopback)
{
    WW_LIST_FOR(it, &sw->listeners)
    {
        const struct swarm_listener *l = WW_LIST_ENTRY(it, struct swarm_listener, link);
        if (is_any(&l->bound))
            set_add_interfaces(set, &l->bound, ifs, count, loopback);
        else if (swarm_netaddr_is_loopback(&l->bound) == loopback)
            set_add_net(set, &l->bound);
    }
}

static bool same_addrs(const struct ww_swarm *sw, const struct addr_set *set)
{
    if (set->count != sw->addr_count)
        return false;
    for (size_t i = 0; i < set->count; i++) {
        if (!ww_bytes_eq(ww_bytes(set->items[i].bytes, set->items[i].len), ww_swarm_addr(sw, i)))
            return false;
    }
    return true;
}

static bool has_wildcard(const struct ww_swarm *sw)
{
    WW_LIST_FOR(it, &sw->listeners)
    {
        if (is_any(&WW_LIST_ENTRY(it, struct swarm_listener, link)->bound))
            return true;
    }
    return false;
}

/* The list is right when this returns; subscribers hear of it from the loop. */
void ww_swarm_refresh_addrs(struct ww_swarm *sw)
{
    struct ww_netif *ifs = NULL;
    size_t count = 0;
    if (has_wildcard(sw) && sw->env->ops->interfaces(sw->env, &ifs, &count) < 0)
        return; /* what was true a moment ago is a better guess than nothing */
    struct addr_set set = {.items = ww_calloc(ADDRS_MAX, sizeof *set.items)};
    if (!set.items) {
        ww_free(ifs);
        return;
    }
    set_add_bound(sw, &set, ifs, count, false);
    set_add_bound(sw, &set, ifs, count, true);
    for (size_t i = 0; i < sw->announced_count; i++)
        set_add(&set, ww_bytes(sw->announced[i].bytes, sw->announced[i].len));
    ww_free(ifs);
    if (same_addrs(sw, &set)) {
        ww_free(set.items);
        return;
    }
    ww_free(sw->addrs);
    sw->addrs = set.items;
    sw->addr_count = set.count;
    ww_buf_clear(&sw->record);
    sw->env->ops->post(sw->env, &sw->addrs_task);
}

size_t ww_swarm_addr_count(const struct ww_swarm *sw)
{
    return sw->addr_count;
}

struct ww_bytes ww_swarm_addr(const struct ww_swarm *sw, size_t index)
{
    return index < sw->addr_count ? ww_bytes(sw->addrs[index].bytes, sw->addrs[index].len)
                                  : ww_bytes(NULL, 0);
}

struct ww_bytes ww_swarm_peer_record(struct ww_swarm *sw)
{
    if (ww_buf_len(&sw->record) == 0) {
        struct ww_bytes views[ADDRS_MAX];
        for (size_t i = 0; i < sw->addr_count; i++)
            views[i] = ww_swarm_addr(sw, i);
        uint64_t seq = sw->env->ops->wall_ns(sw->env);
        sw->record_seq = seq > sw->record_seq ? seq : sw->record_seq + 1;
        if (ww_peer_record_seal(sw->key, sw->record_seq, views, sw->addr_count, &sw->record) < 0)
            ww_buf_clear(&sw->record);
    }
    return ww_buf_view(&sw->record);
}

void swarm_addrs_fini(struct ww_swarm *sw)
{
    while (!ww_list_empty(&sw->listeners)) {
        struct swarm_listener *l = WW_LIST_ENTRY(sw->listeners.next, struct swarm_listener, link);
        sw->env->ops->listener_close(sw->env, l->user.listener);
        ww_list_remove(&l->link);
        ww_free(l);
    }
    ww_free(sw->announced);
    ww_free(sw->addrs);
    ww_buf_fini(&sw->record);
}
