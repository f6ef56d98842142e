/*
 * pg_copy.h: the rows of landings on their way into one table: which column goes where, and the bytes
 * of binary COPY. Rows that do not fit are found and noted on the way.
 *
 * It makes bytes and statements and sends nothing.
 *
 * Thread rule: one owner at a time.
 */
#ifndef DROVER_PG_COPY_H
#define DROVER_PG_COPY_H

#include "pg_table.h"

enum { PG_STAGE_NAME_LEN = 32 };

struct pg_copy_column {
    const struct pg_column *to;
    size_t from; /* column of the batch; PG_COPY_JOB, PG_COPY_TASK: the landing's own */
};
#define PG_COPY_JOB SIZE_MAX
#define PG_COPY_TASK (SIZE_MAX - 1)

/* How rows of one shape (target, and names and types of columns) go into their table. */
struct pg_copy {
    const struct spec_sink *target; /* borrowed, as is the table */
    const struct pg_table *table;
    struct pg_copy_column *columns;
    size_t n_columns;
};

/* Whether both go by one COPY. */
bool pg_copy_same_shape(const struct landing *a, const struct landing *b);

int pg_copy_init(struct pg_copy *c, const struct landing *like, const struct pg_table *table,
                 struct error *e) MUST_CHECK;
void pg_copy_done(struct pg_copy *c);

void pg_copy_header(struct buf *out);
void pg_copy_trailer(struct buf *out);

/* Appends a row. False: it does not fit; `column` and `why` say so, and out is as it was. */
bool pg_copy_row(const struct pg_copy *c, const struct landing *l, uint32_t row, struct buf *out,
                 const char **ret_column, char *why) MUST_CHECK;

/* COPY into the table, or into the stage of upsert and merge (stage: its name, or NULL). */
void pg_copy_sql(const struct pg_copy *c, const char *stage, struct buf *sql);

/* ---- upsert and merge: by a temporary table, emptied with each commit ---- */
bool pg_copy_staged(const struct pg_copy *c);
/* Text that is equal for copies that can share a stage; the caller frees. NULL: no memory. */
char *pg_copy_stage_key(const struct pg_copy *c) MUST_CHECK;
void pg_copy_stage_create(const struct pg_copy *c, const char *stage, struct buf *sql);
/* From the stage into the table: rows of one key come together first, in the order of the keys, so that
 * two batches lock rows in the same order. */
void pg_copy_stage_apply(const struct pg_copy *c, const char *stage, struct buf *sql);

#endif
