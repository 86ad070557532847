/* The host's side of guests: started as "COMMAND..." of our arguments, with pipes for its input and output.
 * Run by wasi.py, which makes the guests. */
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/unit/rpc/pair.h"
#include "ww/rpc_fd.h"

static char **command;

static struct world {
    struct ww_rpc_fd *fd;
    struct ww_cap *guest;
    struct object *object;
    int live;
    pid_t child;
} w;

static void open_world(bool guest_asks)
{
    int in[2], out[2];
    struct ww_rpc_conn *conn;
    memset(&w, 0, sizeof w);
    assert_ok(ww_rpc_fd_new(NULL, &w.fd));
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    w.child = fork();
    assert_true(w.child >= 0);
    if (w.child == 0) {
        size_t n = 0;
        char *argv[16] = {0};
        while (command[n] && n < 14) {
            argv[n] = command[n];
            n++;
        }
        if (guest_asks)
            argv[n] = (char *)"ask";
        dup2(in[0], 0);
        dup2(out[1], 1);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    struct ww_cap *boot = object_new(ww_rpc_fd_vat(w.fd), &w.live, &w.object);
    assert_ok(
        ww_rpc_fd_attach_take(w.fd, out[0], in[1], &(struct ww_rpc_conn_config){.bootstrap = boot}, &conn));
    ww_cap_unref(boot);
    assert_ok(ww_rpc_conn_bootstrap(conn, &w.guest));
}

static void close_world(void)
{
    int status;
    ww_cap_unref(w.guest);
    ww_rpc_fd_free(w.fd);
    assert_int_equal(w.live, 0);
    assert_int_equal(waitpid(w.child, &status, 0), w.child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0); /* the guest saw an orderly end */
}

static struct ww_rpc_request *request(struct ww_cap *to, uint16_t method, uint64_t value, struct ww_cap *cap)
{
    struct ww_rpc_request *r;
    assert_ok(ww_rpc_request_new(to, TEST_IFACE, method, 3, &r));
    struct ww_sb p = ww_pb_init_struct(ww_rpc_request_params(r), 1, 2);
    ww_sb_set_u64(p, 0, value);
    ww_pb_set_cap(ww_sb_ptr(p, 0), cap);
    return r;
}

static uint64_t take(struct ww_rpc_request *r)
{
    ww_err err = ww_rpc_fd_call(w.fd, r, 20000);
    if (err < 0)
        fail_msg("%s: %s", ww_err_name(err), ww_rpc_request_reason(r));
    uint64_t value = ww_sr_u64(ww_pr_struct(ww_rpc_request_results(r)), 0);
    ww_rpc_request_free(r);
    return value;
}

static void conversation(void **state)
{
    static uint8_t blob[1 << 20];
    WW_UNUSED(state);
    open_world(false);
    for (uint64_t i = 0; i < 100; i++)
        assert_int_equal(take(request(w.guest, M_ECHO, i, NULL)), i);
    struct ww_rpc_request *r = request(w.guest, M_NEW, 0, NULL); /* pipelined on an object of the guest's */
    ww_rpc_request_send(r, NULL);
    struct ww_cap *made = pipeline(r, 0);
    assert_int_equal(take(request(made, M_ECHO, 5, NULL)), 5);
    ww_rpc_request_free(r);
    ww_cap_unref(made);
    struct object *mine; /* the guest calls ours */
    struct ww_cap *my = object_new(ww_rpc_fd_vat(w.fd), &w.live, &mine);
    assert_int_equal(take(request(w.guest, 4, 77, my)), 77);
    assert_int_equal(mine->seen_count, 1);
    ww_cap_unref(my);
    assert_int_equal(take(request(w.guest, 20, 78, NULL)), 78); /* and our bootstrap object */
    assert_int_equal(w.object->seen_count, 1);
    assert_ok(ww_rpc_request_new(w.guest, TEST_IFACE, M_COUNT, 0, &r)); /* more than a pipe holds */
    ww_pb_set_data(
        ww_sb_ptr(ww_pb_init_struct(ww_rpc_request_params(r), 1, 2), 1), ww_bytes(blob, sizeof blob));
    assert_int_equal(take(r), sizeof blob);
    r = request(w.guest, 99, 0, NULL);
    assert_int_equal(ww_rpc_fd_call(w.fd, r, 20000), WW_EUNIMPLEMENTED);
    ww_rpc_request_free(r);
    close_world();
}

static void guest_asks_first(void **state)
{
    WW_UNUSED(state);
    if (strcmp(command[3], "stdio") != 0)
        skip(); /* only a guest with a loop can wait */
    open_world(true);
    while (w.object->canceled == 0) /* its last call is not answered, and given up */
        assert_true(ww_rpc_fd_turn(w.fd, 10000) == 0);
    object_go(w.object);
    assert_int_equal(w.object->seen_count, 3);
    assert_int_equal(take(request(w.guest, M_ECHO, 1, NULL)), 1);
    close_world();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(conversation), cmocka_unit_test(guest_asks_first)};
    command = argv + 1;
    if (argc < 4)
        return 2;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
