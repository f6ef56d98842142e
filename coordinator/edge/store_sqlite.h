/*
 * store_sqlite.h: what the files of the SQLite backend share. Nobody else includes it.
 *
 *   store_sqlite.c         open, close, transactions, lock, error translation
 *   store_sqlite_schema.c  tables and migrations
 *   store_sqlite_sql.c     the table of prepared statements
 *   store_sqlite_cache.c   job records in memory, written back before a commit; savepoints
 *   store_sqlite_job.c     submit, input, seal, cancel, pause, end, remove
 *   store_sqlite_task.c    completions and dead letters
 *   store_sqlite_blob.c    which job uses which blob
 *   store_sqlite_model.c   named models
 *   store_sqlite_read.c    everything that only reads
 *   store_sqlite_expire.c  deleting what nobody needs any more, in small portions
 *   store_sqlite_space.c   what happens on a full disk
 *
 * How counters are kept: the first operation of a transaction that touches a job reads its row into
 * the cache; operations change the record; before the commit (or a read) the changed records are
 * written. So a thousand completions of one job cost one UPDATE, and are still one transaction.
 *
 * Thread rule: all of it on the one thread that owns the store.
 */
#ifndef DROVER_STORE_SQLITE_H
#define DROVER_STORE_SQLITE_H

#include <sqlite3.h>

#include "coordinator/edge/store_backend.h"
#include "coordinator/edge/store_group.h"
#include "coordinator/edge/store_sqlite_sql.h"

enum { STORE_SQLITE_JOBS = 1024 /* cached; a power of two */ };

/* Job states on disk are those of enum store_job_state and: */
enum { STORE_SQLITE_JOB_REMOVED = 0 };

/* A row of `job` without its texts. */
struct store_sqlite_job {
    uint64_t id; /* 0: the slot is empty */
    bool dirty_counts, dirty_state;
    uint8_t state, priority;
    bool sealed, cancelling, paused, unique;
    bool held;    /* answers to its name and key */
    bool expired; /* the results are gone or going */
    uint32_t task_items;
    uint64_t items_max;
    int64_t created_ms, ended_ms, expires_ms, ttl_ms;
    int64_t due_ms; /* store_expire looks at it then; 0: never */
    uint64_t items, duplicates, tasks, tasks_done, tasks_pending, dead, rows, rejects;
    uint64_t gather_task; /* brings the parts together; 0: not made */
};

/* The one row of `meta`. */
struct store_sqlite_meta {
    uint64_t epoch, next_job, next_task, next_seq; /* next_seq: results and rejects */
    uint64_t jobs_open, tasks_pending, results;
};

struct store_sqlite {
    struct store base; /* first */
    sqlite3 *db;
    sqlite3_stmt *statements[SQ_STATEMENTS];
    char *directory, *path;
    int lock_fd;
    bool in_transaction;
    struct error lost;  /* code != OK: the transaction is gone, everything in it fails with this */
    struct error fatal; /* code != OK: nothing works any more */
    struct store_sqlite_meta meta, meta_committed;
    struct store_sqlite_job jobs[STORE_SQLITE_JOBS]; /* slot: id modulo their number */
    uint16_t dirty[STORE_SQLITE_JOBS];               /* slots */
    size_t n_dirty;
    struct store_group group; /* scratch of the running operation */
    int wal_pages;            /* in the log after the last commit */
    int checkpoint_pages;     /* wal_pages at which it is copied into the database */
    struct {
        int fd;              /* of the reserve file; -1: none */
        uint64_t goal_bytes; /* its size when there is room; 0: the file system is too small */
        int log_pages; /* of log between two checkpoints, so few that the reserve holds them */
        bool refusing; /* it was given up to a full disk */
        bool full;     /* a write of the transaction found the disk full */
    } space;
};

static inline struct store_sqlite *store_sqlite_of(struct store *s)
{
    return (struct store_sqlite *)(void *)s; /* base is the first member */
}

/* ---- store_sqlite.c ---- */

/* Translates the last error of the connection, with `doing` in the text; fatal ones stick. */
int store_sqlite_error(struct store_sqlite *s, int rc, const char *doing,
                       struct error *e) MUST_CHECK;
/* Runs SQL text without results. */
int store_sqlite_exec(struct store_sqlite *s, const char *sql, const char *doing,
                      struct error *e) MUST_CHECK;
/* First thing of every operation: the error of a store or transaction that is gone. Writes assert
 * that there is a transaction; reads write back the cache so that they see it. */
int store_sqlite_enter(struct store_sqlite *s, bool write, struct error *e) MUST_CHECK;
int store_sqlite_no_memory(struct error *e) MUST_CHECK;

/* ---- store_sqlite_schema.c ---- */

/* Creates or migrates the tables, raises the epoch and reads meta, in one transaction. */
int store_sqlite_schema_prepare(struct store_sqlite *s, struct error *e) MUST_CHECK;

/* ---- store_sqlite_cache.c ---- */

/* Reads STORE_SQLITE_JOB_COLUMNS. */
void store_sqlite_cache_read(struct sq *q, struct store_sqlite_job *ret);
/* The record of a job that is not removed; NOT_FOUND. It may push another record out, so it stays
 * valid until the next call, and must not be called between op_begin and op_end. */
int store_sqlite_job_load(struct store_sqlite *s, uint64_t id, struct store_sqlite_job **ret,
                          struct error *e) MUST_CHECK;
/* Puts a new record (its row was just inserted) into the cache. */
int store_sqlite_job_put(struct store_sqlite *s, const struct store_sqlite_job *job,
                         struct error *e) MUST_CHECK;
void store_sqlite_job_touch(struct store_sqlite *s, struct store_sqlite_job *job, bool state);
/* Moves it to another state, with the counts in meta. */
void store_sqlite_job_state(struct store_sqlite *s, struct store_sqlite_job *job, uint8_t state);
int store_sqlite_flush(struct store_sqlite *s, struct error *e) MUST_CHECK;
void store_sqlite_cache_drop(struct store_sqlite *s);

/* One operation: all or nothing. For one job with few statements the record is copied and
 * restored; with job == NULL the cache is flushed first and dropped on failure, so several jobs
 * may be used. */
struct store_sqlite_op {
    struct store_sqlite *s;
    struct store_sqlite_job *job, saved_job;
    struct store_sqlite_meta saved_meta;
    bool savepoint;
};
/* savepoint false: at most one statement writes, so that the statement's own atomicity is
 * enough. */
int store_sqlite_op_begin(struct store_sqlite_op *op, struct store_sqlite *s,
                          struct store_sqlite_job *job, bool savepoint, struct error *e) MUST_CHECK;
/* Ends it as rc says and returns rc, or what went wrong at ending it. */
int store_sqlite_op_end(struct store_sqlite_op *op, int rc, struct error *e) MUST_CHECK;

/* ---- store_sqlite_job.c, task.c, blob.c, model.c, read.c, expire.c: the operations ---- */

int store_sqlite_job_submit(struct store *s, const struct store_submit *in, uint64_t *ret_job,
                            bool *ret_existing, struct error *e);
int store_sqlite_job_input(struct store *s, uint64_t job, uint64_t chunk,
                           const struct store_item *items, size_t n, struct arena *arena,
                           struct store_task **ret, size_t *ret_n, struct error *e);
int store_sqlite_job_seal(struct store *s, uint64_t job, struct error *e);
int store_sqlite_job_cancel(struct store *s, uint64_t job, int64_t now_ms, struct error *e);
int store_sqlite_job_pause(struct store *s, uint64_t job, bool on, struct error *e);
int store_sqlite_job_end(struct store *s, uint64_t job, enum store_job_state state, int64_t now_ms,
                         struct error *e);
int store_sqlite_job_remove(struct store *s, uint64_t job, struct error *e);
int store_sqlite_job_gather(struct store *s, uint64_t job, const struct store_item *item,
                            struct arena *arena, struct store_task **ret, size_t *ret_n,
                            struct error *e);
/* Whether the hash is new in the job; it is remembered when `add`. */
int store_sqlite_job_unseen(struct store_sqlite *s, struct store_sqlite_job *job,
                            struct hash128 hash, bool add, bool *ret_new,
                            struct error *e) MUST_CHECK;
/* Cuts s->group into tasks and inserts them; *ret gets them after the n that are there already. */
int store_sqlite_job_add_tasks(struct store_sqlite *s, struct store_sqlite_job *job,
                               uint32_t attempt, uint32_t retry_after_ms, struct arena *arena,
                               struct store_task **ret, size_t *ret_n, struct error *e) MUST_CHECK;

int store_sqlite_task_complete(struct store *s, const struct store_complete *in,
                               struct arena *arena, struct store_complete_ret *ret,
                               struct error *e);
int store_sqlite_task_dead_retry(struct store *s, uint64_t job, uint64_t task, struct arena *arena,
                                 struct store_task **ret, size_t *ret_n, struct error *e);
int store_sqlite_task_dead_discard(struct store *s, uint64_t job, uint64_t task, uint64_t *ret_n,
                                   struct error *e);

int store_sqlite_read_task_input(struct store *s, struct task_id task, struct arena *arena,
                                 struct span *ret, bool *ret_whole, struct error *e);
int store_sqlite_read_job_get(struct store *s, uint64_t job, struct arena *arena,
                              struct store_job *ret, struct error *e);
int store_sqlite_read_job_find(struct store *s, struct span name, uint64_t *ret, struct error *e);
int store_sqlite_read_job_list(struct store *s, uint64_t before, size_t max, struct arena *arena,
                               struct store_job **ret, size_t *ret_n, struct error *e);
int store_sqlite_read_job_stats(struct store *s, uint64_t job, struct arena *arena,
                                struct store_stat **ret, size_t *ret_n, struct error *e);
int store_sqlite_read_job_chunks(struct store *s, uint64_t job, uint64_t *ret, struct error *e);
int store_sqlite_read_replay(struct store *s, store_replay_fn *fn, void *user, struct error *e);
int store_sqlite_read_results(struct store *s, uint64_t job, uint64_t cursor, size_t max_bytes,
                              struct arena *arena, struct store_result **ret, size_t *ret_n,
                              struct error *e);
int store_sqlite_read_parts(struct store *s, uint64_t job, uint64_t cursor, size_t max_bytes,
                            struct arena *arena, struct store_result **ret, size_t *ret_n,
                            struct error *e);
int store_sqlite_read_rejects(struct store *s, uint64_t job, uint64_t cursor, size_t max_bytes,
                              struct arena *arena, struct store_result **ret, size_t *ret_n,
                              struct error *e);
int store_sqlite_read_dead_list(struct store *s, uint64_t job, uint64_t task, uint64_t after,
                                size_t max, struct arena *arena, struct store_dead **ret,
                                size_t *ret_n, struct error *e);
int store_sqlite_read_drain_list(struct store *s, struct arena *arena, struct span **ret,
                                 size_t *ret_n, struct error *e);
int store_sqlite_read_task_get(struct store *s, struct task_id task, struct arena *arena,
                               struct store_pending *ret, struct error *e);
int store_sqlite_read_breaker_list(struct store *s, struct arena *arena, struct store_breaker **ret,
                                   size_t *ret_n, struct error *e);
int store_sqlite_read_sizes(struct store *s, struct store_sizes *ret, struct error *e);

int store_sqlite_blob_use(struct store *s, uint64_t job, const struct blob_name *names, size_t n,
                          struct error *e);
int store_sqlite_blob_needed(struct store *s, const struct blob_name *names, size_t n, bool *ret,
                             struct error *e);

int store_sqlite_model_add(struct store *s, const struct store_model *in, uint64_t *ret_version,
                           bool *ret_existing, struct error *e);
int store_sqlite_model_remove(struct store *s, struct span name, uint64_t version, struct error *e);
int store_sqlite_model_list(struct store *s, struct arena *arena, struct store_model **ret,
                            size_t *ret_n, struct error *e);

/* Deletes at most `max` pending tasks of an ended job and counts them off. */
int store_sqlite_expire_tasks(struct store_sqlite *s, struct store_sqlite_job *job, int max,
                              struct error *e) MUST_CHECK;
int store_sqlite_expire(struct store *s, int64_t now_ms, bool *ret_more, struct error *e);

/* ---- store_sqlite_space.c ---- */

/* Makes the reserve file when there is room for it. Never fails: without it a full disk only hurts
 * earlier. */
void store_sqlite_space_open(struct store_sqlite *s);
void store_sqlite_space_close(struct store_sqlite *s);
/* The disk was full: gives the reserve up, so that completions go on, and refuses inputs. */
void store_sqlite_space_full(struct store_sqlite *s);
/* STORE_FULL while inputs are refused; looks whether there is room again. */
int store_sqlite_space_check(struct store_sqlite *s, struct error *e) MUST_CHECK;
uint64_t store_sqlite_space_unused(struct store_sqlite *s);     /* bytes within the database */
uint64_t store_sqlite_space_free(const struct store_sqlite *s); /* bytes of the file system */

#endif
