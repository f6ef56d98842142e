#include "plan.h"

#include "fuse.h"
#include "op_linear.h"
#include "op_prep.h"
#include "tree_op.h"

enum { TRIAL_ROWS = 3, TRIAL_ROWS_2 = 5, WIDTH_DEPTH_MAX = 32 };

static int nomem(struct error *e)
{
    return error_set(e, ERR_NOMEM, "model: no memory left");
}

static bool is_tree(const struct node *n)
{
    return n->op->run == tree_run_op;
}

/* ---- constants ---- */

static bool all_constant(const struct graph *g, const struct node *n)
{
    for (uint32_t i = 0; i < n->n_in; i++)
        if (n->in[i] >= 0 && !g->values[n->in[i]].constant)
            return false;
    return true;
}

/* Prepares the nodes, and runs those whose inputs are all known. */
static int fold(struct graph *g, struct arena *folded, struct arena *tmp, struct error *e)
{
    const struct tensor **vals = graph_vals(g, tmp);
    size_t kept = 0;
    if (!vals)
        return nomem(e);
    for (size_t i = 0; i < g->n_nodes; i++) {
        struct node n = g->nodes[i];
        struct error why = {0};
        int rc = graph_prepare(g, &n, e);
        if (rc)
            return rc;
        if (all_constant(g, &n)) {
            rc = graph_run_node(&n, vals, folded, false, &why);
            for (uint32_t k = 0; !rc && k < n.n_out; k++)
                if (n.out[k] >= 0)
                    g->values[n.out[k]].constant = vals[n.out[k]];
            if (!rc)
                continue;
            if (rc != ERR_LIMIT && rc != ERR_NOMEM)
                return error_set(e, why.code, "%s", why.detail);
        }
        g->nodes[kept++] = n; /* too large to keep: computed in each run */
    }
    g->n_nodes = kept;
    return ERR_OK;
}

/* Drops the nodes that no output needs, and numbers the makers. */
static int drop_unneeded(struct graph *g, const bool *gone, struct arena *tmp, struct error *e)
{
    bool *needed = arena_zalloc(tmp, g->n_values + 1);
    bool *stays = arena_zalloc(tmp, g->n_nodes + 1);
    size_t kept = 0;
    if (!needed || !stays)
        return nomem(e);
    for (size_t i = 0; i < g->n_outputs; i++)
        needed[g->outputs[i]] = true;
    for (size_t i = g->n_nodes; i-- > 0;) {
        const struct node *n = &g->nodes[i];
        for (uint32_t k = 0; k < n->n_out; k++)
            stays[i] |= n->out[k] >= 0 && needed[n->out[k]];
        stays[i] = stays[i] && !(gone && gone[i]);
        for (uint32_t k = 0; stays[i] && k < n->n_in; k++)
            if (n->in[k] >= 0)
                needed[n->in[k]] = true;
    }
    for (size_t i = 0; i < g->n_nodes; i++)
        if (stays[i])
            g->nodes[kept++] = g->nodes[i];
    g->n_nodes = kept;
    for (size_t i = 0; i < g->n_values; i++)
        g->values[i].maker = -1;
    for (size_t i = 0; i < kept; i++)
        for (uint32_t k = 0; k < g->nodes[i].n_out; k++)
            if (g->nodes[i].out[k] >= 0)
                g->values[g->nodes[i].out[k]].maker = (int32_t)i;
    return ERR_OK;
}

/* ---- shapes ---- */

static int64_t width_of(const struct graph *g, int32_t value, int depth);

/* The width that one operator needs of its first input. */
static int64_t width_wanted(const struct graph *g, const struct node *n, int depth)
{
    if (is_tree(n))
        return tree_features(n);
    if (n->op->run == op_run_linear)
        return (int64_t)((const struct linear_state *)n->state)->dense.dense.k;
    if ((n->op->run == op_run_matmul || n->op->run == op_run_gemm) && n->state)
        return (int64_t)((const struct dense_state *)n->state)->dense.k;
    if (n->op->run == op_run_scaler && ((const struct scaler_state *)n->state)->n > 1)
        return (int64_t)((const struct scaler_state *)n->state)->n;
    if (n->op->run == op_run_imputer && ((const struct imputer_state *)n->state)->n > 1)
        return (int64_t)((const struct imputer_state *)n->state)->n;
    static const char *const passes[] = {"Identity",   "Cast",      "Scaler", "Imputer",
                                         "Normalizer", "Binarizer", "Dropout"};
    for (size_t i = 0; i < ARRAY_LEN(passes); i++)
        if (strcmp(n->op->name, passes[i]) == 0)
            return width_of(g, n->out[0], depth + 1);
    return 0;
}

static int64_t width_of(const struct graph *g, int32_t value, int depth)
{
    int64_t width = 0;
    for (size_t i = 0; depth < WIDTH_DEPTH_MAX && value >= 0 && i < g->n_nodes; i++) {
        const struct node *n = &g->nodes[i];
        if (n->n_in > 0 && n->in[0] == value)
            width = MAX(width, width_wanted(g, n, depth));
    }
    return width;
}

int64_t plan_width(const struct graph *g, int32_t value)
{
    return width_of(g, value, 0);
}

static int input_shape(struct graph *g, size_t i, bool *one_row, struct error *e)
{
    const struct onnx_port *port = &g->input_ports[i];
    struct shape *s = &g->values[g->inputs[i]].shape;
    size_t elements;
    *s = (struct shape){.type = (enum elem_type)port->elem,
                        .rank = port->has_shape ? port->rank : 2};
    for (uint32_t d = 0; d < s->rank; d++)
        s->dims[d] = port->has_shape ? port->dims[d] : ONNX_DIM_UNKNOWN;
    if (s->rank == 0)
        return error_set(e, ERR_INVALID_SPEC, "model: input '%.100s' has no dimension for the rows",
                         port->name);
    if (s->dims[0] > 1 || s->dims[0] == 0)
        return error_set(e, ERR_INVALID_SPEC,
                         "model: input '%.100s' is for exactly %lld rows; export the model with a "
                         "first dimension that varies",
                         port->name, (long long)s->dims[0]);
    *one_row |= s->dims[0] == 1;
    s->dims[0] = 1;
    if (s->rank == 2 && s->dims[1] < 0)
        s->dims[1] = plan_width(g, g->inputs[i]);
    for (uint32_t d = 1; d < s->rank; d++)
        if (s->dims[d] <= 0)
            return error_set(e, ERR_INVALID_SPEC,
                             "model: input '%.100s': dimension %u is not known; export the model "
                             "with the number of its columns",
                             port->name, d);
    if (tensor_count(s->rank, s->dims, &elements) || elements > ONNX_PORTS_MAX)
        return error_set(e, ERR_INVALID_SPEC, "model: input '%.100s' has more than %d columns",
                         port->name, ONNX_PORTS_MAX);
    s->dims[0] = SHAPE_ROWS;
    return ERR_OK;
}

/* Values for an input: zeros, or empty texts. */
static const struct tensor *made_up(const struct shape *s, int64_t rows, struct arena *mem)
{
    struct tensor *t = arena_alloc(mem, sizeof *t);
    int64_t dims[TENSOR_RANK_MAX];
    memcpy(dims, s->dims, sizeof dims);
    dims[0] = rows;
    if (!t || tensor_make(mem, s->type, s->rank, dims, t))
        return NULL;
    memset(t->data, 0, t->n * elem_bytes(t->type));
    for (size_t i = 0; s->type == ELEM_STR && i < t->n; i++)
        t->str[i] = SPAN("");
    return t;
}

static const struct tensor **trial_run(const struct graph *g, int64_t rows, struct arena *mem,
                                       struct error *e)
{
    const struct tensor **vals = graph_vals(g, mem);
    for (size_t i = 0; vals && i < g->n_inputs; i++)
        if (!(vals[g->inputs[i]] = made_up(&g->values[g->inputs[i]].shape, rows, mem)))
            vals = NULL;
    if (!vals) {
        nomem(e);
        return NULL;
    }
    return graph_run(g, vals, mem, true, e) ? NULL : vals;
}

static void note_shape(const struct tensor *a, const struct tensor *b, bool one_row,
                       struct shape *ret)
{
    struct shape s = {.type = a->type, .rank = a->rank};
    for (uint32_t d = 0; d < a->rank; d++) {
        bool rows = a->dims[d] == TRIAL_ROWS && b->dims[d] == TRIAL_ROWS_2;
        s.dims[d] = one_row ? (d == 0 && a->dims[d] == 1 ? SHAPE_ROWS : a->dims[d])
                    : rows  ? SHAPE_ROWS
                    : a->dims[d] == b->dims[d] ? a->dims[d]
                                               : SHAPE_VARIES;
    }
    *ret = s;
}

/* Runs over made-up rows, twice, and notes types and shapes. Errors of types and shapes show here,
 * when the model is submitted, and not when the first row comes. */
static int find_shapes(struct graph *g, bool one_row, struct error *e)
{
    CLEANUP(arena_done) struct arena mem;
    arena_init(&mem, GRAPH_RUN_BYTES_MAX);
    const struct tensor **a = trial_run(g, one_row ? 1 : TRIAL_ROWS, &mem, e);
    const struct tensor **b = a && !one_row ? trial_run(g, TRIAL_ROWS_2, &mem, e) : a;
    if (!b)
        return (int)e->code;
    for (size_t i = 0; i < g->n_values; i++) {
        if (!a[i] || !b[i])
            continue;
        if (a[i]->rank != b[i]->rank || a[i]->type != b[i]->type)
            return error_set(e, ERR_INVALID_SPEC,
                             "model: the shape of '%.100s' depends on the number of rows",
                             g->values[i].name);
        note_shape(a[i], b[i], one_row, &g->values[i].shape);
    }
    return ERR_OK;
}

/* ---- all of it ---- */

static int fuse_all(struct graph *g, struct arena *tmp, struct error *e)
{
    struct fuse f = {.g = g, .tmp = tmp, .e = e};
    int (*const steps[])(struct fuse *) = {fuse_dense, fuse_leaves, fuse_inputs, fuse_sums};
    for (size_t step = 0; step < ARRAY_LEN(steps); step++) {
        f.uses = arena_zalloc(tmp, (g->n_values + 1) * sizeof *f.uses);
        f.gone = arena_zalloc(tmp, g->n_nodes + 1);
        if (!f.uses || !f.gone)
            return nomem(e);
        for (size_t i = 0; i < g->n_outputs; i++)
            f.uses[g->outputs[i]]++;
        for (size_t i = 0; i < g->n_nodes; i++)
            for (uint32_t k = 0; k < g->nodes[i].n_in; k++)
                if (g->nodes[i].in[k] >= 0)
                    f.uses[g->nodes[i].in[k]]++;
        int rc = steps[step](&f);
        if (rc || (rc = drop_unneeded(g, f.gone, tmp, e)))
            return rc;
    }
    return ERR_OK;
}

int plan_make(struct graph *g, const char *kernel, struct arena *folded, bool *ret_one_row,
              struct error *e)
{
    CLEANUP(arena_done) struct arena tmp;
    bool one_row = false;
    arena_init(&tmp, 0);
    int rc = fold(g, folded, &tmp, e);
    if (rc || (rc = drop_unneeded(g, NULL, &tmp, e)))
        return rc;
    for (size_t i = 0; i < g->n_inputs; i++)
        if ((rc = input_shape(g, i, &one_row, e)))
            return rc;
    if ((rc = find_shapes(g, one_row, e)) || (rc = fuse_all(g, &tmp, e)))
        return rc;
    for (size_t i = 0; i < g->n_nodes; i++) {
        struct node *n = &g->nodes[i];
        if (is_tree(n) && (rc = tree_settle(n, kernel, g->values[n->in[0]].shape.type, g->keep, e)))
            return rc;
    }
    *ret_one_row = one_row;
    return ERR_OK;
}
