/*
 * bench_sinks.c: rows per second into a real PostgreSQL, through drover's sink or by bare statements.
 *
 *   bench_sinks drover|copy|insert URL ROWS ROWS_A_BATCH
 *
 * drover is the sink as a worker calls it: landings of 100 rows (a task each), ROWS_A_BATCH rows in a write. copy is
 * the same rows by binary COPY, a transaction for each batch, without a ledger; insert by one INSERT with all
 * rows of the batch, of which PostgreSQL parses the text. The rows are made before the clock starts; encoding
 * is part of it. Prints one line of JSON. The table `rows` (id bigint, url text, price numeric, seen timestamptz)
 * should be empty.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <sys/resource.h>

#include "common/clock.h"
#include "worker/sinks/pg_value.h"
#include "worker/sinks/sink.h"

enum { COLUMNS = 4, TASK_ROWS = 100, TIMEOUT_MS = 60000, LANDINGS_MAX = 1000 };

static const char *const names[COLUMNS] = {"id", "url", "price", "seen"};
static const enum col_type types[COLUMNS] = {COL_INT64, COL_TEXT, COL_DECIMAL, COL_TIMESTAMP};
static const uint32_t oids[COLUMNS] = {PG_INT8, PG_TEXT, PG_NUMERIC, PG_TIMESTAMPTZ};

static void die(const char *what, const char *detail)
{
    fprintf(stderr, "bench_sinks: %s: %s\n", what, detail);
    exit(1);
}

static struct batch *make_batch(size_t from, size_t n)
{
    struct batch *b = batch_new();
    char text[100];
    for (size_t i = 0; i < COLUMNS; i++)
        if (!b || batch_add_column(b, names[i], types[i]) != ERR_OK)
            die("memory", "none left");
    for (size_t i = from; i < from + n; i++) {
        batch_i64(b, 0, (int64_t)i);
        int len = snprintf(text, sizeof(text), "https://shop.example.org/items/%08zu", i);
        batch_text(b, 1, (struct span){text, (size_t)len});
        len = snprintf(text, sizeof(text), "%zu.%02zu", i % 1000, i % 100);
        batch_text(b, 2, (struct span){text, (size_t)len});
        batch_i64(b, 3, INT64_C(1700000000000000) + (int64_t)i);
        batch_row_end(b);
    }
    return b;
}

struct run {
    const char *url;
    size_t n_rows, a_batch;
    struct batch **tasks;
    size_t n_tasks;
};

/* ---- drover ---- */

static void run_drover(const struct run *r)
{
    static struct landing landings[LANDINGS_MAX];
    static struct landing *list[LANDINGS_MAX];
    const struct spec_sink target = {.kind = SPEC_SINK_POSTGRES,
                                     .mode = SPEC_SINK_APPEND,
                                     .table = (char *)(uintptr_t) "rows"};
    const struct sink_settings settings = {.url = (char *)(uintptr_t)r->url};
    struct sink_conn *c = NULL;
    struct error e = {0};
    if (sink_postgres.open(&settings, TIMEOUT_MS, &c, &e) != ERR_OK)
        die("open", e.detail);
    const size_t a_write = MAX(r->a_batch / TASK_ROWS, (size_t)1);
    for (size_t from = 0; from < r->n_tasks; from += a_write) {
        const size_t n = MIN(a_write, r->n_tasks - from);
        for (size_t i = 0; i < n; i++) {
            landings[i] = (struct landing){.target = &target,
                                           .generation = 1,
                                           .task = from + i + 1,
                                           .rows = r->tasks[from + i]};
            list[i] = &landings[i];
        }
        if (sink_postgres.write(c, list, n, TIMEOUT_MS, &e) != ERR_OK)
            die("write", e.detail);
        for (size_t i = 0; i < n; i++)
            if (landings[i].verdict != LANDING_DONE)
                die("landing", landings[i].error);
    }
    sink_postgres.close(c);
}

/* ---- the peers ---- */

static void must(PGconn *pq, const char *sql, ExecStatusType want)
{
    PGresult *r = PQexec(pq, sql);
    if (PQresultStatus(r) != want)
        die("statement", PQerrorMessage(pq));
    PQclear(r);
}

static void put_row(struct buf *out, const struct batch *b, uint32_t row)
{
    char why[PG_VALUE_WHY_LEN];
    pg_value_put_i16(out, COLUMNS);
    for (size_t c = 0; c < COLUMNS; c++)
        if (!pg_value_put(out, b, c, row, oids[c], -1, why))
            die("row", why);
}

static void copy_batch(PGconn *pq, const struct run *r, size_t from, size_t n, struct buf *out)
{
    must(pq, "BEGIN", PGRES_COMMAND_OK);
    must(pq, "COPY rows FROM STDIN (FORMAT binary)", PGRES_COPY_IN);
    buf_clear(out);
    buf_append(out, "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
    for (size_t i = 0; i < n; i++)
        for (uint32_t row = 0; row < r->tasks[from + i]->n_rows; row++)
            put_row(out, r->tasks[from + i], row);
    pg_value_put_i16(out, -1);
    if (PQputCopyData(pq, (const char *)out->data, (int)out->len) != 1 ||
        PQputCopyEnd(pq, NULL) != 1)
        die("COPY", PQerrorMessage(pq));
    PGresult *result = PQgetResult(pq);
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        die("COPY", PQerrorMessage(pq));
    PQclear(result);
    PQclear(PQgetResult(pq));
    must(pq, "COMMIT", PGRES_COMMAND_OK);
}

static void insert_batch(PGconn *pq, const struct run *r, size_t from, size_t n, struct buf *out)
{
    buf_clear(out);
    buf_str(out, "INSERT INTO rows VALUES ");
    for (size_t i = 0; i < n; i++) {
        const struct batch *b = r->tasks[from + i];
        for (uint32_t row = 0; row < b->n_rows; row++) {
            const struct span url = batch_get_text(b, 1, row), price = batch_get_text(b, 2, row);
            buf_printf(out, "%s(%lld,'%.*s',%.*s,to_timestamp(%.6f))", i || row ? "," : "",
                       (long long)batch_get_i64(b, 0, row), (int)url.len, url.p, (int)price.len,
                       price.p, (double)batch_get_i64(b, 3, row) / 1e6);
        }
    }
    buf_byte(out, '\0');
    must(pq, (const char *)out->data, PGRES_COMMAND_OK);
}

static void run_peer(const struct run *r, bool insert)
{
    PGconn *pq = PQconnectdb(r->url);
    struct buf out;
    if (PQstatus(pq) != CONNECTION_OK)
        die("connect", PQerrorMessage(pq));
    buf_init(&out, 0);
    const size_t a_batch = MAX(r->a_batch / TASK_ROWS, (size_t)1);
    for (size_t from = 0; from < r->n_tasks; from += a_batch) {
        const size_t n = MIN(a_batch, r->n_tasks - from);
        if (insert)
            insert_batch(pq, r, from, n, &out);
        else
            copy_batch(pq, r, from, n, &out);
    }
    buf_done(&out);
    PQfinish(pq);
}

int main(int argc, char **argv)
{
    if (argc != 5)
        die("usage", "bench_sinks drover|copy|insert URL ROWS ROWS_A_BATCH");
    struct run r = {.url = argv[2],
                    .n_rows = strtoull(argv[3], NULL, 10),
                    .a_batch = strtoull(argv[4], NULL, 10)};
    r.n_tasks = r.n_rows / TASK_ROWS;
    r.tasks = calloc(r.n_tasks + 1, sizeof(struct batch *));
    if (!r.tasks || r.a_batch / TASK_ROWS > LANDINGS_MAX)
        die("rows", "too many");
    for (size_t i = 0; i < r.n_tasks; i++)
        r.tasks[i] = make_batch(i * TASK_ROWS, TASK_ROWS);
    const uint64_t from_us = clock_us();
    if (strcmp(argv[1], "drover") == 0)
        run_drover(&r);
    else
        run_peer(&r, strcmp(argv[1], "insert") == 0);
    const double seconds = (double)(clock_us() - from_us) / 1e6;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"rows_per_s\": %.1f, \"peak_mb\": %.1f}\n", (double)(r.n_tasks * TASK_ROWS) / seconds,
           (double)usage.ru_maxrss / 1024);
    return 0;
}
