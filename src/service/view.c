#include "service/view_int.h"

/* Records looked at in one loop turn; and how large a filter costs nothing extra. */
#define EXAMINED_PER_TURN 4096u
#define SIMPLE_NODES 8u

struct ww_view_core *ww_view_core_ref(struct ww_view_core *core)
{
    core->refs++;
    return core;
}

void ww_view_core_unref(struct ww_view_core *core)
{
    if (--core->refs == 0)
        ww_free(core);
}

ww_err ww_view_slot_take(struct ww_view_core *core, struct ww_view_slot *slot, struct ww_rpc_conn *conn)
{
    size_t same = 0, same_nodes = slot->nodes, nodes = slot->nodes;
    if (core->run_count >= WW_VIEW_RUNS_MAX)
        return WW_EOVERLOADED;
    WW_LIST_FOR(it, &core->runs)
    {
        const struct ww_view_slot *other = WW_LIST_ENTRY(it, struct ww_view_slot, link);
        same += other->conn == conn;
        same_nodes += other->conn == conn ? other->nodes : 0;
        nodes += other->nodes;
    }
    if (same >= WW_VIEW_RUNS_PER_CONN || same_nodes > WW_VIEW_WATCH_NODES_PER_CONN ||
        nodes > WW_VIEW_WATCH_NODES_MAX)
        return WW_EOVERLOADED;
    slot->conn = conn;
    ww_list_push_back(&core->runs, &slot->link);
    core->run_count++;
    (void)ww_view_core_ref(core);
    return 0;
}

void ww_view_slot_holds(struct ww_view_core *core, struct ww_view_slot *slot, bool snapshot)
{
    if (!snapshot)
        core->env->ops->timer_cancel(core->env, &slot->timer);
    else if (!slot->timer.armed)
        core->env->ops->timer_set(core->env, &slot->timer, ww_env_now(core->env) + WW_VIEW_SNAPSHOT_NS);
}

size_t ww_view_share(const struct ww_view_core *core, const struct ww_query *query)
{
    size_t share = EXAMINED_PER_TURN / (core->run_count + 1);
    if (query)
        share /= 1 + query->node_count / SIMPLE_NODES;
    return share > 0 ? share : 1;
}

void ww_view_slot_give(struct ww_view_core *core, struct ww_view_slot *slot)
{
    ww_view_slot_holds(core, slot, false);
    ww_list_remove(&slot->link);
    core->run_count--;
    ww_view_core_unref(core);
}

void ww_view_fail(struct ww_rpc_call *call, ww_err err, const char *reason)
{
    if (err == WW_ETIMEOUT)
        ww_rpc_call_fail(call, WW_EOVERLOADED,
            "the reader is too slow: what matches at one moment has to be taken within a minute");
    else
        ww_rpc_call_fail(call, err, "%s", reason[0] ? reason : ww_err_text(err));
}

static struct ww_view *of(struct ww_View_server *self)
{
    return WW_CONTAINER_OF(self, struct ww_view, server);
}

ww_err ww_view_scan_parse(const struct ww_view *view, struct ww_View_Selector_r selector,
    struct ww_View_Constraint_l constraints, struct ww_scan *ret_scan, uint64_t *ret_limit,
    struct ww_diag *diag)
{
    WW_TRY(ww_scan_decode(selector, constraints, ret_scan, ret_limit, diag));
    if (!view->reversed)
        return 0;
    ret_scan->reverse = true;
    /* "From here to there" begins at the other side now; what all begin with stays what it is. */
    if (ret_scan->hi.kind != WW_BOUND_PREFIX) {
        struct ww_bound lo = ret_scan->lo;
        ret_scan->lo = ret_scan->hi;
        ret_scan->hi = lo;
    }
    return 0;
}

static void lookup(struct ww_View_server *self, struct ww_rpc_call *call)
{
    struct ww_view *view = of(self);
    struct ww_View_lookup_params_r params = ww_View_lookup_params(call);
    struct ww_scan scan;
    struct ww_scan_iter it;
    struct ww_record record;
    struct ww_diag diag;
    uint64_t limit;
    ww_err err = ww_view_scan_parse(view, ww_View_lookup_params_selector(params),
        ww_View_lookup_params_constraints(params), &scan, &limit, &diag);
    if (err < 0) {
        ww_rpc_call_fail(call, err, "%s", diag.text);
        return;
    }
    struct ww_snapshot *snap = ww_routing_snapshot(view->core->table);
    if (!snap) {
        ww_rpc_call_fail(call, WW_EOVERLOADED, "lookup: out of memory");
        return;
    }
    ww_scan_init(&it, snap, &scan);
    struct ww_View_lookup_results_b results = ww_View_lookup_answer(call);
    if (ww_scan_next(&it, &record))
        ww_record_encode(&record, ww_View_MaybeRecord_init_just(ww_View_lookup_results_init_result(results)));
    ww_scan_fini(&it);
    ww_snapshot_unref(snap);
    ww_rpc_call_return(call);
}

static ww_err view_make(struct ww_view_core *core, bool reversed, struct ww_cap **ret_cap);

static void reverse(struct ww_View_server *self, struct ww_rpc_call *call)
{
    struct ww_view *view = of(self);
    struct ww_cap *cap;
    if (view_make(view->core, !view->reversed, &cap) < 0) {
        ww_rpc_call_fail(call, WW_EOVERLOADED, "reverse: out of memory");
        return;
    }
    ww_View_reverse_results_set_view(ww_View_reverse_answer(call), cap);
    ww_cap_unref(cap);
    ww_rpc_call_return(call);
}

static void drop(struct ww_View_server *self)
{
    struct ww_view *view = of(self);
    ww_view_core_unref(view->core);
    ww_free(view);
}

static const struct ww_View_ops view_ops = {
    .lookup = lookup,
    .iter = ww_view_iter,
    .reverse = reverse,
    .query = ww_view_query,
    .watch = ww_view_watch,
    .drop = drop,
};

static ww_err view_make(struct ww_view_core *core, bool reversed, struct ww_cap **ret_cap)
{
    struct ww_view *view = WW_NEW(struct ww_view);
    if (!view)
        return WW_ENOMEM;
    ww_View_server_init(&view->server, &view_ops);
    view->reversed = reversed;
    ww_err err = ww_View_server_cap(core->vat, &view->server, ret_cap);
    if (err < 0) {
        ww_free(view);
        return err;
    }
    view->core = ww_view_core_ref(core);
    return 0;
}

ww_err ww_view_new(
    struct ww_env *env, struct ww_rpc_vat *vat, struct ww_routing *table, struct ww_cap **ret_cap)
{
    struct ww_view_core *core = WW_NEW(struct ww_view_core);
    if (!core)
        return WW_ENOMEM;
    *core = (struct ww_view_core){.refs = 1, .env = env, .vat = vat, .table = table};
    ww_list_init(&core->runs);
    ww_err err = view_make(core, false, ret_cap);
    ww_view_core_unref(core);
    return err;
}
