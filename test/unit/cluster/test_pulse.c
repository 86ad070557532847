#include "test/lib/test.h"

#include "base/prng.h"
#include "cluster/pulse.h"

static struct ww_bytes vector(const char *name)
{
    static uint8_t bytes[8][8192];
    static unsigned ring;
    char path[256], text[16384];
    snprintf(path, sizeof path, "test/vectors/go-node/%s", name);
    FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("%s: not found", path);
    size_t len = fread(text, 1, sizeof text, f);
    fclose(f);
    while (len > 0 && text[len - 1] == '\n')
        len--;
    uint8_t *out = bytes[ring++ % 8];
    assert_ok(ww_hex_decode(ww_bytes(text, len), out, len / 2));
    return ww_bytes(out, len / 2);
}

static void test_recorded(void **state)
{
    struct ww_msg msg;
    ww_msg_init(&msg, NULL);
    unsigned plain = 0, with_meta = 0;
    for (int i = 0; i < 10; i++) {
        char name[64];
        struct ww_pulse pulse;
        snprintf(name, sizeof name, "heartbeat-%02d.hex", i);
        assert_ok(ww_pulse_decode(&msg, vector(name), &pulse));
        assert_int_equal(pulse.ttl_ms, 10000);
        assert_bytes(pulse.host, "vm", 2);
        if (pulse.server == 0x6e626a05e95d7c94) {
            assert_int_equal(pulse.meta_count, 0);
            plain++;
        } else {
            assert_int_equal(pulse.server, 0x76996a917d2e5531);
            assert_int_equal(pulse.meta_count, 2);
            assert_bytes(pulse.meta[0], "zone=eu-1", 9);
            assert_bytes(pulse.meta[1], "role=b", 6);
            with_meta++;
        }
        /* Framed without packing it is no heartbeat. */
        snprintf(name, sizeof name, "heartbeat-%02d-unpacked.hex", i);
        assert_true(ww_pulse_decode(&msg, vector(name), &pulse) < 0);
    }
    assert_int_equal(plain + with_meta, 10);
    assert_true(plain > 0 && with_meta > 0);
    ww_msg_fini(&msg);
}

static void test_round_trip(void **state)
{
    struct ww_pulse in = {
        .ttl_ms = 1234, .server = 0xfedcba9876543210, .host = WW_BYTES_LIT("here"), .meta_count = 2};
    in.meta[0] = WW_BYTES_LIT("a=b");
    in.meta[1] = WW_BYTES_LIT("");
    struct ww_buf buf;
    ww_buf_init(&buf, 65536);
    size_t len = 0;
    for (int beat = 0; beat < 3; beat++) { /* built anew: does not grow */
        ww_buf_clear(&buf);
        assert_ok(ww_pulse_encode(&in, &buf));
        assert_true(len == 0 || len == ww_buf_len(&buf));
        len = ww_buf_len(&buf);
    }
    struct ww_msg msg;
    struct ww_pulse out;
    ww_msg_init(&msg, NULL);
    assert_ok(ww_pulse_decode(&msg, ww_buf_view(&buf), &out));
    assert_int_equal(out.ttl_ms, 1234);
    assert_int_equal(out.server, 0xfedcba9876543210);
    assert_bytes(out.host, "here", 4);
    assert_int_equal(out.meta_count, 2);
    assert_bytes(out.meta[0], "a=b", 3);
    assert_int_equal(out.meta[1].len, 0);
    for (size_t cut = 0; cut < len; cut++)
        assert_true(ww_pulse_decode(&msg, ww_bytes(ww_buf_data(&buf), cut), &out) < 0);
    ww_msg_fini(&msg);
    ww_buf_fini(&buf);
}

static void test_limits(void **state)
{
    struct ww_buf buf;
    struct ww_msg msg;
    struct ww_pulse pulse = {.ttl_ms = 1}, out;
    static uint8_t big[WW_ROUTING_META_BYTES_MAX + 1];
    memset(big, 'x', sizeof big);
    ww_buf_init(&buf, 1 << 20);
    ww_msg_init(&msg, NULL);
    pulse.host = ww_bytes(big, WW_ROUTING_HOST_MAX + 1);
    assert_int_equal(ww_pulse_encode(&pulse, &buf), WW_EINVAL);
    pulse.host.len--;
    pulse.meta_count = WW_ROUTING_META_MAX;
    assert_ok(ww_pulse_encode(&pulse, &buf));
    assert_ok(ww_pulse_decode(&msg, ww_buf_view(&buf), &out));
    pulse.meta_count = 1;
    pulse.meta[0] = ww_bytes(big, sizeof big);
    assert_int_equal(ww_pulse_encode(&pulse, &buf), WW_EINVAL);
    assert_true(ww_pulse_decode(&msg, ww_bytes(NULL, 0), &out) < 0);
    assert_int_equal(ww_pulse_decode(&msg, ww_bytes(big, WW_PULSE_BYTES_MAX + 1), &out), WW_ELIMIT);
    ww_msg_fini(&msg);
    ww_buf_fini(&buf);
}

struct applied {
    struct ww_routing *table;
    struct ww_msg msg;
    ww_err err;
};

static enum ww_pulse_verdict apply(
    struct applied *a, uint64_t server, uint64_t seq, uint32_t ttl_ms, size_t seq_len)
{
    struct ww_pulse pulse = {.ttl_ms = ttl_ms, .server = server, .host = WW_BYTES_LIT("h")};
    struct ww_buf buf;
    uint8_t seqno[8];
    ww_be64_store(seqno, seq);
    ww_buf_init(&buf, 4096);
    assert_ok(ww_pulse_encode(&pulse, &buf));
    enum ww_pulse_verdict v = ww_pulse_apply(
        a->table, 0, &a->msg, WW_BYTES_LIT("peer"), ww_bytes(seqno, seq_len), ww_buf_view(&buf), &a->err);
    ww_buf_fini(&buf);
    return v;
}

/* The steps that were tried on a Go node, and what we do better. */
static void test_validation(void **state)
{
    struct ww_routing_conf conf = {.seed = {1, 2}};
    struct applied a = {0};
    struct ww_record r;
    struct ww_bytes peer = WW_BYTES_LIT("peer");
    assert_ok(ww_routing_new(&conf, &a.table));
    ww_msg_init(&a.msg, NULL);
    assert_int_equal(apply(&a, 10, 1000, 0, 8), WW_PULSE_ACCEPT);
    assert_ok(ww_routing_get(a.table, peer, &r));
    assert_int_equal(r.ttl_ms, 10000);
    assert_int_equal(apply(&a, 10, 1001, 60000, 8), WW_PULSE_ACCEPT);
    assert_int_equal(apply(&a, 10, 1001, 60000, 8), WW_PULSE_IGNORE);
    assert_int_equal(a.err, WW_ESTALE);
    assert_int_equal(apply(&a, 10, 900, 60000, 8), WW_PULSE_IGNORE);
    assert_int_equal(apply(&a, 11, 1002, 60000, 8), WW_PULSE_ACCEPT); /* a restart */
    assert_int_equal(apply(&a, 12, 500, 60000, 8), WW_PULSE_IGNORE);  /* a recording, for all we know */
    assert_int_equal(apply(&a, 11, 2000, 60000, 1), WW_PULSE_REJECT);
    assert_int_equal(apply(&a, 11, 2000, 60000, 0), WW_PULSE_REJECT);
    assert_int_equal(apply(&a, 11, 3000, WW_PULSE_FAREWELL_MS, 8), WW_PULSE_ACCEPT);
    assert_int_equal(ww_routing_count(a.table), 0);
    assert_int_equal(apply(&a, 11, 2999, 60000, 8), WW_PULSE_IGNORE);
    assert_int_equal(
        ww_pulse_apply(a.table, 0, &a.msg, peer, WW_BYTES_LIT("12345678"), ww_bytes(NULL, 0), NULL),
        WW_PULSE_REJECT);
    assert_int_equal(ww_routing_count(a.table), 0);
    ww_msg_fini(&a.msg);
    ww_routing_free(a.table);
}

static void test_clock(void **state)
{
    struct ww_pulse_clock c;
    struct ww_prng p;
    uint64_t ttl_ns = 10 * WW_NS_PER_S, now_ns = 5, low = UINT64_MAX, high = 0;
    ww_prng_init(&p, 1);
    ww_pulse_clock_init(&c, now_ns, 10000, 1500);
    assert_int_equal(c.next_ns, now_ns);
    for (int i = 0; i < 20000; i++) {
        ww_pulse_clock_sent(&c, now_ns, ww_prng_u64(&p));
        uint64_t gap = c.next_ns - now_ns;
        assert_true(gap >= ttl_ns / 2 && gap < ttl_ns - 1500 * WW_NS_PER_MS);
        low = gap < low ? gap : low;
        high = gap > high ? gap : high;
        now_ns = c.next_ns;
    }
    assert_true(low < 5010 * WW_NS_PER_MS && high > 8490 * WW_NS_PER_MS); /* the whole range is used */
    ww_pulse_clock_sent(&c, now_ns, UINT64_MAX);
    assert_true(c.next_ns - now_ns < ttl_ns);
    uint64_t want = ttl_ns / 2;
    for (int i = 0; i < 40; i++) {
        ww_pulse_clock_failed(&c, now_ns, ww_prng_u64(&p));
        uint64_t gap = c.next_ns - now_ns;
        assert_true(gap >= want && gap <= want + want / 4);
        want = want * 2 < 900 * WW_NS_PER_S ? want * 2 : 900 * WW_NS_PER_S;
    }
    ww_pulse_clock_sent(&c, now_ns, 0);
    ww_pulse_clock_failed(&c, now_ns, 0);
    assert_int_equal(c.next_ns - now_ns, ttl_ns / 2);
    ww_pulse_clock_init(&c, 0, 4, 1000); /* a margin never eats the whole range */
    ww_pulse_clock_sent(&c, 0, UINT64_MAX);
    assert_true(c.next_ns >= 2 * WW_NS_PER_MS && c.next_ns < 4 * WW_NS_PER_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recorded),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_validation),
        cmocka_unit_test(test_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
