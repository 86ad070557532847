/* ww/rpc_uv.h over real sockets: one loop holds both sides; raw sockets play the peers that misbehave. */
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "test/lib/alloc_fail.h"
#include "test/unit/rpc/pair.h"
#include "ww/rpc_uv.h"

static struct world {
    uv_loop_t loop;
    struct ww_rpc_uv *uv;
    struct ww_rpc_uv_listener *listener;
    struct object *object;
    int live;
    char path[64], address[128];
    bool packed, ended;
} w;

static struct closed_host {
    struct ww_rpc_conn_host host;
    unsigned count;
    ww_err err;
} closed;

static void on_conn_closed(struct ww_rpc_conn_host *host, ww_err err, const char *reason)
{
    struct closed_host *c = WW_CONTAINER_OF(host, struct closed_host, host);
    c->count++;
    c->err = err;
    assert_true(strlen(reason) > 0);
}

static const struct ww_rpc_conn_ops closed_ops = {.closed = on_conn_closed};

static void open_world(const char *address, bool packed)
{
    struct ww_diag diag = {0};
    memset(&w, 0, sizeof w);
    closed = (struct closed_host){.host = {&closed_ops}};
    w.packed = packed;
    snprintf(w.path, sizeof w.path, "unix:/tmp/ww-test-uv-%d", (int)getpid());
    assert_int_equal(uv_loop_init(&w.loop), 0);
    assert_ok(ww_rpc_uv_new(&w.loop, NULL, &w.uv));
    struct ww_cap *boot = object_new(ww_rpc_uv_vat(w.uv), &w.live, &w.object);
    struct ww_rpc_conn_config config = {.bootstrap = boot, .packed = packed};
    if (ww_rpc_uv_listen(w.uv, address ? address : w.path, &config, NULL, &w.listener, &diag) < 0)
        fail_msg("%s", diag.text);
    ww_cap_unref(boot);
    snprintf(w.address, sizeof w.address, "%s", ww_rpc_uv_listener_address(w.listener));
}

static void on_end(void *ctx)
{
    *(bool *)ctx = true;
}

static void close_world(void)
{
    ww_rpc_uv_close(w.uv, on_end, &w.ended);
    uv_run(&w.loop, UV_RUN_DEFAULT); /* ends: nothing of ours is left in the loop */
    assert_true(w.ended);
    assert_int_equal(uv_loop_close(&w.loop), 0);
    assert_int_equal(w.live, 0);
    assert_int_not_equal(access(w.path + 5, F_OK), 0);
}

static struct ww_rpc_conn *connect_to(const char *address, struct ww_cap **ret_cap)
{
    struct ww_rpc_conn *conn;
    struct ww_rpc_conn_config config = {.packed = w.packed, .host = &closed.host};
    assert_ok(ww_rpc_uv_connect(w.uv, address, &config, &conn, NULL));
    assert_ok(ww_rpc_conn_bootstrap(conn, ret_cap));
    return conn;
}

static struct ww_rpc_request *request(struct ww_cap *to, uint16_t method, uint64_t value)
{
    struct ww_rpc_request *r;
    assert_ok(ww_rpc_request_new(to, TEST_IFACE, method, 3, &r));
    ww_sb_set_u64(ww_pb_init_struct(ww_rpc_request_params(r), 1, 2), 0, value);
    return r;
}

static ww_err finish(struct ww_rpc_request *r, uint64_t *ret_value)
{
    ww_err err;
    while ((err = ww_rpc_request_status(r)) == WW_EAGAIN)
        assert_true(uv_run(&w.loop, UV_RUN_ONCE) != 0);
    *ret_value = ww_sr_u64(ww_pr_struct(ww_rpc_request_results(r)), 0);
    ww_rpc_request_free(r);
    return err;
}

static uint64_t ask(struct ww_cap *to, uint16_t method, uint64_t value)
{
    uint64_t got;
    struct ww_rpc_request *r = request(to, method, value);
    ww_rpc_request_send(r, NULL);
    assert_ok(finish(r, &got));
    return got;
}

static void turns(int count)
{
    while (count-- > 0) {
        uv_run(&w.loop, UV_RUN_NOWAIT);
        usleep(500);
    }
}

static int raw_dial(void)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof un.sun_path, "%.100s", w.address + 5);
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(s >= 0);
    assert_int_equal(connect(s, (struct sockaddr *)&un, sizeof un), 0);
    return s;
}

/* A Bootstrap with the question's id, as on the wire. */
static const uint8_t *bootstrap_bytes(uint32_t id)
{
    static uint8_t b[48];
    memset(b, 0, sizeof b);
    b[4] = 5;
    b[12] = 1;
    b[14] = 1;
    b[16] = 8;
    b[28] = 1;
    b[30] = 1;
    memcpy(b + 32, &id, 4);
    return b;
}

static void conversations(void **state)
{
    static const char *const addresses[] = {NULL, "127.0.0.1:0", "localhost:0"};
    WW_UNUSED(state);
    for (unsigned i = 0; i < 6; i++) {
        struct ww_cap *cap;
        open_world(addresses[i / 2], i & 1);
        connect_to(w.address, &cap); /* calls are made before the connection stands */
        for (uint64_t n = 0; n < 50; n++)
            assert_int_equal(ask(cap, M_ECHO, n), n);
        struct ww_rpc_request *r = request(cap, M_NEW, 0);
        ww_rpc_request_send(r, NULL);
        struct ww_cap *next = pipeline(r, 0);
        assert_int_equal(ask(next, M_ECHO, 3), 3);
        ww_rpc_request_free(r);
        ww_cap_unref(next);
        ww_cap_unref(cap);
        assert_int_equal(ww_rpc_uv_count(w.uv), 2);
        close_world();
        assert_int_equal(closed.count, 0); /* no events after ww_rpc_uv_close */
    }
}

static void large_messages(void **state)
{
    WW_UNUSED(state);
    static uint8_t blob[3 << 20];
    struct ww_cap *cap;
    struct ww_rpc_request *r[4];
    open_world("127.0.0.1:0", false);
    connect_to(w.address, &cap);
    for (size_t i = 0; i < sizeof blob; i++)
        blob[i] = (uint8_t)(i * 7 % 251);
    for (int i = 0; i < 4; i++) {
        assert_ok(ww_rpc_request_new(cap, TEST_IFACE, M_COUNT, 0, &r[i]));
        struct ww_sb p = ww_pb_init_struct(ww_rpc_request_params(r[i]), 1, 2);
        ww_pb_set_data(ww_sb_ptr(p, 1), ww_bytes(blob, sizeof blob));
        ww_rpc_request_send(r[i], NULL);
    }
    for (int i = 0; i < 4; i++) {
        uint64_t got;
        assert_ok(finish(r[i], &got));
    }
    ww_cap_unref(cap);
    close_world();
}

static unsigned released;

static void on_released(uv_stream_t *stream)
{
    released++;
    free(stream);
}

static void attached_stream(void **state)
{
    WW_UNUSED(state);
    int fds[2];
    struct ww_rpc_conn *a, *b;
    struct ww_cap *boot, *cap;
    uv_pipe_t *pa = malloc(sizeof *pa), *pb = malloc(sizeof *pb);
    open_world(NULL, false);
    released = 0;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    uv_pipe_init(&w.loop, pa, 0);
    uv_pipe_init(&w.loop, pb, 0);
    assert_int_equal(uv_pipe_open(pa, fds[0]), 0);
    assert_int_equal(uv_pipe_open(pb, fds[1]), 0);
    boot = object_new(ww_rpc_uv_vat(w.uv), &w.live, NULL);
    assert_ok(ww_rpc_uv_attach(
        w.uv, (uv_stream_t *)pa, on_released, &(struct ww_rpc_conn_config){.bootstrap = boot}, &a));
    ww_cap_unref(boot);
    assert_ok(ww_rpc_uv_attach(
        w.uv, (uv_stream_t *)pb, on_released, &(struct ww_rpc_conn_config){.host = &closed.host}, &b));
    assert_ok(ww_rpc_conn_bootstrap(b, &cap));
    assert_int_equal(ask(cap, M_ECHO, 6), 6);
    ww_rpc_conn_close(a, "enough");
    turns(10);
    assert_int_equal(released, 2);
    assert_int_equal(closed.count, 1);
    assert_int_equal(ww_rpc_uv_count(w.uv), 0);
    ww_cap_unref(cap);
    close_world();
}

static void nobody_there(void **state)
{
    WW_UNUSED(state);
    static const struct {
        const char *address;
        ww_err err;
    } cases[] = {{"127.0.0.1:1", WW_EREFUSED}, {"unix:/nowhere/at/all", WW_ENOTFOUND},
        {"localhost:1", WW_EREFUSED}, {"no-such-host.invalid:80", WW_ENOTFOUND}};
    open_world(NULL, false);
    for (size_t i = 0; i < WW_COUNT_OF(cases); i++) {
        struct ww_cap *cap;
        uint64_t got;
        closed.count = 0;
        connect_to(cases[i].address, &cap);
        struct ww_rpc_request *r = request(cap, M_ECHO, 1);
        ww_rpc_request_send(r, NULL);
        assert_int_equal(finish(r, &got), WW_EDISCONNECTED);
        turns(3);
        assert_int_equal(closed.count, 1);
        assert_int_equal(closed.err, cases[i].err);
        ww_cap_unref(cap);
    }
    struct ww_diag diag = {0};
    struct ww_rpc_conn *conn;
    assert_int_equal(ww_rpc_uv_connect(w.uv, "nothing", NULL, &conn, &diag), WW_EINVAL);
    assert_true(strlen(diag.text) > 10);
    assert_int_equal(ww_rpc_uv_listen(w.uv, w.path, NULL, NULL, NULL, &diag), WW_EADDRINUSE);
    assert_int_equal(ww_rpc_uv_count(w.uv), 0);
    close_world();
}

/* In every state that a connection goes through. */
static void closed_on_the_way(void **state)
{
    WW_UNUSED(state);
    static const char *const addresses[] = {"127.0.0.1:0", NULL, "localhost:0"};
    for (int kind = 0; kind < 3; kind++) {
        for (int delay = 0; delay < 12; delay++) {
            struct ww_cap *cap;
            open_world(addresses[kind], false);
            struct ww_rpc_conn *conn = connect_to(w.address, &cap);
            turns(delay);
            if (delay % 2) {
                ww_rpc_conn_close(conn, "changed my mind");
                turns(2);
                assert_int_equal(closed.count, 1);
            }
            ww_cap_unref(cap);
            close_world();
        }
    }
}

static void peers_that_leave(void **state)
{
    WW_UNUSED(state);
    uint8_t answer[512];
    open_world(NULL, false);
    int s = raw_dial(); /* sends slowly */
    for (int i = 0; i < 48; i++) {
        assert_int_equal(send(s, bootstrap_bytes(1) + i, 1, 0), 1);
        turns(2);
    }
    assert_true(recv(s, answer, sizeof answer, MSG_DONTWAIT) > 40);
    assert_int_equal(send(s, bootstrap_bytes(2), 48, 0), 48);
    shutdown(s, SHUT_WR); /* has said all, and still reads */
    turns(5);
    assert_true(recv(s, answer, sizeof answer, MSG_DONTWAIT) > 40);
    assert_int_equal(recv(s, answer, sizeof answer, 0), 0);
    close(s);
    for (int cut = 0; cut <= 48; cut++) {
        s = raw_dial();
        if (cut)
            assert_int_equal(send(s, bootstrap_bytes(1), (size_t)cut, 0), cut);
        turns(cut % 3);
        close(s);
        turns(3);
    }
    turns(5);
    assert_int_equal(ww_rpc_uv_count(w.uv), 0);
    s = raw_dial();
    assert_int_equal(send(s, "GET / HTTP/1.1\r\nHost: x\r\n\r\n12345678", 36, 0), 36);
    turns(5);
    assert_true(recv(s, answer, sizeof answer, MSG_DONTWAIT) > 0); /* the Abort */
    assert_int_equal(recv(s, answer, sizeof answer, 0), 0);
    close(s);
    turns(2);
    close_world();
}

/* A peer that asks and never reads is let go in bounded time, and does not raise SIGPIPE. */
static void never_reads(void **state)
{
    WW_UNUSED(state);
    open_world(NULL, false);
    int s = raw_dial();
    for (uint32_t id = 0; id < 20000; id++) {
        if (send(s, bootstrap_bytes(id), 48, MSG_DONTWAIT) < 0)
            break;
        if (id % 200 == 0)
            turns(1);
    }
    turns(20);
    assert_int_equal(ww_rpc_uv_count(w.uv), 1);
    shutdown(s, SHUT_WR);
    int waited = 0;
    while (ww_rpc_uv_count(w.uv) > 0) {
        turns(10);
        assert_true(++waited < 600);
    }
    close(s);
    s = raw_dial();
    send(s, bootstrap_bytes(1), 48, 0);
    close(s); /* before the answer is written */
    turns(5);
    assert_int_equal(ww_rpc_uv_count(w.uv), 0);
    close_world();
}

static unsigned turned_away;

static ww_err on_accept(
    struct ww_rpc_uv_accept *accept, uv_stream_t *peer, struct ww_rpc_conn_config *io_config)
{
    WW_UNUSED(accept);
    assert_int_equal(peer->type, UV_NAMED_PIPE);
    if (turned_away++ % 2)
        return WW_EDENIED;
    io_config->host = &closed.host;
    return 0;
}

static void accepting_and_refusing(void **state)
{
    WW_UNUSED(state);
    struct ww_rpc_uv_accept accept = {on_accept};
    struct ww_rpc_uv_listener *second;
    open_world("127.0.0.1:0", false);
    assert_ok(ww_rpc_uv_listen(w.uv, w.path, NULL, &accept, &second, NULL));
    snprintf(w.address, sizeof w.address, "%s", ww_rpc_uv_listener_address(second));
    turned_away = 0;
    char c;
    int a = raw_dial(), b = raw_dial();
    turns(4);
    assert_int_equal(recv(b, &c, 1, MSG_DONTWAIT), 0);
    assert_int_equal(recv(a, &c, 1, MSG_DONTWAIT), -1);
    close(a);
    close(b);
    turns(4);
    assert_int_equal(closed.count, 1);
    ww_rpc_uv_listener_close(second);
    close_world();
}

static void no_descriptors_left(void **state)
{
    WW_UNUSED(state);
    uint8_t answer[512];
    struct rlimit before, low;
    open_world(NULL, false);
    int s[2] = {raw_dial(), raw_dial()};
    getrlimit(RLIMIT_NOFILE, &before);
    low = before;
    low.rlim_cur = (rlim_t)s[1] + 1;
    setrlimit(RLIMIT_NOFILE, &low);
    turns(20);
    setrlimit(RLIMIT_NOFILE, &before);
    close(s[0]);
    close(s[1]);
    turns(5);
    int again = raw_dial();
    assert_int_equal(send(again, bootstrap_bytes(1), 48, 0), 48);
    turns(5);
    assert_true(recv(again, answer, sizeof answer, MSG_DONTWAIT) > 40);
    close(again);
    turns(3);
    close_world();
}

static void thousand_connections(void **state)
{
    WW_UNUSED(state);
    enum { N = 1000 };
    static struct ww_cap *caps[N];
    static struct ww_rpc_request *asked[N];
    struct rlimit lim;
    getrlimit(RLIMIT_NOFILE, &lim);
    lim.rlim_cur = lim.rlim_max;
    setrlimit(RLIMIT_NOFILE, &lim);
    if (lim.rlim_cur < 2 * N + 100)
        skip();
    open_world("127.0.0.1:0", false);
    for (int i = 0; i < N; i++)
        connect_to(w.address, &caps[i]);
    for (int round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < N; i++) {
            asked[i] = request(caps[i], M_ECHO, i);
            ww_rpc_request_send(asked[i], NULL);
        }
        for (uint64_t i = 0; i < N; i++) {
            uint64_t got;
            assert_ok(finish(asked[i], &got));
            assert_int_equal(got, i);
        }
    }
    assert_int_equal(ww_rpc_uv_count(w.uv), 2 * N);
    for (int i = 0; i < N; i++)
        ww_cap_unref(caps[i]);
    close_world();
}

/* ---- fairness and memory */

static struct ww_rpc_wait endless;
static struct ww_cap *endless_cap;
static unsigned endless_calls, timer_ticks;

static void endless_done(struct ww_rpc_wait *wait, struct ww_rpc_request *r)
{
    ww_rpc_request_free(r);
    if (timer_ticks >= 3)
        return;
    endless_calls++;
    r = request(endless_cap, M_ECHO, 1);
    ww_rpc_request_send(r, wait);
}

static void on_timer(uv_timer_t *timer)
{
    WW_UNUSED(timer);
    timer_ticks++;
}

/* A vat that always has something to do leaves the loop its turns. */
static void fair_turns(void **state)
{
    WW_UNUSED(state);
    uv_timer_t timer;
    open_world(NULL, false);
    endless_cap = object_new(ww_rpc_uv_vat(w.uv), &w.live, NULL);
    endless.done = endless_done;
    timer_ticks = endless_calls = 0;
    uv_timer_init(&w.loop, &timer);
    uv_timer_start(&timer, on_timer, 5, 5);
    struct ww_rpc_request *r = request(endless_cap, M_COUNT, 1);
    ww_rpc_request_send(r, &endless);
    while (timer_ticks < 4)
        uv_run(&w.loop, UV_RUN_ONCE);
    assert_true(endless_calls > 1000);
    uv_close((uv_handle_t *)&timer, NULL);
    ww_cap_unref(endless_cap);
    close_world();
}

static ww_err starved_body(void *ctx)
{
    struct ww_cap *cap = NULL, *boot;
    struct ww_rpc_conn *conn;
    struct ww_rpc_request *r = NULL;
    bool ended = false;
    int live = 0;
    WW_UNUSED(ctx);
    snprintf(w.path, sizeof w.path, "unix:/tmp/ww-test-uv-%d", (int)getpid());
    WW_TRY(ww_rpc_uv_new(&w.loop, NULL, &w.uv));
    boot = object_try(ww_rpc_uv_vat(w.uv), &live, NULL);
    ww_err err = boot ? 0 : WW_ENOMEM;
    if (err == 0)
        err =
            ww_rpc_uv_listen(w.uv, w.path, &(struct ww_rpc_conn_config){.bootstrap = boot}, NULL, NULL, NULL);
    if (err == 0)
        err = ww_rpc_uv_connect(w.uv, w.path, NULL, &conn, NULL);
    if (err == 0)
        err = ww_rpc_conn_bootstrap(conn, &cap);
    if (err == 0)
        err = ww_rpc_request_new(cap, TEST_IFACE, M_ECHO, 3, &r);
    if (err == 0) {
        ww_rpc_request_send(r, NULL);
        /* Without memory to accept, the listener tries again, and again. */
        for (int i = 0; i < 100 && (err = ww_rpc_request_status(r)) == WW_EAGAIN; i++)
            uv_run(&w.loop, UV_RUN_NOWAIT);
        err = err == WW_EAGAIN ? WW_ENOMEM : err;
    }
    ww_rpc_request_free(r);
    ww_cap_unref(cap);
    ww_cap_unref(boot);
    ww_rpc_uv_close(w.uv, on_end, &ended);
    uv_run(&w.loop, UV_RUN_DEFAULT);
    assert_true(ended);
    assert_int_equal(live, 0);
    return err;
}

static void starved(void **state)
{
    WW_UNUSED(state);
    uv_loop_init(&w.loop);
    assert_true(alloc_fail_run(starved_body, NULL) > 15);
    assert_int_equal(uv_loop_close(&w.loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conversations),
        cmocka_unit_test(large_messages),
        cmocka_unit_test(attached_stream),
        cmocka_unit_test(nobody_there),
        cmocka_unit_test(closed_on_the_way),
        cmocka_unit_test(peers_that_leave),
        cmocka_unit_test(never_reads),
        cmocka_unit_test(accepting_and_refusing),
        cmocka_unit_test(no_descriptors_left),
        cmocka_unit_test(thousand_connections),
        cmocka_unit_test(fair_turns),
        cmocka_unit_test(starved),
    };
    signal(SIGPIPE, SIG_DFL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
