/*
 * op.h: one operator of ONNX as the graph sees it. op_table.c has one entry for each, with its
 * domain, its versions and its kernel; to add an operator, add an entry, a kernel and its tests.
 *
 * prepare runs once when the model is loaded: it reads attributes and constant inputs into a state
 * in the model's memory. Arrays among the attributes of domain ai.onnx.ml are gone after loading,
 * so those operators must copy what they need. run computes outputs from inputs for one block of
 * rows; it may be called by many threads at once, each with an arena of its own.
 *
 * Thread rule: the table, nodes and states are immutable once the model is loaded.
 */
#ifndef DROVER_SCORE_OP_H
#define DROVER_SCORE_OP_H

#include "onnx.h"

struct op;

enum op_flags {
    OP_COLUMNS = 1, /* takes float32 matrices that lie as columns (tensor.h) */
};

struct node {
    const struct op *op;
    const char *label; /* "Add 'sum'": for errors and explanations */
    int64_t version;   /* of the operator set of its domain that the model asks for */
    const struct onnx_attr *attrs;
    uint32_t n_attrs, n_in, n_out;
    int32_t *in, *out; /* numbers of values; -1: left out */
    void *state;       /* made by prepare */
    const char *note;  /* what was chosen or fused, for explanations; may be NULL */
};

struct op_prepare {
    struct node *node;
    const struct tensor **constants; /* by input; NULL: not known before the run */
    struct arena *keep, *load;       /* load: gone after loading */
    struct error *e;
};

struct op_run {
    const struct node *node;
    const struct tensor **in; /* by input; NULL: left out */
    struct tensor *out;
    struct arena *mem;
    bool trial; /* made-up values: only types and shapes are wanted, so no value is wrong */
    struct error *e;
};

struct op {
    const char *domain, *name;
    int16_t since, until; /* versions of the operator set that it is right for */
    uint16_t in_min, in_max, out_max;
    uint16_t flags;
    int (*prepare)(struct op_prepare *p);
    int (*run)(struct op_run *r);
};

extern const struct op op_table[];
extern const size_t op_count;

enum { OP_SET_MIN = 7, OP_SET_MAX = 23, OP_ML_SET_MAX = 5 };

/* NULL: none of that name and domain, or (*ret_known) none for that version. */
const struct op *op_find(const char *domain, const char *name, int64_t version, bool *ret_known);

/* ---- attributes; a wrong type counts as absent except where it says so ---- */

const struct onnx_attr *op_attr(const struct node *n, const char *name, int type);
int64_t op_attr_i(const struct node *n, const char *name, int64_t otherwise);
float op_attr_f(const struct node *n, const char *name, float otherwise);
struct span op_attr_s(const struct node *n, const char *name, const char *otherwise);

/* ---- errors and outputs ---- */

int op_fail(struct error *e, const struct node *n, const char *fmt, ...) PRINTF_LIKE(3, 4);
int op_nomem(struct error *e, const struct node *n);

/* Makes output i. LIMIT or NOMEM with a detail. */
int op_make(struct op_run *r, uint32_t i, enum elem_type type, uint32_t rank,
            const int64_t *dims) MUST_CHECK;

/* The output is the input under another shape (of as many elements). */
void op_alias(struct op_run *r, uint32_t i, const struct tensor *t, uint32_t rank,
              const int64_t *dims);

/* A negative axis counts from the end. False: out of range. */
static inline bool op_axis(int64_t axis, uint32_t rank, uint32_t *ret)
{
    if (axis < 0)
        axis += rank;
    if (axis < 0 || axis >= (int64_t)rank)
        return false;
    *ret = (uint32_t)axis;
    return true;
}

/* Integers of an attribute, or of an input when there is none (which one holds depends on the
 * version). *ret_n is SIZE_MAX when neither is there. */
int op_ints(struct op_run *r, const char *attr, uint32_t input, size_t max, int64_t *out,
            size_t *ret_n) MUST_CHECK;

#endif
