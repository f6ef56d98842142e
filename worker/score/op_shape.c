/* op_shape.c: operators that give the same elements another shape, and constants. */
#include "op_shape.h"

#include "broadcast.h"

int op_run_identity(struct op_run *r)
{
    const struct tensor *training = r->node->n_in > 2 ? r->in[2] : NULL; /* of Dropout */
    if (training && training->n && tensor_i64(training, 0) != 0)
        return op_fail(r->e, r->node, "the model was exported for training");
    r->out[0] = *r->in[0];
    if (r->node->n_out < 2)
        return ERR_OK;
    int rc = op_make(r, 1, ELEM_BOOL, r->in[0]->rank, r->in[0]->dims); /* Dropout's mask */
    if (!rc)
        memset(r->out[1].bools, 1, r->out[1].n);
    return rc;
}

int op_run_reshape(struct op_run *r)
{
    const struct tensor *t = r->in[0];
    int64_t dims[TENSOR_RANK_MAX];
    size_t rank, n = 1, unknown = SIZE_MAX;
    bool zero_is_zero = op_attr_i(r->node, "allowzero", 0) != 0;
    int rc = op_ints(r, "shape", 1, TENSOR_RANK_MAX, dims, &rank);
    if (rc)
        return rc;
    if (rank == SIZE_MAX)
        return op_fail(r->e, r->node, "it has no shape");
    for (size_t i = 0; i < rank; i++) {
        if (dims[i] == 0 && !zero_is_zero)
            dims[i] = i < t->rank ? t->dims[i] : -2;
        if (dims[i] == -1 && unknown == SIZE_MAX)
            unknown = i;
        else if (dims[i] < 0 || dims[i] > TENSOR_ELEMENTS_MAX)
            return op_fail(r->e, r->node, "dimension %zu of the shape is %lld", i,
                           (long long)dims[i]);
        else if ((n *= (size_t)dims[i]) > TENSOR_ELEMENTS_MAX)
            return op_fail(r->e, r->node, "the shape is too large");
    }
    if (unknown != SIZE_MAX) {
        dims[unknown] = n ? (int64_t)(t->n / n) : 0;
        n *= (size_t)dims[unknown];
    }
    if (n != t->n)
        return op_fail(r->e, r->node, "the shape has %zu elements, the input %zu", n, t->n);
    op_alias(r, 0, t, (uint32_t)rank, dims);
    return ERR_OK;
}

int op_run_flatten(struct op_run *r)
{
    const struct tensor *t = r->in[0];
    int64_t axis = op_attr_i(r->node, "axis", 1), dims[2] = {1, 1};
    if (axis < 0)
        axis += t->rank;
    if (axis < 0 || axis > (int64_t)t->rank)
        return op_fail(r->e, r->node, "axis %lld is out of range", (long long)axis);
    for (uint32_t i = 0; i < t->rank; i++)
        dims[i >= axis] *= t->dims[i];
    op_alias(r, 0, t, 2, dims);
    return ERR_OK;
}

int op_run_squeeze(struct op_run *r)
{
    const struct tensor *t = r->in[0];
    int64_t axes[TENSOR_RANK_MAX], dims[TENSOR_RANK_MAX];
    bool gone[TENSOR_RANK_MAX] = {false};
    size_t n;
    uint32_t rank = 0;
    int rc = op_ints(r, "axes", 1, TENSOR_RANK_MAX, axes, &n);
    if (rc)
        return rc;
    for (uint32_t i = 0; n == SIZE_MAX && i < t->rank; i++)
        gone[i] = t->dims[i] == 1;
    for (size_t i = 0; n != SIZE_MAX && i < n; i++) {
        uint32_t d = 0;
        if (!op_axis(axes[i], t->rank, &d) || t->dims[d] != 1)
            return op_fail(r->e, r->node, "axis %lld has not the size 1", (long long)axes[i]);
        gone[d] = true;
    }
    for (uint32_t i = 0; i < t->rank; i++)
        if (!gone[i])
            dims[rank++] = t->dims[i];
    op_alias(r, 0, t, rank, dims);
    return ERR_OK;
}

int op_run_unsqueeze(struct op_run *r)
{
    const struct tensor *t = r->in[0];
    int64_t axes[TENSOR_RANK_MAX], dims[TENSOR_RANK_MAX] = {0};
    bool added[TENSOR_RANK_MAX] = {false};
    size_t n;
    int rc = op_ints(r, "axes", 1, TENSOR_RANK_MAX, axes, &n);
    if (rc)
        return rc;
    if (n == SIZE_MAX || t->rank + n > TENSOR_RANK_MAX)
        return op_fail(r->e, r->node, "it has no axes, or too many");
    uint32_t rank = t->rank + (uint32_t)n, from = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t d = 0;
        if (!op_axis(axes[i], rank, &d) || added[d])
            return op_fail(r->e, r->node, "axis %lld is out of range, or there twice",
                           (long long)axes[i]);
        added[d] = true;
    }
    for (uint32_t i = 0; i < rank; i++)
        dims[i] = added[i] ? 1 : t->dims[from++];
    op_alias(r, 0, t, rank, dims);
    return ERR_OK;
}

int op_run_shape(struct op_run *r)
{
    const struct tensor *t = r->in[0];
    int64_t start = op_attr_i(r->node, "start", 0), end = op_attr_i(r->node, "end", t->rank);
    int64_t rank = t->rank;
    start = MAX(MIN(start < 0 ? start + rank : start, rank), (int64_t)0);
    end = MAX(MIN(end < 0 ? end + rank : end, rank), start);
    int rc = op_make(r, 0, ELEM_I64, 1, (int64_t[]){end - start});
    for (int64_t i = start; !rc && i < end; i++)
        r->out[0].i64[i - start] = t->dims[i];
    return rc;
}

/* ---- constants ---- */

static int constant_list(struct op_prepare *p, const struct onnx_attr *a, struct tensor *ret)
{
    enum elem_type type = a->type == ONNX_ATTR_FLOATS ? ELEM_F32
                          : a->type == ONNX_ATTR_INTS ? ELEM_I64
                                                      : ELEM_STR;
    int rc = tensor_make(p->keep, type, 1, (int64_t[]){(int64_t)a->n}, ret);
    if (rc)
        return op_fail(p->e, p->node, "the constant is too large");
    if (a->n)
        memcpy(ret->data, a->floats, a->n * elem_bytes(type));
    return ERR_OK;
}

int op_prepare_constant(struct op_prepare *p)
{
    struct tensor *t = arena_zalloc(p->keep, sizeof *t);
    if (!t)
        return op_nomem(p->e, p->node);
    for (uint32_t i = 0; i < p->node->n_attrs; i++) {
        const struct onnx_attr *a = &p->node->attrs[i];
        int rc = ERR_OK;
        if (strncmp(a->name, "value", 5) != 0)
            continue;
        if (a->type == ONNX_ATTR_TENSOR && a->t)
            *t = *a->t;
        else if (a->type == ONNX_ATTR_FLOATS || a->type == ONNX_ATTR_INTS ||
                 a->type == ONNX_ATTR_STRINGS)
            rc = constant_list(p, a, t);
        else if (a->type == ONNX_ATTR_FLOAT || a->type == ONNX_ATTR_INT ||
                 a->type == ONNX_ATTR_STRING) {
            rc = tensor_make(p->keep,
                             a->type == ONNX_ATTR_FLOAT ? ELEM_F32
                             : a->type == ONNX_ATTR_INT ? ELEM_I64
                                                        : ELEM_STR,
                             0, NULL, t);
            if (!rc && a->type == ONNX_ATTR_FLOAT)
                t->f32[0] = a->f;
            else if (!rc && a->type == ONNX_ATTR_INT)
                t->i64[0] = a->i;
            else if (!rc)
                t->str[0] = a->s;
        } else
            continue;
        if (rc)
            return rc;
        p->node->state = t;
        return ERR_OK;
    }
    return op_fail(p->e, p->node, "it has no value of a kind that is supported");
}

int op_run_constant(struct op_run *r)
{
    r->out[0] = *(const struct tensor *)r->node->state;
    return ERR_OK;
}

int op_run_constant_of_shape(struct op_run *r)
{
    const struct onnx_attr *a = op_attr(r->node, "value", ONNX_ATTR_TENSOR);
    const float zero = 0;
    const struct tensor *value = a ? a->t : NULL;
    int64_t dims[TENSOR_RANK_MAX];
    size_t rank;
    int rc = op_ints(r, "shape", 0, TENSOR_RANK_MAX, dims, &rank);
    if (rc)
        return rc;
    if (value && value->n != 1)
        return op_fail(r->e, r->node, "its value must be one element");
    enum elem_type type = value ? value->type : ELEM_F32;
    if ((rc = op_make(r, 0, type, (uint32_t)rank, dims)))
        return rc;
    for (size_t i = 0, w = elem_bytes(type); i < r->out[0].n; i++)
        memcpy((char *)r->out[0].data + i * w, value ? value->data : (const void *)&zero, w);
    return ERR_OK;
}

struct copy {
    const char *from;
    char *to;
    size_t width;
};

static void copy_run(const struct broadcast *b, const size_t in[BROADCAST_INPUTS], size_t out,
                     void *user)
{
    const struct copy *c = user;
    size_t same = b->run_steps[0] ? b->run : 1; /* elements that lie side by side */
    for (size_t i = 0; i < b->run; i += same)
        memcpy(c->to + (out + i) * c->width, c->from + in[0] * c->width, same * c->width);
}

int op_run_expand(struct op_run *r)
{
    struct tensor shape = {.type = ELEM_F32};
    size_t rank;
    struct broadcast b;
    int rc = op_ints(r, "shape", 1, TENSOR_RANK_MAX, shape.dims, &rank);
    if (rc)
        return rc;
    shape.rank = (uint32_t)rank;
    for (size_t i = 0; i < rank; i++)
        if (shape.dims[i] < 0 || shape.dims[i] > TENSOR_ELEMENTS_MAX)
            return op_fail(r->e, r->node, "dimension %zu of the shape is %lld", i,
                           (long long)shape.dims[i]);
    if (!broadcast_make((const struct tensor *const[]){r->in[0], &shape}, 2, &b))
        return op_fail(r->e, r->node, "the input does not go together with the shape");
    if ((rc = op_make(r, 0, r->in[0]->type, b.rank, b.dims)))
        return rc;
    struct copy c = {r->in[0]->data, r->out[0].data, elem_bytes(r->in[0]->type)};
    broadcast_each(&b, copy_run, &c);
    return ERR_OK;
}
