/* cluster/boot_packet.h — discovery packets: a signed envelope around a packed Cap'n Proto `Packet`
 * (schema/boot.capnp), one UDP datagram each. Domain `casm-boot-record`, payload type 1f 00.
 *
 * Packets carry no time and no nonce: they can be replayed, and a response says no more than "this peer once
 * had these addresses". Whoever dials checks the peer id, so a stale one costs a dial.
 */
#ifndef WW_CLUSTER_BOOT_PACKET_H
#define WW_CLUSTER_BOOT_PACKET_H

#include "base/buf.h"
#include "p2p/peer_id.h"
#include "ww/capnp.h"

#define WW_BOOT_DATAGRAM_MAX 2048
#define WW_BOOT_NS_MAX 255
#define WW_BOOT_ADDRS_MAX 16

enum ww_boot_kind { WW_BOOT_REQUEST = 0, WW_BOOT_SURVEY = 1, WW_BOOT_RESPONSE = 2 };

struct ww_boot_packet {
    enum ww_boot_kind kind;
    struct ww_bytes ns;
    struct ww_peer_id peer;                   /* who sent it */
    uint8_t distance;                         /* surveys */
    struct ww_bytes addrs[WW_BOOT_ADDRS_MAX]; /* responses: binary multiaddrs without /p2p */
    size_t addr_count;
};

/* Appends the payload alone: what the envelope carries. WW_EINVAL (namespace), WW_ELIMIT, WW_ENOMEM. */
WW_MUST_USE ww_err ww_boot_packet_encode(const struct ww_boot_packet *packet, struct ww_buf *out);
/* Appends the datagram. The packet's peer is the signer's. Addresses that do not fit into a datagram are left
 * out, last first. WW_EINVAL (namespace), WW_ELIMIT, WW_ENOMEM, WW_ECRYPTO. */
WW_MUST_USE ww_err ww_boot_packet_seal(
    const struct ww_keypair *signer, const struct ww_boot_packet *packet, struct ww_buf *out);
/* Checks signature, sender and form; views point into `msg` (initialized, finished by the caller). Malformed
 * addresses are skipped. WW_ECRYPTO, WW_EPEERID (not the signer's id), WW_EPROTO, WW_EMALFORMED, ... */
WW_MUST_USE ww_err ww_boot_packet_open(
    struct ww_msg *msg, struct ww_bytes datagram, struct ww_boot_packet *ret_packet);

/* Whether `self` lies within `distance` of `other`, as surveys ask: the last four bytes of both ids,
 * exclusive or, the last byte most significant, shifted right by `distance`, is 0. From 32 on that is
 * everybody. */
bool ww_boot_within(const struct ww_peer_id *self, const struct ww_peer_id *other, uint8_t distance);

#endif
