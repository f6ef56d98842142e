/*
 * cache.h: blobs on this worker's disk: fetched from the coordinator when a task needs them, kept
 * for the next one, the least recently used removed first.
 *
 *                    total known        all of it, hash right
 *    [WANTED] --ask--> [COMING] --------------------------> [HERE] --used by nobody, no room--> gone
 *       ^  ^--- pause ----'  '--NOT_FOUND, too many failures--> [FAILED]  |
 *       |                                                                 |
 *       '---------- its file has vanished, or is damaged ------ [FOUND] <-'
 *       '---------- [PART]                              (at start: to be hashed when it is wanted)
 *
 * A task says what it needs (cache_need) and waits until cache_need_state says that all of it is here;
 * cache_need_open gives the files. Several tasks that need the same blob cause one transfer.
 *
 * Blobs come in the order in which tasks asked. Beyond bytes_max only those of the oldest task come: so
 * the bound is passed by one task's blobs at most, and nobody waits for ever. What is asked of the
 * coordinator at a time begins small and grows while answers come quickly (CACHE_QUICK_MS), so that
 * on a slow line heartbeats and leases do not stand behind blobs.
 *
 * It sends nothing and reads no clock: agent.c sends what cache_ask gives. Disk work is the blob
 * thread's.
 *
 * Thread rule: the session thread.
 */
#ifndef DROVER_CACHE_H
#define DROVER_CACHE_H

#include "common/blob_thread.h"
#include "common/wire.h"
#include "worker/blobset.h"

enum {
    CACHE_ASKS_MAX = 4,                  /* questions at a time */
    CACHE_WINDOW_MIN = 64 * 1024,        /* bytes asked for at a time, over all questions */
    CACHE_QUICK_MS = 100,                /* an answer within it doubles the window */
    CACHE_SLOW_MS = 500,                 /* one beyond it halves it */
    CACHE_DISK_BYTES = 16 * 1024 * 1024, /* that wait for the disk: then nothing is asked for */
    CACHE_TRIES = 5,     /* failures of one blob before the tasks that wait go back */
    CACHE_PAUSE_MS = 500 /* after the first; it doubles */
};

struct cache;
struct cache_need;

struct cache_config {
    const char
        *dir; /* NULL: a private temporary folder, made when it is needed, removed at the end */
    uint64_t bytes_max;
};

/* CONFIG: the folder cannot be used, or another worker uses it. */
int cache_new(const struct cache_config *config, struct cache **ret, struct error *e) MUST_CHECK;
void cache_free(struct cache *c); /* after all needs */

enum cache_state { CACHE_WAITING, CACHE_READY, CACHE_FAILED };

/* What one task needs; a blob may be named twice. NOMEM, IO: there is no folder. */
int cache_need(struct cache *c, const struct blob_name *names, size_t n, struct cache_need **ret,
               struct error *e) MUST_CHECK;
void cache_need_free(struct cache_need *need); /* takes NULL */
/* FAILED: *ret_error (NOT_FOUND: the coordinator has it no more; UNAVAILABLE: it cannot be had now). */
enum cache_state cache_need_state(const struct cache_need *need, struct error *ret_error);
/* READY: opens the files; they belong to the need. False: one has vanished, and the need waits again. */
bool cache_need_open(struct cache_need *need);
const struct blobset *cache_need_set(const struct cache_need *need);

/* The next question for the coordinator; false: none now. name points into the cache. */
bool cache_ask(struct cache *c, uint64_t now_ms, struct wire_blob_ask *ret);
void cache_answer(struct cache *c, uint64_t now_ms, const struct wire_blob_answer *m);
/* A session began or ended: questions without an answer get none. */
void cache_session(struct cache *c);
uint64_t cache_deadline(const struct cache *c); /* when to try again; UINT64_MAX: nothing fails */

int cache_fd(
    const struct cache *c); /* readable: cache_poll has something to do; -1: no folder yet */
void cache_poll(struct cache *c, uint64_t now_ms);

struct cache_stats {
    uint64_t bytes;         /* on disk, and on their way */
    uint64_t fetched_bytes; /* since the start */
};
void cache_stats(const struct cache *c, struct cache_stats *ret);

#endif
