/* p2p/yamux_internal.h — what the files of the yamux core share. Invariants are listed in yamux_check.c. */
#ifndef WW_P2P_YAMUX_INTERNAL_H
#define WW_P2P_YAMUX_INTERNAL_H

#include "p2p/yamux.h"

enum {
    YAMUX_DATA = 0,
    YAMUX_WINDOW = 1,
    YAMUX_PING = 2,
    YAMUX_GOAWAY = 3,
};

enum {
    YAMUX_SYN = 1,
    YAMUX_ACK = 2,
    YAMUX_FIN = 4,
    YAMUX_RST = 8,
};

/* Where the parser is. A frame passes the stages from top to bottom. */
enum ww_yamux_stage {
    STAGE_HEAD,   /* collecting the 12 bytes */
    STAGE_OPEN,   /* OPENED was returned and waits for accept or refuse */
    STAGE_EFFECT, /* flags and length are to be applied */
    STAGE_BODY,   /* handing on or dropping `length` bytes */
    STAGE_END,    /* a FIN takes effect behind the body */
};

#define YAMUX_OOB_FRAMES_MAX                                                                                 \
    1024u /* 500 + 256 streams can be reset in one turn; beyond: the peer does not read */
#define YAMUX_PONGS_MAX 64u
#define YAMUX_CODE_LIMIT 0x1001u    /* libp2p error codes: stream resource limit exceeded */
#define YAMUX_CODE_PROTOCOL 0x1003u /* stream protocol violation */

/* A piece of queued output: `base + begin` to `base + end`. */
struct ww_yamux_chunk {
    struct ww_yamux_chunk *next;
    struct ww_slab *slab; /* NULL: the bytes are in `own` */
    const uint8_t *base;
    size_t begin, end;
    size_t capacity; /* of `own` */
    uint8_t own[];
};

static inline bool yamux_listed(const struct ww_list *l)
{
    return !ww_list_empty(l);
}

static inline bool yamux_syn_pending(const struct ww_yamux_stream *s)
{
    return !s->inbound && !s->syn_sent;
}

/* Has `s` something for the round robin, apart from the limit on unacknowledged SYNs? */
static inline bool yamux_sendable(const struct ww_yamux_stream *s)
{
    return s->live &&
        ((s->send_bytes && s->send_window) || (s->fin_due && !s->fin_sent && !s->send_bytes) ||
            (yamux_syn_pending(s) && s->announced));
}

void ww_yamux_head_store(uint8_t *out, uint8_t type, uint16_t flags, uint32_t id, uint32_t length);
/* Ends the connection; the first reason stays. Returns it. */
ww_err ww_yamux_fail(struct ww_yamux *y, ww_err err, uint32_t goaway_code);
/* Queues a frame that belongs to no live stream. */
void ww_yamux_oob(struct ww_yamux *y, uint8_t type, uint16_t flags, uint32_t id, uint32_t length);
void ww_yamux_owe(struct ww_yamux_stream *s, enum ww_yamux_event_type event);
/* Puts `s` on the list it belongs on, if any. */
void ww_yamux_schedule(struct ww_yamux_stream *s);
/* The stream leaves the protocol: nothing is sent or received for it any more. */
void ww_yamux_retire(struct ww_yamux_stream *s);
/* Both sides ended: owes CLOSED. */
void ww_yamux_maybe_close(struct ww_yamux_stream *s);
/* One unacknowledged SYN less. */
void ww_yamux_unacked_drop(struct ww_yamux *y);
struct ww_yamux_stream *ww_yamux_find(struct ww_yamux *y, uint32_t id);
/* Fresh stream in both senses of the word; charges the budget. */
ww_err ww_yamux_stream_attach(struct ww_yamux *y, struct ww_yamux_stream *s, bool inbound);
void ww_yamux_stream_detach(struct ww_yamux_stream *s);
/* Window updates wait until half of the window is free. */
void ww_yamux_update_schedule(struct ww_yamux_stream *s);
/* Moves queued output to where the views of the last gather() are kept alive. */
void ww_yamux_queue_drop(struct ww_yamux_stream *s);

#endif
