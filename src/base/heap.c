#include "base/heap.h"

static bool before(const struct ww_heap_node *a, const struct ww_heap_node *b)
{
    return a->key != b->key ? a->key < b->key : a->order < b->order;
}

static struct ww_heap_node *meld(struct ww_heap_node *a, struct ww_heap_node *b)
{
    if (!a || !b)
        return a ? a : b;
    if (before(b, a)) {
        struct ww_heap_node *t = a;
        a = b;
        b = t;
    }
    b->prev = a;
    b->next = a->child;
    if (a->child)
        a->child->prev = b;
    a->child = b;
    return a;
}

/* Two passes, with a stack threaded through `prev` instead of recursion. */
static struct ww_heap_node *merge_pairs(struct ww_heap_node *first)
{
    struct ww_heap_node *stack = NULL;
    while (first) {
        struct ww_heap_node *a = first, *b = a->next;
        first = b ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b)
            b->next = b->prev = NULL;
        struct ww_heap_node *pair = meld(a, b);
        pair->prev = stack;
        stack = pair;
    }
    struct ww_heap_node *root = NULL;
    while (stack) {
        struct ww_heap_node *down = stack->prev;
        stack->prev = NULL;
        root = meld(root, stack);
        stack = down;
    }
    return root;
}

void ww_heap_insert(struct ww_heap *h, struct ww_heap_node *node, uint64_t key)
{
    *node = (struct ww_heap_node){.key = key, .order = h->next_order++};
    h->root = meld(h->root, node);
    h->count++;
}

void ww_heap_remove(struct ww_heap *h, struct ww_heap_node *node)
{
    struct ww_heap_node *sub = merge_pairs(node->child);
    if (node == h->root) {
        h->root = sub;
    } else {
        if (node->prev->child == node)
            node->prev->child = node->next;
        else
            node->prev->next = node->next;
        if (node->next)
            node->next->prev = node->prev;
        h->root = meld(h->root, sub);
    }
    node->child = node->next = node->prev = NULL;
    h->count--;
}
