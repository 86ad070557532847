/* p2p/envelope.h — libp2p's signed envelopes: a payload with its type, bound to a domain by the signer's key.
 * Source: libp2p RFC 0002 (signed envelopes). */
#ifndef WW_P2P_ENVELOPE_H
#define WW_P2P_ENVELOPE_H

#include "crypto/keys.h"

#define WW_ENVELOPE_MAX_BYTES 8192
#define WW_ENVELOPE_DOMAIN_MAX 256

/* An envelope whose signature was checked. Views point into the input. */
struct ww_envelope {
    struct ww_pubkey key;
    struct ww_bytes payload_type, payload, signature;
};

/* Appends the envelope. WW_ELIMIT, WW_ENOMEM, WW_ECRYPTO. On failure nothing was appended. */
WW_MUST_USE ww_err ww_envelope_seal(const struct ww_keypair *signer, struct ww_bytes domain,
    struct ww_bytes payload_type, struct ww_bytes payload, struct ww_buf *out);
/* Parses and verifies. The payload type is the caller's to compare. WW_ECRYPTO: the signature does not fit
 * (other domain, other key, changed bytes); otherwise as ww_pubkey_decode. */
WW_MUST_USE ww_err ww_envelope_open(
    struct ww_bytes in, struct ww_bytes domain, struct ww_envelope *ret_envelope);

#endif
