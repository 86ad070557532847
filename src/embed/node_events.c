/* What a node tells the program: where it can be reached, who comes, changes and goes.
 *
 * The table calls its observers in the middle of a change, where a program may not do as it likes. So each
 * event is copied, and told from a task of the same loop turn. When there is no memory for a copy, the events
 * are dropped and the program is told to begin anew, from a snapshot of the table. */
#include "embed/node.h"

/* More than a turn of the loop brings in by far. */
#define EVENTS_MAX 65536
#define RETRY_NS WW_NS_PER_S
#define ADDRS_BYTES_MAX (256u << 10)

enum kind { JOINED, CHANGED, LEFT };

struct event {
    struct ww_list link;
    enum kind kind;
    bool expired;
    struct ww_embed_record_room room;
    uint8_t bytes[]; /* host and metadata */
};

static struct ww_embed_node *of(struct ww_task *tell)
{
    return WW_CONTAINER_OF(tell, struct ww_embed_node, tell);
}

static void post(struct ww_embed_node *n)
{
    struct ww_env *env = n->object.runtime->env;
    env->ops->post(env, &n->tell);
}

static void retry(struct ww_timer *timer)
{
    post(WW_CONTAINER_OF(timer, struct ww_embed_node, retry));
}

static void retry_later(struct ww_embed_node *n)
{
    struct ww_env *env = n->object.runtime->env;
    env->ops->timer_set(env, &n->retry, ww_env_now(env) + RETRY_NS);
}

/* ---- gathering ---- */

static struct ww_bytes keep(uint8_t **at, struct ww_bytes view)
{
    uint8_t *copy = *at;
    if (view.len)
        memcpy(copy, view.ptr, view.len);
    *at += view.len;
    return ww_bytes(copy, view.len);
}

/* NULL: no memory. */
static struct event *event_new(const struct ww_record *record)
{
    size_t len = record->host.len;
    for (size_t i = 0; i < record->meta_count; i++)
        len += ww_record_meta(record, i).len;
    struct event *e = ww_alloc(sizeof *e + len);
    if (!e)
        return NULL;
    if (!ww_embed_record_set(&e->room, record)) {
        ww_free(e);
        return NULL;
    }
    uint8_t *at = e->bytes;
    e->room.record.host = keep(&at, record->host);
    for (size_t i = 0; i < record->meta_count; i++)
        e->room.meta[i] = keep(&at, e->room.meta[i]);
    return e;
}

static void events_drop(struct ww_embed_node *n)
{
    for (struct ww_list *link; (link = ww_list_pop_front(&n->events));)
        ww_free(WW_LIST_ENTRY(link, struct event, link));
    n->event_count = 0;
}

static bool is_self(const struct ww_embed_node *n, const struct ww_record *record)
{
    return ww_bytes_eq(record->peer, ww_peer_id_view(ww_node_id(n->node)));
}

static void table_changed(struct ww_routing_observer *obs, const struct ww_record *before,
    const struct ww_record *after, bool renewed)
{
    struct ww_embed_node *n = WW_CONTAINER_OF(obs, struct ww_embed_node, observer);
    const struct ww_record *record = after ? after : before;
    if (renewed || n->lost || is_self(n, record) || record->peer.len > WW_PEER_ID_MAX)
        return;
    post(n);
    struct event *e = n->event_count < EVENTS_MAX ? event_new(record) : NULL;
    if (!e) {
        events_drop(n);
        n->lost = true;
        return;
    }
    e->kind = !before ? JOINED : after ? CHANGED : LEFT;
    e->expired = !after && before->deadline_ns <= ww_env_now(n->object.runtime->env);
    ww_list_push_back(&n->events, &e->link);
    n->event_count++;
}

static void addrs_changed(struct ww_swarm_sub *sub)
{
    struct ww_embed_node *n = WW_CONTAINER_OF(sub, struct ww_embed_node, sub);
    n->new_addrs = true;
    post(n);
}

/* ---- telling ---- */

static ww_err put_addresses(struct ww_embed_node *n, struct ww_buf *texts, size_t *ret_count)
{
    size_t count = 0;
    ww_err err;
    while ((err = ww_embed_node_address_put(n, count, texts)) == 0)
        count++;
    *ret_count = count;
    return err == WW_ENOTFOUND ? 0 : err;
}

static void tell_addresses(struct ww_embed_node *n)
{
    struct ww_buf texts;
    size_t count = 0;
    if (!n->new_addrs || !n->ops.addresses)
        return;
    ww_buf_init(&texts, ADDRS_BYTES_MAX);
    ww_err err = put_addresses(n, &texts, &count);
    const char **addrs = ww_calloc(count + 1, sizeof *addrs);
    if (err < 0 || !addrs) {
        retry_later(n);
    } else {
        const char *at = (const char *)ww_buf_data(&texts);
        for (size_t i = 0; i < count; i++, at += strlen(at) + 1)
            addrs[i] = at;
        n->new_addrs = false;
        ww_embed_enter(&n->object);
        n->ops.addresses(n->user, addrs, count);
        ww_embed_leave(&n->object);
    }
    ww_free(addrs);
    ww_buf_fini(&texts);
}

static void tell_record(
    struct ww_embed_node *n, enum kind kind, const struct ww_embed_record *record, bool expired)
{
    ww_embed_enter(&n->object);
    if (kind == JOINED && n->ops.joined)
        n->ops.joined(n->user, record);
    else if (kind == CHANGED && n->ops.changed)
        n->ops.changed(n->user, record);
    else if (kind == LEFT && n->ops.left)
        n->ops.left(n->user, record, expired);
    ww_embed_leave(&n->object);
}

static void tell_all(struct ww_embed_node *n)
{
    struct ww_snapshot *snap = ww_routing_snapshot(ww_node_routing(n->node));
    struct ww_scan all = ww_scan_all(WW_INDEX_ID);
    struct ww_scan_iter it;
    struct ww_record record;
    if (!snap) {
        retry_later(n);
        return;
    }
    n->lost = false;
    ww_embed_enter(&n->object);
    if (n->ops.reset)
        n->ops.reset(n->user);
    ww_embed_leave(&n->object);
    ww_scan_init(&it, snap, &all);
    while (!n->object.dead && ww_scan_next(&it, &record)) {
        struct ww_embed_record_room room;
        if (!is_self(n, &record) && ww_embed_record_set(&room, &record))
            tell_record(n, JOINED, &room.record, false);
    }
    ww_scan_fini(&it);
    ww_snapshot_unref(snap);
}

static void tell_events(struct ww_embed_node *n)
{
    for (struct ww_list *link; !n->object.dead && (link = ww_list_pop_front(&n->events));) {
        struct event *e = WW_LIST_ENTRY(link, struct event, link);
        n->event_count--;
        tell_record(n, e->kind, &e->room.record, e->expired);
        ww_free(e);
    }
}

static void tell(struct ww_task *task)
{
    struct ww_embed_node *n = of(task);
    tell_addresses(n);
    if (!n->object.dead && n->lost)
        tell_all(n);
    tell_events(n);
    if (n->object.dead || !n->gone)
        return;
    n->gone = false;
    ww_embed_enter(&n->object);
    if (n->ops.gone)
        n->ops.gone(n->user);
    ww_embed_leave(&n->object);
}

/* ---- life ---- */

void ww_embed_node_tell_init(struct ww_embed_node *n)
{
    ww_list_init(&n->events);
    ww_task_init(&n->tell, tell);
    n->observer.changed = table_changed;
    n->sub.addrs_changed = addrs_changed;
    n->retry.fired = retry;
}

void ww_embed_node_tell_start(struct ww_embed_node *n)
{
    n->telling = true;
    ww_routing_observe(ww_node_routing(n->node), &n->observer);
    ww_swarm_subscribe(ww_node_swarm(n->node), &n->sub);
    n->new_addrs = true;
    post(n);
}

void ww_embed_node_tell_stop(struct ww_embed_node *n)
{
    if (!n->telling)
        return;
    struct ww_env *env = n->object.runtime->env;
    n->telling = false;
    ww_routing_unobserve(&n->observer);
    ww_swarm_unsubscribe(ww_node_swarm(n->node), &n->sub);
    env->ops->timer_cancel(env, &n->retry);
    ww_list_remove(&n->tell.link);
    events_drop(n);
}
