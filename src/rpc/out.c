/* Outgoing bytes: small messages are laid out once, in chunks that never move, and pulled from there; of
 * large ones the segments themselves are pulled. */
#include "rpc/internal.h"

void ww_rpc_chunk_free(struct ww_rpc_chunk *chunk)
{
    if (chunk->msg)
        ww_msg_fini(chunk->msg);
    struct ww_rpc_call *call = chunk->call;
    ww_free(chunk);
    ww_rpc_call_unref(call);
}

/* An idle connection has no chunk of its own. */
static void chunk_done(struct ww_rpc_conn *conn, struct ww_rpc_chunk *chunk)
{
    struct ww_rpc_vat *vat = conn->vat;
    if (chunk->msg)
        ww_rpc_msg_recycle(vat, chunk->msg);
    if (chunk->capacity != WW_RPC_CHUNK_BYTES || vat->free_chunk_count >= WW_RPC_POOL_CHUNKS) {
        vat->chunk_count -= chunk->capacity == WW_RPC_CHUNK_BYTES;
        ww_rpc_chunk_free(chunk);
        return;
    }
    chunk->next = vat->free_chunks;
    vat->free_chunks = chunk;
    vat->free_chunk_count++;
}

void ww_rpc_out_free(struct ww_rpc_conn *conn)
{
    while (conn->out_first) {
        struct ww_rpc_chunk *chunk = conn->out_first;
        conn->out_first = chunk->next;
        chunk_done(conn, chunk);
    }
    conn->out_last = NULL;
    ww_budget_release(conn->budget, WW_RES_BYTES, conn->out_bytes);
    conn->out_bytes = 0;
}

/* Many peers that do not read, with a few bytes for each, must not take a whole chunk for each. */
static size_t capacity_for(const struct ww_rpc_conn *conn, size_t n)
{
    if (conn->vat->chunk_count >= WW_RPC_POOL_CHUNKS && !conn->out_last && n <= WW_RPC_CHUNK_LEAST)
        return WW_RPC_CHUNK_LEAST;
    return n > WW_RPC_CHUNK_BYTES ? n : WW_RPC_CHUNK_BYTES;
}

static struct ww_rpc_chunk *chunk_new(struct ww_rpc_conn *conn, size_t n)
{
    struct ww_rpc_vat *vat = conn->vat;
    struct ww_rpc_chunk *chunk = vat->free_chunks;
    if (chunk && chunk->capacity >= n) {
        vat->free_chunks = chunk->next;
        vat->free_chunk_count--;
    } else {
        size_t capacity = capacity_for(conn, n);
        chunk = ww_alloc(sizeof *chunk + capacity);
        if (!chunk)
            return NULL;
        vat->chunk_count += capacity == WW_RPC_CHUNK_BYTES;
        chunk->capacity = capacity;
        chunk->bytes = chunk->data;
        chunk->call = NULL;
        chunk->msg = NULL;
    }
    chunk->next = NULL;
    chunk->head = chunk->tail = 0;
    return chunk;
}

static void chunk_append(struct ww_rpc_conn *conn, struct ww_rpc_chunk *chunk)
{
    if (conn->out_last)
        conn->out_last->next = chunk;
    else
        conn->out_first = chunk;
    conn->out_last = chunk;
}

/* Twice the limit is for answers to a peer that does not read: the end. */
static ww_err out_allowed(const struct ww_rpc_conn *conn)
{
    uint64_t max = conn->vat->limits.outbound_bytes;
    return conn->out_bytes > max && conn->out_bytes - max > max && !conn->aborting ? WW_ELIMIT : 0;
}

/* `n` contiguous bytes at the end of the queue. */
static ww_err room(struct ww_rpc_conn *conn, size_t n, uint8_t **ret_at)
{
    WW_TRY(out_allowed(conn));
    struct ww_rpc_chunk *last = conn->out_last;
    if (!last || last->tail + n > last->capacity) {
        last = chunk_new(conn, n);
        if (!last)
            return WW_ENOMEM;
        chunk_append(conn, last);
    }
    *ret_at = last->bytes + last->tail;
    return 0;
}

static ww_err commit(struct ww_rpc_conn *conn, size_t n)
{
    WW_TRY(ww_budget_charge(conn->budget, WW_RES_BYTES, n));
    conn->out_last->tail += n;
    conn->out_bytes += n;
    ww_rpc_conn_output(conn);
    return 0;
}

/* ---- large messages */

static struct ww_rpc_chunk *view_new(struct ww_bytes view, size_t extra)
{
    struct ww_rpc_chunk *chunk = ww_alloc(sizeof *chunk + extra);
    if (!chunk)
        return NULL;
    /* No capacity: nothing is ever written here. */
    *chunk = (struct ww_rpc_chunk){.bytes = (uint8_t *)view.ptr, .tail = view.len};
    return chunk;
}

static void views_free(struct ww_rpc_chunk *views)
{
    while (views) {
        struct ww_rpc_chunk *next = views->next;
        ww_free(views);
        views = next;
    }
}

/* One chunk for each segment; the last holds the message. */
static struct ww_rpc_chunk *views_new(
    const struct ww_msg *msg, struct ww_bytes frame, struct ww_rpc_chunk **ret_last)
{
    struct ww_rpc_chunk *first = NULL, **link = &first, *at = NULL;
    uint32_t count = frame.ptr ? 1 : ww_msg_seg_count(msg);
    for (uint32_t i = 0; i < count; i++) {
        size_t extra = i + 1 == count ? sizeof(struct ww_msg) : 0;
        at = view_new(frame.ptr ? frame : ww_msg_seg(msg, i), extra);
        if (!at) {
            views_free(first);
            return NULL;
        }
        *link = at;
        link = &at->next;
    }
    *ret_last = at;
    return first;
}

static void owner_set(struct ww_rpc_chunk *last, struct ww_msg *msg, struct ww_rpc_call *results_of)
{
    if (results_of) {
        results_of->results_lent = true;
        last->call = ww_rpc_call_ref(results_of);
        return;
    }
    last->msg = (struct ww_msg *)(void *)last->data;
    ww_msg_init(last->msg, msg->cap_ops);
    ww_msg_move(last->msg, msg);
    if (last->msg->cap_count)
        (void)ww_msg_cap_slots(last->msg, 0); /* what they are to the peer is in the tables */
}

static ww_err out_views(
    struct ww_rpc_conn *conn, struct ww_msg *msg, struct ww_bytes frame, struct ww_rpc_call *results_of)
{
    uint64_t bytes = ww_msg_frame_bytes(msg);
    size_t table = frame.ptr ? 0 : ww_frame_table_bytes(msg);
    uint8_t *at = NULL;
    WW_TRY(out_allowed(conn));
    if (table)
        WW_TRY(room(conn, table, &at));
    struct ww_rpc_chunk *last, *first = views_new(msg, frame, &last);
    if (!first)
        return WW_ENOMEM;
    ww_err err = ww_budget_charge(conn->budget, WW_RES_BYTES, bytes);
    if (err < 0) {
        views_free(first);
        return err;
    }
    if (table) {
        ww_frame_table_write(msg, at);
        conn->out_last->tail += table;
    }
    owner_set(last, msg, results_of);
    if (conn->out_last)
        conn->out_last->next = first;
    else
        conn->out_first = first;
    conn->out_last = last;
    conn->out_bytes += bytes;
    ww_rpc_conn_output(conn);
    return 0;
}

ww_err ww_rpc_out_msg(struct ww_rpc_conn *conn, struct ww_msg *msg, struct ww_rpc_call *results_of)
{
    uint8_t *at;
    if (conn->packed) {
        WW_TRY(room(conn, ww_msg_pack_bound(msg), &at));
        return commit(conn, ww_msg_pack(msg, at));
    }
    struct ww_bytes frame = ww_msg_frame(msg);
    size_t n = frame.ptr ? frame.len : ww_msg_frame_bytes(msg);
    if (n >= WW_RPC_BIG_BYTES)
        return out_views(conn, msg, frame, results_of);
    WW_TRY(room(conn, n, &at));
    if (frame.ptr)
        memcpy(at, frame.ptr, n);
    else
        ww_msg_frame_write(msg, at);
    return commit(conn, n);
}

/* A Finish or a Release: Message and one struct of one data word. */
ww_err ww_rpc_out_small(struct ww_rpc_conn *conn, uint16_t tag, uint64_t word)
{
    enum { TABLE = 8, WORDS = 4, PACKED_MAX = 64 };
    uint8_t image[TABLE + WORDS * 8];
    ww_le64_store(image, UINT64_C(4) << 32);
    ww_le64_store(image + 8, UINT64_C(0x0001000100000000));
    ww_le64_store(image + 16, tag);
    ww_le64_store(image + 24, UINT64_C(0x0000000100000000));
    ww_le64_store(image + 32, word);
    uint8_t *at;
    if (!conn->packed) {
        WW_TRY(room(conn, sizeof image, &at));
        memcpy(at, image, sizeof image);
        return commit(conn, sizeof image);
    }
    WW_TRY(room(conn, PACKED_MAX, &at));
    size_t n = ww_pack(ww_bytes(image, TABLE), at);
    n += ww_pack(ww_bytes(image + TABLE, WORDS * 8), at + n);
    return commit(conn, n);
}

struct ww_sb ww_rpc_out_begin(struct ww_rpc_conn *conn, uint16_t tag)
{
    ww_msg_reset(&conn->scratch_out);
    struct ww_sb msg = ww_pb_init_struct(ww_msg_root_builder(&conn->scratch_out), 1, 1);
    ww_sb_set_u16(msg, 0, tag);
    return msg;
}

void ww_rpc_out_end(struct ww_rpc_conn *conn)
{
    ww_err err = ww_msg_err(&conn->scratch_out);
    if (err == 0)
        err = ww_rpc_out_msg(conn, &conn->scratch_out, NULL);
    ww_msg_reset(&conn->scratch_out);
    if (err < 0)
        ww_rpc_conn_fail(conn, err, "no room for outgoing messages", true);
}

size_t ww_rpc_conn_pull(struct ww_rpc_conn *conn, struct ww_bytes *ret_views, size_t max)
{
    size_t n = 0;
    for (struct ww_rpc_chunk *at = conn->out_first; at && n < max; at = at->next) {
        if (at->tail > at->head)
            ret_views[n++] = ww_bytes(at->bytes + at->head, at->tail - at->head);
    }
    return n;
}

void ww_rpc_conn_pulled(struct ww_rpc_conn *conn, size_t n)
{
    WW_ASSERT(n <= conn->out_bytes);
    conn->out_bytes -= n;
    ww_budget_release(conn->budget, WW_RES_BYTES, n);
    while (n > 0) {
        struct ww_rpc_chunk *chunk = conn->out_first;
        size_t here = chunk->tail - chunk->head;
        if (n < here) {
            chunk->head += n;
            break;
        }
        n -= here;
        conn->out_first = chunk->next;
        if (!conn->out_first)
            conn->out_last = NULL;
        chunk_done(conn, chunk);
    }
    if (conn->out_bytes == 0)
        conn->announced = false;
    ww_rpc_held_check(conn);
}

size_t ww_rpc_conn_pending(const struct ww_rpc_conn *conn)
{
    return conn->out_bytes;
}
