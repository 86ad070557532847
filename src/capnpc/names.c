/* capnpc/names.c — the names of nodes and members in C. */
#include "capnpc/annotations.h"
#include "capnpc/out.h"

bool is_reserved(const char *word)
{
    static const char *const words[] = {"EOF", "I", "NULL", "alignas", "alignof", "and", "and_eq", "asm",
        "assert", "atomic_cancel", "atomic_commit", "atomic_noexcept", "auto", "bitand", "bitor", "bool",
        "break", "case", "catch", "char", "char16_t", "char32_t", "char8_t", "class", "co_await", "co_return",
        "co_yield", "compl", "complex", "concept", "const", "const_cast", "consteval", "constexpr",
        "constinit", "continue", "decltype", "default", "delete", "do", "double", "dynamic_cast", "else",
        "enum", "errno", "explicit", "export", "extern", "false", "far", "float", "for", "friend", "goto",
        "i386", "if", "imaginary", "inline", "int", "interface", "linux", "long", "major", "minor", "mutable",
        "namespace", "near", "new", "noexcept", "noreturn", "not", "not_eq", "nullptr", "operator", "or",
        "or_eq", "private", "protected", "public", "reflexpr", "register", "reinterpret_cast", "requires",
        "restrict", "return", "short", "signed", "sizeof", "static", "static_assert", "static_cast", "stderr",
        "stdin", "stdout", "struct", "switch", "synchronized", "template", "this", "thread_local", "throw",
        "true", "try", "typedef", "typeid", "typename", "typeof", "typeof_unqual", "union", "unix",
        "unsigned", "using", "virtual", "void", "volatile", "wchar_t", "while", "xor", "xor_eq"};
    for (size_t i = 0; i < WW_COUNT_OF(words); i++) {
        if (strcmp(words[i], word) == 0)
            return true;
    }
    return false;
}

/* What must do as (the beginning of) a name in C. Names of members too: a request may come from anywhere. */
static const char *identifier(struct ww_bytes name, bool may_be_empty, uint64_t id)
{
    const char *text = ww_cstr(name);
    bool good = *text || may_be_empty;
    for (const char *p = text; *p; p++) {
        bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || *p == '_';
        good = good && (letter || (p > text && *p >= '0' && *p <= '9'));
    }
    if (!good)
        broken(textf("\"%s\" is no name in C", text), id);
    return text;
}

const char *own_name(struct ww_sr s, struct ww_lr annotations, uint64_t id)
{
    struct ww_sr value;
    const char *name = identifier(ww_layout_member_name(s), false, id);
    if (annotation_use(annotations, ANNOTATION_NAME, &value))
        return identifier(ww_pr_text(value_ptr(value)), false, id);
    return name;
}

static void name_node(const struct model *m, struct node *n, struct node *file, const char *name);

/* Parameter and result structs that the compiler made have no scope: they are named after their method. */
static void name_method_struct(
    const struct model *m, struct node *iface, const char *method, uint64_t id, const char *what)
{
    struct node *n = model_node(m, id);
    if (!n || n->name || node_kind(n) != NODE_STRUCT || node_scope(n) != 0)
        return;
    n->iface = iface;
    name_node(m, n, iface->file, textf("%s_%s_%s", iface->name, method, what));
}

static void name_members(const struct model *m, struct node *n)
{
    if (node_kind(n) == NODE_STRUCT) {
        for (uint32_t i = 0; i < field_count(n); i++) {
            struct field f = node_field(n, i);
            struct node *group = f.is_group ? model_node(m, f.group) : NULL;
            if (!group || group->name)
                continue;
            group->skip |= n->skip || f.skip;
            name_node(m, group, n->file, textf("%s_%s", n->name, f.name));
        }
    }
    if (node_kind(n) == NODE_INTERFACE) {
        for (uint32_t i = 0; i < method_count(n); i++) {
            struct method method = node_method(n, i);
            name_method_struct(m, n, method.name, method.params, "params");
            name_method_struct(m, n, method.name, method.results, "results");
        }
    }
}

static void name_node(const struct model *m, struct node *n, struct node *file, const char *name)
{
    n->name = is_reserved(name) ? textf("%s_", name) : name;
    n->file = file;
    name_members(m, n);
    for (uint32_t i = 0; i < n->children.count; i++) {
        struct node *child = child_node(m, n, i);
        if (!child || child->name)
            continue;
        const char *own = own_name(ww_lr_struct(n->children, i), child->annotations, child->id);
        const char *join = n == file ? "" : "_";
        child->skip |= n->skip;
        name_node(m, child, file, textf("%s%s%s", name, join, own));
    }
}

char *file_stem(const struct node *file)
{
    char *stem = textf("%s", file->schema);
    char *dot = strchr(stem, '.');
    if (dot)
        *dot = 0;
    for (char *p = stem; *p; p++) {
        bool good = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
        *p = good ? *p : '_';
    }
    bool letter = (*stem >= 'a' && *stem <= 'z') || (*stem >= 'A' && *stem <= 'Z');
    return letter ? stem : textf("x%s", stem);
}

static const char *prefix_of(const struct node *file)
{
    struct ww_sr value;
    if (annotation_use(file->annotations, ANNOTATION_PREFIX, &value))
        return identifier(ww_pr_text(value_ptr(value)), true, file->id);
    return textf("%s_", file_stem(file));
}

void name_nodes(const struct model *m)
{
    for (size_t i = 0; i < m->count; i++) {
        struct node *n = &m->nodes[i];
        if (node_kind(n) == NODE_FILE)
            name_node(m, n, n, prefix_of(n));
    }
}
