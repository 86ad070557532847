/* capnp/text_parse.c — text into messages: what the scanner found, against the schema. */
#include "capnp/dyn.h"
#include "capnp/number.h"
#include "capnp/text_tape.h"

/* A struct or list that is being filled. */
struct frame {
    struct ww_type type;
    union {
        struct ww_dyn_sb s;
        struct ww_dyn_lb l;
    } at;
    uint32_t node, end; /* on the tape: the next value, and where they end */
    uint32_t i;         /* of lists: the element */
};

struct parser {
    struct ww_tape tape;
    struct frame *frames;
    size_t depth, capacity;
};

static ww_err frame_add(struct parser *p, struct ww_type type, uint32_t node, struct frame **ret)
{
    if (p->depth == p->capacity) {
        size_t capacity = p->capacity ? p->capacity * 2 : 8;
        struct frame *frames = ww_realloc(p->frames, capacity * sizeof *frames);
        if (!frames)
            return ww_diag_set(p->tape.diag, WW_ENOMEM, "%s", ww_err_text(WW_ENOMEM));
        p->frames = frames;
        p->capacity = capacity;
    }
    struct frame *f = *ret = &p->frames[p->depth++];
    *f = (struct frame){.type = type, .node = node + 1, .end = p->tape.nodes[node].next};
    return 0;
}

/* Behind the quote that opens the next string of one literal; between them are space and comments. */
static size_t next_string(struct ww_bytes in, size_t i)
{
    while (in.ptr[i] != '"') {
        bool comment = in.ptr[i++] == '#';
        while (comment && in.ptr[i] != '\n')
            i++;
    }
    return i + 1;
}

/* The decoded bytes of a string, into `out` when that is given. */
static size_t unescape(struct ww_bytes in, uint8_t *out)
{
    static const char from[] = "abfnrtv", to[] = "\a\b\f\n\r\t\v";
    size_t n = 0;
    /* The scanner has seen to it that all literals end. */
    for (size_t i = 1; i + 1 < in.len; n++) {
        uint8_t c = in.ptr[i++];
        if (c == '"') {
            i = next_string(in, i);
            n--;
            continue;
        }
        if (c == '\\') {
            c = in.ptr[i++];
            const char *letter = strchr(from, c);
            if (c == 'x') {
                c = (uint8_t)(ww_hex_digit(in.ptr[i]) << 4 | ww_hex_digit(in.ptr[i + 1]));
                i += 2;
            } else if (c >= '0' && c <= '7') {
                c -= '0';
                for (int k = 0; k < 2 && in.ptr[i] >= '0' && in.ptr[i] <= '7'; k++)
                    c = (uint8_t)(c << 3 | (in.ptr[i++] - '0'));
            } else if (letter) {
                c = (uint8_t)to[letter - from];
            }
        }
        if (out)
            out[n] = c;
    }
    return n;
}

static size_t unhex(struct ww_bytes in, uint8_t *out)
{
    size_t n = 0;
    for (size_t i = 3; i + 1 < in.len; i++) {
        if (ww_hex_digit(in.ptr[i]) < 0)
            continue;
        if (out)
            out[n] = (uint8_t)(ww_hex_digit(in.ptr[i]) << 4 | ww_hex_digit(in.ptr[i + 1]));
        n++;
        i++;
    }
    return n;
}

static ww_err expected(const struct parser *p, const struct ww_tape_node *n, struct ww_type type)
{
    static const char *const found[] = {"a struct", "a list", "a name", "a name", "a number", "a fraction",
        "a string", "binary data", "a value in brackets"};
    char name[96], word[40];
    ww_type_name(type, name, sizeof name);
    if (n->kind == WW_TAPE_WORD)
        return ww_tape_error(&p->tape, n->at, WW_EINVAL, "found `%s`, expected %s",
            ww_tape_name(&p->tape, n, word, sizeof word), name);
    return ww_tape_error(&p->tape, n->at, WW_EINVAL, "found %s, expected %s", found[n->kind], name);
}

/* A string or binary literal where Text or Data goes. */
static ww_err put_bytes(struct parser *p, const struct ww_tape_node *n, struct ww_type type, struct ww_pb to)
{
    struct ww_bytes in = ww_tape_text(&p->tape, n);
    bool binary = n->kind == WW_TAPE_BINARY;
    if (n->kind != WW_TAPE_STRING && !(binary && type.base == WW_TYPE_DATA))
        return expected(p, n, type);
    size_t len = binary ? unhex(in, NULL) : unescape(in, NULL);
    uint8_t *out = type.base == WW_TYPE_TEXT ? ww_pb_init_text(to, len) : ww_pb_init_data(to, len);
    if (!out)
        return WW_ENOMEM; /* the message knows better */
    if (binary)
        unhex(in, out);
    else
        unescape(in, out);
    return 0;
}

/* The size of an integer literal: 0x1f, 017, 15. */
static bool integer(struct ww_bytes text, uint64_t *ret)
{
    if (ww_bytes_has_prefix(text, WW_BYTES_LIT("0x")))
        return ww_number_parse_u64(ww_bytes_skip(text, 2), 16, ret);
    return ww_number_parse_u64(text, text.len > 1 && text.ptr[0] == '0' ? 8 : 10, ret);
}

static ww_err number(const struct parser *p, const struct ww_tape_node *n, struct ww_dyn_value *ret)
{
    struct ww_bytes text = ww_tape_text(&p->tape, n);
    bool negative = text.ptr[0] == '-';
    uint64_t size;
    double f;
    while (negative && (text.ptr[0] < '0' || text.ptr[0] > '9') && text.ptr[0] != 'i')
        text = ww_bytes_skip(text, 1);
    if (n->kind == WW_TAPE_INT) {
        if (!integer(text, &size))
            return ww_tape_error(&p->tape, n->at, WW_EINVAL, "no number, or more than 64 bits");
        if (negative && size > (uint64_t)INT64_MAX + 1)
            return ww_tape_error(&p->tape, n->at, WW_EINVAL, "the number is too large to be negative");
        *ret = negative ? ww_dyn_int((int64_t)(0 - size)) : ww_dyn_uint(size);
        return 0;
    }
    if (text.len == 3 && text.ptr[0] == 'i')
        f = __builtin_inf();
    else if (!ww_number_parse(text, &f))
        return ww_tape_error(&p->tape, n->at, WW_EINVAL, "no number");
    *ret = ww_dyn_float(negative ? -f : f);
    return 0;
}

static ww_err word(
    const struct parser *p, const struct ww_tape_node *n, struct ww_type type, struct ww_dyn_value *ret)
{
    char name[64];
    struct ww_bytes text = ww_tape_text(&p->tape, n);
    ww_tape_name(&p->tape, n, name, sizeof name);
    if (type.base == WW_TYPE_ENUM && !type.lists)
        *ret = ww_dyn_text(text);
    else if (strcmp(name, "true") == 0 || strcmp(name, "false") == 0)
        *ret = ww_dyn_bool(*name == 't');
    else if (strcmp(name, "void") == 0)
        *ret = ww_dyn_void();
    else if (strcmp(name, "inf") == 0)
        *ret = ww_dyn_float(__builtin_inf());
    else if (strcmp(name, "nan") == 0)
        *ret = ww_dyn_float(__builtin_nan(""));
    else
        return ww_tape_error(
            &p->tape, n->at, WW_EINVAL, "found `%s`: constants, imports and embeds are not known here", name);
    return 0;
}

/* What a scalar is set from. */
static ww_err scalar(
    const struct parser *p, const struct ww_tape_node *n, struct ww_type type, struct ww_dyn_value *ret)
{
    if (n->kind == WW_TAPE_WORD)
        return word(p, n, type, ret);
    if (n->kind != WW_TAPE_INT && n->kind != WW_TAPE_FLOAT)
        return expected(p, n, type);
    if (n->kind == WW_TAPE_FLOAT && !type.lists && type.base != WW_TYPE_FLOAT32 &&
        type.base != WW_TYPE_FLOAT64)
        return expected(p, n, type);
    return number(p, n, ret);
}

/* An error of the dynamic layer, with its place. */
static ww_err placed(
    const struct parser *p, const struct ww_tape_node *n, ww_err err, const struct ww_diag *inner)
{
    return ww_tape_error(
        &p->tape, n->at, err, "%s", inner && inner->text[0] ? inner->text : ww_err_text(err));
}

/* ---- fields and elements */

/* The value itself, when it stands in brackets of its own. */
static uint32_t inside(const struct parser *p, uint32_t node)
{
    while (p->tape.nodes[node].kind == WW_TAPE_GROUP)
        node++;
    return node;
}

static ww_err put_field(
    struct parser *p, struct ww_dyn_sb s, const struct ww_schema_field *field, uint32_t node)
{
    const struct ww_tape_node *n = &p->tape.nodes[node];
    struct ww_type type;
    struct frame *child;
    struct ww_dyn_value v;
    struct ww_diag diag = {0};
    ww_err err = ww_schema_field_type(s.type, field, &type);
    if (err < 0)
        return placed(p, n, err, NULL);
    enum ww_type_kind kind = ww_type_kind(type);
    if (kind == WW_TYPE_STRUCT || kind == WW_TYPE_LIST) {
        if (n->kind != (kind == WW_TYPE_LIST ? WW_TAPE_LIST : WW_TAPE_STRUCT))
            return expected(p, n, type);
        WW_TRY(frame_add(p, type, node, &child));
        err = kind == WW_TYPE_LIST ? ww_dyn_init_list(s, field, n->count, &child->at.l, &diag)
                                   : ww_dyn_init(s, field, &child->at.s, &diag);
    } else if (kind == WW_TYPE_TEXT || kind == WW_TYPE_DATA) {
        ww_dyn_select(s, field);
        return put_bytes(p, n, type, ww_sb_ptr(s.b, field->offset));
    } else {
        WW_TRY(scalar(p, n, type, &v));
        err = ww_dyn_set(s, field, &v, &diag);
    }
    return err < 0 ? placed(p, n, err, &diag) : 0;
}

static ww_err put_element(struct parser *p, struct ww_dyn_lb l, uint32_t i, uint32_t node)
{
    const struct ww_tape_node *n = &p->tape.nodes[node];
    struct ww_type type = ww_type_elem(l.type);
    struct frame *child;
    struct ww_dyn_value v;
    struct ww_diag diag = {0};
    enum ww_type_kind kind = ww_type_kind(type);
    ww_err err;
    if (kind == WW_TYPE_STRUCT || kind == WW_TYPE_LIST) {
        if (n->kind != (kind == WW_TYPE_LIST ? WW_TAPE_LIST : WW_TAPE_STRUCT))
            return expected(p, n, type);
        WW_TRY(frame_add(p, type, node, &child));
        err = kind == WW_TYPE_LIST ? ww_dyn_put_list(l, i, n->count, &child->at.l, &diag)
                                   : ww_dyn_put_struct(l, i, &child->at.s, &diag);
    } else if (kind == WW_TYPE_TEXT || kind == WW_TYPE_DATA) {
        return put_bytes(p, n, type, ww_lb_ptr(l.b, i));
    } else {
        WW_TRY(scalar(p, n, type, &v));
        err = ww_dyn_put(l, i, &v, &diag);
    }
    return err < 0 ? placed(p, n, err, &diag) : 0;
}

static ww_err step(struct parser *p)
{
    struct frame *f = &p->frames[p->depth - 1];
    uint32_t node = f->node;
    if (node == f->end) {
        p->depth--;
        return 0;
    }
    if (f->type.lists) {
        f->node = p->tape.nodes[node].next;
        return put_element(p, f->at.l, f->i++, inside(p, node));
    }
    char name[128];
    struct ww_diag diag = {0};
    const struct ww_tape_node *n = &p->tape.nodes[node];
    ww_tape_name(&p->tape, n, name, sizeof name);
    const struct ww_schema_field *field = n->len < sizeof name ? ww_schema_field(f->type.node, name) : NULL;
    if (!field)
        return placed(p, n, ww_dyn_no_field(f->type.node, name, &diag), &diag);
    f->node = p->tape.nodes[node + 1].next;
    return put_field(p, f->at.s, field, inside(p, node + 1));
}

static ww_err build(struct parser *p, struct ww_type type, struct ww_pb to)
{
    struct frame *root;
    WW_TRY(ww_dyn_check(type, p->tape.diag));
    if (p->tape.nodes[inside(p, 0)].kind != WW_TAPE_STRUCT)
        return expected(p, &p->tape.nodes[inside(p, 0)], type);
    WW_TRY(frame_add(p, type, inside(p, 0), &root));
    ww_err err = ww_dyn_init_root(to, type, &root->at.s, p->tape.diag);
    while (err == 0 && p->depth > 0)
        err = ww_tape_built(&p->tape, to, step(p));
    return err;
}

ww_err ww_text_parse(
    struct ww_bytes text, struct ww_type type, struct ww_pb to, size_t *ret_used, struct ww_diag *diag)
{
    struct parser p = {.frames = NULL};
    ww_err err = ww_text_scan(&p.tape, text, diag);
    if (err == 0)
        err = ww_text_scan_end(&p.tape, ret_used != NULL);
    if (err == 0)
        err = build(&p, type, to);
    if (err == 0 && ret_used)
        *ret_used = p.tape.at;
    ww_free(p.frames);
    ww_tape_fini(&p.tape);
    return err;
}
