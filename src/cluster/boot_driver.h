/* cluster/boot_driver.h — discovery on a real network: the core of cluster/boot.h over env's UDP.
 *
 * Multicast works on a stock Linux machine without configuration: the group is joined on every interface that
 * is up, the loopback included although it lacks the MULTICAST flag, and several nodes of one machine share
 * the port. An interface that refuses is traced and left out; that none is usable is no error as long as
 * there is another way to look.
 *
 * Peers are reported as they are found, each at most once in two seconds; a dead one among them delays
 * nothing, because every answer is reported on its own: try all.
 *
 * Ownership: the configuration is copied, except for `signer` and `env`, which outlive the boot. Callbacks
 * come from the loop, never inside a call; views in them live until they return; they may call ww_boot_search
 * and ww_boot_free.
 */
#ifndef WW_CLUSTER_BOOT_DRIVER_H
#define WW_CLUSTER_BOOT_DRIVER_H

#include "cluster/boot.h"

struct ww_boot;

struct ww_boot_user {
    void (*peer_found)(struct ww_boot_user *user, const struct ww_peer_id *peer, const struct ww_bytes *addrs,
        size_t addr_count);
};

struct ww_boot_conf {
    const struct ww_keypair *signer;
    struct ww_bytes ns;
    const struct ww_bytes
        *discover; /* binary multiaddrs (see cluster/boot.h); none and no `peers`: the default group */
    size_t discover_count;
    const struct ww_bytes *peers; /* static: binary multiaddrs that end in /p2p/ID */
    size_t peer_count;
    bool answer; /* take part in discovery for others: a node does, a client does not */
    struct ww_boot_user *user;
};

/* Opens its sockets. WW_EUNSUPPORTED, WW_EINVAL, WW_ELIMIT: an address, named in the diag. WW_EADDRNOTAVAIL:
 * no interface can be used. */
WW_MUST_USE ww_err ww_boot_new(
    struct ww_env *env, const struct ww_boot_conf *conf, struct ww_boot **ret_boot, struct ww_diag *diag);
void ww_boot_free(struct ww_boot *boot);
/* Binary multiaddrs (without /p2p) at which we can be reached. Nobody is answered before. WW_ELIMIT,
 * WW_ENOMEM. */
WW_MUST_USE ww_err ww_boot_set_addrs(struct ww_boot *boot, const struct ww_bytes *addrs, size_t count);
/* Looks for peers while on. Off at first. */
void ww_boot_search(struct ww_boot *boot, bool on);

#endif
