/* test/unit/capnp/caps.h — capabilities that only count their references. */
#ifndef WW_TEST_CAPNP_CAPS_H
#define WW_TEST_CAPNP_CAPS_H

#include "test/lib/test.h"
#include "ww/capnp.h"

struct ww_cap {
    int refs;
};

static inline void cap_ref(struct ww_cap *c)
{
    c->refs++;
}

static inline void cap_unref(struct ww_cap *c)
{
    c->refs--;
    assert_true(c->refs >= 0);
}

static const struct ww_cap_ops cap_ops = {cap_ref, cap_unref};

#endif
