#include "op.h"

#include <stdarg.h>
#include <stdio.h>

const struct op *op_find(const char *domain, const char *name, int64_t version, bool *ret_known)
{
    *ret_known = false;
    for (size_t i = 0; i < op_count; i++) {
        const struct op *op = &op_table[i];
        if (strcmp(op->name, name) != 0 || strcmp(op->domain, domain) != 0)
            continue;
        *ret_known = true;
        if (version >= op->since && version <= op->until)
            return op;
    }
    return NULL;
}

const struct onnx_attr *op_attr(const struct node *n, const char *name, int type)
{
    for (uint32_t i = 0; i < n->n_attrs; i++)
        if (n->attrs[i].type == type && strcmp(n->attrs[i].name, name) == 0)
            return &n->attrs[i];
    return NULL;
}

int64_t op_attr_i(const struct node *n, const char *name, int64_t otherwise)
{
    const struct onnx_attr *a = op_attr(n, name, ONNX_ATTR_INT);
    return a ? a->i : otherwise;
}

float op_attr_f(const struct node *n, const char *name, float otherwise)
{
    const struct onnx_attr *a = op_attr(n, name, ONNX_ATTR_FLOAT);
    return a ? a->f : otherwise;
}

struct span op_attr_s(const struct node *n, const char *name, const char *otherwise)
{
    const struct onnx_attr *a = op_attr(n, name, ONNX_ATTR_STRING);
    return a ? a->s : span_str(otherwise);
}

int op_fail(struct error *e, const struct node *n, const char *fmt, ...)
{
    char text[300];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return error_set(e, ERR_INVALID_ARGUMENT, "model: %.150s: %s", n->label, text);
}

int op_nomem(struct error *e, const struct node *n)
{
    return error_set(e, ERR_NOMEM, "model: %.150s: no memory left", n->label);
}

int op_make(struct op_run *r, uint32_t i, enum elem_type type, uint32_t rank, const int64_t *dims)
{
    int rc = tensor_make(r->mem, type, rank, dims, &r->out[i]);
    if (rc == ERR_LIMIT)
        return error_set(r->e, ERR_LIMIT,
                         "model: %.150s: an output is too large, or the memory of one run (%zu "
                         "bytes) is used up",
                         r->node->label, r->mem->limit_bytes);
    return rc ? op_nomem(r->e, r->node) : ERR_OK;
}

void op_alias(struct op_run *r, uint32_t i, const struct tensor *t, uint32_t rank,
              const int64_t *dims)
{
    struct tensor out = *t;
    out.rank = rank;
    for (uint32_t d = 0; d < rank; d++)
        out.dims[d] = dims[d];
    r->out[i] = out;
}

int op_ints(struct op_run *r, const char *attr, uint32_t input, size_t max, int64_t *out,
            size_t *ret_n)
{
    const struct onnx_attr *a = op_attr(r->node, attr, ONNX_ATTR_INTS);
    const struct tensor *t = input < r->node->n_in ? r->in[input] : NULL;
    size_t n = a ? a->n : t ? t->n : 0;
    *ret_n = SIZE_MAX;
    if (!a && !t)
        return ERR_OK;
    if (!a && t->type != ELEM_I64 && t->type != ELEM_I32)
        return op_fail(r->e, r->node, "%s must be integers, not %s", attr, elem_name(t->type));
    if (n > max)
        return op_fail(r->e, r->node, "%s has %zu elements, over the %zu allowed", attr, n, max);
    for (size_t i = 0; i < n; i++)
        out[i] = a ? a->ints[i] : tensor_i64(t, i);
    *ret_n = n;
    return ERR_OK;
}
