#include "sim/scenario.h"

#define FAULT_MIN_NS (200 * WW_NS_PER_MS)
#define FAULT_MAX_NS (10 * WW_NS_PER_S)

/* A fault that lasts, and what undoes it. One of each sort and node at a time. */
struct spell {
    struct ww_sim_call end;
    struct ww_scenario *scenario;
    enum ww_scenario_fault fault;
    size_t node;
};

struct member {
    struct ww_sim_node *node;
    struct ww_scenario_app *app; /* NULL: down */
    struct spell away, asleep;   /* crash, power cut or leave; pause */
    struct ww_sim_call left;     /* the end of leaving */
    struct ww_scenario *scenario;
};

struct ww_scenario {
    struct ww_scenario_conf conf;
    struct ww_scenario_program *program;
    struct ww_scenario_result *result;
    struct ww_sim *sim;
    struct ww_prng prng;
    struct ww_sim_call next_fault;
    struct spell weather, split; /* loss or delay; partition or one-way cut */
    struct member *members;
    bool *sides;
    uint64_t disturbed_ns; /* when the last disturbance ended */
    ww_err start_err;
};

void ww_scenario_conf_default(struct ww_scenario_conf *ret_conf, uint64_t seed)
{
    *ret_conf = (struct ww_scenario_conf){
        .nodes = 5,
        .faults_ns = 60 * WW_NS_PER_S,
        .settle_ns = 60 * WW_NS_PER_S,
        .check_interval_ns = 50 * WW_NS_PER_MS,
        .fault_gap_ns = 2 * WW_NS_PER_S,
        .faults = (1u << WW_FAULT_COUNT) - 1,
    };
    ww_sim_conf_default(&ret_conf->sim, seed);
}

struct ww_sim *ww_scenario_sim(struct ww_scenario *scenario)
{
    return scenario->sim;
}

size_t ww_scenario_node_count(const struct ww_scenario *scenario)
{
    return scenario->conf.nodes;
}

struct ww_sim_node *ww_scenario_node(struct ww_scenario *scenario, size_t index)
{
    return scenario->members[index].node;
}

struct ww_scenario_app *ww_scenario_app(struct ww_scenario *scenario, size_t index)
{
    return scenario->members[index].app;
}

uint64_t ww_scenario_calm_ns(const struct ww_scenario *s)
{
    bool disturbed = s->weather.end.armed || s->split.end.armed;
    for (size_t i = 0; i < s->conf.nodes; i++)
        disturbed = disturbed || s->members[i].asleep.end.armed;
    return disturbed ? 0 : ww_sim_now(s->sim) - s->disturbed_ns;
}

/* ---- members ---- */

static ww_err app_start(struct ww_scenario *s, struct member *m)
{
    struct ww_scenario_app *app;
    WW_TRY(s->program->start(s->program, m->node, &app));
    app->node = m->node;
    m->app = app;
    return WW_OK;
}

static void app_stop(struct ww_scenario *s, struct member *m)
{
    struct ww_scenario_app *app = m->app;
    m->app = NULL;
    if (app)
        s->program->stop(s->program, app);
}

static size_t members_up(const struct ww_scenario *s)
{
    size_t up = 0;
    for (size_t i = 0; i < s->conf.nodes; i++)
        up += s->members[i].app != NULL;
    return up;
}

/* The program has had its time to say farewell: the process ends. */
static void member_left(struct ww_sim_call *call)
{
    struct member *m = WW_CONTAINER_OF(call, struct member, left);
    app_stop(m->scenario, m);
    ww_sim_node_crash(m->node);
}

/* ---- the end of a fault ---- */

static void member_return(struct ww_scenario *s, struct member *m)
{
    ww_err err = ww_sim_node_running(m->node) ? WW_OK : ww_sim_node_start(m->node);
    if (!err && !m->app)
        err = app_start(s, m);
    if (err && !s->start_err)
        s->start_err = err;
}

static bool disturbs(enum ww_scenario_fault fault)
{
    return fault != WW_FAULT_CRASH && fault != WW_FAULT_POWER && fault != WW_FAULT_LEAVE;
}

static void spell_end(struct ww_sim_call *call)
{
    struct spell *p = WW_CONTAINER_OF(call, struct spell, end);
    struct ww_scenario *s = p->scenario;
    if (disturbs(p->fault))
        s->disturbed_ns = ww_sim_now(s->sim);
    switch (p->fault) {
    case WW_FAULT_LOSS:
    case WW_FAULT_DELAY:
        ww_sim_link_set(s->sim, &s->conf.sim.link);
        break;
    case WW_FAULT_PARTITION:
    case WW_FAULT_ONE_WAY:
        ww_sim_heal(s->sim);
        break;
    case WW_FAULT_LEAVE:
        if (s->members[p->node].left.armed) {
            ww_sim_call_cancel(s->sim, &s->members[p->node].left);
            member_left(&s->members[p->node].left);
        }
        member_return(s, &s->members[p->node]);
        break;
    case WW_FAULT_CRASH:
    case WW_FAULT_POWER:
        member_return(s, &s->members[p->node]);
        break;
    case WW_FAULT_PAUSE:
        ww_sim_node_resume(s->members[p->node].node);
        break;
    default:
        break;
    }
}

static void spell_finish(struct ww_scenario *s, struct spell *p)
{
    if (p->end.armed) {
        ww_sim_call_cancel(s->sim, &p->end);
        spell_end(&p->end);
    }
}

/* ---- the beginning of a fault ---- */

/* False when one of the sort is under way already. */
static bool spell_begin(struct ww_scenario *s, struct spell *p, enum ww_scenario_fault fault, size_t node)
{
    if (p->end.armed)
        return false;
    p->end.fire = spell_end;
    p->scenario = s;
    p->fault = fault;
    p->node = node;
    uint64_t lasts = FAULT_MIN_NS + ww_prng_below(&s->prng, FAULT_MAX_NS - FAULT_MIN_NS);
    ww_sim_at(s->sim, &p->end, ww_sim_now(s->sim) + lasts);
    s->result->faults++;
    return true;
}

static void weather(struct ww_scenario *s, enum ww_scenario_fault fault)
{
    struct ww_sim_link link = s->conf.sim.link;
    if (fault == WW_FAULT_LOSS) {
        link.loss_ppm += (uint32_t)ww_prng_below(&s->prng, 300000);
        link.dup_ppm += (uint32_t)ww_prng_below(&s->prng, 100000);
    } else {
        link.delay_min_ns += ww_prng_below(&s->prng, 100 * WW_NS_PER_MS);
        link.delay_jitter_ns += ww_prng_below(&s->prng, 300 * WW_NS_PER_MS);
        link.spike_ppm += 50000;
    }
    if (spell_begin(s, &s->weather, fault, 0))
        ww_sim_link_set(s->sim, &link);
}

static void split(struct ww_scenario *s, enum ww_scenario_fault fault, size_t a, size_t b)
{
    for (size_t i = 0; i < s->conf.nodes; i++)
        s->sides[i] = ww_prng_below(&s->prng, 2) == 0;
    if (s->conf.nodes < 2 || !spell_begin(s, &s->split, fault, a))
        return;
    if (fault == WW_FAULT_PARTITION)
        ww_sim_partition(s->sim, s->sides, s->conf.nodes);
    else if (a != b)
        ww_sim_cut(s->members[a].node, s->members[b].node, true);
}

static void stop_member(struct ww_scenario *s, enum ww_scenario_fault fault, size_t a)
{
    struct member *m = &s->members[a];
    if (!m->app || members_up(s) < 2 || !spell_begin(s, &m->away, fault, a))
        return;
    spell_finish(s, &m->asleep);
    if (fault == WW_FAULT_CRASH)
        ww_sim_node_crash(m->node);
    else
        ww_sim_node_power_off(m->node);
    app_stop(s, m);
}

static void leave_member(struct ww_scenario *s, size_t a)
{
    struct member *m = &s->members[a];
    if (!s->program->leave || !m->app || members_up(s) < 2 || !spell_begin(s, &m->away, WW_FAULT_LEAVE, a))
        return;
    spell_finish(s, &m->asleep);
    m->left.fire = member_left;
    ww_sim_at(s->sim, &m->left, ww_sim_now(s->sim) + WW_SCENARIO_LEAVE_NS);
    ww_sim_note(s->sim, m->node, "leaves");
    s->program->leave(s->program, m->app);
}

/* One of those that may come. */
static enum ww_scenario_fault fault_draw(struct ww_scenario *s)
{
    enum ww_scenario_fault allowed[WW_FAULT_COUNT];
    size_t count = 0;
    for (unsigned f = 0; f < WW_FAULT_COUNT; f++) {
        if (s->conf.faults & 1u << f)
            allowed[count++] = (enum ww_scenario_fault)f;
    }
    return allowed[ww_prng_below(&s->prng, count)];
}

static void fault_next(struct ww_sim_call *call)
{
    struct ww_scenario *s = WW_CONTAINER_OF(call, struct ww_scenario, next_fault);
    ww_sim_at(s->sim, call, ww_sim_now(s->sim) + 1 + ww_prng_below(&s->prng, 2 * s->conf.fault_gap_ns));
    enum ww_scenario_fault fault = fault_draw(s);
    size_t a = (size_t)ww_prng_below(&s->prng, s->conf.nodes),
           b = (size_t)ww_prng_below(&s->prng, s->conf.nodes);
    switch (fault) {
    case WW_FAULT_LOSS:
    case WW_FAULT_DELAY:
        weather(s, fault);
        break;
    case WW_FAULT_PARTITION:
    case WW_FAULT_ONE_WAY:
        split(s, fault, a, b);
        break;
    case WW_FAULT_CRASH:
    case WW_FAULT_POWER:
        stop_member(s, fault, a);
        break;
    case WW_FAULT_LEAVE:
        leave_member(s, a);
        break;
    case WW_FAULT_PAUSE:
        if (s->members[a].app && !s->members[a].away.end.armed &&
            spell_begin(s, &s->members[a].asleep, fault, a))
            ww_sim_node_pause(s->members[a].node);
        break;
    default:
        ww_sim_tcp_reset(s->members[a].node, s->members[b].node);
        s->disturbed_ns = ww_sim_now(s->sim);
        s->result->faults++;
        break;
    }
}

/* ---- the course ---- */

static ww_err check_safe(struct ww_scenario *s)
{
    if (s->start_err)
        return ww_diag_set(&s->result->diag, s->start_err, "a program did not start again");
    ww_err err = s->program->safe(s->program, s, &s->result->diag);
    if (err)
        ww_sim_note(s->sim, NULL, "unsafe: %s", s->result->diag.text);
    return err;
}

static ww_err run_safely(struct ww_scenario *s, uint64_t until_ns)
{
    while (ww_sim_now(s->sim) < until_ns) {
        uint64_t next = ww_sim_now(s->sim) + s->conf.check_interval_ns;
        ww_sim_run_until(s->sim, next < until_ns ? next : until_ns);
        WW_TRY(check_safe(s));
    }
    return WW_OK;
}

/* Runs until the goal is reached; how long that took goes to `*took_ns`. */
static ww_err run_to_converged(struct ww_scenario *s, const char *when, uint64_t *took_ns)
{
    uint64_t start = ww_sim_now(s->sim);
    for (;;) {
        struct ww_diag diag = {0};
        *took_ns = ww_sim_now(s->sim) - start;
        ww_err err = s->program->converged(s->program, s, &diag);
        if (!err) {
            ww_sim_note(s->sim, NULL, "converged %s", when);
            return WW_OK;
        }
        if (*took_ns >= s->conf.settle_ns)
            return ww_diag_set(&s->result->diag, err, "not converged %s: %.200s", when, diag.text);
        WW_TRY(run_safely(s, ww_sim_now(s->sim) + s->conf.check_interval_ns));
    }
}

static void heal_all(struct ww_scenario *s)
{
    ww_sim_call_cancel(s->sim, &s->next_fault);
    spell_finish(s, &s->weather);
    spell_finish(s, &s->split);
    for (size_t i = 0; i < s->conf.nodes; i++) {
        spell_finish(s, &s->members[i].asleep);
        spell_finish(s, &s->members[i].away);
    }
}

static ww_err course(struct ww_scenario *s)
{
    s->disturbed_ns = ww_sim_now(s->sim);
    for (size_t i = 0; i < s->conf.nodes; i++) {
        s->members[i].scenario = s;
        WW_TRY(ww_sim_node_add(s->sim, "", 0, &s->members[i].node));
        WW_TRY(app_start(s, &s->members[i]));
    }
    WW_TRY(run_to_converged(s, "at the start", &s->result->first_converged_ns));
    if (s->conf.faults && s->conf.faults_ns) {
        s->next_fault.fire = fault_next;
        ww_sim_at(s->sim, &s->next_fault, 0);
        WW_TRY(run_safely(s, ww_sim_now(s->sim) + s->conf.faults_ns));
        heal_all(s);
        WW_TRY(check_safe(s));
    }
    WW_TRY(run_to_converged(s, "after the healing", &s->result->healed_converged_ns));
    /* And it stays so. */
    WW_TRY(run_safely(s, ww_sim_now(s->sim) + s->conf.settle_ns));
    ww_err err = s->program->converged(s->program, s, &s->result->diag);
    return err;
}

ww_err ww_scenario_run(const struct ww_scenario_conf *conf, struct ww_scenario_program *program,
    struct ww_scenario_result *ret_result)
{
    WW_ASSERT(!(conf->faults >> WW_FAULT_COUNT));
    WW_ASSERT(conf->nodes > 0 && conf->nodes <= conf->sim.nodes_max && conf->check_interval_ns > 0);
    struct ww_scenario s = {.conf = *conf, .program = program, .result = ret_result};
    *ret_result = (struct ww_scenario_result){0};
    s.members = ww_calloc(conf->nodes, sizeof *s.members);
    s.sides = ww_calloc(conf->nodes, sizeof *s.sides);
    ww_err err = s.members && s.sides ? ww_sim_new(&conf->sim, &s.sim) : WW_ENOMEM;
    if (!err) {
        ww_sim_prng(s.sim, "faults", 0, &s.prng);
        err = course(&s);
        ret_result->failed_at_ns = err ? ww_sim_now(s.sim) : 0;
        ret_result->hash = ww_sim_hash(s.sim);
        ret_result->events = ww_sim_events(s.sim);
        ret_result->stats = ww_sim_stats(s.sim);
        for (size_t i = 0; i < conf->nodes; i++)
            app_stop(&s, &s.members[i]);
    }
    if (err && ret_result->diag.code == WW_OK)
        (void)ww_diag_set(&ret_result->diag, err, "%s", ww_err_text(err));
    ret_result->err = err;
    ww_sim_free(s.sim);
    ww_free(s.members);
    ww_free(s.sides);
    return err;
}
