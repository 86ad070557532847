/* Our RPC opposite the C++ implementation, each as client and server of the other, over a unix socket pair.
 */
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/unit/rpc/pair.h"

enum { M_LIVE = 10, M_CANCELED, M_DRIVE };

static struct world {
    struct ww_rpc_conn_host host;
    struct ww_rpc_vat *vat;
    struct ww_rpc_conn *conn;
    struct object *object; /* our bootstrap capability */
    struct ww_cap *peer;   /* theirs */
    int fd, live;
    pid_t child;
    bool closed;
} w;

static void on_closed(struct ww_rpc_conn_host *host, ww_err err, const char *reason)
{
    WW_UNUSED(host);
    WW_UNUSED(err);
    WW_UNUSED(reason);
    w.closed = true;
}

static const struct ww_rpc_conn_ops conn_ops = {.closed = on_closed};

static void flush_out(void)
{
    struct ww_bytes view;
    while (ww_rpc_conn_pull(w.conn, &view, 1)) {
        ssize_t n = send(w.fd, view.ptr, view.len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        ww_rpc_conn_pulled(w.conn, (size_t)n);
    }
}

/* Sends, delivers the bytes that come within the time; false when there are none. */
static bool turn_within(int timeout_ms)
{
    static uint8_t buffer[65536];
    while (ww_rpc_vat_run(w.vat, 0, 0))
        ;
    flush_out();
    struct pollfd p = {.fd = w.fd, .events = POLLIN};
    if (poll(&p, 1, timeout_ms) != 1)
        return false;
    ssize_t n = recv(w.fd, buffer, sizeof buffer, 0);
    if (n > 0)
        assert_ok(ww_rpc_conn_feed(w.conn, ww_bytes(buffer, (size_t)n)));
    else
        ww_rpc_conn_lost(w.conn, WW_ECLOSED);
    while (ww_rpc_vat_run(w.vat, 0, 0))
        ;
    struct ww_diag diag = {0};
    if (ww_rpc_conn_check(w.conn, &diag) < 0)
        fail_msg("%s", diag.text);
    return true;
}

static void turn(void)
{
    if (!turn_within(10000))
        fail_msg("the peer is silent");
}

static void wait_for(struct outcome *o)
{
    while (o->count == 0)
        turn();
}

static uint64_t ask(struct ww_cap *to, uint16_t method, uint64_t value, struct ww_cap *cap)
{
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *r = call_send(to, method, value, cap, &o);
    wait_for(&o);
    if (o.status != 0)
        fail_msg("method %u: %s", method, o.reason);
    ww_rpc_request_free(r);
    return o.value;
}

static int setup(void **state)
{
    memset(&w, 0, sizeof w);
    w.host.ops = &conn_ops;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    w.child = fork();
    assert_true(w.child >= 0);
    if (w.child == 0) {
        char number[16];
        snprintf(number, sizeof number, "%d", fds[1]);
        close(fds[0]);
        execl(getenv("PEER"), "peer", number, (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    w.fd = fds[0];
    assert_ok(ww_rpc_vat_new(NULL, &w.vat));
    struct ww_cap *boot = object_new(w.vat, &w.live, &w.object);
    assert_ok(
        ww_rpc_conn_new(w.vat, &(struct ww_rpc_conn_config){.host = &w.host, .bootstrap = boot}, &w.conn));
    ww_cap_unref(boot);
    assert_ok(ww_rpc_conn_bootstrap(w.conn, &w.peer));
    WW_UNUSED(state);
    return 0;
}

static int teardown(void **state)
{
    WW_UNUSED(state);
    ww_cap_unref(w.peer);
    flush_out();
    close(w.fd);
    ww_rpc_conn_free(w.conn);
    while (ww_rpc_vat_run(w.vat, 0, 0))
        ;
    assert_int_equal(w.live, 0);
    assert_int_equal(w.vat->refs, 2);
    ww_rpc_vat_free(w.vat);
    int status;
    assert_int_equal(waitpid(w.child, &status, 0), w.child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0); /* the C++ side saw an orderly end */
    return 0;
}

static void calls(void **state)
{
    WW_UNUSED(state);
    for (uint64_t i = 0; i < 50; i++)
        assert_int_equal(ask(w.peer, M_ECHO, i, NULL), i);
    assert_int_equal(ask(w.peer, M_COUNT, 0, NULL), 50);
}

static void exceptions(void **state)
{
    WW_UNUSED(state);
    static const ww_err kinds[] = {WW_EFAILED, WW_EOVERLOADED, WW_EDISCONNECTED, WW_EUNIMPLEMENTED};
    for (uint64_t i = 0; i < 4; i++) {
        struct outcome o;
        outcome_init(&o, NULL);
        struct ww_rpc_request *r = call_send(w.peer, M_FAIL, i, NULL, &o);
        wait_for(&o);
        assert_int_equal(o.status, kinds[i]);
        assert_string_equal(o.reason, "asked to fail");
        ww_rpc_request_free(r);
    }
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *r = call_send(w.peer, 77, 0, NULL, &o);
    wait_for(&o);
    assert_int_equal(o.status, WW_EUNIMPLEMENTED);
    ww_rpc_request_free(r);
}

static void pipelines(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *at = ww_cap_ref(w.peer);
    for (int i = 0; i < 20; i++) {
        struct ww_rpc_request *r = call_send(at, M_NEW, 0, NULL, NULL);
        struct ww_cap *next = pipeline(r, 0);
        ww_rpc_request_free(r);
        ww_cap_unref(at);
        at = next;
    }
    assert_int_equal(ask(at, M_ECHO, 99, NULL), 99);
    ww_cap_unref(at);
    assert_int_equal(ask(w.peer, M_LIVE, 0, NULL), 1); /* all but the bootstrap object were released */
}

static void callbacks_and_release(void **state)
{
    WW_UNUSED(state);
    struct object *mine;
    struct ww_cap *my = object_new(w.vat, &w.live, &mine);
    ask(w.peer, M_KEEP, 0, my);
    assert_int_equal(ask(w.peer, M_CALL, 31, NULL), 31);
    assert_int_equal(mine->seen_count, 1);
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *r = call_send(w.peer, M_GIVE, 0, NULL, &o);
    wait_for(&o);
    struct ww_cap *back = ww_pr_cap(ww_sr_ptr(ww_pr_struct(ww_rpc_request_results(r)), 0));
    assert_ptr_equal(ww_cap_server(back, &object_ops), &mine->server);
    ww_rpc_request_free(r);
    ww_cap_unref(my);
    assert_int_equal(w.live, 2);
    ask(w.peer, M_KEEP, 0, NULL);
    assert_int_equal(ask(w.peer, M_ECHO, 1, NULL), 1);
    assert_int_equal(w.live, 1);
}

static void embargo(void **state)
{
    WW_UNUSED(state);
    struct object *mine;
    struct ww_cap *my = object_new(w.vat, &w.live, &mine);
    struct ww_rpc_request *r = call_send(w.peer, M_ECHO_CAP, 0, my, NULL), *c[20];
    struct ww_cap *promise = pipeline(r, 0);
    struct outcome o[20];
    for (int i = 0; i < 20; i++) {
        outcome_init(&o[i], NULL);
        c[i] = call_send(promise, M_ECHO, (uint64_t)i, NULL, &o[i]);
        if (i % 4 == 3)
            turn_within(1); /* wherever the Return and the embargo are by now */
    }
    for (int i = 0; i < 20; i++) {
        wait_for(&o[i]);
        assert_int_equal(mine->seen[i], i);
        ww_rpc_request_free(c[i]);
    }
    ww_rpc_request_free(r);
    ww_cap_unref(promise);
    ww_cap_unref(my);
}

static void promise_as_parameter(void **state)
{
    WW_UNUSED(state);
    for (int home = 0; home < 2; home++) {
        struct ww_cap *promise, *my = object_new(w.vat, &w.live, NULL);
        assert_ok(ww_cap_new_promise(w.vat, &promise));
        ask(w.peer, M_KEEP, 0, promise);
        struct outcome o;
        outcome_init(&o, NULL);
        struct ww_rpc_request *r = call_send(w.peer, M_CALL, 8, NULL, &o);
        ask(w.peer, M_LIVE, 0, NULL); /* the call has come back and waits in the promise by now */
        assert_int_equal(o.count, 0);
        assert_ok(ww_cap_resolve(promise, home ? w.peer : my));
        wait_for(&o);
        assert_int_equal(o.value, 8);
        assert_int_equal(ask(w.peer, M_CALL, 9, NULL), 9);
        ww_rpc_request_free(r);
        ww_cap_unref(promise);
        ww_cap_unref(my);
        ask(w.peer, M_KEEP, 0, NULL);
    }
}

struct streaming {
    struct ww_rpc_stream stream;
    unsigned ready, drained;
    ww_err err;
};

static void stream_ready(struct ww_rpc_stream *stream)
{
    WW_CONTAINER_OF(stream, struct streaming, stream)->ready++;
}

static void stream_drained(struct ww_rpc_stream *stream, ww_err err)
{
    struct streaming *s = WW_CONTAINER_OF(stream, struct streaming, stream);
    s->drained++;
    s->err = err;
}

static const struct ww_rpc_stream_ops stream_ops = {.ready = stream_ready, .drained = stream_drained};

static ww_err push(struct streaming *s, struct ww_cap *to, uint64_t value)
{
    struct ww_rpc_request *r;
    assert_ok(ww_rpc_request_new(to, TEST_IFACE, M_STREAM, 3, &r));
    ww_sb_set_u64(ww_pb_init_struct(ww_rpc_request_params(r), 1, 1), 0, value);
    return ww_rpc_stream_send_take(&s->stream, r);
}

static void streams(void **state)
{
    WW_UNUSED(state);
    struct streaming s = {0};
    assert_ok(ww_rpc_stream_init(&s.stream, w.vat, &stream_ops, 2000));
    unsigned waits = 0;
    for (uint64_t i = 0; i < 500; i++) {
        ww_err state_now = push(&s, w.peer, i);
        assert_true(state_now >= 0);
        if (state_now != WW_RPC_STREAM_WAIT)
            continue;
        unsigned before = s.ready;
        waits++;
        while (s.ready == before)
            turn();
    }
    assert_true(waits > 10);
    assert_true(s.stream.in_flight_bytes <= 2000 + 2 * 200);
    ww_rpc_stream_finish(&s.stream);
    while (!s.drained)
        turn();
    assert_int_equal(s.err, 0);
    assert_int_equal(ask(w.peer, M_COUNT, 0, NULL), 500);
    ww_rpc_stream_fini(&s.stream);
}

static void stream_errors(void **state)
{
    WW_UNUSED(state);
    struct ww_rpc_request *r = call_send(w.peer, M_NEW, 0, NULL, NULL);
    struct ww_cap *to = pipeline(r, 0);
    ww_rpc_request_free(r);
    struct streaming s = {0};
    assert_ok(ww_rpc_stream_init(&s.stream, w.vat, &stream_ops, 2000));
    assert_int_equal(push(&s, to, 1), WW_RPC_STREAM_OK);
    assert_int_equal(push(&s, to, 666), WW_RPC_STREAM_OK);
    assert_int_equal(push(&s, to, 3), WW_RPC_STREAM_OK);
    ww_rpc_stream_finish(&s.stream);
    while (!s.drained)
        turn();
    assert_int_equal(s.err, WW_EFAILED);
    assert_non_null(strstr(s.stream.reason, "stream failed"));
    assert_int_equal(push(&s, to, 4), WW_EFAILED);
    struct outcome o;
    outcome_init(&o, NULL);
    r = call_send(to, M_COUNT, 0, NULL, &o); /* the object itself is broken from then on */
    wait_for(&o);
    assert_int_equal(o.status, WW_EFAILED);
    ww_rpc_request_free(r);
    ww_rpc_stream_fini(&s.stream);
    ww_cap_unref(to);
}

static void cancellation(void **state)
{
    WW_UNUSED(state);
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *r = call_send(w.peer, M_LATER, 0, NULL, &o);
    assert_int_equal(ask(w.peer, M_CANCELED, 0, NULL), 0);
    ww_rpc_request_free(r);
    assert_int_equal(ask(w.peer, M_CANCELED, 0, NULL), 1);
    assert_int_equal(o.count, 0);
    struct ww_rpc_conn_stats stats;
    ww_rpc_conn_stats(w.conn, &stats);
    assert_int_equal(stats.questions, 0);
}

/* The C++ side as client: its tests of us, all of them in one call. */
static void driven(void **state)
{
    WW_UNUSED(state);
    objects_obey_cancel = true;
    objects_canceled = 0;
    ask(w.peer, M_DRIVE, 0, NULL);
    assert_int_equal(objects_canceled, 1);
    assert_int_equal(ask(w.peer, M_LIVE, 0, NULL), 1); /* what it lent us came back */
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    if (!getenv("PEER"))
        return 77;
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {T(calls), T(exceptions), T(pipelines), T(callbacks_and_release),
        T(embargo), T(promise_as_parameter), T(streams), T(stream_errors), T(cancellation), T(driven)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
