/* cluster/routing.h — the routing table: what this node knows of its peers, indexed, with O(1) snapshots.
 *
 * One record a peer id. Ordered indexes: `id` (base58 text of the peer id), `server` (16 lower-case hex
 * digits), `host`, and `meta` (each whole `key=value` string); ties follow the id index. Beside them a hash
 * of peer ids for the writer and a timing wheel of deadlines. A heartbeat that only renews a record touches
 * no ordered index.
 *
 * Snapshots are points in time: taking one is O(1), the writer copies only tree nodes that a live snapshot
 * shares, and keeps an older version of a renewed record only while a snapshot can see it.
 *
 * Which record wins (sequence numbers start at the process's start time in Unix nanoseconds and count
 * messages):
 *   1. While a record of the peer lives, only a higher sequence number replaces it, whatever the server id. A
 * restart under the same key is newer by its clock and therefore seen at once. A lower number is refused even
 * under another server id: anyone can replay a signed heartbeat of an earlier run, and accepting it would
 * hide the live instance.
 *   2. After a record has left, its last number is remembered for a while (bounded, `remember_*`). A higher
 * number is accepted. The same instance with the same or a lower number is a replay. Another instance with a
 * lower number is accepted once in that time: a machine whose clock was set back gets in, two old recordings
 * cannot alternate.
 *
 * Ownership: views in a ww_record point into the table and live as long as the snapshot that they came from,
 * or, outside snapshots, until the next call that changes the table. Upsert copies what it keeps. Limits (a
 * peer cannot pin memory): one record a signer; sizes below; ttl clamped; when the table is full newcomers
 * are refused and no established record is evicted. Charged to `budget` as WW_RES_ITEMS and WW_RES_BYTES.
 * Allocation failure leaves the table as it was. Not thread-safe: snapshots belong to the loop thread as
 * well.
 */
#ifndef WW_CLUSTER_ROUTING_H
#define WW_CLUSTER_ROUTING_H

#include "base/budget.h"
#include "base/list.h"
#include "base/trace.h"
#include "cluster/otree.h"

#define WW_ROUTING_PEER_MAX 64 /* bytes of a peer id; Ed25519 has 38, SHA-256 multihashes 34 */
#define WW_ROUTING_HOST_MAX 253
#define WW_ROUTING_META_MAX 64
#define WW_ROUTING_META_BYTES_MAX 4096
#define WW_ROUTING_TTL_DEFAULT_MS 10000
#define WW_ROUTING_GRACE_PART 10 /* of the TTL: the most that `grace_ms` adds to it */

struct ww_routing;
struct ww_snapshot;

struct ww_routing_conf {
    uint64_t seed[2];         /* secret, from the environment's randomness */
    uint32_t max_records;     /* 0: 1 << 20 */
    uint32_t ttl_max_ms;      /* longer ones are cut; 0: one hour */
    uint32_t grace_ms;        /* how much longer than its TTL a record stays, at most a tenth of the TTL */
    uint32_t remember_ms;     /* how long departed peers are remembered; 0: ten minutes */
    uint32_t remember_max;    /* how many, rounded up to a power of two; 0: 4096 */
    struct ww_budget *budget; /* NULL: only max_records limits */
    struct ww_trace *trace;   /* NULL: nobody listens */
};

/* What a heartbeat says; all views are borrowed. */
struct ww_record_in {
    struct ww_bytes peer; /* raw peer id */
    uint64_t server, seq;
    uint32_t ttl_ms; /* 0: WW_ROUTING_TTL_DEFAULT_MS */
    struct ww_bytes host;
    const struct ww_bytes *meta;
    size_t meta_count;
};

/* One record as a reader sees it. Metadata strings come from ww_record_meta. */
struct ww_record {
    struct ww_bytes peer, host;
    uint64_t server, seq, deadline_ns; /* deadline: when it goes, grace included */
    uint32_t ttl_ms;
    uint32_t slot; /* names the record within one snapshot */
    uint32_t meta_count;
    const uint32_t *meta_atoms;
    const struct ww_routing *table; /* NULL: a record that no table holds, to match it with a query */
    const struct ww_bytes *meta;    /* its metadata, only then */
};

enum ww_upsert {
    WW_UPSERT_JOINED = 1,  /* the peer was not in the table */
    WW_UPSERT_RENEWED = 2, /* only seq, ttl and deadline changed */
    WW_UPSERT_CHANGED = 3, /* server, host or metadata changed as well */
};

WW_MUST_USE ww_err ww_routing_new(const struct ww_routing_conf *conf, struct ww_routing **ret_table);
/* Snapshots may outlive the call; the memory goes with the last of them. Observers must have been removed. */
void ww_routing_free(struct ww_routing *table);

/* An enum ww_upsert (> 0), or: WW_ESTALE (see above), WW_EINVAL (over a size limit, empty peer id), WW_ELIMIT
 * or WW_EBUDGET (no room for a newcomer), WW_ENOMEM. */
WW_MUST_USE ww_err ww_routing_upsert(
    struct ww_routing *table, uint64_t now_ns, const struct ww_record_in *in);
/* A farewell: removes the peer's record if `seq` is higher. WW_ENOTFOUND when the peer is unknown (the number
 * is remembered all the same), WW_ESTALE, WW_ENOMEM. */
WW_MUST_USE ww_err ww_routing_leave(
    struct ww_routing *table, uint64_t now_ns, struct ww_bytes peer, uint64_t server, uint64_t seq);
/* Removes records whose deadline is <= now, at most `max` of them (0: all). Returns how many; when it equals
 * `max`, call again. Under memory exhaustion records may stay until a later call. */
size_t ww_routing_advance(struct ww_routing *table, uint64_t now_ns, size_t max);
/* When to call ww_routing_advance next (at most a millisecond after the earliest deadline, maybe before it);
 * WW_NEVER when the table is empty. */
uint64_t ww_routing_deadline(const struct ww_routing *table);

size_t ww_routing_count(const struct ww_routing *table);
/* Heap bytes held, all indexes included (without the allocator's own overhead). */
size_t ww_routing_bytes(const struct ww_routing *table);
/* Whether the trees hold together; visits everything. For tests. */
bool ww_routing_check(struct ww_routing *table);
/* The present record of a raw peer id: WW_ENOTFOUND. */
WW_MUST_USE ww_err ww_routing_get(
    const struct ww_routing *table, struct ww_bytes peer, struct ww_record *ret_record);
/* Index < meta_count. */
struct ww_bytes ww_record_meta(const struct ww_record *record, size_t index);
/* The string behind a number of `meta_atoms`: equal numbers are equal strings. */
struct ww_bytes ww_atom_text(const struct ww_routing *table, uint32_t atom);
/* The value of the first `key=value` string with this key; NULL view (ptr NULL) when there is none. */
struct ww_bytes ww_record_meta_get(const struct ww_record *record, struct ww_bytes key);

/* ---- observers: joins, changes, departures, as they happen ---- */

struct ww_routing_observer {
    struct ww_list link; /* the table's */
    /* before NULL: joined; after NULL: left; both: changed (`renewed` when only seq and ttl did). Called
     * after the table has changed. The callee must not change the table; it may take snapshots and remove
     * itself. */
    void (*changed)(struct ww_routing_observer *obs, const struct ww_record *before,
        const struct ww_record *after, bool renewed);
};

void ww_routing_observe(struct ww_routing *table, struct ww_routing_observer *obs);
void ww_routing_unobserve(struct ww_routing_observer *obs);

/* ---- snapshots ---- */

/* NULL when memory is out. Snapshots taken without a change in between are one object. */
struct ww_snapshot *ww_routing_snapshot(struct ww_routing *table);
struct ww_snapshot *ww_snapshot_ref(struct ww_snapshot *snap);
void ww_snapshot_unref(struct ww_snapshot *snap);
size_t ww_snapshot_count(const struct ww_snapshot *snap);

enum ww_index { WW_INDEX_ID, WW_INDEX_SERVER, WW_INDEX_HOST, WW_INDEX_META };

enum ww_bound_kind {
    WW_BOUND_NONE,
    WW_BOUND_INCL,
    WW_BOUND_EXCL,
    WW_BOUND_PREFIX, /* upper bounds only: up to the last key that starts with the text */
};

struct ww_bound {
    enum ww_bound_kind kind;
    struct ww_bytes text;
};

/* A stretch of one index. The bounds' texts are borrowed as long as the iterator lives. Records without a
 * host are not in the host index, those without metadata not in `meta`; a record with several matching
 * strings comes once. */
struct ww_scan {
    enum ww_index index;
    struct ww_bound lo, hi;
    bool reverse;
};

/* lo = hi = text; all keys that start with text; all. */
struct ww_scan ww_scan_exact(enum ww_index index, struct ww_bytes text);
struct ww_scan ww_scan_prefix(enum ww_index index, struct ww_bytes text);
struct ww_scan ww_scan_all(enum ww_index index);

/* Whether the scan would yield the record. */
bool ww_scan_covers(const struct ww_scan *scan, const struct ww_record *record);

/* Caller's storage; holds a reference on the snapshot from init to fini. Allocates nothing. */
struct ww_scan_iter {
    struct ww_snapshot *snap;
    struct ww_scan scan;
    struct ww_otree_iter outer, inner; /* inner: the records of the string at which `outer` stands */
    uint32_t stop;                     /* the first entry of `outer` beyond the bounds; 0: none */
    uint32_t atom;                     /* the string at which `outer` stands; 0: none */
    bool single_key, prefetch, done;
};

void ww_scan_init(struct ww_scan_iter *it, struct ww_snapshot *snap, const struct ww_scan *scan);
void ww_scan_fini(struct ww_scan_iter *it);
/* False at the end. */
bool ww_scan_next(struct ww_scan_iter *it, struct ww_record *ret_record);
/* About how many records the scan yields (exact for few; otherwise from the trees' shape). O(log n). */
size_t ww_scan_estimate(struct ww_snapshot *snap, const struct ww_scan *scan);
/* The record of a slot that the same snapshot yielded. */
void ww_snapshot_record(const struct ww_snapshot *snap, uint32_t slot, struct ww_record *ret_record);
/* < 0, 0, > 0: order of two records of one snapshot in the id, server or host index (host: "" first). */
int ww_record_cmp(enum ww_index index, const struct ww_record *a, const struct ww_record *b);

#endif
