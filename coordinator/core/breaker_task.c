/* breaker_task.c: what breakers mean for tasks: held, let through as a probe, given up. */
#include "common/reason.h"
#include "coordinator/core/breaker_internal.h"

/* ---- tasks ---- */

static bool breaker_holds(const struct breaker *b)
{
    switch (b->state) {
    case SCHED_BREAKER_OPEN:
        return true;
    case SCHED_BREAKER_HALF_OPEN:
        return b->probing;
    default:
        return b->ramp_step > 0 && b->ramp_tasks == 0;
    }
}

struct breaker *breaker_holding(const struct sched *s, const struct job *job, const struct key *k)
{
    (void)s;
    for (size_t i = 0; i < job->n_sinks; i++)
        if (breaker_holds(job->sinks[i]))
            return job->sinks[i];
    return job->hosts && k->breaker && breaker_holds(k->breaker) ? k->breaker : NULL;
}

/* A failure counts for a minute: while rows wait, their worker calls again long before. */
static bool disturbed(const struct sched *s, const struct breaker *b, uint64_t ms)
{
    return b->state != SCHED_BREAKER_CLOSED ||
           (b->not_closed_ms > 0 && s->now_ms - b->not_closed_ms <= ms) ||
           (b->fails_row > 0 && s->now_ms - b->fail_ms <= BREAKER_STABLE_MS);
}

bool breaker_disturbed(const struct sched *s, const struct job *job, const struct key *k,
                       uint64_t ms)
{
    for (size_t i = 0; i < job->n_sinks; i++)
        if (disturbed(s, job->sinks[i], ms))
            return true;
    return job->hosts && k->breaker && disturbed(s, k->breaker, ms);
}

static void given_one(struct sched *s, struct breaker *b, const struct lease *l)
{
    if (b->state == SCHED_BREAKER_HALF_OPEN && !b->probing) {
        b->probing = true;
        b->told = false;
        b->probe_session = l->session_id;
        b->probe_task = l->task.id;
        b->probe_until_ms = s->now_ms + BREAKER_PROBE_MS;
        if (b->host)
            breaker_tell(s, b, l->session_id, SCHED_TELL_PROBE);
        breaker_set_alarm(s, b);
        breaker_settle_all(s, b);
    } else if (b->state == SCHED_BREAKER_CLOSED && b->ramp_step > 0 && b->ramp_tasks > 0) {
        if (--b->ramp_tasks == 0)
            breaker_settle_all(s, b);
    }
}

void breaker_given(struct sched *s, const struct lease *l)
{
    const struct job *job = l->group->job;
    for (size_t i = 0; i < job->n_sinks; i++)
        given_one(s, job->sinks[i], l);
    if (job->hosts && l->group->key->breaker)
        given_one(s, l->group->key->breaker, l);
}

static void given_back_one(struct sched *s, struct breaker *b, const struct lease *l)
{
    if (b->state == SCHED_BREAKER_HALF_OPEN && b->probing && !b->told &&
        b->probe_task.v == l->task.id.v)
        breaker_probe_next(s, b); /* it came to no call that was judged */
}

void breaker_given_back(struct sched *s, const struct lease *l)
{
    const struct job *job = l->group->job;
    for (size_t i = 0; i < job->n_sinks; i++)
        given_back_one(s, job->sinks[i], l);
    if (job->hosts && l->group->key->breaker)
        given_back_one(s, l->group->key->breaker, l);
}

static void moved_one(struct sched *s, struct breaker *b, const struct lease *l)
{
    if (b->state != SCHED_BREAKER_HALF_OPEN || !b->probing || b->told ||
        b->probe_task.v != l->task.id.v) {
        if (b->host && b->state != SCHED_BREAKER_CLOSED) /* of sinks breaker_greet() tells */
            breaker_tell(s, b, l->session_id, SCHED_TELL_OPEN);
        return;
    }
    b->probe_session = l->session_id;
    if (b->host)
        breaker_tell(s, b, l->session_id, SCHED_TELL_PROBE);
}

void breaker_moved(struct sched *s, const struct lease *l)
{
    const struct job *job = l->group->job;
    for (size_t i = 0; i < job->n_sinks; i++)
        moved_one(s, job->sinks[i], l);
    if (job->hosts && l->group->key->breaker)
        moved_one(s, l->group->key->breaker, l);
}

/* ---- hosts that stay dead ---- */

/* Tasks of a host that is given up become dead letters, some at a time. */
static bool give_up_some(struct sched *s, struct breaker *b)
{
    size_t n = 0;
    LIST_EACH (g, &b->key->groups, struct group, in_key) {
        while (g->job->hosts && g->n_ready > 0 && n < BREAKER_GIVE_UP_STEP) {
            uint64_t since_ms;
            const struct task t = group_pop(s, g, &since_ms);
            job_count_move(s, g->job, SCHED_READY, SCHED_COMMITTING, 1);
            lease_dead_on_arrival(s, g, t, REASON_HOST_DOWN);
            n++;
        }
        group_settle(s, g);
    }
    return n == BREAKER_GIVE_UP_STEP;
}

void breaker_give_up(struct sched *s, struct breaker *b)
{
    if (!b->host || b->manual == SCHED_MANUAL_TRIPPED || s->config.host_give_up_ms == 0 ||
        b->state != SCHED_BREAKER_OPEN || b->down_opens < BREAKER_GIVE_UP_OPENS ||
        s->now_ms - b->down_ms < s->config.host_give_up_ms)
        return;
    if (!b->given_up)
        breaker_trace(s, b, "given up: its tasks are dead letters");
    b->given_up = true;
    if (b->key && give_up_some(s, b))
        alarm_set(&s->breaker_alarms, &b->alarm, s->now_ms + 1);
}
