/* test_store_sqlite.c: the conformance suite over the SQLite backend, and what is its own: the
 * lock, file modes, damaged and foreign files, full disks. */
#include "conformance.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "coordinator/edge/store_sqlite.h"

static void path_of(char *ret, size_t size, const struct fx *x, const char *name)
{
    snprintf(ret, size, "%s/%s", x->directory, name);
}

static void sql(struct fx *x, const char *text)
{
    char path[200];
    sqlite3 *db;
    path_of(path, sizeof path, x, "drover.db");
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static int reopen(struct fx *x)
{
    return store_sqlite_open(x->directory, &x->s, &x->epoch, &x->e);
}

static void a_directory_has_one_coordinator(void **state)
{
    struct fx *x = *state;
    struct store *second = NULL;
    uint64_t epoch = 0;
    char pid[32];
    assert_int_equal(store_sqlite_open(x->directory, &second, &epoch, &x->e), ERR_STORE_LOCKED);
    assert_null(second);
    snprintf(pid, sizeof pid, "pid %ld;", (long)getpid());
    assert_non_null(strstr(x->e.detail, x->directory));
    assert_non_null(strstr(x->e.detail, pid));
    fx_reopen(x);
}

static void a_killed_holder_frees_the_directory(void **state)
{
    struct fx *x = *state;
    int ready[2];
    char byte;
    store_close(TAKE_PTR(x->s));
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        if (reopen(x) == 0 && write(ready[1], "x", 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(reopen(x), ERR_STORE_LOCKED);
    char pid[32];
    snprintf(pid, sizeof pid, "pid %ld;", (long)child);
    assert_non_null(strstr(x->e.detail, pid));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(ready[0]);
    close(ready[1]);
    fx_ok(x, reopen(x));
}

static void files_are_private(void **state)
{
    struct fx *x = *state;
    static const char *const names[] = {"drover.db", "drover.db-wal", "lock", "reserve"};
    char path[200], sub[100];
    struct stat st;
    mode_t old = umask(0);
    path_of(sub, sizeof sub, x, "sub");
    store_close(TAKE_PTR(x->s));
    fx_ok(x, store_sqlite_open(sub, &x->s, &x->epoch, &x->e));
    umask(old);
    assert_int_equal(stat(sub, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    fx_job(x, 1, false);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(path, sizeof path, "%s/%s", sub, names[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
    }
    store_close(TAKE_PTR(x->s));
    fx_remove_directory(sub);
    fx_ok(x, reopen(x));
}

static void opening_fails_with_a_reason(void **state)
{
    struct fx *x = *state;
    char path[200];
    store_close(TAKE_PTR(x->s));
    path_of(path, sizeof path, x, "no/such");
    assert_int_equal(store_sqlite_open(path, &x->s, &x->epoch, &x->e), ERR_STORE);
    assert_non_null(strstr(x->e.detail, path));
    sql(x, "PRAGMA user_version=1000");
    assert_int_equal(reopen(x), ERR_STORE);
    assert_non_null(strstr(x->e.detail, "newer drover"));
    sql(x, "PRAGMA user_version=6; PRAGMA application_id=7");
    assert_int_equal(reopen(x), ERR_STORE);
    assert_non_null(strstr(x->e.detail, "not a database of drover"));
    sql(x, "PRAGMA application_id=1685221238; DELETE FROM meta");
    assert_int_equal(reopen(x), ERR_STORE);
    assert_null(x->s);
}

static void overwrite(struct fx *x, off_t from, size_t n)
{
    char path[200];
    path_of(path, sizeof path, x, "drover.db");
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(pwrite(fd, "\xde", 1, from + (off_t)i), 1);
    close(fd);
}

static void a_damaged_head_is_told(void **state)
{
    struct fx *x = *state;
    store_close(TAKE_PTR(x->s));
    overwrite(x, 0, 100);
    assert_int_equal(reopen(x), ERR_STORE);
    assert_non_null(strstr(x->e.detail, "drover.db is damaged"));
    assert_non_null(strstr(x->e.detail, ".recover"));
    assert_null(x->s);
}

static void a_damaged_page_is_told_and_is_final(void **state)
{
    struct fx *x = *state;
    struct store_task *tasks;
    struct stat st;
    char path[200];
    uint64_t job = fx_job_of(x, 2000, &tasks);
    store_close(TAKE_PTR(x->s));
    path_of(path, sizeof path, x, "drover.db");
    assert_int_equal(stat(path, &st), 0);
    for (off_t page = 28; page < st.st_size / 4096; page++)
        overwrite(x, page * 4096, 64);
    fx_ok(x, reopen(x));
    int rc = 0;
    struct span input;
    bool whole;
    for (int i = 0; i < 2000 && !rc; i++)
        rc = store_task_input(x->s, tasks[i].sched.id, &x->arena, &input, &whole, &x->e);
    assert_int_equal(rc, ERR_STORE);
    assert_non_null(strstr(x->e.detail, "damaged"));
    struct store_job got;
    assert_int_equal(store_job_get(x->s, job, &x->arena, &got, &x->e), ERR_STORE);
    assert_int_equal(store_begin(x->s, &x->e), ERR_STORE);
}

/* ---- full ---- */

/* Adds chunks of large items until the store says no; how many it took. */
static unsigned fill(struct fx *x, uint64_t job, uint64_t first_chunk, int *ret_rc)
{
    enum { EACH = 60000, MAX_CHUNKS = 4000 };
    struct arena arena = {0};
    char *text = arena_zalloc(&x->arena, EACH);
    text[0] = (char)0xc5; /* bin16 */
    text[1] = (char)((EACH - 3) >> 8);
    text[2] = (char)((EACH - 3) & 255);
    struct store_item item = {.input = {text, EACH}};
    unsigned n = 0;
    for (*ret_rc = 0; *ret_rc == 0 && n < MAX_CHUNKS; n += *ret_rc == 0) {
        struct store_task *tasks;
        size_t n_tasks;
        arena_clear(&arena);
        fx_begin(x);
        *ret_rc =
            store_job_input(x->s, job, first_chunk + n, &item, 1, &arena, &tasks, &n_tasks, &x->e);
        if (*ret_rc)
            store_rollback(x->s);
        else
            *ret_rc = store_commit(x->s, &x->e);
    }
    arena_done(&arena);
    return n;
}

static void set_pages(struct fx *x, int pages)
{
    struct store_sqlite *s = (struct store_sqlite *)(void *)x->s;
    char text[64];
    snprintf(text, sizeof text, "PRAGMA max_page_count=%d", pages);
    assert_int_equal(sqlite3_exec(s->db, text, NULL, NULL, NULL), SQLITE_OK);
}

static void a_full_database_loses_nothing(void **state)
{
    struct fx *x = *state;
    struct store_task *tasks;
    uint64_t job = fx_job_of(x, 500, &tasks), big = fx_job(x, 1, false);
    int rc;
    set_pages(x, 400);
    unsigned n = fill(x, big, 0, &rc);
    assert_int_equal(rc, ERR_STORE_FULL);
    assert_true(n > 5);
    /* In the transaction of the operation that fails, the others are gone too. */
    struct store_complete done = fx_done(job, tasks[0].sched.id);
    struct store_complete_ret ret;
    char big_rows[100000] = {0};
    fx_begin(x);
    fx_ok(x, store_task_complete(x->s, &done, &x->arena, &ret, &x->e));
    done.task = tasks[1].sched.id;
    done.rows = (struct span){big_rows, sizeof big_rows};
    assert_int_equal(store_task_complete(x->s, &done, &x->arena, &ret, &x->e), ERR_STORE_FULL);
    assert_int_equal(store_job_seal(x->s, job, &x->e), ERR_STORE_FULL);
    assert_int_equal(store_commit(x->s, &x->e), ERR_STORE_FULL);
    assert_int_equal(fx_get(x, job).tasks_pending, 500);
    assert_int_equal(fx_get(x, big).items, n);
    /* Work goes on, and makes room. */
    done.rows = (struct span){NULL, 0};
    for (int i = 0; i < 500; i++) {
        done.task = tasks[i].sched.id;
        assert_false(fx_complete(x, &done).duplicate);
    }
    set_pages(x, 100000);
    struct store_item item = fx_item(x, "a", "a1");
    assert_int_equal(fx_input(x, big, n, &item, 1, NULL), 1);
    fx_reopen(x);
    assert_int_equal(fx_get(x, job).tasks_pending, 0);
    assert_int_equal(fx_get(x, big).items, n + 1);
}

static void fill_disk(int fd)
{
    static const char zeros[65536];
    while (write(fd, zeros, sizeof zeros) > 0)
        ;
}

/* A real file system that is full, where the test may mount one. */
static void a_full_disk_refuses_inputs_and_finishes_work(void **state)
{
    struct fx *x = *state;
    char disk[100], ballast[200];
    path_of(disk, sizeof disk, x, "disk");
    assert_int_equal(mkdir(disk, 0700), 0);
    if (mount("tmpfs", disk, "tmpfs", 0, "size=48m,mode=0700")) {
        rmdir(disk);
        skip();
    }
    store_close(TAKE_PTR(x->s));
    fx_ok(x, store_sqlite_open(disk, &x->s, &x->epoch, &x->e));
    struct store_task *tasks;
    struct store_sizes sizes;
    uint64_t job = fx_job_of(x, 2000, &tasks), big = fx_job(x, 1, false);
    snprintf(ballast, sizeof ballast, "%s/ballast", disk);
    int fd = open(ballast, O_WRONLY | O_CREAT, 0600), rc;
    unsigned n = fill(x, big, 0, &rc);
    assert_int_equal(rc, ERR_STORE_FULL);
    assert_true(n > 50);
    assert_int_equal(fill(x, big, n, &rc), 0); /* and goes on saying no */
    assert_int_equal(rc, ERR_STORE_FULL);
    assert_non_null(strstr(x->e.detail, "MiB"));
    fx_ok(x, store_sizes(x->s, &sizes, &x->e));
    assert_true(sizes.refusing);
    struct store_complete done = fx_done(job, tasks[0].sched.id);
    done.rows = SPAN("some rows");
    for (int i = 0; i < 1000; i++) {
        done.task = tasks[i].sched.id;
        assert_false(fx_complete(x, &done).duplicate);
    }
    /* Full to the last byte: nothing works, nothing breaks. */
    fill_disk(fd);
    unsigned failed = 0;
    for (int i = 1000; i < 2000; i++) {
        struct store_complete_ret ret;
        char rows[30000] = {0};
        done.task = tasks[i].sched.id;
        done.rows = (struct span){rows, sizeof rows};
        rc = store_begin(x->s, &x->e);
        if (!rc && (rc = store_task_complete(x->s, &done, &x->arena, &ret, &x->e)))
            store_rollback(x->s);
        else if (!rc)
            rc = store_commit(x->s, &x->e);
        if (rc)
            assert_int_equal(rc, ERR_STORE_FULL);
        failed += rc != 0;
    }
    assert_true(failed > 0);
    assert_int_equal(fx_get(x, job).tasks_pending, failed);
    assert_int_equal(ftruncate(fd, 0), 0);
    close(fd);
    unlink(ballast);
    fx_end(x, big, STORE_JOB_CANCELLED, 3000);
    uint64_t after = fx_job(x, 1, false);
    struct store_item item = fx_item(x, "a", "a1");
    assert_int_equal(fx_input(x, after, 0, &item, 1, NULL), 1);
    store_close(TAKE_PTR(x->s));
    fx_ok(x, store_sqlite_open(disk, &x->s, &x->epoch, &x->e));
    assert_int_equal(fx_get(x, job).tasks_pending, failed);
    assert_int_equal(fx_get(x, big).items, n);
}

/* Also after a failed assertion. */
static int unmount(void **state)
{
    struct fx *x = *state;
    char disk[100];
    path_of(disk, sizeof disk, x, "disk");
    store_close(TAKE_PTR(x->s));
    umount(disk);
    rmdir(disk);
    return fx_teardown(state);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)
    static const struct CMUnitTest own[] = {
        TEST(a_directory_has_one_coordinator),
        TEST(a_killed_holder_frees_the_directory),
        TEST(files_are_private),
        TEST(opening_fails_with_a_reason),
        TEST(a_damaged_head_is_told),
        TEST(a_damaged_page_is_told_and_is_final),
        TEST(a_full_database_loses_nothing),
        cmocka_unit_test_setup_teardown(a_full_disk_refuses_inputs_and_finishes_work, fx_setup,
                                        unmount),
    };
    return conformance_run(store_sqlite_open, own, ARRAY_LEN(own));
}
