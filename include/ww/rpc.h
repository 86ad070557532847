/* ww/rpc.h — Cap'n Proto RPC, two-party, level 1, for C (capnproto.org/rpc.html and rpc.capnp): calls,
 * capabilities in messages, promise pipelining, embargoes, cancellation, streaming.
 *
 * Sans-I/O. A vat owns a run queue; connections take bytes in (`feed`) and give bytes out (`pull`). No clock,
 * no sockets, no threads, no globals: the same code runs over libp2p streams, pipes, in a WASM guest, in the
 * simulator and in a fuzzer.
 *
 * Callbacks of the application run from ww_rpc_vat_run only, never inside another function of this header, so
 * an application may call anything from anywhere, ww_rpc_vat_run in a callback excepted. A membrane's policy
 * is the exception to both: it looks and decides, wherever something crosses.
 *
 * Ownership: what a `ret_` parameter or a `_new` gives is the caller's, to be given back with the matching
 * `_unref` or `_free`. Parameters are borrowed unless the name says `_take`. A NULL `struct ww_cap *` is the
 * null capability, legal in messages.
 *
 * Errors: of a call, one of WW_EFAILED, WW_EOVERLOADED, WW_EDISCONNECTED, WW_EUNIMPLEMENTED with a text; of a
 * connection, the `closed` event. A peer that breaks the protocol gets an Abort and loses its connection,
 * nothing else. */
#ifndef WW_RPC_PUBLIC_H
#define WW_RPC_PUBLIC_H

#include "ww/base.h"
#include "ww/capnp.h"

#ifdef __cplusplus
extern "C" {
#endif

struct ww_budget;       /* what a peer may make us store */
struct ww_cap;          /* a capability: object, promise or error; reference-counted */
struct ww_cap_resolver; /* decides what a local promise becomes */
struct ww_rpc_vat;
struct ww_rpc_conn;
struct ww_rpc_request; /* a call that we make */
struct ww_rpc_call;    /* a call that we answer */

/* ---- vat ---- */

/* A field of 0 means its default. Each limit is per connection, where it says nothing else. */
struct ww_rpc_limits {
    uint64_t message_bytes;   /* one message, either way; 64 MiB. In: abort. Out: the one call fails */
    uint64_t traversal_words; /* reading one message; 8 Mi words */
    /* Parameters of unanswered calls; 64 MiB. Above it further calls are held back, undelivered; above twice
     * that ww_rpc_conn_want_read says no, and while calls of ours are in progress (so that nobody can stop
     * reading) more calls are the end: abort. */
    uint64_t inbound_bytes;
    /* Written but not pulled; 64 MiB. Above it new calls fail overloaded and the peer's are held back; twice
     * that: abort. */
    uint64_t outbound_bytes;
    /* Kept for the peer until it says Finish: results with capabilities in them, and the promises of results
     * that calls were pipelined on; 64 MiB. Above it calls fail overloaded. */
    uint64_t kept_bytes;
    uint32_t segments;         /* of a message; 512 */
    uint32_t depth;            /* pointer nesting of a message, of which 3 lead to the parameters; 64 */
    uint32_t cap_table;        /* capabilities in one message; 4096 */
    uint32_t transform_ops;    /* path length of a promised answer; 64 */
    uint32_t questions;        /* our calls in progress; 65536 */
    uint32_t answers;          /* the peer's calls in progress; 65536 */
    uint32_t exports, imports; /* 1 Mi each */
    uint32_t embargoes;        /* 65536 */
    uint32_t queued_calls;     /* waiting on one promise; 65536 */
    uint32_t resolve_hops;     /* promises that lead from one to the next; 64: the last is broken */
};

/* The vat's user embeds this. `wake` says that ww_rpc_vat_run has work; it may be called from inside any
 * function of this header (it must only note the fact, such as arming a loop handle), once until the next
 * ww_rpc_vat_run. NULL: the user runs the vat after whatever it does. */
struct ww_rpc_vat_host {
    void (*wake)(struct ww_rpc_vat_host *host);
};

struct ww_rpc_vat_config {
    struct ww_rpc_limits limits;
    uint64_t hash_seed[2];        /* from a random source, against peers that choose colliding ids */
    struct ww_rpc_vat_host *host; /* NULL allowed; outlives the vat */
};

/* `config` NULL: defaults. WW_ENOMEM. */
WW_API WW_MUST_USE ww_err ww_rpc_vat_new(const struct ww_rpc_vat_config *config, struct ww_rpc_vat **ret_vat);
/* All connections must have been freed. Pending callbacks are dropped; capabilities that are still referenced
 * stay valid to unref, and calls on them fail. */
WW_API void ww_rpc_vat_free(struct ww_rpc_vat *vat);
/* Delivers calls, completions and events until the queue is empty, or `max_events` (0: no bound) were
 * delivered; true when more is to do. Events that callbacks cause are delivered too. `now_ns` is monotonic;
 * only streams use it. */
WW_API bool ww_rpc_vat_run(struct ww_rpc_vat *vat, uint64_t now_ns, uint32_t max_events);

/* ---- connections ---- */

struct ww_rpc_conn_host;
struct ww_rpc_conn_ops {
    /* There are bytes to pull. Called once; again only after everything was pulled. */
    void (*output)(struct ww_rpc_conn_host *host);
    /* The last event: `err` is WW_ECLOSED (we closed, or the peer said so and went), WW_EPROTO (the peer
     * broke the protocol), WW_ELIMIT, WW_EBUDGET, WW_ENOMEM or what ww_rpc_conn_lost was told. An Abort for
     * the peer may still be pulled. */
    void (*closed)(struct ww_rpc_conn_host *host, ww_err err, const char *reason);
};

/* The connection's user embeds this; it must outlive the connection's ww_rpc_conn_free. */
struct ww_rpc_conn_host {
    const struct ww_rpc_conn_ops *ops;
};

struct ww_rpc_conn_config {
    struct ww_rpc_conn_host *host; /* NULL: no events */
    struct ww_cap *bootstrap;      /* what the peer's Bootstrap gets; NULL: an exception */
    /* Charged with questions, exports and bytes held for this peer; NULL: limits alone. Budgets
     * are made by libww: NULL for users of libww-capnp. */
    struct ww_budget *budget;
    bool packed; /* packed encoding, both ways */
    /* The peer completes calls whose results it is to keep (sendResultsTo.yourself): a call forwarded back to
     * it need not carry its results through us. This library and the C++ implementation do; Rust's and Go's
     * do not, and nothing in the protocol tells: false is always safe. */
    bool tail_calls;
    uint64_t stream_window_bytes; /* ww_rpc_conn_set_stream_window */
};

/* WW_ENOMEM, WW_EBUDGET. */
WW_API WW_MUST_USE ww_err ww_rpc_conn_new(
    struct ww_rpc_vat *vat, const struct ww_rpc_conn_config *config, struct ww_rpc_conn **ret_conn);
/* Drops the connection; it is closed as by ww_rpc_conn_close if it is open, without a `closed` event. */
WW_API void ww_rpc_conn_free(struct ww_rpc_conn *conn);

/* Takes any slice of the peer's bytes. Returns an error once the connection is dead, and closed it if the
 * bytes were bad. */
WW_API WW_MUST_USE ww_err ww_rpc_conn_feed(struct ww_rpc_conn *conn, struct ww_bytes data);
/* The same without a copy: where the next bytes of the peer are to be read to, at most *ret_len of them, and
 * then how many came. The place is inside a large message that has come in part, or else a buffer that the
 * vat's connections share: valid until the next ww_rpc_conn_rbuf of any of them. WW_ENOMEM, WW_EBUDGET; or
 * the connection is dead. */
WW_API WW_MUST_USE ww_err ww_rpc_conn_rbuf(struct ww_rpc_conn *conn, uint8_t **ret_at, size_t *ret_len);
WW_API WW_MUST_USE ww_err ww_rpc_conn_fed(struct ww_rpc_conn *conn, size_t n);
/* The transport ended: WW_ECLOSED for an orderly end, or the transport's error. Every call in progress fails
 * disconnected. */
WW_API void ww_rpc_conn_lost(struct ww_rpc_conn *conn, ww_err why);
/* Sends Abort with `reason` (NULL: "connection closed") and fails everything in progress. */
WW_API void ww_rpc_conn_close(struct ww_rpc_conn *conn, const char *reason);
/* False while the peer should not be read from, because it made us hold too much. Ask again after
 * ww_rpc_vat_run. */
WW_API bool ww_rpc_conn_want_read(const struct ww_rpc_conn *conn);

/* Views of the bytes to write, in order, at most `max` of them; returns how many. They stay valid until
 * ww_rpc_conn_pulled. */
WW_API size_t ww_rpc_conn_pull(struct ww_rpc_conn *conn, struct ww_bytes *ret_views, size_t max);
/* The first `n` bytes of what was pulled are written. */
WW_API void ww_rpc_conn_pulled(struct ww_rpc_conn *conn, size_t n);
/* Bytes waiting to be pulled. */
WW_API size_t ww_rpc_conn_pending(const struct ww_rpc_conn *conn);

/* How much a stream over this connection may have under way, unless it chose for itself; streams that run
 * follow. 0: adapting to the measured bandwidth and delay, right for networks. Pipes and unix sockets have
 * nothing to measure: give them WW_RPC_WINDOW_PIPE, or the size of the transport's send buffer. */
WW_API void ww_rpc_conn_set_stream_window(struct ww_rpc_conn *conn, uint64_t bytes);

/* The peer's bootstrap capability: a promise, usable at once. */
WW_API WW_MUST_USE ww_err ww_rpc_conn_bootstrap(struct ww_rpc_conn *conn, struct ww_cap **ret_cap);
WW_API bool ww_rpc_conn_is_open(const struct ww_rpc_conn *conn);
WW_API struct ww_rpc_conn_host *ww_rpc_conn_host(const struct ww_rpc_conn *conn);

/* What a connection holds now, and what it has seen. */
struct ww_rpc_conn_stats {
    uint32_t questions, answers, exports, imports, embargoes;
    uint64_t outbound_bytes, inbound_bytes; /* now: not pulled; parameters of unanswered calls */
    uint64_t calls_out, calls_in;           /* ever */
};
/* Fills all of it. */
WW_API void ww_rpc_conn_stats(const struct ww_rpc_conn *conn, struct ww_rpc_conn_stats *ret_stats);

/* ---- capabilities ---- */

/* For messages of one's own that hold capabilities (ww_msg_init): copies of parameters, what is kept for
 * later. */
WW_API extern const struct ww_cap_ops ww_rpc_cap_ops;

/* Both take NULL. Dropping the last reference releases the object at its owner. */
WW_API struct ww_cap *ww_cap_ref(struct ww_cap *cap);
WW_API void ww_cap_unref(struct ww_cap *cap);

struct ww_rpc_server;
struct ww_rpc_server_ops {
    /* One call, in order. The handler must complete it once, now or later: ww_rpc_call_return, _fail or
     * _forward_take. */
    void (*dispatch)(struct ww_rpc_server *self, struct ww_rpc_call *call);
    /* The last reference and the last call are gone. NULL allowed. */
    void (*drop)(struct ww_rpc_server *self);
};

/* A local object embeds this. It must live until `drop`. */
struct ww_rpc_server {
    const struct ww_rpc_server_ops *ops;
};

/* A capability for `server`, which gets its calls from now on. WW_ENOMEM. */
WW_API WW_MUST_USE ww_err ww_cap_new_server(
    struct ww_rpc_vat *vat, struct ww_rpc_server *server, struct ww_cap **ret_cap);
/* The object behind `cap` if it lives in this vat, is resolved, and has these `ops`; else NULL. Borrowed. */
WW_API struct ww_rpc_server *ww_cap_server(struct ww_cap *cap, const struct ww_rpc_server_ops *ops);
/* All calls fail with this. WW_ENOMEM. */
WW_API WW_MUST_USE ww_err ww_cap_new_broken(
    struct ww_rpc_vat *vat, ww_err err, const char *reason, struct ww_cap **ret_cap);
/* A local promise, and the one right to say what it becomes. Calls wait in it, in order, until then, also
 * when nobody holds the promise any more. WW_ENOMEM. */
WW_API WW_MUST_USE ww_err ww_cap_new_promise(
    struct ww_rpc_vat *vat, struct ww_cap **ret_cap, struct ww_cap_resolver **ret_resolver);
/* Each of these is the end of the resolver. The promise becomes `to` (borrowed; NULL: null; what would lead
 * back to the promise breaks it), breaks with an exception (`reason` NULL: the error's text), or breaks with
 * "promise dropped unresolved". Whoever holds the promise, peers too, is told. */
WW_API void ww_cap_resolver_resolve(struct ww_cap_resolver *resolver, struct ww_cap *to);
WW_API void ww_cap_resolver_reject(struct ww_cap_resolver *resolver, ww_err err, const char *reason);
WW_API void ww_cap_resolver_free(struct ww_cap_resolver *resolver); /* NULL is harmless */

enum ww_cap_state {
    WW_CAP_NULL,
    WW_CAP_PROMISE, /* not yet known where calls end */
    WW_CAP_SETTLED, /* a local or remote object */
    WW_CAP_BROKEN,
};
/* Now; ww_cap_watch_start tells when it changes. NULL is WW_CAP_NULL. */
WW_API enum ww_cap_state ww_cap_state(const struct ww_cap *cap);
/* The same object: equal after all that is resolved was followed. */
WW_API bool ww_cap_same(const struct ww_cap *a, const struct ww_cap *b);

/* Waits until a promise is settled, null or broken. The waiter embeds this. */
struct ww_cap_watch_impl;
struct ww_cap_watch {
    void (*settled)(struct ww_cap_watch *watch);
    struct ww_cap_watch_impl *impl; /* private; NULL: not started, or fired */
};
/* Fires once, also when `cap` is settled already. WW_EINVAL for NULL, WW_ENOMEM. */
WW_API WW_MUST_USE ww_err ww_cap_watch_start(struct ww_cap_watch *watch, struct ww_cap *cap);
/* It will not fire any more. Harmless when it is not started. */
WW_API void ww_cap_watch_stop(struct ww_cap_watch *watch);

/* ---- exceptions ---- */

/* Machine-readable, for those who know `id` (a schema id by custom). */
struct ww_rpc_detail {
    uint64_t id;
    struct ww_bytes data;
};

/* Why a call failed. What a callee attaches travels to the caller through any number of vats. Text beyond 1
 * KiB, a trace beyond 8 KiB and details beyond 16 of them or 8 KiB together are cut off. */
struct ww_rpc_exception {
    ww_err err;         /* WW_EFAILED, WW_EOVERLOADED, WW_EDISCONNECTED, WW_EUNIMPLEMENTED */
    const char *reason; /* never NULL when read */
    const char *trace;  /* where it happened, for people; NULL: none */
    const struct ww_rpc_detail *details;
    size_t detail_count;
};

/* ---- calls that we make ---- */

/* `words`: expected size of the parameters' content, 0 when not known. WW_EINVAL: null capability; WW_ENOMEM.
 */
WW_API WW_MUST_USE ww_err ww_rpc_request_new(struct ww_cap *target, uint64_t interface_id, uint16_t method_id,
    uint32_t words, struct ww_rpc_request **ret_request);
/* Where the parameters go, in the message that will be sent. */
WW_API struct ww_pb ww_rpc_request_params(struct ww_rpc_request *request);

/* The waiter embeds this. */
struct ww_rpc_wait {
    void (*done)(struct ww_rpc_wait *wait, struct ww_rpc_request *request);
};
/* Sends; calls leave and arrive in the order of sending. `wait` (NULL: nobody) is called exactly once, from
 * the vat's queue, unless the request is freed before. Faults of sending show as the call's exception. */
WW_API void ww_rpc_request_send(struct ww_rpc_request *request, struct ww_rpc_wait *wait);
/* Before sending: nothing will be pipelined on the results, so neither side need keep them for that (it is
 * what generated code says of methods without capabilities in their results). ww_rpc_request_pipeline then
 * still works; its calls wait for the results here. */
WW_API void ww_rpc_request_no_pipeline(struct ww_rpc_request *request);
/* Sends for the pipeline alone: the outcome is never known, ww_rpc_request_status stays WW_EAGAIN. The call
 * lives until the request is freed and the capabilities that were pipelined from it are gone. */
WW_API void ww_rpc_request_send_for_pipeline(struct ww_rpc_request *request);
/* Sends and forgets: the call is not cancelled, its outcome is dropped. */
WW_API void ww_rpc_request_send_take(struct ww_rpc_request *request);
/* Before the outcome: cancels (`done` will not run). A call that was not delivered yet never will be; a
 * handler that has it learns of it (ww_rpc_call_on_cancel). What capabilities from ww_rpc_request_pipeline
 * still need goes on. After the outcome: releases the results. NULL is harmless. */
WW_API void ww_rpc_request_free(struct ww_rpc_request *request);

/* The capability at `path` (pointer indexes from the results' root) of a sent request, usable before the
 * results are there. */
WW_API WW_MUST_USE ww_err ww_rpc_request_pipeline(
    struct ww_rpc_request *request, const uint16_t *path, size_t path_len, struct ww_cap **ret_cap);
/* WW_EAGAIN before the outcome; 0; the exception's kind as an error; or what reading malformed results found.
 */
WW_API ww_err ww_rpc_request_status(const struct ww_rpc_request *request);
/* Why the status is what it is, for people: the exception's text, or that of the status; "" while there is no
 * outcome, and when all is well. Valid as long as the request. */
WW_API const char *ww_rpc_request_reason(const struct ww_rpc_request *request);
/* All that the exception says; false when there is none. Valid as long as the request. */
WW_API bool ww_rpc_request_exception(
    const struct ww_rpc_request *request, struct ww_rpc_exception *ret_exception);
/* The results, a null pointer unless the status is 0. Valid as long as the request. */
WW_API struct ww_pr ww_rpc_request_results(struct ww_rpc_request *request);

/* ---- calls that we answer ---- */

/* Which method of which interface is called: what generated code switches over. */
WW_API uint64_t ww_rpc_call_interface(const struct ww_rpc_call *call);
WW_API uint16_t ww_rpc_call_method(const struct ww_rpc_call *call);
/* The connection that the call came over; NULL for a local caller. */
WW_API struct ww_rpc_conn *ww_rpc_call_conn(const struct ww_rpc_call *call);
/* Valid until the call completes or ww_rpc_call_release_params. */
WW_API struct ww_pr ww_rpc_call_params(struct ww_rpc_call *call);
/* Gives the parameters back before the call completes: their capabilities are released at once. */
WW_API void ww_rpc_call_release_params(struct ww_rpc_call *call);
/* Where the results go, in the message that will be sent; `words` as for a request. The first use decides. */
WW_API struct ww_pb ww_rpc_call_results(struct ww_rpc_call *call, uint32_t words);
/* The three ways to complete a call; the handle is dead afterwards. If the parameters turned out malformed on
 * reading, or the results ran out of memory, `return` sends an exception instead. */
WW_API void ww_rpc_call_return(struct ww_rpc_call *call);
WW_API void ww_rpc_call_fail(struct ww_rpc_call *call, ww_err err, const char *fmt, ...) WW_PRINTF(3, 4);
/* The answer to a method that nobody here knows: unimplemented, with the object's `name` and which it was.
 * Generated code calls it; unlike ww_rpc_call_fail it does not bring printf into a guest. */
WW_API void ww_rpc_call_fail_unknown(struct ww_rpc_call *call, const char *name);
/* An exception with all that one can say; `exception` is copied. */
WW_API void ww_rpc_call_fail_with(struct ww_rpc_call *call, const struct ww_rpc_exception *exception);
/* Tail call: sends `request`; its outcome becomes the call's. Calls pipelined on `call` go the way of
 * `request` at once. Cancelling the one cancels the other. */
WW_API void ww_rpc_call_forward_take(struct ww_rpc_call *call, struct ww_rpc_request *request);
/* The results' capability at `path` will be `cap`: pipelined calls go to it from now on, before the call
 * completes. */
WW_API WW_MUST_USE ww_err ww_rpc_call_set_pipeline(
    struct ww_rpc_call *call, const uint16_t *path, size_t path_len, struct ww_cap *cap);

/* For a `-> stream` method, at the head of its handler: until this call completes, later calls on the object
 * wait; if it fails, they all fail with its exception. */
WW_API void ww_rpc_call_set_streaming(struct ww_rpc_call *call);

/* True when the caller announced that it will not pipeline on the results. */
WW_API bool ww_rpc_call_no_pipeline(const struct ww_rpc_call *call);

/* The caller lost interest. The handler must still complete the call (the results are dropped). The handler
 * embeds this. */
struct ww_rpc_cancel {
    void (*canceled)(struct ww_rpc_cancel *cancel, struct ww_rpc_call *call);
};
/* `cancel` is called at most once, and not after the call completed. */
WW_API void ww_rpc_call_on_cancel(struct ww_rpc_call *call, struct ww_rpc_cancel *cancel);
WW_API bool ww_rpc_call_is_canceled(const struct ww_rpc_call *call);

/* ---- streams: calls under flow control ---- */

#define WW_RPC_WINDOW_DEFAULT (256u * 1024) /* objects of this vat, open promises */
#define WW_RPC_WINDOW_PIPE (512u * 1024)    /* for pipes and unix sockets */
#define WW_RPC_WINDOW_MAX (UINT64_C(1) << 30)
#define WW_RPC_WINDOW_ADAPTIVE UINT64_MAX /* measure, whatever the connection says */

/* What one step of flow control is told: the acknowledgements of one turn of the vat. An acknowledgement is a
 * call's Return. */
struct ww_rpc_flow_sample {
    uint64_t now_ns;
    uint64_t acked_bytes;     /* by this step */
    uint64_t in_flight_bytes; /* after it */
    uint64_t delivered_bytes; /* acknowledged ever, by this step too */
    uint64_t round_bytes; /* what that was when the newest message acknowledged was sent: a round trip ends
                             when this reaches the `delivered_bytes` of its beginning */
    uint64_t rtt_ns, rtt_bytes;   /* round trip and size of the newest message acknowledged */
    uint64_t rate_bytes, rate_ns; /* the rate of delivery: so much in so long; `rate_ns` 0: not known */
    uint64_t message_bytes;       /* the largest message of the stream so far */
    bool app_limited;             /* the sender left room in the window: the rate is a lower bound */
};

/* Decides how much a stream may have under way: the one that measures is built in, and an application may
 * bring its own. Its user embeds this; it outlives the stream. */
struct ww_rpc_flow;
struct ww_rpc_flow_ops {
    /* Sets `window_bytes`. NULL: a fixed window. It may call nothing of this header. */
    void (*acked)(struct ww_rpc_flow *flow, const struct ww_rpc_flow_sample *sample);
    /* The stream goes another way from now on: what was measured is void. NULL allowed. */
    void (*moved)(struct ww_rpc_flow *flow);
};
struct ww_rpc_flow {
    const struct ww_rpc_flow_ops *ops; /* NULL: fixed */
    uint64_t window_bytes;             /* never 0 */
};

struct ww_rpc_stream;
struct ww_rpc_stream_ops {
    /* After WW_RPC_STREAM_WAIT: send again. Also when the stream broke meanwhile: sending says so. */
    void (*ready)(struct ww_rpc_stream *stream);
    /* After ww_rpc_stream_finish: everything was acknowledged (0), or the stream's error. */
    void (*drained)(struct ww_rpc_stream *stream, ww_err err);
};

enum ww_rpc_stream_state {
    WW_RPC_STREAM_OK = 0,
    WW_RPC_STREAM_WAIT = 1, /* sent; wait for `ready` before sending more. Ignored for eight windows or 16
                               MiB, the stream breaks */
};

/* The sender embeds this; init, send*, finish, fini. All fields are for reading. */
struct ww_rpc_stream {
    const struct ww_rpc_stream_ops *ops;
    uint64_t window_bytes;    /* now */
    uint64_t in_flight_bytes; /* never above the larger of window and largest message, plus one message,
                                 unless WAIT was ignored or the window shrank */
    uint32_t in_flight;
    ww_err err; /* of the first call that failed; the stream stays broken */
    char reason[128];
    void *impl; /* private */
};

/* `vat` is where the calls are made. `window_bytes`: 0, what the connection says that the calls go over
 * (calls on objects of this vat and on open promises: WW_RPC_WINDOW_DEFAULT); WW_RPC_WINDOW_ADAPTIVE; or a
 * fixed window. */
WW_API WW_MUST_USE ww_err ww_rpc_stream_init(struct ww_rpc_stream *stream, struct ww_rpc_vat *vat,
    const struct ww_rpc_stream_ops *ops, uint64_t window_bytes);
/* Another controller from now on, borrowed; NULL: back to the one of ww_rpc_stream_init. */
WW_API void ww_rpc_stream_set_flow(struct ww_rpc_stream *stream, struct ww_rpc_flow *flow);
/* Sent calls go on; no callback runs any more. */
WW_API void ww_rpc_stream_fini(struct ww_rpc_stream *stream);
/* Sends `request`, there and then, in any case but a broken stream. WW_RPC_STREAM_OK, WW_RPC_STREAM_WAIT or
 * the stream's error. Flow control takes the time of the running or the last ww_rpc_vat_run for the time of
 * sending. */
WW_API WW_MUST_USE ww_err ww_rpc_stream_send_take(
    struct ww_rpc_stream *stream, struct ww_rpc_request *request);
/* Asks for `drained`. */
WW_API void ww_rpc_stream_finish(struct ww_rpc_stream *stream);

/* ---- membranes: a border that calls and capabilities cross under supervision ---- */

/* A capability that crosses a membrane is wrapped: calls on the wrapper are shown to the policy and cross,
 * with the capabilities in their parameters, and their results cross back. The same capability that crosses
 * twice is the same wrapper; one that comes back across is itself again. Exceptions and plain data cross as
 * they are. Calls on a promise cross at once, also on that of a result of a call that crossed. */
struct ww_membrane;
enum ww_membrane_way { WW_MEMBRANE_IN = 0, WW_MEMBRANE_OUT = 1 };

struct ww_membrane_policy;
struct ww_membrane_policy_ops {
    /* `call`, not yet crossed, would go `way` to `to`: 0, and it crosses; an error, and it fails with
     * `ret_reason` (NULL: the error's text). With *ret_to set (a new reference) it goes there instead, and
     * crosses nothing. The callee may read the call but not complete it. NULL: all calls cross. */
    ww_err (*call)(struct ww_membrane_policy *policy, enum ww_membrane_way way, struct ww_rpc_call *call,
        struct ww_cap *to, struct ww_cap **ret_to, const char **ret_reason);
    /* `cap`, not null and not wrapped by this membrane, is about to cross `way`: 0, and it is wrapped; an
     * error, and what carries it fails. *ret_cap, when set (a new reference), takes its place. It may make
     * capabilities but complete nothing, and free no connection. A promise is asked about twice: now, also
     * while the application asks for one of a result, and when it is known what it becomes. NULL: all are
     * wrapped. */
    ww_err (*cap)(struct ww_membrane_policy *policy, enum ww_membrane_way way, struct ww_cap *cap,
        struct ww_cap **ret_cap);
    /* The membrane is gone. NULL allowed. */
    void (*drop)(struct ww_membrane_policy *policy);
};

/* The policy's owner embeds this. It must live until `drop`. */
struct ww_membrane_policy {
    const struct ww_membrane_policy_ops *ops;
};

/* WW_ENOMEM. */
WW_API WW_MUST_USE ww_err ww_membrane_new(
    struct ww_rpc_vat *vat, struct ww_membrane_policy *policy, struct ww_membrane **ret_membrane);
WW_API struct ww_membrane *ww_membrane_ref(struct ww_membrane *membrane);
/* NULL is harmless. Wrappers and calls on their way keep the membrane alive. */
WW_API void ww_membrane_unref(struct ww_membrane *membrane);
/* What `cap` is on the other side (WW_MEMBRANE_OUT: `cap` is from inside). The policy is asked. */
WW_API WW_MUST_USE ww_err ww_membrane_pass(
    struct ww_membrane *membrane, enum ww_membrane_way way, struct ww_cap *cap, struct ww_cap **ret_cap);
/* Everything that crossed breaks with this, in both directions, and what was behind it is released. Calls
 * that crossed and have not returned fail with it at once; a handler in this vat that has one is told that it
 * is cancelled, and completes it as usual, which has no effect any more. Only the first time counts. */
WW_API void ww_membrane_revoke(struct ww_membrane *membrane, ww_err err, const char *reason);

#ifdef __cplusplus
}
#endif
#endif
