/*
 * options.h: what a transform stage says beside its SQL, read from JSON and checked.
 *
 * Thread rule: immutable after options_read.
 */
#ifndef DROVER_TRANSFORM_OPTIONS_H
#define DROVER_TRANSFORM_OPTIONS_H

#include <jansson.h>

#include "capture.h"
#include "run.h"

enum options_input { OPTIONS_CSV, OPTIONS_NDJSON, OPTIONS_PCAP };

struct options {
    struct span sql; /* borrowed from the stage */
    enum options_input input;
    struct csv_options csv;
    struct capture_options capture;
    const json_t *paths; /* "ndjson.columns": names and paths; NULL: none. Borrowed */
    enum run_policy policy;
    const char **names; /* "csv.names"; NULL: none. The texts are borrowed */
    size_t n_names;
    const char **typed_names; /* "columns" */
    enum sqltype *types;
    size_t n_typed;
};

/* INVALID_SPEC, its detail beginning with the path. */
int options_read(const json_t *stage, struct options *ret, struct error *e) MUST_CHECK;
void options_done(struct options *o);

#endif
