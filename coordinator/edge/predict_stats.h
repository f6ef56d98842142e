/*
 * predict_stats.h: what came of the requests for one model, counted for /metrics.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_PREDICT_STATS_H
#define DROVER_PREDICT_STATS_H

#include "common/buf.h"

enum {
    PREDICT_TIMES = 16, /* at most 0.1 ms times 2^i; the last: everything longer */
    PREDICT_SIZES = 12  /* at most 2^i rows; the last: everything more */
};

enum predict_outcome {
    PREDICT_OK,
    PREDICT_REJECTED,    /* rows that the model does not take */
    PREDICT_FULL,        /* the queue was */
    PREDICT_TIMEOUT,     /* no answer before the deadline */
    PREDICT_UNAVAILABLE, /* no worker, an open breaker, a model that cannot be loaded */
    PREDICT_OUTCOMES
};

struct predict_stats {
    uint64_t requests[PREDICT_OUTCOMES];
    uint64_t rows; /* answered */
    uint64_t times[PREDICT_TIMES], time_us;
    uint64_t sizes[PREDICT_SIZES], batch_rows;
};

void predict_stats_request(struct predict_stats *s, enum predict_outcome outcome, uint32_t rows,
                           uint64_t took_us);
void predict_stats_batch(struct predict_stats *s, uint32_t rows);
const char *predict_outcome_name(enum predict_outcome outcome);

/* Lines of the exposition format: buckets, _sum and _count. labels: without braces. */
void predict_stats_times(const struct predict_stats *s, struct buf *out, const char *name,
                         const char *labels);
void predict_stats_sizes(const struct predict_stats *s, struct buf *out, const char *name,
                         const char *labels);

#endif
