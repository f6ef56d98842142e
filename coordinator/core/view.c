#include "view.h"

#include "coordinator/core/core.h"

uint64_t view_memory_bytes(const struct sched *s)
{
    const struct mem_pool *pools[] = {&s->job_pool,   &s->group_pool,   &s->key_pool,
                                      &s->lease_pool, &s->session_pool, &s->lane_pool};
    const struct map *maps[] = {&s->job_map,     &s->group_map, &s->key_map, &s->lease_map,
                                &s->session_map, &s->shard_map, &s->lane_map};
    uint64_t n = sizeof(*s) + task_pool_bytes(&s->task_pool);
    for (size_t i = 0; i < ARRAY_LEN(pools); i++)
        n += mem_pool_bytes(pools[i]);
    for (size_t i = 0; i < ARRAY_LEN(maps); i++)
        n += map_bytes(maps[i]);
    n += s->delays.cap * sizeof(struct delay_item);
    n += (s->key_alarms.cap + s->run_alarms.cap) * sizeof(struct alarm *);
    n += s->recovery.cap * sizeof(struct recovery_item);
    n += s->recovery.cap_floors * sizeof(struct recovery_floor);
    return n + s->shard_map.n * sizeof(struct shard);
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
    return true;
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
