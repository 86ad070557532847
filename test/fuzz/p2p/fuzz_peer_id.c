/* Peer ids, as bytes and as text. */
#include "p2p/peer_id.h"

static void stable(const struct ww_peer_id *id)
{
    struct ww_peer_id again;
    struct ww_pubkey key;
    char text[WW_PEER_ID_TEXT_MAX];
    WW_ASSERT(ww_peer_id_parse(ww_bytes_str(ww_peer_id_format(id, text)), &again) == 0);
    WW_ASSERT(ww_peer_id_eq(id, &again));
    if (ww_peer_id_key(id, &key) == 0)
        WW_ASSERT(ww_peer_id_matches(id, &key));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ww_peer_id id;
    if (ww_peer_id_decode(ww_bytes(data, size), &id) == 0)
        stable(&id);
    if (ww_peer_id_parse(ww_bytes(data, size), &id) == 0)
        stable(&id);
    return 0;
}
