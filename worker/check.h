/*
 * check.h: `drover-worker --check`: what is right and wrong on this machine for a worker, a line for
 * each thing, and how to mend what is wrong. It opens no session, so that it may be run beside a
 * worker that serves.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_CHECK_H
#define DROVER_CHECK_H

#include "common/config.h"

/* Prints to standard output. True: nothing is wrong. */
bool check_run(const struct config *c);

#endif
