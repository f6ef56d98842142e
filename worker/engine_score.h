/*
 * engine_score.h: the score engine as a stage of a job: rows in, the columns of a model out. The model
 * is a blob; which columns it makes is written into the stage when the job is submitted, so that a
 * description can be read without it.
 *
 *     {"kind": "score", "model": {"blob": SHA256, "sample": {"blob": SHA256}, "tolerance": 1e-5},
 *      "inputs": {...}, "outputs": [...], "keep": [...], "columns": [["label", "int64"], ...]}
 *
 * Models and their speed are worker/score/'s matter, loading them models.h's.
 *
 * Thread rule: what was compiled may be shared; the rest has one owner at a time.
 */
#ifndef DROVER_ENGINE_SCORE_H
#define DROVER_ENGINE_SCORE_H

#include "pipeline.h"

/* The functions of struct spec_engine. */
int engine_score_complete(json_t *stage, const struct batch *input, const struct spec_files *files,
                          struct error *e);
int engine_score_wants(const json_t *stage, spec_blob_fn *fn, void *user, struct error *e);
int engine_score_compile(const json_t *json, const struct batch *input, void **ret,
                         struct error *e);
void engine_score_free(void *compiled);
struct batch *engine_score_columns(const void *compiled);
int engine_score_blobs(const void *compiled, struct span item, spec_blob_fn *fn, void *user);

/* The functions of struct pipeline_kind. */
int engine_score_open(const void *compiled, const struct blobset *blobs, void **ret_state,
                      struct error *e);
int engine_score_process(void *state, const struct batch *in, struct output *o, struct batch *out,
                         struct error *e);
int engine_score_end(void *state, struct output *o, struct batch *out, struct error *e);
void engine_score_close(void *state);

#endif
