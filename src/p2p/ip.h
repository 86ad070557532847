/* p2p/ip.h — IP addresses as text. Strict: decimal without leading zeros, no zone, nothing around it.
 * Printed as RFC 5952 recommends. Sources: RFC 4291 section 2.2, RFC 5952. */
#ifndef WW_P2P_IP_H
#define WW_P2P_IP_H

#include "base/base.h"

#define WW_IP_TEXT_MAX 48 /* with the NUL */

/* WW_EINVAL. */
WW_MUST_USE ww_err ww_ip4_parse(struct ww_bytes text, uint8_t ret_ip[4]);
WW_MUST_USE ww_err ww_ip6_parse(struct ww_bytes text, uint8_t ret_ip[16]);
/* NUL-terminated; return the length. */
size_t ww_ip4_format(const uint8_t ip[4], char out[WW_IP_TEXT_MAX]);
size_t ww_ip6_format(const uint8_t ip[16], char out[WW_IP_TEXT_MAX]);
/* A decimal number without sign or leading zero, at most `max`. WW_EINVAL. */
WW_MUST_USE ww_err ww_decimal_parse(struct ww_bytes text, uint64_t max, uint64_t *ret_value);

#endif
