/* Cutting a stream into frames: the same frames whatever the pieces, and never more memory than bytes that
 * came. The first byte chooses packing and the sizes of the pieces. */
#include "base/base.h"
#include "ww/capnp.h"

#define FRAMES_MAX 64

struct outcome {
    uint64_t sums[FRAMES_MAX];
    size_t frames;
    ww_err err;
    bool idle;
};

static uint64_t sum(struct ww_bytes b)
{
    uint64_t h = b.len;
    for (size_t i = 0; i < b.len; i++)
        h = h * 31 + b.ptr[i];
    return h;
}

static struct outcome cut(struct ww_bytes in, bool packed, size_t piece)
{
    const struct ww_msg_limits lim = {.words = 4096, .traversal = 0, .segments = 16, .depth = 64};
    struct outcome o = {.frames = 0};
    struct ww_frame_in f;
    ww_frame_in_init(&f, packed, &lim);
    for (size_t at = 0; at < in.len && (o.err == 0 || o.err == WW_EAGAIN);) {
        size_t n = piece && piece < in.len - at ? piece : in.len - at;
        struct ww_bytes chunk = ww_bytes(in.ptr + at, n), frame;
        while ((o.err = ww_frame_in_feed(&f, &chunk, &frame)) == 0) {
            WW_ASSERT(frame.len >= 16 && frame.len % 8 == 0);
            if (o.frames < FRAMES_MAX)
                o.sums[o.frames++] = sum(frame);
        }
        WW_ASSERT(o.err != WW_EAGAIN || chunk.len == 0);
        WW_ASSERT(f.capacity <= (4096 + 16) * 8);
        at += n;
    }
    o.idle = ww_frame_in_idle(&f);
    ww_frame_in_fini(&f);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 1)
        return 0;
    bool packed = data[0] & 1;
    struct ww_bytes in = ww_bytes(data + 1, len - 1);
    struct outcome whole = cut(in, packed, 0), pieces = cut(in, packed, 1 + data[0] / 2 % 64);
    WW_ASSERT(whole.frames == pieces.frames && whole.err == pieces.err && whole.idle == pieces.idle);
    WW_ASSERT(memcmp(whole.sums, pieces.sums, whole.frames * sizeof whole.sums[0]) == 0);
    return 0;
}
