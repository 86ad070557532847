/* ww/base.h — what every public header of the three libraries shares: errors, byte views, the allocator.
 *
 * Errors are values: 0 or negative, from the one table below. Each has one of Cap'n Proto's four kinds, so
 * that any error can cross an RPC connection and a caller knows whether a retry can help.
 * Detail for people goes into an optional `struct ww_diag`; there is no thread-local error state.
 *
 * Threads: no function of these libraries may be called on one object from two threads at once.
 */
#ifndef WW_BASE_PUBLIC_H
#define WW_BASE_PUBLIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WW_VERSION "0.1.0"

#if defined(__GNUC__)
#define WW_API __attribute__((visibility("default")))
#define WW_MUST_USE __attribute__((warn_unused_result))
#define WW_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define WW_API
#define WW_MUST_USE
#define WW_PRINTF(fmt, args)
#endif

/* name, number (never reused), kind, text. Hundreds are per domain: general, transport, rpc, cluster, user.
 */
#define WW_ERR_MAP(X)                                                                                        \
    X(ENOMEM, -1, OVERLOADED, "out of memory")                                                               \
    X(EBUDGET, -2, OVERLOADED, "budget exhausted")                                                           \
    X(EINVAL, -3, FAILED, "invalid argument")                                                                \
    X(ENOTFOUND, -4, FAILED, "not found")                                                                    \
    X(EEXIST, -5, FAILED, "already exists")                                                                  \
    X(EGONE, -6, FAILED, "stale handle")                                                                     \
    X(ESTATE, -7, FAILED, "not possible in this state")                                                      \
    X(ECANCELED, -8, FAILED, "canceled")                                                                     \
    X(ETIMEOUT, -9, DISCONNECTED, "timed out")                                                               \
    X(EUNSUPPORTED, -10, UNIMPLEMENTED, "not supported")                                                     \
    X(EAGAIN, -11, OVERLOADED, "not ready, try again")                                                       \
    X(EIO, -12, FAILED, "input/output error")                                                                \
    X(EDENIED, -13, FAILED, "permission denied")                                                             \
    X(EPROTO, -100, FAILED, "peer broke the protocol")                                                       \
    X(ETRUNC, -101, FAILED, "input ends too early")                                                          \
    X(ELIMIT, -102, OVERLOADED, "over a limit")                                                              \
    X(ECLOSED, -103, DISCONNECTED, "connection closed")                                                      \
    X(ERESET, -104, DISCONNECTED, "stream reset by peer")                                                    \
    X(EREFUSED, -105, DISCONNECTED, "connection refused")                                                    \
    X(EUNREACH, -106, DISCONNECTED, "no route to host")                                                      \
    X(EADDRINUSE, -107, FAILED, "address already in use")                                                    \
    X(EADDRNOTAVAIL, -108, FAILED, "address not available on this machine")                                  \
    X(EPEERID, -109, FAILED, "peer id does not match")                                                       \
    X(ENOPROTO, -110, UNIMPLEMENTED, "protocol not supported by the peer")                                   \
    X(ECRYPTO, -111, FAILED, "cryptographic check failed")                                                   \
    X(EMALFORMED, -200, FAILED, "malformed message")                                                         \
    X(EDEPTH, -201, FAILED, "nested too deeply")                                                             \
    X(ETRAVERSAL, -202, FAILED, "traversal limit exceeded")                                                  \
    X(EBOUNDS, -203, FAILED, "pointer out of bounds")                                                        \
    X(EFAILED, -204, FAILED, "call failed")                                                                  \
    X(EOVERLOADED, -205, OVERLOADED, "callee overloaded")                                                    \
    X(EDISCONNECTED, -206, DISCONNECTED, "callee disconnected")                                              \
    X(EUNIMPLEMENTED, -207, UNIMPLEMENTED, "method not implemented")                                         \
    X(ESTALE, -300, FAILED, "record is stale")

typedef int32_t ww_err;

enum ww_err_code {
    WW_OK = 0,
#define WW_ERR_ENUM(name, value, kind, text) WW_##name = value,
    WW_ERR_MAP(WW_ERR_ENUM)
#undef WW_ERR_ENUM
};

/* Numbers as in rpc.capnp Exception.Type. */
enum ww_err_kind {
    WW_KIND_FAILED = 0,
    WW_KIND_OVERLOADED = 1,
    WW_KIND_DISCONNECTED = 2,
    WW_KIND_UNIMPLEMENTED = 3,
};

/* Never NULL, static storage. An unknown number reads "EUNKNOWN" / "unknown error" / FAILED. */
WW_API const char *ww_err_name(ww_err err);
WW_API const char *ww_err_text(ww_err err);
WW_API enum ww_err_kind ww_err_kind(ww_err err);

/* A borrowed view of bytes; NULL with length 0 is the empty view. */
struct ww_bytes {
    const uint8_t *ptr;
    size_t len;
};

/* What went wrong, for a person. `text` is always NUL-terminated. */
struct ww_diag {
    ww_err code;
    char text[252];
};

/* Fills `diag` (NULL allowed) and returns `code`, so that `return ww_diag_set(diag, WW_EINVAL, ...)` reads
 * well. */
WW_API ww_err ww_diag_set(struct ww_diag *diag, ww_err code, const char *fmt, ...) WW_PRINTF(3, 4);

/* The one allocator of the process. `resize(ctx, NULL, n)` allocates, `resize(ctx, p, 0)` frees and returns
 * NULL. Set it before anything is allocated, from one thread; NULL restores the C library's. */
struct ww_allocator {
    void *(*resize)(void *ctx, void *old, size_t size);
    void *ctx;
};
WW_API void ww_allocator_set(const struct ww_allocator *allocator);

#ifdef __cplusplus
}
#endif
#endif
