#include "cluster/pulse.h"

#include "schema/cluster.capnp.h"

/* Go's sender never clears its message: segments full of old texts, but the way to the fields stays short. */
static const struct ww_msg_limits pulse_limits = {
    .words = WW_PULSE_BYTES_MAX / 8, .segments = 512, .depth = 8};

static ww_err pulse_check(const struct ww_pulse *pulse)
{
    size_t total = 0;
    if (pulse->host.len > WW_ROUTING_HOST_MAX || pulse->meta_count > WW_ROUTING_META_MAX)
        return WW_ELIMIT;
    for (size_t i = 0; i < pulse->meta_count; i++) {
        if (pulse->meta[i].len > WW_ROUTING_META_BYTES_MAX - total)
            return WW_ELIMIT;
        total += pulse->meta[i].len;
    }
    return 0;
}

ww_err ww_pulse_encode(const struct ww_pulse *pulse, struct ww_buf *out)
{
    struct ww_msg msg;
    uint8_t *room;
    if (pulse_check(pulse) < 0)
        return WW_EINVAL;
    ww_msg_init(&msg, NULL);
    struct ww_Heartbeat_b b = ww_Heartbeat_b_root(&msg);
    ww_Heartbeat_set_ttl(b, pulse->ttl_ms);
    ww_Heartbeat_set_server(b, pulse->server);
    ww_Heartbeat_set_host(b, pulse->host);
    struct ww_lb meta = ww_Heartbeat_init_meta(b, (uint32_t)pulse->meta_count);
    for (uint32_t i = 0; i < pulse->meta_count; i++)
        ww_pb_set_text(ww_lb_ptr(meta, i), pulse->meta[i]);
    ww_err err = ww_msg_err(&msg);
    if (err == 0)
        err = ww_buf_reserve(out, ww_msg_pack_bound(&msg), &room);
    if (err == 0)
        ww_buf_commit(out, ww_msg_pack(&msg, room));
    ww_msg_fini(&msg);
    return err;
}

ww_err ww_pulse_decode(struct ww_msg *msg, struct ww_bytes payload, struct ww_pulse *ret_pulse)
{
    if (payload.len > WW_PULSE_BYTES_MAX)
        return WW_ELIMIT;
    WW_TRY(ww_msg_open_packed(msg, payload, &pulse_limits));
    if (ww_pr_kind(ww_msg_root(msg)) != WW_PTR_STRUCT)
        return WW_EMALFORMED;
    struct ww_Heartbeat_r r = ww_Heartbeat_r_root(msg);
    struct ww_lr meta = ww_Heartbeat_meta(r);
    if (meta.count > WW_ROUTING_META_MAX)
        return WW_ELIMIT;
    struct ww_pulse pulse = {.ttl_ms = ww_Heartbeat_ttl(r),
        .server = ww_Heartbeat_server(r),
        .host = ww_Heartbeat_host(r),
        .meta_count = meta.count};
    for (uint32_t i = 0; i < meta.count; i++)
        pulse.meta[i] = ww_pr_text(ww_lr_ptr(meta, i));
    if (pulse.ttl_ms == 0)
        pulse.ttl_ms = WW_ROUTING_TTL_DEFAULT_MS;
    WW_TRY(ww_msg_err(msg));
    WW_TRY(pulse_check(&pulse));
    *ret_pulse = pulse;
    return 0;
}

static enum ww_pulse_verdict verdict_of(ww_err err)
{
    switch (err) {
    case WW_ENOTFOUND: /* the farewell of a peer that we did not know; others may */
        return WW_PULSE_ACCEPT;
    case WW_ESTALE:
    case WW_ELIMIT:
    case WW_EBUDGET:
    case WW_ENOMEM:
        return WW_PULSE_IGNORE;
    default:
        return err < 0 ? WW_PULSE_REJECT : WW_PULSE_ACCEPT;
    }
}

enum ww_pulse_verdict ww_pulse_apply(struct ww_routing *table, uint64_t now_ns, struct ww_msg *msg,
    struct ww_bytes from, struct ww_bytes seqno, struct ww_bytes payload, ww_err *ret_err)
{
    struct ww_pulse pulse;
    ww_err err = seqno.len == WW_PULSE_SEQNO_LEN ? ww_pulse_decode(msg, payload, &pulse) : WW_EMALFORMED;
    enum ww_pulse_verdict verdict = WW_PULSE_REJECT;
    if (err == WW_ENOMEM)
        verdict = WW_PULSE_IGNORE;
    if (err == 0) {
        uint64_t seq = ww_be64_load(seqno.ptr);
        struct ww_record_in in = {.peer = from,
            .server = pulse.server,
            .seq = seq,
            .ttl_ms = pulse.ttl_ms,
            .host = pulse.host,
            .meta = pulse.meta,
            .meta_count = pulse.meta_count};
        if (pulse.ttl_ms == WW_PULSE_FAREWELL_MS)
            err = ww_routing_leave(table, now_ns, from, pulse.server, seq);
        else
            err = ww_routing_upsert(table, now_ns, &in);
        verdict = verdict_of(err);
    }
    if (ret_err)
        *ret_err = err < 0 ? err : 0;
    return verdict;
}

/* ---- when to beat ---- */

#define BACKOFF_MAX_NS (15 * 60 * WW_NS_PER_S)

/* Uniform in [0, bound). */
static uint64_t scale(uint64_t random, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)random * bound) >> 64);
}

void ww_pulse_clock_init(struct ww_pulse_clock *c, uint64_t now_ns, uint32_t ttl_ms, uint32_t margin_ms)
{
    uint64_t ttl_ns = (ttl_ms ? ttl_ms : WW_ROUTING_TTL_DEFAULT_MS) * WW_NS_PER_MS;
    uint64_t margin_ns = margin_ms * WW_NS_PER_MS;
    *c = (struct ww_pulse_clock){.ttl_ns = ttl_ns, .next_ns = now_ns};
    c->margin_ns = margin_ns < ttl_ns / 4 ? margin_ns : ttl_ns / 4;
}

void ww_pulse_clock_sent(struct ww_pulse_clock *c, uint64_t now_ns, uint64_t random)
{
    c->failures = 0;
    c->next_ns = now_ns + c->ttl_ns / 2 + scale(random, c->ttl_ns / 2 - c->margin_ns);
}

void ww_pulse_clock_failed(struct ww_pulse_clock *c, uint64_t now_ns, uint64_t random)
{
    uint64_t delay_ns = c->ttl_ns / 2;
    for (uint32_t i = 0; i < c->failures && delay_ns < BACKOFF_MAX_NS; i++)
        delay_ns *= 2;
    delay_ns += scale(random, delay_ns / 4);
    c->failures += c->failures < UINT32_MAX;
    c->next_ns = now_ns + (delay_ns < BACKOFF_MAX_NS ? delay_ns : BACKOFF_MAX_NS);
}
