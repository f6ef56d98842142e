/*
 * tables.h: the lookup tables of a stage ("tables"): what it says of each, and, when the caller has
 * given their files, their rows and the indexes of the joins that use them.
 *
 * A table's file is read by a transform of its own, SELECT of its columns, under which a value that
 * is none of its type is an error.
 *
 * Thread rule: one owner until all are loaded; immutable and shared by threads then.
 */
#ifndef DROVER_TRANSFORM_TABLES_H
#define DROVER_TRANSFORM_TABLES_H

#include <jansson.h>

#include "common/blob.h"
#include "lookup.h"
#include "plan.h"

struct transform;

struct table {
    struct plan_table shape; /* its texts are owned */
    char **columns;
    enum sqltype *types;
    bool has_blob;
    struct blob_name blob;
    struct transform *reader;
    struct lookup rows;
    bool loaded;
};

struct tables {
    struct table *list;
    struct plan_table *shapes; /* of all, for plan_options */
    size_t n;
    struct lookup_index *indexes; /* one for each join of the plan */
    size_t n_indexes;
};

/* spec: may be NULL. INVALID_SPEC, its detail beginning with the path. */
int tables_read(struct tables *t, const json_t *spec, struct error *e) MUST_CHECK;
void tables_done(struct tables *t);

/* Reads the table's file and makes the indexes of the plan's joins with it. */
int tables_load(struct tables *t, const struct plan *p, const char *name, int fd,
                struct error *e) MUST_CHECK;
/* INVALID_ARGUMENT names a table that the plan needs and that was not loaded. */
int tables_check(const struct tables *t, const struct plan *p, struct error *e) MUST_CHECK;

#endif
