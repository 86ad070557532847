/* bench/rpc/bench_rpc.h — the object that bench_rpc calls, and the ways to it. */
#ifndef WW_BENCH_RPC_H
#define WW_BENCH_RPC_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

#include "base/base.h"
#include "bench_rpc.capnp.rpc.h"
#include "ww/rpc_fd.h"
#include "ww/rpc_pair.h"

struct bench {
    struct ww_rpc_vat *vat; /* the caller's */
    struct ww_cap *cap;
    void (*turn)(struct bench *b);
    uint64_t completed;

    struct ww_rpc_vat *other; /* local, memory */
    struct ww_cap *self;
    struct ww_rpc_pair *pair;
    struct ww_rpc_fd *fd; /* unix, tcp */
    pid_t peer;           /* the process of the object; 0: this one */
};

/* `on`: "local", "memory", "unix" or "tcp". Leaves the program if it cannot. */
void bench_open(struct bench *b, const char *on);
void bench_close(struct bench *b);

/* An error ends the program. */
static inline void must(ww_err err)
{
    if (err >= 0)
        return;
    fprintf(stderr, "bench_rpc: %s\n", ww_err_text(err));
    exit(1);
}

#endif
