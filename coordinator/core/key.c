#include "key.h"

#include "common/hash.h"
#include "coordinator/core/core.h"

struct key *key_find(const struct sched *s, uint64_t hash)
{
    return map_find(&s->key_map, hash_mix(hash));
}

struct key *key_get(struct sched *s, uint64_t hash)
{
    struct key *k = key_find(s, hash);
    if (k)
        return k;
    k = mem_pool_get(&s->key_pool);
    k->hash = hash;
    list_init(&k->groups);
    map_add(&s->key_map, hash_mix(hash), k);
    breaker_key_new(s, k);
    return k;
}

void key_release_unused(struct sched *s, struct key *k)
{
    if (!list_empty(&k->groups) || k->pause.place != 0 || k->leases > 0)
        return;
    assert(k->used_slots == 0);
    breaker_key_gone(s, k);
    map_remove(&s->key_map, hash_mix(k->hash), k);
    mem_pool_put(&s->key_pool, k);
}

bool key_limits(const struct job *job)
{
    return job->key_limit > 0 || job->key_delay_ms > 0;
}

uint32_t key_delay_of(const struct key *k, const struct job *job)
{
    return key_limits(job) ? MAX(k->delay_ms, job->key_delay_ms) : 0;
}

bool key_available(const struct sched *s, const struct key *k, const struct job *job)
{
    if (k->pause.place != 0)
        return false;
    if (!key_limits(job))
        return true;
    if (s->recovery.state < RECOVERY_RELEASING)
        return false;
    if (!k->seen || key_delay_of(k, job) > 0)
        return k->leases == 0;
    return CORE_BUG(4) || k->used_slots < job->key_limit;
}

uint32_t key_grant(const struct sched *s, const struct key *k, const struct job *job)
{
    if (!key_limits(job))
        return 0;
    if (key_delay_of(k, job) > 0 ||
        (job->hosts && k->breaker && k->breaker->state == SCHED_BREAKER_HALF_OPEN))
        return 1;
    uint32_t workers = MAX(fleet_workers_for(s, job->kinds->kinds), 1u);
    uint32_t share = job->key_limit / workers + (job->key_limit % workers != 0);
    uint32_t free_slots = CORE_BUG(4) ? job->key_limit : job->key_limit - k->used_slots;
    return MIN(free_slots, MAX(share, 1u));
}

static void key_settle(struct sched *s, struct key *k)
{
    LIST_EACH (g, &k->groups, struct group, in_key)
        group_settle(s, g);
}

void key_take(struct sched *s, struct key *k, uint32_t grant)
{
    k->leases++;
    k->used_slots += grant;
    key_settle(s, k);
}

static void key_pause_until(struct sched *s, struct key *k, uint64_t at_ms)
{
    if (at_ms > s->now_ms && (k->pause.place == 0 || k->pause.at_ms < at_ms))
        alarm_set(&s->key_alarms, &k->pause, at_ms);
}

void key_give(struct sched *s, struct key *k, const struct job *job, uint32_t grant)
{
    assert(k->leases > 0 && k->used_slots >= grant);
    k->leases--;
    k->used_slots -= grant;
    key_pause_until(s, k, s->now_ms + key_delay_of(k, job));
    key_settle(s, k);
}

void key_leave(struct sched *s, struct key *k, const struct job *job, uint32_t grant,
               uint64_t worker, uint64_t begins_end_ms, uint32_t use_ms)
{
    ghost_new(s, k, grant, worker, begins_end_ms + use_ms);
    key_pause_until(s, k, begins_end_ms + key_delay_of(k, job));
    key_settle(s, k);
}

void key_free_slots(struct sched *s, struct key *k, uint32_t grant)
{
    assert(k->leases > 0 && k->used_slots >= grant);
    k->leases--;
    k->used_slots -= grant;
    key_settle(s, k);
    key_release_unused(s, k);
}

void key_rest(struct sched *s, struct key *k, uint32_t ms)
{
    key_pause_until(s, k, s->now_ms + ms);
    key_settle(s, k);
}

void key_learn(struct sched *s, struct key *k, bool done, uint32_t delay_ms, uint32_t backoff_ms)
{
    k->seen |= done;
    if (delay_ms > 0)
        k->delay_ms = delay_ms;
    key_rest(s, k, backoff_ms);
}

void key_wake_due(struct sched *s)
{
    for (struct alarm *t; (t = alarm_due(&s->key_alarms, s->now_ms)) != NULL;) {
        struct key *k = CONTAINER_OF(t, struct key, pause);
        key_settle(s, k);
        key_release_unused(s, k);
    }
}
