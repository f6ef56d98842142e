/*
 * sched_fixture.h: short ways to drive the scheduler in its unit tests. Every step checks the
 * invariants; the actions of the latest step stay in f->a.
 */
#ifndef DROVER_TEST_SCHED_FIXTURE_H
#define DROVER_TEST_SCHED_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/core/sched.h"

enum { LEASE_MS = 10000 };

struct fix {
    struct sched *s;
    struct sched_actions a;
    uint64_t now;
    bool unchecked; /* without the invariants, which take O(everything) */
};

static inline void fix_step_more(struct fix *f, struct sched_event ev)
{
    ev.now_ms = f->now;
    sched_step(f->s, &ev, &f->a);
    const char *broken = f->unchecked ? NULL : sched_invariant(f->s);
    if (broken)
        fail_msg("invariant: %s", broken);
}

static inline void fix_step(struct fix *f, struct sched_event ev)
{
    f->a.n = 0;
    fix_step_more(f, ev);
}

static inline struct fix fix_new_epoch(uint64_t epoch)
{
    struct sched_config c = {.epoch = epoch, .seed = 7, .lease_ms = LEASE_MS, .kills_max = 3};
    struct fix f = {.s = sched_new(&c), .now = 1000};
    assert_non_null(f.s);
    return f;
}

static inline struct fix fix_new(void)
{
    struct fix f = fix_new_epoch(1);
    fix_step(&f, (struct sched_event){.type = SCHED_EV_REPLAYED});
    return f;
}

static inline void fix_done(struct fix *f)
{
    sched_actions_done(&f->a);
    sched_free(f->s);
}

static inline void fix_open_step(struct fix *f, struct sched_event ev)
{
    if (ev.u.open.priority == 0)
        ev.u.open.priority = 5;
    if (ev.u.open.attempts_max == 0)
        ev.u.open.attempts_max = 3;
    if (ev.u.open.backoff_ms == 0)
        ev.u.open.backoff_ms = 1000;
    fix_step(f, ev);
}

/* A job's options; what is 0 gets a sensible value: fix_open(&f, 1, .key_limit = 2). */
#define fix_open(f, id, ...)                                                                       \
    fix_open_step(f, (struct sched_event){.type = SCHED_EV_JOB_OPEN,                               \
                                          .job = {id},                                             \
                                          .u.open = {__VA_ARGS__}})

static inline void fix_tasks(struct fix *f, uint64_t job, uint64_t first, size_t n, uint64_t key)
{
    struct sched_task *t = calloc(n + 1, sizeof(*t));
    for (size_t i = 0; i < n; i++)
        t[i] = (struct sched_task){.id = {first + i}, .key = key, .input_bytes = 100};
    fix_step(f,
             (struct sched_event){.type = SCHED_EV_TASKS, .job = {job}, .u.tasks = {t, n, false}});
    free(t);
}

static inline void fix_task(struct fix *f, uint64_t job, struct sched_task t, bool replay)
{
    fix_step(f, (struct sched_event){.type = SCHED_EV_TASKS,
                                     .job = {job},
                                     .u.tasks = {&t, 1, replay}});
}

static inline void fix_job(struct fix *f, enum sched_event_type type, uint64_t job)
{
    fix_step(f, (struct sched_event){.type = type, .job = {job}});
}

static inline void fix_hello_step(struct fix *f, struct sched_event ev)
{
    ev.u.hello.slots = 4;
    if (ev.u.hello.kinds == 0)
        ev.u.hello.kinds = 1;
    fix_step(f, ev);
}

#define fix_hello(f, se, ...)                                                                      \
    fix_hello_step(f, (struct sched_event){.type = SCHED_EV_HELLO,                                 \
                                           .session = {se},                                        \
                                           .u.hello = {__VA_ARGS__}})

static inline void fix_credit(struct fix *f, uint64_t se, uint64_t tasks)
{
    fix_step(f, (struct sched_event){.type = SCHED_EV_CREDIT,
                                     .session = {se},
                                     .u.credit = {tasks, tasks * 1000}});
}

static inline void fix_session(struct fix *f, enum sched_event_type type, uint64_t se, bool on)
{
    fix_step(f, (struct sched_event){.type = type, .session = {se}, .u.on = on});
}

/* Lets time pass, with a TICK at every deadline on the way, as the edge would; f->a has it all. */
static inline void fix_tick(struct fix *f, uint64_t now)
{
    f->a.n = 0;
    for (uint64_t due; (due = sched_deadline(f->s)) <= now;) {
        f->now = due > f->now ? due : f->now;
        fix_step_more(f, (struct sched_event){.type = SCHED_EV_TICK});
    }
    f->now = now;
    fix_step_more(f, (struct sched_event){.type = SCHED_EV_TICK});
}

/* fix_result(&f, session, task, token, SCHED_DONE, .payload = p) */
#define fix_result(f, se, id, tok, ...)                                                            \
    fix_step(                                                                                      \
        f, (struct sched_event){.type = SCHED_EV_RESULT,                                           \
                                .session = {se},                                                   \
                                .u.result = {.task = {id}, .token = tok, .outcome = __VA_ARGS__}})

static inline void fix_completed(struct fix *f, uint64_t id, const struct sched_task *t, size_t n)
{
    fix_step(f, (struct sched_event){.type = SCHED_EV_COMPLETED,
                                     .u.completed = {.task = {id}, .tasks = t, .n = n}});
}

/* The number of actions of a type in the latest step, and the i-th of them. */
static inline size_t fix_count(const struct fix *f, enum sched_action_type type)
{
    size_t n = 0;
    for (size_t i = 0; i < f->a.n; i++)
        n += f->a.items[i].type == type;
    return n;
}

static inline struct sched_action fix_act(const struct fix *f, enum sched_action_type type,
                                          size_t nth)
{
    for (size_t i = 0; i < f->a.n; i++)
        if (f->a.items[i].type == type && nth-- == 0)
            return f->a.items[i];
    fail_msg("no action of type %d", (int)type);
    return (struct sched_action){0};
}

static inline struct sched_stats fix_stats(const struct fix *f)
{
    struct sched_stats st;
    sched_stats(f->s, f->now, &st);
    return st;
}

#endif
