/* Messages: arrival, checks, the cache, forwarding, and gossip about them (IHAVE, IWANT). */
#include "p2p/gossipsub_int.h"

#define SEQNO_BYTES 8

/* ---- life of a message ---- */

void ww_gossip_msg_unref(struct ww_gossip_msg *m)
{
    if (!m || --m->refs > 0)
        return;
    ww_slab_unref(m->frame);
    ww_free(m->served);
    ww_free(m);
}

size_t ww_gossip_id_author_seqno(const struct ww_gossip_fields *f, uint8_t *out)
{
    if (f->from.len == 0 || f->seqno.len == 0 || f->from.len + f->seqno.len > WW_GOSSIP_MSG_ID_MAX)
        return 0;
    memcpy(out, f->from.ptr, f->from.len);
    memcpy(out + f->from.len, f->seqno.ptr, f->seqno.len);
    return f->from.len + f->seqno.len;
}

/* Takes the frame. The new message waits for its verdict and holds the first reference. */
static struct ww_gossip_msg *msg_new_take(struct ww_gossip *g, struct ww_slab *frame,
    const struct ww_gossip_fields *f, struct ww_gossip_topic *t, uint64_t now_ns)
{
    struct ww_gossip_msg *m = WW_NEW(struct ww_gossip_msg);
    if (!m) {
        ww_slab_unref(frame);
        return NULL;
    }
    m->refs = 1;
    m->f = *f;
    m->frame = frame;
    m->received_ns = now_ns;
    m->topic = t;
    t->refs++;
    m->state = WW_GOSSIP_MSG_PENDING;
    m->id = ww_bytes(m->id_mem, g->conf.msg_id(f, m->id_mem));
    ww_list_init(&m->event_link);
    ww_list_init(&m->age_link);
    ww_list_init(&m->window_link);
    ww_list_push_back(&g->pending, &m->window_link);
    g->pending_count++;
    g->pending_bytes += frame->len;
    return m;
}

static void topic_let_go(struct ww_gossip *g, struct ww_gossip_msg *m)
{
    struct ww_gossip_topic *t = m->topic;
    m->topic = NULL;
    m->state = WW_GOSSIP_MSG_LOOSE;
    ww_gossip_topic_unref(g, t);
}

static void pending_end(struct ww_gossip *g, struct ww_gossip_msg *m)
{
    ww_list_remove(&m->window_link);
    ww_list_remove(&m->event_link);
    g->pending_count--;
    g->pending_bytes -= m->frame->len;
}

/* ---- the cache ---- */

static void cache_drop(struct ww_gossip *g, struct ww_gossip_msg *m)
{
    ww_map_remove(&g->cache, &m->id_node);
    ww_list_remove(&m->window_link);
    ww_list_remove(&m->age_link);
    g->cached_bytes -= m->frame->len;
    topic_let_go(g, m);
    ww_gossip_msg_unref(m);
}

static struct ww_gossip_msg *cache_oldest(const struct ww_gossip *g)
{
    return ww_list_empty(&g->cached) ? NULL : WW_LIST_ENTRY(g->cached.next, struct ww_gossip_msg, age_link);
}

/* The cache holds a reference; the message's hold of the topic goes over to it. False: not cached. */
static bool cache_put(struct ww_gossip *g, struct ww_gossip_msg *m)
{
    if (m->frame->len > g->conf.mcache_bytes_max || ww_map_get(&g->cache, m->id))
        return false;
    while (g->cached_bytes + m->frame->len > g->conf.mcache_bytes_max) {
        cache_drop(g, cache_oldest(g));
        g->stats.mcache_evicted++;
    }
    if (ww_map_insert(&g->cache, &m->id_node) < 0)
        return false;
    m->beat = g->beat;
    m->state = WW_GOSSIP_MSG_CACHED;
    ww_list_push_back(&g->cached, &m->age_link);
    ww_list_push_back(&m->topic->window, &m->window_link);
    g->cached_bytes += m->frame->len;
    ww_gossip_msg_ref(m);
    return true;
}

void ww_gossip_cache_shift(struct ww_gossip *g)
{
    struct ww_gossip_msg *m;
    while ((m = cache_oldest(g)) && m->beat + g->conf.history_windows <= g->beat)
        cache_drop(g, m);
}

void ww_gossip_cache_clear(struct ww_gossip *g)
{
    struct ww_gossip_msg *m;
    while ((m = cache_oldest(g)))
        cache_drop(g, m);
}

/* ---- sending ---- */

/* Not back to where it came from, nor to its author. */
static bool knows(const struct ww_gossip_msg *m, const struct ww_gossip_peer *p)
{
    return p->serial == m->source_serial || ww_bytes_eq(m->f.from, ww_gossip_peer_id(p));
}

static void send_list(struct ww_gossip *g, struct ww_gossip_msg *m, struct ww_gossip_topic *t)
{
    WW_LIST_FOR(it, &t->mesh)
    {
        struct ww_gossip_peer *p = WW_LIST_ENTRY(it, struct ww_gossip_member, mesh_link)->peer;
        if (!knows(m, p))
            ww_gossip_queue_msg(g, p, m->frame);
    }
    if (g->floodsub_peers == 0)
        return;
    WW_LIST_FOR(it, &t->members)
    {
        struct ww_gossip_peer *p = WW_LIST_ENTRY(it, struct ww_gossip_member, topic_link)->peer;
        if (!(p->features & WW_GOSSIP_MESH) && !knows(m, p) &&
            ww_gossip_peer_score(p) >= g->conf.score_publish)
            ww_gossip_queue_msg(g, p, m->frame);
    }
}

static void send_fanout(
    struct ww_gossip *g, struct ww_gossip_msg *m, struct ww_gossip_topic *t, uint64_t now_ns)
{
    if (t->fanout_until_ns == 0) {
        t->refs++;
        ww_list_push_back(&g->active, &t->active_link);
    }
    t->fanout_until_ns = ww_gossip_later(now_ns, g->conf.fanout_ttl_ns);
    if (t->fanout_count == 0) {
        size_t n = ww_gossip_pick(g, t, WW_GOSSIP_PICK_FANOUT, g->conf.score_publish, g->conf.d);
        for (size_t i = 0; i < n; i++)
            ww_gossip_fanout_add(g, g->pick[i]);
    }
    WW_LIST_FOR(it, &t->fanout)
    ww_gossip_queue_msg(g, WW_LIST_ENTRY(it, struct ww_gossip_member, fanout_link)->peer, m->frame);
    send_list(g, m, t);
}

static void send_own(struct ww_gossip *g, struct ww_gossip_msg *m, struct ww_gossip_topic *t, uint64_t now_ns)
{
    if (!t->joined) {
        send_fanout(g, m, t, now_ns);
        return;
    }
    send_list(g, m, t);
    if (t->mesh_count >= g->conf.d_lo)
        return;
    size_t n = ww_gossip_pick(g, t, WW_GOSSIP_PICK_MESH, g->conf.score_publish, g->conf.d - t->mesh_count);
    for (size_t i = 0; i < n; i++)
        ww_gossip_queue_msg(g, g->pick[i]->peer, m->frame);
}

/* ---- own messages ---- */

static ww_err sign(struct ww_gossip *g, struct ww_gossip_fields *f, uint8_t *mem)
{
    size_t len = 0;
    WW_TRY(ww_gossip_msg_signed_bytes(f, &g->signed_bytes));
    WW_TRY(g->conf.auth->sign(g->conf.auth, ww_buf_view(&g->signed_bytes), mem, &len));
    f->signature = ww_bytes(mem, len);
    if (g->conf.auth->key.len)
        f->key = g->conf.auth->key;
    return 0;
}

ww_err ww_gossip_publish(struct ww_gossip *g, struct ww_bytes topic, struct ww_bytes data, uint64_t now_ns,
    struct ww_gossip_msg **ret_msg)
{
    uint8_t seqno[SEQNO_BYTES], signature[WW_GOSSIP_SIGNATURE_MAX];
    struct ww_gossip_fields f = {.topic = topic, .data = data};
    if (topic.len == 0 || topic.len > WW_GOSSIP_TOPIC_MAX)
        return WW_EINVAL;
    if (data.len > g->conf.rpc_bytes_max)
        return WW_ELIMIT;
    if (!f.data.ptr) /* the field is there also when empty */
        f.data = WW_BYTES_LIT("");
    if (g->conf.policy == WW_GOSSIP_STRICT_SIGN) {
        ww_be64_store(seqno, ++g->seqno);
        f.from = ww_bytes(g->self, g->conf.self.len);
        f.seqno = ww_bytes(seqno, sizeof seqno);
        WW_TRY(sign(g, &f, signature));
    }
    if (ww_protobuf_bytes_size(2, ww_gossip_msg_size(&f)) > g->conf.rpc_bytes_max)
        return WW_ELIMIT;
    struct ww_gossip_topic *t = ww_gossip_topic_get(g, topic, true);
    if (!t)
        return WW_ENOMEM;
    struct ww_slab *frame = ww_gossip_frame_encode(&f);
    struct ww_gossip_msg *m = frame ? msg_new_take(g, frame, &f, t, now_ns) : NULL;
    ww_gossip_topic_unref(g, t);
    if (!m)
        return WW_ENOMEM;
    m->own = true;
    *ret_msg = m;
    return 0;
}

/* ---- messages of others ---- */

static bool policy_ok(struct ww_gossip *g, const struct ww_gossip_fields *f)
{
    if (g->conf.policy == WW_GOSSIP_STRICT_NO_SIGN)
        return !f->from.ptr && !f->seqno.ptr && !f->signature.ptr && !f->key.ptr;
    if (f->from.len == 0 || f->from.len > WW_GOSSIP_PEER_ID_MAX || !f->seqno.ptr || f->signature.len == 0)
        return false;
    return ww_gossip_msg_signed_bytes(f, &g->signed_bytes) == 0 &&
        g->conf.auth->verify(g->conf.auth, f->from, f->key, ww_buf_view(&g->signed_bytes), f->signature) == 0;
}

static void blame_message(struct ww_gossip *g, struct ww_gossip_peer *p, const char *why)
{
    g->stats.invalid++;
    ww_gossip_blame_invalid(g, p, 1000);
    WW_TRACE(g->conf.trace, GOSSIP_REJECTED, ww_tv_hex(ww_gossip_peer_id(p)), ww_tv_str(why));
}

/* Passed all checks that the router makes. */
static void admit(struct ww_gossip *g, struct ww_gossip_peer *p, struct ww_bytes body, bool canonical,
    struct ww_gossip_fields *f, struct ww_gossip_topic *t, uint64_t hash, uint64_t now_ns)
{
    if (ww_seen_add(&g->seen, hash, now_ns) < 0)
        return;
    /* What others could read in another way than we did is not passed on as it came. */
    struct ww_slab *frame = canonical ? ww_gossip_frame_wrap(body, f) : ww_gossip_frame_encode(f);
    struct ww_gossip_msg *m = frame ? msg_new_take(g, frame, f, t, now_ns) : NULL;
    if (!m) {
        g->stats.pending_dropped++;
        return;
    }
    m->source_serial = p->serial;
    ww_list_push_back(&g->validate, &m->event_link);
}

void ww_gossip_in_message(
    struct ww_gossip *g, struct ww_gossip_peer *p, struct ww_bytes body, uint64_t now_ns)
{
    struct ww_gossip_fields f;
    bool canonical;
    uint8_t id[WW_GOSSIP_MSG_ID_MAX];
    g->stats.messages_in++;
    if (ww_gossip_msg_decode(body, &f, &canonical) < 0)
        return;
    struct ww_gossip_topic *t = ww_gossip_topic_find(g, f.topic);
    if (!t || !t->joined) {
        g->stats.not_joined++;
        return;
    }
    /* An honest router forwards a well-signed message with an odd number; dropping it is enough. */
    bool own = ww_bytes_eq(f.from, ww_bytes(g->self, g->conf.self.len));
    size_t id_len = g->conf.msg_id(&f, id);
    if (own || (f.seqno.ptr && f.seqno.len != SEQNO_BYTES)) {
        g->stats.ignored++;
        return;
    }
    if (id_len == 0) {
        blame_message(g, p, "no id");
        return;
    }
    uint64_t hash = ww_gossip_id_hash(g, ww_bytes(id, id_len));
    if (ww_seen_has(&g->seen, hash)) {
        g->stats.duplicates++;
        return;
    }
    if (g->pending_count >= g->conf.pending_max || g->pending_bytes + body.len > g->conf.pending_bytes_max) {
        g->stats.pending_dropped++;
        return;
    }
    if (!policy_ok(g, &f)) {
        blame_message(g, p, "signature");
        return;
    }
    admit(g, p, body, canonical, &f, t, hash, now_ns);
}

static struct ww_gossip_peer *source_of(const struct ww_gossip *g, const struct ww_gossip_msg *m)
{
    WW_LIST_FOR(it, &g->all_peers)
    {
        struct ww_gossip_peer *p = WW_LIST_ENTRY(it, struct ww_gossip_peer, link);
        if (p->serial == m->source_serial)
            return p;
    }
    return NULL;
}

static void accept(struct ww_gossip *g, struct ww_gossip_msg *m, uint64_t now_ns)
{
    struct ww_gossip_topic *t = m->topic;
    if (m->own) {
        uint64_t hash = ww_gossip_id_hash(g, m->id);
        if (ww_seen_has(&g->seen, hash) || ww_seen_add(&g->seen, hash, now_ns) < 0) {
            g->stats.duplicates++; /* the same content again, where the id comes from the content */
            topic_let_go(g, m);
            return;
        }
        g->stats.published++;
    }
    bool cached = cache_put(g, m);
    if (m->own)
        send_own(g, m, t, now_ns);
    else if (t->joined)
        send_list(g, m, t);
    if (t->joined && t->deliver) {
        g->stats.delivered++;
        ww_list_push_back(&g->deliver, &ww_gossip_msg_ref(m)->event_link);
    }
    if (!cached)
        topic_let_go(g, m);
}

void ww_gossip_validated(
    struct ww_gossip *g, struct ww_gossip_msg *m, enum ww_gossip_verdict verdict, uint64_t now_ns)
{
    WW_ASSERT(m->state == WW_GOSSIP_MSG_PENDING);
    pending_end(g, m);
    if (verdict == WW_GOSSIP_ACCEPT && (m->own || m->topic->joined)) {
        accept(g, m, now_ns);
    } else {
        struct ww_gossip_peer *source;
        if (verdict == WW_GOSSIP_REJECT && !m->own) {
            g->stats.rejected++;
            source = source_of(g, m);
            if (source)
                blame_message(g, source, "validator");
        } else {
            g->stats.ignored++;
        }
        topic_let_go(g, m);
    }
    ww_gossip_msg_unref(m);
}

/* ---- gossip ---- */

static bool ask_more(struct ww_gossip *g, struct ww_gossip_peer *p, const struct ww_gossip_item *item)
{
    struct ww_gossip_topic *t = ww_gossip_topic_find(g, item->topic);
    return t && t->joined && ww_gossip_peer_score(p) >= g->conf.score_gossip &&
        p->ihave_messages <= g->conf.ihave_messages_max && p->ihave_asked < g->conf.ihave_ids_max;
}

static void promise_add(struct ww_gossip *g, struct ww_gossip_peer *p, struct ww_bytes id, uint64_t now_ns)
{
    for (size_t i = 0; i < WW_GOSSIP_PROMISES; i++) {
        struct ww_gossip_promise *pr = &p->promises[i];
        if (pr->deadline_ns)
            continue;
        pr->id_hash = ww_gossip_id_hash(g, id);
        pr->deadline_ns = ww_gossip_later(now_ns, g->conf.promise_ns);
        return;
    }
}

void ww_gossip_promises_check(struct ww_gossip *g, struct ww_gossip_peer *p, uint64_t now_ns)
{
    for (size_t i = 0; i < WW_GOSSIP_PROMISES; i++) {
        struct ww_gossip_promise *pr = &p->promises[i];
        if (pr->deadline_ns == 0 || pr->deadline_ns > now_ns)
            continue;
        if (!ww_seen_has(&g->seen, pr->id_hash)) {
            g->stats.promises_broken++;
            ww_gossip_blame_penalty(g, p, 1000);
        }
        pr->deadline_ns = 0;
    }
}

void ww_gossip_in_ihave(
    struct ww_gossip *g, struct ww_gossip_peer *p, const struct ww_gossip_item *item, uint64_t now_ns)
{
    g->stats.ihave_in++;
    if (!ask_more(g, p, item)) {
        g->stats.ihave_ignored++;
        return;
    }
    /* As many as one frame of control holds: a peer that has more will say so again at its next heartbeat. */
    struct ww_bytes rest = item->body, id;
    size_t left = g->conf.ihave_ids_max - p->ihave_asked, count = 0, bytes = 0;
    while (count < left && ww_gossip_ids_next(WW_GOSSIP_ITEM_IHAVE, &rest, &id)) {
        if (id.len == 0 || id.len > WW_GOSSIP_MSG_ID_MAX || ww_seen_has(&g->seen, ww_gossip_id_hash(g, id)))
            continue;
        bytes += ww_protobuf_bytes_size(1, id.len);
        if (bytes > g->conf.control_bytes_max)
            break;
        g->ids[count++] = id;
    }
    ww_buf_clear(&g->scratch);
    if (count == 0 || ww_gossip_put_iwant(&g->scratch, g->ids, count) < 0 ||
        ww_gossip_queue_control(g, p, ww_buf_view(&g->scratch)) < 0)
        return;
    p->ihave_asked += (unsigned)count;
    g->stats.iwant_out += count;
    promise_add(g, p, g->ids[ww_prng_below(&g->prng, count)], now_ns);
}

/* Counts an answer to one peer. False: it had enough. */
static bool serve_once_more(struct ww_gossip *g, struct ww_gossip_msg *m, uint32_t serial)
{
    for (uint32_t i = 0; i < m->served_count; i++) {
        if (m->served[i].peer_serial == serial)
            return m->served[i].count++ < g->conf.retransmit_max;
    }
    if (m->served_count == m->served_cap) {
        uint32_t cap = m->served_cap ? m->served_cap * 2 : 4;
        struct ww_gossip_served *served = ww_realloc(m->served, cap * sizeof *served);
        if (!served)
            return false;
        m->served = served;
        m->served_cap = cap;
    }
    m->served[m->served_count++] = (struct ww_gossip_served){serial, 1};
    return g->conf.retransmit_max > 0;
}

void ww_gossip_in_iwant(struct ww_gossip *g, struct ww_gossip_peer *p, const struct ww_gossip_item *item)
{
    struct ww_bytes rest = item->body, id;
    if (ww_gossip_peer_score(p) < g->conf.score_gossip)
        return;
    while (ww_gossip_ids_next(WW_GOSSIP_ITEM_IWANT, &rest, &id)) {
        g->stats.iwant_in++;
        struct ww_map_node *n = id.len && id.len <= WW_GOSSIP_MSG_ID_MAX ? ww_map_get(&g->cache, id) : NULL;
        struct ww_gossip_msg *m = n ? WW_CONTAINER_OF(n, struct ww_gossip_msg, id_node) : NULL;
        if (m && serve_once_more(g, m, p->serial)) {
            g->stats.iwant_served++;
            ww_gossip_queue_msg(g, p, m->frame);
        } else {
            g->stats.iwant_refused++;
        }
    }
}

/* The newest ids of a topic that are young enough to gossip about, shuffled, into g->ids. */
static size_t collect_ids(struct ww_gossip *g, const struct ww_gossip_topic *t)
{
    size_t count = 0;
    for (const struct ww_list *it = t->window.prev; it != &t->window && count < g->conf.ihave_ids_max;
         it = it->prev) {
        const struct ww_gossip_msg *m = WW_CONTAINER_OF(it, struct ww_gossip_msg, window_link);
        if (m->beat + g->conf.gossip_windows <= g->beat)
            break;
        g->ids[count++] = m->id;
    }
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)ww_prng_below(&g->prng, i);
        struct ww_bytes swap = g->ids[i - 1];
        g->ids[i - 1] = g->ids[j];
        g->ids[j] = swap;
    }
    return count;
}

/* Sends the same entries to all picked peers, in pieces that each fit into one frame of control. */
static void emit_ids(struct ww_gossip *g, struct ww_gossip_topic *t, size_t ids, size_t targets)
{
    size_t room = g->conf.control_bytes_max - t->name_len - 16;
    for (size_t at = 0; at < ids;) {
        size_t end = at, bytes = 0;
        while (end < ids && bytes + ww_protobuf_bytes_size(2, g->ids[end].len) <= room)
            bytes += ww_protobuf_bytes_size(2, g->ids[end++].len);
        ww_buf_clear(&g->scratch);
        if (ww_gossip_put_ihave(&g->scratch, ww_gossip_topic_name(t), g->ids + at, end - at) < 0)
            return;
        for (size_t i = 0; i < targets; i++) {
            /* A full queue loses gossip, which comes again. */
            ww_err err = ww_gossip_queue_control(g, g->pick[i]->peer, ww_buf_view(&g->scratch));
            WW_UNUSED(err);
        }
        at = end;
    }
}

void ww_gossip_emit(struct ww_gossip *g, struct ww_gossip_topic *t)
{
    size_t ids = collect_ids(g, t);
    if (ids == 0)
        return;
    size_t outside = t->member_count - t->mesh_count - t->fanout_count;
    size_t want = outside * g->conf.gossip_percent / 100;
    if (want < g->conf.d_lazy)
        want = g->conf.d_lazy;
    unsigned skip = WW_GOSSIP_PICK_MESH | WW_GOSSIP_PICK_FANOUT;
    emit_ids(g, t, ids, ww_gossip_pick(g, t, skip, g->conf.score_gossip, want));
}
