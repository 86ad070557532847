/* The recorded streams of a Go client, message by message, against a small server with the same interfaces:
 * our side must say what the Go server said, in the same order and with the same ids. */
#include "pair.h"
#include "test/lib/vectors.h"

#define TERMINAL UINT64_C(0xc0c1a3f1fdbabdfd)
#define SIGNER UINT64_C(0xfdfb2b517fd7915f)
#define VIEW UINT64_C(0x8a1df0335afc249a)
#define HANDLER UINT64_C(0xee93a663b2a23c03)

struct node {
    struct ww_rpc_server terminal, view;
    struct ww_rpc_vat *vat;
    struct ww_rpc_conn *conn;
    struct ww_rpc_wait signed_;
    struct receipt {
        struct ww_rpc_wait wait;
        struct node *node;
    } receipt[2];
    struct ww_rpc_call *login, *iter;
    struct ww_cap *view_cap, *handler;
    unsigned open_calls, views_dropped;
    size_t envelope_bytes;
};

static void view_dispatch(struct ww_rpc_server *self, struct ww_rpc_call *call);
static void view_drop(struct ww_rpc_server *self)
{
    WW_CONTAINER_OF(self, struct node, view)->views_dropped++;
}
static const struct ww_rpc_server_ops view_ops = {.dispatch = view_dispatch, .drop = view_drop};

static void login_signed(struct ww_rpc_wait *wait, struct ww_rpc_request *request)
{
    struct node *n = WW_CONTAINER_OF(wait, struct node, signed_);
    assert_int_equal(ww_rpc_request_status(request), 0);
    n->envelope_bytes = ww_pr_data(ww_sr_ptr(ww_pr_struct(ww_rpc_request_results(request)), 0)).len;
    ww_rpc_request_free(request);
    n->view.ops = &view_ops;
    assert_ok(ww_cap_new_server(n->vat, &n->view, &n->view_cap));
    /* Session: a struct with the view among its pointers */
    struct ww_sb session =
        ww_pb_init_struct(ww_sb_ptr(ww_pb_init_struct(ww_rpc_call_results(n->login, 8), 0, 1), 0), 0, 1);
    ww_pb_set_cap(ww_sb_ptr(session, 0), n->view_cap);
    ww_cap_unref(n->view_cap);
    ww_rpc_call_return(n->login);
}

static void terminal_dispatch(struct ww_rpc_server *self, struct ww_rpc_call *call)
{
    struct node *n = WW_CONTAINER_OF(self, struct node, terminal);
    assert_int_equal(ww_rpc_call_interface(call), TERMINAL);
    assert_int_equal(ww_rpc_call_method(call), 0);
    n->login = call;
    n->signed_.done = login_signed;
    struct ww_cap *signer = ww_pr_cap(ww_sr_ptr(ww_pr_struct(ww_rpc_call_params(call)), 0));
    struct ww_rpc_request *r;
    assert_ok(ww_rpc_request_new(signer, SIGNER, 0, 4, &r));
    ww_pb_set_data(
        ww_sb_ptr(ww_pb_init_struct(ww_rpc_request_params(r), 0, 1), 0), WW_BYTES_LIT("0123456789abcdef"));
    ww_rpc_request_send(r, &n->signed_);
}

static const struct ww_rpc_server_ops terminal_ops = {.dispatch = terminal_dispatch};

static void record_acked(struct ww_rpc_wait *wait, struct ww_rpc_request *request)
{
    struct node *n = WW_CONTAINER_OF(wait, struct receipt, wait)->node;
    assert_int_equal(ww_rpc_request_status(request), 0);
    ww_rpc_request_free(request);
    if (--n->open_calls > 0)
        return;
    ww_cap_unref(n->handler); /* the Go client takes this as the end of the iteration */
    ww_rpc_call_return(n->iter);
}

static void view_dispatch(struct ww_rpc_server *self, struct ww_rpc_call *call)
{
    struct node *n = WW_CONTAINER_OF(self, struct node, view);
    assert_int_equal(ww_rpc_call_interface(call), VIEW);
    assert_int_equal(ww_rpc_call_method(call), 1);
    n->iter = call;
    n->handler = ww_cap_ref(ww_pr_cap(ww_sr_ptr(ww_pr_struct(ww_rpc_call_params(call)), 0)));
    ww_rpc_call_release_params(call);
    for (int i = 0; i < 2; i++) {
        struct ww_rpc_request *r;
        assert_ok(ww_rpc_request_new(n->handler, HANDLER, 0, 8, &r));
        ww_pb_init_struct(ww_rpc_request_params(r), 0, 1);
        n->receipt[i] = (struct receipt){.wait.done = record_acked, .node = n};
        n->open_calls++;
        ww_rpc_request_send(r, &n->receipt[i].wait);
    }
}

/* Appends `tag id` of each message that the server wrote. */
static void said(struct node *n, struct ww_frame_in *in, char *text, size_t size)
{
    struct ww_bytes view, frame;
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    while (ww_rpc_conn_pull(n->conn, &view, 1)) {
        struct ww_bytes chunk = view;
        while (ww_frame_in_feed(in, &chunk, &frame) == 0) {
            assert_ok(ww_msg_open(&m, frame, NULL));
            struct ww_sr root = ww_pr_struct(ww_msg_root(&m));
            size_t len = strlen(text);
            snprintf(text + len, size - len, "%u:%u ", ww_sr_u16(root, 0),
                ww_sr_u32(ww_pr_struct(ww_sr_ptr(root, 0)), 0));
        }
        ww_rpc_conn_pulled(n->conn, view.len);
    }
    ww_msg_fini(&m);
}

static struct ww_bytes recording(const char *name, uint8_t *out, size_t size)
{
    char path[128];
    snprintf(path, sizeof path, "test/vectors/go-node/%s.hex", name);
    char *text = vector_file(path);
    size_t len = strcspn(text, "\r\n") / 2;
    assert_true(len <= size);
    assert_ok(ww_hex_decode(ww_bytes((uint8_t *)text, len * 2), out, len));
    free(text);
    return ww_bytes(out, len);
}

/* What the Go server said in the recording, in the same notation. */
static void go_said(const char *name, bool packed, char *text, size_t size)
{
    static uint8_t bytes[8192];
    struct ww_bytes chunk = recording(name, bytes, sizeof bytes), frame;
    struct ww_frame_in in;
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    ww_frame_in_init(&in, packed, NULL);
    while (ww_frame_in_feed(&in, &chunk, &frame) == 0) {
        assert_ok(ww_msg_open(&m, frame, NULL));
        struct ww_sr root = ww_pr_struct(ww_msg_root(&m));
        size_t len = strlen(text);
        snprintf(text + len, size - len, "%u:%u ", ww_sr_u16(root, 0),
            ww_sr_u32(ww_pr_struct(ww_sr_ptr(root, 0)), 0));
    }
    ww_frame_in_fini(&in);
    ww_msg_fini(&m);
}

static void replay(const char *c2s, const char *s2c, bool packed)
{
    static uint8_t bytes[8192], frame_bytes[8192];
    struct node n = {.terminal.ops = &terminal_ops};
    struct ww_cap *boot;
    assert_ok(ww_rpc_vat_new(NULL, &n.vat));
    assert_ok(ww_cap_new_server(n.vat, &n.terminal, &boot));
    assert_ok(
        ww_rpc_conn_new(n.vat, &(struct ww_rpc_conn_config){.bootstrap = boot, .packed = packed}, &n.conn));
    ww_cap_unref(boot);
    struct ww_frame_in client, server;
    ww_frame_in_init(&client, packed, NULL);
    ww_frame_in_init(&server, packed, NULL);
    struct ww_bytes chunk = recording(c2s, bytes, sizeof bytes), frame;
    char ours[512] = "", theirs[512] = "";
    struct ww_diag diag;
    unsigned messages = 0;
    while (ww_frame_in_feed(&client, &chunk, &frame) == 0) {
        size_t len = frame.len;
        if (packed) {
            size_t table = 8; /* recorded messages have one segment each */
            len = ww_pack(ww_bytes(frame.ptr, table), frame_bytes);
            len += ww_pack(ww_bytes(frame.ptr + table, frame.len - table), frame_bytes + len);
        } else {
            memcpy(frame_bytes, frame.ptr, len);
        }
        ww_err err = ww_rpc_conn_feed(n.conn, ww_bytes(frame_bytes, len));
        assert_true(err == 0 || err == WW_ECLOSED);
        if (err == 0)
            assert_ok(ww_rpc_conn_check(n.conn, &diag));
        while (ww_rpc_vat_run(n.vat, 1, 0))
            ;
        said(&n, &server, ours, sizeof ours);
        messages++;
    }
    go_said(s2c, packed, theirs, sizeof theirs);
    assert_string_equal(ours, theirs);
    assert_int_equal(messages, 12);
    assert_int_equal(n.envelope_bytes > 100, 1);
    assert_false(ww_rpc_conn_is_open(n.conn)); /* by the client's Abort */
    assert_int_equal(n.conn->close_err, WW_ECLOSED);
    assert_int_equal(n.views_dropped, 1);
    ww_rpc_conn_free(n.conn);
    while (ww_rpc_vat_run(n.vat, 1, 0))
        ;
    assert_int_equal(n.vat->refs, 2);
    ww_rpc_vat_free(n.vat);
    ww_frame_in_fini(&client);
    ww_frame_in_fini(&server);
}

static void go_client_packed(void **state)
{
    WW_UNUSED(state);
    replay("rpc-packed-c2s", "rpc-packed-s2c", true);
}

static void go_client_plain(void **state)
{
    WW_UNUSED(state);
    replay("rpc-plain-c2s", "rpc-plain-s2c", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(go_client_packed), cmocka_unit_test(go_client_plain)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
