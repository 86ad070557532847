/* Tail calls: an answer whose outcome is another call's. To the peer that asked, over the same connection,
 * the results need not come here at all: it is told in the Return which of its own answers has them. */
#include "rpc/internal.h"

bool ww_rpc_tail_possible(const struct ww_rpc_call *answer, const struct ww_rpc_conn *conn)
{
    return conn->tail_calls && answer->sink == SINK_ANSWER && answer->a.conn == conn && !answer->a.returned &&
        !answer->a.finished && !answer->yourself && !answer->only_pipe && !answer->results_built &&
        !answer->parent;
}

/* The question stays until the answer's Finish: until then the peer may name results of the one by the other,
 * and those are at the peer. */
void ww_rpc_tail_sent(struct ww_rpc_call *answer, struct ww_rpc_call *question)
{
    struct ww_rpc_conn *conn = answer->a.conn;
    answer->tail_of = question;
    if (answer != question)
        (void)ww_rpc_call_ref(question);
    question->q.held = true;
    answer->a.returned = true;
    struct ww_sb ret = ww_rpc_return_begin(answer, conn, WW_RPC_RETURN_TAKE);
    ww_sb_set_u32(ret, 2, question->q.id);
    ww_rpc_out_end(conn);
}

void ww_rpc_tail_release(struct ww_rpc_call *answer, bool canceled)
{
    struct ww_rpc_call *question = answer->tail_of;
    if (!question)
        return;
    answer->tail_of = NULL;
    question->q.held = false;
    if (answer != question)
        ww_rpc_pipes_free(answer);
    if (canceled && question->state == CALL_SENT)
        ww_rpc_call_cancel(question);
    else
        ww_rpc_question_check(question);
    if (answer != question)
        ww_rpc_call_unref(question);
}

/* Not an order of its own: the promise of the child's result stands for the call's. */
void ww_rpc_pipes_follow(struct ww_rpc_call *call)
{
    struct ww_rpc_call *child = call->child;
    for (struct ww_rpc_pipe *at = call->pipes; at; at = at->next) {
        struct ww_cap *to;
        if (at->promise->promise.to || ww_rpc_pipe_of(call, child, at->path, at->len, &to) < 0)
            continue; /* without memory its calls wait for the outcome */
        ww_rpc_promise_settle(at->promise, to);
        ww_cap_unref(to);
    }
}
