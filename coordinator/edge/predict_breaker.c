#include "predict_breaker.h"

#include <stdio.h>

#include "coordinator/edge/predict.h"

bool predict_breaker_lets(const struct predict_breaker *b, uint64_t now_ms)
{
    return !b->open || (!b->probing && now_ms >= b->until_ms);
}

void predict_breaker_sent(struct predict_breaker *b)
{
    b->probing = b->open;
}

void predict_breaker_good(struct predict_breaker *b)
{
    *b = (struct predict_breaker){0};
}

bool predict_breaker_bad(struct predict_breaker *b, uint64_t now_ms, const char *why)
{
    bool was_open = b->open;
    snprintf(b->error, sizeof(b->error), "%s", why);
    b->failures++;
    if (b->open && !b->probing)
        return false; /* sent before it opened */
    b->probing = false;
    if (!b->open && b->failures < PREDICT_FAILURES)
        return false;
    b->pause_ms = b->open ? MIN(b->pause_ms * 2, (uint64_t)PREDICT_PAUSE_MAX_MS) : PREDICT_PAUSE_MS;
    b->open = true;
    b->until_ms = now_ms + b->pause_ms;
    return !was_open;
}

void predict_breaker_void(struct predict_breaker *b)
{
    b->probing = false;
}
