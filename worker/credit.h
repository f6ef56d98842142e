/*
 * credit.h: how much the worker asks for. Credit = free slots + a small prefill, in tasks and in
 * bytes of input; announced as totals since the session began, so that a lost or repeated message
 * does no harm.
 *
 *     tasks = assigned so far + max(0, slots + prefill - in hand)
 *
 * The prefill is what the worker finishes in CREDIT_PREFILL_MS, so that it does not run dry while a
 * message is on its way: a handful for tasks of a second, some thousands for tasks of microseconds.
 * Rows that land shrink the window in proportion to their share of the budget, so that a sink that slows
 * takes work away before anything fails. Nothing is asked for while draining, while the lease is in
 * doubt, or while the results that wait for their acknowledgement, or the rows that land, pass the budget.
 *
 * Thread rule: pure functions on a struct of one owner.
 */
#ifndef DROVER_CREDIT_H
#define DROVER_CREDIT_H

#include "common/wire.h"

enum {
    CREDIT_PREFILL_MS = 50,
    CREDIT_PREFILL_MIN = 1,
    CREDIT_PREFILL_MAX = 4096,
    CREDIT_INPUT_BYTES = 8 * 1024 * 1024, /* of inputs in hand */
    CREDIT_RESULTS_MAX = 8192             /* finished, not acknowledged: the store sets the pace */
};

struct credit {
    uint32_t slots;
    uint64_t result_budget_bytes;
    uint32_t prefill;
    uint64_t measured_ms, measured_finished; /* the last measurement */
    struct wire_credit assigned;             /* in this session */
    struct wire_credit announced;            /* in this session */
};

struct credit_state {
    size_t in_hand;         /* tasks that wait or run */
    uint64_t input_bytes;   /* of them */
    size_t results;         /* finished, not acknowledged */
    uint64_t result_bytes;  /* of them */
    uint64_t landing_bytes; /* of rows on their way into sinks; `results` counts their tasks */
    uint64_t finished;      /* tasks since the process began */
    bool closed;            /* draining, or the lease is in doubt */
};

void credit_init(struct credit *c, uint32_t slots, uint64_t result_budget_bytes, uint64_t now_ms);
void credit_session(struct credit *c); /* a new session: the totals begin at 0 */
void credit_assigned(struct credit *c, size_t tasks, uint64_t bytes);
void credit_measure(struct credit *c, const struct credit_state *state, uint64_t now_ms);

/* What to announce now; false: what was announced is near enough. */
bool credit_due(const struct credit *c, const struct credit_state *state, struct wire_credit *ret);

#endif
