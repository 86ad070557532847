/* Memory of large messages, kept for the next ones: a heap that gives 16 KiB back to the system after each
 * message and takes them again costs more than the message. What is kept is bounded for the whole vat, and
 * given out only to who needs about as much. */
#include "rpc/internal.h"

struct ww_rpc_spare {
    struct ww_rpc_spare *next;
    size_t bytes; /* of this */
};

enum { SEARCH_MAX = 8, ROOMY = 4 };

static void put(struct ww_rpc_vat *vat, uint8_t *mem, size_t bytes)
{
    if (bytes <= WW_RPC_KEEP_BYTES || bytes > WW_RPC_SPARE_MAX || vat->freed ||
        vat->spare_bytes + bytes > WW_RPC_SPARE_BYTES) {
        ww_free(mem);
        return;
    }
    struct ww_rpc_spare *spare = (struct ww_rpc_spare *)(void *)mem;
    *spare = (struct ww_rpc_spare){vat->spares, bytes};
    vat->spares = spare;
    vat->spare_bytes += bytes;
}

/* The latest first: it may still be in the processor's cache. NULL: none that fits. */
static uint8_t *take(struct ww_rpc_vat *vat, uint64_t bytes, size_t *ret_bytes)
{
    struct ww_rpc_spare **at = &vat->spares;
    for (int i = 0; i < SEARCH_MAX && *at; i++, at = &(*at)->next) {
        struct ww_rpc_spare *spare = *at;
        if (spare->bytes < bytes || spare->bytes > ROOMY * bytes)
            continue;
        *at = spare->next;
        vat->spare_bytes -= spare->bytes;
        *ret_bytes = spare->bytes;
        return (uint8_t *)spare;
    }
    return NULL;
}

void ww_rpc_spares_free(struct ww_rpc_vat *vat)
{
    while (vat->spares) {
        struct ww_rpc_spare *spare = vat->spares;
        vat->spares = spare->next;
        ww_free(spare);
    }
    vat->spare_bytes = 0;
}

void ww_rpc_msg_recycle(struct ww_rpc_vat *vat, struct ww_msg *m)
{
    uint32_t hint = m->hint, used = m->seg_count == 1 && !m->reading ? m->seg0.used : hint;
    ww_msg_reset(m);
    if (used < hint / 2)
        ww_msg_hint(m, hint / 2); /* what it became too large for is forgotten by and by */
    if (m->mem_bytes <= WW_RPC_KEEP_BYTES)
        return;
    put(vat, m->mem, m->mem_bytes);
    m->mem = NULL;
    m->mem_bytes = 0;
}

void ww_rpc_msg_reserve(struct ww_rpc_vat *vat, struct ww_msg *m, uint64_t bytes)
{
    size_t got;
    if (bytes <= WW_RPC_KEEP_BYTES || m->mem_bytes >= bytes)
        return;
    uint8_t *mem = take(vat, bytes, &got);
    if (!mem)
        return;
    ww_free(m->mem);
    m->mem = mem;
    m->mem_bytes = got;
}

/* Words of a message whose size its maker does not know: as many as this one had before. */
uint32_t ww_rpc_msg_words(const struct ww_msg *m)
{
    enum { WORDS_MIN = 64 };
    return m->hint < WORDS_MIN ? WORDS_MIN : m->hint;
}

void ww_rpc_in_reserve(struct ww_rpc_conn *conn, struct ww_bytes data)
{
    uint64_t need;
    size_t got;
    if (data.len == 0 || conn->in.mem || conn->packed ||
        ww_frame_check(data, &conn->in.lim, &need) != WW_EAGAIN || need <= WW_RPC_KEEP_BYTES)
        return;
    uint8_t *mem = take(conn->vat, need, &got);
    if (mem)
        ww_frame_in_mem_take(&conn->in, mem, got);
}

void ww_rpc_in_trim(struct ww_rpc_conn *conn)
{
    size_t bytes;
    uint8_t *mem = ww_frame_in_take(&conn->in, &bytes);
    if (mem)
        put(conn->vat, mem, bytes);
    else
        ww_frame_in_trim(&conn->in);
}
