#include "p2p/identify.h"
#include "base/protobuf.h"
#include "base/prng.h"
#include "test/lib/alloc_fail.h"
#include "test/lib/test.h"

static struct ww_bytes golden(void)
{
    static uint8_t bytes[1024];
    static char text[2048];
    FILE *file = fopen("test/vectors/go-node/identify-g2.hex", "r");
    assert_non_null(file);
    size_t n = fread(text, 1, sizeof text, file);
    fclose(file);
    while (n && text[n - 1] == '\n')
        n--;
    assert_true(n && n / 2 <= sizeof bytes);
    assert_ok(ww_hex_decode(ww_bytes(text, n), bytes, n / 2));
    return ww_bytes(bytes, n / 2);
}

static void assert_text(struct ww_bytes view, const char *expect)
{
    assert_bytes(view, expect, strlen(expect));
}

/* The identify message of an unmodified Go node. */
static void test_golden(void **state)
{
    static const char *const protocols[] = {"/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/ipfs/ping/1.0.0",
        "/libp2p/circuit/relay/0.2.0/stop", "ww/0.1.0/ww", "ww/0.1.0/ww/lan/kad/1.0.0",
        "ww/0.1.0/ww/meshsub/1.1.0", "ww/0.1.0/ww/packed"};
    struct ww_identify id = {0};
    assert_ok(ww_identify_merge(&id, golden()));
    assert_text(id.agent_version, "github.com/wetware/pkg@");
    assert_non_null(id.protocol_version.ptr);
    assert_int_equal(id.protocol_version.len, 0);
    assert_int_equal(id.addr_count, 2);
    assert_bytes(id.addrs[0], hex("047f000001060fa2").ptr, 8);
    assert_bytes(id.addrs[1], hex("047f00000191020fa2cd03").ptr, 11);
    assert_int_equal(id.protocol_count, WW_COUNT_OF(protocols));
    for (size_t i = 0; i < WW_COUNT_OF(protocols); i++)
        assert_text(id.protocols[i], protocols[i]);
    assert_bytes(id.observed_addr, hex("047f00000106c4d2").ptr, 8);
    assert_int_equal(id.public_key.len, 36);
    assert_int_equal(id.signed_record.len, 187);
    assert_false(id.cut);

    struct ww_buf out;
    ww_buf_init(&out, 4096);
    assert_ok(ww_identify_encode(&id, &out));
    uint64_t len = 0;
    assert_int_equal(ww_protobuf_varint_decode(ww_buf_view(&out), &len), 2);
    assert_bytes(ww_bytes_skip(ww_buf_view(&out), 2), golden().ptr, golden().len);
    ww_buf_fini(&out);
}

/* Reads `in` in pieces of at most `piece` bytes. */
static ww_err read_all(
    struct ww_identify_reader *r, struct ww_bytes in, size_t piece, struct ww_identify *ret_id)
{
    ww_identify_reader_init(r);
    for (size_t at = 0; at < in.len; at += piece)
        WW_TRY(ww_identify_reader_feed(r, ww_bytes(in.ptr + at, piece < in.len - at ? piece : in.len - at)));
    return ww_identify_reader_finish(r, ret_id);
}

static ww_err read_hex(const char *text, struct ww_identify *ret_id)
{
    static struct ww_identify_reader r;
    ww_identify_reader_fini(&r);
    return read_all(&r, hex(text), 1, ret_id);
}

static void test_merge(void **state)
{
    struct ww_identify id;
    /* agent "a", protocol "p"; then agent "b", protocol "q", an unknown field; then an empty message. */
    assert_ok(read_hex("06"
                       "320161"
                       "1a0170"
                       "09"
                       "320162"
                       "1a0171"
                       "3a0178"
                       "00",
        &id));
    assert_text(id.agent_version, "b");
    assert_int_equal(id.protocol_count, 2);
    assert_text(id.protocols[0], "p");
    assert_text(id.protocols[1], "q");
    assert_null(id.public_key.ptr);
    assert_null(id.signed_record.ptr);
}

static void test_refuses(void **state)
{
    struct ww_identify id = {.addr_count = 77};
    assert_int_equal(read_hex("", &id), WW_ETRUNC);
    assert_int_equal(read_hex("80", &id), WW_ETRUNC);
    assert_int_equal(read_hex("0332", &id), WW_ETRUNC);
    assert_int_equal(read_hex("03320261", &id), WW_ETRUNC); /* field longer than the message */
    assert_int_equal(read_hex("023001", &id), WW_EPROTO);   /* agent as a number */
    assert_int_equal(read_hex("023300", &id), WW_EPROTO);   /* a group */
    assert_int_equal(read_hex("8140", &id), WW_ELIMIT);     /* 8193 */
    assert_int_equal(read_hex("ffffffffffffffffff7f", &id), WW_EPROTO);
    assert_int_equal(read_hex("0000000000000000000000", &id), WW_ELIMIT); /* eleven messages */
    assert_int_equal(id.addr_count, 77);
    assert_ok(read_hex("00000000000000000000", &id));
    struct ww_identify_reader r;
    ww_identify_reader_init(&r);
    static const uint8_t zeros[WW_IDENTIFY_TOTAL_MAX + 1];
    assert_int_equal(ww_identify_reader_feed(&r, ww_bytes(zeros, sizeof zeros)), WW_ELIMIT);
    assert_ok(ww_identify_reader_feed(&r, ww_bytes(zeros, sizeof zeros - 1)));
    assert_int_equal(ww_identify_reader_feed(&r, ww_bytes(zeros, 1)), WW_ELIMIT);
    ww_identify_reader_fini(&r);
}

static void test_caps(void **state)
{
    struct ww_buf message;
    ww_buf_init(&message, 8192);
    static uint8_t filler[1025];
    memset(filler, 'x', sizeof filler);
    for (size_t i = 0; i < WW_IDENTIFY_ADDRS_MAX + 1; i++)
        assert_ok(ww_protobuf_put_bytes(&message, 2, ww_bytes(filler, 3)));
    for (size_t i = 0; i < WW_IDENTIFY_PROTOCOLS_MAX; i++)
        assert_ok(ww_protobuf_put_bytes(&message, 3, ww_bytes(filler, 3)));
    struct ww_identify id = {0};
    assert_ok(ww_identify_merge(&id, ww_buf_view(&message)));
    assert_int_equal(id.addr_count, WW_IDENTIFY_ADDRS_MAX);
    assert_int_equal(id.protocol_count, WW_IDENTIFY_PROTOCOLS_MAX);
    assert_true(id.cut);
    ww_buf_clear(&message);
    assert_ok(ww_protobuf_put_bytes(&message, 2, ww_bytes(filler, 1025)));
    assert_ok(ww_protobuf_put_bytes(&message, 3, ww_bytes(filler, 1024)));
    assert_ok(ww_protobuf_put_bytes(&message, 6, ww_bytes(filler, 257)));
    id = (struct ww_identify){0};
    assert_ok(ww_identify_merge(&id, ww_buf_view(&message)));
    assert_int_equal(id.addr_count, 0);
    assert_int_equal(id.protocol_count, 1);
    assert_int_equal(id.agent_version.len, 256);
    assert_true(id.cut);
    ww_buf_fini(&message);
}

static void assert_same(const struct ww_identify *a, const struct ww_identify *b)
{
    const struct ww_bytes *const fields[][2] = {{&a->public_key, &b->public_key},
        {&a->observed_addr, &b->observed_addr}, {&a->protocol_version, &b->protocol_version},
        {&a->agent_version, &b->agent_version}, {&a->signed_record, &b->signed_record}};
    for (size_t i = 0; i < WW_COUNT_OF(fields); i++) {
        assert_true(ww_bytes_eq(*fields[i][0], *fields[i][1]));
        assert_int_equal(fields[i][0]->ptr == NULL, fields[i][1]->ptr == NULL);
    }
    assert_int_equal(a->addr_count, b->addr_count);
    assert_int_equal(a->protocol_count, b->protocol_count);
    for (size_t i = 0; i < a->addr_count; i++)
        assert_true(ww_bytes_eq(a->addrs[i], b->addrs[i]));
    for (size_t i = 0; i < a->protocol_count; i++)
        assert_true(ww_bytes_eq(a->protocols[i], b->protocols[i]));
    assert_int_equal(a->cut, b->cut);
}

static struct ww_bytes draw(struct ww_prng *p, const uint8_t *pool, size_t max)
{
    return ww_prng_below(p, 4) == 0 ? ww_bytes(NULL, 0) : ww_bytes(pool, ww_prng_below(p, max + 1));
}

/* decode(encode(x)) = x, whatever the cut, and each message but one with a single field is short enough for
 * rust. */
static void test_round_trip(void **state)
{
    struct ww_prng p;
    ww_prng_init(&p, 1);
    static uint8_t pool[8192];
    ww_prng_fill(&p, pool, sizeof pool);
    struct ww_buf out;
    ww_buf_init(&out, WW_IDENTIFY_TOTAL_MAX);
    for (unsigned round = 0; round < 500; round++) {
        struct ww_identify id = {.public_key = draw(&p, pool, 300),
            .observed_addr = draw(&p, pool, 40),
            .protocol_version = draw(&p, pool, 256),
            .agent_version = draw(&p, pool, 256),
            .signed_record = draw(&p, pool, ww_prng_below(&p, 4) ? 400 : 6000)};
        id.addr_count = ww_prng_below(&p, WW_IDENTIFY_ADDRS_MAX + 1);
        id.protocol_count = ww_prng_below(&p, WW_IDENTIFY_PROTOCOLS_MAX + 1);
        for (size_t i = 0; i < id.addr_count; i++)
            id.addrs[i] = ww_bytes(pool + ww_prng_below(&p, 100), ww_prng_below(&p, 30));
        for (size_t i = 0; i < id.protocol_count; i++)
            id.protocols[i] = ww_bytes(pool + ww_prng_below(&p, 100), ww_prng_below(&p, 60));
        ww_buf_clear(&out);
        assert_ok(ww_identify_encode(&id, &out));
        for (size_t at = 0; at < ww_buf_len(&out);) {
            uint64_t len = 0;
            ww_err n = ww_protobuf_varint_decode(ww_bytes_skip(ww_buf_view(&out), at), &len);
            assert_true(n > 0);
            at += (size_t)n + (size_t)len;
            if (len > WW_IDENTIFY_SENT_MAX)
                assert_true(id.signed_record.len > 4000);
        }
        struct ww_identify_reader r;
        struct ww_identify got;
        assert_ok(read_all(&r, ww_buf_view(&out), 1 + ww_prng_below(&p, 5000), &got));
        assert_same(&id, &got);
        ww_identify_reader_fini(&r);
    }
    ww_buf_fini(&out);
}

static void test_encode_limits(void **state)
{
    static const uint8_t pool[9000];
    struct ww_buf out;
    ww_buf_init(&out, 1u << 20);
    assert_ok(ww_buf_append_byte(&out, 7));
    struct ww_identify id = {.signed_record = ww_bytes(pool, 8190)};
    assert_int_equal(ww_identify_encode(&id, &out), WW_ELIMIT);
    id.signed_record.len = 8189;
    id.agent_version = ww_bytes(pool, 1);
    assert_ok(ww_identify_encode(&id, &out));
    assert_int_equal(ww_buf_len(&out), 1 + 1 + 3 + 2 + 8192);
    id.addr_count = 20;
    for (size_t i = 0; i < id.addr_count; i++)
        id.addrs[i] = ww_bytes(pool, 1000);
    size_t len = ww_buf_len(&out);
    assert_int_equal(ww_identify_encode(&id, &out), WW_ELIMIT);
    assert_int_equal(ww_buf_len(&out), len);
    ww_buf_fini(&out);
}

static ww_err no_memory(void *ctx)
{
    struct ww_identify id = {.agent_version = ww_bytes_str("agent"), .protocol_version = ww_bytes_str("")},
                       got;
    struct ww_buf out;
    ww_buf_init(&out, 1000);
    ww_err err = ww_identify_encode(&id, &out);
    if (err < 0)
        assert_int_equal(ww_buf_len(&out), 0);
    struct ww_identify_reader r;
    ww_identify_reader_init(&r);
    if (err == 0)
        err = read_all(&r, ww_buf_view(&out), 100, &got);
    ww_identify_reader_fini(&r);
    ww_buf_fini(&out);
    return err;
}

static void test_no_memory(void **state)
{
    assert_true(alloc_fail_run(no_memory, NULL) >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_caps),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_encode_limits),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
