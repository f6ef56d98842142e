/*
 * session.h: one connection life of one worker: what it holds, what it may still be given, when it
 * was last heard.
 *
 *              HELLO                   silent for lease_ms, LOST, the worker's next HELLO
 *     none ───────────▶ LIVE ──────────────────────────────────────────────────────────▶ none
 *
 * Credit is cumulative on both sides: given never passes granted, and a lost or repeated CREDIT does
 * no harm. Silence is counted in time during which the coordinator listened (sched's `deaf_ms`):
 * when it was itself stopped, its workers are not to blame.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_CORE_SESSION_H
#define DROVER_CORE_SESSION_H

#include "coordinator/core/list.h"
#include "coordinator/core/sched.h"

struct shard;

struct session {
    struct session_id id;
    struct shard *shard;
    uint32_t slots, leased;
    uint64_t granted_tasks, granted_bytes; /* by the worker */
    uint64_t given_tasks, given_bytes;     /* assigned so far */
    uint64_t heard_ms;                     /* in listened time */
    bool misfit; /* what is queued is larger than its bytes; until its next sign of life */
    struct list leases;
    struct list in_silence; /* all sessions, longest silent first */
    struct list in_hungry;  /* of its fleet, while it may be given something */
};

struct session *session_find(const struct sched *s, struct session_id id);
void session_hello(struct sched *s, const struct sched_event *ev);
void session_credit(struct sched *s, struct session *se, uint64_t tasks, uint64_t bytes);
void session_heard(struct sched *s, struct session *se);
void session_drain(struct sched *s, struct session *se, bool on);
/* Ends it: its leases go back, as kills of their worker when `kill`. */
void session_end(struct sched *s, struct session *se, bool kill);
void session_expire_due(struct sched *s);
uint64_t session_expiry_ms(const struct sched *s); /* UINT64_MAX: no session */

/* In the hungry list or not, by its credit. */
void session_settle(struct sched *s, struct session *se);
bool session_fits(const struct session *se, uint32_t input_bytes);
void session_free(struct sched *s, struct session *se); /* without any action */

#endif
