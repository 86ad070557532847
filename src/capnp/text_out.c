/* capnp/text_out.c — output that is laid out at its end. */
#include "capnp/text_out.h"

#define MAX_DEFAULT ((size_t)256 << 20)

/* Lengths over which the reference breaks lines. */
#define TEXT_ITEM_MAX 24
#define TEXT_RECORD_MAX 64
#define JSON_ITEM_MAX 50

enum mark {
    MARK_OPEN = 1,   /* items on one line */
    MARK_BROKEN = 2, /* items on lines of their own, the first after the bracket */
    MARK_NEXT = 3,   /* the same, the first on the next line */
    MARK_ONE = 4,    /* as MARK_OPEN, and what is inside is not indented for it */
    MARK_CLOSE = 5,
    MARK_BREAK = 6, /* a space, or a new line */
    MARKS = 7,
};

void ww_str_fini(struct ww_str *s)
{
    ww_free(s->text);
    s->text = NULL;
    s->len = s->capacity = 0;
}

static ww_err reserve(struct ww_str *s, size_t more)
{
    size_t max = s->max ? s->max : MAX_DEFAULT;
    if (more >= max || s->len > max - more - 1)
        return WW_ELIMIT;
    if (s->len + more + 1 <= s->capacity)
        return 0;
    size_t capacity = s->capacity * 2 > 256 ? s->capacity * 2 : 256;
    if (capacity < s->len + more + 1)
        capacity = s->len + more + 1;
    char *text = ww_realloc(s->text, capacity);
    if (!text)
        return WW_ENOMEM;
    s->text = text;
    s->capacity = capacity;
    return 0;
}

void ww_text_begin(
    struct ww_text_out *out, struct ww_str *str, enum ww_text_form form, bool pretty, struct ww_diag *diag)
{
    if (diag)
        diag->text[0] = 0;
    *out = (struct ww_text_out){.str = str, .form = form, .pretty = pretty, .start = str->len};
}

void ww_text_put(struct ww_text_out *out, const void *bytes, size_t len)
{
    if (out->err == 0)
        out->err = reserve(out->str, len);
    if (out->err < 0)
        return;
    if (len)
        memcpy(out->str->text + out->str->len, bytes, len);
    out->str->len += len;
    out->str->text[out->str->len] = 0;
}

void ww_text_puts(struct ww_text_out *out, const char *text)
{
    ww_text_put(out, text, strlen(text));
}

static size_t visible(const struct ww_text_out *out)
{
    return out->str->len - out->marks;
}

static void mark(struct ww_text_out *out, enum mark m)
{
    ww_text_putc(out, (char)m);
    if (out->err == 0 && m != MARK_BREAK)
        out->marks++;
}

void ww_text_open(struct ww_text_out *out, struct ww_text_group *g, char bracket, bool record, bool named)
{
    ww_text_putc(out, bracket);
    *g = (struct ww_text_group){.record = record, .named = named, .mark = out->str->len};
    if (out->pretty)
        mark(out, MARK_OPEN);
}

static void end_item(const struct ww_text_out *out, struct ww_text_group *g)
{
    size_t len = visible(out) - g->item;
    g->total += len;
    if (len > g->longest)
        g->longest = len;
}

void ww_text_item(struct ww_text_out *out, struct ww_text_group *g)
{
    if (g->items++ > 0) {
        end_item(out, g);
        ww_text_putc(out, ',');
        if (out->pretty)
            mark(out, MARK_BREAK);
        else if (out->form == WW_FORM_TEXT)
            ww_text_putc(out, ' ');
    }
    g->item = visible(out);
}

static bool breaks(const struct ww_text_out *out, const struct ww_text_group *g)
{
    if (out->form == WW_FORM_JSON)
        return g->items > 1 && (g->broken || g->longest > JSON_ITEM_MAX);
    return g->broken || g->longest > TEXT_ITEM_MAX || (g->record && g->total > TEXT_RECORD_MAX);
}

void ww_text_close(
    struct ww_text_out *out, struct ww_text_group *g, char bracket, struct ww_text_group *parent)
{
    if (g->items > 0)
        end_item(out, g);
    if (out->pretty && out->err == 0) {
        char *at = &out->str->text[g->mark];
        if (breaks(out, g))
            *at = g->named ? MARK_NEXT : MARK_BROKEN;
        else if (out->form == WW_FORM_JSON && g->items <= 1)
            *at = MARK_ONE;
        if (parent)
            parent->broken |= g->broken || *at == MARK_NEXT || *at == MARK_BROKEN;
        mark(out, MARK_CLOSE);
    }
    ww_text_putc(out, bracket);
}

/* ---- layout */

struct layout {
    struct ww_text_out *out;
    uint8_t open[WW_TEXT_DEPTH_MAX + 1]; /* marks of the groups around */
    unsigned depth;
    unsigned indent;
};

static void new_line(struct layout *l)
{
    ww_text_putc(l->out, '\n');
    for (unsigned i = 0; i < l->indent; i++)
        ww_text_put(l->out, "  ", 2);
}

static void lay(struct layout *l, enum mark m)
{
    switch (m) {
    case MARK_CLOSE:
        m = (enum mark)l->open[l->depth--];
        l->indent -= m != MARK_ONE;
        if (m == MARK_BROKEN || m == MARK_NEXT)
            ww_text_putc(l->out, ' ');
        return;
    case MARK_BREAK:
        if (l->open[l->depth] == MARK_BROKEN || l->open[l->depth] == MARK_NEXT)
            new_line(l);
        else
            ww_text_putc(l->out, ' ');
        return;
    default:
        l->open[++l->depth] = (uint8_t)m;
        l->indent += m != MARK_ONE;
        if (m == MARK_BROKEN)
            ww_text_putc(l->out, ' ');
        else if (m == MARK_NEXT)
            new_line(l);
    }
}

ww_err ww_text_finish(struct ww_text_out *out, struct ww_dyn_struct s, ww_err err, struct ww_diag *diag)
{
    struct ww_str *str = out->str;
    if (err == 0 && s.r.seg && s.r.seg->msg)
        err = ww_msg_err(s.r.seg->msg);
    if (out->err == 0)
        out->err = err;
    if (out->pretty && out->err == 0) {
        /* Behind itself, then moved to its place. */
        struct layout l = {.out = out};
        size_t end = str->len;
        for (size_t i = out->start, run; i < end && out->err == 0; i = run) {
            for (run = i; run < end && (uint8_t)str->text[run] >= MARKS; run++)
                ;
            if (run > i && (out->err = reserve(str, run - i)) == 0)
                ww_text_put(out, str->text + i, run - i);
            if (run < end)
                lay(&l, (enum mark)str->text[run++]);
        }
        if (out->err == 0) {
            memmove(str->text + out->start, str->text + end, str->len - end);
            str->len -= end - out->start;
        }
    }
    if (out->err < 0)
        str->len = out->start;
    if (str->text)
        str->text[str->len] = 0;
    if (out->err < 0 && diag && !diag->text[0])
        return ww_diag_set(diag, out->err, "%s", ww_err_text(out->err));
    return out->err;
}
