/* What a connection could do at most: encrypt, send over loopback TCP, receive, decrypt, with the AEAD and
 * the record size of Noise and nothing around it, in two processes. Prints one JSON object:
 * {"name", "unit", "ours", "cpu_s_per_gib"}.
 *
 *     bench_aead [MIB]      default: 2048
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crypto/aead.h"

#define PLAIN_BYTES (65535 - WW_AEAD_TAG_BYTES) /* of the largest Noise message */
#define SEALED_BYTES (PLAIN_BYTES + WW_AEAD_TAG_BYTES)

static const uint8_t key[WW_AEAD_KEY_BYTES] = {1};
static uint8_t sealed[SEALED_BYTES], plain[PLAIN_BYTES];

static void must(bool good, const char *what)
{
    if (good)
        return;
    perror(what);
    exit(1);
}

static double now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double cpu_s(int who)
{
    struct rusage u;
    getrusage(who, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
        (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void send_all(int fd, uint64_t records)
{
    struct ww_aead *aead;
    must(ww_aead_new(key, &aead) == 0, "key");
    struct ww_bytes piece = {plain, sizeof plain}, none = {NULL, 0};
    for (uint64_t i = 0; i < records; i++) {
        must(ww_aead_seal(aead, i, none, &piece, 1, sealed) == 0, "seal");
        for (size_t at = 0; at < sizeof sealed;) {
            ssize_t n = send(fd, sealed + at, sizeof sealed - at, MSG_NOSIGNAL);
            must(n > 0, "send");
            at += (size_t)n;
        }
    }
    ww_aead_free(aead);
}

static void receive_all(int fd, uint64_t records)
{
    struct ww_aead *aead;
    must(ww_aead_new(key, &aead) == 0, "key");
    struct ww_bytes none = {NULL, 0};
    for (uint64_t i = 0; i < records; i++) {
        must(recv(fd, sealed, sizeof sealed, MSG_WAITALL) == (ssize_t)sizeof sealed, "receive");
        must(ww_aead_open(aead, i, none, (struct ww_bytes){sealed, sizeof sealed}, plain) == 0, "open");
    }
    ww_aead_free(aead);
}

int main(int argc, char **argv)
{
    uint64_t mib = argc > 1 ? strtoull(argv[1], NULL, 10) : 2048;
    uint64_t records = mib * 1048576 / PLAIN_BYTES;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    int listener = socket(AF_INET, SOCK_STREAM, 0), out = socket(AF_INET, SOCK_STREAM, 0);
    must(bind(listener, (struct sockaddr *)&addr, len) == 0 && listen(listener, 1) == 0, "listen");
    must(getsockname(listener, (struct sockaddr *)&addr, &len) == 0, "address");
    must(connect(out, (struct sockaddr *)&addr, len) == 0, "connect");
    int in = accept(listener, NULL, NULL);
    must(in >= 0, "accept");
    double began = now_s();
    pid_t child = fork();
    must(child >= 0, "fork");
    if (child == 0) {
        send_all(out, records);
        _exit(0);
    }
    receive_all(in, records);
    double took = now_s() - began;
    int status;
    must(waitpid(child, &status, 0) == child && status == 0, "the sender");
    double gib = (double)records * PLAIN_BYTES / 1073741824.0;
    printf("{\"name\":\"bare aead over tcp\",\"unit\":\"MiB/s\",\"ours\":%.1f,\"cpu_s_per_gib\":%.4f}\n",
        gib * 1024 / took, (cpu_s(RUSAGE_SELF) + cpu_s(RUSAGE_CHILDREN)) / gib);
    return 0;
}
