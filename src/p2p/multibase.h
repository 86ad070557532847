/* p2p/multibase.h — bytes as text: base16, 32, 36, 58btc, 64. base36 and base58 take time quadratic in the
 * length, so their input is capped; the others are capped only by the output buffer.
 *
 * Decoding is strict: one text for one value (no padding where the base has none, unused bits zero).
 * Errors: WW_EINVAL not of the alphabet or not canonical, WW_EUNSUPPORTED prefix, WW_ELIMIT too long or
 * buffer full, WW_ENOMEM. On failure nothing was appended. Source: multiformats/multibase, RFC 4648.
 */
#ifndef WW_P2P_MULTIBASE_H
#define WW_P2P_MULTIBASE_H

#include "base/buf.h"

#define WW_BASE58_BYTES_MAX 190
#define WW_BASE58_TEXT_MAX 296 /* 190 bytes in base36, which takes the most characters */

/* Values are the prefix characters. */
enum ww_multibase {
    WW_BASE16 = 'f',
    WW_BASE32 = 'b',
    WW_BASE36 = 'k',
    WW_BASE58BTC = 'z',
    WW_BASE64 = 'm',
    WW_BASE64URL = 'u',
};

/* With prefix. */
WW_MUST_USE ww_err ww_multibase_encode(enum ww_multibase base, struct ww_bytes data, struct ww_buf *out);
/* `F`, `B` and `K` (upper case) are understood as well. */
WW_MUST_USE ww_err ww_multibase_decode(struct ww_bytes text, struct ww_buf *out);

/* Without prefix. */
WW_MUST_USE ww_err ww_base_encode(enum ww_multibase base, struct ww_bytes data, struct ww_buf *out);
WW_MUST_USE ww_err ww_base_decode(enum ww_multibase base, struct ww_bytes text, struct ww_buf *out);

/* base58btc without prefix, to and from caller's memory: `out` holds `out_size` bytes. Returns the length,
 * WW_EINVAL or WW_ELIMIT. No terminating NUL. */
WW_MUST_USE ww_err ww_base58_encode(struct ww_bytes data, char *out, size_t out_size);
WW_MUST_USE ww_err ww_base58_decode(struct ww_bytes text, uint8_t *out, size_t out_size);

#endif
