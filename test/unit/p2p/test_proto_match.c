/* Which ids are accepted: the table recorded from a Go node, and the rules one by one. */
#include "p2p/proto_match.h"
#include "test/lib/vectors.h"

#define NEGOTIATED "test/vectors/go-node/negotiate.txt"

static struct ww_proto_rule rule(enum ww_proto_rule_kind kind, const char *text)
{
    return (struct ww_proto_rule){kind, ww_bytes_str(text)};
}

static bool matches(const struct ww_proto_rule *rules, size_t count, const char *id)
{
    return ww_proto_match(rules, count, ww_bytes_str(id));
}

/* Every gossip id of the recording gets the answer that the Go node gave. */
static void answers_as_a_go_node(void **state)
{
    WW_UNUSED(state);
    const struct ww_proto_rule rules[] = {rule(WW_PROTO_EXACTLY, "ww"), rule(WW_PROTO_SEMVER, "0.1.0"),
        rule(WW_PROTO_EXACTLY, "ww"), rule(WW_PROTO_EXACTLY, "meshsub"), rule(WW_PROTO_SEMVER, "1.1.0")};
    char *text = vector_file(NEGOTIATED);
    size_t seen = 0, accepted = 0;
    for (char *line = text, *next; *line; line = next) {
        size_t len = strcspn(line, "\n");
        next = line + len + (line[len] == '\n');
        line[len] = '\0';
        size_t id_len = strcspn(line, " ");
        bool yes = strncmp(line + id_len + strspn(line + id_len, " "), "yes", 3) == 0;
        line[id_len] = '\0';
        if (!strstr(line, "meshsub") && !strstr(line, "floodsub"))
            continue;
        if (matches(rules, WW_COUNT_OF(rules), line) != yes)
            fail_msg("%s: expected %s", line, yes ? "yes" : "no");
        seen++;
        accepted += yes;
    }
    assert_int_equal(seen, 11);
    assert_int_equal(accepted, 6);
    free(text);
}

static void rules_consume_from_the_left(void **state)
{
    WW_UNUSED(state);
    const struct ww_proto_rule exact[] = {rule(WW_PROTO_EXACTLY, "/a/")};
    assert_true(matches(exact, 1, "a"));
    assert_true(matches(exact, 1, "//a/b"));
    assert_true(matches(exact, 1, "x/../a"));
    assert_true(matches(exact, 1, "../../a"));
    assert_true(matches(exact, 1, "./.a")); /* leading dots go with the slashes */
    assert_false(matches(exact, 1, "aa"));
    assert_false(matches(exact, 1, "b/a"));
    assert_false(matches(exact, 1, ""));
    const struct ww_proto_rule prefix[] = {rule(WW_PROTO_PREFIX, "ww"), rule(WW_PROTO_EXACTLY, "foo")};
    assert_true(matches(prefix, 2, "wwfoo"));
    assert_true(matches(prefix, 2, "/ww/foo"));
    assert_false(matches(prefix, 2, "w/foo"));
    const struct ww_proto_rule suffix[] = {rule(WW_PROTO_SUFFIX, "/packed"), rule(WW_PROTO_EXACTLY, "ww")};
    assert_true(matches(suffix, 2, "ww/packed"));
    assert_false(matches(suffix, 2, "ww/packed/x"));
    assert_true(matches(exact, 0, "anything"));
    char long_id[WW_PROTO_ID_MAX + 2];
    memset(long_id, 'a', sizeof long_id - 1);
    long_id[sizeof long_id - 1] = '\0';
    assert_false(matches(exact, 0, long_id));
    const struct ww_proto_rule empty[] = {rule(WW_PROTO_PREFIX, "")};
    assert_false(matches(empty, 1, "a"));
}

static void versions_are_strict(void **state)
{
    WW_UNUSED(state);
    static const char *const good[] = {"1.2.3", "1.0.0-rc.1", "1.0.0+git", "1.0.0-a-b.c+d.e", "1.00.0"};
    static const char *const bad[] = {"", "1", "1.2", "v1.2.3", "1.2.3.4", "1.2.x", "1.2.3-", "1.2.3+",
        "1.2.3-a..b", "1.2.3-a_b", "1.2.3 ", "-1.2.3", "9999999999999999999.0.0", "1..3"};
    uint64_t major = 0;
    for (size_t i = 0; i < WW_COUNT_OF(good); i++) {
        assert_true(ww_semver_major(ww_bytes_str(good[i]), &major));
        assert_int_equal(major, 1);
    }
    for (size_t i = 0; i < WW_COUNT_OF(bad); i++) {
        if (ww_semver_major(ww_bytes_str(bad[i]), &major))
            fail_msg("took %s", bad[i]);
    }
}

static void namespaces(void **state)
{
    WW_UNUSED(state);
    static const char *const good[] = {"ww", "my-cluster", "a.b"};
    static const char *const bad[] = {"", "a/b", "/", ".", "..", ".hidden", "a\nb"};
    for (size_t i = 0; i < WW_COUNT_OF(good); i++)
        assert_true(ww_proto_namespace_ok(ww_bytes_str(good[i])));
    for (size_t i = 0; i < WW_COUNT_OF(bad); i++)
        assert_false(ww_proto_namespace_ok(ww_bytes_str(bad[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_as_a_go_node),
        cmocka_unit_test(rules_consume_from_the_left),
        cmocka_unit_test(versions_are_strict),
        cmocka_unit_test(namespaces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
