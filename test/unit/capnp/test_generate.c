/* The generator as a function: what it makes of a request, when memory runs out, and of none. */
#define SCHEMA_FILE "generics.capnp"
#include "test/unit/capnp/tool.h"

#include "capnpc/generate.h"
#include "test/lib/alloc_fail.h"

/* The compiler's request for generics.capnp. */
static struct ww_bytes request(void)
{
    size_t len;
    uint8_t *bytes = run_tool("compile", "-o-", "", ww_bytes("", 0), &len);
    return ww_bytes(bytes, len);
}

static void files_come_in_order(void **state)
{
    static const char *const suffixes[] = {".capnp.h", ".capnp.c", ".capnp.rpc.h", ".capnp.rpc.c"};
    struct ww_bytes in = request();
    const struct made_file *files;
    assert_null(generate(in, &files));
    for (int i = 0; i < 4; i++, files = files->next) {
        assert_non_null(files);
        assert_string_equal(strstr(files->path, ".capnp."), suffixes[i]);
        assert_int_equal(strlen(files->text.text), files->text.len);
        assert_null(strstr(files->text.text, getenv("KITCHEN")));
    }
    assert_null(files);
    keep_free_all();
    free((void *)in.ptr);
}

static ww_err generate_once(void *ctx)
{
    const struct made_file *files;
    const char *message = generate(*(struct ww_bytes *)ctx, &files);
    ww_err err = !message ? 0 : strstr(message, "memory") ? WW_ENOMEM : WW_EINVAL;
    assert_true(!message == !!files);
    keep_free_all();
    return err;
}

static void memory_runs_out(void **state)
{
    char path[512];
    uint8_t bytes[4096];
    snprintf(path, sizeof path, "%s/struct", getenv("REQUESTS"));
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    struct ww_bytes in = ww_bytes(bytes, fread(bytes, 1, sizeof bytes, f));
    fclose(f);
    assert_true(alloc_fail_run(generate_once, &in) > 50);
}

static void what_is_no_request_is_refused(void **state)
{
    struct ww_bytes in = request();
    const struct made_file *files;
    for (size_t cut = 0; cut < in.len; cut += 1 + cut / 16) {
        const char *message = generate(ww_bytes(in.ptr, cut), &files);
        assert_non_null(message);
        assert_null(files);
        keep_free_all();
    }
    free((void *)in.ptr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_come_in_order),
        cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(what_is_no_request_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
