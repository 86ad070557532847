/* base/list.h — intrusive doubly linked list. A node that is on no list points at itself. */
#ifndef WW_BASE_LIST_H
#define WW_BASE_LIST_H

#include "base/base.h"

struct ww_list {
    struct ww_list *prev, *next;
};

static inline void ww_list_init(struct ww_list *l)
{
    l->prev = l->next = l;
}

static inline bool ww_list_empty(const struct ww_list *l)
{
    return l->next == l;
}

static inline void ww_list_insert_before(struct ww_list *at, struct ww_list *node)
{
    node->prev = at->prev;
    node->next = at;
    at->prev->next = node;
    at->prev = node;
}

static inline void ww_list_push_back(struct ww_list *l, struct ww_list *node)
{
    ww_list_insert_before(l, node);
}

static inline void ww_list_push_front(struct ww_list *l, struct ww_list *node)
{
    ww_list_insert_before(l->next, node);
}

/* Harmless on a node that is on no list (but it must have been initialized). */
static inline void ww_list_remove(struct ww_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    ww_list_init(node);
}

/* NULL when empty. */
static inline struct ww_list *ww_list_pop_front(struct ww_list *l)
{
    struct ww_list *node = l->next;
    if (node == l)
        return NULL;
    ww_list_remove(node);
    return node;
}

/* Moves all of `from` to the end of `to`. */
static inline void ww_list_splice_back(struct ww_list *to, struct ww_list *from)
{
    if (ww_list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    ww_list_init(from);
}

#define WW_LIST_ENTRY(node, type, member) WW_CONTAINER_OF(node, type, member)
#define WW_LIST_FOR(it, l) for (struct ww_list *it = (l)->next; it != (l); it = it->next)
/* The current node may be removed inside the loop. */
#define WW_LIST_FOR_SAFE(it, l)                                                                              \
    for (struct ww_list *it = (l)->next, *it##_next = it->next; it != (l);                                   \
         it = it##_next, it##_next = it->next)

#endif
