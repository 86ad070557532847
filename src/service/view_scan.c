/* Selectors and constraints as the Go implementation defines them, on the table's indexes. */
#include "service/view_int.h"

static enum ww_index index_kind(struct ww_View_Index_r index)
{
    switch (ww_View_Index_which(index)) {
    case ww_View_Index_which_server:
        return WW_INDEX_SERVER;
    case ww_View_Index_which_host:
        return WW_INDEX_HOST;
    case ww_View_Index_which_meta:
        return WW_INDEX_META;
    case ww_View_Index_which_peer:
    default:
        return WW_INDEX_ID;
    }
}

static struct ww_bytes index_text(struct ww_View_Index_r index)
{
    switch (ww_View_Index_which(index)) {
    case ww_View_Index_which_server:
        return ww_View_Index_server(index);
    case ww_View_Index_which_host:
        return ww_View_Index_host(index);
    case ww_View_Index_which_meta:
        return ww_View_Index_meta(index);
    case ww_View_Index_which_peer:
    default:
        return ww_View_Index_peer(index);
    }
}

static ww_err apply_to(struct ww_scan *scan, bool all, struct ww_View_Index_r to, struct ww_diag *diag)
{
    enum ww_index kind = index_kind(to);
    if (all)
        scan->index = kind;
    if (kind != scan->index)
        return ww_diag_set(
            diag, WW_EFAILED, "invalid index: the bound is on another index than the selector");
    /* In reverse the stretch ends at its lower side. */
    *(scan->reverse ? &scan->lo : &scan->hi) = (struct ww_bound){WW_BOUND_INCL, index_text(to)};
    return 0;
}

static ww_err apply_constraint(
    struct ww_scan *scan, bool all, struct ww_View_Constraint_r c, uint64_t *limit, struct ww_diag *diag)
{
    uint64_t n;
    switch (ww_View_Constraint_which(c)) {
    case ww_View_Constraint_which_limit:
        n = ww_View_Constraint_limit(c);
        if (n == 0)
            return ww_diag_set(diag, WW_EFAILED, "expected limit > 0 (got 0)");
        if (*limit == 0 || n < *limit)
            *limit = n;
        return 0;
    case ww_View_Constraint_which_to:
        return apply_to(scan, all, ww_View_Constraint_to(c), diag);
    default:
        return ww_diag_set(diag, WW_EUNIMPLEMENTED, "invalid constraint: this node does not know it");
    }
}

ww_err ww_view_scan_parse(struct ww_View_Selector_r selector, struct ww_View_Constraint_l constraints,
    bool reversed, struct ww_scan *ret_scan, uint64_t *ret_limit, struct ww_diag *diag)
{
    struct ww_View_Index_r index;
    bool all = false;
    *ret_limit = 0;
    switch (ww_View_Selector_which(selector)) {
    case ww_View_Selector_which_all:
        *ret_scan = ww_scan_all(WW_INDEX_ID);
        all = true;
        break;
    case ww_View_Selector_which_match:
        index = ww_View_Selector_match(selector);
        *ret_scan = ww_View_Index_prefix(index) || index_text(index).len == 0
            ? ww_scan_prefix(index_kind(index), index_text(index))
            : ww_scan_exact(index_kind(index), index_text(index));
        break;
    case ww_View_Selector_which_from:
        index = ww_View_Selector_from(selector);
        *ret_scan = ww_scan_all(index_kind(index));
        *(reversed ? &ret_scan->hi : &ret_scan->lo) = (struct ww_bound){WW_BOUND_INCL, index_text(index)};
        break;
    default:
        return ww_diag_set(diag, WW_EUNIMPLEMENTED, "invalid selector: this node does not know it");
    }
    ret_scan->reverse = reversed;
    for (uint32_t i = 0; i < constraints.l.count; i++)
        WW_TRY(apply_constraint(ret_scan, all, ww_View_Constraint_l_at(constraints, i), ret_limit, diag));
    return 0;
}

void ww_view_record_fill(struct ww_View_Record_b out, const struct ww_record *record)
{
    struct ww_Heartbeat_b beat = ww_View_Record_init_heartbeat(out);
    ww_View_Record_set_peer(out, record->peer);
    ww_View_Record_set_server(out, record->server);
    ww_View_Record_set_seq(out, record->seq);
    ww_Heartbeat_set_ttl(beat, record->ttl_ms);
    ww_Heartbeat_set_server(beat, record->server);
    ww_Heartbeat_set_host(beat, record->host);
    struct ww_lb meta = ww_Heartbeat_init_meta(beat, record->meta_count);
    for (uint32_t i = 0; i < record->meta_count; i++)
        ww_pb_set_text(ww_lb_ptr(meta, i), ww_record_meta(record, i));
}
