/* Messages with a bit flipped, read by us and by the reference: both see the same values, and refuse the
 * same. The reference puts null in place of a pointer that it refuses and goes on; so does the copy made
 * here. */
#include <unistd.h>

#include "test/lib/test.h"

#include "capnp/ptr.h"
#include "trees.h"

#define FLIPS 4000

static const struct ww_msg_limits lim = {.words = 1 << 20, .traversal = 20000, .segments = 512, .depth = 64};

struct reading {
    struct ww_msg *m;
    unsigned refused;
};

/* True when the last look at the message was refused; forgets it, so that reading goes on. */
static bool refused(struct reading *r)
{
    /* The tool has no limits: where ours end, there is nothing to compare. */
    bool bad = r->m->err < 0 && r->m->err != WW_ETRAVERSAL && r->m->err != WW_EDEPTH;
    if (bad) {
        r->m->err = 0;
        r->refused++;
    }
    return bad;
}

static void copy_what_reads(struct reading *r, struct ww_pb to, struct ww_pr from);

static void copy_ptrs(struct reading *r, struct ww_sb to, struct ww_sr from)
{
    for (uint32_t i = 0; i < from.ptrs; i++)
        copy_what_reads(r, ww_sb_ptr(to, i), ww_sr_ptr(from, i));
}

static void copy_list_that_reads(struct reading *r, struct ww_pb to, struct ww_pr from)
{
    struct ww_lr l = ww_pr_list_any(from);
    if (refused(r))
        return;
    if (l.elem != WW_ELEM_STRUCT && l.elem != WW_ELEM_PTR) {
        ww_pb_set_list(to, l);
        return;
    }
    struct ww_lb b = l.elem == WW_ELEM_PTR
        ? ww_pb_init_list(to, WW_ELEM_PTR, l.count)
        : ww_pb_init_structs(to, (uint16_t)(l.data_bytes / 8), l.ptrs, l.count);
    for (uint32_t i = 0; i < l.count && r->m->err == 0; i++) {
        struct ww_sr s = ww_lr_struct(l, i);
        if (s.data_bytes)
            memcpy(ww_lb_struct(b, i).data, s.data, s.data_bytes);
        copy_ptrs(r, ww_lb_struct(b, i), s);
    }
}

static void copy_what_reads(struct reading *r, struct ww_pb to, struct ww_pr from)
{
    enum ww_ptr_kind kind = ww_pr_kind(from);
    if (refused(r) || kind == WW_PTR_NULL || kind == WW_PTR_BAD || r->m->err < 0)
        return;
    if (kind == WW_PTR_CAP) {
        assert_null(ww_pr_cap(from)); /* there is no table: every index is too large */
        assert_true(refused(r));
        return;
    }
    if (kind == WW_PTR_LIST) {
        copy_list_that_reads(r, to, from);
        return;
    }
    struct ww_sr s = ww_pr_struct(from);
    if (refused(r))
        return;
    struct ww_sb b = ww_pb_init_struct(to, (uint16_t)(s.data_bytes / 8), s.ptrs);
    if (s.data_bytes)
        memcpy(b.data, s.data, s.data_bytes);
    copy_ptrs(r, b, s);
}

/* The canonical form of what reads; false when the message asks for too much work to be worth a comparison.
 */
static bool values_of(struct ww_bytes frame, struct ww_msg *canonical, unsigned *ret_refused)
{
    struct ww_msg m, copy;
    struct reading r = {&m, 0};
    ww_msg_init(&m, NULL);
    ww_msg_init(&copy, NULL);
    assert_ok(ww_msg_open(&m, frame, &lim));
    copy_what_reads(&r, ww_msg_root_builder(&copy), ww_msg_root(&m));
    if (ww_pb_is_null(ww_msg_root_builder(&copy)))
        ww_pb_init_struct(ww_msg_root_builder(&copy), 0, 0); /* the reference reads the root as a struct */
    bool done = m.err == 0;
    assert_ok(ww_msg_err(&copy));
    if (done)
        assert_ok(ww_msg_canonicalize(canonical, ww_msg_root(&copy)));
    *ret_refused = r.refused;
    ww_msg_fini(&copy);
    ww_msg_fini(&m);
    return done;
}

/* A message of several segments with one bit of them flipped. */
static struct ww_bytes flipped(uint64_t seed, uint8_t *out)
{
    struct ww_prng rng;
    struct ww_msg tree, m;
    ww_msg_init(&tree, NULL);
    ww_msg_init(&m, NULL);
    ww_prng_init(&rng, seed);
    random_tree(&tree, seed % 97, 1000);
    ww_msg_hint(&m, 2 + (uint32_t)seed % 40);
    struct ww_sb s = ww_pb_init_struct(ww_msg_root_builder(&m), 1, 2);
    ww_sb_set_u64(s, 0, seed);
    ww_pb_set(ww_sb_ptr(s, 0), ww_msg_root(&tree));
    struct ww_orphan o = ww_orphan_text(&m, ww_text("moved here"));
    ww_pb_adopt(ww_sb_ptr(s, 1), &o);
    struct ww_bytes frame = {out, ww_msg_frame_bytes(&m)};
    size_t table = ww_frame_table_bytes(&m);
    ww_msg_frame_write(&m, out);
    uint64_t bit = ww_prng_below(&rng, (frame.len - table) * 8);
    out[table + bit / 8] ^= (uint8_t)(1u << bit % 8);
    ww_msg_fini(&m);
    ww_msg_fini(&tree);
    return frame;
}

/* Runs the reference over the stream in `path`; its output and what it said. */
static uint8_t *run_tool(const char *path, size_t *ret_len, unsigned *ret_errors)
{
    char command[512], line[1024];
    snprintf(command, sizeof command,
        "ulimit -v 4000000; timeout 60 '%s' convert --quiet binary:binary < %s > %s.out 2> %s.err",
        getenv("CAPNP"), path, path, path);
    FILE *tool = popen(command, "r");
    assert_non_null(tool);
    pclose(tool); /* its status says that there was something to refuse */
    snprintf(line, sizeof line, "%s.err", path);
    FILE *f = fopen(line, "r");
    assert_non_null(f);
    unlink(line);
    for (*ret_errors = 0; fgets(line, sizeof line, f);)
        *ret_errors += strstr(line, "*** ERROR CONVERTING") != NULL;
    fclose(f);
    snprintf(line, sizeof line, "%s.out", path);
    f = fopen(line, "r");
    assert_non_null(f);
    unlink(line);
    uint8_t *out = malloc(64 << 20);
    *ret_len = fread(out, 1, 64 << 20, f);
    fclose(f);
    return out;
}

static void both_see_the_same_behind_a_flipped_bit(void **state)
{
    static uint8_t frame[1 << 18];
    static uint64_t seeds[FLIPS];
    struct ww_msg ours, theirs;
    unsigned errors, bad = 0, refused_count = 0;
    size_t sent = 0, len;
    char path[] = "/tmp/ww-flips-XXXXXX";
    FILE *f = fdopen(mkstemp(path), "w");
    assert_non_null(f);
    ww_msg_init(&ours, NULL);
    ww_msg_init(&theirs, NULL);
    for (uint64_t seed = 0; seed < FLIPS; seed++) {
        struct ww_bytes b = flipped(seed, frame);
        if (!values_of(b, &ours, &bad))
            continue;
        refused_count += bad > 0;
        assert_int_equal(fwrite(b.ptr, 1, b.len, f), b.len);
        seeds[sent++] = seed;
    }
    assert_int_equal(fclose(f), 0);
    uint8_t *out = run_tool(path, &len, &errors);
    unlink(path);
    struct ww_bytes rest = ww_bytes(out, len);
    for (size_t i = 0; i < sent; i++) {
        uint64_t bytes;
        assert_ok(ww_frame_check(rest, NULL, &bytes));
        assert_true(values_of(ww_bytes(rest.ptr, (size_t)bytes), &theirs, &bad));
        assert_int_equal(bad, 0);
        rest = ww_bytes_skip(rest, (size_t)bytes);
        assert_true(values_of(flipped(seeds[i], frame), &ours, &bad));
        if (!ww_bytes_eq(ww_msg_seg(&ours, 0), ww_msg_seg(&theirs, 0)))
            fail_msg("seed %u", (unsigned)seeds[i]);
    }
    assert_int_equal(rest.len, 0);
    assert_true(sent > FLIPS / 2 && errors > FLIPS / 10);
    assert_int_equal(errors, refused_count);
    free(out);
    ww_msg_fini(&theirs);
    ww_msg_fini(&ours);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_see_the_same_behind_a_flipped_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
