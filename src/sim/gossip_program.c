#include "sim/gossip_program.h"

#include <stdio.h>

#include "p2p/multiaddr.h"
#include "p2p/pubsub.h"
#include "p2p/swarm.h"

#define BEAT_NS WW_NS_PER_S
#define DIAL_NS (WW_NS_PER_S / 2)
#define LATELY_NS (10 * WW_NS_PER_S)
#define HELD_MAX (64u << 20) /* bytes; a few connections of a quiet host hold a small part of it */

enum { PORT = 2020, COUNTS_MAX = 4096, MESSAGE_BYTES = 20 };

static const struct ww_bytes topic = {(const uint8_t *)"beat", 4};

/* What one host knows of another: which messages of its present life have come. */
struct author {
    uint64_t life, heard_ns;
    uint64_t seen[COUNTS_MAX / 64];
};

struct host {
    struct ww_scenario_app app;
    struct ww_gossip_program *program;
    struct ww_env *env;
    struct ww_keypair key;
    struct ww_swarm *swarm;
    struct ww_pubsub *pubsub;
    struct ww_pubsub_sink sink;
    struct ww_timer beat, dial;
    struct ww_swarm_dial op;
    bool dialing;
    uint32_t index;
    uint64_t life, counter, twice, forged;
    struct author *authors; /* by index */
};

/* A host keeps its identity over its lives. */
static void key_of(uint32_t index, struct ww_keypair *ret_key)
{
    uint8_t seed[WW_ED25519_SEED_BYTES] = {'s', 'i', 'm'};
    ww_le32_store(seed + 4, index);
    ww_keypair_from_seed(ret_key, seed);
}

static void id_of(uint32_t index, struct ww_peer_id *ret_id)
{
    struct ww_keypair key;
    key_of(index, &key);
    ww_peer_id_from_key(&key.pub, ret_id);
    ww_keypair_fini(&key);
}

static ww_err addr_put(const char *ip, struct ww_buf *out)
{
    char text[64];
    snprintf(text, sizeof text, "/ip4/%s/tcp/%d", ip, PORT);
    return ww_multiaddr_parse(ww_bytes_str(text), out);
}

static void beat(struct ww_timer *timer)
{
    struct host *h = WW_CONTAINER_OF(timer, struct host, beat);
    uint8_t message[MESSAGE_BYTES];
    ww_le32_store(message, h->index);
    ww_le64_store(message + 4, h->life);
    ww_le64_store(message + 12, h->counter++);
    /* Refused ones (queues full) are like those that get lost. */
    (void)!ww_pubsub_publish(h->pubsub, topic, ww_bytes(message, sizeof message));
    h->env->ops->timer_set(h->env, timer, ww_env_now(h->env) + BEAT_NS);
}

static void heard(struct ww_pubsub_sink *sink, struct ww_gossip_msg *msg)
{
    struct host *h = WW_CONTAINER_OF(sink, struct host, sink);
    struct ww_bytes data = msg->f.data;
    uint32_t index = data.len == MESSAGE_BYTES ? ww_le32_load(data.ptr) : UINT32_MAX;
    struct ww_peer_id id = {0};
    if (index < h->program->nodes)
        id_of(index, &id);
    if (index >= h->program->nodes || !ww_bytes_eq(msg->f.from, ww_peer_id_view(&id))) {
        h->forged++;
        return;
    }
    struct author *a = &h->authors[index];
    uint64_t life = ww_le64_load(data.ptr + 4), count = ww_le64_load(data.ptr + 12);
    if (a->life != life)
        *a = (struct author){.life = life};
    a->heard_ns = ww_env_now(h->env);
    if (count >= COUNTS_MAX)
        return;
    h->twice += a->seen[count / 64] >> count % 64 & 1;
    a->seen[count / 64] |= UINT64_C(1) << count % 64;
}

static void dialed(struct ww_swarm_dial *op, ww_err err)
{
    WW_UNUSED(err);
    WW_CONTAINER_OF(op, struct host, op)->dialing = false;
}

static ww_err dial_index(struct host *h, uint32_t index)
{
    char ip[24];
    struct ww_peer_id id;
    struct ww_buf addr;
    snprintf(ip, sizeof ip, "10.0.%u.%u", (index + 1) >> 8, (index + 1) & 255);
    id_of(index, &id);
    if (index == h->index || ww_swarm_connected(h->swarm, &id))
        return WW_OK;
    ww_buf_init(&addr, 64);
    ww_err err = addr_put(ip, &addr);
    struct ww_bytes view = ww_buf_view(&addr);
    if (!err)
        err = ww_swarm_dial(h->swarm, &h->op, &id, &view, 1, 0);
    h->dialing = !err;
    ww_buf_fini(&addr);
    return err;
}

static void dial_next(struct ww_timer *timer)
{
    struct host *h = WW_CONTAINER_OF(timer, struct host, dial);
    uint32_t dice;
    h->env->ops->random(h->env, &dice, sizeof dice);
    if (!h->dialing)
        (void)dial_index(h, dice % (uint32_t)h->program->nodes); /* if not, another one half a second later */
    h->env->ops->timer_set(h->env, timer, ww_env_now(h->env) + DIAL_NS);
}

static void host_free(struct host *h)
{
    h->env->ops->timer_cancel(h->env, &h->beat);
    h->env->ops->timer_cancel(h->env, &h->dial);
    ww_swarm_dial_cancel(&h->op);
    if (h->pubsub) {
        ww_pubsub_unsubscribe(h->pubsub, &h->sink);
        ww_pubsub_free(h->pubsub);
    }
    ww_swarm_free(h->swarm);
    ww_keypair_fini(&h->key);
    ww_free(h->authors);
    ww_free(h);
}

static ww_err host_open(struct host *h)
{
    const struct ww_swarm_conf conf = {.env = h->env, .key = &h->key};
    struct ww_pubsub_conf pubsub;
    struct ww_buf addr;
    WW_TRY(ww_swarm_new(&conf, &h->swarm));
    ww_buf_init(&addr, 64);
    ww_err err = addr_put("0.0.0.0", &addr);
    if (!err)
        err = ww_swarm_listen(h->swarm, ww_buf_view(&addr), NULL);
    ww_buf_fini(&addr);
    WW_TRY(err);
    ww_pubsub_conf_standard(&pubsub);
    WW_TRY(ww_pubsub_new(h->swarm, &pubsub, &h->pubsub));
    return ww_pubsub_subscribe(h->pubsub, topic, &h->sink);
}

static ww_err start(
    struct ww_scenario_program *program, struct ww_sim_node *node, struct ww_scenario_app **ret_app)
{
    struct host *h = WW_NEW(struct host);
    if (!h)
        return WW_ENOMEM;
    h->program = WW_CONTAINER_OF(program, struct ww_gossip_program, program);
    h->env = ww_sim_node_env(node);
    h->index = ww_sim_node_index(node);
    h->authors = ww_calloc(h->program->nodes, sizeof *h->authors);
    h->env->ops->random(h->env, &h->life, sizeof h->life);
    h->beat.fired = beat;
    h->dial.fired = dial_next;
    h->op.done = dialed;
    h->sink.message = heard;
    key_of(h->index, &h->key);
    ww_err err = h->authors ? host_open(h) : WW_ENOMEM;
    if (err) {
        host_free(h);
        return err;
    }
    h->env->ops->timer_set(h->env, &h->beat, 0);
    h->env->ops->timer_set(h->env, &h->dial, 0);
    *ret_app = &h->app;
    return WW_OK;
}

static void stop(struct ww_scenario_program *program, struct ww_scenario_app *app)
{
    WW_UNUSED(program);
    host_free(WW_CONTAINER_OF(app, struct host, app));
}

static ww_err safe(struct ww_scenario_program *program, struct ww_scenario *scenario, struct ww_diag *diag)
{
    const struct ww_gossip_program *p = WW_CONTAINER_OF(program, struct ww_gossip_program, program);
    for (size_t i = 0; i < p->nodes; i++) {
        struct ww_scenario_app *app = ww_scenario_app(scenario, i);
        if (!app)
            continue;
        struct host *h = WW_CONTAINER_OF(app, struct host, app);
        const char *name = ww_sim_node_name(app->node);
        struct ww_swarm_stats stats;
        ww_swarm_stats(h->swarm, &stats);
        if (h->twice)
            return ww_diag_set(diag, WW_EEXIST, "%s got a message twice", name);
        if (h->forged)
            return ww_diag_set(diag, WW_EPEERID, "%s got a message in another's name", name);
        if (stats.conns_in + stats.conns_out > 8 * p->nodes || stats.bytes_held > HELD_MAX)
            return ww_diag_set(diag, WW_ELIMIT, "%s holds %llu connections and %llu bytes", name,
                (unsigned long long)(stats.conns_in + stats.conns_out), (unsigned long long)stats.bytes_held);
    }
    return WW_OK;
}

static ww_err converged(
    struct ww_scenario_program *program, struct ww_scenario *scenario, struct ww_diag *diag)
{
    const struct ww_gossip_program *p = WW_CONTAINER_OF(program, struct ww_gossip_program, program);
    for (size_t i = 0; i < p->nodes; i++) {
        struct ww_scenario_app *app = ww_scenario_app(scenario, i);
        if (!app)
            continue;
        struct host *h = WW_CONTAINER_OF(app, struct host, app);
        for (size_t k = 0; k < p->nodes; k++) {
            const struct author *a = &h->authors[k];
            if (a->heard_ns == 0 || ww_env_now(h->env) - a->heard_ns > LATELY_NS)
                return ww_diag_set(diag, WW_ETIMEOUT, "%s has not heard n%zu lately (%zu connections)",
                    ww_sim_node_name(app->node), k + 1, ww_swarm_conn_count(h->swarm));
        }
    }
    return WW_OK;
}

void ww_gossip_program_init(struct ww_gossip_program *ret_program, size_t nodes)
{
    *ret_program = (struct ww_gossip_program){
        .program = {.start = start, .stop = stop, .safe = safe, .converged = converged}, .nodes = nodes};
}
