#include "options.h"

#include "common/spec.h"
#include "common/suggest.h"

static int one_byte(const json_t *v, const char *path, uint8_t *ret, struct error *e)
{
    if (!v)
        return ERR_OK;
    const char *s = json_string_value(v);
    if (!s || json_string_length(v) != 1 || (uint8_t)s[0] >= 0x80 || s[0] == '\n' || s[0] == '\r' ||
        s[0] == '\0')
        return error_set(e, ERR_INVALID_SPEC, "%s: one ASCII character is wanted here", path);
    *ret = (uint8_t)s[0];
    return ERR_OK;
}

/* The place of a word in a list. */
static int choice(const json_t *v, const char *path, const char *const *words, size_t n, int *ret,
                  struct error *e)
{
    char hint[SUGGEST_TEXT_LEN];
    const char *s = json_string_value(v);
    if (!v)
        return ERR_OK;
    for (size_t i = 0; s && i < n; i++) {
        if (strcmp(s, words[i]) == 0) {
            *ret = (int)i;
            return ERR_OK;
        }
    }
    return error_set(e, ERR_INVALID_SPEC, "%s: \"%s\", \"%s\" or \"%s\" is wanted here%s", path,
                     words[0], words[1], words[2], s ? suggest_text(s, words, n, hint) : "");
}

static int read_names(const json_t *list, struct options *o, struct error *e)
{
    if (!list)
        return ERR_OK;
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n == 0 || n > PLAN_COLUMNS_MAX)
        return error_set(e, ERR_INVALID_SPEC, "csv.names: a list of 1 to %d names is wanted here",
                         PLAN_COLUMNS_MAX);
    o->names = calloc(n, sizeof *o->names);
    if (!o->names)
        return error_set(e, ERR_NOMEM, "csv.names");
    for (size_t i = 0; i < n; i++) {
        o->names[i] = json_string_value(json_array_get(list, i));
        if (!o->names[i])
            return error_set(e, ERR_INVALID_SPEC, "csv.names[%zu]: a text is wanted here", i);
    }
    o->n_names = n;
    return ERR_OK;
}

static int read_csv(const json_t *csv, struct options *o, struct error *e)
{
    static const char *const keys[] = {"delimiter", "quote", "header", "names", "ragged"};
    static const char *const ragged[] = {"reject", "pad", "fail"};
    const json_t *header = json_object_get(csv, "header");
    int how = CSV_RAGGED_REJECT;
    if (csv && !json_is_object(csv))
        return error_set(e, ERR_INVALID_SPEC, "csv: an object is wanted here");
    int rc = csv ? spec_check_keys(csv, "csv", keys, ARRAY_LEN(keys), e) : ERR_OK;
    if (rc == ERR_OK)
        rc = one_byte(json_object_get(csv, "delimiter"), "csv.delimiter", &o->csv.delimiter, e);
    if (rc == ERR_OK)
        rc = one_byte(json_object_get(csv, "quote"), "csv.quote", &o->csv.quote, e);
    if (rc == ERR_OK)
        rc = choice(json_object_get(csv, "ragged"), "csv.ragged", ragged, ARRAY_LEN(ragged), &how,
                    e);
    if (rc == ERR_OK)
        rc = read_names(json_object_get(csv, "names"), o, e);
    if (rc)
        return rc;
    if (header && !json_is_boolean(header))
        return error_set(e, ERR_INVALID_SPEC, "csv.header: true or false is wanted here");
    o->csv.header = header ? json_is_true(header) : !o->names;
    o->csv.ragged = (enum csv_ragged)how;
    if (!o->csv.header && !o->names)
        return error_set(e, ERR_INVALID_SPEC, "csv.names: a file without header needs names");
    if (o->csv.delimiter == o->csv.quote)
        return error_set(e, ERR_INVALID_SPEC, "csv.quote: the same as the delimiter");
    return ERR_OK;
}

static int read_ndjson(const json_t *ndjson, struct options *o, struct error *e)
{
    static const char *const keys[] = {"columns"};
    const json_t *paths = json_object_get(ndjson, "columns");
    const char *name;
    json_t *path;
    if (!json_is_object(ndjson))
        return error_set(e, ERR_INVALID_SPEC, "ndjson: an object is wanted here");
    int rc = spec_check_keys(ndjson, "ndjson", keys, ARRAY_LEN(keys), e);
    if (rc == ERR_OK && paths &&
        (!json_is_object(paths) || json_object_size(paths) > PLAN_COLUMNS_MAX))
        rc = error_set(e, ERR_INVALID_SPEC,
                       "ndjson.columns: an object of names and paths is wanted here");
    if (rc)
        return rc;
    struct jsonpath *probe = jsonpath_new();
    if (!probe)
        return error_set(e, ERR_NOMEM, "ndjson.columns");
    json_object_foreach((json_t *)(uintptr_t)paths, name, path)
    {
        struct error why = {0};
        struct span text = {json_string_value(path), json_string_length(path)};
        rc = json_is_string(path) ? jsonpath_add(probe, text, 0, &why)
                                  : error_set(&why, ERR_INVALID_SPEC, "a path is wanted here");
        if (rc) {
            error_set(e, (enum err)rc, "ndjson.columns.%.100s: %.300s", name, why.detail);
            break;
        }
    }
    jsonpath_free(probe);
    o->input = OPTIONS_NDJSON;
    o->paths = paths;
    return rc;
}

static int read_seconds(const json_t *v, const char *path, int64_t *ret, struct error *e)
{
    if (!v)
        return ERR_OK;
    if (!json_is_integer(v) || json_integer_value(v) < 1 ||
        json_integer_value(v) > FLOW_TIMEOUT_S_MAX)
        return error_set(e, ERR_INVALID_SPEC, "%s: 1 to %d seconds are possible", path,
                         FLOW_TIMEOUT_S_MAX);
    *ret = json_integer_value(v);
    return ERR_OK;
}

static int read_pcap(const json_t *pcap, struct options *o, struct error *e)
{
    static const char *const keys[] = {"idle_timeout_s", "active_timeout_s"};
    if (!json_is_object(pcap))
        return error_set(e, ERR_INVALID_SPEC, "pcap: an object is wanted here");
    int rc = spec_check_keys(pcap, "pcap", keys, ARRAY_LEN(keys), e);
    o->input = OPTIONS_PCAP;
    o->capture = (struct capture_options){.idle_s = FLOW_IDLE_S,
                                          .active_s = FLOW_ACTIVE_S,
                                          .table_max = FLOW_TABLE_MAX};
    if (rc == ERR_OK)
        rc = read_seconds(json_object_get(pcap, "idle_timeout_s"), "pcap.idle_timeout_s",
                          &o->capture.idle_s, e);
    if (rc == ERR_OK)
        rc = read_seconds(json_object_get(pcap, "active_timeout_s"), "pcap.active_timeout_s",
                          &o->capture.active_s, e);
    return rc;
}

/* What the files are, beside the SQL. */
static int read_input(const json_t *stage, struct options *o, struct error *e)
{
    const json_t *csv = json_object_get(stage, "csv"), *ndjson = json_object_get(stage, "ndjson"),
                 *pcap = json_object_get(stage, "pcap");
    if ((csv != NULL) + (ndjson != NULL) + (pcap != NULL) > 1)
        return error_set(e, ERR_INVALID_SPEC, "%s: files are of one kind: csv, ndjson or pcap",
                         pcap ? "pcap" : "ndjson");
    if (pcap)
        return read_pcap(pcap, o, e);
    return ndjson ? read_ndjson(ndjson, o, e) : read_csv(csv, o, e);
}

static int read_types(const json_t *columns, struct options *o, struct error *e)
{
    const char *name;
    json_t *v;
    char hint[SUGGEST_TEXT_LEN];
    size_t n_known;
    const char *const *known = sqltype_names(&n_known);
    if (!columns)
        return ERR_OK;
    if (!json_is_object(columns) || json_object_size(columns) > PLAN_COLUMNS_MAX)
        return error_set(e, ERR_INVALID_SPEC,
                         "columns: an object of names and types is wanted here");
    o->typed_names = calloc(json_object_size(columns) + 1, sizeof *o->typed_names);
    o->types = calloc(json_object_size(columns) + 1, sizeof *o->types);
    if (!o->typed_names || !o->types)
        return error_set(e, ERR_NOMEM, "columns");
    json_object_foreach((json_t *)(uintptr_t)columns, name, v)
    {
        const char *type = json_string_value(v);
        o->typed_names[o->n_typed] = name;
        o->types[o->n_typed] = type ? sqltype_of_name(type) : SQLTYPE_OPEN;
        if (o->types[o->n_typed++] == SQLTYPE_OPEN)
            return error_set(e, ERR_INVALID_SPEC, "columns.%.100s: no type that is known%s", name,
                             type ? suggest_text(type, known, n_known, hint) : "");
    }
    return ERR_OK;
}

int options_read(const json_t *stage, struct options *ret, struct error *e)
{
    static const char *const keys[] = {"kind",   "sql",  "columns",    "on_error", "csv",
                                       "ndjson", "pcap", "task_bytes", "tables"};
    static const char *const policies[] = {"reject", "null", "fail"};
    const json_t *sql = json_object_get(stage, "sql");
    struct options o = {.csv = {.delimiter = ',', .quote = '"'}};
    int policy = RUN_REJECT;
    int rc = spec_check_keys(stage, "", keys, ARRAY_LEN(keys), e);
    if (rc == ERR_OK && !json_is_string(sql))
        rc = error_set(e, ERR_INVALID_SPEC, "sql: a SELECT statement is wanted here");
    if (rc == ERR_OK)
        rc = choice(json_object_get(stage, "on_error"), "on_error", policies, ARRAY_LEN(policies),
                    &policy, e);
    if (rc == ERR_OK)
        rc = read_input(stage, &o, e);
    if (rc == ERR_OK)
        rc = read_types(json_object_get(stage, "columns"), &o, e);
    if (rc) {
        options_done(&o);
        return rc;
    }
    o.sql = (struct span){json_string_value(sql), json_string_length(sql)};
    o.policy = (enum run_policy)policy;
    *ret = o;
    return ERR_OK;
}

void options_done(struct options *o)
{
    free(o->names);
    free(o->typed_names);
    free(o->types);
    *o = (struct options){0};
}
