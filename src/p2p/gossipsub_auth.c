#include "p2p/gossipsub_auth.h"

#include "base/map.h"

static ww_err sign(struct ww_gossip_auth *auth, struct ww_bytes data, uint8_t *out, size_t *ret_len)
{
    struct ww_gossip_auth_key *a = WW_CONTAINER_OF(auth, struct ww_gossip_auth_key, auth);
    struct ww_signature sig;
    WW_TRY(ww_keypair_sign(a->pair, data, &sig));
    memcpy(out, sig.bytes, sig.len);
    *ret_len = sig.len;
    return 0;
}

static ww_err author_key(
    struct ww_bytes from, struct ww_bytes key, struct ww_peer_id *ret_id, struct ww_pubkey *ret_key)
{
    WW_TRY(ww_peer_id_decode(from, ret_id));
    ww_err err = ww_peer_id_key(ret_id, ret_key);
    if (err != WW_ENOTFOUND)
        return err;
    WW_TRY(ww_pubkey_decode(key, ret_key));
    return ww_peer_id_matches(ret_id, ret_key) ? 0 : WW_EPEERID;
}

static ww_err verify(struct ww_gossip_auth *auth, struct ww_bytes from, struct ww_bytes key,
    struct ww_bytes data, struct ww_bytes sig)
{
    struct ww_gossip_auth_key *a = WW_CONTAINER_OF(auth, struct ww_gossip_auth_key, auth);
    struct ww_gossip_auth_entry **slot = &a->recent[ww_siphash13(a->seed, from) & (WW_GOSSIP_AUTH_KEYS - 1)];
    if (*slot && ww_bytes_eq(ww_peer_id_view(&(*slot)->id), from))
        return ww_pubkey_verify(&(*slot)->key, data, sig);
    struct ww_gossip_auth_entry e;
    WW_TRY(author_key(from, key, &e.id, &e.key));
    WW_TRY(ww_pubkey_verify(&e.key, data, sig));
    if (!*slot)
        *slot = WW_NEW(struct ww_gossip_auth_entry);
    if (*slot)
        **slot = e;
    return 0;
}

void ww_gossip_auth_key_init(
    struct ww_gossip_auth_key *a, const struct ww_keypair *pair, const uint64_t seed[2])
{
    struct ww_peer_id id;
    struct ww_pubkey key;
    *a = (struct ww_gossip_auth_key){.auth = {.sign = sign, .verify = verify}, .pair = pair};
    memcpy(a->seed, seed, sizeof a->seed);
    ww_peer_id_from_key(&pair->pub, &id);
    if (ww_peer_id_key(&id, &key) == WW_ENOTFOUND)
        a->auth.key = ww_bytes(a->encoded, ww_pubkey_encode(&pair->pub, a->encoded));
}

void ww_gossip_auth_key_fini(struct ww_gossip_auth_key *a)
{
    for (size_t i = 0; i < WW_GOSSIP_AUTH_KEYS; i++) {
        ww_free(a->recent[i]);
        a->recent[i] = NULL;
    }
}
