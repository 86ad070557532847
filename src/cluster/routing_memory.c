/* What is remembered of peers that left, against replayed heartbeats: a cache of fixed size, four ways a set,
 * keyed by the keyed hash of the peer id. See routing.h, rule 2. */
#include "cluster/routing_int.h"

#define WAYS 4

static struct departed *departed_set(const struct ww_routing *t, uint64_t hash)
{
    return &t->departed[(hash >> 32) % (t->conf.remember_max / WAYS) * WAYS];
}

static struct departed *departed_find(const struct ww_routing *t, uint64_t hash, uint64_t now_ns)
{
    if (!t->departed)
        return NULL;
    struct departed *set = departed_set(t, hash);
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].peer == hash && set[i].until_ns > now_ns)
            return &set[i];
    }
    return NULL;
}

ww_err departed_admit(
    struct ww_routing *t, uint64_t hash, uint64_t now_ns, uint64_t server, uint64_t seq, bool *ret_back)
{
    const struct departed *d = departed_find(t, hash, now_ns);
    *ret_back = false;
    if (!d || seq > d->seq_max)
        return 0;
    if (server == d->server || d->stepped_back || seq == d->seq_max)
        return WW_ESTALE;
    *ret_back = true;
    return 0;
}

void departed_mark_back(struct ww_routing *t, uint64_t hash, uint64_t now_ns)
{
    struct departed *d = departed_find(t, hash, now_ns);
    if (d)
        d->stepped_back = true;
}

void departed_remember(struct ww_routing *t, uint64_t hash, uint64_t now_ns, uint64_t server, uint64_t seq)
{
    if (!t->departed) {
        t->departed = ww_calloc(t->conf.remember_max, sizeof *t->departed);
        if (!t->departed)
            return; /* then a replay can bring the peer back for one TTL: no harm to others */
        t->bytes += t->conf.remember_max * sizeof *t->departed;
    }
    struct departed *d = departed_find(t, hash, now_ns);
    if (!d) {
        struct departed *set = departed_set(t, hash);
        d = set;
        for (size_t i = 1; i < WAYS; i++) {
            if (set[i].until_ns < d->until_ns)
                d = &set[i];
        }
        *d = (struct departed){.peer = hash};
    }
    d->server = server;
    d->seq = seq;
    if (seq > d->seq_max) {
        d->seq_max = seq;
        d->stepped_back = false;
    }
    d->until_ns = now_ns + t->conf.remember_ms * WW_NS_PER_MS;
}
