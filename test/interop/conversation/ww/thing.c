#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/base.h"
#include "thing.h"

#define REMEMBERED_MAX 4096

int things_live;

struct thing {
    struct conversation_Thing_server server;
    struct ww_rpc_vat *vat;
    struct ww_cap *self; /* not a reference of ours: it lives while we do */
    struct ww_cap *kept;
    struct ww_cap_resolver *resolver; /* of the last promise asked for */
    struct ww_list waiters;
    int fd;
    uint64_t next, canceled, waiting;
    uint8_t remembered[REMEMBERED_MAX], boxed[256];
    size_t remembered_count, boxed_len;
};

/* A call of later or early. */
struct waiter {
    struct ww_rpc_cancel cancel;
    struct ww_list node;
    struct thing *thing;
    struct ww_rpc_call *call;
    struct ww_cap *early;
};

/* A call of call: it answers what its own call is answered. */
struct relay {
    struct ww_rpc_cancel cancel;
    struct ww_rpc_wait wait;
    struct ww_rpc_call *call;
    struct ww_rpc_request *request;
};

void must(ww_err err)
{
    if (err >= 0)
        return;
    fprintf(stderr, "conversation: %s\n", ww_err_text(err));
    exit(3);
}

uint8_t pattern_at(size_t i)
{
    return (uint8_t)(i * 7 + 1);
}

static void *make(size_t size)
{
    void *p = calloc(1, size);
    must(p ? 0 : WW_ENOMEM);
    return p;
}

static struct thing *thing_of(struct conversation_Thing_server *server)
{
    return WW_CONTAINER_OF(server, struct thing, server);
}

static struct conversation_Note_r params(struct ww_rpc_call *call)
{
    return conversation_Note_r_from(ww_rpc_call_params(call));
}

static struct conversation_Note_b answer(struct ww_rpc_call *call)
{
    return conversation_Note_b_init(ww_rpc_call_results(call, NOTE_WORDS));
}

static void answer_value(struct ww_rpc_call *call, uint64_t value)
{
    conversation_Note_set_value(answer(call), value);
    ww_rpc_call_return(call);
}

static void answer_cap(struct ww_rpc_call *call, struct ww_cap *cap)
{
    conversation_Note_set_cap(answer(call), cap);
    ww_rpc_call_return(call);
}

static void on_base(struct conversation_Thing_server *server, struct ww_rpc_call *call)
{
    WW_UNUSED(server);
    answer_value(call, conversation_Note_value(params(call)) + 100);
}

static void on_left(struct conversation_Thing_server *server, struct ww_rpc_call *call)
{
    WW_UNUSED(server);
    answer_value(call, conversation_Note_value(params(call)) + 200);
}

static void on_right(struct conversation_Thing_server *server, struct ww_rpc_call *call)
{
    WW_UNUSED(server);
    answer_value(call, conversation_Note_value(params(call)) + 300);
}

static void on_put(struct conversation_Thing_server *server, struct ww_rpc_call *call)
{
    struct thing *t = thing_of(server);
    struct ww_bytes content =
        ww_pr_data(conversation_Box_put_params_content(conversation_Box_put_params(call)));
    t->boxed_len = content.len < sizeof t->boxed ? content.len : sizeof t->boxed;
    memcpy(t->boxed, content.ptr, t->boxed_len);
    ww_rpc_call_return(call);
}

static void on_get(struct conversation_Thing_server *server, struct ww_rpc_call *call)
{
    struct thing *t = thing_of(server);
    ww_pb_set_data(conversation_Box_get_results_get_content(conversation_Box_get_answer(call)),
        ww_bytes(t->boxed, t->boxed_len));
    ww_rpc_call_return(call);
}

static void on_save(struct conversation_Thing_server *server, struct ww_rpc_call *call)
{
    WW_UNUSED(server);
    struct ww_bytes seal = conversation_Saver_save_params_sealFor(conversation_Saver_save_params(call));
    conversation_Saver_save_results_set_sturdyRef(conversation_Saver_save_answer(call), seal);
    ww_rpc_call_return(call);
}

static void remember(struct thing *t, uint64_t value)
{
    if (t->remembered_count < REMEMBERED_MAX)
        t->remembered[t->remembered_count++] = (uint8_t)value;
}

static void on_echo(struct conversation_Thing_server *server, struct ww_rpc_call *call)
{
    struct conversation_Note_r p = params(call);
    remember(thing_of(server), conversation_Note_value(p));
    struct ww_bytes data = conversation_Note_data(p);
    struct conversation_Note_b results =
        conversation_Note_b_init(ww_rpc_call_results(call, NOTE_WORDS + (uint32_t)data.len / 8));
    conversation_Note_set_value(results, conversation_Note_value(p));
    if (conversation_Note_has_data(p))
        conversation_Note_set_data(results, data);
    ww_rpc_call_return(call);
}

static void on_fail(struct conversation_Thing_server *server, struct ww_rpc_call *call)
{
    static const ww_err kinds[] = {WW_EFAILED, WW_EOVERLOADED, WW_EDISCONNECTED, WW_EUNIMPLEMENTED};
    WW_UNUSED(server);
    ww_rpc_call_fail(call, kinds[conversation_Note_value(params(call)) % 4], "asked to fail");
}

static void on_keep(struct conversation_Thing_server *server, struct ww_rpc_call *call)
{
    struct thing *t = thing_of(server);
    struct ww_cap *old = t->kept;
    t->kept = ww_cap_ref(conversation_Note_cap(params(call)));
    ww_cap_unref(old);
    ww_rpc_call_return(call);
}

static void on_give(struct conversation_Thing_server *server, struct ww_rpc_call *call)
{
    answer_cap(call, thing_of(server)->kept);
}

/* A request for the kept capability with what the call's parameters say; NULL: the call failed. */
static struct ww_rpc_request *request_kept(struct thing *t, struct ww_rpc_call *call)
{
    struct conversation_Note_r p = params(call);
    struct ww_rpc_request *request;
    ww_err err =
        ww_rpc_request_new(t->kept, conversation_Thing_ID, conversation_Note_via(p), NOTE_WORDS, &request);
    if (err < 0) {
        ww_rpc_call_fail(call, WW_EFAILED, "nothing kept");
        return NULL;
    }
    struct conversation_Note_b note = conversation_Note_b_init(ww_rpc_request_params(request));
    conversation_Note_set_value(note, conversation_Note_value(p));
    conversation_Note_set_cap(note, conversation_Note_cap(p));
    return request;
}

static void relay_done(struct ww_rpc_wait *wait, struct ww_rpc_request *request)
{
    struct relay *r = WW_CONTAINER_OF(wait, struct relay, wait);
    ww_err err = ww_rpc_request_status(request);
    if (err < 0) {
        ww_rpc_call_fail(r->call, err, "%s", ww_rpc_request_reason(request));
    } else {
        struct conversation_Note_r got = conversation_Note_r_from(ww_rpc_request_results(request));
        struct conversation_Note_b results = answer(r->call);
        conversation_Note_set_value(results, conversation_Note_value(got));
        conversation_Note_set_data(results, conversation_Note_data(got));
        conversation_Note_set_cap(results, conversation_Note_cap(got));
        ww_rpc_call_return(r->call);
    }
    ww_rpc_request_free(request);
    free(r);
}

static void relay_canceled(struct ww_rpc_cancel *cancel, struct ww_rpc_call *call)
{
    struct relay *r = WW_CONTAINER_OF(cancel, struct relay, cancel);
    ww_rpc_request_free(r->request);
    free(r);
    ww_rpc_call_fail(call, WW_EFAILED, "canceled");
}

static void on_call(struct conversation_Thing_server *server, struct ww_rpc_call *call)
{
    struct ww_rpc_request *request = request_kept(thing_of(server), call);
    if (!request)
        return;
    struct relay *r = make(sizeof *r);
    *r = (struct relay){
        .cancel.canceled = relay_canceled, .wait.done = relay_done, .call = call, .request = request};
    ww_rpc_call_on_cancel(call, &r->cancel);
    ww_rpc_request_send(request, &r->wait);
}

static void on_tail(struct conversation_Thing_server *server, struct ww_rpc_call *call)
{
    struct ww_rpc_request *request = request_kept(thing_of(server), call);
    if (request)
        ww_rpc_call_forward_take(call, request);
}

static void on_make(struct conversation_Thing_server *server, struct ww_rpc_call *call)
{
    struct ww_cap *made = thing_new(thing_of(server)->vat, thing_of(server)->fd);
    answer_cap(call, made);
    ww_cap_unref(made);
}

static void on_self(struct conversation_Thing_server *server, struct ww_rpc_call *call)
{
    answer_cap(call, thing_of(server)->self);
}

static void on_mirror(struct conversation_Thing_server *server, struct ww_rpc_call *call)
{
    WW_UNUSED(server);
    struct ww_cap *cap = ww_cap_ref(conversation_Note_cap(params(call)));
    answer_cap(call, cap);
    ww_cap_unref(cap);
}

static void waiter_free(struct waiter *w)
{
    ww_list_remove(&w->node);
    w->thing->waiting--;
    ww_cap_unref(w->early);
    free(w);
}

static void waiter_canceled(struct ww_rpc_cancel *cancel, struct ww_rpc_call *call)
{
    struct waiter *w = WW_CONTAINER_OF(cancel, struct waiter, cancel);
    w->thing->canceled++;
    waiter_free(w);
    ww_rpc_call_fail(call, WW_EFAILED, "canceled");
}

static struct waiter *wait_here(struct thing *t, struct ww_rpc_call *call)
{
    struct waiter *w = make(sizeof *w);
    *w = (struct waiter){.cancel.canceled = waiter_canceled, .thing = t, .call = call};
    ww_list_push_back(&t->waiters, &w->node);
    t->waiting++;
    ww_rpc_call_on_cancel(call, &w->cancel);
    return w;
}

static void on_later(struct conversation_Thing_server *server, struct ww_rpc_call *call)
{
    (void)wait_here(thing_of(server), call);
}

static void on_early(struct conversation_Thing_server *server, struct ww_rpc_call *call)
{
    struct thing *t = thing_of(server);
    struct waiter *w = wait_here(t, call);
    w->early = thing_new(t->vat, t->fd);
    must(ww_rpc_call_set_pipeline(call, (const uint16_t[]){1}, 1, w->early));
}

static void on_go(struct conversation_Thing_server *server, struct ww_rpc_call *call)
{
    struct thing *t = thing_of(server);
    struct conversation_Note_r p = params(call);
    while (!ww_list_empty(&t->waiters)) {
        struct waiter *w = WW_LIST_ENTRY(t->waiters.next, struct waiter, node);
        struct conversation_Note_b results = answer(w->call);
        conversation_Note_set_value(results, conversation_Note_value(p));
        conversation_Note_set_cap(results, w->early ? w->early : conversation_Note_cap(p));
        ww_rpc_call_return(w->call);
        waiter_free(w);
    }
    answer_value(call, conversation_Note_value(p));
}

static void on_sequence(struct conversation_Thing_server *server, struct ww_rpc_call *call)
{
    answer_value(call, thing_of(server)->next++);
}

static void on_push(struct conversation_Thing_server *server, struct ww_rpc_call *call)
{
    uint64_t value = conversation_Note_value(params(call));
    if (value == 666) {
        ww_rpc_call_fail(call, WW_EFAILED, "asked to fail");
        return;
    }
    remember(thing_of(server), value);
    ww_rpc_call_return(call);
}

static void on_seen(struct conversation_Thing_server *server, struct ww_rpc_call *call)
{
    struct thing *t = thing_of(server);
    struct conversation_Note_b results =
        conversation_Note_b_init(ww_rpc_call_results(call, NOTE_WORDS + REMEMBERED_MAX / 8));
    conversation_Note_set_value(results, t->remembered_count);
    conversation_Note_set_data(results, ww_bytes(t->remembered, t->remembered_count));
    ww_rpc_call_return(call);
}

static void on_live(struct conversation_Thing_server *server, struct ww_rpc_call *call)
{
    WW_UNUSED(server);
    answer_value(call, (uint64_t)things_live);
}

static void on_canceled(struct conversation_Thing_server *server, struct ww_rpc_call *call)
{
    answer_value(call, thing_of(server)->canceled);
}

static void on_promise(struct conversation_Thing_server *server, struct ww_rpc_call *call)
{
    struct thing *t = thing_of(server);
    struct ww_cap *promise;
    ww_cap_resolver_free(t->resolver);
    must(ww_cap_new_promise(t->vat, &promise, &t->resolver));
    answer_cap(call, promise);
    ww_cap_unref(promise);
}

static void on_settle(struct conversation_Thing_server *server, struct ww_rpc_call *call)
{
    struct thing *t = thing_of(server);
    struct conversation_Note_r p = params(call);
    if (!t->resolver) {
        ww_rpc_call_fail(call, WW_EFAILED, "no open promise");
        return;
    }
    if (conversation_Note_value(p) == 1)
        ww_cap_resolver_reject(t->resolver, WW_EFAILED, "asked to reject");
    else
        ww_cap_resolver_resolve(t->resolver, conversation_Note_cap(p));
    t->resolver = NULL;
    ww_rpc_call_return(call);
}

static void on_size(struct conversation_Thing_server *server, struct ww_rpc_call *call)
{
    WW_UNUSED(server);
    uint64_t n = conversation_Note_value(params(call)) & 0xfffffff;
    struct conversation_Note_b results =
        conversation_Note_b_init(ww_rpc_call_results(call, NOTE_WORDS + (uint32_t)(n / 8)));
    conversation_Note_set_value(results, n);
    uint8_t *data = conversation_Note_init_data(results, n);
    for (size_t i = 0; data && i < n; i++)
        data[i] = pattern_at(i);
    ww_rpc_call_return(call);
}

static void on_waiting(struct conversation_Thing_server *server, struct ww_rpc_call *call)
{
    answer_value(call, thing_of(server)->waiting);
}

/* The answer cannot arrive any more. */
static void on_hangup(struct conversation_Thing_server *server, struct ww_rpc_call *call)
{
    shutdown(thing_of(server)->fd, SHUT_RDWR);
    ww_rpc_call_return(call);
}

static void on_drop(struct conversation_Thing_server *server)
{
    struct thing *t = thing_of(server);
    things_live--;
    ww_cap_unref(t->kept);
    ww_cap_resolver_free(t->resolver);
    free(t);
}

static const struct conversation_Thing_ops thing_ops = {
    .echo = on_echo,
    .fail = on_fail,
    .keep = on_keep,
    .give = on_give,
    .call = on_call,
    .make = on_make,
    .self = on_self,
    .mirror = on_mirror,
    .later = on_later,
    .go = on_go,
    .sequence = on_sequence,
    .push = on_push,
    .seen = on_seen,
    .live = on_live,
    .canceled = on_canceled,
    .tail = on_tail,
    .promise = on_promise,
    .settle = on_settle,
    .early = on_early,
    .size = on_size,
    .waiting = on_waiting,
    .hangup = on_hangup,
    .left = on_left,
    .base = on_base,
    .right = on_right,
    .put = on_put,
    .get = on_get,
    .save = on_save,
    .drop = on_drop,
};

struct ww_cap *thing_new(struct ww_rpc_vat *vat, int fd)
{
    struct thing *t = make(sizeof *t);
    t->vat = vat;
    t->fd = fd;
    ww_list_init(&t->waiters);
    conversation_Thing_server_init(&t->server, &thing_ops);
    must(conversation_Thing_server_cap(vat, &t->server, &t->self));
    things_live++;
    return t->self;
}

const void *thing_behind(struct ww_cap *cap)
{
    return conversation_Thing_server_of(cap);
}
