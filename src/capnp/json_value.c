/* capnp/json_value.c — JSON values into fields and elements. */
#include "capnp/json_int.h"
#include "capnp/number.h"

static size_t put_utf8(uint32_t v, uint8_t *out)
{
    size_t len = v < 0x80 ? 1 : v < 0x800 ? 2 : v < 0x10000 ? 3 : 4;
    if (!out)
        return len;
    if (len == 1) {
        out[0] = (uint8_t)v;
        return 1;
    }
    for (size_t i = len; i-- > 1; v >>= 6)
        out[i] = (uint8_t)(0x80 | (v & 0x3f));
    out[0] = (uint8_t)((0xf00u >> len) | v);
    return len;
}

static uint32_t hex4(const uint8_t *at)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++)
        v = v << 4 | (uint32_t)ww_hex_digit(at[i]);
    return v;
}

size_t ww_json_unescape(struct ww_bytes in, uint8_t *out)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    size_t n = 0;
    for (size_t i = 1; i + 1 < in.len;) {
        uint32_t c = in.ptr[i++];
        if (c != '\\') {
            if (out)
                out[n] = (uint8_t)c;
            n++;
            continue;
        }
        c = in.ptr[i++];
        const char *letter = strchr(from, (int)c);
        if (c == 'u') {
            c = hex4(in.ptr + i);
            i += 4;
            if (c >= 0xd800 && c <= 0xdbff) {
                c = 0x10000 + ((c - 0xd800) << 10) + (hex4(in.ptr + i + 2) - 0xdc00);
                i += 6;
            }
        } else if (letter) {
            c = (uint8_t)to[letter - from];
        }
        n += put_utf8(c, out ? out + n : NULL);
    }
    return n;
}

ww_err ww_json_expected(const struct ww_json_parser *p, uint32_t node, const char *expected)
{
    static const char *const found[] = {
        "an object", "an array", "a name", "", "a number", "a number", "a string", "", ""};
    const struct ww_tape_node *n = &p->tape.nodes[node];
    char word[8];
    return ww_tape_error(&p->tape, n->at, WW_EINVAL, "found %s, expected %s",
        n->kind == WW_TAPE_WORD ? ww_tape_name(&p->tape, n, word, sizeof word) : found[n->kind], expected);
}

ww_err ww_json_placed(const struct ww_json_parser *p, uint32_t node, ww_err err, const struct ww_diag *inner)
{
    return ww_tape_error(&p->tape, p->tape.nodes[node].at, err, "%s",
        inner && inner->text[0] ? inner->text : ww_err_text(err));
}

/* ---- scalars */

static bool is_word(const struct ww_json_parser *p, const struct ww_tape_node *n, const char *word)
{
    return n->kind == WW_TAPE_WORD && ww_bytes_eq(ww_tape_text(&p->tape, n), ww_bytes_str(word));
}

/* The size of an integer, decimal or (in strings) 0x...; false for anything else. */
static bool integer(struct ww_bytes text, bool quoted, uint64_t *ret)
{
    bool hex = quoted &&
        (ww_bytes_has_prefix(text, WW_BYTES_LIT("0x")) || ww_bytes_has_prefix(text, WW_BYTES_LIT("0X")));
    return hex ? ww_number_parse_u64(ww_bytes_skip(text, 2), 16, ret) : ww_number_parse_u64(text, 10, ret);
}

/* A number, also in a string: exact for integers of up to 64 bits, else the nearest double. */
static bool number(struct ww_bytes text, bool quoted, bool whole, struct ww_dyn_value *ret)
{
    bool negative = text.len > 0 && text.ptr[0] == '-';
    struct ww_bytes size = ww_bytes_skip(text, negative);
    uint64_t v;
    double f;
    if (integer(size, quoted, &v) && (!negative || v <= (uint64_t)INT64_MAX + 1) && (v > 0 || !negative)) {
        *ret = negative ? ww_dyn_int((int64_t)(0 - v)) : ww_dyn_uint(v);
        return true;
    }
    if (quoted && !whole) {
        bool nan = ww_bytes_eq(size, WW_BYTES_LIT("NaN")) || ww_bytes_eq(size, WW_BYTES_LIT("nan"));
        bool inf = ww_bytes_eq(size, WW_BYTES_LIT("Infinity")) || ww_bytes_eq(size, WW_BYTES_LIT("inf"));
        f = nan ? __builtin_nan("") : __builtin_inf();
        if (nan || inf) {
            *ret = ww_dyn_float(negative ? -f : f);
            return true;
        }
    }
    if ((quoted && whole) || !ww_number_parse(size, &f))
        return false;
    *ret = ww_dyn_float(negative ? -f : f);
    return true;
}

static ww_err read_number(
    struct ww_json_parser *p, uint32_t node, struct ww_type type, struct ww_dyn_value *ret)
{
    const struct ww_tape_node *n = &p->tape.nodes[node];
    bool whole = type.base != WW_TYPE_FLOAT32 && type.base != WW_TYPE_FLOAT64;
    struct ww_bytes text = ww_tape_text(&p->tape, n);
    char name[32], buf[64];
    if (!whole && is_word(p, n, "null")) {
        *ret = ww_dyn_float(__builtin_nan(""));
        return 0;
    }
    if (n->kind == WW_TAPE_STRING) {
        if (text.len > sizeof buf)
            return ww_json_expected(p, node, ww_type_name(type, name, sizeof name));
        text = ww_bytes(buf, ww_json_unescape(text, (uint8_t *)buf));
    } else if (n->kind != WW_TAPE_INT && n->kind != WW_TAPE_FLOAT) {
        return ww_json_expected(p, node, ww_type_name(type, name, sizeof name));
    }
    if (!number(text, n->kind == WW_TAPE_STRING, whole, ret))
        return ww_json_expected(p, node, ww_type_name(type, name, sizeof name));
    return 0;
}

static ww_err read_enum(
    struct ww_json_parser *p, uint32_t node, struct ww_type type, struct ww_dyn_value *ret)
{
    const struct ww_tape_node *n = &p->tape.nodes[node];
    struct ww_dyn_value v;
    uint64_t bits;
    struct ww_type number = {.base = WW_TYPE_UINT16};
    char name[128];
    memset(ret, 0, sizeof *ret);
    ret->type = type;
    if (n->kind == WW_TAPE_INT || n->kind == WW_TAPE_FLOAT) {
        struct ww_diag diag = {0};
        WW_TRY(read_number(p, node, number, &v));
        ww_err err = ww_dyn_scalar(number, &v, &bits, &diag);
        ret->as.e = (uint16_t)bits;
        return err < 0 ? ww_json_placed(p, node, err, &diag) : 0;
    }
    if (type.node->kind == WW_SCHEMA_MISSING)
        return ww_tape_error(&p->tape, n->at, WW_ENOTFOUND, "the schema of the enum is not loaded");
    if (n->kind != WW_TAPE_STRING || n->len > sizeof name)
        return ww_json_expected(p, node, ww_type_name(type, name, sizeof name));
    struct ww_bytes text = ww_bytes(name, ww_json_unescape(ww_tape_text(&p->tape, n), (uint8_t *)name));
    for (uint32_t i = 0; i < type.node->count; i++) {
        if (ww_bytes_eq(ww_json_enumerant(type.node, (uint16_t)i), text)) {
            ret->as.e = (uint16_t)i;
            return 0;
        }
    }
    name[text.len < sizeof name ? text.len : sizeof name - 1] = 0;
    return ww_tape_error(
        &p->tape, n->at, WW_EINVAL, "no enumerant `%.60s` in %s", name, type.node->display_name);
}

static ww_err read_scalar(
    struct ww_json_parser *p, uint32_t node, struct ww_type type, struct ww_dyn_value *ret)
{
    const struct ww_tape_node *n = &p->tape.nodes[node];
    switch (type.base) {
    case WW_TYPE_VOID:
        *ret = ww_dyn_void();
        return 0;
    case WW_TYPE_BOOL:
        if (!is_word(p, n, "true") && !is_word(p, n, "false"))
            return ww_json_expected(p, node, "true or false");
        *ret = ww_dyn_bool(is_word(p, n, "true"));
        return 0;
    case WW_TYPE_ENUM:
        return read_enum(p, node, type, ret);
    case WW_TYPE_INTERFACE:
    case WW_TYPE_ANY:
        return ww_tape_error(&p->tape, n->at, WW_EUNSUPPORTED, "capabilities and AnyPointer have no JSON");
    default:
        return read_number(p, node, type, ret);
    }
}

/* ---- Text and Data */

static int base64_digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* In place; false when it is none. The padding may be left out. */
static bool unbase64(uint8_t *bytes, size_t *io_len)
{
    size_t len = *io_len, n = 0;
    uint32_t v = 0;
    for (int pad = 0; pad < 2 && len > 0 && bytes[len - 1] == '='; pad++)
        len--;
    if (len % 4 == 1)
        return false;
    for (size_t i = 0; i < len; i++) {
        int digit = base64_digit(bytes[i]);
        if (digit < 0)
            return false;
        v = v << 6 | (uint32_t)digit;
        if (i % 4 > 0)
            bytes[n++] = (uint8_t)(v >> (6 - i % 4 * 2));
    }
    *io_len = n;
    return true;
}

static bool unhex(uint8_t *bytes, size_t *io_len)
{
    size_t n = *io_len / 2;
    for (size_t i = 0; i < n; i++) {
        int high = ww_hex_digit(bytes[2 * i]), low = ww_hex_digit(bytes[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    bool even = *io_len % 2 == 0;
    *io_len = n;
    return even;
}

static ww_err put_coded(struct ww_json_parser *p, uint32_t node, bool base64, struct ww_pb to)
{
    const struct ww_tape_node *n = &p->tape.nodes[node];
    const char *what = base64 ? "a string of base64" : "a string of hexadecimal digits";
    if (n->kind != WW_TAPE_STRING)
        return ww_json_expected(p, node, what);
    size_t len = ww_json_unescape(ww_tape_text(&p->tape, n), NULL);
    uint8_t *bytes = ww_alloc(len + 1);
    if (!bytes)
        return WW_ENOMEM;
    ww_json_unescape(ww_tape_text(&p->tape, n), bytes);
    bool good = base64 ? unbase64(bytes, &len) : unhex(bytes, &len);
    if (good)
        ww_pb_set_data(to, ww_bytes(bytes, len));
    ww_free(bytes);
    return good ? 0 : ww_json_expected(p, node, what);
}

static ww_err put_data(struct ww_json_parser *p, uint32_t node, struct ww_pb to)
{
    const struct ww_tape_node *n = &p->tape.nodes[node];
    struct ww_dyn_value v;
    struct ww_type byte = {.base = WW_TYPE_UINT8};
    uint64_t bits;
    if (n->kind != WW_TAPE_LIST)
        return ww_json_expected(p, node, "an array of bytes");
    uint32_t count = n->count;
    uint8_t *out = ww_pb_init_data(to, count);
    if (!out)
        return WW_ENOMEM;
    memset(out, 0, count);
    for (uint32_t i = 0, k = node + 1; i < count; i++, k = p->tape.nodes[k].next) {
        struct ww_diag diag = {0};
        if (p->tape.nodes[k].kind != WW_TAPE_INT && p->tape.nodes[k].kind != WW_TAPE_FLOAT)
            return ww_json_expected(p, k, "a number from 0 to 255");
        WW_TRY(read_number(p, k, byte, &v));
        ww_err err = ww_dyn_scalar(byte, &v, &bits, &diag);
        if (err < 0)
            return ww_json_placed(p, k, err, &diag);
        out[i] = (uint8_t)bits;
    }
    return 0;
}

static ww_err put_text(struct ww_json_parser *p, uint32_t node, struct ww_pb to)
{
    struct ww_bytes in = ww_tape_text(&p->tape, &p->tape.nodes[node]);
    if (p->tape.nodes[node].kind != WW_TAPE_STRING)
        return ww_json_expected(p, node, "a string");
    uint8_t *out = ww_pb_init_text(to, ww_json_unescape(in, NULL));
    if (!out)
        return WW_ENOMEM;
    ww_json_unescape(in, out);
    return 0;
}

/* ---- fields and elements */

/* Whether the node can hold a struct or list of this type. */
static ww_err check_kind(struct ww_json_parser *p, uint32_t node, struct ww_type type)
{
    char name[96];
    enum ww_tape_kind want = type.lists ? WW_TAPE_LIST : WW_TAPE_STRUCT;
    if (p->tape.nodes[node].kind != want)
        return ww_json_expected(p, node, ww_type_name(type, name, sizeof name));
    return 0;
}

ww_err ww_json_put_field(
    struct ww_json_parser *p, struct ww_dyn_sb s, const struct ww_schema_field *field, uint32_t node)
{
    struct ww_type type;
    struct ww_dyn_value v;
    struct ww_diag diag = {0};
    struct ww_json_field look;
    ww_err err = ww_schema_field_type(s.type, field, &type);
    if (err < 0)
        return ww_json_placed(p, node, err, NULL);
    enum ww_type_kind kind = ww_type_kind(type);
    if (kind == WW_TYPE_STRUCT || kind == WW_TYPE_LIST) {
        WW_TRY(check_kind(p, node, type));
        WW_TRY(ww_json_push(p, type, field->is_group ? field : NULL, node));
        struct ww_json_frame *child = &p->frames[p->depth - 1];
        err = kind == WW_TYPE_LIST
            ? ww_dyn_init_list(s, field, p->tape.nodes[node].count, &child->at.l, &diag)
            : ww_dyn_init(s, field, &child->at.s, &diag);
        return err < 0 ? ww_json_placed(p, node, err, &diag) : 0;
    }
    if (kind == WW_TYPE_TEXT || kind == WW_TYPE_DATA) {
        struct ww_pb to = ww_sb_ptr(s.b, field->offset);
        ww_json_field_info(field, &look);
        ww_dyn_select(s, field);
        if (kind == WW_TYPE_TEXT)
            return put_text(p, node, to);
        return look.base64 || look.hex ? put_coded(p, node, look.base64, to) : put_data(p, node, to);
    }
    WW_TRY(read_scalar(p, node, type, &v));
    err = ww_dyn_set(s, field, &v, &diag);
    return err < 0 ? ww_json_placed(p, node, err, &diag) : 0;
}

ww_err ww_json_put_element(struct ww_json_parser *p, struct ww_dyn_lb l, uint32_t i, uint32_t node)
{
    struct ww_type type = ww_type_elem(l.type);
    struct ww_dyn_value v;
    struct ww_diag diag = {0};
    enum ww_type_kind kind = ww_type_kind(type);
    if (kind == WW_TYPE_STRUCT || kind == WW_TYPE_LIST) {
        WW_TRY(check_kind(p, node, type));
        WW_TRY(ww_json_push(p, type, NULL, node));
        struct ww_json_frame *child = &p->frames[p->depth - 1];
        ww_err err = kind == WW_TYPE_LIST
            ? ww_dyn_put_list(l, i, p->tape.nodes[node].count, &child->at.l, &diag)
            : ww_dyn_put_struct(l, i, &child->at.s, &diag);
        return err < 0 ? ww_json_placed(p, node, err, &diag) : 0;
    }
    if (kind == WW_TYPE_TEXT)
        return put_text(p, node, ww_lb_ptr(l.b, i));
    if (kind == WW_TYPE_DATA)
        return put_data(p, node, ww_lb_ptr(l.b, i));
    WW_TRY(read_scalar(p, node, type, &v));
    ww_err err = ww_dyn_put(l, i, &v, &diag);
    return err < 0 ? ww_json_placed(p, node, err, &diag) : 0;
}
