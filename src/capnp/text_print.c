/* capnp/text_print.c — structs in the form of the schema language. */
#include "capnp/dyn.h"
#include "capnp/number.h"
#include "capnp/text_out.h"

/* A struct or list under way. */
struct frame {
    struct ww_type type;
    union {
        struct ww_sr s;
        struct ww_lr l;
    } at;
    uint32_t next; /* field or element */
    struct ww_text_group group;
};

struct printer {
    struct ww_text_out out;
    struct frame *frames;
    size_t depth, capacity;
    struct ww_diag *diag;
};

static ww_err push(struct printer *p, const struct ww_dyn_value *v, bool named)
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
    struct frame *f = &p->frames[p->depth++];
    f->type = v->type;
    f->next = 0;
    if (v->type.lists)
        f->at.l = v->as.l;
    else
        f->at.s = v->as.s;
    ww_text_open(&p->out, &f->group, v->type.lists ? '[' : '(', !v->type.lists, named);
    return 0;
}

static void pop(struct printer *p)
{
    struct frame *f = &p->frames[--p->depth];
    ww_text_close(
        &p->out, &f->group, f->type.lists ? ']' : ')', p->depth ? &p->frames[p->depth - 1].group : NULL);
}

/* Escapes of C. Text keeps its bytes above 127, Data does not. */
static void print_bytes(struct ww_text_out *out, struct ww_bytes b, bool data)
{
    static const char letters[] = "abtnvfr"; /* 7 to 13 */
    size_t done = 0;
    ww_text_putc(out, '"');
    for (size_t i = 0; i < b.len && out->err == 0; i++) {
        uint8_t c = b.ptr[i];
        char escape[4] = {'\\', (char)('0' + (c >> 6)), (char)('0' + (c >> 3 & 7)), (char)('0' + (c & 7))};
        size_t len = 4;
        if (c >= 0x20 && c != '"' && c != '\'' && c != '\\' && c != 0x7f && (c < 0x7f || !data))
            continue;
        if (c >= 7 && c <= 13) {
            escape[1] = letters[c - 7];
            len = 2;
        } else if (c >= 0x20 && c < 0x7f) {
            escape[1] = (char)c;
            len = 2;
        }
        ww_text_put(out, b.ptr + done, i - done);
        ww_text_put(out, escape, len);
        done = i + 1;
    }
    ww_text_put(out, b.ptr + done, b.len - done);
    ww_text_putc(out, '"');
}

static void print_number(struct ww_text_out *out, const struct ww_dyn_value *v)
{
    char text[WW_NUMBER_MAX];
    if (v->type.base == WW_TYPE_FLOAT32)
        ww_number_f32((float)v->as.f, text);
    else if (v->type.base == WW_TYPE_FLOAT64)
        ww_number_f64(v->as.f, text);
    else if (v->type.base >= WW_TYPE_UINT8)
        ww_number_u64(v->as.u, text);
    else
        ww_number_i64(v->as.i, text);
    ww_text_puts(out, text);
}

static ww_err print_enum(struct printer *p, const struct ww_dyn_value *v)
{
    char text[WW_NUMBER_MAX];
    const struct ww_schema *s = v->type.node;
    if (s->kind == WW_SCHEMA_MISSING)
        return ww_diag_set(p->diag, WW_ENOTFOUND, "the schema of enum @0x%08lx%08lx is not loaded",
            (unsigned long)(s->id >> 32), (unsigned long)(s->id & 0xffffffff));
    if (v->as.e < s->count) {
        ww_text_puts(&p->out, s->enumerants[v->as.e].name);
        return 0;
    }
    ww_number_u64(v->as.e, text);
    ww_text_putc(&p->out, '(');
    ww_text_puts(&p->out, text);
    ww_text_putc(&p->out, ')');
    return 0;
}

static ww_err print_value(struct printer *p, const struct ww_dyn_value *v, bool named)
{
    if (v->type.lists || v->type.base == WW_TYPE_STRUCT)
        return push(p, v, named);
    switch (v->type.base) {
    case WW_TYPE_VOID:
        ww_text_puts(&p->out, "void");
        break;
    case WW_TYPE_BOOL:
        ww_text_puts(&p->out, v->as.b ? "true" : "false");
        break;
    case WW_TYPE_ENUM:
        return print_enum(p, v);
    case WW_TYPE_TEXT:
    case WW_TYPE_DATA:
        print_bytes(&p->out, v->as.bytes, v->type.base == WW_TYPE_DATA);
        break;
    case WW_TYPE_INTERFACE:
        ww_text_puts(&p->out, "<external capability>");
        break;
    case WW_TYPE_ANY:
        ww_text_puts(&p->out, v->type.any == WW_ANY_CAP ? "<external capability>" : "<opaque pointer>");
        break;
    default:
        print_number(&p->out, v);
    }
    return 0;
}

/* The active member of a union is left out when it is the first and not there. */
static bool is_printed(struct ww_dyn_struct s, const struct ww_schema_field *f)
{
    if (f->tag != WW_SCHEMA_NO_TAG && f->tag != 0)
        return ww_sr_u16(s.r, s.type.node->tag_offset) == f->tag;
    return ww_dyn_has(s, f);
}

static ww_err step_struct(struct printer *p, struct frame *f)
{
    struct ww_dyn_struct s = {f->type, f->at.s};
    struct ww_dyn_value v;
    const struct ww_schema *node = f->type.node;
    while (f->next < node->count && !is_printed(s, &node->fields[f->next]))
        f->next++;
    if (f->next == node->count)
        return pop(p), 0;
    const struct ww_schema_field *field = &node->fields[f->next++];
    WW_TRY(ww_dyn_get(s, field, &v, p->diag));
    ww_text_item(&p->out, &f->group);
    ww_text_puts(&p->out, field->name);
    ww_text_puts(&p->out, " = ");
    return print_value(p, &v, true);
}

static ww_err step_list(struct printer *p, struct frame *f)
{
    struct ww_dyn_value v;
    if (f->next == f->at.l.count)
        return pop(p), 0;
    WW_TRY(ww_dyn_at((struct ww_dyn_list){f->type, f->at.l}, f->next++, &v, p->diag));
    ww_text_item(&p->out, &f->group);
    return print_value(p, &v, false);
}

ww_err ww_text_print(struct ww_dyn_struct s, bool pretty, struct ww_str *out, struct ww_diag *diag)
{
    struct printer p = {.diag = diag};
    struct ww_dyn_value v;
    memset(&v, 0, sizeof v);
    v.type = s.type;
    v.as.s = s.r;
    ww_text_begin(&p.out, out, WW_FORM_TEXT, pretty, diag);
    ww_err err = ww_dyn_check(s.type, diag);
    if (err == 0)
        err = push(&p, &v, false);
    while (err == 0 && p.depth > 0 && p.out.err == 0) {
        struct frame *f = &p.frames[p.depth - 1];
        err = f->type.lists ? step_list(&p, f) : step_struct(&p, f);
    }
    ww_free(p.frames);
    return ww_text_finish(&p.out, s, err, diag);
}
