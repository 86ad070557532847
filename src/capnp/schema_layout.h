/* capnp/schema_layout.h — where /capnp/schema.capnp keeps what: the one reader of that layout, which is
 * append-only. Total like all readers: what a node lacks reads as zero. */
#ifndef WW_CAPNP_SCHEMA_LAYOUT_H
#define WW_CAPNP_SCHEMA_LAYOUT_H

#include "ww/capnp.h"

#define WW_LAYOUT_NO_TAG 0xffff /* discriminantValue of a field outside of unions */

static inline struct ww_lr ww_layout_structs(struct ww_sr s, uint32_t ptr)
{
    return ww_pr_list(ww_sr_ptr(s, ptr), WW_ELEM_STRUCT);
}

static inline struct ww_bytes ww_layout_text(struct ww_sr s, uint32_t ptr)
{
    return ww_pr_text(ww_sr_ptr(s, ptr));
}

/* ---- CodeGeneratorRequest */

static inline struct ww_lr ww_layout_request_nodes(struct ww_sr request)
{
    return ww_layout_structs(request, 0);
}

static inline struct ww_lr ww_layout_request_files(struct ww_sr request)
{
    return ww_layout_structs(request, 1);
}

/* ---- RequestedFile and its imports: {id u64 0, name ptr0} both */

static inline uint64_t ww_layout_file_id(struct ww_sr file)
{
    return ww_sr_u64(file, 0);
}

static inline struct ww_bytes ww_layout_file_name(struct ww_sr file)
{
    return ww_layout_text(file, 0);
}

static inline struct ww_lr ww_layout_file_imports(struct ww_sr file)
{
    return ww_layout_structs(file, 1);
}

/* ---- Node */

static inline uint64_t ww_layout_node_id(struct ww_sr n)
{
    return ww_sr_u64(n, 0);
}

static inline struct ww_bytes ww_layout_node_name(struct ww_sr n)
{
    return ww_layout_text(n, 0);
}

static inline uint32_t ww_layout_node_prefix(struct ww_sr n)
{
    return ww_sr_u32(n, 2);
}

static inline uint64_t ww_layout_node_scope(struct ww_sr n)
{
    return ww_sr_u64(n, 2);
}

static inline uint16_t ww_layout_node_kind(struct ww_sr n)
{
    return ww_sr_u16(n, 6);
}

static inline bool ww_layout_node_generic(struct ww_sr n)
{
    return ww_sr_bool(n, 288);
}

/* {name ptr0, id u64 0} each */
static inline struct ww_lr ww_layout_node_nested(struct ww_sr n)
{
    return ww_layout_structs(n, 1);
}

static inline uint64_t ww_layout_nested_id(struct ww_sr nested)
{
    return ww_sr_u64(nested, 0);
}

static inline struct ww_lr ww_layout_node_annotations(struct ww_sr n)
{
    return ww_layout_structs(n, 2);
}

/* {name ptr0} each */
static inline struct ww_lr ww_layout_node_parameters(struct ww_sr n)
{
    return ww_layout_structs(n, 5);
}

static inline uint16_t ww_layout_struct_data_words(struct ww_sr n)
{
    return ww_sr_u16(n, 7);
}

static inline uint16_t ww_layout_struct_ptrs(struct ww_sr n)
{
    return ww_sr_u16(n, 12);
}

static inline bool ww_layout_struct_is_group(struct ww_sr n)
{
    return ww_sr_bool(n, 224);
}

static inline uint16_t ww_layout_struct_tags(struct ww_sr n)
{
    return ww_sr_u16(n, 15);
}

static inline uint32_t ww_layout_struct_tag_offset(struct ww_sr n)
{
    return ww_sr_u32(n, 8);
}

/* Fields, enumerants or methods. */
static inline struct ww_lr ww_layout_node_members(struct ww_sr n)
{
    return ww_layout_structs(n, 3);
}

/* {id u64 0, brand ptr0} each */
static inline struct ww_lr ww_layout_interface_supers(struct ww_sr n)
{
    return ww_layout_structs(n, 4);
}

static inline uint64_t ww_layout_super_id(struct ww_sr super)
{
    return ww_sr_u64(super, 0);
}

static inline struct ww_sr ww_layout_super_brand(struct ww_sr super)
{
    return ww_pr_struct(ww_sr_ptr(super, 0));
}

/* Of constants and annotations. */
static inline struct ww_sr ww_layout_node_type(struct ww_sr n)
{
    return ww_pr_struct(ww_sr_ptr(n, 3));
}

static inline struct ww_sr ww_layout_const_value(struct ww_sr n)
{
    return ww_pr_struct(ww_sr_ptr(n, 4));
}

/* Twelve bits, as declared in schema.capnp from targetsFile on. */
static inline uint16_t ww_layout_annotation_targets(struct ww_sr n)
{
    return ww_sr_u16(n, 7) & 0xfff;
}

/* ---- Field, Enumerant, Method: a name, a place in the source, annotations */

static inline struct ww_bytes ww_layout_member_name(struct ww_sr m)
{
    return ww_layout_text(m, 0);
}

static inline uint16_t ww_layout_member_order(struct ww_sr m)
{
    return ww_sr_u16(m, 0);
}

static inline struct ww_lr ww_layout_member_annotations(struct ww_sr m)
{
    return ww_layout_structs(m, 1);
}

static inline uint16_t ww_layout_field_tag(struct ww_sr f)
{
    return ww_sr_u16(f, 1) ^ WW_LAYOUT_NO_TAG;
}

/* 0 slot, 1 group */
static inline uint16_t ww_layout_field_kind(struct ww_sr f)
{
    return ww_sr_u16(f, 4);
}

static inline uint64_t ww_layout_field_group(struct ww_sr f)
{
    return ww_sr_u64(f, 2);
}

static inline uint32_t ww_layout_field_offset(struct ww_sr f)
{
    return ww_sr_u32(f, 1);
}

static inline struct ww_sr ww_layout_field_type(struct ww_sr f)
{
    return ww_pr_struct(ww_sr_ptr(f, 2));
}

static inline struct ww_sr ww_layout_field_default(struct ww_sr f)
{
    return ww_pr_struct(ww_sr_ptr(f, 3));
}

static inline bool ww_layout_field_explicit(struct ww_sr f)
{
    return ww_sr_bool(f, 128);
}

/* UINT32_MAX when the schema gives none (groups). */
static inline uint32_t ww_layout_field_ordinal(struct ww_sr f)
{
    return ww_sr_u16(f, 5) == 1 ? ww_sr_u16(f, 6) : UINT32_MAX;
}

static inline uint64_t ww_layout_method_params(struct ww_sr m)
{
    return ww_sr_u64(m, 1);
}

static inline uint64_t ww_layout_method_results(struct ww_sr m)
{
    return ww_sr_u64(m, 2);
}

static inline struct ww_sr ww_layout_method_params_brand(struct ww_sr m)
{
    return ww_pr_struct(ww_sr_ptr(m, 2));
}

static inline struct ww_sr ww_layout_method_results_brand(struct ww_sr m)
{
    return ww_pr_struct(ww_sr_ptr(m, 3));
}

/* ---- Annotation: {id u64 0, value ptr0, brand ptr1} */

static inline uint64_t ww_layout_annotation_id(struct ww_sr a)
{
    return ww_sr_u64(a, 0);
}

static inline struct ww_sr ww_layout_annotation_value(struct ww_sr a)
{
    return ww_pr_struct(ww_sr_ptr(a, 0));
}

static inline struct ww_sr ww_layout_annotation_brand(struct ww_sr a)
{
    return ww_pr_struct(ww_sr_ptr(a, 1));
}

/* ---- Type */

static inline uint16_t ww_layout_type_kind(struct ww_sr t)
{
    return ww_sr_u16(t, 0);
}

static inline uint64_t ww_layout_type_id(struct ww_sr t)
{
    return ww_sr_u64(t, 1);
}

static inline struct ww_sr ww_layout_type_elem(struct ww_sr t)
{
    return ww_pr_struct(ww_sr_ptr(t, 0));
}

static inline struct ww_sr ww_layout_type_brand(struct ww_sr t)
{
    return ww_pr_struct(ww_sr_ptr(t, 0));
}

/* 0 unconstrained, 1 a type parameter, 2 a method's implicit parameter */
static inline uint16_t ww_layout_any_kind(struct ww_sr t)
{
    return ww_sr_u16(t, 4);
}

/* Unconstrained: 0 anything, 1 struct, 2 list, 3 capability. Else the parameter's index. */
static inline uint16_t ww_layout_any_detail(struct ww_sr t)
{
    return ww_sr_u16(t, 5);
}

static inline uint64_t ww_layout_any_scope(struct ww_sr t)
{
    return ww_sr_u64(t, 2);
}

/* ---- Brand: scopes ptr0. Scope: {id u64 0, kind u16 4 (0 bind, 1 inherit), bindings ptr0}. Binding: {kind
 * u16 0 (0 unbound, 1 type), type ptr0} */

static inline struct ww_lr ww_layout_brand_scopes(struct ww_sr brand)
{
    return ww_layout_structs(brand, 0);
}

static inline uint64_t ww_layout_scope_id(struct ww_sr scope)
{
    return ww_sr_u64(scope, 0);
}

static inline uint16_t ww_layout_scope_kind(struct ww_sr scope)
{
    return ww_sr_u16(scope, 4);
}

static inline struct ww_lr ww_layout_scope_bindings(struct ww_sr scope)
{
    return ww_layout_structs(scope, 0);
}

static inline uint16_t ww_layout_binding_kind(struct ww_sr binding)
{
    return ww_sr_u16(binding, 0);
}

static inline struct ww_sr ww_layout_binding_type(struct ww_sr binding)
{
    return ww_pr_struct(ww_sr_ptr(binding, 0));
}

/* ---- Value: its tag is that of the type */

static inline uint16_t ww_layout_value_kind(struct ww_sr v)
{
    return ww_sr_u16(v, 0);
}

/* The bits of a scalar of type `kind` (numbers of Type); 0 for others. */
static inline uint64_t ww_layout_value_bits(unsigned kind, struct ww_sr v)
{
    switch (kind) {
    case 1: /* Bool */
        return ww_sr_bool(v, 16);
    case 2: /* Int8 */
    case 6:
        return ww_sr_u8(v, 2);
    case 3: /* Int16 */
    case 7:
    case 15: /* enum */
        return ww_sr_u16(v, 1);
    case 4: /* Int32 */
    case 8:
    case 10: /* Float32 */
        return ww_sr_u32(v, 1);
    case 5: /* Int64 */
    case 9:
    case 11: /* Float64 */
        return ww_sr_u64(v, 1);
    default:
        return 0;
    }
}

static inline struct ww_pr ww_layout_value_ptr(struct ww_sr v)
{
    return ww_sr_ptr(v, 0);
}

#endif
