/* The swarm itself: birth and death, handlers, peers, subscribers, counters. */
#include "p2p/envelope.h"
#include "p2p/swarm_internal.h"

#define HOUSEKEEPING_NS (30 * WW_NS_PER_S)

static struct ww_bytes peer_key(const struct ww_map_node *node)
{
    return ww_peer_id_view(&WW_CONTAINER_OF(node, struct swarm_peer, node)->id);
}

static struct ww_bytes ip_map_key(const struct ww_map_node *node)
{
    const struct swarm_ip *ip = WW_CONTAINER_OF(node, struct swarm_ip, node);
    return ww_bytes(ip->key, sizeof ip->key);
}

static bool match_stream(struct ww_mss_matcher *matcher, struct ww_bytes token)
{
    return swarm_handler_for(WW_CONTAINER_OF(matcher, struct ww_swarm, matcher), token) != NULL;
}

static void housekeeping(struct ww_timer *timer)
{
    struct ww_swarm *sw = WW_CONTAINER_OF(timer, struct ww_swarm, housekeeping);
    uint64_t now_ns = swarm_now(sw);
    ww_peerstore_expire(sw->peerstore, now_ns);
    backoff_expire(sw->backoff, now_ns);
    ww_swarm_refresh_addrs(sw);
    while (sw->tx_spare_count)
        ww_free(sw->tx_spare[--sw->tx_spare_count]);
    sw->env->ops->timer_set(sw->env, &sw->housekeeping, now_ns + HOUSEKEEPING_NS);
}

static void addrs_changed(struct ww_task *task)
{
    struct ww_swarm *sw = WW_CONTAINER_OF(task, struct ww_swarm, addrs_task);
    identify_changed(sw);
    swarm_tell_addrs(sw);
}

/* ---- birth ---- */

static char *copy_text(const char *text)
{
    size_t len = strlen(text) + 1;
    char *copy = ww_alloc(len);
    if (copy)
        memcpy(copy, text, len);
    return copy;
}

static void init_lists(struct ww_swarm *sw)
{
    struct ww_list *lists[] = {&sw->connected, &sw->conns, &sw->handshakes, &sw->listeners, &sw->handlers,
        &sw->subs, &sw->dials, &sw->dials_waiting, &sw->ops, &sw->opens};
    for (size_t i = 0; i < WW_COUNT_OF(lists); i++)
        ww_list_init(lists[i]);
}

static void init_plain(struct ww_swarm *sw, const struct ww_swarm_conf *conf)
{
    sw->env = conf->env;
    sw->key = conf->key;
    sw->gater = conf->gater;
    sw->limits = conf->limits;
    swarm_limits_fill(&sw->limits);
    sw->muxers[0] = WW_BYTES_LIT("/yamux/1.0.0");
    sw->muxer_count = conf->no_early_muxer ? 0 : 1;
    sw->matcher.match = match_stream;
    sw->env->ops->random(sw->env, sw->seed, sizeof sw->seed);
    init_lists(sw);
    ww_map_init(&sw->ips, ip_map_key, sw->seed);
    ww_map_init(&sw->peers, peer_key, sw->seed);
    ww_buf_init(&sw->record, WW_ENVELOPE_MAX_BYTES);
    ww_budget_init(&sw->budget, conf->budget);
    sw->budget.max[WW_RES_BYTES] = sw->limits.total_bytes;
    ww_task_init(&sw->addrs_task, addrs_changed);
    sw->housekeeping.fired = housekeeping;
    ww_peer_id_from_key(&conf->key->pub, &sw->id);
}

static ww_err init_owned(struct ww_swarm *sw, const struct ww_swarm_conf *conf)
{
    uint8_t secret[32];
    sw->agent = copy_text(conf->agent ? conf->agent : "wetware-c/" WW_VERSION);
    sw->protocol_version = copy_text(conf->protocol_version ? conf->protocol_version : "");
    sw->peerstore = ww_peerstore_new(sw->seed);
    sw->backoff = backoff_new(sw->seed);
    sw->rx = ww_alloc(SWARM_RX_BYTES);
    if (!sw->agent || !sw->protocol_version || !sw->peerstore || !sw->backoff || !sw->rx)
        return WW_ENOMEM;
    sw->env->ops->random(sw->env, secret, sizeof secret);
    ww_err err = ww_noise_identity_init(&sw->noise, conf->key, secret);
    ww_wipe(secret, sizeof secret);
    return err;
}

static ww_err init_services(struct ww_swarm *sw, const struct ww_swarm_conf *conf)
{
    if (!conf->no_identify)
        WW_TRY(identify_start(sw));
    if (!conf->no_ping)
        WW_TRY(ping_serve(sw));
    if (conf->serve_perf)
        WW_TRY(perf_serve(sw));
    return WW_OK;
}

ww_err ww_swarm_new(const struct ww_swarm_conf *conf, struct ww_swarm **ret_swarm)
{
    if (!conf->env || !conf->key)
        return WW_EINVAL;
    struct ww_swarm *sw = WW_NEW(struct ww_swarm);
    if (!sw)
        return WW_ENOMEM;
    init_plain(sw, conf);
    ww_err err = init_owned(sw, conf);
    if (err == WW_OK)
        err = init_services(sw, conf);
    if (err < 0) {
        ww_swarm_free(sw);
        return err;
    }
    sw->env->ops->timer_set(sw->env, &sw->housekeeping, swarm_now(sw) + HOUSEKEEPING_NS);
    *ret_swarm = sw;
    return WW_OK;
}

/* ---- death ---- */

void ww_swarm_free(struct ww_swarm *sw)
{
    if (!sw)
        return;
    sw->freeing = true;
    while (!ww_list_empty(&sw->subs))
        ww_swarm_unsubscribe(sw, WW_LIST_ENTRY(sw->subs.next, struct ww_swarm_sub, link));
    open_free_all(sw);
    dial_free_all(sw);
    while (!ww_list_empty(&sw->conns))
        conn_finish(WW_LIST_ENTRY(sw->conns.next, struct ww_conn, link));
    open_free_all(sw);
    dial_free_all(sw);
    while (!ww_list_empty(&sw->handlers)) /* identify's own are among them */
        ww_list_remove(sw->handlers.next);
    identify_stop(sw);
    swarm_addrs_fini(sw);
    ww_list_remove(&sw->addrs_task.link);
    sw->env->ops->timer_cancel(sw->env, &sw->housekeeping);
    WW_ASSERT(sw->peers.count == 0 && sw->ips.count == 0);
    ww_map_fini(&sw->ips);
    ww_map_fini(&sw->peers);
    ww_noise_identity_fini(&sw->noise);
    ww_peerstore_free(sw->peerstore);
    backoff_free(sw->backoff);
    while (sw->tx_spare_count)
        ww_free(sw->tx_spare[--sw->tx_spare_count]);
    ww_free(sw->rx);
    ww_free(sw->agent);
    ww_free(sw->protocol_version);
    ww_free(sw);
}

const struct ww_peer_id *ww_swarm_id(const struct ww_swarm *sw)
{
    return &sw->id;
}

struct ww_env *ww_swarm_env(const struct ww_swarm *sw)
{
    return sw->env;
}

struct ww_peerstore *ww_swarm_peerstore(struct ww_swarm *sw)
{
    return sw->peerstore;
}

const struct ww_keypair *ww_swarm_key(const struct ww_swarm *sw)
{
    return sw->key;
}

/* ---- handlers ---- */

static struct ww_stream_handler *handler_exact(const struct ww_swarm *sw, struct ww_bytes protocol)
{
    WW_LIST_FOR(it, &sw->handlers)
    {
        struct ww_stream_handler *h = WW_LIST_ENTRY(it, struct ww_stream_handler, link);
        if (h->protocol && ww_bytes_eq(ww_bytes_str(h->protocol), protocol))
            return h;
    }
    return NULL;
}

struct ww_stream_handler *swarm_handler_for(const struct ww_swarm *sw, struct ww_bytes protocol)
{
    struct ww_stream_handler *exact = handler_exact(sw, protocol);
    if (exact)
        return exact;
    WW_LIST_FOR(it, &sw->handlers)
    {
        struct ww_stream_handler *h = WW_LIST_ENTRY(it, struct ww_stream_handler, link);
        if (h->match && h->match(h, protocol))
            return h;
    }
    return NULL;
}

ww_err ww_swarm_handle(struct ww_swarm *sw, struct ww_stream_handler *h)
{
    if (!h->protocol && !h->match)
        return WW_EINVAL;
    if (h->protocol && handler_exact(sw, ww_bytes_str(h->protocol)))
        return WW_EEXIST;
    ww_list_init(&h->link);
    ww_list_push_back(&sw->handlers, &h->link);
    if (h->protocol && !h->unlisted)
        identify_changed(sw);
    return WW_OK;
}

void ww_swarm_unhandle(struct ww_swarm *sw, struct ww_stream_handler *h)
{
    ww_list_remove(&h->link);
    if (h->protocol && !h->unlisted)
        identify_changed(sw);
}

/* ---- peers ---- */

struct swarm_peer *swarm_peer_find(const struct ww_swarm *sw, const struct ww_peer_id *id)
{
    struct ww_map_node *node = ww_map_get(&sw->peers, ww_peer_id_view(id));
    return node ? WW_CONTAINER_OF(node, struct swarm_peer, node) : NULL;
}

struct swarm_peer *swarm_peer_get(struct ww_swarm *sw, const struct ww_peer_id *id)
{
    struct swarm_peer *peer = swarm_peer_find(sw, id);
    if (peer)
        return peer;
    peer = WW_NEW(struct swarm_peer);
    if (!peer)
        return NULL;
    peer->id = *id;
    ww_list_init(&peer->link);
    ww_list_init(&peer->conns);
    ww_budget_init(&peer->budget, &sw->budget);
    peer->budget.max[WW_RES_BYTES] = sw->limits.peer_bytes;
    if (ww_map_insert(&sw->peers, &peer->node) < 0) {
        ww_free(peer);
        return NULL;
    }
    return peer;
}

void swarm_peer_put(struct ww_swarm *sw, struct swarm_peer *peer)
{
    if (peer->refs || peer->dial)
        return;
    ww_map_remove(&sw->peers, &peer->node);
    ww_free(peer);
}

size_t ww_swarm_conn_count(const struct ww_swarm *sw)
{
    return (size_t)sw->conns_in + sw->conns_out;
}

bool ww_swarm_connected(const struct ww_swarm *sw, const struct ww_peer_id *peer)
{
    return conn_of_peer(sw, peer) != NULL;
}

const struct ww_conn_info *ww_swarm_peer_conn(const struct ww_swarm *sw, const struct ww_peer_id *peer)
{
    struct ww_conn *c = conn_of_peer(sw, peer);
    return c ? &c->info : NULL;
}

const struct ww_peer_id *ww_swarm_next_peer(const struct ww_swarm *sw, const struct ww_peer_id *prev)
{
    const struct ww_list *at = &sw->connected;
    if (prev) {
        const struct swarm_peer *peer = swarm_peer_find(sw, prev);
        if (!peer || ww_list_empty(&peer->link))
            return NULL;
        at = &peer->link;
    }
    at = at->next;
    return at == &sw->connected ? NULL : &WW_LIST_ENTRY((struct ww_list *)at, struct swarm_peer, link)->id;
}

void ww_swarm_disconnect(struct ww_swarm *sw, const struct ww_peer_id *id)
{
    struct swarm_peer *peer = swarm_peer_find(sw, id);
    if (!peer)
        return;
    WW_LIST_FOR_SAFE(it, &peer->conns)
    conn_close(WW_LIST_ENTRY(it, struct ww_conn, peer_link), WW_ECLOSED);
}

/* ---- subscribers ---- */

void ww_swarm_subscribe(struct ww_swarm *sw, struct ww_swarm_sub *sub)
{
    ww_list_init(&sub->link);
    ww_list_push_back(&sw->subs, &sub->link);
}

void ww_swarm_unsubscribe(struct ww_swarm *sw, struct ww_swarm_sub *sub)
{
    if (sw->sub_cursor == &sub->link)
        sw->sub_cursor = sub->link.next;
    ww_list_remove(&sub->link);
}

/* Subscribers may unsubscribe anybody while they are told: the cursor moves on past a leaver. Events are told
 * one after the other, never one inside another, because all of them start from the loop and no call of ours
 * starts one. */
static struct ww_swarm_sub *sub_next(struct ww_swarm *sw)
{
    struct ww_list *at = sw->sub_cursor;
    if (at == &sw->subs)
        return NULL;
    sw->sub_cursor = at->next;
    return WW_LIST_ENTRY(at, struct ww_swarm_sub, link);
}

void swarm_tell_up(struct ww_swarm *sw, const struct ww_peer_id *id)
{
    struct ww_swarm_sub *sub;
    for (sw->sub_cursor = sw->subs.next; (sub = sub_next(sw));) {
        if (sub->peer_up)
            sub->peer_up(sub, id);
    }
}

void swarm_tell_down(struct ww_swarm *sw, const struct ww_peer_id *id)
{
    struct ww_swarm_sub *sub;
    for (sw->sub_cursor = sw->subs.next; (sub = sub_next(sw));) {
        if (sub->peer_down)
            sub->peer_down(sub, id);
    }
}

void swarm_tell_identified(struct ww_swarm *sw, const struct ww_swarm_identity *identity)
{
    struct ww_swarm_sub *sub;
    for (sw->sub_cursor = sw->subs.next; (sub = sub_next(sw));) {
        if (sub->identified)
            sub->identified(sub, identity);
    }
}

void swarm_tell_addrs(struct ww_swarm *sw)
{
    struct ww_swarm_sub *sub;
    for (sw->sub_cursor = sw->subs.next; (sub = sub_next(sw));) {
        if (sub->addrs_changed)
            sub->addrs_changed(sub);
    }
}

void ww_swarm_stats(const struct ww_swarm *sw, struct ww_swarm_stats *ret)
{
    *ret = sw->stats;
    ret->conns_in = sw->conns_in;
    ret->conns_out = sw->conns_out;
    ret->handshakes = sw->handshake_count;
    ret->streams = sw->streams;
    ret->bytes_held = sw->budget.used[WW_RES_BYTES];
}
