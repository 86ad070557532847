/* Pieces of messages that follow the grammar and nothing else, chosen by somebody's bytes. */
#ifndef WW_TEST_FUZZ_HOSTILE_H
#define WW_TEST_FUZZ_HOSTILE_H

#include "rpc/internal.h"

/* Its user embeds this. */
struct hostile {
    uint8_t (*take)(struct hostile *hostile);
    uint8_t ids, paths; /* small numbers, so that they often hit */
    uint8_t odd;        /* of so many operations on a path one is unknown */
    bool odd_targets;   /* and of the targets, too */
};

uint32_t hostile_id(struct hostile *h);
void hostile_promised(struct hostile *h, struct ww_pb at);
void hostile_desc(struct hostile *h, struct ww_sb desc);
void hostile_target(struct hostile *h, struct ww_pb at);
/* A table of `n` capabilities, and the content's first pointers to them. */
void hostile_caps(struct hostile *h, struct ww_sb payload, struct ww_sb content, uint32_t n);

#endif
