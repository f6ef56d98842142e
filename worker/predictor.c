#include "predictor.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "worker/models.h"
#include "worker/pool.h"

enum { ANSWER_BYTES_MAX = WIRE_MESSAGE_MAX - 4096 };

struct prediction {
    struct pool_job job;
    struct prediction *next;
    struct predictor *owner;
    uint64_t id, session, until_ms;
    struct models_ref ref;
    struct cache_need *need; /* NULL: the model is loaded */
    struct buf packed;       /* the rows; empty: only load the model */
    int code;
    struct error error;
    struct buf answer;
};

struct list {
    struct prediction *first, **end;
};

/* What one thread works with, kept for the next prediction. */
struct desk {
    struct desk *next;
    struct score_model *model; /* that the stage belongs to */
    struct score_stage *stage;
    struct batch *in, *out; /* in: the last rows, with the columns that the stage was made for */
    struct score_scratch scratch;
};

struct predictor {
    struct cache *cache;
    struct pool *pool;
    int fd;
    uint64_t session;
    size_t n;
    struct list waiting, answered;
    struct prediction *told; /* whose answer was given out last */
    pthread_mutex_t lock;    /* of what follows */
    struct list done;
    struct desk *desks; /* that nobody uses */
};

static void list_init(struct list *l)
{
    l->first = NULL;
    l->end = &l->first;
}

static void list_add(struct list *l, struct prediction *x)
{
    x->next = NULL;
    *l->end = x;
    l->end = &x->next;
}

static struct prediction *list_take(struct list *l)
{
    struct prediction *x = l->first;
    if (x && !(l->first = x->next))
        l->end = &l->first;
    return x;
}

/* ---- on a thread of the pool ---- */

static struct desk *desk_take(struct predictor *p)
{
    pthread_mutex_lock(&p->lock);
    struct desk *d = p->desks;
    if (d)
        p->desks = d->next;
    pthread_mutex_unlock(&p->lock);
    if (!d && (d = calloc(1, sizeof(*d))))
        score_scratch_init(&d->scratch);
    return d;
}

static void desk_give(struct predictor *p, struct desk *d)
{
    pthread_mutex_lock(&p->lock);
    d->next = p->desks;
    p->desks = d;
    pthread_mutex_unlock(&p->lock);
}

static void desk_clear(struct desk *d)
{
    score_stage_free(TAKE_PTR(d->stage));
    score_unref(TAKE_PTR(d->model));
    batch_free(TAKE_PTR(d->out));
    batch_free(TAKE_PTR(d->in));
}

static bool same_columns(const struct batch *a, const struct batch *b)
{
    if (a->n_columns != b->n_columns)
        return false;
    for (size_t i = 0; i < a->n_columns; i++)
        if (a->columns[i].type != b->columns[i].type ||
            strcmp(a->columns[i].name, b->columns[i].name) != 0)
            return false;
    return true;
}

/* The stage for these rows, from last time when it fits. */
static int lay_out(struct desk *d, struct score_model *model, struct batch **rows_take,
                   struct error *e)
{
    struct batch *rows = TAKE_PTR(*rows_take);
    if (d->stage && d->model == model && same_columns(d->in, rows)) {
        batch_free(d->in);
        d->in = rows;
        batch_clear(d->out);
        return ERR_OK;
    }
    desk_clear(d);
    d->in = rows;
    int rc = score_stage_compile(NULL, model, rows, &d->stage, e);
    if (rc)
        return rc;
    d->model = score_ref(model);
    d->out = score_stage_columns(d->stage);
    return d->out ? ERR_OK : error_set(e, ERR_NOMEM, "no memory for the results");
}

/* An error that is the rows' own fault keeps its code; every other one is the model's or this worker's. */
static int score(struct prediction *x, struct score_model *model, struct desk *d)
{
    struct error why = {0};
    struct batch *rows = NULL;
    int rc = batch_unpack(buf_span(&x->packed), &rows, &why);
    if (rc == ERR_OK)
        rc = lay_out(d, model, &rows, &why);
    if (rc)
        return error_set(&x->error, ERR_UNAVAILABLE, "%s", why.detail);
    rc = score_stage_run(d->stage, &d->scratch, d->in, d->out, &x->error);
    if (rc == ERR_OK)
        batch_pack(d->out, &x->answer);
    if (rc == ERR_OK && !buf_ok(&x->answer))
        rc = error_set(&x->error, ERR_LIMIT, "the results take more than %d bytes",
                       ANSWER_BYTES_MAX);
    return rc == ERR_NOMEM ? ERR_UNAVAILABLE : rc;
}

static int work(struct prediction *x)
{
    struct predictor *p = x->owner;
    struct error why = {0};
    struct score_model *model = NULL;
    if (clock_ms() >= x->until_ms)
        return error_set(&x->error, ERR_TIMEOUT, "the worker came to it after its deadline");
    int rc = models_get(&x->ref, x->need ? cache_need_set(x->need) : NULL, &model, &why);
    if (rc == ERR_NOT_FOUND && !x->need)
        return ERR_NOT_FOUND; /* it was dropped for others meanwhile: take_done gets its blobs */
    if (rc)
        return error_set(&x->error, ERR_UNAVAILABLE, "the model cannot be loaded: %.400s",
                         why.detail);
    struct desk *d = x->packed.len ? desk_take(p) : NULL;
    if (d)
        rc = score(x, model, d);
    else if (x->packed.len)
        rc = error_set(&x->error, ERR_UNAVAILABLE, "no memory for a prediction");
    if (d)
        desk_give(p, d);
    score_unref(model);
    return rc;
}

static void run(struct pool_job *job)
{
    struct prediction *x = CONTAINER_OF(job, struct prediction, job);
    struct predictor *p = x->owner;
    const uint64_t one = 1;
    x->code = work(x);
    pthread_mutex_lock(&p->lock);
    list_add(&p->done, x);
    pthread_mutex_unlock(&p->lock);
    while (write(p->fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

/* ---- the session's side ---- */

int predictor_new(struct cache *cache, struct predictor **ret, struct error *e)
{
    struct predictor *p = calloc(1, sizeof(*p));
    if (!p)
        return error_set(e, ERR_NOMEM, "no memory for predictions");
    p->cache = cache;
    list_init(&p->waiting);
    list_init(&p->answered);
    list_init(&p->done);
    pthread_mutex_init(&p->lock, NULL);
    p->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    p->pool = pool_new(PREDICTOR_THREADS);
    if (p->fd >= 0 && p->pool) {
        *ret = p;
        return ERR_OK;
    }
    predictor_free(p);
    return error_set(e, ERR_NOMEM, "no memory for predictions");
}

static void forget(struct prediction *x)
{
    if (!x)
        return;
    x->owner->n--;
    cache_need_free(x->need);
    buf_done(&x->packed);
    buf_done(&x->answer);
    free(x);
}

static void forget_list(struct list *l)
{
    for (struct prediction *x; (x = list_take(l));)
        forget(x);
}

void predictor_free(struct predictor *p)
{
    if (!p)
        return;
    pool_free(p->pool);
    forget_list(&p->waiting);
    forget_list(&p->answered);
    forget_list(&p->done);
    forget(p->told);
    for (struct desk *d; (d = p->desks);) {
        p->desks = d->next;
        desk_clear(d);
        score_scratch_done(&d->scratch);
        free(d);
    }
    if (p->fd >= 0)
        close(p->fd);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

int predictor_fd(const struct predictor *p)
{
    return p->fd;
}

bool predictor_idle(const struct predictor *p)
{
    return p->n == (p->told ? 1 : 0);
}

void predictor_session(struct predictor *p)
{
    p->session++;
    forget_list(&p->waiting);
    forget_list(&p->answered);
}

static void finish(struct prediction *x, int code)
{
    x->code = code;
    cache_need_free(TAKE_PTR(x->need));
    list_add(&x->owner->answered, x);
}

static void start(struct prediction *x)
{
    x->job.run = run;
    int rc = pool_add(x->owner->pool, &x->job, &x->error);
    if (rc)
        finish(x, ERR_UNAVAILABLE);
}

/* Waits for the blobs of its model. */
static void wait_for_blobs(struct prediction *x)
{
    const struct blob_name names[] = {x->ref.model, x->ref.sample};
    struct error why = {0};
    int rc = cache_need(x->owner->cache, names, x->ref.has_sample ? 2 : 1, &x->need, &why);
    if (rc) {
        error_set(&x->error, ERR_UNAVAILABLE, "the model cannot be had: %.400s", why.detail);
        finish(x, ERR_UNAVAILABLE);
        return;
    }
    list_add(&x->owner->waiting, x);
}

static struct prediction *read_message(struct predictor *p, const struct wire_predict *m)
{
    struct prediction *x = calloc(1, sizeof(*x));
    if (!x)
        return NULL;
    x->owner = p;
    x->id = m->id;
    x->session = p->session;
    x->until_ms = clock_ms() + m->deadline_ms;
    x->ref.has_sample = m->sample.p != NULL;
    x->ref.tolerance = m->tolerance;
    bool named = blob_name_read(m->blob, &x->ref.model) &&
                 (!x->ref.has_sample || blob_name_read(m->sample, &x->ref.sample));
    assert(named); /* the wire checked their lengths */
    buf_init(&x->packed, 0);
    buf_init(&x->answer, ANSWER_BYTES_MAX);
    buf_append(&x->packed, m->rows.p, m->rows.len);
    p->n++;
    if (buf_ok(&x->packed))
        return x;
    forget(x);
    return NULL;
}

void predictor_take(struct predictor *p, const struct wire_predict *m)
{
    struct prediction *x = read_message(p, m);
    if (!x)
        return; /* no memory even to say so: the deadline does */
    if (p->n > PREDICTOR_MAX) {
        error_set(&x->error, ERR_UNAVAILABLE, "the worker has %d predictions in hand",
                  PREDICTOR_MAX);
        finish(x, ERR_UNAVAILABLE);
    } else if (models_has(&x->ref)) {
        start(x);
    } else {
        wait_for_blobs(x);
    }
}

static void pump_waiting(struct predictor *p)
{
    struct list list;
    list_init(&list);
    for (struct prediction *x; (x = list_take(&p->waiting));)
        list_add(&list, x);
    for (struct prediction *x; (x = list_take(&list));) {
        struct error why = {0};
        enum cache_state state = cache_need_state(x->need, &why);
        if (state == CACHE_READY && cache_need_open(x->need)) {
            start(x);
        } else if (state == CACHE_FAILED) {
            error_set(&x->error, ERR_UNAVAILABLE, "the model cannot be had: %.400s", why.detail);
            finish(x, ERR_UNAVAILABLE);
        } else if (clock_ms() >= x->until_ms) {
            error_set(&x->error, ERR_TIMEOUT, "the model did not come before the deadline");
            finish(x, ERR_TIMEOUT);
        } else {
            list_add(&p->waiting, x);
        }
    }
}

void predictor_pump(struct predictor *p)
{
    uint64_t count;
    struct list done;
    pump_waiting(p);
    while (read(p->fd, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
    list_init(&done);
    pthread_mutex_lock(&p->lock);
    for (struct prediction *x; (x = list_take(&p->done));)
        list_add(&done, x);
    pthread_mutex_unlock(&p->lock);
    for (struct prediction *x; (x = list_take(&done));) {
        if (x->session != p->session)
            forget(x);
        else if (x->code == ERR_NOT_FOUND && !x->need)
            wait_for_blobs(x);
        else
            finish(x, x->code);
    }
}

bool predictor_next(struct predictor *p, struct wire_predicted *ret)
{
    forget(TAKE_PTR(p->told));
    struct prediction *x = p->told = list_take(&p->answered);
    if (!x)
        return false;
    *ret = (struct wire_predicted){
        .id = x->id,
        .code = (uint32_t)x->code,
        .detail = x->code ? span_str(x->error.detail) : (struct span){0},
        .rows = !x->code && x->answer.len ? buf_span(&x->answer) : (struct span){0},
    };
    return true;
}
