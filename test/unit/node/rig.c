#include "test/unit/node/rig.h"

#include "node/node_int.h"
#include "rpc/internal.h"

static void key_make(struct ww_keypair *key, uint8_t first)
{
    uint8_t seed[WW_ED25519_SEED_BYTES] = {first};
    ww_keypair_from_seed(key, seed);
}

static void dialed(struct ww_swarm_dial *op, ww_err err)
{
    WW_UNUSED(op);
    assert_ok(err);
}

void rig_init(struct rig *r, uint64_t seed)
{
    struct ww_sim_conf conf;
    struct ww_sim_node *machine;
    struct ww_diag diag = {0};
    const char *const listen[] = {"/ip4/10.0.0.1/tcp/2020"};
    memset(r, 0, sizeof *r);
    ww_sim_conf_default(&conf, seed);
    ww_prng_init(&r->prng, seed);
    assert_ok(ww_sim_new(&conf, &r->sim));
    key_make(&r->node_key, 1);
    key_make(&r->key, 2);
    assert_ok(ww_sim_node_add(r->sim, "", 0, &machine));
    r->node_env = ww_sim_node_env(machine);
    struct ww_node_conf node = {.env = r->node_env, .key = &r->node_key, .listen = listen, .listen_count = 1};
    if (ww_node_new(&node, &r->node, &diag) < 0)
        fail_msg("%s", diag.text);
    r->id = *ww_node_id(r->node);
    assert_ok(ww_sim_node_add(r->sim, "", 0, &machine));
    r->env = ww_sim_node_env(machine);
    struct ww_swarm_conf swarm = {.env = r->env, .key = &r->key};
    assert_ok(ww_swarm_new(&swarm, &r->swarm));
    assert_ok(ww_vat_init(&r->vat, r->env));
    struct ww_swarm_dial dial = {.done = dialed};
    struct ww_buf addr;
    ww_buf_init(&addr, 256);
    assert_ok(ww_multiaddr_parse(ww_bytes_str(listen[0]), &addr));
    struct ww_bytes view = ww_buf_view(&addr);
    assert_ok(ww_swarm_dial(r->swarm, &dial, &r->id, &view, 1, 0));
    ww_buf_fini(&addr);
    rig_run(r, WW_NS_PER_S);
    assert_true(ww_swarm_connected(r->swarm, &r->id));
}

/* Nothing outlives its vat: what does would hold a reference. */
static void expect_last(struct ww_rpc_vat *vat)
{
    assert_int_equal(vat->refs, 1);
    ww_rpc_vat_unref(vat);
}

void rig_free_node(struct rig *r)
{
    if (!r->node)
        return;
    struct ww_rpc_vat *vat = ww_rpc_vat_ref(r->node->vat.rpc);
    ww_node_free(r->node);
    r->node = NULL;
    expect_last(vat);
}

void rig_fini(struct rig *r)
{
    struct ww_rpc_vat *vat = ww_rpc_vat_ref(r->vat.rpc);
    rig_free_node(r);
    ww_vat_fini(&r->vat);
    expect_last(vat);
    ww_swarm_free(r->swarm);
    ww_sim_free(r->sim);
    ww_keypair_fini(&r->node_key);
    ww_keypair_fini(&r->key);
}

void rig_run(struct rig *r, uint64_t ns)
{
    ww_sim_run_for(r->sim, ns);
}

void rig_record(struct rig *r, uint32_t number, const char *host, const char *meta)
{
    uint8_t peer[34] = {0x12, 0x20};
    struct ww_bytes field = ww_bytes_str(meta ? meta : "");
    ww_le32_store(peer + 2, number);
    struct ww_record_in in = {.peer = ww_bytes(peer, sizeof peer),
        .server = number + 1,
        .seq = ww_env_now(r->node_env),
        .ttl_ms = 3600000,
        .host = ww_bytes_str(host),
        .meta = &field,
        .meta_count = meta ? 1 : 0};
    ww_ignore(ww_routing_upsert(ww_node_routing(r->node), ww_env_now(r->node_env), &in));
}

static void line_closed(struct ww_link *link, ww_err err, const char *reason)
{
    struct line *l = WW_CONTAINER_OF(link, struct line, link);
    WW_UNUSED(err);
    l->closed = true;
    snprintf(l->reason, sizeof l->reason, "%s", reason);
}

static void line_opened(struct ww_swarm_open *op, ww_err err)
{
    struct line *l = WW_CONTAINER_OF(op, struct line, op);
    bool packed = err == 0 && op->protocol.len == strlen("ww/0.1.0/" RIG_NS "/packed");
    if (err == 0)
        err = ww_link_init(&l->link, &l->rig->vat, op->stream, NULL, packed, line_closed);
    l->up = err == 0;
    l->closed = err < 0;
}

void line_start(struct rig *r, struct line *l, bool packed)
{
    char name[WW_NODE_PROTOCOL_MAX];
    const char *const names[] = {name};
    memset(l, 0, sizeof *l);
    l->rig = r;
    l->op.done = line_opened;
    ww_link_prepare(&l->link);
    ww_node_protocol(RIG_NS, packed, name);
    if (ww_swarm_open_strict(r->swarm, &l->op, &r->id, names, 1, &l->link.user, 0) < 0)
        l->closed = true;
}

void line_open(struct rig *r, struct line *l, bool packed)
{
    line_start(r, l, packed);
    rig_run(r, 100 * WW_NS_PER_MS);
    assert_true(l->up);
}

void line_close(struct line *l)
{
    ww_swarm_open_cancel(&l->op);
    ww_link_fini(&l->link);
    l->up = false;
    l->closed = true;
}

struct ww_cap *line_view(struct line *l)
{
    struct ww_cap *terminal, *account, *view;
    struct ww_rpc_request *login;
    struct ww_Terminal_login_params_b params = {0};
    assert_ok(ww_rpc_conn_bootstrap(l->link.conn, &terminal));
    assert_ok(ww_Terminal_login_request(terminal, &login, &params));
    assert_ok(ww_signer_new(l->rig->vat.rpc, &l->rig->key, &l->rig->id, &account));
    ww_Terminal_login_params_set_account(params, account);
    ww_rpc_request_send(login, NULL);
    assert_ok(ww_Terminal_login_pipeline_session_view(login, &view));
    ww_cap_unref(account);
    ww_cap_unref(terminal);
    ww_rpc_request_free(login);
    return view;
}
