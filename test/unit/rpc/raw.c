#include "raw.h"

void raw_init(struct raw *r)
{
    memset(r, 0, sizeof *r);
    static const struct ww_rpc_conn_ops none = {0};
    r->s.host.ops = &none;
    assert_ok(ww_rpc_vat_new(NULL, &r->s.vat));
    ww_budget_init(&r->s.budget, NULL);
    struct ww_cap *boot = object_new(r->s.vat, &r->live, &r->object);
    assert_ok(ww_rpc_conn_new(r->s.vat,
        &(struct ww_rpc_conn_config){.host = &r->s.host, .bootstrap = boot, .budget = &r->s.budget},
        &r->s.conn));
    ww_cap_unref(boot);
    ww_frame_in_init(&r->in, false, NULL);
    ww_msg_init(&r->out, NULL);
    for (size_t i = 0; i < WW_COUNT_OF(r->got); i++)
        ww_msg_init(&r->got[i], NULL);
}

void raw_fini(struct raw *r)
{
    side_check(&r->s);
    ww_rpc_conn_free(r->s.conn);
    while (ww_rpc_vat_run(r->s.vat, 1, 0))
        ;
    for (int i = 0; i < WW_RES_COUNT; i++)
        assert_int_equal(r->s.budget.used[i], 0);
    assert_int_equal(r->live, 0);
    assert_int_equal(r->s.vat->refs, 2);
    ww_rpc_vat_free(r->s.vat);
    ww_frame_in_fini(&r->in);
    ww_msg_fini(&r->out);
    for (size_t i = 0; i < WW_COUNT_OF(r->got); i++)
        ww_msg_fini(&r->got[i]);
}

struct ww_sb raw_begin(struct raw *r, uint16_t tag, uint16_t data_words, uint16_t ptrs)
{
    ww_msg_reset(&r->out);
    struct ww_sb msg = ww_pb_init_struct(ww_msg_root_builder(&r->out), 1, 1);
    ww_sb_set_u16(msg, 0, tag);
    return ww_pb_init_struct(ww_sb_ptr(msg, 0), data_words, ptrs);
}

void raw_send(struct raw *r)
{
    static uint8_t frame[1 << 16];
    assert_ok(ww_msg_err(&r->out));
    size_t n = ww_msg_frame_bytes(&r->out);
    assert_true(n <= sizeof frame);
    ww_msg_frame_write(&r->out, frame);
    ww_err err = ww_rpc_conn_feed(r->s.conn, ww_bytes(frame, n));
    WW_UNUSED(err);
    side_check(&r->s);
    while (ww_rpc_vat_run(r->s.vat, 1, 0))
        ;
    side_check(&r->s);
}

static void collect(struct raw *r)
{
    while (ww_rpc_vat_run(r->s.vat, 1, 0))
        ;
    struct ww_bytes view;
    while (ww_rpc_conn_pull(r->s.conn, &view, 1)) {
        assert_true(r->have + view.len <= sizeof r->bytes);
        memcpy(r->bytes + r->have, view.ptr, view.len);
        r->have += view.len;
        ww_rpc_conn_pulled(r->s.conn, view.len);
    }
}

struct ww_sr raw_next(struct raw *r, uint16_t tag)
{
    collect(r);
    uint64_t n;
    assert_ok(ww_frame_check(ww_bytes(r->bytes, r->have), NULL, &n));
    struct ww_msg *m = &r->got[r->at++ % WW_COUNT_OF(r->got)];
    assert_ok(ww_msg_open_copy(m, ww_bytes(r->bytes, n), NULL));
    memmove(r->bytes, r->bytes + n, r->have - n);
    r->have -= n;
    struct ww_sr root = ww_pr_struct(ww_msg_root(m));
    assert_int_equal(ww_sr_u16(root, 0), tag);
    return ww_pr_struct(ww_sr_ptr(root, 0));
}

void raw_silent(struct raw *r)
{
    collect(r);
    assert_int_equal(r->have, 0);
}

void raw_aborted(struct raw *r, ww_err err)
{
    raw_next(r, WW_RPC_ABORT);
    raw_silent(r);
    assert_false(ww_rpc_conn_is_open(r->s.conn));
    assert_int_equal(r->s.conn->close_err, err);
}

static void put_promised(struct ww_pb at, uint32_t qid, int path)
{
    struct ww_sb promised = ww_pb_init_struct(at, 1, 1);
    ww_sb_set_u32(promised, 0, qid);
    if (path < 0)
        return;
    struct ww_sb op = ww_lb_struct(ww_pb_init_structs(ww_sb_ptr(promised, 0), 1, 0, 1), 0);
    ww_sb_set_u16(op, 0, 1);
    ww_sb_set_u16(op, 1, (uint16_t)path);
}

static void put_desc(struct ww_sb desc, struct desc d)
{
    ww_sb_set_u16(desc, 0, (uint16_t)d.kind);
    if (d.kind == WW_RPC_DESC_RECEIVER_ANSWER)
        put_promised(ww_sb_ptr(desc, 0), d.id, 0);
    else if (d.kind == WW_RPC_DESC_THIRD_PARTY)
        ww_sb_set_u32(ww_pb_init_struct(ww_sb_ptr(desc, 0), 1, 1), 0, d.id);
    else
        ww_sb_set_u32(desc, 1, d.id);
}

static void put_target(struct ww_pb at, struct target to)
{
    struct ww_sb target = ww_pb_init_struct(at, 1, 1);
    if (to.path == -1) {
        ww_sb_set_u32(target, 0, to.id);
        return;
    }
    ww_sb_set_u16(target, 2, 1);
    put_promised(ww_sb_ptr(target, 0), to.id, to.path);
}

/* Capability pointers are written as words: the peer's messages have no table of nodes. */
static void put_payload(struct ww_pb at, uint64_t value, struct desc cap)
{
    struct ww_sb payload = ww_pb_init_struct(at, 0, 2);
    struct ww_sb content = ww_pb_init_struct(ww_sb_ptr(payload, 0), 1, 1);
    ww_sb_set_u64(content, 0, value);
    if (cap.kind < 0)
        return;
    ww_le64_store(ww_sb_ptr(content, 0).at, 3);
    put_desc(ww_lb_struct(ww_pb_init_structs(ww_sb_ptr(payload, 1), 1, 1, 1), 0), cap);
}

void raw_bootstrap(struct raw *r, uint32_t qid)
{
    ww_sb_set_u32(raw_begin(r, WW_RPC_BOOTSTRAP, 1, 1), 0, qid);
    raw_send(r);
}

void raw_call(struct raw *r, uint32_t qid, struct target to, uint16_t method, uint64_t value, struct desc cap)
{
    struct ww_sb call = raw_begin(r, WW_RPC_CALL, 3, 3);
    ww_sb_set_u32(call, 0, qid);
    ww_sb_set_u16(call, 2, method);
    ww_sb_set_u64(call, 1, TEST_IFACE);
    put_target(ww_sb_ptr(call, 0), to);
    put_payload(ww_sb_ptr(call, 1), value, cap);
    raw_send(r);
}

static void send_return(struct raw *r, uint32_t aid, uint64_t value, struct desc cap, bool keep_params)
{
    struct ww_sb ret = raw_begin(r, WW_RPC_RETURN, 2, 1);
    ww_sb_set_u32(ret, 0, aid);
    ww_sb_set_bool(ret, 32, keep_params);
    put_payload(ww_sb_ptr(ret, 0), value, cap);
    raw_send(r);
}

void raw_return(struct raw *r, uint32_t aid, uint64_t value, struct desc cap)
{
    send_return(r, aid, value, cap, true);
}

void raw_return_releasing(struct raw *r, uint32_t aid, uint64_t value, struct desc cap)
{
    send_return(r, aid, value, cap, false);
}

void raw_return_tag(struct raw *r, uint32_t aid, uint16_t tag, uint32_t value)
{
    struct ww_sb ret = raw_begin(r, WW_RPC_RETURN, 2, 1);
    ww_sb_set_u32(ret, 0, aid);
    ww_sb_set_bool(ret, 32, true);
    ww_sb_set_u16(ret, 3, tag);
    if (tag == WW_RPC_RETURN_TAKE)
        ww_sb_set_u32(ret, 2, value);
    if (tag == WW_RPC_RETURN_EXCEPTION)
        ww_sb_set_u16(ww_pb_init_struct(ww_sb_ptr(ret, 0), 1, 2), 2, (uint16_t)value);
    raw_send(r);
}

void raw_finish(struct raw *r, uint32_t qid, bool release_caps)
{
    struct ww_sb finish = raw_begin(r, WW_RPC_FINISH, 1, 0);
    ww_sb_set_u32(finish, 0, qid);
    ww_sb_set_bool(finish, 32, !release_caps);
    ww_sb_set_bool(finish, 33, true);
    raw_send(r);
}

void raw_release(struct raw *r, uint32_t id, uint32_t count)
{
    struct ww_sb release = raw_begin(r, WW_RPC_RELEASE, 1, 0);
    ww_sb_set_u32(release, 0, id);
    ww_sb_set_u32(release, 1, count);
    raw_send(r);
}

void raw_resolve(struct raw *r, uint32_t promise, struct desc cap)
{
    struct ww_sb resolve = raw_begin(r, WW_RPC_RESOLVE, 1, 1);
    ww_sb_set_u32(resolve, 0, promise);
    if (cap.kind < 0) {
        ww_sb_set_u16(resolve, 2, 1);
        ww_pb_set_text(ww_sb_ptr(ww_pb_init_struct(ww_sb_ptr(resolve, 0), 1, 2), 0), ww_text("rejected"));
    } else {
        put_desc(ww_pb_init_struct(ww_sb_ptr(resolve, 0), 1, 1), cap);
    }
    raw_send(r);
}

void raw_disembargo(struct raw *r, struct target to, uint16_t context, uint32_t id)
{
    struct ww_sb sb = raw_begin(r, WW_RPC_DISEMBARGO, 1, 2);
    ww_sb_set_u32(sb, 0, id);
    ww_sb_set_u16(sb, 2, context);
    put_target(ww_sb_ptr(sb, 0), to);
    raw_send(r);
}

struct desc desc_at(struct ww_sr payload, uint32_t index)
{
    struct ww_lr list = ww_pr_list(ww_sr_ptr(payload, 1), WW_ELEM_STRUCT);
    if (index >= list.count)
        return NO_DESC;
    struct ww_sr d = ww_lr_struct(list, index);
    if (ww_sr_u16(d, 0) == WW_RPC_DESC_RECEIVER_ANSWER)
        return (struct desc){WW_RPC_DESC_RECEIVER_ANSWER, ww_sr_u32(ww_pr_struct(ww_sr_ptr(d, 0)), 0)};
    return (struct desc){ww_sr_u16(d, 0), ww_sr_u32(d, 1)};
}

static void check_target(struct ww_sr target, struct target to)
{
    if (to.path == -1) {
        assert_int_equal(ww_sr_u16(target, 2), 0);
        assert_int_equal(ww_sr_u32(target, 0), to.id);
        return;
    }
    assert_int_equal(ww_sr_u16(target, 2), 1);
    struct ww_sr promised = ww_pr_struct(ww_sr_ptr(target, 0));
    assert_int_equal(ww_sr_u32(promised, 0), to.id);
    struct ww_lr ops = ww_pr_list(ww_sr_ptr(promised, 0), WW_ELEM_STRUCT);
    assert_int_equal(ops.count, to.path >= 0);
    if (to.path >= 0)
        assert_int_equal(ww_sr_u16(ww_lr_struct(ops, 0), 1), to.path);
}

void expect_call(struct raw *r, struct target to, uint16_t method, uint64_t value, uint32_t *ret_qid)
{
    struct ww_sr call = raw_next(r, WW_RPC_CALL);
    check_target(ww_pr_struct(ww_sr_ptr(call, 0)), to);
    assert_int_equal(ww_sr_u16(call, 2), method);
    assert_int_equal(ww_sr_u64(call, 1), TEST_IFACE);
    struct ww_sr content = ww_pr_struct(ww_sr_ptr(ww_pr_struct(ww_sr_ptr(call, 1)), 0));
    assert_int_equal(ww_sr_u64(content, 0), value);
    *ret_qid = ww_sr_u32(call, 0);
}

struct desc expect_results(struct raw *r, uint32_t aid, uint64_t value)
{
    struct ww_sr ret = raw_next(r, WW_RPC_RETURN);
    assert_int_equal(ww_sr_u32(ret, 0), aid);
    assert_int_equal(ww_sr_u16(ret, 3), WW_RPC_RETURN_RESULTS);
    assert_true(ww_sr_bool(ret, 32)); /* releaseParamCaps = false */
    struct ww_sr payload = ww_pr_struct(ww_sr_ptr(ret, 0));
    if (ww_pr_kind(ww_sr_ptr(payload, 0)) == WW_PTR_STRUCT)
        assert_int_equal(ww_sr_u64(ww_pr_struct(ww_sr_ptr(payload, 0)), 0), value);
    struct desc d = desc_at(payload, 0);
    assert_int_equal(ww_sr_bool(ret, 33), d.kind < 0); /* noFinishNeeded exactly without capabilities */
    return d;
}

struct ww_cap *raw_give(struct raw *r, struct desc d)
{
    raw_call(r, 900, IMPORTED(0), M_KEEP, 1, d);
    expect_results(r, 900, 1);
    struct ww_cap *cap = r->object->kept;
    r->object->kept = NULL;
    return cap;
}

void expect_exception(struct raw *r, uint32_t aid, uint16_t type)
{
    struct ww_sr ret = raw_next(r, WW_RPC_RETURN);
    assert_int_equal(ww_sr_u32(ret, 0), aid);
    assert_int_equal(ww_sr_u16(ret, 3), WW_RPC_RETURN_EXCEPTION);
    assert_false(ww_sr_bool(ret, 33));
    assert_int_equal(ww_sr_u16(ww_pr_struct(ww_sr_ptr(ret, 0)), 2), type);
}

void expect_finish(struct raw *r, uint32_t qid, bool release_caps)
{
    struct ww_sr finish = raw_next(r, WW_RPC_FINISH);
    assert_int_equal(ww_sr_u32(finish, 0), qid);
    assert_int_equal(!ww_sr_bool(finish, 32), release_caps);
}

void expect_release(struct raw *r, uint32_t id, uint32_t count)
{
    struct ww_sr release = raw_next(r, WW_RPC_RELEASE);
    assert_int_equal(ww_sr_u32(release, 0), id);
    assert_int_equal(ww_sr_u32(release, 1), count);
}

void expect_disembargo(struct raw *r, struct target to, uint16_t context, uint32_t *ret_id)
{
    struct ww_sr sb = raw_next(r, WW_RPC_DISEMBARGO);
    assert_int_equal(ww_sr_u16(sb, 2), context);
    check_target(ww_pr_struct(ww_sr_ptr(sb, 0)), to);
    *ret_id = ww_sr_u32(sb, 0);
}

struct desc expect_resolve(struct raw *r, uint32_t promise)
{
    struct ww_sr resolve = raw_next(r, WW_RPC_RESOLVE);
    assert_int_equal(ww_sr_u32(resolve, 0), promise);
    if (ww_sr_u16(resolve, 2) == 1)
        return NO_DESC;
    struct ww_sr d = ww_pr_struct(ww_sr_ptr(resolve, 0));
    return (struct desc){ww_sr_u16(d, 0), ww_sr_u32(d, 1)};
}
