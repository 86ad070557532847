/* RPC to a node: a stream of ours is a connection, whose bootstrap is a terminal for the peer at its other
 * end. */
#include "node/node_int.h"
#include "service/view.h"

#define SESSIONS_MAX 1024
#define SESSIONS_PER_PEER 16

struct ww_node_session {
    struct ww_list link;
    struct ww_node *node;
    struct ww_peer_id peer;
    struct ww_link rpc;
};

static void session_free(struct ww_node_session *s)
{
    ww_list_remove(&s->link);
    s->node->session_count--;
    ww_link_fini(&s->rpc);
    ww_free(s);
}

static void session_closed(struct ww_link *link, ww_err err, const char *reason)
{
    struct ww_node_session *s = WW_CONTAINER_OF(link, struct ww_node_session, rpc);
    char peer[WW_PEER_ID_TEXT_MAX];
    WW_UNUSED(err);
    WW_TRACE(
        s->node->env->trace, RPC_CONN_DOWN, ww_tv_str(ww_peer_id_format(&s->peer, peer)), ww_tv_str(reason));
    session_free(s);
}

static bool may_open(const struct ww_node *node, const struct ww_peer_id *peer)
{
    unsigned count = 0;
    if (node->leaving || node->session_count >= SESSIONS_MAX)
        return false;
    WW_LIST_FOR(it, &node->sessions)
    count += ww_peer_id_eq(&WW_LIST_ENTRY(it, struct ww_node_session, link)->peer, peer);
    return count < SESSIONS_PER_PEER;
}

static struct ww_stream_user *session_open(
    struct ww_node *node, struct ww_stream *stream, struct ww_bytes protocol, bool packed)
{
    const struct ww_peer_id *peer = ww_stream_peer(stream);
    struct ww_cap *terminal;
    if (!may_open(node, peer))
        return NULL;
    struct ww_node_session *s = WW_NEW(struct ww_node_session);
    if (!s)
        return NULL;
    s->node = node;
    s->peer = *peer;
    if (ww_terminal_new(&node->terminal, peer, &terminal) < 0) {
        ww_free(s);
        return NULL;
    }
    ww_list_push_back(&node->sessions, &s->link);
    node->session_count++;
    ww_err err = ww_link_init(&s->rpc, &node->vat, stream, terminal, packed, session_closed);
    ww_cap_unref(terminal);
    if (err < 0) {
        session_free(s);
        return NULL;
    }
    char text[WW_PEER_ID_TEXT_MAX];
    WW_TRACE(node->env->trace, RPC_CONN_UP, ww_tv_str(ww_peer_id_format(peer, text)), ww_tv_text(protocol));
    return &s->rpc.user;
}

static struct ww_stream_user *opened_packed(
    struct ww_stream_handler *h, struct ww_stream *stream, struct ww_bytes protocol)
{
    return session_open(WW_CONTAINER_OF(h, struct ww_node, packed_handler), stream, protocol, true);
}

static struct ww_stream_user *opened_plain(
    struct ww_stream_handler *h, struct ww_stream *stream, struct ww_bytes protocol)
{
    return session_open(WW_CONTAINER_OF(h, struct ww_node, plain_handler), stream, protocol, false);
}

ww_err ww_node_serve_start(struct ww_node *node)
{
    WW_TRY(ww_vat_init(&node->vat, node->env));
    WW_TRY(ww_view_new(node->env, node->vat.rpc, node->routing, &node->view));
    node->terminal = (struct ww_terminal_conf){
        .env = node->env,
        .vat = node->vat.rpc,
        .policy = node->policy ? node->policy : &ww_auth_allow_all,
        .self = *ww_swarm_id(node->swarm),
        .server = node->server,
        .host = node->host,
        .view = node->view,
    };
    ww_node_protocol(node->ns, true, node->protocols[0]);
    ww_node_protocol(node->ns, false, node->protocols[1]);
    node->packed_handler =
        (struct ww_stream_handler){.protocol = node->protocols[0], .opened = opened_packed};
    node->plain_handler = (struct ww_stream_handler){.protocol = node->protocols[1], .opened = opened_plain};
    WW_TRY(ww_swarm_handle(node->swarm, &node->packed_handler));
    node->handling = 1;
    WW_TRY(ww_swarm_handle(node->swarm, &node->plain_handler));
    node->handling = 2;
    return 0;
}

void ww_node_serve_stop(struct ww_node *node)
{
    if (node->handling > 0)
        ww_swarm_unhandle(node->swarm, &node->packed_handler);
    if (node->handling > 1)
        ww_swarm_unhandle(node->swarm, &node->plain_handler);
    node->handling = 0;
    while (!ww_list_empty(&node->sessions))
        session_free(WW_LIST_ENTRY(node->sessions.next, struct ww_node_session, link));
    ww_cap_unref(node->view);
    node->view = NULL;
    ww_vat_fini(&node->vat);
}
