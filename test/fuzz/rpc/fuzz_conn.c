/* Two connections of one vat with a hostile peer each, and an application that does what the input says.
 * Every message is well formed; ids come from small pools, so that they often hit. After each step the
 * invariants are checked; at the end nothing may be left. */
#include <stdio.h>
#include <stdlib.h>

#include "hostile.h"

enum { HANDS = 6, CONNS = 2, PROMISES = 64 };

struct input {
    struct hostile hostile; /* says what the peers send */
    const uint8_t *at, *end;
};

static uint8_t take(struct input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

static uint8_t hostile_take(struct hostile *hostile)
{
    return take(WW_CONTAINER_OF(hostile, struct input, hostile));
}

struct world {
    struct ww_rpc_vat *vat;
    struct ww_rpc_conn *conn[CONNS];
    struct ww_budget budget[CONNS];
    struct ww_rpc_server server;
    struct ww_rpc_cancel cancel;
    struct ww_cap *object;
    struct ww_cap *hand[HANDS];
    struct ww_rpc_request *request[HANDS];
    struct ww_rpc_call *pending[HANDS];
    struct ww_cap_resolver *resolver[PROMISES];
    unsigned resolver_count;
    struct ww_rpc_stream stream;
    bool ending;
    uint8_t mood; /* what the object does with the next call */
    struct ww_msg out;
};

static struct ww_cap **hand(struct world *w, struct input *in)
{
    return &w->hand[take(in) % HANDS];
}

static void hand_set(struct ww_cap **slot, struct ww_cap *cap)
{
    struct ww_cap *old = *slot;
    *slot = ww_cap_ref(cap);
    ww_cap_unref(old);
}

static void canceled(struct ww_rpc_cancel *cancel, struct ww_rpc_call *call)
{
    WW_UNUSED(cancel);
    if (!ww_rpc_call_is_canceled(call))
        abort();
}

static void fill(struct world *w, struct ww_pb at, uint8_t choice)
{
    struct ww_sb sb = ww_pb_init_struct(at, 1, 3);
    for (uint32_t i = 0; i < 3; i++)
        ww_pb_set_cap(ww_sb_ptr(sb, i), w->hand[(choice + i) % HANDS]);
}

static void dispatch(struct ww_rpc_server *self, struct ww_rpc_call *call)
{
    struct world *w = WW_CONTAINER_OF(self, struct world, server);
    struct ww_sr params = ww_pr_struct(ww_rpc_call_params(call));
    uint8_t mood = w->mood++;
    if (w->ending) {
        ww_rpc_call_return(call);
        return;
    }
    hand_set(&w->hand[mood % HANDS], ww_pr_cap(ww_sr_ptr(params, mood % 3)));
    if (mood & 16 && mood % 8 != 1) /* a stream that waits for a call on its own object waits for ever */
        ww_rpc_call_set_streaming(call);
    if (mood & 32)
        ww_rpc_call_on_cancel(call, &w->cancel);
    struct ww_rpc_request *r;
    struct ww_rpc_call **slot = &w->pending[mood % HANDS];
    switch (mood % 8) {
    case 0:
        ww_rpc_call_fail(call, WW_EFAILED, "mood");
        break;
    case 1:
        if (w->hand[mood % HANDS] && ww_rpc_request_new(w->hand[mood % HANDS], 1, 1, 0, &r) == 0) {
            ww_pb_set(ww_rpc_request_params(r), ww_rpc_call_params(call));
            ww_rpc_call_forward_take(call, r);
            break;
        }
        ww_rpc_call_return(call);
        break;
    case 2:
    case 3:
        if (!*slot) {
            *slot = call;
            break;
        }
        ww_rpc_call_return(call);
        break;
    case 4:
        ww_pb_set(ww_rpc_call_results(call, 0), ww_rpc_call_params(call));
        ww_rpc_call_return(call);
        break;
    default:
        fill(w, ww_rpc_call_results(call, 4), mood);
        ww_rpc_call_return(call);
    }
}

static const struct ww_rpc_server_ops object_ops = {.dispatch = dispatch};

/* ---- the peers' messages */

static struct ww_sb begin(struct world *w, uint16_t tag, uint16_t data_words, uint16_t ptrs)
{
    ww_msg_reset(&w->out);
    struct ww_sb msg = ww_pb_init_struct(ww_msg_root_builder(&w->out), 1, 1);
    ww_sb_set_u16(msg, 0, tag);
    return ww_pb_init_struct(ww_sb_ptr(msg, 0), data_words, ptrs);
}

static void put_payload(struct input *in, struct ww_pb at)
{
    struct ww_sb payload = ww_pb_init_struct(at, 0, 2);
    struct ww_sb content = ww_pb_init_struct(ww_sb_ptr(payload, 0), 1, 3);
    uint32_t n = take(in) % 4;
    hostile_caps(&in->hostile, payload, content, n);
    if (take(in) % 8 == 7 && n > 0)
        ww_le64_store(ww_sb_ptr(payload, 0).at, 3); /* the content is a capability itself */
}

static void put_message(struct world *w, struct input *in)
{
    struct ww_sb sb;
    switch (take(in) % 10) {
    case 0:
        ww_sb_set_u32(begin(w, WW_RPC_BOOTSTRAP, 1, 1), 0, hostile_id(&in->hostile));
        break;
    case 1:
    case 2: {
        sb = begin(w, WW_RPC_CALL, 3, 3);
        ww_sb_set_u32(sb, 0, hostile_id(&in->hostile));
        uint8_t how = take(in);
        ww_sb_set_u16(sb, 3, how % 8 == 7);
        ww_sb_set_bool(sb, 129, how & 32);
        ww_sb_set_bool(sb, 130, how & 64);
        hostile_target(&in->hostile, ww_sb_ptr(sb, 0));
        put_payload(in, ww_sb_ptr(sb, 1));
        break;
    }
    case 3:
    case 4: {
        sb = begin(w, WW_RPC_RETURN, 2, 1);
        ww_sb_set_u32(sb, 0, hostile_id(&in->hostile));
        uint8_t bits = take(in), tag = take(in);
        ww_sb_set_bool(sb, 32, bits & 1);
        ww_sb_set_bool(sb, 33, bits & 2);
        ww_sb_set_u16(sb, 3, tag < 200 ? 0 : tag % 6);
        if (tag < 200)
            put_payload(in, ww_sb_ptr(sb, 0));
        else
            ww_sb_set_u32(sb, 2, hostile_id(&in->hostile));
        break;
    }
    case 5: {
        sb = begin(w, WW_RPC_FINISH, 1, 0);
        ww_sb_set_u32(sb, 0, hostile_id(&in->hostile));
        uint8_t bits = take(in);
        ww_sb_set_bool(sb, 32, bits & 1);
        ww_sb_set_bool(sb, 33, bits & 2);
        break;
    }
    case 6:
        sb = begin(w, WW_RPC_RESOLVE, 1, 1);
        ww_sb_set_u32(sb, 0, hostile_id(&in->hostile));
        ww_sb_set_u16(sb, 2, take(in) % 8 == 7);
        hostile_desc(&in->hostile, ww_pb_init_struct(ww_sb_ptr(sb, 0), 1, 1));
        break;
    case 7:
        sb = begin(w, WW_RPC_RELEASE, 1, 0);
        ww_sb_set_u32(sb, 0, hostile_id(&in->hostile));
        ww_sb_set_u32(sb, 1, take(in) % 3);
        break;
    case 8:
        sb = begin(w, WW_RPC_DISEMBARGO, 1, 2);
        ww_sb_set_u32(sb, 0, hostile_id(&in->hostile));
        ww_sb_set_u16(sb, 2, take(in) % 9 == 8 ? 2 : take(in) & 1);
        hostile_target(&in->hostile, ww_sb_ptr(sb, 0));
        break;
    default:
        sb = begin(w, WW_RPC_UNIMPLEMENTED, 1, 1);
        ww_sb_set_u16(sb, 0, take(in) % 15);
        ww_sb_set_u32(ww_pb_init_struct(ww_sb_ptr(sb, 0), 1, 1), 0, hostile_id(&in->hostile));
    }
}

static void peer_says(struct world *w, struct input *in)
{
    static uint8_t frame[8192];
    struct ww_rpc_conn *conn = w->conn[take(in) % CONNS];
    if (!conn)
        return;
    put_message(w, in);
    size_t n = ww_msg_frame_bytes(&w->out);
    if (n > sizeof frame)
        abort();
    ww_msg_frame_write(&w->out, frame);
    ww_err err = ww_rpc_conn_feed(conn, ww_bytes(frame, n));
    WW_UNUSED(err);
}

/* ---- the application */

static void app_call(struct world *w, struct input *in)
{
    struct ww_cap *target = *hand(w, in);
    struct ww_rpc_request **slot = &w->request[take(in) % HANDS];
    uint8_t how = take(in);
    struct ww_rpc_request *r;
    if (ww_rpc_request_new(target, how, how % 3, 0, &r) < 0)
        return;
    fill(w, ww_rpc_request_params(r), how);
    if (how % 8 == 7) {
        ww_rpc_request_send_take(r);
    } else if (how % 8 == 6) {
        ww_err err = ww_rpc_stream_send_take(&w->stream, r);
        WW_UNUSED(err);
    } else {
        ww_rpc_request_free(*slot);
        *slot = r;
        if (how % 8 == 5)
            ww_rpc_request_no_pipeline(r);
        if (how % 8 == 4)
            ww_rpc_request_send_for_pipeline(r);
        else
            ww_rpc_request_send(r, NULL);
    }
}

static void app_pipeline(struct world *w, struct input *in)
{
    struct ww_rpc_request *r = w->request[take(in) % HANDS];
    struct ww_cap **slot = hand(w, in);
    uint16_t path[2] = {take(in) % 4, take(in) % 4};
    struct ww_cap *cap;
    if (!r || ww_rpc_request_pipeline(r, path, take(in) % 3, &cap) < 0)
        return;
    hand_set(slot, cap);
    ww_cap_unref(cap);
}

static struct ww_cap_resolver *resolver_take(struct world *w, struct input *in)
{
    struct ww_cap_resolver **slot = &w->resolver[take(in) % w->resolver_count], *resolver = *slot;
    *slot = w->resolver[--w->resolver_count];
    return resolver;
}

static void app_promise(struct world *w, struct input *in)
{
    struct ww_cap **slot = hand(w, in), *cap;
    switch (take(in) % 4) {
    case 0:
        if (w->resolver_count < PROMISES &&
            ww_cap_new_promise(w->vat, &cap, &w->resolver[w->resolver_count]) == 0) {
            hand_set(slot, cap);
            ww_cap_unref(cap);
            w->resolver_count++;
        }
        break;
    case 1:
        if (w->resolver_count > 0)
            ww_cap_resolver_resolve(resolver_take(w, in), *slot);
        break;
    case 2:
        if (w->resolver_count > 0 && take(in) & 1)
            ww_cap_resolver_reject(resolver_take(w, in), WW_EFAILED, "rejected");
        else if (w->resolver_count > 0)
            ww_cap_resolver_free(resolver_take(w, in));
        break;
    default:
        hand_set(slot, take(in) & 1 ? w->object : NULL);
    }
}

static void app_complete(struct world *w, struct input *in)
{
    struct ww_rpc_call **slot = &w->pending[take(in) % HANDS], *call = *slot;
    uint8_t how = take(in);
    if (!call)
        return;
    static const uint16_t path[1] = {0};
    *slot = NULL;
    if (how % 4 == 0) {
        ww_rpc_call_fail(call, WW_EOVERLOADED, "late");
        return;
    }
    struct ww_rpc_request *r;
    /* A stream call that is forwarded may come to wait for one behind it, for ever. */
    if (how % 4 == 2 && !call->streaming && w->hand[how % HANDS] &&
        ww_rpc_request_new(w->hand[how % HANDS], 1, 1, 0, &r) == 0) {
        fill(w, ww_rpc_request_params(r), how);
        ww_rpc_call_forward_take(call, r);
        return;
    }
    if (how % 4 == 1) {
        ww_err err = ww_rpc_call_set_pipeline(call, path, 1, w->hand[how % HANDS]);
        WW_UNUSED(err);
    }
    fill(w, ww_rpc_call_results(call, 0), how);
    ww_rpc_call_return(call);
}

static void app_bootstrap(struct world *w, struct input *in)
{
    struct ww_rpc_conn *conn = w->conn[take(in) % CONNS];
    struct ww_cap **slot = hand(w, in), *cap;
    if (!conn || ww_rpc_conn_bootstrap(conn, &cap) < 0)
        return;
    hand_set(slot, cap);
    ww_cap_unref(cap);
}

static void step(struct world *w, struct input *in)
{
    switch (take(in) % 16) {
    case 0:
        app_call(w, in);
        break;
    case 1:
        app_pipeline(w, in);
        break;
    case 2:
        app_promise(w, in);
        break;
    case 3:
        app_complete(w, in);
        break;
    case 4: {
        struct ww_rpc_request **slot = &w->request[take(in) % HANDS];
        ww_rpc_request_free(*slot);
        *slot = NULL;
        break;
    }
    case 5:
        hand_set(hand(w, in), NULL);
        break;
    case 6:
        app_bootstrap(w, in);
        break;
    case 7:
        w->mood = take(in);
        break;
    case 8:
        if (take(in) == 255 && w->conn[1]) {
            ww_rpc_conn_free(w->conn[1]);
            w->conn[1] = NULL;
        }
        break;
    case 9:
    case 10:
        ww_rpc_vat_run(w->vat, (uint64_t)(in->end - in->at), take(in) % 4 + 1);
        break;
    default:
        peer_says(w, in);
    }
}

static void check(struct world *w)
{
    struct ww_diag diag;
    for (int i = 0; i < CONNS; i++) {
        struct ww_bytes view;
        while (w->conn[i] && ww_rpc_conn_pull(w->conn[i], &view, 1))
            ww_rpc_conn_pulled(w->conn[i], view.len);
        if (w->conn[i] && ww_rpc_conn_check(w->conn[i], &diag) < 0) {
            fprintf(stderr, "invariant %s\n", diag.text);
            abort();
        }
    }
}

static void world_fini(struct world *w)
{
    w->ending = true;
    ww_rpc_stream_fini(&w->stream);
    for (int i = 0; i < HANDS; i++) {
        ww_rpc_request_free(w->request[i]);
        if (w->pending[i])
            ww_rpc_call_fail(w->pending[i], WW_EFAILED, "the end");
        w->pending[i] = NULL;
    }
    while (w->resolver_count > 0)
        ww_cap_resolver_free(w->resolver[--w->resolver_count]);
    for (int i = 0; i < CONNS; i++)
        ww_rpc_conn_free(w->conn[i]);
    ww_cap_unref(w->object);
    for (int i = 0; i < HANDS; i++)
        hand_set(&w->hand[i], NULL);
    while (ww_rpc_vat_run(w->vat, 0, 0))
        ;
    for (int i = 0; i < CONNS; i++) {
        for (int res = 0; res < WW_RES_COUNT; res++) {
            if (w->budget[i].used[res] != 0)
                abort();
        }
    }
    ww_msg_fini(&w->out);
    ww_rpc_vat_free(w->vat);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct ww_rpc_stream_ops stream_ops = {0};
    struct input in = {{hostile_take, 5, 4, 17, false}, data, data + size};
    struct world w = {.server.ops = &object_ops, .cancel.canceled = canceled};
    struct ww_rpc_vat_config config = {.limits = {.message_bytes = 1 << 16,
                                           .inbound_bytes = 4096, /* so that calls are held back */
                                           .embargoes = 8,
                                           .queued_calls = 16,
                                           .questions = 64,
                                           .answers = 64}};
    ww_msg_init(&w.out, NULL);
    if (ww_rpc_vat_new(&config, &w.vat) < 0 || ww_cap_new_server(w.vat, &w.server, &w.object) < 0 ||
        ww_rpc_stream_init(&w.stream, w.vat, &stream_ops, 4096) < 0)
        abort();
    for (int i = 0; i < CONNS; i++) {
        ww_budget_init(&w.budget[i], NULL);
        struct ww_rpc_conn_config c = {.bootstrap = w.object, .budget = &w.budget[i], .tail_calls = i == 0};
        if (ww_rpc_conn_new(w.vat, &c, &w.conn[i]) < 0)
            abort();
    }
    while (in.at < in.end) {
        step(&w, &in);
        check(&w);
    }
    world_fini(&w);
    return 0;
}
