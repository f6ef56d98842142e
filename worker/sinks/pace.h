/*
 * pace.h: how many rows a batch has and how long rows wait for others, in a closed loop with how long
 * a commit takes.
 *
 * Additive increase: a batch that was full and quick makes the next ones larger by PACE_ROWS_STEP.
 * Multiplicative decrease: one above the target latency halves them, at most once for what was under way
 * together. The target is PACE_TARGET_MS, or twice the part of a commit that its rows do not cause when that
 * is more: the way to a far datacentre or a synchronous replica is no reason for small batches. That part
 * is where the line through the latest commits (rows, milliseconds; least squares, older ones fade) meets
 * no rows. While all have about the same rows there is no such line; a decrease makes one.
 *
 * Rows wait for others about as long as a commit takes: then waiting at most doubles the time until
 * they are there, and at least halves the number of commits.
 *
 * Thread rule: pure functions on a struct of one owner (the batcher, under its lock).
 */
#ifndef DROVER_PACE_H
#define DROVER_PACE_H

#include "common/base.h"

enum {
    PACE_ROWS_MIN = 100,
    PACE_ROWS_FIRST = 1000,
    PACE_ROWS_MAX = 10000, /* from here on a ledger costs nothing that can be measured */
    PACE_ROWS_STEP = 500,
    PACE_TARGET_MS = 250,
    PACE_TARGET_MAX_MS = 4000,
    PACE_LINGER_MIN_MS = 2,
    PACE_LINGER_MAX_MS = 40 /* with the commit, rows land within about 50 ms under light load */
};

struct pace {
    uint32_t rows;          /* of a batch at most, unless one landing alone has more */
    double latency_ms;      /* of commits, smoothed; 0: none yet */
    double fixed_ms;        /* the part of it that rows do not cause; 0: none, or not known */
    uint64_t shrunk_ms;     /* when rows was last halved */
    double n, x, y, xx, xy; /* sums over commits that fade: 1, rows, ms, rows², rows * ms */
};

void pace_init(struct pace *p);
/* A batch was written. full: it had as many rows as it might have. began_ms: when its writing did. */
void pace_committed(struct pace *p, uint32_t rows, bool full, uint64_t began_ms, uint64_t now_ms);
void pace_failed(struct pace *p, uint64_t now_ms);
uint32_t pace_linger_ms(const struct pace *p);
double pace_target_ms(const struct pace *p);

#endif
