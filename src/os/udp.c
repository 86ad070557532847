/* Datagrams, in batches. Multicast as in RFC 1112 and RFC 3493: which interface a datagram leaves by travels
 * with it (IP_PKTINFO, IPV6_PKTINFO), so that one socket serves all interfaces without changing an option for
 * each. */
#include <unistd.h>

#include "os/internal.h"

enum {
    BATCH_MAX = 32,
    BATCH_BYTES = 256 << 10,
    TURN_BATCHES = 4,
    DATAGRAM_MAX = 65535,
    CONTROL_BYTES = 64,
};

struct ww_udp {
    uv_poll_t poll;
    struct ww_udp_user *user;
    int fd;
    uint8_t family;
    uint16_t port;
    bool closing;
    size_t datagram_max, batch;
    uint8_t buf[]; /* batch * datagram_max */
};

static void freed(uv_handle_t *handle)
{
    ww_free(WW_CONTAINER_OF(handle, struct ww_udp, poll));
}

/* Where the datagram was sent to: its group or one of our addresses. */
static void local_addr(const struct ww_udp *udp, struct msghdr *msg, struct ww_netaddr *ret_local)
{
    *ret_local = (struct ww_netaddr){0};
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            *ret_local = (struct ww_netaddr){.family = 4, .port = udp->port};
            memcpy(ret_local->ip, &info.ipi_addr, 4);
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            *ret_local = (struct ww_netaddr){.family = 6, .port = udp->port, .scope = info.ipi6_ifindex};
            memcpy(ret_local->ip, &info.ipi6_addr, 16);
        }
    }
}

/* Returns false when the socket is drained or closed. */
static bool receive_batch(struct ww_udp *udp)
{
    struct mmsghdr msgs[BATCH_MAX] = {0};
    struct iovec vec[BATCH_MAX];
    struct sockaddr_storage from[BATCH_MAX];
    _Alignas(struct cmsghdr) uint8_t control[BATCH_MAX][CONTROL_BYTES];
    for (size_t i = 0; i < udp->batch; i++) {
        vec[i] = (struct iovec){udp->buf + i * udp->datagram_max, udp->datagram_max};
        msgs[i].msg_hdr = (struct msghdr){
            .msg_name = &from[i],
            .msg_namelen = sizeof from[i],
            .msg_iov = &vec[i],
            .msg_iovlen = 1,
            .msg_control = control[i],
            .msg_controllen = CONTROL_BYTES,
        };
    }
    int n = recvmmsg(udp->fd, msgs, (unsigned)udp->batch, MSG_DONTWAIT, NULL);
    if (n < 0)
        return errno == EINTR ||
            errno == ECONNREFUSED; /* the latter: what became of an earlier datagram of ours */
    for (int i = 0; i < n && !udp->closing; i++) {
        struct ww_netaddr remote, local;
        if (msgs[i].msg_hdr.msg_flags & MSG_TRUNC)
            continue;
        ww_os_sockaddr_to(&from[i], &remote);
        local_addr(udp, &msgs[i].msg_hdr, &local);
        udp->user->datagram(udp->user, &remote, &local, ww_bytes(vec[i].iov_base, msgs[i].msg_len));
    }
    return !udp->closing && (size_t)n == udp->batch;
}

static void polled(uv_poll_t *poll, int status, int events)
{
    struct ww_udp *udp = WW_CONTAINER_OF(poll, struct ww_udp, poll);
    WW_UNUSED(events);
    (void)ww_os_enter(poll->loop);
    for (size_t i = 0; i < TURN_BATCHES && receive_batch(udp); i++)
        ;
    if (status < 0 && !udp->closing)
        uv_poll_start(
            poll, UV_READABLE, polled); /* libuv stopped over a socket error; receiving has taken it off */
}

static ww_err set_up(int fd, const struct ww_udp_conf *conf, struct ww_netaddr *ret_bound)
{
    struct sockaddr_storage ss;
    socklen_t len;
    WW_TRY(ww_os_sockaddr_from(&conf->bind, &ss, &len));
    if (conf->share) {
        ww_os_flag(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        ww_os_flag(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    }
    if (conf->bind.family == 4) {
        ww_os_flag(fd, IPPROTO_IP, IP_PKTINFO, 1);
        ww_os_flag(fd, IPPROTO_IP, IP_MULTICAST_LOOP, conf->multicast_loop);
        ww_os_flag(fd, IPPROTO_IP, IP_MULTICAST_TTL, conf->multicast_ttl);
        /* Only the groups that this socket joined, not those of any process on the host. */
        ww_os_flag(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0);
    } else {
        ww_os_flag(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
        ww_os_flag(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, conf->multicast_loop);
        ww_os_flag(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, conf->multicast_ttl);
        ww_os_flag(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0);
    }
    if (bind(fd, (struct sockaddr *)&ss, len) != 0)
        return ww_errno_err(errno);
    return ww_os_bound_addr(fd, ret_bound);
}

ww_err ww_os_udp_open(struct ww_env *env, const struct ww_udp_conf *conf, struct ww_udp_user *user,
    struct ww_netaddr *ret_bound)
{
    struct ww_netaddr bound;
    int fd;
    if ((conf->bind.family != 4 && conf->bind.family != 6) || conf->datagram_max == 0)
        return WW_EINVAL;
    size_t max = conf->datagram_max < DATAGRAM_MAX ? conf->datagram_max : DATAGRAM_MAX;
    size_t batch = BATCH_BYTES / max < BATCH_MAX ? BATCH_BYTES / max : BATCH_MAX;
    WW_TRY(ww_os_socket(conf->bind.family, SOCK_DGRAM, &fd));
    ww_err err = set_up(fd, conf, &bound);
    struct ww_udp *udp = err ? NULL : ww_alloc(sizeof *udp + batch * max);
    if (!err && !udp)
        err = WW_ENOMEM;
    if (!err) {
        memset(udp, 0, sizeof *udp);
        err = ww_errno_err(-uv_poll_init(&ww_os_of(env)->loop, &udp->poll, fd));
    }
    if (err) {
        ww_free(udp);
        close(fd);
        return err;
    }
    udp->user = user;
    udp->fd = fd;
    udp->family = bound.family;
    udp->port = bound.port;
    udp->datagram_max = max;
    udp->batch = batch;
    uv_poll_start(&udp->poll, UV_READABLE, polled);
    user->udp = udp;
    if (ret_bound)
        *ret_bound = bound;
    return WW_OK;
}

ww_err ww_os_udp_join(
    struct ww_env *env, struct ww_udp *udp, const struct ww_netaddr *group, const struct ww_netif *on)
{
    WW_UNUSED(env);
    if (group->family != udp->family)
        return WW_EINVAL;
    int rc;
    if (group->family == 4) {
        struct ip_mreqn req = {.imr_ifindex = on ? (int)on->index : 0};
        memcpy(&req.imr_multiaddr, group->ip, 4);
        if (on && on->addr.family == 4)
            memcpy(&req.imr_address, on->addr.ip, 4);
        rc = setsockopt(udp->fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &req, sizeof req);
    } else {
        struct ipv6_mreq req = {.ipv6mr_interface = on ? on->index : group->scope};
        memcpy(&req.ipv6mr_multiaddr, group->ip, 16);
        rc = setsockopt(udp->fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &req, sizeof req);
    }
    return rc == 0 || errno == EADDRINUSE /* joined already */ ? WW_OK : ww_errno_err(errno);
}

/* The interface to leave by and, where it is known, the address to come from. */
static void put_via(struct msghdr *msg, uint8_t family, const struct ww_netif *via)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(msg);
    if (family == 4) {
        struct in_pktinfo info = {.ipi_ifindex = (int)via->index};
        if (via->addr.family == 4)
            memcpy(&info.ipi_spec_dst, via->addr.ip, 4);
        *c = (struct cmsghdr){CMSG_LEN(sizeof info), IPPROTO_IP, IP_PKTINFO};
        memcpy(CMSG_DATA(c), &info, sizeof info);
        msg->msg_controllen = CMSG_SPACE(sizeof info);
    } else {
        struct in6_pktinfo info = {.ipi6_ifindex = via->index};
        if (via->addr.family == 6)
            memcpy(&info.ipi6_addr, via->addr.ip, 16);
        *c = (struct cmsghdr){CMSG_LEN(sizeof info), IPPROTO_IPV6, IPV6_PKTINFO};
        memcpy(CMSG_DATA(c), &info, sizeof info);
        msg->msg_controllen = CMSG_SPACE(sizeof info);
    }
}

ww_err ww_os_udp_send(struct ww_env *env, struct ww_udp *udp, const struct ww_netaddr *to,
    const struct ww_netif *via, struct ww_bytes data)
{
    WW_UNUSED(env);
    struct sockaddr_storage ss;
    socklen_t len;
    if (to->family != udp->family)
        return WW_EINVAL;
    WW_TRY(ww_os_sockaddr_from(to, &ss, &len));
    _Alignas(struct cmsghdr) uint8_t control[CONTROL_BYTES] = {0};
    struct iovec vec = {(void *)(uintptr_t)data.ptr, data.len};
    struct msghdr msg = {.msg_name = &ss, .msg_namelen = len, .msg_iov = &vec, .msg_iovlen = 1};
    if (via) {
        msg.msg_control = control;
        msg.msg_controllen = sizeof control;
        put_via(&msg, to->family, via);
    }
    ssize_t n;
    do {
        n = sendmsg(udp->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (
        n < 0 && (errno == EINTR || errno == ECONNREFUSED)); /* the latter is about an earlier datagram */
    return n >= 0 ? WW_OK : ww_errno_err(errno);
}

void ww_os_udp_close(struct ww_env *env, struct ww_udp *udp)
{
    WW_UNUSED(env);
    WW_ASSERT(!udp->closing);
    udp->closing = true;
    udp->user->udp = NULL;
    uv_close((uv_handle_t *)&udp->poll, freed);
    close(udp->fd);
}
