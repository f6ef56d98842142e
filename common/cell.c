#include "cell.h"

#include <math.h>

enum { INT_TEXT_LEN = 20 }; /* "-9223372036854775808" */

static void put_int(struct buf *out, int64_t v)
{
    char text[INT_TEXT_LEN];
    size_t at = sizeof(text);
    uint64_t left = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do {
        text[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (v < 0)
        text[--at] = '-';
    buf_append(out, text + at, sizeof(text) - at);
}

struct span cell_text(const struct batch *b, size_t column, uint32_t row, struct buf *scratch)
{
    buf_clear(scratch);
    if (batch_is_null(b, column, row))
        return (struct span){NULL, 0};
    switch (b->columns[column].type) {
    case COL_DECIMAL:
    case COL_TEXT:
    case COL_JSON: {
        const struct span text = batch_get_text(b, column, row);
        return text.p ? text : SPAN("");
    }
    case COL_INT64:
        put_int(scratch, batch_get_i64(b, column, row));
        return buf_span(scratch);
    case COL_FLOAT64: {
        const double v = batch_get_f64(b, column, row);
        if (isnan(v))
            return SPAN("NaN");
        if (isinf(v))
            return v > 0 ? SPAN("Infinity") : SPAN("-Infinity");
        break;
    }
    case COL_BOOL:
    case COL_DATE:
    case COL_TIMESTAMP:
        break;
    }
    batch_write_cell(b, column, row, scratch);
    struct span text = buf_span(scratch);
    if (text.len >= 2 && text.p[0] == '"')
        return (struct span){text.p + 1, text.len - 2};
    return span_eq(text, SPAN("null")) ? (struct span){NULL, 0} : text;
}
