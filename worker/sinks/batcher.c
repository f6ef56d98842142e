#include "batcher.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "gate.h"

enum { THREADS_MAX = 64 };

struct lane; /* a connection's thread */

/* Older ones live as long as the sink: a lane may be connecting with them. They change as rarely as an
 * administrator changes a configuration. */
struct settings {
    struct sink_settings is;
    struct settings *older;
};

struct sink {
    struct batcher *batcher;
    const struct sink_kind *kind;
    struct settings *settings; /* the present ones, before the older ones */
    char downstream[DOWNSTREAM_NAME_MAX];
    uint32_t version; /* of the settings: connections of an older one are closed */
    struct gate gate;
    char error[GATE_ERROR_LEN]; /* what batcher_calls hands out */
    struct landing *first, *last;
    size_t n, bytes; /* that wait */
    uint64_t rows;
    size_t n_writing, writing_bytes;
    uint32_t active, active_max; /* calls under way; as many as may be */
    uint32_t batch_rows;
    uint32_t call_ms; /* moving average of a call */
    pthread_cond_t wake;
    struct lane *lanes;
    size_t n_lanes;
    struct sink *next;
};

struct lane {
    struct sink *sink;
    pthread_t thread;
    bool started, ended;
};

struct batcher {
    struct batcher_config config;
    pthread_mutex_t lock; /* of everything below */
    pthread_cond_t lane_ended;
    struct sink *sinks;
    size_t n_sinks;
    struct landing *done, **done_end;
    bool stopping, flushing;
    int fd;
};

/* ---- the owner's list ---- */

static void give(struct batcher *b, struct landing *l)
{
    l->next = NULL;
    *b->done_end = l;
    b->done_end = &l->next;
}

static void wake_owner(struct batcher *b)
{
    const uint64_t one = 1;
    (void)!write(b->fd, &one, sizeof(one));
}

struct landing *batcher_take(struct batcher *b)
{
    uint64_t n;
    (void)!read(b->fd, &n, sizeof(n));
    pthread_mutex_lock(&b->lock);
    struct landing *l = b->done;
    if (l) {
        b->done = l->next;
        if (!b->done)
            b->done_end = &b->done;
    }
    pthread_mutex_unlock(&b->lock);
    return l;
}

int batcher_fd(const struct batcher *b)
{
    return b->fd;
}

/* ---- a sink's queue, under the lock ---- */

static void push(struct sink *s, struct landing *l)
{
    l->next = NULL;
    if (s->last)
        s->last->next = l;
    else
        s->first = l;
    s->last = l;
    s->n++;
    s->bytes += l->bytes;
    s->rows += l->rows->n_rows;
}

static struct landing *pop(struct sink *s)
{
    struct landing *l = s->first;
    s->first = l->next;
    if (!s->first)
        s->last = NULL;
    s->n--;
    s->bytes -= l->bytes;
    s->rows -= l->rows->n_rows;
    return l;
}

/* Back to the front, in their order: the oldest goes first again. */
static void push_front(struct sink *s, struct landing **list, size_t n)
{
    for (size_t i = n; i > 0; i--) {
        struct landing *l = list[i - 1];
        l->next = s->first;
        s->first = l;
        if (!s->last)
            s->last = l;
        s->n++;
        s->bytes += l->bytes;
        s->rows += l->rows->n_rows;
    }
}

static uint32_t linger_ms(const struct sink *s)
{
    return MAX(MIN(s->call_ms / 2, (uint32_t)BATCHER_LINGER_MAX_MS),
               (uint32_t)BATCHER_LINGER_MIN_MS);
}

/* When the sink wants to write what waits; UINT64_MAX: not before something happens. */
static uint64_t due_ms(const struct sink *s)
{
    if (s->n == 0 || s->active >= s->active_max)
        return UINT64_MAX;
    const uint64_t gate = gate_next_ms(&s->gate);
    if (gate == UINT64_MAX)
        return UINT64_MAX;
    const bool full = s->rows >= s->batch_rows || s->bytes >= BATCHER_BYTES ||
                      s->n >= BATCHER_LANDINGS_MAX || s->batcher->flushing;
    return MAX(gate, full ? 0 : s->first->put_ms + linger_ms(s));
}

/* The batch: whole landings, at least one. */
static size_t take_batch(struct sink *s, struct landing **list)
{
    size_t n = 0, bytes = 0;
    uint64_t rows = 0;
    while (s->first && n < BATCHER_LANDINGS_MAX &&
           (n == 0 || (rows + s->first->rows->n_rows <= s->batch_rows &&
                       bytes + s->first->bytes <= BATCHER_BYTES))) {
        rows += s->first->rows->n_rows;
        bytes += s->first->bytes;
        list[n++] = pop(s);
    }
    s->n_writing += n;
    s->writing_bytes += bytes;
    return n;
}

/* What a call cost, for the size of the next batch. */
static void learn(struct sink *s, uint64_t took_ms, bool full)
{
    s->call_ms = (uint32_t)((s->call_ms * 7 + took_ms) / 8);
    if (took_ms > BATCHER_LATE_MS)
        s->batch_rows = MAX(s->batch_rows / 2, (uint32_t)BATCHER_ROWS_MIN);
    else if (took_ms < BATCHER_FAST_MS && full)
        s->batch_rows = MIN(s->batch_rows + BATCHER_ROWS_STEP, (uint32_t)BATCHER_ROWS_MAX);
}

/* ---- a lane ---- */

struct call {
    struct landing *list[BATCHER_LANDINGS_MAX];
    size_t n;
    bool full; /* there was more than fits one batch */
    uint64_t took_ms;
    int rc;
    struct error e;
};

/* Sorts out what came of a call. Under the lock. */
static void settle(struct sink *s, struct call *c, uint64_t now_ms)
{
    struct batcher *b = s->batcher;
    size_t left = 0;
    for (size_t i = 0; i < c->n; i++) {
        struct landing *l = c->list[i];
        s->n_writing--;
        s->writing_bytes -= l->bytes;
        if (l->verdict == LANDING_UNDECIDED)
            c->list[left++] = l;
        else
            give(b, l);
    }
    if (c->rc != ERR_OK) {
        gate_done(&s->gate, c->took_ms, c->e.detail, now_ms);
        s->active_max = 1;
    } else {
        gate_done(&s->gate, c->took_ms, NULL, now_ms);
        s->active_max = MIN(s->active_max + 1, (uint32_t)s->n_lanes);
        learn(s, c->took_ms, c->full);
    }
    if (left > 0 && s->gate.told == WIRE_BREAKER_QUARANTINED)
        for (size_t i = 0; i < left; i++)
            give(b, c->list[i]);
    else
        push_front(s, c->list, left);
    wake_owner(b);
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
    const uint64_t from = clock_ms();
    c->e = (struct error){0};
    c->rc = *conn ? ERR_OK : s->kind->open(settings, BATCHER_OPEN_MS, conn, &c->e);
    if (c->rc == ERR_OK)
        c->rc = s->kind->write(*conn, c->list, c->n, BATCHER_CALL_MS, &c->e);
    if (c->rc != ERR_OK) {
        s->kind->close(*conn);
        *conn = NULL;
    }
    c->took_ms = clock_ms() - from;
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
        c->full = s->rows >= s->batch_rows;
        c->n = take_batch(s, c->list);
        s->active++;
        gate_called(&s->gate);
        const struct sink_settings *settings = &s->settings->is;
        pthread_mutex_unlock(&b->lock);
        call(s, settings, &conn, c);
        pthread_mutex_lock(&b->lock);
        s->active--;
        settle(s, c, clock_ms());
        pthread_cond_broadcast(&s->wake);
    }
    lane->ended = true;
    pthread_cond_signal(&b->lane_ended);
    pthread_mutex_unlock(&b->lock);
    s->kind->close(conn);
    free(c);
    return NULL;
}

/* ---- sinks ---- */

static struct sink *find(struct batcher *b, struct span downstream)
{
    for (struct sink *s = b->sinks; s; s = s->next)
        if (span_eq(span_str(s->downstream), downstream))
            return s;
    return NULL;
}

static struct sink *find_named(struct batcher *b, enum spec_sink_kind kind, const char *name)
{
    for (struct sink *s = b->sinks; s; s = s->next)
        if (s->settings->is.kind == kind && strcmp(s->settings->is.name, name) == 0)
            return s;
    return NULL;
}

static bool same(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static struct settings *settings_new(struct sink_settings *take, struct settings *older)
{
    struct settings *n = malloc(sizeof(*n));
    if (n)
        *n = (struct settings){*take, older};
    if (n)
        *take = (struct sink_settings){0};
    return n;
}

static int change(struct sink *s, struct sink_settings *to, struct error *e)
{
    const struct sink_settings *is = &s->settings->is;
    if (same(is->url, to->url) && same(is->user, to->user) && same(is->password, to->password) &&
        same(is->ca_pem, to->ca_pem))
        return ERR_OK;
    struct settings *n = settings_new(to, s->settings);
    if (!n)
        return error_set(e, ERR_NOMEM, "no memory for a sink");
    s->settings = n;
    s->version++;
    return ERR_OK;
}

static void sink_free(struct sink *s)
{
    if (!s)
        return;
    pthread_cond_destroy(&s->wake);
    while (s->settings) {
        struct settings *older = s->settings->older;
        sink_settings_done(&s->settings->is);
        free(s->settings);
        s->settings = older;
    }
    free(s->lanes);
    free(s);
}

static struct sink *sink_new(struct batcher *b, struct sink_settings *settings)
{
    struct sink *s = calloc(1, sizeof(*s));
    pthread_condattr_t attr;
    if (!s)
        return NULL;
    s->lanes = calloc(b->config.connections, sizeof(*s->lanes));
    s->settings = s->lanes ? settings_new(settings, NULL) : NULL;
    if (!s->settings) {
        free(s->lanes);
        free(s);
        return NULL;
    }
    s->batcher = b;
    const struct sink_settings *is = &s->settings->is;
    s->kind = (b->config.kind_of ? b->config.kind_of : sink_kind_of)(is->kind);
    snprintf(s->downstream, sizeof(s->downstream), "%s:%s", spec_sink_kind_name(is->kind),
             is->name);
    s->batch_rows = BATCHER_ROWS_START;
    s->active_max = 1;
    s->call_ms = 2 * BATCHER_LINGER_MIN_MS;
    gate_init(&s->gate, b->config.seed ^ downstream_hash(span_str(s->downstream)));
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC); /* as clock_ms */
    pthread_cond_init(&s->wake, &attr);
    pthread_condattr_destroy(&attr);
    return s;
}

static int start_lanes(struct sink *s, struct error *e)
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

int batcher_sink(struct batcher *b, struct sink_settings *settings_take, struct error *e)
{
    int rc = ERR_OK;
    pthread_mutex_lock(&b->lock);
    struct sink *s = find_named(b, settings_take->kind, settings_take->name);
    if (s) {
        rc = change(s, settings_take, e);
    } else if (b->n_sinks == BATCHER_SINKS_MAX) {
        rc = error_set(e, ERR_LIMIT, "more than %d sinks", BATCHER_SINKS_MAX);
    } else if (!(s = sink_new(b, settings_take))) {
        rc = error_set(e, ERR_NOMEM, "no memory for a sink");
    } else {
        rc = start_lanes(s, e);
        if (rc == ERR_OK) {
            s->next = b->sinks;
            b->sinks = s;
            b->n_sinks++;
        } else {
            sink_free(s);
        }
    }
    pthread_mutex_unlock(&b->lock);
    sink_settings_done(settings_take);
    return rc;
}

bool batcher_has(struct batcher *b, enum spec_sink_kind kind, const char *name)
{
    pthread_mutex_lock(&b->lock);
    const bool has = find_named(b, kind, name) != NULL;
    pthread_mutex_unlock(&b->lock);
    return has;
}

/* ---- landings ---- */

int batcher_put(struct batcher *b, struct landing *l, struct error *e)
{
    l->put_ms = clock_ms();
    l->bytes = batch_bytes(l->rows) + sizeof(*l);
    l->verdict = LANDING_UNDECIDED;
    pthread_mutex_lock(&b->lock);
    struct sink *s = find_named(b, l->target->kind, l->target->name);
    if (s && s->gate.told == WIRE_BREAKER_QUARANTINED) {
        give(b, l);
        wake_owner(b);
    } else if (s) {
        push(s, l);
        /* A sleeping lane needs to know of the first, and when the batch is full. */
        if (s->n == 1 || s->rows >= s->batch_rows)
            pthread_cond_signal(&s->wake);
        /* Rows that begin to wait for an open sink are told at once: they are what it is probed with. */
        if (gate_urgent(&s->gate, 1))
            wake_owner(b);
    }
    pthread_mutex_unlock(&b->lock);
    return s ? ERR_OK
             : error_set(e, ERR_NOT_FOUND, "this worker was not told of the sink \"%s\"",
                         l->target->name);
}

void batcher_return(struct batcher *b, const char *downstream)
{
    pthread_mutex_lock(&b->lock);
    for (struct sink *s = b->sinks; s; s = s->next)
        if (!downstream || strcmp(s->downstream, downstream) == 0)
            while (s->first)
                give(b, pop(s));
    pthread_mutex_unlock(&b->lock);
    wake_owner(b);
}

void batcher_flush(struct batcher *b, bool on)
{
    pthread_mutex_lock(&b->lock);
    b->flushing = on;
    for (struct sink *s = b->sinks; s; s = s->next)
        pthread_cond_broadcast(&s->wake);
    pthread_mutex_unlock(&b->lock);
}

/* ---- what the coordinator says and hears ---- */

void batcher_session(struct batcher *b)
{
    pthread_mutex_lock(&b->lock);
    for (struct sink *s = b->sinks; s; s = s->next) {
        gate_session(&s->gate);
        pthread_cond_broadcast(&s->wake);
    }
    pthread_mutex_unlock(&b->lock);
}

void batcher_tell(struct batcher *b, struct span downstream, enum wire_breaker_state state)
{
    pthread_mutex_lock(&b->lock);
    struct sink *s = find(b, downstream);
    if (s) {
        gate_tell(&s->gate, state);
        if (state == WIRE_BREAKER_PROBE)
            s->active_max = 1;
        while (state == WIRE_BREAKER_QUARANTINED && s->first)
            give(b, pop(s));
        pthread_cond_broadcast(&s->wake);
    }
    pthread_mutex_unlock(&b->lock);
    if (s && state == WIRE_BREAKER_QUARANTINED)
        wake_owner(b);
}

size_t batcher_calls(struct batcher *b, bool urgent, struct wire_calls *ret, size_t max)
{
    size_t n = 0;
    bool due = !urgent;
    pthread_mutex_lock(&b->lock);
    for (struct sink *s = b->sinks; s && !due; s = s->next)
        due = gate_urgent(&s->gate, (uint32_t)s->n);
    for (struct sink *s = b->sinks; s && due && n < max; s = s->next) {
        const uint32_t waiting = (uint32_t)s->n;
        if (!gate_news(&s->gate, waiting))
            continue;
        gate_take(&s->gate, waiting, &ret[n]);
        if (ret[n].error.p) {
            snprintf(s->error, sizeof(s->error), "%s", s->gate.error);
            ret[n].error = span_str(s->error);
        }
        ret[n++].downstream = span_str(s->downstream);
    }
    pthread_mutex_unlock(&b->lock);
    return n;
}

bool batcher_news(struct batcher *b)
{
    bool news = false;
    pthread_mutex_lock(&b->lock);
    for (struct sink *s = b->sinks; s && !news; s = s->next)
        news = gate_news(&s->gate, (uint32_t)s->n);
    pthread_mutex_unlock(&b->lock);
    return news;
}

void batcher_stats(struct batcher *b, struct batcher_stats *ret)
{
    *ret = (struct batcher_stats){0};
    pthread_mutex_lock(&b->lock);
    for (const struct sink *s = b->sinks; s; s = s->next) {
        ret->landings += s->n + s->n_writing;
        ret->bytes += s->bytes + s->writing_bytes;
    }
    pthread_mutex_unlock(&b->lock);
}

/* ---- life ---- */

int batcher_new(const struct batcher_config *config, struct batcher **ret, struct error *e)
{
    pthread_condattr_t attr;
    assert(config->connections > 0 && config->connections <= THREADS_MAX);
    struct batcher *b = calloc(1, sizeof(*b));
    if (!b)
        return error_set(e, ERR_NOMEM, "no memory for sinks");
    b->config = *config;
    b->done_end = &b->done;
    pthread_mutex_init(&b->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&b->lane_ended, &attr);
    pthread_condattr_destroy(&attr);
    b->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (b->fd < 0) {
        batcher_free(b);
        return error_set(e, ERR_UNAVAILABLE, "eventfd: %s", strerror(errno));
    }
    *ret = b;
    return ERR_OK;
}

static bool all_ended(const struct sink *s)
{
    for (size_t i = 0; i < s->n_lanes; i++)
        if (!s->lanes[i].ended)
            return false;
    return true;
}

bool batcher_stop(struct batcher *b)
{
    bool all = true;
    const uint64_t until = clock_ms() + BATCHER_STOP_MS;
    struct timespec t = {.tv_sec = (time_t)(until / 1000),
                         .tv_nsec = (long)(until % 1000) * 1000000};
    pthread_mutex_lock(&b->lock);
    b->stopping = true;
    for (struct sink *s = b->sinks; s; s = s->next) {
        pthread_cond_broadcast(&s->wake);
        while (!all_ended(s))
            if (pthread_cond_timedwait(&b->lane_ended, &b->lock, &t) == ETIMEDOUT)
                break;
        if (!all_ended(s)) {
            LOG_WARN("a call to a sink does not end", log_str("sink", s->downstream));
            all = false;
        }
        while (s->first)
            give(b, pop(s));
    }
    pthread_mutex_unlock(&b->lock);
    for (struct sink *s = all ? b->sinks : NULL; s; s = s->next) {
        for (size_t i = 0; i < s->n_lanes; i++)
            pthread_join(s->lanes[i].thread, NULL);
        s->n_lanes = 0;
    }
    return all;
}

void batcher_free(struct batcher *b)
{
    if (!b)
        return;
    if (!batcher_stop(b))
        return; /* a thread still uses it: the process is about to end */
    while (b->sinks) {
        struct sink *s = b->sinks;
        b->sinks = s->next;
        sink_free(s);
    }
    if (b->fd >= 0)
        close(b->fd);
    pthread_cond_destroy(&b->lane_ended);
    pthread_mutex_destroy(&b->lock);
    free(b);
}
