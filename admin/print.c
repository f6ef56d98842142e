#include "print.h"

#include <math.h>
#include <stdio.h>

#include "common/utf8.h"

enum { COLUMN_MAX = 60, CELL_MAX = 20000 };

bool print_format_parse(const char *text, enum print_format *ret)
{
    static const char *const names[] = {"table", "wide", "json", "jsonl", "name"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret = (enum print_format)i;
            return true;
        }
    }
    return false;
}

void print_text(struct span text)
{
    if (text.len)
        fwrite(text.p, 1, text.len, stdout);
}

void print_json(const json_t *v, bool compact)
{
    size_t flags =
        JSON_ENCODE_ANY | JSON_REAL_PRECISION(15) | (compact ? JSON_COMPACT : JSON_INDENT(2));
    json_dumpf(v, stdout, flags);
    putchar('\n');
}

/* ---- values ---- */

/* Control characters (C0, DEL, C1) could move the cursor or change the title of a terminal. */
static void write_text(struct buf *out, const char *s, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t n = utf8_sequence(s + i, len - i);
        unsigned char c = (unsigned char)s[i];
        bool c1 = n == 2 && c == 0xC2 && (unsigned char)s[i + 1] < 0xA0;
        if (c == '\n' || c == '\t')
            buf_byte(out, ' ');
        else if (n == 0 || c < ' ' || c == 127 || c1)
            buf_byte(out, '?');
        else
            buf_append(out, s + i, n);
        i += MAX(n, (size_t)1);
    }
}

static void write_count(struct buf *out, json_int_t v)
{
    char digits[32];
    int n = snprintf(digits, sizeof digits, "%lld", (long long)v);
    for (int i = 0; i < n; i++) {
        buf_byte(out, (uint8_t)digits[i]);
        if (i + 1 < n && (n - i - 1) % 3 == 0 && digits[i] != '-')
            buf_byte(out, ',');
    }
}

static void write_bytes(struct buf *out, double v)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t i = 0;
    while (v >= 1024 && i + 1 < ARRAY_LEN(units)) {
        v /= 1024;
        i++;
    }
    buf_printf(out, i ? "%.1f %s" : "%.0f %s", v, units[i]);
}

static void write_seconds(struct buf *out, double s)
{
    long long n = llround(s);
    if (s > 0 && s < 0.0995)
        buf_printf(out, "%.0fms", ceil(s * 1000.0));
    else if (s < 9.95)
        buf_printf(out, "%.1fs", s);
    else if (n < 120)
        buf_printf(out, "%llds", n);
    else if (n < 7200)
        buf_printf(out, "%lldm%llds", n / 60, n % 60);
    else if (n < 172800)
        buf_printf(out, "%lldh%lldm", n / 3600, n / 60 % 60);
    else
        buf_printf(out, "%lldd%lldh", n / 86400, n / 3600 % 24);
}

static void write_list(struct buf *out, const json_t *v)
{
    const char *separator = "";
    for (size_t i = 0; i < json_array_size(v); i++) {
        buf_str(out, separator);
        print_value(out, json_array_get(v, i), PRINT_TEXT);
        separator = ", ";
    }
    if (json_array_size(v) == 0)
        buf_byte(out, '-');
}

/* "2026-11-20T08:15:30.123Z" without the fraction. */
static void write_time(struct buf *out, const char *s)
{
    size_t dot = strcspn(s, ".");
    write_text(out, s, dot);
    if (s[dot])
        buf_byte(out, 'Z');
}

void print_value(struct buf *out, const json_t *v, enum print_kind kind)
{
    if (!v || json_is_null(v) || (json_is_string(v) && json_string_length(v) == 0)) {
        buf_byte(out, '-');
    } else if (json_is_boolean(v)) {
        buf_str(out, json_is_true(v) ? "yes" : "no");
    } else if (kind == PRINT_BYTES && json_is_number(v)) {
        write_bytes(out, json_number_value(v));
    } else if (kind == PRINT_SECONDS && json_is_number(v)) {
        write_seconds(out, json_number_value(v));
    } else if (kind == PRINT_TIME && json_is_string(v)) {
        write_time(out, json_string_value(v));
    } else if (kind == PRINT_LIST && json_is_array(v)) {
        write_list(out, v);
    } else if (json_is_integer(v) && kind == PRINT_COUNT) {
        write_count(out, json_integer_value(v));
    } else if (json_is_string(v)) {
        write_text(out, json_string_value(v), json_string_length(v));
    } else if (json_is_real(v)) {
        buf_printf(out, "%.1f", json_real_value(v));
    } else {
        char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
        if (text)
            write_text(out, text, strlen(text));
        free(text);
    }
}

/* ---- tables ---- */

/* Characters, which is near enough to columns of a terminal. */
static size_t width_of(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

static char *cell_of(const json_t *row, const struct print_column *c)
{
    struct buf out;
    buf_init(&out, CELL_MAX);
    print_value(&out, json_object_get(row, c->key), c->kind);
    char *text = buf_take_str(&out);
    return text ? text : strdup("(too long)");
}

static bool right(const struct print_column *c)
{
    return c->kind == PRINT_COUNT || c->kind == PRINT_BYTES || c->kind == PRINT_SECONDS;
}

static void write_cell(struct buf *out, const char *text, size_t width, bool to_right, bool last)
{
    size_t used = width_of(text), pad = width > used ? width - used : 0;
    for (size_t i = 0; to_right && i < pad; i++)
        buf_byte(out, ' ');
    buf_str(out, text);
    for (size_t i = 0; !to_right && !last && i < pad; i++)
        buf_byte(out, ' ');
    buf_str(out, last ? "\n" : "  ");
}

/* Cells of all rows and columns in order; NULL: no memory. */
static char **cells_of(const json_t *rows, const struct print_column *const *columns, size_t n,
                       size_t *widths)
{
    size_t n_rows = json_array_size(rows);
    char **cells = calloc(MAX(n_rows * n, (size_t)1), sizeof *cells);
    for (size_t r = 0; cells && r < n_rows; r++) {
        for (size_t i = 0; i < n; i++) {
            char *text = cell_of(json_array_get(rows, r), columns[i]);
            cells[r * n + i] = text;
            widths[i] = MAX(widths[i], text ? width_of(text) : (size_t)0);
        }
    }
    return cells;
}

static void print_table(bool wide, const json_t *rows, const struct print_column *columns, size_t n)
{
    const struct print_column *shown[COLUMN_MAX];
    size_t widths[COLUMN_MAX], n_shown = 0, n_rows = json_array_size(rows);
    struct buf out;
    for (size_t i = 0; i < n && n_shown < COLUMN_MAX; i++)
        if (wide || !columns[i].wide)
            shown[n_shown++] = &columns[i];
    for (size_t i = 0; i < n_shown; i++)
        widths[i] = width_of(shown[i]->title);
    char **cells = cells_of(rows, shown, n_shown, widths);
    buf_init(&out, 0);
    for (size_t i = 0; i < n_shown; i++)
        write_cell(&out, shown[i]->title, widths[i], right(shown[i]), i + 1 == n_shown);
    for (size_t at = 0; cells && at < n_rows * n_shown; at++) {
        size_t i = at % n_shown;
        write_cell(&out, cells[at] ? cells[at] : "", widths[i], right(shown[i]), i + 1 == n_shown);
        free(cells[at]);
    }
    free(cells);
    print_text(buf_span(&out));
    buf_done(&out);
}

static void print_name(const json_t *row, const char *name_key)
{
    struct buf out;
    buf_init(&out, CELL_MAX);
    print_value(&out, json_object_get(row, name_key), PRINT_TEXT);
    buf_byte(&out, '\n');
    print_text(buf_span(&out));
    buf_done(&out);
}

void print_list(enum print_format format, const json_t *rows, const struct print_column *columns,
                size_t n, const char *name_key)
{
    if (format == PRINT_JSON) {
        print_json(rows, false);
        return;
    }
    if (format == PRINT_TABLE || format == PRINT_WIDE) {
        print_table(format == PRINT_WIDE, rows, columns, n);
        return;
    }
    for (size_t i = 0; i < json_array_size(rows); i++) {
        if (format == PRINT_JSONL)
            print_json(json_array_get(rows, i), true);
        else
            print_name(json_array_get(rows, i), name_key);
    }
}

void print_object(enum print_format format, const json_t *row, const struct print_column *columns,
                  size_t n, const char *name_key)
{
    size_t width = 0;
    struct buf out;
    if (format == PRINT_JSON || format == PRINT_JSONL) {
        print_json(row, format == PRINT_JSONL);
        return;
    }
    if (format == PRINT_NAME) {
        print_name(row, name_key);
        return;
    }
    for (size_t i = 0; i < n; i++)
        width = MAX(width, width_of(columns[i].title));
    buf_init(&out, 0);
    for (size_t i = 0; i < n; i++) {
        char *text = cell_of(row, &columns[i]);
        write_cell(&out, columns[i].title, width, false, false);
        buf_printf(&out, "%s\n", text ? text : "");
        free(text);
    }
    print_text(buf_span(&out));
    buf_done(&out);
}
