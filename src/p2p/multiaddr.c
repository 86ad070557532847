#include "p2p/multiaddr_proto.h"

#include <stdio.h>

#include "base/varint.h"
#include "p2p/ip.h"
#include "p2p/multihash.h"

#define GARLIC64_MIN_BYTES 386 /* an I2P destination: two keys and a certificate */
#define GARLIC64_MAX_BYTES 462

/* Sorted by code. To know one more protocol, add its row. */
static const struct ww_multiaddr_proto protos[] = {
    {WW_MA_IP4, 4, WW_MA_KIND_IP4, "ip4"},
    {WW_MA_TCP, 2, WW_MA_KIND_PORT, "tcp"},
    {WW_MA_DCCP, 2, WW_MA_KIND_PORT, "dccp"},
    {WW_MA_IP6, 16, WW_MA_KIND_IP6, "ip6"},
    {WW_MA_IP6ZONE, WW_MA_VARIABLE, WW_MA_KIND_NAME, "ip6zone"},
    {WW_MA_IPCIDR, 1, WW_MA_KIND_BYTE, "ipcidr"},
    {WW_MA_DNS, WW_MA_VARIABLE, WW_MA_KIND_NAME, "dns"},
    {WW_MA_DNS4, WW_MA_VARIABLE, WW_MA_KIND_NAME, "dns4"},
    {WW_MA_DNS6, WW_MA_VARIABLE, WW_MA_KIND_NAME, "dns6"},
    {WW_MA_DNSADDR, WW_MA_VARIABLE, WW_MA_KIND_NAME, "dnsaddr"},
    {WW_MA_MULTICAST, WW_MA_VARIABLE, WW_MA_KIND_NAME, "multicast"},
    {WW_MA_SURVEY, 0, WW_MA_KIND_NONE, "survey"},
    {WW_MA_CIDR, 1, WW_MA_KIND_PREFIX, "cidr"},
    {WW_MA_SCTP, 2, WW_MA_KIND_PORT, "sctp"},
    {WW_MA_UDP, 2, WW_MA_KIND_PORT, "udp"},
    {WW_MA_P2P_WEBRTC_DIRECT, 0, WW_MA_KIND_NONE, "p2p-webrtc-direct"},
    {WW_MA_WEBRTC_DIRECT, 0, WW_MA_KIND_NONE, "webrtc-direct"},
    {WW_MA_WEBRTC, 0, WW_MA_KIND_NONE, "webrtc"},
    {WW_MA_P2P_CIRCUIT, 0, WW_MA_KIND_NONE, "p2p-circuit"},
    {WW_MA_UDT, 0, WW_MA_KIND_NONE, "udt"},
    {WW_MA_UTP, 0, WW_MA_KIND_NONE, "utp"},
    {WW_MA_UNIX, WW_MA_VARIABLE, WW_MA_KIND_PATH, "unix"},
    {WW_MA_P2P, WW_MA_VARIABLE, WW_MA_KIND_PEER, "p2p"},
    {WW_MA_HTTPS, 0, WW_MA_KIND_NONE, "https"},
    {WW_MA_ONION, 12, WW_MA_KIND_ONION, "onion"},
    {WW_MA_ONION3, 37, WW_MA_KIND_ONION3, "onion3"},
    {WW_MA_GARLIC64, WW_MA_VARIABLE, WW_MA_KIND_GARLIC64, "garlic64"},
    {WW_MA_GARLIC32, WW_MA_VARIABLE, WW_MA_KIND_GARLIC32, "garlic32"},
    {WW_MA_TLS, 0, WW_MA_KIND_NONE, "tls"},
    {WW_MA_SNI, WW_MA_VARIABLE, WW_MA_KIND_NAME, "sni"},
    {WW_MA_NOISE, 0, WW_MA_KIND_NONE, "noise"},
    {WW_MA_QUIC, 0, WW_MA_KIND_NONE, "quic"},
    {WW_MA_QUIC_V1, 0, WW_MA_KIND_NONE, "quic-v1"},
    {WW_MA_WEBTRANSPORT, 0, WW_MA_KIND_NONE, "webtransport"},
    {WW_MA_CERTHASH, WW_MA_VARIABLE, WW_MA_KIND_HASH, "certhash"},
    {WW_MA_WS, 0, WW_MA_KIND_NONE, "ws"},
    {WW_MA_WSS, 0, WW_MA_KIND_NONE, "wss"},
    {WW_MA_HTTP, 0, WW_MA_KIND_NONE, "http"},
    {WW_MA_HTTP_PATH, WW_MA_VARIABLE, WW_MA_KIND_ESCAPED, "http-path"},
    {WW_MA_MEMORY, 8, WW_MA_KIND_U64, "memory"},
};

const struct ww_multiaddr_proto *ww_multiaddr_proto_by_code(uint64_t code)
{
    size_t lo = 0, hi = WW_COUNT_OF(protos);
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (protos[mid].code == code)
            return &protos[mid];
        if (protos[mid].code < code)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

const struct ww_multiaddr_proto *ww_multiaddr_proto_by_name(struct ww_bytes name)
{
    for (size_t i = 0; i < WW_COUNT_OF(protos); i++) {
        if (ww_bytes_eq(name, ww_bytes_str(protos[i].name)))
            return &protos[i];
    }
    return ww_bytes_eq(name, WW_BYTES_LIT("ipfs")) ? ww_multiaddr_proto_by_code(WW_MA_P2P) : NULL;
}

const char *ww_multiaddr_proto_name(const struct ww_multiaddr_proto *proto)
{
    return proto ? proto->name : "unknown";
}

/* ---- values ---- */

/* Length of the UTF-8 sequence at the front, 0 when it is none (RFC 3629: no surrogates, nothing overlong).
 */
static size_t utf8_sequence(struct ww_bytes in)
{
    uint8_t c = in.ptr[0];
    size_t len = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    if (len == 0 || len > in.len)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((in.ptr[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((c == 0xe0 && in.ptr[1] < 0xa0) || (c == 0xed && in.ptr[1] > 0x9f) ||
        (c == 0xf0 && in.ptr[1] < 0x90) || (c == 0xf4 && in.ptr[1] > 0x8f))
        return 0;
    return len;
}

/* Text that can be printed, between slashes or with them: no control characters (they reach terminals), valid
 * UTF-8. */
static ww_err check_text(struct ww_bytes v, bool slashes)
{
    if (v.len == 0)
        return WW_EPROTO;
    while (v.len > 0) {
        size_t n = utf8_sequence(v);
        uint8_t c = v.ptr[0];
        if (n == 0 || c < 0x20 || c == 0x7f || (c == '/' && !slashes))
            return WW_EPROTO;
        v = ww_bytes_skip(v, n);
    }
    return 0;
}

static ww_err check_path(struct ww_bytes v)
{
    if (v.len < 2 || v.ptr[0] != '/' || v.ptr[v.len - 1] == '/')
        return WW_EPROTO;
    return check_text(v, true);
}

static ww_err check_garlic32(struct ww_bytes v)
{
    return v.len == 32 || v.len >= 35 ? 0 : WW_EPROTO;
}

ww_err ww_multiaddr_value_check(const struct ww_multiaddr_proto *proto, struct ww_bytes v)
{
    struct ww_multihash hash;
    struct ww_peer_id peer;
    if (proto->size != WW_MA_VARIABLE && v.len != (size_t)proto->size)
        return WW_EPROTO;
    switch (proto->kind) {
    case WW_MA_KIND_NONE:
    case WW_MA_KIND_IP4:
    case WW_MA_KIND_IP6:
    case WW_MA_KIND_PORT:
    case WW_MA_KIND_BYTE:
    case WW_MA_KIND_U64:
        return 0;
    case WW_MA_KIND_PREFIX:
        return v.ptr[0] <= 128 ? 0 : WW_EPROTO;
    case WW_MA_KIND_NAME:
        return check_text(v, false);
    case WW_MA_KIND_PATH:
        return check_path(v);
    case WW_MA_KIND_PEER:
        return ww_peer_id_decode(v, &peer);
    case WW_MA_KIND_HASH:
        return ww_multihash_decode(v, &hash);
    case WW_MA_KIND_ONION:
    case WW_MA_KIND_ONION3:
        return ww_be16_load(v.ptr + v.len - 2) != 0 ? 0 : WW_EPROTO;
    case WW_MA_KIND_GARLIC64:
        return v.len >= GARLIC64_MIN_BYTES && v.len <= GARLIC64_MAX_BYTES ? 0 : WW_EPROTO;
    case WW_MA_KIND_GARLIC32:
        return check_garlic32(v);
    case WW_MA_KIND_ESCAPED:
        return v.len > 0 ? 0 : WW_EPROTO;
    }
    return WW_EPROTO;
}

/* ---- reading ---- */

static ww_err take_uvarint(struct ww_bytes *in, uint64_t *ret_value)
{
    ww_err n = ww_uvarint_decode(*in, ret_value);
    if (n < 0)
        return n;
    *in = ww_bytes_skip(*in, (size_t)n);
    return 0;
}

ww_err ww_multiaddr_next(struct ww_bytes *addr, struct ww_multiaddr_part *ret_part)
{
    struct ww_bytes rest = *addr;
    struct ww_multiaddr_part part = {0};
    uint64_t len;
    if (rest.len == 0)
        return 0;
    WW_TRY(take_uvarint(&rest, &part.code));
    part.proto = ww_multiaddr_proto_by_code(part.code);
    if (!part.proto)
        len = rest.len;
    else if (part.proto->size == WW_MA_VARIABLE)
        WW_TRY(take_uvarint(&rest, &len));
    else
        len = (uint64_t)part.proto->size;
    if (len > rest.len)
        return WW_ETRUNC;
    part.value = ww_bytes(rest.ptr, (size_t)len);
    rest = ww_bytes_skip(rest, (size_t)len);
    part.whole = ww_bytes(addr->ptr, addr->len - rest.len);
    *ret_part = part;
    *addr = rest;
    return 1;
}

ww_err ww_multiaddr_check(struct ww_bytes addr)
{
    struct ww_multiaddr_part part;
    size_t count = 0;
    if (addr.len == 0)
        return WW_ETRUNC;
    if (addr.len > WW_MULTIADDR_MAX_BYTES)
        return WW_ELIMIT;
    while (addr.len > 0) {
        WW_TRY(ww_multiaddr_next(&addr, &part));
        if (++count > WW_MULTIADDR_MAX_PARTS)
            return WW_ELIMIT;
        if (!part.proto)
            continue;
        WW_TRY(ww_multiaddr_value_check(part.proto, part.value));
        if (part.proto->kind == WW_MA_KIND_PATH && addr.len > 0)
            return WW_EPROTO; /* as text, what follows would be part of the path */
    }
    return 0;
}

bool ww_multiaddr_find(struct ww_bytes addr, uint64_t code, struct ww_multiaddr_part *ret_part)
{
    struct ww_multiaddr_part part;
    while (ww_multiaddr_next(&addr, &part) > 0) {
        if (part.code == code) {
            *ret_part = part;
            return true;
        }
    }
    return false;
}

bool ww_multiaddr_has(struct ww_bytes addr, uint64_t code)
{
    struct ww_multiaddr_part part;
    return ww_multiaddr_find(addr, code, &part);
}

size_t ww_multiaddr_count(struct ww_bytes addr, uint64_t code)
{
    struct ww_multiaddr_part part;
    size_t count = 0;
    while (ww_multiaddr_next(&addr, &part) > 0)
        count += part.code == code;
    return count;
}

/* ---- building ---- */

ww_err ww_multiaddr_draft_put(
    struct ww_multiaddr_draft *draft, const struct ww_multiaddr_proto *proto, struct ww_bytes value)
{
    uint8_t head[2 * WW_PROTOBUF_VARINT_MAX_BYTES];
    WW_TRY(ww_multiaddr_value_check(proto, value));
    size_t head_len = ww_varint_encode(proto->code, head);
    if (proto->size == WW_MA_VARIABLE)
        head_len += ww_varint_encode(value.len, head + head_len);
    if (value.len > sizeof draft->bytes || head_len + value.len > sizeof draft->bytes - draft->len)
        return WW_ELIMIT;
    memcpy(draft->bytes + draft->len, head, head_len);
    if (value.len)
        memcpy(draft->bytes + draft->len + head_len, value.ptr, value.len);
    draft->len += head_len + value.len;
    return 0;
}

static ww_err draft_put_code(struct ww_multiaddr_draft *draft, uint64_t code, struct ww_bytes value)
{
    const struct ww_multiaddr_proto *proto = ww_multiaddr_proto_by_code(code);
    return proto ? ww_multiaddr_draft_put(draft, proto, value) : WW_EUNSUPPORTED;
}

ww_err ww_multiaddr_put(struct ww_buf *out, uint64_t code, struct ww_bytes value)
{
    struct ww_multiaddr_draft draft;
    draft.len = 0;
    WW_TRY(draft_put_code(&draft, code, value));
    return ww_buf_append(out, ww_bytes(draft.bytes, draft.len));
}

ww_err ww_multiaddr_put_port(struct ww_buf *out, uint64_t code, uint16_t port)
{
    uint8_t value[2];
    ww_be16_store(value, port);
    return ww_multiaddr_put(out, code, ww_bytes(value, sizeof value));
}

ww_err ww_multiaddr_put_netaddr(struct ww_buf *out, const struct ww_netaddr *addr, uint64_t code)
{
    struct ww_multiaddr_draft draft;
    char zone[16];
    uint8_t port[2];
    draft.len = 0;
    if (addr->family == 6 && addr->scope != 0) {
        int len = snprintf(zone, sizeof zone, "%u", addr->scope);
        WW_TRY(draft_put_code(&draft, WW_MA_IP6ZONE, ww_bytes(zone, (size_t)len)));
    }
    if (addr->family == 4)
        WW_TRY(draft_put_code(&draft, WW_MA_IP4, ww_bytes(addr->ip, 4)));
    else if (addr->family == 6)
        WW_TRY(draft_put_code(&draft, WW_MA_IP6, ww_bytes(addr->ip, 16)));
    else
        return WW_EINVAL;
    if (code != 0) {
        ww_be16_store(port, addr->port);
        WW_TRY(draft_put_code(&draft, code, ww_bytes(port, sizeof port)));
    }
    return ww_buf_append(out, ww_bytes(draft.bytes, draft.len));
}

ww_err ww_multiaddr_put_p2p(struct ww_buf *out, const struct ww_peer_id *id)
{
    return ww_multiaddr_put(out, WW_MA_P2P, ww_peer_id_view(id));
}

/* ---- what callers look for ---- */

ww_err ww_multiaddr_host(struct ww_bytes addr, struct ww_netaddr *ret_addr, struct ww_bytes *ret_rest)
{
    struct ww_netaddr out = {0};
    struct ww_multiaddr_part part;
    uint64_t scope = 0;
    if (ww_multiaddr_next(&addr, &part) <= 0)
        return WW_EUNSUPPORTED;
    if (part.code == WW_MA_IP6ZONE) {
        if (ww_decimal_parse(part.value, UINT32_MAX, &scope) < 0 || ww_multiaddr_next(&addr, &part) <= 0 ||
            part.code != WW_MA_IP6)
            return WW_EUNSUPPORTED;
    }
    if (part.code != WW_MA_IP4 && part.code != WW_MA_IP6)
        return WW_EUNSUPPORTED;
    out.family = part.code == WW_MA_IP4 ? 4 : 6;
    out.scope = (uint32_t)scope;
    memcpy(out.ip, part.value.ptr, part.value.len);
    *ret_addr = out;
    *ret_rest = addr;
    return 0;
}

ww_err ww_multiaddr_netaddr(
    struct ww_bytes addr, struct ww_netaddr *ret_addr, uint64_t *ret_code, struct ww_bytes *ret_rest)
{
    struct ww_netaddr out;
    struct ww_multiaddr_part part;
    WW_TRY(ww_multiaddr_host(addr, &out, &addr));
    if (ww_multiaddr_next(&addr, &part) <= 0 || (part.code != WW_MA_TCP && part.code != WW_MA_UDP))
        return WW_EUNSUPPORTED;
    out.port = ww_be16_load(part.value.ptr);
    *ret_addr = out;
    *ret_code = part.code;
    *ret_rest = addr;
    return 0;
}

ww_err ww_multiaddr_dns(
    struct ww_bytes addr, struct ww_bytes *ret_name, uint8_t *ret_family, struct ww_bytes *ret_rest)
{
    struct ww_multiaddr_part part;
    if (ww_multiaddr_next(&addr, &part) <= 0 || part.code < WW_MA_DNS || part.code > WW_MA_DNSADDR)
        return WW_EUNSUPPORTED;
    *ret_name = part.value;
    *ret_family = part.code == WW_MA_DNS4 ? 4 : part.code == WW_MA_DNS6 ? 6 : 0;
    *ret_rest = addr;
    return 0;
}

ww_err ww_multiaddr_peer(struct ww_bytes addr, struct ww_peer_id *ret_id, struct ww_bytes *ret_transport)
{
    struct ww_multiaddr_part part, last = {0};
    struct ww_bytes rest = addr;
    while (ww_multiaddr_next(&rest, &part) > 0)
        last = part;
    if (rest.len != 0 || last.code != WW_MA_P2P || ww_peer_id_decode(last.value, ret_id) < 0)
        return WW_ENOTFOUND;
    if (ret_transport)
        *ret_transport = ww_bytes(addr.ptr, addr.len - last.whole.len);
    return 0;
}

ww_err ww_multiaddr_encapsulate_peer(struct ww_buf *out, struct ww_bytes addr, const struct ww_peer_id *id)
{
    struct ww_multiaddr_draft draft;
    struct ww_peer_id last;
    draft.len = 0;
    if (addr.len > sizeof draft.bytes)
        return WW_ELIMIT;
    if (ww_multiaddr_peer(addr, &last, NULL) == 0) {
        if (!ww_peer_id_eq(&last, id))
            return WW_EPEERID;
        return ww_buf_append(out, addr);
    }
    if (addr.len)
        memcpy(draft.bytes, addr.ptr, addr.len);
    draft.len = addr.len;
    WW_TRY(draft_put_code(&draft, WW_MA_P2P, ww_peer_id_view(id)));
    return ww_buf_append(out, ww_bytes(draft.bytes, draft.len));
}

bool ww_multiaddr_is_loopback(struct ww_bytes addr)
{
    static const uint8_t ip6[16] = {[15] = 1};
    struct ww_netaddr host;
    struct ww_bytes rest;
    if (ww_multiaddr_host(addr, &host, &rest) < 0)
        return false;
    return host.family == 4 ? host.ip[0] == 127 : memcmp(host.ip, ip6, sizeof ip6) == 0;
}
