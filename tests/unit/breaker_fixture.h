/*
 * breaker_fixture.h: short ways to report calls and to look at breakers, for the scheduler's unit tests.
 */
#ifndef DROVER_TEST_BREAKER_FIXTURE_H
#define DROVER_TEST_BREAKER_FIXTURE_H

#include "coordinator/core/breaker.h"
#include "sched_fixture.h"

enum { SINK = 77, HOST = 500 };

static const uint64_t sinks[] = {SINK};

static inline struct fix with_workers(uint64_t workers)
{
    struct fix f = fix_new();
    for (uint64_t i = 0; i < workers; i++)
        fix_hello(&f, 10 + i, .worker = 100 + i);
    return f;
}

static inline void credit_all(struct fix *f, uint64_t workers, uint64_t tasks)
{
    for (uint64_t i = 0; i < workers; i++)
        fix_credit(f, 10 + i, tasks);
}

/* A report; failures came last when there was no success. */
static inline void report(struct fix *f, struct sched_event ev)
{
    if (ev.u.calls.ok == 0)
        ev.u.calls.row = ev.u.calls.fail;
    fix_step(f, ev);
}

#define calls(f, se, ...)                                                                          \
    report(f, (struct sched_event){.type = SCHED_EV_CALLS,                                         \
                                   .session = {se},                                                \
                                   .u.calls = {.downstream = SINK, __VA_ARGS__}})

static inline void manual(struct fix *f, enum sched_manual how)
{
    fix_step(f, (struct sched_event){.type = SCHED_EV_BREAKER,
                                     .u.breaker = {.downstream = SINK, .manual = how}});
}

static inline struct sched_breaker_view view(const struct fix *f, uint64_t id)
{
    struct sched_breaker_view v;
    for (size_t at = 0; sched_breaker_next(f->s, &at, f->now, &v);)
        if (v.downstream == id)
            return v;
    return (struct sched_breaker_view){.downstream = 0};
}

static inline size_t told(const struct fix *f, int what)
{
    size_t n = 0;
    for (size_t i = 0; i < fix_count(f, SCHED_ACT_BREAKER); i++)
        n += (int)fix_act(f, SCHED_ACT_BREAKER, i).u.breaker.tell == what;
    return n;
}

/* Three workers that had success, and then fail until it opens. */
static inline struct fix opened(uint64_t workers)
{
    struct fix f = with_workers(workers);
    fix_open(&f, 1, .downstreams = sinks, .n_downstreams = 1);
    calls(&f, 10, .ok = 1);
    f.now += BREAKER_QUIET_MS;
    for (int i = 0; i < 3; i++)
        for (uint64_t w = 0; w < workers; w++)
            if (view(&f, SINK).state == SCHED_BREAKER_CLOSED)
                calls(&f, 10 + w, .fail = 1);
    assert_int_equal(view(&f, SINK).state, SCHED_BREAKER_OPEN);
    return f;
}

#define host_calls(f, se, ...)                                                                     \
    report(f, (struct sched_event){.type = SCHED_EV_CALLS,                                         \
                                   .session = {se},                                                \
                                   .u.calls = {.downstream = HOST, .host = true, __VA_ARGS__}})

#endif
