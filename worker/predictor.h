/*
 * predictor.h: predictions: rows that somebody waits for, scored beside the tasks by threads of their own,
 * so that no task stands in their way. Nothing is kept: what belongs to a session that is over is dropped.
 *
 *    taken --> [waiting for the model's blobs] --> [on a thread] --> [answered] --> told, forgotten
 *        '------- the model is loaded already ---------^
 *
 * It sends nothing: agent.c asks for the next answer.
 *
 * Thread rule: the session thread.
 */
#ifndef DROVER_PREDICTOR_H
#define DROVER_PREDICTOR_H

#include "common/wire.h"
#include "worker/cache.h"

enum {
    PREDICTOR_THREADS = 4, /* started when there is something to do */
    PREDICTOR_MAX = 256    /* in hand; more are refused with UNAVAILABLE */
};

struct predictor;

/* cache: borrowed, and outlives it. */
int predictor_new(struct cache *cache, struct predictor **ret, struct error *e) MUST_CHECK;
void predictor_free(struct predictor *p); /* takes NULL; waits for what runs */

void predictor_take(struct predictor *p, const struct wire_predict *m);
void predictor_session(struct predictor *p); /* a session begins: what came before is nobody's */

int predictor_fd(const struct predictor *p); /* readable: predictor_pump has something to do */
/* Starts what has its blobs now; takes what is done. */
void predictor_pump(struct predictor *p);
/* The next answer, valid until the next call; false: there is none. */
bool predictor_next(struct predictor *p, struct wire_predicted *ret);
bool predictor_idle(const struct predictor *p); /* nothing is in hand */

#endif
