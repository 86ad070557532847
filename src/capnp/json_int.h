/* capnp/json_int.h — the two parts of the JSON parser: values by type, and members by name. */
#ifndef WW_CAPNP_JSON_INT_H
#define WW_CAPNP_JSON_INT_H

#include "capnp/json.h"
#include "capnp/text_tape.h"

/* An object or array that is being read into a struct or list. */
struct ww_json_frame {
    struct ww_type type;
    union {
        struct ww_dyn_sb s;
        struct ww_dyn_lb l;
    } at;
    const struct ww_schema_field *group; /* of a group: its field */
    uint32_t node, first, end;           /* on the tape: the next value, and where they begin and end */
    uint32_t i;                          /* of lists: the element */
    bool annotated;
    bool waiting, progress; /* of this pass over the members */
    size_t seen;            /* unions seen before this frame */
};

/* A union whose discriminator member was read. */
struct ww_json_seen {
    const uint8_t *data;
    uint32_t tag_offset;
};

struct ww_json_parser {
    struct ww_tape tape;
    struct ww_json_frame *frames;
    size_t depth, capacity;
    struct ww_json_seen *seen;
    size_t seen_count, seen_capacity;
    unsigned steps; /* of one lookup */
};

/* A field or element from the tape's node: sets it, or pushes a frame for it. */
ww_err ww_json_put_field(
    struct ww_json_parser *p, struct ww_dyn_sb s, const struct ww_schema_field *field, uint32_t node);
ww_err ww_json_put_element(struct ww_json_parser *p, struct ww_dyn_lb l, uint32_t i, uint32_t node);
ww_err ww_json_push(
    struct ww_json_parser *p, struct ww_type type, const struct ww_schema_field *group, uint32_t node);

/* What became of a member. */
enum ww_json_outcome { WW_JSON_UNKNOWN, WW_JSON_DONE, WW_JSON_WAIT };
/* Reads the member `name` of the object for the struct `s` into it, or into what is flattened into it. */
ww_err ww_json_put_member(struct ww_json_parser *p, struct ww_dyn_sb s, const struct ww_schema_field *group,
    struct ww_bytes name, uint32_t node, unsigned depth, enum ww_json_outcome *ret);

/* The bytes of a string with its quotes, into `out` when that is given. */
size_t ww_json_unescape(struct ww_bytes in, uint8_t *out);
ww_err ww_json_expected(const struct ww_json_parser *p, uint32_t node, const char *expected);
ww_err ww_json_placed(const struct ww_json_parser *p, uint32_t node, ww_err err, const struct ww_diag *inner);

#endif
