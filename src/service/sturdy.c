#include "service/sturdy.h"

#include "crypto/hash.h"

static struct ww_sturdy *self_of(struct ww_persist_host *host)
{
    return WW_CONTAINER_OF(host, struct ww_sturdy, host);
}

static void sturdy_random(struct ww_persist_host *host, uint8_t *out, size_t len)
{
    struct ww_sturdy *s = self_of(host);
    s->env->ops->random(s->env, out, len);
}

static void sturdy_mac(
    struct ww_persist_host *host, struct ww_bytes data, uint8_t ret_mac[WW_PERSIST_MAC_BYTES])
{
    ww_hmac_sha256(ww_bytes(self_of(host)->key, WW_STURDY_KEY_BYTES), data, ret_mac);
}

static ww_err sturdy_restore(struct ww_persist_host *host, struct ww_bytes object, struct ww_cap **ret_cap)
{
    struct ww_sturdy *s = self_of(host);
    return s->ops->restore(s, object, ret_cap);
}

static void sturdy_changed(struct ww_persist_host *host)
{
    struct ww_sturdy *s = self_of(host);
    if (s->ops->changed)
        s->ops->changed(s);
}

static uint64_t sturdy_now(struct ww_persist_host *host)
{
    struct ww_sturdy *s = self_of(host);
    return s->env->ops->wall_ns(s->env) / 1000000000u;
}

ww_err ww_sturdy_new(struct ww_sturdy *self, const struct ww_sturdy_ops *ops, struct ww_env *env,
    const uint8_t key[WW_STURDY_KEY_BYTES], struct ww_persist **ret_table)
{
    static const struct ww_persist_ops host_ops = {
        sturdy_random, sturdy_mac, sturdy_restore, sturdy_changed, sturdy_now};
    *self = (struct ww_sturdy){.host.ops = &host_ops, .ops = ops, .env = env};
    memcpy(self->key, key, sizeof self->key);
    return ww_persist_new(&self->host, 0, ret_table);
}
