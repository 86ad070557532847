/* Multiaddrs as text, both ways. A value is read into the draft's own representation first, so that parsing
 * is: take a name, take what its kind calls a value, let ww_multiaddr_draft_put check it. */
#include "p2p/multiaddr_proto.h"

#include <stdio.h>

#include "p2p/ip.h"
#include "p2p/multibase.h"

#define VALUE_MAX WW_MULTIADDR_MAX_BYTES

#define ONION_CHARS 16
#define ONION3_CHARS 56
#define GARLIC64_MIN_CHARS 516
#define GARLIC64_MAX_CHARS 616

/* Up to the next slash, which is taken as well. */
static struct ww_bytes take_segment(struct ww_bytes *text)
{
    const uint8_t *end = text->len ? memchr(text->ptr, '/', text->len) : NULL;
    struct ww_bytes head = ww_bytes(text->ptr, end ? (size_t)(end - text->ptr) : text->len);
    *text = ww_bytes_skip(*text, head.len + (end ? 1 : 0));
    return head;
}

/* ---- reading values ---- */

static ww_err put_be(struct ww_buf *out, uint64_t value, size_t bytes)
{
    uint8_t be[8];
    ww_be64_store(be, value);
    return ww_buf_append(out, ww_bytes(be + 8 - bytes, bytes));
}

static ww_err read_number(struct ww_bytes text, uint64_t max, size_t bytes, struct ww_buf *out)
{
    uint64_t value;
    WW_TRY(ww_decimal_parse(text, max, &value));
    return put_be(out, value, bytes);
}

static ww_err read_ip(struct ww_bytes text, size_t bytes, struct ww_buf *out)
{
    uint8_t ip[16];
    WW_TRY(bytes == 4 ? ww_ip4_parse(text, ip) : ww_ip6_parse(text, ip));
    return ww_buf_append(out, ww_bytes(ip, bytes));
}

static ww_err read_peer(struct ww_bytes text, struct ww_buf *out)
{
    struct ww_peer_id id;
    WW_TRY(ww_peer_id_parse(text, &id));
    return ww_buf_append(out, ww_peer_id_view(&id));
}

/* base32 host, colon, port. */
static ww_err read_onion(struct ww_bytes text, size_t chars, struct ww_buf *out)
{
    if (text.len < chars + 2 || text.ptr[chars] != ':')
        return WW_EINVAL;
    WW_TRY(ww_base_decode(WW_BASE32, ww_bytes(text.ptr, chars), out));
    return read_number(ww_bytes_skip(text, chars + 1), UINT16_MAX, 2, out);
}

/* base64 with `-` and `~`, padded. */
static ww_err read_garlic64(struct ww_bytes text, struct ww_buf *out)
{
    uint8_t url[GARLIC64_MAX_CHARS];
    if (text.len < GARLIC64_MIN_CHARS || text.len > GARLIC64_MAX_CHARS || text.len % 4 != 0)
        return WW_EINVAL;
    size_t len = text.len;
    while (len > text.len - 2 && text.ptr[len - 1] == '=')
        len--;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = text.ptr[i];
        if (c == '+' || c == '/' || c == '_')
            return WW_EINVAL;
        url[i] = c == '-' ? '+' : c == '~' ? '/' : c;
    }
    return ww_base_decode(WW_BASE64, ww_bytes(url, len), out);
}

/* base32 without padding. Unused bits of the last character are ignored, as other implementations do. */
static ww_err read_garlic32(struct ww_bytes text, struct ww_buf *out)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
    uint8_t copy[VALUE_MAX];
    if (text.len < 52 || text.len > sizeof copy || (text.len != 52 && text.len < 55))
        return WW_EINVAL;
    memcpy(copy, text.ptr, text.len);
    const char *last = memchr(alphabet, copy[text.len - 1], 32);
    if (!last)
        return WW_EINVAL;
    unsigned unused = text.len * 5 % 8;
    if (unused >= 5)
        return WW_EINVAL;
    copy[text.len - 1] = (uint8_t)alphabet[(size_t)(last - alphabet) >> unused << unused];
    return ww_base_decode(WW_BASE32, ww_bytes(copy, text.len), out);
}

static ww_err read_escaped(struct ww_bytes text, struct ww_buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c == '%') {
            if (text.len - i < 3 || ww_hex_decode(ww_bytes(text.ptr + i + 1, 2), &c, 1) < 0)
                return WW_EINVAL;
            i += 2;
        }
        WW_TRY(ww_buf_append_byte(out, c));
    }
    return 0;
}

static ww_err read_value(const struct ww_multiaddr_proto *proto, struct ww_bytes text, struct ww_buf *out)
{
    switch (proto->kind) {
    case WW_MA_KIND_NONE:
        return 0;
    case WW_MA_KIND_IP4:
    case WW_MA_KIND_IP6:
        return read_ip(text, (size_t)proto->size, out);
    case WW_MA_KIND_PORT:
        return read_number(text, UINT16_MAX, 2, out);
    case WW_MA_KIND_BYTE:
    case WW_MA_KIND_PREFIX:
        return read_number(text, UINT8_MAX, 1, out);
    case WW_MA_KIND_U64:
        return read_number(text, UINT64_MAX, 8, out);
    case WW_MA_KIND_NAME:
    case WW_MA_KIND_PATH:
        return ww_buf_append(out, text);
    case WW_MA_KIND_PEER:
        return read_peer(text, out);
    case WW_MA_KIND_HASH:
        return ww_multibase_decode(text, out);
    case WW_MA_KIND_ONION:
        return read_onion(text, ONION_CHARS, out);
    case WW_MA_KIND_ONION3:
        return read_onion(text, ONION3_CHARS, out);
    case WW_MA_KIND_GARLIC64:
        return read_garlic64(text, out);
    case WW_MA_KIND_GARLIC32:
        return read_garlic32(text, out);
    case WW_MA_KIND_ESCAPED:
        return read_escaped(text, out);
    }
    return WW_EINVAL;
}

/* The text of the value: nothing, a segment, or (paths) all that is left with its leading slash. */
static ww_err take_value(
    const struct ww_multiaddr_proto *proto, struct ww_bytes *text, struct ww_bytes *ret_value)
{
    if (proto->kind == WW_MA_KIND_NONE) {
        *ret_value = ww_bytes(NULL, 0);
        return 0;
    }
    if (text->len == 0)
        return WW_EINVAL;
    if (proto->kind != WW_MA_KIND_PATH) {
        *ret_value = take_segment(text);
        return 0;
    }
    /* The slash before it belongs to the path; parse() has made sure that it is there. */
    *ret_value = ww_bytes(text->ptr - 1, text->len + 1);
    *text = ww_bytes_skip(*text, text->len);
    return 0;
}

static ww_err parse(struct ww_bytes text, struct ww_buf *value, struct ww_multiaddr_draft *draft)
{
    size_t count = 0;
    if (text.len > WW_MULTIADDR_TEXT_MAX)
        return WW_ELIMIT;
    if (text.len < 2 || text.ptr[0] != '/')
        return WW_EINVAL;
    if (text.ptr[text.len - 1] == '/')
        text.len--;
    if (text.ptr[text.len - 1] == '/')
        return WW_EINVAL;
    text = ww_bytes_skip(text, 1);
    do {
        struct ww_bytes value_text;
        const struct ww_multiaddr_proto *proto = ww_multiaddr_proto_by_name(take_segment(&text));
        if (!proto)
            return WW_EINVAL;
        if (++count > WW_MULTIADDR_MAX_PARTS)
            return WW_ELIMIT;
        WW_TRY(take_value(proto, &text, &value_text));
        ww_buf_clear(value);
        WW_TRY(read_value(proto, value_text, value));
        WW_TRY(ww_multiaddr_draft_put(draft, proto, ww_buf_view(value)));
    } while (text.len > 0);
    return 0;
}

ww_err ww_multiaddr_parse(struct ww_bytes text, struct ww_buf *out)
{
    struct ww_multiaddr_draft draft;
    struct ww_buf value;
    draft.len = 0;
    ww_buf_init(&value, VALUE_MAX);
    ww_err err = parse(text, &value, &draft);
    ww_buf_fini(&value);
    if (err < 0) /* whatever the value's own decoder calls it, here it is a bad text */
        return err == WW_ENOMEM || err == WW_ELIMIT ? err : WW_EINVAL;
    return ww_buf_append(out, ww_bytes(draft.bytes, draft.len));
}

/* ---- printing ---- */

static ww_err print_number(struct ww_buf *out, uint64_t value)
{
    char text[24];
    int len = snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return ww_buf_append(out, ww_bytes(text, (size_t)len));
}

static ww_err print_onion(struct ww_bytes v, struct ww_buf *out)
{
    WW_TRY(ww_base_encode(WW_BASE32, ww_bytes(v.ptr, v.len - 2), out));
    WW_TRY(ww_buf_append_byte(out, ':'));
    return print_number(out, ww_be16_load(v.ptr + v.len - 2));
}

static ww_err print_garlic64(struct ww_bytes v, struct ww_buf *out)
{
    size_t from = ww_buf_len(out);
    WW_TRY(ww_base_encode(WW_BASE64, v, out));
    uint8_t *text = ww_buf_data(out);
    for (size_t i = from; i < ww_buf_len(out); i++)
        text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '~' : text[i];
    for (size_t i = v.len; i % 3 != 0; i++)
        WW_TRY(ww_buf_append_byte(out, '='));
    return 0;
}

/* Escapes all that may not stand in a path segment of a URL. */
static ww_err print_escaped(struct ww_bytes v, struct ww_buf *out)
{
    static const char digits[] = "0123456789ABCDEF", plain[] = "-_.~$&+=:@";
    for (size_t i = 0; i < v.len; i++) {
        uint8_t c = v.ptr[i], lower = c | 0x20;
        if ((c >= '0' && c <= '9') || (lower >= 'a' && lower <= 'z') || memchr(plain, c, sizeof plain - 1)) {
            WW_TRY(ww_buf_append_byte(out, c));
            continue;
        }
        const uint8_t escape[3] = {'%', (uint8_t)digits[c >> 4], (uint8_t)digits[c & 15]};
        WW_TRY(ww_buf_append(out, ww_bytes(escape, sizeof escape)));
    }
    return 0;
}

static ww_err print_ip(struct ww_bytes v, struct ww_buf *out)
{
    char text[WW_IP_TEXT_MAX];
    size_t len = v.len == 4 ? ww_ip4_format(v.ptr, text) : ww_ip6_format(v.ptr, text);
    return ww_buf_append(out, ww_bytes(text, len));
}

static ww_err print_value(const struct ww_multiaddr_proto *proto, struct ww_bytes v, struct ww_buf *out)
{
    switch (proto->kind) {
    case WW_MA_KIND_NONE:
        return 0;
    case WW_MA_KIND_IP4:
    case WW_MA_KIND_IP6:
        return print_ip(v, out);
    case WW_MA_KIND_PORT:
        return print_number(out, ww_be16_load(v.ptr));
    case WW_MA_KIND_BYTE:
    case WW_MA_KIND_PREFIX:
        return print_number(out, v.ptr[0]);
    case WW_MA_KIND_U64:
        return print_number(out, ww_be64_load(v.ptr));
    case WW_MA_KIND_NAME:
    case WW_MA_KIND_PATH:
        return ww_buf_append(out, v);
    case WW_MA_KIND_PEER:
        return ww_base_encode(WW_BASE58BTC, v, out);
    case WW_MA_KIND_HASH:
        return ww_multibase_encode(WW_BASE64URL, v, out);
    case WW_MA_KIND_ONION:
    case WW_MA_KIND_ONION3:
        return print_onion(v, out);
    case WW_MA_KIND_GARLIC64:
        return print_garlic64(v, out);
    case WW_MA_KIND_GARLIC32:
        return ww_base_encode(WW_BASE32, v, out);
    case WW_MA_KIND_ESCAPED:
        return print_escaped(v, out);
    }
    return WW_EPROTO;
}

static ww_err print_part(const struct ww_multiaddr_part *part, struct ww_buf *out)
{
    WW_TRY(ww_buf_append_byte(out, '/'));
    WW_TRY(ww_buf_append(out, ww_bytes_str(ww_multiaddr_proto_name(part->proto))));
    if (!part->proto) {
        WW_TRY(ww_buf_append_byte(out, '/'));
        return ww_base_encode(WW_BASE16, part->whole, out);
    }
    WW_TRY(ww_multiaddr_value_check(part->proto, part->value));
    if (part->proto->kind != WW_MA_KIND_NONE && part->proto->kind != WW_MA_KIND_PATH)
        WW_TRY(ww_buf_append_byte(out, '/'));
    return print_value(part->proto, part->value, out);
}

static ww_err print(struct ww_bytes addr, struct ww_buf *out)
{
    struct ww_multiaddr_part part;
    if (addr.len == 0)
        return WW_ETRUNC;
    while (addr.len > 0) {
        WW_TRY(ww_multiaddr_next(&addr, &part));
        WW_TRY(print_part(&part, out));
    }
    return 0;
}

ww_err ww_multiaddr_format(struct ww_bytes addr, struct ww_buf *out)
{
    size_t len = ww_buf_len(out);
    ww_err err = print(addr, out);
    if (err < 0)
        out->tail = out->head + len;
    return err;
}

char *ww_multiaddr_text(struct ww_bytes addr, char *out, size_t out_size)
{
    struct ww_buf text;
    ww_buf_init(&text, WW_MULTIADDR_TEXT_MAX);
    WW_ASSERT(out_size > 1);
    struct ww_bytes view = WW_BYTES_LIT("?");
    if (ww_multiaddr_format(addr, &text) == 0)
        view = ww_buf_view(&text);
    size_t len = view.len < out_size ? view.len : out_size - 1;
    memcpy(out, view.ptr, len);
    out[len] = '\0';
    ww_buf_fini(&text);
    return out;
}
