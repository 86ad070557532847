#include "test/lib/test.h"

#include "cli/opt.h"

static struct ww_diag diag;

/* Splits at blanks; the words stay valid until the next call. */
static ww_err parse(const char *line, struct ww_cli_args *args, uint32_t *given)
{
    static char copy[512];
    static char *argv[32];
    int argc = 0;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *at = copy; *at;) {
        argv[argc++] = at;
        at += strcspn(at, " ");
        if (*at)
            *at++ = '\0';
    }
    return ww_cli_parse(argc, argv, args, given, &diag);
}

static void options_stand_anywhere(void **state)
{
    WW_UNUSED(state);
    struct ww_cli_args a;
    uint32_t given;
    assert_ok(parse("--ns x -p A ls --peer=B -n5 WHERE host=web --json --timeout 500ms", &a, &given));
    assert_string_equal(a.ns, "x");
    assert_int_equal(a.peers.count, 2);
    assert_string_equal(a.peers.items[0], "A");
    assert_string_equal(a.peers.items[1], "B");
    assert_int_equal(a.limit, 5);
    assert_true(a.json);
    assert_int_equal(a.timeout_ns, 500 * WW_NS_PER_MS);
    assert_int_equal(a.rest_count, 3);
    assert_string_equal(a.rest[2], "host=web");
    assert_true(given & WW_OPT_NS && given & WW_OPT_LIMIT && !(given & WW_OPT_DATA));
    ww_cli_args_fini(&a);
}

static void environment_and_defaults(void **state)
{
    WW_UNUSED(state);
    struct ww_cli_args a;
    uint32_t given;
    setenv("WW_PEERS", "A,,B", 1);
    setenv("WW_JSON", "true", 1);
    setenv("WW_NS", "env", 1);
    assert_ok(parse("ls -p C", &a, &given));
    assert_int_equal(a.peers.count, 1);
    assert_string_equal(a.ns, "env");
    assert_true(a.json);
    assert_int_equal(a.ttl_ns, 10 * WW_NS_PER_S);
    ww_cli_args_fini(&a);
    assert_ok(parse("ls", &a, &given));
    assert_int_equal(a.peers.count, 2);
    assert_string_equal(a.peers.items[1], "B");
    ww_cli_args_fini(&a);
    setenv("WW_JSON", "maybe", 1);
    assert_int_equal(parse("ls", &a, &given), WW_EINVAL);
    assert_non_null(strstr(diag.text, "WW_JSON"));
    ww_cli_args_fini(&a);
    unsetenv("WW_PEERS");
    unsetenv("WW_JSON");
    unsetenv("WW_NS");
}

static void mistakes_name_the_remedy(void **state)
{
    WW_UNUSED(state);
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"ls --limt 3", "did you mean --limit?"},
        {"ls --limit x", "--limit: 'x' is no whole number"},
        {"ls --limit -1", "no whole number"},
        {"ls --timeout 3", "3s or 500ms"},
        {"ls --limit", "needs a value (N)"},
        {"ls -Z", "unknown option -Z"},
        {"ls -rw", "write single letters apart"},
    };
    for (size_t i = 0; i < WW_COUNT_OF(cases); i++) {
        struct ww_cli_args a;
        uint32_t given;
        assert_int_equal(parse(cases[i].line, &a, &given), WW_EINVAL);
        if (!strstr(diag.text, cases[i].says))
            fail_msg("'%s' said '%s'", cases[i].line, diag.text);
        ww_cli_args_fini(&a);
    }
}

static void dashes_end_the_options(void **state)
{
    WW_UNUSED(state);
    struct ww_cli_args a;
    uint32_t given;
    assert_ok(parse("ls - -- --json", &a, &given));
    assert_false(a.json);
    assert_int_equal(a.rest_count, 3);
    assert_string_equal(a.rest[2], "--json");
    ww_cli_args_fini(&a);
}

static void the_table_is_consistent(void **state)
{
    WW_UNUSED(state);
    for (size_t i = 0; i < ww_cli_opts_count; i++) {
        const struct ww_cli_opt *o = &ww_cli_opts[i];
        assert_int_equal(o->metavar == NULL, o->type == WW_CLI_FLAG);
        for (size_t k = 0; k < i; k++) {
            assert_true(ww_cli_opts[k].id != o->id);
            assert_string_not_equal(ww_cli_opts[k].name, o->name);
            assert_true(!o->letter || ww_cli_opts[k].letter != o->letter);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_stand_anywhere),
        cmocka_unit_test(environment_and_defaults),
        cmocka_unit_test(mistakes_name_the_remedy),
        cmocka_unit_test(dashes_end_the_options),
        cmocka_unit_test(the_table_is_consistent),
    };
    return cmocka_run_group_tests_name("cli/opt", tests, NULL, NULL);
}
