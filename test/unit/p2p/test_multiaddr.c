#include "test/lib/vectors.h"

#include "base/varint.h"
#include "p2p/ip.h"
#include "p2p/multiaddr.h"

static struct ww_buf bin, text;

static void parse(const char *in)
{
    ww_buf_clear(&bin);
    ww_err err = ww_multiaddr_parse(ww_bytes_str(in), &bin);
    if (err < 0)
        fail_msg("%s: %s", in, ww_err_name(err));
}

static struct ww_bytes addr(const char *in)
{
    parse(in);
    return ww_buf_view(&bin);
}

/* Bytes are well formed, and text made of them gives the same bytes. */
static void check_stable(void)
{
    struct ww_buf again;
    ww_buf_init(&again, 2048);
    assert_ok(ww_multiaddr_check(ww_buf_view(&bin)));
    ww_buf_clear(&text);
    assert_ok(ww_multiaddr_format(ww_buf_view(&bin), &text));
    assert_ok(ww_multiaddr_parse(ww_buf_view(&text), &again));
    assert_true(ww_bytes_eq(ww_buf_view(&again), ww_buf_view(&bin)));
    ww_buf_fini(&again);
}

static void check_pair(const struct vector *v)
{
    struct ww_bytes want = hex(v->field[1]);
    parse(v->field[0]);
    assert_bytes(ww_buf_view(&bin), want.ptr, want.len);
    check_stable();
    assert_bytes(ww_buf_view(&text), v->field[0], strlen(v->field[0]));
}

static void check_good(const struct vector *v)
{
    parse(v->field[0]);
    check_stable();
}

static void check_bad(const struct vector *v)
{
    ww_buf_clear(&bin);
    if (ww_multiaddr_parse(ww_bytes_str(v->field[0]), &bin) >= 0)
        fail_msg("%s was accepted", v->field[0]);
    assert_int_equal(ww_buf_len(&bin), 0);
}

static void test_vectors(void **state)
{
    WW_UNUSED(state);
    assert_int_equal(vectors_each(LIBP2P_VECTORS, "maddr", check_pair), 7);
    assert_true(vectors_each(LIBP2P_VECTORS, "maddr_ok", check_good) >= 80);
    assert_true(vectors_each(LIBP2P_VECTORS, "maddr_bad", check_bad) >= 60);
}

static void test_more_bad_texts(void **state)
{
    static const char *const bad[] = {
        "",
        "/memory/92233720368547758081",
        "ip4/1.2.3.4",
        "//ip4/1.2.3.4",
        "/ip4//1.2.3.4",
        "/tcp/1//",
        "/tcp/01",
        "/tcp/+1",
        "/tcp/ 1",
        "/ip4/1.2.3.4.",
        "/ip4/1.2.3",
        "/ip4/01.2.3.4",
        "/ip4/256.1.1.1",
        "/ip6/1:2:3:4:5:6:7",
        "/ip6/1:2:3:4:5:6:7:8:9",
        "/ip6/1::2::3",
        "/ip6/:::",
        "/ip6/:1",
        "/ip6/1:",
        "/ip6/12345::",
        "/ip6/::1.2.3",
        "/ip6/1.2.3.4::",
        "/ip6/1:2:3:4:5:6:7:1.2.3.4",
        "/ip6/1:2:3:4:5:6:7:8::",
        "/ip6/fe80::1%eth0",
        "/dns4//tcp/1",
        ("/dns4/a\x01"
         "b"), /* two literals, or \x would take the b */
        "/cidr/129",
        "/cidr/256",
        "/cidr",
        "/survey/1",
        "/multicast",
        "/unknown/ff",
        "/http-path/%2",
        "/http-path/%zz",
        "/http-path",
        "/unix/",
        "/p2p/hello",
        "/certhash/uEiA",
        "/ip4/1.2.3.4/tcp",
        "/dns/\xff\xfe",
        "/dns/\xed\xa0\x80",
        "/dns/\xc0\xaf",
        "/dns/\xf4\x90\x80\x80",
    };
    WW_UNUSED(state);
    for (size_t i = 0; i < WW_COUNT_OF(bad); i++) {
        struct vector v = {.count = 1, .field = {(char *)(uintptr_t)bad[i]}};
        check_bad(&v);
    }
    /* an embedded NUL */
    ww_buf_clear(&bin);
    assert_true(ww_multiaddr_parse(WW_BYTES_LIT("/dns/a\0b"), &bin) < 0);
}

static void test_wetware_codes(void **state)
{
    static const struct {
        const char *text, *bytes;
    } cases[] = {
        {"/ip4/228.8.8.8/udp/8822/multicast/lo0",
            "04e408080891022276"
            "64036c6f30"},
        {"/ip4/228.8.8.8/udp/8822/multicast/lo0/survey",
            "04e408080891022276"
            "64036c6f30"
            "65"},
        {"/ip4/10.0.1.0/udp/8822/cidr/24",
            "040a00010091022276"
            "6718"},
        {"/ip6/2001:db8::/udp/8822/cidr/120",
            "2920010db8000000000000000000000000"
            "91022276"
            "6778"},
    };
    WW_UNUSED(state);
    for (size_t i = 0; i < WW_COUNT_OF(cases); i++) {
        struct vector v = {
            .count = 2, .field = {(char *)(uintptr_t)cases[i].text, (char *)(uintptr_t)cases[i].bytes}};
        check_pair(&v);
    }
    assert_int_equal(ww_multiaddr_check(hex("6781")), WW_EPROTO); /* cidr 129 */
}

static void test_unknown_protocols_are_carried(void **state)
{
    struct ww_bytes opaque = hex("047f000001"
                                 "e40f0474657374");
    struct ww_multiaddr_part part;
    char out[64];
    WW_UNUSED(state);
    assert_ok(ww_multiaddr_check(hex("e40f0474657374"))); /* in a recorded boot packet */
    assert_ok(ww_multiaddr_check(opaque));
    assert_string_equal(ww_multiaddr_text(opaque, out, sizeof out), "/ip4/127.0.0.1/unknown/e40f0474657374");
    assert_int_equal(ww_multiaddr_next(&opaque, &part), 1);
    assert_int_equal(ww_multiaddr_next(&opaque, &part), 1);
    assert_null(part.proto);
    assert_int_equal(part.code, 2020);
    assert_bytes(part.value, "\x04test", 5);
    assert_int_equal(ww_multiaddr_next(&opaque, &part), 0);
}

static void test_bad_bytes(void **state)
{
    static const struct {
        const char *bytes;
        ww_err err;
    } bad[] = {
        {"", WW_ETRUNC}, {"04", WW_ETRUNC}, {"047f0000", WW_ETRUNC}, {"0600", WW_ETRUNC},
        {"8400", WW_EPROTO},                                              /* padded code */
        {"84", WW_ETRUNC}, {"3603612f62", WW_EPROTO},                     /* a slash in a name */
        {"3600", WW_EPROTO},                                              /* an empty name */
        {"36ff7f61", WW_ETRUNC},                                          /* a length beyond the end */
        {"36ffffffffffffffff7f61", WW_ETRUNC}, {"a503020000", WW_ETRUNC}, /* a peer id of no known form */
        {"90030161", WW_EPROTO},                                          /* a path without its slash */
        {"9003022f61"
         "0601bb",
            WW_EPROTO},                              /* something after a path */
        {"d203021200", WW_EPROTO},                   /* certhash that is no multihash */
        {"bc03000000000000000000000000", WW_EPROTO}, /* onion port 0 */
    };
    WW_UNUSED(state);
    for (size_t i = 0; i < WW_COUNT_OF(bad); i++) {
        struct ww_multiaddr_part part;
        struct ww_bytes in = hex(bad[i].bytes);
        assert_int_equal(ww_multiaddr_check(in), bad[i].err);
        while (ww_multiaddr_next(&in, &part) > 0)
            assert_non_null(part.whole.ptr);
    }
}

static void test_limits(void **state)
{
    uint8_t many[WW_MULTIADDR_MAX_PARTS * 3 + 3], big[WW_MULTIADDR_MAX_BYTES + 1];
    struct ww_buf long_text;
    WW_UNUSED(state);
    for (size_t i = 0; i < sizeof many; i++)
        many[i] = i % 3 == 0 ? WW_MA_TCP : 1;
    assert_ok(ww_multiaddr_check(ww_bytes(many, sizeof many - 3)));
    assert_int_equal(ww_multiaddr_check(ww_bytes(many, sizeof many)), WW_ELIMIT);
    memset(big, 'a', sizeof big);
    big[0] = WW_MA_DNS;
    ww_varint_encode(sizeof big - 4, big + 1);
    assert_ok(ww_multiaddr_check(ww_bytes(big, sizeof big - 1)));
    ww_varint_encode(sizeof big - 3, big + 1);
    assert_int_equal(ww_multiaddr_check(ww_bytes(big, sizeof big)), WW_ELIMIT);
    ww_buf_init(&long_text, 8192);
    assert_ok(ww_buf_append(&long_text, WW_BYTES_LIT("/dns/")));
    for (size_t i = 0; i < 1022; i++)
        assert_ok(ww_buf_append_byte(&long_text, 'a'));
    ww_buf_clear(&bin);
    assert_int_equal(ww_multiaddr_parse(ww_buf_view(&long_text), &bin), WW_ELIMIT);
    ww_buf_clear(&long_text);
    for (size_t i = 0; i < 33; i++)
        assert_ok(ww_buf_append(&long_text, WW_BYTES_LIT("/tcp/1")));
    assert_int_equal(ww_multiaddr_parse(ww_buf_view(&long_text), &bin), WW_ELIMIT);
    ww_buf_fini(&long_text);
}

static void test_netaddr(void **state)
{
    struct ww_netaddr a;
    struct ww_bytes rest;
    uint64_t code;
    WW_UNUSED(state);
    assert_ok(ww_multiaddr_netaddr(addr("/ip4/127.0.0.1/udp/4002/quic-v1"), &a, &code, &rest));
    assert_int_equal(a.family, 4);
    assert_int_equal(a.port, 4002);
    assert_memory_equal(a.ip, "\x7f\0\0\1", 4);
    assert_int_equal(code, WW_MA_UDP);
    assert_bytes(rest, "\xcd\x03", 2);
    assert_ok(ww_multiaddr_netaddr(addr("/ip6zone/7/ip6/fe80::1/tcp/9"), &a, &code, &rest));
    assert_int_equal(a.family, 6);
    assert_int_equal(a.scope, 7);
    assert_int_equal(rest.len, 0);
    struct ww_buf back;
    ww_buf_init(&back, 100);
    assert_ok(ww_multiaddr_put_netaddr(&back, &a, WW_MA_TCP));
    assert_true(ww_bytes_eq(ww_buf_view(&back), ww_buf_view(&bin)));
    ww_buf_clear(&back);
    a.family = 0;
    assert_int_equal(ww_multiaddr_put_netaddr(&back, &a, WW_MA_TCP), WW_EINVAL);
    ww_buf_fini(&back);
    static const char *const no[] = {"/ip6zone/eth0/ip6/fe80::1/tcp/9", "/ip6zone/1/ip4/1.2.3.4/tcp/1",
        "/ip4/1.2.3.4", "/dns4/x/tcp/1", "/tcp/1", "/ip4/1.2.3.4/sctp/1", "/p2p-circuit"};
    for (size_t i = 0; i < WW_COUNT_OF(no); i++)
        assert_int_equal(ww_multiaddr_netaddr(addr(no[i]), &a, &code, &rest), WW_EUNSUPPORTED);
    assert_ok(ww_multiaddr_host(addr("/ip4/1.2.3.4/p2p-circuit"), &a, &rest));
    assert_int_equal(a.port, 0);
    assert_true(ww_multiaddr_is_loopback(addr("/ip4/127.9.9.9/tcp/1")));
    assert_true(ww_multiaddr_is_loopback(addr("/ip6/::1/tcp/1")));
    assert_false(ww_multiaddr_is_loopback(addr("/ip6/::2/tcp/1")));
    assert_false(ww_multiaddr_is_loopback(addr("/dns/localhost/tcp/1")));
}

static void test_dns(void **state)
{
    struct ww_bytes name, rest;
    uint8_t family;
    WW_UNUSED(state);
    assert_ok(ww_multiaddr_dns(addr("/dns6/example.com/tcp/443/wss"), &name, &family, &rest));
    assert_bytes(name, "example.com", 11);
    assert_int_equal(family, 6);
    assert_bytes(rest, "\x06\x01\xbb\xde\x03", 5);
    assert_ok(ww_multiaddr_dns(addr("/dnsaddr/a"), &name, &family, &rest));
    assert_int_equal(family, 0);
    assert_int_equal(ww_multiaddr_dns(addr("/ip4/1.2.3.4"), &name, &family, &rest), WW_EUNSUPPORTED);
}

static void test_peer(void **state)
{
    static const char relay[] =
        "/ip4/1.2.3.4/tcp/1/p2p/12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq/p2p-circuit";
    struct ww_peer_id id, last;
    struct ww_bytes transport;
    struct ww_buf out;
    char print[256];
    WW_UNUSED(state);
    assert_ok(ww_peer_id_parse(ww_bytes_str("12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"), &id));
    /* a relay's id in the middle is not the address's peer */
    assert_int_equal(ww_multiaddr_peer(addr(relay), &last, NULL), WW_ENOTFOUND);
    ww_buf_init(&out, 1024);
    assert_ok(ww_multiaddr_encapsulate_peer(&out, ww_buf_view(&bin), &id));
    assert_ok(ww_multiaddr_peer(ww_buf_view(&out), &last, &transport));
    assert_true(ww_peer_id_eq(&id, &last));
    assert_true(ww_bytes_eq(transport, ww_buf_view(&bin)));
    assert_int_equal(ww_multiaddr_count(ww_buf_view(&out), WW_MA_P2P), 2);
    assert_true(ww_multiaddr_has(ww_buf_view(&out), WW_MA_P2P_CIRCUIT));
    assert_false(ww_multiaddr_has(ww_buf_view(&out), WW_MA_UDP));
    snprintf(print, sizeof print, "%s/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN", relay);
    char got[256];
    assert_string_equal(ww_multiaddr_text(ww_buf_view(&out), got, sizeof got), print);
    /* a second time: nothing changes; another peer: refused */
    struct ww_buf twice;
    ww_buf_init(&twice, 1024);
    assert_ok(ww_multiaddr_encapsulate_peer(&twice, ww_buf_view(&out), &id));
    assert_true(ww_bytes_eq(ww_buf_view(&twice), ww_buf_view(&out)));
    id.bytes[37] ^= 1;
    assert_int_equal(ww_multiaddr_encapsulate_peer(&twice, ww_buf_view(&out), &id), WW_EPEERID);
    /* only the id */
    ww_buf_clear(&twice);
    assert_ok(ww_multiaddr_put_p2p(&twice, &last));
    assert_ok(ww_multiaddr_peer(ww_buf_view(&twice), &id, &transport));
    assert_int_equal(transport.len, 0);
    ww_buf_fini(&out);
    ww_buf_fini(&twice);
}

static void test_put_checks_values(void **state)
{
    struct ww_buf out;
    WW_UNUSED(state);
    ww_buf_init(&out, 100);
    assert_ok(ww_multiaddr_put_port(&out, WW_MA_TCP, 443));
    assert_bytes(ww_buf_view(&out), "\x06\x01\xbb", 3);
    assert_int_equal(ww_multiaddr_put(&out, WW_MA_IP4, hex("7f00")), WW_EPROTO);
    assert_int_equal(ww_multiaddr_put(&out, WW_MA_DNS, WW_BYTES_LIT("a/b")), WW_EPROTO);
    assert_int_equal(ww_multiaddr_put(&out, 2020, WW_BYTES_LIT("a")), WW_EUNSUPPORTED);
    assert_int_equal(ww_buf_len(&out), 3);
    ww_buf_fini(&out);
}

static void test_ip6_text(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"::", "::"},
        {"::1", "::1"},
        {"1::", "1::"},
        {"0:0:1:0:0:0:1:0", "0:0:1::1:0"},
        {"2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
        {"1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"},
        {"::ffff:1.2.3.4", "::ffff:1.2.3.4"},
        {"::1.2.3.4", "::102:304"},
        {"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"},
        {"0:0:0:0:0:0:0:1", "::1"},
        {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
        {"fe80::1:0:0", "fe80::1:0:0"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    };
    uint8_t ip[16];
    char out[WW_IP_TEXT_MAX];
    WW_UNUSED(state);
    for (size_t i = 0; i < WW_COUNT_OF(cases); i++) {
        assert_ok(ww_ip6_parse(ww_bytes_str(cases[i].in), ip));
        assert_int_equal(ww_ip6_format(ip, out), strlen(cases[i].out));
        assert_string_equal(out, cases[i].out);
    }
}

static void test_text_is_cut(void **state)
{
    char out[8];
    WW_UNUSED(state);
    assert_string_equal(ww_multiaddr_text(addr("/ip4/127.0.0.1"), out, sizeof out), "/ip4/12");
    assert_string_equal(ww_multiaddr_text(hex("047f"), out, sizeof out), "?");
}

static int set_up(void **state)
{
    WW_UNUSED(state);
    ww_buf_init(&bin, 4096);
    ww_buf_init(&text, 8192);
    return 0;
}

static int tear_down(void **state)
{
    WW_UNUSED(state);
    ww_buf_fini(&bin);
    ww_buf_fini(&text);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_more_bad_texts),
        cmocka_unit_test(test_wetware_codes),
        cmocka_unit_test(test_unknown_protocols_are_carried),
        cmocka_unit_test(test_bad_bytes),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_netaddr),
        cmocka_unit_test(test_dns),
        cmocka_unit_test(test_peer),
        cmocka_unit_test(test_put_checks_values),
        cmocka_unit_test(test_ip6_text),
        cmocka_unit_test(test_text_is_cut),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
