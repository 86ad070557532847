/* A client of the program's: a peer that does not listen, and its queries. */
#include "node/client.h"

#include "embed/embed.h"
#include "node/node.h"

#define TIMEOUT_DEFAULT_MS 10000

struct ww_embed_client {
    struct ww_embed_object object;
    struct ww_embed_client_user *user;
    struct ww_embed_client_ops ops;
    struct ww_keypair key;
    struct ww_client *client;
    struct ww_client_user events;
    struct ww_embed_source source;
    bool ready;
};

static void on_ready(struct ww_client_user *events, const struct ww_client_session *session)
{
    struct ww_embed_client *c = WW_CONTAINER_OF(events, struct ww_embed_client, events);
    char peer[WW_PEER_ID_TEXT_MAX];
    if (c->object.dead)
        return;
    c->ready = true;
    c->source.vat = ww_client_vat(c->client);
    c->source.view = session->view;
    if (!c->ops.ready)
        return;
    ww_embed_enter(&c->object);
    c->ops.ready(c->user, ww_peer_id_format(&session->peer, peer), session->server);
    ww_embed_leave(&c->object);
}

static void on_failed(struct ww_client_user *events, ww_err err, const char *text)
{
    struct ww_embed_client *c = WW_CONTAINER_OF(events, struct ww_embed_client, events);
    char plain[1024];
    if (c->object.dead)
        return;
    c->ready = false;
    if (!c->ops.failed)
        return;
    if (!text || !*text)
        text = ww_err_text(err);
    size_t len = strnlen(text, sizeof plain - 1);
    memcpy(plain, text, len);
    plain[len] = '\0';
    ww_embed_plain(plain);
    ww_embed_enter(&c->object);
    c->ops.failed(c->user, err, plain);
    ww_embed_leave(&c->object);
}

/* ---- life ---- */

static void destroy(struct ww_embed_object *object)
{
    struct ww_embed_client *c = WW_CONTAINER_OF(object, struct ww_embed_client, object);
    ww_client_free(c->client);
    ww_keypair_fini(&c->key);
    ww_free(c);
}

void ww_embed_client_free(struct ww_embed_client *client)
{
    if (!client || client->object.dead)
        return;
    ww_embed_source_fini(&client->source);
    client->ready = false;
    ww_embed_object_end(&client->object);
}

static ww_err set_up(
    struct ww_embed_client *c, const struct ww_embed_client_options *options, struct ww_diag *diag)
{
    struct ww_env *env = c->object.runtime->env;
    struct ww_embed_client_options taken;
    WW_TRY(ww_embed_take(&taken, sizeof taken, options, "client options", diag));
    WW_TRY(ww_embed_take(&c->ops, sizeof c->ops, c->user ? c->user->ops : NULL, "client callbacks", diag));
    WW_TRY(ww_embed_identity(env, taken.data_dir, &c->key, diag));
    struct ww_client_conf conf = {
        .env = env,
        .key = &c->key,
        .ns = taken.ns ? taken.ns : WW_NODE_NS_DEFAULT,
        .peers = taken.peers,
        .peer_count = taken.peer_count,
        .discover = taken.discover,
        .discover_count = taken.discover_count,
        .timeout_ns = (uint64_t)(taken.timeout_ms ? taken.timeout_ms : TIMEOUT_DEFAULT_MS) * WW_NS_PER_MS,
        .user = &c->events,
    };
    return ww_client_new(&conf, &c->client, diag);
}

ww_err ww_embed_client_new(struct ww_runtime *runtime, const struct ww_embed_client_options *options,
    struct ww_embed_client_user *user, struct ww_embed_client **ret_client, struct ww_diag *diag)
{
    struct ww_embed_client *c = WW_NEW(struct ww_embed_client);
    if (!c)
        return ww_diag_set(diag, WW_ENOMEM, "out of memory");
    ww_embed_object_init(&c->object, runtime, destroy);
    ww_embed_source_init(&c->source, runtime);
    c->user = user;
    c->events = (struct ww_client_user){on_ready, on_failed};
    ww_err err = set_up(c, options, diag);
    if (err < 0) {
        if (diag)
            ww_embed_plain(diag->text);
        ww_embed_client_free(c);
        return err;
    }
    *ret_client = c;
    return 0;
}

ww_err ww_embed_client_query(struct ww_embed_client *client, const struct ww_embed_query_options *options,
    struct ww_embed_query_user *user, struct ww_embed_query **ret_query, struct ww_diag *diag)
{
    if (!client->ready)
        return ww_diag_set(diag, WW_ESTATE, "the client is not logged in");
    return ww_embed_source_query(&client->source, options, user, ret_query, diag);
}
