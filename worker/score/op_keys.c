#include "op_keys.h"

#include <math.h>

static int compare_floats(double a, double b)
{
    if (isnan(a) || isnan(b))
        return isnan(a) - isnan(b);
    return a < b ? -1 : a > b;
}

static int compare_text(struct span a, struct span b)
{
    size_t n = MIN(a.len, b.len);
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c ? c : a.len < b.len ? -1 : a.len > b.len;
}

static int compare_keys(enum elem_type type, const struct op_key *a, const struct op_key *b)
{
    if (type == ELEM_STR)
        return compare_text(a->s, b->s);
    if (type == ELEM_F64)
        return compare_floats(a->f, b->f);
    return a->i < b->i ? -1 : a->i > b->i;
}

/* Of two equal keys the first one counts. */
#define COMPARE(name, type)                                                                        \
    static int name(const void *a_, const void *b_)                                                \
    {                                                                                              \
        const struct op_key *a = a_, *b = b_;                                                      \
        int c = compare_keys(type, a, b);                                                          \
        return c ? c : a->at < b->at ? -1 : a->at > b->at;                                         \
    }
COMPARE(by_text, ELEM_STR)
COMPARE(by_float, ELEM_F64)
COMPARE(by_int, ELEM_I64)
#undef COMPARE

static struct op_key key_of(const struct tensor *t, size_t i)
{
    struct op_key k = {.at = (uint32_t)i};
    if (t->type == ELEM_STR)
        k.s = t->str[i];
    else if (elem_float(t->type))
        k.f = tensor_f64(t, i);
    else
        k.i = tensor_i64(t, i);
    return k;
}

int op_keys_make(struct op_prepare *p, const struct tensor *keys, struct op_keys *ret)
{
    struct op_keys l = {.type = keys->type == ELEM_STR   ? ELEM_STR
                                : elem_float(keys->type) ? ELEM_F64
                                                         : ELEM_I64,
                        .n = keys->n};
    l.keys = arena_alloc(p->keep, (l.n + 1) * sizeof *l.keys);
    if (!l.keys)
        return op_nomem(p->e, p->node);
    for (size_t i = 0; i < l.n; i++)
        l.keys[i] = key_of(keys, i);
    qsort(l.keys, l.n, sizeof *l.keys,
          l.type == ELEM_STR   ? by_text
          : l.type == ELEM_F64 ? by_float
                               : by_int);
    *ret = l;
    return ERR_OK;
}

int64_t op_keys_find(const struct op_keys *l, const struct tensor *t, size_t i)
{
    struct op_key k = key_of(t, i);
    size_t lo = 0, hi = l->n;
    if (l->type == ELEM_I64 && elem_float(t->type)) { /* a category as a float */
        double f = k.f;
        k.i = i64_of_f64(f);
        if (compare_floats((double)k.i, f) != 0)
            return -1;
    } else if (l->type == ELEM_F64 && !elem_float(t->type)) {
        k.f = (double)k.i;
    }
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (compare_keys(l->type, &l->keys[mid], &k) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < l->n && compare_keys(l->type, &l->keys[lo], &k) == 0 ? (int64_t)l->keys[lo].at : -1;
}

int op_keys_list(struct op_prepare *p, const char *name, int type, struct tensor *ret)
{
    const struct onnx_attr *a = op_attr(p->node, name, type);
    *ret = (struct tensor){.type = ELEM_NONE};
    if (!a || (type == ONNX_ATTR_TENSOR ? !a->t : a->n == 0))
        return ERR_OK;
    if (type == ONNX_ATTR_TENSOR) { /* tensors of attributes stay */
        *ret = *a->t;
        return ERR_OK;
    }
    enum elem_type elem = type == ONNX_ATTR_INTS     ? ELEM_I64
                          : type == ONNX_ATTR_FLOATS ? ELEM_F32
                                                     : ELEM_STR;
    if (tensor_make(p->keep, elem, 1, (int64_t[]){(int64_t)a->n}, ret))
        return op_nomem(p->e, p->node);
    memcpy(ret->data, a->floats, a->n * elem_bytes(elem));
    for (size_t i = 0; elem == ELEM_STR && i < a->n; i++) {
        char *copy = arena_strndup(p->keep, a->strings[i].p, a->strings[i].len);
        if (!copy)
            return op_nomem(p->e, p->node);
        ret->str[i].p = copy;
    }
    return ERR_OK;
}
