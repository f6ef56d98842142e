/*
 * post.h: the post_transform of ai.onnx.ml: what turns scores into probabilities.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_SCORE_POST_H
#define DROVER_SCORE_POST_H

#include "op.h"

enum post { POST_NONE, POST_SOFTMAX, POST_LOGISTIC, POST_SOFTMAX_ZERO, POST_PROBIT };

/* The attribute post_transform. INVALID_ARGUMENT for an unknown one. */
int post_read(const struct node *n, enum post *ret, struct error *e) MUST_CHECK;
const char *post_name(enum post p);

void post_apply(enum post p, float *v, size_t n); /* in place, n scores of one row */
float post_logistic(float x);

/* Names of classes: integers or strings, copied into the model's memory. */
struct labels {
    enum elem_type type; /* ELEM_I64 or ELEM_STR */
    size_t n;
    int64_t *ints;
    struct span *strings;
};

/* Reads the two attributes of which one holds the classes. */
int labels_read(struct op_prepare *p, const char *ints, const char *strings,
                struct labels *ret) MUST_CHECK;

static inline void labels_put(const struct labels *l, size_t class, struct tensor *out, size_t row)
{
    if (l->type == ELEM_I64)
        out->i64[row] = l->ints[class];
    else
        out->str[row] = l->strings[class];
}

#endif
