/* glue/fd.h — what the two files of ww/rpc_fd.h share. Nobody else includes it. */
#ifndef WW_GLUE_FD_H
#define WW_GLUE_FD_H

#include <poll.h>

#include "base/list.h"
#include "glue/addr.h"
#include "ww/rpc_fd.h"

#define FD_READ_BYTES (128 * 1024)

/* A connection. */
struct ww_fd_link {
    struct ww_rpc_conn_host host;
    struct ww_rpc_conn_host *user; /* NULL: nobody */
    struct ww_rpc_fd *owner;
    struct ww_rpc_conn *conn;
    int in, out;
    bool in_socket, out_socket, out_nonblock;
    bool blocked, broken; /* wait for POLLOUT; nothing can be written any more */
    bool closed;          /* the event was delivered: write what is left, then go */
    uint64_t linger_ns;
    struct ww_list all, dirty;
};

struct ww_rpc_fd_listener {
    struct ww_rpc_fd *owner;
    struct ww_rpc_conn_config config; /* with a reference to its bootstrap capability */
    struct ww_rpc_fd_accept *accept;
    struct ww_glue_addr addr;
    char text[WW_GLUE_ADDR_TEXT];
    int socket;
    uint64_t backoff_ns, retry_ns; /* out of descriptors: next pause, and when this one ends */
    struct ww_list all;
};

struct ww_rpc_fd {
    struct ww_rpc_vat *vat;
    struct ww_list links, dirty, listeners, closing;
    struct ww_list ended; /* listeners that were closed in a callback */
    size_t link_count, listener_count;
    int stop[2]; /* a pipe: ww_rpc_fd_stop works at any time */
    struct ww_rpc_vat_host host;
    bool woken; /* the vat has something to deliver */
    bool running;
    struct pollfd *polls;
    void **whose;
    size_t poll_capacity;
    uint8_t buffer[FD_READ_BYTES];
};

/* Writes what is pending, as far as the peer takes it. */
void ww_fd_link_flush(struct ww_fd_link *link);
/* Takes what the peer has sent. */
void ww_fd_link_read(struct ww_fd_link *link);
void ww_fd_link_free(struct ww_fd_link *link);

#endif
