/*
 * store_sqlite_sql.h: every statement of the SQLite backend in one table, prepared once at open,
 * and the small functions to bind, step and read them.
 *
 * A query is used as: SQ(q, s, NAME); sq_u64(&q, v); ... rc = sq_step(&q). It resets itself when it
 * leaves its scope. Bound text and blobs are borrowed until then.
 *
 * Thread rule: as in store_sqlite.h.
 */
#ifndef DROVER_STORE_SQLITE_SQL_H
#define DROVER_STORE_SQLITE_SQL_H

#include <sqlite3.h>

#include "common/arena.h"

/* The columns in the order in which store_sqlite_cache.c reads and writes them. */
#define STORE_SQLITE_JOB_COLUMNS                                                                   \
    "id,state,priority,sealed,cancelling,paused,uniq,held,expired,task_items,items_max,"           \
    "created_ms,ended_ms,expires_ms,ttl_ms,due_ms,items,duplicates,tasks,tasks_done,"              \
    "tasks_pending,dead,rows,rejects,gather_task"

/* The same in the order of struct store_job, with the texts last. */
#define STORE_SQLITE_VIEW                                                                          \
    "SELECT " STORE_SQLITE_JOB_COLUMNS ",client,idem_key,name,spec,uid "                           \
    "FROM job JOIN job_spec ON job_spec.job=job.id "

/* Those of removed jobs are gone for everyone, though their rows may still be there. */
#define STORE_SQLITE_DEAD                                                                          \
    "SELECT task,job,attempt,kills,at_ms,error,key,input,land_epoch FROM dead "                    \
    "WHERE (SELECT state FROM job WHERE id=dead.job)<>0 "

#define STORE_SQLITE_MODEL                                                                         \
    "SELECT name,version,removed,blob,sample,tolerance,info,created_ms FROM model "

/* clang-format off */
#define STORE_SQLITE_SQL(X)                                                                        \
    X(BEGIN, "BEGIN IMMEDIATE")                                                                    \
    X(COMMIT, "COMMIT")                                                                            \
    X(ROLLBACK, "ROLLBACK")                                                                        \
    X(SAVEPOINT, "SAVEPOINT op")                                                                   \
    X(RELEASE, "RELEASE op")                                                                       \
    X(UNDO, "ROLLBACK TO op")                                                                      \
    X(META_GET, "SELECT epoch,next_job,next_task,next_seq,jobs_open,tasks_pending,results "        \
                "FROM meta")                                                                       \
    X(META_SET, "UPDATE meta SET epoch=?,next_job=?,next_task=?,next_seq=?,jobs_open=?,"           \
                "tasks_pending=?,results=?")                                                       \
    X(JOB_GET, "SELECT " STORE_SQLITE_JOB_COLUMNS " FROM job WHERE id=? AND state<>0")             \
    X(JOB_COUNTS, "UPDATE job SET items=?2,duplicates=?3,tasks=?4,tasks_done=?5,tasks_pending=?6," \
                  "dead=?7,rows=?8,rejects=?9 WHERE id=?1")                                        \
    X(JOB_STATE, "UPDATE job SET items=?2,duplicates=?3,tasks=?4,tasks_done=?5,tasks_pending=?6,"  \
                 "dead=?7,rows=?8,rejects=?9,state=?10,sealed=?11,cancelling=?12,paused=?13,"      \
                 "held=?14,expired=?15,ended_ms=?16,expires_ms=?17,due_ms=?18,gather_task=?19 "    \
                 "WHERE id=?1")                                                                    \
    X(JOB_INSERT, "INSERT INTO job(id,state,priority,uniq,task_items,items_max,created_ms,ttl_ms," \
                  "client,idem_key,name,uid) VALUES(?,1,?,?,?,?,?,?,?,?,?,randomblob(16))")        \
    X(JOB_DELETE, "DELETE FROM job WHERE id=?")                                                    \
    X(JOB_BY_KEY, "SELECT id FROM job WHERE client=? AND idem_key=? AND idem_key<>'' AND held=1")  \
    X(JOB_BY_NAME, "SELECT id FROM job WHERE name=? AND name<>'' AND held=1")                      \
    X(JOB_DUE, "SELECT id FROM job WHERE due_ms>0 AND due_ms<=? ORDER BY due_ms LIMIT 1")          \
    X(JOB_REMOVED, "SELECT id FROM job WHERE state=0 LIMIT 1")                                     \
    X(VIEW_ONE, STORE_SQLITE_VIEW "WHERE job.id=? AND state<>0")                                   \
    X(VIEW_NEWEST, STORE_SQLITE_VIEW "WHERE job.id<? AND state<>0 ORDER BY job.id DESC LIMIT ?")   \
    X(VIEW_OPEN, STORE_SQLITE_VIEW "WHERE job.id>? AND state=1 ORDER BY job.id LIMIT 1")           \
    X(SPEC_INSERT, "INSERT INTO job_spec(job,spec) VALUES(?,?)")                                   \
    X(SPEC_GET, "SELECT spec FROM job_spec WHERE job=?")                                           \
    X(SPEC_DELETE, "DELETE FROM job_spec WHERE job=?")                                             \
    X(CHUNK_INSERT, "INSERT OR IGNORE INTO chunk(job,no) VALUES(?,?)")                             \
    X(CHUNK_GET, "SELECT 1 FROM chunk WHERE job=? AND no=?")                                       \
    X(CHUNK_COUNT, "SELECT CASE WHEN EXISTS(SELECT 1 FROM chunk WHERE job=?1 AND no=0) THEN "      \
                   "(SELECT MIN(c.no)+1 FROM chunk c WHERE c.job=?1 AND NOT EXISTS"                \
                   "(SELECT 1 FROM chunk d WHERE d.job=?1 AND d.no=c.no+1)) ELSE 0 END")           \
    X(TASK_INSERT, "INSERT INTO task(id,job,key,attempt,after_ms,error,input) "                    \
                   "VALUES(?,?,?,?,?,?,?)")                                                        \
    X(TASK_DELETE, "DELETE FROM task WHERE id=? AND job=?")                                        \
    X(TASK_EXPIRE, "DELETE FROM task WHERE id IN (SELECT id FROM task WHERE job=? LIMIT ?)")       \
    X(TASK_ATTEMPT, "UPDATE task SET attempt=?3,kills=?4,after_ms=?5,"                             \
                    "error=CASE WHEN length(?6)>0 THEN ?6 ELSE error END WHERE id=?1 AND job=?2")  \
    X(TASK_LAND, "UPDATE task SET land_epoch=?3,land_counter=?4,input=coalesce(?5,input) "         \
                 "WHERE id=?1 AND job=?2 AND land_epoch=0")                                        \
    X(TASK_LANDS, "SELECT land_epoch,land_counter FROM task WHERE id=? AND job=?")                 \
    X(TASK_REVIVE, "INSERT INTO task(id,job,key,attempt,after_ms,error,input,land_epoch,"          \
                   "land_counter) SELECT task,job,key,0,0,error,input,land_epoch,land_counter "    \
                   "FROM dead WHERE task=?")                                                       \
    X(TASK_INPUT, "SELECT input,land_epoch FROM task WHERE id=?")                                  \
    X(TASK_GET, "SELECT job,key,attempt,kills,error FROM task WHERE id=?")                         \
    X(TASK_LIST, "SELECT id,key,attempt,kills,after_ms,length(input) FROM task "                   \
                 "WHERE job=? AND id>? ORDER BY id LIMIT ?")                                       \
    X(SEEN_INSERT, "INSERT OR IGNORE INTO seen(job,hash) VALUES(?,?)")                             \
    X(SEEN_GET, "SELECT 1 FROM seen WHERE job=? AND hash=?")                                       \
    X(SEEN_EXPIRE, "DELETE FROM seen WHERE job=?1 AND hash<=coalesce((SELECT hash FROM seen "      \
                   "WHERE job=?1 ORDER BY hash LIMIT 1 OFFSET ?2),x'ffffffffffffffffffffffffffffffff')") \
    X(RESULT_INSERT, "INSERT INTO result(id,job,task,n,data) VALUES(?,?,?,?,?)")                   \
    X(RESULT_LIST, "SELECT id,task,n,data FROM result WHERE job=? AND id>? ORDER BY id")           \
    X(RESULT_EXPIRE, "DELETE FROM result WHERE id IN "                                             \
                     "(SELECT id FROM result WHERE job=? LIMIT ?)")                                \
    X(PART_INSERT, "INSERT INTO part(id,job,task,n,data) VALUES(?,?,?,?,?)")                       \
    X(PART_LIST, "SELECT id,task,n,data FROM part WHERE job=? AND id>? ORDER BY id")               \
    X(PART_EXPIRE, "DELETE FROM part WHERE id IN (SELECT id FROM part WHERE job=? LIMIT ?)")       \
    X(PART_DELETE, "DELETE FROM part WHERE job=?")                                                 \
    X(REJECT_INSERT, "INSERT INTO reject(id,job,task,n,data) VALUES(?,?,?,?,?)")                   \
    X(REJECT_LIST, "SELECT id,task,n,data FROM reject WHERE job=? AND id>? ORDER BY id")           \
    X(REJECT_EXPIRE, "DELETE FROM reject WHERE id IN "                                             \
                     "(SELECT id FROM reject WHERE job=? LIMIT ?)")                                \
    X(CHUNK_EXPIRE, "DELETE FROM chunk WHERE job=?1 AND no IN "                                    \
                    "(SELECT no FROM chunk WHERE job=?1 LIMIT ?2)")                                \
    X(STAT_ADD, "UPDATE stat SET value=value+?3 WHERE job=?1 AND name=?2")                         \
    X(STAT_INSERT, "INSERT INTO stat(job,name,value) VALUES(?,?,?)")                               \
    X(STAT_LIST, "SELECT name,value FROM stat WHERE job=? ORDER BY name")                          \
    X(STAT_COUNT, "SELECT count(*) FROM stat WHERE job=?")                                         \
    X(STAT_EXPIRE, "DELETE FROM stat WHERE job=?1 AND name IN "                                    \
                   "(SELECT name FROM stat WHERE job=?1 LIMIT ?2)")                                \
    X(DEAD_INSERT, "INSERT INTO dead(task,job,key,attempt,kills,at_ms,error,input,land_epoch,"     \
                   "land_counter) "                                                                \
                   "SELECT id,job,key,?3,?4,?5,CASE WHEN length(?6)>0 THEN ?6 ELSE error END,"     \
                   "input,land_epoch,land_counter FROM task WHERE id=?1 AND job=?2")               \
    X(DEAD_LIST, STORE_SQLITE_DEAD "AND task>? ORDER BY task LIMIT ?")                             \
    X(DEAD_LIST_JOB, STORE_SQLITE_DEAD "AND job=?3 AND task>?1 ORDER BY task LIMIT ?2")            \
    X(DEAD_ONE, STORE_SQLITE_DEAD "AND task=?")                                                    \
    X(DEAD_DELETE, "DELETE FROM dead WHERE task=?")                                                \
    X(DEAD_EXPIRE, "DELETE FROM dead WHERE task IN "                                               \
                   "(SELECT task FROM dead WHERE job=? LIMIT ?)")                                  \
    X(BLOB_USE, "INSERT OR IGNORE INTO blob_use(name,job) VALUES(?,?)")                            \
    X(BLOB_NEEDED, "SELECT 1 FROM blob_use u JOIN job j ON j.id=u.job "                            \
                   "WHERE u.name=?1 AND (j.state=1 OR (j.state<>0 AND j.dead>0)) "                 \
                   "UNION ALL SELECT 1 FROM model WHERE blob=?1 OR sample=?1 LIMIT 1")             \
    X(BLOB_EXPIRE, "DELETE FROM blob_use WHERE job=?1 AND name IN "                                \
                   "(SELECT name FROM blob_use WHERE job=?1 LIMIT ?2)")                            \
    X(DRAIN_ADD, "INSERT OR IGNORE INTO drain(worker) VALUES(?)")                                  \
    X(DRAIN_DELETE, "DELETE FROM drain WHERE worker=?")                                            \
    X(BREAKER_PUT, "INSERT OR REPLACE INTO breaker(downstream,manual) VALUES(?,?)")               \
    X(BREAKER_DELETE, "DELETE FROM breaker WHERE downstream=?")                                    \
    X(BREAKER_LIST, "SELECT downstream,manual FROM breaker ORDER BY downstream")                   \
    X(DRAIN_LIST, "SELECT worker FROM drain ORDER BY worker")                                      \
    X(MODEL_INSERT, "INSERT INTO model(name,version,removed,blob,sample,tolerance,info,"           \
                    "created_ms) VALUES(?,?,0,?,?,?,?,?)")                                         \
    X(MODEL_GET, STORE_SQLITE_MODEL "WHERE name=? AND version=?")                                  \
    X(MODEL_NEWEST, STORE_SQLITE_MODEL "WHERE name=? ORDER BY version DESC LIMIT 1")               \
    X(MODEL_LIST, STORE_SQLITE_MODEL "WHERE removed=0 ORDER BY name,version")                      \
    X(MODEL_COUNT, "SELECT count(*) FROM model WHERE removed=0")                                   \
    X(MODEL_REMOVE, "UPDATE model SET removed=1,blob=x'',sample=x'',info=x'' "                     \
                    "WHERE name=?1 AND removed=0 AND (?2=0 OR version=?2)")                        \
    X(DEAD_COUNT, "SELECT count(*) FROM (SELECT 1 FROM dead LIMIT 100000)")                        \
    X(UNUSED, "SELECT freelist_count,page_size FROM pragma_freelist_count,pragma_page_size")
/* clang-format on */

enum store_sqlite_statement {
#define STORE_SQLITE_ENUM(name, sql) SQ_##name,
    STORE_SQLITE_SQL(STORE_SQLITE_ENUM)
#undef STORE_SQLITE_ENUM
        SQ_STATEMENTS
};

extern const char *const store_sqlite_sql[SQ_STATEMENTS];

struct sq {
    sqlite3_stmt *stmt;
    int column; /* last one bound or read */
    int rc;     /* first failure of a bind */
};

static inline void sq_done(struct sq *q)
{
    sqlite3_reset(q->stmt);
}

/* Declares query `var` over the statement of that name; it is reset at the end of the scope. */
#define SQ(var, store, name) CLEANUP(sq_done) struct sq var = {(store)->statements[SQ_##name], 0, 0}

static inline void sq_keep(struct sq *q, int rc)
{
    if (rc && !q->rc)
        q->rc = rc;
}

static inline void sq_i64(struct sq *q, int64_t v)
{
    sq_keep(q, sqlite3_bind_int64(q->stmt, ++q->column, v));
}

static inline void sq_u64(struct sq *q, uint64_t v)
{
    sq_i64(q, (int64_t)v);
}

static inline void sq_text(struct sq *q, struct span v)
{
    sq_keep(q, sqlite3_bind_text64(q->stmt, ++q->column, v.p ? v.p : "", v.len, SQLITE_STATIC,
                                   SQLITE_UTF8));
}

static inline void sq_blob(struct sq *q, struct span v)
{
    sq_keep(q, sqlite3_bind_blob64(q->stmt, ++q->column, v.p ? v.p : "", v.len, SQLITE_STATIC));
}

/* SQLITE_ROW, SQLITE_DONE or an error. Reading starts at the first column again. */
static inline int sq_step(struct sq *q)
{
    q->column = 0;
    return q->rc ? q->rc : sqlite3_step(q->stmt);
}

static inline int64_t sq_get_i64(struct sq *q)
{
    return sqlite3_column_int64(q->stmt, q->column++);
}

static inline uint64_t sq_get_u64(struct sq *q)
{
    return (uint64_t)sq_get_i64(q);
}

static inline uint32_t sq_get_u32(struct sq *q)
{
    return (uint32_t)sq_get_i64(q);
}

/* A copy of a text or blob in the arena; false: no memory. NULL reads as empty. */
bool store_sqlite_sql_get(struct sq *q, struct arena *arena, struct span *ret);

#endif
