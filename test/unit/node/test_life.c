/* Beginning and end of a node and of a client: out of memory, at any moment, in callbacks. */
#include "test/unit/node/rig.h"

#include "node/client.h"
#include "test/lib/alloc_fail.h"

struct world {
    struct ww_sim *sim;
    struct ww_sim_node *machine[2];
    struct ww_keypair key[2];
};

static void world_init(struct world *w, uint64_t seed)
{
    struct ww_sim_conf conf;
    ww_sim_conf_default(&conf, seed);
    assert_ok(ww_sim_new(&conf, &w->sim));
    for (uint8_t i = 0; i < 2; i++) {
        uint8_t bytes[WW_ED25519_SEED_BYTES] = {(uint8_t)(i + 1)};
        assert_ok(ww_sim_node_add(w->sim, "", 0, &w->machine[i]));
        ww_keypair_from_seed(&w->key[i], bytes);
    }
}

static void world_fini(struct world *w)
{
    ww_sim_free(w->sim);
    ww_keypair_fini(&w->key[0]);
    ww_keypair_fini(&w->key[1]);
}

static const char *const meta[] = {"a=1", "b=2"};
static const char *const listen_at[] = {"/ip4/10.0.0.1/tcp/2020"};

static struct ww_node_conf node_conf(struct world *w, int i)
{
    return (struct ww_node_conf){.env = ww_sim_node_env(w->machine[i]),
        .key = &w->key[i],
        .meta = meta,
        .meta_count = 2,
        .listen = listen_at,
        .listen_count = i == 0};
}

/* ---- out of memory ---- */

static ww_err make_node(void *ctx)
{
    struct world w;
    struct ww_node *node = NULL;
    struct ww_diag diag = {0};
    WW_UNUSED(ctx);
    struct ww_sim_conf conf;
    ww_sim_conf_default(&conf, 1);
    memset(&w, 0, sizeof w);
    WW_TRY(ww_sim_new(&conf, &w.sim));
    uint8_t bytes[WW_ED25519_SEED_BYTES] = {1};
    ww_keypair_from_seed(&w.key[0], bytes);
    ww_err err = ww_sim_node_add(w.sim, "", 0, &w.machine[0]);
    if (err == 0) {
        struct ww_node_conf nc = node_conf(&w, 0);
        err = ww_node_new(&nc, &node, &diag);
        if (err < 0) {
            assert_null(node);
            assert_true(diag.text[0]);
            /* Discovery that could join no group says that. */
            assert_true(err == WW_ENOMEM || err == WW_EADDRNOTAVAIL);
        }
    }
    ww_node_free(node);
    ww_sim_free(w.sim);
    ww_keypair_fini(&w.key[0]);
    return err;
}

static void node_without_memory(void **state)
{
    WW_UNUSED(state);
    assert_true(alloc_fail_run(make_node, NULL) > 20);
}

static ww_err make_client(void *ctx)
{
    static const char *const peers[] = {
        "/ip4/10.0.0.9/tcp/1/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"};
    struct world w;
    struct ww_client *client = NULL;
    struct ww_diag diag = {0};
    struct ww_client_user user = {0};
    WW_UNUSED(ctx);
    struct ww_sim_conf conf;
    ww_sim_conf_default(&conf, 1);
    memset(&w, 0, sizeof w);
    WW_TRY(ww_sim_new(&conf, &w.sim));
    uint8_t bytes[WW_ED25519_SEED_BYTES] = {1};
    ww_keypair_from_seed(&w.key[0], bytes);
    ww_err err = ww_sim_node_add(w.sim, "", 0, &w.machine[0]);
    if (err == 0) {
        struct ww_client_conf cc = {.env = ww_sim_node_env(w.machine[0]),
            .key = &w.key[0],
            .ns = "ww",
            .peers = peers,
            .peer_count = 1,
            .timeout_ns = WW_NS_PER_S,
            .user = &user};
        err = ww_client_new(&cc, &client, &diag);
        if (err < 0) {
            assert_null(client);
            assert_true(diag.text[0]);
            /* Discovery that could join no group says that. */
            assert_true(err == WW_ENOMEM || err == WW_EADDRNOTAVAIL);
        }
    }
    ww_client_free(client);
    ww_sim_free(w.sim);
    ww_keypair_fini(&w.key[0]);
    return err;
}

static void client_without_memory(void **state)
{
    WW_UNUSED(state);
    assert_true(alloc_fail_run(make_client, NULL) > 10);
}

/* ---- a client that is freed wherever it is ---- */

struct user {
    struct ww_client_user user;
    struct ww_client *client;
    unsigned ready, failed;
    bool free_inside;
};

static void on_ready(struct ww_client_user *user, const struct ww_client_session *session)
{
    struct user *u = WW_CONTAINER_OF(user, struct user, user);
    assert_int_equal(u->ready + u->failed, 0);
    assert_non_null(session->view);
    u->ready++;
    if (u->free_inside) {
        ww_client_free(u->client);
        u->client = NULL;
    }
}

static void on_failed(struct ww_client_user *user, ww_err err, const char *text)
{
    struct user *u = WW_CONTAINER_OF(user, struct user, user);
    assert_int_equal(u->failed, 0);
    assert_true(err < 0 && text[0]);
    u->failed++;
    if (u->free_inside) {
        ww_client_free(u->client);
        u->client = NULL;
    }
}

static void client_start(struct world *w, struct user *u, uint64_t timeout_ns)
{
    struct ww_diag diag = {0};
    u->user = (struct ww_client_user){on_ready, on_failed};
    struct ww_client_conf conf = {.env = ww_sim_node_env(w->machine[1]),
        .key = &w->key[1],
        .ns = "ww",
        .timeout_ns = timeout_ns,
        .user = &u->user};
    assert_ok(ww_client_new(&conf, &u->client, &diag));
}

/* Each side goes after every few milliseconds of the way in. */
static void ends_at_any_moment(void **state)
{
    WW_UNUSED(state);
    for (unsigned ms = 0; ms < 80; ms++) {
        struct world w;
        struct user u = {.free_inside = ms % 3 == 0};
        struct ww_node *node;
        struct ww_diag diag = {0};
        world_init(&w, ms + 1);
        struct ww_node_conf nc = node_conf(&w, 0);
        assert_ok(ww_node_new(&nc, &node, &diag));
        client_start(&w, &u, 10 * WW_NS_PER_S);
        ww_sim_run_for(w.sim, ms * WW_NS_PER_MS);
        if (ms % 2) {
            ww_node_free(node);
            node = NULL;
        } else {
            ww_client_free(u.client);
            u.client = NULL;
        }
        ww_sim_run_for(w.sim, 30 * WW_NS_PER_S);
        if (ms % 2 && u.ready && !u.free_inside)
            assert_int_equal(u.failed, 1); /* it lost the session and says so */
        ww_client_free(u.client);
        ww_node_free(node);
        world_fini(&w);
    }
}

/* The time is over while a login is on its way: one outcome, whatever comes later. */
static void an_end_is_an_end(void **state)
{
    unsigned ready = 0, failed = 0;
    WW_UNUSED(state);
    for (unsigned us = 500; us < 12000; us += 100) {
        struct world w;
        struct user u = {0};
        struct ww_node *node;
        struct ww_diag diag = {0};
        world_init(&w, 7);
        struct ww_node_conf nc = node_conf(&w, 0);
        assert_ok(ww_node_new(&nc, &node, &diag));
        ww_sim_run_for(w.sim, WW_NS_PER_S);
        client_start(&w, &u, us * WW_NS_PER_US);
        ww_sim_run_for(w.sim, 2 * WW_NS_PER_S);
        assert_int_equal(u.ready + u.failed, 1);
        ready += u.ready;
        failed += u.failed;
        ww_client_free(u.client);
        ww_node_free(node);
        world_fini(&w);
    }
    assert_true(ready > 0 && failed > 10);
}

/* ---- leaving ---- */

struct leaver {
    struct ww_node_leave leave;
    struct ww_node *node;
    unsigned done;
};

static void left(struct ww_node_leave *leave)
{
    struct leaver *l = WW_CONTAINER_OF(leave, struct leaver, leave);
    l->done++;
    ww_node_free(l->node);
    l->node = NULL;
}

static void leaving(void **state)
{
    WW_UNUSED(state);
    for (unsigned round = 0; round < 4; round++) {
        struct world w;
        struct leaver l = {.leave = {left}};
        struct ww_diag diag = {0};
        world_init(&w, 3 + round);
        struct ww_node_conf nc = node_conf(&w, 0);
        assert_ok(ww_node_new(&nc, &l.node, &diag));
        ww_sim_run_for(w.sim, round * 100 * WW_NS_PER_MS);
        ww_node_leave(l.node, &l.leave);
        ww_node_leave(l.node, &l.leave);
        if (round == 3) { /* and not waiting for it */
            ww_node_free(l.node);
            l.node = NULL;
        }
        ww_sim_run_for(w.sim, 500 * WW_NS_PER_MS);
        assert_int_equal(l.done, round < 3);
        assert_null(l.node);
        world_fini(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(node_without_memory),
        cmocka_unit_test(client_without_memory),
        cmocka_unit_test(ends_at_any_moment),
        cmocka_unit_test(an_end_is_an_end),
        cmocka_unit_test(leaving),
    };
    return cmocka_run_group_tests_name("node/life", tests, NULL, NULL);
}
