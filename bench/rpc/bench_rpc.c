/* bench_rpc [MS [TRANSPORT]]: what calls cost (see cases.h): on an object of the same vat, on one of another
 * vat over memory, and on one in another process over a unix socket and TCP, with generated code and the loop
 * of ww/rpc_fd.h, as an application would. `bench_rpc count TRANSPORT CASE N` does a case so often and prints
 * nothing, for those who count system calls. Prints one JSON object a line; bench_rpc_cxx prints the same
 * names for the C++ implementation. */
#include "bench_rpc.h"
#include "cases.h"

struct flight {
    struct ww_rpc_wait wait;
    struct bench *bench;
};

static void ping_done(struct ww_rpc_wait *wait, struct ww_rpc_request *request)
{
    struct flight *f = WW_CONTAINER_OF(wait, struct flight, wait);
    must(ww_rpc_request_status(request));
    f->bench->completed += bench_rpc_Bench_ping_results_n(bench_rpc_Bench_ping_results(request)) == 1;
    ww_rpc_request_free(request);
}

static void ping_send(struct bench *b, struct ww_cap *to, struct flight *f)
{
    struct ww_rpc_request *r;
    struct bench_rpc_Bench_ping_params_b params;
    must(bench_rpc_Bench_ping_request(to, &r, &params));
    bench_rpc_Bench_ping_params_set_n(params, 1);
    *f = (struct flight){{ping_done}, b};
    ww_rpc_request_send(r, &f->wait);
}

/* Runs until `count` more have come back than at `before`. */
static void await(struct bench *b, uint64_t before, uint64_t count)
{
    while (b->completed < before + count)
        b->turn(b);
}

static void pings(struct bench *b, unsigned depth, uint64_t count)
{
    static struct flight flights[256];
    for (uint64_t done = 0; done < count; done += depth) {
        uint64_t before = b->completed;
        for (unsigned i = 0; i < depth; i++)
            ping_send(b, b->cap, &flights[i]);
        await(b, before, depth);
    }
}

static void chains(struct bench *b, unsigned depth, uint64_t count)
{
    struct flight f;
    while (count-- > 0) {
        struct ww_cap *at = ww_cap_ref(b->cap);
        uint64_t before = b->completed;
        for (unsigned i = 0; i < depth; i++) {
            struct ww_rpc_request *r;
            struct ww_cap *next;
            struct bench_rpc_Bench_next_params_b params;
            must(bench_rpc_Bench_next_request(at, &r, &params));
            ww_rpc_request_send(r, NULL);
            must(bench_rpc_Bench_next_pipeline_next(r, &next));
            ww_rpc_request_free(r);
            ww_cap_unref(at);
            at = next;
        }
        ping_send(b, at, &f);
        await(b, before, 1);
        ww_cap_unref(at);
    }
}

static void next_done(struct ww_rpc_wait *wait, struct ww_rpc_request *request)
{
    struct flight *f = WW_CONTAINER_OF(wait, struct flight, wait);
    must(ww_rpc_request_status(request));
    f->bench->completed += bench_rpc_Bench_next_results_next(bench_rpc_Bench_next_results(request)) != NULL;
    ww_rpc_request_free(request);
}

/* A call that returns a capability, which is dropped. */
static void nexts(struct bench *b, uint64_t count)
{
    while (count-- > 0) {
        struct flight f = {{next_done}, b};
        struct ww_rpc_request *r;
        struct bench_rpc_Bench_next_params_b params;
        uint64_t before = b->completed;
        must(bench_rpc_Bench_next_request(b->cap, &r, &params));
        ww_rpc_request_send(r, &f.wait);
        await(b, before, 1);
    }
}

static void caps_done(struct ww_rpc_wait *wait, struct ww_rpc_request *request)
{
    struct flight *f = WW_CONTAINER_OF(wait, struct flight, wait);
    must(ww_rpc_request_status(request));
    struct ww_lr caps = bench_rpc_Bench_caps_results_caps(bench_rpc_Bench_caps_results(request));
    struct ww_cap **kept = ww_alloc(caps.count * sizeof(struct ww_cap *));
    must(kept ? 0 : WW_ENOMEM);
    for (uint32_t i = 0; i < caps.count; i++)
        kept[i] = ww_cap_ref(ww_pr_cap(ww_lr_ptr(caps, i)));
    ww_rpc_request_free(request);
    for (uint32_t i = 0; i < caps.count; i++)
        ww_cap_unref(kept[i]);
    ww_free(kept);
    f->bench->completed++;
}

/* All are kept, then released; the last word is a call that goes behind the Releases. */
static void caps(struct bench *b, unsigned size, uint64_t count)
{
    while (count-- > 0) {
        struct flight f = {{caps_done}, b};
        struct ww_rpc_request *r;
        struct bench_rpc_Bench_caps_params_b params;
        uint64_t before = b->completed;
        must(bench_rpc_Bench_caps_request(b->cap, &r, &params));
        bench_rpc_Bench_caps_params_set_count(params, size);
        ww_rpc_request_send(r, &f.wait);
        await(b, before, 1);
        pings(b, 1, 1);
    }
}

static uint8_t data[64 << 10];

struct echo {
    struct flight f;
    unsigned size;
};

static void echo_done(struct ww_rpc_wait *wait, struct ww_rpc_request *request)
{
    struct echo *e = WW_CONTAINER_OF(wait, struct echo, f.wait);
    must(ww_rpc_request_status(request));
    struct ww_bytes back = bench_rpc_Bench_echo_results_data(bench_rpc_Bench_echo_results(request));
    e->f.bench->completed += back.len == e->size;
    ww_rpc_request_free(request);
}

static void echoes(struct bench *b, unsigned size, uint64_t count)
{
    struct echo e = {{{echo_done}, b}, size};
    for (uint64_t done = 0; done < count; done += ECHOES_AT_ONCE) {
        uint64_t before = b->completed;
        for (int i = 0; i < ECHOES_AT_ONCE; i++) {
            struct ww_rpc_request *r;
            struct bench_rpc_Bench_echo_params_b params;
            must(bench_rpc_Bench_echo_request(b->cap, &r, &params));
            bench_rpc_Bench_echo_params_set_data(params, ww_bytes(data, size));
            ww_rpc_request_send(r, &e.f.wait);
        }
        await(b, before, ECHOES_AT_ONCE);
    }
}

static void drained(struct ww_rpc_stream *stream, ww_err err)
{
    must(err);
    stream->ops = NULL;
}

static void streamed(struct bench *b, unsigned size, uint64_t count)
{
    static const struct ww_rpc_stream_ops ops = {.drained = drained};
    struct ww_rpc_stream s;
    must(ww_rpc_stream_init(&s, b->vat, &ops, 0));
    while (count > 0) {
        ww_err state = WW_RPC_STREAM_OK;
        while (state == WW_RPC_STREAM_OK && count-- > 0) {
            struct ww_rpc_request *r;
            struct bench_rpc_Bench_push_params_b params;
            must(bench_rpc_Bench_push_request(b->cap, &r, &params));
            bench_rpc_Bench_push_params_set_data(params, ww_bytes(data, size));
            state = ww_rpc_stream_send_take(&s, r);
            must(state);
        }
        count += state == WW_RPC_STREAM_OK; /* it fell below 0 */
        while (s.in_flight_bytes >= s.window_bytes)
            b->turn(b);
    }
    ww_rpc_stream_finish(&s);
    while (s.ops)
        b->turn(b);
    ww_rpc_stream_fini(&s);
}

static void run(void *ctx, const struct bench_case *k, uint64_t count)
{
    struct bench *b = ctx;
    switch (k->kind) {
    case KIND_PING:
        pings(b, k->size, count);
        break;
    case KIND_CHAIN:
        chains(b, k->size, count);
        break;
    case KIND_ECHO:
        echoes(b, k->size, count);
        break;
    case KIND_STREAM:
        streamed(b, k->size, count);
        break;
    case KIND_CAPS:
        caps(b, k->size, count);
        break;
    case KIND_NEXT:
        nexts(b, count);
        break;
    }
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"local", "memory", "unix", "tcp"}; /* bits ON_LOCAL, ... */
    bool counting = argc == 5 && strcmp(argv[1], "count") == 0;
    uint64_t for_ns = (argc > 1 && !counting ? strtoull(argv[1], NULL, 10) : 300) * WW_NS_PER_MS;
    const char *only = argc > 2 ? argv[2] : NULL;
    const char *one = counting ? argv[3] : argc > 3 ? argv[3] : NULL;
    bench_pin();
    for (unsigned i = 0; i < WW_COUNT_OF(names); i++) {
        if (only && strcmp(only, names[i]) != 0)
            continue;
        struct bench b;
        bench_open(&b, names[i]);
        const struct bench_clock clock = {.field = "ours", .transport = names[i], .peer = b.peer};
        for (size_t k = 0; k < WW_COUNT_OF(bench_cases); k++) {
            if (!(bench_cases[k].on & 1u << i) || (one && strcmp(one, bench_cases[k].name) != 0))
                continue;
            if (counting)
                run(&b, &bench_cases[k], strtoull(argv[4], NULL, 10));
            else
                bench_measure(&clock, &bench_cases[k], for_ns, run, &b);
        }
        bench_close(&b);
    }
    return 0;
}
