/* Addresses, interfaces, names. Node n (from 0) is 10.0.x.y with x.y = n + 1, and fd00::(n + 1). */
#include <stdio.h>

#include "sim/internal.h"

struct ww_netaddr ww_sim_addr_of(const struct ww_sim_node *node, uint8_t family, bool loopback)
{
    struct ww_netaddr a = {.family = family};
    uint32_t n = node->index + 1;
    if (family == 4 && loopback) {
        memcpy(a.ip, (uint8_t[]){127, 0, 0, 1}, 4);
    } else if (family == 4) {
        memcpy(a.ip, (uint8_t[]){10, 0, (uint8_t)(n >> 8), (uint8_t)n}, 4);
    } else if (loopback) {
        a.ip[15] = 1;
    } else {
        a.ip[0] = 0xfd;
        ww_be16_store(&a.ip[14], (uint16_t)n);
    }
    return a;
}

bool ww_sim_ip_eq(const struct ww_netaddr *a, const struct ww_netaddr *b)
{
    return a->family == b->family && memcmp(a->ip, b->ip, a->family == 4 ? 4 : 16) == 0;
}

static bool is_any(const struct ww_netaddr *a)
{
    static const uint8_t zero[16];
    return memcmp(a->ip, zero, a->family == 4 ? 4 : 16) == 0;
}

static bool is_loopback(const struct ww_netaddr *a)
{
    static const uint8_t one[16] = {[15] = 1};
    return a->family == 4 ? a->ip[0] == 127 : memcmp(a->ip, one, 16) == 0;
}

enum ww_sim_addr_kind ww_sim_addr_kind(const struct ww_sim_node *node, const struct ww_netaddr *addr)
{
    if (addr->family != 4 && addr->family != 6)
        return WW_SIM_ADDR_NONE;
    if (is_any(addr))
        return WW_SIM_ADDR_ANY;
    if (is_loopback(addr))
        return WW_SIM_ADDR_LOOPBACK;
    if (addr->family == 4 ? addr->ip[0] >> 4 == 14 : addr->ip[0] == 0xff)
        return WW_SIM_ADDR_MULTICAST;
    struct ww_netaddr own = ww_sim_addr_of(node, addr->family, false);
    return ww_sim_ip_eq(&own, addr) ? WW_SIM_ADDR_OWN : WW_SIM_ADDR_OTHER;
}

bool ww_sim_bound_hears(const struct ww_netaddr *bound, const struct ww_netaddr *to)
{
    return bound->family == to->family && bound->port == to->port &&
        (is_any(bound) || ww_sim_ip_eq(bound, to));
}

bool ww_sim_bound_clash(const struct ww_netaddr *a, const struct ww_netaddr *b)
{
    return a->family == b->family && a->port == b->port && (is_any(a) || is_any(b) || ww_sim_ip_eq(a, b));
}

ww_err ww_sim_interfaces(struct ww_env *env, struct ww_netif **ret_ifs, size_t *ret_count)
{
    const struct ww_sim_node *node = ww_sim_host_of(env)->node;
    struct ww_netif *ifs = ww_calloc(4, sizeof *ifs);
    if (!ifs)
        return WW_ENOMEM;
    /* As Linux lists them; like there, `lo` does not claim to do multicast, and yet does. */
    for (size_t i = 0; i < 4; i++) {
        bool lo = i % 2 == 0;
        uint8_t family = i < 2 ? 4 : 6;
        ifs[i] = (struct ww_netif){
            .index = lo ? IF_LO : IF_ETH,
            .addr = ww_sim_addr_of(node, family, lo),
            .prefix_bits = family == 4 ? (lo ? 8 : 16) : (lo ? 128 : 64),
            .up = true,
            .loopback = lo,
            .multicast = !lo,
        };
        snprintf(ifs[i].name, sizeof ifs[i].name, "%s", lo ? "lo" : "eth0");
    }
    *ret_ifs = ifs;
    *ret_count = 4;
    return WW_OK;
}

void ww_sim_hostname(struct ww_env *env, char *out, size_t out_size)
{
    if (out_size > 0)
        snprintf(out, out_size, "%s", ww_sim_host_of(env)->node->name);
}

/* ---- names: the nodes', localhost, and IPv4 literals; every answer takes a moment ---- */

struct lookup {
    struct ww_sim_call call;
    struct ww_list link; /* in host->resolves */
    struct ww_sim_host *host;
    struct ww_resolve *op;
    uint8_t family; /* 0: both */
    char name[256];
};

static void add(struct ww_resolve *op, uint8_t family, struct ww_netaddr addr)
{
    if (family == 0 || family == addr.family)
        op->addrs[op->count++] = addr;
}

static bool parse_ip4(const char *text, struct ww_netaddr *ret_addr)
{
    unsigned b[4];
    char end;
    if (sscanf(text, "%3u.%3u.%3u.%3u%c", &b[0], &b[1], &b[2], &b[3], &end) != 4)
        return false;
    *ret_addr = (struct ww_netaddr){.family = 4};
    for (size_t i = 0; i < 4; i++) {
        if (b[i] > 255)
            return false;
        ret_addr->ip[i] = (uint8_t)b[i];
    }
    return true;
}

static void find(const struct lookup *u, struct ww_resolve *op)
{
    const struct ww_sim *sim = ww_sim_of(u->host);
    struct ww_netaddr literal;
    op->count = 0;
    if (parse_ip4(u->name, &literal)) {
        add(op, u->family, literal);
        return;
    }
    bool local = strcmp(u->name, "localhost") == 0;
    for (size_t i = 0; i < sim->node_count && op->count == 0; i++) {
        if (local || strcmp(u->name, sim->nodes[i]->name) == 0) {
            add(op, u->family, ww_sim_addr_of(sim->nodes[i], 4, local));
            add(op, u->family, ww_sim_addr_of(sim->nodes[i], 6, local));
        }
    }
}

static void drop(struct lookup *u)
{
    ww_sim_call_cancel(ww_sim_of(u->host), &u->call);
    u->op->provider = NULL;
    ww_list_remove(&u->link);
    ww_free(u);
}

static void looked_up(struct ww_sim_call *call)
{
    struct lookup *u = WW_CONTAINER_OF(call, struct lookup, call);
    struct ww_resolve *op = u->op;
    if (u->host->node->paused) {
        ww_sim_at(ww_sim_of(u->host), call, ww_sim_of(u->host)->now_ns + 10 * WW_NS_PER_MS);
        return;
    }
    find(u, op);
    drop(u);
    op->done(op, op->count > 0 ? WW_OK : WW_ENOTFOUND);
}

ww_err ww_sim_resolve(struct ww_env *env, const char *name, uint8_t family, struct ww_resolve *op)
{
    struct ww_sim_host *host = ww_sim_host_of(env);
    struct ww_sim *sim = ww_sim_of(host);
    struct lookup *u = NULL;
    if (strlen(name) >= sizeof u->name)
        return WW_EINVAL;
    if (host->dead)
        return WW_ECANCELED;
    u = WW_NEW(struct lookup);
    if (!u)
        return WW_ENOMEM;
    u->call.fire = looked_up;
    u->host = host;
    u->op = op;
    u->family = family;
    snprintf(u->name, sizeof u->name, "%s", name);
    op->provider = u;
    ww_list_push_back(&host->resolves, &u->link);
    ww_sim_at(sim, &u->call, sim->now_ns + WW_NS_PER_MS + ww_prng_below(&sim->delays, 20 * WW_NS_PER_MS));
    return WW_OK;
}

void ww_sim_resolve_cancel(struct ww_env *env, struct ww_resolve *op)
{
    WW_UNUSED(env);
    if (op->provider)
        drop(op->provider);
}

void ww_sim_resolves_drop(struct ww_sim_host *host)
{
    WW_LIST_FOR_SAFE(it, &host->resolves)
    drop(WW_LIST_ENTRY(it, struct lookup, link));
}
