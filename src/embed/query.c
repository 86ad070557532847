/* Queries: of the own table, and of a node that let us in. Both ask a view; only the vat differs. */
#include "embed/embed.h"

struct ww_embed_query {
    struct ww_embed_object object;
    struct ww_list link; /* in source->queries, or alone */
    struct ww_embed_query_user *user;
    struct ww_embed_query_ops ops;
    struct ww_query *query;
    struct ww_view_ask ask;
};

static struct ww_embed_query *of(struct ww_view_ask *ask)
{
    return WW_CONTAINER_OF(ask, struct ww_embed_query, ask);
}

/* ---- events ---- */

static void on_row(struct ww_view_ask *ask, const struct ww_view_row *row)
{
    struct ww_embed_query *q = of(ask);
    char peer[WW_PEER_ID_TEXT_MAX];
    struct ww_embed_record record = {
        .peer = peer,
        .server = row->server,
        .seq = row->seq,
        .ttl_ms = row->ttl_ms,
        .host = row->host,
        .meta = row->meta,
        .meta_count = row->meta_count,
    };
    if (!q->ops.record || !ww_embed_peer_text(row->peer, peer))
        return;
    ww_embed_enter(&q->object);
    q->ops.record(q->user, &record);
    ww_embed_leave(&q->object);
}

static void on_reset(struct ww_view_ask *ask)
{
    struct ww_embed_query *q = of(ask);
    if (!q->ops.reset)
        return;
    ww_embed_enter(&q->object);
    q->ops.reset(q->user);
    ww_embed_leave(&q->object);
}

static void on_left(struct ww_view_ask *ask, struct ww_bytes peer)
{
    struct ww_embed_query *q = of(ask);
    char text[WW_PEER_ID_TEXT_MAX];
    if (!q->ops.left || !ww_embed_peer_text(peer, text))
        return;
    ww_embed_enter(&q->object);
    q->ops.left(q->user, text);
    ww_embed_leave(&q->object);
}

static void on_ready(struct ww_view_ask *ask)
{
    struct ww_embed_query *q = of(ask);
    if (!q->ops.ready)
        return;
    ww_embed_enter(&q->object);
    q->ops.ready(q->user);
    ww_embed_leave(&q->object);
}

static void on_done(struct ww_view_ask *ask, ww_err err, const char *reason)
{
    struct ww_embed_query *q = of(ask);
    if (!q->ops.done)
        return;
    ww_embed_enter(&q->object);
    q->ops.done(q->user, err, ask->count, err < 0 && !*reason ? ww_err_text(err) : reason);
    ww_embed_leave(&q->object);
}

static const struct ww_view_ask_ops ask_ops = {on_row, on_reset, on_left, on_ready, on_done};

/* ---- from options to a query ---- */

static ww_err set_order(
    struct ww_query *query, const struct ww_embed_query_options *options, struct ww_diag *diag)
{
    static const enum ww_index indexes[] = {WW_INDEX_ID, WW_INDEX_ID, WW_INDEX_SERVER, WW_INDEX_HOST};
    unsigned order = (unsigned)options->order;
    if (order >= WW_COUNT_OF(indexes))
        return ww_diag_set(diag, WW_EINVAL, "order: %u is none", order);
    query->ordered = order != WW_EMBED_ORDER_NONE;
    query->order = indexes[order];
    query->descending = options->descending;
    return 0;
}

static ww_err fill(struct ww_query *query, const struct ww_embed_query_options *options, struct ww_diag *diag)
{
    struct ww_diag detail = {0};
    size_t offset;
    if (options->standing &&
        (options->order != WW_EMBED_ORDER_NONE || options->descending || options->count_only ||
            options->limit))
        return ww_diag_set(diag, WW_EINVAL,
            "standing: such a query has no end, so limit, count_only, order and descending do not go with "
            "it");
    if (options->where) {
        ww_err err = ww_query_parse(query, ww_bytes_str(options->where), &offset, &detail);
        if (err < 0)
            return ww_diag_set(diag, err, "where: at byte %s", detail.text);
    }
    WW_TRY(set_order(query, options, diag));
    query->limit = options->limit;
    query->count_only = options->count_only;
    return 0;
}

ww_err ww_embed_query_parse(const struct ww_embed_query_options *options, struct ww_query **ret_query,
    bool *ret_standing, struct ww_diag *diag)
{
    struct ww_embed_query_options taken;
    WW_TRY(ww_embed_take(&taken, sizeof taken, options, "query options", diag));
    struct ww_query *query = ww_query_new();
    if (!query)
        return ww_diag_set(diag, WW_ENOMEM, "out of memory");
    ww_err err = fill(query, &taken, diag);
    if (err < 0) {
        ww_query_free(query);
        return err;
    }
    *ret_query = query;
    *ret_standing = taken.standing;
    return 0;
}

/* ---- life ---- */

static void destroy(struct ww_embed_object *object)
{
    struct ww_embed_query *q = WW_CONTAINER_OF(object, struct ww_embed_query, object);
    ww_query_free(q->query);
    ww_free(q);
}

static void silence(struct ww_embed_query *q)
{
    ww_view_ask_stop(&q->ask);
    ww_list_remove(&q->link);
}

void ww_embed_query_free(struct ww_embed_query *query)
{
    if (!query || query->object.dead)
        return;
    silence(query);
    ww_embed_object_end(&query->object);
}

void ww_embed_source_init(struct ww_embed_source *source, struct ww_runtime *runtime)
{
    *source = (struct ww_embed_source){.runtime = runtime};
    ww_list_init(&source->queries);
}

void ww_embed_source_fini(struct ww_embed_source *source)
{
    while (!ww_list_empty(&source->queries))
        silence(WW_LIST_ENTRY(source->queries.next, struct ww_embed_query, link));
    source->view = NULL;
}

ww_err ww_embed_source_query(struct ww_embed_source *source, const struct ww_embed_query_options *options,
    struct ww_embed_query_user *user, struct ww_embed_query **ret_query, struct ww_diag *diag)
{
    bool standing;
    if (!source->view)
        return ww_diag_set(diag, WW_EDENIED, "the session has no view: this node does not let us query");
    struct ww_embed_query *q = WW_NEW(struct ww_embed_query);
    if (!q)
        return ww_diag_set(diag, WW_ENOMEM, "out of memory");
    q->user = user;
    q->ask.ops = &ask_ops;
    ww_err err = ww_embed_take(&q->ops, sizeof q->ops, user ? user->ops : NULL, "query callbacks", diag);
    if (err == 0)
        err = ww_embed_query_parse(options, &q->query, &standing, diag);
    if (err < 0) {
        ww_free(q);
        return err;
    }
    err = (standing ? ww_view_ask_watch : ww_view_ask_query)(
        &q->ask, source->runtime->env, source->vat, source->view, q->query);
    if (err < 0) {
        ww_query_free(q->query);
        ww_free(q);
        return ww_diag_set(diag, err, "cannot ask: %s", ww_err_text(err));
    }
    ww_embed_object_init(&q->object, source->runtime, destroy);
    ww_list_push_back(&source->queries, &q->link);
    *ret_query = q;
    return 0;
}
