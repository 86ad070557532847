/* cluster/otree.h — a persistent ordered set of 32-bit references: B+-tree nodes, shared with snapshots by
 * epoch.
 *
 * An entry is (word, ref): `word` orders entries cheaply and must not contradict the full order; entries with
 * equal words are told apart by the caller's comparison. Keys themselves are never copied into the tree.
 * Every node carries the epoch in which it was made. A node whose epoch is not above `pool->shared` may be
 * seen by a snapshot: a change copies it and hands the old one to `pool->retire`; any other node is changed
 * in place. Old roots stay readable as long as the owner frees retired nodes only when no snapshot needs
 * them.
 *
 * Memory: the pool owns nodes; ww_opool_reserve beforehand makes changes infallible. One entry alone takes no
 * node. (Driscoll, Sarnak, Sleator, Tarjan: "Making data structures persistent", 1986; Rodeh: "B-trees,
 * shadowing, and clones", 2008.)
 */
#ifndef WW_CLUSTER_OTREE_H
#define WW_CLUSTER_OTREE_H

#include "base/base.h"

#define WW_OTREE_HEIGHT_MAX 12 /* 2^32 entries at the fill that a split leaves need 8 */

struct ww_onode;

struct ww_otree {
    struct ww_onode *root; /* NULL while count <= 1 */
    uint32_t count;
    uint32_t single; /* the entry when count == 1 */
};

struct ww_opool {
    struct ww_onode *free[4]; /* by size class */
    uint32_t free_count[4];
    uint64_t epoch;           /* stamped on nodes made from now on */
    uint64_t shared;          /* nodes up to this epoch may be shared; 0: none */
    size_t bytes;             /* held in nodes, free ones included */
    struct ww_onode *retired; /* shared nodes that the newest tree no longer uses: the owner takes them */
};

void ww_opool_init(struct ww_opool *pool);
/* Frees the free nodes; the others must have been given back. */
void ww_opool_fini(struct ww_opool *pool);
/* Stocks `full` nodes of full size and `small` of each smaller one. Changes whose costs (ww_otree_cost, one
 * `small` each) sum up to no more cannot fail. WW_ENOMEM. */
WW_MUST_USE ww_err ww_opool_reserve(struct ww_opool *pool, size_t full, size_t small);
/* Gives up free nodes beyond a small stock. */
void ww_opool_trim(struct ww_opool *pool);
uint64_t ww_onode_epoch(const struct ww_onode *node);
struct ww_onode *ww_onode_next_retired(struct ww_onode *node);
void ww_onode_set_next_retired(struct ww_onode *node, struct ww_onode *next);
void ww_onode_free(struct ww_opool *pool, struct ww_onode *node);

/* What is sought: `word`, and for entries with the same word `cmp(probe, ref)`: < 0 when the probe comes
 * before. */
struct ww_oprobe {
    uint64_t word;
    int (*cmp)(const struct ww_oprobe *probe, uint32_t ref);
    uint64_t (*word_of)(const struct ww_oprobe *probe, uint32_t ref); /* the word of an entry */
};

/* Nodes of full size that one insertion or removal may take. */
size_t ww_otree_cost(const struct ww_otree *tree);
/* The entry must be absent (insert) or present (remove). Memory was reserved. */
void ww_otree_insert(
    struct ww_opool *pool, struct ww_otree *tree, const struct ww_oprobe *probe, uint32_t ref);
void ww_otree_remove(struct ww_opool *pool, struct ww_otree *tree, const struct ww_oprobe *probe);
/* Gives all nodes back at once: for trees that no snapshot shares. */
void ww_otree_drop(struct ww_opool *pool, struct ww_otree *tree);

/* A position between entries of one version of a tree. */
struct ww_otree_iter {
    struct {
        const struct ww_onode *node;
        uint32_t at;
    } path[WW_OTREE_HEIGHT_MAX];
    uint32_t depth;             /* 0: one entry at most */
    uint32_t single, at, count; /* when depth is 0 */
};

void ww_otree_first(struct ww_otree_iter *it, const struct ww_otree *tree);
void ww_otree_last(struct ww_otree_iter *it, const struct ww_otree *tree);
/* Before the first entry that is not below the probe. A cmp of the probe may return 0 or choose a side for
 * equal keys. */
void ww_otree_seek(struct ww_otree_iter *it, const struct ww_otree *tree, const struct ww_oprobe *probe);
bool ww_otree_next(struct ww_otree_iter *it, uint32_t *ret_ref);
bool ww_otree_prev(struct ww_otree_iter *it, uint32_t *ret_ref);
/* What a call of next (or prev, `back`) will yield after `ahead` others, when it is in the same leaf; else 0.
 */
uint32_t ww_otree_peek(const struct ww_otree_iter *it, uint32_t ahead, bool back);
/* About how many entries lie from `lo` to before `hi` (each NULL: open); exact within one leaf. */
size_t ww_otree_estimate(const struct ww_otree *tree, const struct ww_oprobe *lo, const struct ww_oprobe *hi);
/* Checks order, fill and separators; for tests. */
bool ww_otree_check(
    const struct ww_otree *tree, bool (*before)(void *ctx, uint32_t a, uint32_t b), void *ctx);

#endif
