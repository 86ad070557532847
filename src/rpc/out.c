/* Outgoing bytes: messages are laid out once, in chunks that never move, and pulled from there. */
#include "rpc/internal.h"

void ww_rpc_out_free(struct ww_rpc_conn *conn)
{
    while (conn->out_first) {
        struct ww_rpc_chunk *chunk = conn->out_first;
        conn->out_first = chunk->next;
        ww_free(chunk);
    }
    conn->out_last = NULL;
    ww_free(conn->out_spare);
    conn->out_spare = NULL;
    ww_budget_release(conn->budget, WW_RES_BYTES, conn->out_bytes);
    conn->out_bytes = 0;
}

static struct ww_rpc_chunk *chunk_new(struct ww_rpc_conn *conn, size_t n)
{
    struct ww_rpc_chunk *chunk = conn->out_spare;
    if (chunk && chunk->capacity >= n) {
        conn->out_spare = NULL;
    } else {
        size_t capacity = n > WW_RPC_CHUNK_BYTES ? n : WW_RPC_CHUNK_BYTES;
        chunk = ww_alloc(sizeof *chunk + capacity);
        if (!chunk)
            return NULL;
        chunk->capacity = capacity;
    }
    chunk->next = NULL;
    chunk->head = chunk->tail = 0;
    return chunk;
}

/* `n` contiguous bytes at the end of the queue. Twice the limit is for answers to a peer that does not read:
 * the end. */
static ww_err room(struct ww_rpc_conn *conn, size_t n, uint8_t **ret_at)
{
    uint64_t max = conn->vat->limits.outbound_bytes;
    if (conn->out_bytes > max && conn->out_bytes - max > max && !conn->aborting)
        return WW_ELIMIT;
    struct ww_rpc_chunk *last = conn->out_last;
    if (!last || last->capacity - last->tail < n) {
        struct ww_rpc_chunk *chunk = chunk_new(conn, n);
        if (!chunk)
            return WW_ENOMEM;
        if (last)
            last->next = chunk;
        else
            conn->out_first = chunk;
        conn->out_last = last = chunk;
    }
    *ret_at = last->data + last->tail;
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

ww_err ww_rpc_out_msg(struct ww_rpc_conn *conn, struct ww_msg *msg)
{
    uint8_t *at;
    if (conn->packed) {
        WW_TRY(room(conn, ww_msg_pack_bound(msg), &at));
        return commit(conn, ww_msg_pack(msg, at));
    }
    struct ww_bytes frame = ww_msg_frame(msg);
    size_t n = frame.ptr ? frame.len : ww_msg_frame_bytes(msg);
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
        err = ww_rpc_out_msg(conn, &conn->scratch_out);
    ww_msg_reset(&conn->scratch_out);
    if (err < 0)
        ww_rpc_conn_fail(conn, err, "no room for outgoing messages", true);
}

size_t ww_rpc_conn_pull(struct ww_rpc_conn *conn, struct ww_bytes *ret_views, size_t max)
{
    size_t n = 0;
    for (struct ww_rpc_chunk *at = conn->out_first; at && n < max; at = at->next) {
        if (at->tail > at->head)
            ret_views[n++] = ww_bytes(at->data + at->head, at->tail - at->head);
    }
    return n;
}

static void chunk_done(struct ww_rpc_conn *conn, struct ww_rpc_chunk *chunk)
{
    if (!conn->out_spare && chunk->capacity == WW_RPC_CHUNK_BYTES)
        conn->out_spare = chunk;
    else
        ww_free(chunk);
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
        chunk->head = chunk->tail = 0;
        if (chunk == conn->out_last && chunk->capacity == WW_RPC_CHUNK_BYTES)
            break; /* the steady state keeps its one chunk */
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
