#include "p2p/ip.h"

#include <stdio.h>

ww_err ww_decimal_parse(struct ww_bytes text, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (text.len == 0 || (text.len > 1 && text.ptr[0] == '0'))
        return WW_EINVAL;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c < '0' || c > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(c - '0'), &value))
            return WW_EINVAL;
    }
    if (value > max)
        return WW_EINVAL;
    *ret_value = value;
    return 0;
}

/* Cuts the part before the next `sep` off the front; all of it when there is none. */
static struct ww_bytes cut(struct ww_bytes *rest, char sep)
{
    const uint8_t *end = rest->len ? memchr(rest->ptr, sep, rest->len) : NULL;
    struct ww_bytes head = ww_bytes(rest->ptr, end ? (size_t)(end - rest->ptr) : rest->len);
    *rest = ww_bytes_skip(*rest, head.len + (end ? 1 : 0));
    return head;
}

ww_err ww_ip4_parse(struct ww_bytes text, uint8_t ret_ip[4])
{
    uint8_t ip[4];
    if (text.len < 7 || text.len > 15 || text.ptr[text.len - 1] == '.')
        return WW_EINVAL;
    for (size_t i = 0; i < 4; i++) {
        uint64_t v;
        WW_TRY(ww_decimal_parse(cut(&text, '.'), 255, &v));
        ip[i] = (uint8_t)v;
    }
    if (text.len != 0)
        return WW_EINVAL;
    memcpy(ret_ip, ip, sizeof ip);
    return 0;
}

static ww_err parse_group(struct ww_bytes text, uint8_t ret[2])
{
    uint32_t v = 0;
    if (text.len == 0 || text.len > 4)
        return WW_EINVAL;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i], lower = c | 0x20;
        if (c >= '0' && c <= '9')
            v = v << 4 | (uint32_t)(c - '0');
        else if (lower >= 'a' && lower <= 'f')
            v = v << 4 | (uint32_t)(lower - 'a' + 10);
        else
            return WW_EINVAL;
    }
    ww_be16_store(ret, (uint16_t)v);
    return 0;
}

/* Groups between colons, into at most 16 bytes; the last may be a dotted IPv4 address. */
static ww_err parse_groups(struct ww_bytes text, uint8_t out[16], size_t *ret_len)
{
    size_t len = 0;
    *ret_len = 0;
    if (text.len == 0)
        return 0;
    if (text.ptr[text.len - 1] == ':')
        return WW_EINVAL;
    while (text.len > 0) {
        struct ww_bytes group = cut(&text, ':');
        if (text.len == 0 && len <= 12 && group.len > 4) {
            WW_TRY(ww_ip4_parse(group, out + len));
            len += 4;
            break;
        }
        if (len == 16)
            return WW_EINVAL;
        WW_TRY(parse_group(group, out + len));
        len += 2;
    }
    *ret_len = len;
    return 0;
}

ww_err ww_ip6_parse(struct ww_bytes text, uint8_t ret_ip[16])
{
    uint8_t head[16], tail[16], ip[16] = {0};
    size_t head_len, tail_len = 0, gap = SIZE_MAX;
    if (text.len < 2 || text.len > 45)
        return WW_EINVAL;
    for (size_t i = 0; i + 1 < text.len && gap == SIZE_MAX; i++) {
        if (text.ptr[i] == ':' && text.ptr[i + 1] == ':')
            gap = i;
    }
    if (gap == SIZE_MAX) {
        WW_TRY(parse_groups(text, head, &head_len));
        if (head_len != 16)
            return WW_EINVAL;
        memcpy(ret_ip, head, 16);
        return 0;
    }
    struct ww_bytes before = ww_bytes(text.ptr, gap);
    if (gap > 0 && memchr(before.ptr, '.', before.len))
        return WW_EINVAL;
    WW_TRY(parse_groups(before, head, &head_len));
    WW_TRY(parse_groups(ww_bytes_skip(text, gap + 2), tail, &tail_len));
    if (head_len + tail_len > 14)
        return WW_EINVAL;
    memcpy(ip, head, head_len);
    memcpy(ip + 16 - tail_len, tail, tail_len);
    memcpy(ret_ip, ip, 16);
    return 0;
}

size_t ww_ip4_format(const uint8_t ip[4], char out[WW_IP_TEXT_MAX])
{
    return (size_t)snprintf(out, WW_IP_TEXT_MAX, "%u.%u.%u.%u", ip[0], ip[1], ip[2], ip[3]);
}

/* The longest run of at least two zero groups, the first of equals. */
static void find_gap(const uint8_t ip[16], size_t *ret_from, size_t *ret_to)
{
    *ret_from = *ret_to = 8;
    for (size_t i = 0; i < 8; i++) {
        size_t j = i;
        while (j < 8 && ww_be16_load(ip + 2 * j) == 0)
            j++;
        if (j - i >= 2 && j - i > *ret_to - *ret_from) {
            *ret_from = i;
            *ret_to = j;
        }
        if (j > i)
            i = j;
    }
}

size_t ww_ip6_format(const uint8_t ip[16], char out[WW_IP_TEXT_MAX])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    size_t from, to, at = 0;
    if (memcmp(ip, mapped, sizeof mapped) == 0) {
        memcpy(out, "::ffff:", 7);
        char ip4[WW_IP_TEXT_MAX];
        size_t len = ww_ip4_format(ip + 12, ip4);
        memcpy(out + 7, ip4, len + 1);
        return 7 + len;
    }
    find_gap(ip, &from, &to);
    for (size_t i = 0; i < 8; i++) {
        if (i == from && from < to) {
            out[at++] = ':';
            out[at++] = ':';
            i = to - 1;
            continue;
        }
        if (i > 0 && i != to)
            out[at++] = ':';
        at += (size_t)snprintf(out + at, WW_IP_TEXT_MAX - at, "%x", ww_be16_load(ip + 2 * i));
    }
    out[at] = '\0';
    return at;
}
