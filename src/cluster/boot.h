/* cluster/boot.h — discovery, sans-I/O: whom to ask, when, and whom to answer.
 *
 * Ways to look (one ww_boot_target each):
 *   multicast  /ip4/228.8.8.8/udp/8822/multicast/IF[/survey]   ask the group; IF "" stands for every
 * interface subnet     /ip4/10.0.1.0/udp/8822/cidr/24                  ask every host, in an order of our own
 *   host       /ip4/10.0.1.9/udp/8822                          ask one; port 0: every port from 1024 on
 *   peer       /ip4/.../p2p/ID                                 no question: the answer itself
 * A target is asked while the search is on: again and again, at growing gaps, because datagrams get lost and
 * nodes come late. `/survey` asks ever larger parts of the group and stops at the first answer. All sending
 * is limited to 32 packets a second with bursts of 8, as peers expect; answers have a bucket of their own,
 * and one a source, so that a flood of questions cannot use us as an amplifier. In a large group, answers
 * wait a random moment and are dropped when enough others answered.
 *
 * Ownership: everything is copied. Outputs are views valid until the next call.
 */
#ifndef WW_CLUSTER_BOOT_H
#define WW_CLUSTER_BOOT_H

#include "base/list.h"
#include "base/prng.h"
#include "cluster/boot_packet.h"
#include "env/env.h"

#define WW_BOOT_TARGETS_MAX 32
#define WW_BOOT_PORT 8822

enum ww_boot_way { WW_BOOT_MULTICAST, WW_BOOT_SUBNET, WW_BOOT_HOST, WW_BOOT_PEER };

struct ww_boot_target {
    enum ww_boot_way way;
    struct ww_netaddr addr; /* group, subnet or host, with port */
    char ifname[16];        /* multicast: "" for all */
    bool gradual;           /* multicast: /survey */
    uint8_t prefix_bits;    /* subnet */
    struct ww_peer_id peer; /* peer: with its address in `maddr` */
    uint16_t maddr_len;
    uint8_t maddr[512];
};

/* From a binary multiaddr. WW_EUNSUPPORTED: not an address to discover with; WW_EINVAL, WW_ELIMIT. */
WW_MUST_USE ww_err ww_boot_target_parse(
    struct ww_bytes maddr, struct ww_boot_target *ret_target, struct ww_diag *diag);
/* The default: multicast to 228.8.8.8:8822 on every interface. */
void ww_boot_target_default(struct ww_boot_target *ret_target);

/* The hosts of a subnet in a pseudo-random order that is a permutation: counter exclusive-or mask. Network
 * and broadcast addresses are skipped; a whole-address prefix has no hosts. At most 2^24 hosts are visited.
 */
struct ww_boot_crawl {
    struct ww_netaddr base;
    uint64_t mask, hosts, at, end;
};
void ww_boot_crawl_init(
    struct ww_boot_crawl *crawl, const struct ww_netaddr *net, uint8_t prefix_bits, uint64_t random);
bool ww_boot_crawl_next(struct ww_boot_crawl *crawl, struct ww_netaddr *ret_addr);

struct ww_boot_core;

struct ww_boot_core_conf {
    const struct ww_keypair *signer; /* borrowed, outlives the core */
    struct ww_bytes ns;
    uint64_t seed;
    const struct ww_boot_target *targets;
    size_t target_count;
    struct ww_trace *trace;
};

enum ww_boot_out_kind {
    WW_BOOT_OUT_NONE,
    WW_BOOT_OUT_SEND,  /* `data` to `to`; when `group` is set, on the interfaces of target `target` (or all, <
                          0) */
    WW_BOOT_OUT_FOUND, /* a peer and its addresses */
};

struct ww_boot_out {
    enum ww_boot_out_kind kind;
    struct ww_netaddr to;
    bool group;
    int target;
    struct ww_bytes data;
    struct ww_peer_id peer;
    const struct ww_bytes *addrs; /* binary multiaddrs without /p2p */
    size_t addr_count;
};

WW_MUST_USE ww_err ww_boot_core_new(const struct ww_boot_core_conf *conf, struct ww_boot_core **ret_core);
void ww_boot_core_free(struct ww_boot_core *core);
/* What we answer with; none: we do not answer. Copied. */
WW_MUST_USE ww_err ww_boot_core_set_addrs(
    struct ww_boot_core *core, const struct ww_bytes *addrs, size_t count);
/* Starts or stops asking. Starting again begins anew. */
void ww_boot_core_search(struct ww_boot_core *core, uint64_t now_ns, bool on);
/* A datagram came. `group`: where it was sent, when that is a group (the answer then goes there too), else
 * NULL. Then call ww_boot_core_next until there is nothing to do: what was found is held until the next
 * datagram. */
void ww_boot_core_receive(struct ww_boot_core *core, uint64_t now_ns, const struct ww_netaddr *from,
    const struct ww_netaddr *group, struct ww_bytes datagram);
/* The next thing to do at `now_ns`: call until WW_BOOT_OUT_NONE. */
void ww_boot_core_next(struct ww_boot_core *core, uint64_t now_ns, struct ww_boot_out *ret_out);
/* When to call ww_boot_core_next again without a datagram; WW_NEVER. */
uint64_t ww_boot_core_deadline(const struct ww_boot_core *core);

#endif
