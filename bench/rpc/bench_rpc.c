/* bench_rpc [MS [TRANSPORT]]: what calls cost (see cases.h): on an object of the same vat, on one of another
 * vat over memory, and on one in another process over a unix socket and TCP, with generated code and the loop
 * of ww/rpc_fd.h, as an application would. `bench_rpc count TRANSPORT CASE N` does a case so often and prints
 * nothing, for those who count system calls. Prints one JSON object a line; bench_rpc_cxx prints the same
 * names for the C++ implementation. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "bench_rpc.capnp.rpc.h"
#include "cases.h"
#include "ww/rpc_fd.h"
#include "ww/rpc_pair.h"

static void must(ww_err err)
{
    if (err >= 0)
        return;
    fprintf(stderr, "bench_rpc: %s\n", ww_err_text(err));
    exit(1);
}

/* ---- the object that is called */

struct object {
    struct bench_rpc_Bench_server server;
    struct ww_rpc_vat *vat;
    struct ww_cap *self; /* of the first one, borrowed */
    uint64_t pushed;
};

static const struct bench_rpc_Bench_ops object_ops;

static struct object *object_new(struct ww_rpc_vat *vat, struct ww_cap **ret_cap)
{
    struct object *o = WW_NEW(struct object);
    must(o ? 0 : WW_ENOMEM);
    bench_rpc_Bench_server_init(&o->server, &object_ops);
    o->vat = vat;
    must(bench_rpc_Bench_server_cap(vat, &o->server, ret_cap));
    o->self = *ret_cap;
    return o;
}

static void object_ping(struct bench_rpc_Bench_server *self, struct ww_rpc_call *call)
{
    uint64_t n = bench_rpc_Bench_ping_params_n(bench_rpc_Bench_ping_params(call));
    WW_UNUSED(self);
    bench_rpc_Bench_ping_results_set_n(bench_rpc_Bench_ping_answer(call), n);
    ww_rpc_call_return(call);
}

static void object_echo(struct bench_rpc_Bench_server *self, struct ww_rpc_call *call)
{
    struct ww_bytes data = bench_rpc_Bench_echo_params_data(bench_rpc_Bench_echo_params(call));
    WW_UNUSED(self);
    bench_rpc_Bench_echo_results_set_data(bench_rpc_Bench_echo_answer(call), data);
    ww_rpc_call_return(call);
}

static void object_push(struct bench_rpc_Bench_server *self, struct ww_rpc_call *call)
{
    struct object *o = WW_CONTAINER_OF(self, struct object, server);
    o->pushed += bench_rpc_Bench_push_params_data(bench_rpc_Bench_push_params(call)).len;
    ww_rpc_call_return(call);
}

static void object_done(struct bench_rpc_Bench_server *self, struct ww_rpc_call *call)
{
    struct object *o = WW_CONTAINER_OF(self, struct object, server);
    bench_rpc_Bench_done_results_set_count(bench_rpc_Bench_done_answer(call), o->pushed);
    ww_rpc_call_return(call);
}

static void object_next(struct bench_rpc_Bench_server *self, struct ww_rpc_call *call)
{
    struct object *o = WW_CONTAINER_OF(self, struct object, server);
    bench_rpc_Bench_next_results_set_next(bench_rpc_Bench_next_answer(call), o->self);
    ww_rpc_call_return(call);
}

static void object_caps(struct bench_rpc_Bench_server *self, struct ww_rpc_call *call)
{
    struct object *o = WW_CONTAINER_OF(self, struct object, server);
    uint32_t count = bench_rpc_Bench_caps_params_count(bench_rpc_Bench_caps_params(call));
    struct ww_lb caps = bench_rpc_Bench_caps_results_init_caps(bench_rpc_Bench_caps_answer(call), count);
    for (uint32_t i = 0; i < count; i++) {
        struct ww_cap *cap;
        (void)object_new(o->vat, &cap);
        ww_pb_set_cap(ww_lb_ptr(caps, i), cap);
        ww_cap_unref(cap);
    }
    ww_rpc_call_return(call);
}

static void object_drop(struct bench_rpc_Bench_server *self)
{
    ww_free(WW_CONTAINER_OF(self, struct object, server));
}

static const struct bench_rpc_Bench_ops object_ops = {.ping = object_ping,
    .echo = object_echo,
    .push = object_push,
    .done = object_done,
    .next = object_next,
    .caps = object_caps,
    .drop = object_drop};

/* ---- ways to it */

struct bench {
    struct ww_rpc_vat *vat; /* the caller's */
    struct ww_cap *cap;
    void (*turn)(struct bench *b);
    uint64_t completed;
    struct bench_clock clock;

    struct ww_rpc_vat *other; /* local, memory */
    struct ww_cap *self;
    struct ww_rpc_pair *pair;
    struct ww_rpc_fd *fd; /* unix, tcp */
};

static void turn_local(struct bench *b)
{
    ww_rpc_vat_run(b->vat, 0, 0);
}

static void turn_memory(struct bench *b)
{
    ww_rpc_pair_run(b->pair, 0);
}

static void turn_fd(struct bench *b)
{
    must(ww_rpc_fd_turn(b->fd, -1));
}

static void open_memory(struct bench *b, bool local)
{
    must(ww_rpc_vat_new(NULL, &b->other));
    (void)object_new(b->other, &b->self);
    if (local) {
        b->turn = turn_local;
        b->vat = b->other;
        b->cap = ww_cap_ref(b->self);
        return;
    }
    b->turn = turn_memory;
    must(ww_rpc_vat_new(NULL, &b->vat));
    must(ww_rpc_pair_new(b->vat, &(struct ww_rpc_conn_config){.stream_window_bytes = WW_RPC_WINDOW_PIPE},
        b->other, &(struct ww_rpc_conn_config){.bootstrap = b->self}, &b->pair));
    must(ww_rpc_conn_bootstrap(ww_rpc_pair_conn(b->pair, 0), &b->cap));
}

/* The child: serves until it is stopped. */
static void serve(const char *address, int say)
{
    struct ww_rpc_fd *fd;
    struct ww_rpc_fd_listener *l;
    struct ww_cap *self;
    must(ww_rpc_fd_new(NULL, &fd));
    (void)object_new(ww_rpc_fd_vat(fd), &self);
    must(ww_rpc_fd_listen(fd, address, &(struct ww_rpc_conn_config){.bootstrap = self}, NULL, &l, NULL));
    dprintf(say, "%s", ww_rpc_fd_listener_address(l));
    close(say);
    must(ww_rpc_fd_run(fd));
    exit(0);
}

static void open_fd(struct bench *b, const char *address)
{
    int say[2];
    char where[256] = {0};
    if (pipe(say) != 0)
        exit(1);
    b->clock.peer = fork();
    if (b->clock.peer == 0) {
        close(say[0]);
        serve(address, say[1]);
    }
    close(say[1]);
    for (size_t at = 0; at + 1 < sizeof where;) {
        ssize_t n = read(say[0], where + at, sizeof where - 1 - at);
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    close(say[0]);
    b->turn = turn_fd;
    must(ww_rpc_fd_new(NULL, &b->fd));
    b->vat = ww_rpc_fd_vat(b->fd);
    must(ww_rpc_fd_dial(b->fd, where, 5000, &b->cap, NULL));
}

static void bench_open(struct bench *b, unsigned on)
{
    static const char *const names[] = {
        [ON_LOCAL] = "local", [ON_MEMORY] = "memory", [ON_UNIX] = "unix", [ON_TCP] = "tcp"};
    char path[64];
    *b = (struct bench){.clock = {.field = "ours", .transport = names[on]}};
    snprintf(path, sizeof path, "unix:/tmp/bench-rpc-%d", (int)getpid());
    if (on == ON_LOCAL || on == ON_MEMORY)
        open_memory(b, on == ON_LOCAL);
    else
        open_fd(b, on == ON_UNIX ? path : "127.0.0.1:0");
}

static void bench_close(struct bench *b)
{
    ww_cap_unref(b->cap);
    ww_cap_unref(b->self);
    ww_rpc_fd_free(b->fd);
    if (b->clock.peer) {
        char path[64];
        kill(b->clock.peer, SIGTERM);
        waitpid(b->clock.peer, NULL, 0);
        snprintf(path, sizeof path, "/tmp/bench-rpc-%d", (int)getpid());
        unlink(path);
        return;
    }
    if (b->pair) {
        ww_rpc_pair_run(b->pair, 0);
        ww_rpc_pair_free(b->pair);
        ww_rpc_vat_free(b->vat);
    }
    ww_rpc_vat_free(b->other);
}

/* ---- cases */

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
    static const char *const names[] = {"local", "memory", "unix", "tcp"};
    bool counting = argc == 5 && strcmp(argv[1], "count") == 0;
    uint64_t for_ns = (argc > 1 && !counting ? strtoull(argv[1], NULL, 10) : 300) * WW_NS_PER_MS;
    const char *only = argc > 2 ? argv[2] : NULL;
    const char *one = counting ? argv[3] : argc > 3 ? argv[3] : NULL;
    bench_pin();
    for (unsigned i = 0; i < WW_COUNT_OF(names); i++) {
        if (only && strcmp(only, names[i]) != 0)
            continue;
        struct bench b;
        bench_open(&b, 1u << i);
        for (size_t k = 0; k < WW_COUNT_OF(bench_cases); k++) {
            if (!(bench_cases[k].on & 1u << i) || (one && strcmp(one, bench_cases[k].name) != 0))
                continue;
            if (counting)
                run(&b, &bench_cases[k], strtoull(argv[4], NULL, 10));
            else
                bench_measure(&b.clock, &bench_cases[k], for_ns, run, &b);
        }
        bench_close(&b);
    }
    return 0;
}
