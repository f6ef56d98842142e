/*
 * key.h: what a task's key (host, file, model) allows, fleet-wide: concurrent slots, a delay between
 * two uses, a time before which it is left alone. One record a key, while anything needs it.
 *
 * A job whose options limit keys (key_limit or key_delay_ms above 0) takes part in the counting; the
 * tasks of other jobs pass by, but for a pause that a result asked for (key_backoff_ms), which holds
 * every job.
 *
 *   a limiting job may use a key now   when it is past not_before, and
 *     no task was ever done            no lease is on it (first contact: its delay is not known yet)
 *     a delay applies                  no lease is on it; grant 1, and not_before = end + delay
 *     otherwise                        used < limit; grant = min(free, max(1, ceil(limit/workers)))
 *
 * Whether a host is broken is another matter: breaker.h.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_CORE_KEY_H
#define DROVER_CORE_KEY_H

#include "coordinator/core/list.h"
#include "coordinator/core/alarm.h"

/* A worker whose lease is revoked stops when the message arrives, and sends nothing back. So long
 * its slots are counted as if they were in use. */
enum { KEY_REVOKE_REST_MS = 1000 };

struct breaker;
struct job;
struct sched;

struct key {
    uint64_t hash;
    struct list groups;      /* of every job with tasks on it */
    struct alarm pause;      /* runs while now < not_before */
    uint32_t used_slots;     /* sum of the grants of live leases of limiting jobs, and of ghosts */
    uint32_t leases;         /* live leases of limiting jobs, and ghosts */
    uint32_t delay_ms;       /* learned from results (robots.txt); 0: none */
    bool seen;               /* a task was done since the record was made */
    struct breaker *breaker; /* of the host, while there is trouble; NULL: none */
};

struct key *key_get(struct sched *s, uint64_t hash); /* makes it when it is not there */
struct key *key_find(const struct sched *s, uint64_t hash);
void key_release_unused(struct sched *s, struct key *k); /* frees it when nothing needs it */

bool key_limits(const struct job *job);
uint32_t key_delay_of(const struct key *k, const struct job *job);
bool key_available(const struct sched *s, const struct key *k, const struct job *job);

/* The slots that the next lease of the job gets; 0: it is not limited. */
uint32_t key_grant(const struct sched *s, const struct key *k, const struct job *job);
/* A lease begins (grant from key_grant, or adopted) or ends; settles the groups concerned. */
void key_take(struct sched *s, struct key *k, uint32_t grant);
void key_give(struct sched *s, struct key *k, const struct job *job, uint32_t grant);
/* The same for a lease whose worker may be using the key until `begins_end_ms` + use_ms: its slots
 * stay in use (ghost.h). It begins no use after begins_end_ms. */
void key_leave(struct sched *s, struct key *k, const struct job *job, uint32_t grant,
               uint64_t worker, uint64_t begins_end_ms, uint32_t use_ms);
void key_free_slots(struct sched *s, struct key *k, uint32_t grant); /* of a ghost that ends */

/* Nobody uses it for so long. */
void key_rest(struct sched *s, struct key *k, uint32_t ms);
/* A result told something about the key. done: its delay is known, and delay_ms when there is one. */
void key_learn(struct sched *s, struct key *k, bool done, uint32_t delay_ms, uint32_t backoff_ms);
/* Lets keys go on whose pause is over at now. */
void key_wake_due(struct sched *s);

#endif
