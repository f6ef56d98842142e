#include "model_check.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/blob_files.h"

struct model_checker {
    struct blob_files *files;
    struct pool *pool;
    int fd;
    pthread_mutex_t lock; /* of what follows */
    struct model_check *back, **end;
};

/* ---- on the pool's thread ---- */

static void unmap(struct span *file)
{
    blob_files_unmap(*file);
}

static int map_blob(struct blob_files *files, const struct blob_name *name, struct span *ret,
                    struct error *e)
{
    struct stat st;
    int fd = -1;
    int rc = blob_files_fd(files, name, &fd, e);
    if (rc)
        return rc;
    if (fstat(fd, &st) != 0)
        rc = error_set(e, ERR_IO, "a blob cannot be read: %s", strerror(errno));
    else
        rc = blob_files_map(fd, (uint64_t)st.st_size, ret, e);
    close(fd);
    return rc;
}

static int prove(struct model_check *c, struct score_model *m)
{
    CLEANUP(unmap) struct span sample = {"", 0};
    int rc = map_blob(c->owner->files, &c->sample, &sample, &c->error);
    return rc ? rc : score_verify(m, sample, c->tolerance, &c->error);
}

static int look(struct model_check *c)
{
    CLEANUP(unmap) struct span file = {"", 0};
    const struct score_options options = {.kernel = c->explain ? NULL : "walk"};
    struct score_model *m = NULL;
    int rc = map_blob(c->owner->files, &c->model, &file, &c->error);
    if (rc == ERR_OK)
        rc = score_load(file, &options, &m, &c->error);
    if (rc)
        return rc;
    if (c->has_sample)
        rc = prove(c, m);
    if (rc == ERR_OK && c->explain)
        score_explain(m, &c->text);
    else if (rc == ERR_OK)
        rc = model_info_new(m, c->names, c->n_names, &c->info, &c->error);
    score_unref(m);
    return rc;
}

static void run(struct pool_job *job)
{
    struct model_check *c = CONTAINER_OF(job, struct model_check, job);
    struct model_checker *m = c->owner;
    const uint64_t one = 1;
    c->rc = look(c);
    c->next = NULL;
    pthread_mutex_lock(&m->lock);
    *m->end = c;
    m->end = &c->next;
    pthread_mutex_unlock(&m->lock);
    while (write(m->fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

/* ---- the loop's side ---- */

int model_checker_new(const char *data_dir, struct model_checker **ret, struct error *e)
{
    char folder[4096];
    struct model_checker *m = calloc(1, sizeof(*m));
    if (!m)
        return error_set(e, ERR_NOMEM, "no memory for the thread of the models");
    pthread_mutex_init(&m->lock, NULL);
    m->end = &m->back;
    m->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = m->fd >= 0 ? ERR_OK : error_set(e, ERR_IO, "eventfd: %s", strerror(errno));
    if (rc == ERR_OK &&
        (size_t)snprintf(folder, sizeof(folder), "%s/blobs", data_dir) >= sizeof(folder))
        rc = error_set(e, ERR_CONFIG, "data_dir: the path is too long");
    if (rc == ERR_OK)
        rc = blob_files_find(folder, &m->files, e);
    if (rc == ERR_OK && !(m->pool = pool_new(1)))
        rc = error_set(e, ERR_NOMEM, "no memory for the thread of the models");
    if (rc)
        model_checker_free(m);
    else
        *ret = m;
    return rc;
}

void model_checker_free(struct model_checker *m)
{
    if (!m)
        return;
    pool_free(m->pool);
    if (m->fd >= 0) {
        model_checker_poll(m);
        close(m->fd);
    }
    blob_files_close(m->files);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

int model_checker_fd(const struct model_checker *m)
{
    return m->fd;
}

int model_checker_submit(struct model_checker *m, struct model_check *c, struct error *e)
{
    c->owner = m;
    c->job.run = run;
    return pool_add(m->pool, &c->job, e);
}

void model_checker_poll(struct model_checker *m)
{
    uint64_t count;
    while (read(m->fd, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
    pthread_mutex_lock(&m->lock);
    struct model_check *list = TAKE_PTR(m->back);
    m->end = &m->back;
    pthread_mutex_unlock(&m->lock);
    while (list) {
        struct model_check *c = list;
        list = c->next;
        c->done(c);
    }
}
