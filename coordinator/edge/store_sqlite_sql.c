#include "store_sqlite_sql.h"

const char *const store_sqlite_sql[SQ_STATEMENTS] = {
#define STORE_SQLITE_TEXT(name, sql) [SQ_##name] = sql,
    STORE_SQLITE_SQL(STORE_SQLITE_TEXT)
#undef STORE_SQLITE_TEXT
};

bool store_sqlite_sql_get(struct sq *q, struct arena *arena, struct span *ret)
{
    int column = q->column++;
    if (sqlite3_column_type(q->stmt, column) == SQLITE_NULL) {
        *ret = (struct span){"", 0};
        return true;
    }
    /* Blob first: it fixes the form whose length sqlite3_column_bytes then tells. */
    const char *p = sqlite3_column_blob(q->stmt, column);
    size_t n = (size_t)sqlite3_column_bytes(q->stmt, column);
    if (n > 0 && !p)
        return false;
    char *copy = arena_strndup(arena, p, n);
    *ret = (struct span){copy, n};
    return copy != NULL;
}
