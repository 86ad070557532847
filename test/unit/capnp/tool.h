/* The schema compiler's own encoder and decoder, for tests of generated code. The includer says whose types:
 * SCHEMA_FILE. */
#ifndef WW_TEST_CAPNP_TOOL_H
#define WW_TEST_CAPNP_TOOL_H

#include <unistd.h>

#include "test/lib/test.h"

#include "ww/capnp.h"

static inline void write_temp(char *path, struct ww_bytes data)
{
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data.ptr, data.len), data.len);
    close(fd);
}

/* Runs `capnp VERB -I... ARGS` on `in`; the result is the caller's to free and NUL-terminated. */
static inline uint8_t *run_tool(
    const char *verb, const char *flags, const char *args, struct ww_bytes in, size_t *ret_len)
{
    char path[] = "/tmp/ww-capnp-XXXXXX", command[1024];
    write_temp(path, in);
    snprintf(command, sizeof command, "'%s' %s -I'%s' %s '%s/" SCHEMA_FILE "' %s < %s", getenv("CAPNP"), verb,
        getenv("SCHEMA"), flags, getenv("KITCHEN"), args, path);
    FILE *p = popen(command, "r");
    uint8_t *out = malloc(1 << 16);
    assert_non_null(p);
    *ret_len = fread(out, 1, (1 << 16) - 1, p);
    out[*ret_len] = 0;
    assert_int_equal(pclose(p), 0);
    unlink(path);
    return out;
}

static inline void assert_decodes(struct ww_msg *m, const char *type, const char *want)
{
    size_t len, frame_len = ww_msg_frame_bytes(m);
    uint8_t *frame = malloc(frame_len);
    ww_msg_frame_write(m, frame);
    assert_ok(ww_msg_err(m));
    char *text = (char *)run_tool("decode", "--short", type, ww_bytes(frame, frame_len), &len);
    text[strcspn(text, "\n")] = 0;
    assert_string_equal(text, want);
    free(text);
    free(frame);
}

/* Opens what the compiler encodes; the bytes stay with the message. */
static inline void encode(struct ww_msg *m, const char *type, const char *text)
{
    size_t len;
    uint8_t *bytes = run_tool("encode", "", type, ww_bytes(text, strlen(text)), &len);
    assert_ok(ww_msg_open_copy(m, ww_bytes(bytes, len), NULL));
    free(bytes);
}

#endif
