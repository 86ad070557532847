/* The objects: what they do with a call, as the call itself says. */
#include <stdio.h>

#include "graph.h"

const struct ww_rpc_server_ops graph_object_ops = {.dispatch = graph_dispatch, .drop = graph_dropped};

void graph_dropped(struct ww_rpc_server *self)
{
    struct object *o = WW_CONTAINER_OF(self, struct object, server);
    model_drop(o->world, o);
}

static void canceled(struct ww_rpc_cancel *cancel, struct ww_rpc_call *call)
{
    struct record *r = WW_CONTAINER_OF(cancel, struct record, cancel);
    if (!ww_rpc_call_is_canceled(call))
        graph_fail(r->world, "cancel: told, but not so");
    model_canceled(r->world, r);
}

static struct ww_pr cap_at(struct ww_sr sr, int index)
{
    return index < CAPS - 1 ? ww_sr_ptr(sr, (uint32_t)index)
                            : ww_sr_ptr(ww_pr_struct(ww_sr_ptr(sr, CAPS - 1)), 0);
}

/* Checks the parameters, and takes the `which`-th. */
static struct ref params_take(struct vat *vat, struct record *r, struct ww_sr sr, unsigned which)
{
    struct ref given = {0};
    for (int i = 0; i < CAPS; i++) {
        struct ww_cap *cap = ww_pr_cap(cap_at(sr, i));
        model_param(vat->world, r, i, cap, vat);
        if ((unsigned)i == which % CAPS) {
            given = (struct ref){ww_cap_ref(cap), param_shadow(vat->world, r, i), ref_new(vat->world)};
        }
    }
    return given;
}

static struct record *alien_record(struct world *w, struct object *o)
{
    struct ref any = {NULL, {node_new(w, N_ANY, 0, 0), 0}, ref_new(w)};
    int at = record_new(w, NULL, &any);
    if (at < 0)
        return NULL;
    struct record *r = &w->record[at];
    r->alien = r->no_wait = true;
    r->state = R_RUNNING;
    r->object = o->id;
    for (int i = 0; i < CAPS; i++)
        r->params[i] = any.shadow;
    r->caps = CAPS;
    return r;
}

static void answer_fail(struct world *w, struct held *held)
{
    struct record *r = &w->record[held->record];
    char reason[32];
    r->text = (int)++w->texts;
    r->state = R_FAILED;
    reason_format(r->text, reason);
    if (r->stream) {
        w->object[r->object].stream_broken = true;
        w->object[r->object].text = r->text;
    }
    ww_rpc_call_fail(held->call, WW_EFAILED, "%s", reason);
}

static bool answer_forward(struct vat *vat, struct held *held, const uint8_t *caps)
{
    struct world *w = vat->world;
    struct ref target = app_pick(vat, caps[0], NULL);
    static const uint8_t behaviours[4][BEHAVIOUR] = {
        {4, 0, 0, 0, 0, 0, 1}, {0}, {7}, {5, 1, 2, 16, 32, 48, 7}};
    int next;
    struct ww_rpc_request *request = NULL;
    if (target.cap)
        request = app_request(vat, &target, caps + 1, caps[1] % 3, behaviours[caps[2] % 4], NULL, &next);
    ref_drop(&target);
    if (!request)
        return false;
    struct record *r = &w->record[held->record];
    r->state = R_FORWARDED;
    r->next = next;
    w->record[next].parent = held->record;
    w->record[next].no_wait = true;
    if (shadow_end(w, result_shadow(w, held->record, 0)).kind == END_LOOP)
        w->looped = true;
    graph_log(w, "    call %d is forwarded as call %d", held->record, next);
    ww_rpc_call_forward_take(held->call, request);
    return true;
}

/* The results are decided; nothing may lead in a circle by chance. */
static void answer_return(struct vat *vat, struct held *held, unsigned count, const uint8_t *caps)
{
    struct world *w = vat->world;
    struct record *r = &w->record[held->record];
    if (r->has_early && count == 0)
        count = 1; /* it has been promised */
    struct ww_sb sb = ww_pb_init_struct(ww_rpc_call_results(held->call, 0), 1, CAPS);
    ww_sb_set_u64(sb, 0, r->nonce);
    app_caps(vat, sb, caps, count, r->has_early ? &held->early : NULL, r->results);
    r->result_caps = (uint8_t)count;
    if (r->has_early)
        r->results[0] = r->early;
    r->state = R_RETURNED;
    for (int i = 0; i < (int)count; i++)
        w->looped |= shadow_end(w, result_shadow(w, held->record, i)).kind == END_LOOP;
    ww_rpc_call_return(held->call);
}

static void answer_early(struct vat *vat, struct held *held, uint8_t how)
{
    struct world *w = vat->world;
    struct record *r = &w->record[held->record];
    static const uint16_t path[1] = {0};
    if (r->has_early)
        return;
    struct ref ref = app_pick(vat, how, NULL);
    r->has_early = true;
    r->early = ref.shadow;
    bool loop = shadow_end(w, result_shadow(w, held->record, 0)).kind == END_LOOP;
    if (loop || ww_rpc_call_set_pipeline(held->call, path, 1, ref.cap) < 0) {
        r->has_early = false;
        ref_drop(&ref);
        return;
    }
    graph_log(w, "    call %d shows its result early", held->record);
    held->early = ref;
}

/* Leaves `held->call` NULL when it was completed. */
void app_answer(struct vat *vat, struct held *held, uint8_t how, const uint8_t *caps)
{
    struct world *w = vat->world;
    struct record *r = &w->record[held->record];
    if (how % 8 == 5 && !r->stream) {
        answer_early(vat, held, caps[0]);
        return;
    }
    if (how % 8 == 6) {
        ww_rpc_call_release_params(held->call);
        return;
    }
    graph_log(w, "    call %d is answered (%u)", held->record, how % 8u);
    if (r->stream && w->object[r->object].busy == held->record)
        w->object[r->object].busy = -1;
    if (how % 8 == 4)
        answer_fail(w, held);
    else if (how % 8 != 7 || r->stream || r->has_early || !answer_forward(vat, held, caps))
        answer_return(vat, held, how / 8 % (CAPS + 1), caps);
    held->call = NULL;
    ref_drop(&held->early);
}

static void keep(struct vat *vat, struct ref *given, uint8_t slot)
{
    struct ref *hand = &vat->hand[slot % HANDS];
    ref_drop(hand);
    *hand = *given;
    *given = (struct ref){0};
}

static void call_back(struct vat *vat, struct ref *given, const uint8_t *b)
{
    static const uint8_t quiet[BEHAVIOUR] = {4};
    static const uint8_t kept[BEHAVIOUR] = {0, 3, 0, 0, 0, 0, 2};
    int record;
    struct ww_rpc_request *request =
        app_request(vat, given, b + 3, b[5] % 3, b[6] & 4 ? quiet : kept, NULL, &record);
    if (!request)
        return;
    vat->world->record[record].no_wait = true;
    ww_rpc_request_send_take(request);
}

static void hold(struct vat *vat, struct held *held, const uint8_t *b)
{
    for (int i = 0; i < HELD; i++) {
        if (!vat->held[i].call) {
            vat->held[i] = *held;
            return;
        }
    }
    app_answer(vat, held, b[1] % 4 * 8, b + 3);
}

static void behave(struct vat *vat, struct held *held, struct ref *given, const uint8_t *b)
{
    struct world *w = vat->world;
    struct record *r = &w->record[held->record];
    switch (r->stream ? (b[0] & 1 ? 0 : 4) : b[0] % 16) {
    case 4:
    case 5:
    case 6:
    case 14:
        app_answer(vat, held, (uint8_t)(b[1] % 5 * 8), b + 3);
        return;
    case 7:
        app_answer(vat, held, 4, b + 3);
        return;
    case 8:
        app_answer(vat, held, 5, b + 3);
        break;
    case 9:
        app_answer(vat, held, 7, b + 3);
        return;
    case 10:
        app_answer(vat, held, 6, b + 3);
        break;
    case 11:
        if (given->cap)
            call_back(vat, given, b);
        break;
    default:
        break;
    }
    hold(vat, held, b);
}

void graph_dispatch(struct ww_rpc_server *self, struct ww_rpc_call *call)
{
    struct object *o = WW_CONTAINER_OF(self, struct object, server);
    struct world *w = o->world;
    struct vat *vat = &w->vat[o->vat];
    struct ww_sr sr = ww_pr_struct(ww_rpc_call_params(call));
    struct record *r = model_deliver(w, o, ww_sr_u64(sr, 0));
    if (!r && !w->evil)
        graph_fail(w, "identity: object %d got a call that nobody sent", o->id);
    if (!r && !(r = alien_record(w, o))) {
        ww_rpc_call_fail(call, WW_EOVERLOADED, "the script is too long");
        return;
    }
    uint8_t b[8];
    ww_le64_store(b, ww_sr_u64(sr, 1));
    struct held held = {.call = call, .record = (int)(r - w->record)};
    if (ww_rpc_call_method(call) == 1) {
        ww_rpc_call_set_streaming(call);
        r->stream = true;
        o->busy = held.record;
        o->doubtful |= r->alien;
    }
    if (b[6] & 1) {
        r->cancel.canceled = canceled;
        r->world = w;
        ww_rpc_call_on_cancel(call, &r->cancel);
    }
    struct ref given = params_take(vat, r, sr, b[2]);
    if (w->ending) {
        app_answer(vat, &held, 0, b);
    } else {
        struct ref copy = {ww_cap_ref(given.cap), given.shadow, given.id};
        if (b[6] & 2)
            keep(vat, &copy, b[1]);
        ref_drop(&copy);
        behave(vat, &held, &given, b);
    }
    ref_drop(&given);
}
