/* One router against hand-made input: what it says, what it refuses, what it remembers. */
#include "gossip_fake.h"
#include "test/lib/alloc_fail.h"
#include "test/lib/test.h"

#define S WW_NS_PER_S
#define PEERS 24
#define T WW_BYTES_LIT("ww")

struct fixture {
    struct ww_gossip *g;
    struct fake_auth auth;
    struct ww_gossip_peer peers[PEERS];
    uint64_t now;
    enum ww_gossip_verdict verdict;
    size_t validated, delivered, closed, connects;
    struct ww_buf last_data;
};

static struct ww_bytes peer_id(size_t i)
{
    static char ids[PEERS + 8][8];
    snprintf(ids[i], sizeof ids[i], "peer-%02zu", i);
    return ww_bytes(ids[i], 7);
}

static void conf_test(struct ww_gossip_conf *conf)
{
    ww_gossip_conf_default(conf);
    conf->self = WW_BYTES_LIT("self");
    conf->prng_seed = 7;
    conf->hash_seed[0] = 1;
    conf->seqno_start = 1000;
}

static struct fixture *setup_conf(struct ww_gossip_conf *conf)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->now = 1000 * S;
    fake_auth_init(&f->auth, WW_BYTES_LIT("self"));
    ww_buf_init(&f->last_data, 1 << 21);
    conf->auth = &f->auth.auth;
    assert_ok(ww_gossip_new(conf, f->now, &f->g));
    return f;
}

static struct fixture *setup_plain(void)
{
    struct ww_gossip_conf conf;
    conf_test(&conf);
    return setup_conf(&conf);
}

static void drain(struct fixture *f)
{
    struct ww_gossip_event ev;
    while (ww_gossip_next_event(f->g, &ev)) {
        switch (ev.kind) {
        case WW_GOSSIP_EV_VALIDATE:
            f->validated++;
            ww_gossip_validated(f->g, ev.msg, f->verdict, f->now);
            break;
        case WW_GOSSIP_EV_DELIVER:
            f->delivered++;
            ww_buf_clear(&f->last_data);
            assert_ok(ww_buf_append(&f->last_data, ev.msg->f.data));
            ww_gossip_msg_unref(ev.msg);
            break;
        case WW_GOSSIP_EV_CLOSE:
            f->closed++;
            break;
        case WW_GOSSIP_EV_CONNECT:
            f->connects++;
            break;
        case WW_GOSSIP_EV_SEND:
            break;
        }
    }
    assert_int_equal(ww_gossip_check(f->g, f->now), 0);
}

static void up_as(struct fixture *f, size_t i, unsigned features, bool outbound)
{
    assert_ok(ww_gossip_peer_up(f->g, &f->peers[i], peer_id(i), features, outbound));
    drain(f);
}

static void up(struct fixture *f, size_t i)
{
    up_as(f, i, WW_GOSSIP_MESH | WW_GOSSIP_PX, false);
}

static void down(struct fixture *f, size_t i)
{
    ww_gossip_peer_down(f->g, &f->peers[i]);
    drain(f);
}

static void teardown(struct fixture *f)
{
    for (size_t i = 0; i < PEERS; i++) {
        if (f->peers[i].up)
            down(f, i);
    }
    ww_gossip_free(f->g);
    ww_buf_fini(&f->last_data);
    free(f);
}

static void in(struct fixture *f, size_t i, struct ww_bytes rpc)
{
    assert_ok(ww_gossip_rpc_in(f->g, &f->peers[i], rpc, f->now));
    drain(f);
}

static void in_message(struct fixture *f, size_t i, struct ww_bytes from, uint64_t seq, const char *data)
{
    struct ww_slab *rpc = fake_message(from, seq, T, ww_bytes_str(data));
    in(f, i, ww_slab_view(rpc));
    ww_slab_unref(rpc);
}

static void in_control(struct fixture *f, size_t i, struct ww_buf *entries)
{
    struct ww_slab *frame = ww_gossip_frame_control((struct ww_bytes){0}, ww_buf_view(entries));
    uint64_t len;
    ww_err n = ww_protobuf_varint_decode(ww_slab_view(frame), &len);
    assert_true(n > 0);
    in(f, i, ww_bytes_skip(ww_slab_view(frame), (size_t)n));
    ww_slab_unref(frame);
    ww_buf_fini(entries);
}

static void in_subscribe(struct fixture *f, size_t i, struct ww_bytes topic, bool on)
{
    struct ww_buf b;
    ww_buf_init(&b, 4096);
    assert_ok(ww_gossip_put_subscription(&b, topic, on));
    in(f, i, ww_buf_view(&b));
    ww_buf_fini(&b);
}

static void in_graft(struct fixture *f, size_t i)
{
    struct ww_buf b;
    ww_buf_init(&b, 4096);
    assert_ok(ww_gossip_put_graft(&b, T));
    in_control(f, i, &b);
}

static void in_prune(
    struct fixture *f, size_t i, uint64_t backoff_s, const struct ww_gossip_px *px, size_t count)
{
    struct ww_buf b;
    ww_buf_init(&b, 1 << 20);
    assert_ok(ww_gossip_put_prune(&b, T, backoff_s, px, count));
    in_control(f, i, &b);
}

static void beat(struct fixture *f)
{
    f->now = ww_gossip_deadline(f->g);
    ww_gossip_tick(f->g, f->now);
    drain(f);
}

/* Everything that waits for a peer, counted by kind; the last seen bodies. */
struct heard {
    size_t frames, subscribe, unsubscribe, publish, ihave_ids, iwant_ids, graft, prune, px;
    uint64_t backoff_s;
    struct ww_bytes first_iwant;
    uint8_t mem[WW_GOSSIP_MSG_ID_MAX];
    size_t first_publish_at; /* position of the first message among the frames */
};

static void hear_item(struct heard *h, struct ww_gossip_item *item)
{
    struct ww_bytes view, record;
    switch (item->kind) {
    case WW_GOSSIP_ITEM_SUBSCRIBE:
        h->subscribe++;
        break;
    case WW_GOSSIP_ITEM_UNSUBSCRIBE:
        h->unsubscribe++;
        break;
    case WW_GOSSIP_ITEM_PUBLISH:
        if (h->publish++ == 0)
            h->first_publish_at = h->frames;
        break;
    case WW_GOSSIP_ITEM_IHAVE:
        while (ww_gossip_ids_next(item->kind, &item->body, &view))
            h->ihave_ids++;
        break;
    case WW_GOSSIP_ITEM_IWANT:
        while (ww_gossip_ids_next(item->kind, &item->body, &view))
            h->iwant_ids++;
        break;
    case WW_GOSSIP_ITEM_GRAFT:
        h->graft++;
        break;
    case WW_GOSSIP_ITEM_PRUNE:
        h->prune++;
        h->backoff_s = item->backoff_s;
        while (ww_gossip_px_next(&item->body, &view, &record))
            h->px++;
        break;
    }
}

static struct heard hear(struct fixture *f, size_t i)
{
    struct heard h = {0};
    struct ww_slab *frame;
    while ((frame = ww_gossip_peer_pull(f->g, &f->peers[i]))) {
        uint64_t len;
        ww_err n = ww_protobuf_varint_decode(ww_slab_view(frame), &len);
        struct ww_gossip_cursor c = {.rpc = ww_bytes_skip(ww_slab_view(frame), (size_t)n)};
        struct ww_gossip_item item;
        assert_int_equal(len, c.rpc.len);
        h.frames++;
        while (ww_gossip_rpc_next(&c, &item) > 0)
            hear_item(&h, &item);
        ww_slab_unref(frame);
    }
    return h;
}

static struct ww_gossip_stats stats(const struct fixture *f)
{
    struct ww_gossip_stats s;
    ww_gossip_stats(f->g, &s);
    return s;
}

static ww_err publish(struct fixture *f, const char *data)
{
    struct ww_gossip_msg *m;
    WW_TRY(ww_gossip_publish(f->g, T, ww_bytes_str(data), f->now, &m));
    ww_gossip_validated(f->g, m, f->verdict, f->now);
    drain(f);
    return 0;
}

/* Peers 0..n-1, subscribed and grafted. */
static void mesh_of(struct fixture *f, size_t n)
{
    assert_ok(ww_gossip_join(f->g, T, true, f->now));
    for (size_t i = 0; i < n; i++) {
        up(f, i);
        in_subscribe(f, i, T, true);
        in_graft(f, i);
        hear(f, i);
    }
}

/* ---- */

static void hello_comes_first_and_always(void **state)
{
    WW_UNUSED(state);
    struct fixture *f = setup_plain();
    up(f, 0);
    struct ww_slab *frame = ww_gossip_peer_pull(f->g, &f->peers[0]);
    assert_bytes(ww_slab_view(frame), "\0", 1); /* nothing to tell, and told */
    ww_slab_unref(frame);
    assert_null(ww_gossip_peer_pull(f->g, &f->peers[0]));

    assert_ok(ww_gossip_join(f->g, T, false, f->now));
    assert_int_equal(hear(f, 0).subscribe, 1);
    up(f, 1);
    in_subscribe(f, 1, T, true);
    /* As a Go node says it: hello, then GRAFT. */
    frame = ww_gossip_peer_pull(f->g, &f->peers[1]);
    assert_bytes(ww_slab_view(frame), "\x08\x0a\x06\x08\x01\x12\x02ww", 9);
    ww_slab_unref(frame);
    frame = ww_gossip_peer_pull(f->g, &f->peers[1]);
    assert_bytes(ww_slab_view(frame), "\x08\x1a\x06\x1a\x04\x0a\x02ww", 9);
    ww_slab_unref(frame);

    /* A new stream begins with everything again, and what waited is still sent. */
    assert_ok(publish(f, "waiting"));
    ww_gossip_peer_restart(f->g, &f->peers[1]);
    struct heard h = hear(f, 1);
    assert_int_equal(h.subscribe, 1);
    assert_int_equal(h.graft, 1);
    assert_int_equal(h.publish, 1);
    assert_int_equal(h.first_publish_at, 3);
    ww_gossip_leave(f->g, T, f->now);
    h = hear(f, 1);
    assert_int_equal(h.unsubscribe, 1);
    assert_int_equal(h.prune, 1);
    assert_int_equal(h.backoff_s, 10);
    teardown(f);
}

static void peers_are_unique_and_not_us(void **state)
{
    WW_UNUSED(state);
    struct fixture *f = setup_plain();
    uint8_t long_id[WW_GOSSIP_PEER_ID_MAX + 1] = {0};
    up(f, 0);
    struct ww_gossip_peer *p = &f->peers[1];
    assert_int_equal(ww_gossip_peer_up(f->g, p, peer_id(0), WW_GOSSIP_MESH, true), WW_EEXIST);
    assert_int_equal(ww_gossip_peer_up(f->g, p, WW_BYTES_LIT("self"), WW_GOSSIP_MESH, true), WW_EINVAL);
    assert_int_equal(ww_gossip_peer_up(f->g, p, ww_bytes(long_id, sizeof long_id), 0, true), WW_EINVAL);
    assert_int_equal(ww_gossip_peer_up(f->g, p, (struct ww_bytes){0}, 0, true), WW_EINVAL);
    assert_ptr_equal(ww_gossip_peer_find(f->g, peer_id(0)), &f->peers[0]);
    teardown(f);
}

static void a_message_is_verified_delivered_and_forwarded_once(void **state)
{
    WW_UNUSED(state);
    struct fixture *f = setup_plain();
    mesh_of(f, 3);
    struct ww_slab *rpc = fake_message(WW_BYTES_LIT("author"), 1, T, WW_BYTES_LIT("hello"));
    for (size_t i = 0; i < 3; i++) {
        in(f, i, ww_slab_view(rpc));
        in(f, i, ww_slab_view(rpc));
    }
    assert_int_equal(f->auth.verified, 1);
    assert_int_equal(f->validated, 1);
    assert_int_equal(f->delivered, 1);
    assert_bytes(ww_buf_view(&f->last_data), "hello", 5);
    assert_int_equal(stats(f).duplicates, 5);
    /* Not back to the sender; to the others with the author's bytes unchanged. */
    assert_null(ww_gossip_peer_pull(f->g, &f->peers[0]));
    struct ww_slab *a = ww_gossip_peer_pull(f->g, &f->peers[1]), *b = ww_gossip_peer_pull(f->g, &f->peers[2]);
    assert_ptr_equal(a, b);
    assert_bytes(ww_bytes_skip(ww_slab_view(a), 1), rpc->data, rpc->len);
    ww_slab_unref(a);
    ww_slab_unref(b);
    ww_slab_unref(rpc);
    /* Nor to its author. */
    in_message(f, 0, peer_id(1), 5, "by peer 1");
    assert_null(ww_gossip_peer_pull(f->g, &f->peers[1]));
    assert_int_equal(hear(f, 2).publish, 1);
    teardown(f);
}

static void what_is_not_forwarded(void **state)
{
    WW_UNUSED(state);
    struct fixture *f = setup_plain();
    mesh_of(f, 2);
    /* A topic that we are not in. */
    struct ww_slab *rpc = fake_message(WW_BYTES_LIT("author"), 1, WW_BYTES_LIT("other"), WW_BYTES_LIT("x"));
    in(f, 0, ww_slab_view(rpc));
    ww_slab_unref(rpc);
    assert_int_equal(stats(f).not_joined, 1);
    /* Our own, coming back, or forged. */
    in_message(f, 0, WW_BYTES_LIT("self"), 1, "x");
    assert_int_equal(stats(f).ignored, 1);
    /* A changed byte. */
    rpc = fake_message(WW_BYTES_LIT("author"), 2, T, WW_BYTES_LIT("abc"));
    uint8_t *at = memmem(rpc->data, rpc->len, "abc", 3);
    *at = 'z';
    in(f, 0, ww_slab_view(rpc));
    assert_int_equal(stats(f).invalid, 1);
    /* The forgery did not use up the id of the true message. */
    *at = 'a';
    in(f, 1, ww_slab_view(rpc));
    ww_slab_unref(rpc);
    assert_int_equal(f->delivered, 1);
    assert_int_equal(hear(f, 0).publish, 1);
    /* Judged and dropped. */
    f->verdict = WW_GOSSIP_IGNORE;
    in_message(f, 0, WW_BYTES_LIT("author"), 3, "x");
    f->verdict = WW_GOSSIP_REJECT;
    in_message(f, 0, WW_BYTES_LIT("author"), 4, "x");
    assert_int_equal(f->validated, 3);
    assert_int_equal(f->delivered, 1);
    assert_int_equal(hear(f, 1).publish, 0);
    assert_int_equal(stats(f).rejected, 1);
    /* A judged message is not judged again. */
    in_message(f, 1, WW_BYTES_LIT("author"), 4, "x");
    assert_int_equal(f->validated, 3);
    teardown(f);
}

static void unsigned_messages_are_invalid(void **state)
{
    WW_UNUSED(state);
    struct fixture *f = setup_plain();
    mesh_of(f, 1);
    in(f, 0,
        hex("1207"
            "120161"
            "22027777"));
    assert_int_equal(stats(f).invalid, 1);
    assert_int_equal(f->auth.verified, 0);
    assert_int_equal(f->validated, 0);
    teardown(f);
}

static void sequence_numbers_are_eight_bytes(void **state)
{
    WW_UNUSED(state);
    struct fixture *f = setup_plain();
    mesh_of(f, 1);
    in(f, 0,
        hex("12150a06617574686f721201781a010122027777"
            "2a0101"));
    assert_int_equal(stats(f).ignored, 1);
    assert_int_equal(f->auth.verified, 0);
    assert_int_equal(f->peers[0].invalid_milli, 0); /* an honest router may forward such a thing */
    teardown(f);
}

static void own_messages(void **state)
{
    WW_UNUSED(state);
    struct fixture *f = setup_plain();
    mesh_of(f, 2);
    assert_ok(publish(f, "one"));
    assert_int_equal(f->delivered, 1);
    struct ww_slab *frame = ww_gossip_peer_pull(f->g, &f->peers[0]);
    /* The sequence number begins after the configured start. */
    assert_non_null(memmem(frame->data, frame->len, "\x1a\x08\0\0\0\0\0\0\x03\xe9", 10));
    /* It comes back: dropped without a check. */
    in(f, 1, ww_bytes_skip(ww_slab_view(frame), 1));
    ww_slab_unref(frame);
    assert_int_equal(f->delivered, 1);
    assert_int_equal(f->auth.verified, 0);
    f->verdict = WW_GOSSIP_REJECT;
    assert_ok(publish(f, "two"));
    assert_int_equal(hear(f, 0).publish, 0);
    assert_int_equal(hear(f, 1).publish, 1); /* "one" */
    struct ww_gossip_msg *m;
    uint8_t *big = calloc(1, 1 << 20);
    assert_int_equal(ww_gossip_publish(f->g, T, ww_bytes(big, 1 << 20), f->now, &m), WW_ELIMIT);
    assert_int_equal(ww_gossip_publish(f->g, (struct ww_bytes){0}, T, f->now, &m), WW_EINVAL);
    assert_int_equal(
        ww_gossip_publish(f->g, ww_bytes(big, WW_GOSSIP_TOPIC_MAX + 1), T, f->now, &m), WW_EINVAL);
    free(big);
    teardown(f);
}

static void a_stranger_to_a_topic_publishes_by_fanout(void **state)
{
    WW_UNUSED(state);
    struct fixture *f = setup_plain();
    for (size_t i = 0; i < 10; i++) {
        up(f, i);
        in_subscribe(f, i, T, true);
        hear(f, i);
    }
    assert_ok(publish(f, "one"));
    assert_ok(publish(f, "two"));
    size_t reached = 0;
    for (size_t i = 0; i < 10; i++) {
        struct heard h = hear(f, i);
        assert_true(h.publish == 0 || h.publish == 2); /* the same peers both times */
        assert_int_equal(h.subscribe, 0);
        reached += h.publish > 0;
    }
    assert_int_equal(reached, 6);
    assert_int_equal(f->delivered, 0);
    /* Joining makes those peers the mesh. */
    assert_ok(ww_gossip_join(f->g, T, true, f->now));
    assert_int_equal(ww_gossip_mesh_peers(f->g, T), 6);
    for (size_t i = 0; i < 10; i++)
        hear(f, i);
    /* Without publishing a fanout ends. */
    ww_gossip_leave(f->g, T, f->now);
    assert_ok(publish(f, "three"));
    for (unsigned i = 0; i < 62; i++)
        beat(f);
    assert_int_equal(f->g ? ww_gossip_mesh_peers(f->g, T) : 0, 0);
    teardown(f);
}

static void floodsub_peers_get_everything(void **state)
{
    WW_UNUSED(state);
    struct fixture *f = setup_plain();
    mesh_of(f, 1);
    up_as(f, 1, 0, true);
    in_subscribe(f, 1, T, true);
    in_graft(f, 1);
    struct heard h = hear(f, 1);
    assert_int_equal(h.graft + h.prune, 0);
    in_message(f, 0, WW_BYTES_LIT("author"), 1, "x");
    assert_int_equal(hear(f, 1).publish, 1);
    assert_int_equal(ww_gossip_mesh_peers(f->g, T), 1);
    teardown(f);
}

static void a_full_mesh_prunes_with_peer_exchange(void **state)
{
    WW_UNUSED(state);
    struct fixture *f = setup_plain();
    struct ww_slab *record = ww_slab_copy(WW_BYTES_LIT("signed record"));
    mesh_of(f, 12);
    ww_gossip_peer_record_set(f->g, &f->peers[3], record);
    ww_slab_unref(record);
    assert_int_equal(ww_gossip_mesh_peers(f->g, T), 12);
    up(f, 12);
    in_subscribe(f, 12, T, true);
    in_graft(f, 12);
    struct heard h = hear(f, 12);
    assert_int_equal(h.prune, 1);
    assert_int_equal(h.backoff_s, 60);
    assert_int_equal(h.px, 12);
    /* One that we dialled is taken all the same, and the heartbeat cuts to D. */
    up_as(f, 13, WW_GOSSIP_MESH | WW_GOSSIP_PX, true);
    in_subscribe(f, 13, T, true);
    in_graft(f, 13);
    assert_int_equal(ww_gossip_mesh_peers(f->g, T), 13);
    beat(f);
    assert_int_equal(ww_gossip_mesh_peers(f->g, T), 6);
    assert_true(ww_gossip_in_mesh(f->g, T, &f->peers[13])); /* the only outbound one */
    size_t pruned = 0;
    for (size_t i = 0; i < 12; i++)
        pruned += hear(f, i).prune;
    assert_int_equal(pruned, 7);
    /* Old peers (v1.0) get a bare PRUNE. */
    for (size_t i = 14; i < 21; i++) {
        up_as(f, i, WW_GOSSIP_MESH, false);
        in_subscribe(f, i, T, true);
        in_graft(f, i);
        h = hear(f, i);
        if (h.prune) {
            assert_int_equal(h.backoff_s, 0);
            assert_int_equal(h.px, 0);
        }
    }
    assert_int_equal(ww_gossip_mesh_peers(f->g, T), 12);
    teardown(f);
}

static void back_off_is_honoured_and_demanded(void **state)
{
    WW_UNUSED(state);
    struct fixture *f = setup_plain();
    mesh_of(f, 1);
    in_prune(f, 0, 60, NULL, 0);
    assert_int_equal(ww_gossip_mesh_peers(f->g, T), 0);
    for (unsigned i = 0; i < 61; i++) {
        beat(f);
        assert_int_equal(ww_gossip_mesh_peers(f->g, T), 0);
    }
    /* Slack over, we ask again. */
    beat(f);
    beat(f);
    assert_int_equal(ww_gossip_mesh_peers(f->g, T), 1);
    assert_int_equal(hear(f, 0).graft, 1);

    /* The other side must wait as well: we left, and it grafts at once after our return. */
    ww_gossip_leave(f->g, T, f->now);
    assert_ok(ww_gossip_join(f->g, T, true, f->now));
    hear(f, 0);
    in_graft(f, 0);
    struct heard h = hear(f, 0);
    assert_int_equal(h.prune, 1);
    assert_int_equal(h.px, 0);
    assert_int_equal(stats(f).backoff_violations, 1);
    assert_int_equal(f->peers[0].penalty_milli, 2000); /* soon after: twice */
    f->now += 30 * S;
    in_graft(f, 0);
    assert_int_equal(f->peers[0].penalty_milli, 3000);
    /* Coming back under the same id does not help. */
    down(f, 0);
    up(f, 0);
    in_subscribe(f, 0, T, true);
    assert_int_equal(f->peers[0].penalty_milli, 3000);
    in_graft(f, 0);
    assert_int_equal(ww_gossip_mesh_peers(f->g, T), 0);
    teardown(f);
}

static void a_back_off_from_outside_is_capped(void **state)
{
    WW_UNUSED(state);
    struct fixture *f = setup_plain();
    mesh_of(f, 1);
    in_prune(f, 0, UINT64_MAX, NULL, 0);
    f->now += 3599 * S;
    ww_gossip_tick(f->g, f->now);
    assert_int_equal(ww_gossip_mesh_peers(f->g, T), 0);
    f->now += 10 * S;
    ww_gossip_tick(f->g, f->now);
    drain(f);
    assert_int_equal(ww_gossip_mesh_peers(f->g, T), 1);
    teardown(f);
}

static void peer_exchange_connects_within_bounds(void **state)
{
    WW_UNUSED(state);
    struct fixture *f = setup_plain();
    struct ww_gossip_px px[40];
    static char names[40][8];
    mesh_of(f, 3);
    for (size_t i = 0; i < 40; i++) {
        snprintf(names[i], sizeof names[i], "px-%03zu", i);
        px[i] = (struct ww_gossip_px){ww_bytes_str(names[i]), WW_BYTES_LIT("rec")};
    }
    px[0].peer = WW_BYTES_LIT("self");
    px[1].peer = peer_id(2); /* connected already */
    in_prune(f, 0, 60, px, 40);
    assert_int_equal(f->connects, 14);
    in_prune(f, 1, 60, px + 16, 20);
    assert_int_equal(f->connects, 16); /* no more within one heartbeat */
    beat(f);
    in_prune(f, 1, 60, px + 16, 20);
    assert_int_equal(f->connects, 32);
    teardown(f);
}

static void gossip_repairs(void **state)
{
    WW_UNUSED(state);
    struct fixture *f = setup_plain();
    struct ww_buf b;
    struct ww_bytes ids[] = {WW_BYTES_LIT("author\0\0\0\0\0\0\0\1"), WW_BYTES_LIT("author\0\0\0\0\0\0\0\2")};
    mesh_of(f, 12);
    up(f, 12);
    in_subscribe(f, 12, T, true);
    hear(f, 12);
    in_message(f, 0, WW_BYTES_LIT("author"), 1, "x");
    /* The one outside the mesh is told the id, for three heartbeats, and may ask three times. */
    size_t told = 0;
    for (unsigned i = 0; i < 5; i++) {
        beat(f);
        struct heard h = hear(f, 12);
        assert_int_equal(h.publish, 0);
        told += h.ihave_ids;
    }
    assert_int_equal(told, 3);
    in_message(f, 0, WW_BYTES_LIT("author"), 2, "y");
    for (unsigned i = 0; i < 5; i++) {
        ww_buf_init(&b, 4096);
        assert_ok(ww_gossip_put_iwant(&b, ids, 2));
        in_control(f, 12, &b);
    }
    assert_int_equal(hear(f, 12).publish, 3); /* the first message is gone after five heartbeats */
    /* What we have seen we do not ask for. */
    ids[0] = WW_BYTES_LIT("author\0\0\0\0\0\0\0\3");
    ww_buf_init(&b, 4096);
    assert_ok(ww_gossip_put_ihave(&b, T, ids, 2));
    in_control(f, 12, &b);
    assert_int_equal(hear(f, 12).iwant_ids, 1);
    /* It never comes: a broken promise. */
    for (unsigned i = 0; i < 4; i++)
        beat(f);
    assert_int_equal(stats(f).promises_broken, 1);
    assert_true(f->peers[12].penalty_milli > 0);
    teardown(f);
}

static void ihave_floods_are_bounded(void **state)
{
    WW_UNUSED(state);
    struct ww_gossip_conf conf;
    conf_test(&conf);
    conf.ihave_ids_max = 300;
    struct fixture *f = setup_conf(&conf);
    mesh_of(f, 1);
    size_t asked = 0;
    for (uint64_t round = 0; round < 20; round++) {
        uint8_t mem[40][16];
        struct ww_bytes ids[40];
        struct ww_buf b;
        for (uint64_t i = 0; i < 40; i++) {
            ww_be64_store(mem[i], round);
            ww_be64_store(mem[i] + 8, i);
            ids[i] = ww_bytes(mem[i], 16);
        }
        ww_buf_init(&b, 4096);
        assert_ok(ww_gossip_put_ihave(&b, T, ids, 40));
        in_control(f, 0, &b);
        asked += hear(f, 0).iwant_ids;
    }
    assert_int_equal(asked, 300); /* eight rounds would be 320, and only ten are looked at */
    teardown(f);
}

static void a_slow_reader_loses_the_oldest_messages(void **state)
{
    WW_UNUSED(state);
    struct ww_gossip_conf conf;
    conf_test(&conf);
    conf.queue_max = 8;
    conf.queue_bytes_max = 2000;
    struct fixture *f = setup_conf(&conf);
    mesh_of(f, 2);
    for (uint64_t i = 0; i < 20; i++)
        in_message(f, 0, WW_BYTES_LIT("author"), i + 1, "0123456789");
    assert_int_equal(f->peers[1].dropped_frames, 12);
    /* Control overtakes what waits. */
    ww_gossip_leave(f->g, T, f->now);
    struct heard h = hear(f, 1);
    assert_int_equal(h.publish, 8);
    assert_int_equal(h.prune, 1);
    assert_int_equal(h.unsubscribe, 1);
    assert_int_equal(h.first_publish_at, 2);
    /* By bytes as well, and a giant does not push the others out. */
    assert_ok(ww_gossip_join(f->g, T, true, f->now));
    f->now += 70 * S;
    ww_gossip_tick(f->g, f->now);
    drain(f);
    hear(f, 1);
    assert_true(ww_gossip_in_mesh(f->g, T, &f->peers[1]));
    char big[901] = {0};
    memset(big, 'x', sizeof big - 1);
    for (uint64_t i = 0; i < 3; i++)
        in_message(f, 0, WW_BYTES_LIT("author"), i + 100, big);
    assert_int_equal(hear(f, 1).publish, 2);
    teardown(f);
}

static void bad_senders_are_ignored_then_closed(void **state)
{
    WW_UNUSED(state);
    struct fixture *f = setup_plain();
    mesh_of(f, 2);
    f->verdict = WW_GOSSIP_REJECT;
    uint64_t seq = 1;
    for (; seq <= 4; seq++)
        in_message(f, 0, WW_BYTES_LIT("author"), seq, "bad");
    assert_int_equal(ww_gossip_peer_score(&f->peers[0]), -1);
    beat(f);
    assert_false(ww_gossip_in_mesh(f->g, T, &f->peers[0]) && ww_gossip_peer_score(&f->peers[0]) < 0);
    for (; seq <= 21; seq++)
        in_message(f, 0, WW_BYTES_LIT("author"), seq, "bad");
    size_t verified = f->auth.verified;
    assert_true(ww_gossip_peer_score(&f->peers[0]) < -16);
    in_message(f, 0, WW_BYTES_LIT("author"), ++seq, "more");
    assert_int_equal(f->auth.verified, verified); /* not even looked at */
    assert_int_equal(f->closed, 0);
    for (unsigned i = 0; i < 60; i++)
        in_message(f, 0, WW_BYTES_LIT("author"), ++seq, "more");
    assert_int_equal(f->closed, 1);
    /* Remembered beyond the connection, and forgiven with time. */
    down(f, 0);
    up(f, 0);
    assert_true(ww_gossip_peer_score(&f->peers[0]) < -16);
    for (unsigned i = 0; i < 60; i++)
        beat(f);
    assert_int_equal(ww_gossip_peer_score(&f->peers[0]), 0);
    assert_int_equal(ww_gossip_peer_score(&f->peers[1]), 0);
    teardown(f);
}

static void a_bad_rpc_has_no_effect(void **state)
{
    WW_UNUSED(state);
    struct fixture *f = setup_plain();
    mesh_of(f, 1);
    struct ww_slab *rpc = fake_message(WW_BYTES_LIT("author"), 1, T, WW_BYTES_LIT("x"));
    struct ww_buf b;
    ww_buf_init(&b, 4096);
    assert_ok(ww_gossip_put_subscription(&b, WW_BYTES_LIT("other"), true));
    assert_ok(ww_buf_append(&b, ww_slab_view(rpc)));
    assert_ok(ww_buf_append_byte(&b, 0x0a));
    assert_int_equal(ww_gossip_rpc_in(f->g, &f->peers[0], ww_buf_view(&b), f->now), WW_ETRUNC);
    drain(f);
    assert_int_equal(f->validated, 0);
    assert_int_equal(ww_gossip_topic_peers(f->g, WW_BYTES_LIT("other")), 0);
    ww_buf_fini(&b);
    ww_slab_unref(rpc);
    uint8_t *big = calloc(1, (1 << 20) + 1);
    assert_int_equal(ww_gossip_rpc_in(f->g, &f->peers[0], ww_bytes(big, (1 << 20) + 1), f->now), WW_ELIMIT);
    free(big);
    drain(f);
    teardown(f);
}

static void subscriptions_are_bounded(void **state)
{
    WW_UNUSED(state);
    struct fixture *f = setup_plain();
    up(f, 0);
    for (unsigned i = 0; i < 600; i++) {
        char topic[16];
        snprintf(topic, sizeof topic, "t%u", i);
        in_subscribe(f, 0, ww_bytes_str(topic), true);
        in_subscribe(f, 0, ww_bytes_str(topic), true); /* twice is once */
    }
    assert_int_equal(f->peers[0].member_count, 512);
    in_subscribe(f, 0, WW_BYTES_LIT("t0"), false);
    in_subscribe(f, 0, WW_BYTES_LIT("never"), false);
    assert_int_equal(f->peers[0].member_count, 511);
    char name[WW_GOSSIP_TOPIC_MAX + 2];
    memset(name, 'n', sizeof name);
    in_subscribe(f, 0, ww_bytes(name, WW_GOSSIP_TOPIC_MAX + 1), true);
    in_subscribe(f, 0, (struct ww_bytes){0}, true);
    assert_int_equal(f->peers[0].member_count, 511);
    /* In one RPC. */
    struct ww_buf b;
    ww_buf_init(&b, 1 << 20);
    for (unsigned i = 0; i < 1025; i++)
        assert_ok(ww_gossip_put_subscription(&b, WW_BYTES_LIT("x"), true));
    assert_int_equal(ww_gossip_rpc_in(f->g, &f->peers[0], ww_buf_view(&b), f->now), WW_ELIMIT);
    ww_buf_fini(&b);
    drain(f);
    /* And ours. */
    for (unsigned i = 0; i < 128; i++) {
        snprintf(name, sizeof name, "t%u", i);
        assert_ok(ww_gossip_join(f->g, ww_bytes_str(name), true, f->now));
    }
    assert_int_equal(ww_gossip_join(f->g, WW_BYTES_LIT("one more"), true, f->now), WW_ELIMIT);
    teardown(f);
}

static void walk_over_subscribers(void **state)
{
    WW_UNUSED(state);
    struct fixture *f = setup_plain();
    for (size_t i = 0; i < 3; i++) {
        up(f, i);
        in_subscribe(f, i, T, i != 1);
    }
    assert_int_equal(ww_gossip_topic_peers(f->g, T), 2);
    struct ww_gossip_peer *p = ww_gossip_topic_peer_next(f->g, T, NULL);
    assert_ptr_equal(p, &f->peers[0]);
    p = ww_gossip_topic_peer_next(f->g, T, p);
    assert_ptr_equal(p, &f->peers[2]);
    assert_null(ww_gossip_topic_peer_next(f->g, T, p));
    assert_null(ww_gossip_topic_peer_next(f->g, WW_BYTES_LIT("none"), NULL));
    teardown(f);
}

static void ids_by_content_without_signatures(void **state)
{
    WW_UNUSED(state);
    struct ww_gossip_conf conf;
    conf_test(&conf);
    conf.policy = WW_GOSSIP_STRICT_NO_SIGN;
    struct ww_gossip *g;
    assert_int_equal(ww_gossip_new(&conf, 0, &g), WW_EINVAL); /* the default id needs an author */
    conf.msg_id = ww_gossip_id_content;
    struct fixture *f = setup_conf(&conf);
    mesh_of(f, 2);
    assert_ok(publish(f, "same"));
    assert_ok(publish(f, "same"));
    assert_int_equal(f->delivered, 1);
    struct ww_slab *frame = ww_gossip_peer_pull(f->g, &f->peers[0]);
    assert_bytes(ww_slab_view(frame), "\x0c\x12\x0a\x12\x04same\x22\x02ww", 13);
    ww_slab_unref(frame);
    in(f, 0,
        hex("120812026162"
            "22027777"));
    assert_int_equal(f->delivered, 2);
    in_message(f, 0, WW_BYTES_LIT("author"), 1, "signed all the same");
    assert_int_equal(f->delivered, 2);
    assert_int_equal(stats(f).invalid, 1);
    teardown(f);
}

static void better_peers_are_taken_in(void **state)
{
    WW_UNUSED(state);
    struct fixture *f = setup_plain();
    mesh_of(f, 6);
    for (size_t i = 6; i < 10; i++) {
        up(f, i);
        in_subscribe(f, i, T, true);
        ww_gossip_peer_score_set(f->g, &f->peers[i], 10);
    }
    for (unsigned i = 0; i < 60; i++)
        beat(f);
    size_t good = 0;
    for (size_t i = 6; i < 10; i++)
        good += ww_gossip_in_mesh(f->g, T, &f->peers[i]);
    assert_int_equal(good, 2);
    /* A bad opinion ends the place in the mesh. */
    ww_gossip_peer_score_set(f->g, &f->peers[0], -1);
    beat(f);
    assert_false(ww_gossip_in_mesh(f->g, T, &f->peers[0]));
    struct heard h = hear(f, 0);
    assert_int_equal(h.prune, 1);
    assert_int_equal(h.px, 0);
    teardown(f);
}

static void a_verdict_may_come_late(void **state)
{
    WW_UNUSED(state);
    struct ww_gossip_conf conf;
    conf_test(&conf);
    conf.pending_max = 2;
    struct fixture *f = setup_conf(&conf);
    struct ww_gossip_event ev;
    struct ww_gossip_msg *late[2];
    mesh_of(f, 2);
    for (uint64_t i = 0; i < 3; i++) {
        struct ww_slab *rpc = fake_message(WW_BYTES_LIT("author"), i + 1, T, WW_BYTES_LIT("x"));
        assert_ok(ww_gossip_rpc_in(f->g, &f->peers[0], ww_slab_view(rpc), f->now));
        ww_slab_unref(rpc);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_true(ww_gossip_next_event(f->g, &ev));
        assert_int_equal(ev.kind, WW_GOSSIP_EV_VALIDATE);
        late[i] = ev.msg;
    }
    drain(f);
    assert_int_equal(stats(f).pending_dropped, 1);
    down(f, 0);
    ww_gossip_validated(f->g, late[1], WW_GOSSIP_ACCEPT, f->now);
    drain(f);
    assert_int_equal(f->delivered, 1);
    assert_int_equal(hear(f, 1).publish, 1);
    ww_gossip_leave(f->g, T, f->now);
    ww_gossip_validated(f->g, late[0], WW_GOSSIP_ACCEPT, f->now);
    drain(f);
    assert_int_equal(f->delivered, 1);
    teardown(f);
}

static ww_err whole_life(void *ctx)
{
    WW_UNUSED(ctx);
    struct ww_gossip_conf conf;
    struct fixture *f = calloc(1, sizeof *f);
    ww_err err = 0;
    conf_test(&conf);
    f->now = 1000 * S;
    fake_auth_init(&f->auth, WW_BYTES_LIT("self"));
    ww_buf_init(&f->last_data, 1 << 20);
    conf.auth = &f->auth.auth;
    err = ww_gossip_new(&conf, f->now, &f->g);
    if (err < 0) {
        free(f);
        return err;
    }
    err = ww_gossip_join(f->g, T, true, f->now);
    for (size_t i = 0; i < 3 && err == 0; i++) {
        err = ww_gossip_peer_up(f->g, &f->peers[i], peer_id(i), WW_GOSSIP_MESH | WW_GOSSIP_PX, i == 0);
        if (err == 0)
            err = ww_gossip_rpc_in(f->g, &f->peers[i],
                hex("0a06080112027777"
                    "1a061a040a027777"),
                f->now);
    }
    struct ww_gossip_msg *m;
    if (err == 0)
        err = ww_gossip_publish(f->g, T, WW_BYTES_LIT("data"), f->now, &m);
    if (err == 0)
        ww_gossip_validated(f->g, m, WW_GOSSIP_ACCEPT, f->now);
    /* An IHAVE of one id, a PRUNE with a back-off. */
    if (err == 0)
        err = ww_gossip_rpc_in(f->g, &f->peers[1],
            hex("1a140a0a0a027777120461626364"
                "2206"
                "0a027777"
                "180a"),
            f->now);
    struct ww_gossip_event ev;
    while (ww_gossip_next_event(f->g, &ev)) {
        if (ev.kind == WW_GOSSIP_EV_DELIVER)
            ww_gossip_msg_unref(ev.msg);
    }
    f->now += S;
    ww_gossip_tick(f->g, f->now);
    for (size_t i = 0; i < 3; i++) {
        if (!f->peers[i].up)
            continue;
        struct ww_slab *frame;
        while ((frame = ww_gossip_peer_pull(f->g, &f->peers[i])))
            ww_slab_unref(frame);
    }
    if (ww_gossip_check(f->g, f->now) != 0)
        fail_msg("invariant broken");
    for (size_t i = 0; i < 3; i++) {
        if (f->peers[i].up)
            ww_gossip_peer_down(f->g, &f->peers[i]);
    }
    ww_gossip_free(f->g);
    free(f);
    return err;
}

static void memory_may_run_out_anywhere(void **state)
{
    WW_UNUSED(state);
    assert_true(alloc_fail_run(whole_life, NULL) > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello_comes_first_and_always),
        cmocka_unit_test(peers_are_unique_and_not_us),
        cmocka_unit_test(a_message_is_verified_delivered_and_forwarded_once),
        cmocka_unit_test(what_is_not_forwarded),
        cmocka_unit_test(unsigned_messages_are_invalid),
        cmocka_unit_test(sequence_numbers_are_eight_bytes),
        cmocka_unit_test(own_messages),
        cmocka_unit_test(a_stranger_to_a_topic_publishes_by_fanout),
        cmocka_unit_test(floodsub_peers_get_everything),
        cmocka_unit_test(a_full_mesh_prunes_with_peer_exchange),
        cmocka_unit_test(back_off_is_honoured_and_demanded),
        cmocka_unit_test(a_back_off_from_outside_is_capped),
        cmocka_unit_test(peer_exchange_connects_within_bounds),
        cmocka_unit_test(gossip_repairs),
        cmocka_unit_test(ihave_floods_are_bounded),
        cmocka_unit_test(a_slow_reader_loses_the_oldest_messages),
        cmocka_unit_test(bad_senders_are_ignored_then_closed),
        cmocka_unit_test(a_bad_rpc_has_no_effect),
        cmocka_unit_test(subscriptions_are_bounded),
        cmocka_unit_test(walk_over_subscribers),
        cmocka_unit_test(ids_by_content_without_signatures),
        cmocka_unit_test(better_peers_are_taken_in),
        cmocka_unit_test(a_verdict_may_come_late),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
