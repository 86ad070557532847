/* Both roles of multistream-select. The first byte chooses role and piece size; the result must not depend on
 * how the rest is cut. */
#include "p2p/multistream.h"

static bool match(struct ww_mss_matcher *matcher, struct ww_bytes token)
{
    return ww_bytes_eq(token, ww_bytes_str("/noise")) || ww_bytes_has_prefix(token, ww_bytes_str("ww/"));
}

static const struct ww_bytes protocols[] = {
    WW_BYTES_LIT("/tls/1.0.0"), WW_BYTES_LIT("/noise"), WW_BYTES_LIT("ww/x")};

struct outcome {
    ww_err r;
    size_t used;
    struct ww_buf out;
};

static void run(bool initiator, struct ww_bytes in, size_t piece, struct outcome *ret)
{
    struct ww_mss_matcher matcher = {
        .match = match, .listed = protocols, .listed_count = WW_COUNT_OF(protocols)};
    struct ww_mss m;
    ww_err err = initiator ? ww_mss_init_initiator(&m, protocols, WW_COUNT_OF(protocols))
                           : ww_mss_init_responder(&m, &matcher);
    WW_ASSERT(err == 0);
    *ret = (struct outcome){0};
    ww_buf_init(&ret->out, 1u << 20);
    while (ret->r == 0 && ret->used < in.len) {
        size_t n = piece < in.len - ret->used ? piece : in.len - ret->used, used;
        ret->r = ww_mss_feed(&m, ww_bytes(in.ptr + ret->used, n), &used);
        WW_ASSERT(used <= n && (ret->r != 0 || used == n));
        ret->used += used;
        struct ww_bytes out = ww_mss_output(&m);
        WW_ASSERT(ww_buf_append(&ret->out, out) == 0);
        ww_mss_sent(&m, out.len);
    }
    if (ret->r == 1)
        WW_ASSERT(ww_mss_protocol(&m).len > 0);
    ww_mss_fini(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct outcome whole, pieces;
    struct ww_bytes in = ww_bytes(data + 1, size - 1);
    run(data[0] & 1, in, in.len + 1, &whole);
    run(data[0] & 1, in, 1 + (data[0] >> 1), &pieces);
    WW_ASSERT(whole.r == pieces.r);
    WW_ASSERT(whole.r < 0 || whole.used == pieces.used);
    /* A listing that is too large for what is still unsent is refused: the only thing that sending changes.
     */
    if (whole.out.tail < 8192)
        WW_ASSERT(ww_bytes_eq(ww_buf_view(&whole.out), ww_buf_view(&pieces.out)));
    ww_buf_fini(&whole.out);
    ww_buf_fini(&pieces.out);
    return 0;
}
