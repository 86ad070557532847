/* Defaults, and the door: which sockets may begin a handshake. A handshake costs us computation and a slot,
 * and anybody can begin one without finishing it. So slots are few, and when they are full the oldest
 * unfinished handshake of whoever has most of them makes room: an honest dialer needs milliseconds, whoever
 * stalls loses its place. */
#include "p2p/swarm_internal.h"

static void def32(uint32_t *field, uint32_t value)
{
    if (*field == 0)
        *field = value;
}

static void def64(uint64_t *field, uint64_t value)
{
    if (*field == 0)
        *field = value;
}

void swarm_limits_fill(struct ww_swarm_limits *l)
{
    def32(&l->conns_in, 1024);
    def32(&l->conns_out, 1024);
    def32(&l->conns_per_peer, 8);
    def32(&l->conns_per_ip, 8);
    def32(&l->handshakes, 128);
    def32(&l->handshakes_per_ip, 8);
    def32(&l->streams_in_per_conn, 256);
    def32(&l->streams_out_per_conn, 500);
    def32(&l->streams_in, 8192);
    def32(&l->negotiations_per_conn, 128);
    def64(&l->conn_bytes, UINT64_C(128) << 20);
    def64(&l->peer_bytes, UINT64_C(256) << 20);
    def64(&l->total_bytes, UINT64_C(4) << 30);
    def64(&l->window_bytes_max, UINT64_C(16) << 20);
    def64(&l->handshake_timeout_ns, 10 * WW_NS_PER_S);
    def64(&l->negotiate_timeout_ns, 10 * WW_NS_PER_S);
    def64(&l->dial_timeout_ns, 15 * WW_NS_PER_S);
    def64(&l->connect_timeout_ns, 5 * WW_NS_PER_S);
    def64(&l->keepalive_ns, 15 * WW_NS_PER_S);
    def32(&l->dials_parallel, 4);
    def32(&l->dials_total, 160);
    if (l->window_bytes_max < WW_YAMUX_WINDOW_INITIAL)
        l->window_bytes_max = WW_YAMUX_WINDOW_INITIAL;
    if (l->window_bytes_max > UINT32_MAX)
        l->window_bytes_max = UINT32_MAX;
}

/* ---- kinds of addresses ---- */

/* The IPv4 address inside ::ffff:a.b.c.d, so that one host is one host. */
static bool mapped_ipv4(const struct ww_netaddr *a)
{
    static const uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return a->family == 6 && memcmp(a->ip, prefix, sizeof prefix) == 0;
}

bool swarm_netaddr_is_loopback(const struct ww_netaddr *a)
{
    static const uint8_t one[16] = {[15] = 1};
    if (a->family == 4)
        return a->ip[0] == 127;
    if (mapped_ipv4(a))
        return a->ip[12] == 127;
    return memcmp(a->ip, one, sizeof one) == 0;
}

bool swarm_netaddr_is_private(const struct ww_netaddr *a)
{
    const uint8_t *ip = a->family == 4 ? a->ip : a->ip + 12;
    if (a->family == 4 || mapped_ipv4(a))
        return ip[0] == 10 || (ip[0] == 172 && (ip[1] & 0xf0) == 16) || (ip[0] == 192 && ip[1] == 168) ||
            (ip[0] == 169 && ip[1] == 254) || (ip[0] == 100 && (ip[1] & 0xc0) == 64);
    return (a->ip[0] & 0xfe) == 0xfc || (a->ip[0] == 0xfe && (a->ip[1] & 0xc0) == 0x80);
}

char *swarm_netaddr_text(const struct ww_netaddr *a, char *out, size_t out_size)
{
    struct ww_buf buf;
    ww_buf_init(&buf, 64);
    if (out_size)
        out[0] = 0;
    if (a->family && ww_multiaddr_put_netaddr(&buf, a, WW_MA_TCP) == WW_OK)
        ww_multiaddr_text(ww_buf_view(&buf), out, out_size);
    ww_buf_fini(&buf);
    return out;
}

/* ---- sources ---- */

static void ip_key(const struct ww_netaddr *a, uint8_t key[8])
{
    memset(key, 0, 8);
    bool v4 = a->family == 4 || mapped_ipv4(a);
    key[0] = v4 ? 4 : 6;
    if (v4)
        memcpy(key + 1, a->family == 4 ? a->ip : a->ip + 12, 4);
    else
        memcpy(key + 1, a->ip, 7); /* a customer's /56 */
}

static struct swarm_ip *ip_get(struct ww_swarm *sw, const struct ww_netaddr *remote)
{
    uint8_t key[8];
    ip_key(remote, key);
    struct ww_map_node *node = ww_map_get(&sw->ips, ww_bytes(key, sizeof key));
    if (node)
        return WW_CONTAINER_OF(node, struct swarm_ip, node);
    struct swarm_ip *ip = WW_NEW(struct swarm_ip);
    if (!ip)
        return NULL;
    memcpy(ip->key, key, sizeof key);
    ip->loopback = swarm_netaddr_is_loopback(remote);
    if (ww_map_insert(&sw->ips, &ip->node) < 0) {
        ww_free(ip);
        return NULL;
    }
    return ip;
}

void swarm_ip_put(struct ww_swarm *sw, struct swarm_ip *ip)
{
    if (--ip->refs)
        return;
    ww_map_remove(&sw->ips, &ip->node);
    ww_free(ip);
}

/* ---- the door ---- */

static struct ww_conn *oldest_of(struct ww_swarm *sw, const struct swarm_ip *ip)
{
    WW_LIST_FOR(it, &sw->handshakes)
    {
        struct ww_conn *c = WW_LIST_ENTRY(it, struct ww_conn, shake_link);
        if (c->ip == ip)
            return c;
    }
    return NULL;
}

static struct ww_conn *oldest_of_busiest(struct ww_swarm *sw)
{
    struct ww_conn *victim = NULL;
    WW_LIST_FOR(it, &sw->handshakes)
    {
        struct ww_conn *c = WW_LIST_ENTRY(it, struct ww_conn, shake_link);
        if (!victim || c->ip->handshakes > victim->ip->handshakes)
            victim = c;
    }
    return victim;
}

static struct swarm_ip *refuse(struct ww_swarm *sw, const struct ww_netaddr *remote, const char *reason)
{
    char addr[80];
    sw->stats.refused++;
    WW_TRACE(sw->env->trace, SWARM_REFUSED, ww_tv_str(swarm_netaddr_text(remote, addr, sizeof addr)),
        ww_tv_str(reason));
    return NULL;
}

struct swarm_ip *swarm_admit(struct ww_swarm *sw, const struct ww_netaddr *remote)
{
    if (sw->gater && sw->gater->accept && !sw->gater->accept(sw->gater, remote))
        return refuse(sw, remote, "gater");
    if (sw->conns_in >= sw->limits.conns_in)
        return refuse(sw, remote, "connections");
    struct swarm_ip *ip = ip_get(sw, remote);
    if (!ip)
        return refuse(sw, remote, "memory");
    if (!ip->loopback && ip->conns >= sw->limits.conns_per_ip)
        return refuse(sw, remote, "connections of this address");
    struct ww_conn *victim = NULL;
    if (!ip->loopback && ip->handshakes >= sw->limits.handshakes_per_ip)
        victim = oldest_of(sw, ip);
    else if (sw->handshake_count >= sw->limits.handshakes)
        victim = oldest_of_busiest(sw);
    ip->refs++;
    if (victim)
        conn_close(victim, WW_ELIMIT);
    return ip;
}
