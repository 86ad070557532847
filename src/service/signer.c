#include "schema/core.capnp.rpc.h"
#include "service/terminal.h"

struct signer {
    struct ww_Signer_server server;
    const struct ww_keypair *key;
    struct ww_peer_id peer, self;
    bool used;
};

/* Whether this challenge may be signed here: other implementations' have no salt, ours must be for this
 * connection. */
static bool may_sign(const struct signer *s, struct ww_bytes challenge, struct ww_bytes salt)
{
    uint8_t expected[WW_AUTH_CHALLENGE_BYTES];
    if (challenge.len != WW_AUTH_CHALLENGE_BYTES)
        return false;
    if (salt.len == 0)
        return true;
    if (salt.len != WW_AUTH_SALT_BYTES)
        return false;
    ww_auth_challenge(salt.ptr, &s->peer, &s->self, expected);
    return ww_bytes_eq(challenge, ww_bytes(expected, sizeof expected));
}

static void sign(struct ww_Signer_server *self, struct ww_rpc_call *call)
{
    struct signer *s = WW_CONTAINER_OF(self, struct signer, server);
    struct ww_Signer_sign_params_r params = ww_Signer_sign_params(call);
    struct ww_bytes challenge = ww_Signer_sign_params_challenge(params);
    struct ww_buf proof;
    if (s->used) {
        ww_rpc_call_fail(call, WW_EFAILED, "signer already used");
        return;
    }
    if (!may_sign(s, challenge, ww_Signer_sign_params_salt(params))) {
        ww_rpc_call_fail(call, WW_EFAILED, "this challenge is not for this connection");
        return;
    }
    s->used = true;
    ww_buf_init(&proof, WW_AUTH_PROOF_MAX);
    if (ww_auth_prove(s->key, challenge.ptr, &proof) < 0) {
        ww_rpc_call_fail(call, WW_EFAILED, "cannot sign");
    } else {
        ww_Signer_sign_results_set_signed(ww_Signer_sign_answer(call), ww_buf_view(&proof));
        ww_rpc_call_return(call);
    }
    ww_buf_fini(&proof);
}

static void signer_drop(struct ww_Signer_server *self)
{
    ww_free(WW_CONTAINER_OF(self, struct signer, server));
}

static const struct ww_Signer_ops signer_ops = {sign, signer_drop};

ww_err ww_signer_new(struct ww_rpc_vat *vat, const struct ww_keypair *key, const struct ww_peer_id *server,
    struct ww_cap **ret_cap)
{
    struct signer *s = WW_NEW(struct signer);
    if (!s)
        return WW_ENOMEM;
    ww_Signer_server_init(&s->server, &signer_ops);
    s->key = key;
    s->peer = *server;
    ww_peer_id_from_key(&key->pub, &s->self);
    ww_err err = ww_Signer_server_cap(vat, &s->server, ret_cap);
    if (err < 0)
        ww_free(s);
    return err;
}
