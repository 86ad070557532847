/* What the gossip tests share: cheap signatures, message making. */
#ifndef WW_TEST_GOSSIP_FAKE_H
#define WW_TEST_GOSSIP_FAKE_H

#include "base/map.h"
#include "p2p/gossipsub.h"
#include "p2p/gossipsub_codec.h"

#define FAKE_SIG_BYTES 8

/* Signatures that anybody could make, but nobody by chance: a keyed hash of author and bytes. Counts its
 * work. */
struct fake_auth {
    struct ww_gossip_auth auth;
    struct ww_bytes self;
    size_t verified;
};

static inline uint64_t fake_tag(struct ww_bytes from, struct ww_bytes data)
{
    uint64_t seed[2] = {ww_siphash13((const uint64_t[2]){11, 12}, from), 13};
    return ww_siphash13(seed, data);
}

static inline ww_err fake_sign(
    struct ww_gossip_auth *auth, struct ww_bytes data, uint8_t *out, size_t *ret_len)
{
    struct fake_auth *a = WW_CONTAINER_OF(auth, struct fake_auth, auth);
    ww_le64_store(out, fake_tag(a->self, data));
    *ret_len = FAKE_SIG_BYTES;
    return 0;
}

static inline ww_err fake_verify(struct ww_gossip_auth *auth, struct ww_bytes from, struct ww_bytes key,
    struct ww_bytes data, struct ww_bytes sig)
{
    struct fake_auth *a = WW_CONTAINER_OF(auth, struct fake_auth, auth);
    WW_UNUSED(key);
    a->verified++;
    return sig.len == FAKE_SIG_BYTES && ww_le64_load(sig.ptr) == fake_tag(from, data) ? 0 : WW_ECRYPTO;
}

static inline void fake_auth_init(struct fake_auth *a, struct ww_bytes self)
{
    *a = (struct fake_auth){.auth = {.sign = fake_sign, .verify = fake_verify}, .self = self};
}

/* One RPC (without its length) with one signed message, in a slab. */
static inline struct ww_slab *fake_message(
    struct ww_bytes from, uint64_t seq, struct ww_bytes topic, struct ww_bytes data)
{
    struct fake_auth a;
    struct ww_buf out;
    uint8_t seqno[8], sig[FAKE_SIG_BYTES];
    size_t sig_len;
    struct ww_gossip_fields f = {.from = from, .topic = topic, .data = data, .seqno = ww_bytes(seqno, 8)};
    ww_be64_store(seqno, seq);
    fake_auth_init(&a, from);
    ww_buf_init(&out, 1 << 21);
    WW_ASSERT(ww_gossip_msg_signed_bytes(&f, &out) == 0);
    WW_ASSERT(fake_sign(&a.auth, ww_buf_view(&out), sig, &sig_len) == 0);
    ww_buf_fini(&out);
    f.signature = ww_bytes(sig, sig_len);
    struct ww_slab *frame = ww_gossip_frame_encode(&f);
    uint64_t len;
    ww_err n = ww_protobuf_varint_decode(ww_slab_view(frame), &len);
    WW_ASSERT(n > 0);
    struct ww_slab *rpc = ww_slab_copy(ww_bytes_skip(ww_slab_view(frame), (size_t)n));
    ww_slab_unref(frame);
    return rpc;
}

#endif
