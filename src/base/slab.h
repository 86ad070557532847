/* base/slab.h — an immutable, reference-counted payload: one copy for all receivers of a fan-out.
 * Single-threaded. */
#ifndef WW_BASE_SLAB_H
#define WW_BASE_SLAB_H

#include "base/base.h"

struct ww_slab {
    uint32_t refs;
    size_t len;
    uint8_t data[];
};

/* One reference, bytes uninitialized; NULL when memory is out. */
static inline struct ww_slab *ww_slab_new(size_t len)
{
    struct ww_slab *s = ww_alloc(sizeof *s + len);
    if (s)
        *s = (struct ww_slab){.refs = 1, .len = len};
    return s;
}

static inline struct ww_slab *ww_slab_copy(struct ww_bytes data)
{
    struct ww_slab *s = ww_slab_new(data.len);
    if (s && data.len)
        memcpy(s->data, data.ptr, data.len);
    return s;
}

static inline struct ww_slab *ww_slab_ref(struct ww_slab *s)
{
    s->refs++;
    return s;
}

static inline void ww_slab_unref(struct ww_slab *s)
{
    if (s && --s->refs == 0)
        ww_free(s);
}

static inline struct ww_bytes ww_slab_view(const struct ww_slab *s)
{
    return ww_bytes(s->data, s->len);
}

#endif
