/* Planning and execution. The planner picks stretches of indexes that hold every match; the whole condition
 * is then checked on each record. */
#include "cluster/query_int.h"

#include <stdlib.h>

/* Ordered queries: matches are gathered and sorted when there are so few that this beats walking the order
 * index. */
#define SORT_MAX 16384
#define SORT_GAIN 8

struct plan {
    struct ww_scan scans[WW_QUERY_SCANS_MAX];
    size_t count, estimate;
};

/* Scans that cover all that the node matches. False when no index helps. */
static bool plan_node(const struct ww_query *q, struct ww_snapshot *snap, uint16_t node, struct plan *plan)
{
    const struct ww_filter *f = &q->nodes[node];
    switch ((enum ww_filter_op)f->op) {
    case WW_FILTER_CMP:
        plan->scans[0] = query_scan_of(f);
        plan->count = 1;
        plan->estimate = ww_scan_estimate(snap, &plan->scans[0]);
        return true;
    case WW_FILTER_AND: {
        bool any = false;
        for (uint16_t at = f->child; at; at = q->nodes[at].next) {
            struct plan other;
            if (plan_node(q, snap, at, &other) && (!any || other.estimate < plan->estimate)) {
                *plan = other;
                any = true;
            }
        }
        return any;
    }
    case WW_FILTER_OR: {
        struct plan sum = {.count = 0};
        for (uint16_t at = f->child; at; at = q->nodes[at].next) {
            struct plan other;
            if (!plan_node(q, snap, at, &other) || sum.count + other.count > WW_QUERY_SCANS_MAX)
                return false;
            memcpy(&sum.scans[sum.count], other.scans, other.count * sizeof *other.scans);
            sum.count += other.count;
            sum.estimate += other.estimate;
        }
        *plan = sum;
        return true;
    }
    case WW_FILTER_ALL:
    case WW_FILTER_NOT:
        break;
    }
    return false;
}

static void run_add(struct ww_query_run *run, const struct ww_scan *scan, bool reverse)
{
    run->scans[run->scan_count] = *scan;
    run->scans[run->scan_count++].reverse = reverse;
}

/* Along the order index. It does not hold records without a host: they come from the id index, before the
 * others. */
static void plan_ordered(struct ww_query_run *run)
{
    const struct ww_query *q = run->query;
    struct ww_scan bounds = query_bounds(q), all = ww_scan_all(WW_INDEX_ID);
    bool hostless = bounds.index == WW_INDEX_HOST && bounds.lo.kind == WW_BOUND_NONE;
    run->scan_count = 0;
    run->sorting = false;
    if (hostless && !q->descending) {
        run->hostless = 1;
        run_add(run, &all, false);
    }
    run_add(run, &bounds, q->descending);
    if (hostless && q->descending) {
        run_add(run, &all, true);
        run->hostless = run->scan_count;
    }
}

static void plan_query(struct ww_query_run *run)
{
    const struct ww_query *q = run->query;
    struct plan plan;
    struct ww_scan bounds = query_bounds(q);
    size_t along = ww_scan_estimate(run->snap, &bounds);
    bool indexed = q->root && plan_node(q, run->snap, q->root, &plan);
    if (!indexed || plan.estimate >= along ||
        (q->ordered && (plan.estimate > SORT_MAX / 2 || plan.estimate * SORT_GAIN > along))) {
        plan_ordered(run);
        return;
    }
    /* One scan along the order index gives the order by itself. */
    bool in_order = plan.count == 1 && plan.scans[0].index == bounds.index;
    run->sorting = q->ordered && !in_order;
    for (size_t i = 0; i < plan.count; i++)
        run_add(run, &plan.scans[i], q->descending && !run->sorting);
}

ww_err ww_query_run_init(struct ww_query_run *run, const struct ww_query *query, struct ww_snapshot *snap)
{
    if (query->ordered && query->order == WW_INDEX_META)
        return WW_EINVAL;
    memset(run, 0, sizeof *run);
    run->query = query;
    run->snap = ww_snapshot_ref(snap);
    plan_query(run);
    return 0;
}

void ww_query_run_fini(struct ww_query_run *run)
{
    if (run->iterating)
        ww_scan_fini(&run->iter);
    run->iterating = false;
    ww_free(run->slots);
    run->slots = NULL;
    ww_snapshot_unref(run->snap);
    run->snap = NULL;
}

/* ---- execution ---- */

static bool run_accepts(const struct ww_query_run *run, const struct ww_record *r)
{
    size_t at = run->scan_at;
    if (run->hostless == at + 1 && r->host.len > 0)
        return false;
    for (size_t i = 0; i < at; i++) {
        if (run->hostless != i + 1 && ww_scan_covers(&run->scans[i], r))
            return false;
    }
    return ww_query_matches(run->query, r);
}

/* The next match in the order of the scans: 1, 0, WW_EAGAIN. */
static ww_err run_scan(struct ww_query_run *run, size_t max_examined, struct ww_record *r)
{
    for (size_t examined = 0; run->scan_at < run->scan_count;) {
        if (!run->iterating) {
            ww_scan_init(&run->iter, run->snap, &run->scans[run->scan_at]);
            run->iterating = true;
        }
        if (!ww_scan_next(&run->iter, r)) {
            ww_scan_fini(&run->iter);
            run->iterating = false;
            run->scan_at++;
            continue;
        }
        run->examined++;
        if (run_accepts(run, r))
            return 1;
        if (++examined >= max_examined)
            return WW_EAGAIN;
    }
    return 0;
}

static int slot_cmp(const void *a, const void *b, void *ctx)
{
    const struct ww_query_run *run = ctx;
    struct ww_record x, y;
    ww_snapshot_record(run->snap, *(const uint32_t *)a, &x);
    ww_snapshot_record(run->snap, *(const uint32_t *)b, &y);
    int c = ww_record_cmp(run->query->order, &x, &y);
    return run->query->descending ? -c : c;
}

static ww_err slots_add(struct ww_query_run *run, uint32_t slot)
{
    if (run->slot_count == run->slot_capacity) {
        size_t capacity = run->slot_capacity ? run->slot_capacity * 2 : 64;
        uint32_t *grown = ww_realloc(run->slots, capacity * sizeof *grown);
        if (!grown)
            return WW_ENOMEM;
        run->slots = grown;
        run->slot_capacity = capacity;
    }
    run->slots[run->slot_count++] = slot;
    return 0;
}

/* Gathers all matches, then sorts them. More of them than estimated: begins anew along the order index. */
static ww_err run_gather(struct ww_query_run *run, size_t max_examined)
{
    struct ww_record r;
    for (size_t gathered = 0; gathered < max_examined; gathered++) {
        ww_err got = run_scan(run, max_examined, &r);
        if (got < 0)
            return got;
        if (got == 0) {
            if (run->slot_count > 1)
                qsort_r(run->slots, run->slot_count, sizeof *run->slots, slot_cmp, run);
            run->sorted = true;
            return 0;
        }
        if (run->slot_count == SORT_MAX) {
            ww_scan_fini(&run->iter);
            run->iterating = false;
            run->scan_at = 0;
            plan_ordered(run);
            return 0;
        }
        WW_TRY(slots_add(run, r.slot));
    }
    return WW_EAGAIN;
}

ww_err ww_query_run_next(struct ww_query_run *run, size_t max_examined, struct ww_record *ret_record)
{
    if (run->query->limit && run->yielded >= run->query->limit)
        return 0;
    if (run->sorting && !run->sorted)
        WW_TRY(run_gather(run, max_examined));
    ww_err got = 0;
    if (!run->sorting) {
        got = run_scan(run, max_examined, ret_record);
    } else if (run->slot_at < run->slot_count) {
        ww_snapshot_record(run->snap, run->slots[run->slot_at++], ret_record);
        got = 1;
    }
    run->yielded += got == 1;
    return got;
}
