/* One connection fed arbitrary bytes. The first byte chooses the encoding and where the bytes are cut. */
#include <stdlib.h>

#include "rpc/internal.h"

struct sink {
    struct ww_rpc_server server;
};

static void sink_dispatch(struct ww_rpc_server *self, struct ww_rpc_call *call)
{
    WW_UNUSED(self);
    ww_pb_set(ww_rpc_call_results(call, 0), ww_rpc_call_params(call));
    ww_rpc_call_return(call);
}

static const struct ww_rpc_server_ops sink_ops = {.dispatch = sink_dispatch};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct sink sink = {.server.ops = &sink_ops};
    struct ww_rpc_vat *vat;
    struct ww_cap *boot;
    struct ww_rpc_conn *conn;
    struct ww_budget budget;
    ww_budget_init(&budget, NULL);
    if (ww_rpc_vat_new(NULL, &vat) < 0)
        abort();
    if (ww_cap_new_server(vat, &sink.server, &boot) < 0 ||
        ww_rpc_conn_new(vat,
            &(struct ww_rpc_conn_config){.bootstrap = boot, .budget = &budget, .packed = data[0] & 1},
            &conn) < 0)
        abort();
    size_t step = (data[0] >> 1) + 1;
    for (size_t at = 1; at < size; at += step) {
        size_t n = size - at < step ? size - at : step;
        if (ww_rpc_conn_feed(conn, ww_bytes(data + at, n)) < 0)
            break;
        ww_rpc_vat_run(vat, at, 64);
        struct ww_diag diag;
        if (ww_rpc_conn_check(conn, &diag) < 0)
            abort();
    }
    ww_rpc_conn_free(conn);
    for (int i = 0; i < WW_RES_COUNT; i++) {
        if (budget.used[i] != 0)
            abort();
    }
    ww_cap_unref(boot);
    ww_rpc_vat_run(vat, size, 0);
    ww_rpc_vat_free(vat);
    return 0;
}
