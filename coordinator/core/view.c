#include "view.h"

#include "coordinator/core/core.h"

uint64_t view_memory_bytes(const struct sched *s)
{
    const struct mem_pool *pools[] = {&s->job_pool,   &s->group_pool,   &s->key_pool,
                                      &s->lease_pool, &s->session_pool, &s->lane_pool,
                                      &s->ghost_pool, &s->breaker_pool};
    const struct map *maps[] = {&s->job_map,     &s->group_map, &s->key_map,  &s->lease_map,
                                &s->session_map, &s->shard_map, &s->lane_map, &s->breaker_map};
    uint64_t n = sizeof(*s) + task_pool_bytes(&s->task_pool);
    for (size_t i = 0; i < ARRAY_LEN(pools); i++)
        n += mem_pool_bytes(pools[i]);
    for (size_t i = 0; i < ARRAY_LEN(maps); i++)
        n += map_bytes(maps[i]);
    n += s->delays.cap * sizeof(struct delay_item);
    n += (s->key_alarms.cap + s->run_alarms.cap + s->ghost_alarms.cap + s->breaker_alarms.cap) *
         sizeof(struct alarm *);
    LIST_EACH (b, &s->sink_breakers, struct breaker, in_sched)
        n += b->cap_workers * sizeof(struct breaker_worker);
    n += s->recovery.cap * sizeof(struct recovery_item);
    n += s->recovery.cap_floors * sizeof(struct recovery_floor);
    return n + s->shard_map.n * sizeof(struct shard);
}

static enum sched_wait view_wait(const struct sched *s, enum group_state state)
{
    switch (state) {
    case GROUP_PAUSED:
        return SCHED_WAIT_PAUSED;
    case GROUP_HELD:
        return SCHED_WAIT_BREAKER;
    case GROUP_BLOCKED:
        return s->recovery.state < RECOVERY_RELEASING ? SCHED_WAIT_RECOVERY : SCHED_WAIT_LIMIT;
    case GROUP_STRANDED:
        return SCHED_WAIT_WORKERS;
    default:
        return SCHED_WAIT_NONE;
    }
}

bool sched_job_view(const struct sched *s, struct job_id id, struct sched_job_view *ret)
{
    const struct job *job = job_find(s, id);
    if (!job)
        return false;
    *ret = (struct sched_job_view){.done = job->done,
                                   .dead = job->dead,
                                   .cancelled = job->cancelled,
                                   .sealed = job->state == JOB_SEALED,
                                   .paused = job->paused,
                                   .cancelling = job->state == JOB_CANCELLING};
    memcpy(ret->tasks, job->tasks, sizeof(ret->tasks));
    uint64_t ready = 0;
    for (enum group_state state = GROUP_EMPTY; state < GROUP_STATES; state++) {
        ret->waits[view_wait(s, state)] += job->ready[state];
        ready += job->ready[state];
    }
    ret->waits[SCHED_WAIT_RECOVERY] += job->tasks[SCHED_READY] - ready; /* those that are parked */
    const struct group *g = LIST_FIRST(&job->held, struct group, in_lane);
    const struct breaker *b = g ? breaker_holding(s, job, g->key) : NULL;
    if (b)
        ret->breaker = b->id;
    LIST_EACH (other, &s->jobs, struct job, in_sched)
        if (other->priority > job->priority)
            ret->ahead += other->tasks[SCHED_READY];
    return true;
}

/* Ready tasks that wait for it: those of groups that are held by it. */
static uint64_t view_held(const struct sched *s, const struct breaker *b)
{
    uint64_t n = 0;
    if (b->host) {
        if (b->key)
            LIST_EACH (g, &b->key->groups, struct group, in_key)
                n += g->state == GROUP_HELD ? g->n_ready : 0;
        return n;
    }
    LIST_EACH (job, &s->jobs, struct job, in_sched)
        for (size_t i = 0; i < job->n_sinks; i++)
            if (job->sinks[i] == b)
                n += job->ready[GROUP_HELD];
    return n;
}

static void view_breaker(const struct sched *s, const struct breaker *b, uint64_t now_ms,
                         struct sched_breaker_view *ret)
{
    *ret = (struct sched_breaker_view){.downstream = b->id,
                                       .host = b->host,
                                       .state = b->state,
                                       .manual = b->manual,
                                       .since_ms = now_ms > b->since_ms ? now_ms - b->since_ms : 0,
                                       .opened = b->opened};
    if (b->state == SCHED_BREAKER_OPEN)
        ret->open_ms = b->manual == SCHED_MANUAL_TRIPPED ? UINT64_MAX
                       : b->open_until_ms > now_ms       ? b->open_until_ms - now_ms
                                                         : 0;
    if (b->state != SCHED_BREAKER_CLOSED || b->ramp_step > 0)
        ret->held = view_held(s, b);
    for (size_t i = 0; i < b->n_workers; i++) {
        ret->waiting += b->workers[i].waiting;
        ret->quarantined += b->workers[i].until_ms > 0;
    }
    for (size_t i = 0; i < BREAKER_WINDOW_S; i++)
        if (b->window[i].second + BREAKER_WINDOW_S > now_ms / 1000) {
            ret->ok += b->window[i].ok;
            ret->fail += b->window[i].fail;
        }
}

bool sched_breaker_next(const struct sched *s, size_t *at, uint64_t now_ms,
                        struct sched_breaker_view *ret)
{
    for (; *at < s->breaker_map.cap; ++*at)
        if (s->breaker_map.slots[*at].value) {
            view_breaker(s, s->breaker_map.slots[(*at)++].value, now_ms, ret);
            return true;
        }
    return false;
}

bool sched_session_view(const struct sched *s, struct session_id id, uint64_t now_ms,
                        struct sched_session_view *ret)
{
    const struct session *se = session_find(s, id);
    if (!se)
        return false;
    uint64_t listened_ms = MAX(now_ms, s->now_ms) - s->deaf_ms;
    *ret = (struct sched_session_view){.worker = se->shard->worker,
                                       .slots = se->slots,
                                       .leased = se->leased,
                                       .credit_left = se->granted_tasks - se->given_tasks,
                                       .draining = se->shard->draining,
                                       .silent_ms = listened_ms - se->heard_ms};
    return true;
}

void sched_stats(const struct sched *s, uint64_t now_ms, struct sched_stats *ret)
{
    uint64_t oldest_ms = task_pool_oldest_ms(&s->task_pool);
    *ret = (struct sched_stats){
        .jobs = s->job_map.n,
        .sessions = s->session_map.n,
        .keys = s->key_map.n,
        .steals = s->steals,
        .memory_bytes = view_memory_bytes(s),
        .oldest_ready_age_ms = oldest_ms < now_ms ? now_ms - oldest_ms : 0,
        .recovering = s->recovery.state < RECOVERY_RELEASING,
    };
    memcpy(ret->tasks, s->tasks, sizeof(ret->tasks));
}

static const struct group *view_group(const struct sched *s, struct job_id job, uint64_t key)
{
    struct key *k = key_find(s, key);
    if (k)
        LIST_EACH (g, &k->groups, struct group, in_key)
            if (g->job->id.v == job.v)
                return g;
    return NULL;
}

/* How many tasks of the group go before it; false: it is not among them. */
static bool view_ahead(const struct group *g, struct task_id task, uint64_t *ret)
{
    *ret = 0;
    for (const struct task_chunk *c = g->ready.first; c; c = c->next)
        for (uint8_t i = c->head; i < c->tail; i++, ++*ret)
            if (c->items[i].id.v == task.v)
                return true;
    return false;
}

bool sched_task_view(const struct sched *s, struct job_id job, uint64_t key, struct task_id task,
                     uint64_t now_ms, struct sched_task_view *ret)
{
    const struct lease *l = lease_find(s, task);
    *ret = (struct sched_task_view){0};
    if (l) {
        ret->state = l->state == LEASE_LEASED ? SCHED_LEASED : SCHED_COMMITTING;
        ret->session = l->session_id;
        return true;
    }
    const struct group *g = view_group(s, job, key);
    if (g && view_ahead(g, task, &ret->ahead)) {
        const struct breaker *b =
            g->state == GROUP_HELD ? breaker_holding(s, g->job, g->key) : NULL;
        ret->state = SCHED_READY;
        ret->wait = view_wait(s, g->state);
        ret->breaker = b ? b->id : 0;
        return true;
    }
    for (size_t i = 0; i < s->delays.n; i++)
        if (s->delays.items[i].task.id.v == task.v) {
            ret->state = SCHED_DELAYED;
            ret->delay_ms =
                s->delays.items[i].due_ms > now_ms ? s->delays.items[i].due_ms - now_ms : 0;
            return true;
        }
    if (g && g->n_parked > 0) {
        ret->state = SCHED_READY;
        ret->wait = SCHED_WAIT_RECOVERY;
        return true;
    }
    return false;
}
