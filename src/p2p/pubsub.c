#include "p2p/pubsub_int.h"

#include <stdio.h>

#include "p2p/peer_record.h"

#define WRITE_TIMEOUT_NS (30 * WW_NS_PER_S)

/* ---- configuration ---- */

void ww_pubsub_conf_standard(struct ww_pubsub_conf *conf)
{
    *conf = (struct ww_pubsub_conf){
        .ids = {WW_BYTES_LIT("/meshsub/1.1.0"), WW_BYTES_LIT("/meshsub/1.0.0"),
            WW_BYTES_LIT("/floodsub/1.0.0")},
        .id_count = 3,
        .write_timeout_ns = WRITE_TIMEOUT_NS,
    };
    ww_gossip_conf_default(&conf->gossip);
}

ww_err ww_pubsub_conf_cluster(struct ww_pubsub_conf *conf, struct ww_bytes ns, char *id_mem)
{
    if (!ww_proto_namespace_ok(ns))
        return WW_EINVAL;
    int n =
        snprintf(id_mem, WW_PROTO_ID_MAX, "ww/0.1.0/%.*s/meshsub/1.1.0", (int)ns.len, (const char *)ns.ptr);
    if (n < 0 || n >= WW_PROTO_ID_MAX)
        return WW_EINVAL;
    *conf = (struct ww_pubsub_conf){
        .ids = {ww_bytes_str(id_mem)},
        .id_count = 1,
        .rules = {{WW_PROTO_EXACTLY, WW_BYTES_LIT("ww")}, {WW_PROTO_SEMVER, WW_BYTES_LIT("0.1.0")},
            {WW_PROTO_EXACTLY, ns}, {WW_PROTO_EXACTLY, WW_BYTES_LIT("meshsub")},
            {WW_PROTO_SEMVER, WW_BYTES_LIT("1.1.0")}},
        .rule_count = 5,
        .write_timeout_ns = WRITE_TIMEOUT_NS,
    };
    ww_gossip_conf_default(&conf->gossip);
    return 0;
}

bool pubsub_accepts(const struct ww_pubsub *ps, struct ww_bytes protocol)
{
    for (size_t i = 0; i < ps->id_count; i++) {
        if (ww_bytes_eq(protocol, ww_bytes_str(ps->ids[i])))
            return true;
    }
    return ps->rule_count > 0 && ww_proto_match(ps->rules, ps->rule_count, protocol);
}

/* ---- topics ---- */

static struct ww_bytes topic_name(const struct ww_pubsub_topic *t)
{
    return ww_bytes(t->name, t->name_len);
}

static struct ww_bytes topic_key(const struct ww_map_node *n)
{
    return topic_name(WW_CONTAINER_OF(n, struct ww_pubsub_topic, node));
}

static struct ww_pubsub_topic *topic_find(const struct ww_pubsub *ps, struct ww_bytes name)
{
    struct ww_map_node *n = ww_map_get(&ps->topics, name);
    return n ? WW_CONTAINER_OF(n, struct ww_pubsub_topic, node) : NULL;
}

static ww_err topic_get(struct ww_pubsub *ps, struct ww_bytes name, struct ww_pubsub_topic **ret_topic)
{
    struct ww_pubsub_topic *t = topic_find(ps, name);
    if (!t) {
        if (name.len == 0 || name.len > WW_GOSSIP_TOPIC_MAX)
            return WW_EINVAL;
        t = ww_alloc(sizeof *t + name.len);
        if (!t)
            return WW_ENOMEM;
        *t = (struct ww_pubsub_topic){.name_len = (uint16_t)name.len};
        memcpy(t->name, name.ptr, name.len);
        ww_list_init(&t->sinks);
        if (ww_map_insert(&ps->topics, &t->node) < 0) {
            ww_free(t);
            return WW_ENOMEM;
        }
    }
    *ret_topic = t;
    return 0;
}

/* Brings the router in line with what is wanted of the topic, and forgets a topic of which nothing is. */
static ww_err topic_settle(struct ww_pubsub *ps, struct ww_pubsub_topic *t)
{
    bool deliver = !ww_list_empty(&t->sinks), join = deliver || t->relays > 0;
    ww_err err = 0;
    if (join && (!t->joined || t->deliver != deliver)) {
        err = ww_gossip_join(ps->g, topic_name(t), deliver, ww_env_now(ps->env));
        if (err == 0) {
            t->joined = true;
            t->deliver = deliver;
        }
    } else if (!join && t->joined) {
        ww_gossip_leave(ps->g, topic_name(t), ww_env_now(ps->env));
        t->joined = false;
    }
    if (!join && !t->validator) {
        ww_map_remove(&ps->topics, &t->node);
        ww_free(t);
    }
    pubsub_drain_later(ps);
    return err;
}

ww_err ww_pubsub_subscribe(struct ww_pubsub *ps, struct ww_bytes topic, struct ww_pubsub_sink *sink)
{
    struct ww_pubsub_topic *t;
    if (sink->topic)
        return WW_EEXIST;
    WW_TRY(topic_get(ps, topic, &t));
    sink->topic = t;
    ww_list_push_back(&t->sinks, &sink->link);
    ww_err err = topic_settle(ps, t);
    if (err < 0)
        ww_pubsub_unsubscribe(ps, sink);
    return err;
}

void ww_pubsub_unsubscribe(struct ww_pubsub *ps, struct ww_pubsub_sink *sink)
{
    struct ww_pubsub_topic *t = sink->topic;
    if (!t)
        return;
    sink->topic = NULL;
    ww_list_remove(&sink->link);
    /* Leaving, or joined as before without delivery, cannot fail. */
    ww_err err = topic_settle(ps, t);
    WW_UNUSED(err);
}

ww_err ww_pubsub_relay(struct ww_pubsub *ps, struct ww_bytes topic)
{
    struct ww_pubsub_topic *t;
    WW_TRY(topic_get(ps, topic, &t));
    t->relays++;
    ww_err err = topic_settle(ps, t);
    if (err < 0)
        ww_pubsub_unrelay(ps, topic);
    return err;
}

void ww_pubsub_unrelay(struct ww_pubsub *ps, struct ww_bytes topic)
{
    struct ww_pubsub_topic *t = topic_find(ps, topic);
    if (!t || t->relays == 0)
        return;
    t->relays--;
    ww_err err = topic_settle(ps, t);
    WW_UNUSED(err);
}

ww_err ww_pubsub_validator_set(
    struct ww_pubsub *ps, struct ww_bytes topic, struct ww_pubsub_validator *validator)
{
    struct ww_pubsub_topic *t = topic_find(ps, topic);
    if (!validator && !t)
        return 0;
    WW_TRY(topic_get(ps, topic, &t));
    if (validator && t->validator && t->validator != validator)
        return WW_EEXIST;
    t->validator = validator;
    return topic_settle(ps, t);
}

/* ---- messages ---- */

static enum ww_gossip_verdict judge(struct ww_pubsub *ps, const struct ww_gossip_msg *m)
{
    struct ww_pubsub_topic *t = topic_find(ps, m->f.topic);
    return t && t->validator ? t->validator->validate(t->validator, m) : WW_GOSSIP_ACCEPT;
}

ww_err ww_pubsub_publish(struct ww_pubsub *ps, struct ww_bytes topic, struct ww_bytes data)
{
    struct ww_gossip_msg *m;
    uint64_t now = ww_env_now(ps->env);
    WW_TRY(ww_gossip_publish(ps->g, topic, data, now, &m));
    enum ww_gossip_verdict verdict = judge(ps, m);
    ww_gossip_validated(ps->g, m, verdict, now);
    pubsub_drain_later(ps);
    return verdict == WW_GOSSIP_ACCEPT ? 0 : WW_EDENIED;
}

/* A sink may remove itself and others: the walk keeps its place by a node of its own in the list. */
static void deliver(struct ww_pubsub *ps, struct ww_gossip_msg *m)
{
    struct ww_pubsub_topic *t = topic_find(ps, m->f.topic);
    struct ww_pubsub_sink place = {0};
    if (!t)
        return;
    place.topic = t;
    ww_list_push_front(&t->sinks, &place.link);
    while (place.link.next != &t->sinks) {
        struct ww_pubsub_sink *sink = WW_LIST_ENTRY(place.link.next, struct ww_pubsub_sink, link);
        ww_list_remove(&place.link);
        ww_list_push_front(&sink->link, &place.link); /* behind it */
        if (sink->message && !(sink->skip_own && m->own))
            sink->message(sink, m);
    }
    /* Also settles a topic whose last sink went while the place kept the list from being empty. */
    ww_pubsub_unsubscribe(ps, &place);
}

/* ---- peers ---- */

static void connect_free(struct pubsub_connect *c)
{
    ww_list_remove(&c->link);
    c->ps->connect_count--;
    ww_free(c);
}

static void connect_done(struct ww_swarm_dial *op, ww_err err)
{
    WW_UNUSED(err); /* a hint that led nowhere */
    connect_free(WW_CONTAINER_OF(op, struct pubsub_connect, op));
}

/* The addresses of a proposed peer's own record, when it has one that is genuine. */
static size_t record_addrs(
    const struct ww_peer_id *id, struct ww_bytes envelope, struct ww_bytes *addrs, size_t max)
{
    struct ww_peer_record record;
    struct ww_bytes rest;
    size_t count = 0;
    if (envelope.len == 0 || ww_peer_record_open(envelope, &record) < 0 || !ww_peer_id_eq(&record.peer, id))
        return 0;
    for (rest = record.payload; count < max && ww_peer_record_next(&rest, &addrs[count]);)
        count++;
    return count;
}

static void connect_start(struct ww_pubsub *ps, const struct ww_gossip_event *ev)
{
    struct ww_bytes addrs[16];
    struct ww_peer_id id;
    if (ps->connect_count >= PUBSUB_CONNECTS_MAX || ww_peer_id_decode(ev->id, &id) < 0 ||
        ww_swarm_connected(ps->swarm, &id))
        return;
    size_t count = record_addrs(&id, ev->record, addrs, WW_COUNT_OF(addrs));
    struct pubsub_connect *c = WW_NEW(struct pubsub_connect);
    if (!c)
        return;
    c->ps = ps;
    c->op.done = connect_done;
    ww_list_push_back(&ps->connects, &c->link);
    ps->connect_count++;
    if (ww_swarm_dial(ps->swarm, &c->op, &id, addrs, count, 0) < 0)
        connect_free(c);
}

/* What the peer can do by the ids that it tells, in any order: a mesh peer that also speaks floodsub is a
 * mesh peer. False when we share none with it. */
static bool features_told(const struct ww_pubsub *ps, const struct ww_peer_id *id, unsigned *ret_features)
{
    struct ww_peerstore *store = ww_swarm_peerstore(ps->swarm);
    struct ww_bytes protocol;
    unsigned features = 0;
    bool any = false;
    for (size_t i = 0; (protocol = ww_peerstore_protocol(store, id, i)).len > 0; i++) {
        if (!pubsub_accepts(ps, protocol))
            continue;
        features |= pubsub_features(protocol);
        any = true;
    }
    if (any)
        *ret_features = features;
    return any;
}

static void identify(struct ww_pubsub *ps, const struct ww_peer_id *id)
{
    struct ww_peerstore *store = ww_swarm_peerstore(ps->swarm);
    struct pubsub_peer *p = pubsub_peer_find(ps, id);
    unsigned features;
    if (!p && features_told(ps, id, &features))
        p = pubsub_peer_get(ps, id, features);
    if (!p)
        return;
    struct ww_bytes record = ww_peerstore_record(store, id);
    struct ww_slab *slab = record.len ? ww_slab_copy(record) : NULL;
    if (slab)
        ww_gossip_peer_record_set(ps->g, &p->g, slab);
    ww_slab_unref(slab);
    pubsub_drain_later(ps);
}

static void on_identified(struct ww_swarm_sub *sub, const struct ww_swarm_identity *identity)
{
    identify(WW_CONTAINER_OF(sub, struct ww_pubsub, sub), identity->peer);
}

static void on_peer_down(struct ww_swarm_sub *sub, const struct ww_peer_id *id)
{
    struct ww_pubsub *ps = WW_CONTAINER_OF(sub, struct ww_pubsub, sub);
    struct pubsub_peer *p = pubsub_peer_find(ps, id);
    if (p)
        pubsub_peer_drop(p);
}

static bool on_match(struct ww_stream_handler *h, struct ww_bytes protocol)
{
    return pubsub_accepts(WW_CONTAINER_OF(h, struct pubsub_handler, h)->ps, protocol);
}

static struct ww_stream_user *on_opened(
    struct ww_stream_handler *h, struct ww_stream *stream, struct ww_bytes protocol)
{
    return pubsub_peer_accept(WW_CONTAINER_OF(h, struct pubsub_handler, h)->ps, stream, protocol);
}

/* ---- events ---- */

static void beat_arm(struct ww_pubsub *ps)
{
    ps->env->ops->timer_set(ps->env, &ps->beat, ww_gossip_deadline(ps->g));
}

static void handle(struct ww_pubsub *ps, const struct ww_gossip_event *ev)
{
    switch (ev->kind) {
    case WW_GOSSIP_EV_SEND:
        pubsub_peer_pump(WW_CONTAINER_OF(ev->peer, struct pubsub_peer, g));
        break;
    case WW_GOSSIP_EV_VALIDATE:
        ww_gossip_validated(ps->g, ev->msg, judge(ps, ev->msg), ww_env_now(ps->env));
        break;
    case WW_GOSSIP_EV_DELIVER:
        deliver(ps, ev->msg);
        ww_gossip_msg_unref(ev->msg);
        break;
    case WW_GOSSIP_EV_CONNECT:
        connect_start(ps, ev);
        break;
    case WW_GOSSIP_EV_CLOSE:
        ww_swarm_disconnect(ps->swarm, &WW_CONTAINER_OF(ev->peer, struct pubsub_peer, g)->id);
        break;
    }
}

void pubsub_drain(struct ww_pubsub *ps)
{
    struct ww_gossip_event ev;
    if (ps->draining)
        return;
    ps->draining = true;
    while (ww_gossip_next_event(ps->g, &ev))
        handle(ps, &ev);
    ps->draining = false;
}

void pubsub_drain_later(struct ww_pubsub *ps)
{
    if (!ps->draining && !ps->closing)
        ps->env->ops->post(ps->env, &ps->drain_task);
}

static void drain_run(struct ww_task *task)
{
    pubsub_drain(WW_CONTAINER_OF(task, struct ww_pubsub, drain_task));
}

static void on_beat(struct ww_timer *timer)
{
    struct ww_pubsub *ps = WW_CONTAINER_OF(timer, struct ww_pubsub, beat);
    ww_gossip_tick(ps->g, ww_env_now(ps->env));
    beat_arm(ps);
    pubsub_drain(ps);
}

/* ---- life ---- */

static ww_err ids_copy(struct ww_pubsub *ps, const struct ww_pubsub_conf *conf)
{
    for (size_t i = 0; i < conf->id_count; i++) {
        if (conf->ids[i].len == 0 || conf->ids[i].len >= WW_PROTO_ID_MAX)
            return WW_EINVAL;
        ps->ids[i] = ww_calloc(1, conf->ids[i].len + 1);
        if (!ps->ids[i])
            return WW_ENOMEM;
        memcpy(ps->ids[i], conf->ids[i].ptr, conf->ids[i].len);
        ps->id_count++;
    }
    return 0;
}

static ww_err rules_copy(struct ww_pubsub *ps, const struct ww_pubsub_conf *conf)
{
    for (size_t i = 0; i < conf->rule_count; i++) {
        struct ww_bytes text = conf->rules[i].text;
        if (text.len == 0)
            return WW_EINVAL;
        uint8_t *copy = ww_alloc(text.len);
        if (!copy)
            return WW_ENOMEM;
        memcpy(copy, text.ptr, text.len);
        ps->rules[i] = (struct ww_proto_rule){conf->rules[i].kind, ww_bytes(copy, text.len)};
        ps->rule_count++;
    }
    return 0;
}

static ww_err router_new(struct ww_pubsub *ps, const struct ww_pubsub_conf *conf)
{
    struct ww_gossip_conf g = conf->gossip;
    uint64_t seed[2];
    ps->env->ops->random(ps->env, seed, sizeof seed);
    ww_gossip_auth_key_init(&ps->auth, ww_swarm_key(ps->swarm), seed);
    ps->env->ops->random(ps->env, &g.prng_seed, sizeof g.prng_seed);
    ps->env->ops->random(ps->env, g.hash_seed, sizeof g.hash_seed);
    ww_map_init(&ps->topics, topic_key, g.hash_seed);
    g.self = ww_peer_id_view(ww_swarm_id(ps->swarm));
    g.auth = &ps->auth.auth;
    g.seqno_start = ps->env->ops->wall_ns(ps->env);
    g.trace = ps->env->trace;
    return ww_gossip_new(&g, ww_env_now(ps->env), &ps->g);
}

static ww_err register_all(struct ww_pubsub *ps)
{
    for (size_t i = 0; i < ps->id_count; i++) {
        struct pubsub_handler *h = &ps->handlers[i];
        *h = (struct pubsub_handler){.ps = ps, .h = {.protocol = ps->ids[i], .opened = on_opened}};
        if (i == 0 && ps->rule_count > 0)
            h->h.match = on_match;
        ww_err err = ww_swarm_handle(ps->swarm, &h->h);
        if (err < 0) {
            while (i-- > 0)
                ww_swarm_unhandle(ps->swarm, &ps->handlers[i].h);
            return err;
        }
    }
    ps->sub = (struct ww_swarm_sub){.identified = on_identified, .peer_down = on_peer_down};
    ww_swarm_subscribe(ps->swarm, &ps->sub);
    return 0;
}

static void mem_free(struct ww_pubsub *ps)
{
    ww_gossip_free(ps->g);
    ww_gossip_auth_key_fini(&ps->auth);
    for (size_t i = 0; i < WW_PUBSUB_IDS_MAX; i++)
        ww_free(ps->ids[i]);
    for (size_t i = 0; i < WW_PUBSUB_RULES_MAX; i++)
        ww_free((void *)(uintptr_t)ps->rules[i].text.ptr);
    ww_map_fini(&ps->topics);
    ww_free(ps);
}

ww_err ww_pubsub_new(struct ww_swarm *swarm, const struct ww_pubsub_conf *conf, struct ww_pubsub **ret_pubsub)
{
    if (conf->id_count == 0 || conf->id_count > WW_PUBSUB_IDS_MAX || conf->rule_count > WW_PUBSUB_RULES_MAX ||
        conf->write_timeout_ns == 0)
        return WW_EINVAL;
    struct ww_pubsub *ps = WW_NEW(struct ww_pubsub);
    if (!ps)
        return WW_ENOMEM;
    ps->swarm = swarm;
    ps->env = ww_swarm_env(swarm);
    ps->rpc_bytes_max = conf->gossip.rpc_bytes_max;
    ps->write_timeout_ns = conf->write_timeout_ns;
    ps->beat.fired = on_beat;
    ww_task_init(&ps->drain_task, drain_run);
    ww_list_init(&ps->peers);
    ww_list_init(&ps->connects);
    ww_err err = ids_copy(ps, conf);
    if (err == 0)
        err = rules_copy(ps, conf);
    if (err == 0)
        err = router_new(ps, conf);
    if (err == 0)
        err = register_all(ps);
    if (err < 0) {
        mem_free(ps);
        return err;
    }
    for (const struct ww_peer_id *id = NULL; (id = ww_swarm_next_peer(swarm, id)) != NULL;)
        identify(ps, id);
    beat_arm(ps);
    *ret_pubsub = ps;
    return 0;
}

void ww_pubsub_free(struct ww_pubsub *ps)
{
    if (!ps)
        return;
    WW_ASSERT(!ps->draining);
    ps->closing = true;
    ww_swarm_unsubscribe(ps->swarm, &ps->sub);
    for (size_t i = 0; i < ps->id_count; i++)
        ww_swarm_unhandle(ps->swarm, &ps->handlers[i].h);
    ww_list_remove(&ps->drain_task.link);
    ps->env->ops->timer_cancel(ps->env, &ps->beat);
    WW_LIST_FOR_SAFE(it, &ps->connects)
    {
        struct pubsub_connect *c = WW_LIST_ENTRY(it, struct pubsub_connect, link);
        ww_swarm_dial_cancel(&c->op);
        connect_free(c);
    }
    while (!ww_list_empty(&ps->peers))
        pubsub_peer_drop(WW_LIST_ENTRY(ps->peers.next, struct pubsub_peer, link));
    while (ps->topics.count > 0) {
        struct ww_pubsub_topic *t =
            WW_CONTAINER_OF(ww_map_next(&ps->topics, NULL), struct ww_pubsub_topic, node);
        WW_ASSERT(ww_list_empty(&t->sinks));
        ww_map_remove(&ps->topics, &t->node);
        ww_free(t);
    }
    mem_free(ps);
}

size_t ww_pubsub_topic_peers(const struct ww_pubsub *ps, struct ww_bytes topic)
{
    return ww_gossip_topic_peers(ps->g, topic);
}

size_t ww_pubsub_mesh_peers(const struct ww_pubsub *ps, struct ww_bytes topic)
{
    return ww_gossip_mesh_peers(ps->g, topic);
}

struct ww_gossip *ww_pubsub_router(struct ww_pubsub *ps)
{
    return ps->g;
}
