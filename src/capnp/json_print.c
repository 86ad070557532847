/* capnp/json_print.c — structs as JSON. */
#include "capnp/json.h"
#include "capnp/number.h"
#include "capnp/text_out.h"

/* A struct or list under way. A flattened struct has no brackets: its members are items of `owner`. */
struct frame {
    struct ww_type type;
    union {
        struct ww_sr s;
        struct ww_lr l;
    } at;
    uint32_t next; /* field or element; of structs, `count` is the union's tag and count + 1 its value */
    bool flat;
    size_t owner; /* the frame with the brackets */
    struct ww_bytes prefix;
    struct ww_json_union u;
    struct ww_text_group group;
};

struct printer {
    struct ww_text_out out;
    struct frame *frames;
    size_t depth, capacity;
    struct ww_diag *diag;
};

static void print_string(struct ww_text_out *out, struct ww_bytes b)
{
    static const char digits[] = "0123456789abcdef", letters[] = "btn\0fr"; /* 8 to 13 */
    size_t done = 0;
    for (size_t i = 0; i < b.len && out->err == 0; i++) {
        uint8_t c = b.ptr[i];
        char escape[6] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
        size_t len = 6;
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        if (c >= 0x20 || (c >= 8 && c <= 13 && c != 11)) {
            escape[1] = c >= 0x20 ? (char)c : letters[c - 8];
            len = 2;
        }
        ww_text_put(out, b.ptr + done, i - done);
        ww_text_put(out, escape, len);
        done = i + 1;
    }
    ww_text_put(out, b.ptr + done, b.len - done);
}

static void print_quoted(struct ww_text_out *out, struct ww_bytes b)
{
    ww_text_putc(out, '"');
    print_string(out, b);
    ww_text_putc(out, '"');
}

static ww_err push(
    struct printer *p, const struct ww_dyn_value *v, const struct ww_schema_field *f, bool named)
{
    if (p->depth == WW_TEXT_DEPTH_MAX)
        return ww_diag_set(p->diag, WW_EDEPTH, "%s", ww_err_text(WW_EDEPTH));
    if (p->depth == p->capacity) {
        size_t capacity = p->capacity ? p->capacity * 2 : 8;
        struct frame *frames = ww_realloc(p->frames, capacity * sizeof *frames);
        if (!frames)
            return WW_ENOMEM;
        p->frames = frames;
        p->capacity = capacity;
    }
    struct frame *to = &p->frames[p->depth];
    memset(to, 0, sizeof *to);
    to->type = v->type;
    to->owner = p->depth++;
    if (v->type.lists) {
        to->at.l = v->as.l;
    } else {
        to->at.s = v->as.s;
        ww_json_union_info(v->type.node, f, &to->u);
    }
    if (named || !f)
        ww_text_open(&p->out, &to->group, v->type.lists ? '[' : '{', !v->type.lists, named);
    return 0;
}

static ww_err push_flat(
    struct printer *p, const struct ww_dyn_value *v, const struct ww_schema_field *f, struct ww_bytes prefix)
{
    size_t from = p->depth - 1, flats = 0;
    for (size_t i = from; i > 0 && p->frames[i].flat; i--)
        flats++;
    if (flats >= WW_JSON_FLAT_MAX)
        return ww_diag_set(p->diag, WW_EDEPTH, "field `%s`: structs are flattened in a circle", f->name);
    WW_TRY(push(p, v, f, false));
    struct frame *to = &p->frames[p->depth - 1];
    to->flat = true;
    to->owner = p->frames[from].owner;
    to->prefix = prefix;
    return 0;
}

static void pop(struct printer *p)
{
    struct frame *f = &p->frames[--p->depth];
    if (!f->flat)
        ww_text_close(&p->out, &f->group, f->type.lists ? ']' : '}',
            p->depth ? &p->frames[p->frames[p->depth - 1].owner].group : NULL);
}

/* An item of the struct's brackets, up to its colon. */
static void print_name(struct printer *p, struct ww_bytes name)
{
    struct frame *f = &p->frames[p->depth - 1];
    ww_text_item(&p->out, &p->frames[f->owner].group);
    ww_text_putc(&p->out, '"');
    for (size_t i = f->owner + 1; i < p->depth; i++)
        print_string(&p->out, p->frames[i].prefix);
    print_string(&p->out, name);
    ww_text_puts(&p->out, p->out.pretty ? "\": " : "\":");
}

/* ---- values */

static void print_number(struct ww_text_out *out, const struct ww_dyn_value *v)
{
    char text[WW_NUMBER_MAX];
    bool quoted = v->type.base == WW_TYPE_INT64 || v->type.base == WW_TYPE_UINT64;
    if (v->type.base == WW_TYPE_FLOAT32 || v->type.base == WW_TYPE_FLOAT64)
        ww_number_f64(v->as.f, text);
    else if (v->type.base >= WW_TYPE_UINT8)
        ww_number_u64(v->as.u, text);
    else
        ww_number_i64(v->as.i, text);
    if (strcmp(text, "nan") == 0) {
        ww_text_puts(out, "\"NaN\"");
    } else if (strstr(text, "inf")) {
        ww_text_puts(out, *text == '-' ? "\"-Infinity\"" : "\"Infinity\"");
    } else {
        ww_text_puts(out, quoted ? "\"" : "");
        ww_text_puts(out, text);
        ww_text_puts(out, quoted ? "\"" : "");
    }
}

static void print_base64(struct ww_text_out *out, struct ww_bytes b)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < b.len && out->err == 0; i += 3) {
        size_t n = b.len - i;
        uint32_t v =
            (uint32_t)b.ptr[i] << 16 | (n > 1 ? (uint32_t)b.ptr[i + 1] << 8 : 0) | (n > 2 ? b.ptr[i + 2] : 0);
        char four[4] = {digits[v >> 18], digits[v >> 12 & 63], n > 1 ? digits[v >> 6 & 63] : '=',
            n > 2 ? digits[v & 63] : '='};
        ww_text_put(out, four, 4);
    }
}

static void print_hex(struct ww_text_out *out, struct ww_bytes b)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < b.len && out->err == 0; i++) {
        char two[2] = {digits[b.ptr[i] >> 4], digits[b.ptr[i] & 15]};
        ww_text_put(out, two, 2);
    }
}

static void print_data(struct printer *p, struct ww_bytes b, const struct ww_json_field *look, bool named)
{
    struct ww_text_group g;
    char text[WW_NUMBER_MAX];
    if (look->base64 || look->hex) {
        ww_text_putc(&p->out, '"');
        if (look->base64)
            print_base64(&p->out, b);
        else
            print_hex(&p->out, b);
        ww_text_putc(&p->out, '"');
        return;
    }
    ww_text_open(&p->out, &g, '[', false, named);
    for (size_t i = 0; i < b.len && p->out.err == 0; i++) {
        ww_text_item(&p->out, &g);
        ww_number_u64(b.ptr[i], text);
        ww_text_puts(&p->out, text);
    }
    ww_text_close(&p->out, &g, ']', NULL); /* single bytes never need lines of their own */
}

static ww_err print_enum(struct printer *p, const struct ww_dyn_value *v)
{
    char text[WW_NUMBER_MAX];
    const struct ww_schema *s = v->type.node;
    if (s->kind == WW_SCHEMA_MISSING)
        return ww_diag_set(p->diag, WW_ENOTFOUND, "the schema of enum @0x%08lx%08lx is not loaded",
            (unsigned long)(s->id >> 32), (unsigned long)(s->id & 0xffffffff));
    if (v->as.e < s->count) {
        print_quoted(&p->out, ww_json_enumerant(s, v->as.e));
        return 0;
    }
    ww_number_u64(v->as.e, text);
    ww_text_puts(&p->out, text);
    return 0;
}

static ww_err print_value(struct printer *p, const struct ww_dyn_value *v, const struct ww_schema_field *f,
    const struct ww_json_field *look)
{
    if (v->type.lists || v->type.base == WW_TYPE_STRUCT)
        return push(p, v, f, f != NULL);
    switch (v->type.base) {
    case WW_TYPE_VOID:
        ww_text_puts(&p->out, "null");
        return 0;
    case WW_TYPE_BOOL:
        ww_text_puts(&p->out, v->as.b ? "true" : "false");
        return 0;
    case WW_TYPE_ENUM:
        return print_enum(p, v);
    case WW_TYPE_TEXT:
        print_quoted(&p->out, v->as.bytes);
        return 0;
    case WW_TYPE_DATA:
        print_data(p, v->as.bytes, look, f != NULL);
        return 0;
    case WW_TYPE_INTERFACE:
    case WW_TYPE_ANY:
        return ww_diag_set(p->diag, WW_EUNSUPPORTED, "%s%s%scapabilities and AnyPointer have no JSON",
            f ? "field `" : "", f ? f->name : "", f ? "`: " : "");
    default:
        print_number(&p->out, v);
        return 0;
    }
}

static ww_err print_field(struct printer *p, struct frame *f, const struct ww_schema_field *field)
{
    struct ww_json_field look;
    struct ww_dyn_value v;
    WW_TRY(ww_dyn_get((struct ww_dyn_struct){f->type, f->at.s}, field, &v, p->diag));
    ww_json_field_info(field, &look);
    if (look.flat)
        return push_flat(p, &v, field, look.prefix);
    bool member = field->tag != WW_SCHEMA_NO_TAG;
    if (member && f->u.has_tag && v.type.base == WW_TYPE_VOID && !v.type.lists)
        return 0;
    print_name(p, member && f->u.has_value ? f->u.value : look.name);
    return print_value(p, &v, field, &look);
}

/* Fields outside of the union first, then the union's tag and value. */
static ww_err step_struct(struct printer *p, struct frame *f)
{
    struct ww_dyn_struct s = {f->type, f->at.s};
    const struct ww_schema *node = f->type.node;
    struct ww_json_field look;
    while (f->next < node->count) {
        const struct ww_schema_field *field = &node->fields[f->next++];
        if (field->tag == WW_SCHEMA_NO_TAG && ww_dyn_has(s, field))
            return print_field(p, f, field);
    }
    const struct ww_schema_field *which = ww_dyn_which(s);
    if (!which || f->next > node->count + 1)
        return pop(p), 0;
    if (f->next++ == node->count + 1)
        return print_field(p, f, which);
    if (f->u.has_tag) {
        ww_json_field_info(which, &look);
        print_name(p, f->u.tag);
        print_quoted(&p->out, look.name);
    }
    return 0;
}

static ww_err step_list(struct printer *p, struct frame *f)
{
    static const struct ww_json_field plain = {.flat = false};
    struct ww_dyn_value v;
    if (f->next == f->at.l.count)
        return pop(p), 0;
    WW_TRY(ww_dyn_at((struct ww_dyn_list){f->type, f->at.l}, f->next++, &v, p->diag));
    ww_text_item(&p->out, &f->group);
    return print_value(p, &v, NULL, &plain);
}

ww_err ww_json_print(struct ww_dyn_struct s, bool pretty, struct ww_str *out, struct ww_diag *diag)
{
    struct printer p = {.diag = diag};
    struct ww_dyn_value v;
    memset(&v, 0, sizeof v);
    v.type = s.type;
    v.as.s = s.r;
    ww_text_begin(&p.out, out, WW_FORM_JSON, pretty, diag);
    ww_err err = ww_dyn_check(s.type, diag);
    if (err == 0)
        err = push(&p, &v, NULL, false);
    while (err == 0 && p.depth > 0 && p.out.err == 0) {
        struct frame *f = &p.frames[p.depth - 1];
        err = f->type.lists ? step_list(&p, f) : step_struct(&p, f);
    }
    ww_free(p.frames);
    return ww_text_finish(&p.out, s, err, diag);
}
