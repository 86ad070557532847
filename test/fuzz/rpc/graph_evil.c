/* The malicious vat: messages that follow the grammar and nothing else, and good messages made bad. */
#include "graph.h"
#include "hostile.h"

struct dice {
    struct hostile hostile;
    struct world *w;
    const uint8_t *at;
    unsigned used;
};

static uint8_t take(struct dice *d)
{
    if (d->used < STEP_BYTES - 4)
        return d->at[d->used++];
    return (uint8_t)graph_random(&d->w->random);
}

static uint8_t hostile_take(struct hostile *hostile)
{
    return take(WW_CONTAINER_OF(hostile, struct dice, hostile));
}

static void put_payload(struct dice *d, struct ww_pb at)
{
    struct ww_sb payload = ww_pb_init_struct(at, 0, 2);
    struct ww_sb content = ww_pb_init_struct(ww_sb_ptr(payload, 0), 2, CAPS);
    uint32_t n = take(d) % 4;
    ww_sb_set_u64(content, 1, graph_random(&d->w->random));
    hostile_caps(&d->hostile, payload, content, n);
}

static void put_exception(struct ww_pb at)
{
    struct ww_sb exc = ww_pb_init_struct(at, 1, 2);
    ww_sb_set_u16(exc, 2, 7);
    ww_pb_set_text(ww_sb_ptr(exc, 0), WW_BYTES_LIT("malice"));
}

static void put_return(struct dice *d, struct ww_sb sb)
{
    uint16_t tag = take(d) % 12;
    ww_sb_set_u32(sb, 0, hostile_id(&d->hostile));
    ww_sb_set_u16(sb, 3, tag < 7 ? tag : WW_RPC_RETURN_RESULTS);
    ww_sb_set_bool(sb, 32, take(d) & 1);
    ww_sb_set_bool(sb, 33, take(d) % 4 == 0);
    if (tag == 0 || tag > 6)
        put_payload(d, ww_sb_ptr(sb, 0));
    else if (tag == WW_RPC_RETURN_EXCEPTION)
        put_exception(ww_sb_ptr(sb, 0));
    else
        ww_sb_set_u32(sb, 2, hostile_id(&d->hostile));
}

static void put_body(struct dice *d, struct ww_pb at, uint16_t tag)
{
    struct ww_sb sb = ww_pb_init_struct(at, 3, 3);
    ww_sb_set_u32(sb, 0, hostile_id(&d->hostile));
    switch (tag) {
    case WW_RPC_CALL:
        ww_sb_set_u16(sb, 2, take(d) % 8 == 0);
        ww_sb_set_u16(sb, 3, take(d) % 8 == 0 ? take(d) % 3 : 0);
        hostile_target(&d->hostile, ww_sb_ptr(sb, 0));
        put_payload(d, ww_sb_ptr(sb, 1));
        break;
    case WW_RPC_RETURN:
        put_return(d, sb);
        break;
    case WW_RPC_FINISH:
        ww_sb_set_bool(sb, 32, take(d) & 1);
        ww_sb_set_bool(sb, 33, take(d) & 1);
        break;
    case WW_RPC_RESOLVE:
        ww_sb_set_u16(sb, 2, take(d) % 4 == 0);
        if (ww_sb_u16(sb, 2))
            put_exception(ww_sb_ptr(sb, 0));
        else
            hostile_desc(&d->hostile, ww_pb_init_struct(ww_sb_ptr(sb, 0), 1, 1));
        break;
    case WW_RPC_RELEASE:
        ww_sb_set_u32(sb, 1, 1 + take(d) % 2);
        break;
    case WW_RPC_DISEMBARGO:
        ww_sb_set_u16(sb, 2, take(d) % 5);
        hostile_target(&d->hostile, ww_sb_ptr(sb, 0));
        break;
    case WW_RPC_ABORT:
        put_exception(at);
        break;
    default: /* level 3, levels of our own, an echo of something */
        hostile_target(&d->hostile, ww_sb_ptr(sb, 0));
        ww_sb_set_u32(sb, 1, hostile_id(&d->hostile));
    }
}

static struct side *victim(struct world *w, uint8_t which)
{
    for (unsigned i = 0; i < w->links; i++) {
        struct link *link = &w->link[(i + which) % w->links];
        if (!link->good)
            return &link->side[0];
    }
    return NULL;
}

/* Kept for the malicious vat; without its mark, or it could pass for the call that it is a copy of. */
void evil_record(struct world *w, struct ww_bytes frame)
{
    unsigned at = w->replays++ % 8;
    if (!w->evil || frame.len > sizeof w->replay[0])
        return;
    memcpy(w->replay[at], frame.ptr, frame.len);
    w->replay_len[at] = frame.len;
    for (size_t i = 0; i + 8 <= frame.len; i += 8) {
        if (ww_le64_load(w->replay[at] + i) >> 32 == NONCE_MAGIC)
            ww_le64_store(w->replay[at] + i, 0);
    }
}

static size_t replay_changed(struct world *w, struct dice *d, uint8_t *out)
{
    unsigned at = take(d) % 8;
    size_t n = w->replay_len[at];
    memcpy(out, w->replay[at], n);
    for (unsigned i = take(d) % 4; i > 0 && n > 8; i--)
        out[8 + (take(d) * 7u + take(d)) % (n - 8)] ^= (uint8_t)(1u << take(d) % 8);
    return n;
}

/* Mostly what has an effect. */
static uint16_t tag_of(uint8_t how)
{
    static const uint8_t tags[16] = {WW_RPC_CALL, WW_RPC_CALL, WW_RPC_CALL, WW_RPC_CALL, WW_RPC_BOOTSTRAP,
        WW_RPC_BOOTSTRAP, WW_RPC_RETURN, WW_RPC_RETURN, WW_RPC_RETURN, WW_RPC_FINISH, WW_RPC_FINISH,
        WW_RPC_RESOLVE, WW_RPC_RESOLVE, WW_RPC_RELEASE, WW_RPC_DISEMBARGO, 0};
    if (how % 16 < 15)
        return tags[how % 16];
    static const uint8_t odd[16] = {0, 0, 0, 1, 7, 9, 10, 11, 12, 14, 15, 16, 17, 13, 13, 5};
    return odd[how / 16];
}

void evil_step(struct world *w, const struct step *step)
{
    static uint8_t frame[16384];
    struct side *side = victim(w, step->vat);
    if (!side || !side->conn || !ww_rpc_conn_is_open(side->conn))
        return;
    struct dice d = {{hostile_take, 6, 5, 33, true}, w, step->arg + 2, 0};
    size_t n;
    graph_alloc_spare(true);
    if (step->arg[0] % 4 == 0) {
        n = replay_changed(w, &d, frame);
    } else {
        ww_msg_reset(&w->out);
        struct ww_sb msg = ww_pb_init_struct(ww_msg_root_builder(&w->out), 1, 1);
        uint16_t tag = tag_of(step->arg[1]);
        ww_sb_set_u16(msg, 0, tag);
        if (tag == WW_RPC_UNIMPLEMENTED) {
            struct ww_sb echo = ww_pb_init_struct(ww_sb_ptr(msg, 0), 1, 1);
            uint16_t inner = tag_of(take(&d));
            ww_sb_set_u16(echo, 0, inner);
            put_body(&d, ww_sb_ptr(echo, 0), inner);
        } else {
            put_body(&d, ww_sb_ptr(msg, 0), tag);
        }
        n = ww_msg_frame_bytes(&w->out);
        if (n > sizeof frame)
            graph_fail(w, "test: a message that is too long");
        ww_msg_frame_write(&w->out, frame);
    }
    graph_alloc_spare(false);
    graph_log(w, "    malice: %zu bytes", n);
    ww_err err = ww_rpc_conn_feed(side->conn, ww_bytes(frame, n));
    WW_UNUSED(err);
}
