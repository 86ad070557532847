/* The simulated world keeps its promises: the same for the same seed, and no kinder than a real network. */
#include <inttypes.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/lib/alloc_fail.h"
#include "test/sim/peer.h"

#define MS WW_NS_PER_MS
#define S WW_NS_PER_S

struct world {
    struct ww_sim *sim;
    struct peer peers[8];
    size_t count;
};

static void world_init(struct world *w, const struct ww_sim_conf *conf, size_t count)
{
    memset(w, 0, sizeof *w);
    assert_ok(ww_sim_new(conf, &w->sim));
    for (size_t i = 0; i < count; i++) {
        struct ww_sim_node *node;
        assert_ok(ww_sim_node_add(w->sim, "", 0, &node));
        assert_ok(peer_start(&w->peers[i], node));
    }
    w->count = count;
}

static void world_fini(struct world *w)
{
    for (size_t i = 0; i < w->count; i++)
        peer_stop(&w->peers[i]);
    ww_sim_free(w->sim);
}

static struct peer_conn *dial(struct world *w, size_t from, size_t to, uint64_t bytes)
{
    struct peer_conn *c = peer_dial(&w->peers[from], ww_sim_node_addr(w->peers[to].node), bytes);
    assert_non_null(c);
    return c;
}

static struct ww_sim_conf rough(uint64_t seed)
{
    struct ww_sim_conf conf;
    ww_sim_conf_default(&conf, seed);
    conf.link = (struct ww_sim_link){.delay_min_ns = 5 * MS,
        .delay_jitter_ns = 20 * MS,
        .spike_ppm = 20000,
        .loss_ppm = 50000,
        .dup_ppm = 50000,
        .egress_bytes_per_s = 20000000};
    conf.send_buffer_bytes = 10000;
    conf.receive_buffer_bytes = 7000;
    return conf;
}

static uint64_t a_busy_hour(uint64_t seed)
{
    struct world w;
    struct ww_sim_conf conf = rough(seed);
    world_init(&w, &conf, 5);
    for (size_t i = 0; i < 5; i++) {
        dial(&w, i, (i + 1) % 5, 20000);
        (void)peer_shout(&w.peers[i], 100 + i);
    }
    ww_sim_run_for(w.sim, 500 * MS);
    ww_sim_partition(w.sim, (const bool[]){true, true, false, false, false}, 5);
    ww_sim_run_for(w.sim, S);
    ww_sim_node_crash(w.peers[4].node);
    peer_stop(&w.peers[4]);
    ww_sim_heal(w.sim);
    assert_ok(ww_sim_node_start(w.peers[4].node));
    assert_ok(peer_start(&w.peers[4], w.peers[4].node));
    dial(&w, 4, 0, 5000);
    ww_sim_node_pause(w.peers[2].node);
    ww_sim_run_for(w.sim, S);
    ww_sim_node_resume(w.peers[2].node);
    ww_sim_run_for(w.sim, 3600 * S);
    uint64_t hash = ww_sim_hash(w.sim);
    world_fini(&w);
    return hash;
}

/* What another process makes of seed 7: its addresses are all different. */
static uint64_t hash_elsewhere(void)
{
    int ends[2];
    uint64_t hash = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execl("/proc/self/exe", "test", "hash", "7", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    FILE *out = fdopen(ends[0], "r");
    assert_int_equal(fscanf(out, "%" SCNx64, &hash), 1);
    fclose(out);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    return hash;
}

/* Again in this process, with the heap elsewhere, and in others, with everything elsewhere. */
static void same_seed_same_world(void **state)
{
    WW_UNUSED(state);
    uint64_t hash = a_busy_hour(7);
    void *shift = malloc(123457);
    assert_true(a_busy_hour(7) == hash);
    free(shift);
    assert_true(a_busy_hour(8) != hash);
    for (int i = 0; i < 2; i++)
        assert_true(hash_elsewhere() == hash);
}

static void every_byte_arrives_in_order(void **state)
{
    WW_UNUSED(state);
    struct world w;
    struct ww_sim_conf conf = rough(3);
    world_init(&w, &conf, 2);
    struct peer_conn *c = dial(&w, 0, 1, 300000), *s = &w.peers[1].conns[0];
    ww_sim_run_for(w.sim, 600 * S);
    assert_int_equal(c->received, 300000);
    assert_int_equal(s->received, 300000);
    assert_int_equal(c->ends, 1);
    assert_int_equal(s->ends, 1);
    assert_int_equal(c->errors + s->errors, 0);
    assert_true(c->partial > 0 && s->partial > 0);
    /* Cut anywhere: far more pieces than windows. */
    assert_true(s->chunks > 300000 / 7000);
    assert_true(ww_sim_stats(w.sim).segments_delayed > 0);
    world_fini(&w);
}

static void connecting_takes_a_round_trip(void **state)
{
    WW_UNUSED(state);
    struct world w;
    struct ww_sim_conf conf = rough(3);
    conf.link.loss_ppm = 0;
    world_init(&w, &conf, 2);
    struct peer_conn *c = dial(&w, 0, 1, 1);
    assert_int_equal(ww_sim_now(w.sim) % 2, 1);
    ww_sim_run_for(w.sim, 10 * MS - 1);
    assert_false(c->connected);
    ww_sim_run_for(w.sim, S);
    assert_true(c->connected);
    world_fini(&w);
}

static void nobody_there(void **state)
{
    WW_UNUSED(state);
    struct world w;
    struct ww_sim_conf conf;
    ww_sim_conf_default(&conf, 1);
    world_init(&w, &conf, 2);
    struct ww_netaddr addr = ww_sim_node_addr(w.peers[1].node);
    addr.port = 1;
    struct peer_conn *refused = peer_dial(&w.peers[0], addr, 1);
    addr.ip[3] = 200;
    struct peer_conn *unreachable = peer_dial(&w.peers[0], addr, 1);
    ww_sim_cut(w.peers[0].node, w.peers[1].node, true);
    struct peer_conn *lost = dial(&w, 0, 1, 1);
    w.peers[1].refuse = true;
    ww_sim_run_for(w.sim, 5 * S);
    assert_ok(refused->connect_err); /* cut off as well: still trying */
    ww_sim_run_for(w.sim, 60 * S);
    assert_int_equal(refused->connect_err, WW_ETIMEOUT);
    assert_int_equal(unreachable->connect_err, WW_EUNREACH);
    assert_int_equal(lost->connect_err, WW_ETIMEOUT);
    ww_sim_heal(w.sim);
    addr = ww_sim_node_addr(w.peers[1].node);
    addr.port = 1;
    refused = peer_dial(&w.peers[0], addr, 1);
    struct peer_conn *shut_out = dial(&w, 0, 1, 1);
    ww_sim_run_for(w.sim, S);
    assert_int_equal(refused->connect_err, WW_EREFUSED);
    assert_true(shut_out->connected);
    assert_true(shut_out->ends + shut_out->errors > 0);
    world_fini(&w);
}

static void a_crash_resets_and_a_power_cut_is_silent(void **state)
{
    WW_UNUSED(state);
    struct world w;
    struct ww_sim_conf conf;
    ww_sim_conf_default(&conf, 5);
    conf.link.egress_bytes_per_s = 1000000;
    world_init(&w, &conf, 3);
    struct peer_conn *a = dial(&w, 0, 1, 10 << 20), *b = dial(&w, 0, 2, 10 << 20);
    ww_sim_run_for(w.sim, S);
    assert_true(a->received > 0 && b->received > 0);
    ww_sim_node_crash(w.peers[1].node);
    ww_sim_node_power_off(w.peers[2].node);
    size_t handles = w.peers[1].conn_count;
    assert_int_equal(handles, 1);
    /* The dead life's handles can be used and closed, to no effect. */
    size_t taken = 9;
    const struct ww_iovec iov = {(const uint8_t *)"x", 1};
    assert_true(w.peers[1].ops->tcp_write(w.peers[1].env, w.peers[1].conns[0].user.tcp, &iov, 1, &taken) < 0);
    assert_int_equal(taken, 9);
    peer_stop(&w.peers[1]);
    ww_sim_run_for(w.sim, S);
    assert_int_equal(a->err, WW_ERESET);
    assert_int_equal(b->errors, 0);
    ww_sim_run_for(w.sim, 70 * S);
    assert_int_equal(b->err, WW_ETIMEOUT);
    /* Back with the power: what the other still believes in is reset. */
    peer_stop(&w.peers[2]);
    assert_ok(ww_sim_node_start(w.peers[2].node));
    assert_ok(peer_start(&w.peers[2], w.peers[2].node));
    b = dial(&w, 0, 2, 10 << 20);
    ww_sim_run_for(w.sim, S);
    ww_sim_node_power_off(w.peers[2].node);
    peer_stop(&w.peers[2]);
    assert_ok(ww_sim_node_start(w.peers[2].node));
    assert_ok(peer_start(&w.peers[2], w.peers[2].node));
    ww_sim_run_for(w.sim, 5 * S);
    assert_int_equal(b->err, WW_ERESET);
    world_fini(&w);
}

static void a_short_partition_only_delays(void **state)
{
    WW_UNUSED(state);
    struct world w;
    struct ww_sim_conf conf = rough(9);
    world_init(&w, &conf, 2);
    struct peer_conn *c = dial(&w, 0, 1, 100000);
    ww_sim_run_for(w.sim, S);
    uint64_t before = c->received;
    assert_true(before < 100000);
    ww_sim_partition(w.sim, (const bool[]){true, false}, 2);
    ww_sim_run_for(w.sim, 100 * MS);
    before = c->received;
    ww_sim_run_for(w.sim, 20 * S);
    assert_int_equal(c->received, before);
    ww_sim_heal(w.sim);
    ww_sim_run_for(w.sim, 120 * S);
    assert_int_equal(c->received, 100000);
    assert_int_equal(c->errors, 0);
    world_fini(&w);
}

static void a_one_way_cut(void **state)
{
    WW_UNUSED(state);
    struct world w;
    struct ww_sim_conf conf;
    ww_sim_conf_default(&conf, 2);
    world_init(&w, &conf, 2);
    ww_sim_cut(w.peers[0].node, w.peers[1].node, true);
    assert_ok(peer_shout(&w.peers[0], 10));
    assert_ok(peer_shout(&w.peers[1], 10));
    ww_sim_run_for(w.sim, S);
    assert_int_equal(w.peers[0].datagrams, 2); /* its own, and the other's */
    assert_int_equal(w.peers[1].datagrams, 1); /* its own */
    world_fini(&w);
}

static void a_middlebox_resets_both(void **state)
{
    WW_UNUSED(state);
    struct world w;
    struct ww_sim_conf conf;
    ww_sim_conf_default(&conf, 2);
    world_init(&w, &conf, 3);
    conf.link.egress_bytes_per_s = 100000;
    ww_sim_link_set(w.sim, &conf.link);
    struct peer_conn *hit = dial(&w, 0, 1, 1 << 20), *spared = dial(&w, 0, 2, 1 << 20);
    ww_sim_run_for(w.sim, S);
    ww_sim_tcp_reset(w.peers[1].node, w.peers[0].node);
    ww_sim_run_for(w.sim, 5 * S);
    assert_int_equal(hit->err, WW_ERESET);
    assert_int_equal(w.peers[1].conns[0].err, WW_ERESET);
    assert_int_equal(spared->errors, 0);
    world_fini(&w);
}

static void a_paused_node_is_heard_but_does_not_hear(void **state)
{
    WW_UNUSED(state);
    struct world w;
    struct ww_sim_conf conf;
    ww_sim_conf_default(&conf, 2);
    world_init(&w, &conf, 2);
    ww_sim_node_pause(w.peers[1].node);
    struct peer_conn *c = dial(&w, 0, 1, 50000);
    assert_ok(peer_shout(&w.peers[0], 10));
    ww_sim_run_for(w.sim, 5 * S);
    assert_true(c->connected); /* the kernel accepts */
    assert_int_equal(c->received, 0);
    assert_int_equal(w.peers[1].datagrams, 0);
    ww_sim_node_resume(w.peers[1].node);
    ww_sim_run_for(w.sim, 5 * S);
    assert_int_equal(c->received, 50000);
    assert_int_equal(w.peers[1].datagrams, 1);
    world_fini(&w);
}

static void loss_and_doubling_have_their_rates(void **state)
{
    WW_UNUSED(state);
    enum { SENT = 20000 };
    struct world w;
    struct ww_sim_conf conf;
    ww_sim_conf_default(&conf, 11);
    conf.link.loss_ppm = 100000;
    conf.link.dup_ppm = 50000;
    world_init(&w, &conf, 2);
    for (int i = 0; i < SENT; i++) {
        assert_ok(peer_shout(&w.peers[0], 1));
        ww_sim_run_for(w.sim, MS);
    }
    ww_sim_run_for(w.sim, S);
    /* 18,000 arrive, 900 of them twice; five standard deviations are 210 and 150. */
    assert_in_range(w.peers[1].datagrams, 18900 - 360, 18900 + 360);
    assert_int_equal(w.peers[0].datagrams, SENT); /* its own need no network */
    struct ww_sim_stats stats = ww_sim_stats(w.sim);
    assert_in_range(stats.datagrams_lost, 2000 - 210, 2000 + 210);
    assert_in_range(stats.datagrams_doubled, 900 - 150, 900 + 150);
    world_fini(&w);
}

static void multicast_stays_on_its_segment(void **state)
{
    WW_UNUSED(state);
    struct ww_sim_conf conf;
    struct ww_sim *sim;
    struct peer p[3];
    ww_sim_conf_default(&conf, 1);
    assert_ok(ww_sim_new(&conf, &sim));
    for (size_t i = 0; i < 3; i++) {
        struct ww_sim_node *node;
        assert_ok(ww_sim_node_add(sim, "", i == 2, &node));
        assert_ok(peer_start(&p[i], node));
    }
    assert_ok(peer_shout(&p[0], 5));
    const struct ww_netif lo = {.name = "lo", .index = 1};
    assert_ok(p[1].ops->udp_join(p[1].env, p[1].udp.udp, &peer_group, &lo));
    assert_ok(p[1].ops->udp_send(p[1].env, p[1].udp.udp, &peer_group, &lo, WW_BYTES_LIT("x")));
    ww_sim_run_for(sim, S);
    assert_int_equal(p[0].datagrams, 1);
    assert_int_equal(p[1].datagrams, 2); /* from n1, and its own on `lo` */
    assert_int_equal(p[2].datagrams, 0);
    for (size_t i = 0; i < 3; i++)
        peer_stop(&p[i]);
    ww_sim_free(sim);
}

struct ticker {
    struct ww_timer timer;
    struct ww_task task;
    struct ww_env *env;
    uint64_t due, fired_at;
    size_t fired, tasks;
};

static void ticked(struct ww_timer *timer)
{
    struct ticker *t = WW_CONTAINER_OF(timer, struct ticker, timer);
    t->fired_at = ww_env_now(t->env);
    assert_true(t->fired_at >= t->due);
    t->fired++;
    t->env->ops->post(t->env, &t->task);
    t->env->ops->post(t->env, &t->task);
    assert_int_equal(t->tasks, t->fired - 1);
}

static void tasked(struct ww_task *task)
{
    WW_CONTAINER_OF(task, struct ticker, task)->tasks++;
}

static void timers_are_late_but_never_early(void **state)
{
    WW_UNUSED(state);
    struct world w;
    struct ww_sim_conf conf;
    ww_sim_conf_default(&conf, 1);
    world_init(&w, &conf, 1);
    struct ticker t[20] = {0};
    struct ww_env *env = w.peers[0].env;
    uint64_t start = ww_env_now(env), late = 0;
    for (size_t i = 0; i < 20; i++) {
        t[i].env = env;
        t[i].timer.fired = ticked;
        ww_task_init(&t[i].task, tasked);
        t[i].due = start + i * 7 % 20 * MS;
        env->ops->timer_set(env, &t[i].timer, t[i].due);
    }
    env->ops->timer_cancel(env, &t[3].timer);
    env->ops->timer_set(env, &t[4].timer, WW_NEVER);
    t[5].due = start + 50 * MS;
    env->ops->timer_set(env, &t[5].timer, t[5].due);
    ww_sim_run_for(w.sim, S);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(t[i].fired, i != 3 && i != 4);
        assert_int_equal(t[i].tasks, t[i].fired);
        if (t[i].fired && t[i].fired_at > t[i].due)
            late++;
    }
    assert_true(late > 5);
    env->ops->timer_cancel(env, &t[4].timer);
    world_fini(&w);
}

static void a_dead_life_hears_nothing_and_its_disk_stays(void **state)
{
    WW_UNUSED(state);
    struct world w;
    struct ww_sim_conf conf;
    ww_sim_conf_default(&conf, 1);
    world_init(&w, &conf, 1);
    struct ww_sim_node *node = w.peers[0].node;
    struct ww_env *old = w.peers[0].env;
    struct ticker t = {.env = old, .timer.fired = ticked};
    ww_task_init(&t.task, tasked);
    old->ops->timer_set(old, &t.timer, ww_env_now(old) + MS);
    old->ops->post(old, &t.task);
    assert_int_equal(old->ops->file_write(old, "/var/ww/key", WW_BYTES_LIT("secret"), 0600), WW_ENOTFOUND);
    assert_ok(old->ops->dir_make(old, "/var/ww", 0700));
    assert_ok(old->ops->file_write(old, "/var/ww/key", WW_BYTES_LIT("secret"), 0600));
    ww_sim_node_disk_error(node, WW_EIO);
    assert_int_equal(old->ops->file_write(old, "/var/ww/key", WW_BYTES_LIT("other"), 0600), WW_EIO);
    ww_sim_node_disk_error(node, WW_OK);
    uint8_t a[16], b[16];
    old->ops->random(old, a, sizeof a);
    ww_sim_node_crash(node);
    assert_false(t.timer.armed);
    peer_stop(&w.peers[0]);
    ww_sim_run_for(w.sim, S);
    assert_int_equal(t.fired + t.tasks, 0);
    assert_ok(ww_sim_node_start(node));
    assert_ok(peer_start(&w.peers[0], node));
    struct ww_env *env = ww_sim_node_env(node);
    assert_ptr_not_equal(env, old);
    env->ops->random(env, b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    struct ww_buf out;
    ww_buf_init(&out, 6);
    assert_ok(env->ops->file_read(env, "/var/ww/key", &out));
    assert_bytes(ww_buf_view(&out), "secret", 6);
    assert_int_equal(env->ops->file_read(env, "/var/ww/key", &out), WW_ELIMIT);
    assert_int_equal(env->ops->file_read(env, "/var/ww", &out), WW_EINVAL);
    assert_int_equal(env->ops->file_read(env, "/nope", &out), WW_ENOTFOUND);
    ww_buf_fini(&out);
    world_fini(&w);
}

static void ports_clash_as_on_a_host(void **state)
{
    WW_UNUSED(state);
    struct world w;
    struct ww_sim_conf conf;
    ww_sim_conf_default(&conf, 1);
    world_init(&w, &conf, 1);
    struct peer *p = &w.peers[0];
    struct ww_listener_user other = {.accepted = peer_accepted};
    struct ww_netaddr addr = {.family = 4, .ip = {127, 0, 0, 1}, .port = PEER_PORT}, bound;
    assert_int_equal(p->ops->tcp_listen(p->env, &addr, &other, &bound), WW_EADDRINUSE);
    addr.ip[0] = 9;
    assert_int_equal(p->ops->tcp_listen(p->env, &addr, &other, &bound), WW_EADDRNOTAVAIL);
    addr = ww_sim_node_addr(p->node);
    assert_ok(p->ops->tcp_listen(p->env, &addr, &other, &bound));
    assert_true(bound.port >= 49152);
    p->ops->listener_close(p->env, other.listener);
    struct ww_udp_user udp = {.datagram = peer_datagram};
    struct ww_udp_conf alone = {.bind = {.family = 4, .port = PEER_GROUP_PORT}, .datagram_max = 10};
    assert_int_equal(p->ops->udp_open(p->env, &alone, &udp, NULL), WW_EADDRINUSE);
    alone.share = true;
    assert_ok(p->ops->udp_open(p->env, &alone, &udp, NULL));
    p->ops->udp_close(p->env, udp.udp);
    world_fini(&w);
}

struct lookup {
    struct ww_resolve op;
    ww_err err;
    int calls;
};

static void looked_up(struct ww_resolve *op, ww_err err)
{
    struct lookup *u = WW_CONTAINER_OF(op, struct lookup, op);
    u->calls++;
    u->err = err;
}

static void names_resolve(void **state)
{
    WW_UNUSED(state);
    static const char *const names[] = {"n2", "localhost", "10.0.0.77", "nowhere", "n1"};
    struct world w;
    struct ww_sim_conf conf;
    ww_sim_conf_default(&conf, 1);
    world_init(&w, &conf, 2);
    struct ww_env *env = w.peers[0].env;
    struct lookup u[5] = {0};
    for (size_t i = 0; i < 5; i++) {
        u[i].op.done = looked_up;
        assert_ok(env->ops->resolve(env, names[i], i ? 4 : 0, &u[i].op));
    }
    env->ops->resolve_cancel(env, &u[4].op);
    ww_sim_run_for(w.sim, S);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(u[i].calls, i < 4);
    assert_int_equal(u[0].op.count, 2);
    assert_memory_equal(u[0].op.addrs[0].ip, "\x0a\0\0\2", 4);
    assert_memory_equal(u[1].op.addrs[0].ip, "\x7f\0\0\1", 4);
    assert_memory_equal(u[2].op.addrs[0].ip, "\x0a\0\0\x4d", 4);
    assert_int_equal(u[3].err, WW_ENOTFOUND);
    world_fini(&w);
}

struct arrival {
    struct ww_sim_check check;
    struct peer_conn *conn;
};

static bool arrived(struct ww_sim_check *check)
{
    return WW_CONTAINER_OF(check, struct arrival, check)->conn->ends > 0;
}

static struct ww_tcp_user *accepted_six(struct ww_listener_user *user, const struct ww_netaddr *remote)
{
    struct peer *p = WW_CONTAINER_OF(user, struct peer, listener);
    assert_int_equal(remote->family, 6);
    assert_memory_equal(remote->ip, "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    struct peer_conn *c = peer_conn_new(p);
    c->echo = true;
    return &c->user;
}

/* The address that n2's `eth0` has for IPv6; and run_to stops where its condition holds. */
static void ip6_and_interfaces(void **state)
{
    WW_UNUSED(state);
    struct world w;
    struct ww_sim_conf conf;
    struct ww_netif *ifs;
    size_t count;
    ww_sim_conf_default(&conf, 1);
    world_init(&w, &conf, 2);
    struct peer *p = &w.peers[1];
    assert_ok(p->ops->interfaces(p->env, &ifs, &count));
    assert_int_equal(count, 4);
    struct ww_netaddr to = ifs[3].addr;
    assert_string_equal(ifs[3].name, "eth0");
    assert_true(ifs[3].multicast && !ifs[3].loopback && ifs[0].loopback);
    ww_free(ifs);
    p->ops->listener_close(p->env, p->listener.listener);
    p->listener.accepted = accepted_six;
    const struct ww_netaddr any = {.family = 6, .port = PEER_PORT};
    assert_ok(p->ops->tcp_listen(p->env, &any, &p->listener, NULL));
    struct arrival a = {{arrived}, peer_dial(&w.peers[0], to, 5000)};
    assert_non_null(a.conn);
    assert_true(ww_sim_run_to(w.sim, &a.check, ww_sim_now(w.sim) + S));
    assert_int_equal(a.conn->received, 5000);
    uint64_t now = ww_sim_now(w.sim);
    assert_true(ww_sim_run_to(w.sim, &a.check, now));
    assert_int_equal(ww_sim_now(w.sim), now);
    struct arrival never = {
        {arrived}, peer_dial(&w.peers[1], (struct ww_netaddr){.family = 4, .ip = {10, 0, 9, 9}}, 1)};
    assert_false(ww_sim_run_to(w.sim, &never.check, now + S));
    world_fini(&w);
}

struct collector {
    struct ww_sim_sink sink;
    struct ww_buf text;
};

static void collect(struct ww_sim_sink *sink, struct ww_bytes line)
{
    struct collector *c = WW_CONTAINER_OF(sink, struct collector, sink);
    assert_ok(ww_buf_append(&c->text, line));
    assert_ok(ww_buf_append_byte(&c->text, '\n'));
}

static void the_transcript_has_time_node_and_event(void **state)
{
    WW_UNUSED(state);
    for (int json = 0; json < 2; json++) {
        struct collector c = {.sink.line = collect};
        struct world w;
        struct ww_sim_conf conf;
        ww_sim_conf_default(&conf, 0);
        conf.sink = &c.sink;
        conf.json = json;
        ww_buf_init(&c.text, 4096);
        world_init(&w, &conf, 1);
        ww_sim_run_until(w.sim, 1001 * S);
        WW_TRACE(w.peers[0].env->trace, SWARM_LISTEN, ww_tv_str("/ip4/10.0.0.1/tcp/2020"));
        ww_sim_note(w.sim, NULL, "say \"%d\"", 5);
        ww_sim_node_crash(w.peers[0].node);
        assert_ok(ww_buf_append_byte(&c.text, 0));
        assert_string_equal((const char *)ww_buf_data(&c.text),
            json ? "{\"t\":1001.000000000,\"node\":\"n1\",\"event\":\"swarm.listen\",\"addr\":\"/ip4/"
                   "10.0.0.1/tcp/2020\"}\n"
                   "{\"t\":1001.000000000,\"node\":\"world\",\"note\":\"say \\\"5\\\"\"}\n"
                   "{\"t\":1001.000000000,\"node\":\"n1\",\"note\":\"crash\"}\n"
                 : "1001.000000000 n1 swarm.listen addr=/ip4/10.0.0.1/tcp/2020\n"
                   "1001.000000000 world say \"5\"\n"
                   "1001.000000000 n1 crash\n");
        ww_buf_fini(&c.text);
        world_fini(&w);
    }
}

struct bell {
    struct ww_sim_call call;
    int id, *at;
};

static void rang(struct ww_sim_call *call)
{
    struct bell *b = WW_CONTAINER_OF(call, struct bell, call);
    b->at[0] = b->at[0] * 10 + b->id;
}

static void events_of_one_instant_keep_their_order(void **state)
{
    WW_UNUSED(state);
    struct ww_sim_conf conf;
    struct ww_sim *sim;
    int order = 0;
    struct bell b[5];
    ww_sim_conf_default(&conf, 1);
    assert_ok(ww_sim_new(&conf, &sim));
    uint64_t at = ww_sim_now(sim) + 5;
    for (int i = 0; i < 5; i++) {
        b[i] = (struct bell){{.fire = rang}, i + 1, &order};
        ww_sim_at(sim, &b[i].call, at);
    }
    ww_sim_at(sim, &b[1].call, at); /* moved: now the last */
    ww_sim_call_cancel(sim, &b[3].call);
    ww_sim_at(sim, &b[4].call, 0); /* the past is now */
    ww_sim_run_until(sim, at);
    assert_int_equal(order, 5132);
    assert_false(ww_sim_step(sim));
    ww_sim_free(sim);
}

static ww_err short_life(void *ctx)
{
    WW_UNUSED(ctx);
    struct ww_sim_conf conf;
    struct ww_sim *sim = NULL;
    struct ww_sim_node *node[2];
    struct peer *p = calloc(2, sizeof *p);
    ww_sim_conf_default(&conf, 4);
    conf.nodes_max = 2;
    ww_err err = ww_sim_new(&conf, &sim);
    size_t started = 0;
    for (size_t i = 0; i < 2 && !err; i++) {
        err = ww_sim_node_add(sim, "", 0, &node[i]);
        if (!err) {
            err = peer_start(&p[i], node[i]);
            started++;
        }
    }
    struct peer_conn *c = NULL;
    if (!err) {
        c = peer_dial(&p[0], ww_sim_node_addr(node[1]), 1000);
        err = c ? peer_shout(&p[0], 3) : WW_ENOMEM;
    }
    if (!err)
        ww_sim_run_for(sim, 100 * S);
    if (c && !err)
        err = c->err ? c->err : c->connect_err ? c->connect_err : c->received == 1000 ? WW_OK : WW_ENOMEM;
    if (!err && p[1].datagrams == 0)
        err = WW_ENOMEM;
    for (size_t i = 0; i < started; i++)
        peer_stop(&p[i]);
    ww_sim_free(sim);
    free(p);
    return err;
}

static void memory_may_run_out(void **state)
{
    WW_UNUSED(state);
    assert_true(alloc_fail_run(short_life, NULL) > 20);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_of_one_instant_keep_their_order),
        cmocka_unit_test(same_seed_same_world),
        cmocka_unit_test(every_byte_arrives_in_order),
        cmocka_unit_test(connecting_takes_a_round_trip),
        cmocka_unit_test(nobody_there),
        cmocka_unit_test(a_crash_resets_and_a_power_cut_is_silent),
        cmocka_unit_test(a_short_partition_only_delays),
        cmocka_unit_test(a_one_way_cut),
        cmocka_unit_test(a_middlebox_resets_both),
        cmocka_unit_test(a_paused_node_is_heard_but_does_not_hear),
        cmocka_unit_test(loss_and_doubling_have_their_rates),
        cmocka_unit_test(multicast_stays_on_its_segment),
        cmocka_unit_test(timers_are_late_but_never_early),
        cmocka_unit_test(a_dead_life_hears_nothing_and_its_disk_stays),
        cmocka_unit_test(ports_clash_as_on_a_host),
        cmocka_unit_test(names_resolve),
        cmocka_unit_test(ip6_and_interfaces),
        cmocka_unit_test(the_transcript_has_time_node_and_event),
        cmocka_unit_test(memory_may_run_out),
    };
    if (argc == 3 && strcmp(argv[1], "hash") == 0) {
        printf("%016" PRIx64 "\n", a_busy_hour(strtoull(argv[2], NULL, 10)));
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
