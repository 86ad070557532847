/* capnp/text_out.h — output of text and JSON, with the reference implementation's line breaks.
 *
 * Whether the items of a group (a struct or list) stand on lines of their own depends on how long they are,
 * so it is known at the group's end only. Until then the output holds marks at the places of breaks, single
 * bytes that no text contains; the end of a group settles its first mark, and one pass at the end lays out
 * all. */
#ifndef WW_CAPNP_TEXT_OUT_H
#define WW_CAPNP_TEXT_OUT_H

#include "base/base.h"
#include "ww/schema.h"

#define WW_TEXT_DEPTH_MAX 512 /* structs, groups and lists in each other */

enum ww_text_form { WW_FORM_TEXT, WW_FORM_JSON };

struct ww_text_out {
    struct ww_str *str;
    enum ww_text_form form;
    bool pretty;
    size_t start; /* of this output in str */
    size_t marks; /* bytes that will not be seen on a line */
    ww_err err;   /* sticky */
};

struct ww_text_group {
    size_t mark;    /* where it begins */
    size_t item;    /* visible bytes before the item under way */
    size_t items;   /* begun */
    size_t total;   /* visible bytes of all items but the one under way */
    size_t longest; /* of them */
    bool record;    /* a struct, not a list */
    bool named;     /* stands after a name, so that its items begin on the next line */
    bool broken;    /* holds what is broken */
};

void ww_text_begin(
    struct ww_text_out *out, struct ww_str *str, enum ww_text_form form, bool pretty, struct ww_diag *diag);
/* Lays out, when neither `err`, nor the output, nor the message of `s` is an error. Gives the first, with a
 * text, and then the string is what it was. */
ww_err ww_text_finish(struct ww_text_out *out, struct ww_dyn_struct s, ww_err err, struct ww_diag *diag);

void ww_text_put(struct ww_text_out *out, const void *bytes, size_t len);
void ww_text_puts(struct ww_text_out *out, const char *text);
static inline void ww_text_putc(struct ww_text_out *out, char c)
{
    ww_text_put(out, &c, 1);
}

/* Opening bracket, items, closing bracket. `parent` is NULL at the top. */
void ww_text_open(struct ww_text_out *out, struct ww_text_group *g, char bracket, bool record, bool named);
/* Before each item. */
void ww_text_item(struct ww_text_out *out, struct ww_text_group *g);
void ww_text_close(
    struct ww_text_out *out, struct ww_text_group *g, char bracket, struct ww_text_group *parent);

#endif
