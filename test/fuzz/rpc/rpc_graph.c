/* rpc-graph — runs the shadow-graph fuzzer (graph.h) from seeds.
 *
 *   rpc-graph [--seed N | --seeds A..B | --script HEX] [--vats K] [--steps S] [--malicious] [--oom]
 *             [--fail-at N [--sticky]] [--verbose] [--keep-going]
 *
 * --oom runs each script again with allocations refused: each in turn for short scripts, some by chance for
 * others. A finding is made small by leaving out steps while it stays, told step by step, and printed as a
 * script to replay. Runs are in a child process, so a crash is a finding like any other. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "graph.h"

enum {
    SCRIPT_MAX = GRAPH_HEADER + GRAPH_STEPS_MAX * STEP_BYTES,
    FOUND = 70,
    RUN_SECONDS = 2, /* of the processor's time: others may be working on the machine */
    ALL_STEPS = 60,  /* longest script for which each allocation fails in turn */
    FINDINGS_MAX = 20
};

/* What a child tells, also when it dies. */
static struct shared {
    uint64_t seed, runs, calls, delivered, loops, crossings, refusals, detours, barred, messages[16];
    size_t fail_at;
    bool sticky;
    char text[256];
} * shared;

static struct {
    struct graph_choice choice;
    bool oom, verbose, keep_going, sticky;
    size_t fail_at;
} options;

static void finding(const char *text)
{
    snprintf(shared->text, sizeof shared->text, "%s", text);
    _exit(FOUND);
}

static void clock_start(void)
{
    struct itimerval limit = {.it_value.tv_sec = RUN_SECONDS};
    setitimer(ITIMER_PROF, &limit, NULL);
}

static void run_once(
    struct script s, size_t fail_at, bool sticky, bool verbose, struct graph_stats *ret_stats)
{
    shared->fail_at = fail_at;
    shared->sticky = sticky;
    shared->runs++;
    clock_start();
    graph_run(s, fail_at, sticky, verbose, ret_stats);
    shared->calls += ret_stats->calls;
    shared->delivered += ret_stats->delivered;
    shared->loops += ret_stats->loops;
    shared->crossings += ret_stats->crossings;
    shared->refusals += ret_stats->refusals;
    shared->detours += ret_stats->detours;
    shared->barred += ret_stats->barred;
    for (int i = 0; i < 16; i++)
        shared->messages[i] += ret_stats->messages[i];
}

/* `all`: each allocation in turn. */
static void run_script(struct script s, bool all, uint64_t seed)
{
    struct graph_stats stats;
    run_once(s, options.fail_at, options.sticky, options.verbose, &stats);
    if (!options.oom)
        return;
    size_t n = stats.allocations;
    if (all) {
        for (size_t at = 1; at <= n; at++) {
            run_once(s, at, false, false, &stats);
            run_once(s, at, true, false, &stats);
        }
        return;
    }
    for (int i = 0; i < 4 && n > 0; i++)
        run_once(s, 1 + graph_random(&seed) % n, i & 1, false, &stats);
}

static size_t script_of(uint64_t seed, uint8_t *out, bool *ret_all)
{
    struct graph_choice choice = options.choice;
    *ret_all = seed % 40 == 0 && choice.steps <= ALL_STEPS;
    if (options.oom && *ret_all && choice.steps == 0)
        choice.steps = 30;
    return graph_script(seed, choice, out);
}

static void child_quiet(bool quiet)
{
    if (quiet && !freopen("/dev/null", "w", stderr))
        abort();
}

/* True when it failed; shared->text says how. */
static bool child_wait(pid_t pid)
{
    int status;
    if (waitpid(pid, &status, 0) < 0)
        abort();
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return false;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF)
        snprintf(shared->text, sizeof shared->text, "crash: it hangs");
    else if (WIFSIGNALED(status))
        snprintf(shared->text, sizeof shared->text, "crash: signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status) != FOUND)
        snprintf(shared->text, sizeof shared->text, "crash: exit status %d", WEXITSTATUS(status));
    return true;
}

static bool fails(struct script s)
{
    fflush(stdout);
    shared->text[0] = 0;
    pid_t pid = fork();
    if (pid == 0) {
        child_quiet(true);
        run_script(s, true, 0);
        _exit(0);
    }
    return child_wait(pid);
}

static bool same_kind(const char *a, const char *b)
{
    size_t n = strcspn(a, ":");
    return strncmp(a, b, n) == 0;
}

/* Leaves out ever smaller pieces, then makes bytes 0, as long as it fails in the same way. */
static size_t shrink(uint8_t *script, size_t size)
{
    static uint8_t trial[SCRIPT_MAX];
    char text[sizeof shared->text];
    memcpy(text, shared->text, sizeof text);
    for (size_t piece = GRAPH_STEPS_MAX / 2; piece > 0; piece /= 2) {
        for (size_t at = GRAPH_HEADER; at + piece * STEP_BYTES <= size;) {
            size_t cut = piece * STEP_BYTES;
            memcpy(trial, script, at);
            memcpy(trial + at, script + at + cut, size - at - cut);
            if (fails((struct script){trial, size - cut}) && same_kind(text, shared->text)) {
                size -= cut;
                memcpy(script, trial, size);
            } else {
                at += piece * STEP_BYTES;
            }
        }
    }
    for (size_t i = GRAPH_HEADER; i < size && size < 60 * STEP_BYTES; i++) {
        uint8_t was = script[i];
        script[i] = 0;
        if (was != 0 && !(fails((struct script){script, size}) && same_kind(text, shared->text)))
            script[i] = was;
    }
    return size;
}

static void tell(uint8_t *script, size_t size)
{
    fflush(stdout);
    if (fails((struct script){script, size}))
        printf("finding: %s\n", shared->text);
    size_t fail_at = shared->fail_at;
    bool sticky = shared->sticky;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct graph_stats stats;
        run_once((struct script){script, size}, fail_at, sticky, true, &stats);
        _exit(0);
    }
    child_wait(pid);
    printf("replay: rpc-graph --verbose");
    if (fail_at)
        printf(" --fail-at %zu%s", fail_at, sticky ? " --sticky" : "");
    printf(" --script ");
    for (size_t i = 0; i < size; i++)
        printf("%02x", script[i]);
    printf("\n");
    fflush(stdout);
}

static int seeds_run(uint64_t from, uint64_t to)
{
    static uint8_t script[SCRIPT_MAX];
    unsigned findings = 0;
    shared->seed = from;
    while (shared->seed <= to) {
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            child_quiet(!options.verbose);
            for (; shared->seed <= to; shared->seed++) {
                bool all;
                size_t size = script_of(shared->seed, script, &all);
                run_script((struct script){script, size}, all, shared->seed);
            }
            _exit(0);
        }
        if (!child_wait(pid))
            break;
        uint64_t seed = shared->seed;
        findings++;
        printf("seed %llu: %s\n", (unsigned long long)seed, shared->text);
        bool all;
        size_t size = script_of(seed, script, &all);
        if (!options.keep_going) {
            bool hangs = strstr(shared->text, "hangs") != NULL; /* to make that small takes too long */
            tell(script, hangs ? size : shrink(script, size));
            return 1;
        }
        if (findings >= FINDINGS_MAX)
            return 1;
        shared->seed = seed + 1;
    }
    return findings > 0;
}

static int script_run(const char *hex)
{
    static uint8_t script[SCRIPT_MAX];
    size_t n = strlen(hex) / 2;
    if (n > sizeof script || ww_hex_decode(ww_bytes_str(hex), script, n) < 0) {
        fprintf(stderr, "rpc-graph: this is no script\n");
        return 2;
    }
    struct graph_stats stats;
    run_once((struct script){script, n}, options.fail_at, options.sticky, options.verbose, &stats);
    return 0;
}

static int usage(void)
{
    fprintf(stderr,
        "usage: rpc-graph [--seed N | --seeds A..B | --script HEX] [--vats K] [--steps S] [--malicious]\n"
        "                 [--oom] [--fail-at N [--sticky]] [--verbose] [--keep-going]\n");
    return 2;
}

int main(int argc, char **argv)
{
    unsigned long long from = 1, to = 100;
    const char *hex = NULL;
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        bool took = value != NULL;
        if (strcmp(arg, "--malicious") == 0)
            options.choice.malicious = true, took = false;
        else if (strcmp(arg, "--oom") == 0)
            options.oom = true, took = false;
        else if (strcmp(arg, "--verbose") == 0)
            options.verbose = true, took = false;
        else if (strcmp(arg, "--keep-going") == 0)
            options.keep_going = true, took = false;
        else if (strcmp(arg, "--sticky") == 0)
            options.sticky = true, took = false;
        else if (!value)
            return usage();
        else if (strcmp(arg, "--seed") == 0)
            from = to = strtoull(value, NULL, 0);
        else if (strcmp(arg, "--seeds") == 0 && sscanf(value, "%llu..%llu", &from, &to) == 2)
            ;
        else if (strcmp(arg, "--script") == 0)
            hex = value;
        else if (strcmp(arg, "--vats") == 0)
            options.choice.vats = (unsigned)strtoul(value, NULL, 0);
        else if (strcmp(arg, "--steps") == 0)
            options.choice.steps = (unsigned)strtoul(value, NULL, 0);
        else if (strcmp(arg, "--fail-at") == 0)
            options.fail_at = strtoull(value, NULL, 0);
        else
            return usage();
        i += took;
    }
    if (options.choice.vats == 1 || options.choice.vats > VATS)
        return usage();
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 2;
    if (hex)
        return script_run(hex);
    graph_finding = finding;
    struct timespec t0, t1;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    int status = seeds_run(from, to);
    clock_gettime(CLOCK_MONOTONIC, &t1);
    double seconds = (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) / 1e9;
    printf("%llu runs, %llu calls, %llu delivered, %llu runs with circles, %.1f s%s\n",
        (unsigned long long)shared->runs, (unsigned long long)shared->calls,
        (unsigned long long)shared->delivered, (unsigned long long)shared->loops, seconds,
        status ? "" : ", no finding");
    static const struct {
        int kind;
        const char *name;
    } kinds[] = {{WW_RPC_BOOTSTRAP, "Bootstrap"}, {WW_RPC_CALL, "Call"}, {WW_RPC_RETURN, "Return"},
        {WW_RPC_FINISH, "Finish"}, {WW_RPC_RESOLVE, "Resolve"}, {WW_RPC_RELEASE, "Release"},
        {WW_RPC_DISEMBARGO, "Disembargo"}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        printf(
            "%s%s %llu", i ? ", " : "", kinds[i].name, (unsigned long long)shared->messages[kinds[i].kind]);
    printf("\nacross membranes %llu, refused %llu, diverted %llu, after the end of one %llu\n",
        (unsigned long long)shared->crossings, (unsigned long long)shared->refusals,
        (unsigned long long)shared->detours, (unsigned long long)shared->barred);
    return status;
}
