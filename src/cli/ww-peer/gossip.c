#include <stdio.h>

#include "base/map.h"
#include "p2p/pubsub.h"
#include "tool.h"

#define TICK_NS (2 * WW_NS_PER_MS)
#define FOLLOW_NS (50 * WW_NS_PER_MS)
#define FOLLOWED_MAX 64

/* The id of a message that was received, to tell duplicates. */
struct seen_id {
    struct ww_map_node node;
    size_t len;
    uint8_t bytes[WW_GOSSIP_MSG_ID_MAX];
};

struct tool_gossip {
    struct tool *t;
    struct ww_pubsub *pubsub;
    struct ww_pubsub_sink sink;
    struct ww_map seen;
    struct ww_timer timer;
    uint64_t published, received, duplicates, begin_ns;
    uint8_t *payload;
    unsigned followed;
    enum { SETTLING, PUBLISHING, LINGERING } phase;
};

static struct ww_bytes seen_key(const struct ww_map_node *node)
{
    const struct seen_id *id = WW_CONTAINER_OF(node, struct seen_id, node);
    return ww_bytes(id->bytes, id->len);
}

static const char *topic_of(const struct tool *t)
{
    return t->o.topic ? t->o.topic : "test";
}

static void gossip_cleanup(struct tool *t)
{
    struct tool_gossip *g = t->gossip;
    struct ww_map_node *node;
    t->env->ops->timer_cancel(t->env, &g->timer);
    if (g->sink.topic)
        ww_pubsub_unsubscribe(g->pubsub, &g->sink);
    ww_pubsub_free(g->pubsub);
    while ((node = ww_map_next(&g->seen, NULL))) {
        ww_map_remove(&g->seen, node);
        ww_free(WW_CONTAINER_OF(node, struct seen_id, node));
    }
    ww_map_fini(&g->seen);
    ww_free(g->payload);
    ww_free(g);
    t->gossip = NULL;
}

/* A listener relays a list of topics, with commas between them; they end with the pubsub. */
static ww_err relay_all(struct tool_gossip *g, const char *list)
{
    while (*list) {
        size_t len = strcspn(list, ",");
        WW_TRY(ww_pubsub_relay(g->pubsub, ww_bytes(list, len)));
        list += len + (list[len] == ',');
    }
    return WW_OK;
}

/* A listener that was not told a topic relays those that its peers are in. */
static void follow(struct ww_timer *timer)
{
    struct tool_gossip *g = WW_CONTAINER_OF(timer, struct tool_gossip, timer);
    struct ww_bytes topic;
    while (g->followed < FOLLOWED_MAX && (topic = ww_gossip_foreign_topic(ww_pubsub_router(g->pubsub))).len) {
        uint8_t name[WW_GOSSIP_TOPIC_MAX]; /* joining changes the router */
        memcpy(name, topic.ptr, topic.len);
        if (ww_pubsub_relay(g->pubsub, ww_bytes(name, topic.len)) < 0)
            break;
        g->followed++;
    }
    g->t->env->ops->timer_set(g->t->env, timer, ww_env_now(g->t->env) + FOLLOW_NS);
}

bool tool_gossip_serve(struct tool *t)
{
    struct ww_pubsub_conf conf;
    struct tool_gossip *g = WW_NEW(struct tool_gossip);
    ww_err err = g ? WW_OK : WW_ENOMEM;
    ww_pubsub_conf_standard(&conf);
    if (t->o.gossip_protocol) {
        conf.ids[0] = ww_bytes_str(t->o.gossip_protocol);
        conf.id_count = 1;
        conf.rule_count = 0;
    }
    if (g) {
        g->t = t;
        ww_map_init(&g->seen, seen_key, NULL);
        t->gossip = g;
        err = ww_pubsub_new(t->swarm, &conf, &g->pubsub);
    }
    if (err == WW_OK)
        t->cleanup = gossip_cleanup;
    if (err == WW_OK && !t->o.target && t->o.topic) {
        err = relay_all(g, t->o.topic);
    } else if (err == WW_OK && !t->o.target) {
        g->timer.fired = follow;
        t->env->ops->timer_set(t->env, &g->timer, ww_env_now(t->env) + FOLLOW_NS);
    }
    if (err < 0)
        fprintf(stderr, "ww-peer: gossip: %s\n", ww_err_text(err));
    return err == WW_OK;
}

/* ---- the test ---- */

static void arm(struct tool_gossip *g, uint64_t after_ns)
{
    struct ww_env *env = g->t->env;
    env->ops->timer_set(env, &g->timer, ww_env_now(env) + after_ns);
}

static void print_result(const struct tool_gossip *g)
{
    printf("{\"published\":%llu,\"received\":%llu,\"duplicates\":%llu}\n", (unsigned long long)g->published,
        (unsigned long long)g->received, (unsigned long long)g->duplicates);
}

static void linger_if_done(struct tool_gossip *g)
{
    const struct tool_options *o = &g->t->o;
    if (g->phase != PUBLISHING || g->published < o->publish || g->received < o->expect)
        return;
    g->phase = LINGERING;
    arm(g, o->linger_ns);
}

static void on_message(struct ww_pubsub_sink *sink, struct ww_gossip_msg *msg)
{
    struct tool_gossip *g = WW_CONTAINER_OF(sink, struct tool_gossip, sink);
    if (ww_map_get(&g->seen, msg->id)) {
        g->duplicates++;
        return;
    }
    struct seen_id *id = WW_NEW(struct seen_id);
    if (id) {
        id->len = msg->id.len;
        memcpy(id->bytes, msg->id.ptr, msg->id.len);
    }
    if (!id || ww_map_insert(&g->seen, &id->node) < 0) {
        ww_free(id);
        tool_fail(g->t, "gossip: %s", ww_err_text(WW_ENOMEM));
        return;
    }
    g->received++;
    linger_if_done(g);
}

/* Keeps to the rate on average; a full queue means later, not less. */
static ww_err publish_due(struct tool_gossip *g)
{
    struct tool *t = g->t;
    double elapsed_s = (double)(ww_env_now(t->env) - g->begin_ns) / 1e9;
    double due = elapsed_s * (double)(t->o.rate ? t->o.rate : 1) + 1;
    while (g->published < t->o.publish && (double)g->published < due) {
        uint8_t head[8];
        ww_be64_store(head, g->published);
        memcpy(g->payload, head, t->o.size < sizeof head ? t->o.size : sizeof head);
        ww_err err = ww_pubsub_publish(g->pubsub, ww_bytes_str(topic_of(t)), ww_bytes(g->payload, t->o.size));
        if (err == WW_ELIMIT || err == WW_EAGAIN)
            return WW_OK;
        WW_TRY(err);
        g->published++;
    }
    return WW_OK;
}

static void on_timer(struct ww_timer *timer)
{
    struct tool_gossip *g = WW_CONTAINER_OF(timer, struct tool_gossip, timer);
    if (g->phase == LINGERING) {
        print_result(g);
        tool_stop(g->t, TOOL_DONE);
        return;
    }
    if (g->phase == SETTLING) {
        g->phase = PUBLISHING;
        g->begin_ns = ww_env_now(g->t->env);
    }
    ww_err err = publish_due(g);
    if (err < 0) {
        tool_fail(g->t, "gossip: publish: %s", ww_err_text(err));
        return;
    }
    if (g->published < g->t->o.publish)
        arm(g, TICK_NS);
    linger_if_done(g);
}

void tool_gossip_run(struct tool *t)
{
    struct tool_gossip *g = t->gossip;
    g->payload = ww_calloc(1, t->o.size + 1);
    g->timer.fired = on_timer;
    g->sink.message = on_message;
    g->sink.skip_own = true;
    ww_err err = g->payload ? ww_pubsub_subscribe(g->pubsub, ww_bytes_str(topic_of(t)), &g->sink) : WW_ENOMEM;
    if (err < 0)
        tool_fail(t, "gossip: %s", ww_err_text(err));
    else
        arm(g, t->o.settle_ns);
}

void tool_gossip_timed_out(const struct tool *t)
{
    if (t->gossip)
        print_result(t->gossip);
}
