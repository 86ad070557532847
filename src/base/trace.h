/* base/trace.h — declared trace events. Libraries emit them and never log; node, cli and the simulator print
 * them. base/trace.def holds one line an event: identifier, module, name, field names in order. */
#ifndef WW_BASE_TRACE_H
#define WW_BASE_TRACE_H

#include "base/buf.h"

enum ww_trace_event {
#define WW_TRACE_EVENT(id, module, name, ...) WW_TR_##id,
#include "base/trace.def"
#undef WW_TRACE_EVENT
    WW_TR_COUNT,
};

#define WW_TRACE_FIELDS_MAX 8

struct ww_trace_info {
    const char *module, *name;
    const char *fields[WW_TRACE_FIELDS_MAX + 1]; /* NULL-terminated */
};

const struct ww_trace_info *ww_trace_info(enum ww_trace_event event);

/* One field value; its name comes from the declaration. Views live only as long as the call. */
struct ww_trace_val {
    enum { WW_TV_U64, WW_TV_I64, WW_TV_STR, WW_TV_HEX } type;
    union {
        uint64_t u64;
        int64_t i64;
        struct ww_bytes bytes;
    };
};

struct ww_trace {
    void (*emit)(
        struct ww_trace *t, enum ww_trace_event event, const struct ww_trace_val *vals, size_t count);
};

static inline struct ww_trace_val ww_tv_u64(uint64_t v)
{
    return (struct ww_trace_val){.type = WW_TV_U64, .u64 = v};
}

static inline struct ww_trace_val ww_tv_i64(int64_t v)
{
    return (struct ww_trace_val){.type = WW_TV_I64, .i64 = v};
}

static inline struct ww_trace_val ww_tv_str(const char *v)
{
    return (struct ww_trace_val){.type = WW_TV_STR, .bytes = ww_bytes_str(v)};
}

static inline struct ww_trace_val ww_tv_text(struct ww_bytes v)
{
    return (struct ww_trace_val){.type = WW_TV_STR, .bytes = v};
}

static inline struct ww_trace_val ww_tv_hex(struct ww_bytes v)
{
    return (struct ww_trace_val){.type = WW_TV_HEX, .bytes = v};
}

static inline struct ww_trace_val ww_tv_err(ww_err err)
{
    return ww_tv_str(ww_err_name(err));
}

/* `t` may be NULL: then the event costs a branch. */
#define WW_TRACE(t, id, ...)                                                                                 \
    do {                                                                                                     \
        struct ww_trace *ww_trace_ = (t);                                                                    \
        if (WW_UNLIKELY(ww_trace_ != NULL)) {                                                                \
            const struct ww_trace_val ww_vals_[] = {__VA_ARGS__};                                            \
            ww_trace_->emit(ww_trace_, WW_TR_##id, ww_vals_, WW_COUNT_OF(ww_vals_));                         \
        }                                                                                                    \
    } while (0)

/* Appends `module.name field=value ...` (strings are quoted where they need it), without a newline. */
WW_MUST_USE ww_err ww_trace_format_text(
    struct ww_buf *out, enum ww_trace_event event, const struct ww_trace_val *vals, size_t count);
/* Appends `"event":"module.name","field":value,...`: members of a JSON object, without braces. */
WW_MUST_USE ww_err ww_trace_format_json(
    struct ww_buf *out, enum ww_trace_event event, const struct ww_trace_val *vals, size_t count);
/* Appends a quoted JSON string; bytes that are no UTF-8 become U+FFFD. */
WW_MUST_USE ww_err ww_json_put_string(struct ww_buf *out, struct ww_bytes text);

#endif
