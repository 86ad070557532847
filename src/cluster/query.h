/* cluster/query.h — queries over the routing table: filter, order, limit, projection; planner and resumable
 * execution.
 *
 * Language (the CLI's WHERE): comparisons joined by AND, OR, NOT and parentheses; keywords in any case; AND
 * binds tighter than OR. A comparison is `key op value`: =   starts with          ==  equals            !=
 * does not start with       !==  does not equal <  <=  >  >=             bytewise order Keys: `id` and `peer`
 * (base58 peer id), `server` (hex), `host`; any other key, and any quoted one, is metadata. Keys and values
 * may stand in 'single' or "double" quotes; in the latter, \" and \\ are escapes. The operator may have
 * spaces on both sides or on none. An empty value after `=` asks that the key is there at all. A negation is
 * true where the key is missing. A comparison on metadata holds when any value of the key satisfies it.
 *
 * Limits: WW_QUERY_* below; a query that is over one is refused with WW_ELIMIT or WW_EDEPTH, never cut.
 * Ownership: ww_query_new/_free; texts are copied in. A query may be shared by runs, which borrow it.
 */
#ifndef WW_CLUSTER_QUERY_H
#define WW_CLUSTER_QUERY_H

#include "base/buf.h"
#include "cluster/routing.h"

#define WW_QUERY_NODES_MAX 128
#define WW_QUERY_DEPTH_MAX 16
#define WW_QUERY_TEXT_MAX 8192 /* of all keys and values together */
#define WW_QUERY_SCANS_MAX 16

enum ww_filter_op { WW_FILTER_ALL, WW_FILTER_AND, WW_FILTER_OR, WW_FILTER_NOT, WW_FILTER_CMP };

enum ww_cmp { WW_CMP_PREFIX, WW_CMP_EQ, WW_CMP_LT, WW_CMP_LE, WW_CMP_GT, WW_CMP_GE };

/* `child` and `next` are indexes in ww_query.nodes, 0 for none. */
struct ww_filter {
    uint8_t op, cmp, field; /* field: enum ww_index */
    uint16_t child, next;   /* first operand; next operand of the same parent */
    struct ww_bytes key;    /* WW_INDEX_META only */
    struct ww_bytes value;  /* for WW_INDEX_META: the whole `key=value` text, of which `key` is the start */
};

enum ww_projection {
    WW_PROJECT_PEER = 1,
    WW_PROJECT_SERVER = 2,
    WW_PROJECT_SEQ = 4,
    WW_PROJECT_TTL = 8,
    WW_PROJECT_HOST = 16,
    WW_PROJECT_META = 32,
    WW_PROJECT_ALL = 63,
};

struct ww_query {
    struct ww_filter nodes[WW_QUERY_NODES_MAX]; /* [0] is not used */
    uint16_t node_count, root;                  /* root 0: everything matches */
    bool ordered, descending, count_only;
    enum ww_index order;      /* when ordered: not metadata; records without a host come before the others */
    struct ww_bound from, to; /* on the order index (id when not ordered); INCL or NONE */
    uint64_t limit;           /* 0: none */
    uint32_t projection;      /* enum ww_projection bits */
    uint16_t text_used;
    uint8_t text[WW_QUERY_TEXT_MAX];
};

/* Matches everything, no order, all fields. NULL when memory is out. */
struct ww_query *ww_query_new(void);
void ww_query_free(struct ww_query *query);

/* Adds `text` as a further condition (AND). Leaves the query as it was on failure. The diag names the place:
 * its text starts with the byte offset in `text` followed by ": "; `ret_offset` (may be NULL) has the same
 * number. WW_EINVAL, WW_ELIMIT, WW_EDEPTH. */
WW_MUST_USE ww_err ww_query_parse(
    struct ww_query *query, struct ww_bytes text, size_t *ret_offset, struct ww_diag *diag);
/* Builders: each returns a node for use as an operand, or an error; the caller sets `root`. `operand` and
 * `next` chains are made by ww_query_join. */
WW_MUST_USE ww_err ww_query_cmp(struct ww_query *query, enum ww_index field, enum ww_cmp cmp,
    struct ww_bytes key, struct ww_bytes value, uint16_t *ret_node);
WW_MUST_USE ww_err ww_query_not(struct ww_query *query, uint16_t node, uint16_t *ret_node);
/* op: WW_FILTER_AND or _OR. Flattens operands of the same kind. */
WW_MUST_USE ww_err ww_query_join(
    struct ww_query *query, enum ww_filter_op op, uint16_t a, uint16_t b, uint16_t *ret_node);
/* Copies `text` into the query, for bounds. */
WW_MUST_USE ww_err ww_query_text(struct ww_query *query, struct ww_bytes text, struct ww_bytes *ret_copy);
/* Appends the filter in the language above; parsing it gives the same tree. "" when everything matches. */
WW_MUST_USE ww_err ww_query_print(const struct ww_query *query, struct ww_buf *out);

/* Filter and bounds, without the limit. */
bool ww_query_matches(const struct ww_query *query, const struct ww_record *record);

/* ---- execution ---- */

/* A run over one snapshot, of which it holds a reference. Unordered results come in the order of the index
 * that the plan uses (id, when there is no better one). WW_EINVAL: ordered by metadata. */
struct ww_query_run {
    const struct ww_query *query;
    struct ww_snapshot *snap;
    struct ww_scan_iter iter;
    /* The plan; a record belongs to the first scan that covers it. */
    struct ww_scan scans[WW_QUERY_SCANS_MAX];
    uint8_t scan_count, scan_at;
    uint8_t hostless; /* 1 + the scan that is for records without a host; 0: none */
    bool iterating, sorting, sorted;
    uint32_t *slots; /* when sorting: the matches, then in order */
    size_t slot_count, slot_capacity, slot_at;
    uint64_t yielded, examined;
};

WW_MUST_USE ww_err ww_query_run_init(
    struct ww_query_run *run, const struct ww_query *query, struct ww_snapshot *snap);
void ww_query_run_fini(struct ww_query_run *run);
/* 1: a record; 0: the end; WW_EAGAIN: `max_examined` records were looked at without a match, call again;
 * WW_ENOMEM. */
WW_MUST_USE ww_err ww_query_run_next(
    struct ww_query_run *run, size_t max_examined, struct ww_record *ret_record);

/* What one change of the table means to a standing query. */
enum ww_watch_event { WW_WATCH_NONE, WW_WATCH_JOINED, WW_WATCH_CHANGED, WW_WATCH_LEFT };
enum ww_watch_event ww_query_classify(const struct ww_query *query, const struct ww_record *before,
    const struct ww_record *after, bool renewed);

#endif
