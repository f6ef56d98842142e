#include "shard.h"

#include "common/hash.h"
#include "coordinator/core/core.h"

void shard_loads_init(struct shard_loads *l)
{
    for (int p = 0; p < JOB_PRIORITIES; p++) {
        l->used[p] = 0;
        for (int b = 0; b < 64; b++)
            list_init(&l->lists[p][b]);
    }
}

/* ---- who owns a key ---- */

static uint64_t shard_score(uint64_t key, uint64_t mix)
{
    return hash_mix(key ^ mix);
}

struct shard *shard_owner(const struct sched *s, uint64_t key, const struct job *job)
{
    struct shard *best = NULL;
    uint64_t best_score = 0;
    LIST_EACH (f, &s->fleets, struct fleet, in_sched) {
        if (!fleet_may(f->kinds, job->kinds->kinds))
            continue;
        for (uint32_t i = 0; i < f->n; i++) {
            uint64_t score = shard_score(key, f->mix[i]);
            if (!best || score > best_score) {
                best = f->shards[i];
                best_score = score;
            }
        }
    }
    return best;
}

/* A worker joined: the keys for which it scores highest move to it, and those that nobody could
 * run find an owner. The others keep theirs, without being hashed against the whole fleet again. */
static void shard_take_over(struct sched *s, struct shard *sh)
{
    uint32_t before = s->fleet_version - 1;
    LIST_EACH (job, &s->jobs, struct job, in_sched) {
        if (!fleet_may(sh->kinds, job->kinds->kinds))
            continue;
        LIST_EACH (g, &job->groups, struct group, in_job) {
            if (g->owner_version == before && g->owner &&
                shard_score(g->key->hash, g->owner->mix) >= shard_score(g->key->hash, sh->mix))
                g->owner_version = s->fleet_version;
            if (g->state == GROUP_QUEUED || g->state == GROUP_STRANDED)
                group_settle(s, g);
        }
    }
}

/* A worker left its fleet: what stood in its shard goes to the next best owner. */
static void shard_hand_over(struct sched *s, struct shard *sh)
{
    uint32_t before = s->fleet_version - 1;
    LIST_EACH (job, &s->jobs, struct job, in_sched)
        LIST_EACH (g, &job->groups, struct group, in_job)
            if (g->owner_version == before && g->owner != sh)
                g->owner_version = s->fleet_version;
    for (int p = 0; p < JOB_PRIORITIES; p++) {
        struct lane *lane;
        while ((lane = LIST_FIRST(&sh->levels[p].lanes, struct lane, in_ring)) != NULL)
            group_settle(s, LIST_FIRST(&lane->groups, struct group, in_lane));
    }
}

/* ---- workers ---- */

struct shard *shard_find(const struct sched *s, uint64_t worker)
{
    return map_find(&s->shard_map, hash_mix(worker));
}

struct shard *shard_new(struct sched *s, uint64_t worker, uint32_t kinds, bool draining)
{
    struct shard *sh = mem_alloc(sizeof(*sh));
    sh->worker = worker;
    sh->mix = hash_mix(worker ^ UINT64_C(0x5bd1e9955bd1e995));
    sh->kinds = kinds;
    sh->draining = draining;
    for (int p = 0; p < JOB_PRIORITIES; p++)
        list_init(&sh->levels[p].lanes);
    list_add(&s->shards, &sh->in_sched);
    map_add(&s->shard_map, hash_mix(worker), sh);
    if (!draining) {
        fleet_join(s, sh);
        shard_take_over(s, sh);
    }
    return sh;
}

static void shard_leave(struct sched *s, struct shard *sh)
{
    if (!sh->fleet)
        return;
    if (sh->session)
        list_del(&sh->session->in_hungry);
    fleet_leave(s, sh);
    shard_hand_over(s, sh);
}

void shard_free(struct sched *s, struct shard *sh)
{
    shard_leave(s, sh);
    list_del(&sh->dirty);
    list_del(&sh->in_sched);
    map_remove(&s->shard_map, hash_mix(sh->worker), sh);
    free(sh);
}

void shard_set_draining(struct sched *s, struct shard *sh, bool on)
{
    if (sh->draining == on)
        return;
    sh->draining = on;
    if (on) {
        shard_leave(s, sh);
        return;
    }
    fleet_join(s, sh);
    shard_take_over(s, sh);
    if (sh->session)
        session_settle(s, sh->session);
}

void shard_set_kinds(struct sched *s, struct shard *sh, uint32_t kinds)
{
    if (sh->kinds == kinds)
        return;
    shard_leave(s, sh);
    sh->kinds = kinds;
    if (!sh->draining) {
        fleet_join(s, sh);
        shard_take_over(s, sh);
    }
}

/* ---- what stands in a shard ---- */

static uint64_t lane_hash(const struct shard *sh, const struct job *job)
{
    return hash_mix(sh->mix ^ hash_mix(job->id.v));
}

static struct lane *lane_get(struct sched *s, struct shard *sh, struct job *job)
{
    uint64_t hash = lane_hash(sh, job);
    size_t cursor = SIZE_MAX;
    for (struct lane *l; (l = map_next(&s->lane_map, hash, &cursor)) != NULL;)
        if (l->shard == sh && l->job == job)
            return l;
    struct lane *l = mem_pool_get(&s->lane_pool);
    l->shard = sh;
    l->job = job;
    list_init(&l->groups);
    list_add(&sh->levels[job->priority].lanes, &l->in_ring);
    map_add(&s->lane_map, hash, l);
    return l;
}

static int load_bucket(uint64_t load)
{
    return 63 - __builtin_clzll(load);
}

static void shard_load_change(struct sched *s, struct shard *sh, struct job *job, int64_t change)
{
    int p = job->priority;
    struct shard_level *level = &sh->levels[p];
    uint64_t before = level->load;
    level->load += (uint64_t)change;
    fleet_class_load(job->kinds, p, change);
    int from = before ? load_bucket(before) : -1, to = level->load ? load_bucket(level->load) : -1;
    if (from == to)
        return;
    list_del(&level->in_load);
    if (from >= 0 && list_empty(&s->loads.lists[p][from]))
        s->loads.used[p] &= ~(UINT64_C(1) << from);
    if (to >= 0) {
        list_add(&s->loads.lists[p][to], &level->in_load);
        s->loads.used[p] |= UINT64_C(1) << to;
    }
}

void shard_load(struct sched *s, const struct group *g, int64_t change)
{
    shard_load_change(s, g->lane->shard, g->job, change);
}

void shard_queue(struct sched *s, struct shard *sh, struct group *g)
{
    g->lane = lane_get(s, sh, g->job);
    list_add(&g->lane->groups, &g->in_lane);
    shard_load(s, g, g->n_ready);
    if (!list_linked(&sh->dirty))
        list_add(&s->dirty, &sh->dirty);
}

/* The load that the group brought is its n_ready now: pushes and pops kept it in step. */
void shard_unqueue(struct sched *s, struct group *g)
{
    struct lane *lane = g->lane;
    shard_load(s, g, -(int64_t)g->n_ready);
    list_del(&g->in_lane);
    g->lane = NULL;
    if (!list_empty(&lane->groups))
        return;
    list_del(&lane->in_ring);
    map_remove(&s->lane_map, lane_hash(lane->shard, lane->job), lane);
    mem_pool_put(&s->lane_pool, lane);
}

void shard_turn(struct group *g)
{
    struct lane *lane = g->lane;
    list_to_end(&lane->groups, &g->in_lane);
    list_to_end(&lane->shard->levels[lane->job->priority].lanes, &lane->in_ring);
}

struct group *shard_victim(struct sched *s, int priority, uint32_t kinds)
{
    for (uint64_t used = s->loads.used[priority]; used;) {
        int bucket = load_bucket(used);
        used &= ~(UINT64_C(1) << bucket);
        LIST_EACH (level, &s->loads.lists[priority][bucket], struct shard_level, in_load)
            LIST_EACH (lane, &level->lanes, struct lane, in_ring)
                if (fleet_may(kinds, lane->job->kinds->kinds))
                    return LIST_FIRST(&lane->groups, struct group, in_lane);
    }
    return NULL;
}
