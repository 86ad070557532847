/* A host of references with a toy for a MAC: the house's own is tested where it is used. */
#ifndef WW_TEST_RPC_PERSIST_HOST_H
#define WW_TEST_RPC_PERSIST_HOST_H

#include "test/lib/test.h"
#include "base/map.h"
#include "base/prng.h"
#include "ww/persist.h"

struct host {
    struct ww_persist_host host;
    struct ww_prng prng;
    uint64_t key, now_s;
    unsigned changed, restored;
    struct ww_rpc_vat *vat;
    struct ww_cap *object; /* what every name leads to, if nothing else is set */
    bool nothing;          /* succeeds with null */
    ww_err fails;
    char last[64];
};

static void host_random(struct ww_persist_host *host, uint8_t *out, size_t len)
{
    ww_prng_fill(&WW_CONTAINER_OF(host, struct host, host)->prng, out, len);
}

static void host_mac(
    struct ww_persist_host *host, struct ww_bytes data, uint8_t ret_mac[WW_PERSIST_MAC_BYTES])
{
    struct host *h = WW_CONTAINER_OF(host, struct host, host);
    for (uint64_t i = 0; i < WW_PERSIST_MAC_BYTES / 8; i++) {
        uint64_t seed[2] = {h->key, i};
        ww_le64_store(ret_mac + i * 8, ww_siphash13(seed, data));
    }
}

static ww_err host_restore(struct ww_persist_host *host, struct ww_bytes object, struct ww_cap **ret_cap)
{
    struct host *h = WW_CONTAINER_OF(host, struct host, host);
    h->restored++;
    assert_true(object.len < sizeof h->last);
    memcpy(h->last, object.ptr, object.len);
    h->last[object.len] = 0;
    *ret_cap = NULL;
    if (h->fails || h->nothing)
        return h->fails;
    *ret_cap = ww_cap_ref(h->object);
    if (h->object)
        return 0;
    return ww_cap_new_broken(h->vat, WW_EFAILED, "a stand-in", ret_cap);
}

static void host_changed(struct ww_persist_host *host)
{
    WW_CONTAINER_OF(host, struct host, host)->changed++;
}

static uint64_t host_now(struct ww_persist_host *host)
{
    return WW_CONTAINER_OF(host, struct host, host)->now_s;
}

static void host_start(struct host *h, struct ww_rpc_vat *vat, uint64_t key)
{
    static const struct ww_persist_ops ops = {host_random, host_mac, host_restore, host_changed, host_now};
    *h = (struct host){.host.ops = &ops, .key = key, .vat = vat, .now_s = 1000};
    ww_prng_init(&h->prng, 77);
}

#endif
