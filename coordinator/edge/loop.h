/*
 * loop.h: the loop thread: waits for sockets, the store's thread, signals and deadlines, and lets
 * each piece do its share. It decides only in which order.
 *
 * Thread rule: the thread that calls loop_run is the loop thread.
 */
#ifndef DROVER_LOOP_H
#define DROVER_LOOP_H

#include "coordinator/edge/edge.h"
#include "coordinator/edge/http.h"

struct loop {
    struct edge *edge;
    struct http *http; /* NULL: off */
    int signal_fd;     /* SIGTERM and SIGINT */
};

/* Until a signal: OK after everything accepted is committed, or the store's error. */
int loop_run(struct loop *l, struct error *e) MUST_CHECK;

#endif
