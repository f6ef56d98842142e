/*
 * sqltype.h: the SQL types of the transform engine and their names. What a type can be cast to is
 * the function table's business (func.h).
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_TRANSFORM_SQLTYPE_H
#define DROVER_TRANSFORM_SQLTYPE_H

#include "common/batch.h"

/* The order of the numeric types is that of PostgreSQL's implicit casts: each casts to the next. */
enum sqltype {
    SQLTYPE_OPEN,    /* a column whose type no use has decided yet; never in a finished plan */
    SQLTYPE_UNKNOWN, /* a quoted literal or NULL that takes its type from its neighbour */
    SQLTYPE_BOOL,
    SQLTYPE_INT4,
    SQLTYPE_INT8,
    SQLTYPE_NUMERIC,
    SQLTYPE_FLOAT8,
    SQLTYPE_TEXT,
    SQLTYPE_DATE, /* these three, too, cast each to the next */
    SQLTYPE_TIMESTAMP,
    SQLTYPE_TIMESTAMPTZ, /* always UTC */
    SQLTYPE_INTERVAL,
    SQLTYPE_JSON /* json and jsonb: a text that is JSON */
};

/* PostgreSQL's name of a type: "double precision". */
const char *sqltype_name(enum sqltype type);

/* The type of that name, as SQL or as pg_catalog calls it ("int", "int4", "varchar"), or OPEN. */
enum sqltype sqltype_of_name(const char *name);
const char *const *sqltype_names(size_t *ret_n); /* of all, for suggestions */

enum col_type sqltype_column(enum sqltype type);           /* of the batch that carries it */
enum sqltype sqltype_of_column(enum col_type type);        /* TEXT for what has no type here */
bool sqltype_casts_to(enum sqltype from, enum sqltype to); /* implicitly; from itself too */

/* Values whose cells are texts: they have lengths, and quotes in CSV. */
static inline bool sqltype_is_text(enum sqltype type)
{
    return type == SQLTYPE_TEXT || type == SQLTYPE_JSON;
}

/* Values that have an order, and with it equality: all but JSON. */
static inline bool sqltype_has_order(enum sqltype type)
{
    return type != SQLTYPE_JSON;
}

static inline bool sqltype_is_number(enum sqltype type)
{
    return type >= SQLTYPE_INT4 && type <= SQLTYPE_FLOAT8;
}

#endif
