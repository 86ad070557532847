/* The query as a tree: building, matching, printing. */
#include "cluster/query_int.h"

struct ww_query *ww_query_new(void)
{
    struct ww_query *q = WW_NEW(struct ww_query);
    if (!q)
        return NULL;
    q->node_count = 1;
    q->projection = WW_PROJECT_ALL;
    return q;
}

void ww_query_free(struct ww_query *q)
{
    ww_free(q);
}

/* ---- building ---- */

ww_err ww_query_text(struct ww_query *q, struct ww_bytes text, struct ww_bytes *ret_copy)
{
    if (text.len > (size_t)WW_QUERY_TEXT_MAX - q->text_used)
        return WW_ELIMIT;
    uint8_t *at = q->text + q->text_used;
    if (text.len)
        memcpy(at, text.ptr, text.len);
    q->text_used = (uint16_t)(q->text_used + text.len);
    *ret_copy = ww_bytes(at, text.len);
    return 0;
}

static ww_err node_new(struct ww_query *q, enum ww_filter_op op, uint16_t *ret_node)
{
    if (q->node_count >= WW_QUERY_NODES_MAX)
        return WW_ELIMIT;
    q->nodes[q->node_count] = (struct ww_filter){.op = (uint8_t)op};
    *ret_node = q->node_count++;
    return 0;
}

/* `key=value` in one piece, for the metadata index. */
static ww_err pair_text(struct ww_query *q, struct ww_bytes key, struct ww_bytes value, struct ww_filter *f)
{
    struct ww_bytes parts[3];
    if (memchr(key.ptr ? key.ptr : (const uint8_t *)"", '=', key.len))
        return WW_EINVAL;
    if (key.len + 1 + value.len > (size_t)WW_QUERY_TEXT_MAX - q->text_used)
        return WW_ELIMIT;
    WW_TRY(ww_query_text(q, key, &parts[0]));
    WW_TRY(ww_query_text(q, WW_BYTES_LIT("="), &parts[1]));
    WW_TRY(ww_query_text(q, value, &parts[2]));
    f->key = parts[0];
    f->value = ww_bytes(parts[0].ptr, key.len + 1 + value.len);
    return 0;
}

ww_err ww_query_cmp(struct ww_query *q, enum ww_index field, enum ww_cmp cmp, struct ww_bytes key,
    struct ww_bytes value, uint16_t *ret_node)
{
    uint16_t node;
    uint16_t text_used = q->text_used;
    WW_TRY(node_new(q, WW_FILTER_CMP, &node));
    struct ww_filter *f = &q->nodes[node];
    f->field = (uint8_t)field;
    f->cmp = (uint8_t)cmp;
    ww_err err = field == WW_INDEX_META ? pair_text(q, key, value, f) : ww_query_text(q, value, &f->value);
    if (err < 0) {
        q->node_count--;
        q->text_used = text_used;
        return err;
    }
    *ret_node = node;
    return 0;
}

static unsigned node_depth(const struct ww_query *q, uint16_t node)
{
    unsigned deepest = 0;
    for (uint16_t at = q->nodes[node].child; at; at = q->nodes[at].next) {
        unsigned depth = node_depth(q, at);
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest + 1;
}

ww_err ww_query_not(struct ww_query *q, uint16_t node, uint16_t *ret_node)
{
    if (q->nodes[node].op == WW_FILTER_NOT) { /* twice not is not at all */
        *ret_node = q->nodes[node].child;
        return 0;
    }
    uint16_t made;
    if (node_depth(q, node) >= WW_QUERY_DEPTH_MAX)
        return WW_EDEPTH;
    WW_TRY(node_new(q, WW_FILTER_NOT, &made));
    q->nodes[made].child = node;
    *ret_node = made;
    return 0;
}

static uint16_t last_sibling(const struct ww_query *q, uint16_t node)
{
    while (q->nodes[node].next)
        node = q->nodes[node].next;
    return node;
}

ww_err ww_query_join(struct ww_query *q, enum ww_filter_op op, uint16_t a, uint16_t b, uint16_t *ret_node)
{
    uint16_t parent = a;
    if (q->nodes[a].op != op) {
        if (node_depth(q, a) >= WW_QUERY_DEPTH_MAX)
            return WW_EDEPTH;
        if (q->nodes[b].op != op && node_depth(q, b) >= WW_QUERY_DEPTH_MAX)
            return WW_EDEPTH;
        WW_TRY(node_new(q, op, &parent));
        q->nodes[parent].child = a;
    } else if (q->nodes[b].op != op && node_depth(q, b) >= WW_QUERY_DEPTH_MAX) {
        return WW_EDEPTH;
    }
    uint16_t operands = q->nodes[b].op == op ? q->nodes[b].child : b;
    q->nodes[last_sibling(q, q->nodes[parent].child)].next = operands;
    *ret_node = parent;
    return 0;
}

/* ---- matching ---- */

struct ww_scan query_scan_of(const struct ww_filter *f)
{
    struct ww_scan scan = {.index = (enum ww_index)f->field};
    struct ww_bytes all =
        f->field == WW_INDEX_META ? ww_bytes(f->value.ptr, f->key.len + 1) : (struct ww_bytes){NULL, 0};
    const struct ww_bound first = {f->field == WW_INDEX_META ? WW_BOUND_INCL : WW_BOUND_NONE, all};
    const struct ww_bound last = {f->field == WW_INDEX_META ? WW_BOUND_PREFIX : WW_BOUND_NONE, all};
    scan.lo = first;
    scan.hi = last;
    switch ((enum ww_cmp)f->cmp) {
    case WW_CMP_PREFIX:
        return ww_scan_prefix(scan.index, f->value);
    case WW_CMP_EQ:
        return ww_scan_exact(scan.index, f->value);
    case WW_CMP_LT:
        scan.hi = (struct ww_bound){WW_BOUND_EXCL, f->value};
        break;
    case WW_CMP_LE:
        scan.hi = (struct ww_bound){WW_BOUND_INCL, f->value};
        break;
    case WW_CMP_GT:
        scan.lo = (struct ww_bound){WW_BOUND_EXCL, f->value};
        break;
    case WW_CMP_GE:
        scan.lo = (struct ww_bound){WW_BOUND_INCL, f->value};
        break;
    }
    return scan;
}

struct ww_scan query_bounds(const struct ww_query *q)
{
    struct ww_scan bounds = {.index = q->ordered ? q->order : WW_INDEX_ID, .lo = q->from, .hi = q->to};
    if (bounds.lo.kind != WW_BOUND_NONE && bounds.lo.text.len == 0)
        bounds.lo.kind = WW_BOUND_NONE;
    return bounds;
}

/* Depth is limited when the tree is built. */
static bool node_matches(const struct ww_query *q, uint16_t node, const struct ww_record *r)
{
    const struct ww_filter *f = &q->nodes[node];
    struct ww_scan scan;
    switch ((enum ww_filter_op)f->op) {
    case WW_FILTER_ALL:
        return true;
    case WW_FILTER_CMP:
        scan = query_scan_of(f);
        return ww_scan_covers(&scan, r);
    case WW_FILTER_NOT:
        return !node_matches(q, f->child, r);
    case WW_FILTER_AND:
    case WW_FILTER_OR:
        for (uint16_t at = f->child; at; at = q->nodes[at].next) {
            if (node_matches(q, at, r) == (f->op == WW_FILTER_OR))
                return f->op == WW_FILTER_OR;
        }
        return f->op == WW_FILTER_AND;
    }
    return false;
}

bool ww_query_matches(const struct ww_query *q, const struct ww_record *r)
{
    if (q->from.kind != WW_BOUND_NONE || q->to.kind != WW_BOUND_NONE) {
        struct ww_scan bounds = query_bounds(q);
        bool hostless = bounds.index == WW_INDEX_HOST && r->host.len == 0;
        if (hostless ? bounds.lo.kind != WW_BOUND_NONE : !ww_scan_covers(&bounds, r))
            return false;
    }
    return q->root == 0 || node_matches(q, q->root, r);
}

enum ww_watch_event ww_query_classify(
    const struct ww_query *q, const struct ww_record *before, const struct ww_record *after, bool renewed)
{
    bool was = before && ww_query_matches(q, before);
    bool is =
        renewed ? was : after && ww_query_matches(q, after); /* what is renewed is not what is asked about */
    if (was != is)
        return is ? WW_WATCH_JOINED : WW_WATCH_LEFT;
    return is && !renewed ? WW_WATCH_CHANGED : WW_WATCH_NONE;
}

/* ---- printing ---- */

static ww_err put(struct ww_buf *out, const char *text)
{
    return ww_buf_append(out, ww_bytes_str(text));
}

static bool is_plain(struct ww_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c <= ' ' || c == 0x7f || strchr("()=!<>'\"\\", c))
            return false;
    }
    return text.len > 0;
}

static ww_err put_quoted(struct ww_buf *out, struct ww_bytes text)
{
    WW_TRY(put(out, "\""));
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"' || text.ptr[i] == '\\')
            WW_TRY(put(out, "\\"));
        WW_TRY(ww_buf_append_byte(out, text.ptr[i]));
    }
    return put(out, "\"");
}

static bool is_word(struct ww_bytes text, const char *word)
{
    return text.len == strlen(word) && strncasecmp((const char *)text.ptr, word, text.len) == 0;
}

static ww_err put_key(struct ww_buf *out, const struct ww_filter *f)
{
    static const char *const fields[] = {"id", "server", "host"};
    static const char *const taken[] = {"id", "peer", "server", "host", "and", "or", "not", "where"};
    if (f->field != WW_INDEX_META)
        return put(out, fields[f->field]);
    bool quote = !is_plain(f->key);
    for (size_t i = 0; i < WW_COUNT_OF(taken); i++)
        quote = quote || is_word(f->key, taken[i]);
    return quote ? put_quoted(out, f->key) : ww_buf_append(out, f->key);
}

static ww_err put_cmp(struct ww_buf *out, const struct ww_filter *f, bool negated)
{
    static const char *const ops[] = {"=", "==", "<", "<=", ">", ">="};
    struct ww_bytes value = f->field == WW_INDEX_META ? ww_bytes_skip(f->value, f->key.len + 1) : f->value;
    WW_TRY(put_key(out, f));
    if (negated)
        WW_TRY(put(out, "!"));
    WW_TRY(put(out, ops[f->cmp]));
    return is_plain(value) ? ww_buf_append(out, value) : put_quoted(out, value);
}

/* `inside`: the operator around this node, WW_FILTER_ALL for none. */
static ww_err put_node(const struct ww_query *q, uint16_t node, enum ww_filter_op inside, struct ww_buf *out)
{
    const struct ww_filter *f = &q->nodes[node];
    const struct ww_filter *child = &q->nodes[f->child];
    if (f->op == WW_FILTER_CMP)
        return put_cmp(out, f, false);
    if (f->op == WW_FILTER_NOT && child->op == WW_FILTER_CMP && child->cmp <= WW_CMP_EQ)
        return put_cmp(out, child, true);
    if (f->op == WW_FILTER_NOT) {
        WW_TRY(put(out, "NOT "));
        return put_node(q, f->child, WW_FILTER_NOT, out);
    }
    bool parens = inside == WW_FILTER_NOT || (inside == WW_FILTER_AND && f->op == WW_FILTER_OR) ||
        (inside == WW_FILTER_OR && f->op == WW_FILTER_AND);
    if (parens)
        WW_TRY(put(out, "("));
    for (uint16_t at = f->child; at; at = q->nodes[at].next) {
        if (at != f->child)
            WW_TRY(put(out, f->op == WW_FILTER_AND ? " AND " : " OR "));
        WW_TRY(put_node(q, at, (enum ww_filter_op)f->op, out));
    }
    return parens ? put(out, ")") : 0;
}

ww_err ww_query_print(const struct ww_query *q, struct ww_buf *out)
{
    return q->root == 0 || q->nodes[q->root].op == WW_FILTER_ALL ? 0
                                                                 : put_node(q, q->root, WW_FILTER_ALL, out);
}
