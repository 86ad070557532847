/* The kitchen's schemas, from what generated code embeds, for tests by schema. */
#ifndef WW_TEST_SCHEMA_RIG_H
#define WW_TEST_SCHEMA_RIG_H

#include "ww/schema.h"

#include "kitchen.capnp.h"
#include "test/lib/alloc_fail.h"
#include "test/lib/test.h"

static inline ww_err rig_load(struct ww_schema_set **ret_set)
{
    WW_TRY(ww_schema_set_new(NULL, ret_set));
    ww_err err = ww_schema_load_embedded(*ret_set, &kitchen_file_node, NULL, NULL);
    if (err < 0)
        ww_schema_set_free(*ret_set);
    return err;
}

static struct ww_schema_set *rig_set;

static inline int rig_setup(void **state)
{
    assert_ok(rig_load(&rig_set));
    return 0;
}

static inline int rig_teardown(void **state)
{
    ww_schema_set_free(rig_set);
    return 0;
}

static inline struct ww_type rig_type(const char *name)
{
    const struct ww_schema *s = ww_schema_by_name(rig_set, name);
    assert_non_null(s);
    return ww_type_of(s);
}

static inline struct ww_dyn_sb rig_build(struct ww_msg *m, const char *type)
{
    struct ww_dyn_sb s;
    ww_msg_init(m, NULL);
    assert_ok(ww_dyn_init_root(ww_msg_root_builder(m), rig_type(type), &s, NULL));
    return s;
}

static inline const struct ww_schema_field *rig_field(struct ww_type t, const char *name)
{
    const struct ww_schema_field *f = ww_schema_field(t.node, name);
    assert_non_null(f);
    return f;
}

#endif
