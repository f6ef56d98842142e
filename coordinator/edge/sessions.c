#include "sessions.h"

#include "common/hash.h"
#include "common/log.h"
#include "common/pack.h"
#include "coordinator/edge/outbox.h"
#include "coordinator/edge/predict.h"

struct sessions {
    struct edge *edge;
    struct worker **workers;
    size_t n_workers, cap_workers;
    struct map64 by_hash; /* worker */
    struct map64 by_id;   /* session */
    struct session *dirty;
    uint64_t next_id;
    uint64_t heartbeat_due_ms;
    size_t n_broken;
    char **drained;
    size_t n_drained;
};

struct sessions *sessions_new(struct edge *e)
{
    struct sessions *s = calloc(1, sizeof(*s));
    if (s)
        s->edge = e;
    return s;
}

static void session_free(struct session *session)
{
    map64_done(&session->jobs_sent);
    free(session->assigns);
    free(session->acks.items);
    free(session->revokes.items);
    free(session->breakers.items);
    free(session);
}

void sessions_free(struct sessions *s)
{
    if (!s)
        return;
    size_t at = 0;
    for (struct map64_entry *m; (m = map64_next(&s->by_id, &at));)
        session_free(m->value);
    for (size_t i = 0; i < s->n_workers; i++)
        free(s->workers[i]);
    for (size_t i = 0; i < s->n_drained; i++)
        free(s->drained[i]);
    free(s->drained);
    free(s->workers);
    map64_done(&s->by_hash);
    map64_done(&s->by_id);
    free(s);
}

struct session **sessions_dirty(struct sessions *s)
{
    return &s->dirty;
}

/* ---- workers ---- */

static uint64_t worker_hash(struct span id)
{
    uint64_t h = hash_64(id.p, id.len, 0);
    return h ? h : 1;
}

static struct worker *worker_make(struct sessions *s, struct span id)
{
    if (s->n_workers == s->cap_workers) {
        size_t cap = s->cap_workers ? s->cap_workers * 2 : 16;
        struct worker **grown = realloc(s->workers, cap * sizeof(*grown));
        if (!grown)
            return NULL;
        s->workers = grown;
        s->cap_workers = cap;
    }
    struct worker *w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    memcpy(w->id, id.p, id.len);
    w->hash = worker_hash(id);
    w->draining = sessions_drained(s, id);
    w->lost_ms = s->edge->now_ms;
    if (!map64_put(&s->by_hash, w->hash, w)) {
        free(w);
        return NULL;
    }
    s->workers[s->n_workers++] = w;
    return w;
}

struct worker *sessions_worker(struct sessions *s, struct span id, bool make)
{
    if (id.len == 0 || id.len > SESSIONS_WORKER_ID_MAX)
        return NULL;
    struct worker *w = map64_get(&s->by_hash, worker_hash(id));
    if (w && !span_eq(span_str(w->id), id))
        return NULL; /* another id of the same hash */
    return w || !make ? w : worker_make(s, id);
}

struct worker *sessions_worker_next(struct sessions *s, size_t *at)
{
    return *at < s->n_workers ? s->workers[(*at)++] : NULL;
}

const struct worker *sessions_worker_of(const struct sessions *s, uint64_t hash)
{
    return hash ? map64_get(&s->by_hash, hash) : NULL;
}

size_t sessions_worker_count(const struct sessions *s)
{
    return s->n_workers;
}

static void forget_lost(struct sessions *s)
{
    for (size_t i = 0; i < s->n_workers;) {
        struct worker *w = s->workers[i];
        if (w->session || s->edge->now_ms - w->lost_ms < SESSIONS_FORGET_MS) {
            i++;
            continue;
        }
        map64_take(&s->by_hash, w->hash);
        s->workers[i] = s->workers[--s->n_workers];
        free(w);
    }
}

/* ---- sessions ---- */

struct session *sessions_get(const struct sessions *s, uint64_t id)
{
    return map64_get(&s->by_id, id);
}

struct session *sessions_begin(struct sessions *s, struct worker *w, struct transport_peer peer)
{
    struct session *session = calloc(1, sizeof(*session));
    if (!session)
        return NULL;
    session->id = ++s->next_id;
    session->worker = w;
    session->peer = peer;
    session->seq_in = 1; /* its HELLO */
    if (!map64_put(&s->by_id, session->id, session)) {
        free(session);
        return NULL;
    }
    w->session = session;
    w->left = false;
    w->connected_ms = s->edge->now_ms;
    return session;
}

const char *sessions_state(const struct worker *w)
{
    if (!w->session)
        return w->left ? "left" : "lost";
    return w->draining ? "draining" : "ready";
}

void sessions_end(struct sessions *s, struct session *session, const char *reason)
{
    struct worker *w = session->worker;
    bool current = w->session == session;
    /* A worker that said HELLO again on the same connection knows that its old session is over. */
    bool replaced_in_place = !current && w->session && w->session->peer.v == session->peer.v;
    if (reason && !session->broken && !replaced_in_place) {
        sessions_message(s, session, WIRE_BYE);
        wire_reason_pack(&s->edge->out, reason);
        sessions_send(s, session);
    }
    if (current) {
        w->session = NULL;
        w->left = session->bye;
        w->lost_ms = s->edge->now_ms;
        w->busy = w->queued = 0;
    }
    if (session->broken && !session->lost)
        s->n_broken--;
    LOG_INFO("session ended", log_str("worker", w->id), log_u64("session", session->id),
             log_str("reason", reason ? reason : "gone"));
    outbox_forget(s->edge, session);
    blob_serve_forget(s->edge->blob_serve, session);
    predict_session_end(s->edge->predict, session);
    for (struct session **p = &s->dirty; *p; p = &(*p)->next_dirty) {
        if (*p != session)
            continue;
        *p = session->next_dirty;
        break;
    }
    map64_take(&s->by_id, session->id);
    session_free(session);
}

void sessions_bye(struct sessions *s, struct session *session)
{
    session->bye = true;
    edge_event(s->edge, &(struct sched_event){.type = SCHED_EV_LOST,
                                              .session = {session->id},
                                              .u.on = true});
}

static void session_lost(struct sessions *s, struct session *session)
{
    struct worker *w = session->worker;
    session->lost = true;
    s->n_broken--;
    if (w->session == session) {
        w->session = NULL;
        w->lost_ms = s->edge->now_ms;
        w->busy = w->queued = 0;
    }
    predict_session_end(s->edge->predict, session);
    LOG_INFO("connection lost", log_str("worker", w->id), log_u64("session", session->id));
    edge_event(s->edge, &(struct sched_event){.type = SCHED_EV_LOST, .session = {session->id}});
}

void sessions_reap(struct sessions *s)
{
    while (s->n_broken > 0) {
        size_t at = 0;
        struct map64_entry *m;
        const struct session *session = NULL;
        while ((m = map64_next(&s->by_id, &at)) &&
               !((session = m->value)->broken && !session->lost)) {
        }
        assert(m);
        session_lost(s, m->value);
    }
}

/* ---- messages ---- */

static bool send_to(struct edge *e, struct transport_peer peer)
{
    struct error error = {0};
    return buf_ok(&e->out) && transport_send(e->back, &peer, buf_span(&e->out), &error) == 0;
}

void sessions_message(struct sessions *s, struct session *session, enum wire_type type)
{
    struct edge *e = s->edge;
    buf_clear(&e->out);
    wire_frame_pack(&e->out, &(struct wire_frame){.version = WIRE_VERSION,
                                                  .type = type,
                                                  .epoch = e->epoch,
                                                  .session = session->id,
                                                  .seq = ++session->seq_out,
                                                  .ack_seq = session->seq_in});
}

static void session_break(struct sessions *s, struct session *session)
{
    if (session->broken)
        return;
    session->broken = true;
    s->n_broken++;
}

void sessions_send(struct sessions *s, struct session *session)
{
    if (!session->broken && !send_to(s->edge, session->peer))
        session_break(s, session);
}

void sessions_tell(struct sessions *s, struct transport_peer peer, enum wire_type type,
                   uint64_t session, enum err code, const char *text)
{
    struct edge *e = s->edge;
    buf_clear(&e->out);
    wire_frame_pack(&e->out, &(struct wire_frame){.version = WIRE_VERSION,
                                                  .type = type,
                                                  .epoch = e->epoch,
                                                  .session = session});
    if (type == WIRE_REFUSE)
        wire_refuse_pack(&e->out, code, text);
    else
        wire_reason_pack(&e->out, text);
    (void)send_to(e, peer); /* a peer that is gone hears nothing */
}

uint64_t sessions_timer(struct sessions *s)
{
    struct edge *e = s->edge;
    if (e->now_ms < s->heartbeat_due_ms)
        return s->heartbeat_due_ms;
    size_t at = 0;
    for (struct map64_entry *m; (m = map64_next(&s->by_id, &at));) {
        sessions_message(s, m->value, WIRE_HEARTBEAT);
        pack_array(&e->out, 0);
        sessions_send(s, m->value);
    }
    forget_lost(s);
    s->heartbeat_due_ms = e->now_ms + e->options.heartbeat_ms;
    return s->heartbeat_due_ms;
}

void sessions_revoked(struct sessions *s)
{
    struct edge *e = s->edge;
    if (!e->keyed)
        return;
    for (size_t i = 0; i < s->n_workers; i++) {
        struct worker *w = s->workers[i];
        if (!w->session || keys_allow_named(e->keys, KEYS_WORKER, span_str(w->id)))
            continue;
        /* It may not come any more, and may go on until its lease is over. */
        sessions_message(s, w->session, WIRE_BYE);
        wire_reason_pack(&e->out, "key revoked");
        sessions_send(s, w->session);
        session_break(s, w->session);
    }
    sessions_reap(s);
}

/* ---- drains ---- */

static size_t drained_index(const struct sessions *s, struct span worker)
{
    size_t i = 0;
    while (i < s->n_drained && !span_eq(span_str(s->drained[i]), worker))
        i++;
    return i;
}

bool sessions_drained(const struct sessions *s, struct span worker)
{
    return drained_index(s, worker) < s->n_drained;
}

static int drained_add(struct sessions *s, struct span worker, struct error *error)
{
    char **grown = realloc(s->drained, (s->n_drained + 1) * sizeof(*grown));
    if (grown)
        s->drained = grown;
    char *copy = grown ? strndup(worker.p, worker.len) : NULL;
    if (!copy)
        return error_set(error, ERR_NOMEM, "no memory for a drained worker");
    s->drained[s->n_drained++] = copy;
    return 0;
}

int sessions_drain(struct sessions *s, struct span worker, bool on, struct error *error)
{
    size_t i = drained_index(s, worker);
    if (on && i == s->n_drained) {
        int rc = drained_add(s, worker, error);
        if (rc)
            return rc;
    } else if (!on && i < s->n_drained) {
        free(s->drained[i]);
        s->drained[i] = s->drained[--s->n_drained];
    }
    struct worker *w = sessions_worker(s, worker, false);
    if (!w)
        return 0;
    w->draining = on;
    if (!w->session)
        return 0;
    sessions_message(s, w->session, WIRE_DRAIN);
    wire_drain_pack(&s->edge->out, on);
    sessions_send(s, w->session);
    struct session_id id = {w->session->id};
    edge_event(s->edge, &(struct sched_event){.type = SCHED_EV_DRAIN, .session = id, .u.on = on});
    return 0;
}
