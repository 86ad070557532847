/* One life of a node: clocks, timers, tasks, randomness, trace. */
#include "sim/internal.h"

static uint64_t now_ns(struct ww_env *env)
{
    struct ww_sim_host *host = ww_sim_host_of(env);
    return ww_sim_of(host)->now_ns + host->clock_offset_ns;
}

static uint64_t wall_ns(struct ww_env *env)
{
    struct ww_sim_host *host = ww_sim_host_of(env);
    /* The world began on 2024-02-29, 23:59:50 UTC: leap days and midnights are near. */
    uint64_t base = UINT64_C(1709251190) * WW_NS_PER_S - 1000 * WW_NS_PER_S;
    return base + ww_sim_of(host)->now_ns + (uint64_t)host->node->skew_ns;
}

static void random_fill(struct ww_env *env, void *out, size_t len)
{
    ww_prng_fill(&ww_sim_host_of(env)->prng, out, len);
}

/* ---- timers: a heap a life, and one event of the world for the earliest ---- */

/* When the event must come; the machine may be late, never early. */
static void arm(struct ww_sim_host *host)
{
    struct ww_sim *sim = ww_sim_of(host);
    struct ww_heap_node *node = ww_heap_min(&host->timers);
    if (!node || host->dead)
        return;
    uint64_t due = node->key > host->clock_offset_ns ? node->key - host->clock_offset_ns : 0;
    if (due > UINT64_MAX / 2 || (host->timer_event.armed && host->timer_due_ns <= due))
        return;
    uint64_t late =
        sim->conf.timer_late_max_ns ? ww_prng_below(&host->lateness, sim->conf.timer_late_max_ns) : 0;
    host->timer_due_ns = due;
    ww_sim_at(sim, &host->timer_event, (due > sim->now_ns ? due : sim->now_ns) + late);
}

static void timer_cancel(struct ww_env *env, struct ww_timer *timer)
{
    if (!timer->armed)
        return;
    ww_heap_remove(&ww_sim_host_of(env)->timers, &timer->node);
    timer->armed = false;
}

static void timer_set(struct ww_env *env, struct ww_timer *timer, uint64_t deadline_ns)
{
    struct ww_sim_host *host = ww_sim_host_of(env);
    timer_cancel(env, timer);
    if (host->dead)
        return;
    uint64_t now = now_ns(env);
    ww_heap_insert(&host->timers, &timer->node, deadline_ns > now ? deadline_ns : now);
    timer->armed = true;
    arm(host);
}

/* One timer an event, so that what others do in between has its chance. */
static void timer_due(struct ww_sim_call *call)
{
    struct ww_sim_host *host = WW_CONTAINER_OF(call, struct ww_sim_host, timer_event);
    if (!ww_sim_host_awake(host))
        return;
    struct ww_heap_node *node = ww_heap_min(&host->timers);
    struct ww_timer *timer = NULL;
    if (node && node->key <= now_ns(&host->env)) {
        timer = WW_CONTAINER_OF(node, struct ww_timer, node);
        timer_cancel(&host->env, timer);
    }
    arm(host);
    if (timer)
        timer->fired(timer);
}

/* ---- tasks ---- */

static void post(struct ww_env *env, struct ww_task *task)
{
    struct ww_sim_host *host = ww_sim_host_of(env);
    if (host->dead || !ww_list_empty(&task->link))
        return;
    ww_list_push_back(&host->tasks, &task->link);
    if (!host->task_event.armed)
        ww_sim_at(ww_sim_of(host), &host->task_event, 0);
}

static void tasks_run(struct ww_sim_call *call)
{
    struct ww_sim_host *host = WW_CONTAINER_OF(call, struct ww_sim_host, task_event);
    if (!ww_sim_host_awake(host))
        return;
    for (size_t i = 0; i < TASKS_MAX; i++) {
        struct ww_list *link = ww_list_pop_front(&host->tasks);
        if (!link)
            return;
        struct ww_task *task = WW_LIST_ENTRY(link, struct ww_task, link);
        task->run(task); /* may end this life; then the list is empty */
    }
    if (!ww_list_empty(&host->tasks))
        ww_sim_at(ww_sim_of(host), &host->task_event, 0);
}

/* ---- trace ---- */

static void emit(struct ww_trace *t, enum ww_trace_event event, const struct ww_trace_val *vals, size_t count)
{
    struct ww_sim_host *host = WW_CONTAINER_OF(t, struct ww_sim_host, trace);
    struct ww_sim *sim = ww_sim_of(host);
    struct ww_buf text;
    ww_buf_init(&text, 128 << 10);
    ww_err err = sim->conf.json ? ww_trace_format_json(&text, event, vals, count)
                                : ww_trace_format_text(&text, event, vals, count);
    if (err == WW_OK)
        ww_sim_trace_line(sim, host->node, ww_buf_view(&text));
    ww_buf_fini(&text);
}

/* ---- life ---- */

static const struct ww_env_ops sim_ops = {
    .now_ns = now_ns,
    .wall_ns = wall_ns,
    .random = random_fill,
    .timer_set = timer_set,
    .timer_cancel = timer_cancel,
    .post = post,
    .tcp_listen = ww_sim_tcp_listen,
    .listener_close = ww_sim_listener_close,
    .tcp_connect = ww_sim_tcp_connect,
    .tcp_write = ww_sim_tcp_write,
    .tcp_shutdown = ww_sim_tcp_shutdown,
    .tcp_read = ww_sim_tcp_read,
    .tcp_close = ww_sim_tcp_close,
    .tcp_addrs = ww_sim_tcp_addrs,
    .udp_open = ww_sim_udp_open,
    .udp_join = ww_sim_udp_join,
    .udp_send = ww_sim_udp_send,
    .udp_close = ww_sim_udp_close,
    .interfaces = ww_sim_interfaces,
    .hostname = ww_sim_hostname,
    .resolve = ww_sim_resolve,
    .resolve_cancel = ww_sim_resolve_cancel,
    .file_read = ww_sim_file_read,
    .file_write = ww_sim_file_write,
    .dir_make = ww_sim_dir_make,
};

ww_err ww_sim_host_new(struct ww_sim_node *node, struct ww_sim_host **ret_host)
{
    struct ww_sim_host *host = WW_NEW(struct ww_sim_host);
    if (!host)
        return WW_ENOMEM;
    uint64_t life = (uint64_t)node->index << 32 | ++node->lives_count;
    host->env = (struct ww_env){.ops = &sim_ops, .trace = &host->trace};
    host->trace.emit = emit;
    host->node = node;
    ww_prng_split(&node->sim->root, "node", life, &host->prng);
    ww_prng_split(&node->sim->root, "lateness", life, &host->lateness);
    struct ww_prng prng;
    ww_prng_split(&node->sim->root, "clock", life, &prng);
    /* As after some uptime of this machine; even, so that the sum stays odd at the start. */
    host->clock_offset_ns = 2 * ww_prng_below(&prng, 100000 * WW_NS_PER_S);
    host->next_port = (uint16_t)(EPHEMERAL_FIRST + ww_prng_below(&prng, 4096));
    host->timer_event.fire = timer_due;
    host->task_event.fire = tasks_run;
    ww_list_init(&host->tasks);
    ww_list_init(&host->tcps);
    ww_list_init(&host->listeners);
    ww_list_init(&host->udps);
    ww_list_init(&host->resolves);
    ww_list_push_back(&node->lives, &host->link);
    *ret_host = host;
    return WW_OK;
}

void ww_sim_host_die(struct ww_sim_host *host, bool resets)
{
    struct ww_sim *sim = ww_sim_of(host);
    host->dead = true;
    ww_sim_call_cancel(sim, &host->timer_event);
    ww_sim_call_cancel(sim, &host->task_event);
    while (ww_list_pop_front(&host->tasks))
        ;
    for (struct ww_heap_node *node; (node = ww_heap_min(&host->timers));)
        timer_cancel(&host->env, WW_CONTAINER_OF(node, struct ww_timer, node));
    ww_sim_resolves_drop(host);
    ww_sim_tcp_die(host, resets);
    ww_sim_udp_die(host);
}

void ww_sim_host_wake(struct ww_sim_host *host)
{
    struct ww_sim *sim = ww_sim_of(host);
    if (host->dead)
        return;
    if (!ww_list_empty(&host->tasks))
        ww_sim_at(sim, &host->task_event, 0);
    arm(host);
    ww_sim_tcp_wake(host);
    ww_sim_udp_wake(host);
}

void ww_sim_host_free(struct ww_sim_host *host)
{
    struct ww_sim *sim = ww_sim_of(host);
    ww_sim_call_cancel(sim, &host->timer_event);
    ww_sim_call_cancel(sim, &host->task_event);
    ww_sim_resolves_drop(host);
    ww_sim_tcp_free_host(host);
    ww_sim_udp_free_host(host);
    ww_list_remove(&host->link);
    ww_free(host);
}
