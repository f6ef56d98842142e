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

#include "pg_batch.h"

enum {
    AGAIN_MAX = 5, /* deadlocks in a row */
    AGAIN_WAIT_US = 20000,
    VERSION = 2 /* of deploy/sql/drover.sql */
};

static struct postgres *of(struct sink_conn *c)
{
    return (struct postgres *)c;
}

/* ---- when a transaction failed ---- */

/* Asks the ledger; *ret_n of the landings were there. */
static enum pg_fault mark_landed(struct postgres *p, struct landing **list, size_t n, size_t *ret_n)
{
    PGresult *r = NULL;
    *ret_n = 0;
    buf_clear(&p->sql);
    buf_str(&p->sql, "SELECT replace(job::text, '-', ''), task, sink FROM drover.landed(");
    pg_batch_put_tasks(&p->sql, list, n, false);
    buf_str(&p->sql, ")");
    const enum pg_fault fault = pg_conn_exec(&p->conn, pg_batch_sql(&p->sql), &r);
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

static enum pg_fault land(struct postgres *p, struct landing **list, size_t n);

static enum pg_fault land_halves(struct postgres *p, struct landing **list, size_t n)
{
    const enum pg_fault fault = land(p, list, n / 2);
    return fault == PG_FAULT_DOWN ? fault : land(p, list + n / 2, n - n / 2);
}

static void forget(struct postgres *p)
{
    pg_table_forget(&p->tables);
    pg_batch_forget_stages(p);
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
    case PG_FAULT_DATA:
        /* Where the table has a unique index of its own, rows that are there already break that one, long
         * before the ledger is asked. */
        if (mark_landed(p, list, n, &landed) == PG_FAULT_DOWN)
            return PG_FAULT_DOWN;
        if (landed > 0)
            return PG_FAULT_NONE;
        if (n > 1 || tries > 0 || !list[0]->target->fail_bad_rows)
            break;
        forget(p); /* rows for a table that has been altered look like bad ones */
        return PG_FAULT_NONE;
    case PG_FAULT_CATALOG:
        forget(p);
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
        fault = pg_batch_without_bad(p, l);
        if (fault == PG_FAULT_NONE || fault == PG_FAULT_DOWN)
            return fault;
        /* Something else came up, such as its other writer's COMMIT: the next try tells. */
        if (fault != PG_FAULT_FENCED && fault != PG_FAULT_REFUSED && tries < AGAIN_MAX)
            return PG_FAULT_NONE;
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
        enum pg_fault fault = pg_batch_write(p, list, n);
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
        /* libpq quotes the part that it does not understand, which may be a password */
        const bool secret = strchr(s->url, '@') || strstr(s->url, "password");
        error_set(e, ERR_INVALID_ARGUMENT, "url: %.*s", why ? (int)strcspn(why, "\n") : 0,
                  why ? why : "");
        if (secret || !why)
            error_set(
                e, ERR_INVALID_ARGUMENT,
                "url: it is not a valid postgresql:// address (%%XX in it must be hexadecimal, "
                "[...] an IPv6 address)");
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
    pg_batch_forget_stages(p);
    pg_table_forget(&p->tables);
    pg_conn_close(&p->conn);
    buf_done(&p->out);
    buf_done(&p->sql);
    buf_done(&p->checks);
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
    buf_init(&p->checks, 0);
    const int rc = pg_conn_open(&p->conn, s, timeout_ms, e);
    if (rc != ERR_OK) {
        p->conn.ca_fd = -1;
        postgres_close((struct sink_conn *)p);
        return rc;
    }
    *ret = (struct sink_conn *)p;
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

static int postgres_write(struct sink_conn *c, struct landing **list, size_t n, uint32_t timeout_ms,
                          struct error *e)
{
    struct postgres *p = of(c);
    pg_conn_begin(&p->conn, timeout_ms);
    /* A database that is not ready is that for every job: its administrator's matter, not the tasks'. */
    if (!p->ready && check_version(p, e) != ERR_OK) {
        e->code = ERR_UNAVAILABLE;
        return ERR_UNAVAILABLE;
    }
    p->ready = true;
    if (land(p, list, n) == PG_FAULT_DOWN)
        return error_set(e, ERR_UNAVAILABLE, "%s", p->conn.message);
    return ERR_OK;
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
    pg_batch_put_uuid(&p->sql, uid);
    buf_printf(&p->sql, "', %llu)", (unsigned long long)generation);
    if (pg_batch_run(p, &p->sql) != PG_FAULT_NONE)
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
