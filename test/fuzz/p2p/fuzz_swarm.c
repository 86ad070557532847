/* A whole swarm, in simulated time, against one hostile socket. First byte even: the rest goes onto the wire
 * as it is. Odd: the handshake is done in order first, and the rest goes inside it, so that Yamux, the
 * negotiation of streams and the services (identify, push, ping, perf) meet it. Second byte: how the bytes
 * are cut and how much time passes between. Whatever happens, an honest dialer must still be served
 * afterwards. */
#include "p2p/multiaddr.h"
#include "p2p/multistream.h"
#include "p2p/noise.h"
#include "p2p/swarm.h"
#include "sim/sim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PORT 4001
#define REPLY_BYTES 28 /* multistream's header and `/noise` */

struct villain {
    struct ww_tcp_user user;
    struct ww_env *env;
    struct ww_noise noise;
    struct ww_noise_session session;
    struct ww_buf out;
    size_t skip;
    bool live, secure, secured, dead;
};

static void flush(struct villain *v)
{
    struct ww_bytes view = ww_buf_view(&v->out);
    struct ww_iovec iov = {view.ptr, view.len};
    size_t taken = 0;
    if (!v->live || v->dead || view.len == 0)
        return;
    if (v->env->ops->tcp_write(v->env, v->user.tcp, &iov, 1, &taken) < 0)
        v->dead = true;
    ww_buf_consume(&v->out, taken);
}

static void put(struct villain *v, struct ww_bytes bytes)
{
    WW_ASSERT(ww_buf_append(&v->out, bytes) == WW_OK);
}

static void put_noise(struct villain *v)
{
    struct ww_bytes out = ww_noise_output(&v->noise);
    put(v, out);
    ww_noise_sent(&v->noise, out.len);
}

static void connected(struct ww_tcp_user *user, ww_err err)
{
    struct villain *v = WW_CONTAINER_OF(user, struct villain, user);
    WW_ASSERT(err == WW_OK);
    v->live = true;
    if (v->secure) {
        WW_ASSERT(ww_mss_put_token(&v->out, WW_BYTES_LIT("/multistream/1.0.0")) == WW_OK);
        WW_ASSERT(ww_mss_put_token(&v->out, WW_BYTES_LIT("/noise")) == WW_OK);
        put_noise(v);
    }
    flush(v);
}

static void arrived(struct ww_tcp_user *user, uint8_t *ptr, size_t len)
{
    struct villain *v = WW_CONTAINER_OF(user, struct villain, user);
    size_t skip = len < v->skip ? len : v->skip, used = 0;
    v->skip -= skip;
    if (!v->secure || v->secured || skip == len)
        return;
    WW_ASSERT(ww_noise_feed(&v->noise, ww_bytes(ptr + skip, len - skip), &used) == WW_OK);
    put_noise(v);
    if (ww_noise_done(&v->noise)) {
        WW_ASSERT(ww_noise_split(&v->noise, &v->session) == WW_OK);
        v->secured = true;
    }
    flush(v);
}

static void writable(struct ww_tcp_user *user)
{
    flush(WW_CONTAINER_OF(user, struct villain, user));
}

static void closed(struct ww_tcp_user *user, ww_err err)
{
    WW_CONTAINER_OF(user, struct villain, user)->dead = true;
}

static const struct ww_tcp_events events = {
    .connected = connected,
    .data = arrived,
    .writable = writable,
    .closed = closed,
};

static void villain_start(struct villain *v, struct ww_env *env, const struct ww_noise_identity *identity,
    const struct ww_netaddr *to)
{
    static const struct ww_bytes muxers[] = {{(const uint8_t *)"/yamux/1.0.0", 12}};
    struct ww_noise_conf conf = {
        .role = WW_NOISE_INITIATOR,
        .identity = identity,
        .muxers = muxers,
        .muxer_count = 1,
        .ephemeral_secret = {9},
    };
    v->env = env;
    v->user.events = &events;
    v->skip = REPLY_BYTES;
    ww_buf_init(&v->out, 4 << 20);
    WW_ASSERT(ww_noise_init(&v->noise, &conf) == WW_OK);
    WW_ASSERT(env->ops->tcp_connect(env, to, &v->user) == WW_OK);
}

/* Says one piece, in the channel or bare. */
static void say(struct villain *v, struct ww_bytes piece)
{
    uint8_t frame[2048];
    if (v->dead)
        return;
    if (!v->secure) {
        put(v, piece);
    } else {
        WW_ASSERT(ww_noise_seal(&v->session, &piece, 1, frame) == WW_OK);
        put(v, ww_bytes(frame, piece.len + WW_NOISE_OVERHEAD_BYTES));
    }
    flush(v);
}

static void honest_done(struct ww_swarm_dial *op, ww_err err)
{
    WW_ASSERT(err == WW_OK);
    op->peer.len = 0; /* our mark that it came */
}

static struct ww_swarm *swarm_on(struct ww_sim_node *node, const struct ww_keypair *key)
{
    struct ww_swarm *sw;
    struct ww_swarm_conf conf = {.env = ww_sim_node_env(node), .key = key, .serve_perf = true};
    WW_ASSERT(ww_swarm_new(&conf, &sw) == WW_OK);
    return sw;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t seeds[3][32] = {{1}, {2}, {3}};
    struct ww_keypair keys[3];
    struct ww_sim_node *nodes[3];
    struct ww_noise_identity identity;
    struct ww_sim *sim;
    struct ww_sim_conf conf;
    struct ww_buf addr;
    if (size < 2 || size > 1 << 16)
        return 0;
    ww_sim_conf_default(&conf, 1);
    WW_ASSERT(ww_sim_new(&conf, &sim) == WW_OK);
    for (size_t i = 0; i < 3; i++) {
        ww_keypair_from_seed(&keys[i], seeds[i]);
        WW_ASSERT(ww_sim_node_add(sim, "", 0, &nodes[i]) == WW_OK);
    }
    WW_ASSERT(ww_noise_identity_init(&identity, &keys[2], seeds[2]) == WW_OK);
    ww_buf_init(&addr, 64);
    struct ww_netaddr net = ww_sim_node_addr(nodes[0]);
    net.port = PORT;
    WW_ASSERT(ww_multiaddr_put_netaddr(&addr, &net, WW_MA_TCP) == WW_OK);
    struct ww_bytes view = ww_buf_view(&addr);
    struct ww_swarm *server = swarm_on(nodes[0], &keys[0]), *honest = swarm_on(nodes[1], &keys[1]);
    WW_ASSERT(ww_swarm_listen(server, view, NULL) == WW_OK);

    struct villain v = {.secure = data[0] & 1};
    villain_start(&v, ww_sim_node_env(nodes[2]), &identity, &net);
    ww_sim_run_for(sim, 20 * WW_NS_PER_MS);
    WW_ASSERT(v.live && v.secured == v.secure);
    size_t step = 1 + (size_t)(data[1] & 0x7f) * 8;
    uint64_t pause_ns = (data[1] & 0x80 ? 1000 : 1) * WW_NS_PER_MS;
    for (size_t at = 2; at < size; at += step) {
        say(&v, ww_bytes(data + at, size - at < step ? size - at : step));
        if (at / step < 64)
            ww_sim_run_for(sim, pause_ns);
    }
    ww_sim_run_for(sim, 100 * WW_NS_PER_MS);

    struct ww_swarm_dial op = {.done = honest_done};
    WW_ASSERT(ww_swarm_dial(honest, &op, ww_swarm_id(server), &view, 1, 0) == WW_OK);
    ww_sim_run_for(sim, 100 * WW_NS_PER_MS);
    WW_ASSERT(op.peer.len == 0 && ww_swarm_connected(server, ww_swarm_id(honest)));

    if (v.user.tcp)
        v.env->ops->tcp_close(v.env, v.user.tcp);
    if (v.secured)
        ww_noise_session_fini(&v.session);
    ww_noise_fini(&v.noise);
    ww_buf_fini(&v.out);
    ww_swarm_free(server);
    ww_swarm_free(honest);
    ww_sim_free(sim);
    ww_noise_identity_fini(&identity);
    ww_buf_fini(&addr);
    for (size_t i = 0; i < 3; i++)
        ww_keypair_fini(&keys[i]);
    return 0;
}
