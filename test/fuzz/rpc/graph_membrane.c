/* The vats' membranes: what a vat does with them, and what their policies do. */
#include "graph.h"

static bool chosen(uint64_t nonce)
{
    return nonce >> 32 == NONCE_MAGIC && (nonce >> 16 & 7) == 0;
}

enum mood membrane_mood(const struct world *w, unsigned membrane, uint64_t nonce)
{
    return chosen(nonce) ? w->membrane[membrane].mood : MOOD_PASS;
}

uint8_t membrane_of_detour(const struct world *w, int object)
{
    for (unsigned i = 0; i < VATS * MEMBRANES; i++) {
        if (w->membrane[i].mood == MOOD_DETOUR && w->membrane[i].detour_id == object)
            return (uint8_t)(i + 1);
    }
    return 0;
}

static ww_err policy_call(struct ww_membrane_policy *policy, enum ww_membrane_way way,
    struct ww_rpc_call *call, struct ww_cap *to, struct ww_cap **ret_to, const char **ret_reason)
{
    struct border *b = WW_CONTAINER_OF(policy, struct border, policy);
    WW_UNUSED(way);
    WW_UNUSED(to);
    if (b->mood == MOOD_PASS || !chosen(ww_sr_u64(ww_pr_struct(ww_rpc_call_params(call)), 0)))
        return 0;
    if (b->mood == MOOD_DETOUR) {
        *ret_to = ww_cap_ref(b->detour.cap);
        return 0;
    }
    *ret_reason = "refused";
    return WW_EFAILED;
}

static void policy_drop(struct ww_membrane_policy *policy)
{
    struct border *b = WW_CONTAINER_OF(policy, struct border, policy);
    if (b->dropped)
        graph_fail(b->world, "membrane: its policy was dropped twice");
    b->dropped = true;
}

void membranes_init(struct world *w, uint8_t how)
{
    static const struct ww_membrane_policy_ops ops = {.call = policy_call, .drop = policy_drop};
    w->borders = how & 1;
    for (unsigned i = 0; w->borders && i < w->vats * MEMBRANES; i++) {
        struct border *b = &w->membrane[i];
        struct vat *vat = &w->vat[i / MEMBRANES];
        b->policy.ops = &ops;
        b->world = w;
        b->mood = i % MEMBRANES == 0 ? MOOD_PASS : (enum mood)((how >> 1) + i / MEMBRANES) % 3;
        if (b->mood == MOOD_DETOUR && app_object(vat, &b->detour))
            b->detour_id = w->node[b->detour.shadow.node].at;
        if (ww_membrane_new(vat->rpc, &b->policy, &b->membrane) < 0)
            graph_fail(w, "test: no membrane");
        if (i % MEMBRANES == (how >> 3 & 1))
            membrane_pass(vat, (uint8_t)(how >> 3), &vat->boot);
    }
}

bool membrane_pass(struct vat *vat, uint8_t how, struct ref *ref)
{
    struct world *w = vat->world;
    unsigned i = vat->id * MEMBRANES + how % MEMBRANES;
    enum ww_membrane_way way = how / MEMBRANES & 1 ? WW_MEMBRANE_OUT : WW_MEMBRANE_IN;
    struct ww_cap *to;
    if (!w->borders || !ref->cap || !w->membrane[i].membrane ||
        ww_membrane_pass(w->membrane[i].membrane, way, ref->cap, &to) < 0)
        return false;
    struct ref passed = {to, shadow_cross(w, ref->shadow, (uint8_t)(i * 2 + way)), ref_new(w)};
    ref_drop(ref);
    *ref = passed;
    return true;
}

void membrane_step(struct vat *vat, const uint8_t *arg)
{
    struct world *w = vat->world;
    if (arg[0] % 16 == 0) {
        unsigned i = vat->id * MEMBRANES + arg[1] % MEMBRANES;
        graph_log(w, "    vat %u revokes membrane %u", vat->id, i);
        w->revoked |= (uint16_t)(1u << i);
        ww_membrane_revoke(w->membrane[i].membrane, WW_EFAILED, "revoked");
        return;
    }
    struct ref ref = ref_copy(&vat->hand[arg[1] % HANDS]);
    if (!membrane_pass(vat, arg[2], &ref))
        ref_drop(&ref);
    else
        hand_set(vat, arg[3], ref);
}

/* The same capability behind the same borders is the same, and nothing else is. */
void membranes_check(struct world *w, struct vat *vat)
{
    for (int i = 0; w->borders && i < HANDS; i++) {
        for (int j = 0; j < i; j++) {
            const struct ref *a = &vat->hand[i], *b = &vat->hand[j];
            struct end x = shadow_end(w, a->shadow), y = shadow_end(w, b->shadow);
            bool sure = x.kind == END_OBJECT && y.kind == END_OBJECT && !x.links && !y.links &&
                !end_excused(w, x) && !end_excused(w, y);
            bool same = x.at == y.at && x.depth == y.depth && memcmp(x.stack, y.stack, x.depth) == 0;
            if (sure && a->cap && b->cap && ww_cap_same(a->cap, b->cap) != same)
                graph_fail(
                    w, "membrane: object %d and object %d are %sthe same", x.at, y.at, same ? "not " : "");
        }
    }
}

void membranes_release(struct world *w)
{
    for (unsigned i = 0; i < w->vats * MEMBRANES; i++) {
        struct border *b = &w->membrane[i];
        struct ww_membrane *m = b->membrane;
        b->membrane = NULL;
        ref_drop(&b->detour);
        ww_membrane_unref(m);
    }
}

void membranes_dropped(struct world *w)
{
    for (unsigned i = 0; w->borders && i < w->vats * MEMBRANES; i++) {
        if (!w->membrane[i].dropped)
            graph_fail(w, "membrane: the policy of %u was never dropped", i);
    }
}
