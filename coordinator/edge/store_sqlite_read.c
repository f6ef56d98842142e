/* store_sqlite_read.c: everything that only reads. Answers are copied into the arena. */
#include <stdio.h>
#include <sys/stat.h>

#include "store_sqlite.h"

enum { REPLAY_TASKS = 4096, LIST_MAX = 10000 };

static int failed(struct store_sqlite *s, int rc, const char *doing, struct error *e)
{
    return rc == SQLITE_ROW ? store_sqlite_no_memory(e) : store_sqlite_error(s, rc, doing, e);
}

/* An array in the arena that grows by copying to twice its size. */
static void *grow(struct arena *arena, void *items, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return items;
    size_t more = *cap ? *cap * 2 : 16;
    void *copy = arena_alloc(arena, more * size);
    if (!copy)
        return NULL;
    if (n > 0)
        memcpy(copy, items, n * size);
    *cap = more;
    return copy;
}

/* ---- tasks ---- */

int store_sqlite_read_task_input(struct store *base, struct task_id task, struct arena *arena,
                                 struct span *ret, bool *ret_whole, struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    int code = store_sqlite_enter(s, false, e);
    if (code)
        return code;
    SQ(q, s, TASK_INPUT);
    sq_u64(&q, task.v);
    struct span input;
    int rc = sq_step(&q);
    if (rc == SQLITE_DONE)
        return error_set(e, ERR_NOT_FOUND, "no pending task %llu", (unsigned long long)task.v);
    if (rc != SQLITE_ROW || !store_sqlite_sql_get(&q, arena, &input))
        return failed(s, rc, "read an input", e);
    *ret = input;
    *ret_whole = sq_get_u64(&q) != 0;
    return 0;
}

int store_sqlite_read_task_get(struct store *base, struct task_id task, struct arena *arena,
                               struct store_pending *ret, struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    int code = store_sqlite_enter(s, false, e);
    if (code)
        return code;
    SQ(q, s, TASK_GET);
    sq_u64(&q, task.v);
    int rc = sq_step(&q);
    if (rc == SQLITE_DONE)
        return error_set(e, ERR_NOT_FOUND, "no pending task %llu", (unsigned long long)task.v);
    struct store_pending got = {0};
    if (rc == SQLITE_ROW) {
        got.job = sq_get_u64(&q);
        got.key = sq_get_u64(&q);
        got.attempt = sq_get_u32(&q);
        got.kills = sq_get_u32(&q);
    }
    if (rc != SQLITE_ROW || !store_sqlite_sql_get(&q, arena, &got.error))
        return failed(s, rc, "read a task", e);
    *ret = got;
    return 0;
}

/* ---- jobs ---- */

static bool read_job(struct sq *q, struct arena *arena, struct store_job *ret)
{
    struct store_sqlite_job r;
    store_sqlite_cache_read(q, &r);
    *ret = (struct store_job){
        .id = r.id,
        .state = (enum store_job_state)r.state,
        .priority = r.priority,
        .sealed = r.sealed,
        .cancelling = r.cancelling,
        .paused = r.paused,
        .unique = r.unique,
        .results_expired = r.expired,
        .created_ms = r.created_ms,
        .ended_ms = r.ended_ms,
        .expires_ms = r.expires_ms,
        .items = r.items,
        .duplicates = r.duplicates,
        .tasks = r.tasks,
        .tasks_done = r.tasks_done,
        .tasks_pending = r.tasks_pending,
        .dead = r.dead,
        .rows = r.rows,
        .rejects = r.rejects,
    };
    return store_sqlite_sql_get(q, arena, &ret->client) &&
           store_sqlite_sql_get(q, arena, &ret->idem_key) &&
           store_sqlite_sql_get(q, arena, &ret->name) &&
           store_sqlite_sql_get(q, arena, &ret->spec) && store_sqlite_sql_get(q, arena, &ret->uid);
}

static int no_job(uint64_t job, struct error *e)
{
    return error_set(e, ERR_NOT_FOUND, "no job %llu", (unsigned long long)job);
}

int store_sqlite_read_job_get(struct store *base, uint64_t job, struct arena *arena,
                              struct store_job *ret, struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    int code = store_sqlite_enter(s, false, e);
    if (code)
        return code;
    SQ(q, s, VIEW_ONE);
    sq_u64(&q, job);
    struct store_job mine;
    int rc = sq_step(&q);
    if (rc == SQLITE_DONE)
        return no_job(job, e);
    if (rc != SQLITE_ROW || !read_job(&q, arena, &mine))
        return failed(s, rc, "read a job", e);
    *ret = mine;
    return 0;
}

int store_sqlite_read_job_find(struct store *base, struct span name, uint64_t *ret, struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    int code = store_sqlite_enter(s, false, e);
    if (code)
        return code;
    SQ(q, s, JOB_BY_NAME);
    sq_text(&q, name);
    int rc = sq_step(&q);
    if (rc == SQLITE_DONE)
        return error_set(e, ERR_NOT_FOUND, "no job has the name %.*s",
                         (int)MIN(name.len, (size_t)200), name.p ? name.p : "");
    if (rc != SQLITE_ROW)
        return failed(s, rc, "find a job", e);
    *ret = sq_get_u64(&q);
    return 0;
}

int store_sqlite_read_job_list(struct store *base, uint64_t before, size_t max, struct arena *arena,
                               struct store_job **ret, size_t *ret_n, struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    int code = store_sqlite_enter(s, false, e);
    if (code)
        return code;
    SQ(q, s, VIEW_NEWEST);
    sq_i64(&q, before && before < INT64_MAX ? (int64_t)before : INT64_MAX);
    sq_i64(&q, (int64_t)MIN(max, (size_t)LIST_MAX));
    struct store_job *jobs = NULL;
    size_t n = 0, cap = 0;
    int rc;
    while ((rc = sq_step(&q)) == SQLITE_ROW) {
        jobs = grow(arena, jobs, n, &cap, sizeof *jobs);
        if (!jobs || !read_job(&q, arena, &jobs[n]))
            return store_sqlite_no_memory(e);
        n++;
    }
    if (rc != SQLITE_DONE)
        return failed(s, rc, "list jobs", e);
    *ret = jobs;
    *ret_n = n;
    return 0;
}

int store_sqlite_read_job_stats(struct store *base, uint64_t job, struct arena *arena,
                                struct store_stat **ret, size_t *ret_n, struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    struct store_sqlite_job *record;
    int code = store_sqlite_enter(s, false, e);
    if (code == 0)
        code = store_sqlite_job_load(s, job, &record, e);
    if (code)
        return code;
    SQ(q, s, STAT_LIST);
    sq_u64(&q, job);
    struct store_stat *stats = NULL;
    size_t n = 0, cap = 0;
    int rc;
    while ((rc = sq_step(&q)) == SQLITE_ROW) {
        stats = grow(arena, stats, n, &cap, sizeof *stats);
        if (!stats || !store_sqlite_sql_get(&q, arena, &stats[n].name))
            return store_sqlite_no_memory(e);
        stats[n++].value = sq_get_i64(&q);
    }
    if (rc != SQLITE_DONE)
        return failed(s, rc, "read statistics", e);
    *ret = stats;
    *ret_n = n;
    return 0;
}

int store_sqlite_read_job_chunks(struct store *base, uint64_t job, uint64_t *ret, struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    struct store_sqlite_job *record;
    int code = store_sqlite_enter(s, false, e);
    if (code == 0)
        code = store_sqlite_job_load(s, job, &record, e);
    if (code)
        return code;
    SQ(q, s, CHUNK_COUNT);
    sq_u64(&q, job);
    int rc = sq_step(&q);
    if (rc != SQLITE_ROW)
        return failed(s, rc, "count chunks", e);
    *ret = sq_get_u64(&q);
    return 0;
}

/* ---- replay ---- */

static int read_tasks(struct store_sqlite *s, uint64_t job, uint64_t after,
                      struct sched_task *tasks, size_t *ret_n, struct error *e)
{
    SQ(q, s, TASK_LIST);
    sq_u64(&q, job);
    sq_u64(&q, after);
    sq_i64(&q, REPLAY_TASKS);
    size_t n = 0;
    int rc;
    while ((rc = sq_step(&q)) == SQLITE_ROW) {
        struct sched_task *t = &tasks[n++];
        t->id.v = sq_get_u64(&q);
        t->key = sq_get_u64(&q);
        t->attempt = sq_get_u32(&q);
        t->kills = sq_get_u32(&q);
        t->retry_after_ms = sq_get_u32(&q);
        t->input_bytes = sq_get_u32(&q);
    }
    *ret_n = n;
    return rc == SQLITE_DONE ? 0 : failed(s, rc, "read tasks", e);
}

static int replay_job(struct store_sqlite *s, const struct store_job *job, struct sched_task *tasks,
                      store_replay_fn *fn, void *user, struct error *e)
{
    uint64_t after = 0;
    for (bool first = true;; first = false) {
        size_t n = 0;
        int code = read_tasks(s, job->id, after, tasks, &n, e);
        if (code == 0 && (n > 0 || first))
            code = fn(user, job, tasks, n);
        if (code || n < REPLAY_TASKS)
            return code;
        after = tasks[n - 1].id.v;
    }
}

static int next_open(struct store_sqlite *s, uint64_t after, struct arena *arena,
                     struct store_job *ret, bool *ret_there, struct error *e)
{
    SQ(q, s, VIEW_OPEN);
    sq_u64(&q, after);
    int rc = sq_step(&q);
    *ret_there = rc == SQLITE_ROW;
    if (rc == SQLITE_DONE || (rc == SQLITE_ROW && read_job(&q, arena, ret)))
        return 0;
    return failed(s, rc, "read open jobs", e);
}

int store_sqlite_read_replay(struct store *base, store_replay_fn *fn, void *user, struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    CLEANUP(arena_done) struct arena arena = {0}, jobs = {0};
    int code = store_sqlite_enter(s, false, e);
    struct sched_task *tasks = arena_alloc(&arena, REPLAY_TASKS * sizeof *tasks);
    if (code == 0 && !tasks)
        code = store_sqlite_no_memory(e);
    struct store_job job = {0};
    for (bool there = true; code == 0 && there; arena_clear(&jobs)) {
        code = next_open(s, job.id, &jobs, &job, &there, e);
        if (code == 0 && there)
            code = replay_job(s, &job, tasks, fn, user, e);
    }
    return code;
}

/* ---- rows ---- */

static int read_output(struct store_sqlite *s, struct sq *q, uint64_t job, uint64_t cursor,
                       size_t max_bytes, struct arena *arena, struct store_result **ret,
                       size_t *ret_n, struct error *e)
{
    struct store_result *results = NULL;
    size_t n = 0, cap = 0, bytes = 0;
    int rc = SQLITE_DONE;
    sq_u64(q, job);
    sq_u64(q, cursor);
    while ((n == 0 || bytes < max_bytes) && (rc = sq_step(q)) == SQLITE_ROW) {
        bytes += (size_t)sqlite3_column_bytes(q->stmt, 3);
        if (n > 0 && bytes > max_bytes)
            break;
        results = grow(arena, results, n, &cap, sizeof *results);
        if (!results)
            return store_sqlite_no_memory(e);
        struct store_result *r = &results[n++];
        r->cursor = sq_get_u64(q);
        r->task = sq_get_u64(q);
        r->n_rows = sq_get_u32(q);
        if (!store_sqlite_sql_get(q, arena, &r->rows))
            return store_sqlite_no_memory(e);
    }
    if (rc != SQLITE_DONE && rc != SQLITE_ROW)
        return failed(s, rc, "read rows", e);
    *ret = results;
    *ret_n = n;
    return 0;
}

static int read_rows(struct store *base, enum store_sqlite_statement which, uint64_t job,
                     uint64_t cursor, size_t max_bytes, struct arena *arena,
                     struct store_result **ret, size_t *ret_n, struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    struct store_sqlite_job *record;
    int code = store_sqlite_enter(s, false, e);
    if (code == 0)
        code = store_sqlite_job_load(s, job, &record, e);
    if (code)
        return code;
    if (record->expired)
        return error_set(e, ERR_RESULT_EXPIRED,
                         "the rows of job %llu were kept until their time "
                         "was over",
                         (unsigned long long)job);
    CLEANUP(sq_done) struct sq q = {s->statements[which], 0, 0};
    return read_output(s, &q, job, cursor, max_bytes, arena, ret, ret_n, e);
}

int store_sqlite_read_results(struct store *base, uint64_t job, uint64_t cursor, size_t max_bytes,
                              struct arena *arena, struct store_result **ret, size_t *ret_n,
                              struct error *e)
{
    return read_rows(base, SQ_RESULT_LIST, job, cursor, max_bytes, arena, ret, ret_n, e);
}

int store_sqlite_read_parts(struct store *base, uint64_t job, uint64_t cursor, size_t max_bytes,
                            struct arena *arena, struct store_result **ret, size_t *ret_n,
                            struct error *e)
{
    return read_rows(base, SQ_PART_LIST, job, cursor, max_bytes, arena, ret, ret_n, e);
}

int store_sqlite_read_rejects(struct store *base, uint64_t job, uint64_t cursor, size_t max_bytes,
                              struct arena *arena, struct store_result **ret, size_t *ret_n,
                              struct error *e)
{
    return read_rows(base, SQ_REJECT_LIST, job, cursor, max_bytes, arena, ret, ret_n, e);
}

/* ---- dead letters, drains, breakers, sizes ---- */

static bool read_dead(struct sq *q, struct arena *arena, struct store_dead *ret)
{
    *ret = (struct store_dead){.task = sq_get_u64(q)};
    ret->job = sq_get_u64(q);
    ret->attempt = sq_get_u32(q);
    ret->kills = sq_get_u32(q);
    ret->at_ms = sq_get_i64(q);
    if (!store_sqlite_sql_get(q, arena, &ret->error))
        return false;
    q->column++; /* key */
    return store_sqlite_sql_get(q, arena, &ret->input);
}

int store_sqlite_read_dead_list(struct store *base, uint64_t job, uint64_t task, uint64_t after,
                                size_t max, struct arena *arena, struct store_dead **ret,
                                size_t *ret_n, struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    int code = store_sqlite_enter(s, false, e);
    if (code)
        return code;
    SQ(all, s, DEAD_LIST);
    SQ(of_job, s, DEAD_LIST_JOB);
    SQ(one, s, DEAD_ONE);
    struct sq *q = task ? &one : job ? &of_job : &all;
    sq_u64(q, task ? task : after);
    if (!task)
        sq_i64(q, (int64_t)MIN(max, (size_t)LIST_MAX));
    if (job && !task)
        sq_u64(q, job);
    struct store_dead *dead = NULL;
    size_t n = 0, cap = 0;
    int rc;
    while ((rc = sq_step(q)) == SQLITE_ROW) {
        dead = grow(arena, dead, n, &cap, sizeof *dead);
        if (!dead || !read_dead(q, arena, &dead[n]))
            return store_sqlite_no_memory(e);
        n += !(job && dead[n].job != job);
    }
    if (rc != SQLITE_DONE)
        return failed(s, rc, "list dead letters", e);
    *ret = dead;
    *ret_n = n;
    return 0;
}

int store_sqlite_read_drain_list(struct store *base, struct arena *arena, struct span **ret,
                                 size_t *ret_n, struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    int code = store_sqlite_enter(s, false, e);
    if (code)
        return code;
    SQ(q, s, DRAIN_LIST);
    struct span *workers = NULL;
    size_t n = 0, cap = 0;
    int rc;
    while ((rc = sq_step(&q)) == SQLITE_ROW) {
        workers = grow(arena, workers, n, &cap, sizeof *workers);
        if (!workers || !store_sqlite_sql_get(&q, arena, &workers[n++]))
            return store_sqlite_no_memory(e);
    }
    if (rc != SQLITE_DONE)
        return failed(s, rc, "list drains", e);
    *ret = workers;
    *ret_n = n;
    return 0;
}

int store_sqlite_read_breaker_list(struct store *base, struct arena *arena,
                                   struct store_breaker **ret, size_t *ret_n, struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    int code = store_sqlite_enter(s, false, e);
    if (code)
        return code;
    SQ(q, s, BREAKER_LIST);
    struct store_breaker *list = NULL;
    size_t n = 0, cap = 0;
    int rc;
    while ((rc = sq_step(&q)) == SQLITE_ROW) {
        list = grow(arena, list, n, &cap, sizeof *list);
        if (!list || !store_sqlite_sql_get(&q, arena, &list[n].downstream))
            return store_sqlite_no_memory(e);
        list[n++].manual = (enum sched_manual)sq_get_i64(&q);
    }
    if (rc != SQLITE_DONE)
        return failed(s, rc, "list breakers", e);
    *ret = list;
    *ret_n = n;
    return 0;
}

static uint64_t file_bytes(const struct store_sqlite *s, const char *suffix)
{
    char path[4096];
    struct stat st;
    snprintf(path, sizeof path, "%s%s", s->path, suffix);
    return stat(path, &st) ? 0 : (uint64_t)st.st_size;
}

int store_sqlite_read_sizes(struct store *base, struct store_sizes *ret, struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    int code = store_sqlite_enter(s, false, e);
    if (code)
        return code;
    SQ(dead, s, DEAD_COUNT);
    int rc = sq_step(&dead);
    if (rc != SQLITE_ROW)
        return failed(s, rc, "count dead letters", e);
    struct error full = {0};
    *ret = (struct store_sizes){
        .bytes = file_bytes(s, "") + file_bytes(s, "-wal"),
        .free_bytes = store_sqlite_space_unused(s),
        .disk_free_bytes = store_sqlite_space_free(s),
        .jobs_open = s->meta.jobs_open,
        .tasks_pending = s->meta.tasks_pending,
        .results = s->meta.results,
        .dead = sq_get_u64(&dead),
        .refusing = store_sqlite_space_check(s, &full) != 0,
    };
    return 0;
}
