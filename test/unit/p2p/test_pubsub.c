/* The driver on real swarms, in one process over loopback: streams, topics, callbacks, ends. */
#include "os/os.h"
#include "p2p/multiaddr.h"
#include "p2p/pubsub.h"
#include "p2p/swarm.h"
#include "test/lib/test.h"

#define NODES_MAX 4
#define TOPIC WW_BYTES_LIT("topic")

struct node {
    struct ww_keypair key;
    struct ww_swarm *swarm;
    struct ww_pubsub *ps;
    struct ww_swarm_dial dial;
    struct ww_pubsub_sink sink;
    struct ww_pubsub_validator validator;
    enum ww_gossip_verdict verdict;
    size_t got, judged, bytes;
    char last[32];
    struct world *world;
    void (*on_message)(struct node *n, struct ww_gossip_msg *m);
};

struct world {
    struct ww_os *os;
    struct ww_env *env;
    struct node nodes[NODES_MAX];
    size_t count;
    struct ww_timer poll, alarm;
    bool (*done)(struct world *w);
    bool rang;
};

static void poll_fired(struct ww_timer *timer)
{
    struct world *w = WW_CONTAINER_OF(timer, struct world, poll);
    if (w->done(w))
        ww_os_stop(w->os);
    else
        w->env->ops->timer_set(w->env, timer, ww_env_now(w->env) + 2 * WW_NS_PER_MS);
}

static void alarm_fired(struct ww_timer *timer)
{
    struct world *w = WW_CONTAINER_OF(timer, struct world, alarm);
    w->rang = true;
    ww_os_stop(w->os);
}

/* Runs the loop until the condition holds; a minute is too long. */
static void until(struct world *w, bool (*done)(struct world *w))
{
    w->done = done;
    w->env->ops->timer_set(w->env, &w->alarm, ww_env_now(w->env) + 60 * WW_NS_PER_S);
    w->env->ops->timer_set(w->env, &w->poll, ww_env_now(w->env));
    ww_os_run(w->os);
    w->env->ops->timer_cancel(w->env, &w->alarm);
    assert_false(w->rang);
}

static void on_message(struct ww_pubsub_sink *sink, struct ww_gossip_msg *m)
{
    struct node *n = WW_CONTAINER_OF(sink, struct node, sink);
    n->got++;
    n->bytes += m->f.data.len;
    size_t len = m->f.data.len < sizeof n->last - 1 ? m->f.data.len : sizeof n->last - 1;
    memcpy(n->last, m->f.data.ptr, len);
    n->last[len] = '\0';
    if (n->on_message)
        n->on_message(n, m);
}

static enum ww_gossip_verdict on_validate(struct ww_pubsub_validator *v, const struct ww_gossip_msg *m)
{
    struct node *n = WW_CONTAINER_OF(v, struct node, validator);
    WW_UNUSED(m);
    n->judged++;
    return n->verdict;
}

static void node_start_conf(struct world *w, const struct ww_pubsub_conf *ps)
{
    struct node *n = &w->nodes[w->count++];
    struct ww_swarm_conf conf = {.env = w->env, .key = &n->key};
    uint8_t seed[WW_ED25519_SEED_BYTES] = {(uint8_t)w->count};
    n->world = w;
    n->sink.message = on_message;
    n->validator.validate = on_validate;
    ww_keypair_from_seed(&n->key, seed);
    assert_ok(ww_swarm_new(&conf, &n->swarm));
    struct ww_buf addr;
    ww_buf_init(&addr, 64);
    assert_ok(ww_multiaddr_parse(WW_BYTES_LIT("/ip4/127.0.0.1/tcp/0"), &addr));
    assert_ok(ww_swarm_listen(n->swarm, ww_buf_view(&addr), NULL));
    ww_buf_fini(&addr);
    assert_ok(ww_pubsub_new(n->swarm, ps, &n->ps));
}

static void node_start(struct world *w, const char *cluster)
{
    struct ww_pubsub_conf ps;
    char id[WW_PROTO_ID_MAX];
    if (cluster)
        assert_ok(ww_pubsub_conf_cluster(&ps, ww_bytes_str(cluster), id));
    else
        ww_pubsub_conf_standard(&ps);
    node_start_conf(w, &ps);
}

static void node_start_only(struct world *w, struct ww_bytes id)
{
    struct ww_pubsub_conf ps;
    ww_pubsub_conf_standard(&ps);
    ps.ids[0] = id;
    ps.id_count = 1;
    node_start_conf(w, &ps);
}

static void dialed(struct ww_swarm_dial *op, ww_err err)
{
    WW_UNUSED(op);
    assert_ok(err);
}

static void dial(struct world *w, size_t from, size_t to)
{
    struct node *a = &w->nodes[from], *b = &w->nodes[to];
    struct ww_bytes addr = ww_swarm_addr(b->swarm, 0);
    a->dial.done = dialed;
    assert_ok(ww_swarm_dial(a->swarm, &a->dial, ww_swarm_id(b->swarm), &addr, 1, 0));
}

static struct world *setup_world(size_t count, const char *cluster)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    assert_ok(ww_os_new(&w->os));
    w->env = ww_os_env(w->os);
    w->poll.fired = poll_fired;
    w->alarm.fired = alarm_fired;
    for (size_t i = 0; i < count; i++)
        node_start(w, cluster);
    return w;
}

static void node_stop(struct node *n)
{
    if (!n->swarm)
        return;
    ww_pubsub_unsubscribe(n->ps, &n->sink);
    ww_pubsub_free(n->ps);
    ww_swarm_free(n->swarm);
    ww_keypair_fini(&n->key);
    n->swarm = NULL;
    n->ps = NULL;
}

static void teardown(struct world *w)
{
    for (size_t i = 0; i < w->count; i++)
        node_stop(&w->nodes[i]);
    ww_os_free(w->os);
    free(w);
}

/* ---- */

static bool all_meshed(struct world *w)
{
    for (size_t i = 0; i < w->count; i++) {
        if (ww_pubsub_mesh_peers(w->nodes[i].ps, TOPIC) == 0)
            return false;
    }
    return true;
}

static bool last_got_one(struct world *w)
{
    return w->nodes[w->count - 1].got > 0;
}

/* 0 - 1 - 2, where the middle one only relays. */
static struct world *chain(const char *cluster)
{
    struct world *w = setup_world(3, cluster);
    assert_ok(ww_pubsub_subscribe(w->nodes[0].ps, TOPIC, &w->nodes[0].sink));
    assert_ok(ww_pubsub_relay(w->nodes[1].ps, TOPIC));
    assert_ok(ww_pubsub_subscribe(w->nodes[2].ps, TOPIC, &w->nodes[2].sink));
    dial(w, 0, 1);
    dial(w, 2, 1);
    until(w, all_meshed);
    return w;
}

static void a_message_goes_through_a_relay(void **state)
{
    static const char *const clusters[] = {"ww", NULL};
    WW_UNUSED(state);
    for (size_t i = 0; i < WW_COUNT_OF(clusters); i++) {
        struct world *w = chain(clusters[i]);
        assert_int_equal(ww_pubsub_topic_peers(w->nodes[1].ps, TOPIC), 2);
        assert_ok(ww_pubsub_publish(w->nodes[0].ps, TOPIC, WW_BYTES_LIT("hello")));
        assert_int_equal(w->nodes[0].got, 0); /* never inside publish */
        until(w, last_got_one);
        assert_string_equal(w->nodes[2].last, "hello");
        assert_int_equal(w->nodes[0].got, 1);
        assert_int_equal(w->nodes[1].got, 0);
        teardown(w);
    }
}

static bool middle_knows_both(struct world *w)
{
    return ww_pubsub_topic_peers(w->nodes[1].ps, TOPIC) == 2 &&
        ww_pubsub_topic_peers(w->nodes[0].ps, TOPIC) == 1 &&
        ww_pubsub_topic_peers(w->nodes[2].ps, TOPIC) == 1;
}

static bool middle_meshed_with_first(struct world *w)
{
    return middle_knows_both(w) && ww_pubsub_mesh_peers(w->nodes[0].ps, TOPIC) == 1 &&
        ww_pubsub_mesh_peers(w->nodes[1].ps, TOPIC) == 1;
}

static bool each_got_three(struct world *w)
{
    for (size_t i = 0; i < w->count; i++) {
        if (w->nodes[i].got < 3)
            return false;
    }
    return true;
}

/* 0 - 1 - 2, where 0 is another kind of peer each time and 2 speaks nothing but floodsub: never in the mesh
 * of 1, and served all the same. */
static void a_floodsub_peer_takes_part(void **state)
{
    static const char *const firsts[] = {"/meshsub/1.1.0", "/meshsub/1.0.0", "/floodsub/1.0.0"};
    WW_UNUSED(state);
    for (size_t i = 0; i < WW_COUNT_OF(firsts); i++) {
        struct world *w = setup_world(0, NULL);
        node_start_only(w, ww_bytes_str(firsts[i]));
        node_start(w, NULL);
        node_start_only(w, WW_BYTES_LIT("/floodsub/1.0.0"));
        for (size_t k = 0; k < w->count; k++)
            assert_ok(ww_pubsub_subscribe(w->nodes[k].ps, TOPIC, &w->nodes[k].sink));
        dial(w, 0, 1);
        dial(w, 1, 2);
        until(w, i < 2 ? middle_meshed_with_first : middle_knows_both);
        for (size_t k = 0; k < w->count; k++)
            assert_ok(ww_pubsub_publish(w->nodes[k].ps, TOPIC, WW_BYTES_LIT("hello")));
        until(w, each_got_three);
        for (size_t k = 0; k < w->count; k++)
            assert_int_equal(w->nodes[k].got, 3);
        assert_int_equal(ww_pubsub_mesh_peers(w->nodes[1].ps, TOPIC), i < 2 ? 1 : 0);
        assert_int_equal(ww_pubsub_mesh_peers(w->nodes[2].ps, TOPIC), 0);
        teardown(w);
    }
}

static bool burst_arrived(struct world *w)
{
    return w->nodes[2].got == 40;
}

/* Messages of many sizes, up to the limit: frames cut anywhere, streams that fill up. */
static void large_messages_arrive_whole(void **state)
{
    WW_UNUSED(state);
    struct world *w = chain("ww");
    uint8_t *data = calloc(1, 1 << 20);
    size_t total = 0;
    assert_non_null(data);
    for (size_t i = 0; i < 40; i++) {
        size_t len = i < 37 ? i * i * 97 : ((size_t)1 << 20) - 512;
        memset(data, (int)i, len);
        assert_ok(ww_pubsub_publish(w->nodes[0].ps, TOPIC, ww_bytes(data, len)));
        total += len;
    }
    assert_int_equal(ww_pubsub_publish(w->nodes[0].ps, TOPIC, ww_bytes(data, 1 << 20)), WW_ELIMIT);
    until(w, burst_arrived);
    assert_int_equal(w->nodes[2].bytes, total);
    free(data);
    teardown(w);
}

static bool middle_judged_two(struct world *w)
{
    return w->nodes[1].judged == 2;
}

static void validators_decide(void **state)
{
    WW_UNUSED(state);
    struct world *w = chain("ww");
    struct node *a = &w->nodes[0], *b = &w->nodes[1];
    assert_ok(ww_pubsub_validator_set(a->ps, TOPIC, &a->validator));
    assert_int_equal(ww_pubsub_validator_set(a->ps, TOPIC, &b->validator), WW_EEXIST);
    a->verdict = WW_GOSSIP_IGNORE;
    assert_int_equal(ww_pubsub_publish(a->ps, TOPIC, WW_BYTES_LIT("mine")), WW_EDENIED);
    assert_int_equal(a->judged, 1);
    assert_ok(ww_pubsub_validator_set(a->ps, TOPIC, NULL));
    assert_ok(ww_pubsub_validator_set(b->ps, TOPIC, &b->validator));
    b->verdict = WW_GOSSIP_REJECT;
    assert_ok(ww_pubsub_publish(a->ps, TOPIC, WW_BYTES_LIT("one")));
    assert_ok(ww_pubsub_publish(a->ps, TOPIC, WW_BYTES_LIT("two")));
    until(w, middle_judged_two);
    b->verdict = WW_GOSSIP_ACCEPT;
    assert_ok(ww_pubsub_publish(a->ps, TOPIC, WW_BYTES_LIT("three")));
    until(w, last_got_one);
    assert_string_equal(w->nodes[2].last, "three");
    assert_int_equal(w->nodes[2].got, 1);
    assert_ok(ww_pubsub_validator_set(b->ps, TOPIC, NULL));
    teardown(w);
}

static void leave_inside(struct node *n, struct ww_gossip_msg *m)
{
    WW_UNUSED(m);
    assert_ok(ww_pubsub_publish(n->ps, TOPIC, WW_BYTES_LIT("bye")));
    ww_pubsub_unsubscribe(n->ps, &n->sink);
}

static bool first_got_bye(struct world *w)
{
    return strcmp(w->nodes[0].last, "bye") == 0 && ww_pubsub_topic_peers(w->nodes[1].ps, TOPIC) == 1;
}

static void a_callback_may_publish_and_unsubscribe(void **state)
{
    WW_UNUSED(state);
    struct world *w = chain("ww");
    w->nodes[2].on_message = leave_inside;
    assert_ok(ww_pubsub_publish(w->nodes[0].ps, TOPIC, WW_BYTES_LIT("hello")));
    until(w, first_got_bye);
    assert_int_equal(w->nodes[2].got, 1);
    assert_int_equal(w->nodes[0].got, 2);
    assert_null(w->nodes[2].sink.topic);
    teardown(w);
}

static bool alone(struct world *w)
{
    return ww_pubsub_topic_peers(w->nodes[0].ps, TOPIC) == 0;
}

static void a_peer_that_goes_is_forgotten_and_may_return(void **state)
{
    WW_UNUSED(state);
    struct world *w = chain("ww");
    ww_swarm_disconnect(w->nodes[0].swarm, ww_swarm_id(w->nodes[1].swarm));
    until(w, alone);
    assert_int_equal(ww_pubsub_mesh_peers(w->nodes[0].ps, TOPIC), 0);
    dial(w, 1, 0);
    until(w, all_meshed);
    assert_ok(ww_pubsub_publish(w->nodes[0].ps, TOPIC, WW_BYTES_LIT("again")));
    until(w, last_got_one);
    assert_string_equal(w->nodes[2].last, "again");
    teardown(w);
}

static bool strangers_connected(struct world *w)
{
    return ww_peerstore_identified(ww_swarm_peerstore(w->nodes[0].swarm), ww_swarm_id(w->nodes[1].swarm)) &&
        ww_peerstore_identified(ww_swarm_peerstore(w->nodes[1].swarm), ww_swarm_id(w->nodes[0].swarm));
}

static void clusters_do_not_mix(void **state)
{
    WW_UNUSED(state);
    struct world *w = setup_world(1, "one");
    node_start(w, "two");
    for (size_t i = 0; i < 2; i++)
        assert_ok(ww_pubsub_subscribe(w->nodes[i].ps, TOPIC, &w->nodes[i].sink));
    dial(w, 0, 1);
    until(w, strangers_connected);
    assert_int_equal(ww_pubsub_topic_peers(w->nodes[0].ps, TOPIC), 0);
    assert_null(ww_gossip_peer_find(
        ww_pubsub_router(w->nodes[0].ps), ww_peer_id_view(ww_swarm_id(w->nodes[1].swarm))));
    teardown(w);
}

static void configuration_is_checked(void **state)
{
    WW_UNUSED(state);
    struct world *w = setup_world(1, "ww");
    struct ww_pubsub_conf conf;
    struct ww_pubsub *ps;
    struct ww_pubsub_sink other = {.message = on_message};
    char id[WW_PROTO_ID_MAX];
    assert_int_equal(ww_pubsub_conf_cluster(&conf, WW_BYTES_LIT("a/b"), id), WW_EINVAL);
    ww_pubsub_conf_standard(&conf);
    conf.id_count = 0;
    assert_int_equal(ww_pubsub_new(w->nodes[0].swarm, &conf, &ps), WW_EINVAL);
    assert_ok(ww_pubsub_conf_cluster(&conf, WW_BYTES_LIT("ww"), id));
    assert_int_equal(ww_pubsub_new(w->nodes[0].swarm, &conf, &ps), WW_EEXIST); /* the id is taken */
    assert_int_equal(ww_pubsub_subscribe(w->nodes[0].ps, (struct ww_bytes){0}, &other), WW_EINVAL);
    assert_ok(ww_pubsub_subscribe(w->nodes[0].ps, TOPIC, &other));
    assert_int_equal(ww_pubsub_subscribe(w->nodes[0].ps, TOPIC, &other), WW_EEXIST);
    ww_pubsub_unsubscribe(w->nodes[0].ps, &other);
    ww_pubsub_unsubscribe(w->nodes[0].ps, &other);
    teardown(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_goes_through_a_relay),
        cmocka_unit_test(a_floodsub_peer_takes_part),
        cmocka_unit_test(large_messages_arrive_whole),
        cmocka_unit_test(validators_decide),
        cmocka_unit_test(a_callback_may_publish_and_unsubscribe),
        cmocka_unit_test(a_peer_that_goes_is_forgotten_and_may_return),
        cmocka_unit_test(clusters_do_not_mix),
        cmocka_unit_test(configuration_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
