#include "batch_csv.h"

#include "cell.h"

/* A lone \. ends the data for PostgreSQL's COPY. */
static bool needs_quotes(struct span text)
{
    if (text.len == 0 || span_eq(text, SPAN("\\.")))
        return true;
    for (size_t i = 0; i < text.len; i++)
        if (text.p[i] == ',' || text.p[i] == '"' || text.p[i] == '\r' || text.p[i] == '\n')
            return true;
    return false;
}

static void put_field(struct buf *out, struct span text)
{
    if (!needs_quotes(text)) {
        buf_append(out, text.p, text.len);
        return;
    }
    buf_byte(out, '"');
    while (text.len > 0) {
        const char *quote = memchr(text.p, '"', text.len);
        const size_t n = quote ? (size_t)(quote - text.p) + 1 : text.len;
        buf_append(out, text.p, n);
        if (quote)
            buf_byte(out, '"');
        text.p += n;
        text.len -= n;
    }
    buf_byte(out, '"');
}

static void end_line(enum batch_csv_style style, struct buf *out)
{
    buf_str(out, style == BATCH_CSV_COPY ? "\n" : "\r\n");
}

/* Of a time in RFC 3339 and UTC. */
static void put_copy_time(struct buf *out, struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] == 'Z')
            buf_str(out, "+00");
        else
            buf_byte(out, (uint8_t)(text.p[i] == 'T' ? ' ' : text.p[i]));
    }
}

static void put_cell(struct buf *out, enum col_type type, enum batch_csv_style style,
                     struct span text)
{
    if (style == BATCH_CSV_COPY && type == COL_BOOL)
        buf_append(out, text.p, 1);
    else if (style == BATCH_CSV_COPY && type == COL_TIMESTAMP)
        put_copy_time(out, text);
    else
        put_field(out, text);
}

void batch_csv_header(const struct batch *b, enum batch_csv_style style, struct buf *out)
{
    for (size_t i = 0; i < b->n_columns; i++) {
        if (i)
            buf_byte(out, ',');
        put_field(out, span_str(b->columns[i].name));
    }
    end_line(style, out);
}

void batch_csv_row(const struct batch *b, uint32_t row, enum batch_csv_style style,
                   struct buf *scratch, struct buf *out)
{
    for (size_t i = 0; i < b->n_columns; i++) {
        const struct span text = cell_text(b, i, row, scratch);
        if (i)
            buf_byte(out, ',');
        if (text.p)
            put_cell(out, b->columns[i].type, style, text);
    }
    end_line(style, out);
}
