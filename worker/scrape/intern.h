/*
 * intern.h: strings that live as long as the process, one copy of each: the names of counters, which
 * outlive the job that they come from. Bounded: past the limit there is no new one.
 *
 * Thread rule: any thread.
 */
#ifndef DROVER_INTERN_H
#define DROVER_INTERN_H

#include "common/base.h"

enum { INTERN_STRINGS_MAX = 65536 };

/* NULL: no memory, or the limit. */
const char *intern(const char *s) MUST_CHECK;

#endif
