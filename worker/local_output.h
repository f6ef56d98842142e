/*
 * local_output.h: where the rows of a job that runs alone go: one file of NDJSON or CSV, beside its
 * sinks. The rows of files go out while they are read, without a budget, and those of one transform alone
 * straight from the vectors; all others when their task is done.
 *
 * Thread rule: put from any thread; the rest is the owner's.
 */
#ifndef DROVER_LOCAL_OUTPUT_H
#define DROVER_LOCAL_OUTPUT_H

#include "pipeline.h"
#include "rowfile.h"

enum local_format {
    LOCAL_FORMAT_BY_NAME /* *.csv is CSV */,
    LOCAL_FORMAT_NDJSON,
    LOCAL_FORMAT_CSV
};

struct local_output {
    struct rowfile file;
    bool csv, as_text;
    struct pipeline_text text;
};

/* path: NULL: rows are counted, not written. batches: rows are wanted as batches, too (for sinks). IO. */
int local_output_open(struct local_output *o, const char *path, enum local_format format,
                      const struct pipeline *pipeline, bool batches, struct error *e) MUST_CHECK;
int local_output_close(struct local_output *o, struct error *e) MUST_CHECK;

/* As which text a source should give its rows out; NULL: as batches. */
const struct pipeline_text *local_output_text(const struct local_output *o);
/* False: no memory. */
bool local_output_put(struct local_output *o, const struct batch *rows) MUST_CHECK;

#endif
