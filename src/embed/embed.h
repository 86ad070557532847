/* embed/embed.h — inside the public face of ww/node.h: what its files share.
 *
 * Two things are done here for every object. Options and callback tables of any age become today's
 * (ww_embed_take). And an object that is freed inside a callback of the program goes silent at once, but its
 * memory and what it holds go when the loop is at the top again, because layers below may stand in the
 * callback's stack. */
#ifndef WW_EMBED_EMBED_H
#define WW_EMBED_EMBED_H

#include "cluster/query.h"
#include "crypto/keys.h"
#include "os/os.h"
#include "p2p/peer_id.h"
#include "service/view_client.h"
#include "ww/node.h"

struct ww_runtime {
    struct ww_os *os;
    struct ww_env *env;
    unsigned depth;      /* callbacks of the program that we are in */
    size_t object_count; /* not destroyed yet */
    struct ww_list dead; /* struct ww_embed_object: to be destroyed by `reap` */
    struct ww_task reap;
    struct ww_trace trace;
    struct ww_runtime_log *log;
};

struct ww_embed_object {
    struct ww_list link; /* in runtime->dead */
    struct ww_runtime *runtime;
    bool dead;
    void (*destroy)(struct ww_embed_object *object);
};

void ww_embed_object_init(struct ww_embed_object *object, struct ww_runtime *runtime,
    void (*destroy)(struct ww_embed_object *object));
/* Destroys it now or soon. The caller has made it silent. */
void ww_embed_object_end(struct ww_embed_object *object);

/* Around every call into the program. */
static inline void ww_embed_enter(struct ww_embed_object *object)
{
    object->runtime->depth++;
}

static inline void ww_embed_leave(struct ww_embed_object *object)
{
    object->runtime->depth--;
}

/* Copies a struct of the program, whose first member is its size, into one of ours. `from` NULL: all 0.
 * WW_EINVAL: no size; WW_EUNSUPPORTED: a newer library is needed. */
WW_MUST_USE ww_err ww_embed_take(
    void *to, size_t to_size, const void *from, const char *what, struct ww_diag *diag);
/* Options have the names of the command line below: takes the dashes away. */
void ww_embed_plain(char *text);
/* The key in `data_dir`, or a new one. */
WW_MUST_USE ww_err ww_embed_identity(
    struct ww_env *env, const char *data_dir, struct ww_keypair *ret_key, struct ww_diag *diag);
/* False: not an id that we could show. */
bool ww_embed_peer_text(struct ww_bytes peer, char ret_text[WW_PEER_ID_TEXT_MAX]);

/* A record of the table as the program sees it; it owns the room that the views need. */
struct ww_embed_record_room {
    struct ww_embed_record record;
    char peer[WW_PEER_ID_TEXT_MAX];
    struct ww_bytes meta[WW_ROUTING_META_MAX];
};
/* False: not a record that can be shown. */
bool ww_embed_record_set(struct ww_embed_record_room *room, const struct ww_record *record);

/* What a query is asked of. */
struct ww_embed_source {
    struct ww_runtime *runtime;
    struct ww_list queries; /* struct ww_embed_query */
    struct ww_rpc_vat *vat;
    struct ww_cap *view; /* borrowed; NULL: may not be asked */
};
void ww_embed_source_init(struct ww_embed_source *source, struct ww_runtime *runtime);
/* Ends all queries, silently. */
void ww_embed_source_fini(struct ww_embed_source *source);
WW_MUST_USE ww_err ww_embed_source_query(struct ww_embed_source *source,
    const struct ww_embed_query_options *options, struct ww_embed_query_user *user,
    struct ww_embed_query **ret_query, struct ww_diag *diag);
/* Options and text to a query; the caller frees it. */
WW_MUST_USE ww_err ww_embed_query_parse(const struct ww_embed_query_options *options,
    struct ww_query **ret_query, bool *ret_standing, struct ww_diag *diag);

#endif
