/* pg_narrow.c: one landing with rows that the server does not take: which ones, by halves of it. */
#include "pg_batch.h"
#include "pg_value.h"

struct range {
    uint32_t from, to;
};

/* One range of rows within its savepoint; what is known to be bad is left out. */
static enum pg_fault copy_range(struct postgres *p, const struct pg_copy *c, const char *stage,
                                struct landing *l, const bool *bad, struct range r)
{
    char why[PG_VALUE_WHY_LEN];
    const char *column;
    pg_batch_begin(p, &p->sql);
    if (p->sql.len > 0)
        buf_str(&p->sql, "SET CONSTRAINTS ALL IMMEDIATE; "); /* or COMMIT would be what fails */
    buf_str(&p->sql, "SAVEPOINT s; ");
    pg_copy_sql(c, stage, &p->sql);
    enum pg_fault fault = pg_conn_copy_begin(&p->conn, pg_batch_sql(&p->sql));
    if (fault != PG_FAULT_NONE)
        return fault;
    buf_clear(&p->out);
    pg_copy_header(&p->out);
    for (uint32_t row = r.from; row < r.to && fault == PG_FAULT_NONE; row++)
        if (!bad[row] && pg_copy_row(c, l, row, &p->out, &column, why))
            fault = pg_batch_send(p, false);
    pg_copy_trailer(&p->out);
    if (fault == PG_FAULT_NONE)
        fault = pg_batch_send(p, true);
    if (fault == PG_FAULT_NONE)
        fault = pg_conn_copy_end(&p->conn);
    if (fault == PG_FAULT_NONE) {
        buf_clear(&p->sql);
        if (stage) {
            pg_copy_stage_apply(c, stage, &p->sql);
            buf_printf(&p->sql, "; TRUNCATE pg_temp.%s; ", stage);
        }
        buf_str(&p->sql, "RELEASE s");
        fault = pg_batch_run(p, &p->sql);
    }
    return fault;
}

/* Notes rows that do not fit by themselves, before the server is asked. */
static bool find_bad(const struct pg_copy *c, struct landing *l, struct buf *scratch, bool *bad)
{
    char why[PG_VALUE_WHY_LEN];
    const char *column = NULL;
    landing_done(l);
    l->n_written = 0;
    for (uint32_t row = 0; row < l->rows->n_rows; row++) {
        buf_clear(scratch);
        bad[row] = !pg_copy_row(c, l, row, scratch, &column, why);
        if (bad[row] && !pg_batch_bad_row(l, row, column, why))
            return false;
    }
    return true;
}

/* Halves the rows until those that the server does not take are alone. */
static enum pg_fault narrow(struct postgres *p, const struct pg_copy *c, const char *stage,
                            struct landing *l, bool *bad)
{
    struct range stack[64] = {{0, l->rows->n_rows}};
    size_t n = 1;
    enum pg_fault fault = PG_FAULT_NONE;
    while (n > 0 && fault == PG_FAULT_NONE && l->verdict == LANDING_UNDECIDED) {
        const struct range r = stack[--n];
        fault = copy_range(p, c, stage, l, bad, r);
        if (fault != PG_FAULT_DATA)
            continue;
        char message[SINK_ERROR_LEN], column[sizeof(p->conn.column)];
        memcpy(message, p->conn.message, sizeof(message));
        memcpy(column, p->conn.column, sizeof(column));
        fault = pg_conn_exec(&p->conn, "ROLLBACK TO s; RELEASE s", NULL);
        if (fault != PG_FAULT_NONE)
            break;
        if (r.to - r.from > 1) {
            const uint32_t middle = r.from + (r.to - r.from) / 2;
            stack[n++] = (struct range){middle, r.to};
            stack[n++] = (struct range){r.from, middle}; /* first: rows keep their order */
        } else {
            bad[r.from] = true;
            (void)pg_batch_bad_row(l, r.from, column[0] ? column : NULL, message);
        }
    }
    return fault;
}

enum pg_fault pg_batch_without_bad(struct postgres *p, struct landing *l)
{
    struct pg_copy c = {0};
    const char *stage = NULL;
    bool *bad = calloc(MAX(l->rows->n_rows, 1U), sizeof(*bad));
    /* Rows that were encoded for a table that has been altered look like bad ones. */
    pg_table_forget(&p->tables);
    pg_batch_forget_stages(p);
    buf_clear(&p->checks);
    enum pg_fault fault = pg_batch_plan(p, l, &c);
    if (!bad)
        landing_fail(l, LANDING_FAILED, "no memory to find the rows that do not fit");
    if (fault == PG_FAULT_NONE && l->verdict == LANDING_UNDECIDED)
        fault = pg_batch_stage(p, &c, &stage);
    if (fault == PG_FAULT_NONE && l->verdict == LANDING_UNDECIDED)
        pg_batch_check(p, &c);
    if (fault == PG_FAULT_NONE && l->verdict == LANDING_UNDECIDED && find_bad(&c, l, &p->out, bad))
        fault = narrow(p, &c, stage, l, bad);
    if (fault == PG_FAULT_NONE && l->verdict == LANDING_UNDECIDED) {
        for (uint32_t row = 0; row < l->rows->n_rows; row++)
            l->n_written += !bad[row];
        fault = pg_batch_commit(p, &l, 1);
        if (fault == PG_FAULT_NONE)
            l->verdict = LANDING_DONE;
    }
    pg_copy_done(&c);
    free(bad);
    if (fault != PG_FAULT_DOWN && p->in_transaction) {
        const enum pg_fault rolled = pg_batch_roll_back(p);
        fault = rolled == PG_FAULT_NONE ? fault : rolled;
    }
    return fault;
}
