#include "ww/rpc_pair.h"

#include "base/base.h"

#define VIEWS_MAX 16

struct ww_rpc_pair {
    struct ww_rpc_vat *vat[2];
    struct ww_rpc_conn *conn[2];
    uint64_t now_ns;
};

ww_err ww_rpc_pair_new(struct ww_rpc_vat *a, const struct ww_rpc_conn_config *config_a, struct ww_rpc_vat *b,
    const struct ww_rpc_conn_config *config_b, struct ww_rpc_pair **ret_pair)
{
    struct ww_rpc_conn_config nothing = {
        .packed = config_a ? config_a->packed : config_b && config_b->packed};
    config_a = config_a ? config_a : &nothing;
    config_b = config_b ? config_b : &nothing;
    if (config_a->packed != config_b->packed)
        return WW_EINVAL;
    struct ww_rpc_pair *pair = WW_NEW(struct ww_rpc_pair);
    if (!pair)
        return WW_ENOMEM;
    pair->vat[0] = a;
    pair->vat[1] = b;
    ww_err err = ww_rpc_conn_new(a, config_a, &pair->conn[0]);
    if (err == 0)
        err = ww_rpc_conn_new(b, config_b, &pair->conn[1]);
    if (err < 0) {
        ww_rpc_pair_free(pair);
        return err;
    }
    for (int i = 0; i < 2; i++) {
        if ((i ? config_b : config_a)->stream_window_bytes == 0)
            ww_rpc_conn_set_stream_window(pair->conn[i], WW_RPC_WINDOW_PIPE);
    }
    *ret_pair = pair;
    return 0;
}

void ww_rpc_pair_free(struct ww_rpc_pair *pair)
{
    if (!pair)
        return;
    ww_rpc_conn_free(pair->conn[0]);
    ww_rpc_conn_free(pair->conn[1]);
    ww_free(pair);
}

struct ww_rpc_conn *ww_rpc_pair_conn(struct ww_rpc_pair *pair, int end)
{
    return pair->conn[end == 1];
}

size_t ww_rpc_pair_move(struct ww_rpc_pair *pair, int from, size_t max_bytes)
{
    struct ww_rpc_conn *source = pair->conn[from == 1], *sink = pair->conn[from != 1];
    size_t total = 0, left = max_bytes ? max_bytes : SIZE_MAX;
    struct ww_bytes views[VIEWS_MAX];
    size_t count;
    while (left > 0 && (!ww_rpc_conn_is_open(sink) || ww_rpc_conn_want_read(sink)) &&
        (count = ww_rpc_conn_pull(source, views, VIEWS_MAX)) > 0) {
        size_t moved = 0;
        for (size_t i = 0; i < count && left > 0; i++) {
            size_t n = views[i].len < left ? views[i].len : left;
            ww_ignore(ww_rpc_conn_feed(sink, ww_bytes(views[i].ptr, n))); /* closed: it says so itself */
            moved += n;
            left -= n;
        }
        ww_rpc_conn_pulled(source, moved);
        total += moved;
    }
    if (!ww_rpc_conn_is_open(source) && ww_rpc_conn_pending(source) == 0)
        ww_rpc_conn_lost(sink, WW_ECLOSED);
    return total;
}

void ww_rpc_pair_run(struct ww_rpc_pair *pair, uint64_t now_ns)
{
    size_t moved;
    bool more;
    pair->now_ns = now_ns;
    do {
        more = ww_rpc_vat_run(pair->vat[0], now_ns, 0);
        if (pair->vat[1] != pair->vat[0])
            more |= ww_rpc_vat_run(pair->vat[1], now_ns, 0);
        moved = ww_rpc_pair_move(pair, 0, 0);
        moved += ww_rpc_pair_move(pair, 1, 0);
    } while (more || moved > 0);
    /* An end of stream moves no bytes, but both learn of it. */
    ww_rpc_vat_run(pair->vat[0], now_ns, 0);
    if (pair->vat[1] != pair->vat[0])
        ww_rpc_vat_run(pair->vat[1], now_ns, 0);
}

ww_err ww_rpc_pair_call(struct ww_rpc_pair *pair, struct ww_rpc_request *request)
{
    if (!request)
        return WW_EINVAL;
    ww_rpc_request_send(request, NULL);
    ww_rpc_pair_run(pair, pair->now_ns);
    return ww_rpc_request_status(request);
}

void ww_rpc_pair_cut(struct ww_rpc_pair *pair, ww_err why)
{
    ww_rpc_conn_lost(pair->conn[0], why);
    ww_rpc_conn_lost(pair->conn[1], why);
}
