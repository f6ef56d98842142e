#include "local_job.h"

#include <stdio.h>
#include <unistd.h>

#include "worker/engine_transform.h"
#include "worker/inputs.h"

/* ---- names of files ---- */

struct span local_job_input(struct span text, struct buf *room)
{
    static const struct span scheme = {"file://", 7};
    if (text.len > scheme.len && memcmp(text.p, scheme.p, scheme.len) == 0)
        return (struct span){text.p + scheme.len, text.len - scheme.len};
    if (text.len == 0 || text.p[0] == '/' || text.p[0] == '{' || memmem(text.p, text.len, "://", 3))
        return text;
    char *here = getcwd(NULL, 0);
    if (!here)
        return text;
    buf_clear(room);
    buf_printf(room, "%s%s", here, strcmp(here, "/") == 0 ? "" : "/");
    buf_append(room, text.p, text.len);
    free(here);
    return buf_ok(room) ? buf_span(room) : text;
}

/* The end of a name, but for what says that it is compressed. */
static bool ends(const char *name, const char *end)
{
    size_t n = strlen(name);
    const size_t m = strlen(end);
    if (n > 3 && strcmp(name + n - 3, ".gz") == 0)
        n -= 3;
    else if (n > 4 && strcmp(name + n - 4, ".zst") == 0)
        n -= 4;
    return n > m && strncasecmp(name + n - m, end, m) == 0;
}

static bool ends_with_one(const char *name, const char *const *all, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ends(name, all[i]))
            return true;
    return false;
}

/* ---- a description of SQL and files ---- */

/* What the name of the first file says of all, as the Python client has it. */
static int add_format(json_t *stage, const char *name, const char *delimiter)
{
    static const char *const ndjson[] = {".ndjson", ".jsonl", ".json"};
    static const char *const pcap[] = {".pcap", ".pcapng", ".cap"};
    if (delimiter)
        return json_object_set_new(stage, "csv",
                                   json_pack("{s:s}", "delimiter",
                                             strcmp(delimiter, "tab") == 0 ? "\t" : delimiter));
    if (ends_with_one(name, ndjson, ARRAY_LEN(ndjson)))
        return json_object_set_new(stage, "ndjson", json_object());
    if (ends_with_one(name, pcap, ARRAY_LEN(pcap)))
        return json_object_set_new(stage, "pcap", json_object());
    if (ends(name, ".tsv"))
        return json_object_set_new(stage, "csv", json_pack("{s:s}", "delimiter", "\t"));
    return 0;
}

static int make(const struct local_job *j, json_t **ret, struct error *e)
{
    json_t *stage = json_pack("{s:s, s:s}", "kind", "transform", "sql", j->sql);
    if (!stage)
        return error_set(e, ERR_INVALID_ARGUMENT, "--sql is not UTF-8");
    json_t *items = json_array();
    for (size_t i = 0; i < j->n_files; i++) {
        if (items && json_array_append_new(items, json_string(j->files[i]))) {
            json_decref(stage);
            json_decref(items);
            return error_set(e, ERR_INVALID_ARGUMENT, "the name of file %zu is not UTF-8", i + 1);
        }
    }
    const bool good = items && add_format(stage, j->files[0], j->delimiter) == 0;
    json_t *root =
        json_pack("{s:i, s:[o], s:{s:o}}", "drover", 1, "stages", stage, "input", "items", items);
    if (!root || !good) {
        json_decref(root);
        return error_set(e, ERR_NOMEM, "no memory for the job");
    }
    *ret = root;
    return ERR_OK;
}

/* ---- the columns of the first file ---- */

static void keep_first(void *user, struct span path)
{
    struct buf *first = user;
    if (first->len == 0)
        buf_append(first, path.p, path.len);
}

static int open_first(struct span text, struct input_file *ret, struct error *e)
{
    static const struct inputs anywhere = {0};
    struct input_ref ref;
    struct buf first = {0};
    int rc = input_ref_parse(text, &ref, e);
    if (rc == ERR_OK && input_ref_is_pattern(&ref)) {
        rc = inputs_match(&ref, keep_first, &first, e);
        if (rc == ERR_OK)
            rc = buf_ok(&first) ? input_ref_parse(buf_span(&first), &ref, e)
                                : error_set(e, ERR_NOMEM, "no memory for the name of a file");
    }
    if (rc == ERR_OK)
        rc = inputs_open(&anywhere, NULL, &ref, NULL, ret, e);
    buf_done(&first);
    return rc;
}

/* The transform that reads files whose header is not known; NULL: there is none. */
static json_t *stage_without_header(const json_t *root)
{
    json_t *stage = json_array_get(json_object_get(root, "stages"), 0);
    const char *kind = json_string_value(json_object_get(stage, "kind"));
    const json_t *csv = json_object_get(stage, "csv");
    const bool known = json_object_get(stage, "header") || json_object_get(csv, "names") ||
                       json_object_get(stage, "ndjson") || json_object_get(stage, "pcap") ||
                       json_is_false(json_object_get(csv, "header"));
    return kind && strcmp(kind, "transform") == 0 && !known ? stage : NULL;
}

static const char *first_input(const json_t *root)
{
    const json_t *input = json_object_get(root, "input");
    const json_t *list = json_object_get(input, "items");
    return json_string_value(json_array_get(list ? list : json_object_get(input, "urls"), 0));
}

/* *ret_changed: the stage says now what the columns are. */
static int add_header(json_t *root, bool *ret_changed, struct error *e)
{
    json_t *stage = stage_without_header(root), *names = NULL;
    const char *text = first_input(root);
    struct buf room = {0};
    struct input_file file;
    *ret_changed = false;
    if (!stage || !text || text[0] == '{')
        return ERR_OK;
    const struct span input = local_job_input(span_str(text), &room);
    if (memmem(input.p, input.len, "://", 3)) {
        buf_done(&room);
        return ERR_OK;
    }
    int rc = open_first(input, &file, e);
    if (rc == ERR_OK) {
        struct error why = {0};
        rc = engine_transform_header(stage, file.fd, &names, &why);
        if (rc == ERR_INVALID_SPEC) /* compiling says it, with the path */
            rc = ERR_OK;
        else if (rc != ERR_OK)
            error_set(e, (enum err)rc, "%.*s: %.300s", (int)MIN(input.len, (size_t)150), input.p,
                      why.detail);
        close(file.fd);
    }
    buf_done(&room);
    if (rc == ERR_OK && names) {
        *ret_changed = json_object_set_new(stage, "header", names) == 0;
        rc = *ret_changed ? ERR_OK : error_set(e, ERR_NOMEM, "no memory for the columns");
    }
    return rc;
}

/* ---- the whole ---- */

static int read_file(const char *path, struct buf *out, struct error *e)
{
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (!f)
        return error_set(e, ERR_IO, "cannot read %s: %m", path);
    size_t n = 1;
    while (n > 0 && buf_ok(out)) {
        uint8_t *room = buf_reserve(out, 65536);
        n = room ? fread(room, 1, 65536, f) : 0;
        out->len += n;
    }
    const bool failed = ferror(f);
    if (f != stdin)
        fclose(f);
    if (failed)
        return error_set(e, ERR_IO, "cannot read %s", path);
    if (!buf_ok(out))
        return error_set(e, ERR_LIMIT, "%s is larger than %d bytes", path, SPEC_TEXT_INPUT_MAX);
    return ERR_OK;
}

static int parse(json_t *root, const struct spec_files *files, struct pipeline **ret,
                 struct error *e)
{
    char *text = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(17));
    const int rc = text ? pipeline_parse(span_str(text), true, files, ret, e)
                        : error_set(e, ERR_NOMEM, "no memory for the job");
    free(text);
    return rc;
}

int local_job_load(const struct local_job *j, struct local_files *blobs, struct pipeline **ret,
                   struct error *e)
{
    const struct spec_files files = local_files_for_spec(blobs);
    struct buf text;
    json_t *root = NULL;
    bool changed = !j->job;
    int rc = ERR_OK;
    buf_init(&text, SPEC_TEXT_INPUT_MAX);
    if (j->job)
        rc = read_file(j->job, &text, e);
    else
        rc = make(j, &root, e);
    if (rc == ERR_OK && j->job) /* what is wrong with it is told when it is parsed */
        root = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
    if (rc == ERR_OK && root) {
        bool more = false;
        rc = add_header(root, &more, e);
        changed |= more;
        if (rc == ERR_OK)
            rc = local_files_take(blobs, root, &more, e);
        changed |= more;
    }
    if (rc == ERR_OK)
        rc = changed ? parse(root, &files, ret, e)
                     : pipeline_parse(buf_span(&text), true, &files, ret, e);
    json_decref(root);
    buf_done(&text);
    return rc;
}
