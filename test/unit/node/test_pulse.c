/* When members of a small cluster come to know each other, and when they forget: whole nodes, virtual time.
 */
#include "test/lib/test.h"

#include "node/node.h"
#include "sim/sim.h"

enum { NODES = 3, TTL_MS = 10000 };

struct member {
    struct ww_sim_node *machine;
    struct ww_keypair key;
    struct ww_node *node;
    struct ww_node_leave leave;
    struct ww_routing_observer observer;
    unsigned gone; /* records that its table has dropped */
};

struct world {
    struct ww_sim *sim;
    struct member members[NODES];
};

static void changed(struct ww_routing_observer *obs, const struct ww_record *before,
    const struct ww_record *after, bool renewed)
{
    WW_UNUSED(before);
    WW_UNUSED(renewed);
    WW_CONTAINER_OF(obs, struct member, observer)->gone += !after;
}

static void world_init(struct world *w, uint64_t seed)
{
    struct ww_sim_conf conf;
    *w = (struct world){0};
    ww_sim_conf_default(&conf, seed);
    assert_ok(ww_sim_new(&conf, &w->sim));
}

static struct member *join(struct world *w, unsigned i)
{
    struct member *m = &w->members[i];
    struct ww_diag diag = {0};
    uint8_t seed[32] = {(uint8_t)(i + 1)};
    ww_keypair_from_seed(&m->key, seed);
    assert_ok(ww_sim_node_add(w->sim, "", 0, &m->machine));
    struct ww_node_conf conf = {.env = ww_sim_node_env(m->machine), .key = &m->key, .ttl_ms = TTL_MS};
    assert_ok(ww_node_new(&conf, &m->node, &diag));
    m->observer.changed = changed;
    ww_routing_observe(ww_node_routing(m->node), &m->observer);
    return m;
}

static void member_fini(struct member *m)
{
    if (!m->node)
        return;
    ww_routing_unobserve(&m->observer);
    ww_node_free(m->node);
    ww_keypair_fini(&m->key);
    m->node = NULL;
}

static void world_fini(struct world *w)
{
    for (unsigned i = 0; i < NODES; i++)
        member_fini(&w->members[i]);
    ww_sim_free(w->sim);
}

static bool lists(const struct member *m, const struct member *other, struct ww_record *ret_record)
{
    return ww_routing_get(ww_node_routing(m->node), ww_peer_id_view(ww_node_id(other->node)), ret_record) ==
        0;
}

/* Until `reader` has a record of `other` with a number above `seq`. */
struct news {
    struct ww_sim_check check;
    const struct member *reader, *other;
    uint64_t seq;
};

static bool is_news(struct ww_sim_check *check)
{
    struct news *n = WW_CONTAINER_OF(check, struct news, check);
    struct ww_record r;
    return lists(n->reader, n->other, &r) && r.seq > n->seq;
}

static uint64_t await(
    struct world *w, const struct member *reader, const struct member *other, uint64_t seq, uint64_t limit_ms)
{
    struct news n = {{is_news}, reader, other, seq};
    struct ww_record r;
    assert_true(ww_sim_run_to(w->sim, &n.check, ww_sim_now(w->sim) + limit_ms * WW_NS_PER_MS));
    assert_true(lists(reader, other, &r));
    return r.seq;
}

/* The first heartbeats find nobody: the next ones do not wait for their time. */
static void newcomers_are_listed_soon(void **state)
{
    WW_UNUSED(state);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct world w;
        world_init(&w, seed);
        struct member *a = join(&w, 0);
        ww_sim_run_for(w.sim, seed * 300 * WW_NS_PER_MS);
        struct member *b = join(&w, 1);
        uint64_t began_ns = ww_sim_now(w.sim);
        (void)await(&w, a, b, 0, 900);
        (void)await(&w, b, a, 0, 900);
        assert_true(ww_sim_now(w.sim) - began_ns < 900 * WW_NS_PER_MS);
        struct member *c = join(&w, 2);
        (void)await(&w, a, c, 0, 900);
        (void)await(&w, c, a, 0, 2500);
        (void)await(&w, c, b, 0, 2500);
        world_fini(&w);
    }
}

/* Who did not take the first heartbeat gets another after a second, and then only as often as the TTL asks.
 */
static void the_first_words_are_repeated(void **state)
{
    WW_UNUSED(state);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct world w;
        world_init(&w, seed);
        struct member *a = join(&w, 0), *b = join(&w, 1);
        uint64_t first = await(&w, a, b, 0, 900), heard_ns = ww_sim_now(w.sim);
        uint64_t second = await(&w, a, b, first, TTL_MS / 4);
        uint64_t gap_ns = ww_sim_now(w.sim) - heard_ns;
        assert_true(gap_ns > WW_NS_PER_S && gap_ns < 2 * WW_NS_PER_S);
        heard_ns = ww_sim_now(w.sim);
        (void)await(&w, a, b, second, TTL_MS);
        assert_true(ww_sim_now(w.sim) - heard_ns > (TTL_MS / 2 - 100) * WW_NS_PER_MS);
        world_fini(&w);
    }
}

/* Go nodes count from their last tick: a second of the TTL is theirs, and half a one the network's. */
static void heartbeats_leave_a_margin(void **state)
{
    WW_UNUSED(state);
    struct world w;
    world_init(&w, 6);
    struct member *a = join(&w, 0), *b = join(&w, 1);
    uint64_t seq = await(&w, a, b, await(&w, a, b, 0, 900), TTL_MS), longest_ns = 0;
    for (unsigned i = 0; i < 200; i++) {
        uint64_t heard_ns = ww_sim_now(w.sim);
        seq = await(&w, a, b, seq, TTL_MS);
        uint64_t gap_ns = ww_sim_now(w.sim) - heard_ns;
        longest_ns = gap_ns > longest_ns ? gap_ns : longest_ns;
        assert_true(gap_ns >= (TTL_MS / 2 - 100) * WW_NS_PER_MS);
    }
    assert_true(longest_ns <= (TTL_MS - 1500 + 100) * WW_NS_PER_MS);
    assert_true(longest_ns > (TTL_MS - 2000) * WW_NS_PER_MS);
    assert_int_equal(a->gone, 0);
    world_fini(&w);
}

/* A heartbeat that is later than its TTL, as Go nodes' are by their tick, or a busy machine's. */
static void a_late_heartbeat_flaps_nobody(void **state)
{
    WW_UNUSED(state);
    struct world w;
    world_init(&w, 7);
    struct member *a = join(&w, 0), *b = join(&w, 1);
    uint64_t seq = await(&w, a, b, 0, 3000);
    for (unsigned i = 0; i < 10; i++) {
        seq = await(&w, a, b, seq, TTL_MS);
        ww_sim_node_pause(b->machine);
        ww_sim_run_for(w.sim, (TTL_MS + 50 * i) * WW_NS_PER_MS);
        assert_int_equal(a->gone, 0);
        ww_sim_node_resume(b->machine);
        seq = await(&w, a, b, seq, 200);
    }
    assert_int_equal(a->gone, 0);
    world_fini(&w);
}

/* Whoever dies without a word is listed for its TTL, and at most a second more. */
static void the_dead_are_forgotten_in_time(void **state)
{
    WW_UNUSED(state);
    struct world w;
    struct ww_record r;
    world_init(&w, 8);
    struct member *a = join(&w, 0), *b = join(&w, 1);
    (void)await(&w, a, b, await(&w, a, b, 0, 3000), TTL_MS);
    ww_sim_node_crash(b->machine);
    ww_sim_run_for(w.sim, TTL_MS * WW_NS_PER_MS);
    assert_true(lists(a, b, &r));
    ww_sim_run_for(w.sim, WW_NS_PER_S);
    assert_false(lists(a, b, &r));
    assert_int_equal(a->gone, 1);
    world_fini(&w);
}

static void left(struct ww_node_leave *leave)
{
    member_fini(WW_CONTAINER_OF(leave, struct member, leave));
}

/* Grace is not for those who say farewell. */
static void a_farewell_takes_effect_at_once(void **state)
{
    WW_UNUSED(state);
    struct world w;
    struct ww_record r;
    world_init(&w, 9);
    struct member *a = join(&w, 0), *b = join(&w, 1);
    (void)await(&w, a, b, 0, 3000);
    b->leave.done = left;
    ww_node_leave(b->node, &b->leave);
    ww_sim_run_for(w.sim, 50 * WW_NS_PER_MS);
    assert_false(lists(a, b, &r));
    assert_int_equal(a->gone, 1);
    ww_sim_run_for(w.sim, WW_NS_PER_S);
    assert_null(b->node);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(newcomers_are_listed_soon),
        cmocka_unit_test(the_first_words_are_repeated),
        cmocka_unit_test(heartbeats_leave_a_margin),
        cmocka_unit_test(a_late_heartbeat_flaps_nobody),
        cmocka_unit_test(the_dead_are_forgotten_in_time),
        cmocka_unit_test(a_farewell_takes_effect_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
