/* ww peer — who is at an address: dial, identify, ping, list protocols. */
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/log.h"
#include "node/identity.h"
#include "os/os.h"
#include "p2p/multiaddr.h"
#include "p2p/ping.h"
#include "p2p/swarm.h"

struct probe {
    struct ww_os *os;
    struct ww_env *env;
    const struct ww_cli_args *args;
    struct ww_cli_log log;
    struct ww_os_signals signals;
    struct ww_swarm *swarm;
    struct ww_swarm_sub sub;
    struct ww_swarm_dial dial;
    struct ww_ping ping;
    struct ww_timer deadline;
    struct ww_peer_id peer;
    uint64_t dialed_ns;
    unsigned pings_done;
    bool identified, pinged;
    uint64_t *rtts_ns;
    struct ww_buf addr; /* binary */
    int code;
};

static void fail(struct probe *p, const char *text)
{
    fprintf(stderr, "ww peer: %s\n", text);
    p->code = 1;
    ww_os_stop(p->os);
}

static void caught(struct ww_os_signals *signals, int signum)
{
    struct probe *p = WW_CONTAINER_OF(signals, struct probe, signals);
    WW_UNUSED(signum);
    p->code = 1;
    ww_os_stop(p->os);
}

static void print_list_json(
    const char *name, struct ww_bytes (*item)(struct probe *, size_t), struct probe *p)
{
    struct ww_buf out;
    ww_buf_init(&out, 1 << 20);
    printf(",\"%s\":[", name);
    for (size_t i = 0; item(p, i).len; i++) {
        ww_buf_clear(&out);
        if (ww_json_put_string(&out, item(p, i)) == 0)
            printf("%s%.*s", i ? "," : "", (int)ww_buf_len(&out), (char *)ww_buf_data(&out));
    }
    printf("]");
    ww_buf_fini(&out);
}

static struct ww_bytes protocol_at(struct probe *p, size_t i)
{
    return ww_peerstore_protocol(ww_swarm_peerstore(p->swarm), &p->peer, i);
}

static struct ww_bytes addr_at(struct probe *p, size_t i)
{
    static char text[512];
    struct ww_bytes addr = ww_peerstore_addr(ww_swarm_peerstore(p->swarm), &p->peer, ww_env_now(p->env), i);
    return addr.len ? ww_bytes_str(ww_multiaddr_text(addr, text, sizeof text)) : addr;
}

/* What a peer says of itself must not drive the terminal. */
static void print_safe(struct ww_bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        putchar(text.ptr[i] >= ' ' && text.ptr[i] != 0x7f ? text.ptr[i] : '?');
}

static void report_text(struct probe *p)
{
    char peer[WW_PEER_ID_TEXT_MAX];
    struct ww_peerstore *store = ww_swarm_peerstore(p->swarm);
    printf("peer      %s\nagent     ", ww_peer_id_format(&p->peer, peer));
    print_safe(ww_peerstore_agent(store, &p->peer));
    printf("\nconnected %.3f ms\n", (double)p->dialed_ns / 1e6);
    for (unsigned i = 0; i < p->pings_done; i++)
        printf("ping %-4u %.3f ms\n", i + 1, (double)p->rtts_ns[i] / 1e6);
    for (size_t i = 0; addr_at(p, i).len; i++)
        printf("%s%s\n", i ? "          " : "addresses ", (const char *)addr_at(p, i).ptr);
    for (size_t i = 0; protocol_at(p, i).len; i++) {
        printf("%s", i ? "          " : "protocols ");
        print_safe(protocol_at(p, i));
        putchar('\n');
    }
}

static void report_json(struct probe *p)
{
    char peer[WW_PEER_ID_TEXT_MAX];
    struct ww_buf agent;
    ww_buf_init(&agent, 8192);
    ww_ignore(ww_json_put_string(&agent, ww_peerstore_agent(ww_swarm_peerstore(p->swarm), &p->peer)));
    printf("{\"peer\":\"%s\",\"agent\":%.*s,\"connected_ms\":%.3f,\"ping_ms\":[",
        ww_peer_id_format(&p->peer, peer), (int)ww_buf_len(&agent), (char *)ww_buf_data(&agent),
        (double)p->dialed_ns / 1e6);
    for (unsigned i = 0; i < p->pings_done; i++)
        printf("%s%.3f", i ? "," : "", (double)p->rtts_ns[i] / 1e6);
    printf("]");
    print_list_json("addresses", addr_at, p);
    print_list_json("protocols", protocol_at, p);
    printf("}\n");
    ww_buf_fini(&agent);
}

static void step(struct probe *p)
{
    if (!p->identified || !p->pinged)
        return;
    if (p->args->json)
        report_json(p);
    else
        report_text(p);
    ww_os_stop(p->os);
}

static void pong(struct ww_ping *ping, ww_err err)
{
    struct probe *p = WW_CONTAINER_OF(ping, struct probe, ping);
    if (err < 0 && err != WW_ENOPROTO) {
        fail(p, ww_err_text(err));
        return;
    }
    if (err == 0)
        p->rtts_ns[p->pings_done++] = ping->rtt_ns;
    if (err == 0 && p->pings_done < p->args->pings) {
        if (ww_ping_send(ping, p->swarm, &p->peer, p->args->timeout_ns) < 0)
            fail(p, "cannot ping: out of memory");
        return;
    }
    p->pinged = true; /* a peer without ping is still worth a report */
    step(p);
}

static void identified(struct ww_swarm_sub *sub, const struct ww_swarm_identity *identity)
{
    struct probe *p = WW_CONTAINER_OF(sub, struct probe, sub);
    WW_UNUSED(identity);
    if (!p->identified) {
        p->identified = true;
        step(p);
    }
}

static void dialed(struct ww_swarm_dial *op, ww_err err)
{
    struct probe *p = WW_CONTAINER_OF(op, struct probe, dial);
    if (err < 0) {
        fail(p, op->diag.text[0] ? op->diag.text : ww_err_text(err));
        return;
    }
    p->peer = op->peer;
    p->dialed_ns = ww_env_now(p->env) - p->dialed_ns;
    p->ping.done = pong;
    p->pinged = p->args->pings == 0;
    if (!p->pinged && ww_ping_send(&p->ping, p->swarm, &p->peer, p->args->timeout_ns) < 0)
        fail(p, "cannot ping: out of memory");
}

static void time_over(struct ww_timer *timer)
{
    struct probe *p = WW_CONTAINER_OF(timer, struct probe, deadline);
    fail(p,
        !p->peer.len ? "no connection in time; raise --timeout or check the address"
                     : "connected, but no answer in time");
}

static ww_err start(struct probe *p, struct ww_keypair *key, struct ww_diag *diag)
{
    bool created;
    ww_buf_init(&p->addr, 1024);
    if (ww_multiaddr_parse(ww_bytes_str(p->args->rest[0]), &p->addr) < 0)
        return ww_diag_set(diag, WW_EINVAL,
            "'%s' is no multiaddr; write, for example, /ip4/10.0.0.7/tcp/4001", p->args->rest[0]);
    if (p->args->data)
        WW_TRY(ww_identity_load(p->env, p->args->data, key, &created, diag));
    else
        ww_identity_fresh(p->env, key);
    struct ww_swarm_conf conf = {.env = p->env, .key = key};
    ww_err err = ww_swarm_new(&conf, &p->swarm);
    if (err < 0)
        return ww_diag_set(diag, err, "cannot start: %s", ww_err_text(err));
    p->sub.identified = identified;
    ww_swarm_subscribe(p->swarm, &p->sub);
    p->dial.done = dialed;
    p->dialed_ns = ww_env_now(p->env);
    struct ww_bytes addr = ww_buf_view(&p->addr);
    struct ww_peer_id peer;
    bool named = ww_multiaddr_peer(addr, &peer, NULL) == 0;
    err = ww_swarm_dial(p->swarm, &p->dial, named ? &peer : NULL, &addr, 1, p->args->timeout_ns);
    if (err < 0)
        return ww_diag_set(diag, err, "cannot dial %s: %s", p->args->rest[0],
            p->dial.diag.text[0] ? p->dial.diag.text : ww_err_text(err));
    p->deadline.fired = time_over;
    p->env->ops->timer_set(p->env, &p->deadline, ww_env_now(p->env) + p->args->timeout_ns);
    return 0;
}

int ww_cmd_peer(const struct ww_cli_args *args)
{
    struct probe p = {.args = args, .signals = {caught}};
    struct ww_keypair key;
    struct ww_diag diag = {0};
    memset(&key, 0, sizeof key);
    if (args->rest_count != 1) {
        fprintf(stderr, "ww peer: give one address. See 'ww help peer'.\n");
        return 2;
    }
    p.rtts_ns = args->pings <= 100000 ? ww_calloc(args->pings + 1, sizeof *p.rtts_ns) : NULL;
    if (!p.rtts_ns) {
        fprintf(stderr, "ww peer: --pings: at most 100000\n");
        return 2;
    }
    if (ww_os_new(&p.os) < 0 || ww_os_signals_watch(p.os, &p.signals) < 0) {
        fprintf(stderr, "ww peer: cannot start: out of memory or descriptors\n");
        return 1;
    }
    p.env = ww_os_env(p.os);
    ww_cli_log_init(&p.log, p.env, stderr, args->json, true);
    p.env->trace = args->debug ? &p.log.trace : NULL;
    ww_err err = start(&p, &key, &diag);
    if (err < 0)
        fprintf(stderr, "ww peer: %s\n", diag.text);
    else
        ww_os_run(p.os);
    p.env->ops->timer_cancel(p.env, &p.deadline);
    ww_ping_close(&p.ping);
    ww_swarm_free(p.swarm);
    ww_os_free(p.os);
    ww_keypair_fini(&key);
    ww_buf_fini(&p.addr);
    ww_free(p.rtts_ns);
    return err == WW_EINVAL ? 2 : err < 0 ? 1 : p.code;
}
