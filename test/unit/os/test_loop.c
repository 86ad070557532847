/* Time, tasks, signals, names, interfaces. */
#include <signal.h>

#include "test/lib/alloc_fail.h"
#include "test/unit/os/loop.h"

struct entry {
    struct ww_timer timer;
    struct ww_task task;
    struct loop *loop;
    int id, again;
    uint64_t due;
};

static int seen[64];
static size_t seen_count;

static void note(int id)
{
    assert_true(seen_count < WW_COUNT_OF(seen));
    seen[seen_count++] = id;
}

static void fired(struct ww_timer *timer)
{
    struct entry *e = WW_CONTAINER_OF(timer, struct entry, timer);
    assert_false(timer->armed);
    assert_true(ww_env_now(e->loop->env) >= e->due);
    note(e->id);
    if (e->again-- > 0)
        e->loop->ops->timer_set(e->loop->env, timer, 0);
}

static void entry_init(struct entry *e, struct loop *l, int id)
{
    memset(e, 0, sizeof *e);
    e->loop = l;
    e->id = id;
    e->timer.fired = fired;
}

static void timers_fire_in_order(void **state)
{
    WW_UNUSED(state);
    static const int64_t offset_us[] = {3000, 1000, 2000, 1000, -5000, 500, 1400};
    struct loop l;
    struct entry e[WW_COUNT_OF(offset_us)];
    loop_init(&l);
    seen_count = 0;
    uint64_t now = ww_env_now(l.env);
    for (int i = 0; i < (int)WW_COUNT_OF(e); i++) {
        entry_init(&e[i], &l, i);
        e[i].due = (uint64_t)((int64_t)now + offset_us[i] * 1000);
        l.ops->timer_set(l.env, &e[i].timer, e[i].due);
        assert_true(e[i].timer.armed);
    }
    assert_int_equal(seen_count, 0); /* not inside the call, not even the one that is overdue */
    l.ops->timer_cancel(l.env, &e[5].timer);
    l.ops->timer_cancel(l.env, &e[5].timer);
    ww_os_run(l.os); /* ends by itself: nothing is left */
    static const int want[] = {4, 1, 3, 6, 2, 0};
    assert_int_equal(seen_count, WW_COUNT_OF(want));
    assert_memory_equal(seen, want, sizeof want);
    loop_fini(&l);
}

static void a_timer_that_is_always_late_starves_nobody(void **state)
{
    WW_UNUSED(state);
    struct loop l;
    struct entry greedy, other;
    loop_init(&l);
    entry_init(&greedy, &l, 1);
    entry_init(&other, &l, 2);
    seen_count = 0;
    greedy.again = 40;
    l.ops->timer_set(l.env, &greedy.timer, 0);
    l.ops->timer_set(l.env, &other.timer, 0);
    ww_os_run(l.os);
    assert_int_equal(seen_count, 42);
    assert_int_equal(seen[1], 2);
    loop_fini(&l);
}

static void run_task(struct ww_task *task)
{
    struct entry *e = WW_CONTAINER_OF(task, struct entry, task);
    note(e->id);
    if (e->again-- > 0)
        e->loop->ops->post(e->loop->env, task);
}

static void tasks_run_in_order_and_once(void **state)
{
    WW_UNUSED(state);
    struct loop l;
    struct entry e[3];
    loop_init(&l);
    seen_count = 0;
    for (int i = 0; i < 3; i++) {
        entry_init(&e[i], &l, i);
        ww_task_init(&e[i].task, run_task);
        l.ops->post(l.env, &e[i].task);
        l.ops->post(l.env, &e[i].task);
    }
    e[1].again = 2;
    assert_int_equal(seen_count, 0);
    ww_os_run(l.os);
    static const int want[] = {0, 1, 2, 1, 1};
    assert_int_equal(seen_count, WW_COUNT_OF(want));
    assert_memory_equal(seen, want, sizeof want);
    loop_fini(&l);
}

static void stop_now(struct ww_timer *timer)
{
    ww_os_stop(WW_CONTAINER_OF(timer, struct entry, timer)->loop->os);
}

static void endless(struct ww_task *task)
{
    struct entry *e = WW_CONTAINER_OF(task, struct entry, task);
    e->loop->ops->post(e->loop->env, task);
}

static void an_endless_task_does_not_starve_timers(void **state)
{
    WW_UNUSED(state);
    struct loop l;
    struct entry spin, stop;
    loop_init(&l);
    entry_init(&spin, &l, 1);
    entry_init(&stop, &l, 2);
    ww_task_init(&spin.task, endless);
    stop.timer.fired = stop_now;
    l.ops->timer_set(l.env, &stop.timer, ww_env_now(l.env) + WW_NS_PER_MS);
    l.ops->post(l.env, &spin.task);
    ww_os_run(l.os);
    loop_fini(&l);
}

struct catcher {
    struct ww_os_signals signals;
    struct ww_os *os;
    int signum;
};

static void caught(struct ww_os_signals *signals, int signum)
{
    struct catcher *c = WW_CONTAINER_OF(signals, struct catcher, signals);
    c->signum = signum;
    ww_os_stop(c->os);
}

static void signals_arrive_on_the_loop(void **state)
{
    WW_UNUSED(state);
    struct loop l;
    loop_init(&l);
    struct catcher c = {{caught}, l.os, 0};
    assert_ok(ww_os_signals_watch(l.os, &c.signals));
    static const int each[] = {SIGTERM, SIGINT, SIGHUP};
    for (size_t i = 0; i < WW_COUNT_OF(each); i++) {
        raise(each[i]);
        assert_int_equal(c.signum, i ? each[i - 1] : 0);
        loop_run(&l);
        assert_int_equal(c.signum, each[i]);
    }
    assert_ok(ww_os_signals_watch(l.os, NULL));
    loop_fini(&l);
}

static void clocks_and_randomness(void **state)
{
    WW_UNUSED(state);
    struct loop l;
    loop_init(&l);
    uint64_t a = ww_env_now(l.env);
    assert_true(ww_env_now(l.env) >= a);
    assert_true(l.ops->wall_ns(l.env) > UINT64_C(1600000000) * WW_NS_PER_S);
    uint8_t x[32] = {0}, y[32] = {0}, zero[32] = {0};
    l.ops->random(l.env, x, sizeof x);
    l.ops->random(l.env, y, sizeof y);
    assert_memory_not_equal(x, y, sizeof x);
    assert_memory_not_equal(x, zero, sizeof x);
    loop_fini(&l);
}

static void the_loopback_interface_is_listed(void **state)
{
    WW_UNUSED(state);
    struct loop l;
    loop_init(&l);
    struct ww_netif *ifs;
    size_t count;
    bool found = false;
    assert_ok(l.ops->interfaces(l.env, &ifs, &count));
    for (size_t i = 0; i < count; i++) {
        struct ww_netaddr want = loopback(0);
        if (ifs[i].addr.family == 4 && memcmp(ifs[i].addr.ip, want.ip, 4) == 0) {
            found = true;
            assert_string_equal(ifs[i].name, "lo");
            assert_true(ifs[i].loopback && ifs[i].up && ifs[i].index > 0);
            assert_int_equal(ifs[i].prefix_bits, 8);
        }
    }
    assert_true(found);
    ww_free(ifs);
    char name[4] = "???";
    l.ops->hostname(l.env, name, sizeof name);
    assert_true(strlen(name) < sizeof name);
    loop_fini(&l);
}

struct lookup {
    struct ww_resolve op;
    struct ww_os *os;
    int calls;
    ww_err err;
};

static void looked_up(struct ww_resolve *op, ww_err err)
{
    struct lookup *u = WW_CONTAINER_OF(op, struct lookup, op);
    u->calls++;
    u->err = err;
    ww_os_stop(u->os);
}

static void names_resolve(void **state)
{
    WW_UNUSED(state);
    struct loop l;
    loop_init(&l);
    struct lookup u = {.op.done = looked_up, .os = l.os}, gone = u;
    assert_ok(l.ops->resolve(l.env, "127.0.0.9", 4, &u.op));
    assert_int_equal(u.calls, 0);
    assert_non_null(u.op.provider);
    loop_run(&l);
    assert_int_equal(u.calls, 1);
    assert_ok(u.err);
    assert_int_equal(u.op.count, 1);
    assert_int_equal(u.op.addrs[0].family, 4);
    assert_memory_equal(u.op.addrs[0].ip, "\x7f\0\0\x09", 4);
    assert_null(u.op.provider);

    assert_ok(l.ops->resolve(l.env, "no such name!", 0, &u.op));
    loop_run(&l);
    assert_int_equal(u.calls, 2);
    assert_int_not_equal(u.err, WW_OK);
    assert_int_equal(u.op.count, 0);

    assert_ok(l.ops->resolve(l.env, "127.0.0.1", 0, &gone.op));
    l.ops->resolve_cancel(l.env, &gone.op);
    l.ops->resolve_cancel(l.env, &gone.op);
    ww_os_run(l.os);
    assert_int_equal(gone.calls, 0);
    loop_fini(&l);
}

static ww_err life_of_a_loop(void *ctx)
{
    WW_UNUSED(ctx);
    struct ww_os *os;
    struct ww_netif *ifs;
    size_t count;
    WW_TRY(ww_os_new(&os));
    struct ww_env *env = ww_os_env(os);
    struct lookup u = {.op.done = looked_up, .os = os};
    ww_err err = env->ops->interfaces(env, &ifs, &count);
    if (!err) {
        ww_free(ifs);
        err = env->ops->resolve(env, "127.0.0.1", 4, &u.op);
    }
    if (!err)
        ww_os_run(os);
    ww_os_free(os);
    return err;
}

static void memory_may_run_out(void **state)
{
    WW_UNUSED(state);
    assert_int_equal(alloc_fail_run(life_of_a_loop, NULL), 3);
}

static void every_errno_has_a_name(void **state)
{
    WW_UNUSED(state);
    for (int errnum = 1; errnum < 134; errnum++)
        assert_true(ww_errno_err(errnum) < 0);
    assert_int_equal(ww_errno_err(0), WW_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_in_order),
        cmocka_unit_test(a_timer_that_is_always_late_starves_nobody),
        cmocka_unit_test(tasks_run_in_order_and_once),
        cmocka_unit_test(an_endless_task_does_not_starve_timers),
        cmocka_unit_test(signals_arrive_on_the_loop),
        cmocka_unit_test(clocks_and_randomness),
        cmocka_unit_test(the_loopback_interface_is_listed),
        cmocka_unit_test(names_resolve),
        cmocka_unit_test(memory_may_run_out),
        cmocka_unit_test(every_errno_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
