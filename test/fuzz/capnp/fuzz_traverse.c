/* Reading a message that nobody vouched for: every accessor stays inside the bytes and inside the budget. */
#include "walk.h"

static volatile uint64_t sink;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct ww_msg_limits lim = {.words = 1 << 16, .traversal = 2048, .segments = 8, .depth = 64};
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    /* An exact copy, so that a sanitizer sees the end. */
    uint8_t *copy = ww_alloc(len + 1);
    memcpy(copy, data, len);
    if (ww_msg_open(&m, ww_bytes(copy, len), &lim) == 0) {
        sink += walk_ptr(ww_msg_root(&m));
        WW_ASSERT(ww_msg_open(&m, ww_bytes(copy, len), &lim) == 0);
        sink += walk_wrongly(ww_msg_root(&m));
        struct ww_sr s = ww_pr_struct(ww_msg_root(&m));
        for (uint32_t i = 0; i < s.ptrs; i++)
            sink += walk_wrongly(ww_sr_ptr(s, i));
    }
    ww_msg_fini(&m);
    ww_free(copy);
    return 0;
}
