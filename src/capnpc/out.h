/* capnpc/out.h — text that grows, and files that are only touched when they change. */
#ifndef WW_CAPNPC_OUT_H
#define WW_CAPNPC_OUT_H

#include "base/base.h"

struct out {
    char *text;
    size_t len, capacity;
};

/* The program ends when memory is out: a generator has nothing to save. */
void *need(void *ptr);
/* Formatted text that lives until keep_free_all, at the end of the program. */
/* Zeroed memory that lives as long. */
void *keep(size_t bytes);
char *textf(const char *fmt, ...) WW_PRINTF(1, 2);
void keep_free_all(void);

void put(struct out *o, const char *fmt, ...) WW_PRINTF(2, 3);
void out_fini(struct out *o);
/* Writes `o` to `path`, making directories on the way; leaves a file alone that has this content already.
 * Ends the program with a message on failure. */
void out_write(const struct out *o, const char *path);

#endif
