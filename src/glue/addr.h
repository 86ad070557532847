/* glue/addr.h — addresses as people write them, and the sockets that they name. Shared by the loops. */
#ifndef WW_GLUE_ADDR_H
#define WW_GLUE_ADDR_H

#include <sys/socket.h>
#include <sys/un.h>

#include "ww/base.h"

#define WW_GLUE_BACKLOG 1024
#define WW_GLUE_ADDR_TEXT 128 /* of an address in text, with its NUL */

/* "unix:PATH" or "HOST:PORT", taken apart. */
struct ww_glue_addr {
    bool is_unix;
    struct sockaddr_un un;
    char host[256]; /* empty: any */
    char port[16];
};

/* WW_EINVAL with what is wrong. */
WW_API WW_MUST_USE ww_err ww_glue_addr_parse(
    const char *text, struct ww_glue_addr *ret_addr, struct ww_diag *reterr_diag);
/* A bound and listening non-blocking socket, and its address as peers may use it. */
WW_API WW_MUST_USE ww_err ww_glue_listen(const struct ww_glue_addr *addr, int *ret_fd,
    char ret_text[WW_GLUE_ADDR_TEXT], struct ww_diag *reterr_diag);
/* Removes the socket file of a listener. */
WW_API void ww_glue_unlisten(const struct ww_glue_addr *addr);
/* A connected non-blocking socket. Blocks until `deadline_ns` (of ww_glue_now) at most, but for the resolver.
 */
WW_MUST_USE ww_err ww_glue_connect(
    const struct ww_glue_addr *addr, uint64_t deadline_ns, int *ret_fd, struct ww_diag *reterr_diag);
/* Answers go out at once. */
void ww_glue_nodelay(int fd);

/* The monotonic clock. */
uint64_t ww_glue_now(void);
uint64_t ww_glue_deadline(int timeout_ms); /* WW_NEVER for a negative one */
int ww_glue_poll_ms(uint64_t deadline_ns);        /* what is left of it, for poll(); rounded up */
/* A vat whose tables a peer cannot guess. WW_ENOMEM. */
struct ww_rpc_vat;
struct ww_rpc_limits;
struct ww_rpc_vat_host;
WW_API WW_MUST_USE ww_err ww_glue_vat_new(
    const struct ww_rpc_limits *limits, struct ww_rpc_vat_host *host, struct ww_rpc_vat **ret_vat);

#endif
