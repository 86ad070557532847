#include "p2p/multistream.h"
#include "base/prng.h"
#include "test/lib/alloc_fail.h"
#include "test/lib/test.h"

#define HEADER "132f6d756c746973747265616d2f312e302e300a"
#define NOISE "072f6e6f6973650a"
#define YAMUX "0d2f79616d75782f312e302e300a"
#define PING "112f697066732f70696e672f312e302e300a"
#define NA "036e610a"
#define LS "036c730a"
#define SIMOPEN "1d2f6c69627032702f73696d756c74616e656f75732d636f6e6e6563740a"

static bool match_noise_or_ww(struct ww_mss_matcher *matcher, struct ww_bytes token)
{
    return ww_bytes_eq(token, ww_bytes_str("/noise")) || ww_bytes_has_prefix(token, ww_bytes_str("ww/"));
}

static struct ww_mss_matcher matcher = {.match = match_noise_or_ww};

struct outcome {
    ww_err r;
    size_t used;
    char out[4096]; /* hex */
    char protocol[2100];
};

/* Feeds `in` in pieces of the sizes that `prng` draws (NULL: in one). */
static void run(struct ww_mss *m, struct ww_bytes in, struct ww_prng *prng, struct outcome *ret)
{
    *ret = (struct outcome){0};
    do {
        size_t n = prng ? ww_prng_below(prng, 6) : in.len, used;
        n = n < in.len - ret->used ? n : in.len - ret->used;
        ret->r = ww_mss_feed(m, ww_bytes(in.ptr + ret->used, n), &used);
        assert_true(used <= n);
        assert_true(ret->r != 0 || used == n);
        ret->used += used;
        struct ww_bytes out = ww_mss_output(m);
        size_t at = strlen(ret->out);
        assert_true(at + 2 * out.len < sizeof ret->out);
        ww_hex_encode(out, ret->out + at);
        ww_mss_sent(m, out.len);
    } while (ret->r == 0 && ret->used < in.len);
    if (ret->r == 1)
        ww_hex_encode(ww_mss_protocol(m), ret->protocol);
    assert_int_equal(ww_mss_done(m), ret->r == 1);
}

/* The role's outcome with the whole input, after checking that a hundred ways of cutting it give the same. */
static struct outcome negotiate(const char *const *protocols, size_t count, struct ww_bytes in)
{
    struct outcome whole, pieces;
    struct ww_bytes list[WW_MSS_PROPOSALS_MAX];
    for (size_t i = 0; i < count; i++)
        list[i] = ww_bytes_str(protocols[i]);
    for (unsigned i = 0; i <= 100; i++) {
        struct ww_mss m;
        struct ww_prng prng;
        ww_prng_init(&prng, i);
        assert_ok(count ? ww_mss_init_initiator(&m, list, count) : ww_mss_init_responder(&m, &matcher));
        run(&m, in, i ? &prng : NULL, i ? &pieces : &whole);
        size_t used;
        if (whole.r) { /* the end is final */
            assert_int_equal(ww_mss_feed(&m, in, &used), whole.r);
            assert_int_equal(used, 0);
        }
        ww_mss_fini(&m);
        if (i == 0)
            continue;
        assert_int_equal(pieces.r, whole.r);
        assert_string_equal(pieces.out, whole.out);
        assert_string_equal(pieces.protocol, whole.protocol);
        if (whole.r >= 0)
            assert_int_equal(pieces.used, whole.used);
    }
    return whole;
}

static struct outcome respond(const char *in_hex)
{
    return negotiate(NULL, 0, hex(in_hex));
}

static void test_responder(void **state)
{
    struct outcome o = respond(HEADER NOISE "0020aabb");
    assert_int_equal(o.r, 1);
    assert_string_equal(o.out, HEADER NOISE);
    assert_string_equal(o.protocol, "2f6e6f697365");
    assert_int_equal(o.used, 28); /* what follows is Noise's */
    o = respond("");
    assert_int_equal(o.r, 0);
    assert_string_equal(o.out, HEADER);
}

/* The first segment of a Go dialer, and what its listener answered (test/vectors/go-node/tcp-raw-log.txt). */
static void test_responder_simultaneous_connect(void **state)
{
    struct outcome o = respond(HEADER SIMOPEN NOISE);
    assert_int_equal(o.r, 1);
    assert_string_equal(o.out, HEADER NA NOISE);
}

static void test_responder_token_without_slash(void **state)
{
    struct outcome o = respond(HEADER "1377772f302e312e302f77772f7061636b65640a00");
    assert_int_equal(o.r, 1);
    assert_string_equal(o.protocol, "77772f302e312e302f77772f7061636b6564");
    assert_string_equal(o.out, HEADER "1377772f302e312e302f77772f7061636b65640a");
    assert_int_equal(o.used, 20 + 20);
}

static void test_responder_listing(void **state)
{
    struct outcome o = respond(HEADER LS YAMUX);
    assert_int_equal(o.r, 0);
    assert_string_equal(o.out, HEADER NA NA);
    static const struct ww_bytes listed[] = {WW_BYTES_LIT("/noise"), WW_BYTES_LIT("ww/x")};
    matcher.listed = listed;
    matcher.listed_count = 2;
    o = respond(HEADER LS NOISE);
    assert_int_equal(o.r, 1);
    assert_string_equal(o.out,
        HEADER "0f" NOISE "0577772f780a"
               "0a" NOISE);
    static struct ww_bytes many[32];
    static const uint8_t zeros[1000];
    for (size_t i = 0; i < WW_COUNT_OF(many); i++)
        many[i] = ww_bytes(zeros, sizeof zeros);
    matcher.listed = many;
    matcher.listed_count = WW_COUNT_OF(many); /* too long for an answer */
    assert_string_equal(respond(HEADER LS).out, HEADER NA);
    matcher.listed = NULL;
    matcher.listed_count = 0;
}

static void test_responder_refuses(void **state)
{
    static const struct {
        const char *in;
        ww_err err;
    } cases[] = {
        {NOISE, WW_EPROTO},                                      /* no header */
        {"132f6d756c746973747265616d2f322e302e300a", WW_EPROTO}, /* another version */
        {"132f6d756c746973747265616d2f312e302e3021", WW_EPROTO}, /* no newline */
        {HEADER "00", WW_EPROTO},                                /* no room for the newline */
        {HEADER "8100", WW_EPROTO},                              /* padded length */
        {HEADER "8208", WW_ELIMIT},                              /* 1026: one too many */
        {HEADER "808001", WW_ELIMIT},
        {HEADER "ffffffffffffffffff01", WW_ELIMIT},
    };
    for (size_t i = 0; i < WW_COUNT_OF(cases); i++)
        assert_int_equal(respond(cases[i].in).r, cases[i].err);
    struct outcome o = respond(HEADER "010a"
                                      "04610a620a"); /* the empty token; a newline inside */
    assert_int_equal(o.r, 0);
    assert_string_equal(o.out, HEADER NA NA);
}

static void test_longest_token(void **state)
{
    uint8_t in[20 + 2 + 1025];
    memcpy(in, hex(HEADER).ptr, 20);
    memcpy(in + 20, "\x81\x08ww/", 5);
    memset(in + 25, 'a', 1021);
    in[sizeof in - 1] = '\n';
    struct outcome o = negotiate(NULL, 0, ww_bytes(in, sizeof in));
    assert_int_equal(o.r, 1);
    assert_int_equal(strlen(o.protocol), 2048);
}

static void test_responder_counts(void **state)
{
    struct ww_buf in;
    ww_buf_init(&in, 4096);
    assert_ok(ww_buf_append(&in, hex(HEADER)));
    for (unsigned i = 0; i < 32; i++)
        assert_ok(ww_mss_put_token(&in, ww_bytes_str("/yamux/1.0.0")));
    assert_int_equal(negotiate(NULL, 0, ww_buf_view(&in)).r, 0);
    assert_ok(ww_mss_put_token(&in, ww_bytes_str("/noise")));
    assert_int_equal(negotiate(NULL, 0, ww_buf_view(&in)).r, WW_ELIMIT);
    ww_buf_fini(&in);
}

static void test_initiator(void **state)
{
    static const char *const protocols[] = {"/tls/1.0.0", "/noise", "ww/x"};
    struct outcome o = negotiate(protocols, 3, hex(HEADER NA NOISE "ff"));
    assert_int_equal(o.r, 1);
    assert_string_equal(o.out, HEADER "0b2f746c732f312e302e300a" NOISE);
    assert_string_equal(o.protocol, "2f6e6f697365");
    assert_int_equal(o.used, 20 + 4 + 8);
    o = negotiate(protocols, 3, hex(HEADER NA NA NA));
    assert_int_equal(o.r, WW_ENOPROTO);
    assert_string_equal(o.out, HEADER "0b2f746c732f312e302e300a" NOISE "0577772f780a");
    assert_int_equal(negotiate(protocols, 3, hex(HEADER NOISE)).r, WW_EPROTO); /* not what was asked */
    assert_int_equal(negotiate(protocols, 3, hex(NA)).r, WW_EPROTO);
    assert_int_equal(negotiate(protocols, 3, hex(HEADER HEADER)).r, WW_EPROTO);
}

/* Header, proposal and 32 bytes of ping in one flight; the answer is checked when it comes. */
static void test_lazy(void **state)
{
    static const char *const protocols[] = {"/ipfs/ping/1.0.0"};
    struct outcome o = negotiate(protocols, 1, hex(HEADER PING "0102"));
    assert_int_equal(o.r, 1);
    assert_string_equal(o.out, HEADER PING);
    assert_int_equal(o.used, 38);
}

static void test_initiator_arguments(void **state)
{
    struct ww_mss m;
    static const uint8_t zeros[1025];
    struct ww_bytes list[33];
    for (size_t i = 0; i < 33; i++)
        list[i] = ww_bytes_str("x");
    assert_int_equal(ww_mss_init_initiator(&m, list, 0), WW_EINVAL);
    assert_int_equal(ww_mss_init_initiator(&m, list, 33), WW_EINVAL);
    list[3] = ww_bytes_str("x\ny");
    assert_int_equal(ww_mss_init_initiator(&m, list, 4), WW_EINVAL);
    list[3] = ww_bytes(NULL, 0);
    assert_int_equal(ww_mss_init_initiator(&m, list, 4), WW_EINVAL);
    list[3] = ww_bytes(zeros, 1025);
    assert_int_equal(ww_mss_init_initiator(&m, list, 4), WW_EINVAL);
    list[3] = ww_bytes(zeros, 1024);
    assert_ok(ww_mss_init_initiator(&m, list, 4));
    ww_mss_fini(&m);
}

static ww_err no_memory(void *ctx)
{
    struct ww_mss m;
    struct ww_bytes list[] = {ww_bytes_str("/tls/1.0.0"), ww_bytes_str("/noise")};
    WW_TRY(ctx ? ww_mss_init_initiator(&m, list, 2) : ww_mss_init_responder(&m, &matcher));
    struct ww_bytes in = ctx ? hex(HEADER NA NOISE) : hex(HEADER LS YAMUX NOISE);
    ww_err r = 0;
    for (size_t at = 0; at < in.len && r == 0; at++) {
        size_t used;
        r = ww_mss_feed(&m, ww_bytes(in.ptr + at, 1), &used);
    }
    ww_mss_fini(&m);
    return r == 1 ? 0 : r;
}

static void test_no_memory(void **state)
{
    assert_true(alloc_fail_run(no_memory, NULL) > 2);
    assert_true(alloc_fail_run(no_memory, &matcher) > 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_responder),
        cmocka_unit_test(test_responder_simultaneous_connect),
        cmocka_unit_test(test_responder_token_without_slash),
        cmocka_unit_test(test_responder_listing),
        cmocka_unit_test(test_responder_refuses),
        cmocka_unit_test(test_longest_token),
        cmocka_unit_test(test_responder_counts),
        cmocka_unit_test(test_initiator),
        cmocka_unit_test(test_lazy),
        cmocka_unit_test(test_initiator_arguments),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
