/* Streams over real connections: whose window counts, what happens when the way changes or ends, and what the
 * measuring window makes of a slow wire. */
#include "test/lib/alloc_fail.h"
#include "pair.h"

static struct pair p;
static struct object *far;

static struct ww_cap *make_far(struct ww_rpc_vat *vat)
{
    return object_new(vat, NULL, &far);
}

static int up(void **state)
{
    WW_UNUSED(state);
    pair_init(&p, make_far, false);
    return 0;
}

static int down(void **state)
{
    WW_UNUSED(state);
    pair_fini(&p);
    return 0;
}

struct sender {
    struct ww_rpc_stream stream;
    unsigned ready, drained;
    ww_err err;
};

static void sender_ready(struct ww_rpc_stream *stream)
{
    WW_CONTAINER_OF(stream, struct sender, stream)->ready++;
}

static void sender_drained(struct ww_rpc_stream *stream, ww_err err)
{
    struct sender *s = WW_CONTAINER_OF(stream, struct sender, stream);
    s->drained++;
    s->err = err;
}

static const struct ww_rpc_stream_ops sender_ops = {.ready = sender_ready, .drained = sender_drained};

static void sender_init(struct sender *s, uint64_t window)
{
    *s = (struct sender){0};
    assert_ok(ww_rpc_stream_init(&s->stream, p.a.vat, &sender_ops, window));
}

static ww_err push(struct ww_rpc_stream *s, struct ww_cap *to, uint64_t value, size_t bytes)
{
    struct ww_rpc_request *q;
    assert_ok(ww_rpc_request_new(to, TEST_IFACE, M_STREAM, 3, &q));
    struct ww_sb params = ww_pb_init_struct(ww_rpc_request_params(q), 1, 2);
    ww_sb_set_u64(params, 0, value);
    if (bytes)
        memset(ww_pb_init_data(ww_sb_ptr(params, 1), bytes), 1, bytes);
    return ww_rpc_stream_send_take(s, q);
}

static uint64_t fill(struct ww_rpc_stream *s, struct ww_cap *to, size_t bytes)
{
    ww_err state;
    uint64_t n = 0;
    do {
        state = push(s, to, ++n, bytes);
        assert_true(state >= 0);
    } while (state == WW_RPC_STREAM_OK);
    return n;
}

static struct ww_cap *bootstrap(void)
{
    struct ww_cap *cap;
    assert_ok(ww_rpc_conn_bootstrap(p.a.conn, &cap));
    pair_settle(&p);
    return cap;
}

static void settle_all(struct ww_rpc_stream *s)
{
    far->hold = false;
    pair_settle(&p);
    while (far->later) {
        object_go(far);
        pair_settle(&p);
    }
    assert_int_equal(s->in_flight, 0);
    assert_int_equal(s->in_flight_bytes, 0);
}

/* ---- whose window */

static void window_of_the_connection(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *cap = bootstrap();
    far->hold = true;
    struct sender s;
    ww_rpc_conn_set_stream_window(p.a.conn, 10000);
    sender_init(&s, 0);
    (void)fill(&s.stream, cap, 1000);
    assert_int_equal(s.stream.window_bytes, 10000);
    assert_in_range(s.stream.in_flight_bytes, 10000, 11200);
    ww_rpc_conn_set_stream_window(p.a.conn, 20000); /* streams that run follow */
    assert_int_equal(push(&s.stream, cap, 1, 1000), WW_RPC_STREAM_OK);
    (void)fill(&s.stream, cap, 1000);
    assert_in_range(s.stream.in_flight_bytes, 20000, 21200);
    settle_all(&s.stream);
    assert_int_equal(s.ready, 1);
    ww_rpc_stream_fini(&s.stream);
    ww_cap_unref(cap);
}

static void window_of_the_stream(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *cap = bootstrap();
    far->hold = true;
    ww_rpc_conn_set_stream_window(p.a.conn, 10000);
    struct sender s, t;
    sender_init(&s, 5000);
    (void)fill(&s.stream, cap, 1000);
    assert_in_range(s.stream.in_flight_bytes, 5000, 6200);
    sender_init(&t, WW_RPC_WINDOW_ADAPTIVE);
    (void)fill(&t.stream, cap, 1000);
    assert_in_range(t.stream.in_flight_bytes, 65536, 65536 + 1200); /* where measuring starts */
    settle_all(&s.stream);
    assert_int_equal(t.stream.in_flight, 0);
    ww_rpc_stream_fini(&s.stream);
    ww_rpc_stream_fini(&t.stream);
    ww_cap_unref(cap);
}

/* A message larger than the window leaves, and one more, so that it costs no round trip. */
static void large_message(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *cap = bootstrap();
    far->hold = true;
    struct sender s;
    sender_init(&s, 1000);
    assert_int_equal(push(&s.stream, cap, 1, 50000), WW_RPC_STREAM_OK);
    assert_int_equal(push(&s.stream, cap, 2, 50000), WW_RPC_STREAM_WAIT);
    settle_all(&s.stream);
    assert_int_equal(s.ready, 1);
    ww_rpc_stream_fini(&s.stream);
    ww_cap_unref(cap);
}

static void local_object(void **state)
{
    WW_UNUSED(state);
    struct object *near;
    struct ww_cap *cap = object_new(p.a.vat, NULL, &near);
    struct sender s;
    sender_init(&s, 0);
    near->hold = true;
    uint64_t n = fill(&s.stream, cap, 1000);
    assert_int_equal(s.stream.window_bytes, WW_RPC_WINDOW_DEFAULT);
    near->hold = false;
    pair_settle(&p);
    assert_int_equal(s.ready, 1);
    assert_int_equal(near->seen_count, n);
    assert_int_equal(s.stream.in_flight, 0);
    ww_rpc_stream_fini(&s.stream);
    ww_cap_unref(cap);
}

/* ---- a controller of the application's own: one message at a time, then ten */

struct own {
    struct ww_rpc_flow flow;
    unsigned acked, moved;
    uint64_t bytes;
};

static void own_acked(struct ww_rpc_flow *flow, const struct ww_rpc_flow_sample *sample)
{
    struct own *o = WW_CONTAINER_OF(flow, struct own, flow);
    o->acked++;
    o->bytes += sample->acked_bytes;
    flow->window_bytes = 10 * sample->message_bytes;
}

static void own_moved(struct ww_rpc_flow *flow)
{
    WW_CONTAINER_OF(flow, struct own, flow)->moved++;
}

static void own_controller(void **state)
{
    WW_UNUSED(state);
    static const struct ww_rpc_flow_ops ops = {.acked = own_acked, .moved = own_moved};
    struct own own = {.flow = {.ops = &ops, .window_bytes = 1}};
    struct ww_cap *cap = bootstrap();
    struct sender s;
    sender_init(&s, 0);
    ww_rpc_stream_set_flow(&s.stream, &own.flow);
    assert_int_equal(push(&s.stream, cap, 1, 1000), WW_RPC_STREAM_WAIT);
    uint64_t one = s.stream.in_flight_bytes;
    settle_all(&s.stream);
    assert_int_equal(s.ready, 1);
    assert_int_equal(own.acked, 1);
    assert_int_equal(own.moved, 1);
    assert_int_equal(own.bytes, one);
    assert_int_equal(fill(&s.stream, cap, 1000), 10);
    ww_rpc_stream_set_flow(&s.stream, NULL);
    settle_all(&s.stream);
    assert_int_equal(own.acked, 1);
    ww_rpc_stream_fini(&s.stream);
    ww_cap_unref(cap);
}

/* ---- the way changes */

static void promise_resolves(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *cap = bootstrap(), *promise, *near_cap;
    struct object *near;
    ww_rpc_conn_set_stream_window(p.a.conn, 20000);
    struct sender s;
    sender_init(&s, 0);
    struct ww_cap_resolver *resolver;
    assert_ok(ww_cap_new_promise(p.a.vat, &promise, &resolver));
    assert_int_equal(push(&s.stream, promise, 1, 1000), WW_RPC_STREAM_OK);
    assert_int_equal(s.stream.window_bytes, WW_RPC_WINDOW_DEFAULT);
    ww_cap_resolver_resolve(resolver, cap);
    assert_int_equal(push(&s.stream, promise, 2, 1000), WW_RPC_STREAM_OK);
    assert_int_equal(s.stream.window_bytes, 20000);
    near_cap = object_new(p.a.vat, NULL, &near);
    assert_int_equal(push(&s.stream, near_cap, 3, 1000), WW_RPC_STREAM_OK);
    assert_int_equal(s.stream.window_bytes, WW_RPC_WINDOW_DEFAULT);
    assert_int_equal(s.stream.in_flight, 3);
    settle_all(&s.stream);
    assert_int_equal(far->seen_count, 2);
    assert_int_equal(near->seen_count, 1);
    ww_rpc_stream_fini(&s.stream);
    ww_cap_unref(promise);
    ww_cap_unref(near_cap);
    ww_cap_unref(cap);
}

/* A stream on a pipelined capability keeps what it measured when the promise settles on the same connection.
 */
static void promise_stays(void **state)
{
    WW_UNUSED(state);
    static const struct ww_rpc_flow_ops ops = {.acked = own_acked, .moved = own_moved};
    struct own own = {.flow = {.ops = &ops, .window_bytes = 1 << 20}};
    struct ww_cap *cap = bootstrap();
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *q = call_send(cap, M_NEW, 0, NULL, &o);
    struct ww_cap *made = pipeline(q, 0);
    struct sender s;
    sender_init(&s, 0);
    ww_rpc_stream_set_flow(&s.stream, &own.flow);
    assert_int_equal(push(&s.stream, made, 1, 1000), WW_RPC_STREAM_OK);
    settle_all(&s.stream);
    assert_int_equal(push(&s.stream, made, 2, 1000), WW_RPC_STREAM_OK);
    settle_all(&s.stream);
    assert_int_equal(own.moved, 1);
    assert_true(own.acked >= 1);
    ww_rpc_stream_fini(&s.stream);
    ww_cap_unref(made);
    ww_rpc_request_free(q);
    ww_cap_unref(cap);
}

/* ---- the end */

static void waiting_sender_learns(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *cap = bootstrap();
    far->hold = true;
    struct sender s;
    sender_init(&s, 5000);
    (void)fill(&s.stream, cap, 1000);
    ww_rpc_conn_lost(p.a.conn, WW_ECLOSED);
    while (ww_rpc_vat_run(p.a.vat, ++p.now_ns, 0))
        ;
    assert_int_equal(s.ready, 1);
    assert_int_equal(s.stream.err, WW_EDISCONNECTED);
    assert_int_equal(push(&s.stream, cap, 1, 1), WW_EDISCONNECTED);
    ww_rpc_stream_finish(&s.stream);
    while (ww_rpc_vat_run(p.a.vat, ++p.now_ns, 0))
        ;
    assert_int_equal(s.drained, 1);
    assert_int_equal(s.err, WW_EDISCONNECTED);
    ww_rpc_stream_fini(&s.stream);
    ww_cap_unref(cap);
}

static void ended_while_waiting(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *cap = bootstrap();
    struct sender s;
    sender_init(&s, 5000);
    uint64_t n = fill(&s.stream, cap, 1000);
    ww_rpc_stream_fini(&s.stream);
    pair_settle(&p); /* what was sent arrives all the same */
    assert_int_equal(far->seen_count, n);
    assert_int_equal(s.ready, 0);
    ww_cap_unref(cap);
}

static void hard_cap(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *cap = bootstrap();
    far->hold = true;
    struct sender s;
    sender_init(&s, 4 << 20);
    ww_err err = 0;
    uint64_t bytes = 0;
    while (err >= 0 && bytes < 64 << 20) {
        err = push(&s.stream, cap, 1, 1 << 20);
        bytes += 1 << 20;
    }
    assert_int_equal(err, WW_EOVERLOADED);
    assert_in_range(bytes, 20 << 20, 22 << 20); /* the window and 16 MiB */
    assert_string_equal(s.stream.reason, "the stream's window was ignored");
    settle_all(&s.stream);
    assert_int_equal(push(&s.stream, cap, 1, 1), WW_EOVERLOADED);
    ww_rpc_stream_fini(&s.stream);
    ww_cap_unref(cap);
}

static ww_err without_memory(void *ctx)
{
    WW_UNUSED(ctx);
    struct ww_rpc_vat *vat;
    WW_TRY(ww_rpc_vat_new(NULL, &vat));
    struct ww_rpc_stream s;
    ww_err err = ww_rpc_stream_init(&s, vat, &sender_ops, 0);
    if (err == 0)
        ww_rpc_stream_fini(&s);
    ww_rpc_vat_free(vat);
    return err;
}

static void out_of_memory(void **state)
{
    WW_UNUSED(state);
    assert_true(alloc_fail_run(without_memory, NULL) > 0);
}

/* ---- a slow wire under a real connection */

struct wire {
    uint64_t rate, delay_ns; /* bytes a second; one way */
    uint64_t free_ns;        /* when the wire has sent what it was given */
    size_t head, count;
    uint64_t given; /* bytes, ever */
    struct {
        uint64_t at_ns;
        size_t len;
        uint8_t *data;
    } parts[1 << 14];
};

static void wire_take(struct wire *w, struct ww_rpc_conn *from, uint64_t now_ns)
{
    struct ww_bytes view;
    while (ww_rpc_conn_pull(from, &view, 1) > 0) {
        size_t n = view.len < 1500 ? view.len : 1500;
        assert_true(w->count < WW_COUNT_OF(w->parts));
        size_t i = (w->head + w->count++) % WW_COUNT_OF(w->parts);
        if (w->free_ns < now_ns)
            w->free_ns = now_ns;
        w->free_ns += n * WW_NS_PER_S / w->rate;
        w->parts[i].at_ns = w->free_ns + w->delay_ns;
        w->parts[i].len = n;
        w->parts[i].data = ww_alloc(n);
        assert_non_null(w->parts[i].data);
        memcpy(w->parts[i].data, view.ptr, n);
        ww_rpc_conn_pulled(from, n);
    }
}

static uint64_t wire_next(const struct wire *w)
{
    return w->count ? w->parts[w->head].at_ns : UINT64_MAX;
}

static void wire_give(struct wire *w, struct ww_rpc_conn *to, uint64_t now_ns)
{
    while (wire_next(w) <= now_ns) {
        assert_ok(ww_rpc_conn_feed(to, ww_bytes(w->parts[w->head].data, w->parts[w->head].len)));
        w->given += w->parts[w->head].len;
        ww_free(w->parts[w->head].data);
        w->head = (w->head + 1) % WW_COUNT_OF(w->parts);
        w->count--;
    }
}

struct slow {
    struct sender s; /* first */
    struct ww_cap *cap;
    uint64_t sent;
    size_t message;
    bool stop;
};

static void slow_ready(struct ww_rpc_stream *stream)
{
    struct slow *s = (struct slow *)(void *)stream;
    while (!s->stop && push(stream, s->cap, ++s->sent, s->message) == WW_RPC_STREAM_OK)
        ;
}

static void slow_wire(uint64_t rate, uint64_t rtt_ns, size_t message)
{
    static const struct ww_rpc_stream_ops ops = {.ready = slow_ready, .drained = sender_drained};
    static struct wire out, back;
    out = (struct wire){.rate = rate, .delay_ns = rtt_ns / 2};
    back = (struct wire){.rate = rate, .delay_ns = rtt_ns / 2};
    struct slow s = {.cap = bootstrap(), .message = message};
    assert_ok(ww_rpc_stream_init(&s.s.stream, p.a.vat, &ops, 0));
    uint64_t start = WW_NS_PER_S, now = start, end = start + 60 * rtt_ns + 40 * 65536 * WW_NS_PER_S / rate;
    uint64_t half = start + (end - start) / 2, seen = 0;
    double queue = 0;
    uint64_t since = 0;
    (void)ww_rpc_vat_run(p.a.vat, now, 0);
    slow_ready(&s.s.stream);
    while (s.s.stream.in_flight > 0) {
        (void)ww_rpc_vat_run(p.a.vat, now, 0);
        wire_take(&out, p.a.conn, now);
        uint64_t next = wire_next(&out) < wire_next(&back) ? wire_next(&out) : wire_next(&back);
        assert_true(next != UINT64_MAX);
        if (now >= half && now < end) {
            if (!seen) {
                seen = out.given;
                since = now;
            }
            uint64_t waits = out.free_ns > now ? out.free_ns - now : 0;
            queue += (double)waits * (double)rate / 1e9 * (double)(next - now);
        }
        if (next >= end && !s.stop) {
            double took = (double)(now - since) / 1e9, bytes = (double)(out.given - seen);
            double bdp = (double)rate * (double)rtt_ns / 1e9;
            if (bytes / took < 0.9 * (double)rate || queue / took / 1e9 > 2 * bdp + (double)message + 4096)
                fail_msg("%.3f of the bandwidth, queue %.0f, product %.0f", bytes / took / (double)rate,
                    queue / took / 1e9, bdp);
            s.stop = true;
        }
        now = next;
        wire_give(&out, p.b.conn, now);
        (void)ww_rpc_vat_run(p.b.vat, now, 0);
        wire_take(&back, p.b.conn, now);
        wire_give(&back, p.a.conn, now);
    }
    p.now_ns = now;
    ww_rpc_stream_fini(&s.s.stream);
    ww_cap_unref(s.cap);
    pair_settle(&p);
}

static void slow_wires(void **state)
{
    WW_UNUSED(state);
    slow_wire(1250000, 20 * WW_NS_PER_MS, 4000);
    slow_wire(125000, 100 * WW_NS_PER_MS, 1000);
    slow_wire(12500000, 10 * WW_NS_PER_MS, 16384);
    slow_wire(125000000, 2 * WW_NS_PER_MS, 65536);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, up, down)
    const struct CMUnitTest tests[] = {T(window_of_the_connection), T(window_of_the_stream), T(large_message),
        T(local_object), T(own_controller), T(promise_resolves), T(promise_stays), T(waiting_sender_learns),
        T(ended_while_waiting), T(hard_cap), cmocka_unit_test(out_of_memory), T(slow_wires)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
