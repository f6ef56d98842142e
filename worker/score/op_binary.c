/* op_binary.c: operators with two inputs (or more, taken one after the other) of one type. */
#include <math.h>

#include "broadcast.h"
#include "op_math.h"

typedef void (*binary_fn)(size_t n, const void *a, size_t a_step, const void *b, size_t b_step,
                          void *out);

/* One loop for each way to repeat, so that the compiler makes vectors of all three. */
#define BINARY(name, in_type, out_type, expression)                                                \
    static void name(size_t n, const void *a_, size_t a_step, const void *b_, size_t b_step,       \
                     void *out_)                                                                   \
    {                                                                                              \
        const in_type *as = a_, *bs = b_;                                                          \
        out_type *out = out_;                                                                      \
        if (a_step && b_step)                                                                      \
            for (size_t i = 0; i < n; i++) {                                                       \
                in_type a = as[i], b = bs[i];                                                      \
                out[i] = (out_type)(expression);                                                   \
            }                                                                                      \
        else if (a_step)                                                                           \
            for (size_t i = 0; i < n; i++) {                                                       \
                in_type a = as[i], b = bs[0];                                                      \
                out[i] = (out_type)(expression);                                                   \
            }                                                                                      \
        else                                                                                       \
            for (size_t i = 0; i < n; i++) {                                                       \
                in_type a = as[0], b = bs[i * b_step];                                             \
                out[i] = (out_type)(expression);                                                   \
            }                                                                                      \
    }

/* Integers wrap around, as two's complement does; a division by zero gives zero. */
#define WRAP(type, unsigned_type, op) ((type)((unsigned_type)a op(unsigned_type) b))
#define DIVIDE(type, unsigned_type)                                                                \
    (b == 0 ? 0 : b == -1 ? (type)(0 - (unsigned_type)a) : a / (b ? b : 1))
#define INTEGER(suffix, type, unsigned_type)                                                       \
    BINARY(add_##suffix, type, type, WRAP(type, unsigned_type, +))                                 \
    BINARY(sub_##suffix, type, type, WRAP(type, unsigned_type, -))                                 \
    BINARY(mul_##suffix, type, type, WRAP(type, unsigned_type, *))                                 \
    BINARY(div_##suffix, type, type, DIVIDE(type, unsigned_type))                                  \
    BINARY(min_##suffix, type, type, a < b ? a : b)                                                \
    BINARY(max_##suffix, type, type, a > b ? a : b)
#define FLOATING(suffix, type, power)                                                              \
    BINARY(add_##suffix, type, type, a + b)                                                        \
    BINARY(sub_##suffix, type, type, a - b)                                                        \
    BINARY(mul_##suffix, type, type, a *b)                                                         \
    BINARY(div_##suffix, type, type, a / b)                                                        \
    BINARY(min_##suffix, type, type, (a != a || a < b) ? a : b) /* NaN wins, as in numpy */        \
    BINARY(max_##suffix, type, type, (a != a || a > b) ? a : b)                                    \
    BINARY(pow_##suffix, type, type, power(a, b))
#define COMPARISONS(suffix, type)                                                                  \
    BINARY(eq_##suffix, type, uint8_t, a == b)                                                     \
    BINARY(lt_##suffix, type, uint8_t, a < b)                                                      \
    BINARY(le_##suffix, type, uint8_t, a <= b)                                                     \
    BINARY(gt_##suffix, type, uint8_t, a > b)                                                      \
    BINARY(ge_##suffix, type, uint8_t, a >= b)

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wfloat-equal"
INTEGER(i32, int32_t, uint32_t)
INTEGER(i64, int64_t, uint64_t)
FLOATING(f32, float, powf)
FLOATING(f64, double, pow)
BINARY(pow_i32, int32_t, int32_t, i32_of_f64(pow((double)a, (double)b)))
BINARY(pow_i64, int64_t, int64_t, i64_of_f64(pow((double)a, (double)b)))
COMPARISONS(f32, float)
COMPARISONS(f64, double)
COMPARISONS(i32, int32_t)
COMPARISONS(i64, int64_t)
BINARY(eq_bool, uint8_t, uint8_t, a == b)
BINARY(and_bool, uint8_t, uint8_t, a &b)
BINARY(or_bool, uint8_t, uint8_t, a | b)
BINARY(xor_bool, uint8_t, uint8_t, a ^ b)
BINARY(eq_str, struct span, uint8_t, span_eq(a, b))
#pragma GCC diagnostic pop

struct binary {
    const char *op;
    bool compares; /* the output is bool */
    binary_fn f32, f64, i32, i64, bools, str;
};

static const struct binary table[] = {
    {"Add", false, add_f32, add_f64, add_i32, add_i64, NULL, NULL},
    {"Sub", false, sub_f32, sub_f64, sub_i32, sub_i64, NULL, NULL},
    {"Mul", false, mul_f32, mul_f64, mul_i32, mul_i64, NULL, NULL},
    {"Div", false, div_f32, div_f64, div_i32, div_i64, NULL, NULL},
    {"Pow", false, pow_f32, pow_f64, pow_i32, pow_i64, NULL, NULL},
    {"Min", false, min_f32, min_f64, min_i32, min_i64, NULL, NULL},
    {"Max", false, max_f32, max_f64, max_i32, max_i64, NULL, NULL},
    {"Sum", false, add_f32, add_f64, NULL, NULL, NULL, NULL},
    {"Mean", false, add_f32, add_f64, NULL, NULL, NULL, NULL},
    {"Equal", true, eq_f32, eq_f64, eq_i32, eq_i64, eq_bool, eq_str},
    {"Less", true, lt_f32, lt_f64, lt_i32, lt_i64, NULL, NULL},
    {"LessOrEqual", true, le_f32, le_f64, le_i32, le_i64, NULL, NULL},
    {"Greater", true, gt_f32, gt_f64, gt_i32, gt_i64, NULL, NULL},
    {"GreaterOrEqual", true, ge_f32, ge_f64, ge_i32, ge_i64, NULL, NULL},
    {"And", true, NULL, NULL, NULL, NULL, and_bool, NULL},
    {"Or", true, NULL, NULL, NULL, NULL, or_bool, NULL},
    {"Xor", true, NULL, NULL, NULL, NULL, xor_bool, NULL},
};

static const struct binary *row_of(const char *op)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (strcmp(table[i].op, op) == 0)
            return &table[i];
    return NULL;
}

static binary_fn function_of(const struct binary *row, enum elem_type type)
{
    switch (type) {
    case ELEM_F32:
        return row->f32;
    case ELEM_F64:
        return row->f64;
    case ELEM_I32:
        return row->i32;
    case ELEM_I64:
        return row->i64;
    case ELEM_BOOL:
        return row->bools;
    case ELEM_STR:
        return row->str;
    case ELEM_NONE:
        break;
    }
    return NULL;
}

struct walk {
    binary_fn fn;
    const char *a, *b;
    char *out;
    size_t in_bytes, out_bytes;
};

static void walk_run(const struct broadcast *b, const size_t in[BROADCAST_INPUTS], size_t out,
                     void *user)
{
    const struct walk *w = user;
    w->fn(b->run, w->a + in[0] * w->in_bytes, b->run_steps[0], w->b + in[1] * w->in_bytes,
          b->run_steps[1], w->out + out * w->out_bytes);
}

static int combine(struct op_run *r, const struct binary *row, const struct tensor *a,
                   const struct tensor *b, struct tensor *ret)
{
    const struct tensor *in[] = {a, b};
    char ta[TENSOR_TEXT_BYTES], tb[TENSOR_TEXT_BYTES];
    struct broadcast walk;
    struct tensor converted;
    if (a->type != b->type && strcmp(row->op, "Pow") == 0) {
        int rc = op_convert(r, b, a->type, &converted); /* the output has the base's type */
        if (rc)
            return rc;
        in[1] = &converted;
    } else if (a->type != b->type) {
        return op_fail(r->e, r->node, "its inputs have two types: %s and %s", tensor_text(a, ta),
                       tensor_text(b, tb));
    }
    binary_fn fn = function_of(row, a->type);
    if (!fn)
        return op_fail(r->e, r->node, "it is not supported for %s", elem_name(a->type));
    if (!broadcast_make(in, 2, &walk))
        return op_fail(r->e, r->node, "shapes do not go together: %s and %s", tensor_text(a, ta),
                       tensor_text(b, tb));
    enum elem_type type = row->compares ? ELEM_BOOL : a->type;
    int rc = tensor_make(r->mem, type, walk.rank, walk.dims, ret);
    if (rc)
        return error_set(r->e, (enum err)rc, "model: %.150s: the output is too large",
                         r->node->label);
    struct walk w = {fn,        in[0]->data,         in[1]->data,
                     ret->data, elem_bytes(a->type), elem_bytes(type)};
    broadcast_each(&walk, walk_run, &w);
    return ERR_OK;
}

int op_run_binary(struct op_run *r)
{
    const struct binary *row = row_of(r->node->op->name);
    struct tensor sum = *r->in[0];
    assert(row);
    if (r->node->n_in == 1 && !function_of(row, sum.type))
        return op_fail(r->e, r->node, "it is not supported for %s", elem_name(sum.type));
    for (uint32_t i = 1; i < r->node->n_in; i++) {
        struct tensor next;
        int rc = combine(r, row, &sum, r->in[i], &next);
        if (rc)
            return rc;
        sum = next;
    }
    r->out[0] = sum;
    return ERR_OK;
}

int op_run_mean(struct op_run *r)
{
    int rc = op_run_binary(r);
    if (rc || r->node->n_in == 1)
        return rc;
    struct tensor *t = &r->out[0];
    for (size_t i = 0; i < t->n; i++)
        if (t->type == ELEM_F32)
            t->f32[i] /= (float)r->node->n_in;
        else
            t->f64[i] /= (double)r->node->n_in;
    return ERR_OK;
}
