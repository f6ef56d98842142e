/*
 * sink_init.c: `drover sink init`: makes a PostgreSQL database ready for rows: the schema drover, the role of
 * the workers with what it needs and nothing else, and on request the table of a job.
 *
 * It speaks to PostgreSQL itself, by the connection of an administrator; the coordinator need not run.
 */
#include <errno.h>
#include <stdio.h>

#include "admin/verbs.h"
#include "common/spec.h"
#include "drover_sql.h"
#include "worker/engines.h"
#include "worker/sinks/pg_table.h"
#include "worker/sinks/pg_value.h"

enum { CONNECT_MS = 10000, FILE_MAX = SPEC_TEXT_INPUT_MAX, PASSWORD_MAX = 1024 };

static int read_file(const char *path, size_t max, struct buf *out, struct error *e)
{
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (!f)
        return error_set(e, ERR_IO, "cannot read %s: %s", path, strerror(errno));
    for (;;) {
        uint8_t *to = buf_reserve(out, 65536);
        const size_t n = to ? fread(to, 1, 65536, f) : 0;
        out->len += n;
        if (n == 0 || out->len > max)
            break;
    }
    const bool bad = ferror(f);
    if (f != stdin)
        fclose(f);
    if (bad || !buf_ok(out))
        return error_set(e, ERR_IO, "cannot read %s", path);
    return out->len > max ? error_set(e, ERR_LIMIT, "%s: more than %zu bytes", path, max) : ERR_OK;
}

/* ---- the statements ---- */

static void put_role(struct buf *sql, const char *role)
{
    buf_str(sql, "\nDO $role$ BEGIN\n  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '");
    for (const char *p = role; *p; p++)
        buf_printf(sql, *p == '\'' ? "''" : "%c", *p);
    buf_str(sql, "') THEN\n    CREATE ROLE ");
    pg_conn_quote(sql, role, false);
    buf_str(sql, " LOGIN;\n  END IF;\nEND $role$;\nGRANT USAGE ON SCHEMA drover TO ");
    pg_conn_quote(sql, role, false);
    buf_str(sql, ";\nGRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA drover TO ");
    pg_conn_quote(sql, role, false);
    buf_str(sql, ";\n");
}

static bool is_key(const struct spec_sink *s, const char *name)
{
    for (size_t i = 0; i < s->n_keys; i++)
        if (strcmp(s->keys[i], name) == 0)
            return true;
    return false;
}

static void put_table(struct buf *sql, const struct spec_sink *s, const struct batch *columns,
                      const char *role)
{
    buf_str(sql, "\nCREATE TABLE IF NOT EXISTS ");
    pg_conn_quote(sql, s->table, true);
    buf_str(sql, " (");
    for (size_t i = 0; i < columns->n_columns; i++) {
        const struct column *c = &columns->columns[i];
        buf_str(sql, i ? ",\n    " : "\n    ");
        pg_conn_quote(sql, c->name, false);
        buf_printf(sql, " %s%s", pg_value_type_for(c->type), is_key(s, c->name) ? " NOT NULL" : "");
    }
    if (s->mode != SPEC_SINK_MERGE) /* a merged row is of many tasks */
        buf_str(sql, ",\n    " PG_COLUMN_JOB " uuid,\n    " PG_COLUMN_TASK " bigint");
    if (s->n_keys > 0)
        buf_str(sql, ",\n    PRIMARY KEY (");
    for (size_t i = 0; i < s->n_keys; i++) {
        buf_str(sql, i ? ", " : "");
        pg_conn_quote(sql, s->keys[i], false);
    }
    buf_str(sql, s->n_keys > 0 ? ")\n);\n" : "\n);\n");
    buf_str(sql,
            s->mode == SPEC_SINK_APPEND ? "GRANT INSERT ON " : "GRANT SELECT, INSERT, UPDATE ON ");
    pg_conn_quote(sql, s->table, true);
    buf_str(sql, " TO ");
    pg_conn_quote(sql, role, false);
    buf_str(sql, ";\n");
}

/* Upsert and merge go by a temporary table. */
static void put_temporary(struct buf *sql, const char *role)
{
    buf_str(sql, "DO $temp$ BEGIN\n  EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO %I', "
                 "current_database(), '");
    for (const char *p = role; *p; p++)
        buf_printf(sql, *p == '\'' ? "''" : "%c", *p);
    buf_str(sql, "');\nEND $temp$;\n");
}

/* ---- the job ---- */

static int read_job(const char *path, struct spec **ret, struct error *e)
{
    struct buf text;
    buf_init(&text, 0);
    int rc = read_file(path, FILE_MAX, &text, e);
    if (rc == ERR_OK)
        rc = spec_parse(buf_span(&text), engines_table, engines_count, true, ret, e);
    buf_done(&text);
    return rc;
}

static int tables_sql(const struct spec *job, const char *role, struct buf *sql, struct error *e)
{
    bool staged = false;
    size_t n = 0;
    for (size_t i = 0; i < job->n_sinks; i++) {
        if (job->sinks[i].kind != SPEC_SINK_POSTGRES)
            continue;
        put_table(sql, &job->sinks[i], job->columns, role);
        staged |= job->sinks[i].mode != SPEC_SINK_APPEND;
        n++;
    }
    if (staged)
        put_temporary(sql, role);
    return n ? ERR_OK
             : error_set(e, ERR_INVALID_SPEC, "sinks: the job has no sink of kind \"postgres\"");
}

/* A table that was there already may be another one. */
static int check_tables(const struct spec *job, struct pg_conn *c, struct error *e)
{
    struct pg_tables tables = {0};
    int rc = ERR_OK;
    for (size_t i = 0; job && i < job->n_sinks && rc == ERR_OK; i++) {
        const struct spec_sink *s = &job->sinks[i];
        const struct pg_table *table;
        if (s->kind != SPEC_SINK_POSTGRES)
            continue;
        rc = pg_table_get(&tables, c, s->table, &table, e);
        if (rc == ERR_OK)
            rc = pg_table_fits(table, job->columns, e);
        if (rc == ERR_OK && s->n_keys > 0)
            rc = pg_table_unique(c, table, s->keys, s->n_keys, e);
    }
    pg_table_forget(&tables);
    return rc;
}

/* ---- the connection ---- */

/* The password travels as its SCRAM verifier, so that no log of the server has it. */
static int set_password(struct pg_conn *c, const char *role, const char *file, struct error *e)
{
    struct buf text, sql;
    buf_init(&text, 0);
    buf_init(&sql, 0);
    int rc = read_file(file, PASSWORD_MAX, &text, e);
    while (rc == ERR_OK && text.len > 0 && text.data[text.len - 1] == '\n')
        text.len--;
    char *password = rc == ERR_OK ? buf_take_str(&text) : NULL;
    if (rc == ERR_OK) {
        char *verifier =
            PQencryptPasswordConn(c->pq, password ? password : "", role, "scram-sha-256");
        buf_str(&sql, "ALTER ROLE ");
        pg_conn_quote(&sql, role, false);
        buf_printf(&sql, " PASSWORD '%s'", verifier ? verifier : "");
        char *statement = buf_take_str(&sql);
        if (!verifier || !statement || pg_conn_exec(c, statement, NULL) != PG_FAULT_NONE)
            rc = error_set(e, ERR_UNAVAILABLE, "the password of %s: %s", role,
                           verifier ? c->message : PQerrorMessage(c->pq));
        free(statement);
        PQfreemem(verifier);
    }
    if (password)
        explicit_bzero(password, strlen(password));
    free(password);
    buf_done(&text);
    buf_done(&sql);
    return rc;
}

static int carry_out(const struct ctl *ctl, const char *url, const char *role, const char *sql,
                     const struct spec *job, struct error *e)
{
    struct pg_conn c;
    const struct sink_settings settings = {.kind = SPEC_SINK_POSTGRES,
                                           .url = (char *)(uintptr_t)url};
    const char *password = ctl_flag(ctl, "password-file");
    int rc = pg_conn_open(&c, &settings, CONNECT_MS, e);
    if (rc != ERR_OK)
        return rc;
    pg_conn_begin(&c, 6 * CONNECT_MS);
    if (pg_conn_exec(&c, sql, NULL) != PG_FAULT_NONE)
        rc = error_set(e, c.fault == PG_FAULT_DOWN ? ERR_UNAVAILABLE : ERR_INVALID_ARGUMENT, "%s",
                       c.message);
    if (rc == ERR_OK && password)
        rc = set_password(&c, role, password, e);
    if (rc == ERR_OK)
        rc = check_tables(job, &c, e);
    pg_conn_close(&c);
    return rc == ERR_NOT_FOUND ? (int)ERR_INVALID_SPEC : rc;
}

int sink_init(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    const char *role = ctl_flag(ctl, "worker-role"), *file = ctl_flag(ctl, "for-job");
    struct spec *job = NULL;
    struct buf sql;
    (void)n;
    if (!role)
        role = "drover_worker";
    if (strncmp(args[0], "postgresql://", 13) != 0 && strncmp(args[0], "postgres://", 11) != 0)
        return error_set(e, ERR_INVALID_ARGUMENT,
                         "\"%.100s\" is no address such as postgresql://admin@db.example/warehouse",
                         args[0]);
    buf_init(&sql, 0);
    buf_append(&sql, drover_sql, drover_sql_len);
    put_role(&sql, role);
    int rc = file ? read_job(file, &job, e) : ERR_OK;
    if (job && rc == ERR_OK)
        rc = tables_sql(job, role, &sql, e);
    char *text = buf_take_str(&sql);
    if (rc == ERR_OK && !text)
        rc = error_set(e, ERR_NOMEM, "no memory");
    if (rc == ERR_OK && ctl_flag(ctl, "dry-run")) {
        puts(text);
    } else if (rc == ERR_OK) {
        /* One text is one transaction: it is there whole, or not at all. */
        rc = carry_out(ctl, args[0], role, text, job, e);
        if (rc == ERR_OK)
            printf("ready: role %s may put rows there; configure it as [sink.NAME] url = ...\n",
                   role);
    }
    free(text);
    spec_free(job);
    return rc;
}
