/*
 * batcher_internal.h: the inside of the batcher, for the files that share it: batcher.c (sinks, what owner
 * and coordinator say) and batcher_lane.c (queues, calls, threads). batcher.h is the face.
 *
 * Thread rule: everything under the batcher's lock.
 */
#ifndef DROVER_BATCHER_INTERNAL_H
#define DROVER_BATCHER_INTERNAL_H

#include <pthread.h>

#include "batcher.h"
#include "gate.h"
#include "pace.h"

struct lane; /* a connection's thread */

/* Older ones live as long as the sink: a lane may be connecting with them. They change as rarely as an
 * administrator changes a configuration. */
struct settings {
    struct sink_settings is;
    struct settings *older;
};

struct sink {
    struct batcher *batcher;
    const struct sink_kind *kind;
    struct settings *settings; /* the present ones, before the older ones */
    char downstream[DOWNSTREAM_NAME_MAX];
    char bytes_name[DOWNSTREAM_NAME_MAX + sizeof(BATCHER_BYTES_PREFIX)];
    uint32_t version; /* of the settings: connections of an older one are closed */
    struct gate gate;
    char error[GATE_ERROR_LEN]; /* what batcher_calls hands out */
    struct landing *first, *last;
    size_t n, bytes; /* that wait */
    uint64_t rows;
    size_t n_writing, writing_bytes;
    uint32_t active, active_max; /* calls under way; as many as may be */
    struct pace pace;
    bool failing; /* its last call did */
    pthread_cond_t wake;
    struct lane *lanes;
    size_t n_lanes;
    struct sink *next;
};

struct lane {
    struct sink *sink;
    pthread_t thread;
    bool started, ended;
};

struct batcher {
    struct batcher_config config;
    pthread_mutex_t lock; /* of everything below */
    pthread_cond_t lane_ended;
    struct sink *sinks;
    size_t n_sinks;
    struct landing *done, **done_end;
    bool stopping, flushing, returning;
    int fd;
    struct landing *taken; /* the owner's thread only, without the lock */
};

/* ---- the owner's list ---- */

void batcher_lane_give(struct batcher *b, struct landing *l);
void batcher_lane_wake_owner(struct batcher *b);

/* ---- a sink's queue ---- */

/* Before another one, or at the end (NULL). */
void batcher_lane_link(struct sink *s, struct landing *l, struct landing *before);
void batcher_lane_unlink(struct sink *s, struct landing *l);
void batcher_lane_give_all(struct sink *s);          /* what waits */
uint32_t batcher_lane_waiting(const struct sink *s); /* tasks whose rows are not there yet */
bool batcher_lane_is_full(const struct sink *s);     /* enough waits for a whole batch */

/* Starts the threads of a sink: at least one. UNAVAILABLE. */
int batcher_lane_start(struct sink *s, struct error *e) MUST_CHECK;

#endif
