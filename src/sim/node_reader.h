/* sim/node_reader.h — a client under faults: finds a node, logs in, asks and watches, and starts over when it
 * is lost.
 *
 * Safe: whatever a node answers was said by a node that ran; each peer comes once; filter, order, limit and
 * count hold; the picture that a standing query paints is, once nothing has changed for a while, what the
 * node's own table says. Converged: it is logged in, was answered lately, and its picture is complete.
 */
#ifndef WW_SIM_NODE_READER_H
#define WW_SIM_NODE_READER_H

#include "node/node.h"
#include "sim/node_life.h"
#include "sim/sim.h"

struct ww_node_reader;

/* The lives outlive it. WW_ENOMEM, or what ww_client_new says. */
WW_MUST_USE ww_err ww_node_reader_new(
    struct ww_sim_node *machine, const struct ww_node_lives *lives, struct ww_node_reader **ret_reader);
/* NULL is allowed. */
void ww_node_reader_free(struct ww_node_reader *reader);
/* What it found wrong in what it was told. */
WW_MUST_USE ww_err ww_node_reader_safe(const struct ww_node_reader *reader, struct ww_diag *diag);
/* The instance that it is logged in at; 0: none, or its standing query is not complete yet. */
uint64_t ww_node_reader_server(const struct ww_node_reader *reader);
/* Its picture against the table of that node. */
WW_MUST_USE ww_err ww_node_reader_compare(
    const struct ww_node_reader *reader, struct ww_routing *table, struct ww_diag *diag);
/* WW_ETIMEOUT when no query was answered lately. */
WW_MUST_USE ww_err ww_node_reader_converged(const struct ww_node_reader *reader, struct ww_diag *diag);

#endif
