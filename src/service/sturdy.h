/* service/sturdy.h — the host's half of ww/persist.h with the house's cryptography: references and stored
 * tables under HMAC-SHA256, ids from the environment's randomness, Restorers by its clock. */
#ifndef WW_SERVICE_STURDY_H
#define WW_SERVICE_STURDY_H

#include "env/env.h"
#include "ww/persist.h"

#define WW_STURDY_KEY_BYTES 32

struct ww_sturdy;
struct ww_sturdy_ops {
    /* As in struct ww_persist_ops. `changed` NULL allowed. */
    ww_err (*restore)(struct ww_sturdy *self, struct ww_bytes object, struct ww_cap **ret_cap);
    void (*changed)(struct ww_sturdy *self);
};

/* The table's user embeds this; it outlives the table. */
struct ww_sturdy {
    struct ww_persist_host host;
    const struct ww_sturdy_ops *ops;
    struct ww_env *env;
    uint8_t key[WW_STURDY_KEY_BYTES];
};

/* `key`: random, secret, the same after a restart. WW_ENOMEM. */
WW_MUST_USE ww_err ww_sturdy_new(struct ww_sturdy *self, const struct ww_sturdy_ops *ops, struct ww_env *env,
    const uint8_t key[WW_STURDY_KEY_BYTES], struct ww_persist **ret_table);

#endif
