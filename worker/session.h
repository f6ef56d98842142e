/*
 * session.h: the worker's side of the conversation with the coordinator: who may say what when,
 * numbers, time limits, and until when the leases are surely ours. See docs/PROTOCOL.md.
 *
 *              session_hello             WELCOME
 *     [DOWN] ----------------> [GREETING] ------> [UP]
 *       ^  ^---- REFUSE, no WELCOME in 5 s --|      |
 *       |---- RESYNC, gap, BYE, silence, send failed
 *
 * It does no I/O and reads no clock: the caller hands in messages and the time (milliseconds of
 * CLOCK_BOOTTIME, which goes on while the machine sleeps) and sends what is packed here. It knows
 * nothing of tasks; what is held across sessions is held.h's.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_WORKER_SESSION_H
#define DROVER_WORKER_SESSION_H

#include "common/arena.h"
#include "common/wire.h"

enum {
    SESSION_WELCOME_MS = 5000,    /* no WELCOME for so long: the socket is made anew */
    SESSION_BACKOFF_MIN_MS = 200, /* between attempts; doubles, with jitter */
    SESSION_BACKOFF_MAX_MS = 10000,
    SESSION_REFUSED_MS = 10000, /* after a REFUSE, at least */
    SESSION_STEADY_MS = 5000,   /* a session that lived so long forgets the back-off */
    SESSION_SENT_RING = 32      /* heartbeats whose time of sending is remembered */
};

enum session_state { SESSION_DOWN, SESSION_GREETING, SESSION_UP };

struct session_config {
    const char *worker, *host, *version; /* borrowed */
    uint8_t boot[16];
    uint32_t kinds, slots;
    uint64_t seed; /* of the jitter */
};

struct session {
    struct session_config config;
    enum session_state state;
    uint64_t epoch, id;       /* of the present session; the epoch is kept when it ends */
    uint64_t seq_out, seq_in; /* the last of each direction */
    uint32_t lease_ms, heartbeat_ms;
    uint64_t up_at_ms; /* when UP: since when */
    uint64_t heard_ms; /* last message of the session */
    uint64_t
        confirmed_ms; /* our last message that the other side is known to have read was sent then */
    bool confirmed;   /* confirmed_ms is valid */
    uint64_t heartbeat_at_ms; /* when UP */
    uint64_t hello_at_ms;     /* when DOWN */
    uint64_t relink_at_ms;    /* when not UP */
    uint32_t backoff_ms;
    uint64_t random;
    struct {
        uint64_t seq, at_ms;
    } sent[SESSION_SENT_RING];
    size_t n_sent; /* entries written so far; the ring holds the last ones */
};

void session_init(struct session *s, const struct session_config *config, uint64_t now_ms);

/* What is to be done now, and when to ask again (UINT64_MAX never happens). */
enum session_due {
    SESSION_DUE_NOTHING,
    SESSION_DUE_HELLO,  /* session_hello, then session_greeted or session_unsent */
    SESSION_DUE_RELINK, /* make a new socket, then session_relinked */
    SESSION_DUE_HEARTBEAT,
    SESSION_DUE_SILENCE /* nothing was heard for a lease: session_down was done */
};
enum session_due session_due(struct session *s, uint64_t now_ms);
uint64_t session_deadline(const struct session *s);

void session_hello(struct session *s, const struct wire_token *held, size_t n, struct buf *out);
void session_greeted(struct session *s, uint64_t now_ms); /* the HELLO was accepted for sending */
void session_unsent(struct session *s, uint64_t now_ms);  /* there is no connection yet */
void session_relinked(struct session *s, uint64_t now_ms);

/* Begins a message of the session (state UP): writes the envelope, the caller packs the body. After
 * it was accepted for sending: session_sent. When not: session_down, since the numbers have a gap. */
void session_begin(const struct session *s, enum wire_type type, struct buf *out);
void session_sent(struct session *s, enum wire_type type, uint64_t now_ms);

/* The session is over. soon: a new one may follow at once on the same socket. */
void session_down(struct session *s, bool soon, uint64_t now_ms);

enum session_event_type {
    SESSION_EV_NONE, /* nothing to do: a heartbeat, or a message of an earlier session */
    SESSION_EV_WELCOME,
    SESSION_EV_REFUSED, /* code, reason */
    SESSION_EV_ASSIGN,
    SESSION_EV_ACK,    /* verdicts */
    SESSION_EV_REVOKE, /* verdicts */
    SESSION_EV_DRAIN,  /* on */
    SESSION_EV_DOWN    /* reason; session_down was done */
};

struct session_event {
    enum session_event_type type;
    uint64_t epoch;     /* ASSIGN: of the tokens */
    uint32_t code;      /* REFUSED */
    struct span reason; /* REFUSED, DOWN */
    struct wire_assign assign;
    struct wire_verdict *verdicts;
    size_t n_verdicts;
    bool on; /* DRAIN; WELCOME: the coordinator has this worker draining */
};

/* Takes one message. Spans of the event point into it and into the arena. An error (MALFORMED,
 * NOMEM) ends the session as well. */
int session_receive(struct session *s, struct span message, uint64_t now_ms, struct arena *a,
                    struct session_event *ret, struct error *e) MUST_CHECK;

/* Whether this worker's leases surely still hold: the coordinator is known to have heard of it
 * less than a lease ago. While not, no new work is started. */
bool session_lease_holds(const struct session *s, uint64_t now_ms);
/* When that ends; 0: it does not hold. */
uint64_t session_lease_end(const struct session *s);

#endif
