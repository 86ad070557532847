/* Sending: per-stream queues, and the gathering of frames from them. A queued byte is copied at most once (by
 * stream_write) before the layer below reads it; slabs are not copied at all. */
#include "p2p/yamux_internal.h"

#define CHUNK_MIN_BYTES 512u
#define CHUNK_MAX_BYTES (64u << 10)
#define SLAB_MIN_BYTES 256u /* a shorter reference costs more than a copy, in time and in bookkeeping */
#define FRAGMENT_MIN_BYTES                                                                                   \
    1024u                   /* rather a short gather than a frame with a shorter body, when there is more */
#define GROW_ROUND_TRIPS 4u /* a window used up to half in less is too small */

void ww_yamux_head_store(uint8_t *out, uint8_t type, uint16_t flags, uint32_t id, uint32_t length)
{
    out[0] = 0;
    out[1] = type;
    ww_be16_store(out + 2, flags);
    ww_be32_store(out + 4, id);
    ww_be32_store(out + 8, length);
}

void ww_yamux_schedule(struct ww_yamux_stream *s)
{
    struct ww_yamux *y = s->conn;
    if (yamux_listed(&s->sending) || !yamux_sendable(s))
        return;
    bool wait = yamux_syn_pending(s) && y->unacked >= y->conf.unacked_max;
    ww_list_push_back(wait ? &y->syn_wait : &y->ready, &s->sending);
}

/* A full connection wakes a stream that lives on its reserve: those who filled it may never be read. */
static bool worth_waking(const struct ww_yamux *y, const struct ww_yamux_stream *s)
{
    if (s->send_bytes > y->conf.stream_send_max / 2)
        return false;
    return y->send_bytes <= y->conf.conn_send_max / 2 || s->send_bytes < y->conf.stream_reserve / 2;
}

static void wake_writers(struct ww_yamux *y)
{
    WW_LIST_FOR_SAFE(at, &y->writers)
    {
        struct ww_yamux_stream *s = WW_CONTAINER_OF(at, struct ww_yamux_stream, writer);
        if (!worth_waking(y, s))
            continue;
        ww_list_remove(at);
        ww_yamux_owe(s, WW_YAMUX_WRITABLE);
    }
}

static void chunk_retire(struct ww_yamux_stream *s)
{
    struct ww_yamux_chunk *c = s->send_head;
    s->send_head = c->next;
    if (!s->send_head)
        s->send_tail = NULL;
    c->next = s->conn->retired;
    s->conn->retired = c;
}

void ww_yamux_queue_drop(struct ww_yamux_stream *s)
{
    while (s->send_head)
        chunk_retire(s);
    s->conn->send_bytes -= s->send_bytes;
    s->send_bytes = 0;
    wake_writers(s->conn);
}

void ww_yamux_gather_done(struct ww_yamux *y)
{
    while (y->retired) {
        struct ww_yamux_chunk *c = y->retired;
        y->retired = c->next;
        ww_slab_unref(c->slab);
        ww_free(c);
    }
}

size_t ww_yamux_stream_room(const struct ww_yamux_stream *s)
{
    if (ww_yamux_stream_closed(s) || s->conn->err || s->fin_due)
        return 0;
    const struct ww_yamux *y = s->conn;
    size_t stream = y->conf.stream_send_max > s->send_bytes ? y->conf.stream_send_max - s->send_bytes : 0;
    size_t conn = y->conf.conn_send_max > y->send_bytes ? y->conf.conn_send_max - y->send_bytes : 0;
    size_t reserve = y->conf.stream_reserve > s->send_bytes ? y->conf.stream_reserve - s->send_bytes : 0;
    if (conn < reserve)
        conn = reserve;
    return stream < conn ? stream : conn;
}

static ww_err may_write(const struct ww_yamux_stream *s)
{
    if (!s->conn || s->conn->err)
        return WW_ECLOSED;
    if (s->fin_due)
        return WW_ESTATE;
    return s->live ? 0 : WW_ERESET;
}

static void want_writable(struct ww_yamux_stream *s)
{
    if (!yamux_listed(&s->writer))
        ww_list_push_back(&s->conn->writers, &s->writer);
}

static void chunk_push(struct ww_yamux_stream *s, struct ww_yamux_chunk *c)
{
    if (s->send_tail)
        s->send_tail->next = c;
    else
        s->send_head = c;
    s->send_tail = c;
}

static void queued(struct ww_yamux_stream *s, size_t n)
{
    s->send_bytes += n;
    s->conn->send_bytes += n;
    if (n)
        ww_yamux_schedule(s);
}

/* A chunk with room for at least one byte of `len` more; NULL without memory. Behind queued data it is larger
 * than its predecessor: many small writes end up in few chunks. */
static struct ww_yamux_chunk *tail_with_room(struct ww_yamux_stream *s, size_t len)
{
    struct ww_yamux_chunk *tail = s->send_tail;
    if (tail && tail->end < tail->capacity)
        return tail;
    size_t capacity = tail ? tail->capacity * 2 : CHUNK_MIN_BYTES;
    if (capacity < len)
        capacity = len;
    if (capacity < CHUNK_MIN_BYTES)
        capacity = CHUNK_MIN_BYTES;
    if (capacity > CHUNK_MAX_BYTES)
        capacity = CHUNK_MAX_BYTES;
    struct ww_yamux_chunk *c = ww_alloc(sizeof *c + capacity);
    if (!c)
        return NULL;
    *c = (struct ww_yamux_chunk){.base = c->own, .capacity = capacity};
    chunk_push(s, c);
    return c;
}

ww_err ww_yamux_stream_write(struct ww_yamux_stream *s, struct ww_bytes data, size_t *ret_taken)
{
    WW_TRY(may_write(s));
    size_t room = ww_yamux_stream_room(s);
    size_t want = data.len < room ? data.len : room, taken = 0;
    while (taken < want) {
        struct ww_yamux_chunk *c = tail_with_room(s, want - taken);
        if (!c)
            break;
        size_t n = c->capacity - c->end < want - taken ? c->capacity - c->end : want - taken;
        memcpy(c->own + c->end, data.ptr + taken, n);
        c->end += n;
        taken += n;
    }
    if (want && !taken)
        return WW_ENOMEM;
    queued(s, taken);
    if (taken < data.len)
        want_writable(s);
    *ret_taken = taken;
    return 0;
}

ww_err ww_yamux_stream_write_slab(struct ww_yamux_stream *s, struct ww_slab *slab, size_t offset, size_t len)
{
    WW_TRY(may_write(s));
    WW_ASSERT(offset <= slab->len && len <= slab->len - offset);
    size_t room = ww_yamux_stream_room(s);
    if (len && (!room || (len < SLAB_MIN_BYTES && room < len))) {
        want_writable(s);
        return WW_EAGAIN;
    }
    if (len < SLAB_MIN_BYTES) {
        struct ww_yamux_chunk *tail = s->send_tail;
        if (tail && tail->end < tail->capacity && tail->capacity - tail->end < len)
            tail->capacity = tail->end; /* not split over two chunks: the second could fail */
        size_t taken;
        return ww_yamux_stream_write(s, ww_bytes(slab->data + offset, len), &taken);
    }
    struct ww_yamux_chunk *c = ww_alloc(sizeof *c);
    if (!c)
        return WW_ENOMEM;
    *c = (struct ww_yamux_chunk){.slab = ww_slab_ref(slab), .base = slab->data + offset, .end = len};
    chunk_push(s, c);
    queued(s, len);
    return 0;
}

/* One gather() under way. */
struct gather {
    struct ww_yamux *y;
    struct ww_bytes *iov;
    size_t iov_max, count;
    size_t max, bytes;
    size_t heads;
};

static bool head_fits(const struct gather *g)
{
    return g->max - g->bytes >= WW_YAMUX_HEADER_BYTES && g->heads < WW_YAMUX_GATHER_FRAMES &&
        g->count < g->iov_max;
}

static void put_view(struct gather *g, const uint8_t *ptr, size_t len)
{
    struct ww_bytes *prev = g->count ? &g->iov[g->count - 1] : NULL;
    g->bytes += len;
    if (prev && prev->ptr + prev->len == ptr)
        prev->len += len;
    else
        g->iov[g->count++] = ww_bytes(ptr, len);
}

static uint8_t *next_head(struct gather *g)
{
    return g->y->heads + g->heads++ * WW_YAMUX_HEADER_BYTES;
}

static void put_head(struct gather *g, uint8_t type, uint16_t flags, uint32_t id, uint32_t length)
{
    uint8_t *head = next_head(g);
    ww_yamux_head_store(head, type, flags, id, length);
    put_view(g, head, WW_YAMUX_HEADER_BYTES);
}

static void put_ping(struct gather *g)
{
    struct ww_yamux *y = g->y;
    if (!y->ping_due || y->err || !head_fits(g))
        return;
    y->ping_due = false;
    y->ping_sent_ns = y->now_ns;
    put_head(g, YAMUX_PING, YAMUX_SYN, 0, ++y->ping_value);
}

static void put_oob(struct gather *g)
{
    struct ww_yamux *y = g->y;
    while (ww_buf_len(&y->oob) && head_fits(g)) {
        uint8_t *head = next_head(g);
        memcpy(head, ww_buf_data(&y->oob), WW_YAMUX_HEADER_BYTES);
        ww_buf_consume(&y->oob, WW_YAMUX_HEADER_BYTES);
        if (head[1] == YAMUX_PING)
            y->pongs--;
        put_view(g, head, WW_YAMUX_HEADER_BYTES);
    }
}

/* Doubles a window that the peer filled, and the application emptied, faster than updates can travel. */
static void window_tune(struct ww_yamux_stream *s)
{
    struct ww_yamux *y = s->conn;
    if (!y->rtt_ns || y->now_ns - s->updated_at_ns >= GROW_ROUND_TRIPS * y->rtt_ns)
        return;
    uint32_t max = y->conf.window_max;
    uint32_t size = s->recv_size > max / 2 ? max : s->recv_size * 2;
    if (ww_budget_charge(y->conf.budget, WW_RES_BYTES, size - s->recv_size) == 0)
        s->recv_size = size;
}

/* Flags that the first frame of a stream carries. */
static uint16_t take_flags(struct ww_yamux_stream *s)
{
    uint16_t flags = 0;
    if (yamux_syn_pending(s)) {
        s->syn_sent = true;
        s->conn->unacked++;
        flags |= YAMUX_SYN;
    }
    if (s->ack_due) {
        s->ack_due = false;
        flags |= YAMUX_ACK;
    }
    if (!s->update_due)
        ww_list_remove(&s->control);
    return flags;
}

static void put_control(struct gather *g)
{
    struct ww_yamux *y = g->y;
    while (yamux_listed(&y->control) && head_fits(g)) {
        struct ww_yamux_stream *s = WW_CONTAINER_OF(y->control.next, struct ww_yamux_stream, control);
        if (!s->update_due && yamux_listed(&s->sending)) {
            ww_list_remove(&s->control); /* the ACK rides on the data */
            continue;
        }
        uint32_t delta = 0;
        if (s->update_due) {
            window_tune(s);
            delta = s->recv_size - s->recv_window - s->recv_held;
            s->recv_window += delta;
            s->update_due = false;
            s->updated_at_ns = y->now_ns;
        }
        put_head(g, YAMUX_WINDOW, take_flags(s), s->id, delta);
    }
}

/* Gives an outbound stream its id. Without memory for the table the stream fails, not the connection. */
static bool ensure_id(struct ww_yamux_stream *s)
{
    struct ww_yamux *y = s->conn;
    if (s->id)
        return true;
    s->id = y->next_id;
    if (ww_map_insert(&y->by_id, &s->node) == 0) {
        y->next_id += 2;
        return true;
    }
    s->id = 0;
    ww_yamux_retire(s);
    s->code = YAMUX_CODE_LIMIT;
    ww_yamux_owe(s, WW_YAMUX_RESET);
    return false;
}

/* The length of the next body, as limited by windows, queue and what this gather can still show. */
static uint32_t body_length(const struct gather *g, const struct ww_yamux_stream *s)
{
    size_t want = s->send_bytes < s->send_window ? s->send_bytes : s->send_window;
    if (want > g->y->conf.frame_body_max)
        want = g->y->conf.frame_body_max;
    size_t room = g->max - g->bytes - WW_YAMUX_HEADER_BYTES;
    if (want > room)
        want = room;
    size_t len = 0, views = g->iov_max - g->count - 1;
    for (struct ww_yamux_chunk *c = s->send_head; c && len < want && views; c = c->next, views--)
        len += c->end - c->begin;
    return (uint32_t)(len < want ? len : want);
}

static void put_body(struct gather *g, struct ww_yamux_stream *s, uint32_t len)
{
    s->send_window -= len;
    s->send_bytes -= len;
    g->y->send_bytes -= len;
    while (len) {
        struct ww_yamux_chunk *c = s->send_head;
        size_t n = c->end - c->begin < len ? c->end - c->begin : len;
        put_view(g, c->base + c->begin, n);
        c->begin += n;
        len -= (uint32_t)n;
        if (c->begin == c->end)
            chunk_retire(s);
    }
}

/* One frame of `s`. False: this gather is full. */
static bool put_stream(struct gather *g, struct ww_yamux_stream *s)
{
    if (!head_fits(g))
        return false;
    uint32_t len = body_length(g, s);
    bool more = len < s->send_bytes && len < s->send_window;
    if (more && len < FRAGMENT_MIN_BYTES && len < g->y->conf.frame_body_max && g->bytes)
        return false;
    if (!ensure_id(s))
        return true;
    uint16_t flags = take_flags(s);
    bool fin = s->fin_due && !s->fin_sent && len == s->send_bytes;
    bool data = len || fin;
    put_head(g, data ? YAMUX_DATA : YAMUX_WINDOW, flags | (fin ? YAMUX_FIN : 0), s->id, len);
    put_body(g, s, len);
    s->fin_sent |= fin;
    ww_yamux_maybe_close(s);
    return true;
}

static void put_streams(struct gather *g)
{
    struct ww_yamux *y = g->y;
    while (yamux_listed(&y->ready)) {
        struct ww_yamux_stream *s = WW_CONTAINER_OF(y->ready.next, struct ww_yamux_stream, sending);
        if (yamux_syn_pending(s) && y->unacked >= y->conf.unacked_max) {
            ww_list_remove(&s->sending);
            ww_list_push_back(&y->syn_wait, &s->sending);
            continue;
        }
        if (!put_stream(g, s))
            return;
        ww_list_remove(&s->sending);
        ww_yamux_schedule(s);
    }
}

size_t ww_yamux_gather(
    struct ww_yamux *y, uint64_t now_ns, size_t max, struct ww_bytes *iov, size_t iov_max, size_t *ret_count)
{
    WW_ASSERT(max >= 1024 && iov_max >= 4);
    ww_yamux_gather_done(y);
    y->now_ns = now_ns;
    struct gather g = {.y = y, .iov = iov, .iov_max = iov_max, .max = max};
    put_ping(&g);
    put_oob(&g);
    if (!y->err) {
        put_control(&g);
        put_streams(&g);
        wake_writers(y);
    }
    *ret_count = g.count;
    return g.bytes;
}

size_t ww_yamux_pull(struct ww_yamux *y, uint64_t now_ns, uint8_t *out, size_t max)
{
    struct ww_bytes iov[2 * WW_YAMUX_GATHER_FRAMES];
    size_t count, at = 0;
    ww_yamux_gather(y, now_ns, max, iov, WW_COUNT_OF(iov), &count);
    for (size_t i = 0; i < count; i++) {
        memcpy(out + at, iov[i].ptr, iov[i].len);
        at += iov[i].len;
    }
    ww_yamux_gather_done(y);
    return at;
}

bool ww_yamux_wants_send(const struct ww_yamux *y)
{
    if (ww_buf_len(&y->oob))
        return true;
    return !y->err && (y->ping_due || yamux_listed(&y->control) || yamux_listed(&y->ready));
}

static uint64_t answer_deadline(const struct ww_yamux *y)
{
    uint64_t since = y->ping_due_ns > y->received_ns ? y->ping_due_ns : y->received_ns;
    return since + y->conf.timeout_ns;
}

uint64_t ww_yamux_deadline(const struct ww_yamux *y)
{
    if (y->err || !y->conf.keepalive_ns)
        return WW_NEVER;
    return y->ping_out ? answer_deadline(y) : y->next_ping_ns;
}

ww_err ww_yamux_tick(struct ww_yamux *y, uint64_t now_ns)
{
    if (y->err)
        return y->err;
    y->now_ns = now_ns;
    if (now_ns < ww_yamux_deadline(y))
        return 0;
    if (y->ping_out)
        return ww_yamux_fail(y, WW_ETIMEOUT, WW_YAMUX_GOAWAY_INTERNAL);
    y->ping_due = y->ping_out = true;
    y->ping_due_ns = now_ns;
    y->next_ping_ns = now_ns + y->conf.keepalive_ns;
    return 0;
}
