#include "test/lib/alloc_fail.h"
#include "test/lib/vectors.h"

#include "base/prng.h"
#include "crypto/x25519.h"
#include "p2p/noise.h"

static const struct ww_bytes yamux = WW_BYTES_LIT("/yamux/1.0.0");

static struct ww_bytes vec(const char *kind, const char *name)
{
    return vector_hex(LIBP2P_VECTORS, kind, name);
}

/* ---- the pattern itself ---- */

static struct {
    struct ww_noise_xx side[2]; /* 0 initiator */
    struct ww_aead *seal[2], *open[2];
    uint64_t seal_nonce[2], open_nonce[2];
} cacophony;

static void cacophony_message(const struct vector *v)
{
    size_t index = (size_t)strtoul(v->field[0], NULL, 10), from = index % 2;
    struct ww_bytes payload = hex(v->field[1]), want = hex(v->field[2]), got;
    uint8_t message[512];
    if (index < 3) {
        struct ww_buf out;
        ww_buf_init(&out, 512);
        assert_ok(ww_noise_xx_write(&cacophony.side[from], payload, &out));
        assert_bytes(ww_buf_view(&out), want.ptr, want.len);
        assert_ok(ww_noise_xx_read(&cacophony.side[!from], ww_buf_data(&out), ww_buf_len(&out), &got));
        assert_bytes(got, payload.ptr, payload.len);
        ww_buf_fini(&out);
        return;
    }
    assert_ok(ww_aead_seal(
        cacophony.seal[from], cacophony.seal_nonce[from]++, ww_bytes(NULL, 0), &payload, 1, message));
    assert_memory_equal(message, want.ptr, want.len);
    assert_ok(
        ww_aead_open(cacophony.open[!from], cacophony.open_nonce[!from]++, ww_bytes(NULL, 0), want, message));
    assert_memory_equal(message, payload.ptr, payload.len);
}

/* The published vector numbers its messages by turn: the handshake ends with the initiator, so 3 and 5 are
 * the responder's. */
static void cacophony_split(void)
{
    for (size_t i = 0; i < 2; i++) {
        uint8_t seal[32], open[32];
        ww_noise_xx_split(&cacophony.side[i], seal, open);
        assert_ok(ww_aead_new(seal, &cacophony.seal[i]));
        assert_ok(ww_aead_new(open, &cacophony.open[i]));
    }
}

static void cacophony_handshake(const struct vector *v)
{
    if (v->field[0][0] < '3')
        cacophony_message(v);
}

static void cacophony_transport(const struct vector *v)
{
    if (v->field[0][0] >= '3')
        cacophony_message(v);
}

static void test_cacophony(void **state)
{
    static const char *const names[] = {"init", "resp"};
    WW_UNUSED(state);
    for (size_t i = 0; i < 2; i++) {
        char name[32];
        uint8_t s_public[32];
        snprintf(name, sizeof name, "%s_static", names[i]);
        struct ww_bytes s = vec("noise", name);
        snprintf(name, sizeof name, "%s_ephemeral", names[i]);
        struct ww_bytes e = vec("noise", name);
        ww_x25519_public(s.ptr, s_public);
        ww_noise_xx_init(&cacophony.side[i], i == 0, vec("noise", "init_prologue"), s.ptr, s_public, e.ptr);
    }
    assert_int_equal(vectors_each(LIBP2P_VECTORS, "noise_msg", cacophony_handshake), 6);
    for (size_t i = 0; i < 2; i++)
        assert_memory_equal(cacophony.side[i].hash, vec("noise", "handshake_hash").ptr, 32);
    cacophony_split();
    assert_int_equal(vectors_each(LIBP2P_VECTORS, "noise_msg", cacophony_transport), 6);
    for (size_t i = 0; i < 2; i++) {
        ww_aead_free(cacophony.seal[i]);
        ww_aead_free(cacophony.open[i]);
        ww_noise_xx_fini(&cacophony.side[i]);
    }
}

/* ---- libp2p ---- */

struct side {
    struct ww_keypair pair;
    struct ww_noise_identity identity;
    struct ww_peer_id id;
    struct ww_noise_conf conf;
    struct ww_noise noise;
    struct ww_noise_session session;
};

/* Keys of the recorded transcript; `[0]` dials. */
static void sides_init(struct side s[2], const struct ww_bytes *muxers, size_t count)
{
    static const char *const names[] = {"init", "resp"};
    for (size_t i = 0; i < 2; i++) {
        uint8_t seed[32] = {(uint8_t)i};
        char name[32];
        memset(&s[i], 0, sizeof s[i]);
        ww_keypair_from_seed(&s[i].pair, seed);
        ww_peer_id_from_key(&s[i].pair.pub, &s[i].id);
        snprintf(name, sizeof name, "%s_static", names[i]);
        assert_ok(ww_noise_identity_init(&s[i].identity, &s[i].pair, vec("noise", name).ptr));
        s[i].conf = (struct ww_noise_conf){.role = i == 0 ? WW_NOISE_INITIATOR : WW_NOISE_RESPONDER,
            .identity = &s[i].identity,
            .muxers = muxers,
            .muxer_count = count};
        snprintf(name, sizeof name, "%s_ephemeral", names[i]);
        memcpy(s[i].conf.ephemeral_secret, vec("noise", name).ptr, 32);
    }
}

static void sides_start(struct side s[2])
{
    for (size_t i = 0; i < 2; i++)
        assert_ok(ww_noise_init(&s[i].noise, &s[i].conf));
}

static void sides_fini(struct side s[2])
{
    for (size_t i = 0; i < 2; i++) {
        ww_noise_session_fini(&s[i].session);
        ww_noise_fini(&s[i].noise);
        ww_noise_identity_fini(&s[i].identity);
        ww_keypair_fini(&s[i].pair);
    }
}

/* Carries what `from` has to say in pieces of `step` bytes. */
static ww_err carry(struct side *from, struct side *to, size_t step)
{
    while (ww_noise_output(&from->noise).len > 0) {
        struct ww_bytes out = ww_noise_output(&from->noise);
        size_t used, n = out.len < step ? out.len : step;
        WW_TRY(ww_noise_feed(&to->noise, ww_bytes(out.ptr, n), &used));
        assert_int_equal(used, n);
        ww_noise_sent(&from->noise, n);
    }
    return 0;
}

static ww_err shake(struct side s[2], size_t step)
{
    WW_TRY(carry(&s[0], &s[1], step));
    WW_TRY(carry(&s[1], &s[0], step));
    return carry(&s[0], &s[1], step);
}

static void split_both(struct side s[2])
{
    for (size_t i = 0; i < 2; i++)
        assert_ok(ww_noise_split(&s[i].noise, &s[i].session));
}

static void check_frame(struct side *from, struct side *to, const char *name)
{
    struct ww_bytes want = vec("nlibp2p", name);
    assert_bytes(ww_noise_output(&from->noise), want.ptr, want.len);
    assert_ok(carry(from, to, SIZE_MAX));
}

static void check_record(struct side *from, struct side *to, const char *name, const char *plain)
{
    struct ww_bytes want = vec("nlibp2p", name), piece = hex(plain), got;
    uint8_t frame[64];
    assert_ok(ww_noise_seal(&from->session, &piece, 1, frame));
    assert_memory_equal(frame, want.ptr, want.len);
    assert_int_equal(ww_noise_frame_size(ww_bytes(frame, sizeof frame)), want.len);
    assert_ok(ww_noise_open(&to->session, frame + 2, want.len - 2, &got));
    assert_bytes(got, piece.ptr, piece.len);
}

static void test_libp2p_transcript(void **state)
{
    struct side s[2];
    char text[WW_PEER_ID_TEXT_MAX];
    WW_UNUSED(state);
    sides_init(s, &yamux, 1);
    s[0].conf.expected = &s[1].id;
    s[1].conf.expected = &s[0].id;
    sides_start(s);
    check_frame(&s[0], &s[1], "frame1_init");
    check_frame(&s[1], &s[0], "frame2_resp");
    check_frame(&s[0], &s[1], "frame3_init");
    for (size_t i = 0; i < 2; i++) {
        assert_true(ww_noise_done(&s[i].noise));
        assert_memory_equal(s[i].noise.xx.hash, vec("nlibp2p", "handshake_hash").ptr, 32);
        assert_int_equal(s[i].noise.muxer, 0);
        assert_true(ww_peer_id_eq(&s[i].noise.remote, &s[!i].id));
        assert_true(ww_pubkey_eq(&s[i].noise.remote_key, &s[!i].pair.pub));
    }
    assert_string_equal(
        ww_peer_id_format(&s[0].noise.remote, text), "12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X");
    split_both(s);
    check_record(&s[0], &s[1], "data_init(yamux open id1)", "000100010000000100000000");
    check_record(&s[1], &s[0], "data_resp(yamux ack id1)", "000100020000000100000000");
    sides_fini(s);
}

static void test_golden_signature(void **state)
{
    struct ww_keypair pair;
    struct ww_noise_identity id;
    struct ww_bytes want = vec("js", "noise-sig");
    uint8_t seed[32] = {0}, any[32] = {1}, covered[24 + 32] = "noise-libp2p-static-key:";
    WW_UNUSED(state);
    ww_keypair_from_seed(&pair, seed);
    memset(covered + 24, 0x11, 32);
    struct ww_signature sig;
    assert_ok(ww_keypair_sign(&pair, ww_bytes(covered, sizeof covered), &sig));
    assert_bytes(ww_signature_view(&sig), want.ptr, want.len);
    /* the identity signs its own static key in the same way: key field, then signature field */
    assert_ok(ww_noise_identity_init(&id, &pair, any));
    memcpy(covered + 24, id.static_public, 32);
    struct ww_bytes payload = ww_buf_view(&id.payload);
    assert_int_equal(payload.len, 2 + 36 + 2 + 64);
    assert_ok(ww_pubkey_verify(&pair.pub, ww_bytes(covered, sizeof covered), ww_bytes_skip(payload, 40)));
    ww_noise_identity_fini(&id);
    ww_keypair_fini(&pair);
}

static void test_any_split(void **state)
{
    WW_UNUSED(state);
    for (size_t step = 1; step < 230; step += step < 40 ? 1 : 17) {
        struct side s[2];
        sides_init(s, &yamux, 1);
        sides_start(s);
        assert_ok(shake(s, step));
        assert_true(ww_noise_done(&s[0].noise) && ww_noise_done(&s[1].noise));
        assert_memory_equal(s[1].noise.xx.hash, vec("nlibp2p", "handshake_hash").ptr, 32);
        sides_fini(s);
    }
}

/* 34, 202 and 170 bytes without extensions. */
static void test_frame_sizes_without_extensions(void **state)
{
    struct side s[2];
    WW_UNUSED(state);
    sides_init(s, NULL, 0);
    sides_start(s);
    assert_int_equal(ww_noise_output(&s[0].noise).len, 34);
    assert_ok(carry(&s[0], &s[1], SIZE_MAX));
    assert_int_equal(ww_noise_output(&s[1].noise).len, 202);
    assert_ok(carry(&s[1], &s[0], SIZE_MAX));
    assert_int_equal(ww_noise_output(&s[0].noise).len, 170);
    assert_ok(carry(&s[0], &s[1], SIZE_MAX));
    assert_int_equal(s[0].noise.muxer, -1);
    assert_int_equal(s[1].noise.muxer, -1);
    sides_fini(s);
}

static void test_rest_is_left_to_the_session(void **state)
{
    struct side s[2];
    struct ww_bytes piece = WW_BYTES_LIT("early data"), got;
    uint8_t both[256];
    size_t used;
    WW_UNUSED(state);
    sides_init(s, &yamux, 1);
    sides_start(s);
    assert_ok(carry(&s[0], &s[1], SIZE_MAX));
    assert_ok(carry(&s[1], &s[0], SIZE_MAX));
    struct ww_bytes last = ww_noise_output(&s[0].noise);
    assert_ok(ww_noise_split(&s[0].noise, &s[0].session));
    memcpy(both, last.ptr, last.len);
    assert_ok(ww_noise_seal(&s[0].session, &piece, 1, both + last.len));
    size_t total = last.len + piece.len + WW_NOISE_OVERHEAD_BYTES;
    assert_ok(ww_noise_feed(&s[1].noise, ww_bytes(both, total), &used));
    assert_int_equal(used, last.len);
    assert_ok(ww_noise_split(&s[1].noise, &s[1].session));
    assert_ok(ww_noise_open(&s[1].session, both + used + 2, total - used - 2, &got));
    assert_bytes(got, piece.ptr, piece.len);
    assert_ok(ww_noise_feed(&s[1].noise, piece, &used)); /* after the end nothing is taken */
    assert_int_equal(used, 0);
    sides_fini(s);
}

static void check_muxers(const char *init, const char *resp, ww_err want, const char *chosen)
{
    static const char *const names = "abcd";
    struct ww_bytes lists[2][4];
    const char *in[2] = {init, resp};
    struct side s[2];
    sides_init(s, NULL, 0);
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; in[i][j]; j++)
            lists[i][j] = ww_bytes(strchr(names, in[i][j]), 1);
        s[i].conf.muxers = lists[i];
        s[i].conf.muxer_count = strlen(in[i]);
    }
    sides_start(s);
    assert_int_equal(shake(s, SIZE_MAX), want);
    for (size_t i = 0; want == 0 && i < 2; i++) {
        if (!chosen)
            assert_int_equal(s[i].noise.muxer, -1);
        else
            assert_bytes(lists[i][s[i].noise.muxer], chosen, 1);
    }
    sides_fini(s);
}

/* The initiator's order decides. */
static void test_muxer_choice(void **state)
{
    WW_UNUSED(state);
    check_muxers("a", "a", WW_OK, "a");
    check_muxers("ab", "ba", WW_OK, "a");
    check_muxers("ba", "ab", WW_OK, "b");
    check_muxers("dcb", "abc", WW_OK, "c");
    check_muxers("a", "b", WW_ENOPROTO, NULL);
    check_muxers("ab", "cd", WW_ENOPROTO, NULL);
    check_muxers("", "a", WW_OK, NULL);
    check_muxers("a", "", WW_OK, NULL);
    check_muxers("", "", WW_OK, NULL);
}

static void test_key_types(void **state)
{
    static const char *const names[] = {"secp256k1 private key", "ECDSA private key", "rsa private key"};
    WW_UNUSED(state);
    for (size_t i = 0; i < WW_COUNT_OF(names); i++) {
        struct side s[2];
        sides_init(s, &yamux, 1);
        ww_noise_identity_fini(&s[1].identity);
        assert_ok(ww_keypair_decode(vec("key", names[i]), &s[1].pair));
        ww_peer_id_from_key(&s[1].pair.pub, &s[1].id);
        uint8_t secret[32] = {(uint8_t)(i + 1)};
        assert_ok(ww_noise_identity_init(&s[1].identity, &s[1].pair, secret));
        s[0].conf.expected = &s[1].id;
        sides_start(s);
        assert_ok(shake(s, SIZE_MAX));
        assert_true(ww_peer_id_eq(&s[0].noise.remote, &s[1].id));
        sides_fini(s);
    }
}

/* ---- refusals ---- */

/* The dialer must not say who it is to the wrong peer. */
static void test_other_peer(void **state)
{
    struct side s[2];
    WW_UNUSED(state);
    sides_init(s, &yamux, 1);
    s[0].conf.expected = &s[0].id;
    sides_start(s);
    assert_int_equal(shake(s, SIZE_MAX), WW_EPEERID);
    assert_int_equal(ww_noise_output(&s[0].noise).len, 0);
    assert_int_equal(s[0].noise.state, WW_NOISE_FAILED);
    size_t used;
    assert_int_equal(ww_noise_feed(&s[0].noise, yamux, &used), WW_ESTATE);
    assert_int_equal(ww_noise_split(&s[0].noise, &s[0].session), WW_ESTATE);
    sides_fini(s);
    sides_init(s, &yamux, 1);
    s[1].conf.expected = &s[1].id; /* a responder may expect one, too */
    sides_start(s);
    assert_int_equal(shake(s, SIZE_MAX), WW_EPEERID);
    sides_fini(s);
}

/* Any flipped bit of any message ends the handshake on one side or the other. */
static void test_flipped_bits(void **state)
{
    static const size_t sizes[] = {34, 218, 186};
    WW_UNUSED(state);
    for (size_t message = 0; message < 3; message++) {
        for (size_t at = 2; at < sizes[message]; at += 7) {
            struct side s[2];
            ww_err err = 0;
            sides_init(s, &yamux, 1);
            sides_start(s);
            for (size_t turn = 0; turn < 3 && err == 0; turn++) {
                struct side *from = &s[turn % 2], *to = &s[!(turn % 2)];
                if (turn == message)
                    ww_buf_data(&from->noise.out)[at] ^= 0x04;
                err = carry(from, to, SIZE_MAX);
            }
            assert_true(err < 0);
            sides_fini(s);
        }
    }
}

static void feed_bad(bool initiator, const char *bytes, ww_err want)
{
    struct side s[2];
    size_t used = 99;
    sides_init(s, &yamux, 1);
    sides_start(s);
    assert_int_equal(ww_noise_feed(&s[!initiator].noise, hex(bytes), &used), want);
    assert_int_equal(used, 99);
    sides_fini(s);
}

/* Lengths are judged as soon as the prefix is there. */
static void test_lengths(void **state)
{
    WW_UNUSED(state);
    feed_bad(false, "0000", WW_EPROTO);
    feed_bad(false, "001f", WW_EPROTO);
    feed_bad(false, "0021", WW_ELIMIT); /* a payload in message 1 */
    feed_bad(false, "ffff", WW_ELIMIT);
    feed_bad(true, "0000", WW_EPROTO);
    feed_bad(true, "005f", WW_EPROTO); /* 32 + 48 + 16 is the least */
    feed_bad(true, "1071", WW_ELIMIT); /* payload above 4096 */
    feed_bad(true, "ffff", WW_ELIMIT);
    /* a small-order ephemeral key */
    feed_bad(false, "00200000000000000000000000000000000000000000000000000000000000000000", WW_ECRYPTO);
    feed_bad(false, "00200100000000000000000000000000000000000000000000000000000000000000", WW_ECRYPTO);
}

/* A responder that follows Noise to the letter and sends `payload`. */
static ww_err answer_with(struct ww_bytes payload)
{
    struct side s[2];
    struct ww_noise_xx evil;
    struct ww_bytes got;
    struct ww_buf out;
    uint8_t message[34], prefix[2];
    size_t used;
    sides_init(s, &yamux, 1);
    sides_start(s);
    ww_noise_xx_init(&evil, false, ww_bytes(NULL, 0), s[1].identity.static_secret,
        s[1].identity.static_public, s[1].conf.ephemeral_secret);
    memcpy(message, ww_noise_output(&s[0].noise).ptr, 34);
    ww_noise_sent(&s[0].noise, 34);
    assert_ok(ww_noise_xx_read(&evil, message + 2, 32, &got));
    ww_buf_init(&out, 8192);
    assert_ok(ww_noise_xx_write(&evil, payload, &out));
    ww_be16_store(prefix, (uint16_t)ww_buf_len(&out));
    assert_ok(ww_noise_feed(&s[0].noise, ww_bytes(prefix, 2), &used));
    ww_err err = ww_noise_feed(&s[0].noise, ww_buf_view(&out), &used);
    if (err < 0)
        assert_int_equal(ww_noise_output(&s[0].noise).len, 0); /* message 3 stays unsent */
    ww_buf_fini(&out);
    sides_fini(s);
    return err;
}

static void test_payloads(void **state)
{
    struct ww_bytes vector = vec("nlibp2p", "resp_payload");
    uint8_t bad[256], copy[256];
    struct ww_bytes good = ww_bytes(copy, vector.len);
    WW_UNUSED(state);
    memcpy(copy, vector.ptr, vector.len);
    assert_ok(answer_with(good));
    assert_int_equal(answer_with(ww_bytes(NULL, 0)), WW_ETRUNC);       /* no identity */
    assert_int_equal(answer_with(ww_bytes(good.ptr, 38)), WW_ECRYPTO); /* no signature */
    assert_int_equal(answer_with(ww_bytes_skip(good, 38)), WW_ETRUNC); /* no key */
    assert_int_equal(answer_with(ww_bytes(good.ptr, good.len - 1)), WW_ETRUNC);
    assert_int_equal(
        answer_with(vec("nlibp2p", "init_payload")), WW_ECRYPTO); /* signed for another static key */
    memcpy(bad, good.ptr, good.len);
    bad[38 + 2 + 10] ^= 1; /* the signature */
    assert_int_equal(answer_with(ww_bytes(bad, good.len)), WW_ECRYPTO);
    /* a small-order identity, for which R = the identity and S = 0 would be a signature of anything */
    memcpy(bad, good.ptr, good.len);
    memset(bad + 6, 0, 32);
    bad[6] = 1;
    memset(bad + 40, 0, 64);
    bad[40] = 1;
    assert_int_equal(answer_with(ww_bytes(bad, good.len)), WW_ECRYPTO);
    /* garbage after it, and a known field of another wire type */
    memcpy(bad, good.ptr, good.len);
    bad[good.len] = 0xff;
    assert_int_equal(answer_with(ww_bytes(bad, good.len + 1)), WW_ETRUNC);
    bad[good.len] = 0x20;
    bad[good.len + 1] = 1;
    assert_int_equal(answer_with(ww_bytes(bad, good.len + 2)), WW_EPROTO);
    /* an unknown field is no harm */
    bad[good.len] = 0x78;
    assert_ok(answer_with(ww_bytes(bad, good.len + 2)));
}

/* ---- records ---- */

static void talk(struct side s[2])
{
    sides_init(s, &yamux, 1);
    sides_start(s);
    assert_ok(shake(s, SIZE_MAX));
    split_both(s);
}

static void test_records(void **state)
{
    static uint8_t plain[WW_NOISE_PLAIN_MAX + 1], frame[WW_NOISE_PLAIN_MAX + WW_NOISE_OVERHEAD_BYTES];
    struct side s[2];
    struct ww_bytes got, pieces[2] = {ww_bytes(plain, 12), ww_bytes(plain + 12, WW_NOISE_PLAIN_MAX - 12)};
    WW_UNUSED(state);
    talk(s);
    for (size_t i = 0; i < sizeof plain; i++)
        plain[i] = (uint8_t)(i * 5 + i / 256);
    assert_ok(ww_noise_seal(&s[0].session, pieces, 2, frame));
    assert_int_equal(ww_noise_frame_size(ww_bytes(frame, 2)), sizeof frame);
    assert_int_equal(ww_noise_frame_size(ww_bytes(frame, 1)), 0);
    assert_ok(ww_noise_open(&s[1].session, frame + 2, sizeof frame - 2, &got));
    assert_bytes(got, plain, WW_NOISE_PLAIN_MAX);
    pieces[1].len++;
    assert_int_equal(ww_noise_seal(&s[0].session, pieces, 2, frame), WW_EINVAL);
    pieces[0].len = SIZE_MAX;
    assert_int_equal(ww_noise_seal(&s[0].session, pieces, 2, frame), WW_EINVAL);
    /* replayed, reordered, reflected, short */
    struct ww_bytes a = WW_BYTES_LIT("a"), b = WW_BYTES_LIT("b");
    uint8_t fa[19], fb[19], copy[19];
    assert_ok(ww_noise_seal(&s[0].session, &a, 1, fa));
    assert_ok(ww_noise_seal(&s[0].session, &b, 1, fb));
    memcpy(copy, fb, sizeof copy);
    assert_int_equal(ww_noise_open(&s[1].session, copy + 2, 17, &got), WW_ECRYPTO);
    memcpy(copy, fa, sizeof copy);
    assert_int_equal(ww_noise_open(&s[0].session, copy + 2, 17, &got), WW_ECRYPTO);
    memcpy(copy, fa, sizeof copy);
    assert_ok(ww_noise_open(&s[1].session, copy + 2, 17, &got));
    memcpy(copy, fa, sizeof copy);
    assert_int_equal(ww_noise_open(&s[1].session, copy + 2, 17, &got), WW_ECRYPTO);
    for (size_t len = 0; len < 16; len++)
        assert_int_equal(ww_noise_open(&s[1].session, copy + 2, len, &got), WW_EPROTO);
    /* the last number is never used */
    s[0].session.seal_nonce = UINT64_MAX;
    s[1].session.open_nonce = UINT64_MAX;
    assert_int_equal(ww_noise_seal(&s[0].session, &a, 1, fa), WW_ESTATE);
    assert_int_equal(ww_noise_open(&s[1].session, fb + 2, 17, &got), WW_ESTATE);
    sides_fini(s);
}

/* A stream of frames of all sizes, received in chunks of all sizes, into the reader's own room or not. */
static void test_reader(void **state)
{
    enum { TOTAL = 400000 };
    uint8_t *plain = malloc(TOTAL), *wire = malloc(2 * TOTAL), *got = malloc(TOTAL), *chunk = malloc(200000);
    WW_UNUSED(state);
    for (size_t i = 0; i < TOTAL; i++)
        plain[i] = (uint8_t)(i ^ i >> 8 ^ i >> 13);
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct side s[2];
        struct ww_noise_reader r;
        struct ww_prng prng;
        size_t sent = 0, wire_len = 0, at = 0, received = 0;
        size_t frame_max = seed % 3 == 0 ? 100 : seed % 3 == 1 ? 5000 : WW_NOISE_PLAIN_MAX;
        size_t chunk_max = seed % 4 == 0 ? 64 : seed % 4 == 1 ? 1500 : seed % 4 == 2 ? 65536 : 200000;
        size_t total = frame_max < 1000 || chunk_max < 1000 ? TOTAL / 20 : TOTAL;
        talk(s);
        ww_prng_init(&prng, seed);
        while (sent < total) {
            size_t n = ww_prng_below(&prng, frame_max + 1);
            struct ww_bytes piece = ww_bytes(plain + sent, n < total - sent ? n : total - sent);
            assert_ok(ww_noise_seal(&s[0].session, &piece, 1, wire + wire_len));
            wire_len += piece.len + WW_NOISE_OVERHEAD_BYTES;
            sent += piece.len;
        }
        ww_noise_reader_init(&r);
        while (at < wire_len) {
            uint8_t *room;
            size_t room_len, n = 1 + ww_prng_below(&prng, chunk_max);
            struct ww_bytes out;
            ww_err more;
            ww_noise_reader_room(&r, &room, &room_len);
            if (!room || seed % 2) {
                room = chunk;
                room_len = 200000;
            }
            n = n < room_len ? n : room_len;
            n = n < wire_len - at ? n : wire_len - at;
            memcpy(room, wire + at, n);
            at += n;
            ww_noise_reader_feed(&r, room, n);
            while ((more = ww_noise_reader_next(&r, &s[1].session, &out)) > 0) {
                assert_true(out.len > 0 && received + out.len <= total);
                memcpy(got + received, out.ptr, out.len);
                received += out.len;
            }
            assert_ok(more);
            assert_true(r.buf.capacity <= 4 * 65537);
        }
        assert_int_equal(received, total);
        assert_memory_equal(got, plain, total);
        assert_null(r.buf.mem); /* idle readers hold nothing */
        ww_noise_reader_fini(&r);
        sides_fini(s);
    }
    free(plain);
    free(wire);
    free(got);
    free(chunk);
}

static void test_reader_refuses(void **state)
{
    struct side s[2];
    struct ww_noise_reader r;
    struct ww_bytes got;
    uint8_t small[] = {0, 15, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, bad[34] = {0, 32};
    WW_UNUSED(state);
    talk(s);
    ww_noise_reader_init(&r);
    ww_noise_reader_feed(&r, small, sizeof small);
    assert_int_equal(ww_noise_reader_next(&r, &s[0].session, &got), WW_EPROTO);
    ww_noise_reader_fini(&r);
    ww_noise_reader_init(&r);
    ww_noise_reader_feed(&r, bad, sizeof bad);
    assert_int_equal(ww_noise_reader_next(&r, &s[0].session, &got), WW_ECRYPTO);
    ww_noise_reader_fini(&r);
    sides_fini(s);
}

/* ---- no memory ---- */

static ww_err handshake_and_split(struct side s[2])
{
    WW_TRY(shake(s, 50));
    for (size_t i = 0; i < 2; i++)
        WW_TRY(ww_noise_split(&s[i].noise, &s[i].session));
    return 0;
}

static ww_err start_and_shake(struct side s[2])
{
    WW_TRY(ww_noise_init(&s[0].noise, &s[0].conf));
    ww_err err = ww_noise_init(&s[1].noise, &s[1].conf);
    if (err == 0)
        err = handshake_and_split(s);
    for (size_t i = 0; i < 2; i++)
        ww_noise_session_fini(&s[i].session);
    ww_noise_fini(&s[0].noise);
    ww_noise_fini(&s[1].noise);
    return err;
}

static ww_err whole_life(void *ctx)
{
    struct side *s = ctx;
    WW_TRY(ww_noise_identity_init(&s[0].identity, &s[0].pair, s[0].identity.static_public));
    ww_err err = ww_noise_identity_init(&s[1].identity, &s[1].pair, s[1].identity.static_public);
    if (err == 0) {
        err = start_and_shake(s);
        ww_noise_identity_fini(&s[1].identity);
    }
    ww_noise_identity_fini(&s[0].identity);
    return err;
}

static void test_out_of_memory(void **state)
{
    struct side s[2];
    WW_UNUSED(state);
    sides_init(s, &yamux, 1);
    for (size_t i = 0; i < 2; i++)
        ww_noise_identity_fini(&s[i].identity);
    assert_true(alloc_fail_run(whole_life, s) > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cacophony),
        cmocka_unit_test(test_libp2p_transcript),
        cmocka_unit_test(test_golden_signature),
        cmocka_unit_test(test_any_split),
        cmocka_unit_test(test_frame_sizes_without_extensions),
        cmocka_unit_test(test_rest_is_left_to_the_session),
        cmocka_unit_test(test_muxer_choice),
        cmocka_unit_test(test_key_types),
        cmocka_unit_test(test_other_peer),
        cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_payloads),
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_reader),
        cmocka_unit_test(test_reader_refuses),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
