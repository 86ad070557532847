/* service/view_int.h — inside the view. */
#ifndef WW_SERVICE_VIEW_INT_H
#define WW_SERVICE_VIEW_INT_H

#include "cluster/query_wire.h"
#include "schema/cluster.capnp.rpc.h"
#include "service/view.h"

/* What the view and its reverse share; lives as long as one of them or a run. */
struct ww_view_core {
    uint32_t refs;
    struct ww_env *env;
    struct ww_rpc_vat *vat;
    struct ww_routing *table;
    struct ww_list runs; /* struct ww_view_run and struct ww_view_watch, by their `slot` */
    size_t run_count;
};

struct ww_view_core *ww_view_core_ref(struct ww_view_core *core);
void ww_view_core_unref(struct ww_view_core *core);

struct ww_view {
    struct ww_View_server server;
    struct ww_view_core *core;
    bool reversed;
};

/* A place among the runs, counted by connection. */
struct ww_view_slot {
    struct ww_list link;
    struct ww_rpc_conn *conn;
    uint32_t nodes;        /* of a standing query's filter */
    struct ww_timer timer; /* `fired` is the run's: it has held its snapshot for too long */
};
/* `slot->nodes` is set. WW_EOVERLOADED when the connection, or the node, has too many. */
WW_MUST_USE ww_err ww_view_slot_take(
    struct ww_view_core *core, struct ww_view_slot *slot, struct ww_rpc_conn *conn);
void ww_view_slot_give(struct ww_view_core *core, struct ww_view_slot *slot);
/* Says whether the run holds a snapshot: the time begins when it takes one and stops when it lets go. */
void ww_view_slot_holds(struct ww_view_core *core, struct ww_view_slot *slot, bool snapshot);
/* How many records a run may look at before others get their turn. All runs of one turn of the loop share
 * what a lone and simple one gets; `query` (may be NULL) makes each record as dear as its filter is. */
size_t ww_view_share(const struct ww_view_core *core, const struct ww_query *query);

/* The end of a run's call that is no success. `reason` "": the error's text. WW_ETIMEOUT: it stalled. */
void ww_view_fail(struct ww_rpc_call *call, ww_err err, const char *reason);

/* view.c: the stretch of an index that lookup and iter mean, in the view's direction. Texts are views into
 * the call's parameters. `ret_limit` 0: none. */
WW_MUST_USE ww_err ww_view_scan_parse(const struct ww_view *view, struct ww_View_Selector_r selector,
    struct ww_View_Constraint_l constraints, struct ww_scan *ret_scan, uint64_t *ret_limit,
    struct ww_diag *diag);

/* One file each. */
void ww_view_iter(struct ww_View_server *self, struct ww_rpc_call *call);
void ww_view_query(struct ww_View_server *self, struct ww_rpc_call *call);
void ww_view_watch(struct ww_View_server *self, struct ww_rpc_call *call);

#endif
