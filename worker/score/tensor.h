/*
 * tensor.h: typed arrays with a shape, as ONNX has them, in memory of an arena. A tensor is never
 * changed after it was made, so several may share their data.
 *
 * A float32 matrix may also lie as columns (data is NULL, cols are set): the rows of a batch come
 * so, and the kernels that matter read them without a transpose. tensor_dense makes the other form.
 *
 * Thread rule: immutable after it was filled.
 */
#ifndef DROVER_SCORE_TENSOR_H
#define DROVER_SCORE_TENSOR_H

#include "common/arena.h"
#include "common/err.h"

enum {
    TENSOR_RANK_MAX = 8,
    TENSOR_ELEMENTS_MAX = 1 << 28, /* of one tensor: 1 GiB of float32 */
};

/* The numbers are ONNX's (TensorProto.DataType). Types that are not here are refused. */
enum elem_type {
    ELEM_NONE = 0,
    ELEM_F32 = 1,
    ELEM_I32 = 6,
    ELEM_I64 = 7,
    ELEM_STR = 8,
    ELEM_BOOL = 9,
    ELEM_F64 = 11
};

struct tensor {
    enum elem_type type;
    uint32_t rank; /* 0: a scalar */
    int64_t dims[TENSOR_RANK_MAX];
    size_t n; /* elements: the product of dims */
    union {
        void *data;
        float *f32;
        double *f64;
        int32_t *i32;
        int64_t *i64;
        uint8_t *bools;
        struct span *str;
    };
    const float *const *cols; /* dims[1] pointers to dims[0] values each; data is NULL then */
};

bool elem_known(int64_t type);
size_t elem_bytes(enum elem_type type);
const char *elem_name(int64_t type); /* "float32"; also names the types that are refused */

static inline bool elem_float(enum elem_type type)
{
    return type == ELEM_F32 || type == ELEM_F64;
}

/* The number of elements of a shape. LIMIT when it or a dimension is negative or too big. */
int tensor_count(uint32_t rank, const int64_t *dims, size_t *ret) MUST_CHECK;

/* A tensor with memory for its elements, not cleared. LIMIT or NOMEM. */
int tensor_make(struct arena *mem, enum elem_type type, uint32_t rank, const int64_t *dims,
                struct tensor *ret) MUST_CHECK;

/* The tensor with row-major data: t itself, or a copy of one that lies as columns. NULL: NOMEM. */
const struct tensor *tensor_dense(const struct tensor *t, struct arena *mem) MUST_CHECK;

/* An element of any numeric type as a number; of a bool, 0 or 1. */
double tensor_f64(const struct tensor *t, size_t i);
int64_t tensor_i64(const struct tensor *t, size_t i);

/* "float32[2,3]" into text. Returns text. */
enum { TENSOR_TEXT_BYTES = 160 };
const char *tensor_text(const struct tensor *t, char text[TENSOR_TEXT_BYTES]);

/* Conversions that are defined for every value: NaN becomes 0, what is too big the nearest end. */
static inline int64_t i64_of_f64(double v)
{
    if (!(v > -9223372036854775808.0))
        return v != v ? 0 : INT64_MIN;
    return v >= 9223372036854775808.0 ? INT64_MAX : (int64_t)v;
}

static inline int32_t i32_of_f64(double v)
{
    if (!(v > -2147483649.0))
        return v != v ? 0 : INT32_MIN;
    return v >= 2147483648.0 ? INT32_MAX : (int32_t)v;
}

#endif
