/* bench_rpc_floor [MS]: what the kernel takes for itself: the same numbers of bytes between two processes on
 * one CPU, over a unix socket and TCP, with nothing but poll, recv and send; and single calls once more with
 * recv and send alone, the recv blocking ("floor_recv"). Names as in bench_rpc. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cases.h"

enum { CALL_BYTES = 120, RETURN_BYTES = 80, HEAD_BYTES = 128, READ_BYTES = 128 << 10 };

struct floor {
    int fd;
    struct bench_clock clock;
};

static bool polled = true; /* wait in poll; else in recv */

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void send_all(int fd, const uint8_t *at, size_t n)
{
    while (n > 0) {
        ssize_t done = send(fd, at, n, MSG_NOSIGNAL);
        if (done <= 0)
            fail("send");
        at += done;
        n -= (size_t)done;
    }
}

static size_t recv_some(int fd, uint8_t *at, size_t n)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (polled && poll(&p, 1, -1) < 0)
        fail("poll");
    ssize_t done = recv(fd, at, n, polled ? MSG_DONTWAIT : 0);
    if (done <= 0)
        exit(done == 0 ? 0 : 1);
    return (size_t)done;
}

static void recv_all(int fd, size_t n)
{
    static uint8_t drop[READ_BYTES];
    while (n > 0)
        n -= recv_some(fd, drop, n < sizeof drop ? n : sizeof drop);
}

/* The other process: the first byte of what comes together says whether each request, of how many bytes, is
 * answered. */
static void serve(int fd)
{
    static uint8_t in[READ_BYTES], out[READ_BYTES];
    size_t calls = 0, streamed = 0, unit = 0;
    for (;;) {
        size_t n = recv_some(fd, in, sizeof in);
        if (calls + streamed == 0) {
            unit = in[0] ? CALL_BYTES : 0;
        }
        if (unit) {
            calls += n;
            size_t whole = calls / unit;
            calls %= unit;
            send_all(fd, out, whole * RETURN_BYTES);
        } else {
            streamed += n;
            /* one byte back for each 64 KiB, as Returns would come */
            size_t whole = streamed >> 16;
            streamed &= 0xffff;
            send_all(fd, out, whole);
        }
    }
}

static void run(void *ctx, const struct bench_case *k, uint64_t count)
{
    static uint8_t request[256 * CALL_BYTES], bulk[64 << 10];
    struct floor *f = ctx;
    memset(request, 1, sizeof request);
    if (k->kind == KIND_PING) {
        for (uint64_t done = 0; done < count; done += k->size) {
            send_all(f->fd, request, k->size * CALL_BYTES);
            recv_all(f->fd, k->size * RETURN_BYTES);
        }
        return;
    }
    uint64_t total = count * k->size, sent = 0, acked = 0;
    total = (total + 0xffff) & ~UINT64_C(0xffff);
    while (sent < total) {
        size_t n = k->size;
        n = total - sent < n ? (size_t)(total - sent) : n;
        send_all(f->fd, bulk, n);
        sent += n;
        for (; sent - acked * 65536 > 512 << 10; acked++)
            recv_all(f->fd, 1);
    }
    recv_all(f->fd, (size_t)(total / 65536 - acked));
}

static void tcp_pair(int fds[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&at, &len) != 0 ||
        connect(fds[0], (struct sockaddr *)&at, len) != 0)
        fail("tcp");
    fds[1] = accept(listener, NULL, NULL);
    close(listener);
    for (int i = 0; i < 2; i++)
        setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void measure(const char *transport, unsigned on, uint64_t for_ns)
{
    const char *field = polled ? "floor" : "floor_recv";
    for (size_t k = 0; k < sizeof bench_cases / sizeof bench_cases[0]; k++) {
        const struct bench_case *c = &bench_cases[k];
        int fds[2];
        if (!(c->on & on) || (c->kind != KIND_PING && c->kind != KIND_STREAM))
            continue;
        if (!polled && (c->kind != KIND_PING || c->size != 1))
            continue; /* it matters where each message is waited for */
        if (on == ON_TCP)
            tcp_pair(fds);
        else if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
            fail("socketpair");
        struct floor f = {.fd = fds[0], .clock = {.field = field, .transport = transport}};
        f.clock.peer = fork();
        if (f.clock.peer == 0) {
            close(fds[0]);
            serve(fds[1]);
        }
        close(fds[1]);
        bench_measure(&f.clock, c, for_ns, run, &f);
        close(fds[0]);
        waitpid(f.clock.peer, NULL, 0);
    }
}

int main(int argc, char **argv)
{
    uint64_t for_ns = (argc > 1 ? strtoull(argv[1], NULL, 10) : 300) * 1000000u;
    bench_pin();
    for (int i = 0; i < 2; i++, polled = false) {
        measure("unix", ON_UNIX, for_ns);
        measure("tcp", ON_TCP, for_ns);
    }
    return 0;
}
