#include "sqltype.h"

static const struct type_name {
    const char *name;
    enum sqltype type;
} type_names[] = {
    {"boolean", SQLTYPE_BOOL},
    {"bool", SQLTYPE_BOOL},
    {"integer", SQLTYPE_INT4},
    {"int", SQLTYPE_INT4},
    {"int4", SQLTYPE_INT4},
    {"bigint", SQLTYPE_INT8},
    {"int8", SQLTYPE_INT8},
    {"numeric", SQLTYPE_NUMERIC},
    {"decimal", SQLTYPE_NUMERIC},
    {"float8", SQLTYPE_FLOAT8},
    {"double precision", SQLTYPE_FLOAT8},
    {"text", SQLTYPE_TEXT},
    {"varchar", SQLTYPE_TEXT},
    {"date", SQLTYPE_DATE},
    {"timestamp", SQLTYPE_TIMESTAMP},
    {"timestamp without time zone", SQLTYPE_TIMESTAMP},
    {"timestamptz", SQLTYPE_TIMESTAMPTZ},
    {"timestamp with time zone", SQLTYPE_TIMESTAMPTZ},
    {"interval", SQLTYPE_INTERVAL},
    {"json", SQLTYPE_JSON},
    {"jsonb", SQLTYPE_JSON},
};

const char *sqltype_name(enum sqltype type)
{
    switch (type) {
    case SQLTYPE_OPEN:
    case SQLTYPE_UNKNOWN:
        return "unknown";
    case SQLTYPE_BOOL:
        return "boolean";
    case SQLTYPE_INT4:
        return "integer";
    case SQLTYPE_INT8:
        return "bigint";
    case SQLTYPE_NUMERIC:
        return "numeric";
    case SQLTYPE_FLOAT8:
        return "double precision";
    case SQLTYPE_TEXT:
        return "text";
    case SQLTYPE_DATE:
        return "date";
    case SQLTYPE_TIMESTAMP:
        return "timestamp";
    case SQLTYPE_TIMESTAMPTZ:
        return "timestamptz";
    case SQLTYPE_INTERVAL:
        return "interval";
    case SQLTYPE_JSON:
        return "json";
    }
    return "unknown";
}

enum sqltype sqltype_of_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(type_names); i++)
        if (strcmp(type_names[i].name, name) == 0)
            return type_names[i].type;
    return SQLTYPE_OPEN;
}

const char *const *sqltype_names(size_t *ret_n)
{
    static const char *const names[] = {
        "boolean", "integer", "int",      "bigint",     "numeric", "decimal", "double precision",
        "text",    "varchar", "float8",   "int4",       "int8",    "date",    "timestamp",
        "json",    "jsonb",   "interval", "timestamptz"};
    *ret_n = ARRAY_LEN(names);
    return names;
}

enum col_type sqltype_column(enum sqltype type)
{
    switch (type) {
    case SQLTYPE_BOOL:
        return COL_BOOL;
    case SQLTYPE_INT4:
    case SQLTYPE_INT8:
        return COL_INT64;
    case SQLTYPE_NUMERIC:
        return COL_DECIMAL;
    case SQLTYPE_FLOAT8:
        return COL_FLOAT64;
    case SQLTYPE_DATE:
        return COL_DATE;
    case SQLTYPE_TIMESTAMP:
    case SQLTYPE_TIMESTAMPTZ:
        return COL_TIMESTAMP;
    case SQLTYPE_JSON:
        return COL_JSON;
    default:
        return COL_TEXT;
    }
}

enum sqltype sqltype_of_column(enum col_type type)
{
    switch (type) {
    case COL_BOOL:
        return SQLTYPE_BOOL;
    case COL_INT64:
        return SQLTYPE_INT8;
    case COL_FLOAT64:
        return SQLTYPE_FLOAT8;
    case COL_DECIMAL:
        return SQLTYPE_NUMERIC;
    case COL_DATE:
        return SQLTYPE_DATE;
    case COL_TIMESTAMP:
        return SQLTYPE_TIMESTAMPTZ;
    case COL_JSON:
        return SQLTYPE_JSON;
    default:
        return SQLTYPE_TEXT;
    }
}

bool sqltype_casts_to(enum sqltype from, enum sqltype to)
{
    return from == to || from == SQLTYPE_UNKNOWN || from == SQLTYPE_OPEN ||
           (sqltype_is_number(from) && sqltype_is_number(to) && from < to) ||
           (from >= SQLTYPE_DATE && to <= SQLTYPE_TIMESTAMPTZ && from < to);
}
