#include "client.h"

#include <poll.h>

#include "common/clock.h"
#include "common/pack.h"
#include "common/transport.h"
#include "common/wire.h"

enum {
    RESEND_MS = 2000,    /* without an answer */
    RECONNECT_MS = 5000, /* the same: a new socket */
    TICK_MS = 100,       /* how often an unconnected socket is tried */
    MISMATCHES_MAX = 2   /* handshakes that fail before it is no accident (a restart) */
};

struct client {
    struct transport_context *context;
    struct transport *transport;
    const volatile sig_atomic_t *stop;
    uint64_t seq;
    uint32_t retry_after_ms;
    struct buf request, value;
};

int client_open(const struct client_target *target, const volatile sig_atomic_t *stop,
                struct client **ret, struct error *e)
{
    struct transport_connect config = {.url = target->url,
                                       .key = target->key,
                                       .server_key = target->server_key};
    struct client *c = calloc(1, sizeof *c);
    if (!c)
        return error_set(e, ERR_NOMEM, "client");
    c->stop = stop;
    buf_init(&c->request, WIRE_MESSAGE_MAX);
    buf_init(&c->value, 0);
    int rc = transport_context_new(NULL, 1, &c->context, e);
    if (rc == ERR_OK)
        rc = transport_connect(c->context, &config, &c->transport, e);
    if (rc) {
        client_close(c);
        return rc;
    }
    *ret = c;
    return ERR_OK;
}

void client_close(struct client *c)
{
    if (!c)
        return;
    transport_free(c->transport);
    transport_context_free(c->context);
    buf_done(&c->request);
    buf_done(&c->value);
    free(c);
}

uint32_t client_retry_after_ms(const struct client *c)
{
    return c->retry_after_ms;
}

void client_pause(struct client *c, uint32_t ms)
{
    if (!*c->stop)
        poll(NULL, 0, (int)ms); /* a signal ends it */
}

/* Looks at one message: true when it is the answer, which is then in *ret_rc, value or *e. */
static bool take_answer(struct client *c, struct span data, int *ret_rc, struct error *e)
{
    struct wire_frame f;
    struct wire_error error;
    struct span value;
    uint64_t seq;
    *ret_rc = wire_frame_read(data, &f, e);
    if (*ret_rc == ERR_PROTOCOL_MISMATCH)
        return true;
    if (*ret_rc)
        return false; /* nothing that a coordinator sends */
    if (f.type == WIRE_REPLY && wire_reply_read(f.body, &seq, &value, e) == ERR_OK &&
        seq == c->seq) {
        buf_clear(&c->value);
        buf_append(&c->value, value.p, value.len);
        *ret_rc = buf_ok(&c->value) ? ERR_OK : error_set(e, ERR_NOMEM, "the answer");
        return true;
    }
    if (f.type == WIRE_ERROR && wire_error_read(f.body, &error, e) == ERR_OK &&
        error.seq == c->seq) {
        c->retry_after_ms = error.retry_after_ms;
        *ret_rc = error_set(e, (enum err)error.code, "%.*s", (int)error.detail.len, error.detail.p);
        return true;
    }
    return false; /* an answer to something older */
}

/* Reads what has come: true when the answer was among it. */
static bool read_answers(struct client *c, int *ret_rc, struct error *e)
{
    for (;;) {
        struct transport_message m;
        int rc = transport_recv(c->transport, &m, e);
        if (rc == ERR_UNAVAILABLE)
            return false;
        if (rc) {
            *ret_rc = rc;
            return true;
        }
        bool done = take_answer(c, m.data, ret_rc, e);
        transport_message_done(&m);
        if (done)
            return true;
    }
}

struct attempt {
    uint64_t end_ms, send_ms, reconnect_ms; /* when to give up, to send (again), to reconnect */
    uint32_t wait_ms;
    unsigned mismatches;
};

/* One round of sending and reconnecting. Not OK: give up. */
static int push(struct client *c, struct attempt *a, uint64_t now, struct error *e)
{
    int problem = transport_problem(c->transport, e);
    if (problem == ERR_AUTH ||
        (problem == ERR_PROTOCOL_MISMATCH && a->mismatches >= MISMATCHES_MAX))
        return problem;
    if (problem == ERR_PROTOCOL_MISMATCH || now >= a->reconnect_ms) {
        a->mismatches += problem == ERR_PROTOCOL_MISMATCH;
        a->reconnect_ms = now + RECONNECT_MS + a->wait_ms;
        a->send_ms = now;
        return transport_reconnect(c->transport, e);
    }
    if (now < a->send_ms)
        return ERR_OK;
    int rc = transport_send(c->transport, NULL, buf_span(&c->request), e);
    if (rc == ERR_OK)
        a->send_ms = now + RESEND_MS + a->wait_ms;
    return rc == ERR_UNREACHABLE ? ERR_OK : rc;
}

static int give_up(struct client *c, struct error *e)
{
    struct error why = {0};
    if (transport_problem(c->transport, &why))
        return error_set(e, ERR_UNREACHABLE, "%.450s (waited %d s)", why.detail,
                         CLIENT_TIMEOUT_MS / 1000);
    return error_set(e, ERR_UNREACHABLE, "%s is connected and did not answer in %d s",
                     transport_url(c->transport), CLIENT_TIMEOUT_MS / 1000);
}

int client_call(struct client *c, const char *verb, struct span args, uint32_t wait_ms,
                struct span *ret_value, struct error *e)
{
    uint64_t now = clock_ms();
    struct attempt a = {.end_ms = now + CLIENT_TIMEOUT_MS + wait_ms,
                        .send_ms = now,
                        .reconnect_ms = now + RECONNECT_MS + wait_ms,
                        .wait_ms = wait_ms};
    struct wire_frame f = {.version = WIRE_VERSION, .type = WIRE_REQUEST, .seq = ++c->seq};
    int rc;
    c->retry_after_ms = 0;
    buf_clear(&c->request);
    wire_frame_pack(&c->request, &f);
    wire_request_begin(&c->request, verb);
    buf_append(&c->request, args.p, args.len);
    if (!buf_ok(&c->request))
        return error_set(e, ERR_LIMIT, "the request is larger than %d bytes", WIRE_MESSAGE_MAX);
    for (;;) {
        struct transport_item item = {.transport = c->transport, .fd = -1};
        if (read_answers(c, &rc, e))
            break;
        if (*c->stop)
            return error_set(e, ERR_UNAVAILABLE, "interrupted");
        now = clock_ms();
        if (now >= a.end_ms)
            return give_up(c, e);
        rc = push(c, &a, now, e);
        if (rc)
            return rc;
        transport_wait(&item, 1, TICK_MS);
    }
    if (rc == ERR_OK)
        *ret_value = buf_span(&c->value);
    return rc;
}
