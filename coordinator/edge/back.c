#include "back.h"

#include "common/hash.h"
#include "common/keys.h"
#include "common/log.h"
#include "coordinator/edge/blob_serve.h"
#include "coordinator/edge/completions.h"
#include "coordinator/edge/downstreams.h"
#include "coordinator/edge/predict.h"
#include "coordinator/edge/sessions.h"

enum { RESYNC_EVERY_MS = 500, RESULT_BYTES_MAX = WIRE_MESSAGE_MAX - 4096 };

/* A message on its way through this file. */
struct incoming {
    struct edge *e;
    struct inbox *inbox;
    struct wire_frame frame;
    struct session *session; /* NULL for HELLO */
    struct error error;
};

static void refuse(struct incoming *in, enum err code, const char *detail)
{
    if (edge_may_log(in->e))
        LOG_WARN("worker refused", log_str("err", detail), log_str("code", err_name(code)));
    sessions_tell(in->e->sessions, in->inbox->message.peer, WIRE_REFUSE, 0, code, detail);
}

/* ---- HELLO ---- */

/* Who speaks: the name of the key with CURVE, what the worker says of itself without. */
static bool identify(struct incoming *in, const struct wire_hello *m, struct span *ret)
{
    const struct transport_message *message = &in->inbox->message;
    if (in->e->keyed && message->role != KEYS_WORKER) {
        refuse(in, ERR_AUTH, "this key is not a worker's");
        return false;
    }
    *ret = in->e->keyed ? message->user : m->worker;
    if (!keys_name_valid(*ret)) {
        refuse(in, ERR_INVALID_ARGUMENT, "a worker's id is 1 to 64 of A-Z a-z 0-9 . _ -");
        return false;
    }
    return true;
}

static void copy_text(char *to, size_t size, struct span from)
{
    size_t n = MIN(from.len, size - 1);
    if (n)
        memcpy(to, from.p, n);
    to[n] = 0;
}

static struct session *hello_session(struct incoming *in, const struct wire_hello *m,
                                     struct span id)
{
    struct worker *w = sessions_worker(in->e->sessions, id, true);
    struct session *s = w ? sessions_begin(in->e->sessions, w, in->inbox->message.peer) : NULL;
    if (!s) {
        refuse(in, ERR_NOMEM, "no memory for a session");
        return NULL;
    }
    copy_text(w->host, sizeof(w->host), m->host);
    copy_text(w->version, sizeof(w->version), m->version);
    w->kinds = m->kinds;
    w->slots = m->slots;
    return s;
}

static void on_hello(struct incoming *in)
{
    struct edge *e = in->e;
    struct wire_hello m;
    struct span id;
    if (wire_hello_read(in->frame.body, &in->inbox->arena, &m, &in->error))
        return refuse(in, in->error.code, in->error.detail);
    if (m.version_min > WIRE_VERSION || m.version_max < WIRE_VERSION_MIN)
        return refuse(in, ERR_PROTOCOL_MISMATCH, "this coordinator speaks protocol version 1");
    if (m.slots == 0 || m.kinds == 0)
        return refuse(in, ERR_INVALID_ARGUMENT, "a worker needs slots and kinds");
    if (!identify(in, &m, &id))
        return;

    struct session *s = hello_session(in, &m, id);
    struct sched_held *held =
        m.n_held ? arena_alloc(&in->inbox->arena, m.n_held * sizeof(*held)) : NULL;
    if (!s || (m.n_held && !held))
        return;
    for (size_t i = 0; i < m.n_held; i++)
        held[i] = (struct sched_held){{m.held[i].task}, {m.held[i].epoch, m.held[i].counter}};
    LOG_INFO("worker connected", log_str("worker", s->worker->id), log_u64("session", s->id),
             log_u64("slots", m.slots), log_u64("held", m.n_held), log_span("version", m.version));
    struct sched_event ev = {.type = SCHED_EV_HELLO, .session = {s->id}};
    ev.u.hello.worker = s->worker->hash;
    ev.u.hello.boot = hash_64(m.boot.p, m.boot.len, 0);
    ev.u.hello.slots = m.slots;
    ev.u.hello.kinds = m.kinds;
    ev.u.hello.draining = s->worker->draining;
    ev.u.hello.held = held;
    ev.u.hello.n_held = m.n_held;
    edge_event(e, &ev);
}

/* ---- messages of a session ---- */

static int on_credit(struct incoming *in)
{
    struct wire_credit m;
    int rc = wire_credit_read(in->frame.body, &m, &in->error);
    if (rc)
        return rc;
    struct sched_event ev = {.type = SCHED_EV_CREDIT, .session = {in->session->id}};
    ev.u.credit.tasks = m.tasks;
    ev.u.credit.bytes = m.bytes;
    edge_event(in->e, &ev);
    return 0;
}

/* Of the counters, the bytes of rows that wait for sinks: "landing.postgres:main". */
static void note_landing(const struct edge *e, struct worker *w, const struct wire_heartbeat *m)
{
    static const char prefix[] = "landing.";
    const size_t skip = sizeof(prefix) - 1;
    memset(w->landing_bytes, 0, sizeof(w->landing_bytes));
    for (size_t i = 0; i < m->n_counters; i++) {
        struct span name = m->counters[i].name;
        if (name.len <= skip || memcmp(name.p, prefix, skip) != 0)
            continue;
        size_t at = sinks_find_downstream(e->sinks, (struct span){name.p + skip, name.len - skip});
        if (at != SINKS_NONE && m->counters[i].value > 0)
            w->landing_bytes[at] = (uint64_t)m->counters[i].value;
    }
}

static int on_heartbeat(struct incoming *in)
{
    struct wire_heartbeat m;
    int rc = wire_heartbeat_read(in->frame.body, &in->inbox->arena, &m, &in->error);
    if (rc)
        return rc;
    struct worker *w = in->session->worker;
    w->busy = m.busy;
    w->queued = m.queued;
    w->buffered_bytes = m.buffered_bytes;
    w->rss_bytes = m.rss_bytes;
    w->cpu_s = m.cpu_s;
    w->tasks_done = m.tasks_done;
    w->tasks_failed = m.tasks_failed;
    w->rows = m.rows;
    note_landing(in->e, w, &m);
    edge_event(in->e,
               &(struct sched_event){.type = SCHED_EV_HEARTBEAT, .session = {in->session->id}});
    return 0;
}

/* Rows that no answer to a client could carry are refused while there is still a task to blame. */
static void limit_rows(struct wire_result *r)
{
    if (r->rows.len <= RESULT_BYTES_MAX && r->rejects.len <= RESULT_BYTES_MAX)
        return;
    *r = (struct wire_result){.token = r->token,
                              .outcome = WIRE_FAIL,
                              .error =
                                  SPAN("LIMIT: the rows of the task are larger than a message")};
}

static int on_result(struct incoming *in)
{
    static const enum sched_outcome outcomes[] = {
        [WIRE_DONE] = SCHED_DONE,         [WIRE_RETRY] = SCHED_RETRY, [WIRE_FAIL] = SCHED_FAIL,
        [WIRE_RETURNED] = SCHED_RETURNED, [WIRE_LAND] = SCHED_LAND,
    };
    struct wire_result *results;
    size_t n;
    struct session_id session = {in->session->id};
    int rc = wire_results_read(in->frame.body, &in->inbox->arena, &results, &n, &in->error);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++) {
        const struct wire_result *r = &results[i];
        struct sched_event ev = {.type = SCHED_EV_RESULT, .session = session};
        limit_rows(&results[i]);
        void *payload = completions_payload(in->inbox, r);
        if (!payload)
            return error_set(&in->error, ERR_NOMEM, "no memory for a result");
        if (r->outcome == WIRE_RETURNED) {
            in->session->worker->attempts[EDGE_RETURNED]++;
            in->e->counts.returned++;
        }
        ev.u.result.task.v = r->token.task;
        ev.u.result.token = (struct token){r->token.epoch, r->token.counter};
        ev.u.result.outcome = outcomes[r->outcome];
        ev.u.result.key_delay_ms = r->key_delay_ms;
        ev.u.result.key_backoff_ms = r->key_backoff_ms;
        ev.u.result.retry_after_ms = r->retry_after_ms;
        ev.u.result.payload = payload;
        edge_event(in->e, &ev);
    }
    return 0;
}

/* Names of sinks that are not ours are left alone, so that what a worker invents has no room here;
 * so are hosts that nothing is the matter with and that nobody asks about. */
static int on_calls(struct incoming *in)
{
    struct wire_calls *calls;
    size_t n;
    int rc = wire_calls_read(in->frame.body, &in->inbox->arena, &calls, &n, &in->error);
    for (size_t i = 0; i < n && rc == 0; i++) {
        const struct wire_calls *c = &calls[i];
        struct downstreams *all = in->e->downstreams;
        bool trouble = c->fail || c->slow || c->waiting;
        uint64_t hash = downstream_hash(c->downstream);
        struct downstream *one =
            trouble ? downstreams_name(all, c->downstream) : downstreams_get(all, hash);
        bool host = downstream_is_host(c->downstream);
        if (!one && !host)
            continue;
        if (one && c->error.len)
            downstreams_error(all, one, c->error);
        struct sched_event ev = {.type = SCHED_EV_CALLS, .session = {in->session->id}};
        ev.u.calls.downstream = hash;
        ev.u.calls.host = host;
        ev.u.calls.ok = c->ok;
        ev.u.calls.fail = c->fail;
        ev.u.calls.slow = c->slow;
        ev.u.calls.row = c->row;
        ev.u.calls.waiting = c->waiting;
        edge_event(in->e, &ev);
    }
    return rc;
}

static int on_blob(struct incoming *in)
{
    struct wire_blob_ask m;
    int rc = wire_blob_ask_read(in->frame.body, &m, &in->error);
    if (rc == 0)
        blob_serve_ask(in->e->blob_serve, in->session, &m);
    return rc;
}

static int on_predicted(struct incoming *in)
{
    struct wire_predicted m;
    int rc = wire_predicted_read(in->frame.body, &m, &in->error);
    if (rc == 0)
        predict_answered(in->e->predict, in->session, &m);
    return rc;
}

static int on_begun(struct incoming *in)
{
    struct wire_token *tokens;
    size_t n;
    int rc = wire_begun_read(in->frame.body, &in->inbox->arena, &tokens, &n, &in->error);
    for (size_t i = 0; i < n && rc == 0; i++) {
        struct sched_event ev = {.type = SCHED_EV_BEGUN, .session = {in->session->id}};
        ev.u.begun.task.v = tokens[i].task;
        ev.u.begun.token = (struct token){tokens[i].epoch, tokens[i].counter};
        edge_event(in->e, &ev);
    }
    return rc;
}

static int on_bye(struct incoming *in)
{
    struct span reason;
    int rc = wire_reason_read(in->frame.body, &reason, &in->error);
    if (rc)
        return rc;
    LOG_INFO("worker says goodbye", log_str("worker", in->session->worker->id),
             log_span("reason", reason));
    sessions_bye(in->e->sessions, in->session);
    return 0;
}

/* The worker missed a message. Its HELLO follows and tells what it holds. */
static int on_resync(struct incoming *in)
{
    struct span reason;
    int rc = wire_reason_read(in->frame.body, &reason, &in->error);
    if (rc)
        return rc;
    in->e->counts.resyncs++;
    if (edge_may_log(in->e))
        LOG_WARN("worker asks for a new session", log_str("worker", in->session->worker->id),
                 log_span("reason", reason));
    return 0;
}

/* ---- the way in ---- */

static void ask_resync(struct incoming *in, const char *reason)
{
    struct edge *e = in->e;
    struct session *s = in->session;
    if (s) {
        if (s->resync_ms && e->now_ms - s->resync_ms < RESYNC_EVERY_MS)
            return;
        s->resync_ms = e->now_ms;
    }
    e->counts.resyncs++;
    if (edge_may_log(e))
        LOG_WARN("new session asked for", log_str("worker", s ? s->worker->id : NULL),
                 log_u64("session", in->frame.session), log_str("reason", reason));
    sessions_tell(e->sessions, in->inbox->message.peer, WIRE_RESYNC, in->frame.session, ERR_OK,
                  reason);
}

/* The session that the message belongs to, when it is its next one. */
static bool in_order(struct incoming *in)
{
    struct session *s = sessions_get(in->e->sessions, in->frame.session);
    if (!s || s->broken || in->frame.epoch != in->e->epoch ||
        s->peer.v != in->inbox->message.peer.v) {
        ask_resync(in, "no such session");
        return false;
    }
    in->session = s;
    if (in->frame.seq <= s->seq_in)
        return false; /* a repetition */
    if (in->frame.seq != s->seq_in + 1) {
        ask_resync(in, "messages were lost");
        return false;
    }
    s->seq_in++;
    blob_serve_acked(in->e->blob_serve, s, in->frame.ack_seq);
    return true;
}

static void dispatch(struct incoming *in)
{
    static int (*const handlers[])(struct incoming *) = {
        [WIRE_CREDIT] = on_credit, [WIRE_RESULT] = on_result, [WIRE_HEARTBEAT] = on_heartbeat,
        [WIRE_BYE] = on_bye,       [WIRE_RESYNC] = on_resync, [WIRE_CALLS] = on_calls,
        [WIRE_BLOB] = on_blob,     [WIRE_BEGUN] = on_begun,   [WIRE_PREDICTED] = on_predicted,
    };
    struct edge *e = in->e;
    int rc = wire_frame_read(in->inbox->message.data, &in->frame, &in->error);
    if (rc == 0 && in->frame.type == WIRE_HELLO)
        return on_hello(in);
    if (rc == ERR_PROTOCOL_MISMATCH)
        return refuse(in, ERR_PROTOCOL_MISMATCH, in->error.detail);
    if (rc == 0) {
        if (!in_order(in))
            return;
        /* A type of a later version is counted and left alone. */
        if (in->frame.type >= ARRAY_LEN(handlers) || !handlers[in->frame.type])
            return;
        rc = handlers[in->frame.type](in);
    }
    if (rc == 0)
        return;
    e->counts.frames_bad++;
    if (edge_may_log(e))
        LOG_WARN("a frame from a worker is not valid", log_err(&in->error));
    if (in->session && sessions_get(e->sessions, in->frame.session))
        ask_resync(in, "malformed message");
}

bool back_receive(struct edge *e, size_t max)
{
    for (size_t i = 0; i < max; i++) {
        struct incoming in = {.e = e, .inbox = completions_inbox(e->completions)};
        struct error error = {0};
        if (!in.inbox)
            return false;
        in.inbox->received = transport_recv(e->back, &in.inbox->message, &error) == 0;
        bool received = in.inbox->received;
        if (received)
            dispatch(&in);
        completions_inbox_unref(e->completions, in.inbox);
        if (!received)
            return false;
    }
    return true;
}
