/* What lies between the vats: messages on their way, links that are cut, checks after each move. */
#include <stdlib.h>

#include "graph.h"

static size_t frame_bytes(struct ww_bytes at)
{
    uint32_t segs = ww_le32_load(at.ptr) + 1;
    size_t n = (4 + 4 * (size_t)segs + 7) & ~(size_t)7;
    for (uint32_t i = 0; i < segs; i++)
        n += (size_t)ww_le32_load(at.ptr + 4 + 4 * (size_t)i) * 8;
    return n;
}

static void frame_queue(struct world *w, struct link *link, int from, struct ww_bytes bytes)
{
    struct side *side = &link->side[from];
    if (!link->good || side->hung_up)
        return;
    struct frame *f = malloc(sizeof *f + bytes.len);
    if (!f)
        abort();
    f->next = NULL;
    f->len = bytes.len;
    memcpy(f->data, bytes.ptr, bytes.len);
    if (side->last)
        side->last->next = f;
    else
        side->first = f;
    side->last = f;
    if (link->packed)
        return; /* pieces of messages */
    if (!(w->dead & 1u << (link - w->link)))
        wire_sent(w, side, bytes);
    evil_record(w, bytes);
}

void graph_pull(struct world *w, struct link *link, int from)
{
    struct side *side = &link->side[from];
    struct ww_bytes view;
    while (side->conn && ww_rpc_conn_pull(side->conn, &view, 1)) {
        struct ww_bytes rest = view;
        while (rest.len > 0) {
            size_t n = link->packed ? 1 + graph_random(&w->random) % rest.len : frame_bytes(rest);
            WW_ASSERT(n <= rest.len); /* a message lies in one piece */
            frame_queue(w, link, from, ww_bytes(rest.ptr, n));
            rest = ww_bytes(rest.ptr + n, rest.len - n);
        }
        ww_rpc_conn_pulled(side->conn, view.len);
    }
}

static struct frame *frame_pop(struct side *side)
{
    struct frame *f = side->first;
    if (f) {
        side->first = f->next;
        if (!side->first)
            side->last = NULL;
    }
    return f;
}

void graph_frames_free(struct side *side)
{
    struct frame *f;
    while ((f = frame_pop(side)))
        free(f);
}

static void lose(struct world *w, struct side *side)
{
    if (side->lost)
        return;
    side->lost = true;
    if (!side->conn)
        return;
    graph_log(w, "    vat %u loses its connection", side->vat ? side->vat->id : 99);
    ww_rpc_conn_lost(side->conn, WW_ECLOSED);
}

bool graph_deliver(struct world *w, struct link *link, int from)
{
    struct side *side = &link->side[from], *to = &link->side[!from];
    struct frame *f = frame_pop(side);
    if (!f && side->hung_up && !to->lost) {
        lose(w, to);
        to->hung_up = true;
        return true;
    }
    if (!f)
        return false;
    bool dead = w->dead & 1u << (link - w->link);
    graph_pull(w, link, !from);
    if (to->conn && ww_rpc_conn_is_open(to->conn)) {
        if (!dead && !link->packed)
            wire_received(w, to, ww_bytes(f->data, f->len));
        ww_err err = ww_rpc_conn_feed(to->conn, ww_bytes(f->data, f->len));
        if (err < 0 && !dead && !graph_alloc_refused())
            graph_fail(w, "link: a good message is refused: %d", (int)err);
    }
    free(f);
    graph_pull(w, link, !from); /* what it said to this comes before it hears more */
    return true;
}

/* The link is cut: in the middle of things, at the end of a side's words, or with an Abort. */
void graph_cut(struct world *w, unsigned at, uint8_t how)
{
    struct link *link = &w->link[at];
    struct side *side = &link->side[how & 1];
    if (w->dead & 1u << at)
        return;
    w->dead |= 1u << at;
    graph_log(w, "    link %u is cut (%u)", at, how);
    if (!link->good)
        side = &link->side[0];
    if (how & 2)
        ww_rpc_conn_close(side->conn, "the end");
    else
        lose(w, side);
    graph_pull(w, link, (int)(side - link->side));
    side->lost = side->hung_up = true;
    if (how & 4)
        graph_frames_free(side); /* lost on the way */
    if (how & 8) {
        ww_rpc_conn_free(side->conn);
        side->conn = NULL;
    }
}

/* ---- checks */

static void side_check(struct world *w, unsigned at, struct side *side)
{
    struct ww_diag diag;
    if (!side->conn)
        return;
    if (ww_rpc_conn_check(side->conn, &diag) < 0)
        graph_fail(w, "invariant %s", diag.text);
    if (ww_rpc_conn_is_open(side->conn) || w->dead & 1u << at)
        return;
    if (!graph_alloc_refused() && w->link[at].good)
        graph_fail(w, "link: %u closed by itself: %s", at, side->conn->close_exc->text);
    w->dead |= 1u << at;
    side->lost = side->hung_up = true;
}

void graph_check(struct world *w)
{
    for (unsigned i = 0; i < w->links; i++) {
        for (int s = 0; s < 2; s++) {
            graph_pull(w, &w->link[i], s);
            side_check(w, i, &w->link[i].side[s]);
        }
    }
}

static bool move_all(struct world *w)
{
    bool moved = false;
    uint64_t order = graph_random(&w->random);
    for (unsigned i = 0; i < w->links * 2; i++) {
        unsigned at = (i + (unsigned)order) % (w->links * 2);
        moved |= graph_deliver(w, &w->link[at / 2], at & 1);
        graph_check(w);
    }
    return moved;
}

void graph_cut_all(struct world *w)
{
    for (unsigned i = 0; i < w->links; i++)
        graph_cut(w, i, 0);
}

/* A call in a circle of promises goes round until there is no room for another question; one that was
 * cancelled runs before its Finish for as long as there are connections. */
void graph_settle(struct world *w)
{
    enum { CIRCLE_TURNS = 2000, TURNS = 20000 };
    for (unsigned turns = 0;; turns++) {
        if (turns > TURNS)
            graph_fail(w, "settle: it goes on for ever");
        if (turns == CIRCLE_TURNS && w->looped)
            graph_cut_all(w);
        bool moved = move_all(w);
        for (unsigned v = 0; v < w->vats; v++)
            moved |= ww_rpc_vat_run(w->vat[v].rpc, ++w->now_ns, 4) || !ww_list_empty(&w->vat[v].rpc->ready);
        graph_check(w);
        for (unsigned i = 0; i < w->links * 2; i++) {
            const struct side *side = &w->link[i / 2].side[i & 1];
            /* Without memory a side may go without a word, and the other has yet to hear of it. */
            moved |= side->first || (side->hung_up && !w->link[i / 2].side[!(i & 1)].lost);
        }
        if (!moved)
            return;
    }
}
