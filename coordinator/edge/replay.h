/*
 * replay.h: what the store has, told to the scheduler at start: open jobs, their pending tasks, the
 * workers that are drained. It runs before the store gets its thread and before any socket is
 * bound.
 *
 * Thread rule: the loop thread, at start.
 */
#ifndef DROVER_REPLAY_H
#define DROVER_REPLAY_H

#include "coordinator/edge/edge.h"

/* A job whose description this build cannot read (an engine that it lacks) is left in the store and
 * logged; it goes on when a build that can read it starts. */
int replay_store(struct edge *e, struct store *store, struct error *error) MUST_CHECK;

#endif
