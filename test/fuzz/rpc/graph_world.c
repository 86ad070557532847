/* The vats, what lies between them, and the run of a script. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "graph.h"

void (*graph_finding)(const char *text);

void graph_fail(struct world *w, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (w->verbose)
        printf("step %d: finding: %s\n", w->step, text);
    fflush(stdout);
    if (graph_finding)
        graph_finding(text);
    fprintf(stderr, "step %d: finding: %s\n", w->step, text);
    abort();
}

void graph_log(struct world *w, const char *fmt, ...)
{
    if (!w->verbose)
        return;
    va_list ap;
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
}

uint64_t graph_random(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static void quiet_check(struct world *w)
{
    for (unsigned v = 0; v < w->vats; v++) {
        struct vat *vat = &w->vat[v];
        membranes_check(w, vat);
        for (int i = 0; i < HANDS; i++) {
            if (vat->hand[i].id)
                model_cap(w, vat, &vat->hand[i], true);
        }
        for (int i = 0; i < WATCHES; i++) {
            struct watch *watch = &vat->watch[i];
            if (!watch->ref.cap)
                continue;
            struct end end = shadow_end(w, watch->ref.shadow);
            bool told = !end.veiled && !(end.blind >> v & 1);
            if (!watch->fired && told && end.kind != END_OPEN && !end_excused(w, end))
                graph_fail(w, "watch: it never fired");
        }
    }
}

/* ---- the run */

static void vat_init(struct world *w, unsigned v, uint8_t how)
{
    struct vat *vat = &w->vat[v];
    /* Few questions, so that calls which run in circles come to an end soon. */
    struct ww_rpc_vat_config config = {.limits = {.questions = 200, .answers = 400}};
    vat->world = w;
    vat->id = (uint8_t)v;
    if (ww_rpc_vat_new(&config, &vat->rpc) < 0)
        abort();
    bool made = false;
    if (how % 8 == 0)
        vat->boot = (struct ref){NULL, {node_new(w, N_BROKEN, TEXT_NO_BOOTSTRAP, 0), 0}, ref_new(w)};
    else if (how % 8 < 3)
        made = app_promise(vat, 0, &vat->boot);
    else
        made = app_object(vat, &vat->boot);
    if (!made && how % 8 != 0)
        abort();
    vat->boot_node = vat->boot.shadow.node;
}

static void link_init(struct world *w, int a, int b)
{
    struct link *link = &w->link[w->links];
    link->good = b >= 0;
    link->packed = link->good && (w->random >> (w->links * 3) & 7) == 7;
    for (int s = 0; s < 2; s++) {
        struct side *side = &link->side[s];
        side->link = link;
        side->vat = s == 0 ? &w->vat[a] : b >= 0 ? &w->vat[b] : NULL;
        if (!side->vat)
            continue;
        ww_budget_init(&side->budget, NULL);
        w->tails |= w->random >> w->links & 1;
        if (b < 0)
            side->budget.max[WW_RES_BYTES] = 1 << 20;
        struct ww_rpc_conn_config config = {.bootstrap = side->vat->boot.cap,
            .budget = &side->budget,
            .packed = link->packed,
            .tail_calls = link->good && (w->random >> w->links & 1)};
        side->wire = calloc(1, sizeof *side->wire);
        if (!side->wire || ww_rpc_conn_new(side->vat->rpc, &config, &side->conn) < 0)
            abort();
    }
    w->links++;
}

/* Something to begin with. */
static void hands_fill(struct world *w)
{
    for (unsigned v = 0; v < w->vats; v++) {
        struct vat *vat = &w->vat[v];
        app_object(vat, &vat->hand[0]);
        for (uint8_t i = 0; i < 3; i++)
            app_bootstrap(vat, i, &vat->hand[1 + i]);
        app_promise(vat, 1, &vat->hand[4]);
        for (uint8_t i = 0; i < HANDS; i++)
            membrane_pass(vat, (uint8_t)(i + v), &vat->hand[i]);
    }
}

static void world_init(struct world *w, const uint8_t header[GRAPH_HEADER])
{
    ww_msg_init(&w->out, NULL);
    ww_msg_init(&w->in, NULL);
    w->nodes = 1; /* the null node */
    w->refs = 2;  /* none, and the one for null */
    w->random = ww_le64_load(header);
    w->vats = 2 + header[0] % (VATS - 1);
    for (unsigned v = 0; v < w->vats; v++)
        vat_init(w, v, (uint8_t)(header[1] + (header[2] >> v) * 3));
    membranes_init(w, header[7]);
    for (unsigned v = 1; v < w->vats; v++)
        link_init(w, (int)((header[3] >> v) % v), (int)v);
    if (header[4] % 3 == 0)
        link_init(w, header[4] / 3 % (int)w->vats, (header[4] / 3 + 1) % (int)w->vats);
    w->evil = header[5] & 1;
    for (int i = 0; w->evil && i < 1 + (header[5] >> 7); i++)
        link_init(w, (i + header[6]) % (int)w->vats, -1);
    hands_fill(w);
}

static void run_step(struct world *w, const struct step *step)
{
    uint8_t op = step->op % 64;
    const uint8_t *arg = step->arg;
    if (op < 14) {
        unsigned dir = arg[0] % (w->links * 2);
        for (unsigned i = 1 + arg[1] / 64u; i > 0; i--)
            graph_deliver(w, &w->link[dir / 2], dir & 1);
    } else if (op < 22) {
        ww_rpc_vat_run(w->vat[step->vat % w->vats].rpc, ++w->now_ns, arg[0] % 4);
    } else if (op == 22) {
        if (arg[1] % 8 == 0) /* most of the time links hold */
            graph_cut(w, arg[0] % w->links, arg[2]);
    } else if (op == 23) {
        if (arg[0] % 4 == 0)
            graph_settle(w);
    } else if (w->evil && op < 36) {
        evil_step(w, step);
    } else {
        app_step(w, step);
    }
}

static void tables_check(struct world *w)
{
    if (w->looped || w->boot_shared || model_circular(w))
        return;
    for (unsigned i = 0; i < w->links; i++) {
        for (int s = 0; s < 2; s++) {
            struct side *side = &w->link[i].side[s];
            struct ww_rpc_conn_stats st = {0};
            if (!side->conn)
                continue;
            if (!(w->dead & 1u << i))
                wire_empty(w, side);
            ww_rpc_conn_stats(side->conn, &st);
            if (st.questions || st.answers || st.exports || st.imports || st.embargoes)
                graph_fail(w,
                    "tables: link %u side %d: %u questions %u answers %u exports %u imports %u embargoes", i,
                    s, st.questions, st.answers, st.exports, st.imports, st.embargoes);
            if (!(w->dead & 1u << i))
                wire_empty(w, side);
        }
    }
}

/* The bootstrap capability that each connection holds is the last thing to go. */
static void world_free(struct world *w)
{
    for (unsigned i = 0; i < w->links; i++) {
        for (int s = 0; s < 2; s++) {
            struct side *side = &w->link[i].side[s];
            ww_rpc_conn_free(side->conn);
            side->conn = NULL;
            graph_frames_free(side);
            free(side->wire);
            for (int r = 0; r < WW_RES_COUNT; r++) {
                if (side->budget.used[r] != 0)
                    graph_fail(w, "budget: %llu of %d is still charged",
                        (unsigned long long)side->budget.used[r], r);
            }
        }
    }
    for (unsigned v = 0; v < w->vats; v++) {
        ref_drop(&w->vat[v].boot);
        while (ww_rpc_vat_run(w->vat[v].rpc, ++w->now_ns, 0))
            ;
    }
    for (unsigned v = 0; v < w->vats; v++)
        ww_rpc_vat_free(w->vat[v].rpc);
    membranes_dropped(w);
    for (unsigned i = 0; i < w->objects; i++) {
        if (w->object[i].made && !w->object[i].dropped)
            graph_fail(w, "life: object %u was never dropped", i);
    }
    ww_msg_fini(&w->out);
    ww_msg_fini(&w->in);
}

static void world_end(struct world *w)
{
    w->step = -1;
    graph_log(w, "the end");
    for (unsigned i = 0; i < w->links; i++) {
        if (!w->link[i].good)
            graph_cut(w, i, 0);
    }
    for (int i = 0; i < 4; i++) {
        app_release(w);
        graph_settle(w);
    }
    if (w->looped) { /* nothing else ends a circle over the wire; this does */
        graph_cut_all(w);
        graph_settle(w);
    }
    quiet_check(w);
    model_final(w);
    app_let_go(w);
    membranes_release(w);
    graph_settle(w);
    tables_check(w);
    world_free(w);
    size_t left = graph_alloc_live();
    if (left > 0)
        graph_fail(w, "memory: %zu blocks are left", left);
}

void graph_run(struct script script, size_t fail_at, bool sticky, bool verbose, struct graph_stats *ret_stats)
{
    uint8_t header[GRAPH_HEADER] = {0};
    size_t n = script.size < GRAPH_HEADER ? script.size : GRAPH_HEADER;
    if (n)
        memcpy(header, script.data, n);
    struct world *w = calloc(1, sizeof *w);
    if (!w)
        abort();
    w->verbose = verbose;
    graph_alloc_begin(fail_at, sticky);
    graph_alloc_spare(true);
    world_init(w, header);
    graph_alloc_spare(false);
    size_t steps = (script.size - n) / STEP_BYTES;
    if (steps > GRAPH_STEPS_MAX)
        steps = GRAPH_STEPS_MAX;
    for (size_t i = 0; i < steps; i++) {
        struct step step;
        memcpy(&step, script.data + n + i * STEP_BYTES, STEP_BYTES);
        w->step = (int)i;
        graph_log(w, "step %zu", i);
        run_step(w, &step);
        graph_check(w);
    }
    world_end(w);
    if (ret_stats) {
        *ret_stats = (struct graph_stats){.calls = w->records,
            .loops = w->looped,
            .crossings = w->crossings,
            .refusals = w->refusals,
            .detours = w->detours,
            .barred = w->barred,
            .allocations = graph_alloc_count()};
        for (unsigned i = 0; i < w->records; i++)
            ret_stats->delivered += w->record[i].state != R_SENT;
        memcpy(ret_stats->messages, w->messages, sizeof w->messages);
    }
    graph_alloc_end();
    free(w);
}

size_t graph_script(uint64_t seed, struct graph_choice choice, uint8_t *out)
{
    uint64_t state = seed;
    unsigned steps = choice.steps ? choice.steps : 20 + (unsigned)(graph_random(&state) % 120);
    if (steps > GRAPH_STEPS_MAX)
        steps = GRAPH_STEPS_MAX;
    size_t n = GRAPH_HEADER + (size_t)steps * STEP_BYTES;
    for (size_t i = 0; i < n; i++) {
        out[i] = (uint8_t)(graph_random(&state) >> 24);
    }
    if (choice.vats)
        out[0] = (uint8_t)(choice.vats - 2);
    out[5] = (uint8_t)((out[5] & 0xfe) | choice.malicious);
    return n;
}
