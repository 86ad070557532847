#include "p2p/gossipsub_codec.h"

enum { RPC_SUBSCRIPTIONS = 1, RPC_PUBLISH = 2, RPC_CONTROL = 3 };
enum { SUB_SUBSCRIBE = 1, SUB_TOPIC = 2 };
enum { MSG_FROM = 1, MSG_DATA, MSG_SEQNO, MSG_TOPIC, MSG_SIGNATURE, MSG_KEY, MSG_END };
enum { CTL_IHAVE = 1, CTL_IWANT = 2, CTL_GRAFT = 3, CTL_PRUNE = 4 };
enum { IHAVE_TOPIC = 1, IHAVE_IDS = 2, IWANT_IDS = 1, GRAFT_TOPIC = 1 };
enum { PRUNE_TOPIC = 1, PRUNE_PEERS = 2, PRUNE_BACKOFF = 3 };
enum { PX_PEER = 1, PX_RECORD = 2 };

static const char sign_prefix[] = "libp2p-pubsub:";

/* ---- messages ---- */

static struct ww_bytes *msg_field(struct ww_gossip_fields *f, uint32_t number)
{
    switch (number) {
    case MSG_FROM:
        return &f->from;
    case MSG_DATA:
        return &f->data;
    case MSG_SEQNO:
        return &f->seqno;
    case MSG_TOPIC:
        return &f->topic;
    case MSG_SIGNATURE:
        return &f->signature;
    case MSG_KEY:
        return &f->key;
    default:
        return NULL;
    }
}

ww_err ww_gossip_msg_decode(struct ww_bytes in, struct ww_gossip_fields *ret_fields, bool *ret_canonical)
{
    struct ww_gossip_fields fields = {0};
    struct ww_protobuf_field f;
    struct ww_bytes rest = in;
    bool ascending = true;
    uint32_t last = 0;
    ww_err got;
    while ((got = ww_protobuf_next(&rest, &f)) > 0) {
        struct ww_bytes *slot = msg_field(&fields, f.number);
        ascending = ascending && f.number > last;
        last = f.number;
        if (!slot) {
            ascending = false;
            continue;
        }
        if (f.wire != WW_PROTOBUF_BYTES)
            return WW_EPROTO;
        *slot = f.bytes;
    }
    if (got < 0)
        return got;
    /* Lengths that are padded make the input longer than the encoding. */
    *ret_canonical = ascending && ww_gossip_msg_size(&fields) == in.len;
    *ret_fields = fields;
    return 0;
}

size_t ww_gossip_msg_size(const struct ww_gossip_fields *fields)
{
    struct ww_gossip_fields f = *fields;
    size_t size = 0;
    for (uint32_t n = MSG_FROM; n < MSG_END; n++) {
        const struct ww_bytes *field = msg_field(&f, n);
        if (field->ptr)
            size += ww_protobuf_bytes_size(n, field->len);
    }
    return size;
}

static uint8_t *put_header(uint8_t *at, uint32_t number, size_t len)
{
    at += ww_varint_encode((uint64_t)number << 3 | WW_PROTOBUF_BYTES, at);
    return at + ww_varint_encode(len, at);
}

static uint8_t *put_raw(uint8_t *at, struct ww_bytes bytes)
{
    if (bytes.len)
        memcpy(at, bytes.ptr, bytes.len);
    return at + bytes.len;
}

/* Writes fields FROM..end-1 and, when asked, moves the views to where they were written. */
static uint8_t *put_fields(uint8_t *at, struct ww_gossip_fields *f, uint32_t end, bool move)
{
    for (uint32_t n = MSG_FROM; n < end; n++) {
        struct ww_bytes *field = msg_field(f, n);
        if (!field->ptr)
            continue;
        at = put_header(at, n, field->len);
        uint8_t *body = at;
        at = put_raw(at, *field);
        if (move)
            field->ptr = body;
    }
    return at;
}

/* A frame for one message of `size` bytes; `*ret_body` is where it goes. */
static struct ww_slab *frame_new(size_t size, uint8_t **ret_body)
{
    size_t rpc = ww_protobuf_bytes_size(RPC_PUBLISH, size);
    struct ww_slab *s = ww_slab_new(ww_varint_size(rpc) + rpc);
    if (s)
        *ret_body = put_header(s->data + ww_varint_encode(rpc, s->data), RPC_PUBLISH, size);
    return s;
}

struct ww_slab *ww_gossip_frame_wrap(struct ww_bytes message, struct ww_gossip_fields *f)
{
    uint8_t *body;
    struct ww_slab *s = frame_new(message.len, &body);
    if (!s)
        return NULL;
    put_raw(body, message);
    for (uint32_t n = MSG_FROM; n < MSG_END; n++) {
        struct ww_bytes *field = msg_field(f, n);
        if (field->ptr)
            field->ptr = body + (field->ptr - message.ptr);
    }
    return s;
}

struct ww_slab *ww_gossip_frame_encode(struct ww_gossip_fields *f)
{
    uint8_t *body;
    struct ww_slab *s = frame_new(ww_gossip_msg_size(f), &body);
    if (s)
        put_fields(body, f, MSG_END, true);
    return s;
}

ww_err ww_gossip_msg_signed_bytes(const struct ww_gossip_fields *fields, struct ww_buf *out)
{
    struct ww_gossip_fields f = *fields;
    uint8_t *room;
    f.signature = f.key = (struct ww_bytes){0};
    size_t size = ww_gossip_msg_size(&f), prefix = sizeof sign_prefix - 1;
    ww_buf_clear(out);
    WW_TRY(ww_buf_reserve(out, prefix + size, &room));
    memcpy(room, sign_prefix, prefix);
    put_fields(room + prefix, &f, MSG_SIGNATURE, false);
    ww_buf_commit(out, prefix + size);
    return 0;
}

/* ---- RPCs, in ---- */

static ww_err open_subscription(struct ww_bytes in, struct ww_gossip_item *item)
{
    struct ww_protobuf_field f;
    ww_err got;
    item->kind = WW_GOSSIP_ITEM_UNSUBSCRIBE;
    while ((got = ww_protobuf_next(&in, &f)) > 0) {
        if (f.number == SUB_SUBSCRIBE) {
            if (f.wire != WW_PROTOBUF_VARINT)
                return WW_EPROTO;
            item->kind = f.value ? WW_GOSSIP_ITEM_SUBSCRIBE : WW_GOSSIP_ITEM_UNSUBSCRIBE;
        } else if (f.number == SUB_TOPIC) {
            if (f.wire != WW_PROTOBUF_BYTES)
                return WW_EPROTO;
            item->topic = f.bytes;
        }
    }
    return got;
}

/* IHAVE, IWANT and GRAFT: an optional topic and maybe ids, bytes all of them. */
static ww_err open_ids(struct ww_bytes in, uint32_t topic_number, struct ww_gossip_item *item)
{
    struct ww_protobuf_field f;
    ww_err got;
    item->body = in;
    while ((got = ww_protobuf_next(&in, &f)) > 0) {
        if (f.number <= 2 && f.wire != WW_PROTOBUF_BYTES)
            return WW_EPROTO;
        if (f.number == topic_number)
            item->topic = f.bytes;
    }
    return got;
}

static ww_err open_px(struct ww_bytes in, struct ww_gossip_px *ret_px)
{
    struct ww_protobuf_field f;
    struct ww_gossip_px px = {0};
    ww_err got;
    while ((got = ww_protobuf_next(&in, &f)) > 0) {
        if (f.number <= PX_RECORD && f.wire != WW_PROTOBUF_BYTES)
            return WW_EPROTO;
        if (f.number == PX_PEER)
            px.peer = f.bytes;
        else if (f.number == PX_RECORD)
            px.record = f.bytes;
    }
    *ret_px = px;
    return got;
}

static ww_err open_prune(struct ww_bytes in, struct ww_gossip_item *item)
{
    struct ww_protobuf_field f;
    struct ww_gossip_px px;
    ww_err got;
    item->body = in;
    while ((got = ww_protobuf_next(&in, &f)) > 0) {
        if (f.number == PRUNE_BACKOFF) {
            if (f.wire != WW_PROTOBUF_VARINT)
                return WW_EPROTO;
            item->backoff_s = f.value;
        } else if (f.number <= PRUNE_PEERS) {
            if (f.wire != WW_PROTOBUF_BYTES)
                return WW_EPROTO;
            if (f.number == PRUNE_TOPIC)
                item->topic = f.bytes;
            else
                WW_TRY(open_px(f.bytes, &px));
        }
    }
    return got;
}

/* 1: `f` was an entry that we know, 0: it was not. */
static ww_err open_control(const struct ww_protobuf_field *f, struct ww_gossip_item *item)
{
    if (f->number < CTL_IHAVE || f->number > CTL_PRUNE)
        return 0;
    if (f->wire != WW_PROTOBUF_BYTES)
        return WW_EPROTO;
    switch (f->number) {
    case CTL_IHAVE:
        item->kind = WW_GOSSIP_ITEM_IHAVE;
        WW_TRY(open_ids(f->bytes, IHAVE_TOPIC, item));
        break;
    case CTL_IWANT:
        item->kind = WW_GOSSIP_ITEM_IWANT;
        WW_TRY(open_ids(f->bytes, 0, item));
        break;
    case CTL_GRAFT:
        item->kind = WW_GOSSIP_ITEM_GRAFT;
        WW_TRY(open_ids(f->bytes, GRAFT_TOPIC, item));
        break;
    default:
        item->kind = WW_GOSSIP_ITEM_PRUNE;
        WW_TRY(open_prune(f->bytes, item));
        break;
    }
    return 1;
}

ww_err ww_gossip_rpc_next(struct ww_gossip_cursor *c, struct ww_gossip_item *ret_item)
{
    struct ww_gossip_item item = {0};
    struct ww_protobuf_field f;
    for (;;) {
        bool nested = c->control.len > 0;
        ww_err got = ww_protobuf_next(nested ? &c->control : &c->rpc, &f);
        if (got <= 0)
            return got;
        if (nested) {
            got = open_control(&f, &item);
        } else if (f.number > RPC_CONTROL) {
            continue;
        } else if (f.wire != WW_PROTOBUF_BYTES) {
            return WW_EPROTO;
        } else if (f.number == RPC_CONTROL) {
            c->control = f.bytes;
            continue;
        } else if (f.number == RPC_SUBSCRIPTIONS) {
            got = open_subscription(f.bytes, &item);
            got = got < 0 ? got : 1;
        } else {
            struct ww_gossip_fields fields;
            bool canonical;
            item.kind = WW_GOSSIP_ITEM_PUBLISH;
            item.body = f.bytes;
            got = ww_gossip_msg_decode(f.bytes, &fields, &canonical);
            got = got < 0 ? got : 1;
        }
        if (got < 0)
            return got;
        if (got > 0) {
            *ret_item = item;
            return 1;
        }
    }
}

bool ww_gossip_ids_next(enum ww_gossip_item_kind kind, struct ww_bytes *rest, struct ww_bytes *ret_id)
{
    uint32_t number = kind == WW_GOSSIP_ITEM_IHAVE ? IHAVE_IDS : IWANT_IDS;
    struct ww_protobuf_field f;
    while (ww_protobuf_next(rest, &f) > 0) {
        if (f.number == number && f.wire == WW_PROTOBUF_BYTES) {
            *ret_id = f.bytes;
            return true;
        }
    }
    return false;
}

bool ww_gossip_px_next(struct ww_bytes *rest, struct ww_bytes *ret_peer, struct ww_bytes *ret_record)
{
    struct ww_protobuf_field f;
    struct ww_gossip_px px;
    while (ww_protobuf_next(rest, &f) > 0) {
        if (f.number == PRUNE_PEERS && f.wire == WW_PROTOBUF_BYTES && open_px(f.bytes, &px) == 0) {
            *ret_peer = px.peer;
            *ret_record = px.record;
            return true;
        }
    }
    return false;
}

/* ---- RPCs, out ---- */

ww_err ww_gossip_put_subscription(struct ww_buf *out, struct ww_bytes topic, bool subscribe)
{
    size_t size =
        ww_protobuf_varint_size(SUB_SUBSCRIBE, subscribe) + ww_protobuf_bytes_size(SUB_TOPIC, topic.len);
    uint8_t *room;
    size_t total = ww_protobuf_bytes_size(RPC_SUBSCRIPTIONS, size);
    WW_TRY(ww_buf_reserve(out, total, &room));
    uint8_t *at = put_header(room, RPC_SUBSCRIPTIONS, size);
    at += ww_varint_encode(SUB_SUBSCRIBE << 3 | WW_PROTOBUF_VARINT, at);
    *at++ = subscribe; /* written also when false: readers tell absent from false */
    put_raw(put_header(at, SUB_TOPIC, topic.len), topic);
    ww_buf_commit(out, total);
    return 0;
}

/* Reserves one control entry with a body of `size` bytes. */
static ww_err reserve_entry(struct ww_buf *out, uint32_t number, size_t size, uint8_t **ret_body)
{
    uint8_t *room;
    WW_TRY(ww_buf_reserve(out, ww_protobuf_bytes_size(number, size), &room));
    *ret_body = put_header(room, number, size);
    ww_buf_commit(out, ww_protobuf_bytes_size(number, size));
    return 0;
}

ww_err ww_gossip_put_graft(struct ww_buf *out, struct ww_bytes topic)
{
    uint8_t *at;
    WW_TRY(reserve_entry(out, CTL_GRAFT, ww_protobuf_bytes_size(GRAFT_TOPIC, topic.len), &at));
    put_raw(put_header(at, GRAFT_TOPIC, topic.len), topic);
    return 0;
}

static size_t px_size(const struct ww_gossip_px *px)
{
    return ww_protobuf_bytes_size(PX_PEER, px->peer.len) +
        (px->record.len ? ww_protobuf_bytes_size(PX_RECORD, px->record.len) : 0);
}

ww_err ww_gossip_put_prune(struct ww_buf *out, struct ww_bytes topic, uint64_t backoff_s,
    const struct ww_gossip_px *px, size_t count)
{
    uint8_t *at;
    size_t size = ww_protobuf_bytes_size(PRUNE_TOPIC, topic.len);
    for (size_t i = 0; i < count; i++)
        size += ww_protobuf_bytes_size(PRUNE_PEERS, px_size(&px[i]));
    if (backoff_s)
        size += ww_protobuf_varint_size(PRUNE_BACKOFF, backoff_s);
    WW_TRY(reserve_entry(out, CTL_PRUNE, size, &at));
    at = put_raw(put_header(at, PRUNE_TOPIC, topic.len), topic);
    for (size_t i = 0; i < count; i++) {
        at = put_header(at, PRUNE_PEERS, px_size(&px[i]));
        at = put_raw(put_header(at, PX_PEER, px[i].peer.len), px[i].peer);
        if (px[i].record.len)
            at = put_raw(put_header(at, PX_RECORD, px[i].record.len), px[i].record);
    }
    if (backoff_s) {
        at += ww_varint_encode(PRUNE_BACKOFF << 3 | WW_PROTOBUF_VARINT, at);
        ww_varint_encode(backoff_s, at);
    }
    return 0;
}

static size_t ids_size(uint32_t number, const struct ww_bytes *ids, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += ww_protobuf_bytes_size(number, ids[i].len);
    return size;
}

ww_err ww_gossip_put_ihave(
    struct ww_buf *out, struct ww_bytes topic, const struct ww_bytes *ids, size_t count)
{
    uint8_t *at;
    size_t size = ww_protobuf_bytes_size(IHAVE_TOPIC, topic.len) + ids_size(IHAVE_IDS, ids, count);
    WW_TRY(reserve_entry(out, CTL_IHAVE, size, &at));
    at = put_raw(put_header(at, IHAVE_TOPIC, topic.len), topic);
    for (size_t i = 0; i < count; i++)
        at = put_raw(put_header(at, IHAVE_IDS, ids[i].len), ids[i]);
    return 0;
}

ww_err ww_gossip_put_iwant(struct ww_buf *out, const struct ww_bytes *ids, size_t count)
{
    uint8_t *at;
    WW_TRY(reserve_entry(out, CTL_IWANT, ids_size(IWANT_IDS, ids, count), &at));
    for (size_t i = 0; i < count; i++)
        at = put_raw(put_header(at, IWANT_IDS, ids[i].len), ids[i]);
    return 0;
}

struct ww_slab *ww_gossip_frame_control(struct ww_bytes subscriptions, struct ww_bytes control)
{
    size_t rpc = subscriptions.len + (control.len ? ww_protobuf_bytes_size(RPC_CONTROL, control.len) : 0);
    struct ww_slab *s = ww_slab_new(ww_varint_size(rpc) + rpc);
    if (!s)
        return NULL;
    uint8_t *at = s->data + ww_varint_encode(rpc, s->data);
    at = put_raw(at, subscriptions);
    if (control.len)
        put_raw(put_header(at, RPC_CONTROL, control.len), control);
    return s;
}
