#include "tensor.h"

#include <stdio.h>

enum { TRANSPOSE_ROWS = 16 };

bool elem_known(int64_t type)
{
    return type == ELEM_F32 || type == ELEM_I32 || type == ELEM_I64 || type == ELEM_STR ||
           type == ELEM_BOOL || type == ELEM_F64;
}

size_t elem_bytes(enum elem_type type)
{
    switch (type) {
    case ELEM_F32:
    case ELEM_I32:
        return 4;
    case ELEM_I64:
    case ELEM_F64:
        return 8;
    case ELEM_STR:
        return sizeof(struct span);
    case ELEM_BOOL:
        return 1;
    case ELEM_NONE:
        break;
    }
    return 0;
}

const char *elem_name(int64_t type)
{
    static const char *const names[] = {"undefined",  "float32",  "uint8",  "int8",   "uint16",
                                        "int16",      "int32",    "int64",  "string", "bool",
                                        "float16",    "float64",  "uint32", "uint64", "complex64",
                                        "complex128", "bfloat16", "float8", "float8", "float8",
                                        "float8",     "uint4",    "int4",   "float4"};
    return type >= 0 && type < (int64_t)ARRAY_LEN(names) ? names[type] : "unknown";
}

int tensor_count(uint32_t rank, const int64_t *dims, size_t *ret)
{
    uint64_t n = 1;
    bool empty = false;
    if (rank > TENSOR_RANK_MAX)
        return ERR_LIMIT;
    for (uint32_t i = 0; i < rank; i++) {
        if (dims[i] < 0 || dims[i] > TENSOR_ELEMENTS_MAX)
            return ERR_LIMIT;
        if (dims[i] == 0)
            empty = true;
        else if ((n *= (uint64_t)dims[i]) > TENSOR_ELEMENTS_MAX)
            return ERR_LIMIT;
    }
    *ret = empty ? 0 : (size_t)n;
    return ERR_OK;
}

int tensor_make(struct arena *mem, enum elem_type type, uint32_t rank, const int64_t *dims,
                struct tensor *ret)
{
    struct tensor t = {.type = type, .rank = rank};
    int rc = tensor_count(rank, dims, &t.n);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < rank; i++)
        t.dims[i] = dims[i];
    t.data = arena_alloc(mem, MAX(t.n, (size_t)1) * elem_bytes(type));
    if (!t.data)
        return mem->limit_bytes ? ERR_LIMIT : ERR_NOMEM;
    *ret = t;
    return ERR_OK;
}

const struct tensor *tensor_dense(const struct tensor *t, struct arena *mem)
{
    if (!t->cols)
        return t;
    struct tensor *dense = arena_alloc(mem, sizeof *dense);
    if (!dense || tensor_make(mem, t->type, t->rank, t->dims, dense))
        return NULL;
    size_t n = (size_t)t->dims[0], width = (size_t)t->dims[1];
    for (size_t first = 0; first < n;
         first += TRANSPOSE_ROWS) { /* lines stay near while they fill */
        size_t end = MIN(first + TRANSPOSE_ROWS, n);
        for (size_t c = 0; c < width; c++)
            for (size_t r = first; r < end; r++)
                dense->f32[r * width + c] = t->cols[c][r];
    }
    return dense;
}

double tensor_f64(const struct tensor *t, size_t i)
{
    switch (t->type) {
    case ELEM_F32:
        return (double)t->f32[i];
    case ELEM_F64:
        return t->f64[i];
    case ELEM_I32:
        return t->i32[i];
    case ELEM_I64:
        return (double)t->i64[i];
    case ELEM_BOOL:
        return t->bools[i];
    default:
        return 0;
    }
}

int64_t tensor_i64(const struct tensor *t, size_t i)
{
    return t->type == ELEM_I64 ? t->i64[i] : i64_of_f64(tensor_f64(t, i));
}

const char *tensor_text(const struct tensor *t, char text[TENSOR_TEXT_BYTES])
{
    int at = snprintf(text, TENSOR_TEXT_BYTES, "%s[", elem_name(t->type));
    for (uint32_t i = 0; i < t->rank && at < TENSOR_TEXT_BYTES; i++)
        at += snprintf(text + at, (size_t)(TENSOR_TEXT_BYTES - at), "%s%lld", i ? "," : "",
                       (long long)t->dims[i]);
    if (at < TENSOR_TEXT_BYTES)
        snprintf(text + at, (size_t)(TENSOR_TEXT_BYTES - at), "]");
    return text;
}
