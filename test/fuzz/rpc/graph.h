/* Many vats in one process that hand each other capabilities at random, beside a model that knows what each
 * reference has to reach.
 *
 * A run is a script: a header and steps of fixed size, so that dropping a step does not change what the
 * others say. Seeds and the fuzzer only choose the bytes. A step moves one message, runs one vat, or lets one
 * application do something.
 *
 * The model. Each reference that an application holds has a shadow: the node of the shadow graph that it
 * stands for, and the links that calls on it may have to pass. Nodes are objects, local promises, results of
 * calls. What an application decides (an answer, a resolution) the model learns at once, so it is always
 * ahead of the messages. Checked are, at each delivery: the object is the one that the reference leads to,
 * calls on one reference come in order, none twice, parameters are what was sent; at each outcome: it is what
 * the callee said, or a failure for which there is a reason; at the end: every call was delivered and
 * completed, what is resolved is known as resolved, an object is known at home, everything was dropped once,
 * all tables are empty, no memory is left. Every message between good vats is held against the rules of the
 * protocol (graph_wire.c), and ww_rpc_conn_check runs after each step.
 *
 * Excused are: failures of whatever passes a link that was cut; everything that a malicious vat had a hand
 * in; failures (never wrong deliveries) once an allocation was refused; circles of promises, which have no
 * end to reach, until their connections end; and what is left in the tables, while the connection lasts, of
 * calls that have each other's results among their own. */
#ifndef WW_TEST_FUZZ_GRAPH_H
#define WW_TEST_FUZZ_GRAPH_H

#include "rpc/internal.h"

enum {
    VATS = 5,
    LINKS = 8,
    HANDS = 8,    /* capabilities that a vat's application holds */
    REQUESTS = 6, /* calls that it made */
    HELD = 6,     /* calls that it has not answered */
    PROMISES = 4, /* that it may still resolve */
    WATCHES = 2,
    CAPS = 4,  /* in one message; the last is in a nested struct */
    PATHS = 6, /* that are pipelined on: those, one to a struct and one to nothing */
    OBJECTS = 256,
    NODES = 16384,
    MEMBRANES = 2, /* of each vat */
    CROSSINGS = 8, /* that a capability has behind it */
    RECORDS = 1024,
    REFS = 4096,
    BEHAVIOUR = 7,
    WIRE_IDS = 512,
    STEP_BYTES = 16,
};

struct world;
struct vat;

/* ---- the shadow graph */

enum node_kind { N_NULL, N_OBJECT, N_PROMISE, N_RESULT, N_BROKEN, N_ANY, N_CROSSED };

/* What a reference stands for, and the links that it crossed on its way here. */
struct shadow {
    uint16_t node, links;
};

struct node {
    enum node_kind kind;
    int at;    /* the object, the call, the crossing, or the number in the reason */
    int index; /* N_RESULT: which */
    enum { P_OPEN, P_RESOLVED, P_REJECTED } state;
    struct shadow to;
};

enum end_kind { END_OPEN, END_NULL, END_OBJECT, END_BROKEN, END_ANY, END_LOOP };

/* Where a reference leads as far as the applications decided. */
struct end {
    enum end_kind kind;
    int at; /* the object, or the number in the reason */
    uint32_t links;
    bool shaky;   /* may be broken just as well */
    bool veiled;  /* a result of a call whose outcome nobody is told */
    bool unknown; /* a result: if it is none, the callee may have forgotten the call by then */
    bool folded;  /* it crossed a membrane and came back, or again: over links the way may be the long one */
    bool detour;  /* a policy leads elsewhere */
    bool lost;    /* too many borders to keep count */
    uint16_t crossed; /* membranes on the way */
    uint8_t depth;    /* and what is left of them: membrane * 2 + way, the one around the object first */
    uint8_t stack[CROSSINGS];
    uint8_t blind; /* vats, a bit each, that may not be told: of a tail call only the caller is */
};

enum rec_state { R_SENT, R_RUNNING, R_RETURNED, R_FAILED, R_FORWARDED };

/* A call, from the first side to the last. */
struct record {
    uint64_t nonce;
    enum rec_state state;
    uint8_t vat; /* who called */
    bool stream, canceled, done, no_wait, alien, given_up, pipe_only;
    bool barred;      /* a membrane on its way had been revoked when it was sent */
    uint8_t diverted; /* 1 + the membrane whose policy sent it elsewhere */
    unsigned cancels_told;
    struct shadow target, params[CAPS], results[CAPS], early;
    bool has_early;
    uint8_t caps, result_caps;
    int ref, object, text, next, parent; /* next: forwarded to; parent: forwarded from */
    uint32_t seq;
    int pipe_ref[PATHS];
    uint16_t pipe_node[PATHS]; /* N_RESULT nodes, 0 before they are made */
    struct ww_rpc_cancel cancel;
    struct world *world;
};

/* A capability in an application's hand. */
struct ref {
    struct ww_cap *cap;
    struct shadow shadow;
    int id; /* 0: nothing here */
};

struct ref_state {
    uint32_t sent, seen[1 + VATS * MEMBRANES]; /* at the object, at those of policies */
    int object;
};

struct object {
    struct ww_rpc_server server;
    struct world *world;
    int id, busy, text; /* record of the streaming call or -1; why the stream broke */
    uint8_t vat;
    bool made, dropped, stream_broken;
    bool doubtful; /* a malicious vat streamed to it: its parameters may have been malformed, which breaks
                      streams */
};

/* ---- the machinery */

struct request {
    struct ww_rpc_wait wait;
    struct ww_rpc_request *request;
    struct vat *vat;
    int record;
    bool unsent;
};

struct held {
    struct ww_rpc_call *call;
    int record;
    struct ref early; /* what set_pipeline promised */
};

/* What a membrane's policy does with some of the calls, and with all others not. */
enum mood { MOOD_PASS, MOOD_REFUSE, MOOD_DETOUR };

struct border {
    struct ww_membrane_policy policy;
    struct world *world;
    struct ww_membrane *membrane;
    enum mood mood;
    struct ref detour; /* an object */
    int detour_id;
    bool dropped;
};

struct watch {
    struct ww_cap_watch watch;
    struct vat *vat;
    struct ref ref;
    bool fired;
};

struct vat {
    struct world *world;
    uint8_t id;
    struct ww_rpc_vat *rpc;
    struct ref hand[HANDS];
    struct request request[REQUESTS];
    struct held held[HELD];
    struct ref promise[PROMISES]; /* open ones; shadow.node is the N_PROMISE */
    struct ww_cap_resolver *resolver[PROMISES];
    struct watch watch[WATCHES];
    struct ref boot;
    uint16_t boot_node; /* without the membrane around it */
    struct ww_rpc_stream stream;
    bool has_stream, finishing;
};

struct frame {
    struct frame *next;
    size_t len;
    uint8_t data[];
};

/* What one side of a connection has said and was told, by the rules (graph_wire.c). */
struct wire_question {
    bool live, finished, returned, yourself;
    uint8_t result_count;
    uint16_t results[CAPS * 2]; /* answers: exports that the Return carried */
};
struct wire_export {
    uint32_t refs;
    bool promise, resolved;
};
struct wire {
    struct wire_question question[WIRE_IDS], answer[WIRE_IDS];
    struct wire_export export[WIRE_IDS];
    uint32_t import[WIRE_IDS];
    bool embargo[WIRE_IDS], echo[WIRE_IDS];
    unsigned top; /* ids used so far are below */
};

struct side {
    struct ww_rpc_conn_host host;
    struct link *link;
    struct vat *vat; /* NULL: malicious */
    struct ww_rpc_conn *conn;
    struct ww_budget budget;
    struct frame *first, *last; /* on their way from here */
    bool hung_up;               /* behind the last frame comes the end of the stream */
    bool lost;                  /* and this side knows of it */
    struct wire *wire;
};

struct link {
    struct side side[2];
    bool good;   /* both are vats of ours */
    bool packed; /* messages are, and come in any pieces; what they say is not looked at */
};

struct script {
    const uint8_t *data;
    size_t size;
};

struct world {
    struct vat vat[VATS];
    struct link link[LINKS];
    unsigned vats, links;
    struct object object[OBJECTS];
    struct node node[NODES];
    struct record record[RECORDS];
    struct ref_state ref[REFS];
    unsigned objects, nodes, records, refs, texts;
    uint32_t dead; /* links that were cut */
    struct border membrane[VATS * MEMBRANES];
    uint16_t revoked;                              /* a bit each */
    bool borders;                                  /* vats use them */
    unsigned crossings, refusals, detours, barred; /* calls that had to do with them */
    bool evil, looped;                             /* a malicious vat takes part; promises lead in a circle */
    bool tails;                                    /* connections know tail calls */
    bool boot_shared; /* a bootstrap capability leads to somebody else: connections hold that to the end */
    bool ending;
    bool verbose;
    uint64_t random, now_ns;
    int step;
    unsigned messages[16];
    struct ww_msg out, in; /* of the malicious vat, of the wire's check */
    uint8_t replay[8][512];
    size_t replay_len[8];
    unsigned replays;
};

/* What a step is made of. */
struct step {
    uint8_t op, vat, arg[STEP_BYTES - 2];
};

/* graph_world.c */
struct graph_stats {
    unsigned calls, delivered, loops;
    unsigned crossings, refusals, detours, barred; /* calls across membranes, and what became of some */
    unsigned messages[16];                         /* between good vats, by kind */
    size_t allocations;
};
/* Runs a script; a finding goes to graph_fail. `fail_at` 0: memory never runs out; `sticky`: nor comes back.
 */
void graph_run(
    struct script script, size_t fail_at, bool sticky, bool verbose, struct graph_stats *ret_stats);
/* The longest script that is looked at, and a random one of `steps` steps. */
enum { GRAPH_STEPS_MAX = 400, GRAPH_HEADER = 8 };
struct graph_choice {
    unsigned vats, steps; /* 0: as the seed says */
    bool malicious;
};
size_t graph_script(uint64_t seed, struct graph_choice choice, uint8_t *out);
/* Called with the text of a finding; must not return. NULL: prints and aborts. */
extern void (*graph_finding)(const char *text);
__attribute__((noreturn, format(printf, 2, 3))) void graph_fail(struct world *w, const char *fmt, ...);
__attribute__((format(printf, 2, 3))) void graph_log(struct world *w, const char *fmt, ...);
uint64_t graph_random(uint64_t *state);
/* graph_link.c */
/* One message from `from`; false when none waits. */
bool graph_deliver(struct world *w, struct link *link, int from);
void graph_pull(struct world *w, struct link *link, int from);
void graph_check(struct world *w);
/* Until nothing moves. */
void graph_settle(struct world *w);
void graph_cut(struct world *w, unsigned link, uint8_t how);
void graph_cut_all(struct world *w);
void graph_frames_free(struct side *side);

/* graph_alloc.c: memory is counted, and refused on demand */
void graph_alloc_begin(size_t fail_at, bool sticky);
/* The library's memory runs out, the test's own does not. Nests. */
void graph_alloc_spare(bool on);
bool graph_alloc_refused(void);
size_t graph_alloc_count(void);
size_t graph_alloc_live(void);
void graph_alloc_end(void);

/* graph_model.c */
enum {
    TEXT_NULL = -1,
    TEXT_NO_BOOTSTRAP = -2,
    TEXT_NO_CAP = -3,
    TEXT_UNRESOLVED = -4,
    TEXT_REFUSED = -5
}; /* not by the applications */
uint16_t node_new(struct world *w, enum node_kind kind, int at, int index);
int ref_new(struct world *w);
int record_new(struct world *w, struct vat *vat, struct ref *target);
struct shadow result_shadow(struct world *w, int record, int index);
/* A call was delivered to `object`; NULL for one that none of ours sent. */
struct record *model_deliver(struct world *w, struct object *object, uint64_t nonce);
void model_param(struct world *w, struct record *r, int index, struct ww_cap *cap, struct vat *vat);
void model_done(struct world *w, int record, ww_err status, const char *reason);
void model_result(struct world *w, int record, int index, struct ww_cap *cap, struct vat *vat);
void model_canceled(struct world *w, struct record *r);
void model_drop(struct world *w, struct object *object);
/* What can be said of a capability at any time, and when nothing moves any more. */
void model_cap(struct world *w, struct vat *vat, const struct ref *ref, bool quiet);
void model_final(struct world *w);
void reason_format(int text, char out[32]);

/* graph_walk.c */
struct end shadow_end(struct world *w, struct shadow s);
/* Where a call goes: policies are asked for it. */
struct end record_end(struct world *w, const struct record *r);
bool end_excused(const struct world *w, struct end end);
/* A membrane that is surely in the way was revoked. */
bool end_revoked(const struct world *w, const struct end *end);
/* On the other side of a membrane; a parameter, on the side of the callee. */
struct shadow shadow_cross(struct world *w, struct shadow s, uint8_t crossing);
struct shadow param_shadow(struct world *w, const struct record *r, int index);
/* Do calls have each other's results among their own? Each side waits for the other's Finish then. */
bool model_circular(struct world *w);

/* graph_membrane.c */
void membranes_init(struct world *w, uint8_t how);
/* What the policy does with this call. */
enum mood membrane_mood(const struct world *w, unsigned membrane, uint64_t nonce);
/* 1 + the membrane that leads calls to this object, or 0. */
uint8_t membrane_of_detour(const struct world *w, int object);
/* Takes the reference to one side and gives the one to the other; `how` chooses the membrane and the way. */
bool membrane_pass(struct vat *vat, uint8_t how, struct ref *ref);
void membrane_step(struct vat *vat, const uint8_t *arg);
void membranes_check(struct world *w, struct vat *vat);
void membranes_release(struct world *w);
void membranes_dropped(struct world *w);

/* graph_app.c */
void app_step(struct world *w, const struct step *step);
/* The end: answers and resolves everything; then lets go of everything. */
void app_release(struct world *w);
void app_let_go(struct world *w);
/* graph_serve.c */
extern const struct ww_rpc_server_ops graph_object_ops;
void graph_dispatch(struct ww_rpc_server *self, struct ww_rpc_call *call);
void graph_dropped(struct ww_rpc_server *self);
void app_answer(struct vat *vat, struct held *held, uint8_t how, const uint8_t *caps);

/* graph_caps.c */
void ref_drop(struct ref *ref);
struct ref ref_copy(const struct ref *ref);
void hand_set(struct vat *vat, uint8_t slot, struct ref ref);
/* A capability chosen by `how`; `given`: one more to choose from. The reference is the caller's. */
struct ref app_pick(struct vat *vat, uint8_t how, const struct ref *given);
bool app_object(struct vat *vat, struct ref *ret_ref);
bool app_promise(struct vat *vat, unsigned slot, struct ref *ret_ref);
void app_bootstrap(struct vat *vat, uint8_t which, struct ref *ret_ref);
bool app_pipeline(struct vat *vat, struct request *request, uint8_t which, struct ref *ret_ref);
void app_caps(struct vat *vat, struct ww_sb sb, const uint8_t *how, unsigned count, const struct ref *given,
    struct shadow *ret_shadows);
/* The request leaves now. */
void app_sent(struct world *w, struct record *r);
struct ww_rpc_request *app_request(struct vat *vat, struct ref *target, const uint8_t *how, unsigned count,
    const uint8_t behaviour[BEHAVIOUR], const struct ref *given, int *ret_record);

/* graph_wire.c */
void wire_sent(struct world *w, struct side *side, struct ww_bytes frame);
void wire_received(struct world *w, struct side *side, struct ww_bytes frame);
void wire_empty(struct world *w, struct side *side);

/* graph_evil.c */
void evil_step(struct world *w, const struct step *step);
void evil_record(struct world *w, struct ww_bytes frame);
enum { NONCE_MAGIC = 0x6e6f6e63 }; /* high half of every call's mark */

#endif
