/* The invariants of a connection's tables, numbered as in internal.h. */
#include "rpc/internal.h"

struct check {
    const struct ww_rpc_conn *conn;
    const char *fault;
    uint64_t inbound, held, charged_answers;
};

static void note(struct check *c, bool ok, const char *fault)
{
    if (!ok && !c->fault)
        c->fault = fault;
}

static void questions_check(struct check *c)
{
    const struct ww_rpc_slots *s = &c->conn->questions;
    uint32_t live = 0;
    for (uint32_t i = 0; i < s->size; i++) {
        const struct ww_rpc_call *call = s->at[i];
        if (!call)
            continue;
        live++;
        note(c, call->q.conn == c->conn && call->q.id == i, "1: question and slot disagree");
        note(c, !(call->q.returned && call->q.finished), "1: question outlived Return and Finish");
        note(c, call->refs > 0, "1: question without a reference");
        bool tail_used = call->tail && (call->q.held || ww_rpc_pipes_live(call));
        note(c, !call->q.returned || call->q.wires > 0 || tail_used, "1: Finish is overdue");
    }
    note(c, live == s->live, "1: count of questions");
}

static void high_check(void *ctx, uint64_t key, void *value)
{
    struct check *c = ctx;
    const struct ww_rpc_call *call = value;
    note(c, call->q.conn == c->conn && call->q.id == key && call->q.high && key >= WW_RPC_HIGH_ID,
        "9: question without a Return and slot disagree");
    note(c, !call->q.returned && call->refs > 0, "9: question outlived its Finish");
}

/* What the end of a connection leaves. */
static void closed_check(struct check *c)
{
    const struct ww_rpc_conn *conn = c->conn;
    note(c, conn->questions.live + conn->high.live + conn->answers.live == 0,
        "8: calls of a closed connection");
    note(c, conn->exports.live + conn->imports.live + conn->by_cap.live == 0,
        "8: capabilities of a closed one");
    note(c,
        conn->embargoes.live + conn->echo_count == 0 && ww_list_empty(&conn->held) &&
            ww_list_empty(&conn->late),
        "8: waiting for nobody");
    note(c, conn->inbound_bytes + conn->held_bytes + conn->calls_held_bytes == 0, "8: bytes of a closed one");
}

static void answer_check(void *ctx, uint64_t key, void *value)
{
    struct check *c = ctx;
    const struct ww_rpc_call *call = value;
    note(c, call->a.conn == c->conn && call->a.id == key, "2: answer and slot disagree");
    note(c, !(call->a.returned && call->a.finished), "2: answer outlived Return and Finish");
    note(c, call->refs > 0, "2: answer without a reference");
    note(c, !call->a.returned || call->state == CALL_DONE || call->tail_of, "2: Return before the outcome");
    note(c, !call->tail_of || call->tail_of->q.held, "2: tail call without a hold on its question");
    c->inbound += call->a.bytes;
    c->held += call->a.held;
    c->charged_answers += call->a.charged;
}

static void exports_check(struct check *c)
{
    const struct ww_rpc_slots *s = &c->conn->exports;
    uint32_t live = 0, keyed = 0;
    for (uint32_t i = 0; i < s->size; i++) {
        const struct ww_rpc_export *e = s->at[i];
        if (!e)
            continue;
        live++;
        note(c, e->id == i && e->refs > 0, "3: export and slot disagree");
        note(c, e->cap && e->cap->refs > 0, "3: export of nothing");
        note(c, !e->key || ww_rpc_idmap_get(&c->conn->by_cap, (uint64_t)(uintptr_t)e->key) == e,
            "3: export not found by its cap");
        note(c, !e->key || e->key->exported > 0, "3: cap does not know that it is exported");
        note(c, !e->promise || e->cap->kind != CAP_PROMISE || !ww_list_empty(&e->waiter.node),
            "3: exported promise without a watch");
        note(c, e->promise || e->cap->kind != CAP_PROMISE || e->cap->promise.to,
            "3: open promise exported as settled");
        keyed += e->key != NULL;
    }
    note(c, live == s->live, "3: count of exports");
    note(c, keyed == c->conn->by_cap.live, "3: map from caps");
}

static void import_check(void *ctx, uint64_t key, void *value)
{
    struct check *c = ctx;
    const struct ww_cap *raw = value;
    note(c, raw->kind == CAP_IMPORT && raw->import.conn == c->conn && raw->import.id == key,
        "4: import and slot disagree");
    note(c, raw->refs > 0 && raw->import.count > 0, "4: import without a reference");
    const struct ww_cap *wrapper = raw->import.wrapper;
    note(c, !wrapper || (!wrapper->promise.to && wrapper->promise.via == raw),
        "4: promise around another import");
}

static void embargoes_check(struct check *c)
{
    const struct ww_rpc_slots *s = &c->conn->embargoes;
    for (uint32_t i = 0; i < s->size; i++) {
        const struct ww_rpc_embargo *e = s->at[i];
        if (e)
            note(c, e->promise->kind == CAP_PROMISE && !e->promise->promise.to,
                "6: embargo on a resolved promise");
    }
}

static uint64_t held_bytes(const struct ww_rpc_conn *conn)
{
    uint64_t bytes = 0;
    for (const struct ww_list *at = conn->late.next; at != &conn->late; at = at->next)
        bytes += WW_LIST_ENTRY(at, struct ww_rpc_call, task.node)->a.bytes;
    for (const struct ww_list *at = conn->held.next; at != &conn->held; at = at->next)
        bytes += WW_LIST_ENTRY(at, struct ww_rpc_call, task.node)->a.bytes;
    return bytes;
}

ww_err ww_rpc_conn_check(const struct ww_rpc_conn *conn, struct ww_diag *diag)
{
    struct check c = {.conn = conn};
    questions_check(&c);
    ww_rpc_idmap_each(&conn->high, high_check, &c);
    if (!conn->open)
        closed_check(&c);
    ww_rpc_idmap_each(&conn->answers, answer_check, &c);
    exports_check(&c);
    ww_rpc_idmap_each(&conn->imports, import_check, &c);
    embargoes_check(&c);
    note(&c, c.inbound == conn->inbound_bytes, "5: inbound bytes");
    note(&c, held_bytes(conn) == conn->calls_held_bytes, "7: bytes of calls held back");
    note(&c, c.held == conn->held_bytes, "5: bytes of results");
    const struct ww_budget *b = conn->budget;
    if (b && !b->parent) { /* a budget of this connection alone can be compared exactly */
        note(&c, b->used[WW_RES_QUESTIONS] == c.charged_answers, "5: questions charged");
        note(&c, b->used[WW_RES_EXPORTS] == conn->exports.live, "5: exports charged");
        uint64_t bytes =
            sizeof *conn + conn->in_charged + conn->out_bytes + conn->inbound_bytes + conn->held_bytes;
        bytes +=
            conn->imports.live * sizeof(struct ww_cap) + conn->echo_count * sizeof(struct ww_rpc_request);
        note(&c, b->used[WW_RES_BYTES] == bytes, "5: bytes charged");
    }
    note(&c, conn->vat->depth == 0, "checked inside a call");
    return c.fault ? ww_diag_set(diag, WW_ESTATE, "%s", c.fault) : 0;
}
