#include "service/auth.h"

#include <stdlib.h>

#include "crypto/hash.h"
#include "p2p/envelope.h"

#define LIST_MAX 65536

static const uint8_t payload_type[] = {0xde, 0xea};

static bool allow_anyone(const struct ww_auth_policy *policy, const struct ww_peer_id *account)
{
    WW_UNUSED(policy);
    WW_UNUSED(account);
    return true;
}

const struct ww_auth_policy ww_auth_allow_all = {allow_anyone};

static int compare_ids(const void *a, const void *b)
{
    return ww_peer_id_cmp(a, b);
}

static bool allow_listed(const struct ww_auth_policy *policy, const struct ww_peer_id *account)
{
    const struct ww_auth_list *list = WW_CONTAINER_OF(policy, struct ww_auth_list, policy);
    return list->count && bsearch(account, list->ids, list->count, sizeof *list->ids, compare_ids);
}

/* The line without comment and blanks; `text` moves behind it. */
static struct ww_bytes take_line(struct ww_bytes *text)
{
    const uint8_t *nl = memchr(text->ptr, '\n', text->len);
    size_t len = nl ? (size_t)(nl - text->ptr) : text->len;
    struct ww_bytes line = ww_bytes(text->ptr, len);
    *text = ww_bytes_skip(*text, len + (nl ? 1 : 0));
    const uint8_t *hash = line.len ? memchr(line.ptr, '#', line.len) : NULL;
    if (hash)
        line.len = (size_t)(hash - line.ptr);
    while (line.len && line.ptr[0] <= ' ')
        line = ww_bytes_skip(line, 1);
    while (line.len && line.ptr[line.len - 1] <= ' ')
        line.len--;
    return line;
}

static ww_err list_add(struct ww_auth_list *list, size_t *capacity, const struct ww_peer_id *id)
{
    if (list->count >= LIST_MAX)
        return WW_ELIMIT;
    if (list->count == *capacity) {
        size_t want = *capacity ? *capacity * 2 : 16;
        struct ww_peer_id *ids = ww_realloc(list->ids, want * sizeof *ids);
        if (!ids)
            return WW_ENOMEM;
        list->ids = ids;
        *capacity = want;
    }
    list->ids[list->count++] = *id;
    return 0;
}

ww_err ww_auth_list_parse(struct ww_auth_list *ret_list, struct ww_bytes text, struct ww_diag *diag)
{
    struct ww_auth_list list = {.policy = {allow_listed}};
    size_t capacity = 0;
    ww_err err = 0;
    for (unsigned number = 1; text.len && err == 0; number++) {
        struct ww_bytes line = take_line(&text);
        struct ww_peer_id id;
        if (line.len == 0)
            continue;
        err = ww_peer_id_parse(line, &id);
        if (err < 0)
            ww_diag_set(diag, err = WW_EINVAL, "line %u: '%.*s' is no peer id (12D3Koo...)", number,
                (int)(line.len < 80 ? line.len : 80), (const char *)line.ptr);
        else if ((err = list_add(&list, &capacity, &id)) < 0)
            ww_diag_set(diag, err, "line %u: %s", number, ww_err_text(err));
    }
    if (err < 0) {
        ww_auth_list_fini(&list);
        return err;
    }
    if (list.count)
        qsort(list.ids, list.count, sizeof *list.ids, compare_ids);
    *ret_list = list;
    return 0;
}

void ww_auth_list_fini(struct ww_auth_list *list)
{
    ww_free(list->ids);
    list->ids = NULL;
    list->count = 0;
}

void ww_auth_challenge(const uint8_t salt[WW_AUTH_SALT_BYTES], const struct ww_peer_id *server,
    const struct ww_peer_id *client, uint8_t ret_challenge[WW_AUTH_CHALLENGE_BYTES])
{
    static const char domain[] = "ww.auth challenge 1";
    uint8_t in[sizeof domain + WW_AUTH_SALT_BYTES + 2 * sizeof(struct ww_peer_id)], digest[32];
    size_t at = sizeof domain;
    memcpy(in, domain, at);
    memcpy(in + at, salt, WW_AUTH_SALT_BYTES);
    at += WW_AUTH_SALT_BYTES;
    const struct ww_peer_id *const ends[] = {server, client};
    for (size_t i = 0; i < WW_COUNT_OF(ends); i++) {
        in[at++] = ends[i]->len;
        memcpy(in + at, ends[i]->bytes, ends[i]->len);
        at += ends[i]->len;
    }
    ww_sha256(ww_bytes(in, at), digest);
    memcpy(ret_challenge, digest, WW_AUTH_CHALLENGE_BYTES);
}

ww_err ww_auth_prove(
    const struct ww_keypair *key, const uint8_t challenge[WW_AUTH_CHALLENGE_BYTES], struct ww_buf *out)
{
    return ww_envelope_seal(key, WW_BYTES_LIT("ww.auth"), ww_bytes(payload_type, sizeof payload_type),
        ww_bytes(challenge, WW_AUTH_CHALLENGE_BYTES), out);
}

ww_err ww_auth_check(
    struct ww_bytes proof, const uint8_t challenge[WW_AUTH_CHALLENGE_BYTES], struct ww_peer_id *ret_account)
{
    struct ww_envelope envelope;
    if (proof.len > WW_AUTH_PROOF_MAX)
        return WW_ELIMIT;
    WW_TRY(ww_envelope_open(proof, WW_BYTES_LIT("ww.auth"), &envelope));
    if (!ww_bytes_eq(envelope.payload, ww_bytes(challenge, WW_AUTH_CHALLENGE_BYTES)) ||
        !ww_bytes_eq(envelope.payload_type, ww_bytes(payload_type, sizeof payload_type)))
        return WW_ECRYPTO;
    ww_peer_id_from_key(&envelope.key, ret_account);
    return 0;
}
