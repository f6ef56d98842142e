/*
 * sim_store.c: a store that commits in groups. Operations wait until the commit, which makes them
 * durable all at once; the answers come a little later. A crash loses what was not committed, and
 * the answers.
 */
#include "sim.h"

struct commit {
    struct sim_answer *answers;
    size_t n;
};

static struct sim_task *store_task_new(struct sim *sim, uint64_t job, uint64_t key,
                                       uint32_t attempt, uint32_t depth)
{
    struct sim_store *st = sim->store;
    if (st->n_tasks == st->cap_tasks) {
        st->cap_tasks = st->cap_tasks * 2;
        st->tasks = realloc(st->tasks, st->cap_tasks * sizeof(*st->tasks));
        assert(st->tasks);
    }
    struct sim_task *t = &st->tasks[st->n_tasks];
    *t = (struct sim_task){.state = SIM_TASK_PENDING,
                           .job = job,
                           .key = key,
                           .attempt = attempt,
                           .depth = depth,
                           .origin = st->n_tasks++,
                           .inputs = (1U << (1 + sim_below(sim, SIM_INPUTS))) - 1};
    t->came_with = t->inputs;
    return t;
}

static struct sched_task store_sched_task(const struct sim_store *st, uint64_t id)
{
    const struct sim_task *t = &st->tasks[id];
    return (struct sched_task){
        .id = {id}, .key = t->key, .attempt = t->attempt, .kills = t->kills, .input_bytes = 1000};
}

void sim_store_init(struct sim *sim)
{
    sim->store = calloc(1, sizeof(*sim->store));
    assert(sim->store);
    sim->store->cap_tasks = 256;
    sim->store->n_tasks = 1; /* ids begin at 1 */
    sim->store->tasks = calloc(256, sizeof(struct sim_task));
    assert(sim->store->tasks);
}

void sim_store_crash(struct sim *sim)
{
    struct sim_store *st = sim->store;
    for (size_t i = 0; i < st->n_ops; i++)
        free(st->ops[i].payload);
    st->n_ops = 0;
    st->busy = false;
    st->life++;
}

void sim_store_done(struct sim *sim)
{
    sim_store_crash(sim);
    free(sim->store->ops);
    free(sim->store->tasks);
    free(sim->store);
}

struct sched_task *sim_store_pending(struct sim *sim, uint64_t job, size_t *ret_n)
{
    struct sim_store *st = sim->store;
    struct sched_task *list = calloc(st->n_tasks, sizeof(*list));
    assert(list);
    size_t n = 0;
    for (uint64_t id = 1; id < st->n_tasks; id++)
        if (st->tasks[id].job == job && st->tasks[id].state == SIM_TASK_PENDING)
            list[n++] = store_sched_task(st, id);
    *ret_n = n;
    return list;
}

static void answer_add(struct sim *sim, struct sim_answer *a, uint64_t first)
{
    struct sim_store *st = sim->store;
    a->n = st->n_tasks - first;
    a->tasks = calloc(a->n + 1, sizeof(*a->tasks));
    assert(a->tasks);
    for (size_t i = 0; i < a->n; i++)
        a->tasks[i] = store_sched_task(st, first + i);
}

static void store_input(struct sim *sim, struct sim_answer *a)
{
    struct sim_job *job = &sim->store->jobs[a->op.spec + 1];
    const struct sim_spec *spec = &sim->specs[a->op.spec];
    uint64_t first = sim->store->n_tasks;
    a->refused = job->state != SIM_JOB_OPEN || job->sealed || a->op.chunk > job->chunks;
    if (a->refused || a->op.chunk < job->chunks)
        return;
    job->chunks++;
    for (uint32_t i = 0; i < spec->chunk_tasks; i++)
        store_task_new(sim, a->op.spec + 1, sim_below(sim, spec->keys), 0, 0);
    answer_add(sim, a, first);
}

/* The inputs that a task leaves are rejects, or those of a new task. Returns those that it keeps. */
static uint32_t store_leave(struct sim *sim, uint64_t id, const struct sim_payload *p,
                            uint32_t attempt)
{
    struct sim_task *t = &sim->store->tasks[id];
    const uint32_t left = p->left & t->inputs, again = p->again & left;
    const uint64_t origin = t->origin;
    sim->store->tasks[origin].rejected |= left & ~again;
    t->inputs &= ~left;
    const uint32_t kept = t->inputs;
    if (again && !sim->store->jobs[t->job].cancelling) {
        t = store_task_new(sim, t->job, t->key, attempt, t->depth + 1);
        t->origin = origin;
        t->inputs = again;
        t->came_with = 0;
    }
    return kept;
}

static void store_found(struct sim *sim, uint64_t job, uint32_t depth, const struct sim_payload *p)
{
    for (uint32_t i = 0; i < p->n_found && !sim->store->jobs[job].cancelling; i++)
        store_task_new(sim, job, p->found_keys[i], 0, depth + 1);
}

/* Notes what the rows of a lease hold, once for a task. */
static void store_landing(struct sim *sim, struct sim_answer *a)
{
    const struct sim_op *op = &a->op;
    struct sim_task *t = &sim->store->tasks[op->task.v];
    const uint64_t first = sim->store->n_tasks, job = t->job;
    const uint32_t depth = t->depth;
    if (t->landing.counter != 0) {
        a->refused = t->landing.epoch != op->token.epoch || t->landing.counter != op->token.counter;
        return;
    }
    t->landing = op->token;
    sim->seen[SIM_SEEN_PARTS] += (op->payload->left & t->inputs) != 0;
    store_leave(sim, op->task.v, op->payload, op->attempt + 1);
    store_found(sim, job, depth, op->payload);
    answer_add(sim, a, first);
}

static void store_complete(struct sim *sim, struct sim_answer *a)
{
    struct sim_op *op = &a->op;
    sim_oracle_complete(sim, op);
    struct sim_task *t = &sim->store->tasks[op->task.v];
    if (t->state != SIM_TASK_PENDING)
        return;
    if (op->write == SCHED_WRITE_LANDING)
        return store_landing(sim, a);
    uint64_t job = t->job, first = sim->store->n_tasks;
    uint32_t depth = t->depth;
    t->attempt = op->attempt;
    t->kills = op->kills;
    t->committed = op->token;
    if (op->write == SCHED_WRITE_ATTEMPT)
        return;
    t->state = op->write == SCHED_WRITE_DONE ? SIM_TASK_DONE : SIM_TASK_DEAD;
    sim->store->jobs[job].dead += op->write == SCHED_WRITE_DEAD;
    t->rows += op->write == SCHED_WRITE_DONE;
    if (op->write != SCHED_WRITE_DONE)
        return;
    const uint64_t origin = t->origin;
    const uint32_t kept = store_leave(sim, op->task.v, op->payload, op->attempt);
    for (uint32_t i = 0; i < SIM_INPUTS && sim->specs[job - 1].sinks == 0; i++)
        sim->store->tasks[origin].n_rows[SIM_SINKS][i] += kept >> i & 1;
    store_found(sim, job, depth, op->payload);
    answer_add(sim, a, first);
}

static void store_job_end(struct sim *sim, const struct sim_op *op)
{
    struct sim_job *job = &sim->store->jobs[op->spec + 1];
    job->state = op->how == SCHED_JOB_DONE     ? SIM_JOB_DONE
                 : op->how == SCHED_JOB_FAILED ? SIM_JOB_FAILED
                                               : SIM_JOB_CANCELLED;
    for (uint64_t id = 1; id < sim->store->n_tasks; id++) {
        struct sim_task *t = &sim->store->tasks[id];
        if (t->job != op->spec + 1 || t->state != SIM_TASK_PENDING)
            continue;
        if (op->how == SCHED_JOB_CANCELLED)
            t->state = SIM_TASK_GONE;
        else
            sim_violate(sim, "job %u ended with task %llu pending", op->spec + 1,
                        (unsigned long long)id);
    }
}

static void store_retry(struct sim *sim, struct sim_answer *a)
{
    struct sim_job *job = &sim->store->jobs[a->op.spec + 1];
    a->refused = job->state != SIM_JOB_FAILED;
    if (a->refused)
        return;
    a->tasks = calloc(sim->store->n_tasks, sizeof(*a->tasks));
    assert(a->tasks);
    for (uint64_t id = 1; id < sim->store->n_tasks; id++) {
        struct sim_task *t = &sim->store->tasks[id];
        if (t->job != a->op.spec + 1 || t->state != SIM_TASK_DEAD)
            continue;
        t->state = SIM_TASK_PENDING;
        t->attempt = t->kills = 0;
        a->tasks[a->n++] = store_sched_task(sim->store, id);
    }
    job->state = SIM_JOB_OPEN;
    job->retried = true;
    job->dead = 0;
}

static void store_apply(struct sim *sim, struct sim_answer *a)
{
    struct sim_job *job = &sim->store->jobs[a->op.spec + 1];
    switch (a->op.type) {
    case SIM_OP_SUBMIT:
        a->refused = job->state != SIM_JOB_NONE; /* there already: nothing to do */
        if (!a->refused)
            job->state = SIM_JOB_OPEN;
        break;
    case SIM_OP_INPUT:
        store_input(sim, a);
        break;
    case SIM_OP_SEAL:
        job->sealed = true;
        break;
    case SIM_OP_CANCEL:
        a->refused = job->state != SIM_JOB_OPEN;
        job->cancelling |= !a->refused;
        break;
    case SIM_OP_PAUSE:
        a->refused = job->state != SIM_JOB_OPEN;
        job->paused = a->op.on;
        break;
    case SIM_OP_RETRY:
        store_retry(sim, a);
        break;
    case SIM_OP_COMPLETE:
        store_complete(sim, a);
        break;
    case SIM_OP_JOB_END:
        store_job_end(sim, &a->op);
        break;
    }
}

static void store_commit(struct sim *sim, void *arg, uint64_t life);

static void store_begin(struct sim *sim)
{
    struct sim_store *st = sim->store;
    if (st->busy || st->n_ops == 0)
        return;
    st->busy = true;
    uint64_t slow_ms = sim->faults && sim_chance(sim, 20) ? sim_below(sim, 2000) : 0;
    sim_at(sim, sim->now_ms + 1 + sim_below(sim, 10) + slow_ms, store_commit, NULL, st->life);
}

static void commit_free(struct commit *c)
{
    for (size_t i = 0; i < c->n; i++) {
        free(c->answers[i].op.payload);
        free(c->answers[i].tasks);
    }
    free(c->answers);
    free(c);
}

static void store_answer(struct sim *sim, void *arg, uint64_t life)
{
    struct commit *c = arg;
    if (sim_coord_frozen_until(sim) > sim->now_ms)
        return sim_at(sim, sim_coord_frozen_until(sim), store_answer, c, life);
    if (life == sim->store->life) {
        sim->store->busy = false;
        store_begin(sim);
    }
    sim_coord_answers(sim, c->answers, c->n, life);
    commit_free(c);
}

void sim_store_drop(struct sim_event *ev)
{
    if (ev->fn == store_answer)
        commit_free(ev->arg);
}

static void store_commit(struct sim *sim, void *arg, uint64_t life)
{
    (void)arg;
    struct sim_store *st = sim->store;
    if (life != st->life)
        return;
    struct commit *c = calloc(1, sizeof(*c));
    assert(c);
    c->answers = calloc(st->n_ops + 1, sizeof(*c->answers));
    assert(c->answers);
    for (size_t i = 0; i < st->n_ops; i++) {
        c->answers[i].op = st->ops[i];
        store_apply(sim, &c->answers[i]);
    }
    c->n = st->n_ops;
    st->n_ops = 0;
    sim_at(sim, sim->now_ms + sim_below(sim, 4), store_answer, c, life);
}

void sim_store_put(struct sim *sim, struct sim_op op)
{
    struct sim_store *st = sim->store;
    if (st->n_ops == st->cap_ops) {
        st->cap_ops = st->cap_ops ? st->cap_ops * 2 : 64;
        st->ops = realloc(st->ops, st->cap_ops * sizeof(*st->ops));
        assert(st->ops);
    }
    st->ops[st->n_ops++] = op;
    store_begin(sim);
}
