/* cluster/query_int.h — shared by the query's own files. */
#ifndef WW_CLUSTER_QUERY_INT_H
#define WW_CLUSTER_QUERY_INT_H

#include "cluster/query.h"

/* The stretch of an index in which a comparison holds: what it is to the planner and to the matcher. */
struct ww_scan query_scan_of(const struct ww_filter *cmp);
/* The bounds `from` and `to`, on the order index. */
struct ww_scan query_bounds(const struct ww_query *query);

#endif
