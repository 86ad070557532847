/* capnp/dyn.h — what dynamic access shares with the text and JSON forms. */
#ifndef WW_CAPNP_DYN_H
#define WW_CAPNP_DYN_H

#include "capnp/schema_int.h"

/* The element size of a list of these. */
enum ww_elem ww_dyn_elem(struct ww_type elem);

/* A struct's node, when it can be used: WW_ENOTFOUND for placeholders, WW_EINVAL for what is no struct. */
ww_err ww_dyn_check(struct ww_type type, struct ww_diag *diag);

/* The message's own error, where building goes. */
ww_err ww_dyn_built(const struct ww_seg *seg, struct ww_diag *diag);

/* Errors, in words: `err` with a field; a field of another struct; a field that is not `what`; an element. */
ww_err ww_dyn_field_error(const struct ww_schema_field *f, ww_err err, struct ww_diag *diag);
ww_err ww_dyn_strange_field(const struct ww_schema_field *f, struct ww_type type, struct ww_diag *diag);
ww_err ww_dyn_not_a(
    const struct ww_schema_field *f, struct ww_type type, const char *what, struct ww_diag *diag);
ww_err ww_dyn_no_element(uint32_t i, struct ww_diag *diag);

/* A scalar of a type from a value, as the bits to be stored. Range and type are checked. */
ww_err ww_dyn_scalar(
    struct ww_type to, const struct ww_dyn_value *v, uint64_t *ret_bits, struct ww_diag *diag);

/* Sets a pointer to a value of type `to`. */
ww_err ww_dyn_set_pointer(
    struct ww_pb p, struct ww_type to, const struct ww_dyn_value *v, struct ww_diag *diag);

/* "no field `x` in file.capnp:T; did you mean `y`?" */
ww_err ww_dyn_no_field(const struct ww_schema *s, const char *name, struct ww_diag *diag);
/* The name of `count` (by `get`) that is like `name`, or NULL. */
const char *ww_dyn_similar(const char *name, uint32_t count,
    const char *(*get)(const struct ww_schema *s, uint32_t i), const struct ww_schema *s);
const char *ww_dyn_field_name(const struct ww_schema *s, uint32_t i);
const char *ww_dyn_enumerant_name(const struct ww_schema *s, uint32_t i);

/* Makes a member of a union the active one. */
static inline void ww_dyn_select(struct ww_dyn_sb s, const struct ww_schema_field *f)
{
    if (f->tag != WW_SCHEMA_NO_TAG)
        ww_sb_set_u16(s.b, s.type.node->tag_offset, f->tag);
}

#endif
