/* p2p/gossipsub_codec.h — the wire format of pubsub: RPC and Message protobufs, zero-copy.
 *
 * Decoding gives views into the input and allocates nothing. An RPC is a flat sequence of items here; nested
 * control messages are opened by the cursor, and an item is well formed down to its last byte when the cursor
 * returns it. Encoding builds whole frames (with their length prefix) in slabs. Source: libp2p specs,
 * pubsub/README.md and pubsub/gossipsub (RPC schemas of v1.0 and v1.1).
 */
#ifndef WW_P2P_GOSSIPSUB_CODEC_H
#define WW_P2P_GOSSIPSUB_CODEC_H

#include "base/protobuf.h"
#include "p2p/gossipsub.h"

/* ---- messages ---- */

/* WW_EPROTO, WW_ETRUNC. `ret_canonical`: the fields come in order, once, minimally encoded and with nothing
 * else between them, so that encoding them again gives the same bytes. The last one of repeated fields
 * counts. */
WW_MUST_USE ww_err ww_gossip_msg_decode(
    struct ww_bytes in, struct ww_gossip_fields *ret_fields, bool *ret_canonical);

/* A whole frame with the message as its only content: copied from `canonical` bytes, or encoded from fields.
 * The views in `f` are moved into the frame. NULL: out of memory. */
struct ww_slab *ww_gossip_frame_wrap(struct ww_bytes message, struct ww_gossip_fields *f);
struct ww_slab *ww_gossip_frame_encode(struct ww_gossip_fields *f);
size_t ww_gossip_msg_size(const struct ww_gossip_fields *f);

/* What the author signs: a fixed prefix and the message without signature and key. Replaces the content of
 * `out`. */
WW_MUST_USE ww_err ww_gossip_msg_signed_bytes(const struct ww_gossip_fields *f, struct ww_buf *out);

/* ---- RPCs ---- */

enum ww_gossip_item_kind {
    WW_GOSSIP_ITEM_SUBSCRIBE,
    WW_GOSSIP_ITEM_UNSUBSCRIBE,
    WW_GOSSIP_ITEM_PUBLISH, /* body: the message */
    WW_GOSSIP_ITEM_IHAVE,   /* body: for ww_gossip_ids_next */
    WW_GOSSIP_ITEM_IWANT,   /* body: for ww_gossip_ids_next */
    WW_GOSSIP_ITEM_GRAFT,
    WW_GOSSIP_ITEM_PRUNE, /* body: for ww_gossip_px_next */
};

struct ww_gossip_item {
    enum ww_gossip_item_kind kind;
    struct ww_bytes topic;
    struct ww_bytes body;
    uint64_t backoff_s; /* PRUNE; 0: none given */
};

/* Start with `rpc` set and the rest zero. */
struct ww_gossip_cursor {
    struct ww_bytes rpc, control;
};

/* 1: an item, 0: the end, WW_EPROTO / WW_ETRUNC. Unknown fields and control messages are skipped. */
WW_MUST_USE ww_err ww_gossip_rpc_next(struct ww_gossip_cursor *c, struct ww_gossip_item *ret_item);

/* Walk over the body of a well-formed item; false at the end. */
bool ww_gossip_ids_next(enum ww_gossip_item_kind kind, struct ww_bytes *rest, struct ww_bytes *ret_id);
bool ww_gossip_px_next(struct ww_bytes *rest, struct ww_bytes *ret_peer, struct ww_bytes *ret_record);

/* Appends one subscription change, as a field of an RPC. */
WW_MUST_USE ww_err ww_gossip_put_subscription(struct ww_buf *out, struct ww_bytes topic, bool subscribe);
/* Append one entry of a control message. */
WW_MUST_USE ww_err ww_gossip_put_graft(struct ww_buf *out, struct ww_bytes topic);
struct ww_gossip_px {
    struct ww_bytes peer, record; /* record may be empty */
};
WW_MUST_USE ww_err ww_gossip_put_prune(struct ww_buf *out, struct ww_bytes topic, uint64_t backoff_s,
    const struct ww_gossip_px *px, size_t count);
WW_MUST_USE ww_err ww_gossip_put_ihave(
    struct ww_buf *out, struct ww_bytes topic, const struct ww_bytes *ids, size_t count);
WW_MUST_USE ww_err ww_gossip_put_iwant(struct ww_buf *out, const struct ww_bytes *ids, size_t count);

/* A frame of subscription fields and the entries of one control message; either may be empty. NULL: out of
 * memory. */
struct ww_slab *ww_gossip_frame_control(struct ww_bytes subscriptions, struct ww_bytes control);

#endif
