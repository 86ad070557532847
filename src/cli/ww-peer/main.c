#include <stdarg.h>
#include <stdio.h>

#include "p2p/multiaddr.h"
#include "tool.h"

void tool_stop(struct tool *t, enum tool_exit result)
{
    t->result = result;
    ww_os_stop(t->os);
}

void tool_fail(struct tool *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("ww-peer: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    tool_stop(t, TOOL_FAILED);
}

static void on_trace(
    struct ww_trace *trace, enum ww_trace_event event, const struct ww_trace_val *vals, size_t count)
{
    struct ww_buf line;
    ww_buf_init(&line, 4096);
    if (ww_trace_format_text(&line, event, vals, count) == WW_OK)
        fprintf(stderr, "%.*s\n", (int)ww_buf_len(&line), (const char *)ww_buf_data(&line));
    ww_buf_fini(&line);
}

static void on_signal(struct ww_os_signals *signals, int signum)
{
    struct tool *t = WW_CONTAINER_OF(signals, struct tool, signals);
    tool_stop(t, t->o.target ? TOOL_FAILED : TOOL_DONE);
}

static void on_timeout(struct ww_timer *timer)
{
    struct tool *t = WW_CONTAINER_OF(timer, struct tool, timeout);
    tool_gossip_timed_out(t);
    tool_fail(t, "%s: timed out after %g s", t->o.test, (double)t->o.timeout_ns / 1e9);
}

static void make_key(struct tool *t)
{
    uint8_t seed[WW_ED25519_SEED_BYTES] = {0};
    if (t->o.seeded) {
        for (unsigned i = 0; i < 4; i++)
            seed[i] = (uint8_t)(t->o.seed >> (8 * i));
    } else {
        t->env->ops->random(t->env, seed, sizeof seed);
    }
    ww_keypair_from_seed(&t->key, seed);
    ww_wipe(seed, sizeof seed);
}

static bool start(struct tool *t)
{
    struct ww_swarm_conf conf = {
        .env = t->env,
        .key = &t->key,
        .agent = t->o.agent,
        .protocol_version = "ipfs/0.1.0",
        .serve_perf = true,
    };
    ww_err err = ww_swarm_new(&conf, &t->swarm);
    if (err < 0) {
        fprintf(stderr, "ww-peer: %s\n", ww_err_text(err));
        return false;
    }
    if (!t->o.target)
        return tool_gossip_serve(t) && tool_listen(t);
    t->timeout.fired = on_timeout;
    t->env->ops->timer_set(t->env, &t->timeout, ww_env_now(t->env) + t->o.timeout_ns);
    return (strcmp(t->o.test, "gossip") != 0 || tool_gossip_serve(t)) && tool_dial(t);
}

static enum tool_exit run(struct tool *t)
{
    if (ww_os_new(&t->os) < 0) {
        fputs("ww-peer: no event loop\n", stderr);
        return TOOL_FAILED;
    }
    t->env = ww_os_env(t->os);
    if (t->o.debug) {
        t->trace.emit = on_trace;
        t->env->trace = &t->trace;
    }
    t->signals.caught = on_signal;
    make_key(t);
    t->result = TOOL_FAILED;
    if (ww_os_signals_watch(t->os, &t->signals) == WW_OK && start(t))
        ww_os_run(t->os);
    if (t->cleanup)
        t->cleanup(t);
    ww_swarm_free(t->swarm);
    ww_keypair_fini(&t->key);
    ww_os_free(t->os);
    return fflush(stdout) ? TOOL_FAILED : t->result;
}

int main(int argc, char *argv[])
{
    static struct tool t;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!tool_options_parse(argc, argv, &t.o))
        return TOOL_USAGE;
    if (t.o.help) {
        tool_help();
        return TOOL_DONE;
    }
    if (strcmp(t.o.security, "noise") != 0 && strcmp(t.o.security, "both") != 0) {
        fprintf(stderr, "ww-peer: cannot do security %s\n", t.o.security);
        return strcmp(t.o.security, "tls") == 0 ? TOOL_CANNOT : TOOL_USAGE;
    }
    if (strcmp(t.o.muxer, "yamux") != 0) {
        fprintf(stderr, "ww-peer: cannot do muxer %s\n", t.o.muxer);
        return TOOL_CANNOT;
    }
    return (int)run(&t);
}
