/*
 * blob_serve.h: answers workers that ask for bytes (BLOB): pieces of blobs, from the disk.
 *
 *    question --> [waits] --room--> [on the blob thread] --> answer sent --> read by the worker
 *
 * First come, first served over all workers, of which each may have SERVE_ASKS_MAX questions open: so
 * nobody waits for another's whole file. What was sent and surely not read yet (by the numbers in
 * the worker's messages) is bounded over all workers, in bytes: so memory is, and ASSIGN, ACK and
 * heartbeats never stand behind more than a worker's own few pieces.
 *
 * What a question may ask for is a table of sources. It decides nothing about leases.
 *
 * Thread rule: the loop thread.
 */
#ifndef DROVER_BLOB_SERVE_H
#define DROVER_BLOB_SERVE_H

#include "common/wire.h"
#include "coordinator/edge/edge.h"

enum {
    SERVE_ASKS_MAX = 8,                /* of a session without an answer; more: UNAVAILABLE */
    SERVE_BYTES_MAX = 64 * 1024 * 1024 /* read from disk or sent, and not read by the workers */
};

struct session;

/* What a session has open, in struct session. */
struct serve_session {
    uint32_t asks; /* questions without an answer */
    struct {
        uint64_t seq;
        uint32_t bytes;
    } sent[SERVE_ASKS_MAX]; /* answers that are not known to have been read, oldest first */
    uint32_t n_sent;
};

struct blob_serve *blob_serve_new(struct edge *e) MUST_CHECK; /* NULL: no memory */
void blob_serve_free(struct blob_serve *v);                   /* after blobs_free */

/* A question. It is answered at once or later, unless the session ends. */
void blob_serve_ask(struct blob_serve *v, struct session *s, const struct wire_blob_ask *ask);
/* The worker has read our messages up to that number. */
void blob_serve_acked(struct blob_serve *v, struct session *s, uint64_t ack_seq);
/* The session ends. */
void blob_serve_forget(struct blob_serve *v, struct session *s);

#endif
