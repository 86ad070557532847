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

#endif
