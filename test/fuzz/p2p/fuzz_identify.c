/* A whole identify stream; what was accepted must survive being written and read again. */
#include "p2p/identify.h"

static size_t sum(const struct ww_identify *id)
{
    size_t n = id->public_key.len + id->observed_addr.len + id->protocol_version.len + id->agent_version.len +
        id->signed_record.len;
    for (size_t i = 0; i < id->addr_count; i++)
        n += id->addrs[i].len + 1;
    for (size_t i = 0; i < id->protocol_count; i++)
        n += id->protocols[i].len + 1;
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ww_identify_reader r, again;
    struct ww_identify id, copy;
    ww_identify_reader_init(&r);
    ww_identify_reader_init(&again);
    if (ww_identify_reader_feed(&r, ww_bytes(data, size)) == 0 && ww_identify_reader_finish(&r, &id) == 0) {
        ww_err err = ww_identify_encode(&id, &again.in);
        WW_ASSERT(err == 0 || err == WW_ELIMIT);
        if (err == 0) {
            WW_ASSERT(ww_identify_reader_finish(&again, &copy) == 0);
            WW_ASSERT(sum(&id) == sum(&copy) && ww_bytes_eq(id.agent_version, copy.agent_version));
        }
    }
    ww_identify_reader_fini(&r);
    ww_identify_reader_fini(&again);
    return 0;
}
