/*
 * sink_thread.h: what the coordinator asks sinks itself: whether a table fits a job, whether a sink
 * answers, and, when a job is over, to take nothing more of it. Rows never pass through here.
 *
 * One thread for each sink ("lane"), since the calls block: a sink that hangs delays nobody but
 * those who ask it. A connection is kept for a while. Questions (FITS, CHECK) have a deadline and come
 * back with UNAVAILABLE when it has passed, also unasked; ends of jobs (JOB_END) come after them, and
 * are tried again, with growing pauses, until the sink has answered. Ends that wait are bounded: the
 * oldest of a lane is given up for a newer one.
 *
 * A request is made by the loop thread and owned by it again when it comes back through
 * sink_thread_poll(); between, it and what it points to belong to the lane.
 *
 * Thread rule: all functions from the loop thread; lanes touch only their requests and the table of
 * sinks, which is immutable.
 */
#ifndef DROVER_SINK_THREAD_H
#define DROVER_SINK_THREAD_H

#include "coordinator/edge/sinks.h"

enum {
    SINK_ANSWER_MS = 5000, /* a question is answered within about so long, whatever the sink does */
    SINK_QUESTIONS_MAX = 256, /* that wait for one sink; of more the oldest gets QUEUE_FULL */
    SINK_ENDS_MAX = 1000,     /* ends of jobs that wait for one sink; the same */
};

struct sink_thread;

enum sink_ask { SINK_FITS, SINK_CHECK, SINK_JOB_END };

struct sink_request {
    struct sink_request *next; /* the queue's */
    enum sink_ask ask;
    size_t sink;                    /* index in the table */
    uint64_t until_ms;              /* monotonic; FITS, CHECK: set by sink_thread_submit */
    const struct spec_sink *target; /* FITS, JOB_END */
    const struct batch *columns;    /* FITS: of the job's rows */
    uint8_t uid[SINK_UID_LEN];      /* JOB_END: of the job, and so on */
    uint64_t generation;
    bool fenced;
    const char *state;                                /* static: "done", "failed", "cancelled" */
    void (*done)(struct sink_request *r, void *user); /* loop thread; owns r again */
    int rc;
    uint32_t took_ms; /* from asking to the answer */
    struct error error;
};

/* The table is borrowed and must outlive it. Without sinks there are no threads. */
int sink_thread_new(const struct sinks *sinks, struct sink_thread **ret,
                    struct error *e) MUST_CHECK;
/* Ends the lanes (each finishes what it is asking; ends that wait get one more chance while time is
 * left) and hands back all requests through `done`. */
void sink_thread_free(struct sink_thread *t, void *user);

int sink_thread_fd(const struct sink_thread *t); /* readable when poll has something */
void sink_thread_submit(struct sink_thread *t, struct sink_request *r);
void sink_thread_poll(struct sink_thread *t, void *user); /* calls done of what came back */

#endif
