#include "transform.h"

#include <errno.h>
#include <unistd.h>

#include "agg.h"
#include "inflate.h"
#include "options.h"
#include "tables.h"
#include "write_batch.h"

struct transform {
    struct plan *plan;
    struct tables tables;
    enum options_input input;
    struct csv_options csv;
    struct jsonpath *paths; /* NDJSON: of the plan's columns */
    struct capture_options capture;
    enum run_policy policy;
    char **names; /* of the input's columns; NULL: the header of each file says */
    size_t n_names;
};

struct transform_run {
    const struct transform *transform;
    struct run *run;
    enum simd simd;
    const atomic_bool *stop; /* NULL: never */
    uint64_t skipped;        /* packets that belong to no flow */
    bool bound;              /* columns of batches are known by their places */
};

const struct transform_range transform_whole_file = {.begin = {0, 1}, .end = UINT64_MAX};

/* ---- names: pointers and texts in one allocation ---- */

static char **copy_names(const char *const *names, size_t n)
{
    size_t bytes = n * sizeof(char *);
    for (size_t i = 0; i < n; i++)
        bytes += strlen(names[i]) + 1;
    char **copy = malloc(bytes + 1);
    char *to = copy ? (char *)(copy + n) : NULL;
    for (size_t i = 0; copy && i < n; i++) {
        copy[i] = to;
        to = stpcpy(to, names[i]) + 1;
    }
    return copy;
}

/* ---- compiling ---- */

/* Where in an object the plan's columns are. */
static int find_paths(struct transform *t, const json_t *given, struct error *e)
{
    t->paths = jsonpath_new();
    int rc = t->paths ? ERR_OK : error_set(e, ERR_NOMEM, "transform");
    for (uint32_t i = 0; i < t->plan->n_columns && rc == ERR_OK; i++) {
        const char *name = t->plan->columns[i].name;
        const json_t *path = json_object_get(given, name);
        if (t->plan->columns[i].join != PLAN_INPUT)
            continue;
        if (path)
            rc = jsonpath_add(t->paths,
                              (struct span){json_string_value(path), json_string_length(path)}, i,
                              e);
        else
            rc = jsonpath_add_key(t->paths, span_str(name), i, e);
    }
    return rc;
}

static int compile(struct transform *t, const struct options *o, const char *const *names, size_t n,
                   struct error *e)
{
    struct plan_options po = {.names = names,
                              .n_names = n,
                              .typed_names = o->typed_names,
                              .types = o->types,
                              .n_typed = o->n_typed,
                              .tables = t->tables.shapes,
                              .n_tables = t->tables.n};
    t->input = o->input;
    t->csv = o->csv;
    t->capture = o->capture;
    t->policy = o->policy;
    if (o->names) {
        t->names = copy_names(o->names, o->n_names);
        t->n_names = o->n_names;
        if (!t->names)
            return error_set(e, ERR_NOMEM, "transform");
    }
    int rc = plan_new(o->sql, &po, &t->plan, e);
    return rc == ERR_OK && t->input == OPTIONS_NDJSON ? find_paths(t, o->paths, e) : rc;
}

/* The stage before says names and types; what the user says goes before. */
static int compile_after(struct transform *t, struct options *o, const struct batch *input,
                         struct error *e)
{
    size_t n = input->n_columns, given = o->n_typed;
    const char **names = calloc(n + 1, sizeof *names);
    const char **typed = realloc(o->typed_names, (n + given + 1) * sizeof *typed);
    o->typed_names = typed ? typed : o->typed_names;
    enum sqltype *types = realloc(o->types, (n + given + 1) * sizeof *types);
    o->types = types ? types : o->types;
    int rc = names && typed && types ? ERR_OK : error_set(e, ERR_NOMEM, "transform");
    for (size_t i = 0; i < n && rc == ERR_OK; i++) {
        bool known = input->columns[i].type == COL_TEXT;
        names[i] = input->columns[i].name;
        for (size_t k = 0; k < given; k++)
            known |= strcmp(o->typed_names[k], names[i]) == 0;
        if (known)
            continue; /* text may be read as what the query makes of it */
        o->typed_names[o->n_typed] = names[i];
        o->types[o->n_typed++] = sqltype_of_column(input->columns[i].type);
    }
    if (rc == ERR_OK)
        rc = compile(t, o, names, n, e);
    free(names);
    return rc;
}

/* As after a stage whose rows are flows. */
static int compile_flows(struct transform *t, struct options *o, struct error *e)
{
    struct batch *columns = capture_columns();
    int rc = columns ? compile_after(t, o, columns, e) : error_set(e, ERR_NOMEM, "transform");
    batch_free(columns);
    return rc;
}

int transform_compile(const json_t *stage, const struct batch *input, const char *const *names,
                      size_t n_names, struct transform **ret, struct error *e)
{
    struct options o;
    int rc = options_read(stage, &o, e);
    if (rc)
        return rc;
    struct transform *t = calloc(1, sizeof *t);
    if (!t)
        rc = error_set(e, ERR_NOMEM, "transform");
    if (rc == ERR_OK)
        rc = tables_read(&t->tables, json_object_get(stage, "tables"), e);
    if (rc == ERR_OK && input)
        rc = compile_after(t, &o, input, e);
    else if (rc == ERR_OK && o.input == OPTIONS_PCAP)
        rc = compile_flows(t, &o, e);
    else if (rc == ERR_OK && o.names)
        rc = compile(t, &o, o.names, o.n_names, e);
    else if (rc == ERR_OK)
        rc = compile(t, &o, n_names > 0 ? names : NULL, n_names, e);
    options_done(&o);
    if (rc)
        transform_free(t);
    else
        *ret = t;
    return rc;
}

void transform_free(struct transform *t)
{
    if (!t)
        return;
    plan_free(t->plan);
    tables_done(&t->tables);
    jsonpath_free(t->paths);
    free(t->names);
    free(t);
}

size_t transform_n_tables(const struct transform *t)
{
    return t->tables.n;
}

const char *transform_table_name(const struct transform *t, size_t i)
{
    return t->tables.list[i].shape.name;
}

const struct blob_name *transform_table_blob(const struct transform *t, size_t i)
{
    return t->tables.list[i].has_blob ? &t->tables.list[i].blob : NULL;
}

int transform_table(struct transform *t, const char *name, int fd, struct error *e)
{
    return tables_load(&t->tables, t->plan, name, fd, e);
}

struct batch *transform_columns(const struct transform *t)
{
    return write_batch_columns(t->plan);
}

void transform_explain(const struct transform *t, struct buf *out)
{
    plan_explain(t->plan, out);
}

const struct plan *transform_plan(const struct transform *t)
{
    return t->plan;
}

bool transform_gathers(const struct transform *t)
{
    const struct plan *p = t->plan;
    return p->grouped || p->distinct || p->n_order > 0 || p->limit != PLAN_LIMIT_NONE ||
           p->offset > 0;
}

static bool adds_up(const struct plan *p, const struct expr *x)
{
    static const char *const names[] = {"sum", "count", "min", "max"};
    if (x->kind != EXPR_COLUMN)
        return false;
    if (x->column < p->n_keys)
        return true;
    const char *name = p->aggs[x->column - p->n_keys].agg->name;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(name, names[i]) == 0)
            return !p->aggs[x->column - p->n_keys].distinct;
    return false;
}

bool transform_adds_up(const struct transform *t)
{
    const struct plan *p = t->plan;
    bool yes = p->grouped && !p->having && !p->distinct && p->n_order == 0 &&
               p->limit == PLAN_LIMIT_NONE && p->offset == 0;
    for (size_t i = 0; i < p->n_shown && yes; i++)
        yes = adds_up(p, p->results[i].expr);
    return yes;
}

/* ---- reading files ---- */

struct file {
    int fd;
    uint64_t at, end;
    const atomic_bool *stop;
};

static int read_file(void *user, void *to, size_t n, size_t *ret_n, struct error *e)
{
    struct file *f = user;
    uint64_t left = f->end - f->at;
    ssize_t got;
    if (f->stop && atomic_load_explicit(f->stop, memory_order_relaxed))
        return error_set(e, ERR_STALE, "nobody wants the rows any more");
    if (n > left)
        n = (size_t)left;
    if (n == 0) {
        *ret_n = 0;
        return ERR_OK;
    }
    do {
        got = pread(f->fd, to, n, (off_t)f->at);
        if (got < 0 && errno == ESPIPE) /* a pipe: it has only one place to read at */
            got = read(f->fd, to, n);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return error_set(e, ERR_IO, "reading the input: %s", strerror(errno));
    f->at += (uint64_t)got;
    *ret_n = (size_t)got;
    return ERR_OK;
}

/* The bytes of a range as they are to be read: a file from its beginning on may be compressed. */
struct source {
    struct file file;
    struct inflate *inflate; /* NULL: read as it is */
    csv_read_fn *read;
    void *user;
};

static int source_open(struct source *s, int fd, const struct transform_range *range,
                       const atomic_bool *stop, struct error *e)
{
    *s = (struct source){
        .file = {.fd = fd, .at = range->begin.offset, .end = range->end, .stop = stop}};
    s->read = read_file;
    s->user = &s->file;
    if (range->begin.offset > 0)
        return ERR_OK;
    s->read = inflate_read;
    int rc = inflate_new(read_file, &s->file, &s->inflate, e);
    s->user = s->inflate;
    return rc;
}

static void source_close(struct source *s)
{
    inflate_free(s->inflate);
}

/* The fields of a row as texts. */
static int row_names(const struct csv_block *b, uint8_t quote, char ***ret, size_t *ret_n,
                     struct error *e)
{
    size_t n = csv_n_fields(b, 0), bytes = 0;
    uint32_t first = csv_first_field(b, 0);
    for (size_t i = 0; i < n; i++)
        bytes += csv_raw(b, first + (uint32_t)i, i + 1 == n).len + 1;
    char **names = malloc(n * sizeof(char *) + bytes);
    char *to = names ? (char *)(names + n) : NULL;
    if (!names)
        return error_set(e, ERR_NOMEM, "the names of the columns");
    for (size_t i = 0; i < n; i++) {
        names[i] = to;
        to += csv_unquote(csv_raw(b, first + (uint32_t)i, i + 1 == n), quote, to);
        *to++ = '\0';
    }
    *ret = names;
    *ret_n = n;
    return ERR_OK;
}

static int header_names(const struct transform *t, const struct source *s, char ***ret_names,
                        size_t *ret_n, struct error *e)
{
    struct csv csv;
    const struct csv_block *b;
    int rc = csv_init(&csv, &t->csv, simd_best(), s->read, s->user, 1, e);
    if (rc)
        return rc;
    rc = csv_next(&csv, &b, e);
    if (rc == ERR_OK && !b)
        rc = error_set(e, ERR_MALFORMED, "the file is empty: there is no header");
    if (rc == ERR_OK)
        rc = row_names(b, t->csv.quote, ret_names, ret_n, e);
    csv_done(&csv);
    return rc;
}

int transform_names(const struct transform *t, int fd, char ***ret_names, size_t *ret_n,
                    struct error *e)
{
    struct source s;
    if (t->names || t->input != OPTIONS_CSV) {
        *ret_names = copy_names((const char *const *)t->names, t->n_names);
        *ret_n = t->n_names;
        return *ret_names ? ERR_OK : error_set(e, ERR_NOMEM, "the names of the columns");
    }
    int rc = source_open(&s, fd, &transform_whole_file, NULL, e);
    if (rc == ERR_OK)
        rc = header_names(t, &s, ret_names, ret_n, e);
    source_close(&s);
    return rc;
}

/* ---- cutting files ---- */

bool transform_can_cut(const struct transform *t, int fd)
{
    uint8_t magic[INFLATE_MAGIC_BYTES];
    ssize_t n = pread(fd, magic, sizeof magic, 0);
    return t->input != OPTIONS_PCAP && n >= 0 && !inflate_is(magic, (size_t)n);
}

static int read_cut(void *user, void *to, size_t n, size_t *ret_n, struct error *e)
{
    struct transform_cut *c = user;
    struct file file = {.fd = c->fd, .at = c->at, .end = UINT64_MAX, .stop = c->stop};
    const int rc = read_file(&file, to, n, ret_n, e);
    c->at = file.at;
    return rc;
}

int transform_cut_init(struct transform_cut *c, const struct transform *t, int fd,
                       struct split_point from, const atomic_bool *stop, struct error *e)
{
    *c = (struct transform_cut){.fd = fd, .at = from.offset, .stop = stop};
    return split_init(&c->split, t->input == OPTIONS_CSV ? t->csv.quote : SPLIT_NO_QUOTE, from,
                      read_cut, c, e);
}

int transform_cut_next(struct transform_cut *c, uint64_t offset, struct split_point *ret,
                       struct error *e)
{
    return split_next(&c->split, offset, ret, e);
}

void transform_cut_done(struct transform_cut *c)
{
    split_done(&c->split);
}

/* ---- running ---- */

int transform_open(const struct transform *t, struct sink *sink, run_reject_fn *reject, void *user,
                   enum simd simd, struct transform_run **ret, struct error *e)
{
    struct run_options o = {.policy = t->policy,
                            .reject = reject,
                            .user = user,
                            .indexes = t->tables.indexes};
    int rc = tables_check(&t->tables, t->plan, e);
    if (rc)
        return rc;
    struct transform_run *r = calloc(1, sizeof *r);
    if (!r)
        return error_set(e, ERR_NOMEM, "transform");
    r->transform = t;
    r->simd = simd;
    rc = run_new(t->plan, &o, sink, &r->run, e);
    if (rc)
        transform_close(r);
    else
        *ret = r;
    return rc;
}

void transform_close(struct transform_run *r)
{
    if (!r)
        return;
    run_free(r->run);
    free(r);
}

void transform_stop(struct transform_run *r, const atomic_bool *stop)
{
    r->stop = stop;
}

static int run_csv_file(struct transform_run *r, const struct source *s,
                        const struct transform_range *range, struct error *e)
{
    const struct csv_options *o = &r->transform->csv;
    struct csv csv;
    int rc = csv_init(&csv, o, r->simd, s->read, s->user, range->begin.line, e);
    if (rc)
        return rc;
    rc = run_csv(r->run, &csv, o->header && range->begin.offset == 0, e);
    csv_done(&csv);
    return rc;
}

static int run_ndjson_file(struct transform_run *r, const struct source *s,
                           const struct transform_range *range, struct error *e)
{
    const struct transform *t = r->transform;
    struct ndjson *j = NULL;
    int rc = ndjson_new(t->paths, t->plan->n_columns, s->read, s->user, range->begin.line, &j, e);
    if (rc == ERR_OK)
        rc = run_ndjson(r->run, j, r->simd, e);
    ndjson_free(j);
    return rc;
}

static int take_flows(void *user, const struct batch *rows, bool *ret_enough, struct error *e)
{
    struct transform_run *r = user;
    int rc = run_batch(r->run, rows, e);
    *ret_enough = run_full(r->run);
    return rc;
}

static int run_pcap_file(struct transform_run *r, const struct source *s, struct error *e)
{
    struct capture_counts counts;
    int rc = capture_read(&r->transform->capture, s->read, s->user, take_flows, r, &counts, e);
    if (rc)
        return rc;
    r->skipped += counts.skipped;
    const struct run_reject cut = {.line = counts.packets + 1, .reason = FAULT_CAPTURE};
    return counts.cut ? run_reject(r->run, &cut, e) : ERR_OK;
}

static int bind_columns(struct transform_run *r, const struct batch *rows, struct error *e)
{
    const char **names = calloc(rows->n_columns + 1, sizeof *names);
    if (!names)
        return error_set(e, ERR_NOMEM, "transform");
    for (size_t i = 0; i < rows->n_columns; i++)
        names[i] = rows->columns[i].name;
    int rc = run_bind(r->run, names, rows->n_columns, e);
    free(names);
    return rc;
}

static int bind_flows(struct transform_run *r, struct error *e)
{
    struct batch *columns = capture_columns();
    int rc = columns ? bind_columns(r, columns, e) : error_set(e, ERR_NOMEM, "transform");
    batch_free(columns);
    return rc;
}

int transform_file(struct transform_run *r, int fd, const struct transform_range *range,
                   const char *const *names, size_t n_names, struct error *e)
{
    struct source s;
    int rc = source_open(&s, fd, range, r->stop, e);
    run_place(r->run, range->begin.line);
    switch (r->transform->input) {
    case OPTIONS_CSV:
        rc = rc ? rc : run_bind(r->run, names, n_names, e);
        rc = rc ? rc : run_csv_file(r, &s, range, e);
        break;
    case OPTIONS_NDJSON:
        rc = rc ? rc : run_bind(r->run, NULL, 0, e);
        rc = rc ? rc : run_ndjson_file(r, &s, range, e);
        break;
    case OPTIONS_PCAP:
        rc = rc ? rc : bind_flows(r, e);
        rc = rc ? rc : run_pcap_file(r, &s, e);
        break;
    }
    source_close(&s);
    return rc;
}

int transform_batch(struct transform_run *r, const struct batch *in, struct error *e)
{
    int rc = r->bound ? ERR_OK : bind_columns(r, in, e);
    r->bound |= rc == ERR_OK;
    return rc ? rc : run_batch(r->run, in, e);
}

int transform_merge(struct transform_run *r, const struct transform_run *from, struct error *e)
{
    return run_merge(r->run, from->run, e);
}

int transform_save(struct transform_run *r, struct buf *out, struct error *e)
{
    return run_save(r->run, out, e);
}

int transform_load(struct transform_run *r, struct span from, struct error *e)
{
    return run_load(r->run, from, e);
}

int transform_end(struct transform_run *r, struct error *e)
{
    return run_end(r->run, e);
}

struct run_counts transform_counts(const struct transform_run *r)
{
    struct run_counts counts = run_counts(r->run);
    counts.skipped = r->skipped;
    return counts;
}
