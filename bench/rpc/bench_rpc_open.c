#include "bench_rpc.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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
    b->peer = fork();
    if (b->peer == 0) {
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

void bench_open(struct bench *b, const char *on)
{
    char path[64];
    *b = (struct bench){0};
    snprintf(path, sizeof path, "unix:/tmp/bench-rpc-%d", (int)getpid());
    if (strcmp(on, "local") == 0 || strcmp(on, "memory") == 0)
        open_memory(b, strcmp(on, "local") == 0);
    else
        open_fd(b, strcmp(on, "unix") == 0 ? path : "127.0.0.1:0");
}

void bench_close(struct bench *b)
{
    ww_cap_unref(b->cap);
    ww_cap_unref(b->self);
    ww_rpc_fd_free(b->fd);
    if (b->peer) {
        char path[64];
        kill(b->peer, SIGTERM);
        waitpid(b->peer, NULL, 0);
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
