/* Batches: cells in and out, the wire form and what is refused of it, lines of JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>

#include "common/batch.h"
#include "common/pack.h"

enum { ROWS = 20 };

static struct batch *sample(void)
{
    static const enum col_type types[] = {COL_BOOL, COL_INT64, COL_FLOAT64, COL_DECIMAL,
                                          COL_TEXT, COL_JSON,  COL_DATE,    COL_TIMESTAMP};
    struct batch *b = batch_new();
    assert_non_null(b);
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        assert_int_equal(batch_add_column(b, col_type_name(types[i]), types[i]), ERR_OK);
    for (int row = 0; row < ROWS; row++) {
        char text[32];
        if (row % 3 == 2) { /* some columns left out, one NULL by name */
            batch_null(b, 4);
            batch_i64(b, 1, row);
            batch_row_end(b);
            continue;
        }
        snprintf(text, sizeof text, "%d.50", row);
        batch_bool(b, 0, row % 2);
        batch_i64(b, 1, row);
        batch_f64(b, 2, row / 4.0);
        batch_text(b, 3, span_str(text));
        batch_text(b, 4, row == 1 ? SPAN("") : SPAN("t\"\xc3\xa9"));
        batch_text(b, 5, SPAN("[1]"));
        batch_i64(b, 6, row - 1);
        batch_i64(b, 7, row * INT64_C(1500000));
        batch_row_end(b);
    }
    assert_true(batch_ok(b));
    return b;
}

static void check_sample(const struct batch *b)
{
    assert_int_equal(b->n_rows, ROWS);
    for (uint32_t row = 0; row < ROWS; row++) {
        bool hollow = row % 3 == 2;
        for (size_t i = 0; i < b->n_columns; i++)
            assert_int_equal(batch_is_null(b, i, row), hollow && i != 1);
        assert_int_equal(batch_get_i64(b, 1, row), row);
        if (hollow)
            continue;
        assert_int_equal(batch_get_bool(b, 0, row), row % 2);
        assert_true(batch_get_f64(b, 2, row) == row / 4.0);
        assert_int_equal(batch_get_text(b, 4, row).len, row == 1 ? 0 : 4);
        assert_true(span_eq(batch_get_text(b, 5, row), SPAN("[1]")));
    }
}

static void cells_and_wire(void **state)
{
    struct batch *b = sample(), *again = NULL;
    struct buf wire, second;
    struct error e = {0};
    (void)state;
    check_sample(b);
    buf_init(&wire, 0);
    buf_init(&second, 0);
    batch_pack(b, &wire);
    assert_int_equal(batch_unpack(buf_span(&wire), &again, &e), ERR_OK);
    check_sample(again);
    batch_pack(again, &second);
    assert_int_equal(second.len, wire.len);
    assert_memory_equal(second.data, wire.data, wire.len);
    /* every prefix is refused, read from memory of its own */
    for (size_t n = 0; n < wire.len; n++) {
        struct batch *none = NULL;
        char *copy = malloc(n + 1);
        memcpy(copy, wire.data, n);
        assert_int_equal(batch_unpack((struct span){copy, n}, &none, &e), ERR_MALFORMED);
        free(copy);
    }
    /* changed bytes may be refused, and never crash (the sanitizers watch) */
    for (size_t at = 0; at < wire.len; at++) {
        uint8_t was = wire.data[at];
        for (unsigned v = 0; v < 256; v += 5) {
            struct batch *maybe = NULL;
            wire.data[at] = (uint8_t)v;
            if (batch_unpack(buf_span(&wire), &maybe, &e) == ERR_OK) {
                buf_clear(&second);
                batch_write_ndjson(maybe, &second);
                batch_free(maybe);
            }
        }
        wire.data[at] = was;
    }
    buf_done(&wire);
    buf_done(&second);
    batch_free(b);
    batch_free(again);
    batch_free(NULL);
}

static void clear_and_drop(void **state)
{
    struct batch *b = sample();
    (void)state;
    size_t before = batch_bytes(b);
    batch_text(b, 4, SPAN("half a row"));
    batch_null(b, 0);
    batch_row_drop(b);
    assert_int_equal(batch_bytes(b), before);
    check_sample(b);
    batch_text(b, 4, SPAN("a whole one"));
    batch_row_end(b);
    assert_true(span_eq(batch_get_text(b, 4, ROWS), SPAN("a whole one")));
    assert_true(batch_is_null(b, 0, ROWS));
    assert_false(batch_is_null(b, 4, ROWS));
    batch_clear(b);
    assert_int_equal(b->n_rows, 0);
    assert_int_equal(batch_bytes(b), 0);
    assert_int_equal(b->n_columns, 8);
    batch_free(b);
}

/* One column by hand, as another program might write it. */
static int read_column(uint64_t version, uint64_t rows, uint64_t type, struct span nulls,
                       struct span data, struct span ends, size_t columns)
{
    struct buf wire;
    struct batch *b = NULL;
    struct error e = {0};
    buf_init(&wire, 0);
    pack_array(&wire, 3);
    pack_u64(&wire, version);
    pack_u64(&wire, rows);
    pack_array(&wire, columns);
    for (size_t i = 0; i < columns; i++) {
        const struct span parts[] = {nulls, data, ends};
        pack_array(&wire, 5);
        pack_cstr(&wire, "c");
        pack_u64(&wire, type);
        for (size_t j = 0; j < 3; j++) {
            if (parts[j].p)
                pack_bin(&wire, parts[j]);
            else
                pack_nil(&wire);
        }
    }
    int rc = batch_unpack(buf_span(&wire), &b, &e);
    batch_free(b);
    buf_done(&wire);
    return rc;
}

static void lies_on_the_wire(void **state)
{
    const struct span nil = {NULL, 0}, empty = {"", 0};
    const struct span ends = {"\1\0\0\0\3\0\0\0", 8}, falling = {"\3\0\0\0\1\0\0\0", 8};
    const struct span beyond = {"\1\0\0\0\4\0\0\0", 8}, text = SPAN("abc");
    const struct span eight = SPAN("12345678");
    (void)state;
    assert_int_equal(read_column(1, 2, COL_TEXT, nil, text, ends, 1), ERR_OK);
    assert_int_equal(read_column(1, 1, COL_INT64, nil, eight, nil, 1), ERR_OK);
    assert_int_equal(read_column(1, 0, COL_TEXT, nil, empty, empty, 1), ERR_OK);
    assert_int_equal(read_column(1, 0, 0, nil, nil, nil, 0), ERR_OK);
    const struct {
        const char *name;
        uint64_t version, rows, type;
        struct span nulls, data, ends;
        size_t columns;
    } rows[] = {
        {"version", 2, 1, COL_INT64, nil, eight, nil, 1},
        {"type 0", 1, 1, 0, nil, eight, nil, 1},
        {"type 9", 1, 1, 9, nil, eight, nil, 1},
        {"too little data", 1, 2, COL_INT64, nil, eight, nil, 1},
        {"too much data", 1, 0, COL_INT64, nil, eight, nil, 1},
        {"many rows, no data", 1, UINT32_MAX, COL_BOOL, nil, eight, nil, 1},
        {"rows above 32 bits", 1, UINT64_C(1) << 32, COL_BOOL, nil, eight, nil, 1},
        {"rows of no columns", 1, 1000000, 0, nil, nil, nil, 0},
        {"ends of numbers", 1, 1, COL_INT64, nil, eight, ends, 1},
        {"text without ends", 1, 2, COL_TEXT, nil, text, nil, 1},
        {"falling ends", 1, 2, COL_TEXT, nil, text, falling, 1},
        {"ends beyond the text", 1, 2, COL_TEXT, nil, text, beyond, 1},
        {"text beyond the ends", 1, 2, COL_TEXT, nil, SPAN("abcd"), ends, 1},
        {"too many nulls", 1, 2, COL_TEXT, SPAN("\1\1"), text, ends, 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (read_column(rows[i].version, rows[i].rows, rows[i].type, rows[i].nulls, rows[i].data,
                        rows[i].ends, rows[i].columns) != ERR_MALFORMED)
            fail_msg("accepted: %s", rows[i].name);
    assert_int_equal(read_column(1, 0, COL_BOOL, nil, empty, nil, BATCH_COLUMNS_MAX), ERR_OK);
    assert_int_equal(read_column(1, 0, COL_BOOL, nil, empty, nil, BATCH_COLUMNS_MAX + 1),
                     ERR_LIMIT);
}

/* The cell as batch_write_ndjson writes it. */
static void check_json(enum col_type type, int64_t i, double f, struct span text, const char *want)
{
    struct batch *b = batch_new();
    struct buf out;
    char line[200];
    assert_int_equal(batch_add_column(b, "k\"", type), ERR_OK);
    if (type == COL_BOOL)
        batch_bool(b, 0, i);
    else if (type == COL_FLOAT64)
        batch_f64(b, 0, f);
    else if (col_type_is_text(type))
        batch_text(b, 0, text);
    else
        batch_i64(b, 0, i);
    batch_row_end(b);
    buf_init(&out, 0);
    batch_write_ndjson(b, &out);
    char *got = buf_take_str(&out);
    snprintf(line, sizeof line, "{\"k\\\"\":%s}\n", want);
    assert_string_equal(got, line);
    free(got);
    batch_free(b);
}

static void lines_of_json(void **state)
{
    const struct span none = {NULL, 0};
    (void)state;
    check_json(COL_BOOL, 1, 0, none, "true");
    check_json(COL_INT64, INT64_MIN, 0, none, "-9223372036854775808");
    check_json(COL_FLOAT64, 0, 0.1, none, "0.1");
    check_json(COL_FLOAT64, 0, 1.0 / 3, none, "0.3333333333333333");
    check_json(COL_FLOAT64, 0, 5e-324, none, "5e-324");
    check_json(COL_FLOAT64, 0, INFINITY, none, "null");
    check_json(COL_FLOAT64, 0, NAN, none, "null");
    check_json(COL_DECIMAL, 0, 0, SPAN("12345678901234567890.10"), "12345678901234567890.10");
    check_json(COL_JSON, 0, 0, SPAN("{\"a\":1}"), "{\"a\":1}");
    check_json(COL_TEXT, 0, 0, SPAN("a\nb"), "\"a\\nb\"");
    check_json(COL_DATE, 0, 0, none, "\"1970-01-01\"");
    check_json(COL_DATE, -1, 0, none, "\"1969-12-31\"");
    check_json(COL_DATE, 20777, 0, none, "\"2026-11-20\"");
    check_json(COL_DATE, INT64_MAX, 0, none, "null");
    check_json(COL_DATE, INT64_MIN, 0, none, "null");
    check_json(COL_TIMESTAMP, 0, 0, none, "\"1970-01-01T00:00:00Z\"");
    check_json(COL_TIMESTAMP, -1, 0, none, "\"1969-12-31T23:59:59.999999Z\"");
    check_json(COL_TIMESTAMP, 1500000, 0, none, "\"1970-01-01T00:00:01.500000Z\"");
    check_json(COL_TIMESTAMP, INT64_MIN, 0, none, "\"-290308-12-21T19:59:05.224192Z\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells_and_wire),
        cmocka_unit_test(clear_and_drop),
        cmocka_unit_test(lies_on_the_wire),
        cmocka_unit_test(lines_of_json),
    };
    return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
