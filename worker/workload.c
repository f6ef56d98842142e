#include "workload.h"

#include <stdio.h>

#include "common/downstream.h"
#include "common/pack.h"
#include "common/reason.h"
#include "worker/job_run.h"
#include "worker/landings.h"
#include "worker/needs.h"
#include "worker/output.h"
#include "worker/result.h"

/* On the loop's thread: the result is packed there, in parallel. */
static void finish(void *user UNUSED, struct runner_task *task, struct output *output_take)
{
    job_run_finish(task->user, output_take);
}

/* ---- finishing ---- */

/* The bytes of a buf as exactly as much memory, since results may wait long. */
static uint8_t *exact_bytes(struct buf *b, size_t *ret_len)
{
    *ret_len = b->len;
    uint8_t *p = realloc(b->data, b->len);
    if (!p)
        p = b->data;
    *b = (struct buf){0};
    return p;
}

/* The run ends and its held entry has a result. When there is no memory even for the plain one, the
 * process ends: its leases go back with its session, which loses nothing. */
static void finished(struct workload *w, struct job_run *run)
{
    struct held *h = run->held;
    if (run->rc != ERR_OK) {
        buf_done(&run->packed);
        buf_init(&run->packed, 0);
        run->outcome = WIRE_RETRY;
        run->rows = 0;
        if (result_pack_plain(&run->token, WIRE_RETRY,
                              REASON_NOMEM ": out of memory for the result",
                              &run->packed) != ERR_OK)
            abort();
    }
    size_t len;
    uint8_t *bytes = exact_bytes(&run->packed, &len);
    h->run = NULL;
    h->rows = run->rows;
    h->failed = run->outcome == WIRE_RETRY || run->outcome == WIRE_FAIL;
    held_finish(&w->held, h, bytes, len);
    w->tasks_done += run->outcome == WIRE_DONE;
    w->tasks_failed += h->failed;
    w->tasks_returned += run->outcome == WIRE_RETURNED;
    w->rows += run->rows;
    for (size_t i = 0; i < run->n_counters; i++)
        job_run_count(w->counters, &w->n_counters, run->counters[i].name, run->counters[i].value);
    job_run_free(run);
}

/* A task that was not run, or not to its end, without an output. */
static void finished_plain(struct workload *w, struct job_run *run, enum wire_outcome outcome,
                           const char *reason)
{
    run->outcome = outcome;
    run->rc = result_pack_plain(&run->token, outcome, reason, &run->packed);
    finished(w, run);
}

static void finished_error(struct workload *w, struct job_run *run, int rc, const struct error *e)
{
    char reason[600];
    const enum err_class class = err_class((enum err)rc);
    snprintf(reason, sizeof(reason), "%s: %s", err_name((enum err)rc), e->detail);
    finished_plain(w, run, rc == ERR_NOMEM || class == ERR_CLASS_RETRY ? WIRE_RETRY : WIRE_FAIL,
                   reason);
}

/* ---- landing ---- */

/* Every sink has answered. */
static void landed(struct workload *w, struct job_run *run)
{
    if (!run->held) { /* its lease is gone; that its rows are there does no harm: the ledger has it */
        job_run_free(run);
        return;
    }
    job_run_landed(run);
    finished(w, run);
}

/* A lease in doubt keeps no rows from landing: should another worker have the task by now, the ledger
 * takes the rows of one of them, and both hold the same. */
static void land(struct workload *w, struct job_run *run)
{
    held_land(&w->held, run->held);
    if (landings_put(run->landings, w->batcher))
        landed(w, run);
}

/* Its rows wait until the coordinator has noted what they hold. */
static void ask(struct workload *w, struct job_run *run)
{
    size_t len;
    uint8_t *bytes = exact_bytes(&run->packed, &len);
    buf_init(&run->packed, 0);
    w->asking_bytes += run->asking_bytes;
    held_finish(&w->held, run->held, bytes, len);
}

/* It asks no more, whatever the answer was. */
static void asked(struct workload *w, struct job_run *run)
{
    w->asking_bytes -= run->asking_bytes;
    run->asking_bytes = 0;
    run->asks = false;
}

/* The pipeline is done with it. */
static void ran(struct workload *w, struct job_run *run)
{
    job_run_made(run);
    if (!run->landings)
        finished(w, run);
    else if (run->asks)
        ask(w, run);
    else
        land(w, run);
}

static void collect_landed(struct workload *w)
{
    struct landing *one;
    while ((one = batcher_take(w->batcher))) {
        const struct landings *l = landings_back(one, w->batcher);
        if (l->left == 0)
            landed(w, l->user);
    }
}

/* ---- life ---- */

int workload_init(struct workload *w, const struct workload_config *config, struct error *e)
{
    *w = (struct workload){.slots = config->slots,
                           .landing_budget_bytes = config->landing_budget_bytes};
    catalog_init(&w->catalog);
    if (held_init(&w->held) != ERR_OK)
        return error_set(e, ERR_NOMEM, "no memory");
    const struct runner_config runner = {.loops = config->loops,
                                         .scrape = config->scrape,
                                         .inputs = config->inputs,
                                         .fleet = true,
                                         .finish = finish,
                                         .user = w};
    const struct batcher_config batcher = {.connections = config->sink_connections,
                                           .seed = config->seed};
    int rc = cache_new(&config->cache, &w->cache, e);
    if (rc == ERR_OK)
        rc = batcher_new(&batcher, &w->batcher, e);
    if (rc == ERR_OK)
        rc = runner_new(&runner, &w->runner, e);
    if (rc != ERR_OK) {
        batcher_free(w->batcher);
        cache_free(w->cache);
        held_done(&w->held);
    }
    return rc;
}

bool workload_done(struct workload *w)
{
    runner_stop(w->runner);
    workload_collect(w);
    /* A thread in a call that does not end still reads its rows: that memory goes with the process. */
    const bool still = !batcher_stop(w->batcher);
    if (!still)
        collect_landed(w);
    static const enum held_state with_run[] = {HELD_WAITING, HELD_READY, HELD_SENT};
    for (size_t i = 0; i < ARRAY_LEN(with_run); i++)
        for (struct held *h = w->held.lists[with_run[i]].first; h; h = h->next)
            job_run_free(TAKE_PTR(h->run));
    if (!still)
        batcher_free(w->batcher);
    runner_free(w->runner);
    catalog_done(&w->catalog);
    cache_free(w->cache);
    held_done(&w->held);
    return !still;
}

static void tell_begun(struct workload *w, struct job_run *run)
{
    if (run->begins)
        run->tell_begun = w->begun = true;
}

size_t workload_begun(struct workload *w, struct wire_token *ret, size_t max)
{
    size_t n = 0;
    if (!w->begun)
        return 0;
    for (struct held *h = w->held.lists[HELD_RUNNING].last; h && n < max; h = h->prev) {
        struct job_run *run = h->run;
        if (run->tell_begun)
            ret[n++] = run->token;
        run->tell_begun = false;
    }
    w->begun = n == max; /* then there may be more */
    return n;
}

void workload_session(struct workload *w)
{
    catalog_session(&w->catalog);
    cache_session(w->cache);
    parts_session(&w->parts);
    workload_no_breakers(w);
    held_resend(&w->held);
    w->sent_bytes = 0;
    for (struct held *h = w->held.lists[HELD_RUNNING].first; h; h = h->next)
        tell_begun(w, h->run);
}

/* Lets go of an entry in whatever state it is. */
static void release(struct workload *w, struct held *h)
{
    struct job_run *run = TAKE_PTR(h->run);
    if (run && h->state == HELD_RUNNING) {
        run->held = NULL;
        w->n_abandoned++;
        runner_cancel(w->runner, &run->task);
    } else if (run && h->state == HELD_LANDING) {
        /* Rows that are being written stay until the verdict. Should they land, the sink knows it, and
         * whoever has the task now writes nothing twice. */
        run->held = NULL;
        landings_withdraw(run->landings, w->batcher);
        if (run->landings->left == 0)
            landed(w, run);
    } else if (run) {
        asked(w, run);
        job_run_free(run);
    }
    if (h->state == HELD_SENT)
        w->sent_bytes -= h->result_bytes;
    held_forget(&w->held, h);
}

static int assign_one(struct workload *w, uint64_t epoch, const struct wire_task *t,
                      struct error *e)
{
    struct held *h = held_find(&w->held, t->task);
    if (h) /* an older lease of the same task */
        release(w, h);
    const struct wire_token token = {t->task, epoch, t->counter};
    struct job_run *run = job_run_new(t, token);
    h = run ? held_add(&w->held, token, t->job, (uint32_t)t->input.len) : NULL;
    if (!h) {
        job_run_free(run);
        return error_set(e, ERR_NOMEM, "no memory for a task");
    }
    run->held = h;
    h->run = run;
    /* Now, so that the job's description is kept while the task waits. */
    struct error bad = {0};
    int rc = catalog_get(&w->catalog, t->job, &run->task.pipeline, &bad);
    if (rc == ERR_OK)
        run->begins = t->run_timeout_ms > 0 && spec_may_need_blobs(run->task.pipeline->spec);
    if (rc == ERR_OK)
        rc = needs_blobs(w->cache, run->task.pipeline, (struct span){run->input, run->input_len},
                         &run->need, &bad);
    if (rc == ERR_OK && pipeline_is_gather(run->task.pipeline, t->input)) {
        run->parts_of = &w->parts;
        run->parts = parts_new(&w->parts, t->job);
        if (!run->parts)
            rc = error_set(&bad, ERR_NOMEM, "no memory for the parts of a job");
    }
    if (rc != ERR_OK)
        finished_error(w, run, rc, &bad);
    return ERR_OK;
}

int workload_assign(struct workload *w, uint64_t epoch, const struct wire_assign *m,
                    struct error *e)
{
    int rc = ERR_OK;
    for (size_t i = 0; i < m->n_jobs && rc == ERR_OK; i++)
        rc = catalog_put(&w->catalog, &m->jobs[i], e);
    for (size_t i = 0; i < m->n_tasks && rc == ERR_OK; i++)
        rc = assign_one(w, epoch, &m->tasks[i], e);
    return rc;
}

/* A second leave, after the first, says nothing new. */
static void may_land(struct workload *w, struct held *h)
{
    struct job_run *run = h->run;
    if (!run || !run->asks)
        return;
    if (h->state == HELD_SENT)
        w->sent_bytes -= h->result_bytes;
    asked(w, run);
    land(w, run);
}

void workload_settle(struct workload *w, const struct wire_verdict *verdicts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct wire_token *token = &verdicts[i].token;
        struct held *h = held_find(&w->held, token->task);
        if (!h || h->token.epoch != token->epoch || h->token.counter != token->counter)
            continue;
        if (verdicts[i].code == WIRE_ACK_LAND)
            may_land(w, h);
        else
            release(w, h);
    }
}

static void run_inline(struct workload *w, struct job_run *run)
{
    struct output *o = pipeline_output(run->task.pipeline);
    if (!o) {
        finished_plain(w, run, WIRE_RETRY, REASON_NOMEM ": out of memory for the rows");
        return;
    }
    const struct pipeline_call call = {.items = {run->input, run->input_len},
                                       .blobs = run->task.blobs};
    pipeline_run(run->task.pipeline, &call, o);
    finish(w, &run->task, o);
    ran(w, run);
}

/* Rows that wait for sinks have used up their budget: no more are made. */
static bool is_held_back(const struct workload *w, const struct job_run *run)
{
    struct batcher_stats sinks;
    if (w->returning || !landings_needed(run->task.pipeline))
        return false;
    batcher_stats(w->batcher, &sinks);
    return sinks.bytes + w->asking_bytes >= w->landing_budget_bytes;
}

/* The same for the parts that a task brings together. */
static bool is_waiting_for_parts(struct workload *w, struct job_run *run, bool *ret_finished)
{
    *ret_finished = run->parts && !w->returning && run->parts->state == PARTS_FAILED;
    if (*ret_finished)
        finished_error(w, run, (int)run->parts->error.code, &run->parts->error);
    return !*ret_finished && run->parts && !w->returning && run->parts->state == PARTS_WAITING;
}

/* Whether it is still waiting for blobs. One that cannot have them is finished here: what the coordinator
 * has no more fails the task; what cannot be had now sends it back, and no attempt is used. */
static bool is_waiting_for_blobs(struct workload *w, struct job_run *run, bool *ret_finished)
{
    struct error e = {0};
    *ret_finished = false;
    if (!run->need || w->returning)
        return false;
    const enum cache_state state = cache_need_state(run->need, &e);
    if (state == CACHE_FAILED) {
        *ret_finished = true;
        if (e.code == ERR_NOT_FOUND)
            finished_error(w, run, (int)e.code, &e);
        else
            finished_plain(w, run, WIRE_RETURNED, NULL);
    }
    return state == CACHE_WAITING;
}

/* False: there is no slot for it now. */
static bool start(struct workload *w, struct held *h)
{
    struct job_run *run = h->run;
    if (w->returning) {
        finished_plain(w, run, WIRE_RETURNED, NULL);
        return true;
    }
    const bool is_inline = !run->parts && pipeline_place(run->task.pipeline) == PIPELINE_INLINE;
    if (!is_inline && held_count(&w->held, HELD_RUNNING) + w->n_abandoned >= w->slots)
        return false;
    if (run->need && !cache_need_open(run->need))
        return true; /* it waits again */
    run->task.blobs = cache_need_set(run->need);
    if (run->parts)
        run->task.parts = buf_span(&run->parts->bytes);
    run->task.gather = run->parts != NULL;
    if (is_inline) {
        run_inline(w, run);
        return true;
    }
    struct error e = {0};
    const int rc =
        runner_start(w->runner, &run->task, (struct span){run->input, run->input_len}, &e);
    if (rc == ERR_OK) {
        held_start(&w->held, h);
        tell_begun(w, run);
    } else {
        finished_error(w, run, rc, &e);
    }
    return true;
}

void workload_pump(struct workload *w, bool (*may_start)(void *user), void *user)
{
    struct held *next;
    for (struct held *h = w->held.lists[HELD_WAITING].first; h && (w->returning || may_start(user));
         h = next) {
        bool finished_here;
        next = h->next;
        if (!is_waiting_for_blobs(w, h->run, &finished_here) && !finished_here &&
            !is_waiting_for_parts(w, h->run, &finished_here) && !finished_here &&
            !is_held_back(w, h->run) && !start(w, h))
            return;
    }
}

void workload_collect(struct workload *w)
{
    struct runner_task *task;
    while ((task = runner_take(w->runner))) {
        struct job_run *run = task->user;
        if (run->held) {
            ran(w, run);
        } else {
            w->n_abandoned--;
            job_run_free(run);
        }
    }
    collect_landed(w);
}

int workload_fd(const struct workload *w)
{
    return runner_fd(w->runner);
}

int workload_sinks_fd(const struct workload *w)
{
    return batcher_fd(w->batcher);
}

void workload_return(struct workload *w, bool on)
{
    w->returning = on;
    batcher_flush(w->batcher, on);
}

void workload_cancel_running(struct workload *w)
{
    for (struct held *h = w->held.lists[HELD_RUNNING].first; h; h = h->next)
        runner_cancel(w->runner, &((struct job_run *)h->run)->task);
    batcher_return(w->batcher);
}

size_t workload_results(struct workload *w, struct buf *body)
{
    size_t n = 0, bytes = 0;
    for (struct held *h = w->held.lists[HELD_READY].first; h && n < WIRE_TASKS_MAX; h = h->next) {
        const bool fits = bytes + h->result_bytes <= WORKLOAD_MESSAGE_BYTES &&
                          w->sent_bytes + bytes + h->result_bytes <= WORKLOAD_IN_FLIGHT_BYTES;
        if (!fits && (n > 0 || w->sent_bytes > 0))
            break;
        bytes += h->result_bytes;
        n++;
    }
    if (n == 0)
        return 0;
    pack_array(body, n);
    for (size_t i = 0; i < n; i++) {
        const struct held *h = held_next(&w->held);
        buf_append(body, h->result, h->result_bytes);
    }
    w->sent_bytes += bytes;
    return n;
}

/* ---- downstreams ---- */

void workload_breaker(struct workload *w, const struct wire_breaker *m)
{
    if (!downstream_is_host(m->downstream)) {
        batcher_tell(w->batcher, m->downstream, m->state);
        return;
    }
    const size_t prefix = strlen(DOWNSTREAM_HOST_PREFIX);
    const struct span host = {m->downstream.p + prefix, m->downstream.len - prefix};
    runner_tell(w->runner, host,
                m->state == WIRE_BREAKER_CLOSED  ? SCRAPE_HOST_FREE
                : m->state == WIRE_BREAKER_PROBE ? SCRAPE_HOST_PROBE
                                                 : SCRAPE_HOST_HELD);
}

void workload_no_breakers(struct workload *w)
{
    batcher_session(w->batcher);
    runner_session(w->runner);
}

static size_t host_calls(struct workload *w, bool urgent, struct wire_calls *ret, size_t max,
                         struct arena *a)
{
    struct calls_report reports[WORKLOAD_HOST_CALLS];
    const size_t n = runner_calls(w->runner, !urgent, reports, MIN(max, ARRAY_LEN(reports)));
    for (size_t i = 0; i < n; i++) {
        const struct calls_report *r = &reports[i];
        const size_t len = strlen(DOWNSTREAM_HOST_PREFIX) + strlen(r->key);
        char *name = arena_alloc(a, len + 1);
        const char *error = r->error[0] ? arena_strndup(a, r->error, strlen(r->error)) : NULL;
        if (!name)
            return i; /* no memory: what is lost is a count */
        snprintf(name, len + 1, DOWNSTREAM_HOST_PREFIX "%s", r->key);
        ret[i] = (struct wire_calls){.downstream = {name, len},
                                     .ok = r->ok,
                                     .fail = r->fail,
                                     .slow = r->slow,
                                     .row = r->row,
                                     .error = span_str(error)};
    }
    return n;
}

size_t workload_calls(struct workload *w, bool urgent, struct wire_calls *ret, size_t max,
                      struct arena *a)
{
    const size_t n = batcher_calls(w->batcher, urgent, ret, max);
    return n + host_calls(w, urgent, ret + n, max - n, a);
}

bool workload_is_calling(const struct workload *w)
{
    return batcher_news(w->batcher) || runner_is_calling(w->runner);
}

void workload_state(const struct workload *w, struct credit_state *ret)
{
    struct batcher_stats sinks;
    batcher_stats(w->batcher, &sinks);
    *ret = (struct credit_state){
        .in_hand = held_count(&w->held, HELD_WAITING) + held_count(&w->held, HELD_RUNNING) +
                   w->n_abandoned,
        .input_bytes = w->held.input_bytes,
        .results = held_count(&w->held, HELD_READY) + held_count(&w->held, HELD_SENT) +
                   held_count(&w->held, HELD_LANDING),
        .result_bytes = w->held.result_bytes,
        .landing_bytes = sinks.bytes + w->asking_bytes,
        .finished = w->tasks_done + w->tasks_failed + w->tasks_returned,
    };
}

void workload_heartbeat(struct workload *w, struct wire_heartbeat *ret)
{
    struct cache_stats blobs;
    struct batcher_stats sinks;
    cache_stats(w->cache, &blobs);
    batcher_stats(w->batcher, &sinks);
    memcpy(w->beat, w->counters, w->n_counters * sizeof(w->beat[0]));
    size_t n =
        w->n_counters + batcher_bytes(w->batcher, w->beat + w->n_counters, BATCHER_SINKS_MAX);
    w->beat[n++] = (struct wire_stat){SPAN("blobs.cached_bytes"), (int64_t)blobs.bytes};
    w->beat[n++] = (struct wire_stat){SPAN("blobs.fetched_bytes"), (int64_t)blobs.fetched_bytes};
    *ret = (struct wire_heartbeat){
        .busy = (uint32_t)(held_count(&w->held, HELD_RUNNING) + w->n_abandoned),
        .queued = (uint32_t)held_count(&w->held, HELD_WAITING),
        .buffered_bytes = w->held.result_bytes + sinks.bytes + w->asking_bytes,
        .tasks_done = w->tasks_done,
        .tasks_failed = w->tasks_failed,
        .rows = w->rows,
        .counters = w->beat,
        .n_counters = n,
    };
}
