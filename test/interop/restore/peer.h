#ifndef WW_TEST_INTEROP_RESTORE_PEER_H
#define WW_TEST_INTEROP_RESTORE_PEER_H

#include "restore.capnp.rpc.h"
#include "ww/rpc_fd.h"

/* Ends the process. */
_Noreturn void die(const char *why);
void must(ww_err err);
int vault_serve(const char *folder, const char *address, const char *now_s);

#endif
