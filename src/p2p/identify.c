#include "p2p/identify.h"

#include "base/protobuf.h"

enum {
    FIELD_PUBLIC_KEY = 1,
    FIELD_LISTEN_ADDRS = 2,
    FIELD_PROTOCOLS = 3,
    FIELD_OBSERVED_ADDR = 4,
    FIELD_PROTOCOL_VERSION = 5,
    FIELD_AGENT_VERSION = 6,
    FIELD_SIGNED_RECORD = 8,
};

/* Messages being written: fields collect in `body` until the next one would make it too long. */
struct writer {
    struct ww_buf body;
    struct ww_buf *out;
    size_t start; /* length of `out` at the beginning */
    size_t messages;
};

static ww_err flush(struct writer *w)
{
    size_t len = ww_buf_len(&w->body);
    uint8_t prefix[WW_PROTOBUF_VARINT_MAX_BYTES];
    size_t n = ww_varint_encode(len, prefix);
    size_t written = ww_buf_len(w->out) - w->start;
    if (len > WW_IDENTIFY_MESSAGE_MAX || w->messages == WW_IDENTIFY_MESSAGES_MAX ||
        written + n + len > WW_IDENTIFY_TOTAL_MAX)
        return WW_ELIMIT;
    WW_TRY(ww_buf_append(w->out, ww_bytes(prefix, n)));
    WW_TRY(ww_buf_append(w->out, ww_buf_view(&w->body)));
    ww_buf_clear(&w->body);
    w->messages++;
    return 0;
}

static ww_err put(struct writer *w, uint32_t number, struct ww_bytes value)
{
    if (!value.ptr)
        return 0;
    size_t size = ww_protobuf_bytes_size(number, value.len), len = ww_buf_len(&w->body);
    if (len && len + size > WW_IDENTIFY_SENT_MAX)
        WW_TRY(flush(w));
    return ww_protobuf_put_bytes(&w->body, number, value);
}

static ww_err put_list(struct writer *w, uint32_t number, const struct ww_bytes *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        WW_TRY(put(w, number, values[i]));
    return 0;
}

static ww_err put_all(struct writer *w, const struct ww_identify *id)
{
    WW_TRY(put(w, FIELD_PUBLIC_KEY, id->public_key));
    WW_TRY(put_list(w, FIELD_LISTEN_ADDRS, id->addrs, id->addr_count));
    WW_TRY(put_list(w, FIELD_PROTOCOLS, id->protocols, id->protocol_count));
    WW_TRY(put(w, FIELD_OBSERVED_ADDR, id->observed_addr));
    WW_TRY(put(w, FIELD_PROTOCOL_VERSION, id->protocol_version));
    WW_TRY(put(w, FIELD_AGENT_VERSION, id->agent_version));
    WW_TRY(put(w, FIELD_SIGNED_RECORD, id->signed_record));
    return flush(w);
}

ww_err ww_identify_encode(const struct ww_identify *id, struct ww_buf *out)
{
    struct writer w = {.out = out, .start = ww_buf_len(out)};
    ww_buf_init(&w.body, WW_IDENTIFY_TOTAL_MAX);
    ww_err err = put_all(&w, id);
    if (err < 0)
        out->tail = out->head + w.start;
    ww_buf_fini(&w.body);
    return err;
}

static void add(struct ww_identify *id, struct ww_bytes *list, size_t *count, size_t count_max,
    struct ww_bytes value, size_t len_max)
{
    if (*count == count_max || value.len > len_max)
        id->cut = true;
    else
        list[(*count)++] = value;
}

static struct ww_bytes text(struct ww_identify *id, struct ww_bytes value)
{
    if (value.len <= WW_IDENTIFY_TEXT_MAX)
        return value;
    id->cut = true;
    return ww_bytes(value.ptr, WW_IDENTIFY_TEXT_MAX);
}

static void take(struct ww_identify *id, uint32_t number, struct ww_bytes value)
{
    switch (number) {
    case FIELD_PUBLIC_KEY:
        id->public_key = value;
        break;
    case FIELD_LISTEN_ADDRS:
        add(id, id->addrs, &id->addr_count, WW_IDENTIFY_ADDRS_MAX, value, WW_IDENTIFY_ADDR_BYTES_MAX);
        break;
    case FIELD_PROTOCOLS:
        add(id, id->protocols, &id->protocol_count, WW_IDENTIFY_PROTOCOLS_MAX, value,
            WW_IDENTIFY_PROTOCOL_BYTES_MAX);
        break;
    case FIELD_OBSERVED_ADDR:
        id->observed_addr = value;
        break;
    case FIELD_PROTOCOL_VERSION:
        id->protocol_version = text(id, value);
        break;
    case FIELD_AGENT_VERSION:
        id->agent_version = text(id, value);
        break;
    case FIELD_SIGNED_RECORD:
        id->signed_record = value;
        break;
    default: /* of a later version */
        break;
    }
}

ww_err ww_identify_merge(struct ww_identify *id, struct ww_bytes message)
{
    struct ww_protobuf_field f;
    ww_err r;
    while ((r = ww_protobuf_next(&message, &f)) > 0) {
        bool known = f.number <= FIELD_SIGNED_RECORD && f.number != FIELD_SIGNED_RECORD - 1;
        if (known && f.wire != WW_PROTOBUF_BYTES)
            return WW_EPROTO;
        if (known)
            take(id, f.number, f.bytes);
    }
    return r;
}

void ww_identify_reader_init(struct ww_identify_reader *r)
{
    ww_buf_init(&r->in, WW_IDENTIFY_TOTAL_MAX);
}

void ww_identify_reader_fini(struct ww_identify_reader *r)
{
    ww_buf_fini(&r->in);
}

ww_err ww_identify_reader_feed(struct ww_identify_reader *r, struct ww_bytes in)
{
    return ww_buf_append(&r->in, in);
}

static ww_err merge_all(struct ww_identify *id, struct ww_bytes in)
{
    for (size_t messages = 0; in.len; messages++) {
        uint64_t len;
        ww_err n = ww_protobuf_varint_decode(in, &len);
        if (n < 0)
            return n;
        if (len > WW_IDENTIFY_MESSAGE_MAX || messages == WW_IDENTIFY_MESSAGES_MAX)
            return WW_ELIMIT;
        in = ww_bytes_skip(in, (size_t)n);
        if (len > in.len)
            return WW_ETRUNC;
        WW_TRY(ww_identify_merge(id, ww_bytes(in.ptr, (size_t)len)));
        in = ww_bytes_skip(in, (size_t)len);
    }
    return 0;
}

ww_err ww_identify_reader_finish(const struct ww_identify_reader *r, struct ww_identify *ret_id)
{
    struct ww_identify id = {0};
    if (ww_buf_len(&r->in) == 0)
        return WW_ETRUNC;
    WW_TRY(merge_all(&id, ww_buf_view(&r->in)));
    *ret_id = id;
    return 0;
}
