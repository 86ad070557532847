/* node/vat.h — Cap'n Proto RPC on the swarm's streams: one vat a node, one link a stream.
 *
 * The vat runs from the environment's task queue: whatever arrives in a loop turn is delivered together, and
 * what it caused to be sent leaves together. Back-pressure passes both ways: a stream that does not drain
 * keeps messages in the connection (whose limits then refuse calls), and a connection that holds too much
 * stops the stream.
 *
 * Ownership: the node embeds `struct ww_vat`; links are made by ww_link_new and freed by their owner, at the
 * latest before ww_vat_fini. A link owns its stream and its RPC connection.
 */
#ifndef WW_NODE_VAT_H
#define WW_NODE_VAT_H

#include "p2p/stream.h"
#include "ww/rpc.h"

struct ww_vat {
    struct ww_env *env;
    struct ww_rpc_vat *rpc;
    struct ww_rpc_vat_host host;
    struct ww_task task;
    struct ww_list dirty;  /* links with output to write */
    struct ww_list paused; /* links whose peer made us hold too much */
    bool running;          /* callbacks of the vat are being delivered: ww_vat_fini must wait */
    /* Set by an owner that goes away in such a callback: called, once, when they are over. */
    void (*idle)(struct ww_vat *vat);
};

WW_MUST_USE ww_err ww_vat_init(struct ww_vat *vat, struct ww_env *env);
/* All links must have been freed, and the vat not be running. */
void ww_vat_fini(struct ww_vat *vat);

struct ww_link {
    struct ww_stream_user user;
    struct ww_rpc_conn_host host;
    struct ww_rpc_conn *conn;
    struct ww_vat *vat;
    struct ww_budget
        budget;            /* part of the swarm connection's until the stream is gone, which may be earlier */
    struct ww_list dirty;  /* in vat->dirty, or alone */
    struct ww_list paused; /* in vat->paused, or alone */
    bool blocked;          /* the stream refused; `writable` will come */
    bool closing;          /* the connection is closed: what is pending goes out, then the stream ends */
    /* The last event, once: the connection has ended, from the loop. The owner may free the link inside. */
    void (*closed)(struct ww_link *link, ww_err err, const char *reason);
};

/* Initializes the owner's storage and takes `stream` over (also on failure, when it is reset).
 * bootstrap: what the peer gets, NULL for nothing. packed: framing, from the stream's protocol id. */
WW_MUST_USE ww_err ww_link_init(struct ww_link *link, struct ww_vat *vat, struct ww_stream *stream,
    struct ww_cap *bootstrap, bool packed,
    void (*closed)(struct ww_link *link, ww_err err, const char *reason));
/* As ww_link_init for a stream that is bound already: `link->user` was given to ww_swarm_open after
 * ww_link_prepare. */
void ww_link_prepare(struct ww_link *link);
/* Sends Abort if it is still open, and lets go. No event follows. */
void ww_link_fini(struct ww_link *link);

#endif
