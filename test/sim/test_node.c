/* Whole nodes in the simulated world: that they hold, that a run repeats, and that each check can fail: on
 * tables made by hand, and on nodes whose tables are tampered with while they run. */
#include "test/lib/test.h"

#include "sim/node_check.h"
#include "sim/node_program.h"
#include "sim/node_reader.h"

/* ---- checks on tables made by hand ---- */

static struct ww_routing *table_new(void)
{
    struct ww_routing_conf conf = {.seed = {1, 2}};
    struct ww_routing *t = NULL;
    assert_ok(ww_routing_new(&conf, &t));
    return t;
}

static void add(struct ww_routing *t, uint8_t who, const char *host, const char *meta)
{
    uint8_t peer[38] = {0x00, 0x24, 0x08, 0x01, 0x12, 0x20, who};
    struct ww_bytes strings[] = {ww_bytes_str(meta), ww_bytes_str("x=1")};
    struct ww_record_in in = {.peer = ww_bytes(peer, sizeof peer),
        .server = who,
        .seq = who,
        .ttl_ms = 1000,
        .host = ww_bytes_str(host),
        .meta = strings,
        .meta_count = 2};
    assert_true(ww_routing_upsert(t, WW_NS_PER_S, &in) > 0);
}

static struct ww_record get(struct ww_routing *t, uint8_t who)
{
    uint8_t peer[38] = {0x00, 0x24, 0x08, 0x01, 0x12, 0x20, who};
    struct ww_record r;
    assert_ok(ww_routing_get(t, ww_bytes(peer, sizeof peer), &r));
    return r;
}

/* Memory that goes bad: the byte is changed behind the table's back. */
static void spoil(struct ww_bytes text, uint8_t byte)
{
    *(uint8_t *)(uintptr_t)text.ptr = byte;
}

static struct ww_routing *table_of_three(void)
{
    struct ww_routing *t = table_new();
    struct ww_diag diag = {0};
    add(t, 1, "b", "k=b");
    add(t, 2, "d", "k=d");
    add(t, 3, "", "k=b");
    assert_ok(ww_node_check_indexes(t, &diag));
    return t;
}

static void an_index_out_of_order_is_found(void **state)
{
    WW_UNUSED(state);
    struct ww_diag diag = {0};
    struct ww_routing *t = table_of_three();
    spoil(get(t, 1).host, 'e');
    assert_int_equal(ww_node_check_indexes(t, &diag), WW_EFAILED);
    assert_non_null(strstr(diag.text, "index host, forward, '': place 0"));
    ww_routing_free(t);

    t = table_of_three();
    struct ww_record r = get(t, 1);
    spoil(ww_bytes_skip(ww_record_meta(&r, 0), 2), 'e');
    assert_int_equal(ww_node_check_indexes(t, &diag), WW_EFAILED);
    assert_non_null(strstr(diag.text, "index meta, forward"));
    ww_routing_free(t);
}

static void a_record_past_its_time_is_found(void **state)
{
    WW_UNUSED(state);
    struct ww_diag diag = {0};
    struct ww_routing *t = table_of_three();
    assert_ok(ww_node_check_deadlines(t, 2 * WW_NS_PER_S, 5, &diag));
    assert_ok(ww_node_check_deadlines(t, 2 * WW_NS_PER_S + 5, 5, &diag));
    assert_int_equal(ww_node_check_deadlines(t, 2 * WW_NS_PER_S + 6, 5, &diag), WW_ESTALE);
    assert_non_null(strstr(diag.text, "past its time"));
    assert_int_equal(ww_node_check_deadlines(t, WW_NS_PER_S / 2, 5, &diag), WW_EFAILED);
    (void)ww_routing_advance(t, 2 * WW_NS_PER_S, 0);
    assert_ok(ww_node_check_deadlines(t, 9 * WW_NS_PER_S, 5, &diag));
    ww_routing_free(t);
}

static void a_snapshot_that_moves_is_found(void **state)
{
    WW_UNUSED(state);
    struct ww_routing *t = table_of_three();
    struct ww_snapshot *snap = ww_routing_snapshot(t);
    uint64_t digest = ww_node_snapshot_digest(snap);
    add(t, 4, "f", "k=f");
    assert_int_equal(ww_routing_advance(t, 9 * WW_NS_PER_S, 2), 2);
    assert_true(ww_node_snapshot_digest(snap) == digest);
    struct ww_snapshot *other = ww_routing_snapshot(t);
    assert_true(ww_node_snapshot_digest(other) != digest);
    struct ww_record r;
    struct ww_scan scan = ww_scan_exact(WW_INDEX_HOST, ww_bytes_str("d"));
    struct ww_scan_iter it;
    ww_scan_init(&it, snap, &scan);
    assert_true(ww_scan_next(&it, &r));
    spoil(r.host, 'e');
    ww_scan_fini(&it);
    assert_true(ww_node_snapshot_digest(snap) != digest);
    ww_snapshot_unref(other);
    ww_snapshot_unref(snap);
    ww_routing_free(t);
}

/* ---- nodes that are tampered with ---- */

struct tampered {
    struct ww_node_program node;
    struct ww_scenario_program program; /* the node's, with what is wrong put in front of `safe` */
    void (*tamper)(struct tampered *t, struct ww_scenario *scenario);
    uint64_t checks;
};

static struct tampered *tampered_of(struct ww_scenario_program *program)
{
    return WW_CONTAINER_OF(program, struct tampered, program);
}

static ww_err start(
    struct ww_scenario_program *program, struct ww_sim_node *node, struct ww_scenario_app **ret_app)
{
    struct ww_scenario_program *inner = &tampered_of(program)->node.program;
    return inner->start(inner, node, ret_app);
}

static void stop(struct ww_scenario_program *program, struct ww_scenario_app *app)
{
    struct ww_scenario_program *inner = &tampered_of(program)->node.program;
    inner->stop(inner, app);
}

static ww_err safe(struct ww_scenario_program *program, struct ww_scenario *scenario, struct ww_diag *diag)
{
    struct tampered *t = tampered_of(program);
    t->checks++;
    if (t->tamper)
        t->tamper(t, scenario);
    return t->node.program.safe(&t->node.program, scenario, diag);
}

static ww_err converged(
    struct ww_scenario_program *program, struct ww_scenario *scenario, struct ww_diag *diag)
{
    struct ww_scenario_program *inner = &tampered_of(program)->node.program;
    return inner->converged(inner, scenario, diag);
}

static ww_err run(struct ww_scenario_conf *conf,
    void (*tamper)(struct tampered *t, struct ww_scenario *scenario), struct ww_scenario_result *ret_result)
{
    struct tampered t = {.program = {start, stop, safe, converged, NULL}, .tamper = tamper};
    uint32_t faults = conf->faults;
    ww_node_program_init(&t.node, conf);
    conf->faults = faults; /* the test's, not the seed's */
    conf->fault_gap_ns = WW_NS_PER_S / 2;
    ww_err err = ww_scenario_run(conf, &t.program, ret_result);
    ww_node_program_fini(&t.node);
    return err;
}

static struct ww_scenario_conf conf_for(uint64_t seed)
{
    struct ww_scenario_conf conf;
    ww_scenario_conf_default(&conf, seed);
    conf.nodes = 3;
    conf.faults = 1 << WW_FAULT_CRASH;
    conf.settle_ns = 30 * WW_NS_PER_S;
    return conf;
}

static struct ww_record record_at(struct ww_scenario *scenario, size_t at, const struct ww_peer_id *of)
{
    struct ww_record r;
    assert_ok(ww_routing_get(ww_node_routing(ww_node_program_node(scenario, at)), ww_peer_id_view(of), &r));
    return r;
}

static void say(struct ww_scenario *scenario, size_t at, const struct ww_node_life *life, const char *host)
{
    char texts[WW_NODE_LIFE_META][WW_NODE_LIFE_META_MAX];
    struct ww_bytes meta[WW_NODE_LIFE_META];
    ww_node_life_meta(life, texts);
    for (size_t i = 0; i < WW_NODE_LIFE_META; i++)
        meta[i] = ww_bytes_str(texts[i]);
    struct ww_record_in in = {.peer = ww_peer_id_view(&life->peer),
        .server = life->server,
        .seq = UINT64_MAX,
        .ttl_ms = 60000,
        .host = ww_bytes_str(host),
        .meta = meta,
        .meta_count = WW_NODE_LIFE_META};
    struct ww_env *env = ww_sim_node_env(ww_scenario_node(scenario, at));
    (void)!ww_routing_upsert(ww_node_routing(ww_node_program_node(scenario, at)), ww_env_now(env), &in);
}

static void forge(struct tampered *t, struct ww_scenario *scenario)
{
    if (t->checks == 100)
        say(scenario, 0, &t->node.lives.all[1], "elsewhere");
}

/* As a node that would take a dead peer's word for a minute. */
static void revive(struct tampered *t, struct ww_scenario *scenario)
{
    for (size_t i = 0; i < t->node.lives.count; i++) {
        const struct ww_node_life *life = &t->node.lives.all[i];
        char host[32];
        ww_node_life_host(life, host);
        if (life->over_ns && ww_node_program_node(scenario, (life->index + 1) % 3))
            say(scenario, (life->index + 1) % 3, life, host);
    }
}

static void drop(struct tampered *t, struct ww_scenario *scenario)
{
    const struct ww_node_life *life = &t->node.lives.all[1];
    if (t->checks != 500)
        return;
    struct ww_record r = record_at(scenario, 0, &life->peer);
    assert_ok(ww_routing_leave(ww_node_routing(ww_node_program_node(scenario, 0)),
        ww_env_now(ww_sim_node_env(ww_scenario_node(scenario, 0))), ww_peer_id_view(&life->peer),
        life->server, r.seq + 1));
}

static void muddle(struct tampered *t, struct ww_scenario *scenario)
{
    if (t->checks == 100)
        spoil(record_at(scenario, 0, &t->node.lives.all[1].peer).host, 'z');
}

static void what_was_never_said_is_found(void **state)
{
    WW_UNUSED(state);
    struct ww_scenario_conf conf = conf_for(1);
    struct ww_scenario_result result;
    conf.faults_ns = 0;
    assert_int_equal(run(&conf, forge, &result), WW_EPEERID);
    assert_string_equal(result.diag.text, "n1 lists what never was: elsewhere");
    conf = conf_for(1);
    conf.faults_ns = 0;
    assert_int_equal(run(&conf, muddle, &result), WW_EPEERID);
}

static void the_dead_among_the_living_are_found(void **state)
{
    WW_UNUSED(state);
    struct ww_scenario_conf conf = conf_for(6);
    struct ww_scenario_result result;
    assert_int_equal(run(&conf, revive, &result), WW_ESTALE);
    assert_non_null(strstr(result.diag.text, "which ended"));
}

static void a_healthy_peer_dropped_is_found(void **state)
{
    WW_UNUSED(state);
    struct ww_scenario_conf conf = conf_for(3);
    struct ww_scenario_result result;
    conf.faults_ns = 0;
    assert_int_equal(run(&conf, drop, &result), WW_ENOTFOUND);
    assert_string_equal(result.diag.text, "n1 dropped n2, which lives and is connected");
}

static void those_who_do_not_meet_are_found(void **state)
{
    WW_UNUSED(state);
    struct ww_scenario_conf conf = conf_for(4);
    struct ww_scenario_result result;
    conf.sim.link.loss_ppm = 1000000;
    conf.settle_ns = 5 * WW_NS_PER_S;
    assert_int_equal(run(&conf, NULL, &result), WW_ENOTFOUND);
    assert_non_null(strstr(result.diag.text, "not converged at the start: n1 does not list n2"));
}

/* ---- readers ---- */

struct pair {
    struct ww_sim *sim;
    struct ww_sim_node *server, *client;
    struct ww_keypair key;
    struct ww_node_lives lives;
    struct ww_node *node;
    struct ww_node_reader *reader;
};

/* A node in a zone that readers watch, and a reader that is logged in at it. */
static void pair_init(struct pair *p)
{
    struct ww_sim_conf conf;
    const char *const meta[] = {"zone=b", "life=0", "app=ww"};
    size_t place;
    *p = (struct pair){0};
    ww_sim_conf_default(&conf, 5);
    conf.nodes_max = 3;
    assert_ok(ww_sim_new(&conf, &p->sim));
    assert_ok(ww_sim_node_add(p->sim, "n1", 0, &p->client));
    assert_ok(ww_sim_node_add(p->sim, "n2", 0, &p->server));
    ww_node_life_key(1, &p->key);
    struct ww_node_conf node = {.env = ww_sim_node_env(p->server),
        .key = &p->key,
        .ns = WW_NODE_LIFE_NS,
        .meta = meta,
        .meta_count = 3};
    struct ww_diag diag = {0};
    assert_ok(ww_node_new(&node, &p->node, &diag));
    assert_ok(ww_node_life_add(&p->lives, 1, 0, &place));
    p->lives.all[0].peer = *ww_node_id(p->node);
    p->lives.all[0].server = ww_node_server(p->node);
    assert_ok(ww_node_reader_new(p->client, &p->lives, &p->reader));
}

static void pair_fini(struct pair *p)
{
    ww_node_reader_free(p->reader);
    ww_node_free(p->node);
    ww_keypair_fini(&p->key);
    ww_sim_free(p->sim);
    ww_free(p->lives.all);
}

static void a_wrong_picture_is_found(void **state)
{
    WW_UNUSED(state);
    struct pair p;
    struct ww_diag diag = {0};
    pair_init(&p);
    assert_int_equal(ww_node_reader_converged(p.reader, &diag), WW_ENOTFOUND);
    ww_sim_run_for(p.sim, 5 * WW_NS_PER_S);
    assert_ok(ww_node_reader_converged(p.reader, &diag));
    assert_ok(ww_node_reader_safe(p.reader, &diag));
    assert_true(ww_node_reader_server(p.reader) == ww_node_server(p.node));
    assert_ok(ww_node_reader_compare(p.reader, ww_node_routing(p.node), &diag));
    struct ww_routing *other = table_new();
    assert_int_equal(ww_node_reader_compare(p.reader, other, &diag), WW_EEXIST);
    ww_routing_free(other);
    /* A node restarted under its key: the reader was told of the run before. */
    uint64_t server = p.lives.all[0].server;
    struct ww_record_in in = {
        .peer = ww_peer_id_view(&p.lives.all[0].peer), .server = 7, .seq = UINT64_MAX, .ttl_ms = 60000};
    assert_true(ww_routing_upsert(ww_node_routing(p.node), ww_env_now(ww_sim_node_env(p.server)), &in) > 0);
    p.lives.all[0].server = 7;
    assert_int_equal(ww_node_reader_compare(p.reader, ww_node_routing(p.node), &diag), WW_ENOTFOUND);
    p.lives.all[0].server = server;
    /* And the record that it has no longer is of a run that was. */
    ww_sim_run_for(p.sim, 5 * WW_NS_PER_S);
    assert_int_equal(ww_node_reader_safe(p.reader, &diag), WW_EFAILED);
    assert_non_null(strstr(diag.text, "there was never such a node"));
    pair_fini(&p);
}

static void a_reader_without_answers_is_found(void **state)
{
    WW_UNUSED(state);
    struct pair p;
    struct ww_diag diag = {0};
    pair_init(&p);
    ww_sim_run_for(p.sim, 5 * WW_NS_PER_S);
    assert_ok(ww_node_reader_converged(p.reader, &diag));
    ww_sim_node_pause(p.server);
    ww_sim_run_for(p.sim, 12 * WW_NS_PER_S);
    assert_int_equal(ww_node_reader_converged(p.reader, &diag), WW_ETIMEOUT);
    pair_fini(&p);
}

/* ---- what they are for ---- */

static void a_run_repeats(void **state)
{
    WW_UNUSED(state);
    uint64_t hash[3];
    for (size_t i = 0; i < 3; i++) {
        struct ww_scenario_conf conf = conf_for(i < 2 ? 7 : 8);
        struct ww_scenario_result result;
        conf.faults = (1u << WW_FAULT_COUNT) - 1;
        conf.faults_ns = 20 * WW_NS_PER_S;
        /* Objects lie elsewhere each time. */
        void *shift[64];
        for (size_t k = 0; k < WW_COUNT_OF(shift); k++)
            assert_non_null(shift[k] = malloc(16 + i * k * 48));
        ww_err err = run(&conf, NULL, &result);
        for (size_t k = 0; k < WW_COUNT_OF(shift); k++)
            free(shift[k]);
        if (err)
            fail_msg("%s", result.diag.text);
        hash[i] = result.hash;
    }
    assert_true(hash[0] == hash[1]);
    assert_true(hash[0] != hash[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_index_out_of_order_is_found),
        cmocka_unit_test(a_record_past_its_time_is_found),
        cmocka_unit_test(a_snapshot_that_moves_is_found),
        cmocka_unit_test(what_was_never_said_is_found),
        cmocka_unit_test(the_dead_among_the_living_are_found),
        cmocka_unit_test(a_healthy_peer_dropped_is_found),
        cmocka_unit_test(those_who_do_not_meet_are_found),
        cmocka_unit_test(a_wrong_picture_is_found),
        cmocka_unit_test(a_reader_without_answers_is_found),
        cmocka_unit_test(a_run_repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
