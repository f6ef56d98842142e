#include "loop.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include "common/log.h"
#include "common/transport.h"
#include "coordinator/edge/back.h"
#include "coordinator/edge/blobs.h"
#include "coordinator/edge/completions.h"
#include "coordinator/edge/downstreams.h"
#include "coordinator/edge/front.h"
#include "coordinator/edge/looks.h"
#include "coordinator/edge/metrics.h"
#include "coordinator/edge/notify.h"
#include "coordinator/edge/predict.h"
#include "coordinator/edge/predict_http.h"
#include "coordinator/edge/sessions.h"
#include "coordinator/edge/sink_thread.h"
#include "coordinator/edge/waiters.h"

enum {
    BACK_BATCH = 256, /* messages a turn, so that nobody waits for the others */
    FRONT_BATCH = 64,
    TURN_MAX_MS = 500, /* the loop shows that it lives at least so often */
    PUBLISH_EVERY_MS = 1000,
    SIZES_EVERY_MS = 2000,
    EXPIRE_EVERY_MS = 30 * 1000,
    STOP_WITHIN_MS = 5000
};

/* What the loop does now and then. */
struct chores {
    struct loop *loop;
    uint64_t publish_ms, sizes_ms, expire_ms; /* when next */
    uint64_t done, rows, rates_ms;            /* at the last publication */
    struct buf text;
    struct sizes_request {
        struct store_request request; /* first: what comes back is cast */
        struct chores *chores;
        struct store_sizes sizes;
        bool busy;
    } sizes;
    struct expire_request {
        struct store_request request;
        struct chores *chores;
        int64_t wall_ms;
        bool more, busy;
    } expire;
};

/* ---- chores ---- */

static int sizes_run(struct store *s, struct store_request *r)
{
    return store_sizes(s, &((struct sizes_request *)r)->sizes, &r->error);
}

static void sizes_done(struct store_request *r, void *user)
{
    struct sizes_request *q = (struct sizes_request *)r;
    struct edge *e = user;
    q->busy = false;
    if (r->rc == 0)
        e->sizes = q->sizes;
}

static int expire_run(struct store *s, struct store_request *r)
{
    struct expire_request *q = (struct expire_request *)r;
    q->more = false;
    return store_expire(s, q->wall_ms, &q->more, &r->error);
}

static void expire_done(struct store_request *r, void *user)
{
    struct expire_request *q = (struct expire_request *)r;
    struct edge *e = user;
    q->busy = false;
    if (r->rc)
        LOG_WARN("expired results were not deleted", log_err(&r->error));
    if (r->rc == 0 && q->more)
        q->chores->expire_ms = e->now_ms;
}

static void submit(struct edge *e, struct store_request *r, bool write,
                   int (*run)(struct store *, struct store_request *),
                   void (*done)(struct store_request *, void *))
{
    r->write = write;
    r->bytes = sizeof(*r);
    r->run = run;
    r->done = done;
    r->rc = 0;
    store_thread_submit(e->store, r);
}

static void update_rates(struct chores *c, struct edge *e)
{
    uint64_t done = 0;
    for (size_t i = 0; i < EDGE_KINDS; i++)
        done += e->counts.attempts[i][EDGE_DONE];
    double dt = (double)(e->now_ms - c->rates_ms) / 1000.0;
    if (c->rates_ms && dt > 0) {
        /* Smoothed over some seconds, so that it can be read. */
        const double weight = 0.3;
        e->done_per_s += weight * ((double)(done - c->done) / dt - e->done_per_s);
        e->rows_per_s += weight * ((double)(e->counts.rows - c->rows) / dt - e->rows_per_s);
        if (e->done_per_s < 0.01)
            e->done_per_s = 0;
        if (e->rows_per_s < 0.01)
            e->rows_per_s = 0;
        histogram_recent_fade(&e->recent_runs, dt);
    }
    c->rates_ms = e->now_ms;
    c->done = done;
    c->rows = e->counts.rows;
}

/* A failing sink is no reason to take the coordinator out of service: it holds what needs the sink. */
static void write_open_sinks(const struct edge *e, struct buf *out)
{
    struct downstreams_entry b;
    for (struct downstreams_walk walk = {0}; downstreams_next(e->downstreams, &walk, &b);)
        if (!b.view.host && b.view.state != SCHED_BREAKER_CLOSED)
            buf_printf(out, "breaker open: %s\n", b.name);
}

static void publish(struct chores *c, struct edge *e)
{
    struct sched_stats stats;
    struct buf note;
    update_rates(c, e);
    sessions_revoked(e->sessions);
    if (!c->loop->http)
        return;
    sched_stats(e->sched, e->now_ms, &stats);
    const char *why = e->stopping                          ? "stopping"
                      : stats.recovering                   ? "recovering after a start"
                      : e->sizes.refusing || e->store_full ? "the disk of the store is full"
                                                           : NULL;
    buf_clear(&c->text);
    buf_init(&note, 0);
    metrics_render(e, &c->text);
    write_open_sinks(e, &note);
    http_publish(c->loop->http, buf_span(&c->text), why, buf_span(&note));
    buf_done(&note);
}

static uint64_t do_chores(struct chores *c, struct edge *e)
{
    if (e->now_ms >= c->publish_ms) {
        publish(c, e);
        c->publish_ms = e->now_ms + PUBLISH_EVERY_MS;
    }
    if (e->now_ms >= c->sizes_ms && !c->sizes.busy) {
        c->sizes.busy = true;
        submit(e, &c->sizes.request, false, sizes_run, sizes_done);
        c->sizes_ms = e->now_ms + SIZES_EVERY_MS;
    }
    if (e->now_ms >= c->expire_ms && !c->expire.busy) {
        c->expire.busy = true;
        c->expire.wall_ms = e->wall_ms;
        c->expire_ms = e->now_ms + EXPIRE_EVERY_MS;
        submit(e, &c->expire.request, true, expire_run, expire_done);
    }
    uint64_t next = MIN(c->publish_ms, c->sizes_ms);
    return MIN(next, c->expire_ms);
}

/* ---- turns ---- */

/* Everything that time brings. Returns when it wants to be called next. */
static uint64_t run_timers(struct edge *e)
{
    if (e->now_ms >= sched_deadline(e->sched))
        edge_event(e, &(struct sched_event){.type = SCHED_EV_TICK});
    uint64_t next = sessions_timer(e->sessions);
    next = MIN(next, waiters_timer(e->waiters));
    next = MIN(next, edge_again_timer(e));
    next = MIN(next, blobs_timer(e->blobs));
    return next;
}

static int64_t time_left(const struct edge *e, uint64_t due_ms)
{
    if (due_ms <= e->now_ms)
        return 0;
    return (int64_t)MIN(due_ms - e->now_ms, (uint64_t)TURN_MAX_MS);
}

static bool signalled(int fd)
{
    struct signalfd_siginfo info;
    return read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info);
}

/* One turn; the time until the next one is needed. */
static int64_t turn(struct loop *l, struct chores *c, bool receive)
{
    struct edge *e = l->edge;
    bool more = false;
    edge_clock(e);
    if (l->http)
        http_alive(l->http);
    store_thread_poll(e->store, e);
    sink_thread_poll(e->sink_thread, e);
    blobs_poll(e->blobs);
    looks_poll(e->looks);
    if (receive) {
        more = back_receive(e, BACK_BATCH);
        more |= front_receive(e, FRONT_BATCH);
        if (e->predict_http)
            predict_http_poll(e->predict_http);
    }
    uint64_t due = run_timers(e);
    due = MIN(due, predict_step(e->predict));
    if (receive)
        due = MIN(due, do_chores(c, e));
    edge_flush(e);
    due = MIN(due, sched_deadline(e->sched));
    return more ? 0 : time_left(e, due);
}

/* Nothing more is taken in; what was accepted is committed and answered. */
static void wind_up(struct loop *l, struct chores *c)
{
    struct edge *e = l->edge;
    struct transport_item item = {.fd = store_thread_fd(e->store)};
    struct store_thread_stats stats;
    struct error error;
    uint64_t give_up_ms = e->now_ms + STOP_WITHIN_MS;
    e->stopping = true;
    predict_stop(e->predict);
    looks_stop(e->looks);
    waiters_wake_all(e->waiters); /* they are answered with what there is */
    LOG_INFO("stopping");
    notify_send("STOPPING=1");
    do {
        turn(l, c, false);
        store_thread_stats(e->store, &stats);
        if (stats.queued_bytes == 0 && completions_pending(e->completions) == 0)
            return;
        transport_wait(&item, 1, TURN_MAX_MS);
    } while (e->now_ms < give_up_ms && !store_thread_failed(e->store, &error));
    LOG_WARN("stopped before everything was written; workers and clients will send it again");
}

int loop_run(struct loop *l, struct error *error)
{
    struct edge *e = l->edge;
    struct chores c = {.loop = l};
    c.sizes.chores = c.expire.chores = &c;
    buf_init(&c.text, 0);
    struct transport_item items[] = {
        {.transport = e->back, .fd = -1},
        {.transport = e->front, .fd = -1},
        {.fd = store_thread_fd(e->store)},
        {.fd = l->signal_fd},
        {.fd = sink_thread_fd(e->sink_thread)},
        {.fd = blobs_fd(e->blobs)},
        {.fd = looks_fd(e->looks)},
        {.fd = -1},
    };
    size_t n_items = ARRAY_LEN(items) - 1;
    if (e->predict_http)
        items[n_items++].fd = predict_http_fd(e->predict_http);
    bool stop = false;
    int rc = 0;
    while (!stop && rc == 0) {
        int64_t wait_ms = turn(l, &c, true);
        if (store_thread_failed(e->store, error))
            rc = error->code ? (int)error->code : ERR_STORE;
        if (rc == 0)
            transport_wait(items, n_items, wait_ms);
        stop = items[3].ready && signalled(l->signal_fd);
    }
    if (rc == 0)
        wind_up(l, &c);
    if (rc == 0 && store_thread_failed(e->store, error))
        rc = error->code ? (int)error->code : ERR_STORE;
    buf_done(&c.text);
    return rc;
}
