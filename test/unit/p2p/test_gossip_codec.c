/* The wire format: recordings of a Go node and of a js node, taken apart, checked and built again. */
#include "crypto/keys.h"
#include "p2p/gossipsub_codec.h"
#include "test/lib/vectors.h"

#define GO_NODE "test/vectors/go-node/"
#define MESSAGES 10
#define RPCS 12

static struct ww_bytes hex_file(const char *kind, unsigned number)
{
    static uint8_t ring[4][4096];
    static unsigned at;
    char path[64];
    snprintf(path, sizeof path, GO_NODE "gossip-%s-%02u.hex", kind, number);
    char *text = vector_file(path);
    size_t digits = strspn(text, "0123456789abcdef");
    uint8_t *out = ring[at++ % 4];
    assert_true(digits / 2 <= sizeof ring[0]);
    assert_ok(ww_hex_decode(ww_bytes(text, digits), out, digits / 2));
    free(text);
    return ww_bytes(out, digits / 2);
}

/* Message bytes inside a frame that holds one message. */
static struct ww_bytes frame_message(const struct ww_slab *frame)
{
    uint64_t len = 0;
    struct ww_protobuf_field f;
    struct ww_bytes rest = ww_slab_view(frame);
    ww_err n = ww_protobuf_varint_decode(rest, &len);
    assert_true(n > 0);
    rest = ww_bytes_skip(rest, (size_t)n);
    assert_int_equal(rest.len, len);
    assert_int_equal(ww_protobuf_next(&rest, &f), 1);
    assert_int_equal(f.number, 2);
    assert_int_equal(rest.len, 0);
    return f.bytes;
}

static void check_signature(const struct ww_gossip_fields *f)
{
    struct ww_buf out;
    struct ww_pubkey key;
    ww_buf_init(&out, 1 << 16);
    assert_ok(ww_gossip_msg_signed_bytes(f, &out));
    assert_int_equal(f->from.len, 38); /* identity multihash of an Ed25519 key */
    assert_ok(ww_pubkey_decode(ww_bytes_skip(f->from, 2), &key));
    assert_ok(ww_pubkey_verify(&key, ww_buf_view(&out), f->signature));
    ww_buf_data(&out)[ww_buf_len(&out) - 1] ^= 1;
    assert_int_equal(ww_pubkey_verify(&key, ww_buf_view(&out), f->signature), WW_ECRYPTO);
    ww_buf_fini(&out);
}

static void check_message(struct ww_bytes bytes)
{
    struct ww_gossip_fields f, g;
    bool canonical = false;
    assert_ok(ww_gossip_msg_decode(bytes, &f, &canonical));
    assert_true(canonical);
    assert_int_equal(f.seqno.len, 8);
    assert_bytes(f.topic, "ww", 2);
    assert_null(f.key.ptr);
    assert_int_equal(ww_gossip_msg_size(&f), bytes.len);
    check_signature(&f);
    g = f;
    struct ww_slab *encoded = ww_gossip_frame_encode(&f), *wrapped = ww_gossip_frame_wrap(bytes, &g);
    assert_bytes(frame_message(encoded), bytes.ptr, bytes.len);
    assert_bytes(ww_slab_view(wrapped), encoded->data, encoded->len);
    /* The views moved into the frames. */
    assert_true(f.data.ptr > encoded->data && f.data.ptr < encoded->data + encoded->len);
    assert_true(g.data.ptr > wrapped->data && g.data.ptr < wrapped->data + wrapped->len);
    assert_true(ww_bytes_eq(f.data, g.data) && ww_bytes_eq(f.signature, g.signature));
    ww_slab_unref(encoded);
    ww_slab_unref(wrapped);
}

static void messages_of_a_go_node(void **state)
{
    WW_UNUSED(state);
    for (unsigned i = 0; i < MESSAGES; i++)
        check_message(hex_file("msg", i));
}

static void rpcs_of_a_go_node(void **state)
{
    WW_UNUSED(state);
    size_t kinds[WW_GOSSIP_ITEM_PRUNE + 1] = {0};
    for (unsigned i = 0; i < RPCS; i++) {
        struct ww_bytes rpc = hex_file("rpc", i);
        struct ww_gossip_cursor c = {.rpc = rpc};
        struct ww_gossip_item item;
        struct ww_buf subs, control;
        struct ww_slab *again = NULL;
        ww_buf_init(&subs, 1 << 16);
        ww_buf_init(&control, 1 << 16);
        assert_int_equal(ww_gossip_rpc_next(&c, &item), 1);
        kinds[item.kind]++;
        if (item.kind == WW_GOSSIP_ITEM_PUBLISH) {
            struct ww_gossip_fields f;
            bool canonical;
            check_message(item.body);
            assert_ok(ww_gossip_msg_decode(item.body, &f, &canonical));
            again = ww_gossip_frame_wrap(item.body, &f);
        } else {
            assert_bytes(item.topic, "ww", 2);
            if (item.kind == WW_GOSSIP_ITEM_SUBSCRIBE)
                assert_ok(ww_gossip_put_subscription(&subs, item.topic, true));
            else
                assert_ok(ww_gossip_put_graft(&control, item.topic));
            again = ww_gossip_frame_control(ww_buf_view(&subs), ww_buf_view(&control));
        }
        assert_int_equal(ww_gossip_rpc_next(&c, &item), 0);
        /* The same bytes behind the length. */
        assert_int_equal(again->len, ww_varint_size(rpc.len) + rpc.len);
        assert_memory_equal(again->data + ww_varint_size(rpc.len), rpc.ptr, rpc.len);
        ww_slab_unref(again);
        ww_buf_fini(&subs);
        ww_buf_fini(&control);
    }
    assert_int_equal(kinds[WW_GOSSIP_ITEM_SUBSCRIBE], 1);
    assert_int_equal(kinds[WW_GOSSIP_ITEM_GRAFT], 1);
    assert_int_equal(kinds[WW_GOSSIP_ITEM_PUBLISH], RPCS - 2);
}

/* Signed by a js node with the key of the zero seed. */
static void message_of_a_js_node(void **state)
{
    WW_UNUSED(state);
    struct ww_bytes m =
        hex("0a260024080112203b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29120568656c6c6f"
            "1a080000000000000001220474657374"
            "2a40467a6e62b1f6ecd9475087fd0345e584117e8e0d4e3950233aeeb18f68c086f05d3b9a912072167b18a11e799e2f"
            "81973c23212b69fcbdabfe18cac1d91cdc02");
    struct ww_gossip_fields f;
    bool canonical;
    assert_ok(ww_gossip_msg_decode(m, &f, &canonical));
    assert_true(canonical);
    assert_bytes(f.data, "hello", 5);
    assert_bytes(f.topic, "test", 4);
    check_signature(&f);
    /* And signing it ourselves gives the same: Ed25519 is deterministic. */
    static const uint8_t seed[WW_ED25519_SEED_BYTES];
    struct ww_keypair pair;
    struct ww_signature sig;
    struct ww_buf out;
    ww_buf_init(&out, 1 << 16);
    ww_keypair_from_seed(&pair, seed);
    assert_ok(ww_gossip_msg_signed_bytes(&f, &out));
    assert_ok(ww_keypair_sign(&pair, ww_buf_view(&out), &sig));
    assert_bytes(ww_signature_view(&sig), f.signature.ptr, f.signature.len);
    ww_keypair_fini(&pair);
    ww_buf_fini(&out);
}

static void other_encodings_are_not_canonical(void **state)
{
    WW_UNUSED(state);
    static const char *const odd[] = {
        "220474657374120568656c6c6f",         /* topic before data */
        "120568656c6c6f120568656c6c6f22017a", /* data twice */
        "12850068656c6c6f22017a",             /* a padded length */
        "120568656c6c6f22017a3a0178",         /* an unknown field */
        "9200056868656c6c22017a",             /* a padded tag */
    };
    struct ww_gossip_fields f;
    bool canonical;
    for (size_t i = 0; i < WW_COUNT_OF(odd); i++) {
        assert_ok(ww_gossip_msg_decode(hex(odd[i]), &f, &canonical));
        assert_false(canonical);
    }
    assert_ok(ww_gossip_msg_decode(hex("120568656c6c6f22017a"), &f, &canonical));
    assert_true(canonical);
    /* Presence of an empty field survives. */
    assert_ok(ww_gossip_msg_decode(hex("120022017a"), &f, &canonical));
    assert_true(canonical && f.data.ptr && f.data.len == 0 && !f.from.ptr);
}

static ww_err walk(struct ww_bytes rpc, size_t *ret_items)
{
    struct ww_gossip_cursor c = {.rpc = rpc};
    struct ww_gossip_item item;
    ww_err got;
    *ret_items = 0;
    while ((got = ww_gossip_rpc_next(&c, &item)) > 0)
        ++*ret_items;
    return got;
}

static void malformed_rpcs_are_refused(void **state)
{
    WW_UNUSED(state);
    static const char *const bad[] = {
        "0a",                               /* no length */
        "0a0508011202",                     /* ends early */
        "0801",                             /* subscriptions as a number */
        "1001",                             /* publish as a number */
        "1801",                             /* control as a number */
        "0a030a0101",                       /* subscribe as bytes */
        "0a0408011001",                     /* topic as a number */
        "12020801",                         /* author as a number */
        "1a020a05",                         /* control entry ends early */
        "1a041a020801",                     /* topic of a GRAFT as a number */
        "1a040a021001",                     /* id of an IHAVE as a number */
        "1a0412020801",                     /* id of an IWANT as a number */
        "1a0522031a0100",                   /* back-off as bytes */
        "1a06220412020a05",                 /* peer of a PRUNE ends early */
        "1a06220412020801",                 /* its id as a number */
        "0b",                               /* a group */
        "1a0a221818ffffffffffffffffffff01", /* a number of more than 64 bits, in an entry that ends early */
    };
    size_t items;
    for (size_t i = 0; i < WW_COUNT_OF(bad); i++) {
        ww_err err = walk(hex(bad[i]), &items);
        if (err != WW_EPROTO && err != WW_ETRUNC)
            fail_msg("%s: %d", bad[i], err);
    }
    /* Unknown fields and control messages are no fault. */
    assert_int_equal(walk(hex("0a06080112027777"
                              "52021234"     /* field 10 */
                              "1a042a020a00" /* IDONTWANT */
                              "1a061a040a027777"),
                         &items),
        0);
    assert_int_equal(items, 2);
    assert_int_equal(walk((struct ww_bytes){0}, &items), 0);
    assert_int_equal(items, 0);
}

static void control_round_trip(void **state)
{
    WW_UNUSED(state);
    struct ww_buf subs, control;
    struct ww_bytes ids[] = {WW_BYTES_LIT("one"), WW_BYTES_LIT("\0\xff\x80"), WW_BYTES_LIT("three")}, view,
                    record;
    struct ww_gossip_px px[] = {
        {WW_BYTES_LIT("peer-a"), WW_BYTES_LIT("record")}, {WW_BYTES_LIT("peer-b"), {0}}};
    ww_buf_init(&subs, 1 << 16);
    ww_buf_init(&control, 1 << 16);
    assert_ok(ww_gossip_put_subscription(&subs, WW_BYTES_LIT("t"), false));
    assert_ok(ww_gossip_put_ihave(&control, WW_BYTES_LIT("t"), ids, 3));
    assert_ok(ww_gossip_put_iwant(&control, ids, 2));
    assert_ok(ww_gossip_put_prune(&control, WW_BYTES_LIT("t"), 300, px, 2));
    struct ww_slab *frame = ww_gossip_frame_control(ww_buf_view(&subs), ww_buf_view(&control));
    struct ww_gossip_cursor c = {.rpc = ww_bytes_skip(ww_slab_view(frame), 1)};
    struct ww_gossip_item item;

    assert_int_equal(ww_gossip_rpc_next(&c, &item), 1);
    assert_int_equal(item.kind, WW_GOSSIP_ITEM_UNSUBSCRIBE);
    /* `false` is written, not left out. */
    assert_bytes(ww_buf_view(&subs), "\x0a\x05\x08\x00\x12\x01t", 7);
    assert_int_equal(ww_gossip_rpc_next(&c, &item), 1);
    assert_int_equal(item.kind, WW_GOSSIP_ITEM_IHAVE);
    for (size_t i = 0; i < 3; i++) {
        assert_true(ww_gossip_ids_next(item.kind, &item.body, &view));
        assert_true(ww_bytes_eq(view, ids[i]));
    }
    assert_false(ww_gossip_ids_next(item.kind, &item.body, &view));
    assert_int_equal(ww_gossip_rpc_next(&c, &item), 1);
    assert_int_equal(item.kind, WW_GOSSIP_ITEM_IWANT);
    assert_true(ww_gossip_ids_next(item.kind, &item.body, &view));
    assert_true(ww_bytes_eq(view, ids[0]));
    assert_int_equal(ww_gossip_rpc_next(&c, &item), 1);
    assert_int_equal(item.kind, WW_GOSSIP_ITEM_PRUNE);
    assert_int_equal(item.backoff_s, 300);
    for (size_t i = 0; i < 2; i++) {
        assert_true(ww_gossip_px_next(&item.body, &view, &record));
        assert_true(ww_bytes_eq(view, px[i].peer) && ww_bytes_eq(record, px[i].record));
    }
    assert_false(ww_gossip_px_next(&item.body, &view, &record));
    assert_int_equal(ww_gossip_rpc_next(&c, &item), 0);
    ww_slab_unref(frame);
    ww_buf_fini(&subs);
    ww_buf_fini(&control);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_of_a_go_node),
        cmocka_unit_test(rpcs_of_a_go_node),
        cmocka_unit_test(message_of_a_js_node),
        cmocka_unit_test(other_encodings_are_not_canonical),
        cmocka_unit_test(malformed_rpcs_are_refused),
        cmocka_unit_test(control_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
