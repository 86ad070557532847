/* The loop: time, timers, tasks, signals.
 *
 * One turn of libuv is: our timer, then `prepare` (tasks; arm the timer), poll (socket events), `check`
 * (tasks that those left). An empty task list and an empty heap cost two comparisons a turn and no system
 * call. */
#include <fcntl.h>
#include <signal.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "os/internal.h"

static uint64_t now_ns(struct ww_env *env)
{
    struct ww_os *os = ww_os_of(env);
    if (!os->now_valid) {
        os->now_ns = uv_hrtime();
        os->now_valid = true;
    }
    return os->now_ns;
}

static uint64_t wall_ns(struct ww_env *env)
{
    struct timespec ts;
    WW_UNUSED(env);
    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * WW_NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void random_fill(struct ww_env *env, void *out, size_t len)
{
    WW_UNUSED(env);
    for (uint8_t *at = out; len > 0;) {
        ssize_t n = getrandom(at, len, 0);
        WW_ASSERT(n > 0 || errno == EINTR); /* without randomness no key and no nonce is safe */
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        }
    }
}

static void timer_cancel(struct ww_env *env, struct ww_timer *timer)
{
    if (!timer->armed)
        return;
    ww_heap_remove(&ww_os_of(env)->timers, &timer->node);
    timer->armed = false;
}

static void timer_set(struct ww_env *env, struct ww_timer *timer, uint64_t deadline_ns)
{
    struct ww_os *os = ww_os_of(env);
    timer_cancel(env, timer);
    /* Not before now: a timer that is always set to the past may not get ahead of others that are due. */
    ww_heap_insert(&os->timers, &timer->node, deadline_ns > os->now_ns ? deadline_ns : os->now_ns);
    timer->armed = true;
}

/* Fires what was due when the turn began: a timer that is set anew to a time in the past waits for the next
 * turn. */
static void timers_fire(uv_timer_t *handle)
{
    struct ww_os *os = ww_os_enter(handle->loop);
    uint64_t now = now_ns(&os->env), last_order = os->timers.next_order;
    os->timer_ms = WW_NEVER;
    for (;;) {
        struct ww_heap_node *node = ww_heap_min(&os->timers);
        if (!node || node->key > now || node->order >= last_order)
            return;
        struct ww_timer *timer = WW_CONTAINER_OF(node, struct ww_timer, node);
        timer_cancel(&os->env, timer);
        os->now_valid = false;
        timer->fired(timer);
    }
}

static void timer_arm(struct ww_os *os)
{
    struct ww_heap_node *node = ww_heap_min(&os->timers);
    uint64_t at_ms = node && node->key < WW_NEVER - WW_NS_PER_MS
        ? (node->key + WW_NS_PER_MS - 1) / WW_NS_PER_MS
        : WW_NEVER;
    if (at_ms == os->timer_ms)
        return;
    os->timer_ms = at_ms;
    if (at_ms == WW_NEVER) {
        uv_timer_stop(&os->timer);
        return;
    }
    uint64_t now_ms = uv_now(&os->loop);
    uv_timer_start(&os->timer, timers_fire, at_ms > now_ms ? at_ms - now_ms : 0, 0);
}

static void idle_spin(uv_idle_t *idle)
{
    WW_UNUSED(idle);
}

static void post(struct ww_env *env, struct ww_task *task)
{
    struct ww_os *os = ww_os_of(env);
    if (!ww_list_empty(&task->link))
        return;
    if (ww_list_empty(&os->tasks))
        uv_idle_start(&os->idle, idle_spin);
    ww_list_push_back(&os->tasks, &task->link);
}

static void tasks_run(struct ww_os *os)
{
    if (ww_list_empty(&os->tasks))
        return;
    for (size_t i = 0; i < TURN_TASKS; i++) {
        struct ww_list *link = ww_list_pop_front(&os->tasks);
        if (!link)
            break;
        struct ww_task *task = WW_LIST_ENTRY(link, struct ww_task, link);
        task->run(task);
    }
    if (ww_list_empty(&os->tasks))
        uv_idle_stop(&os->idle);
}

static void before_poll(uv_prepare_t *prepare)
{
    struct ww_os *os = ww_os_enter(prepare->loop);
    tasks_run(os);
    timer_arm(os);
}

/* Arms the timer as well: libuv decides here, before the next `prepare`, whether anything is left to wait
 * for. */
static void after_poll(uv_check_t *check)
{
    struct ww_os *os = ww_os_enter(check->loop);
    tasks_run(os);
    timer_arm(os);
}

static void bound_over(uv_timer_t *timer)
{
    (void)ww_os_enter(timer->loop);
}

static void interrupted(uv_async_t *async)
{
    (void)ww_os_enter(async->loop);
    uv_stop(async->loop);
}

static const int signal_numbers[] = {SIGINT, SIGTERM, SIGHUP};

static void signal_caught(uv_signal_t *handle, int signum)
{
    struct ww_os *os = ww_os_enter(handle->loop);
    if (os->signals)
        os->signals->caught(os->signals, signum);
}

ww_err ww_os_signals_watch(struct ww_os *os, struct ww_os_signals *signals)
{
    os->signals = signals;
    for (size_t i = 0; i < WW_COUNT_OF(signal_numbers); i++) {
        int err = signals ? uv_signal_start(&os->signal[i], signal_caught, signal_numbers[i])
                          : uv_signal_stop(&os->signal[i]);
        if (err)
            return ww_errno_err(-err);
    }
    return WW_OK;
}

static const struct ww_env_ops os_ops = {
    .now_ns = now_ns,
    .wall_ns = wall_ns,
    .random = random_fill,
    .timer_set = timer_set,
    .timer_cancel = timer_cancel,
    .post = post,
    .tcp_listen = ww_os_tcp_listen,
    .listener_close = ww_os_listener_close,
    .tcp_connect = ww_os_tcp_connect,
    .tcp_write = ww_os_tcp_write,
    .tcp_shutdown = ww_os_tcp_shutdown,
    .tcp_read = ww_os_tcp_read,
    .tcp_close = ww_os_tcp_close,
    .tcp_addrs = ww_os_tcp_addrs,
    .udp_open = ww_os_udp_open,
    .udp_join = ww_os_udp_join,
    .udp_send = ww_os_udp_send,
    .udp_close = ww_os_udp_close,
    .interfaces = ww_os_interfaces,
    .hostname = ww_os_hostname,
    .resolve = ww_os_resolve,
    .resolve_cancel = ww_os_resolve_cancel,
    .file_read = ww_os_file_read,
    .file_write = ww_os_file_write,
    .dir_make = ww_os_dir_make,
};

ww_err ww_os_new(struct ww_os **ret_os)
{
    struct ww_os *os = ww_alloc(sizeof *os);
    if (!os)
        return WW_ENOMEM;
    memset(os, 0, offsetof(struct ww_os, read_buf));
    int err = uv_loop_init(&os->loop);
    if (err) {
        ww_free(os);
        return ww_errno_err(-err);
    }
    err = uv_async_init(&os->loop, &os->interrupt, interrupted);
    if (err) {
        uv_loop_close(&os->loop);
        ww_free(os);
        return ww_errno_err(-err);
    }
    os->env.ops = &os_ops;
    os->timer_ms = WW_NEVER;
    ww_list_init(&os->tasks);
    os->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    os->now_ns = uv_hrtime();
    uv_prepare_init(&os->loop, &os->prepare);
    uv_check_init(&os->loop, &os->check);
    uv_idle_init(&os->loop, &os->idle);
    uv_timer_init(&os->loop, &os->timer);
    uv_timer_init(&os->loop, &os->bound);
    for (size_t i = 0; i < WW_COUNT_OF(os->signal); i++) {
        uv_signal_init(&os->loop, &os->signal[i]);
        uv_unref((uv_handle_t *)&os->signal[i]);
    }
    uv_prepare_start(&os->prepare, before_poll);
    uv_check_start(&os->check, after_poll);
    uv_unref((uv_handle_t *)&os->prepare);
    uv_unref((uv_handle_t *)&os->check);
    uv_unref((uv_handle_t *)&os->interrupt);
    *ret_os = os;
    return WW_OK;
}

void ww_os_free(struct ww_os *os)
{
    if (!os)
        return;
    uv_close((uv_handle_t *)&os->prepare, NULL);
    uv_close((uv_handle_t *)&os->check, NULL);
    uv_close((uv_handle_t *)&os->idle, NULL);
    uv_close((uv_handle_t *)&os->timer, NULL);
    uv_close((uv_handle_t *)&os->bound, NULL);
    uv_close((uv_handle_t *)&os->interrupt, NULL);
    for (size_t i = 0; i < WW_COUNT_OF(os->signal); i++)
        uv_close((uv_handle_t *)&os->signal[i], NULL);
    uv_run(&os->loop, UV_RUN_DEFAULT);
    /* Left handles are the caller's fault: sockets that were not closed. */
    int err = uv_loop_close(&os->loop);
    WW_ASSERT(err == 0);
    if (os->reserve_fd >= 0)
        close(os->reserve_fd);
    ww_free(os);
}

struct ww_env *ww_os_env(struct ww_os *os)
{
    return &os->env;
}

void ww_os_run(struct ww_os *os)
{
    /* Timers set since the last run are not armed yet, and libuv would see nothing to wait for. */
    timer_arm(os);
    os->now_valid = false;
    uv_run(&os->loop, UV_RUN_DEFAULT);
    os->now_valid = false;
}

bool ww_os_step(struct ww_os *os, int timeout_ms)
{
    timer_arm(os);
    os->now_valid = false;
    if (timeout_ms < 0 && !uv_loop_alive(&os->loop))
        return false;
    /* There is a turn even when nothing is left to wait for, so that an interruption is seen. */
    uv_ref((uv_handle_t *)&os->interrupt);
    if (timeout_ms > 0) {
        uv_update_time(&os->loop);
        uv_timer_start(&os->bound, bound_over, (uint64_t)timeout_ms, 0);
    }
    uv_run(&os->loop, timeout_ms == 0 ? UV_RUN_NOWAIT : UV_RUN_ONCE);
    uv_timer_stop(&os->bound);
    uv_unref((uv_handle_t *)&os->interrupt);
    os->now_valid = false;
    timer_arm(os);
    return uv_loop_alive(&os->loop) != 0;
}

int ww_os_fd(const struct ww_os *os)
{
    return uv_backend_fd(&os->loop);
}

/* libuv tells the kernel of a new socket only when it polls; until then its timeout is 0. */
int ww_os_timeout_ms(struct ww_os *os)
{
    timer_arm(os);
    uv_update_time(&os->loop);
    uv_ref((uv_handle_t *)&os->interrupt);
    int timeout_ms = uv_backend_timeout(&os->loop);
    uv_unref((uv_handle_t *)&os->interrupt);
    return timeout_ms;
}

void ww_os_stop(struct ww_os *os)
{
    uv_stop(&os->loop);
}

void ww_os_interrupt(struct ww_os *os)
{
    uv_async_send(&os->interrupt);
}
