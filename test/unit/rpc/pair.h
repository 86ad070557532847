/* Two vats and one connection between them, over memory: each message can be moved on its own. */
#ifndef WW_TEST_RPC_PAIR_H
#define WW_TEST_RPC_PAIR_H

#include "test/lib/test.h"
#include "rpc/internal.h"

struct side {
    struct ww_rpc_conn_host host;
    struct ww_rpc_vat *vat;
    struct ww_rpc_conn *conn;
    struct ww_budget budget;
    ww_err closed; /* 0: open */
    unsigned closed_events;
    char reason[128];
};

struct pair {
    struct side a, b;
    uint64_t now_ns;
};

/* An object for tests. Methods: 0 echo a number, 1 fail, 2 keep a capability, 3 give it back, 4 call it with
 * a number, 5 answer later, 6 a stream of numbers that must come in order, 7 count, 8 a new object, 9 echo a
 * capability. */
#define TEST_IFACE UINT64_C(0xfeedfacecafe0001)
enum { M_ECHO, M_FAIL, M_KEEP, M_GIVE, M_CALL, M_LATER, M_STREAM, M_COUNT, M_NEW, M_ECHO_CAP };

struct object {
    struct ww_rpc_server server;
    struct ww_rpc_cancel cancel;
    struct ww_rpc_vat *vat;
    struct ww_cap *kept;
    struct ww_rpc_call *later; /* M_LATER, M_STREAM with `hold` */
    bool hold;                 /* stream calls wait for object_go */
    uint64_t fail_at;          /* a stream number that fails; 0: none */
    uint64_t seen[512];
    size_t seen_count;
    unsigned canceled;
    bool *dropped;       /* told on drop; also says that the object is on the heap */
    int *live;           /* counts objects */
    struct ww_list node; /* of all objects */
};

extern const struct ww_rpc_server_ops object_ops;
extern bool
    objects_obey_cancel; /* M_LATER fails at once when it is cancelled, instead of waiting for object_go */
extern unsigned objects_canceled;
struct ww_cap *object_new(struct ww_rpc_vat *vat, int *live, struct object **ret_object);
/* NULL without memory. */
struct ww_cap *object_try(struct ww_rpc_vat *vat, int *live, struct object **ret_object);
/* Completes the call that waits. */
void object_go(struct object *o);
/* Every object drops what it keeps: a damaged message can have made it keep itself. */
void objects_let_go(void);

void pair_init(struct pair *p, struct ww_cap *(*make)(struct ww_rpc_vat *vat), bool packed);
void pair_fini(struct pair *p);
/* Moves bytes from one side to the other, `step` at a time (0: all). Returns whether there were any. */
bool pair_move(struct pair *p, struct side *from, struct side *to, size_t step);
/* Until nothing moves; checks the invariants after every step. */
void pair_settle(struct pair *p);
void side_check(const struct side *s);
void side_idle(const struct side *s);

/* A waiter that remembers. */
struct outcome {
    struct ww_rpc_wait wait;
    unsigned count;
    ww_err status;
    uint64_t value;
    char reason[128];
    unsigned *order; /* a counter shared by waiters: when it came */
    unsigned at;
};
void outcome_init(struct outcome *o, unsigned *order);
/* Sends method with one number and one capability (NULL: none). */
struct ww_rpc_request *call_send(
    struct ww_cap *target, uint16_t method, uint64_t value, struct ww_cap *cap, struct outcome *o);
struct ww_cap *pipeline(struct ww_rpc_request *request, int index);

#endif
