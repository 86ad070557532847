/* ww/rpc_fd.h over real sockets: one loop holds both sides, and raw sockets play the peers that misbehave. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "test/lib/alloc_fail.h"
#include "test/unit/rpc/pair.h"
#include "ww/rpc_fd.h"

static struct world {
    struct ww_rpc_fd *fd;
    struct ww_rpc_fd_listener *listener;
    struct object *object;
    int live;
    char path[64];
    const char *address;
    bool packed;
} w;

static void open_world(const char *address, bool packed)
{
    struct ww_diag diag = {0};
    struct ww_cap *boot;
    memset(&w, 0, sizeof w);
    w.packed = packed;
    snprintf(w.path, sizeof w.path, "unix:/tmp/ww-test-fd-%d", (int)getpid());
    assert_ok(ww_rpc_fd_new(NULL, &w.fd));
    boot = object_new(ww_rpc_fd_vat(w.fd), &w.live, &w.object);
    struct ww_rpc_conn_config config = {.bootstrap = boot, .packed = packed};
    if (ww_rpc_fd_listen(w.fd, address ? address : w.path, &config, NULL, &w.listener, &diag) < 0)
        fail_msg("%s", diag.text);
    ww_cap_unref(boot);
    w.address = ww_rpc_fd_listener_address(w.listener);
}

static void close_world(void)
{
    ww_rpc_fd_free(w.fd);
    assert_int_equal(w.live, 0);
    assert_int_not_equal(access(w.path + 5, F_OK), 0); /* the socket file is gone */
}

static struct ww_cap *dial(void)
{
    struct ww_rpc_conn_config config = {.packed = w.packed};
    struct ww_rpc_conn *conn;
    struct ww_cap *cap;
    struct ww_diag diag = {0};
    if (ww_rpc_fd_connect(w.fd, w.address, &config, 5000, &conn, &diag) < 0)
        fail_msg("%s", diag.text);
    assert_ok(ww_rpc_conn_bootstrap(conn, &cap));
    return cap;
}

static struct ww_rpc_request *request(struct ww_cap *to, uint16_t method, uint64_t value)
{
    struct ww_rpc_request *r;
    assert_ok(ww_rpc_request_new(to, TEST_IFACE, method, 3, &r));
    ww_sb_set_u64(ww_pb_init_struct(ww_rpc_request_params(r), 1, 1), 0, value);
    return r;
}

static uint64_t ask(struct ww_cap *to, uint16_t method, uint64_t value)
{
    struct ww_rpc_request *r = request(to, method, value);
    ww_err err = ww_rpc_fd_call(w.fd, r, 10000);
    if (err < 0)
        fail_msg("%s: %s", ww_err_name(err), ww_rpc_request_reason(r));
    uint64_t got = ww_sr_u64(ww_pr_struct(ww_rpc_request_results(r)), 0);
    ww_rpc_request_free(r);
    return got;
}

static void turns(int count)
{
    while (count-- > 0) {
        ww_err err = ww_rpc_fd_turn(w.fd, 5);
        assert_true(err == 0 || err == WW_ETIMEOUT);
    }
}

/* A socket of a peer without a library. */
static int raw_dial(void)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof un.sun_path, "%s", w.address + 5);
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(s >= 0);
    assert_int_equal(connect(s, (struct sockaddr *)&un, sizeof un), 0);
    return s;
}

/* The bytes of a Bootstrap and one call on it. */
static size_t script(uint8_t *out, size_t max, uint16_t method)
{
    struct ww_rpc_vat *vat;
    struct ww_rpc_conn *conn;
    struct ww_cap *cap;
    struct ww_bytes view;
    size_t len = 0;
    assert_ok(ww_rpc_vat_new(NULL, &vat));
    assert_ok(ww_rpc_conn_new(vat, &(struct ww_rpc_conn_config){.packed = w.packed}, &conn));
    assert_ok(ww_rpc_conn_bootstrap(conn, &cap));
    struct ww_rpc_request *r = request(cap, method, 7);
    ww_rpc_request_send(r, NULL);
    ww_rpc_vat_run(vat, 1, 0);
    while (ww_rpc_conn_pull(conn, &view, 1)) {
        assert_true(len + view.len <= max);
        memcpy(out + len, view.ptr, view.len);
        len += view.len;
        ww_rpc_conn_pulled(conn, view.len);
    }
    ww_rpc_request_free(r);
    ww_cap_unref(cap);
    ww_rpc_conn_free(conn);
    ww_rpc_vat_run(vat, 1, 0);
    ww_rpc_vat_free(vat);
    return len;
}

/* ---- both families, both encodings */

static void conversations(void **state)
{
    static const char *const addresses[] = {NULL, "127.0.0.1:0", "[::1]:0", "localhost:0"};
    WW_UNUSED(state);
    for (unsigned i = 0; i < 8; i++) {
        if (i / 2 == 2 && socket(AF_INET6, SOCK_STREAM, 0) < 0)
            continue;
        open_world(addresses[i / 2], i & 1);
        struct ww_cap *cap = dial();
        for (uint64_t n = 0; n < 50; n++)
            assert_int_equal(ask(cap, M_ECHO, n), n);
        struct ww_rpc_request *r = request(cap, M_NEW, 0);
        ww_rpc_request_send(r, NULL);
        struct ww_cap *next = pipeline(r, 0);
        assert_int_equal(ask(next, M_ECHO, 3), 3);
        ww_rpc_request_free(r);
        ww_cap_unref(next);
        assert_int_equal(ask(cap, M_COUNT, 0), 50);
        ww_cap_unref(cap);
        assert_int_equal(ww_rpc_fd_count(w.fd), 2);
        close_world();
    }
}

static void large_messages(void **state)
{
    WW_UNUSED(state);
    static uint8_t blob[3 << 20];
    for (int packed = 0; packed < 2; packed++) {
        open_world("127.0.0.1:0", packed);
        struct ww_cap *cap = dial();
        struct ww_rpc_request *r;
        for (size_t i = 0; i < sizeof blob; i++)
            blob[i] = (uint8_t)(i * 7 % 251 + i % 3 * (i % 5 == 0));
        assert_ok(ww_rpc_request_new(cap, TEST_IFACE, M_COUNT, 0, &r));
        struct ww_sb p = ww_pb_init_struct(ww_rpc_request_params(r), 1, 2);
        ww_pb_set_data(ww_sb_ptr(p, 1), ww_bytes(blob, sizeof blob));
        assert_ok(ww_rpc_fd_call(w.fd, r, 10000));
        ww_rpc_request_free(r);
        ww_cap_unref(cap);
        close_world();
    }
}

static void both_halves_of_a_pipe(void **state)
{
    WW_UNUSED(state);
    for (int blocking = 0; blocking < 2; blocking++) {
        int there[2], back[2];
        struct ww_rpc_conn *server, *client;
        struct ww_cap *boot, *cap;
        memset(&w, 0, sizeof w);
        assert_ok(ww_rpc_fd_new(NULL, &w.fd));
        assert_int_equal(pipe2(there, blocking ? 0 : O_NONBLOCK), 0);
        assert_int_equal(pipe2(back, blocking ? 0 : O_NONBLOCK), 0);
        boot = object_new(ww_rpc_fd_vat(w.fd), &w.live, &w.object);
        assert_ok(ww_rpc_fd_attach_take(
            w.fd, there[0], back[1], &(struct ww_rpc_conn_config){.bootstrap = boot}, &server));
        ww_cap_unref(boot);
        assert_ok(ww_rpc_fd_attach_take(w.fd, back[0], there[1], NULL, &client));
        assert_ok(ww_rpc_conn_bootstrap(client, &cap));
        for (uint64_t n = 0; n < 20; n++)
            assert_int_equal(ask(cap, M_ECHO, n), n);
        struct ww_rpc_request *many[2000]; /* more than a pipe holds, both ways: nobody may block */
        for (size_t i = 0; i < 2000; i++) {
            many[i] = request(cap, M_ECHO, i);
            ww_rpc_request_send(many[i], NULL);
        }
        for (size_t i = 0; i < 2000; i++) {
            assert_ok(ww_rpc_fd_wait(w.fd, many[i], 10000));
            ww_rpc_request_free(many[i]);
        }
        ww_cap_unref(cap);
        ww_rpc_fd_free(w.fd);
        assert_int_equal(w.live, 0);
    }
}

/* ---- peers that misbehave */

static void byte_by_byte(void **state)
{
    WW_UNUSED(state);
    for (int packed = 0; packed < 2; packed++) {
        uint8_t bytes[2048], answer[2048];
        open_world(NULL, packed);
        size_t len = script(bytes, sizeof bytes, M_ECHO);
        int s = raw_dial();
        for (size_t i = 0; i < len; i++) {
            assert_int_equal(send(s, bytes + i, 1, 0), 1);
            turns(1);
        }
        turns(3);
        assert_true(recv(s, answer, sizeof answer, MSG_DONTWAIT) > 40);
        assert_int_equal(w.object->seen_count, 1);
        close(s);
        turns(3);
        assert_int_equal(ww_rpc_fd_count(w.fd), 0);
        close_world();
    }
}

/* Whoever has said all and shuts down its half still gets what is answered at once. */
static void half_close(void **state)
{
    WW_UNUSED(state);
    uint8_t bytes[2048], answer[2048];
    open_world(NULL, false);
    size_t len = script(bytes, sizeof bytes, M_ECHO);
    int s = raw_dial();
    assert_int_equal(send(s, bytes, len, 0), (ssize_t)len);
    shutdown(s, SHUT_WR);
    turns(6);
    ssize_t n = recv(s, answer, sizeof answer, MSG_DONTWAIT);
    assert_true(n > 100); /* two Returns */
    assert_int_equal(recv(s, answer, sizeof answer, 0), 0);
    close(s);
    assert_int_equal(ww_rpc_fd_count(w.fd), 0);
    close_world();
}

static void closes_in_mid_call(void **state)
{
    WW_UNUSED(state);
    uint8_t bytes[2048];
    open_world(NULL, false);
    size_t len = script(bytes, sizeof bytes, M_LATER);
    for (size_t cut = len % 13; cut <= len; cut += 13) {
        int s = raw_dial();
        if (cut)
            assert_int_equal(send(s, bytes, cut, 0), (ssize_t)cut);
        turns(2);
        close(s);
        turns(4);
        assert_int_equal(ww_rpc_fd_count(w.fd), 0);
    }
    assert_int_equal(w.object->canceled, 1);
    object_go(w.object);
    turns(2);
    close_world();
}

/* A listener that closes whoever connects: our calls fail, nothing kills us. */
static void server_closes(void **state)
{
    WW_UNUSED(state);
    assert_ptr_equal(signal(SIGPIPE, SIG_DFL), SIG_DFL); /* nobody here asked for it to be ignored */
    for (int kind = 0; kind < 2; kind++) {
        int fds[2], more[2] = {-1, -1};
        struct ww_rpc_conn *conn;
        struct ww_cap *cap;
        memset(&w, 0, sizeof w);
        assert_ok(ww_rpc_fd_new(NULL, &w.fd));
        assert_int_equal(kind ? pipe(fds) : socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        if (kind)
            assert_int_equal(pipe(more), 0);
        int in = kind ? more[0] : fds[0], out = kind ? fds[1] : fds[0];
        assert_ok(ww_rpc_fd_attach_take(w.fd, in, out, NULL, &conn));
        assert_ok(ww_rpc_conn_bootstrap(conn, &cap));
        close(kind ? fds[0] : fds[1]); /* the pipe for reading stays: only the write can tell */
        struct ww_rpc_request *r = request(cap, M_ECHO, 1);
        assert_int_equal(ww_rpc_fd_call(w.fd, r, 5000), WW_EDISCONNECTED);
        assert_true(strlen(ww_rpc_request_reason(r)) > 0);
        ww_rpc_request_free(r);
        ww_cap_unref(cap);
        if (kind)
            close(more[1]);
        ww_rpc_fd_free(w.fd);
    }
}

static struct closed_host {
    struct ww_rpc_conn_host host;
    unsigned count;
    ww_err err;
} closed;

static void on_closed(struct ww_rpc_conn_host *host, ww_err err, const char *reason)
{
    struct closed_host *c = WW_CONTAINER_OF(host, struct closed_host, host);
    c->count++;
    c->err = err;
    assert_true(strlen(reason) > 0);
}

static const struct ww_rpc_conn_ops closed_ops = {.closed = on_closed};

static ww_err on_accept(struct ww_rpc_fd_accept *accept, int sock, struct ww_rpc_conn_config *io_config)
{
    WW_UNUSED(accept);
    assert_true(sock >= 0);
    closed.host.ops = &closed_ops;
    io_config->host = &closed.host;
    return 0;
}

static void garbage(void **state)
{
    WW_UNUSED(state);
    uint8_t answer[512];
    struct ww_rpc_fd_accept accept = {on_accept};
    struct ww_rpc_fd_listener *second;
    open_world("127.0.0.1:0", false);
    assert_ok(ww_rpc_fd_listen(w.fd, w.path, NULL, &accept, &second, NULL));
    w.address = ww_rpc_fd_listener_address(second);
    closed = (struct closed_host){0};
    int s = raw_dial();
    assert_int_equal(send(s, "GET / HTTP/1.1\r\nHost: x\r\n\r\n12345678", 36, 0), 36);
    turns(5);
    assert_int_equal(closed.count, 1);
    assert_true(closed.err < 0);
    assert_true(recv(s, answer, sizeof answer, MSG_DONTWAIT) > 0); /* the Abort */
    assert_int_equal(recv(s, answer, sizeof answer, 0), 0);
    close(s);
    ww_rpc_fd_listener_close(second);
    close_world();
}

/* A peer that never reads does not hold up the end. */
static void lingering_is_bounded(void **state)
{
    WW_UNUSED(state);
    uint8_t bytes[2048];
    open_world(NULL, false);
    size_t len = script(bytes, sizeof bytes, M_ECHO);
    int s = raw_dial(), size = 4096;
    setsockopt(s, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    assert_int_equal(send(s, bytes, len, 0), (ssize_t)len);
    turns(3);
    static const uint8_t bootstrap_again[] = {
        0}; /* half a header, then questions enough to fill the socket */
    WW_UNUSED(bootstrap_again);
    uint8_t boot[64] = {0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 8};
    boot[28] = 1;
    boot[30] = 1;
    for (uint32_t id = 10; id < 6000; id++) {
        memcpy(boot + 32, &id, 4);
        if (send(s, boot, 48, MSG_DONTWAIT) < 0)
            break;
        if (id % 100 == 0)
            turns(1);
    }
    turns(10);
    assert_int_equal(send(s, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, MSG_DONTWAIT), 8);
    struct timeval before, after;
    gettimeofday(&before, NULL);
    while (ww_rpc_fd_count(w.fd) > 0) {
        turns(1);
        gettimeofday(&after, NULL);
        assert_true(after.tv_sec - before.tv_sec < 5);
    }
    close(s);
    close_world();
}

/* ---- the system's weather */

static volatile sig_atomic_t alarms;

static void on_alarm(int number)
{
    WW_UNUSED(number);
    alarms++;
}

static void interrupted(void **state)
{
    WW_UNUSED(state);
    open_world("127.0.0.1:0", false);
    struct sigaction act = {.sa_handler = on_alarm}, before; /* without SA_RESTART */
    sigaction(SIGALRM, &act, &before);
    struct itimerval every = {.it_interval.tv_usec = 300, .it_value.tv_usec = 300};
    setitimer(ITIMER_REAL, &every, NULL);
    alarms = 0;
    struct ww_cap *cap = dial();
    while (alarms < 100)
        assert_int_equal(ask(cap, M_ECHO, 9), 9);
    struct ww_rpc_request *r = request(cap, M_LATER, 0); /* sits in poll */
    assert_int_equal(ww_rpc_fd_call(w.fd, r, 50), WW_ETIMEOUT);
    every = (struct itimerval){0};
    setitimer(ITIMER_REAL, &every, NULL);
    sigaction(SIGALRM, &before, NULL);
    ww_rpc_request_free(r);
    turns(3);
    assert_int_equal(w.object->canceled, 1);
    object_go(w.object);
    ww_cap_unref(cap);
    close_world();
}

static void deadlines(void **state)
{
    WW_UNUSED(state);
    open_world(NULL, false);
    struct ww_cap *cap = dial();
    struct ww_rpc_request *r = request(cap, M_LATER, 4);
    assert_int_equal(ww_rpc_fd_call(w.fd, r, 20), WW_ETIMEOUT);
    assert_int_equal(ww_rpc_fd_wait(w.fd, r, 0), WW_ETIMEOUT);
    object_go(w.object);
    assert_ok(ww_rpc_fd_wait(w.fd, r, 5000)); /* it had not been cancelled */
    ww_rpc_request_free(r);
    assert_int_equal(ww_rpc_fd_call(w.fd, NULL, 5), WW_EINVAL);
    ww_cap_unref(cap);
    close_world();
}

static void bad_addresses(void **state)
{
    WW_UNUSED(state);
    static const struct {
        const char *text;
        ww_err err;
    } cases[] = {{"", WW_EINVAL}, {"unix:", WW_EINVAL}, {"nothing", WW_EINVAL}, {":80", WW_EINVAL},
        {"a:b", WW_EINVAL}, {"::1:80", WW_EINVAL}, {"127.0.0.1:1", WW_EREFUSED},
        {"unix:/nowhere/at/all", WW_ENOTFOUND}, {"127.0.0.1:123456", WW_EINVAL},
        {"127.0.0.1:65536", WW_EINVAL},
        {"unix:/"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "a"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaa",
            WW_EINVAL}};
    open_world(NULL, false);
    for (size_t i = 0; i < WW_COUNT_OF(cases); i++) {
        struct ww_diag diag = {0};
        struct ww_cap *cap;
        assert_int_equal(ww_rpc_fd_dial(w.fd, cases[i].text, 1000, &cap, &diag), cases[i].err);
        assert_true(strlen(diag.text) > 10);
        assert_int_equal(diag.code, cases[i].err);
    }
    struct ww_diag diag = {0};
    assert_int_equal(ww_rpc_fd_listen(w.fd, w.path, NULL, NULL, NULL, &diag), WW_EADDRINUSE); /* not stolen */
    assert_non_null(strstr(diag.text, w.path));
    close_world();
}

/* What somebody else keeps there is never removed. */
static void listens_on_no_file(void **state)
{
    WW_UNUSED(state);
    char path[80];
    open_world(NULL, false);
    snprintf(path, sizeof path, "%s-file", w.path);
    int file = open(path + 5, O_CREAT | O_EXCL | O_WRONLY, 0600);
    assert_true(file >= 0);
    close(file);
    struct ww_diag diag = {0};
    assert_int_equal(ww_rpc_fd_listen(w.fd, path, NULL, NULL, NULL, &diag), WW_EADDRINUSE);
    assert_non_null(strstr(diag.text, path));
    assert_non_null(strstr(diag.text, "no socket"));
    assert_int_equal(access(path + 5, F_OK), 0);
    unlink(path + 5);
    close_world();
}

/* A server that wants one client alone. */
static struct ww_rpc_fd_listener *single;

static ww_err accept_one_only(struct ww_rpc_fd_accept *accept, int sock, struct ww_rpc_conn_config *io_config)
{
    WW_UNUSED(accept);
    WW_UNUSED(sock);
    WW_UNUSED(io_config);
    assert_int_equal(ww_rpc_fd_turn(w.fd, 0), WW_ESTATE); /* not from within a callback */
    ww_rpc_fd_listener_close(single);
    return 0;
}

static void listener_closed_by_its_accept(void **state)
{
    WW_UNUSED(state);
    struct ww_rpc_fd_accept accept = {accept_one_only};
    open_world("127.0.0.1:0", false);
    struct ww_cap *boot = object_new(ww_rpc_fd_vat(w.fd), &w.live, NULL);
    struct ww_rpc_conn_config config = {.bootstrap = boot};
    assert_ok(ww_rpc_fd_listen(w.fd, w.path, &config, &accept, &single, NULL));
    ww_cap_unref(boot); /* the listener alone has it */
    w.address = w.path;
    int second = raw_dial(), third = raw_dial();
    struct ww_cap *cap = NULL;
    turns(3); /* the first of them is accepted */
    assert_int_equal(ww_rpc_fd_count(w.fd), 1);
    struct ww_diag diag = {0};
    assert_int_equal(ww_rpc_fd_dial(w.fd, w.path, 1000, &cap, &diag), WW_ENOTFOUND);
    close(second);
    close(third);
    turns(3);
    close_world();
}

static void stale_socket_file(void **state)
{
    WW_UNUSED(state);
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof un.sun_path, "/tmp/ww-test-fd-%d", (int)getpid());
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(s, (struct sockaddr *)&un, sizeof un), 0);
    close(s); /* as a killed server leaves it */
    open_world(NULL, false);
    struct ww_cap *cap = dial();
    assert_int_equal(ask(cap, M_ECHO, 1), 1);
    ww_cap_unref(cap);
    close_world();
}

static void no_descriptors_left(void **state)
{
    WW_UNUSED(state);
    open_world(NULL, false);
    uint8_t bytes[2048], answer[2048];
    size_t len = script(bytes, sizeof bytes, M_ECHO);
    int s[3];
    for (int i = 0; i < 3; i++)
        s[i] = raw_dial();
    struct rlimit before, low;
    getrlimit(RLIMIT_NOFILE, &before);
    low = before;
    low.rlim_cur = (rlim_t)s[2] + 1;
    setrlimit(RLIMIT_NOFILE, &low);
    struct timeval start, now;
    gettimeofday(&start, NULL);
    unsigned rounds = 0;
    do {
        ww_err err = ww_rpc_fd_turn(w.fd, 20);
        assert_true(err == 0 || err == WW_ETIMEOUT);
        gettimeofday(&now, NULL);
        rounds++;
    } while ((now.tv_sec - start.tv_sec) * 1000000 + now.tv_usec - start.tv_usec < 200000);
    assert_true(rounds < 60); /* it paused, and did not spin */
    assert_int_equal(ww_rpc_fd_count(w.fd), 0);
    setrlimit(RLIMIT_NOFILE, &before);
    for (int i = 0; i < 3; i++)
        assert_int_equal(send(s[i], bytes, len, 0), (ssize_t)len);
    for (int i = 0; i < 200 && ww_rpc_fd_count(w.fd) < 3; i++)
        turns(1);
    turns(5);
    for (int i = 0; i < 3; i++) {
        assert_true(recv(s[i], answer, sizeof answer, MSG_DONTWAIT) > 100);
        close(s[i]);
    }
    turns(5);
    close_world();
}

static void thousand_connections(void **state)
{
    WW_UNUSED(state);
    enum { N = 1000 };
    static struct ww_cap *caps[N];
    static struct ww_rpc_request *asked[N];
    struct rlimit lim;
    getrlimit(RLIMIT_NOFILE, &lim);
    lim.rlim_cur = lim.rlim_max;
    setrlimit(RLIMIT_NOFILE, &lim);
    if (lim.rlim_cur < 2 * N + 100)
        skip();
    open_world("127.0.0.1:0", false);
    for (int i = 0; i < N; i++) {
        caps[i] = dial();
        if (i % 100 == 0)
            turns(1);
    }
    for (int round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < N; i++) {
            asked[i] = request(caps[i], M_ECHO, i);
            ww_rpc_request_send(asked[i], NULL);
        }
        for (uint64_t i = 0; i < N; i++) {
            assert_ok(ww_rpc_fd_wait(w.fd, asked[i], 20000));
            assert_int_equal(ww_sr_u64(ww_pr_struct(ww_rpc_request_results(asked[i])), 0), i);
            ww_rpc_request_free(asked[i]);
        }
    }
    assert_int_equal(ww_rpc_fd_count(w.fd), 2 * N);
    for (int i = 0; i < N; i++)
        ww_cap_unref(caps[i]);
    close_world();
}

static struct ww_rpc_fd *to_stop;

static void stop_handler(int number)
{
    WW_UNUSED(number);
    ww_rpc_fd_stop(to_stop);
}

static void stopping(void **state)
{
    WW_UNUSED(state);
    open_world(NULL, false);
    ww_rpc_fd_stop(w.fd);
    assert_ok(ww_rpc_fd_run(w.fd)); /* asked for before it ran */
    to_stop = w.fd;
    struct sigaction act = {.sa_handler = stop_handler}, before;
    sigaction(SIGALRM, &act, &before);
    setitimer(ITIMER_REAL, &(struct itimerval){.it_value.tv_usec = 20000}, NULL);
    assert_ok(ww_rpc_fd_run(w.fd));
    sigaction(SIGALRM, &before, NULL);
    assert_int_equal(ww_rpc_fd_turn(w.fd, 1), WW_ETIMEOUT);
    close_world();
}

/* ---- memory */

static ww_err starved_body(void *ctx)
{
    struct ww_rpc_fd *fd;
    struct ww_rpc_conn *server, *client;
    struct ww_cap *cap = NULL, *boot = NULL;
    struct ww_rpc_request *r = NULL;
    int fds[2];
    WW_UNUSED(ctx);
    WW_TRY(ww_rpc_fd_new(NULL, &fd));
    int live = 0;
    boot = object_try(ww_rpc_fd_vat(fd), &live, NULL);
    ww_err err = boot ? 0 : WW_ENOMEM;
    if (err == 0) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        err = ww_rpc_fd_attach_take(
            fd, fds[0], fds[0], &(struct ww_rpc_conn_config){.bootstrap = boot}, &server);
        ww_err second = ww_rpc_fd_attach_take(fd, fds[1], fds[1], NULL, &client);
        if (err == 0)
            err = second;
    }
    if (err == 0)
        err = ww_rpc_conn_bootstrap(client, &cap);
    if (err == 0)
        err = ww_rpc_request_new(cap, TEST_IFACE, M_ECHO, 3, &r);
    if (err == 0)
        err = ww_rpc_fd_call(fd, r, 2000);
    ww_rpc_request_free(r);
    ww_cap_unref(cap);
    ww_cap_unref(boot);
    ww_rpc_fd_free(fd);
    assert_int_equal(live, 0);
    return err;
}

static void starved(void **state)
{
    WW_UNUSED(state);
    assert_true(alloc_fail_run(starved_body, NULL) > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conversations),
        cmocka_unit_test(large_messages),
        cmocka_unit_test(both_halves_of_a_pipe),
        cmocka_unit_test(byte_by_byte),
        cmocka_unit_test(half_close),
        cmocka_unit_test(closes_in_mid_call),
        cmocka_unit_test(server_closes),
        cmocka_unit_test(garbage),
        cmocka_unit_test(lingering_is_bounded),
        cmocka_unit_test(interrupted),
        cmocka_unit_test(deadlines),
        cmocka_unit_test(bad_addresses),
        cmocka_unit_test(stale_socket_file),
        cmocka_unit_test(listens_on_no_file),
        cmocka_unit_test(listener_closed_by_its_accept),
        cmocka_unit_test(no_descriptors_left),
        cmocka_unit_test(thousand_connections),
        cmocka_unit_test(stopping),
        cmocka_unit_test(starved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
