#include "base/trace.h"

#include <inttypes.h>
#include <stdio.h>

static const struct ww_trace_info infos[] = {
#define WW_TRACE_EVENT(id, module, name, ...) {module, name, {__VA_ARGS__, NULL}},
#include "base/trace.def"
#undef WW_TRACE_EVENT
};

const struct ww_trace_info *ww_trace_info(enum ww_trace_event event)
{
    WW_ASSERT((size_t)event < WW_COUNT_OF(infos));
    return &infos[event];
}

static ww_err put_str(struct ww_buf *out, const char *s)
{
    return ww_buf_append(out, ww_bytes_str(s));
}

static ww_err put_hex(struct ww_buf *out, struct ww_bytes b)
{
    for (size_t i = 0; i < b.len; i++) {
        char pair[3];
        ww_hex_encode(ww_bytes(b.ptr + i, 1), pair);
        WW_TRY(ww_buf_append(out, ww_bytes(pair, 2)));
    }
    return 0;
}

static ww_err put_number(struct ww_buf *out, const struct ww_trace_val *v)
{
    char num[24];
    int n = v->type == WW_TV_U64 ? snprintf(num, sizeof num, "%" PRIu64, v->u64)
                                 : snprintf(num, sizeof num, "%" PRId64, v->i64);
    return ww_buf_append(out, ww_bytes(num, (size_t)n));
}

/* Length of the well-formed UTF-8 sequence at the front, 0 when there is none (Unicode 15, table 3-7). */
static size_t utf8_len(struct ww_bytes t)
{
    uint8_t c = t.ptr[0];
    size_t n = c < 0x80         ? 1
        : c >= 0xc2 && c < 0xe0 ? 2
        : c >= 0xe0 && c < 0xf0 ? 3
        : c >= 0xf0 && c < 0xf5 ? 4
                                : 0;
    if (n == 0 || t.len < n)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((t.ptr[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((c == 0xe0 && t.ptr[1] < 0xa0) || (c == 0xed && t.ptr[1] > 0x9f) || (c == 0xf0 && t.ptr[1] < 0x90) ||
        (c == 0xf4 && t.ptr[1] > 0x8f))
        return 0;
    return n;
}

ww_err ww_json_put_string(struct ww_buf *out, struct ww_bytes text)
{
    WW_TRY(put_str(out, "\""));
    while (text.len > 0) {
        uint8_t c = text.ptr[0];
        size_t n = utf8_len(text);
        if (n == 0) {
            WW_TRY(put_str(out, "\\ufffd"));
            n = 1;
        } else if (c == '"' || c == '\\') {
            char esc[2] = {'\\', (char)c};
            WW_TRY(ww_buf_append(out, ww_bytes(esc, 2)));
        } else if (c < 0x20 || c == 0x7f) {
            char esc[8];
            int len = snprintf(esc, sizeof esc, "\\u%04x", c);
            WW_TRY(ww_buf_append(out, ww_bytes(esc, (size_t)len)));
        } else {
            WW_TRY(ww_buf_append(out, ww_bytes(text.ptr, n)));
        }
        text = ww_bytes_skip(text, n);
    }
    return put_str(out, "\"");
}

static bool needs_quotes(struct ww_bytes t)
{
    for (size_t i = 0; i < t.len; i++) {
        uint8_t c = t.ptr[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '=')
            return true;
    }
    return t.len == 0;
}

ww_err ww_trace_format_text(
    struct ww_buf *out, enum ww_trace_event event, const struct ww_trace_val *vals, size_t count)
{
    const struct ww_trace_info *info = ww_trace_info(event);
    WW_TRY(put_str(out, info->module));
    WW_TRY(put_str(out, "."));
    WW_TRY(put_str(out, info->name));
    for (size_t i = 0; i < count && info->fields[i]; i++) {
        WW_TRY(put_str(out, " "));
        WW_TRY(put_str(out, info->fields[i]));
        WW_TRY(put_str(out, "="));
        if (vals[i].type == WW_TV_HEX)
            WW_TRY(put_hex(out, vals[i].bytes));
        else if (vals[i].type == WW_TV_STR && needs_quotes(vals[i].bytes))
            WW_TRY(ww_json_put_string(out, vals[i].bytes));
        else if (vals[i].type == WW_TV_STR)
            WW_TRY(ww_buf_append(out, vals[i].bytes));
        else
            WW_TRY(put_number(out, &vals[i]));
    }
    return 0;
}

ww_err ww_trace_format_json(
    struct ww_buf *out, enum ww_trace_event event, const struct ww_trace_val *vals, size_t count)
{
    const struct ww_trace_info *info = ww_trace_info(event);
    WW_TRY(put_str(out, "\"event\":\""));
    WW_TRY(put_str(out, info->module));
    WW_TRY(put_str(out, "."));
    WW_TRY(put_str(out, info->name));
    WW_TRY(put_str(out, "\""));
    for (size_t i = 0; i < count && info->fields[i]; i++) {
        WW_TRY(put_str(out, ",\""));
        WW_TRY(put_str(out, info->fields[i]));
        WW_TRY(put_str(out, "\":"));
        if (vals[i].type == WW_TV_HEX) {
            WW_TRY(put_str(out, "\""));
            WW_TRY(put_hex(out, vals[i].bytes));
            WW_TRY(put_str(out, "\""));
        } else if (vals[i].type == WW_TV_STR) {
            WW_TRY(ww_json_put_string(out, vals[i].bytes));
        } else {
            WW_TRY(put_number(out, &vals[i]));
        }
    }
    return 0;
}
