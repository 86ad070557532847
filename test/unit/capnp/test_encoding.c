/* The encoding's corners: security faults of other implementations, upgrades of every old form in every
 * place, each reason not to be canonical, and each limit with one too many. */
#include "caps.h"
#include "test/lib/alloc_fail.h"

#include "capnp/ptr.h"

static struct ww_pr open_hex(struct ww_msg *m, const char *seg0, const char *seg1)
{
    struct ww_bytes segs[2] = {hex(seg0), seg1 ? hex(seg1) : ww_bytes(NULL, 0)};
    assert_ok(ww_msg_open_segs(m, segs, seg1 ? 2 : 1, NULL));
    return ww_msg_root(m);
}

/* ---- faults that others had */

/* Every way to walk what `seg0` holds ends with this error. */
static void refuse_everywhere(ww_err want, const char *seg0, const char *seg1)
{
    struct ww_msg m, to;
    ww_msg_init(&m, NULL);
    ww_msg_init(&to, NULL);
    assert_int_equal(ww_pr_size(open_hex(&m, seg0, seg1)).words, 0);
    assert_int_equal(ww_msg_err(&m), want);
    ww_pb_set(ww_msg_root_builder(&to), open_hex(&m, seg0, seg1));
    assert_int_equal(ww_msg_err(&to), want);
    assert_int_equal(ww_msg_canonicalize(&to, open_hex(&m, seg0, seg1)), want);
    struct ww_pr root = open_hex(&m, seg0, seg1);
    assert_false(ww_pr_equal(root, root));
    assert_int_equal(ww_msg_err(&m), want);
    ww_msg_fini(&to);
    ww_msg_fini(&m);
}

static void list_sizes_do_not_overflow(void **state)
{
    refuse_everywhere(WW_EBOUNDS, "01000000fdffffff0000000000000000", NULL); /* 2^29-1 words */
    refuse_everywhere(WW_EBOUNDS, "01000000feffffff0000000000000000", NULL); /* 2^29-1 pointers */
    refuse_everywhere(WW_EBOUNDS, "01000000ffffffff0000000000000000", NULL); /* 2^29-1 words of structs */
    /* 2^29-1 structs of 2^17-2 words in one word */
    refuse_everywhere(WW_EBOUNDS, "010000000f000000fcffff7fffffffff0000000000000000", NULL);
}

static void text_without_bytes_is_no_text(void **state)
{
    struct ww_msg m, to;
    ww_msg_init(&m, NULL);
    ww_msg_init(&to, NULL);
    struct ww_pr root = open_hex(&m, "0100000002000000", NULL);
    assert_string_equal(ww_cstr(ww_pr_text(root)), "");
    assert_int_equal(ww_msg_err(&m), WW_EMALFORMED);
    /* copied, it is still none */
    ww_pb_set(ww_msg_root_builder(&to), open_hex(&m, "0100000002000000", NULL));
    assert_ok(ww_msg_err(&to));
    assert_int_equal(ww_pr_text(ww_msg_root(&to)).len, 0);
    assert_int_equal(ww_msg_err(&to), WW_EMALFORMED);
    ww_msg_fini(&to);
    ww_msg_fini(&m);
}

static void elements_without_a_size_are_charged(void **state)
{
    refuse_everywhere(WW_ETRAVERSAL, "01000000f8ffffff", NULL);                 /* 2^29-1 voids */
    refuse_everywhere(WW_ETRAVERSAL, "0100000007000000fcffff7f00000000", NULL); /* 2^29-1 empty structs */
}

static void far_pointers_stay_inside(void **state)
{
    refuse_everywhere(WW_EBOUNDS, "faffffff01000000", "0000000000000000"); /* the last position */
    refuse_everywhere(WW_EBOUNDS, "feffffff01000000", "0000000000000000"); /* as a double one */
    refuse_everywhere(WW_EBOUNDS, "02000000ffffffff", "0000000000000000"); /* the last segment */
    refuse_everywhere(WW_EBOUNDS, "0200000001000000", "fcffff7f01000000"); /* from the pad */
    refuse_everywhere(WW_EBOUNDS, "0600000001000000", "faffffff000000000000000001000000"); /* content */
}

static void steps_are_kept_by_every_walk(void **state)
{
    /* two structs of a word and a pointer to a text: read as pointers, as bytes, as structs */
    static const char words[] = "0100000027000000"
                                "0800000001000100"
                                "0100000000000000"
                                "0900000012000000"
                                "0200000000000000"
                                "0500000012000000"
                                "6100000000000000"
                                "6200000000000000";
    static const enum ww_elem wants[] = {
        WW_ELEM_PTR, WW_ELEM_BYTE, WW_ELEM_TWO, WW_ELEM_FOUR, WW_ELEM_EIGHT, WW_ELEM_VOID, WW_ELEM_STRUCT};
    struct ww_msg m, to, canonical;
    ww_msg_init(&m, NULL);
    ww_msg_init(&to, NULL);
    ww_msg_init(&canonical, NULL);
    for (size_t i = 0; i < WW_COUNT_OF(wants); i++) {
        struct ww_lr l = ww_pr_list(open_hex(&m, words, NULL), wants[i]);
        assert_int_equal(l.count, 2);
        assert_int_equal(l.step, 16);
        ww_msg_reset(&to);
        ww_pb_set_list(ww_msg_root_builder(&to), l);
        assert_ok(ww_msg_err(&to));
        assert_true(ww_pr_equal(ww_msg_root(&m), ww_msg_root(&to)));
        l = ww_pr_list(ww_msg_root(&to), wants[i]);
        if (wants[i] == WW_ELEM_PTR)
            assert_bytes(ww_lr_data(l, 1), "b\0", 2);
        else if (wants[i] != WW_ELEM_VOID && wants[i] != WW_ELEM_STRUCT)
            assert_int_equal(ww_lr_u8(l, 1), 2);
        assert_ok(ww_msg_canonicalize(&canonical, ww_msg_root(&m)));
        assert_bytes(ww_msg_seg(&canonical, 0), hex(words).ptr, sizeof words / 2);
        assert_int_equal(ww_pr_size(ww_msg_root(&m)).words, 7);
        struct ww_orphan o = ww_orphan_concat(&to, wants[i], &l, 1);
        assert_false(ww_orphan_is_null(&o));
        assert_ok(ww_msg_err(&to));
    }
    ww_msg_fini(&canonical);
    ww_msg_fini(&to);
    ww_msg_fini(&m);
}

static void segment_tables_cannot_lie(void **state)
{
    struct ww_msg m;
    struct ww_frame_in in;
    uint64_t bytes;
    static const char *const bad[] = {
        "ffffffff01000000ffffffffffffffff",                 /* 2^32 segments */
        "0300000000000040000000400000004000000040ffffffff", /* 4 * 2^30 words: 2^32 in sum */
        "01000000000000e000000020000000000000000000000000", /* 2^32 words: 2^35 bytes, 0 in 32 bits */
        "00000000ffffffff",
    };
    ww_msg_init(&m, NULL);
    for (size_t i = 0; i < WW_COUNT_OF(bad); i++) {
        struct ww_bytes frame = hex(bad[i]), out, chunk = frame;
        assert_int_equal(ww_frame_check(frame, NULL, &bytes), WW_ELIMIT);
        assert_int_equal(ww_msg_open(&m, frame, NULL), WW_ELIMIT);
        ww_frame_in_init(&in, false, NULL);
        assert_int_equal(ww_frame_in_feed(&in, &chunk, &out), WW_ELIMIT);
        assert_true(in.capacity <= 1024);
        ww_frame_in_fini(&in);
    }
    /* no root word: refused; a null root is a message */
    assert_int_equal(ww_msg_open(&m, hex("0000000000000000"), NULL), WW_EMALFORMED);
    assert_int_equal(ww_msg_open_segs(&m, &(struct ww_bytes){NULL, 0}, 1, NULL), WW_EMALFORMED);
    assert_ok(ww_msg_open(&m, hex("00000000010000000000000000000000"), NULL));
    assert_int_equal(ww_pr_kind(ww_msg_root(&m)), WW_PTR_NULL);
    ww_msg_fini(&m);
}

/* The reference has 29 bits for the count in a list's tag: the thirtieth is dropped. */
static void the_tag_count_has_29_bits(void **state)
{
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    struct ww_pr root = open_hex(&m, "010000000f00000000000080010000000700000000000000", NULL);
    assert_int_equal(ww_pr_list(root, WW_ELEM_STRUCT).count, 0);
    assert_int_equal(ww_pr_list_any(root).count, 0);
    root = open_hex(&m, "010000000f00000004000080010000000700000000000000", NULL);
    struct ww_lr l = ww_pr_list(root, WW_ELEM_STRUCT);
    assert_int_equal(l.count, 1);
    assert_int_equal(ww_sr_u8(ww_lr_struct(l, 0), 0), 7);
    assert_ok(ww_msg_err(&m));
    ww_msg_fini(&m);
}

/* Two things that the reference takes: an empty object outside its segment, and a landing pad of zero bits,
 * which is an empty struct and not null. */
static void empty_objects_may_be_anywhere(void **state)
{
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    assert_int_equal(ww_pr_struct(open_hex(&m, "fcffff7f00000000", NULL)).data_bytes, 0);
    assert_int_equal(ww_pr_list(open_hex(&m, "fdffff7f05000000", NULL), WW_ELEM_EIGHT).count, 0);
    assert_int_equal(ww_pr_list(open_hex(&m, "fdffff7f38000000", NULL), WW_ELEM_VOID).count, 7);
    assert_int_equal(ww_pr_data(open_hex(&m, "fdffff7f02000000", NULL)).len, 0);
    assert_ok(ww_msg_err(&m));
    assert_int_equal(ww_pr_list(open_hex(&m, "fdffff7f07000000", NULL), WW_ELEM_STRUCT).count, 0);
    assert_int_equal(ww_msg_err(&m), WW_EBOUNDS); /* a list of structs has a tag */
    struct ww_pr root = open_hex(&m, "0200000001000000", "0000000000000000");
    assert_int_equal(ww_pr_kind(root), WW_PTR_STRUCT);
    assert_int_equal(ww_pr_struct(root).data_bytes, 0);
    assert_ok(ww_msg_err(&m));
    assert_int_equal(ww_pr_list(root, WW_ELEM_BYTE).count, 0);
    assert_int_equal(ww_msg_err(&m), WW_EMALFORMED);
    ww_msg_fini(&m);
}

/* ---- upgrades in a builder */

enum place { NEAR, FAR, DOUBLE_FAR };

/* Moves the root's object so that the root leads there in this way; the root pointer. */
static struct ww_pb placed(struct ww_msg *m, struct ww_orphan *o, enum place place)
{
    struct ww_pb root = ww_msg_root_builder(m);
    if (place == NEAR)
        assert_ptr_equal(o->seg, root.seg);
    ww_pb_adopt(root, o);
    uint64_t w = ww_load64_(root.at);
    assert_int_equal((w & 3) == WW_TAG_FAR, place != NEAR);
    assert_int_equal((w & 7) == 6, place == DOUBLE_FAR);
    return root;
}

/* A message whose root is free and whose next object lands where `place` wants it: for the far ones in a
 * second segment, with one spare word for a landing pad or with none. */
static void start(struct ww_msg *m, enum place place, uint32_t object_words)
{
    ww_msg_init(m, &cap_ops);
    ww_msg_hint(m, place == NEAR ? 500 : 2);
    ww_msg_root_builder(m);
    if (place == NEAR)
        return;
    ww_orphan_data(m, ww_bytes("fills it", 8));
    uint32_t free_words = object_words + (place == FAR), all = free_words < 2 ? 2 : free_words;
    struct ww_orphan o = ww_orphan_list(m, WW_ELEM_EIGHT, all);
    ww_orphan_resize(&o, all - free_words);
    assert_int_equal(o.seg->id, 1);
    assert_int_equal(o.seg->capacity - o.seg->used, free_words);
}

static void structs_are_upgraded_wherever_they_are(void **state)
{
    for (int place = NEAR; place <= DOUBLE_FAR; place++) {
        struct ww_cap cap = {1};
        struct ww_msg m;
        start(&m, (enum place)place, 3);
        struct ww_orphan o = ww_orphan_struct(&m, 1, 2);
        struct ww_sb s = ww_orphan_as_struct(&o, 1, 2);
        ww_sb_set_u64(s, 0, 7);
        ww_pb_set_cap(ww_sb_ptr(s, 1), &cap);
        struct ww_pb root = placed(&m, &o, (enum place)place);
        ww_pb_set_text(ww_sb_ptr(ww_pb_struct(root, 1, 2), 0), ww_text("kept"));
        const uint8_t *old = ww_pb_struct(root, 1, 1).data; /* large enough: stays */
        assert_ptr_equal(old, ww_pb_struct(root, 0, 0).data);
        for (uint16_t words = 1; words < 4; words++) {
            for (uint16_t ptrs = 2; ptrs < 5; ptrs++) {
                s = ww_pb_struct(root, words, ptrs);
                assert_true(s.data_bytes >= words * 8u && s.ptrs >= ptrs);
                assert_int_equal(ww_sb_u64(s, 0), 7);
                assert_string_equal(ww_cstr(ww_pr_text(ww_pb_reader(ww_sb_ptr(s, 0)))), "kept");
                assert_ptr_equal(ww_pr_cap(ww_pb_reader(ww_sb_ptr(s, 1))), &cap);
            }
        }
        for (int i = 0; i < 24; i++)
            assert_int_equal(old[i], 0); /* nothing stale is left */
        assert_ok(ww_msg_err(&m));
        assert_int_equal(cap.refs, 2);
        ww_msg_fini(&m);
        assert_int_equal(cap.refs, 1);
    }
}

/* A list of two elements of this kind, the second of which is 2 or leads to "two". */
static struct ww_orphan old_list(struct ww_msg *m, enum ww_elem elem)
{
    struct ww_orphan o = elem == WW_ELEM_STRUCT ? ww_orphan_structs(m, 1, 1, 2) : ww_orphan_list(m, elem, 2);
    ww_lb_set_u8(ww_orphan_as_list(&o, elem), 1, 2);
    return o;
}

static void lists_are_upgraded_wherever_they_are(void **state)
{
    static const uint32_t words[] = {0, 1, 1, 1, 1, 2, 2, 5};
    for (unsigned elem = 0; elem < 8; elem++) {
        for (int place = NEAR; place <= DOUBLE_FAR; place++) {
            struct ww_msg m;
            start(&m, (enum place)place, words[elem]);
            struct ww_orphan o = old_list(&m, (enum ww_elem)elem);
            struct ww_pb root = placed(&m, &o, (enum place)place);
            if (elem >= WW_ELEM_PTR)
                ww_pb_set_text(ww_lb_ptr(ww_pb_list(root, (enum ww_elem)elem), 1), ww_text("two"));
            for (unsigned want = 0; want < 8; want++) { /* reading in place, as the matrix says */
                struct ww_lb as = ww_pb_list(root, (enum ww_elem)want);
                bool bit = elem == WW_ELEM_BIT || want == WW_ELEM_BIT;
                uint32_t have = elem == WW_ELEM_STRUCT ? 64 : elem == WW_ELEM_PTR ? 0 : ww_elem_bits(elem);
                bool ok = bit             ? elem == want
                    : want == WW_ELEM_PTR ? elem >= WW_ELEM_PTR
                                          : want == WW_ELEM_STRUCT || have >= ww_elem_bits(want);
                assert_int_equal(as.count, ok ? 2 : 0);
                assert_int_equal(ww_msg_err(&m), ok ? 0 : WW_EMALFORMED);
                m.err = 0;
            }
            struct ww_lb l = ww_pb_structs(root, 2, 2);
            if (elem == WW_ELEM_BIT) {
                assert_int_equal(l.count, 0);
                assert_int_equal(ww_msg_err(&m), WW_EMALFORMED);
                assert_int_equal(ww_pb_list(root, WW_ELEM_BIT).count, 2); /* and stays what it was */
                ww_msg_fini(&m);
                continue;
            }
            assert_int_equal(l.count, 2);
            assert_int_equal(l.step, 32);
            struct ww_sb second = ww_lb_struct(l, 1);
            if (elem != WW_ELEM_VOID && elem != WW_ELEM_PTR)
                assert_int_equal(ww_sb_u64(second, 0), 2);
            if (elem >= WW_ELEM_PTR)
                assert_string_equal(ww_cstr(ww_pr_text(ww_pb_reader(ww_sb_ptr(second, 0)))), "two");
            assert_ptr_equal(ww_pb_structs(root, 1, 2).data, l.data);
            assert_ok(ww_msg_err(&m));
            ww_msg_fini(&m);
        }
    }
}

/* A list of bytes that is known to be one of structs is written, and made canonical, as one. */
static void legacy_lists_become_canonical_when_their_type_is_known(void **state)
{
    static const enum ww_elem legacy[] = {WW_ELEM_BYTE, WW_ELEM_TWO, WW_ELEM_FOUR, WW_ELEM_EIGHT};
    struct ww_msg old, modern, to, a, b;
    struct ww_msg *all[] = {&old, &modern, &to, &a, &b};
    for (size_t i = 0; i < WW_COUNT_OF(all); i++)
        ww_msg_init(all[i], NULL);
    struct ww_lb l = ww_pb_init_structs(ww_msg_root_builder(&modern), 1, 0, 3);
    for (uint32_t i = 0; i < 3; i++)
        ww_sb_set_u8(ww_lb_struct(l, i), 0, (uint8_t)(i + 5));
    assert_ok(ww_msg_canonicalize(&b, ww_msg_root(&modern)));
    for (size_t k = 0; k < WW_COUNT_OF(legacy); k++) {
        ww_msg_reset(&old);
        l = ww_pb_init_list(ww_msg_root_builder(&old), legacy[k], 3);
        for (uint32_t i = 0; i < 3; i++)
            ww_lb_set_u8(l, i, (uint8_t)(i + 5));
        assert_false(ww_pr_equal(ww_msg_root(&old), ww_msg_root(&modern)));
        ww_msg_reset(&to);
        ww_pb_set_structs(ww_msg_root_builder(&to), ww_pr_list(ww_msg_root(&old), WW_ELEM_STRUCT));
        assert_true(ww_pr_equal(ww_msg_root(&to), ww_msg_root(&modern)));
        assert_ok(ww_msg_canonicalize(&a, ww_msg_root(&to)));
        assert_true(ww_bytes_eq(ww_msg_seg(&a, 0), ww_msg_seg(&b, 0)));
    }
    ww_msg_reset(&to);
    ww_pb_set_structs(
        ww_msg_root_builder(&to), ww_pr_list_any(open_hex(&a, "01000000110000000300000000000000", NULL)));
    assert_int_equal(ww_msg_err(&to), WW_EMALFORMED);
    for (size_t i = 0; i < WW_COUNT_OF(all); i++)
        ww_msg_fini(all[i]);
}

/* ---- canonical form */

static bool is_canonical(const char *seg0, const char *seg1)
{
    struct ww_msg m, to, again;
    ww_msg_init(&m, NULL);
    ww_msg_init(&to, NULL);
    ww_msg_init(&again, NULL);
    open_hex(&m, seg0, seg1);
    bool canonical = ww_msg_is_canonical(&m);
    /* whatever it was, its canonical form is one, and canonical */
    open_hex(&m, seg0, seg1);
    if (ww_msg_canonicalize(&to, ww_msg_root(&m)) == 0) {
        assert_true(ww_msg_is_canonical(&to));
        assert_ok(ww_msg_canonicalize(&again, ww_msg_root(&to)));
        assert_true(ww_bytes_eq(ww_msg_seg(&to, 0), ww_msg_seg(&again, 0)));
        assert_true(ww_pr_equal(ww_msg_root(&m), ww_msg_root(&to)));
        assert_int_equal(canonical, !seg1 && ww_bytes_eq(ww_msg_seg(&to, 0), hex(seg0)));
    }
    ww_msg_fini(&again);
    ww_msg_fini(&to);
    ww_msg_fini(&m);
    return canonical;
}

static void what_is_canonical(void **state)
{
    assert_true(is_canonical("0000000000000000", NULL));                 /* null */
    assert_true(is_canonical("fcffffff00000000", NULL));                 /* an empty struct */
    assert_true(is_canonical("00000000010000000100000000000000", NULL)); /* a struct */
    assert_true(is_canonical("0100000012000000"
                             "6100000000000000",
        NULL));                                          /* bytes */
    assert_true(is_canonical("0100000002000000", NULL)); /* no bytes */
    assert_true(is_canonical("0100000007000000"
                             "0400000000000000",
        NULL)); /* an empty struct in a list */
    assert_true(is_canonical("0100000007000000"
                             "0000000000000000",
        NULL)); /* no structs */
    assert_true(is_canonical("0100000011000000"
                             "0300000000000000",
        NULL));                                          /* bits */
    assert_true(is_canonical("0100000038000000", NULL)); /* voids */
    assert_true(is_canonical("0000000000000200"
                             "050000000a000000"
                             "050000000a000000"
                             "6100000000000000"
                             "6200000000000000",
        NULL)); /* two texts in order */
    assert_true(is_canonical("010000000f000000"
                             "0400000001000000"
                             "0100000000000000",
        NULL));
}

static void the_places_of_objects_have_one_spelling(void **state)
{
    assert_false(is_canonical("0200000001000000", "00000000010000000100000000000000")); /* two segments */
    assert_false(is_canonical("0000000001000000"
                              "0100000000000000",
        "0000000000000000"));
    assert_false(is_canonical("0000000001000000"
                              "0100000000000000"
                              "0000000000000000",
        NULL)); /* a word behind it */
    assert_false(is_canonical("0400000001000000"
                              "0000000000000000"
                              "0100000000000000",
        NULL)); /* a gap */
    assert_false(is_canonical("0000000000000200"
                              "090000000a000000"
                              "010000000a000000"
                              "6200000000000000"
                              "6100000000000000",
        NULL)); /* not in the pointers' order */
    assert_false(is_canonical("0000000000000200"
                              "050000000a000000"
                              "010000000a000000"
                              "6100000000000000",
        NULL)); /* shared */
    assert_false(is_canonical("0000000002000000"
                              "0100000000000000"
                              "0000000000000000",
        NULL)); /* a zero word last */
    assert_false(is_canonical("0000000001000100"
                              "0100000000000000"
                              "0000000000000000",
        NULL)); /* a null last */
    assert_false(is_canonical("0000000000000000"
                              "0000000000000000",
        NULL)); /* a null root with a word behind */
    assert_false(is_canonical("0000000001000000"
                              "0000000000000000",
        NULL)); /* nothing but zeroes */
    assert_false(is_canonical("0000000000000100"
                              "0000000000000000",
        NULL));
}

static void sizes_and_contents_have_one_spelling(void **state)
{
    assert_false(is_canonical("010000000a000000"
                              "6101000000000000",
        NULL)); /* rubbish behind the last byte */
    assert_false(is_canonical("0100000019000000"
                              "0b00000000000000",
        NULL)); /* behind the last bit */
    assert_false(is_canonical("0100000009000000"
                              "0101000000000000",
        NULL)); /* behind the last byte of bits */
    assert_false(is_canonical("0100000017000000"
                              "0400000002000000"
                              "0100000000000000"
                              "0000000000000000",
        NULL)); /* wide */
    assert_false(is_canonical("0100000017000000"
                              "0400000001000100"
                              "0100000000000000"
                              "0000000000000000",
        NULL));
    assert_false(is_canonical("0100000017000000"
                              "0400000001000000"
                              "0100000000000000"
                              "0000000000000000",
        NULL)); /* slack */
    assert_false(is_canonical("0000000000000100"
                              "0000000000000000"
                              "0000000000000000",
        NULL));
    assert_false(is_canonical("0200000000000000"
                              "0000000001000000",
        NULL)); /* far, in one segment */
    assert_false(is_canonical("0a00000000000000"
                              "0000000001000000"
                              "0100000000000000",
        NULL));
    assert_false(is_canonical("0300000000000000", NULL)); /* a capability */
    assert_false(is_canonical("0000000000000100"
                              "0300000000000000",
        NULL)); /* in a struct */
    assert_false(is_canonical("0000000000000000"
                              "fcffffff00000000",
        NULL)); /* an empty struct that is not reached */
    assert_false(is_canonical("0000000000000100"
                              "0000000000000000",
        NULL));
}

static void nans_keep_their_bits(void **state)
{
    struct ww_msg m, to;
    ww_msg_init(&m, NULL);
    ww_msg_init(&to, NULL);
    struct ww_sb s = ww_pb_init_struct(ww_msg_root_builder(&m), 2, 1);
    ww_sb_set_u32(s, 0, 0x7fa12345); /* signalling */
    ww_sb_set_u64(s, 1, UINT64_C(0xfff4deadbeef0001));
    struct ww_lb l = ww_pb_init_list(ww_sb_ptr(s, 0), WW_ELEM_EIGHT, 1);
    ww_lb_set_f64(l, 0, ww_f64_of(UINT64_C(0x7ff8000000000abc))); /* quiet, with a payload */
    assert_ok(ww_msg_canonicalize(&to, ww_msg_root(&m)));
    struct ww_sr r = ww_pr_struct(ww_msg_root(&to));
    assert_int_equal(ww_sr_u32(r, 0), 0x7fa12345);
    assert_true(ww_sr_u64(r, 1) == UINT64_C(0xfff4deadbeef0001));
    assert_true(ww_f64_bits(ww_lr_f64(ww_pr_list(ww_sr_ptr(r, 0), WW_ELEM_EIGHT), 0)) ==
        UINT64_C(0x7ff8000000000abc));
    ww_msg_fini(&to);
    ww_msg_fini(&m);
}

/* ---- limits, and one too many */

/* `hops` objects, one below the other; every other one a list when `lists`. */
static void build_deep(struct ww_msg *m, unsigned hops, bool lists)
{
    struct ww_pb p = ww_msg_root_builder(m);
    for (unsigned i = 0; i < hops; i++)
        p = lists && i % 2 ? ww_lb_ptr(ww_pb_init_list(p, WW_ELEM_PTR, 1), 0)
                           : ww_sb_ptr(ww_pb_init_struct(p, 1, 1), 0);
}

static void depth_64_is_the_last_for_every_walk(void **state)
{
    for (int lists = 0; lists < 2; lists++) {
        for (unsigned hops = 64; hops <= 65; hops++) {
            ww_err want = hops == 64 ? 0 : WW_EDEPTH;
            struct ww_msg m, r, to;
            ww_msg_init(&m, NULL);
            ww_msg_init(&r, NULL);
            ww_msg_init(&to, NULL);
            ww_msg_hint(&m, 300);
            build_deep(&m, hops, lists);
            struct ww_bytes frame = ww_msg_frame(&m);
            assert_ok(ww_msg_open(&r, frame, NULL));
            assert_int_equal(ww_pr_size(ww_msg_root(&r)).words > 0, want == 0);
            assert_int_equal(ww_msg_err(&r), want);
            assert_ok(ww_msg_open(&r, frame, NULL));
            assert_int_equal(ww_pr_equal(ww_msg_root(&r), ww_msg_root(&r)), want == 0);
            assert_ok(ww_msg_open(&r, frame, NULL));
            assert_int_equal(ww_msg_canonicalize(&to, ww_msg_root(&r)), want);
            ww_msg_reset(&to);
            assert_ok(ww_msg_open(&r, frame, NULL));
            ww_pb_set(ww_msg_root_builder(&to), ww_msg_root(&r));
            assert_int_equal(ww_msg_err(&to), want);
            ww_pb_clear(ww_msg_root_builder(&m)); /* wiping never fails */
            ww_msg_fini(&to);
            ww_msg_fini(&r);
            ww_msg_fini(&m);
        }
    }
}

static void segments_are_512_at_most(void **state)
{
    for (uint32_t count = 511; count <= 513; count++) {
        size_t len = (count / 2 + 1) * 8 + count * 8;
        uint8_t *frame = calloc(1, len);
        struct ww_msg m;
        struct ww_bytes segs[513];
        ww_msg_init(&m, NULL);
        ww_store32_(frame, count - 1);
        for (uint32_t i = 0; i < count; i++) {
            ww_store32_(frame + 4 + i * 4, 1);
            segs[i] = ww_bytes(frame + (count / 2 + 1) * 8 + i * 8, 8);
        }
        ww_err want = count <= 512 ? 0 : WW_ELIMIT;
        assert_int_equal(ww_msg_open(&m, ww_bytes(frame, len), NULL), want);
        assert_int_equal(ww_msg_seg_count(&m), want == 0 ? count : 0);
        assert_int_equal(ww_msg_open_segs(&m, segs, count, NULL), want);
        ww_msg_fini(&m);
        free(frame);
    }
}

static void sizes_have_limits(void **state)
{
    struct ww_msg m;
    struct ww_msg_limits lim = ww_msg_limits_default;
    uint8_t frame[8 + 9 * 8] = {0, 0, 0, 0, 9};
    ww_msg_init(&m, NULL);
    lim.words = 9;
    assert_ok(ww_msg_open(&m, ww_bytes(frame, sizeof frame), &lim));
    lim.words = 8;
    assert_int_equal(ww_msg_open(&m, ww_bytes(frame, sizeof frame), &lim), WW_ELIMIT);
    uint64_t bytes;
    assert_int_equal(ww_frame_check(hex("0000000000008000"), NULL, &bytes), WW_EAGAIN); /* 8 Mi words */
    assert_int_equal(ww_frame_check(hex("0000000001008000"), NULL, &bytes), WW_ELIMIT);
    /* building */
    ww_msg_reset(&m);
    ww_msg_build_limit(&m, 100);
    ww_msg_hint(&m, 10);
    struct ww_sb box = ww_pb_init_struct(ww_msg_root_builder(&m), 0, 2);
    assert_non_null(ww_pb_init_data(ww_sb_ptr(box, 0), 60 * 8));
    assert_ok(ww_msg_err(&m));
    assert_null(ww_pb_init_data(ww_sb_ptr(box, 1), 40 * 8));
    assert_int_equal(ww_msg_err(&m), WW_ELIMIT);
    ww_msg_fini(&m);
}

static void traversal_is_limited(void **state)
{
    struct ww_msg m;
    struct ww_msg_limits lim = ww_msg_limits_default;
    struct ww_bytes seg = hex("0000000002000000"
                              "01000000000000000200000000000000");
    ww_msg_init(&m, NULL);
    lim.traversal = 6;
    assert_ok(ww_msg_open_segs(&m, &seg, 1, &lim));
    for (int i = 0; i < 3; i++)
        assert_int_equal(ww_sr_u64(ww_pr_struct(ww_msg_root(&m)), 1), 2);
    assert_ok(ww_msg_err(&m));
    assert_int_equal(ww_sr_u64(ww_pr_struct(ww_msg_root(&m)), 1), 0);
    assert_int_equal(ww_msg_err(&m), WW_ETRAVERSAL);
    ww_msg_fini(&m);
}

static void the_capability_table_is_limited(void **state)
{
    struct ww_msg m;
    ww_msg_init(&m, &cap_ops);
    assert_null(ww_msg_cap_slots(&m, (1u << 20) + 1));
    assert_int_equal(ww_msg_err(&m), WW_ELIMIT);
    ww_msg_reset(&m);
    assert_non_null(ww_msg_cap_slots(&m, 1u << 20));
    assert_int_equal(ww_msg_cap_add(&m, NULL), UINT32_MAX);
    assert_int_equal(ww_msg_err(&m), WW_ELIMIT);
    ww_msg_fini(&m);
}

/* ---- reading in place */

static void any_alignment_reads(void **state)
{
    uint8_t buffer[256];
    struct ww_msg m, r;
    ww_msg_init(&m, NULL);
    ww_msg_init(&r, NULL);
    struct ww_sb s = ww_pb_init_struct(ww_msg_root_builder(&m), 1, 2);
    ww_sb_set_u64(s, 0, UINT64_C(0x1122334455667788));
    ww_pb_set_text(ww_sb_ptr(s, 0), ww_text("odd"));
    ww_lb_set_u32(ww_pb_init_list(ww_sb_ptr(s, 1), WW_ELEM_FOUR, 2), 1, 99);
    struct ww_bytes frame = ww_msg_frame(&m);
    for (size_t shift = 0; shift < 8; shift++) {
        memcpy(buffer + shift, frame.ptr, frame.len);
        assert_ok(ww_msg_open(&r, ww_bytes(buffer + shift, frame.len), NULL));
        assert_true(ww_pr_equal(ww_msg_root(&m), ww_msg_root(&r)));
        struct ww_sr at = ww_pr_struct(ww_msg_root(&r));
        assert_true(ww_sr_u64(at, 0) == UINT64_C(0x1122334455667788));
        assert_int_equal(ww_lr_u32(ww_pr_list(ww_sr_ptr(at, 1), WW_ELEM_FOUR), 1), 99);
        /* without a table */
        struct ww_bytes flat = ww_bytes(buffer + shift + 8, frame.len - 8);
        assert_ok(ww_msg_open_segs(&r, &flat, 1, NULL));
        assert_true(ww_pr_equal(ww_msg_root(&m), ww_msg_root(&r)));
    }
    ww_msg_fini(&r);
    ww_msg_fini(&m);
}

static void several_messages_in_one_buffer(void **state)
{
    uint8_t buffer[2048];
    struct ww_msg m, r;
    size_t len = 0;
    ww_msg_init(&r, NULL);
    for (uint32_t i = 0; i < 5; i++) {
        ww_msg_init(&m, NULL);
        ww_msg_hint(&m, 2 + i % 2 * 30); /* of several segments and of one */
        struct ww_sb s = ww_pb_init_struct(ww_msg_root_builder(&m), 1, 1);
        ww_sb_set_u32(s, 0, i);
        ww_pb_set_text(ww_sb_ptr(s, 0), ww_text("of some length"));
        ww_msg_frame_write(&m, buffer + len);
        len += ww_msg_frame_bytes(&m);
        ww_msg_fini(&m);
    }
    struct ww_bytes rest = ww_bytes(buffer, len);
    for (uint32_t i = 0; i < 5; i++) {
        assert_ok(ww_msg_open_next(&r, &rest, NULL));
        assert_int_equal(ww_sr_u32(ww_pr_struct(ww_msg_root(&r)), 0), i);
        assert_string_equal(
            ww_cstr(ww_pr_text(ww_sr_ptr(ww_pr_struct(ww_msg_root(&r)), 0))), "of some length");
        assert_ok(ww_msg_err(&r));
    }
    assert_int_equal(rest.len, 0);
    assert_int_equal(ww_msg_open_next(&r, &rest, NULL), WW_ETRUNC);
    ww_msg_fini(&r);
}

/* ---- memory */

static ww_err whole_life(void *ctx)
{
    struct ww_msg m, to, back;
    uint8_t packed[4096];
    ww_msg_init(&m, NULL);
    ww_msg_init(&to, NULL);
    ww_msg_init(&back, NULL);
    ww_msg_hint(&m, 2);
    build_deep(&m, 20, true);
    ww_pb_struct(ww_msg_root_builder(&m), 3, 3);
    ww_err err = ww_msg_err(&m), last = 0;
    if (err == 0)
        last = ww_msg_canonicalize(&to, ww_msg_root(&m));
    if (err == 0 && ww_msg_pack_bound(&m) <= sizeof packed) {
        size_t n = ww_msg_pack(&m, packed);
        err = n == 0 ? ww_msg_err(&m) : ww_msg_open_packed(&back, ww_bytes(packed, n), NULL);
    }
    if (err == 0)
        assert_true(ww_pr_equal(ww_msg_root(&m), ww_msg_root(&back)));
    if (err == 0 && last == 0)
        assert_true(ww_pr_equal(ww_msg_root(&m), ww_msg_root(&to)));
    ww_msg_fini(&back);
    ww_msg_fini(&to);
    ww_msg_fini(&m);
    return err < 0 ? err : last;
}

static void no_failed_allocation_breaks_a_message(void **state)
{
    assert_true(alloc_fail_run(whole_life, NULL) > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_sizes_do_not_overflow),
        cmocka_unit_test(text_without_bytes_is_no_text),
        cmocka_unit_test(elements_without_a_size_are_charged),
        cmocka_unit_test(far_pointers_stay_inside),
        cmocka_unit_test(steps_are_kept_by_every_walk),
        cmocka_unit_test(segment_tables_cannot_lie),
        cmocka_unit_test(the_tag_count_has_29_bits),
        cmocka_unit_test(empty_objects_may_be_anywhere),
        cmocka_unit_test(structs_are_upgraded_wherever_they_are),
        cmocka_unit_test(lists_are_upgraded_wherever_they_are),
        cmocka_unit_test(legacy_lists_become_canonical_when_their_type_is_known),
        cmocka_unit_test(what_is_canonical),
        cmocka_unit_test(the_places_of_objects_have_one_spelling),
        cmocka_unit_test(sizes_and_contents_have_one_spelling),
        cmocka_unit_test(nans_keep_their_bits),
        cmocka_unit_test(depth_64_is_the_last_for_every_walk),
        cmocka_unit_test(segments_are_512_at_most),
        cmocka_unit_test(sizes_have_limits),
        cmocka_unit_test(traversal_is_limited),
        cmocka_unit_test(the_capability_table_is_limited),
        cmocka_unit_test(any_alignment_reads),
        cmocka_unit_test(several_messages_in_one_buffer),
        cmocka_unit_test(no_failed_allocation_breaks_a_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
