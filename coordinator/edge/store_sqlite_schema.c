/* store_sqlite_schema.c: the tables, and how older ones become newer ones. */
#include <stdio.h>

#include "store_sqlite.h"

enum { APPLICATION_ID = 0x64726f76 /* "drov" */ };

/* Entry i brings a database from version i to i + 1. Never change one that was released. */
static const char *const migrations[] = {
    "CREATE TABLE meta("
    " one INTEGER PRIMARY KEY CHECK(one=1),"
    " epoch INTEGER NOT NULL, next_job INTEGER NOT NULL, next_task INTEGER NOT NULL,"
    " next_seq INTEGER NOT NULL, jobs_open INTEGER NOT NULL, tasks_pending INTEGER NOT NULL,"
    " results INTEGER NOT NULL);"
    "INSERT INTO meta VALUES(1,0,1,1,1,0,0,0);"

    "CREATE TABLE job("
    " id INTEGER PRIMARY KEY,"
    " state INTEGER NOT NULL, priority INTEGER NOT NULL, sealed INTEGER NOT NULL DEFAULT 0,"
    " cancelling INTEGER NOT NULL DEFAULT 0, paused INTEGER NOT NULL DEFAULT 0,"
    " uniq INTEGER NOT NULL, held INTEGER NOT NULL DEFAULT 1, expired INTEGER NOT NULL DEFAULT 0,"
    " task_items INTEGER NOT NULL, items_max INTEGER NOT NULL,"
    " created_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL DEFAULT 0,"
    " expires_ms INTEGER NOT NULL DEFAULT 0, ttl_ms INTEGER NOT NULL,"
    " due_ms INTEGER NOT NULL DEFAULT 0,"
    " items INTEGER NOT NULL DEFAULT 0, duplicates INTEGER NOT NULL DEFAULT 0,"
    " tasks INTEGER NOT NULL DEFAULT 0, tasks_done INTEGER NOT NULL DEFAULT 0,"
    " tasks_pending INTEGER NOT NULL DEFAULT 0, dead INTEGER NOT NULL DEFAULT 0,"
    " rows INTEGER NOT NULL DEFAULT 0, rejects INTEGER NOT NULL DEFAULT 0,"
    " client TEXT NOT NULL, idem_key TEXT NOT NULL, name TEXT NOT NULL);"
    "CREATE UNIQUE INDEX job_key ON job(client,idem_key) WHERE idem_key<>'' AND held=1;"
    "CREATE UNIQUE INDEX job_name ON job(name) WHERE name<>'' AND held=1;"
    "CREATE INDEX job_state ON job(state);"
    "CREATE INDEX job_due ON job(due_ms) WHERE due_ms>0;"
    /* Apart from the counters, which are written often: a specification may be long. */
    "CREATE TABLE job_spec(job INTEGER PRIMARY KEY, spec TEXT NOT NULL);"
    "CREATE TABLE chunk(job INTEGER NOT NULL, no INTEGER NOT NULL, PRIMARY KEY(job,no))"
    " WITHOUT ROWID;"

    "CREATE TABLE task("
    " id INTEGER PRIMARY KEY, job INTEGER NOT NULL, key INTEGER NOT NULL,"
    " attempt INTEGER NOT NULL, kills INTEGER NOT NULL DEFAULT 0, after_ms INTEGER NOT NULL,"
    " error TEXT NOT NULL, input BLOB NOT NULL);"
    "CREATE INDEX task_job ON task(job);"
    "CREATE TABLE dead("
    " task INTEGER PRIMARY KEY, job INTEGER NOT NULL, key INTEGER NOT NULL,"
    " attempt INTEGER NOT NULL, kills INTEGER NOT NULL, at_ms INTEGER NOT NULL,"
    " error TEXT NOT NULL, input BLOB NOT NULL);"
    "CREATE INDEX dead_job ON dead(job);"
    "CREATE TABLE seen(job INTEGER NOT NULL, hash BLOB NOT NULL, PRIMARY KEY(job,hash))"
    " WITHOUT ROWID;"

    "CREATE TABLE result("
    " id INTEGER PRIMARY KEY, job INTEGER NOT NULL, task INTEGER NOT NULL, n INTEGER NOT NULL,"
    " data BLOB NOT NULL);"
    "CREATE INDEX result_job ON result(job);"
    "CREATE TABLE reject("
    " id INTEGER PRIMARY KEY, job INTEGER NOT NULL, task INTEGER NOT NULL, n INTEGER NOT NULL,"
    " data BLOB NOT NULL);"
    "CREATE INDEX reject_job ON reject(job);"
    "CREATE TABLE stat(job INTEGER NOT NULL, name TEXT NOT NULL, value INTEGER NOT NULL,"
    " PRIMARY KEY(job,name)) WITHOUT ROWID;"
    "CREATE TABLE drain(worker TEXT PRIMARY KEY) WITHOUT ROWID;",

    "ALTER TABLE job ADD COLUMN uid BLOB NOT NULL DEFAULT x'';"
    "UPDATE job SET uid=randomblob(16);"
    /* Breakers that an administrator tripped (1) or pinned closed (2). */
    "CREATE TABLE breaker(downstream TEXT PRIMARY KEY, manual INTEGER NOT NULL) WITHOUT ROWID;",

    /* What tasks of a stage that gathers came to, until the task that brings it together is done. */
    "CREATE TABLE part(id INTEGER PRIMARY KEY, job INTEGER NOT NULL, task INTEGER NOT NULL,"
    " n INTEGER NOT NULL, data BLOB NOT NULL);"
    "CREATE INDEX part_job ON part(job);"
    "ALTER TABLE job ADD COLUMN gather_task INTEGER NOT NULL DEFAULT 0;",

    /* Which job uses which blob. */
    "CREATE TABLE blob_use(name BLOB NOT NULL, job INTEGER NOT NULL, PRIMARY KEY(name,job))"
    " WITHOUT ROWID;"
    "CREATE INDEX blob_use_job ON blob_use(job);",

    /* The lease that may land the task's rows; 0: none yet. */
    "ALTER TABLE task ADD COLUMN land_epoch INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE task ADD COLUMN land_counter INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE dead ADD COLUMN land_epoch INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE dead ADD COLUMN land_counter INTEGER NOT NULL DEFAULT 0;",
    /* Named models. A version that was removed keeps its number, without its bytes. */
    "CREATE TABLE model(name TEXT NOT NULL, version INTEGER NOT NULL, removed INTEGER NOT NULL,"
    " blob BLOB NOT NULL, sample BLOB NOT NULL, tolerance REAL NOT NULL, info BLOB NOT NULL,"
    " created_ms INTEGER NOT NULL, PRIMARY KEY(name,version)) WITHOUT ROWID;",
};

/* The first column of the first row of a query. */
static int read_number(struct store_sqlite *s, const char *sql, int64_t *ret, struct error *e)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
        *ret = sqlite3_column_int64(stmt, 0);
    int code = rc == SQLITE_ROW ? 0 : store_sqlite_error(s, rc, "read the schema", e);
    sqlite3_finalize(stmt);
    return code;
}

static int check(struct store_sqlite *s, int64_t *ret_version, struct error *e)
{
    int64_t application = 0, tables = 0;
    int code = read_number(s, "PRAGMA application_id", &application, e);
    if (code == 0)
        code = read_number(s, "PRAGMA user_version", ret_version, e);
    if (code == 0)
        code = read_number(s, "SELECT count(*) FROM sqlite_schema", &tables, e);
    if (code)
        return code;
    if (tables > 0 && application != APPLICATION_ID)
        return error_set(e, ERR_STORE, "%s is not a database of drover; choose another directory",
                         s->path);
    if (*ret_version < 0 || *ret_version > (int64_t)ARRAY_LEN(migrations))
        return error_set(e, ERR_STORE,
                         "%s was written by a newer drover (schema %lld, this one knows %zu); "
                         "install that version again",
                         s->path, (long long)*ret_version, ARRAY_LEN(migrations));
    return 0;
}

static int migrate(struct store_sqlite *s, int64_t version, struct error *e)
{
    char text[100];
    for (size_t i = (size_t)version; i < ARRAY_LEN(migrations); i++) {
        snprintf(text, sizeof text, "PRAGMA user_version=%zu; PRAGMA application_id=%d", i + 1,
                 APPLICATION_ID);
        int code = store_sqlite_exec(s, migrations[i], "migrate", e);
        if (code == 0)
            code = store_sqlite_exec(s, text, "migrate", e);
        if (code)
            return code;
    }
    return 0;
}

static int read_meta(struct store_sqlite *s, struct error *e)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(s->db, store_sqlite_sql[SQ_META_GET], -1, &stmt, NULL);
    if (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct sq q = {stmt, 0, 0};
        struct store_sqlite_meta *m = &s->meta;
        m->epoch = sq_get_u64(&q);
        m->next_job = sq_get_u64(&q);
        m->next_task = sq_get_u64(&q);
        m->next_seq = sq_get_u64(&q);
        m->jobs_open = sq_get_u64(&q);
        m->tasks_pending = sq_get_u64(&q);
        m->results = sq_get_u64(&q);
        s->meta_committed = *m;
    }
    int code = 0;
    if (rc == SQLITE_DONE)
        code = error_set(e, ERR_STORE, "%s has lost its table meta", s->path);
    else if (rc != SQLITE_ROW)
        code = store_sqlite_error(s, rc, "read meta", e);
    sqlite3_finalize(stmt);
    return code;
}

int store_sqlite_schema_prepare(struct store_sqlite *s, struct error *e)
{
    int64_t version = 0;
    int code = store_sqlite_exec(s, "BEGIN IMMEDIATE", "open", e);
    if (code == 0)
        code = check(s, &version, e);
    if (code == 0)
        code = migrate(s, version, e);
    if (code == 0)
        code = store_sqlite_exec(s, "UPDATE meta SET epoch=epoch+1", "raise the epoch", e);
    if (code == 0)
        code = store_sqlite_exec(s, "COMMIT", "open", e);
    return code ? code : read_meta(s, e);
}
