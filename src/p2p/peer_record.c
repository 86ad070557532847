#include "p2p/peer_record.h"

#include "base/protobuf.h"
#include "p2p/multiaddr.h"

enum {
    FIELD_PEER = 1,
    FIELD_SEQ = 2,
    FIELD_ADDR = 3,
    ADDR_FIELD_BYTES = 1, /* inside FIELD_ADDR */
};

static const struct ww_bytes record_domain = WW_BYTES_LIT("libp2p-peer-record");
static const struct ww_bytes record_type = WW_BYTES_LIT("\x03\x01");

static ww_err put_record(struct ww_buf *out, const struct ww_peer_id *peer, uint64_t seq,
    const struct ww_bytes *addrs, size_t count)
{
    WW_TRY(ww_protobuf_put_bytes(out, FIELD_PEER, ww_peer_id_view(peer)));
    WW_TRY(ww_protobuf_put_varint(out, FIELD_SEQ, seq));
    for (size_t i = 0; i < count; i++) {
        WW_TRY(
            ww_protobuf_put_header(out, FIELD_ADDR, ww_protobuf_bytes_size(ADDR_FIELD_BYTES, addrs[i].len)));
        WW_TRY(ww_protobuf_put_bytes(out, ADDR_FIELD_BYTES, addrs[i]));
    }
    return 0;
}

ww_err ww_peer_record_seal(const struct ww_keypair *signer, uint64_t seq, const struct ww_bytes *addrs,
    size_t count, struct ww_buf *out)
{
    struct ww_peer_id peer;
    struct ww_buf payload;
    if (count > WW_PEER_RECORD_ADDRS_MAX)
        return WW_ELIMIT;
    ww_peer_id_from_key(&signer->pub, &peer);
    ww_buf_init(&payload, WW_ENVELOPE_MAX_BYTES);
    ww_err err = put_record(&payload, &peer, seq, addrs, count);
    if (err == 0)
        err = ww_envelope_seal(signer, record_domain, record_type, ww_buf_view(&payload), out);
    ww_buf_fini(&payload);
    return err;
}

/* AddressInfo{multiaddr=1}. */
static ww_err parse_addr(struct ww_bytes in, struct ww_bytes *ret_addr)
{
    struct ww_protobuf_field f;
    struct ww_bytes addr = {0};
    ww_err got;
    while ((got = ww_protobuf_next(&in, &f)) > 0) {
        if (f.number == ADDR_FIELD_BYTES && f.wire == WW_PROTOBUF_BYTES)
            addr = f.bytes;
    }
    if (got < 0)
        return got;
    *ret_addr = addr;
    return 0;
}

static ww_err parse_record(struct ww_bytes in, struct ww_peer_record *ret)
{
    struct ww_protobuf_field f;
    struct ww_bytes addr, peer = {0};
    ww_err got;
    ret->seq = 0;
    ret->addr_count = 0;
    ret->payload = in;
    while ((got = ww_protobuf_next(&in, &f)) > 0) {
        if (f.number == FIELD_PEER && f.wire == WW_PROTOBUF_BYTES) {
            peer = f.bytes;
        } else if (f.number == FIELD_SEQ && f.wire == WW_PROTOBUF_VARINT) {
            ret->seq = f.value;
        } else if (f.number == FIELD_ADDR && f.wire == WW_PROTOBUF_BYTES) {
            if (++ret->addr_count > WW_PEER_RECORD_ADDRS_MAX)
                return WW_ELIMIT;
            WW_TRY(parse_addr(f.bytes, &addr));
            WW_TRY(ww_multiaddr_check(addr));
        } else if (f.number <= FIELD_ADDR) {
            return WW_EPROTO;
        }
    }
    return got < 0 ? got : ww_peer_id_decode(peer, &ret->peer);
}

ww_err ww_peer_record_open(struct ww_bytes envelope, struct ww_peer_record *ret_record)
{
    struct ww_envelope env;
    struct ww_peer_record record;
    WW_TRY(ww_envelope_open(envelope, record_domain, &env));
    if (!ww_bytes_eq(env.payload_type, record_type))
        return WW_EPROTO;
    WW_TRY(parse_record(env.payload, &record));
    if (!ww_peer_id_matches(&record.peer, &env.key))
        return WW_EPEERID;
    *ret_record = record;
    return 0;
}

bool ww_peer_record_next(struct ww_bytes *rest, struct ww_bytes *ret_addr)
{
    struct ww_protobuf_field f;
    while (ww_protobuf_next(rest, &f) > 0) {
        if (f.number == FIELD_ADDR && f.wire == WW_PROTOBUF_BYTES)
            return parse_addr(f.bytes, ret_addr) == 0;
    }
    return false;
}
