/* The measuring controller on simulated paths. */
#include "link.h"

enum {
    FLOOR = 4096,            /* no window is smaller */
    SMALL_QUEUE = 64 * 1024, /* two flows, where the product is a few of those */
};

struct path {
    double mbit, ms;
};

static const double rates[] = {1, 10, 100, 1000, 10000};
static const double delays[] = {0.1, 1, 10, 50, 100, 300};
static const uint64_t sizes[][2] = {
    {100, 100}, {1500, 1500}, {16384, 16384}, {65536, 65536}, {1 << 20, 1 << 20}, {100, 1 << 20}};

static uint64_t seconds(double s)
{
    return (uint64_t)(s * 1e9);
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

struct result {
    double use, queue, bdp, share, jain;
};

static struct result measure(struct link *l, double settle_s, double measure_s)
{
    link_run(l, l->now_ns + seconds(settle_s));
    link_mark(l);
    link_run(l, l->now_ns + seconds(measure_s));
    return (struct result){
        link_utilization(l), link_queue_mean(l), link_bdp(l), link_share(l, 0), link_jain(l)};
}

static void expect(const struct result *r, double queue_max, double mbit, double ms, uint64_t size)
{
    if (r->use < 0.9 || r->queue > queue_max)
        fail_msg("%g Mbit/s, %g ms, messages to %llu: %.3f of the bandwidth, queue %.0f, allowed %.0f", mbit,
            ms, (unsigned long long)size, r->use, r->queue, queue_max);
}

static void one_path(double mbit, double ms, const uint64_t *size, double jitter)
{
    enum { MESSAGES_MAX = 200000 };
    double bytes_per_s = mbit * 1e6 / 8, messages_per_s = bytes_per_s / ((double)(size[0] + size[1]) / 2);
    double round = ms / 1e3 + (double)size[1] / bytes_per_s + 32768 / bytes_per_s;
    double time = 60 * round;
    if (time < 25 && 25 * messages_per_s < MESSAGES_MAX)
        time = 25; /* with a probe of the round trip in it */
    if (time * messages_per_s > MESSAGES_MAX)
        return; /* a test has to end */
    struct ww_rpc_bbr bbr;
    struct link l;
    ww_rpc_bbr_init(&bbr, 1);
    link_init(&l, (uint64_t)(mbit * 1e6), seconds(ms / 1e3), 7);
    l.jitter_ns = seconds(ms / 1e3 * jitter);
    link_add(&l, &bbr.flow, size[0], size[1], 0);
    struct result r = measure(&l, time / 2, time / 2);
    expect(&r, larger(2 * r.bdp, 1.25 * FLOOR) + (double)size[1], mbit, ms, size[1]);
    link_fini(&l);
}

static void all_paths(double jitter)
{
    for (size_t i = 0; i < WW_COUNT_OF(rates); i++)
        for (size_t j = 0; j < WW_COUNT_OF(delays); j++)
            for (size_t k = 0; k < WW_COUNT_OF(sizes); k++)
                one_path(rates[i], delays[j], sizes[k], jitter);
}

static void paths(void **state)
{
    WW_UNUSED(state);
    all_paths(0);
}

static void paths_with_jitter(void **state)
{
    WW_UNUSED(state);
    all_paths(0.25);
}

static void two_flows(double mbit, double ms, double late, double jitter)
{
    double bytes_per_s = mbit * 1e6 / 8, bdp = bytes_per_s * ms / 1e3;
    uint64_t size = (uint64_t)larger(bdp / 32 < 65536 ? bdp / 32 : 65536, 1000);
    double round = ms / 1e3 + 32768 / bytes_per_s; /* they probe the round trip after 500, or 10 s */
    double time = 1500 * round < 60 ? larger(1500 * round, 2) : larger(60, 100 * round);
    if (time * bytes_per_s / (double)size > 600000)
        return;
    struct ww_rpc_bbr bbr[2];
    struct link l;
    ww_rpc_bbr_init(&bbr[0], 1);
    ww_rpc_bbr_init(&bbr[1], 2);
    link_init(&l, (uint64_t)(mbit * 1e6), seconds(ms / 1e3), 7);
    l.jitter_ns = seconds(ms / 1e3 * jitter);
    link_add(&l, &bbr[0].flow, size, size, 0);
    link_add(&l, &bbr[1].flow, size, size, seconds(time * late));
    struct result r = measure(&l, time * 0.6, time * 0.4);
    expect(&r, bdp < 4 * FLOOR ? SMALL_QUEUE : 2 * bdp + 2 * (double)size, mbit, ms, size);
    if (r.jain < (bdp < 4 * FLOOR ? 0.7 : 0.9))
        fail_msg("%g Mbit/s, %g ms, late by %g: the first flow got %.2f of it", mbit, ms, late, r.share);
    link_fini(&l);
}

static void fair(void **state)
{
    WW_UNUSED(state);
    static const double late[] = {0, 0.01, 0.1, 0.3};
    for (size_t i = 0; i < WW_COUNT_OF(rates); i++)
        for (size_t j = 0; j < WW_COUNT_OF(delays); j++)
            for (size_t k = 0; k < WW_COUNT_OF(late); k++)
                two_flows(rates[i], delays[j], late[k], k % 2 * 0.1);
}

/* ---- paths that change */

static void link_one(struct link *l, struct ww_rpc_bbr *bbr, double mbit, double ms, uint64_t size)
{
    ww_rpc_bbr_init(bbr, 3);
    link_init(l, (uint64_t)(mbit * 1e6), seconds(ms / 1e3), 11);
    link_add(l, &bbr->flow, size, size, 0);
}

static void slower(void **state)
{
    WW_UNUSED(state);
    static const struct path at[] = {{100, 1}, {100, 20}, {1000, 50}, {20, 200}};
    for (size_t i = 0; i < WW_COUNT_OF(at); i++) {
        struct ww_rpc_bbr bbr;
        struct link l;
        link_one(&l, &bbr, at[i].mbit, at[i].ms, 4096);
        double round = at[i].ms / 1e3 + 65536 * 8 / (at[i].mbit * 1e6);
        (void)measure(&l, 40 * round, 10 * round);
        uint64_t before = bbr.flow.window_bytes;
        l.rate /= 4;
        struct result r = measure(&l, 40 * round, 40 * round);
        assert_true(bbr.flow.window_bytes < before / 2);
        expect(&r, 2 * r.bdp + 4096, at[i].mbit / 4, at[i].ms, 4096);
        link_fini(&l);
    }
}

static void faster(void **state)
{
    WW_UNUSED(state);
    static const struct path at[] = {{10, 5}, {25, 20}, {250, 50}, {20, 200}};
    for (size_t i = 0; i < WW_COUNT_OF(at); i++) {
        struct ww_rpc_bbr bbr;
        struct link l;
        link_one(&l, &bbr, at[i].mbit, at[i].ms, 2048);
        double round = at[i].ms / 1e3 + 65536 * 8 / (at[i].mbit * 1e6);
        (void)measure(&l, 40 * round, 10 * round);
        l.rate *= 4;
        struct result r = measure(&l, 25 * round, 40 * round);
        expect(&r, 2 * r.bdp + 4096, at[i].mbit * 4, at[i].ms, 2048);
        link_fini(&l);
    }
}

/* A round trip that becomes ten times as long is believed step by step, for it may be the queue of others. */
static void longer(void **state)
{
    WW_UNUSED(state);
    struct ww_rpc_bbr bbr;
    struct link l;
    link_one(&l, &bbr, 100, 10, 8192);
    (void)measure(&l, 3, 1);
    l.rtt_ns *= 10;
    struct result r = measure(&l, 30, 20);
    expect(&r, 2 * r.bdp + 8192, 100, 100, 8192);
    l.rtt_ns /= 10;
    r = measure(&l, 3, 10);
    expect(&r, 2 * r.bdp + 8192, 100, 10, 8192);
    link_fini(&l);
}

/* A sender that has little to say must not be taken for a slow path. */
static void app_limited(void **state)
{
    WW_UNUSED(state);
    struct ww_rpc_bbr bbr;
    struct link l;
    link_one(&l, &bbr, 100, 20, 8192);
    (void)measure(&l, 3, 1);
    uint64_t before = bbr.flow.window_bytes;
    l.flows[0].app_rate = l.rate / 8 / 20;
    struct result r = measure(&l, 5, 25);
    assert_true(r.use > 0.045 && r.use < 0.055);
    assert_true(bbr.flow.window_bytes >= before / 2);
    l.flows[0].app_rate = 0;
    r = measure(&l, 0.2, 2); /* at once, not in ten cycles */
    expect(&r, 2 * r.bdp + 8192, 100, 20, 8192);
    link_fini(&l);
}

/* Even while it starts, a trickle finds room for all that it sends. */
static void trickle(void **state)
{
    WW_UNUSED(state);
    struct ww_rpc_bbr bbr;
    struct link l;
    link_one(&l, &bbr, 1000, 100, 1000);
    l.flows[0].app_rate = 100000;
    struct result r = measure(&l, 5, 30);
    assert_true((double)l.flows[0].delivered > 0.99 * 30 * 100000);
    assert_true(r.queue < 1000);
    link_fini(&l);
}

/* A clock that stands still or goes back: no estimate, but no standstill either. */
static void broken_clock(void **state)
{
    WW_UNUSED(state);
    struct ww_rpc_bbr bbr;
    struct ww_rpc_flow_meter m;
    ww_rpc_bbr_init(&bbr, 1);
    ww_rpc_flow_meter_init(&m, 5000);
    struct ww_prng prng;
    ww_prng_init(&prng, 1);
    for (int i = 0; i < 10000; i++) {
        struct ww_rpc_flow_mark mark;
        ww_rpc_flow_sent(
            &m, &mark, 1000, bbr.flow.window_bytes, i < 5000 ? 5000 : ww_prng_below(&prng, 1 << 20));
        ww_rpc_flow_acked(&m, &mark);
        struct ww_rpc_flow_sample s;
        assert_true(ww_rpc_flow_sample(&m, i < 5000 ? 5000 : ww_prng_below(&prng, 1 << 20), &s));
        bbr.flow.ops->acked(&bbr.flow, &s);
        assert_true(bbr.flow.window_bytes >= 1000 && bbr.flow.window_bytes <= WW_RPC_WINDOW_MAX);
    }
    assert_int_equal(m.in_flight, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(paths), cmocka_unit_test(paths_with_jitter),
        cmocka_unit_test(fair), cmocka_unit_test(slower), cmocka_unit_test(faster), cmocka_unit_test(longer),
        cmocka_unit_test(app_limited), cmocka_unit_test(trickle), cmocka_unit_test(broken_clock)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
