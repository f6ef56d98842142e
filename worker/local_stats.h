/*
 * local_stats.h: what a job that runs alone came to, in numbers.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_LOCAL_STATS_H
#define DROVER_LOCAL_STATS_H

#include "common/err.h"
#include "tally.h"

struct local_stats {
    struct tally stats, reasons;
    uint64_t n_inputs, n_duplicates, n_found, n_beyond, n_tasks_done, n_rows, n_rejects, n_retries;
    uint64_t n_failed; /* tasks that failed as a whole, for good */
    uint64_t n_lost; /* inputs that came to nothing, because their tasks failed or they cannot be */
    char first_reject[400]; /* with its reason and detail; "" without rejects */
};

/* As one object, which the caller decrefs. */
int local_stats_json(const struct local_stats *s, const char *state, double seconds, json_t **ret,
                     struct error *e) MUST_CHECK;
/* Inputs and rows that came to nothing, those that are only counted too. */
uint64_t local_stats_rejects(const struct local_stats *s);
void local_stats_done(struct local_stats *s);

#endif
