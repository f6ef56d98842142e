/*
 * predict_batch.h: rows that go to a worker in one message, and the requests that they belong to, which may
 * leave before the batch is answered. It decides nothing: where a batch goes is predict.c's.
 *
 * Thread rule: the loop thread.
 */
#ifndef DROVER_PREDICT_BATCH_H
#define DROVER_PREDICT_BATCH_H

#include "coordinator/edge/predict.h"

struct predict_list {
    struct predict_request *first, *last;
};

/* Rows that go to a worker in one message. Requests may leave it before it is answered. */
struct predict_batch {
    struct predict_batch *next, *prev;
    struct model *model;
    uint64_t id;      /* on the wire; 0: not sent */
    uint64_t session; /* that it was sent to */
    struct predict_list requests;
    uint32_t n_requests, n_rows;
    struct buf packed; /* empty: the model is to be loaded, nothing more */
    bool again;        /* a worker had it already */
    uint64_t until_ms; /* the latest deadline of its requests */
};

struct predict_batches {
    struct predict_batch *first, *last;
};

struct predict_batch *predict_batch_new(struct model *m) MUST_CHECK; /* NULL: no memory */
void predict_batch_free(struct predict_batch *b);                    /* without requests */

void predict_batch_join(struct predict_batch *b, struct predict_request *r);
void predict_batch_leave(struct predict_request *r);

void predict_batch_list(struct predict_batches *list, struct predict_batch *b); /* at the end */
void predict_batch_unlist(struct predict_batches *list, struct predict_batch *b);

/* Answers a request, or all that are left, and counts them. */
void predict_batch_answer_one(struct predict_request *r, const struct predict_answer *a);
void predict_batch_answer(struct predict_batch *b, const struct predict_answer *a);
void predict_batch_fail(struct predict_batch *b, int code, const char *detail, uint32_t retry_ms);

#endif
