/*
 * invariant.c: checks every internal promise of the scheduler from the outside in (sched.h). It
 * counts everything again by walking the lists, and trusts no counter. For tests alone: O(everything).
 *
 * Thread rule: one thread.
 */
#include "coordinator/core/core.h"

#define HOLDS(condition, sentence)                                                                 \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return sentence;                                                                       \
    } while (0)

static const char *check_lane(const struct group *g)
{
    HOLDS(g->lane, "a queued group is in a lane");
    HOLDS(g->lane->job == g->job, "a lane holds the groups of one job");
    HOLDS(g->lane->shard == g->owner, "a queued group is in the shard of its owner");
    HOLDS(fleet_may(g->owner->kinds, g->job->kinds->kinds), "an owner may run what it owns");
    HOLDS(!g->owner->draining, "a draining worker owns nothing");
    return NULL;
}

static const char *check_group(const struct sched *s, struct group *g)
{
    HOLDS(task_queue_count(&g->ready) == g->n_ready, "a group's ready tasks are in its queue");
    HOLDS(list_linked(&g->in_key), "a group is in the list of its key");
    HOLDS(key_find(s, g->key->hash) == g->key, "the key of a group is in the table");
    bool current = g->owner_version == s->fleet_version;
    struct shard *owner = shard_owner(s, g->key->hash, g->job);
    HOLDS(!current || g->owner == owner, "a remembered owner is the one that hashing names");
    enum group_state want = g->n_ready == 0                      ? GROUP_EMPTY
                            : g->job->paused                     ? GROUP_PAUSED
                            : breaker_holding(s, g->job, g->key) ? GROUP_HELD
                            : !key_available(s, g->key, g->job)  ? GROUP_BLOCKED
                            : owner                              ? GROUP_QUEUED
                                                                 : GROUP_STRANDED;
    HOLDS(g->state == want, "a group is in the state that the facts ask for");
    HOLDS(list_linked(&g->in_lane) == (want >= GROUP_STRANDED || want == GROUP_HELD),
          "state and list membership agree");
    HOLDS(g->n_ready + g->n_delayed + g->n_leased + g->n_parked > 0 || g->key->delay_ms > 0,
          "an unused group is freed");
    return want == GROUP_QUEUED ? check_lane(g) : NULL;
}

static const char *check_lease(const struct sched *s, const struct lease *l)
{
    HOLDS(l->state != LEASE_NONE, "a lease is leased or committing");
    HOLDS(lease_find(s, l->task.id) == l, "one lease for a task");
    HOLDS((l->session != NULL) == (l->state == LEASE_LEASED), "a lease has a session while leased");
    HOLDS(!l->session || session_find(s, l->session->id) == l->session, "its session lives");
    HOLDS(l->state != LEASE_LEASED || l->token.counter != 0, "a leased task has a token");
    HOLDS(l->state != LEASE_LEASED || l->group->job->state != JOB_CANCELLING,
          "nothing is leased of a cancelled job");
    HOLDS(l->state != LEASE_LEASED || (l->grant > 0) == key_limits(l->group->job),
          "a lease has a grant when its job limits keys");
    HOLDS(l->task.attempt <= l->group->job->attempts_max, "attempts are bounded");
    return NULL;
}

static const char *check_job(const struct sched *s, const struct job *job)
{
    uint64_t n[SCHED_TASK_STATES] = {0};
    uint64_t ready[GROUP_STATES] = {0}, held = 0, leased = 0, leases = 0;
    HOLDS(job_find(s, job->id) == job, "a job is in the table");
    LIST_EACH (g, &job->groups, struct group, in_job) {
        const char *broken = check_group(s, g);
        if (broken)
            return broken;
        ready[g->state] += g->n_ready;
        held += g->state == GROUP_HELD;
        n[SCHED_READY] += g->n_ready + g->n_parked;
        n[SCHED_DELAYED] += g->n_delayed;
        leases += g->n_leased;
    }
    LIST_EACH (l, &job->leases, struct lease, in_job) {
        const char *broken = check_lease(s, l);
        if (broken)
            return broken;
        n[l->state == LEASE_LEASED ? SCHED_LEASED : SCHED_COMMITTING]++;
        leased++;
    }
    LIST_EACH (g, &job->held, struct group, in_lane) {
        HOLDS(g->job == job && g->state == GROUP_HELD, "a job's held groups are its own, and held");
        held--;
    }
    HOLDS(held == 0, "each held group is in the list of its job");
    HOLDS(memcmp(ready, job->ready, sizeof(ready)) == 0, "a job counts its ready tasks by state");
    HOLDS(leased == leases, "the groups count the leases of their job");
    HOLDS(memcmp(n, job->tasks, sizeof(n)) == 0, "each task of a job is in exactly one state");
    HOLDS(s->recovery.state == RECOVERY_LOADING || job->state != JOB_CANCELLING ||
              n[SCHED_READY] + n[SCHED_DELAYED] + n[SCHED_LEASED] == 0,
          "a cancelled job waits for the store alone");
    return NULL;
}

static const char *check_key(const struct sched *s, const struct key *k)
{
    uint32_t used = 0, leases = 0, limit = 0, delayed = 0;
    bool adopted = false, ghosts = false;
    LIST_EACH (ghost, &s->ghosts, struct ghost, in_sched) {
        if (ghost->key != k)
            continue;
        used += ghost->grant;
        leases++;
        ghosts = true; /* of leases that were adopted, or of jobs that are over */
    }
    HOLDS(!list_empty(&k->groups) || k->pause.place != 0, "an unused key is freed");
    LIST_EACH (g, &k->groups, struct group, in_key) {
        limit = MAX(limit, g->job->key_limit);
        LIST_EACH (l, &g->job->leases, struct lease, in_job) {
            if (l->group != g || l->state != LEASE_LEASED || l->grant == 0)
                continue;
            used += l->grant;
            leases++;
            delayed += g->job->key_delay_ms > 0;
            adopted |= l->token.epoch < s->config.epoch;
        }
    }
    HOLDS(used == k->used_slots && leases == k->leases, "a key counts the leases on it");
    HOLDS(used <= limit || adopted || ghosts, "the slots of a key are within the limit");
    HOLDS(delayed <= 1 || adopted, "a key with a delay has one use at a time");
    return NULL;
}

static const char *check_session(const struct sched *s, const struct session *se)
{
    uint32_t leased = 0;
    LIST_EACH (l, &se->leases, struct lease, in_session) {
        HOLDS(l->session == se, "a lease is in the list of its session");
        leased++;
    }
    HOLDS(leased == se->leased, "a session counts its leases");
    HOLDS(se->given_tasks <= se->granted_tasks && se->given_bytes <= se->granted_bytes,
          "credit is never passed");
    HOLDS(se->shard->session == se && shard_find(s, se->shard->worker) == se->shard,
          "a session belongs to its worker's shard");
    HOLDS(se->shard->draining == (se->shard->fleet == NULL), "a worker that drains is in no fleet");
    HOLDS(list_linked(&se->in_hungry) ==
              (se->shard->fleet && !se->misfit && se->given_tasks < se->granted_tasks),
          "who has credit is in the list of the hungry");
    return NULL;
}

static const char *check_shard(const struct shard *sh, uint64_t queued[JOB_PRIORITIES])
{
    for (int p = 0; p < JOB_PRIORITIES; p++) {
        const struct shard_level *level = &sh->levels[p];
        uint64_t load = 0;
        LIST_EACH (lane, &level->lanes, struct lane, in_ring) {
            HOLDS(lane->shard == sh && lane->job->priority == p,
                  "a lane is in the ring of its shard");
            HOLDS(!list_empty(&lane->groups), "an empty lane is freed");
            LIST_EACH (g, &lane->groups, struct group, in_lane) {
                HOLDS(g->state == GROUP_QUEUED && g->lane == lane, "a lane holds queued groups");
                load += g->n_ready;
            }
        }
        HOLDS(load == level->load, "a shard's load is the sum of its groups");
        HOLDS(list_linked(&level->in_load) == (load > 0), "a loaded shard can be found by thieves");
        queued[p] += load;
    }
    return NULL;
}

static const char *check_totals(const struct sched *s)
{
    uint64_t tasks[SCHED_TASK_STATES] = {0}, parked = 0, left[JOB_PRIORITIES] = {0};
    LIST_EACH (job, &s->jobs, struct job, in_sched)
        for (int i = 0; i < SCHED_TASK_STATES; i++)
            tasks[i] += job->tasks[i];
    HOLDS(memcmp(tasks, s->tasks, sizeof(tasks)) == 0, "the jobs add up to the totals");
    HOLDS(s->delays.n == tasks[SCHED_DELAYED], "each delayed task is in the heap");
    HOLDS(s->lease_map.n == tasks[SCHED_LEASED] + tasks[SCHED_COMMITTING],
          "each lease is in the table");
    for (size_t i = 0; i < s->recovery.n; i++)
        parked += s->recovery.items[i].group != NULL;
    HOLDS(parked <= tasks[SCHED_READY], "parked tasks count as ready");
    LIST_EACH (sh, &s->shards, struct shard, in_sched) {
        const char *broken = check_shard(sh, left);
        if (broken)
            return broken;
    }
    LIST_EACH (c, &s->classes, struct fleet_class, in_sched)
        for (int p = 0; p < JOB_PRIORITIES; p++)
            left[p] -= c->queued[p];
    for (int p = 0; p < JOB_PRIORITIES; p++)
        HOLDS(left[p] == 0, "the classes add up to the shards");
    return NULL;
}

/* No worker with credit stands beside a task that it may run and that fits. */
static const char *check_idle(const struct sched *s)
{
    LIST_EACH (f, &s->fleets, struct fleet, in_sched)
        HOLDS(list_empty(&f->hungry) || fleet_top_priority(s, f->kinds) < 0,
              "no worker with credit idles beside a task that it may run");
    return NULL;
}

static const char *check_breaker(const struct sched *s, const struct breaker *b)
{
    HOLDS(!b->probing || b->state == SCHED_BREAKER_HALF_OPEN, "only a half-open breaker is probed");
    HOLDS(b->state == SCHED_BREAKER_CLOSED || b->ramp_step == 0, "only a closed breaker ramps up");
    HOLDS(b->state != SCHED_BREAKER_OPEN || b->manual == SCHED_MANUAL_TRIPPED ||
              b->alarm.place != 0,
          "an open breaker is looked at again");
    HOLDS(b->manual != SCHED_MANUAL_PINNED || b->state == SCHED_BREAKER_CLOSED,
          "a pinned breaker is closed");
    HOLDS(b->manual != SCHED_MANUAL_TRIPPED || b->state == SCHED_BREAKER_OPEN,
          "a tripped breaker is open");
    HOLDS(!b->probing || b->alarm.place != 0, "a probe that nobody hears of ends");
    HOLDS(!b->host || b->key == key_find(s, b->id), "a host's breaker knows its key");
    HOLDS(!b->host || b->key || b->manual != SCHED_MANUAL_NONE || b->alarm.place != 0,
          "a host's breaker without a task is forgotten at some time");
    HOLDS(!b->key || b->key->breaker == b, "a key knows its breaker");
    return NULL;
}

const char *sched_invariant(const struct sched *s)
{
    const char *broken = NULL;
    LIST_EACH (b, &s->sink_breakers, struct breaker, in_sched) {
        broken = check_breaker(s, b);
        if (broken)
            return broken;
    }
    LIST_EACH (b, &s->host_breakers, struct breaker, in_sched) {
        broken = check_breaker(s, b);
        if (broken)
            return broken;
    }
    LIST_EACH (job, &s->jobs, struct job, in_sched) {
        broken = check_job(s, job);
        if (broken)
            return broken;
        LIST_EACH (g, &job->groups, struct group, in_job) {
            broken = check_key(s, g->key);
            if (broken)
                return broken;
        }
    }
    LIST_EACH (se, &s->by_silence, struct session, in_silence) {
        broken = check_session(s, se);
        if (broken)
            return broken;
    }
    broken = check_totals(s);
    return broken ? broken : check_idle(s);
}
