#include "p2p/gossipsub_int.h"

#include "crypto/hash.h"

void ww_gossip_conf_default(struct ww_gossip_conf *conf)
{
    *conf = (struct ww_gossip_conf){
        .policy = WW_GOSSIP_STRICT_SIGN,
        .msg_id = ww_gossip_id_author_seqno,
        .d = 6,
        .d_lo = 5,
        .d_hi = 12,
        .d_score = 4,
        .d_out = 2,
        .d_lazy = 6,
        .gossip_percent = 25,
        .history_windows = 5,
        .gossip_windows = 3,
        .heartbeat_ns = WW_NS_PER_S,
        .heartbeat_first_ns = 100 * WW_NS_PER_MS,
        .fanout_ttl_ns = 60 * WW_NS_PER_S,
        .backoff_ns = 60 * WW_NS_PER_S,
        .unsubscribe_backoff_ns = 10 * WW_NS_PER_S,
        .backoff_max_ns = 3600 * WW_NS_PER_S, /* what a peer may impose on us */
        .graft_flood_ns = 10 * WW_NS_PER_S,
        .backoff_slack_beats = 2,
        .px = true,
        .px_peers = 16,
        .px_beat = 16,
        .retransmit_max = 3,
        .ihave_ids_max = 5000,
        .ihave_messages_max = 10,
        .promise_ns = 3 * WW_NS_PER_S,
        .seen_ttl_ns = 120 * WW_NS_PER_S,
        .score_gossip = -4,
        .score_publish = -8,
        .score_graylist = -16,
        .score_px = 0,
        .opportunistic_beats = 60,
        .opportunistic_peers = 2,
        .opportunistic_score = 1,
        .penalty_free = 6,
        .invalid_free = 3,
        .invalid_close = 32,
        .rpc_bytes_max = 1 << 20,
        .control_bytes_max = 15 << 10, /* some implementations take no more than 16 KiB */
        .topics_max = 128,
        .peer_topics_max = 512,
        .rpc_subscriptions_max = 1024,
        .known_topics_max = 32768,
        .seen_max = 1 << 17,
        .mcache_bytes_max = 64 << 20,
        .backoffs_max = 16384,
        .queue_max = 1024,
        .queue_bytes_max = 8 << 20,
        .control_queue_bytes_max = 1 << 20,
        .pending_max = 4096,
        .pending_bytes_max = 16 << 20,
    };
}

size_t ww_gossip_id_content(const struct ww_gossip_fields *f, uint8_t *out)
{
    struct ww_sha256 h;
    ww_sha256_init(&h);
    ww_sha256_update(&h, f->topic);
    ww_sha256_update(&h, ww_bytes("", 1));
    ww_sha256_update(&h, f->data);
    ww_sha256_final(&h, out);
    return WW_SHA256_BYTES;
}

/* ---- the router ---- */

static struct ww_bytes peer_key(const struct ww_map_node *n)
{
    return ww_gossip_peer_id(WW_CONTAINER_OF(n, struct ww_gossip_peer, id_node));
}

static struct ww_bytes topic_key(const struct ww_map_node *n)
{
    return ww_gossip_topic_name(WW_CONTAINER_OF(n, struct ww_gossip_topic, node));
}

static struct ww_bytes member_key(const struct ww_map_node *n)
{
    const struct ww_gossip_member *m = WW_CONTAINER_OF(n, struct ww_gossip_member, node);
    return ww_bytes(m->key, sizeof m->key);
}

static struct ww_bytes backoff_key(const struct ww_map_node *n)
{
    const struct ww_gossip_backoff *b = WW_CONTAINER_OF(n, struct ww_gossip_backoff, node);
    return ww_bytes(b->key, b->key_len);
}

static struct ww_bytes cache_key(const struct ww_map_node *n)
{
    return WW_CONTAINER_OF(n, struct ww_gossip_msg, id_node)->id;
}

static bool conf_ok(const struct ww_gossip_conf *c)
{
    bool signs = c->policy == WW_GOSSIP_STRICT_SIGN;
    return c->self.len > 0 && c->self.len <= WW_GOSSIP_PEER_ID_MAX && c->msg_id && (c->auth || !signs) &&
        (signs || c->msg_id != ww_gossip_id_author_seqno) && c->d_lo <= c->d && c->d <= c->d_hi &&
        c->d_score <= c->d && c->d > 0 && c->heartbeat_ns > 0 && c->gossip_percent <= 100 &&
        c->gossip_windows <= c->history_windows && c->ihave_ids_max > 0 && c->queue_max > 0 &&
        c->control_bytes_max >= 1024 && c->control_bytes_max <= c->rpc_bytes_max / 4 &&
        c->rpc_bytes_max <= UINT32_MAX / 4;
}

static void lists_init(struct ww_gossip *g)
{
    struct ww_list *lists[] = {&g->all_peers, &g->active, &g->cached, &g->pending, &g->validate, &g->deliver,
        &g->ready, &g->closing, &g->connects};
    for (size_t i = 0; i < WW_COUNT_OF(lists); i++)
        ww_list_init(lists[i]);
    ww_map_init(&g->peers, peer_key, g->conf.hash_seed);
    ww_map_init(&g->topics, topic_key, g->conf.hash_seed);
    ww_map_init(&g->members, member_key, g->conf.hash_seed);
    ww_map_init(&g->backoffs, backoff_key, g->conf.hash_seed);
    ww_map_init(&g->cache, cache_key, g->conf.hash_seed);
}

ww_err ww_gossip_new(const struct ww_gossip_conf *conf, uint64_t now_ns, struct ww_gossip **ret_gossip)
{
    if (!conf_ok(conf))
        return WW_EINVAL;
    struct ww_gossip *g = WW_NEW(struct ww_gossip);
    if (!g)
        return WW_ENOMEM;
    g->conf = *conf;
    memcpy(g->self, conf->self.ptr, conf->self.len);
    g->conf.self.ptr = g->self;
    g->seqno = conf->seqno_start;
    g->next_beat_ns = ww_gossip_later(now_ns, conf->heartbeat_first_ns);
    g->connects_left = conf->px_beat;
    ww_prng_init(&g->prng, conf->prng_seed);
    ww_seen_init(&g->seen, conf->seen_max, conf->seen_ttl_ns);
    ww_buf_init(&g->scratch, conf->rpc_bytes_max);
    ww_buf_init(&g->signed_bytes, conf->rpc_bytes_max + 64);
    lists_init(g);
    g->ids = ww_calloc(conf->ihave_ids_max, sizeof *g->ids);
    if (!g->ids) {
        ww_free(g);
        return WW_ENOMEM;
    }
    *ret_gossip = g;
    return 0;
}

static void pending_drop(struct ww_gossip *g, struct ww_gossip_msg *m)
{
    struct ww_gossip_topic *t = m->topic;
    ww_list_remove(&m->window_link);
    ww_list_remove(&m->event_link);
    m->topic = NULL;
    m->state = WW_GOSSIP_MSG_LOOSE;
    ww_gossip_topic_unref(g, t);
    ww_gossip_msg_unref(m);
}

void ww_gossip_free(struct ww_gossip *g)
{
    struct ww_list *n;
    if (!g)
        return;
    WW_ASSERT(ww_list_empty(&g->all_peers));
    while (!ww_list_empty(&g->pending))
        pending_drop(g, WW_LIST_ENTRY(g->pending.next, struct ww_gossip_msg, window_link));
    while ((n = ww_list_pop_front(&g->deliver)))
        ww_gossip_msg_unref(WW_LIST_ENTRY(n, struct ww_gossip_msg, event_link));
    while ((n = ww_list_pop_front(&g->connects)))
        ww_free(WW_LIST_ENTRY(n, struct ww_gossip_connect, link));
    ww_free(g->connect_out);
    ww_gossip_cache_clear(g);
    ww_gossip_backoff_expire(g, UINT64_MAX);
    WW_LIST_FOR_SAFE(it, &g->active)
    {
        struct ww_gossip_topic *t = WW_LIST_ENTRY(it, struct ww_gossip_topic, active_link);
        ww_list_remove(&t->active_link);
        ww_gossip_topic_unref(g, t);
    }
    WW_ASSERT(g->topics.count == 0);
    ww_map_fini(&g->peers);
    ww_map_fini(&g->topics);
    ww_map_fini(&g->members);
    ww_map_fini(&g->backoffs);
    ww_map_fini(&g->cache);
    ww_seen_fini(&g->seen);
    ww_buf_fini(&g->scratch);
    ww_buf_fini(&g->signed_bytes);
    ww_free(g->pick);
    ww_free(g->ids);
    ww_free(g);
}

void ww_gossip_stats(const struct ww_gossip *g, struct ww_gossip_stats *ret_stats)
{
    *ret_stats = g->stats;
    ret_stats->seen_evicted = g->seen.evicted;
}

uint64_t ww_gossip_deadline(const struct ww_gossip *g)
{
    return g->next_beat_ns;
}

/* ---- peers ---- */

static struct ww_gossip_blame *blame_find(struct ww_gossip *g, struct ww_bytes id)
{
    for (size_t i = 0; i < WW_GOSSIP_BLAMED; i++) {
        if (ww_bytes_eq(ww_bytes(g->blamed[i].id, g->blamed[i].id_len), id))
            return &g->blamed[i];
    }
    return NULL;
}

/* Going away and coming back does not wipe the slate. */
static void blame_keep(struct ww_gossip *g, const struct ww_gossip_peer *p)
{
    if (p->penalty_milli < 1000 && p->invalid_milli < 1000)
        return;
    struct ww_gossip_blame *b = blame_find(g, ww_gossip_peer_id(p));
    if (!b) {
        b = &g->blamed[g->blamed_next];
        g->blamed_next = (g->blamed_next + 1) % WW_GOSSIP_BLAMED;
    }
    *b = (struct ww_gossip_blame){.id_len = p->id_len,
        .penalty_milli = p->penalty_milli,
        .invalid_milli = p->invalid_milli,
        .beat = g->beat};
    memcpy(b->id, p->id_mem, p->id_len);
}

static void blame_recall(struct ww_gossip *g, struct ww_gossip_peer *p)
{
    struct ww_gossip_blame *b = blame_find(g, ww_gossip_peer_id(p));
    if (!b)
        return;
    p->penalty_milli = b->penalty_milli;
    p->invalid_milli = b->invalid_milli;
    for (uint64_t i = b->beat; i < g->beat && p->penalty_milli + p->invalid_milli > 0; i++)
        ww_gossip_blame_fade(g, p);
    ww_gossip_blame_update(g, p);
    b->id_len = 0;
}

ww_err ww_gossip_peer_up(
    struct ww_gossip *g, struct ww_gossip_peer *p, struct ww_bytes id, unsigned features, bool outbound)
{
    if (id.len == 0 || id.len > WW_GOSSIP_PEER_ID_MAX || ww_bytes_eq(id, ww_bytes(g->self, g->conf.self.len)))
        return WW_EINVAL;
    if (ww_gossip_peer_find(g, id))
        return WW_EEXIST;
    *p = (struct ww_gossip_peer){.id_len = (uint8_t)id.len, .features = features, .outbound = outbound};
    memcpy(p->id_mem, id.ptr, id.len);
    WW_TRY(ww_map_insert(&g->peers, &p->id_node));
    p->up = true;
    p->serial = ++g->next_peer_serial;
    ww_list_init(&p->members);
    ww_list_init(&p->ready_link);
    ww_list_init(&p->close_link);
    ww_list_push_back(&g->all_peers, &p->link);
    g->floodsub_peers += !(features & WW_GOSSIP_MESH);
    blame_recall(g, p);
    ww_gossip_queue_init(g, p);
    return 0;
}

void ww_gossip_peer_down(struct ww_gossip *g, struct ww_gossip_peer *p)
{
    WW_ASSERT(p->up);
    blame_keep(g, p);
    WW_LIST_FOR_SAFE(it, &p->members)
    ww_gossip_member_drop(g, WW_LIST_ENTRY(it, struct ww_gossip_member, peer_link));
    ww_gossip_queue_fini(p);
    ww_slab_unref(p->record);
    p->record = NULL;
    ww_map_remove(&g->peers, &p->id_node);
    ww_list_remove(&p->link);
    ww_list_remove(&p->ready_link);
    ww_list_remove(&p->close_link);
    g->floodsub_peers -= !(p->features & WW_GOSSIP_MESH);
    p->up = false;
}

void ww_gossip_peer_features_set(struct ww_gossip *g, struct ww_gossip_peer *p, unsigned features)
{
    g->floodsub_peers -= !(p->features & WW_GOSSIP_MESH);
    p->features = features;
    g->floodsub_peers += !(features & WW_GOSSIP_MESH);
    for (struct ww_list *it = p->members.next; !(features & WW_GOSSIP_MESH) && it != &p->members;
         it = it->next)
        ww_gossip_mesh_remove(g, WW_LIST_ENTRY(it, struct ww_gossip_member, peer_link));
}

struct ww_gossip_peer *ww_gossip_peer_find(const struct ww_gossip *g, struct ww_bytes id)
{
    struct ww_map_node *n = ww_map_get(&g->peers, id);
    return n ? WW_CONTAINER_OF(n, struct ww_gossip_peer, id_node) : NULL;
}

void ww_gossip_peer_record_set(struct ww_gossip *g, struct ww_gossip_peer *p, struct ww_slab *envelope)
{
    WW_UNUSED(g);
    if (envelope)
        ww_slab_ref(envelope);
    ww_slab_unref(p->record);
    p->record = envelope;
}

/* ---- input ---- */

/* Looks at the whole RPC before any of it has an effect. */
static ww_err rpc_check(struct ww_gossip *g, struct ww_bytes rpc)
{
    struct ww_gossip_cursor c = {.rpc = rpc};
    struct ww_gossip_item item;
    size_t subscriptions = 0;
    ww_err got;
    if (rpc.len > g->conf.rpc_bytes_max)
        return WW_ELIMIT;
    while ((got = ww_gossip_rpc_next(&c, &item)) > 0) {
        bool sub = item.kind == WW_GOSSIP_ITEM_SUBSCRIBE || item.kind == WW_GOSSIP_ITEM_UNSUBSCRIBE;
        subscriptions += sub;
        if (subscriptions > g->conf.rpc_subscriptions_max)
            return WW_ELIMIT;
    }
    return got;
}

static void handle(
    struct ww_gossip *g, struct ww_gossip_peer *p, const struct ww_gossip_item *item, uint64_t now_ns)
{
    switch (item->kind) {
    case WW_GOSSIP_ITEM_SUBSCRIBE:
    case WW_GOSSIP_ITEM_UNSUBSCRIBE:
        ww_gossip_in_subscription(g, p, item, now_ns);
        break;
    case WW_GOSSIP_ITEM_PUBLISH:
        ww_gossip_in_message(g, p, item->body, now_ns);
        break;
    case WW_GOSSIP_ITEM_IHAVE:
        ww_gossip_in_ihave(g, p, item, now_ns);
        break;
    case WW_GOSSIP_ITEM_IWANT:
        ww_gossip_in_iwant(g, p, item);
        break;
    case WW_GOSSIP_ITEM_GRAFT:
        ww_gossip_in_graft(g, p, item->topic, now_ns);
        break;
    case WW_GOSSIP_ITEM_PRUNE:
        ww_gossip_in_prune(g, p, item, now_ns);
        break;
    }
}

ww_err ww_gossip_rpc_in(struct ww_gossip *g, struct ww_gossip_peer *p, struct ww_bytes rpc, uint64_t now_ns)
{
    struct ww_gossip_cursor c = {.rpc = rpc};
    struct ww_gossip_item item;
    bool gossip = false;
    g->stats.rpcs_in++;
    if (ww_gossip_peer_score(p) < g->conf.score_graylist) {
        ww_gossip_blame_invalid(g, p, 250); /* goes on all the same: in the end it is cut off */
        return 0;
    }
    ww_err err = rpc_check(g, rpc);
    if (err < 0) {
        g->stats.rpcs_bad++;
        ww_gossip_blame_invalid(g, p, 1000);
        return err;
    }
    while (ww_gossip_rpc_next(&c, &item) > 0) {
        if (item.kind == WW_GOSSIP_ITEM_IHAVE && !gossip) {
            gossip = true;
            p->ihave_messages++;
        }
        handle(g, p, &item, now_ns);
    }
    return 0;
}

/* ---- events ---- */

static bool next_peer_event(struct ww_gossip *g, struct ww_gossip_event *ev)
{
    struct ww_list *n = ww_list_pop_front(&g->ready);
    if (n) {
        ev->kind = WW_GOSSIP_EV_SEND;
        ev->peer = WW_LIST_ENTRY(n, struct ww_gossip_peer, ready_link);
        ev->peer->ready_posted = false;
        return true;
    }
    n = ww_list_pop_front(&g->closing);
    if (n) {
        ev->kind = WW_GOSSIP_EV_CLOSE;
        ev->peer = WW_LIST_ENTRY(n, struct ww_gossip_peer, close_link);
        ev->err = ev->peer->close_reason;
        return true;
    }
    return false;
}

bool ww_gossip_next_event(struct ww_gossip *g, struct ww_gossip_event *ret_event)
{
    struct ww_list *n;
    *ret_event = (struct ww_gossip_event){0};
    ww_free(g->connect_out);
    g->connect_out = NULL;
    if ((n = ww_list_pop_front(&g->validate))) {
        ret_event->kind = WW_GOSSIP_EV_VALIDATE;
        ret_event->msg = WW_LIST_ENTRY(n, struct ww_gossip_msg, event_link);
        return true;
    }
    if ((n = ww_list_pop_front(&g->deliver))) {
        ret_event->kind = WW_GOSSIP_EV_DELIVER;
        ret_event->msg = WW_LIST_ENTRY(n, struct ww_gossip_msg, event_link);
        return true;
    }
    if (next_peer_event(g, ret_event))
        return true;
    if ((n = ww_list_pop_front(&g->connects))) {
        struct ww_gossip_connect *c = WW_LIST_ENTRY(n, struct ww_gossip_connect, link);
        g->connect_out = c;
        ret_event->kind = WW_GOSSIP_EV_CONNECT;
        ret_event->id = ww_bytes(c->id, c->id_len);
        ret_event->record = ww_bytes(c->record, c->record_len);
        return true;
    }
    return false;
}

/* ---- queries ---- */

size_t ww_gossip_topic_peers(const struct ww_gossip *g, struct ww_bytes topic)
{
    const struct ww_gossip_topic *t = ww_gossip_topic_find(g, topic);
    return t ? t->member_count : 0;
}

size_t ww_gossip_mesh_peers(const struct ww_gossip *g, struct ww_bytes topic)
{
    const struct ww_gossip_topic *t = ww_gossip_topic_find(g, topic);
    return t ? t->mesh_count : 0;
}

bool ww_gossip_in_mesh(const struct ww_gossip *g, struct ww_bytes topic, const struct ww_gossip_peer *p)
{
    const struct ww_gossip_topic *t = ww_gossip_topic_find(g, topic);
    const struct ww_gossip_member *m = t ? ww_gossip_member_find(g, p, t) : NULL;
    return m && m->in_mesh;
}

struct ww_gossip_peer *ww_gossip_topic_peer_next(
    const struct ww_gossip *g, struct ww_bytes topic, const struct ww_gossip_peer *after)
{
    const struct ww_gossip_topic *t = ww_gossip_topic_find(g, topic);
    const struct ww_gossip_member *m = t && after ? ww_gossip_member_find(g, after, t) : NULL;
    if (!t || (after && !m))
        return NULL;
    struct ww_list *next = m ? m->topic_link.next : t->members.next;
    return next == &t->members ? NULL : WW_LIST_ENTRY(next, struct ww_gossip_member, topic_link)->peer;
}

int ww_gossip_check(const struct ww_gossip *g, uint64_t now_ns)
{
    for (const struct ww_map_node *n = NULL; (n = ww_map_next(&g->members, n)) != NULL;) {
        const struct ww_gossip_member *m = WW_CONTAINER_OF(n, struct ww_gossip_member, node);
        if (!m->in_mesh)
            continue;
        if (!m->peer->up || !m->topic->joined)
            return 1;
        const struct ww_gossip_backoff *b = ww_gossip_backoff_find(g, m->topic, ww_gossip_peer_id(m->peer));
        if (b && b->expires_ns > now_ns)
            return 2;
    }
    WW_LIST_FOR(it, &g->all_peers)
    {
        const struct ww_gossip_peer *p = WW_LIST_ENTRY(it, struct ww_gossip_peer, link);
        if (p->ring_len[1] > g->conf.queue_max || p->ring_bytes[1] > g->conf.queue_bytes_max ||
            p->ring_bytes[0] > g->conf.control_queue_bytes_max)
            return 3;
    }
    if (g->cached_bytes > g->conf.mcache_bytes_max || g->seen.count > g->seen.max)
        return 4;
    return 0;
}
