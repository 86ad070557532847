/* capnpc/model.h — a CodeGeneratorRequest as the generator sees it: nodes by id, with their names in C.
 *
 * The request is read in place. Layouts are those of /capnp/schema.capnp, which is append-only; this is the
 * one file that knows its offsets.
 */
#ifndef WW_CAPNPC_MODEL_H
#define WW_CAPNPC_MODEL_H

#include "base/base.h"
#include "capnp/schema_layout.h"

enum node_kind { NODE_FILE, NODE_STRUCT, NODE_ENUM, NODE_INTERFACE, NODE_CONST, NODE_ANNOTATION };

enum type_kind {
    TYPE_VOID,
    TYPE_BOOL,
    TYPE_INT8,
    TYPE_INT16,
    TYPE_INT32,
    TYPE_INT64,
    TYPE_UINT8,
    TYPE_UINT16,
    TYPE_UINT32,
    TYPE_UINT64,
    TYPE_FLOAT32,
    TYPE_FLOAT64,
    TYPE_TEXT,
    TYPE_DATA,
    TYPE_LIST,
    TYPE_ENUM,
    TYPE_STRUCT,
    TYPE_INTERFACE,
    TYPE_ANY,
};

/* /capnp/stream.capnp:StreamResult, the result of methods declared `-> stream`. */
#define STREAM_RESULT UINT64_C(0x995f9a3377c0b16e)

struct node {
    uint64_t id;
    struct ww_sr s;
    const char *name;   /* in C, with prefix; NULL for what no requested file reaches */
    const char *schema; /* file.capnp:Outer.Inner, without directories */
    struct node *file;
    const struct node *iface; /* of parameters and results that the compiler made: the method's interface */
    struct ww_lr annotations, children;
    struct ww_lr members; /* fields, enumerants, methods */
    struct ww_lr supers;  /* of interfaces */
    bool skip;            /* by annotation: no C is made of it */
    struct inst *plain;   /* of brand.h: the instance that binds nothing */
};

struct inst_table {
    struct inst *first;
    size_t count;
};

struct model {
    struct ww_msg *msg;
    struct ww_msg *flat, *copy; /* scratch; the caller's, so that they are finished whatever happens */
    struct node *nodes;
    size_t count;
    bool *embedded;           /* scratch of emit_nodes, one for each node */
    struct inst_table *insts; /* of brand.h */
};

struct field {
    const char *name;
    uint16_t tag; /* WW_LAYOUT_NO_TAG outside of unions */
    bool is_group;
    uint64_t group;
    uint32_t offset;
    struct ww_sr type;
    struct ww_sr value; /* the default, a Value */
    bool has_default;
    bool skip;
};

struct method {
    const char *name;
    const char *schema; /* the name in the schema */
    uint16_t index;
    uint64_t params, results;
    struct ww_sr params_brand, results_brand;
    bool allow_cancellation; /* by annotation of the method, its interface or its file */
};

/* Ends the program: what is wrong with the request, and in which node. */
_Noreturn void broken(const char *what, uint64_t id);

/* Ends the program with a message when the request is malformed. */
void model_init(struct model *m, struct ww_msg *request);
/* The node as one canonical segment, its display name without directories: no trace of where the compiler
 * ran. Valid until `flat` is used again. */
struct ww_bytes model_flatten(const struct model *m, const struct node *n);

/* names.c: gives every node its name in C. `dir/some-file.capnp` has the stem `some_file`. */
void name_nodes(const struct model *m);
char *file_stem(const struct node *file);
/* The name that $C.name gives, or else the text at pointer 0. */
const char *own_name(struct ww_sr s, struct ww_lr annotations, uint64_t id);
/* Words of C and C++, and what their headers define as macros. */
bool is_reserved(const char *word);

struct ww_lr model_files(const struct model *m);
/* NULL when the request does not have it. */
struct node *model_node(const struct model *m, uint64_t id);
/* The same, where the request must have it. */
struct node *model_need(const struct model *m, uint64_t id);

enum node_kind node_kind(const struct node *n);
uint16_t node_data_words(const struct node *n);
uint16_t node_ptrs(const struct node *n);
uint16_t node_tags(const struct node *n);
uint32_t node_tag_offset(const struct node *n);
bool node_is_group(const struct node *n);
uint64_t node_scope(const struct node *n);
/* NULL for a child that the request leaves out. */
struct node *child_node(const struct model *m, const struct node *n, uint32_t i);

uint32_t field_count(const struct node *n);
struct field node_field(const struct node *n, uint32_t i);
uint32_t enumerant_count(const struct node *n);
const char *enumerant_name(const struct node *n, uint32_t i);
uint32_t method_count(const struct node *n);
struct method node_method(const struct node *n, uint32_t i);
uint32_t super_count(const struct node *n);
uint64_t node_super(const struct node *n, uint32_t i);
struct ww_sr node_super_brand(const struct node *n, uint32_t i);

struct ww_sr const_type(const struct node *n);
struct ww_sr const_value(const struct node *n);
/* The bits of a scalar Value. */
struct ww_pr value_ptr(struct ww_sr value);
enum ww_elem elem_of(enum type_kind kind);

const char *file_path(struct ww_lr files, uint32_t i);
uint64_t file_id(struct ww_lr files, uint32_t i);
/* The name under which file `i` imports the file `id`; NULL when it does so only through others. */
const char *file_import(struct ww_lr files, uint32_t i, uint64_t id);

#endif
