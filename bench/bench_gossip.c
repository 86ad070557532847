/* Gossip without a network: what one signed message of 256 bytes costs its publisher, a forwarder and a
 * subscriber. Three routers in one process; the CPU time of each one's own calls. Prints a JSON line a
 * figure. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/varint.h"
#include "p2p/gossipsub_auth.h"

#define MESSAGES 8192
#define BATCH 256 /* in flight, as between real nodes */
#define SIZE 256
#define FAN_OUT 6

struct node {
    struct ww_keypair pair;
    struct ww_peer_id id;
    struct ww_gossip_auth_key auth;
    struct ww_gossip *g;
    struct ww_gossip_peer peers[FAN_OUT + 1];
    size_t delivered;
    double cpu_s;
};

static const uint64_t seeds[2] = {1, 2};

static double cpu(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void need(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bench_gossip: %s\n", what);
    exit(1);
}

static void node_init(struct node *n, uint8_t number)
{
    struct ww_gossip_conf conf;
    uint8_t seed[WW_ED25519_SEED_BYTES] = {number};
    ww_keypair_from_seed(&n->pair, seed);
    ww_peer_id_from_key(&n->pair.pub, &n->id);
    ww_gossip_auth_key_init(&n->auth, &n->pair, seeds);
    ww_gossip_conf_default(&conf);
    conf.self = ww_peer_id_view(&n->id);
    conf.auth = &n->auth.auth;
    need(ww_gossip_new(&conf, 0, &n->g) == 0, "no router");
    need(ww_gossip_join(n->g, WW_BYTES_LIT("data"), true, 0) == 0, "no topic");
}

static void drain(struct node *n)
{
    struct ww_gossip_event ev;
    while (ww_gossip_next_event(n->g, &ev)) {
        if (ev.kind == WW_GOSSIP_EV_VALIDATE)
            ww_gossip_validated(n->g, ev.msg, WW_GOSSIP_ACCEPT, 0);
        if (ev.kind == WW_GOSSIP_EV_DELIVER) {
            n->delivered++;
            ww_gossip_msg_unref(ev.msg);
        }
    }
}

static struct ww_bytes body(const struct ww_slab *frame)
{
    uint64_t len;
    ww_err used = ww_protobuf_varint_decode(ww_slab_view(frame), &len);
    need(used > 0, "bad frame");
    return ww_bytes_skip(ww_slab_view(frame), (size_t)used);
}

/* Peer `at` of `n` is `id`, subscribed and in the mesh. */
static void attach(struct node *n, size_t at, const struct ww_peer_id *id)
{
    static const uint8_t hello[] = "\x0a\x08\x08\x01\x12\x04"
                                   "data\x1a\x08\x1a\x06\x0a\x04"
                                   "data";
    struct ww_slab *frame;
    need(
        ww_gossip_peer_up(n->g, &n->peers[at], ww_peer_id_view(id), WW_GOSSIP_MESH | WW_GOSSIP_PX, true) == 0,
        "no peer");
    need(ww_gossip_rpc_in(n->g, &n->peers[at], ww_bytes(hello, sizeof hello - 1), 0) == 0, "bad hello");
    drain(n);
    while ((frame = ww_gossip_peer_pull(n->g, &n->peers[at])))
        ww_slab_unref(frame);
}

static void send_batch(struct node *n, struct ww_slab **frames)
{
    uint8_t data[SIZE] = {0};
    double start = cpu();
    for (size_t i = 0; i < BATCH; i++) {
        struct ww_gossip_msg *m;
        need(ww_gossip_publish(n->g, WW_BYTES_LIT("data"), ww_bytes(data, SIZE), 0, &m) == 0,
            "cannot publish");
        ww_gossip_validated(n->g, m, WW_GOSSIP_ACCEPT, 0);
        drain(n);
        frames[i] = ww_gossip_peer_pull(n->g, &n->peers[0]);
        need(frames[i] != NULL, "nothing to send");
    }
    n->cpu_s += cpu() - start;
}

/* Takes a batch in from peer 0, and out to all others. The frames to the last of them replace the batch. */
static void pass_batch(struct node *n, struct ww_slab **frames, size_t fan_out)
{
    double start = cpu();
    for (size_t i = 0; i < BATCH; i++) {
        need(ww_gossip_rpc_in(n->g, &n->peers[0], body(frames[i]), 0) == 0, "bad message");
        drain(n);
        for (size_t p = 1; p <= fan_out; p++) {
            ww_slab_unref(frames[i]);
            frames[i] = ww_gossip_peer_pull(n->g, &n->peers[p]);
            need(frames[i] != NULL, "not forwarded");
        }
    }
    n->cpu_s += cpu() - start;
}

static void print(const char *name, double us)
{
    printf("{\"name\":\"%s\",\"unit\":\"us\",\"ours\":%.2f}\n", name, us);
}

static double per_message(const struct node *n)
{
    return n->cpu_s * 1e6 / MESSAGES;
}

/* The floor: one check of one signature of that length. */
static double verify_us(struct node *n)
{
    enum { ROUNDS = 2000 };
    uint8_t text[SIZE + 100] = {0};
    struct ww_signature sig;
    need(ww_keypair_sign(&n->pair, ww_bytes(text, sizeof text), &sig) == 0, "cannot sign");
    double start = cpu();
    for (int i = 0; i < ROUNDS; i++)
        need(ww_pubkey_verify(&n->pair.pub, ww_bytes(text, sizeof text), ww_signature_view(&sig)) == 0,
            "bad signature");
    return (cpu() - start) * 1e6 / ROUNDS;
}

static void node_fini(struct node *n)
{
    for (size_t i = 0; i <= FAN_OUT; i++) {
        if (n->peers[i].up)
            ww_gossip_peer_down(n->g, &n->peers[i]);
    }
    ww_gossip_free(n->g);
    ww_gossip_auth_key_fini(&n->auth);
    ww_keypair_fini(&n->pair);
}

static void run(size_t fan_out, const char *name)
{
    static struct node publisher, forwarder, subscriber, others[FAN_OUT];
    struct ww_slab *frames[BATCH];
    memset(&publisher, 0, sizeof publisher);
    memset(&forwarder, 0, sizeof forwarder);
    memset(&subscriber, 0, sizeof subscriber);
    node_init(&publisher, 1);
    node_init(&forwarder, 2);
    node_init(&subscriber, 3);
    attach(&publisher, 0, &forwarder.id);
    attach(&forwarder, 0, &publisher.id);
    for (size_t i = 1; i < fan_out; i++) {
        others[i].id = subscriber.id;
        others[i].id.bytes[6] ^= (uint8_t)i; /* just a name here */
        attach(&forwarder, i, &others[i].id);
    }
    attach(&forwarder, fan_out, &subscriber.id);
    attach(&subscriber, 0, &forwarder.id);
    double duplicates = 0;
    for (size_t sent = 0; sent < MESSAGES; sent += BATCH) {
        send_batch(&publisher, frames);
        pass_batch(&forwarder, frames, fan_out);
        double before = cpu();
        for (size_t i = 0; i < BATCH; i++) /* it comes again from somebody else */
            need(ww_gossip_rpc_in(forwarder.g, &forwarder.peers[1], body(frames[i]), 0) == 0, "bad message");
        duplicates += cpu() - before;
        pass_batch(&subscriber, frames, 0);
        for (size_t i = 0; i < BATCH; i++)
            ww_slab_unref(frames[i]);
    }
    need(subscriber.delivered == MESSAGES, "messages were lost");
    print(name, per_message(&forwarder));
    if (fan_out == 1) {
        print("gossip/publish", per_message(&publisher));
        print("gossip/subscribe", per_message(&subscriber));
        print("gossip/duplicate", duplicates * 1e6 / MESSAGES);
        print("gossip/verify-floor", verify_us(&forwarder));
    }
    node_fini(&publisher);
    node_fini(&forwarder);
    node_fini(&subscriber);
}

int main(void)
{
    run(1, "gossip/forward");
    run(FAN_OUT, "gossip/forward-to-6");
    return 0;
}
