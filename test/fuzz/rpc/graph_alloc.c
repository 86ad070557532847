/* Memory that is counted, and that runs out on demand. */
#include <stdlib.h>

#include "graph.h"

static struct {
    size_t live, total, fail_at;
    unsigned spare;
    bool sticky, refused;
} track;

struct block {
    size_t size;
    _Alignas(16) uint8_t data[];
};

static bool refuse(void)
{
    if (track.spare > 0)
        return false;
    track.total++;
    if (track.fail_at == 0 || track.total < track.fail_at || (!track.sticky && track.total > track.fail_at))
        return false;
    track.refused = true;
    return true;
}

static void *resize(void *ctx, void *old, size_t size)
{
    WW_UNUSED(ctx);
    struct block *b = old ? WW_CONTAINER_OF(old, struct block, data) : NULL;
    if (size == 0) {
        track.live -= b != NULL;
        free(b);
        return NULL;
    }
    if (refuse())
        return NULL;
    struct block *moved = realloc(b, sizeof *moved + size);
    if (!moved)
        return NULL;
    size_t before = b ? moved->size : 0;
    if (size > before)
        memset(moved->data + before, 0xa5, size - before);
    moved->size = size;
    track.live += b == NULL;
    return moved->data;
}

void graph_alloc_begin(size_t fail_at, bool sticky)
{
    static const struct ww_allocator hook = {resize, NULL};
    memset(&track, 0, sizeof track);
    track.fail_at = fail_at;
    track.sticky = sticky;
    ww_allocator_set(&hook);
}

void graph_alloc_spare(bool on)
{
    if (on)
        track.spare++;
    else
        track.spare--;
}

bool graph_alloc_refused(void)
{
    return track.refused;
}

size_t graph_alloc_count(void)
{
    return track.total;
}

size_t graph_alloc_live(void)
{
    return track.live;
}

void graph_alloc_end(void)
{
    ww_allocator_set(NULL);
}
