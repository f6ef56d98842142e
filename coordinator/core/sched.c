#include "sched.h"

#include "coordinator/core/core.h"

struct sched_action *core_emit(struct sched *s, enum sched_action_type type)
{
    struct sched_actions *a = s->out;
    if (a->n == a->cap)
        a->items = mem_grow(a->items, &a->cap, sizeof(*a->items));
    a->items[a->n] = (struct sched_action){.type = type};
    return &a->items[a->n++];
}

void sched_actions_done(struct sched_actions *a)
{
    free(a->items);
    *a = (struct sched_actions){0};
}

struct sched *sched_new(const struct sched_config *config)
{
    struct sched *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->config = *config;
    s->config.lease_ms = MAX(config->lease_ms, 1u);
    s->rng.state = config->seed;
    s->due_ms = UINT64_MAX;
    mem_pool_init(&s->job_pool, sizeof(struct job));
    mem_pool_init(&s->group_pool, sizeof(struct group));
    mem_pool_init(&s->key_pool, sizeof(struct key));
    mem_pool_init(&s->lease_pool, sizeof(struct lease));
    mem_pool_init(&s->session_pool, sizeof(struct session));
    mem_pool_init(&s->lane_pool, sizeof(struct lane));
    mem_pool_init(&s->ghost_pool, sizeof(struct ghost));
    mem_pool_init(&s->breaker_pool, sizeof(struct breaker));
    task_pool_init(&s->task_pool);
    list_init(&s->jobs);
    list_init(&s->shards);
    list_init(&s->fleets);
    list_init(&s->classes);
    list_init(&s->stranded);
    list_init(&s->by_silence);
    list_init(&s->dirty);
    list_init(&s->ghosts);
    list_init(&s->sink_breakers);
    list_init(&s->host_breakers);
    shard_loads_init(&s->loads);
    return s;
}

void sched_free(struct sched *s)
{
    if (!s)
        return;
    struct session *se;
    struct job *job;
    while ((se = LIST_FIRST(&s->by_silence, struct session, in_silence)) != NULL) {
        struct shard *sh = se->shard;
        session_free(s, se);
        sh->session = NULL;
        shard_free(s, sh);
    }
    while ((job = LIST_FIRST(&s->jobs, struct job, in_sched)) != NULL) {
        LIST_EACH (g, &job->groups, struct group, in_job)
            g->key->leases = g->key->used_slots = 0;
        job_free(s, job);
    }
    breakers_free(s);
    struct map *maps[] = {&s->job_map,     &s->group_map, &s->key_map,  &s->lease_map,
                          &s->session_map, &s->shard_map, &s->lane_map, &s->breaker_map};
    struct mem_pool *pools[] = {&s->job_pool,     &s->group_pool, &s->key_pool,   &s->lease_pool,
                                &s->session_pool, &s->lane_pool,  &s->ghost_pool, &s->breaker_pool};
    for (size_t i = 0; i < ARRAY_LEN(maps); i++)
        map_done(maps[i]);
    for (size_t i = 0; i < ARRAY_LEN(pools); i++)
        mem_pool_done(pools[i]);
    task_pool_done(&s->task_pool);
    delay_done(&s->delays);
    alarm_heap_done(&s->key_alarms);
    alarm_heap_done(&s->run_alarms);
    alarm_heap_done(&s->ghost_alarms);
    alarm_heap_done(&s->breaker_alarms);
    recovery_done(&s->recovery);
    free(s);
}

/* Time first: what is due by now happens before the event, in a fixed order. */
static void sched_advance(struct sched *s, uint64_t now_ms)
{
    uint64_t before_ms = s->now_ms;
    s->now_ms = MAX(s->now_ms, now_ms);
    /* A TICK that comes much too late means that this process was stopped or stuck, nobody knows
     * since when. Its workers' heartbeats wait unread, so that time is not held against them. */
    if (s->due_ms != UINT64_MAX && s->now_ms > s->due_ms + s->config.lease_ms / 4)
        s->deaf_ms += s->now_ms - before_ms;
    struct delay_item item;
    while (delay_pop_due(&s->delays, s->now_ms, &item)) {
        const uint64_t later_ms = job_retry_at(s, item.group->job);
        if (later_ms > s->now_ms) {
            item.due_ms = later_ms;
            delay_push(&s->delays, item);
            continue;
        }
        item.group->n_delayed--;
        job_count_move(s, item.group->job, SCHED_DELAYED, SCHED_READY, 1);
        group_push(s, item.group, item.task, false);
    }
    ghost_end_due(s);
    key_wake_due(s);
    breaker_due(s);
    lease_timeout_due(s);
    session_expire_due(s);
}

static void sched_add_tasks(struct sched *s, const struct sched_event *ev)
{
    struct job *job = job_find(s, ev->job);
    if (!job)
        return;
    bool park =
        ev->u.tasks.replay && s->recovery.state == RECOVERY_LOADING && job->state != JOB_CANCELLING;
    for (size_t i = 0; i < ev->u.tasks.n; i++) {
        if (park)
            recovery_park(s, job, &ev->u.tasks.tasks[i]);
        else
            job_add_task(s, job, &ev->u.tasks.tasks[i]);
    }
    job_check_end(s, job);
}

static void sched_job_event(struct sched *s, const struct sched_event *ev)
{
    struct job *job = job_find(s, ev->job);
    if (!job)
        return;
    if (ev->type == SCHED_EV_JOB_SEAL)
        job_seal(s, job);
    else if (ev->type == SCHED_EV_JOB_CANCEL)
        job_cancel(s, job);
    else
        job_pause(s, job, ev->u.on);
}

static void sched_session_event(struct sched *s, const struct sched_event *ev)
{
    struct session *se = session_find(s, ev->session);
    if (!se)
        return;
    /* A drain comes from an administrator, and a loss is the edge's word. */
    if (ev->type != SCHED_EV_DRAIN && ev->type != SCHED_EV_LOST)
        session_heard(s, se);
    if (ev->type == SCHED_EV_CALLS)
        breaker_calls(s, se, ev);
    else if (ev->type == SCHED_EV_CREDIT)
        session_credit(s, se, ev->u.credit.tasks, ev->u.credit.bytes);
    else if (ev->type == SCHED_EV_DRAIN)
        session_drain(s, se, ev->u.on);
    else if (ev->type == SCHED_EV_LOST && ev->u.on)
        session_end(s, se, false);
    else if (ev->type == SCHED_EV_LOST)
        session_broken(s, se);
}

static void sched_dispatch(struct sched *s, const struct sched_event *ev)
{
    switch (ev->type) {
    case SCHED_EV_TICK:
        recovery_tick(s);
        break;
    case SCHED_EV_JOB_OPEN:
        job_open(s, ev);
        break;
    case SCHED_EV_TASKS:
        sched_add_tasks(s, ev);
        break;
    case SCHED_EV_JOB_SEAL:
    case SCHED_EV_JOB_CANCEL:
    case SCHED_EV_JOB_PAUSE:
        sched_job_event(s, ev);
        break;
    case SCHED_EV_REPLAYED:
        recovery_replayed(s);
        break;
    case SCHED_EV_HELLO:
        session_hello(s, ev);
        break;
    case SCHED_EV_BREAKER:
        breaker_manual(s, ev);
        break;
    case SCHED_EV_CALLS:
    case SCHED_EV_CREDIT:
    case SCHED_EV_HEARTBEAT:
    case SCHED_EV_LOST:
    case SCHED_EV_DRAIN:
        sched_session_event(s, ev);
        break;
    case SCHED_EV_BEGUN:
        if (session_find(s, ev->session))
            session_heard(s, session_find(s, ev->session));
        lease_begun(s, ev);
        break;
    case SCHED_EV_RESULT:
        if (session_find(s, ev->session))
            session_heard(s, session_find(s, ev->session));
        lease_result(s, ev);
        break;
    case SCHED_EV_COMPLETED:
        lease_completed(s, ev);
        break;
    }
}

void sched_step(struct sched *s, const struct sched_event *event, struct sched_actions *actions)
{
    s->out = actions;
    sched_advance(s, event->now_ms);
    sched_dispatch(s, event);
    match_run(s);
    s->out = NULL;
    s->due_ms = sched_deadline(s);
}

uint64_t sched_deadline(const struct sched *s)
{
    uint64_t due = MIN(delay_first_ms(&s->delays), alarm_first_ms(&s->key_alarms));
    uint64_t run = alarm_first_ms(&s->run_alarms);
    due = MIN(due, run == UINT64_MAX ? run : run + s->deaf_ms);
    due = MIN(due, session_expiry_ms(s));
    due = MIN(due, alarm_first_ms(&s->ghost_alarms));
    due = MIN(due, alarm_first_ms(&s->breaker_alarms));
    return MIN(due, recovery_deadline_ms(s));
}
