/*
 * outage.c: what a downstream's outage of a minute costs a fleet of 200 workers, with the real scheduler
 * and the real gates, in virtual time: without breakers, with one in each worker, and with ours.
 *
 *   none        a worker tries again every second or so
 *   a worker    its gate alone: 250 ms, doubling to 10 s
 *   fleet       the gates, and the scheduler that hears of their calls
 *
 * Prints a table; --check fails when ours needs more than the bounds that docs/SCHEDULER.md states. A seed
 * is a run.
 *
 * Thread rule: one thread.
 */
#include <stdio.h>

#include "common/hash.h"
#include "coordinator/core/sched.h"
#include "worker/sinks/gate.h"

enum {
    WORKERS = 200,
    SLOTS = 4,
    STEP_MS = 5,
    BEGIN_MS = 20000, /* of the outage */
    OUTAGE_MS = 60000,
    END_MS = 120000,
    FAILING_MAX = 250, /* bounds of --check */
    PROBES_MAX = 10,
    RECOVERY_MAX_MS = 10000,
    SINK = 77
};

enum mode { NONE, A_WORKER, FLEET, MODES };

struct job_task {
    uint64_t id;
    struct token token;
    uint64_t done_ms; /* of its running; then its rows wait */
};

struct worker {
    struct gate gate;
    struct job_task tasks[4 * SLOTS];
    size_t n;
    uint64_t received, call_end_ms, call_ms, retry_ms;
    bool calling, good;
    size_t n_call; /* tasks in the call: those that waited when it began */
};

struct world {
    enum mode mode;
    struct sched *sched;
    struct sched_actions actions;
    struct worker workers[WORKERS];
    uint64_t now_ms, rng, next_task;
    uint64_t failing, probes, opened_ms, landed;
    uint64_t landed_at[END_MS / 100 + 1]; /* in each 100 ms */
};

static bool up(const struct world *w);

static uint64_t draw(struct world *w, uint64_t n)
{
    w->rng = hash_mix(w->rng + 0x9e3779b97f4a7c15);
    return w->rng % n;
}

static bool up(const struct world *w)
{
    return w->now_ms < BEGIN_MS || w->now_ms >= BEGIN_MS + OUTAGE_MS;
}

static void step(struct world *w, struct sched_event ev);

static void act(struct world *w, const struct sched_action *a)
{
    struct worker *to = a->session.v ? &w->workers[a->session.v - 1] : NULL;
    switch (a->type) {
    case SCHED_ACT_ASSIGN:
        assert(to->n < ARRAY_LEN(to->tasks));
        to->tasks[to->n++] = (struct job_task){a->task.v, a->token, w->now_ms + 100 + draw(w, 200)};
        to->received++;
        break;
    case SCHED_ACT_BREAKER:
        w->probes += a->u.breaker.tell == SCHED_TELL_PROBE && !up(w);
        gate_tell(&to->gate, (enum wire_breaker_state)a->u.breaker.tell, (uint32_t)to->n);
        break;
    case SCHED_ACT_TRACE:
        if (a->u.trace.state == SCHED_BREAKER_OPEN && !w->opened_ms)
            w->opened_ms = w->now_ms;
        break;
    default:
        break;
    }
}

static void step(struct world *w, struct sched_event ev)
{
    ev.now_ms = w->now_ms;
    w->actions.n = 0;
    sched_step(w->sched, &ev, &w->actions);
    struct sched_action *copy = malloc((w->actions.n + 1) * sizeof(*copy));
    assert(copy);
    const size_t n = w->actions.n;
    if (n > 0)
        memcpy(copy, w->actions.items, n * sizeof(*copy));
    for (size_t i = 0; i < n; i++) {
        act(w, &copy[i]);
        if (copy[i].type == SCHED_ACT_COMPLETE) /* durable at once */
            step(w, (struct sched_event){.type = SCHED_EV_COMPLETED,
                                         .u.completed = {.task = copy[i].task}});
    }
    free(copy);
}

static void add_tasks(struct world *w, size_t n)
{
    struct sched_task *t = calloc(n, sizeof(*t));
    assert(t);
    for (size_t i = 0; i < n; i++)
        t[i] = (struct sched_task){.id = {++w->next_task}, .key = w->next_task % 1000};
    step(w, (struct sched_event){.type = SCHED_EV_TASKS, .job = {1}, .u.tasks = {t, n, false}});
    free(t);
}

static uint32_t waiting(const struct world *w, const struct worker *me)
{
    uint32_t n = 0;
    for (size_t i = 0; i < me->n; i++)
        n += me->tasks[i].done_ms <= w->now_ms;
    return n;
}

static void report(struct world *w, size_t i)
{
    struct worker *me = &w->workers[i];
    struct wire_calls m = {0};
    const uint32_t n = waiting(w, me);
    if (w->mode != FLEET || !gate_news(&me->gate, n) ||
        (!gate_urgent(&me->gate, n) && w->now_ms % 250 != (i * STEP_MS) % 250))
        return;
    gate_take(&me->gate, n, &m);
    step(w, (struct sched_event){.type = SCHED_EV_CALLS,
                                 .session = {i + 1},
                                 .u.calls = {.downstream = SINK,
                                             .ok = m.ok,
                                             .fail = m.fail,
                                             .slow = m.slow,
                                             .row = m.row,
                                             .waiting = m.waiting}});
}

/* The rows of the tasks in the call are there. */
static void landed(struct world *w, size_t i)
{
    struct worker *me = &w->workers[i];
    for (size_t k = 0; k < me->n && me->n_call > 0;) {
        if (me->tasks[k].done_ms > w->now_ms) {
            k++;
            continue;
        }
        const struct job_task t = me->tasks[k];
        me->tasks[k] = me->tasks[--me->n];
        me->n_call--;
        w->landed++;
        w->landed_at[w->now_ms / 100]++;
        step(w, (struct sched_event){
                    .type = SCHED_EV_RESULT,
                    .session = {i + 1},
                    .u.result = {.task = {t.id}, .token = t.token, .outcome = SCHED_DONE}});
    }
    step(w, (struct sched_event){.type = SCHED_EV_CREDIT,
                                 .session = {i + 1},
                                 .u.credit = {me->received +
                                                  (2 * SLOTS - MIN(me->n, (size_t)2 * SLOTS)),
                                              UINT32_MAX}});
}

static void call(struct world *w, size_t i)
{
    struct worker *me = &w->workers[i];
    if (me->calling && me->call_end_ms <= w->now_ms) {
        me->calling = false;
        gate_done(&me->gate, me->call_ms, me->good ? NULL : "connection refused", w->now_ms);
        me->retry_ms = me->good ? 0 : w->now_ms + 900 + draw(w, 400);
        w->failing += !me->good;
        if (me->good)
            landed(w, i);
    }
    const uint64_t at_ms = w->mode == NONE ? me->retry_ms : gate_next_ms(&me->gate);
    if (me->calling || at_ms > w->now_ms || waiting(w, me) == 0)
        return;
    me->calling = true;
    me->good = up(w);
    me->n_call = waiting(w, me);
    me->call_ms = me->good ? 10 + draw(w, 20) : STEP_MS;
    me->call_end_ms = w->now_ms + me->call_ms;
    gate_called(&me->gate);
}

static uint64_t rate(const struct world *w, uint64_t from_ms, uint64_t ms)
{
    uint64_t n = 0;
    for (uint64_t at = from_ms / 100; at < (from_ms + ms) / 100 && at < ARRAY_LEN(w->landed_at);
         at++)
        n += w->landed_at[at];
    return n * 1000 / ms;
}

/* From the end of the outage to the first second of 95 % of what it was before. */
static uint64_t recovery_ms(const struct world *w)
{
    const uint64_t before = rate(w, BEGIN_MS - 10000, 10000), end_ms = BEGIN_MS + OUTAGE_MS;
    for (uint64_t at = end_ms; at + 1000 < END_MS; at += 100)
        if (rate(w, at, 1000) * 100 >= before * 95)
            return at - end_ms;
    return END_MS;
}

static void run(struct world *w, enum mode mode, uint64_t seed)
{
    const uint64_t sinks[] = {SINK};
    const struct sched_config config = {.epoch = 1, .seed = seed, .lease_ms = 600000};
    *w = (struct world){.mode = mode, .rng = seed, .now_ms = STEP_MS, .sched = sched_new(&config)};
    assert(w->sched);
    step(w, (struct sched_event){.type = SCHED_EV_REPLAYED});
    step(w, (struct sched_event){.type = SCHED_EV_JOB_OPEN,
                                 .job = {1},
                                 .u.open = {.priority = 5,
                                            .attempts_max = 4,
                                            .kinds = 1,
                                            .downstreams = sinks,
                                            .n_downstreams = 1}});
    for (size_t i = 0; i < WORKERS; i++) {
        gate_init(&w->workers[i].gate, seed + i);
        step(w, (struct sched_event){.type = SCHED_EV_HELLO,
                                     .session = {i + 1},
                                     .u.hello = {.worker = i + 1, .slots = SLOTS, .kinds = 1}});
    }
    add_tasks(w, 1000000);
    for (size_t i = 0; i < WORKERS; i++)
        landed(w, i);
    for (; w->now_ms < END_MS; w->now_ms += STEP_MS) {
        if (sched_deadline(w->sched) <= w->now_ms)
            step(w, (struct sched_event){.type = SCHED_EV_TICK});
        for (size_t i = 0; i < WORKERS; i++) {
            call(w, i);
            report(w, i);
        }
    }
    sched_actions_done(&w->actions);
    sched_free(w->sched);
}

int main(int argc, char **argv)
{
    static const char *const names[MODES] = {"none", "a worker", "fleet"};
    const bool check = argc > 1 && strcmp(argv[1], "--check") == 0;
    struct world *w = malloc(sizeof(*w));
    bool good = true;
    assert(w);
    printf("%-10s %14s %14s %8s %20s %12s\n", "breaker", "failing calls", "to open, ms", "probes",
           "95 % again after, ms", "tasks/s");
    for (int mode = 0; mode < MODES; mode++) {
        run(w, (enum mode)mode, 7);
        const uint64_t recovery = recovery_ms(w);
        printf("%-10s %14llu %14s", names[mode], (unsigned long long)w->failing,
               w->opened_ms ? "" : "-");
        if (w->opened_ms)
            printf("\b\b\b\b\b\b\b%7llu", (unsigned long long)(w->opened_ms - BEGIN_MS));
        printf(" %8llu %20llu %12llu\n", (unsigned long long)w->probes,
               (unsigned long long)recovery, (unsigned long long)rate(w, BEGIN_MS - 10000, 10000));
        if (mode == FLEET)
            good = w->failing <= FAILING_MAX && w->probes <= PROBES_MAX &&
                   recovery <= RECOVERY_MAX_MS && w->opened_ms > 0;
    }
    free(w);
    return check && !good;
}
