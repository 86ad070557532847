/* sim/stream.h — a TCP connection as the network and the two kernels see it; tcp.c is what programs see.
 *
 * A connection has two sides (0 dialed, 1 accepted) and two flows; flow[i] carries what side i writes:
 *
 *     read <= arrived <= sent <= written      positions in the byte stream
 *     written - acked     <= send buffer      else tcp_write takes no more
 *     sent - read_known   <= receive buffer   else bytes wait on the sender's side
 *
 * Segments arrive in order. One that is lost, or meets a cut, is sent again after 200 ms, then twice as long
 * each time (RFC 6298); all behind it wait. `acked` and `read_known` are what the sender has heard of the
 * receiver.
 *
 * A side is gone once its program closed it or died. Data for a side that is gone is answered with a reset,
 * if its machine is up, and by nothing, if it is not. A connection is freed when both sides are gone.
 */
#ifndef WW_SIM_STREAM_H
#define WW_SIM_STREAM_H

#include "sim/internal.h"

enum { SEGMENTS_MAX = 32 };

struct ww_sim_segment {
    uint64_t end, at_ns; /* position after its bytes; when it arrives */
    bool fin;
};

struct ww_sim_flow {
    struct ww_sim_conn *conn;
    unsigned from; /* the sending side */
    struct ww_buf bytes;
    uint64_t written, sent, arrived, read, acked, read_known;
    bool fin_queued, fin_sent, fin_arrived;
    bool broken; /* nothing moves any more */
    struct ww_sim_segment segments[SEGMENTS_MAX];
    size_t segment_head, segment_count;
    struct ww_sim_call arrive, ack;
    unsigned retries, ack_retries;
    uint64_t stuck_ns, ack_stuck_ns; /* since when */
};

enum ww_sim_conn_state {
    WW_SIM_CONN_SYN,      /* the request is under way */
    WW_SIM_CONN_SYN_ACK,  /* accepted by the kernel; the answer is under way */
    WW_SIM_CONN_REFUSED,  /* a refusal is under way */
    WW_SIM_CONN_NO_ROUTE, /* nobody has the address */
    WW_SIM_CONN_OPEN,     /* until both sides are gone */
};

struct ww_sim_conn {
    struct ww_list link; /* in sim->conns */
    struct ww_sim *sim;
    enum ww_sim_conn_state state;
    struct ww_sim_node *node[2];
    struct ww_sim_host *host[2]; /* [1]: NULL until the request arrived */
    struct ww_netaddr addr[2];
    struct ww_tcp *end[2]; /* NULL when gone */
    bool gone[2];
    struct ww_sim_flow flow[2];
    struct ww_sim_call handshake, reset[2]; /* reset[i] is under way to side i */
    unsigned retries;
    uint64_t started_ns;
};

/* stream.c */
WW_MUST_USE ww_err ww_sim_conn_new(struct ww_sim_host *from, const struct ww_netaddr addr[2],
    struct ww_sim_node *to, struct ww_tcp *end, struct ww_sim_conn **ret_conn);
/* Side i closes as a program does: rest and end of file, or a reset when it leaves input unread. */
void ww_sim_conn_close(struct ww_sim_conn *conn, unsigned side);
/* Side i is gone without a word; with `reset`, the other hears of it. */
void ww_sim_conn_abort(struct ww_sim_conn *conn, unsigned side, bool reset);
/* Nothing moves any more, what is under way is lost. */
void ww_sim_flow_stop(struct ww_sim_flow *flow);
/* Moves what buffers and windows allow onto the network. */
void ww_sim_flow_pump(struct ww_sim_flow *flow);
/* The receiver took bytes: tells the sender. */
void ww_sim_flow_read(struct ww_sim_flow *flow, size_t len);
static inline size_t ww_sim_flow_readable(const struct ww_sim_flow *flow)
{
    return (size_t)(flow->arrived - flow->read);
}
static inline size_t ww_sim_flow_room(const struct ww_sim_flow *flow)
{
    return flow->conn->sim->conf.send_buffer_bytes - (size_t)(flow->written - flow->acked);
}

/* tcp.c, called by stream.c: something happened to this end; callbacks come later. */
void ww_sim_tcp_poke(struct ww_tcp *end);                  /* bytes or end of file arrived */
void ww_sim_tcp_room(struct ww_tcp *end);                  /* there is room to write */
void ww_sim_tcp_connected(struct ww_tcp *end, ww_err err); /* of the dialing side */
void ww_sim_tcp_failed(struct ww_tcp *end, ww_err err);    /* the connection is dead */
/* A request arrived: an end in the accept queue of whoever listens. WW_EREFUSED; WW_EAGAIN: as if lost. */
WW_MUST_USE ww_err ww_sim_tcp_incoming(struct ww_sim_conn *conn);

#endif
