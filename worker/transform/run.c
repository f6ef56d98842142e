#include "run.h"

#include "analyze.h"
#include "group.h"
#include "join.h"
#include "sqltext.h"
#include "tail.h"

struct run {
    const struct plan *plan;
    struct run_options options;
    struct eval rows;   /* over input columns */
    struct eval groups; /* over group columns; only when grouped */
    struct group *group;
    struct tail tail;
    struct join join;
    struct load_column *early, *late;
    size_t n_early, n_late;
    size_t n_fields; /* of a row of the input */
    const struct vec **results;
    struct run_counts counts;
    /* Where the rows of the piece come from, for rejects. */
    const struct csv_block *block;
    const struct ndjson_piece *json;
    size_t first_row;
    struct load_piece piece;
    enum simd simd;
};

static enum sqltype *column_types(const struct plan *p)
{
    enum sqltype *types = calloc(p->n_columns + 1, sizeof *types);
    for (size_t i = 0; types && i < p->n_columns; i++)
        types[i] = p->columns[i].type;
    return types;
}

static int init(struct run *r, struct sink *sink, struct error *e)
{
    const struct plan *p = r->plan;
    size_t limit = r->options.limit_bytes;
    enum sqltype *types = column_types(p);
    int rc =
        types ? eval_init(&r->rows, p->row_nodes, p->n_row_nodes, types, p->n_columns) : ERR_NOMEM;
    free(types);
    if (rc == ERR_OK && p->grouped)
        rc = eval_init(&r->groups, p->group_nodes, p->n_group_nodes, p->group_types,
                       p->n_keys + p->n_aggs);
    r->early = calloc(p->n_columns + 1, sizeof *r->early);
    r->late = calloc(p->n_columns + 1, sizeof *r->late);
    r->results = calloc(p->n_results + 1, sizeof *r->results);
    if (rc || !r->early || !r->late || !r->results)
        return error_set(e, ERR_NOMEM, "transform");
    r->rows.bad_is_null = r->groups.bad_is_null = r->options.policy == RUN_NULL;
    rc = tail_init(&r->tail, p, sink, limit, e);
    if (rc == ERR_OK && p->grouped)
        rc = group_new(p, limit, &r->group, e);
    if (rc == ERR_OK && p->n_joins > 0 && join_init(&r->join, p, r->options.indexes))
        rc = error_set(e, ERR_NOMEM, "join");
    return rc;
}

int run_new(const struct plan *p, const struct run_options *o, struct sink *sink, struct run **ret,
            struct error *e)
{
    struct run *r = calloc(1, sizeof *r);
    if (!r)
        return error_set(e, ERR_NOMEM, "transform");
    r->plan = p;
    r->options = *o;
    if (r->options.limit_bytes == 0)
        r->options.limit_bytes = RUN_LIMIT_BYTES;
    int rc = init(r, sink, e);
    if (rc)
        run_free(r);
    else
        *ret = r;
    return rc;
}

void run_free(struct run *r)
{
    if (!r)
        return;
    eval_done(&r->rows);
    eval_done(&r->groups);
    group_free(r->group);
    if (r->tail.plan)
        tail_done(&r->tail);
    if (r->join.plan)
        join_done(&r->join);
    free(r->early);
    free(r->late);
    free(r->results);
    free(r);
}

struct run_counts run_counts(const struct run *r)
{
    return r->counts;
}

/* A column of a table that the query names without it must not be in the input as well. */
static bool bare_is_free(const struct plan_column *c, const struct plan *p,
                         const char *const *names, size_t n, struct error *e)
{
    const char *table = p->joins[c->join].alias;
    for (size_t k = 0; c->bare && k < n; k++) {
        if (strcmp(names[k], c->name) != 0)
            continue;
        (void)error_set(e, ERR_INVALID_SPEC,
                        "column \"%.60s\" is in the input and in %.60s: write %.60s.%.60s", c->name,
                        table, table, c->name);
        return false;
    }
    return true;
}

int run_bind(struct run *r, const char *const *names, size_t n, struct error *e)
{
    const struct plan *p = r->plan;
    r->n_fields = n;
    r->n_early = r->n_late = 0;
    for (size_t i = 0; i < p->n_columns; i++) {
        const struct plan_column *c = &p->columns[i];
        char hint[ANALYZE_MISSING_LEN];
        size_t k = 0;
        if (c->type == SQLTYPE_OPEN)
            continue;
        if (c->join != PLAN_INPUT) {
            if (!bare_is_free(c, p, names, n, e))
                return ERR_INVALID_SPEC;
            continue;
        }
        while (names && k < n && strcmp(names[k], c->name) != 0)
            k++;
        for (size_t m = k + 1; names && m < n; m++)
            if (strcmp(names[m], c->name) == 0)
                return error_set(
                    e, ERR_INVALID_SPEC,
                    "the input has two columns \"%.100s\" (%zu and %zu), and the query "
                    "names it; csv.names can call them otherwise",
                    c->name, k + 1, m + 1);
        if (!names)
            k = i;
        else if (k == n)
            return error_set(e, ERR_INVALID_SPEC, "the input has no column \"%s\"%s", c->name,
                             analyze_missing(c->name, names, n, hint));
        struct load_column load = {.field = (uint32_t)k, .column = (uint32_t)i, .name = c->name};
        if (c->early)
            r->early[r->n_early++] = load;
        else
            r->late[r->n_late++] = load;
    }
    return ERR_OK;
}

void run_place(struct run *r, uint64_t place)
{
    if (r->group)
        group_place(r->group, place);
}

/* ---- faults ---- */

static int by_row(const void *a, const void *b)
{
    const struct eval_fault *x = a, *y = b;
    return (x->row > y->row) - (x->row < y->row);
}

/* The whole row is wrong, and no value of it. */
static bool is_of_row(const struct eval_fault *f)
{
    return strcmp(f->reason, FAULT_RAGGED) == 0 || strcmp(f->reason, FAULT_JSON) == 0;
}

static uint64_t line_of(const struct run *r, uint32_t row)
{
    if (r->block)
        return csv_line(r->block, r->first_row + row);
    return r->json ? r->json->first_line + r->json->lines[row] : 0;
}

int run_reject(struct run *r, const struct run_reject *reject, struct error *e)
{
    r->counts.rejects++;
    if (r->options.policy == RUN_FAIL) {
        const bool from_text = reject->column || reject->value.p || reject->character == 0;
        return error_set(e, ERR_INVALID_ARGUMENT, "line %llu%s%s: %s%s%.*s%s",
                         (unsigned long long)reject->line, reject->column ? ", column " : "",
                         reject->column ? reject->column : "", reject->reason,
                         from_text ? ": '" : "", (int)MIN(reject->value.len, (size_t)100),
                         reject->value.p ? reject->value.p : "", from_text ? "'" : "");
    }
    if (r->options.reject)
        r->options.reject(r->options.user, reject);
    return ERR_OK;
}

/* In the order of the rows, whatever the order in which columns and expressions found them. */
static int report(struct run *r, struct eval *v, bool of_group, struct error *e)
{
    if (v->n_faults > 1)
        qsort(v->faults, v->n_faults, sizeof *v->faults, by_row);
    for (uint32_t k = 0; k < v->n_faults; k++) {
        const struct eval_fault *f = &v->faults[k];
        struct run_reject reject = {.line = of_group ? 0 : line_of(r, f->row),
                                    .row = r->first_row + f->row,
                                    .reason = f->reason,
                                    .column = f->column,
                                    .character = f->column || is_of_row(f)
                                                     ? 0
                                                     : sqltext_character(r->plan->sql, f->at),
                                    .value = f->value};
        int rc = run_reject(r, &reject, e);
        if (rc)
            return rc;
    }
    return ERR_OK;
}

/* ---- rows of a piece ---- */

/* Results over the rows of sel, to the tail. */
static int give_results(struct run *r, struct eval *v, const struct sel *sel, struct error *e)
{
    const struct plan *p = r->plan;
    uint16_t room[VEC_ROWS];
    for (size_t k = 0; k < p->n_results; k++)
        r->results[k] = eval_run(v, p->results[k].expr, sel);
    int rc = eval_check(v, e);
    if (rc)
        return rc;
    struct sel good = eval_good(v, sel, room);
    r->counts.results += good.n;
    return tail_rows(&r->tail, r->results, &good, &v->scratch, e);
}

static void load(struct run *r, const struct batch *b, const struct sel *sel,
                 const struct load_column *columns, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        if (b)
            load_batch(&r->rows, b, (uint32_t)r->first_row, sel, &columns[k]);
        else if (r->json)
            load_json(&r->rows, r->json, r->simd, sel, &columns[k]);
        else
            load_csv(&r->rows, &r->piece, sel, &columns[k]);
    }
}

/* Rows that have all their columns. */
static int use_rows(void *user, const struct sel *all, struct error *e)
{
    struct run *r = user;
    struct eval *v = &r->rows;
    uint16_t where_room[VEC_ROWS], good_room[VEC_ROWS];
    struct sel sel = *all;
    if (r->plan->where_joined) {
        sel = eval_true(eval_run(v, r->plan->where_joined, &sel), &sel, where_room);
        sel = eval_good(v, &sel, good_room);
    }
    if (sel.n == 0 || r->tail.full)
        return ERR_OK;
    return r->group ? group_add(r->group, v, &sel, e) : give_results(r, v, &sel, e);
}

static int report_rows(void *user, struct error *e)
{
    struct run *r = user;
    int rc = report(r, &r->rows, false, e);
    eval_forget_faults(&r->rows);
    return rc;
}

static int run_piece(struct run *r, const struct batch *b, struct sel sel, struct error *e)
{
    struct eval *v = &r->rows;
    uint16_t where_room[VEC_ROWS], good_room[VEC_ROWS], late_room[VEC_ROWS];
    load(r, b, &sel, r->early, r->n_early);
    sel = eval_good(v, &sel, good_room);
    if (r->plan->where) {
        const struct vec *where = eval_run(v, r->plan->where, &sel);
        sel = eval_true(where, &sel, where_room);
        sel = eval_good(v, &sel, good_room);
    }
    int rc = ERR_OK;
    if (sel.n > 0) {
        load(r, b, &sel, r->late, r->n_late);
        sel = eval_good(v, &sel, late_room);
        rc = r->plan->n_joins > 0 ? join_run(&r->join, v, &sel, use_rows, report_rows, r, e)
                                  : use_rows(r, &sel, e);
    }
    if (rc == ERR_OK)
        rc = eval_check(v, e);
    return rc ? rc : report(r, v, false, e);
}

/* Rows with another number of fields than there are columns: by policy. Blank lines are no rows. */
static int check_fields(struct run *r, const struct csv *c, struct sel *sel, uint16_t *room,
                        struct error *e)
{
    const struct csv_block *b = r->block;
    uint32_t n = 0;
    for (uint32_t i = 0; i < sel->n; i++) {
        size_t row = r->first_row + i, fields = csv_n_fields(b, row);
        bool keep = fields == r->n_fields;
        if (!keep) {
            struct span only = csv_raw(b, csv_first_field(b, row), true);
            bool blank = fields == 1 && only.len == 0;
            keep = !blank && c->options.ragged == CSV_RAGGED_PAD;
            if (!blank && c->options.ragged == CSV_RAGGED_FAIL)
                return error_set(e, ERR_INVALID_ARGUMENT,
                                 "line %llu has %zu fields, and there are %zu columns",
                                 (unsigned long long)csv_line(b, row), fields, r->n_fields);
            if (!blank && !keep)
                eval_fault_value(&r->rows, i, FAULT_RAGGED, NULL, 0, only);
        }
        room[n] = (uint16_t)i;
        n += keep;
    }
    *sel = (struct sel){room, n};
    return ERR_OK;
}

static bool regular(const struct csv_block *b, size_t first, uint32_t n, size_t fields)
{
    /* All have that many exactly when no sum on the way is off, and an OR over the differences
     * needs no branch. */
    uint32_t differ = 0, want = (uint32_t)fields;
    for (size_t row = first; row < first + n; row++)
        differ |= (b->rows[row] - b->rows[(ptrdiff_t)row - 1]) ^ want;
    return differ == 0;
}

int run_csv(struct run *r, struct csv *c, bool skip_header, struct error *e)
{
    uint16_t room[VEC_ROWS];
    int rc = ERR_OK;
    while (rc == ERR_OK && !r->tail.full) {
        rc = csv_next(c, &r->block, e);
        if (rc || !r->block)
            break;
        size_t first = skip_header ? 1 : 0;
        skip_header = false;
        for (; first < r->block->n_rows && rc == ERR_OK && !r->tail.full; first += VEC_ROWS) {
            struct sel sel = {NULL, (uint32_t)MIN(r->block->n_rows - first, (size_t)VEC_ROWS)};
            r->first_row = first;
            r->counts.rows += sel.n;
            eval_block(&r->rows);
            bool same = regular(r->block, first, sel.n, r->n_fields);
            load_begin(&r->piece, r->block, first, sel.n, same ? (uint32_t)r->n_fields : 0,
                       c->options.quote, c->simd);
            if (!same)
                rc = check_fields(r, c, &sel, room, e);
            if (rc == ERR_OK)
                rc = run_piece(r, NULL, sel, e);
        }
    }
    r->block = NULL;
    return rc;
}

int run_ndjson(struct run *r, struct ndjson *j, enum simd simd, struct error *e)
{
    int rc = ERR_OK;
    r->simd = simd;
    r->first_row = 0;
    while (rc == ERR_OK && !r->tail.full) {
        rc = ndjson_next(j, &r->json, e);
        if (rc || !r->json)
            break;
        r->counts.rows += r->json->n;
        eval_block(&r->rows);
        for (uint32_t k = 0; k < r->json->n_bad; k++)
            eval_fault_value(&r->rows, r->json->bad[k], FAULT_JSON, NULL, 0, r->json->bad_text[k]);
        rc = run_piece(r, NULL, (struct sel){r->json->good, r->json->n_good}, e);
    }
    r->json = NULL;
    return rc;
}

bool run_full(const struct run *r)
{
    return r->tail.full;
}

int run_batch(struct run *r, const struct batch *b, struct error *e)
{
    int rc = ERR_OK;
    for (uint32_t first = 0; first < b->n_rows && rc == ERR_OK && !r->tail.full;
         first += VEC_ROWS) {
        struct sel sel = {NULL, MIN(b->n_rows - first, (uint32_t)VEC_ROWS)};
        r->first_row = first;
        r->counts.rows += sel.n;
        eval_block(&r->rows);
        rc = run_piece(r, b, sel, e);
    }
    return rc;
}

static void add_counts(struct run *r, struct run_counts c)
{
    r->counts.rows += c.rows;
    r->counts.rejects += c.rejects;
    r->counts.results += c.results;
}

int run_merge(struct run *r, const struct run *from, struct error *e)
{
    assert(r->plan == from->plan && (r->group || tail_keeps(r->plan)));
    add_counts(r, from->counts);
    return r->group ? group_merge(r->group, from->group, e) : tail_merge(&r->tail, &from->tail, e);
}

int run_save(struct run *r, struct buf *out, struct error *e)
{
    const struct state_head head = {.kind = r->group ? STATE_GROUPS : STATE_ROWS,
                                    .plan = state_plan(r->plan),
                                    .rows = r->counts.rows,
                                    .rejects = r->counts.rejects,
                                    .results = r->counts.results};
    assert(r->group || tail_keeps(r->plan));
    state_put_head(out, &head);
    int rc = r->group ? group_save(r->group, out, e) : tail_save(&r->tail, out, e);
    if (rc == ERR_OK && !buf_ok(out))
        rc = error_set(e, ERR_LIMIT, "a partial state of more than %zu bytes", out->len);
    return rc;
}

int run_load(struct run *r, struct span from, struct error *e)
{
    struct state_in in;
    int rc = state_in_init(&in, from, r->group ? STATE_GROUPS : STATE_ROWS, state_plan(r->plan), e);
    if (rc == ERR_OK)
        rc = r->group ? group_take(r->group, &in, e) : tail_take(&r->tail, &in, e);
    if (rc == ERR_OK)
        add_counts(r, (struct run_counts){.rows = in.head.rows,
                                          .rejects = in.head.rejects,
                                          .results = in.head.results});
    state_in_done(&in);
    return rc;
}

static int give_groups(struct run *r, struct error *e)
{
    struct eval *v = &r->groups;
    const struct plan *p = r->plan;
    uint32_t total = group_count(r->group);
    int rc = ERR_OK;
    for (uint32_t first = 0; first < total && rc == ERR_OK && !r->tail.full; first += VEC_ROWS) {
        uint16_t room[VEC_ROWS], good_room[VEC_ROWS];
        struct sel sel = {NULL, MIN(total - first, (uint32_t)VEC_ROWS)};
        r->first_row = first;
        eval_block(v);
        rc = group_load(r->group, first, sel.n, v, e);
        if (rc)
            return rc;
        if (p->having) {
            const struct vec *having = eval_run(v, p->having, &sel);
            sel = eval_true(having, &sel, room);
            sel = eval_good(v, &sel, good_room);
        }
        rc = sel.n > 0 ? give_results(r, v, &sel, e) : ERR_OK;
        if (rc == ERR_OK)
            rc = report(r, v, true, e);
    }
    return rc;
}

int run_end(struct run *r, struct error *e)
{
    int rc = r->group ? give_groups(r, e) : ERR_OK;
    return rc ? rc : tail_end(&r->tail, e);
}
