/*
 * pg_batch.h: a connection of the PostgreSQL sink and its transactions: rows of many landings, then the
 * ledger, then COMMIT in the same message. postgres.c decides what is tried again, and pg_narrow.c finds
 * the rows that the server does not take.
 *
 * Faults are of pg_conn.h; after one other than DOWN the transaction is rolled back, unless said otherwise.
 *
 * Thread rule: belongs to the thread of the connection.
 */
#ifndef DROVER_PG_BATCH_H
#define DROVER_PG_BATCH_H

#include "pg_copy.h"

enum { PG_STAGES_MAX = 32 };

struct pg_stage {
    char *key; /* pg_copy_stage_key */
    char name[PG_STAGE_NAME_LEN];
};

struct postgres {
    struct pg_conn conn;
    struct pg_tables tables;
    struct pg_stage stages[PG_STAGES_MAX];
    size_t n_stages;
    uint32_t stage_number; /* of the next one; names are never used again */
    bool in_transaction;   /* BEGIN was sent, and neither COMMIT nor ROLLBACK */
    bool ready;            /* the schema drover was found, of the right version */
    struct buf out, sql;
    struct buf checks; /* statements: the tables of this transaction are as they were looked up */
};

/* ---- a transaction as a whole ---- */

/* Rows and ledger of all that are UNDECIDED; they are DONE then. */
enum pg_fault pg_batch_write(struct postgres *p, struct landing **list, size_t n) MUST_CHECK;
/* The same for one landing with rows that the server does not take: those become rejects. */
enum pg_fault pg_batch_without_bad(struct postgres *p, struct landing *l) MUST_CHECK;

/* ---- its parts: not rolled back after a fault ---- */

const char *pg_batch_sql(struct buf *sql); /* ends it */
enum pg_fault pg_batch_run(struct postgres *p, struct buf *sql) MUST_CHECK;
/* Empties sql, and puts BEGIN there when that was not sent yet. */
void pg_batch_begin(struct postgres *p, struct buf *sql);
enum pg_fault pg_batch_roll_back(struct postgres *p) MUST_CHECK;
enum pg_fault pg_batch_commit(struct postgres *p, struct landing **list, size_t n) MUST_CHECK;

/* The table and the columns of a landing's rows; the landing is FAILED when they do not meet. */
enum pg_fault pg_batch_plan(struct postgres *p, struct landing *l, struct pg_copy *c) MUST_CHECK;
/* The temporary table for rows of that shape, made when it is new, or NULL when none is needed. */
enum pg_fault pg_batch_stage(struct postgres *p, const struct pg_copy *c,
                             const char **ret) MUST_CHECK;
void pg_batch_forget_stages(struct postgres *p);
/* Before COMMIT it will be asked whether the table is still what the rows were encoded for. */
void pg_batch_check(struct postgres *p, const struct pg_copy *c);
/* Sends what is in p->out when it is enough, or all of it. */
enum pg_fault pg_batch_send(struct postgres *p, bool all) MUST_CHECK;

/* A row that does not fit. False: the landing cannot land any more. */
bool pg_batch_bad_row(struct landing *l, uint32_t row, const char *column, const char *why);

void pg_batch_put_uuid(struct buf *out, const uint8_t uid[SINK_UID_LEN]);
/* Arguments of commit_tasks, or without counts of landed: arrays of those that are UNDECIDED. */
void pg_batch_put_tasks(struct buf *sql, struct landing **list, size_t n, bool with_counts);

#endif
