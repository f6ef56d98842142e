/*
 * postgres.c: the PostgreSQL sink: batches of whole tasks in one transaction each, with the ledger.
 *
 *     BEGIN; COPY ... ; [COPY ...; INSERT ... ON CONFLICT ...]   rows of every landing
 *     SELECT drover.commit_tasks(...); COMMIT                    one message
 *
 * The ledger comes last: a worker that is stopped in the middle then holds no key of it, and blocks
 * nobody. A task that has landed before makes the ledger's insert fail; the batch is rolled back, the
 * ledger is asked which tasks are there, and the rest is sent again. The same serves a connection that
 * was lost at COMMIT: whether it took place is found out by the next try.
 *
 * What the server does not take is narrowed down: half of the landings, then one landing, then half of
 * its rows by savepoints, until the rows that are at fault are known. No other task suffers for them.
 *
 * Thread rule: a connection belongs to one thread.
 */
#include <stdio.h>
#include <unistd.h>

#include "pg_copy.h"
#include "pg_value.h"

enum {
    COPY_CHUNK_BYTES = 256 * 1024,
    AGAIN_MAX = 5, /* deadlocks in a row */
    AGAIN_WAIT_US = 20000,
    STAGES_MAX = 32,
    VERSION = 1 /* of deploy/sql/drover.sql */
};

struct stage {
    char *key; /* pg_copy_stage_key */
    char name[PG_STAGE_NAME_LEN];
};

struct postgres {
    struct pg_conn conn;
    struct pg_tables tables;
    struct stage stages[STAGES_MAX];
    size_t n_stages;
    uint32_t stage_number; /* of the next one; names are never used again */
    bool in_transaction;   /* BEGIN was sent, and neither COMMIT nor ROLLBACK */
    struct buf out, sql;
    struct error error; /* of what is not the server's */
};

static struct postgres *of(struct sink_conn *c)
{
    return (struct postgres *)c;
}

static const char *text_of(struct buf *sql)
{
    buf_byte(sql, '\0');
    return buf_ok(sql) ? (const char *)sql->data : "";
}

static enum pg_fault run(struct postgres *p, struct buf *sql)
{
    return pg_conn_exec(&p->conn, text_of(sql), NULL);
}

static enum pg_fault roll_back(struct postgres *p)
{
    if (!p->in_transaction)
        return PG_FAULT_NONE;
    p->in_transaction = false;
    return pg_conn_exec(&p->conn, "ROLLBACK", NULL);
}

/* ---- stages ---- */

static void forget_stages(struct postgres *p)
{
    for (size_t i = 0; i < p->n_stages; i++)
        free(p->stages[i].key);
    p->n_stages = 0;
}

/* The temporary table for rows of that shape, made when it is new; not inside a transaction. */
static enum pg_fault stage_for(struct postgres *p, const struct pg_copy *c, const char **ret)
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
    if (p->n_stages == STAGES_MAX) {
        free(key);
        forget_stages(p); /* the tables go with the connection */
        return stage_for(p, c, ret);
    }
    struct stage *s = &p->stages[p->n_stages];
    snprintf(s->name, sizeof(s->name), "drover_stage_%u", p->stage_number++);
    buf_clear(&p->sql);
    pg_copy_stage_create(c, s->name, &p->sql);
    const enum pg_fault fault = run(p, &p->sql);
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

/* A row that does not fit. False: the landing cannot land any more. */
static bool bad_row(struct landing *l, uint32_t row, const char *column, const char *why)
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
        } else if (!bad_row(l, row, column, why)) {
            p->out.len = start;
            return false;
        }
    }
    return true;
}

static enum pg_fault send_rows(struct postgres *p, bool all)
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

static void put_uuid(struct buf *out, const uint8_t uid[SINK_UID_LEN])
{
    for (size_t i = 0; i < SINK_UID_LEN; i++)
        buf_printf(out, "%02x", uid[i]);
}

/* The arrays of commit_tasks and landed, of those that are UNDECIDED. */
static void put_arrays(struct buf *sql, struct landing **list, size_t n, bool with_counts)
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
                put_uuid(sql, l->uid);
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

static enum pg_fault commit(struct postgres *p, struct landing **list, size_t n)
{
    buf_clear(&p->sql);
    buf_str(&p->sql, "SELECT drover.commit_tasks(");
    put_arrays(&p->sql, list, n, true);
    buf_str(&p->sql, "); COMMIT");
    const enum pg_fault fault = run(p, &p->sql);
    if (fault == PG_FAULT_NONE)
        p->in_transaction = false;
    return fault;
}

/* BEGIN, once, in front of the first statement. */
static void begin_with(struct postgres *p, struct buf *sql)
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
    begin_with(p, &p->sql);
    pg_copy_sql(c, stage, &p->sql);
    enum pg_fault fault = pg_conn_copy_begin(&p->conn, text_of(&p->sql));
    if (fault != PG_FAULT_NONE)
        return fault;
    buf_clear(&p->out);
    pg_copy_header(&p->out);
    for (size_t i = first; i < n && fault == PG_FAULT_NONE; i++) {
        if (list[i]->verdict != LANDING_UNDECIDED || !pg_copy_same_shape(list[first], list[i]))
            continue;
        if (put_landing(p, c, list[i]))
            fault = send_rows(p, false);
    }
    pg_copy_trailer(&p->out);
    if (fault == PG_FAULT_NONE)
        fault = send_rows(p, true);
    if (fault == PG_FAULT_NONE)
        fault = pg_conn_copy_end(&p->conn);
    if (fault == PG_FAULT_NONE && stage) {
        buf_clear(&p->sql);
        pg_copy_stage_apply(c, stage, &p->sql);
        fault = run(p, &p->sql);
    }
    return fault;
}

/* The table and the columns of a landing's rows; FAILED when they do not meet. */
static enum pg_fault plan(struct postgres *p, struct landing *l, struct pg_copy *c)
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

/* Rows and ledger of all that are UNDECIDED. After a fault other than DOWN it is rolled back. */
static enum pg_fault transaction(struct postgres *p, struct landing **list, size_t n)
{
    enum pg_fault fault = PG_FAULT_NONE;
    for (size_t i = 0; i < n && fault == PG_FAULT_NONE; i++) {
        struct pg_copy c = {0};
        const char *stage = NULL;
        if (list[i]->verdict != LANDING_UNDECIDED || list[i]->rows->n_rows == 0 || copied(list, i))
            continue;
        fault = plan(p, list[i], &c);
        if (fault == PG_FAULT_NONE && list[i]->verdict == LANDING_UNDECIDED)
            fault = stage_for(p, &c, &stage);
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
            fault = commit(p, list, n);
    }
    if (fault != PG_FAULT_DOWN && p->in_transaction) {
        /* The message of the fault is what counts. */
        const struct pg_conn kept = p->conn;
        const enum pg_fault rolled = roll_back(p);
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

/* ---- when a transaction failed ---- */

/* Asks the ledger; *ret_n of the landings were there. */
static enum pg_fault mark_landed(struct postgres *p, struct landing **list, size_t n, size_t *ret_n)
{
    PGresult *r = NULL;
    *ret_n = 0;
    buf_clear(&p->sql);
    buf_str(&p->sql, "SELECT replace(job::text, '-', ''), task, sink FROM drover.landed(");
    put_arrays(&p->sql, list, n, false);
    buf_str(&p->sql, ")");
    const enum pg_fault fault = pg_conn_exec(&p->conn, text_of(&p->sql), &r);
    for (int row = 0; fault == PG_FAULT_NONE && row < PQntuples(r); row++) {
        const uint64_t task = strtoull(PQgetvalue(r, row, 1), NULL, 10);
        for (size_t i = 0; i < n; i++) {
            char uid[2 * SINK_UID_LEN + 1];
            for (size_t k = 0; k < SINK_UID_LEN; k++)
                snprintf(uid + 2 * k, 3, "%02x", list[i]->uid[k]);
            if (list[i]->verdict != LANDING_UNDECIDED || list[i]->task != task ||
                list[i]->index != strtoul(PQgetvalue(r, row, 2), NULL, 10) ||
                strcmp(uid, PQgetvalue(r, row, 0)) != 0)
                continue;
            landing_done(list[i]);
            list[i]->verdict = LANDING_DUPLICATE;
            ++*ret_n;
        }
    }
    PQclear(r);
    return fault;
}

struct range {
    uint32_t from, to;
};

/* One range of rows within its savepoint; what is known to be bad is left out. */
static enum pg_fault copy_range(struct postgres *p, const struct pg_copy *c, const char *stage,
                                struct landing *l, const bool *bad, struct range r)
{
    char why[PG_VALUE_WHY_LEN];
    const char *column;
    begin_with(p, &p->sql);
    if (p->sql.len > 0)
        buf_str(&p->sql, "SET CONSTRAINTS ALL IMMEDIATE; "); /* or COMMIT would be what fails */
    buf_str(&p->sql, "SAVEPOINT s; ");
    pg_copy_sql(c, stage, &p->sql);
    enum pg_fault fault = pg_conn_copy_begin(&p->conn, text_of(&p->sql));
    if (fault != PG_FAULT_NONE)
        return fault;
    buf_clear(&p->out);
    pg_copy_header(&p->out);
    for (uint32_t row = r.from; row < r.to && fault == PG_FAULT_NONE; row++)
        if (!bad[row] && pg_copy_row(c, l, row, &p->out, &column, why))
            fault = send_rows(p, false);
    pg_copy_trailer(&p->out);
    if (fault == PG_FAULT_NONE)
        fault = send_rows(p, true);
    if (fault == PG_FAULT_NONE)
        fault = pg_conn_copy_end(&p->conn);
    if (fault == PG_FAULT_NONE) {
        buf_clear(&p->sql);
        if (stage) {
            pg_copy_stage_apply(c, stage, &p->sql);
            buf_printf(&p->sql, "; TRUNCATE pg_temp.%s; ", stage);
        }
        buf_str(&p->sql, "RELEASE s");
        fault = run(p, &p->sql);
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
        if (bad[row] && !bad_row(l, row, column, why))
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
            (void)bad_row(l, r.from, column[0] ? column : NULL, message);
        }
    }
    return fault;
}

/* One landing with rows that the server does not take. */
static enum pg_fault land_without_bad(struct postgres *p, struct landing *l)
{
    struct pg_copy c = {0};
    const char *stage = NULL;
    bool *bad = calloc(MAX(l->rows->n_rows, 1U), sizeof(*bad));
    enum pg_fault fault = plan(p, l, &c);
    if (!bad)
        landing_fail(l, LANDING_FAILED, "no memory to find the rows that do not fit");
    if (fault == PG_FAULT_NONE && l->verdict == LANDING_UNDECIDED)
        fault = stage_for(p, &c, &stage);
    if (fault == PG_FAULT_NONE && l->verdict == LANDING_UNDECIDED && find_bad(&c, l, &p->out, bad))
        fault = narrow(p, &c, stage, l, bad);
    if (fault == PG_FAULT_NONE && l->verdict == LANDING_UNDECIDED) {
        for (uint32_t row = 0; row < l->rows->n_rows; row++)
            l->n_written += !bad[row];
        fault = commit(p, &l, 1);
        if (fault == PG_FAULT_NONE)
            l->verdict = LANDING_DONE;
    }
    pg_copy_done(&c);
    free(bad);
    if (fault != PG_FAULT_DOWN && p->in_transaction) {
        const enum pg_fault rolled = roll_back(p);
        fault = rolled == PG_FAULT_NONE ? fault : rolled;
    }
    return fault;
}

static enum pg_fault land(struct postgres *p, struct landing **list, size_t n);

static enum pg_fault land_halves(struct postgres *p, struct landing **list, size_t n)
{
    const enum pg_fault fault = land(p, list, n / 2);
    return fault == PG_FAULT_DOWN ? fault : land(p, list + n / 2, n - n / 2);
}

/* What to do after a fault that is not the server's; DOWN when that came meanwhile. */
static enum pg_fault after_fault(struct postgres *p, enum pg_fault fault, struct landing **list,
                                 size_t n, unsigned tries)
{
    size_t landed = 0;
    switch (fault) {
    case PG_FAULT_LEDGER:
        fault = mark_landed(p, list, n, &landed);
        if (fault == PG_FAULT_NONE && landed == 0 && tries >= AGAIN_MAX)
            return PG_FAULT_DOWN; /* the ledger says both: let the breaker have a look */
        return fault;
    case PG_FAULT_CATALOG:
        pg_table_forget(&p->tables);
        forget_stages(p);
        if (tries == 0)
            return PG_FAULT_NONE;
        break;
    case PG_FAULT_AGAIN:
        if (tries < AGAIN_MAX) {
            usleep((useconds_t)(AGAIN_WAIT_US * (tries + 1)));
            return PG_FAULT_NONE;
        }
        return PG_FAULT_DOWN;
    default:
        break;
    }
    if (n > 1)
        return land_halves(p, list, n);
    struct landing *l = list[0];
    if (fault == PG_FAULT_DATA && !l->target->fail_bad_rows) {
        fault = land_without_bad(p, l);
        return fault == PG_FAULT_DOWN ? fault : PG_FAULT_NONE;
    }
    landing_done(l);
    landing_fail(l, fault == PG_FAULT_FENCED ? LANDING_FENCED : LANDING_FAILED, "%s%s%s",
                 p->conn.message, p->conn.column[0] ? ", column " : "", p->conn.column);
    return PG_FAULT_NONE;
}

/* Until every landing has a verdict, or the server is at fault. */
static enum pg_fault land(struct postgres *p, struct landing **list, size_t n)
{
    for (unsigned tries = 0;; tries++) {
        size_t left = 0;
        for (size_t i = 0; i < n; i++)
            left += list[i]->verdict == LANDING_UNDECIDED;
        if (left == 0)
            return PG_FAULT_NONE;
        enum pg_fault fault = transaction(p, list, n);
        if (fault != PG_FAULT_NONE && fault != PG_FAULT_DOWN)
            fault = after_fault(p, fault, list, n, tries);
        if (fault == PG_FAULT_DOWN)
            return fault;
    }
}

/* ---- the kind ---- */

static int postgres_check(const struct sink_settings *s, struct error *e)
{
    char *why = NULL;
    PQconninfoOption *options = PQconninfoParse(s->url, &why);
    if (!options) {
        error_set(e, ERR_INVALID_ARGUMENT, "url: %s", why ? why : "no memory");
        PQfreemem(why);
        return ERR_INVALID_ARGUMENT;
    }
    bool secret = false;
    for (const PQconninfoOption *o = options; o->keyword; o++)
        secret |= strcmp(o->keyword, "password") == 0 && o->val;
    PQconninfoFree(options);
    if (secret)
        return error_set(
            e, ERR_INVALID_ARGUMENT,
            "url: it has a password in it; put that into a file and give password_file");
    return ERR_OK;
}

static void postgres_close(struct sink_conn *c)
{
    struct postgres *p = of(c);
    if (!p)
        return;
    forget_stages(p);
    pg_table_forget(&p->tables);
    pg_conn_close(&p->conn);
    buf_done(&p->out);
    buf_done(&p->sql);
    free(p);
}

static int postgres_open(const struct sink_settings *s, uint32_t timeout_ms, struct sink_conn **ret,
                         struct error *e)
{
    struct postgres *p = calloc(1, sizeof(*p));
    if (!p)
        return error_set(e, ERR_NOMEM, "no memory for a connection");
    buf_init(&p->out, 0);
    buf_init(&p->sql, 0);
    const int rc = pg_conn_open(&p->conn, s, timeout_ms, e);
    if (rc != ERR_OK) {
        p->conn.ca_fd = -1;
        postgres_close((struct sink_conn *)p);
        return rc;
    }
    *ret = (struct sink_conn *)p;
    return ERR_OK;
}

static int postgres_write(struct sink_conn *c, struct landing **list, size_t n, uint32_t timeout_ms,
                          struct error *e)
{
    struct postgres *p = of(c);
    pg_conn_begin(&p->conn, timeout_ms);
    if (land(p, list, n) == PG_FAULT_DOWN)
        return error_set(e, ERR_UNAVAILABLE, "%s", p->conn.message);
    return ERR_OK;
}

static int check_version(struct postgres *p, struct error *e)
{
    PGresult *r = NULL;
    const enum pg_fault fault =
        pg_conn_exec(&p->conn,
                     "SELECT CASE WHEN to_regprocedure('drover.version()') IS NULL THEN 0"
                     " ELSE 1 END",
                     &r);
    bool there = fault == PG_FAULT_NONE && PQgetvalue(r, 0, 0)[0] == '1';
    PQclear(r);
    if (fault == PG_FAULT_DOWN)
        return error_set(e, ERR_UNAVAILABLE, "%s", p->conn.message);
    int version = 0;
    if (there && pg_conn_exec(&p->conn, "SELECT drover.version()", &r) == PG_FAULT_NONE) {
        version = atoi(PQgetvalue(r, 0, 0));
        PQclear(r);
    }
    if (version == VERSION)
        return ERR_OK;
    return error_set(
        e, ERR_INVALID_SPEC,
        version ? "name: the schema drover of this database has version %d, this program "
                  "knows %d: run `drover sink init` of the same version"
                : "name: the database has no schema drover for this role: run `drover sink "
                  "init` (version %d, %d)",
        version, VERSION);
}

/* INSERT, and for upsert and merge SELECT and UPDATE and a temporary table. */
static int check_privileges(struct postgres *p, const struct spec_sink *target, struct error *e)
{
    PGresult *r = NULL;
    struct buf quoted;
    buf_init(&quoted, 0);
    pg_conn_quote(&quoted, target->table, true);
    char *table = buf_take_str(&quoted);
    if (!table)
        return error_set(e, ERR_NOMEM, "no memory");
    const bool staged = target->mode != SPEC_SINK_APPEND;
    const enum pg_fault fault = pg_conn_query(
        &p->conn,
        staged ? "SELECT has_table_privilege($1, 'INSERT') AND has_table_privilege($1, 'UPDATE')"
                 " AND has_table_privilege($1, 'SELECT') AND"
                 " has_database_privilege(current_database(), 'TEMPORARY'), current_user"
               : "SELECT has_table_privilege($1, 'INSERT'), current_user",
        1, (const char *const[]){table}, &r);
    free(table);
    if (fault != PG_FAULT_NONE)
        return error_set(e, fault == PG_FAULT_DOWN ? ERR_UNAVAILABLE : ERR_INVALID_SPEC,
                         "table: %s", p->conn.message);
    int rc = ERR_OK;
    if (PQgetvalue(r, 0, 0)[0] != 't')
        rc = error_set(e, ERR_INVALID_SPEC, "table: role \"%s\" may not %s \"%s\"",
                       PQgetvalue(r, 0, 1),
                       staged ? "select, insert, update and stage rows for" : "insert into",
                       target->table);
    PQclear(r);
    return rc;
}

static int postgres_fits(struct sink_conn *c, const struct spec_sink *target,
                         const struct batch *columns, uint32_t timeout_ms, struct error *e)
{
    struct postgres *p = of(c);
    const struct pg_table *table = NULL;
    pg_conn_begin(&p->conn, timeout_ms);
    pg_table_forget(&p->tables);
    int rc = check_version(p, e);
    if (rc == ERR_OK)
        rc = pg_table_get(&p->tables, &p->conn, target->table, &table, e);
    if (rc == ERR_NOT_FOUND)
        return ERR_INVALID_SPEC;
    if (rc == ERR_OK)
        rc = pg_table_fits(table, columns, e);
    if (rc == ERR_OK && target->n_keys > 0)
        rc = pg_table_unique(&p->conn, table, target->keys, target->n_keys, e);
    if (rc == ERR_OK)
        rc = check_privileges(p, target, e);
    return rc;
}

static int postgres_job_end(struct sink_conn *c, const struct spec_sink *target UNUSED,
                            const uint8_t uid[SINK_UID_LEN], uint64_t generation, bool fenced,
                            const char *state UNUSED, uint32_t timeout_ms, struct error *e)
{
    struct postgres *p = of(c);
    if (!fenced)
        return ERR_OK;
    pg_conn_begin(&p->conn, timeout_ms);
    buf_clear(&p->sql);
    buf_str(&p->sql, "SELECT drover.fence('");
    put_uuid(&p->sql, uid);
    buf_printf(&p->sql, "', %llu)", (unsigned long long)generation);
    if (run(p, &p->sql) != PG_FAULT_NONE)
        return error_set(e, ERR_UNAVAILABLE, "%s", p->conn.message);
    return ERR_OK;
}

const struct sink_kind sink_postgres = {.kind = SPEC_SINK_POSTGRES,
                                        .check = postgres_check,
                                        .open = postgres_open,
                                        .write = postgres_write,
                                        .close = postgres_close,
                                        .fits = postgres_fits,
                                        .job_end = postgres_job_end};
