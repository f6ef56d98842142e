#include "breaker.h"

#include "common/hash.h"
#include "common/reason.h"
#include "coordinator/core/core.h"

enum { ENGINE_BITS = 32 - BREAKER_SINK_BITS };
#define ENGINE_MASK ((1U << ENGINE_BITS) - 1)

/* ---- records ---- */

static uint64_t breaker_hash(uint64_t id, bool host)
{
    return hash_mix(id ^ (host ? UINT64_C(0x6a09e667f3bcc909) : 0));
}

static struct breaker *breaker_find(const struct sched *s, uint64_t id, bool host)
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

static void breaker_free(struct sched *s, struct breaker *b)
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
        b->bit = 1U << (ENGINE_BITS + s->n_sink_bits++);
    return b;
}

struct breaker *breaker_host(const struct sched *s, uint64_t id)
{
    return breaker_find(s, id, true);
}

/* Hosts have records only while there is trouble. */
static struct breaker *breaker_host_make(struct sched *s, uint64_t id)
{
    struct breaker *b = breaker_find(s, id, true);
    if (b || s->n_host_breakers >= BREAKER_HOSTS_MAX)
        return b;
    b = breaker_new(s, id, true);
    s->n_host_breakers++;
    b->key = key_find(s, id);
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
    (void)s;
    if (k->breaker)
        k->breaker->key = NULL;
    k->breaker = NULL;
}

static struct breaker_worker *worker_of(struct breaker *b, uint64_t worker, bool make)
{
    for (size_t i = 0; i < b->n_workers; i++)
        if (b->workers[i].worker == worker)
            return &b->workers[i];
    if (!make)
        return NULL;
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
static void settle_all(struct sched *s, struct breaker *b)
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

static void tell(struct sched *s, const struct breaker *b, struct session_id session, int what)
{
    struct sched_action *a = core_emit(s, SCHED_ACT_BREAKER);
    a->session = session;
    a->u.breaker.downstream = b->id;
    a->u.breaker.host = b->host;
    a->u.breaker.tell = what;
}

/* A sink's state is told to every worker, a host's to those at work on it. */
static void tell_all(struct sched *s, const struct breaker *b, int what)
{
    if (!b->host) {
        LIST_EACH (se, &s->by_silence, struct session, in_silence) {
            struct breaker_worker *w =
                worker_of((struct breaker *)(uintptr_t)b, se->shard->worker, false);
            if (!se->broken && !(w && w->until_ms > 0))
                tell(s, b, se->id, what);
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
                tell(s, b, l->session_id, what);
    }
}

static void trace(struct sched *s, const struct breaker *b, const char *reason)
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

/* ---- the window ---- */

static struct breaker_second *second_of(struct breaker *b, uint64_t now_ms)
{
    const uint64_t second = now_ms / 1000;
    struct breaker_second *w = &b->window[second % BREAKER_WINDOW_S];
    if (w->second != second)
        *w = (struct breaker_second){.second = second};
    return w;
}

static struct breaker_second window_sum(const struct breaker *b, uint64_t now_ms)
{
    const uint64_t second = now_ms / 1000;
    struct breaker_second sum = {0};
    for (size_t i = 0; i < BREAKER_WINDOW_S; i++) {
        const struct breaker_second *w = &b->window[i];
        if (w->second + BREAKER_WINDOW_S <= second)
            continue;
        sum.ok += w->ok;
        sum.fail += w->fail;
        sum.slow += w->slow;
    }
    return sum;
}

static void forget_calls(struct breaker *b)
{
    memset(b->window, 0, sizeof(b->window));
    b->fails_row = 0;
    for (size_t i = 0; i < b->n_workers; i++)
        b->workers[i].fails_row = 0;
}

/* ---- moves ---- */

/* The alarm runs for whatever comes next. */
static void set_alarm(struct sched *s, struct breaker *b)
{
    uint64_t at_ms = UINT64_MAX;
    if (b->state == SCHED_BREAKER_OPEN && b->manual != SCHED_MANUAL_TRIPPED)
        at_ms = b->open_until_ms;
    if (b->given_up && b->key)
        at_ms = MIN(at_ms, s->now_ms + BREAKER_SWEEP_MS);
    if (b->state == SCHED_BREAKER_HALF_OPEN && b->probing)
        at_ms = MIN(at_ms, b->probe_until_ms);
    if (b->state == SCHED_BREAKER_CLOSED && b->ramp_step > 0)
        at_ms = MIN(at_ms, b->ramp_ms);
    if (b->state == SCHED_BREAKER_CLOSED && b->fails_row > 0 &&
        b->ok_ms + BREAKER_QUIET_MS > s->now_ms)
        at_ms = MIN(at_ms, b->ok_ms + BREAKER_QUIET_MS);
    if (b->state == SCHED_BREAKER_CLOSED && b->host && b->manual == SCHED_MANUAL_NONE)
        at_ms = MIN(at_ms, s->now_ms + BREAKER_STABLE_MS);
    for (size_t i = 0; i < b->n_workers; i++)
        if (b->workers[i].until_ms > 0)
            at_ms = MIN(at_ms, b->workers[i].until_ms);
    if (at_ms == UINT64_MAX)
        alarm_stop(&s->breaker_alarms, &b->alarm);
    else
        alarm_set(&s->breaker_alarms, &b->alarm, at_ms);
}

static void move(struct sched *s, struct breaker *b, enum sched_breaker_state to)
{
    static const bool allowed[3][3] = {
        [SCHED_BREAKER_CLOSED] = {[SCHED_BREAKER_OPEN] = true},
        [SCHED_BREAKER_OPEN] = {[SCHED_BREAKER_HALF_OPEN] = true, [SCHED_BREAKER_CLOSED] = true},
        [SCHED_BREAKER_HALF_OPEN] = {[SCHED_BREAKER_OPEN] = true, [SCHED_BREAKER_CLOSED] = true},
    };
    assert(allowed[b->state][to]);
    if (b->state != SCHED_BREAKER_CLOSED)
        b->not_closed_ms = s->now_ms;
    b->state = to;
    b->since_ms = s->now_ms;
    b->probing = b->told = false;
    b->ramp_step = 0;
}

static void breaker_open(struct sched *s, struct breaker *b, const char *reason)
{
    const uint32_t max_ms = b->host ? BREAKER_OPEN_HOST_MAX_MS : BREAKER_OPEN_SINK_MAX_MS;
    const bool again = b->state == SCHED_BREAKER_HALF_OPEN ||
                       (b->not_closed_ms > 0 && s->now_ms - b->not_closed_ms < BREAKER_STABLE_MS);
    if (b->state != SCHED_BREAKER_OPEN)
        move(s, b, SCHED_BREAKER_OPEN);
    b->not_closed_ms = s->now_ms;
    b->open_ms = again && b->open_ms ? MIN(b->open_ms * 2, max_ms) : (uint32_t)BREAKER_OPEN_MS;
    b->open_until_ms = s->now_ms + b->open_ms - retry_random(&s->rng) % (b->open_ms / 10 + 1);
    b->opened++;
    b->down_opens++;
    b->successes = 0;
    if (b->down_ms == 0)
        b->down_ms = s->now_ms;
    forget_calls(b);
    set_alarm(s, b);
    tell_all(s, b, SCHED_TELL_OPEN);
    trace(s, b, reason);
    settle_all(s, b);
}

static void breaker_close(struct sched *s, struct breaker *b, const char *reason, bool ramp)
{
    move(s, b, SCHED_BREAKER_CLOSED);
    b->not_closed_ms = s->now_ms;
    b->down_ms = 0;
    b->down_opens = 0;
    b->given_up = false;
    b->successes = 0;
    forget_calls(b);
    if (ramp) {
        b->ramp_step = 1;
        b->ramp_tasks = BREAKER_RAMP_TASKS;
        b->ramp_ms = s->now_ms + BREAKER_RAMP_MS;
    }
    set_alarm(s, b);
    tell_all(s, b, SCHED_TELL_CLOSED);
    trace(s, b, reason);
    settle_all(s, b);
}

/* ---- probes ---- */

/* The next worker whose rows wait for the sink, in turn. */
static struct session *next_waiter(struct sched *s, struct breaker *b)
{
    for (size_t i = 0; i < b->n_workers; i++) {
        const size_t at = (b->next_probe + i) % b->n_workers;
        const struct breaker_worker *w = &b->workers[at];
        struct shard *sh = w->waiting > 0 && w->until_ms == 0 ? shard_find(s, w->worker) : NULL;
        if (!sh || !sh->session || sh->session->broken)
            continue;
        b->next_probe = at + 1;
        return sh->session;
    }
    return NULL;
}

static void probe_by(struct sched *s, struct breaker *b, struct session *se)
{
    b->probing = b->told = true;
    b->probe_session = se->id;
    b->probe_until_ms = s->now_ms + BREAKER_PROBE_MS;
    tell(s, b, se->id, SCHED_TELL_PROBE);
    settle_all(s, b);
}

/* The next probe: by a worker whose rows wait, or by the next task that is let through. */
static void probe_next(struct sched *s, struct breaker *b)
{
    b->probing = b->told = false;
    struct session *se = b->host ? NULL : next_waiter(s, b);
    if (se)
        probe_by(s, b, se);
    else
        settle_all(s, b);
    set_alarm(s, b);
}

static void half_open(struct sched *s, struct breaker *b)
{
    move(s, b, SCHED_BREAKER_HALF_OPEN);
    trace(s, b, "its time is over");
    probe_next(s, b);
}

/* What a probe reported. */
static void probed(struct sched *s, struct breaker *b, const struct sched_event *ev)
{
    if (ev->u.calls.fail > 0) {
        breaker_open(s, b, "the probe failed");
        return;
    }
    if (ev->u.calls.ok == 0)
        return;
    b->ok_ms = s->now_ms;
    b->successes += ev->u.calls.ok;
    if (b->successes >= BREAKER_SUCCESSES)
        breaker_close(s, b, "probes succeeded", true);
    else if (b->told)
        probe_next(s, b);
}

/* ---- quarantine ---- */

uint32_t breaker_worker_kinds(const struct sched *s, uint64_t worker, uint32_t engines)
{
    uint32_t kinds = (engines & ENGINE_MASK) | ~ENGINE_MASK;
    LIST_EACH (b, &s->sink_breakers, struct breaker, in_sched) {
        const struct breaker_worker *w = worker_of(b, worker, false);
        if (w && w->until_ms > 0)
            kinds &= ~b->bit;
    }
    return kinds;
}

static void rekind(struct sched *s, uint64_t worker)
{
    struct shard *sh = shard_find(s, worker);
    if (!sh)
        return;
    if (sh->session)
        list_del(&sh->session->in_hungry); /* of the fleet that it leaves */
    shard_set_kinds(s, sh, breaker_worker_kinds(s, worker, sh->kinds));
    if (sh->session)
        session_settle(s, sh->session);
}

static void trace_worker(struct sched *s, const struct breaker *b, uint64_t worker, bool on,
                         const char *reason)
{
    trace(s, b, reason);
    struct sched_action *a = &s->out->items[s->out->n - 1];
    a->u.trace.worker = worker;
    a->u.trace.quarantined = on;
}

static void quarantine(struct sched *s, struct breaker *b, struct breaker_worker *w)
{
    w->quarantine_ms = w->quarantine_ms
                           ? MIN(w->quarantine_ms * 2, (uint32_t)BREAKER_QUARANTINE_MAX_MS)
                           : (uint32_t)BREAKER_QUARANTINE_MS;
    w->until_ms = s->now_ms + w->quarantine_ms;
    w->fails_row = 0;
    const uint64_t worker = w->worker;
    const struct shard *sh = shard_find(s, worker);
    if (sh && sh->session)
        tell(s, b, sh->session->id, SCHED_TELL_QUARANTINED);
    trace_worker(s, b, worker, true, "it fails at this worker alone");
    rekind(s, worker);
    set_alarm(s, b);
}

static void release(struct sched *s, struct breaker *b, struct breaker_worker *w)
{
    w->until_ms = 0;
    const uint64_t worker = w->worker;
    const struct shard *sh = shard_find(s, worker);
    if (sh && sh->session)
        tell(s, b, sh->session->id,
             b->state == SCHED_BREAKER_CLOSED ? SCHED_TELL_CLOSED : SCHED_TELL_OPEN);
    trace_worker(s, b, worker, false, "its time is over");
    rekind(s, worker);
}

/* Does this worker fail alone, while another had success and has not failed since? */
static bool fails_alone(const struct sched *s, const struct breaker *b,
                        const struct breaker_worker *w)
{
    if (w->fails_row < BREAKER_ALONE_FAILS || b->bit == 0)
        return false;
    bool other_ok = false;
    for (size_t i = 0; i < b->n_workers; i++) {
        const struct breaker_worker *o = &b->workers[i];
        if (o == w || o->until_ms > 0 || !shard_find(s, o->worker))
            continue;
        if (o->fails_row > 0)
            return false;
        other_ok |= o->ok_ms > 0 && s->now_ms - o->ok_ms < BREAKER_WINDOW_S * 1000;
    }
    return other_ok;
}

/* ---- calls ---- */

static bool must_open(const struct sched *s, const struct breaker *b, const char **ret_reason)
{
    const struct breaker_second sum = window_sum(b, s->now_ms);
    const uint64_t calls = (uint64_t)sum.ok + sum.fail;
    if (calls >= BREAKER_CALLS_MIN && (uint64_t)sum.fail * 100 >= calls * BREAKER_FAIL_PERCENT) {
        *ret_reason = "half of the calls failed";
        return true;
    }
    if (calls >= BREAKER_CALLS_MIN && (uint64_t)sum.slow * 100 >= calls * BREAKER_SLOW_PERCENT) {
        *ret_reason = "most calls were slow";
        return true;
    }
    *ret_reason = "no call succeeded";
    if (b->host)
        return b->fails_row >= BREAKER_HOST_FAILS;
    size_t here = 0, failing = 0;
    LIST_EACH (se, &s->by_silence, struct session, in_silence)
        here++;
    for (size_t i = 0; i < b->n_workers; i++)
        failing += b->workers[i].fails_row > 0 && b->workers[i].until_ms == 0;
    here = MAX(here, (size_t)1);
    return s->now_ms - b->ok_ms >= BREAKER_QUIET_MS &&
           b->fails_row >= MIN((size_t)BREAKER_FAILS, BREAKER_FAILS_A_WORKER * here) &&
           failing >= MIN((size_t)BREAKER_WORKERS, here);
}

/* Counts a report into a breaker that is closed. */
static void count(struct sched *s, struct breaker *b, struct breaker_worker *w,
                  const struct sched_event *ev)
{
    const uint32_t ok = ev->u.calls.ok, fail = ev->u.calls.fail;
    struct breaker_second *second = second_of(b, s->now_ms);
    second->ok += ok;
    second->fail += fail;
    second->slow += ev->u.calls.slow;
    /* Successes before the failures of one report are as old as reports are apart, at most; whether the
     * failures of other workers came after them is not known, so those stay counted. */
    const uint32_t row = MIN(ev->u.calls.row, fail);
    if (ok > 0 && row == 0) {
        b->ok_ms = s->now_ms;
        b->fails_row = 0;
    } else if (ok > 0) {
        b->ok_ms = MAX(b->ok_ms, s->now_ms - MIN(s->now_ms, (uint64_t)BREAKER_REPORT_MS));
    }
    b->fails_row += row;
    if (!w)
        return;
    if (ok > 0) {
        w->ok_ms = s->now_ms;
        w->fails_row = 0;
        if (fail == 0 && s->now_ms - w->until_ms > BREAKER_STABLE_MS)
            w->quarantine_ms = 0;
    }
    w->fails_row += row;
}

void breaker_calls(struct sched *s, struct session *se, const struct sched_event *ev)
{
    const char *reason = NULL;
    struct breaker *b = breaker_find(s, ev->u.calls.downstream, ev->u.calls.host);
    if (!b && ev->u.calls.host && ev->u.calls.fail > 0)
        b = breaker_host_make(s, ev->u.calls.downstream);
    if (!b && !ev->u.calls.host)
        b = breaker_sink(s, ev->u.calls.downstream);
    if (!b)
        return;
    struct breaker_worker *w = b->host ? NULL : worker_of(b, se->shard->worker, true);
    if (w)
        w->waiting = ev->u.calls.waiting;
    if (b->state == SCHED_BREAKER_HALF_OPEN) {
        if (b->probing && b->probe_session.v == se->id.v && (b->told || b->host))
            probed(s, b, ev);
        else if (w && w->waiting > 0 && w->until_ms == 0 && !(b->probing && b->told) &&
                 !CORE_BUG(8))
            probe_by(s, b, se); /* the task that was let through has made rows */
        else if (w && w->waiting > 0 && w->until_ms == 0 && CORE_BUG(8))
            probe_by(s, b, se);
        set_alarm(s, b);
        return;
    }
    if (b->state == SCHED_BREAKER_OPEN || (w && w->until_ms > 0))
        return; /* from before it was told */
    count(s, b, w, ev);
    if (b->manual == SCHED_MANUAL_PINNED || (ev->u.calls.fail == 0 && ev->u.calls.slow == 0))
        return;
    if (w && fails_alone(s, b, w))
        quarantine(s, b, w);
    else if (must_open(s, b, &reason))
        breaker_open(s, b, reason);
    else
        set_alarm(s, b);
}

void breaker_manual(struct sched *s, const struct sched_event *ev)
{
    struct breaker *b = breaker_find(s, ev->u.breaker.downstream, ev->u.breaker.host);
    if (!b && ev->u.breaker.manual == SCHED_MANUAL_NONE)
        return;
    if (!b)
        b = ev->u.breaker.host ? breaker_host_make(s, ev->u.breaker.downstream)
                               : breaker_sink(s, ev->u.breaker.downstream);
    if (!b)
        return;
    b->manual = ev->u.breaker.manual;
    if (b->manual == SCHED_MANUAL_TRIPPED) {
        breaker_open(s, b, "tripped by hand");
        return;
    }
    for (size_t i = 0; i < b->n_workers; i++)
        if (b->workers[i].until_ms > 0)
            release(s, b, &b->workers[i]);
    b->open_ms = 0;
    if (b->state != SCHED_BREAKER_CLOSED)
        breaker_close(s, b, b->manual == SCHED_MANUAL_PINNED ? "pinned by hand" : "reset by hand",
                      false);
    forget_calls(b);
    b->not_closed_ms = 0;
    set_alarm(s, b);
}

/* ---- tasks ---- */

static bool breaker_holds(const struct breaker *b)
{
    switch (b->state) {
    case SCHED_BREAKER_OPEN:
        return true;
    case SCHED_BREAKER_HALF_OPEN:
        return b->probing;
    default:
        return b->ramp_step > 0 && b->ramp_tasks == 0;
    }
}

struct breaker *breaker_holding(const struct sched *s, const struct job *job, const struct key *k)
{
    (void)s;
    for (size_t i = 0; i < job->n_sinks; i++)
        if (breaker_holds(job->sinks[i]))
            return job->sinks[i];
    return job->hosts && k->breaker && breaker_holds(k->breaker) ? k->breaker : NULL;
}

static bool disturbed(const struct sched *s, const struct breaker *b, uint64_t ms)
{
    return b->state != SCHED_BREAKER_CLOSED ||
           (b->not_closed_ms > 0 && s->now_ms - b->not_closed_ms <= ms) || b->fails_row > 0;
}

bool breaker_disturbed(const struct sched *s, const struct job *job, const struct key *k,
                       uint64_t ms)
{
    for (size_t i = 0; i < job->n_sinks; i++)
        if (disturbed(s, job->sinks[i], ms))
            return true;
    return job->hosts && k->breaker && disturbed(s, k->breaker, ms);
}

static void given_one(struct sched *s, struct breaker *b, const struct lease *l)
{
    if (b->state == SCHED_BREAKER_HALF_OPEN && !b->probing) {
        b->probing = true;
        b->told = false;
        b->probe_session = l->session_id;
        b->probe_task = l->task.id;
        b->probe_until_ms = s->now_ms + BREAKER_PROBE_MS;
        if (b->host)
            tell(s, b, l->session_id, SCHED_TELL_PROBE);
        set_alarm(s, b);
        settle_all(s, b);
    } else if (b->state == SCHED_BREAKER_CLOSED && b->ramp_step > 0 && b->ramp_tasks > 0) {
        if (--b->ramp_tasks == 0)
            settle_all(s, b);
    }
}

void breaker_given(struct sched *s, const struct lease *l)
{
    const struct job *job = l->group->job;
    for (size_t i = 0; i < job->n_sinks; i++)
        given_one(s, job->sinks[i], l);
    if (job->hosts && l->group->key->breaker)
        given_one(s, l->group->key->breaker, l);
}

static void given_back_one(struct sched *s, struct breaker *b, const struct lease *l)
{
    if (b->state == SCHED_BREAKER_HALF_OPEN && b->probing && !b->told &&
        b->probe_task.v == l->task.id.v)
        probe_next(s, b); /* it came to no call that was judged */
}

void breaker_given_back(struct sched *s, const struct lease *l)
{
    const struct job *job = l->group->job;
    for (size_t i = 0; i < job->n_sinks; i++)
        given_back_one(s, job->sinks[i], l);
    if (job->hosts && l->group->key->breaker)
        given_back_one(s, l->group->key->breaker, l);
}

static void moved_one(struct sched *s, struct breaker *b, const struct lease *l)
{
    if (b->state != SCHED_BREAKER_HALF_OPEN || !b->probing || b->told ||
        b->probe_task.v != l->task.id.v)
        return;
    b->probe_session = l->session_id;
    if (b->host)
        tell(s, b, l->session_id, SCHED_TELL_PROBE);
}

void breaker_moved(struct sched *s, const struct lease *l)
{
    const struct job *job = l->group->job;
    for (size_t i = 0; i < job->n_sinks; i++)
        moved_one(s, job->sinks[i], l);
    if (job->hosts && l->group->key->breaker)
        moved_one(s, l->group->key->breaker, l);
}

/* ---- sessions ---- */

void breaker_greet(struct sched *s, const struct session *se)
{
    LIST_EACH (b, &s->sink_breakers, struct breaker, in_sched) {
        struct breaker_worker *w = worker_of(b, se->shard->worker, false);
        if (w)
            w->waiting = 0; /* it says so again */
        if (w && w->until_ms > 0)
            tell(s, b, se->id, SCHED_TELL_QUARANTINED);
        else if (b->state != SCHED_BREAKER_CLOSED)
            tell(s, b, se->id, SCHED_TELL_OPEN);
    }
}

void breaker_session_gone(struct sched *s, struct session_id id, uint64_t worker)
{
    LIST_EACH (b, &s->sink_breakers, struct breaker, in_sched) {
        struct breaker_worker *w = worker_of(b, worker, false);
        if (w)
            w->waiting = 0;
        if (b->state == SCHED_BREAKER_HALF_OPEN && b->probing && b->probe_session.v == id.v)
            probe_next(s, b);
    }
}

/* ---- time ---- */

/* Tasks of a host that is given up become dead letters, some at a time. */
static bool give_up_some(struct sched *s, struct breaker *b)
{
    size_t n = 0;
    LIST_EACH (g, &b->key->groups, struct group, in_key) {
        while (g->job->hosts && g->n_ready > 0 && n < BREAKER_GIVE_UP_STEP) {
            uint64_t since_ms;
            const struct task t = group_pop(s, g, &since_ms);
            job_count_move(s, g->job, SCHED_READY, SCHED_COMMITTING, 1);
            lease_dead_on_arrival(s, g, t, REASON_HOST_DOWN);
            n++;
        }
        group_settle(s, g);
    }
    return n == BREAKER_GIVE_UP_STEP;
}

static void give_up(struct sched *s, struct breaker *b)
{
    if (!b->host || b->manual == SCHED_MANUAL_TRIPPED || s->config.host_give_up_ms == 0 ||
        b->state != SCHED_BREAKER_OPEN || b->down_opens < BREAKER_GIVE_UP_OPENS ||
        s->now_ms - b->down_ms < s->config.host_give_up_ms)
        return;
    if (!b->given_up)
        trace(s, b, "given up: its tasks are dead letters");
    b->given_up = true;
    if (b->key && give_up_some(s, b))
        alarm_set(&s->breaker_alarms, &b->alarm, s->now_ms + 1);
}

static void ramp(struct sched *s, struct breaker *b)
{
    const bool wanted = b->ramp_tasks == 0; /* otherwise there was no more to give out */
    b->ramp_step++;
    if (b->ramp_step > BREAKER_RAMP_STEPS || !wanted) {
        b->ramp_step = 0;
    } else {
        b->ramp_tasks = (uint32_t)BREAKER_RAMP_TASKS << (b->ramp_step - 1);
        b->ramp_ms = s->now_ms + BREAKER_RAMP_MS;
    }
    settle_all(s, b);
}

static void due_one(struct sched *s, struct breaker *b)
{
    for (size_t i = 0; i < b->n_workers; i++)
        if (b->workers[i].until_ms > 0 && b->workers[i].until_ms <= s->now_ms)
            release(s, b, &b->workers[i]);
    if (b->state == SCHED_BREAKER_CLOSED && b->ramp_step > 0 && b->ramp_ms <= s->now_ms)
        ramp(s, b);
    else if (b->state == SCHED_BREAKER_HALF_OPEN && b->probing && b->probe_until_ms <= s->now_ms)
        probe_next(s, b);
    const char *reason = NULL;
    if (b->state == SCHED_BREAKER_CLOSED && b->manual == SCHED_MANUAL_NONE && b->fails_row > 0 &&
        must_open(s, b, &reason)) {
        breaker_open(s, b, reason);
        return;
    }
    const bool over = b->state == SCHED_BREAKER_OPEN && b->manual != SCHED_MANUAL_TRIPPED &&
                      b->open_until_ms <= s->now_ms;
    if (b->state == SCHED_BREAKER_CLOSED && b->host && b->manual == SCHED_MANUAL_NONE &&
        b->ramp_step == 0 && window_sum(b, s->now_ms).fail == 0) {
        struct key *k = b->key;
        breaker_free(s, b);
        if (k)
            key_release_unused(s, k);
        return;
    }
    set_alarm(s, b);
    give_up(s, b);
    if (over && b->state == SCHED_BREAKER_OPEN)
        half_open(s, b);
}

void breaker_due(struct sched *s)
{
    for (struct alarm *t; (t = alarm_due(&s->breaker_alarms, s->now_ms)) != NULL;)
        due_one(s, CONTAINER_OF(t, struct breaker, alarm));
}
