/* Capabilities that cross two membranes back and forth in one vat, beside a model: a capability is an object
 * and a stack of crossings. Held together are identity, where calls and calls on promises of results end,
 * what parameters and results have become, and that whatever crossed a revoked membrane is broken. */
#include <stdlib.h>

#include "base/base.h"
#include "ww/rpc.h"

enum { OBJECTS = 3, HANDS = 8, MEMBRANES = 2, STACK = 8, IFACE = 77 };

struct shape {
    int object; /* -1: broken or null */
    unsigned depth;
    uint8_t at[STACK]; /* membrane * 2 + way, the first crossing first */
};

struct hand {
    struct ww_cap *cap;
    struct shape shape;
};

struct object {
    struct ww_rpc_server server;
    struct ww_cap *cap;
    unsigned calls;
};

static struct object objects[OBJECTS];
static struct ww_membrane *membranes[MEMBRANES];
static bool revoked[MEMBRANES];

static void check(bool ok)
{
    if (!ok)
        abort();
}

static bool shape_broken(const struct shape *s)
{
    bool broken = s->object < 0;
    for (unsigned i = 0; i < s->depth; i++)
        broken |= revoked[s->at[i] / 2];
    return broken;
}

/* False: the stack is full. */
static bool shape_pass(struct shape *s, unsigned at)
{
    if (s->object < 0)
        return true;
    if (revoked[at / 2])
        s->object = -1;
    else if (s->depth && s->at[s->depth - 1] == (at ^ 1))
        s->depth--;
    else if (!s->depth || s->at[s->depth - 1] != at) {
        if (s->depth == STACK)
            return false;
        s->at[s->depth++] = (uint8_t)at;
    }
    return true;
}

static bool shape_same(const struct shape *a, const struct shape *b)
{
    return a->object == b->object && a->depth == b->depth && memcmp(a->at, b->at, a->depth) == 0;
}

/* Gives its parameter back. */
static void dispatch(struct ww_rpc_server *server, struct ww_rpc_call *call)
{
    struct object *o = WW_CONTAINER_OF(server, struct object, server);
    o->calls++;
    struct ww_cap *cap = ww_pr_cap(ww_sr_ptr(ww_pr_struct(ww_rpc_call_params(call)), 0));
    ww_pb_set_cap(ww_sb_ptr(ww_pb_init_struct(ww_rpc_call_results(call, 0), 0, 1), 0), cap);
    ww_rpc_call_return(call);
}

static const struct ww_rpc_server_ops object_ops = {.dispatch = dispatch};

static void hand_check(const struct hand *hands, const struct hand *h)
{
    if (!h->cap || shape_broken(&h->shape))
        return;
    struct ww_rpc_server *server = ww_cap_server(h->cap, &object_ops);
    check(h->shape.depth ? !server : server == &objects[h->shape.object].server);
    for (int i = 0; i < HANDS; i++) {
        if (hands[i].cap && !shape_broken(&hands[i].shape))
            check(ww_cap_same(h->cap, hands[i].cap) == shape_same(&h->shape, &hands[i].shape));
    }
}

static struct ww_rpc_request *ask(struct ww_cap *to, struct ww_cap *param)
{
    struct ww_rpc_request *q;
    check(ww_rpc_request_new(to, IFACE, 0, 0, &q) == 0);
    ww_pb_set_cap(ww_sb_ptr(ww_pb_init_struct(ww_rpc_request_params(q), 0, 1), 0), param);
    ww_rpc_request_send(q, NULL);
    return q;
}

/* A call, and one on the promise of what it gives back. */
static void call(struct ww_rpc_vat *vat, struct hand *hands, struct hand *to, struct hand *param)
{
    static const uint16_t path[1] = {0};
    if (!to->cap || !param->cap || shape_broken(&param->shape))
        return;
    struct shape s = param->shape;
    bool fits = true;
    for (unsigned i = to->shape.depth; i-- > 0;)
        fits &= shape_pass(&s, to->shape.at[i] ^ 1u);
    for (unsigned i = 0; i < to->shape.depth; i++)
        fits &= shape_pass(&s, to->shape.at[i]);
    if (!fits)
        return;
    bool broken = shape_broken(&to->shape);
    unsigned before[OBJECTS];
    for (int i = 0; i < OBJECTS; i++)
        before[i] = objects[i].calls;
    struct ww_cap *promise;
    struct ww_rpc_request *q = ask(to->cap, param->cap), *q2;
    check(ww_rpc_request_pipeline(q, path, 1, &promise) == 0);
    q2 = ask(promise, NULL);
    while (ww_rpc_vat_run(vat, 0, 0))
        ;
    check((ww_rpc_request_status(q) < 0) == broken && (ww_rpc_request_status(q2) < 0) == broken);
    for (int i = 0; i < OBJECTS; i++)
        check(
            objects[i].calls == before[i] + (!broken && to->shape.object == i) + (!broken && s.object == i));
    if (!broken) {
        struct ww_cap *cap = ww_pr_cap(ww_sr_ptr(ww_pr_struct(ww_rpc_request_results(q)), 0));
        check(ww_cap_same(cap, promise));
        struct hand got = {cap, s};
        hand_check(hands, &got);
        struct ww_cap *old = param->cap;
        *param = (struct hand){ww_cap_ref(cap), s};
        ww_cap_unref(old);
    }
    ww_cap_unref(promise);
    ww_rpc_request_free(q);
    ww_rpc_request_free(q2);
}

static void step(struct ww_rpc_vat *vat, struct hand *hands, const uint8_t *in)
{
    struct hand *a = &hands[in[1] % HANDS], *b = &hands[in[2] % HANDS], next = {NULL, {.object = -1}};
    unsigned at = in[3] % (2 * MEMBRANES);
    switch (in[0] % 8) {
    case 0:
        next = (struct hand){ww_cap_ref(objects[in[2] % OBJECTS].cap), {.object = in[2] % OBJECTS}};
        break;
    case 1:
    case 2:
    case 3:
        next.shape = b->shape;
        if (!b->cap || shape_broken(&b->shape) || !shape_pass(&next.shape, at))
            return;
        check(ww_membrane_pass(
                  membranes[at / 2], at % 2 ? WW_MEMBRANE_OUT : WW_MEMBRANE_IN, b->cap, &next.cap) == 0);
        check((ww_cap_state(next.cap) == WW_CAP_BROKEN) == (next.shape.object < 0));
        break;
    case 4:
        if (in[2] % 16 == 0) {
            ww_membrane_revoke(membranes[at / 2], WW_EFAILED, "revoked");
            revoked[at / 2] = true;
        }
        return;
    default:
        call(vat, hands, a, b);
        return;
    }
    ww_cap_unref(a->cap);
    *a = next;
    hand_check(hands, a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct ww_membrane_policy_ops pass_all = {NULL, NULL, NULL};
    static struct ww_membrane_policy policy = {&pass_all};
    struct hand hands[HANDS] = {{NULL, {.object = -1}}};
    struct ww_rpc_vat *vat;
    check(ww_rpc_vat_new(NULL, &vat) == 0);
    for (int i = 0; i < OBJECTS; i++) {
        objects[i] = (struct object){.server.ops = &object_ops};
        check(ww_cap_new_server(vat, &objects[i].server, &objects[i].cap) == 0);
    }
    for (int i = 0; i < MEMBRANES; i++) {
        revoked[i] = false;
        check(ww_membrane_new(vat, &policy, &membranes[i]) == 0);
    }
    for (size_t i = 0; i + 4 <= size && i < 4 * 400; i += 4)
        step(vat, hands, data + i);
    for (int i = 0; i < HANDS; i++)
        ww_cap_unref(hands[i].cap);
    for (int i = 0; i < MEMBRANES; i++)
        ww_membrane_unref(membranes[i]);
    for (int i = 0; i < OBJECTS; i++)
        ww_cap_unref(objects[i].cap);
    while (ww_rpc_vat_run(vat, 0, 0))
        ;
    ww_rpc_vat_free(vat);
    return 0;
}
