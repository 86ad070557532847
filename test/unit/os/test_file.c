/* Small files: whole or not at all. */
#include <dirent.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test/unit/os/loop.h"

struct dir {
    struct loop loop;
    char path[64];
};

static int set_up(void **state)
{
    static struct dir d;
    loop_init(&d.loop);
    snprintf(d.path, sizeof d.path, "/tmp/ww-test-file-XXXXXX");
    assert_non_null(mkdtemp(d.path));
    *state = &d;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    WW_UNUSED(st);
    WW_UNUSED(type);
    WW_UNUSED(ftw);
    return remove(path);
}

static int tear_down(void **state)
{
    struct dir *d = *state;
    assert_int_equal(nftw(d->path, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    loop_fini(&d->loop);
    return 0;
}

static const char *in(const struct dir *d, const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", d->path, name);
    return path;
}

static void what_is_written_is_read(void **state)
{
    struct dir *d = *state;
    struct loop *l = &d->loop;
    enum { BIG = 300000 };
    uint8_t *data = malloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        data[i] = (uint8_t)(i * 7 + i / 251);
    static const size_t sizes[] = {0, 1, 4095, 16384, BIG};
    for (size_t i = 0; i < WW_COUNT_OF(sizes); i++) {
        struct ww_buf out;
        ww_buf_init(&out, sizes[i] + 3);
        assert_ok(ww_buf_append(&out, WW_BYTES_LIT("pre")));
        assert_ok(l->ops->file_write(l->env, in(d, "f"), ww_bytes(data, sizes[i]), 0640));
        assert_ok(l->ops->file_read(l->env, in(d, "f"), &out));
        assert_int_equal(ww_buf_len(&out), sizes[i] + 3);
        assert_memory_equal(ww_buf_data(&out), "pre", 3);
        assert_memory_equal(ww_buf_data(&out) + 3, data, sizes[i]);
        ww_buf_fini(&out);
    }
    struct stat st;
    assert_int_equal(stat(in(d, "f"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    free(data);
}

static void over_the_limit_nothing_is_returned(void **state)
{
    struct dir *d = *state;
    struct loop *l = &d->loop;
    struct ww_buf out;
    ww_buf_init(&out, 8);
    assert_ok(ww_buf_append(&out, WW_BYTES_LIT("pre")));
    assert_ok(l->ops->file_write(l->env, in(d, "f"), WW_BYTES_LIT("123456"), 0600));
    assert_int_equal(l->ops->file_read(l->env, in(d, "f"), &out), WW_ELIMIT);
    assert_bytes(ww_buf_view(&out), "pre", 3);
    ww_buf_fini(&out);
}

static void errors_have_their_names(void **state)
{
    struct dir *d = *state;
    struct loop *l = &d->loop;
    struct ww_buf out;
    ww_buf_init(&out, 64);
    assert_int_equal(l->ops->file_read(l->env, in(d, "absent"), &out), WW_ENOTFOUND);
    assert_int_equal(l->ops->file_read(l->env, d->path, &out), WW_EINVAL);
    assert_int_equal(l->ops->file_write(l->env, in(d, "no/dir"), WW_BYTES_LIT("x"), 0600), WW_ENOTFOUND);
    assert_int_equal(l->ops->file_read(l->env, "/proc/self/mem", &out), WW_EIO);
    assert_int_equal(ww_buf_len(&out), 0);
    ww_buf_fini(&out);
}

/* A write that fails leaves the old content and no temporary file. */
static void a_failed_write_changes_nothing(void **state)
{
    struct dir *d = *state;
    struct loop *l = &d->loop;
    assert_ok(l->ops->dir_make(l->env, in(d, "target"), 0700));
    assert_ok(l->ops->file_write(l->env, in(d, "target/inside"), WW_BYTES_LIT("x"), 0600));
    assert_true(l->ops->file_write(l->env, in(d, "target"), WW_BYTES_LIT("y"), 0600) < 0);
    struct dirent **entries;
    int count = scandir(d->path, &entries, NULL, alphasort);
    assert_int_equal(count, 3);
    assert_string_equal(entries[2]->d_name, "target"); /* after . and .. */
    while (count > 0)
        free(entries[--count]);
    free(entries);
}

static void directories_with_parents(void **state)
{
    struct dir *d = *state;
    struct loop *l = &d->loop;
    assert_ok(l->ops->dir_make(l->env, in(d, "a/b//c/"), 0700));
    assert_ok(l->ops->dir_make(l->env, in(d, "a/b/c"), 0700));
    assert_ok(l->ops->file_write(l->env, in(d, "a/b/c/f"), WW_BYTES_LIT("x"), 0600));
    assert_int_equal(l->ops->dir_make(l->env, in(d, "a/b/c/f"), 0700), WW_EEXIST);
    assert_int_equal(l->ops->dir_make(l->env, in(d, "a/b/c/f/g"), 0700), WW_EEXIST);
    assert_int_equal(l->ops->dir_make(l->env, "", 0700), WW_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(over_the_limit_nothing_is_returned, set_up, tear_down),
        cmocka_unit_test_setup_teardown(errors_have_their_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failed_write_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(directories_with_parents, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
