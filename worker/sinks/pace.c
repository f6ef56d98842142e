#include "pace.h"

enum {
    SMOOTHING = 8,      /* a commit moves the mean by one part in so many */
    FADING = 16,        /* a commit is worth so much less when the next one comes */
    SPREAD_PERCENT = 10 /* rows that differ less around their mean make no line */
};

void pace_init(struct pace *p)
{
    *p = (struct pace){.rows = PACE_ROWS_FIRST};
}

double pace_target_ms(const struct pace *p)
{
    const double ms = MAX(2 * p->fixed_ms, (double)PACE_TARGET_MS);
    return MIN(ms, (double)PACE_TARGET_MAX_MS);
}

static void shrink(struct pace *p, uint64_t now_ms)
{
    p->rows = MAX(p->rows / 2, (uint32_t)PACE_ROWS_MIN);
    p->shrunk_ms = now_ms;
}

static void fit(struct pace *p, double rows, double ms)
{
    double *const sums[] = {&p->n, &p->x, &p->y, &p->xx, &p->xy};
    const double add[] = {1, rows, ms, rows * rows, rows * ms};
    for (size_t i = 0; i < ARRAY_LEN(sums); i++)
        *sums[i] += add[i] - *sums[i] / FADING;
    const double mean = p->x / p->n, variance = p->xx / p->n - mean * mean;
    const double least = mean * SPREAD_PERCENT / 100;
    p->fixed_ms = MIN(p->fixed_ms, p->y / p->n); /* no line: what is known, unless it got quicker */
    if (variance <= least * least)
        return;
    const double row_ms = (p->xy / p->n - mean * p->y / p->n) / variance;
    const double rows_ms = MAX(row_ms, 0.0) * mean;
    p->fixed_ms = MAX(p->y / p->n - rows_ms, 0.0);
}

void pace_committed(struct pace *p, uint32_t rows, bool full, uint64_t began_ms, uint64_t now_ms)
{
    const double took_ms = (double)(now_ms - began_ms);
    p->latency_ms =
        p->latency_ms == 0 ? took_ms : p->latency_ms + (took_ms - p->latency_ms) / SMOOTHING;
    fit(p, rows, took_ms);
    if (took_ms > pace_target_ms(p)) {
        if (began_ms >= p->shrunk_ms) /* the size that was shrunk already is not to blame twice */
            shrink(p, now_ms);
    } else if (full) {
        p->rows = MIN(p->rows + PACE_ROWS_STEP, (uint32_t)PACE_ROWS_MAX);
    }
}

void pace_failed(struct pace *p, uint64_t now_ms)
{
    shrink(p, now_ms);
}

uint32_t pace_linger_ms(const struct pace *p)
{
    const double ms = MIN(p->latency_ms, (double)PACE_LINGER_MAX_MS);
    return MAX((uint32_t)ms, (uint32_t)PACE_LINGER_MIN_MS);
}
