/*
 * pg_text.h: values as text, in the forms that PostgreSQL reads and writes: numbers, truth values,
 * uuids, dates and times. Strict: what is not wholly of the form is refused.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_PG_TEXT_H
#define DROVER_PG_TEXT_H

#include "common/buf.h"

enum { PG_NUMERIC_DIGITS_MAX = 131072, PG_NUMERIC_SCALE_MAX = 16383 };

enum pg_numeric_kind {
    PG_NUMERIC_FINITE,
    PG_NUMERIC_NAN,
    PG_NUMERIC_PLUS_INF,
    PG_NUMERIC_MINUS_INF
};

/* Where the parts of a decimal number are in its text: [-+]digits[.digits][e[-+]digits] */
struct pg_numeric {
    enum pg_numeric_kind kind;
    bool negative;
    size_t first, end;    /* digits and the point, without sign and exponent */
    int32_t exponent;     /* of ten */
    int32_t whole_digits; /* before the point, with the exponent applied, without leading zeros */
};
bool pg_text_numeric(struct span text, struct pg_numeric *ret);
/* The field of binary COPY: length, ndigits, weight, sign, dscale, digits of base 10,000. */
void pg_text_numeric_put(struct buf *out, struct span text, const struct pg_numeric *n);

bool pg_text_int(struct span text, int64_t *ret);
bool pg_text_double(struct span text, double *ret);
bool pg_text_bool(struct span text, bool *ret);         /* true t yes on 1, false f no off 0 */
bool pg_text_uuid(struct span text, uint8_t ret[16]);   /* with or without hyphens and braces */
bool pg_text_date(struct span text, int64_t *ret_days); /* YYYY-MM-DD; from 1970-01-01 */
/* YYYY-MM-DD[( |T)hh:mm[:ss[.ffffff]][Z|(+|-)hh[[:]mm]]]; without an offset it is UTC. */
bool pg_text_timestamp(struct span text, int64_t *ret_us);

struct span pg_text_of_date(int64_t days, char scratch[64]);
struct span pg_text_of_timestamp(int64_t us, char scratch[64]);

#endif
