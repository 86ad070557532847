/* A store of files: up and down in pieces, under flow control, resumable, with a checksum.
 *
 *     files serve ADDRESS FOLDER        (unix:PATH or HOST:PORT; port 0: any)
 *     files put ADDRESS FILE [NAME]     goes on where an interrupted upload ended
 *     files get ADDRESS NAME [FILE]     goes on where an interrupted download ended
 *
 *     cc files.c files.capnp.c files.capnp.rpc.c $(pkg-config --cflags --libs ww-capnp) -o files
 *
 * Whoever sends has a `struct sender`, whoever receives a `struct receiver`; store and client use the same
 * two.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ww/rpc_fd.h>

#include "files.capnp.rpc.h"

#define PIECE_BYTES                                                                                          \
    (32u * 1024) /* larger ones save nothing: buffers then come fresh from the system, page by page */
#define TIMEOUT_MS 30000
#define PATH_BYTES 1024

static struct ww_rpc_fd *loop;

/* ---- a checksum against accidents: sums, and sums of sums, of little-endian words */

struct checksum {
    uint64_t a, b, size;
    uint8_t tail[8]; /* of a word that is not whole yet */
};

static void checksum_word(struct checksum *c, const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    c->a += word;
    c->b += c->a;
}

static void checksum_add(struct checksum *c, const uint8_t *bytes, size_t len)
{
    for (; len > 0 && c->size % 8 != 0; len--) {
        c->tail[c->size++ % 8] = *bytes++;
        if (c->size % 8 == 0)
            checksum_word(c, c->tail);
    }
    c->size += len;
    for (; len >= 8; bytes += 8, len -= 8)
        checksum_word(c, bytes);
    if (len > 0)
        memcpy(c->tail, bytes, len);
}

static uint64_t checksum_end(const struct checksum *c)
{
    struct checksum end = *c;
    memset(end.tail + c->size % 8, 0, 8 - c->size % 8);
    checksum_word(&end, end.tail);
    return end.a ^ (end.b * UINT64_C(0x9e3779b97f4a7c15));
}

/* Of the file's first `bytes`, which leaves it positioned behind them. */
static bool checksum_file(struct checksum *c, int fd, uint64_t bytes)
{
    static uint8_t buffer[PIECE_BYTES];
    while (c->size < bytes) {
        uint64_t left = bytes - c->size;
        ssize_t n = read(fd, buffer, left < sizeof buffer ? (size_t)left : sizeof buffer);
        if (n <= 0)
            return false;
        checksum_add(c, buffer, (size_t)n);
    }
    return true;
}

/* ---- receiving: an object that writes what it is given */

struct receiver {
    struct files_Sink_server server;
    int fd;
    struct checksum sum;
    bool *done; /* NULL: nobody asks */
    char part[PATH_BYTES + 8], path[PATH_BYTES];
};

static void receiver_write(struct files_Sink_server *self, struct ww_rpc_call *call)
{
    struct receiver *r = (struct receiver *)self;
    struct ww_bytes piece = files_Sink_write_params_bytes(files_Sink_write_params(call));
    checksum_add(&r->sum, piece.ptr, piece.len);
    while (piece.len > 0) {
        ssize_t n = write(r->fd, piece.ptr, piece.len);
        if (n < 0) {
            ww_rpc_call_fail(call, WW_EFAILED, "%s", strerror(errno)); /* and so does every later call */
            return;
        }
        piece.ptr += n;
        piece.len -= (size_t)n;
    }
    ww_rpc_call_return(call); /* lets the sender go on */
}

static void receiver_done(struct files_Sink_server *self, struct ww_rpc_call *call)
{
    struct receiver *r = (struct receiver *)self;
    struct files_Sink_done_params_r p = files_Sink_done_params(call);
    bool same = files_Sink_done_params_size(p) == r->sum.size &&
        files_Sink_done_params_checksum(p) == checksum_end(&r->sum);
    if (!same)
        unlink(r->part); /* there is no going on with this */
    if (!same || rename(r->part, r->path) < 0) {
        ww_rpc_call_fail(
            call, WW_EFAILED, same ? "cannot be put in place" : "size or checksum is not the sender's");
        return;
    }
    if (r->done)
        *r->done = true;
    ww_rpc_call_return(call);
}

static void receiver_drop(struct files_Sink_server *self)
{
    close(((struct receiver *)self)->fd);
    free(self);
}

static const struct files_Sink_ops receiver_ops = {
    .write = receiver_write, .done = receiver_done, .drop = receiver_drop};

/* A receiver for `path` that goes on after what "path.part" has; NULL with a reason. */
static struct receiver *receiver_new(const char *path, struct ww_cap **ret_cap, const char **ret_why)
{
    struct receiver *r = calloc(1, sizeof *r);
    struct stat st;
    *ret_why = "out of memory";
    if (!r)
        return NULL;
    snprintf(r->path, sizeof r->path, "%s", path);
    snprintf(r->part, sizeof r->part, "%s.part", path);
    r->fd = open(r->part, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    files_Sink_server_init(&r->server, &receiver_ops);
    if (r->fd < 0)
        *ret_why = strerror(errno);
    else if (flock(r->fd, LOCK_EX | LOCK_NB) < 0)
        *ret_why = "somebody is sending this already";
    else if (fstat(r->fd, &st) < 0 || !checksum_file(&r->sum, r->fd, (uint64_t)st.st_size))
        *ret_why = "cannot read what is there";
    else if (files_Sink_server_cap(ww_rpc_fd_vat(loop), &r->server, ret_cap) == 0)
        return r;
    if (r->fd >= 0)
        close(r->fd);
    free(r);
    return NULL;
}

/* ---- sending: as much as the stream's window allows, and on when it says so */

struct sender {
    struct ww_rpc_stream stream;
    struct ww_rpc_wait wait;
    struct ww_rpc_request *last; /* the call of `done` */
    struct ww_cap *sink;
    int fd;
    struct checksum sum;
    /* Once, at the end; frees it. */
    void (*over)(struct sender *sender, ww_err err, const char *reason);
    struct ww_rpc_call *call; /* the store's: what is answered then */
};

static void sender_finish(struct sender *s)
{
    struct files_Sink_done_params_b p = files_Sink_done_begin(s->sink, &s->last);
    files_Sink_done_params_set_size(p, s->sum.size);
    files_Sink_done_params_set_checksum(p, checksum_end(&s->sum));
    if (s->last)
        ww_rpc_request_send(s->last, &s->wait); /* arrives after all pieces */
    else
        s->over(s, WW_EOVERLOADED, "out of memory");
}

static void sender_go(struct sender *s)
{
    for (;;) {
        struct ww_rpc_request *r;
        /* With the size known in advance the message is one segment, and the file is read right into it. */
        if (ww_rpc_request_new(s->sink, files_Sink_ID, files_Sink_write_METHOD, PIECE_BYTES / 8 + 8, &r) <
            0) {
            s->over(s, WW_EOVERLOADED, "out of memory");
            return;
        }
        struct files_Sink_write_params_b p = files_Sink_write_params_b_init(ww_rpc_request_params(r));
        uint8_t *bytes = files_Sink_write_params_init_bytes(p, PIECE_BYTES);
        ssize_t n = bytes ? read(s->fd, bytes, PIECE_BYTES) : -1;
        if (n <= 0) {
            ww_rpc_request_free(r);
            if (n < 0)
                s->over(s, WW_EFAILED, "cannot read the file");
            else
                sender_finish(s);
            return;
        }
        checksum_add(&s->sum, bytes, (size_t)n);
        if ((size_t)n < PIECE_BYTES) { /* a shorter piece: build it anew in its size */
            struct ww_rpc_request *tail;
            files_Sink_write_params_set_bytes(
                files_Sink_write_begin(s->sink, &tail), (struct ww_bytes){bytes, (size_t)n});
            ww_rpc_request_free(r);
            if (!(r = tail)) {
                s->over(s, WW_EOVERLOADED, "out of memory");
                return;
            }
        }
        ww_err state = ww_rpc_stream_send_take(&s->stream, r);
        if (state < 0) {
            s->over(s, state, s->stream.reason);
            return;
        }
        if (state == WW_RPC_STREAM_WAIT)
            return; /* `ready` comes */
    }
}

static void sender_ready(struct ww_rpc_stream *stream)
{
    sender_go((struct sender *)stream);
}

static const struct ww_rpc_stream_ops sender_stream_ops = {.ready = sender_ready};

static void sender_done(struct ww_rpc_wait *wait, struct ww_rpc_request *request)
{
    struct sender *s = (struct sender *)(void *)((char *)wait - offsetof(struct sender, wait));
    s->over(s, ww_rpc_request_status(request), ww_rpc_request_reason(request));
}

/* NULL with a reason. */
static struct sender *sender_new(const char *path, uint64_t offset, struct ww_cap *sink, const char **ret_why)
{
    struct sender *s = calloc(1, sizeof *s);
    *ret_why = "out of memory";
    if (!s)
        return NULL;
    s->fd = open(path, O_RDONLY | O_CLOEXEC);
    s->wait.done = sender_done;
    if (s->fd < 0)
        *ret_why = strerror(errno);
    else if (!checksum_file(&s->sum, s->fd, offset))
        *ret_why = "the file is shorter than what the receiver has";
    else if (ww_rpc_stream_init(&s->stream, ww_rpc_fd_vat(loop), &sender_stream_ops, 0) == 0) {
        s->sink = ww_cap_ref(sink);
        return s;
    }
    if (s->fd >= 0)
        close(s->fd);
    free(s);
    return NULL;
}

static void sender_free(struct sender *s)
{
    ww_rpc_stream_fini(&s->stream);
    ww_rpc_request_free(s->last);
    ww_cap_unref(s->sink);
    close(s->fd);
    free(s);
}

/* ---- the store */

static const char *folder;

/* A name is one step below the folder, and no name of ours. */
static bool path_of(struct ww_bytes name, char path[PATH_BYTES])
{
    size_t len = name.len;
    const char *text = ww_cstr(name);
    if (len == 0 || len > 200 || text[0] == '.' || strchr(text, '/') || strlen(text) != len ||
        (len > 5 && strcmp(text + len - 5, ".part") == 0))
        return false;
    return snprintf(path, PATH_BYTES, "%s/%s", folder, text) < PATH_BYTES;
}

static void on_upload(struct files_Store_server *self, struct ww_rpc_call *call)
{
    char path[PATH_BYTES];
    const char *why = "no name for a file here";
    struct ww_cap *cap;
    struct receiver *r = NULL;
    (void)self;
    if (path_of(files_Store_upload_params_name(files_Store_upload_params(call)), path))
        r = receiver_new(path, &cap, &why);
    if (!r) {
        ww_rpc_call_fail(call, WW_EFAILED, "%s", why);
        return;
    }
    struct files_Store_upload_results_b answer = files_Store_upload_answer(call);
    files_Store_upload_results_set_sink(answer, cap);
    files_Store_upload_results_set_offset(answer, r->sum.size);
    ww_cap_unref(
        cap); /* from now on it is the client's: when it lets go, or is gone, the receiver is dropped */
    ww_rpc_call_return(call);
}

static void download_over(struct sender *s, ww_err err, const char *reason)
{
    if (err < 0)
        ww_rpc_call_fail(s->call, err, "%s", reason);
    else
        ww_rpc_call_return(s->call);
    sender_free(s);
}

static void on_download(struct files_Store_server *self, struct ww_rpc_call *call)
{
    struct files_Store_download_params_r p = files_Store_download_params(call);
    char path[PATH_BYTES];
    const char *why = "no name for a file here";
    struct sender *s = NULL;
    (void)self;
    if (path_of(files_Store_download_params_name(p), path))
        s = sender_new(
            path, files_Store_download_params_offset(p), files_Store_download_params_sink(p), &why);
    if (!s) {
        ww_rpc_call_fail(call, WW_EFAILED, "%s", why);
        return;
    }
    s->call = call; /* answered later: meanwhile others are served */
    s->over = download_over;
    sender_go(s);
}

static const struct files_Store_ops store_ops = {.upload = on_upload, .download = on_download};

static void on_signal(int number)
{
    (void)number;
    ww_rpc_fd_stop(loop);
}

static int serve(const char *address)
{
    struct files_Store_server store;
    struct ww_rpc_conn_config config = {0};
    struct ww_rpc_fd_listener *listener;
    struct ww_diag diag = {0};
    files_Store_server_init(&store, &store_ops);
    ww_err err = files_Store_server_cap(ww_rpc_fd_vat(loop), &store, &config.bootstrap);
    if (err == 0)
        err = ww_rpc_fd_listen(loop, address, &config, NULL, &listener, &diag);
    ww_cap_unref(config.bootstrap);
    if (err < 0) {
        fprintf(stderr, "files: %s\n", diag.text);
        return 1;
    }
    printf("LISTEN %s\n", ww_rpc_fd_listener_address(listener));
    fflush(stdout);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    err = ww_rpc_fd_run(loop);
    return err < 0;
}

/* ---- the client */

static bool put_over;
static int put_status;

static void on_put_over(struct sender *s, ww_err err, const char *reason)
{
    put_over = true;
    put_status = err < 0;
    if (err < 0)
        fprintf(stderr, "files: %s\n", reason);
    else
        printf("%llu bytes\n", (unsigned long long)s->sum.size);
    sender_free(s);
}

static int put(struct ww_cap *store, const char *file, const char *name)
{
    struct ww_rpc_request *r;
    const char *why;
    files_Store_upload_params_set_name(files_Store_upload_begin(store, &r), ww_text(name));
    if (ww_rpc_fd_call(loop, r, TIMEOUT_MS) < 0) {
        fprintf(stderr, "files: %s\n", r ? ww_rpc_request_reason(r) : "out of memory");
        ww_rpc_request_free(r);
        return 1;
    }
    struct files_Store_upload_results_r at = files_Store_upload_results(r);
    uint64_t offset = files_Store_upload_results_offset(at);
    if (offset > 0)
        fprintf(stderr, "files: going on at %llu\n", (unsigned long long)offset);
    struct sender *s = sender_new(file, offset, files_Store_upload_results_sink(at), &why);
    ww_rpc_request_free(r); /* the sender has its own reference to the sink */
    if (!s) {
        fprintf(stderr, "files: %s: %s\n", file, why);
        return 1;
    }
    s->over = on_put_over;
    sender_go(s);
    while (!put_over && ww_rpc_fd_turn(loop, -1) == 0) {
    }
    return put_over ? put_status : 1;
}

static int get(struct ww_cap *store, const char *name, const char *file)
{
    struct ww_rpc_request *r;
    struct ww_cap *cap;
    const char *why;
    bool done = false;
    struct receiver *receiver = receiver_new(file, &cap, &why);
    if (!receiver) {
        fprintf(stderr, "files: %s: %s\n", file, why);
        return 1;
    }
    receiver->done = &done;
    if (receiver->sum.size > 0)
        fprintf(stderr, "files: going on at %llu\n", (unsigned long long)receiver->sum.size);
    struct files_Store_download_params_b p = files_Store_download_begin(store, &r);
    files_Store_download_params_set_name(p, ww_text(name));
    files_Store_download_params_set_offset(p, receiver->sum.size);
    files_Store_download_params_set_sink(p, cap);
    ww_err err = ww_rpc_fd_call(loop, r, -1);
    if (err < 0)
        fprintf(stderr, "files: %s\n", r ? ww_rpc_request_reason(r) : "out of memory");
    else if (done)
        printf("%llu bytes\n", (unsigned long long)receiver->sum.size);
    ww_rpc_request_free(r);
    ww_cap_unref(cap);
    return err < 0 || !done;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

int main(int argc, char **argv)
{
    struct ww_cap *store;
    struct ww_diag diag = {0};
    bool help = argc == 2 && strcmp(argv[1], "--help") == 0;
    bool serves = argc == 4 && strcmp(argv[1], "serve") == 0;
    bool puts = (argc == 4 || argc == 5) && strcmp(argv[1], "put") == 0;
    bool gets = (argc == 4 || argc == 5) && strcmp(argv[1], "get") == 0;
    if (!serves && !puts && !gets) {
        fprintf(help ? stdout : stderr,
            "usage: files serve ADDRESS FOLDER | files put ADDRESS FILE [NAME] | files get ADDRESS NAME "
            "[FILE]\n"
            "A store of files at unix:PATH or HOST:PORT; interrupted transfers go on where they ended.\n");
        return help ? 0 : 2;
    }
    if (ww_rpc_fd_new(NULL, &loop) < 0)
        return 1;
    folder = argv[3];
    int status = 1;
    if (serves)
        status = serve(argv[2]);
    else if (ww_rpc_fd_dial(loop, argv[2], TIMEOUT_MS, &store, &diag) < 0)
        fprintf(stderr, "files: %s\n", diag.text);
    else {
        status = puts ? put(store, argv[3], argc == 5 ? argv[4] : base_name(argv[3]))
                      : get(store, argv[3], argv[argc - 1]);
        ww_cap_unref(store);
    }
    ww_rpc_fd_free(loop);
    return status;
}
