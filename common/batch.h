/*
 * batch.h: the columnar container of rows that stages and sinks pass on, and its wire form.
 *
 * A batch has a fixed list of columns. Rows are appended cell by cell in column order. Text cells
 * lie one after another in one run of bytes per column, with the end offset of each. The wire form
 * (also what the store keeps) is msgpack: [1, n_rows, [[name, type, nulls, data, ends], ...]] where
 * nulls is nil or a bitmap (bit i of byte i/8 set: row i is NULL), data is the little-endian vector
 * (bool 1 byte, int64/float64/date/timestamp 8 bytes) or the text bytes, ends is nil or the
 * little-endian uint32 end offsets of the text cells. A NULL cell has zero or empty data.
 *
 * Thread rule: one owner at a time.
 */
#ifndef DROVER_BATCH_H
#define DROVER_BATCH_H

#include "buf.h"
#include "err.h"

enum {
    BATCH_COLUMNS_MAX = 1600,           /* PostgreSQL's limit too */
    BATCH_BYTES_MAX = 256 * 1024 * 1024 /* of one column's text; offsets are 32 bits */
};

/* The numbers travel on the wire and are stored: never change one. */
enum col_type {
    COL_BOOL = 1,
    COL_INT64 = 2,
    COL_FLOAT64 = 3,
    COL_DECIMAL = 4,  /* exact, as text: [-]digits[.digits] */
    COL_TEXT = 5,     /* UTF-8 without NUL */
    COL_JSON = 6,     /* a JSON document as text */
    COL_DATE = 7,     /* int64 days since 1970-01-01 */
    COL_TIMESTAMP = 8 /* int64 microseconds since 1970-01-01T00:00:00Z */
};

bool col_type_is_text(enum col_type type); /* DECIMAL, TEXT, JSON */
const char *col_type_name(enum col_type type);

struct column {
    char *name;
    enum col_type type;
    struct buf nulls; /* bitmap; empty while no cell is NULL */
    struct buf data;
    struct buf ends; /* uint32_t each; text types only */
    uint32_t n;      /* cells appended */
};

struct batch {
    struct column *columns;
    size_t n_columns;
    uint32_t n_rows; /* complete rows */
};

struct batch *batch_new(void);
void batch_free(struct batch *b);
void batch_clear(struct batch *b); /* no rows; keeps columns and memory */

/* Adds a column while the batch has no rows. Fails with LIMIT or NOMEM. */
int batch_add_column(struct batch *b, const char *name, enum col_type type) MUST_CHECK;

/* Cells of the current row. The type must fit the column (asserted). A failure sticks (batch_ok). */
void batch_null(struct batch *b, size_t column);
void batch_bool(struct batch *b, size_t column, bool v);
void batch_i64(struct batch *b, size_t column, int64_t v); /* INT64, DATE, TIMESTAMP */
void batch_f64(struct batch *b, size_t column, double v);
void batch_text(struct batch *b, size_t column, struct span v); /* DECIMAL, TEXT, JSON */
void batch_row_end(struct batch *b); /* columns not set in this row become NULL */
/* Column by column instead: the next n cells of one, as 8 bytes each to be filled in (INT64, FLOAT64, DATE,
 * TIMESTAMP; NULL: no memory), or cell by cell as above; then n rows end. */
void *batch_extend(struct batch *b, size_t column, uint32_t n);
void batch_set_null(struct batch *b, size_t column,
                    uint32_t row);                /* of a cell that was extended by */
void batch_rows_end(struct batch *b, uint32_t n); /* asserts that each column has n more cells */
void batch_row_drop(struct batch *b); /* forgets the cells appended since the last row end */
void batch_truncate(struct batch *b, uint32_t n_rows); /* keeps the first n_rows at most */
/* The same for a batch that was good with those rows: what failed since then is forgotten. */
void batch_rewind(struct batch *b, uint32_t n_rows);
bool batch_ok(const struct batch *b);
size_t batch_bytes(const struct batch *b); /* used, of all columns */

/* Reading a cell. */
bool batch_is_null(const struct batch *b, size_t column, uint32_t row);
bool batch_get_bool(const struct batch *b, size_t column, uint32_t row);
int64_t batch_get_i64(const struct batch *b, size_t column, uint32_t row);
double batch_get_f64(const struct batch *b, size_t column, uint32_t row);
struct span batch_get_text(const struct batch *b, size_t column, uint32_t row);

void batch_pack(const struct batch *b, struct buf *out);
/* Reads the wire form, checking every length. MALFORMED, LIMIT or NOMEM. */
int batch_unpack(struct span wire, struct batch **ret, struct error *e) MUST_CHECK;

/* One JSON object per line. JSON cells are written as they are; decimals as numbers; non-finite
 * doubles as null; dates as "YYYY-MM-DD"; timestamps as RFC 3339 UTC. */
void batch_write_ndjson(const struct batch *b, struct buf *out);
/* One cell as it stands in such a line. */
void batch_write_cell(const struct batch *b, size_t column, uint32_t row, struct buf *out);

#endif
