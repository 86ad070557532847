/* Real signatures: what a Go node signed is accepted, what was changed is not, and what we sign others could
 * check. */
#include "p2p/gossipsub_auth.h"
#include "p2p/gossipsub_codec.h"
#include "test/lib/vectors.h"

static const uint64_t hash_seed[2] = {3, 4};

struct signer {
    struct ww_keypair pair;
    struct ww_peer_id id;
    struct ww_gossip_auth_key auth;
};

static void signer_init(struct signer *s, uint8_t fill)
{
    uint8_t seed[WW_ED25519_SEED_BYTES];
    memset(seed, fill, sizeof seed);
    ww_keypair_from_seed(&s->pair, seed);
    ww_peer_id_from_key(&s->pair.pub, &s->id);
    ww_gossip_auth_key_init(&s->auth, &s->pair, hash_seed);
}

static void signer_fini(struct signer *s)
{
    ww_gossip_auth_key_fini(&s->auth);
    ww_keypair_fini(&s->pair);
}

static ww_err verify(struct signer *s, const struct ww_gossip_fields *f)
{
    struct ww_buf out;
    ww_buf_init(&out, 1 << 16);
    assert_ok(ww_gossip_msg_signed_bytes(f, &out));
    ww_err err = s->auth.auth.verify(&s->auth.auth, f->from, f->key, ww_buf_view(&out), f->signature);
    ww_buf_fini(&out);
    return err;
}

static void recorded_messages_verify(void **state)
{
    WW_UNUSED(state);
    struct signer s;
    signer_init(&s, 1);
    for (unsigned i = 0; i < 10; i++) {
        char path[64];
        uint8_t mem[1024];
        struct ww_gossip_fields f;
        bool canonical;
        snprintf(path, sizeof path, "test/vectors/go-node/gossip-msg-%02u.hex", i);
        char *text = vector_file(path);
        size_t digits = strspn(text, "0123456789abcdef");
        assert_ok(ww_hex_decode(ww_bytes(text, digits), mem, digits / 2));
        free(text);
        assert_ok(ww_gossip_msg_decode(ww_bytes(mem, digits / 2), &f, &canonical));
        for (unsigned again = 0; again < 2; again++) /* the second time with the kept key */
            assert_ok(verify(&s, &f));
        f.topic = WW_BYTES_LIT("wv");
        assert_int_equal(verify(&s, &f), WW_ECRYPTO);
        f.topic = WW_BYTES_LIT("ww");
        f.from.len--;
        assert_true(verify(&s, &f) < 0);
    }
    signer_fini(&s);
}

static void routers_understand_each_other(void **state)
{
    WW_UNUSED(state);
    struct signer a, b;
    struct ww_gossip *g[2];
    struct ww_gossip_peer peer[2];
    struct ww_gossip_msg *m;
    struct ww_gossip_event ev;
    memset(peer, 0, sizeof peer);
    signer_init(&a, 1);
    signer_init(&b, 2);
    struct signer *s[2] = {&a, &b};
    for (unsigned i = 0; i < 2; i++) {
        struct ww_gossip_conf conf;
        ww_gossip_conf_default(&conf);
        conf.self = ww_peer_id_view(&s[i]->id);
        conf.auth = &s[i]->auth.auth;
        assert_ok(ww_gossip_new(&conf, 0, &g[i]));
        assert_ok(ww_gossip_peer_up(
            g[i], &peer[i], ww_peer_id_view(&s[1 - i]->id), WW_GOSSIP_MESH | WW_GOSSIP_PX, i == 0));
        assert_ok(ww_gossip_join(g[i], WW_BYTES_LIT("t"), true, 0));
    }
    assert_ok(ww_gossip_rpc_in(g[0], &peer[0], hex("0a050801120174"), 0));
    assert_ok(ww_gossip_publish(g[0], WW_BYTES_LIT("t"), WW_BYTES_LIT("payload"), 0, &m));
    ww_gossip_validated(g[0], m, WW_GOSSIP_ACCEPT, 0);
    size_t frames = 0, delivered = 0;
    struct ww_slab *frame;
    while ((frame = ww_gossip_peer_pull(g[0], &peer[0]))) {
        uint64_t len;
        ww_err n = ww_protobuf_varint_decode(ww_slab_view(frame), &len);
        assert_true(n > 0);
        assert_ok(ww_gossip_rpc_in(g[1], &peer[1], ww_bytes_skip(ww_slab_view(frame), (size_t)n), 0));
        ww_slab_unref(frame);
        frames++;
    }
    assert_int_equal(frames, 3); /* hello, GRAFT, message */
    while (ww_gossip_next_event(g[1], &ev)) {
        if (ev.kind == WW_GOSSIP_EV_VALIDATE) {
            assert_bytes(ev.msg->f.from, a.id.bytes, a.id.len);
            assert_null(ev.msg->f.key.ptr);
            ww_gossip_validated(g[1], ev.msg, WW_GOSSIP_ACCEPT, 0);
        } else if (ev.kind == WW_GOSSIP_EV_DELIVER) {
            delivered++;
            ww_gossip_msg_unref(ev.msg);
        }
    }
    assert_int_equal(delivered, 1);
    for (unsigned i = 0; i < 2; i++) {
        ww_gossip_peer_down(g[i], &peer[i]);
        ww_gossip_free(g[i]);
        signer_fini(s[i]);
    }
}

/* An ECDSA author: the id is a hash, so the key travels with the message, and must be the right one. */
static void keys_that_are_not_in_the_id(void **state)
{
    WW_UNUSED(state);
    struct ww_pubkey key;
    struct ww_peer_id id;
    struct signer s;
    uint8_t encoded[WW_PUBKEY_ENCODED_MAX];
    signer_init(&s, 1);
    assert_ok(ww_pubkey_decode(
        hex("0803125b3059301306072a8648ce3d020106082a8648ce3d03010703420004de3d300fa36ae0e8f5d530899d83abab44"
            "abf3161f162a"
            "4bc901d8e6ecda020e8b6d5f8da30525e71d6851510c098e5c47c646a597fb4dcec034e9f77c409e62"),
        &key));
    ww_peer_id_from_key(&key, &id);
    struct ww_gossip_fields f = {.from = ww_peer_id_view(&id),
        .data = WW_BYTES_LIT("d"),
        .topic = WW_BYTES_LIT("t"),
        .seqno = WW_BYTES_LIT("\0\0\0\0\0\0\0\1"),
        .signature = WW_BYTES_LIT("no signature")};
    assert_true(verify(&s, &f) < 0); /* no key at all */
    f.key = ww_bytes(encoded, ww_pubkey_encode(&s.pair.pub, encoded));
    assert_int_equal(verify(&s, &f), WW_EPEERID); /* somebody else's */
    f.key = ww_bytes(encoded, ww_pubkey_encode(&key, encoded));
    assert_int_equal(verify(&s, &f), WW_ECRYPTO);
    signer_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_messages_verify),
        cmocka_unit_test(routers_understand_each_other),
        cmocka_unit_test(keys_that_are_not_in_the_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
