/* node/texts.h — lists of multiaddrs as people give them. */
#ifndef WW_NODE_TEXTS_H
#define WW_NODE_TEXTS_H

#include "base/buf.h"

struct ww_node_texts {
    struct ww_buf mem;
    struct ww_bytes *views; /* binary multiaddrs */
    size_t count;
};

/* `option` names the source in messages ("--peer"). WW_EINVAL, WW_ENOMEM. Needs ww_node_texts_fini in any
 * case. */
WW_MUST_USE ww_err ww_node_texts_parse(struct ww_node_texts *ret_texts, const char *const *texts,
    size_t count, const char *option, struct ww_diag *diag);
void ww_node_texts_fini(struct ww_node_texts *texts);

#endif
