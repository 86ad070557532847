/* capnp/json.h — how a struct looks as JSON: names, and the annotations of /capnp/compat/json.capnp. */
#ifndef WW_CAPNP_JSON_H
#define WW_CAPNP_JSON_H

#include "capnp/dyn.h"

#define WW_JSON_FLAT_MAX 16 /* structs flattened into each other; more are a circle */

/* A field's looks. */
struct ww_json_field {
    struct ww_bytes name;
    struct ww_bytes prefix; /* of the names of what is flattened */
    bool flat;              /* its members stand among those of the struct around it */
    bool base64, hex;       /* of Data */
};

/* A union's looks, where its discriminator is annotated. An empty name: none. */
struct ww_json_union {
    struct ww_bytes tag;   /* the member that holds the name of the active field */
    struct ww_bytes value; /* the member that holds its value, whatever the field's name */
    bool has_tag, has_value;
};

void ww_json_field_info(const struct ww_schema_field *f, struct ww_json_field *ret);
/* Of a group, from its field; `f` NULL: of a struct. */
void ww_json_union_info(
    const struct ww_schema *s, const struct ww_schema_field *f, struct ww_json_union *ret);
/* An enumerant's name. */
struct ww_bytes ww_json_enumerant(const struct ww_schema *s, uint16_t value);
/* False when neither the struct nor its fields have annotations of JSON: names are those of the schema. */
bool ww_json_annotated(const struct ww_schema *s);

#endif
