#include "cluster/otree.h"

/* Leaves: words[cap], refs[cap]. Inner nodes: words[cap], kids[cap], refs[cap], where (word, ref) i is the
 * least entry of kid i's subtree, so that a separator never names an entry that is gone. Small classes are
 * for trees of one leaf. */
struct ww_onode {
    struct ww_onode *next; /* free list, or list of retired nodes */
    uint64_t epoch;
    uint16_t count, cap;
    uint8_t level, size_class, pad[2];
    uint64_t words[];
};

#define CLASS_FULL 3
#define LEAF_CAP 40
#define INNER_CAP 24
#define STOCK_FULL 128 /* kept by ww_opool_trim: a record of usual size takes some 70 */
#define STOCK_SMALL 16

static const uint16_t leaf_cap[4] = {4, 10, 20, LEAF_CAP};

static size_t class_bytes(unsigned size_class)
{
    return sizeof(struct ww_onode) + (size_t)leaf_cap[size_class] * 12;
}

_Static_assert(INNER_CAP * 20 <= LEAF_CAP * 12, "an inner node must fit into a full one");

static uint32_t *node_refs(const struct ww_onode *n)
{
    uint8_t *base = (uint8_t *)(uintptr_t)n->words;
    return (uint32_t *)(void *)(base + (size_t)n->cap * (n->level ? 16 : 8));
}

static struct ww_onode **node_kids(const struct ww_onode *n)
{
    uint8_t *base = (uint8_t *)(uintptr_t)n->words;
    return (struct ww_onode **)(void *)(base + (size_t)n->cap * 8);
}

/* ---- pool ---- */

void ww_opool_init(struct ww_opool *pool)
{
    *pool = (struct ww_opool){.epoch = 1};
}

static void pool_shrink(struct ww_opool *pool, unsigned size_class, uint32_t keep)
{
    while (pool->free_count[size_class] > keep) {
        struct ww_onode *n = pool->free[size_class];
        pool->free[size_class] = n->next;
        pool->free_count[size_class]--;
        pool->bytes -= class_bytes(size_class);
        ww_free(n);
    }
}

void ww_opool_fini(struct ww_opool *pool)
{
    for (unsigned c = 0; c <= CLASS_FULL; c++)
        pool_shrink(pool, c, 0);
}

void ww_opool_trim(struct ww_opool *pool)
{
    for (unsigned c = 0; c <= CLASS_FULL; c++)
        pool_shrink(pool, c, c == CLASS_FULL ? STOCK_FULL : STOCK_SMALL);
}

ww_err ww_opool_reserve(struct ww_opool *pool, size_t full, size_t small)
{
    for (unsigned c = 0; c <= CLASS_FULL; c++) {
        size_t want = c == CLASS_FULL ? full : small;
        while (pool->free_count[c] < want) {
            struct ww_onode *n = ww_alloc(class_bytes(c));
            if (!n)
                return WW_ENOMEM;
            n->size_class = (uint8_t)c;
            n->next = pool->free[c];
            pool->free[c] = n;
            pool->free_count[c]++;
            pool->bytes += class_bytes(c);
        }
    }
    return 0;
}

static struct ww_onode *node_take(struct ww_opool *pool, unsigned size_class, unsigned level)
{
    struct ww_onode *n = pool->free[size_class];
    WW_ASSERT(n);
    pool->free[size_class] = n->next;
    pool->free_count[size_class]--;
    n->next = NULL;
    n->epoch = pool->epoch;
    n->count = 0;
    n->level = (uint8_t)level;
    n->cap = level ? INNER_CAP : leaf_cap[size_class];
    return n;
}

void ww_onode_free(struct ww_opool *pool, struct ww_onode *n)
{
    n->next = pool->free[n->size_class];
    pool->free[n->size_class] = n;
    pool->free_count[n->size_class]++;
}

uint64_t ww_onode_epoch(const struct ww_onode *node)
{
    return node->epoch;
}

struct ww_onode *ww_onode_next_retired(struct ww_onode *node)
{
    return node->next;
}

void ww_onode_set_next_retired(struct ww_onode *node, struct ww_onode *next)
{
    node->next = next;
}

/* The tree no longer uses the node. */
static void node_give(struct ww_opool *pool, struct ww_onode *n)
{
    if (n->epoch > pool->shared) {
        ww_onode_free(pool, n);
        return;
    }
    n->next = pool->retired;
    pool->retired = n;
}

/* The node itself when it is ours alone, else a copy of it. */
static struct ww_onode *node_own(struct ww_opool *pool, struct ww_onode *n)
{
    if (n->epoch > pool->shared)
        return n;
    struct ww_onode *copy = node_take(pool, n->size_class, n->level);
    copy->count = n->count;
    copy->cap = n->cap;
    memcpy(copy->words, n->words, class_bytes(n->size_class) - sizeof *n);
    node_give(pool, n);
    return copy;
}

/* ---- search inside a node ---- */

/* First index whose word is not below `word`. */
static uint32_t words_lower(const uint64_t *words, uint32_t count, uint64_t word)
{
    const uint64_t *base = words;
    while (count > 1) {
        uint32_t half = count / 2;
        base += base[half - 1] < word ? half : 0;
        count -= half;
    }
    return (uint32_t)(base - words) + (count == 1 && *base < word);
}

/* First index whose entry is not below the probe; with `after`, whose entry is above it. */
static uint32_t node_search(const struct ww_onode *n, const struct ww_oprobe *probe, bool after)
{
    uint32_t at = words_lower(n->words, n->count, probe->word), left = n->count - at;
    const uint32_t *refs = node_refs(n);
    while (left > 0) {
        uint32_t half = left / 2;
        int c = n->words[at + half] > probe->word ? -1 : probe->cmp(probe, refs[at + half]);
        if (c > 0 || (after && c == 0)) {
            at += half + 1;
            left -= half + 1;
        } else {
            left = half;
        }
    }
    return at;
}

/* ---- editing a node that is ours ---- */

static void node_insert_at(struct ww_onode *n, uint32_t at, uint64_t word, uint32_t ref, struct ww_onode *kid)
{
    uint32_t move = n->count - at;
    uint32_t *refs = node_refs(n);
    memmove(&n->words[at + 1], &n->words[at], move * sizeof *n->words);
    memmove(&refs[at + 1], &refs[at], move * sizeof *refs);
    n->words[at] = word;
    refs[at] = ref;
    if (n->level) {
        struct ww_onode **kids = node_kids(n);
        memmove(&kids[at + 1], &kids[at], move * sizeof(struct ww_onode *));
        kids[at] = kid;
    }
    n->count++;
}

static void node_remove_at(struct ww_onode *n, uint32_t at)
{
    uint32_t move = n->count - at - 1;
    uint32_t *refs = node_refs(n);
    memmove(&n->words[at], &n->words[at + 1], move * sizeof *n->words);
    memmove(&refs[at], &refs[at + 1], move * sizeof *refs);
    if (n->level) {
        struct ww_onode **kids = node_kids(n);
        memmove(&kids[at], &kids[at + 1], move * sizeof(struct ww_onode *));
    }
    n->count--;
}

/* Copies `count` entries; the two may have different capacities but have one level. */
static void node_copy(
    struct ww_onode *to, uint32_t to_at, const struct ww_onode *from, uint32_t from_at, uint32_t count)
{
    memcpy(&to->words[to_at], &from->words[from_at], count * sizeof *to->words);
    memcpy(&node_refs(to)[to_at], &node_refs(from)[from_at], count * sizeof(uint32_t));
    if (to->level)
        memcpy(&node_kids(to)[to_at], &node_kids(from)[from_at], count * sizeof(struct ww_onode *));
}

/* ---- paths ---- */

struct step {
    struct ww_onode *node;
    uint32_t at;
};

struct path {
    struct step steps[WW_OTREE_HEIGHT_MAX];
    uint32_t depth; /* steps in use; the last one is the leaf */
};

/* Makes every node down to the leaf ours. steps[last].at is where the probe belongs in the leaf. */
static void path_own(
    struct ww_opool *pool, struct ww_otree *tree, const struct ww_oprobe *probe, struct path *path)
{
    struct ww_onode *n = tree->root = node_own(pool, tree->root);
    path->depth = 0;
    while (n->level) {
        uint32_t at = node_search(n, probe, true);
        at -= at > 0;
        path->steps[path->depth++] = (struct step){n, at};
        struct ww_onode **kids = node_kids(n);
        n = kids[at] = node_own(pool, kids[at]);
    }
    path->steps[path->depth++] = (struct step){n, node_search(n, probe, false)};
}

/* The least entry of the node at `d` becomes (word, ref): tells the ancestors. */
static void path_set_min(struct path *path, uint32_t d, uint64_t word, uint32_t ref)
{
    while (d-- > 0) {
        struct step *up = &path->steps[d];
        up->node->words[up->at] = word;
        node_refs(up->node)[up->at] = ref;
        if (up->at > 0)
            return;
    }
}

static void path_fix_min(struct path *path, uint32_t d)
{
    const struct ww_onode *n = path->steps[d].node;
    path_set_min(path, d, n->words[0], node_refs(n)[0]);
}

/* ---- insertion ---- */

static struct ww_onode *leaf_grow(struct ww_opool *pool, struct ww_onode *leaf)
{
    struct ww_onode *big = node_take(pool, leaf->size_class + 1u, 0);
    node_copy(big, 0, leaf, 0, leaf->count);
    big->count = leaf->count;
    ww_onode_free(pool, leaf);
    return big;
}

/* Moves the upper part of a full node into a new right neighbour. At the right edge of the tree all but one
 * entry stay left, so that ascending insertion fills nodes. */
static struct ww_onode *node_split(struct ww_opool *pool, struct ww_onode *n, bool at_edge)
{
    struct ww_onode *right = node_take(pool, CLASS_FULL, n->level);
    uint32_t keep = at_edge ? n->count - 1u : n->count / 2u;
    node_copy(right, 0, n, keep, n->count - keep);
    right->count = (uint16_t)(n->count - keep);
    n->count = (uint16_t)keep;
    return right;
}

static void root_grow(struct ww_opool *pool, struct ww_otree *tree, struct ww_onode *right)
{
    struct ww_onode *left = tree->root;
    WW_ASSERT(left->level + 2 <= WW_OTREE_HEIGHT_MAX);
    struct ww_onode *root = node_take(pool, CLASS_FULL, left->level + 1u);
    node_insert_at(root, 0, left->words[0], node_refs(left)[0], left);
    node_insert_at(root, 1, right->words[0], node_refs(right)[0], right);
    tree->root = root;
}

/* Puts (word, ref, kid) into the node at depth `d`, splitting upwards as far as needed. */
static void path_insert(struct ww_opool *pool, struct ww_otree *tree, struct path *path, uint64_t word,
    uint32_t ref, bool at_edge)
{
    struct ww_onode *kid = NULL;
    for (uint32_t d = path->depth; d-- > 0;) {
        struct ww_onode *n = path->steps[d].node;
        uint32_t at = path->steps[d].at + (n->level ? 1 : 0);
        if (n->count < n->cap) {
            node_insert_at(n, at, word, ref, kid);
            return;
        }
        struct ww_onode *right = node_split(pool, n, at_edge);
        if (at > n->count)
            node_insert_at(right, at - n->count, word, ref, kid);
        else
            node_insert_at(n, at, word, ref, kid);
        kid = right;
        word = right->words[0];
        ref = node_refs(right)[0];
    }
    root_grow(pool, tree, kid);
}

static void tree_insert_second(
    struct ww_opool *pool, struct ww_otree *tree, const struct ww_oprobe *probe, uint32_t ref)
{
    struct ww_onode *leaf = node_take(pool, 0, 0);
    node_insert_at(leaf, 0, probe->word_of(probe, tree->single), tree->single, NULL);
    node_insert_at(leaf, node_search(leaf, probe, false), probe->word, ref, NULL);
    tree->root = leaf;
    tree->single = 0;
}

void ww_otree_insert(
    struct ww_opool *pool, struct ww_otree *tree, const struct ww_oprobe *probe, uint32_t ref)
{
    struct path path;
    if (tree->count++ == 0) {
        tree->single = ref;
        return;
    }
    if (!tree->root) {
        tree_insert_second(pool, tree, probe, ref);
        return;
    }
    path_own(pool, tree, probe, &path);
    struct step *leaf = &path.steps[path.depth - 1];
    if (leaf->node->count == leaf->node->cap && leaf->node->size_class < CLASS_FULL) {
        WW_ASSERT(path.depth == 1);
        leaf->node = tree->root = leaf_grow(pool, leaf->node);
    }
    bool at_edge = leaf->at == leaf->node->count;
    for (uint32_t d = 0; at_edge && d + 1 < path.depth; d++)
        at_edge = path.steps[d].at + 1u == path.steps[d].node->count;
    if (leaf->at == 0)
        path_set_min(&path, path.depth - 1, probe->word, ref);
    path_insert(pool, tree, &path, probe->word, ref, at_edge);
}

/* ---- removal ---- */

/* Joins kid `at` of `parent` with its right neighbour when both fit into three quarters of one node. */
static bool kids_merge(struct ww_opool *pool, struct ww_onode *parent, uint32_t at)
{
    struct ww_onode **kids = node_kids(parent);
    struct ww_onode *left = kids[at], *right = kids[at + 1];
    if (left->count + right->count > left->cap * 3 / 4)
        return false;
    left = kids[at] = node_own(pool, left);
    node_copy(left, left->count, right, 0, right->count);
    left->count = (uint16_t)(left->count + right->count);
    node_give(pool, right);
    node_remove_at(parent, at + 1);
    return true;
}

/* After a removal below: drops an empty kid, joins a thin one, level by level. */
static void path_rebalance(struct ww_opool *pool, struct path *path)
{
    for (uint32_t d = path->depth - 1; d > 0; d--) {
        struct step *up = &path->steps[d - 1];
        const struct ww_onode *n = path->steps[d].node;
        if (n->count == 0) {
            node_give(pool, path->steps[d].node);
            node_remove_at(up->node, up->at);
            if (up->at == 0 && up->node->count > 0)
                path_fix_min(path, d - 1);
            continue;
        }
        if (n->count >= n->cap / 4)
            return;
        bool joined = up->at + 1u < up->node->count && kids_merge(pool, up->node, up->at);
        if (!joined && up->at > 0)
            joined = kids_merge(pool, up->node, up->at - 1);
        if (!joined)
            return;
    }
}

static void tree_shrink(struct ww_opool *pool, struct ww_otree *tree)
{
    while (tree->root->level && tree->root->count == 1) {
        struct ww_onode *old = tree->root;
        tree->root = node_kids(old)[0];
        node_give(pool, old);
    }
    struct ww_onode *root = tree->root;
    if (root->level)
        return;
    if (root->count == 1) {
        tree->single = node_refs(root)[0];
        tree->root = NULL;
        node_give(pool, root);
        return;
    }
    unsigned fit = root->size_class;
    while (fit > 0 && root->count * 2 <= leaf_cap[fit - 1])
        fit--;
    if (fit < root->size_class && pool->free[fit]) {
        struct ww_onode *small = node_take(pool, fit, 0);
        node_copy(small, 0, root, 0, root->count);
        small->count = root->count;
        tree->root = small;
        node_give(pool, root);
    }
}

void ww_otree_remove(struct ww_opool *pool, struct ww_otree *tree, const struct ww_oprobe *probe)
{
    struct path path;
    WW_ASSERT(tree->count > 0);
    if (--tree->count == 0) {
        tree->single = 0;
        return;
    }
    path_own(pool, tree, probe, &path);
    struct step *leaf = &path.steps[path.depth - 1];
    WW_ASSERT(leaf->at < leaf->node->count && leaf->node->words[leaf->at] == probe->word &&
        probe->cmp(probe, node_refs(leaf->node)[leaf->at]) == 0);
    node_remove_at(leaf->node, leaf->at);
    if (leaf->at == 0 && leaf->node->count > 0)
        path_fix_min(&path, path.depth - 1);
    path_rebalance(pool, &path);
    tree_shrink(pool, tree);
}

static void node_drop(struct ww_opool *pool, struct ww_onode *n)
{
    for (uint32_t i = 0; n->level && i < n->count; i++)
        node_drop(pool, node_kids(n)[i]);
    pool->bytes -= class_bytes(n->size_class);
    ww_free(n);
}

void ww_otree_drop(struct ww_opool *pool, struct ww_otree *tree)
{
    if (tree->root)
        node_drop(pool, tree->root);
    *tree = (struct ww_otree){0};
}

size_t ww_otree_cost(const struct ww_otree *tree)
{
    /* A copy and a neighbour a level, one level more than there are now, and a new root. */
    return tree->root ? 2u * (tree->root->level + 2u) + 1 : 1;
}

/* ---- iteration ---- */

static void iter_init(struct ww_otree_iter *it, const struct ww_otree *tree)
{
    it->depth = 0;
    it->at = 0;
    it->count = tree->root ? 0 : tree->count;
    it->single = tree->single;
}

/* Descends from `n` at depth `d` along its first or last entries. */
static void iter_descend(struct ww_otree_iter *it, const struct ww_onode *n, uint32_t d, bool last)
{
    for (;; d++) {
        uint32_t at = last ? n->count - (n->level ? 1u : 0u) : 0;
        it->path[d].node = n;
        it->path[d].at = at;
        if (!n->level)
            break;
        n = node_kids(n)[at];
    }
    it->depth = d + 1;
}

void ww_otree_first(struct ww_otree_iter *it, const struct ww_otree *tree)
{
    iter_init(it, tree);
    if (tree->root)
        iter_descend(it, tree->root, 0, false);
}

void ww_otree_last(struct ww_otree_iter *it, const struct ww_otree *tree)
{
    iter_init(it, tree);
    it->at = it->count;
    if (tree->root)
        iter_descend(it, tree->root, 0, true);
}

void ww_otree_seek(struct ww_otree_iter *it, const struct ww_otree *tree, const struct ww_oprobe *probe)
{
    iter_init(it, tree);
    if (!tree->root) {
        if (tree->count) {
            uint64_t word = probe->word_of(probe, tree->single);
            it->at = word < probe->word || (word == probe->word && probe->cmp(probe, tree->single) > 0);
        }
        return;
    }
    const struct ww_onode *n = tree->root;
    for (uint32_t d = 0;; d++) {
        uint32_t at = node_search(n, probe, false);
        if (n->level)
            at -= at > 0;
        it->path[d].node = n;
        it->path[d].at = at;
        it->depth = d + 1;
        if (!n->level)
            return;
        n = node_kids(n)[at];
    }
}

bool ww_otree_next(struct ww_otree_iter *it, uint32_t *ret_ref)
{
    if (it->depth == 0) {
        if (it->at >= it->count)
            return false;
        it->at++;
        *ret_ref = it->single;
        return true;
    }
    uint32_t d = it->depth - 1;
    if (it->path[d].at >= it->path[d].node->count) {
        do {
            if (d-- == 0)
                return false;
        } while (it->path[d].at + 1u >= it->path[d].node->count);
        it->path[d].at++;
        iter_descend(it, node_kids(it->path[d].node)[it->path[d].at], d + 1, false);
        d = it->depth - 1;
    }
    *ret_ref = node_refs(it->path[d].node)[it->path[d].at++];
    return true;
}

bool ww_otree_prev(struct ww_otree_iter *it, uint32_t *ret_ref)
{
    if (it->depth == 0) {
        if (it->at == 0)
            return false;
        it->at--;
        *ret_ref = it->single;
        return true;
    }
    uint32_t d = it->depth - 1;
    if (it->path[d].at == 0) {
        do {
            if (d-- == 0)
                return false;
        } while (it->path[d].at == 0);
        it->path[d].at--;
        iter_descend(it, node_kids(it->path[d].node)[it->path[d].at], d + 1, true);
        d = it->depth - 1;
    }
    *ret_ref = node_refs(it->path[d].node)[--it->path[d].at];
    return true;
}

uint32_t ww_otree_peek(const struct ww_otree_iter *it, uint32_t ahead, bool back)
{
    if (it->depth == 0)
        return 0;
    const struct ww_onode *n = it->path[it->depth - 1].node;
    uint32_t at = it->path[it->depth - 1].at;
    if (back)
        return at > ahead ? node_refs(n)[at - 1 - ahead] : 0;
    return ahead < n->count - at ? node_refs(n)[at + ahead] : 0;
}

/* ---- estimates and checks ---- */

/* How far into the tree the position is, from 0 to 1, taking all kids of a node for equally heavy. */
static double iter_fraction(const struct ww_otree_iter *it)
{
    double at = 0, span = 1;
    for (uint32_t d = 0; d < it->depth; d++) {
        span /= it->path[d].node->count;
        at += span * it->path[d].at;
    }
    return at;
}

size_t ww_otree_estimate(const struct ww_otree *tree, const struct ww_oprobe *lo, const struct ww_oprobe *hi)
{
    struct ww_otree_iter a, b;
    if (lo)
        ww_otree_seek(&a, tree, lo);
    else
        ww_otree_first(&a, tree);
    if (hi)
        ww_otree_seek(&b, tree, hi);
    else
        ww_otree_last(&b, tree);
    if (!tree->root)
        return b.at > a.at ? b.at - a.at : 0;
    uint32_t leaf_a = a.path[a.depth - 1].at, leaf_b = b.path[b.depth - 1].at;
    if (a.path[a.depth - 1].node == b.path[b.depth - 1].node)
        return leaf_b > leaf_a ? leaf_b - leaf_a : 0;
    double share = iter_fraction(&b) - iter_fraction(&a);
    return share <= 0 ? 0 : (size_t)(share * tree->count + 0.5);
}

struct check {
    bool (*before)(void *ctx, uint32_t a, uint32_t b);
    void *ctx;
    bool any;
    uint32_t last, seen;
};

static bool check_node(const struct ww_onode *n, const struct ww_onode *parent, uint32_t at, struct check *c)
{
    const uint32_t *refs = node_refs(n);
    if (n->count == 0 || n->count > n->cap)
        return false;
    if (parent &&
        (parent->level != n->level + 1 || parent->words[at] != n->words[0] ||
            node_refs(parent)[at] != refs[0] || n->size_class != CLASS_FULL))
        return false;
    for (uint32_t i = 0; i < n->count; i++) {
        if (i > 0 && n->words[i - 1] > n->words[i])
            return false;
        if (n->level) {
            if (!check_node(node_kids(n)[i], n, i, c))
                return false;
            continue;
        }
        if (c->any && !c->before(c->ctx, c->last, refs[i]))
            return false;
        c->any = true;
        c->last = refs[i];
        c->seen++;
    }
    return true;
}

bool ww_otree_check(const struct ww_otree *tree, bool (*before)(void *ctx, uint32_t a, uint32_t b), void *ctx)
{
    struct check c = {.before = before, .ctx = ctx};
    if (!tree->root)
        return tree->count <= 1;
    return tree->count >= 2 && check_node(tree->root, NULL, 0, &c) && c.seen == tree->count;
}
