/*
 * bench_encode.c: rows per second that one processor makes into binary COPY: from a batch, as the
 * PostgreSQL sink does (pg_value.h).
 *
 *   bench_encode ROWS
 *
 * Rows of (bigint, numeric, text, text), the results of tests/bench/transform.py. Prints one line of JSON.
 */
#include <stdio.h>

#include "common/clock.h"
#include "worker/sinks/pg_value.h"

enum { COLUMNS = 4, BATCH_ROWS = 10000, TYPMOD_NONE = -1 };

static const enum col_type types[COLUMNS] = {COL_INT64, COL_DECIMAL, COL_TEXT, COL_TEXT};
static const uint32_t oids[COLUMNS] = {PG_INT8, PG_NUMERIC, PG_TEXT, PG_TEXT};

static struct batch *make_batch(void)
{
    struct batch *b = batch_new();
    char text[100];
    for (int i = 0; i < COLUMNS; i++) {
        snprintf(text, sizeof(text), "c%d", i);
        if (!b || batch_add_column(b, text, types[i]) != ERR_OK)
            exit(1);
    }
    for (unsigned i = 0; i < BATCH_ROWS; i++) {
        batch_i64(b, 0, i);
        int len = snprintf(text, sizeof(text), "%u.%02u", i * 7919 % 100000, i % 100);
        batch_text(b, 1, (struct span){text, (size_t)len});
        batch_text(b, 2, SPAN("2024-03-17"));
        batch_text(b, 3, i % 2 ? SPAN("electronics") : SPAN("books"));
        batch_row_end(b);
    }
    return b;
}

int main(int argc, char **argv)
{
    const size_t rows = argc > 1 ? strtoul(argv[1], NULL, 10) : 10000000;
    struct batch *b = make_batch();
    struct buf out = {0};
    char why[PG_VALUE_WHY_LEN];
    size_t done = 0, bytes = 0;
    const uint64_t start = clock_us();
    for (; done < rows; done += BATCH_ROWS) {
        buf_clear(&out);
        for (uint32_t row = 0; row < BATCH_ROWS; row++) {
            pg_value_put_i16(&out, COLUMNS);
            for (size_t c = 0; c < COLUMNS; c++)
                if (!pg_value_put(&out, b, c, row, oids[c], TYPMOD_NONE, why))
                    return 1;
        }
        bytes += out.len;
    }
    const double seconds = (double)(clock_us() - start) / 1e6;
    printf("{\"rows\": %zu, \"seconds\": %.3f, \"rows_per_s\": %.0f, \"bytes\": %zu}\n", done,
           seconds, (double)done / seconds, bytes);
    buf_done(&out);
    batch_free(b);
    return 0;
}
