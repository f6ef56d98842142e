#include "pg_table.h"

#include <stdio.h>

#include "common/suggest.h"
#include "pg_value.h"

/* Columns in their order. A domain counts as what it is made of in the end, an enum as text (its binary form
 * is its label). to_regclass gives NULL for a table that is not there. */
static const char QUERY_COLUMNS[] =
    "WITH RECURSIVE made (attnum, type, typmod, not_null, has_default) AS ("
    " SELECT attnum, atttypid, atttypmod, attnotnull, atthasdef OR attidentity <> ''"
    " FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped"
    " UNION ALL"
    " SELECT m.attnum, t.typbasetype, t.typtypmod, m.not_null OR t.typnotnull,"
    " m.has_default OR t.typdefault IS NOT NULL"
    " FROM made m JOIN pg_type t ON t.oid = m.type WHERE t.typtype = 'd') "
    "SELECT a.attname, format_type(a.atttypid, a.atttypmod),"
    " CASE b.typtype WHEN 'e' THEN 25 ELSE b.oid END, m.typmod, m.not_null, m.has_default,"
    " a.attgenerated <> '' OR a.attidentity = 'a', drover.shape($1) "
    "FROM made m JOIN pg_type b ON b.oid = m.type AND b.typtype <> 'd' "
    "JOIN pg_attribute a ON a.attrelid = to_regclass($1) AND a.attnum = m.attnum ORDER BY a.attnum";

/* Unique indexes that ON CONFLICT can go by: no condition, no expression, not deferrable. Each as its
 * sorted columns, without those that are only carried along (INCLUDE). */
static const char QUERY_UNIQUE[] =
    "SELECT 1 FROM pg_index i WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indisvalid"
    " AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL"
    " AND (SELECT array_agg(a.attname::text ORDER BY a.attname::text) FROM pg_attribute a"
    "      WHERE a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::smallint[])"
    "[0 : i.indnkeyatts - 1])) = "
    "(SELECT array_agg(k ORDER BY k) FROM unnest($2::text[]) AS k)";

static void table_free(struct pg_table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n_columns; i++) {
        free(t->columns[i].name);
        free(t->columns[i].type_name);
    }
    free(t->columns);
    free(t->shape);
    free(t->name);
    free(t);
}

void pg_table_forget(struct pg_tables *all)
{
    for (size_t i = 0; i < all->n; i++)
        table_free(all->items[i]);
    all->n = 0;
}

static bool is_true(const PGresult *r, int row, int column)
{
    return PQgetvalue(r, row, column)[0] == 't';
}

static struct pg_table *table_read(const char *name, const PGresult *r)
{
    struct pg_table *t = calloc(1, sizeof(*t));
    const int n = PQntuples(r);
    if (!t)
        return NULL;
    t->name = strdup(name);
    t->shape = strdup(n > 0 ? PQgetvalue(r, 0, 7) : "");
    t->columns = calloc((size_t)MAX(n, 1), sizeof(*t->columns));
    bool good = t->name && t->shape && t->columns;
    for (int i = 0; i < n && good; i++) {
        struct pg_column *c = &t->columns[t->n_columns++];
        *c = (struct pg_column){
            .name = strdup(PQgetvalue(r, i, 0)),
            .type_name = strdup(PQgetvalue(r, i, 1)),
            .type = (uint32_t)strtoul(PQgetvalue(r, i, 2), NULL, 10),
            .typmod = (int32_t)strtol(PQgetvalue(r, i, 3), NULL, 10),
            .not_null = is_true(r, i, 4),
            .has_default = is_true(r, i, 5),
            .generated = is_true(r, i, 6),
        };
        good = c->name && c->type_name;
    }
    if (!good) {
        table_free(t);
        return NULL;
    }
    return t;
}

int pg_table_get(struct pg_tables *all, struct pg_conn *c, const char *name,
                 const struct pg_table **ret, struct error *e)
{
    struct buf quoted;
    PGresult *r = NULL;
    for (size_t i = 0; i < all->n; i++)
        if (strcmp(all->items[i]->name, name) == 0) {
            *ret = all->items[i];
            return ERR_OK;
        }
    buf_init(&quoted, 0);
    pg_conn_quote(&quoted, name, true);
    char *regclass = buf_take_str(&quoted);
    if (!regclass)
        return error_set(e, ERR_NOMEM, "no memory for a table");
    const enum pg_fault fault =
        pg_conn_query(c, QUERY_COLUMNS, 1, (const char *const[]){regclass}, &r);
    free(regclass);
    if (fault != PG_FAULT_NONE)
        return error_set(e, ERR_UNAVAILABLE, "%s", c->message);
    if (PQntuples(r) == 0) {
        PQclear(r);
        return error_set(e, ERR_NOT_FOUND,
                         "table: there is no table \"%s\", or this role may not see it", name);
    }
    struct pg_table *t = table_read(name, r);
    PQclear(r);
    if (!t)
        return error_set(e, ERR_NOMEM, "no memory for a table");
    if (all->n == PG_TABLES_MAX)
        pg_table_forget(all);
    all->items[all->n++] = t;
    *ret = t;
    return ERR_OK;
}

const struct pg_column *pg_table_column(const struct pg_table *t, const char *name)
{
    for (size_t i = 0; i < t->n_columns; i++)
        if (strcmp(t->columns[i].name, name) == 0)
            return &t->columns[i];
    return NULL;
}

static int no_column(const struct pg_table *t, const char *name, struct error *e)
{
    const char *names[64];
    char hint[SUGGEST_TEXT_LEN];
    size_t n = 0;
    for (size_t i = 0; i < t->n_columns && n < ARRAY_LEN(names); i++)
        names[n++] = t->columns[i].name;
    return error_set(e, ERR_INVALID_SPEC, "table: \"%s\" has no column \"%.80s\"%s", t->name, name,
                     suggest_text(name, names, n, hint));
}

static bool filled(const struct pg_column *c, const struct batch *rows)
{
    if (c->has_default || c->generated || strcmp(c->name, PG_COLUMN_JOB) == 0 ||
        strcmp(c->name, PG_COLUMN_TASK) == 0)
        return true;
    for (size_t i = 0; i < rows->n_columns; i++)
        if (strcmp(rows->columns[i].name, c->name) == 0)
            return true;
    return false;
}

int pg_table_fits(const struct pg_table *t, const struct batch *rows, struct error *e)
{
    for (size_t i = 0; i < rows->n_columns; i++) {
        const struct column *from = &rows->columns[i];
        const struct pg_column *to = pg_table_column(t, from->name);
        if (!to)
            return no_column(t, from->name, e);
        if (to->generated)
            return error_set(e, ERR_INVALID_SPEC,
                             "table: column \"%.80s\" of \"%s\" is generated and takes no value",
                             to->name, t->name);
        if (!pg_value_fits(from->type, to->type))
            return error_set(
                e, ERR_INVALID_SPEC,
                "table: column \"%.80s\" is %s in the rows, which does not go into %s of \"%s\"",
                from->name, col_type_name(from->type), to->type_name, t->name);
    }
    for (size_t i = 0; i < t->n_columns; i++)
        if (t->columns[i].not_null && !filled(&t->columns[i], rows))
            return error_set(
                e, ERR_INVALID_SPEC,
                "table: column \"%.80s\" of \"%s\" is NOT NULL without a default, and the "
                "rows do not have it",
                t->columns[i].name, t->name);
    return ERR_OK;
}

/* A text array in PostgreSQL's notation. */
static char *array_text(char *const *keys, size_t n)
{
    struct buf b;
    buf_init(&b, 0);
    buf_byte(&b, '{');
    for (size_t i = 0; i < n; i++) {
        buf_str(&b, i ? ",\"" : "\"");
        for (const char *p = keys[i]; *p; p++) {
            if (*p == '"' || *p == '\\')
                buf_byte(&b, '\\');
            buf_byte(&b, (uint8_t)*p);
        }
        buf_byte(&b, '"');
    }
    buf_byte(&b, '}');
    return buf_take_str(&b);
}

int pg_table_unique(struct pg_conn *c, const struct pg_table *t, char *const *keys, size_t n,
                    struct error *e)
{
    struct buf quoted;
    PGresult *r = NULL;
    buf_init(&quoted, 0);
    pg_conn_quote(&quoted, t->name, true);
    char *regclass = buf_take_str(&quoted), *array = array_text(keys, n);
    enum pg_fault fault = PG_FAULT_REFUSED;
    if (regclass && array)
        fault = pg_conn_query(c, QUERY_UNIQUE, 2, (const char *const[]){regclass, array}, &r);
    free(regclass);
    free(array);
    if (fault != PG_FAULT_NONE)
        return error_set(e, ERR_UNAVAILABLE, "%s", c->message);
    const bool found = PQntuples(r) > 0;
    PQclear(r);
    return found ? ERR_OK
                 : error_set(e, ERR_INVALID_SPEC,
                             "key: \"%s\" has no unique index or primary key on just these columns",
                             t->name);
}
