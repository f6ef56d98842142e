/*
 * retry.h: how long a failed task waits: exponential backoff with full jitter. Uniform between 0
 * and min(cap, base * 2^(n-1)) before attempt n+1 ("Exponential Backoff And Jitter", AWS
 * Architecture Blog, 2015: full jitter makes the fewest calls of the ways compared).
 *
 * Randomness comes from the seed in the configuration alone, so a run can be repeated.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_CORE_RETRY_H
#define DROVER_CORE_RETRY_H

#include "common/base.h"

struct retry_rng {
    uint64_t state;
};

uint64_t retry_random(struct retry_rng *r); /* splitmix64 (Steele, Lea, Flood 2014) */

/* The upper end of the wait after `attempts` failed ones (from 1), in milliseconds. */
uint64_t retry_ceiling_ms(uint32_t base_ms, uint32_t max_ms, uint32_t attempts);

/* The wait itself; never below floor_ms (Retry-After). */
uint64_t retry_delay_ms(struct retry_rng *r, uint32_t base_ms, uint32_t max_ms, uint32_t attempts,
                        uint32_t floor_ms);

#endif
