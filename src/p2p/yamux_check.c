/* The invariants of a connection, for tests:
 *  1 streams_in and streams_out count the live streams, and no more than their limits
 *  2 unacked counts the live outbound streams whose SYN was sent and not acknowledged, and is within its
 * limit 3 no more window is given than the budget was charged for: recv_window + recv_held <= recv_size <=
 * window_max 4 send_bytes is what the chunks hold; the connection's is the sum over its streams 5 a live
 * stream is on a sending list exactly when it has something to send 6 a live stream with an id, and nothing
 * else, is in the table, under an id of its side's parity 7 control frames without a stream are whole, few,
 * and contain `pongs` pongs 8 a stream that is over is on no list but those of all streams and of owed
 * events, and holds no queued bytes 9 events are owed exactly by those on the list 10 a stream with something
 * for the control list is on it, or on a sending list that will carry it */
#include "p2p/yamux_internal.h"

static size_t chunk_bytes(const struct ww_yamux_stream *s)
{
    size_t sum = 0;
    for (const struct ww_yamux_chunk *c = s->send_head; c; c = c->next)
        sum += c->end - c->begin;
    return sum;
}

static int check_live(const struct ww_yamux *y, const struct ww_yamux_stream *s)
{
    if (yamux_listed(&s->sending) != yamux_sendable(s))
        return 5;
    if (s->id) {
        const struct ww_map_node *node = ww_map_get(&y->by_id, ww_bytes(&s->id, sizeof s->id));
        if (node != &s->node || ((s->id & 1) == 1) != (y->conf.client != s->inbound))
            return 6;
    } else if (s->inbound || s->syn_sent) {
        return 6;
    }
    if (s->update_due && !yamux_listed(&s->control))
        return 10;
    if (s->ack_due && !yamux_listed(&s->control) && !yamux_listed(&s->sending))
        return 10;
    return 0;
}

static int check_stream(const struct ww_yamux *y, const struct ww_yamux_stream *s)
{
    if ((uint64_t)s->recv_window + s->recv_held > s->recv_size || s->recv_size > y->conf.window_max)
        return 3;
    if (chunk_bytes(s) != s->send_bytes)
        return 4;
    if (yamux_listed(&s->event) != (s->owed != 0))
        return 9;
    if (s->live)
        return check_live(y, s);
    bool listed = yamux_listed(&s->sending) || yamux_listed(&s->control) || yamux_listed(&s->writer);
    return listed || s->send_bytes || y->current == s || y->last == s ? 8 : 0;
}

static int check_oob(const struct ww_yamux *y)
{
    size_t len = ww_buf_len(&y->oob), pongs = 0;
    if (len % WW_YAMUX_HEADER_BYTES || len > YAMUX_OOB_FRAMES_MAX * WW_YAMUX_HEADER_BYTES)
        return 7;
    for (size_t at = 0; at < len; at += WW_YAMUX_HEADER_BYTES)
        pongs += ww_buf_data(&y->oob)[at + 1] == YAMUX_PING;
    return pongs == y->pongs && pongs <= YAMUX_PONGS_MAX ? 0 : 7;
}

int ww_yamux_check(const struct ww_yamux *y)
{
    size_t in = 0, out = 0, unacked = 0, send_bytes = 0, ids = 0;
    WW_LIST_FOR(at, &y->streams)
    {
        const struct ww_yamux_stream *s = WW_CONTAINER_OF(at, const struct ww_yamux_stream, all);
        int broken = check_stream(y, s);
        if (broken)
            return broken;
        send_bytes += s->send_bytes;
        if (!s->live)
            continue;
        *(s->inbound ? &in : &out) += 1;
        unacked += !s->inbound && s->syn_sent && !s->acked;
        ids += s->id != 0;
    }
    if (in != y->streams_in || out != y->streams_out || in > y->conf.streams_in_max ||
        out > y->conf.streams_out_max)
        return 1;
    if (unacked != y->unacked || unacked > y->conf.unacked_max)
        return 2;
    if (send_bytes != y->send_bytes)
        return 4;
    if (ids != y->by_id.count)
        return 6;
    return check_oob(y);
}
