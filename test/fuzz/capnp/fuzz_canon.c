/* Canonical form of whatever can be read: it has one spelling, is canonical, equal to its source, no larger
 * than the source's own size query says, and does not depend on segments. */
#include "base/base.h"
#include "ww/capnp.h"

static const struct ww_msg_limits lim = {.words = 1 << 13, .traversal = 1 << 14, .segments = 8, .depth = 64};

static struct ww_pr reopen(struct ww_msg *m, struct ww_bytes frame)
{
    WW_ASSERT(ww_msg_open(m, frame, &lim) == 0);
    return ww_msg_root(m);
}

static void check(struct ww_msg *m, struct ww_bytes frame, uint32_t hint)
{
    struct ww_msg once, twice, copy;
    ww_msg_init(&once, NULL);
    ww_msg_init(&twice, NULL);
    ww_msg_init(&copy, NULL);
    ww_msg_hint(&copy, hint);
    ww_err err = ww_msg_canonicalize(&once, reopen(m, frame));
    if (err == 0) {
        struct ww_bytes bytes = ww_msg_seg(&once, 0);
        WW_ASSERT(ww_msg_seg_count(&once) == 1);
        WW_ASSERT(ww_msg_is_canonical(&once));
        WW_ASSERT(ww_msg_canonicalize(&twice, ww_msg_root(&once)) == 0);
        WW_ASSERT(ww_bytes_eq(bytes, ww_msg_seg(&twice, 0)));
        /* a reader who spends its budget on both sides at once may run out */
        WW_ASSERT(ww_pr_equal(reopen(m, frame), ww_msg_root(&once)) || ww_msg_err(m) < 0);
        struct ww_size size = ww_pr_size(reopen(m, frame));
        WW_ASSERT(ww_msg_err(m) < 0 || (size.caps == 0 && size.words * 8 >= bytes.len - 8));
        ww_pb_set(ww_msg_root_builder(&copy), reopen(m, frame));
        if (ww_msg_err(&copy) == 0) {
            WW_ASSERT(ww_msg_canonicalize(&twice, ww_msg_root(&copy)) == 0);
            WW_ASSERT(ww_bytes_eq(bytes, ww_msg_seg(&twice, 0)));
            WW_ASSERT(ww_pr_size(ww_msg_root(&copy)).words == size.words || ww_msg_err(m) < 0);
        }
    } else {
        reopen(m, frame);
        WW_ASSERT(!ww_msg_is_canonical(m));
    }
    ww_msg_fini(&copy);
    ww_msg_fini(&twice);
    ww_msg_fini(&once);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    if (ww_msg_open(&m, ww_bytes(data, len), &lim) == 0)
        check(&m, ww_bytes(data, len), data[len - 1]);
    ww_msg_fini(&m);
    return 0;
}
