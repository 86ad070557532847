/* glue/uv.c — RPC on a libuv loop: the vat's turns, beginning and end.
 *
 * `wake` starts an idle handle: libuv runs idle handles once a turn, before it waits, and does not wait while
 * one is active. So a turn is: wait, read from every stream that is ready, then deliver all of that, then
 * write. No prepare or check handle is needed, and none runs while there is nothing to do. */
#include "glue/uv_link.h"

#include <signal.h>

enum {
    EVENTS_PER_TURN = 1024,
    TICK_MS = 500, /* one to two of them for the Abort to be written, when the peer does not read */
};

/* ---- turns */

static void on_idle(uv_idle_t *idle)
{
    struct ww_rpc_uv *uv = WW_CONTAINER_OF(idle, struct ww_rpc_uv, idle);
    uv_idle_stop(idle); /* first: what follows may wake us again */
    uv->running = true;
    bool more = ww_rpc_vat_run(uv->vat, uv_hrtime(), EVENTS_PER_TURN);
    uv->running = false;
    for (struct ww_list *node; (node = ww_list_pop_front(&uv->dirty));)
        ww_uv_link_settle(WW_LIST_ENTRY(node, struct ww_uv_link, dirty));
    WW_LIST_FOR_SAFE(it, &uv->paused)
    {
        ww_uv_link_resume(WW_LIST_ENTRY(it, struct ww_uv_link, paused));
    }
    if (more)
        uv_idle_start(idle, on_idle);
}

static void vat_wake(struct ww_rpc_vat_host *host)
{
    struct ww_rpc_uv *uv = WW_CONTAINER_OF(host, struct ww_rpc_uv, host);
    if (!uv->ending)
        uv_idle_start(&uv->idle, on_idle);
}

static void on_tick(uv_timer_t *timer)
{
    struct ww_rpc_uv *uv = WW_CONTAINER_OF(timer, struct ww_rpc_uv, timer);
    WW_LIST_FOR_SAFE(it, &uv->links)
    {
        struct ww_uv_link *l = WW_LIST_ENTRY(it, struct ww_uv_link, all);
        if (!l->closed || l->closing)
            continue;
        if (l->lingered)
            ww_uv_link_release(l);
        else
            ww_uv_tick_arm(uv);
        l->lingered = true;
    }
    WW_LIST_FOR_SAFE(it, &uv->listeners)
    {
        ww_uv_listener_retry(ww_uv_listener_of(it));
    }
}

void ww_uv_tick_arm(struct ww_rpc_uv *uv)
{
    if (!uv->ending && !uv_is_active((uv_handle_t *)&uv->timer))
        uv_timer_start(&uv->timer, on_tick, TICK_MS, 0);
}

/* ---- beginning and end */

static void ignore_sigpipe(void)
{
    struct sigaction act;
    if (sigaction(SIGPIPE, NULL, &act) == 0 && !(act.sa_flags & SA_SIGINFO) && act.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
}

ww_err ww_rpc_uv_new(uv_loop_t *loop, const struct ww_rpc_limits *limits, struct ww_rpc_uv **ret_uv)
{
    struct ww_rpc_uv *uv = WW_NEW(struct ww_rpc_uv);
    if (!uv)
        return WW_ENOMEM;
    uv->loop = loop;
    uv->host.wake = vat_wake;
    ww_list_init(&uv->links);
    ww_list_init(&uv->dirty);
    ww_list_init(&uv->paused);
    ww_list_init(&uv->listeners);
    ww_err err = ww_glue_vat_new(limits, &uv->host, &uv->vat);
    if (err < 0) {
        ww_free(uv);
        return err;
    }
    ignore_sigpipe();
    uv_idle_init(loop, &uv->idle); /* these two cannot fail */
    uv_timer_init(loop, &uv->timer);
    uv->handles_alive = 2;
    *ret_uv = uv;
    return 0;
}

struct ww_rpc_vat *ww_rpc_uv_vat(const struct ww_rpc_uv *uv)
{
    return uv->vat;
}

size_t ww_rpc_uv_count(const struct ww_rpc_uv *uv)
{
    return uv->links_alive;
}

static void try_end(struct ww_rpc_uv *uv)
{
    if (!uv->ending || uv->links_alive > 0 || uv->handles_alive > 0)
        return;
    while (ww_rpc_vat_run(uv->vat, uv_hrtime(), 0)) {
    }
    void (*closed)(void *) = uv->closed;
    void *ctx = uv->closed_ctx;
    ww_rpc_vat_free(uv->vat);
    ww_free(uv);
    if (closed)
        closed(ctx);
}

void ww_uv_link_gone(struct ww_rpc_uv *uv)
{
    uv->links_alive--;
    try_end(uv);
}

void ww_uv_handle_gone(struct ww_rpc_uv *uv)
{
    uv->handles_alive--;
    try_end(uv);
}

static void on_idle_closed(uv_handle_t *handle)
{
    ww_uv_handle_gone(WW_CONTAINER_OF(handle, struct ww_rpc_uv, idle));
}

static void on_timer_closed(uv_handle_t *handle)
{
    ww_uv_handle_gone(WW_CONTAINER_OF(handle, struct ww_rpc_uv, timer));
}

void ww_rpc_uv_close(struct ww_rpc_uv *uv, void (*closed)(void *ctx), void *ctx)
{
    WW_ASSERT(!uv->running && !uv->ending);
    on_idle(&uv->idle); /* what is ready goes out */
    uv->closed = closed;
    uv->closed_ctx = ctx;
    uv->ending = true;
    while (!ww_list_empty(&uv->listeners))
        ww_rpc_uv_listener_close(ww_uv_listener_of(uv->listeners.next));
    uv_close((uv_handle_t *)&uv->idle, on_idle_closed);
    uv_close((uv_handle_t *)&uv->timer, on_timer_closed);
    WW_LIST_FOR_SAFE(it, &uv->links)
    {
        struct ww_uv_link *l = WW_LIST_ENTRY(it, struct ww_uv_link, all);
        l->user = NULL;
        ww_uv_link_release(l);
    }
}
