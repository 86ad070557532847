#include <stdio.h>

#include "node/node_int.h"
#include "p2p/multiaddr.h"

#define LEAVE_NS (100 * WW_NS_PER_MS)

void ww_node_protocol(const char *ns, bool packed, char *out)
{
    snprintf(out, WW_NODE_PROTOCOL_MAX, "ww/0.1.0/%s%s", ns, packed ? "/packed" : "");
}

ww_err ww_node_check_ns(const char *ns, struct ww_diag *diag)
{
    if (*ns == '\0')
        return ww_diag_set(diag, WW_EINVAL, "the namespace is empty; give it a name, such as ww");
    if (strchr(ns, '/'))
        return ww_diag_set(diag, WW_EINVAL,
            "namespace '%s': a slash is not allowed, because the namespace is one part "
            "of protocol names; write, say, a.b instead of a/b",
            ns);
    if (strlen(ns) > 200 || !ww_proto_namespace_ok(ww_bytes_str(ns)))
        return ww_diag_set(diag, WW_EINVAL,
            "namespace '%s': use at most 200 letters, digits, dots and dashes, "
            "beginning with a letter or digit",
            ns);
    return 0;
}

static ww_err copy_meta(struct ww_node *node, const struct ww_node_conf *conf, struct ww_diag *diag)
{
    if (conf->meta_count > WW_ROUTING_META_MAX)
        return ww_diag_set(diag, WW_EINVAL, "--meta: at most %d entries", WW_ROUTING_META_MAX);
    size_t ends[WW_ROUTING_META_MAX];
    for (size_t i = 0; i < conf->meta_count; i++) {
        const char *equals = strchr(conf->meta[i], '=');
        if (!equals || equals == conf->meta[i])
            return ww_diag_set(diag, WW_EINVAL, "--meta: '%s' is not KEY=VALUE", conf->meta[i]);
        ww_err err = ww_buf_append(&node->meta_mem, ww_bytes_str(conf->meta[i]));
        if (err == WW_ENOMEM)
            return ww_diag_set(diag, err, "out of memory");
        if (err < 0)
            return ww_diag_set(
                diag, WW_EINVAL, "--meta: all entries together may have %d bytes", WW_ROUTING_META_BYTES_MAX);
        ends[i] = ww_buf_len(&node->meta_mem);
    }
    for (size_t i = 0; i < conf->meta_count; i++) {
        size_t begin = i ? ends[i - 1] : 0;
        node->meta[i] = ww_bytes(ww_buf_data(&node->meta_mem) + begin, ends[i] - begin);
    }
    node->meta_count = conf->meta_count;
    return 0;
}

static ww_err listen_all(struct ww_node *node, const struct ww_node_conf *conf, struct ww_diag *diag)
{
    static const char *const defaults[] = {"/ip4/0.0.0.0/tcp/0", "/ip6/::/tcp/0"};
    struct ww_node_texts addrs = {0};
    bool chosen = conf->listen_count > 0;
    ww_err err = ww_node_texts_parse(&addrs, chosen ? conf->listen : defaults,
        chosen ? conf->listen_count : WW_COUNT_OF(defaults), "--listen", diag);
    for (size_t i = 0; i < addrs.count && err == 0; i++) {
        err = ww_swarm_listen(node->swarm, addrs.views[i], diag);
        /* A machine without IPv6 is no reason not to start. */
        if (err < 0 && !chosen && i > 0)
            err = 0;
    }
    ww_node_texts_fini(&addrs);
    return err;
}

static ww_err start_cluster(struct ww_node *node, struct ww_diag *diag)
{
    struct ww_pubsub_conf conf;
    char id_mem[WW_PROTO_ID_MAX];
    ww_err err = ww_pubsub_conf_cluster(&conf, ww_bytes_str(node->ns), id_mem);
    if (err == 0)
        err = ww_pubsub_new(node->swarm, &conf, &node->pubsub);
    if (err < 0)
        return ww_diag_set(diag, err, "cannot start publish-subscribe: %s", ww_err_text(err));
    struct ww_routing_conf routing = {.grace_ms = WW_NODE_GRACE_MS, .budget = &node->table_budget};
    node->env->ops->random(node->env, routing.seed, sizeof routing.seed);
    err = ww_routing_new(&routing, &node->routing);
    if (err < 0)
        return ww_diag_set(diag, err, "cannot make the routing table: %s", ww_err_text(err));
    err = ww_node_pulse_start(node);
    if (err < 0)
        return ww_diag_set(diag, err, "cannot join topic '%s': %s", node->ns, ww_err_text(err));
    return 0;
}

static ww_err node_setup(struct ww_node *node, const struct ww_node_conf *conf, struct ww_diag *diag)
{
    const char *ns = conf->ns ? conf->ns : WW_NODE_NS_DEFAULT;
    WW_TRY(ww_node_check_ns(ns, diag));
    node->ns = ww_alloc(strlen(ns) + 1);
    if (!node->ns)
        return ww_diag_set(diag, WW_ENOMEM, "out of memory");
    memcpy(node->ns, ns, strlen(ns) + 1);
    node->ttl_ms = conf->ttl_ms ? conf->ttl_ms : WW_ROUTING_TTL_DEFAULT_MS;
    if (node->ttl_ms < WW_NODE_TTL_MIN_MS || node->ttl_ms > 3600000)
        return ww_diag_set(diag, WW_EINVAL, "--ttl: choose between 100ms and 1h");
    WW_TRY(copy_meta(node, conf, diag));
    WW_TRY(ww_node_texts_parse(&node->discover, conf->discover, conf->discover_count, "--discover", diag));
    WW_TRY(ww_node_texts_parse(&node->peers, conf->peers, conf->peer_count, "--peer", diag));
    if (conf->host)
        snprintf(node->host, sizeof node->host, "%s", conf->host);
    else
        node->env->ops->hostname(node->env, node->host, sizeof node->host);
    struct ww_swarm_conf swarm = {.env = node->env, .key = node->key, .limits = conf->limits};
    ww_err err = ww_swarm_new(&swarm, &node->swarm);
    if (err < 0)
        return ww_diag_set(diag, err, "cannot start the network: %s", ww_err_text(err));
    WW_TRY(listen_all(node, conf, diag));
    WW_TRY(start_cluster(node, diag));
    err = ww_node_serve_start(node);
    if (err < 0)
        return ww_diag_set(diag, err, "cannot serve RPC: %s", ww_err_text(err));
    return ww_node_meet_start(node, diag);
}

ww_err ww_node_new(const struct ww_node_conf *conf, struct ww_node **ret_node, struct ww_diag *diag)
{
    struct ww_node *node = WW_NEW(struct ww_node);
    if (!node)
        return ww_diag_set(diag, WW_ENOMEM, "out of memory");
    node->env = conf->env;
    node->key = conf->key;
    node->policy = conf->policy;
    ww_budget_init(&node->table_budget, NULL);
    node->table_budget.max[WW_RES_BYTES] = conf->table_bytes ? conf->table_bytes : WW_NODE_TABLE_BYTES;
    ww_buf_init(&node->meta_mem, WW_ROUTING_META_BYTES_MAX);
    ww_list_init(&node->dials);
    ww_list_init(&node->lost);
    ww_list_init(&node->sessions);
    uint64_t seed;
    node->env->ops->random(node->env, &seed, sizeof seed);
    ww_prng_init(&node->prng, seed);
    do {
        node->env->ops->random(node->env, &node->server, sizeof node->server);
    } while (node->server == 0);
    ww_err err = node_setup(node, conf, diag);
    if (err < 0) {
        if (diag && !diag->text[0])
            ww_diag_set(diag, err, "cannot start: %s", ww_err_text(err));
        ww_node_free(node);
        return err;
    }
    *ret_node = node;
    return 0;
}

void ww_node_free(struct ww_node *node)
{
    if (!node)
        return;
    node->env->ops->timer_cancel(node->env, &node->leave_timer);
    ww_node_meet_stop(node);
    ww_node_serve_stop(node);
    if (node->pubsub) {
        ww_node_pulse_stop(node);
        ww_pubsub_free(node->pubsub);
    }
    ww_swarm_free(node->swarm);
    ww_routing_free(node->routing);
    ww_node_texts_fini(&node->discover);
    ww_node_texts_fini(&node->peers);
    ww_buf_fini(&node->meta_mem);
    ww_free(node->ns);
    ww_free(node);
}

/* Two loop turns write out what a publish has queued; the kernel delivers it even if we close then. */
static void leave_over(struct ww_timer *timer)
{
    struct ww_node *node = WW_CONTAINER_OF(timer, struct ww_node, leave_timer);
    node->leave->done(node->leave);
}

void ww_node_leave(struct ww_node *node, struct ww_node_leave *leave)
{
    if (node->leaving)
        return;
    node->leaving = true;
    node->leave = leave;
    ww_node_meet_stop(node);
    ww_node_pulse_farewell(node);
    node->leave_timer.fired = leave_over;
    node->env->ops->timer_set(node->env, &node->leave_timer, ww_env_now(node->env) + LEAVE_NS);
}

const struct ww_peer_id *ww_node_id(const struct ww_node *node)
{
    return ww_swarm_id(node->swarm);
}

uint64_t ww_node_server(const struct ww_node *node)
{
    return node->server;
}

struct ww_swarm *ww_node_swarm(struct ww_node *node)
{
    return node->swarm;
}

struct ww_pubsub *ww_node_pubsub(struct ww_node *node)
{
    return node->pubsub;
}

struct ww_routing *ww_node_routing(struct ww_node *node)
{
    return node->routing;
}

struct ww_cap *ww_node_view(struct ww_node *node)
{
    return node->view;
}

struct ww_rpc_vat *ww_node_vat(struct ww_node *node)
{
    return node->vat.rpc;
}
