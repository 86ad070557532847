/* A node of the program's: options, life, and what it can be asked. */
#include "embed/node.h"

#include "p2p/multiaddr.h"

#define ADDR_BYTES_MAX 1024
#define ALLOW_BYTES_MAX (4u << 20)

/* ---- options ---- */

/* Peer ids have no line breaks, so that a list of them is a text of lines. */
static ww_err take_allow(
    struct ww_embed_node *n, const struct ww_embed_node_options *options, struct ww_diag *diag)
{
    struct ww_buf text;
    struct ww_diag detail = {0};
    ww_err err = 0;
    ww_buf_init(&text, ALLOW_BYTES_MAX);
    for (size_t i = 0; i < options->allow_count && err == 0; i++) {
        struct ww_peer_id id;
        struct ww_bytes entry = ww_bytes_str(options->allow[i]);
        if (ww_peer_id_parse(entry, &id) < 0)
            err = ww_diag_set(diag, WW_EINVAL, "allow: '%s' is no peer id", options->allow[i]);
        if (err == 0)
            err = ww_buf_append(&text, entry);
        if (err == 0)
            err = ww_buf_append_byte(&text, '\n');
        if (err == WW_ENOMEM || err == WW_ELIMIT)
            ww_diag_set(diag, err, "allow: %s", ww_err_text(err));
    }
    if (err == 0) {
        err = ww_auth_list_parse(&n->allow, ww_buf_view(&text), &detail);
        if (err < 0)
            ww_diag_set(diag, err, "allow: %s", detail.text);
    }
    ww_buf_fini(&text);
    return err;
}

static ww_err set_up(
    struct ww_embed_node *n, const struct ww_embed_node_options *options, struct ww_diag *diag)
{
    struct ww_env *env = n->object.runtime->env;
    struct ww_embed_node_options taken;
    WW_TRY(ww_embed_take(&taken, sizeof taken, options, "node options", diag));
    WW_TRY(ww_embed_take(&n->ops, sizeof n->ops, n->user ? n->user->ops : NULL, "node callbacks", diag));
    if (taken.allow_count)
        WW_TRY(take_allow(n, &taken, diag));
    WW_TRY(ww_embed_identity(env, taken.data_dir, &n->key, diag));
    struct ww_node_conf conf = {
        .env = env,
        .key = &n->key,
        .ns = taken.ns,
        .listen = taken.listen,
        .listen_count = taken.listen_count,
        .peers = taken.peers,
        .peer_count = taken.peer_count,
        .discover = taken.discover,
        .discover_count = taken.discover_count,
        .meta = taken.meta,
        .meta_count = taken.meta_count,
        .host = taken.host,
        .ttl_ms = taken.ttl_ms,
        .policy = taken.allow_count ? &n->allow.policy : NULL,
    };
    return ww_node_new(&conf, &n->node, diag);
}

/* ---- life ---- */

static void destroy(struct ww_embed_object *object)
{
    struct ww_embed_node *n = WW_CONTAINER_OF(object, struct ww_embed_node, object);
    ww_node_free(n->node);
    ww_auth_list_fini(&n->allow);
    ww_keypair_fini(&n->key);
    ww_buf_fini(&n->address);
    ww_free(n);
}

void ww_embed_node_free(struct ww_embed_node *node)
{
    if (!node || node->object.dead)
        return;
    ww_embed_source_fini(&node->source);
    ww_embed_node_tell_stop(node);
    ww_embed_object_end(&node->object);
}

static void on_left(struct ww_node_leave *leave)
{
    struct ww_embed_node *n = WW_CONTAINER_OF(leave, struct ww_embed_node, leave);
    struct ww_env *env = n->object.runtime->env;
    if (n->object.dead)
        return;
    n->gone = true;
    env->ops->post(env, &n->tell);
}

ww_err ww_embed_node_new(struct ww_runtime *runtime, const struct ww_embed_node_options *options,
    struct ww_embed_node_user *user, struct ww_embed_node **ret_node, struct ww_diag *diag)
{
    struct ww_embed_node *n = WW_NEW(struct ww_embed_node);
    if (!n)
        return ww_diag_set(diag, WW_ENOMEM, "out of memory");
    ww_embed_object_init(&n->object, runtime, destroy);
    ww_embed_source_init(&n->source, runtime);
    ww_buf_init(&n->address, ADDR_BYTES_MAX);
    ww_embed_node_tell_init(n);
    n->user = user;
    n->leave.done = on_left;
    ww_err err = set_up(n, options, diag);
    if (err < 0) {
        if (diag)
            ww_embed_plain(diag->text);
        ww_embed_node_free(n);
        return err;
    }
    ww_peer_id_format(ww_node_id(n->node), n->peer);
    n->source.vat = ww_node_vat(n->node);
    n->source.view = ww_node_view(n->node);
    ww_embed_node_tell_start(n);
    *ret_node = n;
    return 0;
}

void ww_embed_node_leave(struct ww_embed_node *node)
{
    if (!node->object.dead)
        ww_node_leave(node->node, &node->leave);
}

/* ---- what it is ---- */

const char *ww_embed_node_peer(const struct ww_embed_node *node)
{
    return node->peer;
}

uint64_t ww_embed_node_server(const struct ww_embed_node *node)
{
    return ww_node_server(node->node);
}

size_t ww_embed_node_count(const struct ww_embed_node *node)
{
    return ww_routing_count(ww_node_routing(node->node));
}

ww_err ww_embed_node_address_put(struct ww_embed_node *node, size_t index, struct ww_buf *out)
{
    struct ww_swarm *swarm = ww_node_swarm(node->node);
    struct ww_buf addr;
    if (index >= ww_swarm_addr_count(swarm))
        return WW_ENOTFOUND;
    ww_buf_init(&addr, ADDR_BYTES_MAX);
    ww_err err = ww_multiaddr_encapsulate_peer(&addr, ww_swarm_addr(swarm, index), ww_swarm_id(swarm));
    if (err == 0)
        err = ww_multiaddr_format(ww_buf_view(&addr), out);
    if (err == 0)
        err = ww_buf_append_byte(out, '\0');
    ww_buf_fini(&addr);
    return err;
}

const char *ww_embed_node_address(struct ww_embed_node *node, size_t index)
{
    ww_buf_clear(&node->address);
    if (ww_embed_node_address_put(node, index, &node->address) < 0)
        return NULL;
    return (const char *)ww_buf_data(&node->address);
}

/* ---- queries ---- */

ww_err ww_embed_node_query(struct ww_embed_node *node, const struct ww_embed_query_options *options,
    struct ww_embed_query_user *user, struct ww_embed_query **ret_query, struct ww_diag *diag)
{
    if (node->object.dead)
        return ww_diag_set(diag, WW_ESTATE, "the node was freed");
    return ww_embed_source_query(&node->source, options, user, ret_query, diag);
}

/* A count says how many match, so it has no use for records. */
static ww_err select_run(struct ww_embed_node *n, struct ww_query_run *run, struct ww_embed_select *select,
    bool count_only, uint64_t *ret_count)
{
    struct ww_embed_record_room room;
    struct ww_record record;
    uint64_t count = 0;
    bool more = true;
    ww_err got = 0;
    while (more && (got = ww_query_run_next(run, SIZE_MAX, &record)) == 1) {
        if (!ww_embed_record_set(&room, &record))
            continue;
        count++;
        if (count_only || !select)
            continue;
        ww_embed_enter(&n->object);
        more = select->record(select, &room.record) && !n->object.dead;
        ww_embed_leave(&n->object);
    }
    if (got < 0)
        return got;
    *ret_count = count;
    return 0;
}

ww_err ww_embed_node_select(struct ww_embed_node *node, const struct ww_embed_query_options *options,
    struct ww_embed_select *select, uint64_t *ret_count, struct ww_diag *diag)
{
    struct ww_query_run run;
    struct ww_query *query;
    bool standing;
    uint64_t count = 0;
    WW_TRY(ww_embed_query_parse(options, &query, &standing, diag));
    struct ww_snapshot *snap = NULL;
    ww_err err = 0;
    if (standing)
        err = ww_diag_set(diag, WW_EINVAL, "standing: ask with callbacks");
    else if (!(snap = ww_routing_snapshot(ww_node_routing(node->node))))
        err = ww_diag_set(diag, WW_ENOMEM, "out of memory");
    if (err == 0) {
        err = ww_query_run_init(&run, query, snap);
        if (err == 0) {
            err = select_run(node, &run, select, query->count_only, &count);
            ww_query_run_fini(&run);
        }
        if (err < 0)
            ww_diag_set(diag, err, "cannot search the table: %s", ww_err_text(err));
    }
    ww_snapshot_unref(snap);
    ww_query_free(query);
    if (err == 0 && ret_count)
        *ret_count = count;
    return err;
}
