#include "cluster/watch.h"

/* A peer about which the reader has to be told something. */
struct entry {
    struct ww_map_node node;
    struct ww_list link;
    bool known; /* the reader has its record */
    uint8_t peer_len;
    uint8_t peer[];
};

static struct ww_bytes entry_key(const struct ww_map_node *node)
{
    const struct entry *e = WW_CONTAINER_OF(node, const struct entry, node);
    return ww_bytes(e->peer, e->peer_len);
}

static void entry_drop(struct ww_watch *w, struct entry *e)
{
    ww_map_remove(&w->pending, &e->node);
    ww_list_remove(&e->link);
    ww_free(e);
}

/* Back to the beginning. */
static void watch_restart(struct ww_watch *w)
{
    while (!ww_list_empty(&w->queue))
        entry_drop(w, WW_LIST_ENTRY(w->queue.next, struct entry, link));
    if (w->state == WW_WATCH_FIRST)
        ww_query_run_fini(&w->run);
    w->state = WW_WATCH_BEGIN;
}

static bool entry_add(struct ww_watch *w, struct ww_bytes peer, bool known)
{
    if (w->pending.count >= w->max_pending)
        return false;
    struct entry *e = ww_alloc(sizeof *e + peer.len);
    if (!e)
        return false;
    *e = (struct entry){.known = known, .peer_len = (uint8_t)peer.len};
    memcpy(e->peer, peer.ptr, peer.len);
    if (ww_map_insert(&w->pending, &e->node) < 0) {
        ww_free(e);
        return false;
    }
    ww_list_init(&e->link);
    ww_list_push_back(&w->queue, &e->link);
    return true;
}

static void watch_changed(struct ww_routing_observer *obs, const struct ww_record *before,
    const struct ww_record *after, bool renewed)
{
    struct ww_watch *w = WW_CONTAINER_OF(obs, struct ww_watch, obs);
    enum ww_watch_event event = w->state == WW_WATCH_BEGIN || renewed
        ? WW_WATCH_NONE
        : ww_query_classify(w->query, before, after, false);
    struct ww_bytes peer = after ? after->peer : before->peer;
    if (event == WW_WATCH_NONE || ww_map_get(&w->pending, peer))
        return;
    bool idle = w->state == WW_WATCH_LIVE && ww_list_empty(&w->queue);
    if (!entry_add(w, peer, event != WW_WATCH_JOINED))
        watch_restart(w);
    if (idle && w->wake)
        w->wake(w);
}

void ww_watch_init(struct ww_watch *w, struct ww_routing *table, struct ww_query *query,
    const uint64_t seed[2], size_t max_pending, void (*wake)(struct ww_watch *watch))
{
    memset(w, 0, sizeof *w);
    w->table = table;
    w->query = query;
    w->max_pending = max_pending;
    w->wake = wake;
    w->obs.changed = watch_changed;
    query->limit = 0;
    ww_map_init(&w->pending, entry_key, seed);
    ww_list_init(&w->queue);
    ww_routing_observe(table, &w->obs);
}

void ww_watch_fini(struct ww_watch *w)
{
    ww_routing_unobserve(&w->obs);
    watch_restart(w);
    ww_map_fini(&w->pending);
}

static ww_err watch_begin(struct ww_watch *w, struct ww_watch_item *item)
{
    struct ww_snapshot *snap = ww_routing_snapshot(w->table);
    if (!snap)
        return WW_ENOMEM;
    ww_err err = ww_query_run_init(&w->run, w->query, snap);
    ww_snapshot_unref(snap);
    if (err < 0)
        return err;
    w->state = WW_WATCH_FIRST;
    item->kind = WW_WATCH_ITEM_RESET;
    return 1;
}

static ww_err watch_first(struct ww_watch *w, size_t max_examined, struct ww_watch_item *item)
{
    ww_err got = ww_query_run_next(&w->run, max_examined, &item->record);
    if (got == 1) {
        item->kind = WW_WATCH_ITEM_RECORD;
        item->peer = item->record.peer;
    } else if (got == 0) {
        ww_query_run_fini(&w->run);
        w->state = WW_WATCH_LIVE;
        item->kind = WW_WATCH_ITEM_READY;
        got = 1;
    }
    return got;
}

static ww_err watch_live(struct ww_watch *w, size_t max_examined, struct ww_watch_item *item)
{
    for (size_t examined = 0; !ww_list_empty(&w->queue); examined++) {
        if (examined >= max_examined)
            return WW_EAGAIN;
        struct entry *e = WW_LIST_ENTRY(w->queue.next, struct entry, link);
        bool known = e->known;
        size_t len = e->peer_len;
        memcpy(w->last, e->peer, len);
        entry_drop(w, e);
        item->peer = ww_bytes(w->last, len);
        bool present = ww_routing_get(w->table, item->peer, &item->record) == 0 &&
            ww_query_matches(w->query, &item->record);
        if (!present && !known)
            continue; /* came and went unseen */
        item->kind = present ? WW_WATCH_ITEM_RECORD : WW_WATCH_ITEM_LEFT;
        return 1;
    }
    return 0;
}

ww_err ww_watch_next(struct ww_watch *w, size_t max_examined, struct ww_watch_item *ret_item)
{
    if (w->state == WW_WATCH_BEGIN)
        return watch_begin(w, ret_item);
    if (w->state == WW_WATCH_FIRST)
        return watch_first(w, max_examined, ret_item);
    return watch_live(w, max_examined, ret_item);
}
