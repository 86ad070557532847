/* The scenario driver: a good program holds under every fault, and one with a fault of its own is found out.
 */
#include "test/lib/test.h"

#include "sim/beacon.h"

static struct ww_scenario_conf conf_for(uint64_t seed)
{
    struct ww_scenario_conf conf;
    ww_scenario_conf_default(&conf, seed);
    conf.settle_ns = 20 * WW_NS_PER_S;
    return conf;
}

static void a_good_program_holds(void **state)
{
    WW_UNUSED(state);
    uint64_t faults = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct ww_scenario_conf conf = conf_for(seed);
        struct ww_scenario_result result;
        struct ww_beacon_program beacon;
        ww_beacon_program_init(&beacon);
        ww_err err = ww_scenario_run(&conf, &beacon.program, &result);
        if (err)
            fail_msg("seed %llu: %s", (unsigned long long)seed, result.diag.text);
        faults += result.faults;
    }
    assert_true(faults > 40 * 10);
}

static void a_run_repeats(void **state)
{
    WW_UNUSED(state);
    uint64_t hash[3];
    for (size_t i = 0; i < 3; i++) {
        struct ww_scenario_conf conf = conf_for(i < 2 ? 7 : 8);
        struct ww_scenario_result result;
        struct ww_beacon_program beacon;
        ww_beacon_program_init(&beacon);
        assert_ok(ww_scenario_run(&conf, &beacon.program, &result));
        hash[i] = result.hash;
    }
    assert_true(hash[0] == hash[1]);
    assert_true(hash[0] != hash[2]);
}

static void what_never_expires_is_found(void **state)
{
    WW_UNUSED(state);
    struct ww_scenario_conf conf = conf_for(1);
    struct ww_scenario_result result;
    struct ww_beacon_program beacon;
    ww_beacon_program_init(&beacon);
    beacon.never_expires = true;
    assert_int_equal(ww_scenario_run(&conf, &beacon.program, &result), WW_ESTALE);
    assert_non_null(strstr(result.diag.text, "still lists"));
    assert_true(result.failed_at_ns > 0);
}

static void what_never_converges_is_found(void **state)
{
    WW_UNUSED(state);
    struct ww_scenario_conf conf = conf_for(1);
    struct ww_scenario_result result;
    struct ww_beacon_program beacon;
    ww_beacon_program_init(&beacon);
    beacon.deaf = true;
    assert_int_equal(ww_scenario_run(&conf, &beacon.program, &result), WW_ENOTFOUND);
    assert_non_null(strstr(result.diag.text, "not converged at the start: n1 does not list n2"));
}

static ww_err never_starts(
    struct ww_scenario_program *program, struct ww_sim_node *node, struct ww_scenario_app **ret_app)
{
    WW_UNUSED(program);
    WW_UNUSED(node);
    WW_UNUSED(ret_app);
    return WW_EDENIED;
}

static void what_does_not_start_is_reported(void **state)
{
    WW_UNUSED(state);
    struct ww_scenario_conf conf = conf_for(1);
    struct ww_scenario_result result;
    struct ww_scenario_program program = {.start = never_starts};
    assert_int_equal(ww_scenario_run(&conf, &program, &result), WW_EDENIED);
    assert_string_equal(result.diag.text, "permission denied");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_program_holds),
        cmocka_unit_test(a_run_repeats),
        cmocka_unit_test(what_never_expires_is_found),
        cmocka_unit_test(what_never_converges_is_found),
        cmocka_unit_test(what_does_not_start_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
