#include <stdio.h>

#include "p2p/multiaddr.h"
#include "tool.h"

/* ---- ping ---- */

static void ping_next(struct tool *t)
{
    ww_err err = ww_ping_send(&t->ping, t->swarm, &t->dial.peer, t->o.timeout_ns);
    if (err < 0)
        tool_fail(t, "ping: %s", ww_err_text(err));
}

static void ping_done(struct ww_ping *ping, ww_err err)
{
    struct tool *t = WW_CONTAINER_OF(ping, struct tool, ping);
    if (err < 0) {
        tool_fail(t, "ping: %s", ww_err_text(err));
        return;
    }
    printf("PING %llu %.3f ms\n", (unsigned long long)(t->o.pings - t->pings_left + 1),
        (double)ping->rtt_ns / 1e6);
    if (--t->pings_left)
        ping_next(t);
    else
        tool_stop(t, TOOL_DONE);
}

static void ping_cleanup(struct tool *t)
{
    ww_ping_close(&t->ping);
}

static void ping_run(struct tool *t)
{
    t->ping.done = ping_done;
    t->pings_left = t->o.pings;
    t->cleanup = ping_cleanup;
    if (t->pings_left)
        ping_next(t);
    else
        tool_stop(t, TOOL_DONE);
}

/* ---- identify ---- */

static ww_err put(struct ww_buf *out, const char *text)
{
    return ww_buf_append(out, ww_bytes_str(text));
}

static ww_err put_member(struct ww_buf *out, const char *name, struct ww_bytes value)
{
    WW_TRY(put(out, "\""));
    WW_TRY(put(out, name));
    WW_TRY(put(out, "\":"));
    WW_TRY(ww_json_put_string(out, value));
    return put(out, ",");
}

static ww_err put_protocols(struct tool *t, const struct ww_peer_id *peer, struct ww_buf *out)
{
    struct ww_bytes name;
    WW_TRY(put(out, "\"protocols\":["));
    for (size_t i = 0; (name = ww_peerstore_protocol(ww_swarm_peerstore(t->swarm), peer, i)).len; i++) {
        WW_TRY(put(out, i ? "," : ""));
        WW_TRY(ww_json_put_string(out, name));
    }
    return put(out, "],");
}

static ww_err put_addrs(struct tool *t, const struct ww_peer_id *peer, struct ww_buf *out)
{
    struct ww_bytes addr;
    char text[512];
    WW_TRY(put(out, "\"listen_addrs\":["));
    uint64_t now_ns = ww_env_now(t->env);
    for (size_t i = 0; (addr = ww_peerstore_addr(ww_swarm_peerstore(t->swarm), peer, now_ns, i)).len; i++) {
        WW_TRY(put(out, i ? "," : ""));
        WW_TRY(ww_json_put_string(out, ww_bytes_str(ww_multiaddr_text(addr, text, sizeof text))));
    }
    return put(out, "]}");
}

static ww_err put_identity(struct tool *t, const struct ww_swarm_identity *identity, struct ww_buf *out)
{
    char id[WW_PEER_ID_TEXT_MAX];
    WW_TRY(put(out, "{"));
    WW_TRY(put_member(out, "peer", ww_bytes_str(ww_peer_id_format(identity->peer, id))));
    WW_TRY(put_member(out, "agent", identity->agent));
    WW_TRY(put_member(out, "protocol_version", identity->protocol_version));
    WW_TRY(put_protocols(t, identity->peer, out));
    return put_addrs(t, identity->peer, out);
}

static void identified(struct ww_swarm_sub *sub, const struct ww_swarm_identity *identity)
{
    struct tool *t = WW_CONTAINER_OF(sub, struct tool, sub);
    struct ww_buf out;
    ww_buf_init(&out, 1 << 20);
    ww_err err = put_identity(t, identity, &out);
    if (err == WW_OK)
        printf("%.*s\n", (int)ww_buf_len(&out), (const char *)ww_buf_data(&out));
    ww_buf_fini(&out);
    tool_stop(t, err == WW_OK ? TOOL_DONE : TOOL_FAILED);
}

/* ---- perf ---- */

static void perf_done(struct ww_perf *perf, ww_err err)
{
    struct tool *t = WW_CONTAINER_OF(perf, struct tool, perf);
    if (err < 0) {
        tool_fail(t, "perf: %s", ww_err_text(err));
        return;
    }
    printf("{\"bytes_up\":%llu,\"bytes_down\":%llu,\"up_s\":%.6f,\"down_s\":%.6f}\n",
        (unsigned long long)perf->bytes_up, (unsigned long long)perf->bytes_down, (double)perf->up_ns / 1e9,
        (double)perf->down_ns / 1e9);
    tool_stop(t, TOOL_DONE);
}

static void perf_cleanup(struct tool *t)
{
    ww_perf_cancel(&t->perf);
}

static void perf_run(struct tool *t)
{
    t->perf.done = perf_done;
    t->cleanup = perf_cleanup;
    ww_err err = ww_perf_run(&t->perf, t->swarm, &t->dial.peer, t->o.bytes_up, t->o.bytes_down);
    if (err < 0)
        tool_fail(t, "perf: %s", ww_err_text(err));
}

/* ---- dial ---- */

static void dialed(struct ww_swarm_dial *dial, ww_err err)
{
    struct tool *t = WW_CONTAINER_OF(dial, struct tool, dial);
    if (err < 0)
        tool_fail(t, "%s", dial->diag.text);
    else if (strcmp(t->o.test, "ping") == 0)
        ping_run(t);
    else if (strcmp(t->o.test, "perf") == 0)
        perf_run(t);
    else if (strcmp(t->o.test, "gossip") == 0)
        tool_gossip_run(t);
    /* identify needs no more than the connection: its answer is an event */
}

bool tool_dial(struct tool *t)
{
    struct ww_buf buf;
    ww_buf_init(&buf, WW_MULTIADDR_MAX_BYTES);
    ww_err err = ww_multiaddr_parse(ww_bytes_str(t->o.target), &buf);
    if (err < 0) {
        fprintf(stderr, "ww-peer: %s is no multiaddr\n", t->o.target);
        t->result = TOOL_USAGE;
    } else {
        if (strcmp(t->o.test, "identify") == 0) {
            t->sub.identified = identified;
            ww_swarm_subscribe(t->swarm, &t->sub);
        }
        struct ww_bytes addr = ww_buf_view(&buf);
        t->dial.done = dialed;
        err = ww_swarm_dial(t->swarm, &t->dial, NULL, &addr, 1, t->o.timeout_ns);
        if (err < 0)
            fprintf(stderr, "ww-peer: %s\n", t->dial.diag.text[0] ? t->dial.diag.text : ww_err_text(err));
    }
    ww_buf_fini(&buf);
    return err == WW_OK;
}
