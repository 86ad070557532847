/* capnpc/generate.h — from a request to the texts of files; touches neither files nor the terminal. */
#ifndef WW_CAPNPC_GENERATE_H
#define WW_CAPNPC_GENERATE_H

#include "capnpc/out.h"

struct made_file {
    struct made_file *next;
    const char *path;
    struct out text;
};

/* `in` is a framed CodeGeneratorRequest from anyone; it is read in place. NULL: the files are in *ret_files.
 * Else what is wrong, and there are none. Both live until keep_free_all. */
const char *generate(struct ww_bytes in, const struct made_file **ret_files);

#endif
