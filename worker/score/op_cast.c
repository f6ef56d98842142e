/* op_cast.c: Cast and CastLike. Text of numbers is what Python's str() of a numpy value is. */
#include <math.h>
#include <stdio.h>

#include "op_math.h"

enum { NUMBER_TEXT_BYTES = 40 };

/* The shortest text that reads back as the same number, with ".0" when it is whole. */
static int float_text(double v, bool single, char *text)
{
    int n = 0;
    if (isnan(v))
        return snprintf(text, NUMBER_TEXT_BYTES, "NaN");
    if (isinf(v))
        return snprintf(text, NUMBER_TEXT_BYTES, v > 0 ? "INF" : "-INF");
    for (int digits = single ? 6 : 15; digits <= 17; digits++) {
        n = snprintf(text, NUMBER_TEXT_BYTES, "%.*g", digits, v);
        double back = strtod(text, NULL);
        if (single ? (float)back == (float)v : back == v)
            break;
    }
    if (!strpbrk(text, ".e"))
        n += snprintf(text + n, (size_t)(NUMBER_TEXT_BYTES - n), ".0");
    return n;
}

static int to_text(struct op_run *r, const struct tensor *t, size_t i, struct span *ret)
{
    char text[NUMBER_TEXT_BYTES];
    int n;
    if (elem_float(t->type))
        n = float_text(tensor_f64(t, i), t->type == ELEM_F32, text);
    else
        n = snprintf(text, sizeof text, "%lld", (long long)tensor_i64(t, i));
    char *copy = arena_strndup(r->mem, text, (size_t)n);
    if (!copy)
        return op_nomem(r->e, r->node);
    *ret = (struct span){copy, (size_t)n};
    return ERR_OK;
}

static int from_text(struct op_run *r, struct span s, double *ret)
{
    char text[64], *end;
    *ret = 0;
    if (r->trial) /* over made-up text */
        return ERR_OK;
    if (s.len == 0 || s.len >= sizeof text)
        return op_fail(r->e, r->node, "'%.*s' is no number", (int)MIN(s.len, (size_t)60), s.p);
    memcpy(text, s.p, s.len);
    text[s.len] = 0;
    *ret = strtod(text, &end);
    if (*end)
        return op_fail(r->e, r->node, "'%s' is no number", text);
    return ERR_OK;
}

static int64_t whole_text(struct span s, double otherwise)
{
    char text[32], *end;
    if (s.len >= sizeof text)
        return i64_of_f64(otherwise);
    memcpy(text, s.p, s.len);
    text[s.len] = 0;
    long long v = strtoll(text, &end, 10);
    return *end ? i64_of_f64(otherwise) : v;
}

static void put(const struct tensor *from, size_t i, double v, struct tensor *to)
{
    switch (to->type) {
    case ELEM_F32:
        to->f32[i] = (float)v;
        break;
    case ELEM_F64:
        to->f64[i] = v;
        break;
    case ELEM_I32: /* a wider integer keeps its low bits */
        to->i32[i] =
            from->type == ELEM_I64 ? (int32_t)(uint32_t)(uint64_t)from->i64[i] : i32_of_f64(v);
        break;
    case ELEM_I64:
        to->i64[i] = from->type == ELEM_STR ? whole_text(from->str[i], v) : i64_of_f64(v);
        break;
    case ELEM_BOOL:
        to->bools[i] = v != 0;
        break;
    default:
        break;
    }
}

int op_convert(struct op_run *r, const struct tensor *t, enum elem_type to, struct tensor *ret)
{
    struct tensor out;
    if (to == t->type) {
        *ret = *t;
        return ERR_OK;
    }
    int rc = tensor_make(r->mem, to, t->rank, t->dims, &out);
    if (rc)
        return error_set(r->e, (enum err)rc, "model: %.150s: the output is too large",
                         r->node->label);
    for (size_t i = 0; i < t->n; i++) {
        double v = 0;
        if (to == ELEM_STR)
            rc = to_text(r, t, i, &out.str[i]);
        else if (t->type == ELEM_STR)
            rc = from_text(r, t->str[i], &v);
        else
            v = tensor_f64(t, i);
        if (rc)
            return rc;
        put(t, i, v, &out);
    }
    *ret = out;
    return ERR_OK;
}

int op_run_cast(struct op_run *r)
{
    int64_t to =
        r->node->n_in > 1 && r->in[1] ? (int64_t)r->in[1]->type : op_attr_i(r->node, "to", 0);
    const struct tensor *t = r->in[0];
    if (!elem_known(to))
        return op_fail(r->e, r->node, "casts to %s are not supported", elem_name(to));
    if ((enum elem_type)to == t->type) {
        r->out[0] = *t; /* columns stay columns */
        return ERR_OK;
    }
    t = tensor_dense(t, r->mem);
    if (!t)
        return op_nomem(r->e, r->node);
    return op_convert(r, t, (enum elem_type)to, &r->out[0]);
}
