/* glue/wasi.c — RPC in a WASI guest. Only compiled for wasm32. */
#include "ww/rpc_wasi.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>
#include <wasi/api.h>

#include "base/base.h"

enum {
    EVENTS_PER_TURN = 1024,
    READ_BYTES = 16 * 1024,
    FD_IN = 0,
    FD_OUT = 1,
};
#define EXPORT(name) __attribute__((export_name(#name))) name

struct ww_rpc_wasi {
    struct ww_rpc_vat *vat;
    struct ww_rpc_conn *conn;
    struct ww_rpc_conn_host host;
    struct ww_rpc_conn_host *user;
    bool over;
    bool woken; /* the vat has something to deliver */
    struct ww_rpc_vat_host vat_host;
    ww_err end;
    uint8_t *room; /* of the host's bytes */
    size_t room_bytes;
    uint8_t buffer[READ_BYTES];
};

static struct ww_rpc_wasi *the_guest; /* of the exports */

static void vat_wake(struct ww_rpc_vat_host *host)
{
    WW_CONTAINER_OF(host, struct ww_rpc_wasi, vat_host)->woken = true;
}

static void on_closed(struct ww_rpc_conn_host *host, ww_err err, const char *reason)
{
    struct ww_rpc_wasi *guest = WW_CONTAINER_OF(host, struct ww_rpc_wasi, host);
    guest->over = true;
    guest->end = err;
    if (guest->user && guest->user->ops->closed)
        guest->user->ops->closed(guest->user, err, reason);
}

static const struct ww_rpc_conn_ops conn_ops = {.closed = on_closed};

ww_err ww_rpc_wasi_new(const struct ww_rpc_limits *limits, struct ww_rpc_wasi **ret_guest)
{
    struct ww_rpc_vat_config config = {0};
    struct ww_rpc_wasi *guest = WW_NEW(struct ww_rpc_wasi);
    if (!guest)
        return WW_ENOMEM;
    if (limits)
        config.limits = *limits;
    guest->vat_host.wake = vat_wake;
    config.host = &guest->vat_host;
    /* A host that gives no randomness gets guessable tables: it has the guest in its hands anyway. */
    ww_ignore(__wasi_random_get((uint8_t *)config.hash_seed, sizeof config.hash_seed));
    ww_err err = ww_rpc_vat_new(&config, &guest->vat);
    if (err < 0) {
        ww_free(guest);
        return err;
    }
    *ret_guest = guest;
    return 0;
}

ww_err ww_rpc_wasi_open(struct ww_rpc_wasi *guest, const struct ww_rpc_conn_config *config)
{
    struct ww_rpc_conn_config own = {0};
    if (guest->conn)
        return WW_ESTATE;
    if (config)
        own = *config;
    guest->host.ops = &conn_ops;
    guest->user = own.host;
    own.host = &guest->host;
    if (own.stream_window_bytes == 0)
        own.stream_window_bytes = WW_RPC_WINDOW_PIPE;
    return ww_rpc_conn_new(guest->vat, &own, &guest->conn);
}

struct ww_rpc_vat *ww_rpc_wasi_vat(const struct ww_rpc_wasi *guest)
{
    return guest->vat;
}

struct ww_rpc_conn *ww_rpc_wasi_conn(const struct ww_rpc_wasi *guest)
{
    return guest->conn;
}

static uint64_t now_ns(void)
{
    __wasi_timestamp_t now = 0;
    ww_ignore(__wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1000, &now));
    return now;
}

static void deliver(struct ww_rpc_wasi *guest)
{
    guest->woken = false;
    if (ww_rpc_vat_run(guest->vat, now_ns(), EVENTS_PER_TURN))
        guest->woken = true;
}

/* ---- the guest's loop */

/* True when all is written. */
static bool flush(struct ww_rpc_wasi *guest)
{
    struct ww_bytes view;
    while (ww_rpc_conn_pull(guest->conn, &view, 1) > 0) {
        ssize_t n = write(FD_OUT, view.ptr, view.len);
        if (n > 0) {
            ww_rpc_conn_pulled(guest->conn, (size_t)n);
        } else if (errno == EAGAIN) {
            return false;
        } else if (errno != EINTR) {
            ww_rpc_conn_lost(guest->conn, ww_errno_err(errno));
            ww_rpc_conn_pulled(guest->conn, ww_rpc_conn_pending(guest->conn));
        }
    }
    return true;
}

void ww_rpc_wasi_free(struct ww_rpc_wasi *guest)
{
    if (!guest)
        return;
    if (guest->conn && the_guest != guest)
        flush(guest);
    if (the_guest == guest)
        the_guest = NULL;
    ww_rpc_conn_free(guest->conn);
    while (ww_rpc_vat_run(guest->vat, now_ns(), 0)) {
    }
    ww_rpc_vat_free(guest->vat);
    ww_free(guest->room);
    ww_free(guest);
}

static __wasi_subscription_t readiness(uint8_t kind, int fd)
{
    __wasi_subscription_t sub = {.userdata = kind};
    sub.u.tag = kind;
    sub.u.u.fd_read.file_descriptor = (__wasi_fd_t)fd;
    return sub;
}

/* Waits for one of what it is told to wait for; true when there is something to read. A host that cannot poll
 * a descriptor says so: then reading is the wait. */
static bool wait_readable(bool read_too, bool write_too, int timeout_ms)
{
    __wasi_subscription_t subs[3];
    __wasi_event_t events[3];
    __wasi_size_t count = 0, ready = 0;
    if (read_too)
        subs[count++] = readiness(__WASI_EVENTTYPE_FD_READ, FD_IN);
    if (write_too)
        subs[count++] = readiness(__WASI_EVENTTYPE_FD_WRITE, FD_OUT);
    if (timeout_ms >= 0) {
        __wasi_subscription_t clock = {.userdata = __WASI_EVENTTYPE_CLOCK};
        clock.u.tag = __WASI_EVENTTYPE_CLOCK;
        clock.u.u.clock.id = __WASI_CLOCKID_MONOTONIC;
        clock.u.u.clock.timeout = (uint64_t)timeout_ms * WW_NS_PER_MS;
        subs[count++] = clock;
    }
    if (count == 0 || __wasi_poll_oneoff(subs, events, count, &ready) != 0)
        return read_too;
    for (__wasi_size_t i = 0; i < ready; i++) {
        if (events[i].userdata == __WASI_EVENTTYPE_FD_READ)
            return true; /* also with an error: reading tells which */
    }
    return false;
}

static void receive(struct ww_rpc_wasi *guest)
{
    ssize_t n = read(FD_IN, guest->buffer, sizeof guest->buffer);
    if (n > 0)
        ww_ignore(ww_rpc_conn_feed(guest->conn, ww_bytes(guest->buffer, (size_t)n))); /* `closed` tells */
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        ww_rpc_conn_lost(guest->conn, n == 0 ? WW_ECLOSED : ww_errno_err(errno));
}

ww_err ww_rpc_wasi_turn(struct ww_rpc_wasi *guest, int timeout_ms)
{
    bool worked = guest->woken;
    if (worked)
        deliver(guest);
    bool written = flush(guest);
    if (guest->over && written)
        return WW_ECLOSED;
    if (worked && !guest->woken)
        return 0; /* the caller may have what it waits for */
    bool reads = ww_rpc_conn_want_read(guest->conn);
    bool readable = wait_readable(reads, !written, guest->woken ? 0 : timeout_ms);
    if (readable)
        receive(guest);
    else if (written && !guest->woken)
        return WW_ETIMEOUT;
    if (guest->woken)
        deliver(guest);
    flush(guest);
    return 0;
}

ww_err ww_rpc_wasi_run(struct ww_rpc_wasi *guest)
{
    ww_err err;
    do
        err = ww_rpc_wasi_turn(guest, -1);
    while (err != WW_ECLOSED);
    return guest->end == WW_ECLOSED ? 0 : guest->end;
}

ww_err ww_rpc_wasi_call(struct ww_rpc_wasi *guest, struct ww_rpc_request *request, int timeout_ms)
{
    if (!request)
        return WW_EINVAL;
    uint64_t start = now_ns(), limit = timeout_ms < 0 ? WW_NEVER : (uint64_t)timeout_ms * WW_NS_PER_MS;
    ww_rpc_request_send(request, NULL);
    for (;;) {
        ww_err status = ww_rpc_request_status(request);
        uint64_t spent = now_ns() - start;
        if (status != WW_EAGAIN)
            return status;
        if (spent >= limit)
            return WW_ETIMEOUT;
        int left_ms = timeout_ms < 0 ? -1 : (int)((limit - spent + WW_NS_PER_MS - 1) / WW_NS_PER_MS);
        ww_ignore(ww_rpc_wasi_turn(guest, left_ms)); /* what it says shows above, or in the status */
    }
}

/* ---- the host's loop */

void ww_rpc_wasi_export(struct ww_rpc_wasi *guest)
{
    the_guest = guest;
}

uint8_t *EXPORT(ww_rpc_wasi_room)(uint32_t bytes);
int32_t EXPORT(ww_rpc_wasi_push)(uint32_t bytes);
const uint8_t *EXPORT(ww_rpc_wasi_pull)(void);
uint32_t EXPORT(ww_rpc_wasi_pull_size)(void);
void EXPORT(ww_rpc_wasi_pulled)(uint32_t bytes);
void EXPORT(ww_rpc_wasi_end)(void);

uint8_t *ww_rpc_wasi_room(uint32_t bytes)
{
    if (!the_guest || bytes == 0)
        return NULL;
    if (bytes <= the_guest->room_bytes)
        return the_guest->room;
    uint8_t *room = ww_realloc(the_guest->room, bytes);
    if (room) {
        the_guest->room = room;
        the_guest->room_bytes = bytes;
    }
    return room;
}

static void deliver_all(void)
{
    do
        deliver(the_guest);
    while (the_guest->woken);
}

int32_t ww_rpc_wasi_push(uint32_t bytes)
{
    if (!the_guest || bytes > the_guest->room_bytes)
        return WW_EINVAL;
    ww_err err = 0;
    if (bytes > 0)
        err = ww_rpc_conn_feed(the_guest->conn, ww_bytes(the_guest->room, bytes));
    deliver_all();
    size_t pending = ww_rpc_conn_pending(the_guest->conn); /* also after an error: the Abort */
    return err < 0 && pending == 0 ? err : (int32_t)(pending < INT32_MAX ? pending : INT32_MAX);
}

static struct ww_bytes front(void)
{
    struct ww_bytes view = {0};
    if (!the_guest || ww_rpc_conn_pull(the_guest->conn, &view, 1) == 0)
        view.len = 0;
    return view;
}

const uint8_t *ww_rpc_wasi_pull(void)
{
    return front().ptr;
}

uint32_t ww_rpc_wasi_pull_size(void)
{
    return (uint32_t)front().len;
}

void ww_rpc_wasi_pulled(uint32_t bytes)
{
    size_t there = front().len;
    if (there > 0)
        ww_rpc_conn_pulled(the_guest->conn, bytes < there ? bytes : there);
}

void ww_rpc_wasi_end(void)
{
    if (!the_guest)
        return;
    ww_rpc_conn_lost(the_guest->conn, WW_ECLOSED);
    deliver_all();
}
