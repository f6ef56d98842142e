#include "pg_value.h"

#include <endian.h>
#include <errno.h>
#include <float.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>

#include "common/utf8.h"
#include "pg_text.h"

enum {
    EPOCH_DAYS = 10957, /* 1970-01-01 to 2000-01-01, PostgreSQL's zero */
    FIELD_MAX = 256 * 1024 * 1024
};
#define EPOCH_US (INT64_C(86400000000) * EPOCH_DAYS)
/* Counted from 2000, the ends not included (datatype/timestamp.h): 4714-11-24 BC to 5874898-06-04, and to
 * 294277-01-01. */
#define DATE_MIN (INT64_C(-2451545))
#define DATE_END (INT64_C(2147483494) - 2451545)
#define TIMESTAMP_MIN (INT64_C(-211813488000000000))
#define TIMESTAMP_END (INT64_C(9223371331200000000))

/* What goes where. A row for each type of the table: bits of enum col_type. */
#define FROM(type) (1U << (type))
static const struct target {
    uint32_t type, from;
} targets[] = {
    {PG_BOOL, FROM(COL_BOOL) | FROM(COL_TEXT)},
    {PG_INT2, FROM(COL_INT64) | FROM(COL_DECIMAL) | FROM(COL_TEXT)},
    {PG_INT4, FROM(COL_INT64) | FROM(COL_DECIMAL) | FROM(COL_TEXT)},
    {PG_INT8, FROM(COL_INT64) | FROM(COL_DECIMAL) | FROM(COL_TEXT)},
    {PG_FLOAT4, FROM(COL_INT64) | FROM(COL_FLOAT64) | FROM(COL_DECIMAL) | FROM(COL_TEXT)},
    {PG_FLOAT8, FROM(COL_INT64) | FROM(COL_FLOAT64) | FROM(COL_DECIMAL) | FROM(COL_TEXT)},
    {PG_NUMERIC, FROM(COL_INT64) | FROM(COL_FLOAT64) | FROM(COL_DECIMAL) | FROM(COL_TEXT)},
    {PG_TEXT, UINT32_MAX},
    {PG_VARCHAR, UINT32_MAX},
    {PG_BPCHAR, UINT32_MAX},
    {PG_JSON, FROM(COL_JSON) | FROM(COL_TEXT)},
    {PG_JSONB, FROM(COL_JSON) | FROM(COL_TEXT)},
    {PG_DATE, FROM(COL_DATE) | FROM(COL_TEXT)},
    {PG_TIMESTAMP, FROM(COL_DATE) | FROM(COL_TIMESTAMP) | FROM(COL_TEXT)},
    {PG_TIMESTAMPTZ, FROM(COL_DATE) | FROM(COL_TIMESTAMP) | FROM(COL_TEXT)},
    {PG_UUID, FROM(COL_TEXT)},
    {PG_TEXT_ARRAY, FROM(COL_JSON) | FROM(COL_TEXT)},
};

static const struct target *target_of(uint32_t type)
{
    for (size_t i = 0; i < ARRAY_LEN(targets); i++)
        if (targets[i].type == type)
            return &targets[i];
    return NULL;
}

bool pg_value_known(uint32_t type)
{
    return target_of(type) != NULL;
}

bool pg_value_fits(enum col_type from, uint32_t type)
{
    const struct target *t = target_of(type);
    return t && t->from & FROM(from);
}

const char *pg_value_type_for(enum col_type from)
{
    static const char *const names[] = {
        [COL_BOOL] = "boolean",
        [COL_INT64] = "bigint",
        [COL_FLOAT64] = "double precision",
        [COL_DECIMAL] = "numeric",
        [COL_TEXT] = "text",
        [COL_JSON] = "jsonb",
        [COL_DATE] = "date",
        [COL_TIMESTAMP] = "timestamptz",
    };
    return names[from];
}

/* ---- bytes ---- */

static void put_be(struct buf *out, uint64_t v, size_t n)
{
    uint8_t *p = buf_reserve(out, 8);
    if (!p)
        return;
    const uint64_t be = htobe64(v << (64 - 8 * n));
    memcpy(p, &be, sizeof(be));
    out->len += n;
}

/* Length and value, at one go. */
static void put_field(struct buf *out, uint64_t v, size_t n)
{
    uint8_t *p = buf_reserve(out, 12);
    if (!p)
        return;
    const uint32_t len = htobe32((uint32_t)n);
    const uint64_t be = htobe64(v << (64 - 8 * n));
    memcpy(p, &len, sizeof(len));
    memcpy(p + sizeof(len), &be, sizeof(be));
    out->len += sizeof(len) + n;
}

void pg_value_put_i16(struct buf *out, int16_t v)
{
    put_be(out, (uint16_t)v, 2);
}

void pg_value_put_i32(struct buf *out, int32_t v)
{
    put_be(out, (uint32_t)v, 4);
}

void pg_value_put_i64(struct buf *out, int64_t v)
{
    put_be(out, (uint64_t)v, 8);
}

static bool say(char why[PG_VALUE_WHY_LEN], const char *what, struct span value)
{
    snprintf(why, PG_VALUE_WHY_LEN, "%s: \"%.*s\"", what, (int)MIN(value.len, (size_t)80),
             value.p ? value.p : "");
    /* Not in the middle of a letter. */
    const size_t valid = utf8_valid_prefix((struct span){why, strlen(why)});
    why[valid] = '\0';
    return false;
}

/* ---- numbers ---- */

static bool put_int(struct buf *out, int64_t v, uint32_t type, char *why)
{
    const size_t bytes = type == PG_INT2 ? 2 : type == PG_INT4 ? 4 : 8;
    const int64_t max = bytes == 8 ? INT64_MAX : (INT64_C(1) << (8 * bytes - 1)) - 1;
    if (v > max || v < -max - 1) {
        snprintf(why, PG_VALUE_WHY_LEN, "%lld is out of range for %s", (long long)v,
                 bytes == 2 ? "smallint" : "integer");
        return false;
    }
    put_field(out, (uint64_t)v, bytes);
    return true;
}

static bool put_float(struct buf *out, double v, uint32_t type, char *why)
{
    uint64_t bits = 0;
    if (type == PG_FLOAT8) {
        memcpy(&bits, &v, sizeof(v));
        put_field(out, bits, 8);
        return true;
    }
    const float f = (float)v;
    if ((isinf(f) && !isinf(v)) || (f == 0 && v != 0)) {
        snprintf(why, PG_VALUE_WHY_LEN, "%g is out of range for real", v);
        return false;
    }
    memcpy(&bits, &f, sizeof(f));
    put_field(out, bits, 4);
    return true;
}

static bool put_numeric_text(struct buf *out, struct span text, int32_t typmod, char *why)
{
    struct pg_numeric n;
    if (!pg_text_numeric(text, &n))
        return say(why, "not a number", text);
    /* numeric(precision, scale): the server rounds to the scale; what stands before the point must
     * fit. A value that only rounding makes too large is left to the server. */
    if (typmod >= 4 && n.kind == PG_NUMERIC_FINITE) {
        const int32_t precision = (typmod - 4) >> 16,
                      scale = (((typmod - 4) & 0x7ff) ^ 1024) - 1024;
        if (n.whole_digits > precision - scale && n.whole_digits > 0) {
            snprintf(why, PG_VALUE_WHY_LEN,
                     "numeric field overflow: %.*s has more than %d digits before the point",
                     (int)MIN(text.len, (size_t)60), text.p, precision - scale);
            return false;
        }
    }
    pg_text_numeric_put(out, text, &n);
    return true;
}

/* The shortest text that reads back as the same number. */
static struct span double_text(double v, char text[40])
{
    for (int digits = DBL_DIG; digits <= 17; digits++) {
        snprintf(text, 40, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    return span_str(text);
}

static bool put_numeric(struct buf *out, const struct batch *b, size_t c, uint32_t row,
                        int32_t typmod, char *why)
{
    char text[40];
    switch (b->columns[c].type) {
    case COL_INT64:
        snprintf(text, sizeof(text), "%lld", (long long)batch_get_i64(b, c, row));
        return put_numeric_text(out, span_str(text), typmod, why);
    case COL_FLOAT64: {
        const double v = batch_get_f64(b, c, row);
        if (isnan(v))
            return put_numeric_text(out, SPAN("NaN"), typmod, why);
        if (isinf(v))
            return put_numeric_text(out, v > 0 ? SPAN("Infinity") : SPAN("-Infinity"), typmod, why);
        return put_numeric_text(out, double_text(v, text), typmod, why);
    }
    default:
        return put_numeric_text(out, batch_get_text(b, c, row), typmod, why);
    }
}

static bool put_integer(struct buf *out, const struct batch *b, size_t c, uint32_t row,
                        uint32_t type, char *why)
{
    int64_t v;
    if (b->columns[c].type == COL_INT64)
        return put_int(out, batch_get_i64(b, c, row), type, why);
    const struct span text = batch_get_text(b, c, row);
    if (!pg_text_int(text, &v))
        return say(why, "not a whole number within the range", text);
    return put_int(out, v, type, why);
}

static bool put_floating(struct buf *out, const struct batch *b, size_t c, uint32_t row,
                         uint32_t type, char *why)
{
    double v;
    switch (b->columns[c].type) {
    case COL_INT64:
        return put_float(out, (double)batch_get_i64(b, c, row), type, why);
    case COL_FLOAT64:
        return put_float(out, batch_get_f64(b, c, row), type, why);
    default:
        if (!pg_text_double(batch_get_text(b, c, row), &v))
            return say(why, "not a number within the range", batch_get_text(b, c, row));
        return put_float(out, v, type, why);
    }
}

/* ---- texts ---- */

static bool put_bytes(struct buf *out, const void *p, size_t n, char *why)
{
    if (n > FIELD_MAX) {
        snprintf(why, PG_VALUE_WHY_LEN, "a value of %zu bytes; the limit is %d", n, FIELD_MAX);
        return false;
    }
    uint8_t *to = buf_reserve(out, 4 + n);
    if (!to)
        return true; /* it sticks in out */
    const uint32_t len = htobe32((uint32_t)n);
    memcpy(to, &len, sizeof(len));
    if (n > 0)
        memcpy(to + sizeof(len), p, n);
    out->len += sizeof(len) + n;
    return true;
}

/* ASCII without NUL, eight bytes at a time. */
static bool is_plain(struct span s)
{
    uint64_t odd = 0, w = 0;
    for (; s.len >= sizeof(w); s.p += sizeof(w), s.len -= sizeof(w)) {
        memcpy(&w, s.p, sizeof(w));
        odd |= w | (w - UINT64_C(0x0101010101010101));
    }
    for (size_t i = 0; i < s.len; i++)
        odd |= (uint64_t)(uint8_t)s.p[i] | ((uint64_t)(uint8_t)s.p[i] - 1);
    return (odd & UINT64_C(0x8080808080808080)) == 0;
}

static bool check_text(struct span text, char *why)
{
    if (is_plain(text))
        return true;
    if (text.len && memchr(text.p, '\0', text.len)) {
        snprintf(why, PG_VALUE_WHY_LEN, "a text with a NUL byte");
        return false;
    }
    if (utf8_valid_prefix(text) != text.len) {
        snprintf(why, PG_VALUE_WHY_LEN, "a text that is not UTF-8");
        return false;
    }
    return true;
}

/* varchar(n), char(n): the length in letters; spaces beyond it may be dropped, as the server does. */
static bool check_length(struct span text, int32_t typmod, char *why)
{
    if (typmod < 4)
        return true;
    int32_t letters = 0;
    const int32_t max = typmod - 4;
    size_t end = text.len;
    while (end > 0 && text.p[end - 1] == ' ')
        end--;
    for (size_t i = 0; i < end; i++)
        letters += ((uint8_t)text.p[i] & 0xc0) != 0x80;
    if (letters <= max)
        return true;
    snprintf(why, PG_VALUE_WHY_LEN, "value too long: %d letters, and the column takes %d", letters,
             max);
    return false;
}

/* A cell of any type as the text that PostgreSQL would show for it. */
static struct span cell_text(const struct batch *b, size_t c, uint32_t row, char scratch[64])
{
    switch (b->columns[c].type) {
    case COL_BOOL:
        return batch_get_bool(b, c, row) ? SPAN("true") : SPAN("false");
    case COL_INT64:
        snprintf(scratch, 64, "%lld", (long long)batch_get_i64(b, c, row));
        return span_str(scratch);
    case COL_FLOAT64:
        return double_text(batch_get_f64(b, c, row), scratch);
    case COL_DATE:
        return pg_text_of_date(batch_get_i64(b, c, row), scratch);
    case COL_TIMESTAMP:
        return pg_text_of_timestamp(batch_get_i64(b, c, row), scratch);
    default:
        return batch_get_text(b, c, row);
    }
}

static bool put_text(struct buf *out, const struct batch *b, size_t c, uint32_t row, uint32_t type,
                     int32_t typmod, char *why)
{
    char scratch[64];
    const struct span text = cell_text(b, c, row, scratch);
    return check_text(text, why) && (type == PG_TEXT || check_length(text, typmod, why)) &&
           put_bytes(out, text.p, text.len, why);
}

static bool put_json(struct buf *out, const struct batch *b, size_t c, uint32_t row, uint32_t type,
                     char *why)
{
    const struct span text = batch_get_text(b, c, row);
    if (!check_text(text, why))
        return false;
    if (b->columns[c].type == COL_TEXT) {
        json_t *v = json_loadb(text.p, text.len, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL);
        if (!v)
            return say(why, "not JSON", text);
        json_decref(v);
    }
    /* jsonb has no NUL either, which JSON can write as an escape. */
    if (type == PG_JSONB && memmem(text.p, text.len, "\\u0000", 6)) {
        snprintf(why, PG_VALUE_WHY_LEN, "JSON with \\u0000, which jsonb does not take");
        return false;
    }
    if (type == PG_JSON)
        return put_bytes(out, text.p, text.len, why);
    pg_value_put_i32(out, (int32_t)text.len + 1);
    buf_byte(out, 1); /* version of the format */
    buf_append(out, text.p, text.len);
    return true;
}

static bool put_uuid(struct buf *out, struct span text, char *why)
{
    uint8_t uuid[16];
    if (!pg_text_uuid(text, uuid))
        return say(why, "not a uuid", text);
    return put_bytes(out, uuid, sizeof(uuid), why);
}

/* A JSON array of texts (numbers and truth values are taken as their text); null stays NULL. */
static bool put_array(struct buf *out, struct span text, char *why)
{
    json_t *v = json_loadb(text.p, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    const size_t start = out->len;
    const bool array = json_is_array(v);
    bool good = array, nulls = false;
    const size_t n = array ? json_array_size(v) : 0;
    for (size_t i = 0; i < n; i++)
        nulls |= json_is_null(json_array_get(v, i));
    pg_value_put_i32(out, 0); /* the length, below */
    pg_value_put_i32(out, n > 0 ? 1 : 0);
    pg_value_put_i32(out, nulls);
    pg_value_put_i32(out, PG_TEXT);
    if (n > 0) {
        pg_value_put_i32(out, (int32_t)n);
        pg_value_put_i32(out, 1); /* the first index */
    }
    for (size_t i = 0; i < n && good; i++) {
        const json_t *one = json_array_get(v, i);
        if (json_is_null(one)) {
            pg_value_put_i32(out, -1);
            continue;
        }
        char *made = json_is_string(one) ? NULL : json_dumps(one, JSON_ENCODE_ANY | JSON_COMPACT);
        const struct span s = json_is_string(one)
                                  ? (struct span){json_string_value(one), json_string_length(one)}
                                  : span_str(made);
        good = s.p && check_text(s, why) && put_bytes(out, s.p, s.len, why);
        free(made);
    }
    json_decref(v);
    if (!array)
        say(why, "not a JSON array", text);
    if (!good || !buf_ok(out)) {
        if (buf_ok(out))
            out->len = start;
        return false;
    }
    const uint32_t len = (uint32_t)(out->len - start - 4);
    for (size_t i = 0; i < 4; i++)
        out->data[start + i] = (uint8_t)(len >> (24 - 8 * i));
    return true;
}

/* ---- days and times ---- */

static bool put_date(struct buf *out, const struct batch *b, size_t c, uint32_t row, char *why)
{
    int64_t days = 0;
    if (b->columns[c].type == COL_DATE)
        days = batch_get_i64(b, c, row);
    else if (!pg_text_date(batch_get_text(b, c, row), &days))
        return say(why, "not a date (YYYY-MM-DD)", batch_get_text(b, c, row));
    if (__builtin_sub_overflow(days, (int64_t)EPOCH_DAYS, &days) || days < DATE_MIN ||
        days >= DATE_END) {
        snprintf(why, PG_VALUE_WHY_LEN, "date out of range");
        return false;
    }
    pg_value_put_i32(out, 4);
    pg_value_put_i32(out, (int32_t)days);
    return true;
}

static bool put_timestamp(struct buf *out, const struct batch *b, size_t c, uint32_t row, char *why)
{
    int64_t us = 0;
    bool good = true;
    if (b->columns[c].type == COL_DATE)
        good = !__builtin_mul_overflow(batch_get_i64(b, c, row), INT64_C(86400000000), &us);
    else if (b->columns[c].type == COL_TIMESTAMP)
        us = batch_get_i64(b, c, row);
    else if (!pg_text_timestamp(batch_get_text(b, c, row), &us))
        return say(why, "not a time (RFC 3339)", batch_get_text(b, c, row));
    int64_t from_2000 = 0;
    good = good && !__builtin_sub_overflow(us, EPOCH_US, &from_2000);
    if (!good || from_2000 < TIMESTAMP_MIN || from_2000 >= TIMESTAMP_END) {
        snprintf(why, PG_VALUE_WHY_LEN, "timestamp out of range");
        return false;
    }
    pg_value_put_i32(out, 8);
    pg_value_put_i64(out, from_2000);
    return true;
}

/* ---- the door ---- */

bool pg_value_put(struct buf *out, const struct batch *b, size_t c, uint32_t row, uint32_t type,
                  int32_t typmod, char why[PG_VALUE_WHY_LEN])
{
    bool v;
    switch (type) {
    case PG_BOOL:
        if (b->columns[c].type == COL_BOOL)
            v = batch_get_bool(b, c, row);
        else if (!pg_text_bool(batch_get_text(b, c, row), &v))
            return say(why, "not true or false", batch_get_text(b, c, row));
        pg_value_put_i32(out, 1);
        buf_byte(out, v);
        return true;
    case PG_INT2:
    case PG_INT4:
    case PG_INT8:
        return put_integer(out, b, c, row, type, why);
    case PG_FLOAT4:
    case PG_FLOAT8:
        return put_floating(out, b, c, row, type, why);
    case PG_NUMERIC:
        return put_numeric(out, b, c, row, typmod, why);
    case PG_JSON:
    case PG_JSONB:
        return put_json(out, b, c, row, type, why);
    case PG_DATE:
        return put_date(out, b, c, row, why);
    case PG_TIMESTAMP:
    case PG_TIMESTAMPTZ:
        return put_timestamp(out, b, c, row, why);
    case PG_UUID:
        return put_uuid(out, batch_get_text(b, c, row), why);
    case PG_TEXT_ARRAY:
        return put_array(out, batch_get_text(b, c, row), why);
    default:
        return put_text(out, b, c, row, type, typmod, why);
    }
}
