/* Parsing JSON: what is accepted prints, and what was printed is accepted and prints the same. The first
 * byte chooses the type. */
#include "schemas.h"

static void round_trip(struct ww_msg *m, struct ww_type type, bool pretty)
{
    struct ww_str first = {.max = 1 << 22}, second = {.max = 1 << 22};
    struct ww_diag diag;
    struct ww_msg again;
    ww_msg_init(&again, NULL);
    if (fuzz_print(m, type, ww_json_print, pretty, &first) == 0) {
        ww_err err =
            ww_json_parse(ww_bytes(first.text, first.len), type, ww_msg_root_builder(&again), NULL, &diag);
        WW_ASSERT(err == 0);
        WW_ASSERT(fuzz_print(&again, type, ww_json_print, pretty, &second) == 0);
        WW_ASSERT(first.len == second.len && memcmp(first.text, second.text, first.len) == 0);
    }
    ww_msg_fini(&again);
    ww_str_fini(&first);
    ww_str_fini(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct ww_diag diag = {0};
    struct ww_msg m;
    size_t used;
    if (len == 0)
        return 0;
    struct ww_type type = fuzz_type(data[0]);
    ww_msg_init(&m, NULL);
    ww_err err = ww_json_parse(ww_bytes(data + 1, len - 1), type, ww_msg_root_builder(&m), &used, &diag);
    WW_ASSERT(err <= 0 && (err < 0 || used < len) && (err == 0 || diag.text[0]));
    if (err == 0 && ww_msg_err(&m) == 0) {
        round_trip(&m, type, false);
        round_trip(&m, type, true);
    }
    ww_msg_fini(&m);
    return 0;
}
