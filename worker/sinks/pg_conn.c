#include "pg_conn.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/clock.h"

enum {
    IDLE_IN_TRANSACTION_MS = 60000, /* the server ends what a stopped worker left open */
    CONNECT_MIN_S = 2               /* libpq rounds less up to it */
};

/* ---- errors ---- */

static bool begins(const char *state, const char *with)
{
    return strncmp(state, with, strlen(with)) == 0;
}

static enum pg_fault fault_of(const char *state, const char *schema, const char *table)
{
    /* The server's own trouble: connection, resources, operator, system; a standby or one that is told
     * to be read-only; no room for connections; authentication (a wrong password is for the
     * administrator to mend, and nothing of the jobs is wrong). */
    static const char *const down[] = {"08", "53", "57", "58", "XX", "28", "25006", "3D000"};
    static const char *const catalog[] = {"42P01", "42703", "42804", "3F000",
                                          "22P03", "0A000", "DR002", "08P01"};
    /* Values, constraints, a view's CHECK OPTION, what functions of triggers raise, a row too large for
     * an index. */
    static const char *const data[] = {"22", "23", "44", "P0", "21", "2F", "38", "39", "54"};
    if (strcmp(state, "DR001") == 0)
        return PG_FAULT_FENCED;
    if (strcmp(state, "23505") == 0 && schema && table && strcmp(schema, "drover") == 0 &&
        strcmp(table, "ledger") == 0)
        return PG_FAULT_LEDGER;
    /* 08P01 too: a value that ends too early, because the column has another type now */
    for (size_t i = 0; i < ARRAY_LEN(catalog); i++)
        if (begins(state, catalog[i]))
            return PG_FAULT_CATALOG;
    for (size_t i = 0; i < ARRAY_LEN(down); i++)
        if (begins(state, down[i]))
            return PG_FAULT_DOWN;
    if (begins(state, "40") || begins(state, "55P03"))
        return PG_FAULT_AGAIN;
    for (size_t i = 0; i < ARRAY_LEN(data); i++)
        if (begins(state, data[i]))
            return PG_FAULT_DATA;
    return PG_FAULT_REFUSED;
}

/* Keeps a text without the newlines that libpq ends and joins lines with. */
static void keep_message(struct pg_conn *c, const char *text)
{
    snprintf(c->message, sizeof(c->message), "%s", text ? text : "");
    size_t n = strlen(c->message);
    while (n > 0 && (c->message[n - 1] == '\n' || c->message[n - 1] == ' '))
        c->message[--n] = '\0';
    for (char *p = c->message; *p; p++)
        if (*p == '\n' || *p == '\t')
            *p = ' ';
}

static enum pg_fault down(struct pg_conn *c, const char *text)
{
    const char *said = text ? text : PQerrorMessage(c->pq);
    keep_message(c, said && said[0] ? said : "the connection was lost");
    c->column[0] = '\0';
    c->fault = PG_FAULT_DOWN;
    return PG_FAULT_DOWN;
}

static enum pg_fault note(struct pg_conn *c, const PGresult *r)
{
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(r, PG_DIAG_MESSAGE_DETAIL);
    const char *column = PQresultErrorField(r, PG_DIAG_COLUMN_NAME);
    if (!state) /* libpq's own: the connection is gone */
        return down(c, NULL);
    char both[SINK_ERROR_LEN];
    snprintf(both, sizeof(both), "%s%s%s", text ? text : "", detail ? ": " : "",
             detail ? detail : "");
    keep_message(c, both);
    snprintf(c->column, sizeof(c->column), "%s", column ? column : "");
    c->fault = fault_of(state, PQresultErrorField(r, PG_DIAG_SCHEMA_NAME),
                        PQresultErrorField(r, PG_DIAG_TABLE_NAME));
    return c->fault;
}

/* ---- waiting ---- */

void pg_conn_begin(struct pg_conn *c, uint32_t timeout_ms)
{
    c->deadline_ms = clock_ms() + timeout_ms;
}

/* Until the socket can be read (or written), or the deadline. */
static enum pg_fault wait_for(struct pg_conn *c, short events)
{
    for (;;) {
        const uint64_t now = clock_ms();
        struct pollfd p = {.fd = PQsocket(c->pq), .events = events};
        if (p.fd < 0)
            return down(c, NULL);
        if (now >= c->deadline_ms)
            return down(c, "no answer from the server in time");
        const int n = poll(&p, 1, (int)MIN(c->deadline_ms - now, (uint64_t)INT32_MAX));
        if (n > 0)
            return PG_FAULT_NONE;
        if (n < 0 && errno != EINTR)
            return down(c, strerror(errno));
    }
}

/* Sends what libpq has not sent yet. What the server says meanwhile is read, or both would wait. */
static enum pg_fault flush(struct pg_conn *c)
{
    int left;
    while ((left = PQflush(c->pq)) > 0) {
        const enum pg_fault fault = wait_for(c, POLLIN | POLLOUT);
        if (fault != PG_FAULT_NONE)
            return fault;
        if (!PQconsumeInput(c->pq))
            return down(c, NULL);
    }
    return left < 0 ? down(c, NULL) : PG_FAULT_NONE;
}

/* The next result; *ret NULL: the command is over. */
static enum pg_fault next_result(struct pg_conn *c, PGresult **ret)
{
    while (PQisBusy(c->pq)) {
        const enum pg_fault fault = wait_for(c, POLLIN);
        if (fault != PG_FAULT_NONE)
            return fault;
        if (!PQconsumeInput(c->pq))
            return down(c, NULL);
    }
    *ret = PQgetResult(c->pq);
    return PG_FAULT_NONE;
}

/* Reads results to the end of the command, and keeps the last one with rows. The first error counts. */
static enum pg_fault finish(struct pg_conn *c, PGresult **ret)
{
    enum pg_fault first = PG_FAULT_NONE;
    PGresult *kept = NULL, *r = NULL;
    if (ret)
        *ret = NULL;
    for (;;) {
        const enum pg_fault fault = next_result(c, &r);
        if (fault != PG_FAULT_NONE) {
            PQclear(kept);
            return fault;
        }
        if (!r)
            break;
        const ExecStatusType status = PQresultStatus(r);
        if (status == PGRES_TUPLES_OK && ret) {
            PQclear(kept);
            kept = r;
            continue;
        }
        if (status == PGRES_FATAL_ERROR && first == PG_FAULT_NONE)
            first = note(c, r);
        PQclear(r);
        if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT) {
            PQclear(kept);
            return down(c, "an unexpected COPY");
        }
    }
    if (first == PG_FAULT_NONE && ret)
        *ret = kept;
    else
        PQclear(kept);
    return first;
}

/* ---- statements ---- */

enum pg_fault pg_conn_exec(struct pg_conn *c, const char *sql, PGresult **ret)
{
    if (!PQsendQuery(c->pq, sql))
        return down(c, NULL);
    const enum pg_fault fault = flush(c);
    return fault != PG_FAULT_NONE ? fault : finish(c, ret);
}

enum pg_fault pg_conn_query(struct pg_conn *c, const char *sql, int n, const char *const *values,
                            PGresult **ret)
{
    if (!PQsendQueryParams(c->pq, sql, n, NULL, values, NULL, NULL, 0))
        return down(c, NULL);
    const enum pg_fault fault = flush(c);
    return fault != PG_FAULT_NONE ? fault : finish(c, ret);
}

enum pg_fault pg_conn_copy_begin(struct pg_conn *c, const char *sql)
{
    enum pg_fault fault = PQsendQuery(c->pq, sql) ? flush(c) : down(c, NULL);
    while (fault == PG_FAULT_NONE) {
        PGresult *r = NULL;
        fault = next_result(c, &r);
        if (fault != PG_FAULT_NONE)
            break;
        const ExecStatusType status = r ? PQresultStatus(r) : PGRES_FATAL_ERROR;
        if (r && status == PGRES_FATAL_ERROR) {
            fault = note(c, r);
            PQclear(r);
            const enum pg_fault rest = finish(c, NULL);
            return rest == PG_FAULT_DOWN ? rest : fault;
        }
        PQclear(r);
        if (status == PGRES_COPY_IN)
            return PG_FAULT_NONE;
        if (!r)
            return down(c, "the server began no COPY");
    }
    return fault;
}

enum pg_fault pg_conn_copy_put(struct pg_conn *c, const void *p, size_t n)
{
    for (;;) {
        const int taken = PQputCopyData(c->pq, p, (int)n);
        if (taken > 0)
            return PG_FAULT_NONE;
        if (taken < 0)
            return down(c, NULL);
        enum pg_fault fault = wait_for(c, POLLIN | POLLOUT);
        if (fault == PG_FAULT_NONE && !PQconsumeInput(c->pq))
            fault = down(c, NULL);
        if (fault != PG_FAULT_NONE)
            return fault;
    }
}

enum pg_fault pg_conn_copy_end(struct pg_conn *c)
{
    int done;
    while ((done = PQputCopyEnd(c->pq, NULL)) == 0) {
        const enum pg_fault fault = wait_for(c, POLLOUT);
        if (fault != PG_FAULT_NONE)
            return fault;
    }
    if (done < 0)
        return down(c, NULL);
    const enum pg_fault fault = flush(c);
    return fault != PG_FAULT_NONE ? fault : finish(c, NULL);
}

void pg_conn_quote(struct buf *out, const char *name, bool dotted)
{
    buf_byte(out, '"');
    for (const char *p = name; *p; p++) {
        if (dotted && *p == '.') {
            buf_str(out, "\".\"");
            continue;
        }
        if (*p == '"')
            buf_byte(out, '"');
        buf_byte(out, (uint8_t)*p);
    }
    buf_byte(out, '"');
}

/* ---- life ---- */

/* libpq wants certificates as a file: one that only this process has, in memory. */
static int certificates(struct pg_conn *c, const char *pem, char *ret_path, size_t size,
                        struct error *e)
{
    const size_t n = strlen(pem);
    c->ca_fd = memfd_create("drover-ca", MFD_CLOEXEC);
    if (c->ca_fd < 0 || write(c->ca_fd, pem, n) != (ssize_t)n)
        return error_set(e, ERR_UNAVAILABLE, "the certificates of ca_file: %s", strerror(errno));
    snprintf(ret_path, size, "/proc/self/fd/%d", c->ca_fd);
    return ERR_OK;
}

int pg_conn_open(struct pg_conn *c, const struct sink_settings *s, uint32_t timeout_ms,
                 struct error *e)
{
    char ca[64] = "", seconds[16];
    const char *keys[12] = {0}, *values[12] = {0};
    size_t n = 0;
    *c = (struct pg_conn){.ca_fd = -1};
    if (s->ca_pem && s->ca_pem[0]) {
        const int rc = certificates(c, s->ca_pem, ca, sizeof(ca), e);
        if (rc != ERR_OK) {
            pg_conn_close(c);
            return rc;
        }
    }
    /* Authorities that are configured are there to be asked. What the URL says comes after it and counts. */
    if (ca[0]) {
        keys[n] = "sslmode";
        values[n++] = "verify-full";
    }
    keys[n] = "dbname";
    values[n++] = s->url;
    /* For each host; libpq waits here itself, and goes on to the next one. */
    snprintf(seconds, sizeof(seconds), "%u", MAX(timeout_ms / 1000, (uint32_t)CONNECT_MIN_S));
    const struct {
        const char *key, *value;
    } more[] = {{"user", s->user},
                {"password", s->password},
                {"sslrootcert", ca},
                {"connect_timeout", seconds},
                {"client_encoding", "UTF8"},
                {"target_session_attrs", "read-write"},
                {"fallback_application_name", "drover"}};
    for (size_t i = 0; i < ARRAY_LEN(more); i++) {
        if (!more[i].value || !more[i].value[0])
            continue;
        keys[n] = more[i].key;
        values[n++] = more[i].value;
    }
    c->pq = PQconnectdbParams(keys, values, 1);
    pg_conn_begin(c, timeout_ms);
    enum pg_fault fault = PG_FAULT_NONE;
    if (!c->pq || PQstatus(c->pq) != CONNECTION_OK || PQsetnonblocking(c->pq, 1) != 0)
        fault = c->pq ? down(c, NULL) : down(c, "no memory for a connection");
    if (fault == PG_FAULT_NONE) {
        char sql[400];
        snprintf(
            sql, sizeof(sql),
            "SET client_min_messages = error; SET idle_in_transaction_session_timeout = %d; "
            "SET timezone = 'UTC'; SET lock_timeout = %u; "
            /* Whatever the role's defaults: commit_tasks has to see a fence that came after the batch
             * was begun, and DONE promises a durable row. */
            "SET default_transaction_isolation = 'read committed'; "
            "SELECT set_config('synchronous_commit', 'on', false) "
            "WHERE current_setting('synchronous_commit') = 'off'",
            IDLE_IN_TRANSACTION_MS, timeout_ms);
        fault = pg_conn_exec(c, sql, NULL);
    }
    if (fault == PG_FAULT_NONE)
        return ERR_OK;
    error_set(e, ERR_UNAVAILABLE, "%s", c->message);
    pg_conn_close(c);
    return ERR_UNAVAILABLE;
}

void pg_conn_close(struct pg_conn *c)
{
    PQfinish(c->pq);
    c->pq = NULL;
    if (c->ca_fd >= 0)
        close(c->ca_fd);
    c->ca_fd = -1;
}
