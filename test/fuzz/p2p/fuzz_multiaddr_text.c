/* Multiaddrs as text: what parses passes the check, and printing and parsing again changes nothing. */
#include "p2p/multiaddr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ww_buf first, text, second;
    ww_buf_init(&first, WW_MULTIADDR_MAX_BYTES);
    ww_buf_init(&second, WW_MULTIADDR_MAX_BYTES);
    ww_buf_init(&text, 8192);
    if (ww_multiaddr_parse(ww_bytes(data, size), &first) == 0) {
        WW_ASSERT(ww_multiaddr_check(ww_buf_view(&first)) == 0);
        WW_ASSERT(ww_multiaddr_format(ww_buf_view(&first), &text) == 0);
        WW_ASSERT(ww_multiaddr_parse(ww_buf_view(&text), &second) == 0);
        WW_ASSERT(ww_bytes_eq(ww_buf_view(&first), ww_buf_view(&second)));
    } else {
        WW_ASSERT(ww_buf_len(&first) == 0);
    }
    ww_buf_fini(&first);
    ww_buf_fini(&second);
    ww_buf_fini(&text);
    return 0;
}
