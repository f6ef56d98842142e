#include "tables.h"

#include <stdio.h>

#include "common/spec.h"
#include "transform.h"

/* ---- what the stage says ---- */

static void table_done(struct table *t)
{
    for (size_t i = 0; t->columns && i < t->shape.n_columns; i++)
        free(t->columns[i]);
    free(t->columns);
    free(t->types);
    free((char *)(uintptr_t)t->shape.name);
    transform_free(t->reader);
    lookup_done(&t->rows);
}

void tables_done(struct tables *t)
{
    for (size_t i = 0; i < t->n_indexes; i++)
        lookup_index_done(&t->indexes[i]);
    for (size_t i = 0; i < t->n; i++)
        table_done(&t->list[i]);
    free(t->indexes);
    free(t->list);
    free(t->shapes);
    *t = (struct tables){0};
}

/* SELECT "code", "name" FROM input */
static json_t *select_of(const json_t *columns)
{
    struct buf sql;
    const char *name;
    json_t *type, *text = NULL;
    bool any = false;
    buf_init(&sql, 0);
    json_object_foreach((json_t *)(uintptr_t)columns, name, type)
    {
        buf_str(&sql, any ? ", \"" : "SELECT \"");
        any = true;
        for (const char *c = name; *c; c++) { /* name itself leads to the next key */
            if (*c == '"')
                buf_byte(&sql, '"');
            buf_byte(&sql, (uint8_t)*c);
        }
        buf_byte(&sql, '"');
    }
    buf_str(&sql, " FROM input");
    if (buf_ok(&sql))
        text = json_stringn((const char *)sql.data, sql.len);
    buf_done(&sql);
    return text;
}

/* The stage that reads the table. */
static int make_reader(struct table *t, const json_t *spec, struct error *e)
{
    struct error own = {0};
    json_t *stage = json_deep_copy(spec);
    bool ok = stage && json_object_set_new(stage, "kind", json_string("transform")) == 0 &&
              json_object_set_new(stage, "on_error", json_string("fail")) == 0 &&
              json_object_set_new(stage, "sql", select_of(json_object_get(spec, "columns"))) == 0;
    if (ok)
        json_object_del(stage, "blob");
    int rc = ok ? transform_compile(stage, NULL, NULL, 0, &t->reader, &own)
                : error_set(&own, ERR_NOMEM, "a lookup table");
    json_decref(stage);
    return rc ? error_set(e, (enum err)rc, "tables.%.60s.%s", t->shape.name, own.detail) : ERR_OK;
}

static int read_shape(struct table *t, const json_t *columns, struct error *e)
{
    const char *name;
    json_t *type;
    size_t n = json_object_size(columns);
    if (!json_is_object(columns) || n == 0)
        return error_set(e, ERR_INVALID_SPEC,
                         "tables.%.60s.columns: an object of names and types is wanted here",
                         t->shape.name);
    t->columns = calloc(n, sizeof *t->columns);
    t->types = calloc(n, sizeof *t->types);
    if (!t->columns || !t->types)
        return error_set(e, ERR_NOMEM, "a lookup table");
    json_object_foreach((json_t *)(uintptr_t)columns, name, type)
    {
        /* What is no type was refused when the reader was made. */
        t->types[t->shape.n_columns] = sqltype_of_name(json_string_value(type));
        t->columns[t->shape.n_columns] = strdup(name);
        if (!t->columns[t->shape.n_columns++])
            return error_set(e, ERR_NOMEM, "a lookup table");
    }
    t->shape.columns = (const char *const *)t->columns;
    t->shape.types = t->types;
    return ERR_OK;
}

static int read_table(struct table *t, const char *name, const json_t *spec, struct error *e)
{
    static const char *const keys[] = {"columns", "csv", "ndjson", "blob"};
    const json_t *blob = json_object_get(spec, "blob");
    char path[100];
    t->shape.name = strdup(name);
    if (!t->shape.name)
        return error_set(e, ERR_NOMEM, "a lookup table");
    snprintf(path, sizeof path, "tables.%.60s", name);
    if (!json_is_object(spec) || name[0] == '\0')
        return error_set(e, ERR_INVALID_SPEC, "%s: an object with \"columns\" is wanted here",
                         path);
    if (strcmp(name, "input") == 0)
        return error_set(e, ERR_INVALID_SPEC, "%s: the rows are called input", path);
    int rc = spec_check_keys(spec, path, keys, ARRAY_LEN(keys), e);
    struct error own = {0};
    if (rc == ERR_OK && blob) {
        struct span text = {json_string_value(blob), json_string_length(blob)};
        if (!text.p || blob_name_parse(text, &t->blob, &own))
            return error_set(e, ERR_INVALID_SPEC, "%s.blob: the SHA-256 of a blob is wanted here",
                             path);
        t->has_blob = true;
    }
    if (rc == ERR_OK && json_is_object(json_object_get(spec, "columns")) &&
        json_object_size(json_object_get(spec, "columns")) > 0)
        rc = make_reader(t, spec, e);
    return rc ? rc : read_shape(t, json_object_get(spec, "columns"), e);
}

int tables_read(struct tables *t, const json_t *spec, struct error *e)
{
    const char *name;
    json_t *table;
    *t = (struct tables){0};
    if (!spec)
        return ERR_OK;
    if (!json_is_object(spec) || json_object_size(spec) > PLAN_TABLES_MAX)
        return error_set(e, ERR_INVALID_SPEC,
                         "tables: an object of at most %d lookup tables is wanted here",
                         PLAN_TABLES_MAX);
    t->list = calloc(json_object_size(spec) + 1, sizeof *t->list);
    t->shapes = calloc(json_object_size(spec) + 1, sizeof *t->shapes);
    int rc = t->list && t->shapes ? ERR_OK : error_set(e, ERR_NOMEM, "lookup tables");
    json_object_foreach((json_t *)(uintptr_t)spec, name, table)
    {
        if (rc)
            break;
        rc = read_table(&t->list[t->n++], name, table, e);
        t->shapes[t->n - 1] = t->list[t->n - 1].shape;
    }
    if (rc)
        tables_done(t);
    return rc;
}

/* ---- loading ---- */

static int read_rows(struct table *t, int fd, struct error *e)
{
    struct transform_run *r = NULL;
    char **names = NULL;
    size_t n;
    int rc = transform_names(t->reader, fd, &names, &n, e);
    if (rc == ERR_OK)
        rc = transform_open(t->reader, &t->rows.sink, NULL, NULL, simd_best(), &r, e);
    if (rc == ERR_OK)
        rc = transform_file(r, fd, &transform_whole_file, (const char *const *)names, n, e);
    if (rc == ERR_OK)
        rc = transform_end(r, e);
    transform_close(r);
    free(names);
    return rc;
}

static int make_indexes(struct tables *t, const struct plan *p, size_t table, struct error *e)
{
    int rc = ERR_OK;
    if (!t->indexes) {
        t->indexes = calloc(p->n_joins + 1, sizeof *t->indexes);
        if (!t->indexes)
            return error_set(e, ERR_NOMEM, "lookup tables");
        t->n_indexes = p->n_joins;
    }
    for (size_t j = 0; j < p->n_joins && rc == ERR_OK; j++)
        if (p->joins[j].table == table)
            rc = lookup_index_init(&t->indexes[j], &t->list[table].rows, p->joins[j].columns,
                                   p->joins[j].n_keys, e);
    return rc;
}

int tables_load(struct tables *t, const struct plan *p, const char *name, int fd, struct error *e)
{
    struct error own = {0};
    size_t i = 0;
    while (i < t->n && strcmp(t->list[i].shape.name, name) != 0)
        i++;
    if (i == t->n)
        return error_set(e, ERR_INVALID_ARGUMENT, "the table %.60s is none of the stage", name);
    if (t->list[i].loaded)
        return ERR_OK;
    struct table *table = &t->list[i];
    int rc = lookup_init(&table->rows, table->shape.name, table->types, table->shape.n_columns);
    if (rc)
        return error_set(e, ERR_NOMEM, "the table %.60s", name);
    rc = read_rows(table, fd, &own);
    if (rc) {
        lookup_done(&table->rows); /* it may be given again */
        return error_set(e, (enum err)rc, "the table %.60s: %s", name, own.detail);
    }
    table->loaded = true;
    return make_indexes(t, p, i, e);
}

int tables_check(const struct tables *t, const struct plan *p, struct error *e)
{
    for (size_t j = 0; j < p->n_joins; j++)
        if (!t->list[p->joins[j].table].loaded || !t->indexes[j].table)
            return error_set(e, ERR_INVALID_ARGUMENT, "the table %.60s was not given",
                             t->list[p->joins[j].table].shape.name);
    return ERR_OK;
}
