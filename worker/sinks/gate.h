/*
 * gate.h: whether this worker may call one of its sinks now: what the coordinator said of it, and the
 * worker's own caution after a failure. It counts what came of the calls, for CALLS.
 *
 *            told OPEN            told PROBE             the call is over
 *   CLOSED ------------> OPEN ------------------> PROBE ------------------> OPEN
 *      ^                  |  ^ told OPEN            |
 *      '------------------'--'----------------------'  told CLOSED, or a new session
 *   QUARANTINED: told; what waits is given back, and nothing is called until told CLOSED.
 *
 * In every state a failure keeps the gate shut for 1.25 s, doubling to 10 s, and up to half of it more by
 * chance: a worker that is cut off from the coordinator fails fast by itself, and of a fleet that has not
 * been told yet each fails about once before it is (the coordinator waits for 1 s without a success).
 *
 * Thread rule: pure functions on a struct of one owner; time is passed in.
 */
#ifndef DROVER_GATE_H
#define DROVER_GATE_H

#include "common/wire.h"

enum {
    GATE_BACKOFF_MS = 1250,
    GATE_BACKOFF_MAX_MS = 10000,
    GATE_SLOW_MS = 2000, /* a call that took longer is slow */
    GATE_ERROR_LEN = 200
};

struct gate {
    enum wire_breaker_state told;
    bool calling;        /* PROBE: its one call is under way or done */
    uint32_t backoff_ms; /* after the next failure; 0: the last call went well */
    uint64_t shut_until_ms;
    uint64_t random;
    /* since gate_take */
    uint32_t ok, fail, slow;
    uint32_t row; /* failures since the last success, told or not */
    bool
        urgent; /* to be told at once: a first failure, a probe's outcome, rows that begin to wait */
    bool waited; /* rows waited, when it was last told */
    char error[GATE_ERROR_LEN];
};

void gate_init(struct gate *g, uint64_t seed);
void gate_session(struct gate *g); /* nothing was said in this session yet */
void gate_tell(struct gate *g, enum wire_breaker_state state, uint32_t waiting);

/* When a call may begin; UINT64_MAX: not before something is said. */
uint64_t gate_next_ms(const struct gate *g);
void gate_called(struct gate *g); /* it begins */
/* It is over. error: of a failure, in the downstream's words; NULL: it went well. */
void gate_done(struct gate *g, uint64_t took_ms, const char *error, uint64_t now_ms);

/* Whether there is something to tell, given how many tasks' rows wait now. */
bool gate_news(const struct gate *g, uint32_t waiting);
bool gate_urgent(const struct gate *g, uint32_t waiting);
/* What is to be told; counts from here anew. The text stays valid until the next gate_done. */
void gate_take(struct gate *g, uint32_t waiting, struct wire_calls *ret);

#endif
