#include "fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#include "common/pack.h"
#include "common/unpack.h"

fx_open_fn *fx_backend;

void fx_make_directory(char *ret, size_t size)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(ret, size, "%s/drover-store-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(ret));
}

void fx_remove_directory(const char *directory)
{
    DIR *dir = opendir(directory);
    char path[400];
    for (struct dirent *d; dir && (d = readdir(dir));) {
        snprintf(path, sizeof path, "%s/%s", directory, d->d_name);
        unlink(path);
    }
    if (dir)
        closedir(dir);
    rmdir(directory);
}

int fx_setup(void **state)
{
    struct fx *x = calloc(1, sizeof *x);
    x->open_store = fx_backend;
    fx_make_directory(x->directory, sizeof x->directory);
    fx_ok(x, x->open_store(x->directory, &x->s, &x->epoch, &x->e));
    *state = x;
    return 0;
}

int fx_teardown(void **state)
{
    struct fx *x = *state;
    store_close(TAKE_PTR(x->s));
    arena_done(&x->arena);
    fx_remove_directory(x->directory);
    free(x);
    return 0;
}

void fx_reopen(struct fx *x)
{
    store_close(TAKE_PTR(x->s));
    fx_ok(x, x->open_store(x->directory, &x->s, &x->epoch, &x->e));
}

void fx_begin(struct fx *x)
{
    fx_ok(x, store_begin(x->s, &x->e));
}

void fx_commit(struct fx *x)
{
    fx_ok(x, store_commit(x->s, &x->e));
}

struct store_item fx_item(struct fx *x, const char *host, const char *url)
{
    struct buf b = {0};
    pack_array(&b, 2);
    pack_cstr(&b, url);
    pack_u64(&b, 0);
    char *copy = arena_alloc(&x->arena, b.len);
    assert_non_null(copy);
    memcpy(copy, b.data, b.len);
    struct span input = {copy, b.len};
    buf_done(&b);
    return (struct store_item){.input = input,
                               .key = hash_64(host, strlen(host), 0),
                               .unique = hash_128(url, strlen(url), 0)};
}

struct store_item fx_item_n(struct fx *x, unsigned host, unsigned url)
{
    char h[32], u[64];
    snprintf(h, sizeof h, "host%u", host);
    snprintf(u, sizeof u, "https://host%u.example/%u", host, url);
    return fx_item(x, h, u);
}

struct store_submit fx_submit_of(const char *name, uint32_t task_items, bool unique)
{
    return (struct store_submit){.client = SPAN("alice"),
                                 .idem_key = SPAN(""),
                                 .name = span_str(name),
                                 .spec = SPAN("{\"stages\":[]}"),
                                 .priority = 5,
                                 .unique = unique,
                                 .task_items = task_items,
                                 .now_ms = 1000,
                                 .ttl_ms = 5000};
}

uint64_t fx_submit(struct fx *x, const struct store_submit *in)
{
    uint64_t job = 0;
    bool existing = true;
    fx_begin(x);
    fx_ok(x, store_job_submit(x->s, in, &job, &existing, &x->e));
    fx_commit(x);
    assert_false(existing);
    return job;
}

uint64_t fx_job(struct fx *x, uint32_t task_items, bool unique)
{
    struct store_submit in = fx_submit_of("", task_items, unique);
    return fx_submit(x, &in);
}

size_t fx_input(struct fx *x, uint64_t job, uint64_t chunk, const struct store_item *items,
                size_t n, struct store_task **ret)
{
    struct store_task *tasks = NULL;
    size_t n_tasks = 0;
    fx_begin(x);
    fx_ok(x, store_job_input(x->s, job, chunk, items, n, &x->arena, &tasks, &n_tasks, &x->e));
    fx_commit(x);
    if (ret)
        *ret = tasks;
    return n_tasks;
}

uint64_t fx_job_of(struct fx *x, unsigned n, struct store_task **ret)
{
    uint64_t job = fx_job(x, 1, false);
    struct store_item *items = arena_alloc(&x->arena, (n + 1) * sizeof *items);
    for (unsigned i = 0; i < n; i++)
        items[i] = fx_item_n(x, i, i);
    assert_int_equal(fx_input(x, job, 0, items, n, ret), n);
    return job;
}

struct store_complete fx_done(uint64_t job, struct task_id task)
{
    return (struct store_complete){.job = {job},
                                   .task = task,
                                   .write = SCHED_WRITE_DONE,
                                   .now_ms = 2000};
}

struct store_complete_ret fx_complete(struct fx *x, const struct store_complete *in)
{
    struct store_complete_ret ret = {0};
    fx_begin(x);
    fx_ok(x, store_task_complete(x->s, in, &x->arena, &ret, &x->e));
    fx_commit(x);
    return ret;
}

void fx_end(struct fx *x, uint64_t job, enum store_job_state state, int64_t now_ms)
{
    fx_begin(x);
    fx_ok(x, store_job_end(x->s, job, state, now_ms, &x->e));
    fx_commit(x);
}

struct store_job fx_get(struct fx *x, uint64_t job)
{
    struct store_job ret;
    fx_ok(x, store_job_get(x->s, job, &x->arena, &ret, &x->e));
    return ret;
}

int64_t fx_stat(struct fx *x, uint64_t job, const char *name)
{
    struct store_stat *stats;
    size_t n;
    fx_ok(x, store_job_stats(x->s, job, &x->arena, &stats, &n, &x->e));
    for (size_t i = 0; i < n; i++)
        if (span_eq(stats[i].name, span_str(name)))
            return stats[i].value;
    return 0;
}

size_t fx_count(struct span input)
{
    struct unpack u;
    unpack_init(&u, input.p, input.len);
    size_t n = unpack_array(&u);
    unpack_skip_n(&u, n);
    assert_true(unpack_finished(&u));
    return n;
}

const char *fx_url(struct fx *x, struct span input, size_t i)
{
    struct unpack u;
    unpack_init(&u, input.p, input.len);
    assert_true(i < unpack_array(&u));
    unpack_skip_n(&u, i);
    assert_int_equal(unpack_array(&u), 2);
    struct span url = unpack_str(&u);
    assert_true(unpack_ok(&u));
    return arena_strndup(&x->arena, url.p, url.len);
}
