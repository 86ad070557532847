#include "schema/core.capnp.rpc.h"
#include "service/terminal.h"
#include "test/unit/service/world.h"

struct fixture {
    struct world w;
    struct ww_keypair server, client;
    struct ww_peer_id server_id, client_id;
    struct ww_terminal_conf conf;
    struct ww_cap *view;
};

static bool nobody(const struct ww_auth_policy *policy, const struct ww_peer_id *account)
{
    WW_UNUSED(policy);
    WW_UNUSED(account);
    return false;
}
static const struct ww_auth_policy allow_nobody = {nobody};

static void begin(struct fixture *f)
{
    uint8_t seed[32] = {1};
    memset(f, 0, sizeof *f);
    world_init(&f->w);
    ww_keypair_from_seed(&f->server, seed);
    seed[0] = 2;
    ww_keypair_from_seed(&f->client, seed);
    ww_peer_id_from_key(&f->server.pub, &f->server_id);
    ww_peer_id_from_key(&f->client.pub, &f->client_id);
    assert_ok(ww_cap_new_broken(f->w.vat, WW_EFAILED, "view", &f->view));
    f->conf = (struct ww_terminal_conf){.env = f->w.env,
        .vat = f->w.vat,
        .policy = &ww_auth_allow_all,
        .self = f->server_id,
        .server = 0x1122,
        .host = "h",
        .view = f->view};
}

static void finish(struct fixture *f)
{
    ww_cap_unref(f->view);
    ww_keypair_fini(&f->server);
    ww_keypair_fini(&f->client);
    world_fini(&f->w);
}

/* Logs in with `account` at a terminal for `peer`; the outcome's reason, "" for success. */
static const char *login(struct fixture *f, const struct ww_peer_id *peer, struct ww_cap *account)
{
    static char reason[256];
    struct ww_cap *terminal;
    struct ww_rpc_request *request;
    struct ww_Terminal_login_params_b params = {0};
    struct waiter waiter = {.wait = {waiter_done}};
    assert_ok(ww_terminal_new(&f->conf, peer, &terminal));
    assert_ok(ww_Terminal_login_request(terminal, &request, &params));
    ww_Terminal_login_params_set_account(params, account);
    ww_rpc_request_send(request, &waiter.wait);
    ww_cap_unref(account);
    world_run(&f->w, 2 * WW_NS_PER_S);
    assert_int_equal(waiter.done, 1);
    snprintf(reason, sizeof reason, "%s", ww_rpc_request_reason(request));
    if (ww_rpc_request_status(request) == 0) {
        struct ww_Session_r s = ww_Terminal_login_results_session(ww_Terminal_login_results(request));
        assert_true(ww_cap_same(ww_Session_view(s), f->view));
        assert_int_equal(ww_Session_local_server(ww_Session_local(s)), 0x1122);
        assert_bytes(ww_Session_local_peer(ww_Session_local(s)), f->server_id.bytes, f->server_id.len);
        assert_bytes(ww_Session_local_host(ww_Session_local(s)), "h", 1);
        assert_string_equal(reason, "");
    } else {
        assert_true(reason[0]);
    }
    ww_rpc_request_free(request);
    ww_cap_unref(terminal);
    return reason;
}

static struct ww_cap *signer(struct fixture *f, const struct ww_keypair *key, const struct ww_peer_id *server)
{
    struct ww_cap *cap;
    assert_ok(ww_signer_new(f->w.vat, key, server, &cap));
    return cap;
}

static void a_proof_opens_the_door(void **state)
{
    struct fixture f;
    WW_UNUSED(state);
    begin(&f);
    assert_string_equal(login(&f, &f.client_id, signer(&f, &f.client, &f.server_id)), "");
    finish(&f);
}

static void refusals(void **state)
{
    struct fixture f;
    WW_UNUSED(state);
    begin(&f);
    assert_non_null(strstr(login(&f, &f.client_id, NULL), "no account"));
    /* The signer believes to talk to somebody else: a relayed challenge. */
    assert_non_null(
        strstr(login(&f, &f.client_id, signer(&f, &f.client, &f.client_id)), "not for this connection"));
    /* Another key than that of the connection's peer. */
    assert_non_null(
        strstr(login(&f, &f.client_id, signer(&f, &f.server, &f.server_id)), "not for this connection"));
    f.conf.policy = &allow_nobody;
    assert_string_equal(login(&f, &f.client_id, signer(&f, &f.client, &f.server_id)), "denied");
    finish(&f);
}

/* Accounts of other implementations: they sign whatever has 16 bytes; this one may also keep silent. */
struct foreign {
    struct ww_Signer_server server;
    const struct ww_keypair *key;
    struct ww_rpc_call *held;
    bool silent, wrong;
};

static void foreign_sign(struct ww_Signer_server *self, struct ww_rpc_call *call)
{
    struct foreign *s = WW_CONTAINER_OF(self, struct foreign, server);
    uint8_t challenge[16] = {0};
    struct ww_buf proof;
    if (s->silent) {
        s->held = call;
        return;
    }
    struct ww_bytes given = ww_Signer_sign_params_challenge(ww_Signer_sign_params(call));
    assert_int_equal(given.len, 16);
    if (!s->wrong)
        memcpy(challenge, given.ptr, 16);
    ww_buf_init(&proof, WW_AUTH_PROOF_MAX);
    assert_ok(ww_auth_prove(s->key, challenge, &proof));
    ww_Signer_sign_results_set_signed(ww_Signer_sign_answer(call), ww_buf_view(&proof));
    ww_rpc_call_return(call);
    ww_buf_fini(&proof);
}

static const struct ww_Signer_ops foreign_ops = {.sign = foreign_sign};

static void foreign_accounts(void **state)
{
    struct fixture f;
    struct ww_cap *cap;
    WW_UNUSED(state);
    begin(&f);
    struct foreign s = {.key = &f.client};
    ww_Signer_server_init(&s.server, &foreign_ops);
    assert_ok(ww_Signer_server_cap(f.w.vat, &s.server, &cap));
    assert_string_equal(login(&f, &f.client_id, ww_cap_ref(cap)), "");
    s.wrong = true;
    assert_non_null(strstr(login(&f, &f.client_id, ww_cap_ref(cap)), "no proof"));
    s.wrong = false;
    s.key = &f.server;
    assert_non_null(strstr(login(&f, &f.client_id, ww_cap_ref(cap)), "not the peer"));
    s.silent = true;
    assert_non_null(strstr(login(&f, &f.client_id, ww_cap_ref(cap)), "in time"));
    assert_non_null(s.held);
    ww_rpc_call_return(s.held);
    ww_cap_unref(cap);
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_proof_opens_the_door),
        cmocka_unit_test(refusals),
        cmocka_unit_test(foreign_accounts),
    };
    return cmocka_run_group_tests_name("service/session", tests, NULL, NULL);
}
