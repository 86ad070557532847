/* The query language: a recursive-descent parser. Grammar in cluster/query.h. */
#include "cluster/query_int.h"

#include <strings.h>

struct parser {
    struct ww_query *query;
    struct ww_bytes text;
    size_t at;
    unsigned depth; /* parentheses and NOTs that are open */
    size_t error_at;
    struct ww_diag *diag;
};

static ww_err fail(struct parser *p, size_t at, ww_err err, const char *what)
{
    p->error_at = at;
    return ww_diag_set(p->diag, err, "%zu: %s", at, what);
}

/* ---- characters ---- */

static int peek(const struct parser *p, size_t at)
{
    return at < p->text.len ? p->text.ptr[at] : -1;
}

static bool is_space(int c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_operator(int c)
{
    return c == '=' || c == '!' || c == '<' || c == '>';
}

static bool is_paren(int c)
{
    return c == '(' || c == ')';
}

static bool is_quote(int c)
{
    return c == '"' || c == '\'';
}

static size_t skip_space(struct parser *p)
{
    size_t from = p->at;
    while (is_space(peek(p, p->at)))
        p->at++;
    return p->at - from;
}

/* A keyword stands on its own: not before an operator. */
static bool take_keyword(struct parser *p, const char *word)
{
    size_t len = strlen(word);
    skip_space(p);
    int after = peek(p, p->at + len);
    if (p->text.len - p->at < len || strncasecmp((const char *)p->text.ptr + p->at, word, len) != 0)
        return false;
    if (after >= 0 && !is_space(after) && !is_paren(after))
        return false;
    p->at += len;
    return true;
}

/* A quoted text into `buf`. */
static ww_err take_quoted(struct parser *p, uint8_t *buf, size_t *ret_len)
{
    size_t open = p->at, len = 0;
    int quote = peek(p, p->at++);
    for (;; p->at++) {
        int c = peek(p, p->at);
        if (c < 0)
            return fail(p, open, WW_EINVAL, "this quote is not closed");
        if (c == quote)
            break;
        if (quote == '"' && c == '\\') {
            c = peek(p, ++p->at);
            if (c != '"' && c != '\\')
                return fail(p, p->at - 1, WW_EINVAL, "only \\\" and \\\\ can be escaped");
        }
        if (len == WW_QUERY_TEXT_MAX)
            return fail(p, open, WW_ELIMIT, "this text is too long");
        buf[len++] = (uint8_t)c;
    }
    p->at++;
    *ret_len = len;
    return 0;
}

/* ---- comparisons ---- */

struct op {
    const char *text;
    enum ww_cmp cmp;
    bool negated;
};

/* Longer ones first. */
static const struct op ops[] = {{"!==", WW_CMP_EQ, true}, {"!=", WW_CMP_PREFIX, true},
    {"==", WW_CMP_EQ, false}, {"<=", WW_CMP_LE, false}, {">=", WW_CMP_GE, false}, {"=", WW_CMP_PREFIX, false},
    {"<", WW_CMP_LT, false}, {">", WW_CMP_GT, false}};

static const struct op *take_op(struct parser *p)
{
    struct ww_bytes rest = ww_bytes_skip(p->text, p->at);
    for (size_t i = 0; i < WW_COUNT_OF(ops); i++) {
        if (ww_bytes_has_prefix(rest, ww_bytes_str(ops[i].text))) {
            p->at += strlen(ops[i].text);
            return &ops[i];
        }
    }
    return NULL;
}

static ww_err take_key(struct parser *p, uint8_t *buf, struct ww_bytes *ret_key, bool *ret_quoted)
{
    size_t from = p->at;
    *ret_quoted = is_quote(peek(p, p->at));
    if (*ret_quoted) {
        size_t len;
        WW_TRY(take_quoted(p, buf, &len));
        *ret_key = ww_bytes(buf, len);
        return 0;
    }
    for (int c = peek(p, p->at); c >= 0 && !is_space(c) && !is_operator(c) && !is_paren(c) && !is_quote(c);
         c = peek(p, p->at))
        p->at++;
    *ret_key = ww_bytes(p->text.ptr + from, p->at - from);
    if (ret_key->len > 0)
        return 0;
    int c = peek(p, from);
    return fail(p, from, WW_EINVAL,
        c < 0 ? "a comparison is missing at the end"
              : (c == ')' ? "nothing to close here" : "a key is missing here"));
}

static ww_err take_value(struct parser *p, uint8_t *buf, struct ww_bytes *ret_value)
{
    size_t from = p->at;
    if (is_quote(peek(p, p->at))) {
        size_t len;
        WW_TRY(take_quoted(p, buf, &len));
        *ret_value = ww_bytes(buf, len);
        int c = peek(p, p->at);
        return c < 0 || is_space(c) || is_paren(c)
            ? 0
            : fail(p, p->at, WW_EINVAL, "text goes on after the quote");
    }
    for (int c = peek(p, p->at); c >= 0 && !is_space(c) && !is_paren(c); c = peek(p, p->at))
        p->at++;
    *ret_value = ww_bytes(p->text.ptr + from, p->at - from);
    return 0;
}

static enum ww_index field_of(struct ww_bytes key, bool quoted)
{
    if (!quoted && (ww_bytes_eq(key, WW_BYTES_LIT("id")) || ww_bytes_eq(key, WW_BYTES_LIT("peer"))))
        return WW_INDEX_ID;
    if (!quoted && ww_bytes_eq(key, WW_BYTES_LIT("server")))
        return WW_INDEX_SERVER;
    return !quoted && ww_bytes_eq(key, WW_BYTES_LIT("host")) ? WW_INDEX_HOST : WW_INDEX_META;
}

/* Server ids as people write and as `ww ls` prints them: either case, maybe with a slash in front. */
static ww_err server_value(struct parser *p, size_t at, uint8_t *buf, struct ww_bytes *value)
{
    if (value->len > 0 && value->ptr[0] == '/')
        *value = ww_bytes_skip(*value, 1);
    if (value->len > 16)
        return fail(p, at, WW_EINVAL, "a server id has at most 16 digits");
    for (size_t i = 0; i < value->len; i++) {
        uint8_t c = value->ptr[i];
        buf[i] = c >= 'A' && c <= 'F' ? (uint8_t)(c + 32) : c;
        if (!(buf[i] >= '0' && buf[i] <= '9') && !(buf[i] >= 'a' && buf[i] <= 'f'))
            return fail(p, at, WW_EINVAL, "a server id consists of hex digits");
    }
    value->ptr = buf;
    return 0;
}

static ww_err limit_error(struct parser *p, size_t at, ww_err err)
{
    if (err == WW_EDEPTH)
        return fail(p, at, err, "nested too deeply");
    return fail(p, at, err, err == WW_EINVAL ? "a key cannot contain '='" : "the query is too large");
}

static ww_err parse_cmp(struct parser *p, uint16_t *ret_node)
{
    uint8_t key_buf[WW_QUERY_TEXT_MAX], value_buf[WW_QUERY_TEXT_MAX];
    struct ww_bytes key, value = {NULL, 0};
    bool quoted;
    size_t start = p->at;
    WW_TRY(take_key(p, key_buf, &key, &quoted));
    bool spaced = skip_space(p) > 0;
    const struct op *op = take_op(p);
    if (!op)
        return fail(p, p->at, WW_EINVAL, "one of = == != !== < <= > >= is missing here");
    size_t value_at = p->at;
    if (spaced && is_space(peek(p, p->at)))
        skip_space(p);
    if (!is_space(peek(p, p->at))) {
        value_at = p->at;
        WW_TRY(take_value(p, value_buf, &value));
    }
    enum ww_index field = field_of(key, quoted);
    if (field == WW_INDEX_SERVER)
        WW_TRY(server_value(p, value_at, value_buf, &value));
    ww_err err = ww_query_cmp(p->query, field, op->cmp, key, value, ret_node);
    if (err == 0 && op->negated)
        err = ww_query_not(p->query, *ret_node, ret_node);
    return err < 0 ? limit_error(p, start, err) : 0;
}

/* ---- operators ---- */

static ww_err parse_or(struct parser *p, uint16_t *ret_node);

static ww_err parse_not(struct parser *p, uint16_t *ret_node)
{
    skip_space(p);
    size_t start = p->at;
    ww_err err = 0;
    if (p->depth >= WW_QUERY_DEPTH_MAX)
        return limit_error(p, start, WW_EDEPTH);
    p->depth++;
    if (take_keyword(p, "NOT")) {
        WW_TRY(parse_not(p, ret_node));
        err = ww_query_not(p->query, *ret_node, ret_node);
        if (err < 0)
            return limit_error(p, start, err);
    } else if (peek(p, p->at) == '(') {
        p->at++;
        WW_TRY(parse_or(p, ret_node));
        skip_space(p);
        if (peek(p, p->at) != ')')
            return p->at < p->text.len ? fail(p, p->at, WW_EINVAL, "AND, OR or ) is missing here")
                                       : fail(p, start, WW_EINVAL, "this ( is not closed");
        p->at++;
    } else {
        WW_TRY(parse_cmp(p, ret_node));
    }
    p->depth--;
    return 0;
}

static ww_err parse_and(struct parser *p, uint16_t *ret_node)
{
    uint16_t node, right;
    WW_TRY(parse_not(p, &node));
    for (size_t at = p->at; take_keyword(p, "AND"); at = p->at) {
        WW_TRY(parse_not(p, &right));
        ww_err err = ww_query_join(p->query, WW_FILTER_AND, node, right, &node);
        if (err < 0)
            return limit_error(p, at, err);
    }
    *ret_node = node;
    return 0;
}

static ww_err parse_or(struct parser *p, uint16_t *ret_node)
{
    uint16_t node, right;
    WW_TRY(parse_and(p, &node));
    for (size_t at = p->at; take_keyword(p, "OR"); at = p->at) {
        WW_TRY(parse_and(p, &right));
        ww_err err = ww_query_join(p->query, WW_FILTER_OR, node, right, &node);
        if (err < 0)
            return limit_error(p, at, err);
    }
    *ret_node = node;
    return 0;
}

static ww_err parse_all(struct parser *p, uint16_t *ret_root)
{
    uint16_t node = 0;
    take_keyword(p, "WHERE");
    skip_space(p);
    if (p->at == p->text.len)
        return 0;
    WW_TRY(parse_or(p, &node));
    skip_space(p);
    if (p->at < p->text.len)
        return fail(p, p->at, WW_EINVAL,
            peek(p, p->at) == ')' ? "nothing to close here" : "AND or OR is missing before this");
    if (*ret_root) {
        /* The earlier condition may not grow when this fails, so the join comes last and cannot fail
         * half-way. */
        ww_err err = ww_query_join(p->query, WW_FILTER_AND, *ret_root, node, &node);
        if (err < 0)
            return limit_error(p, 0, err);
    }
    *ret_root = node;
    return 0;
}

ww_err ww_query_parse(struct ww_query *query, struct ww_bytes text, size_t *ret_offset, struct ww_diag *diag)
{
    struct parser p = {.query = query, .text = text, .diag = diag};
    uint16_t node_count = query->node_count, text_used = query->text_used;
    ww_err err = parse_all(&p, &query->root);
    if (err < 0) {
        query->node_count = node_count;
        query->text_used = text_used;
        if (ret_offset)
            *ret_offset = p.error_at;
    }
    return err;
}
