/* glue/uv_link.h — what the files of ww/rpc_uv.h share. Nobody else includes it. */
#ifndef WW_GLUE_UV_LINK_H
#define WW_GLUE_UV_LINK_H

#include <netdb.h>
#include <uv.h>

#include "base/list.h"
#include "glue/addr.h"
#include "ww/rpc_uv.h"

union ww_uv_handle {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
};

/* A connection. */
struct ww_uv_link {
    struct ww_rpc_conn_host host;
    struct ww_rpc_conn_host *user; /* NULL: nobody */
    struct ww_rpc_uv *owner;
    struct ww_rpc_conn *conn;
    bool window_open;    /* the user left it to us how much streams may have under way */
    uv_stream_t *stream; /* NULL: not made yet, or between two attempts to connect */
    union ww_uv_handle own;
    void (*released)(uv_stream_t *stream);
    union {
        uv_write_t write;
        uv_connect_t connect;
        uv_getaddrinfo_t lookup;
    } req;
    size_t writing;             /* bytes of the write under way */
    struct addrinfo *addresses; /* to try */
    struct addrinfo *next;
    int last_status;            /* of the attempt that failed last */
    bool resolving, connecting; /* their callbacks will come */
    bool reading, broken;       /* broken: nothing can be written any more */
    bool closed;                /* the event was delivered: write what is left, then go */
    bool closing;               /* the handle is: its callback will come */
    bool lingered;              /* a tick has passed since `closed` */
    struct ww_list all, dirty, paused;
};

struct ww_rpc_uv {
    uv_loop_t *loop;
    struct ww_rpc_vat *vat;
    struct ww_rpc_vat_host host;
    uv_idle_t idle;   /* active while the vat has something to deliver: it runs before the loop waits */
    uv_timer_t timer; /* active while somebody lingers or an accept is to be tried again */
    struct ww_list links, dirty, paused, listeners;
    size_t links_alive, handles_alive;
    void (*closed)(void *ctx);
    void *closed_ctx;
    bool running, ending;
    char buffer[64 * 1024];
};

/* A link with neither stream nor connection. */
WW_MUST_USE ww_err ww_uv_link_new(struct ww_rpc_uv *uv, struct ww_uv_link **ret_link);
/* Its connection; `config` as in ww_rpc_uv_attach. */
WW_MUST_USE ww_err ww_uv_link_open(struct ww_uv_link *link, const struct ww_rpc_conn_config *config);
/* The stream is open: reads, and writes what waits. */
WW_MUST_USE ww_err ww_uv_link_start(struct ww_uv_link *link, uv_stream_t *stream);
/* The transport has failed, or never came to be. */
void ww_uv_link_break(struct ww_uv_link *link, int uv_status);
/* Lets go of everything; frees now or when the loop allows it. */
void ww_uv_link_release(struct ww_uv_link *link);
/* After a turn: writes what it caused. A closed link goes when all is written; one whose peer does not read,
 * or whose connection is not there yet, waits for a while. */
void ww_uv_link_settle(struct ww_uv_link *link);
/* Reads again, if the connection wants to. */
void ww_uv_link_resume(struct ww_uv_link *link);
void ww_uv_tick_arm(struct ww_rpc_uv *uv);
void ww_uv_listener_retry(struct ww_rpc_uv_listener *listener);
struct ww_rpc_uv_listener *ww_uv_listener_of(struct ww_list *node);
/* One link, one handle of `uv` is gone: `uv` may be, too. */
void ww_uv_link_gone(struct ww_rpc_uv *uv);
void ww_uv_handle_gone(struct ww_rpc_uv *uv);

#endif
