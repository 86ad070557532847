/* test/lib/alloc_fail.h — what a module does when memory runs out: each allocation fails once, in turn.
 *
 *     static ww_err body(void *ctx) { build something, use it, take it down; return the first error; }
 *     ...
 *     alloc_fail_run(body, NULL);
 *
 * Runs `body` with the 1st, the 2nd, ... allocation failing, each time in two ways: that one alone, and that
 * one and all after it. Stops after the first run in which nothing had to be refused, and that run must
 * return WW_OK. Every run must give back what it allocated. A run that meets a refusal may return WW_OK (the
 * code coped) or WW_ENOMEM, or an error that it made of it; it may not crash, leak or hang.
 *
 * `body` starts from nothing each time: objects allocated before the call may not be resized or freed inside.
 */
#ifndef WW_TEST_LIB_ALLOC_FAIL_H
#define WW_TEST_LIB_ALLOC_FAIL_H

#include "base/base.h"

/* Returns the number of allocations of the run without refusals. Fails the calling cmocka test otherwise. */
size_t alloc_fail_run(ww_err (*body)(void *ctx), void *ctx);

/* For tests that steer by hand. Between begin and end all ww_alloc'ed memory is counted. */
void alloc_track_begin(void);
/* The n-th allocation from now on fails (1: the next); `sticky`: and all after it. 0 turns it off. */
void alloc_track_fail(size_t n, bool sticky);
/* Blocks alive, and whether a refusal has happened since alloc_track_fail. */
size_t alloc_track_live(void);
bool alloc_track_failed(void);
/* Fails the calling test when a block is still alive. */
void alloc_track_end(void);

#endif
