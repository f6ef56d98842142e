/*
 * pg_conn.h: a connection to PostgreSQL on which everything has a deadline, and what its errors mean.
 * libpq is used without blocking, so that a server that was stopped costs no more than the time that
 * was given.
 *
 * It knows nothing of tables, landings or ledgers.
 *
 * Thread rule: belongs to one thread; its functions block, until the deadline at most.
 */
#ifndef DROVER_PG_CONN_H
#define DROVER_PG_CONN_H

#include <libpq-fe.h>

#include "common/buf.h"
#include "sink.h"

/* Whose fault an error is. */
enum pg_fault {
    PG_FAULT_NONE,
    PG_FAULT_DOWN,    /* the server's or the network's: the connection is to be given up */
    PG_FAULT_DATA,    /* a row that the table does not take: its type, a constraint, a trigger */
    PG_FAULT_LEDGER,  /* a task has landed before */
    PG_FAULT_FENCED,  /* a job takes no more rows */
    PG_FAULT_AGAIN,   /* deadlock or serialization failure: the same once more */
    PG_FAULT_CATALOG, /* the table is not as it was: missing, or other columns or types */
    PG_FAULT_REFUSED  /* anything else that the server will not do: privileges, ... */
};

struct pg_conn {
    PGconn *pq;
    int ca_fd;                    /* memfd with the certificates; -1: none */
    uint64_t deadline_ms;         /* clock_ms(); of what is being done now */
    enum pg_fault fault;          /* of the last error */
    char message[SINK_ERROR_LEN]; /* of the last error, in the server's words */
    char column[64];              /* that it was about; "": not known */
};

/* Connects within timeout_ms for each host of the URL; a server that is a read-only standby is passed
 * over. UNAVAILABLE. */
int pg_conn_open(struct pg_conn *c, const struct sink_settings *s, uint32_t timeout_ms,
                 struct error *e) MUST_CHECK;
void pg_conn_close(struct pg_conn *c);

void pg_conn_begin(struct pg_conn *c, uint32_t timeout_ms); /* sets the deadline */

/* Runs statements (one text, several may be in it). ret: the last result that has rows, or NULL.
 * PG_FAULT_NONE, or what went wrong (c->message). */
enum pg_fault pg_conn_exec(struct pg_conn *c, const char *sql, PGresult **ret) MUST_CHECK;
enum pg_fault pg_conn_query(struct pg_conn *c, const char *sql, int n, const char *const *values,
                            PGresult **ret) MUST_CHECK;

/* COPY ... FROM STDIN: begins (sql may have BEGIN before it), takes bytes, ends. After a fault of put or
 * end the COPY is over. */
enum pg_fault pg_conn_copy_begin(struct pg_conn *c, const char *sql) MUST_CHECK;
enum pg_fault pg_conn_copy_put(struct pg_conn *c, const void *p, size_t n) MUST_CHECK;
enum pg_fault pg_conn_copy_end(struct pg_conn *c) MUST_CHECK;

/* An identifier in its quotes, as it is spelt. "a.b" is a schema and a name when `dotted`. */
void pg_conn_quote(struct buf *out, const char *name, bool dotted);

#endif
