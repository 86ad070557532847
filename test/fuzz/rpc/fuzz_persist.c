/* Stored tables from an adversary who knows the key: the MAC here is zeros. What loads is written as it was
 * read. */
#include <stdlib.h>

#include "base/base.h"
#include "ww/persist.h"

static void host_random(struct ww_persist_host *host, uint8_t *out, size_t len)
{
    WW_UNUSED(host);
    memset(out, 7, len);
}

static void host_mac(
    struct ww_persist_host *host, struct ww_bytes data, uint8_t ret_mac[WW_PERSIST_MAC_BYTES])
{
    WW_UNUSED(host);
    WW_UNUSED(data);
    memset(ret_mac, 0, WW_PERSIST_MAC_BYTES);
}

static ww_err host_restore(struct ww_persist_host *host, struct ww_bytes object, struct ww_cap **ret_cap)
{
    WW_UNUSED(host);
    WW_UNUSED(ret_cap);
    return object.len > WW_PERSIST_OBJECT_MAX ? WW_EPROTO : WW_ENOTFOUND;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct ww_persist_ops ops = {host_random, host_mac, host_restore, NULL};
    static struct ww_persist_host host = {&ops};
    struct ww_persist *t;
    uint8_t *image = ww_calloc(1, size + WW_PERSIST_MAC_BYTES);
    if (!image || ww_persist_new(&host, 100, &t) < 0)
        abort();
    if (size)
        memcpy(image, data, size);
    if (ww_persist_load(t, ww_bytes(image, size + WW_PERSIST_MAC_BYTES)) == 0) {
        if (ww_persist_bytes(t) != size + WW_PERSIST_MAC_BYTES)
            abort();
        uint8_t *out = ww_alloc(ww_persist_bytes(t));
        struct ww_cap *cap;
        if (!out)
            abort();
        ww_persist_write(t, out);
        if (memcmp(out, image, 12) != 0)
            abort();
        uint8_t ref[WW_PERSIST_REF_BYTES] = {1};
        if (size >= 28)
            memcpy(ref + 1, image + 12, 16);
        ww_err err = ww_persist_restore(t, ww_bytes(ref, sizeof ref), ww_bytes(NULL, 0), 1, &cap);
        if (err == 0)
            abort();
        (void)ww_persist_expire(t, 1u << 20);
        ww_free(out);
    } else if (ww_persist_count(t) != 0) {
        abort();
    }
    ww_persist_free(t);
    ww_free(image);
    return 0;
}
