/* ww/node.h — be a Wetware node, or ask one, from a program of your own.
 *
 * A runtime owns one event loop. Nodes, clients and queries are made on it and belong to the thread that runs
 * it; several runtimes may run in several threads. Only ww_runtime_stop may be called from elsewhere.
 *
 * Callbacks. The program embeds a `..._user` struct as the first member of its own (or derives from it, in
 * C++), sets `ops`, and casts back in the callback. Callbacks come only from ww_runtime_run and
 * ww_runtime_step, never inside another call, with the one exception that is named below
 * (ww_embed_node_select). In a callback everything may be called, also the `_free` of the object that called;
 * no callback of an object follows its `_free`. Any function of a table may be NULL. Views and texts given to
 * a callback are valid until it returns.
 *
 * Versions. Structs that the program fills have a first member `size`: set it to sizeof of the struct, and
 * what you do not use to 0 (in C: `struct ww_embed_node_options o = {.size = sizeof o, ...}`). A program
 * built against an older header keeps working with a newer library; members that the library does not know
 * must be 0. Structs that the library fills only ever grow at their end.
 *
 * Errors. A function that fails returns a negative ww_err, leaves its out-parameter untouched, and tells a
 * person the reason in `diag` (NULL allowed): the message names the option that it is about.
 * Texts in options are NUL-terminated UTF-8 and are copied. Times are milliseconds.
 */
#ifndef WW_NODE_PUBLIC_H
#define WW_NODE_PUBLIC_H

#include "ww/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- runtime ---- */

struct ww_runtime;

/* WW_ENOMEM, WW_ELIMIT (no descriptors left). */
WW_API WW_MUST_USE ww_err ww_runtime_new(struct ww_runtime **ret_runtime);
/* Everything made on it must have been freed. Not in a callback. May wait for a name resolution under way.
 * NULL is allowed. */
WW_API void ww_runtime_free(struct ww_runtime *runtime);

/* Runs callbacks until ww_runtime_stop, or until nothing is left that could call back. May be called again.
 * WW_ESTATE: called in a callback. */
WW_API WW_MUST_USE ww_err ww_runtime_run(struct ww_runtime *runtime);
/* One turn: waits at most `timeout_ms` (0: not at all, negative: no bound) for something to happen, and runs
 * its callbacks. 1: more may happen; 0: nothing is left that could call back; WW_ESTATE: called in a
 * callback. */
WW_API WW_MUST_USE ww_err ww_runtime_step(struct ww_runtime *runtime, int timeout_ms);
/* Makes the present or the next ww_runtime_run or _step return soon. From any thread, and from a signal
 * handler. */
WW_API void ww_runtime_stop(struct ww_runtime *runtime);

/* To live in somebody else's loop: wait until this descriptor is readable or the timeout is over, then call
 * ww_runtime_step(runtime, 0). Ask for the timeout each time before waiting, after all other calls; -1 means
 * that there is none. 0 after some calls: a step is needed before the descriptor can tell. */
WW_API int ww_runtime_fd(const struct ww_runtime *runtime);
WW_API int ww_runtime_timeout_ms(struct ww_runtime *runtime);

/* What happens inside, one event a line (without the newline), for a log. Embedded in the program; stays in
 * use until replaced. In `line` nothing of this library may be called. */
struct ww_runtime_log {
    void (*line)(struct ww_runtime_log *log, const char *text);
    bool json; /* one JSON object a line */
};
/* NULL ends it. */
WW_API void ww_runtime_log_set(struct ww_runtime *runtime, struct ww_runtime_log *log);

/* ---- records ---- */

/* What a node says of itself in its heartbeats. */
struct ww_embed_record {
    const char *peer;            /* base58 peer id */
    uint64_t server;             /* this run of it; 16 hex digits in text */
    uint64_t seq;                /* of its latest heartbeat */
    uint32_t ttl_ms;             /* how long it counts as alive without another heartbeat */
    struct ww_bytes host;        /* not NUL-terminated; "" when it says none */
    const struct ww_bytes *meta; /* key=value each; not NUL-terminated */
    size_t meta_count;
};

/* ---- node ---- */

struct ww_embed_node;

struct ww_embed_node_options {
    size_t size;
    const char *ns;            /* namespace: which cluster; NULL: "ww" */
    const char *const *listen; /* multiaddrs, /ip4/A/tcp/N; none: a free port on every interface */
    size_t listen_count;
    const char *const *peers; /* whom to join, multiaddrs ending in /p2p/ID; then nothing else is searched */
    size_t peer_count;
    const char *const *discover; /* where to search; neither this nor peers: multicast on every interface */
    size_t discover_count;
    const char *const *meta; /* KEY=VALUE, for others to query */
    size_t meta_count;
    const char *const *allow; /* peer ids that may log in and query; none: everybody */
    size_t allow_count;
    const char *host;     /* NULL: the machine's name */
    const char *data_dir; /* the identity key is kept there; NULL: a new identity each time */
    uint32_t ttl_ms;      /* 100 to 3600000; 0: 10000 */
};

struct ww_embed_node_user;
struct ww_embed_node_ops {
    size_t size;
    /* Where the node can be reached, multiaddrs ending in /p2p/ID: soon after ww_embed_node_new, and whenever
     * they change. */
    void (*addresses)(struct ww_embed_node_user *user, const char *const *addrs, size_t count);
    /* Other nodes. `changed`: another host, metadata or run; heartbeats alone are not told. */
    void (*joined)(struct ww_embed_node_user *user, const struct ww_embed_record *record);
    void (*changed)(struct ww_embed_node_user *user, const struct ww_embed_record *record);
    /* `expired`: it fell silent; otherwise it said farewell. */
    void (*left)(struct ww_embed_node_user *user, const struct ww_embed_record *record, bool expired);
    /* Memory ran short and events were lost: forget all peers; those present follow as `joined`. */
    void (*reset)(struct ww_embed_node_user *user);
    /* The farewell of ww_embed_node_leave is on its way: free the node. */
    void (*gone)(struct ww_embed_node_user *user);
};

struct ww_embed_node_user {
    const struct ww_embed_node_ops *ops; /* outlives the node */
};

/* Listens, begins to search and to send heartbeats. `user` (NULL: no events) outlives the node. WW_EINVAL,
 * WW_EUNSUPPORTED (an option), WW_EADDRINUSE, WW_EADDRNOTAVAIL, WW_EDENIED, WW_EIO, WW_ENOMEM. */
WW_API WW_MUST_USE ww_err ww_embed_node_new(struct ww_runtime *runtime,
    const struct ww_embed_node_options *options, struct ww_embed_node_user *user,
    struct ww_embed_node **ret_node, struct ww_diag *diag);
/* Closes everything at once, without a farewell: others find out when the TTL is over. Its queries end
 * without a further callback (they must be freed all the same). NULL is allowed. */
WW_API void ww_embed_node_free(struct ww_embed_node *node);
/* Says farewell; `gone` follows within half a second. Calling again is harmless. */
WW_API void ww_embed_node_leave(struct ww_embed_node *node);

/* Base58; lives as long as the node. */
WW_API const char *ww_embed_node_peer(const struct ww_embed_node *node);
WW_API uint64_t ww_embed_node_server(const struct ww_embed_node *node);
/* Its own address number `index`, ending in /p2p/ID; NULL beyond the last, and when memory is out. Valid
 * until the next call for this node. */
WW_API const char *ww_embed_node_address(struct ww_embed_node *node, size_t index);
/* How many nodes it knows, itself included once its first heartbeat is out. */
WW_API size_t ww_embed_node_count(const struct ww_embed_node *node);

/* ---- queries ---- */

/* The language is that of `ww ls`: comparisons joined by AND, OR, NOT and parentheses; `id`, `server`, `host`
 * or a metadata key, then one of = (starts with), ==, !=, !==, <, <=, >, >=, then a value, in quotes where
 * needed. "role = db AND NOT zone == 'eu-1'" */
struct ww_embed_query_options {
    size_t size;
    const char *where; /* NULL or "": everything */
    enum ww_embed_order {
        WW_EMBED_ORDER_NONE,
        WW_EMBED_ORDER_ID,
        WW_EMBED_ORDER_SERVER,
        WW_EMBED_ORDER_HOST,
    } order;
    bool descending;
    bool count_only; /* no records, only how many */
    bool standing;   /* does not end: what matches now, then every difference; nothing else goes with it */
    uint64_t limit;  /* 0: none */
};

struct ww_embed_query;
struct ww_embed_query_user;
struct ww_embed_query_ops {
    size_t size;
    /* One match. Standing: it has come, or has changed. */
    void (*record)(struct ww_embed_query_user *user, const struct ww_embed_record *record);
    /* Standing only. One is gone or no longer matches; all that match now are known; forget everything (the
     * reader was too slow): what matches follows anew. */
    void (*left)(struct ww_embed_query_user *user, const char *peer);
    void (*ready)(struct ww_embed_query_user *user);
    void (*reset)(struct ww_embed_query_user *user);
    /* The end, once. 0: `count` matched; otherwise the error and a text for people. */
    void (*done)(struct ww_embed_query_user *user, ww_err err, uint64_t count, const char *text);
};

struct ww_embed_query_user {
    const struct ww_embed_query_ops *ops; /* outlives the query */
};

/* Asks the node's own table, with callbacks. `user` outlives the query. WW_EINVAL (the text, see diag; what
 * does not go together), WW_ELIMIT, WW_EDEPTH (a query too large), WW_ENOMEM. */
WW_API WW_MUST_USE ww_err ww_embed_node_query(struct ww_embed_node *node,
    const struct ww_embed_query_options *options, struct ww_embed_query_user *user,
    struct ww_embed_query **ret_query, struct ww_diag *diag);
/* Ends it without a further callback. Needed after `done` as well. NULL is allowed. */
WW_API void ww_embed_query_free(struct ww_embed_query *query);

/* Asks the node's own table here and now: `record` is called inside this call, for one moment's state of the
 * table, until it returns false. `ret_count` (may be NULL) is how many were given,
 * or, with count_only, how many match. Errors as above; a standing query is refused. */
struct ww_embed_select {
    bool (*record)(struct ww_embed_select *select, const struct ww_embed_record *record);
};
WW_API WW_MUST_USE ww_err ww_embed_node_select(struct ww_embed_node *node,
    const struct ww_embed_query_options *options, struct ww_embed_select *select, uint64_t *ret_count,
    struct ww_diag *diag);

/* ---- client ---- */

/* A peer that does not listen and is no member: it finds a node, logs in, and asks that. */
struct ww_embed_client;

struct ww_embed_client_options {
    size_t size;
    const char *ns; /* as for a node */
    const char *const *peers;
    size_t peer_count;
    const char *const *discover;
    size_t discover_count;
    const char *data_dir;
    uint32_t timeout_ms; /* until `ready`; 0: 10000 */
};

struct ww_embed_client_user;
struct ww_embed_client_ops {
    size_t size;
    /* Logged in at this node: queries may be made. */
    void (*ready)(struct ww_embed_client_user *user, const char *peer, uint64_t server);
    /* The end, once: nobody let us in, or (after `ready`) the connection was lost. */
    void (*failed)(struct ww_embed_client_user *user, ww_err err, const char *text);
};

struct ww_embed_client_user {
    const struct ww_embed_client_ops *ops; /* outlives the client */
};

/* Errors as for a node. */
WW_API WW_MUST_USE ww_err ww_embed_client_new(struct ww_runtime *runtime,
    const struct ww_embed_client_options *options, struct ww_embed_client_user *user,
    struct ww_embed_client **ret_client, struct ww_diag *diag);
/* As ww_embed_node_free. */
WW_API void ww_embed_client_free(struct ww_embed_client *client);
/* As ww_embed_node_query, at the node that let us in. WW_ESTATE: not ready, or no longer. WW_EDENIED: the
 * node lets us in but not query. */
WW_API WW_MUST_USE ww_err ww_embed_client_query(struct ww_embed_client *client,
    const struct ww_embed_query_options *options, struct ww_embed_query_user *user,
    struct ww_embed_query **ret_query, struct ww_diag *diag);

#ifdef __cplusplus
}
#endif

#endif
