/* Two ways in. What begins like a stored table is one, from an adversary who knows the key: the MAC is zeros
 * there, and what loads is written as it was read. Everything else is what a peer sends, after a
 * byte that says to what: a persistent object, or alice's Restorer, which gives the object that was saved for
 * her to whoever sends that very reference, and nothing else that is in the table. */
#include <stdlib.h>

#include "base/base.h"
#include "base/map.h"
#include "ww/persist.h"

enum { TABLE_MAX = 100 };

struct host {
    struct ww_persist_host host;
    bool keyed;
    uint8_t drawn; /* of the random source: it counts */
    struct ww_rpc_vat *vat;
    unsigned restored;
};

static void host_random(struct ww_persist_host *host, uint8_t *out, size_t len)
{
    struct host *h = WW_CONTAINER_OF(host, struct host, host);
    memset(out, ++h->drawn, len);
}

static void host_mac(
    struct ww_persist_host *host, struct ww_bytes data, uint8_t ret_mac[WW_PERSIST_MAC_BYTES])
{
    struct host *h = WW_CONTAINER_OF(host, struct host, host);
    for (uint64_t i = 0; i < WW_PERSIST_MAC_BYTES / 8; i++) {
        uint64_t seed[2] = {5, i};
        ww_le64_store(ret_mac + i * 8, h->keyed ? ww_siphash13(seed, data) : 0);
    }
}

static ww_err host_restore(struct ww_persist_host *host, struct ww_bytes object, struct ww_cap **ret_cap)
{
    struct host *h = WW_CONTAINER_OF(host, struct host, host);
    if (object.len > WW_PERSIST_OBJECT_MAX)
        abort();
    if (!h->vat)
        return WW_ENOTFOUND;
    if (ww_bytes_eq(object, WW_BYTES_LIT("bob's")) || ww_bytes_eq(object, WW_BYTES_LIT("over")))
        abort();
    h->restored += ww_bytes_eq(object, WW_BYTES_LIT("door"));
    return ww_cap_new_broken(h->vat, WW_EFAILED, "a stand-in", ret_cap);
}

static uint64_t host_now(struct ww_persist_host *host)
{
    WW_UNUSED(host);
    return 1000;
}

static const struct ww_persist_ops ops = {host_random, host_mac, host_restore, NULL, host_now};

static void stored(const uint8_t *data, size_t size)
{
    struct host h = {.host.ops = &ops};
    struct ww_persist *t;
    uint8_t *image = ww_calloc(1, size + WW_PERSIST_MAC_BYTES);
    if (!image || ww_persist_new(&h.host, TABLE_MAX, &t) < 0)
        abort();
    memcpy(image, data, size);
    if (ww_persist_load(t, ww_bytes(image, size + WW_PERSIST_MAC_BYTES), NULL) == 0) {
        if (ww_persist_bytes(t) != size + WW_PERSIST_MAC_BYTES)
            abort();
        uint8_t *out = ww_alloc(ww_persist_bytes(t));
        struct ww_cap *cap;
        if (!out)
            abort();
        ww_persist_write(t, out);
        if (memcmp(out, image, 28) != 0)
            abort();
        uint8_t ref[WW_PERSIST_REF_BYTES] = {1};
        if (size >= 44)
            memcpy(ref + 1, image + 28, 16);
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
}

/* ---- over a connection */

struct persistent {
    struct ww_rpc_server server;
    struct ww_persist *table;
};

static void persistent_dispatch(struct ww_rpc_server *self, struct ww_rpc_call *call)
{
    if (!ww_persist_serve(
            WW_CONTAINER_OF(self, struct persistent, server)->table, call, WW_BYTES_LIT("itself"), 0))
        ww_rpc_call_fail(call, WW_EUNIMPLEMENTED, "nothing else");
}

static bool holds(const uint8_t *data, size_t size, const uint8_t *ref)
{
    for (size_t i = 0; i + WW_PERSIST_REF_BYTES <= size; i++) {
        if (memcmp(data + i, ref, WW_PERSIST_REF_BYTES) == 0)
            return true;
    }
    return false;
}

static void told(const uint8_t *data, size_t size, bool restorer)
{
    static const struct ww_rpc_server_ops persistent_ops = {.dispatch = persistent_dispatch};
    struct host h = {.host.ops = &ops, .keyed = true};
    struct persistent object = {.server.ops = &persistent_ops};
    struct ww_rpc_conn_config config = {0};
    struct ww_rpc_conn *conn;
    uint8_t door[WW_PERSIST_REF_BYTES], other[WW_PERSIST_REF_BYTES];
    struct ww_bytes alice = WW_BYTES_LIT("alice"), bob = WW_BYTES_LIT("bob");
    if (ww_rpc_vat_new(NULL, &h.vat) < 0 || ww_persist_new(&h.host, TABLE_MAX, &object.table) < 0 ||
        ww_persist_save(object.table, WW_BYTES_LIT("door"), alice, 0, door) < 0 ||
        ww_persist_save(object.table, WW_BYTES_LIT("bob's"), bob, 0, other) < 0 ||
        ww_persist_save(object.table, WW_BYTES_LIT("over"), alice, 999, other) < 0)
        abort();
    ww_err err = restorer ? ww_persist_restorer(object.table, h.vat, alice, &config.bootstrap)
                          : ww_cap_new_server(h.vat, &object.server, &config.bootstrap);
    if (err < 0 || ww_rpc_conn_new(h.vat, &config, &conn) < 0)
        abort();
    ww_cap_unref(config.bootstrap);
    if (ww_rpc_conn_feed(conn, ww_bytes(data, size)) < 0 && ww_rpc_conn_is_open(conn))
        abort();
    (void)ww_rpc_vat_run(h.vat, 0, 0);
    if (h.restored && !holds(data, size, door))
        abort(); /* guessed */
    if (ww_persist_count(object.table) > TABLE_MAX)
        abort();
    bool table_first = size & 1;
    if (table_first)
        ww_persist_free(object.table);
    ww_rpc_conn_free(conn);
    (void)ww_rpc_vat_run(h.vat, 0, 0);
    if (!table_first)
        ww_persist_free(object.table);
    ww_rpc_vat_free(h.vat);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= 8 && memcmp(data, "ww-refs", 7) == 0)
        stored(data, size);
    else if (size)
        told(data + 1, size - 1, data[0] & 1);
    return 0;
}
