/* embed/node.h — inside a node of the program's: its life, and what it tells. */
#ifndef WW_EMBED_NODE_H
#define WW_EMBED_NODE_H

#include "embed/embed.h"
#include "node/node.h"

struct ww_embed_node {
    struct ww_embed_object object;
    struct ww_embed_node_user *user;
    struct ww_embed_node_ops ops;
    struct ww_keypair key;
    struct ww_auth_list allow;
    struct ww_node *node;
    char peer[WW_PEER_ID_TEXT_MAX];
    struct ww_buf address; /* what ww_embed_node_address gave last */
    struct ww_embed_source source;
    struct ww_node_leave leave;

    /* what is to be told, from `tell` */
    struct ww_routing_observer observer;
    struct ww_swarm_sub sub;
    struct ww_list events; /* struct event, oldest first */
    size_t event_count;
    bool telling;   /* the observer and the subscription are in place */
    bool new_addrs; /* `addresses` is due */
    bool lost;      /* `reset` is due: events were dropped for want of memory */
    bool gone;      /* `gone` is due */
    struct ww_task tell;
    struct ww_timer retry;
};

/* node_events.c. Start never fails: what cannot be had now is tried again. */
void ww_embed_node_tell_init(struct ww_embed_node *node);
void ww_embed_node_tell_start(struct ww_embed_node *node);
void ww_embed_node_tell_stop(struct ww_embed_node *node);
/* Appends address number `index` with its /p2p part, NUL-terminated. WW_ENOTFOUND beyond the last. */
WW_MUST_USE ww_err ww_embed_node_address_put(struct ww_embed_node *node, size_t index, struct ww_buf *out);

#endif
