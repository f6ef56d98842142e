#include "session.h"

#include "common/hash.h"

/* What a random delay of up to n is: xorshift64* (Vigna 2014), enough for jitter. */
static uint64_t jitter(struct session *s, uint64_t n)
{
    s->random ^= s->random >> 12;
    s->random ^= s->random << 25;
    s->random ^= s->random >> 27;
    return n ? (s->random * UINT64_C(2685821657736338717)) % n : 0;
}

void session_init(struct session *s, const struct session_config *config, uint64_t now_ms)
{
    *s = (struct session){.config = *config, .state = SESSION_DOWN};
    s->random = hash_mix(config->seed | 1);
    s->backoff_ms = SESSION_BACKOFF_MIN_MS;
    session_relinked(s, now_ms);
}

void session_relinked(struct session *s, uint64_t now_ms)
{
    s->state = SESSION_DOWN;
    s->hello_at_ms = now_ms;
    s->relink_at_ms = now_ms + SESSION_WELCOME_MS + jitter(s, s->backoff_ms);
    s->backoff_ms = MIN(s->backoff_ms * 2, (uint32_t)SESSION_BACKOFF_MAX_MS);
}

enum session_due session_due(struct session *s, uint64_t now_ms)
{
    switch (s->state) {
    case SESSION_DOWN:
        if (now_ms >= s->relink_at_ms)
            return SESSION_DUE_RELINK;
        return now_ms >= s->hello_at_ms ? SESSION_DUE_HELLO : SESSION_DUE_NOTHING;
    case SESSION_GREETING:
        return now_ms >= s->relink_at_ms ? SESSION_DUE_RELINK : SESSION_DUE_NOTHING;
    case SESSION_UP:
        if (now_ms >= s->heard_ms + s->lease_ms) {
            session_down(s, false, now_ms);
            return SESSION_DUE_SILENCE;
        }
        return now_ms >= s->heartbeat_at_ms ? SESSION_DUE_HEARTBEAT : SESSION_DUE_NOTHING;
    }
    return SESSION_DUE_NOTHING;
}

uint64_t session_deadline(const struct session *s)
{
    switch (s->state) {
    case SESSION_DOWN:
        return MIN(s->hello_at_ms, s->relink_at_ms);
    case SESSION_GREETING:
        return s->relink_at_ms;
    case SESSION_UP:
        return MIN(s->heartbeat_at_ms, s->heard_ms + s->lease_ms);
    }
    return UINT64_MAX;
}

static void remember_sent(struct session *s, uint64_t seq, uint64_t now_ms)
{
    s->sent[s->n_sent % SESSION_SENT_RING].seq = seq;
    s->sent[s->n_sent % SESSION_SENT_RING].at_ms = now_ms;
    s->n_sent++;
}

void session_hello(struct session *s, const struct wire_token *held, size_t n, struct buf *out)
{
    assert(s->state == SESSION_DOWN);
    const struct wire_frame frame = {.version = WIRE_VERSION,
                                     .type = WIRE_HELLO,
                                     .epoch = s->epoch,
                                     .seq = 1};
    wire_frame_pack(out, &frame);
    wire_hello_pack(out, &(struct wire_hello){
                             .version_min = WIRE_VERSION_MIN,
                             .version_max = WIRE_VERSION,
                             .worker = span_str(s->config.worker),
                             .boot = {(const char *)s->config.boot, sizeof s->config.boot},
                             .kinds = s->config.kinds,
                             .slots = s->config.slots,
                             .version = span_str(s->config.version),
                             .host = span_str(s->config.host),
                             .held = (struct wire_token *)(uintptr_t)held,
                             .n_held = n,
                         });
}

void session_greeted(struct session *s, uint64_t now_ms)
{
    s->state = SESSION_GREETING;
    s->seq_out = 1;
    s->seq_in = 0;
    s->n_sent = 0;
    remember_sent(s, 1, now_ms);
    s->relink_at_ms = MAX(s->relink_at_ms, now_ms + SESSION_WELCOME_MS);
}

void session_unsent(struct session *s, uint64_t now_ms)
{
    s->hello_at_ms = now_ms + SESSION_BACKOFF_MIN_MS;
}

void session_begin(const struct session *s, enum wire_type type, struct buf *out)
{
    assert(s->state == SESSION_UP);
    const struct wire_frame frame = {.version = WIRE_VERSION,
                                     .type = type,
                                     .epoch = s->epoch,
                                     .session = s->id,
                                     .seq = s->seq_out + 1,
                                     .ack_seq = s->seq_in};
    wire_frame_pack(out, &frame);
}

void session_sent(struct session *s, enum wire_type type, uint64_t now_ms)
{
    s->seq_out++;
    if (type == WIRE_HEARTBEAT) {
        remember_sent(s, s->seq_out, now_ms);
        s->heartbeat_at_ms = now_ms + s->heartbeat_ms;
    }
}

void session_down(struct session *s, bool soon, uint64_t now_ms)
{
    if (s->state == SESSION_UP && now_ms >= s->up_at_ms + SESSION_STEADY_MS)
        s->backoff_ms = SESSION_BACKOFF_MIN_MS;
    s->state = SESSION_DOWN;
    const uint64_t wait_ms = jitter(s, s->backoff_ms);
    s->backoff_ms = MIN(s->backoff_ms * 2, (uint32_t)SESSION_BACKOFF_MAX_MS);
    s->hello_at_ms = now_ms + wait_ms;
    /* After silence the connection itself is in doubt: begin with a new socket. */
    s->relink_at_ms = now_ms + wait_ms + (soon ? (uint64_t)SESSION_WELCOME_MS : 0);
}

/* The other side has read our messages up to ack_seq: the newest of them whose time is known tells
 * since when it has surely known that we live. */
static void confirm(struct session *s, uint64_t ack_seq)
{
    const size_t n = MIN(s->n_sent, (size_t)SESSION_SENT_RING);
    for (size_t i = 0; i < n; i++)
        if (s->sent[i].seq <= ack_seq && (!s->confirmed || s->sent[i].at_ms > s->confirmed_ms)) {
            s->confirmed_ms = s->sent[i].at_ms;
            s->confirmed = true;
        }
}

static int welcome(struct session *s, const struct wire_frame *frame, uint64_t now_ms,
                   struct session_event *ret, struct error *e)
{
    struct wire_welcome m;
    const int rc = wire_welcome_read(frame->body, &m, e);
    if (rc != ERR_OK)
        return rc;
    if (m.lease_ms == 0 || m.heartbeat_ms == 0 || frame->session == 0)
        return error_set(e, ERR_MALFORMED, "WELCOME without a lease, heartbeat or session");
    s->state = SESSION_UP;
    s->epoch = frame->epoch;
    s->id = frame->session;
    s->seq_in = frame->seq;
    s->lease_ms = m.lease_ms;
    s->heartbeat_ms = MIN(m.heartbeat_ms, m.lease_ms);
    s->up_at_ms = s->heard_ms = now_ms;
    s->heartbeat_at_ms = now_ms; /* the first one at once, which also says what is free */
    confirm(s, 1);
    ret->type = SESSION_EV_WELCOME;
    ret->on = m.draining;
    return ERR_OK;
}

static int refused(struct session *s, const struct wire_frame *frame, uint64_t now_ms,
                   struct session_event *ret, struct error *e)
{
    const int rc = wire_refuse_read(frame->body, &ret->code, &ret->reason, e);
    if (rc != ERR_OK)
        return rc;
    session_down(s, true, now_ms);
    s->hello_at_ms = now_ms + SESSION_REFUSED_MS + jitter(s, SESSION_REFUSED_MS);
    s->relink_at_ms = s->hello_at_ms; /* with a new connection: keys may have changed */
    ret->type = SESSION_EV_REFUSED;
    return ERR_OK;
}

static void ended(struct session *s, bool soon, struct span reason, uint64_t now_ms,
                  struct session_event *ret)
{
    session_down(s, soon, now_ms);
    ret->type = SESSION_EV_DOWN;
    ret->reason = reason;
}

static int in_session(struct session *s, const struct wire_frame *frame, uint64_t now_ms,
                      struct arena *a, struct session_event *ret, struct error *e)
{
    int rc = ERR_OK;
    switch (frame->type) {
    case WIRE_ASSIGN:
        ret->type = SESSION_EV_ASSIGN;
        ret->epoch = frame->epoch;
        return wire_assign_read(frame->body, a, &ret->assign, e);
    case WIRE_RESULT_ACK:
    case WIRE_REVOKE:
        ret->type = frame->type == WIRE_REVOKE ? SESSION_EV_REVOKE : SESSION_EV_ACK;
        return wire_verdicts_read(frame->body, a, &ret->verdicts, &ret->n_verdicts, e);
    case WIRE_DRAIN:
        ret->type = SESSION_EV_DRAIN;
        return wire_drain_read(frame->body, &ret->on, e);
    case WIRE_BYE:
    case WIRE_RESYNC: {
        struct span reason = {0};
        rc = wire_reason_read(frame->body, &reason, e);
        if (rc == ERR_OK)
            ended(s, true, reason, now_ms, ret);
        return rc;
    }
    default: /* HEARTBEAT, and what a newer coordinator may say */
        return ERR_OK;
    }
}

static int receive(struct session *s, const struct wire_frame *frame, uint64_t now_ms,
                   struct arena *a, struct session_event *ret, struct error *e)
{
    if (s->state == SESSION_GREETING) {
        if (frame->type == WIRE_WELCOME)
            return welcome(s, frame, now_ms, ret, e);
        if (frame->type == WIRE_REFUSE)
            return refused(s, frame, now_ms, ret, e);
        return ERR_OK; /* of the session before */
    }
    if (s->state != SESSION_UP)
        return ERR_OK;
    if (frame->type == WIRE_RESYNC || frame->type == WIRE_BYE) {
        /* They may come from a coordinator that knows no session of ours, and are not numbered then. */
        if (frame->session != 0 && frame->session != s->id)
            return ERR_OK;
        return in_session(s, frame, now_ms, a, ret, e);
    }
    if (frame->session != s->id || frame->epoch != s->epoch)
        return ERR_OK;
    if (frame->seq != s->seq_in + 1) {
        ended(s, true, SPAN("a message was lost on the way"), now_ms, ret);
        return ERR_OK;
    }
    s->seq_in = frame->seq;
    s->heard_ms = now_ms;
    confirm(s, frame->ack_seq);
    return in_session(s, frame, now_ms, a, ret, e);
}

int session_receive(struct session *s, struct span message, uint64_t now_ms, struct arena *a,
                    struct session_event *ret, struct error *e)
{
    struct wire_frame frame = {0};
    *ret = (struct session_event){.type = SESSION_EV_NONE};
    int rc = wire_frame_read(message, &frame, e);
    /* A coordinator that speaks no version of ours says so in a message that can be read. */
    if (rc == ERR_PROTOCOL_MISMATCH && frame.type == WIRE_REFUSE)
        rc = ERR_OK;
    if (rc == ERR_OK)
        rc = receive(s, &frame, now_ms, a, ret, e);
    if (rc != ERR_OK) {
        session_down(s, true, now_ms);
        ret->type = SESSION_EV_DOWN;
        ret->reason = SPAN("a message could not be read");
    }
    return rc;
}

uint64_t session_lease_end(const struct session *s)
{
    return s->confirmed ? s->confirmed_ms + s->lease_ms : 0;
}

bool session_lease_holds(const struct session *s, uint64_t now_ms)
{
    return s->state == SESSION_UP && now_ms < session_lease_end(s);
}
