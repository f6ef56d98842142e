#include "engine_transform.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/pack.h"
#include "common/reason.h"
#include "common/unpack.h"
#include "worker/blobset.h"
#include "worker/flow.h"
#include "worker/inputs.h"
#include "worker/output.h"
#include "worker/transform/transform.h"
#include "worker/transform/write.h"
#include "worker/transform/write_batch.h"

enum { LENT_ROWS_MIN = 256 /* of a piece of a file that is passed on without being copied */ };

struct stage {
    struct transform *transform;
    uint64_t task_bytes;
    pthread_mutex_t lock; /* of the loading of the lookup tables, which the first run does */
    bool has_tables;
    int64_t rejects_max; /* -1: no limit */
};

/* ---- what spec_parse needs ---- */

static int read_task_bytes(const json_t *stage, uint64_t *ret, struct error *e)
{
    const json_t *v = json_object_get(stage, "task_bytes");
    *ret = TRANSFORM_TASK_BYTES;
    if (!v)
        return ERR_OK;
    const json_int_t n = json_integer_value(v);
    if (!json_is_integer(v) || n < TRANSFORM_TASK_BYTES_MIN || n > TRANSFORM_TASK_BYTES_MAX)
        return error_set(e, ERR_INVALID_SPEC, "task_bytes: %d to %d bytes are possible",
                         TRANSFORM_TASK_BYTES_MIN, TRANSFORM_TASK_BYTES_MAX);
    *ret = (uint64_t)n;
    return ERR_OK;
}

/* In a fleet the rows of a lookup table come as a blob. */
static int check_tables(const struct transform *t, struct error *e)
{
    for (size_t i = 0; i < transform_n_tables(t); i++)
        if (!transform_table_blob(t, i))
            return error_set(e, ERR_INVALID_SPEC,
                             "tables.%.60s.blob: the SHA-256 of a blob is wanted here",
                             transform_table_name(t, i));
    return ERR_OK;
}

static int read_rejects_max(const json_t *stage, int64_t *ret, struct error *e)
{
    const json_t *v = json_object_get(stage, "rejects_max");
    *ret = v ? json_integer_value(v) : -1;
    if (v && (!json_is_integer(v) || *ret < 0))
        return error_set(e, ERR_INVALID_SPEC, "rejects_max: a number of rejects is wanted here");
    return ERR_OK;
}

/* "header": pointers to the texts in the stage, which the caller frees. */
static int read_header(const json_t *stage, const struct batch *input, const char ***ret,
                       size_t *ret_n, struct error *e)
{
    const json_t *list = json_object_get(stage, "header");
    const size_t n = json_array_size(list);
    *ret = NULL;
    *ret_n = 0;
    if (!list)
        return ERR_OK;
    if (input)
        return error_set(e, ERR_INVALID_SPEC,
                         "header: the stage before says what the columns are called");
    if (!json_is_array(list) || n == 0 || n > PLAN_COLUMNS_MAX)
        return error_set(e, ERR_INVALID_SPEC, "header: a list of 1 to %d names is wanted here",
                         PLAN_COLUMNS_MAX);
    const char **names = calloc(n, sizeof(*names));
    if (!names)
        return error_set(e, ERR_NOMEM, "no memory for the job");
    for (size_t i = 0; i < n; i++) {
        names[i] = json_string_value(json_array_get(list, i));
        if (!names[i]) {
            free(names);
            return error_set(e, ERR_INVALID_SPEC, "header[%zu]: a text is wanted here", i);
        }
    }
    *ret = names;
    *ret_n = n;
    return ERR_OK;
}

/* The stage without the keys that are read here; NULL: no memory. */
static json_t *rest_of(const json_t *stage)
{
    static const char *const mine[] = {"task_bytes", "header", "rejects_max"};
    json_t *rest = json_copy((json_t *)(uintptr_t)stage);
    if (json_object_size(rest) !=
        json_object_size(stage)) { /* no memory for a key goes unnoticed */
        json_decref(rest);
        return NULL;
    }
    for (size_t i = 0; rest && i < ARRAY_LEN(mine); i++)
        json_object_del(rest, mine[i]);
    return rest;
}

int engine_transform_compile(const json_t *json, const struct batch *input, void **ret,
                             struct error *e)
{
    struct stage *s = calloc(1, sizeof(*s));
    json_t *rest = rest_of(json);
    const char **names = NULL;
    size_t n_names = 0;
    int rc = s && rest ? ERR_OK : error_set(e, ERR_NOMEM, "no memory for the job");
    if (rc == ERR_OK)
        rc = read_task_bytes(json, &s->task_bytes, e);
    if (rc == ERR_OK)
        rc = read_rejects_max(json, &s->rejects_max, e);
    if (rc == ERR_OK)
        rc = read_header(json, input, &names, &n_names, e);
    if (rc == ERR_OK)
        rc = transform_compile(rest, input, names, n_names, &s->transform, e);
    free(names);
    json_decref(rest);
    if (rc == ERR_OK)
        rc = check_tables(s->transform, e);
    if (rc != ERR_OK) {
        if (s)
            transform_free(s->transform);
        free(s);
        return rc;
    }
    pthread_mutex_init(&s->lock, NULL);
    *ret = s;
    return ERR_OK;
}

int engine_transform_header(const json_t *stage, int fd, json_t **ret, struct error *e)
{
    struct transform *probe = NULL;
    char **names = NULL;
    size_t n = 0;
    json_t *rest = rest_of(stage), *list = json_array();
    int rc = rest && list && !json_object_set_new(rest, "sql", json_string("SELECT 1 FROM input"))
                 ? ERR_OK
                 : error_set(e, ERR_NOMEM, "no memory for the columns");
    json_object_del(rest, "columns");
    if (rc == ERR_OK)
        rc = transform_compile(rest, NULL, NULL, 0, &probe, e);
    if (rc == ERR_OK)
        rc = transform_names(probe, fd, &names, &n, e);
    for (size_t i = 0; i < n && rc == ERR_OK; i++)
        if (json_array_append_new(list, json_string(names[i])))
            rc = error_set(e, ERR_MALFORMED, "the name of column %zu is not UTF-8", i + 1);
    free(names);
    transform_free(probe);
    json_decref(rest);
    if (rc == ERR_OK)
        *ret = list;
    else
        json_decref(list);
    return rc;
}

void engine_transform_free(void *compiled)
{
    struct stage *s = compiled;
    if (!s)
        return;
    transform_free(s->transform);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

struct batch *engine_transform_columns(const void *compiled)
{
    return transform_columns(((const struct stage *)compiled)->transform);
}

/* Packed [text, depth], as a page of a crawl; each is a task of its own. */
int engine_transform_item(const void *compiled UNUSED, struct span text, uint32_t depth,
                          struct buf *out, uint64_t *ret_key, struct hash128 *ret_unique,
                          struct error *e)
{
    struct input_ref r;
    const int rc = input_ref_parse(text, &r, e);
    if (rc != ERR_OK)
        return rc;
    pack_array(out, 2);
    pack_str(out, text);
    pack_u64(out, depth);
    *ret_unique = hash_128(text.p, text.len, 0);
    *ret_key = ret_unique->lo;
    return ERR_OK;
}

static int table_blobs(const struct transform *t, spec_blob_fn *fn, void *user)
{
    int rc = ERR_OK;
    for (size_t i = 0; i < transform_n_tables(t) && rc == ERR_OK; i++)
        rc = fn(user, transform_table_blob(t, i));
    return rc;
}

int engine_transform_blobs(const void *compiled, struct span item, spec_blob_fn *fn, void *user)
{
    struct input_ref r;
    struct unpack u;
    struct error e = {0};
    if (!item.p) /* the stage itself */
        return table_blobs(((const struct stage *)compiled)->transform, fn, user);
    unpack_init(&u, item.p, item.len);
    if (unpack_array(&u) < 1)
        return ERR_MALFORMED;
    const int rc = input_ref_parse(unpack_str(&u), &r, &e);
    return rc == ERR_OK && r.kind == INPUT_BLOB ? fn(user, &r.blob) : rc;
}

void engine_transform_explain(const void *compiled, struct buf *out)
{
    transform_explain(((const struct stage *)compiled)->transform, out);
}

int64_t engine_transform_rejects_max(const void *compiled)
{
    return ((const struct stage *)compiled)->rejects_max;
}

bool engine_transform_gathers(const void *compiled, bool sinks_merge)
{
    const struct transform *t = ((const struct stage *)compiled)->transform;
    return transform_gathers(t) && !(sinks_merge && transform_adds_up(t));
}

/* ---- a run, and its rejects ---- */

struct state {
    const struct stage *stage;
    struct transform_run *run;
    struct write_batch to; /* of results, into the batch that is wanted at the moment */
    struct sink pieces;    /* the same, and then on to flow */
    struct flow *flow;
    struct output *o;     /* takes the rejects */
    struct span file;     /* what is read; empty: rows of the stage before */
    uint64_t rows_before; /* of the stage before, in the pieces before this one */
    uint64_t n_rejects;
};

static void on_reject(void *user, const struct run_reject *r)
{
    struct state *s = user;
    char input[600], detail[400];
    if (s->n_rejects++ >= TRANSFORM_REJECTS_LISTED) {
        output_stat(s->o, STAT_REJECTS_NOT_LISTED, 1);
        return;
    }
    if (s->file.len > 0)
        snprintf(input, sizeof(input), "%.*s:%llu", (int)MIN(s->file.len, (size_t)500), s->file.p,
                 (unsigned long long)r->line);
    else
        snprintf(input, sizeof(input), "row %llu",
                 (unsigned long long)(s->rows_before + r->row + 1));
    if (r->column)
        snprintf(detail, sizeof(detail), "%.100s: \"%.*s\"", r->column,
                 (int)MIN(r->value.len, (size_t)200), r->value.p ? r->value.p : "");
    else if (r->character > 0)
        snprintf(detail, sizeof(detail), "sql, character %u", r->character);
    else if (r->value.len > 0) /* the row itself, or how it begins */
        snprintf(detail, sizeof(detail), "\"%.*s\"", (int)MIN(r->value.len, (size_t)200),
                 r->value.p);
    else
        detail[0] = 0;
    output_reject(s->o, span_str(input), r->reason, detail[0] ? detail : NULL);
}

/* The lookup tables, once for all tasks of the stage. */
static int load_tables(const struct stage *stage, const struct blobset *blobs, struct error *e)
{
    struct stage *s = (struct stage *)(uintptr_t)stage; /* only under its lock */
    struct transform *t = s->transform;
    int rc = ERR_OK;
    if (transform_n_tables(t) == 0)
        return ERR_OK;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < transform_n_tables(t) && rc == ERR_OK && !s->has_tables; i++) {
        const struct blobset_item *item = blobset_find(blobs, transform_table_blob(t, i));
        const char *name = transform_table_name(t, i);
        rc = item ? transform_table(t, name, item->fd, e)
                  : error_set(e, ERR_NOT_FOUND, "the blob of the table %.60s is not there", name);
    }
    s->has_tables |= rc == ERR_OK;
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static int pass_on(void *user, struct batch *rows, struct error *e)
{
    return flow_rows(user, rows, e);
}

/* Results go on to the next stage as they are, or are gathered until there is a piece of them. */
static int put_piece(struct sink *sink, const struct vec *const *columns, const struct sel *sel,
                     struct error *e)
{
    struct state *s = CONTAINER_OF(sink, struct state, pieces);
    struct batch *rows = s->to.to;
    int rc = ERR_OK;
    if (sel->n >= LENT_ROWS_MIN && write_batch_lend(&s->to, columns, sel, pass_on, s->flow, &rc, e))
        return rc;
    rc = s->to.sink.rows(&s->to.sink, columns, sel, e);
    if (rc != ERR_OK || rows->n_rows < FLOW_ROWS)
        return rc;
    rc = flow_rows(s->flow, rows, e);
    batch_clear(rows);
    return rc;
}

/* sink: where the results go; NULL: into a batch, and from there to flow, if there is one. */
static int state_open(const struct stage *stage, const struct blobset *blobs, struct sink *sink,
                      struct flow *flow, struct state **ret, struct error *e)
{
    int rc = load_tables(stage, blobs, e);
    if (rc != ERR_OK)
        return rc;
    struct state *s = calloc(1, sizeof(*s));
    if (!s)
        return error_set(e, ERR_NOMEM, "no memory for the rows");
    s->stage = stage;
    s->flow = flow;
    write_batch_init(&s->to, NULL);
    s->pieces.rows = put_piece;
    if (!sink)
        sink = flow ? &s->pieces : &s->to.sink;
    rc = transform_open(stage->transform, sink, on_reject, s, simd_best(), &s->run, e);
    if (rc != ERR_OK)
        engine_transform_close(s);
    else
        *ret = s;
    return rc;
}

int engine_transform_open(const void *compiled, const struct blobset *blobs, void **ret_state,
                          struct error *e)
{
    struct state *s = NULL;
    const int rc = state_open(compiled, blobs, NULL, NULL, &s, e);
    *ret_state = s;
    return rc;
}

int engine_transform_process(void *state, const struct batch *in, struct output *o,
                             struct batch *out, struct error *e)
{
    struct state *s = state;
    s->o = o;
    s->to.to = out;
    const int rc = transform_batch(s->run, in, e);
    s->rows_before += in->n_rows;
    return rc;
}

int engine_transform_end(void *state, struct output *o, struct batch *out, struct error *e)
{
    struct state *s = state;
    s->o = o;
    s->to.to = out;
    return transform_end(s->run, e);
}

void engine_transform_close(void *state)
{
    struct state *s = state;
    if (!s)
        return;
    transform_close(s->run);
    free(s);
}

int engine_transform_save(void *state, struct buf *partial, struct error *e)
{
    return transform_save(((struct state *)state)->run, partial, e);
}

int engine_transform_load(void *state, struct span partial, struct error *e)
{
    return transform_load(((struct state *)state)->run, partial, e);
}

/* ---- files ---- */

struct source {
    const struct stage *stage;
    const struct pipeline_call *call;
    struct output *o;
    struct state *state;
    uint32_t depth;
};

static void found_file(void *user, struct span path)
{
    const struct source *s = user;
    output_found(s->o, path, s->depth + 1);
}

static void found_part(const struct source *s, const struct input_ref *ref, const char *version,
                       const struct transform_range *range)
{
    struct buf text = {0};
    const struct input_ref part = {.kind = ref->kind,
                                   .name = ref->name,
                                   .part = true,
                                   .begin = range->begin.offset,
                                   .end = range->end,
                                   .line = range->begin.line,
                                   .version = span_str(version)};
    input_ref_text(&part, &text);
    if (buf_ok(&text))
        output_found(s->o, buf_span(&text), s->depth + 1);
    else
        s->o->failed = true;
    buf_done(&text);
}

/*
 * What is to be read becomes parts: at first a few, and a rest that another task cuts, so that reading
 * begins at once; that task cuts as much as there was before it. A file that is downloaded to be cut is
 * cut at once.
 */
static int cut(const struct source *s, const struct input_ref *ref, const struct input_file *file,
               uint64_t bytes, struct error *e)
{
    struct transform_cut c;
    struct transform_range range = {.begin = {ref->begin, ref->line}, .end = UINT64_MAX};
    const uint64_t step = s->stage->task_bytes, n = (bytes - ref->begin) / step;
    const uint64_t first = MAX((uint64_t)TRANSFORM_FIRST_PARTS, ref->begin / step);
    const bool all = ref->kind == INPUT_URL || n <= first;
    int rc =
        transform_cut_init(&c, s->stage->transform, file->fd, range.begin, s->call->cancelled, e);
    for (uint64_t i = 1; i <= (all ? n : first) && rc == ERR_OK; i++) {
        struct split_point p = {.offset = bytes};
        if (i < n)
            rc = transform_cut_next(&c, ref->begin + step * i, &p, e);
        if (rc != ERR_OK || p.offset == range.begin.offset)
            continue;
        range.end = p.offset;
        found_part(s, ref, file->version, &range);
        range = (struct transform_range){.begin = p, .end = UINT64_MAX};
    }
    transform_cut_done(&c);
    if (rc == ERR_OK && range.begin.offset < bytes)
        found_part(s, ref, file->version, &range);
    return rc;
}

static int read_file(struct source *s, const struct input_ref *ref, int fd, struct error *e)
{
    const struct transform *t = s->stage->transform;
    char **names = NULL;
    size_t n_names = 0;
    const struct transform_range range = {.begin = {ref->begin, ref->line}, .end = ref->end};
    int rc = transform_names(t, fd, &names, &n_names, e);
    s->state->file = ref->file[0] ? span_str(ref->file) : ref->name;
    s->state->o = s->o;
    if (rc == ERR_OK)
        rc = transform_file(s->state->run, fd, &range, (const char *const *)names, n_names, e);
    free(names);
    return rc;
}

static int read_input(struct source *s, struct span text, struct error *e)
{
    struct input_ref ref;
    struct input_file file;
    struct stat st;
    int rc = input_ref_parse(text, &ref, e);
    if (rc != ERR_OK)
        return rc;
    if (input_ref_is_pattern(&ref))
        return inputs_match(&ref, found_file, s, e);
    rc = inputs_open(s->call->inputs, s->call->blobs, &ref, s->call->cancelled, &file, e);
    if (rc != ERR_OK)
        return rc;
    if (fstat(file.fd, &st) != 0)
        rc = error_set(e, ERR_IO, "%.*s: %s", (int)text.len, text.p, strerror(errno));
    else if (file.parts && !s->call->inputs->whole &&
             transform_can_cut(s->stage->transform, file.fd) &&
             (uint64_t)st.st_size > ref.begin + 2 * s->stage->task_bytes)
        rc = cut(s, &ref, &file, (uint64_t)st.st_size, e);
    else
        rc = read_file(s, &ref, file.fd, e);
    close(file.fd);
    if (rc != ERR_OK && rc != ERR_STALE) { /* which file it was */
        struct error inner = *e;
        error_set(e, (enum err)rc, "%.*s: %.300s", (int)MIN(text.len, (size_t)150), text.p,
                  inner.detail);
    }
    return rc;
}

static int read_inputs(struct source *s, struct error *e)
{
    struct unpack u;
    unpack_init(&u, s->call->items.p, s->call->items.len);
    int rc = ERR_OK;
    for (size_t n = unpack_array(&u); n > 0 && unpack_ok(&u) && rc == ERR_OK; n--) {
        size_t extra;
        unpack_tuple(&u, 2, &extra);
        const struct span text = unpack_str(&u);
        s->depth = (uint32_t)unpack_u64(&u);
        unpack_skip_n(&u, extra);
        if (unpack_ok(&u))
            rc = read_input(s, text, e);
    }
    if (rc == ERR_OK && !unpack_ok(&u))
        return error_set(e, ERR_MALFORMED, "the task's items cannot be read");
    return rc;
}

/* ---- rows as text ---- */

static int text_init(const struct stage *stage, const struct pipeline_text *text, struct write *ret,
                     struct error *e)
{
    const struct plan *p = transform_plan(stage->transform);
    const char **names = calloc(p->n_shown + 1, sizeof(*names));
    if (!names)
        return error_set(e, ERR_NOMEM, "no memory for the rows");
    for (size_t i = 0; i < p->n_shown; i++)
        names[i] = p->results[i].name;
    const int rc = write_init(ret, text->csv ? WRITE_CSV : WRITE_NDJSON, names, p->n_shown, ',',
                              '"', text->put, text->user, e);
    free(names);
    if (rc == ERR_OK)
        buf_clear(&ret->out); /* the header is written once, by who owns the file */
    return rc;
}

int engine_transform_run(const void *compiled, const struct pipeline_call *call, struct output *o,
                         struct error *e)
{
    const struct stage *stage = compiled;
    struct source s = {.stage = stage, .call = call, .o = o};
    struct write text;
    int rc = call->text ? text_init(stage, call->text, &text, e) : ERR_OK;
    if (rc != ERR_OK)
        return rc;
    rc = state_open(stage, call->blobs, call->text ? &text.sink : NULL, call->flow, &s.state, e);
    if (rc == ERR_OK) {
        s.state->to.to = o->rows;
        transform_stop(s.state->run, call->cancelled);
        rc = read_inputs(&s, e);
    }
    /* Inputs that were found instead of rows leave nothing to save. */
    const struct run_counts counts =
        s.state ? transform_counts(s.state->run) : (struct run_counts){0};
    if (rc == ERR_OK && call->partial && (o->n_found == 0 || counts.rows > 0))
        rc = engine_transform_save(s.state, &o->partial, e);
    else if (rc == ERR_OK && !call->partial)
        rc = engine_transform_end(s.state, o, o->rows, e);
    if (call->text) {
        if (rc == ERR_OK)
            rc = write_end(&text, e);
        o->text_rows = s.state ? transform_counts(s.state->run).results : 0;
        write_done(&text);
    }
    if (rc == ERR_OK && counts.rows > 0)
        output_stat(o, "input_rows", (int64_t)counts.rows);
    if (rc == ERR_OK && counts.skipped > 0)
        output_stat(o, "packets_of_no_flow", (int64_t)counts.skipped);
    engine_transform_close(s.state);
    return rc;
}
