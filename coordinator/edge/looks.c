#include "looks.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/blob_files.h"
#include "coordinator/edge/blobs.h"

struct looks {
    struct blobs *blobs;
    struct blob_files *files;
    struct pool *pool;
    size_t n; /* that are not back */
    atomic_bool stopping;
    int fd;
    pthread_mutex_t lock; /* of what follows */
    struct look *back, **end;
};

/* ---- on the thread ---- */

int looks_map(struct looks *l, const struct blob_name *name, struct span *ret, struct error *e)
{
    struct stat st;
    int fd = -1;
    int rc = blob_files_fd(l->files, name, &fd, e);
    if (rc)
        return rc;
    if (fstat(fd, &st) != 0)
        rc = error_set(e, ERR_IO, "a blob cannot be read: %s", strerror(errno));
    else
        rc = blob_files_map(fd, (uint64_t)st.st_size, ret, e);
    close(fd);
    return rc;
}

static void run(struct pool_job *job)
{
    struct look *one = CONTAINER_OF(job, struct look, job);
    struct looks *l = one->owner;
    const uint64_t count = 1;
    one->rc = atomic_load(&l->stopping)
                  ? error_set(&one->error, ERR_UNAVAILABLE, "the coordinator is stopping")
                  : one->run(one, &one->error);
    one->next = NULL;
    pthread_mutex_lock(&l->lock);
    *l->end = one;
    l->end = &one->next;
    pthread_mutex_unlock(&l->lock);
    while (write(l->fd, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
}

/* ---- the loop's side ---- */

int looks_new(const char *data_dir, struct blobs *blobs, struct looks **ret, struct error *e)
{
    char folder[4096];
    struct looks *l = calloc(1, sizeof(*l));
    if (!l)
        return error_set(e, ERR_NOMEM, "no memory for the thread of the models");
    l->blobs = blobs;
    atomic_init(&l->stopping, false);
    pthread_mutex_init(&l->lock, NULL);
    l->end = &l->back;
    l->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = l->fd >= 0 ? ERR_OK : error_set(e, ERR_IO, "eventfd: %s", strerror(errno));
    if (rc == ERR_OK &&
        (size_t)snprintf(folder, sizeof(folder), "%s/blobs", data_dir) >= sizeof(folder))
        rc = error_set(e, ERR_CONFIG, "data_dir: the path is too long");
    if (rc == ERR_OK)
        rc = blob_files_find(folder, &l->files, e);
    if (rc == ERR_OK && !(l->pool = pool_new(1)))
        rc = error_set(e, ERR_NOMEM, "no memory for the thread of the models");
    if (rc)
        looks_free(l);
    else
        *ret = l;
    return rc;
}

void looks_stop(struct looks *l)
{
    atomic_store(&l->stopping, true);
}

void looks_free(struct looks *l)
{
    if (!l)
        return;
    looks_stop(l);
    pool_free(l->pool);
    if (l->fd >= 0) {
        looks_poll(l);
        close(l->fd);
    }
    blob_files_close(l->files);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

int looks_fd(const struct looks *l)
{
    return l->fd;
}

static void release(struct looks *l, const struct look *one, size_t n)
{
    for (size_t i = 0; i < n; i++)
        blobs_release(l->blobs, &one->blobs[i]);
}

int looks_submit(struct looks *l, struct look *one, struct error *e)
{
    size_t held = 0;
    int rc = ERR_OK;
    if (l->n >= LOOKS_MAX)
        return error_set(e, ERR_QUEUE_FULL, "%d models wait to be looked at; try again",
                         (int)LOOKS_MAX);
    while (held < one->n_blobs && (rc = blobs_hold(l->blobs, &one->blobs[held], e)) == ERR_OK)
        held++;
    one->owner = l;
    one->job.run = run;
    if (rc == ERR_OK)
        rc = pool_add(l->pool, &one->job, e);
    if (rc)
        release(l, one, held);
    else
        l->n++;
    return rc;
}

void looks_poll(struct looks *l)
{
    uint64_t count;
    while (read(l->fd, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
    pthread_mutex_lock(&l->lock);
    struct look *list = TAKE_PTR(l->back);
    l->end = &l->back;
    pthread_mutex_unlock(&l->lock);
    while (list) {
        struct look *one = list;
        list = one->next;
        l->n--;
        release(l, one, one->n_blobs);
        one->done(one);
    }
}
