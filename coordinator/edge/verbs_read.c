/* verbs_read.c: jobs, their results, rejects and dead letters, on the way out. */
#include "verbs.h"

#include "common/clock.h"
#include "common/pack.h"
#include "common/unpack.h"
#include "coordinator/edge/jobs.h"
#include "coordinator/edge/waiters.h"

static const char REJECT_PREFIX[] = "reject.";

/* ---- the job map ---- */

static void pack_time(struct buf *out, const char *key, int64_t unix_ms)
{
    char text[CLOCK_TEXT_LEN];
    pack_cstr(out, key);
    if (unix_ms == 0)
        return pack_nil(out);
    clock_rfc3339(unix_ms, text);
    pack_cstr(out, text);
}

static void pack_number(struct buf *out, const char *key, uint64_t v)
{
    pack_cstr(out, key);
    pack_u64(out, v);
}

static void pack_flag(struct buf *out, const char *key, bool v)
{
    pack_cstr(out, key);
    pack_bool(out, v);
}

static void pack_text(struct buf *out, const char *key, struct span v)
{
    pack_cstr(out, key);
    if (v.p && v.len)
        pack_str(out, v);
    else
        pack_nil(out);
}

static bool is_reject(const struct store_stat *s)
{
    size_t n = sizeof(REJECT_PREFIX) - 1;
    return s->name.len > n && memcmp(s->name.p, REJECT_PREFIX, n) == 0;
}

static void pack_stats(struct buf *out, const struct store_stat *stats, size_t n, bool rejects)
{
    size_t n_out = 0, skip = rejects ? sizeof(REJECT_PREFIX) - 1 : 0;
    for (size_t i = 0; i < n; i++)
        n_out += is_reject(&stats[i]) == rejects;
    pack_cstr(out, rejects ? "rejects_by_reason" : "stats");
    pack_map(out, n_out);
    for (size_t i = 0; i < n; i++) {
        if (is_reject(&stats[i]) != rejects)
            continue;
        pack_str(out, (struct span){stats[i].name.p + skip, stats[i].name.len - skip});
        pack_i64(out, stats[i].value);
    }
}

/* What only the description says: the kinds of the stages, and the sink. */
static void pack_spec(struct call *c, struct buf *out, const struct store_job *stored)
{
    struct job *job = jobs_get(c->edge->jobs, (struct job_id){stored->id});
    struct spec *parsed = NULL;
    struct error error = {0};
    if (!job && jobs_parse(c->edge->jobs, stored->spec, &parsed, &error))
        parsed = NULL;
    const struct spec *spec = job ? job->spec : parsed;
    pack_cstr(out, "kinds");
    pack_array(out, spec ? spec->n_stages : 0);
    for (size_t i = 0; spec && i < spec->n_stages; i++)
        pack_cstr(out, spec->stages[i].engine->name);
    pack_cstr(out, "sink");
    pack_cstr(out,
              spec && spec->n_sinks && spec->sinks[0].kind == SPEC_SINK_STORE ? "store" : NULL);
    spec_free(parsed);
}

void verbs_pack_job(struct call *c, struct buf *out, size_t i)
{
    static const char *const states[] = {
        [STORE_JOB_OPEN] = "open",
        [STORE_JOB_DONE] = "done",
        [STORE_JOB_FAILED] = "failed",
        [STORE_JOB_CANCELLED] = "cancelled",
    };
    const struct store_job *j = &c->jobs[i];
    const struct job *open = jobs_get(c->edge->jobs, (struct job_id){j->id});
    struct sched_job_view view = {0};
    (void)!sched_job_view(c->edge->sched, (struct job_id){j->id}, &view);
    pack_map(out, 27);
    pack_number(out, "job", j->id);
    pack_text(out, "name", j->name);
    pack_text(out, "client", j->client);
    pack_text(out, "state", span_str(states[j->state]));
    pack_flag(out, "sealed", j->sealed);
    pack_flag(out, "cancelling", j->cancelling);
    pack_flag(out, "paused", j->paused);
    pack_flag(out, "results_expired", j->results_expired);
    pack_number(out, "priority", j->priority);
    pack_time(out, "created", j->created_ms);
    pack_time(out, "ended", j->ended_ms);
    pack_time(out, "expires", j->expires_ms);
    pack_number(out, "version", open ? open->version : 0);
    pack_number(out, "items", j->items);
    pack_number(out, "duplicates", j->duplicates);
    pack_number(out, "tasks", j->tasks);
    pack_number(out, "done", j->tasks_done);
    pack_number(out, "pending", j->tasks_pending);
    pack_number(out, "running", view.tasks[SCHED_LEASED] + view.tasks[SCHED_COMMITTING]);
    pack_number(out, "delayed", view.tasks[SCHED_DELAYED]);
    pack_number(out, "dead", j->dead);
    pack_number(out, "rows", j->rows);
    pack_number(out, "rejects", j->rejects);
    pack_stats(out, c->stats[i], c->n_stats[i], false);
    pack_stats(out, c->stats[i], c->n_stats[i], true);
    pack_spec(c, out, j);
}

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
    pack_number(out, "cursor", page_cursor(c));
    pack_flag(out, "end", page_is_end(c));
    pack_text(out, "state", span_str(states[c->job.state]));
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
    pack_number(out, "task", d->task);
    pack_number(out, "job", d->job);
    pack_number(out, "attempts", d->attempt);
    pack_number(out, "kills", d->kills);
    pack_text(out, "error", d->error);
    pack_time(out, "at", d->at_ms);
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
