/*
 * held.h: the tasks that this worker has a lease on, from ASSIGN until the coordinator says that the
 * result is durable or no longer wanted. It outlives sessions: what is in it is listed in HELLO, and
 * results that were not acknowledged are sent again.
 *
 *             held_start           held_finish         held_next (sent)
 *    [WAITING] --------> [RUNNING] -----------> [READY] <---------------> [SENT]
 *        |                   | held_land         |   ^   held_resend      |  |
 *        |                   '------> [LANDING] -+---' held_finish        |  |
 *        |                                ^------' held_land -------------'  |
 *        '------- held_forget (acknowledged, revoked) from any state --------'
 *
 * LANDING: it has run, and its rows are on their way into sinks. One that must ask first is READY and
 * SENT twice: with its question, and with its result.
 *
 * A state is a list: the state of an entry is the list that it is on. It starts nothing and sends
 * nothing. Two leases of one task are never held at once.
 *
 * Thread rule: the session thread.
 */
#ifndef DROVER_HELD_H
#define DROVER_HELD_H

#include "common/wire.h"

enum held_state { HELD_WAITING, HELD_RUNNING, HELD_LANDING, HELD_READY, HELD_SENT, HELD_STATES };

struct held {
    struct wire_token token;
    enum held_state state;
    uint64_t job;
    uint32_t input_bytes;
    uint32_t rows;   /* READY, SENT: of the result */
    bool failed;     /* READY, SENT: the outcome is not DONE */
    void *run;       /* the owner's, until its result is READY */
    uint8_t *result; /* READY, SENT: one packed wire_result; owned */
    size_t result_bytes;
    struct held *prev, *next; /* in its list */
    struct held *chain;       /* in its hash bucket */
};

struct held_list {
    struct held *first, *last;
    size_t n;
};

struct held_table {
    struct held_list lists[HELD_STATES];
    struct held **buckets;
    size_t n_buckets, n;   /* n_buckets is a power of two */
    uint64_t input_bytes;  /* of WAITING and RUNNING */
    uint64_t result_bytes; /* of READY and SENT */
};

int held_init(struct held_table *t) MUST_CHECK; /* NOMEM */
void held_done(struct held_table *t);           /* the owner has taken back every run */

/* A new lease, WAITING. NULL: no memory. The task must not be held (asserted). */
struct held *held_add(struct held_table *t, struct wire_token token, uint64_t job,
                      uint32_t input_bytes) MUST_CHECK;
struct held *held_find(const struct held_table *t, uint64_t task);

void held_start(struct held_table *t, struct held *h);
/* Of WAITING and RUNNING, or of READY and SENT, whose bytes (a question) are freed. */
void held_land(struct held_table *t, struct held *h);
/* Takes the bytes (malloc); of an entry that is not READY or SENT. */
void held_finish(struct held_table *t, struct held *h, uint8_t *result_take, size_t bytes);
/* The oldest READY entry becomes SENT; NULL when there is none. */
struct held *held_next(struct held_table *t);
/* A new session: everything SENT is READY again, in the old order and before what is READY. */
void held_resend(struct held_table *t);
void held_forget(struct held_table *t, struct held *h); /* frees it; run was taken back */

/* The tokens of all entries; the caller frees. NULL with *ret_n 0: none or no memory (then *ret_n is
 * not 0). */
struct wire_token *held_tokens(const struct held_table *t, size_t *ret_n) MUST_CHECK;

static inline size_t held_count(const struct held_table *t, enum held_state state)
{
    return t->lists[state].n;
}

#endif
