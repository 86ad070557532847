#include "sim/beacon.h"

#define LATE_NS (2 * WW_NS_PER_MS) /* that timers may fire late */

enum { BEACON_PORT = 8822, PEERS_MAX = 1024, PACKET_BYTES = 12 };

static const struct ww_netaddr group = {.family = 4, .ip = {228, 8, 8, 8}, .port = BEACON_PORT};

struct beacon {
    struct ww_scenario_app app;
    struct ww_beacon_program *program;
    struct ww_env *env;
    struct ww_udp_user udp;
    struct ww_timer shout, expire;
    uint32_t index;
    uint64_t counter;
    uint64_t heard_ns[PEERS_MAX]; /* by index; 0: not a member */
};

static void expire_set(struct beacon *b)
{
    uint64_t next = WW_NEVER;
    for (size_t i = 0; i < PEERS_MAX; i++) {
        if (b->heard_ns[i] && b->heard_ns[i] + b->program->ttl_ns < next)
            next = b->heard_ns[i] + b->program->ttl_ns;
    }
    if (next != WW_NEVER && !b->program->never_expires)
        b->env->ops->timer_set(b->env, &b->expire, next);
}

static void expire(struct ww_timer *timer)
{
    struct beacon *b = WW_CONTAINER_OF(timer, struct beacon, expire);
    uint64_t now = ww_env_now(b->env);
    for (size_t i = 0; i < PEERS_MAX; i++) {
        if (b->heard_ns[i] && now - b->heard_ns[i] >= b->program->ttl_ns)
            b->heard_ns[i] = 0;
    }
    expire_set(b);
}

static void shout(struct ww_timer *timer)
{
    struct beacon *b = WW_CONTAINER_OF(timer, struct beacon, shout);
    uint8_t packet[PACKET_BYTES];
    ww_le32_store(packet, b->index);
    ww_le64_store(packet + 4, ++b->counter);
    /* One that cannot be sent is one that was lost. */
    (void)b->env->ops->udp_send(b->env, b->udp.udp, &group, NULL, ww_bytes(packet, sizeof packet));
    b->env->ops->timer_set(b->env, timer, ww_env_now(b->env) + b->program->interval_ns);
}

static void heard(struct ww_udp_user *user, const struct ww_netaddr *from, const struct ww_netaddr *local,
    struct ww_bytes data)
{
    struct beacon *b = WW_CONTAINER_OF(user, struct beacon, udp);
    WW_UNUSED(from);
    WW_UNUSED(local);
    uint32_t index = data.len == PACKET_BYTES ? ww_le32_load(data.ptr) : PEERS_MAX;
    if (index >= PEERS_MAX || (b->program->deaf && index != b->index))
        return;
    b->heard_ns[index] = ww_env_now(b->env);
    expire_set(b);
}

static ww_err start(
    struct ww_scenario_program *program, struct ww_sim_node *node, struct ww_scenario_app **ret_app)
{
    struct beacon *b = WW_NEW(struct beacon);
    if (!b)
        return WW_ENOMEM;
    b->program = WW_CONTAINER_OF(program, struct ww_beacon_program, program);
    b->env = ww_sim_node_env(node);
    b->index = ww_sim_node_index(node);
    b->udp.datagram = heard;
    b->shout.fired = shout;
    b->expire.fired = expire;
    const struct ww_udp_conf conf = {.bind = {.family = 4, .port = BEACON_PORT},
        .share = true,
        .multicast_loop = true,
        .multicast_ttl = 1,
        .datagram_max = PACKET_BYTES};
    ww_err err = b->env->ops->udp_open(b->env, &conf, &b->udp, NULL);
    if (!err)
        err = b->env->ops->udp_join(b->env, b->udp.udp, &group, NULL);
    if (err) {
        if (b->udp.udp)
            b->env->ops->udp_close(b->env, b->udp.udp);
        ww_free(b);
        return err;
    }
    b->env->ops->timer_set(b->env, &b->shout, 0);
    *ret_app = &b->app;
    return WW_OK;
}

static void stop(struct ww_scenario_program *program, struct ww_scenario_app *app)
{
    WW_UNUSED(program);
    struct beacon *b = WW_CONTAINER_OF(app, struct beacon, app);
    b->env->ops->timer_cancel(b->env, &b->shout);
    b->env->ops->timer_cancel(b->env, &b->expire);
    b->env->ops->udp_close(b->env, b->udp.udp);
    ww_free(b);
}

/* Nothing lives past its time, plus what the machine may be late; a machine that was paused a moment ago is
 * excused. */
static ww_err safe(struct ww_scenario_program *program, struct ww_scenario *scenario, struct ww_diag *diag)
{
    const struct ww_beacon_program *p = WW_CONTAINER_OF(program, struct ww_beacon_program, program);
    for (size_t i = 0; i < ww_scenario_node_count(scenario); i++) {
        struct ww_scenario_app *app = ww_scenario_app(scenario, i);
        struct beacon *b = app ? WW_CONTAINER_OF(app, struct beacon, app) : NULL;
        if (!b || ww_sim_node_awake_ns(app->node) < LATE_NS)
            continue;
        uint64_t now = ww_env_now(b->env);
        for (uint32_t k = 0; k < PEERS_MAX; k++) {
            if (b->heard_ns[k] && now - b->heard_ns[k] > p->ttl_ns + LATE_NS)
                return ww_diag_set(diag, WW_ESTALE, "%s still lists n%u, last heard %llu ms ago",
                    ww_sim_node_name(app->node), k + 1,
                    (unsigned long long)((now - b->heard_ns[k]) / WW_NS_PER_MS));
        }
    }
    return WW_OK;
}

/* Everybody lists exactly those who run. */
static ww_err converged(
    struct ww_scenario_program *program, struct ww_scenario *scenario, struct ww_diag *diag)
{
    WW_UNUSED(program);
    size_t count = ww_scenario_node_count(scenario);
    for (size_t i = 0; i < count; i++) {
        struct ww_scenario_app *app = ww_scenario_app(scenario, i);
        for (size_t k = 0; app && k < count; k++) {
            bool listed = WW_CONTAINER_OF(app, struct beacon, app)->heard_ns[k] != 0;
            bool runs = ww_scenario_app(scenario, k) != NULL;
            if (listed != runs)
                return ww_diag_set(diag, WW_ENOTFOUND, "%s %s n%zu", ww_sim_node_name(app->node),
                    listed ? "still lists" : "does not list", k + 1);
        }
    }
    return WW_OK;
}

void ww_beacon_program_init(struct ww_beacon_program *ret_program)
{
    *ret_program = (struct ww_beacon_program){
        .program = {.start = start, .stop = stop, .safe = safe, .converged = converged},
        .interval_ns = WW_NS_PER_S,
        .ttl_ns = 5 * WW_NS_PER_S / 2,
    };
}
