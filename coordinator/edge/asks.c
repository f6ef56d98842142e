#include "asks.h"

#include "coordinator/edge/downstreams.h"

static int make(struct call *c, size_t n, void (*then)(struct call *c), struct error *error)
{
    c->asks = arena_zalloc(&c->arena, MAX(n, (size_t)1) * sizeof(*c->asks));
    if (!c->asks)
        return error_set(error, ERR_NOMEM, "no memory for the request");
    c->n_asks = 0;
    c->asks_then = then;
    return 0;
}

static void answered(struct sink_request *r, void *user)
{
    struct call *c = ((struct ask *)r)->call;
    (void)user;
    if (--c->asks_open == 0)
        c->asks_then(c);
}

/* What is known to fail is not asked: that would be one more failing call, and five seconds. */
static bool known_open(const struct edge *e, size_t sink)
{
    struct sched_breaker_view v;
    size_t at = 0;
    while (sched_breaker_next(e->sched, &at, e->now_ms, &v))
        if (v.downstream == e->sinks->entries[sink].hash)
            return v.state == SCHED_BREAKER_OPEN;
    return false;
}

static void submit(struct call *c)
{
    struct edge *e = c->edge;
    c->asks_open = 1; /* this function's, until all are asked */
    for (size_t i = 0; i < c->n_asks; i++) {
        struct ask *a = &c->asks[i];
        a->call = c;
        a->request.done = answered;
        if (a->skipped)
            continue;
        c->asks_open++;
        sink_thread_submit(e->sink_thread, &a->request);
    }
    if (--c->asks_open == 0)
        c->asks_then(c);
}

int asks_fits(struct call *c, void (*then)(struct call *c), struct error *error)
{
    const struct edge *e = c->edge;
    const struct spec *spec = c->spec;
    int rc = make(c, spec->n_sinks, then, error);
    if (rc)
        return rc;
    for (size_t i = 0; i < spec->n_sinks; i++) {
        size_t index = sinks_of(e->sinks, &spec->sinks[i]);
        if (index == SINKS_NONE)
            continue;
        struct ask *a = &c->asks[c->n_asks++];
        a->index = i;
        a->request.ask = SINK_FITS;
        a->request.sink = index;
        a->request.target = &spec->sinks[i];
        a->request.columns = spec->columns;
        a->skipped = known_open(e, index);
        if (!a->skipped)
            continue;
        const struct downstream *one =
            downstreams_get(e->downstreams, e->sinks->entries[index].hash);
        a->request.rc = error_set(&a->request.error, ERR_UNAVAILABLE, "its breaker is open: %s",
                                  one && one->error ? one->error : "tripped");
    }
    submit(c);
    return 0;
}

int asks_check(struct call *c, const size_t *sinks, size_t n, void (*then)(struct call *c),
               struct error *error)
{
    int rc = make(c, n, then, error);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++) {
        struct ask *a = &c->asks[c->n_asks++];
        a->index = i;
        a->request.ask = SINK_CHECK;
        a->request.sink = sinks[i];
    }
    submit(c);
    return 0;
}
