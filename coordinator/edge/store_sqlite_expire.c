/* store_sqlite_expire.c: deletes what nobody needs any more, in small portions. */
#include "store_sqlite.h"

/*
 * What is deleted when:
 *
 *   results expire    results and rejects; what was seen, the chunks and the uses of blobs too, unless
 *   (expires_ms)      there are dead letters, since retrying one opens the job again
 *   + STORE_JOB_KEEP  the job's row, statistics and specification, unless there are dead letters
 *   removed           everything
 *   cancelled         pending tasks that were too many to delete at the cancel
 *
 * One call deletes a few thousand small rows or a few hundred large ones, so that it takes
 * milliseconds.
 */

enum { SMALL_ROWS = 5000, LARGE_ROWS = 200 };

/* Runs a deletion over (job, limit); how many rows went. */
static int delete_some(struct store_sqlite *s, enum store_sqlite_statement which, uint64_t job,
                       int limit, int *ret_n, struct error *e)
{
    CLEANUP(sq_done) struct sq q = {s->statements[which], 0, 0};
    sq_u64(&q, job);
    sq_i64(&q, limit);
    int rc = sq_step(&q);
    if (rc != SQLITE_DONE)
        return store_sqlite_error(s, rc, "delete what has expired", e);
    *ret_n = sqlite3_changes(s->db);
    return 0;
}

int store_sqlite_expire_tasks(struct store_sqlite *s, struct store_sqlite_job *job, int max,
                              struct error *e)
{
    int n = 0;
    int code = delete_some(s, SQ_TASK_EXPIRE, job->id, max, &n, e);
    if (code)
        return code;
    job->tasks_pending -= (uint64_t)n;
    s->meta.tasks_pending -= (uint64_t)n;
    return 0;
}

/* Deletes from each table in turn until one portion is full; then there is more to do. */
struct portion {
    enum store_sqlite_statement statement;
    int limit;
};

static int delete_portion(struct store_sqlite *s, uint64_t job, const struct portion *portions,
                          size_t n, bool *ret_more, struct error *e)
{
    *ret_more = false;
    for (size_t i = 0; i < n; i++) {
        int gone = 0;
        int code = delete_some(s, portions[i].statement, job, portions[i].limit, &gone, e);
        if (code)
            return code;
        if (portions[i].statement == SQ_RESULT_EXPIRE)
            s->meta.results -= (uint64_t)gone;
        if (gone >= portions[i].limit) {
            *ret_more = true;
            return 0;
        }
    }
    return 0;
}

static const struct portion outputs[] = {
    {SQ_PART_EXPIRE, LARGE_ROWS},
    {SQ_RESULT_EXPIRE, LARGE_ROWS},
    {SQ_REJECT_EXPIRE, LARGE_ROWS},
};
static const struct portion inputs[] = {
    {SQ_SEEN_EXPIRE, SMALL_ROWS},
    {SQ_CHUNK_EXPIRE, SMALL_ROWS},
    {SQ_BLOB_EXPIRE, SMALL_ROWS},
};
static const struct portion others[] = {
    {SQ_DEAD_EXPIRE, LARGE_ROWS},
    {SQ_STAT_EXPIRE, SMALL_ROWS},
};

/* ---- a job whose time has come ---- */

static int expire_job(struct store_sqlite *s, struct store_sqlite_job *job, int64_t now_ms,
                      struct error *e)
{
    bool more = false;
    store_sqlite_job_touch(s, job, true);
    if (job->tasks_pending > 0) { /* cancelled with many */
        int code = store_sqlite_expire_tasks(s, job, SMALL_ROWS, e);
        if (code == 0 && job->tasks_pending == 0)
            job->due_ms = job->expires_ms;
        return code;
    }
    /* At once for those who read, even where deleting takes several calls. */
    job->expired = true;
    job->held = false;
    int code = delete_portion(s, job->id, outputs, ARRAY_LEN(outputs), &more, e);
    if (code == 0 && !more && job->dead == 0)
        code = delete_portion(s, job->id, inputs, ARRAY_LEN(inputs), &more, e);
    if (code || more)
        return code;
    int64_t end_ms = job->expires_ms + STORE_JOB_KEEP_MS;
    if (now_ms < end_ms)
        job->due_ms = end_ms;
    else if (job->dead > 0)
        job->due_ms = now_ms + STORE_JOB_KEEP_MS;
    else
        store_sqlite_job_state(s, job, STORE_SQLITE_JOB_REMOVED);
    if (job->state == STORE_SQLITE_JOB_REMOVED)
        job->due_ms = 0;
    return 0;
}

/* ---- a job that was removed ---- */

static int delete_row(struct store_sqlite *s, enum store_sqlite_statement which, uint64_t job,
                      struct error *e)
{
    CLEANUP(sq_done) struct sq q = {s->statements[which], 0, 0};
    sq_u64(&q, job);
    int rc = sq_step(&q);
    return rc == SQLITE_DONE ? 0 : store_sqlite_error(s, rc, "delete a job", e);
}

static int purge_job(struct store_sqlite *s, uint64_t job, struct error *e)
{
    bool more = false;
    int tasks = 0;
    int code = delete_some(s, SQ_TASK_EXPIRE, job, SMALL_ROWS, &tasks, e);
    s->meta.tasks_pending -= (uint64_t)tasks;
    if (code == 0 && tasks < SMALL_ROWS)
        code = delete_portion(s, job, outputs, ARRAY_LEN(outputs), &more, e);
    if (code == 0 && tasks < SMALL_ROWS && !more)
        code = delete_portion(s, job, inputs, ARRAY_LEN(inputs), &more, e);
    if (code == 0 && tasks < SMALL_ROWS && !more)
        code = delete_portion(s, job, others, ARRAY_LEN(others), &more, e);
    if (code || more || tasks >= SMALL_ROWS)
        return code;
    code = delete_row(s, SQ_SPEC_DELETE, job, e);
    return code ? code : delete_row(s, SQ_JOB_DELETE, job, e);
}

/* ---- the call ---- */

static int first_of(struct store_sqlite *s, struct sq *q, uint64_t *ret, struct error *e)
{
    int rc = sq_step(q);
    *ret = rc == SQLITE_ROW ? sq_get_u64(q) : 0;
    return rc == SQLITE_ROW || rc == SQLITE_DONE
               ? 0
               : store_sqlite_error(s, rc, "look for what has expired", e);
}

static int first_removed(struct store_sqlite *s, uint64_t *ret, struct error *e)
{
    SQ(q, s, JOB_REMOVED);
    return first_of(s, &q, ret, e);
}

static int first_due(struct store_sqlite *s, int64_t now_ms, uint64_t *ret, struct error *e)
{
    SQ(q, s, JOB_DUE);
    sq_i64(&q, now_ms);
    return first_of(s, &q, ret, e);
}

static int expire_one(struct store_sqlite *s, int64_t now_ms, uint64_t removed, uint64_t due,
                      struct error *e)
{
    struct store_sqlite_job *job = NULL;
    if (removed)
        return purge_job(s, removed, e);
    int code = store_sqlite_job_load(s, due, &job, e);
    return code ? code : expire_job(s, job, now_ms, e);
}

int store_sqlite_expire(struct store *base, int64_t now_ms, bool *ret_more, struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    struct store_sqlite_op op;
    uint64_t removed = 0, due = 0;
    int code = store_sqlite_enter(s, true, e);
    if (code == 0) /* also writes the cache back, so that the queries below see it */
        code = store_sqlite_op_begin(&op, s, NULL, true, e);
    if (code)
        return code;
    code = first_removed(s, &removed, e);
    if (code == 0 && !removed)
        code = first_due(s, now_ms, &due, e);
    if (code == 0 && (removed || due))
        code = expire_one(s, now_ms, removed, due, e);
    code = store_sqlite_op_end(&op, code, e);
    if (code == 0)
        *ret_more = removed || due;
    return code;
}
