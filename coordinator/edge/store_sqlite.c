/* store_sqlite.c: opens and closes the database, runs transactions, translates errors. No tables
 * here. */
#include "store_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CACHE_KIB = 64 * 1024,
    LOG_KEPT_BYTES = 64 * 1024 * 1024, /* a log that grew larger is cut to this */
    BUSY_MS = 2000,                    /* at open: someone looks into the file with sqlite3 */
};

int store_sqlite_no_memory(struct error *e)
{
    return error_set(e, ERR_NOMEM, "no memory in the store");
}

static int fatal(struct store_sqlite *s, struct error *e)
{
    if (e)
        *e = s->fatal;
    return (int)s->fatal.code;
}

static bool is_disk_full(struct store_sqlite *s, int rc)
{
    int os = sqlite3_system_errno(s->db);
    if (rc == SQLITE_IOERR_FSYNC || rc == SQLITE_IOERR_DIR_FSYNC)
        return false; /* what was lost is unknown: never go on after it */
    return (rc & 0xff) == SQLITE_FULL ||
           ((rc & 0xff) == SQLITE_IOERR && (os == ENOSPC || os == EDQUOT || os == EFBIG));
}

static int translate(struct store_sqlite *s, int rc, const char *doing, struct error *e)
{
    const char *text = sqlite3_errstr(rc);
    int os = sqlite3_system_errno(s->db);
    if (is_disk_full(s, rc)) {
        store_sqlite_space_full(s);
        return error_set(e, ERR_STORE_FULL, "%s: the disk of %s is full", doing, s->directory);
    }
    if ((rc & 0xff) == SQLITE_NOMEM || rc == SQLITE_IOERR_NOMEM)
        return error_set(e, ERR_NOMEM, "%s: no memory in the store", doing);
    switch (rc & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return error_set(e, ERR_STORE,
                         "%s: %s is damaged (%s). Stop the coordinator and put a copy of the whole "
                         "data directory aside; then restore a backup, or save what is readable "
                         "with: sqlite3 drover.db .recover | sqlite3 new.db",
                         doing, s->path, text);
    case SQLITE_IOERR:
        return error_set(e, ERR_STORE, "%s: reading or writing %s failed (%s; %s)", doing, s->path,
                         text, os ? strerror(os) : "no system error");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return error_set(e, ERR_STORE_LOCKED,
                         "%s: another program has %s open (sqlite3?); close it there", doing,
                         s->path);
    case SQLITE_TOOBIG:
        return error_set(e, ERR_PAYLOAD_TOO_LARGE, "%s: a value is too large to store", doing);
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
        return error_set(e, ERR_STORE, "%s: %s cannot be opened for writing (%s; %s)", doing,
                         s->path, text, os ? strerror(os) : "no system error");
    default:
        return error_set(e, ERR_INTERNAL, "%s: %s (%d): %s", doing, text, rc,
                         sqlite3_errmsg(s->db));
    }
}

int store_sqlite_error(struct store_sqlite *s, int rc, const char *doing, struct error *e)
{
    struct error mine = {0};
    int code = translate(s, rc, doing, &mine);
    if (code == ERR_STORE)
        s->fatal = mine;
    if (s->in_transaction && sqlite3_get_autocommit(s->db) && !s->lost.code)
        s->lost = mine;
    if (e)
        *e = mine;
    return code;
}

int store_sqlite_exec(struct store_sqlite *s, const char *sql, const char *doing, struct error *e)
{
    int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    return rc ? store_sqlite_error(s, rc, doing, e) : 0;
}

int store_sqlite_enter(struct store_sqlite *s, bool write, struct error *e)
{
    assert(!write || s->in_transaction);
    if (s->fatal.code)
        return fatal(s, e);
    if (s->in_transaction && s->lost.code) {
        if (e)
            *e = s->lost;
        return (int)s->lost.code;
    }
    return write ? 0 : store_sqlite_flush(s, e);
}

/* ---- transactions ---- */

static int sqlite_begin(struct store *base, struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    assert(!s->in_transaction);
    if (s->fatal.code)
        return fatal(s, e);
    SQ(q, s, BEGIN);
    int rc = sq_step(&q);
    if (rc != SQLITE_DONE)
        return store_sqlite_error(s, rc, "begin", e);
    s->in_transaction = true;
    s->lost.code = ERR_OK;
    return 0;
}

static void forget_transaction(struct store_sqlite *s)
{
    /* Ids that were given out stay used: nobody can then mistake one for another. */
    struct store_sqlite_meta now = s->meta;
    s->meta = s->meta_committed;
    s->meta.next_job = now.next_job;
    s->meta.next_task = now.next_task;
    s->meta.next_seq = now.next_seq;
    store_sqlite_cache_drop(s);
    s->in_transaction = false;
    s->lost.code = ERR_OK;
}

/* Copies the log into the database, so that it starts anew. What is committed is in the log
 * already, so a full disk here only means a longer log; a failed fsync is fatal for the next
 * operation. */
static void checkpoint(struct store_sqlite *s)
{
    int rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    s->checkpoint_pages = s->space.log_pages;
    if (rc == SQLITE_OK)
        return;
    struct error e = {0};
    int code = store_sqlite_error(s, rc, "checkpoint", &e);
    s->checkpoint_pages += s->wal_pages;
    if (code != ERR_STORE_FULL && code != ERR_NOMEM)
        s->fatal = e;
}

static void sqlite_rollback(struct store *base)
{
    struct store_sqlite *s = store_sqlite_of(base);
    if (!s->in_transaction)
        return;
    if (!sqlite3_get_autocommit(s->db)) {
        SQ(q, s, ROLLBACK);
        int rc = sq_step(&q);
        if (!sqlite3_get_autocommit(s->db))
            s->fatal.code = (enum err)error_set(&s->fatal, ERR_STORE, "rolling back %s failed (%s)",
                                                s->path, sqlite3_errstr(rc));
    }
    forget_transaction(s);
    if (s->space.full) /* the log ends at the end of the disk: use it from its beginning */
        checkpoint(s);
    s->space.full = false;
}

static int commit(struct store_sqlite *s, struct error *e)
{
    int code = store_sqlite_enter(s, true, e);
    if (code == 0)
        code = store_sqlite_flush(s, e);
    if (code)
        return code;
    SQ(q, s, COMMIT);
    int rc = sq_step(&q);
    return rc == SQLITE_DONE ? 0 : store_sqlite_error(s, rc, "commit", e);
}

static int sqlite_commit(struct store *base, struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    int code = commit(s, e);
    if (code) {
        sqlite_rollback(base);
        return code;
    }
    s->meta_committed = s->meta;
    s->in_transaction = false;
    if (s->wal_pages >= s->checkpoint_pages)
        checkpoint(s);
    return 0;
}

static int count_log(void *user, sqlite3 *db UNUSED, const char *name UNUSED, int pages)
{
    struct store_sqlite *s = user;
    s->wal_pages = pages;
    return SQLITE_OK;
}

/* ---- small operations that need no file of their own ---- */

static int sqlite_drain_set(struct store *base, struct span worker, bool on, struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    int code = store_sqlite_enter(s, true, e);
    if (code)
        return code;
    SQ(add, s, DRAIN_ADD);
    SQ(delete, s, DRAIN_DELETE);
    struct sq *q = on ? &add : &delete;
    sq_text(q, worker);
    int rc = sq_step(q);
    return rc == SQLITE_DONE ? 0 : store_sqlite_error(s, rc, "drain", e);
}

static int sqlite_breaker_set(struct store *base, struct span downstream, enum sched_manual manual,
                              struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    int code = store_sqlite_enter(s, true, e);
    if (code)
        return code;
    SQ(put, s, BREAKER_PUT);
    SQ(delete, s, BREAKER_DELETE);
    struct sq *q = manual == SCHED_MANUAL_NONE ? &delete : &put;
    sq_text(q, downstream);
    if (q == &put)
        sq_u64(q, (uint64_t)manual);
    int rc = sq_step(q);
    return rc == SQLITE_DONE ? 0 : store_sqlite_error(s, rc, "breaker", e);
}

/* ---- open and close ---- */

static void sqlite_close(struct store *base)
{
    struct store_sqlite *s = store_sqlite_of(base);
    sqlite_rollback(base);
    for (size_t i = 0; i < SQ_STATEMENTS; i++)
        sqlite3_finalize(s->statements[i]);
    sqlite3_close(s->db);
    store_group_done(&s->group);
    store_sqlite_space_close(s);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    free(s->directory);
    free(s->path);
    free(s);
}

static const struct store_ops ops = {
    .close = sqlite_close,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .job_submit = store_sqlite_job_submit,
    .job_input = store_sqlite_job_input,
    .job_seal = store_sqlite_job_seal,
    .job_cancel = store_sqlite_job_cancel,
    .job_pause = store_sqlite_job_pause,
    .job_end = store_sqlite_job_end,
    .job_gather = store_sqlite_job_gather,
    .parts = store_sqlite_read_parts,
    .job_remove = store_sqlite_job_remove,
    .task_complete = store_sqlite_task_complete,
    .task_input = store_sqlite_read_task_input,
    .task_get = store_sqlite_read_task_get,
    .job_get = store_sqlite_read_job_get,
    .job_find = store_sqlite_read_job_find,
    .job_list = store_sqlite_read_job_list,
    .job_stats = store_sqlite_read_job_stats,
    .job_chunks = store_sqlite_read_job_chunks,
    .replay = store_sqlite_read_replay,
    .results = store_sqlite_read_results,
    .rejects = store_sqlite_read_rejects,
    .dead_list = store_sqlite_read_dead_list,
    .dead_retry = store_sqlite_task_dead_retry,
    .dead_discard = store_sqlite_task_dead_discard,
    .blob_use = store_sqlite_blob_use,
    .blob_needed = store_sqlite_blob_needed,
    .drain_set = sqlite_drain_set,
    .drain_list = store_sqlite_read_drain_list,
    .breaker_set = sqlite_breaker_set,
    .breaker_list = store_sqlite_read_breaker_list,
    .model_add = store_sqlite_model_add,
    .model_remove = store_sqlite_model_remove,
    .model_list = store_sqlite_model_list,
    .expire = store_sqlite_expire,
    .sizes = store_sqlite_read_sizes,
};

/* The directory is made with 0700; one that is there keeps its mode, since it may be shared. */
static int make_directory(const char *directory, struct error *e)
{
    if (mkdir(directory, 0700) && errno != EEXIST)
        return error_set(e, ERR_STORE, "the data directory %s cannot be made: %s", directory,
                         strerror(errno));
    return 0;
}

static char *join(const char *directory, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", directory, name) < 0 ? NULL : path;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static void free_text(char **text)
{
    free(*text);
}

static int locked(const char *directory, int fd, struct error *e)
{
    char pid[32] = {0};
    ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
    pid[n > 0 ? strcspn(pid, "\n") : 0] = 0;
    return error_set(e, ERR_STORE_LOCKED,
                     "the data directory %s is in use by the process with pid %s; stop it, or give "
                     "this coordinator a data directory of its own",
                     directory, pid[0] ? pid : "(unknown)");
}

/* An flock ends with its process however that dies, so the file may stay. */
static int lock_directory(const char *directory, int *ret_fd, struct error *e)
{
    CLEANUP(free_text) char *path = join(directory, "lock");
    if (!path)
        return store_sqlite_no_memory(e);
    CLEANUP(close_fd) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(e, ERR_STORE, "%s cannot be opened for writing: %s", path,
                         strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        if (errno == EWOULDBLOCK)
            return locked(directory, fd, e);
        return error_set(e, ERR_STORE, "%s cannot be locked: %s", path, strerror(errno));
    }
    /* For the text above alone: on a full disk it may well be missing. */
    if (ftruncate(fd, 0) == 0)
        (void)!dprintf(fd, "%ld\n", (long)getpid());
    *ret_fd = fd;
    fd = -1;
    return 0;
}

/* SQLite gives its log the mode of the database file, so that one is made here, private. */
static int make_file(const struct store_sqlite *s, struct error *e)
{
    CLEANUP(close_fd) int fd = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(e, ERR_STORE, "%s cannot be opened for writing: %s", s->path,
                         strerror(errno));
    CLEANUP(close_fd) int directory = open(s->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0 || fsync(directory))
        return error_set(e, ERR_STORE, "%s cannot be made durable: %s", s->directory,
                         strerror(errno));
    return 0;
}

static int connect(struct store_sqlite *s, struct error *e)
{
    int rc = sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK)
        return s->db ? store_sqlite_error(s, rc, "open", e) : store_sqlite_no_memory(e);
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_timeout(s->db, BUSY_MS);
    char pragmas[700];
    /* Exclusive before anything is read: the index of the log is then on the heap, not in a
     * file. */
    snprintf(pragmas, sizeof pragmas,
             "PRAGMA locking_mode=EXCLUSIVE; PRAGMA page_size=4096; PRAGMA auto_vacuum=NONE;"
             "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-%d;"
             "PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0; PRAGMA secure_delete=OFF;"
             "PRAGMA journal_size_limit=%d; PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;",
             CACHE_KIB, LOG_KEPT_BYTES);
    int code = store_sqlite_exec(s, pragmas, "open", e);
    sqlite3_wal_hook(s->db, count_log, s); /* in place of SQLite's own checkpoints */
    return code;
}

static int prepare_statements(struct store_sqlite *s, struct error *e)
{
    for (size_t i = 0; i < SQ_STATEMENTS; i++) {
        int rc = sqlite3_prepare_v3(s->db, store_sqlite_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
                                    &s->statements[i], NULL);
        if (rc != SQLITE_OK)
            return store_sqlite_error(s, rc, "prepare", e);
    }
    return 0;
}

static void close_half_open(struct store_sqlite **s)
{
    if (*s)
        sqlite_close(&(*s)->base);
}

int store_sqlite_open(const char *directory, struct store **ret, uint64_t *ret_epoch,
                      struct error *e)
{
    CLEANUP(close_half_open) struct store_sqlite *s = calloc(1, sizeof *s);
    if (!s)
        return store_sqlite_no_memory(e);
    s->base.ops = &ops;
    s->lock_fd = s->space.fd = -1;
    s->directory = strdup(directory);
    s->path = join(directory, "drover.db");
    if (!s->directory || !s->path)
        return store_sqlite_no_memory(e);
    int code = make_directory(directory, e);
    if (code == 0)
        code = lock_directory(directory, &s->lock_fd, e);
    if (code == 0)
        store_sqlite_space_open(s);
    if (code == 0)
        code = make_file(s, e);
    if (code == 0)
        code = connect(s, e);
    if (code == 0)
        code = store_sqlite_schema_prepare(s, e);
    if (code == 0)
        code = prepare_statements(s, e);
    if (code)
        return code;
    *ret_epoch = s->meta.epoch;
    *ret = &TAKE_PTR(s)->base;
    return 0;
}
