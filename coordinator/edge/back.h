/*
 * back.h: what workers say. Reads frames of the back socket, checks who speaks and whether the
 * numbers follow one another, and turns each message into events of the scheduler.
 *
 * A bad frame costs its sender's session at most; it never ends the process. It refuses to decide
 * anything about tasks.
 *
 * Thread rule: the loop thread.
 */
#ifndef DROVER_BACK_H
#define DROVER_BACK_H

#include "coordinator/edge/edge.h"

/* Reads what is there, up to max messages. True: there may be more. */
bool back_receive(struct edge *e, size_t max);

#endif
