/* Messages in files: mapped and read in place; and canonical form beside the reference's own. */
#include <sys/stat.h>
#include <unistd.h>

#include "test/lib/test.h"

#include "trees.h"

static char path[64];

static void write_file(struct ww_bytes data)
{
    snprintf(path, sizeof path, "/tmp/ww-files-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data.ptr, data.len), data.len);
    close(fd);
}

static void a_mapped_file_is_read_in_place(void **state)
{
    static uint8_t bytes[1 << 16];
    size_t len = 0;
    struct ww_msg m, r;
    ww_msg_init(&m, NULL);
    ww_msg_init(&r, NULL);
    for (uint64_t seed = 0; seed < 30; seed++) {
        random_tree(&m, seed, 2 + (uint32_t)seed * 7);
        size_t n = ww_msg_frame_bytes(&m);
        if (n > sizeof bytes - len)
            break;
        ww_msg_frame_write(&m, bytes + len);
        len += n;
    }
    write_file(ww_bytes(bytes, len));
    struct ww_file_map map;
    assert_ok(ww_file_map(&map, path));
    assert_bytes(map.bytes, bytes, len);
    struct ww_bytes rest = map.bytes;
    unsigned count = 0;
    for (uint64_t seed = 0; rest.len > 0; seed++, count++) {
        random_tree(&m, seed, 60000);
        assert_ok(ww_msg_open_next(&r, &rest, NULL));
        assert_true(ww_pr_equal(ww_msg_root(&m), ww_msg_root(&r)));
        /* in place: the root is inside the mapping */
        const uint8_t *root = ww_msg_root(&r).at;
        assert_true(root > map.bytes.ptr && root < map.bytes.ptr + len);
    }
    assert_true(count > 10);
    ww_msg_fini(&r);
    ww_msg_fini(&m);
    ww_file_unmap(&map);
    ww_file_unmap(&map); /* nothing any more */
    unlink(path);
}

static void files_that_cannot_be_mapped_say_why(void **state)
{
    struct ww_file_map map;
    struct ww_msg m;
    assert_int_equal(ww_file_map(&map, "/tmp/ww-no-such-file"), WW_ENOTFOUND);
    assert_int_equal(ww_file_map(&map, "/tmp"), WW_EINVAL);
    write_file(ww_bytes("", 0));
    assert_ok(ww_file_map(&map, path)); /* an empty file is no message, but a file */
    ww_msg_init(&m, NULL);
    assert_int_equal(ww_msg_open(&m, map.bytes, NULL), WW_ETRUNC);
    ww_msg_fini(&m);
    ww_file_unmap(&map);
    chmod(path, 0);
    if (geteuid() != 0)
        assert_int_equal(ww_file_map(&map, path), WW_EDENIED);
    unlink(path);
}

/* What the reference converts a framed message to. */
static size_t by_tool(const char *form, struct ww_bytes frame, uint8_t *out, size_t room)
{
    char command[256];
    write_file(frame);
    snprintf(command, sizeof command, "'%s' convert binary:%s < %s", getenv("CAPNP"), form, path);
    FILE *p = popen(command, "r");
    assert_non_null(p);
    size_t n = fread(out, 1, room, p);
    assert_int_equal(pclose(p), 0);
    unlink(path);
    return n;
}

static void canonical_and_packed_forms_are_the_references(void **state)
{
    static uint8_t want[1 << 18];
    struct ww_msg tree, m, canonical;
    ww_msg_init(&tree, NULL);
    ww_msg_init(&m, NULL);
    ww_msg_init(&canonical, NULL);
    for (uint64_t seed = 0; seed < 60; seed++) {
        random_tree(&tree, seed, 1000);
        ww_msg_fini(&m);
        ww_msg_hint(&m, 2 + (uint32_t)seed % 50);
        struct ww_sb s = ww_pb_init_struct(ww_msg_root_builder(&m), 2, 3);
        ww_sb_set_u32(s, 0, (uint32_t)seed % 3);
        ww_pb_set(ww_sb_ptr(s, 0), ww_msg_root(&tree));
        ww_pb_set_text(ww_sb_ptr(s, 1), ww_text(seed % 2 ? "and a text" : NULL));
        size_t len = ww_msg_frame_bytes(&m);
        uint8_t *frame = malloc(len);
        ww_msg_frame_write(&m, frame);
        assert_ok(ww_msg_canonicalize(&canonical, ww_msg_root(&m)));
        size_t n = by_tool("canonical", ww_bytes(frame, len), want, sizeof want);
        assert_bytes(ww_msg_seg(&canonical, 0), want, n);
        free(frame);
        /* packed too; the tool copies, which leaves canonical messages as they are */
        uint8_t *packed = malloc(ww_msg_pack_bound(&canonical));
        size_t packed_len = ww_msg_pack(&canonical, packed);
        n = by_tool("packed", ww_msg_frame(&canonical), want, sizeof want);
        assert_bytes(ww_bytes(packed, packed_len), want, n);
        free(packed);
    }
    ww_msg_fini(&canonical);
    ww_msg_fini(&m);
    ww_msg_fini(&tree);
}

/* A message of 64 MiB costs its own size once, however small the pieces that it arrives in. */
static void a_large_message_is_held_once(void **state)
{
    enum { BYTES = 63 << 20, PIECE = 60000 };
    struct ww_msg m, r;
    struct ww_frame_in in;
    struct ww_bytes frame = {NULL, 0};
    ww_msg_init(&m, NULL);
    ww_msg_init(&r, NULL);
    ww_msg_hint(&m, 2 + BYTES / 8);
    uint8_t *data = ww_pb_init_data(ww_msg_root_builder(&m), BYTES);
    assert_non_null(data);
    memset(data, 'x', BYTES);
    struct ww_bytes whole = ww_msg_frame(&m);
    assert_true(whole.len == BYTES + 16);
    ww_frame_in_init(&in, false, NULL);
    for (size_t at = 0; at < whole.len; at += PIECE) {
        struct ww_bytes piece = ww_bytes(whole.ptr + at, whole.len - at < PIECE ? whole.len - at : PIECE);
        ww_err err = ww_frame_in_feed(&in, &piece, &frame);
        assert_int_equal(err, at + PIECE < whole.len ? WW_EAGAIN : 0);
        assert_true(in.capacity <= whole.len); /* never more than the frame needs */
    }
    assert_ok(ww_msg_open(&r, frame, NULL));
    struct ww_bytes got = ww_pr_data(ww_msg_root(&r));
    assert_true(got.len == BYTES && got.ptr == frame.ptr + 16); /* and read in place */
    assert_int_equal(got.ptr[BYTES - 1], 'x');
    ww_frame_in_fini(&in);
    ww_msg_fini(&r);
    ww_msg_fini(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mapped_file_is_read_in_place),
        cmocka_unit_test(files_that_cannot_be_mapped_say_why),
        cmocka_unit_test(canonical_and_packed_forms_are_the_references),
        cmocka_unit_test(a_large_message_is_held_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
