/* Frames after the handshake: sealing, opening, and cutting the incoming bytes. */
#include "p2p/noise.h"

#define FRAME_MAX (WW_NOISE_PREFIX_BYTES + WW_NOISE_MESSAGE_MAX)
#define READER_MAX (2 * FRAME_MAX)

/* A split frame up to here is collected in a small buffer; a longer one means bulk, and gets room for two
 * whole frames, so that most further bytes are received where they are decrypted. */
#define SMALL_FRAME_BYTES (16u << 10)

/* Noise reserves the last number. */
#define NONCE_END UINT64_MAX

ww_err ww_noise_split(struct ww_noise *n, struct ww_noise_session *ret_session)
{
    struct ww_noise_session s = {0};
    uint8_t seal_key[32], open_key[32];
    if (n->state != WW_NOISE_DONE)
        return WW_ESTATE;
    ww_noise_xx_split(&n->xx, seal_key, open_key);
    ww_err err = ww_aead_new(seal_key, &s.seal);
    if (err == 0)
        err = ww_aead_new(open_key, &s.open);
    ww_wipe(seal_key, sizeof seal_key);
    ww_wipe(open_key, sizeof open_key);
    if (err < 0) {
        ww_noise_session_fini(&s);
        return err;
    }
    *ret_session = s;
    return 0;
}

void ww_noise_session_fini(struct ww_noise_session *s)
{
    ww_aead_free(s->seal);
    ww_aead_free(s->open);
    s->seal = s->open = NULL;
}

ww_err ww_noise_seal(struct ww_noise_session *s, const struct ww_bytes *pieces, size_t count, uint8_t *out)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].len > WW_NOISE_PLAIN_MAX - total)
            return WW_EINVAL;
        total += pieces[i].len;
    }
    if (s->seal_nonce == NONCE_END)
        return WW_ESTATE;
    ww_be16_store(out, (uint16_t)(total + WW_AEAD_TAG_BYTES));
    return ww_aead_seal(
        s->seal, s->seal_nonce++, ww_bytes(NULL, 0), pieces, count, out + WW_NOISE_PREFIX_BYTES);
}

ww_err ww_noise_open(struct ww_noise_session *s, uint8_t *message, size_t len, struct ww_bytes *ret_plain)
{
    if (len < WW_AEAD_TAG_BYTES)
        return WW_EPROTO;
    if (s->open_nonce == NONCE_END)
        return WW_ESTATE;
    WW_TRY(ww_aead_open(s->open, s->open_nonce, ww_bytes(NULL, 0), ww_bytes(message, len), message));
    s->open_nonce++;
    *ret_plain = ww_bytes(message, len - WW_AEAD_TAG_BYTES);
    return 0;
}

/* ---- the reader ---- */

void ww_noise_reader_init(struct ww_noise_reader *r)
{
    *r = (struct ww_noise_reader){0};
    ww_buf_init(&r->buf, READER_MAX);
}

void ww_noise_reader_fini(struct ww_noise_reader *r)
{
    ww_buf_fini(&r->buf);
    r->chunk_len = 0;
}

static void drop_opened(struct ww_noise_reader *r)
{
    ww_buf_consume(&r->buf, r->opened);
    r->opened = 0;
    if (ww_buf_len(&r->buf) == 0)
        ww_buf_fini(&r->buf); /* idle connections are many */
}

/* Makes the buffer large enough for the frame at its front, or for a prefix when that is not complete. */
static ww_err make_room(struct ww_noise_reader *r, size_t *ret_missing)
{
    struct ww_bytes have = ww_buf_view(&r->buf);
    size_t size = ww_noise_frame_size(have);
    size_t missing = (size ? size : WW_NOISE_PREFIX_BYTES) - have.len;
    uint8_t *room;
    *ret_missing = missing;
    if (r->buf.capacity - r->buf.tail >= missing && r->buf.mem)
        return 0;
    size_t capacity = size > SMALL_FRAME_BYTES ? READER_MAX : SMALL_FRAME_BYTES + WW_NOISE_PREFIX_BYTES;
    /* A buffer that is large enough slides its content down; any other is replaced by one of the size wanted.
     */
    return ww_buf_reserve(&r->buf, r->buf.capacity >= capacity ? missing : capacity - have.len, &room);
}

void ww_noise_reader_room(struct ww_noise_reader *r, uint8_t **ret_ptr, size_t *ret_len)
{
    size_t missing;
    drop_opened(r);
    *ret_ptr = NULL;
    *ret_len = 0;
    if (ww_buf_len(&r->buf) == 0 || r->chunk_len > 0 || make_room(r, &missing) < 0)
        return;
    *ret_ptr = r->buf.mem + r->buf.tail;
    *ret_len = r->buf.capacity - r->buf.tail;
}

void ww_noise_reader_feed(struct ww_noise_reader *r, uint8_t *ptr, size_t len)
{
    WW_ASSERT(r->chunk_len == 0 && r->opened == 0);
    if (r->buf.mem && ptr == r->buf.mem + r->buf.tail) {
        ww_buf_commit(&r->buf, len);
        return;
    }
    r->chunk = ptr;
    r->chunk_len = len;
}

/* Takes from the chunk what the frame in the buffer still misses. 1: the frame is whole. */
static ww_err complete(struct ww_noise_reader *r, size_t *ret_size)
{
    for (;;) {
        struct ww_bytes have = ww_buf_view(&r->buf);
        size_t size = ww_noise_frame_size(have), missing;
        if (size > 0 && have.len >= size) {
            *ret_size = size;
            return 1;
        }
        if (r->chunk_len == 0)
            return 0;
        WW_TRY(make_room(r, &missing));
        size_t n = missing < r->chunk_len ? missing : r->chunk_len;
        WW_TRY(ww_buf_append(&r->buf, ww_bytes(r->chunk, n)));
        r->chunk += n;
        r->chunk_len -= n;
    }
}

ww_err ww_noise_reader_next(struct ww_noise_reader *r, struct ww_noise_session *s, struct ww_bytes *ret_plain)
{
    struct ww_bytes plain = {0};
    drop_opened(r);
    while (plain.len == 0) { /* an empty frame says nothing */
        uint8_t *frame = r->chunk;
        size_t size = ww_noise_frame_size(ww_bytes(r->chunk, r->chunk_len));
        bool in_chunk = ww_buf_len(&r->buf) == 0 && size > 0 && size <= r->chunk_len;
        if (in_chunk) {
            r->chunk += size;
            r->chunk_len -= size;
        } else {
            ww_err whole = complete(r, &size);
            if (whole <= 0)
                return whole;
            frame = ww_buf_data(&r->buf);
        }
        WW_TRY(ww_noise_open(s, frame + WW_NOISE_PREFIX_BYTES, size - WW_NOISE_PREFIX_BYTES, &plain));
        if (!in_chunk)
            r->opened = size;
        if (plain.len == 0)
            drop_opened(r);
    }
    *ret_plain = plain;
    return 1;
}
