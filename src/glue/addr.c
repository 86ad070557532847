#include "glue/addr.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "ww/rpc.h"

ww_err ww_glue_addr_parse(const char *text, struct ww_glue_addr *ret_addr, struct ww_diag *reterr_diag)
{
    struct ww_glue_addr a = {.is_unix = strncmp(text, "unix:", 5) == 0};
    if (a.is_unix) {
        const char *path = text + 5;
        size_t len = strlen(path);
        a.un.sun_family = AF_UNIX;
        if (len == 0 || len >= sizeof a.un.sun_path)
            return ww_diag_set(reterr_diag, WW_EINVAL, "%s: the path must have 1 to %zu bytes", text,
                sizeof a.un.sun_path - 1);
        memcpy(a.un.sun_path, path, len);
        *ret_addr = a;
        return 0;
    }
    const char *colon = strrchr(text, ':'), *host = text;
    size_t len = colon ? (size_t)(colon - text) : 0;
    if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
        host++;
        len -= 2;
    } else if (colon && memchr(text, ':', len)) {
        return ww_diag_set(reterr_diag, WW_EINVAL, "%s: write an IPv6 address as [ADDRESS]:PORT", text);
    }
    size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
    unsigned number = 0;
    for (size_t i = 0; i < digits && i < 6; i++)
        number = number * 10 + (unsigned)(colon[1 + i] - '0');
    if (digits == 0 || digits > 5 || number > 65535 || colon[1 + digits] || len == 0 || len >= sizeof a.host)
        return ww_diag_set(reterr_diag, WW_EINVAL,
            "%s: an address is unix:PATH or HOST:PORT with a number as the port", text);
    memcpy(a.port, colon + 1, digits);
    if (!(len == 1 && host[0] == '*'))
        memcpy(a.host, host, len);
    *ret_addr = a;
    return 0;
}

static ww_err resolve(const struct ww_glue_addr *a, int flags, struct addrinfo **ret, struct ww_diag *diag)
{
    struct addrinfo hints = {.ai_flags = flags | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    int code = getaddrinfo(a->host[0] ? a->host : NULL, a->port, &hints, ret);
    if (code == 0)
        return 0;
    if (code == EAI_MEMORY)
        return ww_diag_set(diag, WW_ENOMEM, "out of memory");
    return ww_diag_set(diag, code == EAI_SERVICE ? WW_EINVAL : WW_ENOTFOUND, "%s:%s: %s", a->host, a->port,
        gai_strerror(code));
}

static ww_err sys_fail(struct ww_diag *diag, const char *what, const struct ww_glue_addr *a, int errnum)
{
    char text[64];
    const char *why = strerror_r(errnum, text, sizeof text);
    if (a->is_unix)
        return ww_diag_set(diag, ww_errno_err(errnum), "%s unix:%s: %s", what, a->un.sun_path, why);
    return ww_diag_set(
        diag, ww_errno_err(errnum), "%s %s:%s: %s", what, a->host[0] ? a->host : "*", a->port, why);
}

/* ---- listening */

/* A socket file whose owner has died refuses connections. */
static bool is_stale(const struct sockaddr_un *un)
{
    struct stat st;
    if (lstat(un->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    bool stale = connect(fd, (const struct sockaddr *)un, sizeof *un) < 0 && errno == ECONNREFUSED;
    close(fd);
    return stale;
}

static int listen_on(int family, const struct sockaddr *sa, socklen_t len)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
    if (fd < 0)
        return -errno;
    if (family != AF_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    bool bound = bind(fd, sa, len) == 0;
    if (!bound && errno == EADDRINUSE && family == AF_UNIX &&
        is_stale((const struct sockaddr_un *)(const void *)sa))
        bound =
            unlink(((const struct sockaddr_un *)(const void *)sa)->sun_path) == 0 && bind(fd, sa, len) == 0;
    if (bound && listen(fd, WW_GLUE_BACKLOG) == 0)
        return fd;
    int errnum = errno;
    close(fd);
    return -errnum;
}

static void name_of(int fd, const struct ww_glue_addr *a, char *ret_text)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    char host[64] = "", port[16] = "";
    if (a->is_unix) {
        snprintf(ret_text, WW_GLUE_ADDR_TEXT, "unix:%s", a->un.sun_path);
        return;
    }
    if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0)
        getnameinfo((struct sockaddr *)&ss, len, host, sizeof host, port, sizeof port,
            NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(ret_text, WW_GLUE_ADDR_TEXT, ss.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

ww_err ww_glue_listen(
    const struct ww_glue_addr *a, int *ret_fd, char ret_text[WW_GLUE_ADDR_TEXT], struct ww_diag *reterr_diag)
{
    int fd = -EADDRNOTAVAIL;
    if (a->is_unix) {
        fd = listen_on(AF_UNIX, (const struct sockaddr *)&a->un, sizeof a->un);
    } else {
        struct addrinfo *list;
        WW_TRY(resolve(a, AI_PASSIVE, &list, reterr_diag));
        for (struct addrinfo *it = list; it && fd < 0; it = it->ai_next)
            fd = listen_on(it->ai_family, it->ai_addr, it->ai_addrlen);
        freeaddrinfo(list);
    }
    struct stat st;
    if (fd == -EADDRINUSE && a->is_unix && lstat(a->un.sun_path, &st) == 0 && !S_ISSOCK(st.st_mode))
        return ww_diag_set(reterr_diag, WW_EADDRINUSE,
            "cannot listen on unix:%s: there is a file, or a folder, that is no socket: choose another path, "
            "or "
            "remove it",
            a->un.sun_path);
    if (fd < 0)
        return sys_fail(reterr_diag, "cannot listen on", a, -fd);
    name_of(fd, a, ret_text);
    *ret_fd = fd;
    return 0;
}

void ww_glue_unlisten(const struct ww_glue_addr *a)
{
    if (a->is_unix)
        unlink(a->un.sun_path);
}

/* ---- connecting */

/* 0, or an errno. A full backlog of a unix socket says EAGAIN at once: as long as there is time, ask again.
 */
static int connect_wait(int fd, const struct sockaddr *sa, socklen_t len, uint64_t deadline_ns)
{
    while (connect(fd, sa, len) < 0) {
        int errnum = errno;
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        if (errnum == EAGAIN) {
            if (ww_glue_now() >= deadline_ns)
                return ETIMEDOUT;
            poll(NULL, 0, 5);
            continue;
        }
        if (errnum != EINPROGRESS && errnum != EINTR)
            return errnum;
        int n;
        do
            n = poll(&p, 1, ww_glue_poll_ms(deadline_ns));
        while (n < 0 && errno == EINTR);
        if (n == 0)
            return ETIMEDOUT;
        socklen_t size = sizeof errnum;
        return getsockopt(fd, SOL_SOCKET, SO_ERROR, &errnum, &size) < 0 ? errno : errnum;
    }
    return 0;
}

static int connect_to(int family, const struct sockaddr *sa, socklen_t len, uint64_t deadline_ns)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int errnum = connect_wait(fd, sa, len, deadline_ns);
    if (errnum == 0)
        return fd;
    close(fd);
    return -errnum;
}

ww_err ww_glue_connect(
    const struct ww_glue_addr *a, uint64_t deadline_ns, int *ret_fd, struct ww_diag *reterr_diag)
{
    int fd = -EADDRNOTAVAIL;
    if (a->is_unix) {
        fd = connect_to(AF_UNIX, (const struct sockaddr *)&a->un, sizeof a->un, deadline_ns);
    } else {
        struct addrinfo *list;
        WW_TRY(resolve(a, 0, &list, reterr_diag));
        for (struct addrinfo *it = list; it && fd < 0; it = it->ai_next)
            fd = connect_to(it->ai_family, it->ai_addr, it->ai_addrlen, deadline_ns);
        freeaddrinfo(list);
        if (fd >= 0)
            ww_glue_nodelay(fd);
    }
    if (fd < 0)
        return sys_fail(reterr_diag, "cannot connect to", a, -fd);
    *ret_fd = fd;
    return 0;
}

void ww_glue_nodelay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* not TCP: refused, and not needed */
}

/* ---- clock and vat */

uint64_t ww_glue_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * WW_NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t ww_glue_deadline(int timeout_ms)
{
    return timeout_ms < 0 ? WW_NEVER : ww_glue_now() + (uint64_t)timeout_ms * WW_NS_PER_MS;
}

int ww_glue_poll_ms(uint64_t deadline_ns)
{
    if (deadline_ns == WW_NEVER)
        return -1;
    uint64_t now = ww_glue_now(), left = deadline_ns > now ? deadline_ns - now : 0;
    left = (left + WW_NS_PER_MS - 1) / WW_NS_PER_MS;
    return left > INT_MAX ? INT_MAX : (int)left;
}

ww_err ww_glue_vat_new(
    const struct ww_rpc_limits *limits, struct ww_rpc_vat_host *host, struct ww_rpc_vat **ret_vat)
{
    struct ww_rpc_vat_config config = {.host = host};
    if (limits)
        config.limits = *limits;
    if (getrandom(config.hash_seed, sizeof config.hash_seed, 0) != sizeof config.hash_seed)
        return WW_EIO;
    return ww_rpc_vat_new(&config, ret_vat);
}
