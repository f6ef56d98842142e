/*
 * bench_sinks_redis.c: rows per second into a real Redis, through drover's sink or by bare
 * commands.
 *
 *   bench_sinks_redis drover|pipeline|pipeline-deep URL hash|stream|list ROWS ROWS_A_CALL
 *
 * drover is the sink as a worker calls it: landings of ROWS_A_CALL rows, 10,000 rows in a write.
 * The peers send the same HSET, XADD or RPUSH commands through hiredis without a ledger, a row
 * each: pipeline waits for its answers after ROWS_A_CALL commands, as programs do; pipeline-deep
 * never has less than that under way, and shows what the server itself can take. Prints one line of
 * JSON. The database should be empty.
 */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <sys/resource.h>

#include "common/cell.h"
#include "common/clock.h"
#include "worker/sinks/redis_url.h"
#include "worker/sinks/sink.h"

enum { COLUMNS = 4, WRITE_ROWS = 10000, TIMEOUT_MS = 60000, ARGS_MAX = 16 };

static const char *const names[COLUMNS] = {"url", "title", "n", "price"};
static const char prefix[] = "bench:{00000000000000000000000000000000}";

static void die(const char *what, const char *detail)
{
    fprintf(stderr, "bench_sinks_redis: %s: %s\n", what, detail);
    exit(1);
}

/* Rows as a crawl of a shop would give them, about 100 bytes each. */
static struct batch *make_batch(size_t from, size_t n)
{
    static const enum col_type types[COLUMNS] = {COL_TEXT, COL_TEXT, COL_INT64, COL_FLOAT64};
    struct batch *b = batch_new();
    char text[100];
    for (size_t i = 0; i < COLUMNS; i++)
        if (!b || batch_add_column(b, names[i], types[i]) != ERR_OK)
            die("memory", "none left");
    for (size_t i = from; i < from + n; i++) {
        int len = snprintf(text, sizeof(text), "https://shop.example.org/items/%08zu", i);
        batch_text(b, 0, (struct span){text, (size_t)len});
        len = snprintf(text, sizeof(text), "The name of the thing with number %zu", i);
        batch_text(b, 1, (struct span){text, (size_t)len});
        batch_i64(b, 2, (int64_t)i);
        batch_f64(b, 3, (double)(i % 100000) / 100);
        batch_row_end(b);
    }
    return b;
}

struct run {
    const char *url, *mode;
    size_t n_rows, a_call;
    struct batch **batches; /* of a_call rows each */
    size_t n_batches;
};

/* ---- drover ---- */

static void write_group(struct sink_conn *c, struct landing *landings, size_t n)
{
    struct landing *list[WRITE_ROWS];
    struct error e = {0};
    for (size_t i = 0; i < n; i++)
        list[i] = &landings[i];
    if (sink_redis.write(c, list, n, TIMEOUT_MS, &e) != ERR_OK)
        die("write", e.detail);
    for (size_t i = 0; i < n; i++)
        if (landings[i].verdict != LANDING_DONE)
            die("landing", landings[i].error);
}

static double run_drover(const struct run *r)
{
    static struct landing landings[WRITE_ROWS];
    struct sink_settings settings = {.name = (char *)"bench",
                                     .url = (char *)(uintptr_t)r->url,
                                     .user = (char *)"",
                                     .password = (char *)"",
                                     .ca_pem = (char *)""};
    char *key = (char *)(uintptr_t)names[0];
    struct spec_sink target = {.kind = SPEC_SINK_REDIS,
                               .prefix = (char *)"bench",
                               .keys = &key,
                               .n_keys = 1};
    target.mode = strcmp(r->mode, "hash") == 0     ? SPEC_SINK_HASH
                  : strcmp(r->mode, "stream") == 0 ? SPEC_SINK_STREAM
                                                   : SPEC_SINK_LIST;
    struct sink_conn *c = NULL;
    struct error e = {0};
    if (sink_redis.open(&settings, TIMEOUT_MS, &c, &e) != ERR_OK)
        die("open", e.detail);
    const uint64_t begin = clock_us();
    for (size_t at = 0; at < r->n_batches;) {
        size_t n = 0;
        for (; at < r->n_batches && (n == 0 || n * r->a_call < WRITE_ROWS); n++, at++)
            landings[n] = (struct landing){.target = &target,
                                           .task = at,
                                           .generation = 1,
                                           .rows = r->batches[at]};
        write_group(c, landings, n);
    }
    const double seconds = (double)(clock_us() - begin) / 1e6;
    sink_redis.close(c);
    return seconds;
}

/* ---- bare commands ---- */

static void add(const char **argv, size_t *len, int *argc, struct span text)
{
    argv[*argc] = text.p;
    len[(*argc)++] = text.len;
}

static void append_row(redisContext *c, const struct run *r, const struct batch *b, uint32_t row,
                       struct buf scratch[COLUMNS + 1])
{
    const char *argv[ARGS_MAX];
    size_t len[ARGS_MAX];
    int argc = 0;
    struct buf *key = &scratch[COLUMNS];
    const bool hash = strcmp(r->mode, "hash") == 0, list = strcmp(r->mode, "list") == 0;
    buf_clear(key);
    buf_str(key, prefix);
    buf_str(key, hash ? ":row:" : ":rows");
    if (hash) {
        const struct span url = batch_get_text(b, 0, row);
        buf_append(key, url.p, url.len);
    }
    add(argv, len, &argc, hash ? SPAN("HSET") : list ? SPAN("RPUSH") : SPAN("XADD"));
    add(argv, len, &argc, buf_span(key));
    if (list) {
        buf_clear(&scratch[0]);
        for (size_t i = 0; i < COLUMNS; i++) {
            buf_byte(&scratch[0], i ? ',' : '{');
            buf_json_str(&scratch[0], span_str(names[i]));
            buf_byte(&scratch[0], ':');
            batch_write_cell(b, i, row, &scratch[0]);
        }
        buf_byte(&scratch[0], '}');
        add(argv, len, &argc, buf_span(&scratch[0]));
    } else {
        if (!hash)
            add(argv, len, &argc, SPAN("*"));
        for (size_t i = 0; i < COLUMNS; i++) {
            add(argv, len, &argc, span_str(names[i]));
            add(argv, len, &argc, cell_text(b, i, row, &scratch[i]));
        }
    }
    if (redisAppendCommandArgv(c, argc, argv, len) != REDIS_OK)
        die("append", c->errstr);
}

static void take(redisContext *c, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        void *reply = NULL;
        if (redisGetReply(c, &reply) != REDIS_OK)
            die("reply", c->errstr);
        if (((redisReply *)reply)->type == REDIS_REPLY_ERROR)
            die("reply", ((redisReply *)reply)->str);
        freeReplyObject(reply);
    }
}

static double run_pipeline(const struct run *r, bool deep)
{
    struct redis_url url;
    struct error e = {0};
    struct buf scratch[COLUMNS + 1] = {0};
    if (redis_url_read(r->url, &url, &e) != ERR_OK)
        die("url", e.detail);
    redisContext *c = redisConnect(url.places[0].host, url.places[0].port);
    if (!c || c->err)
        die("connect", c ? c->errstr : "no memory");
    const uint64_t begin = clock_us();
    size_t under_way = 0;
    for (size_t i = 0; i < r->n_batches; i++) {
        for (uint32_t row = 0; row < r->batches[i]->n_rows; row++)
            append_row(c, r, r->batches[i], row, scratch);
        int sent = 0;
        while (deep && !sent)
            if (redisBufferWrite(c, &sent) != REDIS_OK)
                die("write", c->errstr);
        take(c, deep ? under_way : r->batches[i]->n_rows);
        under_way = r->batches[i]->n_rows;
    }
    take(c, deep ? under_way : 0);
    const double seconds = (double)(clock_us() - begin) / 1e6;
    redisFree(c);
    redis_url_done(&url);
    for (size_t i = 0; i <= COLUMNS; i++)
        buf_done(&scratch[i]);
    return seconds;
}

int main(int argc, char **argv)
{
    if (argc != 6)
        die("usage", "drover|pipeline|pipeline-deep URL hash|stream|list ROWS ROWS_A_CALL");
    struct run r = {.url = argv[2],
                    .mode = argv[3],
                    .n_rows = strtoul(argv[4], NULL, 10),
                    .a_call = strtoul(argv[5], NULL, 10)};
    struct rusage u;
    if (r.n_rows == 0 || r.a_call == 0)
        die("usage", "ROWS and ROWS_A_CALL are numbers above 0");
    r.n_batches = (r.n_rows + r.a_call - 1) / r.a_call;
    r.batches = calloc(r.n_batches, sizeof(*r.batches));
    if (!r.batches)
        die("memory", "none left");
    for (size_t i = 0; i < r.n_batches; i++)
        r.batches[i] = make_batch(i * r.a_call, MIN(r.a_call, r.n_rows - i * r.a_call));
    const double seconds = strcmp(argv[1], "drover") == 0
                               ? run_drover(&r)
                               : run_pipeline(&r, strcmp(argv[1], "pipeline-deep") == 0);
    getrusage(RUSAGE_SELF, &u);
    printf("{\"rows_per_s\": %.0f, \"peak_mb\": %.1f}\n", (double)r.n_rows / seconds,
           (double)u.ru_maxrss / 1024);
    for (size_t i = 0; i < r.n_batches; i++)
        batch_free(r.batches[i]);
    free(r.batches);
    return 0;
}
