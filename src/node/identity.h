/* node/identity.h — the key that a node is known by: fresh, or kept in a data directory. */
#ifndef WW_NODE_IDENTITY_H
#define WW_NODE_IDENTITY_H

#include "crypto/keys.h"
#include "env/env.h"

/* The file in the data directory: the private key as libp2p encodes it, readable by its owner only. */
#define WW_IDENTITY_FILE "identity.key"

/* A new Ed25519 key, kept nowhere. */
void ww_identity_fresh(struct ww_env *env, struct ww_keypair *ret_key);
/* The key in `dir`; without one a new key is made and stored, and `*ret_created` is set. The diag names the
 * file and the remedy: WW_EDENIED, WW_EIO, WW_EINVAL (not a key), WW_ENOMEM. */
WW_MUST_USE ww_err ww_identity_load(
    struct ww_env *env, const char *dir, struct ww_keypair *ret_key, bool *ret_created, struct ww_diag *diag);

#endif
