#include "cluster/query_wire.h"

_Static_assert((int)ww_View_Field_peer == WW_INDEX_ID && (int)ww_View_Field_server == WW_INDEX_SERVER &&
        (int)ww_View_Field_host == WW_INDEX_HOST && (int)ww_View_Field_meta == WW_INDEX_META,
    "fields on the wire are numbered as indexes");
_Static_assert((int)ww_View_Comparison_prefix == WW_CMP_PREFIX &&
        (int)ww_View_Comparison_equal == WW_CMP_EQ && (int)ww_View_Comparison_less == WW_CMP_LT &&
        (int)ww_View_Comparison_lessOrEqual == WW_CMP_LE && (int)ww_View_Comparison_greater == WW_CMP_GT &&
        (int)ww_View_Comparison_greaterOrEqual == WW_CMP_GE,
    "comparisons on the wire are numbered as ours");

/* ---- filters ---- */

static struct ww_bytes or_empty(struct ww_bytes text)
{
    return text.ptr ? text : ww_bytes("", 0);
}

static void filter_encode(const struct ww_query *q, uint16_t node, struct ww_View_Filter_b to)
{
    const struct ww_filter *f = &q->nodes[node];
    if (f->op == WW_FILTER_ALL) {
        ww_View_Filter_set_all(to);
    } else if (f->op == WW_FILTER_NOT) {
        filter_encode(q, f->child, ww_View_Filter_init_not(to));
    } else if (f->op == WW_FILTER_CMP) {
        struct ww_View_Filter_compare_b cmp = ww_View_Filter_get_compare(to);
        bool meta = f->field == WW_INDEX_META;
        ww_View_Filter_compare_set_field(cmp, (enum ww_View_Field)f->field);
        ww_View_Filter_compare_set_comparison(cmp, (enum ww_View_Comparison)f->cmp);
        if (meta)
            ww_View_Filter_compare_set_key(cmp, or_empty(f->key));
        ww_View_Filter_compare_set_value(
            cmp, or_empty(meta ? ww_bytes_skip(f->value, f->key.len + 1) : f->value));
    } else {
        uint32_t count = 0;
        for (uint16_t at = f->child; at; at = q->nodes[at].next)
            count++;
        struct ww_View_Filter_lb list =
            f->op == WW_FILTER_AND ? ww_View_Filter_init_and(to, count) : ww_View_Filter_init_or(to, count);
        count = 0;
        for (uint16_t at = f->child; at; at = q->nodes[at].next)
            filter_encode(q, at, ww_View_Filter_lb_at(list, count++));
    }
}

/* An empty AND is true, an empty OR false. */
static ww_err constant_node(struct ww_query *q, bool value, uint16_t *ret_node)
{
    /* Every record has an id: "id starts with nothing". */
    WW_TRY(ww_query_cmp(
        q, WW_INDEX_ID, WW_CMP_PREFIX, (struct ww_bytes){NULL, 0}, (struct ww_bytes){NULL, 0}, ret_node));
    return value ? 0 : ww_query_not(q, *ret_node, ret_node);
}

static ww_err filter_decode(
    struct ww_View_Filter_r from, struct ww_query *q, unsigned depth, uint16_t *ret_node);

static ww_err list_decode(struct ww_View_Filter_l list, enum ww_filter_op op, struct ww_query *q,
    unsigned depth, uint16_t *ret_node)
{
    uint16_t node = 0, operand;
    if (list.l.count == 0)
        return constant_node(q, op == WW_FILTER_AND, ret_node);
    if (list.l.count >= WW_QUERY_NODES_MAX)
        return WW_ELIMIT;
    for (uint32_t i = 0; i < list.l.count; i++) {
        WW_TRY(filter_decode(ww_View_Filter_l_at(list, i), q, depth, &operand));
        if (i == 0)
            node = operand;
        else
            WW_TRY(ww_query_join(q, op, node, operand, &node));
    }
    *ret_node = node;
    return 0;
}

static ww_err filter_decode(
    struct ww_View_Filter_r from, struct ww_query *q, unsigned depth, uint16_t *ret_node)
{
    if (depth >= WW_QUERY_DEPTH_MAX)
        return WW_EDEPTH;
    switch (ww_View_Filter_which(from)) {
    case ww_View_Filter_which_all:
        return constant_node(q, true, ret_node);
    case ww_View_Filter_which_and:
        return list_decode(ww_View_Filter_and(from), WW_FILTER_AND, q, depth + 1, ret_node);
    case ww_View_Filter_which_or:
        return list_decode(ww_View_Filter_or(from), WW_FILTER_OR, q, depth + 1, ret_node);
    case ww_View_Filter_which_not:
        WW_TRY(filter_decode(ww_View_Filter_not(from), q, depth + 1, ret_node));
        return ww_query_not(q, *ret_node, ret_node);
    case ww_View_Filter_which_compare:
        break;
    default:
        return WW_EINVAL;
    }
    struct ww_View_Filter_compare_r cmp = ww_View_Filter_compare(from);
    unsigned field = ww_View_Filter_compare_field(cmp), comparison = ww_View_Filter_compare_comparison(cmp);
    if (field > WW_INDEX_META || comparison > WW_CMP_GE)
        return WW_EINVAL;
    return ww_query_cmp(q, (enum ww_index)field, (enum ww_cmp)comparison, ww_View_Filter_compare_key(cmp),
        ww_View_Filter_compare_value(cmp), ret_node);
}

/* ---- queries ---- */

void ww_query_encode(const struct ww_query *q, struct ww_View_Query_b to)
{
    if (q->root)
        filter_encode(q, q->root, ww_View_Query_init_filter(to));
    ww_View_Query_set_ordered(to, q->ordered);
    ww_View_Query_set_order(to, (enum ww_View_Field)q->order);
    ww_View_Query_set_descending(to, q->descending);
    ww_View_Query_set_countOnly(to, q->count_only);
    if (q->from.kind != WW_BOUND_NONE)
        ww_View_Query_set_from(to, or_empty(q->from.text));
    if (q->to.kind != WW_BOUND_NONE)
        ww_View_Query_set_to(to, or_empty(q->to.text));
    ww_View_Query_set_limit(to, q->limit);
    ww_View_Query_set_projection(to, q->projection);
}

static ww_err bound_decode(struct ww_query *q, bool present, struct ww_bytes text, struct ww_bound *ret_bound)
{
    if (!present)
        return 0;
    WW_TRY(ww_query_text(q, text, &ret_bound->text));
    ret_bound->kind = WW_BOUND_INCL;
    return 0;
}

ww_err ww_query_decode(struct ww_View_Query_r from, struct ww_query *q, struct ww_diag *diag)
{
    unsigned order = ww_View_Query_order(from);
    q->ordered = ww_View_Query_ordered(from);
    if (q->ordered && order >= WW_INDEX_META)
        return ww_diag_set(diag, WW_EINVAL, "cannot order by this field");
    q->order = q->ordered ? (enum ww_index)order : WW_INDEX_ID;
    q->descending = ww_View_Query_descending(from);
    q->count_only = ww_View_Query_countOnly(from);
    q->limit = ww_View_Query_limit(from);
    uint32_t projection = ww_View_Query_projection(from) & WW_PROJECT_ALL;
    q->projection = projection ? projection : WW_PROJECT_ALL;
    ww_err err = 0;
    if (ww_View_Query_has_filter(from))
        err = filter_decode(ww_View_Query_filter(from), q, 0, &q->root);
    if (err == 0)
        err = bound_decode(q, ww_View_Query_has_from(from), ww_View_Query_from(from), &q->from);
    if (err == 0)
        err = bound_decode(q, ww_View_Query_has_to(from), ww_View_Query_to(from), &q->to);
    if (err < 0)
        return ww_diag_set(diag, err, "invalid query: %s", ww_err_text(err));
    return from.s.seg->msg ? ww_msg_err(from.s.seg->msg) : 0;
}

/* ---- selectors and constraints ---- */

static ww_err index_decode(struct ww_View_Index_r from, enum ww_index *ret_index, struct ww_bytes *ret_text)
{
    switch (ww_View_Index_which(from)) {
    case ww_View_Index_which_peer:
        *ret_index = WW_INDEX_ID;
        *ret_text = ww_View_Index_peer(from);
        return 0;
    case ww_View_Index_which_server:
        *ret_index = WW_INDEX_SERVER;
        *ret_text = ww_View_Index_server(from);
        return 0;
    case ww_View_Index_which_host:
        *ret_index = WW_INDEX_HOST;
        *ret_text = ww_View_Index_host(from);
        return 0;
    case ww_View_Index_which_meta:
        *ret_index = WW_INDEX_META;
        *ret_text = ww_View_Index_meta(from);
        return 0;
    }
    return WW_EINVAL;
}

static ww_err selector_decode(struct ww_View_Selector_r from, struct ww_scan *ret_scan, struct ww_diag *diag)
{
    enum ww_index index = WW_INDEX_ID;
    struct ww_bytes text;
    enum ww_View_Selector_which which = ww_View_Selector_which(from);
    if (which == ww_View_Selector_which_all) {
        *ret_scan = ww_scan_all(WW_INDEX_ID);
        return 0;
    }
    if (which != ww_View_Selector_which_match && which != ww_View_Selector_which_from)
        return ww_diag_set(diag, WW_EINVAL, "invalid selector: %u", (unsigned)which);
    bool match = which == ww_View_Selector_which_match;
    struct ww_View_Index_r ix = match ? ww_View_Selector_match(from) : ww_View_Selector_from(from);
    if (index_decode(ix, &index, &text) < 0)
        return ww_diag_set(diag, WW_EINVAL, "invalid index: %u", (unsigned)ww_View_Index_which(ix));
    *ret_scan = ww_scan_exact(index, text);
    /* An empty key stands for the whole index, as Go clients mean it. */
    if (match && (ww_View_Index_prefix(ix) || text.len == 0))
        *ret_scan = ww_scan_prefix(index, text);
    if (!match)
        ret_scan->hi = (struct ww_bound){WW_BOUND_NONE, {NULL, 0}};
    return 0;
}

/* Ends the scan behind `to`, unless it ends earlier already. */
static void scan_end(struct ww_scan *scan, struct ww_bytes text, bool prefix)
{
    struct ww_bound to = {prefix ? WW_BOUND_PREFIX : WW_BOUND_INCL, text};
    bool wider = scan->hi.kind == WW_BOUND_NONE || ww_bytes_cmp(text, scan->hi.text) < 0 ||
        (scan->hi.kind == WW_BOUND_PREFIX && ww_bytes_has_prefix(text, scan->hi.text));
    if (wider)
        scan->hi = to;
}

ww_err ww_scan_decode(struct ww_View_Selector_r selector, struct ww_View_Constraint_l constraints,
    struct ww_scan *ret_scan, uint64_t *ret_limit, struct ww_diag *diag)
{
    struct ww_scan scan;
    uint64_t limit = 0;
    WW_TRY(selector_decode(selector, &scan, diag));
    for (uint32_t i = 0; i < constraints.l.count; i++) {
        struct ww_View_Constraint_r c = ww_View_Constraint_l_at(constraints, i);
        enum ww_View_Constraint_which which = ww_View_Constraint_which(c);
        if (which == ww_View_Constraint_which_limit) {
            uint64_t n = ww_View_Constraint_limit(c);
            if (n == 0)
                return ww_diag_set(diag, WW_EINVAL, "expected limit > 0 (got 0)");
            limit = limit == 0 || n < limit ? n : limit;
        } else if (which == ww_View_Constraint_which_to) {
            enum ww_index index = WW_INDEX_ID;
            struct ww_bytes text;
            struct ww_View_Index_r ix = ww_View_Constraint_to(c);
            if (index_decode(ix, &index, &text) < 0 || index != scan.index)
                return ww_diag_set(
                    diag, WW_EINVAL, "invalid index: the end is not on the index of the selector");
            scan_end(&scan, text, ww_View_Index_prefix(ix));
        } else {
            return ww_diag_set(diag, WW_EINVAL, "invalid constraint: %u", (unsigned)which);
        }
    }
    *ret_scan = scan;
    *ret_limit = limit;
    return 0;
}

/* ---- records ---- */

void ww_record_encode(const struct ww_record *r, struct ww_View_Record_b to)
{
    ww_View_Record_set_peer(to, r->peer);
    ww_View_Record_set_server(to, r->server);
    ww_View_Record_set_seq(to, r->seq);
    struct ww_Heartbeat_b beat = ww_View_Record_init_heartbeat(to);
    ww_Heartbeat_set_ttl(beat, r->ttl_ms);
    ww_Heartbeat_set_server(beat, r->server);
    ww_Heartbeat_set_host(beat, or_empty(r->host));
    struct ww_lb meta = ww_Heartbeat_init_meta(beat, r->meta_count);
    for (uint32_t i = 0; i < r->meta_count; i++)
        ww_pb_set_text(ww_lb_ptr(meta, i), or_empty(ww_record_meta(r, i)));
}

/* ---- batches ---- */

void ww_batch_writer_init(struct ww_batch_writer *w)
{
    *w = (struct ww_batch_writer){0};
}

void ww_batch_writer_fini(struct ww_batch_writer *w)
{
    ww_free(w->places);
    ww_free(w->used);
    *w = (struct ww_batch_writer){0};
}

/* Room for `strings` different atoms, all places empty. */
static ww_err writer_prepare(struct ww_batch_writer *w, uint32_t strings)
{
    if (strings > w->used_capacity) {
        uint32_t capacity = 64;
        while (capacity < strings)
            capacity *= 2;
        uint32_t *used = ww_realloc(w->used, capacity * sizeof *used);
        if (!used)
            return WW_ENOMEM;
        w->used = used;
        w->used_capacity = capacity;
        uint64_t *places = ww_realloc(w->places, 2u * capacity * sizeof *places);
        if (!places) {
            w->used_capacity = 0;
            return WW_ENOMEM;
        }
        w->places = places;
        w->capacity = 2 * capacity;
    }
    w->used_count = 0;
    if (w->capacity)
        memset(w->places, 0, w->capacity * sizeof *w->places);
    return 0;
}

static uint32_t writer_place(struct ww_batch_writer *w, uint32_t atom)
{
    uint32_t mask = w->capacity - 1, i = atom * UINT32_C(2654435769) & mask;
    for (; w->places[i]; i = (i + 1) & mask) {
        if (w->places[i] >> 32 == atom)
            return (uint32_t)w->places[i] - 1;
    }
    w->used[w->used_count++] = atom;
    w->places[i] = (uint64_t)atom << 32 | w->used_count;
    return w->used_count - 1;
}

static void row_write(
    struct ww_batch_writer *w, const struct ww_record *r, uint32_t projection, struct ww_View_Row_b row)
{
    if (projection & WW_PROJECT_PEER)
        ww_View_Row_set_peer(row, r->peer);
    if (projection & WW_PROJECT_SERVER)
        ww_View_Row_set_server(row, r->server);
    if (projection & WW_PROJECT_SEQ)
        ww_View_Row_set_seq(row, r->seq);
    if (projection & WW_PROJECT_TTL)
        ww_View_Row_set_ttl(row, r->ttl_ms);
    if ((projection & WW_PROJECT_HOST) && r->host.len)
        ww_View_Row_set_host(row, r->host);
    if ((projection & WW_PROJECT_META) && r->meta_count) {
        struct ww_lb meta = ww_View_Row_init_meta(row, r->meta_count);
        for (uint32_t i = 0; i < r->meta_count; i++)
            ww_lb_set_u16(meta, i, (uint16_t)writer_place(w, r->meta_atoms[i]));
    }
}

ww_err ww_batch_write(struct ww_batch_writer *w, const struct ww_record *records, size_t count,
    uint32_t projection, struct ww_View_Batch_b to)
{
    uint32_t strings = 0;
    WW_ASSERT(count <= WW_BATCH_ROWS_MAX);
    for (size_t i = 0; i < count && (projection & WW_PROJECT_META); i++)
        strings += records[i].meta_count;
    WW_TRY(writer_prepare(w, strings));
    struct ww_View_Row_lb rows = ww_View_Batch_init_rows(to, (uint32_t)count);
    for (size_t i = 0; i < count; i++)
        row_write(w, &records[i], projection, ww_View_Row_lb_at(rows, (uint32_t)i));
    struct ww_lb texts = ww_View_Batch_init_strings(to, w->used_count);
    for (uint32_t i = 0; i < w->used_count; i++)
        ww_pb_set_text(ww_lb_ptr(texts, i), or_empty(ww_atom_text(records[0].table, w->used[i])));
    return 0;
}

struct ww_bytes ww_batch_string(struct ww_View_Batch_r batch, struct ww_View_Row_r row, uint32_t index)
{
    uint16_t place = ww_lr_u16(ww_View_Row_meta(row), index);
    return ww_pr_text(ww_lr_ptr(ww_View_Batch_strings(batch), place));
}
