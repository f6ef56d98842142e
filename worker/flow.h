/*
 * flow.h: rows on their way through the stages of a pipeline after the one that made them, a piece
 * after the other, so that a task holds the rows of its last stage and no more of the others than a
 * piece.
 *
 *     piece of rows -> [stage] -> [stage] -> rows of the output, or text at once
 *
 * It ends before a stage that gathers could give rows: that one's partial state is the output's.
 *
 * Thread rule: one owner at a time.
 */
#ifndef DROVER_FLOW_H
#define DROVER_FLOW_H

#include "pipeline.h"

enum { FLOW_ROWS = 1024 /* of a piece: what a source should have before it passes rows on */ };

struct flow {
    const struct pipeline *pipeline;
    const struct blobset *blobs;
    const struct pipeline_text *text; /* where the last stage's rows go; NULL: into the output */
    struct output *o;
    size_t first, end, n_opened; /* stages */
    void *states[SPEC_STAGES_MAX];
    struct batch *made[SPEC_STAGES_MAX];
};

/* Of the stages from `first` on, up to one that gathers. Takes nothing over. */
void flow_init(struct flow *f, const struct pipeline *p, const struct blobset *blobs, size_t first,
               const struct pipeline_text *text, struct output *o);
bool flow_is_empty(const struct flow *f); /* there is no such stage */

/* Rows with the columns of the stage before; the caller clears them after. */
int flow_rows(struct flow *f, const struct batch *rows, struct error *e) MUST_CHECK;
/* After the last rows: what the stages still have, and the output's rows become the last stage's. */
int flow_end(struct flow *f, struct error *e) MUST_CHECK;
void flow_done(struct flow *f); /* closes the stages, also after a failure */

#endif
