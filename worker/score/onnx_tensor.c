/* onnx_tensor.c: TensorProto. Its elements may be raw bytes or a repeated field of their type. */
#include "onnx_read.h"

#include <stdio.h>

enum { /* fields of TensorProto */
       T_DIMS = 1,
       T_TYPE = 2,
       T_SEGMENT = 3,
       T_FLOATS = 4,
       T_INT32S = 5,
       T_STRINGS = 6,
       T_INT64S = 7,
       T_NAME = 8,
       T_RAW = 9,
       T_DOUBLES = 10,
       T_EXTERNAL = 13,
       T_LOCATION = 14
};

struct tensor_head {
    int64_t type;
    struct span raw;
    bool has_raw;
};

static int read_head(struct onnx_reader *r, struct span message, struct onnx_tensor *t,
                     struct tensor_head *head)
{
    struct proto p = proto_of(message);
    struct proto_field f;
    int rc = ERR_OK;
    while (onnx_next(r, &p, &f, &rc)) {
        if (f.number == T_NAME)
            rc = onnx_name(r, &f, "TensorProto.name", &t->name);
        else if (f.number == T_TYPE && !(rc = onnx_expect(r, &f, PROTO_VARINT, "data_type")))
            head->type = (int64_t)f.u;
        else if (f.number == T_RAW && !(rc = onnx_expect(r, &f, PROTO_LEN, "raw_data"))) {
            head->raw = f.bytes;
            head->has_raw = true;
        } else if (f.number == T_SEGMENT)
            rc = onnx_fail(r, "tensors in segments are not supported");
        else if (f.number == T_EXTERNAL || (f.number == T_LOCATION && f.u != 0))
            rc = onnx_fail(r, "the tensor's data lies in another file (external_data); save the "
                              "model with its data inside");
        if (rc)
            return rc;
    }
    return rc;
}

static int read_dims(struct onnx_reader *r, struct span message, struct tensor *t)
{
    uint64_t dims[TENSOR_RANK_MAX];
    size_t rank = 0;
    int rc = onnx_numbers(r, message, T_DIMS, PROTO_VARINT, "dims", &rank, dims, TENSOR_RANK_MAX);
    if (rc)
        return rc;
    if (rank > TENSOR_RANK_MAX)
        return onnx_fail(r, "a tensor has %zu dimensions, over the %d allowed", rank,
                         TENSOR_RANK_MAX);
    t->rank = (uint32_t)rank;
    for (size_t i = 0; i < rank; i++) {
        t->dims[i] = (int64_t)dims[i];
        if (t->dims[i] < 0)
            return onnx_fail(r, "dimension %zu is negative (%lld)", i, (long long)t->dims[i]);
    }
    if (tensor_count(t->rank, t->dims, &t->n))
        return onnx_fail(r, "the tensor has more than %d elements", TENSOR_ELEMENTS_MAX);
    return ERR_OK;
}

static int read_strings(struct onnx_reader *r, struct arena *mem, struct span message,
                        struct tensor *t)
{
    struct proto p = proto_of(message);
    struct proto_field f;
    int rc = ERR_OK;
    size_t n = 0, at = 0;
    if ((rc = onnx_count(r, message, T_STRINGS, SIZE_MAX, "string_data", &n)))
        return rc;
    if (n != t->n)
        return onnx_fail(r, "string_data has %zu elements where the shape has %zu", n, t->n);
    t->str = arena_alloc(mem, MAX(n, (size_t)1) * sizeof(struct span));
    if (!t->str)
        return onnx_nomem(r);
    while (onnx_next(r, &p, &f, &rc))
        if (f.number == T_STRINGS && (rc = onnx_text(r, mem, &f, "string_data", &t->str[at++])))
            return rc;
    return rc;
}

/* Numbers of a repeated field into elements of the tensor's type. */
static int read_numbers(struct onnx_reader *r, struct arena *mem, struct span message,
                        struct tensor *t)
{
    static const struct {
        uint32_t number;
        enum proto_wire wire;
        const char *name;
    } fields[] = {[ELEM_F32] = {T_FLOATS, PROTO_I32, "float_data"},
                  [ELEM_I32] = {T_INT32S, PROTO_VARINT, "int32_data"},
                  [ELEM_I64] = {T_INT64S, PROTO_VARINT, "int64_data"},
                  [ELEM_BOOL] = {T_INT32S, PROTO_VARINT, "int32_data"},
                  [ELEM_F64] = {T_DOUBLES, PROTO_I64, "double_data"}};
    const char *name = fields[t->type].name;
    size_t n = 0;
    int rc =
        onnx_numbers(r, message, fields[t->type].number, fields[t->type].wire, name, &n, NULL, 0);
    if (rc)
        return rc;
    if (n != t->n)
        return onnx_fail(r, "%s has %zu elements where the shape has %zu", name, n, t->n);
    uint64_t *all = arena_alloc(mem, MAX(n, (size_t)1) * sizeof *all);
    if (!all)
        return onnx_nomem(r);
    rc = onnx_numbers(r, message, fields[t->type].number, fields[t->type].wire, name, &n, all, n);
    if (rc)
        return rc;
    t->data = all; /* 64-bit elements lie as they shall; smaller ones move to the front */
    for (size_t i = 0; i < n; i++) {
        uint64_t u = all[i];
        if (t->type == ELEM_F32)
            memcpy((char *)t->data + i * 4, &u, 4);
        else if (t->type == ELEM_I32)
            memcpy((char *)t->data + i * 4, &(int32_t){(int32_t)u}, 4);
        else if (t->type == ELEM_BOOL)
            ((uint8_t *)t->data)[i] = u != 0;
    }
    return ERR_OK;
}

static int read_raw(struct onnx_reader *r, struct arena *mem, struct span raw, struct tensor *t)
{
    size_t width = elem_bytes(t->type);
    if (t->type == ELEM_STR)
        return onnx_fail(r, "a tensor of strings has raw_data");
    if (raw.len != t->n * width)
        return onnx_fail(r, "raw_data has %zu bytes where the shape needs %zu", raw.len,
                         t->n * width);
    t->data = arena_alloc(mem, MAX(raw.len, (size_t)1));
    if (!t->data)
        return onnx_nomem(r);
    if (raw.len)
        memcpy(t->data, raw.p, raw.len);
    for (size_t i = 0; t->type == ELEM_BOOL && i < t->n; i++)
        t->bools[i] = t->bools[i] != 0;
    return ERR_OK;
}

int onnx_tensor(struct onnx_reader *r, struct arena *mem, struct span message,
                struct onnx_tensor *ret)
{
    struct onnx_tensor t = {.name = ""};
    struct tensor_head head = {0};
    int rc = read_head(r, message, &t, &head);
    if (!rc)
        rc = read_dims(r, message, &t.value);
    if (rc)
        return rc;
    if (!elem_known(head.type))
        return onnx_fail(r, "tensor '%.60s' has elements of type %s, which is not supported",
                         t.name, elem_name(head.type));
    t.value.type = (enum elem_type)head.type;
    if (head.has_raw && t.value.n * elem_bytes(t.value.type) > 0)
        rc = read_raw(r, mem, head.raw, &t.value);
    else if (t.value.type == ELEM_STR)
        rc = read_strings(r, mem, message, &t.value);
    else
        rc = read_numbers(r, mem, message, &t.value);
    if (!rc)
        *ret = t;
    return rc;
}

int onnx_read_tensor(struct span message, struct arena *mem, struct onnx_tensor *ret,
                     struct error *e)
{
    struct onnx_reader r = {.keep = mem, .load = mem, .e = e};
    return onnx_tensor(&r, mem, message, ret);
}
