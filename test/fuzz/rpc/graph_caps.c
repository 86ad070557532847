/* What an application can hold and give away, and the calls that it builds of it. */
#include "graph.h"

#define GRAPH_IFACE UINT64_C(0x9a7c0ffee0ddba11)

void ref_drop(struct ref *ref)
{
    struct ww_cap *cap = ref->cap;
    *ref = (struct ref){0};
    ww_cap_unref(cap);
}

void hand_set(struct vat *vat, uint8_t slot, struct ref ref)
{
    struct ref *hand = &vat->hand[slot % HANDS];
    ref_drop(hand);
    *hand = ref;
}

struct ref ref_copy(const struct ref *ref)
{
    return (struct ref){ww_cap_ref(ref->cap), ref->shadow, ref->id};
}

bool app_object(struct vat *vat, struct ref *ret_ref)
{
    struct world *w = vat->world;
    if (w->objects >= OBJECTS)
        return false;
    struct object *o = &w->object[w->objects];
    *o = (struct object){
        .server.ops = &graph_object_ops, .world = w, .id = (int)w->objects, .vat = vat->id, .busy = -1};
    if (ww_cap_new_server(vat->rpc, &o->server, &ret_ref->cap) < 0)
        return false;
    o->made = true;
    w->objects++;
    ret_ref->shadow = (struct shadow){node_new(w, N_OBJECT, o->id, 0), 0};
    ret_ref->id = ref_new(w);
    return true;
}

bool app_promise(struct vat *vat, unsigned slot, struct ref *ret_ref)
{
    struct ref *p = &vat->promise[slot % PROMISES];
    struct world *w = vat->world;
    if (!p->cap) {
        if (ww_cap_new_promise(vat->rpc, &p->cap, &vat->resolver[slot % PROMISES]) < 0)
            return false;
        p->shadow = (struct shadow){node_new(w, N_PROMISE, 0, 0), 0};
        p->id = ref_new(w);
    }
    *ret_ref = ref_copy(p);
    return true;
}

static bool app_broken(struct vat *vat, struct ref *ret_ref)
{
    struct world *w = vat->world;
    char reason[32];
    int text = (int)++w->texts;
    reason_format(text, reason);
    if (ww_cap_new_broken(vat->rpc, WW_EFAILED, reason, &ret_ref->cap) < 0)
        return false;
    ret_ref->shadow = (struct shadow){node_new(w, N_BROKEN, text, 0), 0};
    ret_ref->id = ref_new(w);
    return true;
}

static struct side *side_of(struct vat *vat, uint8_t which, unsigned *ret_link)
{
    struct world *w = vat->world;
    for (unsigned i = 0; i < w->links; i++) {
        unsigned at = (i + which) % w->links;
        for (int s = 0; s < 2; s++) {
            if (w->link[at].side[s].vat == vat) {
                *ret_link = at;
                return &w->link[at].side[s];
            }
        }
    }
    return NULL;
}

void app_bootstrap(struct vat *vat, uint8_t which, struct ref *ret_ref)
{
    struct world *w = vat->world;
    unsigned at;
    struct side *side = side_of(vat, which, &at);
    *ret_ref = (struct ref){0};
    if (!side || !side->conn || ww_rpc_conn_bootstrap(side->conn, &ret_ref->cap) < 0)
        return;
    struct vat *peer = w->link[at].side[side == &w->link[at].side[0]].vat;
    uint16_t node = peer ? peer->boot.shadow.node : node_new(w, N_ANY, 0, 0);
    ret_ref->shadow = (struct shadow){node, (uint16_t)(1u << at)};
    ret_ref->id = ref_new(w);
}

bool app_pipeline(struct vat *vat, struct request *request, uint8_t which, struct ref *ret_ref)
{
    static const uint16_t paths[PATHS][2] = {{0}, {1}, {2}, {CAPS - 1, 0}, {CAPS - 1}, {CAPS}};
    struct world *w = vat->world;
    if (!request->request || request->unsent)
        return false;
    int i = which % PATHS;
    struct record *r = &w->record[request->record];
    size_t len = i == CAPS - 1 ? 2 : 1;
    if (ww_rpc_request_pipeline(request->request, paths[i], len, &ret_ref->cap) < 0)
        return false;
    if (r->pipe_ref[i] == 0 && !r->done)
        r->pipe_ref[i] = ref_new(w); /* one path, one order */
    ret_ref->shadow = result_shadow(w, request->record, i);
    ret_ref->id = r->pipe_ref[i] ? r->pipe_ref[i] : ref_new(w);
    return true;
}

struct ref app_pick(struct vat *vat, uint8_t how, const struct ref *given)
{
    struct ref ref = {0};
    unsigned slot = how / 16;
    ref.id = 1;
    switch (how % 16) {
    case 8:
        app_object(vat, &ref);
        break;
    case 9:
        break;
    case 10:
        app_broken(vat, &ref);
        break;
    case 11:
    case 12:
        app_promise(vat, slot, &ref);
        break;
    case 13:
        app_pipeline(vat, &vat->request[slot % REQUESTS], (uint8_t)(how / 3), &ref);
        break;
    case 14:
        if (vat->boot.cap)
            ref = ref_copy(&vat->boot);
        break;
    case 15:
        if (given)
            return ref_copy(given);
        break;
    default:
        ref = ref_copy(&vat->hand[slot % HANDS]);
        if (slot >= HANDS)
            membrane_pass(vat, how % 16, &ref);
    }
    return ref;
}

/* Puts capabilities into a message; `given` goes first. */
void app_caps(struct vat *vat, struct ww_sb sb, const uint8_t *how, unsigned count, const struct ref *given,
    struct shadow *ret_shadows)
{
    for (unsigned i = 0; i < count; i++) {
        struct ref ref = given && i == 0 ? ref_copy(given) : app_pick(vat, how[i % 3], given);
        struct ww_pb at = ww_sb_ptr(sb, i);
        if (i == CAPS - 1)
            at = ww_sb_ptr(ww_pb_init_struct(at, 0, 1), 0);
        ww_pb_set_cap(at, ref.cap);
        ret_shadows[i] = ref.shadow;
        ref_drop(&ref);
    }
}

void app_sent(struct world *w, struct record *r)
{
    struct end end = record_end(w, r);
    r->barred = (end.kind == END_OBJECT || end.kind == END_OPEN) && end_revoked(w, &end);
}

struct ww_rpc_request *app_request(struct vat *vat, struct ref *target, const uint8_t *how, unsigned count,
    const uint8_t behaviour[BEHAVIOUR], const struct ref *given, int *ret_record)
{
    struct world *w = vat->world;
    struct ww_rpc_request *request;
    uint16_t method = behaviour[6] >> 7;
    int at = target->cap ? record_new(w, vat, target) : -1;
    if (at < 0)
        return NULL;
    struct record *r = &w->record[at];
    if (ww_rpc_request_new(target->cap, GRAPH_IFACE, method, 0, &request) < 0) {
        r->given_up = true;
        return NULL;
    }
    struct ww_sb sb = ww_pb_init_struct(ww_rpc_request_params(request), 2, CAPS);
    ww_sb_set_u64(sb, 0, r->nonce);
    uint8_t b[8] = {0};
    memcpy(b, behaviour, BEHAVIOUR);
    ww_sb_set_u64(sb, 1, ww_le64_load(b));
    app_caps(vat, sb, how, count, given, r->params);
    r->caps = (uint8_t)count;
    r->seq = ++w->ref[r->ref].sent; /* again, if it is sent later */
    app_sent(w, r);
    *ret_record = at;
    graph_log(w, "    vat %u: call %d (%u of ref %d) with %u caps, behaviour %u", vat->id, at, r->seq, r->ref,
        count, behaviour[0] % 16u);
    return request;
}
