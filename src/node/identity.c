#include "node/identity.h"

#include <stdio.h>

#define KEY_FILE_MAX 8192
#define PATH_BYTES 4096

void ww_identity_fresh(struct ww_env *env, struct ww_keypair *ret_key)
{
    uint8_t seed[WW_ED25519_SEED_BYTES];
    env->ops->random(env, seed, sizeof seed);
    ww_keypair_from_seed(ret_key, seed);
    ww_wipe(seed, sizeof seed);
}

static ww_err create(
    struct ww_env *env, const char *dir, const char *path, struct ww_keypair *ret_key, struct ww_diag *diag)
{
    struct ww_buf encoded;
    ww_err err = env->ops->dir_make(env, dir, 0700);
    if (err < 0)
        return ww_diag_set(diag, err, "cannot make the data directory %s: %s", dir, ww_err_text(err));
    ww_identity_fresh(env, ret_key);
    ww_buf_init(&encoded, KEY_FILE_MAX);
    err = ww_keypair_encode(ret_key, &encoded);
    if (err == 0)
        err = env->ops->file_write(env, path, ww_buf_view(&encoded), 0600);
    if (encoded.mem)
        ww_wipe(encoded.mem, encoded.capacity);
    ww_buf_fini(&encoded);
    if (err < 0) {
        ww_keypair_fini(ret_key);
        return ww_diag_set(diag, err, "cannot write the key %s: %s", path, ww_err_text(err));
    }
    return 0;
}

ww_err ww_identity_load(
    struct ww_env *env, const char *dir, struct ww_keypair *ret_key, bool *ret_created, struct ww_diag *diag)
{
    char path[PATH_BYTES];
    if (snprintf(path, sizeof path, "%s/%s", dir, WW_IDENTITY_FILE) >= (int)sizeof path)
        return ww_diag_set(diag, WW_EINVAL, "the path of the data directory is too long");
    struct ww_buf encoded;
    ww_buf_init(&encoded, KEY_FILE_MAX);
    ww_err err = env->ops->file_read(env, path, &encoded);
    *ret_created = false;
    if (err == WW_ENOTFOUND) {
        ww_buf_fini(&encoded);
        err = create(env, dir, path, ret_key, diag);
        *ret_created = err == 0;
        return err;
    }
    if (err < 0) {
        ww_diag_set(diag, err, "cannot read the key %s: %s", path, ww_err_text(err));
        err = err == WW_EINVAL ? WW_EIO : err; /* the caller's arguments are fine */
    } else if (ww_keypair_decode(ww_buf_view(&encoded), ret_key) < 0) {
        err = ww_diag_set(
            diag, WW_EMALFORMED, "%s is no private key; move it away to get a new identity", path);
    }
    if (encoded.mem)
        ww_wipe(encoded.mem, encoded.capacity);
    ww_buf_fini(&encoded);
    return err;
}
