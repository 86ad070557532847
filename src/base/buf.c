#include "base/buf.h"

#define KEEP_BYTES (64u << 10) /* an idle buffer gives back more than this */
#define MIN_BYTES 64u

void ww_buf_init(struct ww_buf *b, size_t max)
{
    *b = (struct ww_buf){.max = max};
}

void ww_buf_fini(struct ww_buf *b)
{
    ww_free(b->mem);
    b->mem = NULL;
    b->head = b->tail = b->capacity = 0;
}

ww_err ww_buf_reserve(struct ww_buf *b, size_t n, uint8_t **ret_room)
{
    size_t len = ww_buf_len(b);
    if (n > b->max || len > b->max - n)
        return WW_ELIMIT;
    if (b->capacity - b->tail < n || !b->mem) {
        /* Sliding down is worth it only when it frees at least half: otherwise a long queue would be moved
         * often. */
        if (b->mem && b->capacity - len >= n && b->head >= len) {
            memmove(b->mem, b->mem + b->head, len);
        } else {
            size_t want = len + n < MIN_BYTES ? MIN_BYTES : len + n;
            size_t capacity = b->capacity * 2 > want ? b->capacity * 2 : want;
            uint8_t *mem = ww_alloc(capacity);
            if (!mem)
                return WW_ENOMEM;
            if (len)
                memcpy(mem, b->mem + b->head, len);
            ww_free(b->mem);
            b->mem = mem;
            b->capacity = capacity;
        }
        b->head = 0;
        b->tail = len;
    }
    *ret_room = b->mem + b->tail;
    return 0;
}

void ww_buf_commit(struct ww_buf *b, size_t n)
{
    WW_ASSERT(n <= b->capacity - b->tail);
    b->tail += n;
}

ww_err ww_buf_append(struct ww_buf *b, struct ww_bytes data)
{
    if (data.len == 0)
        return 0;
    uint8_t *room;
    WW_TRY(ww_buf_reserve(b, data.len, &room));
    memcpy(room, data.ptr, data.len);
    b->tail += data.len;
    return 0;
}

ww_err ww_buf_append_byte(struct ww_buf *b, uint8_t byte)
{
    return ww_buf_append(b, ww_bytes(&byte, 1));
}

void ww_buf_consume(struct ww_buf *b, size_t n)
{
    WW_ASSERT(n <= ww_buf_len(b));
    b->head += n;
    if (b->head == b->tail)
        ww_buf_clear(b);
}

void ww_buf_clear(struct ww_buf *b)
{
    if (b->capacity > KEEP_BYTES)
        ww_buf_fini(b);
    b->head = b->tail = 0;
}
