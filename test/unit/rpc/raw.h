/* A peer made of hand-built messages: it says what no well-behaved vat would, or not in that order. */
#ifndef WW_TEST_RPC_RAW_H
#define WW_TEST_RPC_RAW_H

#include "pair.h"

struct raw {
    struct side s; /* the vat under test */
    struct object *object;
    int live;
    struct ww_frame_in in;
    struct ww_msg out, got[16]; /* the last messages that came, so that views stay good for a while */
    unsigned at;
    uint8_t bytes[1 << 16];
    size_t have;
};

void raw_init(struct raw *r);
void raw_fini(struct raw *r);
/* Sends what was built with raw_begin, and lets the vat run. */
void raw_send(struct raw *r);
struct ww_sb raw_begin(struct raw *r, uint16_t tag, uint16_t data_words, uint16_t ptrs);
/* The next message of the vat, which must have this tag; its body. */
struct ww_sr raw_next(struct raw *r, uint16_t tag);
/* The vat has nothing to say. */
void raw_silent(struct raw *r);
/* The vat aborts. */
void raw_aborted(struct raw *r, ww_err err);

/* A descriptor: kind and id; for receiverAnswer, path 0 of the answer `id`. */
struct desc {
    int kind;
    uint32_t id;
};
#define NO_DESC ((struct desc){-1, 0})
#define HOSTED(id) ((struct desc){WW_RPC_DESC_SENDER_HOSTED, (id)})
#define PROMISE(id) ((struct desc){WW_RPC_DESC_SENDER_PROMISE, (id)})
#define YOURS(id) ((struct desc){WW_RPC_DESC_RECEIVER_HOSTED, (id)})
#define YOUR_ANSWER(id) ((struct desc){WW_RPC_DESC_RECEIVER_ANSWER, (id)})
#define VINE(id) ((struct desc){WW_RPC_DESC_THIRD_PARTY, (id)})
#define IMPORTED(id) ((struct target){(id), -1})
#define PROMISED(qid, path) ((struct target){(qid), (path)})
struct target {
    uint32_t id;
    int path; /* -1: an imported capability; -2: a promised answer's root */
};

void raw_bootstrap(struct raw *r, uint32_t qid);
void raw_call(
    struct raw *r, uint32_t qid, struct target to, uint16_t method, uint64_t value, struct desc cap);
/* A capability of the script's in the vat's hands: its application gets it out of the object, export 0. */
struct ww_cap *raw_give(struct raw *r, struct desc d);
/* Results of one number and one capability. */
void raw_return(struct raw *r, uint32_t aid, uint64_t value, struct desc cap);
/* With releaseParamCaps. */
void raw_return_releasing(struct raw *r, uint32_t aid, uint64_t value, struct desc cap);
void raw_return_tag(struct raw *r, uint32_t aid, uint16_t tag, uint32_t value);
void raw_finish(struct raw *r, uint32_t qid, bool release_caps);
void raw_release(struct raw *r, uint32_t id, uint32_t count);
void raw_resolve(struct raw *r, uint32_t promise, struct desc cap);
void raw_disembargo(struct raw *r, struct target to, uint16_t context, uint32_t id);

/* What messages of the vat must say. */
void expect_call(struct raw *r, struct target to, uint16_t method, uint64_t value, uint32_t *ret_qid);
/* Results; returns the first capability's descriptor. */
struct desc expect_results(struct raw *r, uint32_t aid, uint64_t value);
void expect_exception(struct raw *r, uint32_t aid, uint16_t type);
void expect_finish(struct raw *r, uint32_t qid, bool release_caps);
void expect_release(struct raw *r, uint32_t id, uint32_t count);
void expect_disembargo(struct raw *r, struct target to, uint16_t context, uint32_t *ret_id);
struct desc expect_resolve(struct raw *r, uint32_t promise);
struct desc desc_at(struct ww_sr payload, uint32_t index);

#endif
