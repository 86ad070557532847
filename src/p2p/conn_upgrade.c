/* From a fresh socket to a secure, multiplexed connection. The dialer's first flight holds the multistream
 * header, the proposal of `/noise` and Noise's first message: nothing else is on offer, so the answer need
 * not be waited for. The muxer is settled inside Noise where both sides can, else by another multistream
 * exchange on the encrypted channel. Sources: libp2p specs, connections/README.md, noise/README.md,
 * connections/inlined-muxer-negotiation.md. */
#include "p2p/swarm_internal.h"

static const struct ww_bytes security_protocols[] = {{(const uint8_t *)"/noise", 6}};
static const struct ww_bytes muxer_protocols[] = {{(const uint8_t *)"/yamux/1.0.0", 12}};

/* A peer that goes on proposing is cut off by multistream's own limits. */
static bool match_security(struct ww_mss_matcher *matcher, struct ww_bytes token)
{
    return ww_bytes_eq(token, security_protocols[0]);
}

static bool match_muxer(struct ww_mss_matcher *matcher, struct ww_bytes token)
{
    return ww_bytes_eq(token, muxer_protocols[0]);
}

const char *conn_state_name(enum conn_state state)
{
    static const char *const names[] = {"connect", "security", "noise", "muxer", "open", "closing"};
    return names[state];
}

static void mss_end(struct conn_upgrade *up)
{
    if (up->mss_live)
        ww_mss_fini(&up->mss);
    up->mss_live = false;
}

void conn_upgrade_fini(struct ww_conn *c)
{
    if (!c->up)
        return;
    mss_end(c->up);
    if (c->up->noise_live)
        ww_noise_fini(&c->up->noise);
    ww_free(c->up);
    c->up = NULL;
}

/* Moves what multistream wants to send into the connection's output. */
static ww_err mss_output(struct ww_conn *c)
{
    struct ww_bytes out = ww_mss_output(&c->up->mss);
    WW_TRY(conn_pre_put(c, out));
    ww_mss_sent(&c->up->mss, out.len);
    return WW_OK;
}

static ww_err noise_output(struct ww_conn *c)
{
    struct ww_bytes out = ww_noise_output(&c->up->noise);
    WW_TRY(conn_pre_put(c, out));
    ww_noise_sent(&c->up->noise, out.len);
    return WW_OK;
}

static ww_err mss_begin(struct ww_conn *c, const struct ww_bytes *protocol,
    bool (*match)(struct ww_mss_matcher *, struct ww_bytes))
{
    struct conn_upgrade *up = c->up;
    if (c->info.outbound) {
        WW_TRY(ww_mss_init_initiator(&up->mss, protocol, 1));
    } else {
        up->matcher = (struct ww_mss_matcher){.match = match};
        WW_TRY(ww_mss_init_responder(&up->mss, &up->matcher));
    }
    up->mss_live = true;
    return mss_output(c);
}

static ww_err noise_begin(struct ww_conn *c)
{
    struct ww_swarm *sw = c->sw;
    struct conn_upgrade *up = c->up;
    struct ww_noise_conf conf = {
        .role = c->info.outbound ? WW_NOISE_INITIATOR : WW_NOISE_RESPONDER,
        .identity = &sw->noise,
        .expected = up->expected.len ? &up->expected : NULL,
        .muxers = sw->muxers,
        .muxer_count = sw->muxer_count,
    };
    sw->env->ops->random(sw->env, conf.ephemeral_secret, sizeof conf.ephemeral_secret);
    ww_err err = ww_noise_init(&up->noise, &conf);
    ww_wipe(conf.ephemeral_secret, sizeof conf.ephemeral_secret);
    WW_TRY(err);
    up->noise_live = true;
    return noise_output(c);
}

ww_err conn_upgrade_start(struct ww_conn *c)
{
    if (!c->up)
        c->up = WW_NEW(struct conn_upgrade);
    if (!c->up)
        return WW_ENOMEM;
    c->state = CONN_SECURITY;
    WW_TRY(mss_begin(c, security_protocols, match_security));
    return c->info.outbound ? noise_begin(c) : WW_OK;
}

/* Feeds the multistream exchange that is going on. 1: agreed. */
static ww_err mss_step(struct ww_conn *c, struct ww_bytes in, size_t *ret_used)
{
    ww_err agreed = ww_mss_feed(&c->up->mss, in, ret_used);
    WW_TRY(mss_output(c));
    WW_TRY(agreed);
    if (agreed == 1)
        mss_end(c->up);
    return agreed;
}

static ww_err noise_finished(struct ww_conn *c)
{
    WW_TRY(ww_noise_split(&c->up->noise, &c->session));
    c->session_live = true;
    if (c->up->noise.muxer >= 0)
        return conn_opened(c);
    c->state = CONN_MUXER;
    return mss_begin(c, muxer_protocols, match_muxer);
}

ww_err conn_upgrade_raw(struct ww_conn *c, struct ww_bytes in, size_t *ret_used)
{
    size_t used = 0, total = 0;
    if (c->state == CONN_SECURITY) {
        ww_err agreed = mss_step(c, in, &used);
        WW_TRY(agreed);
        total += used;
        in = ww_bytes_skip(in, used);
        if (agreed == 1) {
            c->state = CONN_NOISE;
            if (!c->info.outbound)
                WW_TRY(noise_begin(c));
        }
    }
    if (c->state == CONN_NOISE && in.len) {
        used = 0;
        ww_err err = ww_noise_feed(&c->up->noise, in, &used);
        WW_TRY(noise_output(c));
        WW_TRY(err);
        total += used;
        if (ww_noise_done(&c->up->noise))
            WW_TRY(noise_finished(c));
    }
    *ret_used = total;
    return WW_OK;
}

ww_err conn_upgrade_plain(struct ww_conn *c, struct ww_bytes in, size_t *ret_used)
{
    ww_err agreed = mss_step(c, in, ret_used);
    WW_TRY(agreed);
    return agreed == 1 ? conn_opened(c) : WW_OK;
}
