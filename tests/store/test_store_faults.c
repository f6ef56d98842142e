/*
 * test_store_faults.c: the n-th allocation, write, truncation or sync fails, for n = 0, 1, 2, ...
 * until a run passes untouched. Whatever happens: no crash, what was acknowledged is there after a
 * reopen, what was not is there whole or not at all, and the counters agree with the rows.
 *
 * Allocations are caught by the linker (--wrap=malloc ...), files by a VFS under SQLite.
 */
#include "fixture.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

/* ---- the fault ---- */

static struct {
    bool armed;
    bool files;  /* counts file operations, else allocations */
    bool sticky; /* all after it fail too */
    int code;    /* what a file operation fails with */
    long left;   /* operations until it strikes */
    bool struck;
} fault;

static size_t arena_limit_bytes; /* of the arena that answers are put into; 0: none */

static bool strike(bool file)
{
    if (!fault.armed || fault.files != file)
        return false;
    if (fault.struck)
        return fault.sticky;
    if (fault.left-- > 0)
        return false;
    fault.struck = true;
    return true;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

void *__wrap_malloc(size_t n)
{
    return strike(false) ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return strike(false) ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return strike(false) ? NULL : __real_realloc(p, n);
}

/* ---- a VFS that fails ---- */

struct file {
    sqlite3_file base;              /* first */
    const sqlite3_io_methods *real; /* of the default VFS, whose file follows in memory */
};

static sqlite3_vfs *real_vfs, faulty_vfs;
static sqlite3_io_methods faulty_methods;
static unsigned syncs;

static sqlite3_file *real_file(sqlite3_file *f)
{
    return (sqlite3_file *)(void *)((struct file *)(void *)f + 1);
}

static int f_close(sqlite3_file *f)
{
    return real_file(f)->pMethods->xClose(real_file(f));
}
static int f_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    return real_file(f)->pMethods->xRead(real_file(f), p, n, at);
}
static int f_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    if (strike(true)) {
        if (fault.code == SQLITE_IOERR_WRITE && n > 1) /* half of it arrives */
            (void)real_file(f)->pMethods->xWrite(real_file(f), p, n / 2, at);
        return fault.code;
    }
    return real_file(f)->pMethods->xWrite(real_file(f), p, n, at);
}
static int f_truncate(sqlite3_file *f, sqlite3_int64 n)
{
    return strike(true) ? SQLITE_IOERR_TRUNCATE
                        : real_file(f)->pMethods->xTruncate(real_file(f), n);
}
static int f_sync(sqlite3_file *f, int flags)
{
    syncs++;
    return strike(true) ? SQLITE_IOERR_FSYNC : real_file(f)->pMethods->xSync(real_file(f), flags);
}
static int f_size(sqlite3_file *f, sqlite3_int64 *ret)
{
    return real_file(f)->pMethods->xFileSize(real_file(f), ret);
}
static int f_lock(sqlite3_file *f, int level)
{
    return real_file(f)->pMethods->xLock(real_file(f), level);
}
static int f_unlock(sqlite3_file *f, int level)
{
    return real_file(f)->pMethods->xUnlock(real_file(f), level);
}
static int f_reserved(sqlite3_file *f, int *ret)
{
    return real_file(f)->pMethods->xCheckReservedLock(real_file(f), ret);
}
static int f_control(sqlite3_file *f, int op, void *arg)
{
    return real_file(f)->pMethods->xFileControl(real_file(f), op, arg);
}
static int f_sector(sqlite3_file *f)
{
    return real_file(f)->pMethods->xSectorSize(real_file(f));
}
static int f_device(sqlite3_file *f)
{
    return real_file(f)->pMethods->xDeviceCharacteristics(real_file(f));
}

static int faulty_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *ret)
{
    (void)vfs;
    int rc = real_vfs->xOpen(real_vfs, name, real_file(f), flags, ret);
    f->pMethods = rc == SQLITE_OK ? &faulty_methods : NULL;
    return rc;
}

static void install_vfs(void)
{
    real_vfs = sqlite3_vfs_find(NULL);
    faulty_vfs = *real_vfs;
    faulty_vfs.zName = "faulty";
    faulty_vfs.szOsFile = (int)sizeof(struct file) + real_vfs->szOsFile;
    faulty_vfs.xOpen = faulty_open;
    faulty_methods = (sqlite3_io_methods){.iVersion = 1, /* no shared memory: it is not needed */
                                          .xClose = f_close,
                                          .xRead = f_read,
                                          .xWrite = f_write,
                                          .xTruncate = f_truncate,
                                          .xSync = f_sync,
                                          .xFileSize = f_size,
                                          .xLock = f_lock,
                                          .xUnlock = f_unlock,
                                          .xCheckReservedLock = f_reserved,
                                          .xFileControl = f_control,
                                          .xSectorSize = f_sector,
                                          .xDeviceCharacteristics = f_device};
    assert_int_equal(sqlite3_vfs_register(&faulty_vfs, 1), SQLITE_OK);
}

/* ---- the work: each step is one transaction that does a bit of everything ---- */

enum { STEPS = 4, FOUND = 3, RUNS_MAX = 150 };

static struct store_item numbered(char *text, unsigned long long n)
{
    text[0] = (char)0xcf; /* uint64 */
    for (int i = 0; i < 8; i++)
        text[1 + i] = (char)(n >> (56 - 8 * i));
    return (struct store_item){.input = {text, 9}, .key = n % 3, .unique = hash_128(text, 9, 0)};
}

struct work {
    struct store *s;
    struct arena arena;
    struct error e;
    uint64_t crawl;      /* the job that all steps share */
    uint64_t crawl_task; /* its task that the next step completes */
};

#define TRY(call)                                                                                  \
    do {                                                                                           \
        int rc_ = (call);                                                                          \
        if (rc_)                                                                                   \
            return rc_;                                                                            \
    } while (0)

/* The shared job; an existing one is found by its name. */
static int begin_crawl(struct work *w)
{
    char text[9];
    bool existing = false;
    struct store_submit in = {.name = SPAN("crawl"),
                              .spec = SPAN("{}"),
                              .task_items = 2,
                              .unique = true};
    struct store_item item = numbered(text, 1);
    struct store_task *tasks;
    size_t n;
    TRY(store_job_submit(w->s, &in, &w->crawl, &existing, &w->e));
    return store_job_input(w->s, w->crawl, 0, &item, 1, &w->arena, &tasks, &n, &w->e);
}

static int find_task(void *user, const struct store_job *job, const struct sched_task *tasks,
                     size_t n)
{
    struct work *w = user;
    if (job->id == w->crawl && n > 0 && !w->crawl_task)
        w->crawl_task = tasks[0].id.v;
    return 0;
}

static int complete(struct work *w, uint64_t job, uint64_t task, const struct store_complete *with)
{
    struct store_complete c = *with;
    struct store_complete_ret ret;
    c.job.v = job;
    c.task.v = task;
    return store_task_complete(w->s, &c, &w->arena, &ret, &w->e);
}

/* A job of its own: five items in three tasks; rows, a dead letter, a landing of a part, an attempt. */
static int own_job(struct work *w, unsigned step)
{
    char name[32], text[5][9];
    struct store_item items[5];
    struct store_task *tasks;
    size_t n;
    uint64_t job;
    bool existing;
    struct store_stat stat = {SPAN("steps"), 1};
    snprintf(name, sizeof name, "step%u", step);
    struct store_submit in = {.name = span_str(name), .spec = SPAN("{}"), .task_items = 2};
    for (unsigned i = 0; i < 5; i++)
        items[i] = numbered(text[i], i);
    TRY(store_job_submit(w->s, &in, &job, &existing, &w->e));
    TRY(store_job_input(w->s, job, 0, items, 5, &w->arena, &tasks, &n, &w->e));
    TRY(complete(w, job, tasks[0].sched.id.v,
                 &(struct store_complete){.rows = SPAN("rows"),
                                          .n_rows = 4,
                                          .rejects = SPAN("rejects"),
                                          .n_rejects = 1,
                                          .stats = &stat,
                                          .n_stats = 1}));
    TRY(complete(w, job, tasks[1].sched.id.v,
                 &(struct store_complete){.write = SCHED_WRITE_DEAD, .error = SPAN("E")}));
    const struct store_retry part = {items[4], SPAN("LATER")};
    TRY(complete(w, job, tasks[2].sched.id.v,
                 &(struct store_complete){.write = SCHED_WRITE_LANDING,
                                          .token = {1, 1},
                                          .left = SPAN("\x01"),
                                          .rejects = SPAN("landing"),
                                          .n_rejects = 1,
                                          .retries = &part,
                                          .n_retries = 1}));
    TRY(complete(w, job, tasks[2].sched.id.v,
                 &(struct store_complete){.write = SCHED_WRITE_ATTEMPT, .attempt = 1}));
    TRY(store_job_seal(w->s, job, &w->e));
    TRY(store_breaker_set(w->s, span_str(name), SCHED_MANUAL_TRIPPED, &w->e));
    return store_drain_set(w->s, span_str(name), true, &w->e);
}

static int run_step(struct work *w, unsigned step)
{
    char text[FOUND][9];
    struct store_item found[FOUND];
    w->crawl_task = 0;
    TRY(begin_crawl(w));
    TRY(own_job(w, step));
    for (unsigned i = 0; i < FOUND; i++)
        found[i] = numbered(text[i], 100 + step * FOUND + i);
    found[0] = numbered(text[0], 1); /* a duplicate */
    struct store_retry retry = {found[1], SPAN("RETRY")};
    TRY(store_replay(w->s, find_task, w, &w->e));
    return complete(w, w->crawl, w->crawl_task,
                    &(struct store_complete){.found = found,
                                             .n_found = FOUND,
                                             .retries = &retry,
                                             .n_retries = 1,
                                             .rows = SPAN("page"),
                                             .n_rows = 1});
}

/* Runs a step in a transaction. With `commit_anyway`, what did succeed in it is committed even
 * so. */
static int transact(struct work *w, unsigned step, bool commit_anyway)
{
    int rc = store_begin(w->s, &w->e);
    if (rc)
        return rc;
    rc = run_step(w, step);
    if (rc && !commit_anyway) {
        store_rollback(w->s);
        return rc;
    }
    int committed = store_commit(w->s, &w->e);
    arena_clear(&w->arena);
    return rc ? rc : committed;
}

/* ---- what must hold afterwards ---- */

static int64_t ask(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return n;
}

/* Counts everything again: the counters must agree with the rows. */
static void audit(const char *directory)
{
    static const char *const zero[] = {
        "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check<>'ok'",
        "SELECT count(*) FROM job WHERE tasks_pending<>"
        "(SELECT count(*) FROM task WHERE job=job.id)",
        "SELECT count(*) FROM job WHERE dead<>(SELECT count(*) FROM dead WHERE job=job.id)",
        "SELECT count(*) FROM job WHERE tasks<>tasks_done+tasks_pending+dead",
        "SELECT count(*) FROM job WHERE tasks_done<(SELECT count(*) FROM result WHERE job=job.id)",
        "SELECT count(*) FROM job j WHERE"
        " (SELECT count(*) FROM task WHERE job=j.id AND land_epoch>0 AND input=x'90')<>"
        " (SELECT count(*) FROM reject WHERE job=j.id AND data=CAST('landing' AS BLOB)) OR"
        " (SELECT count(*) FROM task WHERE job=j.id AND error='LATER')<>"
        " (SELECT count(*) FROM reject WHERE job=j.id AND data=CAST('landing' AS BLOB))",
        "SELECT count(*) FROM job WHERE id NOT IN (SELECT job FROM job_spec)",
        "SELECT count(*) FROM job_spec WHERE job NOT IN (SELECT id FROM job)",
        "SELECT count(*) FROM task WHERE job NOT IN (SELECT id FROM job)",
        "SELECT count(*) FROM job WHERE uniq AND items<>"
        "(SELECT count(*) FROM seen WHERE job=job.id)",
        "SELECT tasks_pending-(SELECT count(*) FROM task) FROM meta",
        "SELECT jobs_open-(SELECT count(*) FROM job WHERE state=1) FROM meta",
        "SELECT results-(SELECT count(*) FROM result) FROM meta",
        "SELECT count(*) FROM meta WHERE next_task<=(SELECT coalesce(max(id),0) FROM task)",
        "SELECT count(*) FROM meta WHERE next_job<=(SELECT coalesce(max(id),0) FROM job)",
        "SELECT count(*) FROM meta WHERE next_seq<=(SELECT coalesce(max(id),0) FROM result)",
    };
    char path[200];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/drover.db", directory);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, "unix"), SQLITE_OK);
    for (size_t i = 0; i < ARRAY_LEN(zero); i++) {
        int64_t n = ask(db, zero[i]);
        if (n != 0)
            fail_msg("%s: %lld", zero[i], (long long)n);
    }
    sqlite3_close(db);
}

/* A step is there whole or not at all; whether it is. */
static bool has_step(struct work *w, unsigned step)
{
    char name[32];
    uint64_t id;
    struct store_job job;
    snprintf(name, sizeof name, "step%u", step);
    int rc = store_job_find(w->s, span_str(name), &id, &w->e);
    if (rc == ERR_NOT_FOUND)
        return false;
    assert_int_equal(rc, 0);
    assert_int_equal(store_job_get(w->s, id, &w->arena, &job, &w->e), 0);
    assert_int_equal(job.tasks, 4);
    assert_int_equal(job.tasks_done, 1);
    assert_int_equal(job.tasks_pending, 2);
    assert_int_equal(job.dead, 1);
    assert_int_equal(job.rows, 4);
    assert_true(job.sealed);
    return true;
}

/* Opens the store, checks, and goes on working in it. */
static void check_after(const char *directory, const bool *acknowledged, unsigned n_steps)
{
    struct work w = {0};
    uint64_t epoch;
    unsigned there = 0;
    int rc = store_sqlite_open(directory, &w.s, &epoch, &w.e);
    if (rc)
        fail_msg("reopening: %s", w.e.detail);
    for (unsigned i = 0; i < n_steps; i++) {
        bool has = has_step(&w, i);
        if (acknowledged[i] && !has)
            fail_msg("step %u was acknowledged and is lost", i);
        there += has;
    }
    if (there > 0) {
        uint64_t crawl;
        struct store_job job;
        assert_int_equal(store_job_find(w.s, SPAN("crawl"), &crawl, &w.e), 0);
        assert_int_equal(store_job_get(w.s, crawl, &w.arena, &job, &w.e), 0);
        assert_int_equal(job.items, 1 + there * (FOUND - 1));
        assert_int_equal(job.duplicates, there);
        assert_int_equal(job.rows, there);
    }
    assert_int_equal(transact(&w, n_steps, false), 0);
    assert_true(has_step(&w, n_steps));
    store_close(w.s);
    arena_done(&w.arena);
    audit(directory);
}

/* ---- the loop ---- */

static void run_with_fault(const char *directory, bool commit_anyway, bool *acknowledged)
{
    struct work w = {.arena = {.limit_bytes = arena_limit_bytes}};
    uint64_t epoch;
    fault.struck = false;
    fault.armed = true;
    int rc = store_sqlite_open(directory, &w.s, &epoch, &w.e);
    for (unsigned i = 0; rc == 0 && i < STEPS; i++) {
        acknowledged[i] = transact(&w, i, commit_anyway) == 0;
        struct store_sizes sizes;
        (void)!store_sizes(w.s, &sizes, &w.e);
    }
    store_close(w.s);
    arena_done(&w.arena);
    fault.armed = false;
}

/* How many operations a whole run makes when nothing fails. */
static long count_all(bool files)
{
    bool acknowledged[STEPS] = {false};
    char directory[64];
    fx_make_directory(directory, sizeof directory);
    fault.files = files;
    fault.left = LONG_MAX;
    run_with_fault(directory, false, acknowledged);
    fx_remove_directory(directory);
    return LONG_MAX - fault.left;
}

/* Tries every n, or, when there are more than RUNS_MAX, evenly spread ones. */
static void loop(bool files, int code, bool sticky, bool commit_anyway)
{
    long all = count_all(files);
    assert_true(all > 100);
    for (long i = 0, last = -1; last < all + 1; i++) {
        long n = all > RUNS_MAX ? i * all / RUNS_MAX + i % 2 : i;
        bool acknowledged[STEPS] = {false};
        char directory[64];
        fx_make_directory(directory, sizeof directory);
        fault.files = files;
        fault.code = code;
        fault.sticky = sticky;
        fault.left = last = n;
        run_with_fault(directory, commit_anyway, acknowledged);
        if (!commit_anyway)
            check_after(directory, acknowledged, STEPS);
        else if (acknowledged[STEPS - 1])
            audit(directory);
        fx_remove_directory(directory);
        for (int k = 0; k < STEPS && !fault.struck; k++)
            assert_true(acknowledged[k]);
    }
    assert_false(fault.struck);
}

static void each_write_finds_the_disk_full(void **state UNUSED)
{
    loop(true, SQLITE_FULL, false, false);
}

static void the_disk_stays_full(void **state UNUSED)
{
    loop(true, SQLITE_FULL, true, false);
}

static void each_write_fails(void **state UNUSED)
{
    loop(true, SQLITE_IOERR_WRITE, true, false);
}

static void each_write_fails_and_the_rest_is_committed(void **state UNUSED)
{
    loop(true, SQLITE_FULL, false, true);
}

static void each_allocation_fails(void **state UNUSED)
{
    loop(false, 0, false, false);
}

static void memory_stays_away(void **state UNUSED)
{
    loop(false, 0, true, false);
}

static void each_allocation_fails_and_the_rest_is_committed(void **state UNUSED)
{
    loop(false, 0, false, true);
}

/* Here the store itself fails in the middle of an operation, and SQLite does not: only its
 * savepoint takes back what it did, and the rest of the transaction is committed. */
static void the_arena_ends_at_each_place(void **state UNUSED)
{
    fault.left = LONG_MAX;
    for (bool all = false; !all; arena_limit_bytes += 32) {
        bool acknowledged[STEPS] = {false};
        char directory[64];
        arena_limit_bytes = MAX(arena_limit_bytes, (size_t)32);
        fx_make_directory(directory, sizeof directory);
        run_with_fault(directory, true, acknowledged);
        audit(directory);
        fx_remove_directory(directory);
        all = acknowledged[0] && acknowledged[STEPS - 1];
    }
    assert_true(arena_limit_bytes > 500);
    arena_limit_bytes = 0;
}

/* A kill does not lose what was written without a sync, so that is counted apart. */
static void each_commit_syncs(void **state UNUSED)
{
    struct work w = {0};
    uint64_t epoch;
    char directory[64];
    fx_make_directory(directory, sizeof directory);
    assert_int_equal(store_sqlite_open(directory, &w.s, &epoch, &w.e), 0);
    for (unsigned i = 0; i < 10; i++) {
        unsigned before = syncs;
        assert_int_equal(transact(&w, i, false), 0);
        assert_true(syncs > before);
    }
    store_close(w.s);
    arena_done(&w.arena);
    fx_remove_directory(directory);
}

/* ---- kill -9 ---- */

static void work_for_ever(const char *directory, int out)
{
    struct work w = {0};
    uint64_t epoch;
    if (store_sqlite_open(directory, &w.s, &epoch, &w.e))
        _exit(1);
    for (unsigned step = 0;; step++) {
        if (has_step(&w, step))
            continue;
        if (transact(&w, step, false))
            _exit(2);
        if (write(out, &step, sizeof step) != sizeof step)
            _exit(3);
    }
}

static void killed_at_any_moment(void **state UNUSED)
{
    enum { ROUNDS = 12, STEPS_MAX = 20000 };
    static bool acknowledged[STEPS_MAX];
    char directory[64];
    unsigned highest = 0, step;
    fx_make_directory(directory, sizeof directory);
    for (unsigned round = 0; round < ROUNDS; round++) {
        int channel[2];
        assert_int_equal(pipe(channel), 0);
        pid_t child = fork();
        if (child == 0) {
            close(channel[0]);
            work_for_ever(directory, channel[1]);
        }
        close(channel[1]);
        /* After some steps and a fraction of one: wherever it is then. */
        unsigned want = 1 + (round * 37) % 60;
        for (unsigned i = 0; i < want; i++) {
            assert_int_equal(read(channel[0], &step, sizeof step), sizeof step);
            assert_true(step < STEPS_MAX - 1);
            acknowledged[step] = true;
            highest = MAX(highest, step);
        }
        usleep((round * 61) % 400);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        while (read(channel[0], &step, sizeof step) == sizeof step) {
            acknowledged[step] = true;
            highest = MAX(highest, step);
        }
        close(channel[0]);
        /* The step after the last acknowledged one may be there too: it counts as
         * unacknowledged. */
        check_after(directory, acknowledged, highest + 2);
        acknowledged[highest + 2] = true;
        highest += 2;
    }
    fx_remove_directory(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_arena_ends_at_each_place),
        cmocka_unit_test(each_write_finds_the_disk_full),
        cmocka_unit_test(the_disk_stays_full),
        cmocka_unit_test(each_write_fails),
        cmocka_unit_test(each_write_fails_and_the_rest_is_committed),
        cmocka_unit_test(each_allocation_fails),
        cmocka_unit_test(memory_stays_away),
        cmocka_unit_test(each_allocation_fails_and_the_rest_is_committed),
        cmocka_unit_test(each_commit_syncs),
        cmocka_unit_test(killed_at_any_moment),
    };
    install_vfs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
