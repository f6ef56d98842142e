#include "runner.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/hash.h"
#include "common/reason.h"
#include "common/unpack.h"
#include "worker/output.h"

struct runner_loop {
    struct scrape_loop *scrape;
    pthread_t thread;
    bool started;
};

struct runner {
    struct runner_config config;
    struct runner_loop *loops;
    struct pool *pool;
    struct runner_task *computing; /* owner's thread only; the youngest first */
    uint64_t last_id;
    int fd;
    bool stopped;
    struct calls *calls;  /* NULL: not in a fleet */
    pthread_mutex_t lock; /* of what follows */
    struct runner_task *finished, **finished_end;
    struct runner_task *taken; /* owner's thread only */
};

size_t runner_cores(void)
{
    cpu_set_t set;
    const int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    return n > 0 ? (size_t)n : 1;
}

static void *loop_main(void *arg)
{
    struct runner_loop *l = arg;
    scrape_loop_run(l->scrape);
    return NULL;
}

static int start_loop(struct runner *r, struct runner_loop *l, struct error *e)
{
    const int rc = scrape_loop_new(&r->config.scrape, &l->scrape, e);
    if (rc != ERR_OK)
        return rc;
    const int err = pthread_create(&l->thread, NULL, loop_main, l);
    if (err != 0)
        return error_set(e, ERR_UNAVAILABLE, "cannot start a thread: %s", strerror(err));
    l->started = true;
    return ERR_OK;
}

/* Tasks of the pool may read files of web servers. */
static int add_downloads(struct runner *r, struct error *e)
{
    struct inputs *in = &r->config.inputs;
    const struct downloads_config config = {.allow_nets = r->config.scrape.allow_nets,
                                            .ca_file = r->config.scrape.ca_file,
                                            .proxy = r->config.scrape.proxy,
                                            .user_agent = r->config.scrape.user_agent,
                                            .dir = in->temporary,
                                            .bytes_max = in->download_bytes_max};
    in->get = downloads_get;
    return downloads_new(&config, &in->downloads, e);
}

int runner_new(const struct runner_config *config, struct runner **ret, struct error *e)
{
    assert(config->loops > 0);
    struct runner *r = calloc(1, sizeof(*r));
    if (!r)
        return error_set(e, ERR_NOMEM, "no memory for the runner");
    r->config = *config;
    r->finished_end = &r->finished;
    pthread_mutex_init(&r->lock, NULL);
    r->loops = calloc(config->loops, sizeof(*r->loops));
    r->pool = pool_new(config->loops);
    r->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (config->fleet)
        r->config.scrape.calls = r->calls = calls_new(r->fd);
    int rc = ERR_OK;
    if (!r->loops || !r->pool || (config->fleet && !r->calls))
        rc = error_set(e, ERR_NOMEM, "no memory for %zu loops", config->loops);
    else if (r->fd < 0)
        rc = error_set(e, ERR_UNAVAILABLE, "eventfd: %s", strerror(errno));
    if (rc == ERR_OK)
        rc = add_downloads(r, e);
    for (size_t i = 0; i < config->loops && rc == ERR_OK; i++)
        rc = start_loop(r, &r->loops[i], e);
    if (rc != ERR_OK) {
        runner_free(r);
        return rc;
    }
    *ret = r;
    return ERR_OK;
}

void runner_stop(struct runner *r)
{
    if (r->stopped)
        return;
    r->stopped = true;
    for (struct runner_task *t = r->computing; t; t = t->older)
        atomic_store(&t->cancelled, true);
    pool_free(TAKE_PTR(r->pool));
    for (size_t i = 0; r->loops && i < r->config.loops; i++)
        if (r->loops[i].started)
            scrape_loop_stop(r->loops[i].scrape);
    for (size_t i = 0; r->loops && i < r->config.loops; i++) {
        if (r->loops[i].started)
            pthread_join(r->loops[i].thread, NULL);
        scrape_loop_free(r->loops[i].scrape);
    }
}

void runner_free(struct runner *r)
{
    if (!r)
        return;
    runner_stop(r);
    if (r->fd >= 0)
        close(r->fd);
    pthread_mutex_destroy(&r->lock);
    calls_free(r->calls);
    downloads_free(r->config.inputs.downloads);
    free(r->loops);
    free(r);
}

static void wake(struct runner *r)
{
    const uint64_t one = 1;
    while (write(r->fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

/* On the thread of a loop or of the pool. */
static void finished(struct runner_task *task, struct output *output)
{
    struct runner *r = task->runner;
    r->config.finish(r->config.user, task, output);
    free(TAKE_PTR(task->memory));
    task->next = NULL;
    pthread_mutex_lock(&r->lock);
    const bool first = !r->finished;
    *r->finished_end = task;
    r->finished_end = &task->next;
    pthread_mutex_unlock(&r->lock);
    if (first)
        wake(r);
}

static void scrape_finished(struct scrape_task *scrape, struct output *output)
{
    struct runner_task *task = scrape->user;
    pipeline_follow(task->pipeline, task->blobs, output);
    finished(task, output);
}

static void compute(struct pool_job *job)
{
    struct runner_task *task = CONTAINER_OF(job, struct runner_task, job_of_pool);
    const struct runner *r = task->runner;
    struct output *o = task->output;
    const struct pipeline_call call = {.items = {task->memory, task->items_len},
                                       .blobs = task->blobs,
                                       .inputs = &r->config.inputs,
                                       .cancelled = &task->cancelled,
                                       .text = r->config.text};
    if (atomic_load(&task->cancelled))
        pipeline_fail(o, ERR_STALE, REASON_CANCELLED, "");
    else if (task->gather)
        pipeline_gather_run(task->pipeline, task->blobs, task->parts, &task->cancelled, o);
    else
        pipeline_run(task->pipeline, &call, o);
    finished(task, o);
}

/* Copies the URLs of packed items [[url, depth], ...] into one piece of memory. */
static int copy_urls(struct runner_task *task, struct span items, struct error *e)
{
    struct unpack u;
    unpack_init(&u, items.p, items.len);
    const size_t n = unpack_array(&u);
    /* An item has at least three bytes, so n is bounded by what came. */
    if (!unpack_ok(&u) || n == 0 || n > items.len)
        return error_set(e, ERR_MALFORMED, "the task's items cannot be read");
    const size_t bytes = n * sizeof(struct scrape_url) + items.len + n;
    task->memory = malloc(bytes);
    if (!task->memory)
        return error_set(e, ERR_NOMEM, "no memory for %zu URLs", n);
    struct scrape_url *urls = (struct scrape_url *)(void *)task->memory;
    char *text = task->memory + n * sizeof(*urls);
    for (size_t i = 0; i < n; i++) {
        size_t extra;
        unpack_tuple(&u, 2, &extra);
        const struct span url = unpack_str(&u);
        const uint64_t depth = unpack_u64(&u);
        unpack_skip_n(&u, extra);
        if (!unpack_ok(&u) || !url.p || depth > UINT32_MAX) {
            free(TAKE_PTR(task->memory));
            return error_set(e, ERR_MALFORMED, "item %zu of the task cannot be read", i);
        }
        urls[i] = (struct scrape_url){text, (uint32_t)depth};
        memcpy(text, url.p, url.len);
        text[url.len] = 0;
        text += url.len + 1;
    }
    task->scrape.urls = urls;
    task->scrape.n_urls = n;
    return ERR_OK;
}

static struct runner_loop *loop_of_key(const struct runner *r, struct span key)
{
    return &r->loops[hash_64(key.p, key.len, 0) % r->config.loops];
}

/* The loop of a key: "scheme://host[:port]", which a canonical URL begins with. */
static struct runner_loop *loop_of(const struct runner *r, const char *url)
{
    const char *host = strstr(url, "://");
    const size_t scheme_len = host ? (size_t)(host - url) + 3 : 0;
    const size_t key_len = scheme_len + strcspn(url + scheme_len, "/");
    return loop_of_key(r, (struct span){url, key_len});
}

/* In the pool, and not on a loop. */
static bool is_computing(const struct runner_task *task)
{
    assert(task->gather || pipeline_place(task->pipeline) != PIPELINE_INLINE);
    return task->gather || pipeline_place(task->pipeline) == PIPELINE_POOL;
}

static void computing_add(struct runner *r, struct runner_task *task)
{
    task->younger = NULL;
    task->older = r->computing;
    if (task->older)
        task->older->younger = task;
    r->computing = task;
}

static void computing_remove(struct runner *r, struct runner_task *task)
{
    *(task->younger ? &task->younger->older : &r->computing) = task->older;
    if (task->older)
        task->older->younger = task->younger;
}

static int start_computing(struct runner *r, struct runner_task *task, struct span items,
                           struct error *e)
{
    task->runner = r;
    task->output = pipeline_output(task->pipeline);
    task->memory = malloc(MAX(items.len, (size_t)1));
    task->items_len = items.len;
    atomic_init(&task->cancelled, false);
    task->job_of_pool.run = compute;
    int rc =
        task->output && task->memory ? ERR_OK : error_set(e, ERR_NOMEM, "no memory for a task");
    if (rc == ERR_OK) {
        memcpy(task->memory, items.p, items.len);
        rc = pool_add(r->pool, &task->job_of_pool, e);
    }
    if (rc == ERR_OK) {
        computing_add(r, task);
    } else {
        free(TAKE_PTR(task->memory));
        output_free(TAKE_PTR(task->output));
    }
    return rc;
}

int runner_start(struct runner *r, struct runner_task *task, struct span items, struct error *e)
{
    assert(!r->stopped);
    if (is_computing(task))
        return start_computing(r, task, items, e);
    const int rc = copy_urls(task, items, e);
    if (rc != ERR_OK)
        return rc;
    const struct scrape_spec *spec = pipeline_source(task->pipeline);
    const uint32_t limit = MAX(scrape_spec_key_limit(spec), 1U);
    task->runner = r;
    task->scrape.id = ++r->last_id;
    task->scrape.spec = spec;
    task->scrape.job_id = task->job;
    task->scrape.attempt = task->attempt;
    task->scrape.grant = task->grant ? task->grant : limit;
    task->scrape.whole = task->whole;
    task->scrape.user = task;
    task->scrape.done = scrape_finished;
    task->loop = loop_of(r, task->scrape.urls[0].url);
    scrape_loop_add(task->loop->scrape, &task->scrape);
    return ERR_OK;
}

void runner_cancel(struct runner *r, struct runner_task *task)
{
    if (r->stopped)
        return;
    if (is_computing(task))
        atomic_store(&task->cancelled, true);
    else
        scrape_loop_cancel(task->loop->scrape, task->scrape.id);
}

void runner_freeze(struct runner *r, bool frozen)
{
    for (size_t i = 0; i < r->config.loops && !r->stopped; i++)
        scrape_loop_freeze(r->loops[i].scrape, frozen);
}

void runner_lease(struct runner *r, uint64_t end_ms)
{
    for (size_t i = 0; i < r->config.loops && !r->stopped; i++)
        scrape_loop_lease(r->loops[i].scrape, end_ms);
}

void runner_tell(struct runner *r, struct span host, enum scrape_host_state state)
{
    if (!r->stopped)
        scrape_loop_tell(loop_of_key(r, host)->scrape, host, state);
}

void runner_session(struct runner *r)
{
    for (size_t i = 0; i < r->config.loops && !r->stopped; i++)
        scrape_loop_tell(r->loops[i].scrape, (struct span){NULL, 0}, SCRAPE_HOST_FREE);
    if (r->calls)
        calls_clear(r->calls);
}

bool runner_is_calling(const struct runner *r)
{
    return r->calls && calls_watching(r->calls);
}

size_t runner_calls(struct runner *r, bool all, struct calls_report *ret, size_t max)
{
    return r->calls ? calls_take(r->calls, all, clock_ms(), ret, max) : 0;
}

int runner_fd(const struct runner *r)
{
    return r->fd;
}

struct runner_task *runner_take(struct runner *r)
{
    if (!r->taken) {
        uint64_t count;
        while (read(r->fd, &count, sizeof(count)) < 0 && errno == EINTR)
            ;
        pthread_mutex_lock(&r->lock);
        r->taken = TAKE_PTR(r->finished);
        r->finished_end = &r->finished;
        pthread_mutex_unlock(&r->lock);
    }
    struct runner_task *task = r->taken;
    if (!task)
        return NULL;
    r->taken = task->next;
    if (is_computing(task))
        computing_remove(r, task);
    return task;
}
