/*
 * breaker_internal.h: what the files of the breakers share: breaker.c (the state machine), breaker_record.c,
 * breaker_task.c, breaker_worker.c. Nothing else includes it.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_CORE_BREAKER_INTERNAL_H
#define DROVER_CORE_BREAKER_INTERNAL_H

#include "coordinator/core/core.h"

/* The kinds of jobs and workers: engines below, sinks above (breaker.bit). */
enum { BREAKER_ENGINE_BITS = 32 - BREAKER_SINK_BITS };

/* ---- records: breaker_record.c ---- */
struct breaker *breaker_find(const struct sched *s, uint64_t id, bool host);
struct breaker *breaker_host_make(struct sched *s, uint64_t id); /* NULL: there are too many */
void breaker_free(struct sched *s, struct breaker *b);
struct breaker_worker *breaker_worker_find(const struct breaker *b, uint64_t worker); /* or NULL */
/* Those of workers that are gone make room: pointers to others are not valid after it. */
struct breaker_worker *breaker_worker_make(const struct sched *s, struct breaker *b,
                                           uint64_t worker);

/* Every group that needs it looks where it belongs now. */
void breaker_settle_all(struct sched *s, struct breaker *b);
void breaker_tell(struct sched *s, const struct breaker *b, struct session_id session,
                  enum sched_tell what);
/* A sink's state is told to every worker, a host's to those at work on it. */
void breaker_tell_all(struct sched *s, const struct breaker *b, enum sched_tell what);
void breaker_trace(struct sched *s, const struct breaker *b, const char *reason);

/* ---- the state machine: breaker.c ---- */
void breaker_set_alarm(struct sched *s, struct breaker *b); /* for whatever comes next */
/* The next probe: by a worker whose rows wait, or by the next task that is let through. */
void breaker_probe_next(struct sched *s, struct breaker *b);

/* ---- workers: breaker_worker.c ---- */
bool breaker_fails_alone(const struct sched *s, const struct breaker *b,
                         const struct breaker_worker *w);
void breaker_quarantine(struct sched *s, struct breaker *b, struct breaker_worker *w);
void breaker_release(struct sched *s, struct breaker *b, struct breaker_worker *w);

/* ---- tasks: breaker_task.c ---- */
void breaker_give_up(struct sched *s, struct breaker *b); /* when a host is down for long enough */

#endif
