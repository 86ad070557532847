/* The schemas that the fuzz targets of text and JSON work with: the kitchen and the annotated one, loaded
 * once. */
#ifndef WW_FUZZ_SCHEMAS_H
#define WW_FUZZ_SCHEMAS_H

#include "base/base.h"
#include "ww/schema.h"

#include "annotated.capnp.h"
#include "kitchen.capnp.h"

static inline struct ww_type fuzz_type(unsigned which)
{
    static const char *const names[] = {"kitchen.capnp:Scalars", "kitchen.capnp:Pointers",
        "kitchen.capnp:Lists", "kitchen.capnp:Shape", "kitchen.capnp:UsesPair", "annotated.capnp:Root",
        "annotated.capnp:Shape", "annotated.capnp:Bare"};
    static struct ww_schema_set *set;
    if (!set) {
        WW_ASSERT(ww_schema_set_new(NULL, &set) == 0);
        WW_ASSERT(ww_schema_load_embedded(set, &kitchen_file_node, NULL, NULL) == 0);
        WW_ASSERT(ww_schema_load_embedded(set, &annotated_file_node, NULL, NULL) == 0);
    }
    const struct ww_schema *s = ww_schema_by_name(set, names[which % WW_COUNT_OF(names)]);
    WW_ASSERT(s);
    return ww_type_of(s);
}

typedef ww_err fuzz_print_fn(struct ww_dyn_struct s, bool pretty, struct ww_str *out, struct ww_diag *diag);

/* Prints what was built, read as strictly as if it had been received. */
static inline ww_err fuzz_print(
    struct ww_msg *m, struct ww_type type, fuzz_print_fn *print, bool pretty, struct ww_str *out)
{
    static const struct ww_msg_limits lim = {
        .words = 1 << 20, .traversal = 1 << 24, .segments = 64, .depth = 64};
    struct ww_dyn_struct s;
    struct ww_msg copy;
    size_t bytes = ww_msg_frame_bytes(m);
    uint8_t *frame = ww_alloc(bytes);
    ww_msg_init(&copy, NULL);
    ww_msg_frame_write(m, frame);
    ww_err err = ww_msg_open(&copy, ww_bytes(frame, bytes), &lim);
    if (err == 0)
        err = ww_dyn_root(ww_msg_root(&copy), type, &s, NULL);
    if (err == 0)
        err = print(s, pretty, out, NULL);
    ww_msg_fini(&copy);
    ww_free(frame);
    return err;
}

#endif
