/* verbs_read.c: jobs, their results, rejects and dead letters, on the way out. */
#include "verbs.h"

#include "common/unpack.h"
#include "coordinator/edge/jobs.h"
#include "coordinator/edge/verbs_pack.h"
#include "coordinator/edge/waiters.h"

/* ---- reading jobs ---- */

static int read_stats(struct store *s, struct call *c, struct error *error)
{
    struct arena *a = &c->request.arena;
    c->stats = arena_zalloc(a, MAX(c->n_jobs, (size_t)1) * sizeof(struct store_stat *));
    c->n_stats = arena_zalloc(a, MAX(c->n_jobs, (size_t)1) * sizeof(*c->n_stats));
    if (!c->stats || !c->n_stats)
        return error_set(error, ERR_NOMEM, "no memory for the answer");
    for (size_t i = 0; i < c->n_jobs; i++) {
        int rc = store_job_stats(s, c->jobs[i].id, a, &c->stats[i], &c->n_stats[i], error);
        if (rc)
            return rc;
    }
    return 0;
}

int verbs_read_job(struct store *s, struct call *c, struct error *error)
{
    int rc = front_job(s, c, error);
    if (rc == 0)
        rc = store_job_get(s, c->args.job, &c->request.arena, &c->job, error);
    if (rc)
        return rc;
    c->jobs = &c->job;
    c->n_jobs = 1;
    return read_stats(s, c, error);
}

void verbs_reply_job(struct store_request *r, void *user)
{
    struct call *c = (struct call *)r;
    (void)user;
    if (r->rc)
        return front_fail(c, r->rc, r->error.detail);
    verbs_pack_job(c, front_reply(c), 0);
    front_send(c);
}

static int status_run(struct store *s, struct store_request *r)
{
    return verbs_read_job(s, (struct call *)r, &r->error);
}

static int need_job(struct call *c, struct error *error)
{
    return front_need(c->args.job || c->args.job_name.len, "job", error);
}

int verbs_job_status(struct call *c, struct error *error)
{
    int rc = need_job(c, error);
    if (rc == 0)
        front_store(c, false, status_run, verbs_reply_job);
    return rc;
}

int verbs_job_wait(struct call *c, struct error *error)
{
    int rc = need_job(c, error);
    if (rc)
        return rc;
    struct job *job = jobs_get(c->edge->jobs, (struct job_id){c->args.job});
    if (job && c->args.has_version && job->version == c->args.version &&
        waiters_park(c->edge->waiters, c, job->id))
        return 0;
    front_store(c, false, status_run, verbs_reply_job);
    return 0;
}

static int ls_run(struct store *s, struct store_request *r)
{
    struct call *c = (struct call *)r;
    int rc =
        store_job_list(s, c->args.before, c->args.max, &r->arena, &c->jobs, &c->n_jobs, &r->error);
    return rc ? rc : read_stats(s, c, &r->error);
}

static void ls_done(struct store_request *r, void *user)
{
    struct call *c = (struct call *)r;
    (void)user;
    if (r->rc)
        return front_fail(c, r->rc, r->error.detail);
    struct buf *out = front_reply(c);
    pack_map(out, 1);
    pack_cstr(out, "jobs");
    pack_array(out, c->n_jobs);
    for (size_t i = 0; i < c->n_jobs; i++)
        verbs_pack_job(c, out, i);
    front_send(c);
}

int verbs_job_ls(struct call *c, struct error *error)
{
    (void)error;
    front_store(c, false, ls_run, ls_done);
    return 0;
}

/* ---- results and rejects ---- */

typedef int read_fn(struct store *, uint64_t, uint64_t, size_t, struct arena *,
                    struct store_result **, size_t *, struct error *);

static int pages_run(struct store *s, struct call *c, read_fn *read, struct error *error)
{
    int rc = front_job(s, c, error);
    if (rc == 0)
        rc = store_job_get(s, c->args.job, &c->request.arena, &c->job, error);
    if (rc)
        return rc;
    return read(s, c->args.job, c->args.cursor, c->args.max_bytes, &c->request.arena, &c->results,
                &c->n_results, error);
}

static int results_run(struct store *s, struct store_request *r)
{
    return pages_run(s, (struct call *)r, store_results, &r->error);
}

static int rejects_run(struct store *s, struct store_request *r)
{
    return pages_run(s, (struct call *)r, store_rejects, &r->error);
}

static bool page_is_end(const struct call *c)
{
    return c->n_results == 0 && c->job.state != STORE_JOB_OPEN;
}

/* Reads again what the store may have learnt since it answered. */
static void page_again(struct call *c, uint64_t seen)
{
    if (c->wait_until_ms == 0)
        c->wait_until_ms = c->edge->now_ms + c->args.wait_ms;
    c->seen = seen;
    front_store(c, false, c->request.run, c->request.done);
}

/* Nothing yet, and the job goes on: true when the call was parked, or asked the store again because
 * something was committed in between. */
static bool page_wait(struct call *c)
{
    struct edge *e = c->edge;
    if (c->n_results || page_is_end(c) || c->args.wait_ms == 0)
        return false;
    if (c->wait_until_ms && e->now_ms >= c->wait_until_ms)
        return false;
    struct job *job = jobs_get(e->jobs, (struct job_id){c->args.job});
    if (!job && c->seen == UINT64_MAX)
        return false; /* asked once more already */
    uint64_t now = job ? job->results : UINT64_MAX;
    if (now != c->seen) {
        page_again(c, now);
        return true;
    }
    return job && waiters_park(e->waiters, c, job->id);
}

static uint64_t page_cursor(const struct call *c)
{
    uint64_t cursor = c->args.cursor;
    for (size_t i = 0; i < c->n_results; i++)
        cursor = MAX(cursor, c->results[i].cursor);
    return cursor;
}

static void pack_page_end(const struct call *c, struct buf *out)
{
    static const char *const states[] = {"", "open", "done", "failed", "cancelled"};
    verbs_number(out, "cursor", page_cursor(c));
    verbs_flag(out, "end", page_is_end(c));
    verbs_span(out, "state", span_str(states[c->job.state]));
}

static void results_done(struct store_request *r, void *user)
{
    struct call *c = (struct call *)r;
    (void)user;
    if (r->rc)
        return front_fail(c, r->rc, r->error.detail);
    if (page_wait(c))
        return;
    struct buf *out = front_reply(c);
    pack_map(out, 4);
    pack_page_end(c, out);
    pack_cstr(out, "batches");
    pack_array(out, c->n_results);
    for (size_t i = 0; i < c->n_results; i++) {
        pack_array(out, 3);
        pack_u64(out, c->results[i].task);
        pack_u64(out, c->results[i].n_rows);
        pack_bin(out, c->results[i].rows);
    }
    front_send(c);
}

/* Each result holds an array of rejects; the answer is one array of all of them. */
static void rejects_done(struct store_request *r, void *user)
{
    struct call *c = (struct call *)r;
    size_t n = 0;
    (void)user;
    if (r->rc)
        return front_fail(c, r->rc, r->error.detail);
    if (page_wait(c))
        return;
    for (size_t i = 0; i < c->n_results; i++) {
        struct unpack u;
        unpack_init(&u, c->results[i].rows.p, c->results[i].rows.len);
        n += unpack_array(&u);
    }
    struct buf *out = front_reply(c);
    pack_map(out, 4);
    pack_page_end(c, out);
    pack_cstr(out, "rejects");
    pack_array(out, n);
    for (size_t i = 0; i < c->n_results; i++) {
        struct unpack u;
        unpack_init(&u, c->results[i].rows.p, c->results[i].rows.len);
        size_t k = unpack_array(&u);
        for (size_t j = 0; j < k; j++) {
            struct span one = unpack_raw(&u);
            buf_append(out, one.p, one.len);
        }
    }
    front_send(c);
}

static int page_start(struct call *c, int (*run)(struct store *, struct store_request *),
                      void (*done)(struct store_request *, void *), struct error *error)
{
    int rc = need_job(c, error);
    if (rc)
        return rc;
    struct job *job = jobs_get(c->edge->jobs, (struct job_id){c->args.job});
    c->seen = job ? job->results : 0; /* of an ended job the answer is final */
    front_store(c, false, run, done);
    return 0;
}

int verbs_job_results(struct call *c, struct error *error)
{
    return page_start(c, results_run, results_done, error);
}

int verbs_job_rejects(struct call *c, struct error *error)
{
    return page_start(c, rejects_run, rejects_done, error);
}

/* ---- dead letters ---- */

static int dead_run(struct store *s, struct store_request *r)
{
    struct call *c = (struct call *)r;
    int rc = front_job(s, c, &r->error);
    if (rc)
        return rc;
    rc = store_dead_list(s, c->args.job, c->args.task, c->args.after, c->args.max, &r->arena,
                         &c->dead, &c->n_dead, &r->error);
    if (rc == 0 && c->args.task && c->n_dead == 0)
        rc = error_set(&r->error, ERR_NOT_FOUND, "there is no dead letter %llu",
                       (unsigned long long)c->args.task);
    return rc;
}

static void pack_dead(struct buf *out, const struct store_dead *d)
{
    pack_map(out, 7);
    verbs_number(out, "task", d->task);
    verbs_number(out, "job", d->job);
    verbs_number(out, "attempts", d->attempt);
    verbs_number(out, "kills", d->kills);
    verbs_span(out, "error", d->error);
    verbs_time(out, "at", d->at_ms);
    pack_cstr(out, "input");
    if (d->input.len)
        buf_append(out, d->input.p, d->input.len); /* msgpack already */
    else
        pack_nil(out);
}

static void dead_ls_done(struct store_request *r, void *user)
{
    struct call *c = (struct call *)r;
    (void)user;
    if (r->rc)
        return front_fail(c, r->rc, r->error.detail);
    struct buf *out = front_reply(c);
    pack_map(out, 1);
    pack_cstr(out, "dead");
    pack_array(out, c->n_dead);
    for (size_t i = 0; i < c->n_dead; i++)
        pack_dead(out, &c->dead[i]);
    front_send(c);
}

static void dead_show_done(struct store_request *r, void *user)
{
    struct call *c = (struct call *)r;
    (void)user;
    if (r->rc)
        return front_fail(c, r->rc, r->error.detail);
    pack_dead(front_reply(c), &c->dead[0]);
    front_send(c);
}

int verbs_dead_ls(struct call *c, struct error *error)
{
    (void)error;
    front_store(c, false, dead_run, dead_ls_done);
    return 0;
}

int verbs_dead_show(struct call *c, struct error *error)
{
    int rc = front_need(c->args.task != 0, "task", error);
    if (rc == 0)
        front_store(c, false, dead_run, dead_show_done);
    return rc;
}
