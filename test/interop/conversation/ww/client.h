/* One conversation: a connection, and what its steps have names for. */
#ifndef WW_TEST_CONVERSATION_CLIENT_H
#define WW_TEST_CONVERSATION_CLIENT_H

#include "steps.h"
#include "ww/rpc_fd.h"

struct conversation;

/* `socket` is closed with the conversation; of `config` the host is not looked at. `canceled_unanswered`: the
 * peer sends no Return for a call that was cancelled, so that its question stays. */
struct conversation *conversation_new(
    int socket, const struct ww_rpc_conn_config *config, bool canceled_unanswered);
void conversation_free(struct conversation *c);
/* False: the step failed; conversation_why says why. */
bool conversation_step(struct conversation *c, const struct step *s);
/* What every conversation ends with: nothing is left, on either side. */
bool conversation_finish(struct conversation *c, bool connected);
const char *conversation_why(const struct conversation *c);

#endif
