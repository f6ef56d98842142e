#include "job.h"

#include "common/hash.h"
#include "common/reason.h"
#include "coordinator/core/core.h"

static void job_move(struct job *job, enum job_state to)
{
#define BIT(state) (1u << (state))
    static const unsigned allowed[JOB_STATES] = {
        [JOB_OPEN] = BIT(JOB_SEALED) | BIT(JOB_CANCELLING),
        [JOB_SEALED] = BIT(JOB_CANCELLING) | BIT(JOB_ENDED),
        [JOB_CANCELLING] = BIT(JOB_ENDED),
    };
    assert(allowed[job->state] & BIT(to));
#undef BIT
    job->state = to;
}

struct job *job_find(const struct sched *s, struct job_id id)
{
    return map_find(&s->job_map, hash_mix(id.v));
}

static struct job *job_new(struct sched *s, const struct sched_event *ev)
{
    struct job *job = mem_pool_get(&s->job_pool);
    job->id = ev->job;
    job->state = ev->u.open.cancelled ? JOB_CANCELLING : ev->u.open.sealed ? JOB_SEALED : JOB_OPEN;
    job->paused = ev->u.open.paused;
    job->priority = (uint8_t)MIN((int)ev->u.open.priority, JOB_PRIORITIES - 1);
    job->attempts_max = MIN(MAX(ev->u.open.attempts_max, 1u), (uint32_t)TASK_COUNT_MAX - 1);
    job->backoff_ms = ev->u.open.backoff_ms;
    job->backoff_max_ms = ev->u.open.backoff_max_ms;
    job->key_limit = ev->u.open.key_limit;
    job->key_delay_ms = ev->u.open.key_delay_ms;
    job->key_use_ms = ev->u.open.key_use_ms;
    if (job->key_limit == 0 && job->key_delay_ms > 0)
        job->key_limit = 1; /* a delay leaves one use at a time */
    job->run_timeout_ms = ev->u.open.run_timeout_ms;
    job->begins = ev->u.open.begins;
    job->hosts = ev->u.open.hosts;
    job->retry_percent = ev->u.open.retry_percent;
    job->retry_tokens = JOB_RETRIES_FIRST * 1000;
    job->retry_ms = job->retry_next_ms = s->now_ms;
    uint32_t kinds = ev->u.open.kinds;
    for (size_t i = 0; i < MIN(ev->u.open.n_downstreams, (size_t)SCHED_DOWNSTREAMS_MAX); i++) {
        job->sinks[job->n_sinks] = breaker_sink(s, ev->u.open.downstreams[i]);
        kinds |= job->sinks[job->n_sinks++]->bit;
    }
    job->kinds = fleet_class_take(s, kinds);
    list_init(&job->groups);
    list_init(&job->held);
    list_init(&job->leases);
    list_add(&s->jobs, &job->in_sched);
    map_add(&s->job_map, hash_mix(job->id.v), job);
    return job;
}

void job_open(struct sched *s, const struct sched_event *ev)
{
    struct job *job = job_find(s, ev->job);
    if (!job)
        job = job_new(s, ev);
    else if (job->state == JOB_OPEN && ev->u.open.sealed)
        job_move(job, JOB_SEALED);
    job->dead_letters = ev->u.open.dead_letters;
    /* A sealed job is not looked at yet: its tasks come with the next event. */
    if (job->state == JOB_CANCELLING)
        job_check_end(s, job);
}

void job_free(struct sched *s, struct job *job)
{
    struct group *g;
    while ((g = LIST_FIRST(&job->groups, struct group, in_job)) != NULL)
        group_delete(s, g);
    map_remove(&s->job_map, hash_mix(job->id.v), job);
    list_del(&job->in_sched);
    fleet_class_give(s, job->kinds);
    mem_pool_put(&s->job_pool, job);
}

void job_seal(struct sched *s, struct job *job)
{
    if (job->state == JOB_OPEN)
        job_move(job, JOB_SEALED);
    job_check_end(s, job);
}

void job_pause(struct sched *s, struct job *job, bool on)
{
    if (job->paused == on)
        return;
    job->paused = on;
    LIST_EACH (g, &job->groups, struct group, in_job)
        group_settle(s, g);
}

static void job_drop(struct sched *s, struct job *job, int from, uint64_t n)
{
    job_count_move(s, job, from, TASK_NONE, n);
    job->cancelled += n;
}

static void job_drop_ready(struct sched *s, struct group *g)
{
    uint32_t n = g->n_ready;
    group_clear(s, g);
    job_drop(s, g->job, SCHED_READY, n);
}

void job_cancel(struct sched *s, struct job *job)
{
    if (job->state == JOB_CANCELLING)
        return;
    job_move(job, JOB_CANCELLING);
    job_drop(s, job, SCHED_DELAYED, delay_remove_job(&s->delays, job));
    job_drop(s, job, SCHED_READY, recovery_remove_job(s, job));
    LIST_EACH (g, &job->groups, struct group, in_job)
        job_drop_ready(s, g);
    LIST_EACH (l, &job->leases, struct lease, in_job) {
        if (l->state == LEASE_LEASED) {
            lease_cancel(s, l);
            job->cancelled++;
        }
    }
    LIST_EACH (g, &job->groups, struct group, in_job)
        group_release_unused(s, g);
    job_check_end(s, job);
}

void job_admit(struct sched *s, struct group *g, int from, struct task t, uint32_t floor_ms)
{
    struct job *job = g->job;
    if (t.attempt >= job->attempts_max) {
        job_count_move(s, job, from, SCHED_COMMITTING, 1);
        lease_dead_on_arrival(s, g, t, REASON_ATTEMPTS_EXHAUSTED);
        return;
    }
    if (t.attempt == 0 && floor_ms == 0) {
        if (from != SCHED_READY)
            job_count_move(s, job, from, SCHED_READY, 1);
        group_push(s, g, t, from == SCHED_READY);
        return;
    }
    uint64_t wait_ms =
        retry_delay_ms(&s->rng, job->backoff_ms, job->backoff_max_ms, t.attempt, floor_ms);
    job_count_move(s, job, from, SCHED_DELAYED, 1);
    g->n_delayed++;
    delay_push(&s->delays, (struct delay_item){s->now_ms + wait_ms, g, t});
}

void job_add_task(struct sched *s, struct job *job, const struct sched_task *t)
{
    if (job->state == JOB_CANCELLING) {
        job->cancelled++;
        return;
    }
    job_admit(s, group_get(s, job, t->key), TASK_NONE, task_from_event(t), t->retry_after_ms);
}

uint64_t job_retry_at(struct sched *s, struct job *job)
{
    if (job->retry_percent == 0)
        return s->now_ms;
    const uint64_t max = (uint64_t)JOB_RETRIES_MAX * 1000;
    job->retry_tokens =
        MIN(job->retry_tokens + (s->now_ms - job->retry_ms) * JOB_RETRIES_PER_S, max);
    job->retry_ms = s->now_ms;
    if (job->retry_tokens >= 1000) {
        job->retry_tokens -= 1000;
        return s->now_ms;
    }
    /* Those who wait take the tokens of time in turn, so that not all of them come back at once. */
    job->retry_next_ms = MAX(job->retry_next_ms, s->now_ms) + 1000 / JOB_RETRIES_PER_S;
    const uint64_t look_ms = JOB_RETRY_LOOK_MS + job->tasks[SCHED_DELAYED] / JOB_RETRY_LOOKS_PER_MS;
    if (job->retry_next_ms <= s->now_ms + look_ms)
        return job->retry_next_ms;
    job->retry_next_ms = s->now_ms + look_ms;
    return job->retry_next_ms - retry_random(&s->rng) % (look_ms / 2);
}

void job_first_attempt(struct job *job)
{
    job->retry_tokens = MIN(job->retry_tokens + job->retry_percent * UINT64_C(10),
                            (uint64_t)JOB_RETRIES_MAX * 1000);
}

void job_count_move(struct sched *s, struct job *job, int from, int to, uint64_t n)
{
    assert(task_move_allowed(from, to));
    if (from != TASK_NONE) {
        assert(job->tasks[from] >= n);
        job->tasks[from] -= n;
        s->tasks[from] -= n;
    }
    if (to != TASK_NONE) {
        job->tasks[to] += n;
        s->tasks[to] += n;
    }
}

void job_check_end(struct sched *s, struct job *job)
{
    if (s->recovery.state == RECOVERY_LOADING || job->state == JOB_OPEN)
        return;
    for (int i = 0; i < SCHED_TASK_STATES; i++)
        if (job->tasks[i] > 0)
            return;
    struct sched_action *a = core_emit(s, SCHED_ACT_JOB_END);
    a->job = job->id;
    a->u.end.how = job->state == JOB_CANCELLING ? SCHED_JOB_CANCELLED
                   : job->dead_letters > 0      ? SCHED_JOB_FAILED
                                                : SCHED_JOB_DONE;
    job_move(job, JOB_ENDED);
    job_free(s, job);
}
