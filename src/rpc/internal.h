/* rpc/internal.h — the objects of the RPC core and how its files share them.
 *
 * A *call* is one record for a call's whole life: built by the application or received as an answer, waiting
 * on a promise, running in a local object, sent as a question, done. A proxied call is an answer on one
 * connection and a question on another at the same time. A *cap* is a node of one of five kinds; only
 * promises ever lead elsewhere.
 *
 * Discipline. Everything is synchronous down to a queue: the vat's run queue, a promise's queue, or the
 * outgoing bytes; so the order of sending is the order of arrival. Application code runs from the run queue
 * alone. A node whose count falls to 0 goes to the vat's list of the doomed, which is emptied when the
 * outermost public function leaves (ww_rpc_leave): no table changes behind the back of a function that walks
 * it, and chains of any length are torn down without recursion. Queues of resolved promises are flushed from
 * a list for the same reason.
 *
 * Invariants (ww_rpc_conn_check names them by number)
 *   1  A question's slot and its record name each other; it is gone when Return came and Finish went, and its
 *      Finish goes as soon as nothing here can name its results.
 *   2  An answer's slot and its record name each other; it is gone when Return went and Finish came, or when
 *      none was needed. A tail call's question stays as long as the answer that it is for.
 *   3  An export's count is that of its descriptors sent and not released; the map from caps finds exactly
 * the live exports; an open promise is exported as one, and is watched. 4  An import's count is that of its
 * descriptors received since the last Release; its node exists, and the promise around it is unresolved: a
 * promise resolves once. 5  What the budget was charged is what the tables and queues hold. 6  An embargoed
 * promise is unresolved and has its id in the table. 7  Calls are held back only on an open connection, and
 * their bytes are counted. 8  A connection that is closed holds nothing: tables, queues and charges are
 * empty. 9  A question to which no Return is expected has a high id, and no other has.
 */
#ifndef WW_RPC_INTERNAL_H
#define WW_RPC_INTERNAL_H

#include "base/base.h"
#include "base/budget.h"
#include "base/list.h"
#include "rpc/flow.h"
#include "rpc/idmap.h"
#include "ww/rpc.h"

enum {
    WW_RPC_PIPES_MAX = 1024,  /* distinct result paths of one call: they are searched in order */
    WW_RPC_FOLLOW_HOPS = 256, /* calls forwarded to one another, whose results' promises follow each other */
    WW_RPC_ROOT_HOPS = 1024,  /* calls that wait for one another, looked through for a ring */
    WW_RPC_POOL_CALLS = 256,  /* records kept for reuse, with their messages' first segments */
    WW_RPC_POOL_CAPS = 1024,
    WW_RPC_POOL_CHUNKS = 16,
    WW_RPC_KEEP_BYTES = 4 * 1024,   /* a pooled message's memory above this goes to the spares */
    WW_RPC_SPARE_MAX = 256 * 1024,  /* a spare */
    WW_RPC_SPARE_BYTES = 2 << 20,   /* all spares of a vat */
    WW_RPC_CHUNK_BYTES = 32 * 1024, /* of outgoing bytes */
    WW_RPC_CHUNK_LEAST =
        2 * 1024,                /* and what the first one of a connection is when many have output waiting */
    WW_RPC_BIG_BYTES = 8 * 1024, /* a message from here on is passed on, not copied */
    WW_RPC_READ_BYTES = 64 * 1024,
    WW_RPC_REASON_MAX = 1024, /* of a peer's exception text; the rest is cut off */
};

#define WW_RPC_HIGH_ID (UINT32_C(1) << 31) /* and up: questions to which no Return is expected */

/* Message tags of rpc.capnp, the ones we know. */
enum {
    WW_RPC_UNIMPLEMENTED = 0,
    WW_RPC_ABORT = 1,
    WW_RPC_CALL = 2,
    WW_RPC_RETURN = 3,
    WW_RPC_FINISH = 4,
    WW_RPC_RESOLVE = 5,
    WW_RPC_RELEASE = 6,
    WW_RPC_BOOTSTRAP = 8,
    WW_RPC_DISEMBARGO = 13,
};

enum { WW_RPC_RESULTS_CALLER = 0, WW_RPC_RESULTS_YOURSELF = 1 };
enum {
    WW_RPC_RETURN_RESULTS = 0,
    WW_RPC_RETURN_EXCEPTION = 1,
    WW_RPC_RETURN_CANCELED = 2,
    WW_RPC_RETURN_ELSEWHERE = 3,
    WW_RPC_RETURN_TAKE = 4,
};
enum {
    WW_RPC_DESC_NONE = 0,
    WW_RPC_DESC_SENDER_HOSTED = 1,
    WW_RPC_DESC_SENDER_PROMISE = 2,
    WW_RPC_DESC_RECEIVER_HOSTED = 3,
    WW_RPC_DESC_RECEIVER_ANSWER = 4,
    WW_RPC_DESC_THIRD_PARTY = 5,
};

/* Why a call failed; immutable, shared. */
struct ww_rpc_exc {
    uint32_t refs;
    ww_err err; /* one of the four of calls */
    const char *text;
    const char *trace; /* NULL: none */
    uint32_t detail_count;
    struct ww_rpc_detail details[]; /* and behind them the bytes of all that */
};

struct ww_rpc_task {
    struct ww_list node;
    void (*run)(struct ww_rpc_task *task);
};

struct ww_rpc_vat {
    uint32_t refs;  /* one of the owner, one a cap, a call, a stream */
    uint32_t depth; /* public functions entered */
    bool freed, running, woken;
    struct ww_rpc_limits limits;
    uint64_t hash_seed[2];
    struct ww_rpc_vat_host *host;
    uint64_t now_ns;
    struct ww_list ready;  /* tasks */
    struct ww_list dirty;  /* connections with output to announce */
    struct ww_list kicked; /* promises whose queue can move on */
    struct ww_list doomed; /* caps without references */
    struct ww_list doomed_calls;
    struct ww_list idle; /* calls that perhaps nobody waits for any more, by idle_node; counted */
    struct ww_list free_calls, free_caps;
    uint32_t free_call_count, free_cap_count, free_chunk_count;
    uint32_t chunk_count; /* of WW_RPC_CHUNK_BYTES, in use or free */
    struct ww_rpc_chunk *free_chunks;
    struct ww_rpc_spare *spares; /* memory of large messages, for the next ones */
    size_t spare_bytes;
    uint32_t stream_count;                                  /* ever */
    uint64_t conn_count;                                    /* ever */
    struct ww_rpc_exc *exc_memory, *exc_null, *exc_dropped; /* made with the vat: failing needs no memory */
    struct ww_cap *null_cap;
    uint8_t *read_buffer; /* of ww_rpc_conn_rbuf, made on first use */
};

enum ww_cap_kind { CAP_SERVER, CAP_IMPORT, CAP_PIPE, CAP_PROMISE, CAP_BROKEN };

enum {
    CAP_CALLS_SENT = 1 << 1, /* promise: something went out through `via` */
    CAP_LOOPED =
        1 << 2, /* promise: resolved at birth; stands for a cap that came back to us through the peer */
    CAP_KICKED = 1 << 3,   /* promise: new calls wait: it is on the vat's list, or its membrane moves it */
    CAP_MEMO = 1 << 4,     /* promise: listed in a call's pipes, which hold one reference */
    CAP_NULL_ = 1 << 5,    /* broken: stands for the null capability */
    CAP_DROPPING = 1 << 6, /* server: `drop` is to run */
    CAP_SETTLED_ = 1 << 7, /* import promise: Resolve came */
};

struct ww_cap {
    struct ww_list node; /* doomed, free, kicked */
    uint32_t refs;
    uint8_t kind, flags;
    uint32_t exported; /* how many connections' maps know this node */
    struct ww_rpc_vat *vat;
    union {
        struct {
            struct ww_rpc_server *server;
            struct ww_list queue;      /* calls behind a streaming call */
            struct ww_rpc_call *busy;  /* the streaming call */
            struct ww_rpc_exc *broken; /* of a streaming call that failed */
            struct ww_rpc_task task;   /* drains the queue, or drops */
        } local;
        struct {
            struct ww_rpc_conn *conn;
            struct ww_cap *wrapper; /* the promise around it, not counted; NULL when none */
            struct ww_cap *to;      /* counted: an error, or what may still become one, that Resolve told */
            uint32_t id, count;
            bool promise;
        } import;
        struct {
            struct ww_rpc_call *call; /* counted */
            struct ww_rpc_pipe *pipe;
        } pipe;
        struct {
            struct ww_cap *via;        /* an import or pipe that takes calls meanwhile */
            struct ww_cap *to;         /* the resolution */
            struct ww_list queue;      /* calls and disembargoes, when there is no `via` */
            struct ww_list watches;    /* struct cap_watch of the application and struct promise_export */
            struct ww_rpc_call *owner; /* CAP_MEMO: whose result this is, not counted */
            uint32_t queued;
            uint32_t hops; /* promises that lead here, one by way of the other */
        } promise;
        struct ww_rpc_exc *exc; /* broken */
    };
};

/* Something that wants to know when a promise moved on. */
struct ww_rpc_waiter {
    struct ww_list node;
    void (*resolved)(struct ww_rpc_waiter *waiter, struct ww_cap *promise);
};

/* A result path of a call, and the one promise that stands for it. */
struct ww_rpc_pipe {
    struct ww_rpc_pipe *next;
    struct ww_cap *promise; /* counted */
    struct ww_cap *raw;     /* its wire, not counted; NULL: none */
    bool stale;             /* found no more: the results say it better */
    bool under;             /* as it is before it crosses the call's membranes */
    uint16_t len;
    uint16_t path[];
};

/* Export ids that one message carried. */
struct ww_rpc_ids {
    uint32_t *at;
    uint32_t count, capacity;
};

enum ww_rpc_call_state {
    CALL_NEW,       /* the application builds it */
    CALL_HELD,      /* came while we hold too much for its peer: waits with the connection */
    CALL_QUEUED,    /* in a promise's queue */
    CALL_READY,     /* in the run queue, or behind a streaming call: will be delivered or will fail */
    CALL_RUNNING,   /* a handler has it */
    CALL_SENT,      /* a question */
    CALL_FORWARDED, /* another call's outcome will be its own */
    CALL_DONE,
};

enum ww_rpc_sink {
    SINK_NONE,
    SINK_APP,
    SINK_ANSWER,
    SINK_STREAM,
    SINK_DISEMBARGO, /* no call: an echo that waits its turn in a promise's queue */
};

struct ww_rpc_call {
    struct ww_rpc_task task; /* run queue, or a queue of a promise or an object; at the end a pool */
    struct ww_rpc_task cancel_task;
    struct ww_list idle_node;
    struct ww_rpc_vat *vat;
    uint32_t refs;
    uint8_t state, sink;
    bool handle;   /* the application holds the request */
    bool interest; /* somebody, or nobody on purpose, wants the call to go through */
    bool streaming, canceled, cancel_told;
    bool yourself, taken; /* an answer: results stay here; another call of ours took them */
    bool no_pipe;         /* nothing will be pipelined on the results */
    bool only_pipe;       /* there will be no Return */
    bool tail;            /* a question: its results stay with the peer */
    uint16_t method;
    uint64_t iface;
    struct ww_cap *target;         /* counted while the call is new, ready or running */
    struct ww_cap *queued_in;      /* CALL_QUEUED: not counted */
    struct ww_sb call_b, return_b; /* structs in messages that we build */
    struct ww_pb params_b, results_b;
    struct ww_pr params_r, results_r;
    bool params_built, results_built, has_results;
    bool results_lent; /* to the outgoing bytes */
    struct ww_rpc_exc *exc;
    struct ww_rpc_call *outcome; /* counted: whose results these are, when not our own */
    struct ww_rpc_pipe *pipes;
    uint32_t pipe_count;

    struct ww_rpc_wait *wait;
    struct ww_rpc_call *parent;       /* counted: what our outcome is for, too */
    struct ww_rpc_call *child;        /* not counted: whose parent we are */
    struct ww_rpc_call *tail_of;      /* an answer, while the peer may use it: the question, perhaps this very
                                         call, whose results the peer has; it must not be finished */
    struct ww_rpc_crossing *crossing; /* of membranes, the latest first */
    bool abandoned;                   /* to be cancelled even if others depend on it */
    bool severed;                     /* done, though its handler still has it, and one reference for that */
    struct ww_rpc_stream_impl *stream;
    uint64_t stream_bytes;
    struct ww_rpc_flow_mark stream_mark;
    struct ww_rpc_cancel *on_cancel;

    struct {
        struct ww_rpc_conn *conn;             /* NULL: is no question */
        uint32_t id, wires;                   /* wires: pipe nodes that name it */
        struct ww_list dependents, dependent; /* calls under way that were sent to its result */
        struct ww_rpc_call *on; /* not counted: whose dependent this one is, while that one is a question */
        bool returned, finished;
        bool high;         /* in the table of those without a Return */
        bool held;         /* by the answer that it is a tail call of */
        bool unfinishable; /* the peer has forgotten it already */
        struct ww_rpc_ids exports;
    } q;
    struct {
        struct ww_rpc_conn *conn; /* NULL: is no answer */
        uint32_t id;
        bool returned, finished, charged;
        uint64_t bytes; /* of parameters still held, charged */
        uint64_t held;  /* kept for the peer's Finish, charged: of results, and of promises of them */
        struct ww_rpc_ids exports;
    } a;
    uint32_t disembargo; /* SINK_DISEMBARGO: the id; a.conn says where */
    bool lift;           /* SINK_DISEMBARGO: not an echo to send, but an embargo of ours to lift */
    bool stays;          /* not delivered yet, canceled by a peer that counts on its being delivered */
    ww_err params_err;   /* what reading the parameters found, kept when they are given back */

    /* Last, because a record from the pool keeps their memory. */
    struct ww_msg params, results;
};

/* The handle under which the application holds a call that it makes. */
struct ww_rpc_request {
    struct ww_rpc_call call;
};

struct ww_rpc_export {
    struct ww_rpc_waiter waiter; /* while a promise */
    struct ww_rpc_conn *conn;
    struct ww_cap *cap; /* where the peer's calls go: what was described, once it was resolved on the wire */
    struct ww_cap *key; /* under which the map finds it; NULL when it does not */
    uint32_t id, refs;
    bool promise;
};

struct ww_rpc_embargo {
    struct ww_cap *promise, *target;
};

/* Bytes to write: copied here, or a segment of a message that stays where it is until it is written. */
struct ww_rpc_chunk {
    struct ww_rpc_chunk *next;
    uint8_t *bytes;
    size_t head, tail, capacity;
    struct ww_rpc_call *call; /* counted: whose results these are */
    struct ww_msg *msg;       /* whose memory this is; lies behind the chunk */
    uint8_t data[];
};

struct ww_rpc_conn {
    struct ww_list dirty_node;
    struct ww_rpc_task closed_task;
    struct ww_rpc_vat *vat;
    struct ww_rpc_conn_host *host;
    struct ww_cap *bootstrap;
    struct ww_budget *budget;
    bool packed, open, announced, aborting;
    ww_err close_err;
    struct ww_rpc_exc *close_exc;
    struct ww_frame_in in;
    uint64_t in_charged;
    bool in_direct; /* the last ww_rpc_conn_rbuf gave a place inside the message to come */
    struct ww_msg scratch_in, scratch_out;
    struct ww_msg_limits msg_limits;
    struct ww_rpc_slots questions, exports, embargoes;
    struct ww_rpc_idmap answers, imports, by_cap;
    struct ww_rpc_idmap high; /* questions without a Return */
    uint32_t high_next;
    bool high_unknown; /* the peer sent a Return for one: it does not know the hint */
    bool tail_calls;
    struct ww_rpc_chunk *out_first, *out_last;
    struct ww_list echoes; /* Disembargoes to answer later, by cancel_task.node */
    uint32_t echo_count;
    uint64_t out_bytes, inbound_bytes, held_bytes;
    uint64_t calls_out, calls_in;
    struct ww_list held;       /* calls, and Disembargoes behind them, that came while we hold too much */
    struct ww_list late;       /* calls before those: the results of others filled the outgoing queue while
                                  they were on their way to an object */
    uint64_t calls_held_bytes; /* what is in both lists, of inbound_bytes */
    struct ww_rpc_task held_task;
    uint64_t serial;                  /* in the vat, never 0 */
    uint64_t stream_window;           /* 0: adaptive */
    struct ww_rpc_ids broken_exports; /* to be resolved to an exception behind the message that names them */
    struct ww_list free_exports;
};

/* vat.c */
struct ww_rpc_vat *ww_rpc_vat_ref(struct ww_rpc_vat *vat);
void ww_rpc_vat_unref(struct ww_rpc_vat *vat);
void ww_rpc_task_push(struct ww_rpc_vat *vat, struct ww_rpc_task *task);
void ww_rpc_wake(struct ww_rpc_vat *vat);
void ww_rpc_leave(struct ww_rpc_vat *vat);

static inline void ww_rpc_enter(struct ww_rpc_vat *vat)
{
    vat->depth++;
}

/* exc.c: these never fail: without memory it is the vat's exception for that. `err` of any kind becomes one
 * of the four of calls. */
struct ww_rpc_exc *ww_rpc_exc_new(struct ww_rpc_vat *vat, ww_err err, struct ww_bytes text);
/* "`what`: the text of `err`" */
struct ww_rpc_exc *ww_rpc_exc_because(struct ww_rpc_vat *vat, ww_err err, const char *what);
struct ww_rpc_exc *ww_rpc_exc_unknown(
    struct ww_rpc_vat *vat, const char *name, uint64_t interface_id, uint16_t method_id);
struct ww_rpc_exc *ww_rpc_exc_copy(struct ww_rpc_vat *vat, const struct ww_rpc_exception *exception);
struct ww_rpc_exc *ww_rpc_exc_read(struct ww_rpc_vat *vat, struct ww_sr sr);
struct ww_rpc_exc *ww_rpc_exc_read_as(struct ww_rpc_vat *vat, struct ww_sr sr, ww_err err);
static inline struct ww_rpc_exc *ww_rpc_exc_ref(struct ww_rpc_exc *exc)
{
    exc->refs++;
    return exc;
}
void ww_rpc_exc_unref(struct ww_rpc_exc *exc);

/* cap.c */
struct ww_cap *ww_rpc_cap_alloc(struct ww_rpc_vat *vat, enum ww_cap_kind kind);
void ww_rpc_cap_destroy(struct ww_cap *cap);
/* Where calls on `cap` end as far as is known. NULL for NULL. */
struct ww_cap *ww_rpc_cap_inner(struct ww_cap *cap);
/* The same with what is known of the ways over the wire that calls on `cap` keep to. Borrowed. */
struct ww_cap *ww_rpc_cap_known(const struct ww_cap *cap);
/* Of one that ww_rpc_cap_known gave: is it still to be known where it leads? */
bool ww_rpc_cap_is_open(const struct ww_cap *cap);
struct ww_cap *ww_rpc_promise_new(struct ww_rpc_vat *vat, struct ww_cap *via);
/* Takes the reference; a broken cap, never NULL unless memory is out. */
struct ww_cap *ww_rpc_broken_new(struct ww_rpc_vat *vat, struct ww_rpc_exc *exc);
/* The wire connection that calls on `cap` go over, if that is all they do. */
struct ww_rpc_conn *ww_rpc_cap_conn(const struct ww_cap *cap);
/* Settles `p` on `to` (NULL: null), with an embargo where the order of calls needs one. */
void ww_rpc_promise_resolve(struct ww_cap *p, struct ww_cap *to);
void ww_rpc_promise_reject(struct ww_cap *p, struct ww_rpc_exc *exc);
/* Would it need one? */
bool ww_rpc_promise_loops(struct ww_cap *p, struct ww_cap *to);
/* Sets the resolution without looking for an embargo. */
void ww_rpc_promise_settle(struct ww_cap *p, struct ww_cap *to);
void ww_rpc_promise_kick(struct ww_cap *p);
void ww_rpc_promise_flush(struct ww_cap *p);
void ww_rpc_promise_watch(struct ww_cap *p, struct ww_rpc_waiter *waiter);

/* local.c */
void ww_rpc_local_deliver(struct ww_rpc_task *task);
void ww_rpc_local_arrived(struct ww_cap *cap, struct ww_rpc_call *call);
void ww_rpc_local_completed(struct ww_cap *cap, struct ww_rpc_call *call, struct ww_rpc_exc *exc);
void ww_rpc_local_drop(struct ww_cap *cap);

/* call.c */
struct ww_rpc_call *ww_rpc_call_alloc(struct ww_rpc_vat *vat);
void ww_rpc_call_destroy(struct ww_rpc_call *call);
static inline struct ww_rpc_call *ww_rpc_call_ref(struct ww_rpc_call *call)
{
    call->refs++;
    return call;
}
void ww_rpc_call_unref(struct ww_rpc_call *call);
/* A queued call leaves its promise's queue. */
void ww_rpc_call_unqueue(struct ww_rpc_call *call);
/* Sends `call` on its way to `cap`. */
void ww_rpc_route(struct ww_rpc_call *call, struct ww_cap *cap);
/* Takes the reference; the call fails from the run queue. */
void ww_rpc_call_fail_later(struct ww_rpc_call *call, struct ww_rpc_exc *exc);
/* The outcome is known: has_results, exc (taken by ..._fail_now) or outcome is set. */
void ww_rpc_call_complete(struct ww_rpc_call *call);
void ww_rpc_call_fail_now(struct ww_rpc_call *call, struct ww_rpc_exc *exc);
/* Everybody who waits is told the outcome. */
void ww_rpc_call_tell(struct ww_rpc_call *call);
static inline bool ww_rpc_call_in_hand(const struct ww_rpc_call *call)
{
    return call->state == CALL_RUNNING || call->severed;
}
void ww_rpc_call_drop_params(struct ww_rpc_call *call);
/* The record that holds the outcome of a call that is done. */
struct ww_rpc_call *ww_rpc_call_outcome(struct ww_rpc_call *call);
struct ww_sb ww_rpc_call_header(struct ww_msg *m, uint64_t iface, uint16_t method, struct ww_pb *ret_params);
WW_MUST_USE ww_err ww_rpc_params_begin(struct ww_rpc_call *call, uint32_t words);
void ww_rpc_results_begin(struct ww_rpc_call *call, uint32_t words);
void ww_rpc_results_drop(struct ww_rpc_call *call);
struct ww_pr ww_rpc_params_reader(struct ww_rpc_call *call);
struct ww_pr ww_rpc_results_reader(struct ww_rpc_call *call);

/* cancel.c */
/* Nobody waits any more. */
void ww_rpc_call_cancel(struct ww_rpc_call *call);
/* Perhaps nobody waits any more. Between ww_rpc_enter and ww_rpc_leave, which finds out. */
void ww_rpc_call_abandoned(struct ww_rpc_call *call);
void ww_rpc_call_idle(struct ww_rpc_call *call);

/* tail.c: calls whose results stay with the peer, or become another call's */
/* May the question to `conn` that this record becomes, or that is sent for `answer`, be a tail call? */
bool ww_rpc_tail_possible(const struct ww_rpc_call *answer, const struct ww_rpc_conn *conn);
/* The Call went out: says in the Return of `answer` where its results are. */
void ww_rpc_tail_sent(struct ww_rpc_call *answer, struct ww_rpc_call *question);
/* The peer has no more use for the answer; `canceled`: nor for the results. */
void ww_rpc_tail_release(struct ww_rpc_call *answer, bool canceled);
/* What was pipelined on `call` goes the way of its child. */
void ww_rpc_pipes_follow(struct ww_rpc_call *call);

/* pipe.c: capabilities in results that are not there yet */
/* A new reference to the capability at `path`, promise or not. Without memory: WW_ENOMEM; too many:
 * WW_ELIMIT. */
WW_MUST_USE ww_err ww_rpc_call_pipe(
    struct ww_rpc_call *call, const uint16_t *path, size_t len, struct ww_cap **ret_cap);
/* The call became a question: its pipelined calls can follow. */
void ww_rpc_pipes_sent(struct ww_rpc_call *call);
/* Before the Return of an answer is written: a result that calls were pipelined on, and that has to wait for
 * them, is described as the promise that waits. */
void ww_rpc_pipes_embargo(struct ww_rpc_call *call);
void ww_rpc_pipes_substitute(struct ww_rpc_call *call);
/* The connection is gone: whoever holds on to what the peer would have told apart gets this instead. */
void ww_rpc_wires_break(struct ww_rpc_call *call, struct ww_rpc_exc *exc);
/* The result of `other`, which is to be that of `call`, as the callers of `call` see it. */
WW_MUST_USE ww_err ww_rpc_pipe_of(struct ww_rpc_call *call, struct ww_rpc_call *other, const uint16_t *path,
    size_t len, struct ww_cap **ret_cap);
/* The outcome is there and has not crossed the call's membranes yet. */
void ww_rpc_pipes_under_done(struct ww_rpc_call *call);
/* The call is done: its promises are settled. */
void ww_rpc_pipes_done(struct ww_rpc_call *call);
bool ww_rpc_pipes_live(const struct ww_rpc_call *call);
void ww_rpc_pipes_free(struct ww_rpc_call *call);

/* out.c */
/* Of a large message only views are queued: it is moved away, unless it is the results of `results_of`, which
 * stay readable. */
WW_MUST_USE ww_err ww_rpc_out_msg(
    struct ww_rpc_conn *conn, struct ww_msg *msg, struct ww_rpc_call *results_of);
void ww_rpc_chunk_free(struct ww_rpc_chunk *chunk);
WW_MUST_USE ww_err ww_rpc_out_small(struct ww_rpc_conn *conn, uint16_t tag, uint64_t word);
void ww_rpc_out_free(struct ww_rpc_conn *conn);
/* An empty message of our own: its Message struct with the tag set. */
struct ww_sb ww_rpc_out_begin(struct ww_rpc_conn *conn, uint16_t tag);
/* Sends what ..._begin began; a connection that cannot send what it must is lost. */
void ww_rpc_out_end(struct ww_rpc_conn *conn);
void ww_rpc_out_exception(struct ww_pb at, const struct ww_rpc_exc *exc);

/* desc.c */
WW_MUST_USE ww_err ww_rpc_desc_write(struct ww_rpc_conn *conn, struct ww_sb desc, struct ww_cap *cap,
    struct ww_rpc_ids *ids, struct ww_cap **ret_described);
/* Describes the message's capabilities in its payload; `pin` replaces them with what was described. On
 * failure nothing stays exported. */
WW_MUST_USE ww_err ww_rpc_caps_write(
    struct ww_rpc_conn *conn, struct ww_sb payload, struct ww_msg *msg, struct ww_rpc_ids *ids, bool pin);
/* Behind a message with descriptors: resolves those that were broken from the start. */
void ww_rpc_caps_written(struct ww_rpc_conn *conn);
/* WW_EPROTO, WW_ELIMIT: the connection cannot go on. WW_ENOMEM. */
WW_MUST_USE ww_err ww_rpc_desc_read(struct ww_rpc_conn *conn, struct ww_sr desc, struct ww_cap **ret_cap);
WW_MUST_USE ww_err ww_rpc_caps_read(struct ww_rpc_conn *conn, struct ww_sr payload, struct ww_msg *msg);
void ww_rpc_target_write(struct ww_sb target, struct ww_cap *raw);
/* `ret_path` has room for limits.transform_ops. WW_EPROTO, WW_ELIMIT. */
WW_MUST_USE ww_err ww_rpc_transform_read(
    struct ww_rpc_conn *conn, struct ww_sr promised, uint16_t *ret_path, size_t *ret_len);
void ww_rpc_ids_free(struct ww_rpc_ids *ids);
WW_MUST_USE ww_err ww_rpc_ids_add(struct ww_rpc_ids *ids, uint32_t id);

/* tables.c */
WW_MUST_USE ww_err ww_rpc_export_add(
    struct ww_rpc_conn *conn, struct ww_cap *cap, bool promise, bool shared, uint32_t *ret_id);
WW_MUST_USE ww_err ww_rpc_export_release(struct ww_rpc_conn *conn, uint32_t id, uint32_t count);
void ww_rpc_exports_release(struct ww_rpc_conn *conn, struct ww_rpc_ids *ids);
WW_MUST_USE ww_err ww_rpc_import(
    struct ww_rpc_conn *conn, uint32_t id, bool promise, struct ww_cap **ret_cap);
/* The promise around an import that Resolve has yet to come for: a new reference, or NULL without memory. */
struct ww_cap *ww_rpc_import_promise(struct ww_cap *raw);
void ww_rpc_import_destroy(struct ww_cap *cap);
WW_MUST_USE ww_err ww_rpc_embargo_add(
    struct ww_rpc_conn *conn, struct ww_cap *promise, struct ww_cap *target, uint32_t *ret_id);

/* held.c */
/* Must what comes now wait? */
bool ww_rpc_held_wanted(const struct ww_rpc_conn *conn);
void ww_rpc_held_add(struct ww_rpc_conn *conn, struct ww_rpc_call *call, struct ww_cap *target);
/* At its object's door: must it wait even so? */
bool ww_rpc_held_late(struct ww_rpc_call *call);
void ww_rpc_held_remove(struct ww_rpc_call *call);
/* Something was given back: what waits may be able to go on. */
void ww_rpc_held_check(struct ww_rpc_conn *conn);
void ww_rpc_held_drop(struct ww_rpc_conn *conn);

/* question.c */
void ww_rpc_question_send(struct ww_rpc_call *call, struct ww_cap *raw);
/* The call no longer depends on the one to whose result it was sent. */
void ww_rpc_question_settled(struct ww_rpc_call *call);
/* The call is no question any more: there is nothing to keep for those that depended on it. They do not keep
 * it either, because their own results may be among its own. */
void ww_rpc_question_over(struct ww_rpc_call *call);
/* Sends Finish, and frees the slot, when it is time. */
void ww_rpc_question_check(struct ww_rpc_call *call);
/* answer.c */
void ww_rpc_answer_return(struct ww_rpc_call *call);
struct ww_sb ww_rpc_return_begin(struct ww_rpc_call *call, struct ww_rpc_conn *conn, uint16_t tag);
void ww_rpc_answer_remove(struct ww_rpc_call *call);
void ww_rpc_answer_unpin(struct ww_rpc_call *call);
void ww_rpc_answer_uncharge(struct ww_rpc_call *call);
/* The peer will not ask for the results again: they are given back before its Finish. */
void ww_rpc_answer_forget(struct ww_rpc_call *call);
/* So many bytes more are kept until the peer's Finish. WW_EOVERLOADED, WW_EBUDGET. */
WW_MUST_USE ww_err ww_rpc_answer_keep(struct ww_rpc_call *call, uint64_t bytes);
/* All that the answer was charged with. */
void ww_rpc_answer_settle(struct ww_rpc_call *call);

/* embargo.c */
/* A Disembargo that waited with the connection takes effect. */
void ww_rpc_disembargo_go(struct ww_rpc_call *call);
/* The first half of an embargo on `p`, whose calls went over `conn`: returns the promise to lead `p` to. */
struct ww_cap *ww_rpc_embargo_begin(struct ww_rpc_conn *conn, struct ww_cap *p, struct ww_cap *to);
/* Answers a senderLoopback for `target`, now or when `target` has sent on what waits in it. WW_EPROTO: it
 * does not lead back to the peer. */
WW_MUST_USE ww_err ww_rpc_disembargo_target(
    struct ww_rpc_conn *conn, uint32_t embargo_id, struct ww_cap *target);
/* An echo came out of a promise's queue and goes on to `cap`. */
void ww_rpc_disembargo_arrived(struct ww_rpc_call *echo, struct ww_cap *cap);
void ww_rpc_disembargo_free(struct ww_rpc_call *echo);

/* in.c */
/* Opens a message that came, for somebody who may keep it. */
WW_MUST_USE ww_err ww_rpc_msg_keep(struct ww_rpc_conn *conn, struct ww_msg *m, struct ww_bytes frame);
/* One function a message; an error closes the connection with an Abort. */
WW_MUST_USE ww_err ww_rpc_recv_abort(struct ww_rpc_conn *conn, struct ww_sr body);
WW_MUST_USE ww_err ww_rpc_recv_bootstrap(struct ww_rpc_conn *conn, struct ww_sr msg);
WW_MUST_USE ww_err ww_rpc_recv_call(struct ww_rpc_conn *conn, struct ww_sr msg, struct ww_bytes frame);
WW_MUST_USE ww_err ww_rpc_recv_return(struct ww_rpc_conn *conn, struct ww_sr msg, struct ww_bytes frame);
WW_MUST_USE ww_err ww_rpc_recv_finish(struct ww_rpc_conn *conn, struct ww_sr msg);
WW_MUST_USE ww_err ww_rpc_recv_resolve(struct ww_rpc_conn *conn, struct ww_sr msg);
WW_MUST_USE ww_err ww_rpc_recv_disembargo(struct ww_rpc_conn *conn, struct ww_sr msg);
WW_MUST_USE ww_err ww_rpc_recv_unimplemented(struct ww_rpc_conn *conn, struct ww_sr msg);

/* spare.c */
void ww_rpc_spares_free(struct ww_rpc_vat *vat);
/* Resets it for its next use; large memory becomes a spare. */
void ww_rpc_msg_recycle(struct ww_rpc_vat *vat, struct ww_msg *m);
/* Gives it a spare for a message of this size, when it has too little and there is one. */
void ww_rpc_msg_reserve(struct ww_rpc_vat *vat, struct ww_msg *m, uint64_t bytes);
uint32_t ww_rpc_msg_words(const struct ww_msg *m);
/* A message begins in `data` that does not end there: a spare for it. */
void ww_rpc_in_reserve(struct ww_rpc_conn *conn, struct ww_bytes data);
void ww_rpc_in_trim(struct ww_rpc_conn *conn);

/* conn.c */
void ww_rpc_conn_fail(struct ww_rpc_conn *conn, ww_err err, const char *reason, bool tell_peer);
void ww_rpc_conn_output(struct ww_rpc_conn *conn);

/* membrane.c */
/* The results pass back through every membrane that the call crossed, or the call fails. */
void ww_rpc_crossings_done(struct ww_rpc_call *call);
/* What one of its results is to its caller: a new reference. */
WW_MUST_USE ww_err ww_rpc_crossings_pass(
    struct ww_rpc_call *call, struct ww_cap *cap, struct ww_cap **ret_cap);
/* A promise with an object of ours for `via` is settled or destroyed. */
void ww_rpc_membrane_outer_gone(struct ww_cap *outer);

/* sever.c: calls that end before those who work on them do */
/* The call fails at once, wherever it is; a handler that has it is told that it is cancelled. */
void ww_rpc_call_sever(struct ww_rpc_call *call, struct ww_rpc_exc *exc);
/* The handler of a severed call is done with it, too, for its part with `exc` (taken) or, NULL, well. */
void ww_rpc_call_let_go(struct ww_rpc_call *call, struct ww_rpc_exc *exc);
/* The call crosses no membrane any more. */
void ww_rpc_crossings_drop(struct ww_rpc_call *call);

/* stream.c */
void ww_rpc_stream_acked(struct ww_rpc_call *call);

/* check.c: for tests. 0, or WW_ESTATE and in `diag` which invariant is broken. */
WW_MUST_USE ww_err ww_rpc_conn_check(const struct ww_rpc_conn *conn, struct ww_diag *diag);

#endif
