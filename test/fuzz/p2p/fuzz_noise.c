/* The Noise handshake in both roles, and the frame reader. The first byte chooses what is attacked: raw bytes
 * would never get past the first tag, so the payloads are also sent by an attacker who follows Noise to the
 * letter. */
#include "p2p/noise.h"

enum {
    RAW,     /* the input is what the peer sends, in two pieces */
    ANSWER,  /* the input is the payload of message 2 */
    FINISH,  /* the input is the payload of message 3 */
    SESSION, /* the input goes to the reader of an established session */
    MODES,
};

static const struct ww_bytes muxers[] = {WW_BYTES_LIT("/yamux/1.0.0"), WW_BYTES_LIT("/mplex/6.7.0")};

struct side {
    struct ww_keypair pair;
    struct ww_noise_identity identity;
    struct ww_noise_conf conf;
    struct ww_noise noise;
};

static void side_init(struct side *s, enum ww_noise_role role)
{
    uint8_t seed[32] = {(uint8_t)role}, secret[32] = {(uint8_t)(7 + role)};
    ww_keypair_from_seed(&s->pair, seed);
    WW_ASSERT(ww_noise_identity_init(&s->identity, &s->pair, secret) == 0);
    s->conf =
        (struct ww_noise_conf){.role = role, .identity = &s->identity, .muxers = muxers, .muxer_count = 2};
    s->conf.ephemeral_secret[0] = (uint8_t)(1 + role);
    WW_ASSERT(ww_noise_init(&s->noise, &s->conf) == 0);
}

static void side_fini(struct side *s)
{
    ww_noise_fini(&s->noise);
    ww_noise_identity_fini(&s->identity);
    ww_keypair_fini(&s->pair);
}

static ww_err feed(struct side *s, struct ww_bytes in)
{
    size_t used;
    ww_err err = ww_noise_feed(&s->noise, in, &used);
    WW_ASSERT(err < 0 || (used <= in.len && (used == in.len || ww_noise_done(&s->noise))));
    return err;
}

static void attack_raw(enum ww_noise_role role, struct ww_bytes in)
{
    struct side s;
    size_t cut = in.len ? in.ptr[0] % in.len : 0;
    side_init(&s, role);
    if (feed(&s, ww_bytes(in.ptr, cut)) == 0)
        (void)feed(&s, ww_bytes_skip(in, cut));
    WW_ASSERT(!ww_noise_done(&s.noise)); /* nobody guesses a tag */
    side_fini(&s);
}

/* The attacker's half of the pattern, with a payload of its own. */
static void send_as(struct ww_noise_xx *xx, struct ww_bytes payload, struct side *to)
{
    struct ww_buf out;
    uint8_t prefix[2];
    ww_buf_init(&out, 65535);
    if (ww_noise_xx_write(xx, payload, &out) == 0) {
        ww_be16_store(prefix, (uint16_t)ww_buf_len(&out));
        if (feed(to, ww_bytes(prefix, 2)) == 0)
            (void)feed(to, ww_buf_view(&out));
    }
    ww_buf_fini(&out);
}

static void hear(struct ww_noise_xx *xx, struct side *from)
{
    struct ww_bytes out = ww_noise_output(&from->noise), payload;
    uint8_t copy[1024];
    WW_ASSERT(out.len > 2 && out.len <= sizeof copy);
    memcpy(copy, out.ptr, out.len);
    WW_ASSERT(ww_noise_xx_read(xx, copy + 2, out.len - 2, &payload) == 0);
}

static void attack_payload(enum ww_noise_role role, struct ww_bytes in)
{
    struct side s, other;
    struct ww_noise_xx xx;
    side_init(&s, role);
    side_init(&other, role == WW_NOISE_INITIATOR ? WW_NOISE_RESPONDER : WW_NOISE_INITIATOR);
    ww_noise_xx_init(&xx, role == WW_NOISE_RESPONDER, ww_bytes(NULL, 0), other.identity.static_secret,
        other.identity.static_public, other.conf.ephemeral_secret);
    if (role == WW_NOISE_INITIATOR) {
        hear(&xx, &s);
    } else {
        send_as(&xx, ww_bytes(NULL, 0), &s);
        hear(&xx, &s);
    }
    send_as(&xx, in, &s);
    side_fini(&s);
    side_fini(&other);
}

static void attack_session(struct ww_bytes in)
{
    struct ww_noise_session s = {0};
    struct ww_noise_reader r;
    struct ww_bytes plain;
    uint8_t key[32] = {1}, *copy = ww_alloc(in.len + 1);
    WW_ASSERT(copy && ww_aead_new(key, &s.open) == 0);
    memcpy(copy, in.ptr, in.len);
    ww_noise_reader_init(&r);
    for (size_t at = 0; at < in.len;) {
        size_t n = 1u + copy[at] * 3u, room_len;
        uint8_t *room;
        ww_noise_reader_room(&r, &room, &room_len);
        n = n < in.len - at ? n : in.len - at;
        if (room && (copy[at] & 1)) {
            n = n < room_len ? n : room_len;
            memcpy(room, copy + at, n);
        } else {
            room = copy + at;
        }
        at += n;
        ww_noise_reader_feed(&r, room, n);
        if (ww_noise_reader_next(&r, &s, &plain) != 0)
            break;
    }
    ww_noise_reader_fini(&r);
    ww_noise_session_fini(&s);
    ww_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct ww_bytes in = ww_bytes(data + 1, size - 1);
    switch (data[0] % MODES) {
    case RAW:
        attack_raw(WW_NOISE_INITIATOR, in);
        attack_raw(WW_NOISE_RESPONDER, in);
        break;
    case ANSWER:
        attack_payload(WW_NOISE_INITIATOR, in);
        break;
    case FINISH:
        attack_payload(WW_NOISE_RESPONDER, in);
        break;
    case SESSION:
        attack_session(in);
        break;
    }
    return 0;
}
