/* The loop inside another one: whoever waits on ww_os_fd for as long as ww_os_timeout_ms says misses nothing.
 */
#include <poll.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <unistd.h>

#include "test/unit/os/loop.h"

struct guest {
    struct loop loop;
    struct ww_listener_user listener;
    struct ww_tcp_user user;
    size_t accepted, received;
    int fd; /* the other end, which the loop does not know of */
};

static void on_data(struct ww_tcp_user *user, uint8_t *ptr, size_t len)
{
    WW_UNUSED(ptr);
    WW_CONTAINER_OF(user, struct guest, user)->received += len;
}

static void on_closed(struct ww_tcp_user *user, ww_err err)
{
    WW_UNUSED(user);
    WW_UNUSED(err);
}

static const struct ww_tcp_events events = {.data = on_data, .closed = on_closed};

static struct ww_tcp_user *on_accepted(struct ww_listener_user *user, const struct ww_netaddr *remote)
{
    struct guest *g = WW_CONTAINER_OF(user, struct guest, listener);
    WW_UNUSED(remote);
    g->accepted++;
    g->user.events = &events;
    return &g->user;
}

/* Waits as the contract says. There is no timer in this loop: what the descriptor does not tell is lost. */
static void wait_and_step(struct guest *g)
{
    struct pollfd fd = {.fd = ww_os_fd(g->loop.os), .events = POLLIN};
    int timeout = ww_os_timeout_ms(g->loop.os);
    assert_true(timeout == 0 || timeout == -1);
    int ready = poll(&fd, 1, timeout == 0 ? 0 : 2000);
    assert_true(timeout == 0 || ready == 1);
    assert_true(ww_os_step(g->loop.os, 0));
}

static void sockets_are_known_to_the_descriptor(void **state)
{
    struct guest g = {.listener = {.accepted = on_accepted}};
    struct ww_netaddr at = loopback(0), bound;
    WW_UNUSED(state);
    loop_init(&g.loop);
    /* Made between two turns, ... */
    assert_ok(g.loop.ops->tcp_listen(g.loop.env, &at, &g.listener, &bound));
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(bound.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    g.fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_ok(connect(g.fd, (struct sockaddr *)&to, sizeof to));
    while (!g.accepted)
        wait_and_step(&g);
    /* ... made by an event of the turn before, ... */
    assert_int_equal(write(g.fd, "hello", 5), 5);
    while (g.received < 5)
        wait_and_step(&g);
    /* ... and paused and taken up again. */
    g.loop.ops->tcp_read(g.loop.env, g.user.tcp, false);
    assert_int_equal(write(g.fd, "world", 5), 5);
    assert_true(ww_os_step(g.loop.os, 10));
    assert_int_equal(g.received, 5);
    g.loop.ops->tcp_read(g.loop.env, g.user.tcp, true);
    while (g.received < 10)
        wait_and_step(&g);
    g.loop.ops->tcp_close(g.loop.env, g.user.tcp);
    g.loop.ops->listener_close(g.loop.env, g.listener.listener);
    close(g.fd);
    loop_fini(&g.loop);
}

static void ring(struct ww_timer *timer)
{
    struct loop *l = WW_CONTAINER_OF(timer, struct loop, alarm);
    l->rang = true;
}

static void timeouts_are_those_of_the_timers(void **state)
{
    struct loop l;
    WW_UNUSED(state);
    loop_init(&l);
    l.alarm.fired = ring;
    assert_false(ww_os_step(l.os, 0));
    assert_int_equal(ww_os_timeout_ms(l.os), -1);
    l.ops->timer_set(l.env, &l.alarm, ww_env_now(l.env) + 40 * WW_NS_PER_MS);
    int timeout = ww_os_timeout_ms(l.os);
    assert_true(timeout > 20 && timeout <= 42);
    assert_true(ww_os_step(l.os, 5)); /* its own bound comes first */
    assert_false(l.rang);
    poll(NULL, 0, ww_os_timeout_ms(l.os));
    while (!l.rang) {
        assert_true(ww_os_timeout_ms(l.os) <= 2);
        (void)ww_os_step(l.os, 0);
    }
    assert_int_equal(ww_os_timeout_ms(l.os), -1);
    /* Interrupted before it waits: the descriptor tells, and the turn ends. */
    struct pollfd fd = {.fd = ww_os_fd(l.os), .events = POLLIN};
    ww_os_interrupt(l.os);
    assert_int_equal(poll(&fd, 1, 2000), 1);
    assert_false(ww_os_step(l.os, 5000));
    loop_fini(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sockets_are_known_to_the_descriptor),
        cmocka_unit_test(timeouts_are_those_of_the_timers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
