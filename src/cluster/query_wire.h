/* cluster/query_wire.h — queries and records in Cap'n Proto form (schema/cluster.capnp): for the view's
 * server and client.
 *
 * Decoding copies; nothing of the message is kept. Limits are those of cluster/query.h.
 */
#ifndef WW_CLUSTER_QUERY_WIRE_H
#define WW_CLUSTER_QUERY_WIRE_H

#include "cluster/query.h"
#include "schema/cluster.capnp.h"

#define WW_BATCH_ROWS_MAX 256

/* Builder errors are latched in the message. */
void ww_query_encode(const struct ww_query *query, struct ww_View_Query_b to);
/* Into a fresh query. WW_EINVAL (order, unknown field), WW_ELIMIT, WW_EDEPTH, or the message's error. */
WW_MUST_USE ww_err ww_query_decode(struct ww_View_Query_r from, struct ww_query *query, struct ww_diag *diag);

/* What View.iter and View.lookup take, as a scan over one index; texts point into the message. The prefix
 * flag is honoured, `to` is inclusive and must be on the selector's index. WW_EINVAL with the reason in
 * `diag`. `*ret_limit` 0: none. */
WW_MUST_USE ww_err ww_scan_decode(struct ww_View_Selector_r selector, struct ww_View_Constraint_l constraints,
    struct ww_scan *ret_scan, uint64_t *ret_limit, struct ww_diag *diag);

/* View.Record as the Go implementation writes it, with `server` filled in as well. */
void ww_record_encode(const struct ww_record *record, struct ww_View_Record_b to);

/* Writes batches. The scratch memory is kept from batch to batch. */
struct ww_batch_writer {
    uint64_t *places; /* atom in the high half, 1 + place in `strings` in the low; 0: empty */
    uint32_t capacity;
    uint32_t *used; /* atoms by place */
    uint32_t used_count, used_capacity;
};

void ww_batch_writer_init(struct ww_batch_writer *w);
void ww_batch_writer_fini(struct ww_batch_writer *w);
/* At most WW_BATCH_ROWS_MAX records of one table. `projection`: enum ww_projection bits. WW_ENOMEM. */
WW_MUST_USE ww_err ww_batch_write(struct ww_batch_writer *w, const struct ww_record *records, size_t count,
    uint32_t projection, struct ww_View_Batch_b to);
/* The metadata string of a row; the empty view for a place that does not exist. */
struct ww_bytes ww_batch_string(struct ww_View_Batch_r batch, struct ww_View_Row_r row, uint32_t index);

#endif
