/* A room where people talk: the server calls the clients back. Runs on a libuv loop, which also has the
 * keyboard.
 *
 *     chat serve ADDRESS                (unix:PATH or HOST:PORT; port 0: any)
 *     chat join ADDRESS NAME            says what it reads from standard input; ends at its end
 *
 *     cc chat.c chat.capnp.c chat.capnp.rpc.c $(pkg-config --cflags --libs ww-capnp-uv) -o chat
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>
#include <ww/rpc_uv.h>

#include "chat.capnp.rpc.h"

#define NAME_MAX_BYTES 32
#define TEXT_MAX_BYTES 4096
#define UNHEARD_MAX 1000 /* what may be said to somebody who does not answer; then the seat is lost */

static struct ww_rpc_uv *rpc;
static uv_loop_t *loop;

/* ---- the server: seats in a room */

struct seat {
    struct chat_Seat_server server;
    struct seat *next;
    struct ww_cap *listener;
    unsigned unheard;
    char name[NAME_MAX_BYTES + 1];
};

static struct seat *seats;

/* A call that nobody waits for, but whose failures are noticed. */
struct telling {
    struct ww_rpc_wait wait;
    struct seat *to; /* NULL: has left meanwhile */
    struct telling *next;
};

static struct telling *tellings;

static void told(struct ww_rpc_wait *wait, struct ww_rpc_request *request)
{
    struct telling *t = (struct telling *)wait;
    struct telling **at = &tellings;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    if (t->to)
        t->to->unheard--;
    ww_rpc_request_free(request);
    free(t);
}

static void tell(struct seat *to, struct ww_rpc_request *request)
{
    struct telling *t = to->unheard < UNHEARD_MAX ? malloc(sizeof *t) : NULL;
    if (!t || !request) { /* too slow, or out of memory: this one is not heard */
        ww_rpc_request_free(request);
        free(t);
        return;
    }
    *t = (struct telling){{told}, to, tellings};
    tellings = t;
    to->unheard++;
    ww_rpc_request_send(request, &t->wait);
}

static void tell_all_joined(const char *name)
{
    for (struct seat *s = seats; s; s = s->next) {
        struct ww_rpc_request *r;
        chat_Listener_joined_params_set_name(chat_Listener_joined_begin(s->listener, &r), ww_text(name));
        tell(s, r);
    }
}

static void tell_all_left(const char *name)
{
    for (struct seat *s = seats; s; s = s->next) {
        struct ww_rpc_request *r;
        chat_Listener_left_params_set_name(chat_Listener_left_begin(s->listener, &r), ww_text(name));
        tell(s, r);
    }
}

static void tell_all_said(const char *name, struct ww_bytes text)
{
    for (struct seat *s = seats; s; s = s->next) {
        struct ww_rpc_request *r;
        struct chat_Listener_said_params_b p = chat_Listener_said_begin(s->listener, &r);
        chat_Listener_said_params_set_name(p, ww_text(name));
        chat_Listener_said_params_set_text(p, text);
        tell(s, r);
    }
}

static void seat_say(struct chat_Seat_server *self, struct ww_rpc_call *call)
{
    struct ww_bytes text = chat_Seat_say_params_text(chat_Seat_say_params(call));
    if (text.len > TEXT_MAX_BYTES) {
        ww_rpc_call_fail(call, WW_EFAILED, "say less at a time");
        return;
    }
    tell_all_said(((struct seat *)self)->name, text);
    ww_rpc_call_return(call);
}

/* The client let go, or its connection is gone: both end here. */
static void seat_drop(struct chat_Seat_server *self)
{
    struct seat *seat = (struct seat *)self, **at = &seats;
    while (*at && *at != seat)
        at = &(*at)->next;
    bool was_there = *at;
    if (was_there)
        *at = seat->next;
    for (struct telling *t = tellings; t; t = t->next)
        t->to = t->to == seat ? NULL : t->to;
    if (was_there) {
        printf("left %s\n", seat->name);
        fflush(stdout);
        tell_all_left(seat->name);
    }
    ww_cap_unref(seat->listener);
    free(seat);
}

static const struct chat_Seat_ops seat_ops = {.say = seat_say, .drop = seat_drop};

static struct seat *seat_of(struct ww_bytes name)
{
    for (struct seat *s = seats; s; s = s->next)
        if (strlen(s->name) == name.len && memcmp(s->name, name.ptr, name.len) == 0)
            return s;
    return NULL;
}

static void room_join(struct chat_Room_server *self, struct ww_rpc_call *call)
{
    struct chat_Room_join_params_r p = chat_Room_join_params(call);
    struct ww_bytes name = chat_Room_join_params_name(p);
    (void)self;
    if (name.len == 0 || name.len > NAME_MAX_BYTES || seat_of(name)) {
        ww_rpc_call_fail(call, WW_EFAILED, "the name is empty, too long, or taken");
        return;
    }
    struct seat *seat = calloc(1, sizeof *seat);
    struct ww_cap *cap;
    if (seat)
        chat_Seat_server_init(&seat->server, &seat_ops);
    if (!seat || chat_Seat_server_cap(ww_rpc_uv_vat(rpc), &seat->server, &cap) < 0) {
        free(seat);
        ww_rpc_call_fail(call, WW_EOVERLOADED, "out of memory");
        return;
    }
    memcpy(seat->name, name.ptr, name.len);
    seat->listener = ww_cap_ref(chat_Room_join_params_listener(p)); /* the parameters only lend it */
    tell_all_joined(seat->name);
    seat->next = seats;
    seats = seat;
    printf("joined %s\n", seat->name);
    fflush(stdout);
    chat_Room_join_results_set_seat(chat_Room_join_answer(call), cap);
    ww_cap_unref(cap);
    ww_rpc_call_return(call);
}

static void room_who(struct chat_Room_server *self, struct ww_rpc_call *call)
{
    uint32_t count = 0;
    (void)self;
    for (struct seat *s = seats; s; s = s->next)
        count++;
    struct ww_lb names = chat_Room_who_results_init_names(chat_Room_who_answer(call), count);
    for (struct seat *s = seats; s; s = s->next)
        ww_lb_set_text(names, --count, ww_text(s->name)); /* as they came */
    ww_rpc_call_return(call);
}

static const struct chat_Room_ops room_ops = {.join = room_join, .who = room_who};

static int serve(const char *address)
{
    struct chat_Room_server room;
    struct ww_rpc_conn_config config = {0};
    struct ww_rpc_uv_listener *listener;
    struct ww_diag diag = {0};
    chat_Room_server_init(&room, &room_ops);
    if (chat_Room_server_cap(ww_rpc_uv_vat(rpc), &room, &config.bootstrap) < 0)
        return 1;
    ww_err err = ww_rpc_uv_listen(rpc, address, &config, NULL, &listener, &diag);
    ww_cap_unref(config.bootstrap); /* the listener has its own reference */
    if (err < 0) {
        fprintf(stderr, "chat: %s\n", diag.text);
        return 1;
    }
    printf("LISTEN %s\n", ww_rpc_uv_listener_address(listener));
    fflush(stdout);
    uv_run(loop, UV_RUN_DEFAULT); /* until killed */
    return 0;
}

/* ---- the client: a listener, a seat, and a keyboard */

static struct client {
    struct chat_Listener_server listener;
    struct ww_rpc_conn_host host;
    struct ww_rpc_wait joined, said;
    struct ww_rpc_request *join;
    struct ww_cap *room, *seat;
    uv_pipe_t in;
    uv_tty_t tty;
    uv_stream_t *input;
    char line[TEXT_MAX_BYTES + 1];
    size_t len;
    unsigned unsaid; /* calls that are under way */
    bool input_over, over;
    int status;
} me;

static void print_line(const char *before, struct ww_bytes name, const char *after, struct ww_bytes text)
{
    printf("%s%.*s%s%.*s\n", before, (int)name.len, (const char *)name.ptr, after, (int)text.len,
        text.ptr ? (const char *)text.ptr : "");
    fflush(stdout);
}

static void hear_joined(struct chat_Listener_server *self, struct ww_rpc_call *call)
{
    (void)self;
    print_line("* ", chat_Listener_joined_params_name(chat_Listener_joined_params(call)), " has come",
        ww_text(NULL));
    ww_rpc_call_return(call);
}

static void hear_said(struct chat_Listener_server *self, struct ww_rpc_call *call)
{
    struct chat_Listener_said_params_r p = chat_Listener_said_params(call);
    (void)self;
    print_line("", chat_Listener_said_params_name(p), ": ", chat_Listener_said_params_text(p));
    ww_rpc_call_return(call);
}

static void hear_left(struct chat_Listener_server *self, struct ww_rpc_call *call)
{
    (void)self;
    print_line(
        "* ", chat_Listener_left_params_name(chat_Listener_left_params(call)), " has left", ww_text(NULL));
    ww_rpc_call_return(call);
}

static const struct chat_Listener_ops listener_ops = {
    .joined = hear_joined, .said = hear_said, .left = hear_left};

static void leave(int status)
{
    if (me.over)
        return;
    me.over = true;
    me.status = status;
    uv_stop(loop);
}

static void on_said(struct ww_rpc_wait *wait, struct ww_rpc_request *request)
{
    (void)wait;
    if (ww_rpc_request_status(request) < 0)
        fprintf(stderr, "chat: %s\n", ww_rpc_request_reason(request));
    ww_rpc_request_free(request);
    if (--me.unsaid == 0 && me.input_over)
        leave(0);
}

static void say(const char *text)
{
    struct ww_rpc_request *r;
    chat_Seat_say_params_set_text(chat_Seat_say_begin(me.seat, &r), ww_text(text));
    if (!r)
        return;
    me.unsaid++;
    ww_rpc_request_send(r, &me.said);
}

static void on_buffer(uv_handle_t *handle, size_t hint, uv_buf_t *buf)
{
    static char bytes[1024];
    (void)handle;
    (void)hint;
    *buf = uv_buf_init(bytes, sizeof bytes);
}

static void on_input(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    for (ssize_t i = 0; i < n; i++) {
        if (buf->base[i] != '\n' && me.len < TEXT_MAX_BYTES) {
            me.line[me.len++] = buf->base[i];
            continue;
        }
        me.line[me.len] = '\0';
        if (me.len > 0)
            say(me.line);
        me.len = 0;
    }
    if (n >= 0)
        return;
    uv_read_stop(stream);
    me.input_over = true;
    if (me.unsaid == 0)
        leave(0);
}

static void on_joined(struct ww_rpc_wait *wait, struct ww_rpc_request *request)
{
    (void)wait;
    if (ww_rpc_request_status(request) < 0) {
        fprintf(stderr, "chat: %s\n", ww_rpc_request_reason(request));
        leave(1);
        return;
    }
    printf("* you are in\n");
    fflush(stdout);
    uv_read_start(me.input, on_buffer, on_input);
}

static void on_connection_closed(struct ww_rpc_conn_host *host, ww_err err, const char *reason)
{
    (void)host;
    (void)err;
    fprintf(stderr, "chat: %s\n", reason);
    leave(1);
}

static const struct ww_rpc_conn_ops conn_ops = {.closed = on_connection_closed};

static int join(const char *address, const char *name)
{
    struct ww_rpc_conn *conn;
    struct ww_cap *listener = NULL;
    struct ww_diag diag = {0};
    me.host.ops = &conn_ops;
    me.joined.done = on_joined;
    me.said.done = on_said;
    if (uv_guess_handle(0) == UV_TTY) {
        uv_tty_init(loop, &me.tty, 0, 1);
        me.input = (uv_stream_t *)&me.tty;
    } else {
        uv_pipe_init(loop, &me.in, 0);
        if (uv_pipe_open(&me.in, 0) < 0) {
            fprintf(stderr, "chat: standard input is neither a terminal nor a pipe\n");
            return 1;
        }
        me.input = (uv_stream_t *)&me.in;
    }
    chat_Listener_server_init(&me.listener, &listener_ops);
    ww_err err =
        ww_rpc_uv_connect(rpc, address, &(struct ww_rpc_conn_config){.host = &me.host}, &conn, &diag);
    if (err == 0)
        err = ww_rpc_conn_bootstrap(conn, &me.room);
    if (err == 0)
        err = chat_Listener_server_cap(ww_rpc_uv_vat(rpc), &me.listener, &listener);
    if (err < 0) {
        fprintf(stderr, "chat: %s\n", diag.text[0] ? diag.text : ww_err_text(err));
        return 1;
    }
    /* Nothing waits for the connection, nor for the answer: calls on `seat` follow the question. */
    struct chat_Room_join_params_b p = chat_Room_join_begin(me.room, &me.join);
    chat_Room_join_params_set_name(p, ww_text(name));
    chat_Room_join_params_set_listener(p, listener);
    ww_cap_unref(listener);
    ww_rpc_request_send(me.join, &me.joined);
    if (chat_Room_join_pipeline_seat(me.join, &me.seat) < 0)
        return 1;
    uv_run(loop, UV_RUN_DEFAULT);
    ww_rpc_request_free(me.join);
    ww_cap_unref(me.seat);
    ww_cap_unref(me.room);
    uv_close((uv_handle_t *)me.input, NULL);
    return me.status;
}

int main(int argc, char **argv)
{
    int status;
    bool help = argc == 2 && strcmp(argv[1], "--help") == 0;
    bool serves = argc == 3 && strcmp(argv[1], "serve") == 0,
         joins = argc == 4 && strcmp(argv[1], "join") == 0;
    if (!serves && !joins) {
        fprintf(help ? stdout : stderr,
            "usage: chat serve ADDRESS | chat join ADDRESS NAME\n"
            "A room at unix:PATH or HOST:PORT; what you type is said in it.\n");
        return help ? 0 : 2;
    }
    loop = uv_default_loop();
    if (ww_rpc_uv_new(loop, NULL, &rpc) < 0)
        return 1;
    status = serves ? serve(argv[2]) : join(argv[2], argv[3]);
    ww_rpc_uv_close(rpc, NULL, NULL);
    uv_run(loop, UV_RUN_DEFAULT);
    return status;
}
