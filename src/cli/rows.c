#include "cli/rows.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/trace.h"
#include "p2p/peer_id.h"

#define LINE_MAX_BYTES (64u << 10)
#define BOLD "\x1b[1m"
#define DIM "\x1b[2m"
#define GREEN "\x1b[32m"
#define YELLOW "\x1b[33m"
#define RED "\x1b[31m"
#define PLAIN "\x1b[0m"

void ww_cli_rows_init(struct ww_cli_rows *rows, FILE *out, bool json)
{
    const char *no_colour = getenv("NO_COLOR");
    *rows = (struct ww_cli_rows){.out = out, .json = json, .terminal = isatty(fileno(out))};
    rows->colour = rows->terminal && !(no_colour && *no_colour);
}

static const char *paint(const struct ww_cli_rows *rows, const char *code)
{
    return rows->colour ? code : "";
}

static void peer_text(struct ww_bytes peer, char out[WW_PEER_ID_TEXT_MAX])
{
    struct ww_peer_id id;
    if (ww_peer_id_decode(peer, &id) == 0)
        ww_peer_id_format(&id, out);
    else
        snprintf(out, WW_PEER_ID_TEXT_MAX, "?");
}

/* What a peer says of itself must not drive the terminal. */
static void put_safe(struct ww_buf *out, struct ww_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i] >= ' ' && text.ptr[i] != 0x7f ? text.ptr[i] : '?';
        ww_ignore(ww_buf_append_byte(out, c));
    }
}

static void put(struct ww_buf *out, const char *text)
{
    ww_ignore(ww_buf_append(out, ww_bytes_str(text)));
}

static void put_pad(struct ww_buf *out, size_t begin, size_t width)
{
    while (ww_buf_len(out) - begin < width)
        put(out, " ");
}

/* ---- JSON ---- */

static void put_meta_json(struct ww_buf *out, const struct ww_view_row *row)
{
    put(out, ",\"meta\":{");
    bool first = true;
    for (size_t i = 0; i < row->meta_count; i++) {
        struct ww_bytes m = row->meta[i];
        const uint8_t *equals = m.len ? memchr(m.ptr, '=', m.len) : NULL;
        struct ww_bytes key = ww_bytes(m.ptr, equals ? (size_t)(equals - m.ptr) : m.len);
        bool again = false;
        for (size_t k = 0; k < i && !again; k++) /* a JSON object has each key once */
            again = ww_bytes_has_prefix(row->meta[k], key) && row->meta[k].len > key.len &&
                row->meta[k].ptr[key.len] == '=';
        if (again)
            continue;
        put(out, first ? "" : ",");
        first = false;
        ww_ignore(ww_json_put_string(out, key));
        put(out, ":");
        ww_ignore(ww_json_put_string(out, equals ? ww_bytes_skip(m, key.len + 1) : ww_bytes("", 0)));
    }
    put(out, "}");
}

static void put_json(struct ww_buf *out, const struct ww_view_row *row, const char *event)
{
    char text[160], peer[WW_PEER_ID_TEXT_MAX];
    peer_text(row->peer, peer);
    put(out, "{");
    if (event) {
        snprintf(text, sizeof text, "\"event\":\"%s\",", event);
        put(out, text);
    }
    snprintf(
        text, sizeof text, "\"server\":\"%016llx\",\"peer\":\"%s\"", (unsigned long long)row->server, peer);
    put(out, text);
    if (row->host.len) {
        put(out, ",\"host\":");
        ww_ignore(ww_json_put_string(out, row->host));
    }
    if (row->meta_count)
        put_meta_json(out, row);
    if (row->ttl_ms) {
        snprintf(text, sizeof text, ",\"ttl_ms\":%u,\"seq\":%llu", row->ttl_ms, (unsigned long long)row->seq);
        put(out, text);
    }
    put(out, "}\n");
}

/* ---- text ---- */

static void put_meta(struct ww_buf *out, const struct ww_view_row *row)
{
    for (size_t i = 0; i < row->meta_count; i++) {
        put(out, i ? " " : "");
        put_safe(out, row->meta[i]);
    }
}

static void put_columns(struct ww_buf *out, const struct ww_view_row *row)
{
    char text[24], peer[WW_PEER_ID_TEXT_MAX];
    peer_text(row->peer, peer);
    snprintf(text, sizeof text, "%016llx  ", (unsigned long long)row->server);
    put(out, text);
    size_t at = ww_buf_len(out);
    put(out, peer);
    put_pad(out, at, 52);
    put(out, "  ");
    at = ww_buf_len(out);
    put_safe(out, row->host);
    put_pad(out, at, 16);
    put(out, "  ");
    put_meta(out, row);
}

static void print(struct ww_cli_rows *rows, struct ww_buf *line)
{
    fwrite(ww_buf_data(line), 1, ww_buf_len(line), rows->out);
    ww_buf_fini(line);
}

void ww_cli_rows_print(struct ww_cli_rows *rows, const struct ww_view_row *row)
{
    struct ww_buf line;
    ww_buf_init(&line, LINE_MAX_BYTES);
    if (rows->json) {
        put_json(&line, row, NULL);
    } else if (rows->terminal) {
        if (rows->printed == 0)
            fprintf(rows->out, "%s%-16s  %-52s  %-16s  %s%s\n", paint(rows, BOLD), "SERVER", "PEER", "HOST",
                "META", paint(rows, PLAIN));
        put_columns(&line, row);
        put(&line, "\n");
    } else {
        char text[24];
        snprintf(text, sizeof text, "/%016llx\n", (unsigned long long)row->server);
        put(&line, text);
    }
    rows->printed++;
    print(rows, &line);
}

void ww_cli_rows_end(struct ww_cli_rows *rows)
{
    if (rows->printed == 0 && rows->terminal && !rows->json)
        fprintf(rows->out, "nothing matches\n");
}

/* ---- watch ---- */

struct known {
    struct ww_map_node node;
    uint32_t round;
    uint64_t server;
    size_t peer_len, host_len, meta_len;
    uint8_t bytes[]; /* peer, host, metadata separated by newlines */
};

static struct ww_bytes known_key(const struct ww_map_node *node)
{
    const struct known *k = WW_CONTAINER_OF(node, const struct known, node);
    return ww_bytes(k->bytes, k->peer_len);
}

void ww_cli_watch_init(struct ww_cli_watch *watch, struct ww_cli_rows *rows, struct ww_env *env)
{
    uint64_t seed[2];
    *watch = (struct ww_cli_watch){.rows = rows, .env = env};
    env->ops->random(env, seed, sizeof seed);
    ww_map_init(&watch->known, known_key, seed);
}

static void forget(struct ww_cli_watch *watch, struct known *k)
{
    ww_map_remove(&watch->known, &k->node);
    ww_free(k);
}

void ww_cli_watch_fini(struct ww_cli_watch *watch)
{
    for (struct ww_map_node *n; (n = ww_map_next(&watch->known, NULL));)
        forget(watch, WW_CONTAINER_OF(n, struct known, node));
    ww_map_fini(&watch->known);
}

static void print_event(
    struct ww_cli_watch *watch, const char *event, const char *colour, const struct ww_view_row *row)
{
    struct ww_cli_rows *rows = watch->rows;
    struct ww_buf line;
    ww_buf_init(&line, LINE_MAX_BYTES);
    if (rows->json) {
        put_json(&line, row, event);
    } else if (rows->terminal) {
        char when[16], head[64];
        time_t now = (time_t)(watch->env->ops->wall_ns(watch->env) / WW_NS_PER_S);
        struct tm tm;
        localtime_r(&now, &tm);
        strftime(when, sizeof when, "%H:%M:%S", &tm);
        snprintf(head, sizeof head, "%s%s%s  %s%-6s%s  ", paint(rows, DIM), when, paint(rows, PLAIN),
            paint(rows, colour), event, paint(rows, PLAIN));
        put(&line, head);
        put_columns(&line, row);
        put(&line, "\n");
    } else {
        char text[40];
        snprintf(text, sizeof text, "%c/%016llx\n",
            event[0] == 'j'       ? '+'
                : event[0] == 'l' ? '-'
                                  : '~',
            (unsigned long long)row->server);
        put(&line, text);
    }
    print(rows, &line);
    fflush(rows->out);
}

static struct known *known_new(const struct ww_view_row *row)
{
    size_t meta_len = 0;
    for (size_t i = 0; i < row->meta_count; i++)
        meta_len += row->meta[i].len + 1;
    struct known *k = ww_alloc(sizeof *k + row->peer.len + row->host.len + meta_len + 1);
    if (!k)
        return NULL;
    *k = (struct known){
        .server = row->server, .peer_len = row->peer.len, .host_len = row->host.len, .meta_len = meta_len};
    uint8_t *at = k->bytes;
    memcpy(at, row->peer.ptr, row->peer.len);
    at += row->peer.len;
    memcpy(at, row->host.ptr, row->host.len);
    at += row->host.len;
    for (size_t i = 0; i < row->meta_count; i++) {
        memcpy(at, row->meta[i].ptr, row->meta[i].len);
        at += row->meta[i].len;
        *at++ = '\n';
    }
    return k;
}

static bool same(const struct known *a, const struct known *b)
{
    return a->server == b->server && a->host_len == b->host_len && a->meta_len == b->meta_len &&
        memcmp(a->bytes + a->peer_len, b->bytes + b->peer_len, a->host_len + a->meta_len) == 0;
}

void ww_cli_watch_row(struct ww_cli_watch *watch, const struct ww_view_row *row)
{
    struct ww_map_node *node = ww_map_get(&watch->known, row->peer);
    struct known *old = node ? WW_CONTAINER_OF(node, struct known, node) : NULL;
    struct known *k = known_new(row);
    if (!k)
        return;
    k->round = watch->round;
    bool changed = old && !same(old, k);
    if (old)
        forget(watch, old);
    else
        print_event(watch, "join", GREEN, row);
    if (changed)
        print_event(watch, "change", YELLOW, row);
    if (ww_map_insert(&watch->known, &k->node) < 0)
        ww_free(k);
}

static void print_left(struct ww_cli_watch *watch, struct known *k)
{
    struct ww_view_row row = {.peer = ww_bytes(k->bytes, k->peer_len),
        .server = k->server,
        .host = ww_bytes(k->bytes + k->peer_len, k->host_len)};
    struct ww_bytes meta = ww_bytes(k->bytes + k->peer_len + k->host_len, k->meta_len);
    while (meta.len && row.meta_count < WW_ROUTING_META_MAX) {
        const uint8_t *nl = memchr(meta.ptr, '\n', meta.len);
        size_t len = nl ? (size_t)(nl - meta.ptr) : meta.len - 1;
        row.meta[row.meta_count++] = ww_bytes(meta.ptr, len);
        meta = ww_bytes_skip(meta, len + 1);
    }
    print_event(watch, "leave", RED, &row);
    forget(watch, k);
}

void ww_cli_watch_left(struct ww_cli_watch *watch, struct ww_bytes peer)
{
    struct ww_map_node *node = ww_map_get(&watch->known, peer);
    if (node)
        print_left(watch, WW_CONTAINER_OF(node, struct known, node));
}

void ww_cli_watch_reset(struct ww_cli_watch *watch)
{
    watch->round++;
}

void ww_cli_watch_ready(struct ww_cli_watch *watch)
{
    for (struct ww_map_node *n = ww_map_next(&watch->known, NULL), *next; n; n = next) {
        struct known *k = WW_CONTAINER_OF(n, struct known, node);
        next = ww_map_next(&watch->known, n);
        if (k->round != watch->round)
            print_left(watch, k);
    }
    if (watch->rows->json && !watch->settled)
        fprintf(watch->rows->out, "{\"event\":\"ready\",\"count\":%zu}\n", watch->known.count);
    else if (watch->rows->terminal && !watch->settled && watch->known.count == 0)
        fprintf(watch->rows->out, "nothing matches yet; watching\n");
    watch->settled = true;
    fflush(watch->rows->out);
}
