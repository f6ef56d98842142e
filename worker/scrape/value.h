/*
 * value.h: a text of a page read as a type. Pages write numbers and dates as people do; the rules
 * are in docs/SCRAPE.md. Nothing here allocates or depends on the locale.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_VALUE_H
#define DROVER_VALUE_H

#include "common/batch.h"
#include "common/buf.h"

enum value_type {
    VALUE_STR,
    VALUE_INT,
    VALUE_FLOAT,
    VALUE_DECIMAL,
    VALUE_BOOL,
    VALUE_DATE,     /* days since 1970-01-01 */
    VALUE_DATETIME, /* microseconds since 1970-01-01T00:00:00Z */
    VALUE_URL,      /* checked and resolved by the caller: here a text */
    VALUE_JSON      /* likewise */
};

enum { VALUE_NUMBER_BYTES_MAX = 128 }; /* of the text of a number or date */

struct value_options {
    char decimal_mark;  /* '.' or ','; 0: told from the number itself */
    const char *format; /* of dates, like strptime's; "unix" and "unix_ms"; NULL: the known ones */
};

struct value {
    enum value_type type;
    union {
        bool b;
        int64_t i; /* INT, DATE, DATETIME */
        double f;
        struct span text; /* DECIMAL (in digits), STR, URL, JSON */
    };
    char digits[VALUE_NUMBER_BYTES_MAX];
};

/* The names of the types, in the order of the enum; NULL at the end. */
extern const char *const value_type_names[];
enum col_type value_column(enum value_type type);

/* Reads text (white space around it does not count). False: it is not of that type. STR, URL and
 * JSON always succeed and keep pointing into text. */
bool value_parse(enum value_type type, const struct value_options *options, struct span text,
                 struct value *ret) MUST_CHECK;

/* A date or time by the format (see value_options), or by the known forms when format is NULL.
 * date_only: the result is in days. */
bool value_parse_date(struct span text, const char *format, bool date_only,
                      int64_t *ret) MUST_CHECK;

/* Whether value_parse_date understands each % of the format. On failure *ret_at is its offset. */
bool value_format_ok(const char *format, size_t *ret_at);

/* The value as JSON. */
void value_write_json(const struct value *v, struct buf *out);

/* The text without white space around it: ASCII, no-break and other Unicode spaces, BOM. */
struct span value_strip(struct span s);
/* The length of the white space at s (0: none there), a Unicode space taking several bytes. */
size_t value_space(struct span s);

#endif
