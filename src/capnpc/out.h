/* capnpc/out.h — text that grows, memory that lives to the end, and one way out when something is wrong. */
#ifndef WW_CAPNPC_OUT_H
#define WW_CAPNPC_OUT_H

#include <setjmp.h>

#include "base/base.h"

struct out {
    char *text;
    size_t len, capacity;
};

/* Ends generate() with this message, which lives as long as other kept memory. */
_Noreturn void give_up(const char *message);
/* Where give_up() goes, and what it was told. */
extern jmp_buf out_given_up;
extern const char *out_message;

/* Zeroed memory that lives until keep_free_all, which the program calls at its end. */
void *keep(size_t bytes);
/* Room for one more element behind `count`: the list itself or a larger copy. */
void *keep_grow(void *list, size_t count, size_t elem);
/* Formatted text that lives as long. */
char *textf(const char *fmt, ...) WW_PRINTF(1, 2);
void keep_free_all(void);

void put(struct out *o, const char *fmt, ...) WW_PRINTF(2, 3);

#endif
