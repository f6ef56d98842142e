/*
 * session.h: one connection life of one worker: what it holds, what it may still be given, when it
 * was last heard.
 *
 *              HELLO                  silent for lease_ms, BYE, the worker's next HELLO
 *     none ───────────▶ LIVE ─────────────────────────────────────────────────────────▶ none
 *                         │ LOST: its connection is gone                                  ▲
 *                         └──────────────────────────▶ BROKEN ───────────────────────────┘
 *
 * A broken session is given nothing. What it holds of keys without a limit goes to others at once;
 * what it holds of limited keys stays its own until its lease is over, since a worker without a
 * connection may live, and go on until then. When it comes back in time it keeps that.
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

/* A connection that breaks while its worker was heard so recently was closed. One that breaks later may
 * have been given up by the transport (its heartbeats time out after 6 s) because the process stands
 * still, with requests under way that nobody ends. */
enum { SESSION_CLOSED_MS = 5000 };

struct shard;

struct session {
    struct session_id id;
    struct shard *shard;
    uint32_t slots, leased;
    uint64_t granted_tasks, granted_bytes; /* by the worker */
    uint64_t given_tasks, given_bytes;     /* assigned so far */
    uint64_t heard_ms;                     /* in listened time */
    bool broken;                           /* its connection is gone */
    bool closed; /* broken, and that came without a silence before: its process was not stopped */
    bool silent; /* its lease is over */
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
/* Its connection is gone. */
void session_broken(struct sched *s, struct session *se);
/* When the worker of a session that is broken or silent begins nothing more; 0: it is neither. */
uint64_t session_begins_end_ms(const struct sched *s, const struct session *se);
void session_expire_due(struct sched *s);
uint64_t session_expiry_ms(const struct sched *s); /* UINT64_MAX: no session */

/* In the hungry list or not, by its credit. */
void session_settle(struct sched *s, struct session *se);
bool session_fits(const struct session *se, uint32_t input_bytes);
void session_free(struct sched *s, struct session *se); /* without any action */

#endif
