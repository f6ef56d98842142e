/*
 * pg_table.h: a table that rows go to, as the catalogue describes it, and how the columns of a batch
 * meet its columns. Kept for a connection; looked up again when the server says that it has changed.
 *
 * Thread rule: belongs to the thread of its connection.
 */
#ifndef DROVER_PG_TABLE_H
#define DROVER_PG_TABLE_H

#include "pg_conn.h"

enum { PG_TABLES_MAX = 64 /* kept for a connection */ };

/* Columns that the sink fills in by itself where the table has them. */
#define PG_COLUMN_JOB "drover_job"   /* uuid */
#define PG_COLUMN_TASK "drover_task" /* bigint */

struct pg_column {
    char *name;
    char *type_name; /* for people: "numeric(10,2)" */
    uint32_t type;   /* of a domain: what it is made of; an enum is PG_TEXT */
    int32_t typmod;
    bool not_null;
    bool has_default; /* an identity or a generated column too */
    bool generated;   /* takes no value */
};

struct pg_table {
    char *name; /* as the job says */
    struct pg_column *columns;
    size_t n_columns;
    char *shape; /* drover.shape */
};

struct pg_tables {
    struct pg_table *items[PG_TABLES_MAX];
    size_t n;
};

/* The table by its name. NOT_FOUND; UNAVAILABLE. */
int pg_table_get(struct pg_tables *all, struct pg_conn *c, const char *name,
                 const struct pg_table **ret, struct error *e) MUST_CHECK;
void pg_table_forget(struct pg_tables *all); /* looks all up again, at their next use */

const struct pg_column *pg_table_column(const struct pg_table *t, const char *name);

/* Whether the rows can go there: every column is there with a type that takes it, and the table wants
 * nothing that the rows do not have. INVALID_SPEC: "table: ...". */
int pg_table_fits(const struct pg_table *t, const struct batch *rows, struct error *e) MUST_CHECK;

/* Whether keys are those of a unique index, so that ON CONFLICT can go by them. INVALID_SPEC: "key: ...". */
int pg_table_unique(struct pg_conn *c, const struct pg_table *t, char *const *keys, size_t n,
                    struct error *e) MUST_CHECK;

#endif
