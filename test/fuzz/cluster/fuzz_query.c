/* The query language and the wire form: what parses prints, and prints the same after another round. */
#include "cluster/query_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip(const struct ww_query *q)
{
    struct ww_query *copy = ww_query_new();
    struct ww_buf text, again;
    struct ww_msg msg;
    ww_buf_init(&text, 1 << 20);
    ww_buf_init(&again, 1 << 20);
    WW_ASSERT(copy && ww_query_print(q, &text) == 0);
    /* A NOT that the text spells out as an operator may save a level; it never takes one more. */
    WW_ASSERT(ww_query_parse(copy, ww_buf_view(&text), NULL, NULL) == 0);
    WW_ASSERT(ww_query_print(copy, &again) == 0);
    WW_ASSERT(ww_bytes_eq(ww_buf_view(&text), ww_buf_view(&again)));
    ww_query_free(copy);
    copy = ww_query_new();
    ww_msg_init(&msg, NULL);
    ww_query_encode(q, ww_View_Query_b_root(&msg));
    WW_ASSERT(ww_msg_err(&msg) == 0);
    WW_ASSERT(copy && ww_query_decode(ww_View_Query_r_root(&msg), copy, NULL) == 0);
    ww_buf_clear(&again);
    WW_ASSERT(ww_query_print(copy, &again) == 0);
    WW_ASSERT(ww_bytes_eq(ww_buf_view(&text), ww_buf_view(&again)));
    ww_msg_fini(&msg);
    ww_query_free(copy);
    ww_buf_fini(&text);
    ww_buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ww_query *q = ww_query_new();
    struct ww_diag diag;
    struct ww_msg msg;
    size_t offset = 0;
    if (size > 4000)
        return 0;
    ww_err err = ww_query_parse(q, ww_bytes(data, size), &offset, &diag);
    if (err == 0)
        round_trip(q);
    else
        WW_ASSERT(offset <= size);
    ww_query_free(q);
    q = ww_query_new();
    ww_msg_init(&msg, NULL);
    if (ww_msg_open_packed(&msg, ww_bytes(data, size), NULL) == 0 &&
        ww_query_decode(ww_View_Query_r_root(&msg), q, &diag) == 0)
        round_trip(q);
    ww_msg_fini(&msg);
    ww_query_free(q);
    return 0;
}
