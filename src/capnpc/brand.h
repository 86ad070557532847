/* capnpc/brand.h — types with their parameters bound.
 *
 * An instance is a struct or interface together with what its type parameters stand for; one that binds
 * nothing is the node itself, whose parameters are AnyPointer. Instances are interned: equal ones are one
 * object. */
#ifndef WW_CAPNPC_BRAND_H
#define WW_CAPNPC_BRAND_H

#include "capnpc/model.h"

struct type {
    enum type_kind kind;
    bool is_cap;             /* AnyPointer that is constrained to capabilities */
    const struct node *n;    /* of enums */
    const struct inst *inst; /* of structs and interfaces */
    const struct type *elem; /* of lists */
};

/* What the parameters of one scope stand for. */
struct bind {
    uint64_t scope;
    uint32_t count;
    const struct type *args;
};

struct inst {
    struct inst *next;
    const struct node *n;
    const char *name; /* in C */
    const char *key;  /* equal for equal instances, whatever file they are met in */
    const struct bind *binds;
    uint32_t bind_count; /* 0: the node itself */
    unsigned depth;      /* of instances in instances */
};

const struct inst *inst_plain(const struct model *m, uint64_t id);
/* A group, with the bindings of what it belongs to. */
const struct inst *inst_group(const struct model *m, uint64_t id, const struct inst *of);
/* What `brand` makes of the node, met inside of `env`. */
const struct inst *inst_brand(const struct model *m, uint64_t id, struct ww_sr brand, const struct inst *env);
struct type type_of(const struct model *m, struct ww_sr type, const struct inst *env);

/* Whether the type, or that of its elements, is left out by annotation. */
bool type_skipped(const struct model *m, struct ww_sr type);

/* Members of an instance, their types resolved. */
struct type field_type(const struct model *m, struct field f, const struct inst *of);
const struct inst *method_params(const struct model *m, struct method method, const struct inst *of);
/* NULL for `-> stream`. */
const struct inst *method_results(const struct model *m, struct method method, const struct inst *of);
const struct inst *inst_super(const struct model *m, const struct inst *of, uint32_t i);

/* 64 bits of the key, for include guards. */
uint64_t inst_hash(const struct inst *i);

#endif
