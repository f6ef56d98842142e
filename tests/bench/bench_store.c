/*
 * bench_store.c: how fast the SQLite store takes and finishes tasks, and what a seen URL costs.
 *
 *   bench_store [directory] [tasks] [urls]
 *
 * Prints one line of JSON for each figure. Everything is committed with fsync in groups as store_thread
 * makes them. The folder must be on the disk in question; it is made and emptied of its database.
 */
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/pack.h"
#include "coordinator/edge/store.h"

enum { GROUP = 1000, CHUNK = 1000 };

static void check(int rc, const struct error *e, const char *what)
{
    if (!rc)
        return;
    fprintf(stderr, "%s: %s: %s\n", what, err_name((enum err)rc), e->detail);
    exit(1);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double memory_mib(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_maxrss / 1024;
}

struct bench {
    struct store *s;
    struct error e;
    struct arena arena;
    uint64_t sequence;
    struct buf text;
};

/* A URL of about 60 bytes, like those of a crawl. */
static struct store_item make_item(struct bench *b, bool one_key)
{
    char url[100];
    uint64_t n = b->sequence++;
    int len = snprintf(url, sizeof url, "https://www.example.org/section%03u/page-%010llu.html",
                       (unsigned)(n % 1000), (unsigned long long)n);
    buf_clear(&b->text);
    pack_array(&b->text, 2);
    pack_str(&b->text, (struct span){url, (size_t)len});
    pack_u64(&b->text, 3);
    char *copy = arena_alloc(&b->arena, b->text.len);
    memcpy(copy, b->text.data, b->text.len);
    return (struct store_item){.input = {copy, b->text.len},
                               .key = one_key ? 1 : hash_mix(n),
                               .unique = hash_128(url, (size_t)len, 0)};
}

static uint64_t make_job(struct bench *b, uint32_t task_items, bool unique)
{
    struct store_submit in = {.spec = SPAN("{}"), .task_items = task_items, .unique = unique};
    uint64_t job;
    bool existing;
    check(store_begin(b->s, &b->e), &b->e, "begin");
    check(store_job_submit(b->s, &in, &job, &existing, &b->e), &b->e, "submit");
    check(store_commit(b->s, &b->e), &b->e, "commit");
    return job;
}

static void figure(const char *what, double value, const char *unit)
{
    printf("{\"case\": \"%s\", \"value\": %.1f, \"unit\": \"%s\", \"peak_mb\": %.1f}\n", what,
           value, unit, memory_mib());
    fflush(stdout);
}

static void report(const char *what, uint64_t n, double seconds)
{
    figure(what, (double)n / seconds, "/s");
}

/* Tasks of one small item in chunks, then their completions. */
static void tasks(struct bench *b, uint64_t n, bool rows)
{
    uint64_t job = make_job(b, 1, false), first = 0;
    struct store_item items[CHUNK];
    double start = now_s();
    for (uint64_t done = 0; done < n; done += CHUNK) {
        struct store_task *made;
        size_t n_made;
        arena_clear(&b->arena);
        for (size_t i = 0; i < CHUNK; i++)
            items[i] = make_item(b, false);
        check(store_begin(b->s, &b->e), &b->e, "begin");
        check(store_job_input(b->s, job, done, items, CHUNK, &b->arena, &made, &n_made, &b->e),
              &b->e, "input");
        check(store_commit(b->s, &b->e), &b->e, "commit");
        first = first ? first : made[0].sched.id.v;
    }
    double middle = now_s();
    report(rows ? "insert (second time)" : "insert, 1,000 in a commit", n, middle - start);
    struct store_sizes sizes;
    check(store_sizes(b->s, &sizes, &b->e), &b->e, "sizes");
    figure(rows ? "disk, pending task (second time)" : "disk, pending task",
           (double)(sizes.bytes - sizes.free_bytes) / (double)n, "bytes");
    middle = now_s();
    for (uint64_t done = 0; done < n; done += GROUP) {
        check(store_begin(b->s, &b->e), &b->e, "begin");
        for (uint64_t i = 0; i < GROUP; i++) {
            struct store_complete c = {.job = {job},
                                       .task = {first + done + i},
                                       .write = SCHED_WRITE_DONE,
                                       .rows =
                                           rows ? SPAN("0123456789012345678901234567890123456789"
                                                       "0123456789012345678901234567890123456789")
                                                : (struct span){NULL, 0}};
            struct store_complete_ret ret;
            check(store_task_complete(b->s, &c, &b->arena, &ret, &b->e), &b->e, "complete");
            if (ret.duplicate)
                abort();
        }
        check(store_commit(b->s, &b->e), &b->e, "commit");
    }
    double end = now_s();
    report(rows ? "complete with 80 bytes of rows" : "complete, 1,000 in a commit", n,
           end - middle);
    report(rows ? "both, with rows" : "both", n, end - start);
}

/* One operation a commit: the latency of a durable answer. */
static void singles(struct bench *b, uint64_t n)
{
    uint64_t job = make_job(b, 1, false);
    double start = now_s();
    for (uint64_t i = 0; i < n; i++) {
        struct store_task *made;
        size_t n_made;
        arena_clear(&b->arena);
        struct store_item item = make_item(b, false);
        check(store_begin(b->s, &b->e), &b->e, "begin");
        check(store_job_input(b->s, job, i, &item, 1, &b->arena, &made, &n_made, &b->e), &b->e,
              "input");
        check(store_commit(b->s, &b->e), &b->e, "commit");
    }
    report("input of one task, own commit", n, now_s() - start);
}

/* A crawl: completions that find 50 links, of which one in five is new. */
static void crawl(struct bench *b, uint64_t urls)
{
    enum { LINKS = 50, NEW = 10, PAGES = 20 };
    uint64_t job = make_job(b, 64, true);
    struct store_item found[LINKS * PAGES];
    struct store_task *queue = NULL;
    size_t n_queue = 0;
    struct store_item start_item = make_item(b, true);
    uint64_t seen = 0, asked = 0;
    check(store_begin(b->s, &b->e), &b->e, "begin");
    check(store_job_input(b->s, job, 0, &start_item, 1, &b->arena, &queue, &n_queue, &b->e), &b->e,
          "input");
    check(store_commit(b->s, &b->e), &b->e, "commit");
    struct store_sizes before, after;
    check(store_sizes(b->s, &before, &b->e), &b->e, "sizes");
    struct task_id task = queue[0].sched.id;
    uint64_t state = 1;
    double start = now_s();
    while (seen < urls) {
        arena_clear(&b->arena);
        for (size_t i = 0; i < LINKS * PAGES; i++) {
            if (i % LINKS < NEW || seen < 1000) {
                found[i] = make_item(b, true);
                continue;
            }
            uint64_t keep = b->sequence; /* a link to a page that was seen, anywhere */
            b->sequence = keep - 1 - (state = hash_mix(state + 1)) % MIN(seen, keep - 1);
            found[i] = make_item(b, true);
            b->sequence = keep;
        }
        struct store_complete c = {.job = {job},
                                   .task = task,
                                   .write = SCHED_WRITE_DONE,
                                   .found = found,
                                   .n_found = LINKS * PAGES};
        struct store_complete_ret ret;
        check(store_begin(b->s, &b->e), &b->e, "begin");
        check(store_task_complete(b->s, &c, &b->arena, &ret, &b->e), &b->e, "complete");
        check(store_commit(b->s, &b->e), &b->e, "commit");
        task = ret.tasks[0].sched.id;
        /* The rest of the tasks end at once, so that only what was seen stays. */
        check(store_begin(b->s, &b->e), &b->e, "begin");
        for (size_t i = 1; i < ret.n_tasks; i++) {
            struct store_complete rest = {.job = {job},
                                          .task = ret.tasks[i].sched.id,
                                          .write = SCHED_WRITE_DONE};
            struct store_complete_ret nothing;
            check(store_task_complete(b->s, &rest, &b->arena, &nothing, &b->e), &b->e, "complete");
        }
        check(store_commit(b->s, &b->e), &b->e, "commit");
        struct store_job j;
        check(store_job_get(b->s, job, &b->arena, &j, &b->e), &b->e, "get");
        seen = j.items;
        asked += LINKS * PAGES;
    }
    double seconds = now_s() - start;
    check(store_sizes(b->s, &after, &b->e), &b->e, "sizes");
    report("crawl: links looked up", asked, seconds);
    report("crawl: new URLs among them", seen, seconds);
    figure("crawl: disk, seen URL",
           (double)(after.bytes - after.free_bytes - (before.bytes - before.free_bytes)) /
               (double)seen,
           "bytes");
}

int main(int argc, char **argv)
{
    const char *directory = argc > 1 ? argv[1] : "/tmp/drover-bench-store";
    uint64_t n = argc > 2 ? strtoull(argv[2], NULL, 10) : 300000;
    uint64_t urls = argc > 3 ? strtoull(argv[3], NULL, 10) : 200000;
    struct bench b = {.sequence = 1};
    uint64_t epoch;
    check(store_sqlite_open(directory, &b.s, &epoch, &b.e), &b.e, "open");
    singles(&b, 2000);
    tasks(&b, n / CHUNK * CHUNK, false);
    tasks(&b, n / CHUNK * CHUNK, true);
    crawl(&b, urls);
    store_close(b.s);
    static const char *const names[] = {"drover.db", "drover.db-wal", "lock", "reserve"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        unlink(path);
    }
    rmdir(directory);
    arena_done(&b.arena);
    buf_done(&b.text);
    return 0;
}
