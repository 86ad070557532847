/* ww/schema.h — Cap'n Proto schemas at run time: what generated code knows, for messages of types that are
 * only known when the program runs.
 *
 * The model. A schema set holds nodes (files, structs, enums, interfaces, constants, annotations) that were
 * loaded from a compiler's request, from single Node structs or from what generated code embeds. Loading
 * checks everything that later accesses rely on, so schemas may come from anywhere. A node that is named but
 * was not loaded is a placeholder: it can be passed around, and using it fails with WW_ENOTFOUND. A `struct
 * ww_type` is a type as a value: what a field, a list element or a parameter may be.
 *
 * Ownership. Everything that a set hands out belongs to it and stays in place until the set is freed; loading
 * a newer version of a node changes the node in place. All structs here are to be read, not written. A set is
 * changed by loading and also by asking for the types of generic structs.
 *
 * Source: /capnp/schema.capnp; capnproto.org/language.html.
 */
#ifndef WW_SCHEMA_H
#define WW_SCHEMA_H

#include "ww/capnp.h"

#ifdef __cplusplus
extern "C" {
#endif

struct ww_schema_set;
struct ww_brand; /* what the parameters of generic types are bound to */

/* ---- types */

/* Numbered as schema.capnp numbers Type. */
enum ww_type_kind {
    WW_TYPE_VOID = 0,
    WW_TYPE_BOOL = 1,
    WW_TYPE_INT8 = 2,
    WW_TYPE_INT16 = 3,
    WW_TYPE_INT32 = 4,
    WW_TYPE_INT64 = 5,
    WW_TYPE_UINT8 = 6,
    WW_TYPE_UINT16 = 7,
    WW_TYPE_UINT32 = 8,
    WW_TYPE_UINT64 = 9,
    WW_TYPE_FLOAT32 = 10,
    WW_TYPE_FLOAT64 = 11,
    WW_TYPE_TEXT = 12,
    WW_TYPE_DATA = 13,
    WW_TYPE_LIST = 14,
    WW_TYPE_ENUM = 15,
    WW_TYPE_STRUCT = 16,
    WW_TYPE_INTERFACE = 17,
    WW_TYPE_ANY = 18,
};

/* What an AnyPointer may be. The last two stand in declarations only: a field's type as ww_schema_field_type
 * gives it has them replaced by what they are bound to. */
enum ww_any_kind {
    WW_ANY_POINTER = 0,
    WW_ANY_STRUCT = 1,
    WW_ANY_LIST = 2,
    WW_ANY_CAP = 3,
    WW_ANY_PARAM = 4,
    WW_ANY_METHOD_PARAM = 5,
};

/* A type: `lists` times List( around a `base`. */
struct ww_type {
    uint8_t base;                 /* enum ww_type_kind, never WW_TYPE_LIST */
    uint8_t lists;                /* 0 to 32 */
    uint8_t any;                  /* enum ww_any_kind, of WW_TYPE_ANY */
    bool open;                    /* mentions type parameters */
    uint16_t param;               /* index of a type parameter */
    const struct ww_schema *node; /* of enums, structs, interfaces */
    const struct ww_brand *brand; /* NULL: no parameter is bound */
    uint64_t scope;               /* id of the node that declares the type parameter */
};

static inline enum ww_type_kind ww_type_kind(struct ww_type t)
{
    return t.lists ? WW_TYPE_LIST : (enum ww_type_kind)t.base;
}

static inline bool ww_type_is_pointer(struct ww_type t)
{
    return t.lists || t.base == WW_TYPE_TEXT || t.base == WW_TYPE_DATA || t.base >= WW_TYPE_STRUCT;
}

/* Of a list type: what is in it. */
static inline struct ww_type ww_type_elem(struct ww_type t)
{
    t.lists--;
    return t;
}

/* A type without parameters: "UInt8", "List(Text)", "List(file.capnp:Point)", into `out` of `size` bytes, cut
 * where it does not fit. Returns `out`. For messages to people. */
WW_API const char *ww_type_name(struct ww_type t, char *out, size_t size);
/* Equality. Types of different sets differ. */
WW_API bool ww_type_equal(struct ww_type a, struct ww_type b);

/* ---- nodes */

enum ww_schema_kind {
    WW_SCHEMA_FILE = 0,
    WW_SCHEMA_STRUCT = 1,
    WW_SCHEMA_ENUM = 2,
    WW_SCHEMA_INTERFACE = 3,
    WW_SCHEMA_CONST = 4,
    WW_SCHEMA_ANNOTATION = 5,
    WW_SCHEMA_MISSING = 6, /* named by others, not loaded */
};

#define WW_SCHEMA_NO_TAG 0xffff

/* A constant's or an annotation's value. */
struct ww_schema_value {
    uint64_t bits;   /* of scalars, floats as their bits */
    struct ww_pr at; /* of pointer types */
};

struct ww_schema_field {
    const char *name;
    const struct ww_schema *owner;
    uint16_t index; /* in ordinal order */
    uint16_t order; /* in the source */
    uint16_t tag;   /* the discriminant that selects it; WW_SCHEMA_NO_TAG outside of the union */
    bool is_group;  /* then `type` is the group's struct, and there is no offset */
    bool has_default;
    uint32_t offset;              /* in units of its size; bits for Bool, pointers for pointers */
    struct ww_type type;          /* as declared; see ww_schema_field_type */
    struct ww_schema_value deflt; /* scalars are stored XOR this; null pointers read as this */
    struct ww_lr annotations;     /* see ww_schema_annotation */
};

struct ww_schema_enumerant {
    const char *name;
    uint16_t order;
    struct ww_lr annotations;
};

struct ww_schema_method {
    const char *name;
    const struct ww_schema *owner;
    uint16_t ordinal;
    uint16_t order;
    struct ww_type params, results; /* structs, as declared */
    bool streaming;                 /* declared `-> stream` */
    struct ww_lr annotations;
};

/* A name that a node declares inside itself. */
struct ww_schema_nested {
    const char *name;
    uint64_t id;
};

struct ww_schema {
    uint64_t id;
    uint64_t scope; /* id of the node around it; 0 for files and the structs of method parameters */
    enum ww_schema_kind kind;
    const char *display_name; /* "file.capnp:Outer.Inner"; of a placeholder "" */
    const char *name;         /* "Inner": the end of display_name */
    struct ww_schema_set *set;
    struct ww_lr annotations;
    const char *const *params; /* names of type parameters */
    const struct ww_schema_nested *nested;
    uint32_t nested_count;
    uint16_t param_count;
    bool generic; /* has parameters or stands in a node that has */

    /* structs and groups */
    bool is_group;
    uint16_t data_words, ptrs;
    uint16_t tag_count;                   /* members of the unnamed union */
    uint32_t tag_offset;                  /* of its discriminant, in units of 16 bits */
    const struct ww_schema_field *fields; /* in ordinal order */
    const uint16_t *by_tag;               /* indexes of the union's members */

    const struct ww_schema_enumerant *enumerants; /* by number */
    const struct ww_schema_method *methods;       /* by ordinal */
    const struct ww_type *supers;                 /* direct superclasses */
    uint32_t super_count;

    uint32_t count;          /* of fields, enumerants or methods */
    const uint16_t *by_name; /* their indexes, sorted by name */

    struct ww_type type; /* of constants and annotations */
    struct ww_schema_value value;
    uint16_t targets; /* of an annotation: bits in the order of schema.capnp, targetsFile first */

    struct ww_sr raw; /* the Node itself */
};

/* ---- sets */

/* A field of 0 means its default. */
struct ww_schema_limits {
    size_t bytes;   /* of all nodes and types together; 64 MiB */
    uint32_t nodes; /* placeholders included; 65536 */
};

/* An empty set; `lim` NULL: defaults. WW_ENOMEM. */
WW_API WW_MUST_USE ww_err ww_schema_set_new(
    const struct ww_schema_limits *lim, struct ww_schema_set **ret_set);
/* NULL allowed. */
WW_API void ww_schema_set_free(struct ww_schema_set *set);

/* Loads all nodes of a CodeGeneratorRequest, which is what `capnp compile -o-` writes. Nothing refers to the
 * message afterwards. Nodes that are there already stay, when they are equal, a newer version of a struct,
 * enum or interface replaces an older one, and anything else is WW_EEXIST. WW_EMALFORMED for what is no
 * schema, with the reason in `diag` (NULL allowed). After an error the nodes before the faulty one are
 * loaded. */
WW_API WW_MUST_USE ww_err ww_schema_load_request(
    struct ww_schema_set *set, struct ww_msg *request, struct ww_diag *diag);
/* The same for one Node struct. `ret_schema` may be NULL. */
WW_API WW_MUST_USE ww_err ww_schema_load_node(
    struct ww_schema_set *set, struct ww_sr node, const struct ww_schema **ret_schema, struct ww_diag *diag);
/* The same for a node that generated code embeds, with all that it depends on. */
WW_API WW_MUST_USE ww_err ww_schema_load_embedded(struct ww_schema_set *set, const struct ww_capnp_node *node,
    const struct ww_schema **ret_schema, struct ww_diag *diag);

/* In the order in which they were loaded or named first; NULL at the end. */
WW_API const struct ww_schema *ww_schema_at(const struct ww_schema_set *set, size_t i);
/* NULL when neither loaded nor named. May be a placeholder. */
WW_API const struct ww_schema *ww_schema_by_id(const struct ww_schema_set *set, uint64_t id);
/* By the path of names, "Outer.Inner", in whichever file has it, or in that of "dir/file.capnp:Outer.Inner".
 * A file itself is found by its name. NULL when there is none. */
WW_API const struct ww_schema *ww_schema_by_name(const struct ww_schema_set *set, const char *path);
/* A member's path seen from `scope`, which may be NULL: searched there, then in the nodes around it. */
WW_API const struct ww_schema *ww_schema_resolve(const struct ww_schema *scope, const char *path);

/* The next four: NULL when there is none. */
WW_API const struct ww_schema_field *ww_schema_field(const struct ww_schema *s, const char *name);
WW_API const struct ww_schema_enumerant *ww_schema_enumerant(
    const struct ww_schema *s, const char *name, uint16_t *ret_value);
/* Also in superclasses, nearest first. */
WW_API const struct ww_schema_method *ww_schema_method(const struct ww_schema *s, const char *name);
/* The member of the union that `tag` selects; NULL for a tag that this version of the schema does not know.
 */
WW_API const struct ww_schema_field *ww_schema_member(const struct ww_schema *s, uint16_t tag);
/* Whether `s` is `other` or has it among its superclasses. */
WW_API bool ww_schema_extends(const struct ww_schema *s, const struct ww_schema *other);

/* The value of the annotation `id`, in the annotations of a node, field, enumerant or method. `type` must be
 * the annotation's base type, or WW_EMALFORMED. False when there is none. `ret_value` may be NULL. */
WW_API bool ww_schema_annotation(
    struct ww_lr annotations, uint64_t id, enum ww_type_kind type, struct ww_schema_value *ret_value);

/* The type of a struct, enum or interface node as such: no parameters bound. */
WW_API struct ww_type ww_type_of(const struct ww_schema *s);
/* A generic type with its own parameters bound to `args`, all of them pointer types. */
WW_API WW_MUST_USE ww_err ww_type_bind(
    const struct ww_schema *s, const struct ww_type *args, uint16_t arg_count, struct ww_type *ret_type);
/* What `type`, as declared inside the struct or interface `of`, is there: parameters are replaced by what
 * `of` binds them to, or by AnyPointer. WW_ELIMIT for types that grow without end. */
WW_API WW_MUST_USE ww_err ww_type_in(struct ww_type of, struct ww_type type, struct ww_type *ret_type);

/* The type of a field of the struct type `of`. */
static inline ww_err ww_schema_field_type(
    struct ww_type of, const struct ww_schema_field *f, struct ww_type *ret_type)
{
    if (f->type.open)
        return ww_type_in(of, f->type, ret_type);
    *ret_type = f->type;
    if (f->is_group)
        ret_type->brand = of.brand;
    return 0;
}

/* ---- dynamic access: fields by name and value, in messages of any type
 *
 * Readers are as total as those of ww/capnp.h: malformed bytes read as defaults and latch in the message. The
 * errors here are those of the program: WW_EINVAL a field of another struct, a value of another type or out
 * of its range; WW_ESTATE a union's member that is not the active one; WW_ENOTFOUND a name that is not there,
 * or a schema that was not loaded; WW_EMALFORMED a schema that does not fit together. Whatever returns an
 * error says more in its last parameter `diag` (NULL allowed). */

struct ww_dyn_struct {
    struct ww_type type;
    struct ww_sr r;
};

struct ww_dyn_list {
    struct ww_type type; /* of the list, not of its elements */
    struct ww_lr r;
};

struct ww_dyn_sb {
    struct ww_type type;
    struct ww_sb b;
};

struct ww_dyn_lb {
    struct ww_type type;
    struct ww_lb b;
};

struct ww_dyn_value {
    struct ww_type type; /* says which member counts */
    union {
        bool b;
        int64_t i;             /* of Int8 to Int64 */
        uint64_t u;            /* of UInt8 to UInt64 */
        double f;              /* of both floats */
        uint16_t e;            /* of enums; may be one that the schema does not know */
        struct ww_bytes bytes; /* of Text and Data */
        struct ww_sr s;
        struct ww_lr l;
        struct ww_pr p;     /* of AnyPointer that is not a capability */
        struct ww_cap *cap; /* of interfaces and Capability; borrowed */
    } as;
};

/* The struct that a pointer leads to; null is the empty one. */
WW_API WW_MUST_USE ww_err ww_dyn_root(
    struct ww_pr p, struct ww_type type, struct ww_dyn_struct *ret, struct ww_diag *diag);

/* What a field holds, or its default. For a group, the group. */
WW_API WW_MUST_USE ww_err ww_dyn_get(
    struct ww_dyn_struct s, const struct ww_schema_field *f, struct ww_dyn_value *ret, struct ww_diag *diag);
WW_API WW_MUST_USE ww_err ww_dyn_get_name(
    struct ww_dyn_struct s, const char *name, struct ww_dyn_value *ret, struct ww_diag *diag);
/* Whether a field is there: pointers that are not null, all others always, but of the union only its active
 * member. */
WW_API bool ww_dyn_has(struct ww_dyn_struct s, const struct ww_schema_field *f);
/* The union's active member; NULL when there is no union, or a member that the schema does not know. */
WW_API const struct ww_schema_field *ww_dyn_which(struct ww_dyn_struct s);
/* Element `i`; WW_EINVAL when there is none. */
WW_API WW_MUST_USE ww_err ww_dyn_at(
    struct ww_dyn_list l, uint32_t i, struct ww_dyn_value *ret, struct ww_diag *diag);
/* A value that is a struct or group, or a list, as such. WW_EINVAL when it is not. */
WW_API WW_MUST_USE ww_err ww_dyn_as_struct(
    const struct ww_dyn_value *v, struct ww_dyn_struct *ret, struct ww_diag *diag);
WW_API WW_MUST_USE ww_err ww_dyn_as_list(
    const struct ww_dyn_value *v, struct ww_dyn_list *ret, struct ww_diag *diag);

/* Values to set. A number suits every numeric field that can hold it. Text suits enums, by name. */
WW_API struct ww_dyn_value ww_dyn_void(void);
WW_API struct ww_dyn_value ww_dyn_bool(bool v);
WW_API struct ww_dyn_value ww_dyn_int(int64_t v);
WW_API struct ww_dyn_value ww_dyn_uint(uint64_t v);
WW_API struct ww_dyn_value ww_dyn_float(double v);
WW_API struct ww_dyn_value ww_dyn_text(struct ww_bytes v);
WW_API struct ww_dyn_value ww_dyn_data(struct ww_bytes v);
WW_API struct ww_dyn_value ww_dyn_cap(struct ww_cap *v);

/* A new struct where `p` leads. */
WW_API WW_MUST_USE ww_err ww_dyn_init_root(
    struct ww_pb p, struct ww_type type, struct ww_dyn_sb *ret, struct ww_diag *diag);
/* The struct that is there, to be changed; a new one when there is none. */
WW_API WW_MUST_USE ww_err ww_dyn_edit_root(
    struct ww_pb p, struct ww_type type, struct ww_dyn_sb *ret, struct ww_diag *diag);
static inline struct ww_dyn_struct ww_dyn_reader(struct ww_dyn_sb s)
{
    struct ww_dyn_struct r = {s.type, ww_sb_reader(s.b)};
    return r;
}
/* Sets a field and makes it the active member of its union. Structs and lists are copied and must be of the
 * field's type; AnyPointer takes any. Capabilities get their own reference. */
WW_API WW_MUST_USE ww_err ww_dyn_set(
    struct ww_dyn_sb s, const struct ww_schema_field *f, const struct ww_dyn_value *v, struct ww_diag *diag);
WW_API WW_MUST_USE ww_err ww_dyn_set_name(
    struct ww_dyn_sb s, const char *name, const struct ww_dyn_value *v, struct ww_diag *diag);
/* Back to the default; a union's member becomes active. */
WW_API WW_MUST_USE ww_err ww_dyn_clear(
    struct ww_dyn_sb s, const struct ww_schema_field *f, struct ww_diag *diag);
/* A new struct, or a cleared group; makes a union's member active. */
WW_API WW_MUST_USE ww_err ww_dyn_init(
    struct ww_dyn_sb s, const struct ww_schema_field *f, struct ww_dyn_sb *ret, struct ww_diag *diag);
/* The struct or group that is there, or a copy of the default; of the union only its active member. */
WW_API WW_MUST_USE ww_err ww_dyn_edit(
    struct ww_dyn_sb s, const struct ww_schema_field *f, struct ww_dyn_sb *ret, struct ww_diag *diag);
WW_API WW_MUST_USE ww_err ww_dyn_init_list(struct ww_dyn_sb s, const struct ww_schema_field *f,
    uint32_t count, struct ww_dyn_lb *ret, struct ww_diag *diag);
WW_API WW_MUST_USE ww_err ww_dyn_edit_list(
    struct ww_dyn_sb s, const struct ww_schema_field *f, struct ww_dyn_lb *ret, struct ww_diag *diag);
/* The pointer of a pointer field, to be set by hand, such as an AnyPointer with ww_dyn_init_root. */
WW_API WW_MUST_USE ww_err ww_dyn_pointer(
    struct ww_dyn_sb s, const struct ww_schema_field *f, struct ww_pb *ret, struct ww_diag *diag);

/* The same for elements of lists. */
WW_API WW_MUST_USE ww_err ww_dyn_put(
    struct ww_dyn_lb l, uint32_t i, const struct ww_dyn_value *v, struct ww_diag *diag);
WW_API WW_MUST_USE ww_err ww_dyn_put_struct(
    struct ww_dyn_lb l, uint32_t i, struct ww_dyn_sb *ret, struct ww_diag *diag);
WW_API WW_MUST_USE ww_err ww_dyn_put_list(
    struct ww_dyn_lb l, uint32_t i, uint32_t count, struct ww_dyn_lb *ret, struct ww_diag *diag);

/* ---- text and JSON
 *
 * Both are those of the reference implementation's `capnp convert`, byte for byte when printed, and all that
 * it reads is read. Nesting is bounded, and so is memory: by the output's `max`, by the message's own limits,
 * and by some twenty times the input while parsing. */

/* A text that grows. Start with all zeroes; `max` 0 means 256 MiB. Used again after `len` was set to 0, it
 * keeps its memory. */
struct ww_str {
    char *text; /* ends with a zero; NULL while nothing was written */
    size_t len;
    size_t capacity;
    size_t max;
};
WW_API void ww_str_fini(struct ww_str *s);

/* Appends a struct in the form of the schema language: "(x = 3, y = -4)". `pretty` breaks long lines. Errors
 * of the message are returned too. */
WW_API WW_MUST_USE ww_err ww_text_print(
    struct ww_dyn_struct s, bool pretty, struct ww_str *out, struct ww_diag *diag);
/* Builds the struct that `text` describes. Comments and all literals of the language are read; names of
 * constants, imports and embeds are refused. Errors begin with "line:column: ". *ret_used: the bytes up to
 * what follows, which may be the next struct; NULL: nothing but space and comments may follow. After an error
 * `to` is null or holds a part. */
WW_API WW_MUST_USE ww_err ww_text_parse(
    struct ww_bytes text, struct ww_type type, struct ww_pb to, size_t *ret_used, struct ww_diag *diag);

/* The same for JSON, with the annotations of /capnp/compat/json.capnp. 64-bit integers are printed as strings
 * and read as either; capabilities and AnyPointer have no JSON (WW_EUNSUPPORTED). Members that the schema
 * does not know are ignored. What is read is strict RFC 8259. */
WW_API WW_MUST_USE ww_err ww_json_print(
    struct ww_dyn_struct s, bool pretty, struct ww_str *out, struct ww_diag *diag);
WW_API WW_MUST_USE ww_err ww_json_parse(
    struct ww_bytes json, struct ww_type type, struct ww_pb to, size_t *ret_used, struct ww_diag *diag);

#ifdef __cplusplus
}
#endif
#endif
