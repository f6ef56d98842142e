#include "waiters.h"

#include "coordinator/edge/map64.h"

struct waiters {
    struct edge *edge;
    size_t n, max;
    struct map64 by_job; /* first call of a list */
    uint64_t next_ms;    /* nothing is due before */
};

struct waiters *waiters_new(struct edge *e, size_t max)
{
    struct waiters *w = calloc(1, sizeof(*w));
    if (w)
        *w = (struct waiters){.edge = e, .max = max, .next_ms = UINT64_MAX};
    return w;
}

void waiters_free(struct waiters *w)
{
    if (!w)
        return;
    size_t at = 0;
    for (struct map64_entry *m; (m = map64_next(&w->by_job, &at));)
        for (struct call *c = m->value, *next; c; c = next) {
            next = c->wait_next;
            front_free(c);
        }
    map64_done(&w->by_job);
    free(w);
}

size_t waiters_count(const struct waiters *w)
{
    return w->n;
}

bool waiters_park(struct waiters *w, struct call *c, uint64_t job)
{
    if (c->wait_until_ms == 0)
        c->wait_until_ms = w->edge->now_ms + c->args.wait_ms;
    if (w->edge->now_ms >= c->wait_until_ms || w->n >= w->max || w->edge->stopping)
        return false;
    struct call *first = map64_get(&w->by_job, job);
    if (!map64_put(&w->by_job, job, c))
        return false;
    c->wait_job = job;
    c->wait_due_ms = c->wait_until_ms;
    c->wait_prev = NULL;
    c->wait_next = first;
    if (first)
        first->wait_prev = c;
    w->next_ms = MIN(w->next_ms, c->wait_due_ms);
    w->n++;
    return true;
}

static void unpark(struct waiters *w, struct call *c)
{
    if (c->wait_prev) {
        c->wait_prev->wait_next = c->wait_next;
    } else if (!c->wait_next || !map64_put(&w->by_job, c->wait_job, c->wait_next)) {
        map64_take(&w->by_job, c->wait_job); /* replacing a key needs no memory and never fails */
    }
    if (c->wait_next)
        c->wait_next->wait_prev = c->wait_prev;
    c->wait_next = c->wait_prev = NULL;
    w->n--;
}

void waiters_wake(struct waiters *w, uint64_t job, bool at_once)
{
    uint64_t due = w->edge->now_ms + (at_once ? 0 : WAITERS_DEBOUNCE_MS);
    for (struct call *c = map64_get(&w->by_job, job); c; c = c->wait_next) {
        c->wait_due_ms = MIN(c->wait_due_ms, due);
        w->next_ms = MIN(w->next_ms, due);
    }
}

void waiters_wake_all(struct waiters *w)
{
    size_t at = 0;
    for (struct map64_entry *m; (m = map64_next(&w->by_job, &at));)
        waiters_wake(w, m->key, true);
}

/* The calls that are due, taken out of the lists; linked by wait_next. */
static struct call *take_due(struct waiters *w)
{
    struct call *due = NULL, **end = &due;
    uint64_t now = w->edge->now_ms;
    w->next_ms = UINT64_MAX;
    size_t at = 0;
    /* Two passes, since the map must not change while it is walked. */
    for (struct map64_entry *m; (m = map64_next(&w->by_job, &at));)
        for (struct call *c = m->value; c; c = c->wait_next) {
            if (c->wait_due_ms > now) {
                w->next_ms = MIN(w->next_ms, c->wait_due_ms);
                continue;
            }
            *end = c;
            end = &c->wait_ready;
        }
    *end = NULL;
    for (struct call *c = due; c; c = c->wait_ready)
        unpark(w, c);
    return due;
}

uint64_t waiters_timer(struct waiters *w)
{
    if (w->edge->now_ms < w->next_ms)
        return w->next_ms;
    struct call *next;
    for (struct call *c = take_due(w); c; c = next) {
        struct error error = {0};
        next = c->wait_ready;
        int rc = c->verb->start(c, &error);
        if (rc)
            front_fail(c, rc, error.detail);
    }
    return w->next_ms;
}
