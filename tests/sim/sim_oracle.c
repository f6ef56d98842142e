/*
 * sim_oracle.c: holds the promises, from what goes into the scheduler and what comes out of it, and
 * from what became durable. It keeps its own picture and never looks into the scheduler.
 *
 *   leases      no two current leases on a task; tokens rise; a stale token completes nothing
 *   rows        a task's rows are committed exactly once; only pending tasks are completed
 *   inputs      each input has rows in each sink of its job once, or is one reject, whatever tasks it went
 *               through; or it is with a dead letter
 *   attempts    counted one by one, never above the job's limit; kills never above the fleet's
 *   keys        grants on a key never pass the limit of the job that is assigned; delays are kept
 *   durability  ACK only after the commit; acknowledged input is there at the end
 *   downstreams nothing is given out that needs an open one; one probe at a time; no attempt is used up by a
 *               run timeout while a sink is not closed; what is pinned does not open. What sessions
 *               are told, and so who calls: sim_told.c
 *   retries     within the budget of their job
 *   ends        a job ends with no task pending, and as what it is
 */
#include "sim.h"

#include "common/downstream.h"

enum {
    KEYS_MAX = 8,
    PROBE_OVER_MS = 25000 /* a probe that nobody heard of is over */
};

/* A downstream as the scheduler says it is. */
struct breaker {
    enum sched_breaker_state state;
    uint64_t probe_session, probe_ms; /* a session that was told to probe; 0: none */
    uint64_t probe_task;              /* a task that was let through; 0: none */
};

struct view { /* of a task */
    enum { VIEW_FREE, VIEW_LEASED, VIEW_COMMITTING } state;
    struct token token;
    uint64_t session;
    uint32_t grant;
    uint32_t attempt; /* the highest that was given out */
    bool asking;      /* the store notes what its rows hold */
};

static void probes_end(struct sim *sim, uint64_t task, uint64_t session);

struct sim_oracle {
    struct view *views; /* by task id */
    size_t n_views;
    uint64_t epoch, counter;
    uint64_t acknowledged[SIM_JOBS_MAX + 1];          /* chunks of each job */
    uint64_t released_ms[SIM_JOBS_MAX + 1][KEYS_MAX]; /* when a job's lease on the key last ended */
    struct breaker sinks[SIM_SINKS], hosts[SIM_KEYS];
    uint32_t starts;                                             /* of the coordinator */
    uint64_t first[SIM_JOBS_MAX + 1], retries[SIM_JOBS_MAX + 1]; /* attempts given out */
    uint64_t began_ms[SIM_JOBS_MAX + 1];                         /* of the first of them */
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
    probes_end(sim, task, 0);
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

/* ---- downstreams ---- */

static uint64_t sink_id(uint32_t sink)
{
    return downstream_hash(sim_sink_name(sink));
}

static struct breaker *breaker_of(struct sim *sim, uint64_t id, bool host)
{
    if (host)
        return &sim->oracle->hosts[id];
    for (uint32_t i = 0; i < SIM_SINKS; i++)
        if (sink_id(i) == id)
            return &sim->oracle->sinks[i];
    sim_violate(sim, "a downstream that nobody has");
    return &sim->oracle->sinks[0];
}

static void on_trace(struct sim *sim, const struct sched_action *a)
{
    struct breaker *b = breaker_of(sim, a->u.trace.downstream, a->u.trace.host);
    sim->seen[SIM_SEEN_QUARANTINED] += a->u.trace.worker != 0 && a->u.trace.quarantined;
    sim_say(sim, "downstream %llx%s: state %d, %s", (unsigned long long)a->u.trace.downstream,
            a->u.trace.host ? " (host)" : "", (int)a->u.trace.state, a->u.trace.reason);
    if (a->u.trace.worker != 0)
        return;
    if (a->u.trace.state == SCHED_BREAKER_OPEN && a->u.trace.manual == SCHED_MANUAL_PINNED)
        sim_violate(sim, "a pinned breaker opens");
    if (a->u.trace.state == SCHED_BREAKER_OPEN) {
        sim->seen[a->u.trace.host ? SIM_SEEN_HOST_OPENED : SIM_SEEN_OPENED]++;
        sim->seen[SIM_SEEN_PROBE_FAILED] += b->state == SCHED_BREAKER_HALF_OPEN;
        sim->seen[SIM_SEEN_TRIPPED] += a->u.trace.manual == SCHED_MANUAL_TRIPPED;
    }
    sim->seen[SIM_SEEN_PINNED] += a->u.trace.manual == SCHED_MANUAL_PINNED;
    sim->seen[SIM_SEEN_CLOSED] +=
        a->u.trace.state == SCHED_BREAKER_CLOSED && b->state == SCHED_BREAKER_HALF_OPEN;
    if (b->state != a->u.trace.state)
        *b = (struct breaker){.state = a->u.trace.state};
}

static bool probed(const struct sim *sim, const struct breaker *b)
{
    return (b->probe_session || b->probe_task) && sim->now_ms < b->probe_ms + PROBE_OVER_MS;
}

static void on_tell(struct sim *sim, const struct sched_action *a)
{
    struct breaker *b = breaker_of(sim, a->u.breaker.downstream, a->u.breaker.host);
    if (a->u.breaker.tell != SCHED_TELL_PROBE) { /* what is told to another does not end it */
        if (!a->u.breaker.host && b->probe_session == a->session.v)
            b->probe_task = b->probe_session = 0;
        return;
    }
    sim_say(sim, "downstream %llx: session %llx probes",
            (unsigned long long)a->u.breaker.downstream, (unsigned long long)a->session.v);
    if (b->state != SCHED_BREAKER_HALF_OPEN)
        sim_violate(sim, "a probe of a breaker that is not half open");
    /* A task that was let through is followed by the word to the worker that has its rows; a host's goes on in
     * its worker's next session. */
    if (b->probe_session && probed(sim, b) && !a->u.breaker.host)
        sim_violate(sim, "two probes of one downstream at a time");
    b->probe_session = a->session.v;
    if (!a->u.breaker
             .host) /* a host's time runs from when its task was given out, wherever it goes */
        b->probe_ms = sim->now_ms;
}

/* A lease begins: nothing that it needs may be open, and only one may be a probe. */
static void check_downstream(struct sim *sim, struct breaker *b, uint64_t task)
{
    if (b->state == SCHED_BREAKER_OPEN)
        sim_violate(sim, "task %llu is given out although its downstream is open",
                    (unsigned long long)task);
    if (b->state != SCHED_BREAKER_HALF_OPEN)
        return;
    if (probed(sim, b))
        sim_violate(sim, "task %llu is given out beside a probe (task %llu, session %llx)",
                    (unsigned long long)task, (unsigned long long)b->probe_task,
                    (unsigned long long)b->probe_session);
    sim_say(sim, "task %llu probes", (unsigned long long)task);
    b->probe_task = task;
    b->probe_session = 0;
    b->probe_ms = sim->now_ms;
    sim->seen[SIM_SEEN_PROBE_TASK]++;
}

static void check_downstreams(struct sim *sim, const struct sched_action *a)
{
    const struct sim_spec *spec = spec_of(sim, a->task.v);
    for (uint32_t i = 0; i < SIM_SINKS; i++)
        if (spec->sinks & 1U << i)
            check_downstream(sim, &sim->oracle->sinks[i], a->task.v);
    if (spec->hosts)
        check_downstream(sim, &sim->oracle->hosts[sim->store->tasks[a->task.v].key], a->task.v);
}

/* A lease or a session is over: so is the probe that it was. */
static void probes_end(struct sim *sim, uint64_t task, uint64_t session)
{
    for (uint32_t i = 0; i < SIM_SINKS + SIM_KEYS; i++) {
        struct breaker *b =
            i < SIM_SINKS ? &sim->oracle->sinks[i] : &sim->oracle->hosts[i - SIM_SINKS];
        const bool host = i >= SIM_SINKS;
        if (task && b->probe_task == task && (host || !b->probe_session))
            b->probe_task = b->probe_session = 0;
        if (session && !host && b->probe_session == session) { /* a host's goes with its lease */
            sim->seen[SIM_SEEN_PROBE_LOST]++;
            b->probe_task = b->probe_session = 0;
        }
    }
}

/* The report of a probe ends it, whatever it says of it; a host's goes on until its task is over. */
static void on_calls(struct sim *sim, const struct sched_event *ev)
{
    struct breaker *b = breaker_of(sim, ev->u.calls.downstream, ev->u.calls.host);
    if (!ev->u.calls.host && b->probe_session == ev->session.v &&
        ev->u.calls.ok + ev->u.calls.fail > 0)
        b->probe_task = b->probe_session = 0;
}

/* ---- the budget of retries ---- */

static void check_budget(struct sim *sim, const struct sched_action *a, struct view *v)
{
    struct sim_oracle *o = sim->oracle;
    const uint32_t before = v->attempt;
    const uint64_t job = a->job.v;
    if (!o->began_ms[job])
        o->began_ms[job] = sim->now_ms;
    v->attempt = MAX(v->attempt, a->u.assign.attempt);
    o->first[job] += a->u.assign.attempt == 1;
    if (a->u.assign.attempt < 2 || a->u.assign.attempt == before)
        return; /* the same attempt again: a worker was lost */
    o->retries[job]++;
    const uint64_t most = 11 * (uint64_t)o->starts + o->first[job] * SIM_RETRY_PERCENT / 100 +
                          (sim->now_ms - o->began_ms[job]) / 100;
    if (o->retries[job] > most)
        sim_violate(sim, "job %llu: %llu retries after %llu first attempts",
                    (unsigned long long)job, (unsigned long long)o->retries[job],
                    (unsigned long long)o->first[job]);
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
    check_downstreams(sim, a);
    check_budget(sim, a, v);
    o->epoch = a->token.epoch;
    o->counter = a->token.counter;
    v->state = VIEW_LEASED;
    v->token = a->token;
    v->session = a->session.v;
    v->grant = a->u.assign.grant;
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
    if (a->u.complete.write == SCHED_WRITE_LANDING) {
        if (!from_result || v->state != VIEW_LEASED || v->asking ||
            !same_token(v->token, ev->u.result.token))
            sim_violate(sim, "a landing of task %llu from nowhere", (unsigned long long)a->task.v);
        v->asking = true;
        return;
    }
    if (v->state == VIEW_COMMITTING)
        sim_violate(sim, "task %llu is completed twice", (unsigned long long)a->task.v);
    if (from_result && a->u.complete.payload &&
        (v->state != VIEW_LEASED || !same_token(v->token, ev->u.result.token)))
        sim_violate(sim, "a stale token completes task %llu", (unsigned long long)a->task.v);
    if (a->u.complete.payload && !from_result)
        sim_violate(sim, "a payload from nowhere");
    if (!a->u.complete.payload && a->u.complete.write == SCHED_WRITE_DONE)
        sim_violate(sim, "task %llu is done without a result", (unsigned long long)a->task.v);
    if (a->u.complete.error && strcmp(a->u.complete.error, "RUN_TIMEOUT") == 0)
        for (uint32_t i = 0; i < SIM_SINKS; i++)
            if (spec_of(sim, a->task.v)->sinks & 1U << i &&
                sim->oracle->sinks[i].state != SCHED_BREAKER_CLOSED)
                sim_violate(sim, "task %llu loses an attempt to a sink that is not closed",
                            (unsigned long long)a->task.v);
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
    sim->seen[SIM_SEEN_GIVEN_UP] += died && strcmp(a->u.complete.error, "HOST_DOWN") == 0;
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
    case SCHED_ACT_LAND: /* not judged by when it comes: what lands is */
        sim->seen[SIM_SEEN_LEAVE_AGAIN] += ev->type == SCHED_EV_RESULT;
        break;
    case SCHED_ACT_SESSION_END:
        on_session_end(sim, ev, a->session.v);
        probes_end(sim, 0, a->session.v);
        break;
    case SCHED_ACT_REVOKE:
        v = view_of(sim, a->task.v);
        if (v->state == VIEW_LEASED && same_token(v->token, a->token))
            view_release(sim, a->task.v, v);
        break;
    case SCHED_ACT_DISCARD:
        v = view_of(sim, a->task.v);
        if (v->state == VIEW_LEASED && same_token(v->token, a->token)) {
            if (ev->u.result.outcome == SCHED_LAND && a->session.v == 0)
                break; /* a copy of the question */
            if (ev->u.result.outcome != SCHED_RETURNED)
                sim_violate(sim, "a good result of task %llu is discarded",
                            (unsigned long long)a->task.v);
            view_release(sim, a->task.v, v);
        }
        break;
    case SCHED_ACT_BREAKER:
        on_tell(sim, a);
        break;
    case SCHED_ACT_TRACE:
        on_trace(sim, a);
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
        v->state = VIEW_LEASED;
        v->token = h->token;
        v->session = ev->session.v;
        v->grant = grant;
        sim->seen[SIM_SEEN_ADOPTED]++;
    }
}

void sim_oracle_step(struct sim *sim, const struct sched_event *ev, const struct sched_actions *a)
{
    if (ev->type == SCHED_EV_CALLS)
        on_calls(sim, ev);
    sim_told_step(sim, ev, a);
    for (size_t i = 0; i < a->n; i++)
        on_action(sim, ev, &a->items[i]);
    if (ev->type == SCHED_EV_HELLO)
        on_adopted(sim, ev, a);
    if (ev->type == SCHED_EV_COMPLETED) {
        struct view *v = view_of(sim, ev->u.completed.task.v);
        sim->seen[SIM_SEEN_LOST_ASKING] += v->asking && v->state == VIEW_FREE;
        if (!v->asking)
            v->state = VIEW_FREE;
        v->asking = false;
    }
}

/* ---- what becomes durable ---- */

void sim_oracle_complete(struct sim *sim, const struct sim_op *op)
{
    const struct sim_task *t = &sim->store->tasks[op->task.v];
    const struct sim_spec *spec = spec_of(sim, op->task.v);
    unsigned long long id = op->task.v;
    if (t->state != SIM_TASK_PENDING)
        sim_violate(sim, "task %llu is completed and was not pending", id);
    if (op->write == SCHED_WRITE_LANDING)
        return;
    if (t->rows + (op->write == SCHED_WRITE_DONE) > 1)
        sim_violate(sim, "the rows of task %llu are there twice", id);
    bool counted = op->attempt == t->attempt + 1;
    bool dead_at_once =
        op->write == SCHED_WRITE_DEAD && op->attempt == t->attempt &&
        (op->kills >= SIM_KILLS_MAX || t->attempt >= spec->attempts_max || spec->hosts);
    if (!counted && !dead_at_once)
        sim_violate(sim, "task %llu: %u attempts after %u", id, op->attempt, t->attempt);
    if (op->write == SCHED_WRITE_ATTEMPT && op->attempt >= spec->attempts_max)
        sim_violate(sim, "task %llu: attempt %u is not the last of %u", id, op->attempt,
                    spec->attempts_max);
    if (op->kills > SIM_KILLS_MAX)
        sim_violate(sim, "task %llu killed %u workers", id, op->kills);
}

void sim_oracle_landed(struct sim *sim, uint64_t task, uint32_t sink, uint32_t inputs)
{
    const uint64_t origin = sim->store->tasks[task].origin;
    for (uint32_t i = 0; i < SIM_INPUTS; i++)
        if (inputs >> i & 1 && ++sim->store->tasks[origin].n_rows[sink][i] > 1)
            sim_violate(sim, "input %u of task %llu is in sink %u twice, lately by task %llu", i,
                        (unsigned long long)origin, sink, (unsigned long long)task);
}

/* Each input that this task has at the end is where it must be. */
static void check_inputs(struct sim *sim, uint64_t id, uint32_t *seen)
{
    const struct sim_task *t = &sim->store->tasks[id], *o = &sim->store->tasks[t->origin];
    const uint32_t sinks = spec_of(sim, id)->sinks;
    if (t->inputs & *seen || t->inputs & ~o->came_with || t->inputs & o->rejected)
        sim_violate(sim, "inputs of task %llu are with two tasks", (unsigned long long)t->origin);
    *seen |= t->inputs;
    for (uint32_t i = 0; i < SIM_INPUTS && t->state == SIM_TASK_DONE; i++)
        for (uint32_t sink = 0; sink <= SIM_SINKS; sink++) {
            const bool wanted = sink == SIM_SINKS ? sinks == 0 : sinks >> sink & 1;
            if (t->inputs >> i & 1 && o->n_rows[sink][i] != wanted)
                sim_violate(sim, "input %u of task %llu, done as task %llu, is in sink %u %u times",
                            i, (unsigned long long)t->origin, (unsigned long long)id, sink,
                            o->n_rows[sink][i]);
        }
}

static void check_origin(struct sim *sim, uint64_t id, uint32_t seen)
{
    const struct sim_task *o = &sim->store->tasks[id];
    if ((seen | o->rejected) != o->came_with)
        sim_violate(sim, "inputs of task %llu are lost", (unsigned long long)id);
    for (uint32_t i = 0; i < SIM_INPUTS; i++)
        for (uint32_t sink = 0; sink <= SIM_SINKS; sink++)
            if (o->rejected >> i & 1 && o->n_rows[sink][i] > 0)
                sim_violate(sim, "input %u of task %llu is a reject and has rows", i,
                            (unsigned long long)id);
}

/* Of jobs that were not cancelled. */
static void check_all_inputs(struct sim *sim)
{
    uint32_t *seen = calloc(sim->store->n_tasks, sizeof(*seen));
    assert(seen);
    for (uint64_t id = 1; id < sim->store->n_tasks; id++)
        if (sim->store->jobs[sim->store->tasks[id].job].state != SIM_JOB_CANCELLED)
            check_inputs(sim, id, &seen[sim->store->tasks[id].origin]);
    for (uint64_t id = 1; id < sim->store->n_tasks; id++)
        if (sim->store->jobs[sim->store->tasks[id].job].state != SIM_JOB_CANCELLED)
            check_origin(sim, id, seen[id]);
    free(seen);
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
    check_all_inputs(sim);
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
    for (size_t i = 0; i < o->n_views; i++) { /* token and grant stay, for those that are adopted */
        o->views[i].state = VIEW_FREE;
        o->views[i].asking = false;
    }
    memset(o->released_ms, 0, sizeof(o->released_ms));
    memset(o->sinks, 0, sizeof(o->sinks));
    memset(o->hosts, 0, sizeof(o->hosts));
    o->starts++;
    sim_told_restart(sim);
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
