/* store_sqlite_task.c: completions and dead letters. */
#include "common/pack.h"
#include "common/unpack.h"
#include "store_sqlite.h"

enum { STATS_PER_JOB = 1000 /* names; what comes beyond is summed up in "other" */ };

static int done_or(struct store_sqlite *s, int rc, const char *doing, struct error *e)
{
    return rc == SQLITE_DONE ? 0 : store_sqlite_error(s, rc, doing, e);
}

/* ---- what a completion writes ---- */

/* Rows into `result` or rejects into `reject`: the tables are alike. */
static int insert_output(struct store_sqlite *s, enum store_sqlite_statement which,
                         const struct store_complete *in, uint32_t n, struct span data,
                         struct error *e)
{
    CLEANUP(sq_done) struct sq q = {s->statements[which], 0, 0};
    sq_u64(&q, s->meta.next_seq++);
    sq_u64(&q, in->job.v);
    sq_u64(&q, in->task.v);
    sq_i64(&q, n);
    sq_blob(&q, data);
    return done_or(s, sq_step(&q), "insert rows", e);
}

static int update_stat(struct store_sqlite *s, uint64_t job, struct span name, int64_t value,
                       bool *ret_there, struct error *e)
{
    SQ(q, s, STAT_ADD);
    sq_u64(&q, job);
    sq_text(&q, name);
    sq_i64(&q, value);
    int code = done_or(s, sq_step(&q), "add to a statistic", e);
    *ret_there = code == 0 && sqlite3_changes(s->db) > 0;
    return code;
}

static int count_stats(struct store_sqlite *s, uint64_t job, int64_t *ret, struct error *e)
{
    SQ(q, s, STAT_COUNT);
    sq_u64(&q, job);
    int rc = sq_step(&q);
    if (rc != SQLITE_ROW)
        return store_sqlite_error(s, rc, "count statistics", e);
    *ret = sq_get_i64(&q);
    return 0;
}

static int add_stat(struct store_sqlite *s, uint64_t job, struct span name, int64_t value,
                    struct error *e)
{
    bool there = false;
    int64_t n = 0;
    int code = update_stat(s, job, name, value, &there, e);
    if (code || there)
        return code;
    code = count_stats(s, job, &n, e);
    if (code == 0 && n >= STATS_PER_JOB) {
        name = SPAN("other");
        code = update_stat(s, job, name, value, &there, e);
    }
    if (code || there)
        return code;
    SQ(q, s, STAT_INSERT);
    sq_u64(&q, job);
    sq_text(&q, name);
    sq_i64(&q, value);
    return done_or(s, sq_step(&q), "insert a statistic", e);
}

/* Chooses among the found items those that are new and within the job's limit. */
static int choose_found(struct store_sqlite *s, struct store_sqlite_job *job,
                        const struct store_complete *in, struct error *e)
{
    uint64_t dropped = 0;
    int code = store_group_start(&s->group, in->n_found, e);
    for (size_t i = 0; i < in->n_found && code == 0; i++) {
        const struct store_item *item = &in->found[i];
        bool room = job->items_max == 0 || job->items < job->items_max, fresh = true;
        if (job->unique) /* above the limit it is not remembered, but a known one is a duplicate */
            code = store_sqlite_job_unseen(s, job, item->unique, room, &fresh, e);
        if (code)
            return code;
        if (!fresh) {
            job->duplicates++;
        } else if (!room) {
            dropped++;
        } else {
            job->items++;
            store_group_add(&s->group, item, (struct span){NULL, 0});
        }
    }
    if (code == 0 && dropped > 0)
        code = add_stat(s, job->id, SPAN("dropped.LIMIT"), (int64_t)dropped, e);
    return code;
}

/* The inputs to run again: those that failed, with an error and one attempt more, or those that were
 * not tried, which wait for nothing. */
static int add_again(struct store_sqlite *s, struct store_sqlite_job *job,
                     const struct store_complete *in, bool failed, struct arena *arena,
                     struct store_complete_ret *ret, struct error *e)
{
    if (in->n_retries == 0)
        return 0;
    int code = store_group_start(&s->group, in->n_retries, e);
    if (code)
        return code;
    for (size_t i = 0; i < in->n_retries; i++)
        if ((in->retries[i].error.len > 0) == failed)
            store_group_add(&s->group, &in->retries[i].item, in->retries[i].error);
    if (s->group.n_items == 0)
        return 0;
    return store_sqlite_job_add_tasks(s, job, in->attempt + failed, failed ? in->retry_after_ms : 0,
                                      arena, &ret->tasks, &ret->n_tasks, e);
}

static int add_new_tasks(struct store_sqlite *s, struct store_sqlite_job *job,
                         const struct store_complete *in, struct arena *arena,
                         struct store_complete_ret *ret, struct error *e)
{
    int code = choose_found(s, job, in, e);
    if (code == 0 && s->group.n_items > 0)
        code = store_sqlite_job_add_tasks(s, job, 0, 0, arena, &ret->tasks, &ret->n_tasks, e);
    if (code == 0)
        code = add_again(s, job, in, true, arena, ret, e);
    return code ? code : add_again(s, job, in, false, arena, ret, e);
}

static int write_outputs(struct store_sqlite *s, struct store_sqlite_job *job,
                         const struct store_complete *in, struct error *e)
{
    int code = 0;
    if (in->part.len > 0) {
        code = insert_output(s, SQ_PART_INSERT, in, 0, in->part, e);
    } else if (in->rows.len > 0) {
        code = insert_output(s, SQ_RESULT_INSERT, in, in->n_rows, in->rows, e);
        s->meta.results++;
    }
    if (code == 0 && in->rejects.len > 0)
        code = insert_output(s, SQ_REJECT_INSERT, in, in->n_rejects, in->rejects, e);
    for (size_t i = 0; i < in->n_stats && code == 0; i++)
        code = add_stat(s, job->id, in->stats[i].name, in->stats[i].value, e);
    job->rows += in->n_rows;
    job->rejects += in->n_rejects + in->n_unlisted;
    return code;
}

/* ---- the task itself ---- */

/* Runs a statement over (task, job); whether it met a row. */
static int change_task(struct store_sqlite *s, struct sq *q, bool *ret_there, struct error *e)
{
    int code = done_or(s, sq_step(q), "change a task", e);
    *ret_there = code == 0 && sqlite3_changes(s->db) > 0;
    return code;
}

static int delete_task(struct store_sqlite *s, struct store_sqlite_job *job,
                       const struct store_complete *in, bool *ret_there, struct error *e)
{
    SQ(q, s, TASK_DELETE);
    sq_u64(&q, in->task.v);
    sq_u64(&q, in->job.v);
    int code = change_task(s, &q, ret_there, e);
    if (code == 0 && *ret_there) {
        job->tasks_pending--;
        s->meta.tasks_pending--;
    }
    return code;
}

static int note_attempt(struct store_sqlite *s, const struct store_complete *in, bool *ret_there,
                        struct error *e)
{
    SQ(q, s, TASK_ATTEMPT);
    sq_u64(&q, in->task.v);
    sq_u64(&q, in->job.v);
    sq_i64(&q, in->attempt);
    sq_i64(&q, in->kills);
    sq_i64(&q, in->retry_after_ms);
    sq_text(&q, in->error);
    return change_task(s, &q, ret_there, e);
}

static int bury(struct store_sqlite *s, struct store_sqlite_job *job,
                const struct store_complete *in, bool *ret_there, struct error *e)
{
    SQ(q, s, DEAD_INSERT);
    sq_u64(&q, in->task.v);
    sq_u64(&q, in->job.v);
    sq_i64(&q, in->attempt);
    sq_i64(&q, in->kills);
    sq_i64(&q, in->now_ms);
    sq_text(&q, in->error);
    int code = change_task(s, &q, ret_there, e);
    if (code || !*ret_there)
        return code;
    job->dead++;
    return delete_task(s, job, in, ret_there, e);
}

/* ---- landings ---- */

static bool is_left(struct span left, size_t i)
{
    return i / 8 < left.len && (unsigned char)left.p[i / 8] >> (i & 7) & 1;
}

/* The items of a packed input without those that are left out. */
static bool keep_items(struct span input, struct span left, struct buf *out)
{
    CLEANUP(buf_done) struct buf kept;
    struct unpack u;
    size_t n_kept = 0;
    buf_init(&kept, 0);
    unpack_init(&u, input.p, input.len);
    const size_t n = unpack_array(&u);
    for (size_t i = 0; i < n && unpack_ok(&u); i++) {
        const struct span item = unpack_raw(&u);
        if (is_left(left, i))
            continue;
        buf_append(&kept, item.p, item.len);
        n_kept++;
    }
    pack_array(out, n_kept);
    buf_append(out, kept.data, kept.len);
    return unpack_ok(&u) && buf_ok(&kept) && buf_ok(out);
}

/* What stays of the task's input, in the arena. p == NULL: the task is not there. */
static int narrow(struct store_sqlite *s, const struct store_complete *in, struct arena *arena,
                  struct span *ret, struct error *e)
{
    CLEANUP(buf_done) struct buf packed;
    struct span input;
    buf_init(&packed, 0);
    SQ(q, s, TASK_INPUT);
    sq_u64(&q, in->task.v);
    const int rc = sq_step(&q);
    if (rc == SQLITE_DONE)
        return 0;
    if (rc != SQLITE_ROW)
        return store_sqlite_error(s, rc, "read an input", e);
    if (!store_sqlite_sql_get(&q, arena, &input) || !keep_items(input, in->left, &packed))
        return store_sqlite_no_memory(e);
    *ret = (struct span){arena_strndup(arena, (const char *)packed.data, packed.len), packed.len};
    return ret->p ? 0 : store_sqlite_no_memory(e);
}

/* Whether another token's landing was noted. */
static int lands_for_another(struct store_sqlite *s, const struct store_complete *in, bool *ret,
                             struct error *e)
{
    SQ(q, s, TASK_LANDS);
    sq_u64(&q, in->task.v);
    sq_u64(&q, in->job.v);
    const int rc = sq_step(&q);
    *ret = false;
    if (rc == SQLITE_DONE)
        return 0;
    if (rc != SQLITE_ROW)
        return store_sqlite_error(s, rc, "read a landing", e);
    const uint64_t epoch = sq_get_u64(&q), counter = sq_get_u64(&q);
    *ret = epoch != 0 && (epoch != in->token.epoch || counter != in->token.counter);
    return 0;
}

static int update_landing(struct store_sqlite *s, const struct store_complete *in,
                          struct span narrowed, bool *ret_there, struct error *e)
{
    SQ(q, s, TASK_LAND);
    sq_u64(&q, in->task.v);
    sq_u64(&q, in->job.v);
    sq_u64(&q, in->token.epoch);
    sq_u64(&q, in->token.counter);
    if (narrowed.p)
        sq_blob(&q, narrowed);
    else
        sq_keep(&q, sqlite3_bind_null(q.stmt, ++q.column));
    return change_task(s, &q, ret_there, e);
}

static int add_new_if_wanted(struct store_sqlite *s, struct store_sqlite_job *job,
                             const struct store_complete *in, struct arena *arena,
                             struct store_complete_ret *ret, struct error *e)
{
    if (job->cancelling || in->n_found + in->n_retries == 0)
        return 0;
    return add_new_tasks(s, job, in, arena, ret, e);
}

static int note_landing(struct store_sqlite *s, struct store_sqlite_job *job,
                        const struct store_complete *in, struct arena *arena,
                        struct store_complete_ret *ret, bool *ret_there, struct error *e)
{
    struct span narrowed = {NULL, 0};
    int code = in->left.len > 0 ? narrow(s, in, arena, &narrowed, e) : 0;
    if (code == 0)
        code = update_landing(s, in, narrowed, ret_there, e);
    if (code == 0 && !*ret_there)
        return lands_for_another(s, in, &ret->refused, e);
    if (code == 0)
        code = write_outputs(s, job, in, e);
    return code ? code : add_new_if_wanted(s, job, in, arena, ret, e);
}

/* ---- ends ---- */

/* The parts are together. */
static int delete_parts(struct store_sqlite *s, uint64_t job, struct error *e)
{
    SQ(q, s, PART_DELETE);
    sq_u64(&q, job);
    return done_or(s, sq_step(&q), "delete parts", e);
}

static int finish(struct store_sqlite *s, struct store_sqlite_job *job,
                  const struct store_complete *in, struct arena *arena,
                  struct store_complete_ret *ret, bool *ret_there, struct error *e)
{
    int code = delete_task(s, job, in, ret_there, e);
    if (code || !*ret_there)
        return code;
    job->tasks_done++;
    code = write_outputs(s, job, in, e);
    if (code == 0 && in->task.v == job->gather_task)
        code = delete_parts(s, job->id, e);
    return code ? code : add_new_if_wanted(s, job, in, arena, ret, e);
}

static int check_complete(const struct store_complete *in, struct error *e)
{
    int code = 0;
    for (size_t i = 0; i < in->n_found && code == 0; i++)
        code = store_group_check(&in->found[i], i, e);
    for (size_t i = 0; i < in->n_retries && code == 0; i++)
        code = store_group_check(&in->retries[i].item, i, e);
    return code;
}

/* One that only deletes the task is one statement and needs no savepoint. */
static bool needs_savepoint(const struct store_sqlite_job *job, const struct store_complete *in)
{
    const size_t beside = in->rejects.len + in->n_stats + in->n_found + in->n_retries;
    if (in->write == SCHED_WRITE_LANDING)
        return beside > 0;
    if (in->write == SCHED_WRITE_DONE)
        return in->task.v == job->gather_task || in->part.len + in->rows.len + beside > 0;
    return in->write == SCHED_WRITE_DEAD;
}

int store_sqlite_task_complete(struct store *base, const struct store_complete *in,
                               struct arena *arena, struct store_complete_ret *ret, struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    struct store_sqlite_job *job = NULL;
    struct store_complete_ret mine = {0};
    bool there = false;
    int code = store_sqlite_enter(s, true, e);
    if (code == 0)
        code = check_complete(in, e);
    if (code)
        return code;
    code = store_sqlite_job_load(s, in->job.v, &job, e);
    if (code == ERR_NOT_FOUND || (code == 0 && job->state != STORE_JOB_OPEN)) {
        *ret = (struct store_complete_ret){.duplicate = true};
        return 0;
    }
    struct store_sqlite_op op;
    if (code == 0)
        code = store_sqlite_op_begin(&op, s, job, needs_savepoint(job, in), e);
    if (code)
        return code;
    switch (in->write) {
    case SCHED_WRITE_DONE:
        code = finish(s, job, in, arena, &mine, &there, e);
        break;
    case SCHED_WRITE_ATTEMPT:
        code = note_attempt(s, in, &there, e);
        break;
    case SCHED_WRITE_DEAD:
        code = bury(s, job, in, &there, e);
        break;
    case SCHED_WRITE_LANDING:
        code = note_landing(s, job, in, arena, &mine, &there, e);
        break;
    case SCHED_WRITE_CANCELLED:
        code = delete_task(s, job, in, &there, e);
        break;
    }
    code = store_sqlite_op_end(&op, code, e);
    mine.duplicate = !there;
    mine.rejects = job->rejects;
    if (code == 0)
        *ret = mine;
    return code;
}

/* ---- dead letters ---- */

struct dead_letter {
    uint64_t task, job, key;
    struct span error, input;
    bool whole;
};

/* The next dead letter above `after` (or the named one). SQLITE_ROW, SQLITE_DONE or an error. */
static int next_dead(struct store_sqlite *s, uint64_t job, uint64_t task, uint64_t after,
                     struct arena *arena, struct dead_letter *ret)
{
    SQ(all, s, DEAD_LIST);
    SQ(of_job, s, DEAD_LIST_JOB);
    SQ(one, s, DEAD_ONE);
    struct sq *q = task ? &one : job ? &of_job : &all;
    if (task && task <= after)
        return SQLITE_DONE;
    sq_u64(q, task ? task : after);
    if (!task)
        sq_i64(q, 1);
    if (job && !task)
        sq_u64(q, job);
    int rc = sq_step(q);
    if (rc != SQLITE_ROW)
        return rc;
    ret->task = sq_get_u64(q);
    ret->job = sq_get_u64(q);
    q->column = 6;
    ret->key = sq_get_u64(q);
    q->column = 5;
    if (arena && !store_sqlite_sql_get(q, arena, &ret->error))
        return SQLITE_NOMEM;
    q->column = 7;
    if (arena && !store_sqlite_sql_get(q, arena, &ret->input))
        return SQLITE_NOMEM;
    q->column = 8;
    ret->whole = sq_get_u64(q) != 0;
    return job && ret->job != job ? SQLITE_DONE : SQLITE_ROW;
}

static int delete_dead(struct store_sqlite *s, struct store_sqlite_job *job, uint64_t task,
                       struct error *e)
{
    SQ(q, s, DEAD_DELETE);
    sq_u64(&q, task);
    int code = done_or(s, sq_step(&q), "delete a dead letter", e);
    job->dead--;
    store_sqlite_job_touch(s, job, false);
    return code;
}

static bool can_reopen(const struct store_sqlite_job *job)
{
    return !(job->state == STORE_JOB_OPEN && job->cancelling) &&
           !(job->state == STORE_JOB_CANCELLED && job->tasks_pending > 0);
}

static void reopen(struct store_sqlite *s, struct store_sqlite_job *job)
{
    if (job->state == STORE_JOB_OPEN)
        return;
    job->cancelling = job->expired = false;
    job->ended_ms = job->expires_ms = job->due_ms = 0;
    job->sealed = true;
    store_sqlite_job_state(s, job, STORE_JOB_OPEN);
}

static int revive(struct store_sqlite *s, struct store_sqlite_job *job, const struct dead_letter *d,
                  struct store_task *ret, struct error *e)
{
    SQ(q, s, TASK_REVIVE);
    sq_u64(&q, d->task);
    int code = done_or(s, sq_step(&q), "insert a task", e);
    if (code == 0)
        code = delete_dead(s, job, d->task, e);
    if (code)
        return code;
    *ret = (struct store_task){.sched = {.id = {d->task},
                                         .key = d->key,
                                         .input_bytes = (uint32_t)d->input.len},
                               .input = d->input,
                               .whole = d->whole};
    reopen(s, job);
    job->tasks_pending++;
    s->meta.tasks_pending++;
    return 0;
}

static int not_now(const struct store_sqlite_job *job, struct error *e)
{
    return error_set(e, ERR_WRONG_STATE,
                     "job %llu is being cancelled; its dead letters can be retried after that",
                     (unsigned long long)job->id);
}

static int retry_all(struct store_sqlite *s, uint64_t job_id, uint64_t task, struct arena *arena,
                     struct store_task *tasks, size_t max, size_t *ret_n, struct error *e)
{
    struct dead_letter d = {0};
    size_t n = 0;
    while (n < max) {
        struct store_sqlite_job *job = NULL;
        int rc = next_dead(s, job_id, task, d.task, arena, &d);
        if (rc == SQLITE_DONE)
            break;
        if (rc != SQLITE_ROW)
            return store_sqlite_error(s, rc, "read a dead letter", e);
        int code = store_sqlite_job_load(s, d.job, &job, e);
        if (code == ERR_NOT_FOUND && !job_id && !task)
            continue; /* of a removed job */
        if (code)
            return code;
        if (can_reopen(job))
            code = revive(s, job, &d, &tasks[n++], e);
        else if (job_id || task)
            code = not_now(job, e);
        if (code)
            return code;
    }
    if (task && n == 0)
        return error_set(e, ERR_NOT_FOUND, "no dead letter %llu", (unsigned long long)task);
    *ret_n = n;
    return 0;
}

int store_sqlite_task_dead_retry(struct store *base, uint64_t job, uint64_t task,
                                 struct arena *arena, struct store_task **ret, size_t *ret_n,
                                 struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    struct store_sqlite_op op;
    size_t n = 0, max = task ? 1 : STORE_DEAD_RETRY_MAX;
    int code = store_sqlite_enter(s, true, e);
    if (code)
        return code;
    struct store_task *tasks = arena_alloc(arena, max * sizeof *tasks);
    if (!tasks)
        return store_sqlite_no_memory(e);
    code = store_sqlite_op_begin(&op, s, NULL, true, e);
    if (code)
        return code;
    code = retry_all(s, job, task, arena, tasks, max, &n, e);
    code = store_sqlite_op_end(&op, code, e);
    if (code == 0) {
        *ret = tasks;
        *ret_n = n;
    }
    return code;
}

static int discard_all(struct store_sqlite *s, uint64_t job_id, uint64_t task, uint64_t *ret_n,
                       struct error *e)
{
    struct dead_letter d = {0};
    uint64_t n = 0;
    for (;;) {
        struct store_sqlite_job *job = NULL;
        int rc = next_dead(s, job_id, task, d.task, NULL, &d);
        if (rc == SQLITE_DONE)
            break;
        if (rc != SQLITE_ROW)
            return store_sqlite_error(s, rc, "read a dead letter", e);
        int code = store_sqlite_job_load(s, d.job, &job, e);
        if (code == ERR_NOT_FOUND && !job_id && !task)
            continue;
        if (code == 0)
            code = delete_dead(s, job, d.task, e);
        if (code)
            return code;
        n++;
    }
    if (task && n == 0)
        return error_set(e, ERR_NOT_FOUND, "no dead letter %llu", (unsigned long long)task);
    *ret_n = n;
    return 0;
}

int store_sqlite_task_dead_discard(struct store *base, uint64_t job, uint64_t task, uint64_t *ret_n,
                                   struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    struct store_sqlite_op op;
    uint64_t n = 0;
    int code = store_sqlite_enter(s, true, e);
    if (code == 0)
        code = store_sqlite_op_begin(&op, s, NULL, true, e);
    if (code)
        return code;
    code = discard_all(s, job, task, &n, e);
    code = store_sqlite_op_end(&op, code, e);
    if (code == 0)
        *ret_n = n;
    return code;
}
