#include "cluster/query.h"
#include "schema/cluster.capnp.rpc.h"
#include "service/view.h"
#include "service/view_client.h"
#include "test/unit/service/world.h"

enum { OUT_MAX = 8192 };

struct fixture {
    struct world w;
    struct ww_routing *table;
    struct ww_cap *view;
    struct ww_query *query;
    struct ww_view_ask ask;
    char out[OUT_MAX];
    unsigned done;
    bool stop_at_first;
};

static void say(struct fixture *f, const char *format, int len, const char *text)
{
    size_t used = strlen(f->out);
    snprintf(f->out + used, sizeof f->out - used, format, len, text);
}

static void on_row(struct ww_view_ask *ask, const struct ww_view_row *row)
{
    struct fixture *f = WW_CONTAINER_OF(ask, struct fixture, ask);
    assert_int_equal(row->peer.len, 34);
    say(f, "%.*s ", (int)row->host.len, (const char *)row->host.ptr);
    for (size_t i = 0; i < row->meta_count; i++)
        say(f, "[%.*s] ", (int)row->meta[i].len, (const char *)row->meta[i].ptr);
    if (f->stop_at_first)
        ww_view_ask_stop(ask);
}

static void on_reset(struct ww_view_ask *ask)
{
    say(WW_CONTAINER_OF(ask, struct fixture, ask), "%.*s", 6, "reset ");
}

static void on_left(struct ww_view_ask *ask, struct ww_bytes peer)
{
    char text[8];
    snprintf(text, sizeof text, "-%u ", peer.ptr[2]);
    say(WW_CONTAINER_OF(ask, struct fixture, ask), "%.*s", 7, text);
}

static void on_ready(struct ww_view_ask *ask)
{
    say(WW_CONTAINER_OF(ask, struct fixture, ask), "%.*s", 6, "ready ");
}

static void on_done(struct ww_view_ask *ask, ww_err err, const char *reason)
{
    struct fixture *f = WW_CONTAINER_OF(ask, struct fixture, ask);
    f->done++;
    if (err < 0)
        say(f, "!%.*s", 100, reason);
}

static const struct ww_view_ask_ops ops = {on_row, on_reset, on_left, on_ready, on_done};

static void begin(struct fixture *f)
{
    struct ww_routing_conf conf = {.seed = {1, 2}};
    memset(f, 0, sizeof *f);
    world_init(&f->w);
    assert_ok(ww_routing_new(&conf, &f->table));
    assert_ok(ww_view_new(f->w.env, f->w.vat, f->table, &f->view));
    f->query = ww_query_new();
    f->ask.ops = &ops;
}

static void finish(struct fixture *f)
{
    ww_view_ask_stop(&f->ask);
    ww_cap_unref(f->view);
    world_run(&f->w, WW_NS_PER_S);
    ww_query_free(f->query);
    ww_routing_free(f->table);
    world_fini(&f->w);
}

static void put(struct fixture *f, uint8_t n, uint64_t seq, const char *host, const char *meta)
{
    uint8_t peer[34] = {0x12, 0x20, n};
    struct ww_bytes field = ww_bytes_str(meta ? meta : "");
    struct ww_record_in in = {.peer = ww_bytes(peer, sizeof peer),
        .server = 0x100u + n,
        .seq = seq,
        .ttl_ms = 600000,
        .host = ww_bytes_str(host),
        .meta = &field,
        .meta_count = meta ? 1 : 0};
    assert_true(ww_routing_upsert(f->table, ww_env_now(f->w.env), &in) > 0);
}

static void leave(struct fixture *f, uint8_t n)
{
    uint8_t peer[34] = {0x12, 0x20, n};
    assert_ok(ww_routing_leave(f->table, ww_env_now(f->w.env), ww_bytes(peer, sizeof peer), 0x100u + n, 99));
}

static void where(struct fixture *f, const char *text)
{
    struct ww_diag diag;
    ww_query_free(f->query);
    f->query = ww_query_new();
    f->out[0] = '\0';
    f->done = 0;
    if (*text)
        assert_ok(ww_query_parse(f->query, ww_bytes_str(text), NULL, &diag));
}

static const char *ask(struct fixture *f, struct ww_cap *view)
{
    assert_ok(ww_view_ask_query(&f->ask, f->w.env, f->w.vat, view, f->query));
    world_run(&f->w, 2 * WW_NS_PER_S);
    assert_int_equal(f->done, f->stop_at_first ? 0 : 1);
    return f->out;
}

static void fill(struct fixture *f)
{
    put(f, 1, 1, "web1", "role=front");
    put(f, 2, 1, "web2", "role=front");
    put(f, 3, 1, "db1", "role=back");
    put(f, 4, 1, "db2", NULL);
}

static void queries_of(struct fixture *f, struct ww_cap *view)
{
    where(f, "host=web");
    assert_string_equal(ask(f, view), "web1 [role=front] web2 [role=front] ");
    where(f, "host==web");
    assert_string_equal(ask(f, view), "");
    where(f, "(host=web AND NOT host==web2) OR role==back");
    const char *both = ask(f, view);
    assert_int_equal(strlen(both), strlen("web1 [role=front] db1 [role=back] "));
    where(f, "");
    f->query->ordered = true;
    f->query->order = WW_INDEX_HOST;
    f->query->descending = true;
    f->query->limit = 3;
    assert_string_equal(ask(f, view), "web2 [role=front] web1 [role=front] db2 ");
    assert_int_equal(f->ask.count, 3);
    where(f, "role=");
    f->query->count_only = true;
    assert_string_equal(ask(f, view), "");
    assert_int_equal(f->ask.count, 3);
}

static void queries(void **state)
{
    struct fixture f;
    WW_UNUSED(state);
    begin(&f);
    fill(&f);
    queries_of(&f, f.view);
    where(&f, "");
    f.stop_at_first = true;
    (void)ask(&f, f.view);
    assert_true(strchr(f.out, ' ') != NULL);
    finish(&f);
}

/* A view as the Go implementation has it: iter alone, by prefix, without the record's own server id. */
struct old_view {
    struct ww_View_server server;
    struct fixture *f;
    struct ww_rpc_call *call;
    struct ww_cap *handler;
    unsigned iters;
};

static void old_iter(struct ww_View_server *self, struct ww_rpc_call *call)
{
    static const char *const hosts[] = {"web1", "web2", "db1", "db2"},
                             *const metas[] = {"role=front", "role=front", "role=back", NULL};
    struct old_view *v = WW_CONTAINER_OF(self, struct old_view, server);
    struct ww_cap *handler = ww_View_iter_params_handler(ww_View_iter_params(call));
    v->iters++;
    for (unsigned i = 0; i < 4; i++) {
        struct ww_rpc_request *request;
        struct ww_View_Handler_recv_params_b params = {0};
        uint8_t peer[34] = {0x12, 0x20, (uint8_t)(i + 1)};
        assert_ok(ww_View_Handler_recv_request(handler, &request, &params));
        struct ww_View_Record_b record = ww_View_Handler_recv_params_init_record(params);
        struct ww_Heartbeat_b beat = ww_View_Record_init_heartbeat(record);
        ww_View_Record_set_peer(record, ww_bytes(peer, sizeof peer));
        ww_View_Record_set_seq(record, 5);
        ww_Heartbeat_set_server(beat, 0x100 + i);
        ww_Heartbeat_set_host(beat, ww_text(hosts[i]));
        struct ww_lb meta = ww_Heartbeat_init_meta(beat, metas[i] ? 1 : 0);
        if (metas[i])
            ww_pb_set_text(ww_lb_ptr(meta, 0), ww_text(metas[i]));
        ww_rpc_request_send_take(request);
    }
    ww_rpc_call_release_params(call); /* the handler goes before the call returns */
    (void)ww_View_iter_answer(call);
    ww_rpc_call_return(call);
}

static const struct ww_View_ops old_ops = {.iter = old_iter};

static void older_nodes_are_asked_with_iter(void **state)
{
    struct fixture f;
    struct old_view old = {.f = &f};
    struct ww_cap *cap;
    WW_UNUSED(state);
    begin(&f);
    ww_View_server_init(&old.server, &old_ops);
    assert_ok(ww_View_server_cap(f.w.vat, &old.server, &cap));
    queries_of(&f, cap);
    assert_int_equal(old.iters, 5);
    where(&f, "");
    assert_ok(ww_view_ask_watch(&f.ask, f.w.env, f.w.vat, cap, f.query));
    world_run(&f.w, WW_NS_PER_S);
    assert_int_equal(f.done, 1);
    assert_non_null(strstr(f.out, "!this node does not know standing queries"));
    where(&f, "");
    f.stop_at_first = true;
    assert_true(strlen(ask(&f, cap)) > 0);
    ww_cap_unref(cap);
    finish(&f);
}

static void watches_push_differences(void **state)
{
    struct fixture f;
    WW_UNUSED(state);
    begin(&f);
    fill(&f);
    where(&f, "host=web");
    assert_ok(ww_view_ask_watch(&f.ask, f.w.env, f.w.vat, f.view, f.query));
    world_run(&f.w, WW_NS_PER_S);
    assert_string_equal(f.out, "reset web1 [role=front] web2 [role=front] ready ");
    f.out[0] = '\0';
    put(&f, 5, 1, "web5", NULL);         /* joins */
    put(&f, 6, 1, "db6", NULL);          /* is not meant */
    put(&f, 1, 2, "web1", "role=front"); /* renewed: nothing new */
    world_run(&f.w, WW_NS_PER_S);
    assert_string_equal(f.out, "web5 ");
    f.out[0] = '\0';
    put(&f, 2, 2, "web2", "role=other"); /* changes */
    world_run(&f.w, WW_NS_PER_S);
    assert_string_equal(f.out, "web2 [role=other] ");
    f.out[0] = '\0';
    put(&f, 5, 2, "db5", NULL); /* no longer matches */
    leave(&f, 1);
    leave(&f, 6);
    world_run(&f.w, WW_NS_PER_S);
    assert_int_equal(strlen(f.out), strlen("-5 -1 "));
    assert_non_null(strstr(f.out, "-5 "));
    assert_non_null(strstr(f.out, "-1 "));
    assert_int_equal(f.done, 0);
    ww_view_ask_stop(&f.ask);
    world_run(&f.w, WW_NS_PER_S);
    f.out[0] = '\0';
    put(&f, 7, 1, "web7", NULL);
    world_run(&f.w, WW_NS_PER_S);
    assert_string_equal(f.out, "");
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queries),
        cmocka_unit_test(older_nodes_are_asked_with_iter),
        cmocka_unit_test(watches_push_differences),
    };
    return cmocka_run_group_tests_name("service/view_client", tests, NULL, NULL);
}
