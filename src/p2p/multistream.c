#include "p2p/multistream.h"

#include "base/varint.h"

/* A frame is a varint length, the token and a newline, which the length includes. */
#define FRAME_MAX (WW_MSS_TOKEN_MAX + 1)
#define LENGTH_MAX_BYTES 2u /* a varint up to FRAME_MAX */
#define LISTING_MAX (16u << 10)
#define OUT_MAX (LISTING_MAX * 2)

static const struct ww_bytes header = WW_BYTES_LIT("/multistream/1.0.0");
static const struct ww_bytes refusal = WW_BYTES_LIT("na");
static const struct ww_bytes listing = WW_BYTES_LIT("ls");

ww_err ww_mss_put_token(struct ww_buf *out, struct ww_bytes token)
{
    uint8_t length[WW_PROTOBUF_VARINT_MAX_BYTES], *at;
    size_t n = ww_varint_encode(token.len + 1, length);
    WW_TRY(ww_buf_reserve(out, n + token.len + 1, &at));
    memcpy(at, length, n);
    if (token.len)
        memcpy(at + n, token.ptr, token.len);
    at[n + token.len] = '\n';
    ww_buf_commit(out, n + token.len + 1);
    return 0;
}

static size_t token_size(struct ww_bytes token)
{
    return ww_varint_size(token.len + 1) + token.len + 1;
}

static void init(struct ww_mss *m)
{
    *m = (struct ww_mss){.state = WW_MSS_HEADER};
    ww_buf_init(&m->partial, LENGTH_MAX_BYTES + FRAME_MAX);
    ww_buf_init(&m->out, OUT_MAX);
    ww_buf_init(&m->token, WW_MSS_TOKEN_MAX);
}

ww_err ww_mss_init_initiator(struct ww_mss *m, const struct ww_bytes *protocols, size_t count)
{
    if (count == 0 || count > WW_MSS_PROPOSALS_MAX)
        return WW_EINVAL;
    for (size_t i = 0; i < count; i++) {
        if (protocols[i].len == 0 || protocols[i].len > WW_MSS_TOKEN_MAX ||
            memchr(protocols[i].ptr, '\n', protocols[i].len))
            return WW_EINVAL;
    }
    init(m);
    m->initiator = true;
    m->protocols = protocols;
    m->protocol_count = count;
    ww_err err = ww_mss_put_token(&m->out, header);
    if (err == 0)
        err = ww_mss_put_token(&m->out, protocols[0]);
    if (err < 0)
        ww_mss_fini(m);
    return err;
}

ww_err ww_mss_init_responder(struct ww_mss *m, struct ww_mss_matcher *matcher)
{
    init(m);
    m->matcher = matcher;
    return ww_mss_put_token(&m->out, header); /* allocates last: nothing to undo */
}

void ww_mss_fini(struct ww_mss *m)
{
    ww_buf_fini(&m->partial);
    ww_buf_fini(&m->out);
    ww_buf_fini(&m->token);
}

struct ww_bytes ww_mss_protocol(const struct ww_mss *m)
{
    WW_ASSERT(m->state == WW_MSS_DONE);
    return m->initiator ? m->protocols[m->index] : ww_buf_view(&m->token);
}

/* The listing is one frame: the protocols as tokens of their own, one behind the other, and a newline. */
static ww_err put_listing(struct ww_mss *m)
{
    const struct ww_mss_matcher *matcher = m->matcher;
    size_t body = 1;
    for (size_t i = 0; i < matcher->listed_count; i++)
        body += token_size(matcher->listed[i]);
    if (matcher->listed_count == 0 || body > LISTING_MAX || ww_buf_len(&m->out) > OUT_MAX - LISTING_MAX)
        return ww_mss_put_token(&m->out, refusal);
    uint8_t length[WW_PROTOBUF_VARINT_MAX_BYTES];
    WW_TRY(ww_buf_append(&m->out, ww_bytes(length, ww_varint_encode(body, length))));
    for (size_t i = 0; i < matcher->listed_count; i++)
        WW_TRY(ww_mss_put_token(&m->out, matcher->listed[i]));
    return ww_buf_append_byte(&m->out, '\n');
}

static ww_err respond(struct ww_mss *m, struct ww_bytes token)
{
    if (m->index == WW_MSS_PROPOSALS_MAX)
        return WW_ELIMIT;
    m->index++;
    if (ww_bytes_eq(token, listing))
        return put_listing(m);
    if (token.len == 0 || !m->matcher->match(m->matcher, token))
        return ww_mss_put_token(&m->out, refusal);
    WW_TRY(ww_buf_append(&m->token, token));
    WW_TRY(ww_mss_put_token(&m->out, token));
    m->state = WW_MSS_DONE;
    return 0;
}

static ww_err take_reply(struct ww_mss *m, struct ww_bytes token)
{
    if (ww_bytes_eq(token, m->protocols[m->index])) {
        m->state = WW_MSS_DONE;
        return 0;
    }
    if (!ww_bytes_eq(token, refusal))
        return WW_EPROTO;
    if (m->index + 1 == m->protocol_count)
        return WW_ENOPROTO;
    m->index++;
    return ww_mss_put_token(&m->out, m->protocols[m->index]);
}

static ww_err on_token(struct ww_mss *m, struct ww_bytes token)
{
    if (m->state == WW_MSS_TOKENS)
        return m->initiator ? take_reply(m, token) : respond(m, token);
    if (!ww_bytes_eq(token, header))
        return WW_EPROTO;
    m->state = WW_MSS_TOKENS;
    return 0;
}

/* Size of the frame that `in` begins with; 0: not known yet. Frames of no length and padded lengths are
 * errors. */
static ww_err frame_size(struct ww_bytes in, size_t *ret_prefix, size_t *ret_size)
{
    uint64_t body;
    bool short_input = in.len < LENGTH_MAX_BYTES;
    ww_err n = ww_uvarint_decode(ww_bytes(in.ptr, short_input ? in.len : LENGTH_MAX_BYTES), &body);
    *ret_size = 0;
    if (n == WW_ETRUNC)
        return short_input ? 0 : WW_ELIMIT;
    if (n < 0)
        return n;
    if (body == 0)
        return WW_EPROTO;
    if (body > FRAME_MAX)
        return WW_ELIMIT;
    *ret_prefix = (size_t)n;
    *ret_size = (size_t)n + (size_t)body;
    return 0;
}

/* A frame that is whole in `frame`. */
static ww_err take_frame(struct ww_mss *m, struct ww_bytes frame, size_t prefix)
{
    if (frame.ptr[frame.len - 1] != '\n')
        return WW_EPROTO;
    return on_token(m, ww_bytes(frame.ptr + prefix, frame.len - prefix - 1));
}

/* Uses up to one frame of `in`. */
static ww_err step(struct ww_mss *m, struct ww_bytes in, size_t *ret_used)
{
    size_t prefix = 0, size, held = ww_buf_len(&m->partial);
    if (!held) {
        WW_TRY(frame_size(in, &prefix, &size));
        if (size && size <= in.len) {
            *ret_used = size;
            return take_frame(m, ww_bytes(in.ptr, size), prefix);
        }
    } else {
        WW_TRY(frame_size(ww_buf_view(&m->partial), &prefix, &size));
    }
    /* Byte by byte only until the length is known. */
    size_t n = size ? size - held : 1;
    if (n > in.len)
        n = in.len;
    WW_TRY(ww_buf_append(&m->partial, ww_bytes(in.ptr, n)));
    *ret_used = n;
    WW_TRY(frame_size(ww_buf_view(&m->partial), &prefix, &size));
    if (!size || ww_buf_len(&m->partial) < size)
        return 0;
    ww_err err = take_frame(m, ww_buf_view(&m->partial), prefix);
    ww_buf_clear(&m->partial);
    return err;
}

ww_err ww_mss_feed(struct ww_mss *m, struct ww_bytes in, size_t *ret_used)
{
    *ret_used = 0;
    while (in.len && m->state < WW_MSS_DONE) {
        size_t used = 0;
        ww_err err = step(m, in, &used);
        if (err < 0) {
            m->state = WW_MSS_FAILED;
            m->err = err;
            break;
        }
        in = ww_bytes_skip(in, used);
        *ret_used += used;
    }
    if (m->state == WW_MSS_FAILED)
        return m->err;
    return m->state == WW_MSS_DONE ? 1 : 0;
}
