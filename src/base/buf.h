/* base/buf.h — an owned byte queue with a maximum: bytes go in at the end and out at the front. */
#ifndef WW_BASE_BUF_H
#define WW_BASE_BUF_H

#include "base/base.h"

struct ww_buf {
    uint8_t *mem;    /* NULL until something is stored */
    size_t head;     /* first unread byte */
    size_t tail;     /* end of the unread bytes */
    size_t capacity; /* of mem */
    size_t max;      /* unread bytes never exceed this */
};

/* Allocates nothing. */
void ww_buf_init(struct ww_buf *b, size_t max);
void ww_buf_fini(struct ww_buf *b);

static inline size_t ww_buf_len(const struct ww_buf *b)
{
    return b->tail - b->head;
}

static inline uint8_t *ww_buf_data(const struct ww_buf *b)
{
    return b->mem + b->head;
}

static inline struct ww_bytes ww_buf_view(const struct ww_buf *b)
{
    return ww_bytes(b->mem ? b->mem + b->head : NULL, b->tail - b->head);
}

/* Makes room for `n` more bytes and returns where they go; ww_buf_commit then makes them readable.
 * WW_ELIMIT over the maximum, WW_ENOMEM. Earlier views become invalid. */
WW_MUST_USE ww_err ww_buf_reserve(struct ww_buf *b, size_t n, uint8_t **ret_room);
void ww_buf_commit(struct ww_buf *b, size_t n);
WW_MUST_USE ww_err ww_buf_append(struct ww_buf *b, struct ww_bytes data);
WW_MUST_USE ww_err ww_buf_append_byte(struct ww_buf *b, uint8_t byte);
/* Drops the first `n` unread bytes. An emptied buffer keeps its memory up to 64 KiB. */
void ww_buf_consume(struct ww_buf *b, size_t n);
void ww_buf_clear(struct ww_buf *b);

#endif
