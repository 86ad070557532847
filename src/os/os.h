/* os/os.h — the environment of env/env.h on the real machine: libuv's loop, sockets, files.
 *
 * One `struct ww_os` is one loop; it and everything made through its environment belong to the thread that
 * runs it. Sockets are our own descriptors under uv_poll: a write reaches the kernel inside tcp_write, and a
 * read lands in the caller's buffer. Nothing is queued here in either direction.
 *
 * Time: timers never fire early and at most about a millisecond late (the resolution of epoll_wait).
 * Errors: errno becomes a ww_err in one place, ww_errno_err.
 */
#ifndef WW_OS_OS_H
#define WW_OS_OS_H

#include "env/env.h"

struct ww_os;

/* WW_ENOMEM, WW_ELIMIT (no descriptors left). */
WW_MUST_USE ww_err ww_os_new(struct ww_os **ret_os);
/* Everything made through the environment must be closed by then (timers and tasks may be left armed: they
 * are forgotten). Waits for name resolutions under way, which may take as long as the system's resolver. NULL
 * is fine. */
void ww_os_free(struct ww_os *os);

/* Valid until ww_os_free. The caller may set `trace`. */
struct ww_env *ww_os_env(struct ww_os *os);

/* Runs callbacks until ww_os_stop, or until nothing is left that could call back. Not from within a callback.
 * May be called again. */
void ww_os_run(struct ww_os *os);
/* Makes ww_os_run return after the current callback's turn. Only on the loop's thread. */
void ww_os_stop(struct ww_os *os);
/* The same from any thread, and from a signal handler: the present or the next run or step returns. */
void ww_os_interrupt(struct ww_os *os);

/* One turn: waits at most `timeout_ms` (negative: no bound) and runs callbacks. False: nothing is left that
 * could call back. Not from within a callback. */
bool ww_os_step(struct ww_os *os, int timeout_ms);
/* For life in another loop: wait until the descriptor is readable or the timeout (-1: none) is over, then
 * ww_os_step(os, 0). The timeout is to be asked for anew before each wait; it is 0 as long as a step is
 * needed before the descriptor can tell. */
int ww_os_fd(const struct ww_os *os);
int ww_os_timeout_ms(struct ww_os *os);

/* SIGINT, SIGTERM and SIGHUP of the process, delivered on the loop. Does not keep ww_os_run going by itself.
 */
struct ww_os_signals {
    void (*caught)(struct ww_os_signals *signals, int signum);
};
/* `signals` stays the caller's until ww_os_free, or until called with NULL, which restores the system's
 * defaults. */
WW_MUST_USE ww_err ww_os_signals_watch(struct ww_os *os, struct ww_os_signals *signals);

#endif
