/* sim/sim.h — the environment of env/env.h in virtual time: a world of nodes, a network between them, faults.
 *
 * One world holds one heap of events ordered by (time, order of scheduling), one clock and one seed. Nothing
 * in it depends on the machine: the same calls and the same seed give the same events, at the same instants,
 * in the same order, on every run. ww_sim_hash proves it.
 *
 * A node has its own clocks (monotonic from an odd instant; wall with skew), randomness, addresses (127.0.0.1
 * and
 * ::1 on `lo`; 10.0.x.y and fd00::n on `eth0`) and disk. Code under test sees only its `struct ww_env`.
 *
 * The network is no kinder than a real one. TCP: connects take a round trip; bytes arrive in order but cut
 * anywhere; buffers are finite, so writes are taken in part; a lost segment stalls all behind it; a peer that
 * is cut off or without power is noticed only by a timeout, and one that crashed by a reset. UDP: datagrams
 * get lost, doubled, reordered; multicast reaches the sockets that joined, on the same segment.
 *
 * Ownership: the world owns its nodes. Errors: WW_ENOMEM where allocation fails; assertions for wrong use.
 * Model: TigerBeetle's VOPR and FoundationDB's simulation ("FoundationDB: a distributed unbundled
 * transactional key value store", SIGMOD 2021, section 4) for what a simulator is good for; RFC 9293 and 6298
 * for how TCP waits.
 */
#ifndef WW_SIM_SIM_H
#define WW_SIM_SIM_H

#include "base/prng.h"
#include "env/env.h"

struct ww_sim;
struct ww_sim_node;

/* What every path between two different nodes does to traffic. Rates are parts per million. */
struct ww_sim_link {
    uint64_t delay_min_ns, delay_jitter_ns; /* one way: uniform in [min, min + jitter] */
    uint32_t spike_ppm;                     /* a segment or datagram that takes up to ten times as long */
    uint32_t loss_ppm;                      /* datagram: gone; TCP segment: sent again after a timeout */
    uint32_t dup_ppm;                       /* datagrams only */
    uint64_t egress_bytes_per_s;            /* of a node; 0: no limit */
};

/* Receives the transcript, a line at a time, without newline. */
struct ww_sim_sink {
    void (*line)(struct ww_sim_sink *sink, struct ww_bytes text);
};

struct ww_sim_conf {
    uint64_t seed;
    struct ww_sim_link link;
    size_t nodes_max;
    size_t send_buffer_bytes, receive_buffer_bytes; /* of a TCP connection, each way */
    size_t segment_max_bytes;                       /* TCP bytes that arrive together, at most */
    uint64_t connect_timeout_ns, dead_timeout_ns;   /* until TCP gives up: connecting; sending */
    uint64_t timer_late_max_ns;                     /* how late a timer may fire */
    uint64_t skew_max_ns;                           /* wall clocks differ by up to this, both ways */
    bool json;                                      /* transcript lines as JSON objects */
    struct ww_sim_sink *sink;                       /* NULL: only the hash is kept */
};

/* A quiet local network: 200 µs ± 100, no loss, 1 GB/s. Change what you need. */
void ww_sim_conf_default(struct ww_sim_conf *ret_conf, uint64_t seed);

/* `conf` is copied. WW_ENOMEM. */
WW_MUST_USE ww_err ww_sim_new(const struct ww_sim_conf *conf, struct ww_sim **ret_sim);
/* Objects of code under test that still hold handles may not touch their environment afterwards. NULL is
 * fine. */
void ww_sim_free(struct ww_sim *sim);

/* ---- nodes ---- */

/* A new node, running. `name` becomes its host name and can be resolved; "" for "n1", "n2", ... Nodes of
 * different segments reach each other, but not by multicast. WW_ENOMEM, WW_ELIMIT (nodes_max). */
WW_MUST_USE ww_err ww_sim_node_add(
    struct ww_sim *sim, const char *name, uint32_t segment, struct ww_sim_node **ret_node);
/* The environment of the present life of the node. After a crash the old one stays valid memory until
 * ww_sim_free, so that the old life's objects can be taken down: no event comes from it, and writes to it
 * fail. */
struct ww_env *ww_sim_node_env(struct ww_sim_node *node);
struct ww_sim *ww_sim_node_world(const struct ww_sim_node *node);
const char *ww_sim_node_name(const struct ww_sim_node *node);
uint32_t ww_sim_node_index(const struct ww_sim_node *node); /* 0, 1, ... in order of ww_sim_node_add */
/* On `eth0`, port 0. */
struct ww_netaddr ww_sim_node_addr(const struct ww_sim_node *node);
bool ww_sim_node_running(const struct ww_sim_node *node);

/* The calls below are the scenario's: not from within a callback of the node's own program. */

/* kill -9: peers get resets. The disk stays. */
void ww_sim_node_crash(struct ww_sim_node *node);
/* The plug: peers hear nothing. What was connected is reset once the node is back and they send. */
void ww_sim_node_power_off(struct ww_sim_node *node);
/* A new life: new environment, no sockets, the old disk. The node must not be running. WW_ENOMEM. */
WW_MUST_USE ww_err ww_sim_node_start(struct ww_sim_node *node);
/* SIGSTOP and SIGCONT: no callback runs meanwhile, the kernel goes on receiving. */
void ww_sim_node_pause(struct ww_sim_node *node);
void ww_sim_node_resume(struct ww_sim_node *node);
/* For how long callbacks have been running without a break: 0 while paused or down. A check that demands
 * something of a timer must allow for a machine that has only just woken. */
uint64_t ww_sim_node_awake_ns(const struct ww_sim_node *node);
/* What the node's next file_write and dir_make calls return instead of writing; WW_OK: the disk works. */
void ww_sim_node_disk_error(struct ww_sim_node *node, ww_err err);

/* ---- the network ---- */

void ww_sim_link_set(struct ww_sim *sim, const struct ww_sim_link *link);
/* One direction. A cut path swallows everything, including what is under way. */
void ww_sim_cut(struct ww_sim_node *from, struct ww_sim_node *to, bool cut);
/* Nodes i with side[i] true and the others no longer reach each other; `count` nodes, by index. */
void ww_sim_partition(struct ww_sim *sim, const bool *side, size_t count);
/* Removes every cut. */
void ww_sim_heal(struct ww_sim *sim);
/* Breaks all TCP connections between the two, as a middlebox does that lost its state. */
void ww_sim_tcp_reset(struct ww_sim_node *a, struct ww_sim_node *b);

/* ---- time ---- */

/* The world's clock; nodes' own clocks are offset from it. Starts at an odd instant that is not 0. */
uint64_t ww_sim_now(const struct ww_sim *sim);
/* Runs the next event. False when none is left. */
bool ww_sim_step(struct ww_sim *sim);
/* All events up to and including that instant, which then is now. */
void ww_sim_run_until(struct ww_sim *sim, uint64_t until_ns);
void ww_sim_run_for(struct ww_sim *sim, uint64_t duration_ns);

/* Asked after every event. */
struct ww_sim_check {
    bool (*holds)(struct ww_sim_check *check);
};
/* True as soon as it holds (also at once), false when `limit_ns` (an instant) passed or nothing is left to
 * happen. */
WW_MUST_USE bool ww_sim_run_to(struct ww_sim *sim, struct ww_sim_check *check, uint64_t limit_ns);

/* A call by the world itself: the scenario's clockwork. */
struct ww_sim_call {
    struct ww_heap_node node; /* the world's, while armed */
    void (*fire)(struct ww_sim_call *call);
    bool armed;
};
void ww_sim_at(struct ww_sim *sim, struct ww_sim_call *call, uint64_t at_ns); /* moves it when armed */
void ww_sim_call_cancel(struct ww_sim *sim, struct ww_sim_call *call);

/* ---- record ---- */

/* Of every event so far, and of every line of the transcript. */
uint64_t ww_sim_hash(const struct ww_sim *sim);
uint64_t ww_sim_events(const struct ww_sim *sim);
/* A line of the scenario's own in the transcript; `node` NULL: the world. */
void ww_sim_note(struct ww_sim *sim, const struct ww_sim_node *node, const char *fmt, ...) WW_PRINTF(3, 4);
/* A stream of randomness of the scenario's own, named: drawing from it shifts nothing else. */
void ww_sim_prng(const struct ww_sim *sim, const char *name, uint64_t index, struct ww_prng *ret_prng);

struct ww_sim_stats {
    uint64_t datagrams_sent, datagrams_lost, datagrams_doubled, datagrams_delivered;
    uint64_t segments_sent, segments_delayed, resets, connects;
};
struct ww_sim_stats ww_sim_stats(const struct ww_sim *sim);

#endif
