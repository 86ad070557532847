/* ww-sim — runs a scenario, or many, and says whether it held.
 *
 *   ww-sim [--program NAME] [--nodes N] [--seed S] [--runs R] [--time DURATION] [--loss PPM] [--json]
 * [--quiet]
 *
 * The transcript of a single run goes to standard output, one line an event; a summary follows each run.
 * Several runs print summaries only. Exit code: 0 all held; 1 one did not, and its seed is printed; 2 wrong
 * use. The same arguments give the same transcript, byte for byte.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/duration.h"
#include "sim/programs.h"

struct options {
    const struct ww_sim_program_entry *program;
    uint64_t nodes, seed, runs, time_ns, loss_ppm;
    bool json, quiet;
};

struct printer {
    struct ww_sim_sink sink;
};

static void print_line(struct ww_sim_sink *sink, struct ww_bytes text)
{
    WW_UNUSED(sink);
    fwrite(text.ptr, 1, text.len, stdout);
    putchar('\n');
}

static int usage(bool wrong)
{
    FILE *out = wrong ? stderr : stdout;
    fputs("usage: ww-sim [options]\n"
          "  --program NAME   what runs on the nodes:",
        out);
    for (const struct ww_sim_program_entry *e = ww_sim_programs; e->name; e++)
        fprintf(out, " %s%s", e->name, e == ww_sim_programs ? " (default)" : "");
    fputs("\n"
          "  --nodes N        how many (5)\n"
          "  --seed S         of all chance (1)\n"
          "  --runs R         this many seeds, from S on (1)\n"
          "  --time DURATION  of the part with faults; 0 for none (60s)\n"
          "  --loss PPM       lost datagrams and delayed segments per million, all the time (0)\n"
          "  --json           transcript as JSON lines\n"
          "  --quiet          no transcript, only the summary (as several runs do)\n"
          "examples:\n"
          "  ww-sim --nodes 5 --seed 7        one run and its transcript, the same each time\n"
          "  ww-sim --seed 100 --runs 50      fifty seeds; a failure prints how to repeat it\n",
        out);
    return wrong ? 2 : 0;
}

static bool parse_number(const char *text, uint64_t max, uint64_t *ret_value)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || value > max)
        return false;
    *ret_value = value;
    return true;
}

static const struct ww_sim_program_entry *program_named(const char *name)
{
    for (const struct ww_sim_program_entry *e = ww_sim_programs; e->name; e++) {
        if (strcmp(e->name, name) == 0)
            return e;
    }
    return NULL;
}

static bool parse_value(struct options *o, const char *name, const char *value)
{
    if (strcmp(name, "--program") == 0)
        return (o->program = program_named(value)) != NULL;
    if (strcmp(name, "--nodes") == 0)
        return parse_number(value, 1000, &o->nodes) && o->nodes > 0;
    if (strcmp(name, "--seed") == 0)
        return parse_number(value, UINT64_MAX, &o->seed);
    if (strcmp(name, "--runs") == 0)
        return parse_number(value, UINT32_MAX, &o->runs);
    if (strcmp(name, "--time") == 0)
        return ww_duration_parse(value, &o->time_ns) == WW_OK;
    if (strcmp(name, "--loss") == 0)
        return parse_number(value, 1000000, &o->loss_ppm);
    return false;
}

static bool parse(struct options *o, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            o->json = true;
        else if (strcmp(argv[i], "--quiet") == 0)
            o->quiet = true;
        else if (i + 1 < argc && parse_value(o, argv[i], argv[i + 1]))
            i++;
        else
            return false;
    }
    return true;
}

static void print_result(const struct options *o, uint64_t seed, const struct ww_scenario_result *r)
{
    FILE *out = o->json ? stderr : stdout; /* so that the transcript stays JSON */
    fprintf(out, "seed %llu: %s, %llu events, %llu faults, hash %016llx", (unsigned long long)seed,
        r->err ? "FAILED" : "held", (unsigned long long)r->events, (unsigned long long)r->faults,
        (unsigned long long)r->hash);
    if (!r->err)
        fprintf(out, ", converged in %.2f s, after healing in %.2f s\n", (double)r->first_converged_ns / 1e9,
            (double)r->healed_converged_ns / 1e9);
    else
        fprintf(out,
            "\n  at %.6f: %s: %s\n  again: ww-sim --program %s --nodes %llu --seed %llu --time %llums --loss "
            "%llu\n",
            (double)r->failed_at_ns / 1e9, ww_err_name(r->err), r->diag.text, o->program->name,
            (unsigned long long)o->nodes, (unsigned long long)seed,
            (unsigned long long)(o->time_ns / WW_NS_PER_MS), (unsigned long long)o->loss_ppm);
}

int main(int argc, char **argv)
{
    struct options o = {
        .program = ww_sim_programs, .nodes = 5, .seed = 1, .runs = 1, .time_ns = 60 * WW_NS_PER_S};
    struct printer printer = {.sink.line = print_line};
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return usage(false);
    if (!parse(&o, argc, argv))
        return usage(true);
    for (uint64_t i = 0; i < o.runs; i++) {
        struct ww_scenario_conf conf;
        struct ww_scenario_result result;
        ww_scenario_conf_default(&conf, o.seed + i);
        conf.nodes = (size_t)o.nodes;
        conf.faults_ns = o.time_ns;
        conf.sim.nodes_max = (size_t)o.nodes;
        conf.sim.link.loss_ppm = (uint32_t)o.loss_ppm;
        conf.sim.json = o.json;
        conf.sim.sink = o.json || (o.runs == 1 && !o.quiet) ? &printer.sink : NULL;
        ww_err err = o.program->run(&conf, &result);
        print_result(&o, o.seed + i, &result);
        if (err)
            return 1;
    }
    return 0;
}
