#include "session.h"

#include "common/hash.h"
#include "coordinator/core/core.h"

struct session *session_find(const struct sched *s, struct session_id id)
{
    return map_find(&s->session_map, hash_mix(id.v));
}

static struct session *session_new(struct sched *s, const struct sched_event *ev)
{
    struct session *se = mem_pool_get(&s->session_pool);
    se->id = ev->session;
    se->slots = ev->u.hello.slots;
    list_init(&se->leases);
    map_add(&s->session_map, hash_mix(se->id.v), se);
    session_heard(s, se);
    return se;
}

void session_heard(struct sched *s, struct session *se)
{
    se->heard_ms = core_listened_ms(s);
    list_to_end(&s->by_silence, &se->in_silence);
    if (se->misfit) {
        se->misfit = false;
        session_settle(s, se);
    }
}

void session_settle(struct sched *s, struct session *se)
{
    bool hungry = se->shard->fleet && !se->misfit && se->given_tasks < se->granted_tasks;
    if (hungry == list_linked(&se->in_hungry))
        return;
    if (!hungry) {
        list_del(&se->in_hungry);
        return;
    }
    list_add(&se->shard->fleet->hungry, &se->in_hungry);
    if (!list_linked(&se->shard->dirty))
        list_add(&s->dirty, &se->shard->dirty);
}

bool session_fits(const struct session *se, uint32_t input_bytes)
{
    return se->given_bytes <= se->granted_bytes &&
           se->granted_bytes - se->given_bytes >= input_bytes;
}

void session_credit(struct sched *s, struct session *se, uint64_t tasks, uint64_t bytes)
{
    se->granted_tasks = MAX(se->granted_tasks, tasks);
    se->granted_bytes = MAX(se->granted_bytes, bytes);
    session_settle(s, se);
}

void session_drain(struct sched *s, struct session *se, bool on)
{
    if (se->broken)
        return;
    shard_set_draining(s, se->shard, on);
    session_settle(s, se);
}

void session_free(struct sched *s, struct session *se)
{
    map_remove(&s->session_map, hash_mix(se->id.v), se);
    list_del(&se->in_silence);
    list_del(&se->in_hungry);
    mem_pool_put(&s->session_pool, se);
}

static void session_lose_leases(struct sched *s, struct session *se, bool kill)
{
    struct lease *l;
    while ((l = LIST_FIRST(&se->leases, struct lease, in_session)) != NULL)
        lease_lost(s, l, kill);
}

static void session_say_end(struct sched *s, const struct session *se)
{
    core_emit(s, SCHED_ACT_SESSION_END)->session = se->id;
}

void session_end(struct sched *s, struct session *se, bool kill)
{
    struct shard *sh = se->shard;
    const struct session_id id = se->id;
    session_say_end(s, se);
    session_lose_leases(s, se, kill);
    session_free(s, se);
    sh->session = NULL;
    breaker_session_gone(s, id, sh->worker);
    shard_free(s, sh);
}

void session_broken(struct sched *s, struct session *se)
{
    if (se->broken)
        return;
    session_drain(s, se, true);
    se->broken = true;
    se->closed = core_listened_ms(s) - se->heard_ms <
                 MIN(s->config.lease_ms / 2, (uint32_t)SESSION_CLOSED_MS);
    LIST_EACH (l, &se->leases, struct lease, in_session)
        if (l->grant == 0)
            lease_lost(s, l, true);
    if (list_empty(&se->leases))
        session_end(s, se, true);
}

uint64_t session_begins_end_ms(const struct sched *s, const struct session *se)
{
    return se->broken || se->silent ? se->heard_ms + s->deaf_ms + s->config.lease_ms : 0;
}

void session_expire_due(struct sched *s)
{
    struct session *se;
    while ((se = LIST_FIRST(&s->by_silence, struct session, in_silence)) != NULL &&
           se->heard_ms + s->config.lease_ms <= core_listened_ms(s)) {
        se->silent = true;
        session_end(s, se, true);
    }
}

uint64_t session_expiry_ms(const struct sched *s)
{
    const struct session *se = LIST_FIRST(&s->by_silence, struct session, in_silence);
    return se ? se->heard_ms + s->config.lease_ms + s->deaf_ms : UINT64_MAX;
}

/* One line of what a worker says it holds: its own again, adopted, or stale. */
static void session_hold(struct sched *s, struct session *se, const struct sched_held *held)
{
    struct lease *l = lease_find(s, held->task);
    struct group *g;
    struct task t;
    if (l && token_equal(l->token, held->token)) {
        if (l->state == LEASE_COMMITTING) {
            l->session_id = se->id;
            return;
        }
        if (l->session->shard == se->shard) {
            lease_move(s, l, se);
            return;
        }
    } else if (l && l->state == LEASE_LEASED && !l->asking &&
               s->recovery.state == RECOVERY_WAITING && held->token.epoch < s->config.epoch &&
               token_newer(held->token, l->token)) {
        /* Two claim a task from before the restart: the later lease was the true one. */
        lease_revoke(s, l->session->id, l->group->job->id, l->task.id, l->token, "stale");
        l->token = held->token;
        l->may_land = false; /* that was the other's */
        lease_move(s, l, se);
        return;
    } else if (!l && held->token.epoch < s->config.epoch && recovery_claim(s, held->task, &g, &t)) {
        lease_adopt(s, se, g, t, held);
        return;
    }
    lease_revoke(s, se->id, (struct job_id){0}, held->task, held->token, "stale");
}

void session_hello(struct sched *s, const struct sched_event *ev)
{
    if (session_find(s, ev->session))
        return;
    uint64_t boot = ev->u.hello.boot;
    struct session *se = session_new(s, ev);
    struct shard *sh = shard_find(s, ev->u.hello.worker);
    struct session *former = sh ? sh->session : NULL;
    bool same_process = former && boot != 0 && sh->boot == boot;
    if (!sh)
        sh = shard_new(s, ev->u.hello.worker,
                       breaker_worker_kinds(s, ev->u.hello.worker, ev->u.hello.kinds),
                       ev->u.hello.draining);
    if (former) {
        session_say_end(s, former);
        list_del(&former->in_hungry);
    }
    se->shard = sh;
    sh->session = se;
    sh->boot = boot;
    shard_set_kinds(s, sh, breaker_worker_kinds(s, sh->worker, ev->u.hello.kinds));
    shard_set_draining(s, sh, ev->u.hello.draining);
    core_emit(s, SCHED_ACT_WELCOME)->session = se->id;
    breaker_greet(s, se);
    for (size_t i = 0; i < ev->u.hello.n_held; i++)
        session_hold(s, se, &ev->u.hello.held[i]);
    ghost_worker_back(s, sh->worker);
    if (former) {
        former->broken = false; /* it is known now what became of the worker */
        /* What the same process does not hold never reached it; another process lost it. */
        const struct session_id id = former->id;
        session_lose_leases(s, former, !same_process);
        session_free(s, former);
        breaker_session_gone(s, id, sh->worker);
    }
}
