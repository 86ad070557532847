/* service/view.h — the View capability: the routing table as others may see it.
 *
 * lookup, iter and reverse are those of the Go implementation, with its constraints applied and its flags
 * honoured; query and watch are ours (schema/cluster.capnp). Each call works on a snapshot of its own and
 * sends its matches as a stream under flow control: a slow reader keeps a snapshot, never a queue, and that
 * for a minute at most, because while the table changes every snapshot is one more table. What all runs
 * together need per loop turn is bounded, and a connection can have only a few of them at a time.
 */
#ifndef WW_SERVICE_VIEW_H
#define WW_SERVICE_VIEW_H

#include "cluster/routing.h"
#include "env/env.h"
#include "ww/rpc.h"

#define WW_VIEW_RUNS_PER_CONN 16
#define WW_VIEW_RUNS_MAX 1024
/* Every change of the table goes through the filters of all standing queries: so many comparisons and
 * operators they may have together. At half a microsecond each, for a record with 64 fields. */
#define WW_VIEW_WATCH_NODES_PER_CONN 256
#define WW_VIEW_WATCH_NODES_MAX 4096
/* How long a run may take until its reader has all that its snapshot holds. A standing query is free of this
 * once its reader has caught up. */
#define WW_VIEW_SNAPSHOT_NS (60 * WW_NS_PER_S)

/* `env` and `table` outlive the capability and all that it handed out. WW_ENOMEM. */
WW_MUST_USE ww_err ww_view_new(
    struct ww_env *env, struct ww_rpc_vat *vat, struct ww_routing *table, struct ww_cap **ret_cap);

#endif
