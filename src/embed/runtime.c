/* The runtime, and what its objects share. */
#include "embed/embed.h"

#include "node/identity.h"

#define LINE_MAX_BYTES (64u << 10)

/* ---- objects ---- */

void ww_embed_object_init(struct ww_embed_object *object, struct ww_runtime *runtime,
    void (*destroy)(struct ww_embed_object *object))
{
    ww_list_init(&object->link);
    object->runtime = runtime;
    object->dead = false;
    object->destroy = destroy;
    runtime->object_count++;
}

void ww_embed_object_end(struct ww_embed_object *object)
{
    struct ww_runtime *runtime = object->runtime;
    object->dead = true;
    if (runtime->depth == 0) {
        runtime->object_count--;
        object->destroy(object);
        return;
    }
    ww_list_push_back(&runtime->dead, &object->link);
    runtime->env->ops->post(runtime->env, &runtime->reap);
}

static void reap(struct ww_task *task)
{
    struct ww_runtime *runtime = WW_CONTAINER_OF(task, struct ww_runtime, reap);
    for (struct ww_list *link; (link = ww_list_pop_front(&runtime->dead));) {
        struct ww_embed_object *object = WW_LIST_ENTRY(link, struct ww_embed_object, link);
        runtime->object_count--;
        object->destroy(object);
    }
}

/* ---- life ---- */

ww_err ww_runtime_new(struct ww_runtime **ret_runtime)
{
    struct ww_runtime *runtime = WW_NEW(struct ww_runtime);
    if (!runtime)
        return WW_ENOMEM;
    ww_err err = ww_os_new(&runtime->os);
    if (err < 0) {
        ww_free(runtime);
        return err;
    }
    runtime->env = ww_os_env(runtime->os);
    ww_list_init(&runtime->dead);
    ww_task_init(&runtime->reap, reap);
    *ret_runtime = runtime;
    return 0;
}

void ww_runtime_free(struct ww_runtime *runtime)
{
    if (!runtime)
        return;
    WW_ASSERT(runtime->depth == 0);
    ww_list_remove(&runtime->reap.link);
    reap(&runtime->reap);
    WW_ASSERT(runtime->object_count == 0); /* a node, client or query was not freed */
    ww_os_free(runtime->os);
    ww_free(runtime);
}

ww_err ww_runtime_run(struct ww_runtime *runtime)
{
    if (runtime->depth > 0)
        return WW_ESTATE;
    ww_os_run(runtime->os);
    return 0;
}

ww_err ww_runtime_step(struct ww_runtime *runtime, int timeout_ms)
{
    if (runtime->depth > 0)
        return WW_ESTATE;
    return ww_os_step(runtime->os, timeout_ms) ? 1 : 0;
}

void ww_runtime_stop(struct ww_runtime *runtime)
{
    ww_os_interrupt(runtime->os);
}

int ww_runtime_fd(const struct ww_runtime *runtime)
{
    return ww_os_fd(runtime->os);
}

int ww_runtime_timeout_ms(struct ww_runtime *runtime)
{
    return ww_os_timeout_ms(runtime->os);
}

/* ---- log ---- */

static ww_err format_line(
    struct ww_buf *line, bool json, enum ww_trace_event event, const struct ww_trace_val *vals, size_t count)
{
    if (!json) {
        WW_TRY(ww_trace_format_text(line, event, vals, count));
    } else {
        WW_TRY(ww_buf_append_byte(line, '{'));
        WW_TRY(ww_trace_format_json(line, event, vals, count));
        WW_TRY(ww_buf_append_byte(line, '}'));
    }
    return ww_buf_append_byte(line, '\0');
}

static void emit(
    struct ww_trace *trace, enum ww_trace_event event, const struct ww_trace_val *vals, size_t count)
{
    struct ww_runtime *runtime = WW_CONTAINER_OF(trace, struct ww_runtime, trace);
    struct ww_buf line;
    ww_buf_init(&line, LINE_MAX_BYTES);
    if (format_line(&line, runtime->log->json, event, vals, count) == 0)
        runtime->log->line(runtime->log, (const char *)ww_buf_data(&line));
    ww_buf_fini(&line);
}

void ww_runtime_log_set(struct ww_runtime *runtime, struct ww_runtime_log *log)
{
    runtime->log = log;
    runtime->trace.emit = emit;
    runtime->env->trace = log ? &runtime->trace : NULL;
}

/* ---- what the program gives ---- */

ww_err ww_embed_take(void *to, size_t to_size, const void *from, const char *what, struct ww_diag *diag)
{
    size_t size = to_size;
    memset(to, 0, to_size);
    if (!from)
        return 0;
    memcpy(&size, from, sizeof size);
    if (size < sizeof size)
        return ww_diag_set(diag, WW_EINVAL, "%s: set size to the size of the struct", what);
    for (size_t i = to_size; i < size; i++) {
        if (((const uint8_t *)from)[i])
            return ww_diag_set(
                diag, WW_EUNSUPPORTED, "%s: this version of the library (%s) is too old", what, WW_VERSION);
    }
    memcpy(to, from, size < to_size ? size : to_size);
    return 0;
}

void ww_embed_plain(char *text)
{
    char *out = text;
    for (const char *at = text; *at; at++) {
        if (at[0] == '-' && at[1] == '-' && at[2] >= 'a' && at[2] <= 'z' && (at == text || at[-1] == ' '))
            at += 2;
        *out++ = *at;
    }
    *out = '\0';
}

ww_err ww_embed_identity(
    struct ww_env *env, const char *data_dir, struct ww_keypair *ret_key, struct ww_diag *diag)
{
    bool created;
    if (data_dir)
        return ww_identity_load(env, data_dir, ret_key, &created, diag);
    ww_identity_fresh(env, ret_key);
    return 0;
}

/* ---- what the program gets ---- */

bool ww_embed_peer_text(struct ww_bytes peer, char ret_text[WW_PEER_ID_TEXT_MAX])
{
    /* Only to show it: whether the key inside is a good one was checked by whoever accepted the record. */
    struct ww_peer_id id = {.len = (uint8_t)peer.len};
    if (peer.len == 0 || peer.len > sizeof id.bytes)
        return false;
    memcpy(id.bytes, peer.ptr, peer.len);
    ww_peer_id_format(&id, ret_text);
    return true;
}

bool ww_embed_record_set(struct ww_embed_record_room *room, const struct ww_record *record)
{
    if (!ww_embed_peer_text(record->peer, room->peer) || record->meta_count > WW_ROUTING_META_MAX)
        return false;
    for (size_t i = 0; i < record->meta_count; i++)
        room->meta[i] = ww_record_meta(record, i);
    room->record = (struct ww_embed_record){
        .peer = room->peer,
        .server = record->server,
        .seq = record->seq,
        .ttl_ms = record->ttl_ms,
        .host = record->host,
        .meta = room->meta,
        .meta_count = record->meta_count,
    };
    return true;
}
