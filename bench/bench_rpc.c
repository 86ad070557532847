/* bench_rpc: what a call costs, both sides in one process: over memory, and over a unix socket pair.
 * Time is the process's CPU time, so that a busy machine does not count. Prints one JSON object a line;
 * bench_rpc_cxx prints the same names for the C++ implementation. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "ww/rpc.h"

#define BENCH_ID UINT64_C(0xb7a1d6e2f0c94a01)
enum { M_PING, M_ECHO, M_PUSH, M_DONE, M_NEXT };

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts); /* both sides run in this process, and nothing waits */
    return (uint64_t)ts.tv_sec * WW_NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void must(ww_err err)
{
    if (err >= 0)
        return;
    fprintf(stderr, "bench_rpc: %s\n", ww_err_text(err));
    exit(1);
}

static uint64_t alloc_count;

static void *counting_resize(void *ctx, void *old, size_t size)
{
    WW_UNUSED(ctx);
    if (size == 0) {
        free(old);
        return NULL;
    }
    alloc_count++;
    return realloc(old, size);
}

struct bench {
    struct ww_rpc_server server;
    struct ww_rpc_vat *vat_a, *vat_b;
    struct ww_rpc_conn *a, *b;
    struct ww_cap *self, *cap;
    uint64_t pushes, completed;
    int fds[2]; /* -1: over memory */
};

static void dispatch(struct ww_rpc_server *server, struct ww_rpc_call *call)
{
    struct bench *b = WW_CONTAINER_OF(server, struct bench, server);
    struct ww_sr params = ww_pr_struct(ww_rpc_call_params(call));
    switch (ww_rpc_call_method(call)) {
    case M_PING: {
        struct ww_sb results = ww_pb_init_struct(ww_rpc_call_results(call, 2), 1, 0);
        ww_sb_set_u64(results, 0, ww_sr_u64(params, 0));
        ww_rpc_call_return(call);
        break;
    }
    case M_ECHO: {
        struct ww_bytes data = ww_pr_data(ww_sr_ptr(params, 0));
        struct ww_sb results = ww_pb_init_struct(ww_rpc_call_results(call, (uint32_t)data.len / 8 + 3), 0, 1);
        ww_pb_set_data(ww_sb_ptr(results, 0), data);
        ww_rpc_call_return(call);
        break;
    }
    case M_PUSH:
        ww_rpc_call_set_streaming(call);
        b->pushes += ww_pr_data(ww_sr_ptr(params, 0)).len;
        ww_rpc_call_return(call);
        break;
    case M_NEXT: {
        struct ww_sb results = ww_pb_init_struct(ww_rpc_call_results(call, 2), 0, 1);
        ww_pb_set_cap(ww_sb_ptr(results, 0), b->self);
        ww_rpc_call_return(call);
        break;
    }
    default:
        ww_rpc_call_fail(call, WW_EUNIMPLEMENTED, "unknown method");
    }
}

static const struct ww_rpc_server_ops bench_ops = {.dispatch = dispatch};

static bool move_memory(struct ww_rpc_conn *from, struct ww_rpc_conn *to)
{
    struct ww_bytes views[16];
    size_t n = ww_rpc_conn_pull(from, views, WW_COUNT_OF(views)), bytes = 0;
    for (size_t i = 0; i < n; i++) {
        must(ww_rpc_conn_feed(to, views[i]));
        bytes += views[i].len;
    }
    ww_rpc_conn_pulled(from, bytes);
    return n > 0;
}

static bool write_some(struct ww_rpc_conn *from, int fd)
{
    struct ww_bytes views[16];
    struct iovec iov[16];
    size_t n = ww_rpc_conn_pull(from, views, WW_COUNT_OF(views));
    if (n == 0)
        return false;
    for (size_t i = 0; i < n; i++)
        iov[i] = (struct iovec){(void *)(uintptr_t)views[i].ptr, views[i].len};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = n};
    ssize_t sent = sendmsg(fd, &msg, MSG_DONTWAIT);
    if (sent > 0)
        ww_rpc_conn_pulled(from, (size_t)sent);
    return sent > 0;
}

static bool read_some(struct ww_rpc_conn *to, int fd)
{
    static uint8_t buffer[256 * 1024];
    ssize_t got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got > 0)
        must(ww_rpc_conn_feed(to, ww_bytes(buffer, (size_t)got)));
    return got > 0;
}

static void turn(struct bench *b)
{
    if (b->fds[0] < 0) {
        move_memory(b->a, b->b);
        ww_rpc_vat_run(b->vat_b, 0, 0);
        move_memory(b->b, b->a);
        ww_rpc_vat_run(b->vat_a, 0, 0);
        return;
    }
    bool wrote = write_some(b->a, b->fds[0]);
    if (wrote)
        read_some(b->b, b->fds[1]);
    ww_rpc_vat_run(b->vat_b, 0, 0);
    wrote = write_some(b->b, b->fds[1]);
    if (wrote)
        read_some(b->a, b->fds[0]);
    ww_rpc_vat_run(b->vat_a, 0, 0);
}

static void report(const char *transport, const char *name, const char *unit, double value)
{
    printf("{\"name\":\"rpc/%s/%s\",\"unit\":\"%s\",\"ours\":%.6g}\n", transport, name, unit, value);
    fflush(stdout);
}

struct flight {
    struct ww_rpc_wait wait;
    struct bench *bench;
};

static void flight_done(struct ww_rpc_wait *wait, struct ww_rpc_request *request)
{
    struct flight *f = WW_CONTAINER_OF(wait, struct flight, wait);
    must(ww_rpc_request_status(request));
    f->bench->completed += ww_sr_u64(ww_pr_struct(ww_rpc_request_results(request)), 0) != 0;
    ww_rpc_request_free(request);
}

static void ping_send(struct bench *b, struct flight *f)
{
    struct ww_rpc_request *r;
    must(ww_rpc_request_new(b->cap, BENCH_ID, M_PING, 2, &r));
    ww_sb_set_u64(ww_pb_init_struct(ww_rpc_request_params(r), 1, 0), 0, 1);
    f->wait.done = flight_done;
    f->bench = b;
    ww_rpc_request_send(r, &f->wait);
}

/* Pings with `depth` under way at once; returns pings a second. */
static double pings(struct bench *b, unsigned depth, uint64_t for_ns, double *ret_allocs)
{
    static struct flight flights[256];
    uint64_t start = now_ns(), count = 0, allocs = alloc_count, end;
    do {
        for (unsigned rounds = 0; rounds < 1000 / depth + 1; rounds++) {
            uint64_t want = b->completed + depth;
            for (unsigned i = 0; i < depth; i++)
                ping_send(b, &flights[i]);
            while (b->completed < want)
                turn(b);
            count += depth;
        }
        end = now_ns();
    } while (end - start < for_ns);
    *ret_allocs = (double)(alloc_count - allocs) / (double)count;
    return (double)count * 1e9 / (double)(end - start);
}

static double chains(struct bench *b, uint64_t for_ns)
{
    static const uint16_t path[1] = {0};
    struct flight f;
    uint64_t start = now_ns(), count = 0, end;
    do {
        struct ww_cap *at = ww_cap_ref(b->cap), *saved = b->cap;
        for (int i = 0; i < 10; i++) {
            struct ww_rpc_request *r;
            struct ww_cap *next;
            must(ww_rpc_request_new(at, BENCH_ID, M_NEXT, 1, &r));
            ww_rpc_request_send(r, NULL);
            must(ww_rpc_request_pipeline(r, path, 1, &next));
            ww_rpc_request_free(r);
            ww_cap_unref(at);
            at = next;
        }
        uint64_t want = b->completed + 1;
        b->cap = at;
        ping_send(b, &f);
        b->cap = saved;
        while (b->completed < want)
            turn(b);
        ww_cap_unref(at);
        count++;
        end = now_ns();
    } while (end - start < for_ns);
    return (double)(end - start) / 1e3 / (double)count;
}

static void stream_ready(struct ww_rpc_stream *stream)
{
    WW_UNUSED(stream);
}

static double streamed(struct bench *b, size_t size, uint64_t for_ns)
{
    static const struct ww_rpc_stream_ops ops = {.ready = stream_ready};
    static uint8_t data[64 * 1024];
    struct ww_rpc_stream s;
    must(ww_rpc_stream_init(&s, b->vat_a, &ops, 1 << 20));
    b->pushes = 0;
    uint64_t start = now_ns(), end;
    do {
        ww_err state = WW_RPC_STREAM_OK;
        while (state == WW_RPC_STREAM_OK) {
            struct ww_rpc_request *r;
            must(ww_rpc_request_new(b->cap, BENCH_ID, M_PUSH, (uint32_t)size / 8 + 3, &r));
            struct ww_sb params = ww_pb_init_struct(ww_rpc_request_params(r), 0, 1);
            memcpy(ww_pb_init_data(ww_sb_ptr(params, 0), size), data, size);
            state = ww_rpc_stream_send_take(&s, r);
            must(state);
        }
        while (s.in_flight_bytes > s.window_bytes / 2)
            turn(b);
        end = now_ns();
    } while (end - start < for_ns);
    while (s.in_flight)
        turn(b);
    end = now_ns();
    ww_rpc_stream_fini(&s);
    return (double)b->pushes / 1e6 / ((double)(end - start) / 1e9);
}

static void bench_init(struct bench *b, bool sockets)
{
    *b = (struct bench){.server.ops = &bench_ops, .fds = {-1, -1}};
    if (sockets && socketpair(AF_UNIX, SOCK_STREAM, 0, b->fds) != 0)
        exit(1);
    must(ww_rpc_vat_new(NULL, &b->vat_a));
    must(ww_rpc_vat_new(NULL, &b->vat_b));
    must(ww_cap_new_server(b->vat_b, &b->server, &b->self));
    must(ww_rpc_conn_new(b->vat_a, &(struct ww_rpc_conn_config){0}, &b->a));
    must(ww_rpc_conn_new(b->vat_b, &(struct ww_rpc_conn_config){.bootstrap = b->self}, &b->b));
    must(ww_rpc_conn_bootstrap(b->a, &b->cap));
    turn(b);
}

static void bench_fini(struct bench *b)
{
    ww_cap_unref(b->cap);
    ww_rpc_conn_free(b->a);
    ww_rpc_conn_free(b->b);
    ww_cap_unref(b->self);
    ww_rpc_vat_free(b->vat_a);
    ww_rpc_vat_free(b->vat_b);
    if (b->fds[0] >= 0) {
        close(b->fds[0]);
        close(b->fds[1]);
    }
}

int main(int argc, char **argv)
{
    uint64_t for_ns = argc > 1 ? strtoull(argv[1], NULL, 10) * WW_NS_PER_MS : 500 * WW_NS_PER_MS;
    ww_allocator_set(&(struct ww_allocator){.resize = counting_resize});
    for (int sockets = 0; sockets < 2; sockets++) {
        const char *transport = sockets ? "unix" : "memory";
        struct bench b;
        double allocs;
        bench_init(&b, sockets);
        pings(&b, 64, for_ns / 10, &allocs);
        report(transport, "ping-1", "calls/s", pings(&b, 1, for_ns, &allocs));
        if (!sockets)
            report(transport, "ping-1-allocations", "per call", allocs);
        report(transport, "ping-64", "calls/s", pings(&b, 64, for_ns, &allocs));
        report(transport, "pipeline-10", "us", chains(&b, for_ns));
        report(transport, "stream-1KiB", "MB/s", streamed(&b, 1024, for_ns));
        report(transport, "stream-16KiB", "MB/s", streamed(&b, 16 * 1024, for_ns));
        bench_fini(&b);
    }
    return 0;
}
