/*
 * view.h: reads the scheduler's state for status and metrics (the functions of sched.h). Totals and the view of
 * a job take constant time; a breaker's walks the jobs that need it (a host's the groups on it), a task's its
 * group. It changes nothing.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_CORE_VIEW_H
#define DROVER_CORE_VIEW_H

#include "common/base.h"

struct sched;

uint64_t view_memory_bytes(const struct sched *s); /* held from the system, without the actions */

#endif
