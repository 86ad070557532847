/* The rules of the protocol, held against each message between good vats: at the moment when it leaves, with
 * what its sender knows by then, and at the moment when it arrives. */
#include "graph.h"

struct look {
    struct world *w;
    struct side *side;
    struct wire *wire;
    bool sent;
    struct wire_question *answer; /* of the Return that is looked at */
};

/* Questions that need no Return have ids of their own; they follow the others here. */
enum { HIGH = WIRE_IDS / 2 };

static uint32_t id_check(struct look *l, uint32_t id)
{
    if (id >= WW_RPC_HIGH_ID)
        id = HIGH + id % HIGH;
    else if (id >= HIGH)
        graph_fail(l->w, "wire: id %u, far from the lowest free one", id);
    if (id >= l->wire->top)
        l->wire->top = id + 1;
    return id;
}

static void promised_check(struct look *l, struct ww_sr promised)
{
    uint32_t id = id_check(l, ww_sr_u32(promised, 0));
    const struct wire_question *q = &l->wire->question[id];
    if (l->sent && (!q->live || q->finished))
        graph_fail(l->w, "wire: result of question %u is used, which is finished", id);
}

static void export_sent(struct look *l, uint32_t id, bool promise)
{
    struct wire_export *e = &l->wire->export[id];
    if (e->refs > 0 && promise && (!e->promise || e->resolved))
        graph_fail(l->w, "wire: export %u becomes a promise again", id);
    if (e->refs > 0 && !promise && e->promise)
        graph_fail(l->w, "wire: export %u was a promise and has no Resolve", id);
    if (e->refs == 0)
        *e = (struct wire_export){.promise = promise};
    e->refs++;
    struct wire_question *a = l->answer;
    if (a && a->result_count < CAPS * 2)
        a->results[a->result_count++] = (uint16_t)id;
}

static void desc(struct look *l, struct ww_sr sr)
{
    uint16_t tag = ww_sr_u16(sr, 0);
    if (tag == WW_RPC_DESC_NONE)
        return;
    if (tag == WW_RPC_DESC_RECEIVER_ANSWER) {
        promised_check(l, ww_pr_struct(ww_sr_ptr(sr, 0)));
        return;
    }
    if (tag > WW_RPC_DESC_RECEIVER_ANSWER)
        graph_fail(l->w, "wire: descriptor of kind %u", tag);
    uint32_t id = id_check(l, ww_sr_u32(sr, 1));
    if (tag == WW_RPC_DESC_RECEIVER_HOSTED) {
        if (l->sent && l->wire->import[id] == 0)
            graph_fail(l->w, "wire: import %u is described, which was released", id);
    } else if (l->sent) {
        export_sent(l, id, tag == WW_RPC_DESC_SENDER_PROMISE);
    } else {
        l->wire->import[id]++;
    }
}

static void payload(struct look *l, struct ww_pr at)
{
    struct ww_lr list = ww_pr_list(ww_sr_ptr(ww_pr_struct(at), 1), WW_ELEM_STRUCT);
    for (uint32_t i = 0; i < list.count; i++)
        desc(l, ww_lr_struct(list, i));
}

static void target(struct look *l, struct ww_sr sr)
{
    if (ww_sr_u16(sr, 2) == 1) {
        promised_check(l, ww_pr_struct(ww_sr_ptr(sr, 0)));
        return;
    }
    uint32_t id = id_check(l, ww_sr_u32(sr, 0));
    if (l->sent && l->wire->import[id] == 0)
        graph_fail(l->w, "wire: a message to import %u, which was released", id);
}

static void question(struct look *l, struct ww_sr body, bool yourself)
{
    uint32_t id = id_check(l, ww_sr_u32(body, 0));
    struct wire_question *q = l->sent ? &l->wire->question[id] : &l->wire->answer[id];
    if (q->live)
        graph_fail(l->w, "wire: question %u is in use", id);
    *q = (struct wire_question){.live = true, .yourself = yourself};
}

static void call(struct look *l, struct ww_sr body)
{
    target(l, ww_pr_struct(ww_sr_ptr(body, 0)));
    question(l, body, ww_sr_u16(body, 3) == WW_RPC_RESULTS_YOURSELF);
    payload(l, ww_sr_ptr(body, 1));
}

static void take_check(struct look *l, uint32_t id)
{
    const struct wire_question *q = &l->wire->question[id_check(l, id)];
    if (l->sent && (!q->live || !q->yourself || q->finished))
        graph_fail(l->w, "wire: a Return takes from question %u, which is not there for it", id);
}

static void return_sent(struct look *l, struct ww_sr body)
{
    uint32_t id = id_check(l, ww_sr_u32(body, 0));
    struct wire_question *a = &l->wire->answer[id];
    uint16_t tag = ww_sr_u16(body, 3);
    if (id >= HIGH)
        graph_fail(l->w, "wire: a Return for a question that needs none");
    if (!a->live || a->returned)
        graph_fail(l->w, "wire: a second Return for question %u", id);
    if (!ww_sr_bool(body, 32))
        graph_fail(l->w, "wire: a Return releases parameters by itself");
    if (tag == WW_RPC_RETURN_CANCELED && !a->finished)
        graph_fail(l->w, "wire: question %u is cancelled without a Finish", id);
    if ((tag == WW_RPC_RETURN_ELSEWHERE) != a->yourself && !a->finished)
        graph_fail(l->w, "wire: results of question %u go the wrong way", id);
    if (tag == WW_RPC_RETURN_TAKE)
        take_check(l, ww_sr_u32(body, 2));
    a->returned = true;
    if (tag == WW_RPC_RETURN_RESULTS) {
        l->answer = a;
        payload(l, ww_sr_ptr(body, 0));
        if (a->result_count > 0 && ww_sr_bool(body, 33))
            graph_fail(l->w, "wire: results with capabilities need no Finish");
    }
    if (a->finished || ww_sr_bool(body, 33))
        a->live = false;
}

static void return_received(struct look *l, struct ww_sr body)
{
    struct wire_question *q = &l->wire->question[id_check(l, ww_sr_u32(body, 0))];
    q->returned = true;
    if (!q->finished && ww_sr_u16(body, 3) == WW_RPC_RETURN_RESULTS)
        payload(l, ww_sr_ptr(body, 0));
    if (q->finished || ww_sr_bool(body, 33))
        q->live = false;
}

static void finish_sent(struct look *l, struct ww_sr body)
{
    uint32_t id = id_check(l, ww_sr_u32(body, 0));
    struct wire_question *q = &l->wire->question[id];
    if (!q->live || q->finished)
        graph_fail(l->w, "wire: Finish for question %u, which is finished", id);
    if (!ww_sr_bool(body, 32) == q->returned)
        graph_fail(l->w, "wire: Finish for question %u releases the wrong results", id);
    q->finished = true;
    if (q->returned || id >= HIGH)
        q->live = false;
}

static void export_released(struct look *l, uint32_t id, uint32_t count)
{
    struct wire_export *e = &l->wire->export[id];
    if (e->refs < count)
        graph_fail(l->w, "wire: export %u was released too often", id);
    e->refs -= count;
}

static void finish_received(struct look *l, struct ww_sr body)
{
    uint32_t id = id_check(l, ww_sr_u32(body, 0));
    struct wire_question *a = &l->wire->answer[id];
    if (!a->live)
        return;
    a->finished = true;
    if (!a->returned && id < HIGH)
        return;
    for (unsigned i = 0; i < a->result_count && !ww_sr_bool(body, 32); i++)
        export_released(l, a->results[i], 1);
    a->live = false;
}

static void resolve(struct look *l, struct ww_sr msg)
{
    uint32_t id = id_check(l, ww_sr_u32(msg, 0));
    struct wire_export *e = &l->wire->export[id];
    if (l->sent && (e->refs == 0 || !e->promise || e->resolved))
        graph_fail(l->w, "wire: Resolve of export %u, which is no open promise", id);
    if (l->sent)
        e->resolved = true;
    struct ww_sr body = ww_pr_struct(ww_sr_ptr(msg, 0));
    if (ww_sr_u16(msg, 2) != 0)
        return;
    if (ww_sr_u16(body, 0) == WW_RPC_DESC_NONE)
        graph_fail(l->w, "wire: Resolve of export %u to nothing", id);
    desc(l, body);
}

static void release(struct look *l, struct ww_sr body)
{
    uint32_t id = id_check(l, ww_sr_u32(body, 0)), count = ww_sr_u32(body, 1);
    if (!l->sent) {
        export_released(l, id, count);
        return;
    }
    if (count == 0 || l->wire->import[id] < count)
        graph_fail(l->w, "wire: import %u is released %u times of %u", id, count, l->wire->import[id]);
    l->wire->import[id] -= count;
}

static void disembargo(struct look *l, struct ww_sr body)
{
    uint32_t id = id_check(l, ww_sr_u32(body, 0));
    bool loopback = ww_sr_u16(body, 2) == 1;
    target(l, ww_pr_struct(ww_sr_ptr(body, 0)));
    /* Our own, until the answer comes; the peer's, until we answer. */
    bool *at = loopback == l->sent ? &l->wire->echo[id] : &l->wire->embargo[id];
    if (*at != loopback)
        graph_fail(l->w, "wire: Disembargo %u twice, or an answer without one", id);
    *at = !loopback;
}

static void caps_log(struct look *l, struct ww_pr at)
{
    static const char *const kinds[] = {"none", "hosted", "promise", "yours", "answer"};
    struct ww_lr list = ww_pr_list(ww_sr_ptr(ww_pr_struct(at), 1), WW_ELEM_STRUCT);
    for (uint32_t i = 0; i < list.count; i++) {
        struct ww_sr d = ww_lr_struct(list, i);
        uint16_t tag = ww_sr_u16(d, 0);
        uint32_t id = tag == WW_RPC_DESC_RECEIVER_ANSWER ? ww_sr_u32(ww_pr_struct(ww_sr_ptr(d, 0)), 0)
                                                         : ww_sr_u32(d, 1);
        graph_log(l->w, "          with %s %u", kinds[tag % 5], id);
    }
}

static void target_log(struct look *l, struct ww_sr target)
{
    bool promised = ww_sr_u16(target, 2) == 1;
    graph_log(l->w, "          to %s %u", promised ? "answer" : "import",
        promised ? ww_sr_u32(ww_pr_struct(ww_sr_ptr(target, 0)), 0) : ww_sr_u32(target, 0));
}

static void message_log(struct look *l, struct ww_sr root)
{
    static const char *const kinds[] = {"Unimplemented", "Abort", "Call", "Return", "Finish", "Resolve",
        "Release", "?", "Bootstrap", "?", "?", "?", "?", "Disembargo"};
    uint16_t tag = ww_sr_u16(root, 0);
    struct ww_sr body = ww_pr_struct(ww_sr_ptr(root, 0));
    struct link *link = l->side->link;
    graph_log(l->w, "        vat %u %s link %u: %s %u (%u, %u)", l->side->vat->id, l->sent ? "to" : "from",
        (unsigned)(link - l->w->link), kinds[tag % 14], ww_sr_u32(body, 0), ww_sr_u32(body, 1),
        ww_sr_u16(body, tag == WW_RPC_RETURN ? 3 : 2));
    if (tag == WW_RPC_CALL || tag == WW_RPC_DISEMBARGO)
        target_log(l, ww_pr_struct(ww_sr_ptr(body, 0)));
    if (tag == WW_RPC_CALL || (tag == WW_RPC_RETURN && ww_sr_u16(body, 3) == WW_RPC_RETURN_RESULTS))
        caps_log(l, ww_sr_ptr(body, tag == WW_RPC_CALL));
    if (tag == WW_RPC_RESOLVE && ww_sr_u16(body, 2) == 0) {
        struct ww_sr d = ww_pr_struct(ww_sr_ptr(body, 0));
        graph_log(l->w, "          to kind %u id %u", ww_sr_u16(d, 0), ww_sr_u32(d, 1));
    }
}

static void look(struct look *l, struct ww_sr root)
{
    struct ww_sr body = ww_pr_struct(ww_sr_ptr(root, 0));
    if (l->w->verbose)
        message_log(l, root);
    switch (ww_sr_u16(root, 0)) {
    case WW_RPC_BOOTSTRAP:
        question(l, body, false);
        break;
    case WW_RPC_CALL:
        call(l, body);
        break;
    case WW_RPC_RETURN:
        if (l->sent)
            return_sent(l, body);
        else
            return_received(l, body);
        break;
    case WW_RPC_FINISH:
        if (l->sent)
            finish_sent(l, body);
        else
            finish_received(l, body);
        break;
    case WW_RPC_RESOLVE:
        resolve(l, body);
        break;
    case WW_RPC_RELEASE:
        release(l, body);
        break;
    case WW_RPC_DISEMBARGO:
        disembargo(l, body);
        break;
    case WW_RPC_ABORT:
        break; /* the connection's state says whether it may */
    default:
        graph_fail(l->w, "wire: a message of kind %u", ww_sr_u16(root, 0));
    }
}

static void message(struct world *w, struct side *side, struct ww_bytes frame, bool sent)
{
    struct look l = {.w = w, .side = side, .wire = side->wire, .sent = sent};
    if (w->looped) /* calls go round until a limit is reached, beyond the ids that are noted here */
        return;
    graph_alloc_spare(true);
    if (ww_msg_open(&w->in, frame, &ww_msg_limits_default) < 0)
        graph_fail(w, "wire: a malformed message");
    struct ww_sr root = ww_pr_struct(ww_msg_root(&w->in));
    w->messages[ww_sr_u16(root, 0) % 16] += sent;
    look(&l, root);
    graph_alloc_spare(false);
}

void wire_sent(struct world *w, struct side *side, struct ww_bytes frame)
{
    message(w, side, frame, true);
}

void wire_received(struct world *w, struct side *side, struct ww_bytes frame)
{
    message(w, side, frame, false);
}

void wire_empty(struct world *w, struct side *side)
{
    const struct wire *x = side->wire;
    for (unsigned i = 0; i < x->top; i++) {
        if (x->question[i].live || x->answer[i].live)
            graph_fail(w, "wire: question %u is left over", i);
        if (x->export[i].refs > 0 || x->import[i] > 0)
            graph_fail(w, "wire: capability %u of vat %u is left over: export %u, import %u", i,
                side->vat->id, x->export[i].refs, x->import[i]);
        if (x->embargo[i] || x->echo[i])
            graph_fail(w, "wire: embargo %u is left over", i);
    }
}
