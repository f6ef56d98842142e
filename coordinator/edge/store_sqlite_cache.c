/* store_sqlite_cache.c: job records in memory during a transaction, and operations that are all or
 * nothing. It knows no operation. */
#include "store_sqlite.h"

/* ---- the record and its row ---- */

static void read_record(struct sq *q, struct store_sqlite_job *job)
{
    job->id = sq_get_u64(q);
    job->state = (uint8_t)sq_get_i64(q);
    job->priority = (uint8_t)sq_get_i64(q);
    job->sealed = sq_get_i64(q) != 0;
    job->cancelling = sq_get_i64(q) != 0;
    job->paused = sq_get_i64(q) != 0;
    job->unique = sq_get_i64(q) != 0;
    job->held = sq_get_i64(q) != 0;
    job->expired = sq_get_i64(q) != 0;
    job->task_items = sq_get_u32(q);
    job->items_max = sq_get_u64(q);
    job->created_ms = sq_get_i64(q);
    job->ended_ms = sq_get_i64(q);
    job->expires_ms = sq_get_i64(q);
    job->ttl_ms = sq_get_i64(q);
    job->due_ms = sq_get_i64(q);
    job->items = sq_get_u64(q);
    job->duplicates = sq_get_u64(q);
    job->tasks = sq_get_u64(q);
    job->tasks_done = sq_get_u64(q);
    job->tasks_pending = sq_get_u64(q);
    job->dead = sq_get_u64(q);
    job->rows = sq_get_u64(q);
    job->rejects = sq_get_u64(q);
    job->gather_task = sq_get_u64(q);
}

void store_sqlite_cache_read(struct sq *q, struct store_sqlite_job *ret)
{
    *ret = (struct store_sqlite_job){0};
    read_record(q, ret);
}

static void bind_counts(struct sq *q, const struct store_sqlite_job *job)
{
    sq_u64(q, job->id);
    sq_u64(q, job->items);
    sq_u64(q, job->duplicates);
    sq_u64(q, job->tasks);
    sq_u64(q, job->tasks_done);
    sq_u64(q, job->tasks_pending);
    sq_u64(q, job->dead);
    sq_u64(q, job->rows);
    sq_u64(q, job->rejects);
}

static int write_counts(struct store_sqlite *s, const struct store_sqlite_job *job)
{
    SQ(q, s, JOB_COUNTS);
    bind_counts(&q, job);
    return sq_step(&q);
}

/* A statement of its own: it has indexes to keep, which the counters do not. */
static int write_state(struct store_sqlite *s, const struct store_sqlite_job *job)
{
    SQ(q, s, JOB_STATE);
    bind_counts(&q, job);
    sq_u64(&q, job->state);
    sq_i64(&q, job->sealed);
    sq_i64(&q, job->cancelling);
    sq_i64(&q, job->paused);
    sq_i64(&q, job->held);
    sq_i64(&q, job->expired);
    sq_i64(&q, job->ended_ms);
    sq_i64(&q, job->expires_ms);
    sq_i64(&q, job->due_ms);
    sq_u64(&q, job->gather_task);
    return sq_step(&q);
}

static int write_record(struct store_sqlite *s, struct store_sqlite_job *job, struct error *e)
{
    if (!job->dirty_counts && !job->dirty_state)
        return 0;
    int rc = job->dirty_state ? write_state(s, job) : write_counts(s, job);
    if (rc != SQLITE_DONE)
        return store_sqlite_error(s, rc, "write a job", e);
    job->dirty_counts = job->dirty_state = false;
    return 0;
}

/* ---- the cache ---- */

static struct store_sqlite_job *slot_of(struct store_sqlite *s, uint64_t id)
{
    return &s->jobs[id & (STORE_SQLITE_JOBS - 1)];
}

static void unlist(struct store_sqlite *s, const struct store_sqlite_job *job)
{
    uint16_t slot = (uint16_t)(job - s->jobs);
    for (size_t i = 0; i < s->n_dirty; i++)
        if (s->dirty[i] == slot) {
            s->dirty[i] = s->dirty[--s->n_dirty];
            return;
        }
}

/* Empties a slot, writing its record back. */
static int evict(struct store_sqlite *s, struct store_sqlite_job *slot, struct error *e)
{
    if (slot->id == 0)
        return 0;
    if (slot->dirty_counts || slot->dirty_state) {
        int code = write_record(s, slot, e);
        if (code)
            return code;
        unlist(s, slot);
    }
    slot->id = 0;
    return 0;
}

int store_sqlite_job_load(struct store_sqlite *s, uint64_t id, struct store_sqlite_job **ret,
                          struct error *e)
{
    struct store_sqlite_job *slot = slot_of(s, id);
    if (id == 0 || id > INT64_MAX)
        return error_set(e, ERR_NOT_FOUND, "no job %llu", (unsigned long long)id);
    if (slot->id != id) {
        int code = evict(s, slot, e);
        if (code)
            return code;
        SQ(q, s, JOB_GET);
        sq_u64(&q, id);
        int rc = sq_step(&q);
        if (rc == SQLITE_DONE)
            return error_set(e, ERR_NOT_FOUND, "no job %llu", (unsigned long long)id);
        if (rc != SQLITE_ROW)
            return store_sqlite_error(s, rc, "read a job", e);
        store_sqlite_cache_read(&q, slot);
    } else if (slot->state == STORE_SQLITE_JOB_REMOVED) {
        return error_set(e, ERR_NOT_FOUND, "no job %llu", (unsigned long long)id);
    }
    *ret = slot;
    return 0;
}

int store_sqlite_job_put(struct store_sqlite *s, const struct store_sqlite_job *job,
                         struct error *e)
{
    struct store_sqlite_job *slot = slot_of(s, job->id);
    int code = evict(s, slot, e);
    if (code == 0)
        *slot = *job;
    return code;
}

void store_sqlite_job_touch(struct store_sqlite *s, struct store_sqlite_job *job, bool state)
{
    if (!job->dirty_counts && !job->dirty_state)
        s->dirty[s->n_dirty++] = (uint16_t)(job - s->jobs);
    job->dirty_counts = true;
    job->dirty_state |= state;
}

void store_sqlite_job_state(struct store_sqlite *s, struct store_sqlite_job *job, uint8_t state)
{
    if (job->state == STORE_JOB_OPEN && state != STORE_JOB_OPEN)
        s->meta.jobs_open--;
    if (job->state != STORE_JOB_OPEN && state == STORE_JOB_OPEN)
        s->meta.jobs_open++;
    job->state = state;
    store_sqlite_job_touch(s, job, true);
}

static int write_meta(struct store_sqlite *s, struct error *e)
{
    const struct store_sqlite_meta *m = &s->meta;
    SQ(q, s, META_SET);
    sq_u64(&q, m->epoch);
    sq_u64(&q, m->next_job);
    sq_u64(&q, m->next_task);
    sq_u64(&q, m->next_seq);
    sq_u64(&q, m->jobs_open);
    sq_u64(&q, m->tasks_pending);
    sq_u64(&q, m->results);
    int rc = sq_step(&q);
    return rc == SQLITE_DONE ? 0 : store_sqlite_error(s, rc, "write meta", e);
}

int store_sqlite_flush(struct store_sqlite *s, struct error *e)
{
    if (!s->in_transaction)
        return 0;
    for (; s->n_dirty > 0; s->n_dirty--) {
        int code = write_record(s, &s->jobs[s->dirty[s->n_dirty - 1]], e);
        if (code)
            return code;
    }
    if (memcmp(&s->meta, &s->meta_committed, sizeof s->meta) == 0)
        return 0;
    return write_meta(s, e);
}

void store_sqlite_cache_drop(struct store_sqlite *s)
{
    for (size_t i = 0; i < STORE_SQLITE_JOBS; i++)
        s->jobs[i] = (struct store_sqlite_job){0};
    s->n_dirty = 0;
}

/* ---- one operation, all or nothing ---- */

int store_sqlite_op_begin(struct store_sqlite_op *op, struct store_sqlite *s,
                          struct store_sqlite_job *job, bool savepoint, struct error *e)
{
    *op = (struct store_sqlite_op){.s = s, .job = job, .savepoint = savepoint};
    if (!job) {
        int code = store_sqlite_flush(s, e);
        if (code)
            return code;
    } else {
        store_sqlite_job_touch(s, job, false); /* listed now, so that the copy is too */
        op->saved_job = *job;
    }
    op->saved_meta = s->meta;
    if (!savepoint)
        return 0;
    SQ(q, s, SAVEPOINT);
    int rc = sq_step(&q);
    return rc == SQLITE_DONE ? 0 : store_sqlite_error(s, rc, "savepoint", e);
}

static int step_one(struct store_sqlite *s, enum store_sqlite_statement which)
{
    struct sq q = {s->statements[which], 0, 0};
    int rc = sq_step(&q);
    sq_done(&q);
    return rc;
}

/* Takes back what the operation did. When that fails, the whole transaction goes. */
static void undo(struct store_sqlite_op *op, const struct error *why)
{
    struct store_sqlite *s = op->s;
    if (op->job)
        *op->job = op->saved_job;
    else
        store_sqlite_cache_drop(s);
    s->meta = op->saved_meta;
    if (s->lost.code || !op->savepoint)
        return;
    if (step_one(s, SQ_UNDO) == SQLITE_DONE && step_one(s, SQ_RELEASE) == SQLITE_DONE)
        return;
    if (!sqlite3_get_autocommit(s->db))
        (void)step_one(s, SQ_ROLLBACK);
    s->lost = *why;
    if (!s->lost.code)
        s->lost.code = ERR_STORE;
}

int store_sqlite_op_end(struct store_sqlite_op *op, int rc, struct error *e)
{
    struct error mine = {0};
    if (rc == 0 && op->savepoint) {
        int step = step_one(op->s, SQ_RELEASE);
        if (step != SQLITE_DONE) {
            rc = store_sqlite_error(op->s, step, "release a savepoint", &mine);
            if (e)
                *e = mine;
        }
    }
    if (rc == 0)
        return 0;
    if (e)
        mine = *e;
    mine.code = (enum err)rc;
    undo(op, &mine);
    return rc;
}
