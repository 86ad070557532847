/* p2p/multiaddr_proto.h — the protocol table behind p2p/multiaddr.h: multiaddr.c holds it and checks values,
 * multiaddr_text.c reads and prints them. Inside p2p only. */
#ifndef WW_P2P_MULTIADDR_PROTO_H
#define WW_P2P_MULTIADDR_PROTO_H

#include "p2p/multiaddr.h"

/* What a value is, on the wire and as text. */
enum ww_multiaddr_kind {
    WW_MA_KIND_NONE,
    WW_MA_KIND_IP4,
    WW_MA_KIND_IP6,
    WW_MA_KIND_PORT,   /* 2 bytes */
    WW_MA_KIND_BYTE,   /* a prefix length, 0..255 */
    WW_MA_KIND_PREFIX, /* the same, 0..128 */
    WW_MA_KIND_U64,
    WW_MA_KIND_NAME, /* text without '/' or control characters */
    WW_MA_KIND_PATH, /* text with '/', at the end of an address */
    WW_MA_KIND_PEER,
    WW_MA_KIND_HASH, /* multihash, in multibase */
    WW_MA_KIND_ONION,
    WW_MA_KIND_ONION3,
    WW_MA_KIND_GARLIC64,
    WW_MA_KIND_GARLIC32,
    WW_MA_KIND_ESCAPED, /* any bytes, percent-encoded */
};

#define WW_MA_VARIABLE (-1)

struct ww_multiaddr_proto {
    uint16_t code;
    int16_t size; /* of the value; WW_MA_VARIABLE: a length stands before it */
    enum ww_multiaddr_kind kind;
    const char *name;
};

/* NULL when unknown. */
const struct ww_multiaddr_proto *ww_multiaddr_proto_by_code(uint64_t code);
/* Understands `ipfs`, the old name of p2p. */
const struct ww_multiaddr_proto *ww_multiaddr_proto_by_name(struct ww_bytes name);
WW_MUST_USE ww_err ww_multiaddr_value_check(const struct ww_multiaddr_proto *proto, struct ww_bytes value);

/* A multiaddr being built on the stack. */
struct ww_multiaddr_draft {
    size_t len;
    uint8_t bytes[WW_MULTIADDR_MAX_BYTES];
};

/* Checks the value and appends the component. WW_ELIMIT. */
WW_MUST_USE ww_err ww_multiaddr_draft_put(
    struct ww_multiaddr_draft *draft, const struct ww_multiaddr_proto *proto, struct ww_bytes value);

#endif
