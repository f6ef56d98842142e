#include "job_run.h"

#include <stdio.h>

#include "common/reason.h"
#include "cache.h"
#include "landings.h"
#include "output.h"
#include "parts.h"
#include "result.h"

struct job_run *job_run_new(const struct wire_task *t, struct wire_token token)
{
    struct job_run *run = calloc(1, sizeof(*run));
    if (run)
        run->input = malloc(MAX(t->input.len, (size_t)1));
    if (!run || !run->input) {
        free(run);
        return NULL;
    }
    buf_init(&run->packed, 0);
    run->task = (struct runner_task){
        .job = t->job, .attempt = t->attempt, .grant = t->grant, .whole = t->whole, .user = run};
    run->token = token;
    run->input_len = t->input.len;
    memcpy(run->input, t->input.p, t->input.len);
    return run;
}

void job_run_made(struct job_run *run)
{
    run->task.blobs = NULL;
    cache_need_free(TAKE_PTR(run->need));
    parts_free(run->parts_of, TAKE_PTR(run->parts));
    free(TAKE_PTR(run->input));
}

void job_run_free(struct job_run *run)
{
    if (!run)
        return;
    job_run_made(run);
    landings_free(run->landings);
    pipeline_unref(run->task.pipeline);
    buf_done(&run->packed);
    free(run);
}

/* ---- counters for heartbeats ---- */

/* Those statistics of tasks that are worth a metric of the worker: what its name begins with. */
static bool is_counter(const char *name)
{
    static const char *const prefixes[] = {"pages",    "bytes",   "body_bytes", "status_",
                                           "requests", "robots_", "rows."};
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

void job_run_count(struct wire_stat *all, size_t *n, struct span name, int64_t value)
{
    for (size_t i = 0; i < *n; i++)
        if (span_eq(all[i].name, name)) {
            all[i].value += value;
            return;
        }
    if (*n < JOB_RUN_COUNTERS_MAX)
        all[(*n)++] = (struct wire_stat){name, value};
}

/* ---- packing ---- */

static void pack(struct job_run *run, const struct output *o)
{
    run->rc = result_pack(&run->token, o, landings_store_too(run->task.pipeline), &run->packed,
                          &run->outcome);
    run->rows = run->outcome == WIRE_DONE ? o->rows->n_rows : 0;
    for (size_t i = 0; i < o->n_stats; i++)
        if (is_counter(o->stats[i].name))
            job_run_count(run->counters, &run->n_counters, span_str(o->stats[i].name),
                          o->stats[i].value);
}

static bool is_good(const struct output *o)
{
    return o->error == ERR_OK && !o->failed && batch_ok(o->rows);
}

/* Of a whole task nothing may be left out: one input that cannot be had now gives all of it back. */
static void check_whole(struct output *o)
{
    static const char why[] = "the rows of this task may have landed, so that it is done with all "
                              "of its inputs or not at all";
    const char *input = NULL, *reason = NULL, *detail = NULL;
    char text[sizeof(o->error_detail)];
    if (o->left_bytes == 0)
        return;
    for (size_t i = 0; i < o->n_retries && !reason; i++) {
        input = o->retries[i].input;
        reason = o->retries[i].reason;
        detail = o->retries[i].detail;
    }
    if (!reason && o->n_input_rejects > 0) {
        input = o->rejects[0].input;
        reason = o->rejects[0].reason;
        detail = o->rejects[0].detail;
    }
    if (!reason) {
        pipeline_fail(o, ERR_STALE, REASON_STOPPED, "some of its inputs were not tried");
        return;
    }
    snprintf(text, sizeof(text), "%.150s%s%.150s; %s", input, detail ? ": " : "",
             detail ? detail : "", why);
    pipeline_fail(o, ERR_UNAVAILABLE, reason, text);
}

/* The question. False: it cannot be asked, and what is packed is the result. */
static bool pack_question(struct job_run *run, struct output *o)
{
    run->rc = result_pack_land(&run->token, o, &run->packed, &run->outcome);
    if (run->rc != ERR_OK || run->outcome != WIRE_LAND)
        return false;
    output_told(o);
    run->asks = true;
    run->asking_bytes = batch_bytes(o->rows);
    return true;
}

void job_run_finish(struct job_run *run, struct output *output_take)
{
    const struct pipeline *p = run->task.pipeline;
    if (is_good(output_take) && run->task.whole)
        check_whole(output_take);
    /* What is brought together is the same whoever does it. */
    const bool asks = pipeline_parts(p) && !run->task.gather && !run->task.whole;
    /* Without rows there is nothing that could be doubled: all it came to goes with its result. */
    if (!is_good(output_take) || output_take->partial.len > 0 || !landings_needed(p) ||
        (asks && output_take->rows->n_rows == 0)) {
        pack(run, output_take);
        output_free(output_take);
        return;
    }
    run->landings = landings_new(p, run->task.job, run->token.task, &output_take);
    if (!run->landings) {
        output_take->failed = true;
        pack(run, output_take);
        output_free(output_take);
        return;
    }
    run->landings->user = run;
    if (asks && !pack_question(run, run->landings->output))
        landings_free(TAKE_PTR(run->landings));
}

void job_run_landed(struct job_run *run)
{
    landings_settle(run->landings);
    pack(run, run->landings->output);
    landings_free(TAKE_PTR(run->landings));
}
