#include "node/texts.h"

#include "p2p/multiaddr.h"

#define ADDRS_MAX_BYTES (64u << 10)

ww_err ww_node_texts_parse(struct ww_node_texts *ret_texts, const char *const *texts, size_t count,
    const char *option, struct ww_diag *diag)
{
    *ret_texts = (struct ww_node_texts){0};
    ww_buf_init(&ret_texts->mem, ADDRS_MAX_BYTES);
    if (count == 0)
        return 0;
    size_t *ends = ww_calloc(count, sizeof *ends);
    ret_texts->views = ww_calloc(count, sizeof *ret_texts->views);
    ww_err err = ends && ret_texts->views ? 0 : ww_diag_set(diag, WW_ENOMEM, "out of memory");
    for (size_t i = 0; i < count && err == 0; i++) {
        err = ww_multiaddr_parse(ww_bytes_str(texts[i]), &ret_texts->mem);
        if (err == WW_ENOMEM)
            ww_diag_set(diag, err, "out of memory");
        else if (err < 0)
            err = ww_diag_set(diag, WW_EINVAL,
                "%s: '%s' is no multiaddr; write, for example, /ip4/10.0.0.7/tcp/4001", option, texts[i]);
        else
            ends[i] = ww_buf_len(&ret_texts->mem);
    }
    for (size_t i = 0; i < count && err == 0; i++) {
        size_t begin = i ? ends[i - 1] : 0;
        ret_texts->views[i] = ww_bytes(ww_buf_data(&ret_texts->mem) + begin, ends[i] - begin);
        ret_texts->count++;
    }
    ww_free(ends);
    return err;
}

void ww_node_texts_fini(struct ww_node_texts *texts)
{
    ww_free(texts->views);
    ww_buf_fini(&texts->mem);
}
