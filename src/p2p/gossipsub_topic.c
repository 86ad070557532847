#include "p2p/gossipsub_int.h"

/* ---- topics ---- */

struct ww_bytes ww_gossip_foreign_topic(const struct ww_gossip *g)
{
    for (struct ww_map_node *n = ww_map_next(&g->topics, NULL); n; n = ww_map_next(&g->topics, n)) {
        const struct ww_gossip_topic *t = WW_CONTAINER_OF(n, const struct ww_gossip_topic, node);
        if (!t->joined && t->member_count > 0)
            return ww_bytes(t->name, t->name_len);
    }
    return (struct ww_bytes){NULL, 0};
}

struct ww_gossip_topic *ww_gossip_topic_find(const struct ww_gossip *g, struct ww_bytes name)
{
    struct ww_map_node *n = ww_map_get(&g->topics, name);
    return n ? WW_CONTAINER_OF(n, struct ww_gossip_topic, node) : NULL;
}

struct ww_gossip_topic *ww_gossip_topic_get(struct ww_gossip *g, struct ww_bytes name, bool ours)
{
    struct ww_gossip_topic *t = ww_gossip_topic_find(g, name);
    if (t) {
        t->refs++;
        return t;
    }
    if (!ours && g->topics.count >= g->conf.known_topics_max)
        return NULL;
    t = ww_alloc(sizeof *t + name.len);
    if (!t)
        return NULL;
    *t =
        (struct ww_gossip_topic){.serial = ++g->next_topic_serial, .refs = 1, .name_len = (uint16_t)name.len};
    memcpy(t->name, name.ptr, name.len);
    ww_list_init(&t->active_link);
    ww_list_init(&t->members);
    ww_list_init(&t->mesh);
    ww_list_init(&t->fanout);
    ww_list_init(&t->window);
    if (ww_map_insert(&g->topics, &t->node) < 0) {
        ww_free(t);
        return NULL;
    }
    return t;
}

void ww_gossip_topic_unref(struct ww_gossip *g, struct ww_gossip_topic *t)
{
    if (--t->refs > 0)
        return;
    WW_ASSERT(ww_list_empty(&t->members) && ww_list_empty(&t->active_link) && ww_list_empty(&t->window));
    ww_map_remove(&g->topics, &t->node);
    ww_free(t);
}

/* ---- members ---- */

struct ww_gossip_member *ww_gossip_member_find(
    const struct ww_gossip *g, const struct ww_gossip_peer *p, const struct ww_gossip_topic *t)
{
    uint32_t key[2] = {p->serial, t->serial};
    struct ww_map_node *n = ww_map_get(&g->members, ww_bytes(key, sizeof key));
    return n ? WW_CONTAINER_OF(n, struct ww_gossip_member, node) : NULL;
}

struct ww_gossip_member *ww_gossip_member_add(
    struct ww_gossip *g, struct ww_gossip_peer *p, struct ww_bytes topic)
{
    if (p->member_count >= g->conf.peer_topics_max)
        return NULL;
    struct ww_gossip_topic *t = ww_gossip_topic_get(g, topic, false);
    if (!t)
        return NULL;
    struct ww_gossip_member *m = WW_NEW(struct ww_gossip_member);
    if (!m) {
        ww_gossip_topic_unref(g, t);
        return NULL;
    }
    m->key[0] = p->serial;
    m->key[1] = t->serial;
    m->peer = p;
    m->topic = t;
    ww_list_init(&m->mesh_link);
    ww_list_init(&m->fanout_link);
    if (ww_map_insert(&g->members, &m->node) < 0) {
        ww_free(m);
        ww_gossip_topic_unref(g, t);
        return NULL;
    }
    ww_list_push_back(&p->members, &m->peer_link);
    ww_list_push_back(&t->members, &m->topic_link);
    p->member_count++;
    t->member_count++;
    return m;
}

void ww_gossip_member_drop(struct ww_gossip *g, struct ww_gossip_member *m)
{
    ww_gossip_mesh_remove(g, m);
    ww_gossip_fanout_remove(g, m);
    ww_map_remove(&g->members, &m->node);
    ww_list_remove(&m->peer_link);
    ww_list_remove(&m->topic_link);
    m->peer->member_count--;
    m->topic->member_count--;
    ww_gossip_topic_unref(g, m->topic);
    ww_free(m);
}

void ww_gossip_mesh_add(struct ww_gossip *g, struct ww_gossip_member *m)
{
    if (m->in_mesh)
        return;
    m->in_mesh = true;
    ww_list_push_back(&m->topic->mesh, &m->mesh_link);
    m->topic->mesh_count++;
    WW_TRACE(g->conf.trace, GOSSIP_MESH, ww_tv_text(ww_gossip_topic_name(m->topic)),
        ww_tv_hex(ww_gossip_peer_id(m->peer)), ww_tv_str("graft"), ww_tv_u64(m->topic->mesh_count));
}

void ww_gossip_mesh_remove(struct ww_gossip *g, struct ww_gossip_member *m)
{
    if (!m->in_mesh)
        return;
    m->in_mesh = false;
    ww_list_remove(&m->mesh_link);
    m->topic->mesh_count--;
    WW_TRACE(g->conf.trace, GOSSIP_MESH, ww_tv_text(ww_gossip_topic_name(m->topic)),
        ww_tv_hex(ww_gossip_peer_id(m->peer)), ww_tv_str("prune"), ww_tv_u64(m->topic->mesh_count));
}

void ww_gossip_fanout_add(struct ww_gossip *g, struct ww_gossip_member *m)
{
    WW_UNUSED(g);
    if (m->in_fanout)
        return;
    m->in_fanout = true;
    ww_list_push_back(&m->topic->fanout, &m->fanout_link);
    m->topic->fanout_count++;
}

void ww_gossip_fanout_remove(struct ww_gossip *g, struct ww_gossip_member *m)
{
    WW_UNUSED(g);
    if (!m->in_fanout)
        return;
    m->in_fanout = false;
    ww_list_remove(&m->fanout_link);
    m->topic->fanout_count--;
}

/* ---- back-offs ---- */

static uint8_t backoff_key(uint8_t *out, const struct ww_gossip_topic *t, struct ww_bytes peer)
{
    memcpy(out, &t->serial, sizeof t->serial);
    memcpy(out + sizeof t->serial, peer.ptr, peer.len);
    return (uint8_t)(sizeof t->serial + peer.len);
}

struct ww_gossip_backoff *ww_gossip_backoff_find(
    const struct ww_gossip *g, const struct ww_gossip_topic *t, struct ww_bytes peer)
{
    uint8_t key[4 + WW_GOSSIP_PEER_ID_MAX];
    struct ww_map_node *n = ww_map_get(&g->backoffs, ww_bytes(key, backoff_key(key, t, peer)));
    return n ? WW_CONTAINER_OF(n, struct ww_gossip_backoff, node) : NULL;
}

static void backoff_drop(struct ww_gossip *g, struct ww_gossip_backoff *b)
{
    ww_heap_remove(&g->backoff_heap, &b->heap);
    ww_map_remove(&g->backoffs, &b->node);
    ww_gossip_topic_unref(g, b->topic);
    ww_free(b);
}

void ww_gossip_backoff_add(
    struct ww_gossip *g, struct ww_gossip_topic *t, struct ww_bytes peer, uint64_t length_ns, uint64_t now_ns)
{
    uint64_t expires = ww_gossip_later(now_ns, length_ns);
    struct ww_gossip_backoff *b = ww_gossip_backoff_find(g, t, peer);
    if (b) {
        if (b->expires_ns >= expires)
            return;
        ww_heap_remove(&g->backoff_heap, &b->heap);
    } else {
        /* The one that ends first is the one that says least. */
        if (g->backoffs.count >= g->conf.backoffs_max && ww_heap_min(&g->backoff_heap))
            backoff_drop(g, WW_CONTAINER_OF(ww_heap_min(&g->backoff_heap), struct ww_gossip_backoff, heap));
        b = WW_NEW(struct ww_gossip_backoff);
        if (!b)
            return;
        b->topic = t;
        b->key_len = backoff_key(b->key, t, peer);
        if (ww_map_insert(&g->backoffs, &b->node) < 0) {
            ww_free(b);
            return;
        }
        t->refs++;
    }
    b->expires_ns = expires;
    b->length_ns = length_ns;
    ww_heap_insert(&g->backoff_heap, &b->heap, expires);
}

void ww_gossip_backoff_expire(struct ww_gossip *g, uint64_t before_ns)
{
    struct ww_heap_node *n;
    while ((n = ww_heap_min(&g->backoff_heap)) && n->key <= before_ns)
        backoff_drop(g, WW_CONTAINER_OF(n, struct ww_gossip_backoff, heap));
}
