/* p2p/proto_match.h — which protocol ids of a peer we accept: rules that consume an id component by
 * component.
 *
 * Before each rule the rest of the id is cleaned: the lexical path clean of `.`, `..` and doubled slashes,
 * then all leading
 * '/' and '.' are dropped. So `ww/0.1.0/x` and `/ww//0.1.0/x` are one id. Whatever the rules leave unconsumed
 * is ignored: a match is on a prefix of components. Pure functions over borrowed bytes, no allocation.
 * Semantic versions: semver.org 2.0.0.
 */
#ifndef WW_P2P_PROTO_MATCH_H
#define WW_P2P_PROTO_MATCH_H

#include "base/base.h"

#define WW_PROTO_ID_MAX 1024 /* longer ids never match */

enum ww_proto_rule_kind {
    WW_PROTO_EXACTLY, /* the next component equals the (cleaned) text */
    WW_PROTO_PREFIX,  /* the rest begins with the text, which need not end at a component */
    WW_PROTO_SUFFIX,  /* the rest ends with the text */
    WW_PROTO_SEMVER,  /* the next component is a version with the same major number */
};

struct ww_proto_rule {
    enum ww_proto_rule_kind kind;
    struct ww_bytes text; /* borrowed */
};

/* All rules in order. An empty rule list matches everything. */
bool ww_proto_match(const struct ww_proto_rule *rules, size_t count, struct ww_bytes id);

/* True when `ns` can be a cluster name in an id: one component that cleaning leaves as it is. */
bool ww_proto_namespace_ok(struct ww_bytes ns);

/* Strict `major.minor.patch[-pre][+meta]`. */
bool ww_semver_major(struct ww_bytes text, uint64_t *ret_major);

#endif
