/*
 * task.h: the record of a task that waits, and the queue of such records. A waiting task has no
 * object, no hash entry and no allocation of its own: it is 20 bytes in a chunk of its group, 4 of them for when it became ready.
 *
 * It refuses to know why a task waits; group.h and delay.h do.
 *
 * The lifecycle of a task as the core sees it (the store knows DONE, DEAD and CANCELLED):
 *
 *            TASKS, COMPLETED                          COMPLETE action      COMPLETED event
 *     none ───────┬──────────▶ READY ──────▶ LEASED ─────────────────▶ COMMITTING ─────▶ none
 *                 │              ▲  ▲           │ worker lost, returned     ▲   │
 *                 │      backoff │  └───────────┤                           │   │ attempt written
 *                 ├──────────▶ DELAYED ◀────────┼───────────────────────────┼───┘
 *                 │  attempts used up           │ too many workers lost     │
 *                 └─────────────────────────────┴───────────────────────────┘
 *
 * READY and DELAYED also go to none when the job is cancelled, and so does LEASED (REVOKE).
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_CORE_TASK_H
#define DROVER_CORE_TASK_H

#include "coordinator/core/list.h"
#include "coordinator/core/mem.h"
#include "coordinator/core/sched.h"

enum { TASK_NONE = SCHED_TASK_STATES, TASK_COUNT_MAX = UINT16_MAX };

struct task {
    struct task_id id;
    uint32_t input_bytes;
    uint16_t attempt, kills; /* stick at TASK_COUNT_MAX, which every limit is below */
};
_Static_assert(sizeof(struct task) == 16, "the figure of docs/SCHEDULER.md");

struct task task_from_event(const struct sched_task *in);

/* Is this move in the table above? From or to TASK_NONE is arrival and end. */
bool task_move_allowed(int from, int to);

/* ---- queue: a deque in chunks of three sizes, so that a group of one task stays small and one
 * of a million has 0.7 bytes of overhead a task. Behind its items, a chunk holds for each of them
 * how many milliseconds after the chunk it came (chunk_later_ms in task.c) ---- */
enum { TASK_CHUNK_SIZES = 3 };

struct task_chunk {
    struct task_chunk *next;
    struct list in_age; /* all chunks, oldest first */
    uint64_t since_ms;  /* when its first record came */
    uint8_t head, tail, cap;
    uint8_t size; /* which of the pools */
    struct task items[];
};

struct task_pool {
    struct mem_pool chunks[TASK_CHUNK_SIZES];
    struct list by_age;
};

struct task_queue {
    struct task_chunk *first, *last;
};

void task_pool_init(struct task_pool *p);
void task_pool_done(struct task_pool *p);
uint64_t task_pool_bytes(const struct task_pool *p);
/* When the oldest chunk that still holds tasks was begun; UINT64_MAX: there is none. */
uint64_t task_pool_oldest_ms(const struct task_pool *p);

/* n is the number of tasks already in the queue: it chooses the size of a new chunk. */
void task_queue_push(struct task_queue *q, struct task_pool *p, struct task t, uint64_t n,
                     uint64_t now_ms);
void task_queue_push_front(struct task_queue *q, struct task_pool *p, struct task t, uint64_t n,
                           uint64_t now_ms);
const struct task *task_queue_peek(const struct task_queue *q); /* NULL: empty */
/* Must not be empty. *ret_since_ms: when the task was pushed. */
struct task task_queue_pop(struct task_queue *q, struct task_pool *p, uint64_t *ret_since_ms);
void task_queue_clear(struct task_queue *q, struct task_pool *p);
uint64_t task_queue_count(const struct task_queue *q); /* walks the chunks; for the invariant */

#endif
