/* What each reference has to reach, and what may be excused. */
#include <stdio.h>

#include "graph.h"

uint16_t node_new(struct world *w, enum node_kind kind, int at, int index)
{
    if (w->nodes >= NODES)
        return N_NULL; /* node 0 is null; the scripts are too short for this */
    w->node[w->nodes] = (struct node){.kind = kind, .at = at, .index = index};
    return (uint16_t)w->nodes++;
}

int ref_new(struct world *w)
{
    if (w->refs >= REFS)
        return 1;
    w->ref[w->refs].object = -1;
    return (int)w->refs++;
}

/* -1: there is no room for more. */
int record_new(struct world *w, struct vat *vat, struct ref *target)
{
    if (w->records >= RECORDS)
        return -1;
    int at = (int)w->records++;
    w->record[at] = (struct record){
        .nonce = (uint64_t)NONCE_MAGIC << 32 | (graph_random(&w->random) & 0xffff) << 16 | (unsigned)at,
        .vat = vat ? vat->id : VATS,
        .target = target->shadow,
        .ref = target->id,
        .object = -1,
        .next = -1,
        .parent = -1,
        .world = w,
    };
    return at;
}

struct shadow result_shadow(struct world *w, int record, int index)
{
    uint16_t *node = &w->record[record].pipe_node[index];
    if (*node == 0)
        *node = node_new(w, N_RESULT, record, index);
    return (struct shadow){*node, 0};
}

void reason_format(int text, char out[32])
{
    static const char *const fixed[] = {"call on null client", "no bootstrap capability",
        "the result is no capability", "promise dropped unresolved", "refused"};
    if (text < 0)
        snprintf(out, 32, "%s", fixed[-text - 1]);
    else
        snprintf(out, 32, "reason %d", text);
}

/* A call that was forwarded is cancelled with the one that it is for. */
static bool nobody_waits(struct world *w, const struct record *r)
{
    for (; r->parent >= 0; r = &w->record[r->parent]) {
        struct end end = record_end(w, r);
        if (r->canceled || (end.links & w->dead) || (end.crossed & w->revoked))
            return true;
    }
    struct end end = record_end(w, r);
    return r->canceled || r->alien || (end.links & w->dead) || (end.crossed & w->revoked);
}

/* Order is promised among the calls on one reference that go to one object. A call that a policy sends
 * elsewhere leaves the way of the others at the membrane: those may have far to go from there, or wait for a
 * promise, and it does not, so it may arrive before them, but in order with others that went where it goes.
 * That it was sent there is seen by where it arrives, also where nobody can say which membranes are on the
 * way. */
static void order_check(struct world *w, const struct record *r, const struct object *object)
{
    struct ref_state *ref = &w->ref[r->ref];
    struct end end = record_end(w, r);
    uint32_t *seen = &ref->seen[r->diverted];
    if (r->seq <= *seen)
        graph_fail(w, "order: call %u on a reference after %u", r->seq, *seen);
    *seen = r->seq;
    if (r->diverted)
        return; /* to where others do not go */
    if (ref->object >= 0 && ref->object != object->id && end.kind == END_OBJECT)
        graph_fail(w, "identity: one reference reached object %d and object %d", ref->object, object->id);
    ref->object = object->id;
}

struct record *model_deliver(struct world *w, struct object *object, uint64_t nonce)
{
    unsigned index = nonce & 0xffff;
    if (object->dropped)
        graph_fail(w, "life: object %d was called after it was dropped", object->id);
    if (object->busy >= 0)
        graph_fail(w, "stream: object %d was called while it streams", object->id);
    if (object->stream_broken)
        graph_fail(w, "stream: object %d was called after its stream broke", object->id);
    if (nonce >> 32 != NONCE_MAGIC || index >= w->records || w->record[index].nonce != nonce)
        return NULL;
    struct record *r = &w->record[index];
    if (r->state != R_SENT)
        graph_fail(w, "once: call %u was delivered twice", index);
    r->diverted = membrane_of_detour(w, object->id);
    if (r->diverted && membrane_mood(w, r->diverted - 1u, nonce) != MOOD_DETOUR)
        graph_fail(w, "membrane: call %u was diverted, and no policy said so", index);
    struct end end = record_end(w, r);
    w->crossings += end.depth > 0;
    w->detours += r->diverted > 0;
    if (r->barred)
        graph_fail(w, "membrane: call %u passed one that had been revoked", index);
    graph_log(w, "    call %u arrives at object %d", index, object->id);
    if (end.kind == END_OBJECT ? end.at != object->id && !(end.detour && end.folded)
                               : end.kind != END_ANY && end.kind != END_LOOP && !end.shaky)
        graph_fail(w, "identity: call %u reached object %d, not %d (end %d)", index, object->id, end.at,
            (int)end.kind);
    order_check(w, r, object);
    r->state = R_RUNNING;
    r->object = object->id;
    return r;
}

void model_param(struct world *w, struct record *r, int index, struct ww_cap *cap, struct vat *vat)
{
    if (r->alien)
        return;
    struct ref ref = {cap, param_shadow(w, r, index), 0};
    model_cap(w, vat, &ref, false);
}

/* What the caller must be told. 0: success; 1: failure with `*ret_text`; 2: some failure; -1: nothing yet. */
static int outcome(struct world *w, const struct record *r, int *ret_text, struct end *sum)
{
    struct end end = record_end(w, r);
    sum->links |= end.links;
    sum->crossed |= end.crossed;
    sum->unknown |= end.unknown;
    if (end.kind == END_ANY || end.kind == END_LOOP)
        sum->kind = END_ANY;
    switch (r->state) {
    case R_RETURNED:
        return 0;
    case R_FAILED:
        *ret_text = r->text;
        return 1;
    case R_FORWARDED:
        return outcome(w, &w->record[r->next], ret_text, sum);
    case R_RUNNING:
        return -1;
    case R_SENT:
        break;
    }
    *ret_text = end.kind == END_NULL ? TEXT_NULL : end.at;
    if (end.shaky)
        return 2;
    if (end.kind == END_OBJECT && w->object[end.at].stream_broken) {
        *ret_text = w->object[end.at].text;
        return 1;
    }
    if (end.kind == END_NULL || end.kind == END_BROKEN)
        return 1;
    return end_excused(w, end) ? 2 : -1;
}

void model_done(struct world *w, int record, ww_err status, const char *reason)
{
    struct record *r = &w->record[record];
    graph_log(w, "    call %d is done: %d %s", record, (int)status, reason);
    if (r->done)
        graph_fail(w, "once: call %d was completed twice", record);
    if (r->canceled)
        graph_fail(w, "cancel: call %d was completed although it was freed", record);
    r->done = true;
    int text = 0;
    struct end sum = {.kind = END_OPEN};
    int want = outcome(w, r, &text, &sum);
    if (sum.kind == END_ANY || (want == 0 && status == 0))
        return;
    char expected[32];
    reason_format(text, expected);
    w->barred += r->barred;
    if (status >= 0 && r->barred)
        graph_fail(w, "membrane: call %d passed one that had been revoked", record);
    if (status < 0 && (sum.crossed & w->revoked)) /* at any time, also when the callee was done */
        return;
    if (status < 0 && (want == 2 || graph_alloc_refused() || w->looped || (sum.links & w->dead)))
        return;
    w->refusals += text == TEXT_REFUSED;
    if (want == 1 && status == WW_EFAILED && strcmp(reason, expected) == 0)
        return;
    /* The answer is forgotten once its results turned out to have nothing that can be called. */
    if (want == 1 && sum.unknown && status == WW_EFAILED && strstr(reason, "unknown answer"))
        return;
    graph_fail(w, "outcome: call %d ended with %d '%s', expected %s", record, (int)status, reason,
        want == 0       ? "success"
            : want == 1 ? expected
                        : "to go on");
}

void model_result(struct world *w, int record, int index, struct ww_cap *cap, struct vat *vat)
{
    struct ref ref = {cap, result_shadow(w, record, index), 0};
    model_cap(w, vat, &ref, false);
}

void model_canceled(struct world *w, struct record *r)
{
    int record = (int)(r - w->record);
    if (r->cancels_told++ > 0)
        graph_fail(w, "cancel: call %d was cancelled twice", record);
    if (r->state != R_RUNNING)
        graph_fail(w, "cancel: call %d was cancelled when it did not run", record);
    if (!nobody_waits(w, r) && !r->alien && !end_excused(w, record_end(w, r)))
        graph_fail(w, "cancel: call %d was cancelled by nobody", record);
}

static bool holds(struct world *w, const struct ref *ref, int object)
{
    if (!ref->cap)
        return false;
    struct end end = shadow_end(w, ref->shadow);
    return end.kind == END_OBJECT && end.at == object && !end_excused(w, end);
}

void model_drop(struct world *w, struct object *object)
{
    if (object->dropped)
        graph_fail(w, "life: object %d was dropped twice", object->id);
    object->dropped = true;
    graph_log(w, "    object %d is dropped", object->id);
    if (object->busy >= 0)
        graph_fail(w, "life: object %d was dropped during a call", object->id);
    for (unsigned v = 0; v < w->vats; v++) {
        for (int i = 0; i < HANDS; i++) {
            if (holds(w, &w->vat[v].hand[i], object->id))
                graph_fail(w, "life: object %d was dropped while vat %u holds it", object->id, v);
        }
    }
}

/* A capability that crossed no link, or one, is known by what it is when nothing moves any more. */
static void home_check(struct world *w, struct vat *vat, const struct ref *ref, struct end end)
{
    bool one_way = (end.links & (end.links - 1)) == 0 && !(end.crossed && end.links);
    if (end.depth > 0 || end.kind != END_OBJECT || !one_way || w->object[end.at].vat != vat->id ||
        end_excused(w, end))
        return;
    if (!ww_cap_server(ref->cap, &graph_object_ops))
        graph_fail(w, "identity: object %d is not known at home", end.at);
}

void model_cap(struct world *w, struct vat *vat, const struct ref *ref, bool quiet)
{
    struct end end = shadow_end(w, ref->shadow);
    bool excused = end_excused(w, end);
    struct ww_rpc_server *server = ww_cap_server(ref->cap, &graph_object_ops);
    if (server && end.kind != END_ANY && end.kind != END_LOOP) {
        int id = WW_CONTAINER_OF(server, struct object, server)->id;
        if (!end.shaky && (end.kind != END_OBJECT || end.at != id))
            graph_fail(w, "identity: a reference to %d (end %d) is object %d", end.at, (int)end.kind, id);
        if (!end.shaky && end.depth > 0 && !end.folded)
            graph_fail(w, "membrane: object %d is bare behind %u of them", id, end.depth);
    }
    enum ww_cap_state state = ww_cap_state(ref->cap);
    if (state == WW_CAP_NULL && end.kind != END_NULL && !excused)
        graph_fail(w, "state: a reference that is not null became null (end %d)", (int)end.kind);
    if (state == WW_CAP_BROKEN && end.kind != END_NULL && end.kind != END_BROKEN && !excused)
        graph_fail(w, "state: a reference is broken for no reason (end %d)", (int)end.kind);
    if (state == WW_CAP_SETTLED && end.kind == END_NULL && !excused)
        graph_fail(w, "state: null is settled");
    if (!quiet || end.veiled || end.blind >> vat->id & 1)
        return;
    if (state == WW_CAP_PROMISE && end.kind != END_OPEN && !excused)
        graph_fail(w, "state: a resolved reference remains a promise (end %d)", (int)end.kind);
    home_check(w, vat, ref, end);
}

static void record_final(struct world *w, int i)
{
    const struct record *r = &w->record[i];
    if (r->given_up || r->alien)
        return;
    if (!r->done && !r->no_wait && !r->canceled)
        graph_fail(w, "once: call %d never completed", i);
    if (r->state == R_RUNNING)
        graph_fail(w, "test: call %d was not answered", i);
    if (r->state != R_SENT || nobody_waits(w, r))
        return;
    struct end end = record_end(w, r);
    bool broken = end.kind == END_NULL || end.kind == END_BROKEN ||
        (end.kind == END_OBJECT && w->object[end.at].stream_broken);
    if (!broken && !end_excused(w, end))
        graph_fail(w, "lost: call %d never arrived (end %d)", i, (int)end.kind);
}

void model_final(struct world *w)
{
    for (unsigned i = 0; i < w->records; i++)
        record_final(w, (int)i);
}
