/* verbs_change.c: what changes jobs and dead letters that are there. */
#include "verbs.h"

#include "common/pack.h"
#include "coordinator/edge/jobs.h"

static int need_job(struct call *c, struct error *error)
{
    return front_need(c->args.job || c->args.job_name.len, "job", error);
}

/* The job of a call that came back, when the change concerns the scheduler. */
static struct job *changed_job(struct edge *e, const struct call *c)
{
    struct job *job = jobs_get(e->jobs, (struct job_id){c->args.job});
    return job && !job->ending ? job : NULL;
}

static void change_done(struct edge *e, struct call *c, struct sched_event *ev)
{
    edge_store_result(e, c->request.rc);
    struct job *job = c->request.rc == 0 ? changed_job(e, c) : NULL;
    if (job) {
        ev->job.v = job->id;
        jobs_changed(e->jobs, job, false);
        edge_event(e, ev);
    }
    verbs_reply_job(&c->request, e);
}

/* ---- cancel ---- */

static int cancel_run(struct store *s, struct store_request *r)
{
    struct call *c = (struct call *)r;
    int rc = verbs_read_job(s, c, &r->error);
    if (rc || c->job.state != STORE_JOB_OPEN)
        return rc; /* an ended job stays as it ended */
    rc = store_job_cancel(s, c->args.job, c->wall_ms, &r->error);
    return rc ? rc : verbs_read_job(s, c, &r->error);
}

static void cancel_done(struct store_request *r, void *user)
{
    change_done(user, (struct call *)r, &(struct sched_event){.type = SCHED_EV_JOB_CANCEL});
}

int verbs_job_cancel(struct call *c, struct error *error)
{
    int rc = need_job(c, error);
    if (rc == 0)
        front_store(c, true, cancel_run, cancel_done);
    return rc;
}

/* ---- pause and resume ---- */

static int pause_run(struct store *s, struct store_request *r, bool on)
{
    struct call *c = (struct call *)r;
    int rc = verbs_read_job(s, c, &r->error);
    if (rc || c->job.state != STORE_JOB_OPEN)
        return rc;
    rc = store_job_pause(s, c->args.job, on, &r->error);
    return rc ? rc : verbs_read_job(s, c, &r->error);
}

static int pause_on(struct store *s, struct store_request *r)
{
    return pause_run(s, r, true);
}

static int pause_off(struct store *s, struct store_request *r)
{
    return pause_run(s, r, false);
}

static void pause_done(struct store_request *r, void *user)
{
    struct sched_event ev = {.type = SCHED_EV_JOB_PAUSE};
    ev.u.on = r->run == pause_on;
    change_done(user, (struct call *)r, &ev);
}

int verbs_job_pause(struct call *c, struct error *error)
{
    int rc = need_job(c, error);
    if (rc == 0)
        front_store(c, true, pause_on, pause_done);
    return rc;
}

int verbs_job_resume(struct call *c, struct error *error)
{
    int rc = need_job(c, error);
    if (rc == 0)
        front_store(c, true, pause_off, pause_done);
    return rc;
}

/* ---- rm ---- */

static int rm_run(struct store *s, struct store_request *r)
{
    struct call *c = (struct call *)r;
    int rc = verbs_read_job(s, c, &r->error);
    return rc ? rc : store_job_remove(s, c->args.job, &r->error);
}

int verbs_job_rm(struct call *c, struct error *error)
{
    int rc = need_job(c, error);
    if (rc == 0)
        front_store(c, true, rm_run, verbs_reply_job);
    return rc;
}

/* ---- dead letters ---- */

static void reply_count(struct call *c, const char *key)
{
    struct buf *out = front_reply(c);
    pack_map(out, 1);
    pack_cstr(out, key);
    pack_u64(out, c->n);
    front_send(c);
}

/* A letter was named: which job is it of? */
static int job_of_letter(struct store *s, struct call *c, struct error *error)
{
    struct store_dead *letter;
    size_t n = 0;
    int rc = front_job(s, c, error);
    if (rc || !c->args.task || c->args.job)
        return rc;
    rc = store_dead_list(s, 0, c->args.task, 0, 1, &c->request.arena, &letter, &n, error);
    if (rc == 0 && n == 0)
        return error_set(error, ERR_NOT_FOUND, "there is no dead letter %llu",
                         (unsigned long long)c->args.task);
    if (rc == 0)
        c->args.job = letter->job;
    return rc;
}

static int retry_run(struct store *s, struct store_request *r)
{
    struct call *c = (struct call *)r;
    c->n_tasks = 0;
    int rc = job_of_letter(s, c, &r->error);
    if (rc == 0)
        rc = store_dead_retry(s, c->args.job, c->args.task, &r->arena, &c->tasks, &c->n_tasks,
                              &r->error);
    return rc ? rc : store_job_get(s, c->args.job, &r->arena, &c->job, &r->error);
}

/* One call of the store takes up a bounded number of letters: what it brought back goes to the
 * scheduler, and the request runs again until there are none. */
static void retry_done(struct store_request *r, void *user)
{
    struct call *c = (struct call *)r;
    struct edge *e = user;
    edge_store_result(e, r->rc);
    if (r->rc)
        return front_fail(c, r->rc, r->error.detail);
    jobs_letters(e->jobs, &c->job);
    jobs_tasks(e->jobs, &c->job, c->tasks, c->n_tasks);
    c->n += c->n_tasks;
    if (c->n_tasks == STORE_DEAD_RETRY_MAX) {
        front_store(c, true, retry_run, retry_done);
        return;
    }
    reply_count(c, "retried");
}

int verbs_job_retry(struct call *c, struct error *error)
{
    int rc = need_job(c, error);
    if (rc == 0)
        rc = edge_admit(c->edge, error);
    if (rc == 0)
        front_store(c, true, retry_run, retry_done);
    return rc;
}

static int need_letter(struct call *c, struct error *error)
{
    return front_need(c->args.task || c->args.job || c->args.job_name.len, "job or task", error);
}

int verbs_dead_retry(struct call *c, struct error *error)
{
    int rc = need_letter(c, error);
    if (rc == 0)
        rc = edge_admit(c->edge, error);
    if (rc == 0)
        front_store(c, true, retry_run, retry_done);
    return rc;
}

static int discard_run(struct store *s, struct store_request *r)
{
    struct call *c = (struct call *)r;
    int rc = job_of_letter(s, c, &r->error);
    if (rc == 0)
        rc = store_dead_discard(s, c->args.job, c->args.task, &c->n, &r->error);
    return rc ? rc : store_job_get(s, c->args.job, &r->arena, &c->job, &r->error);
}

static void discard_done(struct store_request *r, void *user)
{
    struct call *c = (struct call *)r;
    struct edge *e = user;
    edge_store_result(e, r->rc);
    if (r->rc)
        return front_fail(c, r->rc, r->error.detail);
    jobs_letters(e->jobs, &c->job);
    reply_count(c, "discarded");
}

int verbs_dead_discard(struct call *c, struct error *error)
{
    int rc = need_letter(c, error);
    if (rc == 0)
        front_store(c, true, discard_run, discard_done);
    return rc;
}
