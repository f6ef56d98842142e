#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "batcher_internal.h"
#include "common/clock.h"
#include "common/log.h"

/* ---- the owner's list ---- */

void batcher_lane_give(struct batcher *b, struct landing *l)
{
    l->prev = l->next = NULL;
    *b->done_end = l;
    b->done_end = &l->next;
}

void batcher_lane_wake_owner(struct batcher *b)
{
    const uint64_t one = 1;
    (void)!write(b->fd, &one, sizeof(one));
}

/* ---- a sink's queue, under the lock ---- */

void batcher_lane_link(struct sink *s, struct landing *l, struct landing *before)
{
    struct landing *after = before ? before->prev : s->last;
    l->prev = after;
    l->next = before;
    *(after ? &after->next : &s->first) = l;
    *(before ? &before->prev : &s->last) = l;
    l->queued = true;
    s->n++;
    s->bytes += l->bytes;
    s->rows += l->rows->n_rows;
}

void batcher_lane_unlink(struct sink *s, struct landing *l)
{
    *(l->prev ? &l->prev->next : &s->first) = l->next;
    *(l->next ? &l->next->prev : &s->last) = l->prev;
    l->prev = l->next = NULL;
    l->queued = false;
    s->n--;
    s->bytes -= l->bytes;
    s->rows -= l->rows->n_rows;
}

static struct landing *pop(struct sink *s)
{
    struct landing *l = s->first;
    batcher_lane_unlink(s, l);
    return l;
}

uint32_t batcher_lane_waiting(const struct sink *s)
{
    return (uint32_t)(s->n + s->n_writing);
}

bool batcher_lane_is_full(const struct sink *s)
{
    return s->rows >= s->pace.rows || s->bytes >= BATCHER_BYTES || s->n >= BATCHER_LANDINGS_MAX;
}

void batcher_lane_give_all(struct sink *s)
{
    while (s->first)
        batcher_lane_give(s->batcher, pop(s));
}

/* When the sink wants to write what waits; UINT64_MAX: not before something happens. */
static uint64_t due_ms(const struct sink *s)
{
    if (s->n == 0 || s->active >= s->active_max)
        return UINT64_MAX;
    const uint64_t gate = gate_next_ms(&s->gate);
    if (gate == UINT64_MAX)
        return UINT64_MAX;
    const bool now = batcher_lane_is_full(s) || s->batcher->flushing;
    return MAX(gate, now ? 0 : s->first->put_ms + pace_linger_ms(&s->pace));
}

struct call {
    struct landing *list[BATCHER_LANDINGS_MAX];
    size_t n;
    uint32_t rows;
    bool full;                   /* there was enough for a whole batch */
    uint64_t took_ms;            /* with connecting */
    uint64_t began_ms, ended_ms; /* of the writing */
    int rc;
    struct error e;
};

/* The batch: whole landings, at least one. */
static void take_batch(struct sink *s, struct call *c)
{
    struct landing **list = c->list;
    size_t n = 0, bytes = 0;
    uint32_t rows = 0;
    while (s->first && n < BATCHER_LANDINGS_MAX &&
           (n == 0 || (rows + s->first->rows->n_rows <= s->pace.rows &&
                       bytes + s->first->bytes <= BATCHER_BYTES))) {
        rows += s->first->rows->n_rows;
        bytes += s->first->bytes;
        list[n++] = pop(s);
    }
    c->n = n;
    c->rows = rows;
    s->n_writing += n;
    s->writing_bytes += bytes;
}

/* ---- a lane ---- */

/* One line when a sink begins to fail, one when it is back. */
static void log_change(struct sink *s, const struct call *c)
{
    const bool failing = c->rc != ERR_OK;
    if (failing && !s->failing)
        LOG_WARN("a sink fails: its rows wait", log_str("sink", s->downstream), log_err(&c->e),
                 log_u64("tasks", batcher_lane_waiting(s)));
    else if (!failing && s->failing)
        LOG_INFO("a sink is back", log_str("sink", s->downstream));
    s->failing = failing;
}

/* Decided landings, and those that nobody may or wants to try again, go to the owner; the others to the
 * front of the queue, in their order. */
static void sort_out(struct sink *s, struct call *c)
{
    struct batcher *b = s->batcher;
    struct landing *before = s->first;
    const bool again = !b->returning && !b->stopping && s->gate.told != WIRE_BREAKER_QUARANTINED;
    for (size_t i = 0; i < c->n; i++) {
        struct landing *l = c->list[i];
        s->n_writing--;
        s->writing_bytes -= l->bytes;
        if (l->verdict == LANDING_UNDECIDED)
            landing_done(l); /* rejects found before the connection broke are found again */
        if (l->verdict != LANDING_UNDECIDED || !again || l->withdrawn)
            batcher_lane_give(b, l);
        else
            batcher_lane_link(s, l, before);
    }
}

/* What came of a call. Under the lock. */
static void settle(struct sink *s, struct call *c)
{
    const uint64_t now_ms = clock_ms();
    if (c->rc != ERR_OK) {
        const char *error = c->e.detail[0] ? c->e.detail : err_text((enum err)c->rc);
        gate_done(&s->gate, c->took_ms, error, now_ms);
        pace_failed(&s->pace, now_ms);
        s->active_max = 1;
    } else {
        gate_done(&s->gate, c->took_ms, NULL, now_ms);
        pace_committed(&s->pace, c->rows, c->full, c->began_ms, c->ended_ms);
        s->active_max = MIN(s->active_max + 1, (uint32_t)s->n_lanes);
    }
    sort_out(s, c);
    log_change(s, c);
    batcher_lane_wake_owner(s->batcher);
}

static void wait_until(struct sink *s, uint64_t due)
{
    if (due == UINT64_MAX) {
        pthread_cond_wait(&s->wake, &s->batcher->lock);
        return;
    }
    struct timespec t = {.tv_sec = (time_t)(due / 1000), .tv_nsec = (long)(due % 1000) * 1000000};
    pthread_cond_timedwait(&s->wake, &s->batcher->lock, &t);
}

/* One call: connects where that is needed, writes. Without the lock. */
static void call(const struct sink *s, const struct sink_settings *settings,
                 struct sink_conn **conn, struct call *c)
{
    const uint64_t from_ms = clock_ms();
    c->e = (struct error){0};
    c->rc = *conn ? ERR_OK : s->kind->open(settings, BATCHER_OPEN_MS, conn, &c->e);
    c->began_ms = clock_ms();
    if (c->rc == ERR_OK)
        c->rc = s->kind->write(*conn, c->list, c->n, BATCHER_CALL_MS, &c->e);
    for (size_t i = 0; i < c->n && c->rc == ERR_OK; i++)
        if (c->list[i]->verdict == LANDING_UNDECIDED) /* or it would be tried without a pause */
            c->rc = error_set(&c->e, ERR_INTERNAL, "the sink said nothing of a task");
    if (c->rc != ERR_OK) {
        s->kind->close(*conn);
        *conn = NULL;
    }
    c->ended_ms = clock_ms();
    c->took_ms = c->ended_ms - from_ms;
}

static void *lane_main(void *arg)
{
    struct lane *lane = arg;
    struct sink *s = lane->sink;
    struct batcher *b = s->batcher;
    struct sink_conn *conn = NULL;
    struct call *c = malloc(sizeof(*c));
    uint32_t version = 0;
    assert(c); /* some KiB when the process has hardly begun */
    pthread_mutex_lock(&b->lock);
    while (!b->stopping) {
        const uint64_t due = due_ms(s), now = clock_ms();
        if (due > now) {
            wait_until(s, due);
            continue;
        }
        if (conn && version != s->version) {
            s->kind->close(conn);
            conn = NULL;
        }
        version = s->version;
        c->full = batcher_lane_is_full(s);
        take_batch(s, c);
        s->active++;
        if (s->n > 0) /* more, for another lane */
            pthread_cond_signal(&s->wake);
        gate_called(&s->gate);
        const struct sink_settings *settings = &s->settings->is;
        pthread_mutex_unlock(&b->lock);
        call(s, settings, &conn, c);
        pthread_mutex_lock(&b->lock);
        s->active--;
        settle(s, c);
        pthread_cond_broadcast(&s->wake);
    }
    pthread_mutex_unlock(&b->lock);
    s->kind->close(conn);
    free(c);
    pthread_mutex_lock(&b->lock);
    lane->ended = true;
    pthread_cond_signal(&b->lane_ended);
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

int batcher_lane_start(struct sink *s, struct error *e)
{
    for (size_t i = 0; i < s->batcher->config.connections; i++) {
        struct lane *lane = &s->lanes[i];
        lane->sink = s;
        const int err = pthread_create(&lane->thread, NULL, lane_main, lane);
        if (err != 0 && i == 0)
            return error_set(e, ERR_UNAVAILABLE, "cannot start a thread: %s", strerror(err));
        if (err != 0)
            break;
        lane->started = true;
        s->n_lanes++;
    }
    return ERR_OK;
}
