/* test/lib/alloc_count.h — an allocator that counts: what is held now and was at most, and how often somebody
 * asked. Each program that includes it has its own counters. */
#ifndef WW_TEST_LIB_ALLOC_COUNT_H
#define WW_TEST_LIB_ALLOC_COUNT_H

#include "test/lib/test.h"

static struct {
    size_t now, peak; /* bytes */
    uint64_t calls;   /* allocations */
} mem;

static inline void *alloc_count_resize(void *ctx, void *old, size_t size)
{
    enum { PREFIX = 16 }; /* where the size is kept */
    WW_UNUSED(ctx);
    uint8_t *base = old ? (uint8_t *)old - PREFIX : NULL;
    size_t before = 0;
    if (base)
        memcpy(&before, base, sizeof before);
    if (size == 0) {
        mem.now -= before;
        free(base);
        return NULL;
    }
    mem.calls++;
    base = realloc(base, size + PREFIX);
    if (!base)
        abort();
    memcpy(base, &size, sizeof size);
    mem.now += size - before;
    if (mem.now > mem.peak)
        mem.peak = mem.now;
    return base + PREFIX;
}

/* Before anything is allocated. */
static inline void alloc_count_start(void)
{
    static const struct ww_allocator counting = {.resize = alloc_count_resize};
    ww_allocator_set(&counting);
}

#endif
