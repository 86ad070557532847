#include "p2p/peerstore.h"

#include "p2p/peer_record.h"

#define AGENT_BYTES_MAX 256

struct addr {
    uint64_t expires_ns;
    uint16_t len;
    uint8_t *bytes;
};

struct entry {
    struct ww_map_node node;
    struct ww_list link; /* connected or idle, least recently changed first */
    struct ww_peer_id peer;
    struct addr *addrs; /* capacity WW_PEERSTORE_ADDRS_MAX, made with the first one */
    size_t addr_count;
    struct ww_bytes *protocols; /* one allocation: the views, then the names */
    size_t protocol_count;
    uint8_t *agent, *version, *record, *key;
    uint16_t agent_len, version_len, record_len, key_len;
    bool connected, identified, record_checked;
};

struct ww_peerstore {
    struct ww_map map;
    struct ww_list connected, idle;
};

static struct ww_bytes entry_key(const struct ww_map_node *node)
{
    return ww_peer_id_view(&WW_CONTAINER_OF(node, struct entry, node)->peer);
}

struct ww_peerstore *ww_peerstore_new(const uint64_t seed[2])
{
    struct ww_peerstore *ps = WW_NEW(struct ww_peerstore);
    if (!ps)
        return NULL;
    ww_map_init(&ps->map, entry_key, seed);
    ww_list_init(&ps->connected);
    ww_list_init(&ps->idle);
    return ps;
}

static void addr_drop(struct entry *e, size_t i)
{
    ww_free(e->addrs[i].bytes);
    e->addrs[i] = e->addrs[--e->addr_count];
}

static void entry_clear_told(struct entry *e)
{
    ww_free(e->protocols);
    ww_free(e->record);
    e->protocols = NULL;
    e->protocol_count = 0;
    e->record = NULL;
    e->record_len = 0;
    e->identified = false;
}

static void entry_free(struct ww_peerstore *ps, struct entry *e)
{
    ww_map_remove(&ps->map, &e->node);
    ww_list_remove(&e->link);
    while (e->addr_count)
        addr_drop(e, e->addr_count - 1);
    ww_free(e->addrs);
    entry_clear_told(e);
    ww_free(e->agent);
    ww_free(e->version);
    ww_free(e->key);
    ww_free(e);
}

void ww_peerstore_free(struct ww_peerstore *ps)
{
    if (!ps)
        return;
    while (!ww_list_empty(&ps->connected))
        entry_free(ps, WW_LIST_ENTRY(ps->connected.next, struct entry, link));
    while (!ww_list_empty(&ps->idle))
        entry_free(ps, WW_LIST_ENTRY(ps->idle.next, struct entry, link));
    ww_map_fini(&ps->map);
    ww_free(ps);
}

static struct entry *find(const struct ww_peerstore *ps, const struct ww_peer_id *peer)
{
    struct ww_map_node *node = ww_map_get(&ps->map, ww_peer_id_view(peer));
    return node ? WW_CONTAINER_OF(node, struct entry, node) : NULL;
}

static void touch(struct ww_peerstore *ps, struct entry *e)
{
    ww_list_remove(&e->link);
    ww_list_push_back(e->connected ? &ps->connected : &ps->idle, &e->link);
}

/* NULL when memory is out. */
static struct entry *find_or_add(struct ww_peerstore *ps, const struct ww_peer_id *peer)
{
    struct entry *e = find(ps, peer);
    if (e) {
        touch(ps, e);
        return e;
    }
    if (ps->map.count >= WW_PEERSTORE_PEERS_MAX && !ww_list_empty(&ps->idle))
        entry_free(ps, WW_LIST_ENTRY(ps->idle.next, struct entry, link));
    e = WW_NEW(struct entry);
    if (!e)
        return NULL;
    ww_list_init(&e->link);
    e->peer = *peer;
    if (ww_map_insert(&ps->map, &e->node) < 0) {
        ww_free(e);
        return NULL;
    }
    touch(ps, e);
    return e;
}

/* ---- addresses ---- */

static void entry_expire(struct entry *e, uint64_t now_ns)
{
    for (size_t i = e->addr_count; i-- > 0;) {
        if (e->addrs[i].expires_ns <= now_ns)
            addr_drop(e, i);
    }
}

static void addr_drop_first_to_expire(struct entry *e)
{
    size_t first = 0;
    for (size_t i = 1; i < e->addr_count; i++) {
        if (e->addrs[i].expires_ns < e->addrs[first].expires_ns)
            first = i;
    }
    addr_drop(e, first);
}

ww_err ww_peerstore_add_addr(struct ww_peerstore *ps, const struct ww_peer_id *peer, struct ww_bytes addr,
    uint64_t now_ns, uint64_t ttl_ns)
{
    if (addr.len == 0 || addr.len > WW_PEERSTORE_ADDR_BYTES_MAX || peer->len == 0)
        return WW_EINVAL;
    uint64_t expires_ns = ttl_ns > WW_NEVER - now_ns ? WW_NEVER : now_ns + ttl_ns;
    struct entry *e = find_or_add(ps, peer);
    if (!e)
        return WW_ENOMEM;
    entry_expire(e, now_ns);
    for (size_t i = 0; i < e->addr_count; i++) {
        if (ww_bytes_eq(ww_bytes(e->addrs[i].bytes, e->addrs[i].len), addr)) {
            if (e->addrs[i].expires_ns < expires_ns)
                e->addrs[i].expires_ns = expires_ns;
            return WW_OK;
        }
    }
    if (!e->addrs)
        e->addrs = ww_calloc(WW_PEERSTORE_ADDRS_MAX, sizeof *e->addrs);
    uint8_t *copy = e->addrs ? ww_alloc(addr.len) : NULL;
    if (!copy)
        return WW_ENOMEM;
    memcpy(copy, addr.ptr, addr.len);
    if (e->addr_count == WW_PEERSTORE_ADDRS_MAX)
        addr_drop_first_to_expire(e);
    e->addrs[e->addr_count++] = (struct addr){expires_ns, (uint16_t)addr.len, copy};
    return WW_OK;
}

struct ww_bytes ww_peerstore_addr(
    const struct ww_peerstore *ps, const struct ww_peer_id *peer, uint64_t now_ns, size_t index)
{
    const struct entry *e = find(ps, peer);
    for (size_t i = 0; e && i < e->addr_count; i++) {
        if (e->addrs[i].expires_ns > now_ns && index-- == 0)
            return ww_bytes(e->addrs[i].bytes, e->addrs[i].len);
    }
    return ww_bytes(NULL, 0);
}

void ww_peerstore_clear_addrs(struct ww_peerstore *ps, const struct ww_peer_id *peer)
{
    struct entry *e = find(ps, peer);
    while (e && e->addr_count)
        addr_drop(e, e->addr_count - 1);
}

/* ---- what identify tells ---- */

ww_err ww_peerstore_set_protocols(
    struct ww_peerstore *ps, const struct ww_peer_id *peer, const struct ww_bytes *names, size_t count)
{
    if (count > WW_PEERSTORE_PROTOCOLS_MAX)
        count = WW_PEERSTORE_PROTOCOLS_MAX;
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += names[i].len;
    struct entry *e = find_or_add(ps, peer);
    struct ww_bytes *views = e ? ww_alloc(count * sizeof *views + bytes + 1) : NULL;
    if (!views)
        return WW_ENOMEM;
    uint8_t *at = (uint8_t *)(views + count);
    for (size_t i = 0; i < count; i++) {
        if (names[i].len)
            memcpy(at, names[i].ptr, names[i].len);
        views[i] = ww_bytes(at, names[i].len);
        at += names[i].len;
    }
    ww_free(e->protocols);
    e->protocols = views;
    e->protocol_count = count;
    e->identified = true;
    return WW_OK;
}

struct ww_bytes ww_peerstore_protocol(
    const struct ww_peerstore *ps, const struct ww_peer_id *peer, size_t index)
{
    const struct entry *e = find(ps, peer);
    return e && index < e->protocol_count ? e->protocols[index] : ww_bytes(NULL, 0);
}

bool ww_peerstore_speaks(
    const struct ww_peerstore *ps, const struct ww_peer_id *peer, struct ww_bytes protocol)
{
    const struct entry *e = find(ps, peer);
    for (size_t i = 0; e && i < e->protocol_count; i++) {
        if (ww_bytes_eq(e->protocols[i], protocol))
            return true;
    }
    return false;
}

bool ww_peerstore_identified(const struct ww_peerstore *ps, const struct ww_peer_id *peer)
{
    const struct entry *e = find(ps, peer);
    return e && e->identified;
}

/* Replaces one remembered blob; the old one stays when memory is out. */
static ww_err blob_set(uint8_t **blob, uint16_t *blob_len, struct ww_bytes value)
{
    uint8_t *copy = NULL;
    if (value.len) {
        copy = ww_alloc(value.len);
        if (!copy)
            return WW_ENOMEM;
        memcpy(copy, value.ptr, value.len);
    }
    ww_free(*blob);
    *blob = copy;
    *blob_len = (uint16_t)value.len;
    return WW_OK;
}

static struct ww_bytes cut(struct ww_bytes text, size_t max)
{
    return ww_bytes(text.ptr, text.len < max ? text.len : max);
}

ww_err ww_peerstore_set_agent(struct ww_peerstore *ps, const struct ww_peer_id *peer, struct ww_bytes agent,
    struct ww_bytes protocol_version)
{
    struct entry *e = find_or_add(ps, peer);
    if (!e)
        return WW_ENOMEM;
    WW_TRY(blob_set(&e->agent, &e->agent_len, cut(agent, AGENT_BYTES_MAX)));
    return blob_set(&e->version, &e->version_len, cut(protocol_version, AGENT_BYTES_MAX));
}

struct ww_bytes ww_peerstore_agent(const struct ww_peerstore *ps, const struct ww_peer_id *peer)
{
    const struct entry *e = find(ps, peer);
    return e ? ww_bytes(e->agent, e->agent_len) : ww_bytes(NULL, 0);
}

struct ww_bytes ww_peerstore_protocol_version(const struct ww_peerstore *ps, const struct ww_peer_id *peer)
{
    const struct entry *e = find(ps, peer);
    return e ? ww_bytes(e->version, e->version_len) : ww_bytes(NULL, 0);
}

ww_err ww_peerstore_set_record(
    struct ww_peerstore *ps, const struct ww_peer_id *peer, struct ww_bytes envelope)
{
    if (envelope.len > WW_PEERSTORE_RECORD_BYTES_MAX)
        return WW_ELIMIT;
    struct entry *e = find_or_add(ps, peer);
    if (!e)
        return WW_ENOMEM;
    if (e->record && ww_bytes_eq(ww_bytes(e->record, e->record_len), envelope))
        return WW_OK;
    WW_TRY(blob_set(&e->record, &e->record_len, envelope));
    e->record_checked = false;
    return WW_OK;
}

struct ww_bytes ww_peerstore_record(const struct ww_peerstore *ps, const struct ww_peer_id *peer)
{
    struct entry *e = find(ps, peer);
    struct ww_peer_record record;
    if (!e || !e->record)
        return ww_bytes(NULL, 0);
    struct ww_bytes envelope = ww_bytes(e->record, e->record_len);
    if (!e->record_checked &&
        (ww_peer_record_open(envelope, &record) < 0 || !ww_peer_id_eq(&record.peer, peer))) {
        ww_free(e->record);
        e->record = NULL;
        e->record_len = 0;
        return ww_bytes(NULL, 0);
    }
    e->record_checked = true;
    return envelope;
}

ww_err ww_peerstore_set_key(struct ww_peerstore *ps, const struct ww_peer_id *peer, struct ww_bytes key_pb)
{
    if (key_pb.len > WW_PUBKEY_ENCODED_MAX)
        return WW_ELIMIT;
    struct entry *e = find_or_add(ps, peer);
    return e ? blob_set(&e->key, &e->key_len, key_pb) : WW_ENOMEM;
}

struct ww_bytes ww_peerstore_key(const struct ww_peerstore *ps, const struct ww_peer_id *peer)
{
    const struct entry *e = find(ps, peer);
    return e ? ww_bytes(e->key, e->key_len) : ww_bytes(NULL, 0);
}

/* ---- life ---- */

void ww_peerstore_set_connected(
    struct ww_peerstore *ps, const struct ww_peer_id *peer, bool connected, uint64_t now_ns)
{
    struct entry *e = connected ? find_or_add(ps, peer) : find(ps, peer);
    if (!e || e->connected == connected)
        return;
    e->connected = connected;
    touch(ps, e);
    if (connected)
        return;
    entry_clear_told(e);
    uint64_t until_ns = now_ns + WW_PEERSTORE_TTL_RECENT_NS;
    for (size_t i = 0; i < e->addr_count; i++) {
        if (e->addrs[i].expires_ns > until_ns)
            e->addrs[i].expires_ns = until_ns;
    }
}

void ww_peerstore_expire(struct ww_peerstore *ps, uint64_t now_ns)
{
    WW_LIST_FOR_SAFE(it, &ps->idle)
    {
        struct entry *e = WW_LIST_ENTRY(it, struct entry, link);
        entry_expire(e, now_ns);
        if (e->addr_count == 0)
            entry_free(ps, e);
    }
    WW_LIST_FOR(it, &ps->connected)
    entry_expire(WW_LIST_ENTRY(it, struct entry, link), now_ns);
}

void ww_peerstore_forget(struct ww_peerstore *ps, const struct ww_peer_id *peer)
{
    struct entry *e = find(ps, peer);
    if (e && !e->connected)
        entry_free(ps, e);
}

size_t ww_peerstore_count(const struct ww_peerstore *ps)
{
    return ps->map.count;
}

const struct ww_peer_id *ww_peerstore_next(const struct ww_peerstore *ps, const struct ww_peer_id *prev)
{
    const struct ww_list *at = &ps->connected;
    if (prev) {
        const struct entry *e = find(ps, prev);
        if (!e)
            return NULL;
        at = &e->link;
    }
    at = at->next;
    if (at == &ps->connected)
        at = ps->idle.next;
    return at == &ps->idle ? NULL : &WW_LIST_ENTRY((struct ww_list *)at, struct entry, link)->peer;
}
