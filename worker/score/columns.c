/*
 * columns.c: names the columns of a model's results. Scores by class become probability_CLASS and
 * what goes with them becomes label; other outputs keep their names, with a number when a row has
 * several elements.
 */
#include <stdio.h>

#include "model.h"
#include "op_linear.h"
#include "op_math.h"
#include "op_prep.h"
#include "op_shape.h"
#include "tree_op.h"

enum { NAME_BYTES_MAX = 400, MAKERS_MAX = 16 };

static const struct node *maker_of(const struct graph *g, int32_t value)
{
    int32_t maker = g->values[value].maker;
    return maker < 0 ? NULL : &g->nodes[maker];
}

/* A product with one number. */
static bool scales(const struct graph *g, const struct node *n)
{
    return (strcmp(n->op->name, "Mul") == 0 || strcmp(n->op->name, "Div") == 0) &&
           g->values[n->in[1]].constant && g->values[n->in[1]].constant->n == 1;
}

/* The classes of an output of scores, looking through what changes no order of columns. */
static const struct labels *classes_of(const struct graph *g, int32_t value)
{
    for (int i = 0; i < MAKERS_MAX; i++) {
        const struct node *n = maker_of(g, value);
        if (!n)
            return NULL;
        bool scores = n->n_out > 1 && n->out[1] == value;
        if (n->op->prepare == op_prepare_zip_map)
            return n->state;
        if (scores && n->op->run == tree_run_op)
            return &((const struct tree_state *)n->state)->labels;
        if (scores && n->op->run == op_run_linear)
            return &((const struct linear_state *)n->state)->labels;
        if (scores && n->op->run == op_run_svm)
            return svm_labels(n);
        if (n->op->run != op_run_identity && n->op->run != op_run_cast &&
            n->op->run != op_run_normalizer && !scales(g, n))
            return NULL;
        value = n->in[0];
    }
    return NULL;
}

/* Labels that are taken from a list by number: the list has the classes. */
static const struct tensor *list_of(const struct graph *g, int32_t value)
{
    for (int i = 0; i < MAKERS_MAX; i++) {
        const struct node *n = maker_of(g, value);
        if (!n)
            return NULL;
        if (n->op->run == op_run_extract)
            return n->in[0] < 0 ? NULL : g->values[n->in[0]].constant;
        if (n->op->run != op_run_identity && n->op->run != op_run_cast &&
            n->op->run != op_run_reshape)
            return NULL;
        value = n->in[0];
    }
    return NULL;
}

static enum col_type type_of(enum elem_type type)
{
    return type == ELEM_STR    ? COL_TEXT
           : type == ELEM_BOOL ? COL_BOOL
           : elem_float(type)  ? COL_FLOAT64
                               : COL_INT64;
}

static bool is_label(const struct shape *s, size_t width)
{
    return width == 1 && (s->type == ELEM_I64 || s->type == ELEM_STR || s->type == ELEM_I32);
}

/* What is known of the outputs before they are named. */
struct naming {
    struct score_model *m;
    const struct labels *classes; /* of the scores */
    const struct tensor *list;    /* the same from a list of labels */
    bool classified;              /* an output has scores by class */
    bool labelled;                /* a column is named label */
};

/* Rows come first; or, where a row has one element, in the only dimension that is not 1. */
static int output_width(struct score_model *m, size_t i, struct error *e)
{
    const struct value *v = &m->graph.values[m->graph.outputs[i]];
    const struct shape *s = &v->shape;
    size_t width = 1, rows = 0;
    bool first = s->rank > 0 && s->dims[0] == SHAPE_ROWS;
    for (uint32_t d = 0; d < s->rank; d++) {
        if (s->dims[d] == SHAPE_VARIES)
            return error_set(e, ERR_INVALID_SPEC,
                             "model: output '%.100s' has a dimension that varies beside the rows",
                             v->name);
        rows += s->dims[d] == SHAPE_ROWS;
        width *= s->dims[d] == SHAPE_ROWS ? 1 : (size_t)s->dims[d];
    }
    if (v->constant || rows != 1 || (!first && width != 1))
        return error_set(e, ERR_INVALID_SPEC,
                         "model: output '%.100s' has no dimension for the rows", v->name);
    m->widths[i] = width;
    m->n_columns += width;
    if (width > BATCH_COLUMNS_MAX || m->n_columns > BATCH_COLUMNS_MAX)
        return error_set(e, ERR_INVALID_SPEC, "model: its outputs have more than %d columns",
                         BATCH_COLUMNS_MAX);
    return ERR_OK;
}

static bool by_class(const struct naming *n, size_t output)
{
    const struct graph *g = &n->m->graph;
    size_t width = n->m->widths[output];
    const struct labels *l = classes_of(g, g->outputs[output]);
    if (!elem_float(g->values[g->outputs[output]].shape.type))
        return false;
    return width > 1 && ((l && l->n == width) || (!l && n->list && n->list->n == width));
}

static int name_of(struct naming *n, size_t output, size_t at, char name[NAME_BYTES_MAX])
{
    const struct graph *g = &n->m->graph;
    const struct value *v = &g->values[g->outputs[output]];
    if (by_class(n, output)) {
        const struct labels *l = classes_of(g, g->outputs[output]);
        struct span s = {NULL, 0};
        if (l ? l->type == ELEM_STR : n->list->type == ELEM_STR)
            s = l ? l->strings[at] : n->list->str[at];
        if (s.p)
            return snprintf(name, NAME_BYTES_MAX, "probability_%.*s",
                            (int)MIN(s.len, (size_t)NAME_BYTES_MAX), s.p);
        return snprintf(name, NAME_BYTES_MAX, "probability_%lld",
                        (long long)(l ? l->ints[at] : tensor_i64(n->list, at)));
    }
    if (n->classified && !n->labelled && is_label(&v->shape, n->m->widths[output])) {
        n->labelled = true;
        return snprintf(name, NAME_BYTES_MAX, "label");
    }
    if (n->m->widths[output] == 1)
        return snprintf(name, NAME_BYTES_MAX, "%s", v->name);
    return snprintf(name, NAME_BYTES_MAX, "%s_%zu", v->name, at);
}

static int add_column(struct naming *n, size_t output, size_t at, struct error *e)
{
    struct score_model *m = n->m;
    char name[NAME_BYTES_MAX];
    int len = name_of(n, output, at, name);
    if (len >= NAME_BYTES_MAX)
        return error_set(e, ERR_INVALID_SPEC, "model: a name of more than %d bytes for a column",
                         NAME_BYTES_MAX - 1);
    for (size_t i = 0; i < m->n_columns; i++)
        if (strcmp(m->columns[i].name, name) == 0)
            return error_set(e, ERR_INVALID_SPEC,
                             "model: two columns of its results are named '%s'", name);
    char *copy = arena_strndup(&m->keep, name, (size_t)len);
    if (!copy)
        return error_set(e, ERR_NOMEM, "model: no memory left");
    enum elem_type type = m->graph.values[m->graph.outputs[output]].shape.type;
    m->columns[m->n_columns++] = (struct score_column){copy, type_of(type), output, at};
    return ERR_OK;
}

int score_name_columns(struct score_model *m, struct error *e)
{
    struct naming n = {.m = m};
    size_t outputs = m->graph.n_outputs;
    int rc = ERR_OK;
    m->widths = arena_alloc(&m->keep, (outputs + 1) * sizeof *m->widths);
    for (size_t i = 0; m->widths && i < outputs; i++) {
        if ((rc = output_width(m, i, e)))
            return rc;
        const struct value *v = &m->graph.values[m->graph.outputs[i]];
        if (!n.list && is_label(&v->shape, m->widths[i]))
            n.list = list_of(&m->graph, m->graph.outputs[i]);
    }
    m->columns = arena_alloc(&m->keep, (m->n_columns + 1) * sizeof *m->columns);
    if (!m->widths || !m->columns)
        return error_set(e, ERR_NOMEM, "model: no memory left");
    for (size_t i = 0; i < outputs; i++)
        n.classified |= by_class(&n, i);
    m->n_columns = 0;
    for (size_t i = 0; i < outputs; i++)
        for (size_t at = 0; at < m->widths[i]; at++)
            if ((rc = add_column(&n, i, at, e)))
                return rc;
    return ERR_OK;
}
