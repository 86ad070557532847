/* Many routers in one process, in virtual time: what holds for a network of them. A failure prints its seed.
 */
#include "gossip_fake.h"
#include "test/lib/test.h"

#define NODES_MAX 50
#define QUANTUM_NS (10 * WW_NS_PER_MS)
#define TOPIC WW_BYTES_LIT("ww")
#define MESSAGES_MAX 512

struct flight {
    struct ww_list link;
    struct ww_slab *frame;
    uint64_t at_ns;
};

/* One direction of a connection, with the sender's view of the receiver. */
struct wire {
    struct ww_gossip_peer peer;
    unsigned from, to;
    struct ww_list flights;
};

struct node {
    struct ww_gossip *g;
    struct fake_auth auth;
    char id[12];
    struct wire *wires[NODES_MAX];
    bool consumer;
    uint8_t delivered[MESSAGES_MAX];
};

struct net {
    uint64_t seed, now;
    struct ww_prng prng;
    unsigned count;
    struct node nodes[NODES_MAX];
    unsigned lose_percent; /* of frames with messages */
    uint32_t published;
    bool rejecting;
    uint64_t transcript;
};

static struct ww_bytes node_id(const struct node *n)
{
    return ww_bytes_str(n->id);
}

static void note(struct net *net, const void *data, size_t len)
{
    net->transcript = ww_siphash13((const uint64_t[2]){net->transcript, 1}, ww_bytes(data, len));
}

static struct net *net_new(unsigned count, uint64_t seed)
{
    struct net *net = calloc(1, sizeof *net);
    assert_non_null(net);
    net->seed = seed;
    net->count = count;
    net->now = 100 * WW_NS_PER_S;
    ww_prng_init(&net->prng, seed);
    for (unsigned i = 0; i < count; i++) {
        struct node *n = &net->nodes[i];
        struct ww_gossip_conf conf;
        snprintf(n->id, sizeof n->id, "node-%u", i);
        fake_auth_init(&n->auth, node_id(n));
        ww_gossip_conf_default(&conf);
        conf.self = node_id(n);
        conf.auth = &n->auth.auth;
        conf.prng_seed = seed * 1000 + i;
        conf.hash_seed[0] = seed + i;
        /* Hearts do not beat together. */
        conf.heartbeat_first_ns = ww_prng_below(&net->prng, WW_NS_PER_S);
        assert_ok(ww_gossip_new(&conf, net->now, &n->g));
    }
    return net;
}

static void wire_free(struct wire *w)
{
    struct ww_list *l;
    while ((l = ww_list_pop_front(&w->flights))) {
        struct flight *fl = WW_LIST_ENTRY(l, struct flight, link);
        ww_slab_unref(fl->frame);
        free(fl);
    }
    free(w);
}

static void wire_up(struct net *net, unsigned a, unsigned b, bool outbound)
{
    struct wire *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->from = a;
    w->to = b;
    ww_list_init(&w->flights);
    net->nodes[a].wires[b] = w;
    assert_ok(ww_gossip_peer_up(
        net->nodes[a].g, &w->peer, node_id(&net->nodes[b]), WW_GOSSIP_MESH | WW_GOSSIP_PX, outbound));
}

static void connect(struct net *net, unsigned a, unsigned b)
{
    if (a == b || net->nodes[a].wires[b])
        return;
    wire_up(net, a, b, true);
    wire_up(net, b, a, false);
}

static void disconnect(struct net *net, unsigned a, unsigned b)
{
    unsigned pair[2] = {a, b};
    for (unsigned i = 0; i < 2; i++) {
        struct wire **w = &net->nodes[pair[i]].wires[pair[1 - i]];
        if (!*w)
            return;
        ww_gossip_peer_down(net->nodes[pair[i]].g, &(*w)->peer);
        wire_free(*w);
        *w = NULL;
    }
}

static void net_free(struct net *net)
{
    for (unsigned i = 0; i < net->count; i++) {
        for (unsigned j = 0; j < i; j++)
            disconnect(net, i, j);
    }
    for (unsigned i = 0; i < net->count; i++)
        ww_gossip_free(net->nodes[i].g);
    free(net);
}

static bool has_message(const struct ww_slab *frame)
{
    uint64_t len;
    ww_err n = ww_protobuf_varint_decode(ww_slab_view(frame), &len);
    return n > 0 && (size_t)n < frame->len && frame->data[n] == 0x12;
}

static void send(struct net *net, struct wire *w)
{
    struct node *n = &net->nodes[w->from];
    struct ww_slab *frame;
    while ((frame = ww_gossip_peer_pull(n->g, &w->peer))) {
        if (has_message(frame) && ww_prng_below(&net->prng, 100) < net->lose_percent) {
            ww_slab_unref(frame);
            continue;
        }
        struct flight *fl = calloc(1, sizeof *fl);
        assert_non_null(fl);
        fl->frame = frame;
        fl->at_ns = net->now + (1 + ww_prng_below(&net->prng, 5)) * QUANTUM_NS;
        ww_list_push_back(&w->flights, &fl->link);
    }
}

static void deliver(struct net *net, struct node *n, struct ww_gossip_msg *m)
{
    assert_int_equal(m->f.data.len, 4);
    uint32_t number = ww_be32_load(m->f.data.ptr);
    assert_true(number < MESSAGES_MAX);
    if (n->delivered[number]++)
        fail_msg("seed %llu: %s got message %u twice", (unsigned long long)net->seed, n->id, number);
    note(net, n->id, sizeof n->id);
    note(net, m->f.data.ptr, 4);
    ww_gossip_msg_unref(m);
}

static void drain(struct net *net, unsigned at)
{
    struct node *n = &net->nodes[at];
    struct ww_gossip_event ev;
    while (ww_gossip_next_event(n->g, &ev)) {
        switch (ev.kind) {
        case WW_GOSSIP_EV_VALIDATE:
            ww_gossip_validated(n->g, ev.msg, net->rejecting ? WW_GOSSIP_REJECT : WW_GOSSIP_ACCEPT, net->now);
            break;
        case WW_GOSSIP_EV_DELIVER:
            deliver(net, n, ev.msg);
            break;
        case WW_GOSSIP_EV_SEND:
            send(net, WW_CONTAINER_OF(ev.peer, struct wire, peer));
            break;
        case WW_GOSSIP_EV_CONNECT:
            for (unsigned i = 0; i < net->count; i++) {
                if (ww_bytes_eq(ev.id, node_id(&net->nodes[i])))
                    connect(net, at, i);
            }
            break;
        case WW_GOSSIP_EV_CLOSE:
            fail_msg("seed %llu: an honest peer was to be closed", (unsigned long long)net->seed);
        }
    }
}

static void arrive(struct net *net, struct wire *w)
{
    struct wire *back = net->nodes[w->to].wires[w->from];
    while (!ww_list_empty(&w->flights)) {
        struct flight *fl = WW_LIST_ENTRY(w->flights.next, struct flight, link);
        if (fl->at_ns > net->now)
            return;
        ww_list_remove(&fl->link);
        uint64_t len;
        ww_err n = ww_protobuf_varint_decode(ww_slab_view(fl->frame), &len);
        note(net, fl->frame->data, fl->frame->len);
        assert_ok(ww_gossip_rpc_in(
            net->nodes[w->to].g, &back->peer, ww_bytes_skip(ww_slab_view(fl->frame), (size_t)n), net->now));
        ww_slab_unref(fl->frame);
        free(fl);
        drain(net, w->to);
    }
}

static void step(struct net *net)
{
    net->now += QUANTUM_NS;
    for (unsigned i = 0; i < net->count; i++) {
        struct node *n = &net->nodes[i];
        if (ww_gossip_deadline(n->g) <= net->now)
            ww_gossip_tick(n->g, net->now);
        drain(net, i);
        int broken = ww_gossip_check(n->g, net->now);
        if (broken)
            fail_msg("seed %llu: %s broke invariant G%d", (unsigned long long)net->seed, n->id, broken);
        for (unsigned j = 0; j < net->count; j++) {
            if (n->wires[j])
                arrive(net, n->wires[j]);
        }
    }
}

static void run(struct net *net, uint64_t ms)
{
    for (uint64_t end = net->now + ms * WW_NS_PER_MS; net->now < end;)
        step(net);
}

static void join(struct net *net, unsigned i, bool consumer)
{
    net->nodes[i].consumer = consumer;
    assert_ok(ww_gossip_join(net->nodes[i].g, TOPIC, consumer, net->now));
    drain(net, i);
}

static uint32_t publish(struct net *net, unsigned i)
{
    struct ww_gossip_msg *m;
    uint8_t data[4];
    uint32_t number = net->published++;
    ww_be32_store(data, number);
    assert_ok(ww_gossip_publish(net->nodes[i].g, TOPIC, ww_bytes(data, 4), net->now, &m));
    ww_gossip_validated(net->nodes[i].g, m, WW_GOSSIP_ACCEPT, net->now);
    drain(net, i);
    return number;
}

/* How many nodes have a message, and how many should. */
static size_t reached(const struct net *net, uint32_t number)
{
    size_t count = 0;
    for (unsigned i = 0; i < net->count; i++)
        count += net->nodes[i].delivered[number];
    return count;
}

static void assert_reached_all(const struct net *net, uint32_t first, uint32_t end)
{
    size_t consumers = 0;
    for (unsigned i = 0; i < net->count; i++)
        consumers += net->nodes[i].consumer;
    for (uint32_t m = first; m < end; m++) {
        if (reached(net, m) != consumers)
            fail_msg("seed %llu: message %u reached %zu of %zu", (unsigned long long)net->seed, m,
                reached(net, m), consumers);
    }
}

/* A ring, so that it is connected, and chords at random. */
static void wire_randomly(struct net *net, unsigned degree)
{
    for (unsigned i = 0; i < net->count; i++) {
        connect(net, i, (i + 1) % net->count);
        for (unsigned k = 0; k + 2 < degree; k += 2)
            connect(net, i, (unsigned)ww_prng_below(&net->prng, net->count));
    }
}

static struct net *net_settled(unsigned count, unsigned degree, uint64_t seed)
{
    struct net *net = net_new(count, seed);
    wire_randomly(net, degree);
    for (unsigned i = 0; i < count; i++)
        join(net, i, true);
    run(net, 5000);
    return net;
}

static struct ww_gossip_stats sum(const struct net *net)
{
    struct ww_gossip_stats total = {0}, s;
    for (unsigned i = 0; i < net->count; i++) {
        ww_gossip_stats(net->nodes[i].g, &s);
        total.duplicates += s.duplicates;
        total.iwant_served += s.iwant_served;
        total.backoff_violations += s.backoff_violations;
        total.promises_broken += s.promises_broken;
        total.delivered += s.delivered;
        total.invalid += s.invalid;
        total.px_connects += s.px_connects;
    }
    return total;
}

/* ---- */

static void every_message_reaches_everybody_once(void **state)
{
    WW_UNUSED(state);
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct net *net = net_settled(30, 10, seed);
        for (unsigned i = 0; i < 60; i++) {
            publish(net, (unsigned)ww_prng_below(&net->prng, net->count));
            run(net, 50);
        }
        run(net, 1000); /* by the mesh alone: no time for a repair */
        assert_reached_all(net, 0, net->published);
        assert_int_equal(sum(net).backoff_violations, 0);
        assert_int_equal(sum(net).invalid, 0);
        net_free(net);
    }
}

static void degrees_stay_within_bounds(void **state)
{
    WW_UNUSED(state);
    struct net *net = net_new(50, 5);
    for (unsigned i = 0; i < net->count; i++) {
        for (unsigned j = 0; j < i; j++)
            connect(net, i, j);
    }
    for (unsigned i = 0; i < net->count; i++)
        join(net, i, true);
    run(net, 10000);
    for (unsigned i = 0; i < net->count; i++) {
        size_t degree = ww_gossip_mesh_peers(net->nodes[i].g, TOPIC);
        if (degree < 5 || degree > 13) /* one above the bound may have come since the last heartbeat */
            fail_msg("%s has %zu peers in its mesh", net->nodes[i].id, degree);
        for (unsigned j = 0; j < net->count; j++) {
            if (i != j && ww_gossip_in_mesh(net->nodes[i].g, TOPIC, &net->nodes[i].wires[j]->peer))
                assert_true(ww_gossip_in_mesh(net->nodes[j].g, TOPIC, &net->nodes[j].wires[i]->peer));
        }
    }
    publish(net, 0);
    run(net, 1000);
    assert_reached_all(net, 0, 1);
    /* No message takes more copies than there are mesh links. */
    assert_true(sum(net).duplicates < 50 * 13);
    net_free(net);
}

static void gossip_repairs_loss(void **state)
{
    WW_UNUSED(state);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        /* More neighbours than a mesh holds: gossip goes to those outside. */
        struct net *net = net_settled(25, 40, seed);
        net->lose_percent = 80;
        for (unsigned i = 0; i < 40; i++) {
            publish(net, (unsigned)ww_prng_below(&net->prng, net->count));
            run(net, 100);
        }
        size_t missing = 0;
        for (uint32_t m = 0; m < net->published; m++)
            missing += net->count - reached(net, m);
        assert_true(missing > 0); /* otherwise there is nothing to repair, and the test is void */
        net->lose_percent = 0;
        run(net, 8000);
        assert_true(sum(net).iwant_served > 0);
        /* What is older than the history cannot come back. */
        assert_reached_all(net, 20, net->published);
        net_free(net);
    }
}

static void a_healed_partition_is_one_network(void **state)
{
    WW_UNUSED(state);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct net *net = net_settled(24, 10, seed);
        bool cut[NODES_MAX][NODES_MAX] = {{false}};
        for (unsigned i = 0; i < 12; i++) {
            for (unsigned j = 12; j < 24; j++) {
                cut[i][j] = net->nodes[i].wires[j] != NULL;
                disconnect(net, i, j);
            }
        }
        run(net, 20000);
        uint32_t left = publish(net, 0), right = publish(net, 23);
        run(net, 1000);
        assert_int_equal(reached(net, left), 12);
        assert_int_equal(reached(net, right), 12);
        for (unsigned i = 0; i < 12; i++) {
            for (unsigned j = 12; j < 24; j++) {
                if (cut[i][j])
                    connect(net, i, j);
            }
        }
        run(net, 5000);
        uint32_t after = publish(net, 0);
        publish(net, 23);
        run(net, 3000);
        assert_reached_all(net, after, net->published);
        assert_reached_all(net, left, right + 1); /* young enough: gossip brought them over */
        assert_int_equal(sum(net).backoff_violations, 0);
        net_free(net);
    }
}

/* Nodes come and go from the topic; nobody is grafted in its back-off, and the rest goes on. */
static void churn_honours_back_offs(void **state)
{
    WW_UNUSED(state);
    struct net *net = net_settled(20, 19, 9);
    for (unsigned round = 0; round < 30; round++) {
        unsigned who = (unsigned)ww_prng_below(&net->prng, 10);
        ww_gossip_leave(net->nodes[who].g, TOPIC, net->now);
        drain(net, who);
        run(net, 100 + ww_prng_below(&net->prng, 3000));
        join(net, who, true);
        run(net, 200);
    }
    run(net, 15000);
    uint32_t first = net->published;
    for (unsigned i = 0; i < 10; i++)
        publish(net, 10 + i % 10);
    run(net, 5000);
    assert_reached_all(net, first, net->published);
    assert_int_equal(sum(net).backoff_violations, 0);
    net_free(net);
}

static void relays_forward_without_consuming(void **state)
{
    WW_UNUSED(state);
    struct net *net = net_new(9, 3);
    for (unsigned i = 0; i + 1 < net->count; i++)
        connect(net, i, i + 1);
    for (unsigned i = 0; i < net->count; i++)
        join(net, i, i == 0 || i == 8);
    run(net, 3000);
    publish(net, 0);
    run(net, 2000);
    assert_int_equal(net->nodes[8].delivered[0], 1);
    assert_int_equal(reached(net, 0), 2);
    net_free(net);
}

static void what_is_rejected_stays_where_it_was_made(void **state)
{
    WW_UNUSED(state);
    struct net *net = net_settled(10, 6, 4);
    net->rejecting = true;
    publish(net, 0);
    run(net, 5000);
    assert_int_equal(reached(net, 0), 1);
    net_free(net);
}

static uint64_t transcript_of(uint64_t seed)
{
    struct net *net = net_settled(20, 8, seed);
    net->lose_percent = 20;
    for (unsigned i = 0; i < 20; i++) {
        publish(net, i);
        run(net, 100);
    }
    run(net, 3000);
    uint64_t t = net->transcript;
    net_free(net);
    return t;
}

static void the_same_seed_is_the_same_run(void **state)
{
    WW_UNUSED(state);
    uint64_t first = transcript_of(17);
    assert_true(transcript_of(17) == first);
    assert_true(transcript_of(18) != first);
}

/* A newcomer that knows one full node learns of others from its PRUNE. */
static void peer_exchange_finds_a_place(void **state)
{
    WW_UNUSED(state);
    struct net *net = net_new(31, 6);
    for (unsigned i = 0; i < 30; i++) {
        for (unsigned j = 0; j < i; j++)
            connect(net, i, j);
        join(net, i, true);
    }
    run(net, 8000);
    join(net, 30, true);
    connect(net, 30, 0);
    run(net, 130000); /* into at least one full mesh, sooner or later */
    publish(net, 1);
    run(net, 2000);
    assert_int_equal(net->nodes[30].delivered[0], 1);
    assert_true(ww_gossip_mesh_peers(net->nodes[30].g, TOPIC) >= 1);
    net_free(net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_reaches_everybody_once),
        cmocka_unit_test(degrees_stay_within_bounds),
        cmocka_unit_test(gossip_repairs_loss),
        cmocka_unit_test(a_healed_partition_is_one_network),
        cmocka_unit_test(churn_honours_back_offs),
        cmocka_unit_test(relays_forward_without_consuming),
        cmocka_unit_test(what_is_rejected_stays_where_it_was_made),
        cmocka_unit_test(the_same_seed_is_the_same_run),
        cmocka_unit_test(peer_exchange_finds_a_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
