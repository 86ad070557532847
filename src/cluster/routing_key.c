/* Order of the indexes. Every entry has a 64-bit word that decides most comparisons without looking at the
 * key. */
#include "cluster/routing_int.h"
#include "p2p/multibase.h"

/* ---- peer ids: ordered by their base58 text ---- */

/* All Ed25519 ids begin alike; the word tells apart what comes after. */
#define COMMON "12D3KooW"
#define COMMON_LEN 8
#define WORD_DIGITS 10

/* Number of base58 characters that are not above the byte: 1 to 58 for the alphabet itself. */
static unsigned rank58(uint8_t c)
{
    static const uint8_t gaps[][3] = {/* first, last, rank of the first */
        {'1', '9', 1}, {'A', 'H', 10}, {'J', 'N', 18}, {'P', 'Z', 23}, {'a', 'k', 34}, {'m', 'z', 45}};
    unsigned rank = 0;
    for (size_t i = 0; i < WW_COUNT_OF(gaps) && c >= gaps[i][0]; i++)
        rank = gaps[i][2] + (unsigned)(c < gaps[i][1] ? c : gaps[i][1]) - gaps[i][0];
    return rank;
}

static bool is_base58(uint8_t c)
{
    return c >= '1' && c <= 'z' && (c <= '9' || (c >= 'A' && c <= 'Z') || c >= 'a') && c != 'I' && c != 'O' &&
        c != 'l';
}

/* Six bits a character, then zeros, or ones when the text stands for all that it begins (`high`). A byte
 * outside the alphabet lies between two digits: ones from there on keep the order. */
static uint64_t digits58(struct ww_bytes text, bool high)
{
    uint64_t word = 0;
    size_t i = 0;
    for (; i < WORD_DIGITS && i < text.len; i++) {
        word = word << 6 | rank58(text.ptr[i]);
        if (!is_base58(text.ptr[i])) {
            high = true;
            i++;
            break;
        }
    }
    unsigned rest = 6 * (unsigned)(WORD_DIGITS - i);
    return high ? (word << rest) | ((UINT64_C(1) << rest) - 1) : word << rest;
}

static uint64_t id_word_of(struct ww_bytes text, bool high)
{
    struct ww_bytes common = WW_BYTES_LIT(COMMON);
    if (ww_bytes_has_prefix(text, common))
        return UINT64_C(1) << 62 | digits58(ww_bytes_skip(text, COMMON_LEN), high);
    bool above = ww_bytes_cmp(text, common) > 0 || (high && ww_bytes_has_prefix(common, text));
    return (above ? UINT64_C(2) << 62 : 0) | digits58(text, high);
}

uint64_t id_word(struct ww_bytes text)
{
    return id_word_of(text, false);
}

struct ww_bytes id_text(struct ww_bytes peer, char out[ID_TEXT_MAX])
{
    ww_err len = ww_base58_encode(peer, out, ID_TEXT_MAX);
    WW_ASSERT(len >= 0); /* the size was checked on entry to the table */
    return ww_bytes(out, (size_t)len);
}

int id_cmp(const struct body *a, const struct body *b)
{
    if (a->id_word != b->id_word)
        return a->id_word < b->id_word ? -1 : 1;
    /* Equal beginnings and equal lengths: base58 then orders as the bytes do. */
    if (a->peer_len == b->peer_len && a->id_word >> 62 == 1)
        return ww_bytes_cmp(body_peer(a), body_peer(b));
    char text_a[ID_TEXT_MAX], text_b[ID_TEXT_MAX];
    return ww_bytes_cmp(id_text(body_peer(a), text_a), id_text(body_peer(b), text_b));
}

/* ---- servers: hex text of a number, so ordered as the numbers ---- */

#define SERVER_TEXT_LEN 16

static struct ww_bytes server_text(uint64_t server, char out[SERVER_TEXT_LEN + 1])
{
    uint8_t bytes[8];
    ww_be64_store(bytes, server);
    ww_hex_encode(ww_bytes(bytes, sizeof bytes), out);
    return ww_bytes(out, SERVER_TEXT_LEN);
}

static uint64_t server_word(struct ww_bytes text, bool high)
{
    uint64_t word = 0;
    for (unsigned i = 0; i < SERVER_TEXT_LEN; i++) {
        unsigned rest = 4 * (SERVER_TEXT_LEN - i);
        uint64_t ones = rest == 64 ? UINT64_MAX : (UINT64_C(1) << rest) - 1;
        if (i == text.len)
            return rest == 64 ? (high ? ones : 0) : (word << rest) | (high ? ones : 0);
        uint8_t c = text.ptr[i];
        bool digit = c >= '0' && c <= '9', letter = c >= 'a' && c <= 'f';
        if (!digit && !letter) { /* between two digits: the end of the lower one, or the very start */
            if (c < '0')
                return i == 0 ? 0 : word << rest;
            uint64_t below = c < 'a' ? 9 : 15;
            word = word << 4 | below;
            rest -= 4;
            return rest == 0 ? word : (word << rest) | ((UINT64_C(1) << rest) - 1);
        }
        word = word << 4 | (uint64_t)(digit ? c - '0' : c - 'a' + 10);
    }
    return word;
}

/* ---- strings ---- */

static uint64_t string_word(struct ww_bytes text, bool high)
{
    uint8_t first[8];
    memset(first, high ? 0xff : 0, sizeof first);
    if (text.len)
        memcpy(first, text.ptr, text.len < 8 ? text.len : 8);
    return ww_be64_load(first);
}

/* ---- probes ---- */

static uint64_t word_of_slot(const struct ww_oprobe *probe, uint32_t ref)
{
    const struct probe *p = WW_CONTAINER_OF(probe, const struct probe, base);
    const struct body *b = cell_at(p->table, ref)->body;
    return p->index == WW_INDEX_SERVER ? b->server : b->id_word;
}

static uint64_t word_of_atom(const struct ww_oprobe *probe, uint32_t ref)
{
    const struct probe *p = WW_CONTAINER_OF(probe, const struct probe, base);
    return string_word(atom_text(atom_at(p->table, ref)), false);
}

static int cmp_slot(const struct ww_oprobe *probe, uint32_t ref)
{
    const struct probe *p = WW_CONTAINER_OF(probe, const struct probe, base);
    if (p->ref == ref)
        return 0;
    return id_cmp(cell_at(p->table, p->ref)->body, cell_at(p->table, ref)->body);
}

static int cmp_atom(const struct ww_oprobe *probe, uint32_t ref)
{
    const struct probe *p = WW_CONTAINER_OF(probe, const struct probe, base);
    if (p->ref == ref)
        return 0;
    return ww_bytes_cmp(atom_text(atom_at(p->table, p->ref)), atom_text(atom_at(p->table, ref)));
}

/* Where a text stands to a key, as a position between keys: never equal. */
static int cmp_text(const struct ww_oprobe *probe, uint32_t ref)
{
    const struct probe *p = WW_CONTAINER_OF(probe, const struct probe, base);
    char buf[ID_TEXT_MAX];
    struct ww_bytes key;
    if (p->index == WW_INDEX_ID)
        key = id_text(body_peer(cell_at(p->table, ref)->body), buf);
    else if (p->index == WW_INDEX_SERVER)
        key = server_text(cell_at(p->table, ref)->body->server, buf);
    else
        key = atom_text(atom_at(p->table, ref));
    if (p->after_prefix && ww_bytes_has_prefix(key, p->text))
        return 1;
    int c = ww_bytes_cmp(p->text, key);
    return c ? c : (p->after_equal ? 1 : -1);
}

static void probe_make(struct probe *p, bool high)
{
    p->base.cmp = cmp_text;
    p->base.word_of = p->index <= WW_INDEX_SERVER ? word_of_slot : word_of_atom;
    if (p->index == WW_INDEX_ID)
        p->base.word = id_word_of(p->text, high);
    else if (p->index == WW_INDEX_SERVER)
        p->base.word = server_word(p->text, high);
    else
        p->base.word = string_word(p->text, high);
}

void probe_bound(struct probe *p, const struct ww_routing *t, enum ww_index index,
    const struct ww_bound *bound, bool upper)
{
    *p = (struct probe){.table = t, .index = index, .text = bound->text};
    p->after_prefix = bound->kind == WW_BOUND_PREFIX && upper;
    p->after_equal = upper ? bound->kind == WW_BOUND_INCL : bound->kind == WW_BOUND_EXCL;
    probe_make(p, p->after_prefix);
}

void probe_slot(struct probe *p, const struct ww_routing *t, enum ww_index index, uint32_t slot)
{
    const struct body *b = cell_at(t, slot)->body;
    *p = (struct probe){.table = t, .index = index, .ref = slot};
    p->base.cmp = cmp_slot;
    p->base.word_of = word_of_slot;
    p->base.word = index == WW_INDEX_SERVER ? b->server : b->id_word;
}

void probe_atom(struct probe *p, const struct ww_routing *t, uint32_t atom)
{
    *p = (struct probe){.table = t, .index = WW_INDEX_META, .ref = atom};
    p->base.cmp = cmp_atom;
    p->base.word_of = word_of_atom;
    p->base.word = string_word(atom_text(atom_at(t, atom)), false);
}

bool bounds_hold(const struct ww_bound *lo, const struct ww_bound *hi, struct ww_bytes text)
{
    if (lo->kind != WW_BOUND_NONE) {
        int c = ww_bytes_cmp(text, lo->text);
        if (c < 0 || (c == 0 && lo->kind == WW_BOUND_EXCL))
            return false;
    }
    if (hi->kind == WW_BOUND_NONE || (hi->kind == WW_BOUND_PREFIX && ww_bytes_has_prefix(text, hi->text)))
        return true;
    int c = ww_bytes_cmp(text, hi->text);
    return c < 0 || (c == 0 && hi->kind == WW_BOUND_INCL);
}

/* Where the record's id or server stands to a bound, as a position between keys. */
static int bound_cmp(const struct ww_scan *scan, const struct ww_record *r, bool upper)
{
    struct probe p;
    probe_bound(&p, r->table, scan->index, upper ? &scan->hi : &scan->lo, upper);
    uint64_t word = word_of_slot(&p.base, r->slot);
    return p.base.word == word ? cmp_text(&p.base, r->slot) : (p.base.word < word ? -1 : 1);
}

/* The same for a record without a table: its key is written out. */
static bool loose_covers(const struct ww_scan *scan, const struct ww_record *r)
{
    char text[ID_TEXT_MAX];
    if (scan->index == WW_INDEX_ID)
        return bounds_hold(&scan->lo, &scan->hi, id_text(r->peer, text));
    uint8_t server[8];
    ww_be64_store(server, r->server);
    ww_hex_encode(ww_bytes(server, sizeof server), text);
    return bounds_hold(&scan->lo, &scan->hi, ww_bytes(text, 16));
}

bool ww_scan_covers(const struct ww_scan *scan, const struct ww_record *r)
{
    if (scan->index <= WW_INDEX_SERVER && !r->table)
        return loose_covers(scan, r);
    if (scan->index <= WW_INDEX_SERVER)
        return (scan->lo.kind == WW_BOUND_NONE || bound_cmp(scan, r, false) < 0) &&
            (scan->hi.kind == WW_BOUND_NONE || bound_cmp(scan, r, true) > 0);
    if (scan->index == WW_INDEX_HOST)
        return r->host.len > 0 && bounds_hold(&scan->lo, &scan->hi, r->host);
    for (uint32_t i = 0; i < r->meta_count; i++) {
        if (bounds_hold(&scan->lo, &scan->hi, ww_record_meta(r, i)))
            return true;
    }
    return false;
}

int ww_record_cmp(enum ww_index index, const struct ww_record *a, const struct ww_record *b)
{
    const struct body *body_a = cell_at(a->table, a->slot)->body, *body_b = cell_at(b->table, b->slot)->body;
    if (index == WW_INDEX_SERVER && body_a->server != body_b->server)
        return body_a->server < body_b->server ? -1 : 1;
    if (index == WW_INDEX_HOST) {
        int c = ww_bytes_cmp(a->host, b->host);
        if (c)
            return c;
    }
    return id_cmp(body_a, body_b);
}
