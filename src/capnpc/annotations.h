/* capnpc/annotations.h — the annotations that steer the generator, all of ww/c.capnp but one. */
#ifndef WW_CAPNPC_ANNOTATIONS_H
#define WW_CAPNPC_ANNOTATIONS_H

#include "capnpc/model.h"

#define ANNOTATION_PREFIX UINT64_C(0xd3a1f0c2b4e5968f)
#define ANNOTATION_NAME UINT64_C(0xc5e7a91b3d2f4680)
#define ANNOTATION_SKIP UINT64_C(0xe27b90d4a16c583f)
#define ANNOTATION_CANCEL UINT64_C(0x9d48c6e31f7ab205)
#define ANNOTATION_CXX_CANCEL UINT64_C(0xac7096ff8cfc9dce) /* allowCancellation of /capnp/c++.capnp */

/* Whether the annotation is there; then *ret_value (which may be NULL) is its Value. */
static inline bool annotation_use(struct ww_lr annotations, uint64_t id, struct ww_sr *ret_value)
{
    for (uint32_t i = 0; i < annotations.count; i++) {
        struct ww_sr a = ww_lr_struct(annotations, i);
        if (ww_layout_annotation_id(a) != id)
            continue;
        if (ret_value)
            *ret_value = ww_layout_annotation_value(a);
        return true;
    }
    return false;
}

static inline bool allows_cancellation(struct ww_lr annotations)
{
    return annotation_use(annotations, ANNOTATION_CANCEL, NULL) ||
        annotation_use(annotations, ANNOTATION_CXX_CANCEL, NULL);
}

#endif
