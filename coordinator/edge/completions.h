/*
 * completions.h: results of workers on their way into the store.
 *
 * A RESULT message is kept whole (struct inbox) until everything in it is durable or discarded;
 * what the scheduler decides to write (SCHED_ACT_COMPLETE) is collected over a turn and goes to the
 * store's thread as one request, inside one transaction; what comes back becomes
 * SCHED_EV_COMPLETED. On a full disk the request is made again until there is room: the tasks stay
 * with their workers, unacknowledged.
 *
 * Thread rule: the loop thread; a request's run touches only the request.
 */
#ifndef DROVER_COMPLETIONS_H
#define DROVER_COMPLETIONS_H

#include "common/transport.h"
#include "common/wire.h"
#include "coordinator/edge/edge.h"

enum { COMPLETIONS_GROUP = 500 }; /* tasks in one request */

/* One received message and what was read from it. */
struct inbox {
    struct transport_message message;
    bool received; /* the message is there and must be given back */
    struct arena arena;
    uint32_t refs;
    struct inbox *next; /* of the free list */
};

struct completions;

struct completions *completions_new(struct edge *e) MUST_CHECK;
void completions_free(struct completions *c);

/* An empty inbox with one reference, from the pool. NULL: no memory. */
struct inbox *completions_inbox(struct completions *c);
void completions_inbox_unref(struct completions *c, struct inbox *in);

/* The payload of a SCHED_EV_RESULT: lives in the inbox's arena and holds a reference to it. NULL:
 * no memory. */
void *completions_payload(struct inbox *in, const struct wire_result *result);
void completions_discard(struct completions *c, void *payload);

/* SCHED_ACT_COMPLETE. */
void completions_add(struct completions *c, const struct sched_action *a);
void completions_flush(struct completions *c);

size_t completions_pending(const struct completions *c); /* tasks not yet answered by the store */

#endif
