/* store_sqlite_job.c: submit, input, and the states of a job. */
#include "store_sqlite.h"

enum {
    CANCEL_DELETES = 10000 /* tasks deleted at once with a cancelled job; expire does the rest */
};

static int done_or(struct store_sqlite *s, int rc, const char *doing, struct error *e)
{
    return rc == SQLITE_DONE ? 0 : store_sqlite_error(s, rc, doing, e);
}

/* ---- submit ---- */

/* The job that the query finds; 0: none. */
static int find(struct store_sqlite *s, struct sq *q, uint64_t *ret, struct error *e)
{
    int rc = sq_step(q);
    *ret = rc == SQLITE_ROW ? sq_get_u64(q) : 0;
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : store_sqlite_error(s, rc, "find a job", e);
}

static int find_existing(struct store_sqlite *s, const struct store_submit *in, uint64_t *ret,
                         struct error *e)
{
    uint64_t by_key = 0, by_name = 0;
    if (in->idem_key.len > 0) {
        SQ(q, s, JOB_BY_KEY);
        sq_text(&q, in->client);
        sq_text(&q, in->idem_key);
        int code = find(s, &q, &by_key, e);
        if (code)
            return code;
    }
    if (in->name.len > 0) {
        SQ(q, s, JOB_BY_NAME);
        sq_text(&q, in->name);
        int code = find(s, &q, &by_name, e);
        if (code)
            return code;
    }
    if (by_key && by_name && by_key != by_name)
        return error_set(e, ERR_DUPLICATE_JOB, "the key belongs to job %llu, the name to job %llu",
                         (unsigned long long)by_key, (unsigned long long)by_name);
    *ret = by_key ? by_key : by_name;
    return 0;
}

static int same_spec(struct store_sqlite *s, uint64_t job, struct span spec, struct error *e)
{
    SQ(q, s, SPEC_GET);
    sq_u64(&q, job);
    int rc = sq_step(&q);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return store_sqlite_error(s, rc, "read a specification", e);
    const char *p = rc == SQLITE_ROW ? sqlite3_column_blob(q.stmt, 0) : NULL;
    struct span there = {p, rc == SQLITE_ROW ? (size_t)sqlite3_column_bytes(q.stmt, 0) : 0};
    if (there.len > 0 && !p)
        return store_sqlite_no_memory(e);
    if (span_eq(there, spec))
        return 0;
    return error_set(e, ERR_DUPLICATE_JOB, "job %llu has that name or key and another description",
                     (unsigned long long)job);
}

static int insert_job(struct store_sqlite *s, const struct store_sqlite_job *job,
                      const struct store_submit *in, struct error *e)
{
    SQ(q, s, JOB_INSERT);
    sq_u64(&q, job->id);
    sq_i64(&q, job->priority);
    sq_i64(&q, job->unique);
    sq_i64(&q, job->task_items);
    sq_u64(&q, job->items_max);
    sq_i64(&q, job->created_ms);
    sq_i64(&q, job->ttl_ms);
    sq_text(&q, in->client);
    sq_text(&q, in->idem_key);
    sq_text(&q, in->name);
    int code = done_or(s, sq_step(&q), "insert a job", e);
    if (code)
        return code;
    SQ(spec, s, SPEC_INSERT);
    sq_u64(&spec, job->id);
    sq_text(&spec, in->spec);
    return done_or(s, sq_step(&spec), "insert a specification", e);
}

static int check_submit(const struct store_submit *in, struct error *e)
{
    if (in->task_items == 0 || in->task_items > STORE_TASK_ITEMS_MAX)
        return error_set(e, ERR_INVALID_ARGUMENT, "task_items %u is not between 1 and %d",
                         in->task_items, (int)STORE_TASK_ITEMS_MAX);
    if (in->ttl_ms < 0 || in->ttl_ms > INT64_MAX / 4 || in->now_ms < 0 ||
        in->now_ms > INT64_MAX / 4 || in->items_max > INT64_MAX)
        return error_set(e, ERR_INVALID_ARGUMENT, "a time or limit of the job is out of range");
    return 0;
}

int store_sqlite_job_submit(struct store *base, const struct store_submit *in, uint64_t *ret_job,
                            bool *ret_existing, struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    uint64_t existing = 0;
    int code = store_sqlite_enter(s, true, e);
    if (code == 0)
        code = check_submit(in, e);
    if (code == 0)
        code = find_existing(s, in, &existing, e);
    if (code)
        return code;
    if (existing) {
        code = same_spec(s, existing, in->spec, e);
        if (code == 0) {
            *ret_job = existing;
            *ret_existing = true;
        }
        return code;
    }
    struct store_sqlite_job fresh = {.id = s->meta.next_job,
                                     .state = STORE_SQLITE_JOB_REMOVED,
                                     .priority = in->priority,
                                     .unique = in->unique,
                                     .held = true,
                                     .task_items = in->task_items,
                                     .items_max = in->items_max,
                                     .created_ms = in->now_ms,
                                     .ttl_ms = in->ttl_ms};
    struct store_sqlite_job *job = &s->jobs[fresh.id & (STORE_SQLITE_JOBS - 1)];
    code = store_sqlite_space_check(s, e);
    if (code == 0)
        code = store_sqlite_job_put(s, &fresh, e);
    struct store_sqlite_op op;
    if (code == 0)
        code = store_sqlite_op_begin(&op, s, job, true, e);
    if (code)
        return code;
    s->meta.next_job++;
    code = insert_job(s, job, in, e);
    if (code == 0) {
        store_sqlite_job_state(s, job, STORE_JOB_OPEN);
        job->dirty_state = false; /* the row says so already */
    }
    code = store_sqlite_op_end(&op, code, e);
    if (code == 0) {
        *ret_job = fresh.id;
        *ret_existing = false;
    }
    return code;
}

/* ---- tasks ---- */

int store_sqlite_job_unseen(struct store_sqlite *s, struct store_sqlite_job *job,
                            struct hash128 hash, bool add, bool *ret_new, struct error *e)
{
    uint8_t bytes[16];
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(hash.hi >> (56 - 8 * i));
        bytes[8 + i] = (uint8_t)(hash.lo >> (56 - 8 * i));
    }
    SQ(insert, s, SEEN_INSERT);
    SQ(get, s, SEEN_GET);
    struct sq *q = add ? &insert : &get;
    sq_u64(q, job->id);
    sq_blob(q, (struct span){(const char *)bytes, sizeof bytes});
    int rc = sq_step(q);
    if (rc != SQLITE_DONE && rc != SQLITE_ROW)
        return store_sqlite_error(s, rc, "look for what was seen", e);
    *ret_new = add ? sqlite3_changes(s->db) > 0 : rc == SQLITE_DONE;
    return 0;
}

static int insert_task(struct store_sqlite *s, const struct store_sqlite_job *job,
                       const struct store_task *task, struct span error, struct error *e)
{
    SQ(q, s, TASK_INSERT);
    sq_u64(&q, task->sched.id.v);
    sq_u64(&q, job->id);
    sq_u64(&q, task->sched.key);
    sq_i64(&q, task->sched.attempt);
    sq_i64(&q, task->sched.retry_after_ms);
    sq_text(&q, error);
    sq_blob(&q, task->input);
    return done_or(s, sq_step(&q), "insert a task", e);
}

int store_sqlite_job_add_tasks(struct store_sqlite *s, struct store_sqlite_job *job,
                               uint32_t attempt, uint32_t retry_after_ms, struct arena *arena,
                               struct store_task **ret, size_t *ret_n, struct error *e)
{
    struct store_group *g = &s->group;
    int code = store_group_cut(g, job->task_items, e);
    if (code)
        return code;
    size_t before = *ret_n;
    struct store_task *tasks = arena_alloc(arena, (before + g->n_tasks) * sizeof *tasks);
    if (!tasks)
        return store_sqlite_no_memory(e);
    if (before > 0)
        memcpy(tasks, *ret, before * sizeof *tasks);
    for (size_t i = 0; i < g->n_tasks; i++) {
        const struct store_group_item *first = &g->items[g->tasks[i].first];
        struct span input = store_group_pack(g, i, arena);
        if (!input.p)
            return store_sqlite_no_memory(e);
        struct store_task *t = &tasks[before + i];
        *t = (struct store_task){.sched = {.id = {s->meta.next_task++},
                                           .key = first->item->key,
                                           .attempt = attempt,
                                           .retry_after_ms = retry_after_ms,
                                           .input_bytes = (uint32_t)input.len},
                                 .input = input};
        code = insert_task(s, job, t, first->error, e);
        if (code)
            return code;
    }
    job->tasks += g->n_tasks;
    job->tasks_pending += g->n_tasks;
    s->meta.tasks_pending += g->n_tasks;
    *ret = tasks;
    *ret_n = before + g->n_tasks;
    return 0;
}

/* ---- input ---- */

static int chunk_known(struct store_sqlite *s, uint64_t job, uint64_t chunk, bool *ret,
                       struct error *e)
{
    SQ(q, s, CHUNK_GET);
    sq_u64(&q, job);
    sq_u64(&q, chunk);
    int rc = sq_step(&q);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return store_sqlite_error(s, rc, "look for a chunk", e);
    *ret = rc == SQLITE_ROW;
    return 0;
}

static int takes_input(const struct store_sqlite_job *job, struct error *e)
{
    unsigned long long id = job->id;
    if (job->cancelling || job->state == STORE_JOB_CANCELLED)
        return error_set(e, ERR_JOB_CANCELLED, "job %llu was cancelled", id);
    if (job->state != STORE_JOB_OPEN)
        return error_set(e, ERR_WRONG_STATE, "job %llu has ended and takes no input", id);
    if (job->sealed)
        return error_set(e, ERR_WRONG_STATE, "job %llu is sealed and takes no more input", id);
    return 0;
}

static int check_items(const struct store_item *items, size_t n, struct error *e)
{
    int code = 0;
    for (size_t i = 0; i < n && code == 0; i++)
        code = store_group_check(&items[i], i, e);
    return code;
}

static int add_input(struct store_sqlite *s, struct store_sqlite_job *job, uint64_t chunk,
                     const struct store_item *items, size_t n, struct arena *arena,
                     struct store_task **ret, size_t *ret_n, struct error *e)
{
    SQ(q, s, CHUNK_INSERT);
    sq_u64(&q, job->id);
    sq_u64(&q, chunk);
    int code = done_or(s, sq_step(&q), "insert a chunk", e);
    if (code == 0)
        code = store_group_start(&s->group, n, e);
    for (size_t i = 0; i < n && code == 0; i++) {
        bool fresh = true;
        if (job->unique)
            code = store_sqlite_job_unseen(s, job, items[i].unique, true, &fresh, e);
        if (code == 0 && fresh)
            store_group_add(&s->group, &items[i], (struct span){NULL, 0});
        job->duplicates += !fresh;
    }
    if (code)
        return code;
    job->items += s->group.n_items;
    return store_sqlite_job_add_tasks(s, job, 0, 0, arena, ret, ret_n, e);
}

int store_sqlite_job_input(struct store *base, uint64_t id, uint64_t chunk,
                           const struct store_item *items, size_t n, struct arena *arena,
                           struct store_task **ret, size_t *ret_n, struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    struct store_sqlite_job *job = NULL;
    bool known = false;
    int code = store_sqlite_enter(s, true, e);
    if (code == 0 && chunk > INT64_MAX)
        code = error_set(e, ERR_INVALID_ARGUMENT, "the number of a chunk is out of range");
    if (code == 0)
        code = store_sqlite_job_load(s, id, &job, e);
    if (code == 0)
        code = chunk_known(s, id, chunk, &known, e);
    if (code)
        return code;
    struct store_task *tasks = NULL;
    size_t n_tasks = 0;
    if (!known) {
        struct store_sqlite_op op;
        code = takes_input(job, e);
        if (code == 0)
            code = check_items(items, n, e);
        if (code == 0)
            code = store_sqlite_space_check(s, e);
        if (code == 0)
            code = store_sqlite_op_begin(&op, s, job, true, e);
        if (code)
            return code;
        code = add_input(s, job, chunk, items, n, arena, &tasks, &n_tasks, e);
        code = store_sqlite_op_end(&op, code, e);
        if (code)
            return code;
    }
    *ret = tasks;
    *ret_n = n_tasks;
    return 0;
}

int store_sqlite_job_gather(struct store *base, uint64_t id, const struct store_item *item,
                            struct arena *arena, struct store_task **ret, size_t *ret_n,
                            struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    struct store_sqlite_job *job = NULL;
    struct store_sqlite_op op;
    int code = store_sqlite_enter(s, true, e);
    *ret_n = 0;
    if (code == 0)
        code = store_sqlite_job_load(s, id, &job, e);
    if (code || job->gather_task != 0 || job->state != STORE_JOB_OPEN || job->dead > 0)
        return code;
    code = store_sqlite_op_begin(&op, s, job, true, e);
    if (code)
        return code;
    code = store_group_start(&s->group, 1, e);
    if (code == 0) {
        store_group_add(&s->group, item, (struct span){NULL, 0});
        code = store_sqlite_job_add_tasks(s, job, 0, 0, arena, ret, ret_n, e);
    }
    if (code == 0) {
        job->gather_task = (*ret)[0].sched.id.v;
        store_sqlite_job_touch(s, job, true);
    }
    return store_sqlite_op_end(&op, code, e);
}

/* ---- states ---- */

static int enter_job(struct store_sqlite *s, uint64_t id, struct store_sqlite_job **ret,
                     struct error *e)
{
    int code = store_sqlite_enter(s, true, e);
    return code ? code : store_sqlite_job_load(s, id, ret, e);
}

static int wrong_end(const struct store_sqlite_job *job, struct error *e)
{
    return error_set(e, ERR_WRONG_STATE, "job %llu has ended", (unsigned long long)job->id);
}

int store_sqlite_job_seal(struct store *base, uint64_t id, struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    struct store_sqlite_job *job = NULL;
    int code = enter_job(s, id, &job, e);
    if (code || job->sealed)
        return code;
    job->sealed = true;
    store_sqlite_job_touch(s, job, true);
    return 0;
}

int store_sqlite_job_cancel(struct store *base, uint64_t id, int64_t now_ms UNUSED, struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    struct store_sqlite_job *job = NULL;
    int code = enter_job(s, id, &job, e);
    if (code || job->state == STORE_JOB_CANCELLED || job->cancelling)
        return code;
    if (job->state != STORE_JOB_OPEN)
        return wrong_end(job, e);
    job->cancelling = true;
    store_sqlite_job_touch(s, job, true);
    return 0;
}

int store_sqlite_job_pause(struct store *base, uint64_t id, bool on, struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    struct store_sqlite_job *job = NULL;
    int code = enter_job(s, id, &job, e);
    if (code)
        return code;
    if (job->state != STORE_JOB_OPEN)
        return wrong_end(job, e);
    job->paused = on;
    store_sqlite_job_touch(s, job, true);
    return 0;
}

static int can_end(const struct store_sqlite_job *job, enum store_job_state state, struct error *e)
{
    if (job->state != STORE_JOB_OPEN)
        return wrong_end(job, e);
    bool cancelled = state == STORE_JOB_CANCELLED || (state == STORE_JOB_FAILED && job->cancelling);
    if (!cancelled && job->tasks_pending > 0)
        return error_set(e, ERR_WRONG_STATE, "job %llu still has %llu tasks",
                         (unsigned long long)job->id, (unsigned long long)job->tasks_pending);
    return 0;
}

int store_sqlite_job_end(struct store *base, uint64_t id, enum store_job_state state,
                         int64_t now_ms, struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    struct store_sqlite_job *job = NULL;
    if (state != STORE_JOB_DONE && state != STORE_JOB_FAILED && state != STORE_JOB_CANCELLED)
        return error_set(e, ERR_INVALID_ARGUMENT, "%d is not an end of a job", (int)state);
    int code = enter_job(s, id, &job, e);
    if (code || job->state == state)
        return code;
    code = can_end(job, state, e);
    struct store_sqlite_op op;
    if (code == 0)
        code = store_sqlite_op_begin(&op, s, job, true, e);
    if (code)
        return code;
    job->ended_ms = now_ms;
    job->expires_ms = job->due_ms = MAX(now_ms + job->ttl_ms, (int64_t)1); /* 0 says never */
    store_sqlite_job_state(s, job, (uint8_t)state);
    if (job->tasks_pending > 0) {
        code = store_sqlite_expire_tasks(s, job, CANCEL_DELETES, e);
        if (job->tasks_pending > 0)
            job->due_ms = now_ms;
    }
    return store_sqlite_op_end(&op, code, e);
}

int store_sqlite_job_remove(struct store *base, uint64_t id, struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    struct store_sqlite_job *job = NULL;
    int code = enter_job(s, id, &job, e);
    if (code)
        return code;
    if (job->state == STORE_JOB_OPEN)
        return error_set(e, ERR_WRONG_STATE, "job %llu has not ended; cancel it first",
                         (unsigned long long)id);
    job->held = false;
    job->due_ms = 0;
    store_sqlite_job_state(s, job, STORE_SQLITE_JOB_REMOVED);
    return 0;
}
