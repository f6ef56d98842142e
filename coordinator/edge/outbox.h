/*
 * outbox.h: what one turn gives to the sessions, collected and sent as few messages: RESULT_ACK,
 * REVOKE, BREAKER and ASSIGN of up to WIRE_TASKS_MAX tasks or OUTBOX_MESSAGE_BYTES. Before the first
 * ASSIGN with a job that names a sink, SINK tells the session where that is.
 *
 * Inputs that are not in memory are read through the store's thread, many in one request; the
 * ASSIGN leaves when they are there. A lease that is revoked meanwhile is never sent.
 *
 * Thread rule: the loop thread; fetch requests run on the store's thread and touch only themselves.
 */
#ifndef DROVER_OUTBOX_H
#define DROVER_OUTBOX_H

#include "coordinator/edge/sessions.h"

enum { OUTBOX_MESSAGE_BYTES = 1024 * 1024 };

void outbox_assign(struct edge *e, struct session *s, const struct assign *a);
void outbox_ack(struct edge *e, struct session *s, const struct verdict *v);
void outbox_revoke(struct edge *e, struct session *s, const struct verdict *v);
/* Of several words about one downstream in a turn the last one counts. */
void outbox_breaker(struct edge *e, struct session *s, const struct told *t);
void outbox_flush(struct edge *e);

/* The session ends: what it has here is dropped. Fetches under way come back and find it gone. */
void outbox_forget(struct edge *e, struct session *s);

#endif
