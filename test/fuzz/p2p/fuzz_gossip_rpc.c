/* Any bytes as an RPC: the cursor ends, and what it calls well formed can be walked and built again. */
#include "p2p/gossipsub_codec.h"

static void check_message(struct ww_bytes body)
{
    struct ww_gossip_fields f, g;
    bool canonical, again;
    WW_ASSERT(ww_gossip_msg_decode(body, &f, &canonical) == 0);
    struct ww_slab *frame = ww_gossip_frame_encode(&f);
    WW_ASSERT(frame);
    /* Decoding what we made gives the same fields, in canonical form. */
    size_t size = ww_gossip_msg_size(&f);
    struct ww_bytes made = ww_bytes(frame->data + frame->len - size, size);
    WW_ASSERT(ww_gossip_msg_decode(made, &g, &again) == 0 && again);
    WW_ASSERT(ww_bytes_eq(f.from, g.from) && ww_bytes_eq(f.data, g.data) && ww_bytes_eq(f.topic, g.topic));
    WW_ASSERT(
        ww_bytes_eq(f.seqno, g.seqno) && ww_bytes_eq(f.signature, g.signature) && ww_bytes_eq(f.key, g.key));
    WW_ASSERT(!canonical || ww_bytes_eq(made, body));
    ww_slab_unref(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ww_gossip_cursor c = {.rpc = ww_bytes(data, size)};
    struct ww_gossip_item item;
    struct ww_bytes view, record;
    while (ww_gossip_rpc_next(&c, &item) > 0) {
        switch (item.kind) {
        case WW_GOSSIP_ITEM_PUBLISH:
            check_message(item.body);
            break;
        case WW_GOSSIP_ITEM_IHAVE:
        case WW_GOSSIP_ITEM_IWANT:
            while (ww_gossip_ids_next(item.kind, &item.body, &view))
                WW_ASSERT(view.len == 0 || (view.ptr >= data && view.ptr + view.len <= data + size));
            break;
        case WW_GOSSIP_ITEM_PRUNE:
            while (ww_gossip_px_next(&item.body, &view, &record))
                WW_ASSERT(view.len + record.len <= size);
            break;
        default:
            WW_ASSERT(item.topic.len <= size);
        }
    }
    return 0;
}
