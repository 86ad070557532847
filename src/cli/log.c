#include "cli/log.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES (64u << 10)
#define GREEN "\x1b[32m"
#define RED "\x1b[31m"
#define DIM "\x1b[2m"
#define PLAIN "\x1b[0m"

static void wall_time(
    const struct ww_cli_log *log, const char *format, char *out, size_t size, unsigned *ret_ms, bool utc)
{
    uint64_t ns = log->env->ops->wall_ns(log->env);
    time_t seconds = (time_t)(ns / WW_NS_PER_S);
    struct tm tm;
    if (utc)
        gmtime_r(&seconds, &tm);
    else
        localtime_r(&seconds, &tm);
    if (strftime(out, size, format, &tm) == 0)
        *out = '\0';
    *ret_ms = (unsigned)(ns / WW_NS_PER_MS % 1000);
}

static void emit_json(
    struct ww_cli_log *log, enum ww_trace_event event, const struct ww_trace_val *vals, size_t count)
{
    struct ww_buf line;
    char when[32];
    unsigned ms;
    ww_buf_init(&line, LINE_MAX_BYTES);
    wall_time(log, "%Y-%m-%dT%H:%M:%S", when, sizeof when, &ms, true);
    if (ww_trace_format_json(&line, event, vals, count) == 0)
        fprintf(log->out, "{\"time\":\"%s.%03uZ\",%.*s}\n", when, ms, (int)ww_buf_len(&line),
            (char *)ww_buf_data(&line));
    ww_buf_fini(&line);
    fflush(log->out);
}

/* The value of a text field, at most `width` characters of it. */
static void put_text(FILE *out, const struct ww_trace_val *v, int width)
{
    struct ww_bytes b = v->bytes;
    int len = b.len < (size_t)width ? (int)b.len : width;
    for (int i = 0; i < len; i++)
        fputc(b.ptr[i] >= ' ' && b.ptr[i] != 0x7f ? b.ptr[i] : '?',
            out); /* a peer's text must not drive the terminal */
}

static void member_line(
    struct ww_cli_log *log, const char *colour, char sign, const struct ww_trace_val *vals, bool joined)
{
    fprintf(log->out, "%s%c ", log->colour ? colour : "", sign);
    put_text(log->out, &vals[1], 16);
    fprintf(log->out, "%s  ", log->colour ? PLAIN : "");
    put_text(log->out, &vals[0], 64);
    if (joined) {
        fputs("  ", log->out);
        put_text(log->out, &vals[2], 64);
    } else {
        fputs("  (", log->out);
        put_text(log->out, &vals[2], 64);
        fputc(')', log->out);
    }
    fputc('\n', log->out);
}

static void emit_text(
    struct ww_cli_log *log, enum ww_trace_event event, const struct ww_trace_val *vals, size_t count)
{
    bool join = event == WW_TR_CLUSTER_JOIN && count >= 3, leave = event == WW_TR_CLUSTER_LEAVE && count >= 3;
    if (!join && !leave && !log->debug)
        return;
    char when[16];
    unsigned ms;
    wall_time(log, "%H:%M:%S", when, sizeof when, &ms, false);
    fprintf(log->out, "%s%s.%03u%s  ", log->colour ? DIM : "", when, ms, log->colour ? PLAIN : "");
    if (join) {
        member_line(log, GREEN, '+', vals, true);
    } else if (leave) {
        member_line(log, RED, '-', vals, false);
    } else {
        struct ww_buf line;
        ww_buf_init(&line, LINE_MAX_BYTES);
        if (ww_trace_format_text(&line, event, vals, count) == 0)
            fprintf(log->out, "%.*s\n", (int)ww_buf_len(&line), (char *)ww_buf_data(&line));
        ww_buf_fini(&line);
    }
    fflush(log->out);
}

static void emit(struct ww_trace *t, enum ww_trace_event event, const struct ww_trace_val *vals, size_t count)
{
    struct ww_cli_log *log = WW_CONTAINER_OF(t, struct ww_cli_log, trace);
    if (log->json)
        emit_json(log, event, vals, count);
    else
        emit_text(log, event, vals, count);
}

void ww_cli_log_init(struct ww_cli_log *log, struct ww_env *env, FILE *out, bool json, bool debug)
{
    const char *no_colour = getenv("NO_COLOR");
    *log = (struct ww_cli_log){.trace = {emit}, .env = env, .out = out, .json = json, .debug = debug};
    log->colour = isatty(fileno(out)) && !(no_colour && *no_colour);
}
