/*
 * predict_breaker.h: whether a model is asked at all. See predict.h for the states.
 *
 * Thread rule: one thread; it reads no clock.
 */
#ifndef DROVER_PREDICT_BREAKER_H
#define DROVER_PREDICT_BREAKER_H

#include "common/err.h"

struct predict_breaker {
    uint32_t failures; /* in a row */
    bool open, probing;
    uint64_t until_ms; /* when open: no probe before */
    uint64_t pause_ms; /* the one that until_ms came from */
    char error[300];   /* of the last failure */
};

/* Whether a batch may be sent now; when it is the probe, no other one until it is answered. */
bool predict_breaker_lets(const struct predict_breaker *b, uint64_t now_ms);
void predict_breaker_sent(struct predict_breaker *b);
void predict_breaker_good(struct predict_breaker *b);
/* True: it opened by this. */
bool predict_breaker_bad(struct predict_breaker *b, uint64_t now_ms, const char *why);
/* The probe came to nothing that says anything of the model. */
void predict_breaker_void(struct predict_breaker *b);

#endif
