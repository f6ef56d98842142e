/* verbs_explain.c: why a job or a task does not run, in words and as data. */
#include "verbs.h"

#include <stdio.h>

#include "common/wire.h"
#include "coordinator/edge/downstreams.h"
#include "coordinator/edge/jobs.h"
#include "coordinator/edge/sessions.h"
#include "coordinator/edge/verbs_pack.h"

enum { REASONS_MAX = 12, TEXT_MAX = 600 };

struct reason {
    const char *code;
    uint64_t tasks;
    uint64_t breaker; /* the downstream; 0: none */
    char text[TEXT_MAX];
};

struct explanation {
    const struct edge *e;
    struct reason list[REASONS_MAX];
    size_t n;
};

static struct reason *add(struct explanation *x, const char *code, uint64_t tasks, const char *fmt,
                          ...) PRINTF_LIKE(4, 5);

static struct reason *add(struct explanation *x, const char *code, uint64_t tasks, const char *fmt,
                          ...)
{
    va_list args;
    assert(x->n < REASONS_MAX);
    struct reason *r = &x->list[x->n++];
    *r = (struct reason){.code = code, .tasks = tasks};
    va_start(args, fmt);
    vsnprintf(r->text, sizeof(r->text), fmt, args);
    va_end(args);
    return r;
}

/* ---- single reasons ---- */

static struct sched_breaker_view breaker_of(const struct edge *e, uint64_t downstream)
{
    struct sched_breaker_view v;
    size_t at = 0;
    while (sched_breaker_next(e->sched, &at, e->now_ms, &v))
        if (v.downstream == downstream)
            return v;
    return (struct sched_breaker_view){.downstream = downstream};
}

static void add_breaker(struct explanation *x, uint64_t downstream, uint64_t tasks)
{
    const struct downstream *one = downstreams_get(x->e->downstreams, downstream);
    struct sched_breaker_view v = breaker_of(x->e, downstream);
    const char *name = one ? one->name : "a host", *error = one ? one->error : NULL;
    char until[80] = "";
    if (v.manual == SCHED_MANUAL_TRIPPED)
        snprintf(until, sizeof(until), "; tripped by hand until `drover breaker reset`");
    else if (v.state == SCHED_BREAKER_HALF_OPEN)
        snprintf(until, sizeof(until), "; one call is tried now");
    else if (v.state == SCHED_BREAKER_OPEN && v.open_ms != UINT64_MAX)
        snprintf(until, sizeof(until), "; the next try is in %.1f s", (double)v.open_ms / 1000.0);
    else if (v.state == SCHED_BREAKER_CLOSED)
        snprintf(until, sizeof(until), "; it has just closed, and lets in more and more");
    struct reason *r = add(x, "breaker", tasks, "held: the breaker of %s is %s%s%s%s%s", name,
                           v.state == SCHED_BREAKER_CLOSED ? "closed"
                           : v.state == SCHED_BREAKER_OPEN ? "open"
                                                           : "half open",
                           error ? " (" : "", error ? error : "", error ? ")" : "", until);
    r->breaker = downstream;
}

static void add_workers(struct explanation *x, uint32_t kinds, uint64_t tasks)
{
    char wanted[100] = "";
    uint64_t connected = 0;
    size_t at = 0, len = 0;
    for (size_t i = 0; i < EDGE_KINDS; i++)
        if (kinds & 1U << i)
            len += (size_t)snprintf(wanted + len, sizeof(wanted) - len, "%s%s", len ? ", " : "",
                                    edge_kind_name(i));
    for (struct worker *w; (w = sessions_worker_next(x->e->sessions, &at));)
        connected += w->session && !w->draining;
    if (connected == 0)
        add(x, "workers", tasks, "no worker is connected");
    else
        add(x, "workers", tasks, "none of the %llu connected workers may run them: they need %s",
            (unsigned long long)connected, wanted);
}

static void add_wait(struct explanation *x, enum sched_wait wait, uint64_t tasks, uint64_t breaker,
                     uint32_t kinds)
{
    switch (wait) {
    case SCHED_WAIT_PAUSED:
        add(x, "paused", tasks, "the job is paused: `drover job resume` lets it go on");
        break;
    case SCHED_WAIT_LIMIT:
        add(x, "limit", tasks,
            "the limit of their host (or other key) is used up, or its delay runs");
        break;
    case SCHED_WAIT_BREAKER:
        add_breaker(x, breaker, tasks);
        break;
    case SCHED_WAIT_WORKERS:
        add_workers(x, kinds, tasks);
        break;
    case SCHED_WAIT_RECOVERY:
        add(x, "recovery", tasks,
            "the coordinator has just started and waits for workers to say what they hold");
        break;
    case SCHED_WAIT_NONE:
    case SCHED_WAITS:
        add(x, "queued", tasks, "next in line: every worker is busy, or takes no more for now");
        break;
    }
}

/* Tasks whose rows wait on workers for a sink that fails. */
static void add_landing(struct explanation *x, const struct spec *spec)
{
    char name[DOWNSTREAM_NAME_MAX];
    for (size_t i = 0; i < spec->n_sinks && x->n < REASONS_MAX - 2; i++) {
        if (spec->sinks[i].kind == SPEC_SINK_STORE)
            continue;
        struct span downstream = span_str(spec_sink_downstream(&spec->sinks[i], name));
        struct sched_breaker_view v = breaker_of(x->e, downstream_hash(downstream));
        if (v.waiting == 0)
            continue;
        struct reason *r = add(x, "landing", v.waiting,
                               "tasks (of all jobs) are done but for their rows, which wait on the "
                               "workers for %s",
                               name);
        r->breaker = v.downstream;
    }
}

/* ---- a job ---- */

static void explain_job(struct explanation *x, const struct store_job *stored,
                        const struct sched_job_view *v, const struct job *job)
{
    static const enum sched_wait order[] = {SCHED_WAIT_RECOVERY, SCHED_WAIT_PAUSED,
                                            SCHED_WAIT_BREAKER,  SCHED_WAIT_WORKERS,
                                            SCHED_WAIT_LIMIT,    SCHED_WAIT_NONE};
    uint64_t running = v->tasks[SCHED_LEASED] + v->tasks[SCHED_COMMITTING];
    if (!job || stored->state != STORE_JOB_OPEN) {
        add(x, "ended", 0, "the job has ended");
        return;
    }
    if (stored->cancelling)
        add(x, "cancelling", running, "the job was cancelled; what runs is being stopped");
    for (size_t i = 0; i < ARRAY_LEN(order); i++)
        if (v->waits[order[i]])
            add_wait(x, order[i], v->waits[order[i]], v->breaker, job->spec->kinds);
    if (v->tasks[SCHED_DELAYED])
        add(x, "delayed", v->tasks[SCHED_DELAYED],
            "an attempt failed; they wait for the time of the next one, or for the retry budget");
    if (running)
        add(x, "running", running, "workers have them");
    add_landing(x, job->spec);
    if (!stored->sealed)
        add(x, "input", 0,
            "the job is not sealed: more input may come (the script that submits it has not ended, "
            "or ended early)");
}

static void pack_reasons(struct buf *out, const struct explanation *x)
{
    pack_cstr(out, "reasons");
    pack_array(out, x->n);
    for (size_t i = 0; i < x->n; i++) {
        const struct reason *r = &x->list[i];
        const struct downstream *one = downstreams_get(x->e->downstreams, r->breaker);
        pack_map(out, 4);
        verbs_text(out, "reason", r->code);
        verbs_number(out, "tasks", r->tasks);
        verbs_text(out, "text", r->text);
        pack_cstr(out, "breaker");
        if (r->breaker) {
            struct downstreams_entry b = {.name = one ? one->name : "host:?",
                                          .known = one,
                                          .view = breaker_of(x->e, r->breaker)};
            verbs_pack_breaker(x->e, out, &b);
        } else {
            pack_nil(out);
        }
    }
}

/* At the present rate of the fleet, with what is of a higher priority first. */
static double job_eta_s(const struct edge *e, const struct sched_job_view *v)
{
    uint64_t left = v->ahead;
    for (size_t i = 0; i < SCHED_TASK_STATES; i++)
        left += v->tasks[i];
    if (v->waits[SCHED_WAIT_BREAKER] || v->waits[SCHED_WAIT_PAUSED] || v->waits[SCHED_WAIT_WORKERS])
        return -1.0;
    return left == 0 ? 0.0 : e->done_per_s > 0 ? (double)left / e->done_per_s : -1.0;
}

static int job_run(struct store *s, struct store_request *r)
{
    return verbs_read_job(s, (struct call *)r, &r->error);
}

static void job_done(struct store_request *r, void *user)
{
    static const char *const states[] = {"", "open", "done", "failed", "cancelled"};
    struct call *c = (struct call *)r;
    const struct edge *e = user;
    struct explanation x = {.e = e};
    struct sched_job_view v = {0};
    if (r->rc)
        return front_fail(c, r->rc, r->error.detail);
    const struct job *job = jobs_get(e->jobs, (struct job_id){c->job.id});
    (void)!sched_job_view(e->sched, (struct job_id){c->job.id}, &v);
    explain_job(&x, &c->job, &v, job);
    struct buf *out = front_reply(c);
    pack_map(out, 9);
    verbs_number(out, "job", c->job.id);
    verbs_span(out, "name", c->job.name);
    verbs_text(out, "state", states[c->job.state]);
    verbs_number(out, "ready", v.tasks[SCHED_READY]);
    verbs_number(out, "running", v.tasks[SCHED_LEASED] + v.tasks[SCHED_COMMITTING]);
    verbs_number(out, "delayed", v.tasks[SCHED_DELAYED]);
    verbs_number(out, "ahead", v.ahead);
    verbs_known(out, "eta_s", job ? job_eta_s(e, &v) : -1.0);
    pack_reasons(out, &x);
    front_send(c);
}

int verbs_job_explain(struct call *c, struct error *error)
{
    int rc = front_need(c->args.job || c->args.job_name.len, "job", error);
    if (rc == 0)
        front_store(c, false, job_run, job_done);
    return rc;
}

/* ---- a task ---- */

/* A pending task, or a dead letter; anything else is not kept (docs/STORE.md). */
static int task_run(struct store *s, struct store_request *r)
{
    struct call *c = (struct call *)r;
    c->n_dead = 0;
    int rc = store_task_get(s, (struct task_id){c->args.task}, &r->arena, &c->task, &r->error);
    if (rc != ERR_NOT_FOUND)
        return rc;
    rc = store_dead_list(s, 0, c->args.task, 0, 1, &r->arena, &c->dead, &c->n_dead, &r->error);
    if (rc == 0 && c->n_dead == 0)
        return error_set(
            &r->error, ERR_NOT_FOUND,
            "task %llu is neither waiting nor running nor a dead letter: it is done, or "
            "never was",
            (unsigned long long)c->args.task);
    return rc;
}

static void add_delay(struct explanation *x, uint64_t delay_ms, struct span error)
{
    char when[60] = "it waits for the job's retry budget";
    if (delay_ms)
        snprintf(when, sizeof(when), "the next attempt is in %.1f s", (double)delay_ms / 1000.0);
    if (error.len)
        add(x, "delayed", 1, "%s; the last one failed: %.*s", when,
            (int)MIN(error.len, (size_t)400), error.p);
    else
        add(x, "delayed", 1, "%s", when);
}

static const char *explain_task(struct explanation *x, const struct call *c, const struct job *job)
{
    struct sched_task_view v;
    const struct edge *e = x->e;
    if (c->n_dead) {
        add(x, "dead", 1, "it used up its attempts: %.*s",
            (int)MIN(c->dead->error.len, (size_t)400), c->dead->error.p);
        return "dead";
    }
    if (!job || !sched_task_view(e->sched, (struct job_id){c->task.job}, c->task.key,
                                 (struct task_id){c->args.task}, e->now_ms, &v)) {
        add(x, "ended", 1, "it has just ended");
        return "ended";
    }
    const struct session *s = sessions_get(e->sessions, v.session.v);
    switch (v.state) {
    case SCHED_LEASED:
        if (s)
            add(x, "running", 1, "worker %s has it", s->worker->id);
        else
            add(x, "running", 1, "a worker has it");
        add_landing(x, job->spec);
        return "running";
    case SCHED_COMMITTING:
        add(x, "running", 1, "it is done; its result is on its way to the disk");
        return "running";
    case SCHED_DELAYED:
        add_delay(x, v.delay_ms, c->task.error);
        return "delayed";
    case SCHED_READY:
    case SCHED_TASK_STATES:
        break;
    }
    add_wait(x, v.wait, 1, v.breaker, job->spec->kinds);
    if (v.ahead)
        add(x, "position", v.ahead, "tasks of its job with the same key go before it");
    return "ready";
}

static void task_done(struct store_request *r, void *user)
{
    struct call *c = (struct call *)r;
    const struct edge *e = user;
    struct explanation x = {.e = e};
    if (r->rc)
        return front_fail(c, r->rc, r->error.detail);
    uint64_t id = c->n_dead ? c->dead->job : c->task.job;
    const char *state = explain_task(&x, c, jobs_get(e->jobs, (struct job_id){id}));
    struct buf *out = front_reply(c);
    pack_map(out, 7);
    verbs_number(out, "task", c->args.task);
    verbs_number(out, "job", id);
    verbs_text(out, "state", state);
    verbs_number(out, "attempts", c->n_dead ? c->dead->attempt : c->task.attempt);
    verbs_number(out, "kills", c->n_dead ? c->dead->kills : c->task.kills);
    verbs_span(out, "error", c->n_dead ? c->dead->error : c->task.error);
    pack_reasons(out, &x);
    front_send(c);
}

int verbs_task_explain(struct call *c, struct error *error)
{
    int rc = front_need(c->args.task != 0, "task", error);
    if (rc == 0)
        front_store(c, false, task_run, task_done);
    return rc;
}
