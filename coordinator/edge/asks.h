/*
 * asks.h: questions to sinks on behalf of a client's request, which waits for the answers without
 * holding up the loop: does the job fit its tables (job.submit), does a sink answer (sink.check).
 *
 * All sinks are asked at once; a sink that does not answer costs SINK_ANSWER_MS (sink_thread.h), so
 * that the client hears before it gives up.
 *
 * Thread rule: the loop thread.
 */
#ifndef DROVER_ASKS_H
#define DROVER_ASKS_H

#include "coordinator/edge/front.h"
#include "coordinator/edge/sink_thread.h"

/* One question of a call, in the call's arena. */
struct ask {
    struct sink_request request; /* first: what comes back is cast */
    struct call *call;
    size_t index; /* of the sink within the job */
    bool skipped; /* its breaker is open: it was not asked; request.rc says UNAVAILABLE */
};

/* Asks the sinks of call->spec whether the job fits; call->asks has the answers when `then` runs,
 * at once when there is nobody to ask. NOMEM. */
int asks_fits(struct call *c, void (*then)(struct call *c), struct error *error) MUST_CHECK;
/* Asks each of the n sinks, by index in the table, whether it answers. */
int asks_check(struct call *c, const size_t *sinks, size_t n, void (*then)(struct call *c),
               struct error *error) MUST_CHECK;

#endif
