#include "node/client.h"

#include <stdio.h>

#include "cluster/boot_driver.h"
#include "node/node.h"
#include "node/texts.h"
#include "schema/core.capnp.rpc.h"
#include "service/terminal.h"

#define PARALLEL_MAX 4
#define CANDIDATES_MAX 64
#define STEP_TIMEOUT_NS (5 * WW_NS_PER_S)
#define TRIED_BYTES 600

enum step { STEP_DIAL, STEP_OPEN, STEP_LOGIN };

/* One candidate on its way in. */
struct attempt {
    struct ww_list link;
    struct ww_client *client;
    struct ww_peer_id peer;
    enum step step;
    struct ww_swarm_dial dial;
    struct ww_swarm_open open;
    struct ww_link rpc;
    bool linked;
    struct ww_rpc_request *login;
    struct ww_rpc_wait wait;
    struct ww_timer timer;
};

struct candidate {
    struct ww_list link;
    struct ww_peer_id peer;
    struct ww_buf mem;
    size_t ends[8];
    size_t count;
};

struct ww_client {
    struct ww_env *env;
    const struct ww_keypair *key;
    struct ww_client_user *user;
    char protocols[2][WW_NODE_PROTOCOL_MAX];
    uint64_t timeout_ns;
    struct ww_swarm *swarm;
    struct ww_vat vat;
    struct ww_boot *boot;
    struct ww_boot_user boot_user;
    struct ww_node_texts discover, peers;
    struct ww_list attempts, waiting; /* struct attempt, struct candidate */
    size_t attempt_count, candidate_count;
    unsigned found;
    char tried[TRIED_BYTES];
    struct ww_timer deadline;
    struct ww_task next; /* starts waiting candidates */
    struct attempt *winner;
    bool only_static; /* nobody else will be found */
    bool over;
};

static void end(struct ww_client *c, ww_err err, const char *text)
{
    if (c->over)
        return;
    c->over = true;
    c->env->ops->timer_cancel(c->env, &c->deadline);
    c->user->failed(c->user, err, text);
}

static void attempt_free(struct attempt *a)
{
    struct ww_client *c = a->client;
    c->env->ops->timer_cancel(c->env, &a->timer);
    ww_swarm_dial_cancel(&a->dial);
    ww_swarm_open_cancel(&a->open);
    ww_rpc_request_free(a->login);
    if (a->linked)
        ww_link_fini(&a->rpc);
    else if (a->rpc.user.stream)
        ww_stream_reset(a->rpc.user.stream);
    ww_list_remove(&a->link);
    c->attempt_count--;
    ww_free(a);
}

/* For the message at the end. */
static void note_tried(struct attempt *a, const char *text)
{
    struct ww_client *c = a->client;
    char peer[WW_PEER_ID_TEXT_MAX];
    size_t used = strlen(c->tried);
    ww_peer_id_format(&a->peer, peer);
    snprintf(c->tried + used, sizeof c->tried - used, "\n  %s: %s", peer, text);
}

/* Remembers why, and lets the next candidate in. */
static void attempt_failed(struct attempt *a, const char *text)
{
    struct ww_client *c = a->client;
    note_tried(a, text);
    attempt_free(a);
    c->env->ops->post(c->env, &c->next);
}

/* ---- login ---- */

static void link_closed(struct ww_link *link, ww_err err, const char *reason)
{
    struct attempt *a = WW_CONTAINER_OF(link, struct attempt, rpc);
    if (a->client->winner == a)
        end(a->client, err, reason);
    else
        attempt_failed(a, reason);
}

static void logged_in(struct ww_rpc_wait *wait, struct ww_rpc_request *request)
{
    struct attempt *a = WW_CONTAINER_OF(wait, struct attempt, wait);
    struct ww_client *c = a->client;
    if (ww_rpc_request_status(request) < 0) {
        attempt_failed(a, ww_rpc_request_reason(request));
        return;
    }
    c->winner = a;
    c->env->ops->timer_cancel(c->env, &a->timer);
    c->env->ops->timer_cancel(c->env, &c->deadline);
    ww_boot_search(c->boot, false);
    WW_LIST_FOR_SAFE(it, &c->attempts)
    {
        struct attempt *other = WW_LIST_ENTRY(it, struct attempt, link);
        if (other != a)
            attempt_free(other);
    }
    struct ww_Session_r session = ww_Terminal_login_results_session(ww_Terminal_login_results(request));
    struct ww_client_session info = {
        .peer = a->peer,
        .server = ww_Session_local_server(ww_Session_local(session)),
        .view = ww_Session_view(session),
    };
    c->user->ready(c->user, &info);
}

static ww_err login(struct attempt *a)
{
    struct ww_client *c = a->client;
    struct ww_cap *account, *terminal;
    struct ww_Terminal_login_params_b params;
    WW_TRY(ww_signer_new(c->vat.rpc, c->key, &a->peer, &account));
    ww_err err = ww_rpc_conn_bootstrap(a->rpc.conn, &terminal);
    if (err == 0) {
        err = ww_Terminal_login_request(terminal, &a->login, &params);
        ww_cap_unref(terminal);
    }
    if (err == 0) {
        ww_Terminal_login_params_set_account(params, account);
        a->wait.done = logged_in;
        a->step = STEP_LOGIN;
        ww_rpc_request_send(a->login, &a->wait);
    }
    ww_cap_unref(account);
    return err;
}

static void opened(struct ww_swarm_open *op, ww_err err)
{
    struct attempt *a = WW_CONTAINER_OF(op, struct attempt, open);
    struct ww_client *c = a->client;
    if (err < 0) {
        char text[2 * WW_NODE_PROTOCOL_MAX];
        if (err == WW_ENOPROTO)
            snprintf(text, sizeof text, "does not speak %s: another namespace?", c->protocols[0]);
        else
            snprintf(text, sizeof text, "%s", op->diag.text[0] ? op->diag.text : ww_err_text(err));
        attempt_failed(a, text);
        return;
    }
    bool packed = ww_bytes_eq(op->protocol, ww_bytes_str(c->protocols[0]));
    err = ww_link_init(&a->rpc, &c->vat, op->stream, NULL, packed, link_closed);
    a->linked = err == 0;
    if (err == 0)
        err = login(a);
    if (err < 0)
        attempt_failed(a, ww_err_text(err));
}

static void dialed(struct ww_swarm_dial *op, ww_err err)
{
    struct attempt *a = WW_CONTAINER_OF(op, struct attempt, dial);
    const char *const names[] = {a->client->protocols[0], a->client->protocols[1]};
    if (err < 0) {
        attempt_failed(a, op->diag.text[0] ? op->diag.text : ww_err_text(err));
        return;
    }
    a->peer = op->peer;
    a->step = STEP_OPEN;
    a->open.done = opened;
    ww_link_prepare(&a->rpc);
    err = ww_swarm_open_strict(a->client->swarm, &a->open, &a->peer, names, 2, &a->rpc.user, STEP_TIMEOUT_NS);
    if (err < 0)
        attempt_failed(a, ww_err_text(err));
}

static const char *step_missed(const struct attempt *a)
{
    static const char *const steps[] = {
        "no connection in time", "no RPC stream in time", "no answer to the login in time"};
    return steps[a->step];
}

static void attempt_timeout(struct ww_timer *timer)
{
    struct attempt *a = WW_CONTAINER_OF(timer, struct attempt, timer);
    attempt_failed(a, step_missed(a));
}

/* ---- candidates ---- */

static void attempt_start(
    struct ww_client *c, const struct ww_peer_id *peer, const struct ww_bytes *addrs, size_t count)
{
    struct attempt *a = WW_NEW(struct attempt);
    if (!a)
        return;
    a->client = c;
    a->peer = *peer;
    a->dial.done = dialed;
    a->timer.fired = attempt_timeout;
    ww_list_push_back(&c->attempts, &a->link);
    c->attempt_count++;
    c->env->ops->timer_set(c->env, &a->timer, ww_env_now(c->env) + 2 * STEP_TIMEOUT_NS);
    ww_err err = ww_swarm_dial(c->swarm, &a->dial, peer, addrs, count, 0);
    if (err < 0)
        attempt_failed(a, ww_err_text(err));
}

static bool known(struct ww_client *c, const struct ww_peer_id *peer)
{
    WW_LIST_FOR(it, &c->attempts)
    {
        if (ww_peer_id_eq(&WW_LIST_ENTRY(it, struct attempt, link)->peer, peer))
            return true;
    }
    WW_LIST_FOR(it, &c->waiting)
    {
        if (ww_peer_id_eq(&WW_LIST_ENTRY(it, struct candidate, link)->peer, peer))
            return true;
    }
    return false;
}

static void candidate_free(struct ww_client *c, struct candidate *k)
{
    ww_list_remove(&k->link);
    c->candidate_count--;
    ww_buf_fini(&k->mem);
    ww_free(k);
}

static void candidate_keep(
    struct ww_client *c, const struct ww_peer_id *peer, const struct ww_bytes *addrs, size_t count)
{
    struct candidate *k = c->candidate_count < CANDIDATES_MAX ? WW_NEW(struct candidate) : NULL;
    if (!k)
        return;
    k->peer = *peer;
    ww_buf_init(&k->mem, 8192);
    for (size_t i = 0; i < count && k->count < WW_COUNT_OF(k->ends); i++) {
        if (ww_buf_append(&k->mem, addrs[i]) == 0)
            k->ends[k->count++] = ww_buf_len(&k->mem);
    }
    ww_list_push_back(&c->waiting, &k->link);
    c->candidate_count++;
}

static void start_waiting(struct ww_task *task)
{
    struct ww_client *c = WW_CONTAINER_OF(task, struct ww_client, next);
    while (!c->winner && !c->over && c->attempt_count < PARALLEL_MAX && !ww_list_empty(&c->waiting)) {
        struct candidate *k = WW_LIST_ENTRY(c->waiting.next, struct candidate, link);
        struct ww_bytes addrs[WW_COUNT_OF(k->ends)];
        for (size_t i = 0; i < k->count; i++) {
            size_t begin = i ? k->ends[i - 1] : 0;
            addrs[i] = ww_bytes(ww_buf_data(&k->mem) + begin, k->ends[i] - begin);
        }
        ww_list_remove(&k->link); /* before the attempt: it may fail at once and look here */
        ww_list_init(&k->link);
        attempt_start(c, &k->peer, addrs, k->count);
        candidate_free(c, k);
    }
    /* By address, and none of them works: waiting would not change that. */
    if (c->only_static && !c->winner && c->found >= c->peers.count && c->attempt_count == 0) {
        char text[TRIED_BYTES + 64];
        snprintf(text, sizeof text, "no node let us in; tried:%s", c->tried);
        end(c, WW_EREFUSED, text);
    }
}

static void peer_found(
    struct ww_boot_user *user, const struct ww_peer_id *peer, const struct ww_bytes *addrs, size_t addr_count)
{
    struct ww_client *c = WW_CONTAINER_OF(user, struct ww_client, boot_user);
    if (c->winner || c->over || known(c, peer))
        return;
    c->found++;
    if (c->attempt_count < PARALLEL_MAX)
        attempt_start(c, peer, addrs, addr_count);
    else
        candidate_keep(c, peer, addrs, addr_count);
}

static void time_over(struct ww_timer *timer)
{
    struct ww_client *c = WW_CONTAINER_OF(timer, struct ww_client, deadline);
    char text[TRIED_BYTES + 256];
    WW_LIST_FOR(it, &c->attempts)
    {
        struct attempt *a = WW_LIST_ENTRY(it, struct attempt, link);
        note_tried(a, step_missed(a));
    }
    if (c->found == 0)
        snprintf(text, sizeof text,
            "nobody answered within %.3g s; is a node of this namespace running? Reach one by address with "
            "--peer, or "
            "look elsewhere with --discover",
            (double)c->timeout_ns / 1e9);
    else
        snprintf(text, sizeof text, "no node let us in within %.3g s; tried:%s", (double)c->timeout_ns / 1e9,
            c->tried);
    ww_boot_search(c->boot, false);
    while (!ww_list_empty(&c->attempts))
        attempt_free(WW_LIST_ENTRY(c->attempts.next, struct attempt, link));
    end(c, WW_ETIMEOUT, text);
}

/* ---- life ---- */

static ww_err client_setup(struct ww_client *c, const struct ww_client_conf *conf, struct ww_diag *diag)
{
    WW_TRY(ww_node_check_ns(conf->ns, diag));
    ww_node_protocol(conf->ns, true, c->protocols[0]);
    ww_node_protocol(conf->ns, false, c->protocols[1]);
    WW_TRY(ww_node_texts_parse(&c->discover, conf->discover, conf->discover_count, "--discover", diag));
    WW_TRY(ww_node_texts_parse(&c->peers, conf->peers, conf->peer_count, "--peer", diag));
    c->only_static = conf->peer_count > 0;
    struct ww_swarm_conf swarm = {.env = c->env, .key = c->key};
    ww_err err = ww_swarm_new(&swarm, &c->swarm);
    if (err == 0)
        err = ww_vat_init(&c->vat, c->env);
    if (err < 0)
        return ww_diag_set(diag, err, "cannot start: %s", ww_err_text(err));
    c->boot_user.peer_found = peer_found;
    struct ww_boot_conf boot = {
        .signer = c->key,
        .ns = ww_bytes_str(conf->ns),
        .discover = c->discover.views,
        .discover_count = c->discover.count,
        .peers = c->peers.views,
        .peer_count = c->peers.count,
        .user = &c->boot_user,
    };
    return ww_boot_new(c->env, &boot, &c->boot, diag);
}

ww_err ww_client_new(const struct ww_client_conf *conf, struct ww_client **ret_client, struct ww_diag *diag)
{
    struct ww_client *c = WW_NEW(struct ww_client);
    if (!c)
        return ww_diag_set(diag, WW_ENOMEM, "out of memory");
    c->env = conf->env;
    c->key = conf->key;
    c->user = conf->user;
    c->timeout_ns = conf->timeout_ns;
    c->deadline.fired = time_over;
    ww_list_init(&c->attempts);
    ww_list_init(&c->waiting);
    ww_task_init(&c->next, start_waiting);
    ww_err err = client_setup(c, conf, diag);
    if (err < 0) {
        if (diag && !diag->text[0])
            ww_diag_set(diag, err, "cannot start: %s", ww_err_text(err));
        ww_client_free(c);
        return err;
    }
    ww_boot_search(c->boot, true);
    c->env->ops->timer_set(c->env, &c->deadline, ww_env_now(c->env) + c->timeout_ns);
    *ret_client = c;
    return 0;
}

static void client_destroy(struct ww_vat *vat)
{
    struct ww_client *c = WW_CONTAINER_OF(vat, struct ww_client, vat);
    ww_vat_fini(&c->vat);
    ww_free(c);
}

void ww_client_free(struct ww_client *c)
{
    if (!c)
        return;
    c->over = true;
    c->env->ops->timer_cancel(c->env, &c->deadline);
    ww_list_remove(&c->next.link);
    ww_boot_free(c->boot);
    while (!ww_list_empty(&c->attempts))
        attempt_free(WW_LIST_ENTRY(c->attempts.next, struct attempt, link));
    while (!ww_list_empty(&c->waiting))
        candidate_free(c, WW_LIST_ENTRY(c->waiting.next, struct candidate, link));
    ww_swarm_free(c->swarm);
    ww_node_texts_fini(&c->discover);
    ww_node_texts_fini(&c->peers);
    /* `ready` and `failed` come from the vat, which cannot go under its own feet. */
    if (c->vat.running)
        c->vat.idle = client_destroy;
    else
        client_destroy(&c->vat);
}

struct ww_rpc_vat *ww_client_vat(struct ww_client *client)
{
    return client->vat.rpc;
}
