/* capnp/text_scan.c — the syntax of values in the schema language (capnproto.org/language.html). */
#include "capnp/text_tape.h"

static int peek(const struct ww_tape *t)
{
    return t->at < t->in.len ? t->in.ptr[t->at] : -1;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c);
}

/* Space and comments. */
static void skip(struct ww_tape *t)
{
    for (;; t->at++) {
        int c = peek(t);
        if (c == '#') {
            while (t->at < t->in.len && t->in.ptr[t->at] != '\n')
                t->at++;
        } else if (c != ' ' && (c < '\t' || c > '\r')) {
            return;
        }
        if (t->at >= t->in.len)
            return;
    }
}

static size_t word_end(const struct ww_tape *t, size_t at)
{
    while (at < t->in.len && is_word(t->in.ptr[at]))
        at++;
    return at;
}

/* One escape after its backslash; the bytes that it takes, or 0. */
static size_t escape_len(struct ww_bytes in, size_t at)
{
    size_t n = 0;
    if (at >= in.len)
        return 0;
    if (in.ptr[at] == 'x')
        return at + 2 < in.len && ww_hex_digit(in.ptr[at + 1]) >= 0 && ww_hex_digit(in.ptr[at + 2]) >= 0 ? 3
                                                                                                         : 0;
    while (n < 3 && at + n < in.len && in.ptr[at + n] >= '0' && in.ptr[at + n] <= '7')
        n++;
    return n ? n : in.ptr[at] && strchr("abfnrtv\\'\"?", in.ptr[at]) ? 1 : 0;
}

static ww_err scan_quoted(struct ww_tape *t)
{
    size_t start = t->at++;
    while (peek(t) != '"') {
        int c = peek(t);
        if (c < 0 || c == '\n')
            return ww_tape_error(t, start, WW_EINVAL, "the string has no end on its line");
        t->at++;
        if (c != '\\')
            continue;
        size_t len = escape_len(t->in, t->at);
        if (len == 0)
            return ww_tape_unexpected(t, t->at - 1, "an escape: \\n, \\t, \\\", \\\\, \\x41, \\101, ...");
        t->at += len;
    }
    t->at++;
    return 0;
}

/* Strings side by side are one. */
static ww_err scan_string(struct ww_tape *t)
{
    size_t start = t->at, end;
    do {
        WW_TRY(scan_quoted(t));
        end = t->at;
        skip(t);
    } while (peek(t) == '"');
    t->at = end;
    return ww_tape_add(t, WW_TAPE_STRING, start, end);
}

/* 0x"00 ff": pairs of digits, space between pairs. */
static ww_err scan_binary(struct ww_tape *t)
{
    size_t start = t->at;
    bool half = false;
    for (t->at += 3; peek(t) != '"'; t->at++) {
        int c = peek(t);
        if (c < 0)
            return ww_tape_error(t, start, WW_EINVAL, "the string has no end");
        if (ww_hex_digit((uint8_t)c) >= 0)
            half = !half;
        else if (half || (c != ' ' && (c < '\t' || c > '\r')))
            return ww_tape_unexpected(t, t->at, "two hexadecimal digits");
    }
    if (half)
        return ww_tape_unexpected(t, t->at, "a hexadecimal digit");
    t->at++;
    return ww_tape_add(t, WW_TAPE_BINARY, start, t->at);
}

/* `start` is where the sign was, if any. */
static ww_err scan_number(struct ww_tape *t, size_t start)
{
    const uint8_t *in = t->in.ptr;
    size_t first = t->at, end = word_end(t, first);
    enum ww_tape_kind kind = WW_TAPE_INT;
    bool prefixed = in[first] == '0' && end > first + 1 && in[first + 1] == 'x';
    if (!prefixed && end < t->in.len && in[end] == '.') {
        kind = WW_TAPE_FLOAT;
        end = word_end(t, end + 1);
    }
    bool exponent = !prefixed && (in[end - 1] == 'e' || in[end - 1] == 'E');
    if (exponent && end < t->in.len && (in[end] == '+' || in[end] == '-'))
        end = word_end(t, end + 1);
    for (size_t i = first; i < end && !prefixed; i++) {
        if (in[i] == 'e' || in[i] == 'E')
            kind = WW_TAPE_FLOAT;
    }
    t->at = end;
    return ww_tape_add(t, kind, start, end);
}

static ww_err scan_value(struct ww_tape *t)
{
    size_t start = t->at;
    int c = peek(t);
    if (c == '(')
        return ww_tape_enter(t, WW_TAPE_STRUCT);
    if (c == '[')
        return ww_tape_enter(t, WW_TAPE_LIST);
    if (c == '"')
        return scan_string(t);
    if (t->in.len - t->at > 2 && memcmp(t->in.ptr + t->at, "0x\"", 3) == 0)
        return scan_binary(t);
    if (c == '-') {
        t->at++;
        skip(t);
        c = peek(t);
        if (t->in.len - t->at >= 3 && memcmp(t->in.ptr + t->at, "inf", 3) == 0 &&
            word_end(t, t->at) == t->at + 3) {
            t->at += 3;
            return ww_tape_add(t, WW_TAPE_FLOAT, start, t->at);
        }
        return is_digit(c) ? scan_number(t, start) : ww_tape_unexpected(t, t->at, "a number after the minus");
    }
    if (is_digit(c))
        return scan_number(t, start);
    if (is_word(c) || c == '.') {
        t->at = word_end(t, t->at + (c == '.'));
        return ww_tape_add(t, WW_TAPE_WORD, start, t->at);
    }
    return ww_tape_unexpected(t, t->at, "a value");
}

/* `name =` before a value of a struct. Without a name, the one value in brackets stands for itself. */
static ww_err scan_name(struct ww_tape *t)
{
    struct ww_tape_node *around = &t->nodes[t->open];
    size_t start = t->at, end = word_end(t, start);
    if (around->kind == WW_TAPE_STRUCT && end > start && !is_digit(t->in.ptr[start])) {
        t->at = end;
        skip(t);
        if (peek(t) == '=') {
            t->at++;
            skip(t);
            return ww_tape_add(t, WW_TAPE_NAME, start, end);
        }
        t->at = start;
    }
    if (around->count > 0)
        return ww_tape_unexpected(t, start, "name = value");
    around->kind = WW_TAPE_GROUP;
    return 0;
}

static int closing(const struct ww_tape *t)
{
    return t->nodes[t->open].kind == WW_TAPE_LIST ? ']' : ')';
}

/* After a value: closes what ends here, up to the next value. */
static ww_err scan_after(struct ww_tape *t)
{
    while (t->open != UINT32_MAX) {
        skip(t);
        int close = closing(t);
        bool comma = peek(t) == ',';
        if (comma) {
            t->at++;
            skip(t);
        }
        if (peek(t) == close)
            ww_tape_leave(t);
        else
            return comma ? 0 : ww_tape_unexpected(t, t->at, close == ']' ? ", or ]" : ", or )");
    }
    return 0;
}

ww_err ww_text_scan(struct ww_tape *t, struct ww_bytes in, struct ww_diag *diag)
{
    WW_TRY(ww_tape_start(t, in, diag));
    skip(t);
    if (peek(t) != '(')
        return ww_tape_unexpected(t, t->at, "a struct, which begins with (");
    WW_TRY(scan_value(t));
    while (t->open != UINT32_MAX) {
        const struct ww_tape_node *around = &t->nodes[t->open];
        unsigned depth = t->depth;
        skip(t);
        if (around->count == 0 && peek(t) == closing(t)) {
            ww_tape_leave(t);
            WW_TRY(scan_after(t));
            continue;
        }
        if (around->kind != WW_TAPE_LIST)
            WW_TRY(scan_name(t));
        WW_TRY(scan_value(t));
        if (t->depth == depth)
            WW_TRY(scan_after(t));
    }
    return 0;
}

ww_err ww_text_scan_end(struct ww_tape *t, bool more)
{
    skip(t);
    return t->at < t->in.len && !more ? ww_tape_unexpected(t, t->at, "the end") : 0;
}
