/* cluster/watch.h — a standing query: the records that match now, then every difference, for one slow or fast
 * reader.
 *
 * The reader pulls. What happens meanwhile is coalesced to one entry a peer, which holds only its id: what
 * the entry means is decided when it is pulled, from what the reader knows and what the table then says. When
 * more than `max_pending` peers wait, they are dropped and the reader begins anew (WW_WATCH_ITEM_RESET), so a
 * watch holds bounded memory.
 *
 * Caller's storage; must not be moved while live. The query is borrowed; its limit is cleared. The table
 * outlives the watch. Thread: the loop's.
 */
#ifndef WW_CLUSTER_WATCH_H
#define WW_CLUSTER_WATCH_H

#include "base/map.h"
#include "cluster/query.h"

enum ww_watch_item_kind {
    WW_WATCH_ITEM_RESET,  /* forget everything: all that matches follows */
    WW_WATCH_ITEM_READY,  /* the reader knows all that matched at one moment; differences follow */
    WW_WATCH_ITEM_RECORD, /* joined, or changed */
    WW_WATCH_ITEM_LEFT,   /* gone, or no longer matching: only `peer` */
};

struct ww_watch_item {
    enum ww_watch_item_kind kind;
    struct ww_record record; /* RECORD: valid until the table changes */
    struct ww_bytes peer;    /* RECORD, LEFT: valid until the next call */
};

struct ww_watch {
    struct ww_routing_observer obs;
    struct ww_routing *table;
    struct ww_query *query;
    struct ww_query_run run;
    struct ww_map pending; /* by peer id */
    struct ww_list queue;  /* the same in order */
    size_t max_pending;
    uint8_t last[WW_ROUTING_PEER_MAX];
    enum { WW_WATCH_BEGIN, WW_WATCH_FIRST, WW_WATCH_LIVE } state;
    /* There is something to pull, after a time without. Called while the table changes: pull later. May be
     * NULL. */
    void (*wake)(struct ww_watch *watch);
};

void ww_watch_init(struct ww_watch *watch, struct ww_routing *table, struct ww_query *query,
    const uint64_t seed[2], size_t max_pending, void (*wake)(struct ww_watch *watch));
void ww_watch_fini(struct ww_watch *watch);
/* 1: an item; 0: nothing until `wake`; WW_EAGAIN: `max_examined` records were looked at, call again;
 * WW_ENOMEM: try again later. */
WW_MUST_USE ww_err ww_watch_next(struct ww_watch *watch, size_t max_examined, struct ww_watch_item *ret_item);

#endif
