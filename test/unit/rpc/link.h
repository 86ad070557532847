/* A bottleneck in virtual time: messages of several flows share one queue and one rate; each acknowledgement
 * comes back a round-trip time after its message went through, plus jitter. */
#ifndef WW_TEST_RPC_LINK_H
#define WW_TEST_RPC_LINK_H

#include "test/lib/test.h"
#include "base/prng.h"
#include "rpc/flow.h"

enum { LINK_FLOWS = 2 };

struct link_packet {
    uint64_t at_ns; /* when its acknowledgement arrives */
    unsigned flow;
    struct ww_rpc_flow_mark mark;
};

struct link_queue {
    struct link_packet *at;
    size_t head, count, capacity;
};

struct link_flow {
    struct ww_rpc_flow *ctl;
    struct ww_rpc_flow_meter meter;
    struct link_queue acks;
    uint64_t start_ns, message_min, message_max;
    uint64_t app_rate;    /* bytes a second that there is to send; 0: no end */
    uint64_t app_sent_ns; /* when the application has its next message */
    uint64_t next_bytes;
    bool waiting;
    uint64_t delivered; /* acknowledged since link_mark */
};

struct link {
    uint64_t now_ns, rate, rtt_ns, jitter_ns;
    struct ww_prng prng;
    struct link_queue queue;
    uint64_t queued_bytes, done_ns; /* in the queue, head included; when the head is through */
    struct link_flow flows[LINK_FLOWS];
    unsigned flow_count;
    uint64_t marked_ns, served;
    double queue_time; /* integral of what waits behind the message in service */
    uint64_t queue_since_ns;
    uint64_t steps;
};

void link_init(struct link *l, uint64_t bits_per_s, uint64_t rtt_ns, uint64_t seed);
void link_fini(struct link *l);
void link_add(
    struct link *l, struct ww_rpc_flow *ctl, uint64_t message_min, uint64_t message_max, uint64_t start_ns);
/* Runs until then. */
void link_run(struct link *l, uint64_t until_ns);
/* What is measured begins now. */
void link_mark(struct link *l);
/* Since the mark: of the rate, used; what waited on average, bytes. */
double link_utilization(const struct link *l);
double link_queue_mean(struct link *l);
double link_share(const struct link *l, unsigned flow);
double link_jain(const struct link *l);
static inline double link_bdp(const struct link *l)
{
    return (double)l->rate / 8e9 * (double)l->rtt_ns;
}

#endif
