/* p2p/multiaddr.h — self-describing addresses. A multiaddr is its binary form in a byte view: store it as you
 * store bytes.
 *
 * ww_multiaddr_check (or parse, which checks) comes first for whatever a peer sent; all other functions take
 * checked bytes and stay memory-safe on others. Limits: 1 KiB, 32 components. An address may hold protocols
 * that we do not know. Nobody can tell where the value of such a component ends, so it and everything after
 * it is one opaque component (proto NULL): carried, compared and passed on, printed as
 * `/unknown/<hex>`, never parsed from text, never dialled.
 * Errors: WW_EINVAL (text), WW_EPROTO / WW_ETRUNC (binary), WW_ELIMIT, WW_ENOMEM.
 * Sources: multiformats/multiaddr and its protocols.csv; codes 100, 101, 103 are Wetware's discovery
 * addresses.
 */
#ifndef WW_P2P_MULTIADDR_H
#define WW_P2P_MULTIADDR_H

#include "env/env.h"
#include "p2p/peer_id.h"

#define WW_MULTIADDR_MAX_BYTES 1024
#define WW_MULTIADDR_MAX_PARTS 32
#define WW_MULTIADDR_TEXT_MAX                                                                                \
    4096 /* text input; with percent escapes and base64 no 1 KiB address is longer */

enum ww_multiaddr_code {
    WW_MA_IP4 = 4,
    WW_MA_TCP = 6,
    WW_MA_DCCP = 33,
    WW_MA_IP6 = 41,
    WW_MA_IP6ZONE = 42,
    WW_MA_IPCIDR = 43,
    WW_MA_DNS = 53,
    WW_MA_DNS4 = 54,
    WW_MA_DNS6 = 55,
    WW_MA_DNSADDR = 56,
    WW_MA_MULTICAST = 100, /* name of the interface to search on */
    WW_MA_SURVEY = 101,    /* search gradually */
    WW_MA_CIDR = 103,      /* search the subnet; one byte, 0..128 */
    WW_MA_SCTP = 132,
    WW_MA_UDP = 273,
    WW_MA_P2P_WEBRTC_DIRECT = 276,
    WW_MA_WEBRTC_DIRECT = 280,
    WW_MA_WEBRTC = 281,
    WW_MA_P2P_CIRCUIT = 290,
    WW_MA_UDT = 301,
    WW_MA_UTP = 302,
    WW_MA_UNIX = 400,
    WW_MA_P2P = 421,
    WW_MA_HTTPS = 443,
    WW_MA_ONION = 444,
    WW_MA_ONION3 = 445,
    WW_MA_GARLIC64 = 446,
    WW_MA_GARLIC32 = 447,
    WW_MA_TLS = 448,
    WW_MA_SNI = 449,
    WW_MA_NOISE = 454,
    WW_MA_QUIC = 460,
    WW_MA_QUIC_V1 = 461,
    WW_MA_WEBTRANSPORT = 465,
    WW_MA_CERTHASH = 466,
    WW_MA_WS = 477,
    WW_MA_WSS = 478,
    WW_MA_HTTP = 480,
    WW_MA_HTTP_PATH = 481,
    WW_MA_MEMORY = 777,
};

struct ww_multiaddr_proto; /* a row of the table */

struct ww_multiaddr_part {
    uint64_t code;
    const struct ww_multiaddr_proto *proto; /* NULL: unknown, `value` runs to the end of the address */
    struct ww_bytes value;                  /* without the length prefix */
    struct ww_bytes whole;                  /* code, length, value */
};

/* The whole address is well formed, not empty and within the limits. */
WW_MUST_USE ww_err ww_multiaddr_check(struct ww_bytes addr);
/* Takes the next component off the front of `addr`. 1: got one, 0: the end, or an error. */
WW_MUST_USE ww_err ww_multiaddr_next(struct ww_bytes *addr, struct ww_multiaddr_part *ret_part);
const char *ww_multiaddr_proto_name(const struct ww_multiaddr_proto *proto);

/* Appends the binary form of a text. One trailing slash is taken. On failure nothing was appended. */
WW_MUST_USE ww_err ww_multiaddr_parse(struct ww_bytes text, struct ww_buf *out);
/* Appends the text, no NUL. */
WW_MUST_USE ww_err ww_multiaddr_format(struct ww_bytes addr, struct ww_buf *out);
/* For messages to people: NUL-terminated, cut off where `out` ends, "?" for what is no address. Returns
 * `out`. */
char *ww_multiaddr_text(struct ww_bytes addr, char *out, size_t out_size);

/* The first component with this code. False when there is none. */
bool ww_multiaddr_find(struct ww_bytes addr, uint64_t code, struct ww_multiaddr_part *ret_part);
bool ww_multiaddr_has(struct ww_bytes addr, uint64_t code);
size_t ww_multiaddr_count(struct ww_bytes addr, uint64_t code);

/* Builds: appends one component. The value is checked against the code's rules. */
WW_MUST_USE ww_err ww_multiaddr_put(struct ww_buf *out, uint64_t code, struct ww_bytes value);
WW_MUST_USE ww_err ww_multiaddr_put_port(struct ww_buf *out, uint64_t code, uint16_t port);
/* /ip4|ip6/…, with /ip6zone before it when the address has a scope, and then /tcp|udp/port (code WW_MA_TCP or
 * WW_MA_UDP; 0: the bare address). */
WW_MUST_USE ww_err ww_multiaddr_put_netaddr(struct ww_buf *out, const struct ww_netaddr *addr, uint64_t code);
WW_MUST_USE ww_err ww_multiaddr_put_p2p(struct ww_buf *out, const struct ww_peer_id *id);

/* Reads /ip4|ip6/…/tcp|udp/port off the front. A zone must be a number (an interface index). `*ret_code` is
 * WW_MA_TCP or WW_MA_UDP, `*ret_rest` what follows. WW_EUNSUPPORTED when the address does not begin so. */
WW_MUST_USE ww_err ww_multiaddr_netaddr(
    struct ww_bytes addr, struct ww_netaddr *ret_addr, uint64_t *ret_code, struct ww_bytes *ret_rest);
/* Only a host: ip4 or ip6 first, no port needed (port 0). */
WW_MUST_USE ww_err ww_multiaddr_host(
    struct ww_bytes addr, struct ww_netaddr *ret_addr, struct ww_bytes *ret_rest);

/* /dns|dns4|dns6|dnsaddr first: the name (not NUL-terminated), family 4, 6 or 0 for both, and what follows.
 */
WW_MUST_USE ww_err ww_multiaddr_dns(
    struct ww_bytes addr, struct ww_bytes *ret_name, uint8_t *ret_family, struct ww_bytes *ret_rest);

/* The peer at the end of the address: its last component is /p2p/ID. `*ret_transport` (NULL allowed) is what
 * is before it. WW_ENOTFOUND when there is none. */
WW_MUST_USE ww_err ww_multiaddr_peer(
    struct ww_bytes addr, struct ww_peer_id *ret_id, struct ww_bytes *ret_transport);
/* Appends `addr` with /p2p/ID at its end unless it is there already; WW_EPEERID when it ends in another one.
 */
WW_MUST_USE ww_err ww_multiaddr_encapsulate_peer(
    struct ww_buf *out, struct ww_bytes addr, const struct ww_peer_id *id);

/* Loopback address in front (127/8, ::1). */
bool ww_multiaddr_is_loopback(struct ww_bytes addr);

#endif
