/* service/view_client.h — asking a view: queries and standing queries, whatever the node at the other end can
 * do.
 *
 * A node that knows only lookup and iter (the Go implementation) is asked with iter, and the query is run
 * here over what it sends. What a node of ours sends is checked again here: filter and limit hold whatever
 * the other side does.
 *
 * Ownership: the operation is embedded in the caller; view and query are borrowed until the end. Callbacks
 * come from the vat's queue; rows live until the callback returns. `done` comes once; stopping is allowed in
 * any callback, and no callback follows it.
 */
#ifndef WW_SERVICE_VIEW_CLIENT_H
#define WW_SERVICE_VIEW_CLIENT_H

#include "cluster/query.h"
#include "env/env.h"
#include "ww/rpc.h"

struct ww_view_row {
    struct ww_bytes peer; /* raw peer id */
    struct ww_bytes host;
    uint64_t server, seq;
    uint32_t ttl_ms;
    size_t meta_count;
    struct ww_bytes meta[WW_ROUTING_META_MAX];
};

struct ww_view_ask;
struct ww_view_ask_ops {
    void (*row)(struct ww_view_ask *ask, const struct ww_view_row *row);
    /* Standing queries only: forget everything; one more peer is gone; all that match now are known. */
    void (*reset)(struct ww_view_ask *ask);
    void (*left)(struct ww_view_ask *ask, struct ww_bytes peer);
    void (*ready)(struct ww_view_ask *ask);
    /* The end. A query: 0, and `count` is how many matched. `reason` is for people. */
    void (*done)(struct ww_view_ask *ask, ww_err err, const char *reason);
};

struct ww_view_ask {
    const struct ww_view_ask_ops *ops;
    uint64_t count;
    /* private */
    struct ww_env *env;
    struct ww_rpc_vat *vat;
    struct ww_cap *view;
    const struct ww_query *query;
    struct ww_rpc_request *request;
    struct ww_rpc_wait wait;
    struct ww_view_receiver *receiver; /* what the node calls; lives on until the node lets go */
    struct ww_routing *table;          /* iter: what has come so far */
    bool *stopped; /* set while rows are given from here: whether a callback has stopped us */
    bool standing, iterating;
};

/* WW_ENOMEM. On success `done` will come. */
WW_MUST_USE ww_err ww_view_ask_query(struct ww_view_ask *ask, struct ww_env *env, struct ww_rpc_vat *vat,
    struct ww_cap *view, const struct ww_query *query);
WW_MUST_USE ww_err ww_view_ask_watch(struct ww_view_ask *ask, struct ww_env *env, struct ww_rpc_vat *vat,
    struct ww_cap *view, const struct ww_query *query);
/* Cancels. Harmless after the end, and on a zeroed operation. */
void ww_view_ask_stop(struct ww_view_ask *ask);

#endif
