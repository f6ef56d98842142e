#include "outbox.h"

#include "common/log.h"
#include "coordinator/edge/downstreams.h"
#include "coordinator/edge/inputs.h"
#include "coordinator/edge/jobs.h"

/* Assigns of one session whose inputs are read from the store, in one request. */
struct fetch {
    struct store_request request; /* first: what comes back is cast */
    struct fetch *next;           /* of the session's list; the loop's */
    uint64_t session;
    size_t n;
    struct assign *assigns;
    struct span *inputs; /* filled by the store's thread; p NULL: not found */
    bool *whole;
};

static void mark(struct edge *e, struct session *s)
{
    if (s->dirty)
        return;
    struct session **list = sessions_dirty(e->sessions);
    s->dirty = true;
    s->next_dirty = *list;
    *list = s;
}

/* The session cannot be told what it must be told: it ends as if its connection were lost. */
static void give_up(struct session *s, struct edge *e)
{
    buf_clear(&e->out);
    e->out.failed = true;
    sessions_send(e->sessions, s);
}

void outbox_assign(struct edge *e, struct session *s, const struct assign *a)
{
    if (s->n_assigns == s->cap_assigns) {
        size_t cap = s->cap_assigns ? s->cap_assigns * 2 : 64;
        struct assign *grown = realloc(s->assigns, cap * sizeof(*grown));
        if (!grown)
            return give_up(s, e);
        s->assigns = grown;
        s->cap_assigns = cap;
    }
    s->assigns[s->n_assigns++] = *a;
    mark(e, s);
}

static void add_verdict(struct edge *e, struct session *s, struct verdicts *list,
                        const struct verdict *v)
{
    if (list->n == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : 64;
        struct verdict *grown = realloc(list->items, cap * sizeof(*grown));
        if (!grown)
            return give_up(s, e);
        list->items = grown;
        list->cap = cap;
    }
    list->items[list->n++] = *v;
    mark(e, s);
}

void outbox_ack(struct edge *e, struct session *s, const struct verdict *v)
{
    add_verdict(e, s, &s->acks, v);
}

void outbox_revoke(struct edge *e, struct session *s, const struct verdict *v)
{
    for (size_t i = 0; i < s->n_assigns; i++)
        if (s->assigns[i].task.v == v->task.v && s->assigns[i].counter == v->token.counter)
            s->assigns[i].dropped = true;
    for (struct fetch *f = s->fetches; f; f = f->next)
        for (size_t i = 0; i < f->n; i++)
            if (f->assigns[i].task.v == v->task.v && f->assigns[i].counter == v->token.counter)
                f->assigns[i].dropped = true;
    add_verdict(e, s, &s->revokes, v);
}

void outbox_breaker(struct edge *e, struct session *s, const struct told *t)
{
    struct tolds *list = &s->breakers;
    for (size_t i = 0; i < list->n; i++)
        if (list->items[i].downstream == t->downstream) {
            list->items[i] = *t;
            return;
        }
    if (list->n == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : 16;
        struct told *grown = realloc(list->items, cap * sizeof(*grown));
        if (!grown)
            return give_up(s, e);
        list->items = grown;
        list->cap = cap;
    }
    list->items[list->n++] = *t;
    mark(e, s);
}

void outbox_forget(struct edge *e, struct session *s)
{
    (void)e;
    s->n_assigns = s->acks.n = s->revokes.n = s->breakers.n = 0;
    s->fetches = NULL; /* each is freed when the store gives it back */
}

/* ---- messages ---- */

static void flush_verdicts(struct edge *e, struct session *s, struct verdicts *list,
                           enum wire_type type)
{
    struct wire_verdict out[WIRE_TASKS_MAX];
    for (size_t from = 0; from < list->n;) {
        size_t n = MIN(list->n - from, (size_t)WIRE_TASKS_MAX);
        for (size_t i = 0; i < n; i++) {
            const struct verdict *v = &list->items[from + i];
            out[i] = (struct wire_verdict){.token = {v->task.v, v->token.epoch, v->token.counter},
                                           .code = v->code,
                                           .reason = span_str(v->reason)};
        }
        sessions_message(e->sessions, s, type);
        wire_verdicts_pack(&e->out, out, n);
        sessions_send(e->sessions, s);
        from += n;
    }
    list->n = 0;
}

/* A downstream whose name was forgotten (downstreams.h) cannot be told; the worker has its own
 * back-off for it. */
static void flush_breakers(struct edge *e, struct session *s)
{
    struct wire_breaker out[WIRE_TASKS_MAX];
    for (size_t from = 0; from < s->breakers.n; from += WIRE_TASKS_MAX) {
        size_t left = MIN(s->breakers.n - from, (size_t)WIRE_TASKS_MAX), n = 0;
        for (size_t i = 0; i < left; i++) {
            const struct told *t = &s->breakers.items[from + i];
            const struct downstream *one = downstreams_get(e->downstreams, t->downstream);
            if (one)
                out[n++] = (struct wire_breaker){span_str(one->name), t->state};
        }
        if (n == 0)
            continue;
        sessions_message(e->sessions, s, WIRE_BREAKER);
        wire_breakers_pack(&e->out, out, n);
        sessions_send(e->sessions, s);
    }
    s->breakers.n = 0;
}

/* Secrets go out here: bind rules (transport.h) see to it that the socket has CURVE or is on
 * loopback. */
static void send_sink(struct edge *e, struct session *s, size_t index)
{
    const struct sink_settings *at = &e->sinks->entries[index].settings;
    struct wire_setting settings[] = {
        {SPAN("url"), span_str(at->url)},
        {SPAN("user"), span_str(at->user)},
        {SPAN("password"), span_str(at->password)},
        {SPAN("ca_pem"), span_str(at->ca_pem)},
    };
    sessions_message(e->sessions, s, WIRE_SINK);
    wire_sink_pack(&e->out, &(struct wire_sink){.name = span_str(at->name),
                                                .kind = span_str(spec_sink_kind_name(at->kind)),
                                                .settings = settings,
                                                .n_settings = ARRAY_LEN(settings)});
    sessions_send(e->sessions, s);
    s->sinks_sent |= UINT64_C(1) << index;
}

static void send_sinks(struct edge *e, struct session *s, const struct job *job)
{
    for (size_t i = 0; i < job->spec->n_sinks; i++) {
        size_t index = sinks_of(e->sinks, &job->spec->sinks[i]);
        if (index != SINKS_NONE && !(s->sinks_sent & UINT64_C(1) << index))
            send_sink(e, s, index);
    }
}

/* One ASSIGN that is being filled. */
struct draft {
    struct wire_job jobs[WIRE_TASKS_MAX];
    struct wire_task tasks[WIRE_TASKS_MAX];
    size_t n_jobs, n_tasks, bytes;
};

static void draft_send(struct edge *e, struct session *s, struct draft *d)
{
    if (d->n_tasks == 0)
        return;
    struct wire_assign m = {d->jobs, d->n_jobs, d->tasks, d->n_tasks};
    sessions_message(e->sessions, s, WIRE_ASSIGN);
    wire_assign_pack(&e->out, &m);
    sessions_send(e->sessions, s);
    for (size_t i = 0; i < d->n_tasks; i++)
        inputs_drop(e->inputs, (struct task_id){d->tasks[i].task});
    d->n_jobs = d->n_tasks = d->bytes = 0;
}

static void draft_add(struct edge *e, struct session *s, struct draft *d, const struct assign *a,
                      struct span input, bool whole)
{
    struct job *job = jobs_get(e->jobs, a->job);
    if (!job)
        return; /* its end was decided: the lease is gone too */
    bool new_job = !map64_get(&s->jobs_sent, a->job.v);
    size_t bytes = input.len + 64 + (new_job ? job->spec_text.len : 0);
    if (d->n_tasks == WIRE_TASKS_MAX || (d->n_tasks && d->bytes + bytes > OUTBOX_MESSAGE_BYTES))
        draft_send(e, s, d);
    if (new_job) {
        if (!map64_put(&s->jobs_sent, a->job.v, s))
            return give_up(s, e);
        send_sinks(e, s, job);
        d->jobs[d->n_jobs++] = (struct wire_job){
            .job = a->job.v,
            .spec = job->spec_text,
            .uid = {(const char *)job->uid, sizeof(job->uid)},
            .generation = JOBS_GENERATION,
        };
    }
    d->tasks[d->n_tasks++] = (struct wire_task){.task = a->task.v,
                                                .counter = a->counter,
                                                .job = a->job.v,
                                                .attempt = a->attempt,
                                                .grant = a->grant,
                                                .run_timeout_ms = a->run_timeout_ms,
                                                .input = input,
                                                .whole = whole};
    d->bytes += bytes;
}

/* ---- inputs from the store ---- */

static int fetch_run(struct store *store, struct store_request *r)
{
    struct fetch *f = (struct fetch *)r;
    for (size_t i = 0; i < f->n; i++) {
        int rc = store_task_input(store, f->assigns[i].task, &r->arena, &f->inputs[i], &f->whole[i],
                                  &r->error);
        if (rc == ERR_NOT_FOUND)
            f->inputs[i] = (struct span){0};
        else if (rc)
            return rc;
    }
    return 0;
}

static void fetch_free(struct fetch *f)
{
    arena_done(&f->request.arena);
    free(f->assigns);
    free(f->inputs);
    free(f->whole);
    free(f);
}

/* A lease whose input is not in the store would never end: it is given back as a failed attempt. */
static void fail_lease(struct edge *e, struct session *s, const struct assign *a)
{
    LOG_WARN("input of a task is missing", log_u64("task", a->task.v), log_u64("job", a->job.v));
    edge_event(e, &(struct sched_event){
                      .type = SCHED_EV_RESULT,
                      .session = {s->id},
                      .u.result = {.task = a->task,
                                   .token = {e->epoch, a->counter},
                                   .outcome = SCHED_FAIL},
                  });
}

static void fetch_done(struct store_request *r, void *user)
{
    struct edge *e = user;
    struct fetch *f = (struct fetch *)r;
    struct session *s = sessions_get(e->sessions, f->session);
    if (!s || r->rc) {
        if (s)
            give_up(s, e);
        fetch_free(f);
        return;
    }
    for (struct fetch **p = &s->fetches; *p; p = &(*p)->next) {
        if (*p != f)
            continue;
        *p = f->next;
        break;
    }
    struct draft d; /* about 50 KB: not cleared as a whole */
    d.n_jobs = d.n_tasks = d.bytes = 0;
    for (size_t i = 0; i < f->n; i++)
        if (!f->assigns[i].dropped && f->inputs[i].p)
            draft_add(e, s, &d, &f->assigns[i], f->inputs[i], f->whole[i]);
    draft_send(e, s, &d);
    for (size_t i = 0; i < f->n; i++)
        if (!f->assigns[i].dropped && !f->inputs[i].p && sessions_get(e->sessions, f->session))
            fail_lease(e, s, &f->assigns[i]);
    fetch_free(f);
}

/* Takes the n assigns that have no input in memory. */
static bool fetch_start(struct edge *e, struct session *s, const struct assign *assigns, size_t n)
{
    struct fetch *f = calloc(1, sizeof(*f));
    if (!f)
        return false;
    f->assigns = malloc(n * sizeof(*f->assigns));
    f->inputs = calloc(n, sizeof(*f->inputs));
    f->whole = calloc(n, sizeof(*f->whole));
    if (!f->assigns || !f->inputs || !f->whole) {
        fetch_free(f);
        return false;
    }
    memcpy(f->assigns, assigns, n * sizeof(*assigns));
    f->n = n;
    f->session = s->id;
    f->next = s->fetches;
    s->fetches = f;
    arena_init(&f->request.arena, 0);
    f->request.bytes = sizeof(*f) + n * sizeof(*assigns);
    f->request.run = fetch_run;
    f->request.done = fetch_done;
    store_thread_submit(e->store, &f->request);
    return true;
}

/* ---- flush ---- */

static void flush_assigns(struct edge *e, struct session *s)
{
    struct draft d; /* about 50 KB: not cleared as a whole */
    d.n_jobs = d.n_tasks = d.bytes = 0;
    size_t missing = 0;
    for (size_t i = 0; i < s->n_assigns; i++) {
        const struct assign *a = &s->assigns[i];
        if (a->dropped)
            continue;
        struct span input = inputs_get(e->inputs, a->task);
        if (input.p)
            draft_add(e, s, &d, a, input, false); /* else it would not be in memory */
        else
            s->assigns[missing++] = *a; /* collected at the front, which was read already */
    }
    draft_send(e, s, &d);
    for (size_t from = 0; from < missing; from += WIRE_TASKS_MAX) {
        size_t n = MIN(missing - from, (size_t)WIRE_TASKS_MAX);
        if (!fetch_start(e, s, s->assigns + from, n)) {
            give_up(s, e);
            break;
        }
    }
    s->n_assigns = 0;
}

void outbox_flush(struct edge *e)
{
    struct session **list = sessions_dirty(e->sessions);
    while (*list) {
        struct session *s = *list;
        *list = s->next_dirty;
        s->dirty = false;
        flush_verdicts(e, s, &s->acks, WIRE_RESULT_ACK);
        flush_verdicts(e, s, &s->revokes, WIRE_REVOKE);
        flush_breakers(e, s);
        flush_assigns(e, s);
    }
}
