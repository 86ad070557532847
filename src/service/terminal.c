#include "service/terminal.h"

#include "schema/core.capnp.rpc.h"

struct terminal {
    struct ww_Terminal_server server;
    const struct ww_terminal_conf *conf;
    struct ww_peer_id peer;
    unsigned logins;
};

struct login {
    struct terminal *terminal;
    struct ww_rpc_call *call;
    struct ww_rpc_request *request;
    struct ww_rpc_wait wait;
    struct ww_timer timer;
    uint8_t challenge[WW_AUTH_CHALLENGE_BYTES];
};

static void trace_login(const struct terminal *t, const struct ww_peer_id *account, const char *result)
{
    char peer[WW_PEER_ID_TEXT_MAX], who[WW_PEER_ID_TEXT_MAX] = "?";
    if (!t->conf->env->trace)
        return;
    if (account)
        ww_peer_id_format(account, who);
    WW_TRACE(t->conf->env->trace, SESSION_LOGIN, ww_tv_str(ww_peer_id_format(&t->peer, peer)), ww_tv_str(who),
        ww_tv_str(result));
}

/* Gives back everything but the call, which is returned for its completion. */
static struct ww_rpc_call *login_end(struct login *login)
{
    struct ww_rpc_call *call = login->call;
    struct ww_env *env = login->terminal->conf->env;
    env->ops->timer_cancel(env, &login->timer);
    ww_rpc_request_free(login->request);
    login->terminal->logins--;
    ww_free(login);
    return call;
}

static void login_timeout(struct ww_timer *timer)
{
    struct login *login = WW_CONTAINER_OF(timer, struct login, timer);
    trace_login(login->terminal, NULL, "timeout");
    ww_rpc_call_fail(login_end(login), WW_EFAILED, "login: the account did not sign in time");
}

static void grant(struct terminal *t, struct ww_rpc_call *call)
{
    const struct ww_terminal_conf *conf = t->conf;
    struct ww_Session_b session = ww_Terminal_login_results_init_session(ww_Terminal_login_answer(call));
    struct ww_Session_local_b local = ww_Session_get_local(session);
    ww_Session_set_view(session, conf->view);
    ww_Session_local_set_peer(local, ww_peer_id_view(&conf->self));
    ww_Session_local_set_server(local, conf->server);
    ww_Session_local_set_host(local, ww_text(conf->host));
    ww_rpc_call_return(call);
}

static void signed_or_not(struct ww_rpc_wait *wait, struct ww_rpc_request *request)
{
    struct login *login = WW_CONTAINER_OF(wait, struct login, wait);
    struct terminal *t = login->terminal;
    struct ww_peer_id account;
    ww_err err = ww_rpc_request_status(request);
    if (err < 0) {
        char reason[128];
        size_t len = strnlen(ww_rpc_request_reason(request), sizeof reason - 1);
        memcpy(reason, ww_rpc_request_reason(request), len);
        reason[len] = '\0';
        trace_login(t, NULL, "no signature");
        ww_rpc_call_fail(login_end(login), err, "login: the account did not sign: %s", reason);
        return;
    }
    struct ww_bytes proof = ww_Signer_sign_results_signed(ww_Signer_sign_results(request));
    err = ww_auth_check(proof, login->challenge, &account);
    struct ww_rpc_call *call = login_end(login);
    if (err < 0) {
        trace_login(t, NULL, "bad proof");
        ww_rpc_call_fail(call, WW_EFAILED, "login: the signature is no proof for this challenge");
    } else if (!ww_peer_id_eq(&account, &t->peer)) {
        trace_login(t, &account, "not the peer");
        ww_rpc_call_fail(
            call, WW_EFAILED, "login: the account is not the peer at the other end of this connection");
    } else if (!t->conf->policy->allows(t->conf->policy, &account)) {
        trace_login(t, &account, "denied");
        ww_rpc_call_fail(call, WW_EFAILED, "denied");
    } else {
        trace_login(t, &account, "ok");
        grant(t, call);
    }
}

static void login(struct ww_Terminal_server *self, struct ww_rpc_call *call)
{
    struct terminal *t = WW_CONTAINER_OF(self, struct terminal, server);
    struct ww_env *env = t->conf->env;
    struct ww_cap *account = ww_Terminal_login_params_account(ww_Terminal_login_params(call));
    struct ww_Signer_sign_params_b params;
    uint8_t salt[WW_AUTH_SALT_BYTES];
    if (!account) {
        ww_rpc_call_fail(call, WW_EFAILED, "login: there is no account; pass a Signer");
        return;
    }
    if (t->logins >= WW_TERMINAL_LOGINS_MAX) {
        ww_rpc_call_fail(call, WW_EOVERLOADED, "login: too many logins in progress on this connection");
        return;
    }
    struct login *l = WW_NEW(struct login);
    if (!l || ww_Signer_sign_request(account, &l->request, &params) < 0) {
        ww_free(l);
        ww_rpc_call_fail(call, WW_EOVERLOADED, "login: out of memory");
        return;
    }
    ww_rpc_call_release_params(call); /* the request has the account */
    l->terminal = t;
    l->call = call;
    l->wait.done = signed_or_not;
    l->timer.fired = login_timeout;
    t->logins++;
    env->ops->random(env, salt, sizeof salt);
    ww_auth_challenge(salt, &t->conf->self, &t->peer, l->challenge);
    ww_Signer_sign_params_set_challenge(params, ww_bytes(l->challenge, sizeof l->challenge));
    ww_Signer_sign_params_set_salt(params, ww_bytes(salt, sizeof salt));
    ww_rpc_request_send(l->request, &l->wait);
    env->ops->timer_set(env, &l->timer,
        ww_env_now(env) + (t->conf->timeout_ns ? t->conf->timeout_ns : WW_TERMINAL_TIMEOUT_NS));
}

static void terminal_drop(struct ww_Terminal_server *self)
{
    ww_free(WW_CONTAINER_OF(self, struct terminal, server));
}

static const struct ww_Terminal_ops terminal_ops = {login, terminal_drop};

ww_err ww_terminal_new(
    const struct ww_terminal_conf *conf, const struct ww_peer_id *peer, struct ww_cap **ret_cap)
{
    struct terminal *t = WW_NEW(struct terminal);
    if (!t)
        return WW_ENOMEM;
    ww_Terminal_server_init(&t->server, &terminal_ops);
    t->conf = conf;
    t->peer = *peer;
    ww_err err = ww_Terminal_server_cap(conf->vat, &t->server, ret_cap);
    if (err < 0)
        ww_free(t);
    return err;
}
