/* capnp/text_tape.h — what a text or JSON input consists of, before its types are looked at: one node for
 * each value, in the order of the input. */
#ifndef WW_CAPNP_TEXT_TAPE_H
#define WW_CAPNP_TEXT_TAPE_H

#include "base/base.h"
#include "capnp/number.h"
#include "capnp/text_out.h"

#define WW_TAPE_BYTES_MAX ((size_t)1 << 30) /* of input */

enum ww_tape_kind {
    WW_TAPE_STRUCT, /* names and values in turn */
    WW_TAPE_LIST,
    WW_TAPE_NAME,
    WW_TAPE_WORD, /* an identifier */
    WW_TAPE_INT,  /* with its sign; literals of any base */
    WW_TAPE_FLOAT,
    WW_TAPE_STRING, /* with its quotes */
    WW_TAPE_BINARY, /* 0x"..." */
    WW_TAPE_GROUP,  /* (value): what is inside, once */
};

struct ww_tape_node {
    uint32_t at, len; /* in the input */
    uint32_t next;    /* node after this one and all inside it; while open, the node around it */
    uint32_t count;   /* values inside */
    uint8_t kind;
};

struct ww_tape {
    struct ww_bytes in;
    struct ww_tape_node *nodes;
    size_t count, capacity;
    size_t at;     /* of the parser */
    uint32_t open; /* innermost node that is not closed; UINT32_MAX: none */
    unsigned depth;
    struct ww_diag *diag;
};

/* Fills a tape, up to the end of one value. `ww_tape_fini` in any case. */
ww_err ww_text_scan(struct ww_tape *t, struct ww_bytes in, struct ww_diag *diag);
ww_err ww_json_scan(struct ww_tape *t, struct ww_bytes in, struct ww_diag *diag);
/* Goes over space after the value; for text, over comments too. Refuses anything else, unless there may be
 * `more`. */
ww_err ww_text_scan_end(struct ww_tape *t, bool more);
ww_err ww_json_scan_end(struct ww_tape *t, bool more);
void ww_tape_fini(struct ww_tape *t);

/* ---- for the scanners */

ww_err ww_tape_start(struct ww_tape *t, struct ww_bytes in, struct ww_diag *diag);
ww_err ww_tape_add(struct ww_tape *t, enum ww_tape_kind kind, size_t at, size_t end);
ww_err ww_tape_enter(struct ww_tape *t, enum ww_tape_kind kind);
void ww_tape_leave(struct ww_tape *t);

/* ---- for both */

/* `code` with "line:column: " before the text, for the byte at `at`. */
ww_err ww_tape_error(const struct ww_tape *t, size_t at, ww_err code, const char *fmt, ...) WW_PRINTF(4, 5);
/* WW_EINVAL: what was found there (the next few bytes), and what was expected. */
ww_err ww_tape_unexpected(const struct ww_tape *t, size_t at, const char *expected);

static inline struct ww_bytes ww_tape_text(const struct ww_tape *t, const struct ww_tape_node *n)
{
    return ww_bytes(t->in.ptr + n->at, n->len);
}

/* After a step that built something: what went wrong in the message is told, and no memory too. */
ww_err ww_tape_built(const struct ww_tape *t, struct ww_pb to, ww_err err);

/* As a C string, cut to fit. */
const char *ww_tape_name(const struct ww_tape *t, const struct ww_tape_node *n, char *out, size_t size);

#endif
