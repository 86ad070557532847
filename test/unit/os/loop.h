/* A loop for one test, with an alarm: a test that would wait for ever fails instead. */
#ifndef WW_TEST_UNIT_OS_LOOP_H
#define WW_TEST_UNIT_OS_LOOP_H

#include "os/os.h"
#include "test/lib/test.h"

struct loop {
    struct ww_os *os;
    struct ww_env *env;
    const struct ww_env_ops *ops;
    struct ww_timer alarm;
    bool rang;
};

static void loop_rang(struct ww_timer *timer)
{
    struct loop *l = WW_CONTAINER_OF(timer, struct loop, alarm);
    l->rang = true;
    ww_os_stop(l->os);
}

static inline void loop_init(struct loop *l)
{
    memset(l, 0, sizeof *l);
    assert_ok(ww_os_new(&l->os));
    l->env = ww_os_env(l->os);
    l->ops = l->env->ops;
    l->alarm.fired = loop_rang;
}

/* Until ww_os_stop. */
static inline void loop_run(struct loop *l)
{
    l->ops->timer_set(l->env, &l->alarm, ww_env_now(l->env) + 10 * WW_NS_PER_S);
    ww_os_run(l->os);
    l->ops->timer_cancel(l->env, &l->alarm);
    assert_false(l->rang);
}

static inline void loop_fini(struct loop *l)
{
    ww_os_free(l->os);
}

static inline struct ww_netaddr loopback(uint16_t port)
{
    return (struct ww_netaddr){.family = 4, .ip = {127, 0, 0, 1}, .port = port};
}

#endif
