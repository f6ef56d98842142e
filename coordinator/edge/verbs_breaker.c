/* verbs_breaker.c: breakers and sinks: what state they are in, tripping and pinning by hand, asking
 * sinks whether they answer. */
#include "verbs.h"

#include "common/log.h"
#include "coordinator/edge/asks.h"
#include "coordinator/edge/downstreams.h"
#include "coordinator/edge/sessions.h"
#include "coordinator/edge/verbs_pack.h"

/* ---- the map of a breaker ---- */

static double seconds(uint64_t ms)
{
    return ms == UINT64_MAX ? -1.0 : (double)ms / 1000.0;
}

void verbs_pack_breaker(const struct edge *e, struct buf *out, const struct downstreams_entry *b)
{
    static const char *const states[] = {[SCHED_BREAKER_CLOSED] = "closed",
                                         [SCHED_BREAKER_OPEN] = "open",
                                         [SCHED_BREAKER_HALF_OPEN] = "half_open"};
    static const char *const manuals[] = {[SCHED_MANUAL_NONE] = NULL,
                                          [SCHED_MANUAL_TRIPPED] = "tripped",
                                          [SCHED_MANUAL_PINNED] = "pinned"};
    const struct sched_breaker_view *v = &b->view;
    const char *error = b->known ? b->known->error : NULL;
    bool open = v->state == SCHED_BREAKER_OPEN;
    bool waits = open && v->open_ms != UINT64_MAX;
    pack_map(out, 14);
    verbs_text(out, "downstream", b->name);
    verbs_text(out, "kind",
               downstreams_kind_name(downstreams_kind(e->downstreams, v->downstream, v->host)));
    verbs_text(out, "state", states[v->state]);
    verbs_text(out, "manual", manuals[v->manual]);
    verbs_real(out, "since_s", (double)v->since_ms / 1000.0);
    verbs_known(out, "retry_s", waits ? (double)v->open_ms / 1000.0 : -1.0);
    verbs_number(out, "held", v->held);
    verbs_number(out, "waiting", v->waiting);
    verbs_number(out, "quarantined", v->quarantined);
    verbs_number(out, "ok", v->ok);
    verbs_number(out, "fail", v->fail);
    verbs_number(out, "opened", v->opened);
    verbs_text(out, "error", error);
    verbs_known(out, "error_s", error ? seconds(e->now_ms - b->known->error_ms) : -1.0);
}

static bool notable(const struct sched_breaker_view *v)
{
    return v->state != SCHED_BREAKER_CLOSED || v->manual != SCHED_MANUAL_NONE || v->quarantined;
}

/* Sinks first: those are what most tasks wait for. */
void verbs_pack_breakers(const struct edge *e, struct buf *out, size_t max)
{
    struct downstreams_entry b;
    size_t n = 0;
    for (int count = 1; count >= 0; count--) {
        size_t packed = 0;
        if (!count)
            pack_array(out, n);
        for (int hosts = 0; hosts <= 1; hosts++) {
            struct downstreams_walk walk = {0};
            while (downstreams_next(e->downstreams, &walk, &b)) {
                if (!notable(&b.view) || b.view.host != (hosts == 1))
                    continue;
                if (count)
                    n = MIN(n + 1, max);
                else if (packed++ < n)
                    verbs_pack_breaker(e, out, &b);
            }
        }
    }
}

int verbs_breaker_ls(struct call *c, struct error *error)
{
    const struct edge *e = c->edge;
    struct downstreams_entry b;
    size_t n = 0, packed = 0;
    (void)error;
    for (struct downstreams_walk walk = {0}; downstreams_next(e->downstreams, &walk, &b);)
        n++;
    struct buf *out = front_reply(c);
    pack_map(out, 2);
    verbs_number(out, "total", n);
    pack_cstr(out, "breakers");
    pack_array(out, MIN(n, (size_t)FRONT_LIST_MAX));
    for (struct downstreams_walk walk = {0};
         packed < FRONT_LIST_MAX && downstreams_next(e->downstreams, &walk, &b); packed++)
        verbs_pack_breaker(e, out, &b);
    front_send(c);
    return 0;
}

/* ---- by hand ---- */

static int manual_run(struct store *s, struct store_request *r)
{
    struct call *c = (struct call *)r;
    return store_breaker_set(s, span_str(c->downstream), c->manual, &r->error);
}

/* One that the scheduler has no breaker of is closed. */
static void reply_breaker(struct call *c, const struct downstream *one)
{
    const struct edge *e = c->edge;
    struct downstreams_entry b = {.name = one->name, .known = one};
    struct sched_breaker_view v;
    size_t at = 0;
    b.view.downstream = one->hash;
    b.view.host = one->host;
    while (sched_breaker_next(e->sched, &at, e->now_ms, &v))
        if (v.downstream == one->hash)
            b.view = v;
    verbs_pack_breaker(e, front_reply(c), &b);
    front_send(c);
}

static void manual_done(struct store_request *r, void *user)
{
    static const char *const words[] = {"reset", "tripped", "pinned"};
    struct call *c = (struct call *)r;
    struct edge *e = user;
    edge_store_result(e, r->rc);
    if (r->rc)
        return front_fail(c, r->rc, r->error.detail);
    const struct downstream *one = downstreams_name(e->downstreams, span_str(c->downstream));
    if (!one)
        return front_fail(c, ERR_LIMIT, "more hosts have open breakers than can be remembered");
    LOG_INFO("breaker set by hand", log_str("downstream", one->name),
             log_str("manual", words[c->manual]), log_span("client", c->client));
    struct sched_event ev = {.type = SCHED_EV_BREAKER};
    ev.u.breaker.downstream = one->hash;
    ev.u.breaker.host = one->host;
    ev.u.breaker.manual = c->manual;
    edge_event(e, &ev);
    reply_breaker(c, one);
}

static int manual_start(struct call *c, enum sched_manual manual, struct error *error)
{
    int rc = front_need(c->args.downstream.len > 0, "downstream", error);
    if (rc == 0)
        rc = downstreams_resolve(c->edge->downstreams, c->args.downstream, c->downstream, error);
    if (rc)
        return rc;
    c->manual = manual;
    front_store(c, true, manual_run, manual_done);
    return 0;
}

int verbs_breaker_trip(struct call *c, struct error *error)
{
    return manual_start(c, SCHED_MANUAL_TRIPPED, error);
}

int verbs_breaker_pin(struct call *c, struct error *error)
{
    return manual_start(c, SCHED_MANUAL_PINNED, error);
}

int verbs_breaker_reset(struct call *c, struct error *error)
{
    return manual_start(c, SCHED_MANUAL_NONE, error);
}

/* ---- sinks ---- */

static uint64_t landing_bytes(const struct edge *e, size_t sink)
{
    uint64_t sum = 0;
    size_t at = 0;
    for (struct worker *w; (w = sessions_worker_next(e->sessions, &at));)
        sum += w->session ? w->landing_bytes[sink] : 0;
    return sum;
}

static void pack_sink(const struct edge *e, struct buf *out, size_t index,
                      const struct downstreams_entry *b)
{
    const struct sinks_entry *s = &e->sinks->entries[index];
    pack_map(out, 7);
    verbs_text(out, "sink", s->settings.name);
    verbs_text(out, "kind", spec_sink_kind_name(s->settings.kind));
    verbs_text(out, "url", s->settings.url);
    verbs_span(out, "user", span_str(s->settings.user));
    verbs_number(out, "rows", e->counts.rows_of_sinks[index]);
    verbs_number(out, "backlog_bytes", landing_bytes(e, index));
    pack_cstr(out, "breaker");
    verbs_pack_breaker(e, out, b);
}

int verbs_sink_ls(struct call *c, struct error *error)
{
    const struct edge *e = c->edge;
    struct downstreams_entry b;
    (void)error;
    struct buf *out = front_reply(c);
    pack_map(out, 1);
    pack_cstr(out, "sinks");
    pack_array(out, e->sinks->n);
    for (struct downstreams_walk walk = {0}; downstreams_next(e->downstreams, &walk, &b);)
        if (b.known && b.known->sink != SINKS_NONE)
            pack_sink(e, out, b.known->sink, &b);
    front_send(c);
    return 0;
}

static void checked(struct call *c)
{
    const struct sinks *s = c->edge->sinks;
    struct buf *out = front_reply(c);
    pack_map(out, 1);
    pack_cstr(out, "sinks");
    pack_array(out, c->n_asks);
    for (size_t i = 0; i < c->n_asks; i++) {
        const struct sink_request *r = &c->asks[i].request;
        pack_map(out, 5);
        verbs_text(out, "sink", s->entries[r->sink].settings.name);
        verbs_text(out, "kind", spec_sink_kind_name(s->entries[r->sink].settings.kind));
        verbs_flag(out, "ok", r->rc == 0);
        verbs_real(out, "seconds", (double)r->took_ms / 1000.0);
        verbs_text(out, "error", r->rc ? r->error.detail : NULL);
    }
    front_send(c);
}

int verbs_sink_check(struct call *c, struct error *error)
{
    const struct sinks *s = c->edge->sinks;
    size_t which[SINKS_MAX], n = 0;
    char name[DOWNSTREAM_NAME_MAX];
    if (c->args.sink.len) {
        int rc = downstreams_resolve(c->edge->downstreams, c->args.sink, name, error);
        if (rc)
            return rc;
        which[n++] = sinks_find_downstream(s, span_str(name));
        if (which[0] == SINKS_NONE)
            return error_set(error, ERR_INVALID_ARGUMENT, "sink: a host is no sink");
    }
    for (size_t i = 0; i < s->n && !c->args.sink.len; i++)
        which[n++] = i;
    return asks_check(c, which, n, checked, error);
}
