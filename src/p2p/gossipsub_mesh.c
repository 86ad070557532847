/* The mesh: subscriptions, GRAFT, PRUNE, peer exchange, and the heartbeat that keeps degrees within bounds.
 */
#include "p2p/gossipsub_int.h"

#define PX_MAX 64

/* ---- sampling ---- */

static bool pick_reserve(struct ww_gossip *g, size_t count)
{
    if (count <= g->pick_cap)
        return true;
    size_t cap = g->pick_cap ? g->pick_cap : 64;
    while (cap < count)
        cap *= 2;
    struct ww_gossip_member **pick = ww_realloc(g->pick, cap * sizeof(struct ww_gossip_member *));
    if (!pick)
        return false;
    g->pick = pick;
    g->pick_cap = cap;
    return true;
}

static void swap(struct ww_gossip *g, size_t a, size_t b)
{
    struct ww_gossip_member *m = g->pick[a];
    g->pick[a] = g->pick[b];
    g->pick[b] = m;
}

/* Brings `want` random ones of `count` to the front. */
static void shuffle(struct ww_gossip *g, size_t from, size_t count, size_t want)
{
    for (size_t i = from; i < count && i - from < want; i++)
        swap(g, i, i + (size_t)ww_prng_below(&g->prng, count - i));
}

static bool backed_off(const struct ww_gossip *g, const struct ww_gossip_member *m)
{
    return ww_gossip_backoff_find(g, m->topic, ww_gossip_peer_id(m->peer)) != NULL;
}

size_t ww_gossip_pick(
    struct ww_gossip *g, struct ww_gossip_topic *t, unsigned skip, int32_t score, size_t want)
{
    size_t count = 0;
    if (!pick_reserve(g, t->member_count))
        return 0;
    WW_LIST_FOR(it, &t->members)
    {
        struct ww_gossip_member *m = WW_LIST_ENTRY(it, struct ww_gossip_member, topic_link);
        if (!(m->peer->features & WW_GOSSIP_MESH) || ww_gossip_peer_score(m->peer) < score ||
            ((skip & WW_GOSSIP_PICK_MESH) && m->in_mesh) ||
            ((skip & WW_GOSSIP_PICK_FANOUT) && m->in_fanout) ||
            ((skip & WW_GOSSIP_PICK_INBOUND) && !m->peer->outbound) ||
            ((skip & WW_GOSSIP_PICK_BACKOFF) && backed_off(g, m)))
            continue;
        g->pick[count++] = m;
    }
    shuffle(g, 0, count, want);
    return count < want ? count : want;
}

/* ---- blame ---- */

int32_t ww_gossip_peer_score(const struct ww_gossip_peer *p)
{
    return p->app_score - (int32_t)(p->cost_milli / 1000);
}

void ww_gossip_peer_score_set(struct ww_gossip *g, struct ww_gossip_peer *p, int32_t score)
{
    g->scored = true;
    p->app_score = score < -1000000 ? -1000000 : score > 1000000 ? 1000000 : score;
}

static uint32_t above(uint32_t milli, uint32_t free_faults)
{
    return milli > free_faults * 1000 ? milli - free_faults * 1000 : 0;
}

void ww_gossip_blame_update(const struct ww_gossip *g, struct ww_gossip_peer *p)
{
    p->cost_milli =
        above(p->penalty_milli, g->conf.penalty_free) + above(p->invalid_milli, g->conf.invalid_free);
}

static uint32_t blame_add(uint32_t have, uint32_t milli)
{
    return have > 100000000 ? have : have + milli;
}

void ww_gossip_blame_penalty(struct ww_gossip *g, struct ww_gossip_peer *p, uint32_t milli)
{
    p->penalty_milli = blame_add(p->penalty_milli, milli);
    ww_gossip_blame_update(g, p);
}

void ww_gossip_blame_invalid(struct ww_gossip *g, struct ww_gossip_peer *p, uint32_t milli)
{
    p->invalid_milli = blame_add(p->invalid_milli, milli);
    ww_gossip_blame_update(g, p);
    if (p->invalid_milli >= g->conf.invalid_close * 1000)
        ww_gossip_close_post(g, p, WW_EPROTO);
}

static uint32_t fade(uint32_t milli)
{
    uint32_t less = milli / 10 + 1;
    return milli > less ? milli - less : 0;
}

void ww_gossip_blame_fade(const struct ww_gossip *g, struct ww_gossip_peer *p)
{
    p->penalty_milli = fade(p->penalty_milli);
    p->invalid_milli = fade(p->invalid_milli);
    ww_gossip_blame_update(g, p);
}

/* ---- GRAFT and PRUNE, out ---- */

void ww_gossip_graft(struct ww_gossip *g, struct ww_gossip_member *m)
{
    ww_gossip_mesh_add(g, m);
    ww_gossip_queue_graft(g, m->peer, ww_gossip_topic_name(m->topic));
}

/* Random peers to go to instead: a sample in one pass. */
static size_t px_sample(struct ww_gossip *g, struct ww_gossip_topic *t, const struct ww_gossip_peer *not_this,
    struct ww_gossip_px *out)
{
    size_t count = 0, seen = 0, max = g->conf.px_peers < PX_MAX ? g->conf.px_peers : PX_MAX;
    WW_LIST_FOR(it, &t->members)
    {
        struct ww_gossip_peer *p = WW_LIST_ENTRY(it, struct ww_gossip_member, topic_link)->peer;
        if (p == not_this || !(p->features & WW_GOSSIP_MESH) || ww_gossip_peer_score(p) < 0)
            continue;
        size_t at = seen++ < max ? count++ : (size_t)ww_prng_below(&g->prng, seen);
        if (at < max)
            out[at] = (struct ww_gossip_px){
                ww_gossip_peer_id(p), p->record ? ww_slab_view(p->record) : (struct ww_bytes){0}};
    }
    return count;
}

/* Says PRUNE and keeps the back-off for our side. */
static void prune_send(struct ww_gossip *g, struct ww_gossip_peer *p, struct ww_gossip_topic *t, bool px,
    uint64_t backoff_ns, uint64_t now_ns)
{
    struct ww_gossip_px peers[PX_MAX];
    size_t count = 0, fits = 0, bytes = 0;
    uint64_t seconds = 0;
    if (p->features & WW_GOSSIP_PX) {
        seconds = (backoff_ns + WW_NS_PER_S - 1) / WW_NS_PER_S;
        count = px && g->conf.px ? px_sample(g, t, p, peers) : 0;
    }
    /* Whole entries up to the size of one frame of control. */
    for (; fits < count; fits++) {
        bytes += peers[fits].peer.len + peers[fits].record.len + 16;
        if (bytes + t->name_len + 32 > g->conf.control_bytes_max)
            break;
    }
    ww_gossip_backoff_add(g, t, ww_gossip_peer_id(p), backoff_ns, now_ns);
    g->stats.prunes_out++;
    ww_buf_clear(&g->scratch);
    ww_err err = ww_gossip_put_prune(&g->scratch, ww_gossip_topic_name(t), seconds, peers, fits);
    if (err == 0)
        err = ww_gossip_queue_control(g, p, ww_buf_view(&g->scratch));
    if (err < 0)
        ww_gossip_close_post(g, p, err);
}

static void prune(
    struct ww_gossip *g, struct ww_gossip_member *m, bool px, uint64_t backoff_ns, uint64_t now_ns)
{
    ww_gossip_mesh_remove(g, m);
    prune_send(g, m->peer, m->topic, px, backoff_ns, now_ns);
}

/* ---- subscriptions ---- */

static bool topic_name_ok(struct ww_bytes topic)
{
    return topic.len > 0 && topic.len <= WW_GOSSIP_TOPIC_MAX;
}

static struct ww_gossip_member *member_of(
    struct ww_gossip *g, struct ww_gossip_peer *p, const struct ww_gossip_topic *t)
{
    struct ww_gossip_member *m = ww_gossip_member_find(g, p, t);
    return m ? m : ww_gossip_member_add(g, p, ww_gossip_topic_name(t));
}

void ww_gossip_in_subscription(
    struct ww_gossip *g, struct ww_gossip_peer *p, const struct ww_gossip_item *item, uint64_t now_ns)
{
    WW_UNUSED(now_ns);
    if (!topic_name_ok(item->topic))
        return;
    struct ww_gossip_topic *t = ww_gossip_topic_find(g, item->topic);
    struct ww_gossip_member *m = t ? ww_gossip_member_find(g, p, t) : NULL;
    if (item->kind == WW_GOSSIP_ITEM_UNSUBSCRIBE) {
        if (m)
            ww_gossip_member_drop(g, m);
        return;
    }
    if (m || (m = ww_gossip_member_add(g, p, item->topic)) == NULL)
        return;
    /* A thin mesh does not wait for the heartbeat. */
    t = m->topic;
    if (t->joined && t->mesh_count < g->conf.d_lo && (p->features & WW_GOSSIP_MESH) &&
        ww_gossip_peer_score(p) >= 0 && !backed_off(g, m))
        ww_gossip_graft(g, m);
}

ww_err ww_gossip_join(struct ww_gossip *g, struct ww_bytes topic, bool deliver, uint64_t now_ns)
{
    WW_UNUSED(now_ns);
    if (!topic_name_ok(topic))
        return WW_EINVAL;
    struct ww_gossip_topic *t = ww_gossip_topic_find(g, topic);
    if (t && t->joined) {
        t->deliver = deliver;
        return 0;
    }
    if (g->joined_count >= g->conf.topics_max)
        return WW_ELIMIT;
    t = ww_gossip_topic_get(g, topic, true);
    if (!t)
        return WW_ENOMEM;
    t->joined = true;
    t->deliver = deliver;
    g->joined_count++;
    WW_LIST_FOR(it, &g->all_peers)
    ww_gossip_queue_subscription(g, WW_LIST_ENTRY(it, struct ww_gossip_peer, link), topic, true);
    /* Those that took our messages so far come first. */
    WW_LIST_FOR_SAFE(it, &t->fanout)
    {
        struct ww_gossip_member *m = WW_LIST_ENTRY(it, struct ww_gossip_member, fanout_link);
        ww_gossip_fanout_remove(g, m);
        if (ww_gossip_peer_score(m->peer) >= 0 && !backed_off(g, m) && t->mesh_count < g->conf.d)
            ww_gossip_graft(g, m);
    }
    if (t->fanout_until_ns) {
        t->fanout_until_ns = 0;
        ww_gossip_topic_unref(g, t);
    } else {
        ww_list_push_back(&g->active, &t->active_link);
    }
    size_t n =
        ww_gossip_pick(g, t, WW_GOSSIP_PICK_MESH | WW_GOSSIP_PICK_BACKOFF, 0, g->conf.d - t->mesh_count);
    for (size_t i = 0; i < n; i++)
        ww_gossip_graft(g, g->pick[i]);
    return 0;
}

void ww_gossip_leave(struct ww_gossip *g, struct ww_bytes topic, uint64_t now_ns)
{
    struct ww_gossip_topic *t = ww_gossip_topic_find(g, topic);
    if (!t || !t->joined)
        return;
    WW_LIST_FOR(it, &g->all_peers)
    ww_gossip_queue_subscription(g, WW_LIST_ENTRY(it, struct ww_gossip_peer, link), topic, false);
    WW_LIST_FOR_SAFE(it, &t->mesh)
    prune(g, WW_LIST_ENTRY(it, struct ww_gossip_member, mesh_link), true, g->conf.unsubscribe_backoff_ns,
        now_ns);
    t->joined = t->deliver = false;
    g->joined_count--;
    ww_list_remove(&t->active_link);
    ww_gossip_topic_unref(g, t);
}

/* ---- GRAFT and PRUNE, in ---- */

/* Asking again before the time that a PRUNE gave is a fault, and soon after it is two. */
static void graft_too_early(
    struct ww_gossip *g, struct ww_gossip_peer *p, struct ww_gossip_backoff *b, uint64_t now_ns)
{
    uint64_t since = b->expires_ns - b->length_ns;
    g->stats.backoff_violations++;
    ww_gossip_blame_penalty(g, p, now_ns < ww_gossip_later(since, g->conf.graft_flood_ns) ? 2000 : 1000);
}

void ww_gossip_in_graft(struct ww_gossip *g, struct ww_gossip_peer *p, struct ww_bytes topic, uint64_t now_ns)
{
    struct ww_gossip_topic *t = ww_gossip_topic_find(g, topic);
    bool px = true;
    g->stats.grafts_in++;
    if (!t || !t->joined || !(p->features & WW_GOSSIP_MESH))
        return;
    struct ww_gossip_member *m = member_of(g, p, t);
    if (!m || m->in_mesh)
        return;
    struct ww_gossip_backoff *b = ww_gossip_backoff_find(g, t, ww_gossip_peer_id(p));
    if (b && now_ns < b->expires_ns) {
        graft_too_early(g, p, b, now_ns);
        px = false;
    } else if (ww_gossip_peer_score(p) < 0) {
        px = false;
    } else if (t->mesh_count < g->conf.d_hi || p->outbound) {
        ww_gossip_mesh_add(g, m);
        return;
    }
    g->stats.grafts_refused++;
    prune_send(g, p, t, px, g->conf.backoff_ns, now_ns);
}

static void px_connect(struct ww_gossip *g, struct ww_bytes id, struct ww_bytes record)
{
    if (id.len == 0 || id.len > WW_GOSSIP_PEER_ID_MAX || record.len > 8192 || g->connects_left == 0 ||
        ww_bytes_eq(id, ww_bytes(g->self, g->conf.self.len)) || ww_gossip_peer_find(g, id))
        return;
    struct ww_gossip_connect *c = ww_alloc(sizeof *c + record.len);
    if (!c)
        return;
    *c = (struct ww_gossip_connect){.id_len = (uint8_t)id.len, .record_len = record.len};
    memcpy(c->id, id.ptr, id.len);
    if (record.len)
        memcpy(c->record, record.ptr, record.len);
    ww_list_push_back(&g->connects, &c->link);
    g->connects_left--;
    g->stats.px_connects++;
}

void ww_gossip_in_prune(
    struct ww_gossip *g, struct ww_gossip_peer *p, const struct ww_gossip_item *item, uint64_t now_ns)
{
    struct ww_gossip_topic *t = ww_gossip_topic_find(g, item->topic);
    uint64_t backoff = g->conf.backoff_ns;
    g->stats.prunes_in++;
    if (!t || !t->joined)
        return;
    struct ww_gossip_member *m = ww_gossip_member_find(g, p, t);
    if (m)
        ww_gossip_mesh_remove(g, m);
    if (item->backoff_s > g->conf.backoff_max_ns / WW_NS_PER_S)
        backoff = g->conf.backoff_max_ns;
    else if (item->backoff_s)
        backoff = item->backoff_s * WW_NS_PER_S;
    ww_gossip_backoff_add(g, t, ww_gossip_peer_id(p), backoff, now_ns);
    if (!g->conf.px || ww_gossip_peer_score(p) < g->conf.score_px)
        return;
    struct ww_bytes rest = item->body, id, record;
    for (unsigned n = 0; n < g->conf.px_peers && ww_gossip_px_next(&rest, &id, &record); n++)
        px_connect(g, id, record);
}

/* ---- the heartbeat ---- */

static void beat_peers(struct ww_gossip *g, uint64_t now_ns)
{
    WW_LIST_FOR(it, &g->all_peers)
    {
        struct ww_gossip_peer *p = WW_LIST_ENTRY(it, struct ww_gossip_peer, link);
        p->ihave_messages = p->ihave_asked = 0;
        ww_gossip_promises_check(g, p, now_ns);
        ww_gossip_blame_fade(g, p);
    }
}

static void drop_bad(struct ww_gossip *g, struct ww_gossip_topic *t, uint64_t now_ns)
{
    WW_LIST_FOR_SAFE(it, &t->mesh)
    {
        struct ww_gossip_member *m = WW_LIST_ENTRY(it, struct ww_gossip_member, mesh_link);
        if (ww_gossip_peer_score(m->peer) < 0)
            prune(g, m, false, g->conf.backoff_ns, now_ns);
    }
}

static void graft_some(
    struct ww_gossip *g, struct ww_gossip_topic *t, unsigned skip, int32_t score, size_t want)
{
    skip |= WW_GOSSIP_PICK_MESH | WW_GOSSIP_PICK_BACKOFF;
    size_t n = ww_gossip_pick(g, t, skip, score, want);
    for (size_t i = 0; i < n; i++)
        ww_gossip_graft(g, g->pick[i]);
}

/* The mesh into g->pick, shuffled. Returns its size; 0 also when memory is out. */
static size_t pick_mesh(struct ww_gossip *g, struct ww_gossip_topic *t)
{
    size_t count = 0;
    if (!pick_reserve(g, t->mesh_count))
        return 0;
    WW_LIST_FOR(it, &t->mesh)
    g->pick[count++] = WW_LIST_ENTRY(it, struct ww_gossip_member, mesh_link);
    shuffle(g, 0, count, count);
    return count;
}

/* Stable, so that equal scores stay shuffled; a mesh is small. */
static void sort_by_score(struct ww_gossip *g, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        for (size_t j = i; j > 0; j--) {
            if (ww_gossip_peer_score(g->pick[j - 1]->peer) >= ww_gossip_peer_score(g->pick[j]->peer))
                break;
            swap(g, j - 1, j);
        }
    }
}

/* Cuts a fat mesh to D: the best D_score stay, the others by chance, but at least D_out that we dialled. */
static void cut(struct ww_gossip *g, struct ww_gossip_topic *t, uint64_t now_ns)
{
    size_t count = pick_mesh(g, t), keep = g->conf.d, outbound = 0;
    if (count <= keep)
        return;
    sort_by_score(g, count);
    shuffle(g, g->conf.d_score, count, count);
    for (size_t i = 0; i < keep; i++)
        outbound += g->pick[i]->peer->outbound;
    /* From behind `keep`, an outbound one takes the place of the last inbound one before it. */
    for (size_t i = keep; i < count && outbound < g->conf.d_out; i++) {
        if (!g->pick[i]->peer->outbound)
            continue;
        size_t at = keep;
        while (at > 0 && g->pick[at - 1]->peer->outbound)
            at--;
        if (at == 0)
            break;
        swap(g, at - 1, i);
        outbound++;
    }
    for (size_t i = keep; i < count; i++)
        prune(g, g->pick[i], true, g->conf.backoff_ns, now_ns);
}

static void want_outbound(struct ww_gossip *g, struct ww_gossip_topic *t)
{
    size_t outbound = 0;
    if (t->mesh_count < g->conf.d_lo)
        return;
    WW_LIST_FOR(it, &t->mesh)
    outbound += WW_LIST_ENTRY(it, struct ww_gossip_member, mesh_link)->peer->outbound;
    if (outbound < g->conf.d_out)
        graft_some(g, t, WW_GOSSIP_PICK_INBOUND, 0, g->conf.d_out - outbound);
}

/* Once in a while a mediocre mesh takes in somebody better than its median. */
static void graft_better(struct ww_gossip *g, struct ww_gossip_topic *t)
{
    if (!g->scored || g->conf.opportunistic_beats == 0 || (g->beat + 1) % g->conf.opportunistic_beats ||
        t->mesh_count < 2)
        return;
    size_t count = pick_mesh(g, t);
    if (count == 0)
        return;
    sort_by_score(g, count);
    int32_t median = ww_gossip_peer_score(g->pick[count / 2]->peer);
    if (median < g->conf.opportunistic_score)
        graft_some(g, t, 0, median + 1, g->conf.opportunistic_peers);
}

static void beat_mesh(struct ww_gossip *g, struct ww_gossip_topic *t, uint64_t now_ns)
{
    drop_bad(g, t, now_ns);
    if (t->mesh_count < g->conf.d_lo)
        graft_some(g, t, 0, 0, g->conf.d - t->mesh_count);
    if (t->mesh_count > g->conf.d_hi)
        cut(g, t, now_ns);
    want_outbound(g, t);
    graft_better(g, t);
    ww_gossip_emit(g, t);
}

static void fanout_end(struct ww_gossip *g, struct ww_gossip_topic *t)
{
    WW_LIST_FOR_SAFE(it, &t->fanout)
    ww_gossip_fanout_remove(g, WW_LIST_ENTRY(it, struct ww_gossip_member, fanout_link));
    t->fanout_until_ns = 0;
    ww_list_remove(&t->active_link);
    ww_gossip_topic_unref(g, t);
}

static void beat_fanout(struct ww_gossip *g, struct ww_gossip_topic *t, uint64_t now_ns)
{
    if (t->fanout_until_ns <= now_ns) {
        fanout_end(g, t);
        return;
    }
    WW_LIST_FOR_SAFE(it, &t->fanout)
    {
        struct ww_gossip_member *m = WW_LIST_ENTRY(it, struct ww_gossip_member, fanout_link);
        if (ww_gossip_peer_score(m->peer) < g->conf.score_publish)
            ww_gossip_fanout_remove(g, m);
    }
    if (t->fanout_count < g->conf.d) {
        size_t n =
            ww_gossip_pick(g, t, WW_GOSSIP_PICK_FANOUT, g->conf.score_publish, g->conf.d - t->fanout_count);
        for (size_t i = 0; i < n; i++)
            ww_gossip_fanout_add(g, g->pick[i]);
    }
    ww_gossip_emit(g, t);
}

void ww_gossip_tick(struct ww_gossip *g, uint64_t now_ns)
{
    if (now_ns < g->next_beat_ns)
        return;
    uint64_t slack = g->conf.backoff_slack_beats * g->conf.heartbeat_ns;
    g->next_beat_ns = ww_gossip_later(now_ns, g->conf.heartbeat_ns);
    g->connects_left = g->conf.px_beat;
    ww_gossip_backoff_expire(g, now_ns > slack ? now_ns - slack : 0);
    ww_seen_expire(&g->seen, now_ns);
    beat_peers(g, now_ns);
    WW_LIST_FOR_SAFE(it, &g->active)
    {
        struct ww_gossip_topic *t = WW_LIST_ENTRY(it, struct ww_gossip_topic, active_link);
        if (t->joined)
            beat_mesh(g, t, now_ns);
        else
            beat_fanout(g, t, now_ns);
    }
    g->beat++;
    ww_gossip_cache_shift(g);
}
