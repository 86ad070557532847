/* service/auth.h — who may log in: proofs of identity, and policies over them.
 *
 * The proof is a signed envelope (domain `ww.auth`, payload type de ea) over a challenge of 16 bytes. Between
 * two of ours the challenge is bound to the connection: it is the hash of a salt and of both ends' peer ids,
 * which the secure channel has authenticated, and the signer checks that before it signs. A challenge relayed
 * from a third party therefore does not get a signature, and a signature relayed to one is not accepted,
 * because the account must be the peer at the other end. Signers of other implementations know no salt; for
 * them the second check alone holds.
 */
#ifndef WW_SERVICE_AUTH_H
#define WW_SERVICE_AUTH_H

#include "base/buf.h"
#include "p2p/peer_id.h"

#define WW_AUTH_CHALLENGE_BYTES 16
#define WW_AUTH_SALT_BYTES 32
#define WW_AUTH_PROOF_MAX 2048 /* bytes of an envelope; an RSA key of 8192 bits with its signature fits */

struct ww_auth_policy {
    bool (*allows)(const struct ww_auth_policy *policy, const struct ww_peer_id *account);
};

/* Everybody. */
extern const struct ww_auth_policy ww_auth_allow_all;

/* Only those on a list. */
struct ww_auth_list {
    struct ww_auth_policy policy;
    struct ww_peer_id *ids; /* sorted */
    size_t count;
};

/* One peer id a line; blank lines and what follows a # are skipped. WW_EINVAL names the line. */
WW_MUST_USE ww_err ww_auth_list_parse(
    struct ww_auth_list *ret_list, struct ww_bytes text, struct ww_diag *diag);
void ww_auth_list_fini(struct ww_auth_list *list);

/* The challenge for `client` at `server`. */
void ww_auth_challenge(const uint8_t salt[WW_AUTH_SALT_BYTES], const struct ww_peer_id *server,
    const struct ww_peer_id *client, uint8_t ret_challenge[WW_AUTH_CHALLENGE_BYTES]);
/* Appends the proof. */
WW_MUST_USE ww_err ww_auth_prove(
    const struct ww_keypair *key, const uint8_t challenge[WW_AUTH_CHALLENGE_BYTES], struct ww_buf *out);
/* WW_ECRYPTO: not a proof for this challenge; other errors: malformed. */
WW_MUST_USE ww_err ww_auth_check(
    struct ww_bytes proof, const uint8_t challenge[WW_AUTH_CHALLENGE_BYTES], struct ww_peer_id *ret_account);

#endif
