/*
 * bench_sched.c: how fast the scheduler is and how much memory a task takes: tasks of one job over
 * many keys are added, then assigned to 64 workers, answered and completed, with a backlog of a
 * given size behind them; then a restart with ten million. Usage: bench_sched [tasks ...]; one line of JSON for each.
 */
#include <stdio.h>
#include <time.h>

#include "coordinator/core/sched.h"

enum { WORKERS = 64, BATCH = 500, MEASURED = 500000, CREDIT = 100 };

static double clock_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct bench {
    struct sched *s;
    struct sched_actions a;
    uint64_t now, next_task, steps, done;
    uint64_t credit[WORKERS];
    bool replay;
};

static void step(struct bench *b, struct sched_event *ev)
{
    ev->now_ms = b->now;
    sched_step(b->s, ev, &b->a);
    b->steps++;
}

static void add_tasks(struct bench *b, uint64_t n, uint64_t keys)
{
    struct sched_task t[BATCH];
    for (uint64_t left = n; left > 0;) {
        size_t k = left < BATCH ? (size_t)left : BATCH;
        for (size_t i = 0; i < k; i++, b->next_task++)
            t[i] = (struct sched_task){.id = {b->next_task},
                                       .key = b->next_task / 8 % keys,
                                       .input_bytes = 4096};
        step(b, &(struct sched_event){.type = SCHED_EV_TASKS,
                                      .job = {1},
                                      .u.tasks = {t, k, b->replay}});
        left -= k;
    }
}

static void grant(struct bench *b, size_t w)
{
    b->credit[w] += CREDIT;
    step(b, &(struct sched_event){.type = SCHED_EV_CREDIT,
                                  .session = {w + 1},
                                  .u.credit = {b->credit[w], b->credit[w] * 4096}});
}

/* Answers every assignment and completion until nothing is left to answer, or enough are done. */
static void run(struct bench *b, uint64_t until)
{
    uint64_t given[WORKERS] = {0};
    for (size_t i = 0; b->done < until && i < b->a.n; i++) {
        struct sched_action a = b->a.items[i];
        if (a.type == SCHED_ACT_ASSIGN) {
            step(b, &(struct sched_event){.type = SCHED_EV_RESULT,
                                          .session = a.session,
                                          .u.result = {.task = a.task, .token = a.token}});
            if (++given[a.session.v - 1] % CREDIT == 0)
                grant(b, a.session.v - 1);
        } else if (a.type == SCHED_ACT_COMPLETE) {
            step(b, &(struct sched_event){.type = SCHED_EV_COMPLETED,
                                          .u.completed = {.task = a.task}});
            b->done++;
        }
        if (i == 4096) { /* what was handled leaves the list */
            memmove(b->a.items, b->a.items + i + 1, (b->a.n - i - 1) * sizeof(*b->a.items));
            b->a.n -= i + 1;
            i = (size_t)-1;
        }
    }
}

static int bench(uint64_t tasks, uint64_t keys)
{
    struct sched_config config = {.epoch = 1, .seed = 1, .lease_ms = 10000, .kills_max = 3};
    struct bench b = {.s = sched_new(&config), .next_task = 1};
    if (!b.s)
        return 1;
    step(&b, &(struct sched_event){.type = SCHED_EV_REPLAYED});
    step(&b, &(struct sched_event){.type = SCHED_EV_JOB_OPEN,
                                   .job = {1},
                                   .u.open = {.priority = 5, .attempts_max = 3}});
    struct sched_stats before, after;
    sched_stats(b.s, 0, &before);
    double t0 = clock_s();
    add_tasks(&b, tasks, keys);
    double t1 = clock_s();
    sched_stats(b.s, 0, &after);
    for (size_t w = 0; w < WORKERS; w++)
        step(&b, &(struct sched_event){.type = SCHED_EV_HELLO,
                                       .session = {w + 1},
                                       .u.hello = {.worker = w * 7 + 1, .slots = 4, .kinds = 1}});
    double t2 = clock_s();
    uint64_t steps = b.steps, n = tasks < MEASURED ? tasks : MEASURED;
    for (size_t w = 0; w < WORKERS; w++)
        grant(&b, w);
    run(&b, n);
    double t3 = clock_s();
    printf(
        "{\"tasks\": %llu, \"keys\": %llu, \"bytes_per_task\": %.1f, \"added_per_s\": %.0f, "
        "\"workers_join_s\": %.3f, \"done\": %llu, \"tasks_per_s\": %.0f, \"events_per_s\": %.0f}\n",
        (unsigned long long)tasks, (unsigned long long)keys,
        (double)(after.memory_bytes - before.memory_bytes) / (double)tasks,
        (double)tasks / (t1 - t0), t2 - t1, (unsigned long long)b.done, (double)b.done / (t3 - t2),
        (double)(b.steps - steps) / (t3 - t2));
    sched_actions_done(&b.a);
    sched_free(b.s);
    return b.done == n ? 0 : 1;
}

/* A restart with so many tasks in the store: parked, kept for one lease, released step by step. */
static int bench_restart(uint64_t tasks)
{
    struct sched_config config = {.epoch = 2, .seed = 1, .lease_ms = 10000, .kills_max = 3};
    struct bench b = {.s = sched_new(&config), .next_task = 1, .replay = true};
    struct sched_stats stats;
    if (!b.s)
        return 1;
    step(&b, &(struct sched_event){.type = SCHED_EV_JOB_OPEN,
                                   .job = {1},
                                   .u.open = {.attempts_max = 3}});
    double t0 = clock_s(), longest = 0;
    add_tasks(&b, tasks, 1000);
    step(&b, &(struct sched_event){.type = SCHED_EV_REPLAYED});
    double t1 = clock_s();
    sched_stats(b.s, 0, &stats);
    b.now += config.lease_ms;
    for (double before = clock_s(); sched_deadline(b.s) <= b.now; before = clock_s()) {
        step(&b, &(struct sched_event){.type = SCHED_EV_TICK});
        longest = MAX(longest, clock_s() - before);
    }
    printf("{\"restart_with\": %llu, \"parked_bytes_per_task\": %.1f, \"parked_s\": %.3f, "
           "\"released_s\": %.3f, \"longest_step_ms\": %.2f}\n",
           (unsigned long long)tasks, (double)stats.memory_bytes / (double)tasks, t1 - t0,
           clock_s() - t1, longest * 1e3);
    sched_actions_done(&b.a);
    sched_free(b.s);
    return 0;
}

int main(int argc, char **argv)
{
    int failed = 0;
    if (argc > 1) {
        for (int i = 1; i < argc; i++)
            failed |= bench(strtoull(argv[i], NULL, 10), 1000);
        return failed;
    }
    const uint64_t sizes[] = {100000, 1000000, 10000000};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        failed |= bench(sizes[i], 1000);
    return failed | bench(1000000, 100000) | bench(1000000, 1000000) | bench_restart(10000000);
}
