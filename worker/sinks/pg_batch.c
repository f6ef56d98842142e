/* pg_batch.c: one transaction: rows of many landings, and the ledger. */
#include <stdio.h>

#include "pg_batch.h"
#include "pg_value.h"

enum { COPY_CHUNK_BYTES = 256 * 1024 };

const char *pg_batch_sql(struct buf *sql)
{
    buf_byte(sql, '\0');
    return buf_ok(sql) ? (const char *)sql->data : "";
}

enum pg_fault pg_batch_run(struct postgres *p, struct buf *sql)
{
    return pg_conn_exec(&p->conn, pg_batch_sql(sql), NULL);
}

enum pg_fault pg_batch_roll_back(struct postgres *p)
{
    if (!p->in_transaction)
        return PG_FAULT_NONE;
    p->in_transaction = false;
    return pg_conn_exec(&p->conn, "ROLLBACK", NULL);
}

/* ---- stages ---- */

void pg_batch_forget_stages(struct postgres *p)
{
    for (size_t i = 0; i < p->n_stages; i++)
        free(p->stages[i].key);
    p->n_stages = 0;
}

enum pg_fault pg_batch_stage(struct postgres *p, const struct pg_copy *c, const char **ret)
{
    *ret = NULL;
    if (!pg_copy_staged(c))
        return PG_FAULT_NONE;
    char *key = pg_copy_stage_key(c);
    if (!key)
        return PG_FAULT_REFUSED;
    for (size_t i = 0; i < p->n_stages; i++)
        if (strcmp(p->stages[i].key, key) == 0) {
            free(key);
            *ret = p->stages[i].name;
            return PG_FAULT_NONE;
        }
    if (p->n_stages == PG_STAGES_MAX) {
        free(key);
        pg_batch_forget_stages(p); /* the tables go with the connection */
        return pg_batch_stage(p, c, ret);
    }
    struct pg_stage *s = &p->stages[p->n_stages];
    snprintf(s->name, sizeof(s->name), "drover_stage_%u", p->stage_number++);
    buf_clear(&p->sql);
    pg_copy_stage_create(c, s->name, &p->sql);
    const enum pg_fault fault = pg_batch_run(p, &p->sql);
    if (fault != PG_FAULT_NONE) {
        free(key);
        return fault;
    }
    s->key = key;
    p->n_stages++;
    *ret = s->name;
    return PG_FAULT_NONE;
}

/* ---- rows of a landing ---- */

bool pg_batch_bad_row(struct landing *l, uint32_t row, const char *column, const char *why)
{
    if (l->target->fail_bad_rows) {
        landing_fail(l, LANDING_FAILED, "row %u, column \"%s\": %s", row + 1, column ? column : "?",
                     why);
        return false;
    }
    if (l->n_rejects == SINK_BAD_ROWS_MAX) {
        landing_fail(l, LANDING_FAILED, "more than %d rows do not fit; the last: row %u, %s: %s",
                     SINK_BAD_ROWS_MAX, row + 1, column ? column : "?", why);
        return false;
    }
    landing_reject(l, row, column, why);
    return l->verdict != LANDING_FAILED;
}

/* Appends all rows that fit. False: the landing has FAILED and nothing of it is in the buffer. */
static bool put_landing(struct postgres *p, const struct pg_copy *c, struct landing *l)
{
    char why[PG_VALUE_WHY_LEN];
    const char *column = NULL;
    const size_t start = p->out.len;
    landing_done(l); /* rejects of an earlier try */
    l->n_written = 0;
    for (uint32_t row = 0; row < l->rows->n_rows; row++) {
        if (pg_copy_row(c, l, row, &p->out, &column, why)) {
            l->n_written++;
        } else if (!pg_batch_bad_row(l, row, column, why)) {
            p->out.len = start;
            return false;
        }
    }
    return true;
}

enum pg_fault pg_batch_send(struct postgres *p, bool all)
{
    if (!buf_ok(&p->out)) {
        snprintf(p->conn.message, sizeof(p->conn.message), "no memory for a batch");
        return PG_FAULT_DOWN;
    }
    if (p->out.len == 0 || (!all && p->out.len < COPY_CHUNK_BYTES))
        return PG_FAULT_NONE;
    const enum pg_fault fault = pg_conn_copy_put(&p->conn, p->out.data, p->out.len);
    p->out.len = 0;
    return fault;
}

/* ---- one transaction ---- */

void pg_batch_put_uuid(struct buf *out, const uint8_t uid[SINK_UID_LEN])
{
    for (size_t i = 0; i < SINK_UID_LEN; i++)
        buf_printf(out, "%02x", uid[i]);
}

void pg_batch_put_tasks(struct buf *sql, struct landing **list, size_t n, bool with_counts)
{
    enum { JOB, GENERATION, TASK, SINK, NROWS, FIELDS };
    static const char *const types[FIELDS] = {
        [JOB] = "uuid",      [GENERATION] = "bigint", [TASK] = "bigint",
        [SINK] = "smallint", [NROWS] = "integer",
    };
    for (int f = 0; f < FIELDS; f++) {
        if (!with_counts && (f == GENERATION || f == NROWS))
            continue;
        size_t k = 0;
        buf_str(sql, f ? ", '{" : "'{");
        for (size_t i = 0; i < n; i++) {
            const struct landing *l = list[i];
            if (l->verdict != LANDING_UNDECIDED)
                continue;
            buf_str(sql, k++ ? "," : "");
            if (f == JOB)
                pg_batch_put_uuid(sql, l->uid);
            else
                buf_printf(sql, "%lld",
                           (long long)(f == GENERATION ? l->generation
                                       : f == TASK     ? l->task
                                       : f == SINK     ? l->index
                                                       : l->n_written));
        }
        buf_printf(sql, "}'::%s[]", types[f]);
    }
}

void pg_batch_check(struct postgres *p, const struct pg_copy *c)
{
    buf_str(&p->checks, "SELECT drover.unchanged('");
    pg_conn_quote(&p->checks, c->target->table, true);
    buf_printf(&p->checks, "', '%s'); ", c->table->shape);
}

/* The table is asked for after its rows were sent: they hold a lock on it until the end. */
enum pg_fault pg_batch_commit(struct postgres *p, struct landing **list, size_t n)
{
    buf_clear(&p->sql);
    p->sql.failed |= p->checks.failed;
    buf_append(&p->sql, p->checks.data, p->checks.len);
    buf_str(&p->sql, "SELECT drover.commit_tasks(");
    pg_batch_put_tasks(&p->sql, list, n, true);
    buf_str(&p->sql, "); COMMIT");
    const enum pg_fault fault = pg_batch_run(p, &p->sql);
    if (fault == PG_FAULT_NONE)
        p->in_transaction = false;
    return fault;
}

void pg_batch_begin(struct postgres *p, struct buf *sql)
{
    buf_clear(sql);
    if (!p->in_transaction)
        buf_str(sql, "BEGIN; ");
    p->in_transaction = true;
}

/* All rows of the landings of one shape, those from list[first] on that are like it. */
static enum pg_fault copy_shape(struct postgres *p, const struct pg_copy *c, const char *stage,
                                struct landing **list, size_t first, size_t n)
{
    pg_batch_check(p, c);
    pg_batch_begin(p, &p->sql);
    pg_copy_sql(c, stage, &p->sql);
    enum pg_fault fault = pg_conn_copy_begin(&p->conn, pg_batch_sql(&p->sql));
    if (fault != PG_FAULT_NONE)
        return fault;
    buf_clear(&p->out);
    pg_copy_header(&p->out);
    for (size_t i = first; i < n && fault == PG_FAULT_NONE; i++) {
        if (list[i]->verdict != LANDING_UNDECIDED || !pg_copy_same_shape(list[first], list[i]))
            continue;
        if (put_landing(p, c, list[i]))
            fault = pg_batch_send(p, false);
    }
    pg_copy_trailer(&p->out);
    if (fault == PG_FAULT_NONE)
        fault = pg_batch_send(p, true);
    if (fault == PG_FAULT_NONE)
        fault = pg_conn_copy_end(&p->conn);
    if (fault == PG_FAULT_NONE && stage) {
        buf_clear(&p->sql);
        pg_copy_stage_apply(c, stage, &p->sql);
        fault = pg_batch_run(p, &p->sql);
    }
    return fault;
}

enum pg_fault pg_batch_plan(struct postgres *p, struct landing *l, struct pg_copy *c)
{
    const struct pg_table *table = NULL;
    struct error e = {0};
    int rc = pg_table_get(&p->tables, &p->conn, l->target->table, &table, &e);
    if (rc == ERR_OK)
        rc = pg_copy_init(c, l, table, &e);
    if (rc == ERR_INVALID_SPEC) { /* as the table was when it was looked up */
        pg_table_forget(&p->tables);
        rc = pg_table_get(&p->tables, &p->conn, l->target->table, &table, &e);
        if (rc == ERR_OK)
            rc = pg_copy_init(c, l, table, &e);
    }
    if (rc == ERR_UNAVAILABLE)
        return p->conn.fault;
    if (rc != ERR_OK)
        landing_fail(l, LANDING_FAILED, "%s", e.detail);
    return PG_FAULT_NONE;
}

/* Whether an earlier landing of the list has the same shape: then it was copied with that. */
static bool copied(struct landing **list, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (list[k]->verdict == LANDING_UNDECIDED && list[k]->rows->n_rows > 0 &&
            pg_copy_same_shape(list[k], list[i]))
            return true;
    return false;
}

enum pg_fault pg_batch_write(struct postgres *p, struct landing **list, size_t n)
{
    enum pg_fault fault = PG_FAULT_NONE;
    buf_clear(&p->checks);
    for (size_t i = 0; i < n && fault == PG_FAULT_NONE; i++) {
        struct pg_copy c = {0};
        const char *stage = NULL;
        if (list[i]->verdict != LANDING_UNDECIDED || list[i]->rows->n_rows == 0 || copied(list, i))
            continue;
        fault = pg_batch_plan(p, list[i], &c);
        if (fault == PG_FAULT_NONE && list[i]->verdict == LANDING_UNDECIDED)
            fault = pg_batch_stage(p, &c, &stage);
        if (fault == PG_FAULT_NONE && list[i]->verdict == LANDING_UNDECIDED)
            fault = copy_shape(p, &c, stage, list, i, n);
        pg_copy_done(&c);
    }
    size_t left = 0;
    for (size_t i = 0; i < n; i++)
        left += list[i]->verdict == LANDING_UNDECIDED;
    if (fault == PG_FAULT_NONE && left > 0) {
        if (!p->in_transaction) { /* no rows at all */
            fault = pg_conn_exec(&p->conn, "BEGIN", NULL);
            p->in_transaction = fault == PG_FAULT_NONE;
        }
        if (fault == PG_FAULT_NONE)
            fault = pg_batch_commit(p, list, n);
    }
    if (fault != PG_FAULT_DOWN && p->in_transaction) {
        /* The message of the fault is what counts. */
        const struct pg_conn kept = p->conn;
        const enum pg_fault rolled = pg_batch_roll_back(p);
        if (rolled == PG_FAULT_DOWN)
            return rolled;
        p->conn.fault = kept.fault;
        memcpy(p->conn.message, kept.message, sizeof(kept.message));
        memcpy(p->conn.column, kept.column, sizeof(kept.column));
    }
    if (fault == PG_FAULT_NONE)
        for (size_t i = 0; i < n; i++)
            if (list[i]->verdict == LANDING_UNDECIDED)
                list[i]->verdict = LANDING_DONE;
    return fault;
}
