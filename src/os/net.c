/* Addresses, interfaces, names. */
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <unistd.h>

#include "os/internal.h"

ww_err ww_os_sockaddr_from(const struct ww_netaddr *addr, struct sockaddr_storage *ret_ss, socklen_t *ret_len)
{
    struct sockaddr_storage ss = {0};
    if (addr->family == 4) {
        struct sockaddr_in *in = (struct sockaddr_in *)&ss;
        in->sin_family = AF_INET;
        in->sin_port = htons(addr->port);
        memcpy(&in->sin_addr, addr->ip, 4);
        *ret_len = sizeof *in;
    } else if (addr->family == 6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(addr->port);
        in6->sin6_scope_id = addr->scope;
        memcpy(&in6->sin6_addr, addr->ip, 16);
        *ret_len = sizeof *in6;
    } else {
        return WW_EINVAL;
    }
    *ret_ss = ss;
    return WW_OK;
}

void ww_os_sockaddr_to(const struct sockaddr_storage *ss, struct ww_netaddr *ret_addr)
{
    struct ww_netaddr addr = {0};
    if (ss->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)ss;
        addr.family = 4;
        addr.port = ntohs(in->sin_port);
        memcpy(addr.ip, &in->sin_addr, 4);
    } else if (ss->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;
        addr.family = 6;
        addr.port = ntohs(in6->sin6_port);
        addr.scope = in6->sin6_scope_id;
        memcpy(addr.ip, &in6->sin6_addr, 16);
    }
    *ret_addr = addr;
}

ww_err ww_os_bound_addr(int fd, struct ww_netaddr *ret_addr)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0)
        return ww_errno_err(errno);
    ww_os_sockaddr_to(&ss, ret_addr);
    return WW_OK;
}

ww_err ww_os_socket(int family, int type, int *ret_fd)
{
    int fd = socket(family == 4 ? AF_INET : AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ww_errno_err(errno);
    /* IPv4 has sockets of its own; a dual-stack one would take the port from them. */
    if (family == 6)
        ww_os_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    *ret_fd = fd;
    return WW_OK;
}

void ww_os_flag(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

static uint8_t prefix_bits(const struct sockaddr *mask)
{
    struct ww_netaddr m;
    struct sockaddr_storage ss = {0};
    if (!mask)
        return 0;
    memcpy(&ss, mask, mask->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
    ww_os_sockaddr_to(&ss, &m);
    unsigned bits = 0;
    for (size_t i = 0; i < sizeof m.ip; i++)
        bits += (unsigned)__builtin_popcount(m.ip[i]);
    return (uint8_t)bits;
}

static bool netif_from(const struct ifaddrs *from, struct ww_netif *ret_if)
{
    if (!from->ifa_addr)
        return false;
    int family = from->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6)
        return false;
    struct sockaddr_storage ss = {0};
    memcpy(&ss, from->ifa_addr, family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
    *ret_if = (struct ww_netif){
        .index = if_nametoindex(from->ifa_name),
        .prefix_bits = prefix_bits(from->ifa_netmask),
        .up = (from->ifa_flags & IFF_UP) != 0,
        .loopback = (from->ifa_flags & IFF_LOOPBACK) != 0,
        .multicast = (from->ifa_flags & IFF_MULTICAST) != 0,
    };
    size_t len = strlen(from->ifa_name);
    memcpy(ret_if->name, from->ifa_name, len < sizeof ret_if->name ? len : sizeof ret_if->name - 1);
    ww_os_sockaddr_to(&ss, &ret_if->addr);
    ret_if->addr.port = 0;
    return true;
}

ww_err ww_os_interfaces(struct ww_env *env, struct ww_netif **ret_ifs, size_t *ret_count)
{
    WW_UNUSED(env);
    struct ifaddrs *list;
    if (getifaddrs(&list) != 0)
        return ww_errno_err(errno);
    size_t capacity = 1, count = 0;
    for (struct ifaddrs *it = list; it; it = it->ifa_next)
        capacity++;
    struct ww_netif *ifs = ww_calloc(capacity, sizeof *ifs);
    for (struct ifaddrs *it = list; ifs && it; it = it->ifa_next)
        count += netif_from(it, &ifs[count]);
    freeifaddrs(list);
    if (!ifs)
        return WW_ENOMEM;
    *ret_ifs = ifs;
    *ret_count = count;
    return WW_OK;
}

void ww_os_hostname(struct ww_env *env, char *out, size_t out_size)
{
    WW_UNUSED(env);
    if (out_size == 0)
        return;
    if (gethostname(out, out_size) != 0)
        out[0] = '\0';
    out[out_size - 1] = '\0';
}

struct resolve {
    uv_getaddrinfo_t req;
    struct ww_resolve *op; /* NULL: canceled, nobody waits */
};

static ww_err gai_err(int status)
{
    switch (status) {
    case UV_EAI_NONAME:
    case UV_EAI_NODATA:
    case UV_EAI_ADDRFAMILY:
        return WW_ENOTFOUND;
    case UV_EAI_MEMORY:
    case UV_ENOMEM:
        return WW_ENOMEM;
    case UV_EAI_AGAIN:
        return WW_EAGAIN;
    case UV_EAI_CANCELED:
    case UV_ECANCELED:
        return WW_ECANCELED;
    default:
        return WW_EIO;
    }
}

static bool addr_known(const struct ww_resolve *op, const struct ww_netaddr *addr)
{
    for (size_t i = 0; i < op->count; i++) {
        const struct ww_netaddr *a = &op->addrs[i];
        if (a->family == addr->family && a->scope == addr->scope &&
            memcmp(a->ip, addr->ip, sizeof a->ip) == 0)
            return true;
    }
    return false;
}

static void resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
    (void)ww_os_enter(req->loop);
    struct resolve *r = WW_CONTAINER_OF(req, struct resolve, req);
    struct ww_resolve *op = r->op;
    if (op) {
        op->provider = NULL;
        op->count = 0;
        for (struct addrinfo *it = status == 0 ? list : NULL; it; it = it->ai_next) {
            struct sockaddr_storage ss = {0};
            struct ww_netaddr addr;
            memcpy(&ss, it->ai_addr, it->ai_addrlen < sizeof ss ? it->ai_addrlen : sizeof ss);
            ww_os_sockaddr_to(&ss, &addr);
            if (addr.family && op->count < WW_COUNT_OF(op->addrs) && !addr_known(op, &addr))
                op->addrs[op->count++] = addr;
        }
    }
    uv_freeaddrinfo(list);
    ww_free(r);
    if (op)
        op->done(op, status != 0 ? gai_err(status) : op->count ? WW_OK : WW_ENOTFOUND);
}

ww_err ww_os_resolve(struct ww_env *env, const char *name, uint8_t family, struct ww_resolve *op)
{
    struct resolve *r = WW_NEW(struct resolve);
    if (!r)
        return WW_ENOMEM;
    const struct addrinfo hints = {
        .ai_family = family == 4 ? AF_INET
            : family == 6        ? AF_INET6
                                 : AF_UNSPEC,
        .ai_socktype = SOCK_STREAM, /* one entry an address, not one for each sort of socket */
    };
    int err = uv_getaddrinfo(&ww_os_of(env)->loop, &r->req, resolved, name, NULL, &hints);
    if (err) {
        ww_free(r);
        return ww_errno_err(-err);
    }
    r->op = op;
    op->provider = r;
    return WW_OK;
}

void ww_os_resolve_cancel(struct ww_env *env, struct ww_resolve *op)
{
    WW_UNUSED(env);
    struct resolve *r = op->provider;
    if (!r)
        return;
    r->op = NULL;
    op->provider = NULL;
    uv_cancel((uv_req_t *)&r->req); /* may be too late; then the answer finds nobody */
}
