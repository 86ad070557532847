#include "rpc/internal.h"

static uint64_t or_default(uint64_t value, uint64_t deflt)
{
    return value ? value : deflt;
}

static void limits_fill(struct ww_rpc_limits *l)
{
    l->message_bytes = or_default(l->message_bytes, UINT64_C(64) << 20);
    l->traversal_words = or_default(l->traversal_words, UINT64_C(8) << 20);
    l->inbound_bytes = or_default(l->inbound_bytes, UINT64_C(64) << 20);
    l->outbound_bytes = or_default(l->outbound_bytes, UINT64_C(64) << 20);
    l->kept_bytes = or_default(l->kept_bytes, UINT64_C(64) << 20);
    l->segments = (uint32_t)or_default(l->segments, 512);
    l->depth = (uint32_t)or_default(l->depth, 64);
    l->cap_table = (uint32_t)or_default(l->cap_table, 4096);
    l->transform_ops = (uint32_t)or_default(l->transform_ops, 64);
    l->questions = (uint32_t)or_default(l->questions, 65536);
    l->answers = (uint32_t)or_default(l->answers, 65536);
    l->exports = (uint32_t)or_default(l->exports, 1u << 20);
    l->imports = (uint32_t)or_default(l->imports, 1u << 20);
    l->embargoes = (uint32_t)or_default(l->embargoes, 65536);
    l->queued_calls = (uint32_t)or_default(l->queued_calls, 65536);
    l->resolve_hops = (uint32_t)or_default(l->resolve_hops, 64);
    if (l->depth > 255)
        l->depth = 255;
    if (l->transform_ops > 256)
        l->transform_ops = 256; /* paths are read into a stack buffer of this size */
}

static ww_err vat_prepare(struct ww_rpc_vat *vat)
{
    vat->exc_memory = NULL;
    vat->exc_memory = ww_rpc_exc_new(vat, WW_ENOMEM, WW_BYTES_LIT("out of memory"));
    vat->exc_null = ww_rpc_exc_new(vat, WW_EFAILED, WW_BYTES_LIT("call on null client"));
    vat->exc_dropped = ww_rpc_exc_new(vat, WW_EFAILED, WW_BYTES_LIT("promise dropped unresolved"));
    if (!vat->exc_memory || !vat->exc_null || !vat->exc_dropped)
        return WW_ENOMEM;
    vat->null_cap = ww_rpc_broken_new(vat, ww_rpc_exc_ref(vat->exc_null));
    if (!vat->null_cap)
        return WW_ENOMEM;
    vat->null_cap->flags |= CAP_NULL_;
    return 0;
}

ww_err ww_rpc_vat_new(const struct ww_rpc_vat_config *config, struct ww_rpc_vat **ret_vat)
{
    struct ww_rpc_vat *vat = WW_NEW(struct ww_rpc_vat);
    if (!vat)
        return WW_ENOMEM;
    vat->refs = 1;
    if (config) {
        vat->limits = config->limits;
        memcpy(vat->hash_seed, config->hash_seed, sizeof vat->hash_seed);
        vat->host = config->host;
    }
    limits_fill(&vat->limits);
    ww_list_init(&vat->ready);
    ww_list_init(&vat->dirty);
    ww_list_init(&vat->kicked);
    ww_list_init(&vat->doomed);
    ww_list_init(&vat->doomed_calls);
    ww_list_init(&vat->idle);
    ww_list_init(&vat->free_calls);
    ww_list_init(&vat->free_caps);
    ww_err err = vat_prepare(vat);
    if (err < 0) {
        ww_rpc_vat_free(vat);
        return err;
    }
    *ret_vat = vat;
    return 0;
}

/* Work that nobody will run: what it holds is given back. */
static void ready_discard(struct ww_rpc_vat *vat)
{
    struct ww_list *node;
    while ((node = ww_list_pop_front(&vat->ready))) {
        struct ww_rpc_task *task = WW_LIST_ENTRY(node, struct ww_rpc_task, node);
        task->run(task);
    }
}

void ww_rpc_vat_free(struct ww_rpc_vat *vat)
{
    if (!vat)
        return;
    ww_rpc_enter(vat);
    vat->freed = true; /* tasks now only clean up */
    ready_discard(vat);
    if (vat->null_cap)
        ww_cap_unref(vat->null_cap);
    vat->null_cap = NULL;
    do {
        ready_discard(vat);
        vat->refs++;
        ww_rpc_leave(vat);
        vat->refs--;
        ww_rpc_enter(vat);
    } while (!ww_list_empty(&vat->ready));
    vat->depth--;
    ww_rpc_vat_unref(vat);
}

struct ww_rpc_vat *ww_rpc_vat_ref(struct ww_rpc_vat *vat)
{
    vat->refs++;
    return vat;
}

static void pools_free(struct ww_rpc_vat *vat)
{
    struct ww_list *node;
    while ((node = ww_list_pop_front(&vat->free_calls))) {
        struct ww_rpc_call *call = WW_LIST_ENTRY(node, struct ww_rpc_call, task.node);
        ww_msg_fini(&call->params);
        ww_msg_fini(&call->results);
        ww_free(call);
    }
    while (vat->free_chunks) {
        struct ww_rpc_chunk *chunk = vat->free_chunks;
        vat->free_chunks = chunk->next;
        ww_rpc_chunk_free(chunk);
    }
    while ((node = ww_list_pop_front(&vat->free_caps)))
        ww_free(WW_LIST_ENTRY(node, struct ww_cap, node));
}

void ww_rpc_vat_unref(struct ww_rpc_vat *vat)
{
    if (--vat->refs > 0)
        return;
    pools_free(vat);
    ww_rpc_spares_free(vat);
    ww_free(vat->read_buffer);
    ww_rpc_exc_unref(vat->exc_null);
    ww_rpc_exc_unref(vat->exc_dropped);
    ww_rpc_exc_unref(vat->exc_memory);
    ww_free(vat);
}

void ww_rpc_wake(struct ww_rpc_vat *vat)
{
    if (vat->woken || vat->running || vat->freed)
        return;
    vat->woken = true;
    if (vat->host && vat->host->wake)
        vat->host->wake(vat->host);
}

void ww_rpc_task_push(struct ww_rpc_vat *vat, struct ww_rpc_task *task)
{
    ww_list_push_back(&vat->ready, &task->node);
    ww_rpc_wake(vat);
}

static void doomed_empty(struct ww_rpc_vat *vat)
{
    struct ww_list *node;
    for (;;) {
        if ((node = ww_list_pop_front(&vat->kicked)))
            ww_rpc_promise_flush(WW_LIST_ENTRY(node, struct ww_cap, node));
        else if ((node = ww_list_pop_front(&vat->idle)))
            ww_rpc_call_idle(WW_LIST_ENTRY(node, struct ww_rpc_call, idle_node));
        else if ((node = ww_list_pop_front(&vat->doomed)))
            ww_rpc_cap_destroy(WW_LIST_ENTRY(node, struct ww_cap, node));
        else if ((node = ww_list_pop_front(&vat->doomed_calls)))
            ww_rpc_call_destroy(WW_LIST_ENTRY(node, struct ww_rpc_call, task.node));
        else if (vat->freed && !ww_list_empty(&vat->ready)) /* nobody runs it any more */
            ready_discard(vat);
        else
            return;
    }
}

static bool has_doomed(const struct ww_rpc_vat *vat)
{
    return !ww_list_empty(&vat->doomed_calls) || !ww_list_empty(&vat->doomed) ||
        !ww_list_empty(&vat->kicked) || !ww_list_empty(&vat->idle) ||
        (vat->freed && !ww_list_empty(&vat->ready));
}

void ww_rpc_leave(struct ww_rpc_vat *vat)
{
    WW_ASSERT(vat->depth > 0);
    if (vat->depth > 1 || !has_doomed(vat)) {
        vat->depth--;
        return;
    }
    vat->refs++; /* what is torn down may hold the last reference */
    doomed_empty(vat);
    vat->depth--;
    ww_rpc_vat_unref(vat);
}

static void dirty_announce(struct ww_rpc_vat *vat)
{
    struct ww_list *node;
    while ((node = ww_list_pop_front(&vat->dirty))) {
        struct ww_rpc_conn *conn = WW_LIST_ENTRY(node, struct ww_rpc_conn, dirty_node);
        conn->announced = true;
        if (conn->host && conn->host->ops->output)
            conn->host->ops->output(conn->host);
    }
}

bool ww_rpc_vat_run(struct ww_rpc_vat *vat, uint64_t now_ns, uint32_t max_events)
{
    WW_ASSERT(!vat->running);
    vat->refs++;
    vat->running = true;
    vat->now_ns = now_ns;
    uint32_t done = 0;
    struct ww_list *node;
    while ((max_events == 0 || done < max_events) && (node = ww_list_pop_front(&vat->ready))) {
        struct ww_rpc_task *task = WW_LIST_ENTRY(node, struct ww_rpc_task, node);
        task->run(task);
        done++;
    }
    dirty_announce(vat);
    vat->running = false;
    vat->woken = false;
    bool more = !ww_list_empty(&vat->ready);
    ww_rpc_vat_unref(vat);
    return more;
}
