/* Binary multiaddrs: whatever passes the check prints, and (without unknown protocols) reads back to the same
 * bytes. */
#include "p2p/multiaddr.h"

static void round_trip(struct ww_bytes addr)
{
    struct ww_multiaddr_part part;
    struct ww_buf text, back;
    struct ww_bytes rest = addr;
    bool known = true;
    while (ww_multiaddr_next(&rest, &part) > 0)
        known = known && part.proto;
    ww_buf_init(&text, 8192);
    ww_buf_init(&back, WW_MULTIADDR_MAX_BYTES);
    WW_ASSERT(ww_multiaddr_format(addr, &text) == 0);
    if (known) {
        WW_ASSERT(ww_multiaddr_parse(ww_buf_view(&text), &back) == 0);
        WW_ASSERT(ww_bytes_eq(ww_buf_view(&back), addr));
    }
    ww_buf_fini(&text);
    ww_buf_fini(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ww_bytes in = ww_bytes(data, size), name, rest = in;
    struct ww_multiaddr_part part;
    struct ww_netaddr net;
    struct ww_peer_id peer;
    uint64_t code;
    uint8_t family;
    char text[128];
    size_t covered = 0;
    while (ww_multiaddr_next(&rest, &part) > 0)
        covered += part.whole.len;
    WW_ASSERT(covered + rest.len == size);
    ww_multiaddr_text(in, text, sizeof text);
    WW_ASSERT(ww_multiaddr_netaddr(in, &net, &code, &rest) <= 0);
    WW_ASSERT(ww_multiaddr_dns(in, &name, &family, &rest) <= 0);
    if (ww_multiaddr_peer(in, &peer, &rest) == 0)
        WW_ASSERT(rest.len + 3 + peer.len == size);
    ww_multiaddr_is_loopback(in);
    if (ww_multiaddr_check(in) == 0)
        round_trip(in);
    return 0;
}
