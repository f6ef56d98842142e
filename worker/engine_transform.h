/*
 * engine_transform.h: the transform engine as a stage of a job: what spec_parse needs of it, and what
 * a pipeline does with it. As the first stage it reads files (inputs.h); else the rows of the stage
 * before. The language and its speed are worker/transform/'s matter.
 *
 * A file that is larger than two tasks should be is not read: it is cut at rows into parts, which
 * are new inputs of the job; a pattern becomes the files that match.
 *
 * Thread rule: what was compiled is immutable; the rest has one owner at a time.
 */
#ifndef DROVER_ENGINE_TRANSFORM_H
#define DROVER_ENGINE_TRANSFORM_H

#include "pipeline.h"

enum {
    TRANSFORM_TASK_BYTES = 8 * 1024 * 1024, /* of a file, for one task, unless the stage says */
    TRANSFORM_TASK_BYTES_MIN = 64 * 1024,
    TRANSFORM_TASK_BYTES_MAX = 1024 * 1024 * 1024,
    TRANSFORM_FIRST_PARTS = 8,      /* of a file that is cut, before the rest is */
    TRANSFORM_REJECTS_LISTED = 1000 /* of one task; those beyond are counted */
};

/* The functions of struct spec_engine. */
int engine_transform_compile(const json_t *json, const struct batch *input, void **ret,
                             struct error *e);
void engine_transform_free(void *compiled);
struct batch *engine_transform_columns(const void *compiled);
int engine_transform_item(const void *compiled, struct span text, uint32_t depth, struct buf *out,
                          uint64_t *ret_key, struct hash128 *ret_unique, struct error *e);
int engine_transform_blobs(const void *compiled, struct span item, spec_blob_fn *fn, void *user);
int64_t engine_transform_rejects_max(const void *compiled);
bool engine_transform_gathers(const void *compiled, bool sinks_merge);

/* The columns that the header of a file names, as a list of texts, for the stage's key "header". MALFORMED:
 * there is none. */
int engine_transform_header(const json_t *stage, int fd, json_t **ret, struct error *e) MUST_CHECK;
/* What was compiled, in words for people (columns, kernels). */
void engine_transform_explain(const void *compiled, struct buf *out);

/* The functions of struct pipeline_kind. */
int engine_transform_run(const void *compiled, const struct pipeline_call *call, struct output *o,
                         struct error *e);
int engine_transform_open(const void *compiled, const struct blobset *blobs, void **ret_state,
                          struct error *e);
int engine_transform_process(void *state, const struct batch *in, struct output *o,
                             struct batch *out, struct error *e);
int engine_transform_end(void *state, struct output *o, struct batch *out, struct error *e);
void engine_transform_close(void *state);
int engine_transform_save(void *state, struct buf *partial, struct error *e);
int engine_transform_load(void *state, struct span partial, struct error *e);

#endif
