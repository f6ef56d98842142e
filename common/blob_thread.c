#include "blob_thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct list {
    struct blob_request *head, **tail;
};

struct blob_thread {
    struct blob_files *files; /* the thread's, while it runs */
    pthread_t thread;
    bool running;
    int fd;
    size_t put_bytes; /* the owner's */
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct list in, out;
    bool stopping;
};

static void list_init(struct list *l)
{
    l->head = NULL;
    l->tail = &l->head;
}

static void list_push(struct list *l, struct blob_request *r)
{
    r->next = NULL;
    *l->tail = r;
    l->tail = &r->next;
}

static struct blob_request *list_pop(struct list *l)
{
    struct blob_request *r = l->head;
    if (!r)
        return NULL;
    l->head = r->next;
    if (!l->head)
        l->tail = &l->head;
    return r;
}

/* ---- the thread ---- */

static void work(struct blob_files *f, struct blob_request *r)
{
    switch (r->what) {
    case BLOB_PUT:
        r->rc = blob_files_put(f, &r->name, r->offset, r->total, r->data, &r->put, &r->error);
        break;
    case BLOB_READ:
        r->rc = blob_files_read(f, &r->name, r->offset, r->max, &r->out, &r->total, &r->error);
        break;
    case BLOB_VERIFY:
        r->rc = blob_files_verify(f, &r->name, &r->total, &r->error);
        break;
    case BLOB_REMOVE:
        r->rc = blob_files_remove(f, &r->name, &r->error);
        break;
    }
}

static void *thread_main(void *arg)
{
    struct blob_thread *t = arg;
    const uint64_t one = 1;
    pthread_mutex_lock(&t->lock);
    while (!t->stopping) {
        struct blob_request *r = list_pop(&t->in);
        if (!r) {
            pthread_cond_wait(&t->work, &t->lock);
            continue;
        }
        pthread_mutex_unlock(&t->lock);
        work(t->files, r);
        pthread_mutex_lock(&t->lock);
        list_push(&t->out, r);
        while (write(t->fd, &one, sizeof(one)) < 0 && errno == EINTR)
            ;
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

/* ---- the owner's side ---- */

/* It takes no signals: those are the owner's. */
static int start(struct blob_thread *t)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&t->thread, NULL, thread_main, t);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    t->running = rc == 0;
    return rc;
}

int blob_thread_new(struct blob_files *files_take, struct blob_thread **ret, struct error *e)
{
    struct blob_thread *t = calloc(1, sizeof(*t));
    if (!t) {
        blob_files_close(files_take);
        return error_set(e, ERR_NOMEM, "no memory for the thread of the blobs");
    }
    t->files = files_take;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->work, NULL);
    list_init(&t->in);
    list_init(&t->out);
    t->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int os = t->fd < 0 ? errno : start(t);
    if (os) {
        blob_thread_free(t, NULL);
        return error_set(e, ERR_IO, "the thread of the blobs cannot be started: %s", strerror(os));
    }
    *ret = t;
    return ERR_OK;
}

void blob_thread_free(struct blob_thread *t, void *user)
{
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    t->stopping = true;
    pthread_cond_signal(&t->work);
    pthread_mutex_unlock(&t->lock);
    if (t->running)
        pthread_join(t->thread, NULL);
    for (struct blob_request *r; (r = list_pop(&t->in));) {
        r->rc = error_set(&r->error, ERR_UNAVAILABLE, "the program is stopping");
        list_push(&t->out, r);
    }
    if (t->fd >= 0) {
        blob_thread_poll(t, user);
        close(t->fd);
    }
    pthread_cond_destroy(&t->work);
    pthread_mutex_destroy(&t->lock);
    blob_files_close(t->files);
    free(t);
}

int blob_thread_fd(const struct blob_thread *t)
{
    return t->fd;
}

size_t blob_thread_bytes(const struct blob_thread *t)
{
    return t->put_bytes;
}

void blob_thread_submit(struct blob_thread *t, struct blob_request *r)
{
    r->rc = ERR_OK;
    r->error = (struct error){0};
    r->put = (struct blob_put){0};
    t->put_bytes += r->what == BLOB_PUT ? r->data.len : 0;
    pthread_mutex_lock(&t->lock);
    list_push(&t->in, r);
    pthread_cond_signal(&t->work);
    pthread_mutex_unlock(&t->lock);
}

void blob_thread_poll(struct blob_thread *t, void *user)
{
    uint64_t count;
    struct list done;
    list_init(&done);
    while (read(t->fd, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
    pthread_mutex_lock(&t->lock);
    for (struct blob_request *r; (r = list_pop(&t->out));)
        list_push(&done, r);
    pthread_mutex_unlock(&t->lock);
    for (struct blob_request *r; (r = list_pop(&done));) {
        t->put_bytes -= r->what == BLOB_PUT ? r->data.len : 0;
        r->done(r, user);
    }
}
