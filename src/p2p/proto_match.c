#include "p2p/proto_match.h"

/* Lexical path clean (the rules of Plan 9's cleanname): no empty and no `.` components, `..` takes its parent
 * away. `out` has room for `in.len` bytes. Leading '/' and '.' go as well, so it does not matter whether the
 * path is rooted, but for `..` at the front, which a relative path keeps and a rooted one does not: both end
 * up without it. */
static struct ww_bytes clean(struct ww_bytes in, uint8_t *out)
{
    size_t len = 0;
    for (size_t at = 0; at < in.len;) {
        size_t end = at;
        while (end < in.len && in.ptr[end] != '/')
            end++;
        struct ww_bytes part = ww_bytes(in.ptr + at, end - at);
        at = end + 1;
        if (part.len == 0 || ww_bytes_eq(part, WW_BYTES_LIT(".")))
            continue;
        if (ww_bytes_eq(part, WW_BYTES_LIT(".."))) {
            while (len > 0 && out[len - 1] != '/')
                len--;
            len -= len > 0;
            continue;
        }
        if (len)
            out[len++] = '/';
        memmove(out + len, part.ptr, part.len);
        len += part.len;
    }
    size_t skip = 0;
    while (skip < len && (out[skip] == '/' || out[skip] == '.'))
        skip++;
    return ww_bytes(out + skip, len - skip);
}

static struct ww_bytes pop(struct ww_bytes *rest)
{
    size_t end = 0;
    while (end < rest->len && rest->ptr[end] != '/')
        end++;
    struct ww_bytes part = ww_bytes(rest->ptr, end);
    *rest = ww_bytes_skip(*rest, end < rest->len ? end + 1 : end);
    return part;
}

static bool identifier_ok(struct ww_bytes *rest)
{
    bool any = false, empty_part = true;
    while (rest->len) {
        uint8_t c = rest->ptr[0];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
        if (!alnum && c != '.')
            break;
        if (c == '.' && empty_part)
            return false;
        empty_part = c == '.';
        any = true;
        *rest = ww_bytes_skip(*rest, 1);
    }
    return any && !empty_part;
}

static bool number(struct ww_bytes *rest, uint64_t *ret)
{
    uint64_t v = 0;
    size_t n = 0;
    for (; n < rest->len && rest->ptr[n] >= '0' && rest->ptr[n] <= '9'; n++) {
        if (n >= 18) /* stays within 63 bits */
            return false;
        v = v * 10 + (uint64_t)(rest->ptr[n] - '0');
    }
    if (n == 0)
        return false;
    *rest = ww_bytes_skip(*rest, n);
    *ret = v;
    return true;
}

static bool take(struct ww_bytes *rest, char c)
{
    if (rest->len == 0 || rest->ptr[0] != (uint8_t)c)
        return false;
    *rest = ww_bytes_skip(*rest, 1);
    return true;
}

bool ww_semver_major(struct ww_bytes text, uint64_t *ret_major)
{
    uint64_t major, minor, patch;
    struct ww_bytes rest = text;
    if (!number(&rest, &major) || !take(&rest, '.') || !number(&rest, &minor) || !take(&rest, '.') ||
        !number(&rest, &patch))
        return false;
    if (take(&rest, '-') && !identifier_ok(&rest))
        return false;
    if (take(&rest, '+') && !identifier_ok(&rest))
        return false;
    if (rest.len)
        return false;
    *ret_major = major;
    return true;
}

static bool apply(const struct ww_proto_rule *rule, struct ww_bytes *rest)
{
    uint8_t want_mem[WW_PROTO_ID_MAX];
    struct ww_bytes want;
    uint64_t a, b;
    if (rule->text.len > sizeof want_mem)
        return false;
    switch (rule->kind) {
    case WW_PROTO_EXACTLY:
        want = clean(rule->text, want_mem);
        return want.len && ww_bytes_eq(pop(rest), want);
    case WW_PROTO_PREFIX:
        if (rule->text.len == 0 || !ww_bytes_has_prefix(*rest, rule->text))
            return false;
        *rest = ww_bytes_skip(*rest, rule->text.len);
        return true;
    case WW_PROTO_SUFFIX:
        if (rule->text.len == 0 || rest->len < rule->text.len ||
            !ww_bytes_eq(ww_bytes_skip(*rest, rest->len - rule->text.len), rule->text))
            return false;
        rest->len -= rule->text.len;
        return true;
    case WW_PROTO_SEMVER:
        return ww_semver_major(rule->text, &a) && ww_semver_major(pop(rest), &b) && a == b;
    }
    return false;
}

bool ww_proto_match(const struct ww_proto_rule *rules, size_t count, struct ww_bytes id)
{
    uint8_t mem[WW_PROTO_ID_MAX];
    if (id.len > sizeof mem)
        return false;
    struct ww_bytes rest = id;
    for (size_t i = 0; i < count; i++) {
        rest = clean(rest, mem); /* in place from the second round on: it only moves bytes forward */
        if (!apply(&rules[i], &rest))
            return false;
    }
    return true;
}

bool ww_proto_namespace_ok(struct ww_bytes ns)
{
    uint8_t mem[WW_PROTO_ID_MAX];
    if (ns.len == 0 || ns.len > sizeof mem / 2 || memchr(ns.ptr, '/', ns.len) ||
        memchr(ns.ptr, '\n', ns.len) || memchr(ns.ptr, 0, ns.len))
        return false;
    return ww_bytes_eq(clean(ns, mem), ns);
}
