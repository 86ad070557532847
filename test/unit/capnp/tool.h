/* test/unit/capnp/tool.h — runs the schema compiler on bytes. */
#ifndef WW_TEST_UNIT_CAPNP_TOOL_H
#define WW_TEST_UNIT_CAPNP_TOOL_H

#include <sys/wait.h>
#include <unistd.h>

#include "test/lib/test.h"

/* `argv` ends with NULL and begins with the program's path; `in` is its standard input. The result is the
 * caller's to free, and NUL-terminated. Fails the calling test when the program does. */
static inline uint8_t *tool_run(const char *const *argv, struct ww_bytes in, size_t *ret_len)
{
    FILE *input = tmpfile(), *output = tmpfile();
    assert_true(input && output);
    assert_int_equal(fwrite(in.ptr, 1, in.len, input), in.len);
    assert_int_equal(fflush(input), 0);
    rewind(input);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(fileno(input), 0);
        dup2(fileno(output), 1);
        execvp(argv[0], (char *const *)argv);
        _exit(127);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(fseek(output, 0, SEEK_END), 0);
    long len = ftell(output);
    assert_true(len >= 0);
    rewind(output);
    uint8_t *out = malloc((size_t)len + 1);
    assert_int_equal(fread(out, 1, (size_t)len, output), len);
    out[len] = 0;
    fclose(input);
    fclose(output);
    *ret_len = (size_t)len;
    return out;
}

#endif
