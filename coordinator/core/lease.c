#include "lease.h"

#include "common/hash.h"
#include "common/reason.h"
#include "coordinator/core/core.h"

struct lease *lease_find(const struct sched *s, struct task_id task)
{
    return map_find(&s->lease_map, hash_mix(task.v));
}

static struct lease *lease_new(struct sched *s, struct group *g, struct task t)
{
    struct lease *l = mem_pool_get(&s->lease_pool);
    l->task = t;
    l->group = g;
    l->given_ms = SCHED_MS_UNKNOWN;
    g->n_leased++;
    list_add(&g->job->leases, &l->in_job);
    map_add(&s->lease_map, hash_mix(t.id.v), l);
    return l;
}

/* The lease is over, whatever becomes of its task; the caller settles the counts, and releases the
 * group when it is done with it. */
static void lease_free(struct sched *s, struct lease *l)
{
    l->group->n_leased--;
    map_remove(&s->lease_map, hash_mix(l->task.id.v), l);
    list_del(&l->in_job);
    mem_pool_put(&s->lease_pool, l);
}

static void lease_start_clock(struct sched *s, struct lease *l)
{
    const struct job *job = l->group->job;
    if (job->run_timeout_ms > 0)
        alarm_set(&s->run_alarms, &l->run, core_listened_ms(s) + job->run_timeout_ms);
}

static void lease_hold(struct sched *s, struct lease *l, struct session *se)
{
    l->state = LEASE_LEASED;
    lease_move(s, l, se);
    if (!l->group->job->begins)
        lease_start_clock(s, l);
}

/* From LEASED: gives back the place in the session and the slots of the key, which stay in use for a
 * while when nobody knows what the worker is doing. */
static void lease_let_go(struct sched *s, struct lease *l)
{
    const struct session *se = l->session;
    const uint64_t worker = se->shard->worker;
    const uint64_t begins_end_ms = session_begins_end_ms(s, se);
    const uint32_t use_ms = se->closed ? 0 : l->group->job->key_use_ms;
    assert(l->state == LEASE_LEASED);
    list_del(&l->in_session);
    l->session->leased--;
    l->session = NULL;
    l->state = LEASE_NONE;
    alarm_stop(&s->run_alarms, &l->run);
    if (l->grant > 0 && begins_end_ms > 0 && begins_end_ms + use_ms > s->now_ms)
        key_leave(s, l->group->key, l->group->job, l->grant, worker, begins_end_ms, use_ms);
    else if (l->grant > 0)
        key_give(s, l->group->key, l->group->job, l->grant);
    breaker_given_back(s, l);
}

void lease_move(struct sched *s, struct lease *l, struct session *to)
{
    if (l->session) {
        list_del(&l->in_session);
        l->session->leased--;
    }
    l->session = to;
    l->session_id = to->id;
    to->leased++;
    list_add(&to->leases, &l->in_session);
    breaker_moved(s, l);
}

void lease_assign(struct sched *s, struct session *se, struct group *g)
{
    struct job *job = g->job;
    uint32_t grant = key_grant(s, g->key, job);
    uint64_t since_ms;
    struct lease *l = lease_new(s, g, group_pop(s, g, &since_ms));
    job_count_move(s, job, SCHED_READY, SCHED_LEASED, 1);
    l->token = (struct token){s->config.epoch, ++s->token_counter};
    l->grant = grant;
    l->given_ms = s->now_ms;
    lease_hold(s, l, se);
    se->given_tasks++;
    se->given_bytes += l->task.input_bytes;

    struct sched_action *a = core_emit(s, SCHED_ACT_ASSIGN);
    a->job = job->id;
    a->session = se->id;
    a->task = l->task.id;
    a->token = l->token;
    a->u.assign.attempt = l->task.attempt + 1u;
    a->u.assign.grant = grant;
    a->u.assign.run_timeout_ms = job->run_timeout_ms;
    a->u.assign.waited_ms = s->now_ms - since_ms;

    shard_turn(g);
    if (g->n_ready == 0)
        group_settle(s, g);
    if (grant > 0)
        key_take(s, g->key, grant);
    if (l->task.attempt == 0)
        job_first_attempt(job);
    breaker_given(s, l);
}

void lease_adopt(struct sched *s, struct session *se, struct group *g, struct task t,
                 const struct sched_held *held)
{
    struct lease *l = lease_new(s, g, t);
    job_count_move(s, g->job, SCHED_READY, SCHED_LEASED, 1);
    l->token = held->token;
    /* How many slots it was granted is not known any more: count all that the job may have. */
    l->grant = !key_limits(g->job) ? 0 : CORE_BUG(7) ? 1 : g->job->key_limit;
    lease_hold(s, l, se);
    if (l->grant > 0)
        key_take(s, g->key, l->grant);
}

void lease_revoke(struct sched *s, struct session_id session, struct job_id job,
                  struct task_id task, struct token token, const char *reason)
{
    struct sched_action *a = core_emit(s, SCHED_ACT_REVOKE);
    a->job = job;
    a->session = session;
    a->task = task;
    a->token = token;
    a->u.revoke.reason = reason;
}

static void lease_write(struct sched *s, const struct lease *l, enum sched_write write,
                        const char *error, void *payload)
{
    struct sched_action *a = core_emit(s, SCHED_ACT_COMPLETE);
    a->job = l->group->job->id;
    a->session = l->session_id;
    a->task = l->task.id;
    a->token = l->token;
    a->u.complete.write = write;
    a->u.complete.attempt = l->task.attempt;
    a->u.complete.kills = l->task.kills;
    a->u.complete.ran_ms = l->given_ms == SCHED_MS_UNKNOWN || write == SCHED_WRITE_LANDING
                               ? SCHED_MS_UNKNOWN
                               : s->now_ms - l->given_ms;
    a->u.complete.error = error;
    a->u.complete.payload = payload;
}

/* Asks the store for the outcome. error: the core's own reason, or NULL. */
static void lease_commit(struct sched *s, struct lease *l, enum sched_write write,
                         const char *error, void *payload)
{
    l->state = LEASE_COMMITTING;
    l->write = write;
    lease_write(s, l, write, error, payload);
}

/* The attempt is over without success: the next one, or the dead letter. */
static void lease_fail(struct sched *s, struct lease *l, bool for_good, const char *error,
                       void *payload)
{
    if (!CORE_BUG(5))
        l->task.attempt++;
    bool dead = for_good || l->task.attempt >= l->group->job->attempts_max;
    job_count_move(s, l->group->job, SCHED_LEASED, SCHED_COMMITTING, 1);
    lease_commit(s, l, dead ? SCHED_WRITE_DEAD : SCHED_WRITE_ATTEMPT, error, payload);
}

/* Frees the payload at the edge; session 0: without acknowledging the result. */
static void lease_discard(struct sched *s, const struct sched_event *ev, struct session_id session)
{
    struct sched_action *a = core_emit(s, SCHED_ACT_DISCARD);
    a->job = ev->job;
    a->session = session;
    a->task = ev->u.result.task;
    a->token = ev->u.result.token;
    a->u.discard.payload = ev->u.result.payload;
}

static void lease_ready_again(struct sched *s, struct lease *l)
{
    struct group *g = l->group;
    struct task t = l->task;
    job_count_move(s, g->job, SCHED_LEASED, SCHED_READY, 1);
    lease_free(s, l);
    group_push(s, g, t, true);
}

static void lease_ack(struct sched *s, const struct lease *l)
{
    if (l->token.counter == 0 || !session_find(s, l->session_id))
        return;
    struct sched_action *a = core_emit(s, SCHED_ACT_ACK);
    a->job = l->group->job->id;
    a->session = l->session_id;
    a->task = l->task.id;
    a->token = l->token;
}

static void lease_give_leave(struct sched *s, const struct lease *l)
{
    struct sched_action *a = core_emit(s, SCHED_ACT_LAND);
    a->job = l->group->job->id;
    a->session = l->session_id;
    a->task = l->task.id;
    a->token = l->token;
}

/* Its pages are had, its rows are not in the sinks yet. */
static void lease_ask(struct sched *s, struct lease *l, const struct sched_event *ev)
{
    key_learn(s, l->group->key, true, ev->u.result.key_delay_ms, ev->u.result.key_backoff_ms);
    if (l->may_land) { /* the leave did not reach the worker */
        lease_discard(s, ev, (struct session_id){0});
        lease_give_leave(s, l);
        return;
    }
    l->asking = true;
    alarm_stop(&s->run_alarms, &l->run);
    lease_write(s, l, SCHED_WRITE_LANDING, NULL, ev->u.result.payload);
    if (CORE_BUG(14))
        lease_give_leave(s, l);
}

/* The lease is over and the store's answer to come: it waits for that, as nobody's. */
static void lease_lost_asking(struct sched *s, struct lease *l)
{
    l->token = (struct token){0}; /* what is still sent is stale */
    l->session_id.v = 0;
    l->state = LEASE_COMMITTING;
    l->write = SCHED_WRITE_LANDING;
    job_count_move(s, l->group->job, SCHED_LEASED, SCHED_COMMITTING, 1);
}

/* The time of its run counts from now; a worker tells it again in a new session, where it has run on. */
void lease_begun(struct sched *s, const struct sched_event *ev)
{
    struct lease *l = lease_find(s, ev->u.begun.task);
    if (!l || !token_equal(l->token, ev->u.begun.token) || l->state != LEASE_LEASED || l->asking)
        return;
    if (l->group->job->begins)
        lease_start_clock(s, l);
}

void lease_result(struct sched *s, const struct sched_event *ev)
{
    struct lease *l = lease_find(s, ev->u.result.task);
    if (!l || (!token_equal(l->token, ev->u.result.token) && !CORE_BUG(1))) {
        lease_discard(s, ev, ev->session);
        return;
    }
    if (l->state == LEASE_COMMITTING) {
        lease_discard(s, ev, (struct session_id){0}); /* the ACK comes with the commit */
        if (session_find(s, ev->session))
            l->session_id = ev->session;
        return;
    }
    if (l->asking && ev->u.result.outcome != SCHED_RETURNED) {
        lease_discard(s, ev, (struct session_id){0}); /* a copy of the question */
        return;
    }
    if (ev->u.result.outcome == SCHED_RETURNED) {
        lease_discard(s, ev, ev->session);
        lease_let_go(s, l);
        if (l->asking)
            lease_lost_asking(s, l);
        else
            lease_ready_again(s, l);
        return;
    }
    if (ev->u.result.outcome == SCHED_LAND) {
        lease_ask(s, l, ev);
        return;
    }
    key_learn(s, l->group->key, ev->u.result.outcome == SCHED_DONE, ev->u.result.key_delay_ms,
              ev->u.result.key_backoff_ms);
    lease_let_go(s, l);
    l->retry_after_ms = ev->u.result.retry_after_ms;
    if (ev->u.result.outcome != SCHED_DONE) {
        lease_fail(s, l, ev->u.result.outcome == SCHED_FAIL, NULL, ev->u.result.payload);
        return;
    }
    l->task.attempt++;
    job_count_move(s, l->group->job, SCHED_LEASED, SCHED_COMMITTING, 1);
    lease_commit(s, l, SCHED_WRITE_DONE, NULL, ev->u.result.payload);
    if (CORE_BUG(3))
        lease_ack(s, l);
}

/* The list that came with the completion has the task itself: the edge says how it goes on. */
static bool completed_lists(const struct sched_event *ev, struct task_id id)
{
    for (size_t i = 0; i < ev->u.completed.n; i++)
        if (ev->u.completed.tasks[i].id.v == id.v)
            return true;
    return false;
}

/* The core ends it and the worker may still be at work. */
static void lease_recall(struct sched *s, struct lease *l, const char *reason)
{
    bool limited = l->grant > 0;
    lease_revoke(s, l->session->id, l->group->job->id, l->task.id, l->token, reason);
    lease_let_go(s, l);
    if (limited)
        key_rest(s, l->group->key, KEY_REVOKE_REST_MS);
}

static void lease_add_tasks(struct sched *s, struct job *job, const struct sched_event *ev)
{
    for (size_t i = 0; i < ev->u.completed.n; i++)
        job_add_task(s, job, &ev->u.completed.tasks[i]);
}

/* The store has noted what the rows of a lease hold, or has found the note of another. */
static void lease_noted(struct sched *s, struct lease *l, const struct sched_event *ev)
{
    struct job *job = l->group->job;
    l->asking = false;
    if (ev->u.completed.refused) {
        lease_recall(s, l, "stale");
        lease_ready_again(s, l);
        return;
    }
    l->may_land = true;
    lease_start_clock(s, l);
    if (!CORE_BUG(14))
        lease_give_leave(s, l);
    lease_add_tasks(s, job, ev);
}

/* The same for a lease that is over: the task goes to another worker. */
static void lease_noted_late(struct sched *s, struct lease *l, const struct sched_event *ev)
{
    struct group *g = l->group;
    struct job *job = g->job;
    struct task t = l->task;
    lease_free(s, l);
    if (job->state == JOB_CANCELLING) {
        job_count_move(s, job, SCHED_COMMITTING, TASK_NONE, 1);
    } else if (s->config.kills_max > 0 && t.kills >= s->config.kills_max) {
        lease_dead_on_arrival(s, g, t, REASON_WORKER_LOST);
    } else {
        job_count_move(s, job, SCHED_COMMITTING, SCHED_READY, 1);
        group_push(s, g, t, true);
    }
    lease_add_tasks(s, job, ev);
    group_release_unused(s, g);
    job_check_end(s, job);
}

void lease_completed(struct sched *s, const struct sched_event *ev)
{
    struct lease *l = lease_find(s, ev->u.completed.task);
    if (l && l->asking && l->state == LEASE_LEASED)
        return lease_noted(s, l, ev);
    if (!l || l->state != LEASE_COMMITTING)
        return;
    if (l->write == SCHED_WRITE_LANDING)
        return lease_noted_late(s, l, ev);
    struct group *g = l->group;
    struct job *job = g->job;
    struct task t = l->task;
    uint32_t floor_ms = l->retry_after_ms;
    bool again = l->write == SCHED_WRITE_ATTEMPT && job->state != JOB_CANCELLING &&
                 !completed_lists(ev, t.id);
    if (!CORE_BUG(3))
        lease_ack(s, l);
    if (l->write == SCHED_WRITE_DONE)
        job->done++;
    if (l->write == SCHED_WRITE_DEAD) {
        job->dead++;
        job->dead_letters++;
    }
    lease_free(s, l);
    if (again)
        job_admit(s, g, SCHED_COMMITTING, t, floor_ms);
    else
        job_count_move(s, job, SCHED_COMMITTING, TASK_NONE, 1);
    lease_add_tasks(s, job, ev);
    group_release_unused(s, g);
    job_check_end(s, job);
}

void lease_lost(struct sched *s, struct lease *l, bool kill)
{
    if (kill && l->task.kills < TASK_COUNT_MAX && !CORE_BUG(6))
        l->task.kills++;
    lease_let_go(s, l);
    if (l->asking && !CORE_BUG(15)) {
        lease_lost_asking(s, l);
        return;
    }
    if (kill && s->config.kills_max > 0 && l->task.kills >= s->config.kills_max) {
        l->token = (struct token){0};
        l->session_id.v = 0;
        l->given_ms = SCHED_MS_UNKNOWN; /* it was lost somewhere on the way */
        job_count_move(s, l->group->job, SCHED_LEASED, SCHED_COMMITTING, 1);
        lease_commit(s, l, SCHED_WRITE_DEAD, REASON_WORKER_LOST, NULL);
        return;
    }
    if (CORE_BUG(2)) {
        lease_free(s, l);
        return;
    }
    lease_ready_again(s, l);
}

void lease_timeout_due(struct sched *s)
{
    for (struct alarm *t; (t = alarm_due(&s->run_alarms, core_listened_ms(s))) != NULL;) {
        struct lease *l = CONTAINER_OF(t, struct lease, run);
        const uint32_t run_ms = l->group->job->run_timeout_ms;
        if (breaker_disturbed(s, l->group->job, l->group->key, run_ms) && !CORE_BUG(11)) {
            /* Its rows may be waiting for a downstream, which is no fault of the task. */
            alarm_set(&s->run_alarms, &l->run, core_listened_ms(s) + run_ms);
            continue;
        }
        lease_recall(s, l, "timeout");
        l->token = (struct token){0}; /* what it still sends is stale */
        l->session_id.v = 0;
        lease_fail(s, l, false, REASON_RUN_TIMEOUT, NULL);
    }
}

void lease_cancel(struct sched *s, struct lease *l)
{
    struct group *g = l->group;
    lease_recall(s, l, "cancelled");
    job_count_move(s, g->job, SCHED_LEASED, TASK_NONE, 1);
    lease_free(s, l);
}

void lease_dead_on_arrival(struct sched *s, struct group *g, struct task t, const char *error)
{
    struct lease *l = lease_new(s, g, t);
    lease_commit(s, l, SCHED_WRITE_DEAD, error, NULL);
}
