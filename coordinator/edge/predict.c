#include "predict.h"

#include <stdio.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/wire.h"
#include "coordinator/edge/edge.h"
#include "coordinator/edge/predict_batch.h"
#include "coordinator/edge/predict_breaker.h"
#include "coordinator/edge/predict_rows.h"
#include "coordinator/edge/sessions.h"

struct predict_queue {
    struct batch *rows; /* of the batch that is being filled */
    struct predict_batch *filling;
    uint64_t filling_ms; /* since when there are rows in it */
    struct predict_batches waiting, open;
    uint32_t waiting_rows, n_open;
    struct predict_breaker breaker;
};

struct predict {
    struct edge *edge;
    struct model_table *models;
    uint64_t next_id, unknown;
    uint64_t deadline_ms; /* no request is late before it */
};

/* ---- life ---- */

struct predict *predict_new(struct edge *e)
{
    struct predict *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->edge = e;
    p->deadline_ms = UINT64_MAX;
    p->models = model_table_new();
    if (p->models)
        return p;
    free(p);
    return NULL;
}

static const char no_worker[] = "no worker is ready that can predict";

static void end_list(struct predict_batches *list, int code, const char *detail)
{
    while (list->first) {
        struct predict_batch *b = list->first;
        predict_batch_unlist(list, b);
        predict_batch_fail(b, code, detail, 0);
        predict_batch_free(b);
    }
}

/* Answers everything that is asked of the model and forgets its queue. */
static void end_queue(struct predict *p, struct model *m, int code, const char *detail)
{
    struct predict_queue *q = TAKE_PTR(m->queue);
    if (!q)
        return;
    for (struct predict_batch *b = q->open.first; b; b = b->next) {
        struct session *s = sessions_get(p->edge->sessions, b->session);
        if (s)
            s->predict_open--;
    }
    end_list(&q->waiting, code, detail);
    end_list(&q->open, code, detail);
    if (q->filling) {
        predict_batch_fail(q->filling, code, detail, 0);
        predict_batch_free(q->filling);
    }
    batch_free(q->rows);
    free(q);
}

void predict_stop(struct predict *p)
{
    struct model *m;
    for (size_t i = 0; (m = model_table_at(p->models, i)); i++)
        end_queue(p, m, ERR_UNAVAILABLE, "the coordinator is stopping");
}

void predict_free(struct predict *p)
{
    if (!p)
        return;
    predict_stop(p);
    model_table_free(p->models);
    free(p);
}

struct model_table *predict_models(const struct predict *p)
{
    return p->models;
}

uint64_t predict_unknown(const struct predict *p)
{
    return p->unknown;
}

static struct predict_queue *queue_of(struct model *m)
{
    struct predict_queue *q = m->queue;
    if (!q)
        q = m->queue = calloc(1, sizeof(*q));
    if (q && !q->rows)
        q->rows = model_info_batch(m->info);
    if (q && !q->filling)
        q->filling = predict_batch_new(m);
    return q && q->rows && q->filling ? q : NULL;
}

/* ---- workers ---- */

static bool may_have(const struct worker *w)
{
    const struct session *s = w->session;
    return s && !s->broken && !s->bye && !w->draining && (w->kinds & WIRE_KIND_SCORE) != 0;
}

/* Whether the session has something of the model. */
static bool has_open(const struct predict_queue *q, const struct session *s)
{
    for (const struct predict_batch *b = q->open.first; b; b = b->next)
        if (b->session == s->id)
            return true;
    return false;
}

/* The ready one with the fewest open requests, with less than PREDICT_OPEN_MAX; not: left out, 0: none.
 * *ret_any: whether any is ready. */
static struct session *choose(const struct predict *p, uint64_t not, bool *ret_any)
{
    struct session *best = NULL;
    size_t at = 0;
    *ret_any = false;
    for (struct worker *w; (w = sessions_worker_next(p->edge->sessions, &at));) {
        if (!may_have(w) || w->session->id == not )
            continue;
        *ret_any = true;
        if (w->session->predict_open < PREDICT_OPEN_MAX &&
            (!best || w->session->predict_open < best->predict_open))
            best = w->session;
    }
    return best;
}

static void give(struct predict *p, struct predict_batch *b, struct session *s)
{
    struct edge *e = p->edge;
    struct model *m = b->model;
    uint64_t until_ms = b->n_requests ? b->until_ms : e->now_ms + PREDICT_LOAD_MS;
    b->id = ++p->next_id;
    b->session = s->id;
    sessions_message(e->sessions, s, WIRE_PREDICT);
    wire_predict_pack(&e->out,
                      &(struct wire_predict){
                          .id = b->id,
                          .blob = blob_name_span(&m->blob),
                          .sample = m->has_sample ? blob_name_span(&m->sample) : (struct span){0},
                          .tolerance = m->tolerance,
                          .deadline_ms = (uint32_t)(until_ms - MIN(until_ms, e->now_ms)),
                          .rows = b->packed.len ? buf_span(&b->packed) : (struct span){0},
                      });
    predict_batch_list(&m->queue->open, b);
    m->queue->n_open++;
    s->predict_open++;
    if (b->packed.len) {
        predict_stats_batch(&m->stats, b->n_rows);
        predict_breaker_sent(&m->queue->breaker);
    }
    sessions_send(e->sessions, s); /* a failure is told by predict_session_end, after the turn */
}

static void take_back(struct predict *p, struct predict_batch *b)
{
    struct session *s = sessions_get(p->edge->sessions, b->session);
    if (s)
        s->predict_open--;
    predict_batch_unlist(&b->model->queue->open, b);
    b->model->queue->n_open--;
}

static void wait_for_worker(struct predict_batch *b, bool front)
{
    struct predict_queue *q = b->model->queue;
    struct predict_batches *list = &q->waiting;
    q->waiting_rows += b->n_rows;
    if (!front || !list->first) {
        predict_batch_list(list, b);
        return;
    }
    b->prev = NULL;
    b->next = list->first;
    list->first->prev = b;
    list->first = b;
}

/* ---- requests ---- */

static uint64_t step_queue(struct predict *p, struct model *m);

static bool is_full(const struct predict *p, const struct predict_queue *q)
{
    return q->waiting_rows + q->rows->n_rows >= p->edge->options.predict_queue_rows;
}

int predict_open(struct predict *p, struct span name, uint64_t version, struct model **ret,
                 struct batch **ret_rows, uint32_t *ret_retry_after_ms, struct error *e)
{
    struct model *m;
    bool any;
    *ret_retry_after_ms = 0;
    int rc = model_table_need(p->models, name, version, &m, e);
    p->unknown += rc == ERR_NOT_FOUND;
    if (rc)
        return rc;
    struct predict_queue *q = queue_of(m);
    if (!q)
        return error_set(e, ERR_NOMEM, "no memory for a request");
    const struct predict_breaker *b = &q->breaker;
    if (!predict_breaker_lets(b, p->edge->now_ms)) {
        uint64_t left_ms = b->until_ms - MIN(b->until_ms, p->edge->now_ms);
        *ret_retry_after_ms = (uint32_t)MAX(left_ms, (uint64_t)1);
        predict_stats_request(&m->stats, PREDICT_UNAVAILABLE, 0, 0);
        return error_set(e, ERR_UNAVAILABLE, "the model %s fails (its breaker is open): %s",
                         m->name, b->error);
    }
    if (is_full(p, q))
        step_queue(p, m); /* what came in this turn may go to workers now */
    if (is_full(p, q)) {
        *ret_retry_after_ms = PREDICT_RETRY_AFTER_MS;
        predict_stats_request(&m->stats, PREDICT_FULL, 0, 0);
        return error_set(e, ERR_QUEUE_FULL,
                         "%u rows wait for the model %s; the limit (predict.queue_rows) is %u",
                         q->waiting_rows + q->rows->n_rows, m->name,
                         p->edge->options.predict_queue_rows);
    }
    if (!choose(p, 0, &any) && !any) {
        *ret_retry_after_ms = PREDICT_RETRY_AFTER_MS;
        predict_stats_request(&m->stats, PREDICT_UNAVAILABLE, 0, 0);
        return error_set(e, ERR_UNAVAILABLE, "%s", no_worker);
    }
    *ret = m;
    *ret_rows = q->rows;
    return ERR_OK;
}

/* The batch is as full as it may be: the next rows begin another. */
static int close_filling(struct predict *p, struct model *m, struct error *e)
{
    struct predict_queue *q = m->queue;
    struct predict_batch *b = q->filling, *next = predict_batch_new(m);
    (void)p;
    if (next)
        batch_pack(q->rows, &b->packed);
    if (!next || !buf_ok(&b->packed)) {
        if (next)
            predict_batch_free(next);
        buf_clear(&b->packed);
        return error_set(e, ERR_NOMEM, "no memory for a batch");
    }
    b->n_rows = q->rows->n_rows;
    batch_clear(q->rows);
    q->filling = next;
    wait_for_worker(b, false);
    return ERR_OK;
}

int predict_add(struct predict *p, struct model *m, struct predict_request *r, uint32_t first,
                uint64_t timeout_ms, struct error *e)
{
    struct predict_queue *q = m->queue;
    const struct edge_options *o = &p->edge->options;
    uint32_t n = q->rows->n_rows - first;
    int rc = ERR_OK;
    if (!batch_ok(q->rows))
        rc = error_set(e, ERR_NOMEM, "no memory for the rows");
    else if (n == 0)
        rc = error_set(e, ERR_INVALID_ARGUMENT, "rows: there are none");
    else if (n > PREDICT_ROWS_MAX)
        rc = error_set(e, ERR_LIMIT, "rows: %u rows; one request takes %d: submit a job for more",
                       n, PREDICT_ROWS_MAX);
    else if (first == 0 && batch_bytes(q->rows) > PREDICT_BATCH_BYTES_MAX)
        rc = error_set(e, ERR_LIMIT, "rows: they take more than %d MiB",
                       PREDICT_BATCH_BYTES_MAX >> 20);
    if (rc) {
        predict_reject(p, m, first);
        return rc;
    }
    if (first == 0)
        q->filling_ms = p->edge->now_ms;
    timeout_ms =
        timeout_ms ? MIN(timeout_ms, (uint64_t)o->predict_timeout_ms) : o->predict_timeout_ms;
    r->first = first;
    r->n_rows = n;
    r->from_us = clock_us();
    r->until_ms = p->edge->now_ms + timeout_ms;
    p->deadline_ms = MIN(p->deadline_ms, r->until_ms);
    predict_batch_join(q->filling, r);
    struct error full;
    if (q->rows->n_rows >= o->predict_batch_rows ||
        batch_bytes(q->rows) > PREDICT_BATCH_BYTES_MAX / 2)
        (void)!close_filling(p, m, &full); /* without memory it goes on being filled */
    return ERR_OK;
}

void predict_reject(struct predict *p, struct model *m, uint32_t first)
{
    struct batch *rows = m->queue->rows;
    (void)p;
    batch_rewind(rows, first); /* else the requests after one without memory had none either */
    predict_stats_request(&m->stats, PREDICT_REJECTED, 0, 0);
}

/* ---- what workers say ---- */

static struct predict_batch *find_open(const struct predict *p, const struct session *s,
                                       uint64_t id)
{
    struct model *m;
    for (size_t i = 0; (m = model_table_at(p->models, i)); i++)
        for (struct predict_batch *b = m->queue ? m->queue->open.first : NULL; b; b = b->next)
            if (b->id == id && b->session == s->id)
                return b;
    return NULL;
}

static void failed(struct predict *p, struct model *m, const char *why)
{
    if (predict_breaker_bad(&m->queue->breaker, p->edge->now_ms, why))
        LOG_WARN("the breaker of a model opens", log_str("model", m->name),
                 log_u64("version", m->version), log_str("err", why));
}

/* To another worker, once; else that is the answer. */
static void once_more(struct predict *p, struct predict_batch *b, const char *why)
{
    bool any;
    struct session *other = choose(p, b->session, &any);
    bool may = b->n_requests && !b->again && any &&
               predict_breaker_lets(&b->model->queue->breaker, p->edge->now_ms);
    b->again = true;
    if (may && other)
        return give(p, b, other);
    if (may)
        return wait_for_worker(b, true);
    predict_batch_fail(b, ERR_UNAVAILABLE, why, PREDICT_RETRY_AFTER_MS);
    predict_batch_free(b);
}

/* Every request of the batch in a batch of its own. */
static void ask_one_by_one(struct predict_batch *b)
{
    struct batch *rows = NULL;
    struct error e = {0};
    int rc = batch_unpack(buf_span(&b->packed), &rows, &e);
    while (b->requests.first) {
        struct predict_request *r = b->requests.first;
        struct predict_batch *alone = predict_batch_new(b->model);
        if (rc || !alone || predict_rows_cut(rows, r->first, r->n_rows, &alone->packed)) {
            if (alone)
                predict_batch_free(alone);
            predict_batch_answer_one(r, &(struct predict_answer){.code = ERR_UNAVAILABLE,
                                                                 .detail = "no memory for the rows",
                                                                 .model = b->model});
            continue;
        }
        predict_batch_leave(r);
        r->first = 0;
        alone->n_rows = r->n_rows;
        predict_batch_join(alone, r);
        wait_for_worker(alone, false);
    }
    batch_free(rows);
    predict_batch_free(b);
}

static void answer_rows(struct predict *p, struct predict_batch *b, const struct wire_predicted *m)
{
    struct batch *rows = NULL;
    struct error e = {0};
    int rc = m->rows.p ? batch_unpack(m->rows, &rows, &e) : ERR_OK;
    if (rc == ERR_OK && b->n_rows && (!rows || rows->n_rows != b->n_rows))
        rc =
            error_set(&e, ERR_MALFORMED, "%u rows came for %u", rows ? rows->n_rows : 0, b->n_rows);
    if (rc) {
        failed(p, b->model, e.detail);
        predict_batch_fail(b, ERR_UNAVAILABLE, "a worker's answer cannot be read",
                           PREDICT_RETRY_AFTER_MS);
    } else {
        predict_breaker_good(&b->model->queue->breaker);
        predict_batch_answer(b, &(struct predict_answer){.model = b->model, .rows = rows});
    }
    batch_free(rows);
    predict_batch_free(b);
}

void predict_answered(struct predict *p, struct session *s, const struct wire_predicted *m)
{
    char why[300];
    struct predict_batch *b = find_open(p, s, m->id);
    if (!b)
        return;
    struct model *model = b->model;
    take_back(p, b);
    if (m->code == ERR_OK) {
        answer_rows(p, b, m);
        return;
    }
    snprintf(why, sizeof(why), "%.*s", (int)MIN(m->detail.len, sizeof(why) - 1),
             m->detail.p ? m->detail.p : "");
    if (m->code == ERR_INVALID_ARGUMENT || m->code == ERR_LIMIT) { /* the rows are at fault */
        predict_breaker_good(&model->queue->breaker);
        if (b->n_requests > 1) {
            ask_one_by_one(b);
            return;
        }
        predict_batch_fail(b, (int)m->code, why, 0);
        predict_batch_free(b);
        return;
    }
    failed(p, model, why);
    if (m->code != ERR_TIMEOUT)
        return once_more(p, b, why);
    predict_batch_fail(b, ERR_TIMEOUT, why, 0);
    predict_batch_free(b);
}

/* ---- what happens elsewhere ---- */

static void prefetch(struct predict *p, struct model *m, struct session *s)
{
    struct predict_queue *q = queue_of(m);
    struct predict_batch *b = q ? predict_batch_new(m) : NULL;
    if (b)
        give(p, b, s);
}

void predict_session_new(struct predict *p, struct session *s)
{
    struct model *m;
    size_t n = 0;
    if (!may_have(s->worker))
        return;
    for (size_t i = 0; (m = model_table_at(p->models, i)) && n < PREDICT_PREFETCH_MAX; i++)
        if (model_table_is_newest(p->models, i)) {
            prefetch(p, m, s);
            n++;
        }
}

void predict_model_new(struct predict *p, struct model *m)
{
    size_t at = 0;
    for (struct worker *w; (w = sessions_worker_next(p->edge->sessions, &at));)
        if (may_have(w))
            prefetch(p, m, w->session);
}

void predict_model_gone(struct predict *p, struct model *m)
{
    end_queue(p, m, ERR_NOT_FOUND, "the model was removed");
}

void predict_session_end(struct predict *p, const struct session *s)
{
    char why[150];
    struct model *m;
    snprintf(why, sizeof(why), "the worker %s was lost with the request", s->worker->id);
    for (size_t i = 0; (m = model_table_at(p->models, i)); i++) {
        struct predict_batch *next;
        bool bad = false;
        for (struct predict_batch *b = m->queue ? m->queue->open.first : NULL; b; b = next) {
            next = b->next;
            if (b->session != s->id)
                continue;
            take_back(p, b);
            bad |= b->packed.len > 0;
            once_more(p, b, why);
        }
        if (bad && !s->bye)
            failed(p, m, why); /* however many it had: it died once */
        else if (bad)
            predict_breaker_void(&m->queue->breaker);
    }
}

/* ---- time ---- */

static void expire_list(struct predict *p, struct predict_batch *b, uint64_t *next_ms)
{
    for (; b; b = b->next) {
        struct predict_request *next;
        for (struct predict_request *r = b->requests.first; r; r = next) {
            next = r->next;
            if (p->edge->now_ms >= r->until_ms)
                predict_batch_answer_one(
                    r, &(struct predict_answer){.code = ERR_TIMEOUT,
                                                .detail = "no answer before the deadline",
                                                .model = b->model});
            else
                *next_ms = MIN(*next_ms, r->until_ms);
        }
    }
}

static void expire(struct predict *p)
{
    struct model *m;
    uint64_t next_ms = UINT64_MAX;
    if (p->edge->now_ms < p->deadline_ms)
        return;
    for (size_t i = 0; (m = model_table_at(p->models, i)); i++) {
        if (!m->queue)
            continue;
        expire_list(p, m->queue->filling, &next_ms);
        expire_list(p, m->queue->waiting.first, &next_ms);
        expire_list(p, m->queue->open.first, &next_ms);
    }
    p->deadline_ms = next_ms;
}

/* Nobody is there to take what waits, or the model fails. */
static void refuse_waiting(struct predict_queue *q, const char *why)
{
    while (q->waiting.first) {
        struct predict_batch *b = q->waiting.first;
        predict_batch_unlist(&q->waiting, b);
        q->waiting_rows -= b->n_rows;
        predict_batch_fail(b, ERR_UNAVAILABLE, why, PREDICT_RETRY_AFTER_MS);
        predict_batch_free(b);
    }
    predict_batch_fail(q->filling, ERR_UNAVAILABLE, why, PREDICT_RETRY_AFTER_MS);
    q->filling->until_ms = 0;
    batch_clear(q->rows);
}

static void send_waiting(struct predict *p, struct predict_queue *q)
{
    bool any;
    while (q->waiting.first && predict_breaker_lets(&q->breaker, p->edge->now_ms)) {
        struct predict_batch *b = q->waiting.first;
        struct session *s = b->n_requests ? choose(p, 0, &any) : NULL;
        if (b->n_requests && !s)
            return;
        predict_batch_unlist(&q->waiting, b);
        q->waiting_rows -= b->n_rows;
        if (s)
            give(p, b, s);
        else
            predict_batch_free(b); /* nobody waits for it any more */
    }
}

/* When the rows that are being collected are to be sent, as far as time has a say. */
static uint64_t step_queue(struct predict *p, struct model *m)
{
    struct predict_queue *q = m->queue;
    struct edge *e = p->edge;
    struct error error;
    bool any;
    if (!q || (!q->waiting.first && (!q->rows || q->rows->n_rows == 0)))
        return UINT64_MAX;
    struct session *s = choose(p, 0, &any);
    if (!any || (q->breaker.open && !q->breaker.probing && e->now_ms < q->breaker.until_ms)) {
        refuse_waiting(q, any ? q->breaker.error : no_worker);
        return UINT64_MAX;
    }
    send_waiting(p, q);
    if (q->waiting.first || q->rows->n_rows == 0 || !predict_breaker_lets(&q->breaker, e->now_ms))
        return UINT64_MAX; /* an answer, or a worker's end, comes before anything can be sent */
    if (q->filling->n_requests == 0) {
        batch_clear(q->rows);
        return UINT64_MAX;
    }
    s = choose(p, 0, &any);
    uint64_t due_ms = q->filling_ms + e->options.predict_batch_wait_ms;
    if (!s)
        return UINT64_MAX;
    if (has_open(q, s) && e->now_ms < due_ms)
        return due_ms;
    if (close_filling(p, m, &error))
        return e->now_ms + 1;
    send_waiting(p, q);
    return UINT64_MAX;
}

uint64_t predict_step(struct predict *p)
{
    struct model *m;
    uint64_t next_ms = UINT64_MAX;
    expire(p);
    for (size_t i = 0; (m = model_table_at(p->models, i)); i++)
        next_ms = MIN(next_ms, step_queue(p, m));
    return MIN(next_ms, p->deadline_ms);
}

void predict_look(const struct predict *p, const struct model *m, struct predict_view *ret)
{
    static const struct predict_queue none;
    const struct predict_queue *q = m->queue ? m->queue : &none;
    const struct predict_breaker *b = &q->breaker;
    *ret = (struct predict_view){
        .state = !b->open     ? PREDICT_CLOSED
                 : b->probing ? PREDICT_PROBE
                              : PREDICT_OPEN,
        .retry_ms = b->until_ms - MIN(b->until_ms, p->edge->now_ms),
        .error = b->error,
        .queued_rows = q->waiting_rows + (q->rows ? q->rows->n_rows : 0),
        .open_batches = q->n_open,
    };
}
