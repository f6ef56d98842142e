/*
 * sessions.h: the workers that are known, and the one live session of each.
 *
 *      HELLO                    SESSION_END, send failed, BYE, newer HELLO
 *    ---------> [live session] --------------------------------------------> [lost worker]
 *                    ^                                                            |
 *                    +---------------------------- HELLO -------------------------+
 *                                                 forgotten after SESSIONS_FORGET_MS
 * A worker that said BYE is not missed: its state is "left", not "lost".
 *
 * What the scheduler gives to a session in one turn is collected and sent as few messages by
 * outbox.h. Every message is numbered: accepted by ZeroMQ is not delivered. A send that fails
 * marks the session, which the scheduler hears of after the turn. Its worker is lost then; the
 * session itself lives on, deaf and dumb, until the scheduler says SESSION_END.
 *
 * Thread rule: the loop thread.
 */
#ifndef DROVER_SESSIONS_H
#define DROVER_SESSIONS_H

#include "common/transport.h"
#include "common/wire.h"
#include "coordinator/edge/blob_serve.h"
#include "coordinator/edge/edge.h"
#include "coordinator/edge/map64.h"

enum {
    SESSIONS_WORKER_ID_MAX = 64,    /* bytes of a worker's durable id */
    SESSIONS_FORGET_MS = 600 * 1000 /* a lost worker is shown so long */
};

struct worker {
    char id[SESSIONS_WORKER_ID_MAX + 1];
    uint64_t hash; /* of id: what the scheduler knows it by */
    char host[256];
    char version[32];
    uint32_t kinds, slots;
    bool draining;
    struct session *session; /* NULL: lost, or left */
    bool left;               /* the last session ended because the worker said goodbye */
    uint64_t connected_ms, lost_ms;
    /* as the last heartbeat said */
    uint32_t busy, queued;
    uint64_t buffered_bytes, rss_bytes, tasks_done, tasks_failed, rows;
    double cpu_s;
    /* as the coordinator counted */
    uint64_t attempts[EDGE_OUTCOMES];
    uint64_t rows_stored;
    uint64_t landing_bytes[SINKS_MAX]; /* as the last heartbeat said: rows that wait for a sink */
};

struct assign {
    struct task_id task;
    struct job_id job;
    uint64_t counter;
    uint32_t attempt, grant, run_timeout_ms;
    bool dropped; /* revoked before it was sent */
};

struct verdict {
    struct task_id task;
    struct token token;
    uint32_t code;
    const char *reason; /* static, or NULL */
};

/* What a session is to be told about a downstream. */
struct told {
    uint64_t downstream;
    enum wire_breaker_state state;
};

struct tolds {
    struct told *items;
    size_t n, cap;
};

struct verdicts {
    struct verdict *items;
    size_t n, cap;
};

struct session {
    uint64_t id;
    struct worker *worker;
    struct transport_peer peer;
    uint64_t seq_in, seq_out; /* last received, last sent */
    uint64_t resync_ms;       /* when RESYNC was last asked for */
    bool broken;              /* a send failed, or it may no longer come: nothing more is sent */
    bool lost;  /* broken, and the scheduler has heard of it, who may keep it a while */
    bool bye;   /* the worker said it */
    bool dirty; /* in the list of sessions to flush */
    struct session *next_dirty;
    struct assign *assigns;
    size_t n_assigns, cap_assigns;
    struct verdicts acks, revokes;
    struct tolds breakers;
    uint64_t sinks_sent;        /* bits by index in the table of sinks */
    struct map64 jobs_sent;     /* jobs whose description this session has */
    struct serve_session serve; /* BLOB: blob_serve.h */
    struct fetch *fetches;      /* assigns that wait for their inputs from the store */
    uint32_t predict_open;      /* PREDICTs without an answer: predict.h */
};

/* The first session of the list of those with something to send; outbox.c keeps it. */
struct session **sessions_dirty(struct sessions *s);

struct sessions *sessions_new(struct edge *e) MUST_CHECK;
void sessions_free(struct sessions *s);

/* "ready", "draining", "lost" or "left". */
const char *sessions_state(const struct worker *w);
/* The worker that the scheduler knows by that hash. NULL: not known. */
const struct worker *sessions_worker_of(const struct sessions *s, uint64_t hash);
/* The worker of that id, made when `make`. NULL: not known, or no memory. */
struct worker *sessions_worker(struct sessions *s, struct span id, bool make);
struct worker *sessions_worker_next(struct sessions *s,
                                    size_t *at); /* all of them; *at = 0 first */
size_t sessions_worker_count(const struct sessions *s);

struct session *sessions_get(const struct sessions *s, uint64_t id);
/* A new session for the worker, numbered; the caller tells the scheduler, which ends an earlier
 * one. */
struct session *sessions_begin(struct sessions *s, struct worker *w, struct transport_peer peer);
/* Forgets the session. Its peer is told when `reason` is given. */
void sessions_end(struct sessions *s, struct session *session, const char *reason);

/* The worker said BYE: tells the scheduler, which ends the session. */
void sessions_bye(struct sessions *s, struct session *session);

/* Begins a message to the session in e->out; the caller packs the body, then sends. */
void sessions_message(struct sessions *s, struct session *session, enum wire_type type);
void sessions_send(struct sessions *s, struct session *session);
/* A message to a peer without a session: REFUSE, RESYNC, BYE. `code` is used by REFUSE alone. */
void sessions_tell(struct sessions *s, struct transport_peer peer, enum wire_type type,
                   uint64_t session, enum err code, const char *text);

/* Tells the scheduler of sessions whose sends failed. Called after the turn's messages were
 * sent. */
void sessions_reap(struct sessions *s);

/* Heartbeats when they are due; forgets workers that are long lost. Returns when it is next due. */
uint64_t sessions_timer(struct sessions *s);

/* Ends the sessions of workers whose key was revoked; ZeroMQ alone would keep the connections. */
void sessions_revoked(struct sessions *s);

/* Workers that are given nothing more, by id; survives restarts (the store has the list). */
int sessions_drain(struct sessions *s, struct span worker, bool on, struct error *error) MUST_CHECK;
bool sessions_drained(const struct sessions *s, struct span worker);

#endif
