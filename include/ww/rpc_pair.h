/* ww/rpc_pair.h — Cap'n Proto RPC in memory: a connection between two vats of one process, or from a vat to
 * itself. For tests, for simulations, and for parts of one program that are to be strangers to each other.
 *
 *     err = ww_rpc_pair_new(vat, &serves, vat, NULL, &pair);
 *     err = ww_rpc_conn_bootstrap(ww_rpc_pair_conn(pair, 1), &cap);
 *     ...
 *     err = ww_rpc_pair_call(pair, request);
 *
 * Bytes are messages as they would be on a wire, and are handed over without a copy between. Nothing runs by
 * itself: call _run, _call, or _move between runs of the vats. Not from within a callback of either vat,
 * _conn and _cut excepted. */
#ifndef WW_RPC_PAIR_PUBLIC_H
#define WW_RPC_PAIR_PUBLIC_H

#include "ww/rpc.h"

#ifdef __cplusplus
extern "C" {
#endif

struct ww_rpc_pair;

/* `a` and `b` may be one vat; they outlive the pair. Configurations may be NULL; `packed` must be the same in
 * both, and their hosts get all events. WW_EINVAL, WW_ENOMEM, WW_EBUDGET. */
WW_API WW_MUST_USE ww_err ww_rpc_pair_new(struct ww_rpc_vat *a, const struct ww_rpc_conn_config *config_a,
    struct ww_rpc_vat *b, const struct ww_rpc_conn_config *config_b, struct ww_rpc_pair **ret_pair);
/* Cuts, and frees both ends. NULL is harmless. */
WW_API void ww_rpc_pair_free(struct ww_rpc_pair *pair);
/* The end of `a` (0) or of `b` (1). */
WW_API struct ww_rpc_conn *ww_rpc_pair_conn(struct ww_rpc_pair *pair, int end);

/* Hands what `from` (0 or 1) has written to the other end, at most `max_bytes` (0: all); returns the bytes.
 * An end that is closed, and has nothing more to say, is an end of stream for the other one. */
WW_API size_t ww_rpc_pair_move(struct ww_rpc_pair *pair, int from, size_t max_bytes);
/* Runs both vats and moves until nothing is left to do. `now_ns` is the vats' time. */
WW_API void ww_rpc_pair_run(struct ww_rpc_pair *pair, uint64_t now_ns);
/* Sends and runs; the request's status. WW_EAGAIN: whoever is to answer waits for something that is not in
 * these vats. `request` NULL: WW_EINVAL. Time stands still meanwhile. */
WW_API WW_MUST_USE ww_err ww_rpc_pair_call(struct ww_rpc_pair *pair, struct ww_rpc_request *request);
/* Both ends lose their transport with `why`; what is under way is lost. */
WW_API void ww_rpc_pair_cut(struct ww_rpc_pair *pair, ww_err why);

#ifdef __cplusplus
}
#endif
#endif
