/*
 * wire.h: the messages of the protocol (docs/PROTOCOL.md), packed and read.
 *
 * Every message is one ZeroMQ frame, a positional msgpack array
 *     [version, type, epoch, session, seq, ack_seq, body]
 * with an array as its body. Bodies grow only at their end: a reader skips elements that it does not
 * know. Readers copy nothing: spans point into the message, arrays live in the arena.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_WIRE_H
#define DROVER_WIRE_H

#include "common/arena.h"
#include "common/buf.h"
#include "common/err.h"

enum {
    WIRE_VERSION = 1,                    /* of this build */
    WIRE_VERSION_MIN = 1,                /* oldest that it serves */
    WIRE_MESSAGE_MAX = 16 * 1024 * 1024, /* bytes; ZMQ_MAXMSGSIZE: a sitemap of 50,000 URLs fits */
    WIRE_TASKS_MAX = 500, /* tasks in one ASSIGN, RESULT, RESULT_ACK or REVOKE; downstreams in one
                             BREAKER */
    WIRE_SINK_SETTINGS_MAX = 64, /* settings of one sink */
    WIRE_BLOB_NAME_MAX = 64,     /* bytes of a name in BLOB */
    WIRE_UID_LEN = 16            /* bytes of a job's uid */
};

/* Numbers never change their meaning. */
enum wire_type {
    /* worker and coordinator */
    WIRE_HELLO = 1,
    WIRE_WELCOME = 2,
    WIRE_REFUSE = 3,
    WIRE_CREDIT = 4,
    WIRE_ASSIGN = 5,
    WIRE_RESULT = 6,
    WIRE_RESULT_ACK = 7,
    WIRE_HEARTBEAT = 8,
    WIRE_REVOKE = 9,
    WIRE_DRAIN = 10,
    WIRE_BYE = 11,
    WIRE_RESYNC = 12,
    WIRE_BLOB = 13,
    WIRE_BREAKER = 14,
    WIRE_SINK = 15,
    WIRE_CALLS = 16,
    WIRE_BEGUN = 17,
    WIRE_PREDICT = 18,
    WIRE_PREDICTED = 19,
    /* client and coordinator */
    WIRE_REQUEST = 32,
    WIRE_REPLY = 33,
    WIRE_ERROR = 34
};

/* Engine kinds, as bits. */
enum wire_kind {
    WIRE_KIND_SCRAPE = 1,
    WIRE_KIND_TRANSFORM = 2,
    WIRE_KIND_SCORE = 4,
    WIRE_KIND_NOOP = 8
};

struct wire_frame {
    uint64_t version, type, epoch, session, seq, ack_seq;
    struct span body; /* when read: the packed body array */
};

/* Writes the envelope up to and without the body, which the caller packs next. */
void wire_frame_pack(struct buf *out, const struct wire_frame *frame);
/* MALFORMED, or PROTOCOL_MISMATCH when the version is not served (the frame is filled in then). */
int wire_frame_read(struct span message, struct wire_frame *ret, struct error *e) MUST_CHECK;

/* A worker's durable id, a key's name: 1 to 64 of A-Z a-z 0-9 . _ - */
bool wire_name_valid(struct span name);

struct wire_token {
    uint64_t task, epoch, counter;
};

struct wire_hello {
    uint64_t version_min, version_max;
    struct span worker; /* durable id: [A-Za-z0-9._-]{1,64} */
    struct span boot;   /* 16 random bytes of this process */
    uint32_t kinds;     /* bits of wire_kind */
    uint32_t slots;
    struct span version;     /* of the program, "0.1.0" */
    struct span host;        /* host name, for people */
    struct wire_token *held; /* leases that run, or finished and are not acknowledged */
    size_t n_held;
};
void wire_hello_pack(struct buf *out, const struct wire_hello *m);
int wire_hello_read(struct span body, struct arena *a, struct wire_hello *ret,
                    struct error *e) MUST_CHECK;

struct wire_welcome {
    uint64_t version;
    uint32_t lease_ms, heartbeat_ms;
    bool draining;
};
void wire_welcome_pack(struct buf *out, const struct wire_welcome *m);
int wire_welcome_read(struct span body, struct wire_welcome *ret, struct error *e) MUST_CHECK;

/* REFUSE [code, detail]; BYE and RESYNC carry [reason]. */
void wire_refuse_pack(struct buf *out, enum err code, const char *detail);
int wire_refuse_read(struct span body, uint32_t *ret_code, struct span *ret_detail,
                     struct error *e) MUST_CHECK;
void wire_reason_pack(struct buf *out, const char *reason);
int wire_reason_read(struct span body, struct span *ret, struct error *e) MUST_CHECK;

/* Totals since the session began, so that a lost or repeated one does no harm. */
struct wire_credit {
    uint64_t tasks, bytes;
};
void wire_credit_pack(struct buf *out, const struct wire_credit *m);
int wire_credit_read(struct span body, struct wire_credit *ret, struct error *e) MUST_CHECK;

struct wire_job {
    uint64_t job;
    struct span spec; /* JSON text */
    struct span
        uid; /* WIRE_UID_LEN bytes: names the job in sinks, among those of all coordinators */
    uint64_t generation; /* from 1; a sink that was told so takes no rows of an older one */
};
struct wire_task {
    uint64_t task, counter, job; /* the token's epoch is the frame's */
    uint32_t attempt;            /* from 1: the attempt that this is */
    uint32_t grant;              /* concurrent uses of its key; 0: no limit */
    uint32_t run_timeout_ms;     /* 0: none */
    struct span input;           /* packed array of the engine's items */
    bool whole;                  /* its rows may have landed: all of it again, or nothing */
};
/* jobs: those whose description this session has not been sent yet. */
struct wire_assign {
    struct wire_job *jobs;
    size_t n_jobs;
    struct wire_task *tasks;
    size_t n_tasks;
};
void wire_assign_pack(struct buf *out, const struct wire_assign *m);
int wire_assign_read(struct span body, struct arena *a, struct wire_assign *ret,
                     struct error *e) MUST_CHECK;

enum wire_outcome {
    WIRE_DONE = 0,
    WIRE_RETRY = 1,
    WIRE_FAIL = 2,
    WIRE_RETURNED = 3,
    WIRE_LAND = 4 /* its rows are made; asks leave to land them in sinks, and says what they hold */
};                /* = sched_outcome */

struct wire_stat {
    struct span name;
    int64_t value;
};
struct wire_found {
    struct span url;
    uint32_t depth;
};
struct wire_again {
    struct span url;
    uint32_t depth;
    struct span error; /* "REASON: detail"; p == NULL: not tried, no attempt is used */
};
struct wire_result {
    struct wire_token token;
    enum wire_outcome outcome;
    struct span error; /* "REASON: detail"; p == NULL when DONE */
    struct span rows;  /* wire form of a batch; p == NULL: none for the store */
    uint32_t n_rows;
    struct wire_stat *stats;
    size_t n_stats;
    struct span rejects; /* packed array of [input, reason, detail|nil] */
    uint32_t n_rejects;
    struct wire_found *found;
    size_t n_found;
    struct wire_again *again;
    size_t n_again; /* inputs for a new task with attempt + 1 */
    uint32_t key_delay_ms, key_backoff_ms, retry_after_ms;
    struct span left; /* LAND: bit i & 7 of byte i / 8: item i of the task has no part in its rows,
                         since it is a reject or goes into a new task; p == NULL: all have */
};
/* RESULT carries several: pack the count with pack_array, then each. A result larger than
 * WIRE_MESSAGE_MAX is never made: the runner fails the task with LIMIT. */
void wire_result_pack(struct buf *out, const struct wire_result *m);
int wire_results_read(struct span body, struct arena *a, struct wire_result **ret, size_t *ret_n,
                      struct error *e) MUST_CHECK;

/* RESULT_ACK, REVOKE: [[task, epoch, counter, code, reason|nil], ...] */
enum wire_ack {
    WIRE_ACK_STORED = 0,
    WIRE_ACK_DISCARDED = 1,
    WIRE_ACK_LAND = 2 /* what the rows hold is durable: they may land; the result follows */
};
struct wire_verdict {
    struct wire_token token;
    uint32_t code;
    struct span reason;
};
void wire_verdicts_pack(struct buf *out, const struct wire_verdict *m, size_t n);
int wire_verdicts_read(struct span body, struct arena *a, struct wire_verdict **ret, size_t *ret_n,
                       struct error *e) MUST_CHECK;

/* HEARTBEAT of a worker; the coordinator's has an empty body. Totals since the process began. */
struct wire_heartbeat {
    uint32_t busy, queued;
    uint64_t buffered_bytes, rss_bytes;
    double cpu_s;
    uint64_t tasks_done, tasks_failed, rows;
    struct wire_stat *counters;
    size_t n_counters; /* scrape responses by class, bytes, ... */
};
void wire_heartbeat_pack(struct buf *out, const struct wire_heartbeat *m);
int wire_heartbeat_read(struct span body, struct arena *a, struct wire_heartbeat *ret,
                        struct error *e) MUST_CHECK;

/* BREAKER, c->w: what the worker may do with downstreams (common/downstream.h). */
enum wire_breaker_state {
    WIRE_BREAKER_CLOSED = 0,
    WIRE_BREAKER_OPEN = 1,       /* call it no more, until told otherwise; keep what waits */
    WIRE_BREAKER_PROBE = 2,      /* make one call, and report it at once */
    WIRE_BREAKER_QUARANTINED = 3 /* others reach it, this worker does not: give its tasks back */
};
/* CALLS, w->c: what came of calls to downstreams since the last such message of the session. */
struct wire_calls {
    struct span downstream;
    uint32_t ok, fail, slow; /* slow ones are among ok */
    uint32_t waiting;        /* now: tasks whose rows wait for it */
    struct span error;       /* of the last failure: the downstream's own words; p == NULL: none */
    uint32_t row; /* now: failures since the last success; those of `fail` that came last */
};
void wire_calls_pack(struct buf *out, const struct wire_calls *m, size_t n);
int wire_calls_read(struct span body, struct arena *a, struct wire_calls **ret, size_t *ret_n,
                    struct error *e) MUST_CHECK;
struct wire_breaker {
    struct span downstream;
    enum wire_breaker_state state;
};
void wire_breakers_pack(struct buf *out, const struct wire_breaker *m, size_t n);
int wire_breakers_read(struct span body, struct arena *a, struct wire_breaker **ret, size_t *ret_n,
                       struct error *e) MUST_CHECK;

/* SINK, c->w: where a sink is and how to use it, secrets included; sent once in a session, before the
 * first ASSIGN with a job that names it. */
struct wire_setting {
    struct span key, value;
};
struct wire_sink {
    struct span name; /* of the administrator's section */
    struct span kind; /* "postgres", ... */
    struct wire_setting *settings;
    size_t n_settings;
};
void wire_sink_pack(struct buf *out, const struct wire_sink *m);
int wire_sink_read(struct span body, struct arena *a, struct wire_sink *ret,
                   struct error *e) MUST_CHECK;

/* BLOB, w->c: a question for a piece of some bytes, and c->w: its answer. What an offset means is the
 * source's to say: in a blob it counts bytes, elsewhere it may be a cursor that only the coordinator
 * understands. It begins with 0, and the next question takes what the answer gave as `next`. */
enum wire_blob_source {
    WIRE_BLOB_FILE = 1, /* name: the 32 bytes of the SHA-256 */
    WIRE_BLOB_PARTS =
        2 /* name: a job, 8 bytes, big-endian: what its tasks came to, as packed arrays of one
                           binary each; total is UINT64_MAX until the end */
};
struct wire_blob_ask {
    uint32_t what;    /* wire_blob_source */
    struct span name; /* at most WIRE_BLOB_NAME_MAX bytes */
    uint64_t offset;
    uint32_t max; /* bytes wanted at most; the answer has no more than BLOB_CHUNK_BYTES */
};
void wire_blob_ask_pack(struct buf *out, const struct wire_blob_ask *m);
int wire_blob_ask_read(struct span body, struct wire_blob_ask *ret, struct error *e) MUST_CHECK;
struct wire_blob_answer {
    uint32_t what; /* as in the question, and so on */
    struct span name;
    uint64_t offset;
    uint64_t next;  /* where to go on; the end is there when it is `total` */
    uint64_t total; /* of a blob: its bytes */
    struct span data;
    uint32_t code; /* enum err; not OK: there are no data, and detail says why */
    struct span detail;
};
void wire_blob_answer_pack(struct buf *out, const struct wire_blob_answer *m);
int wire_blob_answer_read(struct span body, struct wire_blob_answer *ret,
                          struct error *e) MUST_CHECK;

/* BEGUN, w->c: tasks that may have had to wait for blobs and have begun: their run_timeout_ms counts from
 * now. Told again in a new session. At most WIRE_TASKS_MAX. */
void wire_begun_pack(struct buf *out, const struct wire_token *tokens, size_t n);
int wire_begun_read(struct span body, struct arena *a, struct wire_token **ret, size_t *ret_n,
                    struct error *e) MUST_CHECK;

/* PREDICT, c->w: rows for a model, to be answered now, and w->c PREDICTED: what it makes of them. Nobody
 * keeps either: a message that is lost is a request that is made again, or fails. */
struct wire_predict {
    uint64_t id;          /* of the request, within the session */
    struct span blob;     /* the 32 bytes of the model's SHA-256 */
    struct span sample;   /* the same of the sample that proves it; p == NULL: none */
    double tolerance;     /* of the sample, from 0 to 1 */
    uint32_t deadline_ms; /* from now; later nobody waits for the answer */
    struct span rows;     /* wire form of a batch; p == NULL: load the model, nothing more */
};
void wire_predict_pack(struct buf *out, const struct wire_predict *m);
int wire_predict_read(struct span body, struct wire_predict *ret, struct error *e) MUST_CHECK;
struct wire_predicted {
    uint64_t id;
    uint32_t code; /* enum err; not OK: there are no rows, and detail says why */
    struct span detail;
    struct span rows; /* wire form of a batch, as many as were asked for */
};
void wire_predicted_pack(struct buf *out, const struct wire_predicted *m);
int wire_predicted_read(struct span body, struct wire_predicted *ret, struct error *e) MUST_CHECK;

void wire_drain_pack(struct buf *out, bool on);
int wire_drain_read(struct span body, bool *ret, struct error *e) MUST_CHECK;

/* REQUEST [verb, args map]; REPLY [seq of the request, value]; ERROR [seq of the request, code, name, detail,
 * retry_after_ms]. A request is answered exactly once; a client that got no answer sends it again with the
 * same seq, which is safe because every verb is idempotent. */
struct wire_request {
    struct span verb;
    struct span args; /* packed map */
};
int wire_request_read(struct span body, struct wire_request *ret, struct error *e) MUST_CHECK;
void wire_request_begin(struct buf *out, const char *verb); /* the caller packs the args map next */
void wire_reply_begin(struct buf *out, uint64_t request_seq); /* the caller packs the value next */
int wire_reply_read(struct span body, uint64_t *ret_seq, struct span *ret_value,
                    struct error *e) MUST_CHECK;
struct wire_error {
    uint64_t seq;
    uint32_t code;
    struct span detail;
    uint32_t retry_after_ms;
};
void wire_error_pack(struct buf *out, const struct wire_error *m);
int wire_error_read(struct span body, struct wire_error *ret, struct error *e) MUST_CHECK;

#endif
