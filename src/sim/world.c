/* The world: its clock, its events, its nodes and the paths between them. */
#include <stdarg.h>
#include <stdio.h>

#include "base/map.h"
#include "sim/internal.h"

/* A thousand times what a busy turn of a large cluster needs: beyond it, code under test goes round in a
 * circle without waiting for anything. */
#define SAME_INSTANT_MAX UINT64_C(20000000)

void ww_sim_conf_default(struct ww_sim_conf *ret_conf, uint64_t seed)
{
    *ret_conf = (struct ww_sim_conf){
        .seed = seed,
        .link = {.delay_min_ns = 100 * WW_NS_PER_US,
            .delay_jitter_ns = 200 * WW_NS_PER_US,
            .egress_bytes_per_s = 1000000000},
        .nodes_max = 256,
        .send_buffer_bytes = 128 << 10,
        .receive_buffer_bytes = 128 << 10,
        .segment_max_bytes = 64 << 10,
        .connect_timeout_ns = 20 * WW_NS_PER_S,
        .dead_timeout_ns = 60 * WW_NS_PER_S,
        .timer_late_max_ns = WW_NS_PER_MS,
        .skew_max_ns = 2 * WW_NS_PER_S,
    };
}

ww_err ww_sim_new(const struct ww_sim_conf *conf, struct ww_sim **ret_sim)
{
    WW_ASSERT(conf->nodes_max > 0 && conf->segment_max_bytes > 0);
    WW_ASSERT(conf->send_buffer_bytes > 0 && conf->receive_buffer_bytes > 0);
    struct ww_sim *sim = WW_NEW(struct ww_sim);
    struct ww_sim_node **nodes = ww_calloc(conf->nodes_max, sizeof *nodes);
    if (!sim || !nodes) {
        ww_free(sim);
        ww_free(nodes);
        return WW_ENOMEM;
    }
    sim->conf = *conf;
    sim->nodes = nodes;
    ww_prng_init(&sim->root, conf->seed);
    ww_prng_split(&sim->root, "delays", 0, &sim->delays);
    ww_prng_split(&sim->root, "losses", 0, &sim->losses);
    ww_prng_split(&sim->root, "cuts", 0, &sim->cuts);
    sim->now_ns = 1000 * WW_NS_PER_S + 1 + 2 * (conf->seed % 499); /* odd; "0 means never" shows */
    ww_list_init(&sim->datagrams);
    ww_list_init(&sim->conns);
    ww_buf_init(&sim->line, 256 << 10);
    *ret_sim = sim;
    return WW_OK;
}

void ww_sim_free(struct ww_sim *sim)
{
    if (!sim)
        return;
    for (size_t i = 0; i < sim->node_count; i++) {
        struct ww_sim_node *node = sim->nodes[i];
        WW_LIST_FOR_SAFE(it, &node->lives)
        ww_sim_host_free(WW_LIST_ENTRY(it, struct ww_sim_host, link));
        ww_sim_disk_free(node);
        ww_free(node->cut_to);
        ww_free(node);
    }
    ww_sim_tcp_free_world(sim);
    ww_sim_udp_free_world(sim);
    ww_buf_fini(&sim->line);
    ww_free(sim->nodes);
    ww_free(sim);
}

/* ---- events ---- */

void ww_sim_call_cancel(struct ww_sim *sim, struct ww_sim_call *call)
{
    if (!call->armed)
        return;
    ww_heap_remove(&sim->events, &call->node);
    call->armed = false;
}

void ww_sim_at(struct ww_sim *sim, struct ww_sim_call *call, uint64_t at_ns)
{
    ww_sim_call_cancel(sim, call);
    ww_heap_insert(&sim->events, &call->node, at_ns > sim->now_ns ? at_ns : sim->now_ns);
    call->armed = true;
}

static void hash_in(struct ww_sim *sim, struct ww_bytes data)
{
    const uint64_t seed[2] = {sim->hash, sim->event_count};
    sim->hash = ww_siphash13(seed, data);
}

bool ww_sim_step(struct ww_sim *sim)
{
    struct ww_heap_node *node = ww_heap_min(&sim->events);
    if (!node || node->key == WW_NEVER)
        return false;
    struct ww_sim_call *call = WW_CONTAINER_OF(node, struct ww_sim_call, node);
    uint64_t at[2] = {node->key, node->order};
    ww_sim_call_cancel(sim, call);
    sim->same_instant = at[0] == sim->now_ns ? sim->same_instant + 1 : 0;
    WW_ASSERT(sim->same_instant < SAME_INSTANT_MAX);
    sim->now_ns = at[0];
    sim->event_count++;
    hash_in(sim, ww_bytes(at, sizeof at));
    call->fire(call);
    return true;
}

static bool next_within(const struct ww_sim *sim, uint64_t limit_ns)
{
    const struct ww_heap_node *node = ww_heap_min(&sim->events);
    return node && node->key <= limit_ns;
}

void ww_sim_run_until(struct ww_sim *sim, uint64_t until_ns)
{
    while (next_within(sim, until_ns) && ww_sim_step(sim))
        ;
    if (until_ns > sim->now_ns)
        sim->now_ns = until_ns;
}

void ww_sim_run_for(struct ww_sim *sim, uint64_t duration_ns)
{
    ww_sim_run_until(sim, sim->now_ns + duration_ns);
}

bool ww_sim_run_to(struct ww_sim *sim, struct ww_sim_check *check, uint64_t limit_ns)
{
    while (!check->holds(check)) {
        if (!next_within(sim, limit_ns) || !ww_sim_step(sim))
            return false;
    }
    return true;
}

uint64_t ww_sim_now(const struct ww_sim *sim)
{
    return sim->now_ns;
}

uint64_t ww_sim_hash(const struct ww_sim *sim)
{
    return sim->hash;
}

uint64_t ww_sim_events(const struct ww_sim *sim)
{
    return sim->event_count;
}

struct ww_sim_stats ww_sim_stats(const struct ww_sim *sim)
{
    return sim->stats;
}

void ww_sim_prng(const struct ww_sim *sim, const char *name, uint64_t index, struct ww_prng *ret_prng)
{
    ww_prng_split(&sim->root, name, index, ret_prng);
}

/* ---- transcript ---- */

static ww_err put_line(struct ww_sim *sim, const char *node, struct ww_bytes text)
{
    char head[96];
    unsigned long long s = sim->now_ns / WW_NS_PER_S, ns = sim->now_ns % WW_NS_PER_S;
    const char *format = sim->conf.json ? "{\"t\":%llu.%09llu,\"node\":\"%s\"," : "%llu.%09llu %s ";
    int n = snprintf(head, sizeof head, format, s, ns, node);
    ww_buf_clear(&sim->line);
    WW_TRY(ww_buf_append(&sim->line, ww_bytes(head, (size_t)n)));
    WW_TRY(ww_buf_append(&sim->line, text));
    return sim->conf.json ? ww_buf_append_byte(&sim->line, '}') : WW_OK;
}

void ww_sim_trace_line(struct ww_sim *sim, const struct ww_sim_node *node, struct ww_bytes text)
{
    /* A line that does not fit into memory is lost to the sink, not to the hash. */
    hash_in(sim, text);
    if (sim->conf.sink && put_line(sim, node ? node->name : "world", text) == WW_OK)
        sim->conf.sink->line(sim->conf.sink, ww_buf_view(&sim->line));
}

void ww_sim_note(struct ww_sim *sim, const struct ww_sim_node *node, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (!sim->conf.json) {
        ww_sim_trace_line(sim, node, ww_bytes_str(text));
        return;
    }
    struct ww_buf quoted;
    ww_buf_init(&quoted, sizeof text * 8);
    if (ww_buf_append(&quoted, WW_BYTES_LIT("\"note\":")) == WW_OK &&
        ww_json_put_string(&quoted, ww_bytes_str(text)) == WW_OK)
        ww_sim_trace_line(sim, node, ww_buf_view(&quoted));
    ww_buf_fini(&quoted);
}

/* ---- paths ---- */

bool ww_sim_chance(struct ww_prng *prng, uint32_t ppm)
{
    return ppm > 0 && ww_prng_below(prng, 1000000) < ppm;
}

bool ww_sim_reachable(const struct ww_sim_node *from, const struct ww_sim_node *to)
{
    return from == to || (from->powered && to->powered && !from->cut_to[to->index]);
}

uint64_t ww_sim_transit(struct ww_sim_node *from, struct ww_sim_node *to, size_t bytes)
{
    struct ww_sim *sim = from->sim;
    const struct ww_sim_link *link = &sim->conf.link;
    if (from == to)
        return sim->now_ns + 10 * WW_NS_PER_US + ww_prng_below(&sim->delays, 10 * WW_NS_PER_US);
    uint64_t delay = link->delay_min_ns + ww_prng_below(&sim->delays, link->delay_jitter_ns + 1);
    if (ww_sim_chance(&sim->delays, link->spike_ppm))
        delay *= 2 + ww_prng_below(&sim->delays, 9);
    uint64_t leaves = sim->now_ns;
    if (link->egress_bytes_per_s > 0) {
        if (from->egress_free_ns > leaves)
            leaves = from->egress_free_ns;
        leaves += (uint64_t)((unsigned __int128)bytes * WW_NS_PER_S / link->egress_bytes_per_s);
        from->egress_free_ns = leaves;
    }
    return leaves + delay;
}

void ww_sim_link_set(struct ww_sim *sim, const struct ww_sim_link *link)
{
    sim->conf.link = *link;
    ww_sim_note(sim, NULL, "link loss_ppm=%u dup_ppm=%u delay_us=%llu+%llu", link->loss_ppm, link->dup_ppm,
        (unsigned long long)(link->delay_min_ns / WW_NS_PER_US),
        (unsigned long long)(link->delay_jitter_ns / WW_NS_PER_US));
}

void ww_sim_cut(struct ww_sim_node *from, struct ww_sim_node *to, bool cut)
{
    from->cut_to[to->index] = cut;
    ww_sim_note(from->sim, from, "%s to=%s", cut ? "cut" : "mended", to->name);
}

void ww_sim_partition(struct ww_sim *sim, const bool *side, size_t count)
{
    for (size_t i = 0; i < count && i < sim->node_count; i++) {
        for (size_t j = 0; j < count && j < sim->node_count; j++) {
            if (side[i] != side[j])
                sim->nodes[i]->cut_to[j] = true;
        }
        ww_sim_note(sim, sim->nodes[i], "partition side=%d", side[i]);
    }
}

void ww_sim_heal(struct ww_sim *sim)
{
    for (size_t i = 0; i < sim->node_count; i++)
        memset(sim->nodes[i]->cut_to, 0, sim->conf.nodes_max);
    ww_sim_note(sim, NULL, "heal");
}

/* ---- nodes ---- */

ww_err ww_sim_node_add(struct ww_sim *sim, const char *name, uint32_t segment, struct ww_sim_node **ret_node)
{
    if (sim->node_count == sim->conf.nodes_max)
        return WW_ELIMIT;
    struct ww_sim_node *node = WW_NEW(struct ww_sim_node);
    uint8_t *cut_to = ww_calloc(sim->conf.nodes_max, 1);
    if (!node || !cut_to)
        goto no_memory;
    *node = (struct ww_sim_node){.sim = sim,
        .index = (uint32_t)sim->node_count,
        .segment = segment,
        .powered = true,
        .cut_to = cut_to};
    if (*name)
        snprintf(node->name, sizeof node->name, "%s", name);
    else
        snprintf(node->name, sizeof node->name, "n%zu", sim->node_count + 1);
    ww_list_init(&node->lives);
    ww_list_init(&node->files);
    struct ww_prng prng;
    ww_prng_split(&sim->root, "skew", node->index, &prng);
    node->skew_ns =
        (int64_t)ww_prng_below(&prng, 2 * sim->conf.skew_max_ns + 1) - (int64_t)sim->conf.skew_max_ns;
    if (ww_sim_host_new(node, &node->host) != WW_OK)
        goto no_memory;
    node->running = true;
    node->awake_since_ns = sim->now_ns;
    sim->nodes[sim->node_count++] = node;
    *ret_node = node;
    return WW_OK;
no_memory:
    ww_free(node);
    ww_free(cut_to);
    return WW_ENOMEM;
}

struct ww_sim_node *ww_sim_node_by_addr(
    struct ww_sim *sim, struct ww_sim_node *asking, const struct ww_netaddr *addr)
{
    enum ww_sim_addr_kind kind = ww_sim_addr_kind(asking, addr);
    if (kind == WW_SIM_ADDR_LOOPBACK || kind == WW_SIM_ADDR_OWN)
        return asking;
    for (size_t i = 0; i < sim->node_count; i++) {
        struct ww_netaddr own = ww_sim_addr_of(sim->nodes[i], addr->family, false);
        if (ww_sim_ip_eq(&own, addr))
            return sim->nodes[i];
    }
    return NULL;
}

struct ww_env *ww_sim_node_env(struct ww_sim_node *node)
{
    return &node->host->env;
}

struct ww_sim *ww_sim_node_world(const struct ww_sim_node *node)
{
    return node->sim;
}

const char *ww_sim_node_name(const struct ww_sim_node *node)
{
    return node->name;
}

uint32_t ww_sim_node_index(const struct ww_sim_node *node)
{
    return node->index;
}

struct ww_netaddr ww_sim_node_addr(const struct ww_sim_node *node)
{
    return ww_sim_addr_of(node, 4, false);
}

bool ww_sim_node_running(const struct ww_sim_node *node)
{
    return node->running;
}

static void stop(struct ww_sim_node *node, bool resets)
{
    WW_ASSERT(node->running);
    node->running = node->paused = false;
    ww_sim_host_die(node->host, resets);
}

void ww_sim_node_crash(struct ww_sim_node *node)
{
    ww_sim_note(node->sim, node, "crash");
    stop(node, true);
}

void ww_sim_node_power_off(struct ww_sim_node *node)
{
    ww_sim_note(node->sim, node, "power_off");
    node->powered = false;
    stop(node, false);
}

ww_err ww_sim_node_start(struct ww_sim_node *node)
{
    WW_ASSERT(!node->running);
    WW_TRY(ww_sim_host_new(node, &node->host));
    node->running = node->powered = true;
    node->awake_since_ns = node->sim->now_ns;
    ww_sim_note(node->sim, node, "start life=%u", node->lives_count);
    return WW_OK;
}

void ww_sim_node_pause(struct ww_sim_node *node)
{
    ww_sim_note(node->sim, node, "pause");
    node->paused = true;
}

void ww_sim_node_resume(struct ww_sim_node *node)
{
    if (!node->paused)
        return;
    ww_sim_note(node->sim, node, "resume");
    node->paused = false;
    node->awake_since_ns = node->sim->now_ns;
    ww_sim_host_wake(node->host);
}

uint64_t ww_sim_node_awake_ns(const struct ww_sim_node *node)
{
    return node->running && !node->paused ? node->sim->now_ns - node->awake_since_ns : 0;
}

void ww_sim_node_disk_error(struct ww_sim_node *node, ww_err err)
{
    node->disk_err = err;
}
