/* capnp/json_info.c — the annotations of /capnp/compat/json.capnp. */
#include "capnp/json.h"
#include "capnp/schema_layout.h"

#define JSON_NAME UINT64_C(0xfa5b1fd61c2e7c3d)
#define JSON_FLATTEN UINT64_C(0x82d3e852af0336bf)
#define JSON_DISCRIMINATOR UINT64_C(0xcfa794e8d19a0162)
#define JSON_BASE64 UINT64_C(0xd7d879450a253e4b)
#define JSON_HEX UINT64_C(0xf061e22f0ae5c7b5)

static struct ww_bytes renamed(struct ww_lr annotations, const char *name)
{
    struct ww_schema_value v;
    return ww_schema_annotation(annotations, JSON_NAME, WW_TYPE_TEXT, &v) ? ww_pr_text(v.at)
                                                                          : ww_bytes_str(name);
}

void ww_json_field_info(const struct ww_schema_field *f, struct ww_json_field *ret)
{
    struct ww_schema_value v;
    *ret = (struct ww_json_field){.name = ww_bytes_str(f->name)};
    if (f->annotations.count == 0)
        return;
    bool is_struct = !f->type.lists && f->type.base == WW_TYPE_STRUCT;
    bool is_data = !f->type.lists && f->type.base == WW_TYPE_DATA;
    ret->name = renamed(f->annotations, f->name);
    ret->flat = is_struct && ww_schema_annotation(f->annotations, JSON_FLATTEN, WW_TYPE_STRUCT, &v);
    if (ret->flat)
        ret->prefix = ww_pr_text(ww_sr_ptr(ww_pr_struct(v.at), 0));
    ret->base64 = is_data && ww_schema_annotation(f->annotations, JSON_BASE64, WW_TYPE_VOID, NULL);
    ret->hex = is_data && ww_schema_annotation(f->annotations, JSON_HEX, WW_TYPE_VOID, NULL);
}

void ww_json_union_info(const struct ww_schema *s, const struct ww_schema_field *f, struct ww_json_union *ret)
{
    struct ww_schema_value v;
    bool group = f && f->is_group;
    memset(ret, 0, sizeof *ret);
    struct ww_lr annotations = group ? f->annotations : s->annotations;
    if (!ww_schema_annotation(annotations, JSON_DISCRIMINATOR, WW_TYPE_STRUCT, &v))
        return;
    struct ww_sr options = ww_pr_struct(v.at);
    if (ww_sr_has(options, 0)) {
        ret->has_tag = true;
        ret->tag = ww_pr_text(ww_sr_ptr(options, 0));
    } else if (group && ww_schema_annotation(f->annotations, JSON_FLATTEN, WW_TYPE_STRUCT, NULL)) {
        ret->has_tag = true;
        ret->tag = ww_bytes_str(f->name);
    }
    ret->has_value = ww_sr_has(options, 1);
    ret->value = ww_pr_text(ww_sr_ptr(options, 1));
}

struct ww_bytes ww_json_enumerant(const struct ww_schema *s, uint16_t value)
{
    return renamed(s->enumerants[value].annotations, s->enumerants[value].name);
}

static bool has_json(struct ww_lr annotations)
{
    for (uint32_t i = 0; i < annotations.count; i++) {
        uint64_t id = ww_layout_annotation_id(ww_lr_struct(annotations, i));
        if (id == JSON_NAME || id == JSON_FLATTEN || id == JSON_DISCRIMINATOR || id == JSON_BASE64 ||
            id == JSON_HEX)
            return true;
    }
    return false;
}

bool ww_json_annotated(const struct ww_schema *s)
{
    if (has_json(s->annotations))
        return true;
    for (uint32_t i = 0; i < s->count; i++) {
        if (has_json(s->fields[i].annotations))
            return true;
    }
    return false;
}
