/* bench/rpc/cases.h — what is measured, for both implementations: the programs differ in how a case is run,
 * not in what it is. One round runs a case so often that it takes a while; the best of several rounds counts,
 * in CPU time of all processes that take part, which are pinned to one CPU: that is what wall time would be
 * on a machine with nothing else to do, and wall time is told beside it. */
#ifndef WW_BENCH_RPC_CASES_H
#define WW_BENCH_RPC_CASES_H

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "count.h"

enum bench_kind { KIND_PING, KIND_CHAIN, KIND_ECHO, KIND_STREAM, KIND_CAPS, KIND_NEXT };
enum bench_unit { UNIT_US, UNIT_PER_S, UNIT_MB_S };
enum bench_on { ON_LOCAL = 1, ON_MEMORY = 2, ON_UNIX = 4, ON_TCP = 8 };

struct bench_case {
    const char *name;
    enum bench_kind kind;
    unsigned size; /* calls at once, bytes, capabilities */
    enum bench_unit unit;
    unsigned on;
    bool allocs; /* also counted, where both ends are in this process */
};

static const struct bench_case bench_cases[] = {
    {"ping-1", KIND_PING, 1, UNIT_US, ON_LOCAL | ON_MEMORY | ON_UNIX | ON_TCP, true},
    {"ping-16", KIND_PING, 16, UNIT_PER_S, ON_UNIX, false},
    {"ping-64", KIND_PING, 64, UNIT_PER_S, ON_MEMORY | ON_UNIX | ON_TCP, false},
    {"ping-256", KIND_PING, 256, UNIT_PER_S, ON_UNIX, false},
    {"pipeline-10", KIND_CHAIN, 10, UNIT_US, ON_MEMORY | ON_UNIX, false},
    {"next-cap", KIND_NEXT, 1, UNIT_US, ON_MEMORY, true},
    {"caps-1000", KIND_CAPS, 1000, UNIT_US, ON_MEMORY | ON_UNIX, false},
    {"echo-64KiB", KIND_ECHO, 64 << 10, UNIT_MB_S, ON_MEMORY | ON_UNIX, false},
    {"stream-1KiB", KIND_STREAM, 1 << 10, UNIT_MB_S, ON_MEMORY | ON_UNIX, false},
    {"stream-16KiB", KIND_STREAM, 16 << 10, UNIT_MB_S, ON_MEMORY | ON_UNIX | ON_TCP, false},
    {"stream-64KiB", KIND_STREAM, 64 << 10, UNIT_MB_S, ON_MEMORY | ON_UNIX, false},
};

enum { ECHOES_AT_ONCE = 16, ROUNDS = 5 };

/* Who takes part besides this process; 0: nobody. */
struct bench_clock {
    pid_t peer;
    const char *field; /* of the printed line: "ours", "peer" */
    const char *transport;
};

static inline uint64_t bench_cpu_ns(const struct bench_clock *c)
{
    uint64_t ns = count_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    clockid_t id;
    if (c->peer && clock_getcpuclockid(c->peer, &id) == 0)
        ns += count_clock_ns(id);
    return ns;
}

static inline double bench_figure(const struct bench_case *k, double ns)
{
    switch (k->unit) {
    case UNIT_US:
        return ns / 1e3;
    case UNIT_PER_S:
        return 1e9 / ns;
    default:
        return k->size * 1e3 / ns;
    }
}

static inline void bench_print(
    const struct bench_clock *c, const struct bench_case *k, double cpu_ns, double wall_ns)
{
    static const char *const units[] = {"us", "calls/s", "MB/s"};
    printf("{\"name\":\"rpc/%s/%s\",\"unit\":\"%s\",\"%s\":%.6g,\"wall\":%.6g}\n", c->transport, k->name,
        units[k->unit], c->field, bench_figure(k, cpu_ns), bench_figure(k, wall_ns));
    fflush(stdout);
}

/* `run` does the case `count` times. */
static inline void bench_measure(const struct bench_clock *c, const struct bench_case *k, uint64_t for_ns,
    void (*run)(void *ctx, const struct bench_case *k, uint64_t count), void *ctx)
{
    uint64_t count = k->kind == KIND_PING ? k->size : 1, spent = 0;
    for (;;) { /* also warms up */
        uint64_t start = bench_cpu_ns(c);
        run(ctx, k, count);
        spent = bench_cpu_ns(c) - start;
        if (spent * 3 > for_ns / ROUNDS)
            break;
        count *= 2;
    }
    count = count * (for_ns / ROUNDS) / spent + 1;
    double cpu = 1e18, wall = 1e18;
    uint64_t allocs = 0;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t cpu_start = bench_cpu_ns(c), start = count_clock_ns(CLOCK_MONOTONIC);
        allocs = count_allocs;
        run(ctx, k, count);
        allocs = count_allocs - allocs;
        double n = (double)count;
        double here = (double)(bench_cpu_ns(c) - cpu_start) / n,
               passed = (double)(count_clock_ns(CLOCK_MONOTONIC) - start) / n;
        cpu = here < cpu ? here : cpu;
        wall = passed < wall ? passed : wall;
    }
    bench_print(c, k, cpu, wall);
    if (k->allocs && !c->peer)
        printf("{\"name\":\"rpc/%s/%s allocations\",\"unit\":\"per call\",\"%s\":%.6g}\n", c->transport,
            k->name, c->field, (double)allocs / (double)count);
}

static inline const struct bench_case *bench_find(const char *name)
{
    for (size_t i = 0; i < sizeof bench_cases / sizeof bench_cases[0]; i++) {
        if (strcmp(bench_cases[i].name, name) == 0)
            return &bench_cases[i];
    }
    return NULL;
}

/* This process and those that it starts stay on the CPU where it is. */
static inline void bench_pin(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)sched_getcpu(), &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        perror("not pinned");
}

#endif
