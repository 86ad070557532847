/* Framing and packing: vectors of the reference, every split of a stream, refusals. */
#include "test/lib/test.h"

#include "base/prng.h"
#include "capnp/pack.h"
#include "ww/capnp.h"

static void check_pack(const char *plain, const char *packed)
{
    uint8_t out[8192];
    struct ww_bytes p = hex(plain), q = hex(packed);
    assert_true(ww_pack_bound(p.len) <= sizeof out);
    size_t n = ww_pack(p, out);
    assert_int_equal(n, q.len);
    assert_memory_equal(out, q.ptr, n);
    uint64_t bytes;
    assert_ok(ww_unpacked_bytes(q, 1 << 20, &bytes));
    assert_int_equal(bytes, p.len);
    assert_ok(ww_unpack(q, out, p.len));
    assert_memory_equal(out, p.ptr, p.len);
}

static void packs_like_the_reference(void **state)
{
    check_pack("0000000000000000", "0000");
    check_pack("00000c0000220000", "240c22");
    check_pack("0103020405070608", "ff010302040507060800");
    check_pack("00000000000000000103020405070608", "0000ff010302040507060800");
    check_pack("00000c00002200000103020405070608", "240c22ff010302040507060800");
    check_pack("01030204050706080802040509000103", "ff0103020405070608010802040509000103");
    check_pack("0102030405060708010203040506070801020304050607080102030405060708d60708090a0b0c0d",
        "ff0102030405060708040102030405060708010203040506070801020304050607"
        "08d60708090a0b0c0d");
    check_pack(
        "010203040506070801020304050607080602040300090a0b0102030405060708010203040506070801020304050607"
        "08",
        "ff0102030405060708050102030405060708"
        "0602040300090a0b010203040506070801020304050607080102030405060708");
    check_pack("080000000300020019000000aa010000", "510803023119aa01");
    check_pack("0000000000000000000000000000000000000000000000000000000000000000", "0003");
    check_pack("8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a",
        "ff8a8a8a8a8a8a8a8a038a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a");
}

static void long_runs_are_cut_at_255(void **state)
{
    static uint8_t plain[600 * 8], out[600 * 10 + 16], back[600 * 8];
    memset(plain, 0, sizeof plain);
    size_t n = ww_pack(ww_bytes(plain, sizeof plain), out);
    assert_bytes(ww_bytes(out, n), "\x00\xff\x00\xff\x00\x57", 6);
    memset(plain, 7, sizeof plain);
    n = ww_pack(ww_bytes(plain, sizeof plain), out);
    assert_int_equal(n, sizeof plain + 6);
    assert_ok(ww_unpack(ww_bytes(out, n), back, sizeof back));
    assert_memory_equal(plain, back, sizeof plain);
}

/* Words of which about half the bytes are zero, with runs of both kinds. */
static void fill_words(struct ww_prng *rng, uint8_t *out, size_t words)
{
    for (size_t i = 0; i < words; i++) {
        uint64_t mode = ww_prng_below(rng, 4);
        for (size_t b = 0; b < 8; b++)
            out[i * 8 + b] = mode == 0 ? 0 : mode == 1 ? 0x5a : (uint8_t)(ww_prng_below(rng, 3) ? 0 : 9);
    }
}

static void unpack_undoes_pack_at_any_split(void **state)
{
    struct ww_prng rng;
    ww_prng_init(&rng, 11);
    for (int round = 0; round < 300; round++) {
        uint8_t plain[40 * 8], packed[40 * 10 + 16], back[40 * 8];
        size_t len = ww_prng_below(&rng, 41) * 8;
        fill_words(&rng, plain, len / 8);
        uint8_t portable[sizeof packed];
        size_t n = ww_pack(ww_bytes(plain, len), packed);
        assert_true(n <= ww_pack_bound(len));
        assert_int_equal(ww_pack_portable(ww_bytes(plain, len), portable), n);
        assert_memory_equal(packed, portable, n);
        struct ww_unpacker u = {.portable = round % 2};
        size_t have = 0, at = 0;
        while (at < n || (have < len && u.state == WW_UNPACK_ZEROES)) {
            size_t piece = 1 + ww_prng_below(&rng, 12);
            piece = piece < n - at ? piece : n - at;
            struct ww_bytes in = ww_bytes(packed + at, piece);
            have += ww_unpack_some(&u, &in, back + have, len - have);
            at += piece - in.len;
        }
        assert_int_equal(have, len);
        assert_int_equal(u.state, WW_UNPACK_TAG);
        assert_memory_equal(plain, back, len);
    }
}

static void broken_packing_is_refused(void **state)
{
    uint8_t out[64];
    uint64_t n;
    assert_int_equal(ww_unpack(hex("240c"), out, 8), WW_ETRUNC);
    assert_int_equal(ww_unpack(hex("00"), out, 8), WW_ETRUNC);
    assert_int_equal(ww_unpack(hex("ff0102030405060708"), out, 8), WW_ETRUNC);
    assert_int_equal(ww_unpack(hex("0001"), out, 8), WW_EMALFORMED);
    assert_int_equal(ww_unpack(hex("000000"), out, 8), WW_EMALFORMED);
    assert_int_equal(ww_unpack(hex("0000"), out, 7), WW_EINVAL);
    assert_int_equal(ww_unpacked_bytes(hex("240c"), 64, &n), WW_ETRUNC);
    assert_int_equal(ww_unpacked_bytes(hex("00"), 64, &n), WW_ETRUNC);
    assert_int_equal(ww_unpacked_bytes(hex("ff01020304050607080101"), 64, &n), WW_ETRUNC);
    /* Four bytes that claim 4 KiB: refused before anybody allocates. */
    assert_int_equal(ww_unpacked_bytes(hex("00ff00ff"), 4095, &n), WW_ELIMIT);
    assert_ok(ww_unpacked_bytes(hex("00ff00ff"), 4096, &n));
    assert_int_equal(n, 4096);
}

static void segment_tables_are_checked(void **state)
{
    uint64_t n;
    struct ww_msg_limits lim = {.words = 8, .segments = 3, .depth = 64};
    assert_int_equal(ww_frame_check(hex("00000000010000"), &lim, &n), WW_EAGAIN);
    assert_int_equal(n, 8);
    assert_int_equal(ww_frame_check(hex("0000000001000000"), &lim, &n), WW_EAGAIN);
    assert_int_equal(n, 16);
    assert_ok(ww_frame_check(hex("00000000010000000000000000000000"), &lim, &n));
    assert_int_equal(n, 16);
    assert_int_equal(ww_frame_check(hex("0200000001000000"), &lim, &n), WW_EAGAIN);
    assert_int_equal(n, 16);
    assert_int_equal(ww_frame_check(hex("02000000010000000100000001000000"), &lim, &n), WW_EAGAIN);
    assert_int_equal(n, 40);
    assert_int_equal(ww_frame_check(hex("ffffffff01000000"), &lim, &n), WW_ELIMIT);
    assert_int_equal(ww_frame_check(hex("0300000001000000"), &lim, &n), WW_ELIMIT);
    assert_int_equal(ww_frame_check(hex("0000000009000000"), &lim, &n), WW_ELIMIT);
    assert_int_equal(ww_frame_check(hex("0100000001000000ffffffff00000000"), &lim, &n), WW_ELIMIT);
    assert_int_equal(ww_frame_check(hex("0000000000000000"), &lim, &n), WW_EMALFORMED);
}

/* A stream of three messages of 1, 3 and 2 segments. */
static size_t sample_stream(uint8_t *out, uint8_t *packed, size_t *ret_packed)
{
    static const uint32_t shapes[3][4] = {{1, 5}, {3, 1, 2, 4}, {2, 3, 0}};
    struct ww_prng rng;
    size_t n = 0, p = 0;
    ww_prng_init(&rng, 3);
    for (int i = 0; i < 3; i++) {
        uint32_t segs = shapes[i][0];
        size_t table = (segs / 2 + 1) * 8;
        memset(out + n, 0, table);
        ww_store32_(out + n, segs - 1);
        size_t at = n + table;
        for (uint32_t s = 0; s < segs; s++) {
            uint32_t words = shapes[i][1 + s];
            ww_store32_(out + n + 4 + s * 4, words);
            fill_words(&rng, out + at, words);
            at += words * 8;
        }
        p += ww_pack(ww_bytes(out + n, table), packed + p);
        p += ww_pack(ww_bytes(out + n + table, at - n - table), packed + p);
        n = at;
    }
    *ret_packed = p;
    return n;
}

static void feed_in_pieces(
    struct ww_bytes stream, bool packed, size_t split_a, size_t split_b, struct ww_bytes plain)
{
    struct ww_frame_in in;
    size_t cuts[4] = {0, split_a, split_b, stream.len}, seen = 0, frames = 0;
    ww_frame_in_init(&in, packed, NULL);
    assert_true(ww_frame_in_idle(&in));
    for (int i = 0; i < 3; i++) {
        struct ww_bytes chunk = ww_bytes(stream.ptr + cuts[i], cuts[i + 1] - cuts[i]), frame;
        ww_err err;
        while ((err = ww_frame_in_feed(&in, &chunk, &frame)) == 0) {
            assert_true(seen + frame.len <= plain.len);
            assert_memory_equal(frame.ptr, plain.ptr + seen, frame.len);
            seen += frame.len;
            frames++;
        }
        assert_int_equal(err, WW_EAGAIN);
        assert_int_equal(chunk.len, 0);
    }
    assert_int_equal(seen, plain.len);
    assert_int_equal(frames, 3);
    assert_true(ww_frame_in_idle(&in));
    ww_frame_in_fini(&in);
}

static void any_split_gives_the_same_frames(void **state)
{
    uint8_t plain[512], packed[1024];
    size_t packed_len, len = sample_stream(plain, packed, &packed_len);
    for (size_t a = 0; a <= len; a++) {
        for (size_t b = a; b <= len; b++)
            feed_in_pieces(ww_bytes(plain, len), false, a, b, ww_bytes(plain, len));
    }
    for (size_t a = 0; a <= packed_len; a++) {
        for (size_t b = a; b <= packed_len; b++)
            feed_in_pieces(ww_bytes(packed, packed_len), true, a, b, ww_bytes(plain, len));
    }
}

/* A stream that ends inside a message is told from one that ends behind it. */
static void truncation_is_seen_at_every_byte(void **state)
{
    uint8_t plain[512], packed[1024];
    size_t packed_len, len = sample_stream(plain, packed, &packed_len);
    for (int pack = 0; pack < 2; pack++) {
        unsigned clean = 0;
        for (size_t end = 0; end <= (pack ? packed_len : len); end++) {
            struct ww_frame_in in;
            struct ww_bytes frame;
            size_t frames = 0, seen = 0;
            ww_frame_in_init(&in, pack, NULL);
            for (size_t at = 0; at < end; at++) { /* byte by byte */
                struct ww_bytes chunk = ww_bytes((pack ? packed : plain) + at, 1);
                ww_err err;
                while ((err = ww_frame_in_feed(&in, &chunk, &frame)) == 0) {
                    frames++;
                    seen += frame.len;
                }
                assert_int_equal(err, WW_EAGAIN);
            }
            clean += ww_frame_in_idle(&in);
            if (ww_frame_in_idle(&in))
                assert_int_equal(ww_frame_in_idle(&in), frames == clean - 1);
            assert_true(pack || !ww_frame_in_idle(&in) || seen == end);
            ww_frame_in_fini(&in);
        }
        assert_int_equal(clean, 4); /* before the first message and behind each of the three */
    }
}

static void broken_streams_stay_broken(void **state)
{
    static const char *const cases[] = {
        "ffffffff01000000", /* 2^32 segments */
        "0000000000000000", /* no root */
        "00000000ffffff7f", /* over the size limit */
    };
    for (size_t i = 0; i < WW_COUNT_OF(cases); i++) {
        struct ww_frame_in in;
        struct ww_bytes chunk = hex(cases[i]), frame;
        ww_frame_in_init(&in, false, NULL);
        ww_err err = ww_frame_in_feed(&in, &chunk, &frame);
        assert_true(err < 0 && err != WW_EAGAIN);
        chunk = hex("00000000010000000000000000000000");
        assert_int_equal(ww_frame_in_feed(&in, &chunk, &frame), err);
        assert_false(ww_frame_in_idle(&in));
        ww_frame_in_fini(&in);
    }
    /* One word expected, a run of two delivered. */
    struct ww_frame_in in;
    struct ww_bytes chunk = hex("1001"
                                "0001"),
                    frame;
    ww_frame_in_init(&in, true, NULL);
    assert_int_equal(ww_frame_in_feed(&in, &chunk, &frame), WW_EMALFORMED);
    ww_frame_in_fini(&in);
}

/* A header may claim 64 MiB; memory must follow what has come. */
static void claims_do_not_allocate(void **state)
{
    struct ww_frame_in in;
    struct ww_bytes chunk = hex("0000000001008000"
                                "0000000000000000"),
                    frame;
    ww_frame_in_init(&in, false, NULL);
    assert_int_equal(ww_frame_in_feed(&in, &chunk, &frame), WW_ELIMIT);
    ww_frame_in_fini(&in);
    chunk = hex("00000000ffff7f00"
                "0000000000000000");
    ww_frame_in_init(&in, false, NULL);
    assert_int_equal(ww_frame_in_feed(&in, &chunk, &frame), WW_EAGAIN);
    assert_true(in.capacity <= 4096);
    assert_false(ww_frame_in_idle(&in));
    ww_frame_in_fini(&in);
}

/* Memory of any size: unpacking writes whole words, and must not write the last one past its end. */
static void memory_of_any_size_is_taken(void **state)
{
    struct ww_bytes packed = hex("10047f01010101010101"
                                 "7f01010101010101"
                                 "7f01010101010101"
                                 "7f01010101010101");
    for (size_t bytes = 1; bytes < 64; bytes++) {
        struct ww_frame_in in;
        struct ww_bytes chunk = packed, frame;
        ww_frame_in_init(&in, true, NULL);
        uint8_t *mem = ww_alloc(bytes);
        assert_non_null(mem);
        ww_frame_in_mem_take(&in, mem, bytes);
        assert_ok(ww_frame_in_feed(&in, &chunk, &frame));
        assert_int_equal(frame.len, 40);
        assert_int_equal(frame.ptr[39], 0);
        assert_int_equal(frame.ptr[38], 1);
        ww_frame_in_fini(&in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packs_like_the_reference),
        cmocka_unit_test(long_runs_are_cut_at_255),
        cmocka_unit_test(unpack_undoes_pack_at_any_split),
        cmocka_unit_test(broken_packing_is_refused),
        cmocka_unit_test(segment_tables_are_checked),
        cmocka_unit_test(any_split_gives_the_same_frames),
        cmocka_unit_test(truncation_is_seen_at_every_byte),
        cmocka_unit_test(broken_streams_stay_broken),
        cmocka_unit_test(claims_do_not_allocate),
        cmocka_unit_test(memory_of_any_size_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
