/*
 * op_keys.h: finds an element of a tensor among the keys of a model: categories, labels, terms.
 *
 * Thread rule: immutable once made.
 */
#ifndef DROVER_SCORE_OP_KEYS_H
#define DROVER_SCORE_OP_KEYS_H

#include "op.h"

struct op_key {
    union {
        int64_t i; /* ELEM_I64, ELEM_I32, ELEM_BOOL */
        double f;  /* ELEM_F32, ELEM_F64; NaN is one key */
        struct span s;
    };
    uint32_t at; /* its place in the attribute */
};

struct op_keys {
    enum elem_type type; /* ELEM_I64, ELEM_F64 or ELEM_STR */
    struct op_key *keys; /* sorted */
    size_t n;
};

/* The attribute as a tensor of one dimension in the model's memory; ret->type NONE: not there. */
int op_keys_list(struct op_prepare *p, const char *name, int type, struct tensor *ret) MUST_CHECK;

/* Of two equal keys the first one counts. The keys must stay. NOMEM. */
int op_keys_make(struct op_prepare *p, const struct tensor *keys, struct op_keys *ret) MUST_CHECK;

/* The place of element i of t among the keys, or -1. Both are text, or both are numbers. */
int64_t op_keys_find(const struct op_keys *l, const struct tensor *t, size_t i);

#endif
