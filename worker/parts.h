/*
 * parts.h: what the tasks of a job with a gathering stage came to, on its way from the coordinator to
 * the task that brings it together.
 *
 *    [WAITING] --question, answer, question, ...--> [READY]
 *        '-----too large, or not to be had--------> [FAILED]
 *
 * One question at a time for each such task. It sends nothing and reads no clock: agent.c sends what
 * parts_ask gives.
 *
 * Thread rule: the session thread; the bytes of READY parts may be read by another one.
 */
#ifndef DROVER_PARTS_H
#define DROVER_PARTS_H

#include "common/buf.h"
#include "common/wire.h"

enum {
    PARTS_BYTES_MAX = 256 * 1024 * 1024, /* of one job */
    PARTS_ASK_BYTES = 4 * 1024 * 1024,   /* in one answer, unless one part alone is larger */
    PARTS_PAUSE_MS = 500                 /* after an answer that says "not now" */
};

enum parts_state { PARTS_WAITING, PARTS_READY, PARTS_FAILED };

struct parts {
    struct parts *next;
    uint8_t job[8]; /* big-endian: the name in questions */
    enum parts_state state;
    bool asked;
    uint64_t cursor, again_ms;
    struct buf bytes;   /* packed arrays of one binary each */
    struct error error; /* when FAILED */
};

struct parts_list {
    struct parts *first;
};

struct parts *parts_new(struct parts_list *l, uint64_t job) MUST_CHECK; /* NULL: no memory */
void parts_free(struct parts_list *l, struct parts *p);                 /* takes NULL */

/* The next question; false: none now. name points into the parts. */
bool parts_ask(struct parts_list *l, uint64_t now_ms, struct wire_blob_ask *ret);
void parts_answer(struct parts_list *l, uint64_t now_ms, const struct wire_blob_answer *m);
/* A session began or ended: questions without an answer get none. */
void parts_session(struct parts_list *l);
uint64_t parts_deadline(const struct parts_list *l); /* when to ask again; UINT64_MAX: never */

#endif
