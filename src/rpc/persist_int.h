/* What persist.c (the table) and restorer.c (its face to peers) share. */
#ifndef WW_RPC_PERSIST_INT_H
#define WW_RPC_PERSIST_INT_H

#include "base/list.h"
#include "base/map.h"
#include "ww/persist.h"

struct ww_persist {
    struct ww_persist_host *host;
    struct ww_map entries;
    struct ww_list restorers; /* that still lead here */
    uint32_t max;
    size_t bytes; /* of all entries, stored */
};

/* As ww_persist_revoke, for the owner whose it is. WW_ENOTFOUND. */
ww_err ww_persist_revoke_by(struct ww_persist *table, struct ww_bytes ref, struct ww_bytes owner);
/* The table ends: Restorers lead nowhere. */
void ww_persist_restorers_cut(struct ww_persist *table);

#endif
