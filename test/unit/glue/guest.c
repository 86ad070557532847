/* A guest for test_wasi.c, as a program (its main has the loop) and as a reactor (the host has it): numbers
 * are echoed, capabilities called, data counted, and the host's own object asked. */
#include "base/base.h"
#include "ww/rpc_wasi.h"

#define IFACE UINT64_C(0xfeedfacecafe0001)
enum { M_ECHO = 0, M_CALL = 4, M_COUNT = 7, M_NEW = 8, M_ASK_HOST = 20 };

static struct ww_rpc_wasi *guest;

static void answer(struct ww_rpc_call *call, uint64_t value, struct ww_cap *cap)
{
    struct ww_sb results = ww_pb_init_struct(ww_rpc_call_results(call, 3), 1, 1);
    ww_sb_set_u64(results, 0, value);
    ww_pb_set_cap(ww_sb_ptr(results, 0), cap);
    ww_rpc_call_return(call);
}

static void forward(struct ww_rpc_call *call, struct ww_cap *to, uint64_t value)
{
    struct ww_rpc_request *r;
    if (ww_rpc_request_new(to, IFACE, M_ECHO, 3, &r) < 0) {
        ww_rpc_call_fail(call, WW_EFAILED, "nobody to call");
        return;
    }
    ww_sb_set_u64(ww_pb_init_struct(ww_rpc_request_params(r), 1, 1), 0, value);
    ww_rpc_call_forward_take(call, r);
}

static void dispatch(struct ww_rpc_server *self, struct ww_rpc_call *call);
static const struct ww_rpc_server_ops ops = {.dispatch = dispatch};
static struct ww_rpc_server object = {&ops}, second = {&ops};

static void dispatch(struct ww_rpc_server *self, struct ww_rpc_call *call)
{
    struct ww_sr params = ww_pr_struct(ww_rpc_call_params(call));
    struct ww_cap *cap;
    WW_UNUSED(self);
    switch (ww_rpc_call_method(call)) {
    case M_ECHO:
        answer(call, ww_sr_u64(params, 0), NULL);
        return;
    case M_CALL:
        forward(call, ww_pr_cap(ww_sr_ptr(params, 0)), ww_sr_u64(params, 0));
        return;
    case M_COUNT:
        answer(call, ww_pr_data(ww_sr_ptr(params, 1)).len, NULL);
        return;
    case M_NEW:
        if (ww_cap_new_server(ww_rpc_wasi_vat(guest), &second, &cap) < 0)
            break;
        answer(call, 0, cap);
        ww_cap_unref(cap);
        return;
    case M_ASK_HOST:
        if (ww_rpc_conn_bootstrap(ww_rpc_wasi_conn(guest), &cap) < 0)
            break;
        forward(call, cap, ww_sr_u64(params, 0));
        ww_cap_unref(cap);
        return;
    default:
        ww_rpc_call_fail(call, WW_EUNIMPLEMENTED, "no such method");
        return;
    }
    ww_rpc_call_fail(call, WW_EOVERLOADED, "out of memory");
}

static ww_err start(void)
{
    struct ww_rpc_conn_config config = {0};
    WW_TRY(ww_rpc_wasi_new(NULL, &guest));
    WW_TRY(ww_cap_new_server(ww_rpc_wasi_vat(guest), &object, &config.bootstrap));
    WW_TRY(ww_rpc_wasi_open(guest, &config));
    ww_cap_unref(config.bootstrap);
    return 0;
}

#ifdef REACTOR
int32_t __attribute__((export_name("start"))) start_exported(void);

int32_t start_exported(void)
{
    ww_err err = start();
    if (err == 0)
        ww_rpc_wasi_export(guest);
    return err;
}
#else
int main(int argc, char **argv)
{
    struct ww_rpc_request *r;
    struct ww_cap *cap;
    WW_UNUSED(argv);
    if (start() < 0)
        return 1;
    if (argc > 1) { /* the guest asks first, and waits */
        if (ww_rpc_conn_bootstrap(ww_rpc_wasi_conn(guest), &cap) < 0)
            return 2;
        for (uint64_t i = 0; i < 3; i++) {
            if (ww_rpc_request_new(cap, IFACE, M_ECHO, 3, &r) < 0)
                return 3;
            ww_sb_set_u64(ww_pb_init_struct(ww_rpc_request_params(r), 1, 1), 0, i);
            if (ww_rpc_wasi_call(guest, r, 10000) < 0 ||
                ww_sr_u64(ww_pr_struct(ww_rpc_request_results(r)), 0) != i)
                return 4;
            ww_rpc_request_free(r);
        }
        if (ww_rpc_request_new(cap, IFACE, 5, 3, &r) < 0 || ww_rpc_wasi_call(guest, r, 30) != WW_ETIMEOUT)
            return 5; /* the host does not answer this one */
        ww_rpc_request_free(r);
        ww_cap_unref(cap);
    }
    ww_err err = ww_rpc_wasi_run(guest);
    ww_rpc_wasi_free(guest);
    return err < 0 ? 6 : 0;
}
#endif
