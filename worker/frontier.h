/*
 * frontier.h: what `drover-worker run` still has to do: a queue of items for each key (host), what
 * was seen already, and what waits for its next attempt; all in memory, within a limit in bytes.
 *
 *                    frontier_add                frontier_take
 *     (delayed) ---> [queue of its key] ------------------------> running ---> frontier_release
 *                         ^ ready: has items, has a free use, may begin
 *
 * A key has at most `key_limit` uses at a time, which its tasks share as grants. It reads no clock.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_FRONTIER_H
#define DROVER_FRONTIER_H

#include "common/buf.h"
#include "common/err.h"
#include "common/hash.h"

struct frontier;
struct frontier_key;

struct frontier *frontier_new(size_t max_bytes,
                              uint32_t key_limit) MUST_CHECK; /* NULL: no memory */
void frontier_free(struct frontier *f);

/* Whether the item is new; then it is remembered. LIMIT: it cannot be remembered. */
int frontier_first_seen(struct frontier *f, struct hash128 unique, bool *ret_new) MUST_CHECK;

/* Queues a packed item, at once (due_ms 0) or when its time comes. attempt: the one that it is going
 * to be, from 1. LIMIT: no room within the limit. */
int frontier_add(struct frontier *f, uint64_t key, struct span item, uint32_t attempt,
                 uint64_t due_ms) MUST_CHECK;

struct frontier_task {
    struct frontier_key *key;
    uint32_t attempt, grant;
    size_t n_items;
};

/* A task of up to max_items of one key and one attempt: its items as a packed array into items
 * (cleared first). False: nothing is ready now. */
bool frontier_take(struct frontier *f, uint64_t now_ms, size_t max_items, struct buf *items,
                   struct frontier_task *ret);
/* The task is over. backoff_ms: nothing more of this key for so long. */
void frontier_release(struct frontier *f, const struct frontier_task *task, uint32_t backoff_ms,
                      uint64_t now_ms);

size_t frontier_count(const struct frontier *f); /* items that wait */
size_t frontier_bytes(const struct frontier *f); /* used of the limit */
uint64_t
frontier_deadline(const struct frontier *f); /* when something becomes ready; UINT64_MAX: never */

#endif
