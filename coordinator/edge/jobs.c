#include "jobs.h"

#include "common/log.h"
#include "common/pack.h"
#include "common/wire.h"
#include "coordinator/edge/downstreams.h"
#include "coordinator/edge/ends.h"
#include "coordinator/edge/inputs.h"
#include "coordinator/edge/map64.h"
#include "coordinator/edge/waiters.h"

struct jobs {
    struct edge *edge;
    const struct spec_engine *engines;
    size_t n_engines;
    struct map64 open;
    uint64_t version; /* the last one given */
};

/* The tasks of one answer of the store, copied: they came while their job was ending. */
struct tasks_made {
    struct tasks_made *next;
    size_t n;
    struct sched_task tasks[];
};

struct jobs *jobs_new(struct edge *e, const struct spec_engine *engines, size_t n)
{
    struct jobs *j = calloc(1, sizeof(*j));
    if (!j)
        return NULL;
    *j = (struct jobs){.edge = e, .engines = engines, .n_engines = n};
    /* Versions must differ from those that a client saw before a restart. */
    j->version = e->epoch << 32;
    return j;
}

static void job_free(struct job *job)
{
    if (!job)
        return;
    while (job->late) {
        struct tasks_made *t = job->late;
        job->late = t->next;
        free(t);
    }
    spec_free(job->spec);
    free((char *)(uintptr_t)job->spec_text.p);
    free(job);
}

void jobs_free(struct jobs *j)
{
    if (!j)
        return;
    size_t at = 0;
    for (struct map64_entry *m; (m = map64_next(&j->open, &at));)
        job_free(m->value);
    map64_done(&j->open);
    free(j);
}

struct job *jobs_get(const struct jobs *j, struct job_id id)
{
    return map64_get(&j->open, id.v);
}

size_t jobs_count(const struct jobs *j)
{
    return j->open.n;
}

int jobs_parse(const struct jobs *j, struct span text, struct spec **ret, struct error *error)
{
    return spec_parse(text, j->engines, j->n_engines, false, ret, error);
}

int jobs_read(const struct jobs *j, struct span text, struct spec **ret, struct error *error)
{
    return spec_open(text, j->engines, j->n_engines, false, ret, error);
}

/* The downstreams that the job's rows need, each once. */
static size_t job_downstreams(const struct spec *s, uint64_t ret[SCHED_DOWNSTREAMS_MAX])
{
    char name[DOWNSTREAM_NAME_MAX];
    size_t n = 0;
    for (size_t i = 0; i < s->n_sinks && n < SCHED_DOWNSTREAMS_MAX; i++) {
        size_t k = 0;
        if (s->sinks[i].kind == SPEC_SINK_STORE)
            continue;
        uint64_t hash = downstream_hash(span_str(spec_sink_downstream(&s->sinks[i], name)));
        while (k < n && ret[k] != hash)
            k++;
        ret[k] = hash;
        n = MAX(n, k + 1);
    }
    return n;
}

/* A job from before a restart may need a sink that the configuration has no more. Its tasks are held,
 * as if the sink had been tripped, until the coordinator is started with it. */
static void hold_for_missing(struct jobs *j, const struct job *job)
{
    char name[DOWNSTREAM_NAME_MAX];
    for (size_t i = 0; i < job->spec->n_sinks; i++) {
        const struct spec_sink *target = &job->spec->sinks[i];
        struct error why;
        if (target->kind == SPEC_SINK_STORE || sinks_of(j->edge->sinks, target) != SINKS_NONE)
            continue;
        struct span downstream = span_str(spec_sink_downstream(target, name));
        struct downstreams *all = j->edge->downstreams;
        LOG_ERROR("a job needs a sink that is not configured: its tasks are held",
                  log_u64("job", job->id), log_span("sink", downstream));
        struct downstream *one = downstreams_get(all, downstream_hash(downstream));
        if (one)
            continue;
        one = downstreams_missing(all, downstream);
        if (!one)
            continue;
        error_set(&why, ERR_CONFIG, "it is not in the configuration: add [sink.%s] and restart",
                  target->name);
        downstreams_error(all, one, span_str(why.detail));
        struct sched_event ev = {.type = SCHED_EV_BREAKER};
        ev.u.breaker.downstream = one->hash;
        ev.u.breaker.manual = SCHED_MANUAL_TRIPPED;
        edge_event(j->edge, &ev);
    }
}

static void tell_open(struct jobs *j, const struct job *job, const struct store_job *stored)
{
    const struct spec *s = job->spec;
    uint64_t downstreams[SCHED_DOWNSTREAMS_MAX];
    struct sched_event ev = {.type = SCHED_EV_JOB_OPEN, .job = {job->id}};
    ev.u.open.priority = s->priority;
    ev.u.open.attempts_max = s->attempts;
    ev.u.open.backoff_ms = s->backoff_ms;
    ev.u.open.backoff_max_ms = s->backoff_max_ms;
    ev.u.open.key_limit = s->key_limit;
    ev.u.open.key_delay_ms = s->key_delay_ms;
    ev.u.open.key_use_ms = s->key_use_ms;
    ev.u.open.run_timeout_ms = s->run_timeout_ms;
    ev.u.open.begins = spec_may_need_blobs(s);
    ev.u.open.kinds = s->kinds;
    ev.u.open.retry_percent = s->retry_percent;
    ev.u.open.downstreams = downstreams;
    ev.u.open.n_downstreams = job_downstreams(s, downstreams);
    ev.u.open.hosts = s->kinds & WIRE_KIND_SCRAPE;
    ev.u.open.sealed = stored->sealed;
    ev.u.open.cancelled = stored->cancelling;
    ev.u.open.paused = stored->paused;
    ev.u.open.dead_letters = stored->dead;
    edge_event(j->edge, &ev);
}

static struct job *job_make(const struct jobs *j, const struct store_job *stored,
                            struct spec **spec_take, struct error *error)
{
    struct job *job = calloc(1, sizeof(*job));
    char *text = malloc(stored->spec.len + 1);
    if (!job || !text) {
        free(job);
        free(text);
        error_set(error, ERR_NOMEM, "no memory for a job");
        return NULL;
    }
    if (stored->spec.len)
        memcpy(text, stored->spec.p, stored->spec.len);
    job->id = stored->id;
    assert(stored->uid.len == sizeof(job->uid));
    memcpy(job->uid, stored->uid.p, sizeof(job->uid));
    job->spec_text = (struct span){text, stored->spec.len};
    if (*spec_take) {
        job->spec = TAKE_PTR(*spec_take);
    } else if (jobs_parse(j, job->spec_text, &job->spec, error)) {
        job_free(job);
        return NULL;
    }
    return job;
}

int jobs_open(struct jobs *j, const struct store_job *stored, struct spec **spec_take,
              struct error *error)
{
    if (jobs_get(j, (struct job_id){stored->id}))
        return 0;
    struct job *job = job_make(j, stored, spec_take, error);
    if (!job)
        return (int)error->code;
    if (!map64_put(&j->open, job->id, job)) {
        job_free(job);
        return error_set(error, ERR_NOMEM, "no memory for a job");
    }
    job->version = ++j->version;
    hold_for_missing(j, job);
    tell_open(j, job, stored);
    return 0;
}

static void keep_late(struct job *job, const struct store_task *tasks, size_t n)
{
    struct tasks_made *t = malloc(sizeof(*t) + n * sizeof(t->tasks[0]));
    if (!t)
        return; /* they are in the store: the next start finds them */
    t->n = n;
    for (size_t i = 0; i < n; i++)
        t->tasks[i] = tasks[i].sched;
    t->next = job->late;
    job->late = t;
}

static void tell_tasks(struct jobs *j, struct job_id id, const struct sched_task *tasks, size_t n)
{
    struct sched_event ev = {.type = SCHED_EV_TASKS, .job = id};
    ev.u.tasks.tasks = tasks;
    ev.u.tasks.n = n;
    edge_event(j->edge, &ev);
}

void jobs_tasks(struct jobs *j, const struct store_job *stored, const struct store_task *tasks,
                size_t n)
{
    enum { STEP = 512 };
    struct job_id id = {stored->id};
    struct job *job = jobs_get(j, id);
    if (n == 0)
        return;
    if (job && job->ending)
        return keep_late(job, tasks, n);
    if (!job) {
        struct error error = {0};
        struct spec *none = NULL;
        if (jobs_open(j, stored, &none, &error)) {
            LOG_ERROR("a job cannot be opened again", log_u64("job", id.v), log_err(&error));
            return;
        }
    }
    struct sched_task sched[STEP];
    struct task_id ids[STEP];
    struct span inputs[STEP];
    for (size_t from = 0; from < n; from += STEP) {
        size_t m = MIN(n - from, (size_t)STEP), kept = 0;
        for (size_t i = 0; i < m; i++) {
            sched[i] = tasks[from + i].sched;
            if (tasks[from + i].whole)
                continue; /* that it is so comes with its input from the store */
            ids[kept] = sched[i].id;
            inputs[kept++] = tasks[from + i].input;
        }
        inputs_put(j->edge->inputs, ids, inputs, kept);
        tell_tasks(j, id, sched, m);
    }
    job = jobs_get(j, id);
    if (job)
        jobs_changed(j, job, false);
}

void jobs_letters(struct jobs *j, const struct store_job *stored)
{
    struct job *job = jobs_get(j, (struct job_id){stored->id});
    if (!job || job->ending)
        return;
    tell_open(j, job, stored);
    jobs_changed(j, job, false);
}

void jobs_changed(struct jobs *j, struct job *job, bool results)
{
    job->version = ++j->version;
    if (results)
        job->results++;
    waiters_wake(j->edge->waiters, job->id, false);
}

/* ---- the end ---- */

struct end {
    struct store_request request; /* first: what comes back is cast */
    uint64_t job;
    enum sched_job_end how;
    int64_t wall_ms;
    bool gathers;
    int64_t rejects_max; /* -1: no limit */
    bool
        has_tasks; /* letters were retried just before, or its parts are still to be brought together */
    struct store_job stored;
    struct store_task *gather; /* the task that does it */
    size_t n_gather;
};

/* [[text, 0]], as every engine packs an input that the client gave. */
static int make_gather(struct store *store, struct end *end, struct error *e)
{
    struct buf item = {0};
    pack_array(&item, 2);
    pack_str(&item, SPAN(SPEC_GATHER_ITEM));
    pack_u64(&item, 0);
    const struct store_item one = {.input = buf_span(&item)};
    const int rc = buf_ok(&item) ? store_job_gather(store, end->job, &one, &end->request.arena,
                                                    &end->gather, &end->n_gather, e)
                                 : error_set(e, ERR_NOMEM, "no memory for a task");
    buf_done(&item);
    return rc;
}

/* Its tasks were cancelled for it, and it ends as failed. */
static bool too_many_rejects(const struct end *end)
{
    return end->rejects_max >= 0 && end->stored.rejects > (uint64_t)end->rejects_max;
}

static int end_run(struct store *store, struct store_request *r)
{
    struct end *end = (struct end *)r;
    static const enum store_job_state states[] = {
        [SCHED_JOB_DONE] = STORE_JOB_DONE,
        [SCHED_JOB_FAILED] = STORE_JOB_FAILED,
        [SCHED_JOB_CANCELLED] = STORE_JOB_CANCELLED,
    };
    arena_clear(&r->arena);
    int rc = store_job_get(store, end->job, &r->arena, &end->stored, &r->error);
    if (rc)
        return rc;
    end->has_tasks = end->how != SCHED_JOB_CANCELLED && end->stored.tasks_pending > 0;
    if (!end->has_tasks && end->how == SCHED_JOB_DONE && end->gathers && !too_many_rejects(end)) {
        rc = make_gather(store, end, &r->error);
        end->has_tasks = rc == 0 && end->n_gather > 0;
    }
    if (rc || end->has_tasks)
        return rc;
    const enum store_job_state state = too_many_rejects(end) ? STORE_JOB_FAILED : states[end->how];
    return store_job_end(store, end->job, state, end->wall_ms, &r->error);
}

static void end_free(struct end *end)
{
    arena_done(&end->request.arena);
    free(end);
}

static void drop(struct jobs *j, struct job *job)
{
    map64_take(&j->open, job->id);
    job_free(job);
}

/* Letters were retried while the job was ending: it is opened again with them. */
static void reopen(struct jobs *j, const struct end *end, struct job *job)
{
    job->ending = false;
    tell_open(j, job, &end->stored);
    while (job->late) {
        struct tasks_made *t = job->late;
        job->late = t->next;
        tell_tasks(j, (struct job_id){job->id}, t->tasks, t->n);
        free(t);
    }
    jobs_changed(j, job, false);
}

static void end_done(struct store_request *r, void *user)
{
    struct end *end = (struct end *)r;
    struct edge *e = user;
    struct job *job = jobs_get(e->jobs, (struct job_id){end->job});
    edge_store_result(e, r->rc);
    if (edge_again(e, r))
        return;
    if (r->rc && r->rc != ERR_NOT_FOUND)
        LOG_ERROR("the end of a job was not stored", log_u64("job", end->job), log_err(&r->error));
    if (job && end->has_tasks && r->rc == 0) {
        if (end->n_gather > 0)
            keep_late(job, end->gather, end->n_gather);
        reopen(e->jobs, end, job);
    } else if (job) {
        static const char *const names[] = {"done", "failed", "cancelled"};
        const enum sched_job_end how = too_many_rejects(end) ? SCHED_JOB_FAILED : end->how;
        LOG_INFO("job ended", log_u64("job", end->job), log_str("state", names[how]));
        e->counts.jobs_finished[how]++;
        ends_tell(e, job, end->how);
        drop(e->jobs, job);
        waiters_wake(e->waiters, end->job, true);
    }
    end_free(end);
}

void jobs_end(struct jobs *j, struct job_id id, enum sched_job_end how)
{
    struct job *job = jobs_get(j, id);
    if (!job)
        return;
    job->ending = true;
    struct end *end = calloc(1, sizeof(*end));
    if (!end)
        abort(); /* as sched_step does: the store has the truth */
    end->job = id.v;
    end->how = how;
    end->gathers = job->spec->gather < job->spec->n_stages;
    end->rejects_max = job->spec->rejects_max;
    end->wall_ms = j->edge->wall_ms;
    arena_init(&end->request.arena, 0);
    end->request.write = true;
    end->request.bytes = sizeof(*end);
    end->request.run = end_run;
    end->request.done = end_done;
    store_thread_submit(j->edge->store, &end->request);
}
