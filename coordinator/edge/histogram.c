#include "histogram.h"

#include <inttypes.h>
#include <math.h>

/* Upper ends, inclusive; the last bucket has none. */
static const uint32_t ends_ms[HISTOGRAM_BUCKETS - 1] = {1,      2,      5,      10,      20,
                                                        50,     100,    200,    500,     1000,
                                                        2000,   5000,   10000,  20000,   50000,
                                                        100000, 200000, 500000, 1000000, 2000000,
                                                        5000000};

static size_t bucket_of(uint64_t ms)
{
    size_t i = 0;
    while (i < ARRAY_LEN(ends_ms) && ms > ends_ms[i])
        i++;
    return i;
}

void histogram_add(struct histogram *h, uint64_t ms)
{
    h->counts[bucket_of(ms)]++;
    h->sum_ms += ms;
}

void histogram_render(const struct histogram *h, struct buf *out, const char *name,
                      const char *labels)
{
    uint64_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(ends_ms); i++) {
        n += h->counts[i];
        buf_printf(out, "%s_bucket{%s,le=\"%g\"} %" PRIu64 "\n", name, labels, ends_ms[i] / 1000.0,
                   n);
    }
    n += h->counts[HISTOGRAM_BUCKETS - 1];
    buf_printf(out, "%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n", name, labels, n);
    buf_printf(out, "%s_sum{%s} %.3f\n", name, labels, (double)h->sum_ms / 1000.0);
    buf_printf(out, "%s_count{%s} %" PRIu64 "\n", name, labels, n);
}

void histogram_recent_add(struct histogram_recent *r, uint64_t ms)
{
    r->weights[bucket_of(ms)] += 1.0;
}

void histogram_recent_fade(struct histogram_recent *r, double seconds)
{
    double keep = exp2(-seconds / HISTOGRAM_HALF_S);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        r->weights[i] *= keep;
}

double histogram_recent_quantile(const struct histogram_recent *r, double q)
{
    const double forgotten = 0.01; /* the rest of a single value, after some seven half-lives */
    double total = 0, below = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        total += r->weights[i];
    if (total < forgotten)
        return -1.0;
    for (size_t i = 0; i < ARRAY_LEN(ends_ms); i++) {
        double low = i > 0 ? ends_ms[i - 1] / 1000.0 : 0.0, high = ends_ms[i] / 1000.0;
        if (below + r->weights[i] >= q * total && r->weights[i] > 0)
            return low + (high - low) * (q * total - below) / r->weights[i];
        below += r->weights[i];
    }
    return ends_ms[ARRAY_LEN(ends_ms) - 1] / 1000.0;
}
