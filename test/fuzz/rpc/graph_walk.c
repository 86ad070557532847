/* Ways through the shadow graph: where a reference leads, and the borders that calls on it pass. */
#include "graph.h"

/* While it is walked: the crossings in the order of a call's way, which is from the outside in. */
struct way {
    struct end end;
    uint8_t path[CROSSINGS * 3];
    unsigned len;
    uint16_t around; /* membranes that calls crossed there and back, of which only what they carried knows */
};

static struct end walk(struct world *w, struct shadow s, unsigned *budget);
static struct end call_end(struct world *w, const struct record *r, unsigned *budget);

static void way_cross(struct way *way, uint8_t crossing)
{
    if (way->len < WW_COUNT_OF(way->path))
        way->path[way->len++] = crossing;
    else
        way->end.lost = true;
    way->end.crossed |= 1u << crossing / 2;
}

/* Crossings of one membrane that met: the same way, and back. */
struct folds {
    uint32_t again, back;
};

static void fold_note(struct folds *f, uint8_t at, uint8_t next)
{
    if (at / 2 == next / 2)
        *(at == next ? &f->again : &f->back) |= 1u << at / 2;
}

/* What passes the same way twice is wrapped once; what comes back is itself. */
static void stack_push(struct end *e, uint8_t crossing, struct folds *folds)
{
    uint8_t top = e->depth ? e->stack[e->depth - 1] : UINT8_MAX;
    fold_note(folds, top, crossing);
    if (top == (crossing ^ 1))
        e->depth--;
    else if (top != crossing && e->depth == CROSSINGS)
        e->lost = true;
    else if (top != crossing)
        e->stack[e->depth++] = crossing;
}

/* Twice there and once back is the one or the other, as the promises in between were resolved before or
 * later.
 */
static void way_fold(struct way *way)
{
    struct end *e = &way->end;
    struct folds folds = {0, 0};
    for (unsigned i = way->len; i-- > 0;) {
        if (i > 0)
            fold_note(&folds, way->path[i], way->path[i - 1]);
        stack_push(e, way->path[i], &folds);
    }
    e->folded |= folds.again || folds.back;
    e->lost |= (folds.again & folds.back) != 0;
    for (unsigned i = 0; i < way->len; i++)
        e->lost |= way->around >> way->path[i] / 2 & 1;
}

/* A result that is not there yet is as open, or as broken, as what its call goes to. */
static void undelivered(struct world *w, struct end *e, const struct end *target)
{
    e->kind = target->kind;
    e->at = target->at;
    e->shaky |= target->shaky;
    if (target->kind == END_NULL) {
        e->kind = END_BROKEN;
        e->at = TEXT_NULL;
    } else if (target->kind == END_OBJECT) {
        e->kind = END_OPEN;
        e->shaky |= w->object[target->at].stream_broken;
    }
}

/* One step along a result: true when `*s` leads on, else the end is reached. */
static bool through_result(
    struct world *w, const struct node *n, struct shadow *s, struct way *way, unsigned *budget)
{
    const struct record *r = &w->record[n->at];
    struct end target = call_end(w, r, budget), *e = &way->end;
    e->links |= target.links;
    e->crossed |= target.crossed;
    e->folded |= target.folded;
    way->around |= target.folded ? target.crossed : 0;
    e->unknown = true;
    e->veiled |= r->pipe_only;
    if (w->tails && r->parent < 0)
        e->blind |= (uint8_t) ~(1u << r->vat);
    if (r->alien || target.kind == END_ANY || (r->diverted && target.folded)) {
        e->kind = END_ANY;
        return false;
    }
    for (unsigned i = target.depth; i-- > 0;)
        way_cross(way, target.stack[i]); /* calls on the promise of a result cross at once, too */
    if (r->state == R_SENT && !(n->index == 0 && r->has_early)) {
        undelivered(w, e, &target);
        return false;
    }
    if (n->index == 0 && r->has_early) {
        e->shaky |= r->state == R_FAILED;
        *s = r->early;
        return true;
    }
    switch (r->state) {
    case R_SENT:
    case R_RUNNING:
        e->kind = END_OPEN;
        return false;
    case R_FAILED:
        e->kind = END_BROKEN;
        e->at = r->text;
        return false;
    case R_FORWARDED:
        *s = result_shadow(w, r->next, n->index);
        return true;
    case R_RETURNED:
        break;
    }
    if (n->index < r->result_caps) {
        *s = r->results[n->index];
        return true;
    }
    bool structure = n->index == CAPS && r->result_caps == CAPS;
    e->kind = structure ? END_BROKEN : END_NULL;
    e->at = structure ? TEXT_NO_CAP : TEXT_NULL;
    return false;
}

/* One step: true when `*s` leads on. */
static bool step(struct world *w, struct shadow *s, struct way *way, unsigned *budget)
{
    struct end *e = &way->end;
    const struct node *n = &w->node[s->node];
    e->links |= s->links;
    e->at = n->at;
    switch (n->kind) {
    case N_NULL:
        e->kind = END_NULL;
        break;
    case N_OBJECT:
        e->kind = END_OBJECT;
        e->shaky |= w->object[n->at].doubtful;
        break;
    case N_BROKEN:
        e->kind = END_BROKEN;
        break;
    case N_ANY:
        e->kind = END_ANY;
        break;
    case N_PROMISE:
        *s = n->to;
        e->kind = n->state == P_REJECTED ? END_BROKEN : END_OPEN;
        return n->state == P_RESOLVED;
    case N_RESULT:
        return through_result(w, n, s, way, budget);
    case N_CROSSED:
        way_cross(way, (uint8_t)n->at);
        *s = n->to;
        return true;
    }
    return false;
}

static struct end walk(struct world *w, struct shadow s, unsigned *budget)
{
    struct way way = {.end = {.kind = END_LOOP}};
    struct end *e = &way.end;
    bool more = true;
    while (more && *budget > 0) {
        --*budget;
        more = step(w, &s, &way, budget);
    }
    if (more)
        e->kind = END_LOOP;
    way_fold(&way);
    if (e->crossed & w->revoked)
        e->shaky =
            true; /* what crossed may be broken; calls that must not come are looked for by themselves */
    if (e->lost && e->kind != END_LOOP)
        e->kind = END_ANY;
    return *e;
}

struct end shadow_end(struct world *w, struct shadow s)
{
    unsigned budget = 3000;
    return walk(w, s, &budget);
}

/* What the policies make of a call, from the outside in. Where the way was longer than it need be, they may
 * have been asked more often. */
static void policies(struct world *w, const struct record *r, struct end *e)
{
    for (unsigned i = 0; i < VATS * MEMBRANES; i++) {
        bool acts = e->crossed >> i & 1 && membrane_mood(w, i, r->nonce) != MOOD_PASS;
        e->shaky |= acts && (e->folded || e->kind == END_NULL || e->kind == END_BROKEN);
        e->detour |= acts && e->folded;
    }
    if (e->kind != END_OBJECT && e->kind != END_OPEN && !r->diverted)
        return;
    for (unsigned i = e->depth; i-- > 0;) {
        unsigned m = e->stack[i] / 2;
        enum mood mood = r->diverted == m + 1 ? MOOD_DETOUR : membrane_mood(w, m, r->nonce);
        if (mood == MOOD_PASS || (r->diverted && r->diverted != m + 1))
            continue;
        e->kind = mood == MOOD_REFUSE ? END_BROKEN : END_OBJECT;
        e->at = mood == MOOD_REFUSE ? TEXT_REFUSED : w->membrane[m].detour_id;
        e->detour = true;
        e->depth -= i + 1;
        memmove(e->stack, e->stack + i + 1, e->depth);
        return;
    }
}

static struct end call_end(struct world *w, const struct record *r, unsigned *budget)
{
    struct end e = walk(w, r->target, budget);
    if (e.crossed)
        policies(w, r, &e);
    return e;
}

struct end record_end(struct world *w, const struct record *r)
{
    unsigned budget = 3000;
    return call_end(w, r, &budget);
}

bool end_revoked(const struct world *w, const struct end *end)
{
    for (unsigned i = 0; i < end->depth; i++) {
        if (w->revoked >> end->stack[i] / 2 & 1)
            return !end->folded;
    }
    return false;
}

struct shadow shadow_cross(struct world *w, struct shadow s, uint8_t crossing)
{
    uint16_t node = node_new(w, N_CROSSED, crossing, 0);
    w->node[node].to = s;
    return (struct shadow){node, 0};
}

struct shadow param_shadow(struct world *w, const struct record *r, int index)
{
    struct end end = record_end(w, r);
    struct shadow s = index < r->caps || r->alien ? r->params[index] : (struct shadow){0, 0};
    if (w->node[s.node].kind == N_NULL)
        return s;
    struct end own = shadow_end(w, s);
    bool unknown = end.lost || (r->diverted && end.folded) ||
        (w->borders && (end.kind == END_ANY || end.kind == END_LOOP));
    if (unknown || (end.folded && (own.kind != END_OBJECT || own.crossed & end.crossed)))
        s.node = node_new(w, N_ANY, 0, 0);
    for (unsigned i = end.depth; i-- > 0 && !unknown;)
        s = shadow_cross(w, s, end.stack[i] ^ 1);
    s.links |= (uint16_t)end.links;
    return s;
}

bool end_excused(const struct world *w, struct end end)
{
    return graph_alloc_refused() || w->looped || (end.links & w->dead) || end.shaky || end.kind == END_ANY ||
        end.kind == END_LOOP;
}

/* ---- circles of results: each of some calls has a result of the next among its own */

struct trail {
    uint8_t seen[RECORDS]; /* 1: on the way, 2: done */
    bool found;
};

static void trail_record(struct world *w, struct trail *t, int record);

static void trail_shadow(struct world *w, struct trail *t, struct shadow s)
{
    for (int hops = 0; hops < 100 && !t->found; hops++) {
        const struct node *n = &w->node[s.node];
        if ((n->kind == N_PROMISE && n->state == P_RESOLVED) || n->kind == N_CROSSED) {
            s = n->to;
        } else if (n->kind == N_RESULT) {
            trail_record(w, t, n->at);
            return;
        } else {
            return;
        }
    }
}

static void trail_record(struct world *w, struct trail *t, int record)
{
    const struct record *r = &w->record[record];
    t->found |= t->seen[record] == 1;
    if (t->seen[record])
        return;
    t->seen[record] = 1;
    for (int i = 0; i < r->result_caps; i++)
        trail_shadow(w, t, r->results[i]);
    if (r->has_early)
        trail_shadow(w, t, r->early);
    if (r->state == R_FORWARDED)
        trail_record(w, t, r->next);
    t->seen[record] = 2;
}

bool model_circular(struct world *w)
{
    struct trail t = {0};
    for (unsigned i = 0; i < w->records && !t.found; i++)
        trail_record(w, &t, (int)i);
    return t.found;
}
