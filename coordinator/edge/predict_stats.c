#include "predict_stats.h"

#include <inttypes.h>

static size_t bucket(uint64_t value, uint64_t first, size_t n)
{
    size_t i = 0;
    while (i + 1 < n && value > first << i)
        i++;
    return i;
}

void predict_stats_request(struct predict_stats *s, enum predict_outcome outcome, uint32_t rows,
                           uint64_t took_us)
{
    s->requests[outcome]++;
    if (outcome != PREDICT_OK)
        return;
    s->rows += rows;
    s->times[bucket(took_us, 100, PREDICT_TIMES)]++;
    s->time_us += took_us;
}

void predict_stats_batch(struct predict_stats *s, uint32_t rows)
{
    s->sizes[bucket(rows, 1, PREDICT_SIZES)]++;
    s->batch_rows += rows;
}

const char *predict_outcome_name(enum predict_outcome outcome)
{
    static const char *const names[] = {
        [PREDICT_OK] = "ok",
        [PREDICT_REJECTED] = "rejected",
        [PREDICT_FULL] = "full",
        [PREDICT_TIMEOUT] = "timeout",
        [PREDICT_UNAVAILABLE] = "unavailable",
    };
    return names[outcome];
}

static void render(const uint64_t *buckets, size_t n, double first, double sum, struct buf *out,
                   const char *name, const char *labels)
{
    uint64_t count = 0;
    for (size_t i = 0; i + 1 < n; i++, first *= 2) {
        count += buckets[i];
        buf_printf(out, "%s_bucket{%s,le=\"%g\"} %" PRIu64 "\n", name, labels, first, count);
    }
    count += buckets[n - 1];
    buf_printf(out, "%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n", name, labels, count);
    buf_printf(out, "%s_sum{%s} %.15g\n%s_count{%s} %" PRIu64 "\n", name, labels, sum, name, labels,
               count);
}

void predict_stats_times(const struct predict_stats *s, struct buf *out, const char *name,
                         const char *labels)
{
    render(s->times, PREDICT_TIMES, 0.0001, (double)s->time_us / 1e6, out, name, labels);
}

void predict_stats_sizes(const struct predict_stats *s, struct buf *out, const char *name,
                         const char *labels)
{
    render(s->sizes, PREDICT_SIZES, 1, (double)s->batch_rows, out, name, labels);
}
