#include "batcher.h"

#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "batcher_internal.h"
#include "common/clock.h"
#include "common/log.h"

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
    snprintf(s->bytes_name, sizeof(s->bytes_name), BATCHER_BYTES_PREFIX "%s", s->downstream);
    pace_init(&s->pace);
    s->active_max = 1;
    gate_init(&s->gate, b->config.seed ^ downstream_hash(span_str(s->downstream)));
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC); /* as clock_ms */
    pthread_cond_init(&s->wake, &attr);
    pthread_condattr_destroy(&attr);
    return s;
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
        rc = batcher_lane_start(s, e);
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

struct landing *batcher_take(struct batcher *b)
{
    if (!b->taken) {
        uint64_t n;
        (void)!read(b->fd, &n, sizeof(n));
        pthread_mutex_lock(&b->lock);
        b->taken = TAKE_PTR(b->done);
        b->done_end = &b->done;
        pthread_mutex_unlock(&b->lock);
    }
    struct landing *l = b->taken;
    if (l)
        b->taken = l->next;
    return l;
}

int batcher_fd(const struct batcher *b)
{
    return b->fd;
}

int batcher_put(struct batcher *b, struct landing *l, struct error *e)
{
    l->put_ms = clock_ms();
    l->bytes = batch_bytes(l->rows) + sizeof(*l);
    l->verdict = LANDING_UNDECIDED;
    l->queued = l->withdrawn = false;
    pthread_mutex_lock(&b->lock);
    struct sink *s = find_named(b, l->target->kind, l->target->name);
    if (s && (b->returning || s->gate.told == WIRE_BREAKER_QUARANTINED)) {
        batcher_lane_give(b, l);
        batcher_lane_wake_owner(b);
    } else if (s) {
        batcher_lane_link(s, l, NULL);
        /* A sleeping lane needs to know of the first, and when the batch is full. */
        if (s->n == 1 || batcher_lane_is_full(s))
            pthread_cond_signal(&s->wake);
        /* Rows that begin to wait for an open sink are told at once: they are what it is probed with. */
        if (gate_urgent(&s->gate, 1))
            batcher_lane_wake_owner(b);
    }
    pthread_mutex_unlock(&b->lock);
    return s ? ERR_OK
             : error_set(e, ERR_NOT_FOUND, "this worker was not told of the sink \"%s\"",
                         l->target->name);
}

bool batcher_withdraw(struct batcher *b, struct landing *l)
{
    pthread_mutex_lock(&b->lock);
    const bool queued = l->queued;
    if (queued)
        batcher_lane_unlink(find_named(b, l->target->kind, l->target->name), l);
    l->withdrawn = true;
    pthread_mutex_unlock(&b->lock);
    return queued;
}

void batcher_return(struct batcher *b)
{
    pthread_mutex_lock(&b->lock);
    b->returning = true;
    for (struct sink *s = b->sinks; s; s = s->next)
        batcher_lane_give_all(s);
    pthread_mutex_unlock(&b->lock);
    batcher_lane_wake_owner(b);
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
        gate_tell(&s->gate, state, batcher_lane_waiting(s));
        if (state == WIRE_BREAKER_PROBE)
            s->active_max = 1;
        if (state == WIRE_BREAKER_QUARANTINED)
            batcher_lane_give_all(s);
        pthread_cond_broadcast(&s->wake);
    }
    pthread_mutex_unlock(&b->lock);
    if (s)
        batcher_lane_wake_owner(b);
}

size_t batcher_calls(struct batcher *b, bool urgent, struct wire_calls *ret, size_t max)
{
    size_t n = 0;
    bool due = !urgent;
    pthread_mutex_lock(&b->lock);
    for (struct sink *s = b->sinks; s && !due; s = s->next)
        due = gate_urgent(&s->gate, batcher_lane_waiting(s));
    for (struct sink *s = b->sinks; s && due && n < max; s = s->next) {
        if (!gate_news(&s->gate, batcher_lane_waiting(s)))
            continue;
        gate_take(&s->gate, batcher_lane_waiting(s), &ret[n]);
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
        news = gate_news(&s->gate, batcher_lane_waiting(s));
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

size_t batcher_bytes(struct batcher *b, struct wire_stat *ret, size_t max)
{
    size_t n = 0;
    pthread_mutex_lock(&b->lock);
    for (const struct sink *s = b->sinks; s && n < max; s = s->next)
        ret[n++] =
            (struct wire_stat){span_str(s->bytes_name), (int64_t)(s->bytes + s->writing_bytes)};
    pthread_mutex_unlock(&b->lock);
    return n;
}

/* ---- life ---- */

int batcher_new(const struct batcher_config *config, struct batcher **ret, struct error *e)
{
    pthread_condattr_t attr;
    assert(config->connections > 0 && config->connections <= BATCHER_CONNECTIONS_MAX);
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
        batcher_lane_give_all(s);
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
