#include "breaker.h"

#include "coordinator/core/breaker_internal.h"

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

/* Broken, and nobody waits for it. */
static bool forgettable(const struct breaker *b)
{
    return b->host && !b->key && b->manual == SCHED_MANUAL_NONE && b->state != SCHED_BREAKER_CLOSED;
}

/* The alarm runs for whatever comes next. */
void breaker_set_alarm(struct sched *s, struct breaker *b)
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
    if (forgettable(b))
        at_ms = MIN(at_ms, b->keyless_ms + BREAKER_FORGET_MS);
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
    breaker_set_alarm(s, b);
    if (!CORE_BUG(12))
        breaker_tell_all(s, b, SCHED_TELL_OPEN);
    breaker_trace(s, b, reason);
    breaker_settle_all(s, b);
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
    if (ramp && !CORE_BUG(13)) {
        b->ramp_step = 1;
        b->ramp_tasks = BREAKER_RAMP_TASKS;
        b->ramp_ms = s->now_ms + BREAKER_RAMP_MS;
    }
    breaker_set_alarm(s, b);
    breaker_tell_all(s, b, SCHED_TELL_CLOSED);
    breaker_trace(s, b, reason);
    breaker_settle_all(s, b);
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
    breaker_tell(s, b, se->id, SCHED_TELL_PROBE);
    breaker_settle_all(s, b);
}

/* The next probe: by a worker whose rows wait, or by the next task that is let through. */
void breaker_probe_next(struct sched *s, struct breaker *b)
{
    b->probing = b->told = false;
    struct session *se = b->host ? NULL : next_waiter(s, b);
    if (se)
        probe_by(s, b, se);
    else
        breaker_settle_all(s, b);
    breaker_set_alarm(s, b);
}

/* Who was told to probe does not: its worker is to call no more, and another one does. */
static void probe_instead(struct sched *s, struct breaker *b)
{
    const struct session *se = b->told ? session_find(s, b->probe_session) : NULL;
    if (se && !se->broken)
        breaker_tell(s, b, se->id, SCHED_TELL_OPEN);
    breaker_probe_next(s, b);
}

static void half_open(struct sched *s, struct breaker *b)
{
    move(s, b, SCHED_BREAKER_HALF_OPEN);
    breaker_trace(s, b, "its time is over");
    breaker_probe_next(s, b);
}

/* What a probe reported. */
static void probed(struct sched *s, struct breaker *b, const struct sched_event *ev)
{
    if (ev->u.calls.fail > 0) {
        breaker_open(s, b, "the probe failed");
        return;
    }
    if (ev->u.calls.ok == 0) {
        if (b->told && ev->u.calls.waiting == 0)
            probe_instead(s, b); /* its rows are gone: revoked, or given back */
        return;
    }
    b->ok_ms = s->now_ms;
    /* Who was told makes one call. A report of more is of calls from before, which prove nothing. */
    b->successes += b->told ? 1 : ev->u.calls.ok;
    if (b->successes >= BREAKER_SUCCESSES)
        breaker_close(s, b, "probes succeeded", true);
    else if (b->told)
        breaker_probe_next(s, b);
}

/* ---- calls ---- */

/* Workers that may have rows for it: those that may run a job which needs it. */
static size_t workers_of(const struct sched *s, const struct breaker *b)
{
    size_t n = 0;
    LIST_EACH (c, &s->classes, struct fleet_class, in_sched)
        if (c->kinds & b->bit)
            n = MAX(n, (size_t)fleet_workers_for(s, c->kinds));
    if (n == 0) /* there were too many sinks to tell, or all of its workers drain */
        LIST_EACH (se, &s->by_silence, struct session, in_silence)
            n++;
    return MAX(n, (size_t)1);
}

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
    if (s->now_ms - b->ok_ms < BREAKER_QUIET_MS)
        return false;
    const size_t here = workers_of(s, b);
    size_t failing = 0;
    for (size_t i = 0; i < b->n_workers; i++)
        failing += b->workers[i].fails_row > 0 && b->workers[i].until_ms == 0;
    return b->fails_row >= MIN((size_t)BREAKER_FAILS, BREAKER_FAILS_A_WORKER * here) &&
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
    if (fail > 0)
        b->fail_ms = s->now_ms;
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
    struct breaker_worker *w = b->host ? NULL : breaker_worker_make(s, b, se->shard->worker);
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
        breaker_set_alarm(s, b);
        return;
    }
    if (b->state == SCHED_BREAKER_OPEN || (w && w->until_ms > 0))
        return; /* from before it was told */
    count(s, b, w, ev);
    if (b->manual == SCHED_MANUAL_PINNED || (ev->u.calls.fail == 0 && ev->u.calls.slow == 0))
        return;
    if (w && breaker_fails_alone(s, b, w))
        breaker_quarantine(s, b, w);
    else if (must_open(s, b, &reason))
        breaker_open(s, b, reason);
    else
        breaker_set_alarm(s, b);
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
            breaker_release(s, b, &b->workers[i]);
    b->open_ms = 0;
    if (b->state != SCHED_BREAKER_CLOSED)
        breaker_close(s, b, b->manual == SCHED_MANUAL_PINNED ? "pinned by hand" : "reset by hand",
                      false);
    forget_calls(b);
    b->not_closed_ms = 0;
    breaker_set_alarm(s, b);
}

/* ---- time ---- */

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
    breaker_settle_all(s, b);
}

static void due_one(struct sched *s, struct breaker *b)
{
    for (size_t i = 0; i < b->n_workers; i++)
        if (b->workers[i].until_ms > 0 && b->workers[i].until_ms <= s->now_ms)
            breaker_release(s, b, &b->workers[i]);
    if (b->state == SCHED_BREAKER_CLOSED && b->ramp_step > 0 && b->ramp_ms <= s->now_ms)
        ramp(s, b);
    else if (b->state == SCHED_BREAKER_HALF_OPEN && b->probing && b->probe_until_ms <= s->now_ms)
        probe_instead(s, b);
    const char *reason = NULL;
    if (b->state == SCHED_BREAKER_CLOSED && b->manual == SCHED_MANUAL_NONE && b->fails_row > 0 &&
        must_open(s, b, &reason)) {
        breaker_open(s, b, reason);
        return;
    }
    if (forgettable(b) && s->now_ms - b->keyless_ms >= BREAKER_FORGET_MS) {
        breaker_free(s, b);
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
    breaker_set_alarm(s, b);
    breaker_give_up(s, b);
    if (over && b->state == SCHED_BREAKER_OPEN)
        half_open(s, b);
}

void breaker_due(struct sched *s)
{
    for (struct alarm *t; (t = alarm_due(&s->breaker_alarms, s->now_ms)) != NULL;)
        due_one(s, CONTAINER_OF(t, struct breaker, alarm));
}
