#include "completions.h"

#include "common/log.h"
#include "common/reason.h"
#include "common/unpack.h"
#include "coordinator/edge/inputs.h"
#include "coordinator/edge/jobs.h"
#include "coordinator/edge/sessions.h"

enum { GROUPS_KEPT = 8, INBOXES_KEPT = 64, REASONS_MAX = 64, REASON_LEN_MAX = 60 };

struct payload {
    struct inbox *inbox;
    const struct wire_result *result;
};

struct completion {
    struct store_complete in;
    struct store_complete_ret ret;
    int rc;
    struct session_id session; /* whose result it is; 0: none */
    struct inbox *inbox;       /* NULL: no result */
    int64_t rejects_max;       /* of the job; -1: no limit */
};

/* One request: a turn's completions. */
struct group {
    struct store_request request; /* first: what comes back is cast */
    struct group *next;           /* of the free list */
    struct arena arena;           /* what `in` points to, beside the inboxes */
    struct buf items;             /* packed new inputs; made before their spans are taken */
    size_t n;
    struct completion list[COMPLETIONS_GROUP];
};

struct completions {
    struct edge *edge;
    struct group *filling; /* NULL: none */
    struct group *free_groups;
    struct inbox *free_inboxes;
    size_t n_free_groups, n_free_inboxes;
    size_t pending;
};

struct completions *completions_new(struct edge *e)
{
    struct completions *c = calloc(1, sizeof(*c));
    if (c)
        c->edge = e;
    return c;
}

/* ---- inboxes ---- */

struct inbox *completions_inbox(struct completions *c)
{
    struct inbox *in = c->free_inboxes;
    if (in) {
        c->free_inboxes = in->next;
        c->n_free_inboxes--;
    } else {
        in = calloc(1, sizeof(*in));
        if (!in)
            return NULL;
        arena_init(&in->arena, 0);
    }
    in->refs = 1;
    in->received = false;
    return in;
}

void completions_inbox_unref(struct completions *c, struct inbox *in)
{
    if (!in || --in->refs > 0)
        return;
    if (in->received)
        transport_message_done(&in->message);
    arena_clear(&in->arena);
    if (c->n_free_inboxes == INBOXES_KEPT) {
        arena_done(&in->arena);
        free(in);
        return;
    }
    in->next = c->free_inboxes;
    c->free_inboxes = in;
    c->n_free_inboxes++;
}

void *completions_payload(struct inbox *in, const struct wire_result *result)
{
    struct payload *p = arena_alloc(&in->arena, sizeof(*p));
    if (!p)
        return NULL;
    *p = (struct payload){in, result};
    in->refs++;
    return p;
}

void completions_discard(struct completions *c, void *payload)
{
    struct payload *p = payload;
    if (!p)
        return;
    /* A lease that is given back is discarded too, but nothing is wrong with it. */
    if (p->result->outcome != WIRE_RETURNED)
        c->edge->counts.discarded++;
    completions_inbox_unref(c, p->inbox);
}

/* ---- groups ---- */

static void group_free(struct group *g)
{
    arena_done(&g->request.arena);
    arena_done(&g->arena);
    buf_done(&g->items);
    free(g);
}

static struct group *group_take(struct completions *c)
{
    struct group *g = c->free_groups;
    if (g) {
        c->free_groups = g->next;
        c->n_free_groups--;
        return g;
    }
    g = calloc(1, sizeof(*g));
    if (!g)
        abort(); /* as sched_step does: the store has the truth */
    arena_init(&g->request.arena, 0);
    arena_init(&g->arena, 0);
    buf_init(&g->items, 0);
    return g;
}

static void group_give(struct completions *c, struct group *g)
{
    for (size_t i = 0; i < g->n; i++)
        completions_inbox_unref(c, g->list[i].inbox);
    g->n = 0;
    arena_clear(&g->arena);
    arena_clear(&g->request.arena);
    buf_clear(&g->items);
    if (c->n_free_groups == GROUPS_KEPT)
        return group_free(g);
    g->next = c->free_groups;
    c->free_groups = g;
    c->n_free_groups++;
}

void completions_free(struct completions *c)
{
    if (!c)
        return;
    if (c->filling)
        group_give(c, TAKE_PTR(c->filling));
    while (c->free_groups) {
        struct group *g = c->free_groups;
        c->free_groups = g->next;
        group_free(g);
    }
    while (c->free_inboxes) {
        struct inbox *in = c->free_inboxes;
        c->free_inboxes = in->next;
        arena_done(&in->arena);
        free(in);
    }
    free(c);
}

size_t completions_pending(const struct completions *c)
{
    return c->pending;
}

/* ---- store thread ---- */

static bool too_many_rejects(const struct completion *c)
{
    return c->rejects_max >= 0 && !c->ret.duplicate && c->ret.rejects > (uint64_t)c->rejects_max;
}

static int group_run(struct store *store, struct store_request *r)
{
    struct group *g = (struct group *)r;
    arena_clear(&r->arena); /* it may be a second attempt, after a full disk */
    for (size_t i = 0; i < g->n; i++) {
        struct completion *c = &g->list[i];
        struct error error = {0};
        c->ret = (struct store_complete_ret){0};
        c->rc = store_task_complete(store, &c->in, &r->arena, &c->ret, &error);
        if (c->rc == 0 && too_many_rejects(c)) /* nothing of it is worth doing any more */
            c->rc = store_job_cancel(store, c->in.job.v, c->in.now_ms, &error);
        if (c->rc == 0)
            continue;
        r->error = error;
        if (c->rc == ERR_STORE_FULL || c->rc == ERR_NOMEM || c->rc == ERR_STORE)
            return c->rc;
    }
    return 0;
}

/* ---- loop thread: what is written ---- */

static void *must(void *p)
{
    if (!p)
        abort(); /* as sched_step does: the store has the truth */
    return p;
}

/* The counts per reason among [input, reason, detail], as statistics "reject.REASON". */
static size_t reject_stats(struct arena *a, struct span rejects, struct store_stat *out)
{
    struct unpack u;
    size_t n_out = 0;
    unpack_init(&u, rejects.p, rejects.len);
    size_t n = rejects.p ? unpack_array(&u) : 0;
    for (size_t i = 0; i < n && unpack_ok(&u); i++) {
        size_t extra;
        unpack_tuple(&u, 3, &extra);
        unpack_skip(&u);
        struct span reason = unpack_str(&u);
        unpack_skip_n(&u, extra + 1);
        if (!unpack_ok(&u) || !reason.p)
            break;
        size_t at = 0, len = MIN(reason.len, (size_t)REASON_LEN_MAX);
        while (at < n_out &&
               (out[at].name.len != len + 7 || memcmp(out[at].name.p + 7, reason.p, len)))
            at++;
        if (at == REASONS_MAX)
            continue; /* the total is counted anyway */
        if (at == n_out) {
            char *name = must(arena_alloc(a, len + 7));
            memcpy(name, "reject.", 7);
            memcpy(name + 7, reason.p, len);
            out[n_out++] = (struct store_stat){{name, len + 7}, 0};
        }
        out[at].value++;
    }
    return n_out;
}

/* Rejects that the worker did not list are in a statistic alone. */
static uint64_t unlisted(const struct wire_result *r)
{
    for (size_t i = 0; i < r->n_stats; i++)
        if (span_eq(r->stats[i].name, SPAN(STAT_REJECTS_NOT_LISTED)))
            return r->stats[i].value > 0 ? (uint64_t)r->stats[i].value : 0;
    return 0;
}

static void add_stats(struct group *g, struct store_complete *in, const struct wire_result *r)
{
    size_t max = r->n_stats + (r->n_rejects ? REASONS_MAX : 0);
    if (max == 0)
        return;
    struct store_stat *stats = must(arena_alloc(&g->arena, max * sizeof(*stats)));
    for (size_t i = 0; i < r->n_stats; i++)
        stats[i] = (struct store_stat){r->stats[i].name, r->stats[i].value};
    in->n_stats = r->n_stats;
    if (r->n_rejects)
        in->n_stats += reject_stats(&g->arena, r->rejects, stats + r->n_stats);
    in->stats = stats;
}

/* The engine's form of one URL; false when it is none (counted, and left out). */
static bool make_item(struct group *g, const struct job *job, struct span url, uint32_t depth,
                      struct store_item *ret)
{
    struct error error = {0};
    buf_clear(&g->items);
    if (spec_item(job->spec, url, depth, &g->items, &ret->key, &ret->unique, &error)) {
        LOG_DEBUG("an address that a worker found is not valid", log_u64("job", job->id),
                  log_err(&error));
        return false;
    }
    char *copy = must(arena_alloc(&g->arena, g->items.len));
    memcpy(copy, g->items.data, g->items.len);
    ret->input = (struct span){copy, g->items.len};
    return true;
}

static void add_found(struct group *g, struct store_complete *in, const struct wire_result *r,
                      const struct job *job)
{
    if (!job)
        return; /* it ended: nothing is added to it */
    if (r->n_found) {
        struct store_item *items = must(arena_alloc(&g->arena, r->n_found * sizeof(*items)));
        for (size_t i = 0; i < r->n_found; i++)
            if (make_item(g, job, r->found[i].url, r->found[i].depth, &items[in->n_found]))
                in->n_found++;
        in->found = items;
    }
    if (r->n_again) {
        struct store_retry *retries = must(arena_alloc(&g->arena, r->n_again * sizeof(*retries)));
        for (size_t i = 0; i < r->n_again; i++) {
            struct store_retry *to = &retries[in->n_retries];
            if (!make_item(g, job, r->again[i].url, r->again[i].depth, &to->item))
                continue;
            to->error = r->again[i].error;
            in->n_retries++;
        }
        in->retries = retries;
    }
}

static void add_result(struct completions *c, struct group *g, struct completion *to,
                       const struct wire_result *r)
{
    if (!to->in.error.p)
        to->in.error = r->error;
    if (to->in.write != SCHED_WRITE_DONE && to->in.write != SCHED_WRITE_LANDING)
        return;
    if (to->in.write == SCHED_WRITE_DONE) {
        if (r->n_rows > 0)
            to->in.rows = r->rows;
        else
            to->in.part = r->rows;
        to->in.n_rows = r->n_rows;
    }
    to->in.left = r->left;
    to->in.rejects = r->rejects;
    to->in.n_rejects = r->n_rejects;
    to->in.n_unlisted = unlisted(r);
    to->in.retry_after_ms = r->retry_after_ms;
    add_stats(g, &to->in, r);
    add_found(g, &to->in, r, jobs_get(c->edge->jobs, to->in.job));
    g->request.bytes += r->rows.len + r->rejects.len + 100 * (r->n_found + r->n_again);
}

void completions_add(struct completions *c, const struct sched_action *a)
{
    if (!c->filling) {
        c->filling = group_take(c);
        c->filling->request.bytes = sizeof(struct group);
    }
    struct group *g = c->filling;
    const struct payload *p = a->u.complete.payload;
    struct completion *to = &g->list[g->n++];
    const struct job *job = jobs_get(c->edge->jobs, a->job);
    *to = (struct completion){.session = a->session,
                              .inbox = p ? p->inbox : NULL,
                              .rejects_max = job ? job->spec->rejects_max : -1};
    to->in.task = a->task;
    to->in.job = a->job;
    to->in.token = a->token;
    to->in.write = a->u.complete.write;
    /* The store counts from the attempt that was made: what is to be tried again gets one more. */
    to->in.attempt = a->u.complete.attempt - (a->u.complete.write == SCHED_WRITE_DONE);
    to->in.kills = a->u.complete.kills;
    to->in.now_ms = c->edge->wall_ms;
    /* That its attempts are used up says less than why the last one failed, which the task has. */
    if (a->u.complete.error && strcmp(a->u.complete.error, "ATTEMPTS_EXHAUSTED") != 0)
        to->in.error = span_str(a->u.complete.error);
    if (p)
        add_result(c, g, to, p->result);
    c->pending++;
    if (g->n == COMPLETIONS_GROUP)
        completions_flush(c);
}

/* ---- loop thread: what came back ---- */

/* Of the statistics that the scrape engine makes, those that are metrics of the fleet. */
static void count_stats(struct edge *e, const struct completion *c)
{
    static const char prefix[] = "status_";
    for (size_t i = 0; i < c->in.n_stats; i++) {
        struct span name = c->in.stats[i].name;
        uint64_t value = c->in.stats[i].value > 0 ? (uint64_t)c->in.stats[i].value : 0;
        if (span_eq(name, SPAN("bytes")))
            e->counts.scrape_bytes += value;
        if (name.len != sizeof(prefix) + 2 || memcmp(name.p, prefix, sizeof(prefix) - 1) != 0)
            continue;
        unsigned at = (unsigned char)name.p[sizeof(prefix) - 1] - (unsigned)'2';
        if (at < EDGE_STATUS_CLASSES)
            e->counts.scrape_responses[at] += value;
    }
}

/* "rows.postgres:main": rows that landed in a sink. */
static void count_sinks(struct edge *e, const struct completion *c)
{
    static const char prefix[] = "rows.";
    const size_t skip = sizeof(prefix) - 1;
    for (size_t i = 0; i < c->in.n_stats; i++) {
        struct span name = c->in.stats[i].name;
        if (name.len <= skip || memcmp(name.p, prefix, skip) != 0 || c->in.stats[i].value <= 0)
            continue;
        size_t at = sinks_find_downstream(e->sinks, (struct span){name.p + skip, name.len - skip});
        if (at != SINKS_NONE)
            e->counts.rows_of_sinks[at] += (uint64_t)c->in.stats[i].value;
    }
}

static void count(struct edge *e, const struct completion *c, const struct job *job)
{
    static const enum edge_outcome outcomes[] = {
        [SCHED_WRITE_DONE] = EDGE_DONE,
        [SCHED_WRITE_ATTEMPT] = EDGE_RETRIED,
        [SCHED_WRITE_DEAD] = EDGE_DEAD,
        [SCHED_WRITE_CANCELLED] = EDGE_CANCELLED,
    };
    if (c->ret.duplicate)
        return;
    size_t kind = job ? edge_kind_index(job->spec->kinds) : EDGE_KINDS - 1;
    if (c->in.write == SCHED_WRITE_LANDING) { /* no end of an attempt */
        e->counts.rejects += c->in.n_rejects;
        return;
    }
    e->counts.attempts[kind][outcomes[c->in.write]]++;
    e->counts.rows += c->in.n_rows;
    e->counts.rows_stored += c->in.rows.len ? c->in.n_rows : 0;
    e->counts.rejects += c->in.n_rejects + c->in.n_unlisted;
    count_sinks(e, c);
    if (job && job->spec->kinds & WIRE_KIND_SCRAPE)
        count_stats(e, c);
    struct session *s = sessions_get(e->sessions, c->session.v);
    if (!s)
        return;
    s->worker->attempts[outcomes[c->in.write]]++;
    s->worker->rows_stored += c->in.n_rows;
}

static void completed(struct edge *e, const struct completion *c)
{
    struct sched_event ev = {.type = SCHED_EV_COMPLETED, .job = c->in.job};
    struct job *job = jobs_get(e->jobs, c->in.job);
    size_t n = c->ret.n_tasks;
    ev.u.completed.task = c->in.task;
    ev.u.completed.refused = c->ret.refused || (c->rc && c->in.write == SCHED_WRITE_LANDING);
    if (c->rc) {
        LOG_ERROR("a result was not stored", log_u64("task", c->in.task.v),
                  log_u64("job", c->in.job.v), log_str("err", err_name((enum err)c->rc)));
        n = 0;
    }
    count(e, c, job);
    if (c->in.write != SCHED_WRITE_ATTEMPT)
        inputs_drop(e->inputs, c->in.task);
    if (job)
        jobs_changed(e->jobs, job, c->in.n_rows > 0 || c->in.n_rejects > 0);
    if (job && !job->ending && c->rc == 0 && too_many_rejects(c)) /* before its last task is done */
        edge_event(e, &(struct sched_event){.type = SCHED_EV_JOB_CANCEL, .job = c->in.job});
    if (n > 0) {
        struct sched_task *tasks = must(arena_alloc(&e->scratch, n * sizeof(*tasks)));
        struct task_id *ids = must(arena_alloc(&e->scratch, n * sizeof(*ids)));
        struct span *inputs = must(arena_alloc(&e->scratch, n * sizeof(*inputs)));
        for (size_t i = 0; i < n; i++) {
            tasks[i] = c->ret.tasks[i].sched;
            ids[i] = tasks[i].id;
            inputs[i] = c->ret.tasks[i].input;
        }
        inputs_put(e->inputs, ids, inputs, n);
        ev.u.completed.tasks = tasks;
        ev.u.completed.n = n;
    }
    edge_event(e, &ev);
    if (n > 0)
        arena_clear(&e->scratch);
}

static void group_done(struct store_request *r, void *user)
{
    struct edge *e = user;
    struct group *g = (struct group *)r;
    edge_store_result(e, r->rc);
    if (edge_again(e, r))
        return;
    e->completions->pending -= g->n;
    /* Not committed, and no full disk: the store failed and the process ends without a word to the
     * workers, which keep the results for the next one. */
    for (size_t i = 0; i < g->n && r->rc == 0; i++)
        completed(e, &g->list[i]);
    group_give(e->completions, g);
}

void completions_flush(struct completions *c)
{
    struct group *g = TAKE_PTR(c->filling);
    if (!g)
        return;
    g->request.write = true;
    g->request.run = group_run;
    g->request.done = group_done;
    store_thread_submit(c->edge->store, &g->request);
}
