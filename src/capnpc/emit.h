/* capnpc/emit.h — the C of one schema file.
 *
 * foo.capnp.h      types, accessors, constants, ids of interfaces; needs ww/capnp.h only
 * foo.capnp.c      images of constants and of default values, descriptions of interfaces
 * foo.capnp.rpc.h  calls and servers of the interfaces, on ww/rpc.h
 * foo.capnp.rpc.c  their dispatchers
 * The last two exist when the file has interfaces.
 */
#ifndef WW_CAPNPC_EMIT_H
#define WW_CAPNPC_EMIT_H

#include "capnpc/model.h"
#include "capnpc/out.h"

struct gen {
    const struct model *m;
    struct ww_lr files;
    uint32_t file_index;
    struct node *file;
    struct node **nodes; /* of the file, outer before inner */
    size_t node_count;
    struct out h, c, rpc_h, rpc_c;
    const char **node_names; /* of embedded nodes, by their place in the model */
    const char **taken;      /* function and macro names so far */
    size_t taken_count;
    bool has_interfaces;
};

/* `name`, with underscores appended until nothing of the file has it. */
const char *claim(struct gen *g, char *name);
/* The type in C of a scalar or enum. */
const char *c_type(const struct gen *g, struct type t);
/* The name of an `enum ww_elem`. */
const char *elem_name(enum ww_elem elem);
/* `seg` as an array of words called `name`. */
void put_words(struct out *o, const char *name, struct ww_bytes seg);
/* A word image of `value` in the .c file, called `name`. */
void emit_image(struct gen *g, const char *name, struct ww_pr value);

void emit_types(struct gen *g, const struct node *n);
void emit_struct(struct gen *g, const struct node *n);
void emit_const(struct gen *g, const struct node *n);
void emit_interface(struct gen *g, const struct node *n);
void emit_rpc(struct gen *g, const struct node *n);
void emit_nodes(struct gen *g);

/* ---- deps.c: the nodes that types, brands, superclasses and annotations of a node name */

struct deps {
    const struct model *m;
    const struct node *of;
    struct node **nodes; /* the caller frees them */
    size_t count;
};

/* Fills `d` anew. */
void deps_of(struct deps *d, const struct node *n);
void deps_add(struct deps *d, const struct node *n);

#endif
