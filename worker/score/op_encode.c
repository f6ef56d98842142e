/* op_encode.c: features that are categories: OneHotEncoder, LabelEncoder; and ZipMap. */
#include "op_prep.h"

#include <math.h>

/* ---- finding a key ---- */

struct key {
    union {
        int64_t i; /* ELEM_I64, ELEM_I32, ELEM_BOOL */
        double f;  /* ELEM_F32, ELEM_F64; NaN is one key */
        struct span s;
    };
    uint32_t at; /* its place in the attribute */
};

struct lookup {
    enum elem_type type; /* ELEM_I64, ELEM_F64 or ELEM_STR */
    struct key *keys;    /* sorted */
    size_t n;
};

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

static int compare_keys(enum elem_type type, const struct key *a, const struct key *b)
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
        const struct key *a = a_, *b = b_;                                                         \
        int c = compare_keys(type, a, b);                                                          \
        return c ? c : a->at < b->at ? -1 : a->at > b->at;                                         \
    }
COMPARE(by_text, ELEM_STR)
COMPARE(by_float, ELEM_F64)
COMPARE(by_int, ELEM_I64)
#undef COMPARE

static struct key key_of(const struct tensor *t, size_t i)
{
    struct key k = {.at = (uint32_t)i};
    if (t->type == ELEM_STR)
        k.s = t->str[i];
    else if (elem_float(t->type))
        k.f = tensor_f64(t, i);
    else
        k.i = tensor_i64(t, i);
    return k;
}

static int lookup_make(struct op_prepare *p, const struct tensor *keys, struct lookup *ret)
{
    struct lookup l = {.type = keys->type == ELEM_STR   ? ELEM_STR
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

/* The place of element i of t among the keys, or -1. */
static int64_t lookup_find(const struct lookup *l, const struct tensor *t, size_t i)
{
    struct key k = key_of(t, i);
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

/* The attribute as a tensor of one dimension in the model's memory; ret->type NONE: not there. */
static int list_of(struct op_prepare *p, const char *name, int type, struct tensor *ret)
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

/* The first of PREFIX_strings, PREFIX_int64s, PREFIX_floats, PREFIX_tensor that is there. */
static int any_list(struct op_prepare *p, const char *const names[4], struct tensor *ret)
{
    static const int types[] = {ONNX_ATTR_STRINGS, ONNX_ATTR_INTS, ONNX_ATTR_FLOATS,
                                ONNX_ATTR_TENSOR};
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        int rc = list_of(p, names[i], types[i], ret);
        if (rc || ret->type != ELEM_NONE)
            return rc;
    }
    return ERR_OK;
}

static int wrong_type(struct op_run *r, enum elem_type wanted)
{
    return op_fail(r->e, r->node, "its input is %s, where %s is needed", elem_name(r->in[0]->type),
                   wanted == ELEM_STR ? "string" : "a number");
}

/* ---- OneHotEncoder ---- */

struct one_hot_state {
    struct lookup lookup;
    bool zeros; /* an unknown category gives zeros; otherwise it is an error */
};

int op_prepare_one_hot(struct op_prepare *p)
{
    struct one_hot_state *s = arena_zalloc(p->keep, sizeof *s);
    struct tensor categories;
    if (!s)
        return op_nomem(p->e, p->node);
    int rc = list_of(p, "cats_strings", ONNX_ATTR_STRINGS, &categories);
    if (!rc && categories.type == ELEM_NONE)
        rc = list_of(p, "cats_int64s", ONNX_ATTR_INTS, &categories);
    if (rc)
        return rc;
    if (categories.type == ELEM_NONE)
        return op_fail(p->e, p->node, "it has no categories");
    s->zeros = op_attr_i(p->node, "zeros", 1) != 0;
    p->node->state = s;
    return lookup_make(p, &categories, &s->lookup);
}

int op_run_one_hot(struct op_run *r)
{
    const struct one_hot_state *s = r->node->state;
    const struct tensor *t = r->in[0];
    int64_t dims[TENSOR_RANK_MAX + 1];
    if ((t->type == ELEM_STR) != (s->lookup.type == ELEM_STR))
        return wrong_type(r, s->lookup.type);
    if (t->rank == TENSOR_RANK_MAX)
        return op_fail(r->e, r->node, "its input has %u dimensions", t->rank);
    memcpy(dims, t->dims, sizeof t->dims);
    dims[t->rank] = (int64_t)s->lookup.n;
    int rc = op_make(r, 0, ELEM_F32, t->rank + 1, dims);
    if (rc)
        return rc;
    memset(r->out[0].f32, 0, r->out[0].n * sizeof(float));
    for (size_t i = 0; i < t->n; i++) {
        int64_t at = lookup_find(&s->lookup, t, i);
        if (at >= 0)
            r->out[0].f32[i * s->lookup.n + (size_t)at] = 1;
        else if (!s->zeros && !r->trial)
            return op_fail(r->e, r->node, "a value of row %zu is no category of the model",
                           t->rank && t->dims[0] ? i / (t->n / (size_t)t->dims[0]) : 0);
    }
    return ERR_OK;
}

/* ---- LabelEncoder ---- */

struct label_state {
    struct lookup lookup;
    struct tensor values, otherwise; /* otherwise: one element of values' type */
};

/* The value for keys that are unknown; the attribute's name depends on the type. */
static int read_default(struct op_prepare *p, struct label_state *s)
{
    struct tensor *t = &s->otherwise;
    const struct onnx_attr *a = op_attr(p->node, "default_tensor", ONNX_ATTR_TENSOR);
    if (a && a->t) {
        if (a->t->n != 1 || a->t->type != s->values.type)
            return op_fail(p->e, p->node, "default_tensor is not one value of the values' type");
        *t = *a->t;
        return ERR_OK;
    }
    if (tensor_make(p->keep, s->values.type, 0, NULL, t))
        return op_nomem(p->e, p->node);
    if (t->type == ELEM_STR) {
        struct span text = op_attr_s(p->node, "default_string", "_Unused");
        char *copy = arena_strndup(p->keep, text.p, text.len);
        if (!copy)
            return op_nomem(p->e, p->node);
        t->str[0] = (struct span){copy, text.len};
    } else if (t->type == ELEM_F32) {
        t->f32[0] = op_attr_f(p->node, "default_float", -0.0f);
    } else if (t->type == ELEM_F64) {
        t->f64[0] = (double)op_attr_f(p->node, "default_float", -0.0f);
    } else if (t->type == ELEM_I64) {
        t->i64[0] = op_attr_i(p->node, "default_int64", -1);
    } else {
        return op_fail(p->e, p->node, "values of type %s are not supported", elem_name(t->type));
    }
    return ERR_OK;
}

/* Version 1: names of classes, which stand for 0, 1, 2 ...; or the other way for integers. */
static int read_classes(struct op_prepare *p, struct tensor *keys, struct tensor *values)
{
    int rc = list_of(p, "classes_strings", ONNX_ATTR_STRINGS, keys);
    if (rc || keys->type == ELEM_NONE)
        return rc;
    if (tensor_make(p->keep, ELEM_I64, 1, keys->dims, values))
        return op_nomem(p->e, p->node);
    for (size_t i = 0; i < keys->n; i++)
        values->i64[i] = (int64_t)i;
    const struct onnx_attr *turned = op_attr(p->node, "default_string", ONNX_ATTR_STRING);
    if (turned && !op_attr(p->node, "default_int64", ONNX_ATTR_INT)) {
        struct tensor names = *keys;
        *keys = *values;
        *values = names;
    }
    return ERR_OK;
}

int op_prepare_label_encoder(struct op_prepare *p)
{
    static const char *const key_names[] = {"keys_strings", "keys_int64s", "keys_floats",
                                            "keys_tensor"};
    static const char *const value_names[] = {"values_strings", "values_int64s", "values_floats",
                                              "values_tensor"};
    struct label_state *s = arena_zalloc(p->keep, sizeof *s);
    struct tensor keys;
    if (!s)
        return op_nomem(p->e, p->node);
    int rc = any_list(p, key_names, &keys);
    if (rc || (rc = any_list(p, value_names, &s->values)))
        return rc;
    if (keys.type == ELEM_NONE && (rc = read_classes(p, &keys, &s->values)))
        return rc;
    if (keys.type == ELEM_NONE || keys.n != s->values.n)
        return op_fail(p->e, p->node, "it has %zu keys and %zu values", keys.n, s->values.n);
    if ((rc = read_default(p, s)))
        return rc;
    p->node->state = s;
    return lookup_make(p, &keys, &s->lookup);
}

int op_run_label_encoder(struct op_run *r)
{
    const struct label_state *s = r->node->state;
    const struct tensor *t = r->in[0];
    size_t width = elem_bytes(s->values.type);
    if ((t->type == ELEM_STR) != (s->lookup.type == ELEM_STR))
        return wrong_type(r, s->lookup.type);
    int rc = op_make(r, 0, s->values.type, t->rank, t->dims);
    for (size_t i = 0; !rc && i < t->n; i++) {
        int64_t at = lookup_find(&s->lookup, t, i);
        const struct tensor *from = at < 0 ? &s->otherwise : &s->values;
        memcpy((char *)r->out[0].data + i * width,
               (const char *)from->data + (at < 0 ? 0 : (size_t)at) * width, width);
    }
    return rc;
}

/* ---- ZipMap ---- */

int op_prepare_zip_map(struct op_prepare *p)
{
    struct labels *l = arena_zalloc(p->keep, sizeof *l);
    if (!l)
        return op_nomem(p->e, p->node);
    p->node->state = l;
    return labels_read(p, "classlabels_int64s", "classlabels_strings", l);
}
