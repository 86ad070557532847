/* sim/node_check.h — what must hold of a routing table at any time, judged from outside.
 *
 * The oracle is a plain sort: records are collected once, sorted by each index's key, and compared with what
 * the table's scans yield: forward, backward, and narrowed to each key and to the first half of each key.
 * Nothing is kept; the table is not changed. Errors: WW_EFAILED, WW_ESTALE (deadlines), WW_ENOMEM, with a
 * text for people in `diag`.
 */
#ifndef WW_SIM_NODE_CHECK_H
#define WW_SIM_NODE_CHECK_H

#include "cluster/routing.h"

/* Every ordered index against the sort. */
WW_MUST_USE ww_err ww_node_check_indexes(struct ww_routing *table, struct ww_diag *diag);
/* No record is past its deadline by more than `late_ns`, and none further from it than its time to live. */
WW_MUST_USE ww_err ww_node_check_deadlines(
    struct ww_routing *table, uint64_t now_ns, uint64_t late_ns, struct ww_diag *diag);
/* Of everything that the snapshot shows, in order. */
uint64_t ww_node_snapshot_digest(struct ww_snapshot *snap);

#endif
