#include "group.h"

#include "common/hash.h"
#include "coordinator/core/core.h"

static uint64_t group_hash(struct job_id job, uint64_t key)
{
    return hash_mix(key ^ hash_mix(job.v + UINT64_C(0x9e3779b97f4a7c15)));
}

struct group *group_get(struct sched *s, struct job *job, uint64_t key)
{
    uint64_t hash = group_hash(job->id, key);
    size_t cursor = SIZE_MAX;
    for (struct group *g; (g = map_next(&s->group_map, hash, &cursor)) != NULL;)
        if (g->job == job && g->key->hash == key)
            return g;
    struct group *g = mem_pool_get(&s->group_pool);
    g->job = job;
    g->key = key_get(s, key);
    g->owner_version = s->fleet_version - 1;
    list_add(&job->groups, &g->in_job);
    list_add(&g->key->groups, &g->in_key);
    map_add(&s->group_map, hash, g);
    return g;
}

/* Ready tasks came or went. */
static void group_count(struct sched *s, struct group *g, int64_t change)
{
    g->n_ready = (uint32_t)(g->n_ready + change);
    g->job->ready[g->state] += (uint64_t)change;
    if (g->state == GROUP_QUEUED)
        shard_load(s, g, change);
}

void group_push(struct sched *s, struct group *g, struct task t, bool front)
{
    if (front)
        task_queue_push_front(&g->ready, &s->task_pool, t, g->n_ready, s->now_ms);
    else
        task_queue_push(&g->ready, &s->task_pool, t, g->n_ready, s->now_ms);
    group_count(s, g, 1);
    if (g->state != GROUP_QUEUED && g->n_ready == 1)
        group_settle(s, g);
}

struct task group_pop(struct sched *s, struct group *g, uint64_t *ret_since_ms)
{
    struct task t = task_queue_pop(&g->ready, &s->task_pool, ret_since_ms);
    group_count(s, g, -1);
    return t;
}

void group_clear(struct sched *s, struct group *g)
{
    task_queue_clear(&g->ready, &s->task_pool);
    group_count(s, g, -(int64_t)g->n_ready);
    group_settle(s, g);
}

enum group_state group_state_now(struct sched *s, struct group *g)
{
    if (g->n_ready == 0)
        return GROUP_EMPTY;
    if (g->job->paused)
        return GROUP_PAUSED;
    if (breaker_holding(s, g->job, g->key) && !CORE_BUG(9))
        return GROUP_HELD;
    if (!key_available(s, g->key, g->job))
        return GROUP_BLOCKED;
    if (g->owner_version != s->fleet_version) {
        g->owner = shard_owner(s, g->key->hash, g->job);
        g->owner_version = s->fleet_version;
    }
    return g->owner ? GROUP_QUEUED : GROUP_STRANDED;
}

static void group_leave(struct sched *s, struct group *g)
{
    if (g->state == GROUP_QUEUED)
        shard_unqueue(s, g);
    else
        list_del(&g->in_lane);
    g->job->ready[g->state] -= g->n_ready;
    g->job->ready[GROUP_EMPTY] += g->n_ready;
    g->state = GROUP_EMPTY;
}

void group_settle(struct sched *s, struct group *g)
{
    enum group_state to = group_state_now(s, g);
    if (to == g->state && (to != GROUP_QUEUED || g->lane->shard == g->owner))
        return;
    group_leave(s, g);
    if (to == GROUP_QUEUED)
        shard_queue(s, g->owner, g);
    else if (to == GROUP_STRANDED)
        list_add(&s->stranded, &g->in_lane);
    else if (to == GROUP_HELD)
        list_add(&g->job->held, &g->in_lane);
    g->job->ready[GROUP_EMPTY] -= g->n_ready;
    g->job->ready[to] += g->n_ready;
    g->state = to;
}

void group_release_unused(struct sched *s, struct group *g)
{
    if (g->n_ready > 0 || g->n_delayed > 0 || g->n_leased > 0 || g->n_parked > 0)
        return;
    if (g->key->delay_ms > 0 && g->job->state < JOB_CANCELLING)
        return; /* the job may find more of this host, and the delay is known */
    group_delete(s, g);
}

void group_delete(struct sched *s, struct group *g)
{
    struct key *k = g->key;
    group_leave(s, g);
    task_queue_clear(&g->ready, &s->task_pool);
    map_remove(&s->group_map, group_hash(g->job->id, k->hash), g);
    list_del(&g->in_job);
    list_del(&g->in_key);
    mem_pool_put(&s->group_pool, g);
    key_release_unused(s, k);
}
