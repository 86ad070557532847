/* cluster/routing_int.h — the routing table's insides, shared by its own files only.
 *
 * Records live in 64-byte cells, numbered from 1 (`slot`); what a heartbeat renewal changes is in the cell,
 * everything else in an immutable body. Host names and metadata strings are interned: an atom holds the
 * string once and the set of records that carry it (its posting). The trees `host` and `meta` order atoms,
 * `id` and `server` order records.
 *
 * Epochs: t->epoch grows by one with each snapshot; everything made is stamped with it. A snapshot of epoch E
 * sees what is stamped <= E. What a live snapshot may still see is not freed but hung on the newest one that
 * sees it, and moves to the next older one on release if that one sees it too (as dead lists do in
 * copy-on-write file systems). Cells and atoms stay in place when they change: an older version is kept in a
 * chain while a snapshot sees it.
 *
 * Invariants (ww_routing_check):
 *   1. a slot is in the peer hash iff its record is present; then it is in `id` and `server`, and in the
 * posting of its host and of each distinct metadata string, and in the wheel.
 *   2. an atom is in its tree iff its posting is not empty; its refs count the bodies that name it.
 *   3. version chains are ordered by falling epoch.
 */
#ifndef WW_CLUSTER_ROUTING_INT_H
#define WW_CLUSTER_ROUTING_INT_H

#include "base/map.h"
#include "cluster/routing.h"

#define ID_TEXT_MAX 96 /* base58 of WW_ROUTING_PEER_MAX bytes has at most 88 characters */
#define CHUNK_BITS 8   /* cells and atom pointers come in chunks, so that growth moves nothing */
#define CHUNK_SIZE (1u << CHUNK_BITS)
#define WHEEL_LEVELS 8
#define WHEEL_SLOTS 64

/* An earlier state of a cell (seq, deadline, ttl) or of an atom's posting. */
struct version {
    struct version *older;
    uint64_t epoch;
    union {
        struct {
            uint64_t seq, deadline_ns;
            uint32_t ttl_ms;
        };
        struct ww_otree posting;
    };
};

struct atom;

struct body {
    uint64_t server;
    uint64_t born;     /* epoch */
    uint64_t id_word;  /* order-preserving digest of the peer id's text */
    struct atom *host; /* NULL: none */
    uint8_t peer_len, meta_count;
    uint32_t meta[]; /* atoms, then the peer id's bytes */
};

struct cell {
    uint64_t seq, deadline_ns;
    uint64_t epoch; /* since when seq, deadline and ttl are so */
    struct body *body;
    struct version *older;
    uint32_t ttl_ms;
    uint32_t hash;       /* low half of the peer id's hash */
    uint32_t next, prev; /* bucket of the wheel; `next` also: free cells, dead cells */
    uint16_t bucket;
};

_Static_assert(sizeof(struct cell) <= 64, "a cell is a cache line");

enum atom_kind { ATOM_HOST, ATOM_META };

struct atom {
    uint64_t born, epoch; /* since when: the atom, the posting */
    struct ww_otree posting;
    struct version *older;
    uint32_t refs, hash;
    uint32_t number; /* its own; of a dead atom: the next dead one's */
    uint16_t len;
    uint8_t kind;
    uint8_t text[];
};

enum { TREE_ID, TREE_SERVER, TREE_HOST, TREE_META, TREE_COUNT };

_Static_assert(
    (int)TREE_ID == WW_INDEX_ID && (int)TREE_META == WW_INDEX_META, "trees are numbered as indexes");

struct ww_snapshot {
    struct ww_list link; /* t->snaps, newest first */
    struct ww_routing *table;
    uint32_t refs;
    uint32_t count;
    uint64_t epoch;
    struct ww_otree trees[TREE_COUNT];
    struct ww_onode *dead_nodes;
    uint32_t dead_cells, dead_atoms;
};

struct wheel {
    uint32_t heads[WHEEL_LEVELS * WHEEL_SLOTS];
    uint64_t used[WHEEL_LEVELS]; /* which heads are not 0 */
    uint64_t tick;
    uint32_t due; /* taken out of the wheel, to be looked at */
};

/* What is remembered of a peer that left: see routing.h, rule 2. */
struct departed {
    uint64_t peer; /* hash; 0: free */
    uint64_t server, seq, seq_max, until_ns;
    bool stepped_back;
};

struct chunked {
    void **chunks;
    uint32_t chunk_count, chunk_capacity;
    uint32_t used; /* numbers given out so far, 0 included */
    uint32_t free; /* first of the returned ones */
};

struct ww_routing {
    struct ww_routing_conf conf;
    struct chunked cells, atoms;
    struct {
        uint64_t *slots; /* hash in the high half, slot in the low; 0: empty */
        uint32_t capacity, count;
    } peers;
    struct {
        uint32_t *slots;
        uint32_t capacity, count;
    } interned;
    struct ww_otree trees[TREE_COUNT];
    struct ww_opool pool;
    struct version *spare; /* free versions */
    uint32_t spare_count;
    uint64_t epoch;
    bool dirty; /* changed since the newest snapshot */
    bool orphan;
    struct ww_list snaps, observers;
    struct wheel wheel;
    struct departed *departed;

    size_t bytes;
};

/* ---- access ---- */

static inline struct cell *cell_at(const struct ww_routing *t, uint32_t slot)
{
    return (struct cell *)t->cells.chunks[slot >> CHUNK_BITS] + (slot & (CHUNK_SIZE - 1));
}

static inline struct atom **atom_ref(const struct ww_routing *t, uint32_t atom)
{
    return (struct atom **)t->atoms.chunks[atom >> CHUNK_BITS] + (atom & (CHUNK_SIZE - 1));
}

static inline struct atom *atom_at(const struct ww_routing *t, uint32_t atom)
{
    return *atom_ref(t, atom);
}

static inline struct ww_bytes body_peer(const struct body *b)
{
    return ww_bytes((const uint8_t *)&b->meta[b->meta_count], b->peer_len);
}

static inline struct ww_bytes atom_text(const struct atom *a)
{
    return ww_bytes(a->text, a->len);
}

/* The epoch up to which a live snapshot may see things; 0: no snapshot. */
static inline uint64_t shared_epoch(const struct ww_routing *t)
{
    return t->pool.shared;
}

/* ---- routing_key.c: order ---- */

/* A probe into one of the trees: a text, or the place of an entry that is known. */
struct probe {
    struct ww_oprobe base;
    const struct ww_routing *table;
    enum ww_index index;
    struct ww_bytes text;
    bool after_equal;  /* the position is after keys equal to `text` ... */
    bool after_prefix; /* ... or after all that start with it */
    uint32_t ref;      /* not 0: this entry, `text` is not used */
};

uint64_t id_word(struct ww_bytes text);
/* Base58; the view is into `out`. */
struct ww_bytes id_text(struct ww_bytes peer, char out[ID_TEXT_MAX]);
void probe_bound(struct probe *p, const struct ww_routing *t, enum ww_index index,
    const struct ww_bound *bound, bool upper);
/* An entry of the trees `id` and `server`; TREE_ID also orders postings. */
void probe_slot(struct probe *p, const struct ww_routing *t, enum ww_index index, uint32_t slot);
void probe_atom(struct probe *p, const struct ww_routing *t, uint32_t atom);
int id_cmp(const struct body *a, const struct body *b);
/* Whether `text` lies between the bounds. */
bool bounds_hold(const struct ww_bound *lo, const struct ww_bound *hi, struct ww_bytes text);

/* ---- routing_store.c: cells, atoms, hashes, versions ---- */

/* 0 when memory is out. */
uint32_t cell_new(struct ww_routing *t);
void cell_free(struct ww_routing *t, uint32_t slot);
uint64_t peer_hash(const struct ww_routing *t, struct ww_bytes peer);
uint32_t peers_find(const struct ww_routing *t, struct ww_bytes peer, uint64_t hash);
WW_MUST_USE ww_err peers_reserve(struct ww_routing *t);
void peers_insert(struct ww_routing *t, uint32_t slot, uint64_t hash);
void peers_remove(struct ww_routing *t, uint32_t slot);
/* 0: no such atom. */
uint32_t atom_find(const struct ww_routing *t, enum atom_kind kind, struct ww_bytes text);
/* The atom of the text with one reference more; 0 when memory is out. */
uint32_t atom_intern(struct ww_routing *t, enum atom_kind kind, struct ww_bytes text);
/* The atom goes (or dies, when a snapshot sees it) with its last reference; its posting is empty then. */
void atom_unref(struct ww_routing *t, uint32_t atom);
void atom_free(struct ww_routing *t, uint32_t atom);
WW_MUST_USE ww_err versions_reserve(struct ww_routing *t, uint32_t count);
struct version *version_take(struct ww_routing *t);
/* Gives back what no snapshot sees; `epoch` is that of the present state. */
void versions_prune(struct ww_routing *t, struct version **chain, uint64_t epoch);
void versions_free(struct ww_routing *t, struct version **chain);
struct body *body_new(struct ww_routing *t, const struct ww_record_in *in);
void body_free(struct ww_routing *t, struct body *body);
void store_fini(struct ww_routing *t);

/* ---- routing_wheel.c ---- */

void wheel_insert(struct ww_routing *t, uint32_t slot);
void wheel_remove(struct ww_routing *t, uint32_t slot);
/* The cell's deadline has changed. */
void wheel_update(struct ww_routing *t, uint32_t slot, uint64_t old_deadline_ns);
/* The next cell whose deadline is <= now, taken out of the wheel; 0: none. */
uint32_t wheel_expired(struct ww_routing *t, uint64_t now_ns);
uint64_t wheel_deadline(const struct ww_routing *t);

/* ---- routing_memory.c ---- */

WW_MUST_USE ww_err departed_admit(
    struct ww_routing *t, uint64_t hash, uint64_t now_ns, uint64_t server, uint64_t seq, bool *ret_back);
void departed_remember(struct ww_routing *t, uint64_t hash, uint64_t now_ns, uint64_t server, uint64_t seq);
/* The peer came back with a lower number. */
void departed_mark_back(struct ww_routing *t, uint64_t hash, uint64_t now_ns);

/* ---- routing_snap.c ---- */

void record_fill(const struct ww_routing *t, uint32_t slot, struct ww_record *ret_record);
/* Hangs retired nodes on the newest snapshot. */
void retired_collect(struct ww_routing *t);
/* Frees a record that is in no index any more, or keeps it while a snapshot sees it. */
void cell_retire(struct ww_routing *t, uint32_t slot);
void atom_retire(struct ww_routing *t, uint32_t atom);
struct ww_otree posting_at(const struct ww_routing *t, uint32_t atom, uint64_t epoch);
void routing_destroy(struct ww_routing *t);

#endif
