#include "test/lib/alloc_fail.h"

#include "test/lib/test.h"

#define LIVE_MAGIC UINT64_C(0x77772d6c69766521)
#define RUNS_MAX 100000u /* a body that allocates more than this in one run does not belong in such a loop   \
                          */

struct block {
    uint64_t magic;
    size_t size;
    _Alignas(16) uint8_t data[];
};

static struct {
    size_t live, total, fail_at;
    bool sticky, failed;
} track;

static bool refused(void)
{
    track.total++;
    if (track.fail_at == 0)
        return false;
    bool refuse = track.sticky ? track.total >= track.fail_at : track.total == track.fail_at;
    track.failed |= refuse;
    return refuse;
}

static void *resize(void *ctx, void *old, size_t size)
{
    WW_UNUSED(ctx);
    struct block *b = old ? WW_CONTAINER_OF(old, struct block, data) : NULL;
    WW_ASSERT(!b || b->magic == LIVE_MAGIC); /* else freed twice, or allocated before the hook was set */
    if (size > 0 && refused())
        return NULL;
    struct block *moved = NULL;
    if (size > 0) {
        /* Always a new block: code that keeps a pointer across a resize is found out. */
        moved = malloc(sizeof *moved + size);
        if (!moved)
            return NULL;
        moved->magic = LIVE_MAGIC;
        moved->size = size;
        memset(moved->data, 0xa5, size);
        if (b)
            memcpy(moved->data, b->data, b->size < size ? b->size : size);
        track.live++;
    }
    if (b) {
        b->magic = 0;
        track.live--;
        free(b);
    }
    return moved ? moved->data : NULL;
}

void alloc_track_begin(void)
{
    static const struct ww_allocator hook = {resize, NULL};
    memset(&track, 0, sizeof track);
    ww_allocator_set(&hook);
}

void alloc_track_fail(size_t n, bool sticky)
{
    track.fail_at = n ? track.total + n : 0;
    track.sticky = sticky;
    track.failed = false;
}

size_t alloc_track_live(void)
{
    return track.live;
}

bool alloc_track_failed(void)
{
    return track.failed;
}

void alloc_track_end(void)
{
    ww_allocator_set(NULL);
    assert_int_equal(track.live, 0);
}

size_t alloc_fail_run(ww_err (*body)(void *ctx), void *ctx)
{
    for (size_t n = 1; n <= RUNS_MAX; n++) {
        for (int sticky = 0; sticky < 2; sticky++) {
            alloc_track_begin();
            alloc_track_fail(n, sticky != 0);
            ww_err err = body(ctx);
            bool failed = track.failed;
            size_t total = track.total;
            if (track.live > 0)
                print_error("allocation %zu refused%s: %zu blocks leaked\n", n,
                    sticky ? " and all after" : "", track.live);
            alloc_track_end();
            if (!failed) {
                assert_int_equal(err, WW_OK);
                return total;
            }
        }
    }
    fail_msg("more than %u allocations in one run", RUNS_MAX);
    return 0;
}
