/* p2p/noise.h — the libp2p secure channel `/noise`: Noise_XX_25519_ChaChaPoly_SHA256 with libp2p identities.
 *
 * Three parts, all without I/O:
 *   ww_noise          the handshake. Feed what arrives, send what it puts out; after three messages both
 * sides know each other's key and have two cipher keys. ww_noise_session  the two directions after it: seal
 * and open frames. ww_noise_reader   cuts the incoming bytes into frames and opens them in place. A frame is
 * a 2-byte big-endian length and a Noise message of at most 65535 bytes.
 *
 * The static key lives as long as the process and its payload signature is made once (struct
 * ww_noise_identity); the specification allows it, and it saves a key generation and a signature a handshake.
 * Errors of the handshake are final: close the connection. WW_ECRYPTO: a tag or signature is wrong.
 * WW_EPEERID: another peer than expected. WW_EPROTO, WW_ELIMIT, WW_ETRUNC: malformed. WW_ENOPROTO: both sides
 * named muxers and share none. Sources: the Noise Protocol Framework, revision 34; libp2p specs,
 * noise/README.md, connections/inlined-muxer-negotiation.md.
 */
#ifndef WW_P2P_NOISE_H
#define WW_P2P_NOISE_H

#include "crypto/aead.h"
#include "crypto/hash.h"
#include "p2p/noise_xx.h"
#include "p2p/peer_id.h"

#define WW_NOISE_MESSAGE_MAX 65535
#define WW_NOISE_PLAIN_MAX (WW_NOISE_MESSAGE_MAX - WW_AEAD_TAG_BYTES)
#define WW_NOISE_PREFIX_BYTES 2
#define WW_NOISE_OVERHEAD_BYTES (WW_NOISE_PREFIX_BYTES + WW_AEAD_TAG_BYTES)
#define WW_NOISE_PAYLOAD_MAX 4096 /* an RSA 8192 identity needs 2.1 KiB */
#define WW_NOISE_MUXERS_MAX 16

/* Made once a process; outlives its handshakes. */
struct ww_noise_identity {
    uint8_t static_secret[32], static_public[32];
    struct ww_buf
        payload; /* identity key and signature, encoded; the extensions are appended per handshake */
};

/* `static_secret`: 32 random bytes. WW_ENOMEM, WW_ECRYPTO. */
WW_MUST_USE ww_err ww_noise_identity_init(
    struct ww_noise_identity *id, const struct ww_keypair *pair, const uint8_t static_secret[32]);
void ww_noise_identity_fini(struct ww_noise_identity *id);

enum ww_noise_role {
    WW_NOISE_INITIATOR, /* the dialer */
    WW_NOISE_RESPONDER,
};

struct ww_noise_conf {
    enum ww_noise_role role;
    const struct ww_noise_identity *identity; /* borrowed until ww_noise_fini */
    const struct ww_peer_id *expected;        /* NULL: whoever it is. Copied. */
    const struct ww_bytes *muxers;            /* in order of preference; borrowed until ww_noise_fini */
    size_t muxer_count;                       /* 0: say nothing, negotiate the muxer afterwards */
    struct ww_bytes prologue;                 /* empty in libp2p */
    uint8_t ephemeral_secret[32];             /* random, fresh for each handshake */
};

enum ww_noise_state {
    WW_NOISE_WANT_E,   /* responder: message 1 */
    WW_NOISE_WANT_EES, /* initiator: message 2 */
    WW_NOISE_WANT_S,   /* responder: message 3 */
    WW_NOISE_DONE,
    WW_NOISE_FAILED,
};

struct ww_noise {
    enum ww_noise_state state;
    struct ww_noise_xx xx;
    const struct ww_noise_identity *identity;
    struct ww_peer_id expected; /* len 0: any */
    const struct ww_bytes *muxers;
    size_t muxer_count;
    struct ww_buf in;  /* the frame being collected */
    struct ww_buf out; /* frames to send */
    struct ww_pubkey remote_key;
    struct ww_peer_id remote;
    int muxer; /* index into `muxers`; -1: not agreed here */
};

/* The initiator's first frame is in the output right away. WW_ENOMEM, WW_EINVAL (too many muxers). */
WW_MUST_USE ww_err ww_noise_init(struct ww_noise *n, const struct ww_noise_conf *conf);
void ww_noise_fini(struct ww_noise *n);
/* Takes bytes from the peer. `*ret_used` may be less than data.len once the handshake is done: the rest
 * belongs to the session. Any split of the input gives the same result. */
WW_MUST_USE ww_err ww_noise_feed(struct ww_noise *n, struct ww_bytes data, size_t *ret_used);
/* What to send now (maybe nothing), and how much of it was sent. */
struct ww_bytes ww_noise_output(const struct ww_noise *n);
void ww_noise_sent(struct ww_noise *n, size_t count);

static inline bool ww_noise_done(const struct ww_noise *n)
{
    return n->state == WW_NOISE_DONE;
}

/* ---- after the handshake ---- */

struct ww_noise_session {
    struct ww_aead *seal, *open;
    uint64_t seal_nonce, open_nonce;
};

/* Once, after ww_noise_done; the peer's key, id and the muxer are in `n` (remote_key, remote, muxer), the
 * handshake hash is `n->xx.hash`. Output that was not sent yet must still go out first. WW_ENOMEM, WW_ESTATE.
 */
WW_MUST_USE ww_err ww_noise_split(struct ww_noise *n, struct ww_noise_session *ret_session);
void ww_noise_session_fini(struct ww_noise_session *s);

/* Encrypts the pieces as one frame to `out`: total + WW_NOISE_OVERHEAD_BYTES bytes. The total is at most
 * WW_NOISE_PLAIN_MAX. A piece may lie at out + WW_NOISE_PREFIX_BYTES (and so on), where its ciphertext goes.
 * WW_EINVAL (too long), WW_ECRYPTO, WW_ESTATE (nonces used up). */
WW_MUST_USE ww_err ww_noise_seal(
    struct ww_noise_session *s, const struct ww_bytes *pieces, size_t count, uint8_t *out);
/* Decrypts one Noise message (without the length prefix) in place; `*ret_plain` is a view into it. WW_ECRYPTO
 * is final. */
WW_MUST_USE ww_err ww_noise_open(
    struct ww_noise_session *s, uint8_t *message, size_t len, struct ww_bytes *ret_plain);

/* Size of the frame at the front of `in` with its prefix; 0: fewer than 2 bytes are there. */
static inline size_t ww_noise_frame_size(struct ww_bytes in)
{
    return in.len < WW_NOISE_PREFIX_BYTES ? 0 : WW_NOISE_PREFIX_BYTES + (size_t)ww_be16_load(in.ptr);
}

/* Whole frames inside a chunk are opened where they lie. Only a frame that is split between chunks is
 * collected in a buffer of the reader, and then further bytes may be received straight into that buffer. Idle
 * readers hold no memory. */
struct ww_noise_reader {
    struct ww_buf buf;
    size_t opened;  /* bytes at the front of `buf` that were handed out and go at the next call */
    uint8_t *chunk; /* borrowed: not yet read part of what was fed last */
    size_t chunk_len;
};

void ww_noise_reader_init(struct ww_noise_reader *r);
void ww_noise_reader_fini(struct ww_noise_reader *r);
/* Where to receive next: room in the reader's buffer while a frame is incomplete, else NULL and 0 (use any
 * buffer). */
void ww_noise_reader_room(struct ww_noise_reader *r, uint8_t **ret_ptr, size_t *ret_len);
/* Bytes arrived, either at the room given last or in memory that stays valid until ww_noise_reader_next
 * returned 0. */
void ww_noise_reader_feed(struct ww_noise_reader *r, uint8_t *ptr, size_t len);
/* 1: the next plaintext, valid until the next call on the reader; 0: needs more; or an error, which is final.
 * Call until 0. */
WW_MUST_USE ww_err ww_noise_reader_next(
    struct ww_noise_reader *r, struct ww_noise_session *s, struct ww_bytes *ret_plain);

#endif
