/*
 * shard.h: a connected worker's share of the queue. A group of tasks is queued in the shard of the
 * worker that rendezvous hashing of its key names among those that may run it (Thaler and
 * Ravishankar, 1998: highest random weight), so that when workers come or go only the keys
 * concerned move.
 *
 *     shard ─ priority 9..0 ─ ring of lanes, one a job ─ ring of groups, one a key ─ tasks, FIFO
 *
 * Taking one task turns both rings by one: of one priority, each job gets an equal share, and within
 * it each key, however many tasks they have.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_CORE_SHARD_H
#define DROVER_CORE_SHARD_H

#include "coordinator/core/job.h"
#include "coordinator/core/list.h"

struct fleet;
struct group;
struct session;

struct lane {
    struct shard *shard;
    struct job *job;
    struct list groups;  /* the next one first */
    struct list in_ring; /* of its shard and priority */
};

struct shard_level {
    struct list lanes;
    uint64_t load;       /* ready tasks in its groups */
    struct list in_load; /* with the shards of about that load, while load > 0 */
};

struct shard {
    uint64_t worker; /* hash of the durable id */
    uint64_t mix;    /* of it, for the score */
    uint64_t boot;   /* of the process behind the present session; 0: not told */
    uint32_t kinds;
    bool draining;
    struct session *session; /* always there: a shard goes with its last session */
    struct fleet *fleet;     /* NULL while it drains */
    uint32_t fleet_index;
    struct list in_sched;
    struct list dirty; /* in the list of shards to look at first, when it is linked */
    struct shard_level levels[JOB_PRIORITIES];
};

/* Shards by load: for each priority, lists by the logarithm of the load. */
struct shard_loads {
    uint64_t used[JOB_PRIORITIES]; /* bit b: the list of loads 2^b to 2^(b+1)-1 is not empty */
    struct list lists[JOB_PRIORITIES][64];
};

void shard_loads_init(struct shard_loads *l);

struct shard *shard_find(const struct sched *s, uint64_t worker);
struct shard *shard_new(struct sched *s, uint64_t worker, uint32_t kinds, bool draining);
void shard_free(struct sched *s, struct shard *sh); /* moves its groups to other shards */
void shard_set_draining(struct sched *s, struct shard *sh, bool on);
void shard_set_kinds(struct sched *s, struct shard *sh, uint32_t kinds);

/* The worker that the key belongs to, or NULL when none that is here may run the job. */
struct shard *shard_owner(const struct sched *s, uint64_t key, const struct job *job);

void shard_queue(struct sched *s, struct shard *sh, struct group *g);
void shard_unqueue(struct sched *s, struct group *g);
void shard_load(struct sched *s, const struct group *g, int64_t change); /* of a queued group */
void shard_turn(struct group *g); /* it was served: to the end of its rings */

/* A queued group of that priority that the thief may run, from one of the most loaded shards. */
struct group *shard_victim(struct sched *s, int priority, uint32_t kinds);

#endif
