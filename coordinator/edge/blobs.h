/*
 * blobs.h: the blobs that the coordinator has: which, how large, which may go. The files are the
 * blob thread's (blob_thread.h), the notes of which job needs which are the store's.
 *
 *    first piece --> [PART] --last piece, hash right--> [WHOLE] --old, and no job needs it--> gone
 *                      |                                            ^
 *                      +--wrong hash, disk full, old--> gone        +-- its file is missing
 *
 * A blob is old when nobody put, asked for, named or was sent it for blob_keep: so that what a client
 * uploads is there when its job names it. In all they have at most blob_bytes_max, parts counted with the
 * bytes that they will have.
 *
 * Thread rule: the loop thread.
 */
#ifndef DROVER_BLOBS_H
#define DROVER_BLOBS_H

#include "common/blob_thread.h"
#include "coordinator/edge/edge.h"

enum {
    BLOBS_MAX = 1000 * 1000, /* blobs and parts in all */
    BLOBS_QUEUE_BYTES_MAX =
        64 * 1024 * 1024, /* of pieces that wait for the disk; then QUEUE_FULL */
    BLOBS_SWEEP_MAX = 256 /* old ones looked at in one step */
};

struct blobs;

/* Reads the folder blobs/ of the data directory and starts the thread. */
int blobs_new(struct edge *e, const char *data_dir, struct blobs **ret,
              struct error *error) MUST_CHECK;
/* Requests that wait come back with UNAVAILABLE. The store's thread has ended. */
void blobs_free(struct blobs *b);

int blobs_fd(const struct blobs *b);
void blobs_poll(struct blobs *b);
uint64_t blobs_timer(struct blobs *b); /* removes what is old; when it wants to be called next */

/* Whether all of it is here; then nobody removes it for blob_keep. ret_bytes may be NULL. */
bool blobs_has(struct blobs *b, const struct blob_name *name, uint64_t *ret_bytes);
/* The same as an error: NOT_FOUND with what a client has to do. */
int blobs_need(struct blobs *b, const struct blob_name *name, struct error *error) MUST_CHECK;

/* The same, and it stays however old it gets, until as many releases. */
int blobs_hold(struct blobs *b, const struct blob_name *name, struct error *error) MUST_CHECK;
void blobs_release(struct blobs *b, const struct blob_name *name);

/* Takes a piece: r->name, offset, total, data and done are set; after `done` r->put says what is there.
 * *ret_now: that is known at once, and `done` is not called. STORE_FULL, QUEUE_FULL. */
int blobs_put(struct blobs *b, struct blob_request *r, bool *ret_now,
              struct error *error) MUST_CHECK;
/* For `done` of a put: before anything else. */
void blobs_put_done(struct blobs *b, const struct blob_request *r);
/* Reads a piece of a whole blob: r->name, offset, max, out and done are set. NOT_FOUND. */
int blobs_read(struct blobs *b, struct blob_request *r, struct error *error) MUST_CHECK;
/* For `done` of a read, as above. */
void blobs_read_done(struct blobs *b, const struct blob_request *r);

struct blobs_stats {
    uint64_t n, bytes;                            /* parts with the bytes that they will have */
    uint64_t received_bytes, sent_bytes, removed; /* since the start */
};
void blobs_stats(const struct blobs *b, struct blobs_stats *ret);

#endif
