/*
 * store.h: what the coordinator keeps on disk, as a set of operations that any backend can offer.
 *
 * A backend (store_sqlite.c) is single-threaded and synchronous; store_thread.c runs one on a
 * thread of its own, commits many operations in one transaction (group commit) and hands the
 * answers back. The rules of what belongs together in a transaction are here, not in the scheduler:
 * the completion of a task writes its rows, rejects, counts and new tasks, and deletes the task, or
 * nothing at all.
 *
 * Times kept on disk are Unix milliseconds. Text is UTF-8.
 *
 * Thread rule: struct store belongs to one thread; see store_thread.h for the rest.
 */
#ifndef DROVER_STORE_H
#define DROVER_STORE_H

#include "common/arena.h"
#include "common/blob.h"
#include "common/buf.h"
#include "common/err.h"
#include "common/hash.h"
#include "coordinator/core/sched.h"

struct store;

enum {
    STORE_TASK_ITEMS_MAX = 65536,
    STORE_TASK_BYTES_MAX =
        1 << 20,                  /* of packed input: a task is closed before it; one item alone may
                                       be as large, a larger one is PAYLOAD_TOO_LARGE */
    STORE_DEAD_RETRY_MAX = 10000, /* dead letters that one call takes up */
};

/* A job's row with its statistics stays so long after its results expired. */
#define STORE_JOB_KEEP_MS (INT64_C(7) * 24 * 3600 * 1000)

enum store_job_state {
    STORE_JOB_OPEN = 1, /* has tasks or waits for input */
    STORE_JOB_DONE = 2,
    STORE_JOB_FAILED = 3, /* ended, with dead letters */
    STORE_JOB_CANCELLED = 4
};

/* One input of a task: a msgpack value that only the engine reads (scrape: [url, depth]). */
struct store_item {
    struct span input;
    uint64_t key;          /* hash of its key; items of one key are put into tasks together */
    struct hash128 unique; /* of its canonical form within the job; used when the job is `unique` */
};

struct store_submit {
    struct span client;   /* who: the authenticated name, "" on loopback without keys */
    struct span idem_key; /* idempotency key; empty: none */
    struct span name;     /* empty: none */
    struct span spec;     /* checked JSON without the input */
    uint8_t priority;
    bool unique;         /* drop inputs whose `unique` was seen in this job (crawls) */
    uint32_t task_items; /* items a task at most; 1 to STORE_TASK_ITEMS_MAX */
    uint64_t items_max;  /* found items that would pass it are dropped and counted in the stat
                             "dropped.LIMIT"; the client's own inputs never are. 0: no limit */
    int64_t now_ms;
    int64_t ttl_ms; /* results live so long after the job's end */
};

/* A task as the scheduler needs it, plus what the edge may keep in its cache of inputs. */
struct store_task {
    struct sched_task sched;
    struct span input; /* the packed array of items; in the arena of the answer */
    bool whole; /* its rows may have landed: it is done with all of its items, or not at all */
};

struct store_job {
    uint64_t id;
    struct span client, idem_key, name, spec;
    struct span uid; /* 16 bytes, random: names the job in sinks, among those of all coordinators */
    enum store_job_state state;
    uint8_t priority;
    bool sealed, cancelling, paused, unique, results_expired;
    int64_t created_ms, ended_ms, expires_ms; /* 0: not yet */
    uint64_t items, duplicates;               /* inputs accepted; dropped as seen before */
    uint64_t tasks, tasks_done, tasks_pending, dead, rows, rejects;
};

struct store_complete {
    struct task_id task;
    struct job_id job;
    enum sched_write write; /* as the scheduler decided */
    uint32_t attempt, kills;
    struct span error; /* reason and detail, for ATTEMPT and DEAD */
    int64_t now_ms;
    /* with WRITE_LANDING, beside rejects, found and retries: whose rows they are, and which items of
     * the task have no part in them (bit i & 7 of byte i / 8; bits beyond the items say nothing) */
    struct token token;
    struct span left;
    /* with WRITE_DONE: */
    struct span rows; /* wire form of a batch; empty: none go to the store */
    struct span part; /* instead: what the task of a gathering stage came to (store_parts) */
    uint32_t n_rows;  /* rows that the task made, wherever they went */
    const struct store_stat {
        struct span name;
        int64_t value;
    } * stats;
    size_t n_stats;
    struct span rejects; /* msgpack array of [input, reason, detail] */
    uint32_t n_rejects;
    uint64_t n_unlisted;            /* rejects that are not among them, and count as well */
    const struct store_item *found; /* new inputs, de-duplicated here when the job is unique */
    size_t n_found;
    const struct store_retry {
        struct store_item item;
        struct span error;
    } * retries;
    /* They become tasks with attempt + 1, or, those without an error, with the same attempt and at
     * once: they were not tried. Never de-duplicated. */
    size_t n_retries;
    uint32_t retry_after_ms;
};

/* What was found or is to be retried becomes tasks only while the job is not being cancelled. An
 * empty error leaves the one that the task has from before. */
struct store_complete_ret {
    bool
        duplicate; /* the task was not pending, or that token's landing was noted before: nothing was
                       written */
    bool refused;  /* another token's landing was noted before: nothing was written */
    uint64_t rejects;         /* of the job so far */
    struct store_task *tasks; /* new, in the arena */
    size_t n_tasks;
};

/* Opens (and creates or migrates) the data directory. STORE_LOCKED when another process holds it.
 * The epoch on disk is raised and returned. */
int store_sqlite_open(const char *directory, struct store **ret, uint64_t *ret_epoch,
                      struct error *e) MUST_CHECK;
void store_close(struct store *s);

/* Transactions: what writes (submit, input, seal, cancel, pause, end, remove, complete, dead retry
 * and discard, blob use, drain, breaker, expire) is called between begin and commit; what reads, anywhere. A failed
 * operation inside one leaves no trace of itself (savepoint) and the others stand. STORE_FULL or
 * NOMEM: the whole transaction may be gone, then each operation up to and with the commit fails
 * with that code. After a failed commit there is no transaction. STORE: end the process. */
int store_begin(struct store *s, struct error *e) MUST_CHECK;
int store_commit(struct store *s, struct error *e) MUST_CHECK; /* durable on return (fsync) */
void store_rollback(struct store *s);

/* A new job, or the one that the same client and idempotency key, or the same name, made before:
 * *ret_existing. The same name or key with another spec: DUPLICATE_JOB. A job answers to its name
 * and key until its results expire or it is removed; then both may be used again. */
int store_job_submit(struct store *s, const struct store_submit *in, uint64_t *ret_job,
                     bool *ret_existing, struct error *e) MUST_CHECK;

/* Adds chunk number `chunk` of a job's input; a chunk that is there already adds nothing (*ret_n
 * 0). Items of one key share tasks of at most task_items and keep their order within the key; the
 * tasks stand in the order of their first items. NOT_FOUND; WRONG_STATE when the job is sealed or
 * ended; JOB_CANCELLED; PAYLOAD_TOO_LARGE and MALFORMED name the item. */
int store_job_input(struct store *s, uint64_t job, uint64_t chunk, const struct store_item *items,
                    size_t n, struct arena *arena, struct store_task **ret, size_t *ret_n,
                    struct error *e) MUST_CHECK;
int store_job_seal(struct store *s, uint64_t job, struct error *e) MUST_CHECK;
int store_job_cancel(struct store *s, uint64_t job, int64_t now_ms,
                     struct error *e) MUST_CHECK; /* asks */
int store_job_pause(struct store *s, uint64_t job, bool on, struct error *e) MUST_CHECK;
/* The end: for CANCELLED, and for FAILED when it was cancelled, the job's pending tasks are deleted in the
 * same transaction; DONE and FAILED with pending tasks: WRONG_STATE. The same end again changes nothing. */
int store_job_end(struct store *s, uint64_t job, enum store_job_state state, int64_t now_ms,
                  struct error *e) MUST_CHECK;
/* Ended jobs only (WRONG_STATE). The job is gone at once; its bytes go with store_expire. */
int store_job_remove(struct store *s, uint64_t job, struct error *e) MUST_CHECK;

/* The task that brings together what the tasks of a job with a gathering stage came to: made once, when
 * nothing else is pending and no letter is dead; later calls make none (*ret_n 0). item: its only one. */
int store_job_gather(struct store *s, uint64_t job, const struct store_item *item,
                     struct arena *arena, struct store_task **ret, size_t *ret_n,
                     struct error *e) MUST_CHECK;

/* WRITE_LANDING notes, once for a task, that the rows of a token may land: the items that are left out
 * are no longer the task's, which stays pending and is `whole` from then on, as a dead letter too. What
 * became of them (rejects, retries) and what was found is written with it. */
int store_task_complete(struct store *s, const struct store_complete *in, struct arena *arena,
                        struct store_complete_ret *ret, struct error *e) MUST_CHECK;

/* The packed inputs of a pending task, and whether it is whole. NOT_FOUND. */
int store_task_input(struct store *s, struct task_id task, struct arena *arena, struct span *ret,
                     bool *ret_whole, struct error *e) MUST_CHECK;

/* What is kept of a pending task beside its input. NOT_FOUND. */
struct store_pending {
    uint64_t job, key;
    uint32_t attempt, kills;
    struct span error; /* of the last attempt; empty: none failed */
};
int store_task_get(struct store *s, struct task_id task, struct arena *arena,
                   struct store_pending *ret, struct error *e) MUST_CHECK;

/* Reading. Lists are paged: pass the last id seen (0 first), at most `max`. */
int store_job_get(struct store *s, uint64_t job, struct arena *arena, struct store_job *ret,
                  struct error *e) MUST_CHECK;
int store_job_find(struct store *s, struct span name, uint64_t *ret, struct error *e) MUST_CHECK;
/* Newest first; before = 0: from the newest. */
int store_job_list(struct store *s, uint64_t before, size_t max, struct arena *arena,
                   struct store_job **ret, size_t *ret_n, struct error *e) MUST_CHECK;
int store_job_stats(struct store *s, uint64_t job, struct arena *arena, struct store_stat **ret,
                    size_t *ret_n, struct error *e) MUST_CHECK;
/* How many chunks of input are there, counted from 0 without a gap: where a client goes on. */
int store_job_chunks(struct store *s, uint64_t job, uint64_t *ret, struct error *e) MUST_CHECK;
/* Open jobs in order of id, then their pending tasks in order of id: replay at start. */
typedef int store_replay_fn(void *user, const struct store_job *job, const struct sched_task *tasks,
                            size_t n);
/* fn is called at least once for each job (n may be 0), with all calls of a job in a row; what it
 * returns other than 0 ends the replay and is returned. */
int store_replay(struct store *s, store_replay_fn *fn, void *user, struct error *e) MUST_CHECK;

struct store_result {
    uint64_t cursor; /* pass the largest one seen to go on */
    uint64_t task;
    uint32_t n_rows;
    struct span rows; /* wire form of a batch */
};
/* Results after the cursor in commit order, up to max_bytes (at least one). RESULT_EXPIRED when the
 * job's results are gone. */
int store_results(struct store *s, uint64_t job, uint64_t cursor, size_t max_bytes,
                  struct arena *arena, struct store_result **ret, size_t *ret_n,
                  struct error *e) MUST_CHECK;
/* Parts in the same way, until the task that brings them together is done: what tasks of a gathering
 * stage came to, as bytes that only the engine reads. */
int store_parts(struct store *s, uint64_t job, uint64_t cursor, size_t max_bytes,
                struct arena *arena, struct store_result **ret, size_t *ret_n,
                struct error *e) MUST_CHECK;
/* Rejects in the same way; `rows` is then the msgpack array of [input, reason, detail]. */
int store_rejects(struct store *s, uint64_t job, uint64_t cursor, size_t max_bytes,
                  struct arena *arena, struct store_result **ret, size_t *ret_n,
                  struct error *e) MUST_CHECK;

struct store_dead {
    uint64_t task, job;
    uint32_t attempt, kills;
    int64_t at_ms;
    struct span error, input;
};
/* job 0: of all jobs. task > 0: that one alone. */
int store_dead_list(struct store *s, uint64_t job, uint64_t task, uint64_t after, size_t max,
                    struct arena *arena, struct store_dead **ret, size_t *ret_n,
                    struct error *e) MUST_CHECK;
/* Back to pending under its own id (sinks de-duplicate by it), with no attempts used, and the job
 * open again. Returns the tasks: at most STORE_DEAD_RETRY_MAX, so call again until there are none.
 * A job that is being cancelled: WRONG_STATE when it or its task was named, else left out. */
int store_dead_retry(struct store *s, uint64_t job, uint64_t task, struct arena *arena,
                     struct store_task **ret, size_t *ret_n, struct error *e) MUST_CHECK;
/* Deletes dead letters; *ret_n of them. NOT_FOUND when the one that was named is not there. */
int store_dead_discard(struct store *s, uint64_t job, uint64_t task, uint64_t *ret_n,
                       struct error *e) MUST_CHECK;

/* Which job needs which blobs; the files are not the store's business (blobs.h). A blob is needed
 * while a job that uses it is open or has dead letters. Called in the transaction that takes the job
 * or the chunk that names them; what is noted already stays so. NOT_FOUND: no such job. */
int store_blob_use(struct store *s, uint64_t job, const struct blob_name *names, size_t n,
                   struct error *e) MUST_CHECK;
/* For each of n names whether it is needed. */
int store_blob_needed(struct store *s, const struct blob_name *names, size_t n, bool *ret,
                      struct error *e) MUST_CHECK;

/* Drained workers survive restarts. */
int store_drain_set(struct store *s, struct span worker, bool on, struct error *e) MUST_CHECK;
int store_drain_list(struct store *s, struct arena *arena, struct span **ret, size_t *ret_n,
                     struct error *e) MUST_CHECK;

/* What an administrator said about a downstream survives restarts; SCHED_MANUAL_NONE forgets it. */
struct store_breaker {
    struct span downstream;
    enum sched_manual manual;
};
int store_breaker_set(struct store *s, struct span downstream, enum sched_manual manual,
                      struct error *e) MUST_CHECK;
int store_breaker_list(struct store *s, struct arena *arena, struct store_breaker **ret,
                       size_t *ret_n, struct error *e) MUST_CHECK; /* in order of the names */

/* Deletes a bounded amount of what has expired or was removed; *ret_more when there is more to do.
 * */
int store_expire(struct store *s, int64_t now_ms, bool *ret_more, struct error *e) MUST_CHECK;

struct store_sizes {
    uint64_t bytes;           /* of the store's files */
    uint64_t free_bytes;      /* within them, to be used again */
    uint64_t disk_free_bytes; /* of the file system, for this user */
    uint64_t jobs_open, tasks_pending, results;
    uint64_t dead; /* letters; counted up to 100000 */
    bool refusing; /* the disk was full: inputs are refused with STORE_FULL until there is room */
};
int store_sizes(struct store *s, struct store_sizes *ret, struct error *e) MUST_CHECK;

#endif
