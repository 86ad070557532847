/* Ten thousand connections that stand and say nothing: what they take at each side. A server process and a
 * client process, since one alone may not have 20,000 descriptors. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/lib/alloc_count.h"
#include "ww/rpc_fd.h"

enum { CONNS = 10000, AT_ONCE = 100, SIDE_BYTES = 40 * 1000 * 1000, TIMEOUT_MS = 100000 };
enum { SPARE_FDS = 100 };
enum { M_ECHO, M_ALLOCATED, M_RESIDENT, M_STOP };
static const uint64_t iface = 0xd3a1b7c0ffee0001;

/* Sanitizers have memory of their own, and hold on to what is freed. */
#if defined(__SANITIZE_ADDRESS__)
#define RESIDENT_COUNTS false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RESIDENT_COUNTS false
#endif
#endif
#ifndef RESIDENT_COUNTS
#define RESIDENT_COUNTS true
#endif

static size_t resident(void)
{
    char text[128] = {0};
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fgets(text, sizeof text, f))
        pages = strtoull(strchr(text, ' '), NULL, 10);
    if (f)
        fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* How many connections a process of ours may have; each takes one descriptor. */
static size_t conns_allowed(void)
{
    struct rlimit lim;
    getrlimit(RLIMIT_NOFILE, &lim);
    struct rlimit more = {
        CONNS + SPARE_FDS, lim.rlim_max < CONNS + SPARE_FDS ? CONNS + SPARE_FDS : lim.rlim_max};
    if (lim.rlim_cur < more.rlim_cur && setrlimit(RLIMIT_NOFILE, &more) != 0) {
        lim.rlim_cur = lim.rlim_max;
        setrlimit(RLIMIT_NOFILE, &lim);
    }
    getrlimit(RLIMIT_NOFILE, &lim);
    return lim.rlim_cur >= CONNS + SPARE_FDS ? CONNS : (size_t)lim.rlim_cur - SPARE_FDS;
}

/* ---- the server */

struct server {
    struct ww_rpc_server rpc;
    struct ww_rpc_fd *fd;
};

static void dispatch(struct ww_rpc_server *rpc, struct ww_rpc_call *call)
{
    struct server *s = WW_CONTAINER_OF(rpc, struct server, rpc);
    uint64_t value = ww_sr_u64(ww_pr_struct(ww_rpc_call_params(call)), 0);
    switch (ww_rpc_call_method(call)) {
    case M_ALLOCATED:
        value = mem.now;
        break;
    case M_RESIDENT:
        value = resident();
        break;
    case M_STOP:
        ww_rpc_fd_stop(s->fd);
        break;
    }
    ww_sb_set_u64(ww_pb_init_struct(ww_rpc_call_results(call, 3), 1, 0), 0, value);
    ww_rpc_call_return(call);
}

/* 0: all went well, and everything was given back. */
static int serve(const char *address, int ready)
{
    static const struct ww_rpc_server_ops ops = {.dispatch = dispatch};
    struct server s = {.rpc.ops = &ops};
    struct ww_rpc_conn_config config = {0};
    if (ww_rpc_fd_new(NULL, &s.fd) < 0 ||
        ww_cap_new_server(ww_rpc_fd_vat(s.fd), &s.rpc, &config.bootstrap) < 0 ||
        ww_rpc_fd_listen(s.fd, address, &config, NULL, NULL, NULL) < 0 || write(ready, "", 1) != 1 ||
        ww_rpc_fd_run(s.fd) < 0)
        return 1;
    ww_cap_unref(config.bootstrap);
    ww_rpc_fd_free(s.fd);
    return mem.now == 0 ? 0 : 2;
}

/* ---- the client */

static struct ww_rpc_fd *fd;
static pid_t child; /* the server; 0: none */

static struct ww_rpc_request *ask(struct ww_cap *cap, uint16_t method, uint64_t value)
{
    struct ww_rpc_request *r;
    assert_ok(ww_rpc_request_new(cap, iface, method, 3, &r));
    ww_sb_set_u64(ww_pb_init_struct(ww_rpc_request_params(r), 1, 0), 0, value);
    ww_rpc_request_send(r, NULL);
    return r;
}

static uint64_t answer(struct ww_rpc_request *r)
{
    ww_err err = ww_rpc_fd_wait(fd, r, TIMEOUT_MS);
    if (err < 0)
        fail_msg("%s: %s", ww_err_name(err), ww_rpc_request_reason(r));
    uint64_t value = ww_sr_u64(ww_pr_struct(ww_rpc_request_results(r)), 0);
    ww_rpc_request_free(r);
    return value;
}

/* One call on each of `count`, many at once. */
static void call_each(struct ww_cap *const *caps, size_t count)
{
    struct ww_rpc_request *asked[AT_ONCE];
    for (size_t at = 0; at < count; at += AT_ONCE) {
        size_t n = count - at < AT_ONCE ? count - at : AT_ONCE;
        for (size_t i = 0; i < n; i++)
            asked[i] = ask(caps[at + i], M_ECHO, at + i);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(answer(asked[i]), at + i);
    }
}

struct figures {
    uint64_t allocated[2], resident[2]; /* of client and server */
};

static struct figures measure(struct ww_cap *cap)
{
    struct figures f = {.allocated = {mem.now, answer(ask(cap, M_ALLOCATED, 0))},
        .resident = {resident(), answer(ask(cap, M_RESIDENT, 0))}};
    return f;
}

static void check(const char *when, const struct figures *before, const struct figures *now, size_t count)
{
    static const char *const sides[] = {"client", "server"};
    size_t limit = (size_t)SIDE_BYTES / CONNS * count;
    for (int i = 0; i < 2; i++) {
        uint64_t allocated = now->allocated[i] - before->allocated[i];
        uint64_t pages = now->resident[i] - before->resident[i];
        print_message("# %s, %zu connections, %s: %.1f MB allocated, %.1f MB resident\n", when, count,
            sides[i], (double)allocated / 1e6, (double)pages / 1e6);
        if (allocated > limit || (RESIDENT_COUNTS && pages > limit))
            fail_msg("%s: over %zu bytes", sides[i], limit);
    }
}

static void ten_thousand(void **state)
{
    WW_UNUSED(state);
    static struct ww_cap *caps[CONNS];
    size_t count = conns_allowed();
    char address[64], byte;
    int ready[2], status;
    if (count < CONNS)
        print_message(
            "# ONLY %zu of %d connections: RLIMIT_NOFILE is low and we may not raise it\n", count, CONNS);
    snprintf(address, sizeof address, "unix:/tmp/ww-test-idle-%d", (int)getpid());
    assert_int_equal(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        close(ready[0]);
        _exit(serve(address, ready[1]));
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    assert_ok(ww_rpc_fd_new(NULL, &fd));
    struct figures before = {0};
    for (size_t i = 0; i < count; i++) {
        assert_ok(ww_rpc_fd_dial(fd, address, TIMEOUT_MS, &caps[i], NULL));
        if (i == 0)
            before = measure(caps[0]);
        if ((i + 1) % AT_ONCE == 0)
            assert_int_equal(answer(ask(caps[i], M_ECHO, i)), i); /* and the server takes them in */
    }
    struct figures now = measure(caps[0]);
    assert_int_equal(ww_rpc_fd_count(fd), count);
    check("new", &before, &now, count);
    call_each(caps, count);
    now = measure(caps[0]);
    check("used", &before, &now, count);
    (void)answer(ask(caps[count - 1], M_STOP, 0));
    for (size_t i = 0; i < count; i++)
        ww_cap_unref(caps[i]);
    ww_rpc_fd_free(fd);
    assert_int_equal(mem.now, 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    child = 0;
    assert_int_equal(status, 0);
}

/* A test that failed leaves no process behind. */
static int end_child(void **state)
{
    WW_UNUSED(state);
    if (child > 0)
        kill(child, SIGKILL);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(ten_thousand, end_child)};
    alloc_count_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
