#include "uplink.h"

#include "common/hash.h"

/* What a random delay of up to n is: xorshift64* (Vigna 2014), enough for jitter. */
static uint64_t jitter(struct uplink *s, uint64_t n)
{
    s->random ^= s->random >> 12;
    s->random ^= s->random << 25;
    s->random ^= s->random >> 27;
    return n ? (s->random * UINT64_C(2685821657736338717)) % n : 0;
}

void uplink_init(struct uplink *s, const struct uplink_config *config, uint64_t now_ms)
{
    *s = (struct uplink){.config = *config, .state = UPLINK_DOWN};
    s->random = hash_mix(config->seed | 1);
    s->backoff_ms = UPLINK_BACKOFF_MIN_MS;
    uplink_relinked(s, now_ms);
}

void uplink_relinked(struct uplink *s, uint64_t now_ms)
{
    s->state = UPLINK_DOWN;
    s->unsent_ms = UPLINK_UNSENT_MIN_MS;
    s->hello_at_ms = now_ms;
    s->relink_at_ms = now_ms + UPLINK_WELCOME_MS + jitter(s, s->backoff_ms);
    s->backoff_ms = MIN(s->backoff_ms * 2, (uint32_t)UPLINK_BACKOFF_MAX_MS);
}

enum uplink_due uplink_due(struct uplink *s, uint64_t now_ms)
{
    switch (s->state) {
    case UPLINK_DOWN:
        if (now_ms >= s->relink_at_ms)
            return UPLINK_DUE_RELINK;
        return now_ms >= s->hello_at_ms ? UPLINK_DUE_HELLO : UPLINK_DUE_NOTHING;
    case UPLINK_GREETING:
        return now_ms >= s->relink_at_ms ? UPLINK_DUE_RELINK : UPLINK_DUE_NOTHING;
    case UPLINK_UP:
        if (now_ms >= s->heard_ms + s->lease_ms) {
            uplink_down(s, false, now_ms);
            return UPLINK_DUE_SILENCE;
        }
        return now_ms >= s->heartbeat_at_ms ? UPLINK_DUE_HEARTBEAT : UPLINK_DUE_NOTHING;
    }
    return UPLINK_DUE_NOTHING;
}

uint64_t uplink_deadline(const struct uplink *s)
{
    switch (s->state) {
    case UPLINK_DOWN:
        return MIN(s->hello_at_ms, s->relink_at_ms);
    case UPLINK_GREETING:
        return s->relink_at_ms;
    case UPLINK_UP:
        return MIN(s->heartbeat_at_ms, s->heard_ms + s->lease_ms);
    }
    return UINT64_MAX;
}

static void remember_sent(struct uplink *s, uint64_t seq, uint64_t now_ms)
{
    s->sent[s->n_sent % UPLINK_SENT_RING].seq = seq;
    s->sent[s->n_sent % UPLINK_SENT_RING].at_ms = now_ms;
    s->n_sent++;
}

void uplink_hello(struct uplink *s, const struct wire_token *held, size_t n, struct buf *out)
{
    assert(s->state == UPLINK_DOWN);
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

void uplink_greeted(struct uplink *s, uint64_t now_ms)
{
    s->state = UPLINK_GREETING;
    s->seq_out = 1;
    s->seq_in = 0;
    s->n_sent = 0;
    remember_sent(s, 1, now_ms);
    s->relink_at_ms = MAX(s->relink_at_ms, now_ms + UPLINK_WELCOME_MS);
}

void uplink_unsent(struct uplink *s, uint64_t now_ms)
{
    s->hello_at_ms = now_ms + s->unsent_ms;
    s->unsent_ms = MIN(s->unsent_ms * 2, (uint32_t)UPLINK_BACKOFF_MIN_MS);
}

void uplink_begin(const struct uplink *s, enum wire_type type, struct buf *out)
{
    assert(s->state == UPLINK_UP);
    const struct wire_frame frame = {.version = WIRE_VERSION,
                                     .type = type,
                                     .epoch = s->epoch,
                                     .session = s->id,
                                     .seq = s->seq_out + 1,
                                     .ack_seq = s->seq_in};
    wire_frame_pack(out, &frame);
}

void uplink_sent(struct uplink *s, enum wire_type type, uint64_t now_ms)
{
    s->seq_out++;
    if (type == WIRE_HEARTBEAT) {
        remember_sent(s, s->seq_out, now_ms);
        s->heartbeat_at_ms = now_ms + s->heartbeat_ms;
    }
}

void uplink_down(struct uplink *s, bool soon, uint64_t now_ms)
{
    if (s->state == UPLINK_UP && now_ms >= s->up_at_ms + UPLINK_STEADY_MS)
        s->backoff_ms = UPLINK_BACKOFF_MIN_MS;
    s->state = UPLINK_DOWN;
    const uint64_t wait_ms = jitter(s, s->backoff_ms);
    s->backoff_ms = MIN(s->backoff_ms * 2, (uint32_t)UPLINK_BACKOFF_MAX_MS);
    s->hello_at_ms = now_ms + wait_ms;
    /* After silence the connection itself is in doubt: begin with a new socket. */
    s->relink_at_ms = now_ms + wait_ms + (soon ? (uint64_t)UPLINK_WELCOME_MS : 0);
}

/* The other side has read our messages up to ack_seq: the newest of them whose time is known tells
 * since when it has surely known that we live. */
static void confirm(struct uplink *s, uint64_t ack_seq)
{
    const size_t n = MIN(s->n_sent, (size_t)UPLINK_SENT_RING);
    for (size_t i = 0; i < n; i++)
        if (s->sent[i].seq <= ack_seq && (!s->confirmed || s->sent[i].at_ms > s->confirmed_ms)) {
            s->confirmed_ms = s->sent[i].at_ms;
            s->confirmed = true;
        }
}

static int welcome(struct uplink *s, const struct wire_frame *frame, uint64_t now_ms,
                   struct uplink_event *ret, struct error *e)
{
    struct wire_welcome m;
    const int rc = wire_welcome_read(frame->body, &m, e);
    if (rc != ERR_OK)
        return rc;
    if (m.lease_ms == 0 || m.heartbeat_ms == 0 || frame->session == 0)
        return error_set(e, ERR_MALFORMED, "WELCOME without a lease, heartbeat or session");
    s->state = UPLINK_UP;
    s->epoch = frame->epoch;
    s->id = frame->session;
    s->seq_in = frame->seq;
    s->lease_ms = m.lease_ms;
    s->heartbeat_ms = MIN(m.heartbeat_ms, m.lease_ms);
    s->up_at_ms = s->heard_ms = now_ms;
    s->heartbeat_at_ms = now_ms; /* the first one at once, which also says what is free */
    confirm(s, 1);
    ret->type = UPLINK_EV_WELCOME;
    ret->on = m.draining;
    return ERR_OK;
}

static int refused(struct uplink *s, const struct wire_frame *frame, uint64_t now_ms,
                   struct uplink_event *ret, struct error *e)
{
    const int rc = wire_refuse_read(frame->body, &ret->code, &ret->reason, e);
    if (rc != ERR_OK)
        return rc;
    uplink_down(s, true, now_ms);
    s->hello_at_ms = now_ms + UPLINK_REFUSED_MS + jitter(s, UPLINK_REFUSED_MS);
    s->relink_at_ms = s->hello_at_ms; /* with a new connection: keys may have changed */
    ret->type = UPLINK_EV_REFUSED;
    return ERR_OK;
}

static void ended(struct uplink *s, bool soon, struct span reason, uint64_t now_ms,
                  struct uplink_event *ret)
{
    uplink_down(s, soon, now_ms);
    ret->type = UPLINK_EV_DOWN;
    ret->reason = reason;
}

static int in_session(struct uplink *s, const struct wire_frame *frame, uint64_t now_ms,
                      struct arena *a, struct uplink_event *ret, struct error *e)
{
    int rc = ERR_OK;
    switch (frame->type) {
    case WIRE_ASSIGN:
        ret->type = UPLINK_EV_ASSIGN;
        ret->epoch = frame->epoch;
        return wire_assign_read(frame->body, a, &ret->assign, e);
    case WIRE_RESULT_ACK:
    case WIRE_REVOKE:
        ret->type = frame->type == WIRE_REVOKE ? UPLINK_EV_REVOKE : UPLINK_EV_ACK;
        return wire_verdicts_read(frame->body, a, &ret->verdicts, &ret->n_verdicts, e);
    case WIRE_SINK:
        ret->type = UPLINK_EV_SINK;
        return wire_sink_read(frame->body, a, &ret->sink, e);
    case WIRE_BREAKER:
        ret->type = UPLINK_EV_BREAKER;
        return wire_breakers_read(frame->body, a, &ret->breakers, &ret->n_breakers, e);
    case WIRE_BLOB:
        ret->type = UPLINK_EV_BLOB;
        return wire_blob_answer_read(frame->body, &ret->blob, e);
    case WIRE_PREDICT:
        ret->type = UPLINK_EV_PREDICT;
        return wire_predict_read(frame->body, &ret->predict, e);
    case WIRE_DRAIN:
        ret->type = UPLINK_EV_DRAIN;
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

static int receive(struct uplink *s, const struct wire_frame *frame, uint64_t now_ms,
                   struct arena *a, struct uplink_event *ret, struct error *e)
{
    if (s->state == UPLINK_GREETING) {
        if (frame->type == WIRE_WELCOME)
            return welcome(s, frame, now_ms, ret, e);
        if (frame->type == WIRE_REFUSE)
            return refused(s, frame, now_ms, ret, e);
        return ERR_OK; /* of the session before */
    }
    if (s->state != UPLINK_UP)
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

int uplink_receive(struct uplink *s, struct span message, uint64_t now_ms, struct arena *a,
                   struct uplink_event *ret, struct error *e)
{
    struct wire_frame frame = {0};
    *ret = (struct uplink_event){.type = UPLINK_EV_NONE};
    int rc = wire_frame_read(message, &frame, e);
    /* A coordinator that speaks no version of ours says so in a message that can be read. */
    if (rc == ERR_PROTOCOL_MISMATCH && frame.type == WIRE_REFUSE)
        rc = ERR_OK;
    if (rc == ERR_OK)
        rc = receive(s, &frame, now_ms, a, ret, e);
    if (rc != ERR_OK) {
        uplink_down(s, true, now_ms);
        ret->type = UPLINK_EV_DOWN;
        ret->reason = SPAN("a message could not be read");
    }
    return rc;
}

uint64_t uplink_lease_end(const struct uplink *s)
{
    return s->confirmed ? s->confirmed_ms + s->lease_ms : 0;
}

bool uplink_lease_holds(const struct uplink *s, uint64_t now_ms)
{
    return s->state == UPLINK_UP && now_ms < uplink_lease_end(s);
}

bool uplink_may_start(const struct uplink *s, uint64_t now_ms)
{
    return uplink_lease_holds(s, now_ms) && s->seq_in >= 2;
}
