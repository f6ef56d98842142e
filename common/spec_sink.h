/*
 * spec_sink.h: where a job's rows go, as its description says: "sinks": [{...}, ...].
 *
 *     {"kind": "store"}
 *     {"kind": "postgres", "name": "main", "table": "pages", "mode": "append"}
 *     {"kind": "postgres", "table": "prices", "mode": "upsert", "key": ["sku"]}
 *     {"kind": "postgres", "table": "totals", "mode": "merge", "key": ["day"],
 *      "merge": {"n": "count", "amount": "sum", "low": "min", "high": "max"}}
 *     {"kind": "redis", "prefix": "pages", "mode": "hash", "key": ["url"], "ttl_s": 86400}
 *     {"kind": "redis", "prefix": "pages", "mode": "stream"}      ("list" too)
 *     {"kind": "file", "directory": "pages", "mode": "ndjson"}    ("csv" too)
 *
 * `name` is the administrator's section [sink.NAME], by default the kind's own name: a job never
 * names an address. `bad_rows` says what becomes of a row that does not fit: "reject" or "fail".
 *
 * Thread rule: immutable after reading.
 */
#ifndef DROVER_SPEC_SINK_H
#define DROVER_SPEC_SINK_H

#include <jansson.h>

#include "batch.h"
#include "err.h"

enum {
    SPEC_SINKS_MAX = 8,
    SPEC_SINK_NAME_MAX = 64,   /* [A-Za-z][A-Za-z0-9_-]* */
    SPEC_SINK_TABLE_MAX = 127, /* "table" or "schema.table" */
    SPEC_SINK_PREFIX_MAX = 100 /* of Redis keys, and of a folder's name */
};

enum spec_sink_kind {
    SPEC_SINK_STORE = 1,
    SPEC_SINK_POSTGRES = 2,
    SPEC_SINK_REDIS = 3,
    SPEC_SINK_FILE = 4
};

enum spec_sink_mode {
    SPEC_SINK_PLAIN,  /* store */
    SPEC_SINK_APPEND, /* postgres */
    SPEC_SINK_UPSERT,
    SPEC_SINK_MERGE,
    SPEC_SINK_HASH, /* redis */
    SPEC_SINK_STREAM,
    SPEC_SINK_LIST,
    SPEC_SINK_NDJSON, /* file */
    SPEC_SINK_CSV
};

/* How a column of merge mode comes together. COUNT adds up, as SUM: a task's count is a number. */
enum spec_merge { SPEC_MERGE_SUM, SPEC_MERGE_COUNT, SPEC_MERGE_MIN, SPEC_MERGE_MAX };

struct spec_merge_column {
    char *column;
    enum spec_merge how;
};

struct spec_sink {
    enum spec_sink_kind kind;
    enum spec_sink_mode mode;
    char *name;   /* of the administrator's section; NULL: store */
    char *table;  /* postgres: "table" or "schema.table", as given; else NULL */
    char *prefix; /* redis: of the keys; file: folder under the sink's root; else NULL */
    char **keys;  /* columns: upsert, merge, hash (exactly one) */
    size_t n_keys;
    struct spec_merge_column *merges; /* merge: every column that is no key */
    size_t n_merges;
    bool fail_bad_rows; /* a row that does not fit fails its task; else it is rejected */
    uint64_t ttl_ms;    /* redis: of the keys; 0: they stay */
};

const char *spec_sink_kind_name(enum spec_sink_kind kind);
bool spec_sink_kind_find(const char *name, enum spec_sink_kind *ret);
const char *spec_sink_mode_name(enum spec_sink_mode mode);
/* "postgres:main"; "" for the store. out: DOWNSTREAM_NAME_MAX bytes. Returns out. */
const char *spec_sink_downstream(const struct spec_sink *s, char *out);

/* Reads sinks[index]. columns: of the rows that come (no rows in it), or NULL when they are not
 * known; key and merge columns must be among them. INVALID_SPEC with the path. */
int spec_sink_read(const json_t *sink, size_t index, const struct batch *columns,
                   struct spec_sink *ret, struct error *e) MUST_CHECK;
void spec_sink_done(struct spec_sink *s);

#endif
