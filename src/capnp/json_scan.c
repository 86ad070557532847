/* capnp/json_scan.c — the syntax of JSON: RFC 8259, nothing more, and text that is UTF-8. */
#include "capnp/text_tape.h"

static int peek(const struct ww_tape *t)
{
    return t->at < t->in.len ? t->in.ptr[t->at] : -1;
}

static void skip(struct ww_tape *t)
{
    while (t->at < t->in.len &&
        (t->in.ptr[t->at] == ' ' || t->in.ptr[t->at] == '\t' || t->in.ptr[t->at] == '\n' ||
            t->in.ptr[t->at] == '\r'))
        t->at++;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

/* Four hexadecimal digits at `at`, or -1. */
static int32_t hex4(const struct ww_tape *t, size_t at)
{
    int32_t v = 0;
    for (size_t i = at; i < at + 4; i++) {
        int digit = i < t->in.len ? ww_hex_digit(t->in.ptr[i]) : -1;
        if (digit < 0)
            return -1;
        v = v << 4 | digit;
    }
    return v;
}

/* After a backslash. */
static ww_err scan_escape(struct ww_tape *t)
{
    int c = peek(t);
    if (c == 'u') {
        int32_t v = hex4(t, t->at + 1);
        if (v < 0)
            return ww_tape_unexpected(t, t->at - 1, "\\u and four hexadecimal digits");
        t->at += 5;
        if (v >= 0xdc00 && v <= 0xdfff)
            return ww_tape_error(t, t->at - 6, WW_EINVAL, "the second half of a surrogate pair stands alone");
        if (v < 0xd800 || v > 0xdbff)
            return 0;
        int32_t low =
            peek(t) == '\\' && t->at + 1 < t->in.len && t->in.ptr[t->at + 1] == 'u' ? hex4(t, t->at + 2) : -1;
        if (low < 0xdc00 || low > 0xdfff)
            return ww_tape_error(t, t->at - 6, WW_EINVAL, "the first half of a surrogate pair stands alone");
        t->at += 6;
        return 0;
    }
    if (c <= 0 || !strchr("\"\\/bfnrt", c))
        return ww_tape_unexpected(t, t->at - 1, "an escape of JSON");
    t->at++;
    return 0;
}

/* One character above ASCII: the bytes of it, or 0. No overlong forms, no surrogates, nothing over 10ffff. */
static size_t utf8_len(const struct ww_tape *t)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t first = t->in.ptr[t->at];
    size_t len = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    uint32_t v = first & (0xffu >> (len + 1));
    if (first < 0xc2 || first > 0xf4 || t->in.len - t->at < len)
        return 0;
    for (size_t i = 1; i < len; i++) {
        uint8_t c = t->in.ptr[t->at + i];
        if ((c & 0xc0) != 0x80)
            return 0;
        v = v << 6 | (c & 0x3f);
    }
    return v < least[len] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff) ? 0 : len;
}

static ww_err scan_string(struct ww_tape *t, enum ww_tape_kind kind)
{
    size_t start = t->at++;
    while (peek(t) != '"') {
        int c = peek(t);
        if (c < 0)
            return ww_tape_error(t, start, WW_EINVAL, "the string has no end");
        if (c < 0x20)
            return ww_tape_error(
                t, t->at, WW_EINVAL, "control characters in strings are written as \\u%04x", (unsigned)c);
        size_t len = c < 0x80 ? 1 : utf8_len(t);
        if (len == 0)
            return ww_tape_error(t, t->at, WW_EINVAL, "byte 0x%02x is no UTF-8 here", (unsigned)c);
        t->at += len;
        if (c == '\\')
            WW_TRY(scan_escape(t));
    }
    t->at++;
    return ww_tape_add(t, kind, start, t->at);
}

static ww_err scan_digits(struct ww_tape *t)
{
    if (!is_digit(peek(t)))
        return ww_tape_unexpected(t, t->at, "a digit");
    while (is_digit(peek(t)))
        t->at++;
    return 0;
}

static ww_err scan_number(struct ww_tape *t)
{
    size_t start = t->at;
    enum ww_tape_kind kind = WW_TAPE_INT;
    t->at += peek(t) == '-';
    size_t first = t->at;
    WW_TRY(scan_digits(t));
    if (t->in.ptr[first] == '0' && t->at > first + 1)
        return ww_tape_error(t, first, WW_EINVAL, "numbers do not begin with 0");
    if (peek(t) == '.') {
        kind = WW_TAPE_FLOAT;
        t->at++;
        WW_TRY(scan_digits(t));
    }
    if (peek(t) == 'e' || peek(t) == 'E') {
        kind = WW_TAPE_FLOAT;
        t->at++;
        t->at += peek(t) == '+' || peek(t) == '-';
        WW_TRY(scan_digits(t));
    }
    return ww_tape_add(t, kind, start, t->at);
}

static ww_err scan_word(struct ww_tape *t)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < WW_COUNT_OF(words); i++) {
        size_t len = strlen(words[i]);
        if (t->in.len - t->at >= len && memcmp(t->in.ptr + t->at, words[i], len) == 0) {
            t->at += len;
            return ww_tape_add(t, WW_TAPE_WORD, t->at - len, t->at);
        }
    }
    return ww_tape_unexpected(t, t->at, "a value");
}

static ww_err scan_value(struct ww_tape *t)
{
    int c = peek(t);
    if (c == '{')
        return ww_tape_enter(t, WW_TAPE_STRUCT);
    if (c == '[')
        return ww_tape_enter(t, WW_TAPE_LIST);
    if (c == '"')
        return scan_string(t, WW_TAPE_STRING);
    return c == '-' || is_digit(c) ? scan_number(t) : scan_word(t);
}

static ww_err scan_name(struct ww_tape *t)
{
    if (peek(t) != '"')
        return ww_tape_unexpected(t, t->at, "a name in quotes");
    WW_TRY(scan_string(t, WW_TAPE_NAME));
    skip(t);
    if (peek(t) != ':')
        return ww_tape_unexpected(t, t->at, ":");
    t->at++;
    skip(t);
    return 0;
}

static int closing(const struct ww_tape *t)
{
    return t->nodes[t->open].kind == WW_TAPE_LIST ? ']' : '}';
}

/* After a value: closes what ends here, up to the next value. */
static ww_err scan_after(struct ww_tape *t)
{
    while (t->open != UINT32_MAX) {
        skip(t);
        if (peek(t) == ',') {
            t->at++;
            return 0;
        }
        if (peek(t) != closing(t))
            return ww_tape_unexpected(t, t->at, closing(t) == ']' ? ", or ]" : ", or }");
        ww_tape_leave(t);
    }
    return 0;
}

ww_err ww_json_scan(struct ww_tape *t, struct ww_bytes in, struct ww_diag *diag)
{
    WW_TRY(ww_tape_start(t, in, diag));
    skip(t);
    WW_TRY(scan_value(t));
    while (t->open != UINT32_MAX) {
        unsigned depth = t->depth;
        skip(t);
        if (t->nodes[t->open].count == 0 && peek(t) == closing(t)) {
            ww_tape_leave(t);
            WW_TRY(scan_after(t));
            continue;
        }
        if (t->nodes[t->open].kind == WW_TAPE_STRUCT)
            WW_TRY(scan_name(t));
        WW_TRY(scan_value(t));
        if (t->depth == depth)
            WW_TRY(scan_after(t));
    }
    return 0;
}

ww_err ww_json_scan_end(struct ww_tape *t, bool more)
{
    skip(t);
    return t->at < t->in.len && !more ? ww_tape_unexpected(t, t->at, "the end") : 0;
}
