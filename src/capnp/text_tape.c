/* capnp/text_tape.c — the tape, and errors with a place. */
#include "capnp/text_tape.h"

#include <stdarg.h>
#include <stdio.h>

ww_err ww_tape_start(struct ww_tape *t, struct ww_bytes in, struct ww_diag *diag)
{
    *t = (struct ww_tape){.in = in, .open = UINT32_MAX, .diag = diag};
    if (in.len > WW_TAPE_BYTES_MAX)
        return ww_diag_set(diag, WW_ELIMIT, "the input is over %lu bytes", (unsigned long)WW_TAPE_BYTES_MAX);
    return 0;
}

void ww_tape_fini(struct ww_tape *t)
{
    ww_free(t->nodes);
    t->nodes = NULL;
}

ww_err ww_tape_add(struct ww_tape *t, enum ww_tape_kind kind, size_t at, size_t end)
{
    if (t->count == t->capacity) {
        size_t capacity = t->capacity ? t->capacity * 2 : 32;
        struct ww_tape_node *nodes = ww_realloc(t->nodes, capacity * sizeof *nodes);
        if (!nodes)
            return ww_diag_set(t->diag, WW_ENOMEM, "%s", ww_err_text(WW_ENOMEM));
        t->nodes = nodes;
        t->capacity = capacity;
    }
    if (kind != WW_TAPE_NAME && t->open != UINT32_MAX)
        t->nodes[t->open].count++;
    struct ww_tape_node n = {(uint32_t)at, (uint32_t)(end - at), (uint32_t)t->count + 1, 0, (uint8_t)kind};
    t->nodes[t->count++] = n;
    return 0;
}

ww_err ww_tape_enter(struct ww_tape *t, enum ww_tape_kind kind)
{
    if (t->depth == WW_TEXT_DEPTH_MAX)
        return ww_tape_error(t, t->at, WW_EDEPTH, "%s", ww_err_text(WW_EDEPTH));
    WW_TRY(ww_tape_add(t, kind, t->at, t->at + 1));
    t->nodes[t->count - 1].next = t->open;
    t->open = (uint32_t)t->count - 1;
    t->depth++;
    t->at++;
    return 0;
}

void ww_tape_leave(struct ww_tape *t)
{
    struct ww_tape_node *n = &t->nodes[t->open];
    t->open = n->next;
    n->next = (uint32_t)t->count;
    t->at++;
    n->len = (uint32_t)(t->at - n->at);
    t->depth--;
}

ww_err ww_tape_error(const struct ww_tape *t, size_t at, ww_err code, const char *fmt, ...)
{
    char text[200];
    unsigned long line = 1, column = 1;
    va_list ap;
    if (!t->diag)
        return code;
    for (size_t i = 0; i < at && i < t->in.len; i++) {
        column = t->in.ptr[i] == '\n' ? 1 : column + 1;
        line += t->in.ptr[i] == '\n';
    }
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return ww_diag_set(t->diag, code, "%lu:%lu: %s", line, column, text);
}

ww_err ww_tape_unexpected(const struct ww_tape *t, size_t at, const char *expected)
{
    char found[16];
    size_t n = 0;
    if (at >= t->in.len)
        return ww_tape_error(t, at, WW_EINVAL, "found the end, expected %s", expected);
    for (; n < sizeof found - 1 && at + n < t->in.len; n++) {
        uint8_t c = t->in.ptr[at + n];
        if (c <= 0x20 || c >= 0x7f || (n > 0 && strchr(",()[]{}\"", c)))
            break;
        found[n] = (char)c;
    }
    found[n] = 0;
    if (n == 0)
        return ww_tape_error(t, at, WW_EINVAL, "found byte %u, expected %s", t->in.ptr[at], expected);
    return ww_tape_error(t, at, WW_EINVAL, "found `%s`, expected %s", found, expected);
}

ww_err ww_tape_built(const struct ww_tape *t, struct ww_pb to, ww_err err)
{
    ww_err latched = to.seg && to.seg->msg ? ww_msg_err(to.seg->msg) : 0;
    if ((err == 0 && latched == 0) || (err < 0 && err != WW_ENOMEM))
        return err;
    err = latched < 0 ? latched : err;
    return ww_diag_set(t->diag, err, "%s", ww_err_text(err));
}

const char *ww_tape_name(const struct ww_tape *t, const struct ww_tape_node *n, char *out, size_t size)
{
    size_t len = n->len < size ? n->len : size - 1;
    if (len)
        memcpy(out, t->in.ptr + n->at, len);
    out[len] = 0;
    return out;
}
