#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/base.h"
#include "client.h"
#include "thing.h"

#define PATIENCE_MS 20000
#define NAMES_MAX 1024

struct question {
    struct ww_rpc_wait wait;
    struct ww_rpc_request *request;
    uint64_t value;
    bool done;
};

/* A name is of a capability or of a question; calls that were sent as a list share one. */
struct named {
    char name[STEP_CHARS];
    struct ww_cap *cap;
    struct ww_cap_resolver *resolver; /* of a promise of ours that is open */
    struct question *question;
};

struct conversation {
    struct ww_rpc_fd *loop;
    struct ww_rpc_conn *conn;
    struct ww_rpc_conn_host host;
    struct named named[NAMES_MAX];
    size_t count;
    struct ww_rpc_stream stream;
    unsigned stream_ready;
    bool stream_drained;
    ww_err stream_err;
    int socket;
    bool closed, canceled_unanswered;
    unsigned canceled; /* calls that were dropped before their answer came */
    char why[256];
};

static bool WW_PRINTF(2, 3) wrong(struct conversation *c, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(c->why, sizeof c->why, fmt, args);
    va_end(args);
    return false;
}

const char *conversation_why(const struct conversation *c)
{
    return c->why;
}

static uint64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void on_closed(struct ww_rpc_conn_host *host, ww_err err, const char *reason)
{
    struct conversation *c = WW_CONTAINER_OF(host, struct conversation, host);
    WW_UNUSED(err);
    WW_UNUSED(reason);
    c->closed = true;
    c->conn = NULL;
}

static const struct ww_rpc_conn_ops conn_ops = {.closed = on_closed};

static void turn(struct conversation *c, int timeout_ms)
{
    ww_err err = ww_rpc_fd_turn(c->loop, timeout_ms);
    if (err != WW_ETIMEOUT)
        must(err);
}

static void name_add(struct conversation *c, const char *name, struct ww_cap *cap, struct question *q)
{
    must(c->count < NAMES_MAX ? 0 : WW_ELIMIT);
    struct named *n = &c->named[c->count++];
    *n = (struct named){0};
    snprintf(n->name, sizeof n->name, "%s", name);
    n->cap = cap;
    n->question = q;
}

static struct named *name_find(struct conversation *c, const char *name)
{
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->named[i].name, name) == 0)
            return &c->named[i];
    wrong(c, "nothing is called %s", name);
    return NULL;
}

static void question_free(struct question *q)
{
    if (q)
        ww_rpc_request_free(q->request);
    free(q);
}

static void name_forget(struct conversation *c, struct named *n)
{
    struct named old = *n;
    memmove(n, n + 1, (size_t)(c->named + c->count - (n + 1)) * sizeof *n);
    c->count--;
    c->canceled += old.question && !old.question->done;
    question_free(old.question);
    ww_cap_unref(old.cap);
    ww_cap_resolver_free(old.resolver);
}

static struct ww_cap *cap_find(struct conversation *c, const char *name)
{
    struct named *n = name_find(c, name);
    return n ? n->cap : NULL;
}

static struct question *question_find(struct conversation *c, const char *name)
{
    struct named *n = name_find(c, name);
    return n ? n->question : NULL;
}

static void question_done(struct ww_rpc_wait *wait, struct ww_rpc_request *request)
{
    WW_UNUSED(request);
    WW_CONTAINER_OF(wait, struct question, wait)->done = true;
}

static struct question *send_call(
    struct conversation *c, const struct step *s, const char *target, const char *method, uint64_t value)
{
    const struct method *m = method_find(method);
    struct ww_cap *to = cap_find(c, target), *cap = s->cap[0] ? cap_find(c, s->cap) : NULL;
    if (!m || !to || (s->cap[0] && !cap))
        return NULL;
    struct question *q = calloc(1, sizeof *q);
    must(q ? 0 : WW_ENOMEM);
    q->wait.done = question_done;
    q->value = value;
    uint32_t words = NOTE_WORDS + (s->data > 0 ? (uint32_t)(s->data / 8) : 0);
    must(ww_rpc_request_new(to, m->iface, m->id, words, &q->request));
    struct conversation_Note_b note = conversation_Note_b_init(ww_rpc_request_params(q->request));
    conversation_Note_set_value(note, value);
    conversation_Note_set_via(note, s->via);
    conversation_Note_set_cap(note, cap);
    if (s->data >= 0) {
        uint8_t *data = conversation_Note_init_data(note, (size_t)s->data);
        for (int64_t i = 0; data && i < s->data; i++)
            data[i] = pattern_at((size_t)i);
    }
    ww_rpc_request_send(q->request, &q->wait);
    return q;
}

static bool settle(struct conversation *c, struct question *q)
{
    uint64_t end = now_ms() + PATIENCE_MS;
    while (q && !q->done && now_ms() < end)
        turn(c, 50);
    return q ? q->done || wrong(c, "nothing in time") : false;
}

static bool outcome(struct conversation *c, struct question *q, struct conversation_Note_r *ret_note)
{
    if (!settle(c, q))
        return false;
    ww_err err = ww_rpc_request_status(q->request);
    if (err < 0)
        return wrong(c, "%s: %s", ww_err_text(err), ww_rpc_request_reason(q->request));
    *ret_note = conversation_Note_r_from(ww_rpc_request_results(q->request));
    return true;
}

static bool data_is_right(struct conversation *c, struct conversation_Note_r note, int64_t len)
{
    struct ww_bytes data = conversation_Note_data(note);
    if (data.len != (size_t)len)
        return wrong(c, "%zu bytes instead of %lld", data.len, (long long)len);
    for (size_t i = 0; i < data.len; i++)
        if (data.ptr[i] != pattern_at(i))
            return wrong(c, "wrong byte at %zu", i);
    return true;
}

static bool check(struct conversation *c, struct question *q, const struct step *s)
{
    struct conversation_Note_r note;
    if (!outcome(c, q, &note))
        return false;
    uint64_t value = conversation_Note_value(note);
    if (s->expects && value != s->expected)
        return wrong(
            c, "answer %llu instead of %llu", (unsigned long long)value, (unsigned long long)s->expected);
    if (strcmp(s->word[0], "ask") != 0 || strcmp(s->word[2], "put") == 0)
        return true;
    if (strcmp(s->word[2], "size") == 0)
        return data_is_right(c, note, (int64_t)s->expected);
    return s->data < 0 || data_is_right(c, note, s->data);
}

static bool step_ask(struct conversation *c, const struct step *s)
{
    uint64_t end = now_ms() + PATIENCE_MS;
    for (;;) {
        struct question *q =
            send_call(c, s, s->word[1], s->word[2], s->words > 3 ? strtoull(s->word[3], NULL, 10) : 0);
        if (!q)
            return false;
        bool good = check(c, q, s);
        bool again = !good && q->done && ww_rpc_request_status(q->request) == 0 &&
            strcmp(s->word[0], "until") == 0 && now_ms() < end;
        question_free(q);
        if (!again)
            return good;
        turn(c, 2);
    }
}

static bool step_send(struct conversation *c, const struct step *s)
{
    struct question *q =
        send_call(c, s, s->word[2], s->word[3], s->words > 4 ? strtoull(s->word[4], NULL, 10) : 0);
    if (q)
        name_add(c, s->word[1], NULL, q);
    return q;
}

static bool step_calls(struct conversation *c, const struct step *s)
{
    for (uint64_t v = s->from; v <= s->to; v++) {
        struct question *q = send_call(c, s, s->word[2], s->word[3], v);
        if (!q)
            return false;
        name_add(c, s->word[1], NULL, q);
    }
    return true;
}

static bool fails(struct conversation *c, struct question *q, const struct step *s)
{
    static const struct {
        const char *name;
        ww_err err;
    } kinds[] = {{"failed", WW_EFAILED}, {"overloaded", WW_EOVERLOADED}, {"disconnected", WW_EDISCONNECTED},
        {"unimplemented", WW_EUNIMPLEMENTED}};
    if (!settle(c, q))
        return false;
    ww_err err = ww_rpc_request_status(q->request);
    const char *reason = ww_rpc_request_reason(q->request);
    if (err >= 0)
        return wrong(c, "did not fail");
    for (size_t i = 0; s->words > 2 && i < WW_COUNT_OF(kinds); i++)
        if (strcmp(kinds[i].name, s->word[2]) == 0 &&
            (ww_err)ww_err_kind(kinds[i].err) != (ww_err)ww_err_kind(err))
            return wrong(c, "%s instead of %s: %s", ww_err_text(err), s->word[2], reason);
    return strstr(reason, s->text) ? true : wrong(c, "another text: %s", reason);
}

/* A step on each of the questions that share a name. */
static bool step_list(struct conversation *c, const struct step *s)
{
    size_t met = 0;
    for (size_t i = 0; i < c->count; i++) {
        if (strcmp(c->named[i].name, s->word[1]) != 0)
            continue;
        struct question *q = c->named[i].question;
        met++;
        if (s->word[0][0] == 'f') {
            if (!fails(c, q, s))
                return false;
            continue;
        }
        struct conversation_Note_r note;
        if (!outcome(c, q, &note))
            return false;
        if (conversation_Note_value(note) != q->value)
            return wrong(c, "answer %llu instead of %llu", (unsigned long long)conversation_Note_value(note),
                (unsigned long long)q->value);
    }
    return met > 0 || wrong(c, "nothing is called %s", s->word[1]);
}

static bool step_pipe(struct conversation *c, const struct step *s)
{
    struct question *q = question_find(c, s->word[2]);
    struct ww_cap *cap;
    if (!q)
        return false;
    must(ww_rpc_request_pipeline(q->request, (const uint16_t[]){1}, 1, &cap));
    name_add(c, s->word[1], cap, NULL);
    return true;
}

static bool step_take(struct conversation *c, const struct step *s)
{
    struct conversation_Note_r note;
    if (!outcome(c, question_find(c, s->word[2]), &note))
        return false;
    if (!conversation_Note_has_cap(note))
        return wrong(c, "no capability in the results");
    name_add(c, s->word[1], ww_cap_ref(conversation_Note_cap(note)), NULL);
    return true;
}

static bool step_null(struct conversation *c, const struct step *s)
{
    struct conversation_Note_r note;
    if (!outcome(c, question_find(c, s->word[1]), &note))
        return false;
    return !conversation_Note_has_cap(note) || wrong(c, "a capability where none should be");
}

static bool step_chain(struct conversation *c, const struct step *s)
{
    struct ww_cap *at = ww_cap_ref(cap_find(c, s->word[2]));
    for (unsigned long i = strtoul(s->word[3], NULL, 10); at && i > 0; i--) {
        struct ww_rpc_request *request;
        struct ww_cap *next;
        must(ww_rpc_request_new(at, conversation_Thing_ID, method_find("make")->id, NOTE_WORDS, &request));
        ww_rpc_request_send(request, NULL);
        must(ww_rpc_request_pipeline(request, (const uint16_t[]){1}, 1, &next));
        ww_rpc_request_free(request);
        ww_cap_unref(at);
        at = next;
    }
    name_add(c, s->word[1], at, NULL);
    return at;
}

static bool step_bootstrap(struct conversation *c, const struct step *s)
{
    struct ww_cap *cap;
    must(ww_rpc_conn_bootstrap(c->conn, &cap));
    name_add(c, s->word[1], cap, NULL);
    return true;
}

static bool step_new(struct conversation *c, const struct step *s)
{
    name_add(c, s->word[1], thing_new(ww_rpc_fd_vat(c->loop), c->socket), NULL);
    return true;
}

static bool step_promise(struct conversation *c, const struct step *s)
{
    struct ww_cap *cap;
    struct ww_cap_resolver *resolver;
    must(ww_cap_new_promise(ww_rpc_fd_vat(c->loop), &cap, &resolver));
    name_add(c, s->word[1], cap, NULL);
    c->named[c->count - 1].resolver = resolver;
    return true;
}

static struct ww_cap_resolver *resolver_take(struct conversation *c, const char *name)
{
    struct named *n = name_find(c, name);
    struct ww_cap_resolver *resolver = n ? n->resolver : NULL;
    if (n)
        n->resolver = NULL;
    if (n && !resolver)
        wrong(c, "%s is no open promise", name);
    return resolver;
}

static bool step_resolve(struct conversation *c, const struct step *s)
{
    struct ww_cap *to = cap_find(c, s->word[2]);
    struct ww_cap_resolver *resolver = to ? resolver_take(c, s->word[1]) : NULL;
    if (!resolver)
        return false;
    ww_cap_resolver_resolve(resolver, to);
    return true;
}

static bool step_reject(struct conversation *c, const struct step *s)
{
    struct ww_cap_resolver *resolver = resolver_take(c, s->word[1]);
    if (!resolver)
        return false;
    ww_cap_resolver_reject(resolver, WW_EFAILED, "asked to reject");
    return true;
}

static bool step_abandon(struct conversation *c, const struct step *s)
{
    struct named *n = name_find(c, s->word[1]);
    if (n)
        name_forget(c, n);
    return n != NULL;
}

static bool step_drop(struct conversation *c, const struct step *s)
{
    struct named *n = name_find(c, s->word[1]);
    if (n)
        name_forget(c, n);
    return n;
}

static bool step_pending(struct conversation *c, const struct step *s)
{
    struct question *q = question_find(c, s->word[1]);
    return q && (!q->done || wrong(c, "has its outcome already"));
}

static const void *behind(struct conversation *c, const char *name)
{
    struct ww_cap *cap = cap_find(c, name);
    uint64_t end = now_ms() + PATIENCE_MS;
    while (cap && !thing_behind(cap) && now_ms() < end)
        turn(c, 5);
    return thing_behind(cap);
}

static bool step_same(struct conversation *c, const struct step *s)
{
    const void *a = behind(c, s->word[1]), *b = behind(c, s->word[2]);
    return (a && a == b) || wrong(c, "different objects");
}

static bool step_differ(struct conversation *c, const struct step *s)
{
    return !thing_behind(cap_find(c, s->word[1])) || wrong(c, "resolved already");
}

static bool step_locals(struct conversation *c, const struct step *s)
{
    int want = (int)strtol(s->word[1], NULL, 10);
    uint64_t end = now_ms() + PATIENCE_MS;
    while (things_live != want && now_ms() < end)
        turn(c, 5);
    return things_live == want || wrong(c, "%d local objects instead of %d", things_live, want);
}

static bool step_seen(struct conversation *c, const struct step *s)
{
    uint8_t want[4096], have[4096];
    size_t wanted = 0, had = 0;
    for (size_t i = 2; i < s->words; i++)
        want[wanted++] = (uint8_t)strtoul(s->word[i], NULL, 10);
    for (uint64_t v = s->from; s->is_range && v <= s->to && wanted < sizeof want; v++)
        want[wanted++] = (uint8_t)v;
    struct step plain = {.data = -1};
    struct question *q = send_call(c, &plain, s->word[1], "seen", 0);
    struct conversation_Note_r note;
    bool good = q && outcome(c, q, &note);
    if (good) {
        struct ww_bytes data = conversation_Note_data(note);
        for (size_t i = 0; i < data.len && had < sizeof have; i++)
            if (strcmp(s->word[0], "seen") == 0 || memchr(want, data.ptr[i], wanted))
                have[had++] = data.ptr[i];
        good = had == wanted && memcmp(have, want, had) == 0;
        if (!good) {
            size_t at = (size_t)snprintf(c->why, sizeof c->why, "the object saw");
            for (size_t i = 0; i < had && at < sizeof c->why - 8; i++)
                at += (size_t)snprintf(c->why + at, sizeof c->why - at, " %u", have[i]);
        }
    }
    question_free(q);
    return good;
}

/* ---- streams */

static void stream_ready(struct ww_rpc_stream *stream)
{
    WW_CONTAINER_OF(stream, struct conversation, stream)->stream_ready++;
}

static void stream_drained(struct ww_rpc_stream *stream, ww_err err)
{
    struct conversation *c = WW_CONTAINER_OF(stream, struct conversation, stream);
    c->stream_drained = true;
    c->stream_err = err;
}

static const struct ww_rpc_stream_ops stream_ops = {.ready = stream_ready, .drained = stream_drained};

static struct ww_rpc_request *push(struct conversation *c, const char *target, uint64_t value)
{
    struct ww_rpc_request *request;
    must(ww_rpc_request_new(
        cap_find(c, target), conversation_Thing_ID, method_find("push")->id, NOTE_WORDS, &request));
    conversation_Note_set_value(conversation_Note_b_init(ww_rpc_request_params(request)), value);
    return request;
}

static bool stream_end(struct conversation *c)
{
    uint64_t end = now_ms() + PATIENCE_MS;
    c->stream_drained = false;
    ww_rpc_stream_finish(&c->stream);
    while (!c->stream_drained && now_ms() < end)
        turn(c, 50);
    return c->stream_drained || wrong(c, "the stream does not end");
}

static bool step_stream(struct conversation *c, const struct step *s)
{
    must(ww_rpc_stream_init(&c->stream, ww_rpc_fd_vat(c->loop), &stream_ops, 2048));
    unsigned waits = 0;
    for (uint64_t v = s->from; v <= s->to; v++) {
        unsigned before = c->stream_ready;
        ww_err state = ww_rpc_stream_send_take(&c->stream, push(c, s->word[1], v));
        must(state);
        if (state != WW_RPC_STREAM_WAIT)
            continue;
        waits++;
        uint64_t end = now_ms() + PATIENCE_MS;
        while (c->stream_ready == before && now_ms() < end)
            turn(c, 50);
        if (c->stream_ready == before)
            return wrong(c, "the stream is stuck");
    }
    bool good = stream_end(c) && (c->stream_err == 0 || wrong(c, "%s", c->stream.reason)) &&
        (waits > 2 || wrong(c, "the window never closed"));
    ww_rpc_stream_fini(&c->stream);
    return good;
}

static bool step_pushes(struct conversation *c, const struct step *s)
{
    for (uint64_t v = s->from; v <= s->to; v++)
        ww_rpc_request_send_take(push(c, s->word[1], v));
    return true;
}

static bool step_streamfails(struct conversation *c, const struct step *s)
{
    must(ww_rpc_stream_init(&c->stream, ww_rpc_fd_vat(c->loop), &stream_ops, 0));
    must(ww_rpc_stream_send_take(&c->stream, push(c, s->word[1], strtoull(s->word[2], NULL, 10))));
    bool good = stream_end(c) && (c->stream_err == WW_EFAILED || wrong(c, "the stream did not fail")) &&
        (strstr(c->stream.reason, s->text) || wrong(c, "another text: %s", c->stream.reason));
    if (good && ww_rpc_stream_send_take(&c->stream, push(c, s->word[1], 1)) != WW_EFAILED)
        good = wrong(c, "the stream goes on after its failure");
    ww_rpc_stream_fini(&c->stream);
    return good;
}

static bool step_disconnect(struct conversation *c, const struct step *s)
{
    WW_UNUSED(s);
    turn(c, 0); /* what was sent leaves first */
    shutdown(c->socket, SHUT_RDWR);
    return true;
}

static bool step_wait(struct conversation *c, const struct step *s)
{
    return check(c, question_find(c, s->word[1]), s);
}

static bool step_fails(struct conversation *c, const struct step *s)
{
    return fails(c, question_find(c, s->word[1]), s);
}

bool conversation_step(struct conversation *c, const struct step *s)
{
    static const struct {
        const char *verb;
        bool (*run)(struct conversation *c, const struct step *s);
    } verbs[] = {{"ask", step_ask}, {"until", step_ask}, {"send", step_send}, {"calls", step_calls},
        {"waits", step_list}, {"failsall", step_list}, {"wait", step_wait}, {"fails", step_fails},
        {"pending", step_pending}, {"null", step_null}, {"pipe", step_pipe}, {"take", step_take},
        {"chain", step_chain}, {"bootstrap", step_bootstrap}, {"new", step_new}, {"promise", step_promise},
        {"resolve", step_resolve}, {"reject", step_reject}, {"abandon", step_abandon}, {"drop", step_drop},
        {"same", step_same}, {"differ", step_differ}, {"locals", step_locals}, {"seen", step_seen},
        {"inorder", step_seen}, {"stream", step_stream}, {"pushes", step_pushes},
        {"streamfails", step_streamfails}, {"disconnect", step_disconnect}};
    for (size_t i = 0; i < WW_COUNT_OF(verbs); i++)
        if (strcmp(verbs[i].verb, s->word[0]) == 0)
            return verbs[i].run(c, s);
    return wrong(c, "unknown step");
}

struct conversation *conversation_new(
    int socket, const struct ww_rpc_conn_config *config, bool canceled_unanswered)
{
    struct conversation *c = calloc(1, sizeof *c);
    must(c ? 0 : WW_ENOMEM);
    c->host.ops = &conn_ops;
    c->socket = socket;
    c->canceled_unanswered = canceled_unanswered;
    must(ww_rpc_fd_new(NULL, &c->loop));
    struct ww_rpc_conn_config mine = *config;
    mine.host = &c->host;
    must(ww_rpc_fd_attach_take(c->loop, socket, socket, &mine, &c->conn));
    struct ww_cap *boot;
    must(ww_rpc_conn_bootstrap(c->conn, &boot));
    name_add(c, "boot", boot, NULL);
    return c;
}

/* Nothing may be left of what the connection kept count of: one question or import for the bootstrap. */
static bool tables_empty(struct conversation *c)
{
    struct ww_rpc_conn_stats stats;
    ww_rpc_conn_stats(c->conn, &stats);
    uint32_t unanswered = c->canceled_unanswered ? c->canceled : 0;
    return (stats.questions <= unanswered && stats.answers == 0 && stats.exports == 0 && stats.imports <= 1 &&
               stats.embargoes == 0) ||
        wrong(c, "left: %u questions, %u answers, %u exports, %u imports, %u embargoes", stats.questions,
            stats.answers, stats.exports, stats.imports, stats.embargoes);
}

bool conversation_finish(struct conversation *c, bool connected)
{
    struct step last;
    while (c->count > (connected ? 1 : 0))
        name_forget(c, &c->named[c->count - 1]);
    if (connected && (!step_parse("ask boot keep", &last) || !conversation_step(c, &last)))
        return false;
    if (connected && (!step_parse("until boot live = 1", &last) || !conversation_step(c, &last)))
        return false;
    if (!step_parse("locals 0", &last) || !conversation_step(c, &last))
        return false;
    uint64_t end = now_ms() + PATIENCE_MS;
    while (connected && !tables_empty(c) && now_ms() < end)
        turn(c, 5);
    return !connected || tables_empty(c);
}

void conversation_free(struct conversation *c)
{
    while (c->count > 0)
        name_forget(c, &c->named[c->count - 1]);
    ww_rpc_fd_free(c->loop);
    free(c);
}
