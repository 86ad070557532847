/* ww start — runs a node until it is told to leave. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/log.h"
#include "node/identity.h"
#include "node/node.h"
#include "os/os.h"
#include "p2p/multiaddr.h"

#define ALLOW_FILE_MAX (4u << 20)

struct start {
    struct ww_os *os;
    struct ww_env *env;
    struct ww_cli_log log;
    struct ww_os_signals signals;
    struct ww_node_leave leave;
    struct ww_node *node;
    struct ww_auth_list allow;
};

static void left(struct ww_node_leave *leave)
{
    ww_os_stop(WW_CONTAINER_OF(leave, struct start, leave)->os);
}

/* The second signal does not wait for the farewell. */
static void caught(struct ww_os_signals *signals, int signum)
{
    struct start *s = WW_CONTAINER_OF(signals, struct start, signals);
    static bool before;
    WW_UNUSED(signum);
    if (before)
        ww_os_stop(s->os);
    else
        ww_node_leave(s->node, &s->leave);
    before = true;
}

static void print_ready(struct start *s, const struct ww_cli_args *args)
{
    char peer[WW_PEER_ID_TEXT_MAX], server[20], addr[512];
    ww_peer_id_format(ww_node_id(s->node), peer);
    snprintf(server, sizeof server, "%016llx", (unsigned long long)ww_node_server(s->node));
    if (args->json) {
        WW_TRACE(&s->log.trace, NODE_STARTED, ww_tv_str(args->ns), ww_tv_str(peer), ww_tv_str(server));
    } else {
        printf("wetware %s  namespace %s\n  server  %s\n  peer    %s\n", WW_VERSION, args->ns, server, peer);
    }
    struct ww_swarm *swarm = ww_node_swarm(s->node);
    for (size_t i = 0; i < ww_swarm_addr_count(swarm); i++) {
        ww_multiaddr_text(ww_swarm_addr(swarm, i), addr, sizeof addr);
        if (args->json)
            WW_TRACE(&s->log.trace, NODE_ADDRESS, ww_tv_str(addr), ww_tv_str(peer));
        else
            printf("  address %s/p2p/%s\n", addr, peer);
    }
    fflush(stdout);
}

static ww_err load_allow(struct start *s, const char *path, struct ww_diag *diag)
{
    struct ww_buf text;
    struct ww_diag line;
    ww_buf_init(&text, ALLOW_FILE_MAX);
    ww_err err = s->env->ops->file_read(s->env, path, &text);
    if (err < 0)
        ww_diag_set(diag, err, "--allow: cannot read %s: %s", path, ww_err_text(err));
    else if ((err = ww_auth_list_parse(&s->allow, ww_buf_view(&text), &line)) < 0)
        ww_diag_set(diag, err, "--allow: %s, %.200s", path, line.text);
    ww_buf_fini(&text);
    return err;
}

static ww_err start_node(
    struct start *s, const struct ww_cli_args *args, struct ww_keypair *key, struct ww_diag *diag)
{
    bool created;
    if (args->data)
        WW_TRY(ww_identity_load(s->env, args->data, key, &created, diag));
    else
        ww_identity_fresh(s->env, key);
    if (args->allow)
        WW_TRY(load_allow(s, args->allow, diag));
    if (args->ttl_ns / WW_NS_PER_MS > UINT32_MAX)
        return ww_diag_set(diag, WW_EINVAL, "--ttl: choose between 100ms and 1h");
    struct ww_node_conf conf = {
        .env = s->env,
        .key = key,
        .ns = args->ns,
        .listen = args->listen.items,
        .listen_count = args->listen.count,
        .peers = args->peers.items,
        .peer_count = args->peers.count,
        .discover = args->discover.items,
        .discover_count = args->discover.count,
        .meta = args->meta.items,
        .meta_count = args->meta.count,
        .ttl_ms = (uint32_t)(args->ttl_ns / WW_NS_PER_MS),
        .policy = args->allow ? &s->allow.policy : NULL,
    };
    return ww_node_new(&conf, &s->node, diag);
}

int ww_cmd_start(const struct ww_cli_args *args)
{
    struct start s = {.signals = {caught}, .leave = {left}};
    struct ww_keypair key;
    struct ww_diag diag = {0};
    memset(&key, 0, sizeof key);
    if (args->rest_count) {
        fprintf(stderr, "ww start: unexpected argument '%s'. See 'ww help start'.\n", args->rest[0]);
        return 2;
    }
    if (ww_os_new(&s.os) < 0 || ww_os_signals_watch(s.os, &s.signals) < 0) {
        fprintf(stderr, "ww start: cannot start: out of memory or descriptors\n");
        return 1;
    }
    s.env = ww_os_env(s.os);
    ww_cli_log_init(&s.log, s.env, stdout, args->json, args->debug);
    s.env->trace = &s.log.trace;
    ww_err err = start_node(&s, args, &key, &diag);
    if (err < 0) {
        fprintf(stderr, "ww start: %s\n", diag.text[0] ? diag.text : ww_err_text(err));
    } else {
        print_ready(&s, args);
        ww_os_run(s.os);
        ww_node_free(s.node);
        if (args->json)
            WW_TRACE(&s.log.trace, NODE_STOPPED, ww_tv_str(args->ns));
    }
    ww_keypair_fini(&key);
    ww_auth_list_fini(&s.allow);
    ww_os_free(s.os);
    return err == 0 ? 0 : err == WW_EINVAL || err == WW_EUNSUPPORTED ? 2 : 1;
}
