/* breaker_record.c: the records of breakers, and who hears of them: groups, sessions, the log. */
#include "common/hash.h"
#include "coordinator/core/breaker_internal.h"

/* ---- records ---- */

static uint64_t breaker_hash(uint64_t id, bool host)
{
    return hash_mix(id ^ (host ? UINT64_C(0x6a09e667f3bcc909) : 0));
}

struct breaker *breaker_find(const struct sched *s, uint64_t id, bool host)
{
    size_t cursor = SIZE_MAX;
    for (struct breaker *b; (b = map_next(&s->breaker_map, breaker_hash(id, host), &cursor));)
        if (b->id == id && b->host == host)
            return b;
    return NULL;
}

static struct breaker *breaker_new(struct sched *s, uint64_t id, bool host)
{
    struct breaker *b = mem_pool_get(&s->breaker_pool);
    b->id = id;
    b->host = host;
    b->since_ms = s->now_ms;
    list_add(host ? &s->host_breakers : &s->sink_breakers, &b->in_sched);
    map_add(&s->breaker_map, breaker_hash(id, host), b);
    return b;
}

void breaker_free(struct sched *s, struct breaker *b)
{
    if (b->key)
        b->key->breaker = NULL;
    alarm_stop(&s->breaker_alarms, &b->alarm);
    map_remove(&s->breaker_map, breaker_hash(b->id, b->host), b);
    list_del(&b->in_sched);
    free(b->workers);
    s->n_host_breakers -= b->host;
    mem_pool_put(&s->breaker_pool, b);
}

void breakers_free(struct sched *s)
{
    struct breaker *b;
    while ((b = LIST_FIRST(&s->sink_breakers, struct breaker, in_sched)) != NULL)
        breaker_free(s, b);
    while ((b = LIST_FIRST(&s->host_breakers, struct breaker, in_sched)) != NULL)
        breaker_free(s, b);
}

struct breaker *breaker_sink(struct sched *s, uint64_t id)
{
    struct breaker *b = breaker_find(s, id, false);
    if (b)
        return b;
    b = breaker_new(s, id, false);
    if (s->n_sink_bits < BREAKER_SINK_BITS)
        b->bit = 1U << (BREAKER_ENGINE_BITS + s->n_sink_bits++);
    return b;
}

struct breaker *breaker_host(const struct sched *s, uint64_t id)
{
    return breaker_find(s, id, true);
}

/* Hosts have records only while there is trouble. */
struct breaker *breaker_host_make(struct sched *s, uint64_t id)
{
    struct breaker *b = breaker_find(s, id, true);
    if (b || s->n_host_breakers >= BREAKER_HOSTS_MAX)
        return b;
    b = breaker_new(s, id, true);
    s->n_host_breakers++;
    b->key = key_find(s, id);
    b->keyless_ms = s->now_ms;
    if (b->key)
        b->key->breaker = b;
    return b;
}

void breaker_key_new(struct sched *s, struct key *k)
{
    if (s->n_host_breakers == 0)
        return;
    k->breaker = breaker_find(s, k->hash, true);
    if (k->breaker)
        k->breaker->key = k;
}

void breaker_key_gone(struct sched *s, struct key *k)
{
    struct breaker *b = k->breaker;
    if (!b)
        return;
    k->breaker = NULL;
    b->key = NULL;
    b->keyless_ms = s->now_ms;
    breaker_set_alarm(s, b);
}

/* Takes out what is known of workers that are gone, but for how long they are quarantined. */
static void forget_workers(const struct sched *s, struct breaker *b)
{
    size_t kept = 0;
    for (size_t i = 0; i < b->n_workers; i++)
        if (b->workers[i].until_ms > 0 || shard_find(s, b->workers[i].worker))
            b->workers[kept++] = b->workers[i];
    b->n_workers = kept;
}

struct breaker_worker *breaker_worker_find(const struct breaker *b, uint64_t worker)
{
    for (size_t i = 0; i < b->n_workers; i++)
        if (b->workers[i].worker == worker)
            return &b->workers[i];
    return NULL;
}

struct breaker_worker *breaker_worker_make(const struct sched *s, struct breaker *b,
                                           uint64_t worker)
{
    struct breaker_worker *w = breaker_worker_find(b, worker);
    if (w)
        return w;
    if (b->n_workers == b->cap_workers)
        forget_workers(s, b);
    if (b->n_workers == b->cap_workers)
        b->workers = mem_grow(b->workers, &b->cap_workers, sizeof(*b->workers));
    b->workers[b->n_workers] = (struct breaker_worker){.worker = worker};
    return &b->workers[b->n_workers++];
}

/* ---- who is concerned ---- */

static bool job_needs(const struct job *job, const struct breaker *b)
{
    for (size_t i = 0; i < job->n_sinks; i++)
        if (job->sinks[i] == b)
            return true;
    return false;
}

/* Every group that needs it looks where it belongs now. */
void breaker_settle_all(struct sched *s, struct breaker *b)
{
    if (CORE_BUG(10))
        return;
    if (b->host) {
        if (b->key)
            LIST_EACH (g, &b->key->groups, struct group, in_key)
                group_settle(s, g);
        return;
    }
    LIST_EACH (job, &s->jobs, struct job, in_sched)
        if (job_needs(job, b))
            LIST_EACH (g, &job->groups, struct group, in_job)
                group_settle(s, g);
}

void breaker_tell(struct sched *s, const struct breaker *b, struct session_id session,
                  enum sched_tell what)
{
    struct sched_action *a = core_emit(s, SCHED_ACT_BREAKER);
    a->session = session;
    a->u.breaker.downstream = b->id;
    a->u.breaker.host = b->host;
    a->u.breaker.tell = what;
}

/* A sink's state is told to every worker, a host's to those at work on it. */
void breaker_tell_all(struct sched *s, const struct breaker *b, enum sched_tell what)
{
    if (!b->host) {
        LIST_EACH (se, &s->by_silence, struct session, in_silence) {
            const struct breaker_worker *w = breaker_worker_find(b, se->shard->worker);
            if (!se->broken && !(w && w->until_ms > 0))
                breaker_tell(s, b, se->id, what);
        }
        return;
    }
    if (!b->key)
        return;
    LIST_EACH (g, &b->key->groups, struct group, in_key) {
        if (g->n_leased == 0 || !g->job->hosts)
            continue;
        LIST_EACH (l, &g->job->leases, struct lease, in_job)
            if (l->group == g && l->state == LEASE_LEASED && !l->session->broken)
                breaker_tell(s, b, l->session_id, what);
    }
}

void breaker_trace(struct sched *s, const struct breaker *b, const char *reason)
{
    struct sched_action *a = core_emit(s, SCHED_ACT_TRACE);
    a->u.trace.downstream = b->id;
    a->u.trace.host = b->host;
    a->u.trace.state = b->state;
    a->u.trace.manual = b->manual;
    a->u.trace.open_ms = b->state != SCHED_BREAKER_OPEN      ? 0
                         : b->manual == SCHED_MANUAL_TRIPPED ? UINT64_MAX
                         : b->open_until_ms > s->now_ms      ? b->open_until_ms - s->now_ms
                                                             : 0;
    a->u.trace.reason = reason;
}
