/*
 * uplink.h: the worker's side of the conversation with the coordinator: who may say what when,
 * numbers, time limits, and until when the leases are surely ours. See docs/PROTOCOL.md.
 *
 *              uplink_hello             WELCOME
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
#ifndef DROVER_UPLINK_H
#define DROVER_UPLINK_H

#include "common/arena.h"
#include "common/wire.h"

enum {
    UPLINK_WELCOME_MS = 5000,    /* no WELCOME for so long: the socket is made anew */
    UPLINK_BACKOFF_MIN_MS = 200, /* between attempts; doubles, with jitter */
    UPLINK_UNSENT_MIN_MS = 5, /* until HELLO is tried again while there is no connection; doubles */
    UPLINK_BACKOFF_MAX_MS = 10000,
    UPLINK_REFUSED_MS = 10000, /* after a REFUSE, at least */
    UPLINK_STEADY_MS = 5000,   /* a session that lived so long forgets the back-off */
    UPLINK_SENT_RING = 32      /* heartbeats whose time of sending is remembered */
};

enum uplink_state { UPLINK_DOWN, UPLINK_GREETING, UPLINK_UP };

struct uplink_config {
    const char *worker, *host, *version; /* borrowed */
    uint8_t boot[16];
    uint32_t kinds, slots;
    uint64_t seed; /* of the jitter */
};

struct uplink {
    struct uplink_config config;
    enum uplink_state state;
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
    uint32_t backoff_ms, unsent_ms;
    uint64_t random;
    struct {
        uint64_t seq, at_ms;
    } sent[UPLINK_SENT_RING];
    size_t n_sent; /* entries written so far; the ring holds the last ones */
};

void uplink_init(struct uplink *s, const struct uplink_config *config, uint64_t now_ms);

/* What is to be done now, and when to ask again (UINT64_MAX never happens). */
enum uplink_due {
    UPLINK_DUE_NOTHING,
    UPLINK_DUE_HELLO,  /* uplink_hello, then uplink_greeted or uplink_unsent */
    UPLINK_DUE_RELINK, /* make a new socket, then uplink_relinked */
    UPLINK_DUE_HEARTBEAT,
    UPLINK_DUE_SILENCE /* nothing was heard for a lease: uplink_down was done */
};
enum uplink_due uplink_due(struct uplink *s, uint64_t now_ms);
uint64_t uplink_deadline(const struct uplink *s);

void uplink_hello(struct uplink *s, const struct wire_token *held, size_t n, struct buf *out);
void uplink_greeted(struct uplink *s, uint64_t now_ms); /* the HELLO was accepted for sending */
void uplink_unsent(struct uplink *s, uint64_t now_ms);  /* there is no connection yet */
void uplink_relinked(struct uplink *s, uint64_t now_ms);

/* Begins a message of the session (state UP): writes the envelope, the caller packs the body. After
 * it was accepted for sending: uplink_sent. When not: uplink_down, since the numbers have a gap. */
void uplink_begin(const struct uplink *s, enum wire_type type, struct buf *out);
void uplink_sent(struct uplink *s, enum wire_type type, uint64_t now_ms);

/* The session is over. soon: a new one may follow at once on the same socket. */
void uplink_down(struct uplink *s, bool soon, uint64_t now_ms);

enum uplink_event_type {
    UPLINK_EV_NONE, /* nothing to do: a heartbeat, or a message of an earlier session */
    UPLINK_EV_WELCOME,
    UPLINK_EV_REFUSED, /* code, reason */
    UPLINK_EV_ASSIGN,
    UPLINK_EV_ACK,     /* verdicts */
    UPLINK_EV_REVOKE,  /* verdicts */
    UPLINK_EV_SINK,    /* sink */
    UPLINK_EV_BREAKER, /* breakers */
    UPLINK_EV_BLOB,    /* blob */
    UPLINK_EV_PREDICT, /* predict */
    UPLINK_EV_DRAIN,   /* on */
    UPLINK_EV_DOWN     /* reason; uplink_down was done */
};

struct uplink_event {
    enum uplink_event_type type;
    uint64_t epoch;     /* ASSIGN: of the tokens */
    uint32_t code;      /* REFUSED */
    struct span reason; /* REFUSED, DOWN */
    struct wire_assign assign;
    struct wire_verdict *verdicts;
    size_t n_verdicts;
    struct wire_sink sink;
    struct wire_breaker *breakers;
    size_t n_breakers;
    struct wire_blob_answer blob;
    struct wire_predict predict;
    bool on; /* DRAIN; WELCOME: the coordinator has this worker draining */
};

/* Takes one message. Spans of the event point into it and into the arena. An error (MALFORMED,
 * NOMEM) ends the session as well. */
int uplink_receive(struct uplink *s, struct span message, uint64_t now_ms, struct arena *a,
                   struct uplink_event *ret, struct error *e) MUST_CHECK;

/* Whether this worker's leases surely still hold: the coordinator is known to have heard of it
 * less than a lease ago. While not, nothing more is asked for. */
bool uplink_lease_holds(const struct uplink *s, uint64_t now_ms);
/* Besides, whether the coordinator has said something since WELCOME: that comes first which of the
 * leases brought from an earlier session are gone. Only then is work of theirs begun or gone on with. */
bool uplink_may_start(const struct uplink *s, uint64_t now_ms);
/* When the lease ends; 0: it does not hold. */
uint64_t uplink_lease_end(const struct uplink *s);

#endif
