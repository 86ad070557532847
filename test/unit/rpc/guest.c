/* The least guest that serves a capability: bytes in, bytes out, one method that answers with a text. */
#include "base/base.h"
#include "ww/rpc.h"

#define EXPORT(name) __attribute__((export_name(#name)))

EXPORT(guest_room) void *guest_room(uint32_t bytes);
EXPORT(guest_serve) int32_t guest_serve(uint32_t bytes);
EXPORT(guest_reply) const uint8_t *guest_reply(void);

static struct {
    struct ww_rpc_vat *vat;
    struct ww_rpc_conn *conn;
    struct ww_rpc_server server;
    uint8_t in[4096], out[4096];
} guest;

static void dispatch(struct ww_rpc_server *server, struct ww_rpc_call *call)
{
    if (ww_rpc_call_interface(call) != 7 || ww_rpc_call_method(call) != 0) {
        ww_rpc_call_fail_unknown(call, "Guest");
        return;
    }
    struct ww_sb results = ww_pb_init_struct(ww_rpc_call_results(call, 8), 0, 1);
    ww_pb_set_text(ww_sb_ptr(results, 0), ww_text("served from a guest"));
    ww_rpc_call_return(call);
}

static ww_err start(void)
{
    static const struct ww_rpc_server_ops ops = {.dispatch = dispatch};
    struct ww_rpc_conn_config config = {0};
    guest.server.ops = &ops;
    WW_TRY(ww_rpc_vat_new(NULL, &guest.vat));
    WW_TRY(ww_cap_new_server(guest.vat, &guest.server, &config.bootstrap));
    return ww_rpc_conn_new(guest.vat, &config, &guest.conn);
}

void *guest_room(uint32_t bytes)
{
    return bytes <= sizeof guest.in ? guest.in : NULL;
}

const uint8_t *guest_reply(void)
{
    return guest.out;
}

int32_t guest_serve(uint32_t bytes)
{
    struct ww_bytes views[16];
    uint32_t n = 0;
    if (!guest.vat && start() < 0)
        return -1;
    if (ww_rpc_conn_feed(guest.conn, ww_bytes(guest.in, bytes)) < 0)
        return -1;
    ww_rpc_vat_run(guest.vat, 0, 0);
    size_t count = ww_rpc_conn_pull(guest.conn, views, WW_COUNT_OF(views));
    for (size_t i = 0; i < count && views[i].len <= sizeof guest.out - n; i++) {
        memcpy(guest.out + n, views[i].ptr, views[i].len);
        n += (uint32_t)views[i].len;
    }
    ww_rpc_conn_pulled(guest.conn, n);
    return (int32_t)n;
}
