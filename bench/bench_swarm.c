/* Connection setups: dials a peer, closes, dials again, one after another, as fast as it goes. TCP, Noise,
 * Yamux; without waiting for identify. Prints one JSON object: {"name", "unit", "ours", "cpu_us"}.
 *
 *     bench_swarm MULTIADDR/p2p/ID [COUNT]      default: 2000
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "os/os.h"
#include "p2p/multiaddr.h"
#include "p2p/swarm.h"

struct bench {
    struct ww_os *os;
    struct ww_env *env;
    struct ww_swarm *swarm;
    struct ww_swarm_dial dial;
    struct ww_bytes addr;
    struct ww_peer_id peer;
    uint64_t left;
    bool failed;
};

static void next(struct bench *b)
{
    if (ww_swarm_dial(b->swarm, &b->dial, &b->peer, &b->addr, 1, 0) == 0)
        return;
    b->failed = true;
    ww_os_stop(b->os);
}

static void dialed(struct ww_swarm_dial *op, ww_err err)
{
    struct bench *b = WW_CONTAINER_OF(op, struct bench, dial);
    if (err < 0) {
        fprintf(stderr, "bench_swarm: %s\n", op->diag.text);
        b->failed = true;
        ww_os_stop(b->os);
        return;
    }
    ww_swarm_disconnect(b->swarm, &b->peer);
    if (--b->left == 0)
        ww_os_stop(b->os);
    else
        next(b);
}

static double seconds(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    struct bench b = {.dial = {.done = dialed}, .left = argc > 2 ? strtoull(argv[2], NULL, 10) : 2000};
    struct ww_buf addr;
    struct ww_keypair key;
    uint8_t seed[WW_ED25519_SEED_BYTES];
    uint64_t count = b.left;
    ww_buf_init(&addr, 1024);
    if (argc < 2 || count == 0 || ww_multiaddr_parse(ww_bytes_str(argv[1]), &addr) < 0 ||
        ww_multiaddr_peer(ww_buf_view(&addr), &b.peer, NULL) < 0) {
        fprintf(stderr, "usage: bench_swarm MULTIADDR/p2p/ID [COUNT]\n");
        return 2;
    }
    if (ww_os_new(&b.os) < 0)
        return 1;
    b.env = ww_os_env(b.os);
    b.addr = ww_buf_view(&addr);
    b.env->ops->random(b.env, seed, sizeof seed);
    ww_keypair_from_seed(&key, seed);
    struct ww_swarm_conf conf = {.env = b.env, .key = &key};
    if (ww_swarm_new(&conf, &b.swarm) < 0)
        return 1;
    double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    next(&b);
    ww_os_run(b.os);
    wall = seconds(CLOCK_MONOTONIC) - wall;
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    struct ww_swarm_stats stats;
    ww_swarm_stats(b.swarm, &stats);
    if (!b.failed && stats.upgraded != count) {
        fprintf(stderr, "bench_swarm: %llu connections instead of %llu\n", (unsigned long long)stats.upgraded,
            (unsigned long long)count);
        b.failed = true;
    }
    if (!b.failed)
        printf("{\"name\":\"connection setups\",\"unit\":\"/s\",\"ours\":%.1f,\"cpu_us\":%.1f}\n",
            (double)count / wall, cpu * 1e6 / (double)count);
    ww_swarm_free(b.swarm);
    ww_keypair_fini(&key);
    ww_os_free(b.os);
    ww_buf_fini(&addr);
    return b.failed;
}
