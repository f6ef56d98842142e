/* breaker_worker.c: workers that fail alone, and what a session that comes or goes means. */
#include "coordinator/core/breaker_internal.h"

#define ENGINE_MASK ((1U << BREAKER_ENGINE_BITS) - 1)

/* ---- quarantine ---- */

uint32_t breaker_worker_kinds(const struct sched *s, uint64_t worker, uint32_t engines)
{
    uint32_t kinds = (engines & ENGINE_MASK) | ~ENGINE_MASK;
    LIST_EACH (b, &s->sink_breakers, struct breaker, in_sched) {
        const struct breaker_worker *w = breaker_worker_find(b, worker);
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
    breaker_trace(s, b, reason);
    struct sched_action *a = &s->out->items[s->out->n - 1];
    a->u.trace.worker = worker;
    a->u.trace.quarantined = on;
}

void breaker_quarantine(struct sched *s, struct breaker *b, struct breaker_worker *w)
{
    w->quarantine_ms = w->quarantine_ms
                           ? MIN(w->quarantine_ms * 2, (uint32_t)BREAKER_QUARANTINE_MAX_MS)
                           : (uint32_t)BREAKER_QUARANTINE_MS;
    w->until_ms = s->now_ms + w->quarantine_ms;
    w->fails_row = 0;
    const uint64_t worker = w->worker;
    const struct shard *sh = shard_find(s, worker);
    if (sh && sh->session)
        breaker_tell(s, b, sh->session->id, SCHED_TELL_QUARANTINED);
    trace_worker(s, b, worker, true, "it fails at this worker alone");
    rekind(s, worker);
    breaker_set_alarm(s, b);
}

void breaker_release(struct sched *s, struct breaker *b, struct breaker_worker *w)
{
    w->until_ms = 0;
    const uint64_t worker = w->worker;
    const struct shard *sh = shard_find(s, worker);
    if (sh && sh->session)
        breaker_tell(s, b, sh->session->id,
                     b->state == SCHED_BREAKER_CLOSED ? SCHED_TELL_CLOSED : SCHED_TELL_OPEN);
    trace_worker(s, b, worker, false, "its time is over");
    rekind(s, worker);
}

/* Does this worker fail alone, while another had success and has not failed since? */
bool breaker_fails_alone(const struct sched *s, const struct breaker *b,
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

/* ---- sessions ---- */

void breaker_greet(struct sched *s, const struct session *se)
{
    LIST_EACH (b, &s->sink_breakers, struct breaker, in_sched) {
        struct breaker_worker *w = breaker_worker_find(b, se->shard->worker);
        if (w)
            w->waiting = 0; /* it says so again */
        if (w && w->until_ms > 0)
            breaker_tell(s, b, se->id, SCHED_TELL_QUARANTINED);
        else if (b->state != SCHED_BREAKER_CLOSED)
            breaker_tell(s, b, se->id, SCHED_TELL_OPEN);
    }
}

void breaker_session_gone(struct sched *s, struct session_id id, uint64_t worker)
{
    LIST_EACH (b, &s->sink_breakers, struct breaker, in_sched) {
        struct breaker_worker *w = breaker_worker_find(b, worker);
        if (w)
            w->waiting = 0;
        if (b->state == SCHED_BREAKER_HALF_OPEN && b->probing && b->probe_session.v == id.v)
            breaker_probe_next(s, b);
    }
}
