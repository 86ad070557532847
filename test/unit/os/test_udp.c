/* Datagrams and multicast over loopback. */
#include <unistd.h>

#include "test/lib/alloc_fail.h"
#include "test/unit/os/loop.h"

struct sock {
    struct ww_udp_user user;
    struct loop *loop;
    struct ww_netaddr bound, from, local;
    uint8_t data[2048];
    size_t len, count, stop_at;
    bool close_in_callback;
};

static void on_datagram(struct ww_udp_user *user, const struct ww_netaddr *from,
    const struct ww_netaddr *local, struct ww_bytes data)
{
    struct sock *s = WW_CONTAINER_OF(user, struct sock, user);
    s->count++;
    s->from = *from;
    s->local = *local;
    assert_true(data.len <= sizeof s->data);
    if (s->close_in_callback) {
        s->loop->ops->udp_close(s->loop->env, user->udp);
        assert_null(user->udp);
    }
    memcpy(s->data, data.ptr, data.len); /* still there, whatever the callback closed */
    s->len = data.len;
    if (s->count == s->stop_at)
        ww_os_stop(s->loop->os);
}

static ww_err sock_open(struct sock *s, struct loop *l, struct ww_netaddr bind, bool share)
{
    *s = (struct sock){.user.datagram = on_datagram, .loop = l, .stop_at = 1};
    const struct ww_udp_conf conf = {
        .bind = bind, .share = share, .multicast_loop = true, .multicast_ttl = 1, .datagram_max = 1200};
    return l->ops->udp_open(l->env, &conf, &s->user, &s->bound);
}

static void sock_close(struct sock *s)
{
    if (s->user.udp)
        s->loop->ops->udp_close(s->loop->env, s->user.udp);
}

static ww_err send_to(struct sock *s, struct ww_netaddr to, const struct ww_netif *via, struct ww_bytes data)
{
    return s->loop->ops->udp_send(s->loop->env, s->user.udp, &to, via, data);
}

static void a_datagram_and_its_addresses(void **state)
{
    WW_UNUSED(state);
    struct loop l;
    struct sock a, b;
    loop_init(&l);
    assert_ok(sock_open(&a, &l, loopback(0), false));
    assert_ok(sock_open(&b, &l, (struct ww_netaddr){.family = 4}, false));
    struct ww_netaddr to = {.family = 4, .ip = {127, 0, 0, 3}, .port = b.bound.port};
    assert_ok(send_to(&a, to, NULL, WW_BYTES_LIT("hello")));
    loop_run(&l);
    assert_bytes(ww_bytes(b.data, b.len), "hello", 5);
    assert_memory_equal(&b.from, &a.bound, sizeof a.bound);
    assert_memory_equal(&b.local, &to, sizeof to);
    assert_int_equal(a.count, 0);
    sock_close(&a);
    sock_close(&b);
    loop_fini(&l);
}

static void too_long_is_dropped_whole(void **state)
{
    WW_UNUSED(state);
    static const uint8_t big[1201];
    struct loop l;
    struct sock a, b;
    loop_init(&l);
    assert_ok(sock_open(&a, &l, loopback(0), false));
    assert_ok(sock_open(&b, &l, loopback(0), false));
    b.stop_at = 3;
    assert_ok(send_to(&a, b.bound, NULL, ww_bytes(big, 1200)));
    assert_ok(send_to(&a, b.bound, NULL, ww_bytes(big, 1201)));
    assert_ok(send_to(&a, b.bound, NULL, ww_bytes(NULL, 0)));
    assert_ok(send_to(&a, b.bound, NULL, ww_bytes(big, 7)));
    loop_run(&l);
    assert_int_equal(b.len, 7);
    sock_close(&a);
    sock_close(&b);
    loop_fini(&l);
}

static void batches_and_close_inside(void **state)
{
    WW_UNUSED(state);
    struct loop l;
    struct sock a, b;
    loop_init(&l);
    assert_ok(sock_open(&a, &l, loopback(0), false));
    assert_ok(sock_open(&b, &l, loopback(0), false));
    for (uint8_t i = 0; i < 100; i++)
        assert_ok(send_to(&a, b.bound, NULL, ww_bytes(&i, 1)));
    b.stop_at = 100;
    loop_run(&l);
    assert_int_equal(b.data[0], 99);
    for (uint8_t i = 0; i < 3; i++)
        assert_ok(send_to(&a, b.bound, NULL, ww_bytes(&i, 1)));
    b.stop_at = 101;
    b.close_in_callback = true;
    loop_run(&l);
    assert_int_equal(b.count, 101);
    assert_int_equal(b.data[0], 0);
    sock_close(&a);
    loop_fini(&l);
}

static void ports_are_exclusive_unless_shared(void **state)
{
    WW_UNUSED(state);
    struct loop l;
    struct sock a, b, c;
    loop_init(&l);
    assert_ok(sock_open(&a, &l, loopback(0), false));
    assert_int_equal(sock_open(&b, &l, a.bound, false), WW_EADDRINUSE);
    assert_null(b.user.udp);
    sock_close(&a);
    assert_ok(sock_open(&b, &l, loopback(0), true));
    assert_ok(sock_open(&c, &l, b.bound, true));
    assert_int_equal(sock_open(&a, &l, b.bound, false), WW_EADDRINUSE);
    sock_close(&b);
    sock_close(&c);
    loop_fini(&l);
}

static struct ww_netif loopback_if(struct loop *l, uint8_t family)
{
    struct ww_netif *ifs, found = {0};
    size_t count;
    assert_ok(l->ops->interfaces(l->env, &ifs, &count));
    for (size_t i = 0; i < count; i++) {
        if (ifs[i].loopback && ifs[i].addr.family == family)
            found = ifs[i];
    }
    ww_free(ifs);
    return found;
}

/* Two loops, as in two processes, share the port of a group on `lo`; both hear both, and nobody who did not
 * join. */
static void multicast_on_the_loopback(void **state)
{
    WW_UNUSED(state);
    struct ww_netaddr group = {.family = 4, .ip = {228, 8, 8, 8}}, any = {.family = 4};
    struct loop l[2];
    struct sock s[2], deaf;
    loop_init(&l[0]);
    loop_init(&l[1]);
    struct ww_netif lo = loopback_if(&l[0], 4);
    assert_ok(sock_open(&s[0], &l[0], any, true));
    group.port = any.port = s[0].bound.port;
    assert_ok(sock_open(&s[1], &l[1], any, true));
    assert_ok(sock_open(&deaf, &l[1], any, true));
    for (int i = 0; i < 2; i++) {
        assert_ok(l[i].ops->udp_join(l[i].env, s[i].user.udp, &group, &lo));
        assert_ok(l[i].ops->udp_join(l[i].env, s[i].user.udp, &group, &lo)); /* again: harmless */
    }
    for (int from = 0; from < 2; from++) {
        assert_ok(send_to(&s[from], group, &lo, WW_BYTES_LIT("who is there?")));
        for (int i = 0; i < 2; i++) {
            loop_run(&l[i]);
            assert_int_equal(s[i].count, 1);
            assert_bytes(ww_bytes(s[i].data, s[i].len), "who is there?", 13);
            assert_memory_equal(s[i].local.ip, group.ip, 16);
            assert_memory_equal(s[i].from.ip, lo.addr.ip, 16);
            assert_int_equal(s[i].from.port, group.port);
            s[i].count = 0;
        }
    }
    assert_int_equal(deaf.count, 0);
    sock_close(&deaf);
    sock_close(&s[0]);
    sock_close(&s[1]);
    loop_fini(&l[0]);
    loop_fini(&l[1]);
}

/* Linux has no multicast route for IPv6 on `lo`: joining is all that can be tried there, beside unicast. */
static void ip6_unicast_and_join(void **state)
{
    WW_UNUSED(state);
    struct loop l;
    struct sock a;
    loop_init(&l);
    struct ww_netif lo = loopback_if(&l, 6);
    if (lo.index == 0) {
        loop_fini(&l);
        skip();
    }
    const struct ww_netaddr group = {.family = 6, .ip = {0xff, 0x02, [14] = 0x77, [15] = 0x01}};
    struct ww_netaddr any = {.family = 6};
    assert_ok(sock_open(&a, &l, any, true));
    assert_ok(l.ops->udp_join(l.env, a.user.udp, &group, &lo));
    struct ww_netaddr to = lo.addr;
    to.port = a.bound.port;
    assert_ok(send_to(&a, to, &lo, WW_BYTES_LIT("six")));
    loop_run(&l);
    assert_bytes(ww_bytes(a.data, a.len), "six", 3);
    assert_memory_equal(a.local.ip, lo.addr.ip, 16);
    assert_int_equal(a.local.port, to.port);
    assert_int_equal(send_to(&a, loopback(9), NULL, WW_BYTES_LIT("four")), WW_EINVAL);
    sock_close(&a);
    loop_fini(&l);
}

static ww_err open_join_close(void *ctx)
{
    WW_UNUSED(ctx);
    struct ww_os *os;
    WW_TRY(ww_os_new(&os));
    struct loop l = {.os = os, .env = ww_os_env(os), .ops = ww_os_env(os)->ops};
    struct sock s;
    ww_err err = sock_open(&s, &l, loopback(0), true);
    if (!err)
        sock_close(&s);
    ww_os_free(os);
    return err;
}

static void memory_may_run_out(void **state)
{
    WW_UNUSED(state);
    assert_int_equal(alloc_fail_run(open_join_close, NULL), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_datagram_and_its_addresses),
        cmocka_unit_test(too_long_is_dropped_whole),
        cmocka_unit_test(batches_and_close_inside),
        cmocka_unit_test(ports_are_exclusive_unless_shared),
        cmocka_unit_test(multicast_on_the_loopback),
        cmocka_unit_test(ip6_unicast_and_join),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
