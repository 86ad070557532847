#include <stdio.h>

#include "p2p/multiaddr.h"
#include "tool.h"

static bool listen_on(struct tool *t, const char *text)
{
    struct ww_buf addr;
    struct ww_diag diag = {0};
    ww_buf_init(&addr, WW_MULTIADDR_MAX_BYTES);
    ww_err err = ww_multiaddr_parse(ww_bytes_str(text), &addr);
    if (err < 0)
        ww_diag_set(&diag, err, "%s is no multiaddr", text);
    else
        err = ww_swarm_listen(t->swarm, ww_buf_view(&addr), &diag);
    ww_buf_fini(&addr);
    if (err < 0)
        fprintf(stderr, "ww-peer: %s\n", diag.text);
    return err == WW_OK;
}

bool tool_listen(struct tool *t)
{
    char id[WW_PEER_ID_TEXT_MAX], addr[256];
    static const char *const fallback[] = {"/ip4/127.0.0.1/tcp/0"};
    const char *const *addrs = t->o.addr_count ? t->o.addrs : fallback;
    size_t count = t->o.addr_count ? t->o.addr_count : 1;
    for (size_t i = 0; i < count; i++) {
        if (!listen_on(t, addrs[i]))
            return false;
    }
    ww_peer_id_format(ww_swarm_id(t->swarm), id);
    for (size_t i = 0; i < ww_swarm_addr_count(t->swarm); i++)
        printf("LISTEN %s/p2p/%s\n", ww_multiaddr_text(ww_swarm_addr(t->swarm, i), addr, sizeof addr), id);
    fflush(stdout);
    return true;
}
