/* Receiving: a parser that stops after every event, so that the views it hands out are into the lent input.
 */
#include "p2p/yamux_internal.h"

ww_err ww_yamux_feed(struct ww_yamux *y, uint64_t now_ns, struct ww_bytes in)
{
    if (y->err)
        return y->err;
    if (y->in.len)
        return WW_ESTATE;
    y->in = in;
    y->now_ns = now_ns;
    if (in.len)
        y->received_ns = now_ns;
    return 0;
}

static ww_err violation(struct ww_yamux *y, ww_err err)
{
    return ww_yamux_fail(y, err, WW_YAMUX_GOAWAY_PROTOCOL);
}

static ww_err on_ping(struct ww_yamux *y)
{
    y->stage = STAGE_HEAD;
    if (y->flags & YAMUX_SYN) {
        if (y->pongs == YAMUX_PONGS_MAX)
            return violation(y, WW_ELIMIT); /* it asks and does not read the answers */
        ww_yamux_oob(y, YAMUX_PING, YAMUX_ACK, 0, y->length);
        y->pongs++;
        return y->err;
    }
    if ((y->flags & YAMUX_ACK) && y->ping_out && !y->ping_due && y->length == y->ping_value) {
        uint64_t sample = y->now_ns - y->ping_sent_ns;
        sample += !sample;
        /* The path's own delay is the smallest that was seen lately; queues only add to it. */
        y->rtt_ns = !y->rtt_ns || sample < y->rtt_ns ? sample : y->rtt_ns + (sample - y->rtt_ns) / 8;
        y->ping_out = false;
    }
    return 0;
}

static ww_err on_goaway(struct ww_yamux *y, struct ww_yamux_event *ret_event)
{
    y->stage = STAGE_HEAD;
    y->goaway_received = true;
    *ret_event = (struct ww_yamux_event){.type = WW_YAMUX_GOAWAY, .code = y->length};
    return 1;
}

/* A stream id that the peer may open. */
static bool id_is_theirs(const struct ww_yamux *y)
{
    return (y->id & 1) == (y->conf.client ? 0 : 1);
}

static ww_err on_syn(struct ww_yamux *y, struct ww_yamux_event *ret_event)
{
    if (!id_is_theirs(y) || ww_yamux_find(y, y->id))
        return violation(y, WW_EPROTO);
    if (y->type == YAMUX_DATA && y->length > WW_YAMUX_WINDOW_INITIAL)
        return violation(y, WW_EPROTO);
    y->current = NULL;
    y->stage = STAGE_OPEN;
    if (y->flags & YAMUX_RST) {
        y->stage = STAGE_EFFECT;
        return 0;
    }
    if (y->goaway_sent || y->streams_in >= y->conf.streams_in_max) {
        ww_yamux_refuse(y, YAMUX_CODE_LIMIT);
        return y->err;
    }
    *ret_event = (struct ww_yamux_event){.type = WW_YAMUX_OPENED, .id = y->id};
    return 1;
}

static ww_err on_head(struct ww_yamux *y, struct ww_yamux_event *ret_event)
{
    y->head_len = 0;
    y->type = y->head[1];
    y->flags = ww_be16_load(y->head + 2);
    y->id = ww_be32_load(y->head + 4);
    y->length = ww_be32_load(y->head + 8);
    if (y->head[0] != 0 || y->type > YAMUX_GOAWAY)
        return violation(y, WW_EPROTO);
    if (y->type == YAMUX_PING)
        return on_ping(y);
    if (y->type == YAMUX_GOAWAY)
        return on_goaway(y, ret_event);
    if (y->id == 0)
        return violation(y, WW_EPROTO);
    if (y->flags & YAMUX_SYN)
        return on_syn(y, ret_event);
    y->current = ww_yamux_find(y, y->id);
    y->stage = STAGE_EFFECT;
    return 0;
}

static ww_err take_head(struct ww_yamux *y, struct ww_yamux_event *ret_event)
{
    size_t n = WW_YAMUX_HEADER_BYTES - y->head_len;
    if (n > y->in.len)
        n = y->in.len;
    memcpy(y->head + y->head_len, y->in.ptr, n);
    y->head_len += (uint8_t)n;
    y->in = ww_bytes_skip(y->in, n);
    return y->head_len == WW_YAMUX_HEADER_BYTES ? on_head(y, ret_event) : 0;
}

static ww_err on_reset(struct ww_yamux *y, struct ww_yamux_event *ret_event)
{
    struct ww_yamux_stream *s = y->current;
    uint32_t code = y->type == YAMUX_WINDOW ? y->length : 0;
    ww_yamux_retire(s);
    s->owed = 0;
    ww_list_remove(&s->event);
    *ret_event = (struct ww_yamux_event){.type = WW_YAMUX_RESET, .stream = s, .id = s->id, .code = code};
    return 1;
}

/* The peer wrote on a direction that it had ended: the stream is beyond use, the connection is not. */
static ww_err on_data_after_fin(struct ww_yamux *y)
{
    struct ww_yamux_stream *s = y->current;
    ww_yamux_retire(s);
    s->code = YAMUX_CODE_PROTOCOL;
    ww_yamux_owe(s, WW_YAMUX_RESET);
    ww_yamux_oob(y, YAMUX_WINDOW, YAMUX_RST, s->id, YAMUX_CODE_PROTOCOL);
    return y->err;
}

static ww_err apply_window(struct ww_yamux *y, struct ww_yamux_stream *s)
{
    if (y->length > UINT32_MAX - s->send_window)
        return violation(y, WW_EPROTO);
    s->send_window += y->length;
    ww_yamux_schedule(s);
    return 0;
}

static ww_err apply_data(struct ww_yamux *y, struct ww_yamux_stream *s)
{
    if (y->length > s->recv_window)
        return violation(y, WW_EPROTO);
    if (y->length && s->fin_received)
        return on_data_after_fin(y);
    s->recv_window -= y->length;
    s->recv_held += y->length;
    return 0;
}

/* What the header says, apart from the body. Afterwards `length` is the body's. */
static ww_err take_effect(struct ww_yamux *y, struct ww_yamux_event *ret_event)
{
    struct ww_yamux_stream *s = y->current;
    ww_err r = 0;
    if (s && (y->flags & YAMUX_ACK) && !s->inbound && !s->acked) {
        s->acked = true;
        ww_yamux_unacked_drop(y);
    }
    if (s && (y->flags & YAMUX_RST))
        r = on_reset(y, ret_event);
    else if (s)
        r = y->type == YAMUX_WINDOW ? apply_window(y, s) : apply_data(y, s);
    if (y->type == YAMUX_WINDOW)
        y->length = 0;
    y->stage = STAGE_BODY;
    return r;
}

static ww_err take_body(struct ww_yamux *y, struct ww_yamux_event *ret_event)
{
    if (!y->length) {
        y->stage = STAGE_END;
        return 0;
    }
    size_t n = y->length < y->in.len ? y->length : y->in.len;
    struct ww_bytes data = ww_bytes(y->in.ptr, n);
    y->in = ww_bytes_skip(y->in, n);
    y->length -= (uint32_t)n;
    if (!y->current)
        return 0;
    *ret_event =
        (struct ww_yamux_event){.type = WW_YAMUX_DATA, .stream = y->current, .id = y->id, .data = data};
    return 1;
}

static ww_err take_end(struct ww_yamux *y, struct ww_yamux_event *ret_event)
{
    struct ww_yamux_stream *s = y->current;
    y->current = NULL;
    y->stage = STAGE_HEAD;
    if (!s || !(y->flags & YAMUX_FIN) || s->fin_received)
        return 0;
    s->fin_received = true;
    s->update_due = false; /* the peer has no use for a window now */
    if (!s->ack_due)
        ww_list_remove(&s->control);
    ww_yamux_maybe_close(s);
    *ret_event = (struct ww_yamux_event){.type = WW_YAMUX_FIN, .stream = s, .id = s->id};
    return 1;
}

static ww_err take_owed(struct ww_yamux *y, struct ww_yamux_event *ret_event)
{
    struct ww_list *node = y->events.next;
    struct ww_yamux_stream *s = WW_CONTAINER_OF(node, struct ww_yamux_stream, event);
    WW_ASSERT(s->owed);
    unsigned type = (unsigned)__builtin_ctz(s->owed);
    s->owed &= (uint8_t) ~(1u << type);
    if (!s->owed)
        ww_list_remove(node);
    *ret_event = (struct ww_yamux_event){
        .type = (enum ww_yamux_event_type)type, .stream = s, .id = s->id, .code = s->code};
    return 1;
}

static ww_err step(struct ww_yamux *y, struct ww_yamux_event *ret_event)
{
    switch ((enum ww_yamux_stage)y->stage) {
    case STAGE_HEAD:
        return take_head(y, ret_event);
    case STAGE_OPEN:
        ww_yamux_refuse(y, YAMUX_CODE_LIMIT);
        return y->err;
    case STAGE_EFFECT:
        return take_effect(y, ret_event);
    case STAGE_BODY:
        return take_body(y, ret_event);
    case STAGE_END:
        return take_end(y, ret_event);
    }
    return 0;
}

/* Stages that go on without another byte. */
static bool can_step(const struct ww_yamux *y)
{
    return y->in.len || y->stage == STAGE_OPEN || y->stage == STAGE_EFFECT || y->stage == STAGE_END ||
        (y->stage == STAGE_BODY && !y->length);
}

ww_err ww_yamux_next(struct ww_yamux *y, struct ww_yamux_event *ret_event)
{
    for (;;) {
        if (y->err)
            return y->err;
        if (yamux_listed(&y->events))
            return take_owed(y, ret_event);
        if (!can_step(y))
            return 0;
        ww_err r = step(y, ret_event);
        if (r)
            return r;
    }
}
