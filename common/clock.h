/*
 * clock.h: the clocks, read in one place so that nothing else mixes them up. Durations and deadlines
 * use clock_ms(); only what people read or what is kept on disk uses clock_wall_ms().
 *
 * Thread rule: any thread.
 */
#ifndef DROVER_CLOCK_H
#define DROVER_CLOCK_H

#include "base.h"

enum { CLOCK_TEXT_LEN = 25 }; /* "2026-11-20T08:15:30.123Z" and NUL */

uint64_t clock_ms(void);     /* monotonic (CLOCK_MONOTONIC), milliseconds */
uint64_t clock_us(void);     /* monotonic, microseconds */
int64_t clock_wall_ms(void); /* Unix time, milliseconds */

/* RFC 3339 in UTC with milliseconds. Years outside 0 to 9999 are written as the nearest of them. */
void clock_rfc3339(int64_t unix_ms, char ret[CLOCK_TEXT_LEN]);

#endif
