/* verbs_job.c: the job map, as every verb about a job answers it (docs/PROTOCOL.md). */
#include "verbs.h"

#include <stdio.h>

#include "common/clock.h"
#include "common/wire.h"
#include "coordinator/edge/downstreams.h"
#include "coordinator/edge/jobs.h"
#include "coordinator/edge/verbs_pack.h"

static const char REJECT_PREFIX[] = "reject.";

void verbs_time(struct buf *out, const char *key, int64_t unix_ms)
{
    char text[CLOCK_TEXT_LEN];
    pack_cstr(out, key);
    if (unix_ms == 0)
        return pack_nil(out);
    clock_rfc3339(unix_ms, text);
    pack_cstr(out, text);
}

static bool is_reject(const struct store_stat *s)
{
    size_t n = sizeof(REJECT_PREFIX) - 1;
    return s->name.len > n && memcmp(s->name.p, REJECT_PREFIX, n) == 0;
}

static void pack_stats(struct buf *out, const struct store_stat *stats, size_t n, bool rejects)
{
    size_t n_out = 0, skip = rejects ? sizeof(REJECT_PREFIX) - 1 : 0;
    for (size_t i = 0; i < n; i++)
        n_out += is_reject(&stats[i]) == rejects;
    pack_cstr(out, rejects ? "rejects_by_reason" : "stats");
    pack_map(out, n_out);
    for (size_t i = 0; i < n; i++) {
        if (is_reject(&stats[i]) != rejects)
            continue;
        pack_str(out, (struct span){stats[i].name.p + skip, stats[i].name.len - skip});
        pack_i64(out, stats[i].value);
    }
}

/* ---- what only the description says ---- */

/* "postgres:main table pages", "store" */
static void write_sink(struct buf *out, const struct spec_sink *s)
{
    char name[DOWNSTREAM_NAME_MAX];
    if (s->kind == SPEC_SINK_STORE)
        return buf_str(out, "store");
    buf_str(out, spec_sink_downstream(s, name));
    if (s->table)
        buf_printf(out, " table %s", s->table);
    else if (s->prefix)
        buf_printf(out, s->kind == SPEC_SINK_FILE ? " directory %s" : " prefix %s", s->prefix);
}

static void pack_sink(struct buf *out, const struct spec_sink *s)
{
    pack_map(out, 7);
    verbs_text(out, "kind", spec_sink_kind_name(s->kind));
    verbs_text(out, "name", s->name);
    verbs_text(out, "mode", spec_sink_mode_name(s->mode));
    verbs_text(out, "table", s->table);
    verbs_text(out, "prefix", s->kind == SPEC_SINK_REDIS ? s->prefix : NULL);
    verbs_text(out, "directory", s->kind == SPEC_SINK_FILE ? s->prefix : NULL);
    pack_cstr(out, "key");
    pack_array(out, s->n_keys);
    for (size_t i = 0; i < s->n_keys; i++)
        pack_cstr(out, s->keys[i]);
}

/* The kinds of the stages, and the sinks, as a text for people and as maps. */
static void pack_spec(struct call *c, struct buf *out, const struct store_job *stored)
{
    struct job *job = jobs_get(c->edge->jobs, (struct job_id){stored->id});
    struct spec *parsed = NULL;
    struct error error = {0};
    struct buf text;
    if (!job && jobs_parse(c->edge->jobs, stored->spec, &parsed, &error))
        parsed = NULL;
    const struct spec *spec = job ? job->spec : parsed;
    size_t n_sinks = spec ? spec->n_sinks : 0;
    pack_cstr(out, "kinds");
    pack_array(out, spec ? spec->n_stages : 0);
    for (size_t i = 0; spec && i < spec->n_stages; i++)
        pack_cstr(out, spec->stages[i].engine->name);
    buf_init(&text, 0);
    for (size_t i = 0; i < n_sinks; i++) {
        if (i > 0)
            buf_str(&text, ", ");
        write_sink(&text, &spec->sinks[i]);
    }
    verbs_span(out, "sink", buf_span(&text));
    buf_done(&text);
    buf_init(&text, 0);
    if (spec && spec->rejects_max >= 0 && stored->rejects > (uint64_t)spec->rejects_max)
        buf_printf(&text, "%llu rejects, and rejects_max allows %lld",
                   (unsigned long long)stored->rejects, (long long)spec->rejects_max);
    verbs_span(out, "error", buf_span(&text));
    buf_done(&text);
    pack_cstr(out, "sinks");
    pack_array(out, n_sinks);
    for (size_t i = 0; i < n_sinks; i++)
        pack_sink(out, &spec->sinks[i]);
    spec_free(parsed);
}

static void pack_uid(struct buf *out, struct span uid)
{
    char hex[2 * WIRE_UID_LEN + 1] = "";
    for (size_t i = 0; i < uid.len && i < WIRE_UID_LEN; i++)
        snprintf(hex + 2 * i, 3, "%02x", (unsigned char)uid.p[i]);
    verbs_text(out, "uid", hex);
}

void verbs_pack_job(struct call *c, struct buf *out, size_t i)
{
    static const char *const states[] = {
        [STORE_JOB_OPEN] = "open",
        [STORE_JOB_DONE] = "done",
        [STORE_JOB_FAILED] = "failed",
        [STORE_JOB_CANCELLED] = "cancelled",
    };
    const struct store_job *j = &c->jobs[i];
    const struct job *open = jobs_get(c->edge->jobs, (struct job_id){j->id});
    struct sched_job_view view = {0};
    (void)!sched_job_view(c->edge->sched, (struct job_id){j->id}, &view);
    const struct downstream *breaker = downstreams_get(c->edge->downstreams, view.breaker);
    pack_map(out, 32);
    verbs_number(out, "job", j->id);
    pack_uid(out, j->uid);
    verbs_span(out, "name", j->name);
    verbs_span(out, "client", j->client);
    verbs_span(out, "state", span_str(states[j->state]));
    verbs_flag(out, "sealed", j->sealed);
    verbs_flag(out, "cancelling", j->cancelling);
    verbs_flag(out, "paused", j->paused);
    verbs_flag(out, "results_expired", j->results_expired);
    verbs_number(out, "priority", j->priority);
    verbs_time(out, "created", j->created_ms);
    verbs_time(out, "ended", j->ended_ms);
    verbs_time(out, "expires", j->expires_ms);
    verbs_number(out, "version", open ? open->version : 0);
    verbs_number(out, "items", j->items);
    verbs_number(out, "duplicates", j->duplicates);
    verbs_number(out, "tasks", j->tasks);
    verbs_number(out, "done", j->tasks_done);
    verbs_number(out, "pending", j->tasks_pending);
    verbs_number(out, "running", view.tasks[SCHED_LEASED] + view.tasks[SCHED_COMMITTING]);
    verbs_number(out, "delayed", view.tasks[SCHED_DELAYED]);
    verbs_number(out, "held", view.waits[SCHED_WAIT_BREAKER]);
    verbs_text(out, "breaker", breaker ? breaker->name : NULL);
    verbs_number(out, "dead", j->dead);
    verbs_number(out, "rows", j->rows);
    verbs_number(out, "rejects", j->rejects);
    pack_stats(out, c->stats[i], c->n_stats[i], false);
    pack_stats(out, c->stats[i], c->n_stats[i], true);
    pack_spec(c, out, j);
}
