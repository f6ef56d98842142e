#include "local.h"

#include <errno.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/reason.h"
#include "common/transport.h"
#include "common/unpack.h"
#include "worker/feed.h"
#include "worker/frontier.h"
#include "worker/local_blobs.h"
#include "worker/local_gather.h"
#include "worker/local_job.h"
#include "worker/output.h"
#include "worker/local_output.h"
#include "worker/local_rejects.h"
#include "worker/local_stats.h"
#include "worker/runner.h"

enum {
    TIMEOUT_CHECK_MS = 1000,
    SINKS_STOP_MS = 1000 /* after a signal, for what is being written */
};

/* A task under way, with its items for another attempt. */
struct local_task {
    struct runner_task task;
    struct frontier_task plan;
    struct output *output;     /* when it finished, unless its rows are landing */
    struct landings *landings; /* its rows are on their way into sinks */
    struct blobset blobs;      /* what it needs */
    uint64_t started_ms;
    bool timed_out, released; /* its host is free again */
    struct local_task *prev, *next;
    size_t items_len;
    char items[];
};

struct local {
    const struct local_config *config;
    const struct spec *spec;
    struct frontier *frontier;
    struct runner *runner; /* NULL when the source is inline */
    struct feed feed;
    bool feed_done, stopped;
    uint64_t stopped_ms; /* when stopped: since when */
    struct local_output rows;
    struct local_rejects rejects;
    struct local_gather gather;
    struct local_sinks sinks;
    struct local_blobs blobs;
    struct local_task *tasks; /* under way */
    size_t n_tasks, tasks_max;
    size_t n_landing; /* of them, those whose rows are landing, beside tasks_max */
    struct buf items, item, path;
    struct local_stats stats;
    size_t item_rows_bytes; /* of one item's rows, as of late; 0: not known yet */
    uint64_t next_timeout_check_ms;
    uint64_t random;
};

/* ---- the plan ---- */

/* Whether an answer without some input would be wrong: it is one over all rows, or rows of files. */
static bool wants_all(const struct local *l)
{
    return l->gather.gather || pipeline_place(l->config->pipeline) == PIPELINE_POOL;
}

/* Full jitter over base * 2^(attempt - 2), as the coordinator does. attempt: the coming one, from 2. */
static uint64_t backoff_ms(struct local *l, uint32_t attempt)
{
    const uint32_t doublings = MIN(attempt - 2, 20U);
    const uint64_t cap =
        MIN((uint64_t)l->spec->backoff_ms << doublings, (uint64_t)l->spec->backoff_max_ms);
    l->random = hash_mix(l->random + 1);
    return cap ? 1 + l->random % cap : 1;
}

/* Plans one input. attempt: the coming one. known: it was planned before; reason: why it failed then,
 * NULL when it was not tried. */
static void plan(struct local *l, struct span text, uint32_t depth, uint32_t attempt, bool known,
                 const char *reason, const char *detail)
{
    uint64_t key;
    struct hash128 unique;
    struct error e = {0};
    if (attempt > l->spec->attempts) {
        local_rejects_lose(&l->rejects, text, reason, detail);
        return;
    }
    buf_clear(&l->item);
    int rc = spec_item(l->spec, text, depth, &l->item, &key, &unique, &e);
    if (rc != ERR_OK) {
        local_rejects_lose(&l->rejects, text, REASON_INVALID_INPUT, e.detail);
        return;
    }
    bool is_new = true;
    if (!known && (l->spec->unique || l->sinks.by_input))
        rc = frontier_first_seen(l->frontier, unique, &is_new);
    if (!is_new) {
        l->stats.n_duplicates++;
        return;
    }
    if (!known && l->spec->items_max != 0 && l->stats.n_inputs >= l->spec->items_max) {
        l->stats.n_beyond++;
        return;
    }
    const uint64_t due_ms = reason ? clock_ms() + backoff_ms(l, attempt) : 0;
    if (rc == ERR_OK)
        rc = frontier_add(l->frontier, key, buf_span(&l->item), attempt, due_ms);
    if (rc != ERR_OK)
        local_rejects_lose(&l->rejects, text, REASON_FRONTIER_FULL,
                           "the limit of the frontier (--frontier-max) is reached");
    else if (!known)
        l->stats.n_inputs++;
    else if (reason)
        l->stats.n_retries++;
}

/* Few inputs wait, and there are more. */
static bool is_hungry(const struct local *l)
{
    return !l->feed_done && !l->stopped &&
           (frontier_count(l->frontier) < l->config->loops * LOCAL_TASKS_PER_LOOP ||
            frontier_bytes(l->frontier) < LOCAL_INPUT_AHEAD_BYTES);
}

static int feed(struct local *l, struct error *e)
{
    while (is_hungry(l)) {
        struct span text;
        const int rc = feed_next(&l->feed, &text, e);
        if (rc != ERR_OK)
            return rc;
        if (text.p && pipeline_place(l->config->pipeline) == PIPELINE_POOL)
            text = local_job_input(text, &l->path);
        if (text.p)
            plan(l, text, 0, 1, false, NULL, NULL);
        else
            l->feed_done = true;
    }
    return ERR_OK;
}

/* ---- tasks ---- */

/* On the loop's or the pool's thread: rows become text there, in parallel, and partial states one. */
static void finish(void *user, struct runner_task *task, struct output *output_take)
{
    struct local *l = user;
    struct local_task *t = task->user;
    if (output_take->error == ERR_OK && batch_ok(output_take->rows) &&
        !local_output_put(&l->rows, output_take->rows))
        output_take->failed = true;
    local_gather_add(&l->gather, output_take);
    t->output = output_take;
}

static void list_add(struct local *l, struct local_task *t)
{
    t->next = l->tasks;
    t->prev = NULL;
    if (t->next)
        t->next->prev = t;
    l->tasks = t;
    l->n_tasks++;
}

static void list_remove(struct local *l, struct local_task *t)
{
    *(t->prev ? &t->prev->next : &l->tasks) = t->next;
    if (t->next)
        t->next->prev = t->prev;
    l->n_tasks--;
}

/* The whole task failed: each of its items is tried again, or rejected. Rows that are written already
 * cannot be taken back: then they are not tried again. */
static void failed(struct local *l, struct local_task *t, enum err code, const char *reason,
                   const char *detail)
{
    const bool again =
        (code == ERR_NOMEM || err_class(code) == ERR_CLASS_RETRY) && t->output->text_rows == 0;
    struct unpack u;
    unpack_init(&u, t->items, t->items_len);
    for (size_t n = unpack_array(&u); n > 0 && unpack_ok(&u); n--) {
        struct unpack item = u;
        uint64_t depth = 0;
        if (unpack_peek(&item) == UNPACK_ARRAY && unpack_array(&item) >= 2) {
            struct unpack after = item;
            unpack_skip(&after);
            depth = unpack_u64(&after);
        }
        const struct span text = unpack_str(&item);
        if (text.p && unpack_ok(&item))
            plan(l, text, (uint32_t)depth, again ? t->plan.attempt + 1 : UINT32_MAX, true, reason,
                 detail);
        unpack_skip(&u);
    }
    l->stats.n_failed += !again;
}

/* Follows upwards at once and downwards slowly: too small a task costs little. */
static void learn_rows(struct local *l, size_t item_bytes)
{
    const size_t least = l->item_rows_bytes - l->item_rows_bytes / 16;
    l->item_rows_bytes = MAX(item_bytes + 1, least);
}

/* As many items as all tasks under way may have, so that their rows stay in the budget. Before the
 * first rows, one. */
static size_t task_items(const struct local *l)
{
    if (l->item_rows_bytes == 0 || l->sinks.by_input)
        return 1;
    const size_t fit = LOCAL_ROWS_BYTES / LOCAL_TASKS_PER_LOOP / l->item_rows_bytes;
    const size_t most = MIN((size_t)l->spec->task_items, (size_t)LOCAL_TASK_ITEMS_MAX);
    return MAX(MIN(fit, most), (size_t)1);
}

static void account(struct local *l, struct local_task *t)
{
    const struct output *o = t->output;
    if (o->failed || !batch_ok(o->rows)) {
        failed(l, t, ERR_NOMEM, REASON_NOMEM, err_text(ERR_NOMEM));
        return;
    }
    if (t->timed_out) {
        failed(l, t, ERR_TIMEOUT, REASON_TIMEOUT, "the task took longer than run_timeout_s");
        return;
    }
    if (o->error != ERR_OK) {
        if (!l->stopped)
            failed(l, t, (enum err)o->error, o->error_reason, o->error_detail);
        return;
    }
    l->stats.n_rows += o->rows->n_rows + o->text_rows;
    learn_rows(l, batch_bytes(o->rows) / t->plan.n_items);
    for (size_t i = 0; i < o->n_stats; i++)
        tally_add(&l->stats.stats, o->stats[i].name, o->stats[i].value);
    for (size_t i = 0; i < o->n_rejects; i++)
        local_rejects_add(&l->rejects, span_str(o->rejects[i].input), o->rejects[i].reason,
                          o->rejects[i].detail);
    for (size_t i = 0; i < o->n_retries; i++)
        plan(l, span_str(o->retries[i].input), o->retries[i].depth,
             t->plan.attempt + (o->retries[i].reason != NULL), true, o->retries[i].reason,
             o->retries[i].detail);
    l->stats.n_found += o->n_found;
    for (size_t i = 0; i < o->n_found && !l->stopped; i++)
        plan(l, span_str(o->found[i].url), o->found[i].depth, 1, false, NULL, NULL);
}

static void task_free(struct local_task *t)
{
    landings_free(t->landings);
    output_free(t->output);
    blobset_done(&t->blobs);
    free(t);
}

static void settled(struct local *l, struct local_task *t)
{
    l->stats.n_tasks_done++;
    account(l, t);
    if (!t->released)
        frontier_release(l->frontier, &t->plan, t->output->key_backoff_ms, clock_ms());
    list_remove(l, t);
    task_free(t);
}

static void landed(struct local *l, struct local_task *t)
{
    l->n_landing--;
    landings_settle(t->landings);
    t->output = TAKE_PTR(t->landings->output);
    landings_free(TAKE_PTR(t->landings));
    settled(l, t);
}

/* Its rows go into the sinks, when there are any and it has not failed; then it is settled. */
static void made(struct local *l, struct local_task *t)
{
    const struct output *o = t->output;
    const bool good = o->error == ERR_OK && !o->failed && batch_ok(o->rows) && !t->timed_out;
    /* What has no rows now may have some when it is tried again, here or by another run of that id. */
    const bool later = l->sinks.by_input && o->rows->n_rows == 0;
    if (!l->sinks.batcher || !good || later) {
        settled(l, t);
        return;
    }
    const uint64_t task = local_sinks_task(&l->sinks, (struct span){t->items, t->items_len});
    t->landings = landings_new(l->config->pipeline, t->task.job, task, &t->output);
    if (!t->landings) {
        t->output->failed = true;
        settled(l, t);
        return;
    }
    frontier_release(l->frontier, &t->plan, t->landings->output->key_backoff_ms, clock_ms());
    t->released = true;
    t->landings->user = t;
    l->n_landing++;
    if (landings_put(t->landings, l->sinks.batcher))
        landed(l, t);
}

static void take_landed(struct local *l)
{
    struct landing *one;
    while (l->sinks.batcher && (one = batcher_take(l->sinks.batcher))) {
        const struct landings *all = landings_back(one, l->sinks.batcher);
        if (all->left == 0)
            landed(l, all->user);
    }
}

static int start(struct local *l, const struct frontier_task *plan_, struct error *e)
{
    struct local_task *t = calloc(1, sizeof(*t) + l->items.len);
    if (!t || !buf_ok(&l->items)) {
        free(t);
        return error_set(e, ERR_NOMEM, "no memory for a task");
    }
    t->plan = *plan_;
    t->started_ms = clock_ms();
    t->items_len = l->items.len;
    memcpy(t->items, l->items.data, l->items.len);
    t->task.pipeline = l->config->pipeline;
    t->task.job = 1;
    t->task.attempt = plan_->attempt;
    t->task.grant = plan_->grant;
    t->task.user = t;
    list_add(l, t);
    t->task.blobs = &t->blobs;
    const struct pipeline_call call = {.items = {t->items, t->items_len}, .blobs = &t->blobs};
    const bool gather = pipeline_is_gather(l->config->pipeline, call.items);
    struct error missing = {0};
    const int rc =
        local_blobs_task(&l->blobs, l->config->pipeline, call.items, &t->blobs, &missing);
    if (rc == ERR_OK && !gather && pipeline_place(l->config->pipeline) != PIPELINE_INLINE)
        return runner_start(l->runner, &t->task, call.items, e);
    struct output *o = pipeline_output(l->config->pipeline);
    if (!o)
        return error_set(e, ERR_NOMEM, "no memory for rows");
    if (rc != ERR_OK)
        pipeline_fail(o, (enum err)rc, err_name((enum err)rc), missing.detail);
    else if (gather)
        pipeline_gather_end(l->gather.gather, o);
    else
        pipeline_run(l->config->pipeline, &call, o);
    finish(l, &t->task, o);
    made(l, t);
    return ERR_OK;
}

static bool has_room(const struct local *l)
{
    return l->n_tasks - l->n_landing < l->tasks_max && l->n_landing < LOCAL_LANDING_MAX &&
           !local_sinks_full(&l->sinks);
}

static int start_all(struct local *l, struct error *e)
{
    struct frontier_task next;
    while (!l->stopped && has_room(l) &&
           frontier_take(l->frontier, clock_ms(), task_items(l), &l->items, &next)) {
        const int rc = start(l, &next, e);
        if (rc != ERR_OK)
            return rc;
    }
    return ERR_OK;
}

/* When nothing is left to do, what the tasks came to is brought together: one more task. */
static int gather(struct local *l, struct error *e)
{
    bool wanted;
    if (l->stopped || l->n_tasks > 0 || !l->feed_done || frontier_count(l->frontier) > 0 ||
        l->stats.n_lost > 0 || /* an answer over a part of the input would be wrong */
        local_rejects_too_many(&l->rejects, l->spec->rejects_max))
        return ERR_OK;
    const int rc = local_gather_item(&l->gather, &l->item, &wanted, e);
    return rc || !wanted ? rc : frontier_add(l->frontier, 0, buf_span(&l->item), 1, 0);
}

static void take_finished(struct local *l)
{
    struct runner_task *task;
    while (l->runner && (task = runner_take(l->runner)))
        made(l, task->user);
    take_landed(l);
}

/* ---- time and signals ---- */

static void check_timeouts(struct local *l, uint64_t now_ms)
{
    if (l->spec->run_timeout_ms == 0 || !l->runner || now_ms < l->next_timeout_check_ms)
        return;
    l->next_timeout_check_ms = now_ms + TIMEOUT_CHECK_MS;
    for (struct local_task *t = l->tasks; t; t = t->next)
        if (!t->timed_out && !t->landings && now_ms >= t->started_ms + l->spec->run_timeout_ms) {
            t->timed_out = true;
            runner_cancel(l->runner, &t->task);
        }
}

static void stop(struct local *l)
{
    l->stopped = true;
    l->stopped_ms = clock_ms();
    for (struct local_task *t = l->tasks; t && l->runner; t = t->next)
        if (!t->output && !t->landings)
            runner_cancel(l->runner, &t->task);
    if (l->sinks.batcher)
        batcher_return(l->sinks.batcher); /* what is being written ends first */
}

static int64_t time_to_wait(const struct local *l)
{
    const uint64_t now = clock_ms();
    if (l->stopped) /* until what is being written has ended, or need not be waited for */
        return l->sinks.batcher ? SINKS_STOP_MS : -1;
    uint64_t next = has_room(l) ? frontier_deadline(l->frontier) : UINT64_MAX;
    if (l->spec->run_timeout_ms && l->runner)
        next = MIN(next, MAX(l->next_timeout_check_ms, now + 1));
    if (next == UINT64_MAX)
        return -1;
    return next > now ? (int64_t)(next - now) : 0;
}

static void wait_for_something(struct local *l, int signal_fd)
{
    struct transport_item items[3] = {{.fd = signal_fd}};
    size_t n = 1;
    if (l->runner)
        items[n++] = (struct transport_item){.fd = runner_fd(l->runner)};
    if (l->sinks.batcher)
        items[n++] = (struct transport_item){.fd = local_sinks_fd(&l->sinks)};
    transport_wait(items, n, is_hungry(l) && has_room(l) ? 0 : time_to_wait(l));
    struct signalfd_siginfo info;
    if (read(signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info) && !l->stopped) {
        LOG_WARN("stopping", log_u64("tasks", l->n_tasks));
        stop(l);
    }
}

/* What is left are calls to sinks that do not end: local_sinks_close gives them another moment. */
static bool only_lands(const struct local *l)
{
    for (const struct local_task *t = l->tasks; t; t = t->next)
        if (!t->landings)
            return false;
    return true;
}

static bool is_over(const struct local *l)
{
    if (l->n_tasks > 0)
        return l->stopped && only_lands(l) && clock_ms() >= l->stopped_ms + SINKS_STOP_MS;
    return l->stopped || (l->feed_done && frontier_count(l->frontier) == 0);
}

static int work(struct local *l, int signal_fd, struct error *e)
{
    for (;;) {
        int rc = feed(l, e);
        if (rc == ERR_OK)
            rc = gather(l, e);
        if (rc == ERR_OK)
            rc = start_all(l, e);
        if (rc != ERR_OK)
            return rc;
        if (local_rejects_too_many(&l->rejects, l->spec->rejects_max))
            return error_set(e, ERR_LIMIT, "%llu rejects, and rejects_max allows %lld",
                             (unsigned long long)local_stats_rejects(&l->stats),
                             (long long)l->spec->rejects_max);
        if (rowfile_failed(&l->rows.file) || rowfile_failed(&l->rejects.file))
            return ERR_OK; /* rowfile_close says what it was */
        if (is_over(l))
            return ERR_OK;
        wait_for_something(l, signal_fd);
        take_finished(l);
        check_timeouts(l, clock_ms());
    }
}

/* ---- life ---- */

static int open_all(struct local *l, struct error *e)
{
    const struct local_config *config = l->config;
    int rc = feed_open(&l->feed, l->spec->input, config->input, LOCAL_LINE_MAX, e);
    if (rc == ERR_OK)
        rc = local_sinks_open(&l->sinks, &config->sinks, config->pipeline, e);
    if (rc == ERR_OK)
        rc = local_output_open(&l->rows, config->output, config->format, config->pipeline,
                               l->sinks.batcher != NULL, e);
    if (rc == ERR_OK)
        rc = local_rejects_open(&l->rejects, config->rejects, &l->stats, e);
    if (rc == ERR_OK)
        rc = local_blobs_open(&l->blobs, config->blobs, config->pipeline, e);
    if (rc == ERR_OK)
        rc = local_gather_open(&l->gather, config->pipeline, &l->blobs.job, e);
    if (rc != ERR_OK)
        return rc;
    l->frontier = frontier_new(config->frontier_max_bytes, l->spec->key_limit);
    if (!l->frontier)
        return error_set(e, ERR_NOMEM, "no memory for the frontier");
    if (pipeline_place(config->pipeline) == PIPELINE_INLINE)
        return ERR_OK;
    const struct pipeline_text *text = local_output_text(&l->rows);
    const struct runner_config runner = {
        .loops = config->loops,
        .scrape = config->scrape,
        /* nobody could take a part, and nothing piles up */
        .inputs = {.whole = config->loops == 1 && (text || l->gather.gather),
                   .download_bytes_max = config->download_bytes_max},
        .text = text,
        .finish = finish,
        .user = l};
    return runner_new(&runner, &l->runner, e);
}

static int close_files(struct local *l, int rc, struct error *e)
{
    struct error later = {0};
    const int rows = local_output_close(&l->rows, &later);
    if (rows != ERR_OK && rc == ERR_OK)
        rc = error_set(e, (enum err)rows, "%s", later.detail);
    const int rejects = local_rejects_close(&l->rejects, &later);
    if (rejects != ERR_OK && rc == ERR_OK)
        rc = error_set(e, (enum err)rejects, "%s", later.detail);
    return rc;
}

/* sinks_ended false: a thread still reads the rows of some task. */
static void free_all(struct local *l, bool sinks_ended)
{
    runner_free(l->runner);
    for (struct local_task *t = sinks_ended ? l->tasks : NULL, *next; t; t = next) {
        next = t->next;
        task_free(t);
    }
    local_gather_done(&l->gather);
    local_blobs_close(&l->blobs);
    frontier_free(l->frontier);
    feed_close(&l->feed);
    buf_done(&l->items);
    buf_done(&l->item);
    buf_done(&l->path);
    local_stats_done(&l->stats);
}

int local_run(const struct local_config *config, enum local_end *ret_end, json_t **ret_stats,
              bool *ret_busy, struct error *e)
{
    struct local l = {.config = config,
                      .spec = config->pipeline->spec,
                      .tasks_max = config->loops * LOCAL_TASKS_PER_LOOP};
    if (getrandom(&l.random, sizeof(l.random), GRND_NONBLOCK) < 0)
        l.random = clock_us();
    l.rows.file.fd = l.rejects.file.fd = -1;
    local_gather_init(&l.gather);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    const int signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signal_fd < 0)
        return error_set(e, ERR_UNAVAILABLE, "signalfd: %s", strerror(errno));
    const uint64_t started_us = clock_us();
    int rc = open_all(&l, e);
    if (rc == ERR_OK)
        rc = work(&l, signal_fd, e);
    if (l.runner)
        runner_stop(l.runner); /* nobody appends rows after this */
    rc = close_files(&l, rc, e);
    if (rc == ERR_OK && !l.stopped)
        rc = local_sinks_end(&l.sinks, l.stats.n_failed > 0, e);
    const bool sinks_ended = local_sinks_close(&l.sinks);
    close(signal_fd);
    static const char *const names[] = {"done", "stopped", "failed"};
    const enum local_end end = l.stopped                             ? LOCAL_STOPPED
                               : wants_all(&l) && l.stats.n_lost > 0 ? LOCAL_FAILED
                                                                     : LOCAL_DONE;
    if (rc == ERR_OK)
        rc = local_stats_json(&l.stats, names[end], (double)(clock_us() - started_us) / 1e6,
                              ret_stats, e);
    if (rc == ERR_OK && end == LOCAL_FAILED)
        error_set(e, ERR_JOB_FAILED,
                  "the rows are not the answer; inputs that came to nothing: %llu, the first: %s",
                  (unsigned long long)l.stats.n_lost, l.rejects.lost.detail);
    *ret_end = end;
    *ret_busy = !sinks_ended;
    free_all(&l, sinks_ended);
    return rc;
}
