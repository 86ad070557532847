/* Building, reading, copying; malformed pointers; capabilities; allocation failures. */
#include "caps.h"

#include "capnp/ptr.h"
#include "trees.h"

/* Opens what `hexes` say: one segment each. */
static struct ww_pr open_hex(struct ww_msg *m, const char *const *hexes, size_t count)
{
    struct ww_bytes segs[4];
    for (size_t i = 0; i < count; i++)
        segs[i] = hex(hexes[i]);
    assert_ok(ww_msg_open_segs(m, segs, count, NULL));
    return ww_msg_root(m);
}

#define OPEN(m, ...)                                                                                         \
    open_hex(                                                                                                \
        m, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void a_struct_reads_and_missing_fields_are_zero(void **state)
{
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    /* one data word, one pointer to the text "hi" */
    struct ww_sr s = ww_pr_struct(OPEN(&m,
        "0000000001000100"
        "efbeadde01000080"
        "010000001a000000"
        "6869000000000000"));
    assert_int_equal(ww_sr_u32(s, 0), 0xdeadbeef);
    assert_int_equal(ww_sr_u64(s, 0), UINT64_C(0x80000001deadbeef));
    assert_int_equal(ww_sr_u16(s, 3), 0x8000);
    assert_int_equal(ww_sr_u8(s, 7), 0x80);
    assert_true(ww_sr_bool(s, 63));
    assert_false(ww_sr_bool(s, 62));
    assert_bytes(ww_pr_text(ww_sr_ptr(s, 0)), "hi", 3 - 1);
    assert_string_equal(ww_cstr(ww_pr_text(ww_sr_ptr(s, 0))), "hi");
    assert_int_equal(ww_sr_u64(s, 1), 0);
    assert_int_equal(ww_sr_u8(s, 8), 0);
    assert_int_equal(ww_sr_u64(s, UINT32_MAX), 0);
    assert_false(ww_sr_bool(s, 64));
    assert_false(ww_sr_has(s, 1));
    assert_string_equal(ww_cstr(ww_pr_text(ww_sr_ptr(s, 1))), "");
    assert_int_equal(ww_sr_u8(ww_pr_struct(ww_sr_ptr(s, 7)), 0), 0);
    assert_ok(ww_msg_err(&m));
    ww_msg_fini(&m);
}

static void far_pointers_are_followed(void **state)
{
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    /* single: pad and struct in segment 1 */
    struct ww_sr s = ww_pr_struct(OPEN(&m, "0200000001000000",
        "0000000001000000"
        "2a00000000000000"));
    assert_int_equal(ww_sr_u32(s, 0), 42);
    /* double: pad in segment 1, content at word 1 of segment 2 */
    s = ww_pr_struct(OPEN(&m, "0600000001000000",
        "0a00000002000000"
        "0000000001000000",
        "ffffffffffffffff"
        "0700000000000000"));
    assert_int_equal(ww_sr_u32(s, 0), 7);
    assert_ok(ww_msg_err(&m));
    ww_msg_fini(&m);
}

static void refuse(ww_err want, const char *seg0, const char *seg1)
{
    struct ww_msg m;
    const char *const segs[] = {seg0, seg1};
    ww_msg_init(&m, NULL);
    struct ww_pr root = open_hex(&m, segs, seg1 ? 2 : 1);
    struct ww_sr s = ww_pr_struct(root);
    assert_int_equal(s.data_bytes, 0);
    assert_int_equal(s.ptrs, 0);
    assert_int_equal(ww_msg_err(&m), want);
    ww_msg_fini(&m);
}

static void bad_struct_pointers_are_refused(void **state)
{
    refuse(WW_EBOUNDS, "0000000001000000", NULL);                  /* nothing behind the pointer */
    refuse(WW_EBOUNDS, "f8ffffff01000000", NULL);                  /* before the segment */
    refuse(WW_EBOUNDS, "fcffff7f01000000", NULL);                  /* offset at the maximum */
    refuse(WW_EBOUNDS, "00000000ffffffff", NULL);                  /* sizes at the maximum */
    refuse(WW_EMALFORMED, "0100000000000000", NULL);               /* a list */
    refuse(WW_EMALFORMED, "0300000000000000", NULL);               /* a capability */
    refuse(WW_EBOUNDS, "0200000005000000", NULL);                  /* no such segment */
    refuse(WW_EBOUNDS, "0a00000001000000", "0000000000000000");    /* pad past the end */
    refuse(WW_EBOUNDS, "0600000001000000", "0200000000000000");    /* half a double pad */
    refuse(WW_EMALFORMED, "0200000001000000", "0200000000000000"); /* far to far */
    refuse(WW_EMALFORMED, "0600000001000000",
        "0000000001000000"
        "0000000001000000"); /* a double pad that does not start with a far pointer */
    refuse(WW_EMALFORMED, "0600000001000000",
        "0200000000000000"
        "0200000000000000"); /* a double pad whose tag is far */
    refuse(WW_EBOUNDS, "0600000001000000",
        "0200000009000000"
        "0000000001000000"); /* content in no segment */
    refuse(WW_EBOUNDS, "0600000001000000",
        "faffffff00000000"
        "0000000001000000"); /* content past the end */
}

static struct ww_lr list_of(struct ww_msg *m, const char *words, enum ww_elem want)
{
    const char *const segs[] = {words};
    return ww_pr_list(open_hex(m, segs, 1), want);
}

/* The matrix of what a list may be read as. Rows: what is on the wire, two elements each. */
static void list_upgrades_follow_the_matrix(void **state)
{
    static const struct {
        const char *words;
        bool ok[8]; /* by wanted kind: void bit byte two four eight ptr struct */
    } rows[] = {
        {"0100000010000000", {1, 0, 0, 0, 0, 0, 0, 1}},
        {"0100000011000000"
         "0300000000000000",
            {0, 1, 0, 0, 0, 0, 0, 0}},
        {"0100000012000000"
         "0102000000000000",
            {1, 0, 1, 0, 0, 0, 0, 1}},
        {"0100000013000000"
         "0100020000000000",
            {1, 0, 1, 1, 0, 0, 0, 1}},
        {"0100000014000000"
         "0100000002000000",
            {1, 0, 1, 1, 1, 0, 0, 1}},
        {"0100000015000000"
         "0100000000000000"
         "0200000000000000",
            {1, 0, 1, 1, 1, 1, 0, 1}},
        {"0100000016000000"
         "0000000000000000"
         "0000000000000000",
            {1, 0, 0, 0, 0, 0, 1, 1}},
        {"0100000027000000"
         "0800000001000100"
         "0100000000000000"
         "0000000000000000"
         "0200000000000000"
         "0000000000000000",
            {1, 0, 1, 1, 1, 1, 1, 1}},
    };
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    for (size_t row = 0; row < WW_COUNT_OF(rows); row++) {
        for (unsigned want = 0; want < 8; want++) {
            struct ww_lr l = list_of(&m, rows[row].words, (enum ww_elem)want);
            if (!rows[row].ok[want]) {
                assert_int_equal(l.count, 0);
                assert_int_equal(ww_msg_err(&m), WW_EMALFORMED);
                continue;
            }
            assert_int_equal(l.count, 2);
            assert_ok(ww_msg_err(&m));
            if (want >= WW_ELEM_BYTE && want <= WW_ELEM_EIGHT) {
                assert_int_equal(ww_lr_u8(l, 0), 1);
                assert_int_equal(ww_lr_u8(l, 1), 2);
                assert_int_equal(ww_lr_u8(l, 2), 0);
            }
            if (want == WW_ELEM_STRUCT && row >= 2 && row != 6)
                assert_int_equal(ww_sr_u8(ww_lr_struct(l, 1), 0), 2);
            if (want == WW_ELEM_PTR)
                assert_true(ww_pr_is_null(ww_lr_ptr(l, 1)));
        }
    }
    ww_msg_fini(&m);
}

/* A list of structs seen as pointers keeps its step: copying it must not read past its elements. */
static void a_struct_list_read_as_pointers_keeps_its_step(void **state)
{
    struct ww_msg m, copy;
    ww_msg_init(&m, NULL);
    ww_msg_init(&copy, NULL);
    struct ww_lr l = list_of(&m,
        "0100000027000000"
        "0800000001000100"
        "0100000000000000"
        "0900000012000000"
        "0200000000000000"
        "0500000012000000"
        "6100000000000000"
        "6200000000000000",
        WW_ELEM_PTR);
    assert_int_equal(l.count, 2);
    assert_bytes(ww_pr_data(ww_lr_ptr(l, 0)), "a\0", 2);
    assert_bytes(ww_pr_data(ww_lr_ptr(l, 1)), "b\0", 2);
    ww_pb_set_list(ww_msg_root_builder(&copy), l);
    assert_ok(ww_msg_err(&copy));
    l = ww_pr_list(ww_msg_root(&copy), WW_ELEM_PTR);
    assert_bytes(ww_pr_data(ww_lr_ptr(l, 1)), "b\0", 2);
    l = ww_pr_list(ww_msg_root(&copy), WW_ELEM_STRUCT);
    assert_int_equal(ww_sr_u8(ww_lr_struct(l, 1), 0), 2);
    ww_msg_fini(&copy);
    ww_msg_fini(&m);
}

static void bad_lists_are_refused(void **state)
{
    static const struct {
        ww_err want;
        const char *words;
    } cases[] = {
        {WW_EBOUNDS, "0100000012000000"}, /* content missing */
        {WW_EBOUNDS, "01000000ffffffff"}, /* words at the maximum */
        {WW_EBOUNDS,
            "01000000fdffffff"
            "0000000000000000"}, /* 2^29-1 eight-byte elements */
        {WW_EBOUNDS,
            "01000000fc000000"
            "0000000000000000"},          /* just too long */
        {WW_EBOUNDS, "0100000007000000"}, /* no tag word */
        {WW_EMALFORMED,
            "0100000007000000"
            "0100000000000000"}, /* the tag is a list */
        {WW_EBOUNDS,
            "010000000f000000"
            "0800000001000000"
            "0000000000000000"}, /* two elements in one word */
        {WW_EBOUNDS,
            "010000000f000000"
            "fcffffffffffffff"
            "0000000000000000"}, /* product over 2^32 */
        {WW_ETRAVERSAL,
            "0100000007000000"
            "fcffffff00000000"},             /* 2^30 elements without a size */
        {WW_ETRAVERSAL, "01000000f8ffffff"}, /* 2^29-1 voids */
    };
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    for (size_t i = 0; i < WW_COUNT_OF(cases); i++) {
        const char *const segs[] = {cases[i].words};
        struct ww_lr l = ww_pr_list_any(open_hex(&m, segs, 1));
        assert_int_equal(l.count, 0);
        assert_int_equal(ww_msg_err(&m), cases[i].want);
    }
    ww_msg_fini(&m);
}

static void text_needs_its_terminator(void **state)
{
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    assert_int_equal(ww_pr_text(OPEN(&m, "0100000002000000")).len, 0);
    assert_int_equal(ww_msg_err(&m), WW_EMALFORMED);
    assert_int_equal(ww_pr_text(OPEN(&m,
                                    "0100000012000000"
                                    "6869000000000000"))
                         .len,
        0);
    assert_int_equal(ww_msg_err(&m), WW_EMALFORMED);
    assert_int_equal(ww_pr_text(OPEN(&m,
                                    "010000001b000000"
                                    "6869000000000000"))
                         .len,
        0);
    assert_int_equal(ww_msg_err(&m), WW_EMALFORMED);
    assert_bytes(ww_pr_text(OPEN(&m,
                     "010000001a000000"
                     "6800000000000000")),
        "h", 2);
    assert_bytes(ww_pr_data(OPEN(&m, "0100000002000000")), "", 0);
    assert_ok(ww_msg_err(&m));
    ww_msg_fini(&m);
}

static void depth_is_limited_to_64_structs(void **state)
{
    struct ww_msg m, r;
    ww_msg_init(&m, NULL);
    ww_msg_init(&r, NULL);
    for (unsigned depth = 64; depth <= 65; depth++) {
        ww_msg_reset(&m);
        ww_msg_hint(&m, 200);
        struct ww_pb p = ww_msg_root_builder(&m);
        for (unsigned i = 0; i < depth; i++)
            p = ww_sb_ptr(ww_pb_init_struct(p, 1, 1), 0);
        assert_ok(ww_msg_open(&r, ww_msg_frame(&m), NULL));
        struct ww_pr at = ww_msg_root(&r);
        for (unsigned i = 0; i < depth; i++)
            at = ww_sr_ptr(ww_pr_struct(at), 0);
        assert_int_equal(ww_msg_err(&r), depth == 64 ? 0 : WW_EDEPTH);
        struct ww_msg copy;
        ww_msg_init(&copy, NULL);
        assert_ok(ww_msg_open(&r, ww_msg_frame(&m), NULL));
        ww_pb_set(ww_msg_root_builder(&copy), ww_msg_root(&r));
        assert_int_equal(ww_msg_err(&copy), depth == 64 ? 0 : WW_EDEPTH);
        ww_msg_fini(&copy);
    }
    ww_msg_fini(&r);
    ww_msg_fini(&m);
}

/* Pointers of one list that all lead to the same kilobyte: reading is stopped, not multiplied. */
static void amplification_is_charged(void **state)
{
    struct ww_msg m, r;
    ww_msg_init(&m, NULL);
    ww_msg_init(&r, NULL);
    ww_msg_hint(&m, 4000);
    struct ww_lb l = ww_pb_init_list(ww_msg_root_builder(&m), WW_ELEM_PTR, 2000);
    assert_non_null(ww_pb_init_data(ww_lb_ptr(l, 0), 1024));
    for (uint32_t i = 1; i < 2000; i++)
        ww_pb_transfer(ww_lb_ptr(l, i), l.seg, ww_lb_ptr(l, 0).at, ww_load64_(ww_lb_ptr(l, 0).at));
    assert_ok(ww_msg_open(&r, ww_msg_frame(&m), NULL));
    struct ww_lr rl = ww_pr_list(ww_msg_root(&r), WW_ELEM_PTR);
    uint32_t good = 0;
    for (uint32_t i = 0; i < rl.count; i++)
        good += ww_pr_data(ww_lr_ptr(rl, i)).len == 1024;
    assert_int_equal(ww_msg_err(&r), WW_ETRAVERSAL);
    assert_int_equal(good, (65536 - 2000) / 128);
    ww_msg_fini(&r);
    ww_msg_fini(&m);
}

/* ---- building */

static void scalars_round_trip(void **state)
{
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    struct ww_sb s = ww_pb_init_struct(ww_msg_root_builder(&m), 3, 2);
    ww_sb_set_u64(s, 0, UINT64_C(0x0123456789abcdef));
    ww_sb_set_u32(s, 2, 0xcafe0000);
    ww_sb_set_u16(s, 6, 0xbeef);
    ww_sb_set_u8(s, 14, 0x77);
    ww_sb_set_bool(s, 130, true);
    ww_sb_set_bool(s, 131, true);
    ww_sb_set_bool(s, 131, false);
    ww_sb_set_u64(s, 3, 1);          /* past the data section: goes nowhere */
    ww_sb_set_u64(s, UINT32_MAX, 1); /* so does this */
    ww_sb_set_bool(s, 192, true);
    ww_pb_set_text(ww_sb_ptr(s, 0), ww_text("hello"));
    ww_pb_set_data(ww_sb_ptr(s, 1), ww_bytes("\x01\x02", 2));
    ww_pb_set_text(ww_sb_ptr(s, 2), ww_text("nowhere"));
    struct ww_sr r = ww_pr_struct(ww_msg_root(&m));
    assert_int_equal(ww_sr_u64(r, 0), UINT64_C(0x0123456789abcdef));
    assert_int_equal(ww_sr_u32(r, 2), 0xcafe0000);
    assert_int_equal(ww_sr_u16(r, 6), 0xbeef);
    assert_int_equal(ww_sr_u8(r, 14), 0x77);
    assert_int_equal(ww_sr_u8(r, 16), 4);
    assert_string_equal(ww_cstr(ww_pr_text(ww_sr_ptr(r, 0))), "hello");
    assert_bytes(ww_pr_data(ww_sr_ptr(r, 1)), "\x01\x02", 2);
    assert_ok(ww_msg_err(&m));
    ww_msg_fini(&m);
}

/* Golden words: what the reference writes for struct {1 word, 2 pointers} {42, "hi", List(UInt16) [1,2,3]}.
 */
static void built_bytes_are_the_references(void **state)
{
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    struct ww_sb s = ww_pb_init_struct(ww_msg_root_builder(&m), 1, 2);
    ww_sb_set_u64(s, 0, 42);
    ww_pb_set_text(ww_sb_ptr(s, 0), ww_text("hi"));
    struct ww_lb l = ww_pb_init_list(ww_sb_ptr(s, 1), WW_ELEM_TWO, 3);
    for (uint32_t i = 0; i < 3; i++)
        ww_lb_set_u16(l, i, (uint16_t)(i + 1));
    struct ww_bytes want = hex("0000000006000000"
                               "0000000001000200"
                               "2a00000000000000"
                               "050000001a000000"
                               "050000001b000000"
                               "6869000000000000"
                               "0100020003000000");
    assert_bytes(ww_msg_frame(&m), want.ptr, want.len);
    ww_msg_fini(&m);
}

static void empty_structs_are_not_null(void **state)
{
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    struct ww_sb s = ww_pb_init_struct(ww_msg_root_builder(&m), 0, 1);
    ww_pb_init_struct(ww_sb_ptr(s, 0), 0, 0);
    struct ww_sr r = ww_pr_struct(ww_msg_root(&m));
    assert_true(ww_sr_has(r, 0));
    assert_int_equal(ww_load64_(ww_sr_ptr(r, 0).at), WW_CAPNP_EMPTY_STRUCT);
    assert_int_equal(ww_pr_kind(ww_sr_ptr(r, 0)), WW_PTR_STRUCT);
    ww_pb_clear(ww_sb_ptr(s, 0));
    assert_false(ww_sr_has(r, 0));
    ww_pb_set_text(ww_sb_ptr(s, 0), ww_text(""));
    assert_true(ww_sr_has(r, 0));
    assert_int_equal(ww_pr_text(ww_sr_ptr(r, 0)).len, 0);
    ww_pb_set_text(ww_sb_ptr(s, 0), ww_text(NULL));
    assert_false(ww_sr_has(r, 0));
    assert_ok(ww_msg_err(&m));
    ww_msg_fini(&m);
}

/* A tree with every kind of list; checked by check_sample. */
static void build_sample(struct ww_pb root, struct ww_cap *cap, unsigned size)
{
    struct ww_sb s = ww_pb_init_struct(root, 2, 5);
    ww_sb_set_u64(s, 0, UINT64_C(0x1122334455667788));
    struct ww_lb people = ww_pb_init_structs(ww_sb_ptr(s, 0), 1, 1, size);
    for (uint32_t i = 0; i < people.count; i++) {
        ww_sb_set_u32(ww_lb_struct(people, i), 0, i * 3);
        char name[24];
        snprintf(name, sizeof name, "person-%u", i);
        ww_pb_set_text(ww_sb_ptr(ww_lb_struct(people, i), 0), ww_text(name));
    }
    struct ww_lb bits = ww_pb_init_list(ww_sb_ptr(s, 1), WW_ELEM_BIT, size);
    for (uint32_t i = 0; i < bits.count; i++)
        ww_lb_set_bool(bits, i, i % 3 == 0);
    struct ww_lb lists = ww_pb_init_list(ww_sb_ptr(s, 2), WW_ELEM_PTR, size);
    for (uint32_t i = 0; i < lists.count; i++) {
        struct ww_lb inner = ww_pb_init_list(ww_lb_ptr(lists, i), WW_ELEM_FOUR, 3);
        ww_lb_set_u32(inner, 2, i);
    }
    ww_pb_set_cap(ww_sb_ptr(s, 3), cap);
    ww_pb_init_list(ww_sb_ptr(s, 4), WW_ELEM_VOID, 17);
}

static void check_sample(struct ww_pr root, struct ww_cap *cap, unsigned size)
{
    struct ww_sr s = ww_pr_struct(root);
    assert_int_equal(ww_sr_u64(s, 0), UINT64_C(0x1122334455667788));
    struct ww_lr people = ww_pr_list(ww_sr_ptr(s, 0), WW_ELEM_STRUCT);
    assert_int_equal(people.count, size);
    for (uint32_t i = 0; i < people.count; i++) {
        char name[24];
        snprintf(name, sizeof name, "person-%u", i);
        assert_int_equal(ww_sr_u32(ww_lr_struct(people, i), 0), i * 3);
        assert_string_equal(ww_cstr(ww_pr_text(ww_sr_ptr(ww_lr_struct(people, i), 0))), name);
    }
    struct ww_lr bits = ww_pr_list(ww_sr_ptr(s, 1), WW_ELEM_BIT);
    assert_int_equal(bits.count, size);
    for (uint32_t i = 0; i < bits.count; i++)
        assert_int_equal(ww_lr_bool(bits, i), i % 3 == 0);
    struct ww_lr lists = ww_pr_list(ww_sr_ptr(s, 2), WW_ELEM_PTR);
    assert_int_equal(lists.count, size);
    for (uint32_t i = 0; i < lists.count; i++)
        assert_int_equal(ww_lr_u32(ww_pr_list(ww_lr_ptr(lists, i), WW_ELEM_FOUR), 2), i);
    assert_ptr_equal(ww_pr_cap(ww_sr_ptr(s, 3)), cap);
    assert_int_equal(ww_pr_list(ww_sr_ptr(s, 4), WW_ELEM_VOID).count, 17);
}

static void segments_overflow_into_new_ones(void **state)
{
    struct ww_cap cap = {1};
    for (uint32_t hint = 2; hint < 200; hint += 7) {
        struct ww_msg m, r;
        ww_msg_init(&m, &cap_ops);
        ww_msg_init(&r, &cap_ops);
        ww_msg_hint(&m, hint);
        build_sample(ww_msg_root_builder(&m), &cap, 50);
        assert_ok(ww_msg_err(&m));
        assert_true(ww_msg_seg_count(&m) > 1);
        check_sample(ww_msg_root(&m), &cap, 50);
        size_t len = ww_msg_frame_bytes(&m);
        uint8_t *frame = malloc(len);
        ww_msg_frame_write(&m, frame);
        assert_null(ww_msg_frame(&m).ptr);
        assert_ok(ww_msg_open(&r, ww_bytes(frame, len), NULL));
        ww_msg_cap_slots(&r, 1)[0] = &cap;
        cap.refs++;
        check_sample(ww_msg_root(&r), &cap, 50);
        assert_ok(ww_msg_err(&r));
        /* the next life of the message fits in one segment */
        ww_msg_reset(&m);
        build_sample(ww_msg_root_builder(&m), &cap, 50);
        assert_int_equal(ww_msg_seg_count(&m), 1);
        check_sample(ww_msg_root(&m), &cap, 50);
        free(frame);
        ww_msg_fini(&r);
        ww_msg_fini(&m);
        assert_int_equal(cap.refs, 1);
    }
}

static void deep_copies_are_equal_and_count_capabilities(void **state)
{
    struct ww_cap cap = {1};
    for (uint32_t hint = 2; hint < 400; hint += 33) {
        struct ww_msg a, b;
        ww_msg_init(&a, &cap_ops);
        ww_msg_init(&b, &cap_ops);
        ww_msg_hint(&b, hint);
        build_sample(ww_msg_root_builder(&a), &cap, 20);
        assert_int_equal(cap.refs, 2);
        struct ww_sb box = ww_pb_init_struct(ww_msg_root_builder(&b), 0, 3);
        ww_pb_set(ww_sb_ptr(box, 0), ww_msg_root(&a));
        ww_pb_set_struct(ww_sb_ptr(box, 1), ww_pr_struct(ww_msg_root(&a)));
        ww_pb_set(ww_sb_ptr(box, 2), ww_pb_reader(ww_sb_ptr(box, 0)));
        assert_int_equal(cap.refs, 5);
        for (uint32_t i = 0; i < 3; i++)
            check_sample(ww_pb_reader(ww_sb_ptr(box, i)), &cap, 20);
        /* replacing a tree by a part of itself */
        ww_pb_set(ww_sb_ptr(box, 0), ww_sr_ptr(ww_pr_struct(ww_pb_reader(ww_sb_ptr(box, 0))), 1));
        assert_int_equal(ww_pr_list(ww_pb_reader(ww_sb_ptr(box, 0)), WW_ELEM_BIT).count, 20);
        assert_int_equal(cap.refs, 4);
        assert_ok(ww_msg_err(&b));
        ww_msg_fini(&a);
        ww_msg_fini(&b);
        assert_int_equal(cap.refs, 1);
    }
}

static void clearing_wipes_what_was_there(void **state)
{
    struct ww_cap cap = {1};
    struct ww_msg m;
    ww_msg_init(&m, &cap_ops);
    ww_msg_hint(&m, 1000);
    build_sample(ww_msg_root_builder(&m), &cap, 5);
    ww_pb_clear(ww_msg_root_builder(&m));
    assert_int_equal(cap.refs, 1);
    struct ww_bytes seg = ww_msg_seg(&m, 0);
    for (size_t i = 0; i < seg.len; i += 8) {
        assert_int_equal(ww_load64_(seg.ptr + i), 0);
    }
    ww_msg_fini(&m);
}

static void objects_move_without_copies(void **state)
{
    struct ww_cap cap = {1};
    for (uint32_t hint = 2; hint < 60; hint++) {
        struct ww_msg m;
        ww_msg_init(&m, &cap_ops);
        ww_msg_hint(&m, hint);
        struct ww_sb box = ww_pb_init_struct(ww_msg_root_builder(&m), 0, 4);
        build_sample(ww_sb_ptr(box, 0), &cap, 9);
        struct ww_sb other = ww_pb_init_struct(ww_sb_ptr(box, 3), 20, 3);
        for (uint32_t i = 1; i < 3; i++) {
            ww_pb_move(ww_sb_ptr(other, i), ww_sb_ptr(box, 0));
            assert_true(ww_pb_is_null(ww_sb_ptr(box, 0)));
            check_sample(ww_pb_reader(ww_sb_ptr(other, i)), &cap, 9);
            ww_pb_move(ww_sb_ptr(box, 0), ww_sb_ptr(other, i));
        }
        check_sample(ww_pb_reader(ww_sb_ptr(box, 0)), &cap, 9);
        /* a list's own pointers, across segments */
        struct ww_sb s = ww_pb_struct(ww_sb_ptr(box, 0), 2, 5);
        ww_pb_move(ww_sb_ptr(other, 0), ww_sb_ptr(s, 2));
        ww_pb_move(ww_sb_ptr(s, 2), ww_sb_ptr(other, 0));
        check_sample(ww_pb_reader(ww_sb_ptr(box, 0)), &cap, 9);
        assert_ok(ww_msg_err(&m));
        ww_msg_fini(&m);
        assert_int_equal(cap.refs, 1);
    }
}

static void small_objects_are_enlarged(void **state)
{
    for (uint32_t hint = 2; hint < 40; hint++) {
        struct ww_msg m;
        ww_msg_init(&m, NULL);
        ww_msg_hint(&m, hint);
        struct ww_sb s = ww_pb_init_struct(ww_msg_root_builder(&m), 1, 1);
        ww_sb_set_u64(s, 0, 77);
        ww_pb_set_text(ww_sb_ptr(s, 0), ww_text("kept"));
        s = ww_pb_struct(ww_msg_root_builder(&m), 2, 2);
        ww_sb_set_u64(s, 1, 78);
        assert_int_equal(ww_sb_u64(s, 0), 77);
        assert_string_equal(ww_cstr(ww_pr_text(ww_pb_reader(ww_sb_ptr(s, 0)))), "kept");
        struct ww_lb l = ww_pb_init_list(ww_sb_ptr(s, 1), WW_ELEM_PTR, 3);
        ww_pb_set_text(ww_lb_ptr(l, 2), ww_text("third"));
        l = ww_pb_structs(ww_sb_ptr(s, 1), 1, 2);
        assert_int_equal(l.count, 3);
        assert_string_equal(ww_cstr(ww_pr_text(ww_pb_reader(ww_sb_ptr(ww_lb_struct(l, 2), 0)))), "third");
        ww_sb_set_u64(ww_lb_struct(l, 2), 0, 5);
        struct ww_lb again = ww_pb_structs(ww_sb_ptr(s, 1), 1, 1);
        assert_ptr_equal(again.data, l.data);
        assert_ok(ww_msg_err(&m));
        ww_msg_fini(&m);
    }
}

static void caller_memory_is_used_first(void **state)
{
    uint8_t mem[400];
    struct ww_msg m;
    for (size_t bytes = 24; bytes < sizeof mem; bytes += 13) {
        struct ww_cap cap = {1};
        memset(mem, 0xee, sizeof mem);
        ww_msg_init_mem(&m, &cap_ops, mem + 1, bytes - 1 < 24 ? 24 : bytes - 1);
        build_sample(ww_msg_root_builder(&m), &cap, 2);
        check_sample(ww_msg_root(&m), &cap, 2);
        assert_ok(ww_msg_err(&m));
        ww_msg_fini(&m);
        assert_int_equal(cap.refs, 1);
    }
}

/* ---- allocation */

struct counting {
    struct ww_allocator hook;
    int live, calls, fail_at;
};

static void *counting_resize(void *ctx, void *old, size_t size)
{
    struct counting *c = ctx;
    if (size == 0) {
        c->live -= old != NULL;
        free(old);
        return NULL;
    }
    if (++c->calls == c->fail_at)
        return NULL;
    void *p = realloc(old, size);
    c->live += p && !old;
    return p;
}

static void steady_state_allocates_nothing(void **state)
{
    struct counting c = {.hook = {counting_resize, &c}};
    struct ww_cap cap = {1};
    ww_allocator_set(&c.hook);
    struct ww_msg m;
    ww_msg_init(&m, &cap_ops);
    for (int round = 0; round < 10; round++) {
        int before = c.calls;
        ww_msg_reset(&m);
        build_sample(ww_msg_root_builder(&m), &cap, 60);
        assert_ok(ww_msg_err(&m));
        if (round >= 2)
            assert_int_equal(c.calls, before);
    }
    ww_msg_fini(&m);
    ww_allocator_set(NULL);
    assert_int_equal(c.live, 0);
}

static void running_out_of_memory_is_latched(void **state)
{
    struct ww_cap cap = {1};
    int fail_at = 1;
    for (bool done = false; !done; fail_at++) {
        struct counting c = {.hook = {counting_resize, &c}, .fail_at = fail_at};
        ww_allocator_set(&c.hook);
        struct ww_msg m, copy;
        ww_msg_init(&m, &cap_ops);
        ww_msg_init(&copy, &cap_ops);
        ww_msg_hint(&m, 3);
        build_sample(ww_msg_root_builder(&m), &cap, 30);
        if (ww_msg_err(&m) == 0)
            ww_pb_set(ww_msg_root_builder(&copy), ww_msg_root(&m));
        done = c.calls < fail_at;
        assert_int_equal(ww_msg_err(&m) < 0 || ww_msg_err(&copy) < 0, !done);
        ww_msg_fini(&copy);
        ww_msg_fini(&m);
        ww_allocator_set(NULL);
        assert_int_equal(c.live, 0);
        assert_int_equal(cap.refs, 1);
    }
    assert_true(fail_at > 5);
}

static void too_large_is_a_limit_not_a_crash(void **state)
{
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    struct ww_sb s = ww_pb_init_struct(ww_msg_root_builder(&m), 0, 2);
    struct ww_lb l = ww_pb_init_list(ww_sb_ptr(s, 0), WW_ELEM_EIGHT, UINT32_MAX);
    assert_int_equal(l.count, 0);
    assert_int_equal(ww_msg_err(&m), WW_ELIMIT);
    ww_lb_set_u64(l, 5, 1);
    ww_pb_set_text(ww_lb_ptr(l, 0), ww_text("nowhere"));
    ww_sb_set_u64(ww_pb_init_struct(ww_lb_ptr(l, 1), 1, 1), 0, 1);
    ww_msg_reset(&m);
    s = ww_pb_init_struct(ww_msg_root_builder(&m), 0, 2);
    l = ww_pb_init_structs(ww_sb_ptr(s, 0), 0xffff, 0xffff, (1 << 29) - 1);
    assert_int_equal(l.count, 0);
    assert_int_equal(ww_msg_err(&m), WW_ELIMIT);
    ww_msg_reset(&m);
    s = ww_pb_init_struct(ww_msg_root_builder(&m), 0, 2);
    assert_null(ww_pb_init_data(ww_sb_ptr(s, 0), SIZE_MAX));
    assert_int_equal(ww_msg_err(&m), WW_ELIMIT);
    ww_msg_fini(&m);
}

static void bad_capability_indexes_are_latched(void **state)
{
    struct ww_cap cap = {1};
    struct ww_msg m;
    ww_msg_init(&m, &cap_ops);
    struct ww_pr root = OPEN(&m, "0300000000000000");
    assert_null(ww_pr_cap(root));
    assert_int_equal(ww_msg_err(&m), WW_EMALFORMED);
    root = OPEN(&m, "0300000001000000");
    ww_msg_cap_slots(&m, 2)[1] = &cap;
    assert_ptr_equal(ww_pr_cap(root), &cap);
    assert_int_equal(ww_pr_kind(root), WW_PTR_CAP);
    assert_ok(ww_msg_err(&m));
    root = OPEN(&m, "0700000001000000");
    assert_null(ww_pr_cap(root));
    assert_int_equal(ww_pr_kind(root), WW_PTR_BAD);
    assert_int_equal(ww_msg_err(&m), WW_EMALFORMED);
    ww_msg_fini(&m);
    assert_int_equal(cap.refs, 0);
}

static void packed_messages_open(void **state)
{
    struct ww_cap cap = {1};
    struct ww_msg m, r;
    ww_msg_init(&m, &cap_ops);
    ww_msg_init(&r, &cap_ops);
    for (uint32_t hint = 3; hint < 1500; hint += 300) {
        ww_msg_reset(&m);
        ww_msg_hint(&m, hint);
        build_sample(ww_msg_root_builder(&m), NULL, 40);
        uint8_t *packed = malloc(ww_msg_pack_bound(&m));
        size_t n = ww_msg_pack(&m, packed);
        assert_true(n > 0 && n < ww_msg_frame_bytes(&m));
        assert_ok(ww_msg_open_packed(&r, ww_bytes(packed, n), NULL));
        check_sample(ww_msg_root(&r), NULL, 40);
        assert_ok(ww_msg_err(&r));
        for (size_t cut = 0; cut < n; cut += 3)
            assert_true(ww_msg_open_packed(&r, ww_bytes(packed, cut), NULL) < 0);
        free(packed);
    }
    ww_msg_fini(&r);
    ww_msg_fini(&m);
    assert_int_equal(cap.refs, 1);
}

/* ---- canonical form and equality */

static void equality_ignores_layout(void **state)
{
    struct ww_cap cap = {1}, other = {1};
    struct ww_msg a, b;
    ww_msg_init(&a, &cap_ops);
    ww_msg_init(&b, &cap_ops);
    for (uint32_t hint = 2; hint < 500; hint = hint * 2 + 1) {
        ww_msg_reset(&a);
        ww_msg_reset(&b);
        ww_msg_hint(&b, hint);
        build_sample(ww_msg_root_builder(&a), &cap, 21);
        build_sample(ww_msg_root_builder(&b), &cap, 21);
        struct ww_sb s = ww_pb_struct(ww_msg_root_builder(&b), 4, 7); /* the same with room to grow */
        assert_true(ww_pr_equal(ww_msg_root(&a), ww_msg_root(&b)));
        ww_sb_set_u64(s, 3, 1);
        assert_false(ww_pr_equal(ww_msg_root(&a), ww_msg_root(&b)));
        ww_sb_set_u64(s, 3, 0);
        ww_pb_set_text(ww_sb_ptr(s, 6), ww_text(""));
        assert_false(ww_pr_equal(ww_msg_root(&a), ww_msg_root(&b)));
        ww_pb_clear(ww_sb_ptr(s, 6));
        ww_lb_set_bool(ww_pb_list(ww_sb_ptr(s, 1), WW_ELEM_BIT), 20, true);
        assert_false(ww_pr_equal(ww_msg_root(&a), ww_msg_root(&b)));
        ww_lb_set_bool(ww_pb_list(ww_sb_ptr(s, 1), WW_ELEM_BIT), 20, false);
        assert_true(ww_pr_equal(ww_msg_root(&a), ww_msg_root(&b)));
        ww_pb_set_cap(ww_sb_ptr(s, 3), &other);
        assert_false(ww_pr_equal(ww_msg_root(&a), ww_msg_root(&b)));
    }
    ww_msg_fini(&a);
    ww_msg_fini(&b);
    assert_int_equal(cap.refs + other.refs, 2);
}

static void canonical_form_has_one_spelling(void **state)
{
    struct ww_msg a, b, c;
    ww_msg_init(&a, NULL);
    ww_msg_init(&b, NULL);
    ww_msg_init(&c, NULL);
    for (uint32_t hint = 2; hint < 500; hint = hint * 2 + 1) {
        ww_msg_reset(&a);
        ww_msg_hint(&a, hint);
        build_sample(ww_msg_root_builder(&a), NULL, 21);
        ww_pb_struct(ww_msg_root_builder(&a), 9, 9);
        assert_false(ww_msg_is_canonical(&a));
        assert_ok(ww_msg_canonicalize(&b, ww_msg_root(&a)));
        assert_true(ww_pr_equal(ww_msg_root(&a), ww_msg_root(&b)));
        assert_true(ww_msg_is_canonical(&b));
        assert_ok(ww_msg_canonicalize(&c, ww_msg_root(&b)));
        assert_true(ww_bytes_eq(ww_msg_seg(&b, 0), ww_msg_seg(&c, 0)));
        struct ww_sr s = ww_pr_struct(ww_msg_root(&b));
        assert_int_equal(s.data_bytes, 8);
        assert_int_equal(s.ptrs, 5);
    }
    ww_msg_fini(&a);
    ww_msg_fini(&b);
    ww_msg_fini(&c);
}

static void canonical_form_drops_what_says_nothing(void **state)
{
    struct ww_msg a, b;
    ww_msg_init(&a, NULL);
    ww_msg_init(&b, NULL);
    /* a struct of zeroes and a null pointer */
    assert_ok(ww_msg_canonicalize(&b,
        OPEN(&a,
            "0000000002000100"
            "0000000000000000"
            "0000000000000000"
            "0000000000000000")));
    assert_bytes(ww_msg_seg(&b, 0), "\xfc\xff\xff\xff\0\0\0\0", 8);
    /* a bit list with rubbish behind its three bits, in a word with rubbish behind its byte */
    assert_ok(ww_msg_canonicalize(&b,
        OPEN(&a,
            "0100000019000000"
            "fdffffffffffffff")));
    assert_bytes(ww_msg_seg(&b, 0), "\1\0\0\0\x19\0\0\0\5\0\0\0\0\0\0\0", 16);
    assert_false(ww_msg_is_canonical(&a));
    /* a capability has no canonical form */
    struct ww_cap cap = {1};
    struct ww_msg m;
    ww_msg_init(&m, &cap_ops);
    ww_pb_set_cap(ww_msg_root_builder(&m), &cap);
    assert_int_equal(ww_msg_canonicalize(&b, ww_msg_root(&m)), WW_EINVAL);
    ww_msg_fini(&m);
    /* a null root is the null word */
    assert_ok(ww_msg_canonicalize(&b, OPEN(&a, "0000000000000000")));
    assert_int_equal(ww_msg_seg(&b, 0).len, 8);
    ww_msg_fini(&a);
    ww_msg_fini(&b);
}

static void segments_never_change_the_value(void **state)
{
    struct ww_msg one, many, read, canonical[2];
    struct ww_msg *all[] = {&one, &many, &read, &canonical[0], &canonical[1]};
    unsigned split = 0;
    for (size_t i = 0; i < WW_COUNT_OF(all); i++)
        ww_msg_init(all[i], NULL);
    for (uint64_t seed = 0; seed < 400; seed++) {
        random_tree(&one, seed, 60000);
        random_tree(&many, seed, 2 + seed % 37);
        split += ww_msg_seg_count(&many) > 1;
        assert_int_equal(ww_msg_seg_count(&one), 1);
        assert_true(ww_pr_equal(ww_msg_root(&one), ww_msg_root(&many)));

        size_t len = ww_msg_frame_bytes(&many);
        uint8_t *bytes = malloc(len), *packed = malloc(ww_msg_pack_bound(&many));
        ww_msg_frame_write(&many, bytes);
        assert_ok(ww_msg_open(&read, ww_bytes(bytes, len), NULL));
        assert_true(ww_pr_equal(ww_msg_root(&one), ww_msg_root(&read)));
        size_t n = ww_msg_pack(&many, packed);
        assert_ok(ww_msg_open_packed(&read, ww_bytes(packed, n), NULL));
        assert_true(ww_pr_equal(ww_msg_root(&one), ww_msg_root(&read)));

        assert_ok(ww_msg_canonicalize(&canonical[0], ww_msg_root(&one)));
        assert_ok(ww_msg_canonicalize(&canonical[1], ww_msg_root(&read)));
        assert_true(ww_bytes_eq(ww_msg_seg(&canonical[0], 0), ww_msg_seg(&canonical[1], 0)));
        assert_true(ww_pr_equal(ww_msg_root(&one), ww_msg_root(&canonical[0])));
        free(bytes);
        free(packed);
    }
    assert_true(split > 100);
    for (size_t i = 0; i < WW_COUNT_OF(all); i++)
        ww_msg_fini(all[i]);
}

/* The root pointer is there whatever the limit, and nothing else is. */
static void a_limit_of_nothing_holds(void **state)
{
    struct ww_msg m;
    for (uint64_t limit = 0; limit < 3; limit++) {
        ww_msg_init(&m, NULL);
        ww_msg_build_limit(&m, limit);
        struct ww_sb s = ww_pb_init_struct(ww_msg_root_builder(&m), 1, 0);
        ww_sb_set_u64(s, 0, UINT64_MAX);
        assert_int_equal(ww_msg_err(&m), limit < 2 ? WW_ELIMIT : 0);
        assert_int_equal(ww_msg_frame_bytes(&m), limit < 2 ? 16 : 24);
        ww_pb_init_list(ww_msg_root_builder(&m), WW_ELEM_EIGHT, 4000);
        assert_int_equal(ww_msg_err(&m), WW_ELIMIT);
        ww_msg_fini(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_struct_reads_and_missing_fields_are_zero),
        cmocka_unit_test(far_pointers_are_followed),
        cmocka_unit_test(bad_struct_pointers_are_refused),
        cmocka_unit_test(list_upgrades_follow_the_matrix),
        cmocka_unit_test(a_struct_list_read_as_pointers_keeps_its_step),
        cmocka_unit_test(bad_lists_are_refused),
        cmocka_unit_test(text_needs_its_terminator),
        cmocka_unit_test(depth_is_limited_to_64_structs),
        cmocka_unit_test(amplification_is_charged),
        cmocka_unit_test(scalars_round_trip),
        cmocka_unit_test(built_bytes_are_the_references),
        cmocka_unit_test(empty_structs_are_not_null),
        cmocka_unit_test(segments_overflow_into_new_ones),
        cmocka_unit_test(deep_copies_are_equal_and_count_capabilities),
        cmocka_unit_test(clearing_wipes_what_was_there),
        cmocka_unit_test(objects_move_without_copies),
        cmocka_unit_test(small_objects_are_enlarged),
        cmocka_unit_test(caller_memory_is_used_first),
        cmocka_unit_test(steady_state_allocates_nothing),
        cmocka_unit_test(running_out_of_memory_is_latched),
        cmocka_unit_test(too_large_is_a_limit_not_a_crash),
        cmocka_unit_test(a_limit_of_nothing_holds),
        cmocka_unit_test(bad_capability_indexes_are_latched),
        cmocka_unit_test(packed_messages_open),
        cmocka_unit_test(equality_ignores_layout),
        cmocka_unit_test(canonical_form_has_one_spelling),
        cmocka_unit_test(canonical_form_drops_what_says_nothing),
        cmocka_unit_test(segments_never_change_the_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
