#include "store_thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct list {
    struct store_request *head, **tail;
};

struct store_thread {
    struct store *store; /* the store thread's while it runs */
    pthread_t thread;
    bool running;
    int fd;
    size_t queue_max_bytes;
    atomic_size_t queued_bytes;

    pthread_mutex_t lock; /* of all below */
    pthread_cond_t work;
    struct list in, out;
    bool waiting; /* the thread sleeps on `work` */
    bool stopping;
    struct error failed;
    struct store_thread_stats stats;
};

/* What the store thread keeps of the open transaction. */
struct group {
    struct list requests; /* executed, to be delivered after the commit */
    size_t n;
    bool open;
    uint64_t since_us;
};

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- lists ---- */

static void list_init(struct list *l)
{
    l->head = NULL;
    l->tail = &l->head;
}

static void list_push(struct list *l, struct store_request *r)
{
    r->next = NULL;
    *l->tail = r;
    l->tail = &r->next;
}

static struct store_request *list_pop(struct list *l)
{
    struct store_request *r = l->head;
    l->head = r->next;
    if (!l->head)
        l->tail = &l->head;
    return r;
}

static void list_move(struct list *to, struct list *from)
{
    if (!from->head)
        return;
    *to->tail = from->head;
    to->tail = from->tail;
    list_init(from);
}

/* ---- the store thread ---- */

static void wake(const struct store_thread *t)
{
    uint64_t one = 1;
    while (write(t->fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

static void deliver(struct store_thread *t, struct list *requests)
{
    if (!requests->head)
        return;
    pthread_mutex_lock(&t->lock);
    bool first = !t->out.head;
    list_move(&t->out, requests);
    pthread_mutex_unlock(&t->lock);
    if (first)
        wake(t);
}

static void note_failure(struct store_thread *t, const struct error *e)
{
    if (e->code != ERR_STORE)
        return;
    pthread_mutex_lock(&t->lock);
    if (!t->failed.code)
        t->failed = *e;
    pthread_mutex_unlock(&t->lock);
}

static void note_commit(struct store_thread *t, uint64_t us, size_t ops)
{
    size_t bucket = 0;
    while (bucket + 1 < ARRAY_LEN(t->stats.commit_buckets) && us > (UINT64_C(100) << bucket))
        bucket++;
    pthread_mutex_lock(&t->lock);
    t->stats.commits++;
    t->stats.ops += ops;
    t->stats.commit_seconds += (double)us / 1e6;
    t->stats.commit_buckets[bucket]++;
    pthread_mutex_unlock(&t->lock);
}

static void run(struct store_thread *t, struct store_request *r)
{
    r->error.code = ERR_OK;
    r->rc = r->run(t->store, r);
    if (r->rc == ERR_STORE)
        note_failure(t, &r->error);
}

/* The group's commit failed: its writes did not happen, and its reads may have seen them. */
static void fail_group(struct store_thread *t, struct group *g, const struct error *e)
{
    for (struct store_request *r = g->requests.head; r; r = r->next) {
        if (r->write) {
            r->rc = (int)e->code;
            r->error = *e;
        } else {
            arena_clear(&r->arena);
            run(t, r);
        }
    }
}

static void group_commit(struct store_thread *t, struct group *g)
{
    if (g->open) {
        struct error e = {0};
        uint64_t start = now_us();
        int rc = store_commit(t->store, &e);
        g->open = false;
        if (rc == 0) {
            note_commit(t, now_us() - start, g->n);
        } else {
            e.code = (enum err)rc;
            note_failure(t, &e);
            fail_group(t, g, &e);
        }
    }
    g->n = 0;
    deliver(t, &g->requests);
}

/* Executes one request; writes open the group. */
static void execute(struct store_thread *t, struct group *g, struct store_request *r)
{
    if (r->write && !g->open) {
        r->rc = store_begin(t->store, &r->error);
        if (r->rc) {
            note_failure(t, &r->error);
            list_push(&g->requests, r);
            return;
        }
        g->open = true;
        g->since_us = now_us();
    }
    run(t, r);
    list_push(&g->requests, r);
    g->n += r->write;
}

static bool group_full(const struct group *g)
{
    return g->open && (g->n >= STORE_GROUP_OPS || now_us() - g->since_us >= STORE_GROUP_MS * 1000);
}

/* Takes all that is queued. Without `block` an empty queue gives an empty list; with it, the
 * end. */
static bool take(struct store_thread *t, struct list *ret, bool block)
{
    pthread_mutex_lock(&t->lock);
    while (block && !t->in.head && !t->stopping) {
        t->waiting = true;
        pthread_cond_wait(&t->work, &t->lock);
    }
    t->waiting = false;
    list_move(ret, &t->in);
    pthread_mutex_unlock(&t->lock);
    return ret->head != NULL;
}

static void *thread_main(void *arg)
{
    struct store_thread *t = arg;
    struct group g = {0};
    struct list todo;
    list_init(&g.requests);
    list_init(&todo);
    while (take(t, &todo, true)) {
        /* As long as more arrives while we work, it joins the group. */
        do {
            execute(t, &g, list_pop(&todo));
            if (!g.open || group_full(&g))
                group_commit(t, &g);
        } while (todo.head || take(t, &todo, false));
        group_commit(t, &g);
    }
    return NULL;
}

/* ---- the loop's side ---- */

static void store_thread_destroy(struct store_thread **t)
{
    if (!*t)
        return;
    if ((*t)->fd >= 0)
        close((*t)->fd);
    pthread_cond_destroy(&(*t)->work);
    pthread_mutex_destroy(&(*t)->lock);
    free(*t);
}

/* The thread takes no signals: those are the loop's. */
static int start(struct store_thread *t)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&t->thread, NULL, thread_main, t);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc;
}

int store_thread_new(struct store *store_take, size_t queue_max_bytes, struct store_thread **ret,
                     struct error *e)
{
    CLEANUP(store_thread_destroy) struct store_thread *t = calloc(1, sizeof *t);
    if (!t)
        return error_set(e, ERR_NOMEM, "no memory for the store's thread");
    t->store = store_take;
    t->queue_max_bytes = queue_max_bytes;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->work, NULL);
    list_init(&t->in);
    list_init(&t->out);
    t->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (t->fd < 0)
        return error_set(e, ERR_IO, "eventfd: %s", strerror(errno));
    int rc = start(t);
    if (rc)
        return error_set(e, ERR_IO, "the store's thread cannot be started: %s", strerror(rc));
    t->running = true;
    *ret = TAKE_PTR(t);
    return 0;
}

void store_thread_stop(struct store_thread *t)
{
    if (!t || !t->running)
        return;
    pthread_mutex_lock(&t->lock);
    t->stopping = true;
    pthread_cond_signal(&t->work);
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->thread, NULL);
    t->running = false;
    store_close(TAKE_PTR(t->store));
}

void store_thread_free(struct store_thread *t)
{
    store_thread_stop(t);
    store_thread_destroy(&t);
}

int store_thread_fd(const struct store_thread *t)
{
    return t->fd;
}

void store_thread_submit(struct store_thread *t, struct store_request *r)
{
    atomic_fetch_add_explicit(&t->queued_bytes, r->bytes, memory_order_relaxed);
    r->rc = 0;
    r->error = (struct error){0};
    pthread_mutex_lock(&t->lock);
    assert(!t->stopping);
    list_push(&t->in, r);
    bool asleep = t->waiting;
    t->waiting = false; /* one signal is enough */
    pthread_mutex_unlock(&t->lock);
    if (asleep)
        pthread_cond_signal(&t->work);
}

void store_thread_poll(struct store_thread *t, void *user)
{
    uint64_t count;
    struct list done;
    list_init(&done);
    while (read(t->fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
    pthread_mutex_lock(&t->lock);
    list_move(&done, &t->out);
    pthread_mutex_unlock(&t->lock);
    while (done.head) {
        struct store_request *r = list_pop(&done);
        atomic_fetch_sub_explicit(&t->queued_bytes, r->bytes, memory_order_relaxed);
        r->done(r, user);
    }
}

bool store_thread_full(const struct store_thread *t)
{
    return atomic_load_explicit(&t->queued_bytes, memory_order_relaxed) >= t->queue_max_bytes;
}

/* Both only look, but have to lock what the other thread writes. */
static struct store_thread *unconst(const struct store_thread *t)
{
    return (struct store_thread *)(uintptr_t)t;
}

bool store_thread_failed(const struct store_thread *t, struct error *ret)
{
    struct store_thread *mine = unconst(t);
    pthread_mutex_lock(&mine->lock);
    struct error failed = mine->failed;
    pthread_mutex_unlock(&mine->lock);
    if (failed.code && ret)
        *ret = failed;
    return failed.code != ERR_OK;
}

void store_thread_stats(const struct store_thread *t, struct store_thread_stats *ret)
{
    struct store_thread *mine = unconst(t);
    pthread_mutex_lock(&mine->lock);
    *ret = mine->stats;
    pthread_mutex_unlock(&mine->lock);
    ret->queued_bytes = atomic_load_explicit(&t->queued_bytes, memory_order_relaxed);
}
