/* Orphans: made, taken, moved between segments and messages, cut, extended, joined; capabilities are never
 * lost. */
#include "caps.h"
#include "test/lib/alloc_fail.h"

#include "capnp/ptr.h"

static struct ww_msg *open_msg(struct ww_msg *m, uint32_t hint)
{
    ww_msg_init(m, &cap_ops);
    ww_msg_hint(m, hint);
    return m;
}

static struct ww_bytes text_at(struct ww_pb p)
{
    return ww_pr_text(ww_pb_reader(p));
}

/* Every word of the message that is not the root pointer or in `keep` words from the front is zero. */
static void assert_wiped(const struct ww_msg *m, size_t keep)
{
    for (uint32_t id = 0; id < ww_msg_seg_count(m); id++) {
        struct ww_bytes seg = ww_msg_seg(m, id);
        for (size_t i = id == 0 ? keep * 8 : 0; i < seg.len; i++)
            assert_int_equal(seg.ptr[i], 0);
    }
}

/* ---- kinds */

static void every_kind_is_made_and_adopted(void **state)
{
    struct ww_cap cap = {1};
    for (uint32_t hint = 2; hint < 60; hint++) {
        struct ww_msg m;
        struct ww_sb box = ww_pb_init_struct(ww_msg_root_builder(open_msg(&m, hint)), 0, 7);
        struct ww_orphan s = ww_orphan_struct(&m, 1, 1), l = ww_orphan_list(&m, WW_ELEM_TWO, 3),
                         t = ww_orphan_text(&m, ww_text("text")), d = ww_orphan_data(&m, ww_bytes("\1\2", 2)),
                         c = ww_orphan_cap(&m, &cap), e = ww_orphan_struct(&m, 0, 0),
                         sl = ww_orphan_structs(&m, 1, 1, 2);
        ww_sb_set_u64(ww_orphan_as_struct(&s, 1, 1), 0, 77);
        ww_pb_set_text(ww_sb_ptr(ww_orphan_as_struct(&s, 1, 1), 0), ww_text("inner"));
        ww_lb_set_u16(ww_orphan_as_list(&l, WW_ELEM_TWO), 2, 5);
        ww_pb_set_text(ww_sb_ptr(ww_lb_struct(ww_orphan_as_structs(&sl, 1, 1), 1), 0), ww_text("in list"));
        struct ww_orphan *all[] = {&s, &l, &t, &d, &c, &e, &sl};
        for (uint32_t i = 0; i < WW_COUNT_OF(all); i++) {
            assert_false(ww_orphan_is_null(all[i]));
            ww_pb_adopt(ww_sb_ptr(box, i), all[i]);
            assert_true(ww_orphan_is_null(all[i]));
        }
        struct ww_sr r = ww_pr_struct(ww_msg_root(&m));
        assert_int_equal(ww_sr_u64(ww_pr_struct(ww_sr_ptr(r, 0)), 0), 77);
        assert_string_equal(ww_cstr(ww_pr_text(ww_sr_ptr(ww_pr_struct(ww_sr_ptr(r, 0)), 0))), "inner");
        assert_int_equal(ww_lr_u16(ww_pr_list(ww_sr_ptr(r, 1), WW_ELEM_TWO), 2), 5);
        assert_string_equal(ww_cstr(ww_pr_text(ww_sr_ptr(r, 2))), "text");
        assert_bytes(ww_pr_data(ww_sr_ptr(r, 3)), "\1\2", 2);
        assert_ptr_equal(ww_pr_cap(ww_sr_ptr(r, 4)), &cap);
        assert_int_equal(ww_load64_(ww_sr_ptr(r, 5).at), WW_CAPNP_EMPTY_STRUCT);
        struct ww_lr rl = ww_pr_list(ww_sr_ptr(r, 6), WW_ELEM_STRUCT);
        assert_string_equal(ww_cstr(ww_pr_text(ww_sr_ptr(ww_lr_struct(rl, 1), 0))), "in list");
        assert_ok(ww_msg_err(&m));
        assert_int_equal(cap.refs, 2);
        ww_msg_fini(&m);
        assert_int_equal(cap.refs, 1);
    }
}

static void nothing_stays_nothing(void **state)
{
    struct ww_msg m;
    struct ww_pb root = ww_msg_root_builder(open_msg(&m, 20));
    struct ww_orphan o = ww_pb_disown(root);
    assert_true(ww_orphan_is_null(&o));
    o = ww_orphan_text(&m, ww_text(NULL));
    assert_true(ww_orphan_is_null(&o));
    o = ww_orphan_cap(&m, NULL);
    assert_true(ww_orphan_is_null(&o));
    ww_orphan_drop(&o);
    ww_orphan_resize(&o, 5);
    assert_null(ww_orphan_as_struct(&o, 1, 1).data);
    assert_int_equal(ww_orphan_as_structs(&o, 1, 1).count, 0);
    size_t len = 9;
    assert_null(ww_orphan_as_text(&o, &len));
    assert_int_equal(len, 0);
    ww_pb_set_text(root, ww_text("gone"));
    ww_pb_adopt(root, &o); /* adopting nothing clears */
    assert_true(ww_pb_is_null(root));
    assert_wiped(&m, 1);
    assert_ok(ww_msg_err(&m));
    ww_msg_fini(&m);
}

/* Taken and given back over and over, with full segments, so that every kind of landing pad is made. */
static void disowned_objects_come_back_through_any_pad(void **state)
{
    struct ww_cap cap = {1};
    unsigned doubles = 0;
    for (uint32_t hint = 2; hint < 40; hint++) {
        struct ww_msg m;
        struct ww_sb box = ww_pb_init_struct(ww_msg_root_builder(open_msg(&m, hint)), 0, 4);
        struct ww_sb far_box = ww_pb_init_struct(ww_sb_ptr(box, 3), 300, 2);
        struct ww_sb s = ww_pb_init_struct(ww_sb_ptr(box, 0), 1, 2);
        ww_sb_set_u64(s, 0, 41);
        ww_pb_set_text(ww_sb_ptr(s, 0), ww_text("below"));
        ww_pb_set_cap(ww_sb_ptr(s, 1), &cap);
        for (int round = 0; round < 12; round++) {
            struct ww_pb from = round % 2 ? ww_sb_ptr(far_box, 0) : ww_sb_ptr(box, 0);
            struct ww_pb to = round % 2 ? ww_sb_ptr(box, 0) : ww_sb_ptr(far_box, 0);
            struct ww_orphan o = ww_pb_disown(from);
            assert_true(ww_pb_is_null(from));
            assert_int_equal(ww_sb_u64(ww_orphan_as_struct(&o, 1, 2), 0), 41);
            ww_pb_adopt(to, &o);
            doubles += (ww_load64_(to.at) & 7) == 6;
            struct ww_sr r = ww_pr_struct(ww_pb_reader(to));
            assert_int_equal(ww_sr_u64(r, 0), 41);
            assert_string_equal(ww_cstr(ww_pr_text(ww_sr_ptr(r, 0))), "below");
            assert_ptr_equal(ww_pr_cap(ww_sr_ptr(r, 1)), &cap);
        }
        assert_ok(ww_msg_err(&m));
        assert_int_equal(cap.refs, 2);
        ww_pb_clear(ww_msg_root_builder(&m));
        assert_int_equal(cap.refs, 1);
        assert_wiped(&m, 1); /* landing pads too */
        ww_msg_fini(&m);
    }
    assert_true(doubles > 20);
}

static void between_messages_is_a_copy(void **state)
{
    struct ww_cap cap = {1};
    struct ww_msg a, b;
    open_msg(&a, 100);
    open_msg(&b, 2);
    struct ww_orphan o = ww_orphan_struct(&a, 0, 2);
    ww_pb_set_text(ww_sb_ptr(ww_orphan_as_struct(&o, 0, 2), 0), ww_text("travels"));
    ww_pb_set_cap(ww_sb_ptr(ww_orphan_as_struct(&o, 0, 2), 1), &cap);
    ww_pb_adopt(ww_msg_root_builder(&b), &o);
    assert_true(ww_orphan_is_null(&o));
    assert_int_equal(cap.refs, 2); /* only the copy's */
    assert_wiped(&a, 1);
    ww_msg_fini(&a);
    struct ww_sr r = ww_pr_struct(ww_msg_root(&b));
    assert_string_equal(ww_cstr(ww_pr_text(ww_sr_ptr(r, 0))), "travels");
    assert_ptr_equal(ww_pr_cap(ww_sr_ptr(r, 1)), &cap);
    /* a copy as an orphan, from the message itself */
    struct ww_orphan copy = ww_orphan_copy(&b, ww_msg_root(&b));
    assert_int_equal(cap.refs, 3);
    ww_pb_adopt(ww_msg_root_builder(&b), &copy);
    assert_int_equal(cap.refs, 2);
    assert_string_equal(ww_cstr(ww_pr_text(ww_sr_ptr(ww_pr_struct(ww_msg_root(&b)), 0))), "travels");
    assert_ok(ww_msg_err(&b));
    ww_msg_fini(&b);
    assert_int_equal(cap.refs, 1);
}

static void what_lies_in_the_old_object_survives_its_replacement(void **state)
{
    struct ww_cap cap = {1};
    struct ww_msg m;
    struct ww_pb root = ww_msg_root_builder(open_msg(&m, 100));
    struct ww_sb outer = ww_pb_init_struct(root, 0, 2);
    ww_pb_set_text(ww_sb_ptr(outer, 0), ww_text("kept"));
    ww_pb_set_cap(ww_sb_ptr(outer, 1), &cap);
    ww_pb_move(root, ww_sb_ptr(outer, 0));
    assert_string_equal(ww_cstr(text_at(root)), "kept");
    assert_int_equal(cap.refs, 1);
    struct ww_orphan o = ww_pb_disown(root);
    ww_pb_set_text(root, ww_text("other"));
    ww_pb_adopt(root, &o);
    assert_string_equal(ww_cstr(text_at(root)), "kept");
    assert_ok(ww_msg_err(&m));
    ww_msg_fini(&m);
}

static void orphans_are_enlarged(void **state)
{
    struct ww_cap cap = {1};
    for (uint32_t hint = 2; hint < 50; hint++) {
        struct ww_msg m;
        open_msg(&m, hint);
        struct ww_orphan s = ww_orphan_struct(&m, 1, 1), l = ww_orphan_list(&m, WW_ELEM_PTR, 2),
                         n = ww_orphan_list(&m, WW_ELEM_BYTE, 3);
        ww_sb_set_u64(ww_orphan_as_struct(&s, 1, 1), 0, 9);
        ww_pb_set_cap(ww_sb_ptr(ww_orphan_as_struct(&s, 1, 1), 0), &cap);
        struct ww_sb big = ww_orphan_as_struct(&s, 3, 3);
        assert_int_equal(big.data_bytes, 24);
        assert_int_equal(big.ptrs, 3);
        assert_int_equal(ww_sb_u64(big, 0), 9);
        assert_ptr_equal(ww_pr_cap(ww_pb_reader(ww_sb_ptr(big, 0))), &cap);
        ww_pb_set_text(ww_lb_ptr(ww_orphan_as_list(&l, WW_ELEM_PTR), 1), ww_text("second"));
        struct ww_lb structs = ww_orphan_as_structs(&l, 1, 2);
        assert_string_equal(ww_cstr(text_at(ww_sb_ptr(ww_lb_struct(structs, 1), 0))), "second");
        ww_lb_set_u8(ww_orphan_as_list(&n, WW_ELEM_BYTE), 2, 200);
        structs = ww_orphan_as_structs(&n, 1, 0);
        assert_int_equal(structs.count, 3);
        assert_int_equal(ww_sb_u8(ww_lb_struct(structs, 2), 0), 200);
        assert_ok(ww_msg_err(&m));
        ww_orphan_drop(&s);
        assert_int_equal(cap.refs, 1);
        /* bits never become structs */
        struct ww_orphan bits = ww_orphan_list(&m, WW_ELEM_BIT, 9);
        assert_int_equal(ww_orphan_as_structs(&bits, 1, 0).count, 0);
        assert_int_equal(ww_msg_err(&m), WW_EMALFORMED);
        ww_msg_fini(&m);
    }
}

/* ---- resizing */

static void lists_are_cut_and_extended(void **state)
{
    static const enum ww_elem kinds[] = {WW_ELEM_VOID, WW_ELEM_BIT, WW_ELEM_BYTE, WW_ELEM_TWO, WW_ELEM_FOUR,
        WW_ELEM_EIGHT, WW_ELEM_PTR, WW_ELEM_STRUCT};
    static const uint32_t sizes[] = {0, 1, 7, 8, 9, 20, 3, 64, 2, 0, 5};
    for (size_t k = 0; k < WW_COUNT_OF(kinds); k++) {
        for (int last = 0; last < 2; last++) {
            struct ww_msg m;
            open_msg(&m, 40);
            struct ww_orphan o =
                kinds[k] == WW_ELEM_STRUCT ? ww_orphan_structs(&m, 1, 1, 6) : ww_orphan_list(&m, kinds[k], 6);
            if (!last)
                ww_orphan_text(&m, ww_text("in the way"));
            uint32_t before = 6;
            for (size_t i = 0; i < WW_COUNT_OF(sizes); i++) {
                struct ww_lb l = ww_orphan_as_list(&o, kinds[k]);
                assert_int_equal(l.count, before);
                for (uint32_t e = 0; e < before; e++) {
                    ww_lb_set_u8(l, e, (uint8_t)(e + 1));
                    ww_lb_set_bool(l, e, e % 2 == 0);
                    ww_pb_set_text(ww_lb_ptr(l, e), ww_text("element"));
                }
                ww_orphan_resize(&o, sizes[i]);
                l = ww_orphan_as_list(&o, kinds[k]);
                assert_int_equal(l.count, sizes[i]);
                struct ww_lr r = ww_lb_reader(l);
                for (uint32_t e = 0; e < sizes[i]; e++) {
                    bool old = e < before;
                    if (l.data_bytes > 0)
                        assert_int_equal(ww_lr_u8(r, e), old ? e + 1 : 0);
                    if (kinds[k] == WW_ELEM_BIT)
                        assert_int_equal(ww_lr_bool(r, e), old && e % 2 == 0);
                    if (l.ptrs > 0)
                        assert_string_equal(ww_cstr(ww_lr_text(r, e)), old ? "element" : "");
                }
                before = sizes[i];
            }
            ww_pb_adopt(ww_msg_root_builder(&m), &o);
            assert_int_equal(ww_pr_list(ww_msg_root(&m), kinds[k]).count, before);
            assert_ok(ww_msg_err(&m));
            ww_msg_fini(&m);
        }
    }
}

static void cutting_gives_back_room_and_capabilities(void **state)
{
    struct ww_cap cap = {1};
    struct ww_msg m;
    open_msg(&m, 200);
    struct ww_orphan o = ww_orphan_list(&m, WW_ELEM_PTR, 10);
    struct ww_lb l = ww_orphan_as_list(&o, WW_ELEM_PTR);
    for (uint32_t i = 0; i < 10; i++)
        ww_pb_set_cap(ww_lb_ptr(l, i), &cap);
    assert_int_equal(cap.refs, 11);
    ww_orphan_resize(&o, 3);
    assert_int_equal(cap.refs, 4);
    assert_int_equal(ww_msg_seg(&m, 0).len, 4 * 8);
    ww_orphan_drop(&o);
    assert_int_equal(cap.refs, 1);
    /* data of unknown length: take much, give back the rest */
    o = ww_orphan_data(&m, ww_bytes("", 0));
    ww_orphan_resize(&o, 1000);
    size_t len;
    assert_non_null(ww_orphan_as_data(&o, &len));
    assert_int_equal(len, 1000);
    ww_orphan_resize(&o, 13);
    assert_int_equal(ww_msg_seg(&m, 0).len, (4 + 2) * 8);
    /* an empty list that points at the end keeps the end where it is */
    struct ww_orphan empty = ww_orphan_list(&m, WW_ELEM_FOUR, 0);
    ww_orphan_resize(&o, 1);
    struct ww_sb box = ww_pb_init_struct(ww_msg_root_builder(&m), 0, 2);
    ww_pb_adopt(ww_sb_ptr(box, 0), &empty);
    ww_pb_adopt(ww_sb_ptr(box, 1), &o);
    struct ww_sr r = ww_pr_struct(ww_msg_root(&m));
    assert_int_equal(ww_pr_list(ww_sr_ptr(r, 0), WW_ELEM_FOUR).count, 0);
    assert_int_equal(ww_pr_data(ww_sr_ptr(r, 1)).len, 1);
    assert_ok(ww_msg_err(&m));
    ww_msg_fini(&m);
    assert_int_equal(cap.refs, 1);
}

static void text_keeps_its_terminator(void **state)
{
    struct ww_msg m;
    open_msg(&m, 100);
    struct ww_orphan o = ww_orphan_text(&m, ww_text("hello, world"));
    ww_orphan_resize_text(&o, 5);
    size_t len;
    assert_string_equal((const char *)ww_orphan_as_text(&o, &len), "hello");
    assert_int_equal(len, 5);
    ww_orphan_resize_text(&o, 8);
    memcpy(ww_orphan_as_text(&o, &len) + 5, "abc", 3);
    ww_pb_adopt(ww_msg_root_builder(&m), &o);
    assert_string_equal(ww_cstr(ww_pr_text(ww_msg_root(&m))), "helloabc");
    assert_ok(ww_msg_err(&m));
    o = ww_orphan_struct(&m, 1, 0);
    ww_orphan_resize(&o, 1);
    assert_int_equal(ww_msg_err(&m), WW_EINVAL);
    ww_msg_fini(&m);
    open_msg(&m, 100);
    o = ww_orphan_data(&m, ww_bytes("ab", 2));
    ww_orphan_resize_text(&o, 1);
    assert_int_equal(ww_msg_err(&m), WW_EINVAL);
    ww_msg_reset(&m);
    o = ww_orphan_list(&m, WW_ELEM_EIGHT, 4);
    ww_orphan_resize(&o, UINT32_MAX);
    assert_int_equal(ww_msg_err(&m), WW_ELIMIT);
    ww_msg_fini(&m);
}

/* ---- joining */

static struct ww_lr list_of_bytes(struct ww_msg *m, uint32_t slot, uint32_t count)
{
    struct ww_lb l =
        ww_pb_init_list(ww_sb_ptr(ww_pb_struct(ww_msg_root_builder(m), 0, 4), slot), WW_ELEM_BYTE, count);
    for (uint32_t i = 0; i < count; i++)
        ww_lb_set_u8(l, i, (uint8_t)(slot * 10 + i));
    return ww_lb_reader(l);
}

static void lists_are_joined(void **state)
{
    struct ww_cap cap = {1};
    for (uint32_t hint = 2; hint < 80; hint += 3) {
        struct ww_msg m, r;
        open_msg(&m, hint);
        open_msg(&r, hint);
        struct ww_lr parts[4] = {list_of_bytes(&m, 0, 3), list_of_bytes(&m, 1, 0), list_of_bytes(&m, 2, 2)};
        struct ww_orphan o = ww_orphan_concat(&r, WW_ELEM_BYTE, parts, 3);
        size_t len;
        uint8_t *at = ww_orphan_as_data(&o, &len);
        assert_bytes(ww_bytes(at, len), "\0\1\2\x14\x15", 5);
        /* structs of different sizes, one of them a legacy list of bytes */
        struct ww_sb box = ww_pb_struct(ww_msg_root_builder(&m), 0, 4);
        struct ww_lb s = ww_pb_init_structs(ww_sb_ptr(box, 3), 2, 1, 2);
        ww_sb_set_u64(ww_lb_struct(s, 1), 1, 99);
        ww_pb_set_cap(ww_sb_ptr(ww_lb_struct(s, 1), 0), &cap);
        parts[3] = ww_lb_reader(s);
        o = ww_orphan_concat(&r, WW_ELEM_STRUCT, parts, 4);
        struct ww_lb joined = ww_orphan_as_structs(&o, 2, 1);
        assert_int_equal(joined.count, 7);
        assert_int_equal(joined.data_bytes, 16);
        assert_int_equal(ww_sb_u8(ww_lb_struct(joined, 4), 0), 0x15);
        assert_int_equal(ww_sb_u64(ww_lb_struct(joined, 6), 1), 99);
        assert_int_equal(cap.refs, 3);
        ww_orphan_drop(&o);
        assert_int_equal(cap.refs, 2);
        /* bits, across byte borders */
        struct ww_lb bits = ww_pb_init_list(ww_sb_ptr(box, 0), WW_ELEM_BIT, 11);
        ww_lb_set_bool(bits, 10, true);
        parts[0] = parts[1] = ww_lb_reader(bits);
        o = ww_orphan_concat(&r, WW_ELEM_BIT, parts, 2);
        struct ww_lr all = ww_lb_reader(ww_orphan_as_list(&o, WW_ELEM_BIT));
        assert_int_equal(all.count, 22);
        for (uint32_t i = 0; i < 22; i++)
            assert_int_equal(ww_lr_bool(all, i), i % 11 == 10);
        assert_ok(ww_msg_err(&r));
        o = ww_orphan_concat(&r, WW_ELEM_STRUCT, parts, 1);
        assert_true(ww_orphan_is_null(&o));
        assert_int_equal(ww_msg_err(&r), WW_EMALFORMED);
        ww_msg_fini(&m);
        ww_msg_fini(&r);
        assert_int_equal(cap.refs, 1);
    }
}

/* ---- memory */

static ww_err use_orphans(void *ctx)
{
    struct ww_cap *cap = ctx;
    struct ww_msg a, b;
    open_msg(&a, 4);
    open_msg(&b, 4);
    struct ww_orphan o = ww_orphan_struct(&a, 1, 2);
    ww_pb_set_cap(ww_sb_ptr(ww_orphan_as_struct(&o, 1, 2), 0), cap);
    ww_pb_set_text(
        ww_sb_ptr(ww_orphan_as_struct(&o, 1, 2), 1), ww_text("some text that needs another segment"));
    ww_sb_set_u64(ww_orphan_as_struct(&o, 40, 3), 0, 1);
    ww_pb_adopt(ww_msg_root_builder(&a), &o);
    struct ww_orphan l = ww_orphan_list(&a, WW_ELEM_PTR, 3);
    ww_pb_set_cap(ww_lb_ptr(ww_orphan_as_list(&l, WW_ELEM_PTR), 0), cap);
    ww_orphan_resize(&l, 500);
    struct ww_orphan copy = ww_orphan_copy(&a, ww_msg_root(&a));
    ww_pb_adopt(ww_msg_root_builder(&b), &l);
    ww_pb_adopt(ww_msg_root_builder(&b), &copy);
    ww_orphan_drop(&l);
    ww_err err = ww_msg_err(&a) < 0 ? ww_msg_err(&a) : ww_msg_err(&b);
    ww_msg_fini(&a);
    ww_msg_fini(&b);
    assert_int_equal(cap->refs, 1);
    return err;
}

static void no_failed_allocation_loses_a_capability(void **state)
{
    struct ww_cap cap = {1};
    assert_true(alloc_fail_run(use_orphans, &cap) > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_is_made_and_adopted),
        cmocka_unit_test(nothing_stays_nothing),
        cmocka_unit_test(disowned_objects_come_back_through_any_pad),
        cmocka_unit_test(between_messages_is_a_copy),
        cmocka_unit_test(what_lies_in_the_old_object_survives_its_replacement),
        cmocka_unit_test(orphans_are_enlarged),
        cmocka_unit_test(lists_are_cut_and_extended),
        cmocka_unit_test(cutting_gives_back_room_and_capabilities),
        cmocka_unit_test(text_keeps_its_terminator),
        cmocka_unit_test(lists_are_joined),
        cmocka_unit_test(no_failed_allocation_loses_a_capability),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
