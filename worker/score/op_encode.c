/* op_encode.c: features that are categories: OneHotEncoder, LabelEncoder; and ZipMap. */
#include "op_keys.h"
#include "op_prep.h"

/* The first of PREFIX_strings, PREFIX_int64s, PREFIX_floats, PREFIX_tensor that is there. */
static int any_list(struct op_prepare *p, const char *const names[4], struct tensor *ret)
{
    static const int types[] = {ONNX_ATTR_STRINGS, ONNX_ATTR_INTS, ONNX_ATTR_FLOATS,
                                ONNX_ATTR_TENSOR};
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        int rc = op_keys_list(p, names[i], types[i], ret);
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
    struct op_keys keys;
    bool zeros; /* an unknown category gives zeros; otherwise it is an error */
};

int op_prepare_one_hot(struct op_prepare *p)
{
    struct one_hot_state *s = arena_zalloc(p->keep, sizeof *s);
    struct tensor categories;
    if (!s)
        return op_nomem(p->e, p->node);
    int rc = op_keys_list(p, "cats_strings", ONNX_ATTR_STRINGS, &categories);
    if (!rc && categories.type == ELEM_NONE)
        rc = op_keys_list(p, "cats_int64s", ONNX_ATTR_INTS, &categories);
    if (rc)
        return rc;
    if (categories.type == ELEM_NONE)
        return op_fail(p->e, p->node, "it has no categories");
    s->zeros = op_attr_i(p->node, "zeros", 1) != 0;
    p->node->state = s;
    return op_keys_make(p, &categories, &s->keys);
}

int op_run_one_hot(struct op_run *r)
{
    const struct one_hot_state *s = r->node->state;
    const struct tensor *t = r->in[0];
    int64_t dims[TENSOR_RANK_MAX + 1];
    if ((t->type == ELEM_STR) != (s->keys.type == ELEM_STR))
        return wrong_type(r, s->keys.type);
    if (t->rank == TENSOR_RANK_MAX)
        return op_fail(r->e, r->node, "its input has %u dimensions", t->rank);
    memcpy(dims, t->dims, sizeof t->dims);
    dims[t->rank] = (int64_t)s->keys.n;
    int rc = op_make(r, 0, ELEM_F32, t->rank + 1, dims);
    if (rc)
        return rc;
    memset(r->out[0].f32, 0, r->out[0].n * sizeof(float));
    for (size_t i = 0; i < t->n; i++) {
        int64_t at = op_keys_find(&s->keys, t, i);
        if (at >= 0)
            r->out[0].f32[i * s->keys.n + (size_t)at] = 1;
        else if (!s->zeros && !r->trial)
            return op_fail(r->e, r->node, "a value of row %zu is no category of the model",
                           t->rank && t->dims[0] ? i / (t->n / (size_t)t->dims[0]) : 0);
    }
    return ERR_OK;
}

/* ---- LabelEncoder ---- */

struct label_state {
    struct op_keys keys;
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
    int rc = op_keys_list(p, "classes_strings", ONNX_ATTR_STRINGS, keys);
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
    return op_keys_make(p, &keys, &s->keys);
}

int op_run_label_encoder(struct op_run *r)
{
    const struct label_state *s = r->node->state;
    const struct tensor *t = r->in[0];
    size_t width = elem_bytes(s->values.type);
    if ((t->type == ELEM_STR) != (s->keys.type == ELEM_STR))
        return wrong_type(r, s->keys.type);
    int rc = op_make(r, 0, s->values.type, t->rank, t->dims);
    for (size_t i = 0; !rc && i < t->n; i++) {
        int64_t at = op_keys_find(&s->keys, t, i);
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
