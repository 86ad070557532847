/* Meeting others: discovery while the mesh is thin, dialing whom it finds, and finding again whom a partition
 * took. */
#include "node/node_int.h"
#include "p2p/multiaddr.h"

#define DIALS_MAX 16
#define PEERS_ENOUGH 32 /* connections that discovery may bring; gossip reaches the rest */
#define LOST_FIRST_NS WW_NS_PER_S
#define LOST_GAP_MAX_NS (15 * WW_NS_PER_S)
#define LOST_FOR_NS (600 * WW_NS_PER_S)

static void dialed(struct ww_swarm_dial *op, ww_err err)
{
    struct ww_node_dial *dial = WW_CONTAINER_OF(op, struct ww_node_dial, op);
    WW_UNUSED(err); /* the swarm traced it; discovery will name the peer again */
    ww_list_remove(&dial->link);
    dial->node->dial_count--;
    ww_free(dial);
}

static void meet(
    struct ww_node *node, const struct ww_peer_id *peer, const struct ww_bytes *addrs, size_t count)
{
    if (ww_peer_id_eq(peer, ww_swarm_id(node->swarm)) || ww_swarm_connected(node->swarm, peer))
        return;
    if (node->dial_count >= DIALS_MAX || ww_swarm_conn_count(node->swarm) >= PEERS_ENOUGH)
        return;
    WW_LIST_FOR(it, &node->dials)
    {
        if (ww_peer_id_eq(&WW_LIST_ENTRY(it, struct ww_node_dial, link)->op.peer, peer))
            return;
    }
    struct ww_node_dial *dial = WW_NEW(struct ww_node_dial);
    if (!dial)
        return;
    dial->node = node;
    dial->op.done = dialed;
    if (ww_swarm_dial(node->swarm, &dial->op, peer, addrs, count, 0) < 0) {
        ww_free(dial);
        return;
    }
    dial->op.peer = *peer;
    ww_list_push_back(&node->dials, &dial->link);
    node->dial_count++;
}

static void peer_found(
    struct ww_boot_user *user, const struct ww_peer_id *peer, const struct ww_bytes *addrs, size_t addr_count)
{
    meet(WW_CONTAINER_OF(user, struct ww_node, boot_user), peer, addrs, addr_count);
}

/* ---- the lost ---- */

static void forget_lost(struct ww_node *node, struct ww_node_lost *lost)
{
    ww_list_remove(&lost->link);
    node->lost_count--;
    ww_free(lost);
}

static struct ww_node_lost *find_lost(struct ww_node *node, const struct ww_peer_id *peer)
{
    WW_LIST_FOR(it, &node->lost)
    {
        struct ww_node_lost *lost = WW_LIST_ENTRY(it, struct ww_node_lost, link);
        if (ww_peer_id_eq(&lost->peer, peer))
            return lost;
    }
    return NULL;
}

/* The last connection to a peer went. When it is (or was just now) a member, it may be a partition: keep
 * trying. */
static void peer_down(struct ww_swarm_sub *sub, const struct ww_peer_id *peer)
{
    struct ww_node *node = WW_CONTAINER_OF(sub, struct ww_node, swarm_sub);
    struct ww_record record;
    if (node->leaving || find_lost(node, peer) ||
        ww_routing_get(node->routing, ww_peer_id_view(peer), &record) < 0)
        return;
    if (node->lost_count >= WW_NODE_LOST_MAX)
        forget_lost(node, WW_LIST_ENTRY(node->lost.next, struct ww_node_lost, link));
    struct ww_node_lost *lost = WW_NEW(struct ww_node_lost);
    if (!lost)
        return;
    uint64_t now = ww_env_now(node->env);
    *lost =
        (struct ww_node_lost){.peer = *peer, .next_ns = now + LOST_FIRST_NS, .until_ns = now + LOST_FOR_NS};
    ww_list_push_back(&node->lost, &lost->link);
    node->lost_count++;
}

static void peer_up(struct ww_swarm_sub *sub, const struct ww_peer_id *peer)
{
    struct ww_node *node = WW_CONTAINER_OF(sub, struct ww_node, swarm_sub);
    struct ww_node_lost *lost = find_lost(node, peer);
    if (lost)
        forget_lost(node, lost);
}

static void seek_lost(struct ww_node *node, uint64_t now)
{
    WW_LIST_FOR_SAFE(it, &node->lost)
    {
        struct ww_node_lost *lost = WW_LIST_ENTRY(it, struct ww_node_lost, link);
        if (now >= lost->until_ns) {
            forget_lost(node, lost);
        } else if (now >= lost->next_ns) {
            uint64_t gap = LOST_FIRST_NS << (lost->tries < 4 ? lost->tries : 4);
            gap = gap < LOST_GAP_MAX_NS ? gap : LOST_GAP_MAX_NS;
            lost->tries++;
            lost->next_ns = now + gap / 2 + ww_prng_below(&node->prng, gap);
            meet(node, &lost->peer, NULL, 0); /* with the addresses that the peerstore has */
        }
    }
}

/* ---- upkeep ---- */

static void addrs_changed(struct ww_swarm_sub *sub)
{
    struct ww_node *node = WW_CONTAINER_OF(sub, struct ww_node, swarm_sub);
    struct ww_bytes addrs[32];
    size_t count = ww_swarm_addr_count(node->swarm);
    count = count < WW_COUNT_OF(addrs) ? count : WW_COUNT_OF(addrs);
    for (size_t i = 0; i < count; i++)
        addrs[i] = ww_swarm_addr(node->swarm, i);
    if (node->boot)
        ww_ignore(ww_boot_set_addrs(node->boot, addrs, count)); /* on failure the old ones are told on */
}

void ww_node_meet_tick(struct ww_node *node)
{
    bool thin = ww_pubsub_mesh_peers(node->pubsub, ww_bytes_str(node->ns)) < WW_NODE_MESH_MIN;
    if (thin != node->searching) {
        node->searching = thin;
        ww_boot_search(node->boot, thin);
    }
    seek_lost(node, ww_env_now(node->env));
}

ww_err ww_node_meet_start(struct ww_node *node, struct ww_diag *diag)
{
    node->boot_user.peer_found = peer_found;
    struct ww_boot_conf conf = {
        .signer = node->key,
        .ns = ww_bytes_str(node->ns),
        .discover = node->discover.views,
        .discover_count = node->discover.count,
        .peers = node->peers.views,
        .peer_count = node->peers.count,
        .answer = true,
        .user = &node->boot_user,
    };
    WW_TRY(ww_boot_new(node->env, &conf, &node->boot, diag));
    node->swarm_sub =
        (struct ww_swarm_sub){.peer_up = peer_up, .peer_down = peer_down, .addrs_changed = addrs_changed};
    ww_list_init(&node->swarm_sub.link);
    ww_swarm_subscribe(node->swarm, &node->swarm_sub);
    addrs_changed(&node->swarm_sub);
    node->searching = true;
    ww_boot_search(node->boot, true);
    return 0;
}

void ww_node_meet_stop(struct ww_node *node)
{
    if (!node->boot)
        return;
    ww_swarm_unsubscribe(node->swarm, &node->swarm_sub);
    ww_boot_free(node->boot);
    node->boot = NULL;
    for (struct ww_list *it; (it = ww_list_pop_front(&node->dials));) {
        struct ww_node_dial *dial = WW_LIST_ENTRY(it, struct ww_node_dial, link);
        ww_swarm_dial_cancel(&dial->op);
        ww_free(dial);
    }
    node->dial_count = 0;
    while (!ww_list_empty(&node->lost))
        forget_lost(node, WW_LIST_ENTRY(node->lost.next, struct ww_node_lost, link));
}
