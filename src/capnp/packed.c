/* capnp/packed.c — whole messages in packed form. */
#include "capnp/pack.h"
#include "capnp/ptr.h"

size_t ww_msg_pack_bound(struct ww_msg *m)
{
    return ww_pack_bound(ww_msg_frame_bytes(m));
}

/* The reference packs the table on its own, and its runs of zero words end with it. */
static size_t pack_table(const struct ww_msg *m, uint8_t *out)
{
    uint8_t table[256];
    size_t bytes = ww_frame_table_bytes(m), n = 0;
    uint8_t *at = bytes <= sizeof table ? table : ww_alloc(bytes);
    if (at) {
        ww_frame_table_write(m, at);
        n = ww_pack(ww_bytes(at, bytes), out);
    }
    if (at != table)
        ww_free(at);
    return n;
}

size_t ww_msg_pack(struct ww_msg *m, uint8_t *out)
{
    if (ww_msg_frame_bytes(m) == 0)
        return 0;
    size_t n = pack_table(m, out);
    if (n == 0)
        return ww_msg_fail(m, WW_ENOMEM), 0;
    for (uint32_t i = 0; i < m->seg_count; i++)
        n += ww_pack(ww_msg_seg(m, i), out + n);
    return n;
}

/* Unpacked straight into the message's own memory, whose size is known from a first pass over the tags. */
ww_err ww_msg_open_packed(struct ww_msg *m, struct ww_bytes packed, const struct ww_msg_limits *lim)
{
    uint64_t bytes, frame_bytes;
    lim = lim ? lim : &ww_msg_limits_default;
    ww_msg_reset(m);
    uint64_t table_bytes = ((uint64_t)lim->segments / 2 + 1) * 8;
    WW_TRY(ww_unpacked_bytes(packed, lim->words * 8 + table_bytes, &bytes));
    if (bytes == 0)
        return WW_ETRUNC;
    if (bytes != (size_t)bytes)
        return WW_ELIMIT;
    WW_TRY(ww_msg_mem_reserve(m, (size_t)bytes));
    WW_TRY(ww_unpack(packed, m->mem, (size_t)bytes));
    struct ww_bytes frame = {m->mem, (size_t)bytes};
    ww_err err = ww_frame_check(frame, lim, &frame_bytes);
    if (err < 0)
        return err == WW_EAGAIN ? WW_ETRUNC : err;
    return frame_bytes == bytes ? ww_msg_open_frame(m, frame, lim) : WW_EMALFORMED;
}
