#include "predict_batch.h"

#include "common/clock.h"

/* ---- lists ---- */

void predict_batch_join(struct predict_batch *b, struct predict_request *r)
{
    r->batch = b;
    r->next = NULL;
    r->prev = b->requests.last;
    *(r->prev ? &r->prev->next : &b->requests.first) = r;
    b->requests.last = r;
    b->n_requests++;
    b->until_ms = MAX(b->until_ms, r->until_ms);
}

void predict_batch_leave(struct predict_request *r)
{
    struct predict_batch *b = r->batch;
    *(r->prev ? &r->prev->next : &b->requests.first) = r->next;
    *(r->next ? &r->next->prev : &b->requests.last) = r->prev;
    b->n_requests--;
    r->batch = NULL;
}

void predict_batch_list(struct predict_batches *list, struct predict_batch *b)
{
    b->next = NULL;
    b->prev = list->last;
    *(b->prev ? &b->prev->next : &list->first) = b;
    list->last = b;
}

void predict_batch_unlist(struct predict_batches *list, struct predict_batch *b)
{
    *(b->prev ? &b->prev->next : &list->first) = b->next;
    *(b->next ? &b->next->prev : &list->last) = b->prev;
    b->next = b->prev = NULL;
}

struct predict_batch *predict_batch_new(struct model *m)
{
    struct predict_batch *b = calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    b->model = m;
    buf_init(&b->packed, 0);
    return b;
}

void predict_batch_free(struct predict_batch *b)
{
    assert(b->n_requests == 0);
    buf_done(&b->packed);
    free(b);
}

/* ---- answers ---- */

static enum predict_outcome outcome_of(int code)
{
    switch (code) {
    case ERR_OK:
        return PREDICT_OK;
    case ERR_INVALID_ARGUMENT:
    case ERR_LIMIT:
        return PREDICT_REJECTED;
    case ERR_TIMEOUT:
        return PREDICT_TIMEOUT;
    default:
        return PREDICT_UNAVAILABLE;
    }
}

void predict_batch_answer_one(struct predict_request *r, const struct predict_answer *a)
{
    struct model *m = r->batch->model;
    predict_batch_leave(r);
    predict_stats_request(&m->stats, outcome_of(a->code), r->n_rows, clock_us() - r->from_us);
    r->done(r, a);
}

void predict_batch_answer(struct predict_batch *b, const struct predict_answer *a)
{
    while (b->requests.first)
        predict_batch_answer_one(b->requests.first, a);
}

void predict_batch_fail(struct predict_batch *b, int code, const char *detail, uint32_t retry_ms)
{
    predict_batch_answer(b, &(struct predict_answer){.code = code,
                                                     .detail = detail,
                                                     .retry_after_ms = retry_ms,
                                                     .model = b->model});
}
