#include "sim/node_life.h"

#include <stdio.h>

ww_err ww_node_life_add(struct ww_node_lives *lives, uint32_t index, uint64_t now_ns, size_t *ret_place)
{
    struct ww_node_life *all = ww_realloc(lives->all, (lives->count + 1) * sizeof *all);
    if (!all)
        return WW_ENOMEM;
    lives->all = all;
    *ret_place = lives->count++;
    all[*ret_place] = (struct ww_node_life){.index = index, .began_ns = now_ns};
    for (size_t i = 0; i < *ret_place; i++)
        all[*ret_place].number += all[i].index == index;
    return WW_OK;
}

struct ww_node_life *ww_node_life_of(const struct ww_node_lives *lives, uint64_t server)
{
    for (size_t i = lives->count; i-- > 0;) {
        if (lives->all[i].server == server)
            return &lives->all[i];
    }
    return NULL;
}

void ww_node_life_key(size_t index, struct ww_keypair *ret_key)
{
    uint8_t seed[WW_ED25519_SEED_BYTES] = {'n', 'o', 'd', 'e'};
    ww_le32_store(seed + 4, (uint32_t)index);
    ww_keypair_from_seed(ret_key, seed);
}

void ww_node_life_meta(const struct ww_node_life *life, char out[WW_NODE_LIFE_META][WW_NODE_LIFE_META_MAX])
{
    snprintf(out[0], WW_NODE_LIFE_META_MAX, "zone=%c", 'a' + (char)(life->index % 3));
    snprintf(out[1], WW_NODE_LIFE_META_MAX, "life=%u", life->number);
    snprintf(out[2], WW_NODE_LIFE_META_MAX, "app=ww");
}

void ww_node_life_host(const struct ww_node_life *life, char out[32])
{
    snprintf(out, 32, "n%u", life->index + 1);
}

bool ww_node_life_is(const struct ww_node_life *life, struct ww_bytes peer, struct ww_bytes host,
    const struct ww_bytes *meta, size_t meta_count)
{
    char texts[WW_NODE_LIFE_META][WW_NODE_LIFE_META_MAX], name[32];
    ww_node_life_meta(life, texts);
    ww_node_life_host(life, name);
    if (!ww_bytes_eq(peer, ww_peer_id_view(&life->peer)) || !ww_bytes_eq(host, ww_bytes_str(name)) ||
        meta_count != WW_NODE_LIFE_META)
        return false;
    for (size_t i = 0; i < WW_NODE_LIFE_META; i++) {
        bool found = false;
        for (size_t k = 0; k < meta_count; k++)
            found = found || ww_bytes_eq(meta[k], ww_bytes_str(texts[i]));
        if (!found)
            return false;
    }
    return true;
}

void ww_node_life_peers(const struct ww_node_lives *lives, size_t index, struct ww_node_life_peers *ret_peers)
{
    ret_peers->count = 0;
    for (size_t i = 0; lives->static_peers && i < lives->nodes && i < WW_NODE_LIFE_STATIC; i++) {
        struct ww_keypair key;
        struct ww_peer_id id;
        char text[WW_PEER_ID_TEXT_MAX], *out = ret_peers->texts[ret_peers->count];
        if (i == index)
            continue;
        ww_node_life_key(i, &key);
        ww_peer_id_from_key(&key.pub, &id);
        ww_keypair_fini(&key);
        snprintf(out, sizeof ret_peers->texts[0], "/ip4/10.0.%zu.%zu/tcp/%d/p2p/%s", (i + 1) >> 8,
            (i + 1) & 255, WW_NODE_LIFE_PORT, ww_peer_id_format(&id, text));
        ret_peers->views[ret_peers->count++] = out;
    }
}
