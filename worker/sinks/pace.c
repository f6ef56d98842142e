#include "pace.h"

enum { SMOOTHING = 8 /* a commit moves the mean by one part in so many */ };

void pace_init(struct pace *p)
{
    *p = (struct pace){.rows = PACE_ROWS_FIRST};
}

double pace_target_ms(const struct pace *p)
{
    return MAX(2 * p->floor_ms, (double)PACE_TARGET_MS);
}

static void shrink(struct pace *p, uint64_t now_ms)
{
    p->rows = MAX(p->rows / 2, (uint32_t)PACE_ROWS_MIN);
    p->shrunk_ms = now_ms;
}

void pace_committed(struct pace *p, bool full, uint64_t began_ms, uint64_t now_ms)
{
    const double took_ms = (double)(now_ms - began_ms);
    p->floor_ms += p->floor_ms / PACE_FLOOR_COMMITS;
    if (p->latency_ms == 0 || took_ms < p->floor_ms)
        p->floor_ms = took_ms;
    if (p->latency_ms == 0)
        p->latency_ms = MAX(took_ms, 0.5);
    else
        p->latency_ms += (took_ms - p->latency_ms) / SMOOTHING;
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
