/*
 * capture.h: a capture as rows: one for each flow (flow.h), with the columns of docs/TRANSFORM.md.
 * Packets that belong to no flow (no IP, or headers that are cut or damaged) are counted.
 *
 * Thread rule: one owner at a time.
 */
#ifndef DROVER_TRANSFORM_CAPTURE_H
#define DROVER_TRANSFORM_CAPTURE_H

#include "common/batch.h"
#include "flow.h"

struct capture_options {
    int64_t idle_s, active_s;
    uint32_t table_max; /* flows at a time */
};

/* Takes rows, valid during the call; true in *ret_enough: no more are wanted. */
typedef int capture_rows_fn(void *user, const struct batch *rows, bool *ret_enough,
                            struct error *e);

struct capture_counts {
    uint64_t packets, skipped;
    bool cut; /* the capture ended in the middle of a packet */
};

/* An empty batch with the columns. NULL: no memory. */
struct batch *capture_columns(void) MUST_CHECK;

int capture_read(const struct capture_options *o, csv_read_fn *read, void *read_user,
                 capture_rows_fn *rows, void *rows_user, struct capture_counts *ret,
                 struct error *e) MUST_CHECK;

#endif
