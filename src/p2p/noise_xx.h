/* p2p/noise_xx.h — the pattern XX of the Noise Protocol Framework (revision 34) with 25519, ChaChaPoly and
 * SHA256: three messages
 *     -> e        <- e, ee, s, es        -> s, se
 * each with a payload. Knows nothing of libp2p: p2p/noise.h puts identities on top. Plain value, no
 * allocation; wipe it. Errors: WW_ETRUNC, WW_ECRYPTO, WW_ELIMIT / WW_ENOMEM of the output buffer. Any error
 * is final.
 */
#ifndef WW_P2P_NOISE_XX_H
#define WW_P2P_NOISE_XX_H

#include "base/buf.h"

struct ww_noise_xx {
    uint8_t chaining_key[32], hash[32]; /* after the third message, `hash` names the session */
    uint8_t key[32];
    uint64_t nonce;
    bool keyed; /* before that, payloads travel in the clear */
    bool initiator;
    uint8_t step; /* messages read or written so far */
    uint8_t s_secret[32], s_public[32], e_secret[32], e_public[32];
    uint8_t remote_s[32], remote_e[32];
};

void ww_noise_xx_init(struct ww_noise_xx *xx, bool initiator, struct ww_bytes prologue,
    const uint8_t s_secret[32], const uint8_t s_public[32], const uint8_t e_secret[32]);
/* Appends the next message. It must be this side's turn. */
WW_MUST_USE ww_err ww_noise_xx_write(struct ww_noise_xx *xx, struct ww_bytes payload, struct ww_buf *out);
/* Reads the next message, decrypting in place; `*ret_payload` points into it. It must be the other side's
 * turn. */
WW_MUST_USE ww_err ww_noise_xx_read(
    struct ww_noise_xx *xx, uint8_t *message, size_t len, struct ww_bytes *ret_payload);
/* After three messages: the keys of the two directions. */
void ww_noise_xx_split(const struct ww_noise_xx *xx, uint8_t ret_seal[32], uint8_t ret_open[32]);

static inline void ww_noise_xx_fini(struct ww_noise_xx *xx)
{
    ww_wipe(xx, sizeof *xx);
}

#endif
