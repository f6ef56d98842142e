#include "feed.h"

#include <math.h>

#include "common/nearest.h"

bool feed_fits(enum col_type from, enum elem_type to)
{
    switch (to) {
    case ELEM_F32:
    case ELEM_F64:
        return from == COL_FLOAT64 || from == COL_INT64 || from == COL_BOOL || from == COL_DECIMAL;
    case ELEM_I64:
    case ELEM_I32:
        return from == COL_INT64 || from == COL_BOOL;
    case ELEM_BOOL:
        return from == COL_BOOL;
    case ELEM_STR:
        return from == COL_TEXT;
    case ELEM_NONE:
        break;
    }
    return false;
}

/* ---- in ---- */

static bool no_nulls(const struct column *c)
{
    return c->nulls.len == 0;
}

static bool is_null(const struct column *c, uint32_t row)
{
    return c->nulls.len > row / 8 && (c->nulls.data[row / 8] >> (row % 8) & 1) != 0;
}

/* A decimal is [-]digits[.digits]; what is too large for a double is infinite. */
static double decimal(struct span s)
{
    double v;
    if (nearest_read(s, &v))
        return v;
    char text[400];
    size_t n = MIN(s.len, sizeof text - 1);
    if (n)
        memcpy(text, s.p, n);
    text[n] = 0;
    return n ? strtod(text, NULL) : NAN;
}

static double number(const struct batch *in, uint32_t column, uint32_t row)
{
    const struct column *c = &in->columns[column];
    if (is_null(c, row))
        return NAN;
    switch (c->type) {
    case COL_FLOAT64:
        return batch_get_f64(in, column, row);
    case COL_INT64:
        return (double)batch_get_i64(in, column, row);
    case COL_BOOL:
        return batch_get_bool(in, column, row);
    default:
        return decimal(batch_get_text(in, column, row));
    }
}

static void floats(const struct batch *in, uint32_t column, uint32_t first, uint32_t n, float *out)
{
    const struct column *c = &in->columns[column];
    if (c->type == COL_FLOAT64 && no_nulls(c)) {
        const double *from = (const double *)(const void *)c->data.data + first;
        for (uint32_t r = 0; r < n; r++)
            out[r] = (float)from[r];
        return;
    }
    for (uint32_t r = 0; r < n; r++)
        out[r] = (float)number(in, column, first + r);
}

static int element(const struct batch *in, uint32_t column, uint32_t row, uint64_t rows_before,
                   struct tensor *t, size_t to, struct error *e)
{
    const struct column *c = &in->columns[column];
    bool null = is_null(c, row);
    if (t->type == ELEM_F32) {
        t->f32[to] = (float)number(in, column, row);
    } else if (t->type == ELEM_F64) {
        t->f64[to] = number(in, column, row);
    } else if (t->type == ELEM_STR) {
        t->str[to] = null ? SPAN("") : batch_get_text(in, column, row);
    } else if (null) {
        return error_set(e, ERR_INVALID_ARGUMENT,
                         "column '%.100s', row %llu: NULL, where the model takes %s", c->name,
                         (unsigned long long)(rows_before + row), elem_name(t->type));
    } else {
        int64_t v =
            c->type == COL_BOOL ? batch_get_bool(in, column, row) : batch_get_i64(in, column, row);
        if (t->type == ELEM_I64)
            t->i64[to] = v;
        else if (t->type == ELEM_BOOL)
            t->bools[to] = v != 0;
        else if (v < INT32_MIN || v > INT32_MAX)
            return error_set(e, ERR_INVALID_ARGUMENT,
                             "column '%.100s', row %llu: %lld does not fit into int32", c->name,
                             (unsigned long long)(rows_before + row), (long long)v);
        else
            t->i32[to] = (int32_t)v;
    }
    return ERR_OK;
}

int feed_tensor(const struct batch *in, const uint32_t *columns, size_t n_columns,
                const struct shape *shape, uint32_t first, uint32_t n,
                struct score_scratch *scratch, struct tensor *ret, struct error *e)
{
    struct arena *mem = &scratch->mem;
    struct tensor t = {.type = shape->type, .rank = shape->rank};
    int64_t dims[TENSOR_RANK_MAX];
    memcpy(dims, shape->dims, sizeof dims);
    dims[0] = n;
    if (t.type == ELEM_F32 && t.rank == 2) {
        float **cols = arena_alloc(mem, (n_columns + 1) * sizeof *cols);
        for (size_t c = 0; cols && c < n_columns; c++) {
            cols[c] = arena_alloc(mem, ((size_t)n + 1) * sizeof(float));
            if (!cols[c])
                return error_set(e, ERR_NOMEM, "model: no memory left");
            floats(in, columns[c], first, n, cols[c]);
        }
        if (!cols)
            return error_set(e, ERR_NOMEM, "model: no memory left");
        memcpy(t.dims, dims, sizeof dims);
        t.n = n * n_columns;
        if (n_columns == 1)
            t.f32 = cols[0];
        else
            t.cols = (const float *const *)cols;
        *ret = t;
        return ERR_OK;
    }
    if (tensor_make(mem, t.type, t.rank, dims, &t))
        return error_set(e, ERR_NOMEM, "model: no memory left");
    for (uint32_t r = 0; r < n; r++)
        for (size_t c = 0; c < n_columns; c++) {
            int rc =
                element(in, columns[c], first + r, scratch->rows_before, &t, r * n_columns + c, e);
            if (rc)
                return rc;
        }
    *ret = t;
    return ERR_OK;
}

/* ---- out ---- */

void feed_column(const struct tensor *t, size_t width, size_t at, struct batch *out, size_t column)
{
    struct column *c = &out->columns[column];
    size_t n = width ? t->n / width : 0;
    if (c->type == COL_TEXT) {
        for (size_t r = 0; r < n; r++) {
            buf_append(&c->data, t->str[r * width + at].p, t->str[r * width + at].len);
            uint32_t end = (uint32_t)c->data.len;
            buf_append(&c->ends, &end, sizeof end);
        }
    } else if (c->type == COL_BOOL) {
        for (size_t r = 0; r < n; r++)
            buf_byte(&c->data, t->bools[r * width + at]);
    } else {
        uint8_t *to = buf_reserve(&c->data, n * 8);
        if (!to)
            return;
        for (size_t r = 0, i = at; r < n; r++, i += width) {
            double v = 0;
            if (t->type == ELEM_F32)
                v = (double)t->f32[i];
            else if (t->type == ELEM_F64)
                v = t->f64[i];
            if (c->type == COL_FLOAT64)
                memcpy(to + r * 8, &v, 8);
            else
                memcpy(to + r * 8, &(int64_t){tensor_i64(t, i)}, 8);
        }
        c->data.len += n * 8;
    }
    c->n += (uint32_t)n;
}

static void copy_cell(const struct batch *in, size_t from, uint32_t row, struct batch *out,
                      size_t column)
{
    switch (in->columns[from].type) {
    case COL_BOOL:
        batch_bool(out, column, batch_get_bool(in, from, row));
        break;
    case COL_FLOAT64:
        batch_f64(out, column, batch_get_f64(in, from, row));
        break;
    case COL_INT64:
    case COL_DATE:
    case COL_TIMESTAMP:
        batch_i64(out, column, batch_get_i64(in, from, row));
        break;
    default:
        batch_text(out, column, batch_get_text(in, from, row));
        break;
    }
}

void feed_copy(const struct batch *in, size_t from, uint32_t first, uint32_t n, struct batch *out,
               size_t column)
{
    const struct column *c = &in->columns[from];
    uint32_t rows = out->n_rows;
    if (!col_type_is_text(c->type) && no_nulls(c)) {
        size_t width = c->type == COL_BOOL ? 1 : 8;
        buf_append(&out->columns[column].data, c->data.data + first * width, n * width);
        out->columns[column].n += n;
        return;
    }
    for (uint32_t r = first; r < first + n; r++) {
        if (is_null(c, r))
            batch_null(out, column);
        else
            copy_cell(in, from, r, out, column);
        out->n_rows++; /* a cell belongs to the current row */
    }
    out->n_rows = rows;
}

void feed_rows(struct batch *out, uint32_t n)
{
    for (size_t c = 0; c < out->n_columns; c++)
        assert(!batch_ok(out) || out->columns[c].n == out->n_rows + n);
    out->n_rows += n;
}
