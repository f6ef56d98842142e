/*
 * sim_told.c: the part of the oracle that knows what every session was told of the sinks, and how many tasks
 * began while one ramps up. It goes by the actions alone and never looks into the scheduler.
 *
 *   told    after each step every session that can hear was told what is so: open to all (so that what is
 *           tripped is called by nobody), a probe to one
 *   heard   a worker that heard of it calls nothing that is open, and an open one once for each probe
 *   ramp    after probes closed a sink, no more tasks begin than docs/SCHEDULER.md says
 */
#include "sim.h"

#include "common/downstream.h"

enum { SESSIONS_MAX = 64, RAMP_TASKS = 8, RAMP_MS = 100, RAMP_STEPS = 10 };

struct session {
    uint64_t id; /* 0: free */
    bool broken; /* its connection is gone: it is told nothing more */
    enum sched_tell told[SIM_SINKS];
};

struct sink {
    enum sched_breaker_state state;
    bool ramps;
    uint64_t closed_ms, begun; /* ramps: since when, and tasks that began since */
};

struct sim_told {
    struct session sessions[SESSIONS_MAX];
    struct sink sinks[SIM_SINKS];
};

static struct session *session_of(struct sim *sim, uint64_t id)
{
    for (size_t i = 0; i < SESSIONS_MAX; i++)
        if (sim->told->sessions[i].id == id)
            return &sim->told->sessions[i];
    return NULL;
}

static uint32_t sink_of(uint64_t id)
{
    uint32_t i = 0;
    while (i < SIM_SINKS && downstream_hash(sim_sink_name(i)) != id)
        i++;
    return i;
}

/* ---- the ramp ---- */

static void ramp_task(struct sim *sim, uint64_t job)
{
    for (uint32_t i = 0; i < SIM_SINKS; i++) {
        struct sink *sink = &sim->told->sinks[i];
        const uint64_t step = (sim->now_ms - sink->closed_ms) / RAMP_MS;
        if (!sink->ramps || step >= RAMP_STEPS || !(sim->specs[job - 1].sinks & 1U << i))
            continue;
        sim->seen[SIM_SEEN_RAMPED] += ++sink->begun == RAMP_TASKS && step == 0;
        if (sink->begun > RAMP_TASKS * ((UINT64_C(2) << step) - 1))
            sim_violate(sim, "%llu tasks begin within %llu ms of the end of an outage",
                        (unsigned long long)sink->begun,
                        (unsigned long long)(sim->now_ms - sink->closed_ms));
    }
}

/* ---- what was told ---- */

static void on_trace(struct sim *sim, const struct sched_event *ev, const struct sched_action *a)
{
    if (a->u.trace.host || a->u.trace.worker != 0)
        return;
    struct sink *sink = &sim->told->sinks[sink_of(a->u.trace.downstream)];
    if (sink->state == SCHED_BREAKER_CLOSED && a->u.trace.state == SCHED_BREAKER_OPEN) {
        sim->seen[SIM_SEEN_RULE_A] += strcmp(a->u.trace.reason, "half of the calls failed") == 0;
        sim->seen[SIM_SEEN_RULE_B] += strcmp(a->u.trace.reason, "no call succeeded") == 0;
    }
    if (sink->state != a->u.trace.state) /* an administrator closes at once, without a ramp */
        sink->ramps = a->u.trace.state == SCHED_BREAKER_CLOSED && ev->type == SCHED_EV_CALLS;
    if (sink->ramps && sink->state != SCHED_BREAKER_CLOSED) {
        sink->closed_ms = sim->now_ms;
        sink->begun = 0;
    }
    sink->state = a->u.trace.state;
}

static void on_action(struct sim *sim, const struct sched_event *ev, const struct sched_action *a)
{
    struct session *se = session_of(sim, a->session.v);
    switch (a->type) {
    case SCHED_ACT_WELCOME:
        se = session_of(sim, 0);
        assert(se);
        *se = (struct session){.id = a->session.v};
        break;
    case SCHED_ACT_SESSION_END:
        if (se)
            *se = (struct session){0};
        break;
    case SCHED_ACT_BREAKER:
        if (se && !a->u.breaker.host)
            se->told[sink_of(a->u.breaker.downstream)] = a->u.breaker.tell;
        break;
    case SCHED_ACT_TRACE:
        on_trace(sim, ev, a);
        break;
    case SCHED_ACT_ASSIGN:
        ramp_task(sim, a->job.v);
        break;
    default:
        break;
    }
}

static void check_told(struct sim *sim, uint32_t sink)
{
    const enum sched_breaker_state state = sim->told->sinks[sink].state;
    uint32_t probes = 0;
    for (size_t i = 0; i < SESSIONS_MAX; i++) {
        const struct session *se = &sim->told->sessions[i];
        const enum sched_tell told = se->told[sink];
        if (se->id == 0 || se->broken || told == SCHED_TELL_QUARANTINED)
            continue;
        probes += told == SCHED_TELL_PROBE;
        if ((told == SCHED_TELL_CLOSED) != (state == SCHED_BREAKER_CLOSED))
            sim_violate(sim, "session %llx was told %d of sink %u, which is in state %d",
                        (unsigned long long)se->id, (int)told, sink, (int)state);
    }
    if (probes > (state == SCHED_BREAKER_HALF_OPEN))
        sim_violate(sim, "%u sessions are told to probe sink %u, which is in state %d", probes,
                    sink, (int)state);
}

void sim_told_step(struct sim *sim, const struct sched_event *ev, const struct sched_actions *a)
{
    struct session *se = session_of(sim, ev->session.v);
    if (se && ev->session.v && ev->type == SCHED_EV_LOST && !ev->u.on)
        se->broken = true;
    /* A probe is one call: then the worker calls no more until it is told. */
    if (se && ev->session.v && ev->type == SCHED_EV_CALLS && !ev->u.calls.host &&
        ev->u.calls.ok + ev->u.calls.fail > 0) {
        enum sched_tell *told = &se->told[sink_of(ev->u.calls.downstream)];
        *told = *told == SCHED_TELL_PROBE ? SCHED_TELL_OPEN : *told;
    }
    for (size_t i = 0; i < a->n; i++)
        on_action(sim, ev, &a->items[i]);
    for (uint32_t i = 0; i < SIM_SINKS; i++)
        check_told(sim, i);
}

void sim_told_restart(struct sim *sim)
{
    *sim->told = (struct sim_told){0};
}

void sim_told_call(struct sim *sim, uint32_t node, uint32_t sink, enum wire_breaker_state heard,
                   uint32_t calls)
{
    if (heard == WIRE_BREAKER_OPEN || heard == WIRE_BREAKER_QUARANTINED)
        sim_violate(sim, "worker %u calls sink %u although it heard that it may not", node, sink);
    if (heard == WIRE_BREAKER_PROBE && calls > 0)
        sim_violate(sim, "worker %u calls sink %u twice for one probe", node, sink);
}

void sim_told_init(struct sim *sim)
{
    sim->told = calloc(1, sizeof(*sim->told));
    assert(sim->told);
}

void sim_told_done(struct sim *sim)
{
    free(sim->told);
}
