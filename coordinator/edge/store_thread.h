/*
 * store_thread.h: one store on a thread of its own, with group commit.
 *
 * Requests are executed in the order of submission. Writes are collected for at most STORE_GROUP_MS
 * or STORE_GROUP_OPS into one transaction; their answers are delivered after its commit. Nothing
 * waits for company: when the queue is empty the group is committed, and what arrives during the
 * commit is the next group. Reads are executed between. One that comes while a group is open sees
 * what the group wrote, so its answer is delivered after that commit too, and it runs once more
 * (with a cleared arena) when the commit fails; without an open group it is answered at once. The
 * queue is bounded in bytes: store_thread_full() tells the front to refuse.
 *
 * A request is made by the loop thread and owned by it again when it comes back through
 * store_thread_poll(); between, it belongs to the store thread. `run` is called on the store thread
 * and calls the functions of store.h; what it returns is kept in `rc`. When a commit fails, the rc
 * of every write in it is overwritten with the commit's error.
 *
 * Thread rule: as said above; store_thread_submit/poll/full from the loop thread only.
 */
#ifndef DROVER_STORE_THREAD_H
#define DROVER_STORE_THREAD_H

#include "coordinator/edge/store.h"

enum { STORE_GROUP_OPS = 1000, STORE_GROUP_MS = 3 };

struct store_thread;

struct store_request {
    struct store_request *next; /* the queue's */
    bool write;
    size_t bytes; /* for the queue's budget; counted from submission until polled */
    int (*run)(struct store *s,
               struct store_request *r);               /* store thread; fills the caller's struct */
    void (*done)(struct store_request *r, void *user); /* loop thread; owns r again */
    int rc;
    struct error error;
    struct arena arena; /* for what the store returns; cleared by the owner */
};

/* wake_fd (an eventfd of the loop) becomes readable when store_thread_poll has something. A fatal
 * error of the store (fsync) makes store_thread_failed() true: the process must end. On failure the
 * store is still the caller's. */
int store_thread_new(struct store *store_take, size_t queue_max_bytes, struct store_thread **ret,
                     struct error *e) MUST_CHECK;
/* Runs what is queued, commits, joins the thread and closes the store. What came back is still
 * there for store_thread_poll; nothing may be submitted any more. */
void store_thread_stop(struct store_thread *t);
/* Stops it where that was not done. Requests that were not polled are forgotten without `done`: an
 * owner who needs them calls store_thread_stop and store_thread_poll first. */
void store_thread_free(struct store_thread *t);
int store_thread_fd(const struct store_thread *t);
void store_thread_submit(struct store_thread *t, struct store_request *r);
void store_thread_poll(struct store_thread *t, void *user); /* calls done of what came back */
bool store_thread_full(const struct store_thread *t);
bool store_thread_failed(const struct store_thread *t, struct error *ret);

struct store_thread_stats {
    uint64_t commits, ops;
    double commit_seconds;       /* summed */
    uint64_t commit_buckets[16]; /* bucket i: at most 2^i * 0.1 ms; the last: everything longer */
    size_t queued_bytes;
};
void store_thread_stats(const struct store_thread *t, struct store_thread_stats *ret);

#endif
