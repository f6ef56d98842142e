#include "stage.h"

#include <stdio.h>

#include "common/spec.h"
#include "feed.h"

/* The columns that feed one input. */
struct feed {
    uint32_t *columns;
    size_t n;
};

struct score_stage {
    struct score_model *model;
    struct arena mem;
    struct feed *feeds; /* by input */
    uint32_t *keep;     /* columns of the input that pass through */
    size_t n_keep;
    uint32_t *outputs; /* columns of the model's results */
    size_t n_outputs;
    struct batch *input; /* names and types that it was compiled for */
};

/* ---- finding columns ---- */

static int64_t find_column(const struct batch *b, const char *name)
{
    for (size_t i = 0; i < b->n_columns; i++)
        if (strcmp(b->columns[i].name, name) == 0)
            return (int64_t)i;
    return -1;
}

static void list_columns(const struct batch *b, char text[200])
{
    size_t at = 0;
    text[0] = 0;
    for (size_t i = 0; i < b->n_columns && at < 160; i++)
        at += (size_t)snprintf(text + at, 200 - at, "%s%.40s", i ? ", " : "", b->columns[i].name);
    if (at >= 160)
        snprintf(text + MIN(at, (size_t)190), 200 - MIN(at, (size_t)190), " ...");
}

static int no_column(const struct batch *b, const char *path, const char *name, struct error *e)
{
    char text[200];
    list_columns(b, text);
    return error_set(e, ERR_INVALID_SPEC, "%s: there is no column '%.100s' (there are: %s)", path,
                     name, text);
}

static int nomem(struct error *e)
{
    return error_set(e, ERR_NOMEM, "no memory left");
}

/* A list of names of columns, or one name. */
static int read_names(struct score_stage *s, const json_t *names, const char *path,
                      const struct batch *in, uint32_t **ret, size_t *ret_n, struct error *e)
{
    size_t n = json_is_string(names) ? 1 : json_array_size(names);
    uint32_t *columns = arena_alloc(&s->mem, (n + 1) * sizeof *columns);
    if (!json_is_string(names) && !json_is_array(names))
        return error_set(e, ERR_INVALID_SPEC, "%s: must be a list of names of columns", path);
    if (n > BATCH_COLUMNS_MAX)
        return error_set(e, ERR_INVALID_SPEC, "%s: more than %d columns", path, BATCH_COLUMNS_MAX);
    if (!columns)
        return nomem(e);
    for (size_t i = 0; i < n; i++) {
        const json_t *name = json_is_string(names) ? names : json_array_get(names, i);
        if (!json_is_string(name))
            return error_set(e, ERR_INVALID_SPEC, "%s[%zu]: must be the name of a column", path, i);
        int64_t at = find_column(in, json_string_value(name));
        if (at < 0)
            return no_column(in, path, json_string_value(name), e);
        columns[i] = (uint32_t)at;
    }
    *ret = columns;
    *ret_n = n;
    return ERR_OK;
}

/* ---- inputs ---- */

static const char *input_name(const struct score_stage *s, size_t i)
{
    return s->model->graph.values[s->model->graph.inputs[i]].name;
}

static int check_feed(const struct score_stage *s, size_t i, const char *path,
                      const struct batch *in, struct error *e)
{
    const struct feed *f = &s->feeds[i];
    const struct shape *shape = &s->model->graph.values[s->model->graph.inputs[i]].shape;
    size_t width = score_input_width(s->model, i);
    if (f->n != width)
        return error_set(e, ERR_INVALID_SPEC,
                         "%s: the model's input '%.100s' takes %zu columns, not %zu", path,
                         input_name(s, i), width, f->n);
    for (size_t k = 0; k < f->n; k++) {
        const struct column *c = &in->columns[f->columns[k]];
        if (!feed_fits(c->type, shape->type))
            return error_set(e, ERR_INVALID_SPEC,
                             "%s: the column '%.100s' is %s, the model's input '%.100s' takes %s "
                             "(cast it in a transform stage)",
                             path, c->name, col_type_name(c->type), input_name(s, i),
                             elem_name(shape->type));
    }
    return ERR_OK;
}

static int named_inputs(struct score_stage *s, const json_t *inputs, const struct batch *in,
                        struct error *e)
{
    const char *name;
    json_t *columns;
    char path[150];
    if (!json_is_object(inputs))
        return error_set(e, ERR_INVALID_SPEC,
                         "inputs: must be an object: name of an input: columns");
    json_object_foreach((json_t *)inputs, name, columns)
    {
        size_t i = 0;
        while (i < s->model->graph.n_inputs && strcmp(input_name(s, i), name) != 0)
            i++;
        if (i == s->model->graph.n_inputs)
            return error_set(e, ERR_INVALID_SPEC, "inputs.%.100s: the model has no such input",
                             name);
        snprintf(path, sizeof path, "inputs.%.100s", name);
        int rc = read_names(s, columns, path, in, &s->feeds[i].columns, &s->feeds[i].n, e);
        if (rc || (rc = check_feed(s, i, path, in, e)))
            return rc;
    }
    for (size_t i = 0; i < s->model->graph.n_inputs; i++)
        if (!s->feeds[i].columns)
            return error_set(e, ERR_INVALID_SPEC, "inputs: the model's input '%.100s' is missing",
                             input_name(s, i));
    return ERR_OK;
}

static bool kept(const struct score_stage *s, uint32_t column)
{
    for (size_t i = 0; i < s->n_keep; i++)
        if (s->keep[i] == column)
            return true;
    return false;
}

/* Inputs without a description: each by its name, or one matrix from all columns. */
static int unnamed_inputs(struct score_stage *s, const struct batch *in, struct error *e)
{
    size_t n_inputs = s->model->graph.n_inputs;
    bool by_name = true;
    for (size_t i = 0; i < n_inputs; i++)
        by_name &= score_input_width(s->model, i) == 1 && find_column(in, input_name(s, i)) >= 0;
    for (size_t i = 0; i < n_inputs; i++) {
        struct feed *f = &s->feeds[i];
        f->columns = arena_alloc(&s->mem, (in->n_columns + 1) * sizeof *f->columns);
        if (!f->columns)
            return nomem(e);
        if (by_name || n_inputs > 1) {
            int64_t at = find_column(in, input_name(s, i));
            if (at < 0)
                return no_column(in, "inputs", input_name(s, i), e);
            f->columns[f->n++] = (uint32_t)at;
        } else {
            for (uint32_t c = 0; c < in->n_columns; c++)
                if (!kept(s, c))
                    f->columns[f->n++] = c;
        }
        int rc = check_feed(s, i, "inputs", in, e);
        if (rc)
            return rc;
    }
    return ERR_OK;
}

/* ---- outputs ---- */

static int read_outputs(struct score_stage *s, const json_t *names, struct error *e)
{
    const struct score_model *m = s->model;
    size_t n = names ? json_array_size(names) : m->n_columns;
    s->outputs = arena_alloc(&s->mem, (n + 1) * sizeof *s->outputs);
    if (!s->outputs)
        return nomem(e);
    if (names && (!json_is_array(names) || n == 0))
        return error_set(e, ERR_INVALID_SPEC, "outputs: must be a list of names, not an empty one");
    for (size_t i = 0; i < n; i++) {
        const char *name = names ? json_string_value(json_array_get(names, i)) : NULL;
        uint32_t at = (uint32_t)i;
        if (names && !name)
            return error_set(e, ERR_INVALID_SPEC, "outputs[%zu]: must be a name", i);
        for (at = names ? 0 : at; name && at < m->n_columns; at++)
            if (strcmp(m->columns[at].name, name) == 0)
                break;
        if (at >= m->n_columns)
            return error_set(
                e, ERR_INVALID_SPEC,
                "outputs[%zu]: the model has no output '%.100s' (its first is '%.100s')", i,
                name ? name : "", m->n_columns ? m->columns[0].name : "");
        s->outputs[s->n_outputs++] = at;
    }
    return ERR_OK;
}

static int check_names(const struct score_stage *s, struct error *e)
{
    if (s->n_keep + s->n_outputs > BATCH_COLUMNS_MAX)
        return error_set(e, ERR_INVALID_SPEC, "outputs: more than %d columns", BATCH_COLUMNS_MAX);
    struct batch *b = score_stage_columns(s);
    if (!b)
        return nomem(e);
    int rc = ERR_OK;
    for (size_t i = 0; !rc && i < b->n_columns; i++) {
        size_t first = (size_t)find_column(b, b->columns[i].name);
        if (first == i)
            continue;
        bool clash = first < s->n_keep && i >= s->n_keep; /* a kept one and one of the model */
        rc = error_set(e, ERR_INVALID_SPEC, "%s: two columns of the results are named '%.100s'%s",
                       first < s->n_keep ? "keep" : "outputs", b->columns[i].name,
                       clash ? " (rename one in a transform stage, or choose outputs)" : "");
    }
    batch_free(b);
    return rc;
}

/* ---- compiling ---- */

static int check_stage(const json_t *stage, struct error *e)
{
    static const char *const keys[] = {"kind", "model", "inputs", "outputs", "keep"};
    if (!json_is_object(stage))
        return error_set(e, ERR_INVALID_SPEC, "model: a score stage must be an object");
    return spec_check_keys(stage, "", keys, ARRAY_LEN(keys), e);
}

static int copy_columns(const struct batch *from, struct batch **ret)
{
    struct batch *b = batch_new();
    for (size_t i = 0; b && i < from->n_columns; i++)
        if (batch_add_column(b, from->columns[i].name, from->columns[i].type)) {
            batch_free(b);
            b = NULL;
        }
    *ret = b;
    return b ? ERR_OK : ERR_NOMEM;
}

static int compile(struct score_stage *s, const json_t *stage, const struct batch *in,
                   struct error *e)
{
    const json_t *inputs = json_object_get(stage, "inputs"), *keep = json_object_get(stage, "keep");
    int rc = stage ? check_stage(stage, e) : ERR_OK;
    if (rc)
        return rc;
    if (copy_columns(in, &s->input))
        return nomem(e);
    s->feeds = arena_zalloc(&s->mem, (s->model->graph.n_inputs + 1) * sizeof *s->feeds);
    if (!s->feeds)
        return nomem(e);
    if (keep && (rc = read_names(s, keep, "keep", in, &s->keep, &s->n_keep, e)))
        return rc;
    rc = inputs ? named_inputs(s, inputs, in, e) : unnamed_inputs(s, in, e);
    if (rc || (rc = read_outputs(s, json_object_get(stage, "outputs"), e)))
        return rc;
    return check_names(s, e);
}

int score_stage_compile(const json_t *stage, struct score_model *model, const struct batch *input,
                        struct score_stage **ret, struct error *e)
{
    struct score_stage *s = calloc(1, sizeof *s);
    if (!s)
        return nomem(e);
    arena_init(&s->mem, 0);
    s->model = score_ref(model);
    int rc = compile(s, stage, input, e);
    if (rc)
        score_stage_free(s);
    else
        *ret = s;
    return rc;
}

void score_stage_free(struct score_stage *s)
{
    if (!s)
        return;
    score_unref(s->model);
    batch_free(s->input);
    arena_done(&s->mem);
    free(s);
}

const struct score_model *score_stage_model(const struct score_stage *s)
{
    return s->model;
}

struct batch *score_stage_columns(const struct score_stage *s)
{
    struct batch *b = batch_new();
    int rc = b ? ERR_OK : ERR_NOMEM;
    for (size_t i = 0; !rc && i < s->n_keep; i++)
        rc = batch_add_column(b, s->input->columns[s->keep[i]].name,
                              s->input->columns[s->keep[i]].type);
    for (size_t i = 0; !rc && i < s->n_outputs; i++)
        rc = batch_add_column(b, s->model->columns[s->outputs[i]].name,
                              s->model->columns[s->outputs[i]].type);
    if (!rc)
        return b;
    batch_free(b);
    return NULL;
}

/* ---- running ---- */

static int run_block(const struct score_stage *s, struct score_scratch *scratch,
                     const struct batch *in, uint32_t first, uint32_t n, struct batch *out,
                     struct error *e)
{
    const struct score_model *m = s->model;
    const struct graph *g = &m->graph;
    score_scratch_clear(scratch);
    struct tensor *inputs = arena_alloc(&scratch->mem, (g->n_inputs + 1) * sizeof *inputs);
    const struct tensor **results =
        arena_alloc(&scratch->mem, (g->n_outputs + 1) * sizeof(struct tensor *));
    if (!inputs || !results)
        return nomem(e);
    for (size_t i = 0; i < g->n_inputs; i++) {
        int rc = feed_tensor(in, s->feeds[i].columns, s->feeds[i].n, &g->values[g->inputs[i]].shape,
                             first, n, scratch, &inputs[i], e);
        if (rc)
            return rc;
    }
    int rc = score_run_tensors(m, inputs, n, scratch, results, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < s->n_keep; i++)
        feed_copy(in, s->keep[i], first, n, out, i);
    for (size_t i = 0; i < s->n_outputs; i++) {
        const struct score_column *c = &m->columns[s->outputs[i]];
        feed_column(results[c->output], m->widths[c->output], c->at, out, s->n_keep + i);
    }
    feed_rows(out, n);
    return batch_ok(out) ? ERR_OK : error_set(e, ERR_LIMIT, "the result rows need too much memory");
}

int score_stage_run_some(const struct score_stage *s, struct score_scratch *scratch,
                         const struct batch *in, uint32_t first, uint32_t n, struct batch *out,
                         struct error *e)
{
    const uint32_t block = s->model->one_row ? 1 : SCORE_BLOCK_ROWS, end = first + n;
    for (; first < end; first += block) {
        int rc = run_block(s, scratch, in, first, MIN(block, end - first), out, e);
        if (rc)
            return rc;
    }
    return ERR_OK;
}

int score_stage_run(const struct score_stage *s, struct score_scratch *scratch,
                    const struct batch *in, struct batch *out, struct error *e)
{
    return score_stage_run_some(s, scratch, in, 0, in->n_rows, out, e);
}
