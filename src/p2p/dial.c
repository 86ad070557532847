/* Dialing a peer: all addresses known for it, best first, a few at once, the next one when one fails or takes
 * long. A `struct ww_dial` is the work; operations of callers hang on it and share it. It ends with the first
 * connection that is open and known, or when nothing is left to try. Ranking: loopback, then private, then
 * public networks, because the nearer address fails faster (RFC 8305's idea of staggered attempts). */
#include "p2p/swarm_internal.h"

#include <stdio.h>

enum {
    TARGETS_MAX = 48,
    NOTES_MAX = 512,
};
#define STAGGER_NEAR_NS (30 * WW_NS_PER_MS)
#define STAGGER_FAR_NS (250 * WW_NS_PER_MS)

struct dial_target {
    struct ww_netaddr addr;
    uint8_t rank;
    bool tried;
    uint16_t len;
    uint8_t text[WW_PEERSTORE_ADDR_BYTES_MAX]; /* the multiaddr it came from */
};

/* A name being resolved. */
struct dial_name {
    struct ww_resolve resolve;
    struct ww_dial *dial;
    struct ww_list link;
    uint16_t port, len;
    uint8_t text[WW_PEERSTORE_ADDR_BYTES_MAX];
};

struct ww_dial {
    struct ww_swarm *sw;
    struct ww_list link;     /* in sw->dials */
    struct ww_list waiting;  /* in sw->dials_waiting */
    struct swarm_peer *peer; /* NULL: whoever answers */
    struct ww_list ops, attempts, names;
    struct dial_target targets[TARGETS_MAX];
    size_t target_count, attempt_count;
    uint64_t next_at_ns; /* when the next attempt may start beside the others */
    struct ww_timer timer;
    ww_err err; /* the most telling so far */
    char notes[NOTES_MAX];
};

static void dial_step(struct ww_dial *d);

/* ---- operations ---- */

static void op_settled(struct ww_task *task)
{
    struct ww_swarm_dial *op = WW_CONTAINER_OF(task, struct ww_swarm_dial, task);
    struct ww_swarm *sw = op->swarm;
    sw->env->ops->timer_cancel(sw->env, &op->timer);
    ww_list_remove(&op->link);
    op->swarm = NULL;
    op->done(op, op->result);
}

/* Off its dial; `done` comes from the loop. */
static void op_settle(struct ww_swarm_dial *op, ww_err result)
{
    struct ww_swarm *sw = op->swarm;
    struct ww_dial *d = op->dial;
    char id[WW_PEER_ID_TEXT_MAX];
    op->dial = NULL;
    op->result = result;
    if (result < 0) {
        sw->stats.dial_failures++;
        const char *who = op->peer.len ? ww_peer_id_format(&op->peer, id) : "peer";
        ww_diag_set(&op->diag, result, "dial %s: %s", who, d && d->notes[0] ? d->notes : ww_err_text(result));
    }
    ww_list_remove(&op->link);
    ww_list_push_back(&sw->ops, &op->link);
    sw->env->ops->post(sw->env, &op->task);
}

static void op_timed_out(struct ww_timer *timer);

static void op_start(struct ww_swarm *sw, struct ww_swarm_dial *op, const struct ww_peer_id *peer)
{
    op->swarm = sw;
    op->dial = NULL;
    op->peer = peer ? *peer : (struct ww_peer_id){0};
    op->diag.code = WW_OK;
    op->diag.text[0] = 0;
    op->timer = (struct ww_timer){.fired = op_timed_out};
    ww_task_init(&op->task, op_settled);
    ww_list_push_back(&sw->ops, &op->link);
}

static void op_forget(struct ww_swarm_dial *op)
{
    op->swarm->env->ops->timer_cancel(op->swarm->env, &op->timer);
    ww_list_remove(&op->task.link);
    ww_list_remove(&op->link);
    op->dial = NULL;
    op->swarm = NULL;
}

/* ---- what was tried, for people ---- */

/* A local or late failure says less than what the other side did. */
static unsigned telling(ww_err err)
{
    switch (err) {
    case WW_OK:
        return 0;
    case WW_ECANCELED:
        return 1;
    case WW_EUNSUPPORTED:
    case WW_EAGAIN:
        return 2;
    case WW_ETIMEOUT:
    case WW_EUNREACH:
        return 3;
    case WW_EPEERID:
    case WW_EDENIED:
        return 5;
    default:
        return 4;
    }
}

static void dial_note(struct ww_dial *d, struct ww_bytes addr, ww_err err, const char *text)
{
    char a[160];
    size_t at = strlen(d->notes);
    if (telling(err) > telling(d->err))
        d->err = err;
    ww_multiaddr_text(addr, a, sizeof a);
    snprintf(
        d->notes + at, sizeof d->notes - at, "%s%s: %s", at ? "; " : "", a, text ? text : ww_err_text(err));
}

/* ---- the work ---- */

static struct ww_dial *dial_new(struct ww_swarm *sw, struct swarm_peer *peer);

static void names_cancel(struct ww_dial *d)
{
    struct ww_list *link;
    while ((link = ww_list_pop_front(&d->names))) {
        struct dial_name *n = WW_LIST_ENTRY(link, struct dial_name, link);
        d->sw->env->ops->resolve_cancel(d->sw->env, &n->resolve);
        ww_free(n);
    }
}

static void dial_free(struct ww_dial *d)
{
    struct ww_swarm *sw = d->sw;
    WW_ASSERT(ww_list_empty(&d->ops) && ww_list_empty(&d->attempts));
    names_cancel(d);
    sw->env->ops->timer_cancel(sw->env, &d->timer);
    ww_list_remove(&d->link);
    ww_list_remove(&d->waiting);
    if (d->peer) {
        d->peer->dial = NULL;
        swarm_peer_put(sw, d->peer);
    }
    ww_free(d);
}

static void attempt_detach(struct ww_conn *c)
{
    struct ww_dial *d = c->dial;
    c->dial = NULL;
    ww_list_remove(&c->dial_link);
    d->attempt_count--;
    d->sw->connecting--;
}

/* Ends it: operations get `result`. Attempts that have begun to speak to a peer may go on when `spare` says
 * so: the other side may at this moment be giving up its own in favour of ours. */
static void dial_end(struct ww_dial *d, ww_err result, const struct ww_peer_id *peer, bool spare)
{
    struct ww_list *link;
    while (!ww_list_empty(&d->attempts)) {
        struct ww_conn *c = WW_LIST_ENTRY(d->attempts.next, struct ww_conn, dial_link);
        attempt_detach(c);
        if (!spare || c->state == CONN_CONNECTING)
            conn_close(c, WW_ECANCELED);
    }
    while ((link = d->ops.next) != &d->ops) {
        struct ww_swarm_dial *op = WW_LIST_ENTRY(link, struct ww_swarm_dial, link);
        if (peer)
            op->peer = *peer;
        op_settle(op, result);
    }
    struct ww_swarm *sw = d->sw;
    dial_free(d);
    dial_wake_waiting(sw);
}

static void op_timed_out(struct ww_timer *timer)
{
    struct ww_swarm_dial *op = WW_CONTAINER_OF(timer, struct ww_swarm_dial, timer);
    struct ww_dial *d = op->dial;
    if (!d)
        return; /* settled already */
    op_settle(op, WW_ETIMEOUT);
    if (ww_list_empty(&d->ops))
        dial_end(d, WW_ETIMEOUT, NULL, false);
}

void dial_satisfied(struct ww_dial *d, struct ww_conn *c)
{
    dial_end(d, WW_OK, &c->info.peer, true);
}

/* ---- attempts ---- */

static ww_err attempt_start(struct ww_dial *d, struct dial_target *t)
{
    struct ww_swarm *sw = d->sw;
    struct ww_conn *c = conn_new(sw, true);
    if (!c)
        return WW_ENOMEM;
    c->up = WW_NEW(struct conn_upgrade);
    c->dialed = ww_alloc(t->len);
    ww_err err = c->up && c->dialed ? WW_OK : WW_ENOMEM;
    if (err == WW_OK) {
        memcpy(c->dialed, t->text, t->len);
        c->dialed_len = t->len;
        c->info.remote = t->addr;
        if (d->peer)
            c->up->expected = d->peer->id;
        err = sw->env->ops->tcp_connect(sw->env, &t->addr, &c->tcp);
    }
    c->dial = d;
    ww_list_push_back(&d->attempts, &c->dial_link);
    d->attempt_count++;
    sw->connecting++;
    sw->stats.dials++;
    if (err < 0) {
        c->tcp.tcp = NULL;
        conn_close(c, err);
        return WW_OK; /* reported by its task, like any other failure */
    }
    sw->env->ops->timer_set(sw->env, &c->timer, swarm_now(sw) + sw->limits.connect_timeout_ns);
    return WW_OK;
}

static struct dial_target *best_target(struct ww_dial *d)
{
    struct dial_target *best = NULL;
    for (size_t i = 0; i < d->target_count; i++) {
        struct dial_target *t = &d->targets[i];
        if (!t->tried && (!best || t->rank < best->rank))
            best = t;
    }
    return best;
}

static void dial_step(struct ww_dial *d)
{
    struct ww_swarm *sw = d->sw;
    uint64_t now_ns = swarm_now(sw);
    struct dial_target *t;
    while ((t = best_target(d)) && d->attempt_count < sw->limits.dials_parallel) {
        if (sw->connecting >= sw->limits.dials_total) {
            ww_list_remove(&d->waiting);
            ww_list_push_back(&sw->dials_waiting, &d->waiting);
            return;
        }
        if (d->attempt_count > 0 && now_ns < d->next_at_ns) {
            sw->env->ops->timer_set(sw->env, &d->timer, d->next_at_ns);
            return;
        }
        t->tried = true;
        d->next_at_ns = now_ns + (t->rank < 2 ? STAGGER_NEAR_NS : STAGGER_FAR_NS);
        ww_err err = attempt_start(d, t);
        if (err < 0)
            dial_note(d, ww_bytes(t->text, t->len), err, NULL);
    }
    if (!t && d->attempt_count == 0 && ww_list_empty(&d->names))
        dial_end(d, d->err < 0 ? d->err : WW_EUNREACH, NULL, false);
}

static void dial_timer(struct ww_timer *timer)
{
    dial_step(WW_CONTAINER_OF(timer, struct ww_dial, timer));
}

void dial_wake_waiting(struct ww_swarm *sw)
{
    while (!sw->freeing && sw->connecting < sw->limits.dials_total) {
        struct ww_list *link = ww_list_pop_front(&sw->dials_waiting);
        if (!link)
            return;
        dial_step(WW_LIST_ENTRY(link, struct ww_dial, waiting));
    }
}

void dial_attempt_done(struct ww_conn *c, ww_err err)
{
    struct ww_dial *d = c->dial;
    struct ww_swarm *sw = c->sw;
    struct ww_bytes addr = ww_bytes(c->dialed, c->dialed_len);
    char id[WW_PEER_ID_TEXT_MAX], text[160];
    attempt_detach(c);
    if (err == WW_OK) {
        backoff_succeeded(sw->backoff, addr);
        dial_end(d, WW_OK, &c->info.peer, false);
        return;
    }
    if (err != WW_ECANCELED && err != WW_ENOMEM) /* those are our own doing */
        backoff_failed(sw->backoff, addr, swarm_now(sw));
    WW_TRACE(sw->env->trace, SWARM_DIAL_FAIL, ww_tv_str(d->peer ? ww_peer_id_format(&d->peer->id, id) : ""),
        ww_tv_str(conn_addr_text(c, text, sizeof text)), ww_tv_err(err));
    dial_note(d, addr, err, NULL);
    if (sw->freeing)
        return;
    dial_step(d);
    dial_wake_waiting(sw);
}

/* ---- targets ---- */

static void add_target(struct ww_dial *d, const struct ww_netaddr *addr, struct ww_bytes text)
{
    struct ww_swarm *sw = d->sw;
    static const uint8_t any[16] = {0};
    if (addr->port == 0 || memcmp(addr->ip, any, addr->family == 4 ? 4 : 16) == 0) {
        dial_note(d, text, WW_EUNSUPPORTED, "no address to connect to");
        return;
    }
    if (swarm_addr_is_own(sw, addr)) {
        dial_note(d, text, WW_EUNSUPPORTED, "our own address");
        return;
    }
    for (size_t i = 0; i < d->target_count; i++) {
        const struct ww_netaddr *have = &d->targets[i].addr;
        if (have->family == addr->family && have->port == addr->port && have->scope == addr->scope &&
            memcmp(have->ip, addr->ip, sizeof have->ip) == 0)
            return;
    }
    if (d->target_count == TARGETS_MAX)
        return;
    struct dial_target *t = &d->targets[d->target_count++];
    *t = (struct dial_target){.addr = *addr, .len = (uint16_t)text.len};
    t->rank = swarm_netaddr_is_loopback(addr) ? 0 : swarm_netaddr_is_private(addr) ? 1 : 2;
    memcpy(t->text, text.ptr, text.len);
}

static void name_resolved(struct ww_resolve *resolve, ww_err err)
{
    struct dial_name *n = WW_CONTAINER_OF(resolve, struct dial_name, resolve);
    struct ww_dial *d = n->dial;
    struct ww_bytes text = ww_bytes(n->text, n->len);
    ww_list_remove(&n->link);
    if (err < 0 || resolve->count == 0)
        dial_note(d, text, err < 0 ? err : WW_ENOTFOUND, NULL);
    for (size_t i = 0; err == WW_OK && i < resolve->count; i++) {
        resolve->addrs[i].port = n->port;
        add_target(d, &resolve->addrs[i], text);
    }
    ww_free(n);
    dial_step(d);
}

static ww_err add_name(struct ww_dial *d, struct ww_bytes text)
{
    struct ww_swarm *sw = d->sw;
    struct ww_bytes name, rest;
    struct ww_multiaddr_part part;
    uint8_t family;
    char host[256];
    WW_TRY(ww_multiaddr_dns(text, &name, &family, &rest));
    if (ww_multiaddr_has(text, WW_MA_DNSADDR) || ww_multiaddr_next(&rest, &part) != 1 ||
        part.code != WW_MA_TCP || part.value.len != 2 || rest.len)
        return WW_EUNSUPPORTED;
    if (name.len == 0 || name.len >= sizeof host || memchr(name.ptr, 0, name.len))
        return WW_EINVAL;
    memcpy(host, name.ptr, name.len);
    host[name.len] = 0;
    struct dial_name *n = WW_NEW(struct dial_name);
    if (!n)
        return WW_ENOMEM;
    n->dial = d;
    n->resolve.done = name_resolved;
    n->port = ww_be16_load(part.value.ptr);
    n->len = (uint16_t)text.len;
    memcpy(n->text, text.ptr, text.len);
    ww_err err = sw->env->ops->resolve(sw->env, host, family, &n->resolve);
    if (err < 0) {
        ww_free(n);
        return err;
    }
    ww_list_push_back(&d->names, &n->link);
    return WW_OK;
}

/* `text` without /p2p. */
static void add_addr(struct ww_dial *d, struct ww_bytes text)
{
    struct ww_swarm *sw = d->sw;
    struct ww_netaddr addr;
    struct ww_bytes rest;
    uint64_t code = 0;
    if (sw->gater && sw->gater->dial && !sw->gater->dial(sw->gater, d->peer ? &d->peer->id : NULL, text)) {
        dial_note(d, text, WW_EDENIED, NULL);
        return;
    }
    ww_err err = ww_multiaddr_netaddr(text, &addr, &code, &rest);
    if (err == WW_OK && code == WW_MA_TCP && rest.len == 0) {
        add_target(d, &addr, text);
        return;
    }
    err = err == WW_OK ? WW_EUNSUPPORTED : add_name(d, text);
    if (err < 0)
        dial_note(d, text, err, err == WW_EUNSUPPORTED ? "no transport for it" : NULL);
}

static ww_err add_given(struct ww_dial *d, const struct ww_bytes *addrs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct ww_peer_id id;
        struct ww_bytes text = addrs[i], transport;
        WW_TRY(ww_multiaddr_check(text));
        if (ww_multiaddr_peer(text, &id, &transport) == WW_OK) {
            if (d->peer && !ww_peer_id_eq(&id, &d->peer->id)) {
                dial_note(d, text, WW_EPEERID, "names another peer");
                continue;
            }
            text = transport;
        }
        if (text.len == 0 || text.len > WW_PEERSTORE_ADDR_BYTES_MAX)
            dial_note(d, addrs[i], WW_EINVAL, "not an address to dial");
        else
            add_addr(d, text);
    }
    return WW_OK;
}

static void add_known(struct ww_dial *d)
{
    struct ww_swarm *sw = d->sw;
    uint64_t now_ns = swarm_now(sw);
    for (size_t i = 0; d->peer && i < WW_PEERSTORE_ADDRS_MAX; i++) {
        struct ww_bytes text = ww_peerstore_addr(sw->peerstore, &d->peer->id, now_ns, i);
        if (text.len == 0)
            return;
        if (backoff_until(sw->backoff, text, now_ns))
            dial_note(d, text, WW_EAGAIN, "failed a moment ago, waiting before the next try");
        else
            add_addr(d, text);
    }
}

static struct ww_dial *dial_new(struct ww_swarm *sw, struct swarm_peer *peer)
{
    struct ww_dial *d = WW_NEW(struct ww_dial);
    if (!d)
        return NULL;
    d->sw = sw;
    d->peer = peer;
    if (peer)
        peer->dial = d;
    d->timer.fired = dial_timer;
    ww_list_init(&d->waiting);
    ww_list_init(&d->ops);
    ww_list_init(&d->attempts);
    ww_list_init(&d->names);
    ww_list_push_back(&sw->dials, &d->link);
    return d;
}

/* ---- calls ---- */

/* The peer that the addresses name, when the caller named none. */
static bool named_peer(const struct ww_bytes *addrs, size_t count, struct ww_peer_id *ret_id)
{
    for (size_t i = 0; i < count; i++) {
        if (ww_multiaddr_check(addrs[i]) == WW_OK && ww_multiaddr_peer(addrs[i], ret_id, NULL) == WW_OK)
            return true;
    }
    return false;
}

static ww_err dial_get(struct ww_swarm *sw, const struct ww_peer_id *peer, struct ww_dial **ret_dial)
{
    struct swarm_peer *entry = NULL;
    if (peer) {
        entry = swarm_peer_get(sw, peer);
        if (!entry)
            return WW_ENOMEM;
        if (entry->dial) {
            *ret_dial = entry->dial;
            return WW_OK;
        }
    }
    *ret_dial = dial_new(sw, entry);
    if (!*ret_dial && entry)
        swarm_peer_put(sw, entry);
    return *ret_dial ? WW_OK : WW_ENOMEM;
}

/* A new dial that has nothing to try never started: the caller is told at once. */
static ww_err dial_nothing(struct ww_swarm *sw, struct ww_swarm_dial *op, struct ww_dial *d, ww_err err)
{
    char id[WW_PEER_ID_TEXT_MAX];
    ww_diag_set(&op->diag, err, "dial %s: %s", op->peer.len ? ww_peer_id_format(&op->peer, id) : "peer",
        d->notes[0] ? d->notes : "no address known");
    op_forget(op);
    dial_free(d);
    return err;
}

ww_err ww_swarm_dial(struct ww_swarm *sw, struct ww_swarm_dial *op, const struct ww_peer_id *peer,
    const struct ww_bytes *addrs, size_t addr_count, uint64_t timeout_ns)
{
    struct ww_peer_id named;
    if (sw->freeing)
        return WW_ECLOSED;
    if (!peer && named_peer(addrs, addr_count, &named))
        peer = &named;
    op->diag.text[0] = 0;
    if (peer && (peer->len == 0 || ww_peer_id_eq(peer, &sw->id)))
        return ww_diag_set(&op->diag, WW_EINVAL, "dial: that is ourselves");
    op_start(sw, op, peer);
    struct ww_conn *c = peer ? conn_of_peer(sw, peer) : NULL;
    if (c) {
        op_settle(op, WW_OK);
        return WW_OK;
    }
    struct ww_dial *d = NULL;
    ww_err err = dial_get(sw, peer, &d);
    if (err < 0) {
        op_forget(op);
        return err;
    }
    err = add_given(d, addrs, addr_count);
    if (err == WW_OK && ww_list_empty(&d->ops))
        add_known(d);
    bool idle = ww_list_empty(&d->ops);
    if (idle && (err < 0 || (d->target_count == 0 && ww_list_empty(&d->names))))
        return dial_nothing(sw, op, d, err < 0 ? err : WW_EUNREACH);
    ww_list_remove(&op->link);
    ww_list_push_back(&d->ops, &op->link);
    op->dial = d;
    if (timeout_ns == 0)
        timeout_ns = sw->limits.dial_timeout_ns;
    sw->env->ops->timer_set(sw->env, &op->timer, swarm_now(sw) + timeout_ns);
    dial_step(d);
    return WW_OK;
}

void ww_swarm_dial_cancel(struct ww_swarm_dial *op)
{
    if (!op->swarm)
        return;
    struct ww_dial *d = op->dial;
    op_forget(op);
    if (d && ww_list_empty(&d->ops))
        dial_end(d, WW_ECANCELED, NULL, false);
}

void dial_free_all(struct ww_swarm *sw)
{
    while (!ww_list_empty(&sw->dials))
        dial_end(WW_LIST_ENTRY(sw->dials.next, struct ww_dial, link), WW_ECANCELED, NULL, false);
    while (!ww_list_empty(&sw->ops)) {
        struct ww_swarm_dial *op = WW_LIST_ENTRY(sw->ops.next, struct ww_swarm_dial, link);
        op_forget(op);
        op->done(op, WW_ECANCELED);
    }
}
