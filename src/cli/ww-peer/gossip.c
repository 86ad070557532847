#include <stdio.h>

#include "p2p/pubsub.h"
#include "tool.h"

#define TOPICS_MAX 8
#define POLL_NS (2 * WW_NS_PER_MS)

enum phase { WAIT_PEER, SETTLE, RUN, LINGER };

/* The gossip test joins a topic, publishes at a rate and counts what others send; a listener only relays. */
struct tool_gossip {
    struct tool *t;
    struct ww_pubsub *ps;
    struct ww_pubsub_sink sink;
    struct ww_bytes topics[TOPICS_MAX]; /* --topic may be a list; messages go to the first */
    size_t topic_count;
    char *data;
    enum phase phase;
    uint64_t phase_ns, first_ns, last_ns;
    uint64_t sent, received, duplicates;
    struct ww_map seen; /* ids of the messages that came, to notice one that comes twice */
    struct ww_timer timer;
};

struct seen_id {
    struct ww_map_node node;
    size_t len;
    uint8_t id[WW_GOSSIP_MSG_ID_MAX];
};

static uint64_t now(const struct tool_gossip *g)
{
    return ww_env_now(g->t->env);
}

static void enter(struct tool_gossip *g, enum phase phase)
{
    g->phase = phase;
    g->phase_ns = now(g);
}

static struct ww_bytes seen_key(const struct ww_map_node *n)
{
    const struct seen_id *s = WW_CONTAINER_OF(n, struct seen_id, node);
    return ww_bytes(s->id, s->len);
}

static bool seen_before(struct tool_gossip *g, struct ww_bytes id)
{
    if (ww_map_get(&g->seen, id))
        return true;
    struct seen_id *s = WW_NEW(struct seen_id);
    if (!s)
        return false;
    s->len = id.len;
    memcpy(s->id, id.ptr, id.len);
    if (ww_map_insert(&g->seen, &s->node) < 0)
        ww_free(s);
    return false;
}

static void on_message(struct ww_pubsub_sink *sink, struct ww_gossip_msg *m)
{
    struct tool_gossip *g = WW_CONTAINER_OF(sink, struct tool_gossip, sink);
    if (seen_before(g, m->id)) {
        g->duplicates++;
        return;
    }
    g->received++;
    g->last_ns = now(g);
    if (!g->first_ns)
        g->first_ns = g->last_ns;
}

/* ---- publishing ---- */

/* A number in text, padded to the size asked for. */
static bool publish_one(struct tool_gossip *g)
{
    char number[24];
    int n = snprintf(number, sizeof number, "m%llu", (unsigned long long)g->sent);
    size_t size = g->t->o.size, digits = (size_t)n < size ? (size_t)n : size;
    memset(g->data, '.', size);
    memcpy(g->data, number, digits);
    ww_err err = ww_pubsub_publish(g->ps, g->topics[0], ww_bytes(g->data, size));
    if (err < 0)
        tool_fail(g->t, "gossip: cannot publish: %s", ww_err_text(err));
    g->sent += err == 0;
    return err == 0;
}

/* As many as the rate allows by now; a rate of 0 is no limit. */
static bool publish_due(struct tool_gossip *g)
{
    double elapsed = (double)(now(g) - g->phase_ns) / 1e9;
    uint64_t due = g->t->o.rate ? (uint64_t)(elapsed * (double)g->t->o.rate) + 1 : g->t->o.publish;
    while (g->sent < g->t->o.publish && g->sent < due) {
        if (!publish_one(g))
            return false;
    }
    return true;
}

static void report(struct tool_gossip *g)
{
    printf("{\"published\":%llu,\"received\":%llu,\"duplicates\":%llu,\"seconds\":%.6f}\n",
        (unsigned long long)g->sent, (unsigned long long)g->received, (unsigned long long)g->duplicates,
        (double)(g->last_ns - g->first_ns) / 1e9);
    tool_stop(g->t, TOOL_DONE);
}

static void on_timer(struct ww_timer *timer)
{
    struct tool_gossip *g = WW_CONTAINER_OF(timer, struct tool_gossip, timer);
    uint64_t spent = now(g) - g->phase_ns;
    switch (g->phase) {
    case WAIT_PEER:
        if (ww_pubsub_topic_peers(g->ps, g->topics[0]) > 0)
            enter(g, SETTLE);
        break;
    case SETTLE:
        if (spent >= g->t->o.settle_ns)
            enter(g, RUN);
        break;
    case RUN:
        if (!publish_due(g))
            return;
        if (g->sent == g->t->o.publish && g->received >= g->t->o.expect)
            enter(g, LINGER);
        break;
    case LINGER:
        if (spent >= g->t->o.linger_ns) {
            report(g);
            return;
        }
        break;
    }
    g->t->env->ops->timer_set(g->t->env, timer, now(g) + POLL_NS);
}

/* ---- life ---- */

static void cleanup(struct tool *t)
{
    struct tool_gossip *g = t->gossip;
    t->env->ops->timer_cancel(t->env, &g->timer);
    ww_pubsub_unsubscribe(g->ps, &g->sink);
    ww_pubsub_free(g->ps);
    for (struct ww_map_node *n = ww_map_next(&g->seen, NULL), *next; n; n = next) {
        next = ww_map_next(&g->seen, n);
        ww_free(WW_CONTAINER_OF(n, struct seen_id, node));
    }
    ww_map_fini(&g->seen);
    ww_free(g->data);
    ww_free(g);
    t->gossip = NULL;
}

static bool split_topics(struct tool_gossip *g, const char *list)
{
    while (list && *list) {
        size_t len = strcspn(list, ",");
        if (len == 0 || len > WW_GOSSIP_TOPIC_MAX || g->topic_count == TOPICS_MAX) {
            fprintf(stderr, "ww-peer: bad list of topics: %s\n", list);
            return false;
        }
        g->topics[g->topic_count++] = ww_bytes(list, len);
        list += len + (list[len] == ',');
    }
    return true;
}

static ww_err join(struct tool_gossip *g)
{
    struct ww_pubsub_conf conf;
    ww_pubsub_conf_standard(&conf);
    if (g->t->o.gossip_protocol) {
        conf.ids[0] = ww_bytes_str(g->t->o.gossip_protocol);
        conf.id_count = 1;
    }
    WW_TRY(ww_pubsub_new(g->t->swarm, &conf, &g->ps));
    if (g->t->o.target)
        WW_TRY(ww_pubsub_subscribe(g->ps, g->topics[0], &g->sink));
    for (size_t i = g->t->o.target ? 1 : 0; i < g->topic_count; i++)
        WW_TRY(ww_pubsub_relay(g->ps, g->topics[i]));
    return 0;
}

bool tool_gossip_serve(struct tool *t)
{
    const char *list = t->o.topic;
    if (t->o.size > 1 << 20) {
        fputs("ww-peer: --size is more than 1 MiB\n", stderr);
        return false;
    }
    struct tool_gossip *g = t->gossip = WW_NEW(struct tool_gossip);
    if (!g)
        return false;
    g->t = t;
    t->cleanup = cleanup;
    g->sink.message = on_message;
    g->sink.skip_own = true;
    g->timer.fired = on_timer;
    ww_map_init(&g->seen, seen_key, NULL);
    if (t->o.target && (!list || !*list))
        list = "test";
    g->data = ww_alloc(t->o.size + 1);
    ww_err err = g->data ? 0 : WW_ENOMEM;
    if (!split_topics(g, list))
        return false;
    if (err == 0)
        err = join(g);
    if (err < 0)
        fprintf(stderr, "ww-peer: gossip: %s\n", ww_err_text(err));
    return err == 0;
}

void tool_gossip_run(struct tool *t)
{
    struct tool_gossip *g = t->gossip;
    enter(g, WAIT_PEER);
    t->env->ops->timer_set(t->env, &g->timer, now(g));
}
