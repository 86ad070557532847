#include "service/view_client.h"

#include "cluster/query_wire.h"
#include "schema/cluster.capnp.rpc.h"

/* One object for the three interfaces that a node may call. It outlives the ask: calls that are under way
 * when the ask ends find nobody. */
struct ww_view_receiver {
    struct ww_View_Sink_server sink;
    struct ww_View_Watcher_server watcher;
    struct ww_View_Handler_server handler;
    struct ww_view_ask *ask; /* NULL: ended */
};

/* ---- rows ---- */

static ww_err apply(struct ww_view_ask *ask, const struct ww_view_row *row, uint64_t seq)
{
    struct ww_record_in in = {
        .peer = row->peer,
        .server = row->server,
        .seq = seq,
        .ttl_ms = row->ttl_ms,
        .host = row->host,
        .meta = row->meta,
        .meta_count = row->meta_count,
    };
    return ww_routing_upsert(ask->table, ww_env_now(ask->env), &in);
}

/* Whether the row is what was asked for. */
static bool fits(const struct ww_view_ask *ask, const struct ww_view_row *row)
{
    const struct ww_record record = {
        .peer = row->peer,
        .host = row->host,
        .server = row->server,
        .meta_count = (uint32_t)row->meta_count,
        .meta = row->meta,
    };
    if (ask->query->projection != WW_PROJECT_ALL)
        return true; /* fields that the filter needs may be missing */
    return row->peer.len > 0 && row->peer.len <= WW_ROUTING_PEER_MAX && ww_query_matches(ask->query, &record);
}

static void give(struct ww_view_ask *ask, const struct ww_view_row *row)
{
    uint64_t limit = ask->standing ? 0 : ask->query->limit;
    if ((limit && ask->count >= limit) || !fits(ask, row))
        return;
    ask->count++;
    ask->ops->row(ask, row);
}

static void row_of_batch(struct ww_View_Batch_r batch, struct ww_View_Row_r from, struct ww_view_row *ret)
{
    struct ww_lr meta = ww_View_Row_meta(from);
    *ret = (struct ww_view_row){
        .peer = ww_View_Row_peer(from),
        .host = ww_View_Row_host(from),
        .server = ww_View_Row_server(from),
        .seq = ww_View_Row_seq(from),
        .ttl_ms = ww_View_Row_ttl(from),
    };
    for (uint32_t i = 0; i < meta.count && ret->meta_count < WW_ROUTING_META_MAX; i++)
        ret->meta[ret->meta_count++] = ww_batch_string(batch, from, i);
}

/* The ask may end inside: then false. */
static bool give_batch(struct ww_view_receiver *r, struct ww_View_Batch_r batch)
{
    struct ww_View_Row_l rows = ww_View_Batch_rows(batch);
    for (uint32_t i = 0; i < rows.l.count && r->ask; i++) {
        struct ww_view_row row;
        row_of_batch(batch, ww_View_Row_l_at(rows, i), &row);
        give(r->ask, &row);
    }
    return r->ask != NULL;
}

/* ---- what the node calls ---- */

static void on_batch(struct ww_View_Sink_server *self, struct ww_rpc_call *call)
{
    struct ww_view_receiver *r = WW_CONTAINER_OF(self, struct ww_view_receiver, sink);
    ww_rpc_call_set_streaming(call);
    if (r->ask)
        (void)give_batch(r, ww_View_Sink_batch_params_batch(ww_View_Sink_batch_params(call)));
    ww_rpc_call_return(call);
}

static void on_update(struct ww_View_Watcher_server *self, struct ww_rpc_call *call)
{
    struct ww_view_receiver *r = WW_CONTAINER_OF(self, struct ww_view_receiver, watcher);
    struct ww_View_Update_r update =
        ww_View_Watcher_update_params_update(ww_View_Watcher_update_params(call));
    ww_rpc_call_set_streaming(call);
    if (r->ask && ww_View_Update_reset(update))
        r->ask->ops->reset(r->ask);
    if (r->ask && give_batch(r, ww_View_Update_batch(update))) {
        struct ww_lr left = ww_View_Update_left(update);
        for (uint32_t i = 0; i < left.count && r->ask; i++)
            r->ask->ops->left(r->ask, ww_pr_data(ww_lr_ptr(left, i)));
    }
    if (r->ask && ww_View_Update_ready(update))
        r->ask->ops->ready(r->ask);
    ww_rpc_call_return(call);
}

static void on_record(struct ww_View_Handler_server *self, struct ww_rpc_call *call)
{
    struct ww_view_receiver *r = WW_CONTAINER_OF(self, struct ww_view_receiver, handler);
    struct ww_View_Record_r from = ww_View_Handler_recv_params_record(ww_View_Handler_recv_params(call));
    struct ww_Heartbeat_r beat = ww_View_Record_heartbeat(from);
    struct ww_lr meta = ww_Heartbeat_meta(beat);
    struct ww_view_row row = {
        .peer = ww_View_Record_peer(from),
        .host = ww_Heartbeat_host(beat),
        .server = ww_Heartbeat_server(beat), /* Go leaves the record's own at 0 */
        .ttl_ms = ww_Heartbeat_ttl(beat),
    };
    ww_rpc_call_set_streaming(call);
    for (uint32_t i = 0; i < meta.count && row.meta_count < WW_ROUTING_META_MAX; i++)
        row.meta[row.meta_count++] = ww_pr_text(ww_lr_ptr(meta, i));
    /* A record that breaks the table's limits is left out rather than ending the rest. */
    if (r->ask)
        ww_ignore(apply(r->ask, &row, ww_View_Record_seq(from) ? ww_View_Record_seq(from) : 1));
    ww_rpc_call_return(call);
}

/* The node lets go before it returns. */
static void receiver_free(struct ww_view_receiver *r)
{
    if (r->ask)
        r->ask->receiver = NULL;
    ww_free(r);
}

static void drop_sink(struct ww_View_Sink_server *self)
{
    receiver_free(WW_CONTAINER_OF(self, struct ww_view_receiver, sink));
}

static void drop_watcher(struct ww_View_Watcher_server *self)
{
    receiver_free(WW_CONTAINER_OF(self, struct ww_view_receiver, watcher));
}

static void drop_handler(struct ww_View_Handler_server *self)
{
    receiver_free(WW_CONTAINER_OF(self, struct ww_view_receiver, handler));
}

static const struct ww_View_Sink_ops sink_ops = {.batch = on_batch, .drop = drop_sink};
static const struct ww_View_Watcher_ops watcher_ops = {.update = on_update, .drop = drop_watcher};
static const struct ww_View_Handler_ops handler_ops = {.recv = on_record, .drop = drop_handler};

enum role { ROLE_SINK, ROLE_WATCHER, ROLE_HANDLER };

static ww_err receiver_new(struct ww_view_ask *ask, enum role role, struct ww_cap **ret_cap)
{
    struct ww_view_receiver *r = WW_NEW(struct ww_view_receiver);
    ww_err err;
    if (!r)
        return WW_ENOMEM;
    r->ask = ask;
    ww_View_Sink_server_init(&r->sink, &sink_ops);
    ww_View_Watcher_server_init(&r->watcher, &watcher_ops);
    ww_View_Handler_server_init(&r->handler, &handler_ops);
    if (role == ROLE_SINK)
        err = ww_View_Sink_server_cap(ask->vat, &r->sink, ret_cap);
    else if (role == ROLE_WATCHER)
        err = ww_View_Watcher_server_cap(ask->vat, &r->watcher, ret_cap);
    else
        err = ww_View_Handler_server_cap(ask->vat, &r->handler, ret_cap);
    if (err < 0) {
        ww_free(r);
        return err;
    }
    if (ask->receiver)
        ask->receiver->ask = NULL;
    ask->receiver = r;
    return 0;
}

/* ---- the end ---- */

void ww_view_ask_stop(struct ww_view_ask *ask)
{
    if (ask->stopped)
        *ask->stopped = true;
    ask->stopped = NULL;
    if (ask->receiver)
        ask->receiver->ask = NULL;
    ask->receiver = NULL;
    ww_rpc_request_free(ask->request);
    ask->request = NULL;
    ww_routing_free(ask->table);
    ask->table = NULL;
    ww_cap_unref(ask->view);
    ask->view = NULL;
}

static void end(struct ww_view_ask *ask, ww_err err, const char *reason)
{
    char text[256];
    size_t len = strnlen(reason, sizeof text - 1);
    memcpy(text, reason, len); /* it belongs to the request, which goes now */
    text[len] = '\0';
    ww_view_ask_stop(ask);
    ask->ops->done(ask, err, text);
}

/* ---- iter: all that the node has, and the query over it here ---- */

static void run_here(struct ww_view_ask *ask)
{
    struct ww_query_run run;
    struct ww_record record;
    struct ww_snapshot *snap = ww_routing_snapshot(ask->table);
    if (!snap || ww_query_run_init(&run, ask->query, snap) < 0) {
        ww_snapshot_unref(snap);
        end(ask, WW_ENOMEM, "out of memory");
        return;
    }
    bool stopped = false;
    ww_err got;
    ask->stopped = &stopped;
    while ((got = ww_query_run_next(&run, SIZE_MAX, &record)) == 1) {
        struct ww_view_row row = {.peer = record.peer,
            .host = record.host,
            .server = record.server,
            .seq = record.seq,
            .ttl_ms = record.ttl_ms,
            .meta_count = record.meta_count};
        for (size_t i = 0; i < row.meta_count; i++)
            row.meta[i] = ww_record_meta(&record, i);
        ask->count++;
        if (!ask->query->count_only)
            ask->ops->row(ask, &row);
        if (stopped)
            break;
    }
    ww_query_run_fini(&run);
    ww_snapshot_unref(snap);
    if (!stopped)
        end(ask, got < 0 ? got : 0, got < 0 ? ww_err_text(got) : "");
}

/* A single comparison narrows what is sent; Go matches by prefix in any case, and the rest is checked here.
 */
static void select_index(const struct ww_query *query, struct ww_View_Selector_b selector)
{
    const struct ww_filter *f = &query->nodes[query->root];
    if (query->root == 0 || f->op != WW_FILTER_CMP || (f->cmp != WW_CMP_EQ && f->cmp != WW_CMP_PREFIX))
        return;
    struct ww_View_Index_b index = ww_View_Selector_init_match(selector);
    ww_View_Index_set_prefix(index, f->cmp == WW_CMP_PREFIX);
    if (f->field == WW_INDEX_ID)
        ww_View_Index_set_peer(index, f->value);
    else if (f->field == WW_INDEX_SERVER)
        ww_View_Index_set_server(index, f->value);
    else if (f->field == WW_INDEX_HOST)
        ww_View_Index_set_host(index, f->value);
    else
        ww_View_Index_set_meta(index, f->value);
}

static ww_err table_new(struct ww_view_ask *ask)
{
    struct ww_routing_conf conf = {.ttl_max_ms = UINT32_MAX};
    ask->env->ops->random(ask->env, conf.seed, sizeof conf.seed);
    return ww_routing_new(&conf, &ask->table);
}

static ww_err start_iter(struct ww_view_ask *ask)
{
    struct ww_View_iter_params_b params;
    struct ww_cap *handler;
    ww_rpc_request_free(ask->request);
    ask->request = NULL;
    ask->iterating = true;
    WW_TRY(table_new(ask));
    WW_TRY(receiver_new(ask, ROLE_HANDLER, &handler));
    ww_err err = ww_View_iter_request(ask->view, &ask->request, &params);
    if (err == 0) {
        ww_View_iter_params_set_handler(params, handler);
        select_index(ask->query, ww_View_iter_params_init_selector(params));
        (void)ww_View_iter_params_init_constraints(params, 0);
        ww_rpc_request_send(ask->request, &ask->wait);
    }
    ww_cap_unref(handler);
    return err;
}

/* ---- query and watch ---- */

static void done(struct ww_rpc_wait *wait, struct ww_rpc_request *request)
{
    struct ww_view_ask *ask = WW_CONTAINER_OF(wait, struct ww_view_ask, wait);
    ww_err err = ww_rpc_request_status(request);
    /* "unimplemented" by its kind; older libraries say it in words only. */
    bool unknown = err < 0 &&
        (ww_err_kind(err) == WW_KIND_UNIMPLEMENTED ||
            strstr(ww_rpc_request_reason(request), "unimplemented"));
    if (unknown && !ask->standing && !ask->iterating) {
        err = start_iter(ask);
        if (err < 0)
            end(ask, err, ww_err_text(err));
        return;
    }
    if (unknown && ask->standing) {
        end(ask, WW_EUNIMPLEMENTED, "this node does not know standing queries");
        return;
    }
    if (err < 0) {
        end(ask, err, ww_rpc_request_reason(request));
        return;
    }
    if (ask->iterating) {
        run_here(ask);
        return;
    }
    if (ask->query->count_only)
        ask->count = ww_View_query_results_count(ww_View_query_results(request));
    end(ask, 0, "");
}

static void ask_init(struct ww_view_ask *ask, struct ww_env *env, struct ww_rpc_vat *vat, struct ww_cap *view,
    const struct ww_query *query)
{
    const struct ww_view_ask_ops *ops = ask->ops;
    *ask = (struct ww_view_ask){.ops = ops, .env = env, .vat = vat, .query = query, .wait = {done}};
    ask->view = ww_cap_ref(view);
}

static ww_err start_query(struct ww_view_ask *ask)
{
    struct ww_View_query_params_b params;
    struct ww_cap *sink;
    WW_TRY(receiver_new(ask, ROLE_SINK, &sink));
    ww_err err = ww_View_query_request(ask->view, &ask->request, &params);
    if (err == 0) {
        ww_query_encode(ask->query, ww_View_query_params_init_query(params));
        ww_View_query_params_set_sink(params, sink);
        ww_rpc_request_send(ask->request, &ask->wait);
    }
    ww_cap_unref(sink);
    return err;
}

static ww_err start_watch(struct ww_view_ask *ask)
{
    struct ww_View_watch_params_b params;
    struct ww_cap *watcher;
    ask->standing = true;
    WW_TRY(receiver_new(ask, ROLE_WATCHER, &watcher));
    ww_err err = ww_View_watch_request(ask->view, &ask->request, &params);
    if (err == 0) {
        ww_query_encode(ask->query, ww_View_watch_params_init_query(params));
        ww_View_watch_params_set_watcher(params, watcher);
        ww_rpc_request_send(ask->request, &ask->wait);
    }
    ww_cap_unref(watcher);
    return err;
}

ww_err ww_view_ask_query(struct ww_view_ask *ask, struct ww_env *env, struct ww_rpc_vat *vat,
    struct ww_cap *view, const struct ww_query *query)
{
    ask_init(ask, env, vat, view, query);
    ww_err err = start_query(ask);
    if (err < 0)
        ww_view_ask_stop(ask);
    return err;
}

ww_err ww_view_ask_watch(struct ww_view_ask *ask, struct ww_env *env, struct ww_rpc_vat *vat,
    struct ww_cap *view, const struct ww_query *query)
{
    ask_init(ask, env, vat, view, query);
    ww_err err = start_watch(ask);
    if (err < 0)
        ww_view_ask_stop(ask);
    return err;
}
