/* Envelopes and peer records: as they come, and as a payload that is well signed. */
#include "p2p/peer_record.h"

static void try_record(struct ww_bytes envelope)
{
    struct ww_peer_record record;
    struct ww_bytes rest, addr;
    size_t count = 0;
    if (ww_peer_record_open(envelope, &record) < 0)
        return;
    rest = record.payload;
    while (ww_peer_record_next(&rest, &addr))
        count++;
    WW_ASSERT(count == record.addr_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ww_bytes in = ww_bytes(data, size), domain = WW_BYTES_LIT("libp2p-peer-record");
    struct ww_envelope env;
    struct ww_keypair pair;
    struct ww_buf out;
    uint8_t seed[32] = {0};
    ww_keypair_from_seed(&pair, seed);
    ww_buf_init(&out, 2 * WW_ENVELOPE_MAX_BYTES);
    WW_ASSERT(ww_envelope_open(in, domain, &env) <= 0);
    try_record(in);
    if (ww_envelope_seal(&pair, domain, WW_BYTES_LIT("\x03\x01"), in, &out) == 0) {
        WW_ASSERT(ww_envelope_open(ww_buf_view(&out), domain, &env) == 0);
        WW_ASSERT(ww_bytes_eq(env.payload, in));
        try_record(ww_buf_view(&out));
    }
    ww_buf_fini(&out);
    ww_keypair_fini(&pair);
    return 0;
}
