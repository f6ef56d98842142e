#include "pool.h"

#include <pthread.h>

struct pool {
    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t more;
    struct pool_job *first, **end;
    size_t n_waiting, n_idle;
    bool stopped;
    size_t n_threads, max;
    pthread_t threads[];
};

struct pool *pool_new(size_t threads)
{
    assert(threads > 0);
    struct pool *p = calloc(1, sizeof(*p) + threads * sizeof(p->threads[0]));
    if (!p)
        return NULL;
    p->max = threads;
    p->end = &p->first;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->more, NULL);
    return p;
}

static struct pool_job *take(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    p->n_idle++;
    while (!p->first && !p->stopped)
        pthread_cond_wait(&p->more, &p->lock);
    p->n_idle--;
    struct pool_job *job = p->first;
    if (job) {
        p->first = job->next;
        if (!p->first)
            p->end = &p->first;
        p->n_waiting--;
    }
    pthread_mutex_unlock(&p->lock);
    return job;
}

static void *pool_main(void *arg)
{
    struct pool_job *job;
    while ((job = take(arg)))
        job->run(job);
    return NULL;
}

int pool_add(struct pool *p, struct pool_job *job, struct error *e)
{
    int err = 0;
    pthread_mutex_lock(&p->lock);
    if (p->n_waiting >= p->n_idle && p->n_threads < p->max) {
        err = pthread_create(&p->threads[p->n_threads], NULL, pool_main, p);
        p->n_threads += err == 0;
    }
    const bool taken = p->n_threads > 0;
    if (taken) {
        job->next = NULL;
        *p->end = job;
        p->end = &job->next;
        p->n_waiting++;
        pthread_cond_signal(&p->more);
    }
    pthread_mutex_unlock(&p->lock);
    return taken ? ERR_OK
                 : error_set(e, ERR_UNAVAILABLE, "cannot start a thread: %s", strerror(err));
}

void pool_free(struct pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stopped = true;
    pthread_cond_broadcast(&p->more);
    pthread_mutex_unlock(&p->lock);
    for (size_t i = 0; i < p->n_threads; i++)
        pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->more);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
