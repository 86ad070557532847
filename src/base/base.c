#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *ww_err_name(ww_err err)
{
    switch (err) {
    case WW_OK:
        return "OK";
#define X(name, value, kind, text)                                                                           \
    case value:                                                                                              \
        return #name;
        WW_ERR_MAP(X)
#undef X
    default:
        return "EUNKNOWN";
    }
}

const char *ww_err_text(ww_err err)
{
    switch (err) {
    case WW_OK:
        return "success";
#define X(name, value, kind, text)                                                                           \
    case value:                                                                                              \
        return text;
        WW_ERR_MAP(X)
#undef X
    default:
        return "unknown error";
    }
}

enum ww_err_kind ww_err_kind(ww_err err)
{
    switch (err) {
#define X(name, value, kind, text)                                                                           \
    case value:                                                                                              \
        return WW_KIND_##kind;
        WW_ERR_MAP(X)
#undef X
    default:
        return WW_KIND_FAILED;
    }
}

ww_err ww_diag_set(struct ww_diag *diag, ww_err code, const char *fmt, ...)
{
    if (!diag)
        return code;
    va_list ap;
    va_start(ap, fmt);
    diag->code = code;
    vsnprintf(diag->text, sizeof diag->text, fmt, ap);
    va_end(ap);
    return code;
}

void ww_assert_fail(const char *cond, const char *file, int line)
{
#if defined(__wasm__)
    /* A guest has nobody to tell, and printing would be the largest part of it. */
    WW_UNUSED(cond);
    WW_UNUSED(file);
    WW_UNUSED(line);
    __builtin_trap();
#else
    fprintf(stderr, "%s:%d: invariant violated: %s\n", file, line, cond);
    abort();
#endif
}

static void *libc_resize(void *ctx, void *old, size_t size)
{
    WW_UNUSED(ctx);
    if (size == 0) {
        free(old);
        return NULL;
    }
    return realloc(old, size);
}

static struct ww_allocator the_allocator = {libc_resize, NULL};

void ww_allocator_set(const struct ww_allocator *allocator)
{
    the_allocator = allocator ? *allocator : (struct ww_allocator){libc_resize, NULL};
}

void *ww_alloc(size_t size)
{
    WW_ASSERT(size > 0);
    return the_allocator.resize(the_allocator.ctx, NULL, size);
}

void *ww_calloc(size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        return NULL;
    /* calloc of the C library knows which pages are zero already; a hook does not. */
    if (the_allocator.resize == libc_resize)
        return calloc(count, size);
    void *p = ww_alloc(total);
    if (p)
        memset(p, 0, total);
    return p;
}

void *ww_realloc(void *old, size_t size)
{
    WW_ASSERT(size > 0);
    return the_allocator.resize(the_allocator.ctx, old, size);
}

void ww_free(void *ptr)
{
    if (ptr)
        (void)the_allocator.resize(the_allocator.ctx, ptr, 0);
}

void ww_wipe(void *ptr, size_t len)
{
    memset(ptr, 0, len);
    __asm__ __volatile__("" : : "r"(ptr) : "memory");
}

void ww_hex_encode(struct ww_bytes in, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < in.len; i++) {
        *out++ = digits[in.ptr[i] >> 4];
        *out++ = digits[in.ptr[i] & 15];
    }
    *out = '\0';
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

ww_err ww_hex_decode(struct ww_bytes text, uint8_t *out, size_t out_len)
{
    if (text.len / 2 != out_len || text.len % 2 != 0)
        return WW_EINVAL;
    for (size_t i = 0; i < out_len; i++) {
        int hi = hex_digit(text.ptr[2 * i]), lo = hex_digit(text.ptr[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return WW_EINVAL;
        out[i] = (uint8_t)(hi << 4 | lo);
    }
    return 0;
}
