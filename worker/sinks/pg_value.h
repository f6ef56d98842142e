/*
 * pg_value.h: one cell of a batch as a field of binary COPY, for the type that its column has in the
 * table. Formats: PostgreSQL's src/backend/utils/adt (numeric_recv, date_recv, timestamptz_recv,
 * uuid_recv, array_recv, jsonb_recv) and "COPY, Binary Format" in its documentation.
 *
 * What a type does not take is found here where that is possible, so that a batch is not sent in
 * vain: out of range, text that is none of the type's, NUL.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_PG_VALUE_H
#define DROVER_PG_VALUE_H

#include "common/batch.h"
#include "common/buf.h"

/* Types that rows can go to; the numbers are those of pg_type.oid, which never change. */
enum pg_type {
    PG_BOOL = 16,
    PG_INT8 = 20,
    PG_INT2 = 21,
    PG_INT4 = 23,
    PG_TEXT = 25,
    PG_JSON = 114,
    PG_FLOAT4 = 700,
    PG_FLOAT8 = 701,
    PG_TEXT_ARRAY = 1009,
    PG_BPCHAR = 1042,
    PG_VARCHAR = 1043,
    PG_DATE = 1082,
    PG_TIMESTAMP = 1114,
    PG_TIMESTAMPTZ = 1184,
    PG_NUMERIC = 1700,
    PG_UUID = 2950,
    PG_JSONB = 3802
};

enum { PG_VALUE_WHY_LEN = 200 };

bool pg_value_known(uint32_t type);
/* Whether cells of a column of that type can go there at all; single ones may still not fit. */
bool pg_value_fits(enum col_type from, uint32_t type);
/* The type that a new table's column gets: "bigint", "text[]" is never chosen. */
const char *pg_value_type_for(enum col_type from);

/* Appends the field (length and bytes) of a cell that is not NULL. typmod: pg_attribute.atttypmod.
 * False: it does not fit, and `why` says so in a few words; out is as it was. */
bool pg_value_put(struct buf *out, const struct batch *b, size_t column, uint32_t row,
                  uint32_t type, int32_t typmod, char why[PG_VALUE_WHY_LEN]) MUST_CHECK;

void pg_value_put_i16(struct buf *out, int16_t v); /* in network order, without a length */
void pg_value_put_i32(struct buf *out, int32_t v);
void pg_value_put_i64(struct buf *out, int64_t v);

#endif
