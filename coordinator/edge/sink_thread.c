#include "sink_thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

enum {
    CONNECTION_IDLE_MS = 30 * 1000,
    END_MS = 5000, /* of one try at a job's end */
    PAUSE_MIN_MS = 1000,
    PAUSE_MAX_MS = 60 * 1000,
    STOP_MS = 1000 /* for ends that wait when the coordinator stops */
};

struct list {
    struct sink_request *head, **tail;
    size_t n;
};

/* One sink's thread and what waits for it. */
struct lane {
    struct sink_thread *owner;
    const struct sinks_entry *sink;
    pthread_t thread;
    bool running;
    pthread_cond_t work;
    struct list questions, ends; /* under the owner's lock */
    /* the lane's own */
    struct sink_conn *conn; /* NULL: none */
    uint64_t used_ms;       /* when it was */
    uint64_t ends_ms;       /* ends wait until then, after a failure */
    uint32_t pause_ms;      /* the last one; 0: the last end went well */
};

struct sink_thread {
    const struct sinks *sinks;
    struct lane *lanes; /* one for each sink */
    int fd;
    pthread_mutex_t lock;
    struct list out;
    bool stopping;
    uint64_t stop_ms; /* with stopping: ends are tried until then */
};

static void list_init(struct list *l)
{
    l->head = NULL;
    l->tail = &l->head;
    l->n = 0;
}

static void list_push(struct list *l, struct sink_request *r)
{
    r->next = NULL;
    *l->tail = r;
    l->tail = &r->next;
    l->n++;
}

static struct sink_request *list_pop(struct list *l)
{
    struct sink_request *r = l->head;
    if (!r)
        return NULL;
    l->head = r->next;
    if (!l->head)
        l->tail = &l->head;
    l->n--;
    return r;
}

/* Back to its place: it is tried again before the others. */
static void list_unpop(struct list *l, struct sink_request *r)
{
    r->next = l->head;
    if (!l->head)
        l->tail = &r->next;
    l->head = r;
    l->n++;
}

/* ---- a lane: asking ---- */

static void lane_close(struct lane *l)
{
    if (l->conn)
        l->sink->kind->close(l->conn);
    l->conn = NULL;
}

static uint32_t left_ms(uint64_t until_ms)
{
    uint64_t now = clock_ms();
    return now < until_ms ? (uint32_t)MIN(until_ms - now, (uint64_t)SINK_ANSWER_MS) : 0;
}

static int lane_open(struct lane *l, uint64_t until_ms, struct error *e)
{
    uint32_t ms = left_ms(until_ms);
    if (l->conn)
        return 0;
    if (ms == 0)
        return error_set(e, ERR_UNAVAILABLE, "no answer in %d s", SINK_ANSWER_MS / 1000);
    return l->sink->kind->open(&l->sink->settings, ms, &l->conn, e);
}

static int call(struct lane *l, struct sink_request *r, uint64_t until_ms)
{
    const struct sink_kind *kind = l->sink->kind;
    uint32_t ms = left_ms(until_ms);
    if (r->ask == SINK_CHECK)
        return 0; /* it could be opened */
    if (ms == 0)
        return error_set(&r->error, ERR_UNAVAILABLE, "no answer in %d s", SINK_ANSWER_MS / 1000);
    if (r->ask == SINK_FITS)
        return kind->fits(l->conn, r->target, r->columns, ms, &r->error);
    return kind->job_end(l->conn, r->target, r->uid, r->generation, r->fenced, r->state, ms,
                         &r->error);
}

/* A kept connection may have died since: then once more on a new one. */
static void ask(struct lane *l, struct sink_request *r, uint64_t until_ms)
{
    uint64_t from_ms = clock_ms();
    bool kept = l->conn && from_ms - l->used_ms < CONNECTION_IDLE_MS && r->ask != SINK_CHECK;
    if (!kept)
        lane_close(l);
    for (int again = kept; again >= 0; again--) {
        r->error = (struct error){0};
        r->rc = lane_open(l, until_ms, &r->error);
        if (r->rc == 0)
            r->rc = call(l, r, until_ms);
        if (r->rc != ERR_UNAVAILABLE)
            break;
        lane_close(l);
    }
    l->used_ms = clock_ms();
    r->took_ms = (uint32_t)(l->used_ms - from_ms);
}

/* ---- a lane: what is next ---- */

static void wake(const struct sink_thread *t)
{
    uint64_t one = 1;
    while (write(t->fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

static void wait_until(struct lane *l, uint64_t until_ms)
{
    struct timespec at = {.tv_sec = (time_t)(until_ms / 1000),
                          .tv_nsec = (long)(until_ms % 1000) * 1000000};
    if (until_ms == UINT64_MAX)
        pthread_cond_wait(&l->work, &l->owner->lock);
    else
        pthread_cond_timedwait(&l->work, &l->owner->lock, &at);
}

/* The next request, with the lock held; NULL: the lane is to end. */
static struct sink_request *next(struct lane *l)
{
    struct sink_thread *t = l->owner;
    while (true) {
        uint64_t now = clock_ms();
        struct sink_request *r = list_pop(&l->questions);
        if (!r && t->stopping && (now >= t->stop_ms || l->pause_ms))
            return NULL;
        if (!r && now >= l->ends_ms)
            r = list_pop(&l->ends);
        if (r || t->stopping)
            return r;
        uint64_t until_ms = l->ends.n ? l->ends_ms : UINT64_MAX;
        if (l->conn) {
            uint64_t idle_ms = l->used_ms + CONNECTION_IDLE_MS;
            if (now >= idle_ms) {
                pthread_mutex_unlock(&t->lock);
                lane_close(l);
                pthread_mutex_lock(&t->lock);
                continue;
            }
            until_ms = MIN(until_ms, idle_ms);
        }
        wait_until(l, until_ms);
    }
}

/* Whether the end of a job goes back to be tried again. */
static bool end_again(struct lane *l, const struct sink_request *r)
{
    if (r->ask != SINK_JOB_END || r->rc != ERR_UNAVAILABLE) {
        if (r->ask == SINK_JOB_END)
            l->pause_ms = 0;
        return false;
    }
    l->pause_ms = l->pause_ms ? MIN(l->pause_ms * 2, (uint32_t)PAUSE_MAX_MS) : PAUSE_MIN_MS;
    l->ends_ms = clock_ms() + l->pause_ms;
    return true;
}

static void *lane_main(void *arg)
{
    struct lane *l = arg;
    struct sink_thread *t = l->owner;
    pthread_mutex_lock(&t->lock);
    for (struct sink_request *r; (r = next(l));) {
        pthread_mutex_unlock(&t->lock);
        ask(l, r, r->ask == SINK_JOB_END ? clock_ms() + END_MS : r->until_ms);
        pthread_mutex_lock(&t->lock);
        if (end_again(l, r)) {
            list_unpop(&l->ends, r);
            continue;
        }
        list_push(&t->out, r);
        wake(t);
    }
    pthread_mutex_unlock(&t->lock);
    lane_close(l);
    return NULL;
}

/* ---- the loop's side ---- */

/* Lanes wait by the monotonic clock; they take no signals: those are the loop's. */
static int lane_start(struct lane *l)
{
    sigset_t all, old;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&l->work, &attributes);
    pthread_condattr_destroy(&attributes);
    list_init(&l->questions);
    list_init(&l->ends);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&l->thread, NULL, lane_main, l);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    l->running = rc == 0;
    return rc;
}

int sink_thread_new(const struct sinks *sinks, struct sink_thread **ret, struct error *e)
{
    struct sink_thread *t = calloc(1, sizeof(*t));
    struct lane *lanes = calloc(MAX(sinks->n, (size_t)1), sizeof(*lanes));
    if (!t || !lanes) {
        free(t);
        free(lanes);
        return error_set(e, ERR_NOMEM, "no memory for the threads of the sinks");
    }
    t->sinks = sinks;
    t->lanes = lanes;
    pthread_mutex_init(&t->lock, NULL);
    list_init(&t->out);
    int rc = 0;
    t->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (t->fd < 0)
        rc = error_set(e, ERR_IO, "eventfd: %s", strerror(errno));
    for (size_t i = 0; i < sinks->n && rc == 0; i++) {
        lanes[i].owner = t;
        lanes[i].sink = &sinks->entries[i];
        int failed = lane_start(&lanes[i]);
        if (failed)
            rc = error_set(e, ERR_IO, "the thread of a sink cannot be started: %s",
                           strerror(failed));
    }
    if (rc)
        sink_thread_free(t, NULL);
    else
        *ret = t;
    return rc;
}

static void drain(struct sink_thread *t, struct list *from)
{
    for (struct sink_request *r; (r = list_pop(from));) {
        r->rc = error_set(&r->error, ERR_UNAVAILABLE, "the coordinator is stopping");
        list_push(&t->out, r);
    }
}

void sink_thread_free(struct sink_thread *t, void *user)
{
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    t->stopping = true;
    t->stop_ms = clock_ms() + STOP_MS;
    for (size_t i = 0; i < t->sinks->n; i++)
        if (t->lanes[i].running)
            pthread_cond_signal(&t->lanes[i].work);
    pthread_mutex_unlock(&t->lock);
    for (size_t i = 0; i < t->sinks->n; i++) {
        struct lane *l = &t->lanes[i];
        if (!l->running)
            continue;
        pthread_join(l->thread, NULL);
        drain(t, &l->questions);
        drain(t, &l->ends);
        pthread_cond_destroy(&l->work);
    }
    sink_thread_poll(t, user);
    if (t->fd >= 0)
        close(t->fd);
    pthread_mutex_destroy(&t->lock);
    free(t->lanes);
    free(t);
}

int sink_thread_fd(const struct sink_thread *t)
{
    return t->fd;
}

/* When too many wait, the oldest comes back at once. */
static void place(struct sink_thread *t, struct lane *l, struct sink_request *r)
{
    struct list *list = r->ask == SINK_JOB_END ? &l->ends : &l->questions;
    list_push(list, r);
    if (list->n <= (size_t)(r->ask == SINK_JOB_END ? SINK_ENDS_MAX : SINK_QUESTIONS_MAX))
        return;
    struct sink_request *old = list_pop(list);
    old->rc = error_set(&old->error, ERR_QUEUE_FULL, "too many requests wait for this sink");
    list_push(&t->out, old);
    wake(t);
}

void sink_thread_submit(struct sink_thread *t, struct sink_request *r)
{
    assert(r->sink < t->sinks->n);
    struct lane *l = &t->lanes[r->sink];
    r->rc = 0;
    r->error = (struct error){0};
    r->until_ms = clock_ms() + SINK_ANSWER_MS;
    pthread_mutex_lock(&t->lock);
    assert(!t->stopping);
    place(t, l, r);
    pthread_mutex_unlock(&t->lock);
    pthread_cond_signal(&l->work);
}

void sink_thread_poll(struct sink_thread *t, void *user)
{
    uint64_t count;
    struct list done;
    list_init(&done);
    while (read(t->fd, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
    pthread_mutex_lock(&t->lock);
    for (struct sink_request *r; (r = list_pop(&t->out));)
        list_push(&done, r);
    pthread_mutex_unlock(&t->lock);
    for (struct sink_request *r; (r = list_pop(&done));)
        r->done(r, user);
}
