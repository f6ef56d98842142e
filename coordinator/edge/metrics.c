#include "metrics.h"

#include <inttypes.h>

#include "common/wire.h"
#include "coordinator/edge/blobs.h"
#include "coordinator/edge/downstreams.h"
#include "coordinator/edge/inputs.h"
#include "coordinator/edge/predict.h"
#include "coordinator/edge/jobs.h"
#include "coordinator/edge/sessions.h"
#include "coordinator/edge/waiters.h"

/* The only queue so far; the label is there so that names do not change when there are more. */
#define QUEUE "queue=\"default\""

static const char *const outcome_names[EDGE_OUTCOMES] = {"done", "retried", "dead", "cancelled",
                                                         "returned"};

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP drover_%s %s\n# TYPE drover_%s %s\n", name, help, name, type);
}

static void single(struct buf *out, const char *name, const char *type, const char *help, double v)
{
    head(out, name, type, help);
    buf_printf(out, "drover_%s %.15g\n", name, v);
}

static void counter(struct buf *out, const char *name, const char *help, uint64_t v)
{
    head(out, name, "counter", help);
    buf_printf(out, "drover_%s %" PRIu64 "\n", name, v);
}

static void gauge(struct buf *out, const char *name, const char *help, double v)
{
    single(out, name, "gauge", help, v);
}

static void render_jobs(const struct edge *e, struct buf *out)
{
    static const char *const outcomes[EDGE_JOB_OUTCOMES] = {"done", "failed", "cancelled"};
    head(out, "jobs_submitted_total", "counter", "Jobs accepted.");
    for (size_t i = 0; i < EDGE_KINDS; i++)
        buf_printf(out, "drover_jobs_submitted_total{" QUEUE ",kind=\"%s\"} %" PRIu64 "\n",
                   edge_kind_name(i), e->counts.jobs_submitted[i]);
    head(out, "jobs_finished_total", "counter", "Jobs that ended, by how.");
    for (size_t i = 0; i < EDGE_JOB_OUTCOMES; i++)
        buf_printf(out, "drover_jobs_finished_total{" QUEUE ",outcome=\"%s\"} %" PRIu64 "\n",
                   outcomes[i], e->counts.jobs_finished[i]);
    gauge(out, "jobs_open", "Jobs that have not ended.", (double)jobs_count(e->jobs));
}

static void render_tasks(const struct edge *e, const struct sched_stats *s, struct buf *out)
{
    static const char *const states[SCHED_TASK_STATES] = {"ready", "delayed", "leased",
                                                          "committing"};
    head(out, "task_attempts_total", "counter",
         "Attempts at tasks that ended, durably, by outcome.");
    for (size_t k = 0; k < EDGE_KINDS; k++)
        for (size_t o = 0; o < EDGE_RETURNED; o++)
            buf_printf(out,
                       "drover_task_attempts_total{" QUEUE ",kind=\"%s\",outcome=\"%s\"} %" PRIu64
                       "\n",
                       edge_kind_name(k), outcome_names[o], e->counts.attempts[k][o]);
    counter(out, "task_returns_total", "Leases that workers gave back unused.", e->counts.returned);
    head(out, "tasks", "gauge", "Tasks that have not ended, by state.");
    for (size_t i = 0; i < SCHED_TASK_STATES; i++)
        buf_printf(out, "drover_tasks{" QUEUE ",state=\"%s\"} %" PRIu64 "\n", states[i],
                   s->tasks[i]);
    head(out, "queue_oldest_ready_age_seconds", "gauge",
         "How long the oldest ready task has waited.");
    buf_printf(out, "drover_queue_oldest_ready_age_seconds{" QUEUE "} %.3f\n",
               (double)s->oldest_ready_age_ms / 1000.0);
    counter(out, "steals_total", "Tasks that an idle worker took from another's shard.", s->steals);
    counter(out, "results_discarded_total", "Results of leases that were no longer valid.",
            e->counts.discarded);
    counter(out, "rejects_total", "Inputs that came to no row.", e->counts.rejects);
    counter(out, "items_total", "Inputs accepted from clients.", e->counts.items);
}

/* Sinks are few and have names that need no escapes; hosts are never a label. */
static void render_sinks(const struct edge *e, struct buf *out)
{
    head(out, "sink_rows_total", "counter", "Rows written, by sink.");
    buf_printf(out, "drover_sink_rows_total{sink=\"store\"} %" PRIu64 "\n", e->counts.rows_stored);
    for (size_t i = 0; i < e->sinks->n; i++)
        buf_printf(out, "drover_sink_rows_total{sink=\"%s\"} %" PRIu64 "\n",
                   e->sinks->entries[i].downstream, e->counts.rows_of_sinks[i]);
    head(out, "sink_backlog_bytes", "gauge", "Rows on workers that wait for a sink.");
    for (size_t i = 0; i < e->sinks->n; i++) {
        uint64_t sum = 0;
        size_t at = 0;
        for (struct worker *w; (w = sessions_worker_next(e->sessions, &at));)
            sum += w->session ? w->landing_bytes[i] : 0;
        buf_printf(out, "drover_sink_backlog_bytes{sink=\"%s\"} %" PRIu64 "\n",
                   e->sinks->entries[i].downstream, sum);
    }
}

static void render_blobs(const struct edge *e, struct buf *out)
{
    struct blobs_stats s;
    blobs_stats(e->blobs, &s);
    gauge(out, "blobs", "Blobs, and parts that are on their way in.", (double)s.n);
    gauge(out, "blob_bytes", "Bytes of blobs on disk, and of parts as they will be.",
          (double)s.bytes);
    counter(out, "blob_received_bytes_total", "Bytes of blobs that clients sent.",
            s.received_bytes);
    counter(out, "blob_sent_bytes_total", "Bytes of blobs that workers were sent.", s.sent_bytes);
    counter(out, "blobs_removed_total", "Blobs that nobody needed any more.", s.removed);
}

static void render_breakers(const struct edge *e, struct buf *out)
{
    enum { STATES = 3 };
    static const char *const states[STATES] = {"closed", "open", "half_open"};
    uint64_t counts[DOWNSTREAMS_KINDS][STATES] = {{0}};
    uint64_t held = 0, quarantined = 0, opened = 0;
    struct downstreams_entry b;
    for (struct downstreams_walk walk = {0}; downstreams_next(e->downstreams, &walk, &b);) {
        counts[downstreams_kind(e->downstreams, b.view.downstream, b.view.host)][b.view.state]++;
        held += b.view.held;
        quarantined += b.view.quarantined;
        opened += b.view.host ? 0 : b.view.opened;
    }
    head(out, "breaker_state", "gauge",
         "Breakers, by kind and state; hosts that nothing is the matter with are not counted.");
    for (size_t k = 0; k < DOWNSTREAMS_KINDS; k++)
        for (size_t i = 0; i < STATES; i++)
            buf_printf(out,
                       "drover_breaker_state{downstream_kind=\"%s\",state=\"%s\"} %" PRIu64 "\n",
                       downstreams_kind_name(k), states[i], counts[k][i]);
    counter(out, "sink_breaker_opened_total", "Times that breakers of sinks opened.", opened);
    gauge(out, "tasks_held", "Ready tasks that wait for a breaker; they are among the ready ones.",
          (double)held);
    gauge(out, "quarantines", "Workers that are kept from a downstream which others reach.",
          (double)quarantined);
}

static void render_times(struct buf *out, const char *name, const char *help,
                         const struct histogram of_kinds[EDGE_KINDS])
{
    char full[64], labels[64];
    snprintf(full, sizeof(full), "drover_%s", name);
    head(out, name, "histogram", help);
    for (size_t k = 0; k < EDGE_KINDS; k++) {
        snprintf(labels, sizeof(labels), QUEUE ",kind=\"%s\"", edge_kind_name(k));
        histogram_render(&of_kinds[k], out, full, labels);
    }
}

static void render_scrape(const struct edge *e, struct buf *out)
{
    head(out, "scrape_responses_total", "counter", "Answers of scraped servers, by status.");
    for (size_t i = 0; i < EDGE_STATUS_CLASSES; i++)
        buf_printf(out, "drover_scrape_responses_total{status_class=\"%zuxx\"} %" PRIu64 "\n",
                   i + 2, e->counts.scrape_responses[i]);
    counter(out, "scrape_bytes_total", "Bytes that scraped servers sent.", e->counts.scrape_bytes);
}

static void render_workers(const struct edge *e, struct buf *out)
{
    uint64_t ready = 0, draining = 0, lost = 0, left = 0, busy = 0, slots = 0;
    size_t at = 0;
    for (struct worker *w; (w = sessions_worker_next(e->sessions, &at));) {
        if (!w->session) {
            lost += !w->left;
            left += w->left;
            continue;
        }
        draining += w->draining;
        ready += !w->draining;
        busy += w->busy;
        slots += w->slots;
    }
    head(out, "workers", "gauge", "Workers, by state.");
    buf_printf(out, "drover_workers{state=\"ready\"} %" PRIu64 "\n", ready);
    buf_printf(out, "drover_workers{state=\"draining\"} %" PRIu64 "\n", draining);
    buf_printf(out, "drover_workers{state=\"lost\"} %" PRIu64 "\n", lost);
    buf_printf(out, "drover_workers{state=\"left\"} %" PRIu64 "\n", left);
    head(out, "worker_slots", "gauge", "Slots of connected workers, by state.");
    buf_printf(out, "drover_worker_slots{state=\"busy\"} %" PRIu64 "\n", busy);
    buf_printf(out, "drover_worker_slots{state=\"free\"} %" PRIu64 "\n",
               slots > busy ? slots - busy : 0);
}

struct worker_series {
    const char *name, *type, *help;
    double (*value)(const struct worker *w);
};

static double worker_rows(const struct worker *w)
{
    return (double)w->rows_stored;
}
static double worker_cpu(const struct worker *w)
{
    return w->cpu_s;
}
static double worker_rss(const struct worker *w)
{
    return (double)w->rss_bytes;
}
static double worker_busy(const struct worker *w)
{
    return w->busy;
}
static double worker_queued(const struct worker *w)
{
    return w->queued;
}
static double worker_buffered(const struct worker *w)
{
    return (double)w->buffered_bytes;
}

/* Ids of workers are [A-Za-z0-9._-], so that labels need no escapes; their number is bounded by the
 * workers that are connected. */
static void render_each_worker(const struct edge *e, struct buf *out)
{
    static const struct worker_series series[] = {
        {"worker_rows_total", "counter", "Rows of this worker that were written.", worker_rows},
        {"worker_cpu_seconds_total", "counter", "CPU time of the worker's process.", worker_cpu},
        {"worker_memory_bytes", "gauge", "Resident memory of the worker's process.", worker_rss},
        {"worker_busy_slots", "gauge", "Slots at work.", worker_busy},
        {"worker_queued_tasks", "gauge", "Tasks that wait inside the worker.", worker_queued},
        {"worker_buffered_bytes", "gauge", "Results not acknowledged yet.", worker_buffered},
    };
    struct worker *w;
    size_t at = 0;
    head(out, "worker_tasks_total", "counter", "Attempts of this worker that ended, by outcome.");
    while ((w = sessions_worker_next(e->sessions, &at)))
        for (size_t o = 0; w->session && o < EDGE_OUTCOMES; o++)
            buf_printf(out, "drover_worker_tasks_total{worker=\"%s\",outcome=\"%s\"} %" PRIu64 "\n",
                       w->id, outcome_names[o], w->attempts[o]);
    for (size_t i = 0; i < ARRAY_LEN(series); i++) {
        head(out, series[i].name, series[i].type, series[i].help);
        at = 0;
        while ((w = sessions_worker_next(e->sessions, &at)))
            if (w->session)
                buf_printf(out, "drover_%s{worker=\"%s\"} %.15g\n", series[i].name, w->id,
                           series[i].value(w));
    }
}

static void render_store(const struct edge *e, struct buf *out)
{
    struct store_thread_stats s;
    store_thread_stats(e->store, &s);
    head(out, "store_commit_seconds", "histogram", "Time of one group commit.");
    uint64_t sum = 0;
    double le = 0.0001;
    /* The last bucket has no upper end: it is in +Inf alone. */
    for (size_t i = 0; i + 1 < ARRAY_LEN(s.commit_buckets); i++, le *= 2) {
        sum += s.commit_buckets[i];
        buf_printf(out, "drover_store_commit_seconds_bucket{le=\"%.4f\"} %" PRIu64 "\n", le, sum);
    }
    sum += s.commit_buckets[ARRAY_LEN(s.commit_buckets) - 1];
    buf_printf(out, "drover_store_commit_seconds_bucket{le=\"+Inf\"} %" PRIu64 "\n", sum);
    buf_printf(out, "drover_store_commit_seconds_sum %.6f\n", s.commit_seconds);
    buf_printf(out, "drover_store_commit_seconds_count %" PRIu64 "\n", sum);
    counter(out, "store_operations_total", "Writes that were committed.", s.ops);
    gauge(out, "store_queue_bytes", "Requests that wait for the store.", (double)s.queued_bytes);
    gauge(out, "store_bytes", "Size of the store's files.", (double)e->sizes.bytes);
    gauge(out, "store_disk_free_bytes", "Room on the store's file system.",
          (double)e->sizes.disk_free_bytes);
    gauge(out, "store_full", "1 while writes fail for lack of disk.",
          e->store_full || e->sizes.refusing);
}

static void render_self(const struct edge *e, const struct sched_stats *s, struct buf *out)
{
    head(out, "build_info", "gauge", "Version of the program and of its protocol.");
    buf_printf(out, "drover_build_info{version=\"" DROVER_VERSION "\",protocol=\"%d\"} 1\n",
               WIRE_VERSION);
    gauge(out, "uptime_seconds", "Since the start.", (double)(e->now_ms - e->started_ms) / 1000.0);
    gauge(out, "recovering", "1 while workers are asked what they hold, after a start.",
          s->recovering);
    gauge(out, "scheduler_memory_bytes", "Records of tasks, jobs and keys.",
          (double)s->memory_bytes);
    gauge(out, "inputs_memory_bytes", "Inputs of waiting tasks kept in memory.",
          (double)inputs_bytes(e->inputs));
    gauge(out, "requests_waiting", "Clients that wait for news.",
          (double)waiters_count(e->waiters));
    counter(out, "requests_total", "Requests of clients.", e->counts.requests);
    counter(out, "requests_failed_total", "Requests answered with an error.",
            e->counts.requests_failed);
    counter(out, "requests_refused_total", "Requests refused because queue or disk were full.",
            e->counts.refused_full);
    counter(out, "resyncs_total", "Sessions begun anew after lost messages.", e->counts.resyncs);
    counter(out, "sessions_replaced_total", "Sessions ended by a newer one of the same worker.",
            e->counts.replaced);
    counter(out, "frames_bad_total", "Messages that could not be read.", e->counts.frames_bad);
}

/* Names of models are [A-Za-z0-9._-], and their number is bounded by STORE_MODELS_MAX. */
static void render_models(const struct edge *e, struct buf *out)
{
    static const struct {
        const char *name, *help;
        void (*render)(const struct predict_stats *, struct buf *, const char *, const char *);
    } histograms[] = {
        {"predict_seconds", "From a request's arrival to its answer, of those that went well.",
         predict_stats_times},
        {"predict_batch_rows", "Rows of the batches that workers were given.", predict_stats_sizes},
    };
    const struct model_table *t = predict_models(e->predict);
    char labels[160], full[64];
    struct model *m;
    head(out, "predict_requests_total", "counter", "Requests for predictions, by outcome.");
    for (size_t i = 0; (m = model_table_at(t, i)); i++)
        for (size_t o = 0; o < PREDICT_OUTCOMES; o++)
            buf_printf(out,
                       "drover_predict_requests_total{model=\"%s\",version=\"%" PRIu64
                       "\",outcome=\"%s\"} %" PRIu64 "\n",
                       m->name, m->version, predict_outcome_name((enum predict_outcome)o),
                       m->stats.requests[o]);
    counter(out, "predict_unknown_total", "Requests for models that are not there.",
            predict_unknown(e->predict));
    head(out, "predict_rows_total", "counter", "Rows that were predicted.");
    for (size_t i = 0; (m = model_table_at(t, i)); i++)
        buf_printf(out,
                   "drover_predict_rows_total{model=\"%s\",version=\"%" PRIu64 "\"} %" PRIu64 "\n",
                   m->name, m->version, m->stats.rows);
    head(out, "predict_breaker_open", "gauge", "1 while a model fails and is not asked.");
    for (size_t i = 0; (m = model_table_at(t, i)); i++) {
        struct predict_view view;
        predict_look(e->predict, m, &view);
        buf_printf(out, "drover_predict_breaker_open{model=\"%s\",version=\"%" PRIu64 "\"} %d\n",
                   m->name, m->version, view.state != PREDICT_CLOSED);
    }
    for (size_t h = 0; h < ARRAY_LEN(histograms); h++) {
        snprintf(full, sizeof(full), "drover_%s", histograms[h].name);
        head(out, histograms[h].name, "histogram", histograms[h].help);
        for (size_t i = 0; (m = model_table_at(t, i)); i++) {
            snprintf(labels, sizeof(labels), "model=\"%s\",version=\"%" PRIu64 "\"", m->name,
                     m->version);
            histograms[h].render(&m->stats, out, full, labels);
        }
    }
}

void metrics_render(const struct edge *e, struct buf *out)
{
    struct sched_stats stats;
    sched_stats(e->sched, e->now_ms, &stats);
    render_self(e, &stats, out);
    render_jobs(e, out);
    render_tasks(e, &stats, out);
    render_sinks(e, out);
    render_breakers(e, out);
    render_blobs(e, out);
    render_times(out, "task_wait_seconds", "From ready to run until given to a worker.",
                 e->counts.waits);
    render_times(out, "task_run_seconds",
                 "From given to a worker until the result was accepted or the time was over.",
                 e->counts.runs);
    render_scrape(e, out);
    render_workers(e, out);
    render_each_worker(e, out);
    render_models(e, out);
    render_store(e, out);
}
