/*
 * main.c: runs seeds. A seed that breaks a promise is printed with the promise; run it again with
 * `simulate --first SEED --seeds 1 -v` to see what led to it.
 *
 *   simulate [--first N] [--seeds N] [--twice] [--expect-violation] [--oracle-only] [-v]
 *
 *   --twice             each seed runs two times, and the traces must be equal
 *   --expect-violation  for builds with a planted bug: succeeds when some seed notices it
 *   --oracle-only       without sched_invariant(), so that the oracle alone must notice
 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "sim.h"

struct options {
    uint64_t first, seeds;
    bool twice, expect_violation, oracle_only, verbose;
};

static bool options_read(struct options *o, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "--first") == 0 && has_value)
            o->first = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seeds") == 0 && has_value)
            o->seeds = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--twice") == 0)
            o->twice = true;
        else if (strcmp(argv[i], "--expect-violation") == 0)
            o->expect_violation = true;
        else if (strcmp(argv[i], "--oracle-only") == 0)
            o->oracle_only = true;
        else if (strcmp(argv[i], "-v") == 0)
            o->verbose = true;
        else
            return false;
    }
    return true;
}

/* A harness that no longer reaches something proves nothing about it. */
static bool seen_all(const uint64_t seen[SIM_SEEN_N])
{
    static const char *const texts[] = {
#define SIM_SEEN_TEXT(name, text) text,
        SIM_SEEN_TABLE(SIM_SEEN_TEXT)
#undef SIM_SEEN_TEXT
    };
    bool all = true;
    for (size_t i = 0; i < SIM_SEEN_N; i++) {
        printf("%10llu  %s\n", (unsigned long long)seen[i], texts[i]);
        all &= seen[i] > 0;
    }
    return all;
}

/* A planted bug may also trip an assertion of the core, which is noticing it. */
static void on_abort(int signal_number)
{
    (void)signal_number;
    static const char text[] = "noticed by an assertion\n";
    ssize_t n = write(STDOUT_FILENO, text, sizeof(text) - 1);
    _exit(n > 0 ? 0 : 1);
}

int main(int argc, char **argv)
{
    struct options o = {.first = 1, .seeds = 1000};
    if (!options_read(&o, argc, argv)) {
        fprintf(
            stderr,
            "usage: simulate [--first N] [--seeds N] [--twice] [--expect-violation] [--oracle-only] [-v]\n");
        return 2;
    }
    if (o.expect_violation)
        signal(SIGABRT, on_abort);
    uint64_t seen[SIM_SEEN_N] = {0};
    uint64_t messages = 0, steps = 0, restarts = 0, lives = 0, failed = 0;
    for (uint64_t seed = o.first; seed < o.first + o.seeds; seed++) {
        struct sim sim, again;
        bool held = sim_run(&sim, seed, !o.oracle_only, o.verbose);
        if (!held)
            printf("seed %llu: %s\n", (unsigned long long)seed, sim.violation);
        if (!held && o.expect_violation)
            return 0;
        if (held && o.twice &&
            (!sim_run(&again, seed, !o.oracle_only, false) || again.trace != sim.trace)) {
            printf("seed %llu: the second run differs\n", (unsigned long long)seed);
            held = false;
        }
        failed += !held;
        messages += sim.n_messages;
        steps += sim.n_steps;
        restarts += sim.n_restarts;
        lives += sim.n_worker_lives;
        for (size_t i = 0; i < SIM_SEEN_N; i++)
            seen[i] += sim.seen[i];
    }
    printf(
        "%llu seeds, %llu messages, %llu steps, %llu coordinator crashes, %llu worker lives, %llu failed\n",
        (unsigned long long)o.seeds, (unsigned long long)messages, (unsigned long long)steps,
        (unsigned long long)restarts, (unsigned long long)lives, (unsigned long long)failed);
    failed += !seen_all(seen) && o.seeds >= 200; /* fewer need not meet everything */
    return failed > 0 || o.expect_violation;
}
