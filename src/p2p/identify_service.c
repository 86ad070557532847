/* Identify: tells who we are, asks who they are on each new connection, and pushes when our protocols or
 * addresses change. Everything heard is a claim: it is stored only when its key, if told, is the
 * connection's, and nothing of it is trusted. Source: libp2p specs, identify/README.md. */
#include "p2p/identify.h"
#include "p2p/swarm_internal.h"

enum { READERS_PER_CONN = 4 };
#define READ_TIMEOUT_NS (10 * WW_NS_PER_S)
#define PUSH_DELAY_NS (20 * WW_NS_PER_MS) /* changes come in bursts; one push tells them all */

struct swarm_identify {
    struct ww_swarm *sw;
    struct ww_stream_handler ask, push;
    struct ww_timer push_timer;
};

/* ---- telling ---- */

/* Loopback addresses are for this machine, private ones for its networks. */
static bool worth_telling(struct ww_bytes addr, const struct ww_netaddr *to)
{
    struct ww_netaddr a;
    struct ww_bytes rest;
    if (swarm_netaddr_is_loopback(to) || ww_multiaddr_host(addr, &a, &rest) < 0)
        return true;
    if (swarm_netaddr_is_loopback(&a))
        return false;
    return swarm_netaddr_is_private(to) || !swarm_netaddr_is_private(&a);
}

static void tell_protocols(const struct ww_swarm *sw, struct ww_identify *id)
{
    WW_LIST_FOR(it, &sw->handlers)
    {
        const struct ww_stream_handler *h = WW_LIST_ENTRY(it, struct ww_stream_handler, link);
        if (h->protocol && !h->unlisted && id->protocol_count < WW_IDENTIFY_PROTOCOLS_MAX)
            id->protocols[id->protocol_count++] = ww_bytes_str(h->protocol);
    }
}

static ww_err encode_for(struct ww_conn *c, struct ww_buf *out)
{
    struct ww_swarm *sw = c->sw;
    uint8_t key[WW_PUBKEY_ENCODED_MAX];
    struct ww_buf observed;
    struct ww_identify id = {0};
    id.public_key = ww_bytes(key, ww_pubkey_encode(&sw->key->pub, key));
    id.protocol_version = ww_bytes_str(sw->protocol_version);
    id.agent_version = ww_bytes_str(sw->agent);
    id.signed_record = ww_swarm_peer_record(sw);
    for (size_t i = 0; i < sw->addr_count && id.addr_count < WW_IDENTIFY_ADDRS_MAX; i++) {
        struct ww_bytes addr = ww_swarm_addr(sw, i);
        if (worth_telling(addr, &c->info.remote))
            id.addrs[id.addr_count++] = addr;
    }
    tell_protocols(sw, &id);
    ww_buf_init(&observed, 64);
    ww_err err = ww_multiaddr_put_netaddr(&observed, &c->info.remote, WW_MA_TCP);
    if (err == WW_OK) {
        id.observed_addr = ww_buf_view(&observed);
        err = ww_identify_encode(&id, out);
    }
    ww_buf_fini(&observed);
    return err;
}

/* The whole answer fits into the stream's queue, so it is written and let go. */
static ww_err tell(struct ww_stream *s)
{
    struct ww_buf out;
    ww_buf_init(&out, WW_IDENTIFY_TOTAL_MAX);
    ww_err err = encode_for(s->conn, &out);
    if (err == WW_OK)
        err = ww_stream_write(s, ww_buf_view(&out));
    ww_buf_fini(&out);
    if (err == WW_OK)
        ww_stream_release(s);
    else
        ww_stream_reset(s);
    return err;
}

static struct ww_stream_user *asked(
    struct ww_stream_handler *h, struct ww_stream *s, struct ww_bytes protocol)
{
    ww_err err = tell(s);
    WW_UNUSED(err); /* the stream was reset */
    return NULL;
}

static void push_all(struct ww_timer *timer)
{
    struct swarm_identify *id = WW_CONTAINER_OF(timer, struct swarm_identify, push_timer);
    struct ww_swarm *sw = id->sw;
    struct ww_bytes name = WW_BYTES_LIT(WW_IDENTIFY_PUSH_PROTOCOL);
    WW_LIST_FOR(it, &sw->connected)
    {
        const struct ww_peer_id *peer = &WW_LIST_ENTRY(it, struct swarm_peer, link)->id;
        struct ww_conn *c = conn_of_peer(sw, peer);
        struct ww_stream *s;
        if (!c || !ww_peerstore_speaks(sw->peerstore, peer, name))
            continue;
        ww_err err = stream_propose(c, &name, 1, true, &s);
        if (err == WW_OK)
            err = tell(s);
        WW_UNUSED(err); /* the next change, or the peer's next question, makes up for it */
    }
}

void identify_changed(struct ww_swarm *sw)
{
    struct swarm_identify *id = sw->identify;
    if (!id || sw->freeing || ww_list_empty(&sw->connected))
        return; /* who comes later asks */
    if (!id->push_timer.armed)
        sw->env->ops->timer_set(sw->env, &id->push_timer, swarm_now(sw) + PUSH_DELAY_NS);
}

/* ---- hearing ---- */

struct identify_read {
    struct ww_stream_user user;
    struct ww_swarm *sw;
    struct ww_timer timer;
    struct ww_identify_reader reader;
    bool push;
};

static void read_free(struct identify_read *r)
{
    r->sw->env->ops->timer_cancel(r->sw->env, &r->timer);
    ww_identify_reader_fini(&r->reader);
    ww_free(r);
}

static void store_addrs(struct ww_conn *c, const struct ww_identify *id)
{
    struct ww_swarm *sw = c->sw;
    const struct ww_peer_id *peer = &c->info.peer;
    uint64_t now_ns = swarm_now(sw);
    ww_err err = WW_OK;
    ww_peerstore_clear_addrs(sw->peerstore, peer);
    if (c->dialed_len)
        err = ww_peerstore_add_addr(
            sw->peerstore, peer, ww_bytes(c->dialed, c->dialed_len), now_ns, WW_PEERSTORE_TTL_FOREVER);
    for (size_t i = 0; err != WW_ENOMEM && i < id->addr_count && i < WW_PEERSTORE_ADDRS_MAX; i++) {
        struct ww_bytes addr = id->addrs[i];
        struct ww_peer_id named;
        if (ww_multiaddr_check(addr) < 0 || !worth_telling(addr, &c->info.remote))
            continue;
        if (ww_multiaddr_peer(addr, &named, &addr) == WW_OK && !ww_peer_id_eq(&named, peer))
            continue;
        err = ww_peerstore_add_addr(sw->peerstore, peer, addr, now_ns, WW_PEERSTORE_TTL_FOREVER);
    }
}

static bool key_fits(const struct ww_conn *c, struct ww_bytes encoded)
{
    struct ww_pubkey key;
    return encoded.len == 0 ||
        (ww_pubkey_decode(encoded, &key) == WW_OK && ww_peer_id_matches(&c->info.peer, &key));
}

static ww_err store_names(struct ww_conn *c, const struct ww_identify *id, bool push)
{
    struct ww_swarm *sw = c->sw;
    const struct ww_peer_id *peer = &c->info.peer;
    if (!push || id->protocol_count)
        WW_TRY(ww_peerstore_set_protocols(sw->peerstore, peer, id->protocols, id->protocol_count));
    if (!push || id->agent_version.ptr || id->protocol_version.ptr)
        WW_TRY(ww_peerstore_set_agent(sw->peerstore, peer, id->agent_version, id->protocol_version));
    return WW_OK;
}

static void heard(struct ww_conn *c, const struct ww_identify *id, bool push)
{
    struct ww_swarm *sw = c->sw;
    const struct ww_peer_id *peer = &c->info.peer;
    char text[WW_PEER_ID_TEXT_MAX];
    if (!key_fits(c, id->public_key) || store_names(c, id, push) < 0)
        return;
    if (!push || id->addr_count)
        store_addrs(c, id);
    if (id->signed_record.len && ww_peerstore_set_record(sw->peerstore, peer, id->signed_record) < 0)
        return; /* no memory for what comes next either */
    struct ww_swarm_identity told = {
        .peer = peer,
        .agent = ww_peerstore_agent(sw->peerstore, peer),
        .protocol_version = ww_peerstore_protocol_version(sw->peerstore, peer),
    };
    if (id->observed_addr.len && ww_multiaddr_check(id->observed_addr) == WW_OK)
        told.observed_addr = id->observed_addr;
    WW_TRACE(sw->env->trace, SWARM_IDENTIFIED, ww_tv_str(ww_peer_id_format(peer, text)),
        ww_tv_text(told.agent), ww_tv_u64(id->protocol_count));
    swarm_tell_identified(sw, &told);
}

static size_t read_data(struct ww_stream_user *user, struct ww_bytes data)
{
    struct identify_read *r = WW_CONTAINER_OF(user, struct identify_read, user);
    if (ww_identify_reader_feed(&r->reader, data) < 0) {
        ww_stream_reset(user->stream);
        read_free(r);
    }
    return data.len;
}

static void read_eof(struct ww_stream_user *user)
{
    struct identify_read *r = WW_CONTAINER_OF(user, struct identify_read, user);
    struct ww_conn *c = user->stream->conn;
    struct ww_identify id = {0};
    ww_err err = ww_identify_reader_finish(&r->reader, &id);
    ww_stream_release(user->stream);
    if (err == WW_OK)
        heard(c, &id, r->push);
    read_free(r);
}

static void read_closed(struct ww_stream_user *user, ww_err err)
{
    read_free(WW_CONTAINER_OF(user, struct identify_read, user));
}

static void read_timed_out(struct ww_timer *timer)
{
    struct identify_read *r = WW_CONTAINER_OF(timer, struct identify_read, timer);
    ww_stream_reset(r->user.stream);
    read_free(r);
}

static const struct ww_stream_events read_events = {
    .data = read_data,
    .eof = read_eof,
    .closed = read_closed,
};

static struct identify_read *read_new(struct ww_swarm *sw, bool push)
{
    struct identify_read *r = WW_NEW(struct identify_read);
    if (!r)
        return NULL;
    r->user.events = &read_events;
    r->sw = sw;
    r->push = push;
    r->timer.fired = read_timed_out;
    ww_identify_reader_init(&r->reader);
    sw->env->ops->timer_set(sw->env, &r->timer, swarm_now(sw) + READ_TIMEOUT_NS);
    return r;
}

static unsigned read_count(const struct ww_conn *c)
{
    unsigned count = 0;
    WW_LIST_FOR(it, &c->streams)
    {
        const struct ww_stream *s = WW_LIST_ENTRY(it, struct ww_stream, link);
        count += s->user && s->user->events == &read_events;
    }
    return count;
}

static struct ww_stream_user *pushed(
    struct ww_stream_handler *h, struct ww_stream *s, struct ww_bytes protocol)
{
    struct swarm_identify *id = WW_CONTAINER_OF(h, struct swarm_identify, push);
    if (read_count(s->conn) >= READERS_PER_CONN)
        return NULL;
    struct identify_read *r = read_new(id->sw, true);
    return r ? &r->user : NULL;
}

void identify_conn_opened(struct ww_conn *c)
{
    struct ww_bytes name = WW_BYTES_LIT(WW_IDENTIFY_PROTOCOL);
    struct ww_stream *s;
    if (!c->sw->identify)
        return;
    struct identify_read *r = read_new(c->sw, false);
    if (!r)
        return;
    if (stream_propose(c, &name, 1, true, &s) < 0)
        read_free(r);
    else
        ww_stream_bind(s, &r->user);
}

/* ---- life ---- */

ww_err identify_start(struct ww_swarm *sw)
{
    struct swarm_identify *id = WW_NEW(struct swarm_identify);
    if (!id)
        return WW_ENOMEM;
    id->sw = sw;
    id->ask = (struct ww_stream_handler){.protocol = WW_IDENTIFY_PROTOCOL, .opened = asked};
    id->push = (struct ww_stream_handler){.protocol = WW_IDENTIFY_PUSH_PROTOCOL, .opened = pushed};
    id->push_timer.fired = push_all;
    sw->identify = id;
    WW_TRY(ww_swarm_handle(sw, &id->ask));
    return ww_swarm_handle(sw, &id->push);
}

void identify_stop(struct ww_swarm *sw)
{
    if (!sw->identify)
        return;
    sw->env->ops->timer_cancel(sw->env, &sw->identify->push_timer);
    ww_free(sw->identify);
    sw->identify = NULL;
}
