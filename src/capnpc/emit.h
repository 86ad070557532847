/* capnpc/emit.h — the C of one schema file.
 *
 * foo.capnp.h      types, accessors, constants, ids of interfaces; needs ww/capnp.h only
 * foo.capnp.c      images of constants and of default values, descriptions of interfaces, embedded schemas
 * foo.capnp.rpc.h  calls and servers of the interfaces, on ww/rpc.h
 * foo.capnp.rpc.c  their dispatchers
 * The last two exist when the file has interfaces, or uses brands of some.
 */
#ifndef WW_CAPNPC_EMIT_H
#define WW_CAPNPC_EMIT_H

#include "capnpc/brand.h"
#include "capnpc/model.h"
#include "capnpc/out.h"

struct gen {
    const struct model *m;
    struct ww_lr files;
    uint32_t file_index;
    struct node *file;
    struct node **nodes; /* of the file, outer before inner */
    size_t node_count;
    const struct inst **brands; /* that are used here, whatever file the generic is of */
    size_t brand_count;
    struct out h, fn; /* of the header: types, and what follows the includes */
    struct out c, rpc_h, rpc_c;
    const char **node_names; /* of embedded nodes, by their place in the model */
    const char **taken;      /* function and macro names so far: a hash table, powers of two large */
    size_t taken_count, taken_capacity;
    const char *switch_fn; /* of the struct whose members are being written */
    bool has_rpc;
};

/* collect.c: fills `nodes` and `brands`. */
void collect(struct gen *g);
/* Whether C is made of the field: of what stands there, `$C.skip` aside. */
bool field_wanted(const struct gen *g, struct field f);

/* includes.c: those that the functions in the header need. */
bool has_includes(const struct gen *g);
void emit_includes(struct gen *g);

/* `name`, with underscores appended until nothing of the file has it. */
const char *claim(struct gen *g, char *name);
/* The type in C of a scalar or enum. */
const char *c_type(struct type t);
/* The name of an `enum ww_elem`. */
const char *elem_name(enum ww_elem elem);
/* `seg` as an array of words called `name`. */
void put_words(struct out *o, const char *name, struct ww_bytes seg);
/* A word image of `value` in the .c file, called `name`. */
void emit_image(struct gen *g, const char *name, struct ww_pr value);
/* Code about a brand is the same in whatever header it stands, and the first one counts. */
void open_brand(struct out *o, const struct inst *i, const char *what);
void close_brand(struct out *o, const struct inst *i);

/* The enumerator of a union's member. */
const char *which_name(const struct node *n, struct field f);
/* `static inline RESULT NAME(PARAMS)` and the opening brace, returns the name; the end of it; one that wraps
 * an expression in the view `struct TYPE_SUFFIX`. */
const char *open_fn(struct gen *g, const char *result, char *name, const char *params);
void close_fn(struct gen *g);
void wrap_fn(
    struct gen *g, const char *type, const char *suffix, char *name, const char *params, const char *expr);

unsigned bits_of(enum type_kind kind);
bool is_pointer(enum type_kind kind);

void emit_types(struct gen *g, const struct node *n);
void emit_brand_types(struct gen *g, const struct inst *i);
void emit_struct(struct gen *g, const struct inst *i);
void emit_field(struct gen *g, const struct inst *i, struct field f);
void emit_const(struct gen *g, const struct node *n);
void emit_interface(struct gen *g, const struct node *n);
/* Calls of the methods; for the interface itself also its server. */
void emit_calls(struct gen *g, const struct inst *i);
/* `results` NULL: a stream's. */
bool results_have_caps(const struct gen *g, const struct inst *results);
void emit_server(struct gen *g, const struct inst *i);
void emit_nodes(struct gen *g);

/* The name in the schema, without its file. */
const char *short_name(const struct node *n);

/* ---- deps.c: the nodes that types, brands, superclasses and annotations of a node name */

struct deps {
    const struct model *m;
    const struct node *of;
    struct node **nodes;
    size_t count;
};

/* Fills `d` anew. */
void deps_of(struct deps *d, const struct node *n);
void deps_add(struct deps *d, const struct node *n);

#endif
