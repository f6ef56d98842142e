#include "batch.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

#include "pack.h"
#include "shortest.h"
#include "unpack.h"
#include "utf8.h"

enum { BATCH_WIRE_VERSION = 1 };

static const char *const type_names[] = {
    [COL_BOOL] = "bool",       [COL_INT64] = "int64",         [COL_FLOAT64] = "float64",
    [COL_DECIMAL] = "decimal", [COL_TEXT] = "text",           [COL_JSON] = "json",
    [COL_DATE] = "date",       [COL_TIMESTAMP] = "timestamp",
};

bool col_type_is_text(enum col_type type)
{
    return type == COL_DECIMAL || type == COL_TEXT || type == COL_JSON;
}

const char *col_type_name(enum col_type type)
{
    assert((size_t)type < ARRAY_LEN(type_names) && type_names[type]);
    return type_names[type];
}

static size_t cell_bytes(enum col_type type)
{
    return type == COL_BOOL ? 1 : col_type_is_text(type) ? 0 : 8;
}

struct batch *batch_new(void)
{
    return calloc(1, sizeof(struct batch));
}

void batch_free(struct batch *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->n_columns; i++) {
        free(b->columns[i].name);
        buf_done(&b->columns[i].nulls);
        buf_done(&b->columns[i].data);
        buf_done(&b->columns[i].ends);
    }
    free(b->columns);
    free(b);
}

void batch_clear(struct batch *b)
{
    b->n_rows = 0;
    for (size_t i = 0; i < b->n_columns; i++) {
        buf_clear(&b->columns[i].nulls);
        buf_clear(&b->columns[i].data);
        buf_clear(&b->columns[i].ends);
        b->columns[i].n = 0;
    }
}

int batch_add_column(struct batch *b, const char *name, enum col_type type)
{
    assert(b->n_rows == 0);
    if (b->n_columns == BATCH_COLUMNS_MAX)
        return ERR_LIMIT;
    struct column *columns = realloc(b->columns, (b->n_columns + 1) * sizeof *columns);
    if (!columns)
        return ERR_NOMEM;
    b->columns = columns;
    struct column *c = &columns[b->n_columns];
    *c = (struct column){.name = strdup(name), .type = type};
    if (!c->name)
        return ERR_NOMEM;
    buf_init(&c->data, BATCH_BYTES_MAX);
    b->n_columns++;
    return ERR_OK;
}

/* The column that takes the next cell of the current row. */
static struct column *next_cell(struct batch *b, size_t column)
{
    assert(column < b->n_columns);
    struct column *c = &b->columns[column];
    assert(c->n >= b->n_rows);
    return c;
}

static void append_end(struct column *c)
{
    uint32_t end = (uint32_t)c->data.len;
    buf_append(&c->ends, &end, sizeof end);
}

void batch_set_null(struct batch *b, size_t column, uint32_t row)
{
    struct column *c = &b->columns[column];
    const size_t need = row / 8 + 1;
    while (c->nulls.len < need && buf_ok(&c->nulls))
        buf_byte(&c->nulls, 0);
    if (buf_ok(&c->nulls))
        c->nulls.data[row / 8] |= (uint8_t)(1u << (row % 8));
}

void *batch_extend(struct batch *b, size_t column, uint32_t n)
{
    struct column *c = next_cell(b, column);
    assert(cell_bytes(c->type) == 8);
    void *cells = buf_reserve(&c->data, n * (size_t)8);
    if (!cells)
        return NULL;
    c->data.len += n * (size_t)8;
    c->n += n;
    return cells;
}

void batch_rows_end(struct batch *b, uint32_t n)
{
    for (size_t i = 0; i < b->n_columns; i++)
        assert(b->columns[i].n == b->n_rows + n || !batch_ok(b));
    b->n_rows += n;
}

void batch_null(struct batch *b, size_t column)
{
    static const uint8_t zero[8];
    struct column *c = next_cell(b, column);
    batch_set_null(b, column, c->n);
    if (col_type_is_text(c->type))
        append_end(c);
    else
        buf_append(&c->data, zero, cell_bytes(c->type));
    c->n++;
}

void batch_bool(struct batch *b, size_t column, bool v)
{
    struct column *c = next_cell(b, column);
    assert(c->type == COL_BOOL);
    buf_byte(&c->data, v);
    c->n++;
}

void batch_i64(struct batch *b, size_t column, int64_t v)
{
    struct column *c = next_cell(b, column);
    assert(c->type == COL_INT64 || c->type == COL_DATE || c->type == COL_TIMESTAMP);
    buf_append(&c->data, &v, sizeof v);
    c->n++;
}

void batch_f64(struct batch *b, size_t column, double v)
{
    struct column *c = next_cell(b, column);
    assert(c->type == COL_FLOAT64);
    buf_append(&c->data, &v, sizeof v);
    c->n++;
}

void batch_text(struct batch *b, size_t column, struct span v)
{
    struct column *c = next_cell(b, column);
    assert(col_type_is_text(c->type));
    buf_append(&c->data, v.p, v.len);
    append_end(c);
    c->n++;
}

void batch_row_end(struct batch *b)
{
    for (size_t i = 0; i < b->n_columns; i++)
        if (b->columns[i].n == b->n_rows)
            batch_null(b, i);
    b->n_rows++;
}

static size_t text_start(const struct column *c, uint32_t row)
{
    return row ? ((const uint32_t *)(const void *)c->ends.data)[row - 1] : 0;
}

/* Forgets the column's cells from row n on. */
static void column_truncate(struct column *c, uint32_t n)
{
    if (c->n <= n)
        return;
    c->n = n;
    if (c->nulls.len > n / 8) {
        c->nulls.data[n / 8] &= (uint8_t)((1u << (n % 8)) - 1u);
        c->nulls.len = n / 8 + 1;
    }
    if (!buf_ok(&c->data) || !buf_ok(&c->ends))
        return;
    if (col_type_is_text(c->type)) {
        c->data.len = text_start(c, n);
        c->ends.len = (size_t)n * sizeof(uint32_t);
    } else {
        c->data.len = n * cell_bytes(c->type);
    }
}

void batch_row_drop(struct batch *b)
{
    for (size_t i = 0; i < b->n_columns; i++)
        column_truncate(&b->columns[i], b->n_rows);
}

void batch_truncate(struct batch *b, uint32_t n_rows)
{
    b->n_rows = MIN(b->n_rows, n_rows);
    batch_row_drop(b);
}

void batch_rewind(struct batch *b, uint32_t n_rows)
{
    for (size_t i = 0; i < b->n_columns; i++) {
        struct column *c = &b->columns[i];
        c->nulls.failed = c->data.failed = c->ends.failed = false;
    }
    batch_truncate(b, n_rows);
}

bool batch_ok(const struct batch *b)
{
    for (size_t i = 0; i < b->n_columns; i++) {
        const struct column *c = &b->columns[i];
        if (!buf_ok(&c->nulls) || !buf_ok(&c->data) || !buf_ok(&c->ends))
            return false;
    }
    return true;
}

size_t batch_bytes(const struct batch *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->n_columns; i++)
        n += b->columns[i].nulls.len + b->columns[i].data.len + b->columns[i].ends.len;
    return n;
}

bool batch_is_null(const struct batch *b, size_t column, uint32_t row)
{
    const struct column *c = &b->columns[column];
    return c->nulls.len > row / 8 && (c->nulls.data[row / 8] >> (row % 8) & 1);
}

bool batch_get_bool(const struct batch *b, size_t column, uint32_t row)
{
    return b->columns[column].data.data[row] != 0;
}

int64_t batch_get_i64(const struct batch *b, size_t column, uint32_t row)
{
    int64_t v;
    memcpy(&v, b->columns[column].data.data + (size_t)row * 8, 8);
    return v;
}

double batch_get_f64(const struct batch *b, size_t column, uint32_t row)
{
    double v;
    memcpy(&v, b->columns[column].data.data + (size_t)row * 8, 8);
    return v;
}

struct span batch_get_text(const struct batch *b, size_t column, uint32_t row)
{
    const struct column *c = &b->columns[column];
    size_t start = text_start(c, row), end = text_start(c, row + 1);
    return (struct span){(const char *)c->data.data + start, end - start};
}

/* ---- wire ---- */

void batch_pack(const struct batch *b, struct buf *out)
{
    pack_array(out, 3);
    pack_u64(out, BATCH_WIRE_VERSION);
    pack_u64(out, b->n_rows);
    pack_array(out, b->n_columns);
    for (size_t i = 0; i < b->n_columns; i++) {
        const struct column *c = &b->columns[i];
        pack_array(out, 5);
        pack_cstr(out, c->name);
        pack_u64(out, c->type);
        if (c->nulls.len)
            pack_bin(out, buf_span(&c->nulls));
        else
            pack_nil(out);
        pack_bin(out, buf_span(&c->data));
        if (col_type_is_text(c->type))
            pack_bin(out, buf_span(&c->ends));
        else
            pack_nil(out);
    }
    if (!batch_ok(b))
        out->failed = true;
}

/* Whether the vectors have the lengths that n cells of the type need, and rising end offsets. */
static bool column_fits(enum col_type type, uint32_t n, struct span nulls, struct span data,
                        struct span ends)
{
    if (nulls.len > ((size_t)n + 7) / 8)
        return false;
    if (!col_type_is_text(type))
        return ends.p == NULL && data.len == n * cell_bytes(type);
    if (ends.len != (size_t)n * sizeof(uint32_t) || data.len > UINT32_MAX)
        return false;
    uint32_t before = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t end;
        memcpy(&end, ends.p + (size_t)i * 4, 4);
        if (end < before || end > data.len)
            return false;
        before = end;
    }
    return before == data.len;
}

static int column_unpack(struct unpack *u, struct batch *b, uint32_t n_rows, struct error *e)
{
    size_t extra;
    unpack_tuple(u, 5, &extra);
    struct span name = unpack_str(u);
    uint64_t type = unpack_u64(u);
    struct span nulls = unpack_bin(u), data = unpack_bin(u), ends = unpack_bin(u);
    unpack_skip_n(u, extra);
    if (!unpack_ok(u) || !name.p || type < COL_BOOL || type > COL_TIMESTAMP ||
        memchr(name.p, 0, name.len) || !column_fits((enum col_type)type, n_rows, nulls, data, ends))
        return error_set(e, ERR_MALFORMED, "batch: column %zu is malformed", b->n_columns);
    char *copy = strndup(name.p, name.len);
    int rc = copy ? batch_add_column(b, copy, (enum col_type)type) : ERR_NOMEM;
    free(copy);
    if (rc)
        return error_set(e, (enum err)rc, "batch: column %zu", b->n_columns);
    struct column *c = &b->columns[b->n_columns - 1];
    buf_append(&c->nulls, nulls.p, nulls.len);
    buf_append(&c->data, data.p, data.len);
    buf_append(&c->ends, ends.p, ends.len);
    c->n = n_rows;
    return ERR_OK;
}

int batch_unpack(struct span wire, struct batch **ret, struct error *e)
{
    struct unpack u;
    size_t extra;
    unpack_init(&u, wire.p, wire.len);
    unpack_tuple(&u, 3, &extra);
    uint64_t version = unpack_u64(&u), n_rows = unpack_u64(&u);
    size_t n_columns = unpack_array(&u);
    /* rows without columns would cost nothing on the wire and a line each when printed */
    if (!unpack_ok(&u) || version != BATCH_WIRE_VERSION || n_rows > UINT32_MAX ||
        (n_columns == 0 && n_rows > 0))
        return error_set(e, ERR_MALFORMED, "batch: bad header");
    struct batch *b = batch_new();
    if (!b)
        return error_set(e, ERR_NOMEM, "batch");
    for (size_t i = 0; i < n_columns; i++) {
        int rc = column_unpack(&u, b, (uint32_t)n_rows, e);
        if (rc) {
            batch_free(b);
            return rc;
        }
    }
    b->n_rows = (uint32_t)n_rows;
    unpack_skip_n(&u, extra);
    if (!unpack_finished(&u)) {
        batch_free(b);
        return error_set(e, ERR_MALFORMED, "batch: something follows its columns");
    }
    if (!batch_ok(b)) {
        batch_free(b);
        return error_set(e, ERR_NOMEM, "batch of %zu bytes", wire.len);
    }
    *ret = b;
    return ERR_OK;
}

/* ---- NDJSON ---- */

static void write_date(struct buf *out, int64_t days)
{
    struct tm tm;
    bool possible = days <= INT64_MAX / 86400 && days >= INT64_MIN / 86400;
    time_t t = possible ? (time_t)(days * 86400) : 0;
    if (!possible || !gmtime_r(&t, &tm)) {
        buf_str(out, "null");
        return;
    }
    buf_printf(out, "\"%04d-%02d-%02d\"", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}

static void write_timestamp(struct buf *out, int64_t us)
{
    int64_t fraction = us % 1000000;
    time_t t = (time_t)(us / 1000000);
    if (fraction < 0) { /* rounded towards zero: the second before */
        fraction += 1000000;
        t--;
    }
    struct tm tm;
    gmtime_r(&t, &tm);
    buf_printf(out, "\"%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
               tm.tm_hour, tm.tm_min, tm.tm_sec);
    if (fraction)
        buf_printf(out, ".%06d", (int)fraction);
    buf_str(out, "Z\"");
}

static void write_f64(struct buf *out, double v)
{
    char *to = (char *)buf_reserve(out, SHORTEST_TEXT_LEN);
    if (!isfinite(v))
        buf_str(out, "null");
    else if (to)
        out->len += shortest_write(v, to);
}

static void write_i64(struct buf *out, int64_t v)
{
    char text[24], *p = text + sizeof(text);
    uint64_t rest = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do
        *--p = (char)('0' + rest % 10);
    while (rest /= 10);
    if (v < 0)
        *--p = '-';
    buf_append(out, p, (size_t)(text + sizeof(text) - p));
}

void batch_write_cell(const struct batch *b, size_t column, uint32_t row, struct buf *out)
{
    if (batch_is_null(b, column, row)) {
        buf_str(out, "null");
        return;
    }
    struct span text;
    switch (b->columns[column].type) {
    case COL_BOOL:
        buf_str(out, batch_get_bool(b, column, row) ? "true" : "false");
        break;
    case COL_INT64:
        write_i64(out, batch_get_i64(b, column, row));
        break;
    case COL_FLOAT64:
        write_f64(out, batch_get_f64(b, column, row));
        break;
    case COL_DECIMAL:
    case COL_JSON:
        text = batch_get_text(b, column, row);
        buf_append(out, text.p, text.len);
        break;
    case COL_TEXT:
        buf_json_str(out, batch_get_text(b, column, row));
        break;
    case COL_DATE:
        write_date(out, batch_get_i64(b, column, row));
        break;
    case COL_TIMESTAMP:
        write_timestamp(out, batch_get_i64(b, column, row));
        break;
    }
}

/* What stands before the value of each column: `{"first":`, `,"second":`. */
static void write_keys(const struct batch *b, struct buf *keys, uint32_t *ends)
{
    for (size_t i = 0; i < b->n_columns; i++) {
        buf_byte(keys, i ? ',' : '{');
        buf_json_str(keys, span_str(b->columns[i].name));
        buf_byte(keys, ':');
        ends[i] = (uint32_t)keys->len;
    }
}

void batch_write_ndjson(const struct batch *b, struct buf *out)
{
    struct buf keys = {0};
    uint32_t ends[BATCH_COLUMNS_MAX];
    write_keys(b, &keys, ends);
    out->failed |= !buf_ok(&keys);
    for (uint32_t row = 0; row < b->n_rows && buf_ok(out); row++) {
        uint32_t at = 0;
        for (size_t i = 0; i < b->n_columns; at = ends[i++]) {
            buf_append(out, keys.data + at, ends[i] - at);
            batch_write_cell(b, i, row, out);
        }
        buf_str(out, b->n_columns ? "}\n" : "{}\n");
    }
    buf_done(&keys);
}
