#include "edge.h"

#include "common/clock.h"
#include "common/wire.h"
#include "coordinator/edge/completions.h"
#include "coordinator/edge/downstreams.h"
#include "coordinator/edge/inputs.h"
#include "coordinator/edge/jobs.h"
#include "coordinator/edge/outbox.h"
#include "coordinator/edge/predict.h"
#include "coordinator/edge/sessions.h"

enum { REFUSE_AFTER_FULL_MS = 1000 };

void edge_clock(struct edge *e)
{
    e->now_ms = clock_ms();
    e->wall_ms = clock_wall_ms();
}

/* ---- actions ---- */

static void act_welcome(struct edge *e, const struct sched_action *a)
{
    struct session *s = sessions_get(e->sessions, a->session.v);
    if (!s)
        return;
    sessions_message(e->sessions, s, WIRE_WELCOME);
    wire_welcome_pack(&e->out, &(struct wire_welcome){.version = WIRE_VERSION,
                                                      .lease_ms = e->options.lease_ms,
                                                      .heartbeat_ms = e->options.heartbeat_ms,
                                                      .draining = s->worker->draining});
    sessions_send(e->sessions, s);
    predict_session_new(e->predict, s);
}

/* Tasks of a job that has just ended count as the last kind. */
static size_t job_kind_index(const struct edge *e, struct job_id id)
{
    const struct job *job = jobs_get(e->jobs, id);
    return job ? edge_kind_index(job->spec->kinds) : EDGE_KINDS - 1;
}

static void act_assign(struct edge *e, const struct sched_action *a)
{
    histogram_add(&e->counts.waits[job_kind_index(e, a->job)], a->u.assign.waited_ms);
    struct session *s = sessions_get(e->sessions, a->session.v);
    if (!s)
        return;
    outbox_assign(e, s,
                  &(struct assign){.task = a->task,
                                   .job = a->job,
                                   .counter = a->token.counter,
                                   .attempt = a->u.assign.attempt,
                                   .grant = a->u.assign.grant,
                                   .run_timeout_ms = a->u.assign.run_timeout_ms});
}

static void act_revoke(struct edge *e, const struct sched_action *a)
{
    struct session *s = sessions_get(e->sessions, a->session.v);
    if (!s)
        return;
    outbox_revoke(
        e, s, &(struct verdict){.task = a->task, .token = a->token, .reason = a->u.revoke.reason});
}

static void act_complete(struct edge *e, const struct sched_action *a)
{
    if (a->u.complete.ran_ms != SCHED_MS_UNKNOWN) {
        histogram_add(&e->counts.runs[job_kind_index(e, a->job)], a->u.complete.ran_ms);
        histogram_recent_add(&e->recent_runs, a->u.complete.ran_ms);
    }
    completions_add(e->completions, a);
}

static void verdict(struct edge *e, const struct sched_action *a, enum wire_ack code)
{
    struct session *s = sessions_get(e->sessions, a->session.v);
    if (!s)
        return;
    outbox_ack(e, s, &(struct verdict){.task = a->task, .token = a->token, .code = code});
}

static void act_discard(struct edge *e, const struct sched_action *a)
{
    completions_discard(e->completions, a->u.discard.payload);
    verdict(e, a, WIRE_ACK_DISCARDED);
}

static void act_ack(struct edge *e, const struct sched_action *a)
{
    verdict(e, a, WIRE_ACK_STORED);
}

static void act_land(struct edge *e, const struct sched_action *a)
{
    verdict(e, a, WIRE_ACK_LAND);
}

static void act_session_end(struct edge *e, const struct sched_action *a)
{
    struct session *s = sessions_get(e->sessions, a->session.v);
    if (!s)
        return;
    bool replaced = s->worker->session && s->worker->session != s;
    if (replaced)
        e->counts.replaced++;
    sessions_end(e->sessions, s, s->bye ? NULL : replaced ? "replaced" : "silent");
}

static void act_job_end(struct edge *e, const struct sched_action *a)
{
    jobs_end(e->jobs, a->job, a->u.end.how);
}

static void act_breaker(struct edge *e, const struct sched_action *a)
{
    struct session *s = sessions_get(e->sessions, a->session.v);
    if (!s)
        return;
    outbox_breaker(e, s,
                   &(struct told){.downstream = a->u.breaker.downstream,
                                  .state = (enum wire_breaker_state)a->u.breaker.tell});
}

static void act_trace(struct edge *e, const struct sched_action *a)
{
    downstreams_trace(e->downstreams, a);
}

static void carry_out(struct edge *e, const struct sched_action *a)
{
    static void (*const acts[])(struct edge *, const struct sched_action *) = {
        [SCHED_ACT_WELCOME] = act_welcome,
        [SCHED_ACT_ASSIGN] = act_assign,
        [SCHED_ACT_REVOKE] = act_revoke,
        [SCHED_ACT_COMPLETE] = act_complete,
        [SCHED_ACT_DISCARD] = act_discard,
        [SCHED_ACT_ACK] = act_ack,
        [SCHED_ACT_SESSION_END] = act_session_end,
        [SCHED_ACT_JOB_END] = act_job_end,
        [SCHED_ACT_BREAKER] = act_breaker,
        [SCHED_ACT_TRACE] = act_trace,
        [SCHED_ACT_LAND] = act_land,
    };
    assert((size_t)a->type < ARRAY_LEN(acts) && acts[a->type]);
    acts[a->type](e, a);
}

void edge_event(struct edge *e, struct sched_event *event)
{
    event->now_ms = e->now_ms;
    assert(e->actions.n == 0 || !e->store); /* else an action led to an event: see edge.h */
    sched_step(e->sched, event, &e->actions);
    if (e->store)
        edge_carry_out(e);
}

void edge_carry_out(struct edge *e)
{
    for (size_t i = 0; i < e->actions.n; i++)
        carry_out(e, &e->actions.items[i]);
    e->actions.n = 0;
}

void edge_flush(struct edge *e)
{
    completions_flush(e->completions);
    outbox_flush(e);
    sessions_reap(e->sessions);
    /* The end of a session gives its tasks to others at once. */
    outbox_flush(e);
    completions_flush(e->completions);
}

/* ---- small things ---- */

bool edge_may_log(struct edge *e)
{
    if (e->now_ms - e->logged_ms >= 1000) {
        e->logged_ms = e->now_ms;
        e->logged = 0;
    }
    return ++e->logged <= EDGE_LOGS_PER_S;
}

double edge_eta_s(const struct edge *e, const struct sched_stats *stats)
{
    uint64_t left = 0;
    for (size_t i = 0; i < SCHED_TASK_STATES; i++)
        left += stats->tasks[i];
    if (left == 0)
        return 0.0;
    return e->done_per_s > 0 ? (double)left / e->done_per_s : -1.0;
}

size_t edge_kind_index(uint32_t kinds)
{
    size_t i = 0;
    while (i < EDGE_KINDS - 1 && !(kinds & (1U << i)))
        i++;
    return i;
}

const char *edge_kind_name(size_t index)
{
    static const char *const names[EDGE_KINDS] = {"scrape", "transform", "score", "noop"};
    return index < EDGE_KINDS ? names[index] : "?";
}

void edge_store_result(struct edge *e, int rc)
{
    if (rc == ERR_STORE_FULL) {
        e->store_full = true;
        e->store_full_ms = e->now_ms;
    } else if (rc == 0) {
        e->store_full = false;
    }
}

bool edge_again(struct edge *e, struct store_request *r)
{
    if (r->rc != ERR_STORE_FULL && r->rc != ERR_NOMEM)
        return false;
    if (e->stopping)
        return false;
    if (!e->again)
        e->again_due_ms = e->now_ms + EDGE_AGAIN_MS;
    struct store_request **end = &e->again;
    while (*end)
        end = &(*end)->next;
    r->next = NULL;
    *end = r;
    return true;
}

uint64_t edge_again_timer(struct edge *e)
{
    if (!e->again)
        return UINT64_MAX;
    if (e->now_ms < e->again_due_ms)
        return e->again_due_ms;
    struct store_request *list = TAKE_PTR(e->again);
    while (list) {
        struct store_request *r = list;
        list = r->next;
        r->next = NULL;
        store_thread_submit(e->store, r);
    }
    return UINT64_MAX;
}

int edge_admit(const struct edge *e, struct error *error)
{
    if (store_thread_full(e->store))
        return error_set(error, ERR_QUEUE_FULL, "the store is behind; try again");
    if (e->store_full && e->now_ms - e->store_full_ms < REFUSE_AFTER_FULL_MS)
        return error_set(error, ERR_STORE_FULL, "the disk of the data directory is full");
    if (e->sizes.refusing)
        return error_set(
            error, ERR_STORE_FULL,
            "the disk of the data directory is nearly full; what is left is kept for work "
            "that was accepted");
    struct sched_stats stats;
    sched_stats(e->sched, e->now_ms, &stats);
    if (stats.memory_bytes > e->options.tasks_memory_bytes)
        return error_set(error, ERR_QUEUE_FULL,
                         "the queue has %llu MiB of tasks; the limit is %llu",
                         (unsigned long long)(stats.memory_bytes >> 20),
                         (unsigned long long)(e->options.tasks_memory_bytes >> 20));
    return 0;
}
