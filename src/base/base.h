/* base/base.h — small things that every module uses: assertions, byte order, views, allocation. */
#ifndef WW_BASE_BASE_H
#define WW_BASE_BASE_H

#include <string.h>

#include "ww/base.h"

#define WW_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define WW_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define WW_LIKELY(x) __builtin_expect(!!(x), 1)
#define WW_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define WW_UNUSED(x) ((void)(x))

/* Our own faults only; what a peer sent is answered with an error and a close. Stays on in release builds. */
#define WW_ASSERT(cond) (WW_LIKELY(cond) ? (void)0 : ww_assert_fail(#cond, __FILE__, __LINE__))
WW_API __attribute__((noreturn, cold)) void ww_assert_fail(const char *cond, const char *file, int line);

/* Returns early with the error. For codecs, where it lets the code read as the format. */
#define WW_TRY(expr)                                                                                         \
    do {                                                                                                     \
        ww_err ww_try_err_ = (expr);                                                                         \
        if (WW_UNLIKELY(ww_try_err_ < 0))                                                                    \
            return ww_try_err_;                                                                              \
    } while (0)

/* For a result that changes nothing; say why beside it. */
static inline void ww_ignore(ww_err err)
{
    WW_UNUSED(err);
}

/* All three return NULL when memory is out; ww_free takes NULL. Sizes of 0 are not allowed. Some are exported
 * for libww-capnp-uv, as are ww_assert_fail and ww_errno_err; test/e2e/install.py has the list. */
void *ww_alloc(size_t size) __attribute__((malloc, alloc_size(1)));
WW_API void *ww_calloc(size_t count, size_t size) __attribute__((malloc, alloc_size(1, 2)));
void *ww_realloc(void *old, size_t size) __attribute__((alloc_size(2)));
WW_API void ww_free(void *ptr);
#define WW_NEW(type) ((type *)ww_calloc(1, sizeof(type)))

/* The ww_err for a positive errno value; WW_EIO for what has no better name. */
WW_API ww_err ww_errno_err(int errnum);

/* Scribbles over secrets in a way that the optimizer keeps. */
void ww_wipe(void *ptr, size_t len);

#define WW_NS_PER_US UINT64_C(1000)
#define WW_NS_PER_MS UINT64_C(1000000)
#define WW_NS_PER_S UINT64_C(1000000000)
#define WW_NEVER UINT64_MAX /* a deadline that does not come */

static inline struct ww_bytes ww_bytes(const void *ptr, size_t len)
{
    return (struct ww_bytes){(const uint8_t *)ptr, len};
}

static inline struct ww_bytes ww_bytes_str(const char *str)
{
    return (struct ww_bytes){(const uint8_t *)str, strlen(str)};
}

#define WW_BYTES_LIT(lit) ((struct ww_bytes){(const uint8_t *)("" lit), sizeof(lit) - 1})

static inline bool ww_bytes_eq(struct ww_bytes a, struct ww_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Bytewise order, a prefix before what it is a prefix of. */
static inline int ww_bytes_cmp(struct ww_bytes a, struct ww_bytes b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.ptr, b.ptr, n) : 0;
    return c ? c : (a.len > b.len) - (a.len < b.len);
}

static inline bool ww_bytes_has_prefix(struct ww_bytes a, struct ww_bytes prefix)
{
    return a.len >= prefix.len && (prefix.len == 0 || memcmp(a.ptr, prefix.ptr, prefix.len) == 0);
}

/* The view after the first `n` bytes; n <= a.len. */
static inline struct ww_bytes ww_bytes_skip(struct ww_bytes a, size_t n)
{
    return (struct ww_bytes){a.ptr + n, a.len - n};
}

static inline uint16_t ww_be16_load(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return __builtin_bswap16(v);
}

static inline uint32_t ww_be32_load(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return __builtin_bswap32(v);
}

static inline uint64_t ww_be64_load(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return __builtin_bswap64(v);
}

static inline void ww_be16_store(void *p, uint16_t v)
{
    v = __builtin_bswap16(v);
    memcpy(p, &v, sizeof v);
}

static inline void ww_be32_store(void *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(p, &v, sizeof v);
}

static inline void ww_be64_store(void *p, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(p, &v, sizeof v);
}

static inline uint16_t ww_le16_load(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint32_t ww_le32_load(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t ww_le64_load(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void ww_le16_store(void *p, uint16_t v)
{
    memcpy(p, &v, sizeof v);
}

static inline void ww_le32_store(void *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}

static inline void ww_le64_store(void *p, uint64_t v)
{
    memcpy(p, &v, sizeof v);
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "big-endian hosts need swaps in ww_le*_load/store");

/* Lower-case hex. `out` holds 2 * in.len + 1 bytes; the result is NUL-terminated. */
void ww_hex_encode(struct ww_bytes in, char *out);
/* Either case. WW_EINVAL unless exactly 2 * out_len hex digits. */
WW_MUST_USE ww_err ww_hex_decode(struct ww_bytes text, uint8_t *out, size_t out_len);

#endif
