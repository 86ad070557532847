/* Our side of the conversations: `ww-conversation server ADDRESS` serves a fresh Thing to each connection,
 * `ww-conversation client ADDRESS CASES NAME...` runs those cases, each on its own connection, and prints "ok
 * NAME" or "not ok NAME: why". */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/base.h"
#include "client.h"
#include "thing.h"

static struct ww_rpc_fd *server_loop;

static void on_signal(int number)
{
    WW_UNUSED(number);
    ww_rpc_fd_stop(server_loop);
}

/* The bootstrap capability is ours until the connection has taken it, when the next peer comes or at the end.
 */
struct server {
    struct ww_rpc_fd_accept accept;
    struct ww_cap *last;
};

static ww_err accepted(struct ww_rpc_fd_accept *accept, int socket, struct ww_rpc_conn_config *io_config)
{
    struct server *s = WW_CONTAINER_OF(accept, struct server, accept);
    ww_cap_unref(s->last);
    s->last = io_config->bootstrap = thing_new(ww_rpc_fd_vat(server_loop), socket);
    return 0;
}

static int serve(const char *address, const struct ww_rpc_conn_config *config)
{
    struct ww_diag diag = {0};
    struct ww_rpc_fd_listener *listener;
    struct server s = {.accept.accepted = accepted};
    bool tcp = strncmp(address, "tcp:", 4) == 0;
    must(ww_rpc_fd_new(NULL, &server_loop));
    ww_err err =
        ww_rpc_fd_listen(server_loop, tcp ? "127.0.0.1:0" : address, config, &s.accept, &listener, &diag);
    if (err < 0) {
        fprintf(stderr, "ww-conversation: %s: %s\n", address, diag.text);
        return 1;
    }
    signal(SIGTERM, on_signal);
    printf("LISTEN %s%s\n", tcp ? "tcp:" : "", ww_rpc_fd_listener_address(listener));
    fflush(stdout);
    must(ww_rpc_fd_run(server_loop));
    ww_cap_unref(s.last);
    ww_rpc_fd_free(server_loop);
    return things_live == 0 ? 0 : 4;
}

static int dial(const char *address)
{
    struct sockaddr_un to_unix = {.sun_family = AF_UNIX};
    struct sockaddr_in to_tcp = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bool tcp = strncmp(address, "tcp:", 4) == 0;
    int fd = socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM, 0);
    if (tcp)
        to_tcp.sin_port = htons((uint16_t)strtoul(strrchr(address, ':') + 1, NULL, 10));
    else
        snprintf(to_unix.sun_path, sizeof to_unix.sun_path, "%s", address + strlen("unix:"));
    const struct sockaddr *to = tcp ? (const void *)&to_tcp : (const void *)&to_unix;
    if (fd < 0 || connect(fd, to, tcp ? sizeof to_tcp : sizeof to_unix) < 0) {
        perror(address);
        exit(1);
    }
    return fd;
}

static bool is_for_recorder(const char *line)
{
    return strncmp(line, "slow ", 5) == 0 || strncmp(line, "hold ", 5) == 0 || strcmp(line, "inline") == 0 ||
        strncmp(line, "wire ", 5) == 0 || strncmp(line, "before ", 7) == 0 || strncmp(line, "not ", 4) == 0;
}

static bool run_case(const char *address, const char *cases, const char *name,
    const struct ww_rpc_conn_config *config, bool canceled_unanswered)
{
    char **lines = case_read(cases, name);
    if (!lines) {
        printf("not ok %s: no such case in %s\n", name, cases);
        return false;
    }
    struct conversation *c = conversation_new(dial(address), config, canceled_unanswered);
    bool connected = true, good = true;
    const char *at = "end of the conversation";
    struct step s;
    for (size_t i = 0; good && lines[i]; i++) {
        if (is_for_recorder(lines[i]))
            continue;
        good = step_parse(lines[i], &s);
        if (good && strcmp(s.word[0], "end") == 0)
            connected = false;
        else if (!good || !conversation_step(c, &s)) {
            at = lines[i];
            good = false;
        }
    }
    if (good)
        good = conversation_finish(c, connected);
    if (good)
        printf("ok %s\n", name);
    else
        printf("not ok %s: %s: %s\n", name, at, conversation_why(c));
    fflush(stdout);
    conversation_free(c);
    for (size_t i = 0; lines[i]; i++)
        free(lines[i]);
    free(lines);
    return good;
}

int main(int argc, char **argv)
{
    struct ww_rpc_conn_config config = {0};
    bool canceled_unanswered = false;
    char *word[512];
    int words = 0;
    signal(SIGPIPE, SIG_IGN);
    for (int i = 1; i < argc && words < (int)WW_COUNT_OF(word); i++) {
        if (strcmp(argv[i], "--packed") == 0)
            config.packed = true;
        else if (strcmp(argv[i], "--tail-calls") == 0)
            config.tail_calls = true;
        else if (strcmp(argv[i], "--canceled-unanswered") == 0)
            canceled_unanswered = true;
        else
            word[words++] = argv[i];
    }
    if (words == 2 && strcmp(word[0], "server") == 0)
        return serve(word[1], &config);
    if (words < 4 || strcmp(word[0], "client") != 0) {
        fprintf(stderr,
            "usage: ww-conversation server ADDRESS [--packed] [--tail-calls]\n"
            "       ww-conversation client ADDRESS CASES [--packed] [--tail-calls] [--canceled-unanswered]\n"
            "           NAME...\n");
        return 2;
    }
    bool good = true;
    for (int i = 3; i < words; i++)
        good &= run_case(word[1], word[2], word[i], &config, canceled_unanswered);
    return good ? 0 : 1;
}
