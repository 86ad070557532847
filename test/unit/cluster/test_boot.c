#include "test/lib/test.h"

#include "cluster/boot_driver.h"
#include "p2p/envelope.h"
#include "p2p/multiaddr.h"
#include "sim/sim.h"

static struct ww_bytes vector(const char *name)
{
    static uint8_t bytes[8][4096];
    static unsigned ring;
    char path[256], text[8192];
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

static struct ww_keypair key_of(uint8_t who)
{
    struct ww_keypair pair;
    uint8_t seed[WW_ED25519_SEED_BYTES];
    memset(seed, who, sizeof seed);
    ww_keypair_from_seed(&pair, seed);
    return pair;
}

static struct ww_bytes maddr(const char *text)
{
    static struct ww_buf ring[8];
    static unsigned at;
    struct ww_buf *buf = &ring[at++ % 8];
    ww_buf_fini(buf);
    ww_buf_init(buf, 4096);
    assert_ok(ww_multiaddr_parse(ww_bytes_str(text), buf));
    return ww_buf_view(buf);
}

/* ---- packets ---- */

static void test_recorded_packets(void **state)
{
    static const struct {
        const char *name, *ns, *peer, *addrs[2];
        enum ww_boot_kind kind;
        uint8_t distance;
    } cases[] = {
        {"boot-crawl-request.hex", "ww", "12D3KooWJSCf1APzxCoFQwdXwJAAnVHG5VFKVKZZ6y3FhpDMm2Qe", {0},
            WW_BOOT_REQUEST, 0},
        {"boot-crawl-response.hex", "ww", "12D3KooWJcm4Xn4yZfaLnbWTZKU3tHNLqz1KcfqxxoXTrRXmiKLo",
            {"/ip4/127.0.0.1/tcp/4011"}, WW_BOOT_RESPONSE, 0},
        {"boot-mcast-00.hex", "ww", "12D3KooWQC48V2XSKwDUh5nGWM7sXCt1AXUPQdYjT6d3WLzbu37o", {0},
            WW_BOOT_SURVEY, 255},
        {"boot-mcast-01.hex", "ww", "12D3KooWEca3sXDHjDzvbS7oc47KEuTCMHmktwpFFgyFU343WFgJ",
            {"/ip4/127.0.0.1/tcp/4001"}, WW_BOOT_RESPONSE, 0},
        {"boot-mcast-02.hex", "ww", "12D3KooWAKjheAfYCkrrq6FzkywtVzvaeSgYv8RQf6dMpRvrPwfj",
            {"/ip4/127.0.0.1/tcp/4002", "/ip4/127.0.0.1/udp/4002/quic-v1"}, WW_BOOT_RESPONSE, 0},
        {"boot-mcast-03.hex", "other", "12D3KooWGyAwk1J8ivassXwMHRz8PKeZRNc732Rf8B69Cu8wjVaM", {0},
            WW_BOOT_SURVEY, 255},
        {"boot-mcast-04.hex", "ww", "12D3KooWA2qLFkyxZdSNxqNkHtL1vojm5SstXa8KeUz135vpNaaj", {0},
            WW_BOOT_SURVEY, 0},
        {"boot-mcast-05.hex", "ww", "12D3KooWEca3sXDHjDzvbS7oc47KEuTCMHmktwpFFgyFU343WFgJ", {0},
            WW_BOOT_SURVEY, 255},
        {"boot-mcast-06.hex", "ww", "12D3KooWAKjheAfYCkrrq6FzkywtVzvaeSgYv8RQf6dMpRvrPwfj", {0},
            WW_BOOT_SURVEY, 255},
    };
    struct ww_msg msg;
    ww_msg_init(&msg, NULL);
    for (size_t i = 0; i < WW_COUNT_OF(cases); i++) {
        struct ww_bytes datagram = vector(cases[i].name);
        struct ww_boot_packet p;
        struct ww_envelope env;
        struct ww_buf payload;
        char text[128];
        assert_ok(ww_boot_packet_open(&msg, datagram, &p));
        assert_int_equal(p.kind, cases[i].kind);
        assert_int_equal(p.distance, cases[i].distance);
        assert_bytes(p.ns, cases[i].ns, strlen(cases[i].ns));
        assert_string_equal(ww_peer_id_format(&p.peer, text), cases[i].peer);
        assert_int_equal(p.addr_count, (cases[i].addrs[0] != NULL) + (cases[i].addrs[1] != NULL));
        for (size_t k = 0; k < p.addr_count; k++)
            assert_string_equal(ww_multiaddr_text(p.addrs[k], text, sizeof text), cases[i].addrs[k]);
        /* We would have written the same payload. */
        assert_ok(ww_envelope_open(datagram, WW_BYTES_LIT("casm-boot-record"), &env));
        ww_buf_init(&payload, 4096);
        assert_ok(ww_boot_packet_encode(&p, &payload));
        assert_bytes(ww_buf_view(&payload), env.payload.ptr, env.payload.len);
        ww_buf_fini(&payload);
        /* Any flipped bit and any cut is refused. */
        uint8_t bad[2048];
        for (size_t at = 0; at < datagram.len; at += 3) {
            memcpy(bad, datagram.ptr, datagram.len);
            bad[at] ^= (uint8_t)(1 << at % 8);
            assert_true(ww_boot_packet_open(&msg, ww_bytes(bad, datagram.len), &p) < 0);
            assert_true(ww_boot_packet_open(&msg, ww_bytes(datagram.ptr, at), &p) < 0);
        }
    }
    ww_msg_fini(&msg);
}

static void test_sealing(void **state)
{
    struct ww_keypair pair = key_of(1), other = key_of(2);
    struct ww_boot_packet p = {.kind = WW_BOOT_RESPONSE, .ns = WW_BYTES_LIT("ww"), .addr_count = 2}, got;
    struct ww_buf out, payload;
    struct ww_msg msg;
    struct ww_peer_id self;
    ww_buf_init(&out, 65536);
    ww_buf_init(&payload, 65536);
    ww_msg_init(&msg, NULL);
    ww_peer_id_from_key(&pair.pub, &self);
    p.addrs[0] = maddr("/ip4/10.0.0.1/tcp/1");
    p.addrs[1] = maddr("/ip6/::1/udp/2/quic-v1");
    assert_ok(ww_boot_packet_seal(&pair, &p, &out));
    assert_ok(ww_boot_packet_open(&msg, ww_buf_view(&out), &got));
    assert_true(ww_peer_id_eq(&got.peer, &self));
    assert_int_equal(got.addr_count, 2);
    assert_true(ww_bytes_eq(got.addrs[1], p.addrs[1]));
    /* Somebody else's id in a packet that is signed well. */
    p.peer = self;
    assert_ok(ww_boot_packet_encode(&p, &payload));
    ww_buf_clear(&out);
    assert_ok(ww_envelope_seal(
        &other, WW_BYTES_LIT("casm-boot-record"), WW_BYTES_LIT("\x1f\x00"), ww_buf_view(&payload), &out));
    assert_int_equal(ww_boot_packet_open(&msg, ww_buf_view(&out), &got), WW_EPEERID);
    /* The right packet under another domain or type. */
    ww_buf_clear(&out);
    assert_ok(ww_envelope_seal(
        &pair, WW_BYTES_LIT("libp2p-peer-record"), WW_BYTES_LIT("\x1f\x00"), ww_buf_view(&payload), &out));
    assert_int_equal(ww_boot_packet_open(&msg, ww_buf_view(&out), &got), WW_ECRYPTO);
    ww_buf_clear(&out);
    assert_ok(ww_envelope_seal(
        &pair, WW_BYTES_LIT("casm-boot-record"), WW_BYTES_LIT("\x03\x01"), ww_buf_view(&payload), &out));
    assert_int_equal(ww_boot_packet_open(&msg, ww_buf_view(&out), &got), WW_EPROTO);
    /* Addresses that do not fit are left out; a namespace must be there. */
    uint8_t name[300];
    memset(name, 'n', sizeof name);
    struct ww_buf big;
    ww_buf_init(&big, 1024);
    assert_ok(ww_multiaddr_put(&big, WW_MA_DNS4, ww_bytes(name, 250)));
    assert_ok(ww_multiaddr_put_port(&big, WW_MA_TCP, 80));
    p.addr_count = WW_BOOT_ADDRS_MAX;
    for (size_t i = 0; i < WW_BOOT_ADDRS_MAX; i++)
        p.addrs[i] = ww_buf_view(&big);
    ww_buf_clear(&out);
    assert_ok(ww_boot_packet_seal(&pair, &p, &out));
    assert_true(ww_buf_len(&out) <= WW_BOOT_DATAGRAM_MAX);
    assert_ok(ww_boot_packet_open(&msg, ww_buf_view(&out), &got));
    assert_in_range(got.addr_count, 5, 8);
    p.ns.len = 0;
    assert_int_equal(ww_boot_packet_seal(&pair, &p, &out), WW_EINVAL);
    ww_buf_fini(&big);
    ww_buf_fini(&payload);
    ww_buf_fini(&out);
    ww_msg_fini(&msg);
    ww_keypair_fini(&pair);
    ww_keypair_fini(&other);
}

static void test_distance(void **state)
{
    struct ww_peer_id a = {.len = 6, .bytes = {0, 4, 0, 0, 0, 0}}, b = a;
    assert_true(ww_boot_within(&a, &b, 0)); /* the same id */
    b.bytes[2] = 1;                         /* least significant */
    assert_false(ww_boot_within(&a, &b, 0));
    assert_true(ww_boot_within(&a, &b, 1));
    b.bytes[5] = 0x80; /* most significant */
    assert_false(ww_boot_within(&a, &b, 31));
    assert_true(ww_boot_within(&a, &b, 32));
    assert_true(ww_boot_within(&a, &b, 255));
    b.bytes[5] = 0x40;
    assert_true(ww_boot_within(&a, &b, 31));
    assert_false(ww_boot_within(&a, &b, 30));
}

/* ---- targets ---- */

static void test_targets(void **state)
{
    struct ww_boot_target t;
    struct ww_diag diag;
    assert_ok(ww_boot_target_parse(maddr("/ip4/228.8.8.8/udp/8822/multicast/lo0"), &t, &diag));
    assert_int_equal(t.way, WW_BOOT_MULTICAST);
    assert_string_equal(t.ifname, "lo0");
    assert_false(t.gradual);
    assert_int_equal(t.addr.port, 8822);
    assert_ok(ww_boot_target_parse(maddr("/ip4/228.8.8.8/udp/8822/multicast/eth0/survey"), &t, &diag));
    assert_true(t.gradual);
    assert_ok(ww_boot_target_parse(maddr("/ip4/10.0.1.0/udp/8822/cidr/24"), &t, &diag));
    assert_int_equal(t.way, WW_BOOT_SUBNET);
    assert_int_equal(t.prefix_bits, 24);
    assert_ok(ww_boot_target_parse(maddr("/ip6/2001:db8::/udp/8822/cidr/120"), &t, &diag));
    assert_int_equal(t.prefix_bits, 120);
    assert_ok(ww_boot_target_parse(maddr("/ip4/10.0.1.9/udp/8822"), &t, &diag));
    assert_int_equal(t.way, WW_BOOT_HOST);
    assert_ok(ww_boot_target_parse(
        maddr("/ip4/10.0.1.9/tcp/1/p2p/12D3KooWEca3sXDHjDzvbS7oc47KEuTCMHmktwpFFgyFU343WFgJ"), &t, &diag));
    assert_int_equal(t.way, WW_BOOT_PEER);
    assert_true(ww_bytes_eq(ww_bytes(t.maddr, t.maddr_len), maddr("/ip4/10.0.1.9/tcp/1")));
    static const char *const wrong[] = {"/ip4/10.0.1.9/tcp/8822", "/ip4/10.0.1.9/udp/8822/quic-v1",
        "/ip4/10.0.1.9/udp/8822/multicast/eth0", "/ip4/10.0.1.0/udp/8822/cidr/33",
        "/ip4/10.0.1.0/udp/8822/survey", "/ip4/228.8.8.8/udp/8822",
        "/p2p/12D3KooWEca3sXDHjDzvbS7oc47KEuTCMHmktwpFFgyFU343WFgJ",
        "/ip4/228.8.8.8/udp/8822/multicast/lo/survey/survey",
        "/ip4/228.8.8.8/udp/8822/multicast/sixteen-chars-16"};
    for (size_t i = 0; i < WW_COUNT_OF(wrong); i++)
        assert_true(ww_boot_target_parse(maddr(wrong[i]), &t, &diag) < 0);
}

static void test_crawl(void **state)
{
    static const struct {
        const char *net;
        uint8_t bits;
        size_t hosts;
    } cases[] = {{"/ip4/10.1.2.77", 24, 254}, {"/ip4/10.1.8.0", 21, 2046}, {"/ip4/10.1.2.3", 32, 0},
        {"/ip4/10.1.2.3", 31, 0}, {"/ip4/10.1.2.3", 30, 2}, {"/ip6/2001:db8::5", 120, 254},
        {"/ip6/2001:db8::", 117, 2046}, {"/ip6/::1", 128, 0}};
    for (size_t i = 0; i < WW_COUNT_OF(cases); i++) {
        struct ww_netaddr net, addr, first[2];
        struct ww_bytes rest;
        assert_ok(ww_multiaddr_host(maddr(cases[i].net), &net, &rest));
        for (uint64_t random = 0; random < 2; random++) {
            static bool seen[4096];
            size_t count = 0;
            struct ww_boot_crawl c;
            memset(seen, 0, sizeof seen);
            ww_boot_crawl_init(&c, &net, cases[i].bits, random ? UINT64_C(0x123456789abcdef5) : 0);
            while (ww_boot_crawl_next(&c, &addr)) {
                const uint8_t *last = addr.ip + (addr.family == 4 ? 3 : 15);
                unsigned host = ((unsigned)last[-1] << 8 | last[0]) &
                    ((1u << ((addr.family == 4 ? 32 : 128) - cases[i].bits)) - 1);
                assert_false(seen[host]);
                seen[host] = true;
                if (count++ == 0)
                    first[random] = addr;
                assert_memory_equal(addr.ip, net.ip, cases[i].bits / 8);
            }
            assert_int_equal(count, cases[i].hosts);
        }
        if (cases[i].hosts > 100)
            assert_memory_not_equal(first[0].ip, first[1].ip, 16);
    }
    /* A subnet that nobody can walk through ends all the same. */
    struct ww_boot_crawl c;
    struct ww_netaddr net = {.family = 6}, addr;
    ww_boot_crawl_init(&c, &net, 0, UINT64_MAX);
    assert_true(c.end <= UINT64_C(1) << 24);
    assert_true(ww_boot_crawl_next(&c, &addr));
}

/* ---- the core ---- */

static struct ww_boot_core *core_new(const struct ww_keypair *pair, const char *target, const char *addr)
{
    struct ww_boot_target t;
    struct ww_boot_core_conf conf = {
        .signer = pair, .ns = WW_BYTES_LIT("ww"), .seed = pair->pub.data[0], .targets = &t};
    struct ww_boot_core *c = NULL;
    conf.target_count = target != NULL;
    if (target)
        assert_ok(ww_boot_target_parse(maddr(target), &t, NULL));
    assert_ok(ww_boot_core_new(&conf, &c));
    if (addr) {
        struct ww_bytes view = maddr(addr);
        assert_ok(ww_boot_core_set_addrs(c, &view, 1));
    }
    return c;
}

static void test_survey_and_answer(void **state)
{
    struct ww_keypair a = key_of(1), b = key_of(2);
    struct ww_boot_core *asks = core_new(&a, "/ip4/228.8.8.8/udp/8822/multicast/lo", NULL);
    struct ww_boot_core *answers = core_new(&b, NULL, "/ip4/127.0.0.1/tcp/4001");
    struct ww_netaddr from = {.family = 4, .ip = {127, 0, 0, 1}, .port = 8822},
                      group = {.family = 4, .ip = {228, 8, 8, 8}, .port = 8822};
    struct ww_boot_out out;
    uint64_t now_ns = WW_NS_PER_S;
    ww_boot_core_next(asks, now_ns, &out);
    assert_int_equal(out.kind, WW_BOOT_OUT_NONE); /* the search is off */
    assert_int_equal(ww_boot_core_deadline(asks), WW_NEVER);
    ww_boot_core_search(asks, now_ns, true);
    assert_true(ww_boot_core_deadline(asks) <= now_ns);
    ww_boot_core_next(asks, now_ns, &out);
    assert_int_equal(out.kind, WW_BOOT_OUT_SEND);
    assert_true(out.group);
    assert_int_equal(out.target, 0);
    uint8_t survey[2048], response[2048];
    size_t survey_len = out.data.len, response_len;
    memcpy(survey, out.data.ptr, survey_len);
    ww_boot_core_next(asks, now_ns, &out);
    assert_int_equal(out.kind, WW_BOOT_OUT_NONE);
    /* Its own survey comes back: not answered. Sent to a host instead of the group: neither. */
    ww_boot_core_receive(asks, now_ns, &from, &group, ww_bytes(survey, survey_len));
    ww_boot_core_next(asks, now_ns, &out);
    assert_int_equal(out.kind, WW_BOOT_OUT_NONE);
    ww_boot_core_receive(answers, now_ns, &from, NULL, ww_bytes(survey, survey_len));
    ww_boot_core_next(answers, now_ns, &out);
    assert_int_equal(out.kind, WW_BOOT_OUT_NONE);
    ww_boot_core_receive(answers, now_ns, &from, &group, ww_bytes(survey, survey_len));
    ww_boot_core_next(answers, now_ns, &out);
    assert_int_equal(out.kind, WW_BOOT_OUT_SEND);
    assert_true(out.group && out.target < 0);
    response_len = out.data.len;
    memcpy(response, out.data.ptr, response_len);
    ww_boot_core_receive(asks, now_ns, &from, &group, ww_bytes(response, response_len));
    ww_boot_core_next(asks, now_ns, &out);
    assert_int_equal(out.kind, WW_BOOT_OUT_FOUND);
    assert_int_equal(out.addr_count, 1);
    assert_true(ww_bytes_eq(out.addrs[0], maddr("/ip4/127.0.0.1/tcp/4001")));
    /* The same peer again at once is no news; two seconds later it is. */
    ww_boot_core_receive(asks, now_ns, &from, &group, ww_bytes(response, response_len));
    do {
        ww_boot_core_next(asks, now_ns, &out);
        assert_int_not_equal(out.kind, WW_BOOT_OUT_FOUND);
    } while (out.kind);
    ww_boot_core_receive(asks, now_ns + 2 * WW_NS_PER_S, &from, &group, ww_bytes(response, response_len));
    ww_boot_core_next(asks, now_ns + 2 * WW_NS_PER_S, &out);
    assert_int_equal(out.kind, WW_BOOT_OUT_FOUND);
    /* Another cluster's question is not ours. */
    ww_boot_core_receive(answers, now_ns, &from, &group, vector("boot-mcast-03.hex"));
    ww_boot_core_next(answers, now_ns, &out);
    assert_int_equal(out.kind, WW_BOOT_OUT_NONE);
    ww_boot_core_receive(answers, now_ns + WW_NS_PER_S, &from, &group, vector("boot-mcast-00.hex"));
    ww_boot_core_next(answers, now_ns + WW_NS_PER_S, &out);
    assert_int_equal(out.kind, WW_BOOT_OUT_SEND); /* a Go client's survey */
    ww_boot_core_free(asks);
    ww_boot_core_free(answers);
    ww_keypair_fini(&a);
    ww_keypair_fini(&b);
}

static size_t sent_during(struct ww_boot_core *c, uint64_t from_ns, uint64_t to_ns, uint8_t *distances)
{
    size_t sent = 0;
    struct ww_boot_out out;
    struct ww_msg msg;
    ww_msg_init(&msg, NULL);
    for (uint64_t now_ns = from_ns; now_ns < to_ns;) {
        for (ww_boot_core_next(c, now_ns, &out); out.kind; ww_boot_core_next(c, now_ns, &out)) {
            struct ww_boot_packet p;
            if (out.kind != WW_BOOT_OUT_SEND)
                continue;
            if (distances && sent < 8) {
                assert_ok(ww_boot_packet_open(&msg, out.data, &p));
                distances[sent] = p.distance;
            }
            sent++;
        }
        uint64_t next_ns = ww_boot_core_deadline(c);
        assert_true(next_ns > now_ns);
        now_ns = next_ns;
    }
    ww_msg_fini(&msg);
    return sent;
}

static void test_rates(void **state)
{
    struct ww_keypair a = key_of(1);
    uint8_t distances[8] = {0};
    struct ww_boot_core *c = core_new(&a, "/ip4/10.0.0.0/udp/8822/cidr/22", NULL);
    ww_boot_core_search(c, WW_NS_PER_S, true);
    size_t sent = sent_during(c, WW_NS_PER_S, 11 * WW_NS_PER_S, NULL);
    assert_in_range(sent, 310, 328); /* 32 a second and a burst of 8 */
    ww_boot_core_free(c);
    c = core_new(&a, "/ip4/228.8.8.8/udp/8822/multicast/lo", NULL);
    ww_boot_core_search(c, WW_NS_PER_S, true);
    sent = sent_during(c, WW_NS_PER_S, 61 * WW_NS_PER_S, distances);
    assert_in_range(sent, 13, 20); /* quick at first, then every five seconds */
    assert_int_equal(distances[0], 255);
    ww_boot_core_free(c);
    c = core_new(&a, "/ip4/228.8.8.8/udp/8822/multicast/lo/survey", NULL);
    ww_boot_core_search(c, WW_NS_PER_S, true);
    sent_during(c, WW_NS_PER_S, 61 * WW_NS_PER_S, distances);
    assert_memory_equal(distances, ((uint8_t[]){26, 28, 30, 31, 255, 255}), 6);
    ww_boot_core_free(c);
    c = core_new(&a, "/ip4/127.0.0.1/udp/0", NULL);
    ww_boot_core_search(c, WW_NS_PER_S, true);
    assert_in_range(sent_during(c, WW_NS_PER_S, 3 * WW_NS_PER_S, NULL), 60, 73);
    ww_boot_core_free(c);
    ww_keypair_fini(&a);
}

static void test_flood_of_questions(void **state)
{
    struct ww_keypair b = key_of(2);
    struct ww_boot_core *c = core_new(&b, NULL, "/ip4/127.0.0.1/tcp/4001");
    struct ww_netaddr from = {.family = 4, .ip = {10, 0, 0, 1}, .port = 999};
    struct ww_boot_out out;
    size_t one = 0, many = 0;
    struct ww_bytes question = vector("boot-crawl-request.hex");
    for (uint64_t i = 0; i < 2000; i++) {
        uint64_t now_ns = WW_NS_PER_S + i * WW_NS_PER_MS;
        ww_boot_core_receive(c, now_ns, &from, NULL, question);
        for (ww_boot_core_next(c, now_ns, &out); out.kind; ww_boot_core_next(c, now_ns, &out)) {
            assert_false(out.group);
            assert_int_equal(out.to.port, 999);
            one++;
        }
    }
    assert_in_range(one, 20, 25); /* 8 a second and a burst of 8 */
    for (uint64_t i = 0; i < 2000; i++) {
        uint64_t now_ns = 10 * WW_NS_PER_S + i * WW_NS_PER_MS;
        ww_be32_store(from.ip, (uint32_t)i);
        ww_boot_core_receive(c, now_ns, &from, NULL, question);
        for (ww_boot_core_next(c, now_ns, &out); out.kind; ww_boot_core_next(c, now_ns, &out))
            many++;
    }
    assert_in_range(many, 60, 73); /* 32 a second for all together */
    ww_boot_core_free(c);
    ww_keypair_fini(&b);
}

/* ---- the driver, in a simulated network ---- */

struct member {
    struct ww_boot_user user;
    struct ww_keypair pair;
    struct ww_peer_id id;
    struct ww_boot *boot;
    struct ww_peer_id found[16];
    size_t found_count, reports;
    bool leave_when_found;
};

static void member_found(
    struct ww_boot_user *user, const struct ww_peer_id *peer, const struct ww_bytes *addrs, size_t addr_count)
{
    struct member *m = WW_CONTAINER_OF(user, struct member, user);
    assert_true(addr_count > 0 && ww_multiaddr_check(addrs[0]) == 0);
    assert_false(ww_peer_id_eq(peer, &m->id));
    m->reports++;
    for (size_t i = 0; i < m->found_count; i++) {
        if (ww_peer_id_eq(&m->found[i], peer))
            return;
    }
    m->found[m->found_count++] = *peer;
    if (m->leave_when_found) {
        ww_boot_free(m->boot);
        m->boot = NULL;
    }
}

static void member_start(
    struct member *m, struct ww_env *env, uint8_t who, const char *discover, const char *peer)
{
    struct ww_bytes d = discover ? maddr(discover) : ww_bytes(NULL, 0),
                    p = peer ? maddr(peer) : ww_bytes(NULL, 0);
    struct ww_boot_conf conf = {.signer = &m->pair,
        .ns = WW_BYTES_LIT("ww"),
        .discover = &d,
        .discover_count = discover != NULL,
        .peers = &p,
        .peer_count = peer != NULL,
        .answer = true,
        .user = &m->user};
    struct ww_diag diag = {0};
    memset(m, 0, sizeof *m);
    m->user.peer_found = member_found;
    m->pair = key_of(who);
    ww_peer_id_from_key(&m->pair.pub, &m->id);
    if (ww_boot_new(env, &conf, &m->boot, &diag) < 0)
        fail_msg("%s", diag.text);
    char text[64];
    snprintf(text, sizeof text, "/ip4/127.0.0.1/tcp/%u", 4000u + who);
    struct ww_bytes addr = maddr(text);
    assert_ok(ww_boot_set_addrs(m->boot, &addr, 1));
}

static void member_stop(struct member *m)
{
    ww_boot_free(m->boot);
    ww_keypair_fini(&m->pair);
}

static struct ww_sim *sim_new(uint64_t seed, uint32_t loss_ppm)
{
    struct ww_sim_conf conf;
    struct ww_sim *sim = NULL;
    ww_sim_conf_default(&conf, seed);
    conf.link.loss_ppm = loss_ppm;
    assert_ok(ww_sim_new(&conf, &sim));
    return sim;
}

/* No configuration, datagrams get lost: everybody finds everybody. */
static void test_multicast_on_lossy_network(void **state)
{
    enum { N = 5 };
    struct ww_sim *sim = sim_new(1, 300000);
    struct member members[N];
    for (uint8_t i = 0; i < N; i++) {
        struct ww_sim_node *node = NULL;
        assert_ok(ww_sim_node_add(sim, "", 0, &node));
        member_start(&members[i], ww_sim_node_env(node), i + 1, NULL, NULL);
        ww_boot_search(members[i].boot, true);
    }
    ww_sim_run_for(sim, 20 * WW_NS_PER_S);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(members[i].found_count, N - 1);
        ww_boot_search(members[i].boot, false);
    }
    ww_sim_run_for(sim, 5 * WW_NS_PER_S);
    size_t reports = members[0].reports;
    ww_sim_run_for(sim, 30 * WW_NS_PER_S);
    assert_int_equal(members[0].reports, reports); /* silence after the search */
    for (size_t i = 0; i < N; i++)
        member_stop(&members[i]);
    ww_sim_free(sim);
}

/* Several nodes on one machine share the port, and talk over its loopback. */
static void test_one_machine(void **state)
{
    struct ww_sim *sim = sim_new(2, 0);
    struct ww_sim_node *node = NULL;
    struct member a, b, c;
    assert_ok(ww_sim_node_add(sim, "", 0, &node));
    struct ww_env *env = ww_sim_node_env(node);
    member_start(&a, env, 1, "/ip4/228.8.8.8/udp/8822/multicast/lo", NULL);
    member_start(&b, env, 2, "/ip4/228.8.8.8/udp/8822/multicast/lo0", NULL);
    member_start(&c, env, 3, "/ip4/228.8.8.8/udp/8822/multicast/lo/survey", NULL);
    ww_boot_search(c.boot, true);
    ww_sim_run_for(sim, 5 * WW_NS_PER_S);
    assert_in_range(c.found_count, 1, 2); /* it stops when the first part of the group has answered */
    assert_int_equal(a.found_count + b.found_count, 0); /* they did not ask */
    ww_boot_search(b.boot, true);
    ww_sim_run_for(sim, 5 * WW_NS_PER_S);
    assert_int_equal(b.found_count, 2);
    a.leave_when_found = true; /* in the callback */
    ww_boot_search(a.boot, true);
    ww_sim_run_for(sim, WW_NS_PER_S);
    assert_null(a.boot);
    member_stop(&a);
    member_stop(&b);
    member_stop(&c);
    ww_sim_free(sim);
}

static void test_subnet_host_and_static(void **state)
{
    struct ww_sim *sim = sim_new(3, 100000);
    struct ww_sim_node *nodes[3] = {NULL};
    struct member crawler, host, fixed;
    char text[128];
    for (size_t i = 0; i < 3; i++)
        assert_ok(ww_sim_node_add(sim, "", (uint32_t)i, &nodes[i])); /* no multicast between segments */
    struct ww_netaddr addr = ww_sim_node_addr(nodes[1]);
    snprintf(text, sizeof text, "/ip4/%u.%u.%u.%u/udp/8822/cidr/28", addr.ip[0], addr.ip[1], addr.ip[2],
        addr.ip[3]);
    member_start(&host, ww_sim_node_env(nodes[1]), 2, text, NULL);
    member_start(&crawler, ww_sim_node_env(nodes[0]), 1, text, NULL);
    ww_boot_search(crawler.boot, true);
    ww_sim_run_for(sim, 60 * WW_NS_PER_S);
    assert_int_equal(crawler.found_count, 1);
    assert_true(ww_peer_id_eq(&crawler.found[0], &host.id));
    *strrchr(text, '/') = 0; /* without /28 */
    *strrchr(text, '/') = 0; /* and /cidr */
    member_start(&fixed, ww_sim_node_env(nodes[2]), 3, text,
        "/ip4/10.9.9.9/tcp/1/p2p/12D3KooWEca3sXDHjDzvbS7oc47KEuTCMHmktwpFFgyFU343WFgJ");
    ww_boot_search(fixed.boot, true);
    ww_sim_run_for(sim, 10 * WW_NS_PER_S);
    assert_int_equal(fixed.found_count, 2); /* the static peer, dead or not, and the other beside it */
    member_stop(&crawler);
    member_stop(&host);
    member_stop(&fixed);
    ww_sim_free(sim);
}

static void test_driver_refusals(void **state)
{
    struct ww_sim *sim = sim_new(4, 0);
    struct ww_sim_node *node = NULL;
    struct ww_keypair pair = key_of(1);
    struct ww_boot *boot = NULL;
    struct ww_diag diag = {0};
    struct ww_bytes d = maddr("/ip4/10.0.0.1/tcp/1");
    struct ww_boot_conf conf = {
        .signer = &pair, .ns = WW_BYTES_LIT("ww"), .discover = &d, .discover_count = 1};
    assert_ok(ww_sim_node_add(sim, "", 0, &node));
    assert_int_equal(ww_boot_new(ww_sim_node_env(node), &conf, &boot, &diag), WW_EUNSUPPORTED);
    assert_non_null(strstr(diag.text, "/ip4/10.0.0.1/tcp/1: unknown boot protocol"));
    d = maddr("/ip4/228.8.8.8/udp/8822/multicast/nope");
    assert_int_equal(ww_boot_new(ww_sim_node_env(node), &conf, &boot, &diag), WW_EADDRNOTAVAIL);
    conf.discover_count = 0;
    conf.peers = &d;
    conf.peer_count = 1;
    assert_int_equal(ww_boot_new(ww_sim_node_env(node), &conf, &boot, &diag), WW_EINVAL);
    assert_null(boot);
    ww_keypair_fini(&pair);
    ww_sim_free(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recorded_packets),
        cmocka_unit_test(test_sealing),
        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_crawl),
        cmocka_unit_test(test_survey_and_answer),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_flood_of_questions),
        cmocka_unit_test(test_multicast_on_lossy_network),
        cmocka_unit_test(test_one_machine),
        cmocka_unit_test(test_subnet_host_and_static),
        cmocka_unit_test(test_driver_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
