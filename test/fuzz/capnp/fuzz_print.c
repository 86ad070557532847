/* Printing any message by schema, as text and as JSON: nobody vouched for the bytes. The first byte chooses
 * the type. */
#include "schemas.h"

static const struct ww_msg_limits lim = {.words = 1 << 14, .traversal = 1 << 14, .segments = 8, .depth = 64};

static ww_err print(struct ww_bytes frame, struct ww_type type, bool json, struct ww_str *out)
{
    struct ww_dyn_struct s;
    struct ww_diag diag;
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    ww_err err = ww_msg_open(&m, frame, &lim);
    if (err == 0)
        err = ww_dyn_root(ww_msg_root(&m), type, &s, NULL);
    if (err == 0)
        err = json ? ww_json_print(s, true, out, &diag) : ww_text_print(s, true, out, &diag);
    ww_msg_fini(&m);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct ww_str text = {.max = 1 << 20}, json = {.max = 1 << 20};
    if (len == 0)
        return 0;
    struct ww_type type = fuzz_type(data[0]);
    struct ww_bytes frame = ww_bytes(data + 1, len - 1);
    ww_err err = print(frame, type, true, &json);
    WW_ASSERT(err <= 0 && (err == 0) == (json.len > 0));
    err = print(frame, type, false, &text);
    WW_ASSERT(err <= 0 && (err == 0) == (text.len > 0));
    ww_str_fini(&text);
    ww_str_fini(&json);
    return 0;
}
