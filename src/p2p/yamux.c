/* The multiplexer's life: connection, streams, what the application calls. Parsing is in yamux_recv.c,
 * framing and queues in yamux_send.c.
 *
 * What the specification leaves open and we decide:
 * - a stream's id is taken when its SYN leaves, so ids rise on the wire in order, and a stream that ends
 * before it was announced costs no frame;
 * - at most unacked_max SYNs are unanswered; streams beyond wait with their data instead of failing;
 * - a stream that is over is forgotten at once: frames that still come for its id are dropped without an
 * answer;
 * - a receive window grows only as long as the application keeps up within a few round trips and the budget
 * allows it. */
#include "p2p/yamux_internal.h"

static struct ww_bytes id_key(const struct ww_map_node *node)
{
    const struct ww_yamux_stream *s = WW_CONTAINER_OF(node, const struct ww_yamux_stream, node);
    return ww_bytes(&s->id, sizeof s->id);
}

void ww_yamux_conf_init(struct ww_yamux_conf *conf, bool client, const uint64_t seed[2])
{
    *conf = (struct ww_yamux_conf){
        .client = client,
        .window_max = 16u << 20, /* what other stacks allow: 2 Gbit/s over 63 ms */
        .streams_in_max = 256,
        .streams_out_max = 500,
        .unacked_max = 256,
        .frame_body_max = 65519 - WW_YAMUX_HEADER_BYTES,
        .stream_send_max = 256u << 10,
        .conn_send_max = 4u << 20,
        .stream_reserve = 4u << 10, /* what opens a protocol: else busy streams would keep new ones out */
        .keepalive_ns = 30 * WW_NS_PER_S,
        .timeout_ns = 20 * WW_NS_PER_S,
    };
    memcpy(conf->seed, seed, sizeof conf->seed);
}

void ww_yamux_init(struct ww_yamux *y, const struct ww_yamux_conf *conf, uint64_t now_ns)
{
    WW_ASSERT(
        conf->window_max >= WW_YAMUX_WINDOW_INITIAL && conf->frame_body_max > 0 && conf->unacked_max > 0);
    *y = (struct ww_yamux){
        .conf = *conf, .now_ns = now_ns, .received_ns = now_ns, .next_id = conf->client ? 1 : 2};
    ww_map_init(&y->by_id, id_key, conf->seed);
    ww_list_init(&y->streams);
    ww_list_init(&y->control);
    ww_list_init(&y->ready);
    ww_list_init(&y->syn_wait);
    ww_list_init(&y->events);
    ww_list_init(&y->writers);
    ww_buf_init(&y->oob, YAMUX_OOB_FRAMES_MAX * WW_YAMUX_HEADER_BYTES);
    y->ping_due_ns = now_ns;
    y->next_ping_ns = now_ns + conf->keepalive_ns;
    y->ping_due = y->ping_out = conf->keepalive_ns != 0;
}

void ww_yamux_fini(struct ww_yamux *y)
{
    WW_LIST_FOR_SAFE(at, &y->streams)
    ww_yamux_stream_detach(WW_CONTAINER_OF(at, struct ww_yamux_stream, all));
    ww_yamux_gather_done(y);
    ww_buf_fini(&y->oob);
    ww_map_fini(&y->by_id);
}

ww_err ww_yamux_fail(struct ww_yamux *y, ww_err err, uint32_t goaway_code)
{
    if (y->err)
        return y->err;
    ww_buf_clear(&y->oob);
    y->pongs = 0;
    y->in = ww_bytes(NULL, 0);
    uint8_t frame[WW_YAMUX_HEADER_BYTES];
    ww_yamux_head_store(frame, YAMUX_GOAWAY, 0, 0, goaway_code);
    ww_err ignored =
        ww_buf_append(&y->oob, ww_bytes(frame, sizeof frame)); /* a courtesy: without memory, none */
    WW_UNUSED(ignored);
    y->err = err;
    return err;
}

void ww_yamux_oob(struct ww_yamux *y, uint8_t type, uint16_t flags, uint32_t id, uint32_t length)
{
    if (y->err)
        return;
    uint8_t frame[WW_YAMUX_HEADER_BYTES];
    ww_yamux_head_store(frame, type, flags, id, length);
    ww_err err = ww_buf_append(&y->oob, ww_bytes(frame, sizeof frame));
    if (err < 0)
        ww_yamux_fail(y, err, WW_YAMUX_GOAWAY_INTERNAL);
}

void ww_yamux_owe(struct ww_yamux_stream *s, enum ww_yamux_event_type event)
{
    s->owed |= (uint8_t)(1u << event);
    if (!yamux_listed(&s->event))
        ww_list_push_back(&s->conn->events, &s->event);
}

struct ww_yamux_stream *ww_yamux_find(struct ww_yamux *y, uint32_t id)
{
    if (y->last && y->last->id == id)
        return y->last;
    struct ww_map_node *node = ww_map_get(&y->by_id, ww_bytes(&id, sizeof id));
    if (!node)
        return NULL;
    return y->last = WW_CONTAINER_OF(node, struct ww_yamux_stream, node);
}

ww_err ww_yamux_stream_attach(struct ww_yamux *y, struct ww_yamux_stream *s, bool inbound)
{
    WW_TRY(ww_budget_charge(y->conf.budget, WW_RES_STREAMS, 1));
    ww_err err = ww_budget_charge(y->conf.budget, WW_RES_BYTES, WW_YAMUX_WINDOW_INITIAL);
    if (err < 0) {
        ww_budget_release(y->conf.budget, WW_RES_STREAMS, 1);
        return err;
    }
    *s = (struct ww_yamux_stream){
        .conn = y,
        .inbound = inbound,
        .live = true,
        .send_window = WW_YAMUX_WINDOW_INITIAL,
        .recv_window = WW_YAMUX_WINDOW_INITIAL,
        .recv_size = WW_YAMUX_WINDOW_INITIAL,
        .updated_at_ns = y->now_ns,
    };
    ww_list_init(&s->control);
    ww_list_init(&s->sending);
    ww_list_init(&s->event);
    ww_list_init(&s->writer);
    ww_list_push_back(&y->streams, &s->all);
    *(inbound ? &y->streams_in : &y->streams_out) += 1;
    return 0;
}

void ww_yamux_unacked_drop(struct ww_yamux *y)
{
    WW_ASSERT(y->unacked > 0);
    y->unacked--;
    ww_list_splice_back(&y->ready, &y->syn_wait); /* gather puts back those that must go on waiting */
}

void ww_yamux_retire(struct ww_yamux_stream *s)
{
    struct ww_yamux *y = s->conn;
    if (!s->live)
        return;
    s->live = false;
    s->ack_due = s->update_due = false;
    ww_list_remove(&s->control);
    ww_list_remove(&s->sending);
    ww_list_remove(&s->writer);
    s->owed &= (uint8_t) ~(1u << WW_YAMUX_WRITABLE);
    if (s->id)
        ww_map_remove(&y->by_id, &s->node);
    if (y->current == s)
        y->current = NULL;
    if (y->last == s)
        y->last = NULL;
    ww_yamux_queue_drop(s);
    *(s->inbound ? &y->streams_in : &y->streams_out) -= 1;
    if (!s->inbound && s->syn_sent && !s->acked)
        ww_yamux_unacked_drop(y);
}

void ww_yamux_maybe_close(struct ww_yamux_stream *s)
{
    if (!s->live || !s->fin_sent || !s->fin_received)
        return;
    ww_yamux_retire(s);
    ww_yamux_owe(s, WW_YAMUX_CLOSED);
}

void ww_yamux_stream_detach(struct ww_yamux_stream *s)
{
    struct ww_yamux *y = s->conn;
    ww_yamux_retire(s);
    ww_list_remove(&s->event);
    ww_list_remove(&s->all);
    ww_budget_release(y->conf.budget, WW_RES_BYTES, s->recv_size);
    ww_budget_release(y->conf.budget, WW_RES_STREAMS, 1);
    s->conn = NULL;
}

ww_err ww_yamux_open(struct ww_yamux *y, struct ww_yamux_stream *s)
{
    if (y->err || y->goaway_sent || y->goaway_received)
        return WW_ECLOSED;
    if (y->streams_out >= y->conf.streams_out_max)
        return WW_ELIMIT;
    if (y->next_id > UINT32_MAX - 2 * (uint64_t)(y->conf.streams_out_max + 1)) {
        ww_yamux_goaway(y, WW_YAMUX_GOAWAY_NORMAL); /* every open stream may still need an id */
        return WW_ECLOSED;
    }
    return ww_yamux_stream_attach(y, s, false);
}

ww_err ww_yamux_accept(struct ww_yamux *y, struct ww_yamux_stream *s)
{
    if (y->stage != STAGE_OPEN || y->err)
        return WW_ESTATE;
    ww_err err = ww_yamux_stream_attach(y, s, true);
    if (err < 0) {
        ww_yamux_refuse(y, YAMUX_CODE_LIMIT);
        return err;
    }
    s->id = y->id;
    err = ww_map_insert(&y->by_id, &s->node);
    if (err < 0) {
        s->id = 0;
        ww_yamux_stream_detach(s);
        ww_yamux_refuse(y, YAMUX_CODE_LIMIT);
        return err;
    }
    s->ack_due = true;
    ww_list_push_back(&y->control, &s->control);
    y->current = s;
    y->stage = STAGE_EFFECT;
    return 0;
}

void ww_yamux_refuse(struct ww_yamux *y, uint32_t code)
{
    if (y->stage != STAGE_OPEN)
        return;
    ww_yamux_oob(y, YAMUX_WINDOW, YAMUX_RST, y->id, code);
    y->current = NULL;
    y->stage = STAGE_EFFECT;
}

void ww_yamux_goaway(struct ww_yamux *y, enum ww_yamux_goaway code)
{
    if (y->goaway_sent)
        return;
    y->goaway_sent = true;
    ww_yamux_oob(y, YAMUX_GOAWAY, 0, 0, code);
}

void ww_yamux_stream_fini(struct ww_yamux_stream *s)
{
    if (!s->conn)
        return;
    ww_yamux_stream_reset(s, 0);
    ww_yamux_stream_detach(s);
}

void ww_yamux_stream_announce(struct ww_yamux_stream *s)
{
    if (ww_yamux_stream_closed(s))
        return;
    s->announced = true;
    ww_yamux_schedule(s);
}

ww_err ww_yamux_stream_shutdown(struct ww_yamux_stream *s)
{
    if (!s->conn || s->conn->err)
        return WW_ECLOSED;
    if (s->fin_due)
        return 0;
    if (!s->live)
        return WW_ERESET;
    s->fin_due = true;
    ww_list_remove(&s->writer);
    ww_yamux_schedule(s);
    return 0;
}

void ww_yamux_stream_reset(struct ww_yamux_stream *s, uint32_t code)
{
    if (!s->conn)
        return;
    struct ww_yamux *y = s->conn;
    bool live = s->live;
    ww_yamux_retire(s);
    s->owed = 0;
    ww_list_remove(&s->event);
    if (live && s->id)
        ww_yamux_oob(y, YAMUX_WINDOW, YAMUX_RST, s->id, code);
}

void ww_yamux_stream_consumed(struct ww_yamux_stream *s, size_t n)
{
    if (!s->conn)
        return;
    uint32_t coming = s->conn->current == s ? s->conn->length : 0;
    WW_ASSERT(n <= s->recv_held - coming);
    s->recv_held -= (uint32_t)n;
    ww_yamux_update_schedule(s);
}

void ww_yamux_update_schedule(struct ww_yamux_stream *s)
{
    if (!s->live || s->fin_received || s->update_due)
        return;
    if (s->recv_size - s->recv_window - s->recv_held < s->recv_size / 2)
        return;
    s->update_due = true;
    if (!yamux_listed(&s->control))
        ww_list_push_back(&s->conn->control, &s->control);
}
