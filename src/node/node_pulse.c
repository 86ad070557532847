/* Heartbeats: what we say of ourselves, what others say, and forgetting those who fell silent. */
#include <stdio.h>

#include "node/node_int.h"

/* Records removed in one go, so that a mass expiry does not stop the loop. */
#define EXPIRE_MAX 4096
/* The longest pause between two beats is this much shorter than the TTL: Go nodes count the TTL from their
 * last tick, up to a second before the beat came, and a beat takes its time to arrive. */
#define BEAT_MARGIN_MS 1500
#define LOOK_NS (200 * WW_NS_PER_MS)

static enum ww_gossip_verdict validate(struct ww_pubsub_validator *v, const struct ww_gossip_msg *msg)
{
    struct ww_node *node = WW_CONTAINER_OF(v, struct ww_node, validator);
    ww_err why;
    enum ww_pulse_verdict verdict = ww_pulse_apply(
        node->routing, ww_env_now(node->env), &node->scratch, msg->f.from, msg->f.seqno, msg->f.data, &why);
    if (verdict == WW_PULSE_ACCEPT)
        return WW_GOSSIP_ACCEPT;
    if (verdict == WW_PULSE_IGNORE)
        return WW_GOSSIP_IGNORE;
    WW_TRACE(node->env->trace, CLUSTER_PULSE_REJECTED, ww_tv_hex(msg->f.from), ww_tv_err(why));
    return WW_GOSSIP_REJECT;
}

/* ---- beating ---- */

static ww_err publish(struct ww_node *node, uint32_t ttl_ms)
{
    struct ww_pulse pulse = {.ttl_ms = ttl_ms,
        .server = node->server,
        .host = ww_bytes_str(node->host),
        .meta_count = node->meta_count};
    memcpy(pulse.meta, node->meta, node->meta_count * sizeof pulse.meta[0]);
    struct ww_buf out;
    ww_buf_init(&out, WW_PULSE_BYTES_MAX);
    ww_err err = ww_pulse_encode(&pulse, &out);
    if (err == 0)
        err = ww_pubsub_publish(node->pubsub, ww_bytes_str(node->ns), ww_buf_view(&out));
    if (err == 0)
        WW_TRACE(node->env->trace, CLUSTER_PULSE_SENT, ww_tv_u64(ttl_ms), ww_tv_u64(ww_buf_len(&out)));
    ww_buf_fini(&out);
    return err;
}

static void arm_beat(struct ww_node *node)
{
    node->env->ops->timer_set(node->env, &node->beat_timer, node->clock.next_ns);
}

static void beat(struct ww_timer *timer)
{
    struct ww_node *node = WW_CONTAINER_OF(timer, struct ww_node, beat_timer);
    uint64_t now = ww_env_now(node->env);
    if (publish(node, node->ttl_ms) == 0)
        ww_pulse_clock_sent(&node->clock, now, ww_prng_u64(&node->prng));
    else
        ww_pulse_clock_failed(&node->clock, now, ww_prng_u64(&node->prng));
    /* A beat that nobody heard does not delay the next. The first that somebody hears is soon said again:
     * after a quick restart under the same key, Go nodes refuse it as long as they have the former record,
     * which goes at their next tick. */
    bool heard = ww_pubsub_mesh_peers(node->pubsub, ww_bytes_str(node->ns)) > 0;
    bool first = node->last_beat_ns == 0;
    node->last_beat_ns = heard ? now : 0;
    arm_beat(node);
    if (heard && first)
        ww_node_pulse_hurry(node);
}

void ww_node_pulse_hurry(struct ww_node *node)
{
    /* Eight early beats a TTL at most: a stream of newcomers must not make everybody shout. */
    uint64_t gap = (uint64_t)node->ttl_ms * WW_NS_PER_MS / 8;
    uint64_t now = ww_env_now(node->env);
    uint64_t jitter = ww_prng_below(&node->prng, gap / 4 + 1);
    uint64_t at = (node->last_beat_ns + gap > now ? node->last_beat_ns + gap : now) + jitter;
    if (node->leaving || at >= node->clock.next_ns)
        return;
    node->clock.next_ns = at;
    arm_beat(node);
}

void ww_node_pulse_farewell(struct ww_node *node)
{
    node->env->ops->timer_cancel(node->env, &node->beat_timer);
    node->env->ops->timer_cancel(node->env, &node->look_timer);
    /* When it cannot be sent, the others find out by the TTL. */
    ww_ignore(publish(node, WW_PULSE_FAREWELL_MS));
}

/* A peer that just came into the topic has not heard us yet. */
static void look(struct ww_timer *timer)
{
    struct ww_node *node = WW_CONTAINER_OF(timer, struct ww_node, look_timer);
    struct ww_bytes topic = ww_bytes_str(node->ns);
    size_t peers = ww_pubsub_topic_peers(node->pubsub, topic);
    bool unheard = node->last_beat_ns == 0 && ww_pubsub_mesh_peers(node->pubsub, topic) > 0;
    if (peers > node->topic_peers || unheard)
        ww_node_pulse_hurry(node);
    node->topic_peers = peers;
    if (node->boot)
        ww_node_meet_tick(node);
    node->env->ops->timer_set(node->env, timer, ww_env_now(node->env) + LOOK_NS);
}

/* ---- forgetting ---- */

static void arm_expiry(struct ww_node *node)
{
    uint64_t deadline = ww_routing_deadline(node->routing);
    if (deadline != WW_NEVER)
        node->env->ops->timer_set(node->env, &node->expiry_timer, deadline);
}

static void expire(struct ww_timer *timer)
{
    struct ww_node *node = WW_CONTAINER_OF(timer, struct ww_node, expiry_timer);
    (void)ww_routing_advance(node->routing, ww_env_now(node->env), EXPIRE_MAX);
    arm_expiry(node);
}

static void trace_change(struct ww_node *node, const struct ww_record *before, const struct ww_record *after)
{
    const struct ww_record *r = after ? after : before;
    struct ww_peer_id id;
    char peer[WW_PEER_ID_TEXT_MAX], server[20];
    if (!node->env->trace || ww_peer_id_decode(r->peer, &id) < 0 ||
        ww_peer_id_eq(&id, ww_swarm_id(node->swarm)))
        return;
    ww_peer_id_format(&id, peer);
    snprintf(server, sizeof server, "%016llx", (unsigned long long)r->server);
    if (!before)
        WW_TRACE(node->env->trace, CLUSTER_JOIN, ww_tv_str(peer), ww_tv_str(server), ww_tv_text(r->host));
    else if (!after)
        WW_TRACE(node->env->trace, CLUSTER_LEAVE, ww_tv_str(peer), ww_tv_str(server),
            ww_tv_str(r->deadline_ns <= ww_env_now(node->env) ? "expired" : "left"));
}

static void changed(struct ww_routing_observer *obs, const struct ww_record *before,
    const struct ww_record *after, bool renewed)
{
    struct ww_node *node = WW_CONTAINER_OF(obs, struct ww_node, observer);
    if (!renewed)
        trace_change(node, before, after);
    /* A deadline earlier than the armed one comes only with a new or renewed record. */
    if (after && (!node->expiry_timer.armed || after->deadline_ns < node->expiry_timer.node.key))
        node->env->ops->timer_set(node->env, &node->expiry_timer, after->deadline_ns);
}

ww_err ww_node_pulse_start(struct ww_node *node)
{
    struct ww_bytes topic = ww_bytes_str(node->ns);
    ww_msg_init(&node->scratch, NULL);
    node->observer.changed = changed;
    ww_routing_observe(node->routing, &node->observer);
    node->validator.validate = validate;
    node->beat_timer.fired = beat;
    node->expiry_timer.fired = expire;
    node->look_timer.fired = look;
    WW_TRY(ww_pubsub_validator_set(node->pubsub, topic, &node->validator));
    WW_TRY(ww_pubsub_relay(node->pubsub, topic));
    node->relaying = true;
    uint64_t now = ww_env_now(node->env);
    ww_pulse_clock_init(&node->clock, now, node->ttl_ms, BEAT_MARGIN_MS);
    arm_beat(node);
    node->env->ops->timer_set(node->env, &node->look_timer, now + LOOK_NS);
    return 0;
}

void ww_node_pulse_stop(struct ww_node *node)
{
    struct ww_bytes topic = ww_bytes_str(node->ns);
    node->env->ops->timer_cancel(node->env, &node->beat_timer);
    node->env->ops->timer_cancel(node->env, &node->expiry_timer);
    node->env->ops->timer_cancel(node->env, &node->look_timer);
    if (!node->routing)
        return;
    ww_routing_unobserve(&node->observer);
    ww_ignore(ww_pubsub_validator_set(node->pubsub, topic, NULL));
    if (node->relaying)
        ww_pubsub_unrelay(node->pubsub, topic);
    ww_msg_fini(&node->scratch);
}
