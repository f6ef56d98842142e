#include "downstreams.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#include "common/log.h"
#include "common/suggest.h"
#include "coordinator/edge/map64.h"
#include "coordinator/edge/sessions.h"
#include "coordinator/edge/sinks.h"

struct downstreams {
    struct edge *edge;
    struct map64 by_hash; /* struct downstream */
};

static void downstream_free(struct downstream *one)
{
    if (!one)
        return;
    free(one->name);
    free(one->error);
    free(one);
}

static struct downstream *add(struct downstreams *d, struct span name, size_t sink)
{
    struct downstream *one = calloc(1, sizeof(*one));
    if (!one)
        return NULL;
    one->hash = downstream_hash(name);
    one->host = downstream_is_host(name);
    one->sink = sink;
    one->name = strndup(name.p, name.len);
    if (!one->name || one->hash == 0 || !map64_put(&d->by_hash, one->hash, one)) {
        downstream_free(one);
        return NULL;
    }
    return one;
}

struct downstreams *downstreams_new(struct edge *e)
{
    struct downstreams *d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    d->edge = e;
    for (size_t i = 0; i < e->sinks->n; i++) {
        if (add(d, span_str(e->sinks->entries[i].downstream), i))
            continue;
        downstreams_free(d);
        return NULL;
    }
    return d;
}

void downstreams_free(struct downstreams *d)
{
    if (!d)
        return;
    size_t at = 0;
    for (struct map64_entry *m; (m = map64_next(&d->by_hash, &at));)
        downstream_free(m->value);
    map64_done(&d->by_hash);
    free(d);
}

struct downstream *downstreams_get(const struct downstreams *d, uint64_t hash)
{
    return hash ? map64_get(&d->by_hash, hash) : NULL;
}

/* ---- forgetting ---- */

static bool plain(const struct sched_breaker_view *v)
{
    return v->state == SCHED_BREAKER_CLOSED && v->manual == SCHED_MANUAL_NONE &&
           v->quarantined == 0;
}

/* Hosts that nothing is the matter with any more. The map is rebuilt, since it must not change
 * while it is walked. */
static void forget(struct downstreams *d)
{
    struct map64 kept = {0};
    struct sched_breaker_view v;
    size_t at = 0;
    while (sched_breaker_next(d->edge->sched, &at, d->edge->now_ms, &v)) {
        struct downstream *one = v.host && !plain(&v) ? downstreams_get(d, v.downstream) : NULL;
        if (one && map64_put(&kept, one->hash, one))
            map64_take(&d->by_hash, one->hash);
    }
    at = 0;
    for (struct map64_entry *m; (m = map64_next(&d->by_hash, &at));) {
        struct downstream *one = m->value;
        if (one->host || !map64_put(&kept, one->hash, one))
            downstream_free(one);
    }
    map64_done(&d->by_hash);
    d->by_hash = kept;
}

/* "http://..." or "https://...", without a path, as workers and tasks' keys have it. */
static bool host_valid(struct span name)
{
    static const struct span heads[] = {SPAN("host:http://"), SPAN("host:https://")};
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        size_t n = heads[i].len;
        if (name.len <= n || memcmp(name.p, heads[i].p, n) != 0)
            continue;
        for (size_t k = n; k < name.len; k++)
            if ((unsigned char)name.p[k] <= ' ' || strchr("/?#@\\\x7f", name.p[k]))
                return false;
        return true;
    }
    return false;
}

struct downstream *downstreams_name(struct downstreams *d, struct span name)
{
    if (name.len == 0 || name.len >= DOWNSTREAM_NAME_MAX)
        return NULL;
    struct downstream *one = downstreams_get(d, downstream_hash(name));
    if (one)
        return span_eq(span_str(one->name), name) ? one : NULL;
    if (!host_valid(name))
        return NULL;
    if (d->by_hash.n >= DOWNSTREAMS_MAX)
        forget(d);
    return d->by_hash.n < DOWNSTREAMS_MAX ? add(d, name, SINKS_NONE) : NULL;
}

struct downstream *downstreams_missing(struct downstreams *d, struct span name)
{
    struct downstream *one = downstreams_get(d, downstream_hash(name));
    return one ? one : add(d, name, SINKS_NONE);
}

/* Cut where a character begins. Control characters have no place in a terminal or log. */
void downstreams_error(struct downstreams *d, struct downstream *one, struct span error)
{
    size_t n = MIN(error.len, (size_t)DOWNSTREAMS_ERROR_MAX);
    while (n < error.len && n > 0 && ((unsigned char)error.p[n] & 0xC0) == 0x80)
        n--;
    char *copy = strndup(error.p, n);
    if (!copy)
        return;
    for (char *c = copy; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = ' ';
    free(one->error);
    one->error = copy;
    one->error_ms = d->edge->now_ms;
}

/* ---- what people write ---- */

static bool starts(struct span text, const char *head)
{
    size_t n = strlen(head);
    return text.len > n && strncasecmp(text.p, head, n) == 0;
}

/* Scheme and host in small letters, no default port, nothing after it. */
static int resolve_host(struct span text, char *out, struct error *error)
{
    if (starts(text, DOWNSTREAM_HOST_PREFIX))
        text = (struct span){text.p + 5, text.len - 5};
    bool tls = starts(text, "https://");
    const char *end_port = tls ? ":443" : ":80";
    if (text.len && text.p[text.len - 1] == '/')
        text.len--;
    int n =
        snprintf(out, DOWNSTREAM_NAME_MAX, DOWNSTREAM_HOST_PREFIX "%.*s", (int)text.len, text.p);
    for (char *c = out; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    if (n > 0 && n < DOWNSTREAM_NAME_MAX) {
        size_t len = (size_t)n, cut = strlen(end_port);
        if (len > cut && strcmp(out + len - cut, end_port) == 0)
            out[len -= cut] = 0;
        if (host_valid((struct span){out, len}))
            return 0;
    }
    return error_set(error, ERR_INVALID_ARGUMENT,
                     "downstream: \"%.*s\" is not like host:https://example.org",
                     (int)MIN(text.len, (size_t)100), text.p);
}

int downstreams_resolve(const struct downstreams *d, struct span text, char *out,
                        struct error *error)
{
    const struct sinks *s = d->edge->sinks;
    const char *names[SINKS_MAX];
    char hint[SUGGEST_TEXT_LEN], word[DOWNSTREAM_NAME_MAX];
    if (starts(text, DOWNSTREAM_HOST_PREFIX) || starts(text, "http://") || starts(text, "https://"))
        return resolve_host(text, out, error);
    size_t i = sinks_find_downstream(s, text);
    if (i == SINKS_NONE)
        i = sinks_find(s, text);
    if (i != SINKS_NONE) {
        memcpy(out, s->entries[i].downstream, DOWNSTREAM_NAME_MAX);
        return 0;
    }
    bool whole = memchr(text.p, ':', text.len) != NULL;
    for (i = 0; i < s->n; i++)
        names[i] = whole ? s->entries[i].downstream : s->entries[i].settings.name;
    snprintf(word, sizeof(word), "%.*s", (int)MIN(text.len, (size_t)100), text.p);
    return error_set(error, ERR_NOT_FOUND,
                     "there is no downstream \"%s\"%s; sinks are known by their names, hosts as "
                     "host:https://example.org",
                     word, suggest_text(word, names, s->n, hint));
}

/* ---- telling about them ---- */

static const char *const kind_names[DOWNSTREAMS_KINDS] = {"postgres", "redis", "file", "host"};

const char *downstreams_kind_name(size_t index)
{
    return index < DOWNSTREAMS_KINDS ? kind_names[index] : "?";
}

size_t downstreams_kind(const struct downstreams *d, uint64_t hash, bool host)
{
    const struct downstream *one = downstreams_get(d, hash);
    if (!host && one)
        for (size_t i = 0; i < DOWNSTREAMS_KINDS - 1; i++)
            if (strncmp(one->name, kind_names[i], strlen(kind_names[i])) == 0)
                return i;
    return DOWNSTREAMS_KINDS - 1;
}

static void trace_worker(struct downstreams *d, const struct sched_action *a, const char *name,
                         const char *error)
{
    const struct worker *w = sessions_worker_of(d->edge->sessions, a->u.trace.worker);
    if (a->u.trace.quarantined)
        LOG_WARN("quarantined: others reach it, this worker does not", log_str("downstream", name),
                 log_str("worker", w ? w->id : NULL), log_str("err", error));
    else
        LOG_INFO("quarantine is over", log_str("downstream", name),
                 log_str("worker", w ? w->id : NULL));
}

/* Hosts are many: their lines are limited. */
void downstreams_trace(struct downstreams *d, const struct sched_action *a)
{
    const struct downstream *one = downstreams_get(d, a->u.trace.downstream);
    const char *name = one ? one->name : "host:?";
    const char *error = one ? one->error : NULL;
    const char *manual = a->u.trace.manual == SCHED_MANUAL_TRIPPED  ? "tripped"
                         : a->u.trace.manual == SCHED_MANUAL_PINNED ? "pinned"
                                                                    : NULL;
    if (a->u.trace.host && !edge_may_log(d->edge))
        return;
    if (a->u.trace.worker)
        return trace_worker(d, a, name, error);
    switch (a->u.trace.state) {
    case SCHED_BREAKER_OPEN:
        LOG_WARN("breaker open: its tasks are held", log_str("downstream", name),
                 log_str("reason", a->u.trace.reason), log_str("manual", manual),
                 log_u64(a->u.trace.open_ms == UINT64_MAX ? NULL : "open_ms", a->u.trace.open_ms),
                 log_str("err", error));
        break;
    case SCHED_BREAKER_HALF_OPEN:
        LOG_DEBUG("breaker half open: one call is tried", log_str("downstream", name));
        break;
    case SCHED_BREAKER_CLOSED:
        LOG_INFO("breaker closed", log_str("downstream", name),
                 log_str("reason", a->u.trace.reason), log_str("manual", manual));
        break;
    }
}

bool downstreams_next(struct downstreams *d, struct downstreams_walk *w,
                      struct downstreams_entry *ret)
{
    const struct sinks *s = d->edge->sinks;
    struct sched_breaker_view v;
    while (sched_breaker_next(d->edge->sched, &w->at, d->edge->now_ms, &v)) {
        const struct downstream *one = downstreams_get(d, v.downstream);
        if (v.host && plain(&v))
            continue;
        if (one && one->sink != SINKS_NONE)
            w->seen |= UINT64_C(1) << one->sink;
        if (!one)
            snprintf(w->unknown, sizeof(w->unknown), "host:#%016" PRIx64, v.downstream);
        *ret = (struct downstreams_entry){one ? one->name : w->unknown, one, v};
        return true;
    }
    for (; w->sink < s->n; w->sink++) {
        if (w->seen & UINT64_C(1) << w->sink)
            continue;
        const struct sinks_entry *entry = &s->entries[w->sink];
        ret->known = downstreams_get(d, entry->hash);
        ret->name = entry->downstream;
        ret->view = (struct sched_breaker_view){.downstream = entry->hash};
        w->sink++;
        return true;
    }
    return false;
}
