#include "predict_rows.h"

#include <math.h>
#include <stdio.h>

#include "common/unpack.h"
#include "common/utf8.h"
#include "coordinator/edge/predict.h"
#include "worker/score/feed.h"

void predict_rows_init(struct predict_rows *r, const struct model_info *info, struct batch *out,
                       struct arena *mem)
{
    *r = (struct predict_rows){.info = info, .out = out, .mem = mem};
}

/* ---- names ---- */

static struct span name_at(const struct predict_rows *r, uint32_t at)
{
    return r->names ? r->names[at] : r->info->columns[r->columns[at]].name;
}

/* What the model takes, for people. */
static const char *list_columns(const struct model_info *info, char text[200])
{
    size_t at = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < info->n_columns && at < 150; i++)
        at += (size_t)snprintf(text + at, 200 - at, "%s%.40s", i ? ", " : "",
                               info->columns[i].name.p);
    if (at >= 150)
        snprintf(text + MIN(at, (size_t)190), 200 - MIN(at, (size_t)190), " ...");
    return text;
}

static int unknown_name(const struct predict_rows *r, const char *where, struct span name,
                        struct error *e)
{
    char text[200];
    if (r->info->positional)
        return error_set(e, ERR_INVALID_ARGUMENT,
                         "%s: '%.*s': the columns of this model have no names, and their order "
                         "counts: give rows as lists, or add the model with its columns",
                         where, (int)MIN(name.len, (size_t)60), name.p);
    return error_set(e, ERR_INVALID_ARGUMENT, "%s: the model has no column '%.*s' (it takes: %s)",
                     where, (int)MIN(name.len, (size_t)60), name.p, list_columns(r->info, text));
}

static int room(struct predict_rows *r, size_t n, struct error *e)
{
    r->columns = arena_alloc(r->mem, (n + 1) * sizeof(*r->columns));
    if (!r->columns)
        return error_set(e, ERR_NOMEM, "no memory for the rows");
    r->n = (uint32_t)n;
    return ERR_OK;
}

int predict_rows_order(struct predict_rows *r, struct error *e)
{
    int rc = room(r, r->info->n_columns, e);
    for (uint32_t i = 0; rc == ERR_OK && i < r->n; i++)
        r->columns[i] = i;
    return rc;
}

static int missing(const struct predict_rows *r, const char *where, uint32_t column,
                   struct error *e)
{
    return error_set(e, ERR_INVALID_ARGUMENT, "%s: the column '%.60s' is missing", where,
                     r->info->columns[column].name.p);
}

/* Each column of the model once. */
static int match_names(struct predict_rows *r, struct error *e)
{
    const struct model_info *info = r->info;
    bool *seen = arena_zalloc(r->mem, info->n_columns + 1);
    if (!seen)
        return error_set(e, ERR_NOMEM, "no memory for the rows");
    for (uint32_t i = 0; i < r->n; i++) {
        /* Most often they come in the model's order. */
        int64_t at = i < info->n_columns && span_eq(info->columns[i].name, r->names[i])
                         ? (int64_t)i
                         : model_info_find(info, r->names[i]);
        if (at < 0)
            return unknown_name(r, "columns", r->names[i], e);
        if (seen[at])
            return error_set(e, ERR_INVALID_ARGUMENT, "columns: '%.60s' is there twice",
                             info->columns[at].name.p);
        seen[at] = true;
        r->columns[i] = (uint32_t)at;
    }
    for (uint32_t i = 0; r->n < info->n_columns && i < info->n_columns; i++)
        if (!seen[i])
            return missing(r, "columns", i, e);
    return ERR_OK;
}

int predict_rows_names(struct predict_rows *r, const struct span *names, size_t n, struct error *e)
{
    if (n > BATCH_COLUMNS_MAX)
        return error_set(e, ERR_INVALID_ARGUMENT, "columns: the model takes %u, and there are %zu",
                         r->info->n_columns, n);
    int rc = room(r, n, e);
    if (rc)
        return rc;
    r->names = arena_alloc(r->mem, (n + 1) * sizeof(*r->names));
    if (!r->names)
        return error_set(e, ERR_NOMEM, "no memory for the rows");
    for (size_t i = 0; i < n; i++)
        r->names[i] = names[i];
    return match_names(r, e);
}

int predict_rows_find(const struct predict_rows *r, struct span name, uint32_t guess, uint32_t *ret,
                      struct error *e)
{
    char where[30];
    if (guess < r->n && span_eq(r->names[guess], name)) {
        *ret = guess;
        return ERR_OK;
    }
    snprintf(where, sizeof(where), "rows[%u]", r->row);
    int64_t column = model_info_find(r->info, name);
    for (uint32_t i = 0; column >= 0 && i < r->n; i++)
        if (r->columns[i] == (uint32_t)column) {
            *ret = i;
            return ERR_OK;
        }
    return unknown_name(r, where, name, e);
}

/* ---- cells ---- */

static int wrong(const struct predict_rows *r, uint32_t at, const char *detail, struct error *e)
{
    struct span name = name_at(r, at);
    return error_set(e, ERR_INVALID_ARGUMENT, "rows[%u].%.*s: %s", r->row,
                     (int)MIN(name.len, (size_t)100), name.p, detail);
}

int predict_rows_wrong(const struct predict_rows *r, uint32_t at, const char *what, struct error *e)
{
    char detail[120];
    snprintf(detail, sizeof(detail), "%s is wanted, not %s",
             model_cell_name(r->info->columns[r->columns[at]].cell), what);
    return wrong(r, at, detail, e);
}

/* The column for a cell that is not there yet. */
static int take(const struct predict_rows *r, uint32_t at, uint32_t *ret, struct error *e)
{
    uint32_t column = r->columns[at];
    if (r->out->columns[column].n != r->out->n_rows)
        return wrong(r, at, "it is there twice", e);
    *ret = column;
    return ERR_OK;
}

int predict_rows_null(struct predict_rows *r, uint32_t at, struct error *e)
{
    uint32_t column = 0;
    enum model_cell cell = r->info->columns[r->columns[at]].cell;
    int rc = take(r, at, &column, e);
    if (rc)
        return rc;
    if (cell != MODEL_FLOAT && cell != MODEL_TEXT)
        return predict_rows_wrong(r, at, "null", e);
    batch_null(r->out, column);
    return ERR_OK;
}

int predict_rows_integer(struct predict_rows *r, uint32_t at, int64_t v, struct error *e)
{
    uint32_t column = 0;
    int rc = take(r, at, &column, e);
    if (rc)
        return rc;
    switch (r->info->columns[column].cell) {
    case MODEL_FLOAT:
        batch_f64(r->out, column, (double)v);
        return ERR_OK;
    case MODEL_INT32:
        if (v < INT32_MIN || v > INT32_MAX)
            return wrong(r, at, "it does not fit into 32 bits", e);
        batch_i64(r->out, column, v);
        return ERR_OK;
    case MODEL_INT64:
        batch_i64(r->out, column, v);
        return ERR_OK;
    case MODEL_BOOL:
    case MODEL_TEXT:
        break;
    }
    return predict_rows_wrong(r, at, "a number", e);
}

int predict_rows_number(struct predict_rows *r, uint32_t at, double v, struct error *e)
{
    uint32_t column = 0;
    enum model_cell cell = r->info->columns[r->columns[at]].cell;
    bool whole = (cell == MODEL_INT64 || cell == MODEL_INT32) && floor(v) >= v;
    if (whole && fabs(v) <= 9007199254740992.0)
        return predict_rows_integer(r, at, (int64_t)v, e);
    if (whole)
        return wrong(r, at, "it is too large for a whole number", e);
    int rc = take(r, at, &column, e);
    if (rc)
        return rc;
    if (cell != MODEL_FLOAT)
        return predict_rows_wrong(r, at, "a number with a fraction", e);
    batch_f64(r->out, column, v);
    return ERR_OK;
}

int predict_rows_bool(struct predict_rows *r, uint32_t at, bool v, struct error *e)
{
    uint32_t column = 0;
    enum model_cell cell = r->info->columns[r->columns[at]].cell;
    if (cell == MODEL_TEXT)
        return predict_rows_wrong(r, at, "true or false", e);
    if (cell != MODEL_BOOL)
        return predict_rows_integer(r, at, v, e);
    int rc = take(r, at, &column, e);
    if (rc == ERR_OK)
        batch_bool(r->out, column, v);
    return rc;
}

int predict_rows_text(struct predict_rows *r, uint32_t at, struct span v, struct error *e)
{
    uint32_t column = 0;
    int rc = take(r, at, &column, e);
    if (rc)
        return rc;
    if (r->info->columns[column].cell != MODEL_TEXT)
        return predict_rows_wrong(r, at, "a text", e);
    if (memchr(v.p ? v.p : "", 0, v.len))
        return wrong(r, at, "a text with a NUL", e);
    batch_text(r->out, column, v);
    return ERR_OK;
}

int predict_rows_end(struct predict_rows *r, struct error *e)
{
    char where[30];
    snprintf(where, sizeof(where), "rows[%u]", r->row);
    size_t bytes = 0;
    for (uint32_t i = 0; i < r->info->n_columns; i++) {
        bytes += r->out->columns[i].data.len;
        if (r->out->columns[i].n == r->out->n_rows)
            return missing(r, where, i, e);
    }
    if (bytes > 2 * PREDICT_BATCH_BYTES_MAX)
        return error_set(e, ERR_LIMIT, "rows: they take more than %d MiB",
                         PREDICT_BATCH_BYTES_MAX >> 20);
    if (r->row >= PREDICT_ROWS_MAX)
        return error_set(e, ERR_LIMIT, "rows: more than %d; submit a job for so many (score)",
                         PREDICT_ROWS_MAX);
    batch_row_end(r->out);
    r->row++;
    return ERR_OK;
}

/* ---- msgpack ---- */

static int unpack_cell(struct predict_rows *r, struct unpack *u, uint32_t at, struct error *e)
{
    switch (unpack_peek(u)) {
    case UNPACK_NIL:
        unpack_skip(u);
        return predict_rows_null(r, at, e);
    case UNPACK_BOOL:
        return predict_rows_bool(r, at, unpack_bool(u), e);
    case UNPACK_INT: {
        int64_t v = unpack_i64(u);
        return unpack_ok(u) ? predict_rows_integer(r, at, v, e)
                            : wrong(r, at, "it does not fit into 64 bits", e);
    }
    case UNPACK_FLOAT:
        return predict_rows_number(r, at, unpack_f64(u), e);
    case UNPACK_STR: {
        struct span text = unpack_str(u);
        return unpack_ok(u) ? predict_rows_text(r, at, text, e)
                            : wrong(r, at, "the text is not UTF-8", e);
    }
    case UNPACK_BIN:
        return predict_rows_wrong(r, at, "bytes", e);
    default:
        return predict_rows_wrong(r, at, "a list or an object", e);
    }
}

static int unpack_names(struct predict_rows *r, struct span columns, struct error *e)
{
    struct unpack u;
    unpack_init(&u, columns.p, columns.len);
    size_t n = unpack_array(&u);
    if (n > BATCH_COLUMNS_MAX)
        return error_set(e, ERR_INVALID_ARGUMENT, "columns: more than %d", BATCH_COLUMNS_MAX);
    struct span *names = arena_alloc(r->mem, (n + 1) * sizeof(*names));
    if (!names)
        return error_set(e, ERR_NOMEM, "no memory for the rows");
    for (size_t i = 0; i < n; i++) {
        if (unpack_peek(&u) != UNPACK_STR)
            return error_set(e, ERR_INVALID_ARGUMENT, "columns[%zu]: a text is wanted", i);
        names[i] = unpack_str(&u);
    }
    return unpack_ok(&u) ? predict_rows_names(r, names, n, e)
                         : error_set(e, ERR_MALFORMED, "the columns cannot be read");
}

int predict_rows_unpack(const struct model_info *info, struct span columns, struct span rows,
                        struct batch *out, struct arena *mem, struct error *e)
{
    struct predict_rows r;
    struct unpack u;
    predict_rows_init(&r, info, out, mem);
    int rc = columns.len ? unpack_names(&r, columns, e) : predict_rows_order(&r, e);
    unpack_init(&u, rows.p, rows.len);
    size_t n = unpack_array(&u);
    for (size_t i = 0; i < n && rc == ERR_OK; i++) {
        if (unpack_peek(&u) != UNPACK_ARRAY)
            return error_set(e, ERR_INVALID_ARGUMENT, "rows[%zu]: a list of values is wanted", i);
        size_t width = unpack_array(&u);
        if (width != r.n)
            return error_set(e, ERR_INVALID_ARGUMENT, "rows[%zu]: %zu values for %u columns", i,
                             width, r.n);
        for (uint32_t at = 0; at < width && rc == ERR_OK; at++)
            rc = unpack_cell(&r, &u, at, e);
        if (rc == ERR_OK)
            rc = predict_rows_end(&r, e);
    }
    if (rc == ERR_OK && !unpack_ok(&u))
        rc = error_set(e, ERR_MALFORMED, "the rows cannot be read");
    return rc;
}

/* ---- cutting ---- */

int predict_rows_cut(const struct batch *rows, uint32_t first, uint32_t n, struct buf *out)
{
    struct batch *b = batch_new();
    int rc = b ? ERR_OK : ERR_NOMEM;
    for (size_t i = 0; i < rows->n_columns && rc == ERR_OK; i++)
        rc = batch_add_column(b, rows->columns[i].name, rows->columns[i].type);
    for (size_t i = 0; i < rows->n_columns && rc == ERR_OK; i++)
        feed_copy(rows, i, first, n, b, i);
    if (rc == ERR_OK && batch_ok(b)) {
        feed_rows(b, n);
        batch_pack(b, out);
    }
    bool good = rc == ERR_OK && batch_ok(b) && buf_ok(out);
    batch_free(b);
    return good ? ERR_OK : ERR_NOMEM;
}
