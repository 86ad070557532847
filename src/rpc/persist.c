/* The table of sturdy references. A reference: a version byte, 16 bytes of id, the MAC over both and the
 * owner. A stored table: magic, count, what tells the key from others, entries (id, expiry, lengths, owner,
 * object), the MAC over all of it. */
#include "rpc/persist_int.h"

enum {
    VERSION = 1,
    ID_BYTES = 16,
    TAG_AT = 1 + ID_BYTES,
    KEY_AT = 12, /* after magic and count */
    KEY_BYTES = 16,
    HEAD_BYTES = KEY_AT + KEY_BYTES,
    ENTRY_BYTES = ID_BYTES + 12,
    ENTRIES_MAX = 65536,
};
static const uint8_t magic[8] = "ww-refs\x02";

struct entry {
    struct ww_map_node node;
    uint8_t id[ID_BYTES];
    uint64_t expires_s;
    uint16_t owner_len, object_len;
    uint8_t bytes[]; /* owner, object */
};

static struct ww_bytes id_of(const struct ww_map_node *node)
{
    return ww_bytes(WW_CONTAINER_OF((struct ww_map_node *)(uintptr_t)node, struct entry, node)->id, ID_BYTES);
}

ww_err ww_persist_new(struct ww_persist_host *host, uint32_t entries_max, struct ww_persist **ret_table)
{
    struct ww_persist *t = WW_NEW(struct ww_persist);
    if (!t)
        return WW_ENOMEM;
    t->host = host;
    ww_list_init(&t->restorers);
    t->max = entries_max ? entries_max : ENTRIES_MAX;
    uint64_t seed[2];
    host->ops->random(host, (uint8_t *)seed, sizeof seed);
    ww_map_init(&t->entries, id_of, seed);
    *ret_table = t;
    return 0;
}

static size_t stored_bytes(const struct entry *e)
{
    return (size_t)ENTRY_BYTES + e->owner_len + e->object_len;
}

static void entry_free(struct ww_persist *t, struct entry *e)
{
    t->bytes -= stored_bytes(e);
    ww_map_remove(&t->entries, &e->node);
    ww_free(e);
}

typedef bool (*entry_test)(const struct entry *e, const void *ctx);

static uint32_t entries_drop(struct ww_persist *t, entry_test test, const void *ctx)
{
    uint32_t n = 0;
    struct ww_map_node *node = ww_map_next(&t->entries, NULL), *next;
    for (; node; node = next) {
        next = ww_map_next(&t->entries, node);
        struct entry *e = WW_CONTAINER_OF(node, struct entry, node);
        if (!test(e, ctx))
            continue;
        entry_free(t, e);
        n++;
    }
    return n;
}

static bool any(const struct entry *e, const void *ctx)
{
    WW_UNUSED(e);
    WW_UNUSED(ctx);
    return true;
}

void ww_persist_free(struct ww_persist *table)
{
    if (!table)
        return;
    ww_persist_restorers_cut(table);
    (void)entries_drop(table, any, NULL);
    ww_map_fini(&table->entries);
    ww_free(table);
}

static void changed(struct ww_persist *t)
{
    if (t->host->ops->changed)
        t->host->ops->changed(t->host);
}

static ww_err entry_add(struct ww_persist *t, const uint8_t *id, struct ww_bytes owner,
    struct ww_bytes object, uint64_t expires_s)
{
    if (t->entries.count >= t->max)
        return WW_ELIMIT;
    struct entry *e = ww_alloc(sizeof *e + owner.len + object.len);
    if (!e)
        return WW_ENOMEM;
    memcpy(e->id, id, ID_BYTES);
    e->expires_s = expires_s;
    e->owner_len = (uint16_t)owner.len;
    e->object_len = (uint16_t)object.len;
    if (owner.len)
        memcpy(e->bytes, owner.ptr, owner.len);
    if (object.len)
        memcpy(e->bytes + owner.len, object.ptr, object.len);
    ww_err err = ww_map_insert(&t->entries, &e->node);
    if (err < 0)
        ww_free(e);
    else
        t->bytes += stored_bytes(e);
    return err;
}

static void ref_tag(struct ww_persist *t, const uint8_t *id, struct ww_bytes owner, uint8_t *ret_tag)
{
    uint8_t text[TAG_AT + WW_PERSIST_OWNER_MAX];
    text[0] = VERSION;
    memcpy(text + 1, id, ID_BYTES);
    if (owner.len)
        memcpy(text + TAG_AT, owner.ptr, owner.len);
    t->host->ops->mac(t->host, ww_bytes(text, TAG_AT + owner.len), ret_tag);
}

/* In a time that does not say where they differ. */
static bool same(const uint8_t *a, const uint8_t *b, size_t n)
{
    unsigned differ = 0;
    for (size_t i = 0; i < n; i++)
        differ |= (unsigned)(a[i] ^ b[i]);
    return differ == 0;
}

ww_err ww_persist_save(struct ww_persist *table, struct ww_bytes object, struct ww_bytes owner,
    uint64_t expires_s, uint8_t ret_ref[WW_PERSIST_REF_BYTES])
{
    if (object.len > WW_PERSIST_OBJECT_MAX || owner.len > WW_PERSIST_OWNER_MAX)
        return WW_EINVAL;
    uint8_t id[ID_BYTES];
    do {
        table->host->ops->random(table->host, id, sizeof id);
    } while (ww_map_get(&table->entries, ww_bytes(id, sizeof id)));
    WW_TRY(entry_add(table, id, owner, object, expires_s));
    ret_ref[0] = VERSION;
    memcpy(ret_ref + 1, id, ID_BYTES);
    ref_tag(table, id, owner, ret_ref + TAG_AT);
    changed(table);
    return 0;
}

/* The entry of a genuine reference; `owner` NULL: whosever it is. */
static struct entry *ref_find(struct ww_persist *t, struct ww_bytes ref, const struct ww_bytes *owner)
{
    if (ref.len != WW_PERSIST_REF_BYTES || ref.ptr[0] != VERSION)
        return NULL;
    struct ww_map_node *node = ww_map_get(&t->entries, ww_bytes(ref.ptr + 1, ID_BYTES));
    if (!node)
        return NULL;
    struct entry *e = WW_CONTAINER_OF(node, struct entry, node);
    struct ww_bytes sealed_for = ww_bytes(e->bytes, e->owner_len);
    if (owner && e->owner_len) {
        if (owner->len != e->owner_len || !same(owner->ptr, e->bytes, e->owner_len))
            return NULL;
    }
    uint8_t tag[WW_PERSIST_MAC_BYTES];
    ref_tag(t, e->id, sealed_for, tag);
    return same(tag, ref.ptr + TAG_AT, sizeof tag) ? e : NULL;
}

static bool expired(const struct entry *e, const void *now_s)
{
    return e->expires_s && e->expires_s <= *(const uint64_t *)now_s;
}

ww_err ww_persist_restore(struct ww_persist *table, struct ww_bytes ref, struct ww_bytes owner,
    uint64_t now_s, struct ww_cap **ret_cap)
{
    struct entry *e = ref_find(table, ref, &owner);
    if (!e || expired(e, &now_s))
        return WW_ENOTFOUND;
    /* A copy, because the host may change the table meanwhile. */
    uint8_t object[WW_PERSIST_OBJECT_MAX];
    size_t len = e->object_len;
    memcpy(object, e->bytes + e->owner_len, len);
    return table->host->ops->restore(table->host, ww_bytes(object, len), ret_cap);
}

static ww_err revoke(struct ww_persist *t, struct ww_bytes ref, const struct ww_bytes *owner)
{
    struct entry *e = ref_find(t, ref, owner);
    if (!e)
        return WW_ENOTFOUND;
    entry_free(t, e);
    changed(t);
    return 0;
}

ww_err ww_persist_revoke(struct ww_persist *table, struct ww_bytes ref)
{
    return revoke(table, ref, NULL);
}

ww_err ww_persist_revoke_by(struct ww_persist *table, struct ww_bytes ref, struct ww_bytes owner)
{
    return revoke(table, ref, &owner);
}

static bool is_of(const struct entry *e, const void *object)
{
    const struct ww_bytes *name = object;
    return e->object_len == name->len &&
        (name->len == 0 || memcmp(e->bytes + e->owner_len, name->ptr, name->len) == 0);
}

uint32_t ww_persist_forget(struct ww_persist *table, struct ww_bytes object)
{
    uint32_t n = entries_drop(table, is_of, &object);
    if (n)
        changed(table);
    return n;
}

uint32_t ww_persist_expire(struct ww_persist *table, uint64_t now_s)
{
    uint32_t n = entries_drop(table, expired, &now_s);
    if (n)
        changed(table);
    return n;
}

uint32_t ww_persist_count(const struct ww_persist *table)
{
    return (uint32_t)table->entries.count;
}

/* ---- stored */

/* The same for the same key, and of no use to whoever would guess it: nothing else is tagged that begins so.
 */
static void key_check(const struct ww_persist *t, uint8_t ret_check[KEY_BYTES])
{
    uint8_t tag[WW_PERSIST_MAC_BYTES];
    t->host->ops->mac(t->host, WW_BYTES_LIT("which key"), tag);
    memcpy(ret_check, tag, KEY_BYTES);
}

size_t ww_persist_bytes(const struct ww_persist *table)
{
    return HEAD_BYTES + table->bytes + WW_PERSIST_MAC_BYTES;
}

void ww_persist_write(const struct ww_persist *table, uint8_t *out)
{
    uint8_t *at = out;
    memcpy(at, magic, sizeof magic);
    ww_le32_store(at + 8, (uint32_t)table->entries.count);
    key_check(table, at + KEY_AT);
    at += HEAD_BYTES;
    for (struct ww_map_node *n = ww_map_next(&table->entries, NULL); n; n = ww_map_next(&table->entries, n)) {
        const struct entry *e = WW_CONTAINER_OF(n, struct entry, node);
        memcpy(at, e->id, ID_BYTES);
        ww_le64_store(at + ID_BYTES, e->expires_s);
        ww_le16_store(at + ID_BYTES + 8, e->owner_len);
        ww_le16_store(at + ID_BYTES + 10, e->object_len);
        memcpy(at + ENTRY_BYTES, e->bytes, (size_t)e->owner_len + e->object_len);
        at += stored_bytes(e);
    }
    table->host->ops->mac(table->host, ww_bytes(out, (size_t)(at - out)), at);
}

static ww_err entry_load(struct ww_persist *t, const uint8_t **at, const uint8_t *end)
{
    const uint8_t *p = *at;
    if (end - p < ENTRY_BYTES)
        return WW_EPROTO;
    size_t owner_len = ww_le16_load(p + ID_BYTES + 8), object_len = ww_le16_load(p + ID_BYTES + 10);
    if (owner_len > WW_PERSIST_OWNER_MAX || object_len > WW_PERSIST_OBJECT_MAX ||
        (size_t)(end - p) < ENTRY_BYTES + owner_len + object_len ||
        ww_map_get(&t->entries, ww_bytes(p, ID_BYTES)))
        return WW_EPROTO;
    *at = p + ENTRY_BYTES + owner_len + object_len;
    return entry_add(t, p, ww_bytes(p + ENTRY_BYTES, owner_len),
        ww_bytes(p + ENTRY_BYTES + owner_len, object_len), ww_le64_load(p + ID_BYTES));
}

/* Whether these are a table's bytes, as they were written, under this key. */
static ww_err stored_check(const struct ww_persist *t, struct ww_bytes data, struct ww_diag *reterr_diag)
{
    uint8_t tag[WW_PERSIST_MAC_BYTES], key[KEY_BYTES];
    if (data.len < HEAD_BYTES + WW_PERSIST_MAC_BYTES || memcmp(data.ptr, magic, sizeof magic) != 0)
        return ww_diag_set(reterr_diag, WW_EPROTO,
            "this is no table of references of this version: give what ww_persist_write wrote, all of it");
    size_t tagged = data.len - WW_PERSIST_MAC_BYTES;
    key_check(t, key);
    if (!same(key, data.ptr + KEY_AT, sizeof key))
        return ww_diag_set(reterr_diag, WW_ECRYPTO,
            "the table of references was stored under another key: bring that key back, or begin with an "
            "empty table, and all references given out so far lead to nothing");
    t->host->ops->mac(t->host, ww_bytes(data.ptr, tagged), tag);
    if (!same(tag, data.ptr + tagged, sizeof tag))
        return ww_diag_set(reterr_diag, WW_EPROTO,
            "the stored table of references is damaged: take an undamaged copy of it");
    return 0;
}

ww_err ww_persist_load(struct ww_persist *table, struct ww_bytes data, struct ww_diag *reterr_diag)
{
    if (table->entries.count)
        return ww_diag_set(reterr_diag, WW_ESTATE, "references are loaded into an empty table only");
    WW_TRY(stored_check(table, data, reterr_diag));
    const uint8_t *at = data.ptr + HEAD_BYTES, *end = data.ptr + data.len - WW_PERSIST_MAC_BYTES;
    ww_err err = 0;
    uint32_t count = ww_le32_load(data.ptr + 8);
    for (uint32_t i = 0; i < count && err == 0; i++)
        err = entry_load(table, &at, end);
    if (err == 0 && at != end)
        err = WW_EPROTO;
    if (err == 0)
        return 0;
    (void)entries_drop(table, any, NULL);
    if (err == WW_ELIMIT)
        return ww_diag_set(reterr_diag, err,
            "%u references are stored, and the table takes %u: make it larger", (unsigned)count,
            (unsigned)table->max);
    return ww_diag_set(reterr_diag, err, "the references could not be loaded: %s", ww_err_text(err));
}
