/* ww ls — queries the routing table of a node, from afar. */
#include <stdlib.h>
#include <strings.h>

#include "cli/commands.h"
#include "cli/log.h"
#include "cli/rows.h"
#include "node/client.h"
#include "node/identity.h"
#include "os/os.h"
#include "service/view_client.h"

struct ls {
    struct ww_os *os;
    struct ww_env *env;
    const struct ww_cli_args *args;
    struct ww_cli_log log;
    struct ww_os_signals signals;
    struct ww_keypair key;
    struct ww_client *client;
    struct ww_client_user user;
    struct ww_query *query;
    struct ww_view_ask ask;
    struct ww_cli_rows rows;
    struct ww_cli_watch watch;
    struct ww_timer stall; /* no answer for --timeout */
    bool over;
    int code;
};

/* The first end counts: a lost connection is told by the query and by the client. */
static void stop(struct ls *ls, int code)
{
    if (!ls->over)
        ls->code = code;
    ls->over = true;
    ww_os_stop(ls->os);
}

static void fail(struct ls *ls, const char *text)
{
    if (ls->over)
        return;
    /* A node's own words are in it, which must not drive the terminal. */
    fputs("ww ls: ", stderr);
    for (const char *c = text; *c; c++)
        fputc(((unsigned char)*c >= ' ' && *c != 0x7f) || *c == '\n' ? *c : '?', stderr);
    fputc('\n', stderr);
    stop(ls, 1);
}

static void caught(struct ww_os_signals *signals, int signum)
{
    struct ls *ls = WW_CONTAINER_OF(signals, struct ls, signals);
    WW_UNUSED(signum);
    stop(ls, ls->args->watch ? 0 : 1); /* a watch is meant to be interrupted */
}

static void stalled(struct ww_timer *timer)
{
    fail(WW_CONTAINER_OF(timer, struct ls, stall), "the node stopped answering in the middle of the query");
}

static void progress(struct ls *ls)
{
    if (!ls->args->watch)
        ls->env->ops->timer_set(ls->env, &ls->stall, ww_env_now(ls->env) + ls->args->timeout_ns);
}

/* ---- what the node says ---- */

/* Nobody reads any more: that is how `ww ls | head` ends. */
static bool reader_gone(struct ls *ls)
{
    if (!ferror(stdout))
        return false;
    stop(ls, 0);
    return true;
}

static void row(struct ww_view_ask *ask, const struct ww_view_row *r)
{
    struct ls *ls = WW_CONTAINER_OF(ask, struct ls, ask);
    if (reader_gone(ls))
        return;
    if (ls->args->watch)
        ww_cli_watch_row(&ls->watch, r);
    else
        ww_cli_rows_print(&ls->rows, r);
    progress(ls);
}

static void reset(struct ww_view_ask *ask)
{
    ww_cli_watch_reset(&WW_CONTAINER_OF(ask, struct ls, ask)->watch);
}

static void gone(struct ww_view_ask *ask, struct ww_bytes peer)
{
    struct ls *ls = WW_CONTAINER_OF(ask, struct ls, ask);
    if (!reader_gone(ls))
        ww_cli_watch_left(&ls->watch, peer);
}

static void ready_all(struct ww_view_ask *ask)
{
    ww_cli_watch_ready(&WW_CONTAINER_OF(ask, struct ls, ask)->watch);
}

static void done(struct ww_view_ask *ask, ww_err err, const char *reason)
{
    struct ls *ls = WW_CONTAINER_OF(ask, struct ls, ask);
    if (err < 0) {
        fail(ls, reason[0] ? reason : ww_err_text(err));
        return;
    }
    if (ls->args->count && ls->args->json)
        printf("{\"count\":%llu}\n", (unsigned long long)ask->count);
    else if (ls->args->count)
        printf("%llu\n", (unsigned long long)ask->count);
    else
        ww_cli_rows_end(&ls->rows);
    stop(ls, 0);
}

static const struct ww_view_ask_ops ask_ops = {row, reset, gone, ready_all, done};

static void ready(struct ww_client_user *user, const struct ww_client_session *session)
{
    struct ls *ls = WW_CONTAINER_OF(user, struct ls, user);
    ww_err err = WW_EDENIED;
    ls->ask.ops = &ask_ops;
    if (session->view && ls->args->watch)
        err = ww_view_ask_watch(&ls->ask, ls->env, ww_client_vat(ls->client), session->view, ls->query);
    else if (session->view)
        err = ww_view_ask_query(&ls->ask, ls->env, ww_client_vat(ls->client), session->view, ls->query);
    if (err == WW_EDENIED)
        fail(ls, "the session has no view: this node does not let us query");
    else if (err < 0)
        fail(ls, ww_err_text(err));
    else
        progress(ls);
}

static void failed(struct ww_client_user *user, ww_err err, const char *text)
{
    struct ls *ls = WW_CONTAINER_OF(user, struct ls, user);
    fail(ls, text && text[0] ? text : ww_err_text(err));
}

/* ---- the query ---- */

static int parse_fault(const char *text, size_t at, const struct ww_diag *diag)
{
    const char *colon = strstr(diag->text, ": "); /* the offset, which the caret shows better */
    fprintf(stderr, "ww ls: %s\n  %s\n  %*s^\n", colon ? colon + 2 : diag->text, text, (int)at, "");
    return 2;
}

/* Joins the arguments behind WHERE and parses them. */
static int parse_where(struct ls *ls)
{
    const struct ww_cli_args *args = ls->args;
    size_t first = 0;
    char text[WW_QUERY_TEXT_MAX];
    int used = 0;
    struct ww_diag diag;
    if (first < args->rest_count && strcmp(args->rest[first], "/") == 0)
        first++; /* the cluster's root, as older versions wrote it */
    if (first == args->rest_count)
        return 0;
    size_t offset = 0;
    for (size_t i = first; i < args->rest_count; i++) {
        int n =
            snprintf(text + used, sizeof text - (size_t)used, "%s%s", i > first ? " " : "", args->rest[i]);
        if (n >= (int)sizeof text - used) {
            fprintf(stderr, "ww ls: the query is too long (at most %d bytes)\n", WW_QUERY_TEXT_MAX - 1);
            return 2;
        }
        used += n;
    }
    const char *expr = text;
    if (strncasecmp(expr, "WHERE", 5) == 0 && (expr[5] == ' ' || expr[5] == '\0'))
        expr += expr[5] ? 6 : 5;
    else {
        fprintf(stderr, "ww ls: expected WHERE before '%s'. See 'ww help ls'.\n", args->rest[first]);
        return 2;
    }
    if (ww_query_parse(ls->query, ww_bytes_str(expr), &offset, &diag) < 0)
        return parse_fault(expr, offset, &diag);
    return 0;
}

static const char *const index_names[] = {"id", "server", "host"};
static const enum ww_index index_kinds[] = {WW_INDEX_ID, WW_INDEX_SERVER, WW_INDEX_HOST};

static bool index_of(const char *key, size_t len, enum ww_index *ret)
{
    if (len == 4 && strncmp(key, "peer", 4) == 0) {
        *ret = WW_INDEX_ID;
        return true;
    }
    for (size_t i = 0; i < WW_COUNT_OF(index_names); i++) {
        if (strlen(index_names[i]) == len && strncmp(index_names[i], key, len) == 0) {
            *ret = index_kinds[i];
            return true;
        }
    }
    return false;
}

/* A bound on a metadata key is a condition; on another key it also says which index gives the order. */
static int parse_bound(struct ls *ls, const char *option, const char *bound, bool lower)
{
    enum ww_index index;
    struct ww_bytes copy;
    const char *equals = bound ? strchr(bound, '=') : NULL;
    if (!bound)
        return 0;
    if (!equals || equals == bound) {
        fprintf(stderr, "ww ls: --%s: '%s' is not KEY=VALUE\n", option, bound);
        return 2;
    }
    if (!index_of(bound, (size_t)(equals - bound), &index)) {
        char text[1024];
        struct ww_diag diag;
        snprintf(text, sizeof text, "\"%.*s\" %s \"%s\"", (int)(equals - bound), bound,
            lower ? ">=" : "<=", equals + 1);
        if (ww_query_parse(ls->query, ww_bytes_str(text), NULL, &diag) == 0)
            return 0;
        fprintf(stderr, "ww ls: --%s: %s\n", option, diag.text);
        return 2;
    }
    if (ls->query->ordered && ls->query->order != index) {
        fprintf(stderr, "ww ls: --from, --to and --order must name the same key\n");
        return 2;
    }
    if (ww_query_text(ls->query, ww_bytes_str(equals + 1), &copy) < 0) {
        fprintf(stderr, "ww ls: --%s: too long\n", option);
        return 2;
    }
    ls->query->ordered = true;
    ls->query->order = index;
    *(lower ? &ls->query->from : &ls->query->to) = (struct ww_bound){WW_BOUND_INCL, copy};
    return 0;
}

static int parse_query(struct ls *ls)
{
    const struct ww_cli_args *args = ls->args;
    ls->query = ww_query_new();
    if (!ls->query) {
        fprintf(stderr, "ww ls: out of memory\n");
        return 1;
    }
    int code = parse_where(ls);
    if (code == 0 && args->order) {
        if (!index_of(args->order, strlen(args->order), &ls->query->order)) {
            fprintf(stderr, "ww ls: --order: choose id, server or host\n");
            return 2;
        }
        ls->query->ordered = true;
    }
    if (code == 0)
        code = parse_bound(ls, "from", args->from, true);
    if (code == 0)
        code = parse_bound(ls, "to", args->to, false);
    ls->query->descending = args->reverse;
    ls->query->limit = args->limit;
    ls->query->count_only = args->count;
    if (code == 0 && args->watch && (args->limit || args->count || args->reverse || args->order)) {
        fprintf(stderr,
            "ww ls: --watch has no end, so --limit, --count, --order and --reverse do not go with it\n");
        return 2;
    }
    return code;
}

static ww_err start(struct ls *ls, struct ww_diag *diag)
{
    bool created;
    const struct ww_cli_args *args = ls->args;
    if (args->data)
        WW_TRY(ww_identity_load(ls->env, args->data, &ls->key, &created, diag));
    else
        ww_identity_fresh(ls->env, &ls->key);
    struct ww_client_conf conf = {
        .env = ls->env,
        .key = &ls->key,
        .ns = args->ns,
        .peers = args->peers.items,
        .peer_count = args->peers.count,
        .discover = args->discover.items,
        .discover_count = args->discover.count,
        .timeout_ns = args->timeout_ns,
        .user = &ls->user,
    };
    return ww_client_new(&conf, &ls->client, diag);
}

int ww_cmd_ls(const struct ww_cli_args *args)
{
    struct ls ls = {.args = args, .signals = {caught}, .user = {ready, failed}, .stall = {.fired = stalled}};
    struct ww_diag diag = {0};
    int code = parse_query(&ls);
    if (code != 0) {
        ww_query_free(ls.query);
        return code;
    }
    if (ww_os_new(&ls.os) < 0 || ww_os_signals_watch(ls.os, &ls.signals) < 0) {
        fprintf(stderr, "ww ls: cannot start: out of memory or descriptors\n");
        ww_query_free(ls.query);
        return 1;
    }
    ls.env = ww_os_env(ls.os);
    ww_cli_log_init(&ls.log, ls.env, stderr, args->json, true);
    ls.env->trace = args->debug ? &ls.log.trace : NULL;
    ww_cli_rows_init(&ls.rows, stdout, args->json);
    ww_cli_watch_init(&ls.watch, &ls.rows, ls.env);
    ww_err err = start(&ls, &diag);
    if (err < 0)
        fprintf(stderr, "ww ls: %s\n", diag.text);
    else
        ww_os_run(ls.os);
    ls.env->ops->timer_cancel(ls.env, &ls.stall);
    ww_view_ask_stop(&ls.ask);
    ww_client_free(ls.client);
    ww_cli_watch_fini(&ls.watch);
    ww_keypair_fini(&ls.key);
    ww_os_free(ls.os);
    ww_query_free(ls.query);
    if (fflush(stdout) != 0 && ls.code == 0 && err == 0 && !ferror(stdout))
        ls.code = 1;
    return err == WW_EINVAL || err == WW_EUNSUPPORTED ? 2 : err < 0 ? 1 : ls.code;
}
