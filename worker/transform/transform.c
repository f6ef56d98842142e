#include "transform.h"

#include <errno.h>
#include <unistd.h>

#include "agg.h"
#include "options.h"
#include "tables.h"
#include "write_batch.h"

struct transform {
    struct plan *plan;
    struct tables tables;
    struct csv_options csv;
    enum run_policy policy;
    char **names; /* of the input's columns; NULL: the header of each file says */
    size_t n_names;
};

struct transform_run {
    const struct transform *transform;
    struct run *run;
    enum simd simd;
    uint64_t file;           /* transform_place */
    const atomic_bool *stop; /* NULL: never */
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
    t->csv = o->csv;
    t->policy = o->policy;
    if (o->names) {
        t->names = copy_names(o->names, o->n_names);
        t->n_names = o->n_names;
        if (!t->names)
            return error_set(e, ERR_NOMEM, "transform");
    }
    return plan_new(o->sql, &po, &t->plan, e);
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

int transform_names(const struct transform *t, int fd, char ***ret_names, size_t *ret_n,
                    struct error *e)
{
    struct csv csv;
    const struct csv_block *b;
    struct file file = {.fd = fd, .end = UINT64_MAX};
    if (t->names) {
        *ret_names = copy_names((const char *const *)t->names, t->n_names);
        *ret_n = t->n_names;
        return *ret_names ? ERR_OK : error_set(e, ERR_NOMEM, "the names of the columns");
    }
    int rc = csv_init(&csv, &t->csv, simd_best(), read_file, &file, 1, e);
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

/* ---- cutting files ---- */

bool transform_can_cut(const struct transform *t UNUSED, int fd UNUSED)
{
    return true;
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
                       const atomic_bool *stop, struct error *e)
{
    *c = (struct transform_cut){.fd = fd, .stop = stop};
    return split_init(&c->split, t->csv.quote, read_cut, c, e);
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

int transform_file(struct transform_run *r, int fd, const struct transform_range *range,
                   const char *const *names, size_t n_names, struct error *e)
{
    const struct transform *t = r->transform;
    struct csv csv;
    struct file file = {.fd = fd, .at = range->begin.offset, .end = range->end, .stop = r->stop};
    int rc = run_bind(r->run, names, n_names, e);
    if (rc == ERR_OK)
        rc = csv_init(&csv, &t->csv, r->simd, read_file, &file, range->begin.line, e);
    if (rc)
        return rc;
    run_place(r->run, (struct agg_place){.file = r->file, .offset = range->begin.offset});
    rc = run_csv(r->run, &csv, t->csv.header && range->begin.offset == 0, e);
    csv_done(&csv);
    return rc;
}

void transform_place(struct transform_run *r, uint64_t file)
{
    r->file = file;
    run_place(r->run, (struct agg_place){.file = file});
}

int transform_batch(struct transform_run *r, const struct batch *in, struct error *e)
{
    const char **names = calloc(in->n_columns + 1, sizeof *names);
    if (!names)
        return error_set(e, ERR_NOMEM, "transform");
    for (size_t i = 0; i < in->n_columns; i++)
        names[i] = in->columns[i].name;
    int rc = run_bind(r->run, names, in->n_columns, e);
    free(names);
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
    return run_counts(r->run);
}
