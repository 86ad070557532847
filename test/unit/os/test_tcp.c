/* TCP over loopback: what env.h promises, checked against a real kernel. */
#include <sys/resource.h>
#include <unistd.h>

#include "test/lib/alloc_fail.h"
#include "test/unit/os/loop.h"

enum side_action { KEEP, CLOSE_ON_CONNECT, CLOSE_ON_DATA, CLOSE_ON_WRITABLE, CLOSE_ON_CLOSED };

struct side {
    struct ww_tcp_user user;
    struct ww_task start; /* writes, once it may */
    struct loop *loop;
    enum side_action action;
    bool echo, shutdown_when_sent, stop_on_eof, peer_may_vanish;
    uint8_t own_buf[1000];
    bool own_buffer;
    uint64_t send_left, sent, received;
    size_t writables, partial, connects;
    ww_err connect_err, close_err; /* close_err: the last */
    size_t closes;
    struct ww_buf pending; /* echo */
};

struct pair {
    struct loop loop;
    struct ww_listener_user listener;
    struct side server, client;
    struct ww_netaddr bound;
    size_t accepts;
    bool refuse, close_listener;
};

static uint8_t pattern(uint64_t at)
{
    return (uint8_t)(at * 31 + (at >> 8) * 7 + (at >> 16));
}

static void side_close(struct side *s)
{
    s->loop->ops->tcp_close(s->loop->env, s->user.tcp);
    assert_null(s->user.tcp);
}

static void side_send(struct side *s)
{
    static uint8_t chunk[70000];
    while (s->send_left > 0) {
        size_t n = s->send_left < sizeof chunk ? (size_t)s->send_left : sizeof chunk, taken = 0;
        for (size_t i = 0; i < n; i++)
            chunk[i] = pattern(s->sent + i);
        /* In three parts, one of them empty. */
        struct ww_iovec iov[3] = {{chunk, n / 3}, {chunk, 0}, {chunk + n / 3, n - n / 3}};
        ww_err err = s->loop->ops->tcp_write(s->loop->env, s->user.tcp, iov, 3, &taken);
        if (err && s->peer_may_vanish)
            return;
        assert_ok(err);
        assert_true(taken <= n);
        s->sent += taken;
        s->send_left -= taken;
        if (taken < n) {
            s->partial++;
            return;
        }
    }
    if (s->shutdown_when_sent) {
        s->shutdown_when_sent = false;
        s->loop->ops->tcp_shutdown(s->loop->env, s->user.tcp);
    }
}

static void side_start(struct ww_task *task)
{
    struct side *s = WW_CONTAINER_OF(task, struct side, start);
    if (s->user.tcp)
        side_send(s);
}

static void on_connected(struct ww_tcp_user *user, ww_err err)
{
    struct side *s = WW_CONTAINER_OF(user, struct side, user);
    s->connects++;
    s->connect_err = err;
    if (err) {
        assert_null(user->tcp);
        ww_os_stop(s->loop->os);
    } else if (s->action == CLOSE_ON_CONNECT) {
        side_close(s);
        memset(user, 0x5a, sizeof *user); /* the provider may not look again */
    } else {
        side_send(s);
    }
}

static void on_buffer(struct ww_tcp_user *user, uint8_t **ret_ptr, size_t *ret_len)
{
    struct side *s = WW_CONTAINER_OF(user, struct side, user);
    if (s->own_buffer) {
        *ret_ptr = s->own_buf;
        *ret_len = sizeof s->own_buf;
    }
}

static void echo_flush(struct side *s)
{
    struct ww_bytes v = ww_buf_view(&s->pending);
    size_t taken;
    if (v.len == 0)
        return;
    const struct ww_iovec iov = {v.ptr, v.len};
    assert_ok(s->loop->ops->tcp_write(s->loop->env, s->user.tcp, &iov, 1, &taken));
    ww_buf_consume(&s->pending, taken);
    s->loop->ops->tcp_read(s->loop->env, s->user.tcp, ww_buf_len(&s->pending) == 0);
}

static void on_data(struct ww_tcp_user *user, uint8_t *ptr, size_t len)
{
    struct side *s = WW_CONTAINER_OF(user, struct side, user);
    assert_true(len > 0);
    if (s->own_buffer)
        assert_ptr_equal(ptr, s->own_buf);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(ptr[i], pattern(s->received + i));
    s->received += len;
    if (s->action == CLOSE_ON_DATA) {
        side_close(s);
        memset(user, 0x5a, sizeof *user);
    } else if (s->echo) {
        assert_ok(ww_buf_append(&s->pending, ww_bytes(ptr, len)));
        echo_flush(s);
    }
}

static void on_writable(struct ww_tcp_user *user)
{
    struct side *s = WW_CONTAINER_OF(user, struct side, user);
    s->writables++;
    if (s->action == CLOSE_ON_WRITABLE) {
        side_close(s);
        memset(user, 0x5a, sizeof *user);
        return;
    }
    if (s->echo)
        echo_flush(s);
    else
        side_send(s);
}

static void on_closed(struct ww_tcp_user *user, ww_err err)
{
    struct side *s = WW_CONTAINER_OF(user, struct side, user);
    s->close_err = err;
    s->closes++;
    if (s->action == CLOSE_ON_CLOSED) {
        side_close(s);
        memset(user, 0x5a, sizeof *user);
    }
    if (s->stop_on_eof)
        ww_os_stop(s->loop->os);
}

static const struct ww_tcp_events side_events = {on_connected, on_buffer, on_data, on_writable, on_closed};

static struct ww_tcp_user *on_accepted(struct ww_listener_user *user, const struct ww_netaddr *remote)
{
    struct pair *p = WW_CONTAINER_OF(user, struct pair, listener);
    p->accepts++;
    assert_int_equal(remote->family, 4);
    assert_memory_equal(remote->ip, "\x7f\0\0\x01", 4);
    if (p->close_listener)
        p->loop.ops->listener_close(p->loop.env, user->listener);
    if (p->refuse)
        return NULL;
    p->loop.ops->post(p->loop.env, &p->server.start);
    return &p->server.user;
}

static void side_init(struct side *s, struct loop *l)
{
    s->user.events = &side_events;
    s->loop = l;
    ww_task_init(&s->start, side_start);
    ww_buf_init(&s->pending, 1 << 20);
}

static int set_up(void **state)
{
    struct pair *p = calloc(1, sizeof *p);
    struct ww_netaddr any_port = loopback(0);
    loop_init(&p->loop);
    side_init(&p->server, &p->loop);
    side_init(&p->client, &p->loop);
    p->listener.accepted = on_accepted;
    assert_ok(p->loop.ops->tcp_listen(p->loop.env, &any_port, &p->listener, &p->bound));
    assert_true(p->bound.port > 0);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct pair *p = *state;
    if (p->listener.listener)
        p->loop.ops->listener_close(p->loop.env, p->listener.listener);
    if (p->server.user.tcp && p->server.user.events == &side_events)
        side_close(&p->server);
    if (p->client.user.tcp && p->client.user.events == &side_events)
        side_close(&p->client);
    ww_buf_fini(&p->server.pending);
    ww_buf_fini(&p->client.pending);
    loop_fini(&p->loop);
    free(p);
    return 0;
}

static void dial(struct pair *p)
{
    assert_ok(p->loop.ops->tcp_connect(p->loop.env, &p->bound, &p->client.user));
    assert_non_null(p->client.user.tcp);
    assert_int_equal(p->client.connects, 0); /* not inside the call */
}

static void echo_with_half_close(void **state)
{
    struct pair *p = *state;
    p->client.send_left = 5;
    p->client.shutdown_when_sent = true;
    p->server.stop_on_eof = p->server.echo = true;
    dial(p);
    loop_run(&p->loop);
    /* The client ended its side; ours still writes. */
    assert_int_equal(p->server.close_err, WW_ECLOSED);
    p->server.loop->ops->tcp_shutdown(p->loop.env, p->server.user.tcp);
    p->client.stop_on_eof = true;
    loop_run(&p->loop);
    assert_int_equal(p->client.received, 5);
    assert_int_equal(p->client.close_err, WW_ECLOSED);
    assert_int_equal(p->client.closes, 1);
    assert_int_equal(p->server.closes, 1);
}

static void addresses_match(void **state)
{
    struct pair *p = *state;
    p->client.send_left = 1;
    p->client.shutdown_when_sent = p->server.stop_on_eof = true;
    dial(p);
    loop_run(&p->loop);
    struct ww_netaddr sl, sr, cl, cr;
    p->loop.ops->tcp_addrs(p->loop.env, p->server.user.tcp, &sl, &sr);
    p->loop.ops->tcp_addrs(p->loop.env, p->client.user.tcp, &cl, &cr);
    assert_memory_equal(&sl, &cr, sizeof sl);
    assert_memory_equal(&sr, &cl, sizeof sr);
    assert_memory_equal(&sl, &p->bound, sizeof sl);
}

/* Both ways at once, 24 MiB each way through an echo that stops reading while it cannot write. */
static void bulk_with_back_pressure(void **state)
{
    struct pair *p = *state;
    p->client.send_left = 24 << 20;
    p->client.shutdown_when_sent = p->server.echo = p->server.stop_on_eof = true;
    dial(p);
    loop_run(&p->loop);
    while (ww_buf_len(&p->server.pending) > 0 || p->client.received < p->client.sent) {
        p->client.stop_on_eof = true;
        if (ww_buf_len(&p->server.pending) == 0)
            p->loop.ops->tcp_shutdown(p->loop.env, p->server.user.tcp);
        else
            p->server.shutdown_when_sent = true;
        loop_run(&p->loop);
    }
    assert_int_equal(p->client.received, 24 << 20);
    assert_true(p->client.partial > 0);
    assert_int_equal(p->client.partial, p->client.writables);
}

/* A reader that stands still stops the writer, and nothing is lost when it goes on. */
static void a_paused_reader_stops_the_writer(void **state)
{
    struct pair *p = *state;
    p->client.own_buffer = true;
    p->server.send_left = UINT64_C(64) << 20;
    p->server.shutdown_when_sent = true;
    dial(p);
    p->loop.ops->tcp_read(p->loop.env, p->client.user.tcp, false);
    /* Runs until the kernel is full: the server has met a partial write and nothing moves any more. */
    for (uint64_t before = 1; before != p->server.sent;) {
        before = p->server.sent;
        struct loop *l = &p->loop;
        l->ops->timer_set(l->env, &l->alarm, ww_env_now(l->env) + 20 * WW_NS_PER_MS);
        ww_os_run(l->os);
        l->rang = false;
    }
    assert_true(p->server.partial > 0);
    assert_true(p->server.sent < UINT64_C(64) << 20);
    assert_int_equal(p->client.received, 0);
    p->client.stop_on_eof = true;
    p->loop.ops->tcp_read(p->loop.env, p->client.user.tcp, true);
    loop_run(&p->loop);
    assert_int_equal(p->client.received, UINT64_C(64) << 20);
    assert_int_equal(p->client.close_err, WW_ECLOSED);
}

static void nobody_listens(void **state)
{
    struct pair *p = *state;
    p->loop.ops->listener_close(p->loop.env, p->listener.listener);
    assert_null(p->listener.listener);
    ww_err err = p->loop.ops->tcp_connect(p->loop.env, &p->bound, &p->client.user);
    if (!err) {
        loop_run(&p->loop);
        err = p->client.connect_err;
    }
    assert_int_equal(err, WW_EREFUSED);
    assert_null(p->client.user.tcp);
    assert_int_equal(p->client.closes, 0);
}

static void addresses_that_cannot_be_had(void **state)
{
    struct pair *p = *state;
    struct ww_listener_user other = {.accepted = on_accepted};
    struct ww_netaddr got = {.port = 7};
    assert_int_equal(p->loop.ops->tcp_listen(p->loop.env, &p->bound, &other, &got), WW_EADDRINUSE);
    struct ww_netaddr foreign = {.family = 4, .ip = {192, 0, 2, 1}, .port = 80};
    assert_int_equal(p->loop.ops->tcp_listen(p->loop.env, &foreign, &other, &got), WW_EADDRNOTAVAIL);
    struct ww_netaddr none = {.port = 80};
    assert_int_equal(p->loop.ops->tcp_listen(p->loop.env, &none, &other, &got), WW_EINVAL);
    assert_int_equal(p->loop.ops->tcp_connect(p->loop.env, &none, &p->client.user), WW_EINVAL);
    assert_int_equal(got.port, 7);
    assert_null(other.listener);
    assert_null(p->client.user.tcp);
}

static void a_refused_connection_is_closed(void **state)
{
    struct pair *p = *state;
    p->refuse = p->close_listener = p->client.stop_on_eof = true;
    dial(p);
    loop_run(&p->loop);
    assert_int_equal(p->accepts, 1);
    assert_ok(p->client.connect_err);
    assert_int_equal(p->client.closes, 1);
}

static void close_before_connected(void **state)
{
    struct pair *p = *state;
    dial(p);
    side_close(&p->client);
    memset(&p->client.user, 0x5a, sizeof p->client.user);
    p->refuse = p->close_listener = true;
    ww_os_run(p->loop.os); /* nothing is left once the listener closed itself */
    assert_int_equal(p->client.connects, 0);
}

static void close_in(struct pair *p, enum side_action client, enum side_action server)
{
    p->client.action = client;
    p->server.action = server;
    p->client.stop_on_eof = p->server.stop_on_eof = true;
    p->client.peer_may_vanish = p->server.peer_may_vanish = true;
    p->client.send_left = p->server.send_left = 8 << 20;
    p->close_listener = true;
    dial(p);
    loop_run(&p->loop);
    /* One of the two closed itself; the other heard of it, once as an end and at most once more as an error.
     */
    assert_true(p->client.closes + p->server.closes >= 1);
}

static void close_in_connected(void **state)
{
    close_in(*state, CLOSE_ON_CONNECT, KEEP);
}

static void close_in_data(void **state)
{
    close_in(*state, KEEP, CLOSE_ON_DATA);
}

static void close_in_writable(void **state)
{
    close_in(*state, CLOSE_ON_WRITABLE, KEEP);
}

static void close_in_closed(void **state)
{
    close_in(*state, CLOSE_ON_CLOSED, CLOSE_ON_DATA);
}

/* Closing with unread input resets the connection. Writing to it then fails, and `closed` follows. */
static void write_to_a_dead_connection(void **state)
{
    struct pair *p = *state;
    p->client.send_left = 1 << 20;
    p->server.action = CLOSE_ON_DATA;
    p->server.own_buffer = p->client.stop_on_eof = true;
    dial(p);
    loop_run(&p->loop);
    ww_err err = WW_OK;
    size_t taken = 4711;
    const struct ww_iovec iov = {(const uint8_t *)"x", 1};
    size_t closes = p->client.closes;
    if (p->client.close_err == WW_ECLOSED) {
        for (int i = 0; i < 3 && !err; i++)
            err = p->loop.ops->tcp_write(p->loop.env, p->client.user.tcp, &iov, 1, &taken);
        assert_int_not_equal(err, WW_OK);
        assert_int_equal(p->client.closes, closes); /* not inside the call */
        loop_run(&p->loop);
        assert_int_equal(p->client.closes, closes + 1);
    }
    assert_int_not_equal(p->client.close_err, WW_ECLOSED);
    taken = 4711;
    assert_true(p->loop.ops->tcp_write(p->loop.env, p->client.user.tcp, &iov, 1, &taken) < 0);
    assert_int_equal(taken, 4711);
}

/* With no descriptor left, connections are refused, not left to spin; afterwards all is well. */
static void descriptors_run_out(void **state)
{
    struct pair *p = *state;
    struct rlimit before, now;
    dial(p);
    p->client.stop_on_eof = true;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = dup(0);
    close(next);
    now = (struct rlimit){(rlim_t)next, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    struct side more = {0};
    side_init(&more, &p->loop);
    assert_int_equal(p->loop.ops->tcp_connect(p->loop.env, &p->bound, &more.user), WW_ELIMIT);
    loop_run(&p->loop);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(p->accepts, 0);
    assert_int_equal(p->client.closes, 1);
    side_close(&p->client);
    p->client.send_left = 3;
    p->client.connects = 0;
    p->client.shutdown_when_sent = p->server.stop_on_eof = true;
    dial(p);
    loop_run(&p->loop);
    assert_int_equal(p->server.received, 3);
}

static ww_err whole_life(void *ctx)
{
    WW_UNUSED(ctx);
    struct pair *p = calloc(1, sizeof *p);
    struct ww_netaddr any_port = loopback(0);
    ww_err err = ww_os_new(&p->loop.os);
    if (err)
        goto out;
    p->loop.env = ww_os_env(p->loop.os);
    p->loop.ops = p->loop.env->ops;
    p->loop.alarm.fired = loop_rang;
    side_init(&p->client, &p->loop);
    side_init(&p->server, &p->loop);
    p->listener.accepted = on_accepted;
    p->client.stop_on_eof = p->server.stop_on_eof = true;
    p->client.send_left = 10;
    p->client.shutdown_when_sent = true;
    err = p->loop.ops->tcp_listen(p->loop.env, &any_port, &p->listener, &p->bound);
    if (!err)
        err = p->loop.ops->tcp_connect(p->loop.env, &p->bound, &p->client.user);
    if (!err)
        loop_run(&p->loop); /* if accepting fails, the client sees the connection closed */
    if (!err && p->server.received == 0)
        err = WW_ENOMEM;
    if (p->client.user.tcp)
        side_close(&p->client);
    if (p->server.user.tcp)
        side_close(&p->server);
    if (p->listener.listener)
        p->loop.ops->listener_close(p->loop.env, p->listener.listener);
    ww_os_free(p->loop.os);
out:
    free(p);
    return err;
}

static void memory_may_run_out(void **state)
{
    WW_UNUSED(state);
    assert_int_equal(alloc_fail_run(whole_life, NULL), 4);
}

#define PAIR_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_TEST(echo_with_half_close),
        PAIR_TEST(addresses_match),
        PAIR_TEST(bulk_with_back_pressure),
        PAIR_TEST(a_paused_reader_stops_the_writer),
        PAIR_TEST(nobody_listens),
        PAIR_TEST(addresses_that_cannot_be_had),
        PAIR_TEST(a_refused_connection_is_closed),
        PAIR_TEST(close_before_connected),
        PAIR_TEST(close_in_connected),
        PAIR_TEST(close_in_data),
        PAIR_TEST(close_in_writable),
        PAIR_TEST(close_in_closed),
        PAIR_TEST(write_to_a_dead_connection),
        PAIR_TEST(descriptors_run_out),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
