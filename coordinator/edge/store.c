/*
 * store.c: hands each operation of store.h to the backend. It decides nothing.
 */
#include "store.h"

#include "store_backend.h"

void store_close(struct store *s)
{
    if (s)
        s->ops->close(s);
}

int store_begin(struct store *s, struct error *e)
{
    return s->ops->begin(s, e);
}

int store_commit(struct store *s, struct error *e)
{
    return s->ops->commit(s, e);
}

void store_rollback(struct store *s)
{
    s->ops->rollback(s);
}

int store_job_submit(struct store *s, const struct store_submit *in, uint64_t *ret_job,
                     bool *ret_existing, struct error *e)
{
    return s->ops->job_submit(s, in, ret_job, ret_existing, e);
}

int store_job_input(struct store *s, uint64_t job, uint64_t chunk, const struct store_item *items,
                    size_t n, struct arena *arena, struct store_task **ret, size_t *ret_n,
                    struct error *e)
{
    return s->ops->job_input(s, job, chunk, items, n, arena, ret, ret_n, e);
}

int store_job_seal(struct store *s, uint64_t job, struct error *e)
{
    return s->ops->job_seal(s, job, e);
}

int store_job_cancel(struct store *s, uint64_t job, int64_t now_ms, struct error *e)
{
    return s->ops->job_cancel(s, job, now_ms, e);
}

int store_job_pause(struct store *s, uint64_t job, bool on, struct error *e)
{
    return s->ops->job_pause(s, job, on, e);
}

int store_job_end(struct store *s, uint64_t job, enum store_job_state state, int64_t now_ms,
                  struct error *e)
{
    return s->ops->job_end(s, job, state, now_ms, e);
}

int store_job_remove(struct store *s, uint64_t job, struct error *e)
{
    return s->ops->job_remove(s, job, e);
}

int store_task_complete(struct store *s, const struct store_complete *in, struct arena *arena,
                        struct store_complete_ret *ret, struct error *e)
{
    return s->ops->task_complete(s, in, arena, ret, e);
}

int store_task_input(struct store *s, struct task_id task, struct arena *arena, struct span *ret,
                     bool *ret_whole, struct error *e)
{
    return s->ops->task_input(s, task, arena, ret, ret_whole, e);
}

int store_task_get(struct store *s, struct task_id task, struct arena *arena,
                   struct store_pending *ret, struct error *e)
{
    return s->ops->task_get(s, task, arena, ret, e);
}

int store_job_get(struct store *s, uint64_t job, struct arena *arena, struct store_job *ret,
                  struct error *e)
{
    return s->ops->job_get(s, job, arena, ret, e);
}

int store_job_find(struct store *s, struct span name, uint64_t *ret, struct error *e)
{
    return s->ops->job_find(s, name, ret, e);
}

int store_job_list(struct store *s, uint64_t before, size_t max, struct arena *arena,
                   struct store_job **ret, size_t *ret_n, struct error *e)
{
    return s->ops->job_list(s, before, max, arena, ret, ret_n, e);
}

int store_job_stats(struct store *s, uint64_t job, struct arena *arena, struct store_stat **ret,
                    size_t *ret_n, struct error *e)
{
    return s->ops->job_stats(s, job, arena, ret, ret_n, e);
}

int store_job_chunks(struct store *s, uint64_t job, uint64_t *ret, struct error *e)
{
    return s->ops->job_chunks(s, job, ret, e);
}

int store_replay(struct store *s, store_replay_fn *fn, void *user, struct error *e)
{
    return s->ops->replay(s, fn, user, e);
}

int store_job_gather(struct store *s, uint64_t job, const struct store_item *item,
                     struct arena *arena, struct store_task **ret, size_t *ret_n, struct error *e)
{
    return s->ops->job_gather(s, job, item, arena, ret, ret_n, e);
}

int store_parts(struct store *s, uint64_t job, uint64_t cursor, size_t max_bytes,
                struct arena *arena, struct store_result **ret, size_t *ret_n, struct error *e)
{
    return s->ops->parts(s, job, cursor, max_bytes, arena, ret, ret_n, e);
}

int store_results(struct store *s, uint64_t job, uint64_t cursor, size_t max_bytes,
                  struct arena *arena, struct store_result **ret, size_t *ret_n, struct error *e)
{
    return s->ops->results(s, job, cursor, max_bytes, arena, ret, ret_n, e);
}

int store_rejects(struct store *s, uint64_t job, uint64_t cursor, size_t max_bytes,
                  struct arena *arena, struct store_result **ret, size_t *ret_n, struct error *e)
{
    return s->ops->rejects(s, job, cursor, max_bytes, arena, ret, ret_n, e);
}

int store_dead_list(struct store *s, uint64_t job, uint64_t task, uint64_t after, size_t max,
                    struct arena *arena, struct store_dead **ret, size_t *ret_n, struct error *e)
{
    return s->ops->dead_list(s, job, task, after, max, arena, ret, ret_n, e);
}

int store_dead_retry(struct store *s, uint64_t job, uint64_t task, struct arena *arena,
                     struct store_task **ret, size_t *ret_n, struct error *e)
{
    return s->ops->dead_retry(s, job, task, arena, ret, ret_n, e);
}

int store_dead_discard(struct store *s, uint64_t job, uint64_t task, uint64_t *ret_n,
                       struct error *e)
{
    return s->ops->dead_discard(s, job, task, ret_n, e);
}

int store_blob_use(struct store *s, uint64_t job, const struct blob_name *names, size_t n,
                   struct error *e)
{
    return s->ops->blob_use(s, job, names, n, e);
}

int store_blob_needed(struct store *s, const struct blob_name *names, size_t n, bool *ret,
                      struct error *e)
{
    return s->ops->blob_needed(s, names, n, ret, e);
}

int store_drain_set(struct store *s, struct span worker, bool on, struct error *e)
{
    return s->ops->drain_set(s, worker, on, e);
}

int store_drain_list(struct store *s, struct arena *arena, struct span **ret, size_t *ret_n,
                     struct error *e)
{
    return s->ops->drain_list(s, arena, ret, ret_n, e);
}

int store_breaker_set(struct store *s, struct span downstream, enum sched_manual manual,
                      struct error *e)
{
    return s->ops->breaker_set(s, downstream, manual, e);
}

int store_breaker_list(struct store *s, struct arena *arena, struct store_breaker **ret,
                       size_t *ret_n, struct error *e)
{
    return s->ops->breaker_list(s, arena, ret, ret_n, e);
}

int store_model_add(struct store *s, const struct store_model *in, uint64_t *ret_version,
                    bool *ret_existing, struct error *e)
{
    return s->ops->model_add(s, in, ret_version, ret_existing, e);
}

int store_model_remove(struct store *s, struct span name, uint64_t version, struct error *e)
{
    return s->ops->model_remove(s, name, version, e);
}

int store_model_list(struct store *s, struct arena *arena, struct store_model **ret, size_t *ret_n,
                     struct error *e)
{
    return s->ops->model_list(s, arena, ret, ret_n, e);
}

int store_expire(struct store *s, int64_t now_ms, bool *ret_more, struct error *e)
{
    return s->ops->expire(s, now_ms, ret_more, e);
}

int store_sizes(struct store *s, struct store_sizes *ret, struct error *e)
{
    return s->ops->sizes(s, ret, e);
}
