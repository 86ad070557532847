/* What the tests of text and of JSON share. RIG_PARSE and RIG_PRINT are the form's two functions, and have to
 * be defined before. */
#ifndef WW_TEST_TEXT_RIG_H
#define WW_TEST_TEXT_RIG_H

#include "schema_rig.h"

/* Parsed last, and printed last. */
static struct ww_msg msg;
static struct ww_str str;

static ww_err parse(const char *type, struct ww_bytes text, struct ww_diag *diag)
{
    ww_msg_fini(&msg);
    ww_msg_init(&msg, NULL);
    memset(diag, 0, sizeof *diag);
    return RIG_PARSE(text, rig_type(type), ww_msg_root_builder(&msg), NULL, diag);
}

static const char *print(const char *type, bool pretty)
{
    struct ww_dyn_struct s;
    struct ww_diag diag = {0};
    str.len = 0;
    assert_ok(ww_dyn_root(ww_msg_root(&msg), rig_type(type), &s, NULL));
    if (RIG_PRINT(s, pretty, &str, &diag) < 0)
        fail_msg("%s", diag.text);
    return str.text;
}

/* What is read prints as it was, also after it was laid out. */
static void round_trip(const char *type, const char *text)
{
    struct ww_diag diag;
    if (parse(type, ww_bytes_str(text), &diag) < 0)
        fail_msg("%s", diag.text);
    assert_string_equal(print(type, false), text);
    char *pretty = strdup(print(type, true));
    assert_ok(parse(type, ww_bytes_str(pretty), &diag));
    free(pretty);
    assert_string_equal(print(type, false), text);
}

static void refused(const char *type, const char *text, const char *error)
{
    struct ww_diag diag;
    assert_true(parse(type, ww_bytes_str(text), &diag) < 0);
    if (strcmp(diag.text, error) != 0)
        fail_msg("%s: '%s' is not '%s'", text, diag.text, error);
}

/* Of a Shape; `ctx` is its text. */
static ww_err there_and_back(void *ctx)
{
    struct ww_schema_set *kitchen;
    struct ww_msg m;
    struct ww_str out = {0};
    struct ww_dyn_struct s;
    struct ww_diag diag;
    WW_TRY(rig_load(&kitchen));
    struct ww_type type = ww_type_of(ww_schema_by_name(kitchen, "Shape"));
    ww_msg_init(&m, NULL);
    ww_err err = RIG_PARSE(ww_bytes_str(ctx), type, ww_msg_root_builder(&m), NULL, &diag);
    if (err == 0)
        err = ww_dyn_root(ww_msg_root(&m), type, &s, NULL);
    if (err == 0)
        err = RIG_PRINT(s, true, &out, &diag);
    ww_str_fini(&out);
    ww_msg_fini(&m);
    ww_schema_set_free(kitchen);
    return err;
}

static int rig_text_teardown(void **state)
{
    ww_msg_fini(&msg);
    ww_str_fini(&str);
    return rig_teardown(state);
}

#endif
