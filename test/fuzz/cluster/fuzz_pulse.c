/* A heartbeat from anybody: decoded or refused; what was accepted can be written again and reads the same. */
#include "cluster/pulse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ww_msg msg, again;
    struct ww_pulse pulse, copy;
    struct ww_buf out;
    ww_msg_init(&msg, NULL);
    ww_msg_init(&again, NULL);
    ww_buf_init(&out, 1 << 20);
    if (ww_pulse_decode(&msg, ww_bytes(data, size), &pulse) == 0) {
        WW_ASSERT(ww_pulse_encode(&pulse, &out) == 0);
        WW_ASSERT(ww_pulse_decode(&again, ww_buf_view(&out), &copy) == 0);
        WW_ASSERT(copy.server == pulse.server && copy.ttl_ms == pulse.ttl_ms &&
            copy.meta_count == pulse.meta_count);
        WW_ASSERT(ww_bytes_eq(copy.host, pulse.host));
        for (size_t i = 0; i < pulse.meta_count; i++)
            WW_ASSERT(ww_bytes_eq(copy.meta[i], pulse.meta[i]));
    }
    ww_buf_fini(&out);
    ww_msg_fini(&msg);
    ww_msg_fini(&again);
    return 0;
}
