/* Thing of conversation.capnp, on our implementation. */
#ifndef WW_TEST_CONVERSATION_THING_H
#define WW_TEST_CONVERSATION_THING_H

#include "ww/rpc_fd.h"
#include "base/list.h"
#include "test/interop/conversation/ww/conversation.capnp.rpc.h"

#define NOTE_WORDS 8

extern int things_live;

/* A new object for the connection on the socket `fd`. Exits the program without memory, as everything here.
 */
struct ww_cap *thing_new(struct ww_rpc_vat *vat, int fd);
/* The object behind `cap`, if it is resolved and here; NULL otherwise. */
const void *thing_behind(struct ww_cap *cap);

uint8_t pattern_at(size_t i);
/* Ends the program when something goes wrong that only our own fault can explain. */
void must(ww_err err);

#endif
