/*
 * histogram.h: durations counted in buckets that grow by 1, 2, 5, 10 ...: totals since the start
 * for /metrics, and the same with a fading memory for a quantile of the last minutes.
 *
 * It refuses to keep single values: memory is the same however many come.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_HISTOGRAM_H
#define DROVER_HISTOGRAM_H

#include "common/buf.h"

enum { HISTOGRAM_BUCKETS = 22 }; /* 1 ms to 5,000 s, and what is longer */

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS]; /* each value in one bucket */
    uint64_t sum_ms;
};

/* Zeroed memory is an empty one. */
void histogram_add(struct histogram *h, uint64_t ms);

/* Lines of the exposition format: NAME_bucket, NAME_sum and NAME_count, in seconds. labels: without
 * braces, not empty. */
void histogram_render(const struct histogram *h, struct buf *out, const char *name,
                      const char *labels);

/* What came lately: a value loses half of its weight in HISTOGRAM_HALF_S seconds. */
enum { HISTOGRAM_HALF_S = 60 };

struct histogram_recent {
    double weights[HISTOGRAM_BUCKETS];
};

void histogram_recent_add(struct histogram_recent *r, uint64_t ms);
void histogram_recent_fade(struct histogram_recent *r, double seconds); /* so many went by */

/* The q-quantile (0 to 1) in seconds, linear inside its bucket as Prometheus' histogram_quantile()
 * has it; the last bucket counts as its lower end. Negative: not known, nothing came lately. */
double histogram_recent_quantile(const struct histogram_recent *r, double q);

#endif
