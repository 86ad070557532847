/* Exceptions: made here, read from messages, passed on whole. */
#include "rpc/internal.h"

enum { TRACE_MAX = 8 * 1024, DETAILS_MAX = 16, DETAIL_BYTES_MAX = 8 * 1024 };

static ww_err err_of_call(ww_err err)
{
    switch (ww_err_kind(err)) {
    case WW_KIND_OVERLOADED:
        return WW_EOVERLOADED;
    case WW_KIND_DISCONNECTED:
        return WW_EDISCONNECTED;
    case WW_KIND_UNIMPLEMENTED:
        return WW_EUNIMPLEMENTED;
    case WW_KIND_FAILED:
        break;
    }
    return WW_EFAILED;
}

static struct ww_bytes cut(struct ww_bytes text, size_t max)
{
    return ww_bytes(text.ptr, text.len < max ? text.len : max);
}

static char *put_text(char *at, struct ww_bytes text)
{
    if (text.len)
        memcpy(at, text.ptr, text.len);
    at[text.len] = 0;
    return at + text.len + 1;
}

/* How many of the details are kept, and their bytes. */
static size_t details_kept(const struct ww_rpc_detail *details, size_t count, size_t *ret_bytes)
{
    size_t kept = 0, bytes = 0;
    while (kept < count && kept < DETAILS_MAX && details[kept].data.len <= DETAIL_BYTES_MAX - bytes)
        bytes += details[kept++].data.len;
    *ret_bytes = bytes;
    return kept;
}

static struct ww_rpc_exc *exc_make(struct ww_rpc_vat *vat, ww_err err, struct ww_bytes text,
    struct ww_bytes trace, const struct ww_rpc_detail *details, size_t detail_count)
{
    size_t detail_bytes, kept = details_kept(details, detail_count, &detail_bytes);
    text = cut(text, WW_RPC_REASON_MAX);
    trace = cut(trace, TRACE_MAX);
    struct ww_rpc_exc *exc = ww_alloc(
        sizeof *exc + kept * sizeof *details + detail_bytes + text.len + 1 + (trace.len ? trace.len + 1 : 0));
    if (!exc)
        return vat->exc_memory ? ww_rpc_exc_ref(vat->exc_memory) : NULL;
    *exc = (struct ww_rpc_exc){.refs = 1, .err = err_of_call(err), .detail_count = (uint32_t)kept};
    char *at = (char *)(exc->details + kept);
    exc->text = at;
    at = put_text(at, text);
    if (trace.len) {
        exc->trace = at;
        at = put_text(at, trace);
    }
    for (size_t i = 0; i < kept; i++) {
        exc->details[i] =
            (struct ww_rpc_detail){details[i].id, ww_bytes((const uint8_t *)at, details[i].data.len)};
        if (details[i].data.len)
            memcpy(at, details[i].data.ptr, details[i].data.len);
        at += details[i].data.len;
    }
    return exc;
}

struct ww_rpc_exc *ww_rpc_exc_new(struct ww_rpc_vat *vat, ww_err err, struct ww_bytes text)
{
    return exc_make(vat, err, text, (struct ww_bytes){0}, NULL, 0);
}

/* One line of text, cut where it gets too long. Not printf: with it a small guest would be a tenth larger. */
struct line {
    uint8_t at[WW_RPC_REASON_MAX];
    size_t len;
};

static void line_text(struct line *line, const char *text)
{
    for (; *text && line->len < sizeof line->at; text++)
        line->at[line->len++] = (uint8_t)*text;
}

static void line_number(struct line *line, uint64_t n, unsigned base)
{
    char digits[20 + 1] = {0}, *first = digits + sizeof digits - 1;
    do
        *--first = "0123456789abcdef"[n % base];
    while ((n /= base) > 0);
    line_text(line, first);
}

struct ww_rpc_exc *ww_rpc_exc_because(struct ww_rpc_vat *vat, ww_err err, const char *what)
{
    struct line line;
    line.len = 0;
    line_text(&line, what);
    line_text(&line, ": ");
    line_text(&line, ww_err_text(err));
    return ww_rpc_exc_new(vat, err, ww_bytes(line.at, line.len));
}

struct ww_rpc_exc *ww_rpc_exc_unknown(
    struct ww_rpc_vat *vat, const char *name, uint64_t interface_id, uint16_t method_id)
{
    struct line line;
    line.len = 0;
    line_text(&line, name);
    line_text(&line, " has no method ");
    line_number(&line, method_id, 10);
    line_text(&line, " of interface 0x");
    line_number(&line, interface_id, 16);
    return ww_rpc_exc_new(vat, WW_EUNIMPLEMENTED, ww_bytes(line.at, line.len));
}

struct ww_rpc_exc *ww_rpc_exc_copy(struct ww_rpc_vat *vat, const struct ww_rpc_exception *exception)
{
    const char *reason = exception->reason ? exception->reason : ww_err_text(exception->err);
    struct ww_bytes trace = exception->trace ? ww_bytes_str(exception->trace) : (struct ww_bytes){0};
    return exc_make(
        vat, exception->err, ww_bytes_str(reason), trace, exception->details, exception->detail_count);
}

void ww_rpc_exc_unref(struct ww_rpc_exc *exc)
{
    if (exc && --exc->refs == 0)
        ww_free(exc);
}

/* C++ and Rust put this before each text that they receive, so that a text which went through several of them
 * has it several times: once says enough. */
static struct ww_bytes prefix_once(struct ww_bytes text)
{
    static const char prefix[] = "remote exception: ";
    const size_t n = sizeof prefix - 1;
    while (text.len >= 2 * n && memcmp(text.ptr, prefix, n) == 0 && memcmp(text.ptr + n, prefix, n) == 0)
        text = ww_bytes_skip(text, n);
    return text;
}

struct ww_rpc_exc *ww_rpc_exc_read(struct ww_rpc_vat *vat, struct ww_sr sr)
{
    static const ww_err errs[] = {WW_EFAILED, WW_EOVERLOADED, WW_EDISCONNECTED, WW_EUNIMPLEMENTED};
    uint16_t type = ww_sr_u16(sr, 2);
    return ww_rpc_exc_read_as(vat, sr, type < 4 ? errs[type] : WW_EFAILED);
}

struct ww_rpc_exc *ww_rpc_exc_read_as(struct ww_rpc_vat *vat, struct ww_sr sr, ww_err err)
{
    struct ww_rpc_detail details[DETAILS_MAX];
    struct ww_lr list = ww_pr_list(ww_sr_ptr(sr, 2), WW_ELEM_STRUCT);
    uint32_t count = list.count < DETAILS_MAX ? list.count : DETAILS_MAX;
    for (uint32_t i = 0; i < count; i++) {
        struct ww_sr d = ww_lr_struct(list, i);
        details[i] = (struct ww_rpc_detail){ww_sr_u64(d, 0), ww_pr_data(ww_sr_ptr(d, 0))};
    }
    struct ww_bytes text = prefix_once(ww_pr_text(ww_sr_ptr(sr, 0)));
    return exc_make(vat, err, text, ww_pr_text(ww_sr_ptr(sr, 1)), details, count);
}

void ww_rpc_out_exception(struct ww_pb at, const struct ww_rpc_exc *exc)
{
    struct ww_sb sb = ww_pb_init_struct(at, 1, exc->detail_count ? 3 : 2);
    ww_sb_set_u16(sb, 2, (uint16_t)ww_err_kind(exc->err));
    ww_pb_set_text(ww_sb_ptr(sb, 0), ww_bytes_str(exc->text));
    if (exc->trace)
        ww_pb_set_text(ww_sb_ptr(sb, 1), ww_bytes_str(exc->trace));
    if (exc->detail_count == 0)
        return;
    struct ww_lb list = ww_pb_init_structs(ww_sb_ptr(sb, 2), 1, 1, exc->detail_count);
    for (uint32_t i = 0; i < exc->detail_count; i++) {
        struct ww_sb d = ww_lb_struct(list, i);
        ww_sb_set_u64(d, 0, exc->details[i].id);
        ww_pb_set_data(ww_sb_ptr(d, 0), exc->details[i].data);
    }
}

bool ww_rpc_request_exception(const struct ww_rpc_request *request, struct ww_rpc_exception *ret_exception)
{
    const struct ww_rpc_exc *exc = request->call.state == CALL_DONE ? request->call.exc : NULL;
    if (!exc)
        return false;
    *ret_exception = (struct ww_rpc_exception){
        .err = exc->err,
        .reason = exc->text,
        .trace = exc->trace,
        .details = exc->details,
        .detail_count = exc->detail_count,
    };
    return true;
}
