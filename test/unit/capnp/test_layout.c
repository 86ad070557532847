/* The schemas are the ones of deployed nodes: every id, ordinal and offset is compared with the table in
 * test/vectors/schema/layout.txt. The request of the schema compiler is read with generated accessors. */
#include "test/lib/test.h"

#include "schema.capnp.h"

static struct ww_msg request;
static struct schema_Node_l nodes;

static struct schema_Node_r node_by_id(uint64_t id)
{
    for (uint32_t i = 0; i < nodes.l.count; i++) {
        if (schema_Node_id(schema_Node_l_at(nodes, i)) == id)
            return schema_Node_l_at(nodes, i);
    }
    fail_msg("no node 0x%016llx", (unsigned long long)id);
    abort();
}

static const char *short_name(struct schema_Node_r n)
{
    return ww_cstr(schema_Node_displayName(n)) + schema_Node_displayNamePrefixLength(n);
}

/* The name below its file, such as View.Index. */
static const char *path_name(struct schema_Node_r n)
{
    const char *colon = strrchr(ww_cstr(schema_Node_displayName(n)), ':');
    return colon ? colon + 1 : "";
}

struct text {
    char s[4096];
};

static void add(struct text *t, const char *fmt, ...) WW_PRINTF(2, 3);
static void add(struct text *t, const char *fmt, ...)
{
    va_list args;
    size_t len = strlen(t->s);
    va_start(args, fmt);
    assert_true(vsnprintf(t->s + len, sizeof t->s - len, fmt, args) < (int)(sizeof t->s - len));
    va_end(args);
}

static void add_type(struct text *t, struct schema_Type_r type)
{
    static const char *const plain[] = {"Void", "Bool", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16",
        "UInt32", "UInt64", "Float32", "Float64", "Text", "Data"};
    enum schema_Type_which which = schema_Type_which(type);
    struct schema_Type_anyPointer_r any = schema_Type_anyPointer(type);
    switch (which) {
    case schema_Type_which_list:
        add(t, "List(");
        add_type(t, schema_Type_list_elementType(schema_Type_list(type)));
        add(t, ")");
        break;
    case schema_Type_which_enum:
        add(t, "%s", path_name(node_by_id(schema_Type_enum_typeId(schema_Type_enum(type)))));
        break;
    case schema_Type_which_struct:
        add(t, "%s", path_name(node_by_id(schema_Type_struct_typeId(schema_Type_struct(type)))));
        break;
    case schema_Type_which_interface:
        add(t, "%s", path_name(node_by_id(schema_Type_interface_typeId(schema_Type_interface(type)))));
        break;
    case schema_Type_which_anyPointer:
        if (schema_Type_anyPointer_which(any) == schema_Type_anyPointer_which_parameter)
            add(t, "T");
        else
            add(t, "%s",
                schema_Type_anyPointer_unconstrained_which(schema_Type_anyPointer_unconstrained(any)) ==
                        schema_Type_anyPointer_unconstrained_which_capability
                    ? "Capability"
                    : "AnyPointer");
        break;
    default:
        add(t, "%s", plain[which]);
    }
}

static void add_slot(struct text *t, struct schema_Field_slot_r slot)
{
    static const unsigned bits[] = {0, 1, 8, 16, 32, 64, 8, 16, 32, 64, 32, 64};
    struct schema_Type_r type = schema_Field_slot_type(slot);
    enum schema_Type_which which = schema_Type_which(type);
    uint32_t offset = schema_Field_slot_offset(slot);
    unsigned size = which == schema_Type_which_enum ? 16 : which < WW_COUNT_OF(bits) ? bits[which] : 0;
    add(t, " ");
    add_type(t, type);
    if (which == schema_Type_which_void)
        add(t, " -");
    else if (size)
        add(t, " b%u..%u", offset * size, offset * size + size - 1);
    else
        add(t, " p%u", offset);
    if (schema_Field_slot_hadExplicitDefault(slot))
        add(t, " default=%u", schema_Value_uint16(schema_Field_slot_defaultValue(slot)));
}

static void add_fields(struct text *t, struct schema_Node_struct_r s, const char *open, const char *close);

static void add_field(struct text *t, struct schema_Field_r f)
{
    const char *name = ww_cstr(schema_Field_name(f));
    if (schema_Field_discriminantValue(f) != schema_Field_noDiscriminant)
        add(t, "case%u:", schema_Field_discriminantValue(f));
    if (schema_Field_which(f) == schema_Field_which_group) {
        struct schema_Node_r group = node_by_id(schema_Field_group_typeId(schema_Field_group(f)));
        add(t, "group %s(0x%016llx)", name, (unsigned long long)schema_Node_id(group));
        add_fields(t, schema_Node_struct(group), "{", "}");
        return;
    }
    add(t, "%s@%u", name, schema_Field_ordinal_explicit(schema_Field_ordinal(f)));
    add_slot(t, schema_Field_slot(f));
}

static void add_fields(struct text *t, struct schema_Node_struct_r s, const char *open, const char *close)
{
    struct schema_Field_l fields = schema_Node_struct_fields(s);
    add(t, "%s", open);
    for (uint32_t i = 0; i < fields.l.count; i++) {
        add(t, "%s", i ? "; " : "");
        add_field(t, schema_Field_l_at(fields, i));
    }
    add(t, "%s", close);
}

static void add_size(struct text *t, struct schema_Node_struct_r s)
{
    add(t, "[%ud %up", schema_Node_struct_dataWordCount(s), schema_Node_struct_pointerCount(s));
    if (schema_Node_struct_discriminantCount(s))
        add(t, " tag@b%u", schema_Node_struct_discriminantOffset(s) * 16);
    add(t, "]");
}

static void add_method_struct(struct text *t, const char *which, uint64_t id)
{
    if (id == UINT64_C(0x995f9a3377c0b16e)) {
        add(t, " %s -> stream", which);
        return;
    }
    struct schema_Node_struct_r s = schema_Node_struct(node_by_id(id));
    add(t, " %s 0x%016llx", which, (unsigned long long)id);
    add_size(t, s);
    add_fields(t, s, "{", "}");
}

struct lines {
    char *line[256];
    size_t count;
};

static void keep(struct lines *l, const struct text *t)
{
    assert_true(l->count < WW_COUNT_OF(l->line));
    l->line[l->count++] = strdup(t->s);
}

static void list_node(struct lines *l, struct schema_Node_r n)
{
    struct text t = {""};
    if (schema_Node_which(n) == schema_Node_which_struct && schema_Node_scopeId(n) != 0 &&
        !schema_Node_struct_isGroup(schema_Node_struct(n))) {
        add(&t, "struct %s 0x%016llx ", path_name(n), (unsigned long long)schema_Node_id(n));
        add_size(&t, schema_Node_struct(n));
        add_fields(&t, schema_Node_struct(n), " ", "");
        keep(l, &t);
    }
    if (schema_Node_which(n) != schema_Node_which_interface)
        return;
    struct schema_Node_interface_r iface = schema_Node_interface(n);
    struct schema_Superclass_l supers = schema_Node_interface_superclasses(iface);
    struct schema_Method_l methods = schema_Node_interface_methods(iface);
    add(&t, "interface %s 0x%016llx", path_name(n), (unsigned long long)schema_Node_id(n));
    for (uint32_t i = 0; i < supers.l.count; i++)
        add(&t, "%s%s", i ? ", " : " extends ",
            short_name(node_by_id(schema_Superclass_id(schema_Superclass_l_at(supers, i)))));
    keep(l, &t);
    for (uint32_t i = 0; i < methods.l.count; i++) {
        struct schema_Method_r m = schema_Method_l_at(methods, i);
        struct text mt = {""};
        add(&mt, "%s m%u %s", path_name(n), i, ww_cstr(schema_Method_name(m)));
        add_method_struct(&mt, "P", schema_Method_paramStructType(m));
        add_method_struct(&mt, "R", schema_Method_resultStructType(m));
        keep(l, &mt);
    }
}

static uint8_t *read_pipe(const char *command, size_t *ret_len)
{
    FILE *p = popen(command, "r");
    uint8_t *mem = malloc(1 << 20);
    assert_non_null(p);
    *ret_len = fread(mem, 1, 1 << 20, p);
    assert_int_equal(pclose(p), 0);
    assert_true(*ret_len < 1 << 20);
    return mem;
}

/* Structs may grow at their end: the table holds what was deployed. */
static bool grown_from(const char *made, const char *line)
{
    const char *made_size = strchr(made, '['), *size = strchr(line, '[');
    if (strncmp(line, "struct ", 7) != 0 || !made_size || !size)
        return strcmp(made, line) == 0;
    const char *made_end = strchr(made_size, ']'), *end = strchr(size, ']');
    unsigned made_words, made_ptrs, words, ptrs;
    int at, made_at;
    if (made_size - made != size - line || strncmp(made, line, (size_t)(size - line)) != 0 ||
        sscanf(made_size, "[%ud %up%n", &made_words, &made_ptrs, &made_at) != 2 ||
        sscanf(size, "[%ud %up%n", &words, &ptrs, &at) != 2 || made_words < words || made_ptrs < ptrs ||
        made_end - made_size - made_at != end - size - at ||
        strncmp(made_size + made_at, size + at, (size_t)(end - size - at)) != 0)
        return false;
    size_t len = strlen(end);
    return strncmp(made_end, end, len) == 0 && (made_end[len] == 0 || made_end[len] == ';');
}

static void growth_is_told_from_change(void **state)
{
    const char *line = "struct A 0x01 [1d 1p tag@b0] a@0 Text p0";
    assert_true(grown_from(line, line));
    assert_true(grown_from("struct A 0x01 [2d 1p tag@b0] a@0 Text p0; b@1 UInt64 b64..127", line));
    assert_false(grown_from("struct A 0x02 [1d 1p tag@b0] a@0 Text p0", line));
    assert_false(grown_from("struct A 0x01 [1d 1p tag@b16] a@0 Text p0", line));
    assert_false(grown_from("struct A 0x01 [1d 0p tag@b0] a@0 Text p0", line));
    assert_false(grown_from("struct A 0x01 [1d 1p tag@b0] a@0 Text p1", line));
    assert_false(grown_from("struct A 0x01 [1d 1p tag@b0] a@0 Text p01", line));
}

static void schemas_match_the_deployed_table(void **state)
{
    const struct ww_msg_limits lim = {
        .words = 1 << 20, .traversal = UINT64_MAX, .segments = 512, .depth = 64};
    char command[1024];
    size_t len;
    snprintf(
        command, sizeof command, "cd '%s' && '%s' compile -o- *.capnp", getenv("SCHEMA"), getenv("CAPNP"));
    uint8_t *bytes = read_pipe(command, &len);
    ww_msg_init(&request, NULL);
    assert_ok(ww_msg_open(&request, ww_bytes(bytes, len), &lim));
    nodes = schema_CodeGeneratorRequest_nodes(schema_CodeGeneratorRequest_r_root(&request));
    struct lines made = {.count = 0};
    for (uint32_t i = 0; i < nodes.l.count; i++)
        list_node(&made, schema_Node_l_at(nodes, i));
    assert_ok(ww_msg_err(&request));

    FILE *f = fopen(getenv("LAYOUT"), "r");
    char line[4096];
    size_t found = 0;
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        bool there = false;
        for (size_t i = 0; i < made.count && !there; i++)
            there = grown_from(made.line[i], line);
        if (!there)
            fail_msg("not in the schemas: %s", line);
        found++;
    }
    fclose(f);
    assert_true(found > 60);
    for (size_t i = 0; i < made.count; i++)
        free(made.line[i]);
    ww_msg_fini(&request);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(growth_is_told_from_change), cmocka_unit_test(schemas_match_the_deployed_table)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
