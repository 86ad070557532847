/* capnp/copy.h — deep copies of what a pointer word leads to. */
#ifndef WW_CAPNP_COPY_H
#define WW_CAPNP_COPY_H

#include "capnp/ptr.h"

enum ww_copy_mode { WW_COPY_PLAIN, WW_COPY_CANONICAL };

/* Makes the null pointer `to` lead to a copy. Errors are latched in the message of `to`. */
void ww_copy_tree(struct ww_pb to, const struct ww_seg *seg, const uint8_t *at, uint64_t w, uint8_t depth,
    enum ww_copy_mode mode);

#endif
