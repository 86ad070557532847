/* The applications: what a step makes one of them do. */
#include "graph.h"

static void request_free(struct request *slot)
{
    if (!slot->request)
        return;
    struct world *w = slot->vat->world;
    struct record *r = &w->record[slot->record];
    if (slot->unsent)
        r->given_up = true;
    else if (!r->done)
        r->canceled = true;
    graph_log(w, "    vat %u: call %d is freed%s", slot->vat->id, slot->record, r->canceled ? " early" : "");
    struct ww_rpc_request *request = slot->request;
    slot->request = NULL;
    ww_rpc_request_free(request);
}

static void done(struct ww_rpc_wait *wait, struct ww_rpc_request *request)
{
    struct request *slot = WW_CONTAINER_OF(wait, struct request, wait);
    struct world *w = slot->vat->world;
    ww_err status = ww_rpc_request_status(request);
    if (slot->request != request || slot->unsent)
        graph_fail(w, "once: an outcome for nobody");
    model_done(w, slot->record, status, ww_rpc_request_reason(request));
    if (status < 0)
        return;
    struct ww_sr sr = ww_pr_struct(ww_rpc_request_results(request));
    for (int i = 0; i < CAPS; i++) {
        struct ww_pr at =
            i < CAPS - 1 ? ww_sr_ptr(sr, (uint32_t)i) : ww_sr_ptr(ww_pr_struct(ww_sr_ptr(sr, CAPS - 1)), 0);
        model_result(w, slot->record, i, ww_pr_cap(at), slot->vat);
    }
}

static void request_send(struct request *slot)
{
    struct world *w = slot->vat->world;
    struct record *r = &w->record[slot->record];
    slot->unsent = false;
    slot->wait.done = done;
    r->seq = ++w->ref[r->ref].sent;
    app_sent(w, r);
    ww_rpc_request_send(slot->request, &slot->wait);
}

static void request_send_for_pipeline(struct request *slot)
{
    slot->unsent = false;
    struct record *r = &slot->vat->world->record[slot->record];
    r->no_wait = r->pipe_only = true;
    r->seq = ++slot->vat->world->ref[r->ref].sent;
    ww_rpc_request_send_for_pipeline(slot->request);
}

static struct ref *hand_full(struct vat *vat, unsigned slot)
{
    for (unsigned i = 0; i < HANDS; i++) {
        struct ref *hand = &vat->hand[(slot + i) % HANDS];
        if (hand->cap)
            return hand;
    }
    return &vat->hand[0];
}

static void op_call(struct vat *vat, const uint8_t *arg)
{
    struct world *w = vat->world;
    struct ref *target = hand_full(vat, arg[0]);
    struct request *slot = &vat->request[arg[1] % REQUESTS];
    int record;
    struct ww_rpc_request *request =
        app_request(vat, target, arg + 3, arg[2] % (CAPS + 1), arg + 7, NULL, &record);
    if (!request)
        return;
    struct record *r = &w->record[record];
    uint8_t mode = arg[6] % 16;
    if (mode < 3) {
        r->no_wait = true;
        ww_rpc_request_send_take(request);
    } else if (mode < 5 && vat->has_stream) {
        r->no_wait = true;
        r->given_up = vat->stream.err < 0;
        ww_err err = ww_rpc_stream_send_take(&vat->stream, request);
        r->given_up |= err < 0;
    } else {
        request_free(slot);
        *slot = (struct request){.request = request, .vat = vat, .record = record, .unsent = true};
        if (mode == 6)
            ww_rpc_request_no_pipeline(request);
        if (mode == 7)
            request_send_for_pipeline(slot);
        else if (mode != 5)
            request_send(slot);
    }
}

/* What came back, into the hand. */
static void op_take(struct vat *vat, const uint8_t *arg)
{
    struct request *slot = &vat->request[arg[0] % REQUESTS];
    int i = arg[1] % CAPS;
    if (!slot->request || slot->unsent || ww_rpc_request_status(slot->request) != 0)
        return;
    struct ww_sr sr = ww_pr_struct(ww_rpc_request_results(slot->request));
    struct ww_pr at =
        i < CAPS - 1 ? ww_sr_ptr(sr, (uint32_t)i) : ww_sr_ptr(ww_pr_struct(ww_sr_ptr(sr, CAPS - 1)), 0);
    struct ref ref = {
        ww_cap_ref(ww_pr_cap(at)), result_shadow(vat->world, slot->record, i), ref_new(vat->world)};
    hand_set(vat, arg[2], ref);
}

static void op_resolve(struct vat *vat, const uint8_t *arg)
{
    struct world *w = vat->world;
    struct ref *p = &vat->promise[arg[0] % PROMISES];
    struct ww_cap_resolver *resolver = vat->resolver[arg[0] % PROMISES];
    if (!p->cap)
        return;
    struct node *n = &w->node[p->shadow.node];
    char reason[32];
    if (arg[2] % 8 == 0) {
        n->state = P_REJECTED;
        n->at = arg[2] & 8 ? TEXT_UNRESOLVED : (int)++w->texts;
        reason_format(n->at, reason);
        if (arg[2] & 16)
            ref_drop(p);
        if (n->at == TEXT_UNRESOLVED)
            ww_cap_resolver_free(resolver);
        else
            ww_cap_resolver_reject(resolver, WW_EFAILED, reason);
        ref_drop(p);
        return;
    }
    struct ref to = app_pick(vat, arg[1], NULL);
    n->to = to.shadow;
    n->state = P_RESOLVED;
    bool loop = shadow_end(w, p->shadow).kind == END_LOOP;
    n->state = P_OPEN;
    if (!loop || (arg[2] % 8 == 1 && w->vats > 1)) {
        n->state = P_RESOLVED;
        w->looped |= loop;
        w->boot_shared |= p->shadow.node == vat->boot_node;
        if (arg[2] & 16)
            ref_drop(p); /* the resolver alone may have it by now */
        ww_cap_resolver_resolve(resolver, to.cap);
        ref_drop(p);
    }
    ref_drop(&to);
}

static void watch_fired(struct ww_cap_watch *watch)
{
    struct watch *slot = WW_CONTAINER_OF(watch, struct watch, watch);
    struct world *w = slot->vat->world;
    if (slot->fired)
        graph_fail(w, "watch: it fired twice");
    slot->fired = true;
    if (ww_cap_state(slot->ref.cap) == WW_CAP_PROMISE)
        graph_fail(w, "watch: it fired for a promise");
    model_cap(w, slot->vat, &slot->ref, false);
}

static void op_watch(struct vat *vat, const uint8_t *arg)
{
    struct watch *slot = &vat->watch[arg[0] % WATCHES];
    struct ref *hand = &vat->hand[arg[1] % HANDS];
    ww_cap_watch_stop(&slot->watch);
    ref_drop(&slot->ref);
    if (!hand->cap)
        return;
    slot->watch.settled = watch_fired;
    slot->vat = vat;
    slot->fired = false;
    if (ww_cap_watch_start(&slot->watch, hand->cap) == 0)
        slot->ref = ref_copy(hand);
}

static void stream_ready(struct ww_rpc_stream *stream)
{
    WW_UNUSED(stream);
}

static void stream_drained(struct ww_rpc_stream *stream, ww_err err)
{
    struct vat *vat = WW_CONTAINER_OF(stream, struct vat, stream);
    WW_UNUSED(err);
    if (!vat->finishing || stream->in_flight > 0)
        graph_fail(vat->world, "stream: drained with %u in flight", stream->in_flight);
    vat->finishing = false;
}

static void op_stream(struct vat *vat, const uint8_t *arg)
{
    static const struct ww_rpc_stream_ops ops = {.ready = stream_ready, .drained = stream_drained};
    if (vat->has_stream && arg[0] % 2 == 0 && !vat->finishing) {
        vat->finishing = true;
        ww_rpc_stream_finish(&vat->stream);
        return;
    }
    if (vat->has_stream)
        ww_rpc_stream_fini(&vat->stream);
    vat->finishing = false;
    vat->has_stream = ww_rpc_stream_init(&vat->stream, vat->rpc, &ops, 1 + arg[1] * 16u) == 0;
}

static void op_hand(struct vat *vat, const uint8_t *arg)
{
    struct request *slot = &vat->request[arg[1] % REQUESTS];
    struct ref ref = {0};
    switch (arg[0] % 8) {
    case 0:
        hand_set(vat, arg[2], (struct ref){0});
        break;
    case 1:
        if (app_pipeline(vat, slot, arg[3], &ref))
            hand_set(vat, arg[2], ref);
        break;
    case 2:
        hand_set(vat, arg[2], app_pick(vat, arg[1], NULL));
        break;
    case 3:
        request_free(slot);
        break;
    case 4:
        if (slot->unsent && slot->request)
            request_send(slot);
        else if (app_pipeline(vat, slot, arg[3], &ref))
            hand_set(vat, arg[2], ref);
        break;
    case 5:
        if (app_promise(vat, arg[1], &ref))
            hand_set(vat, arg[2], ref);
        break;
    case 6:
        op_watch(vat, arg + 1);
        break;
    default:
        op_stream(vat, arg + 1);
    }
}

static void op_answer(struct vat *vat, const uint8_t *arg)
{
    for (unsigned i = 0; i < HELD; i++) {
        struct held *held = &vat->held[(i + arg[0]) % HELD];
        if (held->call) {
            app_answer(vat, held, arg[1], arg + 2);
            return;
        }
    }
}

void app_step(struct world *w, const struct step *step)
{
    struct vat *vat = &w->vat[step->vat % w->vats];
    struct ref ref;
    switch (step->vat / 16) { /* `op` chose this much, and the low bits the vat */
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
        op_call(vat, step->arg);
        break;
    case 6:
        app_bootstrap(vat, step->arg[0], &ref);
        if (ref.cap)
            hand_set(vat, step->arg[1], ref);
        break;
    case 7:
    case 8:
    case 9:
        op_hand(vat, step->arg);
        break;
    case 10:
    case 11:
    case 12:
        op_answer(vat, step->arg);
        break;
    case 13:
        op_resolve(vat, step->arg);
        break;
    default:
        if (w->borders && step->arg[5] & 1)
            membrane_step(vat, step->arg);
        else
            op_take(vat, step->arg);
    }
}

static void vat_release(struct vat *vat)
{
    static const uint8_t none[3] = {9, 9, 9};
    for (int i = 0; i < PROMISES; i++) {
        const uint8_t reject[3] = {(uint8_t)i, 0, 0};
        op_resolve(vat, reject);
    }
    for (int i = 0; i < HELD; i++) {
        if (vat->held[i].call)
            app_answer(vat, &vat->held[i], 0, none);
    }
    for (int i = 0; i < REQUESTS; i++) {
        struct request *slot = &vat->request[i];
        if (slot->request && (slot->unsent || vat->world->record[slot->record].done))
            request_free(slot);
    }
}

void app_release(struct world *w)
{
    w->ending = true;
    for (unsigned v = 0; v < w->vats; v++)
        vat_release(&w->vat[v]);
}

void app_let_go(struct world *w)
{
    for (unsigned v = 0; v < w->vats; v++) {
        struct vat *vat = &w->vat[v];
        for (int i = 0; i < REQUESTS; i++)
            request_free(&vat->request[i]);
        for (int i = 0; i < WATCHES; i++) {
            ww_cap_watch_stop(&vat->watch[i].watch);
            ref_drop(&vat->watch[i].ref);
        }
        for (int i = 0; i < HANDS; i++)
            ref_drop(&vat->hand[i]);
        if (vat->has_stream && vat->stream.in_flight > 0)
            graph_fail(w, "stream: %u calls are in flight at the end", vat->stream.in_flight);
        if (vat->has_stream)
            ww_rpc_stream_fini(&vat->stream);
        vat->has_stream = false;
    }
}
