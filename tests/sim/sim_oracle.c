/*
 * sim_oracle.c: holds the promises, from what goes into the scheduler and what comes out of it, and
 * from what became durable. It keeps its own picture and never looks into the scheduler.
 *
 *   leases      no two current leases on a task; tokens rise; a stale token completes nothing
 *   rows        a task's rows are committed exactly once; only pending tasks are completed
 *   attempts    counted one by one, never above the job's limit; kills never above the fleet's
 *   keys        grants on a key never pass the limit of the job that is assigned; delays are kept
 *   durability  ACK only after the commit; acknowledged input is there at the end
 *   ends        a job ends with no task pending, and as what it is
 */
#include "sim.h"

enum { KEYS_MAX = 8 };

struct view { /* of a task */
    enum { VIEW_FREE, VIEW_LEASED, VIEW_COMMITTING } state;
    struct token token;
    uint64_t session;
    uint32_t grant;
};

struct sim_oracle {
    struct view *views; /* by task id */
    size_t n_views;
    uint64_t epoch, counter;
    uint64_t acknowledged[SIM_JOBS_MAX + 1];          /* chunks of each job */
    uint64_t released_ms[SIM_JOBS_MAX + 1][KEYS_MAX]; /* when a job's lease on the key last ended */
};

static bool same_token(struct token a, struct token b)
{
    return a.epoch == b.epoch && a.counter == b.counter;
}

static struct view *view_of(struct sim *sim, uint64_t task)
{
    struct sim_oracle *o = sim->oracle;
    assert(task < sim->store->n_tasks);
    if (sim->store->n_tasks > o->n_views) { /* for all at once, so that pointers stay */
        size_t n = MAX(sim->store->n_tasks, o->n_views * 2);
        o->views = realloc(o->views, n * sizeof(*o->views));
        assert(o->views);
        memset(o->views + o->n_views, 0, (n - o->n_views) * sizeof(*o->views));
        o->n_views = n;
    }
    return &o->views[task];
}

static const struct sim_spec *spec_of(const struct sim *sim, uint64_t task)
{
    return &sim->specs[sim->store->tasks[task].job - 1];
}

static void view_release(struct sim *sim, uint64_t task, struct view *v)
{
    if (v->state == VIEW_LEASED)
        sim->oracle->released_ms[sim->store->tasks[task].job][sim->store->tasks[task].key] =
            sim->now_ms;
    v->state = VIEW_FREE;
}

/* ---- keys ---- */

static void check_key(struct sim *sim, const struct sched_action *a)
{
    const struct sim_spec *spec = spec_of(sim, a->task.v);
    uint64_t key = sim->store->tasks[a->task.v].key;
    uint32_t used = 0, leases = 0;
    for (uint64_t id = 1; id < sim->store->n_tasks; id++) {
        const struct view *v = view_of(sim, id);
        if (v->state != VIEW_LEASED || sim->store->tasks[id].key != key ||
            spec_of(sim, id)->key_limit == 0)
            continue;
        used += v->grant;
        leases++;
    }
    if (spec->key_limit == 0) {
        if (a->u.assign.grant != 0)
            sim_violate(sim, "a grant without a limit");
        return;
    }
    if (a->u.assign.grant == 0 || used + a->u.assign.grant > spec->key_limit)
        sim_violate(sim, "key %llu: %u slots in use, %u granted, the limit is %u",
                    (unsigned long long)key, used, a->u.assign.grant, spec->key_limit);
    if (spec->key_delay_ms == 0)
        return;
    if (leases > 0 || a->u.assign.grant != 1)
        sim_violate(sim, "key %llu has a delay and two uses at a time", (unsigned long long)key);
    uint64_t released_ms = sim->oracle->released_ms[a->job.v][key];
    if (released_ms > 0 && sim->now_ms < released_ms + spec->key_delay_ms)
        sim_violate(sim, "key %llu is used again before its delay is over",
                    (unsigned long long)key);
}

/* ---- leases ---- */

static void on_assign(struct sim *sim, const struct sched_action *a)
{
    struct sim_oracle *o = sim->oracle;
    struct view *v = view_of(sim, a->task.v);
    const struct sim_task *t = &sim->store->tasks[a->task.v];
    if (v->state != VIEW_FREE)
        sim_violate(sim, "task %llu is assigned while it has a lease",
                    (unsigned long long)a->task.v);
    if (t->state != SIM_TASK_PENDING)
        sim_violate(sim, "task %llu is assigned and not pending", (unsigned long long)a->task.v);
    if (a->token.epoch != sim->store->epoch ||
        (a->token.epoch == o->epoch && a->token.counter <= o->counter))
        sim_violate(sim, "a token does not rise");
    if (a->u.assign.attempt != t->attempt + 1 ||
        a->u.assign.attempt > spec_of(sim, a->task.v)->attempts_max)
        sim_violate(sim, "task %llu: attempt %u after %u", (unsigned long long)a->task.v,
                    a->u.assign.attempt, t->attempt);
    if (sim->store->jobs[t->job].state != SIM_JOB_OPEN)
        sim_violate(sim, "a task of an ended job is assigned");
    check_key(sim, a);
    o->epoch = a->token.epoch;
    o->counter = a->token.counter;
    *v = (struct view){VIEW_LEASED, a->token, a->session.v, a->u.assign.grant};
}

static bool hello_holds(const struct sched_event *ev, uint64_t task, struct token token)
{
    if (ev->type != SCHED_EV_HELLO)
        return false;
    for (size_t i = 0; i < ev->u.hello.n_held; i++)
        if (ev->u.hello.held[i].task.v == task && same_token(ev->u.hello.held[i].token, token))
            return true;
    return false;
}

/* The leases of a session that ends are over, but for those that its worker's next one lists. */
static void on_session_end(struct sim *sim, const struct sched_event *ev, uint64_t session)
{
    for (uint64_t id = 1; id < sim->store->n_tasks; id++) {
        struct view *v = view_of(sim, id);
        if (v->state != VIEW_LEASED || v->session != session)
            continue;
        if (hello_holds(ev, id, v->token)) {
            v->session = ev->session.v;
            sim->seen[SIM_SEEN_MOVED]++;
        } else {
            view_release(sim, id, v);
        }
    }
}

static void on_complete(struct sim *sim, const struct sched_event *ev, const struct sched_action *a)
{
    struct view *v = view_of(sim, a->task.v);
    bool from_result = ev->type == SCHED_EV_RESULT && ev->u.result.task.v == a->task.v;
    if (v->state == VIEW_COMMITTING)
        sim_violate(sim, "task %llu is completed twice", (unsigned long long)a->task.v);
    if (from_result && a->u.complete.payload &&
        (v->state != VIEW_LEASED || !same_token(v->token, ev->u.result.token)))
        sim_violate(sim, "a stale token completes task %llu", (unsigned long long)a->task.v);
    if (a->u.complete.payload && !from_result)
        sim_violate(sim, "a payload from nowhere");
    if (!a->u.complete.payload && a->u.complete.write == SCHED_WRITE_DONE)
        sim_violate(sim, "task %llu is done without a result", (unsigned long long)a->task.v);
    view_release(sim, a->task.v, v);
    v->state = VIEW_COMMITTING;
    v->token = a->token;
}

static void on_ack(struct sim *sim, const struct sched_action *a)
{
    if (!same_token(sim->store->tasks[a->task.v].committed, a->token))
        sim_violate(sim, "task %llu is acknowledged before it is durable",
                    (unsigned long long)a->task.v);
}

/* What happened at least once, so that main.c can tell when the faults no longer reach something. */
static void on_seen(struct sim *sim, const struct sched_event *ev, const struct sched_action *a)
{
    bool died = a->type == SCHED_ACT_COMPLETE && a->u.complete.error;
    sim->seen[SIM_SEEN_STALE] +=
        a->type == SCHED_ACT_DISCARD && ev->u.result.outcome != SCHED_RETURNED;
    sim->seen[SIM_SEEN_REPEATED] += a->type == SCHED_ACT_DISCARD && a->session.v == 0;
    sim->seen[SIM_SEEN_RETURNED] +=
        a->type == SCHED_ACT_DISCARD && ev->u.result.outcome == SCHED_RETURNED;
    sim->seen[SIM_SEEN_REVOKED] += a->type == SCHED_ACT_REVOKE && ev->type == SCHED_EV_HELLO;
    sim->seen[SIM_SEEN_CANCELLED] += a->type == SCHED_ACT_REVOKE && ev->type == SCHED_EV_JOB_CANCEL;
    sim->seen[SIM_SEEN_TIMEOUT] += died && strcmp(a->u.complete.error, "RUN_TIMEOUT") == 0;
    sim->seen[SIM_SEEN_WORKER_LOST] += died && strcmp(a->u.complete.error, "WORKER_LOST") == 0;
    sim->seen[SIM_SEEN_EXHAUSTED] += died && strcmp(a->u.complete.error, "ATTEMPTS_EXHAUSTED") == 0;
    sim->seen[SIM_SEEN_EXPIRED] +=
        a->type == SCHED_ACT_SESSION_END && ev->type != SCHED_EV_HELLO && ev->type != SCHED_EV_LOST;
    if (a->type == SCHED_ACT_JOB_END)
        sim->seen[SIM_SEEN_JOB_DONE + a->u.end.how]++;
}

static void on_action(struct sim *sim, const struct sched_event *ev, const struct sched_action *a)
{
    struct view *v;
    on_seen(sim, ev, a);
    switch (a->type) {
    case SCHED_ACT_ASSIGN:
        on_assign(sim, a);
        break;
    case SCHED_ACT_COMPLETE:
        on_complete(sim, ev, a);
        break;
    case SCHED_ACT_ACK:
        on_ack(sim, a);
        break;
    case SCHED_ACT_SESSION_END:
        on_session_end(sim, ev, a->session.v);
        break;
    case SCHED_ACT_REVOKE:
        v = view_of(sim, a->task.v);
        if (v->state == VIEW_LEASED && same_token(v->token, a->token))
            view_release(sim, a->task.v, v);
        break;
    case SCHED_ACT_DISCARD:
        v = view_of(sim, a->task.v);
        if (v->state == VIEW_LEASED && same_token(v->token, a->token)) {
            if (ev->u.result.outcome != SCHED_RETURNED)
                sim_violate(sim, "a good result of task %llu is discarded",
                            (unsigned long long)a->task.v);
            view_release(sim, a->task.v, v);
        }
        break;
    case SCHED_ACT_BREAKER:
    case SCHED_ACT_TRACE:
        break;
    case SCHED_ACT_JOB_END:
    case SCHED_ACT_WELCOME:
        break;
    }
}

/* What a HELLO listed from an earlier epoch and was not refused is a lease again. */
static void on_adopted(struct sim *sim, const struct sched_event *ev,
                       const struct sched_actions *acts)
{
    for (size_t i = 0; i < ev->u.hello.n_held; i++) {
        const struct sched_held *h = &ev->u.hello.held[i];
        bool welcome = false, refused = h->token.epoch >= sim->store->epoch;
        for (size_t k = 0; k < acts->n; k++) {
            const struct sched_action *a = &acts->items[k];
            welcome |= a->type == SCHED_ACT_WELCOME;
            refused |= a->type == SCHED_ACT_REVOKE && a->task.v == h->task.v &&
                       same_token(a->token, h->token);
        }
        struct view *v = view_of(sim, h->task.v);
        if (refused || !welcome || (v->state != VIEW_FREE && same_token(v->token, h->token)))
            continue;
        if (v->state != VIEW_FREE || sim->store->tasks[h->task.v].state != SIM_TASK_PENDING)
            sim_violate(sim, "task %llu is adopted although it has a lease or is over",
                        (unsigned long long)h->task.v);
        /* The grant of that lease is known here, though not to the scheduler after its restart. */
        uint32_t grant = same_token(v->token, h->token) ? v->grant : 0;
        *v = (struct view){VIEW_LEASED, h->token, ev->session.v, grant};
        sim->seen[SIM_SEEN_ADOPTED]++;
    }
}

void sim_oracle_step(struct sim *sim, const struct sched_event *ev, const struct sched_actions *a)
{
    for (size_t i = 0; i < a->n; i++)
        on_action(sim, ev, &a->items[i]);
    if (ev->type == SCHED_EV_HELLO)
        on_adopted(sim, ev, a);
    if (ev->type == SCHED_EV_COMPLETED)
        view_of(sim, ev->u.completed.task.v)->state = VIEW_FREE;
}

/* ---- what becomes durable ---- */

void sim_oracle_complete(struct sim *sim, const struct sim_op *op)
{
    const struct sim_task *t = &sim->store->tasks[op->task.v];
    const struct sim_spec *spec = spec_of(sim, op->task.v);
    unsigned long long id = op->task.v;
    if (t->state != SIM_TASK_PENDING)
        sim_violate(sim, "task %llu is completed and was not pending", id);
    if (t->rows + (op->write == SCHED_WRITE_DONE) > 1)
        sim_violate(sim, "the rows of task %llu are there twice", id);
    bool counted = op->attempt == t->attempt + 1;
    bool dead_at_once = op->write == SCHED_WRITE_DEAD && op->attempt == t->attempt &&
                        (op->kills >= SIM_KILLS_MAX || t->attempt >= spec->attempts_max);
    if (!counted && !dead_at_once)
        sim_violate(sim, "task %llu: %u attempts after %u", id, op->attempt, t->attempt);
    if (op->write == SCHED_WRITE_ATTEMPT && op->attempt >= spec->attempts_max)
        sim_violate(sim, "task %llu: attempt %u is not the last of %u", id, op->attempt,
                    spec->attempts_max);
    if (op->kills > SIM_KILLS_MAX)
        sim_violate(sim, "task %llu killed %u workers", id, op->kills);
}

void sim_oracle_acknowledged(struct sim *sim, uint64_t job, uint64_t chunks)
{
    sim->oracle->acknowledged[job] = MAX(sim->oracle->acknowledged[job], chunks);
}

void sim_oracle_end(struct sim *sim)
{
    uint64_t tasks[SIM_JOBS_MAX + 1] = {0}, dead[SIM_JOBS_MAX + 1] = {0};
    for (uint64_t id = 1; id < sim->store->n_tasks; id++) {
        const struct sim_task *t = &sim->store->tasks[id];
        bool cancelled = sim->store->jobs[t->job].state == SIM_JOB_CANCELLED;
        tasks[t->job] += t->depth == 0;
        dead[t->job] += t->state == SIM_TASK_DEAD;
        if (t->state == SIM_TASK_PENDING || (t->state == SIM_TASK_GONE && !cancelled))
            sim_violate(sim, "task %llu is lost", (unsigned long long)id);
        if (t->rows != (t->state == SIM_TASK_DONE))
            sim_violate(sim, "task %llu has its rows %u times", (unsigned long long)id, t->rows);
    }
    for (uint64_t job = 1; job <= sim->jobs; job++) {
        const struct sim_job *j = &sim->store->jobs[job];
        if (tasks[job] < sim->oracle->acknowledged[job] * sim->specs[job - 1].chunk_tasks)
            sim_violate(sim, "acknowledged input of job %llu is lost", (unsigned long long)job);
        if (j->state == SIM_JOB_OPEN || j->state == SIM_JOB_NONE)
            sim_violate(sim, "job %llu has not ended", (unsigned long long)job);
        if (j->state != SIM_JOB_CANCELLED && (j->state == SIM_JOB_FAILED) != (dead[job] > 0))
            sim_violate(sim, "job %llu ended as the wrong thing", (unsigned long long)job);
    }
}

void sim_oracle_restart(struct sim *sim)
{
    struct sim_oracle *o = sim->oracle;
    for (size_t i = 0; i < o->n_views; i++)
        o->views[i].state = VIEW_FREE; /* token and grant stay, for those that are adopted */
    memset(o->released_ms, 0, sizeof(o->released_ms));
    o->epoch = o->counter = 0;
}

void sim_oracle_init(struct sim *sim)
{
    sim->oracle = calloc(1, sizeof(*sim->oracle));
    assert(sim->oracle);
}

void sim_oracle_done(struct sim *sim)
{
    free(sim->oracle->views);
    free(sim->oracle);
}
