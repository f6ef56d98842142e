#include "pg_copy.h"

#include "pg_value.h"

/* ---- shapes ---- */

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_target(const struct spec_sink *a, const struct spec_sink *b)
{
    if (a == b)
        return true;
    if (a->mode != b->mode || a->n_keys != b->n_keys || a->n_merges != b->n_merges ||
        !same_text(a->table, b->table))
        return false;
    for (size_t i = 0; i < a->n_keys; i++)
        if (strcmp(a->keys[i], b->keys[i]) != 0)
            return false;
    for (size_t i = 0; i < a->n_merges; i++)
        if (a->merges[i].how != b->merges[i].how ||
            strcmp(a->merges[i].column, b->merges[i].column) != 0)
            return false;
    return true;
}

bool pg_copy_same_shape(const struct landing *a, const struct landing *b)
{
    if (!same_target(a->target, b->target) || a->rows->n_columns != b->rows->n_columns)
        return false;
    for (size_t i = 0; i < a->rows->n_columns; i++)
        if (a->rows->columns[i].type != b->rows->columns[i].type ||
            strcmp(a->rows->columns[i].name, b->rows->columns[i].name) != 0)
            return false;
    return true;
}

static bool rows_have(const struct batch *rows, const char *name)
{
    for (size_t i = 0; i < rows->n_columns; i++)
        if (strcmp(rows->columns[i].name, name) == 0)
            return true;
    return false;
}

int pg_copy_init(struct pg_copy *c, const struct landing *like, const struct pg_table *table,
                 struct error *e)
{
    static const struct {
        const char *name;
        uint32_t type;
        size_t from;
    } own[] = {{PG_COLUMN_JOB, PG_UUID, PG_COPY_JOB}, {PG_COLUMN_TASK, PG_INT8, PG_COPY_TASK}};
    const struct batch *rows = like->rows;
    *c = (struct pg_copy){.target = like->target, .table = table};
    int rc = pg_table_fits(table, rows, e);
    if (rc != ERR_OK)
        return rc;
    c->columns = calloc(rows->n_columns + ARRAY_LEN(own), sizeof(*c->columns));
    if (!c->columns)
        return error_set(e, ERR_NOMEM, "no memory for a table");
    for (size_t i = 0; i < rows->n_columns; i++)
        c->columns[c->n_columns++] =
            (struct pg_copy_column){pg_table_column(table, rows->columns[i].name), i};
    /* A merged row is of many tasks. */
    for (size_t i = 0; i < ARRAY_LEN(own) && like->target->mode != SPEC_SINK_MERGE; i++) {
        const struct pg_column *to = pg_table_column(table, own[i].name);
        if (to && to->type == own[i].type && !to->generated && !rows_have(rows, own[i].name))
            c->columns[c->n_columns++] = (struct pg_copy_column){to, own[i].from};
    }
    return ERR_OK;
}

void pg_copy_done(struct pg_copy *c)
{
    free(c->columns);
    *c = (struct pg_copy){0};
}

/* ---- bytes ---- */

void pg_copy_header(struct buf *out)
{
    buf_append(out, "PGCOPY\n\377\r\n\0", 11);
    pg_value_put_i32(out, 0); /* flags */
    pg_value_put_i32(out, 0); /* length of the header's extension */
}

void pg_copy_trailer(struct buf *out)
{
    pg_value_put_i16(out, -1);
}

bool pg_copy_row(const struct pg_copy *c, const struct landing *l, uint32_t row, struct buf *out,
                 const char **ret_column, char *why)
{
    const size_t start = out->len;
    pg_value_put_i16(out, (int16_t)c->n_columns);
    for (size_t i = 0; i < c->n_columns; i++) {
        const struct pg_copy_column *column = &c->columns[i];
        if (column->from == PG_COPY_JOB) {
            pg_value_put_i32(out, SINK_UID_LEN);
            buf_append(out, l->uid, SINK_UID_LEN);
            continue;
        }
        if (column->from == PG_COPY_TASK) {
            pg_value_put_i32(out, 8);
            pg_value_put_i64(out, (int64_t)l->task);
            continue;
        }
        const bool null = batch_is_null(l->rows, column->from, row);
        bool good = !null || !column->to->not_null;
        if (!good)
            strcpy(why, "no value, and the column is NOT NULL");
        else if (null)
            pg_value_put_i32(out, -1);
        else
            good = pg_value_put(out, l->rows, column->from, row, column->to->type,
                                column->to->typmod, why);
        if (!good) {
            *ret_column = column->to->name;
            if (buf_ok(out))
                out->len = start;
            return false;
        }
    }
    return true;
}

/* ---- statements ---- */

static void put_columns(const struct pg_copy *c, const char *between, struct buf *sql)
{
    for (size_t i = 0; i < c->n_columns; i++) {
        buf_str(sql, i ? between : "");
        pg_conn_quote(sql, c->columns[i].to->name, false);
    }
}

static void put_keys(const struct pg_copy *c, struct buf *sql)
{
    for (size_t i = 0; i < c->target->n_keys; i++) {
        buf_str(sql, i ? ", " : "");
        pg_conn_quote(sql, c->target->keys[i], false);
    }
}

void pg_copy_sql(const struct pg_copy *c, const char *stage, struct buf *sql)
{
    buf_str(sql, "COPY ");
    if (stage)
        buf_printf(sql, "pg_temp.%s", stage);
    else
        pg_conn_quote(sql, c->target->table, true);
    buf_str(sql, " (");
    put_columns(c, ", ", sql);
    buf_str(sql, ") FROM STDIN (FORMAT binary)");
}

bool pg_copy_staged(const struct pg_copy *c)
{
    return c->target->mode == SPEC_SINK_UPSERT || c->target->mode == SPEC_SINK_MERGE;
}

char *pg_copy_stage_key(const struct pg_copy *c)
{
    struct buf key;
    buf_init(&key, 0);
    pg_copy_sql(c, NULL, &key);
    return buf_take_str(&key);
}

void pg_copy_stage_create(const struct pg_copy *c, const char *stage, struct buf *sql)
{
    buf_printf(sql, "CREATE TEMPORARY TABLE %s ON COMMIT DELETE ROWS AS SELECT ", stage);
    put_columns(c, ", ", sql);
    buf_str(sql, " FROM ");
    pg_conn_quote(sql, c->target->table, true);
    buf_str(sql, " WITH NO DATA");
}

static bool is_key(const struct spec_sink *s, const char *name)
{
    for (size_t i = 0; i < s->n_keys; i++)
        if (strcmp(s->keys[i], name) == 0)
            return true;
    return false;
}

static enum spec_merge how_of(const struct spec_sink *s, const char *name)
{
    for (size_t i = 0; i < s->n_merges; i++)
        if (strcmp(s->merges[i].column, name) == 0)
            return s->merges[i].how;
    return SPEC_MERGE_SUM;
}

static void put_merged(const struct pg_copy *c, const char *name, struct buf *sql)
{
    static const char *const functions[] = {[SPEC_MERGE_SUM] = "sum",
                                            [SPEC_MERGE_COUNT] = "sum",
                                            [SPEC_MERGE_MIN] = "min",
                                            [SPEC_MERGE_MAX] = "max"};
    buf_printf(sql, "%s(", functions[how_of(c->target, name)]);
    pg_conn_quote(sql, name, false);
    buf_str(sql, ")");
}

/* c = what is there and what comes, together; NULL on one side leaves the other. */
static void put_assignment(const struct pg_copy *c, const char *name, struct buf *sql)
{
    struct buf q;
    buf_init(&q, 0);
    pg_conn_quote(&q, name, false);
    char *quoted = buf_take_str(&q);
    if (!quoted) {
        sql->failed = true;
        return;
    }
    const enum spec_merge how = how_of(c->target, name);
    if (c->target->mode == SPEC_SINK_UPSERT)
        buf_printf(sql, "%s = excluded.%s", quoted, quoted);
    else if (how == SPEC_MERGE_MIN || how == SPEC_MERGE_MAX)
        buf_printf(sql, "%s = %s(t.%s, excluded.%s)", quoted,
                   how == SPEC_MERGE_MIN ? "least" : "greatest", quoted, quoted);
    else
        buf_printf(sql, "%s = coalesce(t.%s + excluded.%s, t.%s, excluded.%s)", quoted, quoted,
                   quoted, quoted, quoted);
    free(quoted);
}

void pg_copy_stage_apply(const struct pg_copy *c, const char *stage, struct buf *sql)
{
    const bool merge = c->target->mode == SPEC_SINK_MERGE;
    buf_str(sql, "INSERT INTO ");
    pg_conn_quote(sql, c->target->table, true);
    buf_str(sql, " AS t (");
    put_columns(c, ", ", sql);
    buf_str(sql, ") SELECT ");
    if (!merge) {
        buf_str(sql, "DISTINCT ON (");
        put_keys(c, sql);
        buf_str(sql, ") ");
        put_columns(c, ", ", sql);
    }
    for (size_t i = 0; merge && i < c->n_columns; i++) {
        const char *name = c->columns[i].to->name;
        buf_str(sql, i ? ", " : "");
        if (is_key(c->target, name))
            pg_conn_quote(sql, name, false);
        else
            put_merged(c, name, sql);
    }
    buf_printf(sql, " FROM pg_temp.%s ", stage);
    if (merge) {
        buf_str(sql, "GROUP BY ");
        put_keys(c, sql);
    }
    buf_str(sql, " ORDER BY ");
    put_keys(c, sql);
    buf_str(sql, merge ? "" : ", ctid DESC"); /* the last one of a key counts */
    buf_str(sql, " ON CONFLICT (");
    put_keys(c, sql);
    buf_str(sql, ") DO ");
    size_t n = 0;
    for (size_t i = 0; i < c->n_columns; i++) {
        if (is_key(c->target, c->columns[i].to->name))
            continue;
        buf_str(sql, n++ ? ", " : "UPDATE SET ");
        put_assignment(c, c->columns[i].to->name, sql);
    }
    buf_str(sql, n ? "" : "NOTHING");
}
